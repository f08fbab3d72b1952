/* Operators with windows: convolutions, transposed convolutions, poolings.
 *
 * In: [N][C][spatial...]. Out: [N][K or C][positions...]. A transposed convolution of stride s is one convolution for
 * each of the s phases of its result (Dumoulin and Visin, "A guide to convolution arithmetic"), so that what is known
 * of convolutions holds for it: no product with an inserted zero is computed. */
#include <math.h>

#include "base/text.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* Of the spatial axes of a node. */
typedef struct windows {
  int n; /* axes */
  int64_t size[WN_MAX_SPATIAL], stride[WN_MAX_SPATIAL], dilation[WN_MAX_SPATIAL],
      lo[WN_MAX_SPATIAL], hi[WN_MAX_SPATIAL];
  int64_t out[WN_MAX_SPATIAL]; /* positions */
} windows;

static int64_t reach_of(const windows *w, int i) { return (w->size[i] - 1) * w->dilation[i] + 1; }

static void check_window(op_call *c, const windows *w, int i) {
  const int64_t most = INT64_C(1) << 30;
  if (w->size[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || w->size[i] > most ||
      w->stride[i] > most || w->dilation[i] > most || w->size[i] * w->dilation[i] > most ||
      w->lo[i] < -most || w->lo[i] > most || w->hi[i] < -most || w->hi[i] > most)
    op_fail(c, "axis %d: a window of %lld with stride %lld, dilation %lld and padding %lld, %lld",
            i, (long long)w->size[i], (long long)w->stride[i], (long long)w->dilation[i],
            (long long)w->lo[i], (long long)w->hi[i]);
}

/* Padding that auto_pad asks for, so that there are ceil(extent / stride) positions. */
static void pad_same(windows *w, int i, int64_t extent, bool upper) {
  const int64_t out = (extent + w->stride[i] - 1) / w->stride[i];
  int64_t all = (out - 1) * w->stride[i] + reach_of(w, i) - extent;
  all = all < 0 ? 0 : all;
  w->lo[i] = upper ? all / 2 : all - all / 2;
  w->hi[i] = all - w->lo[i];
}

/* Attributes of a convolution or pool over x; `size` from a filter, else from kernel_shape. */
static windows read_windows(op_call *c, const wn_tensor *x, const int64_t *size) {
  windows w = {.n = wn_ndim(x) - 2};
  int64_t pads[2 * WN_MAX_SPATIAL], none = -1;
  if (w.n < 1 || w.n > WN_MAX_SPATIAL)
    op_fail(c, "%s has no spatial axes, or more than %d",
            arena_shape(c->a, wn_ndim(x), wn_shape(x)), WN_MAX_SPATIAL);
  op_spatial(c, "kernel_shape", w.n, none, w.size);
  for (int i = 0; i < w.n; ++i) {
    if (size == NULL && w.size[i] == none) op_fail(c, "attribute \"kernel_shape\" is missing");
    if (size != NULL && w.size[i] != none && w.size[i] != size[i])
      op_fail(c, "\"kernel_shape\" is not that of the filter, %s", arena_shape(c->a, w.n, size));
    if (size != NULL) w.size[i] = size[i];
  }
  op_spatial(c, "strides", w.n, 1, w.stride);
  op_spatial(c, "dilations", w.n, 1, w.dilation);
  op_spatial(c, "pads", 2 * w.n, 0, pads);
  const char *how = op_text(c, "auto_pad", "NOTSET");
  const bool same = strcmp(how, "SAME_UPPER") == 0 || strcmp(how, "SAME_LOWER") == 0;
  const bool valid = strcmp(how, "VALID") == 0;
  if (!same && !valid && strcmp(how, "NOTSET") != 0)
    op_fail(c, "auto_pad \"%s\" is not known", how);
  for (int i = 0; i < w.n; ++i) {
    w.lo[i] = valid ? 0 : pads[i];
    w.hi[i] = valid ? 0 : pads[w.n + i];
    check_window(c, &w, i);
    if (same) pad_same(&w, i, wn_shape(x)[2 + i], how[5] == 'U');
  }
  return w;
}

/* --- convolution ------------------------------------------------------------------------------ */

static wn_tensor *with_bias(op_call *c, wn_tensor *y, int input) {
  if (!op_has(c, input)) return y;
  return op_zip(c, WN_ADD, y, op_channels(c, op_in(c, input), wn_ndim(y)));
}

/* Negative padding cuts first. */
static wn_tensor *convolve(op_call *c, wn_tensor *x, wn_tensor *w, windows p, int64_t groups) {
  wn_conv_params params = WN_CONV_PARAMS(.groups = groups);
  for (int i = 0; i < p.n; ++i) {
    const int64_t front = p.lo[i] < 0 ? -p.lo[i] : 0, back = p.hi[i] < 0 ? -p.hi[i] : 0,
                  n = wn_shape(x)[2 + i];
    if (front + back >= n && front + back > 0) op_fail(c, "padding cuts all of axis %d", 2 + i);
    if (front + back > 0) x = op_slice(c, x, 2 + i, front, n - front - back);
    params.stride[i] = p.stride[i];
    params.dilation[i] = p.dilation[i];
    params.pad_lo[i] = p.lo[i] > 0 ? p.lo[i] : 0;
    params.pad_hi[i] = p.hi[i] > 0 ? p.hi[i] : 0;
  }
  return op_ok(c, wn_conv(x, w, &params));
}

void op_conv(op_call *c) {
  wn_tensor *x = op_in(c, 0), *w = op_in(c, 1);
  if (wn_ndim(w) != wn_ndim(x))
    op_fail(c, "the filter %s has not as many axes as the input %s",
            arena_shape(c->a, wn_ndim(w), wn_shape(w)), arena_shape(c->a, wn_ndim(x), wn_shape(x)));
  const windows p = read_windows(c, x, wn_shape(w) + 2);
  const int64_t groups = op_int(c, "group", 1);
  if (groups < 1) op_fail(c, "group is %lld", (long long)groups);
  op_result(c, 0, with_bias(c, convolve(c, x, w, p, groups), 2));
}

/* --- transposed convolution ------------------------------------------------------------------- */

typedef struct transposed {
  windows p;
  int64_t n, c, k, groups; /* k: channels of the result */
  int64_t first[WN_MAX_SPATIAL],
      turns[WN_MAX_SPATIAL]; /* of positions of a phase: the first, and how many */
} transposed;

/* Padding of a result whose extents are given, or of auto_pad: what is more than wanted goes to both ends. */
static void shape_transposed(op_call *c, const wn_tensor *x, transposed *t) {
  windows *p = &t->p;
  int64_t more[WN_MAX_SPATIAL];
  int n;
  op_spatial(c, "output_padding", p->n, 0, more);
  const int64_t *to = op_int_list(c, "output_shape", &n);
  const char *how = op_text(c, "auto_pad", "NOTSET");
  const bool same = strncmp(how, "SAME_", 5) == 0;
  if (to != NULL && n != p->n && n != p->n + 2)
    op_fail(c, "\"output_shape\" has %d extents; %d were expected", n, p->n);
  for (int i = 0; i < p->n; ++i) {
    const int64_t full = (wn_shape(x)[2 + i] - 1) * p->stride[i] + reach_of(p, i) + more[i];
    if (to != NULL || same) {
      p->out[i] = to != NULL ? to[n - p->n + i] : wn_shape(x)[2 + i] * p->stride[i];
      const int64_t all = full - p->out[i], half = all / 2;
      p->lo[i] = all < 0                          ? 0
                 : strcmp(how, "SAME_UPPER") == 0 ? half
                                                  : all - half; /* too few: zeros behind */
    } else {
      p->out[i] = full - p->lo[i] - p->hi[i];
    }
    if (p->out[i] < 1)
      op_fail(c, "axis %d of the result would have %lld elements", 2 + i, (long long)p->out[i]);
    t->first[i] =
        p->lo[i] >= 0 ? p->lo[i] / p->stride[i] : -((-p->lo[i] + p->stride[i] - 1) / p->stride[i]);
    const int64_t last = p->lo[i] + p->out[i] - 1;
    t->turns[i] = (last >= 0 ? last / p->stride[i] : -((-last + p->stride[i] - 1) / p->stride[i])) -
                  t->first[i] + 1;
  }
}

/* [C][K / groups][taps...] -> [K][C / groups][taps...], taps backwards */
static wn_tensor *turned_filter(op_call *c, wn_tensor *w, const transposed *t) {
  int64_t shape[WN_MAX_DIMS];
  int axes[WN_MAX_DIMS];
  const int n = t->p.n;
  shape[0] = t->groups, shape[1] = t->c / t->groups, shape[2] = t->k / t->groups;
  for (int i = 0; i < n; ++i) shape[3 + i] = t->p.size[i];
  w = op_reshape(c, w, 3 + n, shape);
  axes[0] = 0, axes[1] = 2, axes[2] = 1;
  for (int i = 0; i < n; ++i) axes[3 + i] = 3 + i;
  w = op_permute(c, w, axes);
  shape[1] = t->k, shape[2] = t->c / t->groups;
  w = op_reshape(c, w, 2 + n, shape + 1);
  for (int i = 0; i < n; ++i) axes[i] = 2 + i;
  return op_ok(c, wn_flip(w, axes, n));
}

/* The convolution of phases whose filters have taps[] taps, at the positions first .. first + turns of a phase. */
static wn_tensor *phase(op_call *c, wn_tensor *x, wn_tensor *w, const transposed *t,
                        const int64_t *taps) {
  windows p = {.n = t->p.n};
  for (int i = 0; i < p.n; ++i) {
    p.stride[i] = p.dilation[i] = 1;
    p.lo[i] = taps[i] - 1 - t->first[i];
    p.hi[i] = t->turns[i] - wn_shape(x)[2 + i] - p.lo[i] + taps[i] - 1;
  }
  return convolve(c, x, w, p, t->groups);
}

/* [N][K][turns, phases of each axis] as it lies -> the elements that the result has. */
static wn_tensor *interleaved(op_call *c, wn_tensor *y, const transposed *t) {
  int64_t shape[WN_MAX_DIMS] = {t->n, t->k};
  for (int i = 0; i < t->p.n; ++i) shape[2 + i] = t->turns[i] * t->p.stride[i];
  y = op_reshape(c, y, 2 + t->p.n, shape);
  for (int i = 0; i < t->p.n; ++i)
    y = op_slice(c, y, 2 + i, t->p.lo[i] - t->first[i] * t->p.stride[i], t->p.out[i]);
  return y;
}

/* Phases of equal length are output channels of one convolution: [K][C][J s...] -> [K s...][C][J...]. */
static wn_tensor *joint_phases(op_call *c, wn_tensor *x, wn_tensor *w, const transposed *t) {
  const int n = t->p.n;
  int64_t shape[WN_MAX_DIMS] = {t->k, t->c / t->groups}, taps[WN_MAX_SPATIAL] = {0}, wide = t->k;
  int axes[WN_MAX_DIMS], at = 0;
  for (int i = 0; i < n; ++i) {
    taps[i] = t->p.size[i] / t->p.stride[i];
    shape[2 + 2 * i] = taps[i];
    shape[3 + 2 * i] = t->p.stride[i];
    wide *= t->p.stride[i];
  }
  w = op_reshape(c, w, 2 + 2 * n, shape);
  for (int i = 0; i < n; ++i) axes[i] = 3 + 2 * i;
  w = op_ok(c, wn_flip(w, axes, n)); /* taps are backwards, and so are their phases */
  axes[at++] = 0;
  for (int i = 0; i < n; ++i) axes[at++] = 3 + 2 * i;
  axes[at++] = 1;
  for (int i = 0; i < n; ++i) axes[at++] = 2 + 2 * i;
  w = op_permute(c, w, axes);
  shape[0] = wide;
  for (int i = 0; i < n; ++i) shape[2 + i] = taps[i];
  wn_tensor *y = phase(c, x, op_reshape(c, w, 2 + n, shape), t, taps);
  at = 0;
  shape[at++] = t->n, shape[at++] = t->k;
  for (int i = 0; i < n; ++i) shape[at++] = t->p.stride[i];
  for (int i = 0; i < n; ++i) shape[at++] = t->turns[i];
  y = op_reshape(c, y, at, shape);
  axes[0] = 0, axes[1] = 1;
  for (int i = 0; i < n; ++i) axes[2 + 2 * i] = 2 + n + i, axes[3 + 2 * i] = 2 + i;
  return interleaved(c, op_permute(c, y, axes), t);
}

/* Phase number `which` of all of them: its filter is every stride-th tap. */
static wn_tensor *one_phase(op_call *c, wn_tensor *x, wn_tensor *w, const transposed *t,
                            int64_t which) {
  int64_t taps[WN_MAX_SPATIAL] = {0}, steps[WN_MAX_DIMS] = {1, 1},
          shape[WN_MAX_DIMS] = {t->n, t->k};
  for (int i = t->p.n; i-- > 0;) {
    const int64_t s = t->p.stride[i], r = which % s, size = t->p.size[i];
    which /= s;
    taps[i] = r < size ? (size - r + s - 1) / s : 0;
    steps[2 + i] = s;
    shape[2 + 2 * i] = t->turns[i];
    shape[3 + 2 * i] = 1;
    if (taps[i] == 0) {
      int64_t ones[WN_MAX_DIMS];
      for (int k = 0; k < 2 + 2 * t->p.n; ++k) ones[k] = 1;
      for (int k = 0; k < t->p.n; ++k) shape[2 + 2 * k] = t->turns[k], shape[3 + 2 * k] = 1;
      wn_tensor *zero = op_reshape(c, op_scalar(c, x, 0), 2 + 2 * t->p.n, ones);
      return op_expand(c, zero, 2 + 2 * t->p.n, shape);
    }
    /* backwards, tap r + s j is at size - 1 - r - s j */
    const int64_t first = size - 1 - r - s * (taps[i] - 1);
    w = op_slice(c, w, 2 + i, first, (taps[i] - 1) * s + 1);
  }
  w = op_ok(c, wn_stride(w, steps));
  return op_reshape(c, phase(c, x, w, t, taps), 2 + 2 * t->p.n, shape);
}

static wn_tensor *single_phases(op_call *c, wn_tensor *x, wn_tensor *w, const transposed *t) {
  int64_t count = 1;
  for (int i = 0; i < t->p.n; ++i) count *= t->p.stride[i];
  wn_tensor **part = arena_array(c->a, wn_tensor *, count);
  for (int64_t i = 0; i < count; ++i) part[i] = one_phase(c, x, w, t, i);
  for (int i = t->p.n; i-- > 0;) {
    const int64_t s = t->p.stride[i];
    count /= s;
    for (int64_t k = 0; k < count; ++k) part[k] = op_concat(c, part + k * s, (int)s, 3 + 2 * i);
  }
  return interleaved(c, part[0], t);
}

/* Zeros between the elements of x: for filters that are dilated as well. */
static wn_tensor *with_zeros(op_call *c, wn_tensor *x, wn_tensor *w, const transposed *t) {
  windows p = t->p;
  for (int i = 0; i < p.n; ++i) {
    const int64_t n = wn_shape(x)[2 + i], s = p.stride[i], reach = reach_of(&p, i) - 1;
    int64_t shape[WN_MAX_DIMS + 1], lo[WN_MAX_DIMS + 1] = {0}, hi[WN_MAX_DIMS + 1] = {0};
    const int ndim = wn_ndim(x);
    for (int k = 0; k < ndim; ++k) shape[k < 3 + i ? k : k + 1] = wn_shape(x)[k];
    shape[3 + i] = 1;
    hi[3 + i] = s - 1;
    x = op_ok(c, wn_pad(op_reshape(c, x, ndim + 1, shape), lo, hi));
    for (int k = 3 + i; k < ndim; ++k) shape[k] = shape[k + 1];
    shape[2 + i] = n * s;
    x = op_slice(c, op_reshape(c, x, ndim, shape), 2 + i, 0, (n - 1) * s + 1);
    p.stride[i] = 1;
    p.lo[i] = reach - t->p.lo[i];
    p.hi[i] = p.out[i] - ((n - 1) * s + 1) - p.lo[i] + reach;
  }
  return convolve(c, x, w, p, t->groups);
}

void op_conv_transpose(op_call *c) {
  wn_tensor *x = op_in(c, 0), *w = op_in(c, 1);
  transposed t = {.groups = op_int(c, "group", 1)};
  if (wn_ndim(w) != wn_ndim(x) || wn_ndim(x) < 3 || t.groups < 1 ||
      wn_shape(w)[0] != wn_shape(x)[1] || wn_shape(x)[1] % t.groups != 0)
    op_fail(c, "a filter %s does not fit %s in %lld groups",
            arena_shape(c->a, wn_ndim(w), wn_shape(w)), arena_shape(c->a, wn_ndim(x), wn_shape(x)),
            (long long)t.groups);
  t.p = read_windows(c, x, wn_shape(w) + 2);
  t.n = wn_shape(x)[0], t.c = wn_shape(x)[1], t.k = wn_shape(w)[1] * t.groups;
  shape_transposed(c, x, &t);
  w = turned_filter(c, w, &t);
  bool dilated = false, even = true;
  int64_t phases = 1;
  for (int i = 0; i < t.p.n; ++i) {
    dilated = dilated || t.p.dilation[i] > 1;
    even = even && t.p.size[i] % t.p.stride[i] == 0;
    phases *= t.p.stride[i];
  }
  wn_tensor *y = dilated || phases > 4096 ? with_zeros(c, x, w, &t)
                 : even                   ? joint_phases(c, x, w, &t)
                                          : single_phases(c, x, w, &t);
  op_result(c, 0, with_bias(c, y, 2));
}

/* --- poolings --------------------------------------------------------------------------------- */

/* Positions, and as much padding behind as the last window needs: with ceil_mode one more where a window begins within
 * what there is, be it the only one and larger than that. */
static void count_positions(op_call *c, const wn_tensor *x, windows *w) {
  const bool up = op_int(c, "ceil_mode", 0) != 0;
  for (int i = 0; i < w->n; ++i) {
    const int64_t extent = wn_shape(x)[2 + i], room = extent + w->lo[i] + w->hi[i] - reach_of(w, i);
    const int64_t more = up ? w->stride[i] - 1 : 0;
    if (room + more < 0 || w->lo[i] < 0 || w->hi[i] < 0)
      op_fail(c, "a window of %lld does not fit the %lld elements of axis %d",
              (long long)reach_of(w, i), (long long)extent, 2 + i);
    w->out[i] = (room + more) / w->stride[i] + 1;
    if (up && (w->out[i] - 1) * w->stride[i] >= extent + w->lo[i]) --w->out[i];
  }
}

/* Windows over x, padded by `value`: [N][C][positions...][window...] */
static wn_tensor *windows_of(op_call *c, wn_tensor *x, const windows *w, double value) {
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0};
  for (int i = 0; i < w->n; ++i) {
    const int64_t need =
        (w->out[i] - 1) * w->stride[i] + reach_of(w, i) - w->lo[i] - wn_shape(x)[2 + i];
    lo[2 + i] = w->lo[i];
    hi[2 + i] = need > 0 ? need : 0;
  }
  x = op_pad_with(c, x, lo, hi, value);
  for (int i = 0; i < w->n; ++i) /* what no window reaches */
    x = op_slice(c, x, 2 + i, 0, (w->out[i] - 1) * w->stride[i] + reach_of(w, i));
  return op_ok(c, wn_window(x, w->n, w->size, w->stride, w->dilation));
}

