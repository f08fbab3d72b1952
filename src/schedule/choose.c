/* Choosing; see choose.h. */
#include "schedule/choose.h"

#include <math.h>
#include <stdlib.h>

enum { MIN_TILE = 1, MAX_TILE = 8, CANDIDATES = 64, SHOWN = 8, SHOWN_SITES = 4 };

static void set_tiles(diag *d, const char *text, const char *whose, wino_options *w) {
  const char *at = text;
  w->nm = 0;
  for (;;) {
    char *end;
    long v = strtol(at, &end, 10);
    if (end == at || v < MIN_TILE || v > MAX_TILE || w->nm == WN_MAX_SPATIAL) break;
    w->m[w->nm++] = (int)v;
    if (*end == '\0') return;
    if (*end != 'x') break;
    at = end + 1;
  }
  diag_fail(d, WN_ERR_USAGE,
            "%s \"%s\": expected a tile size from %d to %d, or one per axis such as 4x4", whose,
            text, MIN_TILE, MAX_TILE);
}

/* $WINO: 0 off, 1 on with the default tile, else the tile. Returns -1 where it is not set. */
static int environment(diag *d, wino_options *w) {
  const char *v = getenv("WINO");
  if (v == NULL || *v == '\0') return -1;
  if (strcmp(v, "0") == 0 || strcmp(v, "1") == 0) return v[0] - '0';
  if (strlen(v) != 1 || strchr("2346", v[0]) == NULL) {
    diag_fail(d, WN_ERR_USAGE, "WINO=%s: expected 0 (off), 1 (on), or a tile size of 2, 3, 4 or 6",
              v);
  }
  set_tiles(d, v, "WINO", w);
  return 1;
}

cost_target choose_cost_target(const choice_target *t) {
  return (cost_target){.limits = t->limits,
                       .vector_bytes = t->vector_bytes,
                       .registers = t->registers,
                       .threads = t->threads,
                       .variable_weights = t->options->variable_weights != 0,
                       .max_memory = t->options->max_memory,
                       .group = t->group,
                       .items = t->items,
                       .local_bytes = t->local_bytes,
                       .max_lines = t->options->max_lines};
}

/* --- candidates --------------------------------------------------------------------------------------------------------- */

static candidate_list list_candidates(arena *a, const wino_conv *conv, const cost_target *t) {
  const wino_survey one = {1, conv};
  candidate_list l = {arena_array(a, candidate, CANDIDATES), 0};
  l.len = schedule_candidates(&one, t, l.at, CANDIDATES);
  bool has_direct = false;
  for (size_t i = 0; i < l.len; ++i) has_direct |= l.at[i].schedule.direct;
  if (has_direct) return l;
  /* what everything else is to be compared with takes the last place */
  candidate *last = &l.at[l.len - 1];
  *last = (candidate){.schedule = {.direct = true}};
  last->seconds = schedule_cost(&one, &last->schedule, t);
  return l;
}

/* What was considered, for explain; `whose`: sites that are alike, where the graph has others. */
static void add_considered(str *text, const choice_target *target, const candidate_list *l,
                           const char *whose) {
  str_printf(text, "considered%s, predicted for %d thread%s from %s limits of the machine:\n", whose,
             target->threads, target->threads == 1 ? "" : "s",
             target->limits->measured ? "measured" : "guessed");
  for (size_t i = 0; i < l->len; ++i) {
    if (i >= SHOWN && !l->at[i].schedule.direct) continue;
    str_printf(text, "%10.1f us  ", l->at[i].seconds * 1e6);
    schedule_print(text, &l->at[i].schedule);
    str_add(text, "\n");
  }
}

/* " for conv0 conv3 conv4 and 7 more" */
static const char *sites_alike(graph *g, const choice *c, int conv) {
  str text;
  str_init(&text, &g->arena);
  str_add(&text, " for");
  int more = 0, shown = 0;
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->candidates[i] == NULL || c->survey.conv[c->conv[i]].alike != conv) continue;
    if (shown++ < SHOWN_SITES)
      str_printf(&text, " conv%d", i);
    else
      more++;
  }
  if (more > 0) str_printf(&text, " and %d more", more);
  return str_text(&text);
}

/* --- choosing ----------------------------------------------------------------------------------------------------------- */

/* The candidate predicted to be fastest; with `always` the fastest that rewrites anything. */
static int pick(const candidate_list *l, bool always) {
  for (size_t i = 0; i < l->len && always; ++i) {
    if (!l->at[i].schedule.direct) return (int)i;
  }
  return 0;
}

static void take(choice *c, int site, int index) {
  const candidate_list *l = c->candidates[site];
  c->taken[site] = index;
  c->plan.site[site] = l->at[index].schedule;
  c->rewrite[site].why_off =
      l->len > 1 ? "direct is predicted to be faster" : "no tile can be used within the promise";
}

