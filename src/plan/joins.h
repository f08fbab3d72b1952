/* Stored values that one kernel stores together.
 *
 * In: sites, and a plan that says `with` of some. Out: the sites with those values joined; or which ones are worth it.
 * Values that read an array in common and go through the same loops read it once then, and need one launch: the sum and
 * the sum of squares of a normalisation, the largest element and another sum, two maps of one activation, the high and
 * the low part of a number. One may read another at the point that it computes itself, as the place of the largest
 * reads the largest.
 * Always holds: each is computed as its own kernel would compute it, so no bit changes; the number of threads is
 * not looked at. */
#ifndef WN_PLAN_JOINS_H
#define WN_PLAN_JOINS_H

#include "machine/machine.h"
#include "plan/plan.h"

enum { JOINED_AT_MOST = 4 }; /* values of a kernel */

/* Says of each site whether there is an earlier one that it might be joined to, on some machine. */
void joins_mark(graph *g, site_list *sites);
/* Joins what may be joined and pays: sets `with` of those whose plan is to be chosen. True: there are any. */
bool joins_choose(graph *g, const site_list *sites, const plan_source *source, graph_plan *plan,
                  const machine *m);
/* The sites with values joined as the plan says. diag_fail(WN_ERR_REFUSED) where one cannot be, with the reason; *site
 * then says of which plan. */
site_list sites_join(graph *g, const site_list *all, const graph_plan *plan, const machine *m,
                     int *site);

#endif
