/* The tuner: keys of graphs, plans that auto takes from the store and plans that it must not, the search itself, and
 * what an interrupt leaves behind. Everything runs in the interpreter, whose times are no matter here: none is
 * asserted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "ir/ir_text.h"
#include "program/import.h"
#include "lower/lower.h"
#include "tensor/tensor.h"
#include "tune/check.h"
#include "tune/cooling.h"
#include "tune/moves.h"
#include "decide/tuned_plans.h"

enum { C = 8, K = 8, H = 10 };
#define OLD "x=global,g=global,m=global,o=global;wino=2x2"

typedef struct conv {
  wn_context *ctx;
  wn_tensor *y;
  float x[C * H * H], w[K * C * 9], out[K * H * H];
  char warnings[2048];
} conv;

static char folder[64];

/* In [-1, 1), by the index alone. */
static float value_at(unsigned i, unsigned seed) {
  uint32_t h = (i + 1) * 2654435761u ^ seed * 40503u;
  h ^= h >> 15;
  h *= 2246822519u;
  h ^= h >> 13;
  return (float)(h >> 8) / 8388608.0f - 1.0f;
}

static void remember(void *user, const char *line) {
  conv *c = user;
  size_t n = strlen(c->warnings);
  snprintf(c->warnings + n, sizeof c->warnings - n, "%s\n", line);
}

/* others: tensors that the context has besides, made first. */
static conv *conv_new(int others, int64_t pad, bool constant) {
  conv *c = calloc(1, sizeof *c);
  assert_non_null(c);
  assert_int_equal(wn_context_create(&c->ctx), WN_OK);
  wn_on_warning(c->ctx, remember, c);
  for (unsigned i = 0; i < C * H * H; ++i) c->x[i] = value_at(i, 1);
  for (unsigned i = 0; i < K * C * 9; ++i) c->w[i] = value_at(i, 2);
  for (int i = 0; i < others; ++i)
    wn_map(WN_RELU, wn_input(c->ctx, WN_F32, 2, (int64_t[]){3, 5 + i}, c->x));
  const int64_t xs[] = {1, C, H, H}, ws[] = {K, C, 3, 3};
  wn_tensor *x = wn_input(c->ctx, WN_F32, 4, xs, c->x);
  wn_tensor *w = (constant ? wn_constant : wn_input)(c->ctx, WN_F32, 4, ws, c->w);
  c->y = wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {pad, pad}, .pad_hi = {pad, pad}));
  assert_non_null(c->y);
  return c;
}

static void conv_free(conv *c) {
  wn_context_destroy(c->ctx);
  free(c);
}

static wn_options interpreter(void) {
  return WN_OPTIONS(.backend = "interp", .isa = "generic", .threads = 1);
}

/* The key as the compiler should make it, from the context's own graph instead of the program's copy of it. */
static char *key_of(const conv *c, const wn_options *o) {
  graph *g = &c->ctx->graph;
  bool constant[64];
  char *volatile out = NULL;
  volatile wn_status st;
  DIAG_TRY(g->diag, st) {
    runtime *rt = runtime_create(g->diag, o->backend, o->isa, o->threads);
    const uop *root = simplify(g, lower_tensors(g, 1, &c->y->node, NULL));
    site_list sites = sites_of(g, root, import_describe(c->ctx, g));
    const stored_value *v = &sites.value[0];
    assert_int_equal(sites.nvalues, 1);
    for (int i = 0; i < v->narrays; ++i)
      constant[i] = c->ctx->buffers.data[v->array[i]].constant && !o->variable_weights;
    out = strdup(plans_key(g, v->canonical, constant, rt, o));
    runtime_destroy(rt);
  }
  DIAG_END(g->diag, st)
  assert_int_equal(st, WN_OK);
  return out;
}

static void put(const char *key, const char *value) {
  diag d;
  diag_init(&d);
  store *s = store_open(&d, false);
  assert_non_null(s);
  assert_true(store_put(s, STORE_PLANS, key, strlen(key), value, strlen(value)));
  store_close(s);
}

static void put_plan(const conv *c, const wn_options *o, const char *text) {
  char value[512], *key = key_of(c, o);
  snprintf(value, sizeof value, "1 1000 100 %s", text);
  put(key, value);
  free(key);
}

