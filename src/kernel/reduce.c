/* Reductions as loops with several accumulators.
 *
 * In: expressions with REDUCE nodes. Out: loops, after which each REDUCE is known by its accumulator. REDUCEs over the
 * same RANGEs that can stand in the same scope are merged: one loop, one accumulator each, in order of first use, at
 * most opt->accumulators at a time, so that they stay in registers. RANGEs of kind UNROLL are expanded in the body, one
 * of kind VECTOR is the lanes of what is summed, which are added in pairs at the end. A long sum of floats is a tree:
 * blocks of a chain of additions each, and blocks of such sums, so that its error grows with the depth of the tree
 * (Higham, "The accuracy of floating point summation", SIAM J. Sci. Comput. 14, 1993: pairwise summation over blocks).
 * Always holds: which additions one REDUCE is made of, and their order, follows from its RANGEs alone, whatever it is
 * merged with. */
#include "kernel/build.h"

typedef VEC(const uop *) uop_list;

typedef struct group { /* REDUCEs over the same RANGEs in the same scope */
  uop_list members;
  scope *home;
  const uop *first;
} group;
typedef VEC(group) group_list;

static axis_kind reduce_kind(builder *b, const uop *range) {
  uint64_t kind;
  return map_get(&b->set->kinds, (uint64_t)range->arg.i, &kind) ? (axis_kind)kind : AXIS_LOOP;
}

/* REDUCEs under the roots that are in no other REDUCE and not known yet, in order of first use. */
static void find_reductions(builder *b, int nroots, const uop *const *roots, uop_list *out) {
  uop_list stack = {0};
  map seen;
  map_init(&seen, b->a);
  for (int i = nroots; i-- > 0;) vec_push(b->a, &stack, roots[i]);
  while (stack.len > 0) {
    const uop *u = stack.data[--stack.len];
    uint64_t known;
    if (map_get(&seen, u->id, &known)) continue;
    map_put(&seen, u->id, 1);
    if (u->op == OP_REDUCE) {
      if (!map_get(&home_of(b, u)->values, u->id, &known)) vec_push(b->a, out, u);
      continue;
    }
    for (int i = u->nsrc; i-- > 0;) vec_push(b->a, &stack, u->src[i]);
  }
}

/* The load under a REDUCE that most others share, by its place in `order` (first seen first). */
static size_t most_shared(builder *b, const uop *reduce, map *count, uop_list *order) {
  const uop *roots[] = {reduce->src[0]};
  uop_order all = uop_toposort(b->a, 1, roots);
  uint64_t best = 0, n, at = order->len;
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op != OP_INDEX || !map_get(count, all.at[i]->id, &n) || n <= best) continue;
    best = n;
    for (at = 0; at < order->len && order->data[at] != all.at[i]; ++at) continue;
    if (at == order->len) vec_push(b->a, order, all.at[i]);
  }
  return (size_t)at;
}

static void count_loads(builder *b, const uop *reduce, map *count) {
  const uop *roots[] = {reduce->src[0]};
  uop_order all = uop_toposort(b->a, 1, roots);
  for (size_t i = 0; i < all.len; ++i) {
    uint64_t n = 0;
    if (all.at[i]->op != OP_INDEX) continue;
    map_get(count, all.at[i]->id, &n);
    map_put(count, all.at[i]->id, n + 1);
  }
}

/* REDUCEs that share a load next to each other, so that one group reads it once. */
static void cluster(builder *b, uop_list *found) {
  uop_list order = {0};
  map count;
  map_init(&count, b->a);
  for (size_t i = 0; i < found->len; ++i) count_loads(b, found->data[i], &count);
  size_t *key = arena_array(b->a, size_t, found->len + 1);
  for (size_t i = 0; i < found->len; ++i) key[i] = most_shared(b, found->data[i], &count, &order);
  for (size_t i = 1; i < found->len; ++i) {
    for (size_t j = i; j > 0 && key[j] < key[j - 1]; --j) {
      const uop *u = found->data[j];
      size_t k = key[j];
      found->data[j] = found->data[j - 1], key[j] = key[j - 1];
      found->data[j - 1] = u, key[j - 1] = k;
    }
  }
}

