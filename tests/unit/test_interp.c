/* The interpreter against C's own arithmetic: every ALU op on every dtype it exists for, at several
 * lanes, and the structure ops against plain loops. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "lin_builder.h"
#include "arena_fixture.h"
#include "backend/half.h"
#include "backend/interp/interp.h"

static void run(fixture *f, const lin_kernel *k, void **args) {
  const char *broken = lin_verify(&f->a, k);
  if (broken) fail_msg("%s", broken);
  const interp_code *code = interp_prepare(&f->a, k);
  void *scratch = mem_alloc_aligned(interp_scratch(code), 64);
  interp_run(code, args, scratch, 0, k->grid);
  mem_free_aligned(scratch);
}

/* --- ALU ops ---------------------------------------------------------------------------------- */

enum { N = 16 };
static const double samples[N] = {0,
                                  -0.0,
                                  1,
                                  -1,
                                  2.5,
                                  -2.5,
                                  7,
                                  -7,
                                  0.3,
                                  1e30,
                                  -1e-30,
                                  100,
                                  (double)NAN,
                                  (double)INFINITY,
                                  -(double)INFINITY,
                                  3};
static const int64_t whole[N] = {0,  1,   -1,        2,         -2, 7,  -7, 3,
                                 -3, 100, INT32_MAX, INT32_MIN, 12, -5, 6,  -6};

static double expect_float(uop_op op, double a, double b, double c) {
  switch (op) {
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_DIV:
      return a / b;
    case OP_MAX:
      return isnan(a) || isnan(b) ? (double)NAN : fmax(a, b);
    case OP_MIN:
      return isnan(a) || isnan(b) ? (double)NAN : fmin(a, b);
    case OP_NEG:
      return -a;
    case OP_ABS:
      return fabs(a);
    case OP_FLOOR:
      return floor(a);
    case OP_ROUND:
      return nearbyint(a);
    case OP_SQRT:
      return sqrt(a);
    case OP_EXP:
      return exp(a);
    case OP_LOG:
      return log(a);
    case OP_SIN:
      return sin(a);
    case OP_COS:
      return cos(a);
    case OP_ATAN:
      return atan(a);
    case OP_TANH:
      return tanh(a);
    case OP_ERF:
      return erf(a);
    case OP_POW:
      return pow(a, b);
    default:
      return fma(a, b, c);
  }
}

static bool same(double x, double y) { return x == y || (isnan(x) && isnan(y)); }

static void check_float(fixture *f, uop_op op, int lanes) {
  int nsrc = op_table[op].lo;
  lin_builder b = lb_elementwise(&f->a, "k", op, WN_F64, WN_F64, nsrc, lanes, N * N / lanes);
  static double x[3][N * N], y[N * N];
  for (int i = 0; i < N * N; i++) {
    x[0][i] = samples[i % N];
    x[1][i] = samples[i / N];
    x[2][i] = samples[(i * 5 + 3) % N];
  }
  void *args[4];
  for (int s = 0; s < nsrc; s++) args[s] = x[s];
  args[nsrc] = y;
  run(f, b.k, args);
  for (int i = 0; i < N * N; i++)
    if (!same(y[i], expect_float(op, x[0][i], x[1][i], x[2][i])))
      fail_msg("%s(%g, %g, %g) = %g, not %g", op_table[op].name, x[0][i], x[1][i], x[2][i], y[i],
               expect_float(op, x[0][i], x[1][i], x[2][i]));
}

static void test_float(void **state) {
  static const uop_op ops[] = {OP_ADD, OP_SUB,   OP_MUL,   OP_DIV,  OP_MAX, OP_MIN, OP_NEG,
                               OP_ABS, OP_FLOOR, OP_ROUND, OP_SQRT, OP_EXP, OP_LOG, OP_SIN,
                               OP_COS, OP_ATAN,  OP_TANH,  OP_ERF,  OP_POW, OP_FMA};
  for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
    for (int lanes = 1; lanes <= 16; lanes *= 2) check_float(*state, ops[i], lanes);
}

/* Operands of 32 bits: nothing overflows 64, and a quotient of doubles is off an integer by more
 * than its rounding. */
