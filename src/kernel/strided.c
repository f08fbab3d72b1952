/* Strided accesses of neighbours as contiguous accesses and shuffles.
 *
 * In: loads (or stores) whose lanes lie `stride` elements apart and which differ by constants only: the columns of a
 * row of tiles. Out: the stretch that they cover is moved by contiguous vectors, and shuffles pick the lanes.
 * A condition on a lane becomes a condition on an element of the stretch in one of two ways. It *moves* with the
 * element (the edge of the image: coeff / stride per element), or it is *fixed* to the lane (the number of tiles: the
 * same for all members). Always holds: an element is touched only if some lane of some member touches it, and
 * conditions that a member lacks are proved for it before they are shared; where that fails the accesses stay as they
 * were. */
#include "kernel/build.h"

enum {
  MAX_CONDS = 6,
  MAX_STRIDE = 8,
  MAX_MEMBERS = 16,
  MIN_LANES = 4,
  MAX_STRETCH = 2 * MAX_STRIDE + 2
};

typedef struct lane_cond { /* base + coeff * lane + k < 0; fixed: the same lanes for every member */
  const uop *base;
  int64_t coeff, k;
  bool fixed;
} lane_cond;

typedef struct lane_access {
  const uop *node; /* loads: the INDEX */
  const uop *base; /* of the offset, scalar, without the constant */
  int64_t stride, disp;
  const uop *scalar; /* the conditions that do not move with the lanes */
  int nconds;
  lane_cond cond[MAX_CONDS];
} lane_access;

typedef struct access_group {
  int n;
  lane_access member[MAX_MEMBERS]; /* by disp */
  const uop *buffer;
  size_t number;
  const uop *vector[MAX_STRETCH]; /* loads: the INDEX of each contiguous vector, once made */
  int nconds;
  lane_cond cond[MAX_CONDS]; /* k of a moving one: at disp 0 */
} access_group;

/* --- one access ------------------------------------------------------------------------------- */

static bool split_valid(builder *b, const uop *valid, lane_access *a) {
  condition_list all = conditions_of(b->a, valid);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (!is_vector(b, u)) {
      a->scalar = uop_and(b->g, a->scalar, u);
      continue;
    }
    if (u->op != OP_LT || u->src[0]->dtype != WN_I64 || a->nconds == MAX_CONDS) return false;
    lane_cond *c = &a->cond[a->nconds++];
    const uop *less = simplify(b->g, uop_add(b->g, u->src[0], uop_muli(b->g, u->src[1], -1)));
    if (!split_lanes(b, less, &c->base, &c->coeff, &c->k)) return false;
  }
  return true;
}

static bool describe_access(builder *b, const uop *flat, const uop *valid, lane_access *a) {
  *a = (lane_access){.scalar = uop_bool(b->g, true)};
  if (!split_lanes(b, flat, &a->base, &a->stride, &a->disp)) return false;
  if (a->stride < 2 || a->stride > MAX_STRIDE) return false;
  return split_valid(b, valid, a);
}

/* --- conditions of a group -------------------------------------------------------------------- */

static const lane_cond *find_cond(const lane_access *a, const lane_cond *like) {
  for (int i = 0; i < a->nconds; ++i) {
    if (a->cond[i].base == like->base && a->cond[i].coeff == like->coeff) return &a->cond[i];
  }
  return NULL;
}

/* Is base + coeff * lane + k < 0 in every lane that the fixed conditions let through? */
static bool always_holds(builder *b, const access_group *gr, const lane_cond *c) {
  graph *g = b->g;
  const uop *at_first = simplify(g, uop_addi(g, c->base, c->k));
  if (c->coeff <= 0) return at_first->vmax < 0;
  if (at_first->vmax <= INT64_MAX / 4 && at_first->vmax + c->coeff * (b->lanes - 1) < 0)
    return true;
  for (int i = 0; i < gr->nconds; ++i) {
    const lane_cond *f = &gr->cond[i];
    if (!f->fixed) continue; /* lane <= -base - k - 1 */
    const uop *last = uop_addi(g, uop_muli(g, f->base, -1), -f->k - 1);
    const uop *e = uop_add(g, at_first, uop_muli(g, last, c->coeff));
    if (simplify(g, e)->vmax < 0) return true;
  }
  return false;
}

