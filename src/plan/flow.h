/* Products whose elements a map puts somewhere else.
 *
 * In: sites with their layouts, and a plan. Out: the plan in which such products have no array where that pays: the map
 * computes them, so a product stores each element where it belongs. Lowering stores a product apart from what reads it
 * in another order than it has loops (`torn` in lower/demand.c), as the phases of a transposed convolution, or a
 * depth-to-space. With channels in the lanes the order does not matter, as long as the map's neighbours are channels of
 * the product: the same vectors are stored, and not written and read before. What else there would be to price (a
 * product that is computed again, lanes that come apart) is left as it is.
 * Always holds: only what the plan leaves open is changed; the number of threads is not looked at. */
#ifndef WN_PLAN_FLOW_H
#define WN_PLAN_FLOW_H

#include "machine/machine.h"
#include "plan/plan.h"

void products_flow(graph *g, const site_list *sites, const user_buffer *user,
                   const plan_source *source, graph_plan *plan, const machine *m);

#endif
