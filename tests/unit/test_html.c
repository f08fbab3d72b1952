/* The page of a report: its data parses back to what went in, nothing in it can be markup, equal kernels
 * and sources are there once, and no failing allocation leaves anything but a false. What the page then
 * does is tests/browser's to see. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "pack.h"
#include "report/html.h"
#include "unit/report_rows.h"

typedef struct fixture {
  diag d;
  arena a;
  report_set set;
} fixture;

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  cJSON_Hooks hooks = {mem_alloc, mem_free};
  if (!f) return -1;
  cJSON_InitHooks(&hooks);
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  sample_set(&f->set, &f->a);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  mem_fail_at(0);
  arena_release(&f->a);
  mem_free(f);
  return 0;
}

/* free() it. */
static char *page_of(const report_set *set) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  bool whole = report_html(out, set, pack_zlib);
  fclose(out);
  assert_true(whole);
  assert_int_equal(strlen(text), size);
  return text;
}

static int occurrences(const char *text, const char *what) {
  int n = 0;
  for (const char *s = text; (s = strstr(s, what)) != NULL; s += strlen(what)) ++n;
  return n;
}

/* The text between the tags of the data, ended there; before and behind are the page's own. */
static char *data_of(char *page, char **behind) {
  static const char tag[] = "<script id=\"data\" type=\"application/json\">";
  char *from = strstr(page, tag);
  assert_non_null(from);
  from += strlen(tag);
  char *end = strstr(from, "</script>");
  assert_non_null(end);
  *end = 0;
  *behind = end + 1;
  return from;
}

static const char *text_at(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsString(v) ? v->valuestring : NULL;
}

static double number_at(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
}

static void data_comes_back(void **state) {
  fixture *f = *state;
  char *page = page_of(&f->set), *behind;
  cJSON *root = cJSON_Parse(data_of(page, &behind));
  assert_non_null(root);
  assert_string_equal(text_at(root, "line"), "winnow compare '" HOSTILE "'");
  const cJSON *rows = cJSON_GetObjectItemCaseSensitive(root, "rows");
  const cJSON *kernels = cJSON_GetObjectItemCaseSensitive(root, "kernels");
  assert_int_equal(cJSON_GetArraySize(rows), 4);
  assert_int_equal(cJSON_GetArraySize(kernels),
                   3); /* g and the product of two rows, and the hostile one */
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "sources")), 3);
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "limits")), 1);
  const cJSON *fused = cJSON_GetArrayItem(rows, 0), *never = cJSON_GetArrayItem(rows, 3);
  assert_true(number_at(fused, "median_us") == 12.5);
  assert_true(number_at(fused, "promise") == 1.2e-6);
  assert_true(number_at(fused, "limits") == 0);
  assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(never, "limits")));
  assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(never, "median_us")));
  assert_string_equal(text_at(never, "refused"), "no such plan: " HOSTILE);
  const cJSON *launches = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(rows, 1), "kernel");
  assert_int_equal(cJSON_GetArraySize(launches), 2);
  const cJSON *second = cJSON_GetArrayItem(launches, 1);
  assert_true(cJSON_GetArrayItem(second, 0)->valuedouble == 1); /* shared with the first row */
  assert_true(cJSON_GetArrayItem(second, 1)->valuedouble == 12.5);
  assert_true(
      cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetArrayItem(launches, 0), 1))); /* never timed */
  assert_true(cJSON_GetArrayItem(second, 2)->valuedouble == 0); /* the site that it belongs to */
  const cJSON *sites = cJSON_GetObjectItemCaseSensitive(fused, "sites");
  assert_int_equal(cJSON_GetArraySize(sites), 2);
  assert_string_equal(text_at(cJSON_GetArrayItem(sites, 1), "name"), HOSTILE);
  assert_string_equal(text_at(cJSON_GetArrayItem(sites, 1), "alike"), "conv0");
  assert_true(number_at(cJSON_GetArrayItem(sites, 0), "least_us") == 6.25);
  cJSON_Delete(root);
  free(page);
}

