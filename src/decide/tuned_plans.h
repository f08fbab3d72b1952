/* Tuned plans on disk: what names a graph, and the schedule that was fastest for it.
 *
 * In: simplified range IR, the machine and the options. Out: a key, and under it in the store a schedule with what was
 * measured of it. Always holds: the key is made of what wn_compile sees, so a graph that was tuned from the command
 * line is found from the C API; it does not depend on other tensors of the context, on addresses or on the data. */
#ifndef WN_DECIDE_TUNED_PLANS_H
#define WN_DECIDE_TUNED_PLANS_H

#include "ir/uop.h"
#include "backend/runtime.h"
#include "store/store.h"

/* Everything that the fastest schedule depends on, as text, but for two things: the number of threads, since a plan
 * decides bits, and those must not depend on it; and whether weights are cold (cost_is_cold), which plans_key_cold adds.
 * constant[slot]: may the buffer be prepared once? */
const char *plans_key(graph *g, const uop *root, const bool *constant, const runtime *rt,
                      const wn_options *options);

const char *plans_key_cold(arena *a, const char *key, bool cold);

typedef struct stored_plan {
  const char *text; /* a schedule */
  double us, error; /* as measured when it was stored */
} stored_plan;

/* What is stored for the key, in arena a; false: nothing. A value that cannot be read is a warning and nothing. */
bool plans_get(store *s, diag *d, arena *a, const char *key, stored_plan *out);
bool plans_put(store *s, arena *a, const char *key, const stored_plan *plan);

#endif