static int64_t floor_quotient(int64_t a, int64_t b) {
  return b == 0 ? 0 : (int64_t)floor((double)a / (double)b);
}

static int64_t expect_int(uop_op op, int64_t a, int64_t b, int64_t c) {
  switch (op) {
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_IDIV:
      return floor_quotient(a, b);
    case OP_MOD:
      return a - b * floor_quotient(a, b);
    case OP_MAX:
      return a > b ? a : b;
    case OP_MIN:
      return a < b ? a : b;
    case OP_NEG:
      return -a;
    case OP_ABS:
      return a < 0 ? -a : a;
    default:
      return a * b + c;
  }
}

static void check_int(fixture *f, uop_op op, wn_dtype dt, int lanes) {
  int nsrc = op_table[op].lo;
  lin_builder b = lb_elementwise(&f->a, "k", op, dt, dt, nsrc, lanes, N * N / lanes);
  static int64_t x[3][N * N], y[N * N];
  static int32_t narrow[3][N * N], out[N * N];
  void *args[4];
  for (int i = 0; i < N * N; i++) {
    x[0][i] = whole[i % N];
    x[1][i] = whole[i / N];
    x[2][i] = whole[(i * 5 + 3) % N];
    for (int s = 0; s < 3; s++) narrow[s][i] = (int32_t)x[s][i];
  }
  for (int s = 0; s < nsrc; s++) args[s] = dt == WN_I32 ? (void *)narrow[s] : (void *)x[s];
  args[nsrc] = dt == WN_I32 ? (void *)out : (void *)y;
  run(f, b.k, args);
  for (int i = 0; i < N * N; i++) {
    int64_t want = expect_int(op, x[0][i], x[1][i], x[2][i]), got = dt == WN_I32 ? out[i] : y[i];
    if (dt == WN_I32) want = (int32_t)(uint32_t)want;
    if (got != want)
      fail_msg("%s(%lld, %lld) = %lld, not %lld", op_table[op].name, (long long)x[0][i],
               (long long)x[1][i], (long long)got, (long long)want);
  }
}

static void test_int(void **state) {
  static const uop_op ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_IDIV, OP_MOD,
                               OP_MAX, OP_MIN, OP_NEG, OP_ABS,  OP_FMA};
  for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
    for (int lanes = 1; lanes <= 8; lanes *= 8) {
      check_int(*state, ops[i], WN_I32, lanes);
      check_int(*state, ops[i], WN_I64, lanes);
    }
}

static void test_bool_and_compare(void **state) {
  fixture *f = *state;
  static const uint8_t p[4] = {0, 0, 1, 1}, q[4] = {0, 1, 0, 1};
  static const struct {
    uop_op op;
    uint8_t want[4];
  } cases[] = {{OP_AND, {0, 0, 0, 1}}, {OP_OR, {0, 1, 1, 1}},  {OP_MUL, {0, 0, 0, 1}},
               {OP_ADD, {0, 1, 1, 1}}, {OP_LT, {0, 1, 0, 0}},  {OP_EQ, {1, 0, 0, 1}},
               {OP_MAX, {0, 1, 1, 1}}, {OP_MIN, {0, 0, 0, 1}}, {OP_NOT, {1, 1, 0, 0}}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int nsrc = op_table[cases[i].op].lo;
    uint8_t out[4];
    lin_builder b = lb_elementwise(&f->a, "k", cases[i].op, WN_BOOL, WN_BOOL, nsrc, 4, 1);
    run(f, b.k,
        nsrc == 1 ? (void *[]){(void *)(uintptr_t)p, out}
                  : (void *[]){(void *)(uintptr_t)p, (void *)(uintptr_t)q, out});
    assert_memory_equal(out, cases[i].want, 4);
  }
  float a[4] = {1, NAN, -INFINITY, 2}, c[4] = {1, 1, 0, -3};
  uint8_t out[4];
  run(f, lb_elementwise(&f->a, "k", OP_LT, WN_F32, WN_BOOL, 2, 4, 1).k, (void *[]){a, c, out});
  assert_memory_equal(out, ((uint8_t[]){0, 0, 1, 0}), 4);
  run(f, lb_elementwise(&f->a, "k", OP_EQ, WN_F32, WN_BOOL, 2, 4, 1).k, (void *[]){a, c, out});
  assert_memory_equal(out, ((uint8_t[]){1, 0, 0, 0}), 4);
  uint8_t cond[4] = {1, 0, 0, 1};
  float chosen[4];
  run(f, lb_elementwise(&f->a, "k", OP_WHERE, WN_F32, WN_F32, 3, 4, 1).k,
      (void *[]){cond, a, c, chosen});
  assert_memory_equal(chosen, ((float[]){1, 1, 0, 2}), sizeof chosen);
}

