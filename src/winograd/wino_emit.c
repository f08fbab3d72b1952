/* The Winograd form of one REDUCE.
 *
 * In: a match whose every window is transformed, with strides, phases, pieces and tiles per axis.
 * Out: INDEX of the output transform's BUFFERIZE, standing where the REDUCE stood; below it the
 * chain x, g -> m -> o of winograd.h.
 * The rule: out[o] = A^T [ sum over c of (G w) .* (B^T d) ] A with d[j] = act(u(tile, j)), w[tap]
 * = wgt(k(tap)), and c running over input channels, stride phases rho and pieces q of a long
 * filter (Lavin and Gray, arXiv:1509.09308).
 * Always holds: act is read only for u below the direct computation's extent, wgt only for k below
 * taps; both are zero beyond. The four values are closed: each has RANGEs of its own. */
#include "winograd/wino_emit.h"

/* The loops of one BUFFERIZE: fused RANGEs (NULL where the class is absent), their parts, and one
 * RANGE an axis. */
typedef struct parts {
  const uop *range;
  const uop *at[WINO_MAX_LOOPS + 2 * WN_MAX_SPATIAL];
} parts;

typedef struct ranges {
  int n;
  const uop *at[2 * WN_MAX_SPATIAL + 4];
} ranges;

static void add_range(ranges *r, const uop *range) {
  if (range != NULL) r->at[r->n++] = range;
}

/* --- fusing --- */

static void fused_add(wino_fused *f, int64_t extent) {
  f->extent[f->n++] = extent;
  f->size *= extent;
}

static void fused_loops(wino_fused *f, const loop_list *l) {
  *f = (wino_fused){.size = 1};
  for (int i = 0; i < l->n; ++i) fused_add(f, l->at[i]->arg.j);
}

void wino_geometry_classes(wino_geometry *p) {
  const wino_match *m = &p->match;
  fused_loops(&p->t, &m->batch);
  fused_loops(&p->k, &m->outs);
  fused_loops(&p->grp, &m->groups);
  fused_loops(&p->c, &m->chans);
  for (int i = 0; i < m->naxes; ++i) {
    if (p->axis[i].d > 1) fused_add(&p->t, p->axis[i].d);
    if (p->axis[i].s > 1) fused_add(&p->c, p->axis[i].s);
  }
  for (int i = 0; i < m->naxes; ++i) {
    fused_add(&p->t, p->axis[i].tiles);
    if (p->axis[i].pieces > 1) fused_add(&p->c, p->axis[i].pieces);
  }
}

/* A fresh RANGE for the class and its parts: extents of 1 are constants, a lone loop is the RANGE
 * itself. */
static parts split_class(graph *g, const wino_fused *f, const char *name) {
  parts p = {.range = f->size > 1 ? uop_range(g, f->size, name) : NULL};
  int64_t inner = 1;
  for (int i = f->n - 1; i >= 0; --i) {
    int64_t extent = f->extent[i];
    if (extent == 1) {
      p.at[i] = uop_int(g, 0);
      continue;
    }
    const uop *e = uop_divi(g, p.range, inner);
    inner *= extent;
    p.at[i] = inner == f->size ? e : uop_modi(g, e, extent);
  }
  return p;
}

static const uop *fuse(graph *g, const wino_fused *f, const uop *const *part) {
  const uop *e = uop_int(g, 0);
  int64_t inner = 1;
  for (int i = f->n - 1; i >= 0; --i) {
    if (f->extent[i] > 1) e = uop_add(g, e, uop_muli(g, part[i], inner));
    inner *= f->extent[i];
  }
  return e;
}

/* One RANGE an axis and their row-major position. */
static const uop *axis_ranges(const wino_geometry *p, ranges *out, const char *letter,
                              bool outputs) {
  const uop *at = uop_int(p->g, 0);
  for (int i = 0; i < p->match.naxes; ++i) {
    int64_t extent = outputs ? p->axis[i].m : p->axis[i].n;
    const uop *r = uop_range(p->g, extent, arena_printf(&p->g->arena, "%s%d", letter, i));
    add_range(out, r);
    at = uop_add(p->g, uop_muli(p->g, at, extent), r);
  }
  return at;
}

/* --- replacing loops --- */

typedef struct substitution {
  int n;
  const uop *from[3 * WINO_MAX_LOOPS], *to[3 * WINO_MAX_LOOPS];
} substitution;

