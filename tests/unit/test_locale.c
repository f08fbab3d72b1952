/* Text for machines is the same in every locale: numbers, JSON, CSV, what explain shows, and the source of kernels,
 * which compiles and gives what it should, while the process has a locale whose decimal point is a comma, or is two
 * bytes long.
 *
 * Few systems have such a locale, so the tests make their own: a file in the form of glibc, found through $LOCPATH.
 * Where that is not how it is done, one of the system's is taken; where there is none all is skipped, and says so. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "diff/conv_case.h"
#include "backend/runtime.h"
#include "unit/report_rows.h"

/* --- locales ---------------------------------------------------------------------------------- */

typedef struct fixture {
  char folder[64];
  const char *locale[2]; /* NULL: there is none */
  diag d;
  arena a;
} fixture;

static const struct {
  const char *name, *point;
} made[2] = {{"comma", ","}, {"momayyez", "\xd9\xab"}};

/* LC_NUMERIC as glibc reads it: a magic number, six fields at offsets: decimal point, separator of thousands, grouping,
 * both as wide characters, codeset. */
static void make_locale(const char *folder, const char *name, const char *point) {
  char path[128];
  uint32_t head[8] = {0x20031114, 6, 32, 36, 37, 40, 44, 48}, wide[2] = {',', 0};
  char data[64] = {0};
  memcpy(data, head, sizeof head);
  memcpy(data + 32, point, strlen(point) + 1);
  memcpy(data + 40, wide, sizeof wide);
  memcpy(data + 48, "UTF-8", 6);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(mkdir(path, 0700), 0);
  strcat(path, "/LC_NUMERIC");
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, 54, f), 54);
  assert_int_equal(fclose(f), 0);
}

static bool has_point(const char *locale, const char *point) {
  char text[16] = "";
  if (setlocale(LC_NUMERIC, locale) != NULL) snprintf(text, sizeof text, "%.1f", 0.5);
  setlocale(LC_NUMERIC, "C");
  return text[0] == '0' && strncmp(text + 1, point, strlen(point)) == 0;
}

static int set_up(void **state) {
  static fixture f;
  static const char *const systems[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8", "de_DE.utf8"};
  diag_init(&f.d);
  arena_init(&f.a, &f.d);
  snprintf(f.folder, sizeof f.folder, "/tmp/winnow-locale-XXXXXX");
  *state = &f;
  if (mkdtemp(f.folder) == NULL) return -1;
  for (int i = 0; i < 2; ++i) make_locale(f.folder, made[i].name, made[i].point);
  setenv("LOCPATH", f.folder, 1);
  for (int i = 0; i < 2; ++i)
    if (has_point(made[i].name, made[i].point)) f.locale[i] = made[i].name;
  if (f.locale[0] != NULL) return 0;
  unsetenv("LOCPATH");
  for (size_t i = 0; i < sizeof systems / sizeof *systems && f.locale[0] == NULL; ++i)
    if (has_point(systems[i], ",")) f.locale[0] = systems[i];
  if (f.locale[0] == NULL) print_message("# skipped: no locale with a decimal comma\n");
#ifdef __GLIBC__
  print_message("# the form of glibc's locales is another one: make_locale\n");
  return -1;
#endif
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  char path[128];
  for (int i = 0; i < 2; ++i) {
    snprintf(path, sizeof path, "%s/%s/LC_NUMERIC", f->folder, made[i].name);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
  }
  rmdir(f->folder);
  arena_release(&f->a);
  return 0;
}

/* What a function writes, in the locale "C" and in each other one. */
typedef void (*writer)(fixture *f, FILE *out);

static char *written(fixture *f, writer w, const char *locale) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  assert_non_null(setlocale(LC_NUMERIC, locale));
  w(f, out);
  setlocale(LC_NUMERIC, "C");
  fclose(out);
  return text;
}

