/* What the cost model says of a program that was made, kernel by kernel, and which schedules to set beside its own.
 *
 * In: a graph, the schedule that was applied and the kernels that came of it. Out: seconds, and other schedules that differ
 * in one choice each. Always holds: nothing is applied here; a kernel of which the model does not know which part of its
 * prediction is meant has none. */
#ifndef WN_SCHEDULE_FORECAST_H
#define WN_SCHEDULE_FORECAST_H

#include "schedule/choose.h"

typedef struct forecast {
  const uop *root; /* simplified, nothing rewritten */
  choice_target target;
  schedule schedule;
  const char *trace;    /* of the recogniser */
  const double *kernel; /* seconds by kernel of the set, NAN where the model has none of its own */
} forecast;

forecast forecast_program(graph *g, const uop *root, const choice_target *target, const schedule *s,
                          const wino_result *w, const kernel_set *set);

/* A schedule that differs in one choice. */
typedef struct variant {
  const char *change; /* "x=local", "direct", ... */
  schedule schedule;
} variant;
typedef VEC(variant) variant_list;

/* Each stage in each other place; without Winograd; the other tile, and the other schedule, that are predicted to be best.
 * A schedule without stages is set beside the best of each kind that has some. */
void forecast_variants(graph *g, const forecast *f, variant_list *out);

#endif
