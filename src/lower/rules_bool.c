/* Rules of conditions.
 *
 * In: AND, OR, NOT, EQ and arithmetic over bool. Out: a conjunction is a chain of different
 * conditions in order of id, none implied by a comparison of the same form beside it; NOT stands
 * only before what has no opposite of its own; what compares one of two numbers is the condition
 * that chooses.
 * Progress: fewer conditions, else NOT further in, else the one order. */
#include "lower/simplify.h"

enum { MAX_CONDITIONS = 64 };

static bool is_less(const uop *u, linear_form *f, int64_t *c) {
  if (u->op != OP_LT || u->src[1]->op != OP_CONST || u->src[0]->dtype != WN_I64) return false;
  *c = u->src[1]->arg.i;
  return linear_of(u->src[0], f) && f->constant == 0 && *c > INT64_MIN / 4 && *c < INT64_MAX / 4;
}

static bool forms_cancel(const linear_form *a, const linear_form *b, int64_t sign) {
  if (a->n != b->n) return false;
  for (int k = 0; k < a->n; ++k)
    if (a->atom[k] != b->atom[k] || a->coeff[k] != sign * b->coeff[k]) return false;
  return true;
}

typedef enum { NEITHER, FIRST_HOLDS, SECOND_HOLDS, NEVER } relation;

/* Of two conditions that must both hold: is one implied by the other, or can they never hold
 * together? */
static relation relate(const uop *a, const uop *b) {
  linear_form fa, fb;
  int64_t ca, cb;
  if ((a->op == OP_NOT && a->src[0] == b) || (b->op == OP_NOT && b->src[0] == a)) return NEVER;
  if (!is_less(a, &fa, &ca) || !is_less(b, &fb, &cb)) return NEITHER;
  if (forms_cancel(&fa, &fb, 1)) return ca <= cb ? SECOND_HOLDS : FIRST_HOLDS;
  /* t < ca and -t < cb: t in [1 - cb, ca - 1] */
  return forms_cancel(&fa, &fb, -1) && ca - 1 < 1 - cb ? NEVER : NEITHER;
}

/* The operands of a chain of ANDs in order of id, each once; -1 where there are too many. */
static int flatten(const uop *root, const uop **out) {
  const uop *stack[MAX_CONDITIONS + 2];
  int n = 0, top = 0;
  stack[top++] = root;
  while (top) {
    const uop *u = stack[--top];
    if (u->op == OP_AND) {
      if (top + 2 > MAX_CONDITIONS) return -1;
      stack[top++] = u->src[0];
      stack[top++] = u->src[1];
      continue;
    }
    int at = n;
    while (at > 0 && out[at - 1]->id > u->id) --at;
    if (at > 0 && out[at - 1] == u) continue;
    if (n == MAX_CONDITIONS) return -1;
    for (int k = n++; k > at; --k) out[k] = out[k - 1];
    out[at] = u;
  }
  return n;
}

static const uop *conjunction(match *m) {
  const uop *c[MAX_CONDITIONS];
  int n = flatten(m->root, c), kept = 0;
  if (n < 0) return NULL;
  bool drop[MAX_CONDITIONS] = {false};
  for (int i = 0; i < n; ++i) {
    if (uop_is_int(c[i], 0)) return c[i];
    if (c[i]->op == OP_CONST) drop[i] = true;
    for (int j = i + 1; j < n && !drop[i]; ++j) {
      if (drop[j]) continue;
      relation r = relate(c[i], c[j]);
      if (r == NEVER) return uop_bool(m->g, false);
      if (r == FIRST_HOLDS) drop[i] = true;
      if (r == SECOND_HOLDS) drop[j] = true;
    }
  }
  const uop *all = NULL;
  for (int i = 0; i < n; ++i) {
    if (drop[i]) continue;
    const uop *both[2] = {all, c[i]};
    all = kept++ ? uop_new(m->g, OP_AND, WN_BOOL, 2, both, (uop_arg){0}) : c[i];
  }
  return all != NULL ? all : uop_bool(m->g, true);
}