/* The stored schedule, to be freed; NULL for none. */
static char *stored(const conv *c, const wn_options *o, double *error) {
  char *key = key_of(c, o), *text = NULL;
  diag d;
  diag_init(&d);
  arena a;
  arena_init(&a, &d);
  store *s = store_open(&d, false);
  stored_plan plan;
  wn_status st;
  DIAG_TRY(&d, st) {
    if (plans_get(s, &d, &a, key, &plan)) {
      text = strdup(plan.text);
      if (error) *error = plan.error;
    }
  }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_OK);
  store_close(s);
  arena_release(&a);
  free(key);
  return text;
}

static void forget(void) {
  diag d;
  diag_init(&d);
  assert_true(store_clear(&d));
}

/* The sum, or that of the sizes of what is summed. */
static double sum_at(const conv *c, int k, int y, int x, bool sizes) {
  double sum = 0;
  for (int ch = 0; ch < C; ++ch) {
    for (int i = 0; i < 9; ++i) {
      int yy = y + i / 3 - 1, xx = x + i % 3 - 1;
      if (yy < 0 || yy >= H || xx < 0 || xx >= H) continue;
      double term = (double)c->x[(ch * H + yy) * H + xx] * (double)c->w[(k * C + ch) * 9 + i];
      sum += sizes ? fabs(term) : term;
    }
  }
  return sum;
}

static float exact_at(const conv *c, int k, int y, int x) {
  return (float)sum_at(c, k, y, x, false);
}

/* Compiles and runs auto (or what the options say); the result must be right. Texts of the info go to placement. */
static wn_program_info compile(conv *c, const wn_options *o, char *placement) {
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  void *out = c->out;
  assert_int_equal(wn_compile(c->ctx, &c->y, &out, 1, o, &p), WN_OK);
  assert_int_equal(wn_run(p), WN_OK);
  for (int i = 0; i < K * H * H; ++i)
    assert_true(fabsf(c->out[i] - exact_at(c, i / (H * H), i / H % H, i % H)) < 1e-4f);
  wn_program_get_info(p, &info);
  snprintf(placement, 256, "%s", info.placement);
  assert_string_equal(info.plan, o->plan != NULL ? o->plan : "auto");
  wn_program_destroy(p);
  return info;
}

/* --- keys ------------------------------------------------------------------------------------- */

static void test_key_is_of_the_graph(void **state) {
  (void)state;
  wn_options o = interpreter();
  conv *a = conv_new(0, 1, true), *b = conv_new(3, 1, true);
  char *first = key_of(a, &o), *again = key_of(a, &o), *shifted = key_of(b, &o);
  assert_string_equal(first, again);
  assert_string_equal(first, shifted);
  free(again);
  free(shifted);
  conv *others[] = {conv_new(0, 0, true), conv_new(0, 1, false)};
  for (int i = 0; i < 2; ++i) {
    char *key = key_of(others[i], &o);
    assert_string_not_equal(first, key);
    free(key);
    conv_free(others[i]);
  }
  wn_options changed[7];
  for (int i = 0; i < 7; ++i) changed[i] = o;
  changed[0].math = WN_MATH_FP32_FAST;
  changed[1].backend = "cpu:cc";
  changed[2].variable_weights = 1;
  changed[3].no_merge = 1;
  changed[4].max_memory = 1 << 20;
  changed[5].isa = NULL; /* the best here, which is not generic */
  changed[6].flush_subnormals = 1;
  for (int i = 0; i < 7; ++i) {
    char *key = key_of(a, &changed[i]);
    assert_string_not_equal(first, key);
    free(key);
  }
  free(first);
  conv_free(a);
  conv_free(b);
}

/* --- what auto does with what is stored ------------------------------------------------------- */

