/* Movement: the same elements at other places.
 *
 * In: a tensor and where its elements go. Out: one node of RESHAPE, PERMUTE, EXPAND, PAD,
 * SHRINK, FLIP, STRIDE or GATHER, or the tensor itself where nothing moves. Reshapes of reshapes
 * become one. */
#include "tensor/tensor.h"

static wn_tensor *move(wn_tensor *t, uop_op op, int nargs, const int64_t *args,
                       const int_list *shape) {
  graph *g = &t->ctx->graph;
  const uop_arg arg = {.list = intern_list(g, nargs, args)};
  return tensor_new(t->ctx, uop_new(g, op, t->dtype, 1, &t->node, arg), t->dtype, shape);
}

static int64_t count_of(const int_list *shape) {
  int64_t n = 1;
  for (int i = 0; i < shape->len; ++i) n *= shape->at[i];
  return n;
}

/* Every array argument of a movement op has one entry per axis, so it may be absent only for a
 * scalar. */
static void need(wn_tensor *t, const char *who, const char *what, const void *p) {
  if (p == NULL && t->shape->len > 0)
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: %s is missing", who, what);
}

/* --- reshape ---------------------------------------------------------------------------------- */

wn_tensor *tensor_reshape(const char *who, wn_tensor *t, int ndim, const int64_t *shape) {
  const int_list *to = tensor_check_shape(t->ctx, who, "the result", ndim, shape);
  if (to == t->shape) return t;
  if (count_of(to) != count_of(t->shape)) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: %s has %lld elements and %s has %lld", who,
              tensor_text(t), (long long)count_of(t->shape),
              arena_shape(&t->ctx->graph.arena, ndim, shape), (long long)count_of(to));
  }
  wn_tensor base = *t;
  if (t->node->op == OP_RESHAPE) base.node = t->node->src[0];
  bool back = base.node->op == OP_BUFFER && base.node->arg.list == to;
  return back ? tensor_new(t->ctx, base.node, t->dtype, to)
              : move(&base, OP_RESHAPE, ndim, shape, to);
}

/* The -1 of a shape is whatever the other extents leave. */
static wn_tensor *reshape_inferred(wn_tensor *t, int ndim, const int64_t *shape) {
  int64_t full[WN_MAX_DIMS], known = 1;
  int hole = -1;
  bool zero = false;
  if (ndim < 0 || ndim > WN_MAX_DIMS || (ndim > 0 && shape == NULL)) {
    return tensor_reshape("wn_reshape", t, ndim, shape); /* says what is wrong */
  }
  for (int i = 0; i < ndim; ++i) {
    full[i] = shape[i];
    if (shape[i] == -1 && hole < 0)
      hole = i;
    else if (shape[i] == 0)
      zero = true;
    else if (shape[i] > 0 && known <= TENSOR_MAX_COUNT / shape[i])
      known *= shape[i];
  }
  if (hole >= 0 && zero) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE,
              "wn_reshape: beside an extent of 0, -1 may be anything; say what it is (%s)",
              arena_shape(&t->ctx->graph.arena, ndim, shape));
  }
  if (hole >= 0) {
    int64_t count = count_of(t->shape);
    if (count % known != 0) {
      diag_fail(&t->ctx->diag, WN_ERR_USAGE,
                "wn_reshape: %s has %lld elements, which %lld does not divide (%s)", tensor_text(t),
                (long long)count, (long long)known, arena_shape(&t->ctx->graph.arena, ndim, shape));
    }
    full[hole] = count / known;
  }
  return tensor_reshape("wn_reshape", t, ndim, full);
}

wn_tensor *wn_reshape(wn_tensor *t, int ndim, const int64_t *shape) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, reshape_inferred(t, ndim, shape));
}

/* --- permute, flip ---------------------------------------------------------------------------- */

/* axis counted from 0, each at most once; taken[] is the caller's memory of it. */
static int take_axis(const char *who, wn_tensor *t, int axis, bool *taken) {
  int n = t->shape->len, a = axis < 0 ? axis + n : axis;
  if (a < 0 || a >= n) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: there is no axis %d in %s", who, axis,
              tensor_text(t));
  }
  if (taken[a])
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: axis %d of %s is named twice", who, axis,
              tensor_text(t));
  taken[a] = true;
  return a;
}

