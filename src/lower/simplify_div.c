/* Division, remainder and comparison of linear forms by constants, and putting quotients and
 * remainders together.
 *
 * In: a form, a divisor d > 0. Out: a simpler expression, or NULL.
 * The mathematics, all with division rounded down:
 *   (d*q + r) / d = q + r/d        (d*q + r) % d = r % d                      q, r any integers
 *   r in [b*d, (b+1)*d)            =>  r/d = b,  r % d = r - b*d
 *   e = g*s + r, r in [0, g), g|d  =>  e/d = s/(d/g),  e % d = g*(s % (d/g)) + r
 *   r in [0, g)                    =>  g*s + r < g*k  <=>  s < k
 *   (x/a + k)/b = (x + k*a)/(a*b)  (x % (a*b))/b = (x/b) % a
 *   (x % (a*b)) % b = x % b
 *   a*(x/a) + x%a = x              a*((x/a) % b) + x%a = x % (a*b)
 * Progress: fewer divisions, else smaller coefficients, else larger divisors further in. */
#include "lower/simplify.h"

static const uop *div_node(graph *g, const uop *x, int64_t d) { return uop_divi(g, x, d); }

static const uop *form_uop(graph *g, const linear_form *f) { return linear_to_uop(g, f); }

static bool is_by_const(const uop *u, uop_op op) {
  return u->op == op && u->src[1]->op == OP_CONST && u->src[1]->arg.i > 0;
}

/* q + e, canonical; NULL where q is full */
static const uop *plus(graph *g, const linear_form *q, const uop *e) {
  linear_form sum = *q, part;
  if (!linear_of(e, &part) || !form_add(&sum, &part, 1)) return NULL;
  return form_uop(g, &sum);
}

/* r / d where r is one quotient or remainder plus a constant. */
static const uop *div_nested(graph *g, const linear_form *r, int64_t d) {
  if (r->n != 1 || r->coeff[0] != 1) return NULL;
  const uop *x = r->atom[0];
  int64_t a, ab, ka;
  if (is_by_const(x, OP_IDIV)) {
    a = x->src[1]->arg.i;
    if (__builtin_mul_overflow(a, d, &ab) || __builtin_mul_overflow(r->constant, a, &ka))
      return NULL;
    linear_form inner;
    int64_t lo, hi;
    if (!linear_of(x->src[0], &inner) || !form_add_const(&inner, ka) ||
        !form_bounds(&inner, &lo, &hi))
      return NULL;
    return div_node(g, form_uop(g, &inner), ab);
  }
  if (is_by_const(x, OP_MOD) && r->constant == 0 && x->src[1]->arg.i % d == 0)
    return uop_modi(g, div_node(g, x->src[0], d), x->src[1]->arg.i / d);
  return NULL;
}

const uop *form_div(graph *g, const linear_form *f, int64_t d) {
  linear_form q, r, s, rest;
  int64_t block, scale, lo, hi;
  if (!form_bounds(f, &lo, &hi)) return NULL;
  if (int_div(lo, d) == int_div(hi, d)) return uop_int(g, int_div(lo, d));
  for (int keep = 1; keep >= 0; --keep) {
    if (!form_split(f, d, keep, &q, &r) || !form_in_block(&r, d, &block)) continue;
    if (form_add_const(&q, block)) return form_uop(g, &q);
  }
  if (!form_split(f, d, true, &q, &r) || !form_bounds(&r, &lo, &hi)) return NULL;
  if (form_scale(&r, d, &scale, &s, &rest))
    return plus(g, &q, div_node(g, form_uop(g, &s), d / scale));
  const uop *nested = div_nested(g, &r, d);
  if (nested != NULL) return plus(g, &q, nested);
  bool taken = q.n > 0 || q.constant != 0;
  return taken ? plus(g, &q, div_node(g, form_uop(g, &r), d)) : NULL;
}

