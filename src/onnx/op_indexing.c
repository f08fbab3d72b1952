/* Operators that take elements by number: Gather and its kin, one-hot vectors, triangles.
 *
 * In: a tensor and indices, which may depend on a run. Out: elements. Indices that are known and evenly spaced are a
 * slice; others are read where the elements are. */
#include "base/text.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* Known indices that are begin, begin + step, ...: then the elements are a part of the axis. */
static bool evenly_spaced(op_call *c, onnx_value *index, int64_t n, int64_t *begin, int64_t *step) {
  const int64_t count = value_count(index);
  if (!index->known || count < 1 || count > 1 << 20) return false;
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = value_int(c->imp, index, i);
    at = at < 0 ? at + n : at;
    if (at < 0 || at >= n)
      op_fail(c, "index %lld is not in an axis of %lld elements", (long long)at, (long long)n);
    if (i == 0) *begin = at;
    if (i == 1) *step = at - *begin;
    if (i > 0 && at != *begin + i * *step) return false;
  }
  return count == 1 || *step != 0;
}

void op_gather_node(op_call *c) {
  onnx_value *v = op_value(c, 0), *index = op_value(c, 1);
  const int axis = op_axis(c, op_int(c, "axis", 0), v->ndim);
  int64_t begin = 0, step = 1, shape[WN_MAX_DIMS], steps[WN_MAX_DIMS];
  op_check_rank(c, v->ndim + index->ndim - 1);
  if (!evenly_spaced(c, index, v->shape[axis], &begin, &step)) {
    op_result_typed(c, 0, op_gather(c, op_in(c, 0), op_in(c, 1), axis), v->type)->nonnegative =
        v->nonnegative;
    return;
  }
  const int64_t count = value_count(index), size = step < 0 ? -step : step,
                reach = (count - 1) * size + 1;
  wn_tensor *x = op_slice(c, op_in(c, 0), axis, step < 0 ? begin - reach + 1 : begin, reach);
  if (step < 0) x = op_ok(c, wn_flip(x, &axis, 1));
  for (int i = 0; i < v->ndim; ++i) steps[i] = i == axis && count > 1 ? size : 1;
  x = op_ok(c, wn_stride(x, steps));
  int n = 0;
  for (int i = 0; i < axis; ++i) shape[n++] = v->shape[i];
  for (int i = 0; i < index->ndim; ++i) shape[n++] = index->shape[i];
  for (int i = axis + 1; i < v->ndim; ++i) shape[n++] = v->shape[i];
  op_result_typed(c, 0, op_reshape(c, x, n, shape), v->type)->nonnegative = v->nonnegative;
}

/* Indices below 0 count from the end of n. */
static wn_tensor *from_start(op_call *c, wn_tensor *index, int64_t n) {
  index = op_cast(c, index, WN_I64);
  wn_tensor *behind = op_zip_number(c, WN_ADD, index, (double)n);
  return op_where(c, op_zip(c, WN_LESS, index, op_scalar(c, index, 0)), behind, index);
}

static wn_tensor *flattened(op_call *c, wn_tensor *t, int64_t rest, int64_t count) {
  return op_reshape(c, t, rest > 1 ? 2 : 1, (int64_t[]){count, rest});
}

/* Element i of the result is at its own place but for one axis, where the index says: one flat number. */
void op_gather_elements(op_call *c) {
  wn_tensor *x = op_in(c, 0), *index = op_in(c, 1);
  const int ndim = wn_ndim(x), axis = op_axis(c, op_int(c, "axis", 0), ndim);
  int64_t stride = 1;
  if (wn_ndim(index) != ndim)
    op_fail(c, "the indices have %d axes and the data %d", wn_ndim(index), ndim);
  wn_tensor *flat = from_start(c, index, wn_shape(x)[axis]);
  for (int i = ndim; i-- > 0;) {
    if (i == axis) {
      wn_tensor *here =
          op_zip_number(c, WN_MUL, from_start(c, index, wn_shape(x)[axis]), (double)stride);
      flat = i == ndim - 1 ? here : op_zip(c, WN_ADD, flat, here);
    } else {
      if (wn_shape(index)[i] > wn_shape(x)[i])
        op_fail(c, "axis %d of the indices is longer than that of the data", i);
      wn_tensor *at = op_zip_number(c, WN_MUL, op_arange(c, WN_I64, wn_shape(index)[i], ndim, i),
                                    (double)stride);
      flat = i == ndim - 1 ? at : op_zip(c, WN_ADD, flat, at);
    }
    stride *= wn_shape(x)[i];
  }
  flat = op_expand(c, flat, ndim, wn_shape(index));
  op_result_typed(c, 0, op_gather(c, flattened(c, x, 1, stride), flat, 0), op_value(c, 0)->type);
}

