/* Names of values and what programs say of their sites: a name is found again at the site that stores the value, in
 * errors and in lists of sites; it changes nothing of a program; every kernel is one site's. Nothing is run here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "explain/explain.h"
#include "program/program.h"
#include "report/site_rows.h"
#include "report/table.h"

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }
enum { MOST = 4 };

typedef struct fixture {
  wn_context *ctx;
  wn_tensor *out[MOST];
  int nout;
  wn_program *p;
  wn_program_info info;
} fixture;

static int set_up(void **state) {
  fixture *f = *state = calloc(1, sizeof *f);
  return f == NULL || wn_context_create(&f->ctx) != WN_OK ? -1 : 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wn_program_destroy(f->p);
  wn_context_destroy(f->ctx);
  free(f);
  return 0;
}

/* --- graphs ----------------------------------------------------------------------------------- */

static wn_tensor *input(fixture *f) { return wn_input(f->ctx, WN_F32, SHAPE(1, 8, 12, 12), NULL); }

static wn_tensor *conv(fixture *f, wn_tensor *x, int64_t k, int64_t r) {
  wn_tensor *w = wn_constant(f->ctx, WN_F32, SHAPE(k, wn_shape(x)[1], r, r), NULL);
  return wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2}));
}

static wn_tensor *bias(fixture *f, int64_t k) {
  return wn_constant(f->ctx, WN_F32, SHAPE(1, k, 1, 1), NULL);
}

static wn_tensor *relu(wn_tensor *t) { return wn_map(WN_RELU, t); }

static wn_status try_plan(fixture *f, const char *plan) {
  void *data[MOST] = {NULL};
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = "interp", .isa = "avx512", .threads = 1,
                                  .no_cache = 1, .plan_only = 1);
  wn_program_destroy(f->p);
  wn_status st = wn_compile(f->ctx, f->out, data, f->nout, &o, &f->p);
  f->info = WN_PROGRAM_INFO();
  if (st == WN_OK) assert_int_equal(wn_program_get_info(f->p, &f->info), WN_OK);
  return st;
}

static void compile(fixture *f, wn_tensor *y, const char *plan) {
  f->out[0] = y;
  f->nout = 1;
  if (try_plan(f, plan) != WN_OK) fail_msg("%s", wn_message(f->ctx));
}

static wn_site_info site(fixture *f, int i) {
  wn_site_info s = WN_SITE_INFO();
  assert_int_equal(wn_program_get_site(f->p, i, &s), WN_OK);
  return s;
}

/* Labels and names of all sites: conv0 "a" conv1 map2 "b" */
static void assert_sites(fixture *f, const char *expected) {
  char text[1024] = "";
  for (int i = 0; i < f->info.sites; ++i) {
    wn_site_info s = site(f, i);
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, s.name != NULL ? "%s%s \"%s\"" : "%s%s", i ? " " : "",
             s.label, s.name);
  }
  assert_string_equal(text, expected);
}

/* --- which name a site has -------------------------------------------------------------------- */

static void test_stored_value(void **state) {
  fixture *f = *state;
  wn_tensor *a = relu(wn_zip(WN_ADD, conv(f, input(f), 8, 3), wn_name(bias(f, 8), "bias")));
  wn_tensor *b = wn_name(conv(f, wn_name(a, "first"), 8, 3), "inside");
  wn_tensor *c = relu(wn_zip(WN_ADD, b, bias(f, 8)));
  compile(f, conv(f, c, 4, 3), NULL);
  assert_sites(f, "conv0 \"first\" conv1 \"inside\" conv2");
  wn_site_info s = site(f, 1);
  assert_int_equal(s.ndim, 4);
  assert_memory_equal(s.shape, ((int64_t[]){1, 8, 12, 12}), 4 * sizeof(int64_t));
  assert_int_equal(site(f, 2).result, 0);
  assert_int_equal(s.result, -1);
}

/* What the next layer makes of the value need not be made of the tensor that was named: reshapes of reshapes are one.
 * */