static bool proved_for_others(builder *b, const access_group *gr, const lane_cond *like,
                              int64_t per_element, int64_t origin) {
  for (int i = 0; i < gr->n; ++i) { /* members without it must not be affected */
    const lane_cond *own = find_cond(&gr->member[i], like);
    lane_cond there = {.base = like->base, .coeff = per_element * gr->member[i].stride};
    there.k = origin + per_element * gr->member[i].disp;
    if (like->coeff != there.coeff) there.base = uop_muli(b->g, like->base, gr->member[i].stride);
    if (own != NULL && !own->fixed) continue;
    if (!always_holds(b, gr, &there)) return false;
  }
  return true;
}

/* Takes what is the same for all members out of conditions on the lane itself: lane < K for all, the rest stays theirs.
 * Marks them fixed where nothing is left. */
static void take_fixed(access_group *gr, const lane_cond *like) {
  int64_t weakest = INT64_MAX;
  for (int i = 0; i < gr->n; ++i) {
    const lane_cond *c = find_cond(&gr->member[i], like);
    if (c == NULL) return;
    if (c->k < weakest) weakest = c->k;
  }
  if (gr->nconds == MAX_CONDS || gr->n < 2) return;
  gr->cond[gr->nconds] = *like;
  gr->cond[gr->nconds].k = weakest;
  gr->cond[gr->nconds++].fixed = true;
  for (int i = 0; i < gr->n; ++i) {
    lane_cond *c = (lane_cond *)find_cond(&gr->member[i], like);
    c->fixed = c->k == weakest;
  }
}

/* The condition as one of the element: coeff / stride an element, or, where it was divided by the stride (lane < 13
 * says the same of the elements 4 * lane + 5 as element < 57), the weakest that says the same for every member that has
 * it. */
static bool add_moving(builder *b, access_group *gr, const lane_cond *like) {
  int64_t stride = gr->member[0].stride, lo = INT64_MIN, hi = INT64_MAX;
  bool divided = like->coeff == 1 || like->coeff == -1;
  if (!divided && like->coeff % stride != 0) return false;
  int64_t scale = divided ? stride : 1, per_element = like->coeff * scale / stride;
  for (int i = 0; i < gr->n; ++i) {
    const lane_cond *c = find_cond(&gr->member[i], like);
    if (c == NULL || c->fixed) continue;
    int64_t at = c->k * scale - per_element * gr->member[i].disp, slack = divided ? stride - 1 : 0;
    if (at > lo) lo = at;
    if (at + slack < hi) hi = at + slack;
  }
  if (lo > hi || gr->nconds == MAX_CONDS || !proved_for_others(b, gr, like, per_element, lo))
    return false;
  lane_cond *out = &gr->cond[gr->nconds++];
  *out = (lane_cond){.base = like->base, .coeff = per_element * stride, .k = lo};
  if (divided) out->base = uop_muli(b->g, like->base, stride);
  return true;
}

typedef VEC(lane_cond) cond_list;

/* The conditions of all members, each once. */
static cond_list distinct_conds(builder *b, const access_group *gr) {
  cond_list all = {0};
  for (int i = 0; i < gr->n; ++i) {
    for (int c = 0; c < gr->member[i].nconds; ++c) {
      const lane_cond *like = &gr->member[i].cond[c];
      bool known = false;
      for (size_t k = 0; k < all.len; ++k)
        known |= all.data[k].base == like->base && all.data[k].coeff == like->coeff;
      if (!known) vec_push(b->a, &all, *like);
    }
  }
  return all;
}

static bool merge_conds(builder *b, access_group *gr) {
  cond_list all = distinct_conds(b, gr);
  for (size_t k = 0; k < all.len; ++k) {
    if (all.data[k].coeff == 1)
      take_fixed(gr, &all.data[k]); /* moving ones are proved with the help of fixed ones */
  }
  for (size_t k = 0; k < all.len; ++k) {
    bool left = false;
    for (int i = 0; i < gr->n; ++i) {
      const lane_cond *c = find_cond(&gr->member[i], &all.data[k]);
      left |= c != NULL && !c->fixed;
    }
    if (left && !add_moving(b, gr, &all.data[k])) return false;
  }
  return true;
}

static int64_t span_of(const access_group *gr) {
  return gr->member[gr->n - 1].disp - gr->member[0].disp;
}

/* The condition of element e = first + lane of the stretch, which starts at the first member's lane 0. `reach`: by how
 * many elements a lane's part of the stretch extends (loads: the span; stores: one stride less one). */
