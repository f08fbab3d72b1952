/* Launches side by side: those that do not depend on each other as one job of the thread pool.
 *
 * A launch ends when its last block is done, and until then threads that find no block left are idle: the fewer blocks
 * it has, the longer. Where a network has branches (the heads of a detector, the convolutions of an inception block,
 * the projection beside a residual's first convolution) other launches could go on meanwhile.
 * In: kernels in running order, what the plan says (side=) and what launches take. Out: the kernels in an order in which
 * those of a group are neighbours, and the groups. All kernels of a stored value are a unit. A set is units of which
 * none needs what another one makes; it runs where the first of them would, and its groups are the first kernels of
 * all, then the second ones, and so on. What depends on what is read from the arrays that kernels read and write.
 * Always holds: a kernel runs after all that write what it reads, in a later group or behind it; otherwise the order is
 * kept; kernels of host loops, those that take turns and those of preparing are in no group; kernels and their bits are
 * what they are without. */
#ifndef WN_NEST_SIDES_H
#define WN_NEST_SIDES_H

#include "nest/nest.h"
#include "plan/cost.h"

typedef struct side_request {
  const cost_target *cost; /* for those that are chosen; NULL: none are */
  const int *said;         /* by site, as a schedule says it */
  const site_list *sites;
} side_request;

/* Sets set->sides and side_sets, before memory is planned. diag_fail(WN_ERR_REFUSED) where a plan asks for what cannot
 * be. */
void sides_find(graph *g, kernel_set *set, arena *scratch, const side_request *request);

#endif
