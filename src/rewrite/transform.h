/* Bottom-up rebuilding of a graph. In: a root and a function of one node. Out: the root with every node passed through
 * it.
 * Always holds: what is rebuilt has the form that the simplifier would give it, commutative operands in order, so that
 * a BUFFERIZE stays the same node when it is simplified later. */
#ifndef WN_REWRITE_TRANSFORM_H
#define WN_REWRITE_TRANSFORM_H

#include "ir/walk.h"

/* Gets each node with its new sources and returns what stands for it. */
typedef const uop *(*rebuild_fn)(void *user, const uop *u);

/* What the work needs meanwhile is in arena a. */
const uop *uop_transform(graph *g, arena *a, const uop *root, rebuild_fn fn, void *user);
/* The same for what is computed for a value (uop_walk_value): a BUFFERIZE that it reads is passed to fn, not entered.
 * */
const uop *uop_transform_value(graph *g, arena *a, const uop *value, rebuild_fn fn, void *user);

#endif
