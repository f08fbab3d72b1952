/* Nests of the input transform, the weight transform and the products.
 *
 * In: a stage with its domain. Out: its nest. The transforms run over tiles in rows, so that a vector of tiles reads
 * the image at a constant stride, with all frequencies unrolled; the products run over the fused tiles, which need no
 * division, unless a transform is inlined into them. Always holds: outside its consumer's kernel a nest's outer axes
 * are GRID. */
#include "nest/state.h"

draft draft_begin(apply *ap, const stage *st) {
  draft d = {.st = st, .value = st->node->src[0]};
  d.n = arena_new(ap->keep, nest);
  d.n->nstores = 1;
  d.n->store[0] = (nest_store){
      .stage = st->node->arg.info->name, .site = st->node->arg.info->site, .id = st->id};
  return d;
}

/* --- finishing -------------------------------------------------------------------------------- */

typedef struct guard {
  apply *ap;
  const draft *d;
} guard;

/* An array that nothing may read past: the caller's, one stored in its natural size, or one whose neighbouring part
 * another block may just be writing. */
static bool is_exact_array(apply *ap, const uop *base) {
  if (base->op == OP_BUFFER) return base->arg.i < ap->nuser;
  const stage *st = map_get_ptr(&ap->by_node, base->id);
  /* where other blocks write beside it, a lane past the end would read what one of them is writing */
  return st != NULL && (st->exact || (st->inside && st->space == SPACE_GLOBAL));
}

/* Does b depend on every loop of a? */
static bool covers_ranges(const uop *a, const uop *b) {
  int j = 0;
  for (int i = 0; i < a->free_->len; ++i) {
    while (j < b->free_->len && b->free_->at[j] < a->free_->at[i]) ++j;
    if (j == b->free_->len || b->free_->at[j] != a->free_->at[i]) return false;
  }
  return true;
}

/* What a read has to keep of a limit: a point that fails it for some values of the loops that the read does not move
 * with may hold for others, so those count at their best. */
static const uop *limit_of_read(graph *g, const uop *limit, const uop *read) {
  linear_form f, kept = {0};
  if (covers_ranges(limit, read)) return limit;
  if (limit->op != OP_LT || !linear_of(limit->src[0], &f)) return uop_bool(g, true);
  kept.constant = f.constant;
  for (int i = 0; i < f.n; ++i) {
    const uop *atom = f.atom[i];
    if (covers_ranges(atom, read)) {
      kept.atom[kept.n] = atom;
      kept.coeff[kept.n++] = f.coeff[i];
    } else {
      kept.constant += f.coeff[i] * (f.coeff[i] > 0 ? atom->vmin : atom->vmax);
    }
  }
  return simplify(g, uop_alu2(g, OP_LT, linear_to_uop(g, &kept), limit->src[1]));
}