/* `auto`: what the model expects to be fastest, once for convolutions that are alike. */
static void choose_sites(graph *g, choice *c, const choice_target *target, bool always) {
  const cost_target t = choose_cost_target(target);
  const candidate_list **of = arena_array(&g->arena, const candidate_list *, c->survey.nconvs + 1);
  str text;
  str_init(&text, &g->arena);
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->conv[i] < 0 || c->source[i] != PLAN_CHOOSE) continue;
    const wino_conv *conv = &c->survey.conv[c->conv[i]];
    if (of[conv->alike] == NULL) {
      candidate_list l = list_candidates(&g->arena, conv, &t);
      of[conv->alike] = arena_copy(&g->arena, &l, sizeof l);
    }
    c->candidates[i] = of[conv->alike];
    take(c, i, pick(c->candidates[i], always));
  }
  int kinds = 0;
  for (int i = 0; i < c->survey.nconvs; ++i) kinds += c->survey.conv[i].alike == i;
  for (int i = 0; i < c->survey.nconvs; ++i) {
    if (of[i] != NULL) add_considered(&text, target, of[i], kinds > 1 ? sites_alike(g, c, i) : "");
  }
  c->considered = str_text(&text);
}

/* Every convolution of the values that differ, and which of them a site is. */
static wino_survey survey_values(graph *g, const site_list *sites, const wino_options *w,
                                 const int **conv) {
  const uop **roots = arena_array(&g->arena, const uop *, sites->nvalues + 1);
  int n = 0;
  for (int i = 0; i < sites->nvalues; ++i) {
    if (sites->value[i].alike == i) roots[n++] = sites->value[i].canonical;
  }
  wino_survey survey = wino_survey_values(g, n, roots, w);
  int *of = arena_array(&g->arena, int, sites->n + 1);
  map index;
  map_init(&index, &g->arena);
  for (int i = 0; i < survey.nconvs; ++i)
    map_put(&index, survey.conv[i].reduce->id, (uint64_t)i);
  for (int i = 0; i < sites->n; ++i) {
    const stored_value *v = &sites->value[sites->at[i].value];
    uint64_t at = 0;
    of[i] = -1;
    if (sites->at[i].kind != SITE_CONV) continue;
    if (map_get(&index, v->conv[i - v->first]->id, &at)) of[i] = (int)at;
  }
  *conv = of;
  return survey;
}

/* The tile that the options or the environment ask for; false: rewriting is off. */
static bool asked_tile(graph *g, const wn_options *o, int env, wino_options *w) {
  if (o->wino == NULL) return env != 0;
  if (strcmp(o->wino, "0") == 0) return false;
  set_tiles(g->diag, o->wino, "wino", w);
  return true;
}

/* How each convolution is to be rewritten. */
static void set_rewriting(choice *c, const wino_options *asked, bool on, bool always) {
  for (int i = 0; i < c->sites->n; ++i) {
    const schedule *s = &c->plan.site[i];
    wino_options *w = &c->rewrite[i];
    const char *why = w->why_off;
    *w = *asked;
    w->why_off = why;
    w->off = !on || s->direct;
    w->always = always || c->source[i] != PLAN_CHOOSE;
    if (w->nm > 0 && c->source[i] != PLAN_CHOOSE) continue; /* the options say more than the text */
    w->nm = s->nm;
    memcpy(w->m, s->m, sizeof w->m);
    if (w->nm == 1 && w->m[0] == 0) w->nm = 0, w->off = true;
  }
}

choice choose_plan(graph *g, const site_list *sites, const choice_target *target) {
  const wn_options *o = target->options;
  wino_options w = {.math = o->math};
  int env = o->plan == NULL && o->wino == NULL ? environment(g->diag, &w) : -1;
  choice c = {.sites = sites, .considered = ""};
  c.name = intern_string(g, o->plan != NULL ? o->plan : env == 0 ? "direct" : "auto");
  plan_request asked = plan_parse(g, c.name, sites);
  bool on = asked_tile(g, o, env, &w);
  c.plan = asked.plan;
  c.source = asked.source;
  c.spelled = asked.spelled;
  c.rewrites = asked.rewrites;
  c.candidates = arena_array(&g->arena, const candidate_list *, sites->n + 1);
  c.taken = arena_array(&g->arena, int, sites->n + 1);
  c.rewrite = arena_array(&g->arena, wino_options, sites->n + 1);
  c.survey = survey_values(g, sites, &w, &c.conv);
  if (on) choose_sites(g, &c, target, env == 1);
  set_rewriting(&c, &w, on, env == 1);
  return c;
}

bool choose_can_shrink(const choice *c, int site) {
  return c->candidates[site] != NULL && !c->plan.site[site].direct;
}