static void test_cast(void **state) {
  fixture *f = *state;
  double x[4] = {2.9, -2.9, 0.1, 1e12};
  float single[4];
  int32_t narrow[4];
  int64_t wide[4];
  uint8_t truth[4];
  run(f, lb_elementwise(&f->a, "k", OP_CAST, WN_F64, WN_F32, 1, 4, 1).k, (void *[]){x, single});
  run(f, lb_elementwise(&f->a, "k", OP_CAST, WN_F64, WN_I64, 1, 4, 1).k, (void *[]){x, wide});
  run(f, lb_elementwise(&f->a, "k", OP_CAST, WN_I64, WN_I32, 1, 4, 1).k, (void *[]){wide, narrow});
  run(f, lb_elementwise(&f->a, "k", OP_CAST, WN_I64, WN_BOOL, 1, 4, 1).k, (void *[]){wide, truth});
  for (int i = 0; i < 4; i++) {
    assert_true(single[i] == (float)x[i]);
    assert_int_equal(wide[i], (int64_t)x[i]);
    assert_int_equal(narrow[i], (int32_t)(uint32_t)(int64_t)x[i]);
    assert_int_equal(truth[i], (int64_t)x[i] != 0);
  }
}

/* --- memory and structure --------------------------------------------------------------------- */

/* y[i] = x[p(i)] with stride -2, a mask that hides what lies outside, and a vector of offsets for
 * the same. */
static void test_memory(void **state) {
  fixture *f = *state;
  float x[16], y[16];
  for (int i = 0; i < 16; i++) x[i] = (float)(i + 1), y[i] = -1;
  lin_builder b = lb_new(&f->a, "k", 1);
  int64_t in = lb_array(&b, SPACE_GLOBAL, WN_F32, 16), out = lb_array(&b, SPACE_GLOBAL, WN_F32, 16);
  uint32_t lane = lb_iota(&b, 8), minus = lb_splat(&b, WN_I64, 8, lb_i64(&b, -2));
  uint32_t nine = lb_splat(&b, WN_I64, 8, lb_i64(&b, 9));
  uint32_t at = lb_op(&b, OP_FMA, WN_I64, 3, lane, minus, nine),
           zero = lb_splat(&b, WN_I64, 8, lb_i64(&b, -1));
  uint32_t mask = lb_op2(&b, OP_LT, WN_BOOL, zero, at);
  uint32_t strided = lb_load(&b, in, 8, lb_i64(&b, 9), -2, mask),
           gathered = lb_load(&b, in, 8, at, 0, mask);
  uint32_t both = lb_op2(&b, OP_ADD, WN_F32, strided, gathered);
  lb_shift(&b, strided, 1);
  lb_shift(&b, gathered, 1);
  lb_shift(&b, lb_store(&b, out, lb_i64(&b, 3), both, 2, mask), -2);
  run(f, b.k, (void *[]){x, y});
  for (int l = 0; l < 8; l++) {
    assert_true(y[2 * l] == -1);
    assert_true(y[2 * l + 1] == (l < 5 ? 2 * x[10 - 2 * l] : -1));
  }
}

