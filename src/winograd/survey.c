/* The survey; see survey.h.
 *
 * Tiles are tried by the code that the rewrite itself runs (wino_geometry_site), with the models of single axes kept
 * between
 * them: building the matrices of one F(m, r) and counting the steps of its transforms is what takes the time.
 * The rule for which are tried: on each window m from 2 to as many outputs as there are (1, leaving it alone, where
 * there is one tap or one output, in three dimensions and on images of two outputs), n at most 8 and n1 n2 ... at most
 * 64, beyond which no tile keeps the promise or its transforms are larger than what they save. */
#include "rewrite/scratch.h"
#include "winograd/wino_emit.h"
#include "winograd/survey.h"

enum { MAX_M = 8, MAX_POINTS = 8, MAX_PRODUCTS = 64, SHORT_PIECE = 3, FEW_OUTPUTS = 2 };

typedef struct search {
  graph *g;
  const wino_options *options;
  const wino_geometry *plan;                       /* matched, its axes without tiles */
  wino_options tile;                               /* the tile to be tried */
  int least[WN_MAX_SPATIAL], most[WN_MAX_SPATIAL]; /* m of each window */
  bool alone[WN_MAX_SPATIAL];                      /* windows that nothing is gained on */
  VEC(wino_tile) tiles;
} search;

/* The tile's geometry; false if it breaks the promise or there is none. */
static bool plan_tile(search *s, wino_geometry *p, wino_site *site) {
  *p = *s->plan;
  *site = (wino_site){0};
  if (wino_geometry_site(p, &s->tile, site) != NULL) return false;
  return s->options->nm > 0 || wino_geometry_margin(p, s->options, site->error) >= 1;
}

