/* Operators that move elements: shapes, slices, concatenations, padding, transposition.
 *
 * In: one input, or parts; where to, as attributes of old opsets or as inputs that are known. Out: the same elements
 * elsewhere. */
#include "base/text.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* The same elements in another shape. */
static void reshaped(op_call *c, int ndim, const int64_t *shape) {
  const onnx_value *v = op_value(c, 0);
  onnx_value *r = v->data != NULL && v->t == NULL
                      ? op_result_data(c, 0, v->type, ndim, shape, v->data)
                      : op_result_typed(c, 0, op_reshape(c, op_in(c, 0), ndim, shape), v->type);
  r->nonnegative = v->nonnegative;
}

/* A list of integers that is an input, or an attribute of older opsets; NULL: neither. */
static const int64_t *list_of(op_call *c, int i, const char *name, int *n) {
  return op_has(c, i) ? op_ints(c, i, n) : op_int_list(c, name, n);
}

void op_reshape_node(op_call *c) {
  int n;
  const onnx_value *v = op_value(c, 0);
  const int64_t *to = list_of(c, 1, "shape", &n);
  if (to == NULL) op_fail(c, "the shape is missing");
  op_check_rank(c, n);
  const bool zeros = op_int(c, "allowzero", 0) != 0;
  int64_t shape[WN_MAX_DIMS], known = 1, all = value_count(v);
  int hole = -1;
  for (int i = 0; i < n; ++i) {
    shape[i] = to[i] == 0 && !zeros && i < v->ndim ? v->shape[i] : to[i];
    if (to[i] == 0 && !zeros && i >= v->ndim)
      op_fail(c, "extent %d is 0, \"as the input has it\", which has %d axes", i, v->ndim);
    if (shape[i] < -1 || (shape[i] == -1 && hole >= 0))
      op_fail(c, "extent %d is %lld", i, (long long)shape[i]);
    if (shape[i] == -1)
      hole = i;
    else if (__builtin_mul_overflow(known, shape[i], &known))
      op_fail(c, "the result has more elements than can be counted");
  }
  if (hole >= 0) {
    if (known == 0 || all % known != 0)
      op_fail(c, "%s does not fit %s", arena_shape(c->a, v->ndim, v->shape),
              arena_shape(c->a, n, to));
    shape[hole] = all / known;
    known = all;
  }
  if (known != all)
    op_fail(c, "%s has %lld elements and %s has %lld", arena_shape(c->a, v->ndim, v->shape),
            (long long)all, arena_shape(c->a, n, shape), (long long)known);
  reshaped(c, n, shape);
}

void op_flatten(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  const int64_t axis = op_int(c, "axis", 1);
  if (axis < -v->ndim || axis > v->ndim)
    op_fail(c, "there is no axis %lld in a tensor of %d axes", (long long)axis, v->ndim);
  int64_t shape[2] = {1, 1};
  const int64_t at = axis < 0 ? axis + v->ndim : axis;
  for (int i = 0; i < v->ndim; ++i) shape[i >= at] *= v->shape[i];
  reshaped(c, 2, shape);
}

void op_squeeze(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  int n, to = 0;
  const int64_t *axes = list_of(c, 1, "axes", &n);
  bool gone[WN_MAX_DIMS] = {false};
  int64_t shape[WN_MAX_DIMS];
  for (int i = 0; i < n; ++i) {
    const int axis = op_axis(c, axes[i], v->ndim);
    if (v->shape[axis] != 1) op_fail(c, "axis %d has extent %lld", axis, (long long)v->shape[axis]);
    gone[axis] = true;
  }
  for (int i = 0; i < v->ndim; ++i)
    if (axes == NULL ? v->shape[i] != 1 : !gone[i]) shape[to++] = v->shape[i];
  reshaped(c, to, shape);
}

void op_unsqueeze(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  int n, from = 0;
  const int64_t *axes = list_of(c, 1, "axes", &n);
  if (axes == NULL) op_fail(c, "axes are missing");
  op_check_rank(c, v->ndim + n);
  bool made[WN_MAX_DIMS] = {false};
  int64_t shape[WN_MAX_DIMS];
  for (int i = 0; i < n; ++i) {
    const int axis = op_axis(c, axes[i], v->ndim + n);
    if (made[axis]) op_fail(c, "axis %d is named twice", axis);
    made[axis] = true;
  }
  for (int i = 0; i < v->ndim + n; ++i) shape[i] = made[i] ? 1 : v->shape[from++];
  reshaped(c, v->ndim + n, shape);
}

