/* A graph of sizes beside a graph of values; see magnitude.h. */
#include "tune/magnitude.h"

#include "ir/walk.h"

#include <math.h>

static const uop *size_of_value(graph *g, const uop *u) {
  wn_dtype dtype = (wn_dtype)u->dtype;
  if (!dtype_is_float(dtype)) return u;
  return uop_new(g, OP_ABS, dtype, 1, &u, (uop_arg){0});
}

/* The op in whose place sizes are put together; OP_COUNT: none, the value is a term of its own. */
static uop_op op_of_sizes(const uop *u) {
  switch (u->op) {
    case OP_RESHAPE:
    case OP_PERMUTE:
    case OP_EXPAND:
    case OP_PAD:
    case OP_SHRINK:
    case OP_FLIP:
    case OP_STRIDE:
    case OP_GATHER:
    case OP_CAT:
    case OP_REDUCE_AXIS:
    case OP_ADD:
    case OP_MUL:
    case OP_MAX:
    case OP_WHERE:
      return (uop_op)u->op;
    case OP_SUB:
      return OP_ADD;
    case OP_MIN:
      return OP_MAX;
    case OP_CAST:
      return dtype_is_float(u->src[0]->dtype) ? OP_CAST : OP_COUNT;
    default:
      return OP_COUNT;
  }
}

/* A minimum of several is no larger than the largest. */
static uop_arg arg_of_sizes(graph *g, const uop *u) {
  uop_arg arg = u->arg;
  if (u->op != OP_REDUCE_AXIS || arg.list->at[0] != OP_MIN) return arg;
  int64_t list[WN_MAX_DIMS + 1];
  for (int i = 0; i < arg.list->len; ++i) list[i] = arg.list->at[i];
  list[0] = OP_MAX;
  arg.list = intern_list(g, arg.list->len, list);
  return arg;
}

wn_tensor *magnitude_of(const wn_tensor *t) {
  graph *g = &t->ctx->graph;
  uop_order order = uop_toposort(&g->arena, 1, &t->node);
  map sizes; /* by number of the value */
  map_init(&sizes, &g->arena);
  for (size_t i = 0; i < order.len; ++i) {
    const uop *u = order.at[i], *size = NULL;
    uop_op op = dtype_is_float(u->dtype) ? op_of_sizes(u) : OP_COUNT;
    if (dtype_is_float(u->dtype) && (u->op == OP_NEG || u->op == OP_ABS)) {
      size = map_get_ptr(&sizes, u->src[0]->id);
    } else if (op != OP_COUNT) {
      const uop **src = arena_array(&g->arena, const uop *, u->nsrc);
      for (int s = 0; s < u->nsrc; ++s)
        src[s] = u->op == OP_WHERE && s == 0 ? u->src[0] : map_get_ptr(&sizes, u->src[s]->id);
      size = uop_new(g, op, (wn_dtype)u->dtype, u->nsrc, src, arg_of_sizes(g, u));
    } else {
      size = size_of_value(g, u);
    }
    map_put_ptr(&sizes, u->id, size);
  }
  return tensor_new(t->ctx, map_get_ptr(&sizes, t->node->id), t->dtype, t->shape);
}