static void map_loops(substitution *s, const loop_list *loops, const parts *p) {
  for (int i = 0; i < loops->n; ++i) {
    s->from[s->n] = loops->at[i];
    s->to[s->n++] = p->at[i];
  }
}

/* What follows the loops of the REDUCE in the classes t and c: phases, tiles, pieces, for each
 * axis. */
typedef struct axis_vars {
  const uop *phi, *rho, *tile, *q;
} axis_vars;

static void find_vars(const wino_geometry *p, const parts *t, const parts *c, axis_vars *v) {
  const wino_match *m = &p->match;
  int it = m->batch.n, ic = m->chans.n;
  const uop *zero = uop_int(p->g, 0);
  for (int i = 0; i < m->naxes; ++i) {
    v[i].phi = t != NULL && p->axis[i].d > 1 ? t->at[it++] : zero;
    v[i].rho = p->axis[i].s > 1 ? c->at[ic++] : zero;
  }
  for (int i = 0; i < m->naxes; ++i) {
    v[i].tile = t != NULL ? t->at[it++] : zero;
    v[i].q = p->axis[i].pieces > 1 ? c->at[ic++] : zero;
  }
}

/* Advances a row-major position; false after the last one. */
static bool advance(int n, int *at, const int *extent) {
  for (int i = n - 1; i >= 0; --i) {
    if (++at[i] < extent[i]) return true;
    at[i] = 0;
  }
  return false;
}

/* cond and (e < limit), left out where bounds prove it. */
static const uop *below(graph *g, const uop *cond, const uop *e, int64_t limit) {
  return e->vmax < limit ? cond : uop_and(g, cond, uop_lt(g, e, limit));
}

/* e with loops replaced where cond holds, 0 elsewhere. */
static const uop *guarded(graph *g, const uop *e, const uop *cond, int n, const uop *const *from,
                          const uop *const *to) {
  if (uop_is_int(cond, 0)) return uop_const(g, (wn_dtype)e->dtype, 0);
  e = uop_replace(g, e, n, from, to);
  return uop_is_int(cond, 1) ? e : guard_value(g, e, cond);
}

static const uop *transformed(const wino_geometry *p, const rational *const *matrix,
                              const int *rows, const int *cols, const uop *const *in,
                              const uop *which) {
  const wino_steps *steps[WN_MAX_SPATIAL];
  int n = p->match.naxes, count = 1;
  for (int i = 0; i < n; ++i) {
    steps[i] = wino_steps_build(&p->g->arena, matrix[i], rows[i], cols[i]);
    count *= rows[i];
  }
  return uop_get(p->g, uop_stack(p->g, count, wino_kron(p->g, n, steps, in)), which);
}

static const uop *bufferize(const wino_geometry *p, const uop *value, const ranges *r,
                            stage_id stage, int site) {
  const char letter[] = {stage_letter[stage], '\0'};
  const char *name = site == 0 ? letter : arena_printf(&p->g->arena, "%s%d", letter, site);
  return uop_bufferize(
      p->g, value, r->n, r->at,
      (bufferize_info){.name = name, .space = SPACE_ANY, .site = site, .stage = stage});
}

typedef enum { MATRIX_BT, MATRIX_G, MATRIX_AT } matrix_kind;

/* rows and cols of every axis's matrix and the number of values it is applied to. */
static size_t matrices(const wino_geometry *p, matrix_kind kind, const rational **matrix, int *rows,
                       int *cols) {
  size_t count = 1;
  for (int i = 0; i < p->match.naxes; ++i) {
    const wino_axis_geometry *a = &p->axis[i];
    const wino_matrices *w = wino_matrices_build(&p->g->arena, a->m, a->piece);
    matrix[i] = kind == MATRIX_BT ? w->bt : kind == MATRIX_G ? w->g : w->at;
    rows[i] = kind == MATRIX_AT ? a->m : a->n;
    cols[i] = kind == MATRIX_G ? a->piece : a->n;
    count *= (size_t)cols[i];
  }
  return count;
}

/* --- x: the input transform --- */

static int64_t window_extent(const wino_axis_geometry *a) {
  return a->s * (a->outputs - 1) + a->d * (a->taps - 1) + 1;
}

