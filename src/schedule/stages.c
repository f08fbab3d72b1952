/* Nests of the input transform, the weight transform and the products.
 *
 * In: a stage with its domain. Out: its nest. The transforms run over tiles in rows, so that a vector of tiles reads the
 * image at a constant stride, with all frequencies unrolled; the products run over the fused tiles, which need no division,
 * unless a transform is inlined into them. Always holds: outside its consumer's kernel a nest's outer axes are GRID. */
#include "schedule/apply.h"

draft draft_begin(apply *ap, const stage *st) {
  draft d = {.st = st, .value = st->node->src[0]};
  d.n = arena_new(ap->a, nest);
  d.n->stage = st->node->arg.info->name;
  return d;
}

/* --- finishing ------------------------------------------------------------------------------------------------------ */

typedef struct guard {
  apply *ap;
  const draft *d;
} guard;

/* An array that nothing may read past: the caller's, or one stored in its natural size. */
static bool is_exact_array(apply *ap, const uop *base) {
  if (base->op == OP_BUFFER) return base->arg.i < ap->nuser;
  const stage *st = map_get_ptr(&ap->by_node, base->id);
  return st != NULL && st->exact;
}

/* Does b depend on every loop of a? A limit guards a read only then: a read that moves with only some of a limit's loops
 * does not leave its array with them. */
static bool covers_ranges(const uop *a, const uop *b) {
  int j = 0;
  for (int i = 0; i < a->free_->len; ++i) {
    while (j < b->free_->len && b->free_->at[j] < a->free_->at[i]) ++j;
    if (j == b->free_->len || b->free_->at[j] != a->free_->at[i]) return false;
  }
  return true;
}

static const uop *guard_read(void *user, const uop *u) {
  const guard *gd = user;
  if (u->op != OP_INDEX || !is_exact_array(gd->ap, u->src[0])) return u;
  const uop *valid = u->src[1];
  for (int i = 0; i < gd->d->nlimits; ++i) {
    if (covers_ranges(gd->d->limit[i], u)) valid = uop_and(gd->ap->g, valid, gd->d->limit[i]);
  }
  return uop_index(gd->ap->g, u->src[0], valid, u->nsrc - 2, u->src + 2);
}

/* Two replacements with a simplification in between: see draft. */
static const uop *over_axes(apply *ap, const draft *d, const uop *e) {
  const stage *st = d->st;
  const uop *to[STAGE_RANGES];
  for (int i = 0; i < st->n; ++i) {
    to[i] = st->base[i] != NULL ? uop_add(ap->g, st->base[i], d->index[i]) : d->index[i];
  }
  e = simplify(ap->g, uop_replace(ap->g, e, st->n, st->range, to));
  return simplify(ap->g, uop_replace(ap->g, e, d->nexact, d->exact, d->over_axes));
}

/* Strides, fastest range first. Planes of frequencies a multiple of 2 KiB apart would fall into the same few cache sets. */
static void lay_out(stage *st) {
  int64_t stride = 1;
  for (int i = st->n; i-- > 0;) {
    int r = st->order[i];
    int64_t bytes = stride * (int64_t)wn_dtype_size((wn_dtype)st->node->dtype);
    if (st->letter[r] == 'f' && bytes % 2048 == 0 && !st->exact) stride += 16;
    st->stride[r] = stride;
    stride *= st->dim[r];
  }
}

/* A block of the consumer may reach past the end of the stage. */
static void limit_to_extents(apply *ap, draft *d) {
  const stage *st = d->st;
  for (int i = 0; i < st->n; ++i) {
    if (st->base[i] == NULL) continue;
    const uop *e = uop_replace(ap->g, d->index[i], d->nexact, d->exact, d->over_axes);
    draft_limit(ap, d, simplify(ap->g, uop_add(ap->g, st->base[i], e)), st->range[i]->arg.j, false);
  }
}