static wn_tensor *over_windows(op_call *c, wn_reduction op, wn_tensor *t, int n) {
  int axes[WN_MAX_SPATIAL];
  for (int i = 0; i < n; ++i) axes[i] = wn_ndim(t) - n + i;
  return op_reduce(c, op, t, n, axes, 0);
}

/* The same pool over one axis alone. */
static windows of_axis(const windows *w, int axis) {
  windows one = *w;
  for (int i = 0; i < w->n; ++i) {
    if (i == axis) continue;
    one.size[i] = one.stride[i] = one.dilation[i] = 1;
    one.lo[i] = one.hi[i] = 0;
  }
  return one;
}

static wn_tensor *largest(op_call *c, wn_tensor *x, windows w, double around) {
  for (int i = 0; i < w.n; ++i) /* of other axes there are as many positions as elements by now */
    if (w.size[i] == 1 && w.stride[i] == 1 && w.lo[i] == 0 && w.hi[i] == 0)
      w.out[i] = wn_shape(x)[2 + i];
  return over_windows(c, WN_MAXIMUM, windows_of(c, x, &w, around), w.n);
}

/* Windows of so many elements are gone through an axis at a time: the largest of the largest of each row. */
#define WIDE_WINDOW 16

void op_max_pool(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  if (op_wants(c, 1)) op_fail(c, "the second result, indices, is not supported");
  windows w = read_windows(c, x, NULL);
  count_positions(c, x, &w);
  const bool nonnegative = op_value(c, 0)->nonnegative; /* then a zero around changes no maximum */
  const double around = nonnegative ? 0 : op_lowest(wn_tensor_dtype(x));
  double elements = 1;
  for (int i = 0; i < w.n; ++i) elements *= (double)w.size[i];
  if (elements < WIDE_WINDOW) {
    x = largest(c, x, w, around);
  } else {
    for (int i = w.n; i-- > 0;) x = largest(c, x, of_axis(&w, i), around);
  }
  op_result(c, 0, x)->nonnegative = nonnegative;
}

