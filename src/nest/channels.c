/* Direct convolution and matrix products with output channels on the lanes.
 *
 * In: a stored value that is (or wraps) one sum of products of two loads, of which one, the weights, does not move with
 * the pixels and the other, the image, does not move with the output channels. Out: a nest whose register tile is a few
 * vectors of channels by a few pixels: a weight is a contiguous vector, an image element a broadcast, so strides,
 * borders and short rows cost nothing, and the tile is transposed when it is stored (kernel/transpose.c). The weights
 * get an array of their own, packed as [channels / block][the sum's loops][block], which is part of the prepared block
 * where they are constant. This is the blocking of Georganas et al., "Anatomy of high-performance deep learning
 * convolutions on SIMD architectures", SC 2018.
 * Always holds: which values have such a nest, and with which tile, is said by plan/direct.c; declining is ordinary;
 * sums keep the order of their loops, so results are the same for every tile. */
#include "nest/state.h"

enum { LEN_RANGES = STAGE_RANGES + WN_MAX_DIMS * 2, FEW_POINTS = 144 };
enum { FEW_BYTES = 256 << 10, NEAR_ELEMENTS = 160 << 10 };

/* --- what is computed ------------------------------------------------------------------------- */

typedef struct product { /* a stored value as sum over `reduce` of image * weights */
  const uop *reduce, *image, *weights;
  int n;
  const uop *const *range;
  bool in_image[STAGE_RANGES], in_weights[STAGE_RANGES];
  int k;    /* position of the output channels */
  int x, y; /* of the pixels: the fastest, the next one; -1: none */
  direct_shape shape;
} product;

static const uop *only_reduce(apply *ap, const uop *value) {
  const uop *found = NULL;
  uop_order all = uop_walk_value(ap->a, value);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op != OP_REDUCE) continue;
    if (found != NULL) return NULL;
    found = all.at[i];
  }
  return found;
}

static bool is_constant(const apply *ap, const uop *index) {
  const uop *base = index->src[0];
  return base->op == OP_BUFFER && base->arg.i < ap->nuser &&
         ap->set->arrays.data[base->arg.i].role == ROLE_CONSTANT;
}

/* The roles of the ranges when b holds the weights. */
static bool assign_roles(product *p, const uop *a, const uop *b) {
  p->image = a;
  p->weights = b;
  p->k = p->x = p->y = -1;
  p->shape = (direct_shape){.pixels = 1, .others = 1};
  for (int i = 0; i < p->n; ++i) {
    int64_t extent = p->range[i]->arg.j;
    p->in_image[i] = uop_has_range(a, p->range[i]);
    p->in_weights[i] = uop_has_range(b, p->range[i]);
    if (p->in_image[i] == p->in_weights[i]) {
      p->shape.others *= extent;
    } else if (p->in_weights[i]) {
      if (p->k >= 0) p->shape.others *= p->range[p->k]->arg.j;
      p->k = i;
    } else {
      p->y = p->x;
      p->x = i;
      p->shape.pixels *= extent;
    }
  }
  return p->k >= 0 && p->x >= 0 && uop_is_int(b->src[1], 1);
}

/* Does nothing but the sum move with the pixels? What is stored twice must not depend on what was stored. */
static bool is_pure(const product *p, const uop *value) {
  while (value != p->reduce) {
    const uop *next = NULL;
    for (int i = 0; i < value->nsrc; ++i) {
      if (!uop_has_range(value->src[i], p->range[p->x])) continue;
      if (next != NULL && next != value->src[i]) return false;
      next = value->src[i];
    }
    if (next == NULL || value->op == OP_INDEX) return false;
    value = next;
  }
  return true;
}

/* The share of (pixel, tap) pairs at which the image is read, counted where there are few. */
static double share_inside(apply *ap, const product *p) {
  const uop *valid = p->image->src[1], *range[LEN_RANGES], *at[LEN_RANGES];
  int n = 0;
  int64_t points = 1, inside = 0;
  for (int i = 0; i < p->n; ++i) {
    if (uop_has_range(valid, p->range[i])) range[n++] = p->range[i];
  }
  for (int i = 1; i < p->reduce->nsrc; ++i) {
    if (uop_has_range(valid, p->reduce->src[i])) range[n++] = p->reduce->src[i];
  }
  for (int i = 0; i < n; ++i) points *= points <= FEW_POINTS ? range[i]->arg.j : 1;
  if (n == 0 || n != valid->free_->len || points > FEW_POINTS) return 1.0;
  for (int64_t k = 0; k < points; ++k) {
    int64_t rest = k;
    for (int i = 0; i < n; ++i) {
      at[i] = uop_int(ap->g, rest % range[i]->arg.j);
      rest /= range[i]->arg.j;
    }
    inside += uop_is_int(simplify(ap->g, uop_replace(ap->g, valid, n, range, at)), 1);
  }
  return (double)inside / (double)points;
}