/* Remainders by a multiple of d add nothing but their operand: (x % (a*d)) % d = x % d. */
static bool unwrap_mods(const linear_form *r, int64_t d, linear_form *out) {
  bool any = false;
  out->n = 0;
  out->constant = r->constant;
  for (int k = 0; k < r->n; ++k) {
    const uop *x = r->atom[k];
    int64_t wrap;
    linear_form inner;
    bool whole = is_by_const(x, OP_MOD) &&
                 !__builtin_mul_overflow(x->src[1]->arg.i, r->coeff[k], &wrap) && wrap % d == 0 &&
                 linear_of(x->src[0], &inner);
    if (whole ? !form_add(out, &inner, r->coeff[k]) : !form_add_atom(out, x, r->coeff[k]))
      return false;
    any = any || whole;
  }
  int64_t lo, hi;
  return any && form_bounds(out, &lo, &hi);
}

const uop *form_mod(graph *g, const linear_form *f, int64_t d) {
  linear_form q, r, s, rest;
  int64_t block, scale, lo, hi;
  if (!form_bounds(f, &lo, &hi)) return NULL;
  for (int keep = 1; keep >= 0; --keep) {
    if (!form_split(f, d, keep, &q, &r) || !form_in_block(&r, d, &block)) continue;
    if (form_add_const(&r, -block * d)) return form_uop(g, &r);
  }
  if (!form_split(f, d, true, &q, &r) || !form_bounds(&r, &lo, &hi)) return NULL;
  if (form_scale(&r, d, &scale, &s, &rest)) {
    const uop *m = uop_modi(g, form_uop(g, &s), d / scale);
    return plus(g, &rest, uop_muli(g, m, scale));
  }
  if (unwrap_mods(&r, d, &s)) return uop_modi(g, form_uop(g, &s), d);
  bool taken = q.n > 0 || q.constant != 0;
  return taken ? uop_modi(g, form_uop(g, &r), d) : NULL;
}

/* --- recombination ---------------------------------------------------------------------------- */

static int find_atom(const linear_form *f, const uop *atom) {
  for (int k = 0; k < f->n; ++k)
    if (f->atom[k] == atom) return k;
  return -1;
}

/* x / d as a form, in the shape that the rules give it. */
static bool quotient_of(graph *g, const uop *x, int64_t d, linear_form *q) {
  linear_form f;
  if (!linear_of(x, &f)) return false;
  const uop *e = form_div(g, &f, d);
  return linear_of(e != NULL ? e : div_node(g, x, d), q);
}

/* The remainder atom number b with the quotient of the same value: a*s*(x/a) + s*(x%a) -> s*x. */
static bool join_quotient(linear_form *f, int b, const linear_form *q) {
  const uop *mod = f->atom[b];
  int64_t s = f->coeff[b], sa, c;
  if (q->n == 0 || __builtin_mul_overflow(s, mod->src[1]->arg.i, &sa)) return false;
  for (int k = 0; k < q->n; ++k) {
    int at = find_atom(f, q->atom[k]);
    if (at < 0 || __builtin_mul_overflow(sa, q->coeff[k], &c) || f->coeff[at] != c) return false;
  }
  linear_form sum = *f, x;
  if (!linear_of(mod->src[0], &x) || !form_add_atom(&sum, mod, -s) || !form_add(&sum, q, -sa))
    return false;
  if (!form_add(&sum, &x, s)) return false;
  *f = sum;
  return true;
}

/* ... or with the remainder of that quotient: a*s*((x/a) % n) + s*(x%a) -> s*(x % (a*n)). */
static bool join_remainder(graph *g, linear_form *f, int b, const linear_form *q) {
  const uop *mod = f->atom[b];
  int64_t s = f->coeff[b], a = mod->src[1]->arg.i, sa, an;
  if (__builtin_mul_overflow(s, a, &sa)) return false;
  for (int k = 0; k < f->n; ++k) {
    const uop *y = f->atom[k];
    linear_form inner;
    if (k == b || f->coeff[k] != sa || !is_by_const(y, OP_MOD) || !linear_of(y->src[0], &inner))
      continue;
    if (!form_add(&inner, q, -1) || inner.n || inner.constant) continue;
    if (__builtin_mul_overflow(a, y->src[1]->arg.i, &an)) continue;
    const uop *whole = uop_modi(g, mod->src[0], an);
    linear_form sum = *f;
    if (!form_add_atom(&sum, mod, -s) || !form_add_atom(&sum, y, -sa) ||
        !form_add_atom(&sum, whole, s))
      continue;
    *f = sum;
    return true;
  }
  return false;
}

