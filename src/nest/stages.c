/* Nests of the input transform, the weight transform and the products.
 *
 * In: a stage with its domain. Out: its nest. The transforms run over tiles in rows, so that a vector of tiles reads the
 * image at a constant stride, with all frequencies unrolled; the products run over the fused tiles, which need no division,
 * unless a transform is inlined into them. Always holds: outside its consumer's kernel a nest's outer axes are GRID. */
#include "nest/apply.h"

draft draft_begin(apply *ap, const stage *st) {
  draft d = {.st = st, .value = st->node->src[0]};
  d.n = arena_new(ap->keep, nest);
  d.n->stage = st->node->arg.info->name;
  d.n->site = st->node->arg.info->site;
  d.n->id = st->id;
  return d;
}

/* --- finishing ------------------------------------------------------------------------------------------------------ */

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

/* What a read has to keep of a limit: a point that fails it for some values of the loops that the read does not move with
 * may hold for others, so those count at their best. */
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
  limit_to_extents(ap, d);
  const uop *value = over_axes(ap, d, d->value);
  if (d->nlimits > 0) {
    guard gd = {ap, d};
    value = simplify(ap->g, uop_transform_value(ap->g, ap->a, value, guard_read, &gd));
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
    int64_t covered = e->vmax + 1 - (st->letter[i] == 't' ? st->elsewhere : 0);
    if (!st->exact && covered > st->dim[i]) st->dim[i] = covered;
    d->index[i] = e;
  }
  lay_out(st);
  for (int i = 0; i < st->n; ++i) {
    offset = uop_add(ap->g, offset, stored_at(ap->g, st, i, d->index[i]));
  }
  n->offset = simplify(ap->g, offset);
  const flow *f = flow_into(ap, st);
  if (f != NULL)
    nest_reorder(ap, n, &plan_of(ap, f->site)->stage[STAGE_O]);
  else if (st->id < STAGE_COUNT)
    nest_reorder(ap, n, &st->plan->stage[st->id]);
  return n;
}

enum {
  CHEAP_MASKS = 64
}; /* vectors of this many bytes come with masked stores that cost no more than others */

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
  r.lanes = lanes > 0 ? lanes : pick_lanes(ap->machine, (wn_dtype)st->node->dtype, width);
  while (ap->machine->vector_bytes < CHEAP_MASKS && r.lanes > width) r.lanes /= 2;
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

/* --- the stages ------------------------------------------------------------------------------------------------------ */

axis_kind outer_kind(const stage *st) { return st->inside ? AXIS_LOOP : AXIS_GRID; }

int64_t chunk_rows(const apply *ap, const wino_site *site) {
  int64_t chunk = plan_of_site(ap, site->number)->chunk;
  if (chunk == 0 || !ap->flow[site - ap->w->site].by_rows) return 0;
  int64_t width = site->t_extent[site->nt - 1], rows = site->T / width;
  int64_t most = chunk > width ? chunk / width : 1;
  for (int64_t r = most < rows ? most : rows; r > 1; --r) {
    if (rows % r == 0) return r;
  }
  return 1;
}

/* Channels in the lanes: they are neighbours in the image, and each tile is read and written in whole vectors. */
static nest *nest_x_channels(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  int c = stage_range(st, 'c', 0), t = stage_range(st, 't', 0);
  /* neighbouring work items take neighbouring channels */
  bool rows_first =
      t >= 0 && (chunk_rows(ap, &ap->w->site[st->site]) > 0 || ap->machine->group > 0);
  row_axes r = {0};
  if (rows_first) r = rows_begin(ap, &d, t, outer_kind(st), 1, 1);
  draft_plain(ap, &d, stage_range(st, 'g', 0), rows_first ? AXIS_LOOP : outer_kind(st), "g");
  int lanes = pick_lanes(ap->machine, (wn_dtype)st->node->dtype, st->len[c]);
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

bool channels_are_neighbours(apply *ap, const stage *st) {
  int c = stage_range(st, 'c', 0), loads = 0;
  if (c < 0 || st->range[c]->arg.j < 4) return false;
  const uop *value = st->node->src[0];
  uop_order all = uop_walk_value(ap->a, value);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op != OP_INDEX) continue;
    if (index_stride(u, st->range[c]) != 1) return false;
    loads++;
  }
  return loads > 0;
}

