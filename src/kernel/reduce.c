/* Reductions as loops with several accumulators.
 *
 * In: expressions with REDUCE nodes. Out: loops, after which each REDUCE is known by its accumulator. REDUCEs over the same
 * RANGEs that can stand in the same scope are merged: one loop, one accumulator each, in order of first use, at most
 * opt->accumulators at a time, so that they stay in registers. RANGEs of kind UNROLL are expanded in the body.
 * Always holds: the additions of one REDUCE happen in the order of its RANGEs' values, whatever it is merged with. */
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

/* --- bodies -------------------------------------------------------------------------------------------------------------- */

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

static uint32_t new_accumulator(builder *b, scope *home, const uop *reduce) {
  const uop *identity = uop_identity(b->g, (uop_op)reduce->arg.i, (wn_dtype)reduce->dtype);
  bool vector = is_vector(b, reduce);
  lin_ins acc = {.op = OP_ACC, .nsrc = 1, .dtype = (uint8_t)register_dtype(reduce->dtype)};
  acc.lanes = (uint16_t)(vector ? b->lanes : 1);
  acc.src[0] = vector ? emit_vector(b, identity) : emit(b, identity);
  return build_ins(b, home, acc);
}

/* No loop left: the accumulator is a plain value. */
static void emit_straight(builder *b, const group *gr, const copies *bodies) {
  for (size_t m = 0; m < gr->members.len; ++m) {
    const uop *reduce = gr->members.data[m];
    const uop *identity = uop_identity(b->g, (uop_op)reduce->arg.i, (wn_dtype)reduce->dtype);
    bool vector = is_vector(b, reduce);
    uint32_t acc = vector ? emit_vector(b, identity) : emit(b, identity);
    for (size_t n = 0; n < bodies->len; ++n) {
      acc = emit_accumulate(b, (uop_op)reduce->arg.i, bodies->data[n][m], acc, vector);
    }
    map_put(&gr->home->values, reduce->id, acc);
  }
}

/* The loops of a group around its bodies, which add to the accumulators. */
static void emit_loops(builder *b, const group *gr, const copies *bodies, const uint32_t *acc) {
  const uop *head = gr->first;
  int opened = 0;
  for (int i = 1; i < head->nsrc; ++i) {
    if (reduce_kind(b, head->src[i]) != AXIS_LOOP) continue;
    build_open_loop(b, head->src[i]);
    opened++;
  }
  for (size_t n = 0; n < bodies->len; ++n) {
    emit_reductions(b, (int)gr->members.len, bodies->data[n]);
    for (size_t m = 0; m < gr->members.len; ++m) {
      const uop *reduce = gr->members.data[m];
      uint32_t next = emit_accumulate(b, (uop_op)reduce->arg.i, bodies->data[n][m], acc[m],
                                      is_vector(b, reduce));
      lin_ins set = {
          .op = OP_ACC_SET, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 2, .src = {acc[m], next}};
      build_ins(b, b->cur, set);
    }
  }
  while (opened-- > 0) build_close(b);
  for (int i = 1; i < head->nsrc; ++i) { /* another group may open the same RANGE again */
    map_put(&b->loops, (uint64_t)head->src[i]->arg.i, 1);
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
    acc[m] = new_accumulator(b, gr->home, gr->members.data[m]);
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
    build_open_if(b, inside, 1.0);
    copies unguarded = expand_bodies(b, &bare);
    emit_loops(b, &bare, &unguarded, acc);
    build_close(b);
    build_open_if(b, uop_alu1(b->g, OP_NOT, inside), 0.0);
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
