/* Laws of every rule of the simplifier, on instances generated from the rule tables.
 *
 * For each rule: random expressions of the shape of its pattern until it has fired often enough (a
 * rule that never fires fails the test). Each time: the dtype is kept, the result is another node,
 * and both have the same value, bit for bit (NaNs are all one), at random points; data hold NaN,
 * infinities and zeros of both signs. Then the whole simplifier: same values, and a second run
 * changes nothing and makes no node. Rules that carry RULE_ROUNDS may differ in a sign of zero.
 * Give a seed as the first argument to repeat a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "../unit/uop_eval.h"
#include "lower/simplify.h"

enum { RANGES = 7, POINTS = 24, FIRES = 12, ATTEMPTS = 480000, FLOATS = 24 };

static uint64_t seed, rng;

static uint64_t random64(void) {
  rng += 0x9e3779b97f4a7c15u;
  uint64_t z = rng;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static int64_t pick(int64_t lo, int64_t hi) {
  return lo + (int64_t)(random64() % (uint64_t)(hi - lo + 1));
}

typedef struct world {
  diag d;
  graph g;
  arena scratch;
  const uop *range[RANGES], *floats, *ints;
} world;

static const int64_t extents[RANGES] = {1, 2, 3, 4, 6, 10, 30};

static void world_open(world *w) {
  diag_init(&w->d);
  graph_init(&w->g, &w->d);
  arena_init(&w->scratch, &w->d);
  for (int k = 0; k < RANGES; k++) w->range[k] = uop_range(&w->g, extents[k], NULL);
  w->floats = uop_buffer(&w->g, 0, WN_F32, 1, (int64_t[]){FLOATS});
  w->ints = uop_buffer(&w->g, 1, WN_I64, 1, (int64_t[]){FLOATS});
}

static void world_close(world *w) {
  arena_release(&w->scratch);
  graph_release(&w->g);
}

static const float float_data[FLOATS] = {0,     -0.0f,  1,     -1, NAN,  INFINITY, -INFINITY, 2.5f,
                                         -2.5f, 1e-40f, 3e38f, 7,  0.5f, 1e-3f,    -4,        1.5f,
                                         33,    -0.25f, 1e10f, 5,  -6,   0.1f,     0.3f,      9};
static const int64_t int_data[FLOATS] = {0, 1, -1, 2,  3, -7, 100, 41, -30, 8, 9, 10,
                                         5, 5, 5,  -2, 6, 77, 12,  0,  0,   1, 4, 2};

/* --- random expressions, built without any folding -------------------------------------------- */

static const uop *raw(world *w, uop_op op, wn_dtype dtype, int n, const uop *const *src) {
  return uop_new(&w->g, op, dtype, n, src, (uop_arg){0});
}

static const uop *gen(world *w, wn_dtype dtype, int depth);

static const uop *gen_const(world *w, wn_dtype dtype) {
  static const double floats[] = {0, -0.0, 1, -1, 2, 0.5, -3, 1e30};
  if (dtype_is_float(dtype)) return uop_const(&w->g, dtype, floats[pick(0, 7)]);
  if (dtype == WN_BOOL) return uop_bool(&w->g, pick(0, 1));
  return uop_new(&w->g, OP_CONST, dtype, 0, NULL,
                 (uop_arg){.i = pick(0, 3) ? pick(-3, 13) : pick(-40, 40)});
}

static const uop *gen_leaf(world *w, wn_dtype dtype) {
  if (dtype == WN_I64 && pick(0, 3)) return w->range[pick(0, RANGES - 1)];
  if (dtype == WN_F32 && pick(0, 3)) return gen(w, dtype, 1);
  return gen_const(w, dtype);
}

static const uop *gen_op(world *w, uop_op op, wn_dtype dtype, int depth);
static const uop *gen_substitute(world *w, wn_dtype dtype, int depth);
static const uop *gen_named(world *w, wn_dtype dtype, int depth);