wn_tensor *tensor_permute(const char *who, wn_tensor *t, const int *axes) {
  need(t, who, "the list of axes", axes);
  int64_t order[WN_MAX_DIMS], shape[WN_MAX_DIMS];
  bool taken[WN_MAX_DIMS] = {false}, same = true;
  int n = t->shape->len;
  for (int i = 0; i < n; ++i) {
    order[i] = take_axis(who, t, axes[i], taken);
    shape[i] = t->shape->at[order[i]];
    same = same && order[i] == i;
  }
  return same ? t : move(t, OP_PERMUTE, n, order, intern_list(&t->ctx->graph, n, shape));
}

wn_tensor *wn_permute(wn_tensor *t, const int *axes) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, tensor_permute("wn_permute", t, axes));
}

static wn_tensor *flip(wn_tensor *t, const int *axes, int count) {
  if (count != 0) need(t, "wn_flip", "the list of axes", count > 0 ? axes : NULL);
  int64_t flags[WN_MAX_DIMS] = {0};
  bool taken[WN_MAX_DIMS] = {false}, any = false;
  for (int i = 0; i < count; ++i) {
    int a = take_axis("wn_flip", t, axes[i], taken);
    flags[a] = t->shape->at[a] > 1;
    any = any || flags[a];
  }
  return any ? move(t, OP_FLIP, t->shape->len, flags, t->shape) : t;
}

wn_tensor *wn_flip(wn_tensor *t, const int *axes, int count) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, flip(t, axes, count));
}

/* --- expand ----------------------------------------------------------------------------------- */

wn_tensor *tensor_expand(const char *who, wn_tensor *t, int ndim, const int64_t *shape) {
  const int_list *to = tensor_check_shape(t->ctx, who, "the result", ndim, shape);
  if (to == t->shape) return t;
  int64_t from[WN_MAX_DIMS];
  int lead = ndim - t->shape->len;
  bool fits = lead >= 0;
  for (int i = 0; fits && i < ndim; ++i) {
    from[i] = i < lead ? 1 : t->shape->at[i - lead];
    fits = from[i] == shape[i] || from[i] == 1;
  }
  if (!fits) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE,
              "%s: %s does not broadcast to %s; extents must be equal or 1", who, tensor_text(t),
              arena_shape(&t->ctx->graph.arena, ndim, shape));
  }
  wn_tensor *same_rank = tensor_reshape(who, t, ndim, from);
  return same_rank->shape == to ? same_rank : move(same_rank, OP_EXPAND, ndim, shape, to);
}

wn_tensor *wn_expand(wn_tensor *t, int ndim, const int64_t *shape) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, tensor_expand("wn_expand", t, ndim, shape));
}

/* --- pad, shrink, stride ---------------------------------------------------------------------- */

wn_tensor *tensor_pad(const char *who, wn_tensor *t, const int64_t *lo, const int64_t *hi) {
  need(t, who, "the padding before", lo);
  need(t, who, "the padding after", hi);
  int64_t args[2 * WN_MAX_DIMS], shape[WN_MAX_DIMS];
  bool any = false;
  for (int i = 0; i < t->shape->len; ++i) {
    if (lo[i] < 0 || hi[i] < 0) {
      diag_fail(&t->ctx->diag, WN_ERR_USAGE,
                "%s: padding %lld, %lld of axis %d of %s is negative; use wn_shrink", who,
                (long long)lo[i], (long long)hi[i], i, tensor_text(t));
    }
    args[2 * i] = lo[i];
    args[2 * i + 1] = hi[i];
    any = any || lo[i] > 0 || hi[i] > 0;
    if (__builtin_add_overflow(t->shape->at[i], lo[i], &shape[i]) ||
        __builtin_add_overflow(shape[i], hi[i], &shape[i])) {
      diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: padding of axis %d of %s overflows", who, i,
                tensor_text(t));
    }
  }
  if (!any) return t;
  const int_list *to = tensor_check_shape(t->ctx, who, "the padded tensor", t->shape->len, shape);
  if (tensor_is_empty(t))
    return tensor_filled(t->ctx, uop_const(&t->ctx->graph, t->dtype, 0), to->len, to->at);
  return move(t, OP_PAD, 2 * to->len, args, to);
}

