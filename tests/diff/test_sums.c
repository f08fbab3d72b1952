/* Reductions against float64, exactly where they are exact: sums of any length and layout have an error like pairwise
 * summation's, whatever the backend and instruction set; integers, extrema and products are bit for bit what one chain
 * gives; and neither threads nor merging change a bit. Times are bench's business, figures below those of
 * docs/performance.md. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isas.h"
#include "program/program.h"
#include "backend/half.h"
#include "sanitized.h"
#include "winnow/winnow.h"

static const double PROMISE = 2e-7; /* of what was summed */
/* Where register tiles of products are full, chains are longer: their ends would cost what arithmetic takes. */
static const double TILE_PROMISE = 4e-7;

typedef enum { ONES, TENTHS, UNIFORM, SIGNED } data_kind;
static const char *const kind_name[] = {"ones", "tenths", "uniform", "signed"};

typedef struct sum_case {
  int ndim;
  int64_t shape[4];
  int naxes, axes[4];
  wn_dtype dtype;
  data_kind data;
} sum_case;

static uint64_t state_of = 1;
static double uniform(void) { /* [0, 1): splitmix64 (Steele, Lea, Flood 2014) */
  uint64_t z = (state_of += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return (double)((z ^ (z >> 31)) >> 40) * 0x1p-24;
}

static double next_value(data_kind kind) {
  if (kind == ONES) return 1;
  if (kind == TENTHS) return (double)0.1F;
  return kind == UNIFORM ? uniform() : 2 * uniform() - 1;
}

static double get(wn_dtype dtype, const void *x, int64_t i) {
  switch (dtype) {
    case WN_F64:
      return ((const double *)x)[i];
    case WN_F32:
      return (double)((const float *)x)[i];
    case WN_F16:
      return half_from_f16(((const uint16_t *)x)[i]);
    default:
      return (double)half_from_bf16(((const uint16_t *)x)[i]);
  }
}

static void set(wn_dtype dtype, void *x, int64_t i, double v) {
  if (dtype == WN_F64) ((double *)x)[i] = v;
  if (dtype == WN_F32) ((float *)x)[i] = (float)v;
  if (dtype == WN_F16) ((uint16_t *)x)[i] = half_to_f16(v);
  if (dtype == WN_BF16) ((uint16_t *)x)[i] = half_to_bf16(v);
}

static void *numbers(wn_dtype dtype, int64_t n, data_kind kind) {
  void *x = malloc((size_t)n * wn_dtype_size(dtype));
  assert_non_null(x);
  for (int64_t i = 0; i < n; ++i) set(dtype, x, i, next_value(kind));
  return x;
}

static void ignore(void *user, const char *line) {
  (void)user;
  (void)line;
}

static wn_context *context(void) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, ignore, NULL);
  return ctx;
}

/* False: there is no such backend here. */
static bool compute(wn_context *ctx, wn_tensor *t, void *y, wn_options o) {
  wn_program *p = NULL;
  o.no_cache = 1;
  wn_status st = wn_compile(ctx, &t, &y, 1, &o, &p);
  bool absent = st != WN_OK && strcmp(o.backend, "opencl") == 0;
  if (st != WN_OK && !absent) fail_msg("%s: %s", o.backend, wn_message(ctx));
  if (st == WN_OK) assert_int_equal(wn_run(p), WN_OK);
  wn_program_destroy(p);
  return !absent;
}

static int64_t elements(const sum_case *c) {
  int64_t n = 1;
  for (int i = 0; i < c->ndim; ++i) n *= c->shape[i];
  return n;
}

/* Where element i of the input goes in the result. */
static int64_t place(const sum_case *c, int64_t i) {
  int64_t at[4], to = 0;
  for (int d = c->ndim; d-- > 0;) at[d] = i % c->shape[d], i /= c->shape[d];
  for (int d = 0; d < c->ndim; ++d) {
    bool summed = false;
    for (int k = 0; k < c->naxes; ++k) summed |= c->axes[k] == d;
    if (!summed) to = to * c->shape[d] + at[d];
  }
  return to;
}

static int64_t results(const sum_case *c) {
  int64_t n = elements(c);
  for (int k = 0; k < c->naxes; ++k) n /= c->shape[c->axes[k]];
  return n;
}