static const uop *element_valid(builder *b, const access_group *gr, int64_t first, int64_t reach) {
  graph *g = b->g;
  int64_t stride = gr->member[0].stride, start = gr->member[0].disp;
  const uop *valid = gr->member[0].scalar;
  for (int i = 0; i < gr->nconds; ++i) {
    const lane_cond *c = &gr->cond[i];
    const uop *e;
    if (c->fixed) { /* some lane with stride * lane <= element <= stride * lane + reach */
      const uop *scaled = uop_muli(g, c->base, stride);
      e = uop_add(g, scaled, uop_addi(g, b->vector, first + stride * c->k + stride - 1 - reach));
      valid = uop_and(g, valid, uop_lt(g, uop_addi(g, c->base, c->k), 0));
    } else {
      int64_t per_element = c->coeff / stride;
      const uop *lane = uop_muli(g, b->vector, per_element);
      e = uop_add(g, c->base, uop_addi(g, lane, c->k + per_element * (start + first)));
    }
    valid = uop_and(g, valid, uop_lt(g, e, 0));
  }
  return valid;
}

/* --- loads ------------------------------------------------------------------------------------ */

static bool same_stretch(const lane_access *x, const lane_access *y) {
  return x->base == y->base && x->stride == y->stride && x->scalar == y->scalar;
}

/* Puts the access where disp says; false if the group is full or one is already there. */
static bool insert_member(access_group *gr, const lane_access *a) {
  if (gr->n == MAX_MEMBERS) return false;
  int at = gr->n;
  while (at > 0 && gr->member[at - 1].disp > a->disp) --at;
  if (at > 0 && gr->member[at - 1].disp == a->disp) return false;
  int64_t lo = at == 0 ? a->disp : gr->member[0].disp,
          hi = at == gr->n ? a->disp : gr->member[gr->n - 1].disp;
  if (gr->n > 0 && hi - lo > 2 * a->stride) return false;
  for (int i = gr->n++; i > at; --i) gr->member[i] = gr->member[i - 1];
  gr->member[at] = *a;
  return true;
}

/* Is every element of the stretch some lane's of some member? Only then may all of it be read. */
static bool has_no_gaps(const access_group *gr) {
  return gr->n >= gr->member[0].stride && span_of(gr) == gr->n - 1;
}

void group_strided_loads(builder *b, size_t nvalues, const uop *const *values) {
  if (b->lanes < MIN_LANES) return;
  uop_order all = uop_toposort(b->a, (int)nvalues, values);
  VEC(access_group *) open = {0};
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    lane_access a;
    if (u->op != OP_INDEX || u->nsrc != 3 || u->src[0]->op != OP_BUFFER || !is_vector(b, u->src[2]))
      continue;
    if (!describe_access(b, u->src[2], u->src[1], &a)) continue;
    a.node = u;
    bool placed = false;
    for (size_t j = open.len; j-- > 0 && !placed;) {
      access_group *gr = open.data[j];
      placed = gr->buffer == u->src[0] && same_stretch(&gr->member[0], &a) && insert_member(gr, &a);
    }
    if (placed) continue;
    access_group *gr = arena_new(b->a, access_group);
    gr->buffer = u->src[0];
    insert_member(gr, &a);
    vec_push(b->a, &open, gr);
  }
  for (size_t j = 0; j < open.len; ++j) {
    access_group *gr = open.data[j];
    if (!has_no_gaps(gr) || !merge_conds(b, gr)) continue;
    gr->number = b->ngroups++;
    for (int i = 0; i < gr->n; ++i) map_put_ptr(&b->groups, gr->member[i].node->id, gr);
  }
}

/* Contiguous vector number q of the stretch. */
static const uop *make_stretch(builder *b, const access_group *gr, int64_t q) {
  graph *g = b->g;
  int64_t first = q * b->lanes, last = gr->member[0].stride * (b->lanes - 1) + span_of(gr);
  const uop *flat =
      uop_addi(g, uop_add(g, gr->member[0].base, b->vector), gr->member[0].disp + first);
  const uop *valid = element_valid(b, gr, first, span_of(gr));
  if (first + b->lanes - 1 > last)
    valid = uop_and(g, valid, uop_lt(g, b->vector, last - first + 1));
  const uop *sink =
      uop_new(g, OP_SINK, WN_DTYPE_COUNT, 2, (const uop *[]){flat, valid}, (uop_arg){0});
  sink = simplify(g, sink);
  return uop_index(g, gr->buffer, sink->src[1], 1, sink->src);
}

