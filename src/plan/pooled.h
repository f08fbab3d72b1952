/* Sums over the places of another value whose kernel makes their partial sums.
 *
 * In: sites, and a plan that says `sums` of some. Out: the sites with such a sum in two: *partial sums* over the
 * innermost of the loops that are summed over (pixels of a row; where rows are short and one loop, of an image), which
 * are stored by the kernel of the value as it computes it, and the sum of those; or which sums are worth that. So a
 * global pooling, or the squeeze of a squeeze-excite branch, does not read an activation again, and one that nothing
 * else reads is never stored at all.
 * A partial sum is made by one block of its kernel's grid, in the order of that block's loops: its bits do not depend on
 * the number of threads. It adds fewer terms than the sum, so the error is no larger.
 * Always holds: sites keep their numbers: partial sums are values of the sum's site; the number of threads is not
 * looked at. */
#ifndef WN_PLAN_POOLED_H
#define WN_PLAN_POOLED_H

#include "machine/machine.h"
#include "plan/plan.h"

/* Sets `sums` of sums whose plan is to be chosen where that pays. True: there are any. */
bool pooled_choose(graph *g, const site_list *sites, const plan_source *source, graph_plan *plan,
                   const machine *m);
/* The sites with partial sums as the plan says. diag_fail(WN_ERR_REFUSED) where there cannot be any, with the reason. */
site_list sites_pool(graph *g, const site_list *all, const graph_plan *plan, const machine *m);

#endif