nest *draft_finish(apply *ap, draft *d, stage *st) {
  nest *n = d->n;
  limit_to_extents(ap, d);
  const uop *value = over_axes(ap, d, d->value);
  if (d->nlimits > 0) {
    guard gd = {ap, d};
    value = simplify(ap->g, uop_transform(ap->g, ap->a, value, guard_read, &gd));
  }
  n->value = value;
  bool shared = st->inside && st->space == SPACE_GLOBAL; /* other blocks write beside this one */
  for (int i = 0; i < d->nlimits; ++i) {
    if (!st->exact && !d->aliases[i] && !shared) continue;
    n->mask = n->mask != NULL ? uop_and(ap->g, n->mask, d->limit[i]) : d->limit[i];
  }
  const uop *offset = uop_int(ap->g, 0);
  for (int i = 0; i < st->n; ++i) {
    const uop *e = uop_replace(ap->g, d->index[i], d->nexact, d->exact, d->over_axes);
    e = simplify(ap->g, e);
    if (shared && st->base[i] != NULL) e = uop_add(ap->g, st->base[i], e);
    int64_t covered = e->vmax + 1;
    if (!st->exact && covered > st->dim[i]) st->dim[i] = covered;
    d->index[i] = e;
  }
  lay_out(st);
  for (int i = 0; i < st->n; ++i) {
    offset = uop_add(ap->g, offset, uop_muli(ap->g, d->index[i], st->stride[i]));
  }
  n->offset = simplify(ap->g, offset);
  stage_id id = flow_into(ap, st) != NULL ? STAGE_O : st->id;
  if (id < STAGE_COUNT) nest_reorder(ap, n, &ap->s->stage[id]);
  return n;
}

/* --- axes of a class ------------------------------------------------------------------------------------------------ */

/* One loop for a range, named after its class. */
void draft_plain(apply *ap, draft *d, int i, axis_kind kind, const char *name) {
  if (i < 0) return;
  const uop *e = draft_exact(ap, d, d->st->len[i], name);
  d->index[i] = e;
  draft_bind(ap, d, e, draft_axis(ap, d, kind, d->st->len[i], name), false);
}

static void frequencies(apply *ap, draft *d, axis_kind kind) {
  for (int i = stage_range(d->st, 'f', 0); i >= 0; i = stage_range(d->st, 'f', i + 1)) {
    draft_plain(ap, d, i, kind, "f");
  }
}

/* Splits the range t into rows: outer axes now, the lanes by rows_end. */
row_axes rows_begin(apply *ap, draft *d, int t, axis_kind kind, int64_t rows) {
  const stage *st = d->st;
  const wino_site *site = &ap->w->site[st->site];
  int64_t width = site->t_extent[site->nt - 1], len = st->len[t];
  const uop *index = uop_int(ap->g, 0);
  row_axes r = {.rows = 1};
  bool whole = st->base[t] == NULL && len == site->T;
  if (whole) {
    static const char *const names[] = {"n", "z", "y"};
    for (int i = 0; i + 1 < site->nt; ++i) {
      int window = i - (site->nt - site->ndim);
      const char *name = window < 0 ? names[0] : site->nt - 1 - i == 1 ? names[2] : names[1];
      const uop *e = draft_exact(ap, d, site->t_extent[i], name);
      if (i + 2 == site->nt && site->t_extent[i] % rows == 0 && rows > 1) {
        r.rows = rows;
        r.y = e;
        r.y0 = draft_axis(ap, d, kind, site->t_extent[i] / rows, name);
      } else {
        draft_bind(ap, d, e, draft_axis(ap, d, kind, site->t_extent[i], name), false);
      }
      index = uop_add(ap->g, uop_muli(ap->g, index, site->t_extent[i]), e);
    }
  } else if (len % width == 0) {
    const uop *e = draft_exact(ap, d, len / width, "y1");
    draft_bind(ap, d, e, draft_axis(ap, d, AXIS_LOOP, len / width, "y1"), false);
    index = e;
  } else {
    width = len;
  }
  r.lanes = pick_lanes(ap->target, (wn_dtype)st->node->dtype, width);
  r.x = draft_exact(ap, d, width, "x");
  r.x0 = draft_axis(ap, d, AXIS_LOOP, (width + r.lanes - 1) / r.lanes, "x0");
  d->index[t] = uop_add(ap->g, uop_muli(ap->g, index, width), r.x);
  return r;
}