static const uop *stretch(builder *b, access_group *gr, int64_t q) {
  WN_CHECK(q < MAX_STRETCH, "a stretch of more than %d vectors", MAX_STRETCH);
  if (gr->vector[q] == NULL) gr->vector[q] = make_stretch(b, gr, q);
  return gr->vector[q];
}

/* Where all vectors of the stretch are known. */
static scope *group_home(builder *b, access_group *gr) {
  int64_t vectors = (gr->member[0].stride * (b->lanes - 1) + span_of(gr)) / b->lanes + 1;
  scope *deepest = b->top;
  for (int64_t q = 0; q < vectors; ++q) {
    scope *s = home_of(b, stretch(b, gr, q));
    if (s->depth > deepest->depth) deepest = s;
  }
  return deepest;
}

/* Every step-th of the 2 * lanes elements of x and y, from the first. */
static uint32_t every_other(builder *b, scope *home, uint32_t x, uint32_t y, int64_t first) {
  int64_t pick[64];
  for (int64_t l = 0; l < b->lanes; ++l) pick[l] = first + 2 * l;
  return build_shuffle(b, home, x, y, b->lanes, pick);
}

/* Elements first, first + step, ... (step a power of two) of the stretch that starts at vector q: halves of half the
 * step are picked from, so the picks of a row's columns share their steps. */
static uint32_t pick_column(builder *b, access_group *gr, int64_t step, int64_t first, int64_t q) {
  const uop *vector = stretch(b, gr, q);
  if (step == 1) return emit(b, vector);
  scope *home = group_home(b, gr);
  uint64_t known, key = (uint64_t)1 << 56 | (uint64_t)gr->number << 24 |
                        (uint64_t)(q << 12 | step << 6 | first);
  if (map_get(&home->values, key, &known)) return (uint32_t)known;
  int64_t half = step / 2;
  uint32_t x = pick_column(b, gr, half, first % half, q),
           y = pick_column(b, gr, half, first % half, q + half);
  uint32_t v = every_other(b, home, x, y, first / half);
  map_put(&home->values, key, v);
  return v;
}

/* The column, moved on by some of its elements: its tail, and the elements behind it one by one from vector `from` on.
 * */
static uint32_t move_column(builder *b, access_group *gr, uint32_t column, int64_t by,
                            int64_t residue) {
  int64_t stride = gr->member[0].stride, lanes = b->lanes, pick[64];
  for (int64_t k = 0; k < by; ++k) {
    int64_t e = stride * (lanes + k) + residue;
    uint32_t behind = emit(b, stretch(b, gr, e / lanes));
    for (int64_t l = 0; l < lanes; ++l) pick[l] = l + 1 < lanes ? l + 1 : lanes + e % lanes;
    column = build_shuffle(b, group_home(b, gr), column, behind, b->lanes, pick);
  }
  return column;
}

/* Any stride: the lanes of each vector of the stretch in turn. */
static uint32_t gather_column(builder *b, access_group *gr, int64_t shift) {
  int64_t stride = gr->member[0].stride, lanes = b->lanes, pick[64];
  int64_t first = shift / lanes, last = (shift + stride * (lanes - 1)) / lanes;
  uint32_t acc = emit(b, stretch(b, gr, first));
  for (int64_t q = first + 1; q <= last; ++q) {
    uint32_t next = emit(b, stretch(b, gr, q));
    for (int64_t l = 0; l < lanes; ++l) {
      int64_t e = shift + stride * l;
      pick[l] = e / lanes == q                    ? lanes + e % lanes
                : e / lanes < q && q == first + 1 ? e % lanes
                                                  : l;
    }
    acc = build_shuffle(b, group_home(b, gr), acc, next, b->lanes, pick);
  }
  return acc;
}

bool load_from_group(builder *b, const uop *index, uint32_t *value) {
  access_group *gr = map_get_ptr(&b->groups, index->id);
  if (gr == NULL) return false;
  int64_t shift = 0, stride = gr->member[0].stride;
  for (int i = 0; i < gr->n; ++i) {
    if (gr->member[i].node == index) shift = gr->member[i].disp - gr->member[0].disp;
  }
  bool power = (stride & (stride - 1)) == 0 && stride <= b->lanes;
  if (!power) {
    *value = gather_column(b, gr, shift);
    return true;
  }
  *value = move_column(b, gr, pick_column(b, gr, stride, shift % stride, 0), shift / stride,
                       shift % stride);
  return true;
}

/* --- stores ----------------------------------------------------------------------------------- */

