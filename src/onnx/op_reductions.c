/* Operators that reduce: sums, means, norms, extrema and where they are, cumulative sums.
 *
 * In: a tensor and axes. Out: one number for all elements along them. */
#include <math.h>

#include "base/text.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* The axes of a node; false: none are named and that means that nothing is reduced. */
static bool axes_of(op_call *c, int ndim, int *axes, int *count) {
  int n = 0;
  const bool given =
      op_has(c, 1) ? value_count(op_value(c, 1)) > 0 : op_int_list(c, "axes", &n) != NULL && n > 0;
  if (!given && op_int(c, "noop_with_empty_axes", 0) != 0) return false;
  *count = op_axes(c, 1, ndim, axes);
  return true;
}

typedef wn_tensor *(*step)(op_call *c, wn_tensor *t);

static void reduce(op_call *c, wn_reduction op, step before, step after) {
  wn_tensor *x = op_in(c, 0);
  int axes[WN_MAX_DIMS], n = 0;
  const bool some = axes_of(c, wn_ndim(x), axes, &n);
  if (before != NULL) x = before(c, x);
  if (some) x = op_reduce(c, op, x, n, axes, op_int(c, "keepdims", 1) != 0);
  op_result(c, 0, after != NULL ? after(c, x) : x);
}

static wn_tensor *square(op_call *c, wn_tensor *t) { return op_zip(c, WN_MUL, t, t); }
static wn_tensor *absolute(op_call *c, wn_tensor *t) { return op_map(c, WN_ABS, t); }
static wn_tensor *logarithm(op_call *c, wn_tensor *t) {
  const wn_dtype dtype = wn_tensor_dtype(t);
  return op_cast(c, op_map(c, WN_LOG, dtype_is_float(dtype) ? t : op_cast(c, t, WN_F64)), dtype);
}
static wn_tensor *root(op_call *c, wn_tensor *t) {
  const wn_dtype dtype = wn_tensor_dtype(t);
  return op_cast(c, op_map(c, WN_SQRT, dtype_is_float(dtype) ? t : op_cast(c, t, WN_F64)), dtype);
}
void op_reduce_sum(op_call *c) { reduce(c, WN_SUM, NULL, NULL); }
void op_reduce_prod(op_call *c) { reduce(c, WN_PRODUCT, NULL, NULL); }
void op_reduce_l1(op_call *c) { reduce(c, WN_SUM, absolute, NULL); }
void op_reduce_l2(op_call *c) { reduce(c, WN_SUM, square, root); }
void op_reduce_sum_square(op_call *c) { reduce(c, WN_SUM, square, NULL); }
void op_reduce_log_sum(op_call *c) { reduce(c, WN_SUM, NULL, logarithm); }

/* bool is ordered as 0 and 1 */
static wn_tensor *as_number(op_call *c, wn_tensor *t) {
  return wn_tensor_dtype(t) == WN_BOOL ? op_cast(c, t, WN_I32) : t;
}
static void extremum(op_call *c, wn_reduction op) {
  const bool truth = op_value(c, 0)->dtype == WN_BOOL;
  wn_tensor *x = as_number(c, op_in(c, 0));
  int axes[WN_MAX_DIMS], n = 0;
  if (axes_of(c, wn_ndim(x), axes, &n))
    x = op_reduce(c, op, x, n, axes, op_int(c, "keepdims", 1) != 0);
  if (truth) x = op_map(c, WN_NOT, op_zip(c, WN_EQUAL, x, op_scalar(c, x, 0)));
  op_result(c, 0, x);
}
void op_reduce_max(op_call *c) { extremum(c, WN_MAXIMUM); }
void op_reduce_min(op_call *c) { extremum(c, WN_MINIMUM); }

static double extent_of(const wn_tensor *t, int n, const int *axes) {
  double count = 1;
  for (int i = 0; i < n; ++i) count *= (double)wn_shape(t)[axes[i]];
  return count;
}

static wn_tensor *mean(op_call *c, wn_tensor *x, int n, const int *axes, int keep) {
  const double count = extent_of(x, n, axes);
  wn_tensor *sum = op_reduce(c, WN_SUM, x, n, axes, keep);
  return dtype_is_float(wn_tensor_dtype(x)) ? op_zip_number(c, WN_MUL, sum, 1 / count)
                                            : op_zip_number(c, WN_DIV, sum, count);
}

void op_reduce_mean(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int axes[WN_MAX_DIMS], n = 0;
  if (axes_of(c, wn_ndim(x), axes, &n)) x = mean(c, x, n, axes, op_int(c, "keepdims", 1) != 0);
  op_result(c, 0, x)->nonnegative = op_value(c, 0)->nonnegative;
}

