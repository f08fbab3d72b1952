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

static size_t list_candidates(graph *g, const uop *root, const choice_target *target,
                              const wino_options *w, candidate *out, size_t max) {
  wino_survey s = wino_survey_graph(g, root, w);
  cost_target t = choose_cost_target(target);
  size_t count = schedule_candidates(&s, &t, out, max);
  bool has_direct = false;
  for (size_t i = 0; i < count; ++i) has_direct |= out[i].schedule.direct;
  if (has_direct || max < 2) return count;
  /* what everything else is to be compared with takes the last place */
  candidate *last = &out[count - 1];
  *last = (candidate){.schedule = {.direct = true}};
  last->seconds = schedule_cost(&s, &last->schedule, &t);
  return count;
}

/* What was considered, for explain. */
static const char *candidates_text(graph *g, const choice_target *target, const candidate *list,
                                   size_t count) {
  str text;
  str_init(&text, &g->arena);
  str_printf(&text, "considered, predicted for %d thread%s from %s limits of the machine:\n",
             target->threads, target->threads == 1 ? "" : "s",
             target->limits->measured ? "measured" : "guessed");
  for (size_t i = 0; i < count; ++i) {
    if (i >= SHOWN && !list[i].schedule.direct) continue;
    str_printf(&text, "%10.1f us  ", list[i].seconds * 1e6);
    schedule_print(&text, &list[i].schedule);
    str_add(&text, "\n");
  }
  return str_text(&text);
}

/* The candidate predicted to be fastest; with `always` the fastest that rewrites anything. */
static const candidate *pick(const candidate *list, size_t count, bool always) {
  for (size_t i = 0; i < count && always; ++i) {
    if (!list[i].schedule.direct) return &list[i];
  }
  return &list[0];
}

/* `auto`: what the model expects to be fastest. A tile that was asked for is the only one considered. */
static wino_result rewrite_best(graph *g, const uop *root, const choice_target *target,
                                wino_options *w, choice *out) {
  candidate *list = arena_array(&g->arena, candidate, CANDIDATES);
  size_t count = list_candidates(g, root, target, w, list, CANDIDATES);
  out->schedule = pick(list, count, w->always)->schedule;
  w->off = out->schedule.direct;
  w->why_off =
      count > 1 ? "direct is predicted to be faster" : "no tile can be used within the promise";
  w->nm = out->schedule.nm;
  memcpy(w->m, out->schedule.m, sizeof out->schedule.m);
  wino_result r = wino_rewrite(g, root, w);
  WN_CHECK(out->schedule.direct || r.nsites > 0, "a tile of the survey was not taken: %s", r.trace);
  out->considered = candidates_text(g, target, list, count);
  return r;
}

/* A tile has one size, or one for each axis: of a convolution, or of those that the recogniser left of them. */
static void check_axes(graph *g, const uop *root, const choice_target *target,
                       const wino_options *w, const char *text) {
  if (w->nm < 2 || target->windows == 0 || target->windows >> w->nm & 1) return;
  wino_survey s = wino_survey_graph(g, root, &(wino_options){.math = w->math, .off = true});
  for (int i = 0; i < s.nconvs; ++i) {
    if (s.conv[i].nwindow == w->nm) return;
  }
  str have;
  str_init(&have, &g->arena);
  for (int n = 1; target->windows >> n; ++n) {
    if (target->windows >> n & 1) str_printf(&have, "%s%d", have.len > 0 ? " or " : "", n);
  }
  diag_fail(g->diag, WN_ERR_USAGE,
            "\"%.200s\": tile sizes for %d axes, and the convolutions of this graph have %s", text,
            w->nm, str_text(&have));
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
  check_axes(g, root, target, &w, o->wino != NULL ? o->wino : out->plan);
  if (named && out->schedule.direct) w.off = true;
  w.always = (named && !out->schedule.direct) || env == 1; /* asked for, whether it pays or not */
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
  wino_options w = {.math = target->options->math};
  return list_candidates(g, root, target, &w, out, max);
}

double choose_predict(graph *g, const uop *root, const choice_target *target, const schedule *s) {
  wino_options w = {.math = target->options->math, .off = s->direct, .nm = s->nm};
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