/* t < a or t < b: the weaker; t < a or -t < b: always, where they overlap */
static const uop *disjunction(match *m) {
  linear_form fa, fb;
  int64_t ca, cb;
  const uop *a = m->v[VAR_x], *b = m->v[VAR_y];
  if ((a->op == OP_NOT && a->src[0] == b) || (b->op == OP_NOT && b->src[0] == a))
    return uop_bool(m->g, true);
  if (!is_less(a, &fa, &ca) || !is_less(b, &fb, &cb)) return NULL;
  if (forms_cancel(&fa, &fb, 1)) return ca <= cb ? b : a;
  return forms_cancel(&fa, &fb, -1) && 1 - cb <= ca ? uop_bool(m->g, true) : NULL;
}

static bool of_index(const match *m) {
  return m->v[VAR_x]->dtype == WN_I64 && m->v[VAR_a]->arg.i > INT64_MIN / 2;
}

/* not t < c  <=>  c - 1 < t */
static const uop *not_less(match *m) {
  return uop_alu2(m->g, OP_LT, uop_int(m->g, m->v[VAR_a]->arg.i - 1), m->v[VAR_x]);
}

/* (c ? a : b) < z, of numbers: c, its opposite, or known */
static const uop *less_of_choice(match *m) {
  const bool first = m->v[VAR_a]->arg.i < m->v[VAR_z]->arg.i,
             second = m->v[VAR_b]->arg.i < m->v[VAR_z]->arg.i;
  if (first == second) return uop_bool(m->g, first);
  return first ? m->v[VAR_c] : uop_alu1(m->g, OP_NOT, m->v[VAR_c]);
}

static const rule rules[] = {
    {"conjunction", ROOT(AND), .build = conjunction, .on = ON_BOOL},
    {"or-same", N(OR, V(x), V(x)), .into = V(x), .on = ON_BOOL},
    {"or-true", N(OR, V(x), B(1)), .into = B(1), .on = ON_BOOL},
    {"or-false", N(OR, V(x), B(0)), .into = V(x), .on = ON_BOOL},
    {"or-absorb", N(OR, V(x), N(AND, V(x), V(y))), .into = V(x), .on = ON_BOOL},
    {"and-absorb", N(AND, V(x), N(OR, V(x), V(y))), .into = V(x), .on = ON_BOOL},
    {"disjunction", N(OR, V(x), V(y)), .build = disjunction, .on = ON_BOOL},
    {"not-not", N(NOT, N(NOT, V(x))), .into = V(x), .on = ON_BOOL},
    {"not-less", N(NOT, N(LT, V(x), K(a))), .build = not_less, .when = of_index, .on = ON_BOOL},
    {"less-of-choice", N(LT, N(WHERE, V(c), K(a), K(b)), K(z)), .build = less_of_choice,
     .on = ON_INT},
    {"not-or", N(NOT, N(OR, V(x), V(y))), .into = N(AND, N(NOT, V(x)), N(NOT, V(y))),
     .on = ON_BOOL},
    {"equal-true", N(EQ, V(x), B(1)), .into = V(x), .on = ON_BOOL},
    {"equal-false", N(EQ, V(x), B(0)), .into = N(NOT, V(x)), .on = ON_BOOL},
    {"bool-product", N(MUL, V(x), V(y)), .into = N(AND, V(x), V(y)), .on = ON_BOOL},
    {"bool-smaller", N(MIN, V(x), V(y)), .into = N(AND, V(x), V(y)), .on = ON_BOOL},
    {"bool-larger", N(MAX, V(x), V(y)), .into = N(OR, V(x), V(y)), .on = ON_BOOL},
};

const rule_table bool_rules = {rules, sizeof rules / sizeof *rules};