static const uop *gen(world *w, wn_dtype dtype, int depth) {
  static const uop_op ints[] = {OP_ADD, OP_ADD, OP_ADD, OP_MUL, OP_IDIV, OP_IDIV, OP_MOD,
                                OP_MOD, OP_SUB, OP_NEG, OP_MAX, OP_MIN,  OP_WHERE};
  static const uop_op bools[] = {OP_LT,  OP_LT, OP_LT,  OP_EQ,   OP_AND,
                                 OP_AND, OP_OR, OP_NOT, OP_WHERE};
  static const uop_op floats[] = {OP_ADD, OP_SUB,   OP_MUL,   OP_DIV,   OP_MAX,  OP_MIN, OP_NEG,
                                  OP_ABS, OP_WHERE, OP_INDEX, OP_INDEX, OP_CAST, OP_GET};
  if (depth <= 0) return gen_leaf(w, dtype);
  if (depth > 1 && depth < 5 && pick(0, 24) == 0) return gen_substitute(w, dtype, depth - 1);
  if (depth > 1 && depth < 5 && pick(0, 24) == 0) return gen_named(w, dtype, depth - 1);
  if (dtype == WN_F32) return gen_op(w, depth == 1 ? OP_INDEX : floats[pick(0, 12)], dtype, depth);
  if (dtype_is_float(dtype)) return gen_op(w, pick(0, 1) ? OP_CAST : OP_ADD, dtype, depth);
  if (dtype == WN_BOOL) return gen_op(w, bools[pick(0, 8)], dtype, depth);
  if (dtype == WN_I64) return gen_op(w, pick(0, 20) ? ints[pick(0, 12)] : OP_INDEX, dtype, depth);
  return gen_op(w, pick(0, 1) ? OP_CAST : OP_ADD, dtype, depth);
}

static const uop *gen_reduce(world *w, wn_dtype dtype, int depth) {
  static const uop_op combine[] = {OP_ADD, OP_MAX, OP_MIN, OP_MUL}, bools[] = {OP_AND, OP_OR};
  const uop *src[3] = {pick(0, 3) ? gen(w, dtype, depth) : gen_const(w, dtype), NULL, NULL};
  int first = (int)pick(0, 2), n = (int)pick(1, 2);
  for (int k = 0; k < n; k++) src[1 + k] = w->range[first + k];
  uop_op op = dtype == WN_BOOL ? bools[pick(0, 1)] : combine[pick(0, 3)];
  return uop_new(&w->g, OP_REDUCE, dtype, n + 1, src, (uop_arg){.i = op});
}

static const uop *gen_index(world *w, wn_dtype dtype, int depth) {
  const uop *size = uop_int(&w->g, pick(0, 1) ? FLOATS : 10);
  const uop *at = raw(w, OP_MOD, WN_I64, 2, (const uop *[]){gen(w, WN_I64, depth), size});
  const uop *valid = pick(0, 2) ? gen(w, WN_BOOL, depth) : gen_const(w, WN_BOOL);
  const uop *buf = dtype == WN_F32 ? w->floats : w->ints;
  return raw(w, OP_INDEX, dtype, 3, (const uop *[]){buf, valid, at});
}

/* value with two RANGEs replaced, lazily; what replaces them may hold any RANGE, bound ones
 * included. */
static const uop *gen_substitute(world *w, wn_dtype dtype, int depth) {
  const uop *pairs[4];
  int64_t first = pick(1, RANGES - 2);
  for (int k = 0; k < 2; k++) {
    pairs[2 * k] = w->range[first + k];
    const uop *extent = uop_int(&w->g, extents[first + k]);
    pairs[2 * k + 1] = raw(w, OP_MOD, WN_I64, 2, (const uop *[]){gen(w, WN_I64, depth), extent});
  }
  const uop *value = pick(0, 2) ? gen(w, dtype, depth) : gen_op(w, OP_REDUCE, dtype, depth);
  return uop_substitute(&w->g, value, 2, pairs);
}

static const uop *gen_named(world *w, wn_dtype dtype, int depth) {
  const uop *ranges[2] = {w->range[1], w->range[4]}, *at[2];
  for (int k = 0; k < 2; k++) {
    const uop *extent = uop_int(&w->g, ranges[k]->arg.j);
    at[k] = raw(w, OP_MOD, WN_I64, 2, (const uop *[]){gen(w, WN_I64, depth), extent});
  }
  const uop *b = uop_bufferize(&w->g, gen(w, dtype, depth), 2, ranges,
                               (bufferize_info){.name = "b", .site = -1});
  return uop_index(&w->g, b, pick(0, 1) ? gen(w, WN_BOOL, depth) : NULL, 2, at);
}

