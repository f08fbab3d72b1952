/* Elementwise operations as programs compute them, against libm.
 *
 * In: the public API, on every backend and instruction set of this machine. Out: results within a few units in the last
 * place, of all signs and sizes; NaN, infinities, zeros of both signs and what a rounding is in doubt of are among the
 * data. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <winnow/winnow.h>

#include "isas.h"

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

enum { N = 24 * 24, MOST = 32 };

static const double special[] = {
    0.0,  -0.0,  1.0,  -1.0, 0.5,  -0.5, 1.5,       -1.5,      2.5,  -2.5, 3.0,      0.3,
    -0.3, 1e-30, -7.0, 64.0, 88.0, -1e9, 8388607.5, -8388609., 1e30, NAN,  INFINITY, -INFINITY};
enum { SPECIAL = sizeof special / sizeof *special };

/* a runs through the special values, then anything; b is each of them beside each of a's. */
static double sample(bool second, int i) {
  if (i < SPECIAL * SPECIAL / 2) return special[second ? i / SPECIAL : i % SPECIAL];
  double mantissa = rand() / (RAND_MAX + 1.0) - 0.5,
         scale = ldexp(1, rand() % (second ? 6 : 24) - 8);
  return (double)(float)(mantissa * scale);
}

/* --- programs --------------------------------------------------------------------------------- */

typedef struct job {
  wn_context *ctx;
  wn_tensor *out[MOST];
  void *data[MOST];
  int count;
} job;

static job job_new(void) {
  job j = {.count = 0};
  assert_int_equal(wn_context_create(&j.ctx), WN_OK);
  return j;
}

static void job_add(job *j, wn_tensor *t) {
  if (t == NULL) fail_msg("%s", wn_message(j->ctx));
  assert_true(j->count < MOST);
  j->out[j->count] = t;
  j->data[j->count++] = calloc(N, 8);
}

static void job_end(job *j) {
  for (int i = 0; i < j->count; ++i) free(j->data[i]);
  wn_context_destroy(j->ctx);
}

typedef void (*checker)(const job *j, const void *state, const char *where);

static void run_on(job *j, const wn_options *o, checker check, const void *state) {
  char where[64];
  snprintf(where, sizeof where, "%s %s", o->backend, o->isa ? o->isa : "");
  wn_program *p = NULL;
  wn_status st = wn_compile(j->ctx, j->out, j->data, j->count, o, &p);
  if (st == WN_ERR_DEVICE) return; /* there is no such backend here */
  if (st != WN_OK || wn_run(p) != WN_OK) fail_msg("%s: %s", where, wn_message(j->ctx));
  wn_program_destroy(p);
  check(j, state, where);
}

static void run_everywhere(job *j, checker check, const void *state) {
  isa_list isas = machine_isas();
  for (int i = 0; i < isas.count; ++i)
    run_on(j,
           &WN_OPTIONS(.backend = "cpu", .isa = isas.name[i], .threads = 1, .strict = 1,
                       .no_cache = 1),
           check, state);
  run_on(j, &WN_OPTIONS(.backend = "cpu:cc", .threads = 1, .strict = 1, .no_cache = 1), check,
         state);
  run_on(j, &WN_OPTIONS(.backend = "interp", .threads = 1), check, state);
  run_on(j, &WN_OPTIONS(.backend = "opencl", .strict = 1, .no_cache = 1), check, state);
}

/* --- floats ----------------------------------------------------------------------------------- */

typedef struct operands {
  wn_dtype dtype;
  double a[N], b[N]; /* what the arrays hold */
  float a32[N], b32[N];
} operands;

static void fill(operands *v, wn_dtype dtype) {
  v->dtype = dtype;
  for (int i = 0; i < N; ++i) {
    v->a[i] = sample(false, i), v->b[i] = sample(true, i);
    v->a32[i] = (float)v->a[i], v->b32[i] = (float)v->b[i];
    if (dtype == WN_F32) v->a[i] = (double)v->a32[i], v->b[i] = (double)v->b32[i];
  }
}

static wn_tensor *operand(const job *j, const operands *v, bool second) {
  const void *wide = second ? v->b : v->a, *narrow = second ? v->b32 : v->a32;
  return wn_input(j->ctx, v->dtype, SHAPE(N), v->dtype == WN_F64 ? wide : narrow);
}

static double result(const job *j, wn_dtype dtype, int out, int i) {
  return dtype == WN_F64 ? ((const double *)j->data[out])[i]
                         : (double)((const float *)j->data[out])[i];
}

