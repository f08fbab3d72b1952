/* Forecasts; see forecast.h.
 *
 * The model counts by site and stage, and adds a stage that is computed inside another's kernel to that kernel. Nests
 * carry the site and the stage whose value they store, which is how each of these sums finds its kernel. */
#include "decide/forecast.h"

#include <math.h>
#include <stdlib.h>

enum { CANDIDATES = 64, KINDS = 4, SHOWN_SITES = 3 };

/* --- kernels ---------------------------------------------------------------------------------- */

/* The run kernel of a site's stage, or (STAGE_COUNT) of its stored value; -1: there is none. */
typedef struct kernel_index {
  int (*at)[STAGE_COUNT + 1];
} kernel_index;

static kernel_index index_kernels(graph *g, const kernel_set *set, int nsites) {
  kernel_index x = {arena_alloc(&g->arena, sizeof *x.at * (size_t)(nsites + 1))};
  for (int i = 0; i < nsites; ++i) {
    for (int j = 0; j <= STAGE_COUNT; ++j) x.at[i][j] = -1;
  }
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const nest_kernel *kp = &set->kernels.data[k];
    for (int r = 0; r < kp->nroots && !kp->prepare; ++r) {
      const nest_store *s = &kp->root[r]->store[0];
      if (s->site >= 0) x.at[kernel_site(kp, s->site)][s->id] = (int)k;
    }
  }
  return x;
}

static void add_kernel(double *kernel, int k, double seconds) {
  if (k >= 0 && seconds > 0) kernel[k] = (isnan(kernel[k]) ? 0 : kernel[k]) + seconds;
}

forecast forecast_program(graph *g, const choice *c, const choice_target *target, const char *trace,
                          const kernel_set *set) {
  double *kernel = arena_array(&g->arena, double, set->kernels.len + 1);
  for (size_t k = 0; k < set->kernels.len; ++k) kernel[k] = (double)NAN;
  forecast f = {.choice = *c, .target = *target, .trace = trace, .kernel = kernel};
  int n = c->sites->n;
  double(*by_stage)[STAGE_COUNT] = arena_alloc(&g->arena, sizeof *by_stage * (size_t)(n + 1));
  f.by_stage = by_stage;
  choose_predict(g, c, target, by_stage);
  kernel_index x = index_kernels(g, set, n);
  for (int i = 0; i < n; ++i) {
    for (stage_id id = STAGE_X; id < STAGE_COUNT && c->conv[i] >= 0; ++id) {
      int k = x.at[i][id];
      /* an output transform, and a convolution that is not rewritten, is part of the stored value */
      if (id == STAGE_O && k < 0)
        k = x.at[c->sites->value[c->sites->at[i].value].first][STAGE_COUNT];
      if (isfinite(by_stage[i][id])) add_kernel(kernel, k, by_stage[i][id]);
    }
  }
  return f;
}

/* --- variants --------------------------------------------------------------------------------- */

static bool is_staged(const schedule *s) {
  return schedule_is_inside(s, STAGE_X) || schedule_is_inside(s, STAGE_M);
}

static bool is_whole(const schedule *s, stage_id id) {
  return s->stage[id].space == SPACE_GLOBAL && !schedule_is_inside(s, id);
}

/* A size is that of a block where something is staged, else of a register tile: what no longer says what it said is
 * left to the machine. So are channels in the lanes where a transform is inlined, and a host loop goes where there is
 * no array any more for it to cut. */
static void settle(schedule *s, const schedule *was) {
  const bool t_was = is_staged(was), t_is = is_staged(s);
  const bool k_was = schedule_is_inside(was, STAGE_M), k_is = schedule_is_inside(s, STAGE_M);
  if (t_was != t_is) s->t[0] = t_was ? s->t[1] : 0, s->t[1] = 0;
  if (k_was != k_is) s->k[0] = k_was ? s->k[1] : 0, s->k[1] = 0;
  for (int id = STAGE_X; id < STAGE_O; ++id) {
    if (!is_whole(s, (stage_id)id)) s->chunk = 0;
    if (schedule_is_inlined(s, (stage_id)id) && !schedule_is_inlined(was, (stage_id)id) &&
        s->v == 'k')
      s->v = 0;
  }
  if (schedule_is_inside(s, STAGE_O)) s->chunk = 0;
}

typedef struct listing {
  graph *g;
  const forecast *f;
  int site;          /* whose schedule is varied */
  const char *whose; /* "conv3 " before the change, where there are others; "" */
  const schedule *now;
  wino_survey all; /* the site's convolution with every tile that keeps the promise */
  cost_target target;
  variant_list *out;
} listing;

static void add(const listing *l, const char *change, const schedule *s) {
  variant v = {arena_printf(&l->g->arena, "%s%s", l->whose, change), l->site, *s};
  vec_push(&l->g->arena, l->out, v);
}

static void add_places(const listing *l) {
  for (int id = STAGE_X; id < STAGE_COUNT; ++id) {
    for (uop_space space = SPACE_INLINE; space < SPACE_COUNT; ++space) {
      if (l->now->stage[id].space == space) continue;
      schedule s = *l->now;
      s.stage[id] = (stage_plan){.space = space};
      s.share = (loop_name){0}; /* another kernel has other loops */
      settle(&s, l->now);
      add(l, arena_printf(&l->g->arena, "%c=%s", stage_letter[id], space_name[space]), &s);
    }
  }
}