static void test_stored_plan_is_used(void **state) {
  (void)state;
  char placement[256];
  wn_options o = interpreter();
  conv *tuned = conv_new(0, 1, true), *c = conv_new(2, 1, true);
  forget();
  assert_int_equal(compile(c, &o, placement).tuned, 0);
  put_plan(tuned, &o, OLD);
  assert_int_equal(compile(c, &o, placement).tuned, 1);
  /* with the sizes that it leaves open */
  assert_non_null(strstr(placement, "x=global,g=global,m=global,o=global;t="));
  assert_non_null(strstr(placement, "wino=2x2"));
  put_plan(tuned, &o, "direct");
  assert_int_equal(compile(c, &o, placement).tuned, 1);
  assert_memory_equal(placement, "direct", strlen("direct"));

  wn_options other = o;
  other.no_cache = 1;
  assert_int_equal(compile(c, &other, placement).tuned, 0);
  other = o;
  other.plan = "old";
  assert_int_equal(compile(c, &other, placement).tuned, 0);
  other = o;
  other.wino = "4";
  assert_int_equal(compile(c, &other, placement).tuned, 0);
  setenv("WINO", "4", 1);
  assert_int_equal(compile(c, &o, placement).tuned, 0);
  unsetenv("WINO");
  assert_string_equal(c->warnings, "");
  conv_free(tuned);
  conv_free(c);
}

static void test_foreign_key_is_not(void **state) {
  (void)state;
  char placement[256];
  wn_options o = interpreter(), fast = o, apart = o;
  fast.math = WN_MATH_FP32_FAST;
  apart.no_merge = 1;
  conv *c = conv_new(0, 1, true), *unpadded = conv_new(0, 0, true);
  forget();
  put_plan(c, &fast, OLD);
  put_plan(c, &apart, OLD);
  put_plan(unpadded, &o, OLD);
  assert_int_equal(compile(c, &o, placement).tuned, 0);
  assert_int_equal(compile(c, &fast, placement).tuned, 1);
  assert_string_equal(c->warnings, "");
  conv_free(c);
  conv_free(unpadded);
}

/* --- cold weights ----------------------------------------------------------------------------- */

static void put_plan_as(const conv *c, const wn_options *o, bool cold, const char *text) {
  char value[512], *key = key_of(c, o);
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  const char *named = plans_key_cold(&a, key, cold);
  assert_int_equal(strcmp(named, key) != 0, cold);
  snprintf(value, sizeof value, "1 1000 100 %s", text);
  put(named, value);
  arena_release(&a);
  free(key);
}

enum { WIDE = 6144 }; /* a matrix of so many rows is 144 MiB: more than last caches have */

/* The convolution, and with `more` a product beside it whose weights leave nothing in the caches. Nothing is run. */
static int tuned_of(conv *c, const wn_options *o, bool more, char *placement) {
  static float one[WIDE];
  float *wide = more ? malloc((size_t)WIDE * WIDE * sizeof *wide) : NULL;
  wn_tensor *outs[2] = {c->y, NULL};
  wn_options dry = *o;
  dry.plan_only = 1;
  if (more) {
    assert_non_null(wide);
    outs[1] = wn_matmul(wn_input(c->ctx, WN_F32, 2, (int64_t[]){1, WIDE}, one),
                        wn_constant(c->ctx, WN_F32, 2, (int64_t[]){WIDE, WIDE}, wide));
    assert_non_null(outs[1]);
  }
  wn_program *p;
  assert_int_equal(wn_compile(c->ctx, outs, NULL, more ? 2 : 1, &dry, &p), WN_OK);
  wn_site_info site = WN_SITE_INFO();
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_site(p, 0, &site), WN_OK);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_string_equal(site.kind, "conv");
  assert_int_equal(info.tuned, site.tuned);
  snprintf(placement, 256, "%s", site.plan);
  wn_program_destroy(p);
  free(wide);
  return site.tuned;
}

/* What was measured with cold weights is for a network that leaves them cold, and what was measured alone is not. */
static void test_cold_weights(void **state) {
  (void)state;
  static const char cold[] = "x=global,g=global,m=inline,o=global;wino=2x2",
                    warm[] = "x=inline,g=global,m=global,o=global;wino=2x2";
  char alone[256], with[256];
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true), *net = conv_new(1, 1, true);
  forget();
  put_plan_as(c, &o, true, cold);
  assert_int_equal(tuned_of(net, &o, true, with), 1);
  assert_non_null(strstr(with, "m=inline"));
  assert_int_equal(tuned_of(c, &o, false, alone), 0);
  assert_null(strstr(alone, "m=inline"));
  put_plan_as(c, &o, false, warm);
  assert_int_equal(tuned_of(c, &o, false, alone), 1);
  assert_non_null(strstr(alone, "x=inline"));
  assert_int_equal(tuned_of(net, &o, true, with), 1);
  assert_non_null(strstr(with, "m=inline"));

  /* nothing is known of a network: what was measured alone is taken if the model agrees, and that is said */
  forget();
  put_plan_as(c, &o, false, warm);
  assert_int_equal(tuned_of(net, &o, true, with), 0);
  put_plan_as(c, &o, false, with);
  char again[256];
  assert_int_equal(tuned_of(net, &o, true, again), 2);
  assert_string_equal(again, with);
  assert_string_equal(c->warnings, "");
  conv_free(c);
  conv_free(net);
}

