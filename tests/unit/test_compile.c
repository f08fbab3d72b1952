/* What wn_compile and wn_explain refuse: memory that is not there, environments that mean nothing,
 * missing arguments. Each time the status is WN_ERR_USAGE, the line names the thing, and the same
 * context compiles what is right afterwards. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "winnow/winnow.h"

enum { C = 2, K = 3, H = 6 };

static float x_data[C * H * H], w_data[K * C * 9], y_data[K * H * H];

/* One convolution; its arrays may be NULL. */
static wn_tensor *graph(wn_context *ctx, const float *x, const float *w) {
  wn_tensor *image = wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, H, H}, x);
  wn_tensor *filter = wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, w);
  return wn_conv(image, filter, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
}

static void refuses(wn_context *ctx, wn_tensor *y, void *const *data, const char *text) {
  wn_program *p = (wn_program *)(uintptr_t)1;
  wn_options o = WN_OPTIONS(.plan = "direct", .backend = "interp");
  assert_int_equal(wn_compile(ctx, &y, data, 1, &o, &p), WN_ERR_USAGE);
  assert_null(p);
  if (!strstr(wn_message(ctx), text)) fail_msg("'%s' lacks '%s'", wn_message(ctx), text);
}

static void compiles(wn_context *ctx) {
  wn_tensor *y = graph(ctx, x_data, w_data);
  void *out = y_data;
  wn_program *p;
  wn_options o = WN_OPTIONS(.plan = "direct", .backend = "interp");
  assert_int_equal(wn_compile(ctx, &y, &out, 1, &o, &p), WN_OK);
  assert_int_equal(wn_run(p), WN_OK);
  wn_program_destroy(p);
}

/* Compiles, but does not run before it is there. */
static void needs(wn_context *ctx, wn_tensor *y, void *const *data, const char *text) {
  wn_program *p;
  wn_options o = WN_OPTIONS(.plan = "direct", .backend = "interp");
  assert_int_equal(wn_compile(ctx, &y, data, 1, &o, &p), WN_OK);
  assert_int_equal(wn_run(p), WN_ERR_USAGE);
  if (!strstr(wn_program_message(p), text))
    fail_msg("'%s' lacks '%s'", wn_program_message(p), text);
  wn_program_destroy(p);
}

static void test_missing_data(void **state) {
  (void)state;
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *no_x = graph(ctx, NULL, w_data), *no_w = graph(ctx, x_data, NULL);
  void *out = y_data, *nowhere = NULL;
  needs(ctx, no_x, &out, "input 0 of shape [1, 2, 6, 6] has no array");
  needs(ctx, no_w, &out, "constant 0 of shape [3, 2, 3, 3] has no array");
  wn_tensor *y = graph(ctx, x_data, w_data);
  needs(ctx, y, &nowhere, "output 0 of shape [1, 3, 6, 6] has no array");
  needs(ctx, y, NULL, "output 0 of shape [1, 3, 6, 6] has no array");
  y = wn_fixed_input(ctx, WN_F32, 1, (int64_t[]){2}, NULL);
  refuses(ctx, y, &out,
          "input 0 of shape [2] has no array: its data is NULL, and its values are needed");
  compiles(ctx); /* what others of the context lack does not matter */
  wn_context_destroy(ctx);
}

static void count_text(void *user, const char *text) { *(size_t *)user += strlen(text); }

static void test_explain_needs_no_data(void **state) {
  (void)state;
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = graph(ctx, NULL, NULL);
  void *nowhere = NULL;
  size_t written = 0;
  wn_options o = WN_OPTIONS(.plan = "old", .backend = "interp");
  assert_int_equal(wn_explain(ctx, &y, &nowhere, 1, &o, count_text, &written), WN_OK);
  assert_true(written > 1000);
  assert_int_equal(wn_explain(ctx, &y, NULL, 1, &o, count_text, &written), WN_OK);
  assert_int_equal(wn_explain(ctx, &y, NULL, 1, &o, NULL, NULL), WN_ERR_USAGE);
  wn_context_destroy(ctx);
}

static void test_missing_arguments(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *p;
  void *out = y_data;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = graph(ctx, x_data, w_data);
  assert_int_equal(wn_compile(NULL, &y, &out, 1, NULL, &p), WN_ERR_USAGE);
  assert_int_equal(wn_compile(ctx, NULL, &out, 1, NULL, &p), WN_ERR_USAGE);
  assert_int_equal(wn_compile(ctx, &y, &out, 0, NULL, &p), WN_ERR_USAGE);
  assert_int_equal(wn_compile(ctx, &y, &out, 1, NULL, NULL), WN_ERR_USAGE);
  wn_context_destroy(ctx);
}

