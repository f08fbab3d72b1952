/* Arithmetic of the LLVM renderer against straightforward C.
 *
 * In: every ALU op on every register dtype it has, 1 to 16 lanes, for every instruction set that
 * this machine runs. Out: equality with scalar code of this file and libm, NaN, infinities and
 * signed zeros among the data. */
#ifdef WN_HAVE_LLVM
#include "unit/llvm_kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

typedef struct value {
  double f;
  int64_t i;
} value;

static value get(wn_dtype dtype, const void *p, int64_t n) {
  switch (dtype) {
    case WN_F64:
      return (value){.f = ((const double *)p)[n]};
    case WN_F32:
      return (value){.f = (double)((const float *)p)[n]};
    case WN_I32:
      return (value){.i = ((const int32_t *)p)[n]};
    case WN_I64:
      return (value){.i = ((const int64_t *)p)[n]};
    default:
      return (value){.i = ((const uint8_t *)p)[n]};
  }
}

static void put(wn_dtype dtype, void *p, int64_t n, value v) {
  switch (dtype) {
    case WN_F64:
      ((double *)p)[n] = v.f;
      break;
    case WN_F32:
      ((float *)p)[n] = (float)v.f;
      break;
    case WN_I32:
      ((int32_t *)p)[n] = (int32_t)v.i;
      break;
    case WN_I64:
      ((int64_t *)p)[n] = v.i;
      break;
    default:
      ((uint8_t *)p)[n] = (uint8_t)v.i;
  }
}

static double in_float(uop_op o, double x, double y, double z, bool fused) {
  float a = (float)x, b = (float)y, c = (float)z;
  volatile float product = a * b;
  switch (o) {
    case OP_ADD:
      return (double)(a + b);
    case OP_SUB:
      return (double)(a - b);
    case OP_MUL:
      return (double)product;
    case OP_DIV:
      return (double)(a / b);
    case OP_SQRT:
      return (double)sqrtf(a);
    case OP_FLOOR:
      return (double)floorf(a);
    case OP_ROUND:
      return (double)nearbyintf(a);
    case OP_EXP:
      return (double)expf(a);
    case OP_LOG:
      return (double)logf(a);
    case OP_SIN:
      return (double)sinf(a);
    case OP_COS:
      return (double)cosf(a);
    case OP_ATAN:
      return (double)atanf(a);
    case OP_TANH:
      return (double)tanhf(a);
    case OP_ERF:
      return (double)erff(a);
    case OP_POW:
      return (double)powf(a, b);
    default:
      return (double)(fused ? fmaf(a, b, c) : product + c);
  }
}

static double in_double(uop_op o, double a, double b, double c, bool fused) {
  volatile double product = a * b;
  switch (o) {
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return product;
    case OP_DIV:
      return a / b;
    case OP_SQRT:
      return sqrt(a);
    case OP_FLOOR:
      return floor(a);
    case OP_ROUND:
      return nearbyint(a);
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
      return fused ? fma(a, b, c) : product + c;
  }
}

static double reference_float(uop_op o, wn_dtype dtype, double a, double b, double c, bool fused) {
  switch (o) {
    case OP_MAX:
      return isnan(a) || isnan(b) ? (double)NAN : a > b ? a : b;
    case OP_MIN:
      return isnan(a) || isnan(b) ? (double)NAN : a < b ? a : b;
    case OP_NEG:
      return -a;
    case OP_ABS:
      return fabs(a);
    default:
      return dtype == WN_F32 ? in_float(o, a, b, c, fused) : in_double(o, a, b, c, fused);
  }
}

static int64_t floor_quotient(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return (int64_t)(0 - (uint64_t)a);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t reference_int(uop_op o, int64_t a, int64_t b, int64_t c) {
  uint64_t x = (uint64_t)a, y = (uint64_t)b;
  switch (o) {
    case OP_ADD:
      return (int64_t)(x + y);
    case OP_SUB:
      return (int64_t)(x - y);
    case OP_MUL:
      return (int64_t)(x * y);
    case OP_IDIV:
      return floor_quotient(a, b);
    case OP_MOD:
      return (int64_t)(x - y * (uint64_t)floor_quotient(a, b));
    case OP_MAX:
      return a > b ? a : b;
    case OP_MIN:
      return a < b ? a : b;
    case OP_NEG:
      return (int64_t)(0 - x);
    case OP_ABS:
      return a < 0 ? (int64_t)(0 - x) : a;
    default:
      return (int64_t)(x * y + (uint64_t)c);
  }
}

static const uop_op float_ops[] = {OP_ADD, OP_SUB,   OP_MUL,   OP_DIV,  OP_MAX, OP_MIN, OP_NEG,
                                   OP_ABS, OP_FLOOR, OP_ROUND, OP_SQRT, OP_EXP, OP_LOG, OP_SIN,
                                   OP_COS, OP_ATAN,  OP_TANH,  OP_ERF,  OP_POW, OP_FMA};
static const uop_op int_ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_IDIV, OP_MOD,
                                 OP_MAX, OP_MIN, OP_NEG, OP_ABS,  OP_FMA};
