/* ONNX models drawn at random: what the backend cpu computes, under any plan and with any number of threads, against the
 * interpreter's float64. WINNOW_SEED=<seed> draws the same ones again, and WINNOW_SECONDS sets for how long. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "onnx/draw_model.h"
#include "sanitized.h"

/* Relative to the size of what was computed, and to values near 1: a result may be a small difference of those. */
#define TOLERANCE 1e-5

enum { MOST_RESULTS = DRAW_VALUES };

typedef struct results {
  wn_status status;
  int count;
  wn_value value[MOST_RESULTS];
  char message[1200];
} results;

static void run_model(results *r, wn_context *ctx, const drawn_model *m, const float *x,
                      const wn_options *options) {
  const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = options);
  const drawn_value *input = &m->value[0];
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = input->nd, .data = (void *)x);
  for (int i = 0; i < input->nd; ++i) in.shape[i] = input->shape[i];
  wn_model *model;
  r->status = wn_model_load_bytes(ctx, m->bytes.data, m->bytes.len, &model_options, &model);
  snprintf(r->message, sizeof r->message, "%s", wn_message(ctx));
  if (r->status != WN_OK) return;
  wn_model_info info = WN_MODEL_INFO();
  if (wn_model_get_info(model, &info) == WN_OK) r->count = info.outputs;
  for (int i = 0; i < r->count; ++i) r->value[i] = WN_VALUE();
  r->status = wn_model_outputs(model, &in, 1, r->value);
  for (int i = 0; r->status == WN_OK && i < r->count; ++i) {
    int64_t n = 1;
    for (int k = 0; k < r->value[i].ndim; ++k) n *= r->value[i].shape[k];
    r->value[i].name = NULL;
    r->value[i].bytes = sizeof(float) * (size_t)n;
    r->value[i].data = arena_array(m->a, float, n + 1);
    memset(r->value[i].data, 0xff, r->value[i].bytes);
  }
  if (r->status == WN_OK) r->status = wn_model_run(model, &in, 1, r->value, r->count);
  snprintf(r->message, sizeof r->message, "%s", wn_model_message(model));
  wn_model_destroy(model);
}

static bool same_shape(const wn_value *v, const drawn_value *said) {
  bool same = v->dtype == WN_F32 && v->ndim == said->nd;
  for (int i = 0; same && i < v->ndim; ++i) same = v->shape[i] == said->shape[i];
  return same;
}

static double distance(const wn_value *got, const wn_value *want) {
  const float *x = got->data, *y = want->data;
  const int64_t n = (int64_t)(got->bytes / sizeof(float));
  double error = 0, size = (double)n;
  for (int64_t i = 0; i < n; ++i) {
    error += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    size += (double)y[i] * y[i];
  }
  return sqrt(error / size);
}

typedef struct model_case {
  uint64_t seed;
  char *running;
} model_case;

static int complain_of(const drawn_model *m, uint64_t seed, const wn_options *o, const char *what,
                       double by) {
  print_message("# %s (%g): plan %s, %d threads, opset %d:%s, WINNOW_SEED=%" PRIu64 "\n", what, by,
                o->plan, o->threads, m->opset, m->text.data, seed);
  return 1;
}

static int compare_results(const drawn_model *m, uint64_t seed, const wn_options *o,
                           const results *got, const results *want) {
  int wrong = 0, at = 0;
  for (int i = 1; i < m->count; ++i) {
    if (m->value[i].read) continue;
    const wn_value *v = &got->value[at], *w = &want->value[at++];
    if (at > got->count || !same_shape(v, &m->value[i]) || !same_shape(w, &m->value[i])) {
      wrong += complain_of(m, seed, o, "another shape", at - 1);
      continue;
    }
    const double error = distance(v, w);
    if (!(error <= TOLERANCE)) wrong += complain_of(m, seed, o, "wrong", error);
  }
  return wrong;
}

/* A plan drawn, and auto. */
static int try_models(arena *a, wn_context *ctx, model_case *c) {
  uint64_t random = c->seed;
  drawn_model *m = arena_new(a, drawn_model);
  results *want = arena_new(a, results), *got = arena_new(a, results);
  draw_model(m, a, &random);
  snprintf(c->running, RUNNING, "opset %d:%.800s, WINNOW_SEED=%" PRIu64, m->opset, m->text.data,
           c->seed);
  int64_t n = 1;
  for (int i = 0; i < m->value[0].nd; ++i) n *= m->value[0].shape[i];
  float *x = random_values(&random, n);
  const wn_options exact = WN_OPTIONS(.backend = "interp", .plan = "direct", .threads = 1);
  run_model(want, ctx, m, x, &exact);
  int wrong = 0, plans = 0;
  if (want->status != WN_OK) wrong += complain_of(m, c->seed, &exact, want->message, want->status);
  while (wn_plan_names()[plans] != NULL) ++plans;
  for (int i = 0; i < 2 && wrong == 0; ++i) {
    const char *plan = i == 0 ? "auto" : wn_plan_names()[below(&random, plans)];
    const wn_options o =
        WN_OPTIONS(.plan = plan, .threads = (int)between(&random, 1, 3), .no_cache = 1);
    run_model(got, ctx, m, x, &o);
    if (got->status == WN_ERR_REFUSED && i > 0) continue;
    if (got->status != WN_OK)
      wrong += complain_of(m, c->seed, &o, got->message, got->status);
    else
      wrong += compare_results(m, c->seed, &o, got, want);
  }
  free(x);
  return wrong;
}

static int try_seed(void *user) {
  diag d;
  arena a;
  wn_context *ctx;
  wn_status st;
  volatile int wrong = 1;
  diag_init(&d);
  arena_init(&a, &d);
  if (wn_context_create(&ctx) != WN_OK) return 1;
  wn_on_warning(ctx, ignore_warning, NULL);
  DIAG_TRY(&d, st) { wrong = try_models(&a, ctx, user); }
  DIAG_END(&d, st)
  if (st != WN_OK) print_message("# %s\n", d.message);
  wn_context_destroy(ctx);
  arena_release(&a);
  return wrong;
}

static void random_models(void **state) {
  model_case c = {.seed = test_seed(), .running = *state};
  const double limit = getenv("WINNOW_SECONDS") != NULL ? atof(getenv("WINNOW_SECONDS"))
                       : getenv("WINNOW_LONG")          ? 600
                       : in_part()                      ? 2
                                                        : 4;
  const double end = seconds_now() + limit;
  int failures = 0, count = 0;
  for (; (count == 0 || seconds_now() < end) && failures < 20; ++count, ++c.seed)
    failures += in_process("a random model", try_seed, &c, c.running);
  print_message("# %d models\n", count);
  assert_int_equal(failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_models)};
  return cmocka_run_group_tests_name("random models", tests, share_text, unshare_text);
}
