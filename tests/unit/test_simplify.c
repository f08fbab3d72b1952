/* The simplifier on the index arithmetic that movement, padding and fused loops leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/walk.h"
#include "lower/lower.h"
#include "uop_eval.h"

typedef struct fixture {
  diag d;
  graph g;
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  diag_init(&f->d);
  graph_init(&f->g, &f->d);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  graph_release(&f->g);
  free(f);
  return 0;
}

#define R(extent, name) uop_range(g, extent, name)
#define ADDI(a, k)      uop_addi(g, a, k)
#define MULI(a, k)      uop_muli(g, a, k)
#define DIVI(a, k)      uop_divi(g, a, k)
#define MODI(a, k)      uop_modi(g, a, k)
#define ADD2(a, b)      uop_add(g, a, b)

/* Prints both sides where they differ. */
static void check_at(graph *g, const uop *e, const uop *want, int line) {
  const uop *got = simplify(g, e), *wanted = simplify(g, want);
  if (got != wanted || simplify(g, got) != got)
    print_error("line %d: node %u, not %u\n", line, got->id, wanted->id);
  assert_ptr_equal(got, wanted);
  assert_ptr_equal(simplify(g, got), got);
}
#define SIMPLIFIES(e, want) check_at(g, e, want, __LINE__)

static void sums(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *x = R(10, "x"), *y = R(20, "y");
  SIMPLIFIES(uop_alu2(g, OP_SUB, ADD2(x, y), y), x);
  SIMPLIFIES(MULI(ADDI(ADD2(MULI(y, 2), x), 3), 4), ADDI(ADD2(MULI(x, 4), MULI(y, 8)), 12));
  SIMPLIFIES(ADD2(x, uop_alu1(g, OP_NEG, x)), uop_int(g, 0));
  const uop *canonical = simplify(g, ADDI(ADD2(ADDI(y, 1), MULI(ADDI(x, 1), 3)), 1));
  assert_int_equal(canonical->op, OP_ADD);
  assert_true(uop_is_int(canonical->src[1], 5));
  assert_ptr_equal(canonical->src[0]->src[0], MULI(x, 3));
  assert_ptr_equal(canonical->src[0]->src[1], y);
}

/* Beyond the atoms that a form holds a sum is left as it is, but is still one that every rule can
 * live with. */
static void long_sums(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *sum = uop_int(g, 0), *r[40];
  eval e;
  eval_init(&e);
  int64_t want = 0;
  for (int k = 0; k < 40; k++) {
    r[k] = R(5, NULL);
    eval_bind(&e, r[k], k % 5);
    sum = ADD2(sum, MULI(ADDI(r[k], k), k + 1));
    want += (k % 5 + k) * (k + 1);
  }
  const uop *v = simplify(g, sum);
  linear_form f;
  assert_false(linear_of(v, &f));
  assert_true(eval_uop(&e, v) == (double)want);
  assert_true(eval_uop(&e, simplify(g, MODI(v, 97))) == (double)(want % 97));
  g->simplifier = NULL; /* or v would be remembered as a normal form */
  assert_ptr_equal(simplify(g, v), v);
  eval_release(&e);
}

static void divisions(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *x = R(10, "x"), *y = R(6, "y"), *t = R(1000, "t");
  SIMPLIFIES(DIVI(ADD2(MULI(x, 6), y), 6), x);
  SIMPLIFIES(MODI(ADD2(MULI(x, 6), y), 6), y);
  SIMPLIFIES(DIVI(DIVI(t, 4), 5), DIVI(t, 20));
  SIMPLIFIES(MODI(MODI(t, 12), 4), MODI(t, 4));
  SIMPLIFIES(DIVI(MODI(t, 12), 4), MODI(DIVI(t, 4), 3));
  SIMPLIFIES(DIVI(ADD2(MULI(x, 12), MULI(y, 2)), 4), DIVI(ADD2(MULI(x, 6), y), 2));
  SIMPLIFIES(DIVI(ADD2(MULI(x, 6), y), 12), DIVI(x, 2));
  SIMPLIFIES(MODI(ADD2(MULI(x, 6), y), 12), ADD2(MULI(MODI(x, 2), 6), y));
  SIMPLIFIES(DIVI(ADDI(x, -1), 16), uop_alu2(g, OP_IDIV, ADDI(x, -1), uop_int(g, 16)));
  SIMPLIFIES(DIVI(ADDI(x, 100), 200), uop_int(g, 0));
  SIMPLIFIES(DIVI(uop_alu1(g, OP_NEG, t), -7), DIVI(t, 7));
}

