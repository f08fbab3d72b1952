/* What the cost model says of a program that was made, kernel by kernel, and which plans to set beside its own.
 *
 * In: a graph, the plan that was carried out and the kernels that came of it. Out: seconds, and other plans that differ
 * in one choice each. Always holds: nothing is applied here; a kernel of which the model does not know which part of
 * its prediction is meant has none. */
#ifndef WN_DECIDE_FORECAST_H
#define WN_DECIDE_FORECAST_H

#include "plan/choose.h"
#include "nest/nest.h"

typedef struct forecast {
  choice choice;
  choice_target target;
  const char *trace;    /* of the recogniser */
  const double *kernel; /* seconds by kernel of the set, NAN where the model has none of its own */
  double (*by_stage)[STAGE_COUNT]; /* by site */
} forecast;

forecast forecast_program(graph *g, const choice *c, const choice_target *target, const char *trace,
                          const kernel_set *set);

/* A plan that differs in one choice, for one site and those like it. */
typedef struct variant {
  const char *change; /* "x=local", "conv3 direct", ... */
  int site;
  schedule schedule; /* of the site */
} variant;
typedef VEC(variant) variant_list;

/* Each stage in each other place; without Winograd; the other tile, and the other schedule, that are predicted to be
 * best. A schedule without stages is set beside the best of each kind that has some. Of a graph with several kinds of
 * convolutions those that take most. */
void forecast_variants(graph *g, const forecast *f, variant_list *out);
/* The whole plan as text. */
const char *forecast_variant_text(graph *g, const forecast *f, const variant *v);

#endif
