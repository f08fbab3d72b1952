/* Deciding; see decide.h. */
#include "decide/decide.h"

#include <math.h>
#include <stdlib.h>

#include "program/import.h"
#include "backend/element.h"
#include "plan/flow.h"
#include "plan/joins.h"
#include "plan/pooled.h"
#include "measure/measure_device.h"
#include "decide/tuned_plans.h"

/* --- what there is ---------------------------------------------------------------------------- */

/* What constants hold at this moment. Variable weights, and those that are not there yet, are not looked at. */
static bool is_known(void *user, int64_t slot) {
  const tensor_buffer *b = &((const wn_context *)user)->buffers.data[slot];
  return b->constant && b->data != NULL;
}

static double constant_value(void *user, int64_t slot, int64_t index) {
  const tensor_buffer *b = &((const wn_context *)user)->buffers.data[slot];
  return element_read(b->dtype, b->data, index);
}

static const wino_weights *look_at_weights(const deciding *d) {
  if (d->opt->variable_weights) return NULL;
  wino_weights *w = arena_new(&d->g->arena, wino_weights);
  *w = (wino_weights){is_known, constant_value, d->ctx};
  return w;
}

/* --- weights that pass ------------------------------------------------------------------------ */

/* Bytes of the constants that a value reads: the caller's, and what was prepared of them; those that were seen left
 * out, where that is noted. */
static double weights_of(const deciding *d, const site_list *sites, int value, bool *seen) {
  const stored_value *v = &sites->value[value];
  const int slots = (int)d->ctx->buffers.len;
  double bytes = 0;
  for (int k = 0; k < v->narrays && !v->constant; ++k) {
    const int from = v->array[k], at = from >= 0 ? from : slots + ~from;
    const tensor_buffer *b = from >= 0 ? &d->ctx->buffers.data[from] : NULL;
    const stored_value *made = from >= 0 ? NULL : &sites->value[~from];
    if (!(b != NULL ? b->constant : made->constant) || (seen != NULL && seen[at])) continue;
    if (seen != NULL) seen[at] = true;
    bytes += b != NULL ? (double)b->count * (double)wn_dtype_size(b->dtype)
                       : (double)made->len * (double)wn_dtype_size(value_dtype(made));
  }
  return bytes;
}

double decide_passing(const deciding *d, const site_list *sites) {
  double bytes = 0;
  bool *seen = arena_array(&d->g->arena, bool, d->ctx->buffers.len + (size_t)sites->nvalues + 1);
  for (int v = 0; v < sites->nvalues; ++v) bytes += weights_of(d, sites, v, seen);
  return fmax(bytes, d->passing);
}

double decide_between(const deciding *d, const site_list *sites, int value,
                      const choice_target *target) {
  const double own = weights_of(d, sites, value, NULL);
  return cost_is_cold(target->machine, target->passing, own) ? cost_between(target->passing, own)
                                                             : 0;
}

/* --- the target ------------------------------------------------------------------------------- */

/* Where no limit was given, the machine's memory is one, or the device's: what does not fit there would not fail but be
 * killed. */
static size_t memory_limit(const deciding *d) {
  size_t device = runtime_machine(d->p->rt)->memory;
  if (d->opt->max_memory > 0) return d->opt->max_memory;
  return device > 0 ? device : mem_physical();
}

static choice_target *describe_target(const deciding *d, const site_list *sites) {
  arena *a = &d->g->arena;
  machine *m = arena_copy(a, runtime_machine(d->p->rt), sizeof *m);
  machine_limits *limits = arena_new(a, machine_limits);
  *limits = machine_limits_of(d->p->store, a, d->p->rt);
  wn_options *with = arena_copy(a, d->opt, sizeof *with);
  with->max_memory = memory_limit(d);
  m->limits = limits;
  choice_target *t = arena_new(a, choice_target);
  *t = (choice_target){.machine = m,
                       .options = with,
                       .threads = runtime_threads(d->p->rt),
                       .windows = d->ctx->windows,
                       .passing = decide_passing(d, sites)};
  return t;
}