static void describe(const sum_case *c, char *text, size_t size) {
  int n = snprintf(text, size, "%s %s [", wn_dtype_name(c->dtype), kind_name[c->data]);
  for (int i = 0; i < c->ndim; ++i)
    n += snprintf(text + n, size - (size_t)n, " %lld", (long long)c->shape[i]);
  n += snprintf(text + n, size - (size_t)n, " ] over");
  for (int i = 0; i < c->naxes; ++i) n += snprintf(text + n, size - (size_t)n, " %d", c->axes[i]);
}

/* Means rather than sums where a sum would not fit the dtype. */
static void check_sum(const sum_case *c, wn_options o) {
  char text[200];
  int64_t n = elements(c), m = results(c);
  bool narrow = c->dtype == WN_F16 || c->dtype == WN_BF16;
  double share = narrow ? (double)m / (double)n : 1;
  double unit = c->dtype == WN_F16 ? 0x1p-11 : c->dtype == WN_BF16 ? 0x1p-8 : 0;
  describe(c, text, sizeof text);
  void *x = numbers(c->dtype, n, c->data), *y = malloc((size_t)m * wn_dtype_size(c->dtype));
  double *want = calloc((size_t)m, sizeof *want), *size = calloc((size_t)m, sizeof *size);
  assert_true(y != NULL && want != NULL && size != NULL);
  for (int64_t i = 0; i < n; ++i) {
    double v = get(c->dtype, x, i);
    want[place(c, i)] += v * share;
    size[place(c, i)] += fabs(v) * share;
  }
  wn_context *ctx = context();
  wn_tensor *t = wn_input(ctx, c->dtype, c->ndim, c->shape, x);
  if (narrow) t = wn_cast(t, WN_F32);
  t = wn_reduce(WN_SUM, t, c->axes, c->naxes, 0);
  if (narrow) t = wn_cast(wn_zip(WN_MUL, t, wn_scalar(ctx, WN_F32, share)), c->dtype);
  if (compute(ctx, t, y, o)) {
    for (int64_t i = 0; i < m; ++i) {
      double error = fabs(get(c->dtype, y, i) - want[i]);
      if (!(error <= PROMISE * size[i] + unit * fabs(want[i])))
        fail_msg("%s, %s %s: %.9g, expected %.9g", text, o.backend, o.isa ? o.isa : "",
                 get(c->dtype, y, i), want[i]);
    }
  }
  wn_context_destroy(ctx);
  free(x), free(y), free(want), free(size);
}

/* Every layout: over the last axis, the first, several, all; lengths that no vector and no block divides; few and many.
 * */
static const sum_case layouts[] = {
    {1, {1000003}, 1, {0}, WN_F32, TENTHS},
    {1, {1 << 20}, 1, {0}, WN_F32, UNIFORM},
    {2, {300000, 1}, 1, {0}, WN_F32, TENTHS},
    {2, {100003, 3}, 1, {0}, WN_F32, TENTHS},
    {2, {100003, 3}, 2, {0, 1}, WN_F32, TENTHS},
    {2, {50021, 17}, 1, {0}, WN_F32, TENTHS},
    {2, {30011, 40}, 1, {0}, WN_F32, TENTHS},
    {2, {3, 100003}, 1, {1}, WN_F32, TENTHS},
    {2, {37, 30011}, 1, {1}, WN_F32, UNIFORM},
    {2, {700, 701}, 2, {0, 1}, WN_F32, TENTHS},
    {3, {50, 7, 3001}, 2, {0, 2}, WN_F32, TENTHS},
    {3, {5001, 7, 19}, 2, {0, 2}, WN_F32, TENTHS},
    {4, {2, 3, 211, 223}, 2, {2, 3}, WN_F32, TENTHS},
    {4, {2, 211, 223, 3}, 2, {1, 2}, WN_F32, TENTHS},
    {2, {4096, 129}, 1, {1}, WN_F32, SIGNED},
    {2, {129, 4096}, 1, {0}, WN_F32, SIGNED},
    {1, {300007}, 1, {0}, WN_F64, TENTHS},
    {1, {300007}, 1, {0}, WN_F16, TENTHS},
    {2, {30011, 16}, 1, {0}, WN_BF16, TENTHS},
    {1, {17}, 1, {0}, WN_F32, UNIFORM},
    {1, {145}, 1, {0}, WN_F32, UNIFORM},
    {1, {2049}, 1, {0}, WN_F32, SIGNED},
};