void rows_end(apply *ap, draft *d, row_axes r) {
  if (r.y != NULL)
    draft_split(ap, d, r.y, r.y0, draft_axis(ap, d, AXIS_UNROLL, r.rows, "y1"), r.rows, false);
  const uop *lane = draft_axis(ap, d, AXIS_VECTOR, r.lanes, "x1");
  draft_split(ap, d, r.x, r.x0, lane, r.lanes, true);
}

/* --- the stages ------------------------------------------------------------------------------------------------------ */

axis_kind outer_kind(const stage *st) { return st->inside ? AXIS_LOOP : AXIS_GRID; }

int64_t chunk_rows(const apply *ap, const wino_site *site) {
  if (ap->s->chunk == 0 || !ap->flow[site - ap->w->site].by_rows) return 0;
  int64_t width = site->t_extent[site->nt - 1], rows = site->T / width;
  int64_t most = ap->s->chunk > width ? ap->s->chunk / width : 1;
  for (int64_t r = most < rows ? most : rows; r > 1; --r) {
    if (rows % r == 0) return r;
  }
  return 1;
}

nest *nest_x(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  int c = stage_range(st, 'c', 0), t = stage_range(st, 't', 0);
  row_axes r = {0};
  bool chunks = chunk_rows(ap, &ap->w->site[st->site]) > 0 && t >= 0;
  if (chunks) r = rows_begin(ap, &d, t, outer_kind(st), 1);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer_kind(st), "g");
  draft_plain(ap, &d, c, outer_kind(st), "c");
  if (t >= 0) {
    if (!chunks) r = rows_begin(ap, &d, t, outer_kind(st), 1);
    frequencies(ap, &d, AXIS_UNROLL);
    rows_end(ap, &d, r);
  } else {
    frequencies(ap, &d, AXIS_UNROLL);
  }
  return draft_finish(ap, &d, st);
}

nest *nest_g(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), c = stage_range(st, 'c', 0);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer_kind(st), "g");
  int v = c >= 0 ? c : k; /* the vectorised range */
  if (k != v) draft_plain(ap, &d, k, outer_kind(st), "k");
  if (v < 0) {
    frequencies(ap, &d, AXIS_UNROLL);
    return draft_finish(ap, &d, st);
  }
  int lanes = pick_lanes(ap->target, (wn_dtype)st->node->dtype, st->len[v]);
  const uop *e = draft_exact(ap, &d, st->len[v], "c");
  d.index[v] = e;
  const uop *outer = draft_axis(ap, &d, AXIS_LOOP, (st->len[v] + lanes - 1) / lanes, "c0");
  frequencies(ap, &d, AXIS_UNROLL);
  draft_split(ap, &d, e, outer, draft_axis(ap, &d, AXIS_VECTOR, lanes, "c1"), lanes, false);
  return draft_finish(ap, &d, st);
}

/* A sum over one range that is short enough for one chain: with a transform inlined into it, its loop goes outside the
 * loops over which the transform is shared, and the sums are kept in the array itself. */
static const uop *outside_sum(const stage *st) {
  const uop *v = st->node->src[0];
  return v->op == OP_REDUCE && v->arg.i == OP_ADD && v->nsrc == 2 ? v : NULL;
}

static void open_sum(draft *d, const uop *sum) {
  nest *n = d->n;
  WN_CHECK(n->naxes < NEST_AXES, "more than %d axes", NEST_AXES);
  n->axis[n->naxes++] = (axis){sum->src[1], AXIS_LOOP, "c", true};
  d->value = sum->src[0];
}

/* A child that fills with zeros what the nest will add to. */
static void fill_with_zeros(apply *ap, nest *n) {
  int c = 0;
  while (c < n->naxes && !n->axis[c].reduces) ++c;
  if (c == n->naxes) return;
  nest *zero = arena_new(ap->a, nest);
  *zero = (nest){.stage = n->stage, .offset = n->offset, .mask = n->mask};
  zero->value = uop_const(ap->g, (wn_dtype)n->value->dtype, 0);
  for (int i = c + 1; i < n->naxes; ++i) zero->axis[zero->naxes++] = n->axis[i];
  n->child[n->nchildren].nest = zero;
  n->child[n->nchildren++].at = c;
}

