/* The node like u over other sources, with the light folding of building (uop_alu2, uop_get, ...).
 * Returns u itself where the sources are its own. */
#ifndef WN_REWRITE_REBUILD_H
#define WN_REWRITE_REBUILD_H

#include "ir/uop.h"

const uop *uop_rebuild(graph *g, const uop *u, const uop *const *src);
bool uop_binds(const uop *u); /* REDUCE or BUFFERIZE: sources from 1 on are RANGEs that it binds */

#endif