static bool same_loops(const uop *x, const uop *y) {
  if (x->nsrc != y->nsrc) return false;
  for (int i = 1; i < x->nsrc; ++i) {
    if (x->src[i] != y->src[i]) return false;
  }
  return true;
}

static group_list group_reductions(builder *b, const uop_list *found) {
  group_list groups = {0};
  size_t limit = b->opt->no_merge           ? 1
                 : b->opt->accumulators > 0 ? (size_t)b->opt->accumulators
                                            : SIZE_MAX;
  for (size_t i = 0; i < found->len; ++i) {
    const uop *r = found->data[i];
    scope *home = home_of(b, r);
    group *into = NULL;
    for (size_t j = 0; j < groups.len; ++j) {
      group *c = &groups.data[j];
      if (c->home == home && same_loops(c->first, r) && c->members.len < limit) into = c;
    }
    if (into == NULL) {
      vec_push(b->a, &groups, ((group){.home = home, .first = r}));
      into = &groups.data[groups.len - 1];
    }
    vec_push(b->a, &into->members, r);
  }
  return groups;
}

/* --- bodies ----------------------------------------------------------------------------------- */

typedef VEC(const uop **)
    copies; /* each: one body per member, for one combination of the unrolled RANGEs */

/* The bodies of all members for every value of the unrolled ranges, last range fastest. */
static copies expand_bodies(builder *b, const group *gr) {
  const uop *head = gr->first;
  copies out = {0};
  int64_t total = 1;
  for (int i = 1; i < head->nsrc; ++i) {
    if (reduce_kind(b, head->src[i]) == AXIS_UNROLL) total *= head->src[i]->arg.j;
  }
  VEC(const uop *) all = {0};
  for (int64_t n = 0; n < total; ++n) {
    const uop *from[WN_MAX_DIMS * 2], *to[WN_MAX_DIMS * 2];
    int pairs = 0;
    int64_t rest = n;
    for (int i = head->nsrc - 1; i >= 1; --i) {
      if (reduce_kind(b, head->src[i]) != AXIS_UNROLL) continue;
      from[pairs] = head->src[i];
      to[pairs++] = uop_int(b->g, rest % head->src[i]->arg.j);
      rest /= head->src[i]->arg.j;
    }
    for (size_t m = 0; m < gr->members.len; ++m) {
      vec_push(b->a, &all, uop_replace(b->g, gr->members.data[m]->src[0], pairs, from, to));
    }
  }
  const uop **bodies = all.data;
  if (total > 1) { /* one simplification for all: they share most of what is under them */
    VEC(const uop *) simple = {0};
    const size_t batch = 4096;
    for (size_t at = 0; at < all.len; at += batch) {
      size_t n = all.len - at < batch ? all.len - at : batch;
      const uop *sink = uop_new(b->g, OP_SINK, WN_DTYPE_COUNT, (int)n, all.data + at, (uop_arg){0});
      sink = simplify(b->g, sink);
      for (size_t i = 0; i < n; ++i) vec_push(b->a, &simple, sink->src[i]);
    }
    bodies = simple.data;
  }
  if (total > 1) find_neighbours(b, all.len, bodies);
  for (int64_t n = 0; n < total; ++n) vec_push(b->a, &out, bodies + (size_t)n * gr->members.len);
  return out;
}

static bool has_loop(builder *b, const uop *reduce) {
  for (int i = 1; i < reduce->nsrc; ++i) {
    if (reduce_kind(b, reduce->src[i]) == AXIS_LOOP) return true;
  }
  return false;
}

static uint32_t new_accumulator(builder *b, scope *home, const uop *reduce, bool vector) {
  const uop *identity = uop_identity(b->g, (uop_op)reduce->arg.i, (wn_dtype)reduce->dtype);
  lin_ins acc = {.op = OP_ACC, .nsrc = 1, .dtype = (uint8_t)register_dtype(reduce->dtype)};
  acc.lanes = (uint16_t)(vector ? b->lanes : 1);
  acc.src[0] = vector ? emit_vector(b, identity) : emit(b, identity);
  return build_ins(b, home, acc);
}

/* What is added to it has as many lanes, even where without its guards (inside.c) it is the same in all of them. */
static bool in_lanes(const builder *b, uint32_t acc) { return b->pool.data[acc].lanes > 1; }

