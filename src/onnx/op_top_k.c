/* TopK and NonZero, on the host.
 *
 * In: elements in a row. Out: the largest or smallest along an axis and where they are, in an order that is one alone
 * (host_keys.c); or where elements are not 0, in the order of the row. */
#include "backend/element.h"
#include "onnx/host.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* --- TopK ------------------------------------------------------------------------------------- */

typedef struct top_k {
  int axis;
  int64_t k;
  bool largest;
} top_k;

/* One line along the axis: its best elements and their numbers. */
static void pick(const top_k *t, const host_array *in, int64_t from, int64_t to, int64_t step,
                 uint64_t *keys, int64_t *best, host_array *out) {
  const int64_t n = in->shape[t->axis];
  const size_t size = wn_dtype_size(in->dtype);
  const char *line = (const char *)in->data + (size_t)from * size;
  host_keys(in->dtype, line, step, n, keys);
  for (int64_t i = 0; !t->largest && i < n; ++i) keys[i] = ~keys[i];
  host_largest(keys, n, t->k, best);
  for (int64_t i = 0; i < t->k; ++i) {
    memcpy((char *)out[0].data + (size_t)(to + i * step) * size,
           line + (size_t)(best[i] * step) * size, size);
    ((int64_t *)out[1].data)[to + i * step] = best[i];
  }
}

static void run_top_k(const void *how, arena *a, const host_array *in, host_array *out) {
  const top_k *t = how;
  const int64_t n = in->shape[t->axis], count = host_count(&out[0]);
  int64_t lines = 1, step = 1;
  for (int i = 0; i < t->axis; ++i) lines *= in->shape[i];
  for (int i = t->axis + 1; i < in->ndim; ++i) step *= in->shape[i];
  out[0].data = arena_alloc(a, (size_t)count * wn_dtype_size(in->dtype) + 1);
  out[1].data = arena_array(a, int64_t, count + 1);
  uint64_t *keys = arena_array(a, uint64_t, n + 1);
  int64_t *best = arena_array(a, int64_t, t->k + 1);
  for (int64_t i = 0; count > 0 && i < lines; ++i)
    for (int64_t k = 0; k < step; ++k)
      pick(t, in, i * n * step + k, i * t->k * step + k, step, keys, best, out);
}

/* Up to opset 9 k is an attribute; from 11 on there is the smallest, too. The result is sorted also where it need not
 * be. */
void op_top_k(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  const int64_t *shape = host_shape(c, 0);
  top_k *t = arena_new(c->a, top_k);
  if (v->ndim == 0) op_fail(c, "the input is one number, with no axis");
  t->axis = op_axis(c, op_int(c, "axis", -1), v->ndim);
  t->largest = op_int(c, "largest", 1) != 0;
  if (c->opset < 10) {
    if (op_attribute(c, "k") == NULL) op_fail(c, "attribute \"k\" is missing");
    t->k = op_int(c, "k", 0);
  } else {
    int count;
    const int64_t *k = op_ints(c, 1, &count);
    if (count != 1) op_fail(c, "k is one number, not %d", count);
    t->k = k[0];
  }
  if (t->k < 0 || t->k > shape[t->axis])
    op_fail(c, "k is %lld and axis %d has %lld elements", (long long)t->k, t->axis,
            (long long)shape[t->axis]);
  host_result r[2] = {{.type = v->type, .ndim = v->ndim, .most = 1}, {0}};
  for (int i = 0; i < v->ndim; ++i) {
    r[0].shape[i] = i == t->axis ? t->k : shape[i];
    r[0].most *= r[0].shape[i];
  }
  r[1] = r[0];
  r[1].type = ONNX_INT64;
  host_add(c, run_top_k, t, 2, r);
}

/* --- NonZero ---------------------------------------------------------------------------------- */

static bool is_zero(const host_array *in, int64_t i) {
  return element_read(in->dtype, in->data, i) == 0;
}

static void run_non_zero(const void *how, arena *a, const host_array *in, host_array *out) {
  const int64_t n = host_count(in);
  int64_t found = 0;
  (void)how;
  for (int64_t i = 0; i < n; ++i) found += !is_zero(in, i);
  int64_t *to = arena_array(a, int64_t, in->ndim *found + 1), k = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (is_zero(in, i)) continue;
    int64_t rest = i;
    for (int axis = in->ndim; axis-- > 0; rest /= in->shape[axis])
      to[axis * found + k] = rest % in->shape[axis];
    ++k;
  }
  out->data = to;
  out->shape[1] = found;
}

/* [axes, found]; of one number without axes [0, found]. */
void op_non_zero(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  const int64_t *shape = host_shape(c, 0);
  host_result r = {.type = ONNX_INT64, .ndim = 2, .shape = {v->ndim, -1}, .most = v->ndim};
  for (int i = 0; i < v->ndim; ++i) r.most *= shape[i];
  host_add(c, run_non_zero, NULL, 1, &r);
}