static void test_layouts(void **state) {
  (void)state;
  isa_list isas = machine_isas();
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; ++i) {
    for (int k = 0; k < isas.count; ++k)
      if (!in_part() || k == (int)i % isas.count)
        check_sum(&layouts[i], WN_OPTIONS(.backend = "cpu", .isa = isas.name[k], .threads = 1));
    check_sum(&layouts[i], WN_OPTIONS(.backend = "cpu", .threads = 2));
    if (i % 5 == 0 || getenv("WINNOW_LONG") != NULL)
      check_sum(&layouts[i], WN_OPTIONS(.backend = "interp", .isa = "avx512", .threads = 1));
  }
}

static void test_other_backends(void **state) {
  (void)state;
  static const size_t some[] = {0, 4, 5, 8, 12, 18};
  for (size_t i = 0; i < sizeof some / sizeof *some; ++i) {
    const sum_case *c = &layouts[some[i]];
    size_t only = in_part() ? i % 2 : 2;
    if (only != 0) check_sum(c, WN_OPTIONS(.backend = "cpu:cc", .threads = 1));
    if (only != 1) check_sum(c, WN_OPTIONS(.backend = "interp", .isa = "simt", .threads = 1));
    for (size_t simt = 0; simt < 2; ++simt)
      if (i % 2 == 0 && (!in_part() || i / 2 % 2 == simt))
        check_sum(c, WN_OPTIONS(.backend = "opencl", .isa = simt ? "simt" : "simd"));
  }
}

/* Of the length at which one chain of f32 stops growing. */
static void test_very_long(void **state) {
  (void)state;
  static const sum_case long_ones = {1, {1 << 25}, 1, {0}, WN_F32, ONES},
                        long_tenths = {1, {10000000}, 1, {0}, WN_F32, TENTHS};
  static const sum_case columns = {2, {10000000, 1}, 1, {0}, WN_F32, TENTHS};
  check_sum(&long_ones, WN_OPTIONS(.backend = "cpu", .threads = 1));
  if (in_part()) return; /* these loops are slow, and those of the kernels are not instrumented */
  check_sum(&long_tenths, WN_OPTIONS(.backend = "cpu", .threads = 1));
  check_sum(&columns, WN_OPTIONS(.backend = "cpu", .threads = 1));
}

static void check_matmul(int64_t rows, int64_t k, int64_t columns, data_kind kind,
                         const char *backend) {
  double promise = rows > 1 ? TILE_PROMISE : PROMISE;
  float *a = numbers(WN_F32, rows * k, kind), *b = numbers(WN_F32, k * columns, kind);
  float *y = malloc((size_t)(rows * columns) * sizeof *y);
  assert_non_null(y);
  wn_context *ctx = context();
  wn_tensor *t = wn_matmul(wn_input(ctx, WN_F32, 2, (int64_t[]){rows, k}, a),
                           wn_input(ctx, WN_F32, 2, (int64_t[]){k, columns}, b));
  assert_true(compute(ctx, t, y, WN_OPTIONS(.backend = backend, .threads = 1)));
  for (int64_t i = 0; i < rows * columns; ++i) {
    double want = 0, size = 0;
    for (int64_t c = 0; c < k; ++c) {
      double v = (double)a[i / columns * k + c] * (double)b[c * columns + i % columns];
      want += v, size += fabs(v);
    }
    if (!(fabs((double)y[i] - want) <= promise * size))
      fail_msg("%lld x %lld x %lld %s %s: %.9g, expected %.9g", (long long)rows, (long long)k,
               (long long)columns, kind_name[kind], backend, (double)y[i], want);
  }
  wn_context_destroy(ctx);
  free(a), free(b), free(y);
}

static void test_products_of_matrices(void **state) {
  (void)state;
  if (!in_part()) check_matmul(1, 1 << 24, 1, UNIFORM, "cpu");
  check_matmul(1, 1 << 20, 1, SIGNED, "cpu:cc");
  check_matmul(1, 1000003, 16, UNIFORM, "cpu");
  check_matmul(1, 30011, 16, UNIFORM, "cpu:cc");
  check_matmul(3, 100003, 5, UNIFORM, "cpu");
  check_matmul(40, 10007, 40, UNIFORM, "cpu");
  check_matmul(1, 3001, 200, UNIFORM, "interp");
}