static const uop *gen_get(world *w, wn_dtype dtype, int depth) {
  const uop *elem[4], *same = pick(0, 2) ? NULL : gen(w, dtype, depth);
  for (int k = 0; k < 4; k++) elem[k] = same ? same : gen(w, dtype, depth);
  const uop *which = pick(0, 1) ? uop_int(&w->g, pick(0, 3)) : w->range[3];
  return raw(w, OP_GET, dtype, 2, (const uop *[]){uop_stack(&w->g, 4, elem), which});
}

/* A node with this op and dtype; for comparisons dtype is that of the operands. */
static const uop *gen_op(world *w, uop_op op, wn_dtype dtype, int depth) {
  static const wn_dtype all[] = {WN_F64, WN_F32, WN_I32, WN_I64, WN_BOOL};
  const uop *src[3] = {NULL};
  int sub = depth - 1, n = op_table[op].lo;
  if (op == OP_RANGE) return w->range[pick(0, RANGES - 1)];
  if (op == OP_REDUCE) return gen_reduce(w, dtype, sub);
  if (op == OP_INDEX)
    return dtype == WN_F32 || dtype == WN_I64 ? gen_index(w, dtype, sub) : gen_leaf(w, dtype);
  if (op == OP_GET) return gen_get(w, dtype, sub);
  if (op == OP_CAST) {
    wn_dtype from = dtype_is_float(dtype) ? all[pick(0, 4)] : all[pick(2, 4)];
    if (from == dtype) return gen_leaf(w, dtype);
    src[0] = gen(w, from, sub);
    return raw(w, op, dtype, 1, src);
  }
  wn_dtype operand = dtype;
  if (dtype == WN_BOOL && (op == OP_LT || op == OP_EQ))
    operand = pick(0, 4) ? WN_I64 : op == OP_EQ ? WN_BOOL : WN_F32;
  for (int k = 0; k < n; k++) src[k] = gen(w, op == OP_WHERE && k == 0 ? WN_BOOL : operand, sub);
  bool divides = op == OP_IDIV || op == OP_MOD;
  if (divides) src[1] = uop_new(&w->g, OP_CONST, operand, 0, NULL, (uop_arg){.i = pick(1, 12)});
  if (op == OP_MUL && !dtype_is_float(operand) && operand != WN_BOOL && pick(0, 4))
    src[1] = gen_const(w, operand);
  if (n == 2 && !divides && pick(0, 6) == 0) src[1] = src[0];
  return raw(w, op, op_table[op].dtype == DT_BOOL ? WN_BOOL : dtype, n, src);
}

/* --- instances of patterns -------------------------------------------------------------------- */

/* dtype: of the value here. */
static const uop *instance(world *w, const pattern *p, wn_dtype dtype, const uop **bound) {
  graph *g = &w->g;
  switch (p->kind) {
    case PAT_VALUE:
    case PAT_CONST:
      if (!bound[p->var])
        bound[p->var] = p->kind == PAT_CONST ? gen_const(w, dtype) : gen(w, dtype, (int)pick(0, 3));
      return bound[p->var];
    case PAT_NUMBER:
    case PAT_BOOL:
      return uop_const(g, dtype, p->number);
    case PAT_ROOT:
      return gen_op(w, (uop_op)p->op, dtype, (int)pick(1, 4));
    case PAT_NODE:
      break;
  }
  const uop *src[4] = {NULL};
  bool compares = op_table[p->op].dtype == DT_BOOL;
  wn_dtype operand = compares && dtype == WN_BOOL && p->src[1]->kind != PAT_BOOL ? WN_I64 : dtype;
  int n = 0;
  for (; n < 4 && p->src[n]; n++) {
    src[n] = instance(w, p->src[n], p->op == OP_WHERE && n == 0 ? WN_BOOL : operand, bound);
    if (src[n]->dtype != (p->op == OP_WHERE && n == 0 ? WN_BOOL : operand)) return NULL;
  }
  if ((op_table[p->op].flags & UOP_COMM) && pick(0, 1)) {
    const uop *t = src[0];
    src[0] = src[1];
    src[1] = t;
  }
  if ((p->op == OP_IDIV || p->op == OP_MOD) && (src[1]->op != OP_CONST || src[1]->arg.i == 0))
    return NULL;
  if (p->op == OP_GET) return gen_op(w, OP_GET, dtype, (int)pick(1, 3));
  return raw(w, (uop_op)p->op, compares ? WN_BOOL : dtype, n, src);
}

