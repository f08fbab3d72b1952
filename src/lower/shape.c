/* Shapes of tensor-level nodes, by the shape rule of each op. In: a node. Out: its interned
 * shape, computed once. */
#include "lower/lower.h"
#include "rewrite/scratch.h"

static const int_list *moved(graph *g, const uop *t, const int_list *from) {
  const int_list *arg = t->arg.list;
  int64_t shape[WN_MAX_DIMS];
  if (t->op == OP_RESHAPE || t->op == OP_EXPAND) return arg;
  if (t->op == OP_FLIP) return from;
  for (int i = 0; i < from->len; ++i) {
    switch (t->op) {
      case OP_PERMUTE:
        shape[i] = from->at[arg->at[i]];
        break;
      case OP_PAD:
        shape[i] = from->at[i] + arg->at[2 * i] + arg->at[2 * i + 1];
        break;
      case OP_SHRINK:
        shape[i] = arg->at[2 * i + 1] - arg->at[2 * i];
        break;
      case OP_STRIDE:
        shape[i] = (from->at[i] - 1) / arg->at[i] + 1;
        break;
      default:
        diag_panic(__FILE__, __LINE__, "node %u: %s does not move", t->id, op_table[t->op].name);
    }
  }
  return intern_list(g, from->len, shape);
}

/* Axis i of what is read becomes the axes of the places. */
static const int_list *picked(graph *g, const uop *t, const int_list *from,
                              const int_list *places) {
  int64_t shape[2 * WN_MAX_DIMS];
  int n = 0;
  WN_CHECK(t->arg.i < from->len && from->len + places->len - 1 <= WN_MAX_DIMS,
           "node %u: a GATHER of %d axes at places of %d", t->id, from->len, places->len);
  for (int i = 0; i < t->arg.i; ++i) shape[n++] = from->at[i];
  for (int i = 0; i < places->len; ++i) shape[n++] = places->at[i];
  for (int i = (int)t->arg.i + 1; i < from->len; ++i) shape[n++] = from->at[i];
  return intern_list(g, n, shape);
}

static const int_list *shape_of(graph *g, map *memo, const uop *t) {
  if (t->op == OP_BUFFER) return t->arg.list;
  if (t->nsrc == 0) return intern_list(g, 0, NULL);
  const int_list *from = map_get_ptr(memo, t->src[0]->id);
  switch (op_table[t->op].shape) {
    case SH_MOVE:
      return moved(g, t, from);
    case SH_AXES: {
      int64_t shape[WN_MAX_DIMS];
      for (int i = 0; i < from->len; ++i) shape[i] = from->at[i];
      for (int i = 1; i < t->arg.list->len; ++i) shape[t->arg.list->at[i]] = 1;
      return intern_list(g, from->len, shape);
    }
    case SH_PICK:
      return picked(g, t, from, map_get_ptr(memo, t->src[1]->id));
    case SH_JOIN: {
      int64_t shape[WN_MAX_DIMS];
      for (int i = 0; i < from->len; ++i) shape[i] = from->at[i];
      for (int i = 1; i < t->nsrc; ++i)
        shape[t->arg.i] += ((const int_list *)map_get_ptr(memo, t->src[i]->id))->at[t->arg.i];
      return intern_list(g, from->len, shape);
    }
    case SH_ELEM:
      for (int i = 1; i < t->nsrc; ++i) {
        WN_CHECK(map_get_ptr(memo, t->src[i]->id) == from,
                 "node %u: operands of %s differ in shape", t->id, op_table[t->op].name);
      }
      return from;
    default:
      diag_panic(__FILE__, __LINE__, "node %u: %s has no shape", t->id, op_table[t->op].name);
  }
}

typedef struct shape_job {
  graph *g;
  map *memo;
  const uop *t;
} shape_job;

static const uop *missing_source(const map *memo, const uop *t) {
  for (int i = 0; i < t->nsrc; ++i) {
    if (map_get_ptr(memo, t->src[i]->id) == NULL) return t->src[i];
  }
  return NULL;
}

static void run(arena *a, void *state) {
  shape_job *job = state;
  VEC(const uop *) open = {0};
  vec_push(a, &open, job->t);
  while (open.len > 0) {
    const uop *t = open.data[open.len - 1], *below = missing_source(job->memo, t);
    if (below != NULL) {
      vec_push(a, &open, below);
      continue;
    }
    map_put_ptr(job->memo, t->id, shape_of(job->g, job->memo, t));
    --open.len;
  }
}

const int_list *tensor_shape(graph *g, map *memo, const uop *t) {
  const int_list *known = map_get_ptr(memo, t->id);
  if (known != NULL) return known;
  shape_job job = {g, memo, t};
  if (missing_source(memo, t) == NULL)
    map_put_ptr(memo, t->id, shape_of(g, memo, t));
  else
    with_scratch(g->diag, run, &job);
  return map_get_ptr(memo, t->id);
}

int64_t reshape_group(const int_list *from, const int_list *to, int *i, int *j) {
  int64_t a = 1, b = 1;
  if (*i < from->len) a = from->at[(*i)++];
  if (*j < to->len) b = to->at[(*j)++];
  while (a != b) {
    if (a < b)
      a *= from->at[(*i)++];
    else
      b *= to->at[(*j)++];
  }
  return a;
}