static const uop_op bool_ops[] = {OP_AND, OP_OR, OP_NOT, OP_MUL, OP_MAX, OP_MIN};
enum { COUNT = 64 };

static int64_t reference_bool(uop_op o, int64_t a, int64_t b) {
  return o == OP_OR || o == OP_MAX ? (a | b) : o == OP_NOT ? !a : (a & b);
}

static const uop_op *ops_of(wn_dtype dtype, int *count) {
  if (dtype == WN_BOOL) return *count = (int)(sizeof bool_ops / sizeof *bool_ops), bool_ops;
  if (dtype_is_float(dtype)) return *count = (int)(sizeof float_ops / sizeof *float_ops), float_ops;
  return *count = (int)(sizeof int_ops / sizeof *int_ops), int_ops;
}

static void fill_operand(wn_dtype dtype, void *p, int which) {
  static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1.0, -1.0, 0.5};
  for (int64_t n = 0; n < COUNT; n++) {
    value v = {.f = (double)(float)((rand() % 2000 - 1000) / 77.0), .i = rand() % 41 - 20};
    if (n < 16) v.f = odd[(which ? n / 2 : n) % 8];
    if (dtype == WN_BOOL) v.i &= 1;
    put(dtype, p, n, v);
  }
}

/* One kernel: every op of the dtype on three arrays, then LT and EQ, WHERE, and casts to every
 * register dtype. */
static lin_kernel *every_op(wn_dtype dtype, int lanes) {
  static const wn_dtype to[] = {WN_F64, WN_F32, WN_I32, WN_I64, WN_BOOL};
  int nops;
  const uop_op *ops = ops_of(dtype, &nops);
  char name[32];
  snprintf(name, sizeof name, "ops_%s_%d", wn_dtype_name(dtype), lanes);
  lin_kernel *k = new_kernel(name, COUNT / lanes);
  for (int n = 0; n < 3; n++) array(k, dtype, SPACE_GLOBAL, COUNT, true, false);
  int64_t out = array(k, dtype, SPACE_GLOBAL, COUNT * (nops + 1), false, true);
  int64_t truth = array(k, WN_BOOL, SPACE_GLOBAL, COUNT * 2, false, true), casts[5];
  for (int n = 0; n < 5; n++) casts[n] = array(k, to[n], SPACE_GLOBAL, COUNT, false, true);
  uint32_t at = imul(k, op_i(k, OP_GRID, WN_I64, 1, 0), num(k, lanes)), x[3];
  for (int n = 0; n < 3; n++) x[n] = load(k, n, dtype, lanes, at, 1, NO_MASK);
  for (int n = 0; n < nops; n++) {
    uint32_t v = op(k, ops[n], dtype, lanes, op_table[ops[n]].lo, x[0], x[1], x[2]);
    store(k, out, iadd(k, at, num(k, n * COUNT)), v, 1, NO_MASK);
  }
  uint32_t lt = op(k, OP_LT, WN_BOOL, lanes, 2, x[0], x[1], 0),
           eq = op(k, OP_EQ, WN_BOOL, lanes, 2, x[0], x[1], 0);
  store(k, truth, at, lt, 1, NO_MASK);
  store(k, truth, iadd(k, at, num(k, COUNT)), eq, 1, NO_MASK);
  uint32_t v = op(k, OP_WHERE, dtype, lanes, 3, lt, x[2], x[0]);
  store(k, out, iadd(k, at, num(k, nops * COUNT)), v, 1, NO_MASK);
  for (int n = 0; n < 5; n++)
    store(k, casts[n], at, op(k, OP_CAST, to[n], lanes, 1, x[0], 0, 0), 1, NO_MASK);
  return k;
}

static void same(wn_dtype dtype, value got, value want, const char *what, const char *isa,
                 int64_t n) {
  bool ok =
      dtype_is_float(dtype) ? got.f == want.f || (isnan(got.f) && isnan(want.f)) : got.i == want.i;
  if (!ok)
    fail_msg("%s %s on %s, element %ld: %.9g (%ld) instead of %.9g (%ld)", what,
             wn_dtype_name(dtype), isa, (long)n, got.f, (long)got.i, want.f, (long)want.i);
}

