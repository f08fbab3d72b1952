/* The register tile of a stored value that is neither rewritten nor a product of an image and weights.
 *
 * In: extents of the two loops that a nest holds in registers, the machine. Out: the tile. Always holds: sizes that the
 * schedule says are kept, and the tile that was chosen, said in a schedule, is chosen again. */
#ifndef WN_PLAN_VALUES_H
#define WN_PLAN_VALUES_H

#include "plan/tiles.h"

enum {
  SUMS_AT_ONCE =
      8 /* accumulators that hide the latency of additions, and fit the registers of every machine */
};

enum { MOST_LANES = 16, VECTOR_BYTES = 64 }; /* of a vector, whatever the machine */

/* What the schedule says, where vectors of so many are had; 0: it says nothing, or a device's work items are lanes. */
int lanes_said(const schedule *s, const machine *m, wn_dtype dtype);

typedef struct value_shape {
  wn_dtype dtype;    /* the widest that is computed with */
  int64_t along;     /* extent of the loop that goes into lanes, 0: none does */
  int64_t across;    /* of the loop over which operands are shared, 0: there is none */
  int64_t others;    /* of all other loops */
  bool slides;       /* vectors that are read come again for the next point across: windows */
  bool reduces;      /* there are sums in it, */
  int64_t innermost; /* of which the shortest innermost loop is this long */
} value_shape;

enum { SHORT_LOOP = 9, LONG_LOOP = 64 }; /* of a sum: unrolled; worth accumulators of its own */

register_tile value_tile(const schedule *s, const machine *m, const value_shape *v);

#endif