/* y times 1 / how many elements of each window count, which is a product of what the axes say. */
static wn_tensor *averaged(op_call *c, wn_tensor *y, const wn_tensor *x, const windows *w,
                           bool all) {
  double whole = 1;
  for (int i = 0; i < w->n; ++i) {
    double *share = arena_array(c->a, double, w->out[i]);
    bool same = true;
    const int64_t extent = wn_shape(x)[2 + i], end = all ? extent + w->hi[i] : extent,
                  begin = all ? -w->lo[i] : 0;
    for (int64_t o = 0; o < w->out[i]; ++o) {
      int64_t n = 0;
      for (int64_t k = 0; k < w->size[i]; ++k) {
        const int64_t at = o * w->stride[i] - w->lo[i] + k * w->dilation[i];
        n += at >= begin && at < end;
      }
      share[o] = 1.0 / (double)(n > 0 ? n : 1);
      same = same && share[o] == share[0];
    }
    if (same) {
      whole *= share[0];
      continue;
    }
    int64_t shape[WN_MAX_DIMS];
    for (int k = 0; k < wn_ndim(y); ++k) shape[k] = k == 2 + i ? w->out[i] : 1;
    y = op_zip(c, WN_MUL, y,
               op_reshape(c, op_list(c, wn_tensor_dtype(y), w->out[i], share), wn_ndim(y), shape));
  }
  return whole == 1 ? y : op_zip_number(c, WN_MUL, y, whole);
}

