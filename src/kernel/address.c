/* What an offset is made of, as lanes see it.
 *
 * In: integer expressions of the range IR. Out: base + stride * lane + constant.
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

bool is_multiple(const uop *e, int64_t n) {
  linear_form f;
  if (!linear_of(e, &f) || f.constant % n != 0) return false;
  for (int i = 0; i < f.n; ++i) {
    if (f.coeff[i] % n != 0) return false;
  }
  return true;
}