const choice_target *decide_target(const deciding *d, const site_list *sites) {
  choice_target *t = describe_target(d, sites);
  t->weights = look_at_weights(d);
  return t;
}

/* --- what was asked for ----------------------------------------------------------------------- */

bool decide_is_auto(const wn_options *opt) {
  const char *env = getenv("WINO");
  if (opt->wino != NULL) return false;
  return opt->plan != NULL ? strcmp(opt->plan, "auto") == 0 : env == NULL || *env == '\0';
}

/* Was neither a plan nor a tile asked for that is to be taken whether it pays or not? */
static bool is_ours(const wn_options *opt) {
  if (opt->plan != NULL) return strcmp(opt->plan, "auto") == 0;
  return opt->wino != NULL || decide_is_auto(opt);
}

/* --- what was tuned --------------------------------------------------------------------------- */

static const char *key_of(const deciding *d, const site_list *sites, int value) {
  const stored_value *v = &sites->value[value];
  bool *constant = arena_array(&d->g->arena, bool, v->narrays + 1);
  for (int i = 0; i < v->narrays && !d->opt->variable_weights; ++i) {
    int from = v->array[i];
    constant[i] = from >= 0 ? d->ctx->buffers.data[from].constant : sites->value[~from].constant;
  }
  return plans_key(d->g, v->canonical, constant, d->p->rt, d->opt);
}

const char *decide_key(const deciding *d, const site_list *sites, int value,
                       const choice_target *target) {
  return plans_key_cold(&d->g->arena, key_of(d, sites, value),
                        decide_between(d, sites, value, target) > 0);
}

/* What was measured as things are here, else what was not. */
static tuned_plan find_tuned(const deciding *d, const site_list *sites, int value,
                             const choice_target *target) {
  arena *a = &d->g->arena;
  const char *key = key_of(d, sites, value);
  const bool cold = decide_between(d, sites, value, target) > 0;
  stored_plan plan;
  for (int other = 0; other < 2; ++other) {
    const bool as = cold != (other > 0);
    if (plans_get(d->p->store, &d->p->diag, a, plans_key_cold(a, key, as), &plan))
      return (tuned_plan){plan.text, as, other > 0};
  }
  return (tuned_plan){NULL, false, false};
}

/* By stored value, once for those that are alike. */
static const tuned_plan *look_up_tuned(const deciding *d, const site_list *sites,
                                       const choice_target *target) {
  tuned_plan *text = arena_array(&d->g->arena, tuned_plan, sites->nvalues + 1);
  for (int v = 0; v < sites->nvalues; ++v) {
    const stored_value *of = &sites->value[v];
    if (value_is_cat(of) || sites->at[of->first].kind > SITE_PRODUCT) continue;
    text[v] = of->alike < v ? text[of->alike] : find_tuned(d, sites, v, target);
  }
  return text;
}

/* --- carrying it out -------------------------------------------------------------------------- */

typedef struct attempt {
  const deciding *d;
  decision *out;
  fit_limit limit;
  bool ours, fewer;             /* the plan is ours to choose; fewer threads were tried for it */
  const site_list *whole;       /* the sites before sums were in two, */
  const site_list *apart;       /* and before any were joined; */
  uint32_t nodes, before, bare; /* nodes there are after that, before it, and before sums were */
  bool joined;                  /* some because that is predicted to pay */
} attempt;

const char *decide_smallest(graph *g, const decision *d) {
  str smallest;
  str_init(&smallest, &g->arena);
  plan_print(&smallest, &d->choice.plan, d->choice.sites);
  return str_text(&smallest);
}

static _Noreturn void refuse_memory(const attempt *t) {
  const deciding *d = t->d;
  const choice *ch = &t->out->choice;
  const size_t own = t->out->fit.least;
  const bool before = d->least > 0 && d->least < own;
  bool asked = d->opt->max_memory > 0;
  diag_fail(
      &d->p->diag, asked || d->opt->plan_only ? WN_ERR_REFUSED : WN_ERR_NOMEM,
      "plan %.200s needs at least %zu bytes of workspace and prepared weights (%.200s), %s %zu%s",
      ch->name, before ? d->least : own, before ? d->smallest : decide_smallest(d->g, t->out),
      asked ? "the limit is" : "there are", memory_limit(d), asked ? " (--max-memory)" : "");
}