static void test_reshapes(void **state) {
  fixture *f = *state;
  wn_tensor *a = wn_name(conv(f, input(f), 6, 3), "conv");
  wn_tensor *b = wn_name(conv(f, a, 4, 1), "pointwise");
  wn_tensor *flat = wn_name(wn_reshape(b, SHAPE(1, 4 * 144)), "flat");
  wn_tensor *w = wn_constant(f->ctx, WN_F32, SHAPE(4 * 144, 10), NULL);
  compile(f, wn_name(wn_matmul(flat, w), "scores"), NULL);
  assert_sites(f, "conv0 \"conv\" product1 \"pointwise\" product2 \"scores\"");
  assert_int_equal(site(f, 0).ndim, 4);
  assert_int_equal(site(f, 0).shape[1], 6);
}

static void test_nearest(void **state) {
  fixture *f = *state;
  wn_tensor *a = relu(conv(f, input(f), 8, 3));
  wn_tensor *windows = wn_window(a, 2, (int64_t[]){2, 2}, (int64_t[]){2, 2}, NULL);
  wn_tensor *pool = wn_name(wn_reduce(WN_MAXIMUM, windows, (int[]){4, 5}, 2, 0), "pool");
  wn_tensor *scaled = wn_zip(WN_MUL, pool, wn_name(bias(f, 8), "scale"));
  compile(f, wn_map(WN_SIGMOID, wn_zip(WN_ADD, scaled, bias(f, 8))), NULL);
  assert_sites(f, "conv0 sum1 \"pool\"");
}

static void test_several_convolutions(void **state) {
  fixture *f = *state;
  wn_tensor *x = relu(conv(f, input(f), 8, 3));
  wn_tensor *left = wn_name(conv(f, x, 12, 3), "conv2"),
            *right = wn_name(conv(f, x, 12, 5), "skip");
  compile(f, wn_name(relu(wn_zip(WN_ADD, left, right)), "block"), "old");
  assert_int_equal(f->info.sites, 3);
  assert_null(site(f, 0).name);
  wn_site_info a = site(f, 1), b = site(f, 2);
  /* that of 25 taps has more frequencies and so more bytes of them */
  bool swapped = a.bytes > b.bytes;
  assert_string_equal((swapped ? b : a).name, "conv2");
  assert_string_equal((swapped ? a : b).name, "skip");
  assert_int_equal(a.result, 0);
  assert_int_equal(b.result, 0);
}

static void test_again_and_equal(void **state) {
  fixture *f = *state;
  wn_tensor *x = input(f), *w = wn_constant(f->ctx, WN_F32, SHAPE(4, 8, 3, 3), NULL);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  wn_tensor *y = wn_name(wn_name(wn_conv(x, w, &same), "a"), "b");
  compile(f, wn_map(WN_NEG, y), NULL);
  assert_sites(f, "conv0 \"b\"");
  assert_ptr_equal(wn_name(y, "b"), y);
  char name[] = "copied";
  assert_non_null(wn_name(wn_conv(x, w, &same), name)); /* the same value */
  name[0] = 'C';
  assert_sites(f, "conv0 \"b\""); /* the program has that of when it was compiled */
  compile(f, wn_map(WN_NEG, y), NULL);
  assert_sites(f, "conv0 \"copied\"");
}

static void test_inlined(void **state) {
  fixture *f = *state;
  wn_tensor *x = input(f);
  wn_tensor *e = wn_name(wn_map(WN_SIN, wn_map(WN_EXP, x)), "wave");
  compile(f, conv(f, e, 4, 3), "map0{inline}");
  assert_sites(f, "map0 \"wave\" conv1");
  wn_site_info s = site(f, 0);
  assert_string_equal(s.plan, "inline");
  assert_int_equal(s.kernels, 0);
  assert_int_equal(s.bytes, 0);
}

/* --- mistakes --------------------------------------------------------------------------------- */

static void refuses(const char *name, const char *why) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *x = wn_input(ctx, WN_F32, SHAPE(3, 4), NULL);
  assert_null(wn_name(x, name));
  assert_string_equal(wn_message(ctx), why);
  wn_program *p;
  assert_int_equal(wn_compile(ctx, &x, NULL, 1, NULL, &p),
                   WN_ERR_USAGE); /* as any tensor function's */
  wn_context_destroy(ctx);
}

