/* Products that flow into the map which moves them: which do, that plans undo it, and that the results are those of plain
 * loops, whatever plan says where things are. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <winnow/winnow.h>

enum { C = 16, H = 6, W = 10, UP = 2, MOST = 1 << 15, TEXT = 2048 };

typedef struct fixture {
  wn_context *ctx;
  float *noise; /* MOST numbers; arrays stand behind each other in it */
  size_t used;
} fixture;

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->noise = malloc(MOST * sizeof *f->noise);
  if (f->noise == NULL) return -1;
  uint32_t seed = 7;
  for (int i = 0; i < MOST; ++i) {
    seed = seed * 1664525u + 1013904223u;
    f->noise[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
  }
  *state = f;
  return wn_context_create(&f->ctx) == WN_OK ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wn_context_destroy(f->ctx);
  free(f->noise);
  free(f);
  return 0;
}

/* --- graphs ----------------------------------------------------------------------------------- */

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

static wn_tensor *array(fixture *f, bool constant, int nd, const int64_t *shape) {
  const float *data = f->noise + f->used;
  size_t n = 1;
  for (int i = 0; i < nd; ++i) n *= (size_t)shape[i];
  f->used += n;
  assert_true(f->used <= MOST);
  return constant ? wn_constant(f->ctx, WN_F32, nd, shape, data)
                  : wn_input(f->ctx, WN_F32, nd, shape, data);
}

static wn_tensor *conv(fixture *f, wn_tensor *x, int64_t from, int64_t to, int64_t r) {
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2});
  return wn_conv(x, array(f, true, SHAPE(to, from, r, r)), &same);
}

/* The phases of a transposed convolution of stride 2, of so many channels each. */
static wn_tensor *phases(fixture *f, int64_t channels) {
  wn_tensor *x = array(f, false, SHAPE(1, C, H, W));
  return conv(f, wn_map(WN_RELU, conv(f, x, C, C, 1)), C, channels * UP * UP, 1);
}

/* Where they belong, and what a layer does behind it. */
static wn_tensor *placed(fixture *f, wn_tensor *y, int64_t channels) {
  static const int turn[] = {0, 1, 4, 2, 5, 3};
  wn_tensor *t = wn_permute(wn_reshape(y, SHAPE(1, channels, UP, UP, H, W)), turn);
  t = wn_reshape(t, SHAPE(1, channels, H * UP, W * UP));
  return wn_map(WN_RELU, wn_zip(WN_ADD, t, array(f, true, SHAPE(1, channels, 1, 1))));
}

static wn_tensor *enlarged(fixture *f, int64_t channels) {
  return conv(f, placed(f, phases(f, channels), channels), channels, C, 1);
}

static wn_tensor *wide(fixture *f) { return enlarged(f, C); }

static wn_tensor *narrow(fixture *f) { return enlarged(f, UP); }

/* Somebody else reads the product. */
static wn_tensor *read_twice(fixture *f) {
  wn_tensor *y = phases(f, C), *sum = wn_reduce(WN_SUM, y, (int[]){2, 3}, 2, 0);
  wn_tensor *out = conv(f, placed(f, y, C), C, C, 1);
  return wn_zip(WN_ADD, out,
                wn_reshape(wn_reduce(WN_SUM, sum, (int[]){1}, 1, 0), SHAPE(1, 1, 1, 1)));
}

/* The map is the caller's array, which has rows of pixels. */
static wn_tensor *in_rows(fixture *f) { return placed(f, phases(f, C), C); }

/* --- which do --------------------------------------------------------------------------------- */

static void run(fixture *f, wn_tensor *t, const char *plan, float *y, char *placement) {
  void *data = y;
  wn_program *p;
  const wn_options o = WN_OPTIONS(.plan = plan, .isa = "avx2", .threads = 2, .no_cache = 1,
                                  .untuned = 1, .backend = "interp");
  if (wn_compile(f->ctx, &t, &data, 1, &o, &p) != WN_OK)
    fail_msg("plan %s: %s", plan, wn_message(f->ctx));
  assert_int_equal(wn_run(p), WN_OK);
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  snprintf(placement, TEXT, "%s", info.placement);
  wn_program_destroy(p);
}

static const struct {
  const char *name;
  wn_tensor *(*graph)(fixture *f);
  bool flows;
} table[] = {
    {"sixteen channels", wide, true},
    {"two channels", narrow, false},
    {"read by another", read_twice, false},
    {"stored in rows", in_rows, false},
};

static void which_flow(void **state) {
  fixture *f = *state;
  static float y[C * H * W * UP * UP];
  char text[TEXT];
  for (size_t i = 0; i < sizeof table / sizeof *table; ++i) {
    f->used = 0;
    run(f, table[i].graph(f), "auto", y, text);
    if ((strstr(text, "inline") != NULL) != table[i].flows) fail_msg("%s: %s", table[i].name, text);
  }
}

/* --- what comes out --------------------------------------------------------------------------- */

/* y[k][pixel] = sum over c of w[k][c] * x[c][pixel] */
static void multiply(const float *w, const double *x, int to, int from, int pixels, double *y) {
  for (int k = 0; k < to; ++k) {
    for (int p = 0; p < pixels; ++p) {
      y[k * pixels + p] = 0;
      for (int c = 0; c < from; ++c)
        y[k * pixels + p] += (double)w[k * from + c] * x[c * pixels + p];
    }
  }
}

static void clip(double *x, int n) {
  for (int i = 0; i < n; ++i) x[i] = x[i] > 0 ? x[i] : 0;
}

/* What wide() computes, of numbers in the order in which it takes them. */
static void expect(const float *noise, double *y) {
  enum { N = H * W, ALL = N * UP * UP };
  static double x[C * N], low[C * N], of[C * ALL], up[C * ALL];
  const float *first = noise + C * N, *second = first + C * C, *bias = second + C * UP * UP * C,
              *last = bias + C;
  for (int i = 0; i < C * N; ++i) x[i] = (double)noise[i];
  multiply(first, x, C, C, N, low);
  clip(low, C * N);
  multiply(second, low, C * UP * UP, C, N, of);
  for (int i = 0; i < C * ALL; ++i) {
    const int k = i / ALL, row = i % ALL / (W * UP), column = i % (W * UP);
    const int phase = (k * UP + row % UP) * UP + column % UP;
    up[i] = of[phase * N + row / UP * W + column / UP] + (double)bias[k];
  }
  clip(up, C * ALL);
  multiply(last, up, C, C, ALL, y);
}

static void results_are_right(void **state) {
  fixture *f = *state;
  enum { N = C * H * W * UP * UP };
  static const char *const plans[] = {"auto", "product1{global}", "product1{inline}", "direct"};
  static float y[N], again[N];
  static double want[N];
  char text[TEXT], other[TEXT];
  wn_tensor *t = wide(f);
  expect(f->noise, want);
  for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i) {
    run(f, t, plans[i], y, text);
    for (int k = 0; k < N; ++k)
      if (!(fabs((double)y[k] - want[k]) <= 1e-4))
        fail_msg("%s, element %d: %g, not %g", text, k, (double)y[k], want[k]);
    const bool asked_otherwise =
        strcmp(plans[i], "auto") != 0 && strstr(plans[i], "inline") == NULL;
    if ((strstr(text, "product1{inline}") == NULL) != asked_otherwise)
      fail_msg("%s: %s", plans[i], text);
    run(f, t, text, again, other);
    assert_string_equal(other, text);
    assert_memory_equal(again, y, sizeof y);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(which_flow, set_up, tear_down),
      cmocka_unit_test_setup_teardown(results_are_right, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