static void join_sites(attempt *t) {
  fitting *f = &t->out->fit;
  site_list *joined = arena_new(&t->d->g->arena, site_list);
  int site;
  *joined = sites_join(f->g, t->apart, &t->out->choice.plan, t->out->target->machine, &site);
  f->sites = joined;
  t->nodes = f->g->count;
}

/* Partial sums as the plan says. */
static void pool_sites(attempt *t) {
  graph *g = t->d->g;
  site_list *apart = arena_new(&g->arena, site_list);
  *apart = sites_pool(g, t->whole, &t->out->choice.plan, t->out->target->machine);
  t->apart = apart;
  t->before = g->count;
}

static void forget_parts(attempt *t, uint32_t nodes) {
  fitting *f = &t->out->fit;
  const size_t parts = (size_t)f->sites->nvalues * sizeof *f->of;
  graph_rewind(f->g, nodes);
  memset(f->store.of, 0, parts);
  memset(f->of, 0, parts);
}

/* The sum whose partial sums the kernel of this site makes, or -1. */
static int sum_made_by(const attempt *t, int site) {
  const graph_plan *p = &t->out->choice.plan;
  for (int i = 0; site >= 0 && i < p->n; ++i) {
    const int from = p->site[i].sums - 1;
    if (from >= 0 && t->whole->at[from].value == t->whole->at[site].value) return i;
  }
  return -1;
}

/* A kernel cannot make the partial sums that it was thought to: the sum reads it all. */
static bool sum_apart(attempt *t, int sum) {
  choice *c = &t->out->choice;
  if (sum < 0 || c->source[sum] != PLAN_CHOOSE) return false;
  c->plan.site[sum].sums = 0;
  forget_parts(t, t->bare);
  pool_sites(t);
  join_sites(t);
  return true;
}

/* Joined values are alive together: apart, each goes when it was read. */
static bool take_apart(attempt *t) {
  choice *c = &t->out->choice;
  if (!t->joined) return false;
  for (int i = 0; i < c->plan.n; ++i)
    if (c->source[i] == PLAN_CHOOSE) c->plan.site[i].with = 0;
  forget_parts(t, t->before);
  t->joined = false;
  join_sites(t);
  return true;
}

static void run_on(attempt *t, int threads) {
  compiled_graph *p = t->d->p;
  const wn_options *opt = t->d->opt;
  runtime_destroy(p->rt);
  p->rt = NULL;
  p->rt = (t->d->dry ? runtime_create_foreign : runtime_create)(&p->diag, opt->backend, opt->isa,
                                                                threads);
  if (opt->flush_subnormals) runtime_flush_subnormals(p->rt);
  t->limit.threads = runtime_scratch_blocks(p->rt);
  choose_unshrink(&t->out->choice);
}

/* What threads need each for themselves does not fit: another plan would give other bits, fewer threads do not. */
static bool run_fewer(attempt *t) {
  if (!t->ours || t->limit.threads <= 1 || runtime_has_device(t->d->p->rt)) return false;
  run_on(t, t->limit.threads / 2);
  t->fewer = true;
  return true;
}

/* Another plan: all threads may have room again. */
static bool try_all_threads(attempt *t) {
  if (t->fewer) run_on(t, t->d->opt->threads);
  t->fewer = false;
  return true;
}

static bool try_next(attempt *t, int site, bool smaller) {
  return site >= 0 && choose_next(&t->out->choice, site, smaller) && try_all_threads(t);
}

static void warn_untuned(const attempt *t, int site, const char *why) {
  str text;
  str_init(&text, &t->d->g->arena);
  schedule_print(&text, &t->out->choice.plan.site[site]);
  diag_warn(&t->d->p->diag, "the tuned plan \"%.200s\" is not used: %s", str_text(&text), why);
}

