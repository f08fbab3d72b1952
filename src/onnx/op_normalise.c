/* Normalisations and what is like them: softmax, batch, layer, instance and group normalisation, LRN.
 *
 * In: a tensor, scales and biases. Out: a tensor of its shape. Means and variances are two sums, the second of squares
 * of differences from the mean, as ONNX's functions have them. */
#include <math.h>

#include "base/text.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* --- softmax ---------------------------------------------------------------------------------- */

/* x with the axes of the softmax made last: up to opset 12 all from `axis` on are one. */
static wn_tensor *rows(op_call *c, int *axis, bool *flat) {
  wn_tensor *x = op_in(c, 0);
  const int ndim = wn_ndim(x);
  int64_t shape[2] = {1, 1};
  *axis = op_axis(c, op_int(c, "axis", c->opset < 13 ? 1 : -1), ndim);
  *flat = c->opset < 13 && *axis != ndim - 1;
  if (!*flat) return x;
  for (int i = 0; i < ndim; ++i) shape[i >= *axis] *= wn_shape(x)[i];
  *axis = 1;
  return op_reshape(c, x, 2, shape);
}

static void softmax(op_call *c, bool logarithm) {
  int axis;
  bool flat;
  const onnx_value *v = op_value(c, 0);
  wn_tensor *x = rows(c, &axis, &flat);
  wn_tensor *d = op_zip(c, WN_SUB, x, op_reduce(c, WN_MAXIMUM, x, 1, &axis, 1)),
            *e = op_map(c, WN_EXP, d);
  wn_tensor *sum = op_reduce(c, WN_SUM, e, 1, &axis, 1);
  wn_tensor *y = logarithm ? op_zip(c, WN_SUB, d, op_map(c, WN_LOG, sum))
                           : op_zip(c, WN_MUL, e, op_map(c, WN_RECIPROCAL, sum));
  if (flat) y = op_reshape(c, y, v->ndim, v->shape);
  op_result(c, 0, y)->nonnegative = !logarithm;
}
void op_softmax(op_call *c) { softmax(c, false); }
void op_log_softmax(op_call *c) { softmax(c, true); }

/* --- means and variances ---------------------------------------------------------------------- */

/* (x - mean) / sqrt(variance + epsilon) over axes; the mean and 1 / the root are left where they are asked for. */
static wn_tensor *normalised(op_call *c, wn_tensor *x, int n, const int *axes, double epsilon,
                             wn_tensor **mean, wn_tensor **inverse) {
  double count = 1;
  for (int i = 0; i < n; ++i) count *= (double)wn_shape(x)[axes[i]];
  wn_tensor *m = op_zip_number(c, WN_MUL, op_reduce(c, WN_SUM, x, n, axes, 1), 1 / count);
  wn_tensor *d = op_zip(c, WN_SUB, x, m);
  wn_tensor *v = op_zip_number(c, WN_MUL, op_reduce(c, WN_SUM, op_zip(c, WN_MUL, d, d), n, axes, 1),
                               1 / count);
  wn_tensor *r = op_map(c, WN_RECIPROCAL, op_map(c, WN_SQRT, op_zip_number(c, WN_ADD, v, epsilon)));
  if (mean != NULL) *mean = m;
  if (inverse != NULL) *inverse = r;
  return op_zip(c, WN_MUL, d, r);
}

/* y = x * a + b with a = scale / sqrt(variance + epsilon), b = bias - mean * a: both known, where those are. */
void op_batch_normalization(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int ndim = wn_ndim(x);
  if (op_int(c, "training_mode", 0) != 0 || (c->opset >= 14 && (op_wants(c, 1) || op_wants(c, 2))))
    op_fail(c, "training mode is not supported");
  if (c->opset < 9 && op_int(c, "spatial", 1) == 0) op_fail(c, "spatial = 0 is not supported");
  wn_tensor *scale = op_cast(c, op_in(c, 1), wn_tensor_dtype(x)),
            *bias = op_cast(c, op_in(c, 2), wn_tensor_dtype(x)),
            *mean = op_cast(c, op_in(c, 3), wn_tensor_dtype(x)),
            *variance = op_cast(c, op_in(c, 4), wn_tensor_dtype(x));
  wn_tensor *r =
      op_map(c, WN_SQRT, op_zip_number(c, WN_ADD, variance, op_float(c, "epsilon", (double)1e-5f)));
  wn_tensor *a = op_zip(c, WN_DIV, scale, r),
            *b = op_zip(c, WN_SUB, bias, op_zip(c, WN_MUL, mean, a));
  x = op_zip(c, WN_MUL, x, op_channels(c, a, ndim));
  op_result(c, 0, op_zip(c, WN_ADD, x, op_channels(c, b, ndim)));
}

void op_instance_normalization(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int ndim = wn_ndim(x);
  int axes[WN_MAX_DIMS];
  if (ndim < 3) op_fail(c, "%s has no spatial axes", arena_shape(c->a, ndim, wn_shape(x)));
  for (int i = 2; i < ndim; ++i) axes[i - 2] = i;
  wn_tensor *y =
      normalised(c, x, ndim - 2, axes, op_float(c, "epsilon", (double)1e-5f), NULL, NULL);
  y = op_zip(c, WN_MUL, y, op_channels(c, op_in(c, 1), ndim));
  op_result(c, 0, op_zip(c, WN_ADD, y, op_channels(c, op_in(c, 2), ndim)));
}

