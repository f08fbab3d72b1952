/* Which plan: from the options, the environment and the graph to a rewritten graph and a schedule.
 *
 * In: simplified range IR, the machine, the caller's options. Out: the schedule and the graph that it applies to. `auto` is
 * the candidate with the least predicted cost among those that give the same bits as one thread's best (schedule_same_bits), so
 * that results do not depend on the number of threads. Always holds: a plan that was asked for by name is that plan or an
 * error; fp32-strict rewrites nothing. */
#ifndef WN_SCHEDULE_CHOOSE_H
#define WN_SCHEDULE_CHOOSE_H

#include "schedule/cost.h"
#include "schedule/nest.h"
#include "winograd/cancel.h"

typedef struct choice {
  const char *plan; /* as asked for */
  schedule schedule;
  double seconds;         /* predicted, once it was applied */
  const char *considered; /* by `auto`: its best candidates, a line each; "" for other plans */
} choice;

typedef struct choice_target {
  int vector_bytes, registers;
  const wn_options *options;
  const machine_limits *limits;
  int threads;
  wino_weights *weights; /* NULL: the plan was asked for, whatever weights are */
  /* of a device, else 0: see apply_target */
  int group;
  int64_t items;
  size_t local_bytes;
  int matrix;
} choice_target;

wino_result choose_rewrite(graph *g, const uop *root, const choice_target *target, choice *out);
/* What `auto` picks, then the best other schedules by predicted cost, best first: see schedule_candidates. `direct` is among
 * them, last if it is not among the best. */
size_t choose_candidates(graph *g, const uop *root, const choice_target *target, candidate *out,
                         size_t max);
apply_target choice_apply_target(const choice_target *t);
cost_target choose_cost_target(const choice_target *t);
/* Predicted seconds of the graph's convolutions under a schedule that was applied, whatever memory it needs; 0 where the
 * model knows nothing in the graph. */
double choose_predict(graph *g, const uop *root, const choice_target *target, const schedule *s);

#endif
