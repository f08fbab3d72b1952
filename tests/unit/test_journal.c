/* Records of a comparison come back whole, in order, until they are dropped; without a cache there are none. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal.h"

static cli app;
static char folder[64];

static int begin(void **state) {
  (void)state;
  memset(&app, 0, sizeof app);
  diag_init(&app.diag);
  arena_init(&app.arena, &app.diag);
  strcpy(folder, "/tmp/winnow-journal-XXXXXX");
  return mkdtemp(folder) && !setenv("WINNOW_CACHE", folder, 1) ? 0 : -1;
}

static int end(void **state) {
  (void)state;
  store_clear(&app.diag);
  rmdir(folder);
  arena_release(&app.arena);
  return 0;
}

static void fill(report_row *rows, int count) {
  for (int i = 0; i < count; ++i) {
    report_row_init(&rows[i]);
    rows[i].plan = arena_printf(&app.arena, "plan %d", i);
    rows[i].median_us = i;
  }
}

static void test_records(void **state) {
  (void)state;
  report_row rows[5], back[5];
  journal j;
  fill(rows, 5);
  journal_open(&j, &app, "a key");
  assert_true(journal_is_on(&j));
  assert_int_equal(journal_read(&j, &app.arena, back, 5), 0);
  journal_write(&j, &app.arena, rows, (int[]){0, 1, 2}, 3);
  journal_write(&j, &app.arena, rows, (int[]){4, 3}, 2);
  journal_close(&j);

  journal_open(&j, &app, "a key");                            /* as another process */
  assert_int_equal(journal_read(&j, &app.arena, back, 2), 0); /* more than there is room for */
  assert_int_equal(journal_read(&j, &app.arena, back, 5), 3);
  assert_string_equal(back[2].plan, "plan 2");
  assert_int_equal(journal_read(&j, &app.arena, back, 5), 2);
  assert_string_equal(back[0].plan, "plan 4");
  assert_true(back[1].median_us == 3);
  assert_int_equal(journal_read(&j, &app.arena, back, 5), 0);
  journal_drop(&j);
  journal_close(&j);

  journal_open(&j, &app, "a key");
  assert_int_equal(journal_read(&j, &app.arena, back, 5), 0);
  journal_close(&j);
}

static void test_keys(void **state) {
  (void)state;
  report_row rows[1], back[1];
  journal j;
  fill(rows, 1);
  journal_open(&j, &app, "a key");
  journal_write(&j, &app.arena, rows, (int[]){0}, 1);
  journal_close(&j);
  journal_open(&j, &app, "another key");
  assert_int_equal(journal_read(&j, &app.arena, back, 1), 0);
  journal_close(&j);
}

static void test_without_cache(void **state) {
  (void)state;
  report_row rows[1], back[1];
  journal j;
  fill(rows, 1);
  app.opt.no_cache = true;
  journal_open(&j, &app, "a key");
  assert_false(journal_is_on(&j));
  journal_write(&j, &app.arena, rows, (int[]){0}, 1);
  assert_int_equal(journal_read(&j, &app.arena, back, 1), 0);
  journal_drop(&j);
  journal_close(&j);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_records, begin, end),
      cmocka_unit_test_setup_teardown(test_keys, begin, end),
      cmocka_unit_test_setup_teardown(test_without_cache, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
