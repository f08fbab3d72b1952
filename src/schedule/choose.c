/* Choosing; see choose.h. */
#include "schedule/choose.h"

#include <stdlib.h>

enum { MIN_TILE = 1, MAX_TILE = 8, MANY_TILES = 64 };

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

/* Products per output below which the transforms cost more than they save, and images too small for tiles. */
static bool worth_it(const wino_site *s) { return s->C >= 8 && s->K >= 8 && s->T >= 4; }

/* With many tiles whose transforms do not fit the cache, blocks that do; else whole arrays. */
static const char *pick_plan(const wino_result *w, const choice_target *target) {
  for (int i = 0; i < w->nsites; ++i) {
    if (!worth_it(&w->site[i])) return "direct";
  }
  if (w->nsites == 0) return "direct";
  const wino_site *s = &w->site[0];
  int64_t frequencies = 1;
  for (int i = 0; i < s->ndim; ++i) frequencies *= s->n[i];
  int64_t bytes = (s->C + s->K) * s->T * frequencies * (int64_t)sizeof(float);
  return s->T >= MANY_TILES && bytes > (int64_t)target->l2 ? "fused" : "old";
}

wino_result choose_rewrite(graph *g, const uop *root, const choice_target *target, choice *out) {
  const wn_options *o = target->options;
  wino_options w = {.math = o->math};
  int env = o->plan == NULL && o->wino == NULL ? environment(g->diag, &w) : -1;
  memset(out, 0, sizeof *out);
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
  wino_result r = wino_rewrite(g, root, &w);
  if (named && !out->schedule.direct && r.nsites == 0) {
    diag_fail(g->diag, WN_ERR_REFUSED, "plan %s: nothing to rewrite: %s", out->plan, r.trace);
  }
  if (!named) {
    const char *pick = env == 1 && r.nsites > 0 ? "old" : pick_plan(&r, target);
    if (strcmp(pick, "direct") == 0 && r.nsites > 0) {
      w.off = true;
      r = wino_rewrite(g, root, &w);
    }
    schedule_parse(g->diag, pick, &out->schedule);
  }
  if (!out->schedule.direct && r.nsites > 0) {
    out->schedule.nm = r.site[0].nwindow;
    memcpy(out->schedule.m, r.site[0].window_m, sizeof out->schedule.m);
  }
  if (out->schedule.direct) out->schedule.nm = 0;
  return r;
}

apply_target choice_apply_target(const choice_target *t) {
  return (apply_target){.vector_bytes = t->vector_bytes,
                        .registers = t->registers,
                        .variable_weights = t->options->variable_weights != 0};
}
