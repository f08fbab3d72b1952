/* Choosing; see choose.h. */
#include "plan/choose.h"

#include <math.h>
#include <stdlib.h>

#include "plan/known_weights.h"

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

/* The tile of a schedule. */
static void set_tile(wino_options *w, const schedule *s) {
  w->nm = s->nm;
  memcpy(w->m, s->m, sizeof w->m);
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
  return (cost_target){.machine = t->machine,
                       .threads = t->threads,
                       .variable_weights = t->options->variable_weights != 0,
                       .max_memory = t->options->max_memory,
                       .max_lines = t->options->max_lines,
                       .passing = t->passing};
}

/* --- candidates ------------------------------------------------------------------------------- */

static void add_direct(candidate_list *l, const wino_survey *one, const cost_target *t) {
  for (size_t i = 0; i < l->len; ++i) {
    if (l->at[i].schedule.direct) return;
  }
  /* what everything else is to be compared with takes the last place */
  candidate *last = &l->at[l->len < CANDIDATES ? l->len++ : CANDIDATES - 1];
  *last = (candidate){.schedule = {.direct = true}};
  last->seconds = schedule_cost(one, &last->schedule, t);
}

static void add_considered(str *text, const candidate_list *l, const char *what,
                           const cost_target *t) {
  str_printf(text, "%s, predicted for %d thread%s from %s limits of the machine:\n", what,
             t->threads, t->threads == 1 ? "" : "s",
             t->machine->limits->measured ? "measured" : "guessed");
  for (size_t i = 0; i < l->len; ++i) {
    if (i >= SHOWN && !l->at[i].schedule.direct) continue;
    str_printf(text, "%10.1f us  ", l->at[i].seconds * 1e6);
    schedule_print(text, &l->at[i].schedule);
    str_add(text, "\n");
  }
}

/* The candidate predicted to be fastest; with `always` the fastest that rewrites anything. */
static size_t fastest(const candidate_list *l, bool always) {
  for (size_t i = 0; i < l->len && always; ++i) {
    if (!l->at[i].schedule.direct) return i;
  }
  return 0;
}

static void put_first(candidate_list *l, size_t at) {
  candidate first = l->at[at];
  memmove(l->at + 1, l->at, at * sizeof *l->at);
  l->at[0] = first;
}

static bool is_kind(const schedule *a, const schedule *b) {
  return schedule_same_places(a, b) && a->nm == b->nm && memcmp(a->m, b->m, sizeof a->m) == 0;
}

/* The best of each tile and placement of a list that is sorted but for its first, as `t` prices it. */
static void note_kinds(candidate_list *l, const wino_survey *only, const cost_target *t,
                       bool priced) {
  const candidate *direct = NULL;
  for (size_t i = 0; i < l->len; ++i) {
    bool known = false;
    if (l->at[i].schedule.direct) direct = &l->at[i];
    for (int k = 0; k < l->kinds; ++k) known |= is_kind(&l->kind[k].schedule, &l->at[i].schedule);
    if (known || l->at[i].schedule.direct || l->kinds + 1 == CANDIDATE_KINDS) continue;
    l->kind[l->kinds++] = l->at[i];
  }
  if (direct != NULL) l->kind[l->kinds++] = *direct;
  for (int k = 0; k < l->kinds && !priced; ++k)
    l->kind[k].seconds = schedule_cost(only, &l->kind[k].schedule, t);
}

/* What changes bits is chosen for one thread, so that results are the same for any number; the rest for those there
 * are. A device has a number of its own. Where no schedule of these bits fits the limit of memory with so many threads,
 * the one of one thread comes first: it is for the caller to run fewer. whose: "" or which sites this is about. */
