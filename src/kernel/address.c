/* What an offset or a condition is made of, as lanes see it.
 *
 * In: integer expressions and conditions of the range IR. Out: base + stride * lane + constant, and the parts of a
 * condition.
 * Always holds: a base is scalar unless the address is a gather's; nothing is emitted. */
#include "kernel/build.h"

bool split_lanes(builder *b, const uop *e, const uop **base, int64_t *coeff, int64_t *k) {
  linear_form f;
  *coeff = *k = 0;
  if (!linear_of(e, &f)) return false;
  *k = f.constant;
  f.constant = 0;
  int keep = 0;
  for (int i = 0; i < f.n; ++i) {
    if (f.atom[i] == b->vector) {
      *coeff = f.coeff[i];
      continue;
    }
    if (is_vector(b, f.atom[i])) return false;
    f.atom[keep] = f.atom[i];
    f.coeff[keep++] = f.coeff[i];
  }
  f.n = keep;
  *base = linear_to_uop(b->g, &f);
  return true;
}

address split_address(builder *b, const uop *flat) {
  address a = {0};
  if (split_lanes(b, flat, &a.base, &a.stride, &a.disp)) return a;
  a.base = uop_addi(b->g, flat, -a.disp);
  a.stride = 0;
  a.gather = is_vector(b, flat);
  return a;
}

conditions conditions_of(arena *a, const uop *cond) {
  VEC(const uop *) stack = {0}, out = {0};
  vec_push(a, &stack, cond);
  while (stack.len > 0) {
    const uop *u = stack.data[--stack.len];
    if (u->op == OP_AND) {
      vec_push(a, &stack, u->src[1]);
      vec_push(a, &stack, u->src[0]);
    } else {
      vec_push(a, &out, u);
    }
  }
  return (conditions){out.data, out.len};
}

bool is_multiple(const uop *e, int64_t n) {
  linear_form f;
  if (!linear_of(e, &f) || f.constant % n != 0) return false;
  for (int i = 0; i < f.n; ++i) {
    if (f.coeff[i] % n != 0) return false;
  }
  return true;
}