static bool find_product(apply *ap, const uop *value, int n, const uop *const *range, product *p) {
  memset(p, 0, sizeof *p);
  p->n = n;
  p->range = range;
  p->reduce = only_reduce(ap, value);
  if (p->reduce == NULL || p->reduce->arg.i != OP_ADD || n == 0) return false;
  const uop *body = p->reduce->src[0];
  if (body->op != OP_MUL || body->src[0]->op != OP_INDEX || body->src[1]->op != OP_INDEX)
    return false;
  const uop *a = body->src[0], *b = body->src[1];
  if (is_constant(ap, a)) a = body->src[1], b = body->src[0];
  if (!assign_roles(p, a, b) && !assign_roles(p, b, a)) return false;
  if (!is_constant(ap, p->weights) || ap->variable_weights) {
    if (p->shape.pixels < PACKED_FROM_PIXELS) return false;
  }
  p->shape.packs = true;
  p->shape.dtype = widest_dtype(ap->a, value);
  p->shape.K = range[p->k]->arg.j;
  p->shape.X = range[p->x]->arg.j;
  p->shape.Y = p->y >= 0 ? range[p->y]->arg.j : 0;
  p->shape.k_last = p->k == n - 1;
  p->shape.taps = 1;
  for (int i = 1; i < p->reduce->nsrc; ++i) p->shape.taps *= p->reduce->src[i]->arg.j;
  p->shape.stride = index_stride(p->image, range[p->x]);
  p->shape.overlaps = p->y >= 0 && is_pure(p, value);
  p->shape.masked = uop_has_range(p->image->src[1], range[p->x]);
  p->shape.inside = share_inside(ap, p);
  return true;
}

bool pixel_tile(const apply *ap, const stage *st, const uop *value, int v, int u,
                register_tile *t) {
  product p;
  if (!find_product((apply *)ap, value, st->n, st->range, &p) || p.x != v || p.k != u) return false;
  return direct_pixels(direct_plan(ap, st->node->arg.info->site), ap->machine, &p.shape, t);
}

/* --- packing ---------------------------------------------------------------------------------- */

typedef struct packing {
  apply *ap;
  const uop *value[STAGE_RANGES + WN_MAX_DIMS * 2], *range[STAGE_RANGES + WN_MAX_DIMS * 2];
  const uop *index[STAGE_RANGES + WN_MAX_DIMS * 2];
  int n, nranges, nreplaced;
  const uop *from[STAGE_RANGES + WN_MAX_DIMS * 2], *to[STAGE_RANGES + WN_MAX_DIMS * 2];
} packing;

/* A dimension of the packed array: a loop of its own, and where the product reads it. */
static const uop *add_dimension(packing *q, int64_t extent, const uop *index, const char *name) {
  if (extent == 1) return uop_int(q->ap->g, 0);
  const uop *r = uop_range(q->ap->g, extent, name);
  q->range[q->nranges] = r;
  q->index[q->nranges++] = index;
  return r;
}

static void replace(packing *q, const uop *from, const uop *to) {
  q->from[q->nreplaced] = from;
  q->to[q->nreplaced++] = to;
}

/* INDEX of the packed weights: [outer ranges][channels / block][the sum's loops][block]. */
static const uop *pack_weights(apply *ap, const product *p, const channel_sizes *t) {
  graph *g = ap->g;
  packing q = {.ap = ap};
  int64_t block = t->vectors * t->lanes, K = p->range[p->k]->arg.j;
  for (int i = 0; i < p->n; ++i) {
    if (p->in_weights[i] && i != p->k)
      replace(&q, p->range[i], add_dimension(&q, p->range[i]->arg.j, p->range[i], "i"));
  }
  const uop *k = p->range[p->k];
  const uop *k0 = add_dimension(&q, (K + block - 1) / block, uop_divi(g, k, block), "k");
  for (int i = 1; i < p->reduce->nsrc; ++i) {
    const uop *r = p->reduce->src[i];
    if (uop_has_range(p->weights, r)) replace(&q, r, add_dimension(&q, r->arg.j, r, "c"));
  }
  const uop *k1 = add_dimension(&q, block, uop_modi(g, k, block), "k");
  const uop *channel = uop_add(g, uop_muli(g, k0, block), k1);
  replace(&q, k, channel);
  const uop *w = uop_replace(g, p->weights, q.nreplaced, q.from, q.to);
  if (K % block != 0) w = uop_index(g, w->src[0], uop_lt(g, channel, K), w->nsrc - 2, w->src + 2);
  bufferize_info info = {
      .name = arena_printf(ap->a, "packed%u", ap->packed.len), .space = SPACE_GLOBAL, .site = -1};
  const uop *array = uop_bufferize(g, simplify(g, w), q.nranges, q.range, info);
  map_put(&ap->packed, array->id, 1);
  return simplify(g, uop_index(g, array, uop_bool(g, true), q.nranges, q.index));
}