/* The largest float of a dtype is the bound of an error where a result overflows in one of two ways. */
static void near(double got, double want, wn_dtype dtype, double ulps, const char *what,
                 const char *where, double a, double b) {
  double eps = dtype == WN_F64 ? DBL_EPSILON : (double)FLT_EPSILON,
         least = dtype == WN_F64 ? DBL_MIN : (double)FLT_MIN;
  if (dtype == WN_F32) want = (double)(float)want;
  bool same = got == want ? want != 0 || signbit(got) == signbit(want) : isnan(got) && isnan(want);
  if (same || fabs(got - want) <= ulps * eps * fmax(fabs(want), least)) return;
  fail_msg("%s of %s on %s: (%.17g, %.17g) gives %.17g, expected %.17g", what, wn_dtype_name(dtype),
           where, a, b, got, want);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static const struct {
  const char *name;
  wn_unary op;
  double (*fn)(double);
  double ulps; /* of OpenCL's, which are the worst */
} maps[] = {
    {"abs", WN_ABS, fabs, 0},   {"floor", WN_FLOOR, floor, 0}, {"round", WN_ROUND, nearbyint, 0},
    {"sqrt", WN_SQRT, sqrt, 1}, {"exp", WN_EXP, exp, 4},       {"log", WN_LOG, log, 4},
    {"sin", WN_SIN, sin, 4},    {"cos", WN_COS, cos, 4},       {"atan", WN_ATAN, atan, 5},
    {"tanh", WN_TANH, tanh, 5}, {"erf", WN_ERF, erf, 16},      {"sigmoid", WN_SIGMOID, sigmoid, 5},
};
enum { MAPS = sizeof maps / sizeof *maps };

static void check_maps(const job *j, const void *state, const char *where) {
  const operands *v = state;
  for (int m = 0; m < MAPS; ++m) {
    for (int i = 0; i < N; ++i)
      near(result(j, v->dtype, m, i), maps[m].fn(v->a[i]), v->dtype, maps[m].ulps, maps[m].name,
           where, v->a[i], 0);
  }
}

static void test_maps(void **state) {
  (void)state;
  static const wn_dtype dtypes[] = {WN_F32, WN_F64};
  for (int d = 0; d < 2; ++d) {
    static operands v;
    job j = job_new();
    fill(&v, dtypes[d]);
    wn_tensor *a = operand(&j, &v, false);
    for (int m = 0; m < MAPS; ++m) job_add(&j, wn_map(maps[m].op, a));
    run_everywhere(&j, check_maps, &v);
    job_end(&j);
  }
}

/* --- powers ----------------------------------------------------------------------------------- */

static const double exponents[] = {1, 2, 3, -1, 0.5, 0, -2, 2.25};
enum { EXPONENTS = sizeof exponents / sizeof *exponents };

static void check_powers(const job *j, const void *state, const char *where) {
  const operands *v = state;
  for (int i = 0; i < N; ++i) {
    near(result(j, v->dtype, 0, i), pow(v->a[i], v->b[i]), v->dtype, 16, "power", where, v->a[i],
         v->b[i]);
    for (int e = 0; e < EXPONENTS; ++e) {
      double n = exponents[e], want = n == 0.5 ? sqrt(v->a[i]) : pow(v->a[i], n);
      near(result(j, v->dtype, 1 + e, i), want, v->dtype, 16, "power", where, v->a[i], n);
    }
  }
}

static void test_powers(void **state) {
  (void)state;
  static const wn_dtype dtypes[] = {WN_F32, WN_F64};
  for (int d = 0; d < 2; ++d) {
    static operands v;
    job j = job_new();
    fill(&v, dtypes[d]);
    wn_tensor *a = operand(&j, &v, false);
    job_add(&j, wn_zip(WN_POW, a, operand(&j, &v, true)));
    for (int e = 0; e < EXPONENTS; ++e) {
      wn_tensor *n = wn_scalar(j.ctx, v.dtype, exponents[e]);
      if (e % 2) n = wn_expand(n, SHAPE(N));
      job_add(&j, wn_zip(WN_POW, a, n));
    }
    run_everywhere(&j, check_powers, &v);
    job_end(&j);
  }
}

/* A scalar to powers that are known is an array. */
static void test_power_of_scalar(void **state) {
  (void)state;
  job j = job_new();
  wn_tensor *y = wn_zip(WN_POW, wn_scalar(j.ctx, WN_F32, 3),
                        wn_expand(wn_scalar(j.ctx, WN_F32, 2), SHAPE(2, 5)));
  assert_int_equal(wn_ndim(y), 2);
  assert_int_equal(wn_shape(y)[1], 5);
  assert_null(wn_zip(WN_POW, wn_scalar(j.ctx, WN_I32, 3), wn_scalar(j.ctx, WN_I32, 2)));
  assert_string_equal(
      wn_message(j.ctx),
      "wn_zip: power takes a floating-point tensor, not i32 []; convert it with wn_cast");
  job_end(&j);
}

/* --- remainders ------------------------------------------------------------------------------- */

/* What is left has b's sign and is less than it; near 0 and near b are neighbours. */
static void check_remainders(const job *j, const void *state, const char *where) {
  const operands *v = state;
  double eps = v->dtype == WN_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
  for (int i = 0; i < N; ++i) {
    double a = v->a[i], b = v->b[i], got = result(j, v->dtype, 0, i), want = fmod(a, b);
    if (want != 0 && (want < 0) != (b < 0)) want += b;
    if (isnan(want) || isinf(want)) {
      near(got, want, v->dtype, 0, "modulo", where, a, b);
      continue;
    }
    if (isfinite(b) && fabs(a / b) > 1 / eps) continue;
    double off = fabs(got - want), around = fabs(fabs(b) - off),
           bound = 4 * eps * fmax(fabs(a), fabs(b));
    bool fits = got * b >= 0 && fabs(got) <= fabs(b) &&
                (off <= 4 * eps * fabs(a) || off <= bound || around <= bound);
    if (!fits)
      fail_msg("modulo on %s: (%.17g, %.17g) gives %.17g, expected %.17g", where, a, b, got, want);
  }
}

static void test_remainders(void **state) {
  (void)state;
  static const wn_dtype dtypes[] = {WN_F32, WN_F64};
  for (int d = 0; d < 2; ++d) {
    static operands v;
    job j = job_new();
    fill(&v, dtypes[d]);
    job_add(&j, wn_zip(WN_MOD, operand(&j, &v, false), operand(&j, &v, true)));
    run_everywhere(&j, check_remainders, &v);
    job_end(&j);
  }
}

typedef struct wholes {
  int64_t a[N], b[N];
  int32_t a32[N], b32[N];
} wholes;

static int64_t whole_remainder(int64_t a, int64_t b) {
  if (b == 0) return a;
  int64_t r = b == -1 ? 0 : a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static void check_wholes(const job *j, const void *state, const char *where) {
  const wholes *v = state;
  for (int i = 0; i < N; ++i) {
    int64_t got = ((const int64_t *)j->data[0])[i], want = whole_remainder(v->a[i], v->b[i]);
    int32_t got32 = ((const int32_t *)j->data[1])[i],
            want32 = (int32_t)whole_remainder(v->a32[i], v->b32[i]);
    if (got != want || got32 != want32)
      fail_msg("%lld mod %lld is %lld on %s, %d mod %d is %d", (long long)v->a[i],
               (long long)v->b[i], (long long)got, where, v->a32[i], v->b32[i], got32);
  }
}

static void test_wholes(void **state) {
  (void)state;
  static const int64_t odd[] = {0, 1, -1, 2, -7, 7, INT64_MAX, INT64_MIN};
  static wholes v;
  job j = job_new();
  for (int i = 0; i < N; ++i) {
    v.a[i] = i < 64 ? odd[i % 8] : rand() % 2001 - 1000;
    v.b[i] = i < 64 ? odd[i / 8] : rand() % 41 - 20;
    v.a32[i] = (int32_t)(i < 64 && i % 8 == 7 ? INT32_MIN : v.a[i]), v.b32[i] = (int32_t)v.b[i];
  }
  job_add(&j, wn_zip(WN_MOD, wn_input(j.ctx, WN_I64, SHAPE(N), v.a),
                     wn_input(j.ctx, WN_I64, SHAPE(N), v.b)));
  job_add(&j, wn_zip(WN_MOD, wn_input(j.ctx, WN_I32, SHAPE(N), v.a32),
                     wn_input(j.ctx, WN_I32, SHAPE(N), v.b32)));
  run_everywhere(&j, check_wholes, &v);
  job_end(&j);
}

/* --- NaN -------------------------------------------------------------------------------------- */

static void check_nans(const job *j, const void *state, const char *where) {
  const operands *v = state;
  for (int i = 0; i < N; ++i) {
    bool is = ((const uint8_t *)j->data[0])[i] != 0, is_inf = ((const uint8_t *)j->data[1])[i] != 0;
    if (is != isnan(v->a[i]) || is_inf != (fabs(v->a[i]) == (double)INFINITY))
      fail_msg("%g on %s: NaN %d, infinite %d", v->a[i], where, is, is_inf);
  }
}

/* x == x is no constant of floats. */
static void test_nans(void **state) {
  (void)state;
  static operands v;
  job j = job_new();
  fill(&v, WN_F32);
  wn_tensor *a = operand(&j, &v, false);
  job_add(&j, wn_map(WN_NOT, wn_zip(WN_EQUAL, a, a)));
  job_add(&j, wn_zip(WN_EQUAL, wn_map(WN_ABS, a), wn_scalar(j.ctx, WN_F32, INFINITY)));
  run_everywhere(&j, check_nans, &v);
  job_end(&j);
}

int main(void) {
  const char *text = getenv("WINNOW_SEED");
  unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);
  printf("# WINNOW_SEED=%u\n", seed);
  srand(seed);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_maps),
      cmocka_unit_test(test_powers),
      cmocka_unit_test(test_power_of_scalar),
      cmocka_unit_test(test_remainders),
      cmocka_unit_test(test_wholes),
      cmocka_unit_test(test_nans),
  };
  return cmocka_run_group_tests_name("elementwise", tests, NULL, NULL);
}
