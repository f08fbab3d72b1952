/* See touched.h. */
#include "nest/touched.h"

/* Numbers of loops and how often each is gone through. */
typedef struct extents {
  VEC(uop_arg) of;
} extents;

static void add_extent(arena *a, extents *e, const uop *range) {
  for (size_t i = 0; i < e->of.len; ++i)
    if (e->of.data[i].i == range->arg.i) return;
  vec_push(a, &e->of, range->arg);
}

/* How often a value is computed: once for each point of the loops that it depends on. */
static double times(const extents *e, const uop *u) {
  double all = 1;
  for (int i = 0; i < u->free_->len; ++i)
    for (size_t k = 0; k < e->of.len; ++k)
      if (e->of.data[k].i == u->free_->at[i]) all *= (double)e->of.data[k].j;
  return all;
}

/* A reduction adds, or compares, each of its terms. */
static double flops_of(const extents *e, const uop *u) {
  if (!dtype_is_float(u->dtype)) return 0;
  if (u->op == OP_REDUCE) return times(e, u->src[0]);
  return (op_table[u->op].flags & UOP_ALU) != 0 ? times(e, u) : 0;
}

static void look_through(arena *a, touched *t, extents *around, const nest *n) {
  const uop_order all = nest_walk(a, n);
  for (int i = 0; i < n->naxes; ++i) add_extent(a, around, n->axis[i].range);
  for (size_t i = 0; i < all.len; ++i)
    if (all.at[i]->op == OP_RANGE) add_extent(a, around, all.at[i]);
  for (int s = 0; s < n->nstores; ++s) vec_push(a, &t->writes, n->store[s].array);
  for (size_t i = 0; i < all.len; ++i) {
    t->flops += flops_of(around, all.at[i]);
    if (all.at[i]->op == OP_BUFFER) vec_push(a, &t->reads, (int)all.at[i]->arg.i);
  }
  for (int i = 0; i < n->nchildren; ++i) look_through(a, t, around, n->child[i].nest);
}

const touched *touched_by(map *known, const nest *n) {
  touched *t = map_get_ptr(known, (uint64_t)(uintptr_t)n);
  if (t != NULL) return t;
  extents around = {0};
  t = arena_new(known->arena, touched);
  look_through(known->arena, t, &around, n);
  map_put_ptr(known, (uint64_t)(uintptr_t)n, t);
  return t;
}
