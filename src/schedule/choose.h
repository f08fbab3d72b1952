/* Which plan: from the options, the environment and the graph to a plan of every site.
 *
 * In: the sites of simplified range IR, the machine, the caller's options. Out: a plan; then the rewritten graph that it is
 * for. `auto` is for each site the candidate with the least predicted cost; sites that are alike are chosen for once.
 * Always holds: a plan that was asked for by name is that plan or an error. */
#ifndef WN_SCHEDULE_CHOOSE_H
#define WN_SCHEDULE_CHOOSE_H

#include "schedule/cost.h"
#include "schedule/parts.h"

typedef struct choice_target {
  int vector_bytes, registers;
  const wn_options *options;
  const machine_limits *limits;
  int threads;
  /* of a device, else 0: see apply_target */
  int group;
  int64_t items;
  size_t local_bytes;
  int matrix;
} choice_target;

typedef struct candidate_list { /* of convolutions that are alike, best first */
  candidate *at;
  size_t len;
} candidate_list;

typedef struct choice {
  const char *name; /* of the plan, as asked for */
  const site_list *sites;
  graph_plan plan;
  const plan_source *source;
  const bool *spelled;    /* by site: no size of it may be made smaller */
  bool rewrites;          /* a plan for all was asked for that rewrites */
  double seconds; /* predicted, once it was applied */
  const char *considered; /* by `auto`: its best candidates, a line each; "" for other plans */
  /* by site: what else there is, where it was chosen, and which of it the plan has */
  const candidate_list **candidates;
  int *taken;
  wino_survey survey;
  const int *conv; /* by site: its index in the survey, -1 */
  wino_options *rewrite;
} choice;

choice choose_plan(graph *g, const site_list *sites, const choice_target *target);
/* Another plan for a chosen site, whose present one was refused or does not fit: its next candidate, with `smaller` direct.
 * False: there is none. */
bool choose_next(choice *c, int site, bool smaller);
/* Is there a plan for the site that needs less: was it chosen, and is it not direct yet? */
bool choose_can_shrink(const choice *c, int site);
/* Takes over what the rewrite decided: tiles of named plans, convolutions that a plan for all cannot have. A plan in braces
 * that could not be had, and one for all that nothing came of, is diag_fail(WN_ERR_REFUSED). */
void choose_settle(graph *g, choice *c, const part_list *parts);
/* The best `max` schedules of `auto` for the convolutions of a graph that are all alike, best first: see
 * schedule_candidates. `direct` is among them, last if it is not among the best. */
size_t choose_candidates(graph *g, const site_list *sites, const choice_target *target,
                         candidate *out, size_t max);
apply_target choice_apply_target(const choice_target *t);
cost_target choose_cost_target(const choice_target *t);
/* Predicted seconds of the graph's convolutions, whatever memory they need; by site and stage where by_stage is not NULL
 * (all of a convolution that is not rewritten is its STAGE_O). 0 where the model knows nothing in the graph. */
double choose_predict(graph *g, const choice *c, const choice_target *target,
                      double (*by_stage)[STAGE_COUNT]);

#endif