static const uop *guard_read(void *user, const uop *u) {
  const guard *gd = user;
  if (u->op != OP_INDEX || !is_exact_array(gd->ap, u->src[0])) return u;
  const uop *valid = u->src[1];
  for (int i = 0; i < gd->d->nlimits; ++i) {
    valid = uop_and(gd->ap->g, valid, limit_of_read(gd->ap->g, gd->d->limit[i], u));
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
  nest_store *to = &n->store[0];
  limit_to_extents(ap, d);
  const uop *value = over_axes(ap, d, d->value);
  if (d->nlimits > 0) {
    guard gd = {ap, d};
    value = simplify(ap->g, uop_transform_value(ap->g, ap->a, value, guard_read, &gd));
  }
  to->value = value;
  bool shared = st->inside && st->space == SPACE_GLOBAL; /* other blocks write beside this one */
  for (int i = 0; i < d->nlimits; ++i) {
    if (!st->exact && !d->aliases[i] && !shared) continue;
    to->mask = to->mask != NULL ? uop_and(ap->g, to->mask, d->limit[i]) : d->limit[i];
  }
  const uop *offset = uop_int(ap->g, 0);
  for (int i = 0; i < st->n; ++i) {
    const uop *e = uop_replace(ap->g, d->index[i], d->nexact, d->exact, d->over_axes);
    e = simplify(ap->g, e);
    if (shared && st->base[i] != NULL) e = uop_add(ap->g, st->base[i], e);
    int64_t covered = e->vmax + 1 - (st->letter[i] == 't' ? st->elsewhere : 0);
    if (!st->exact && covered > st->dim[i]) st->dim[i] = covered;
    d->index[i] = st->point[i] = e;
  }
  st->nlimits = d->nlimits;
  memcpy(st->limit, d->limit, sizeof d->limit);
  lay_out(st);
  for (int i = 0; i < st->n; ++i) {
    offset = uop_add(ap->g, offset, stored_at(ap->g, st, i, d->index[i]));
  }
  to->offset = simplify(ap->g, offset);
  const flow *f = flow_into(ap, st);
  if (f != NULL)
    nest_reorder(ap, n, &plan_of(ap, f->site)->stage[STAGE_O]);
  else if (st->id < STAGE_COUNT)
    nest_reorder(ap, n, &st->plan->stage[st->id]);
  return n;
}

static const site_sizes *sizes_of_stage(const apply *ap, const stage *st) {
  return &ap->sizes[st->site];
}

int row_lanes(const apply *ap, const stage *st) {
  return sizes_of_stage(ap, st)->row_lanes[st->inside];
}

/* --- axes of a class -------------------------------------------------------------------------- */

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
row_axes rows_begin(apply *ap, draft *d, int t, axis_kind kind, int64_t rows, int lanes) {
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
  r.lanes = lanes;
  r.x = draft_exact(ap, d, width, "x");
  r.x0 = draft_axis(ap, d, AXIS_LOOP, (width + r.lanes - 1) / r.lanes, "x0");
  d->index[t] = uop_add(ap->g, uop_muli(ap->g, index, width), r.x);
  return r;
}

void rows_end(apply *ap, draft *d, row_axes r, bool adds) {
  if (r.y != NULL)
    draft_split(ap, d, r.y, r.y0, draft_axis(ap, d, AXIS_UNROLL, r.rows, "y1"), r.rows, false);
  const uop *lane = draft_axis(ap, d, AXIS_VECTOR, r.lanes, "x1");
  int64_t width = r.x->vmax + 1;
  if (adds || width < r.lanes || width % r.lanes == 0) {
    draft_split(ap, d, r.x, r.x0, lane, r.lanes, true);
    return;
  }
  /* the last vector of a row starts where it fits: some tiles are computed twice, and nothing is masked */
  const uop *first = uop_muli(ap->g, r.x0, r.lanes), *last = uop_int(ap->g, width - r.lanes);
  first = uop_alu2(ap->g, OP_MIN, first, last);
  draft_bind(ap, d, r.x, uop_add(ap->g, first, lane), true);
}

/* --- the stages ------------------------------------------------------------------------------- */

axis_kind outer_kind(const stage *st) { return st->inside ? AXIS_LOOP : AXIS_GRID; }

/* Channels in the lanes: they are neighbours in the image, and each tile is read and written in whole vectors. */
static nest *nest_x_channels(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  int c = stage_range(st, 'c', 0), t = stage_range(st, 't', 0);
  /* neighbouring work items take neighbouring channels */
  bool rows_first = t >= 0;
  row_axes r = {0};
  if (rows_first) r = rows_begin(ap, &d, t, outer_kind(st), 1, 1);
  draft_plain(ap, &d, stage_range(st, 'g', 0), rows_first ? AXIS_LOOP : outer_kind(st), "g");
  int lanes = sizes_of_stage(ap, st)->c_lanes;
  const uop *c0 = draft_axis(ap, &d, rows_first ? AXIS_LOOP : outer_kind(st),
                             (st->len[c] + lanes - 1) / lanes, "c0");
  if (t >= 0 && !rows_first) r = rows_begin(ap, &d, t, outer_kind(st), 1, 1);
  frequencies(ap, &d, AXIS_UNROLL);
  if (t >= 0) rows_end(ap, &d, r, false);
  d.index[c] = draft_exact(ap, &d, st->len[c], "c");
  const uop *c1 = draft_axis(ap, &d, AXIS_VECTOR, lanes, "c1");
  draft_split(ap, &d, d.index[c], c0, c1, lanes, false);
  return draft_finish(ap, &d, st);
}

bool channels_are_neighbours(apply *ap, const uop *node) {
  const uop *channel = NULL, *value = node->src[0];
  int loads = 0;
  for (int i = 1; i < node->nsrc && channel == NULL; ++i) {
    if (uop_range_name(ap->g, node->src[i])[0] == 'c') channel = node->src[i];
  }
  if (channel == NULL || channel->arg.j < 4) return false;
  uop_order all = uop_walk_value(ap->a, value);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op != OP_INDEX) continue;
    if (index_stride(u, channel) != 1) return false;
    ++loads;
  }
  return loads > 0;
}

