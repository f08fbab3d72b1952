/* Tuning a graph: each distinct layer once.
 *
 * In: tensors and data. Out: for every stored value with a convolution or a product, once for those that are alike, the
 * fastest plan in the store, by which any graph with such a layer finds it. A graph of one layer is searched as it is,
 * on the caller's data; layers of a larger one are taken out of it (tune/layer.h), each with its share of the time, and
 * at the end the whole is run with what was found and without. */
#include <math.h>

#include "base/fpenv.h"
#include "base/sized.h"
#include "decide/decide.h"
#include "pipeline.h"
#include "tune/layer.h"
#include "tune/race.h"
#include "tune/tune.h"

static const double SECONDS = 10; /* unless told otherwise: see tune.c */

typedef struct tuning {
  wn_context *ctx;
  wn_tensor *const *outs;
  void *const *data;
  int count;
  const wn_options *opt;
  const wn_tune_options *how;
  compiled_graph *p; /* that has the sites, and no code */
  const site_list *sites;
  double passing; /* bytes of weights that the graph reads of which this is a layer; 0: it is all */
} tuning;

/* --- one layer -------------------------------------------------------------------------------- */

/* The site that a layer is tuned by: its first convolution or product, else whatever there is. */
static int site_to_tune(const site_list *sites) {
  for (site_kind kind = SITE_CONV; kind <= SITE_PRODUCT; ++kind) {
    for (int i = 0; i < sites->n; ++i) {
      if (sites->at[i].kind == kind) return i;
    }
  }
  return 0;
}

static void describe(const tuning *t, tune_subject *subject) {
  enum { CANDIDATES = 64 };
  graph *g = &t->p->graph;
  t->p->store = store_open(&t->p->diag, t->opt->no_cache != 0);
  const deciding d = {
      .ctx = t->ctx, .opt = t->opt, .p = t->p, .g = g, .passing = t->passing, .last = true};
  const choice_target *target = decide_target(&d, t->sites);
  compiled_close_store(t->p);
  int site = site_to_tune(t->sites), value = t->sites->at[site].value;
  candidate *list = arena_array(&g->arena, candidate, CANDIDATES);
  *subject =
      (tune_subject){.key = decide_key(&d, t->sites, value, target),
                     .candidate = list,
                     .count = (int)choose_candidates(g, t->sites, site, target, list, CANDIDATES),
                     .sizes.lanes = target->machine->vector_bytes / (int)sizeof(float),
                     .passing = decide_between(&d, t->sites, value, target),
                     .last_cache = target->machine->l3,
                     .threads = runtime_threads(t->p->rt)};
  if (t->sites->at[site].kind != SITE_CONV) return;
  wino_options w = {.math = t->opt->math, .off = true};
  const stored_value *v = &t->sites->value[value];
  wino_conv conv = wino_survey_conv(g, v->canonical, v->conv[site - v->first], &w);
  subject->sizes.K = conv.K;
  subject->sizes.C = conv.C;
}

static wn_status tune_layer(const tuning *t, wn_tune_result *result) {
  diag *d = &t->p->diag;
  tune_subject subject;
  volatile wn_status st;
  DIAG_TRY(d, st) describe(t, &subject);
  DIAG_END(d, st)
  if (st != WN_OK) return diag_set(&t->ctx->diag, st, "%s", d->message);
  return tune_search(t->ctx, t->outs, t->data, t->count, t->opt, t->how, &subject, result);
}

/* --- several ---------------------------------------------------------------------------------- */

static bool is_tuned(const site_list *sites, int value) {
  const stored_value *v = &sites->value[value];
  return v->alike == value && !value_is_cat(v) && sites->at[v->first].kind <= SITE_PRODUCT;
}

static int count_layers(const site_list *sites) {
  int n = 0;
  for (int v = 0; v < sites->nvalues; ++v) n += is_tuned(sites, v);
  return n;
}

static void add_layer(wn_tune_result *all, const wn_tune_result *one) {
  all->measured += one->measured;
  all->places += one->places;
  all->error = fmax(all->error, one->error);
  all->sum_error = fmax(all->sum_error, one->sum_error);
  all->stopped |= one->stopped;
  if (!one->stored && all->not_stored == NULL) all->not_stored = one->not_stored;
}

static wn_status tune_tensors(tuning *t, wn_tune_result *found);

/* With its weights as cold as they are in the graph. */
static wn_status tune_one_of(const tuning *t, int value, double seconds, wn_tune_result *all) {
  layer l = {NULL, NULL, NULL};
  diag *d = &t->p->diag;
  wn_tune_options how = *t->how;
  wn_tune_result one = WN_TUNE_RESULT();
  volatile wn_status st;
  how.seconds = seconds;
  DIAG_TRY(d, st) layer_make(&l, &t->p->graph, t->sites, value, t->ctx);
  DIAG_END(d, st)
  if (st != WN_OK) {
    diag_set(&t->ctx->diag, st, "%s", d->message);
  } else {
    tuning alone = {l.ctx, &l.out, &l.data, 1, t->opt, &how, .passing = t->passing};
    st = tune_tensors(&alone, &one);
    if (st != WN_OK) diag_set(&t->ctx->diag, st, "a layer of the graph: %s", wn_message(l.ctx));
  }
  if (st == WN_OK && one.not_stored != NULL)
    one.not_stored = intern_string(&t->ctx->graph, one.not_stored);
  layer_destroy(&l);
  if (st == WN_OK) add_layer(all, &one);
  return st;
}