static bool is_stored(const conv *c, const wn_options *o, bool cold) {
  char *key = key_of(c, o);
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  store *s = store_open(&d, false);
  stored_plan plan;
  bool found = plans_get(s, &d, &a, plans_key_cold(&a, key, cold), &plan);
  store_close(s);
  arena_release(&a);
  free(key);
  return found;
}

/* Tuning a network keeps what it finds for weights that are cold, by which a layer alone is not found. */
static void test_tuning_a_network(void **state) {
  (void)state;
  machine here;
  wn_options o = WN_OPTIONS(.threads = 1); /* the interpreter would take minutes for the product */
  wn_tune_result r = WN_TUNE_RESULT();
  const wn_tune_options how = WN_TUNE_OPTIONS(.seconds = 0.6, .candidates = 2);
  conv *c = conv_new(0, 1, true);
  machine_of_cpu(&here, &c->ctx->diag, NULL);
  if (here.l3 > 128 << 20) {
    conv_free(c);
    skip();
  }
  const int64_t n =
      (int64_t)sqrt((double)here.l3 / sizeof(float)) + 64; /* grown, twice the cache */
  float *wide = malloc((size_t)(n * n) * sizeof *wide), *one = calloc((size_t)n, sizeof *one),
        *product = calloc((size_t)n, sizeof *product);
  assert_true(wide != NULL && one != NULL && product != NULL);
  for (int64_t i = 0; i < n * n; ++i) wide[i] = value_at((unsigned)i, 5);
  for (int64_t i = 0; i < n; ++i) one[i] = value_at((unsigned)i, 6);
  wn_tensor *outs[] = {c->y, wn_matmul(wn_input(c->ctx, WN_F32, 2, (int64_t[]){1, n}, one),
                                       wn_constant(c->ctx, WN_F32, 2, (int64_t[]){n, n}, wide))};
  void *data[] = {c->out, product};
  forget();
  assert_int_equal(wn_tune(c->ctx, outs, data, 2, &o, &how, &r), WN_OK);
  if (!r.stored) fail_msg("nothing is stored: %s", r.not_stored);
  assert_true(is_stored(c, &o, true));
  assert_false(is_stored(c, &o, false));
  conv_free(c);
  free(wide);
  free(one);
  free(product);
}

/* What passes has a limit, nothing passes where there is nothing, and a lack of memory is said. */
static void test_cooling(void **state) {
  (void)state;
  conv *c = conv_new(0, 1, true);
  cooling k;
  assert_true(cooling_make(&k, c->ctx, 1e6, 32 << 20));
  assert_int_equal(k.bytes, 1000000);
  cooling_pass(&k);
  cooling_end(&k);
  assert_true(cooling_make(&k, c->ctx, 1e12, 1 << 20));
  assert_int_equal(k.bytes, 2 << 20);
  cooling_end(&k);
  assert_true(cooling_make(&k, c->ctx, 0, 32 << 20));
  assert_int_equal(k.bytes, 0);
  cooling_pass(&k);
  cooling_end(&k);
  mem_fail_at(1);
  assert_false(cooling_make(&k, c->ctx, 1e6, 32 << 20));
  mem_fail_at(0);
  cooling_end(&k);
  conv_free(c);
}