nest *nest_x(apply *ap, stage *st) {
  const site_sizes *z = sizes_of_stage(ap, st);
  if (z->c_lanes > 0) return nest_x_channels(ap, st);
  draft d = draft_begin(ap, st);
  int c = stage_range(st, 'c', 0), t = stage_range(st, 't', 0);
  row_axes r = {0};
  bool chunks = z->round > 0 && t >= 0;
  if (chunks) r = rows_begin(ap, &d, t, outer_kind(st), 1, row_lanes(ap, st));
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer_kind(st), "g");
  draft_plain(ap, &d, c, outer_kind(st), "c");
  if (t >= 0) {
    if (!chunks) r = rows_begin(ap, &d, t, outer_kind(st), 1, row_lanes(ap, st));
    frequencies(ap, &d, AXIS_UNROLL);
    rows_end(ap, &d, r, false);
  } else {
    frequencies(ap, &d, AXIS_UNROLL);
  }
  return draft_finish(ap, &d, st);
}

nest *nest_g(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), c = stage_range(st, 'c', 0);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer_kind(st), "g");
  bool panels = st->pack > 1;
  int v = c >= 0 && !panels
              ? c
              : k; /* the vectorised range: the one whose neighbours are stored together */
  int other = v == c ? k : c;
  if (other != v) draft_plain(ap, &d, other, outer_kind(st), other == k ? "k" : "c");
  if (v < 0) {
    frequencies(ap, &d, AXIS_UNROLL);
    return draft_finish(ap, &d, st);
  }
  int lanes = sizes_of_stage(ap, st)->g_lanes;
  const uop *e = draft_exact(ap, &d, st->len[v], v == c ? "c" : "k");
  d.index[v] = e;
  const uop *outer =
      draft_axis(ap, &d, AXIS_LOOP, (st->len[v] + lanes - 1) / lanes, v == c ? "c0" : "k0");
  frequencies(ap, &d, AXIS_UNROLL);
  const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, lanes, v == c ? "c1" : "k1");
  draft_split(ap, &d, e, outer, lane, lanes, false);
  return draft_finish(ap, &d, st);
}

/* A sum over one range that is short enough for one chain: with a transform inlined into it, its loop goes outside the
 * loops over which the transform is shared, and the sums are kept in the array itself. */
