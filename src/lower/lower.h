/* Tensor graph -> range IR, and the simplifier of index arithmetic.
 *
 * In: tensor-level nodes (movement ops, elementwise, REDUCE_AXIS over BUFFERs). Out: one BUFFERIZE (explicit, GLOBAL,
 * named "result0", "result1", ...) per output, over RANGEs of its shape, kept together by a SINK; movement has become
 * index expressions, padding a condition in INDEX or a WHERE. Extents of 1 have no RANGE;
 * an axis that a reshape fused (groups, unrolled windows) has one RANGE for each of its parts, so order is row-major
 * still. A value that a movement op or a second consumer would make computed again and again (a reduction read by
 * another reduction, an expensive value read at different indices) gets a BUFFERIZE of its own (space ANY, named b0,
 * b1, ...), and so does what is computed from constants for something that is not. */
#ifndef WN_LOWER_LOWER_H
#define WN_LOWER_LOWER_H

#include "ir/uop.h"

/* The same tensors without permutations and reshapes that undo each other (layouts.c). */
const uop *const *cancel_layouts(graph *g, int count, const uop *const *tensors);
/* The same tensors with scales of sums in their constant weights (scales.c): results round at other places. constant: by
 * slot of a BUFFER. */
const uop *const *fold_scales(graph *g, int count, const uop *const *tensors, const bool *constant);

/* constant: by slot of a BUFFER, whether it is the same in all runs; NULL: none is known to be. */
const uop *lower_tensors(graph *g, int count, const uop *const *tensors, const bool *constant);

/* Shape of a tensor-level node, interned; memoised in the graph's arena by the caller's map (keys: node ids). */
const int_list *tensor_shape(graph *g, map *memo, const uop *t);
/* The next axes, from *i and *j on, that a reshape makes of each other, and how many elements they have: both are moved
 * behind them. */
int64_t reshape_group(const int_list *from, const int_list *to, int *i, int *j);

/* Canonical form of index and condition arithmetic, constants folded everywhere, SUBSTITUTE resolved, GET of a known
 * element folded. Canonical integers: a sum of atoms times constants, atoms in order of id, constant last; no SUB or
 * NEG. Floating-point values are only touched where no result changes. Idempotent. */
const uop *simplify(graph *g, const uop *root);
/* The graph as it was with so many nodes. Sums have their terms in the order in which those were made, so what is made
 * once more from here on is the same whatever was tried before; nothing that was made since may be used with it. */
void graph_rewind(graph *g, uint32_t count);

/* An integer expression as constant + sum of coefficient * atom (atoms: RANGEs or non-linear subexpressions, in order
 * of id). False if it has more than max atoms. */
typedef struct linear_form {
  int64_t constant;
  int n;
  const uop *atom[16];
  int64_t coeff[16];
} linear_form;
bool linear_of(const uop *e, linear_form *out);
const uop *linear_to_uop(graph *g, const linear_form *f);
/* What a step of the atom adds to e; 0 where e is not linear. */
int64_t linear_coefficient(const uop *e, const uop *atom);
/* The greatest common divisor, >= 0; 1 where a number has no magnitude. */
int64_t int_gcd(int64_t a, int64_t b);

/* expr where every INDEX of a BUFFER or BUFFERIZE reads only where cond holds as well (so that nothing outside is
 * touched), and the value is 0 where cond fails. */
const uop *guard_value(graph *g, const uop *expr, const uop *cond);

#endif