static void test_broken_plans_warn(void **state) {
  (void)state;
  static const struct {
    const char *value, *warning;
  } broken[] = {
      {"1 1000 100 x=nowhere", "is not used: plan \"x=nowhere\": expected inline"},
      {"1 1000 100 unheard-of", "unknown plan"},
      {"1 1000 100 x=local@y3,g=global,m=local,o=global", "is not used"},
      {"1 1000 100 x=global,g=global,m=global,o=global;wino=8x8", "over the promise"},
      {"1 1000 100 ", "cannot be read"},
      {"1 -5 100 direct", "cannot be read"},
      {"1 direct", "cannot be read"},
      {"7 1000 100 direct", "cannot be read"},
      {"?", "cannot be read"},
  };
  char placement[256];
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true);
  char *key = key_of(c, &o);
  forget();
  for (size_t i = 0; i < sizeof broken / sizeof *broken; ++i) {
    put(key, broken[i].value);
    c->warnings[0] = '\0';
    if (compile(c, &o, placement).tuned) fail_msg("'%s' is used", broken[i].value);
    if (!strstr(c->warnings, broken[i].warning))
      fail_msg("'%s': '%s' lacks '%s'", broken[i].value, c->warnings, broken[i].warning);
  }
  free(key);
  conv_free(c);
}

/* --- errors of results ------------------------------------------------------------------------ */

static void test_check(void **state) {
  (void)state;
  conv *c = conv_new(0, 1, true);
  arena a;
  arena_init(&a, &c->ctx->diag);
  check k;
  void *data = c->out;
  check_make(&k, &a, c->ctx, &c->y, 1, (double)(2 * K * C * 9 * H * H));
  assert_null(k.why_not);
  assert_true(k.places >= K * H * H);
  check_poison(&k, &data);
  assert_true(isnan(check_error(&k, &data).summed));
  double total = 0, summed = 0;
  for (int i = 0; i < K * H * H; ++i) {
    c->out[i] = exact_at(c, i / (H * H), i / H % H, i % H);
    total += (double)c->out[i] * (double)c->out[i];
    double size = sum_at(c, i / (H * H), i / H % H, i % H, true);
    summed += size * size;
  }
  assert_true(check_error(&k, &data).result < 1e-7);
  c->out[K * H * H - 1] += 0.5f;
  check_errors error = check_error(&k, &data);
  double expected = 0.5 / sqrt(total), of_sums = 0.5 / sqrt(summed);
  assert_true(fabs(error.result - expected) < 1e-3 * expected);
  assert_true(fabs(error.summed - of_sums) < 1e-3 * of_sums);
  arena_release(&a);
  conv_free(c);
}

/* A grid that cannot have all places has the first, the last, and the others where they belong. */
static void test_check_samples(void **state) {
  (void)state;
  enum { N = 300 };
  wn_context *ctx;
  arena a;
  check k;
  float *x = malloc(N * N * sizeof *x), *y = malloc(N * N * sizeof *y);
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  for (unsigned i = 0; i < N * N; ++i) x[i] = value_at(i, 3);
  for (unsigned i = 0; i < N * N; ++i) y[i] = x[i] < 0 ? 0 : x[i];
  wn_tensor *t = wn_map(WN_RELU, wn_input(ctx, WN_F32, 2, (int64_t[]){N, N}, x));
  void *data = y;
  arena_init(&a, &ctx->diag);
  check_make(&k, &a, ctx, &t, 1, 1e9);
  assert_null(k.why_not);
  assert_true(k.places < N * N && k.places >= 256);
  assert_true(check_error(&k, &data).result == 0);
  y[0] += 1;
  double first = check_error(&k, &data).summed;
  y[0] -= 1;
  y[N * N - 1] += 1;
  assert_true(first > 1e-3 && check_error(&k, &data).summed > 1e-3);
  arena_release(&a);
  wn_context_destroy(ctx);
  free(x);
  free(y);
}

/* --- the search ------------------------------------------------------------------------------- */

typedef struct limit {
  int calls, most, measured; /* stop after so many calls, or once so many schedules were measured */
} limit;

static int stop_at(void *user, const wn_tune_state *s) {
  limit *l = user;
  return ++l->calls > l->most || s->measured >= l->measured;
}

static wn_tune_result tune(conv *c, const wn_options *o, limit *l) {
  wn_tune_result r = WN_TUNE_RESULT();
  void *out = c->out;
  const wn_tune_options how =
      WN_TUNE_OPTIONS(.seconds = l ? 60 : 0.3, .progress = l ? stop_at : NULL, .user = l);
  assert_int_equal(wn_tune(c->ctx, &c->y, &out, 1, o, &how, &r), WN_OK);
  return r;
}

