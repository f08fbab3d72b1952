/* Concatenation: tensors one behind the other along an axis.
 *
 * In: tensors that differ in one extent at most. Out: a node of CAT, or the tensor itself where there is one. Always
 * holds: parts without elements are left out; a node has at most MOST_PARTS sources. */
#include "rewrite/scratch.h"
#include "tensor/tensor.h"

enum { MOST_PARTS = 4096 };

typedef struct concatenation {
  wn_context *ctx;
  wn_tensor *const *part;
  int count, axis;
  const int_list *whole;
  wn_tensor *out;
} concatenation;

static void check_part(const concatenation *c, int i) {
  const wn_tensor *first = c->part[0], *t = c->part[i];
  diag *d = &c->ctx->diag;
  if (t->ctx != c->ctx) diag_fail(d, WN_ERR_USAGE, "wn_concat: parts belong to different contexts");
  if (t->dtype != first->dtype) {
    diag_fail(d, WN_ERR_USAGE,
              "wn_concat: part 0 is %s %s and part %d is %s %s; convert one with wn_cast",
              wn_dtype_name(first->dtype), tensor_text(first), i, wn_dtype_name(t->dtype),
              tensor_text(t));
  }
  bool fits = t->shape->len == first->shape->len;
  for (int k = 0; fits && k < first->shape->len; ++k)
    fits = k == c->axis || t->shape->at[k] == first->shape->at[k];
  if (!fits) {
    diag_fail(d, WN_ERR_USAGE,
              "wn_concat: part 0 is %s and part %d is %s; they may differ in axis %d only",
              tensor_text(first), i, tensor_text(t), c->axis);
  }
}

/* Checks everything, and says how large the whole is. */
static void check(concatenation *c) {
  const wn_tensor *first = c->part[0];
  int64_t shape[WN_MAX_DIMS];
  int n = first->shape->len, axis = c->axis < 0 ? c->axis + n : c->axis;
  if (axis < 0 || axis >= n) {
    diag_fail(&c->ctx->diag, WN_ERR_USAGE, "wn_concat: there is no axis %d in %s", c->axis,
              tensor_text(first));
  }
  c->axis = axis;
  for (int k = 0; k < n; ++k) shape[k] = k == axis ? 0 : first->shape->at[k];
  for (int i = 0; i < c->count; ++i) {
    check_part(c, i);
    if (__builtin_add_overflow(shape[axis], c->part[i]->shape->at[axis], &shape[axis]))
      diag_fail(&c->ctx->diag, WN_ERR_USAGE, "wn_concat: the extent of axis %d overflows", axis);
  }
  c->whole = tensor_check_shape(c->ctx, "wn_concat", "the result", n, shape);
}

/* One CAT of so many; of more, CATs of CATs. */
static wn_tensor *join(const concatenation *c, int count, wn_tensor *const *t) {
  graph *g = &c->ctx->graph;
  const uop **node = arena_array(&g->arena, const uop *, count);
  int64_t shape[WN_MAX_DIMS];
  if (count == 1) return t[0];
  memcpy(shape, c->whole->at, sizeof *shape * (size_t)c->whole->len);
  shape[c->axis] = 0;
  for (int i = 0; i < count; ++i) {
    node[i] = t[i]->node;
    shape[c->axis] += t[i]->shape->at[c->axis];
  }
  wn_dtype dtype = t[0]->dtype;
  const uop *cat = uop_new(g, OP_CAT, dtype, count, node, (uop_arg){.i = c->axis});
  return tensor_new(c->ctx, cat, dtype, intern_list(g, c->whole->len, shape));
}

static void join_all(arena *a, void *state) {
  concatenation *c = state;
  wn_tensor **t = arena_array(a, wn_tensor *, c->count);
  int n = 0;
  for (int i = 0; i < c->count; ++i)
    if (c->part[i]->shape->at[c->axis] > 0) t[n++] = c->part[i];
  while (n > 1) {
    int joined = 0;
    for (int i = 0; i < n; i += MOST_PARTS)
      t[joined++] = join(c, n - i < MOST_PARTS ? n - i : MOST_PARTS, t + i);
    n = joined;
  }
  c->out = n > 0 ? t[0] : c->part[0];
}

static wn_tensor *concat(wn_tensor *const *parts, int count, int axis) {
  concatenation c = {.ctx = parts[0]->ctx, .part = parts, .count = count, .axis = axis};
  check(&c);
  with_scratch(&c.ctx->diag, join_all, &c);
  return c.out;
}

wn_tensor *wn_concat(wn_tensor *const *parts, int count, int axis) {
  if (parts == NULL || count < 1) return NULL;
  for (int i = 0; i < count; ++i)
    if (parts[i] == NULL) return NULL;
  TENSOR_RETURN(parts[0]->ctx, concat(parts, count, axis));
}