/* The largest is taken out first, so that nothing overflows; where it is infinite there is nothing to take out. */
void op_reduce_log_sum_exp(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int axes[WN_MAX_DIMS], n = 0;
  if (axes_of(c, wn_ndim(x), axes, &n)) {
    const int keep = op_int(c, "keepdims", 1) != 0;
    wn_tensor *most = op_reduce(c, WN_MAXIMUM, x, n, axes, 1), *zero = op_scalar(c, x, 0);
    wn_tensor *finite = op_zip(c, WN_LESS, op_map(c, WN_ABS, most), op_scalar(c, x, INFINITY));
    most = op_where(c, finite, most, zero);
    wn_tensor *sum =
        op_reduce(c, WN_SUM, op_map(c, WN_EXP, op_zip(c, WN_SUB, x, most)), n, axes, 1);
    wn_tensor *y = op_zip(c, WN_ADD, op_map(c, WN_LOG, sum), most);
    x = keep ? y : op_reduce(c, WN_SUM, y, n, axes, 0);
  }
  op_result(c, 0, x);
}

/* --- where ------------------------------------------------------------------------------------ */

/* The first place, or the last, that has the extremum: the least of the places where an element is equal to it. at:
 * numbers of the places along the axis. */
static wn_tensor *place(op_call *c, wn_reduction op, wn_tensor *x, wn_tensor *at, int axis,
                        bool last, int keep) {
  wn_tensor *here = op_zip(c, WN_EQUAL, x, op_reduce(c, op, x, 1, &axis, 1));
  if (dtype_is_float(wn_tensor_dtype(x)))
    here = op_zip(c, WN_OR, here,
                  op_map(c, WN_NOT, op_zip(c, WN_EQUAL, x, x))); /* NaN is the extremum */
  const double none = last ? -1 : (double)wn_shape(x)[axis];
  wn_tensor *which = op_where(c, here, at, op_scalar(c, at, none));
  return op_reduce(c, last ? WN_MAXIMUM : WN_MINIMUM, which, 1, &axis, keep);
}

static void arg_extremum(op_call *c, wn_reduction op) {
  wn_tensor *x = as_number(c, op_in(c, 0));
  const int ndim = wn_ndim(x), axis = op_axis(c, op_int(c, "axis", 0), ndim);
  const int64_t n = wn_shape(x)[axis];
  if (n == 0) op_fail(c, "axis %d has no elements", axis);
  wn_tensor *y = place(c, op, x, op_arange(c, WN_I32, n, ndim, axis), axis,
                       op_int(c, "select_last_index", 0) != 0, op_int(c, "keepdims", 1) != 0);
  op_result_typed(c, 0, op_cast(c, y, WN_I64), ONNX_INT64);
}
void op_arg_max(op_call *c) { arg_extremum(c, WN_MAXIMUM); }
void op_arg_min(op_call *c) { arg_extremum(c, WN_MINIMUM); }

/* 1 at the first largest element of the axis, or before opset 13 of all axes from it on; else 0 */
void op_hardmax(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int ndim = wn_ndim(x), axis = op_axis(c, op_int(c, "axis", c->opset < 13 ? 1 : -1), ndim);
  int64_t flat[2] = {1, 1}, shape[WN_MAX_DIMS];
  memcpy(shape, wn_shape(x), sizeof *shape * (size_t)ndim);
  const bool old = c->opset < 13;
  for (int i = 0; i < ndim; ++i) flat[i >= axis] *= shape[i];
  if (old) x = op_reshape(c, x, 2, flat);
  const int along = old ? 1 : axis;
  wn_tensor *at = op_arange(c, WN_I32, wn_shape(x)[along], wn_ndim(x), along),
            *first = place(c, WN_MAXIMUM, x, at, along, false, 1);
  wn_tensor *y = op_cast(c, op_zip(c, WN_EQUAL, at, first), wn_tensor_dtype(x));
  op_result(c, 0, op_reshape(c, y, ndim, shape));
}

/* --- sums so far ------------------------------------------------------------------------------ */

/* Windows over all elements before one, zeros in front. */
void op_cum_sum(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int ndim = wn_ndim(x), axis = op_axis(c, (int64_t)op_number(c, 1, 0), ndim);
  const bool reverse = op_int(c, "reverse", 0) != 0, exclusive = op_int(c, "exclusive", 0) != 0;
  const int64_t n = wn_shape(x)[axis];
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0};
  int axes[WN_MAX_DIMS], back[WN_MAX_DIMS], last = ndim;
  if (n == 0) {
    op_result(c, 0, x);
    return;
  }
  if (reverse) x = op_ok(c, wn_flip(x, &axis, 1));
  lo[axis] = n - 1 + exclusive;
  x = op_ok(c, wn_pad(x, lo, hi));
  if (exclusive) x = op_slice(c, x, axis, 0, 2 * n - 1);
  for (int i = 0, at = 0; i < ndim; ++i)
    if (i != axis) axes[at++] = i;
  axes[ndim - 1] = axis;
  for (int i = 0; i < ndim; ++i) back[axes[i]] = i;
  x = op_ok(c, wn_window(op_permute(c, x, axes), 1, &n, NULL, NULL));
  x = op_permute(c, op_reduce(c, WN_SUM, x, 1, &last, 0), back);
  if (reverse) x = op_ok(c, wn_flip(x, &axis, 1));
  op_result(c, 0, x);
}
