/* A kernel's nests as linear IR; see kernel.h.
 *
 * GRID axes are read off the block number, LOOP axes become loops, children are emitted where their loop has just
 * opened, and the innermost body is one store per combination of the UNROLL axes. */
#include "kernel/build.h"

enum { MAX_NAME = 200 };

/* --- names ------------------------------------------------------------------------------------ */

static void find_reduce_ranges(builder *b, const nest *n, str *extents, str *loops, bool *reduces) {
  uop_order all = nest_walk(b->a, n);
  map seen;
  map_init(&seen, b->a);
  for (size_t i = all.len; i-- > 0;) {
    const uop *u = all.at[i];
    if (u->op != OP_REDUCE) continue;
    *reduces = true;
    for (int r = 1; r < u->nsrc; ++r) {
      uint64_t known, kind = AXIS_LOOP;
      if (map_get(&seen, (uint64_t)u->src[r]->arg.i, &known)) continue;
      map_put(&seen, (uint64_t)u->src[r]->arg.i, 1);
      map_get(&b->set->kinds, (uint64_t)u->src[r]->arg.i, &kind);
      str_printf(extents, "_%lld", (long long)u->src[r]->arg.j);
      str_printf(loops, "%sreduce %s %s %lld", loops->len ? ", " : "", axis_kind_name[kind],
                 uop_range_name(b->g, u->src[r]), (long long)u->src[r]->arg.j);
    }
  }
}

static void describe(builder *b, const nest *n, str *extents, str *loops, bool *reduces) {
  bool reduced = false;
  for (int i = 0; i < n->naxes; ++i) {
    const axis *a = &n->axis[i];
    if (a->kind >= AXIS_UNROLL && !reduced)
      find_reduce_ranges(b, n, extents, loops, reduces), reduced = true;
    str_printf(extents, "_%lld", (long long)a->range->arg.j);
    *reduces |= a->reduces;
    str_printf(loops, "%s%s%s %s %lld", loops->len ? ", " : "", a->reduces ? "reduce " : "",
               axis_kind_name[a->kind], a->name, (long long)a->range->arg.j);
  }
  if (!reduced) find_reduce_ranges(b, n, extents, loops, reduces);
}

static void add_stages(str *out, const nest *n) {
  for (int s = 0; s < n->nstores; ++s)
    str_printf(out, "%s%s", out->len ? "+" : "", n->store[s].stage);
}

static void describe_all(builder *b, const nest *n, str *loops, bool *reduces) {
  str extents;
  str_init(&extents, b->a);
  for (int i = 0; i < n->nchildren; ++i) {
    describe_all(b, n->child[i].nest, loops, reduces);
    str_add(loops, "; ");
  }
  str one;
  str_init(&one, b->a);
  add_stages(&one, n);
  str_printf(loops, "%s: ", str_text(&one));
  str_init(&one, b->a);
  describe(b, n, &extents, &one, reduces);
  str_add(loops, str_text(&one));
}

static void name_kernel(builder *b, const nest_kernel *plan) {
  str extents, loops, stages;
  str_init(&extents, b->a);
  str_init(&loops, b->a);
  str_init(&stages, b->a);
  bool reduces = false;
  for (int r = 0; r < plan->nroots; ++r) {
    str own;
    str_init(&own, b->a);
    describe(b, plan->root[r], &extents, &own, &reduces);
    if (r) str_add(&loops, " | ");
    describe_all(b, plan->root[r], &loops, &reduces);
    for (int c = 0; c < plan->root[r]->nchildren; ++c)
      add_stages(&stages, plan->root[r]->child[c].nest);
    add_stages(&stages, plan->root[r]);
  }
  const char *text = extents.len ? str_text(&extents) : "_1";
  b->k->name = arena_printf(b->a, "%c%.*s", reduces ? 'r' : 'E', MAX_NAME, text);
  b->k->loops = str_text(&loops);
  b->k->stage = str_text(&stages);
}

/* --- nests ------------------------------------------------------------------------------------ */

/* How many axes of this kind there are from `first` on; *points: how many points they have. */
static int axes_of_kind(const nest *n, int first, axis_kind kind, int64_t *points) {
  int count = 0;
  *points = 1;
  for (; first + count < n->naxes && n->axis[first + count].kind == kind; ++count)
    *points *= n->axis[first + count].range->arg.j;
  return count;
}