static candidate_list list_candidates(graph *g, const wino_conv *conv, const choice_target *target,
                                      bool always, const char *whose) {
  const wino_survey only = {1, conv};
  cost_target all = choose_cost_target(target), one = all;
  if (target->machine->group == 0) one.threads = 1;
  candidate_list l = {.at = arena_array(&g->arena, candidate, CANDIDATES + 1), .considered = ""};
  str text;
  str_init(&text, &g->arena);
  l.len = schedule_candidates(&only, &one, l.at, CANDIDATES);
  l.least = l.at[0].seconds;
  add_direct(&l, &only, &one);
  add_considered(&text, &l, arena_printf(&g->arena, "considered%s", whose), &one);
  put_first(&l, fastest(&l, always));
  note_kinds(&l, &only, &all, one.threads == all.threads);
  if (one.threads != all.threads) {
    const schedule bits = l.at[0].schedule;
    candidate_list same = l;
    same.at = arena_array(&g->arena, candidate, CANDIDATES + 1);
    all.bits = &bits;
    same.len = schedule_candidates(&only, &all, same.at, CANDIDATES);
    add_considered(&text, &same, "of these the ones that give the same bits as the first", &all);
    all.bits = NULL;
    if (same.len > 0 && isfinite(same.at[0].seconds)) {
      add_direct(&same, &only, &all);
      l = same;
    }
  }
  l.considered = str_text(&text);
  return l;
}

/* " for conv0 conv3 conv4 and 7 more" */
static const char *sites_alike(graph *g, const choice *c, int conv) {
  str text;
  str_init(&text, &g->arena);
  str_add(&text, " for");
  int more = 0, shown = 0;
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->conv[i] < 0 || c->survey.conv[c->conv[i]].alike != conv) continue;
    if (shown++ < SHOWN_SITES)
      str_printf(&text, " conv%d", i);
    else
      ++more;
  }
  if (more > 0) str_printf(&text, " and %d more", more);
  return str_text(&text);
}

/* --- weights that cancel ---------------------------------------------------------------------- */

/* Why a convolution is to stay direct whatever it costs; NULL: nothing holds it. */
static const char *why_direct(graph *g, const choice *c, const choice_target *target, int site) {
  const int value = c->sites->at[site].value;
  const stored_value *v = &c->sites->value[value];
  wino_match m;
  if (target->weights == NULL) return NULL;
  if (wino_recognise(g, v->conv[site - v->first], &m) != NULL) return NULL;
  const wino_weights weights = known_weights(g, c->sites, value, target->weights);
  return wino_cancels(g, &m, &weights);
}

/* --- choosing --------------------------------------------------------------------------------- */

static void take(choice *c, int site, int index) {
  const candidate_list *l = c->candidates[site];
  c->taken[site] = index;
  c->plan.site[site] = l->at[index].schedule;
  c->rewrite[site].why_off =
      l->kinds > 1 ? "direct is predicted to be faster" : "no tile can be used within the promise";
}

/* `auto`: what the model expects to be fastest, once for convolutions that are alike. */
static void choose_sites(graph *g, choice *c, const choice_target *target, bool always) {
  const candidate_list **of = arena_array(&g->arena, const candidate_list *, c->survey.nconvs + 1);
  str text;
  str_init(&text, &g->arena);
  int kinds = 0;
  for (int i = 0; i < c->survey.nconvs; ++i) kinds += c->survey.conv[i].alike == i;
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->conv[i] < 0 || c->source[i] != PLAN_CHOOSE) continue;
    const char *why = why_direct(g, c, target, i);
    if (why != NULL) {
      c->plan.site[i] = (schedule){.direct = true};
      c->rewrite[i].why_off = why;
      continue;
    }
    int kind = c->survey.conv[c->conv[i]].alike;
    if (of[kind] == NULL) {
      const char *whose = kinds > 1 ? sites_alike(g, c, kind) : "";
      candidate_list l = list_candidates(g, &c->survey.conv[kind], target, always, whose);
      of[kind] = arena_copy(&g->arena, &l, sizeof l);
      str_add(&text, l.considered);
    }
    c->candidates[i] = of[kind];
    take(c, i, 0);
  }
  c->considered = str_text(&text);
}

plan_around choose_set_apart(graph *g, graph_plan *p) {
  int *bands = arena_array(&g->arena, int, p->n + 1);
  int *sides = arena_array(&g->arena, int, p->n + 1);
  for (int i = 0; i < p->n; ++i) {
    bands[i] = p->site[i].bands;
    sides[i] = p->site[i].side;
    p->site[i].bands = p->site[i].side = 0;
    p->site[i].layout = LAYOUT_CHOSEN;
  }
  return (plan_around){bands, sides};
}