static void check_same(fixture *f, writer w) {
  if (f->locale[0] == NULL) skip();
  for (int i = 0; i < 2 && f->locale[i] != NULL; ++i) {
    char *c = written(f, w, "C"), *other = written(f, w, f->locale[i]);
    assert_true(strlen(c) > 0);
    assert_string_equal(c, other);
    free(c);
    free(other);
  }
}

/* --- numbers ---------------------------------------------------------------------------------- */

static const double numbers[] = {0.5,    -1234567.25, 1.0 / 3, 1e-300, 1.5e308,
                                 5e-324, 0x1p-149,    1e21,    0,      123.456};

static void write_numbers(fixture *f, FILE *out) {
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) {
    char text[64], *end;
    text_print(out, "%g %e %.3f %a\n", numbers[i], numbers[i], numbers[i], numbers[i]);
    fputs(arena_printf(&f->a, "%.6g\n", numbers[i]), out);
    text_format(text, sizeof text, "%.17g", numbers[i]);
    fprintf(out, "%s\n", text);
    assert_true(text_number(text, &end) == numbers[i] && *end == '\0');
    text_format(text, sizeof text, "%a", numbers[i]);
    assert_true(text_number(text, &end) == numbers[i] && *end == '\0');
    assert_true(text_number("0,5", &end) == 0 && *end == ',');
  }
  diag_set(&f->d, WN_ERR_USAGE, "%.3g", 0.125);
  fprintf(out, "%s\n", f->d.message);
}

static void test_numbers(void **state) { check_same(*state, write_numbers); }

/* The thread's own locale is what counts for it, and stays. */
static void test_thread_locale(void **state) {
  fixture *f = *state;
  if (f->locale[0] == NULL) skip();
  locale_t own = newlocale(LC_NUMERIC_MASK, f->locale[0], (locale_t)0);
  assert_true(own != (locale_t)0);
  locale_t before = uselocale(own);
  char mine[16], text[16];
  text_format(text, sizeof text, "%.2f", 1.25);
  assert_true(uselocale((locale_t)0) == own);
  snprintf(mine, sizeof mine, "%.2f", 1.25);
  uselocale(before);
  freelocale(own);
  assert_string_equal(text, "1.25");
  assert_string_equal(mine, "1,25");
}