/* Tuples of indices into the first axes behind batch_dims. */
void op_gather_nd(op_call *c) {
  wn_tensor *x = op_in(c, 0), *index = op_in(c, 1);
  const int ndim = wn_ndim(x), rank = wn_ndim(index), batch = (int)op_int(c, "batch_dims", 0);
  if (rank < 1 || batch < 0 || batch >= rank || batch > ndim) op_fail(c, "batch_dims is %d", batch);
  const int64_t *s = wn_shape(x), *t = wn_shape(index), length = t[rank - 1];
  if (length < 1 || length > ndim - batch)
    op_fail(c, "tuples of %lld indices into %d axes", (long long)length, ndim - batch);
  int64_t rest = 1, stride = 1, shape[2 * WN_MAX_DIMS];
  int n = 0;
  for (int i = batch + (int)length; i < ndim; ++i) rest *= s[i];
  wn_tensor *flat = NULL;
  for (int i = batch + (int)length; i-- > 0;) {
    wn_tensor *at;
    if (i >= batch) {
      at = from_start(c, op_slice(c, index, rank - 1, i - batch, 1), s[i]);
      at = op_reshape(c, at, rank - 1, t);
    } else {
      if (t[i] != s[i]) op_fail(c, "axis %d of the indices is not that of the data", i);
      at = op_arange(c, WN_I64, s[i], rank - 1, i);
    }
    at = op_zip_number(c, WN_MUL, at, (double)stride);
    flat = flat == NULL ? at : op_zip(c, WN_ADD, flat, at);
    stride *= s[i];
  }
  for (int i = 0; i < rank - 1; ++i) shape[n++] = t[i];
  for (int i = batch + (int)length; i < ndim; ++i) shape[n++] = s[i];
  op_check_rank(c, n);
  wn_tensor *y = op_gather(c, flattened(c, x, rest, stride), flat, 0);
  op_result_typed(c, 0, op_reshape(c, y, n, shape), op_value(c, 0)->type);
}

/* Those elements, or slices of an axis, whose condition holds: it has to be known. */
void op_compress(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n;
  const int64_t *keep = op_ints(c, 1, &n);
  const bool flat = op_attribute(c, "axis") == NULL;
  if (flat) x = op_reshape(c, x, 1, (int64_t[]){value_count(op_value(c, 0))});
  const int axis = flat ? 0 : op_axis(c, op_int(c, "axis", 0), wn_ndim(x));
  double *at = arena_array(c->a, double, n + 1);
  int64_t count = 0;
  for (int i = 0; i < n && i < wn_shape(x)[axis]; ++i)
    if (keep[i] != 0) at[count++] = i;
  op_result(c, 0, op_gather(c, x, op_list(c, WN_I64, count, at), axis));
}

/* values[1] where the index along a new axis is the one given, else values[0] */
void op_one_hot(op_call *c) {
  wn_tensor *index = op_in(c, 0), *values = op_in(c, 2);
  const int ndim = wn_ndim(index) + 1, axis = op_axis(c, op_int(c, "axis", -1), ndim);
  const double depth = op_number(c, 1, 0);
  int64_t shape[WN_MAX_DIMS];
  op_check_rank(c, ndim);
  if (depth < 1 || depth > 1 << 28) op_fail(c, "a depth of %g", depth);
  for (int i = 0, k = 0; i < ndim; ++i) shape[i] = i == axis ? 1 : wn_shape(index)[k++];
  index = from_start(c, op_reshape(c, index, ndim, shape), (int64_t)depth);
  wn_tensor *on = op_zip(c, WN_EQUAL, index, op_arange(c, WN_I64, (int64_t)depth, ndim, axis));
  wn_tensor *off_value = op_reshape(c, op_slice(c, values, 0, 0, 1), 0, NULL),
            *on_value = op_reshape(c, op_slice(c, values, 0, 1, 1), 0, NULL);
  op_result_typed(c, 0, op_where(c, on, on_value, off_value), op_value(c, 2)->type);
}

void op_trilu(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int ndim = wn_ndim(x);
  if (ndim < 2) op_fail(c, "the input has %d axes; 2 at least were expected", ndim);
  const int64_t rows = wn_shape(x)[ndim - 2], columns = wn_shape(x)[ndim - 1];
  double k = op_number(c, 1, 0);
  const double most = (double)(rows + columns);
  k = k > most ? most : k < -most ? -most : k;
  wn_tensor *row = op_zip_number(c, WN_ADD, op_arange(c, WN_I64, rows, ndim, ndim - 2), k),
            *column = op_arange(c, WN_I64, columns, ndim, ndim - 1);
  /* upper: column >= row + k; lower: column <= row + k */
  wn_tensor *zero = op_scalar(c, x, 0);
  op_result(c, 0,
            op_int(c, "upper", 1) != 0 ? op_where(c, op_zip(c, WN_LESS, column, row), zero, x)
                                       : op_where(c, op_zip(c, WN_LESS, row, column), zero, x));
}