/* --- what there is to choose for ---------------------------------------------------------------- */

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
  for (int i = 0; i < survey.nconvs; ++i) map_put(&index, survey.conv[i].reduce->id, (uint64_t)i);
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

/* A tile has one size, or one for each axis: of a convolution, or of those that the recogniser left of them. */
static void check_axes(graph *g, const choice *c, const choice_target *target, int nm,
                       const char *text) {
  if (nm < 2 || target->windows == 0 || target->windows >> nm & 1) return;
  for (int i = 0; i < c->survey.nconvs; ++i) {
    if (c->survey.conv[i].nwindow == nm) return;
  }
  str have;
  str_init(&have, &g->arena);
  for (int n = 1; target->windows >> n; ++n) {
    if (target->windows >> n & 1) str_printf(&have, "%s%d", have.len > 0 ? " or " : "", n);
  }
  diag_fail(g->diag, WN_ERR_USAGE,
            "\"%.200s\": tile sizes for %d axes, and the convolutions of this graph have %s", text,
            nm, str_text(&have));
}

static void check_tiles(graph *g, const choice *c, const choice_target *target,
                        const wino_options *w) {
  if (target->options->wino != NULL) check_axes(g, c, target, w->nm, target->options->wino);
  for (int i = 0; i < c->sites->n; ++i) check_axes(g, c, target, c->plan.site[i].nm, c->name);
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
    w->always = always || c->source[i] != PLAN_CHOOSE || c->tuned_sites[i];
    if (w->nm > 0 && c->source[i] != PLAN_CHOOSE) continue; /* the options say more than the text */
    set_tile(w, s);
    if (w->nm == 1 && w->m[0] == 0) w->nm = 0, w->off = true;
  }
}

/* fp32-strict never rewrites: to ask for a plan that does is a mistake that is better said than passed over. */
static void check_strict(graph *g, const choice *c, const wino_options *w, bool on, int env) {
  const char *what = w->nm > 0 ? "a tile that was asked for" : env == 1 ? "WINO=1" : NULL;
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->source[i] == PLAN_GIVEN && !c->plan.site[i].direct)
      what = arena_printf(&g->arena, "the plan of %s", site_text(&g->arena, c->sites, i));
  }
  if (c->rewrites) what = arena_printf(&g->arena, "plan %.200s", c->name);
  if (what == NULL || !on) return;
  diag_fail(g->diag, WN_ERR_REFUSED,
            "%s rewrites the convolution, and fp32-strict never does: take plan direct or auto, "
            "no tile, or another maths mode",
            what);
}

choice choose_plan(graph *g, const site_list *sites, const choice_target *target) {
  const wn_options *o = target->options;
  bool strict = o->math == WN_MATH_FP32_STRICT;
  wino_options w = {.math = o->math};
  int env = o->plan == NULL && o->wino == NULL ? environment(g->diag, &w) : -1;
  choice c = {.sites = sites, .considered = ""};
  c.name = intern_string(g, o->plan != NULL ? o->plan : env == 0 ? "direct" : "auto");
  plan_request asked = plan_parse(g, c.name, sites);
  bool on = asked_tile(g, o, env, &w);
  c.plan = asked.plan;
  c.around = choose_set_apart(g, &c.plan);
  c.source = asked.source;
  c.spelled = asked.spelled;
  c.rewrites = asked.rewrites;
  c.candidates = arena_array(&g->arena, const candidate_list *, sites->n + 1);
  c.taken = arena_array(&g->arena, int, sites->n + 1);
  c.why = arena_array(&g->arena, choice_reason, sites->n + 1);
  c.tuned_sites = arena_array(&g->arena, tuned_source, sites->n + 1);
  c.left_for_less = arena_array(&g->arena, uint64_t, sites->n + 1);
  c.plain = arena_array(&g->arena, bool, sites->n + 1);
  c.rewrite = arena_array(&g->arena, wino_options, sites->n + 1);
  w.off = strict; /* there is no tile to survey */
  c.survey = survey_values(g, sites, &w, &c.conv);
  check_tiles(g, &c, target, &w);
  if (strict) check_strict(g, &c, &w, on, env);
  if (on && !strict) choose_sites(g, &c, target, env == 1);
  choose_tuned(g, &c, target);
  set_rewriting(&c, &w, on && !strict, env == 1);
  for (int i = 0; i < sites->n && strict; ++i) c.rewrite[i].why_off = "fp32-strict never is";
  return c;
}

