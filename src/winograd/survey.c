/* The survey; see survey.h.
 *
 * Tiles are tried by the code that the rewrite itself runs (wino_plan_site), with the models of single axes kept between
 * them: building the matrices of one F(m, r) and counting the steps of its transforms is what takes the time.
 * The rule for which are tried: on each window m from 2 to as many outputs as there are (1, leaving it alone, where there is
 * one tap or one output, in three dimensions and on images of two outputs), n at most 8 and n1 n2 ... at most 64, beyond
 * which no tile keeps the promise or its transforms are larger than what they save. */
#include "winograd/cancel.h"
#include "winograd/emit.h"
#include "winograd/survey.h"

enum { MAX_M = 8, MAX_POINTS = 8, MAX_PRODUCTS = 64, SHORT_PIECE = 3, FEW_OUTPUTS = 2 };

typedef struct search {
  graph *g;
  const wino_options *options;
  const wino_plan *plan;                           /* matched, its axes without tiles */
  wino_options tile;                               /* the tile to be tried */
  int least[WN_MAX_SPATIAL], most[WN_MAX_SPATIAL]; /* m of each window */
  bool alone[WN_MAX_SPATIAL];                      /* windows that nothing is gained on */
  VEC(wino_tile) tiles;
} search;

/* The tile's geometry; false if it breaks the promise or there is none. */
static bool plan_tile(search *s, wino_plan *p, wino_site *site) {
  *p = *s->plan;
  *site = (wino_site){0};
  if (wino_plan_site(p, &s->tile, site) != NULL) return false;
  return s->options->nm > 0 || wino_plan_margin(p, s->options, site->error) >= 1;
}

static void try_tile(search *s) {
  wino_plan p;
  wino_tile t = {0};
  if (!plan_tile(s, &p, &t.site)) return;
  for (int i = 0; i < p.match.naxes; i++) {
    const wino_axis *x = wino_plan_model(&p, i);
    t.tiles[i] = p.axis[i].tiles;
    t.steps_b[i] = x->steps_b;
    t.steps_g[i] = x->steps_g;
    t.steps_a[i] = x->steps_a;
  }
  vec_push(&s->g->arena, &s->tiles, t);
}

/* Errors grow with m: the largest that is worth trying is the last that the promise holds for with the other windows at
 * their least, so that hardly more models are made than there are tiles. */
static void find_most(search *s, int i) {
  const wino_axis_plan *x = &s->plan->axis[i];
  int piece = x->phase_taps < SHORT_PIECE ? (int)x->phase_taps : SHORT_PIECE;
  wino_plan p;
  wino_site site;
  s->most[i] = s->least[i];
  for (int m = s->least[i] + 1; m <= MAX_M && m <= x->phase_outputs && !s->alone[i]; m++) {
    s->tile.m[i] = m;
    if (m + piece - 1 > MAX_POINTS || !plan_tile(s, &p, &site)) break;
    s->most[i] = m;
  }
  s->tile.m[i] = s->least[i];
}

/* Every m of window i and of those after it. */
static void try_window(search *s, int i, int64_t points) {
  if (i == s->plan->match.naxes) {
    try_tile(s);
    return;
  }
  int64_t taps = s->plan->axis[i].phase_taps, piece = taps < SHORT_PIECE ? taps : SHORT_PIECE;
  for (int m = s->least[i]; m <= s->most[i]; m++) {
    int64_t n = m == 1 ? 1 : m + piece - 1;
    if (points * n > MAX_PRODUCTS) break;
    s->tile.m[i] = m;
    try_window(s, i + 1, points * n);
  }
}

static void try_all(search *s) {
  int n = s->plan->match.naxes;
  s->tile.nm = n;
  for (int i = 0; i < n; i++) {
    const wino_axis_plan *x = &s->plan->axis[i];
    s->alone[i] = x->phase_taps == 1 || x->phase_outputs == 1;
    s->least[i] = s->alone[i] || n > 2 || x->phase_outputs <= FEW_OUTPUTS ? 1 : 2;
    s->tile.m[i] = s->least[i];
  }
  for (int i = 0; i < n; i++) find_most(s, i);
  try_window(s, 0, 1);
}

/* Are neighbours in memory of the activations channels? */
static bool has_channels_last(graph *g, const wino_match *m) {
  uop_order all = uop_toposort(&g->arena, 1, &m->act);
  for (size_t i = 0; i < all.len; i++) {
    const uop *u = all.at[i];
    linear_form f;
    if (u->op != OP_INDEX || u->nsrc < 3 || !linear_of(u->src[u->nsrc - 1], &f)) continue;
    for (int j = 0; j < f.n; j++) {
      for (int k = 0; k < m->chans.n; k++) {
        if (f.atom[j] == m->chans.at[k] && f.coeff[j] == 1) return true;
      }
    }
  }
  return false;
}

static wino_conv survey_match(graph *g, const wino_match *m, const wino_options *o,
                              wino_models *models) {
  wino_plan p = {.g = g, .match = *m, .models = models};
  wino_conv c = {.dtype = (wn_dtype)m->reduce->dtype, .nwindow = m->naxes};
  for (int i = 0; i < m->naxes; i++) {
    p.axis[i] = wino_plan_axis(&m->axis[i]);
    c.outputs[i] = m->axis[i].outputs;
    c.taps[i] = m->axis[i].taps;
    c.stride[i] = m->axis[i].s;
    c.dilation[i] = m->axis[i].d;
  }
  c.batch = wino_loops_extent(&m->batch);
  c.K = wino_loops_extent(&m->outs);
  c.G = wino_loops_extent(&m->groups);
  c.C = wino_loops_extent(&m->chans);
  c.channels_last = has_channels_last(g, m);
  c.stays = wino_cancels(g, m, o->weights) != NULL;
  if (c.stays) return c;
  search s = {.g = g, .options = o, .plan = &p, .tile = *o};
  if (o->nm > 0) {
    try_tile(&s);
  } else if (!o->off) {
    try_all(&s);
  }
  c.ntiles = (int)s.tiles.len;
  c.tile = s.tiles.data;
  return c;
}

wino_survey wino_survey_graph(graph *g, const uop *root, const wino_options *options) {
  uop_order order = uop_toposort(&g->arena, 1, &root);
  VEC(wino_conv) convs = {0};
  wino_models *models = arena_new(&g->arena, wino_models);
  for (size_t i = 0; i < order.len; i++) {
    wino_match m;
    if (order.at[i]->op != OP_REDUCE || wino_recognise(g, order.at[i], &m) != NULL) continue;
    wino_conv c = survey_match(g, &m, options, models);
    vec_push(&g->arena, &convs, c);
  }
  return (wino_survey){(int)convs.len, convs.data};
}