/* u of an axis at position j of its tile. */
static const uop *window_at(graph *g, const wino_axis_geometry *a, const axis_vars *v, int j) {
  const uop *inner = uop_add(g, uop_muli(g, v->tile, a->m), uop_muli(g, v->q, a->piece));
  const uop *u = uop_add(g, uop_muli(g, inner, a->s * a->d), uop_muli(g, v->phi, a->s));
  return uop_addi(g, uop_add(g, u, uop_muli(g, v->rho, a->d)), a->s * a->d * j);
}

static const uop *emit_x(const wino_geometry *p, int site) {
  graph *g = p->g;
  const wino_match *m = &p->match;
  ranges r = {0};
  const uop *which = axis_ranges(p, &r, "f", false);
  parts grp = split_class(g, &p->grp, "g"), c = split_class(g, &p->c, "c"),
        t = split_class(g, &p->t, "t");
  add_range(&r, grp.range), add_range(&r, c.range), add_range(&r, t.range);

  const uop *u[WN_MAX_SPATIAL];
  for (int i = 0; i < m->naxes; i++) u[i] = uop_range(g, window_extent(&p->axis[i]), "u");
  substitution s = {0};
  map_loops(&s, &m->batch, &t), map_loops(&s, &m->groups, &grp), map_loops(&s, &m->chans, &c);
  const uop *act = simplify(g, uop_replace(g, wino_window(g, m, u), s.n, s.from, s.to));

  axis_vars v[WN_MAX_SPATIAL];
  find_vars(p, &t, &c, v);
  const rational *matrix[WN_MAX_SPATIAL];
  int rows[WN_MAX_SPATIAL], cols[WN_MAX_SPATIAL], at[WN_MAX_SPATIAL] = {0};
  size_t count = matrices(p, MATRIX_BT, matrix, rows, cols), i = 0;
  const uop **in = arena_array(&g->arena, const uop *, count);
  do {
    const uop *cond = uop_bool(g, true), *to[WN_MAX_SPATIAL];
    for (int a = 0; a < m->naxes; ++a) {
      to[a] = window_at(g, &p->axis[a], &v[a], at[a]);
      cond = below(g, cond, to[a], window_extent(&p->axis[a]));
    }
    in[i++] = guarded(g, act, cond, m->naxes, u, to);
  } while (advance(m->naxes, at, cols));
  return bufferize(p, transformed(p, matrix, rows, cols, in, which), &r, STAGE_X, site);
}

/* --- g: the weight transform --- */

static const uop *emit_g(const wino_geometry *p, int site) {
  graph *g = p->g;
  const wino_match *m = &p->match;
  ranges r = {0};
  const uop *which = axis_ranges(p, &r, "f", false);
  parts grp = split_class(g, &p->grp, "g"), k = split_class(g, &p->k, "k"),
        c = split_class(g, &p->c, "c");
  add_range(&r, grp.range), add_range(&r, k.range), add_range(&r, c.range);
  substitution s = {0};
  map_loops(&s, &m->outs, &k), map_loops(&s, &m->groups, &grp), map_loops(&s, &m->chans, &c);

  axis_vars v[WN_MAX_SPATIAL];
  find_vars(p, NULL, &c, v);
  const rational *matrix[WN_MAX_SPATIAL];
  int rows[WN_MAX_SPATIAL], cols[WN_MAX_SPATIAL], at[WN_MAX_SPATIAL] = {0}, loops = s.n;
  size_t count = matrices(p, MATRIX_G, matrix, rows, cols), i = 0;
  const uop **in = arena_array(&g->arena, const uop *, count);
  do {
    const uop *cond = uop_bool(g, true);
    s.n = loops;
    for (int a = 0; a < m->naxes; ++a) {
      const wino_axis_geometry *x = &p->axis[a];
      const uop *tap = uop_muli(g, uop_addi(g, uop_muli(g, v[a].q, x->piece), at[a]), x->s);
      tap = uop_add(g, tap, v[a].rho);
      cond = below(g, cond, tap, x->taps);
      s.from[s.n] = m->axis[a].k;
      s.to[s.n++] = x->reversed ? uop_addi(g, uop_muli(g, tap, -1), x->taps - 1) : tap;
    }
    in[i++] = guarded(g, m->wgt, cond, s.n, s.from, s.to);
  } while (advance(m->naxes, at, cols));
  return bufferize(p, transformed(p, matrix, rows, cols, in, which), &r, STAGE_G, site);
}