/* A round of the host loop takes whole groups. */
static int64_t groups_of_round(const nest_kernel *plan, int64_t items) {
  return (items / plan->chunks + plan->group - 1) / plan->group;
}

static int64_t grid_of(const nest_kernel *plan, const nest *n) {
  int64_t points;
  if (axes_of_kind(n, 0, AXIS_LANE, &points) > 0)
    return plan->chunks * groups_of_round(plan, points);
  axes_of_kind(n, 0, AXIS_GRID, &points);
  return points;
}

/* Axes [first, end) from their common number, last axis fastest. */
static void bind_axes(builder *b, const nest *n, int first, int end, const uop *number) {
  const uop *rest = number;
  for (int i = end; i-- > first;) {
    const uop *range = n->axis[i].range;
    const uop *value = i > first ? uop_modi(b->g, rest, range->arg.j) : rest;
    build_bind(b, range, emit(b, value));
    if (i > first) rest = uop_divi(b->g, rest, range->arg.j);
  }
}

/* The leading GRID axes from the block number. Returns how many there are. */
static int bind_grid(builder *b, const nest *n, const uop *block) {
  int64_t points;
  int count = axes_of_kind(n, 0, AXIS_GRID, &points);
  bind_axes(b, n, 0, count, block);
  return count;
}

typedef struct instance { /* a store for one combination of the UNROLL axes */
  const uop *value, *offset, *mask;
} instance;
typedef VEC(instance) instance_list;

static bool adds_to_array(const nest *n) {
  for (int i = 0; i < n->naxes; ++i) {
    if (n->axis[i].reduces) return true;
  }
  return false;
}

/* What an instance of a store that sums adds for the copies of one axis: in pairs, so that its error stays small. */
static const uop *sum_of_copies(builder *b, const uop *value, const uop *range, int64_t from,
                                int64_t to) {
  if (to - from == 1) {
    const uop *k = uop_int(b->g, from);
    return uop_replace(b->g, value, 1, &range, &k);
  }
  const int64_t half = (from + to) / 2;
  return uop_alu2(b->g, OP_ADD, sum_of_copies(b, value, range, from, half),
                  sum_of_copies(b, value, range, half, to));
}

/* The value of a store that sums, at a point of its axes. */
static const uop *value_inside(builder *b, const nest_store *to) {
  if (!to->sums || to->inside == NULL) return to->value;
  const uop *zero = uop_const(b->g, (wn_dtype)to->value->dtype, 0);
  return uop_where(b->g, to->inside, to->value, zero);
}

/* With what is in the array added to it, but in the first turn of the loops that are summed over. */
static const uop *with_earlier(builder *b, const nest *n, const nest_store *to,
                               const instance *in) {
  const uop *turn = uop_int(b->g, 0);
  for (int i = 0; i < n->naxes; ++i)
    if (n->axis[i].kind == AXIS_LOOP && nest_sums_over(to, &n->axis[i]))
      turn = uop_add(b->g, turn, n->axis[i].range);
  if (uop_is_int(turn, 0)) return in->value;
  const array_info *info = &b->set->arrays.data[to->array];
  const uop *array = uop_buffer(b->g, to->array, info->dtype, 1, &info->len);
  const uop *later = uop_and(b->g, uop_ge(b->g, turn, 1), in->mask);
  return uop_add(b->g, uop_index(b->g, array, later, 1, &in->offset), in->value);
}

/* Every combination of the UNROLL axes, outermost slowest, replaced innermost axis first: what does not move with an
 * axis is shared by its copies. */
static instance_list copies_of(builder *b, const nest *n, const nest_store *to) {
  instance_list all = {0};
  const uop *mask = to->mask != NULL ? to->mask : uop_bool(b->g, true),
            *value = value_inside(b, to);
  if (adds_to_array(n)) {
    const array_info *info = &b->set->arrays.data[to->array];
    const uop *array = uop_buffer(b->g, to->array, info->dtype, 1, &info->len);
    value = uop_add(b->g, uop_index(b->g, array, mask, 1, &to->offset), value);
  }
  vec_push(b->a, &all, ((instance){value, to->offset, mask}));
  for (int i = n->naxes; i-- > 0;) {
    if (n->axis[i].kind != AXIS_UNROLL) continue;
    const uop *range = n->axis[i].range;
    instance_list next = {0};
    for (size_t s = 0; s < all.len && nest_sums_over(to, &n->axis[i]); ++s)
      all.data[s].value = sum_of_copies(b, all.data[s].value, range, 0, range->arg.j);
    if (nest_sums_over(to, &n->axis[i])) continue;
    for (int64_t v = 0; v < range->arg.j; ++v) {
      const uop *k = uop_int(b->g, v);
      for (size_t s = 0; s < all.len; ++s) {
        instance in = all.data[s];
        in.value = uop_replace(b->g, in.value, 1, &range, &k);
        in.offset = uop_replace(b->g, in.offset, 1, &range, &k);
        in.mask = uop_replace(b->g, in.mask, 1, &range, &k);
        vec_push(b->a, &next, in);
      }
    }
    all = next;
  }
  for (size_t s = 0; s < all.len && to->sums; ++s)
    all.data[s].value = with_earlier(b, n, to, &all.data[s]);
  return all;
}