/* Sums of rows by a variable in a loop, through LOCAL and REG arrays; odd blocks only. */
static void test_structure(void **state) {
  fixture *f = *state;
  float x[4 * 8], y[4] = {-1, -1, -1, -1};
  for (int i = 0; i < 32; i++) x[i] = (float)i;
  lin_builder b = lb_new(&f->a, "k", 4);
  int64_t in = lb_array(&b, SPACE_GLOBAL, WN_F32, 32), out = lb_array(&b, SPACE_GLOBAL, WN_F32, 4);
  int64_t local = lb_array(&b, SPACE_LOCAL, WN_F32, 8), reg = lb_array(&b, SPACE_REG, WN_F32, 2);
  uint32_t block = lb_grid(&b), two = lb_i64(&b, 2), eight = lb_i64(&b, 8), zero = lb_i64(&b, 0);
  uint32_t odd = lb_op2(&b, OP_MOD, WN_I64, block, two),
           row = lb_op2(&b, OP_MUL, WN_I64, block, eight);
  uint32_t wanted = lb_if(&b, lb_op2(&b, OP_EQ, WN_BOOL, odd, lb_i64(&b, 1)));
  lb_store(&b, local, zero, lb_load(&b, in, 8, row, 1, LB_NO_MASK), 1, LB_NO_MASK);
  uint32_t acc = lb_op1(&b, OP_ACC, WN_F32, lb_float(&b, WN_F32, 1, 0)), loop = lb_loop(&b, 4);
  uint32_t pair = lb_load(&b, local, 2, lb_op2(&b, OP_MUL, WN_I64, loop, two), 1, LB_NO_MASK);
  uint32_t swapped = lb_shuffle(&b, WN_F32, 2, 2, pair, pair, (int64_t[]){3, 0});
  lb_store(&b, reg, zero, swapped, 1, LB_NO_MASK);
  uint32_t first = lb_load(&b, reg, 1, lb_i64(&b, 0), 0, LB_NO_MASK),
           second = lb_extract(&b, WN_F32, swapped, 1);
  uint32_t weighted = lb_op(&b, OP_FMA, WN_F32, 3, first, lb_float(&b, WN_F32, 1, 10), second);
  lb_op2(&b, OP_ACC_SET, WN_F32, acc, lb_op2(&b, OP_ADD, WN_F32, acc, weighted));
  lb_end(&b, loop);
  lb_end(&b, lb_loop(&b, 0));
  lb_store(&b, out, block, acc, 1, LB_NO_MASK);
  lb_end(&b, wanted);
  run(f, b.k, (void *[]){x, y});
  for (int g = 0; g < 4; g++) {
    float want = 0;
    for (int i = 0; i < 8; i += 2) want += 10 * x[8 * g + i + 1] + x[8 * g + i];
    assert_true(y[g] == (g % 2 ? want : -1));
  }
}

/* Every f16 survives a round trip, and rounding picks the nearer neighbour, the even one at a tie.
 */
static void test_half(void **state) {
  (void)state;
  for (unsigned h = 0; h < 0x10000; h++) {
    double x = half_from_f16((uint16_t)h), y = (double)half_from_bf16((uint16_t)h);
    if (!isnan(x))
      assert_int_equal(half_to_f16(x), h);
    else
      assert_true(isnan(half_from_f16(half_to_f16(x))));
    if (!isnan(y))
      assert_int_equal(half_to_bf16(y), h);
    else
      assert_true(isnan(half_from_bf16(half_to_bf16(y))));
    unsigned up = h + 1;
    if ((h & 0x7fff) >= 0x7bff) continue;
    double next = half_from_f16((uint16_t)up), middle = (x + next) / 2;
    assert_int_equal(half_to_f16(middle), h & 1 ? up : h);
    assert_int_equal(half_to_f16(middle + (x - next) / 1024), h);
    assert_int_equal(half_to_f16(middle - (x - next) / 1024), up);
  }
  assert_int_equal(half_to_f16(65519), 0x7bff);
  assert_int_equal(half_to_f16(65520), 0x7c00);
  assert_int_equal(half_to_bf16(1.00390625), 0x3f80);
  assert_int_equal(half_to_bf16(-1e300), 0xff80);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_float, setup, teardown),
      cmocka_unit_test_setup_teardown(test_int, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bool_and_compare, setup, teardown),
      cmocka_unit_test_setup_teardown(test_cast, setup, teardown),
      cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
      cmocka_unit_test_setup_teardown(test_structure, setup, teardown),
      cmocka_unit_test(test_half),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