/* False: it was refused or does not fit, and something else is to be tried; or unwinds. True without a set: nothing fits,
 * and it is not for us to say so. */
static bool try_plan(attempt *t) {
  diag *d = &t->d->p->diag;
  decision *out = t->out;
  volatile wn_status st;
  out->fit.value = -1;
  out->set = NULL;
  DIAG_TRY(d, st) out->set = schedule_fit(&out->fit, &out->choice);
  DIAG_END(d, st)
  if (out->set != NULL) return true;
  if (st == WN_OK && out->fit.lightened) return !try_all_threads(t);
  const char *why = arena_strdup(&t->d->g->arena, d->message);
  int site = st == WN_OK ? out->fit.holder : fit_refused(&out->fit);
  if (st != WN_OK && st != WN_ERR_REFUSED) diag_fail(d, st, "%s", why);
  if (st == WN_OK && (take_apart(t) || run_fewer(t))) return false;
  const int sum = st == WN_ERR_REFUSED ? sum_made_by(t, site) : -1;
  if (sum_apart(t, sum)) return false;
  if (site >= 0 && choose_is_tuned(&out->choice, site))
    warn_untuned(t, site, st == WN_OK ? "it does not fit into memory" : why);
  /* with another plan that sum would have other bits, and which it is depends on the number of threads */
  if (sum < 0 && try_next(t, site, st == WN_OK)) return false;
  if (st == WN_OK && fit_lighten_all(&out->fit, &out->choice)) return !try_all_threads(t);
  if (st == WN_OK && t->d->last) refuse_memory(t);
  if (st == WN_OK) return try_all_threads(t); /* nothing is carried out */
  bool whose = site >= 0 && (out->choice.sites->n > 1 || out->choice.sites->at[site].name != NULL);
  if (whose)
    why = arena_printf(&t->d->g->arena, "%s: %s",
                       site_text(&t->d->g->arena, out->choice.sites, site), why);
  diag_fail(d, st, "%s", why);
}