void op_average_pool(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  windows w = read_windows(c, x, NULL);
  count_positions(c, x, &w);
  wn_tensor *y = over_windows(c, WN_SUM, windows_of(c, x, &w, 0), w.n);
  op_result(c, 0, averaged(c, y, x, &w, op_int(c, "count_include_pad", 0) != 0))->nonnegative =
      op_value(c, 0)->nonnegative;
}

/* |x|^p before a sum, and the p-th root after it */
static wn_tensor *power_p(op_call *c, wn_tensor *x, int64_t p) {
  if (p < 1) op_fail(c, "p is %lld", (long long)p);
  wn_tensor *a = op_map(c, WN_ABS, x), *r = a;
  if (p > 64) op_fail(c, "p is %lld; up to 64 is supported", (long long)p);
  for (int64_t i = 1; i < p; ++i) r = op_zip(c, WN_MUL, r, a);
  return r;
}

static wn_tensor *root_p(op_call *c, wn_tensor *x, int64_t p) {
  if (p == 1) return x;
  if (p == 2) return op_map(c, WN_SQRT, x);
  return op_map(c, WN_EXP, op_zip_number(c, WN_MUL, op_map(c, WN_LOG, x), 1.0 / (double)p));
}

void op_lp_pool(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const int64_t p = op_int(c, "p", 2);
  windows w = read_windows(c, x, NULL);
  count_positions(c, x, &w);
  wn_tensor *t = windows_of(c, power_p(c, x, p), &w, 0);
  op_result(c, 0, root_p(c, over_windows(c, WN_SUM, t, w.n), p));
}