static wn_dtype pick_dtype(unsigned on, const pattern *p) {
  static const wn_dtype dtypes[] = {WN_I64, WN_I32, WN_BOOL, WN_F32, WN_F64};
  static const unsigned classes[] = {ON_INDEX, ON_I32, ON_BOOL, ON_FLOAT, ON_FLOAT};
  bool divides = p->op == OP_IDIV || p->op == OP_MOD;
  for (;;) {
    int64_t k = pick(0, 4);
    if (!(classes[k] & on)) continue;
    if (p->op == OP_DIV && k < 3) continue;
    if (divides && k > 1) continue;
    if (p->op == OP_INDEX && dtypes[k] != WN_F32 && dtypes[k] != WN_I64) continue;
    if (dtypes[k] == WN_BOOL &&
        (p->op == OP_ADD || p->op == OP_SUB || p->op == OP_NEG || p->op == OP_LT))
      continue;
    if (dtypes[k] != WN_BOOL && (p->op == OP_AND || p->op == OP_OR || p->op == OP_NOT)) continue;
    return dtypes[k];
  }
}

/* --- laws ------------------------------------------------------------------------------------- */

static void print_expr(const uop *u, int depth) {
  if (u->op == OP_CONST) {
    fprintf(stderr, "%g", uop_const_value(u));
  } else if (u->op == OP_RANGE) {
    fprintf(stderr, "r%lld:%lld", (long long)u->arg.i, (long long)u->arg.j);
  } else {
    fprintf(stderr, "%s.%d(", op_table[u->op].name, u->dtype);
    for (int k = 0; k < u->nsrc && depth < 12; k++) {
      if (k) fprintf(stderr, ", ");
      print_expr(u->src[k], depth + 1);
    }
    fprintf(stderr, ")");
  }
}

static bool same_value(double a, double b, bool signs) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
  return a == b && (!signs || !signbit(a) == !signbit(b));
}

static void check_same(world *w, eval *e, const char *name, const uop *before, const uop *after,
                       bool signs) {
  eval_forget(e);
  for (int p = 0; p < POINTS; p++) {
    for (int k = 0; k < RANGES; k++) eval_bind(e, w->range[k], pick(0, extents[k] - 1));
    double a = eval_uop(e, before), b = eval_uop(e, after);
    if (same_value(a, b, signs)) continue;
    fprintf(stderr, "rule %s, seed %llu: %.17g became %.17g\n  ", name, (unsigned long long)seed, a,
            b);
    print_expr(before, 0);
    fprintf(stderr, "\n  ");
    print_expr(after, 0);
    fprintf(stderr, "\n  at");
    for (int k = 0; k < RANGES; k++)
      fprintf(stderr, " %lld", (long long)*eval_lookup(e, w->range[k]->arg.i));
    fprintf(stderr, "\n");
    fail();
  }
}

static void check_simplify(world *w, eval *e, const uop *u) {
  const uop *v = simplify(&w->g, u);
  assert_int_equal(v->dtype, u->dtype);
  check_same(w, e, "(all)", u, v, true);
  uint32_t count = w->g.count;
  w->g.simplifier = NULL; /* or v would be remembered as a normal form */
  const uop *again = simplify(&w->g, v);
  if (again != v) {
    fprintf(stderr, "not idempotent, seed %llu:\n  ", (unsigned long long)seed);
    print_expr(u, 0);
    fprintf(stderr, "\n  ");
    print_expr(v, 0);
    fprintf(stderr, "\n  ");
    print_expr(again, 0);
    fprintf(stderr, "\n");
    fail();
  }
  assert_int_equal(w->g.count, count);
}

static void open_eval(eval *e) {
  eval_init(e);
  e->round_f32 = 1;
  eval_buffer(e, 0, float_data);
  eval_buffer(e, 1, int_data);
}

