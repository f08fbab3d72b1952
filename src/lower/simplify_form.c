/* Arithmetic on linear forms: bounds, sums, and splitting by a scale.
 *
 * In: forms with atoms in order of id. Out: the same kind.
 * Always holds: an overflow anywhere is a false, never a wrong form. */
#include "lower/simplify.h"

int64_t int_gcd(int64_t a, int64_t b) {
  if (a == INT64_MIN || b == INT64_MIN) return 1;
  a = a < 0 ? -a : a;
  b = b < 0 ? -b : b;
  while (b) {
    int64_t t = a % b;
    a = b;
    b = t;
  }
  return a;
}

bool form_bounds(const linear_form *f, int64_t *lo, int64_t *hi) {
  *lo = *hi = f->constant;
  for (int k = 0; k < f->n; ++k) {
    int64_t c = f->coeff[k], a, b;
    int64_t from = c > 0 ? f->atom[k]->vmin : f->atom[k]->vmax,
            to = c > 0 ? f->atom[k]->vmax : f->atom[k]->vmin;
    if (__builtin_mul_overflow(c, from, &a) || __builtin_mul_overflow(c, to, &b)) return false;
    if (__builtin_add_overflow(*lo, a, lo) || __builtin_add_overflow(*hi, b, hi)) return false;
  }
  return true;
}

bool form_in_block(const linear_form *f, int64_t d, int64_t *block) {
  int64_t lo, hi;
  if (!form_bounds(f, &lo, &hi)) return false;
  *block = int_div(lo, d);
  return *block == int_div(hi, d);
}

bool form_add_const(linear_form *f, int64_t k) {
  return !__builtin_add_overflow(f->constant, k, &f->constant);
}

bool form_add(linear_form *f, const linear_form *other, int64_t k) {
  int64_t c;
  if (__builtin_mul_overflow(other->constant, k, &c) || !form_add_const(f, c)) return false;
  for (int i = 0; i < other->n; ++i)
    if (__builtin_mul_overflow(other->coeff[i], k, &c) || !form_add_atom(f, other->atom[i], c))
      return false;
  return true;
}

int64_t form_gcd(const linear_form *f) {
  int64_t g = 0;
  for (int k = 0; k < f->n; ++k) g = int_gcd(g, f->coeff[k]);
  return g;
}

bool form_split(const linear_form *f, int64_t g, bool keep_signs, linear_form *multiple,
                linear_form *rest) {
  multiple->n = rest->n = 0;
  multiple->constant = int_div(f->constant, g);
  rest->constant = f->constant - g * multiple->constant;
  for (int k = 0; k < f->n; ++k) {
    int64_t c = f->coeff[k], q = keep_signs && c > -g && c < g ? 0 : int_div(c, g);
    if (!form_add_atom(multiple, f->atom[k], q) || !form_add_atom(rest, f->atom[k], c - g * q))
      return false;
  }
  return true;
}

/* One scale: only what is no multiple of g is taken into the rest, with its sign unless it is too
 * large. */
static bool scale_by(const linear_form *f, int64_t g, linear_form *s, linear_form *rest) {
  int64_t block;
  for (int keep = 1; keep >= 0; --keep) {
    if (!form_split(f, g, keep, s, rest) || !form_in_block(rest, g, &block)) continue;
    if (form_add_const(s, block) && form_add_const(rest, -block * g)) return true;
  }
  return false;
}

bool form_scale(const linear_form *f, int64_t d, int64_t *g, linear_form *s, linear_form *rest) {
  int64_t tried[34], all = d;
  int n = 0;
  for (int k = 0; k < f->n; ++k) {
    tried[n++] = int_gcd(f->coeff[k], d);
    all = int_gcd(all, f->coeff[k]);
  }
  tried[n++] = all;
  /* sums of several scales: gcds of the larger coefficients, one after the other */
  for (int i = 1; i < n; ++i)
    for (int j = i; j > 0 && tried[j] > tried[j - 1]; --j) {
      int64_t t = tried[j];
      tried[j] = tried[j - 1];
      tried[j - 1] = t;
    }
  int single = n;
  int64_t together = d;
  for (int k = 0; k < single; ++k) tried[n++] = together = int_gcd(together, tried[k]);
  for (int k = 0; k < n; ++k)
    if (tried[k] > 1 && scale_by(f, *g = tried[k], s, rest) && s->n > 0) return true;
  return false;
}
