/* Compact values; see compact.h. */
#include "lower/compact.h"

#include "lower/lower.h"

enum { STEPS = 64 }; /* of movement that is looked through */

const uop *tensor_reshaped(graph *g, map *shapes, const uop *u, const int_list *shape) {
  if (u->op == OP_RESHAPE) u = u->src[0];
  if (tensor_shape(g, shapes, u) == shape) return u;
  return uop_new(g, OP_RESHAPE, (wn_dtype)u->dtype, 1, &u, (uop_arg){.list = shape});
}

const uop *tensor_expanded(graph *g, map *shapes, const uop *u, const int_list *shape) {
  if (tensor_shape(g, shapes, u) == shape) return u;
  return uop_new(g, OP_EXPAND, (wn_dtype)u->dtype, 1, &u, (uop_arg){.list = shape});
}

compact compact_reshaped(graph *g, map *shapes, compact c, const int_list *from,
                         const int_list *to) {
  int64_t whole[WN_MAX_DIMS], shape[WN_MAX_DIMS];
  int i = 0, j = 0;
  while (i < from->len || j < to->len) {
    const int i0 = i, j0 = j;
    bool varies = false;
    reshape_group(from, to, &i, &j);
    for (int k = i0; k < i; ++k) varies = varies || c.shape->at[k] > 1;
    for (int k = i0; k < i; ++k) whole[k] = varies ? from->at[k] : 1;
    for (int k = j0; k < j; ++k) shape[k] = varies ? to->at[k] : 1;
  }
  c.u = tensor_expanded(g, shapes, c.u, intern_list(g, from->len, whole));
  c.shape = intern_list(g, to->len, shape);
  c.u = tensor_reshaped(g, shapes, c.u, c.shape);
  return c;
}

compact compact_permuted(graph *g, compact c, const int_list *axis) {
  int64_t shape[WN_MAX_DIMS];
  for (int i = 0; i < axis->len; ++i) shape[i] = c.shape->at[axis->at[i]];
  c.u = uop_new(g, OP_PERMUTE, (wn_dtype)c.u->dtype, 1, &c.u, (uop_arg){.list = axis});
  c.shape = intern_list(g, axis->len, shape);
  return c;
}

compact compact_of(graph *g, map *shapes, const uop *u) {
  const uop *path[STEPS];
  int n = 0;
  while (n < STEPS && (u->op == OP_EXPAND || u->op == OP_RESHAPE || u->op == OP_PERMUTE)) {
    path[n++] = u;
    u = u->src[0];
  }
  compact c = {u, tensor_shape(g, shapes, u)};
  while (n-- > 0) {
    const uop *t = path[n];
    if (t->op == OP_RESHAPE)
      c = compact_reshaped(g, shapes, c, tensor_shape(g, shapes, t->src[0]), t->arg.list);
    else if (t->op == OP_PERMUTE)
      c = compact_permuted(g, c, t->arg.list);
  }
  return c;
}

const int_list *permutation_back(graph *g, const int_list *axis) {
  int64_t back[WN_MAX_DIMS];
  for (int i = 0; i < axis->len; ++i) back[axis->at[i]] = i;
  return intern_list(g, axis->len, back);
}

void tensor_keep_name(graph *g, const uop *from, const uop *to) {
  void *name = map_get_ptr(&g->names, from->id);
  if (name != NULL && map_get_ptr(&g->names, to->id) == NULL) map_put_ptr(&g->names, to->id, name);
}

int tensor_readers(const map *readers, const uop *u) {
  uint64_t n = 0;
  map_get(readers, u->id, &n);
  return (int)n;
}

void tensor_add_readers(map *readers, const uop *u, int n) {
  map_put(readers, u->id, (uint64_t)(tensor_readers(readers, u) + n));
}

void tensor_count_readers(map *readers, arena *a, uop_order all, int count,
                          const uop *const *outs) {
  map_init(readers, a);
  for (int i = 0; i < count; ++i) tensor_add_readers(readers, outs[i], 1);
  for (size_t i = all.len; i-- > 0;) {
    const uop *u = all.at[i];
    const int n = uop_is_movement(u) ? tensor_readers(readers, u) : 1;
    for (int k = 0; k < u->nsrc; ++k) tensor_add_readers(readers, u->src[k], n);
  }
}
