/* The schedules that are worth predicting, best first; see cost.h.
 *
 * In: a survey and the machine. Out: `direct`, and for every tile the structures below with their blocks and both ways
 * to fill the lanes of the products. The rule: each tile is first judged by one schedule of each structure; the best
 * few tiles get all blocks. Always holds: equal predictions of one structure and tile are the same program (a block
 * that apply rounds to another's size) and only the first is listed. */
#include <math.h>

#include "plan/cost.h"

enum { BEST_TILES = 6, LEAST_CHANNELS = 4 };

static const char lanes_of[] = {'t', 'k'};
enum { LANES = sizeof lanes_of };

typedef struct structure { /* where the stages live, and the sizes to try */
  uop_space space[STAGE_COUNT];
  /* sizes are chunks of a host loop, else blocks of tiles; neither where the first is 0 */
  bool chunked;
  int64_t size[10]; /* ends with 0; the first is judged for each tile */
  bool items;       /* for devices: a transform made again costs less there than another launch */
} structure;

static const structure structures[] = {
    {{SPACE_GLOBAL, SPACE_GLOBAL, SPACE_GLOBAL, SPACE_GLOBAL}, .size = {0}},
    {{SPACE_LOCAL, SPACE_GLOBAL, SPACE_LOCAL, SPACE_GLOBAL},
     .size = {32, 8, 12, 16, 24, 48, 64, 96}},
    {{SPACE_LOCAL, SPACE_GLOBAL, SPACE_GLOBAL, SPACE_GLOBAL}, .size = {32, 8, 16, 64}},
    {{SPACE_GLOBAL, SPACE_GLOBAL, SPACE_LOCAL, SPACE_GLOBAL}, .size = {32, 8, 16, 64}},
    {{SPACE_GLOBAL, SPACE_GLOBAL, SPACE_GLOBAL, SPACE_GLOBAL},
     .chunked = true,
     .size = {256, 64, 128, 512}},
    {{SPACE_INLINE, SPACE_INLINE, SPACE_REG, SPACE_GLOBAL}, .items = true},
    {{SPACE_INLINE, SPACE_INLINE, SPACE_GLOBAL, SPACE_GLOBAL}, .items = true},
};
enum { STRUCTURES = sizeof structures / sizeof *structures };

typedef struct listing {
  const wino_survey *survey;
  const cost_target *t;
  candidate *out;
  size_t count, max;
} listing;

static void insert(listing *l, const schedule *s, double seconds) {
  if (l->t->bits != NULL && !schedule_same_bits(l->t->bits, s)) return;
  if (l->count == l->max && !(seconds < l->out[l->max - 1].seconds)) return;
  size_t at = l->count < l->max ? l->count++ : l->max - 1;
  for (; at > 0 && seconds < l->out[at - 1].seconds; --at) l->out[at] = l->out[at - 1];
  l->out[at] = (candidate){*s, seconds};
}

static schedule make(const structure *st, const wino_site *site, char lanes, int64_t size) {
  schedule s = {.v = lanes, .nm = site->nwindow};
  for (int i = 0; i < STAGE_COUNT; ++i) s.stage[i].space = st->space[i];
  for (int i = 0; i < site->nwindow; ++i) s.m[i] = site->window_m[i];
  if (st->chunked)
    s.chunk = size;
  else
    s.t[0] = size;
  return s;
}

/* On a device neighbouring work items are the lanes, and they take neighbouring tiles. */
static bool is_listed(const cost_target *t, const structure *st, char lanes) {
  return t->machine->group > 0 ? lanes == 't' : !st->items;
}

/* The cheapest of one schedule of each structure: of the first size that can be had. */
static double judge_tile(const listing *l, const wino_site *site) {
  double best = INFINITY;
  for (int i = 0; i < STRUCTURES * LANES; ++i) {
    const structure *st = &structures[i / LANES];
    if (!is_listed(l->t, st, lanes_of[i % LANES])) continue;
    double cost = INFINITY;
    int n = 0;
    do {
      schedule s = make(st, site, lanes_of[i % LANES], st->size[n]);
      cost = schedule_cost(l->survey, &s, l->t);
    } while (!isfinite(cost) && st->size[n] != 0 && st->size[++n] != 0);
    best = fmin(best, cost);
  }
  return best;
}

/* Values of a tile: with more the kernels of results come near the most lines that are compiled. */
static bool is_large(const wino_site *site) {
  enum { MOST_VALUES = 49 };
  int64_t values = 1;
  for (int i = 0; i < site->ndim; ++i) values *= site->n[i];
  return values > (int)MOST_VALUES;
}

/* May this tile's schedules be among them at all? */
static bool is_of_bits(const cost_target *t, const wino_site *site) {
  bool any = t->bits == NULL;
  for (int i = 0; i < STRUCTURES && !any; ++i) {
    schedule s = make(&structures[i], site, 't', structures[i].size[0]);
    any = schedule_same_bits(t->bits, &s);
  }
  return any;
}

/* Vectors of channels where there are hardly any are none. */
static bool has_lanes(const wino_survey *survey, char lanes) {
  for (int i = 0; i < survey->nconvs && lanes == 'k'; ++i) {
    if (survey->conv[i].K < LEAST_CHANNELS) return false;
  }
  return true;
}

static void list_sizes(listing *l, const structure *st, const wino_site *site, char lanes) {
  double seen[sizeof st->size / sizeof *st->size];
  int n = 0;
  do {
    schedule s = make(st, site, lanes, st->size[n]);
    seen[n] = schedule_cost(l->survey, &s, l->t);
    bool again = !isfinite(seen[n]) || s.chunk >= site->T;
    for (int i = 0; i < n; ++i) again |= seen[i] == seen[n];
    if (!again) insert(l, &s, seen[n]);
  } while (st->size[n++] != 0 && st->size[n] != 0);
}

size_t schedule_candidates(const wino_survey *survey, const cost_target *t, candidate *out,
                           size_t max) {
  listing l = {survey, t, out, 0, max};
  schedule direct = {.direct = true};
  insert(&l, &direct, schedule_cost(survey, &direct, t));
  if (survey->nconvs == 0) return l.count;
  const wino_conv *first = &survey->conv[0];
  const wino_site *best[BEST_TILES];
  double cost[BEST_TILES];
  int n = 0;
  for (int i = 0; i < first->ntiles; ++i) {
    if (is_large(&first->tile[i].site) || !is_of_bits(t, &first->tile[i].site)) continue;
    double judged = judge_tile(&l, &first->tile[i].site);
    if (!isfinite(judged) || (n == BEST_TILES && judged >= cost[n - 1])) continue;
    int at = n < BEST_TILES ? n++ : BEST_TILES - 1;
    for (; at > 0 && judged < cost[at - 1]; --at) cost[at] = cost[at - 1], best[at] = best[at - 1];
    cost[at] = judged;
    best[at] = &first->tile[i].site;
  }
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < STRUCTURES * LANES; ++j) {
      if (!has_lanes(survey, lanes_of[j % LANES])) continue;
      if (!is_listed(t, &structures[j / LANES], lanes_of[j % LANES])) continue;
      list_sizes(&l, &structures[j / LANES], best[i], lanes_of[j % LANES]);
    }
  }
  return l.count;
}