static const char *tile_text(graph *g, const schedule *s) {
  str text;
  str_init(&text, &g->arena);
  for (int i = 0; i < s->nm; ++i) str_printf(&text, "%s%d", i ? "x" : "wino=", s->m[i]);
  return str_text(&text);
}

/* The same schedule with that of all other tiles that is predicted to be best. */
static void add_tile(const listing *l) {
  schedule best = *l->now;
  double least = INFINITY;
  for (int i = 0; i < l->all.conv[0].ntiles; ++i) {
    const wino_site *site = &l->all.conv[0].tile[i].site;
    schedule s = *l->now;
    s.nm = site->nwindow;
    memcpy(s.m, site->window_m, sizeof s.m);
    double seconds = schedule_equal(&s, l->now) ? INFINITY : schedule_cost(&l->all, &s, &l->target);
    if (!(seconds < least)) continue;
    least = seconds;
    best = s;
  }
  if (isfinite(least)) add(l, tile_text(l->g, &best), &best);
}

static bool is_listed(const listing *l, const schedule *s) {
  bool known = schedule_equal(s, l->now);
  for (size_t i = 0; i < l->out->len && !known; ++i)
    known = l->out->data[i].site == l->site && schedule_equal(s, &l->out->data[i].schedule);
  return known;
}

/* What auto considers: its best, or where nothing is rewritten now, the best of each kind. */
static void add_candidates(const listing *l) {
  candidate *list = arena_array(&l->g->arena, candidate, CANDIDATES);
  size_t count = schedule_candidates(&l->all, &l->target, list, CANDIDATES), from = l->out->len;
  size_t most = l->now->direct ? KINDS : 1;
  for (size_t i = 0; i < count && l->out->len < from + most; ++i) {
    const schedule *s = &list[i].schedule;
    bool again = is_listed(l, s);
    for (size_t j = from; j < l->out->len && !again; ++j)
      again = schedule_same_places(s, &l->out->data[j].schedule);
    if (again && !l->now->direct) return; /* it stands there already */
    if (again || s->direct) continue;
    str text;
    str_init(&text, &l->g->arena);
    schedule_print(&text, s);
    add(l, str_text(&text), s);
  }
}

static void vary_site(graph *g, const forecast *f, int site, bool alone, variant_list *out) {
  const choice *c = &f->choice;
  wino_options o = {.math = f->target.options->math};
  const wino_conv *found = &c->survey.conv[c->conv[site]];
  wino_conv conv = wino_survey_conv(g, found->root, found->reduce, &o);
  listing l = {.g = g,
               .f = f,
               .site = site,
               .whose = alone ? "" : arena_printf(&g->arena, "conv%d ", site),
               .now = &c->plan.site[site],
               .all = {1, &conv},
               .target = choose_cost_target(&f->target),
               .out = out};
  l.target.max_memory = 0;
  if (!l.now->direct) {
    const schedule direct = {.direct = true};
    add_places(&l);
    add(&l, "direct", &direct);
    add_tile(&l);
  }
  add_candidates(&l);
}

typedef struct kind {
  int site;       /* the first of it */
  double seconds; /* of all of them */
} kind;

static int by_seconds(const void *a, const void *b) {
  const kind *x = a, *y = b;
  if (x->seconds != y->seconds) return x->seconds < y->seconds ? 1 : -1;
  return (x->site > y->site) - (x->site < y->site);
}

void forecast_variants(graph *g, const forecast *f, variant_list *out) {
  const choice *c = &f->choice;
  kind *kinds = arena_array(&g->arena, kind, c->survey.nconvs + 1);
  int n = 0;
  for (int i = 0; i < c->survey.nconvs; ++i) kinds[i].site = -1;
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->conv[i] < 0) continue;
    kind *k = &kinds[c->survey.conv[c->conv[i]].alike];
    if (k->site < 0) k->site = i, ++n;
    for (int j = 0; j < STAGE_COUNT; ++j) k->seconds += f->by_stage[i][j];
  }
  qsort(kinds, (size_t)c->survey.nconvs, sizeof *kinds, by_seconds);
  for (int i = 0, shown = 0; i < c->survey.nconvs && shown < SHOWN_SITES; ++i) {
    if (kinds[i].site < 0) continue;
    vary_site(g, f, kinds[i].site, n == 1, out);
    ++shown;
  }
}

/* All sites that are like the one that is varied, and have its schedule, change with it. */
const char *forecast_variant_text(graph *g, const forecast *f, const variant *v) {
  const choice *c = &f->choice;
  graph_plan p = {c->plan.n,
                  arena_copy(&g->arena, c->plan.site, sizeof *p.site * (size_t)(c->plan.n + 1))};
  int conv = c->conv[v->site];
  for (int i = 0; i < p.n; ++i) {
    if (c->conv[i] < 0 || c->survey.conv[c->conv[i]].alike != c->survey.conv[conv].alike) continue;
    if (schedule_equal(&c->plan.site[i], &c->plan.site[v->site])) p.site[i] = v->schedule;
  }
  str text;
  str_init(&text, &g->arena);
  plan_print(&text, &p, c->sites);
  return str_text(&text);
}