bool choose_can_shrink(const choice *c, int site) {
  return c->candidates[site] != NULL && !c->plan.site[site].direct;
}

void choose_leave(choice *c, int site) {
  if (c->taken[site] < 64) c->left_for_less[site] |= (uint64_t)1 << c->taken[site];
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
  choose_leave(c, site);
  choose_take(c, site, next, false, smaller ? CHOICE_TO_FIT : CHOICE_LEFT);
  return true;
}

static void set_plain(choice *c, int site) {
  if (c->conv[site] >= 0) c->plan.site[site] = (schedule){.direct = true};
  c->plan.site[site].v = 't';
}

void choose_take(choice *c, int site, int index, bool plain, choice_reason why) {
  c->why[site] = why;
  if (c->candidates[site] != NULL) take(c, site, index);
  c->plain[site] = plain;
  if (plain) set_plain(c, site);
  if (c->conv[site] < 0) return;
  wino_options *w = &c->rewrite[site];
  w->off = c->plan.site[site].direct;
  set_tile(w, &c->plan.site[site]);
  if (w->off) w->why_off = "what is predicted to be faster does not fit";
}

void choose_unshrink(choice *c) {
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->candidates[i] != NULL) c->plan.site[i] = c->candidates[i]->at[c->taken[i]].schedule;
    if (c->plain[i]) set_plain(c, i);
    if (c->why[i] == CHOICE_SMALLER) c->why[i] = CHOICE_CHEAPEST;
  }
}

/* --- for others ------------------------------------------------------------------------------- */

size_t choose_candidates(graph *g, const site_list *sites, int site, const choice_target *target,
                         candidate *out, size_t max) {
  bool strict = target->options->math == WN_MATH_FP32_STRICT;
  wino_options w = {.math = target->options->math, .off = strict};
  choice c = {.sites = sites};
  c.survey = survey_values(g, sites, &w, &c.conv);
  const schedule direct = {.direct = true};
  *out = (candidate){direct, NAN};
  if (sites->at[site].kind != SITE_CONV) return 1;
  const wino_survey one = {1, &c.survey.conv[c.conv[site]]};
  cost_target t = choose_cost_target(target);
  out->seconds = schedule_cost(&one, &direct, &t);
  if (strict || why_direct(g, &c, target, site) != NULL) return 1;
  candidate_list pick = list_candidates(g, one.conv, target, false, "");
  size_t n = schedule_candidates(&one, &t, out, max), at = 0;
  candidate_list all = {.at = out, .len = n};
  if (n < max) add_direct(&all, &one, &t);
  n = all.len;
  while (at < n && !schedule_equal(&out[at].schedule, &pick.at[0].schedule)) ++at;
  if (at == n) at = n < max ? n++ : max - 1, out[at] = pick.at[0];
  put_first(&all, at);
  return n;
}

/* With the tile that it has: one that was asked for is in no survey of those that keep the promise. */
static void price_site(graph *g, const choice *c, int site, const cost_target *t,
                       double (*share)[STAGE_COUNT]) {
  const schedule *s = &c->plan.site[site];
  wino_options o = {.math = c->rewrite[site].math, .off = s->direct};
  set_tile(&o, s);
  const wino_conv *found = &c->survey.conv[c->conv[site]];
  wino_conv conv = wino_survey_conv(g, found->root, found->reduce, &o);
  const wino_survey one = {1, &conv};
  if (isfinite(schedule_cost_by_stage(&one, s, t, share))) return;
  for (int i = 0; i < STAGE_COUNT; ++i) (*share)[i] = INFINITY;
}

double choose_predict(graph *g, const choice *c, const choice_target *target,
                      double (*by_stage)[STAGE_COUNT]) {
  cost_target t = choose_cost_target(target);
  t.max_memory = 0; /* it was applied */
  double seconds = 0;
  int *last = arena_array(&g->arena, int,
                          c->survey.nconvs + 1); /* site + 1 that was priced last, by kind */
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
