/* See split.h. One RANGE is cut once per round, at the smallest divisor asked for; rounds go on
 * while something is cut, and each cut makes two loops of smaller extent, so they end. */
#include "lower/split.h"

#include "ir/walk.h"

#include "lower/lower.h"
#include "rewrite/rebuild.h"

typedef struct range_split {
  const uop *range, *outer, *inner;
  int64_t by;
} range_split;

typedef struct splitting {
  graph *g;
  arena *a;
  uop_order order;
  map by;    /* RANGE id -> position in splits + 1 */
  map fresh; /* uop id -> its replacement */
  VEC(range_split) splits;
} splitting;

static range_split *split_of(const splitting *s, const uop *range) {
  uint64_t at;
  return map_get(&s->by, range->id, &at) && at != 0 ? &s->splits.data[at - 1] : NULL;
}

/* u is RANGE op constant and the constant divides the RANGE properly. */
static bool asks_cut(const uop *u) {
  if ((u->op != OP_IDIV && u->op != OP_MOD) || u->src[0]->op != OP_RANGE ||
      u->src[1]->op != OP_CONST)
    return false;
  const int64_t extent = u->src[0]->arg.j, by = u->src[1]->arg.i;
  return by > 1 && by < extent && extent % by == 0;
}

static void find_cuts(splitting *s) {
  for (size_t i = 0; i < s->order.len; ++i) {
    const uop *u = s->order.at[i];
    if (!asks_cut(u)) continue;
    const int64_t by = u->src[1]->arg.i;
    range_split *c = split_of(s, u->src[0]);
    if (c != NULL) {
      if (by < c->by) c->by = by;
      continue;
    }
    const range_split first = {.range = u->src[0], .by = by};
    vec_push(s->a, &s->splits, first);
    map_put(&s->by, u->src[0]->id, s->splits.len);
  }
}

/* --- readers ---------------------------------------------------------------------------------- */

/* No division is left in e but those that cutting a RANGE removes. */
static bool divides_well(splitting *s, const uop *e) {
  uop_order o = uop_toposort(s->a, 1, &e);
  for (size_t i = 0; i < o.len; ++i) {
    const uop *u = o.at[i];
    if ((u->op == OP_IDIV || u->op == OP_MOD) && !asks_cut(u)) return false;
  }
  return true;
}

static bool reader_accepts(splitting *s, const uop *index, int64_t by) {
  return divides_well(s, simplify(s->g, uop_divi(s->g, index, by))) &&
         divides_well(s, simplify(s->g, uop_modi(s->g, index, by)));
}

/* Drops the splits of storage ranges that some reader cannot follow. Returns how many splits are
 * left. */
static size_t ask_readers(splitting *s) {
  for (size_t i = 0; i < s->order.len; ++i) {
    const uop *u = s->order.at[i];
    if (u->op != OP_INDEX || u->src[0]->op != OP_BUFFERIZE) continue;
    for (int k = 1; k < u->src[0]->nsrc; ++k) {
      const uop *range = u->src[0]->src[k];
      const range_split *c = split_of(s, range);
      if (c != NULL && !reader_accepts(s, u->src[k + 1], c->by)) map_put(&s->by, range->id, 0);
    }
  }
  size_t left = 0;
  for (size_t i = 0; i < s->splits.len; ++i) left += split_of(s, s->splits.data[i].range) != NULL;
  return left;
}

/* --- rebuilding ------------------------------------------------------------------------------- */

static const uop *fresh(const splitting *s, const uop *u) { return map_get_ptr(&s->fresh, u->id); }

static const char *part_name(splitting *s, const uop *range, const char *suffix) {
  const char *name = map_get_ptr(&s->g->range_names, (uint64_t)range->arg.i);
  return name == NULL ? NULL : arena_printf(s->a, "%s%s", name, suffix);
}

static const uop *cut_range(splitting *s, const uop *range) {
  range_split *c = split_of(s, range);
  if (c == NULL) return range;
  if (c->outer == NULL) {
    c->outer = uop_range(s->g, range->arg.j / c->by, part_name(s, range, "_0"));
    c->inner = uop_range(s->g, c->by, part_name(s, range, "_1"));
    const uop *sum = map_get_ptr(&s->g->sums, (uint64_t)range->arg.i);
    if (sum != NULL) map_put_ptr(&s->g->sums, (uint64_t)c->outer->arg.i, sum);
    if (sum != NULL) map_put_ptr(&s->g->sums, (uint64_t)c->inner->arg.i, sum);
  }
  return uop_add(s->g, uop_muli(s->g, c->outer, c->by), c->inner);
}

/* A binder of ranges: each cut one becomes two, in order. */
static const uop *cut_binder(splitting *s, const uop *u) {
  const uop **src = arena_array(s->a, const uop *, 2 * u->nsrc);
  int n = 0;
  for (int k = 1; k < u->nsrc; ++k) {
    const range_split *c = split_of(s, u->src[k]);
    if (c == NULL) {
      src[n++] = u->src[k];
      continue;
    }
    cut_range(s, u->src[k]);
    src[n++] = c->outer;
    src[n++] = c->inner;
  }
  const uop *value = fresh(s, u->src[0]);
  if (u->op == OP_REDUCE) return uop_reduce(s->g, (uop_op)u->arg.i, value, n, src);
  return uop_bufferize(s->g, value, n, src, *u->arg.info);
}

static const uop *cut_index(splitting *s, const uop *u) {
  const uop *base = u->src[0], **at = arena_array(s->a, const uop *, 2 * u->nsrc);
  int n = 0;
  for (int k = 2; k < u->nsrc; ++k) {
    const uop *e = fresh(s, u->src[k]);
    const range_split *c = base->op == OP_BUFFERIZE ? split_of(s, base->src[k - 1]) : NULL;
    if (c == NULL) {
      at[n++] = e;
      continue;
    }
    at[n++] = uop_divi(s->g, e, c->by);
    at[n++] = uop_modi(s->g, e, c->by);
  }
  return uop_index(s->g, fresh(s, base), fresh(s, u->src[1]), n, at);
}

static const uop *rebuild(splitting *s, const uop *u) {
  if (u->op == OP_RANGE) return cut_range(s, u);
  if (uop_binds(u)) return cut_binder(s, u);
  if (u->op == OP_INDEX) return cut_index(s, u);
  const uop **src = arena_array(s->a, const uop *, u->nsrc + 1);
  for (int k = 0; k < u->nsrc; ++k) src[k] = fresh(s, u->src[k]);
  return u->nsrc == 0 ? u : uop_rebuild(s->g, u, src);
}

static const uop *round_of_cuts(graph *g, arena *a, const uop *root) {
  splitting s = {.g = g, .a = a, .order = uop_toposort(a, 1, &root)};
  map_init(&s.by, a);
  map_init(&s.fresh, a);
  find_cuts(&s);
  if (s.splits.len == 0 || ask_readers(&s) == 0) return root;
  for (size_t i = 0; i < s.order.len; ++i)
    map_put_ptr(&s.fresh, s.order.at[i]->id, rebuild(&s, s.order.at[i]));
  return simplify(g, fresh(&s, root));
}

const uop *split_ranges(graph *g, arena *a, const uop *root) {
  for (;;) {
    const uop *next = round_of_cuts(g, a, root);
    if (next == root) return root;
    root = next;
  }
}