static void texts_are_no_markup(void **state) {
  fixture *f = *state;
  report_set empty;
  report_set_init(&empty, &f->a);
  char *page = page_of(&f->set), *blank = page_of(&empty), *behind;
  assert_int_equal(occurrences(page, "</script"), occurrences(blank, "</script"));
  assert_int_equal(occurrences(page, "<!--"), occurrences(blank, "<!--"));
  assert_int_equal(occurrences(page, "<img"), 0);
  for (const char *s = data_of(page, &behind); *s; ++s) {
    assert_true(*s != '<' && *s != '>' && *s != '&');
    assert_true((unsigned char)*s >= ' ');
  }
  free(page);
  free(blank);
}

/* What is not UTF-8 is replaced byte by byte; what is, stays. */
static void texts_are_utf8(void **state) {
  fixture *f = *state;
  static const char *const cases[][2] = {
      {"plain", "plain"},
      {"µs \xf0\x9f\x8c\xbe", "µs \xf0\x9f\x8c\xbe"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
      {"\xf4\x90\x80\x80x", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx"},
      {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}, /* cut off */
      {"\xe2\"", "\xef\xbf\xbd\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
    assert_string_equal(report_set_text(&f->set, cases[i][0]), cases[i][1]);
  assert_null(report_set_text(&f->set, NULL));
  assert_ptr_equal(report_set_text(&f->set, "plain"), report_set_text(&f->set, "plain"));
}

/* 256 plans that share their kernels are not 256 times as large. */
static void equal_kernels_are_stored_once(void **state) {
  fixture *f = *state;
  report_set one, many;
  report_set_init(&one, &f->a);
  report_set_init(&many, &f->a);
  char *source = arena_alloc(&f->a, 60001);
  for (unsigned i = 0; i < 60000; ++i) source[i] = (char)('a' + (i * i / 7 + i / 13) % 26);
  report_kernel kernel = sample_kernels[1];
  kernel.source = source;
  for (int i = 0; i < 256; ++i) {
    report_row row = sample_row(arena_printf(&f->a, "plan %d", i), 10 + i, 1024);
    kernel.median_us = row.median_us; /* the one thing that differs */
    row.kernel = &kernel;
    row.kernel_count = row.site_count = 1;
    if (!i) report_set_add(&one, &row);
    report_set_add(&many, &row);
  }
  assert_int_equal(many.kernels.len, 1);
  kernel.spills = 3;
  report_row row = sample_row("other", 1, 1);
  row.kernel = &kernel;
  row.kernel_count = 1;
  char *small = page_of(&one), *large = page_of(&many);
  assert_true(strlen(large) < strlen(small) + 256 * 1024);
  report_set_add(&many, &row);
  assert_int_equal(many.kernels.len, 2); /* another figure, another kernel */
  free(small);
  free(large);
}

static const unsigned char *no_pack(arena *a, const void *bytes, size_t size, size_t *packed) {
  *packed = size;
  return arena_copy(a, bytes, size);
}

/* With the n-th allocation failing the page is refused, and nothing leaks (AddressSanitizer sees). */
static void memory_runs_out(void **state) {
  fixture *f = *state;
  FILE *out = fopen("/dev/null", "w");
  assert_non_null(out);
  bool whole = false;
  int failures = 0;
  for (long n = 1; !whole && n < 100000; ++n, failures += !whole) {
    mem_fail_at(n);
    whole = report_html(out, &f->set, no_pack);
    mem_fail_at(0);
  }
  fclose(out);
  assert_true(whole);
  assert_true(failures > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(data_comes_back, setup, teardown),
      cmocka_unit_test_setup_teardown(texts_are_no_markup, setup, teardown),
      cmocka_unit_test_setup_teardown(texts_are_utf8, setup, teardown),
      cmocka_unit_test_setup_teardown(equal_kernels_are_stored_once, setup, teardown),
      cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