void op_transpose(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  int n, axes[WN_MAX_DIMS];
  const int64_t *perm = op_int_list(c, "perm", &n);
  if (perm != NULL && n != v->ndim) op_fail(c, "\"perm\" has %d axes and the input %d", n, v->ndim);
  for (int i = 0; i < v->ndim; ++i)
    axes[i] = perm == NULL ? v->ndim - 1 - i : op_axis(c, perm[i], v->ndim);
  op_result_typed(c, 0, op_permute(c, op_in(c, 0), axes), v->type)->nonnegative = v->nonnegative;
}

void op_expand_node(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n;
  const int64_t *to = op_ints(c, 1, &n);
  const int m = wn_ndim(x), ndim = n > m ? n : m;
  int64_t shape[WN_MAX_DIMS];
  op_check_rank(c, ndim);
  for (int i = 0; i < ndim; ++i) {
    const int64_t a = i < ndim - m ? 1 : wn_shape(x)[i - (ndim - m)],
                  b = i < ndim - n ? 1 : to[i - (ndim - n)];
    shape[i] = b == 1 ? a : b;
  }
  op_result(c, 0, op_expand(c, x, ndim, shape));
}

/* A view [1, d0, 1, d1, ...] is repeated along the axes of 1. */
void op_tile(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n;
  const int64_t *times = op_ints(c, 1, &n);
  const int ndim = wn_ndim(x);
  if (n != ndim) op_fail(c, "there are %d repeats for %d axes", n, ndim);
  for (int i = 0; i < ndim; ++i) {
    if (times[i] < 0) op_fail(c, "axis %d repeats %lld times", i, (long long)times[i]);
    if (times[i] == 1) continue;
    if (ndim == WN_MAX_DIMS)
      op_fail(c, "there are %d axes; %d can be repeated", ndim, WN_MAX_DIMS - 1);
    int64_t shape[WN_MAX_DIMS + 1], flat[WN_MAX_DIMS];
    for (int k = 0; k < ndim; ++k) shape[k < i ? k : k + 1] = flat[k] = wn_shape(x)[k];
    shape[i] = 1;
    x = op_reshape(c, x, ndim + 1, shape);
    shape[i] = times[i];
    flat[i] *= times[i];
    x = op_reshape(c, op_expand(c, x, ndim + 1, shape), ndim, flat);
  }
  op_result(c, 0, x);
}

/* --- parts ------------------------------------------------------------------------------------ */

/* The elements begin, begin + step, ... of one axis, `count` of them. */
static wn_tensor *strided(op_call *c, wn_tensor *x, int axis, int64_t begin, int64_t step,
                          int64_t count) {
  int64_t steps[WN_MAX_DIMS];
  const int64_t size = step < 0 ? -step : step, reach = count > 0 ? (count - 1) * size + 1 : 0;
  x = op_slice(c, x, axis,
               step < 0 && count > 0 ? begin - reach + 1
               : count > 0           ? begin
                                     : 0,
               reach);
  if (count == 0) return x;
  if (step < 0) x = op_ok(c, wn_flip(x, &axis, 1));
  for (int i = 0; i < wn_ndim(x); ++i) steps[i] = i == axis && count > 1 ? size : 1;
  return op_ok(c, wn_stride(x, steps));
}

static int64_t clamped(int64_t i, int64_t lo, int64_t hi) { return i < lo ? lo : i > hi ? hi : i; }

static wn_tensor *slice_axis(op_call *c, wn_tensor *x, int axis, int64_t start, int64_t end,
                             int64_t step) {
  const int64_t n = wn_shape(x)[axis];
  if (step == 0) op_fail(c, "a step is 0");
  step = clamped(step, -n - 1, n + 1);
  if (start < 0) start = start < -n ? -1 : start + n;
  if (end < 0) end = end < -n ? -1 : end + n;
  start = step > 0 ? clamped(start, 0, n) : clamped(start, -1, n - 1);
  end = step > 0 ? clamped(end, 0, n) : clamped(end, -1, n - 1);
  int64_t count = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step;
  return strided(c, x, axis, start, step, count < 0 ? 0 : count);
}

void op_slice_node(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n, m, naxes = 0, nsteps = 0;
  const int64_t *starts = list_of(c, 1, "starts", &n), *ends = list_of(c, 2, "ends", &m);
  const int64_t *axes = list_of(c, 3, "axes", &naxes),
                *steps = op_has(c, 4) ? op_ints(c, 4, &nsteps) : NULL;
  if (starts == NULL || ends == NULL || n != m || (axes != NULL && naxes != n) ||
      (steps != NULL && nsteps != n))
    op_fail(c, "starts, ends, axes and steps must be as many as each other");
  for (int i = 0; i < n; ++i) {
    const int axis = op_axis(c, axes == NULL ? i : axes[i], wn_ndim(x));
    x = slice_axis(c, x, axis, starts[i], ends[i], steps == NULL ? 1 : steps[i]);
  }
  op_result(c, 0, x)->nonnegative = op_value(c, 0)->nonnegative;
}