static bool never(void *user) {
  (void)user;
  return false;
}

static wn_status open_runner(const tuning *t, bool untuned, runner *r) {
  wn_options o = *t->opt;
  o.untuned = untuned;
  wn_status st = wn_compile(t->ctx, t->outs, t->data, t->count, &o, &r->program);
  if (st == WN_OK) st = wn_run(r->program);
  return st == WN_OK ? race_enter(r) : st;
}

static const char *placement_of(const tuning *t, const runner *r) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(r->program, &info);
  return intern_string(&t->ctx->graph, info.placement);
}

/* The whole graph with what was found and with what auto picks by itself, side by side. */
static wn_status compare_whole(const tuning *t, wn_tune_result *result) {
  runner tuned = {.program = NULL}, untuned = {.program = NULL};
  runner *const both[] = {&tuned, &untuned};
  race_pin pin;
  race_pin_thread(&pin, runtime_threads(t->p->rt));
  wn_status st = open_runner(t, false, &tuned);
  if (st == WN_OK) st = open_runner(t, true, &untuned);
  if (st == WN_OK) race(both, 2, never, NULL);
  race_unpin(&pin);
  if (st == WN_OK) {
    result->plan = placement_of(t, &tuned);
    result->plan_us = tuned.us;
    result->untuned = placement_of(t, &untuned);
    result->untuned_us = untuned.us;
  }
  wn_program_destroy(tuned.program);
  wn_program_destroy(untuned.program);
  return st;
}

static wn_status tune_layers(tuning *t, int layers, wn_tune_result *result) {
  const deciding d = {.ctx = t->ctx,
                      .opt = t->opt,
                      .p = t->p,
                      .g = &t->p->graph,
                      .passing = t->passing,
                      .last = true};
  t->passing = decide_passing(&d, t->sites);
  double start = race_now(), all = t->how->seconds > 0 ? t->how->seconds : SECONDS;
  wn_status st = WN_OK;
  for (int v = 0; v < t->sites->nvalues && st == WN_OK && !result->stopped; ++v) {
    if (is_tuned(t->sites, v)) st = tune_one_of(t, v, all / layers, result);
  }
  result->stored = st == WN_OK && result->not_stored == NULL;
  if (st == WN_OK && !result->stopped) st = compare_whole(t, result);
  result->seconds = (race_now() - start) * 1e-6;
  return st;
}

static wn_status tune_all(tuning *t, wn_tune_result *result) {
  int layers = count_layers(t->sites);
  if (t->sites->n == 0)
    return diag_set(&t->ctx->diag, WN_ERR_USAGE,
                    "wn_tune: no output has elements: nothing is computed");
  result->backend = runtime_backend(t->p->rt);
  result->isa = runtime_machine(t->p->rt)->name;
  result->threads = runtime_threads(t->p->rt);
  return layers > 1 ? tune_layers(t, layers, result) : tune_layer(t, result);
}

static wn_status tune_tensors(tuning *t, wn_tune_result *found) {
  wn_status st = pipeline_survey(t->ctx, t->outs, t->data, t->count, t->opt, &t->p, &t->sites);
  if (st == WN_OK) st = tune_all(t, found);
  compiled_release(t->p);
  return st;
}

/* --- the public function ---------------------------------------------------------------------- */

static wn_status check_tune(wn_context *ctx, const wn_options *o, const wn_tune_options *tune) {
  if (!(tune->seconds >= 0))
    return diag_set(&ctx->diag, WN_ERR_USAGE, "wn_tune_options.seconds must be above 0 (0: 10)");
  if (tune->candidates < 0)
    return diag_set(&ctx->diag, WN_ERR_USAGE,
                    "wn_tune_options.candidates must be at least 1 (0: 8), not %d",
                    tune->candidates);
  if (o->wino != NULL || (o->plan != NULL && strcmp(o->plan, "auto") != 0))
    return diag_set(&ctx->diag, WN_ERR_USAGE,
                    "wn_tune chooses the plan: options.plan and wino are set");
  return WN_OK;
}

wn_status wn_tune(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                  const wn_options *options, const wn_tune_options *tune, wn_tune_result *result) {
  wn_options o;
  wn_tune_options how;
  wn_tune_result found = WN_TUNE_RESULT();
  const char *why = sized_out(&sized_tune_result, result, NULL);
  if (why == NULL) why = sized_in(&sized_tune_options, &how, tune);
  wn_status st = pipeline_options(ctx, options, &o);
  if (st == WN_OK && why != NULL) st = diag_set(&ctx->diag, WN_ERR_USAGE, "%s", why);
  if (st == WN_OK) st = check_tune(ctx, &o, &how);
  if (st != WN_OK) return st;
  tuning t = {.ctx = ctx, .outs = outs, .data = data, .count = count, .opt = &o, .how = &how};
  fenv_t fp;
  fp_enter(&fp);
  st = tune_tensors(&t, &found);
  if (st == WN_OK) sized_out(&sized_tune_result, result, &found);
  fp_leave(&fp);
  return st;
}