static void unfused(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *n = R(3, "n"), *ty = R(5, "ty"), *tx = R(7, "tx");
  const uop *fused = ADD2(MULI(ADD2(MULI(n, 5), ty), 7), tx);
  SIMPLIFIES(MODI(fused, 7), tx);
  SIMPLIFIES(MODI(DIVI(fused, 7), 5), ty);
  SIMPLIFIES(DIVI(fused, 35), n);
  SIMPLIFIES(DIVI(DIVI(fused, 7), 5), n);
}

static void fused_again(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *t = R(105, "t");
  const uop *n = DIVI(t, 35), *ty = MODI(DIVI(t, 7), 5), *tx = MODI(t, 7);
  SIMPLIFIES(ADD2(ADD2(MULI(n, 35), MULI(ty, 7)), tx), t);
  SIMPLIFIES(MULI(ADD2(MULI(ADD2(MULI(n, 5), ty), 7), tx), 4), MULI(t, 4));
  SIMPLIFIES(ADD2(MULI(ty, 14), MULI(tx, 2)), MULI(MODI(t, 35), 2));
  const uop *other = simplify(g, ADD2(MULI(ty, 14), MULI(tx, 3)));
  assert_int_equal(other->op, OP_ADD);
  assert_int_equal(other->src[0]->src[0]->op, OP_MOD);
  const uop *a = R(9, "a");
  SIMPLIFIES(ADD2(a, ADD2(MULI(DIVI(t, 4), 4), MODI(t, 4))), ADD2(a, t));
  const uop *u = ADD2(MULI(a, 7), t);
  SIMPLIFIES(ADD2(MULI(DIVI(u, 4), 4), MODI(u, 4)), u);
}

/* repeat a row of length L, view it as rows of L + 1: element o of row k is element k + o of the
 * row */
static void window_by_hand(void **state) {
  graph *g = &((fixture *)*state)->g;
  for (int64_t length = 5; length < 40; length++) {
    int64_t window = 3, out = length - window + 1;
    const uop *k = R(window, "k"), *o = R(out, "o");
    SIMPLIFIES(MODI(ADD2(MULI(k, length + 1), o), length), ADD2(k, o));
  }
  const uop *k = R(3, "k"), *o = R(14, "o"); /* with dilation 2: rows of L + 2 */
  SIMPLIFIES(MODI(ADD2(MULI(k, 20), o), 18), ADD2(MULI(k, 2), o));
  /* and behind a row of a matrix: a rows, each repeated */
  const uop *a = R(6, "a");
  const uop *flat = ADD2(MULI(a, 17 * 4), ADD2(MULI(R(3, "k2"), 18), R(15, "o2")));
  assert_int_equal(simplify(g, ADD2(MULI(DIVI(flat, 68), 17), MODI(MODI(flat, 68), 17)))->op,
                   OP_ADD);
}

static bool has_division(graph *g, const uop *e) {
  uop_order o = uop_toposort(&g->arena, 1, &e);
  for (size_t i = 0; i < o.len; i++)
    if (o.at[i]->op == OP_IDIV || o.at[i]->op == OP_MOD) return true;
  return false;
}

static void comparisons(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *x = R(10, "x"), *y = R(6, "y"), *t = R(1000, "t");
  SIMPLIFIES(uop_lt(g, x, 10), uop_bool(g, true));
  SIMPLIFIES(uop_lt(g, ADDI(x, 5), 5), uop_bool(g, false));
  SIMPLIFIES(uop_lt(g, DIVI(t, 7), 5), uop_lt(g, t, 35));
  SIMPLIFIES(uop_ge(g, DIVI(t, 7), 5), uop_ge(g, t, 35));
  SIMPLIFIES(uop_lt(g, ADD2(MULI(x, 6), y), 12), uop_lt(g, x, 2));
  SIMPLIFIES(uop_lt(g, MULI(x, 4), 9), uop_lt(g, x, 3));
  SIMPLIFIES(uop_lt(g, MODI(t, 5), 5), uop_bool(g, true));
  SIMPLIFIES(uop_alu1(g, OP_NOT, uop_lt(g, x, 4)), uop_ge(g, x, 4));
  SIMPLIFIES(uop_alu2(g, OP_LT, ADDI(x, 3), ADDI(y, 5)), uop_lt(g, uop_alu2(g, OP_SUB, x, y), 2));
  SIMPLIFIES(uop_alu2(g, OP_EQ, MULI(x, 3), uop_int(g, 6)), uop_alu2(g, OP_EQ, x, uop_int(g, 2)));
  SIMPLIFIES(uop_alu2(g, OP_EQ, MULI(x, 3), uop_int(g, 7)), uop_bool(g, false));
}

