/* The Pareto front, the text of all combinations, and rows that are kept between runs. Random rows are checked against
 * the definition; the seed is printed and can be given as $SEED. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "report/pareto.h"

static diag d;
static arena a;

static int begin(void **state) {
  (void)state;
  diag_init(&d);
  arena_init(&a, &d);
  return 0;
}

static int end(void **state) {
  (void)state;
  arena_release(&a);
  return 0;
}

static report_row row(const char *plan, double us, double bytes, double compile_ms) {
  report_row r;
  report_row_init(&r);
  r.problem = "mb1ic1ih4oc1kh3";
  r.plan = plan;
  r.identity = plan;
  r.wino = "2x2";
  r.median_us = r.min_us = us;
  r.workspace_bytes = bytes;
  r.prepared_bytes = 0;
  r.schedule_ms = 1;
  r.compile_ms = compile_ms - 1;
  return r;
}

static void test_front(void **state) {
  (void)state;
  report_row rows[] = {
      row("slow but small", 30, 0, 50),    row("fastest", 10, 1000, 50),
      row("dominated", 20, 1000, 60),      row("cheap", 20, 2000, 20),
      row("hardly cheaper", 21, 3000, 19), row("slowest", 40, 0, 50),
  };
  enum { N = sizeof rows / sizeof *rows };
  const int expected[N] = {1, 1, 0, 1, 0, 0};
  report_pareto(&a, rows, N);
  for (int i = 0; i < N; ++i)
    if (rows[i].pareto != expected[i]) fail_msg("%s: %d", rows[i].plan, rows[i].pareto);
}

static void test_unusable(void **state) {
  (void)state;
  report_row rows[] = {row("refused", 1, 0, 2), row("interpreted", 1, 0, 2),
                       row("wrong", 1, 0, 2),   row("inexact", 1, 0, 2),
                       row("stopped", 1, 0, 2), row("unknown", NAN, 0, 2),
                       row("used", 50, 9, 9),   row("shared", 50, 9, 9)};
  rows[0].refused = rows[1].fallback = "a reason";
  rows[2].wrong = rows[3].promise_missed = rows[4].stopped = true;
  rows[7].same_as = "used";
  rows[7].identity = rows[6].identity;
  report_pareto(&a, rows, 8);
  for (int i = 0; i < 8; ++i)
    if (rows[i].pareto != (i >= 6)) fail_msg("%s: %d", rows[i].plan, rows[i].pareto);
  report_pareto(&a, rows, 6); /* nothing to choose from */
  for (int i = 0; i < 6; ++i) assert_int_equal(rows[i].pareto, 0);
  report_pareto(&a, rows, 0);
}

/* Batches of a machine that has become slower compare by what took turns with them. */
static void test_relative_times(void **state) {
  (void)state;
  report_row rows[] = {row("early", 10, 5, 5), row("late", 15, 5, 5)};
  rows[0].reference_us = 20;
  rows[1].reference_us = 40;
  report_pareto(&a, rows, 2);
  assert_int_equal(rows[0].pareto, 0);
  assert_int_equal(rows[1].pareto, 1);
}

static bool beats(const report_row *x, const report_row *y) {
  double cost_x = x->schedule_ms + x->compile_ms, cost_y = y->schedule_ms + y->compile_ms;
  return x->median_us <= y->median_us && x->workspace_bytes <= y->workspace_bytes &&
         cost_x <= cost_y;
}

/* Each row outside is beaten by one of the front (up to the margin), no row of the front by any other. */
static void test_random(void **state) {
  (void)state;
  const char *given = getenv("SEED");
  unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
  print_message("# SEED=%u\n", seed);
  srandom(seed);
  for (int round = 0; round < 200; ++round) {
    report_row rows[40];
    int n = 1 + (int)(random() % 40);
    for (int i = 0; i < n; ++i)
      rows[i] = row(arena_printf(&a, "%d", i), (double)(1 + random() % 12), (double)(random() % 6),
                    (double)(2 + random() % 8));
    report_pareto(&a, rows, n);
    for (int i = 0; i < n; ++i) {
      int beaten = 0;
      for (int k = 0; k < n; ++k) {
        if (k == i) continue;
        report_row cheaper = rows[k];
        if (!rows[i].pareto)
          cheaper.compile_ms -= PARETO_MARGIN * (cheaper.schedule_ms + cheaper.compile_ms);
        bool same = beats(&rows[k], &rows[i]) && beats(&rows[i], &rows[k]);
        beaten += rows[i].pareto ? beats(&rows[k], &rows[i]) && !same
                                 : rows[k].pareto && beats(&cheaper, &rows[i]);
      }
      assert_true(rows[i].pareto ? beaten == 0 : beaten > 0);
    }
  }
}

static char *text_of(const report_row *rows, int count) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  report_combinations(out, &a, rows, count, (report_style){.color = false});
  fclose(out);
  return text;
}

