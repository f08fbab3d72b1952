/* What a program says of itself, as a row, beside what it says itself; and rows that share a program. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "report/rows.h"

static float x[2 * 9 * 9], w[3 * 2 * 9], y[3 * 9 * 9];

static void test_read(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *p;
  void *data = y;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *in = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 2, 9, 9}, x);
  wn_tensor *filter = wn_constant(ctx, WN_F32, 4, (int64_t[]){3, 2, 3, 3}, w);
  wn_tensor *t = wn_conv(in, filter, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  const wn_options o = WN_OPTIONS(.plan = "old", .wino = "2", .backend = "interp", .no_cache = 1);
  assert_int_equal(wn_compile(ctx, &t, &data, 1, &o, &p), WN_OK);
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  size_t workspace = info.workspace_bytes;
  int kernels = info.kernels, prepare = info.prepare_kernels;
  double flops = 0;
  for (int i = 0; i < kernels + prepare; ++i) {
    wn_kernel_info k = WN_KERNEL_INFO();
    assert_int_equal(wn_program_get_kernel(p, i, &k), WN_OK);
    if (!k.prepare) flops += k.flops;
  }

  diag d;
  arena a;
  report_row row;
  report_kernel *kernel;
  report_site *site;
  diag_init(&d);
  arena_init(&a, &d);
  report_row_init(&row);
  report_read_program(&a, &row, &info);
  assert_int_equal(report_read_kernels(&a, &row, p, &kernel, &site), WN_OK);
  assert_ptr_equal(row.kernel, kernel);
  assert_ptr_equal(row.site, site);
  assert_int_equal(row.site_count, 1);
  assert_int_equal(row.kernels, kernels);
  assert_int_equal(row.kernel_count, kernels + prepare);
  assert_true(prepare > 0 && kernel[0].prepare && !kernel[prepare].prepare);
  assert_true(flops > 0 && row.gflops_executed == flops);
  assert_non_null(strstr(kernel[0].source, "void"));
  assert_true(isnan(kernel[0].median_us));
  wn_program_destroy(p);
  wn_context_destroy(ctx);

  /* what is the row's own outlives the program */
  assert_string_equal(row.plan, "old");
  assert_string_equal(row.wino, "2x2");
  assert_string_equal(row.backend, "interp");
  assert_int_equal(strlen(row.identity), 32);
  assert_string_equal(kernel[0].stage, "g");
  assert_string_equal(site[0].label, "conv0");
  assert_true(row.workspace_bytes == (double)workspace);
  arena_release(&a);
}

static void test_a_plan_stays(void **state) {
  (void)state;
  diag d;
  arena a;
  report_row row;
  diag_init(&d);
  arena_init(&a, &d);
  report_row_init(&row);
  row.plan = "mine";
  report_read_program(&a, &row, &WN_PROGRAM_INFO(.plan = "another", .predicted_s = 2e-6));
  assert_string_equal(row.plan, "mine");
  assert_true(row.predicted_us == 2);
  assert_null(row.fallback);
  arena_release(&a);
}

static void test_programs(void **state) {
  (void)state;
  const char *identities[] = {"b", NULL, "a", "b", "c", "a", "b"};
  const int expected[] = {0, -1, 2, 0, 4, 2, 0}, firsts[] = {0, 2, 4};
  enum { ROWS = 7 };
  report_row rows[ROWS];
  int of[ROWS], first[ROWS];
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  for (int i = 0; i < ROWS; ++i) {
    report_row_init(&rows[i]);
    rows[i].identity = identities[i];
  }
  assert_int_equal(report_find_programs(&a, rows, ROWS, of, first), 3);
  assert_memory_equal(of, expected, sizeof expected);
  assert_memory_equal(first, firsts, sizeof firsts);
  assert_int_equal(report_find_programs(&a, rows, 0, of, first), 0);
  arena_release(&a);
}

static void test_figures(void **state) {
  (void)state;
  report_row measured, row;
  report_row_init(&measured);
  report_row_init(&row);
  measured.plan = "old", measured.placement = "p", measured.median_us = 7, measured.schedule_ms = 1;
  row.plan = "auto", row.placement = "q", row.same_as = "old", row.schedule_ms = 2;
  report_take_figures(&row, &measured);
  assert_string_equal(row.plan, "auto");
  assert_string_equal(row.placement, "q");
  assert_string_equal(row.same_as, "old");
  assert_true(row.median_us == 7 && row.schedule_ms == 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_read),
      cmocka_unit_test(test_a_plan_stays),
      cmocka_unit_test(test_programs),
      cmocka_unit_test(test_figures),
  };
  return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