static void test_mistakes(void **state) {
  (void)state;
  char name[WN_MAX_NAME + 2];
  memset(name, 'n', sizeof name);
  name[WN_MAX_NAME + 1] = '\0';
  refuses(name, "wn_name: the name for [3, 4] has 256 bytes; there may be 255");
  refuses(NULL, "wn_name: the name for [3, 4] is NULL");
  refuses("", "wn_name: the name for [3, 4] is empty");
  refuses("a\nb", "wn_name: the name for [3, 4] has a control character");
  refuses("\x1b[2J", "wn_name: the name for [3, 4] has a control character");
  refuses("a\xc2\x9b", "wn_name: the name for [3, 4] has a control character");
  refuses("a\xff", "wn_name: the name for [3, 4] is not UTF-8");
  assert_null(wn_name(NULL, "nothing"));
  fixture *f = *state;
  name[WN_MAX_NAME] = '\0';
  assert_non_null(wn_name(input(f), name));
  assert_non_null(wn_name(input(f), "größe Δ \xc2\xa0 \"quoted\" <b>"));
}

/* --- what names leave as it is ---------------------------------------------------------------- */

static wn_tensor *chain(fixture *f, bool named) {
  wn_tensor *x = input(f);
  for (int i = 0; i < 6; ++i) {
    char name[32];
    snprintf(name, sizeof name, "layer%d", i);
    x = relu(wn_zip(WN_ADD, conv(f, x, 8, 3), bias(f, 8)));
    if (named) x = wn_name(x, name);
  }
  return x;
}

static void test_programs_are_the_same(void **state) {
  fixture *f = *state;
  char identity[40];
  compile(f, chain(f, false), "old");
  int codes = f->p->compiled->ncodes;
  snprintf(identity, sizeof identity, "%s", f->info.identity);
  for (int i = 0; i < f->info.sites; ++i) assert_null(site(f, i).name);
  tear_down(state);
  set_up(state);
  f = *state;
  compile(f, chain(f, true), "old");
  assert_int_equal(f->p->compiled->ncodes, codes);
  assert_true(codes < f->info.kernels + f->info.prepare_kernels);
  assert_string_equal(f->info.identity, identity);
  assert_string_equal(site(f, 4).name, "layer4");
  assert_int_equal(site(f, 4).alike,
                   site(f, 1).alike); /* the last is a result, the first reads what is given */
}

/* --- kernels of sites ------------------------------------------------------------------------- */

static void check_kernels(fixture *f, const char *plan) {
  int all = f->info.kernels + f->info.prepare_kernels, seen = 0;
  double predicted = 0;
  for (int i = 0; i < f->info.sites; ++i) {
    wn_site_info s = site(f, i);
    predicted += s.predicted_s;
    assert_true(s.alike <= i && site(f, s.alike).alike == s.alike);
    for (int k = 0; k < s.kernels; ++k, ++seen) {
      wn_kernel_info info = WN_KERNEL_INFO();
      assert_int_equal(wn_program_get_kernel(f->p, s.kernel[k], &info), WN_OK);
      if (info.site != i) fail_msg("plan %s: kernel %d is of %d", plan, s.kernel[k], info.site);
      assert_true(k == 0 || s.kernel[k] > s.kernel[k - 1]);
    }
    assert_true((s.kernels > 0) == (s.bytes > 0));
  }
  assert_int_equal(seen, all);
  assert_true(predicted >= f->info.predicted_s * (1 - 1e-9) &&
              predicted <= f->info.predicted_s * (1 + 1e-9));
}

static void test_kernels(void **state) {
  static const char *const plans[] = {"auto", "old", "direct", "fused", "one", "inline-m"};
  fixture *f = *state;
  wn_tensor *x = relu(conv(f, input(f), 8, 3));
  x = relu(wn_zip(WN_ADD, conv(f, x, 8, 3), conv(f, x, 8, 5)));
  wn_tensor *windows = wn_window(x, 2, (int64_t[]){2, 2}, (int64_t[]){2, 2}, NULL);
  f->out[0] = wn_reduce(WN_MAXIMUM, windows, (int[]){4, 5}, 2, 0);
  f->nout = 1;
  for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i) {
    if (try_plan(f, plans[i]) != WN_OK) fail_msg("%s: %s", plans[i], wn_message(f->ctx));
    check_kernels(f, plans[i]);
  }
  wn_site_info s = WN_SITE_INFO(.kind = "x");
  assert_int_equal(wn_program_get_site(f->p, -1, &s), WN_ERR_USAGE);
  assert_null(s.kind);
  assert_int_equal(wn_program_get_site(f->p, f->info.sites, &s), WN_ERR_USAGE);
  assert_int_equal(wn_program_get_site(f->p, 0, NULL), WN_ERR_USAGE);
  assert_int_equal(wn_program_get_site(NULL, 0, &s), WN_ERR_USAGE);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void fails(fixture *f, const char *plan, wn_status status, const char *words) {
  if (try_plan(f, plan) != status) fail_msg("plan %s: %s", plan, wn_message(f->ctx));
  if (strstr(wn_message(f->ctx), words) == NULL)
    fail_msg("plan %s: no '%s' in: %s", plan, words, wn_message(f->ctx));
}