static const uop *pack_node(void *user, const uop *u) {
  apply *ap = user;
  if (u->op != OP_BUFFERIZE || u->arg.info->stage != STAGE_COUNT) return u;
  int number = u->arg.info->site;
  product p;
  if (u->nsrc - 1 > STAGE_RANGES || !find_product(ap, u->src[0], u->nsrc - 1, u->src + 1, &p))
    return u;
  channel_sizes best;
  if (!direct_channels(direct_plan(ap, number), ap->machine, &p.shape, &best)) return u;
  const uop *packed = pack_weights(ap, &p, &best);
  const uop *value = uop_replace(ap->g, u->src[0], 1, &p.weights, &packed);
  u = uop_bufferize(ap->g, value, u->nsrc - 1, u->src + 1, *u->arg.info);
  channel_tile *plan = arena_new(ap->a, channel_tile);
  *plan = (channel_tile){.k = p.k, .x = p.x, .y = p.y, .sizes = best};
  int64_t block = best.vectors * best.lanes, K = p.shape.K;
  complete_direct(ap, number, block, best.xs * best.ys, 'k');
  /* weights that do not fit the nearer caches are read once, all pixels inside; an image that does fit passes by again
   * for each block of channels, so that what is stored is written in long stretches */
  double weights = (double)((K + block - 1) / block * block * p.shape.taps) * 4.0;
  plan->k_first = weights > (double)FEW_BYTES || array_elements(p.image->src[0]) <= NEAR_ELEMENTS;
  plan->overlaps = p.shape.overlaps;
  for (int i = 1; i < p.reduce->nsrc && direct_takes_all(&p.shape, &best); ++i) {
    if (uop_has_range(p.image->src[1], p.reduce->src[i]))
      map_put(&ap->set->kinds, (uint64_t)p.reduce->src[i]->arg.i, AXIS_UNROLL);
  }
  map_put_ptr(&ap->channel_tiles, u->id, plan);
  return u;
}

const uop *channels_pack(apply *ap, const uop *root) {
  map_init(&ap->packed, ap->a);
  map_init(&ap->channel_tiles, ap->a);
  if (ap->machine->group > 0) return root; /* neighbouring work items are neighbouring pixels */
  return uop_transform(ap->g, ap->a, root, pack_node, ap);
}

/* --- the nest --------------------------------------------------------------------------------- */

nest *nest_channels(apply *ap, stage *st) {
  const channel_tile *t = map_get_ptr(&ap->channel_tiles, st->node->id);
  if (t == NULL) return NULL;
  const channel_sizes *z = &t->sizes;
  draft d = draft_begin(ap, st);
  int64_t block = z->vectors * z->lanes, K = st->len[t->k], nk = (K + block - 1) / block;
  const uop *k0 = NULL, *y0 = NULL;
  if (t->k_first) k0 = draft_axis(ap, &d, AXIS_GRID, nk, "k0");
  for (int i = 0; i < st->n; ++i) {
    if (i != t->k && i != t->x && i != t->y)
      draft_plain(ap, &d, i, AXIS_GRID, arena_printf(ap->keep, "i%d", i));
  }
  if (t->y >= 0) y0 = draft_axis(ap, &d, AXIS_GRID, (st->len[t->y] + z->ys - 1) / z->ys, "y0");
  if (!t->k_first) k0 = draft_axis(ap, &d, AXIS_GRID, nk, "k0");
  const uop *x0 = draft_axis(ap, &d, t->y >= 0 ? AXIS_LOOP : sums_kind(st, t->x),
                             (st->len[t->x] + z->xs - 1) / z->xs, "t0");
  if (t->y >= 0) {
    d.index[t->y] = draft_exact(ap, &d, st->len[t->y], "y");
    draft_split(ap, &d, d.index[t->y], y0, draft_axis(ap, &d, AXIS_UNROLL, z->ys, "y1"), z->ys,
                true);
  }
  d.index[t->x] = draft_exact(ap, &d, st->len[t->x], "t");
  const uop *x1 = draft_axis(ap, &d, AXIS_UNROLL, z->xs, "t1");
  if (t->overlaps && st->len[t->x] % z->xs != 0) {
    const uop *last = uop_int(ap->g, st->len[t->x] - z->xs);
    const uop *first = uop_alu2(ap->g, OP_MIN, uop_muli(ap->g, x0, z->xs), last);
    draft_bind(ap, &d, d.index[t->x], uop_add(ap->g, first, x1), true);
  } else {
    draft_split(ap, &d, d.index[t->x], x0, x1, z->xs, true);
  }
  d.index[t->k] = draft_exact(ap, &d, K, "k");
  const uop *k1 = draft_axis(ap, &d, AXIS_UNROLL, z->vectors, "k1");
  const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, z->lanes, "k2");
  const uop *in = uop_add(ap->g, uop_muli(ap->g, k1, z->lanes), lane);
  draft_split(ap, &d, d.index[t->k], k0, in, block, true);
  nest *n = draft_finish(ap, &d, st);
  if (t->overlaps) sums_once(ap, st, x0, x1, z->xs, st->len[t->x]);
  return n;
}
