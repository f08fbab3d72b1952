/* What is inside a graph: the values that have names, in order; and the same computation in float64, whose results are
 * sums in double over what float32 holds, worked out here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "lower/inside.h"

enum { IN = 3, OUT = 4, SIZE = 6, COUNT = OUT * SIZE * SIZE };

typedef struct fixture {
  wn_context *ctx;
  float x[IN * SIZE * SIZE], w[OUT * IN * 9];
  wn_tensor *conv, *relu, *scaled;
} fixture;

static float number(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return (float)(*seed >> 8) * 0x1p-23f - 1.0f;
}

static int set_up(void **state) {
  static fixture f;
  uint32_t seed = 5;
  assert_int_equal(wn_context_create(&f.ctx), WN_OK);
  for (size_t i = 0; i < sizeof f.x / sizeof *f.x; ++i) f.x[i] = number(&seed);
  for (size_t i = 0; i < sizeof f.w / sizeof *f.w; ++i) f.w[i] = number(&seed);
  wn_tensor *x = wn_input(f.ctx, WN_F32, 4, (int64_t[]){1, IN, SIZE, SIZE}, f.x);
  wn_tensor *w = wn_constant(f.ctx, WN_F32, 4, (int64_t[]){OUT, IN, 3, 3}, f.w);
  const wn_conv_params pads = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  f.conv = wn_name(wn_conv(wn_name(x, "x"), w, &pads), "conv");
  f.relu = wn_name(wn_map(WN_RELU, f.conv), "relu");
  /* through a narrower type, which float64 does not have */
  wn_tensor *narrow = wn_cast(wn_cast(f.relu, WN_F16), WN_F32);
  f.scaled = wn_name(wn_zip(WN_MUL, narrow, wn_scalar(f.ctx, WN_F32, 0.1)), "scaled");
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  wn_context_destroy(((fixture *)*state)->ctx);
  return 0;
}

static double convolved(const fixture *f, int k, int y, int x) {
  double sum = 0;
  for (int c = 0; c < IN; ++c)
    for (int i = 0; i < 9; ++i) {
      int row = y + i / 3 - 1, column = x + i % 3 - 1;
      if (row < 0 || row >= SIZE || column < 0 || column >= SIZE) continue;
      sum += (double)f->x[(c * SIZE + row) * SIZE + column] * (double)f->w[(k * IN + c) * 9 + i];
    }
  return sum;
}

static void finds_names(void **state) {
  fixture *f = *state;
  static const char *const expected[] = {"conv", "relu", "scaled"};
  named_value *values;
  int count;
  assert_int_equal(tensor_named(f->ctx, 1, &f->scaled, &values, &count), WN_OK);
  assert_int_equal(count, 3); /* an input is none */
  for (int i = 0; i < count; ++i) {
    assert_string_equal(values[i].name, expected[i]);
    assert_int_equal(wn_ndim(values[i].tensor), 4);
    assert_true(wn_shape(values[i].tensor)[1] == OUT && wn_shape(values[i].tensor)[3] == SIZE);
  }
  assert_int_equal(tensor_named(f->ctx, 1, &f->conv, &values, &count), WN_OK);
  assert_int_equal(count, 1); /* nor what is not below */
}

/* A value and what it is in another shape have one name: the value is the last of them. */
static void takes_the_last_of_a_chain(void **state) {
  fixture *f = *state;
  wn_tensor *flat = wn_reshape(wn_map(WN_EXP, f->relu), 1, (int64_t[]){COUNT});
  wn_name(flat, "flat");
  named_value *values;
  int count;
  assert_int_equal(tensor_named(f->ctx, 1, &flat, &values, &count), WN_OK);
  assert_int_equal(count, 3);
  assert_string_equal(values[2].name, "flat");
  assert_int_equal(wn_ndim(values[2].tensor), 1);
}

static void run(fixture *f, wn_tensor *t, void *out, const char *backend) {
  wn_program *p;
  const wn_options o = WN_OPTIONS(.plan = "direct", .backend = backend, .no_cache = 1);
  if (wn_compile(f->ctx, &t, &out, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(f->ctx));
  assert_int_equal(wn_run(p), WN_OK);
  wn_program_destroy(p);
}

static void computes_in_float64(void **state) {
  static const char *const backends[] = {"interp", NULL};
  fixture *f = *state;
  wn_tensor *in[] = {f->conv, f->scaled}, *wide[2];
  assert_int_equal(tensor_widened(f->ctx, 2, in, wide), WN_OK);
  for (int b = 0; b < 2; ++b) {
    double conv[COUNT], scaled[COUNT];
    assert_int_equal(wn_tensor_dtype(wide[0]), WN_F64);
    run(f, wide[0], conv, backends[b]);
    run(f, wide[1], scaled, backends[b]);
    for (int i = 0; i < COUNT; ++i) {
      double want = convolved(f, i / (SIZE * SIZE), i / SIZE % SIZE, i % SIZE);
      assert_true(fabs(conv[i] - want) < 1e-14);
      assert_true(fabs(scaled[i] - fmax(0, want) * (double)0.1f) < 1e-14);
    }
  }
  /* what was there is as it was */
  float narrow[COUNT];
  run(f, f->conv, narrow, "interp");
  for (int i = 0; i < COUNT; ++i) {
    double want = convolved(f, i / (SIZE * SIZE), i / SIZE % SIZE, i % SIZE);
    assert_true(fabs((double)narrow[i] - want) < 1e-6);
  }
}

/* Integers, bool and what is float64 already stay. */
static void leaves_other_types(void **state) {
  fixture *f = *state;
  wn_tensor *less = wn_zip(WN_LESS, f->conv, f->relu), *whole = wn_cast(f->conv, WN_I32);
  wn_tensor *in[] = {less, whole, wn_cast(whole, WN_F64)}, *wide[3];
  assert_int_equal(tensor_widened(f->ctx, 3, in, wide), WN_OK);
  assert_int_equal(wn_tensor_dtype(wide[0]), WN_BOOL);
  assert_int_equal(wn_tensor_dtype(wide[1]), WN_I32);
  assert_int_equal(wn_tensor_dtype(wide[2]), WN_F64);
  int32_t numbers[COUNT];
  run(f, wide[1], numbers, "interp");
  for (int i = 0; i < COUNT; ++i)
    assert_true(numbers[i] == (int)convolved(f, i / (SIZE * SIZE), i / SIZE % SIZE, i % SIZE));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(finds_names, set_up, tear_down),
      cmocka_unit_test_setup_teardown(takes_the_last_of_a_chain, set_up, tear_down),
      cmocka_unit_test_setup_teardown(computes_in_float64, set_up, tear_down),
      cmocka_unit_test_setup_teardown(leaves_other_types, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