static void check_rule(const rule *r) {
  world w;
  eval e;
  int fires = 0;
  open_eval(&e);
  world_open(&w);
  for (int t = 0; t < ATTEMPTS && fires < FIRES; t++) {
    const uop *bound[VAR_COUNT] = {NULL};
    const uop *u = instance(&w, r->match, pick_dtype(r->on, r->match), bound);
    if (w.g.count > 200000) {
      world_close(&w);
      world_open(&w);
      continue;
    }
    if (!u || u->op != (r->match->op)) continue;
    uint32_t count = w.g.count;
    const uop *v = rule_apply(&w.g, &w.scratch, r, u);
    if (!v) {
      if (r->into) assert_int_equal(w.g.count, count);
      continue;
    }
    fires++;
    assert_ptr_not_equal(u, v);
    assert_int_equal(u->dtype, v->dtype);
    check_same(&w, &e, r->name, u, v, !(r->flags & RULE_ROUNDS));
    check_simplify(&w, &e, u);
  }
  world_close(&w);
  eval_release(&e);
  if (fires < FIRES) print_error("rule %s fired %d times of %d\n", r->name, fires, FIRES);
  assert_int_equal(fires, FIRES);
}

static void check_table(const rule_table *t) {
  for (int k = 0; k < t->n; k++) check_rule(&t->at[k]);
}

static void index_rules_keep_values(void **state) { (void)state, check_table(&index_rules); }
static void bool_rules_keep_values(void **state) { (void)state, check_table(&bool_rules); }
static void value_rules_keep_values(void **state) { (void)state, check_table(&value_rules); }
static void memory_rules_keep_values(void **state) { (void)state, check_table(&memory_rules); }

static void rules_have_names_of_their_own(void **state) {
  (void)state;
  const rule_table *tables[] = {&index_rules, &bool_rules, &value_rules, &memory_rules};
  for (int a = 0; a < 4; a++)
    for (int i = 0; i < tables[a]->n; i++)
      for (int b = 0; b <= a; b++)
        for (int j = 0; j < (b == a ? i : tables[b]->n); j++)
          assert_string_not_equal(tables[a]->at[i].name, tables[b]->at[j].name);
}

static void random_expressions_keep_values(void **state) {
  (void)state;
  static const wn_dtype dtypes[] = {WN_I64, WN_I64, WN_BOOL, WN_F32, WN_I32, WN_F64};
  world w;
  eval e;
  open_eval(&e);
  world_open(&w);
  for (int t = 0; t < 4000; t++) {
    check_simplify(&w, &e, gen(&w, dtypes[pick(0, 5)], (int)pick(1, 6)));
    if (w.g.count < 100000) continue;
    world_close(&w);
    world_open(&w);
  }
  world_close(&w);
  eval_release(&e);
}

/* Digits of a fused loop in mixed radix, put together with the right factors or nearly so, and
 * taken apart again. */
static void digits_keep_values(void **state) {
  (void)state;
  world w;
  eval e;
  open_eval(&e);
  world_open(&w);
  graph *g = &w.g;
  for (int t = 0; t < 1500; t++) {
    const uop *x =
        uop_add(g, uop_muli(g, w.range[6], pick(1, 12)), uop_muli(g, w.range[5], pick(0, 3)));
    const uop *sum = uop_int(g, pick(-2, 2));
    int64_t place = 1, scale = pick(1, 3);
    for (int digit = 0; digit < 3; digit++) {
      int64_t radix = pick(2, 7);
      const uop *d = uop_divi(g, x, place);
      if (digit < 2 || pick(0, 1)) d = uop_modi(g, d, radix);
      sum = uop_add(g, sum, uop_muli(g, d, place * scale + (pick(0, 9) == 0)));
      place *= radix;
    }
    check_simplify(&w, &e, sum);
    check_simplify(&w, &e, uop_divi(g, sum, pick(1, 30)));
    check_simplify(&w, &e, uop_modi(g, sum, pick(1, 30)));
    check_simplify(&w, &e, uop_lt(g, sum, pick(0, 60)));
  }
  world_close(&w);
  eval_release(&e);
}

int main(int argc, char **argv) {
  seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  rng = seed;
  print_message("seed %llu\n", (unsigned long long)seed);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules_have_names_of_their_own),
      cmocka_unit_test(index_rules_keep_values),
      cmocka_unit_test(bool_rules_keep_values),
      cmocka_unit_test(value_rules_keep_values),
      cmocka_unit_test(memory_rules_keep_values),
      cmocka_unit_test(random_expressions_keep_values),
      cmocka_unit_test(digits_keep_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
