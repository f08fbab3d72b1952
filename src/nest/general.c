/* The nest of any stored value that is no stage of a convolution: elementwise chains, reductions, matmul, direct
 * convolution.
 *
 * In: a stored value. Out: a nest with one vectorised range (the one with neighbouring elements), one range held in
 * registers over which an operand is reused, short filter loops unrolled, the rest on the grid. Edges are masked.
 * Always holds: the array is exact; axes that reach past a range carry a limit. */
#include "nest/state.h"

enum { UNROLLED_BODY = 200 };

/* --- reductions ------------------------------------------------------------------------------- */

/* Terms that are dealt out stand side by side: each is a copy of the body. */
static int64_t terms_of(apply *ap, const uop *reduce) {
  int64_t loads = 0;
  if (sum_is_of_products(reduce->src[0])) return 1;
  const uop_order all = uop_walk_value(ap->a, reduce->src[0]);
  for (size_t i = 0; i < all.len; ++i) loads += all.at[i]->op == OP_INDEX;
  return loads > 1 ? loads : 1;
}

/* How many loops of a sum, the innermost ones, are short enough for a copy of the body each. */
static int short_loops(apply *ap, const uop *reduce, int64_t copies) {
  int64_t body = copies * terms_of(ap, reduce);
  for (int i = reduce->nsrc - 1; i >= 1; --i) {
    int64_t extent = reduce->src[i]->arg.j;
    uint64_t known;
    const bool lanes =
        map_get(&ap->set->kinds, (uint64_t)reduce->src[i]->arg.i, &known) && known == AXIS_VECTOR;
    if (lanes || extent > SHORT_LOOP || body * extent > UNROLLED_BODY) return reduce->nsrc - 1 - i;
    body *= extent;
  }
  return reduce->nsrc - 1;
}

/* A loop that parts of a sum share is unrolled where it is short in all of them. */
static void choose_reduce_kinds(apply *ap, const uop *value, int64_t copies) {
  uop_order all = uop_walk_value(ap->a, value);
  map is_long;
  map_init(&is_long, ap->a);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    const int n = u->op == OP_REDUCE ? u->nsrc - short_loops(ap, u, copies) : 0;
    for (int i = 1; i < n; ++i) map_put(&is_long, (uint64_t)u->src[i]->arg.i, 1);
  }
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    for (int i = 1; u->op == OP_REDUCE && i < u->nsrc; ++i) {
      const uint64_t loop = (uint64_t)u->src[i]->arg.i;
      uint64_t known;
      if (!map_get(&is_long, loop, &known) && !map_get(&ap->set->kinds, loop, &known))
        map_put(&ap->set->kinds, loop, AXIS_UNROLL);
    }
  }
}

/* --- the nest --------------------------------------------------------------------------------- */

/* The values that this nest stores: this one, or all that are joined. */
static int stored_with(const apply *ap, const stage *st, const uop **value) {
  int n = 0;
  for (size_t i = 0; i < ap->stages.len && st->node->arg.info->explicit_; ++i) {
    const stage *other = ap->stages.data[i];
    if (other->id == STAGE_COUNT && other->node->arg.info->explicit_ && n < NEST_STORES &&
        !sums_are_partial(ap, other->node))
      value[n++] = other->node;
  }
  if (n == 0) value[n++] = st->node;
  return n;
}

/* Says of the site, whose plan is that of all values of the nest, what loops it has. */
static void say_loops(apply *ap, int number, const value_loops *l, int64_t chains, int n,
                      const uop *const *value) {
  if (number < 0 || number >= ap->nplans || !ap->plan[number].direct) return;
  schedule *said = &ap->set->plan[number];
  said->lanes = l->lanes_of;
  said->regs = l->reg >= 0 ? (value_loop)(l->reg + 1) : VALUE_LOOP_NONE;
  bool lanes = ap->machine->group == 0 && l->lanes_of != VALUE_LOOP_NONE;
  said->nlanes = !lanes ? 0 : l->lane >= 0 ? l->tile.lanes : l->term_lanes;
  bool choice = false;
  for (int i = 0; i < n && !choice; ++i)
    choice = chains_can_be(ap->a, value[i]->src[0], l->term_lanes, ap->machine);
  said->chains = choice ? (int)chains : 0;
}

static value_loops loops_of(apply *ap, const stage *st, int64_t *chains) {
  int number = st->node->arg.info->site;
  const uop *value[NEST_STORES];
  if (!loops_are_there(st->node, direct_plan(ap, number)))
    diag_fail(ap->g->diag, WN_ERR_REFUSED,
              "lanes= and regs= name two loops of the value that are longer than 1, and of %d from "
              "i0 on these are not",
              st->n);
  int n = stored_with(ap, st, value);
  const schedule *s = direct_plan(ap, number);
  value_loops l =
      loops_of_value(ap->a, n > 1 ? loops_owner(ap->a, n, value) : st->node, s, ap->machine);
  bool both = ap->machine->group == 0 && l.reg >= 0 && l.lane >= 0;
  register_tile pixels;
  if (both && pixel_tile(ap, st, st->node->src[0], l.lane, l.reg, &pixels)) l.tile = pixels;
  *chains = chains_of_tile(s, ap->machine, &l.tile);
  say_loops(ap, number, &l, *chains, n, value);
  complete_direct(ap, number, l.reg >= 0 ? l.tile.k : 0, l.lane >= 0 && l.reduces ? l.tile.t : 0,
                  't');
  return l;
}

