/* The nest of any stored value that is no stage of a convolution: elementwise chains, reductions, matmul, direct
 * convolution.
 *
 * In: a stored value. Out: a nest with one vectorised range (the one with neighbouring elements), one range held in
 * registers over which an operand is reused, short filter loops unrolled, the rest on the grid. Edges are masked.
 * Always holds: the array is exact; axes that reach past a range carry a limit. */
#include "nest/apply.h"

enum {
  ROWS_AT_ONCE = 4, /* sums whose terms are lanes */
  UNROLLED_BODY = 200,
  NEAR_ELEMENTS = 160 << 10
};

/* --- what kind of value --------------------------------------------------------------------------------------------------- */

typedef struct survey { /* of the loads under the value's reductions */
  bool reduces;
  int64_t innermost; /* the shortest innermost loop of a sum */
  int64_t
      contiguous[STAGE_RANGES]; /* loads in which neighbours of range i are neighbours in memory */
  int64_t strided[STAGE_RANGES];
} survey;

static survey look_at(apply *ap, const stage *st, const uop *value) {
  survey s = {0};
  uop_order all = uop_walk_value(ap->a, value);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op == OP_REDUCE) {
      int64_t extent = u->nsrc > 1 ? u->src[u->nsrc - 1]->arg.j : 1;
      if (!s.reduces || extent < s.innermost) s.innermost = extent;
      s.reduces = true;
    }
    if (u->op != OP_INDEX || u->nsrc < 3) continue;
    for (int i = 0; i < st->n; ++i) {
      int64_t stride = index_stride(u, st->range[i]);
      bool moves = uop_has_range(u, st->range[i]);
      s.contiguous[i] += moves && stride == 1;
      s.strided[i] += moves && stride != 1;
    }
  }
  return s;
}

/* The range for the lanes: neighbours in the result and in as many loads as possible, and long enough. */
static int vector_range(const stage *st, const survey *s) {
  int best = -1;
  double best_score = 0;
  for (int i = 0; i < st->n; ++i) {
    if (st->len[i] < 2) continue;
    double room = st->len[i] >= 8 ? 1.0 : (double)st->len[i] / 16.0;
    double score = room * (1.0 + 4.0 * (double)s->contiguous[i] - 3.0 * (double)s->strided[i]);
    if (i == st->n - 1) score += 4.0 * room;
    if (best < 0 || score > best_score) best = i, best_score = score;
  }
  return best;
}

/* Loads that do not move with range i and so are shared by its copies; whole vectors count most. */
static int64_t sharing(apply *ap, const stage *st, const uop *value, int i, int vector) {
  int64_t shared = 0;
  uop_order all = uop_walk_value(ap->a, value);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_INDEX || uop_has_range(u, st->range[i])) continue;
    shared += vector >= 0 && uop_has_range(u, st->range[vector]) ? 4 : 1;
  }
  return shared;
}

/* The range for the register tile: the one whose copies share most; of equals the longest. */
static int register_range(apply *ap, const stage *st, const uop *value, int vector) {
  int best = -1;
  int64_t most = 0;
  for (int i = 0; i < st->n; ++i) {
    if (i == vector || st->len[i] < 2) continue;
    int64_t shared = sharing(ap, st, value, i, vector);
    if (shared > most || (shared == most && best >= 0 && st->len[i] > st->len[best]))
      best = i, most = shared;
  }
  return best;
}

/* Is everything that range i shares small enough to stay near while all of i passes by? Then i goes outside, and what is
 * stored is written in long stretches. */
static bool shares_little(apply *ap, const stage *st, const uop *value, int i) {
  int64_t elements = 0;
  uop_order all = uop_walk_value(ap->a, value);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_INDEX || uop_has_range(u, st->range[i])) continue;
    elements += array_elements(u->src[0]);
  }
  return elements <= NEAR_ELEMENTS;
}

/* --- reductions --------------------------------------------------------------------------------------------------------------- */