void op_split(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n, parts = c->node->outputs;
  const int axis = op_axis(c, op_int(c, "axis", 0), wn_ndim(x));
  const int64_t all = wn_shape(x)[axis], *sizes = list_of(c, 1, "split", &n);
  if (sizes != NULL && n != parts) op_fail(c, "there are %d sizes for %d results", n, parts);
  if (sizes == NULL && c->opset >= 18 && op_int(c, "num_outputs", parts) != parts)
    op_fail(c, "\"num_outputs\" is not the number of results, %d", parts);
  const int64_t each = (all + parts - 1) / parts;
  int64_t at = 0;
  for (int i = 0; i < parts; ++i) {
    int64_t size = sizes != NULL ? sizes[i] : all - at < each ? all - at : each;
    if (size < 0 || size > all - at)
      op_fail(c, "the parts are longer than the %lld elements of axis %d", (long long)all, axis);
    if (op_wants(c, i))
      op_result(c, i, op_slice(c, x, axis, at, size))->nonnegative = op_value(c, 0)->nonnegative;
    at += size;
  }
  if (at != all)
    op_fail(c, "the parts have %lld of the %lld elements of axis %d", (long long)at, (long long)all,
            axis);
}

void op_concat_node(op_call *c) {
  const int n = c->node->inputs;
  wn_tensor **part = arena_array(c->a, wn_tensor *, n + 1);
  bool nonnegative = true;
  if (n == 0) op_fail(c, "there are no inputs");
  for (int i = 0; i < n; ++i) {
    part[i] = op_in(c, i);
    nonnegative = nonnegative && op_value(c, i)->nonnegative;
  }
  const int axis = op_axis(c, op_int(c, "axis", 1), wn_ndim(part[0]));
  op_result(c, 0, op_concat(c, part, n, axis))->nonnegative = nonnegative;
}

/* --- padding ---------------------------------------------------------------------------------- */

/* n elements in front of or behind t along an axis, which repeat, reflect or wrap what is there. */
static wn_tensor *border(op_call *c, wn_tensor *t, int axis, int64_t n, bool behind, char mode) {
  const int64_t all = wn_shape(t)[axis];
  int64_t shape[WN_MAX_DIMS];
  if (mode != 'e' && n > all - (mode == 'r'))
    op_fail(c, "padding of %lld by %s is more than axis %d of %lld elements has", (long long)n,
            mode == 'r' ? "reflection" : "wrapping", axis, (long long)all);
  if (mode == 'w') return op_slice(c, t, axis, behind ? 0 : all - n, n);
  if (mode == 'r') {
    wn_tensor *part = op_slice(c, t, axis, behind ? all - 1 - n : 1, n);
    return op_ok(c, wn_flip(part, &axis, 1));
  }
  for (int i = 0; i < wn_ndim(t); ++i) shape[i] = i == axis ? n : wn_shape(t)[i];
  return op_expand(c, op_slice(c, t, axis, behind ? all - 1 : 0, 1), wn_ndim(t), shape);
}

static wn_tensor *pad_axis(op_call *c, wn_tensor *t, int axis, int64_t lo, int64_t hi, char mode) {
  wn_tensor *part[3];
  int n = 0;
  if (wn_shape(t)[axis] == 0 && lo + hi > 0) op_fail(c, "axis %d has no elements to repeat", axis);
  if (lo > 0) part[n++] = border(c, t, axis, lo, false, mode);
  part[n++] = t;
  if (hi > 0) part[n++] = border(c, t, axis, hi, true, mode);
  return op_concat(c, part, n, axis);
}

/* Negative padding cuts. */
static wn_tensor *cut(op_call *c, wn_tensor *x, const int64_t *lo, const int64_t *hi) {
  for (int i = 0; i < wn_ndim(x); ++i) {
    const int64_t front = lo[i] < 0 ? -lo[i] : 0, back = hi[i] < 0 ? -hi[i] : 0;
    if (front + back > wn_shape(x)[i]) op_fail(c, "padding of axis %d cuts more than it has", i);
    if (front + back > 0) x = op_slice(c, x, i, front, wn_shape(x)[i] - front - back);
  }
  return x;
}