/* The lanes of a vector as one value, in pairs that lie half a vector apart. */
static uint32_t across_lanes(builder *b, uop_op op, uint32_t v) {
  int64_t pick[UINT8_MAX];
  uint8_t dtype = b->pool.data[v].dtype;
  for (int n = b->lanes / 2; n >= 1; n /= 2) {
    lin_ins both = {.op = (uint8_t)op, .dtype = dtype, .lanes = (uint16_t)n, .nsrc = 2};
    for (int half = 0; half < 2; ++half) {
      for (int l = 0; l < n; ++l) pick[l] = half * n + l;
      lin_ins lane = {
          .op = OP_EXTRACT, .dtype = dtype, .lanes = 1, .nsrc = 1, .src = {v}, .i = half};
      both.src[half] = n > 1 ? build_shuffle(b, b->cur, v, v, n, pick) : build_ins(b, b->cur, lane);
    }
    v = build_ins(b, b->cur, both);
  }
  return v;
}

static bool sums_lanes(builder *b, const uop *reduce) {
  for (int i = 1; i < reduce->nsrc; ++i) {
    if (reduce_kind(b, reduce->src[i]) == AXIS_VECTOR) return true;
  }
  return false;
}

/* No loop left: the accumulator is a plain value. */
static void emit_straight(builder *b, const group *gr, const copies *bodies) {
  for (size_t m = 0; m < gr->members.len; ++m) {
    const uop *reduce = gr->members.data[m];
    const uop *identity = uop_identity(b->g, (uop_op)reduce->arg.i, (wn_dtype)reduce->dtype);
    bool lanes = sums_lanes(b, reduce), vector = lanes || is_vector(b, reduce);
    uint32_t acc = vector ? emit_vector(b, identity) : emit(b, identity);
    for (size_t n = 0; n < bodies->len; ++n) {
      acc = emit_accumulate(b, (uop_op)reduce->arg.i, bodies->data[n][m], acc, vector);
    }
    if (lanes) acc = across_lanes(b, (uop_op)reduce->arg.i, acc);
    map_put(&gr->home->values, reduce->id, acc);
  }
}

/* --- loops ------------------------------------------------------------------------------------ */

enum {
  LONGEST_CHAIN = 288, /* additions of a chain: 32 channels of a 3x3 filter */
  BRANCHES = 16,       /* sums that are added in a chain, at each level of the tree above */
  SHORT_BRANCHES =
      2, /* the same above chains that the schedule wants short: equal sums double without an error */
  TREE_LEVELS = 32
};

/* How the loops of a REDUCE are cut: a block is `length` iterations of loop[split] and all of the loops in it. The
 * blocks of all iterations of the loops around it are one row, in order. */
typedef struct sum_tree {
  int n; /* loops, outermost first */
  const uop *loop[WN_MAX_DIMS * 2];
  int split;             /* -1: one chain */
  int64_t length, outer; /* outer: iterations of the loops around loop[split] */
  int branches;
} sum_tree;

static int64_t extent_of(const uop *range) { return range->arg.j; }

/* The largest divisor of n in [most / 2, most], else most. */
static int64_t block_length(int64_t n, int64_t most) {
  for (int64_t d = most; 2 * d >= most && d > 0; --d) {
    if (n % d == 0) return d;
  }
  return most;
}

static sum_tree tree_of(builder *b, const uop *head) {
  sum_tree c = {.split = -1, .outer = 1, .branches = BRANCHES};
  int64_t most = LONGEST_CHAIN, chain = 1;
  for (int i = 1; i < head->nsrc; ++i) {
    uint64_t wanted;
    if (reduce_kind(b, head->src[i]) == AXIS_UNROLL) chain *= extent_of(head->src[i]);
    if (reduce_kind(b, head->src[i]) != AXIS_LOOP) continue;
    c.loop[c.n++] = head->src[i];
    if (map_get(&b->set->chains, (uint64_t)head->src[i]->arg.i, &wanted) && (int64_t)wanted < most)
      most = (int64_t)wanted, c.branches = SHORT_BRANCHES;
  }
  int inside = c.n;
  while (inside > 0 && chain * extent_of(c.loop[inside - 1]) <= most)
    chain *= extent_of(c.loop[--inside]);
  if (inside == 0) return c;
  c.split = inside - 1;
  c.length = block_length(extent_of(c.loop[c.split]), chain < most ? most / chain : 1);
  for (int i = 0; i < c.split; ++i) c.outer *= extent_of(c.loop[i]);
  return c;
}

