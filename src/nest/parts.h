/* From a plan to the kernels of a program: each stored value becomes a part, and parts are put together.
 *
 * In: stored values and a plan of every site. Out: all launches in running order, those that depend on constants alone
 * first, and the arrays between them with their places in memory. Always holds: values that are alike and have the same
 * plans are one part, rewritten and applied once; a part does not depend on what is around its value. */
#ifndef WN_NEST_PARTS_H
#define WN_NEST_PARTS_H

#include "nest/bands.h"
#include "nest/sides.h"
#include "plan/plan.h"

/* A stored value under the plans of its sites. */
typedef struct part {
  arena *arena;
  const stored_value *value; /* the first of those that are alike */
  const schedule *asked;     /* by site of the value, as it was asked for, */
  const bool *off;           /* and whether rewriting was */
  const schedule *plan;      /* as carried out: with the tiles that the rewrite chose */
  const bool *rewritten;     /* by site of the value */
  wino_result w;             /* sites are numbered from 0 */
  kernel_set *set;   /* arrays: those of the value, the value itself, what is between its kernels */
  int first_code;    /* of its kernels, once it is part of a program */
  struct part *next; /* of the same value */
} part;

typedef struct part_store { /* of the parts that were made, by stored value */
  part **of;
} part_store;

typedef struct part_list {
  const site_list *sites;
  part *const *of; /* by stored value; of a joined one that of the value which it is joined to */
} part_list;

/* How the convolutions of a value are to be rewritten, and what was asked of each of its sites. */
typedef struct part_request {
  const schedule *plan;
  const wino_options *rewrite; /* by site of the value */
  bool variable_weights;       /* they may change between runs */
} part_request;

/* Found or made. diag_fail as wino_rewrite and schedule_apply; *site: of which site of the value a plan is refused. */
part *part_make(graph *g, part_store *store, const site_list *sites, int value,
                const part_request *asked, const machine *m, const user_buffer *user, int *site);

/* All of a program. user: the caller's buffers, by slot. */
kernel_set *parts_assemble(graph *g, const part_list *parts, bool variable_weights, int nuser,
                           const user_buffer *user, const band_request *bands,
                           const side_request *sides);

#endif
