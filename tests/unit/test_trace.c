/* The trace of a report: whole JSON with one process a plan, events one behind the other and none for
 * what was never measured; no failing allocation leaves anything but a false. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "report/trace.h"
#include "unit/report_rows.h"

typedef struct fixture {
  diag d;
  arena a;
  report_set set;
  cJSON *root;
} fixture;

static cJSON *trace_of(const report_set *set) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  bool whole = report_trace(out, set);
  fclose(out);
  assert_true(whole);
  cJSON *root = cJSON_ParseWithOpts(text, NULL, 1);
  free(text);
  assert_non_null(root);
  return root;
}

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  cJSON_Hooks hooks = {mem_alloc, mem_free};
  if (!f) return -1;
  cJSON_InitHooks(&hooks);
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  sample_set(&f->set, &f->a);
  f->root = trace_of(&f->set);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  mem_fail_at(0);
  cJSON_Delete(f->root);
  arena_release(&f->a);
  mem_free(f);
  return 0;
}

static const cJSON *events(const fixture *f) {
  return cJSON_GetObjectItemCaseSensitive(f->root, "traceEvents");
}

static const char *text_at(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsString(v) ? v->valuestring : "";
}

static double number_at(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

/* The event of that phase and name in a process, or NULL. */
static const cJSON *find(const fixture *f, int pid, const char *phase, const char *name) {
  const cJSON *e;
  cJSON_ArrayForEach(e, events(f)) {
    if (number_at(e, "pid") == pid && !strcmp(text_at(e, "ph"), phase) &&
        !strcmp(text_at(e, "name"), name))
      return e;
  }
  return NULL;
}

/* What the format demands of every event: name, ph, pid, tid; of X also ts and dur. */
static void events_are_complete(void **state) {
  fixture *f = *state;
  const cJSON *e;
  assert_true(cJSON_GetArraySize(events(f)) > 12);
  cJSON_ArrayForEach(e, events(f)) {
    const char *phase = text_at(e, "ph");
    assert_true(strlen(phase) == 1 && strchr("MXi", *phase));
    assert_true(*text_at(e, "name") != 0);
    assert_true(number_at(e, "pid") >= 1 && number_at(e, "tid") >= 0);
    if (*phase == 'X') assert_true(number_at(e, "ts") >= 0 && number_at(e, "dur") >= 0);
    if (*phase == 'i') assert_true(number_at(e, "ts") >= 0);
  }
}

static void one_process_a_plan(void **state) {
  fixture *f = *state;
  for (int pid = 1; pid <= 4; ++pid) {
    const cJSON *e = find(f, pid, "M", "process_name");
    assert_non_null(e);
    const char *name = text_at(cJSON_GetObjectItemCaseSensitive(e, "args"), "name");
    const char *plan = f->set.entries.data[pid - 1].row.plan;
    assert_memory_equal(name, plan, strlen(plan));
  }
  assert_null(find(f, 5, "M", "process_name"));
}

static void what_is_done_once_follows_in_order(void **state) {
  fixture *f = *state;
  const cJSON *schedule = find(f, 1, "X", "schedule"), *compile = find(f, 1, "X", "compile");
  const cJSON *prepare = find(f, 1, "X", "prepare");
  assert_true(schedule && compile && prepare);
  assert_true(number_at(schedule, "ts") == 0 && number_at(schedule, "dur") == 1500);
  assert_true(number_at(compile, "ts") == 1500 && number_at(compile, "dur") == 20000);
  assert_true(number_at(prepare, "ts") == 21500 && number_at(prepare, "dur") == 3);
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(
      cJSON_GetObjectItemCaseSensitive(prepare, "args"), "kernels");
  assert_int_equal(cJSON_GetArraySize(list), 1);
  assert_string_equal(cJSON_GetArrayItem(list, 0)->valuestring, "E_4");
}

static void kernels_have_their_figures(void **state) {
  fixture *f = *state;
  const cJSON *e = find(f, 1, "X", "r_4_8");
  assert_non_null(e);
  assert_true(number_at(e, "ts") == 0 && number_at(e, "dur") == 12.5);
  const cJSON *args = cJSON_GetObjectItemCaseSensitive(e, "args");
  assert_string_equal(text_at(args, "computes"), "x+m+result0");
  assert_true(number_at(args, "spills") == 2);
  assert_string_equal(text_at(args, "site"), "conv0");
  const cJSON *named = cJSON_GetObjectItemCaseSensitive(find(f, 3, "X", HOSTILE), "args");
  assert_string_equal(text_at(named, "site"), "conv1 \"" HOSTILE "\"");
  assert_true(fabs(number_at(args, "gflops") - 5.24288) < 1e-5);
  assert_null(find(f, 1, "X", "E_4")); /* it is prepared once, and no run has it */
}

static void reasons_are_marks(void **state) {
  fixture *f = *state;
  const cJSON *e = find(f, 4, "i", "refused");
  assert_non_null(e);
  assert_string_equal(text_at(cJSON_GetObjectItemCaseSensitive(e, "args"), "reason"),
                      "no such plan: " HOSTILE);
  assert_non_null(find(f, 3, "i", "fell back"));
  assert_null(find(f, 4, "X", "compile"));
  assert_null(find(f, 4, "X", "schedule"));
}

static void kernels_of_a_run_follow_each_other(void **state) {
  fixture *f = *state;
  report_kernel two[] = {sample_kernels[1], sample_kernels[1]};
  two[1].name = "E_9";
  two[1].median_us = 4;
  report_row row = sample_row("old", 16.5, 0);
  row.kernel = two;
  report_set_add(&f->set, &row);
  cJSON_Delete(f->root);
  f->root = trace_of(&f->set);
  assert_true(number_at(find(f, 5, "X", "E_9"), "ts") == 12.5);
  assert_true(number_at(find(f, 5, "X", "E_9"), "dur") == 4);
}

static void memory_runs_out(void **state) {
  fixture *f = *state;
  FILE *out = fopen("/dev/null", "w");
  assert_non_null(out);
  volatile bool whole = false;
  volatile int failures = 0;
  for (volatile long n = 1; !whole && n < 100000; ++n) {
    volatile wn_status status;
    DIAG_TRY(&f->d, status) {
      mem_fail_at(n);
      whole = report_trace(out, &f->set);
    }
    DIAG_END(&f->d, status)
    mem_fail_at(0);
    assert_true(status == WN_OK || status == WN_ERR_NOMEM);
    failures += !whole;
  }
  fclose(out);
  assert_true(whole && failures > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(events_are_complete, setup, teardown),
      cmocka_unit_test_setup_teardown(one_process_a_plan, setup, teardown),
      cmocka_unit_test_setup_teardown(what_is_done_once_follows_in_order, setup, teardown),
      cmocka_unit_test_setup_teardown(kernels_have_their_figures, setup, teardown),
      cmocka_unit_test_setup_teardown(reasons_are_marks, setup, teardown),
      cmocka_unit_test_setup_teardown(kernels_of_a_run_follow_each_other, setup, teardown),
      cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