nest *nest_x(apply *ap, stage *st) {
  if (st->c_lanes) return nest_x_channels(ap, st);
  draft d = draft_begin(ap, st);
  int c = stage_range(st, 'c', 0), t = stage_range(st, 't', 0);
  row_axes r = {0};
  bool chunks = chunk_rows(ap, &ap->w->site[st->site]) > 0 && t >= 0;
  if (chunks) r = rows_begin(ap, &d, t, outer_kind(st), 1, 0);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer_kind(st), "g");
  draft_plain(ap, &d, c, outer_kind(st), "c");
  if (t >= 0) {
    if (!chunks) r = rows_begin(ap, &d, t, outer_kind(st), 1, 0);
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
  int lanes = pick_lanes(ap->machine, (wn_dtype)st->node->dtype, st->len[v]);
  if (panels) {
    while (st->pack % lanes != 0) lanes /= 2;
  }
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
  if (ap->machine->group > 0) return NULL; /* a work item has the registers for all frequencies */
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
  nest *zero = arena_new(ap->keep, nest);
  *zero =
      (nest){.stage = n->stage, .site = n->site, .id = n->id, .offset = n->offset, .mask = n->mask};
  zero->matrix = n->matrix;
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
  int lanes = pick_lanes(ap->machine, (wn_dtype)st->node->dtype, tlen);
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

/* The step of the products in each direction: channels and tiles that are summed together in registers. */
typedef struct product_step {
  int64_t k, t;
  int lanes;
} product_step;

bool lanes_over_k(const apply *ap, int site) {
  const wino_site *ws = &ap->w->site[site];
  const schedule *s = plan_of(ap, site);
  bool possible = !schedule_is_inlined(s, STAGE_X) && !schedule_is_inlined(s, STAGE_G) &&
                  !schedule_is_inlined(s, STAGE_M);
  if (s->v == 'k' && !possible) {
    diag_fail(
        ap->g->diag, WN_ERR_REFUSED,
        "v=k needs arrays for x, g and m: a transform that is inlined has tiles in its lanes");
  }
  if (s->v != 0) return s->v == 'k';
  if (!possible || !ap->flow[site].found || ws->K < 4 || ap->machine->group > 0) return false;
  bool blocked = s->stage[STAGE_X].space == SPACE_LOCAL;
  int64_t tiles = blocked ? tile_block(s, ap->machine, ws) : ws->T;
  return lanes_waste(ap->machine, ws->K) <= lanes_waste(ap->machine, tiles < ws->T ? tiles : ws->T);
}

static product_step pick_step(const apply *ap, const stage *st, int64_t k, int64_t t, bool vk,
                              bool in_block, int64_t most) {
  wn_dtype dtype = (wn_dtype)st->node->dtype;
  int64_t others = 1;
  for (int i = 0; i < st->n; ++i)
    others *= st->letter[i] == 'g' || (st->letter[i] == 'f' && most == 0) ? st->len[i] : 1;
  register_tile rt = ap->machine->group > 0
                         ? pick_item_tile(ap->machine, vk ? t : k, vk ? k : t, others, most)
                     : vk ? pick_register_tile(ap->machine, dtype, t, k, most)
                          : pick_register_tile(ap->machine, dtype, k, t, most);
  /* the last size given is the register tile's, where there is a block around it */
  int64_t k_asked = st->plan->k[st->inside ? 1 : 0], t_asked = st->plan->t[in_block ? 1 : 0];
  int64_t *vector_asked = vk ? &k_asked : &t_asked, *other_asked = vk ? &t_asked : &k_asked;
  if (*vector_asked > 0) rt.t = round_up(*vector_asked, rt.lanes);
  if (*other_asked > 0) rt.k = *other_asked;
  return vk ? (product_step){rt.t, rt.k, rt.lanes} : (product_step){rt.k, rt.t, rt.lanes};
}

/* extent = outer * step + the copies and lanes of a step. */
static const uop *in_step(apply *ap, const uop *outer, int64_t step, const uop *copy, int lanes,
                          const uop *lane) {
  graph *g = ap->g;
  const uop *in = lane != NULL ? uop_add(g, uop_muli(g, copy, lanes), lane) : copy;
  return uop_add(g, uop_muli(g, outer, step), in);
}

/* Where a long sum is cut into partial ones, the sum over the partial ones can be the loop around a panel of products: the
 * weights of its c are then read for all tiles while they are in the nearest cache, and the registers hold one partial sum
 * instead of two. NULL: it is not cut, or not evenly. */
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

enum { BESIDE = 16 }; /* blocks of tiles of neighbouring work items */

static product_loops open_products(apply *ap, draft *d, product_step step, int64_t tile_block,
                                   bool unroll_f) {
  const stage *st = d->st;
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  int64_t klen = k >= 0 ? st->len[k] : 1, tlen = t >= 0 ? st->len[t] : 1;
  const wino_site *site = &ap->w->site[st->site];
  const stage *x = stage_find(ap, st->site, STAGE_X);
  axis_kind outer = outer_kind(st);
  product_loops l = {.tb = uop_int(ap->g, 0), .tile_block = tile_block};
  int64_t rows = chunk_rows(ap, site), chunk = rows * site->t_extent[site->nt - 1];
  l.chunks = rows > 0 && chunk < tlen;
  if (l.chunks) {
    l.tile_block = chunk;
    l.tb = draft_axis(ap, d, outer, tlen / chunk, "t0");
  }
  draft_plain(ap, d, stage_range(st, 'g', 0), outer, "g");
  int64_t kblocks = (klen + step.k - 1) / step.k, tblocks = (l.tile_block + step.t - 1) / step.t;
  l.blocked = l.tile_block < tlen && !l.chunks;
  if (l.blocked)
    l.tb = draft_axis(ap, d, outer, (tlen + tile_block - 1) / tile_block, "t0");
  else if (!unroll_f && !st->inside && x != NULL && x->inside)
    l.tb = draft_axis(ap, d, outer, 1, "t0");
  if (!l.blocked && !unroll_f) frequencies(ap, d, outer);
  /* on a device a group's work items take a rectangle of channels and tiles, so that they share what they read */
  int64_t beside = ap->machine->group > 0 && !l.blocked && tblocks > BESIDE ? BESIDE : tblocks;
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

/* The products over fused tiles: f, k and t outside, inside a register tile of k1 channels by t1 tiles, either of them in
 * vectors. */
static nest *products_flat(apply *ap, stage *st, bool unroll_f, int64_t tile_block) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  int64_t klen = k >= 0 ? st->len[k] : 1, tlen = t >= 0 ? st->len[t] : 1;
  if (tile_block == 0) tile_block = tlen;
  bool vk = lanes_over_k(ap, st->site), in_block = st->inside || tile_block < tlen;
  const wino_site *site = &ap->w->site[st->site];
  int64_t round = chunk_rows(ap, site) * site->t_extent[site->nt - 1]; /* of the host loop */
  product_step step =
      pick_step(ap, st, klen, round > 0 ? round : tile_block, vk, in_block, unroll_f ? 8 : 0);
  int64_t beside = round > 0 ? round : tile_block; /* tiles that matrices must not reach past */
  int64_t k_asked = st->plan->k[st->inside ? 1 : 0], t_asked = st->plan->t[in_block ? 1 : 0];
  if (matrix_fits(ap, st, klen, beside, k_asked, t_asked) &&
      (beside == tlen || beside % ap->machine->matrix == 0)) {
    d.n->matrix = ap->machine->matrix;
    step = (product_step){d.n->matrix, d.n->matrix, 1};
  }
  stage *g = stage_find(ap, st->site, STAGE_G);
  if (g != NULL && !unroll_f) g->pack = step.k;
  product_loops l = open_products(ap, &d, step, tile_block, unroll_f);
  if (d.n->matrix > 0)
    d.value = matrix_sum(ap, d.value);
  else if (!unroll_f)
    d.value = several_at_once(ap, d.value);
  int64_t kcopies = vk ? step.k / step.lanes : step.k, tcopies = vk ? step.t : step.t / step.lanes;
  /* vectors innermost: they are few and stay in registers while the other operand is broadcast one by one */
  const uop *k1 = vk ? NULL : draft_axis(ap, &d, AXIS_UNROLL, kcopies, "k1");
  const uop *t1 = draft_axis(ap, &d, AXIS_UNROLL, tcopies, l.blocked ? "t2" : "t1");
  if (vk) k1 = draft_axis(ap, &d, AXIS_UNROLL, kcopies, "k1");
  const char *lane_name = vk ? "k2" : l.blocked ? "t3" : "t2";
  const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, step.lanes, lane_name);
  if (k >= 0) {
    d.index[k] = draft_exact(ap, &d, klen, "k");
    const uop *in = in_step(ap, l.k0, step.k, k1, step.lanes, vk ? lane : NULL);
    draft_bind(ap, &d, d.index[k], in, false);
  }
  if (t >= 0) {
    d.index[t] = draft_exact(ap, &d, tlen, "t");
    const uop *in = in_step(ap, l.t0, step.t, t1, step.lanes, vk ? NULL : lane);
    const uop *whole = uop_add(ap->g, uop_muli(ap->g, l.tb, l.tile_block), in);
    draft_bind(ap, &d, d.index[t], whole, l.blocked && d.n->matrix == 0);
    if (l.blocked || l.chunks) draft_limit(ap, &d, in, l.tile_block, true);
  }
  nest *n = draft_finish(ap, &d, st);
  fill_with_zeros(ap, n);
  return n;
}