/* Those of all stores, one store's behind the other's, simplified together; copies: how many are of each. */
static size_t expand_stores(builder *b, const nest *n, instance **out, size_t *copies) {
  instance_list all = {0};
  for (int s = 0; s < n->nstores; ++s) {
    instance_list own = copies_of(b, n, &n->store[s]);
    for (size_t i = 0; i < own.len; ++i) vec_push(b->a, &all, own.data[i]);
    copies[s] = own.len;
  }
  const uop **parts = arena_array(b->a, const uop *, 3 * all.len);
  const size_t batch = 20000; /* a node has at most 65,535 sources */
  for (size_t at = 0; at < all.len; at += batch) {
    size_t count = all.len - at < batch ? all.len - at : batch;
    for (size_t s = 0; s < count; ++s) {
      instance *in = &all.data[at + s];
      parts[3 * s] = in->value, parts[3 * s + 1] = in->offset, parts[3 * s + 2] = in->mask;
    }
    const uop *sink = uop_new(b->g, OP_SINK, WN_DTYPE_COUNT, (int)(3 * count), parts, (uop_arg){0});
    sink = simplify(b->g, sink);
    for (size_t s = 0; s < count; ++s) {
      all.data[at + s] = (instance){sink->src[3 * s], sink->src[3 * s + 1], sink->src[3 * s + 2]};
    }
  }
  *out = all.data;
  return all.len;
}

static void forget_values(builder *b) {
  for (scope *s = b->cur; s != NULL; s = s->parent) {
    map_init(&s->values, b->a);
    map_init(&s->splats, b->a);
  }
}

static bool has_reduction(builder *b, const uop *value) {
  uop_order all = uop_toposort(b->a, 1, &value);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_REDUCE) return true;
  }
  return false;
}

/* The copies of one store, whose values are known unless each is `alone`. */
static void emit_copies(builder *b, int array, size_t count, const instance *of, bool alone) {
  bool *done = arena_array(b->a, bool, count + 1);
  if (!alone) {
    store_ref *stores = arena_array(b->a, store_ref, count);
    for (size_t i = 0; i < count; ++i)
      stores[i] = (store_ref){of[i].offset, of[i].mask, of[i].value};
    interleave_stores(b, array, count, stores, done);
    transpose_stores(b, array, count, stores, done);
  }
  for (size_t i = 0; i < count; ++i) {
    if (done[i] || uop_is_int(of[i].mask, 0)) continue;
    if (alone) {
      forget_values(b);
      emit_reductions(b, 1, &of[i].value);
    }
    build_store(b, array, of[i].offset, of[i].value, of[i].mask);
  }
}

static void emit_stores(builder *b, const nest *n) {
  instance *all;
  size_t copies[NEST_STORES];
  const size_t count = expand_stores(b, n, &all, copies);
  const uop **values = arena_array(b->a, const uop *, count + 1);
  for (size_t i = 0; i < count; ++i) values[i] = all[i].value;
  group_strided_loads(b, count, values);
  find_neighbours(b, count, values);
  bool reduces = false;
  for (size_t s = 0, at = 0; s < (size_t)n->nstores && count > 0; at += copies[s++])
    reduces |= has_reduction(b, values[at]);
  bool alone = b->opt->no_merge && reduces;
  if (!alone) emit_reductions(b, (int)count, values);
  for (size_t s = 0, at = 0; s < (size_t)n->nstores; at += copies[s++])
    emit_copies(b, n->store[s].array, copies[s], all + at, alone);
}

static void emit_nest(builder *b, const nest *n, int opened);

