/* Choosing; see choose.h. */
#include "schedule/choose.h"

#include <math.h>
#include <stdlib.h>

enum { MIN_TILE = 1, MAX_TILE = 8, CANDIDATES = 64, SHOWN = 8 };

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

typedef struct choosing {
  const choice_target *target;
  wino_survey survey;
  candidate *list; /* best first */
  size_t count, max;
  candidate pick;         /* what auto takes of it */
  const char *considered; /* for explain */
} choosing;

static void list_candidates(choosing *c, const cost_target *t) {
  c->count = schedule_candidates(&c->survey, t, c->list, c->max);
  bool has_direct = t->bits != NULL;
  for (size_t i = 0; i < c->count; ++i) has_direct |= c->list[i].schedule.direct;
  if (has_direct || c->max < 2) return;
  /* what everything else is to be compared with takes the last place */
  candidate *last = &c->list[c->count - 1];
  *last = (candidate){.schedule = {.direct = true}};
  last->seconds = schedule_cost(&c->survey, &last->schedule, t);
}

static void add_considered(str *text, const choosing *c, const char *what, const cost_target *t) {
  str_printf(text, "%s, predicted for %d thread%s from %s limits of the machine:\n", what,
             t->threads, t->threads == 1 ? "" : "s", t->limits->measured ? "measured" : "guessed");
  for (size_t i = 0; i < c->count; ++i) {
    if (i >= SHOWN && !c->list[i].schedule.direct) continue;
    str_printf(text, "%10.1f us  ", c->list[i].seconds * 1e6);
    schedule_print(text, &c->list[i].schedule);
    str_add(text, "\n");
  }
}

/* The candidate predicted to be fastest; with `always` the fastest that rewrites anything. */
static candidate fastest(const choosing *c, bool always) {
  for (size_t i = 0; i < c->count && always; ++i) {
    if (!c->list[i].schedule.direct) return c->list[i];
  }
  return c->list[0];
}

/* What changes bits is chosen for one thread, so that results are the same for any number; the rest for those there are. A
 * device has a number of its own. Where no schedule of these bits fits the limit of memory with so many threads, the one
 * of one thread is the pick: it is for the caller to run fewer. */
static void choose_of(graph *g, const uop *root, const choice_target *target, const wino_options *w,
                      choosing *c) {
  c->target = target;
  c->survey = wino_survey_graph(g, root, w);
  str text;
  str_init(&text, &g->arena);
  cost_target all = choose_cost_target(target), one = all;
  if (target->group == 0) one.threads = 1;
  list_candidates(c, &one);
  add_considered(&text, c, "considered", &one);
  c->pick = fastest(c, w->always);
  if (one.threads != all.threads && c->survey.nconvs > 0) {
    const schedule bits = c->pick.schedule;
    all.bits = &bits;
    list_candidates(c, &all);
    add_considered(&text, c, "of these the ones that give the same bits as the first", &all);
    if (c->count > 0 && isfinite(c->list[0].seconds)) c->pick = c->list[0];
  }
  c->considered = str_text(&text);
}

/* `auto`: what the model expects to be fastest. A tile that was asked for is the only one considered. */
static wino_result rewrite_best(graph *g, const uop *root, const choice_target *target,
                                wino_options *w, choice *out) {
  choosing c = {.list = arena_array(&g->arena, candidate, CANDIDATES), .max = CANDIDATES};
  choose_of(g, root, target, w, &c);
  bool has_tiles = false;
  for (int i = 0; i < c.survey.nconvs; ++i) has_tiles |= c.survey.conv[i].ntiles > 0;
  out->schedule = c.pick.schedule;
  w->off = out->schedule.direct;
  w->why_off =
      has_tiles ? "direct is predicted to be faster" : "no tile can be used within the promise";
  w->nm = out->schedule.nm;
  memcpy(w->m, out->schedule.m, sizeof out->schedule.m);
  wino_result r = wino_rewrite(g, root, w);
  WN_CHECK(out->schedule.direct || r.nsites > 0, "a tile of the survey was not taken: %s", r.trace);
  out->considered = c.considered;
  return r;
}