/* What of f32 is made of arithmetic: within one unit in the last place of what is right, or two. */
static bool is_made(uop_op o, wn_dtype dtype) {
  return dtype == WN_F32 && (o == OP_EXP || o == OP_TANH || o == OP_ERF);
}

static void near(uop_op o, value got, double x, const char *isa, int64_t n) {
  const double want = in_double(o, x, 0, 0, false);
  const float right = (float)want;
  const double unit =
      isfinite(right) ? (double)(nextafterf(fabsf(right), INFINITY) - fabsf(right)) : 0;
  bool ok = isnan(want)        ? isnan(got.f)
            : !isfinite(right) ? got.f == (double)right
                               : fabs(got.f - want) <= (o == OP_EXP ? unit : 2 * unit) &&
                                     (want != 0 || signbit(got.f) == signbit(want));
  if (!ok)
    fail_msg("%s f32 on %s, element %ld: of %.9g it is %.9g and not %.9g", op_table[o].name, isa,
             (long)n, x, got.f, want);
}

static value reference(uop_op o, wn_dtype dtype, value a, value b, value c, bool fused) {
  if (dtype == WN_BOOL) return (value){.i = reference_bool(o, a.i, b.i)};
  if (dtype_is_float(dtype)) {
    double f = reference_float(o, dtype, a.f, b.f, c.f, fused);
    return (value){.f = f};
  }
  int64_t i = reference_int(o, a.i, b.i, c.i);
  return (value){.i = dtype == WN_I32 ? (int32_t)i : i};
}

static void check_casts(wn_dtype from, value a, void *const *args, int64_t n, const char *isa) {
  bool floats = dtype_is_float(from);
  double f = floats ? a.f : (double)a.i;
  same(WN_F64, get(WN_F64, args[5], n), (value){.f = f}, "CAST to", isa, n);
  same(WN_F32, get(WN_F32, args[6], n), (value){.f = (double)(float)f}, "CAST to", isa, n);
  if (isfinite(f)) {
    same(WN_I32, get(WN_I32, args[7], n), (value){.i = (int64_t)f}, "CAST to", isa, n);
    same(WN_I64, get(WN_I64, args[8], n), (value){.i = (int64_t)f}, "CAST to", isa, n);
  }
  same(WN_BOOL, get(WN_BOOL, args[9], n), (value){.i = f != 0.0}, "CAST to", isa, n);
}

static void check_ops(const machine *t, wn_dtype dtype, void *const *args) {
  int nops;
  const uop_op *ops = ops_of(dtype, &nops);
  for (int64_t n = 0; n < COUNT; n++) {
    value a = get(dtype, args[0], n), b = get(dtype, args[1], n), c = get(dtype, args[2], n);
    for (int o = 0; o < nops; o++) {
      const value got = get(dtype, args[3], o * COUNT + n);
      if (is_made(ops[o], dtype))
        near(ops[o], got, a.f, t->name, n);
      else
        same(dtype, got, reference(ops[o], dtype, a, b, c, t->fma), op_table[ops[o]].name, t->name,
             n);
    }
    bool floats = dtype_is_float(dtype), lt = floats ? a.f < b.f : a.i < b.i,
         eq = floats ? a.f == b.f : a.i == b.i;
    same(WN_BOOL, get(WN_BOOL, args[4], n), (value){.i = lt}, "LT", t->name, n);
    same(WN_BOOL, get(WN_BOOL, args[4], COUNT + n), (value){.i = eq}, "EQ", t->name, n);
    same(dtype, get(dtype, args[3], nops * COUNT + n), lt ? c : a, "WHERE", t->name, n);
    check_casts(dtype, a, args, n, t->name);
  }
}

static void test_ops(void **state) {
  (void)state;
  static const wn_dtype dtypes[] = {WN_F32, WN_F64, WN_I32, WN_I64, WN_BOOL};
  enum { KERNELS = 25 };
  for (int t = 0; t < target_count; t++) {
    const lin_kernel *k[KERNELS];
    backend_kernel out[KERNELS];
    for (int n = 0; n < KERNELS; n++) k[n] = every_op(dtypes[n / 5], 1 << n % 5);
    void *code = compile(&targets[t], KERNELS, k, out);
    for (int n = 0; n < KERNELS; n++) {
      void *args[10];
      for (int i = 0; i < 10; i++) args[i] = arena_alloc(&mem, COUNT * 8 * 32);
      for (int i = 0; i < 3; i++) fill_operand(dtypes[n / 5], args[i], i);
      host_function(out[n].code)(args, NULL, 0, k[n]->grid);
      check_ops(&targets[t], dtypes[n / 5], args);
    }
    backend_llvm.release(code);
  }
}