static bool is_summed_over(const nest *n, const axis *a) {
  bool summed = false;
  for (int s = 0; s < n->nstores; ++s) summed |= nest_sums_over(&n->store[s], a);
  return summed;
}

/* From here on the arrays of the nest are read no further out than the current scope. */
static void set_filled(builder *b, const nest *n) {
  for (int s = 0; s < n->nstores; ++s)
    map_put(&b->array_depth, (uint64_t)n->store[s].array, (uint64_t)b->cur->depth);
  map_init(&b->local_reads, b->a);
}

/* On a device: what the work items of a group stored into an array is there for all of them. */
static void emit_barrier(builder *b, int array) {
  if (b->k->group == 0) return;
  bool local = b->set->arrays.data[array].role == ROLE_LOCAL;
  build_ins(b, b->cur,
            (lin_ins){.op = OP_BARRIER, .dtype = WN_DTYPE_COUNT, .lanes = 1, .i = local ? 1 : 2});
}

/* At the end of a loop around stages: the next iteration fills their arrays again. */
static void emit_last_barrier(builder *b, const nest *n, int opened) {
  if (b->in_item) return;
  for (int c = 0; c < n->nchildren; ++c) {
    if (n->child[c].at < opened || nest_adds_to(n, n->child[c].nest)) continue;
    emit_barrier(b, n->child[c].nest->store[0].array);
    return;
  }
}

/* Children that run when `opened` axes are open. They fill arrays that later code reads: zeros to add to, and stages,
 * which on a device are made by all work items together. */
static void emit_children(builder *b, const nest *n, int opened) {
  for (int c = 0; c < n->nchildren; ++c) {
    const nest *child = n->child[c].nest;
    bool zeros = nest_adds_to(n, child);
    if (n->child[c].at != opened || (b->k->group > 0 && zeros != b->in_item)) continue;
    const uop *vector = b->vector;
    int lanes = b->lanes;
    b->next = child->next;
    emit_nest(b, child, 0);
    b->next = n->next;
    b->vector = vector;
    b->lanes = lanes;
    set_filled(b, child);
    if (!zeros) emit_barrier(b, child->store[0].array);
  }
}

static void emit_body(builder *b, const nest *n) {
  b->vector = NULL;
  b->lanes = 1;
  if (n->matrix) {
    emit_matrix(b, n, adds_to_array(n));
    return;
  }
  if (n->sum_lanes != NULL) {
    b->vector = n->sum_lanes;
    b->lanes = (int)n->sum_lanes->arg.j;
  }
  const axis *last = n->naxes > 0 ? &n->axis[n->naxes - 1] : NULL;
  if (last != NULL && last->kind == AXIS_VECTOR) {
    b->vector = last->range;
    b->lanes = (int)last->range->arg.j;
  }
  emit_stores(b, n);
}

/* The axes [opened, opened + count) have `items` points, and this work item the one of that number, if there is one;
 * what is below them runs for that point. share: of the work items that have one. */
static void emit_item(builder *b, const nest *n, int opened, int count, int64_t items,
                      const uop *number, const uop *is_mine, double share) {
  if (is_mine != NULL) emit_open_if(b, is_mine, share);
  const uop *mine = uop_range(b->g, items, "item"); /* the same number, within its bounds */
  build_bind(b, mine, emit(b, number));
  bind_axes(b, n, opened, opened + count, mine);
  b->in_item = true;
  emit_nest(b, n, opened + count);
  b->in_item = false;
  if (is_mine != NULL) build_close(b);
}

/* Axes of kind GROUP: a work item has every group-th of their points. */
static void emit_shared(builder *b, const nest *n, int opened) {
  int64_t items, group = b->k->group;
  int count = axes_of_kind(n, opened, AXIS_GROUP, &items);
  int64_t turns = (items + group - 1) / group;
  const uop *number = b->lane;
  if (turns > 1) {
    const uop *turn = uop_range(b->g, turns, "turn");
    build_open_loop(b, turn);
    number = uop_add(b->g, uop_muli(b->g, turn, group), number);
  }
  const uop *some = items % group != 0 ? uop_lt(b->g, number, items) : NULL;
  emit_item(b, n, opened, count, items, number, some, (double)items / (double)(turns * group));
  if (turns > 1) build_close(b);
}