static void store_vector(builder *b, int64_t slot, const access_group *gr, int64_t q,
                         uint32_t value) {
  const uop *valid = simplify(b->g, element_valid(b, gr, q * b->lanes, gr->member[0].stride - 1));
  lin_ins ins = {
      .op = OP_STORE, .dtype = WN_DTYPE_COUNT, .lanes = (uint16_t)b->lanes, .nsrc = 2, .j = 1};
  ins.i = build_array(b, slot);
  ins.src[0] = emit(b, gr->member[0].base);
  ins.disp = gr->member[0].disp + q * b->lanes;
  ins.src[1] = value;
  if (!uop_is_int(valid, 1)) {
    ins.src[2] = emit_mask(b, valid);
    ins.nsrc = 3;
  }
  build_ins(b, b->cur, ins);
}

/* n vectors (a power of two), element by element in turn, into n vectors: pairs of interleaved halves. */
static void interleave(builder *b, int64_t n, const uint32_t *in, uint32_t *out) {
  if (n == 1) {
    out[0] = in[0];
    return;
  }
  uint32_t half[MAX_STRIDE] = {0}, even[MAX_STRIDE / 2], odd[MAX_STRIDE / 2];
  int64_t pick[64];
  for (int64_t i = 0; i < n; ++i) half[i / 2 + (i % 2) * (n / 2)] = in[i];
  interleave(b, n / 2, half, even);
  interleave(b, n / 2, half + n / 2, odd);
  for (int64_t i = 0; i < n; ++i) {
    int64_t from = (i % 2) * b->lanes / 2;
    for (int64_t l = 0; l < b->lanes; ++l) pick[l] = from + l / 2 + (l % 2) * b->lanes;
    out[i] = build_shuffle(b, b->cur, even[i / 2], odd[i / 2], b->lanes, pick);
  }
}

/* The stretch of `stride` stores next to each other: vector q takes lane (q * lanes + l) / stride of the store
 * (q * lanes + l) % stride. */
static void store_stretch(builder *b, int64_t slot, const access_group *gr, const uint32_t *value) {
  int64_t stride = gr->member[0].stride, lanes = b->lanes, pick[64];
  uint32_t out[MAX_STRIDE];
  if ((stride & (stride - 1)) == 0) {
    interleave(b, stride, value, out);
    for (int64_t q = 0; q < stride; ++q) store_vector(b, slot, gr, q, out[q]);
    return;
  }
  for (int64_t q = 0; q < stride; ++q) {
    uint32_t acc = value[0];
    for (int64_t s = 1; s < stride; ++s) {
      for (int64_t l = 0; l < lanes; ++l) {
        int64_t e = q * lanes + l, from = e / stride;
        pick[l] = e % stride == s ? lanes + from : s == 1 && e % stride == 0 ? from : l;
      }
      acc = build_shuffle(b, b->cur, acc, value[s], b->lanes, pick);
    }
    store_vector(b, slot, gr, q, acc);
  }
}

/* Does the group fill a stretch without gaps? */
static bool is_full(const access_group *gr) {
  int64_t stride = gr->member[0].stride;
  return gr->n == stride && span_of(gr) == stride - 1;
}

void interleave_stores(builder *b, int64_t slot, size_t n, const store_ref *stores, bool *done) {
  if (b->lanes < MIN_LANES) return;
  for (size_t i = 0; i < n; ++i) {
    access_group gr = {0};
    size_t member_of[MAX_MEMBERS];
    lane_access a;
    if (done[i] || !describe_access(b, stores[i].offset, stores[i].mask, &a)) continue;
    insert_member(&gr, &a);
    gr.member[0].node = stores[i].value;
    member_of[0] = i;
    int64_t home = a.disp;
    for (size_t j = i + 1; j < n && gr.n < a.stride; ++j) {
      lane_access other;
      if (done[j] || !describe_access(b, stores[j].offset, stores[j].mask, &other)) continue;
      if (!same_stretch(&a, &other) || other.disp <= home || other.disp >= home + a.stride)
        continue;
      other.node = stores[j].value;
      size_t count = (size_t)gr.n;
      if (insert_member(&gr, &other)) member_of[count] = j;
    }
    if (!is_full(&gr) || !merge_conds(b, &gr)) continue;
    uint32_t value[MAX_STRIDE];
    for (int m = 0; m < gr.n; ++m) value[m] = emit_vector(b, gr.member[m].node);
    store_stretch(b, slot, &gr, value);
    for (int m = 0; m < gr.n; ++m) done[member_of[m]] = true;
  }
}