/* One of the two loops of a map that is transposed: blocks of `line` elements, parts of `inner` in each. */
typedef struct line_loop {
  int i; /* position of the stage's range */
  int64_t line, inner;
  bool
      ends_early; /* the last block begins early, and elements are computed twice: by one worker, so no grid */
  const uop *block, *part;
} line_loop;

static bool is_ragged(const stage *st, const line_loop *l) { return st->len[l->i] % l->line != 0; }

static void open_blocks(apply *ap, draft *d, line_loop *l, const char *name) {
  int64_t blocks = (d->st->len[l->i] + l->line - 1) / l->line;
  l->block = draft_axis(ap, d, l->ends_early ? AXIS_LOOP : AXIS_GRID, blocks, name);
}

static void bind_line(apply *ap, draft *d, const line_loop *l, const uop *in, const char *name) {
  graph *g = ap->g;
  int64_t extent = d->st->len[l->i];
  const uop *first = uop_muli(g, l->block, l->line);
  if (l->ends_early) first = uop_alu2(g, OP_MIN, first, uop_int(g, extent - l->line));
  const uop *at = uop_add(g, uop_add(g, first, uop_muli(g, l->part, l->inner)), in);
  d->index[l->i] = draft_exact(ap, d, extent, name);
  draft_bind(ap, d, d->index[l->i], at, true);
}

/* Reads neighbours along one loop and writes them along another: blocks of whole lines of both. */
static nest *nest_transposed(apply *ap, stage *st, draft *d, const value_loops *l) {
  line_loop t = {.i = l->lane, .line = l->tline, .inner = l->tile.t},
            k = {.i = l->reg, .line = l->kline, .inner = l->tile.k};
  bool others = false; /* that workers share */
  sums_not_twice(ap, d->st);
  for (int i = 0; i < st->n; ++i) {
    if (i == t.i || i == k.i || i == l->whole) continue;
    draft_plain(ap, d, i, AXIS_GRID, arena_printf(ap->keep, "i%d", i));
    others |= st->len[i] > 1;
  }
  k.ends_early = is_ragged(st, &k);
  t.ends_early = is_ragged(st, &t) && (others || !k.ends_early);
  if (t.ends_early) open_blocks(ap, d, &k, "k0");
  open_blocks(ap, d, &t, "t0");
  if (!t.ends_early) open_blocks(ap, d, &k, "k0");
  t.part = draft_axis(ap, d, AXIS_LOOP, t.line / t.inner, "t1");
  k.part = draft_axis(ap, d, AXIS_LOOP, k.line / k.inner, "k1");
  const uop *k2 = draft_axis(ap, d, AXIS_UNROLL, k.inner, "k2");
  draft_plain(ap, d, l->whole, AXIS_UNROLL, "k3");
  const uop *t2 = draft_axis(ap, d, AXIS_VECTOR, t.inner, "t2");
  bind_line(ap, d, &k, k2, "k");
  bind_line(ap, d, &t, t2, "t");
  return draft_finish(ap, d, st);
}

nest *nest_general(apply *ap, stage *st) {
  nest *channels = nest_channels(ap, st);
  if (channels != NULL) return channels;
  draft d = draft_begin(ap, st);
  int64_t chains;
  const value_loops l = loops_of(ap, st, &chains);
  const register_tile rt = l.tile;
  if (l.tline > 0) return nest_transposed(ap, st, &d, &l);
  const int v = l.lane, u = l.reg, inner = st->pooled - 1;
  const uop *ublock = NULL, *vblock = NULL;
  const bool outside = l.outside && u != inner;
  if (outside) ublock = draft_axis(ap, &d, AXIS_GRID, (st->len[u] + rt.k - 1) / rt.k, "k0");
  for (int i = 0; i < st->n; ++i) {
    const char *name = arena_printf(ap->keep, "i%d", i);
    if (i != v && i != u && i != l.whole && i != inner) draft_plain(ap, &d, i, AXIS_GRID, name);
  }
  /* else innermost: what does not move with it is read again for each of its blocks, and then is still in the cache */
  if (u >= 0 && !outside)
    ublock = draft_axis(ap, &d, sums_kind(st, u), (st->len[u] + rt.k - 1) / rt.k, "k0");
  if (inner >= 0 && inner != v && inner != u && inner != l.whole)
    draft_plain(ap, &d, inner, AXIS_LOOP, arena_printf(ap->keep, "i%d", inner));
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
  draft_plain(ap, &d, l.whole, AXIS_UNROLL, "k1");
  if (v >= 0) {
    d.index[v] = draft_exact(ap, &d, st->len[v], "t");
    const uop *t1 = draft_axis(ap, &d, AXIS_UNROLL, rt.t / rt.lanes, "t1");
    const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, rt.lanes, "t2");
    const uop *in = uop_add(ap->g, uop_muli(ap->g, t1, rt.lanes), lane);
    draft_split(ap, &d, d.index[v], vblock, in, rt.t, true);
  }
  int64_t sums = rt.k * (rt.t / rt.lanes);
  if (l.reduces)
    d.value = sums_deal_out(ap, st->node->src[0], l.term_lanes, chains, &d.n->sum_lanes);
  choose_reduce_kinds(ap, d.value, sums);
  return draft_finish(ap, &d, st);
}