static const uop *outside_sum(const apply *ap, const stage *st) {
  return sizes_of_stage(ap, st)->outside ? st->node->src[0] : NULL;
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
  nest *zero = arena_new(ap->keep, nest);
  *zero = (nest){.nstores = 1, .matrix = n->matrix};
  zero->store[0] = n->store[0];
  zero->store[0].value = uop_const(ap->g, (wn_dtype)n->store[0].value->dtype, 0);
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
  int lanes = sizes_of_stage(ap, st)->lanes;
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

/* extent = outer * step + the copies and lanes of a step. */
static const uop *in_step(apply *ap, const uop *outer, int64_t step, const uop *copy, int lanes,
                          const uop *lane) {
  graph *g = ap->g;
  const uop *in = lane != NULL ? uop_add(g, uop_muli(g, copy, lanes), lane) : copy;
  return uop_add(g, uop_muli(g, outer, step), in);
}

/* Where a long sum is cut into partial ones, the sum over the partial ones can be the loop around a panel of products:
 * the weights of its c are then read for all tiles while they are in the nearest cache, and the registers hold one
 * partial sum instead of two. NULL: it is not cut, or not evenly. */
static const uop *sum_of_sums(const stage *st) {
  const uop *v = st->node->src[0];
  bool nested = v->op == OP_REDUCE && v->arg.i == OP_ADD && v->nsrc == 2;
  return nested && v->src[0]->op == OP_REDUCE ? v : NULL;
}

/* The loops of products_flat outside its register tile. */
typedef struct product_loops {
  const uop *tb, *k0, *t0;
  int64_t tile_block; /* tiles in an iteration of tb */
  bool blocked;       /* x is made for each iteration of tb */
  bool chunks;
} product_loops;

static product_loops open_products(apply *ap, draft *d, const site_sizes *z, int64_t tile_block) {
  const stage *st = d->st;
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  int64_t klen = k >= 0 ? st->len[k] : 1, tlen = t >= 0 ? st->len[t] : 1;
  const stage *x = stage_find(ap, st->site, STAGE_X);
  axis_kind outer = outer_kind(st);
  product_loops l = {.tb = uop_int(ap->g, 0), .tile_block = tile_block};
  l.chunks = z->round > 0 && z->round < tlen;
  if (l.chunks) {
    l.tile_block = z->round;
    l.tb = draft_axis(ap, d, outer, tlen / z->round, "t0");
  }
  draft_plain(ap, d, stage_range(st, 'g', 0), outer, "g");
  int64_t kblocks = (klen + z->k - 1) / z->k, tblocks = (l.tile_block + z->t - 1) / z->t;
  bool unroll_f = z->all_f;
  l.blocked = l.tile_block < tlen && !l.chunks;
  if (l.blocked)
    l.tb = draft_axis(ap, d, outer, (tlen + tile_block - 1) / tile_block, "t0");
  else if (!unroll_f && !st->inside && x != NULL && x->inside)
    l.tb = draft_axis(ap, d, outer, 1, "t0");
  if (!l.blocked && !unroll_f) frequencies(ap, d, outer);
  int64_t beside = z->beside > 0 ? z->beside : tblocks;
  bool rectangle = beside < tblocks && kblocks > 1;
  const uop *t_outer = uop_int(ap->g, 0);
  if (rectangle) t_outer = draft_axis(ap, d, outer, (tblocks + beside - 1) / beside, "t0");
  l.k0 = draft_axis(ap, d, l.blocked ? AXIS_LOOP : outer, kblocks, "k0");
  if (l.blocked && !unroll_f) frequencies(ap, d, AXIS_LOOP);
  const uop *sum = unroll_f ? NULL : sum_of_sums(st);
  if (sum != NULL) open_sum(d, sum);
  const axis *last = d->n->naxes > 0 ? &d->n->axis[d->n->naxes - 1] : NULL;
  if (last != NULL && last->range != l.tb) d->n->next = last->range; /* the next weights */
  axis_kind inner = l.blocked || sum != NULL ? AXIS_LOOP : outer;
  l.t0 =
      draft_axis(ap, d, inner, rectangle ? beside : tblocks, l.blocked || rectangle ? "t1" : "t0");
  if (rectangle) l.t0 = uop_add(ap->g, uop_muli(ap->g, t_outer, beside), l.t0);
  if (d->n->matrix > 0) draft_axis(ap, d, inner, MATRIX_ITEMS, "lane");
  if (unroll_f) frequencies(ap, d, AXIS_UNROLL);
  return l;
}

/* The products over fused tiles: f, k and t outside, inside a register tile of k1 channels by t1 tiles, either of them
 * in vectors. */
static nest *products_flat(apply *ap, stage *st, int64_t tile_block) {
  draft d = draft_begin(ap, st);
  const site_sizes *z = sizes_of_stage(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  int64_t klen = k >= 0 ? st->len[k] : 1, tlen = t >= 0 ? st->len[t] : 1;
  if (tile_block == 0) tile_block = tlen;
  d.n->matrix = z->matrix ? ap->machine->matrix : 0;
  stage *g = stage_find(ap, st->site, STAGE_G);
  if (g != NULL && !z->all_f) g->pack = z->k;
  product_loops l = open_products(ap, &d, z, tile_block);
  if (z->matrix)
    d.value = matrix_sum(ap, d.value);
  else if (!z->all_f)
    d.value = several_at_once(ap, d.value);
  bool vk = z->over_k;
  int64_t kcopies = vk ? z->k / z->lanes : z->k, tcopies = vk ? z->t : z->t / z->lanes;
  /* vectors innermost: they are few and stay in registers while the other operand is broadcast one by one */
  const uop *k1 = vk ? NULL : draft_axis(ap, &d, AXIS_UNROLL, kcopies, "k1");
  const uop *t1 = draft_axis(ap, &d, AXIS_UNROLL, tcopies, l.blocked ? "t2" : "t1");
  if (vk) k1 = draft_axis(ap, &d, AXIS_UNROLL, kcopies, "k1");
  const char *lane_name = vk ? "k2" : l.blocked ? "t3" : "t2";
  const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, z->lanes, lane_name);
  if (k >= 0) {
    d.index[k] = draft_exact(ap, &d, klen, "k");
    const uop *in = in_step(ap, l.k0, z->k, k1, z->lanes, vk ? lane : NULL);
    draft_bind(ap, &d, d.index[k], in, false);
  }
  if (t >= 0) {
    d.index[t] = draft_exact(ap, &d, tlen, "t");
    const uop *in = in_step(ap, l.t0, z->t, t1, z->lanes, vk ? NULL : lane);
    const uop *whole = uop_add(ap->g, uop_muli(ap->g, l.tb, l.tile_block), in);
    draft_bind(ap, &d, d.index[t], whole, l.blocked && !z->matrix);
    if (l.blocked || l.chunks) draft_limit(ap, &d, in, l.tile_block, true);
  }
  nest *n = draft_finish(ap, &d, st);
  fill_with_zeros(ap, n);
  return n;
}

/* The products with the input transform inlined: tiles in rows, as the transform wants them. */
static nest *products_rows(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  const site_sizes *z = sizes_of_stage(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  axis_kind outer = outer_kind(st);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer, "g");
  int64_t klen = k >= 0 ? st->len[k] : 1, together = z->k < klen ? z->k : klen;
  const uop *sum = outside_sum(ap, st);
  const uop *k0 = draft_axis(ap, &d, outer, (klen + together - 1) / together, "k0"), *k1 = NULL;
  row_axes r = {0};
  if (t >= 0) r = rows_begin(ap, &d, t, outer, z->t, row_lanes(ap, st));
  if (sum != NULL) {
    open_sum(&d, sum);
    k1 = draft_axis(ap, &d, AXIS_LOOP, together, "k1");
  }
  frequencies(ap, &d, AXIS_UNROLL);
  if (sum == NULL) k1 = draft_axis(ap, &d, AXIS_UNROLL, together, "k1");
  if (k >= 0) {
    d.index[k] = draft_exact(ap, &d, klen, "k");
    draft_split(ap, &d, d.index[k], k0, k1, together, false);
  }
  if (t >= 0) rows_end(ap, &d, r, sum != NULL);
  nest *n = draft_finish(ap, &d, st);
  fill_with_zeros(ap, n);
  return n;
}

nest *nest_m(apply *ap, stage *st) {
  const site_sizes *z = sizes_of_stage(ap, st);
  const stage *x = stage_find(ap, st->site, STAGE_X);
  if (z->products == PRODUCTS_ROWS) return products_rows(ap, st);
  if (z->products == PRODUCTS_SHARED) return products_shared_g(ap, st, outside_sum(ap, st));
  return products_flat(ap, st, !st->inside && x->inside ? z->block : 0);
}