/* Adding in another order changes a sum of floats, and makes it better; nothing else gains by it. */
static bool is_tree(const uop *reduce) {
  return reduce->arg.i == OP_ADD && dtype_is_float(reduce->dtype);
}

static void set_accumulator(builder *b, uint32_t acc, uint32_t value) {
  lin_ins set = {
      .op = OP_ACC_SET, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 2, .src = {acc, value}};
  build_ins(b, b->cur, set);
}

/* One round of the bodies, in open loops. */
static void emit_bodies(builder *b, const group *gr, const copies *bodies, const uint32_t *acc) {
  for (size_t n = 0; n < bodies->len; ++n) {
    emit_reductions(b, (int)gr->members.len, bodies->data[n]);
    for (size_t m = 0; m < gr->members.len; ++m) {
      const uop *reduce = gr->members.data[m];
      set_accumulator(b, acc[m],
                      emit_accumulate(b, (uop_op)reduce->arg.i, bodies->data[n][m], acc[m],
                                      in_lanes(b, acc[m])));
    }
  }
}

static const uint32_t *block_accumulators(builder *b, const group *gr, const uint32_t *above) {
  uint32_t *acc = arena_array(b->a, uint32_t, gr->members.len);
  for (size_t m = 0; m < gr->members.len; ++m)
    acc[m] = is_tree(gr->members.data[m])
                 ? new_accumulator(b, b->cur, gr->members.data[m], in_lanes(b, above[m]))
                 : above[m];
  return acc;
}

static void add_block(builder *b, const group *gr, const uint32_t *above, const uint32_t *acc) {
  for (size_t m = 0; m < gr->members.len; ++m) {
    if (acc[m] == above[m]) continue;
    lin_ins sum = b->pool.data[above[m]];
    sum = (lin_ins){
        .op = OP_ADD, .dtype = sum.dtype, .lanes = sum.lanes, .nsrc = 2, .src = {above[m], acc[m]}};
    set_accumulator(b, above[m], build_ins(b, b->cur, sum));
  }
}

/* Block number `number` of loop[split], `length` iterations of it from `first` on: the loops around it and in it. */
static void emit_block(builder *b, const group *gr, const copies *bodies, const sum_tree *c,
                       const uop *number, int64_t in_row, int64_t first, int64_t length,
                       const uint32_t *acc) {
  const uop *step = uop_range(b->g, length, "c"), *row = uop_divi(b->g, number, in_row);
  for (int i = c->split; i-- > 0;) {
    const uop *value = i > 0 ? uop_modi(b->g, row, extent_of(c->loop[i])) : row;
    build_bind(b, c->loop[i], emit(b, simplify(b->g, value)));
    row = uop_divi(b->g, row, extent_of(c->loop[i]));
  }
  build_open_loop(b, step);
  const uop *at = uop_addi(b->g, uop_muli(b->g, uop_modi(b->g, number, in_row), length), first);
  build_bind(b, c->loop[c->split], emit(b, simplify(b->g, uop_add(b->g, at, step))));
  for (int i = c->split + 1; i < c->n; ++i) build_open_loop(b, c->loop[i]);
  emit_bodies(b, gr, bodies, acc);
  for (int i = c->split; i < c->n; ++i) build_close(b);
}

/* The sum of blocks, in_row of them in each iteration of the loops around, as loops in loops: the outermost has what is
 * left, and what is past the last block is left out. */