/* The products with the input transform inlined: tiles in rows, as the transform wants them. */
static nest *products_rows(apply *ap, stage *st, int64_t unroll_k) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  axis_kind outer = outer_kind(st);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer, "g");
  int64_t klen = k >= 0 ? st->len[k] : 1;
  if (unroll_k > klen) unroll_k = klen;
  const uop *sum = outside_sum(ap, st);
  /* a weight's transform is shared by two rows, unless their vectors overlap: the second's load would wait for the first's
   * store */
  const wino_site *site = &ap->w->site[st->site];
  int64_t width = site->t_extent[site->nt - 1];
  bool overlap = width % pick_lanes(ap->machine, (wn_dtype)st->node->dtype, width) != 0;
  int64_t rows = sum != NULL && !overlap ? 2 : 1;
  if (sum != NULL && st->plan->k[0] == 0) unroll_k = 8;
  if (ap->machine->group > 0 && st->plan->k[0] == 0) unroll_k = item_channels(ap->machine, site);
  if (unroll_k > klen) unroll_k = klen;
  const uop *k0 = draft_axis(ap, &d, outer, (klen + unroll_k - 1) / unroll_k, "k0"), *k1 = NULL;
  row_axes r = {0};
  if (t >= 0) r = rows_begin(ap, &d, t, outer, rows, 0);
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
  if (t >= 0) rows_end(ap, &d, r, sum != NULL);
  nest *n = draft_finish(ap, &d, st);
  fill_with_zeros(ap, n);
  return n;
}

nest *nest_m(apply *ap, stage *st) {
  stage *x = stage_find(ap, st->site, STAGE_X), *g = stage_find(ap, st->site, STAGE_G);
  bool unroll_f = x == NULL || g == NULL;
  int64_t unroll_k = st->plan->k[0] > 0 ? st->plan->k[0] : 4;
  if (x == NULL) return products_rows(ap, st, unroll_k);
  if (g == NULL && !st->inside && !x->inside && outside_sum(ap, st) != NULL)
    return products_shared_g(ap, st, outside_sum(ap, st));
  bool staged = !st->inside && x->inside;
  return products_flat(ap, st, unroll_f,
                       staged ? tile_block(st->plan, ap->machine, &ap->w->site[st->site]) : 0);
}