static void has(const char *text, const char *part) {
  if (!strstr(text, part)) fail_msg("no '%s' in\n%s", part, text);
}

static void test_text(void **state) {
  (void)state;
  report_row rows[] = {row("x=inline,g=global,m=local,o=inline", 20, 0, 9),
                       row("x=inline,g=global,m=local,o=reg", 20, 0, 9),
                       row("x=reg,g=global,m=local,o=inline", 20, 0, 9),
                       row("x=reg,g=global,m=local,o=reg", 20, 0, 9),
                       row("x=local,g=global,m=local,o=reg", 10, 7, 9),
                       row("direct", 30, 9, 9),
                       row("auto", 30, 9, 9),
                       row("x=global,g=local,m=global,o=reg", NAN, NAN, NAN),
                       row("x=global,g=local,m=global,o=local", NAN, NAN, NAN)};
  for (int i = 1; i < 4; ++i) {
    rows[i].same_as = rows[0].plan;
    rows[i].identity = rows[0].identity;
  }
  rows[6].same_as = "direct";
  rows[6].identity = rows[5].identity;
  rows[7].refused = rows[8].refused = "it cannot be";
  rows[7].identity = rows[8].identity = NULL;
  report_pareto(&a, rows, 9);
  char *memory = text_of(rows, 9);
  const char *text = arena_strdup(&a, memory);
  free(memory);
  has(text, "x=inline|reg,g=global,m=local,o=inline|reg  2x2");
  has(text, "direct and 1 more");
  has(text, "refused, x=global,g=local,m=global,o=reg|local of F(2x2): it cannot be");
  const char *front = strstr(text, "\nPareto front");
  assert_non_null(front);
  has(front, "x=local,g=global,m=local,o=reg");
  assert_null(strstr(front, "direct and 1 more"));
  assert_true(strstr(text, "x=local,g=global,m=local") <
              strstr(text, "x=inline|reg")); /* fastest first */
}

static void test_kept_rows(void **state) {
  (void)state;
  report_row before = row("a \"plan\", with commas", 12.3456, 77, 3), after;
  report_kernel kernels[2];
  memset(kernels, 0, sizeof kernels);
  kernels[0] = (report_kernel){.name = "E_4",
                               .stage = "g",
                               .loops = "g: grid f 4",
                               .median_us = NAN,
                               .bytes = 4,
                               .flops = 8,
                               .source_lines = 3,
                               .registers = -1,
                               .spills = 2,
                               .prepare = true};
  kernels[1] = (report_kernel){.name = "r_4", .median_us = 1.5, .fallback = "too long"};
  before.kernel = kernels;
  before.kernel_count = 2;
  const report_site sites[] = {{.label = "conv0", .kind = "conv", .result = -1, .median_us = 2.5},
                               {.label = "sum1", .kind = "sum", .name = "a\"b", .share = NAN}};
  before.site = sites;
  before.site_count = 2;
  before.wrong = true;
  before.pareto = 0;
  before.note = "two\nlines";
  cJSON *kept = report_keep(&before);
  assert_non_null(kept);
  char *text =
      cJSON_PrintUnformatted(kept); /* as it is stored: numbers are text until they are parsed */
  cJSON *object = cJSON_Parse(text);
  cJSON_free(text);
  cJSON_Delete(kept);
  assert_true(report_restore(object, &a, &after));
  assert_string_equal(after.plan, before.plan);
  assert_string_equal(after.note, before.note);
  assert_null(after.refused);
  assert_true(fabs(after.median_us - 12.3456) < 1e-9);
  assert_true(isnan(after.rel_l2_err));
  assert_int_equal(after.registers, -1);
  assert_int_equal(after.pareto, 0);
  assert_true(after.wrong && !after.stopped);
  assert_int_equal(after.kernel_count, 2);
  assert_true(after.kernel[0].prepare && !after.kernel[1].prepare);
  assert_string_equal(after.kernel[0].loops, "g: grid f 4");
  assert_string_equal(after.kernel[1].fallback, "too long");
  assert_true(isnan(after.kernel[0].median_us));
  assert_int_equal(after.site_count, 2);
  assert_string_equal(after.site[1].name, "a\"b");
  assert_true(after.site[0].median_us == 2.5 && after.site[0].result == -1);
  assert_true(isnan(after.site[1].share) && after.site[0].name == NULL);
  cJSON_DeleteItemFromObjectCaseSensitive(object, "wrong");
  assert_false(report_restore(object, &a, &after));
  cJSON_Delete(object);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_front, begin, end),
      cmocka_unit_test_setup_teardown(test_unusable, begin, end),
      cmocka_unit_test_setup_teardown(test_relative_times, begin, end),
      cmocka_unit_test_setup_teardown(test_random, begin, end),
      cmocka_unit_test_setup_teardown(test_text, begin, end),
      cmocka_unit_test_setup_teardown(test_kept_rows, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
