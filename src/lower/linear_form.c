/* Integer expressions as linear forms: constant + sum of coefficient * atom.
 *
 * In: an i64 expression. Out: its form with the atoms in order of id, each once, no coefficient 0;
 * or false where there are too many terms. Atoms are whatever is no ADD, SUB, NEG, or MUL by a
 * constant.
 * Always holds: the form and the expression are equal modulo 2^64, and the form built back is
 * canonical, so linear_to_uop(linear_of(e)) == e for every canonical e. */
#include "lower/simplify.h"

enum { MAX_ATOMS = 16, MAX_TERMS = 80 };

bool form_add_atom(linear_form *f, const uop *atom, int64_t k) {
  int at = f->n;
  while (at > 0 && f->atom[at - 1]->id > atom->id) --at;
  if (at > 0 && f->atom[at - 1] == atom) {
    --at;
    if (__builtin_add_overflow(f->coeff[at], k, &f->coeff[at])) return false;
    if (f->coeff[at] != 0) return true;
    --f->n;
    for (int i = at; i < f->n; ++i) {
      f->atom[i] = f->atom[i + 1];
      f->coeff[i] = f->coeff[i + 1];
    }
    return true;
  }
  if (k == 0) return true;
  if (f->n == MAX_ATOMS) return false;
  for (int i = f->n++; i > at; --i) {
    f->atom[i] = f->atom[i - 1];
    f->coeff[i] = f->coeff[i - 1];
  }
  f->atom[at] = atom;
  f->coeff[at] = k;
  return true;
}

typedef struct term {
  const uop *e;
  int64_t k;
} term;

/* One step: e is a leaf of the sum (then it is added to the form) or is replaced by its parts on
 * the stack. */
static bool split_term(linear_form *f, term t, term *stack, int *n) {
  const uop *e = t.e;
  int64_t k;
  switch (e->op) {
    case OP_CONST:
      return !__builtin_mul_overflow(t.k, e->arg.i, &k) &&
             !__builtin_add_overflow(f->constant, k, &f->constant);
    case OP_ADD:
      stack[(*n)++] = (term){e->src[1], t.k};
      stack[(*n)++] = (term){e->src[0], t.k};
      return true;
    case OP_SUB:
      if (t.k == INT64_MIN) return false;
      stack[(*n)++] = (term){e->src[1], -t.k};
      stack[(*n)++] = (term){e->src[0], t.k};
      return true;
    case OP_NEG:
      if (t.k == INT64_MIN) return false;
      stack[(*n)++] = (term){e->src[0], -t.k};
      return true;
    case OP_MUL: {
      const uop *c = e->src[1]->op == OP_CONST ? e->src[1] : e->src[0];
      const uop *x = c == e->src[1] ? e->src[0] : e->src[1];
      if (c->op != OP_CONST) return form_add_atom(f, e, t.k);
      if (__builtin_mul_overflow(t.k, c->arg.i, &k)) return false;
      stack[(*n)++] = (term){x, k};
      return true;
    }
    default:
      return form_add_atom(f, e, t.k);
  }
}

bool linear_of(const uop *e, linear_form *out) {
  out->constant = 0;
  out->n = 0;
  if (e->dtype != WN_I64) return false;
  term stack[MAX_TERMS + 2];
  int n = 0, steps = 0;
  stack[n++] = (term){e, 1};
  while (n) {
    if (n > MAX_TERMS || ++steps > 4 * MAX_TERMS) return false;
    term t = stack[--n];
    if (t.k != 0 && !split_term(out, t, stack, &n)) return false;
  }
  return true;
}

const uop *linear_to_uop(graph *g, const linear_form *f) {
  const uop *sum = NULL;
  for (int k = 0; k < f->n; ++k) {
    const uop *t = f->coeff[k] == 1 ? f->atom[k] : uop_muli(g, f->atom[k], f->coeff[k]);
    const uop *both[2] = {sum, t};
    sum = sum != NULL ? uop_new(g, OP_ADD, WN_I64, 2, both, (uop_arg){0}) : t;
  }
  if (sum == NULL) return uop_int(g, f->constant);
  return f->constant ? uop_addi(g, sum, f->constant) : sum;
}

int64_t linear_coefficient(const uop *e, const uop *atom) {
  linear_form f;
  if (!linear_of(e, &f)) return 0;
  for (int i = 0; i < f.n; ++i) {
    if (f.atom[i] == atom) return f.coeff[i];
  }
  return 0;
}