static void choose_reduce_kinds(apply *ap, const uop *value, int64_t copies) {
  uop_order all = uop_walk_value(ap->a, value);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_REDUCE) continue;
    int64_t body = copies;
    for (int i = u->nsrc - 1; i >= 1; --i) {
      int64_t extent = u->src[i]->arg.j;
      uint64_t known;
      if (map_get(&ap->set->kinds, (uint64_t)u->src[i]->arg.i, &known) && known == AXIS_VECTOR)
        break;
      if (extent > SHORT_LOOP || body * extent > UNROLLED_BODY) break;
      body *= extent;
      map_put(&ap->set->kinds, (uint64_t)u->src[i]->arg.i, AXIS_UNROLL);
    }
  }
}

/* --- the nest -------------------------------------------------------------------------------------------------------------------- */

static register_tile general_tile(apply *ap, const stage *st, const uop *value, const survey *s,
                                  int v, int u) {
  int number = st->node->arg.info->site;
  value_shape shape = {.dtype = widest_dtype(ap, value),
                       .along = v >= 0 ? st->len[v] : 0,
                       .across = u >= 0 ? st->len[u] : 0,
                       .others = 1,
                       .reduces = s->reduces,
                       .innermost = s->innermost};
  for (int i = 0; i < st->n; ++i) shape.others *= i == u || i == v ? 1 : st->len[i];
  register_tile rt;
  bool found = ap->machine->group == 0 && u >= 0 && v >= 0 && pixel_tile(ap, st, value, v, u, &rt);
  if (!found) rt = value_tile(direct_plan(ap, number), ap->machine, &shape);
  complete_direct(ap, number, u >= 0 ? rt.k : 0, v >= 0 && s->reduces ? rt.t : 0, 't');
  return rt;
}

nest *nest_general(apply *ap, stage *st) {
  nest *channels = nest_channels(ap, st);
  if (channels != NULL) return channels;
  draft d = draft_begin(ap, st);
  const uop *value = st->node->src[0];
  survey s = look_at(ap, st, value);
  int v = vector_range(st, &s), lanes = s.reduces ? sums_lanes(ap, st, value, v) : 1;
  if (lanes > 1) v = -1;
  int u = s.reduces ? register_range(ap, st, value, v) : -1;
  register_tile rt = general_tile(ap, st, value, &s, v, u);
  if (lanes > 1 && rt.k > ROWS_AT_ONCE) rt.k = ROWS_AT_ONCE;
  const uop *ublock = NULL, *vblock = NULL;
  bool outside = u >= 0 && shares_little(ap, st, value, u);
  if (outside) ublock = draft_axis(ap, &d, AXIS_GRID, (st->len[u] + rt.k - 1) / rt.k, "k0");
  for (int i = 0; i < st->n; ++i) {
    const char *name = arena_printf(ap->keep, "i%d", i);
    if (i != v && i != u) draft_plain(ap, &d, i, AXIS_GRID, name);
  }
  /* else innermost: what does not move with it is read again for each of its blocks, and then is still in the cache */
  if (u >= 0 && !outside)
    ublock = draft_axis(ap, &d, AXIS_GRID, (st->len[u] + rt.k - 1) / rt.k, "k0");
  if (v >= 0) {
    bool alone = d.n->naxes == 0;
    vblock =
        draft_axis(ap, &d, alone ? AXIS_GRID : AXIS_LOOP, (st->len[v] + rt.t - 1) / rt.t, "t0");
  }
  if (u >= 0) {
    d.index[u] = draft_exact(ap, &d, st->len[u], "k");
    draft_split(ap, &d, d.index[u], ublock, draft_axis(ap, &d, AXIS_UNROLL, rt.k, "k1"), rt.k,
                true);
  }
  if (v >= 0) {
    d.index[v] = draft_exact(ap, &d, st->len[v], "t");
    const uop *t1 = draft_axis(ap, &d, AXIS_UNROLL, rt.t / rt.lanes, "t1");
    const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, rt.lanes, "t2");
    const uop *in = uop_add(ap->g, uop_muli(ap->g, t1, rt.lanes), lane);
    draft_split(ap, &d, d.index[v], vblock, in, rt.t, true);
  }
  int64_t sums = rt.k * (rt.t / rt.lanes);
  if (s.reduces) d.value = sums_deal_out(ap, value, lanes, sums, &d.n->sum_lanes);
  choose_reduce_kinds(ap, d.value, sums);
  return draft_finish(ap, &d, st);
}