static void test_tuned_plan_is_stored(void **state) {
  (void)state;
  char placement[256];
  wn_options o = interpreter();
  conv *c = conv_new(1, 1, true), *other = conv_new(0, 1, true);
  forget();
  wn_tune_result r = tune(c, &o, NULL);
  assert_true(r.stored && !r.stopped && r.not_stored == NULL);
  assert_true(r.measured >= 1 && r.plan_us > 0 && r.untuned_us >= r.plan_us);
  assert_true(r.places > 0 && r.error <= 1.2e-6);
  assert_int_equal(compile(other, &o, placement).tuned, 1);
  assert_string_equal(placement, r.plan);
  double error;
  char *text = stored(other, &o, &error);
  assert_string_equal(text, r.plan);
  assert_true(error <= 1.2e-6);
  free(text);
  assert_string_equal(c->warnings, "");
  conv_free(c);
  conv_free(other);
}

/* Near the largest numbers the transforms overflow, whatever is predicted: only direct is left, though another plan was
 * stored. */
static void test_error_over_the_promise(void **state) {
  (void)state;
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true);
  for (int i = 0; i < C * H * H; ++i) c->x[i] *= 2e38f;
  for (int i = 0; i < K * C * 9; ++i) c->w[i] *= 1e-3f;
  forget();
  put_plan(c, &o, OLD);
  wn_tune_result r = tune(c, &o, NULL);
  assert_true(r.stored);
  if (strncmp(r.plan, "direct", 6) != 0) fail_msg("%s with error %g is stored", r.plan, r.error);
  double error;
  char *text = stored(c, &o, &error);
  assert_string_equal(text, r.plan);
  assert_true(error <= 1.2e-6);
  free(text);
  conv_free(c);
}

static void test_nothing_to_check_by(void **state) {
  (void)state;
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true);
  memset(c->x, 0, sizeof c->x);
  forget();
  wn_tune_result r = tune(c, &o, NULL);
  assert_false(r.stored);
  assert_non_null(strstr(r.not_stored, "0 wherever it was looked at"));
  assert_null(stored(c, &o, NULL));
  conv_free(c);
}

static void test_stopping(void **state) {
  (void)state;
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true);
  forget();
  wn_tune_result r = tune(c, &o, &(limit){.most = 0, .measured = 1000});
  assert_true(r.stopped && !r.stored && r.plan == NULL);
  assert_non_null(r.not_stored);
  assert_null(stored(c, &o, NULL));
  /* direct alone is no result where auto would have picked something else */
  r = tune(c, &o, &(limit){.most = 1 << 30, .measured = 1});
  assert_true(r.stopped && r.plan != NULL);
  assert_int_equal(r.stored, r.untuned != NULL);
  forget();
  r = tune(c, &o, &(limit){.most = 1 << 30, .measured = 3});
  assert_true(r.stopped && r.stored && r.measured >= 3);
  char *text = stored(c, &o, NULL);
  assert_string_equal(text, r.plan);
  free(text);
  conv_free(c);
}

typedef struct sighting {
  const char *text;
  bool seen;
} sighting;

static int look_for(void *user, const wn_tune_state *s) {
  sighting *w = user;
  w->seen = w->seen || (s->trying != NULL && strcmp(s->trying, w->text) == 0);
  return w->seen;
}

/* Tuning again never forgets what was found before: it is measured beside the rest. */
static void test_stored_plan_runs_again(void **state) {
  (void)state;
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true);
  wn_tune_result r = WN_TUNE_RESULT();
  void *out = c->out;
  sighting w = {"x=inline,g=global,m=global,o=global;wino=3x2", false};
  const wn_tune_options how =
      WN_TUNE_OPTIONS(.seconds = 60, .candidates = 1, .progress = look_for, .user = &w);
  forget();
  put_plan(c, &o, w.text);
  assert_int_equal(wn_tune(c->ctx, &c->y, &out, 1, &o, &how, &r), WN_OK);
  assert_true(w.seen && r.measured <= 2); /* before the search goes on from the best */
  conv_free(c);
}