static void conditions(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *x = R(10, "x"), *y = R(10, "y");
  const uop *x5 = uop_lt(g, x, 5), *x7 = uop_lt(g, x, 7), *y3 = uop_lt(g, y, 3);
  SIMPLIFIES(uop_and(g, uop_and(g, x5, y3), uop_and(g, x7, x5)), uop_and(g, x5, y3));
  SIMPLIFIES(uop_and(g, x5, uop_and(g, y3, uop_ge(g, x, 6))), uop_bool(g, false));
  SIMPLIFIES(uop_alu2(g, OP_OR, x5, x7), x7);
  SIMPLIFIES(uop_alu2(g, OP_OR, x7, uop_ge(g, x, 5)), uop_bool(g, true));
  SIMPLIFIES(uop_where(g, x5, uop_where(g, x5, x, y), y), uop_where(g, x5, x, y));
  SIMPLIFIES(uop_where(g, x5, uop_where(g, y3, x, y), y), uop_where(g, uop_and(g, x5, y3), x, y));
}

static void padding_moves_into_the_read(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *b = uop_buffer(g, 0, WN_F32, 1, (int64_t[]){32}), *x = R(34, "x"),
            *zero = uop_const(g, WN_F32, 0);
  const uop *at = ADDI(x, -1), *lo = uop_ge(g, at, 0), *hi = uop_lt(g, at, 32);
  const uop *padded = uop_where(g, uop_and(g, lo, hi), uop_index(g, b, NULL, 1, &at), zero);
  const uop *got = simplify(g, padded);
  assert_int_equal(got->op, OP_INDEX);
  assert_ptr_equal(got, simplify(g, uop_index(g, b, uop_and(g, lo, hi), 1, &at)));
  /* -0 is another number */
  const uop *other = uop_where(g, lo, uop_index(g, b, NULL, 1, &x), uop_const(g, WN_F32, -0.0));
  assert_int_equal(simplify(g, other)->op, OP_WHERE);
  SIMPLIFIES(uop_index(g, b, uop_lt(g, x, 0), 1, &x), zero);
}

/* (x - 1) / 32 and % 32 vanish where the padding's condition says that x - 1 is in [0, 32) */
static void condition_decides_division(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *b = uop_buffer(g, 0, WN_F32, 1, (int64_t[]){64 * 32}), *x = R(30, "x"), *k = R(5, "k"),
            *c = R(64, "c");
  const uop *p = ADDI(ADD2(x, k), -1), *ok = uop_and(g, uop_ge(g, p, 0), uop_lt(g, p, 32));
  const uop *flat = ADD2(MULI(c, 32), p);
  const uop *at = ADD2(MULI(DIVI(flat, 32), 32), MULI(MODI(flat, 32), 1));
  SIMPLIFIES(uop_index(g, b, ok, 1, &at), uop_index(g, b, ok, 1, &flat));
  const uop *folded = MODI(flat, 32), *got = simplify(g, uop_index(g, b, ok, 1, &folded));
  assert_false(has_division(g, got));
  SIMPLIFIES(got, uop_index(g, b, ok, 1, &p));
  const uop *only = MODI(x, 8);
  SIMPLIFIES(uop_index(g, b, uop_lt(g, x, 7), 1, &only), uop_index(g, b, uop_lt(g, x, 7), 1, &x));
}

static void values(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *b = uop_buffer(g, 0, WN_F32, 1, (int64_t[]){32}), *r = R(32, "r");
  const uop *x = uop_index(g, b, NULL, 1, &r);
  const uop *zero = uop_const(g, WN_F32, 0), *minus = uop_const(g, WN_F32, -0.0);
  SIMPLIFIES(uop_alu2(g, OP_ADD, x, minus), x);
  assert_ptr_equal(simplify(g, uop_alu2(g, OP_ADD, x, zero)), uop_alu2(g, OP_ADD, x, zero));
  assert_ptr_equal(simplify(g, uop_alu2(g, OP_MUL, x, zero)), uop_alu2(g, OP_MUL, x, zero));
  const uop *difference = uop_alu2(g, OP_SUB, x, x);
  assert_ptr_equal(simplify(g, difference), difference);
  /* constants fold in their own dtype: 2^24 + 1 is 2^24 in float */
  const uop *big = uop_const(g, WN_F32, 16777216.0), *one = uop_const(g, WN_F32, 1);
  const uop *raw = uop_new(g, OP_ADD, WN_F32, 2, (const uop *[]){big, one}, (uop_arg){0});
  assert_ptr_equal(simplify(g, raw), big);
  SIMPLIFIES(uop_cast(g, WN_F32, uop_cast(g, WN_F64, x)), x);
  const uop *narrow = uop_cast(g, WN_F32, uop_cast(g, WN_F16, x));
  assert_ptr_equal(simplify(g, narrow), narrow);
}