static wn_tensor *over_space(op_call *c, wn_reduction op, wn_tensor *x, double *count) {
  int axes[WN_MAX_DIMS], n = 0;
  *count = 1;
  if (wn_ndim(x) < 3)
    op_fail(c, "%s has no spatial axes", arena_shape(c->a, wn_ndim(x), wn_shape(x)));
  for (int i = 2; i < wn_ndim(x); ++i) {
    axes[n++] = i;
    *count *= (double)wn_shape(x)[i];
  }
  return op_reduce(c, op, x, n, axes, 1);
}

void op_global_average_pool(op_call *c) {
  double n;
  wn_tensor *sum = over_space(c, WN_SUM, op_in(c, 0), &n);
  op_result(c, 0, op_zip_number(c, WN_MUL, sum, 1 / n))->nonnegative = op_value(c, 0)->nonnegative;
}

void op_global_max_pool(op_call *c) {
  double n;
  op_result(c, 0, over_space(c, WN_MAXIMUM, op_in(c, 0), &n))->nonnegative =
      op_value(c, 0)->nonnegative;
}

void op_global_lp_pool(op_call *c) {
  double n;
  const int64_t p = op_int(c, "p", 2);
  op_result(c, 0, root_p(c, over_space(c, WN_SUM, power_p(c, op_in(c, 0), p), &n), p));
}