/* A direct convolution with many products for each pixel. */
static void test_convolution(void **state) {
  (void)state;
  enum { C = 700, K = 5, H = 8, R = 5, OUT = H - R + 1 };
  float *x = numbers(WN_F32, C * H * H, UNIFORM), *w = numbers(WN_F32, K * C * R * R, UNIFORM),
        y[K * OUT * OUT];
  wn_context *ctx = context();
  wn_tensor *t = wn_conv(wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, H, H}, x),
                         wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, R, R}, w), NULL);
  assert_true(compute(ctx, t, y, WN_OPTIONS(.backend = "cpu", .plan = "direct", .threads = 1)));
  for (int i = 0; i < K * OUT * OUT; ++i) {
    int k = i / (OUT * OUT), oy = i / OUT % OUT, ox = i % OUT;
    double want = 0;
    for (int c = 0; c < C * R * R; ++c) {
      int at = c / (R * R) * H * H + (oy + c / R % R) * H + ox + c % R;
      want += (double)x[at] * (double)w[k * C * R * R + c];
    }
    if (!(fabs((double)y[i] - want) <= TILE_PROMISE * want))
      fail_msg("element %d: %.9g, expected %.9g", i, (double)y[i], want);
  }
  wn_context_destroy(ctx);
  free(x), free(w);
}