static void test_without_a_store(void **state) {
  (void)state;
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true);
  limit l = {.most = 1 << 30, .measured = 3};
  setenv("WINNOW_CACHE", "/proc/there-is-none", 1);
  wn_tune_result r = tune(c, &o, &l);
  assert_true(r.plan != NULL && !r.stored && r.not_stored != NULL);
  assert_non_null(strstr(c->warnings, "/proc/there-is-none"));
  c->warnings[0] = '\0';
  setenv("WINNOW_CACHE", "", 1);
  r = tune(c, &o, &l);
  assert_string_equal(r.not_stored, "the cache is off");
  assert_string_equal(c->warnings, "");
  setenv("WINNOW_CACHE", folder, 1);
  o.no_cache = 1;
  r = tune(c, &o, &l);
  assert_true(r.plan != NULL && !r.stored);
  conv_free(c);
}

static void test_misuse(void **state) {
  (void)state;
  wn_options o = interpreter();
  conv *c = conv_new(0, 1, true);
  wn_tune_result r = WN_TUNE_RESULT();
  void *out = c->out;
  o.plan = "old";
  assert_int_equal(wn_tune(c->ctx, &c->y, &out, 1, &o, NULL, &r), WN_ERR_USAGE);
  o.plan = NULL;
  o.wino = "4";
  assert_int_equal(wn_tune(c->ctx, &c->y, &out, 1, &o, NULL, &r), WN_ERR_USAGE);
  assert_non_null(strstr(wn_message(c->ctx), "wino"));
  assert_int_equal(wn_tune(c->ctx, &c->y, NULL, 1, NULL, NULL, &r), WN_ERR_USAGE);
  assert_int_equal(wn_tune(c->ctx, &c->y, &out, 1, NULL, NULL, NULL), WN_ERR_USAGE);
  conv_free(c);
}

/* The n-th allocation and all later ones fail: WN_ERR_NOMEM with a message, or what was found until then, and a context
 * that is as good as before. Leaks are AddressSanitizer's to find. */
static void test_no_memory(void **state) {
  (void)state;
  wn_options o = interpreter();
  char placement[256];
  bool finished = false;
  int failures = 0;
  forget();
  conv *c = conv_new(0, 1, true);
  void *out = c->out;
  for (long n = 1; !finished && n < 10000000; n += n / 3 + 1) {
    wn_tune_result r = WN_TUNE_RESULT();
    limit l = {.most = 1 << 30, .measured = 2};
    const wn_tune_options how = WN_TUNE_OPTIONS(.seconds = 60, .progress = stop_at, .user = &l);
    mem_fail_at(n);
    wn_status st = wn_tune(c->ctx, &c->y, &out, 1, &o, &how, &r);
    finished = mem_count() < n;
    mem_fail_at(0);
    if (st != WN_OK) {
      assert_int_equal(st, WN_ERR_NOMEM);
      assert_string_not_equal(wn_message(c->ctx), "");
      ++failures;
    }
  }
  assert_true(finished && failures > 0);
  compile(c, &o, placement);
  conv_free(c);
}

/* --- moves ------------------------------------------------------------------------------------ */

static void test_moves(void **state) {
  (void)state;
  static const char *const from[] = {
      "direct",
      "direct;t=32,k=4",
      "old",
      "split",
      "x=local@t0,g=global,m=local@k0,o=global;t=28.14,k=32.4,c=64;wino=4x4",
      "x=global,g=global,m=global,o=global;wino=4x2;launch=joint"};
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  const move_sizes sizes = {.lanes = 8, .K = 64, .C = 256};
  for (size_t i = 0; i < sizeof from / sizeof *from; ++i) {
    schedule s, again;
    schedule_list list = {0};
    wn_status st;
    DIAG_TRY(&d, st) {
      schedule_parse(&d, from[i], &s);
      moves_of(&s, &sizes, &a, &list);
      for (size_t j = 0; j < list.len; ++j) {
        str text;
        str_init(&text, &a);
        schedule_print(&text, &list.data[j]);
        assert_true(schedule_parse(&d, str_text(&text), &again));
        assert_true(schedule_equal(&again, &list.data[j]));
        assert_false(schedule_equal(&again, &s));
        for (size_t k = 0; k < j; ++k)
          if (schedule_equal(&list.data[k], &list.data[j])) fail_msg("%s twice", str_text(&text));
      }
    }
    DIAG_END(&d, st)
    if (st != WN_OK) fail_msg("%s: %s", from[i], d.message);
    assert_true(list.len >= 4);
  }
  arena_release(&a);
}

