/* What constants alone decide is computed once: converted, scaled and normalised weights are arrays that preparing
 * makes, so that a run has the kernels that it has with plain ones; what is much larger than its constants is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "backend/half.h"
#include "winnow/winnow.h"

enum { C = 8, K = 12, SIDE = 14, TAPS = 9, WEIGHTS = K * C * TAPS, PIXELS = SIDE * SIDE };

typedef enum { PLAIN, HALVES, SCALED, NORMALISED, FORMS } form;

typedef struct data {
  float x[C * PIXELS], y[K * PIXELS], w[WEIGHTS], scale[K], variance[K];
  uint16_t halves[WEIGHTS];
} data;

static void fill(data *d) {
  for (int i = 0; i < C * PIXELS; ++i) d->x[i] = (float)(i * 7 % 23 - 11) / 8;
  for (int i = 0; i < WEIGHTS; ++i) {
    d->w[i] = (float)(i * 5 % 17 - 8) / 16;
    d->halves[i] = half_to_f16((double)d->w[i]);
  }
  for (int k = 0; k < K; ++k)
    d->scale[k] = 0.5F + (float)k, d->variance[k] = 0.25F * (float)(k + 1);
}

static double factor(const data *d, form f, int k) {
  if (f == SCALED) return (double)d->scale[k];
  return f == NORMALISED ? 1 / sqrt((double)d->variance[k] + 1e-3) : 1;
}

static wn_tensor *vector_of(wn_context *ctx, const float *v) {
  return wn_constant(ctx, WN_F32, 4, (int64_t[]){K, 1, 1, 1}, v);
}

static wn_tensor *weights(wn_context *ctx, const data *d, form f) {
  const int64_t shape[] = {K, C, 3, 3};
  if (f == HALVES) return wn_cast(wn_constant(ctx, WN_F16, 4, shape, d->halves), WN_F32);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, shape, d->w);
  if (f == SCALED) return wn_zip(WN_MUL, w, vector_of(ctx, d->scale));
  if (f == PLAIN) return w;
  wn_tensor *v = wn_zip(WN_ADD, vector_of(ctx, d->variance), wn_scalar(ctx, WN_F32, 1e-3));
  return wn_zip(WN_DIV, w, wn_map(WN_SQRT, v));
}

static double pixel(const data *d, int k, int row, int column) {
  double sum = 0;
  for (int i = 0; i < C * TAPS; ++i) {
    int r = row + i % TAPS / 3 - 1, s = column + i % 3 - 1;
    if (r < 0 || r >= SIDE || s < 0 || s >= SIDE) continue;
    sum += (double)d->x[i / TAPS * PIXELS + r * SIDE + s] * (double)d->w[k * C * TAPS + i];
  }
  return sum;
}

static void check_values(const data *d, form f) {
  double off = 0, all = 0;
  for (int i = 0; i < K * PIXELS; ++i) {
    int k = i / PIXELS;
    double want = pixel(d, k, i / SIDE % SIDE, i % SIDE) * factor(d, f, k),
           e = (double)d->y[i] - want;
    off += e * e;
    all += want * want;
  }
  assert_true(sqrt(off / all) < 1e-5);
}

static wn_program *compile(wn_context *ctx, data *d, wn_tensor *y, const char *plan, int variable) {
  wn_program *p;
  void *out = d->y;
  const wn_options o =
      WN_OPTIONS(.backend = "cpu", .plan = plan, .variable_weights = variable, .no_cache = 1);
  wn_status st = wn_compile(ctx, &y, &out, 1, &o, &p);
  if (st != WN_OK) fail_msg("%s: %s", plan, wn_message(ctx));
  return p;
}

/* The names of the kernels of a run. */
static void run_kernels(wn_program *p, wn_program_info *info, char *names, size_t size) {
  assert_int_equal(wn_program_get_info(p, info), WN_OK);
  names[0] = '\0';
  for (int i = 0; i < info->kernels; ++i) {
    wn_kernel_info k = WN_KERNEL_INFO();
    assert_int_equal(wn_program_get_kernel(p, info->prepare_kernels + i, &k), WN_OK);
    assert_false(k.prepare);
    strncat(names, k.name, size - strlen(names) - 2);
    strncat(names, " ", 2);
  }
}