static void test_errors(void **state) {
  fixture *f = *state;
  wn_tensor *a = wn_name(relu(conv(f, input(f), 8, 3)), "layer1.0.conv1");
  f->out[0] = conv(f, a, 8, 3);
  f->nout = 1;
  fails(f, "conv7{direct}", WN_ERR_USAGE, "the graph has conv0 \"layer1.0.conv1\" conv1");
  fails(f, "conv0{x=local@t3,g=global,m=global,o=global}", WN_ERR_REFUSED,
        "conv0 \"layer1.0.conv1\": ");
  fails(f, "conv1{x=local@t3,g=global,m=global,o=global}", WN_ERR_REFUSED, "conv1: ");
  assert_int_equal(try_plan(f, "conv0{direct} conv1{old}"),
                   WN_OK); /* numbers are what a plan says */
  assert_null(strstr(f->info.placement, "layer1"));
  fails(f, "\"layer1.0.conv1\"{direct}", WN_ERR_USAGE, "plan");
}

/* The line is one, and does not grow with the names. */
static void test_long_list(void **state) {
  fixture *f = *state;
  wn_tensor *x = input(f);
  for (int i = 0; i < 40; ++i) {
    char name[200];
    memset(name, 'a' + i % 26, sizeof name);
    name[sizeof name - 1] = '\0';
    x = wn_name(relu(conv(f, x, 8, 3)), name);
  }
  f->out[0] = x;
  f->nout = 1;
  fails(f, "conv99{direct}", WN_ERR_USAGE, "and 37 more");
}

static void test_data(void **state) {
  fixture *f = *state;
  float y[1152];
  void *data = y;
  wn_program *p;
  wn_tensor *out = wn_map(WN_NEG, wn_name(input(f), "image"));
  assert_int_equal(wn_compile(f->ctx, &out, &data, 1, NULL, &p), WN_OK);
  assert_int_equal(wn_run(p), WN_ERR_USAGE);
  assert_non_null(
      strstr(wn_program_message(p), "input 0 \"image\" of shape [1, 8, 12, 12] has no"));
  wn_program_destroy(p);
}

/* --- what is shown ---------------------------------------------------------------------------- */

static wn_tensor *named_pair(fixture *f) {
  wn_tensor *a = wn_name(relu(conv(f, input(f), 8, 3)), "stem \"<b>\" größe");
  return conv(f, relu(conv(f, a, 8, 3)), 8, 3);
}

static void test_times(void **state) {
  (void)state;
  const report_kernel kernels[] = {{.site = 0, .median_us = 100, .prepare = true},
                                   {.site = 0, .median_us = 1},
                                   {.site = 2, .median_us = 4},
                                   {.site = 0, .median_us = 3}};
  report_site sites[3] = {{.kernels = 2}, {.kernels = 0}, {.kernels = 1}};
  report_time_sites(sites, 3, kernels, 4);
  assert_true(sites[0].median_us == 4 && sites[0].share == 0.5);
  assert_true(sites[2].median_us == 4 && sites[2].share == 0.5);
  assert_true(isnan(sites[1].median_us) && isnan(sites[1].share));
  report_kernel untimed = kernels[2];
  untimed.median_us = (double)NAN;
  report_time_sites(sites, 3, &untimed, 1);
  assert_true(isnan(sites[2].median_us) && isnan(sites[2].share));
}