static void try_tile(search *s) {
  wino_geometry p;
  wino_tile t = {0};
  if (!plan_tile(s, &p, &t.site)) return;
  for (int i = 0; i < p.match.naxes; ++i) {
    const wino_axis *x = wino_geometry_model(&p, i);
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
  const wino_axis_geometry *x = &s->plan->axis[i];
  int piece = x->phase_taps < SHORT_PIECE ? (int)x->phase_taps : SHORT_PIECE;
  wino_geometry p;
  wino_site site;
  s->most[i] = s->least[i];
  for (int m = s->least[i] + 1; m <= MAX_M && m <= x->phase_outputs && !s->alone[i]; ++m) {
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
  for (int m = s->least[i]; m <= s->most[i]; ++m) {
    int64_t n = m == 1 ? 1 : m + piece - 1;
    if (points * n > MAX_PRODUCTS) break;
    s->tile.m[i] = m;
    try_window(s, i + 1, points * n);
  }
}

static void try_all(search *s) {
  int n = s->plan->match.naxes;
  s->tile.nm = n;
  for (int i = 0; i < n; ++i) {
    const wino_axis_geometry *x = &s->plan->axis[i];
    s->alone[i] = x->phase_taps == 1 || x->phase_outputs == 1;
    s->least[i] = s->alone[i] || n > 2 || x->phase_outputs <= FEW_OUTPUTS ? 1 : 2;
    s->tile.m[i] = s->least[i];
  }
  for (int i = 0; i < n; ++i) find_most(s, i);
  try_window(s, 0, 1);
}

/* Are neighbours in memory of the activations those of one of these loops? The last index is the fastest in storage. */
static bool are_neighbours(arena *a, const wino_match *m, const loop_list *loops) {
  uop_order all = uop_walk_value(a, m->act);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    linear_form f;
    if (u->op != OP_INDEX || u->nsrc < 3 || !linear_of(u->src[u->nsrc - 1], &f)) continue;
    for (int j = 0; j < f.n; ++j) {
      for (int k = 0; k < loops->n; ++k) {
        if (f.atom[j] == loops->at[k] && f.coeff[j] == 1) return true;
      }
    }
  }
  return false;
}

static bool result_has_channels_last(const uop *root, const wino_match *m) {
  const uop *last = root->op == OP_BUFFERIZE ? root->src[root->nsrc - 1] : NULL;
  for (int i = 0; i < m->outs.n; ++i)
    if (m->outs.at[i] == last) return true;
  return false;
}

/* What its tiles and its cost depend on, as far as the survey can tell. */
static bool is_alike(const wino_conv *a, const wino_conv *b) {
  bool same = a->dtype == b->dtype && a->nwindow == b->nwindow && a->batch == b->batch &&
              a->K == b->K && a->G == b->G && a->C == b->C && a->image_last == b->image_last &&
              a->result_last == b->result_last && a->groups_last == b->groups_last;
  for (int i = 0; i < a->nwindow && same; ++i) {
    same = a->outputs[i] == b->outputs[i] && a->taps[i] == b->taps[i] &&
           a->stride[i] == b->stride[i] && a->dilation[i] == b->dilation[i];
  }
  return same;
}

typedef struct surveying {
  graph *g;
  const wino_options *options;
  wino_models *models;
  VEC(wino_conv) convs;
} surveying;

static uint64_t hash_of(const wino_conv *c) {
  int64_t head[] = {c->dtype,
                    c->nwindow,
                    c->batch,
                    c->K,
                    c->G,
                    c->C,
                    c->image_last + 2 * c->result_last + 4 * c->groups_last};
  size_t n = (size_t)c->nwindow;
  uint64_t h = hash_bytes(head, sizeof head, 1);
  h = hash_bytes(c->outputs, n * sizeof *c->outputs, h);
  h = hash_bytes(c->taps, n * sizeof *c->taps, h);
  h = hash_bytes(c->stride, n * sizeof *c->stride, h);
  return hash_bytes(c->dilation, n * sizeof *c->dilation, h) & (MAP_NONE >> 1);
}

/* The first that is like it, or itself. */
static int first_alike(surveying *s, map *kinds, const wino_conv *c) {
  uint64_t at;
  for (uint64_t key = hash_of(c);; ++key) {
    if (!map_get(kinds, key, &at)) {
      map_put(kinds, key, s->convs.len);
      return (int)s->convs.len;
    }
    if (is_alike(&s->convs.data[at], c)) return (int)at;
  }
}

static wino_conv survey_match(arena *a, const uop *root, const wino_match *m) {
  wino_conv c = {
      .root = root, .reduce = m->reduce, .dtype = (wn_dtype)m->reduce->dtype, .nwindow = m->naxes};
  for (int i = 0; i < m->naxes; ++i) {
    c.outputs[i] = m->axis[i].outputs;
    c.taps[i] = m->axis[i].taps;
    c.stride[i] = m->axis[i].s;
    c.dilation[i] = m->axis[i].d;
  }
  c.batch = wino_loops_extent(&m->batch);
  c.K = wino_loops_extent(&m->outs);
  c.G = wino_loops_extent(&m->groups);
  c.C = wino_loops_extent(&m->chans);
  c.image_last = are_neighbours(a, m, &m->chans);
  c.groups_last = are_neighbours(a, m, &m->groups);
  c.result_last = result_has_channels_last(root, m);
  return c;
}

static void list_tiles(surveying *sv, const wino_match *m, wino_conv *c) {
  const wino_options *o = sv->options;
  wino_geometry p = {.g = sv->g, .match = *m, .models = sv->models};
  for (int i = 0; i < m->naxes; ++i) p.axis[i] = wino_geometry_of_axis(&m->axis[i]);
  search s = {.g = sv->g, .options = o, .plan = &p, .tile = *o};
  if (o->nm > 0) {
    try_tile(&s);
  } else if (!o->off) {
    try_all(&s);
  }
  c->ntiles = (int)s.tiles.len;
  c->tile = s.tiles.data;
}

static void survey_value(arena *a, surveying *s, map *kinds, const uop *root) {
  uop_order order = uop_walk_value(a, root->src[0]);
  for (size_t i = 0; i < order.len; ++i) {
    wino_match m;
    if (order.at[i]->op != OP_REDUCE || wino_recognise(s->g, order.at[i], &m) != NULL) continue;
    wino_conv c = survey_match(a, root, &m);
    c.alike = first_alike(s, kinds, &c);
    if (c.alike == (int)s->convs.len) {
      list_tiles(s, &m, &c);
    } else {
      c.ntiles = s->convs.data[c.alike].ntiles;
      c.tile = s->convs.data[c.alike].tile;
    }
    vec_push(&s->g->arena, &s->convs, c);
  }
}

/* Every stored value under the roots, and of joined ones each. */
static void survey_roots(arena *a, surveying *s, int nroots, const uop *const *roots) {
  uop_order order = uop_toposort(a, nroots, roots);
  map kinds;
  map_init(&kinds, a);
  for (size_t i = 0; i < order.len; ++i)
    if (order.at[i]->op == OP_BUFFERIZE) survey_value(a, s, &kinds, order.at[i]);
}

typedef struct survey_job {
  surveying s;
  int nroots;
  const uop *const *roots;
  const uop *reduce; /* the one that is asked about; NULL: all */
} survey_job;

static void run_survey(arena *a, void *state) {
  survey_job *job = state;
  survey_roots(a, &job->s, job->nroots, job->roots);
}

static void run_one(arena *a, void *state) {
  survey_job *job = state;
  wino_match m;
  const char *why = wino_recognise(job->s.g, job->reduce, &m);
  WN_CHECK(why == NULL, "no convolution: %s", why);
  wino_conv c = survey_match(a, *job->roots, &m);
  list_tiles(&job->s, &m, &c);
  vec_push(&job->s.g->arena, &job->s.convs, c);
}

wino_conv wino_survey_conv(graph *g, const uop *root, const uop *reduce,
                           const wino_options *options) {
  survey_job job = {
      {.g = g, .options = options, .models = arena_new(&g->arena, wino_models)}, 1, &root, reduce};
  with_scratch(g->diag, run_one, &job);
  return job.s.convs.data[0];
}

wino_survey wino_survey_values(graph *g, int n, const uop *const *roots,
                               const wino_options *options) {
  survey_job job = {
      {.g = g, .options = options, .models = arena_new(&g->arena, wino_models)}, n, roots, NULL};
  with_scratch(g->diag, run_survey, &job);
  return (wino_survey){(int)job.s.convs.len, job.s.convs.data};
}

wino_survey wino_survey_graph(graph *g, const uop *root, const wino_options *options) {
  return wino_survey_values(g, 1, &root, options);
}