static void test_convolutions(void **state) {
  static const char *const plans[] = {"direct", "old", "fused"};
  static data d;
  (void)state;
  fill(&d);
  for (int i = 0; i < 3 * FORMS; ++i) {
    static char plain[500], names[500];
    static size_t plain_bytes;
    form f = (form)(i % FORMS);
    wn_context *ctx;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, SIDE, SIDE}, d.x);
    const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
    wn_tensor *y = wn_conv(x, weights(ctx, &d, f), &same);
    wn_program_info info = WN_PROGRAM_INFO();
    wn_program *p = compile(ctx, &d, y, plans[i / FORMS], 0);
    memset(d.y, 0xff, sizeof d.y);
    assert_int_equal(wn_run(p), WN_OK);
    check_values(&d, f);
    run_kernels(p, &info, f == PLAIN ? plain : names, sizeof names);
    if (f == PLAIN) plain_bytes = info.prepared_bytes;
    if (f != PLAIN) assert_string_equal(names, plain);
    if (f != PLAIN) assert_true(info.prepared_bytes >= plain_bytes + sizeof d.w);
    wn_program_destroy(p);
    /* where constants may change, all is computed in every run */
    p = compile(ctx, &d, y, plans[i / FORMS], 1);
    assert_int_equal(wn_run(p), WN_OK);
    check_values(&d, f);
    if (f == SCALED) {
      d.scale[3] = 7;
      assert_int_equal(wn_run(p), WN_OK);
      check_values(&d, f);
      d.scale[3] = 3.5F;
    }
    assert_int_equal(wn_program_get_info(p, &info), WN_OK);
    assert_int_equal(info.prepare_kernels, 0);
    wn_program_destroy(p);
    wn_context_destroy(ctx);
  }
}

/* A number that is spread over an image, and a product of two vectors, are no arrays. */
static void test_large(void **state) {
  static data d;
  static const float one[1] = {3};
  static float row[PIXELS], column[K];
  (void)state;
  fill(&d);
  for (int i = 0; i < PIXELS; ++i) row[i] = (float)i;
  for (int k = 0; k < K; ++k) column[k] = (float)k;
  for (int i = 0; i < 2; ++i) {
    wn_context *ctx;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_tensor *c = wn_constant(ctx, WN_F32, 1, (int64_t[]){1}, one);
    c = wn_expand(wn_reshape(c, 2, (int64_t[]){1, 1}), 2, (int64_t[]){C, PIXELS});
    wn_tensor *many = wn_map(WN_SQRT, c);
    if (i == 1)
      many = wn_zip(WN_MUL, wn_constant(ctx, WN_F32, 2, (int64_t[]){C, 1}, column),
                    wn_constant(ctx, WN_F32, 2, (int64_t[]){1, PIXELS}, row));
    wn_tensor *x = wn_input(ctx, WN_F32, 2, (int64_t[]){C, PIXELS}, d.x);
    wn_program_info info = WN_PROGRAM_INFO();
    wn_program *p = compile(ctx, &d, wn_zip(WN_ADD, x, many), "auto", 0);
    assert_int_equal(wn_run(p), WN_OK);
    assert_int_equal(wn_program_get_info(p, &info), WN_OK);
    assert_int_equal(info.prepared_bytes, 0);
    for (int k = 0; k < C * PIXELS; ++k) {
      double add = i == 0 ? sqrt(3.0) : (double)(k / PIXELS) * (double)(k % PIXELS);
      assert_true(fabs((double)d.y[k] - (double)d.x[k] - add) <= 1e-6 * (1 + add));
    }
    wn_program_destroy(p);
    wn_context_destroy(ctx);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_convolutions),
      cmocka_unit_test(test_large),
  };
  return cmocka_run_group_tests_name("prepared", tests, NULL, NULL);
}
