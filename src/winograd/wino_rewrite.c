/* The rewrite: every REDUCE that the recogniser matches becomes Winograd's minimal filtering, if
 * that is worth it.
 *
 * In: simplified range IR and options (tile sizes, or none to choose by cost within the promise on
 * the error). Out: the rewritten root, simplified, what was rewritten, and a line for people about
 * each REDUCE.
 * The rule for an axis: a stride s splits the filter into s phases of ceil(r / s) taps, a dilation
 * d splits the outputs into d phases, a filter longer than a piece is summed from pieces; what
 * remains is F(m, piece) at stride 1. An axis on which nothing is gained (one tap, one output, m =
 * 1) is left alone: its loops are a batch loop and a channel.
 * Always holds: a REDUCE that is not rewritten stays the node it was. */
#include <math.h>
#include <stdlib.h>

#include "winograd/wino_emit.h"

enum {
  MAX_TRANSFORM = 4096, /* values in one kron: more is no program that anybody compiles */
  SHORTEST_PIECE = 3,
  LONGEST_PIECE = 5,
  LONGEST_FILTER = 1 << 20,
  MAX_CUTS = 81 /* three lengths for each of WN_MAX_SPATIAL axes */
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* --- geometry --- */

wino_axis_geometry wino_geometry_of_axis(const wino_slide *x) {
  wino_axis_geometry a = {.s = x->s, .d = x->d < 0 ? -x->d : x->d, .reversed = x->d < 0};
  a.taps = x->taps;
  a.outputs = x->outputs;
  a.phase_taps = ceil_div(a.taps, a.s);
  a.phase_outputs = ceil_div(a.outputs, a.d);
  return a;
}

static void drop_axis(wino_geometry *p, int axis) {
  wino_unpair(&p->match, axis);
  for (int i = axis; i < p->match.naxes; ++i) p->axis[i] = p->axis[i + 1];
}

static void set_tile(wino_axis_geometry *a, int m, int piece) {
  a->m = m;
  a->piece = piece;
  a->n = m + piece - 1;
  a->pieces = ceil_div(a->phase_taps, piece);
  a->tiles = ceil_div(a->phase_outputs, m);
}

int64_t wino_loops_extent(const loop_list *l) {
  int64_t n = 1;
  for (int i = 0; i < l->n; ++i) n *= l->at[i]->arg.j;
  return n;
}

/* Channels of the stride-1 problem: input channels times stride phases. */
static int64_t phase_channels(const wino_geometry *p) {
  int64_t c = wino_loops_extent(&p->match.chans);
  for (int i = 0; i < p->match.naxes; ++i) c *= p->axis[i].s;
  return c;
}

int64_t wino_products(const uop *reduce) {
  int64_t n = 1;
  for (int i = 1; i < reduce->nsrc; ++i) n *= reduce->src[i]->arg.j;
  return n;
}

/* Error of arithmetic in f64 relative to the same in f32. */
static double precision(const wino_geometry *p) {
  return p->match.reduce->dtype == WN_F64 ? 0x1p-29 : 1;
}

const wino_axis *wino_geometry_model(const wino_geometry *p, int axis) {
  int m = p->axis[axis].m, r = p->axis[axis].piece;
  arena *a = &p->g->arena;
  if (p->models == NULL || m > WINO_MODEL_M || r > WINO_MODEL_R)
    return arena_copy(a, &(wino_axis[]){wino_axis_of(a, wino_matrices_build(a, m, r))},
                      sizeof(wino_axis));
  wino_axis *model = &p->models->at[m][r];
  if (model->n == 0) *model = wino_axis_of(a, wino_matrices_build(a, m, r));
  return model;
}

static double plan_error(const wino_geometry *p) {
  wino_axis axis[WN_MAX_SPATIAL];
  int64_t c = phase_channels(p);
  for (int i = 0; i < p->match.naxes; ++i) {
    axis[i] = *wino_geometry_model(p, i);
    c *= p->axis[i].pieces;
  }
  return wino_axes_error(p->match.naxes, axis, c < WINO_CHAIN ? c : WINO_CHAIN) * precision(p);
}

static bool keeps_promise(const wino_geometry *p, const wino_options *o, double error) {
  return error <= math_bound(o->math, wino_products(p->match.reduce));
}

/* --- tile sizes --- */

typedef struct filter_pieces {
  int at[WN_MAX_SPATIAL];
  int64_t cost; /* multiplications of one tile */
} filter_pieces;

static int by_cost(const void *a, const void *b) {
  const filter_pieces *x = a, *y = b;
  if (x->cost != y->cost) return (x->cost > y->cost) - (x->cost < y->cost);
  return memcmp(x->at, y->at, sizeof x->at);
}

/* Every way to cut the filter into pieces of 3 to 5 taps (or whole if shorter), cheapest first. */
static int list_pieces(const wino_geometry *p, const int *m, filter_pieces *list) {
  int n = 1;
  list[0] = (filter_pieces){.cost = 1};
  for (int i = 0; i < p->match.naxes; ++i) {
    int64_t taps = p->axis[i].phase_taps;
    int first = taps < SHORTEST_PIECE ? (int)taps : SHORTEST_PIECE, made = 0;
    filter_pieces next[MAX_CUTS];
    for (int j = 0; j < n; ++j) {
      for (int piece = first; piece <= taps && piece <= LONGEST_PIECE; ++piece) {
        next[made] = list[j];
        next[made].at[i] = piece;
        next[made++].cost *= ceil_div(taps, piece) * (m[i] + piece - 1);
      }
    }
    memcpy(list, next, sizeof *list * (size_t)made);
    n = made;
  }
  qsort(list, (size_t)n, sizeof *list, by_cost);
  return n;
}

static void set_pieces(wino_geometry *p, const int *m, const filter_pieces *c) {
  for (int i = 0; i < p->match.naxes; ++i) set_tile(&p->axis[i], m[i], c->at[i]);
}

double wino_geometry_margin(const wino_geometry *p, const wino_options *o, double error) {
  double padding = 1;
  for (int i = 0; i < p->match.naxes; ++i) {
    padding *= (double)(p->axis[i].pieces * p->axis[i].piece) / (double)p->axis[i].phase_taps;
  }
  return WINO_SPREAD * math_bound(o->math, wino_products(p->match.reduce)) /
         (error * sqrt(padding));
}

/* Tiles that were asked for or chosen: the cheapest pieces that keep the promise with a margin, else the cheapest that
 * keep it, else the most accurate. */
static double use_given_tiles(wino_geometry *p, const wino_options *o, const int *m) {
  filter_pieces list[MAX_CUTS];
  double error[MAX_CUTS];
  int n = list_pieces(p, m, list), best = 0, keeps = -1;
  for (int i = 0; i < n; ++i) {
    set_pieces(p, m, &list[i]);
    error[i] = plan_error(p);
    if (wino_geometry_margin(p, o, error[i]) >= 1) return error[i];
    if (keeps < 0 && keeps_promise(p, o, error[i])) keeps = i;
    if (error[i] < error[best]) best = i;
  }
  if (keeps >= 0) best = keeps;
  set_pieces(p, m, &list[best]);
  return error[best];
}

/* Multiplications that the stride-1 problem counts as direct over those that there are: zero-padded
 * phases. */
static double padding_waste(const wino_geometry *p) {
  double waste = 1;
  for (int i = 0; i < p->match.naxes; ++i) {
    waste *= (double)(p->axis[i].s * p->axis[i].phase_taps) / (double)p->axis[i].taps;
  }
  return waste;
}

/* The tile of each axis, 1 where it is left alone. */
static const char *choose_tiles(const wino_geometry *p, const wino_options *o, wino_site *site) {
  wino_choice choice;
  int r[WN_MAX_SPATIAL], n = p->match.naxes;
  int64_t extent[WN_MAX_SPATIAL];
  for (int i = 0; i < n; ++i) {
    r[i] = (int)p->axis[i].phase_taps;
    extent[i] = p->axis[i].phase_outputs;
  }
  int64_t c = phase_channels(p), k = wino_loops_extent(&p->match.outs);
  bool faster = wino_choose(&p->g->arena, n, r, extent, c, k, o->math, &choice);
  if (choice.ndim == 0) return "no tile keeps the promise on the error";
  site->cost = choice.cost * padding_waste(p);
  if (!o->always && (!faster || site->cost >= 1)) return "direct is expected to be faster";
  for (int i = 0; i < n; ++i)
    site->window_m[i] = choice.m[i] < 2 || choice.piece[i] < 2 ? 1 : choice.m[i];
  return NULL;
}

static int given_m(const wino_options *o, int axis) {
  return o->m[o->nm == 1 ? 0 : axis < o->nm ? axis : o->nm - 1];
}

/* Decides which axes are transformed and how. Returns the reason if none is. */
static const char *plan_tiles(wino_geometry *p, const wino_options *o, wino_site *site) {
  int m[WN_MAX_SPATIAL], n = 0;
  site->nwindow = p->match.naxes;
  for (int i = 0; i < site->nwindow; ++i) {
    p->axis[i] = wino_geometry_of_axis(&p->match.axis[i]);
    if (p->axis[i].phase_taps > LONGEST_FILTER) return "the filter is too long";
  }
  const char *why = o->nm == 0 ? choose_tiles(p, o, site) : NULL;
  if (why != NULL) return why;
  for (int i = 0; i < site->nwindow; ++i) {
    if (o->nm > 0) site->window_m[i] = given_m(o, i);
    if (site->window_m[i] < 2)
      drop_axis(p, n);
    else
      m[n++] = site->window_m[i];
  }
  if (n == 0)
    return o->nm > 0 ? "tiles of 1 leave every window alone" : "direct is expected to be faster";
  site->error =
      use_given_tiles(p, o, m); /* of a chosen tile as well: a plan's text has no pieces */
  int64_t size = 1;
  for (int i = 0; i < p->match.naxes; ++i) size *= p->axis[i].n;
  if (size > MAX_TRANSFORM) {
    return arena_printf(&p->g->arena, "a transform of %lld values is too large", (long long)size);
  }
  wino_geometry_classes(p);
  return p->t.n > WN_MAX_DIMS ? "too many batch loops and tile loops" : NULL;
}

static void fill_site(const wino_geometry *p, const wino_options *o, wino_site *s) {
  s->ndim = p->match.naxes;
  for (int i = 0; i < s->ndim; ++i) {
    s->m[i] = p->axis[i].m;
    s->r[i] = p->axis[i].piece;
    s->n[i] = p->axis[i].n;
    s->out_extent[i] = p->axis[i].phase_outputs;
  }
  s->nt = p->t.n;
  for (int i = 0; i < s->nt; ++i) s->t_extent[i] = p->t.extent[i];
  s->T = p->t.size;
  s->K = p->k.size;
  s->G = p->grp.size;
  s->C = p->c.size;
  s->promise_missed = !keeps_promise(p, o, s->error);
}

const char *wino_geometry_site(wino_geometry *p, const wino_options *o, wino_site *site) {
  const char *why = plan_tiles(p, o, site);
  if (why == NULL) fill_site(p, o, site);
  return why;
}

/* --- the trace --- */

static void add_extents(str *s, int n, const int64_t *at) {
  for (int i = 0; i < n; i++) str_printf(s, "%s%lld", i > 0 ? "x" : "", (long long)at[i]);
}

static void add_unless_ones(str *s, const char *what, int n, const int64_t *at) {
  bool ones = true;
  for (int i = 0; i < n; ++i) ones = ones && at[i] == 1;
  if (ones) return;
  str_printf(s, ", %s ", what);
  add_extents(s, n, at);
}

/* "conv 2-D, 16 -> 16 channels, 3x3, stride 2x2, window loops oy/ky ox/kx" */
static void trace_match(str *s, graph *g, const wino_match *m) {
  int64_t taps[WN_MAX_SPATIAL] = {0}, stride[WN_MAX_SPATIAL] = {0}, dilation[WN_MAX_SPATIAL] = {0};
  for (int i = 0; i < m->naxes; ++i) {
    taps[i] = m->axis[i].taps;
    stride[i] = m->axis[i].s;
    dilation[i] = m->axis[i].d;
  }
  int64_t groups = wino_loops_extent(&m->groups);
  str_printf(s, "conv %d-D, %lld -> %lld channels, ", m->naxes,
             (long long)wino_loops_extent(&m->chans), (long long)wino_loops_extent(&m->outs));
  add_extents(s, m->naxes, taps);
  if (m->naxes == 1) str_printf(s, " tap%s", taps[0] == 1 ? "" : "s");
  add_unless_ones(s, "stride", m->naxes, stride);
  add_unless_ones(s, "dilation", m->naxes, dilation);
  if (groups > 1) str_printf(s, ", %lld groups", (long long)groups);
  str_add(s, ", window loops");
  for (int i = 0; i < m->naxes; ++i) {
    str_printf(s, " %s/", uop_range_name(g, m->axis[i].o));
    str_printf(s, "%s", uop_range_name(g, m->axis[i].k));
  }
}

static void trace_site(str *s, const wino_geometry *p, const wino_site *site) {
  int64_t m[WN_MAX_SPATIAL] = {0}, r[WN_MAX_SPATIAL] = {0}, pieces = 1;
  for (int i = 0; i < site->ndim; ++i) {
    m[i] = site->m[i];
    r[i] = site->r[i];
    pieces *= p->axis[i].pieces;
  }
  str_add(s, ", F(");
  add_extents(s, site->ndim, m);
  str_add(s, ",");
  add_extents(s, site->ndim, r);
  str_printf(s, "), %lld tiles", (long long)site->T);
  if (pieces > 1) str_printf(s, ", filter in %lld pieces", (long long)pieces);
  int64_t c = wino_loops_extent(&p->match.chans);
  if (site->C != c) str_printf(s, ", sums of %lld", (long long)site->C);
  str_printf(s, ", error %.1e%s", site->error, site->promise_missed ? " (over the promise)" : "");
  if (site->cost > 0) str_printf(s, ", cost %.2f of direct", site->cost);
}

static void trace_reduce(str *s, graph *g, const uop *r) {
  str_printf(s, "%s over", op_table[r->arg.i].name);
  for (int i = 1; i < r->nsrc; ++i) {
    str_printf(s, " %s", uop_range_name(g, r->src[i]));
    str_printf(s, ":%lld", (long long)r->src[i]->arg.j);
  }
  str_add(s, ": ");
}

/* --- the pass --- */

typedef struct pass {
  graph *g;
  const map *numbers; /* NULL: in order */
  const wino_options *option;
  int met;
  wino_models *models;
  str trace;
  VEC(wino_site) sites;
} pass;

/* was: the REDUCE before its sources were rewritten. */
static const uop *visit_reduce(pass *s, const uop *was, const uop *reduce) {
  wino_geometry p = {.g = s->g, .models = s->models};
  wino_site site = {0};
  uint64_t number = 0;
  trace_reduce(&s->trace, s->g, reduce);
  const char *why = wino_recognise(s->g, reduce, &p.match);
  if (why != NULL) {
    str_printf(&s->trace, "declined, %s\n", why);
    return reduce;
  }
  trace_match(&s->trace, s->g, &p.match);
  if (s->numbers == NULL) number = (uint64_t)s->met++;
  if (s->numbers != NULL && !map_get(s->numbers, was->id, &number)) return reduce;
  const wino_options *o = &s->option[s->numbers != NULL ? number : 0];
  site.number = (int)number;
  if (o->off)
    why = o->why_off != NULL ? o->why_off : "rewriting is off";
  else
    why = wino_geometry_site(&p, o, &site);
  if (why != NULL) {
    str_printf(&s->trace, "; not rewritten, %s\n", why);
    return reduce;
  }
  const uop *result = wino_emit(&p, site.number);
  trace_site(&s->trace, &p, &site);
  str_add(&s->trace, "\n");
  vec_push(&s->g->arena, &s->sites, site);
  return result;
}

static wino_result rewrite_all(graph *g, const uop *root, const map *numbers,
                               const wino_options *option) {
  pass s = {
      .g = g, .numbers = numbers, .option = option, .models = arena_new(&g->arena, wino_models)};
  str_init(&s.trace, &g->arena);
  uop_order order = uop_toposort(&g->arena, 1, &root);
  const uop **made = arena_array(&g->arena, const uop *, root->id + 1);
  for (size_t i = 0; i < order.len; ++i) {
    const uop *u = order.at[i];
    const uop **src = arena_array(&g->arena, const uop *, u->nsrc + 1);
    bool changed = false;
    for (int j = 0; j < u->nsrc; ++j) {
      src[j] = made[u->src[j]->id];
      changed |= src[j] != u->src[j];
    }
    const uop *n = changed ? uop_with_src(g, u, src) : u;
    made[u->id] = n->op == OP_REDUCE ? visit_reduce(&s, u, n) : n;
  }
  wino_result result = {made[root->id], (int)s.sites.len, s.sites.data, str_text(&s.trace)};
  if (result.nsites > 0) result.root = simplify(g, result.root);
  return result;
}

wino_result wino_rewrite(graph *g, const uop *root, const wino_options *options) {
  return rewrite_all(g, root, NULL, options);
}

wino_result wino_rewrite_sites(graph *g, const uop *root, const map *numbers,
                               const wino_options *option) {
  return rewrite_all(g, root, numbers, option);
}