/* Division by constants takes its own ways. */
static void test_constant_divisors(void **state) {
  (void)state;
  static const int64_t by[] = {1, 2, 3, 7, 8, 12, -1, -3, -4, 0};
  enum { N = sizeof by / sizeof *by };
  for (int t = 0; t < target_count; t++) {
    lin_kernel *k = new_kernel("divide", 1);
    array(k, WN_I64, SPACE_GLOBAL, 8, true, false);
    array(k, WN_I64, SPACE_GLOBAL, 16 * N, false, true);
    uint32_t x = load(k, 0, WN_I64, 8, num(k, 0), 1, NO_MASK);
    for (int n = 0; n < N; n++) {
      uint32_t d = op(k, OP_BROADCAST, WN_I64, 8, 1, num(k, by[n]), 0, 0);
      store(k, 1, num(k, 16 * n), op(k, OP_IDIV, WN_I64, 8, 2, x, d, 0), 1, NO_MASK);
      store(k, 1, num(k, 16 * n + 8), op(k, OP_MOD, WN_I64, 8, 2, x, d, 0), 1, NO_MASK);
    }
    int64_t in[8] = {INT64_MIN, -25, -24, -1, 0, 1, 23, INT64_MAX}, got[16 * N];
    run(&targets[t], k, (void *[]){in, got});
    for (int n = 0; n < 16 * N; n++) {
      int64_t a = in[n % 8], d = by[n / 16];
      assert_int_equal(got[n], reference_int(n % 16 < 8 ? OP_IDIV : OP_MOD, a, d, 0));
    }
  }
}

enum { POINTS = 4096 };

/* One number after another through some ops, in every number of lanes: the same bits in each. */
static const float *run_in_lanes(const machine *t, const float *x,
                                 uint32_t (*body)(lin_kernel *k, uint32_t v, int lanes)) {
  static float got[4][POINTS];
  static const int lanes[] = {1, 4, 8, 16};
  for (int l = 0; l < 4; ++l) {
    lin_kernel *k = new_kernel("points", POINTS / lanes[l]);
    array(k, WN_F32, SPACE_GLOBAL, POINTS, true, false);
    array(k, WN_F32, SPACE_GLOBAL, POINTS, false, true);
    uint32_t at = imul(k, op_i(k, OP_GRID, WN_I64, 1, 0), num(k, lanes[l]));
    uint32_t v = load(k, 0, WN_F32, lanes[l], at, 1, NO_MASK);
    store(k, 1, at, body(k, v, lanes[l]), 1, NO_MASK);
    run(t, k, (void *[]){(float *)x, got[l]});
    assert_memory_equal(got[l], got[0], sizeof got[0]);
  }
  return got[0];
}

/* Over all of the range, past both ends. */
static const float *points(void) {
  static float x[POINTS];
  for (int n = 0; n < POINTS; ++n)
    x[n] = -110.0f + 202.0f * (float)n / (float)POINTS + (float)(rand() % 1000) * 1e-5f;
  for (int n = 0; n < 64; ++n) x[n] = (float)(rand() % 2000 - 1000) * 1e-4f;
  for (int n = 64; n < 512; ++n) x[n] = (float)(rand() % 100000 - 50000) * 1e-4f;
  x[0] = -0.0f, x[1] = NAN, x[2] = INFINITY, x[3] = -INFINITY;
  return x;
}

static uint32_t exp_body(lin_kernel *k, uint32_t v, int lanes) {
  return op(k, OP_EXP, WN_F32, lanes, 1, v, 0, 0);
}
static uint32_t tanh_body(lin_kernel *k, uint32_t v, int lanes) {
  return op(k, OP_TANH, WN_F32, lanes, 1, v, 0, 0);
}
static uint32_t erf_body(lin_kernel *k, uint32_t v, int lanes) {
  return op(k, OP_ERF, WN_F32, lanes, 1, v, 0, 0);
}

