/* An index simplified under the knowledge that a condition holds.
 *
 * In: an index and the condition under which it is used. Out: an index that is equal wherever the
 * condition holds and has fewer divisions, or the same one. A comparison of the condition bounds a
 * form t. Its values lo..hi become a fresh RANGE r: t = lo + r, solved for one atom of t with
 * coefficient 1 or -1 and put into the index; what the tighter bounds decide is decided by the
 * ordinary rules; then r = t - lo goes back. Both steps are equalities under the condition, so
 * nothing else needs proof. */
#include "lower/simplify.h"

enum { MAX_KNOWN = 16, MAX_SEEN = 256 };

typedef struct known {
  linear_form t; /* without constant */
  int64_t lo, hi;
} known;

/* How many divisions and remainders are in e, as far as MAX_SEEN nodes show; -1 where e reads
 * memory: indices that depend on data are left alone. */
static int count_divisions(const uop *e) {
  const uop *stack[MAX_SEEN + 4], *seen[MAX_SEEN];
  int top = 0, count = 0, nseen = 0;
  stack[top++] = e;
  while (top) {
    const uop *u = stack[--top];
    if (u->op == OP_INDEX || u->op == OP_REDUCE || u->nsrc > 3) return -1;
    bool again = false;
    for (int k = 0; k < nseen && !again; ++k) again = seen[k] == u;
    if (again || u->nsrc == 0) continue;
    if (nseen == MAX_SEEN || top + 3 > MAX_SEEN) return count;
    seen[nseen++] = u;
    count += u->op == OP_IDIV || u->op == OP_MOD;
    for (int k = 0; k < u->nsrc; ++k) stack[top++] = u->src[k];
  }
  return count;
}

static bool is_same_form(const linear_form *a, const linear_form *b, int64_t sign) {
  if (a->n != b->n) return false;
  for (int k = 0; k < a->n; ++k)
    if (a->atom[k] != b->atom[k] || a->coeff[k] != sign * b->coeff[k]) return false;
  return true;
}

/* t < c joins what is known. */
static void learn(known *all, int *n, const linear_form *t, int64_t c) {
  for (int k = 0; k < *n; ++k) {
    if (is_same_form(&all[k].t, t, 1) && c - 1 < all[k].hi) all[k].hi = c - 1;
    if (is_same_form(&all[k].t, t, -1) && 1 - c > all[k].lo) all[k].lo = 1 - c;
    if (is_same_form(&all[k].t, t, 1) || is_same_form(&all[k].t, t, -1)) return;
  }
  known new_ = {.t = *t};
  if (*n == MAX_KNOWN || !form_bounds(t, &new_.lo, &new_.hi)) return;
  if (c - 1 < new_.hi) new_.hi = c - 1;
  all[(*n)++] = new_;
}

static int learn_all(const uop *valid, known *all) {
  const uop *stack[MAX_SEEN + 2];
  int top = 0, n = 0;
  stack[top++] = valid;
  while (top) {
    const uop *u = stack[--top];
    linear_form t;
    if (u->op == OP_AND && top + 2 <= MAX_SEEN) {
      stack[top++] = u->src[0];
      stack[top++] = u->src[1];
    } else if (u->op == OP_LT && u->src[1]->op == OP_CONST && linear_of(u->src[0], &t) &&
               t.constant == 0) {
      learn(all, &n, &t, u->src[1]->arg.i);
    }
  }
  return n;
}

/* A RANGE that occurs in neither expression; it never leaves this file. */
static const uop *stand_in(graph *g, int64_t extent, const uop *a, const uop *b) {
  for (int64_t number = INT64_MIN;; ++number) {
    const uop *r = uop_new(g, OP_RANGE, WN_I64, 0, NULL, (uop_arg){.i = number, .j = extent});
    if (!uop_has_range(a, r) && !uop_has_range(b, r)) return r;
  }
}

/* index with t in [lo, hi] used for its atom number `at`. */
static const uop *use(graph *g, const uop *index, const uop *valid, const known *k, int at) {
  const uop *atom = k->t.atom[at];
  int64_t c = k->t.coeff[at];
  if (c != 1 && c != -1) return index;
  const uop *r = stand_in(g, k->hi - k->lo + 1, index, valid);
  /* t = lo + r:  atom = c * (lo + r - (t - c * atom)) */
  linear_form solved = {.constant = c * k->lo}, back = k->t;
  if (!form_add_atom(&solved, r, c) || !form_add(&solved, &k->t, -c) ||
      !form_add_atom(&solved, atom, 1))
    return index;
  back.constant = -k->lo;
  const uop *to = linear_to_uop(g, &solved), *from = linear_to_uop(g, &back);
  const uop *inside = simplify(g, uop_replace(g, index, 1, &atom, &to));
  return simplify(g, uop_replace(g, inside, 1, &r, &from));
}

static bool is_tighter(const known *k) {
  int64_t lo, hi, extent;
  if (!form_bounds(&k->t, &lo, &hi) || k->lo > k->hi) return false;
  if (__builtin_sub_overflow(k->hi, k->lo, &extent) || extent > INT64_MAX / 8) return false;
  return k->lo > lo || k->hi < hi;
}

const uop *simplify_given(graph *g, const uop *index, const uop *valid) {
  int cost = count_divisions(index);
  if (cost <= 0) return index;
  known all[MAX_KNOWN];
  int n = learn_all(valid, all);
  for (int k = 0; k < n && cost > 0; ++k) {
    if (!is_tighter(&all[k])) continue;
    for (int at = 0; at < all[k].t.n; ++at) {
      const uop *e = use(g, index, valid, &all[k], at);
      int less = count_divisions(e);
      if (less < 0 || less >= cost) continue;
      index = e;
      cost = less;
      k = -1; /* what was in the way may be gone */
      break;
    }
  }
  return index;
}
