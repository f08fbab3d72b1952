/* Rules of index arithmetic: i64, known not to overflow wherever bounds are used.
 *
 * In: ADD, SUB, NEG, MUL, IDIV, MOD, MAX, MIN, LT, EQ over index values. Out: the canonical form:
 * sums of atoms times constants with the atoms in order of id and the constant last; remainders and
 * quotients by positive constants, whose operands are reduced; comparisons of a form without
 * constant, coefficients without common factor, with a constant.
 * Progress: a sum becomes the one canonical sum of its atoms; otherwise see simplify_div.c. The
 * work is done on linear forms, so these rules are named functions rather than patterns. */
#include "lower/simplify.h"

static const uop *linear(match *m) {
  linear_form f;
  if (!linear_of(m->root, &f)) return NULL;
  return linear_to_uop(m->g, &f);
}

static const uop *recombine(match *m) {
  linear_form f;
  if (!linear_of(m->root, &f) || !form_recombine(m->g, &f)) return NULL;
  return linear_to_uop(m->g, &f);
}

static bool by_positive(const match *m) { return m->v[VAR_a]->arg.i > 0; }
static bool by_negative(const match *m) {
  return m->v[VAR_a]->arg.i < 0 && m->v[VAR_a]->arg.i > INT64_MIN;
}

static const uop *divide(match *m) {
  linear_form f;
  return linear_of(m->v[VAR_x], &f) ? form_div(m->g, &f, m->v[VAR_a]->arg.i) : NULL;
}

/* x / -d = -x / d */
static const uop *divide_negative(match *m) {
  linear_form f, minus = {0};
  int64_t lo, hi;
  if (!linear_of(m->v[VAR_x], &f) || !form_add(&minus, &f, -1) || !form_bounds(&minus, &lo, &hi))
    return NULL;
  return uop_divi(m->g, linear_to_uop(m->g, &minus), -m->v[VAR_a]->arg.i);
}

static const uop *remainder_of(match *m) {
  linear_form f;
  return linear_of(m->v[VAR_x], &f) ? form_mod(m->g, &f, m->v[VAR_a]->arg.i) : NULL;
}

/* a - b, if neither the form nor its sources can overflow */
static bool difference(const match *m, linear_form *f, int64_t *lo, int64_t *hi) {
  linear_form b;
  return linear_of(m->root->src[0], f) && linear_of(m->root->src[1], &b) && form_add(f, &b, -1) &&
         form_bounds(f, lo, hi);
}

static const uop *less(match *m) {
  linear_form f;
  int64_t lo, hi;
  return difference(m, &f, &lo, &hi) ? form_negative(m->g, &f) : NULL;
}

static const uop *equal(match *m) {
  linear_form f, t = {0};
  int64_t lo, hi;
  if (!difference(m, &f, &lo, &hi)) return NULL;
  if (f.n == 0 || lo > 0 || hi < 0) return uop_bool(m->g, f.n == 0 && f.constant == 0);
  int64_t gcd = form_gcd(&f), c = f.constant;
  if (c % gcd != 0) return uop_bool(m->g, false);
  int64_t sign = f.coeff[0] < 0 ? -1 : 1;
  f.constant = 0;
  for (int k = 0; k < f.n; ++k)
    if (!form_add_atom(&t, f.atom[k], f.coeff[k] / gcd * sign)) return NULL;
  return uop_alu2(m->g, OP_EQ, linear_to_uop(m->g, &t), uop_int(m->g, -(c / gcd) * sign));
}

static const uop *larger(match *m) {
  linear_form f;
  int64_t lo, hi;
  if (!difference(m, &f, &lo, &hi)) return NULL;
  return lo >= 0 ? m->root->src[0] : hi <= 0 ? m->root->src[1] : NULL;
}

static const uop *smaller(match *m) {
  linear_form f;
  int64_t lo, hi;
  if (!difference(m, &f, &lo, &hi)) return NULL;
  return lo >= 0 ? m->root->src[1] : hi <= 0 ? m->root->src[0] : NULL;
}

static const rule rules[] = {
    {"sum", ROOT(ADD), .build = linear, .on = ON_INDEX},
    {"sum-of-difference", ROOT(SUB), .build = linear, .on = ON_INDEX},
    {"sum-of-negation", ROOT(NEG), .build = linear, .on = ON_INDEX},
    {"sum-times-constant", ROOT(MUL), .build = linear, .on = ON_INDEX},
    {"recombine", ROOT(ADD), .build = recombine, .on = ON_INDEX},
    {"divide", N(IDIV, V(x), K(a)), .build = divide, .when = by_positive, .on = ON_INDEX},
    {"divide-negative", N(IDIV, V(x), K(a)), .build = divide_negative, .when = by_negative,
     .on = ON_INDEX},
    {"remainder", N(MOD, V(x), K(a)), .build = remainder_of, .when = by_positive, .on = ON_INDEX},
    {"less", ROOT(LT), .build = less, .on = ON_INDEX},
    {"equal", ROOT(EQ), .build = equal, .on = ON_INDEX},
    {"larger", ROOT(MAX), .build = larger, .on = ON_INDEX},
    {"smaller", ROOT(MIN), .build = smaller, .on = ON_INDEX},
};

const rule_table index_rules = {rules, sizeof rules / sizeof *rules};