bool form_recombine(graph *g, linear_form *f) {
  for (int b = 0; f->n > 1 && b < f->n; ++b) {
    linear_form q;
    if (!is_by_const(f->atom[b], OP_MOD)) continue;
    if (!quotient_of(g, f->atom[b]->src[0], f->atom[b]->src[1]->arg.i, &q)) continue;
    if (join_quotient(f, b, &q) || join_remainder(g, f, b, &q)) return true;
  }
  return false;
}

/* --- comparison ------------------------------------------------------------------------------- */

/* t < c as s < *m where t = g * s + rest and the rest, wherever it lies, never decides: some
 * coefficient's g is larger than all that the rest can vary, and c falls between the rest's values of
 * one s and the next. */
static bool drop_rest(const linear_form *t, int64_t c, linear_form *s, int64_t *m) {
  for (int k = 0; k < t->n; ++k) {
    int64_t g = t->coeff[k] < 0 ? -t->coeff[k] : t->coeff[k], lo, hi;
    linear_form rest;
    if (g < 2 || !form_split(t, g, true, s, &rest) || !form_bounds(&rest, &lo, &hi)) continue;
    if (rest.n == 0 || hi - lo >= g) continue;
    /* with 0 <= r = rest - lo < g:  g * s + r < c - lo */
    int64_t whole = int_div(c - lo, g), over = c - lo - whole * g;
    if (over != 0 && over <= hi - lo) continue;
    *m = whole + (over != 0) - s->constant;
    s->constant = 0;
    return true;
  }
  return false;
}

/* t < c for a form t without constant. */
static const uop *less_than(graph *g, linear_form *t, int64_t c) {
  for (;;) {
    int64_t lo, hi, scale;
    linear_form s, rest;
    if (!form_bounds(t, &lo, &hi)) return NULL;
    if (hi < c) return uop_bool(g, true);
    if (lo >= c) return uop_bool(g, false);
    const uop *x = t->n == 1 ? t->atom[0] : NULL;
    if (x != NULL && is_by_const(x, OP_IDIV) && (t->coeff[0] == 1 || t->coeff[0] == -1)) {
      /* x/a < c <=> x < a*c;   -(x/a) < c <=> x/a >= 1-c <=> x >= a*(1-c) <=> -x < 1 - a*(1-c) */
      int64_t a = x->src[1]->arg.i, sign = t->coeff[0], bound;
      linear_form inner = {0}, numerator;
      if (__builtin_mul_overflow(a, sign > 0 ? c : 1 - c, &bound) ||
          !linear_of(x->src[0], &numerator))
        break;
      if (!form_add(&inner, &numerator, sign) || !form_bounds(&inner, &lo, &hi)) break;
      c = (sign > 0 ? bound : 1 - bound) - inner.constant;
      inner.constant = 0;
      *t = inner;
      continue;
    }
    int64_t all = form_gcd(t);
    if (all > 1) {
      if (!form_split(t, all, true, &s, &rest)) break;
      c = -int_div(-c, all);
      *t = s;
      continue;
    }
    int64_t bound;
    if (drop_rest(t, c, &s, &bound)) {
      *t = s;
      c = bound;
      continue;
    }
    if (!form_scale(t, 0, &scale, &s, &rest)) break;
    /* g*s + r < g*m + c0, r in [0, g):  s < m where c0 <= all r,  s < m + 1 where all r < c0 */
    int64_t m = int_div(c, scale), c0 = c - m * scale;
    if (!form_bounds(&rest, &lo, &hi) || (c0 > lo && c0 <= hi)) break;
    c = (c0 > hi ? m + 1 : m) - s.constant;
    s.constant = 0;
    *t = s;
  }
  return uop_lt(g, form_uop(g, t), c);
}

const uop *form_negative(graph *g, const linear_form *f) {
  linear_form t = *f;
  int64_t lo, hi, c;
  if (!form_bounds(f, &lo, &hi) || f->constant == INT64_MIN || lo < INT64_MIN / 4 ||
      hi > INT64_MAX / 4)
    return NULL;
  c = -f->constant;
  t.constant = 0;
  return less_than(g, &t, c);
}