/* Of an array, and of another with a NaN in it. */
static void check_maximum(wn_context *ctx, wn_tensor *t, wn_options o, const float *x, float most,
                          const float *odd) {
  wn_program *p;
  float y;
  void *data = &y;
  o.no_cache = 1;
  if (wn_compile(ctx, &t, &data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  assert_int_equal(wn_bind(p, 0, x), WN_OK);
  assert_int_equal(wn_run(p), WN_OK);
  assert_true(y == most);
  assert_int_equal(wn_bind(p, 0, odd), WN_OK);
  assert_int_equal(wn_run(p), WN_OK);
  assert_true(isnan(y));
  wn_program_destroy(p);
}

/* Whatever their order, these give one value: that of the plain loop, bit for bit. */
static void test_exact(void **state) {
  (void)state;
  enum { N = 100003 };
  static int32_t i32[N];
  static int64_t i64[N];
  static float f32[N], near_one[N], odd[N];
  int32_t sum32 = 0;
  int64_t sum64 = 0;
  float most = -INFINITY, least = INFINITY, product = 1;
  for (int i = 0; i < N; ++i) {
    i32[i] = (int32_t)(uniform() * 0x1p31);
    i64[i] = (int64_t)(uniform() * 0x1p62);
    f32[i] = (float)(uniform() * 200 - 100);
    near_one[i] = (float)(0.999 + 0.002 * uniform());
    sum32 = (int32_t)((uint32_t)sum32 + (uint32_t)i32[i]);
    sum64 = (int64_t)((uint64_t)sum64 + (uint64_t)i64[i]);
    most = fmaxf(most, f32[i]);
    least = fminf(least, f32[i]);
    product *= near_one[i];
  }
  memcpy(odd, f32, sizeof odd);
  odd[N - 2] = NAN;
  static const char *const backends[] = {"cpu", "cpu:cc"};
  for (int b = 0; b < 2; ++b) {
    wn_options o = WN_OPTIONS(.backend = backends[b], .threads = 1);
    wn_context *ctx = context();
    const int64_t n = N;
    int32_t y32;
    int64_t y64;
    float y;
    const int first = 0;
    compute(ctx, wn_reduce(WN_SUM, wn_input(ctx, WN_I32, 1, &n, i32), &first, 1, 0), &y32, o);
    assert_int_equal(y32, sum32);
    compute(ctx, wn_reduce(WN_SUM, wn_input(ctx, WN_I64, 1, &n, i64), &first, 1, 0), &y64, o);
    assert_true(y64 == sum64);
    wn_tensor *most_of = wn_reduce(WN_MAXIMUM, wn_input(ctx, WN_F32, 1, &n, NULL), &first, 1, 0);
    check_maximum(ctx, most_of, o, f32, most, odd);
    compute(ctx, wn_reduce(WN_MINIMUM, wn_input(ctx, WN_F32, 1, &n, f32), &first, 1, 0), &y, o);
    assert_true(y == least);
    compute(ctx, wn_reduce(WN_PRODUCT, wn_input(ctx, WN_F32, 1, &n, near_one), &first, 1, 0), &y,
            o);
    assert_true(y == product);
    f32[N - 2] = INFINITY;
    compute(ctx, wn_reduce(WN_SUM, wn_input(ctx, WN_F32, 1, &n, f32), &first, 1, 0), &y, o);
    assert_true(isinf(y) && y > 0);
    f32[N - 2] = 0;
    wn_context_destroy(ctx);
  }
}

/* Two sums over the same loops are one loop or two, on one thread or several: the bits stay. */
static void test_same_bits(void **state) {
  (void)state;
  enum { ROWS = 13, N = 20011 };
  float *x = numbers(WN_F32, ROWS * N, SIGNED), y[4][ROWS], z[4][N];
  for (int i = 0; i < 4; ++i) {
    wn_context *ctx = context();
    wn_tensor *t = wn_input(ctx, WN_F32, 2, (int64_t[]){ROWS, N}, x);
    wn_options o = WN_OPTIONS(.backend = "cpu", .threads = 1 + i % 2, .no_merge = i / 2);
    for (int dim = 0; dim < 2; ++dim) {
      wn_tensor *sum = wn_reduce(WN_SUM, t, &dim, 1, 0),
                *squares = wn_reduce(WN_SUM, wn_zip(WN_MUL, t, t), &dim, 1, 0);
      compute(ctx, wn_zip(WN_ADD, wn_zip(WN_MUL, sum, sum), squares), dim ? y[i] : z[i], o);
    }
    wn_context_destroy(ctx);
    assert_memory_equal(y[i], y[0], sizeof y[0]);
    assert_memory_equal(z[i], z[0], sizeof z[0]);
  }
  free(x);
}

/* No kernel has vectors that OpenCL cannot spell, or more lanes than a vector has of what it computes with. */
static void test_lanes(void **state) {
  (void)state;
  enum { N = 4096 };
  static const wn_dtype dtypes[] = {WN_F64, WN_F32, WN_F16, WN_BF16, WN_I32, WN_I64, WN_BOOL};
  static char x[N * 8], y[N * 8];
  for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; ++d) {
    for (int what = 0; what < 6; ++what) {
      wn_context *ctx = context();
      const int64_t n = N;
      wn_tensor *t = wn_input(ctx, dtypes[d], 1, &n, x),
                *u = wn_input(ctx, dtypes[d], 1, &n, x + N);
      bool is_bool = dtypes[d] == WN_BOOL;
      wn_tensor *made[] = {wn_zip(is_bool ? WN_AND : WN_ADD, t, u),
                           wn_cast(t, WN_BOOL),
                           wn_cast(t, WN_F32),
                           wn_cast(wn_cast(t, WN_F64), WN_BOOL),
                           is_bool ? wn_map(WN_NOT, t) : wn_zip(WN_LESS, t, u),
                           wn_reduce(WN_MAXIMUM, wn_cast(t, WN_I32), (int[]){0}, 1, 0)};
      void *data = y;
      wn_program *p;
      const wn_options o =
          WN_OPTIONS(.backend = "interp", .isa = "avx512", .threads = 1, .no_cache = 1);
      if (wn_compile(ctx, &made[what], &data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
      for (size_t k = 0; k < p->compiled->set->kernels.len; ++k) {
        const lin_kernel *lin = &p->compiled->kernels[k]->lin;
        for (size_t i = 0; i < lin->ins.len; ++i) {
          const lin_ins *ins = &lin->ins.data[i];
          bool arithmetic = (op_table[ins->op].flags & UOP_ALU) != 0 || ins->op == OP_LOAD;
          size_t bytes = ins->lanes * wn_dtype_size((wn_dtype)ins->dtype);
          if (ins->lanes > 16 || (arithmetic && ins->dtype != WN_I64 && bytes > 64))
            fail_msg("%s, graph %d: %s of %d lanes", wn_dtype_name(dtypes[d]), what,
                     op_table[ins->op].name, ins->lanes);
        }
      }
      wn_program_destroy(p);
      wn_context_destroy(ctx);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layouts),     cmocka_unit_test(test_other_backends),
      cmocka_unit_test(test_very_long),   cmocka_unit_test(test_products_of_matrices),
      cmocka_unit_test(test_convolution), cmocka_unit_test(test_exact),
      cmocka_unit_test(test_same_bits),   cmocka_unit_test(test_lanes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