/* What is left of a nest when `opened` axes are open. */
static void emit_nest(builder *b, const nest *n, int opened) {
  emit_children(b, n, opened);
  if (b->k->group > 0 && !b->in_item && opened >= n->shared) {
    emit_shared(b, n, opened);
  } else if (opened < n->naxes && n->axis[opened].kind <= AXIS_LOOP) {
    build_open_loop(b, n->axis[opened].range);
    if (n->axis[opened].reduces || is_summed_over(n, &n->axis[opened])) set_filled(b, n);
    emit_nest(b, n, opened + 1);
    emit_last_barrier(b, n, opened + 1);
    build_close(b);
  } else {
    emit_body(b, n);
  }
}

/* Axes of kind LANE: the points of a round of the host loop are cut into groups. */
static void emit_lanes(builder *b, const nest_kernel *plan, const nest *n, const uop *block) {
  int64_t items, group = plan->group;
  int count = axes_of_kind(n, 0, AXIS_LANE, &items);
  int64_t round = items / plan->chunks, groups = groups_of_round(plan, items);
  const uop *in_round = uop_modi(b->g, block, groups);
  in_round = uop_add(b->g, uop_muli(b->g, in_round, group), b->lane);
  const uop *before = uop_muli(b->g, uop_divi(b->g, block, groups), round);
  const uop *some = round % group != 0 ? uop_lt(b->g, in_round, round) : NULL;
  emit_item(b, n, 0, count, items, uop_add(b->g, before, in_round), some,
            (double)round / (double)(groups * group));
}

/* The children that hang at or outside the grid run once a block. */
static void emit_root(builder *b, const nest_kernel *plan, nest *n, const uop *block) {
  int64_t points;
  b->next = n->next;
  if (axes_of_kind(n, 0, AXIS_LANE, &points) > 0) {
    emit_lanes(b, plan, n, block);
    return;
  }
  int grid = bind_grid(b, n, block);
  for (int c = 0; c < n->nchildren; ++c) {
    if (n->child[c].at < grid) n->child[c].at = grid;
  }
  emit_nest(b, n, grid);
}

linear_kernel *linearise(graph *g, const kernel_set *set, const nest_kernel *plan,
                         const linear_options *options) {
  linear_kernel *out = arena_new(&g->arena, linear_kernel);
  builder b = {.g = g,
               .a = &g->arena,
               .set = set,
               .opt = options,
               .k = &out->lin,
               .lanes = 1,
               .load = build_load};
  map_init(&b.loops, b.a);
  map_init(&b.range_values, b.a);
  map_init(&b.array_slot, b.a);
  map_init(&b.array_depth, b.a);
  map_init(&b.local_reads, b.a);
  map_init(&b.groups, b.a);
  map_init(&b.run_of_load, b.a);
  name_kernel(&b, plan);
  int64_t total = 0;
  for (int r = 0; r < plan->nroots; ++r) total += grid_of(plan, plan->root[r]);
  out->lin.grid = total;
  out->lin.group = plan->group;
  out->lin.once = plan->prepare;
  build_open(&b, 0);
  uint32_t grid = build_ins(&b, b.top, (lin_ins){.op = OP_GRID, .dtype = WN_I64, .lanes = 1});
  const uop *block = uop_range(g, total, "block");
  build_bind(&b, block, grid);
  if (plan->group > 0) {
    b.lane = uop_range(g, plan->group, "lane");
    build_bind(&b, b.lane,
               build_ins(&b, b.top, (lin_ins){.op = OP_LANE, .dtype = WN_I64, .lanes = 1}));
  }
  if (plan->nroots == 1) {
    emit_root(&b, plan, plan->root[0], block);
  } else {
    int64_t first = 0;
    for (int r = 0; r < plan->nroots; ++r) { /* each nest has its share of the blocks */
      int64_t share = grid_of(plan, plan->root[r]);
      const uop *mine = uop_range(g, share, "block");
      const uop *cond = uop_and(g, uop_ge(g, block, first), uop_lt(g, block, first + share));
      uint32_t test = emit(&b, cond);
      lin_ins in = {.op = OP_IF, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 1, .src = {test}};
      build_open(&b, build_head(&b, in))->share = (double)share / (double)total;
      build_bind(&b, mine, emit(&b, uop_addi(g, block, -first)));
      emit_root(&b, plan, plan->root[r], mine);
      build_close(&b);
      first += share;
    }
  }
  build_flatten(&b);
  out->lin.narrow = !b.wide;
  return out;
}