/* [n][groups][c / groups][...]. Scale and bias are of groups before opset 21, then of channels. */
void op_group_normalization(op_call *c) {
  wn_tensor *x = op_in(c, 0), *factor[2] = {op_in(c, 1), op_in(c, 2)};
  const int ndim = wn_ndim(x);
  const int64_t groups = op_int(c, "num_groups", 0), *s = wn_shape(x);
  int64_t shape[WN_MAX_DIMS], wide[WN_MAX_DIMS];
  int axes[WN_MAX_DIMS];
  if (ndim < 2 || ndim + 1 > WN_MAX_DIMS || groups < 1 || s[1] % groups != 0)
    op_fail(c, "%lld groups do not fit %s", (long long)groups, arena_shape(c->a, ndim, s));
  shape[0] = s[0], shape[1] = groups, shape[2] = s[1] / groups;
  for (int i = 2; i < ndim; ++i) shape[i + 1] = s[i];
  for (int i = 2; i <= ndim; ++i) axes[i - 2] = i;
  wn_tensor *y = normalised(c, op_reshape(c, x, ndim + 1, shape), ndim - 1, axes,
                            op_float(c, "epsilon", (double)1e-5f), NULL, NULL);
  for (int k = 0; k < 2; ++k) {
    const bool by_group = wn_shape(factor[k])[0] == groups && groups != s[1];
    for (int i = 0; i <= ndim; ++i) wide[i] = i == 1 ? groups : i == 2 && !by_group ? shape[2] : 1;
    y = op_zip(c, k == 0 ? WN_MUL : WN_ADD, y, op_reshape(c, factor[k], ndim + 1, wide));
  }
  op_result(c, 0, op_reshape(c, y, ndim, s));
}

void op_layer_normalization(op_call *c) {
  wn_tensor *x = op_in(c, 0), *mean, *inverse;
  const int ndim = wn_ndim(x), first = op_axis(c, op_int(c, "axis", -1), ndim);
  int axes[WN_MAX_DIMS];
  for (int i = first; i < ndim; ++i) axes[i - first] = i;
  wn_tensor *y =
      normalised(c, x, ndim - first, axes, op_float(c, "epsilon", (double)1e-5f), &mean, &inverse);
  y = op_zip(c, WN_MUL, y, op_in(c, 1));
  if (op_has(c, 2)) y = op_zip(c, WN_ADD, y, op_in(c, 2));
  op_result(c, 0, y);
  if (op_wants(c, 1)) op_result(c, 1, mean);
  if (op_wants(c, 2)) op_result(c, 2, inverse);
}

void op_mean_variance_normalization(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  int n, axes[WN_MAX_DIMS] = {0, 2, 3};
  const int64_t *given = op_int_list(c, "axes", &n);
  if (given == NULL) n = 3;
  for (int i = 0; i < n; ++i) axes[i] = op_axis(c, given == NULL ? axes[i] : given[i], wn_ndim(x));
  op_result(c, 0, normalised(c, x, n, axes, 1e-9, NULL, NULL));
}

void op_lp_normalization(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int axis = op_axis(c, op_int(c, "axis", -1), wn_ndim(x));
  const int64_t p = op_int(c, "p", 2);
  if (p != 1 && p != 2) op_fail(c, "p is %lld; 1 and 2 are known", (long long)p);
  wn_tensor *size = p == 1 ? op_map(c, WN_ABS, x) : op_zip(c, WN_MUL, x, x);
  size = op_reduce(c, WN_SUM, size, 1, &axis, 1);
  if (p == 2) size = op_map(c, WN_SQRT, size);
  wn_tensor *none = op_zip(c, WN_EQUAL, size, op_scalar(c, x, 0));
  op_result(c, 0, op_zip(c, WN_DIV, x, op_where(c, none, op_scalar(c, x, 1), size)));
}

/* y = x / (bias + alpha / size * (sum of squares of the channels around))^beta */
void op_lrn(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int ndim = wn_ndim(x);
  const int64_t size = op_int(c, "size", 0);
  const double alpha = op_float(c, "alpha", (double)1e-4f), beta = op_float(c, "beta", 0.75),
               bias = op_float(c, "bias", 1);
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0};
  int axes[WN_MAX_DIMS], back[WN_MAX_DIMS], last = ndim;
  if (size < 1 || ndim < 2) op_fail(c, "size is %lld", (long long)size);
  lo[1] = (size - 1) / 2;
  hi[1] = size - 1 - lo[1];
  for (int i = 0; i < ndim; ++i) axes[i] = i == 0 ? 0 : i + 1;
  axes[ndim - 1] = 1;
  for (int i = 0; i < ndim; ++i) back[axes[i]] = i;
  wn_tensor *squares = op_permute(c, op_ok(c, wn_pad(op_zip(c, WN_MUL, x, x), lo, hi)), axes);
  wn_tensor *sum =
      op_reduce(c, WN_SUM, op_ok(c, wn_window(squares, 1, &size, NULL, NULL)), 1, &last, 0);
  sum = op_permute(c, sum, back);
  wn_tensor *base =
      op_zip_number(c, WN_ADD, op_zip_number(c, WN_MUL, sum, alpha / (double)size), bias);
  wn_tensor *power = op_map(c, WN_EXP, op_zip_number(c, WN_MUL, op_map(c, WN_LOG, base), -beta));
  op_result(c, 0, op_zip(c, WN_MUL, x, power));
}
