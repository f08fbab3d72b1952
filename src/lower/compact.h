/* Tensor-level values without what is only spread over axes: what rewriting of tensors has in common.
 *
 * In: tensor-level nodes. Out: the same values in fewer elements, and nodes made of them. Always holds: a compact value
 * has the rank of the node that it stands for, and its extents, or 1 where it is the same all along an axis. `shapes` is
 * the memo of tensor_shape. */
#ifndef WN_LOWER_COMPACT_H
#define WN_LOWER_COMPACT_H

#include "ir/walk.h"

typedef struct compact {
  const uop *u;
  const int_list *shape;
} compact;

compact compact_of(graph *g, map *shapes, const uop *u);
/* Axes that a reshape keeps together are all of the value's or all 1: what varies along some is expanded. */
compact compact_reshaped(graph *g, map *shapes, compact c, const int_list *from,
                         const int_list *to);
/* axis[i]: of c, that becomes axis i. */
compact compact_permuted(graph *g, compact c, const int_list *axis);

const int_list *permutation_back(graph *g, const int_list *axis);
/* The node itself where nothing changes. */
const uop *tensor_reshaped(graph *g, map *shapes, const uop *u, const int_list *shape);
const uop *tensor_expanded(graph *g, map *shapes, const uop *u, const int_list *shape);
/* `to` is called as `from` is, unless it has a name. */
void tensor_keep_name(graph *g, const uop *from, const uop *to);

/* How many read each node, moved or not, outputs included: into a new map, by id. What moves is no reader itself, so
 * the number is the same however a value is moved. */
void tensor_count_readers(map *readers, arena *a, uop_order all, int count, const uop *const *outs);
int tensor_readers(const map *readers, const uop *u);
void tensor_add_readers(map *readers, const uop *u, int n);

#endif
