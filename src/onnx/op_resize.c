/* Resize, and Upsample of older opsets: nearest and linear, an axis at a time.
 *
 * In: a tensor, and scales or sizes that are known. Out: for each position of an axis the elements of the input that it
 * is made of, which are numbers when a graph is built: an expansion where an axis grows by a whole number with nearest,
 * else elements taken by number, twice with weights for linear (which is separable: Resize's definition is a product of
 * one-dimensional filters). */
#include <math.h>

#include "base/text.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

typedef struct resize {
  bool linear, exclude;
  const char *coordinates, *nearest;
  double extrapolation, scale[WN_MAX_DIMS];
  int64_t out[WN_MAX_DIMS];
  const double *roi;             /* NULL: none */
  int nroi, at_roi[WN_MAX_DIMS]; /* where the axis is in roi, -1: it is not */
} resize;

/* Where position `o` of the result is in the input (coordinate_transformation_mode). The length of the result is what
 * the scale makes of the extent, as ONNX's reference has it, of which `out` is the whole part: rounded to float, as the
 * scale is, so that 4/3 of 3 is 4. */
static double position(op_call *c, const resize *r, int axis, int64_t n, int64_t o) {
  const double x = (double)o, s = r->scale[axis], in = (double)n, length = (double)(float)(s * in);
  const char *m = r->coordinates;
  if (strcmp(m, "asymmetric") == 0) return x / s;
  if (strcmp(m, "half_pixel") == 0) return (x + 0.5) / s - 0.5;
  if (strcmp(m, "pytorch_half_pixel") == 0) return length > 1 ? (x + 0.5) / s - 0.5 : 0;
  if (strcmp(m, "align_corners") == 0) return length > 1 ? x * (in - 1) / (length - 1) : 0;
  if (strcmp(m, "tf_half_pixel_for_nn") == 0) return (x + 0.5) / s;
  if (strcmp(m, "half_pixel_symmetric") == 0) {
    const double adjustment = (double)r->out[axis] / length;
    return in / 2 * (1 - adjustment) + (x + 0.5) / s - 0.5;
  }
  if (strcmp(m, "tf_crop_and_resize") == 0) {
    const int k = r->at_roi[axis];
    const double begin = k < 0 ? 0 : r->roi[k], end = k < 0 ? 1 : r->roi[r->nroi / 2 + k];
    return length > 1 ? begin * (in - 1) + x * (end - begin) * (in - 1) / (length - 1)
                      : 0.5 * (begin + end) * (in - 1);
  }
  op_fail(c, "coordinate_transformation_mode \"%s\" is not supported", m);
}

static int64_t nearest_of(op_call *c, const resize *r, double x) {
  const char *m = r->nearest;
  if (strcmp(m, "round_prefer_floor") == 0) return (int64_t)ceil(x - 0.5);
  if (strcmp(m, "round_prefer_ceil") == 0) return (int64_t)floor(x + 0.5);
  if (strcmp(m, "floor") == 0) return (int64_t)floor(x);
  if (strcmp(m, "ceil") == 0) return (int64_t)ceil(x);
  op_fail(c, "nearest_mode \"%s\" is not supported", m);
}

