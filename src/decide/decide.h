/* From what was asked for to a plan that is carried out: options, what was tuned, constant weights, the limit of
 * memory.
 *
 * In: the sites of a graph, the caller's options, the machine that a program is for. Out: a plan and the kernels that
 * carry it out. A site that was chosen for and is refused, or holds most of what does not fit, gets its next candidate,
 * at last direct; before that a choice of ours runs fewer threads, since another plan would give other bits.
 * Always holds: what is returned fits; what was asked for by name is that, or diag_fail. */
#ifndef WN_DECIDE_DECIDE_H
#define WN_DECIDE_DECIDE_H

#include "program/program.h"
#include "decide/fit.h"
#include "tensor/tensor.h"

typedef struct deciding {
  wn_context *ctx;
  const wn_options *opt;
  compiled_graph *p; /* its runtime may be made anew, with fewer threads */
  graph *g;
  bool dry; /* nothing is run */
  /* bytes of weights that a run of everything reads of which this is a part (cost_target.passing); 0: it is all */
  double passing;
  /* Nothing else is to be tried where no plan fits: that is refused. What was found to need least before is said, where
   * it is less; 0: nothing was. */
  bool last;
  size_t least;
  const char *smallest; /* the plan that needs it */
} deciding;

typedef struct decision {
  choice choice;
  /* as it is carried out, with all sizes; printed, it makes the same program */
  graph_plan complete;
  fitting fit;
  kernel_set *set; /* NULL: nothing fits the limit of memory, unless that was the last try */
  const choice_target *target;
  double (*by_stage)[STAGE_COUNT]; /* predicted seconds, by site */
  const char *trace;               /* of the recogniser */
} decision;

decision decide(const deciding *d, const site_list *sites);
/* The plan that was found to need least where nothing fits, as text. */
const char *decide_smallest(graph *g, const decision *d);

/* What the tuner needs: bytes of weights that a run reads; the machine and the caller's weights; the name in the store
 * of a stored value with weights as cold as there, and how many bytes of others' pass between two uses of them, 0 where
 * they are not cold. */
double decide_passing(const deciding *d, const site_list *sites);
const choice_target *decide_target(const deciding *d, const site_list *sites);
const char *decide_key(const deciding *d, const site_list *sites, int value,
                       const choice_target *target);
double decide_between(const deciding *d, const site_list *sites, int value,
                      const choice_target *target);
/* Was no plan and no tile asked for, so that what was tuned is taken? */
bool decide_is_auto(const wn_options *opt);

#endif
