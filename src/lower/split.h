/* Loops that were fused by a reshape, taken apart again.
 *
 * In: simplified range IR in which some RANGE r of extent e occurs as r IDIV c and r MOD c with
 * c dividing e: an output whose axis is a reshape of two, a sum over a flattened window. Out: r
 * is r0*c + r1 with loops r0 and r1 in its place, so that no division is left and a fused axis
 * cannot hide a convolution. The row-major order of a BUFFERIZE stays the same. Always holds: a
 * BUFFERIZE that is read at an index is split only if no reader's index is left with a division
 * that splitting its own ranges does not remove. */
#ifndef WN_LOWER_SPLIT_H
#define WN_LOWER_SPLIT_H

#include "ir/uop.h"

/* Work memory in arena a; the result is simplified. */
const uop *split_ranges(graph *g, arena *a, const uop *root);

#endif
