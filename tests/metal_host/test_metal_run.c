/* Whole programs on the backend metal: the source that it is given is compiled as C++ and run when the fake Metal runs
 * its command buffers, so everything between wn_compile and the result is what a Mac would do, but for the GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake_metal.h"
#include "metal_host/run_kernels.h"
#include "winnow/winnow.h"

enum { C = 16, K = 16, SIZE = 32, PIXELS = SIZE * SIZE, MOST_KERNELS = 16 };

static float image[C * PIXELS], filters[K * C * 9], expected[K * PIXELS], result[K * PIXELS];

static void fill(float *x, int n, unsigned seed) {
  for (int i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
  }
}

static void keep_quiet(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* Compiles the reference problem; NULL with the message printed. */
static wn_program *compile(wn_context **ctx, const char *backend, const char *plan, float *to) {
  wn_program *p = NULL;
  void *out = to;
  assert_int_equal(wn_context_create(ctx), WN_OK);
  wn_on_warning(*ctx, keep_quiet, NULL);
  wn_tensor *x = wn_input(*ctx, WN_F32, 4, (int64_t[]){1, C, SIZE, SIZE}, image);
  wn_tensor *w = wn_constant(*ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, filters);
  wn_tensor *y = wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  const wn_options o =
      WN_OPTIONS(.plan = plan, .backend = backend, .threads = 1, .strict = 1, .no_cache = 1);
  if (wn_compile(*ctx, &y, &out, 1, &o, &p) != WN_OK) fail_msg("%s: %s", plan, wn_message(*ctx));
  return p;
}

static void run_expected(void) {
  wn_context *ctx;
  wn_program *p = compile(&ctx, "cpu", "direct", expected);
  assert_int_equal(wn_run(p), WN_OK);
  assert_int_equal(wn_capture(p, "/tmp/plan.gputrace"), WN_ERR_USAGE); /* a CPU has none */
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void assert_right(const char *plan) {
  for (int i = 0; i < K * PIXELS; i++) {
    if (!(fabs(result[i] - expected[i]) < 1e-3))
      fail_msg("%s: result[%d] is %g, expected %g", plan, i, result[i], expected[i]);
  }
}

static void run_plan(const char *plan, bool own_memory) {
  wn_context *ctx;
  wn_program_info info = WN_PROGRAM_INFO();
  double us[MOST_KERNELS] = {0};
  fake = (fake_metal){.devices = 1,
                      .private_memory = own_memory,
                      .family = 1007,
                      .load = run_load,
                      .run = run_group};
  wn_program *p = compile(&ctx, "metal", plan, result);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_string_equal(info.backend, "metal");
  assert_string_equal(info.device, "Fake M1");
  for (int run = 0; run < 2; run++) { /* weights are prepared in the first */
    memset(result, 0, sizeof result);
    if (wn_run(p) != WN_OK) fail_msg("%s: %s", plan, wn_program_message(p));
    assert_right(plan);
  }
  assert_in_range(info.kernels, 1, MOST_KERNELS);
  memset(result, 0, sizeof result);
  assert_int_equal(wn_capture(p, "/tmp/plan.gputrace"), WN_OK);
  assert_int_equal(wn_run_timed(p, us), WN_OK);
  assert_int_equal(wn_capture(p, NULL), WN_OK);
  assert_string_equal(fake.capture_path, "/tmp/plan.gputrace");
  assert_right(plan);
  for (int k = 0; k < info.kernels; k++) assert_true(us[k] > 0);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  if (fake_live() != 0)
    fail_msg("%s: %d objects are left, a %s", plan, fake_live(), fake_first_live());
  assert_int_equal(fake_pools(), 0);
  fake_forget();
}

/* One launch, several, shared groups and local arrays, rounds of a host loop with offsets; all of them in the long
 * tier. */
static void test_plans(void **state) {
  static const char *const some[] = {"direct", "old", "fused",
                                     "x=global,g=global,m=global,o=global;chunk=16", NULL};
  (void)state;
  const char *const *plans = getenv("WINNOW_LONG") != NULL ? wn_plan_names() : some;
  fill(image, C * PIXELS, 1);
  fill(filters, K * C * 9, 2);
  run_expected();
  for (int i = 0; plans[i] != NULL; i++) run_plan(plans[i], i % 2 == 1);
}

int main(void) {
  if (!run_command("%s --version >/dev/null 2>&1%s%s", run_compiler(), "", "")) {
    puts("1..0 # SKIP no C++ compiler");
    return 0;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