static void emit_tree(builder *b, const group *gr, const copies *bodies, const sum_tree *c,
                      int64_t in_row, int64_t first, int64_t length, const uint32_t *acc) {
  int64_t blocks = c->outer * in_row, all = 1, extent[TREE_LEVELS], rest = blocks;
  const uint32_t *level[TREE_LEVELS + 1] = {acc};
  const uop *number = uop_int(b->g, 0);
  int depth = 0;
  for (; rest > c->branches; rest = (rest + c->branches - 1) / c->branches)
    extent[depth++] = c->branches;
  extent[depth++] = rest;
  for (int i = depth; i-- > 0;) {
    const uop *branch = uop_range(b->g, extent[i], "block");
    build_open_loop(b, branch);
    number = uop_add(b->g, uop_muli(b->g, number, extent[i]), branch);
    all *= extent[i];
    level[depth - i] = block_accumulators(b, gr, level[depth - i - 1]);
  }
  bool some = all > blocks;
  if (some) {
    emit_open_if(b, uop_lt(b->g, number, blocks), (double)blocks / (double)all);
    const uop *inside = uop_range(b->g, blocks, "block"); /* the same number, within its bounds */
    build_bind(b, inside, emit(b, number));
    number = inside;
  }
  emit_block(b, gr, bodies, c, number, in_row, first, length, level[depth]);
  if (some) build_close(b);
  for (int i = depth; i > 0; --i) {
    add_block(b, gr, level[i - 1], level[i]);
    build_close(b);
  }
}

/* The loops of a group around its bodies, which add to the accumulators. */
static void emit_loops(builder *b, const group *gr, const copies *bodies, const uint32_t *acc) {
  sum_tree c = tree_of(b, gr->first);
  bool tree = false;
  for (size_t m = 0; m < gr->members.len; ++m) tree |= is_tree(gr->members.data[m]);
  if (tree && c.split >= 0) {
    int64_t extent = extent_of(c.loop[c.split]), in_row = extent / c.length,
            rest = extent % c.length;
    emit_tree(b, gr, bodies, &c, in_row, 0, c.length, acc);
    if (rest > 0) emit_tree(b, gr, bodies, &c, 1, extent - rest, rest, acc);
  } else {
    for (int i = 0; i < c.n; ++i) build_open_loop(b, c.loop[i]);
    emit_bodies(b, gr, bodies, acc);
    for (int i = 0; i < c.n; ++i) build_close(b);
  }
  for (int i = 0; i < c.n; ++i) { /* another group may open the same RANGE again */
    map_put(&b->loops, (uint64_t)c.loop[i]->arg.i, 1);
  }
}

static void emit_group(builder *b, const group *gr) {
  scope *outside = b->cur;
  b->cur = gr->home;
  copies bodies = expand_bodies(b, gr);
  const uop *head = gr->first;
  if (!has_loop(b, head)) {
    for (size_t n = 0; n < bodies.len; ++n)
      emit_reductions(b, (int)gr->members.len, bodies.data[n]);
    emit_straight(b, gr, &bodies);
    b->cur = outside;
    return;
  }
  uint32_t *acc = arena_array(b->a, uint32_t, gr->members.len);
  for (size_t m = 0; m < gr->members.len; ++m)
    acc[m] = new_accumulator(b, gr->home, gr->members.data[m], is_vector(b, gr->members.data[m]));
  const uop **without = arena_array(b->a, const uop *, gr->members.len);
  /* work items that run in step would run both versions, one after the other */
  const uop *inside = b->inside || b->opt->no_merge || b->k->group > 0
                          ? NULL
                          : inside_of(b, gr->members.len, gr->members.data, without);
  if (inside == NULL) {
    emit_loops(b, gr, &bodies, acc);
  } else {
    group bare = *gr;
    bare.members.data = without;
    bare.first = without[0];
    b->inside = true;
    emit_open_if(b, inside, 1.0);
    copies unguarded = expand_bodies(b, &bare);
    emit_loops(b, &bare, &unguarded, acc);
    build_close(b);
    emit_open_if(b, uop_alu1(b->g, OP_NOT, inside), 0.0);
    emit_loops(b, gr, &bodies, acc);
    build_close(b);
    b->inside = false;
  }
  for (size_t m = 0; m < gr->members.len; ++m)
    map_put(&gr->home->values, gr->members.data[m]->id, acc[m]);
  b->cur = outside;
}

void emit_reductions(builder *b, int nroots, const uop *const *roots) {
  uop_list found = {0};
  find_reductions(b, nroots, roots, &found);
  if (found.len == 0) return;
  size_t most = b->opt->accumulators > 0 ? (size_t)b->opt->accumulators : SIZE_MAX;
  if (found.len > most && !b->opt->no_merge)
    cluster(b, &found); /* else they are one group anyway */
  group_list groups = group_reductions(b, &found);
  for (size_t i = 0; i < groups.len; ++i) emit_group(b, &groups.data[i]);
}