/* The products over fused tiles with the weight transform inlined: it is computed once for all tiles. */
static nest *products_shared_g(apply *ap, stage *st, const uop *sum) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  axis_kind outer = outer_kind(st);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer, "g");
  draft_plain(ap, &d, k, outer, "k0");
  open_sum(&d, sum);
  int64_t tlen = t >= 0 ? st->len[t] : 1;
  int lanes = pick_lanes(ap->target, (wn_dtype)st->node->dtype, tlen);
  const uop *t0 = draft_axis(ap, &d, AXIS_LOOP, (tlen + lanes - 1) / lanes, "t0");
  frequencies(ap, &d, AXIS_UNROLL);
  const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, lanes, "t1");
  if (t >= 0) {
    d.index[t] = draft_exact(ap, &d, tlen, "t");
    draft_split(ap, &d, d.index[t], t0, lane, lanes, false);
  }
  nest *n = draft_finish(ap, &d, st);
  fill_with_zeros(ap, n);
  return n;
}

/* The products over fused tiles: f, k and t outside, a register tile of k1 channels by t1 tiles inside. */
static nest *products_flat(apply *ap, stage *st, bool unroll_f, int64_t tile_block) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  int64_t klen = k >= 0 ? st->len[k] : 1, tlen = t >= 0 ? st->len[t] : 1;
  if (tile_block == 0) tile_block = tlen;
  register_tile rt =
      pick_register_tile(ap, (wn_dtype)st->node->dtype, klen, tile_block, unroll_f ? 8 : 0);
  /* the last size given is the register tile's, where there is a block around it */
  bool in_block = st->inside || tile_block < tlen;
  int64_t k1_asked = ap->s->k[st->inside ? 1 : 0], t1_asked = ap->s->t[in_block ? 1 : 0];
  if (k1_asked > 0) rt.k = k1_asked;
  if (t1_asked > 0) rt.t = round_up(t1_asked, rt.lanes);
  axis_kind outer = outer_kind(st);
  const uop *tb = uop_int(ap->g, 0), *k0, *t0;
  const wino_site *site = &ap->w->site[st->site];
  int64_t rows = chunk_rows(ap, site), chunk = rows * site->t_extent[site->nt - 1];
  bool chunks = rows > 0 && chunk < tlen;
  if (chunks) {
    tile_block = chunk;
    tb = draft_axis(ap, &d, outer, tlen / chunk, "t0");
  }
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer, "g");
  int64_t kblocks = (klen + rt.k - 1) / rt.k, tblocks = (tile_block + rt.t - 1) / rt.t;
  bool blocked =
      tile_block < tlen && !chunks; /* a block of tiles is staged at t0: it goes outside */
  if (blocked || !unroll_f) {
    if (blocked)
      tb = draft_axis(ap, &d, outer, (tlen + tile_block - 1) / tile_block, "t0");
    else if (!st->inside && stage_find(ap, st->site, STAGE_X) != NULL &&
             stage_find(ap, st->site, STAGE_X)->inside)
      tb = draft_axis(ap, &d, outer, 1, "t0");
  }
  if (!blocked && !unroll_f) {
    frequencies(ap, &d, outer);
  }
  k0 = draft_axis(ap, &d, blocked ? AXIS_LOOP : outer, kblocks, "k0");
  if (blocked && !unroll_f) {
    frequencies(ap, &d, AXIS_LOOP);
  }
  t0 = draft_axis(ap, &d, blocked ? AXIS_LOOP : outer, tblocks, blocked ? "t1" : "t0");
  if (unroll_f) frequencies(ap, &d, AXIS_UNROLL);
  const uop *k1 = draft_axis(ap, &d, AXIS_UNROLL, rt.k, "k1");
  const uop *t1 = draft_axis(ap, &d, AXIS_UNROLL, rt.t / rt.lanes, blocked ? "t2" : "t1");
  const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, rt.lanes, blocked ? "t3" : "t2");
  if (k >= 0) {
    d.index[k] = draft_exact(ap, &d, klen, "k");
    draft_split(ap, &d, d.index[k], k0, k1, rt.k, false);
  }
  if (t >= 0) {
    d.index[t] = draft_exact(ap, &d, tlen, "t");
    const uop *in = uop_add(ap->g, uop_muli(ap->g, t1, rt.lanes), lane);
    in = uop_add(ap->g, uop_muli(ap->g, t0, rt.t), in);
    draft_bind(ap, &d, d.index[t], uop_add(ap->g, uop_muli(ap->g, tb, tile_block), in), blocked);
    if (blocked || chunks) draft_limit(ap, &d, in, tile_block, true);
  }
  return draft_finish(ap, &d, st);
}