static void reductions(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *b = uop_buffer(g, 0, WN_F32, 1, (int64_t[]){32}), *r = R(32, "r"), *one = R(1, "one");
  const uop *at = ADD2(r, one), *x = uop_index(g, b, NULL, 1, &at);
  const uop *both[2] = {r, one}, *v = simplify(g, uop_reduce(g, OP_ADD, x, 2, both));
  assert_ptr_equal(v, uop_reduce(g, OP_ADD, uop_index(g, b, NULL, 1, &r), 1, &r));
  assert_ptr_equal(simplify(g, uop_reduce(g, OP_MAX, x, 1, &one)), uop_index(g, b, NULL, 1, &r));
  /* the RANGEs of a BUFFERIZE are its shape: they stay, also of extent 1 */
  const uop *named = uop_bufferize(g, x, 2, both, (bufferize_info){.name = "b", .site = -1});
  assert_int_equal(simplify(g, named)->nsrc, 3);
}

static void guards(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *b = uop_buffer(g, 0, WN_F32, 1, (int64_t[]){8}), *r = R(8, "r"), *i = R(20, "i");
  const uop *at = i, *x = uop_index(g, b, NULL, 1, &at), *w = uop_index(g, b, NULL, 1, &r);
  const uop *cond = uop_lt(g, i, 8);
  const uop *exprs[4] = {
      x,
      uop_add(g, uop_mul(g, x, uop_const(g, WN_F32, 3)), uop_const(g, WN_F32, 1)),
      uop_reduce(g, OP_ADD, uop_mul(g, x, w), 1, &r),
      uop_alu1(g, OP_EXP, x),
  };
  float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  eval e;
  eval_init(&e);
  eval_buffer(&e, 0, data);
  for (int k = 0; k < 4; k++) {
    const uop *safe = guard_value(g, exprs[k], cond);
    for (int64_t v = 0; v < 20; v++) { /* an unguarded read at 8 and above aborts */
      eval_bind(&e, i, v);
      assert_true(eval_uop(&e, safe) == (v < 8 ? eval_uop(&e, exprs[k]) : 0));
    }
  }
  assert_int_equal(guard_value(g, exprs[2], cond)->op, OP_REDUCE); /* sums of zeros need no WHERE */
  /* the condition's own r is not the r that the reduction binds */
  const uop *safe = guard_value(g, exprs[2], uop_lt(g, ADD2(i, r), 8));
  eval_bind(&e, i, 3);
  eval_bind(&e, r, 4);
  assert_true(eval_uop(&e, safe) == 4 * 36);
  eval_bind(&e, r, 5);
  assert_true(eval_uop(&e, safe) == 0);
  eval_release(&e);
}

/* r / 3 + s / 5, in whichever order it has its terms. */
static bool thirds_first(graph *g, const uop *r, const uop *s) {
  const uop *thirds = DIVI(r, 3), *fifths = DIVI(s, 5);
  return simplify(g, ADD2(thirds, fifths))->src[0] == thirds;
}

/* The order of terms is that of making them, and a graph that was taken back knows nothing of what was made since. */
static void taken_back(void **state) {
  graph *g = &((fixture *)*state)->g;
  const uop *r = R(10, "r"), *s = R(20, "s");
  uint32_t nodes = g->count;
  simplify(g, DIVI(s, 5));
  assert_false(thirds_first(g, r, s));
  graph_rewind(g, nodes);
  assert_int_equal(g->count, nodes);
  assert_true(thirds_first(g, r, s));
  assert_ptr_equal(simplify(g, ADDI(r, 0)), r); /* what was made before is still known */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(sums, setup, teardown),
      cmocka_unit_test_setup_teardown(long_sums, setup, teardown),
      cmocka_unit_test_setup_teardown(divisions, setup, teardown),
      cmocka_unit_test_setup_teardown(unfused, setup, teardown),
      cmocka_unit_test_setup_teardown(fused_again, setup, teardown),
      cmocka_unit_test_setup_teardown(window_by_hand, setup, teardown),
      cmocka_unit_test_setup_teardown(comparisons, setup, teardown),
      cmocka_unit_test_setup_teardown(conditions, setup, teardown),
      cmocka_unit_test_setup_teardown(padding_moves_into_the_read, setup, teardown),
      cmocka_unit_test_setup_teardown(condition_decides_division, setup, teardown),
      cmocka_unit_test_setup_teardown(values, setup, teardown),
      cmocka_unit_test_setup_teardown(reductions, setup, teardown),
      cmocka_unit_test_setup_teardown(guards, setup, teardown),
      cmocka_unit_test_setup_teardown(taken_back, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