/* --- m: products summed over channels; o: the output transform --- */

static const uop *read_value(graph *g, const uop *buffer, int ndim, const uop *const *f,
                             const uop *const *classes, int n) {
  ranges at = {0};
  for (int i = 0; i < ndim; ++i) add_range(&at, f[i]);
  for (int i = 0; i < n; ++i) add_range(&at, classes[i]);
  return uop_index(g, buffer, NULL, at.n, at.at);
}

static const uop *emit_m(const wino_geometry *p, const uop *x, const uop *w, int site) {
  graph *g = p->g;
  int nd = p->match.naxes;
  ranges r = {0};
  axis_ranges(p, &r, "f", false);
  const uop *grp = split_class(g, &p->grp, "g").range, *k = split_class(g, &p->k, "k").range;
  const uop *t = split_class(g, &p->t, "t").range, *c = split_class(g, &p->c, "c").range;
  add_range(&r, grp), add_range(&r, k), add_range(&r, t);
  const uop *value = uop_mul(g, read_value(g, x, nd, r.at, (const uop *[]){grp, c, t}, 3),
                             read_value(g, w, nd, r.at, (const uop *[]){grp, k, c}, 3));
  if (c != NULL) value = uop_reduce(g, OP_ADD, value, 1, &c);
  return bufferize(p, value, &r, STAGE_M, site);
}

static const uop *emit_o(const wino_geometry *p, const uop *mhat, int site) {
  graph *g = p->g;
  int nd = p->match.naxes;
  const uop *grp = split_class(g, &p->grp, "g").range, *k = split_class(g, &p->k, "k").range;
  const uop *t = split_class(g, &p->t, "t").range;
  ranges r = {0};
  add_range(&r, grp), add_range(&r, k), add_range(&r, t);
  const uop *which = axis_ranges(p, &r, "p", true);

  const rational *matrix[WN_MAX_SPATIAL];
  int rows[WN_MAX_SPATIAL], cols[WN_MAX_SPATIAL], at[WN_MAX_SPATIAL] = {0};
  size_t count = matrices(p, MATRIX_AT, matrix, rows, cols), i = 0;
  const uop **in = arena_array(&g->arena, const uop *, count);
  do {
    const uop *f[WN_MAX_SPATIAL] = {0};
    for (int a = 0; a < nd; ++a) f[a] = uop_int(g, at[a]);
    in[i++] = read_value(g, mhat, nd, f, (const uop *[]){grp, k, t}, 3);
  } while (advance(nd, at, cols));
  return bufferize(p, transformed(p, matrix, rows, cols, in, which), &r, STAGE_O, site);
}

/* The output loops' place in o: t from batch loops, phases and tiles; p inside of the tile. */
static const uop *read_output(const wino_geometry *p, const uop *o) {
  graph *g = p->g;
  const wino_match *m = &p->match;
  const uop *t[WINO_MAX_LOOPS + 2 * WN_MAX_SPATIAL], *pos[WN_MAX_SPATIAL];
  int n = 0;
  for (int i = 0; i < m->batch.n; ++i) t[n++] = m->batch.at[i];
  for (int i = 0; i < m->naxes; ++i) {
    if (p->axis[i].d > 1) t[n++] = uop_modi(g, m->axis[i].o, p->axis[i].d);
  }
  for (int i = 0; i < m->naxes; ++i) {
    const wino_axis_geometry *a = &p->axis[i];
    const uop *phase = a->d > 1 ? uop_divi(g, m->axis[i].o, a->d) : m->axis[i].o;
    t[n++] = uop_divi(g, m->axis[i].o, a->d * a->m);
    pos[i] = uop_modi(g, phase, a->m);
  }
  ranges at = {0};
  if (p->grp.size > 1) add_range(&at, fuse(g, &p->grp, m->groups.at));
  if (p->k.size > 1) add_range(&at, fuse(g, &p->k, m->outs.at));
  if (p->t.size > 1) add_range(&at, fuse(g, &p->t, t));
  for (int i = 0; i < m->naxes; ++i) add_range(&at, pos[i]);
  return uop_index(g, o, NULL, at.n, at.at);
}

const uop *wino_emit(const wino_geometry *p, int site) {
  const uop *x = emit_x(p, site);
  const uop *w = emit_g(p, site);
  const uop *m = emit_m(p, x, w, site);
  return read_output(p, emit_o(p, m, site));
}