wn_tensor *wn_pad(wn_tensor *t, const int64_t *lo, const int64_t *hi) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, tensor_pad("wn_pad", t, lo, hi));
}

wn_tensor *tensor_shrink(const char *who, wn_tensor *t, const int64_t *begin, const int64_t *end) {
  need(t, who, "the list of begins", begin);
  need(t, who, "the list of ends", end);
  int64_t args[2 * WN_MAX_DIMS], shape[WN_MAX_DIMS];
  int n = t->shape->len;
  for (int i = 0; i < n; ++i) {
    if (begin[i] < 0 || end[i] < begin[i] || end[i] > t->shape->at[i]) {
      diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: [%lld, %lld) is no part of axis %d of %s", who,
                (long long)begin[i], (long long)end[i], i, tensor_text(t));
    }
    args[2 * i] = begin[i];
    args[2 * i + 1] = end[i];
    shape[i] = end[i] - begin[i];
  }
  const int_list *to = intern_list(&t->ctx->graph, n, shape);
  return to == t->shape ? t : move(t, OP_SHRINK, 2 * n, args, to);
}

wn_tensor *wn_shrink(wn_tensor *t, const int64_t *begin, const int64_t *end) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, tensor_shrink("wn_shrink", t, begin, end));
}

wn_tensor *tensor_stride(const char *who, wn_tensor *t, const int64_t *steps) {
  need(t, who, "the list of steps", steps);
  int64_t shape[WN_MAX_DIMS];
  int n = t->shape->len;
  bool any = false;
  for (int i = 0; i < n; ++i) {
    if (steps[i] < 1) {
      diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: step %lld of axis %d of %s; steps are at least 1",
                who, (long long)steps[i], i, tensor_text(t));
    }
    shape[i] = t->shape->at[i] > 0 ? (t->shape->at[i] - 1) / steps[i] + 1 : 0;
    any = any || steps[i] > 1;
  }
  return any ? move(t, OP_STRIDE, n, steps, intern_list(&t->ctx->graph, n, shape)) : t;
}

wn_tensor *wn_stride(wn_tensor *t, const int64_t *steps) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, tensor_stride("wn_stride", t, steps));
}

/* --- gather ----------------------------------------------------------------------------------- */

static wn_tensor *gather(wn_tensor *t, wn_tensor *index, int axis) {
  graph *g = &t->ctx->graph;
  bool taken[WN_MAX_DIMS] = {false};
  if (index->ctx != t->ctx)
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "wn_gather: operands belong to different contexts");
  if (!dtype_is_int(index->dtype))
    diag_fail(&t->ctx->diag, WN_ERR_USAGE,
              "wn_gather: the index is %s %s, not i32 or i64; convert it with wn_cast",
              wn_dtype_name(index->dtype), tensor_text(index));
  axis = take_axis("wn_gather", t, axis, taken);
  const int ndim = t->shape->len - 1 + index->shape->len;
  int64_t shape[2 * WN_MAX_DIMS];
  int n = 0;
  for (int i = 0; i < axis; ++i) shape[n++] = t->shape->at[i];
  for (int i = 0; i < index->shape->len; ++i) shape[n++] = index->shape->at[i];
  for (int i = axis + 1; i < t->shape->len; ++i) shape[n++] = t->shape->at[i];
  const int_list *to = tensor_check_shape(t->ctx, "wn_gather", "the result", ndim, shape);
  if (tensor_is_empty(t)) return tensor_filled(t->ctx, uop_const(g, t->dtype, 0), ndim, shape);
  const uop *src[] = {t->node, index->node};
  return tensor_new(t->ctx, uop_new(g, OP_GATHER, t->dtype, 2, src, (uop_arg){.i = axis}), t->dtype,
                    to);
}

wn_tensor *wn_gather(wn_tensor *t, wn_tensor *index, int axis) {
  if (t == NULL || index == NULL) return NULL;
  TENSOR_RETURN(t->ctx, gather(t, index, axis));
}