/* --- processes -------------------------------------------------------------------------------- */

static int64_t plans_stored(void) {
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  int64_t n = 0;
  wn_status st;
  store *s = store_open(&d, false);
  DIAG_TRY(&d, st) {
    int count;
    const store_kind *kinds = store_kinds(s, &a, &count);
    for (int i = 0; i < count; ++i)
      if (strcmp(kinds[i].kind, STORE_PLANS) == 0) n = kinds[i].entries;
  }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_OK);
  store_close(s);
  arena_release(&a);
  return n;
}

/* The command itself in a process of its own, which the test's interrupts do not reach otherwise. */
static pid_t start_command(int argc, char *const *argv) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child > 0) return child;
  cli app;
  wn_status st;
  if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(99);
  memset(&app, 0, sizeof app);
  diag_init(&app.diag);
  arena_init(&app.arena, &app.diag);
  DIAG_TRY(&app.diag, st) {
    options_parse(&app.opt, &app.arena, argc, argv);
    command_tune(&app);
  }
  DIAG_END(&app.diag, st)
  arena_release(&app.arena);
  _exit(st != WN_OK ? 98 : app.status);
}

static int end_of(pid_t child) {
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void test_interrupt_keeps_results(void **state) {
  (void)state;
  char list[128];
  snprintf(list, sizeof list, "%s/problems", folder);
  FILE *f = fopen(list, "w");
  assert_non_null(f);
  for (int i = 5; i < 200; ++i) fprintf(f, "mb1ic2ih%doc2kh3ph1\n", i);
  fclose(f);
  forget();
  char *const argv[] = {"winnow",           "tune",        "--batch",      list,
                        "--backend=interp", "--threads=1", "--seconds=0.3"};
  pid_t child = start_command(sizeof argv / sizeof *argv, argv);
  for (int i = 0; i < 3000 && plans_stored() == 0; ++i)
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  int64_t before = plans_stored();
  assert_true(before > 0);
  assert_int_equal(kill(child, SIGINT), 0);
  assert_int_equal(end_of(child), 130);
  assert_true(plans_stored() >= before);
}

static void test_two_at_once(void **state) {
  (void)state;
  char *const argv[] = {
      "winnow",           "tune",       "mb1ic2ih5oc2kh3ph1", "mb1ic2ih6oc2kh3ph1", "--seconds=0.3",
      "--backend=interp", "--threads=1"};
  enum { ARGC = sizeof argv / sizeof *argv };
  forget();
  pid_t a = start_command(ARGC, argv), b = start_command(ARGC, argv);
  assert_int_equal(end_of(a), 0);
  assert_int_equal(end_of(b), 0);
  assert_int_equal(plans_stored(), 2);
}

static int make_folder(void **state) {
  (void)state;
  static const char *const names[] = {"WINO", "BEAM", "WINNOW_THREADS", "WINNOW_ISA"};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) unsetenv(names[i]);
  snprintf(folder, sizeof folder, "/tmp/winnow-tune-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  return setenv("WINNOW_CACHE", folder, 1);
}

static int remove_folder(void **state) {
  (void)state;
  char line[128];
  snprintf(line, sizeof line, "rm -rf '%s'", folder);
  return system(line);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_key_is_of_the_graph),
      cmocka_unit_test(test_stored_plan_is_used),
      cmocka_unit_test(test_foreign_key_is_not),
      cmocka_unit_test(test_cold_weights),
      cmocka_unit_test(test_tuning_a_network),
      cmocka_unit_test(test_cooling),
      cmocka_unit_test(test_broken_plans_warn),
      cmocka_unit_test(test_check),
      cmocka_unit_test(test_check_samples),
      cmocka_unit_test(test_tuned_plan_is_stored),
      cmocka_unit_test(test_error_over_the_promise),
      cmocka_unit_test(test_nothing_to_check_by),
      cmocka_unit_test(test_stopping),
      cmocka_unit_test(test_stored_plan_runs_again),
      cmocka_unit_test(test_without_a_store),
      cmocka_unit_test(test_misuse),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_moves),
      cmocka_unit_test(test_interrupt_keeps_results),
      cmocka_unit_test(test_two_at_once),
  };
  return cmocka_run_group_tests_name("tuning", tests, make_folder, remove_folder);
}
