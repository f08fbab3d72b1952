/* The search for the fastest schedule of one graph.
 *
 * In: tensors, and what the front of the compiler knows of them. Out: a schedule, its time and its error, stored for
 * `auto` compiles to come. Always holds: `direct` and what `auto` picks untuned are among what is measured; what is
 * stored was measured and was within the promise at every place that was looked at; stopping keeps what was found. */
#ifndef WN_TUNE_TUNE_H
#define WN_TUNE_TUNE_H

#include "plan/cost.h"
#include "tune/moves.h"
#include "decide/tuned_plans.h"

typedef struct tune_subject {
  const char *key;            /* under which the pick is stored */
  const candidate *candidate; /* best predicted first; [0] is what auto picks untuned */
  int count;
  move_sizes sizes;
  double passing;    /* bytes of others' weights between two runs; 0: none */
  size_t last_cache; /* bytes */
  int threads;       /* that programs will have */
} tune_subject;

wn_status tune_search(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                      const wn_options *options, const wn_tune_options *how,
                      const tune_subject *subject, wn_tune_result *result);

#endif