bool choose_next(choice *c, int site, bool smaller) {
  const candidate_list *l = c->candidates[site];
  if (!choose_can_shrink(c, site)) return false;
  int next = c->taken[site] + 1;
  while (next < (int)l->len && smaller && !l->at[next].schedule.direct) ++next;
  if (next >= (int)l->len) { /* direct was better and is refused as well? it needs nothing */
    next = 0;
    while (next < (int)l->len && !l->at[next].schedule.direct) ++next;
    if (next == (int)l->len) return false;
  }
  take(c, site, next);
  wino_options *w = &c->rewrite[site];
  w->off = c->plan.site[site].direct;
  w->nm = c->plan.site[site].nm;
  memcpy(w->m, c->plan.site[site].m, sizeof w->m);
  if (w->off) w->why_off = "what is predicted to be faster does not fit";
  return true;
}

/* --- carried out ---------------------------------------------------------------------------------------------------------- */

void choose_settle(graph *g, choice *c, const part_list *parts) {
  bool any = false;
  const char *why = "";
  for (int i = 0; i < c->sites->n; ++i) {
    const stored_value *v = &parts->sites->value[parts->sites->at[i].value];
    const part *p = parts->of[parts->sites->at[i].value];
    int at = i - v->first;
    if (c->conv[i] < 0 || c->plan.site[i].inlined) continue;
    bool lost = !c->plan.site[i].direct && !p->rewritten[at];
    WN_CHECK(!lost || c->source[i] != PLAN_CHOOSE, "a tile of the survey was not taken: %s",
             p->w.trace);
    if (lost && c->source[i] == PLAN_GIVEN)
      diag_fail(g->diag, WN_ERR_REFUSED, "plan of conv%d: it is not rewritten: %s", i, p->w.trace);
    if (lost) why = p->w.trace;
    any |= p->rewritten[at];
    c->plan.site[i] = p->plan[at];
  }
  for (int i = 0; i < parts->sites->nvalues && *why == '\0'; ++i) why = parts->of[i]->w.trace;
  if (c->rewrites && !any)
    diag_fail(g->diag, WN_ERR_REFUSED, "plan %.200s: nothing to rewrite: %s", c->name, why);
}

size_t choose_candidates(graph *g, const site_list *sites, const choice_target *target,
                         candidate *out, size_t max) {
  wino_options w = {.math = target->options->math};
  const int *conv;
  wino_survey s = survey_values(g, sites, &w, &conv);
  cost_target t = choose_cost_target(target);
  const schedule direct = {.direct = true};
  *out = (candidate){direct, schedule_cost(&s, &direct, &t)};
  if (s.nconvs == 0) return 1;
  candidate_list l = list_candidates(&g->arena, &s.conv[0], &t);
  size_t n = l.len < max ? l.len : max;
  memcpy(out, l.at, n * sizeof *out);
  return n;
}

/* With the tile that it has: one that was asked for is in no survey of those that keep the promise. */
static void price_site(graph *g, const choice *c, int site, const cost_target *t,
                       double (*share)[STAGE_COUNT]) {
  const schedule *s = &c->plan.site[site];
  wino_options o = {.math = c->rewrite[site].math, .off = s->direct, .nm = s->nm};
  memcpy(o.m, s->m, sizeof o.m);
  wino_conv conv = wino_survey_conv(g, c->survey.conv[c->conv[site]].reduce, &o);
  const wino_survey one = {1, &conv};
  if (isfinite(schedule_cost_by_stage(&one, s, t, share))) return;
  for (int i = 0; i < STAGE_COUNT; ++i) (*share)[i] = INFINITY;
}

double choose_predict(graph *g, const choice *c, const choice_target *target,
                      double (*by_stage)[STAGE_COUNT]) {
  cost_target t = choose_cost_target(target);
  t.max_memory = 0; /* it was applied */
  double seconds = 0;
  int *last = arena_array(&g->arena, int, c->survey.nconvs + 1); /* site + 1 that was priced last, by kind */
  double(*share)[STAGE_COUNT] =
      arena_alloc(&g->arena, sizeof *share * (size_t)(c->survey.nconvs + 1));
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->conv[i] < 0) continue;
    int kind = c->survey.conv[c->conv[i]].alike;
    bool known = last[kind] > 0 && schedule_equal(&c->plan.site[i], &c->plan.site[last[kind] - 1]);
    if (!known) price_site(g, c, i, &t, &share[kind]);
    last[kind] = i + 1;
    for (int j = 0; j < STAGE_COUNT; ++j) seconds += share[kind][j];
    if (by_stage != NULL) memcpy(by_stage[i], share[kind], sizeof share[kind]);
  }
  return isfinite(seconds) ? seconds : 0;
}

apply_target choice_apply_target(const choice_target *t) {
  return (apply_target){.vector_bytes = t->vector_bytes,
                        .registers = t->registers,
                        .variable_weights = t->options->variable_weights != 0,
                        .group = t->group,
                        .items = t->items,
                        .local_bytes = t->local_bytes,
                        .matrix = t->matrix};
}