void op_pad(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n, naxes = 0;
  const int64_t *pads = list_of(c, 1, c->opset < 2 ? "paddings" : "pads", &n);
  const int64_t *axes = op_has(c, 3) ? op_ints(c, 3, &naxes) : NULL;
  const char *mode = op_text(c, "mode", "constant");
  const int ndim = wn_ndim(x), listed = axes == NULL ? ndim : naxes;
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0}, front[WN_MAX_DIMS] = {0},
          back[WN_MAX_DIMS] = {0};
  if (pads == NULL || n != 2 * listed)
    op_fail(c, "there are %d paddings; %d were expected", n, 2 * listed);
  for (int i = 0; i < listed; ++i) {
    const int axis = op_axis(c, axes == NULL ? i : axes[i], ndim);
    lo[axis] = pads[i];
    hi[axis] = pads[listed + i];
  }
  x = cut(c, x, lo, hi);
  for (int i = 0; i < ndim; ++i) front[i] = lo[i] > 0 ? lo[i] : 0, back[i] = hi[i] > 0 ? hi[i] : 0;
  if (strcmp(mode, "constant") == 0) {
    const double value = op_has(c, 2) ? op_number(c, 2, 0) : op_float(c, "value", 0);
    op_result(c, 0, op_pad_with(c, x, front, back, value));
    return;
  }
  if (strcmp(mode, "reflect") != 0 && strcmp(mode, "edge") != 0 && strcmp(mode, "wrap") != 0)
    op_fail(c, "mode \"%s\" is not known", mode);
  for (int i = 0; i < ndim; ++i) x = pad_axis(c, x, i, front[i], back[i], mode[0]);
  op_result(c, 0, x);
}

/* To these extents, from the middle: what is too long is cut, what is too short gets zeros. */
void op_center_crop_pad(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n, naxes;
  const int64_t *to = op_ints(c, 1, &n), *axes = op_int_list(c, "axes", &naxes);
  const int ndim = wn_ndim(x);
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0};
  if (n != (axes == NULL ? ndim : naxes))
    op_fail(c, "there are %d extents for %d axes", n, axes == NULL ? ndim : naxes);
  for (int i = 0; i < n; ++i) {
    const int axis = op_axis(c, axes == NULL ? i : axes[i], ndim);
    const int64_t from = wn_shape(x)[axis], more = to[i] - from;
    lo[axis] = more >= 0 ? more / 2 : -(-more / 2);
    hi[axis] = more - lo[axis];
  }
  x = cut(c, x, lo, hi);
  for (int i = 0; i < ndim; ++i) lo[i] = lo[i] > 0 ? lo[i] : 0, hi[i] = hi[i] > 0 ? hi[i] : 0;
  op_result(c, 0, op_ok(c, wn_pad(x, lo, hi)));
}

/* --- depth and space -------------------------------------------------------------------------- */

/* [n, b, b, c, h, w] (DCR) or [n, c, b, b, h, w] (CRD) -> [n, c, h, b, w, b] */
void op_depth_to_space(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int64_t b = op_int(c, "blocksize", 0);
  const char *mode = op_text(c, "mode", "DCR");
  const bool crd = strcmp(mode, "CRD") == 0;
  if (!crd && strcmp(mode, "DCR") != 0) op_fail(c, "mode \"%s\" is not known", mode);
  if (wn_ndim(x) != 4 || b < 1 || wn_shape(x)[1] % (b * b) != 0)
    op_fail(c, "blocks of %lld do not fit %s", (long long)b,
            arena_shape(c->a, wn_ndim(x), wn_shape(x)));
  const int64_t *s = wn_shape(x), k = s[1] / (b * b);
  const int64_t dcr_shape[] = {s[0], b, b, k, s[2], s[3]},
                crd_shape[] = {s[0], k, b, b, s[2], s[3]}, to[] = {s[0], k, s[2] * b, s[3] * b};
  const int dcr_axes[] = {0, 3, 4, 1, 5, 2}, crd_axes[] = {0, 1, 4, 2, 5, 3};
  x = op_permute(c, op_reshape(c, x, 6, crd ? crd_shape : dcr_shape), crd ? crd_axes : dcr_axes);
  op_result(c, 0, op_reshape(c, x, 4, to))->nonnegative = op_value(c, 0)->nonnegative;
}

void op_space_to_depth(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int64_t b = op_int(c, "blocksize", 0);
  const int64_t *s = wn_shape(x);
  if (wn_ndim(x) != 4 || b < 1 || s[2] % b != 0 || s[3] % b != 0)
    op_fail(c, "blocks of %lld do not fit %s", (long long)b, arena_shape(c->a, wn_ndim(x), s));
  const int64_t from[] = {s[0], s[1], s[2] / b, b, s[3] / b, b},
                to[] = {s[0], s[1] * b * b, s[2] / b, s[3] / b};
  const int axes[] = {0, 3, 5, 1, 2, 4};
  op_result(c, 0, op_reshape(c, op_permute(c, op_reshape(c, x, 6, from), axes), 4, to));
}
