/* kron: n-mode products as straight-line expressions.
 *
 * In: a row-major block of values and one matrix per axis, as the steps of wino_steps_build. Out:
 * the block of results. A d-dimensional Winograd transform is the Kronecker product of its one-
 * dimensional ones, so it is applied to every line along the last axis, then along the one before,
 * and so on; rows times the remaining extents lines each.
 * Always holds: one step is one node pair ADD(MUL(CONST, a), b), which kernels fuse to one
 * multiply-add; factors of 1 and -1 are a plain ADD and SUB. Equal subexpressions are one node
 * because nodes are interned. */
#include "winograd/recognise.h"

static const uop *step_value(graph *g, const wino_step *s, const uop *const *value) {
  const uop *a = value[s->a];
  const uop *b = s->b < 0 ? NULL : value[s->b];
  if (b == NULL) {
    if (s->k == 1) return a;
    return s->k == -1 ? uop_alu1(g, OP_NEG, a) : uop_mul(g, uop_const(g, a->dtype, s->k), a);
  }
  if (s->k == 1) return uop_add(g, a, b);
  if (s->k == -1) return uop_alu2(g, OP_SUB, b, a);
  return uop_add(g, uop_mul(g, uop_const(g, a->dtype, s->k), a), b);
}

/* One line: cols values in[i * stride] become rows values out[i * stride]. */
static void line(graph *g, const wino_steps *s, const uop **value, const uop *const *in,
                 const uop **out, size_t stride) {
  for (int i = 0; i < s->cols; ++i) value[i] = in[(size_t)i * stride];
  for (int i = 0; i < s->count; ++i) value[s->cols + i] = step_value(g, &s->step[i], value);
  for (int i = 0; i < s->rows; ++i) {
    int r = s->result[i];
    out[(size_t)i * stride] = r < 0 ? uop_const(g, in[0]->dtype, 0) : value[r];
  }
}

const uop **wino_kron(graph *g, int ndim, const wino_steps *const *steps, const uop *const *in) {
  const uop *const *now = in;
  const uop **next = NULL;
  size_t inner = 1; /* extents of the axes that are done */
  for (int axis = ndim - 1; axis >= 0; --axis) {
    const wino_steps *s = steps[axis];
    size_t outer = 1;
    for (int i = 0; i < axis; ++i) outer *= (size_t)steps[i]->cols;
    next = arena_array(&g->arena, const uop *, outer *(size_t)s->rows *inner);
    const uop **value = arena_array(&g->arena, const uop *, s->cols + s->count);
    for (size_t o = 0; o < outer; ++o) {
      for (size_t i = 0; i < inner; ++i) {
        line(g, s, value, now + o * (size_t)s->cols * inner + i,
             next + o * (size_t)s->rows * inner + i, inner);
      }
    }
    inner *= (size_t)s->rows;
    now = next;
  }
  return next;
}