static uint32_t one(lin_kernel *k, int lanes) {
  uint32_t c = op_i(k, OP_CONST, WN_F32, 1, 0);
  k->ins.data[c].f = 1;
  return lanes == 1 ? c : op(k, OP_BROADCAST, WN_F32, lanes, 1, c, 0, 0);
}
static uint32_t added_body(lin_kernel *k, uint32_t v, int lanes) {
  return op(k, OP_ADD, WN_F32, lanes, 2, exp_body(k, v, lanes), one(k, lanes), 0);
}
/* The power itself, which is less than that sum. */
static uint32_t both_body(lin_kernel *k, uint32_t v, int lanes) {
  uint32_t e = exp_body(k, v, lanes);
  return op(k, OP_MIN, WN_F32, lanes, 2, op(k, OP_ADD, WN_F32, lanes, 2, one(k, lanes), e, 0), e,
            0);
}

static void test_functions(void **state) {
  (void)state;
  static const struct {
    uop_op op;
    uint32_t (*body)(lin_kernel *k, uint32_t v, int lanes);
  } of[] = {{OP_EXP, exp_body}, {OP_TANH, tanh_body}, {OP_ERF, erf_body}};
  const float *x = points();
  for (int t = 0; t < target_count; t++) {
    for (size_t i = 0; i < sizeof of / sizeof *of; ++i) {
      const float *y = run_in_lanes(&targets[t], x, of[i].body);
      for (int n = 0; n < POINTS; ++n)
        near(of[i].op, (value){.f = (double)y[n]}, (double)x[n], targets[t].name, n);
    }
  }
}

/* What 1 is added to may lose its small end and nothing else; what is read besides must not. */
static void test_added_exp(void **state) {
  (void)state;
  const float *x = points();
  for (int t = 0; t < target_count; t++) {
    const float *y = run_in_lanes(&targets[t], x, added_body);
    for (int n = 0; n < POINTS; ++n) {
      const double want = exp((double)x[n]) + 1, got = (double)y[n];
      const bool ok = isnan(want)              ? isnan(got)
                      : !isfinite((float)want) ? isinf(got)
                                               : fabs(got - want) <= 2 * (double)FLT_EPSILON * want;
      if (!ok) fail_msg("%s: 1 + e^%.9g is %.9g", targets[t].name, (double)x[n], got);
    }
    y = run_in_lanes(&targets[t], x, both_body);
    for (int n = 0; n < POINTS; ++n)
      near(OP_EXP, (value){.f = (double)y[n]}, (double)x[n], targets[t].name, n);
  }
}

/* A constant operand spares MAX its second look at NaN; either order must be right. */
static void test_max_with_constant(void **state) {
  (void)state;
  for (int t = 0; t < target_count; t++) {
    lin_kernel *k = new_kernel("relu", 1);
    array(k, WN_F32, SPACE_GLOBAL, 4, true, false);
    array(k, WN_F32, SPACE_GLOBAL, 12, false, true);
    uint32_t x = load(k, 0, WN_F32, 4, num(k, 0), 1, NO_MASK), zero = real(k, WN_F32, 4, 0),
             nan = real(k, WN_F32, 4, NAN);
    store(k, 1, num(k, 0), op(k, OP_MAX, WN_F32, 4, 2, x, zero, 0), 1, NO_MASK);
    store(k, 1, num(k, 4), op(k, OP_MIN, WN_F32, 4, 2, zero, x, 0), 1, NO_MASK);
    store(k, 1, num(k, 8), op(k, OP_MAX, WN_F32, 4, 2, nan, x, 0), 1, NO_MASK);
    float in[4] = {-3, NAN, 5, INFINITY}, got[12];
    run(&targets[t], k, (void *[]){in, got});
    assert_true(got[0] == 0 && isnan(got[1]) && got[2] == 5 && isinf(got[3]));
    assert_true(got[4] == -3 && isnan(got[5]) && got[6] == 0 && got[7] == 0);
    for (int n = 8; n < 12; n++) assert_true(isnan(got[n]));
  }
}

/* Code for AArch64 comes out anywhere where LLVM was built with it. */
static void test_aarch64(void **state) {
  (void)state;
  const lin_kernel *k[] = {every_op(WN_F32, 4), every_op(WN_F64, 2), every_op(WN_I32, 4),
                           every_op(WN_I64, 16), every_op(WN_BOOL, 8)};
  const char *text = aarch64_assembly(5, k);
  if (text == NULL) return;
  assert_non_null(strstr(text, "fmla\tv"));
  assert_non_null(strstr(text, "fmax\tv"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ops),
      cmocka_unit_test(test_constant_divisors),
      cmocka_unit_test(test_functions),
      cmocka_unit_test(test_added_exp),
      cmocka_unit_test(test_max_with_constant),
      cmocka_unit_test(test_aarch64),
  };
  return run_group(tests, sizeof tests / sizeof *tests);
}

#else
int main(void) { return 0; }
#endif