static void test_environment(void **state) {
  static const char *const wrong[][3] = {
      {"WINNOW_DUMP", "lower,nope",
       "no pass 'nope'; expected all, or some of tensor, clean, lower"},
      {"WINNOW_DUMP", "low", "no pass 'low'"},
      {"WINNOW_DUMP", "allx", "no pass 'allx'"},
      {"WINNOW_DUMP", "lower,", "no pass ''"},
      {"WINNOW_TRACE", "yes", "WINNOW_TRACE 'yes'"},
      {"WINNOW_THREADS", "1025", "WINNOW_THREADS"},
      {"WINNOW_THREADS", "two", "WINNOW_THREADS"},
      {"WINNOW_ISA", "i386", "'i386'"},
  };
  (void)state;
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = graph(ctx, x_data, w_data);
  void *out = y_data;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    setenv(wrong[i][0], wrong[i][1], 1);
    refuses(ctx, y, &out, wrong[i][2]);
    unsetenv(wrong[i][0]);
  }
  setenv("WINO", "5", 1); /* stands in for a plan, so it is read where there is none */
  wn_program *p;
  assert_int_equal(wn_compile(ctx, &y, &out, 1, &WN_OPTIONS(.backend = "interp"), &p),
                   WN_ERR_USAGE);
  assert_non_null(strstr(wn_message(ctx), "WINO"));
  unsetenv("WINO");
  setenv("WINNOW_TRACE", "0", 1);
  setenv("WINNOW_DUMP", "", 1);
  compiles(ctx);
  unsetenv("WINNOW_TRACE");
  unsetenv("WINNOW_DUMP");
  wn_context_destroy(ctx);
}

/* "0" means off, whatever pays. */
static void test_wino_off(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  void *out = y_data;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = graph(ctx, x_data, w_data);
  wn_options o = WN_OPTIONS(.backend = "interp", .wino = "0");
  assert_int_equal(wn_compile(ctx, &y, &out, 1, &o, &p), WN_OK);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_string_equal(info.wino, "");
  wn_program_destroy(p);
  o.wino = "9";
  assert_int_equal(wn_compile(ctx, &y, &out, 1, &o, &p), WN_ERR_USAGE);
  wn_context_destroy(ctx);
}

/* What runs of a plan, as text; the caller's. plan_only or not must not matter. */
static void identity_of(const char *plan, int plan_only, char *out) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = graph(ctx, x_data, w_data);
  void *data = y_data;
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  wn_options o =
      WN_OPTIONS(.plan = plan, .backend = "interp", .threads = 1, .plan_only = plan_only);
  assert_int_equal(wn_compile(ctx, &y, &data, 1, &o, &p), WN_OK);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_int_equal(strlen(info.identity), 32);
  strcpy(out, info.identity);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void test_identity(void **state) {
  (void)state;
  char one[40], same[40], whole[40], other[40];
  identity_of("x=inline,g=inline,m=reg,o=global;wino=2", 1, one);
  identity_of("x=reg,g=inline,m=inline,o=inline;wino=2", 1, same);
  identity_of("x=inline,g=inline,m=reg,o=global;wino=2", 0, whole);
  identity_of("x=inline,g=inline,m=reg,o=global;wino=3", 1, other);
  assert_string_equal(one, same);
  assert_string_equal(one, whole);
  assert_string_not_equal(one, other);
}

static void test_plan_only(void **state) {
  (void)state;
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = graph(ctx, x_data, w_data);
  void *out = y_data;
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  wn_kernel_info k = WN_KERNEL_INFO();
  double us[8];
  wn_options o = WN_OPTIONS(.plan = "old", .wino = "2", .backend = "interp", .plan_only = 1);
  assert_int_equal(wn_compile(ctx, &y, &out, 1, &o, &p), WN_OK);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_int_equal(info.kernels, 3);
  assert_int_equal(wn_program_get_kernel(p, 0, &k), WN_OK);
  assert_non_null(strstr(k.source, k.name));
  assert_null(k.fallback);
  assert_int_equal(wn_prepare(p), WN_ERR_USAGE);
  assert_int_equal(wn_run(p), WN_ERR_USAGE);
  assert_int_equal(wn_run_timed(p, us), WN_ERR_USAGE);
  wn_program_destroy(p);
  o.plan = "x=global,g=global,m=global,o=global"; /* refused as ever */
  o.max_memory = 1;
  assert_int_equal(wn_compile(ctx, &y, &out, 1, &o, &p), WN_ERR_REFUSED);
  compiles(ctx);
  wn_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_missing_data),      cmocka_unit_test(test_identity),
      cmocka_unit_test(test_plan_only),         cmocka_unit_test(test_explain_needs_no_data),
      cmocka_unit_test(test_missing_arguments), cmocka_unit_test(test_environment),
      cmocka_unit_test(test_wino_off),
  };
  static const char *const names[] = {"WINO", "WINNOW_DUMP", "WINNOW_TRACE", "WINNOW_THREADS",
                                      "WINNOW_ISA"};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) unsetenv(names[i]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
