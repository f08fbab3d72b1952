/* Neighbouring loops of a value that are one loop.
 *
 * In: a stored value in its canonical form, which reads arrays flat, and in which nothing is a convolution. Out: the
 * same with loops o and n, of extents O and E, as one of extent O * E, where every array is read at coefficients c * E
 * of o and c of n: rows of an image that a 1x1 convolution or a map goes through, the axes of a flattened tensor that a
 * matrix product sums over. Always holds: elements and the order of terms stay as they were. */
#ifndef WN_PLAN_FUSE_H
#define WN_PLAN_FUSE_H

#include "ir/uop.h"

/* A loop of this extent for the value, different from those that it has. */
typedef const uop *(*fuse_loop)(void *user, int64_t extent);

/* Work memory in arena a. What is joined follows from the value alone, since sums with other loops round otherwise. The
 * result is simplified. */
const uop *fuse_loops(graph *g, arena *a, const uop *value, fuse_loop loop, void *user);

#endif