static void test_explanation(void **state) {
  fixture *f = *state;
  wn_tensor *y = named_pair(f);
  explanation e;
  const wn_options o =
      WN_OPTIONS(.plan = "old", .backend = "interp", .isa = "avx512", .threads = 1, .no_cache = 1);
  assert_int_equal(explain_open(f->ctx, &y, NULL, 1, &o, false, NULL, NULL, &e), WN_OK);
  const char *text = explain_text_sites(&e);
  assert_non_null(strstr(text, "--- sites: "));
  assert_non_null(strstr(text, " conv0 \"stem \"<b>\" größe\"  [1, 8, 12, 12]  x=global"));
  double least = 0, predicted = 0;
  for (int i = 0; i < e.nsites; ++i) least += e.site[i].least_us;
  for (int i = 0; i < e.nsites; ++i) predicted += e.site[i].predicted_us;
  assert_true(fabs(least - e.least_us) <= 1e-9 * least);
  assert_true(fabs(predicted - e.predicted_us) <= 1e-9 * predicted);
  for (int k = 0; k < e.nkernels; ++k) e.kernel[k].measured_us = k;
  explain_time_sites(&e);
  assert_true(isfinite(e.site[1].median_us));
  explain_close(&e);
  y = wn_name(conv(f, input(f), 8, 3), "alone");
  assert_int_equal(explain_open(f->ctx, &y, NULL, 1, &o, false, NULL, NULL, &e), WN_OK);
  assert_null(explain_text_sites(&e));
  explain_close(&e);
}

static char *printed(fixture *f, bool json) {
  report_row row;
  char *text = NULL;
  size_t size = 0;
  report_row_init(&row);
  row.plan = "old";
  row.site = report_read_sites(&f->p->compiled->graph.arena, f->p, &row.site_count);
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  if (json)
    assert_true(report_json(out, &row));
  else
    report_sites(out, &f->p->compiled->graph.arena, &row, 1, (report_style){0});
  fclose(out);
  return text;
}

static void test_reports(void **state) {
  fixture *f = *state;
  compile(f, named_pair(f), "old");
  char *text = printed(f, false);
  assert_non_null(strstr(text, "conv0  stem \"<b>\" größe"));
  free(text);
  text = printed(f, true);
  cJSON *row = json_read(text, strlen(text));
  const cJSON *sites = cJSON_GetObjectItemCaseSensitive(row, "sites");
  assert_int_equal(cJSON_GetArraySize(sites), 3);
  const cJSON *first = cJSON_GetArrayItem(sites, 0), *second = cJSON_GetArrayItem(sites, 1);
  assert_string_equal(cJSON_GetObjectItem(first, "name")->valuestring, "stem \"<b>\" größe");
  assert_string_equal(cJSON_GetObjectItem(first, "label")->valuestring, "conv0");
  assert_true(cJSON_IsNull(cJSON_GetObjectItem(second, "name")));
  assert_true(cJSON_IsNull(cJSON_GetObjectItem(second, "median_us")));
  assert_string_equal(cJSON_GetObjectItem(second, "shape")->valuestring, "[1, 8, 12, 12]");
  cJSON_Delete(row);
  free(text);
  compile(f, conv(f, input(f), 8, 3), "old"); /* one site: its row says all */
  text = printed(f, false);
  assert_string_equal(text, "");
  free(text);
}

static void test_short_names(void **state) {
  fixture *f = *state;
  compile(f, input(f), NULL);
  arena *a = &f->p->compiled->graph.arena;
  assert_string_equal(report_short_name(a, "layer1", 6), "layer1");
  assert_string_equal(report_short_name(a, "layer10", 6), "…yer10");
  const char *wide = report_short_name(a, "ääääääää", 5);
  assert_string_equal(wide, "…ääää");
  assert_int_equal(table_text_width(wide), 5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_stored_value),    TEST(test_reshapes),
      TEST(test_nearest),         TEST(test_several_convolutions),
      TEST(test_again_and_equal), TEST(test_inlined),
      TEST(test_mistakes),        TEST(test_programs_are_the_same),
      TEST(test_kernels),         TEST(test_errors),
      TEST(test_long_list),       TEST(test_data),
      TEST(test_times),           TEST(test_explanation),
      TEST(test_reports),         TEST(test_short_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