/* fp32-strict never rewrites: to ask for a plan that does is a mistake that is better said than passed over. */
static void make_strict(graph *g, const choice *out, bool named, int env, wino_options *w) {
  const char *what = named && !out->schedule.direct ? arena_printf(&g->arena, "plan %s", out->plan)
                     : w->nm > 0                    ? "a tile that was asked for"
                     : env == 1                     ? "WINO=1"
                                                    : NULL;
  if (what != NULL && !w->off) {
    diag_fail(g->diag, WN_ERR_REFUSED,
              "%s rewrites the convolution, and fp32-strict never does: take plan direct or auto, "
              "no tile, or another maths mode",
              what);
  }
  w->off = true;
  w->why_off = "fp32-strict never is";
}

wino_result choose_rewrite(graph *g, const uop *root, const choice_target *target, choice *out) {
  const wn_options *o = target->options;
  wino_options w = {.math = o->math};
  int env = o->plan == NULL && o->wino == NULL ? environment(g->diag, &w) : -1;
  *out = (choice){.considered = ""};
  out->plan = intern_string(g, o->plan != NULL ? o->plan : env == 0 ? "direct" : "auto");
  bool named = schedule_parse(g->diag, out->plan, &out->schedule);
  if (o->wino != NULL && strcmp(o->wino, "0") == 0)
    w.off = true;
  else if (o->wino != NULL)
    set_tiles(g->diag, o->wino, "wino", &w);
  else if (named && out->schedule.nm > 0) {
    w.nm = out->schedule.nm;
    memcpy(w.m, out->schedule.m, sizeof out->schedule.m);
    if (w.nm == 1 && w.m[0] == 0) w.nm = 0, w.off = true;
  }
  if (named && out->schedule.direct) w.off = true;
  w.always = (named && !out->schedule.direct) || env == 1; /* asked for, whether it pays or not */
  w.weights = target->weights;
  if (o->math == WN_MATH_FP32_STRICT) make_strict(g, out, named, env, &w);
  if (!named && !w.off) return rewrite_best(g, root, target, &w, out);
  wino_result r = wino_rewrite(g, root, &w);
  if (!named) out->schedule.direct = true;
  if (named && !out->schedule.direct && r.nsites == 0) {
    diag_fail(g->diag, WN_ERR_REFUSED, "plan %s: nothing to rewrite: %s", out->plan, r.trace);
  }
  if (!out->schedule.direct && r.nsites > 0) {
    out->schedule.nm = r.site[0].nwindow;
    memcpy(out->schedule.m, r.site[0].window_m, sizeof out->schedule.m);
  }
  if (out->schedule.direct) out->schedule.nm = 0;
  return r;
}

size_t choose_candidates(graph *g, const uop *root, const choice_target *target, candidate *out,
                         size_t max) {
  wino_options w = {.math = target->options->math, .weights = target->weights};
  w.off = w.math == WN_MATH_FP32_STRICT;
  choosing c = {.list = arena_array(&g->arena, candidate, CANDIDATES), .max = CANDIDATES};
  choose_of(g, root, target, &w, &c);
  candidate pick = c.pick;
  cost_target t = choose_cost_target(target);
  c.list = out;
  c.max = max;
  list_candidates(&c, &t);
  size_t at = 0;
  while (at < c.count && !schedule_equal(&out[at].schedule, &pick.schedule)) ++at;
  if (at == c.count) at = c.count < max ? c.count++ : max - 1;
  memmove(out + 1, out, at * sizeof *out);
  out[0] = pick;
  return c.count;
}

double choose_predict(graph *g, const uop *root, const choice_target *target, const schedule *s) {
  wino_options w = {
      .math = target->options->math, .off = s->direct, .nm = s->nm, .weights = target->weights};
  memcpy(w.m, s->m, sizeof w.m);
  wino_survey survey = wino_survey_graph(g, root, &w);
  cost_target t = choose_cost_target(target);
  t.max_memory = 0;
  double seconds = schedule_cost(&survey, s, &t);
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
