/* The float64 reference against sums worked out by hand and laws of convolution; the generator
 * against the numbers that the PCG paper's demonstration prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "random.h"
#include "reference.h"

#define ALL INT64_MAX

typedef struct fixture {
  diag diag;
  arena arena;
  problem problem;
  conv_data data;
} fixture;

static void start(fixture *f, const char *text) {
  problem_error e;
  memset(f, 0, sizeof *f);
  diag_init(&f->diag);
  arena_init(&f->arena, &f->diag);
  assert_true(problem_parse(text, &f->problem, &e));
  f->data.problem = &f->problem;
}

static void pcg32(void **state) {
  (void)state;
  static const uint32_t demo[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330,
                                  0x83d2f293, 0xbfa4784b, 0xcbed606e};
  random_state r;
  random_seed(&r, 42, 54);
  for (size_t i = 0; i < sizeof demo / sizeof *demo; ++i) assert_int_equal(random_u32(&r), demo[i]);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    float v = random_f32(&r);
    assert_true(v >= -1 && v < 1);
    sum += (double)v;
  }
  assert_true(fabs(sum / 10000) < 0.03);
}

/* A 3x3 image under a 2x2 filter, padding 1 before and 0 after, then everything around it. */
static void by_hand(void **state) {
  (void)state;
  fixture f;
  reference r;
  start(&f, "mb1ic1ih3oc1oh3kh2ph1");
  const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, w[] = {1, 10, 100, 1000};
  const double want[] = {1000, 2100, 3200, 4010, 5421, 6532, 7040, 8754, 9865};
  f.data.x = x;
  f.data.w = w;
  reference_make(&r, &f.arena, &f.data, ALL);
  assert_int_equal(r.count, 9);
  for (int i = 0; i < 9; ++i) assert_true(r.place[i] == i && r.value[i] == want[i]);
  const float bias[] = {-4000};
  const float residual[] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
  f.data.bias = bias;
  f.data.residual = residual;
  f.data.act = ACT_RELU;
  reference_make(&r, &f.arena, &f.data, ALL);
  assert_true(r.value[0] == 0 && r.value[3] == 10 && r.value[8] == 5866);
  arena_release(&f.arena);
}

/* Stride, dilation and groups: channel k of the result sees only channel k, every third place, taps
 * two apart. */
static void strided_dilated_grouped(void **state) {
  (void)state;
  fixture f;
  reference r;
  start(&f, "mb1g2ic2iw9oc2kw2sw3dw1");
  float x[18];
  const float w[] = {1, 10, 2, 20};
  for (int i = 0; i < 18; ++i) x[i] = (float)i;
  f.data.x = x;
  f.data.w = w;
  reference_make(&r, &f.arena, &f.data, ALL);
  const double want[] = {20, 53, 86, 2 * 9 + 20 * 11, 2 * 12 + 20 * 14, 2 * 15 + 20 * 17};
  assert_int_equal(r.count, 6);
  for (int i = 0; i < 6; ++i) assert_true(r.value[i] == want[i]);
  arena_release(&f.arena);
}

/* Channels last is the same convolution of permuted data. */
static void layouts_agree(void **state) {
  (void)state;
  enum { N = 2, C = 3, K = 4, H = 5, W = 6, PLANE = H * W };
  fixture f;
  reference a, b;
  start(&f, "mb2ic3ih5iw6oc4kh3ph1");
  float x[N * C * PLANE], last[N * C * PLANE], w[K * C * 9];
  random_fill(x, N * C * PLANE, 7, 1);
  random_fill(w, K * C * 9, 7, 2);
  for (int n = 0; n < N; ++n)
    for (int c = 0; c < C; ++c)
      for (int i = 0; i < PLANE; ++i) last[(n * PLANE + i) * C + c] = x[(n * C + c) * PLANE + i];
  f.data.x = x;
  f.data.w = w;
  reference_make(&a, &f.arena, &f.data, ALL);
  f.data.x = last;
  f.data.nhwc = true;
  reference_make(&b, &f.arena, &f.data, ALL);
  assert_int_equal(a.count, N * K * PLANE);
  for (int64_t i = 0; i < a.count; ++i) {
    int64_t n = i / (K * PLANE), k = i / PLANE % K, at = i % PLANE;
    assert_true(a.value[i] == b.value[i]);
    assert_int_equal(b.place[i], (n * PLANE + at) * K + k);
  }
  arena_release(&f.arena);
}

/* A sample has the corners, stays inside, and agrees with the whole. */
static void samples(void **state) {
  (void)state;
  fixture f;
  reference all, some;
  start(&f, "mb1ic2ih40oc3kh3ph1");
  float x[2 * 1600], w[54];
  random_fill(x, 3200, 1, 1);
  random_fill(w, 54, 1, 2);
  f.data.x = x;
  f.data.w = w;
  reference_make(&all, &f.arena, &f.data, ALL);
  reference_make(&some, &f.arena, &f.data, 1);
  assert_int_equal(all.count, 4800);
  assert_int_equal(some.count, 256);
  bool first = false, last = false;
  for (int64_t i = 0; i < some.count; ++i) {
    assert_in_range(some.place[i], 0, 4799);
    assert_true(some.value[i] == all.value[some.place[i]]);
    first = first || some.place[i] == 0;
    last = last || some.place[i] == 4799;
  }
  assert_true(first && last);
  assert_true(all.direct_error > 1e-9 && all.direct_error < 1e-6);
  arena_release(&f.arena);
}

static void errors(void **state) {
  (void)state;
  int64_t place[] = {0, 2, 3};
  double value[] = {3, 4, NAN};
  double summed[] = {30, 40, 1};
  reference r = {3, place, value, summed, 1e-6, 1e-7};
  error_figures e;
  reference_compare(&r, (const float[]){3, 99, 4, NAN}, &e);
  assert_true(e.max_abs == 0 && e.relative_l2 == 0 && e.wrong_special == 0);
  reference_compare(&r, (const float[]){3, 99, 4.5f, 0}, &e);
  assert_true(e.max_abs == 0.5 && fabs(e.relative_l2 - 0.1) < 1e-15 && e.wrong_special == 1);
  assert_true(fabs(e.relative_sum - 0.01) < 1e-15);
  reference_compare(&r, (const float[]){INFINITY, 99, 4, NAN}, &e);
  assert_true(e.max_abs == 0 && e.wrong_special == 1);
  assert_true(reference_promise(&r, WN_MATH_FP32) == 2e-6);
  assert_true(reference_promise(&r, WN_MATH_FP32_STRICT) == 2e-6);
  assert_true(reference_promise(&r, WN_MATH_FP32_FAST) == 1e-5);
  assert_true(reference_sum_promise(&r, WN_MATH_FP32) == 1.2e-6);
  r.direct_error = 1e-7;
  r.direct_sum_error = 1e-5;
  assert_true(reference_promise(&r, WN_MATH_FP32) == 1.2e-6);
  assert_true(reference_sum_promise(&r, WN_MATH_FP32_FAST) == 2e-5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pcg32),
      cmocka_unit_test(by_hand),
      cmocka_unit_test(strided_dilated_grouped),
      cmocka_unit_test(layouts_agree),
      cmocka_unit_test(samples),
      cmocka_unit_test(errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