static double within(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

/* Elements at[0 .. n) of one axis: an expansion or a slice where they are evenly spaced. */
static wn_tensor *elements(op_call *c, wn_tensor *x, int axis, int64_t n, const double *at) {
  const int ndim = wn_ndim(x);
  const int64_t extent = wn_shape(x)[axis], times = n / extent;
  bool grows = n % extent == 0, part = true;
  for (int64_t i = 0; i < n; ++i) {
    grows = grows && at[i] == (double)(i / times);
    part = part && at[i] == at[0] + (double)i;
  }
  if (part) return op_slice(c, x, axis, (int64_t)at[0], n);
  if (!grows || ndim == WN_MAX_DIMS) return op_gather(c, x, op_list(c, WN_I64, n, at), axis);
  int64_t shape[WN_MAX_DIMS + 1], flat[WN_MAX_DIMS];
  for (int i = 0; i < ndim; ++i) shape[i <= axis ? i : i + 1] = flat[i] = wn_shape(x)[i];
  shape[axis + 1] = 1;
  x = op_reshape(c, x, ndim + 1, shape);
  shape[axis + 1] = times;
  flat[axis] = n;
  return op_reshape(c, op_expand(c, x, ndim + 1, shape), ndim, flat);
}

static wn_tensor *along(op_call *c, wn_tensor *t, int ndim, int axis) {
  int64_t shape[WN_MAX_DIMS];
  for (int i = 0; i < ndim; ++i) shape[i] = i == axis ? wn_shape(t)[0] : 1;
  return op_reshape(c, t, ndim, shape);
}

static wn_tensor *resize_axis(op_call *c, const resize *r, wn_tensor *x, int axis) {
  const int64_t in = wn_shape(x)[axis], n = r->out[axis];
  double *lo = arena_array(c->a, double, n), *hi = arena_array(c->a, double, n),
         *share = arena_array(c->a, double, n), *rest = arena_array(c->a, double, n),
         *outside = arena_array(c->a, double, n);
  const double last = (double)(in - 1);
  bool mixed = false, any_outside = false;
  for (int64_t o = 0; o < n; ++o) {
    const double at = position(c, r, axis, in, o);
    outside[o] = strcmp(r->coordinates, "tf_crop_and_resize") == 0 && (at < 0 || at > last);
    any_outside = any_outside || outside[o] != 0;
    lo[o] = within(r->linear ? floor(at) : (double)nearest_of(c, r, at), 0, last);
    hi[o] = within(floor(at) + 1, 0, last);
    share[o] = r->linear && lo[o] != hi[o] ? at - floor(at) : 0;
    rest[o] = 1 - share[o];
    mixed = mixed || share[o] != 0;
  }
  const int ndim = wn_ndim(x);
  wn_tensor *y = elements(c, x, axis, n, lo);
  if (mixed) {
    wn_tensor *a = along(c, op_list(c, wn_tensor_dtype(x), n, rest), ndim, axis);
    wn_tensor *b = along(c, op_list(c, wn_tensor_dtype(x), n, share), ndim, axis);
    y = op_zip(c, WN_ADD, op_zip(c, WN_MUL, y, a),
               op_zip(c, WN_MUL, elements(c, x, axis, n, hi), b));
  }
  if (!any_outside) return y;
  wn_tensor *off = along(c, op_list(c, WN_BOOL, n, outside), ndim, axis);
  return op_where(c, off, op_scalar(c, y, r->extrapolation), y);
}

/* --- sizes ------------------------------------------------------------------------------------ */

/* The axes that scales, sizes and roi speak of. */
static int listed_axes(op_call *c, int ndim, int *axes) {
  int n;
  const int64_t *list = op_int_list(c, "axes", &n);
  if (list == NULL) n = ndim;
  for (int i = 0; i < n; ++i) axes[i] = list == NULL ? i : op_axis(c, list[i], ndim);
  return n;
}

static void set_scales(op_call *c, resize *r, const wn_tensor *x, int n, const int *axes, int count,
                       const double *scale) {
  if (count != n) op_fail(c, "there are %d scales for %d axes", count, n);
  for (int i = 0; i < n; ++i) {
    const double out = floor((double)wn_shape(x)[axes[i]] * scale[i]);
    if (!(scale[i] > 0) || out < 1 || out > 0x1p31)
      op_fail(c, "axis %d has a scale of %g", axes[i], scale[i]);
    r->scale[axes[i]] = scale[i];
    r->out[axes[i]] = (int64_t)out;
  }
}

/* Up to opset 18 sizes are what they are; with a policy they are bounds, and the scale is one for all axes. */
static void set_sizes(op_call *c, resize *r, const wn_tensor *x, int n, const int *axes, int count,
                      const int64_t *size) {
  const char *policy = op_text(c, "keep_aspect_ratio_policy", "stretch");
  double one = 0;
  if (count != n) op_fail(c, "there are %d sizes for %d axes", count, n);
  const bool larger = strcmp(policy, "not_smaller") == 0,
             smaller = strcmp(policy, "not_larger") == 0;
  if (!larger && !smaller && strcmp(policy, "stretch") != 0)
    op_fail(c, "keep_aspect_ratio_policy \"%s\" is not known", policy);
  for (int i = 0; i < n; ++i) {
    const double s = (double)size[i] / (double)wn_shape(x)[axes[i]];
    if (size[i] < 1) op_fail(c, "axis %d would have %lld elements", axes[i], (long long)size[i]);
    one = i == 0 ? s : larger ? fmax(one, s) : fmin(one, s);
  }
  for (int i = 0; i < n; ++i) {
    const double extent = (double)wn_shape(x)[axes[i]];
    r->out[axes[i]] = larger || smaller ? (int64_t)floor(one * extent + 0.5) : size[i];
    r->scale[axes[i]] = larger || smaller ? one : (double)size[i] / extent;
  }
}

static void read_sizes(op_call *c, resize *r, const wn_tensor *x) {
  int axes[WN_MAX_DIMS], count;
  const int ndim = wn_ndim(x), n = listed_axes(c, ndim, axes);
  const bool upsample = strcmp(c->node->op, "Upsample") == 0;
  const int scales = c->opset < 11 ? 1 : 2, sizes = 3;
  for (int i = 0; i < ndim; ++i) r->scale[i] = 1, r->out[i] = wn_shape(x)[i], r->at_roi[i] = -1;
  if (upsample && c->opset < 9) {
    const float *list = op_float_list(c, "scales", &count);
    double *wide = arena_array(c->a, double, count + 1);
    for (int i = 0; i < count; ++i) wide[i] = (double)list[i];
    set_scales(c, r, x, n, axes, count, wide);
  } else if (op_has(c, sizes) && value_count(op_value(c, sizes)) > 0) {
    const int64_t *list = op_ints(c, sizes, &count);
    set_sizes(c, r, x, n, axes, count, list);
  } else if (op_has(c, scales) && value_count(op_value(c, scales)) > 0) {
    const double *list = op_numbers(c, scales, &count);
    set_scales(c, r, x, n, axes, count, list);
  } else {
    op_fail(c, "there are neither scales nor sizes");
  }
  if (strcmp(r->coordinates, "tf_crop_and_resize") != 0) return;
  if (!op_has(c, 1)) op_fail(c, "tf_crop_and_resize needs a roi");
  r->roi = op_numbers(c, 1, &r->nroi);
  if (r->nroi != 2 * n) op_fail(c, "the roi has %d numbers; %d were expected", r->nroi, 2 * n);
  for (int i = 0; i < n; ++i) r->at_roi[axes[i]] = i;
}

void op_resize(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const bool old = c->opset < 11;
  const char *mode = op_text(c, "mode", "nearest");
  resize r = {.linear = strcmp(mode, "linear") == 0 || strcmp(mode, "bilinear") == 0,
              .coordinates =
                  op_text(c, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"),
              .nearest = op_text(c, "nearest_mode", old ? "floor" : "round_prefer_floor"),
              .extrapolation = op_float(c, "extrapolation_value", 0)};
  if (!r.linear && strcmp(mode, "nearest") != 0)
    op_fail(c, "mode \"%s\" is not supported; nearest and linear are", mode);
  if (op_int(c, "antialias", 0) != 0) op_fail(c, "antialias is not supported");
  if (!dtype_is_float(wn_tensor_dtype(x)) && r.linear)
    op_fail(c, "linear of %s is not supported", wn_dtype_name(wn_tensor_dtype(x)));
  for (int i = 0; i < wn_ndim(x); ++i)
    if (wn_shape(x)[i] == 0) op_fail(c, "axis %d has no elements", i);
  read_sizes(c, &r, x);
  for (int i = 0; i < wn_ndim(x); ++i)
    if (r.scale[i] != 1 || r.out[i] != wn_shape(x)[i] || r.at_roi[i] >= 0)
      x = resize_axis(c, &r, x, i);
  op_result(c, 0, x)->nonnegative = op_value(c, 0)->nonnegative;
}
