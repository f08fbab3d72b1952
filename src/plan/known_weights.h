/* What a stored value reads that is known while the graph is compiled.
 *
 * In: a stored value and what the caller's constants hold. Out: what its arrays hold: the caller's, and stored values
 * that constants alone decide, such as scaled weights, each element computed as it is asked for. */
#ifndef WN_PLAN_KNOWN_WEIGHTS_H
#define WN_PLAN_KNOWN_WEIGHTS_H

#include "plan/sites.h"
#include "winograd/weights.h"

/* By number of the value's arrays. `sites` and `of` are read as long as the weights are. */
wino_weights known_weights(graph *g, const site_list *sites, int value, const wino_weights *of);

#endif