static void test_characters(void **state) {
  (void)state;
  for (int c = 0; c < 256; ++c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    assert_true(text_is_word((char)c) == (letter || (c >= '0' && c <= '9')));
    assert_true(text_is_space((char)c) == (c != 0 && strchr(" \t\n\v\f\r", c) != NULL));
    assert_true(text_lower((char)c) == (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
  }
  assert_true(text_same(".PNG", ".png") && !text_same(".png", ".pn") && !text_same("", "a"));
}

/* --- reports ---------------------------------------------------------------------------------- */

static void write_reports(fixture *f, FILE *out) {
  report_row row = sample_row("fused", 12.5, 1024), again;
  assert_true(report_json(out, &row));
  report_csv(out, &row);
  report_comparison(out, &f->a, &row, 1, (report_style){0});
  report_kernels(out, &f->a, &row, 1, (report_style){0});
  cJSON *kept = report_keep(&row);
  char *text = json_text(kept);
  cJSON *back = json_read(text, strlen(text));
  report_row_init(&again);
  assert_true(report_restore(back, &f->a, &again));
  assert_true(again.median_us == 12.5);
  cJSON_Delete(back);
  cJSON_free(text);
  cJSON_Delete(kept);
}

static void test_reports(void **state) { check_same(*state, write_reports); }

static void write_json(fixture *f, FILE *out) {
  (void)f;
  cJSON *list = cJSON_CreateArray();
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
    cJSON_AddItemToArray(list, cJSON_CreateNumber(numbers[i]));
  char *text = json_text(list);
  cJSON *back = json_read(text, strlen(text)), *item;
  size_t i = 0;
  cJSON_ArrayForEach(item, back) {
    assert_true(fabs(item->valuedouble - numbers[i]) <= 2e-15 * fabs(numbers[i]));
    ++i;
  }
  assert_int_equal(i, sizeof numbers / sizeof *numbers);
  fputs(text, out);
  cJSON_Delete(back);
  cJSON_free(text);
  cJSON_Delete(list);
}

static void test_json(void **state) { check_same(*state, write_json); }

/* --- programs --------------------------------------------------------------------------------- */

static wn_tensor *graph_of(const conv_case *c, wn_context *ctx) {
  wn_tensor *t = wn_zip(WN_MUL, case_graph(c, ctx), wn_scalar(ctx, WN_F32, 0.3));
  return wn_zip(WN_ADD, t, wn_scalar(ctx, WN_F32, 1234567.25));
}

static conv_case small_case(void) {
  conv_case c = {.seed = 7,
                 .nd = 2,
                 .n = 1,
                 .c = 4,
                 .k = 8,
                 .groups = 1,
                 .in = {12, 12},
                 .r = {3, 3},
                 .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};
  assert_true(case_finish(&c) && case_fill(&c));
  return c;
}

static void no_warning(void *user, const char *line) {
  (void)user;
  fail_msg("%s", line);
}

/* Runs as its own machine code, and is the same program by its identity. */
static void run_on(const conv_case *c, const char *plan, const char *backend, FILE *out) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, no_warning, NULL);
  wn_tensor *t = graph_of(c, ctx);
  void *y = c->y;
  wn_program *p;
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = backend, .threads = 1, .no_cache = 1);
  if (wn_compile(ctx, &t, &y, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  assert_int_equal(wn_run(p), WN_OK);
  for (int64_t i = 0; i < c->y_count; ++i) {
    double want = c->expected[i] * (double)0.3f + 1234567.25;
    if (!(fabs((double)c->y[i] - want) < 0.5)) fail_msg("%s %s: %g", plan, backend, want);
  }
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_null(info.fallback);
  fprintf(out, "%s %s %s\n", plan, backend, info.identity);
  wn_kernel_info k = WN_KERNEL_INFO();
  for (int i = 0; wn_program_get_kernel(p, i, &k) == WN_OK; ++i)
    fputs(k.source ? k.source : "", out);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void write_programs(fixture *f, FILE *out) {
  (void)f;
  conv_case c = small_case();
  run_on(&c, "direct", "cpu", out);
  run_on(&c, "old", "cpu", out);
  run_on(&c, "old", "cpu:cc", out);
  case_free(&c);
}

static void test_programs(void **state) { check_same(*state, write_programs); }

static void add_text(void *user, const char *text) { fputs(text, user); }

/* Its IR, linear IR, assembly, and the sources for two kinds of GPU. */
static void write_explanation(fixture *f, FILE *out) {
  (void)f;
  static const char *const backends[][2] = {
      {"interp", "generic"}, {"metal", NULL}, {"cpu", "sse2"}, {"interp", "simt"}};
  conv_case c = small_case();
  for (size_t i = 0; i < sizeof backends / sizeof *backends; ++i) {
    wn_context *ctx;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_on_warning(ctx, NULL, NULL);
    wn_tensor *t = graph_of(&c, ctx);
    void *y = c.y;
    const wn_options o = WN_OPTIONS(.plan = "old", .backend = backends[i][0], .isa = backends[i][1],
                                    .threads = 1, .no_cache = 1);
    wn_explain(ctx, &t, &y, 1, &o, add_text, out); /* not every machine has them all */
    wn_context_destroy(ctx);
  }
  case_free(&c);
}

static void test_explanation(void **state) { check_same(*state, write_explanation); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers),     cmocka_unit_test(test_thread_locale),
      cmocka_unit_test(test_characters),  cmocka_unit_test(test_reports),
      cmocka_unit_test(test_json),        cmocka_unit_test(test_programs),
      cmocka_unit_test(test_explanation),
  };
  return cmocka_run_group_tests_name("locale", tests, set_up, tear_down);
}