/* The products with the input transform inlined: tiles in rows, as the transform wants them. */
static nest *products_rows(apply *ap, stage *st, int64_t unroll_k) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  axis_kind outer = outer_kind(st);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer, "g");
  int64_t klen = k >= 0 ? st->len[k] : 1;
  if (unroll_k > klen) unroll_k = klen;
  const uop *sum = outside_sum(st);
  /* a weight's transform is shared by two rows, unless their vectors overlap: the second's load would wait for the first's
   * store */
  const wino_site *site = &ap->w->site[st->site];
  int64_t width = site->t_extent[site->nt - 1];
  bool overlap = width % pick_lanes(ap->target, (wn_dtype)st->node->dtype, width) != 0;
  int64_t rows = sum != NULL && !overlap ? 2 : 1;
  if (sum != NULL && ap->s->k[0] == 0) unroll_k = 8;
  if (unroll_k > klen) unroll_k = klen;
  const uop *k0 = draft_axis(ap, &d, outer, (klen + unroll_k - 1) / unroll_k, "k0"), *k1 = NULL;
  row_axes r = {0};
  if (t >= 0) r = rows_begin(ap, &d, t, outer, rows);
  if (sum != NULL) {
    open_sum(&d, sum);
    k1 = draft_axis(ap, &d, AXIS_LOOP, unroll_k, "k1");
  }
  frequencies(ap, &d, AXIS_UNROLL);
  if (sum == NULL) k1 = draft_axis(ap, &d, AXIS_UNROLL, unroll_k, "k1");
  if (k >= 0) {
    d.index[k] = draft_exact(ap, &d, klen, "k");
    draft_split(ap, &d, d.index[k], k0, k1, unroll_k, false);
  }
  if (t >= 0) rows_end(ap, &d, r);
  nest *n = draft_finish(ap, &d, st);
  fill_with_zeros(ap, n);
  return n;
}

/* Tiles staged together when the input transform is local: whole rows, or a divisor of a long one. */
int64_t tile_block(const apply *ap, const wino_site *site) {
  int64_t want = ap->s->t[0] > 0 ? ap->s->t[0] : 48, width = site->t_extent[site->nt - 1];
  int64_t rows = site->ndim > 1 ? site->t_extent[site->nt - 2] : 1; /* of an image */
  if (width <= want) {
    int64_t blocks = (rows * width + want - 1) / want;
    return width * ((rows + blocks - 1) / blocks); /* even shares: the last block wastes least */
  }
  for (int64_t b = want; 2 * b > want; --b) {
    if (width % b == 0) return b;
  }
  return width;
}

nest *nest_m(apply *ap, stage *st) {
  stage *x = stage_find(ap, st->site, STAGE_X), *g = stage_find(ap, st->site, STAGE_G);
  bool unroll_f = x == NULL || g == NULL;
  int64_t unroll_k = ap->s->k[0] > 0 ? ap->s->k[0] : 4;
  if (x == NULL) return products_rows(ap, st, unroll_k);
  if (g == NULL && !st->inside && !x->inside && outside_sum(st) != NULL)
    return products_shared_g(ap, st, outside_sum(st));
  bool staged = !st->inside && x->inside;
  return products_flat(ap, st, unroll_f, staged ? tile_block(ap, &ap->w->site[st->site]) : 0);
}
