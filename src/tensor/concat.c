/* Concatenation: tensors one behind the other along an axis.
 *
 * In: tensors that differ in one extent at most. Out: each padded with zeros to where it stands in the whole, and
 * chosen there by a balanced tree of WHEREs, whose conditions are padded `true`: comparisons of an index once they are
 * lowered. Always holds: an element is exactly that of its part, whatever its dtype and value; nothing recurses. */
#include "rewrite/scratch.h"
#include "tensor/tensor.h"

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

/* t with zeros around, from place `begin` of the axis on. */
static wn_tensor *put(const concatenation *c, wn_tensor *t, int64_t begin) {
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0};
  lo[c->axis] = begin;
  hi[c->axis] = c->whole->at[c->axis] - begin - t->shape->at[c->axis];
  return tensor_pad("wn_concat", t, lo, hi);
}

/* Where the index of the axis is less than `end`. */
static wn_tensor *before(const concatenation *c, int64_t end) {
  int64_t shape[WN_MAX_DIMS];
  memcpy(shape, c->whole->at, sizeof *shape * (size_t)c->whole->len);
  shape[c->axis] = end;
  const uop *yes = uop_bool(&c->ctx->graph, true);
  wn_tensor *one = tensor_new(c->ctx, yes, WN_BOOL, intern_list(&c->ctx->graph, 0, NULL));
  return put(c, tensor_expand("wn_concat", one, c->whole->len, shape), 0);
}

typedef struct stretch {
  wn_tensor *t; /* right from `begin` to the begin of the next one */
  int64_t begin;
} stretch;

static void choose(arena *a, void *state) {
  concatenation *c = state;
  stretch *s = arena_array(a, stretch, c->count);
  int64_t begin = 0;
  int n = 0;
  for (int i = 0; i < c->count; ++i) {
    int64_t extent = c->part[i]->shape->at[c->axis];
    if (extent > 0) s[n++] = (stretch){put(c, c->part[i], begin), begin};
    begin += extent;
  }
  while (n > 1) {
    int half = 0;
    for (int i = 0; i < n; i += 2) {
      s[half] = s[i];
      if (i + 1 < n)
        s[half].t = tensor_where("wn_concat", before(c, s[i + 1].begin), s[i].t, s[i + 1].t);
      ++half;
    }
    n = half;
  }
  c->out = n > 0 ? s[0].t : c->part[0];
}

static wn_tensor *concat(wn_tensor *const *parts, int count, int axis) {
  concatenation c = {.ctx = parts[0]->ctx, .part = parts, .count = count, .axis = axis};
  check(&c);
  with_scratch(&c.ctx->diag, choose, &c);
  return c.out;
}

wn_tensor *wn_concat(wn_tensor *const *parts, int count, int axis) {
  if (parts == NULL || count < 1) return NULL;
  for (int i = 0; i < count; ++i)
    if (parts[i] == NULL) return NULL;
  TENSOR_RETURN(parts[0]->ctx, concat(parts, count, axis));
}