static void say_nothing(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* What was tried before is in the order of the nodes that are left: without it, so that a plan is one program however
 * it was come by. Everything to be warned of was. */
static void make_again(attempt *t) {
  fitting *f = &t->out->fit;
  diag *d = &t->d->p->diag;
  wn_warning_fn warn = d->warn;
  int warnings = d->warnings;
  forget_parts(t, t->nodes);
  d->warn = say_nothing;
  t->out->set = schedule_fit(f, &t->out->choice);
  d->warn = warn;
  d->warnings = warnings;
  WN_CHECK(t->out->set != NULL, "what fitted does not: %s", t->out->choice.name);
}

/* Where nothing is left of some values: they are computed by what reads them. */
static const site_list *inline_sites(graph *g, const site_list *sites, const choice *ch,
                                     const user_buffer *user) {
  bool *inlined = arena_array(&g->arena, bool, sites->n + 1), any = false;
  for (int i = 0; i < sites->n; ++i) any |= inlined[i] = ch->plan.site[i].inlined;
  if (!any) return sites;
  site_list *left = arena_new(&g->arena, site_list);
  *left = sites_inline(g, sites, user, inlined);
  return left;
}

/* What cannot be said of such a site follows from what can. */
static void trim(schedule *s, site_kind kind) {
  if (kind == SITE_CONV) s->lanes = s->regs = VALUE_LOOP_CHOSEN, s->nlanes = 0;
  if (kind > SITE_PRODUCT) s->v = 0;
  if (kind == SITE_MAP) s->t[0] = s->k[0] = 0, s->chains = 0;
}

/* Of layers that take turns all but the last. */
static void say_bands(graph_plan *p, const kernel_set *set) {
  for (size_t b = 0; b < set->bands.len; ++b) {
    const band_group *group = &set->bands.data[b];
    for (int k = group->first; k + 1 < group->end; ++k)
      p->site[set->kernels.data[k].first_site].bands = group->rounds;
  }
}

/* Of sets of sites each, and what is said to be in none. */
static void say_sides(graph_plan *p, const kernel_set *set, const int *said) {
  for (int i = 0; i < p->n; ++i)
    if (said[i] == SIDE_ALONE && !p->site[i].inlined && p->site[i].with == 0)
      p->site[i].side = SIDE_ALONE;
  for (size_t k = 0; k < set->kernels.len; ++k)
    if (set->kernels.data[k].side > 0)
      p->site[set->kernels.data[k].first_site].side = set->kernels.data[k].side;
}

/* The plan with what nests were made from. */
static graph_plan complete_plan(graph *g, const fitting *f, const choice *ch,
                                const kernel_set *set) {
  size_t size = (size_t)ch->plan.n * sizeof *ch->plan.site;
  graph_plan p = {ch->plan.n, arena_copy(&g->arena, ch->plan.site, size)};
  for (int i = 0; i < p.n; ++i) {
    if (p.site[i].inlined) continue;
    const int value = f->sites->at[i].value, with = p.site[i].with;
    const stored_value *v = &f->sites->value[value];
    if (with > 0) continue; /* it has what that has */
    const int sums = p.site[i].sums;
    p.site[i] = f->of[value]->set->plan[i - v->first];
    p.site[i].sums = sums;
    trim(&p.site[i], f->sites->at[i].kind);
    p.site[i].layout = v->layout;
  }
  say_bands(&p, set);
  say_sides(&p, set, ch->around.sides);
  return p;
}

static const char *trace_of(graph *g, const fitting *f) {
  str trace;
  str_init(&trace, &g->arena);
  for (int v = 0; v < f->sites->nvalues; ++v) {
    if (f->sites->value[v].alike == v) str_add(&trace, f->of[v]->w.trace);
  }
  return str_text(&trace);
}

decision decide(const deciding *d, const site_list *sites) {
  decision out = {.target = NULL};
  arena *a = &d->g->arena;
  attempt t = {.d = d, .out = &out, .ours = is_ours(d->opt)};
  choice_target *target = describe_target(d, sites);
  out.target = target;
  if (t.ours) target->weights = look_at_weights(d);
  if (d->p->store != NULL && decide_is_auto(d->opt) && !d->opt->untuned)
    target->tuned = look_up_tuned(d, sites, target);
  t.limit = (fit_limit){target->options->max_memory, runtime_scratch_blocks(d->p->rt)};
  out.choice = choose_plan(d->g, sites, target);
  fitting *f = &out.fit;
  *f = (fitting){.g = d->g,
                 .target = target,
                 .limit = &t.limit,
                 .nuser = (int)d->ctx->buffers.len,
                 .user = import_describe(d->ctx, d->g)};
  products_flow(d->g, sites, f->user, out.choice.source, &out.choice.plan, target->machine);
  t.whole = inline_sites(d->g, sites, &out.choice, f->user);
  pooled_choose(d->g, t.whole, out.choice.source, &out.choice.plan, target->machine);
  t.bare = d->g->count;
  pool_sites(&t);
  t.joined = joins_choose(d->g, t.apart, out.choice.source, &out.choice.plan, target->machine);
  join_sites(&t);
  f->store.of = arena_array(a, part *, f->sites->nvalues + 1);
  f->of = arena_array(a, part *, f->sites->nvalues + 1);
  while (!try_plan(&t)) continue;
  if (out.set == NULL) return out;
  if (f->rounds > 1) make_again(&t);
  f->limit = NULL;
  out.complete = complete_plan(d->g, f, &out.choice, out.set);
  out.trace = trace_of(d->g, f);
  out.choice.tuned = TUNED_NOT;
  for (int i = 0; i < sites->n; ++i) {
    const tuned_source source = choose_is_tuned(&out.choice, i);
    if (source > out.choice.tuned) out.choice.tuned = source;
  }
  out.by_stage = arena_alloc(a, sizeof *out.by_stage * (size_t)(sites->n + 1));
  out.choice.seconds = choose_predict(d->g, &out.choice, target, out.by_stage);
  return out;
}
