/* Sliding windows out of movement ops alone, and what is built on them: convolution and matrix
 * products.
 *
 * In: an axis of i elements, k taps, stride s, dilation d. Out: axes [o][k] whose element (o, k)
 * is element o*s + k*d. How: repeat the axis k times and a bit, and cut the result into k rows
 * of i + d elements. Row r then begins at element r*(i + d) = r*i + r*d, which is element r*d of
 * the axis: each row is the axis shifted by one more dilation. Its every s-th element is what
 * tap r reads. No row reads past its end, because (o - 1)*s + (k - 1)*d < i.
 *
 *   i = 5, k = 3, d = 1:   0 1 2 3 4 0 | 1 2 3 4 0 1 | 2 3 4 0 1 2
 *                          ^ ^ ^         ^ ^ ^         ^ ^ ^           o = 0, 1, 2 of taps 0, 1, 2
 *
 * The index of it, (r*(i + d) + o*s) mod i, is r*d + o*s after simplification: nothing below
 * knows of windows. */
#include "base/sized.h"
#include "tensor/tensor.h"

static _Noreturn void fail_big(wn_tensor *t, const char *who) {
  diag_fail(&t->ctx->diag, WN_ERR_USAGE,
            "%s: the windows of %s have more elements than can be counted", who, tensor_text(t));
}

/* Axis `axis` of t becomes two, taps before positions. */
static wn_tensor *window_axis(const char *who, wn_tensor *t, int axis, int64_t k, int64_t s,
                              int64_t d, int64_t o) {
  int n = t->shape->len;
  int64_t i = t->shape->at[axis], shape[WN_MAX_DIMS + 1], begin[WN_MAX_DIMS + 1] = {0}, row = i + d,
          need;
  if (__builtin_mul_overflow(k, row, &need)) fail_big(t, who);
  const int64_t times = (need - 1) / i + 1;

  memcpy(shape, t->shape->at, sizeof *shape * (size_t)n);
  memmove(shape + axis + 1, shape + axis, sizeof *shape * (size_t)(n - axis));
  shape[axis] = 1; /* [.., 1, i, ..] -> [.., times, i, ..] -> [.., times * i, ..] */
  t = tensor_reshape(who, t, n + 1, shape);
  shape[axis] = times;
  t = tensor_expand(who, t, n + 1, shape);
  memmove(shape + axis + 1, shape + axis + 2, sizeof *shape * (size_t)(n - axis - 1));
  shape[axis] = times * i;
  t = tensor_reshape(who, t, n, shape);
  shape[axis] = need; /* the whole rows of it, one row per tap */
  t = tensor_shrink(who, t, begin, shape);
  memmove(shape + axis + 1, shape + axis, sizeof *shape * (size_t)(n - axis));
  shape[axis] = k;
  shape[axis + 1] = row;
  t = tensor_reshape(who, t, n + 1, shape);
  shape[axis + 1] = (o - 1) * s + 1; /* the positions of each */
  t = tensor_shrink(who, t, begin, shape);
  for (int a = 0; a <= n; ++a) shape[a] = a == axis + 1 ? s : 1;
  return tensor_stride(who, t, shape);
}

static int64_t tap(const int64_t *of, int axis) { return of == NULL ? 1 : of[axis]; }

/* How many windows fit axis `axis`, with every number checked. */
static int64_t window_count(const char *who, wn_tensor *t, int axis, int64_t k, int64_t s,
                            int64_t d) {
  diag *err = &t->ctx->diag;
  int64_t i = t->shape->at[axis], reach;
  if (k < 1 || s < 1 || d < 1) {
    diag_fail(err, WN_ERR_USAGE,
              "%s: axis %d of %s: window %lld, stride %lld and dilation %lld must be at least 1",
              who, axis, tensor_text(t), (long long)k, (long long)s, (long long)d);
  }
  if (__builtin_mul_overflow(k - 1, d, &reach) || reach >= i) {
    diag_fail(err, WN_ERR_USAGE,
              "%s: axis %d of %s is too short for a window of %lld with dilation %lld", who, axis,
              tensor_text(t), (long long)k, (long long)d);
  }
  return (i - 1 - reach) / s + 1;
}

wn_tensor *tensor_window(const char *who, wn_tensor *t, int nspatial, const int64_t *window,
                         const int64_t *stride, const int64_t *dilation) {
  diag *err = &t->ctx->diag;
  const int n = t->shape->len, lead = n - nspatial;
  if (nspatial < 1 || lead < 0 || window == NULL) {
    diag_fail(err, WN_ERR_USAGE, "%s: windows over %d axes of %s", who, nspatial, tensor_text(t));
  }
  if (n + nspatial > WN_MAX_DIMS) {
    diag_fail(err, WN_ERR_USAGE, "%s: windows of %s would have %d axes; there may be %d", who,
              tensor_text(t), n + nspatial, WN_MAX_DIMS);
  }
  t->ctx->windows |= 1u << nspatial;
  int axes[WN_MAX_DIMS], at = lead;
  int64_t out[WN_MAX_DIMS];
  for (int j = 0; j < nspatial; ++j) {
    out[j] = window_count(who, t, lead + j, window[j], tap(stride, j), tap(dilation, j));
  }
  int64_t begin[WN_MAX_DIMS] = {0};
  for (int a = 0; a < lead; ++a) axes[a] = a;
  for (int j = 0; j < nspatial; ++j, at += 2) {
    const int64_t s = tap(stride, j), d = tap(dilation, j);
    /* cut what no window reaches first, so that sizes below stay small and d never exceeds what
     * it has to shift */
    int64_t end[WN_MAX_DIMS];
    memcpy(end, t->shape->at, sizeof *end * (size_t)t->shape->len);
    end[at] = (out[j] - 1) * s + (window[j] - 1) * d + 1;
    t = tensor_shrink(who, t, begin, end);
    t = window_axis(who, t, at, window[j], s, window[j] == 1 ? 0 : d, out[j]);
    axes[lead + j] = at + 1;
    axes[lead + nspatial + j] = at;
  }
  return tensor_permute(who, t, axes);
}

wn_tensor *wn_window(wn_tensor *t, int nspatial, const int64_t *window, const int64_t *stride,
                     const int64_t *dilation) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, tensor_window("wn_window", t, nspatial, window, stride, dilation));
}

/* --- convolution ------------------------------------------------------------------------------ */

typedef struct conv_shape {
  int ns; /* spatial axes */
  int64_t n, c, k, groups;
  int64_t stride[WN_MAX_SPATIAL], dilation[WN_MAX_SPATIAL], lo[WN_MAX_SPATIAL], hi[WN_MAX_SPATIAL];
} conv_shape;

static const char *operands(wn_tensor *x, wn_tensor *w) {
  return arena_printf(&x->ctx->graph.arena, "(x %s, w %s)", tensor_text(x), tensor_text(w));
}

static void check_channels(wn_tensor *x, wn_tensor *w, const conv_shape *p) {
  diag *err = &x->ctx->diag;
  const long long c = p->c, g = p->groups, k = p->k, per_group = w->shape->at[1];
  if (g < 1) diag_fail(err, WN_ERR_USAGE, "wn_conv: %lld groups %s", g, operands(x, w));
  if (k % g != 0) {
    diag_fail(err, WN_ERR_USAGE,
              "wn_conv: %lld output channels are not divisible by %lld groups %s", k, g,
              operands(x, w));
  }
  if (c % g != 0 || c / g != per_group) {
    diag_fail(err, WN_ERR_USAGE,
              "wn_conv: weights expect %lld input channels per group, x has %lld channels in %lld "
              "group%s %s",
              per_group, c, g, g == 1 ? "" : "s", operands(x, w));
  }
}

static void check_axis(wn_tensor *x, wn_tensor *w, const conv_shape *p, int j) {
  diag *err = &x->ctx->diag;
  int64_t padded, reach, taps = w->shape->at[2 + j];
  if (p->stride[j] < 1 || p->dilation[j] < 1 || p->lo[j] < 0 || p->hi[j] < 0) {
    diag_fail(err, WN_ERR_USAGE,
              "wn_conv: spatial axis %d: stride %lld, dilation %lld, padding %lld and %lld; none "
              "may be negative %s",
              j, (long long)p->stride[j], (long long)p->dilation[j], (long long)p->lo[j],
              (long long)p->hi[j], operands(x, w));
  }
  bool big = __builtin_add_overflow(x->shape->at[2 + j], p->lo[j], &padded) ||
             __builtin_add_overflow(padded, p->hi[j], &padded) || padded > TENSOR_MAX_COUNT;
  if (big)
    diag_fail(err, WN_ERR_USAGE, "wn_conv: padding of spatial axis %d is too large %s", j,
              operands(x, w));
  if (__builtin_mul_overflow(taps - 1, p->dilation[j], &reach) || reach >= padded) {
    diag_fail(err, WN_ERR_USAGE,
              "wn_conv: %lld taps with dilation %lld do not fit the %lld elements of spatial axis "
              "%d after padding %s",
              (long long)taps, (long long)p->dilation[j], (long long)padded, j, operands(x, w));
  }
}

static conv_shape conv_check(wn_tensor *x, wn_tensor *w, const wn_conv_params *given) {
  diag *err = &x->ctx->diag;
  wn_conv_params params;
  const char *why = sized_in(&sized_conv_params, &params, given);
  if (why != NULL) diag_fail(err, WN_ERR_USAGE, "wn_conv: %s", why);
  conv_shape p = {.ns = x->shape->len - 2};
  if (x->shape->len != w->shape->len || p.ns < 1 || p.ns > WN_MAX_SPATIAL) {
    diag_fail(err, WN_ERR_USAGE,
              "wn_conv: x and w need two axes and the same 1 to %d spatial axes each %s",
              WN_MAX_SPATIAL, operands(x, w));
  }
  if (w->ctx != x->ctx)
    diag_fail(err, WN_ERR_USAGE, "wn_conv: operands belong to different contexts");
  if (x->dtype != w->dtype || x->dtype == WN_BOOL) {
    diag_fail(err, WN_ERR_USAGE,
              "wn_conv: x is %s and w is %s; both must be of one numeric dtype %s",
              wn_dtype_name(x->dtype), wn_dtype_name(w->dtype), operands(x, w));
  }
  p.n = x->shape->at[0];
  p.c = x->shape->at[1];
  p.k = w->shape->at[0];
  p.groups = params.groups ? params.groups : 1;
  check_channels(x, w, &p);
  for (int j = 0; j < p.ns; ++j) {
    p.stride[j] = params.stride[j] ? params.stride[j] : 1;
    p.dilation[j] = params.dilation[j] ? params.dilation[j] : 1;
    p.lo[j] = params.pad_lo[j];
    p.hi[j] = params.pad_hi[j];
    check_axis(x, w, &p, j);
  }
  return p;
}

/* sum over c and taps of  x[n][g][1][o...][c][taps...] * w[1][g][k][1...][c][taps...] */
static wn_tensor *conv(wn_tensor *x, wn_tensor *w, const wn_conv_params *params) {
  const char *who = "wn_conv";
  const conv_shape p = conv_check(x, w, params);
  const int ns = p.ns, rank = 4 + 2 * ns;
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0}, shape[WN_MAX_DIMS], wshape[WN_MAX_DIMS];
  memcpy(lo + 2, p.lo, sizeof *lo * (size_t)ns);
  memcpy(hi + 2, p.hi, sizeof *hi * (size_t)ns);
  wn_tensor *win =
      tensor_window(who, tensor_pad(who, x, lo, hi), ns, w->shape->at + 2, p.stride, p.dilation);

  /* x: [n][g*c][o...][taps...] -> [n][g][c][o...][taps...] -> [n][g][1][o...][c][taps...] */
  int axes[WN_MAX_DIMS], at = 0;
  shape[0] = p.n, shape[1] = p.groups, shape[2] = p.c / p.groups;
  memcpy(shape + 3, win->shape->at + 2, sizeof *shape * (size_t)(2 * ns));
  win = tensor_reshape(who, win, rank - 1, shape);
  axes[at++] = 0, axes[at++] = 1;
  for (int j = 0; j < ns; ++j) axes[at++] = 3 + j;
  axes[at++] = 2;
  for (int j = 0; j < ns; ++j) axes[at++] = 3 + ns + j;
  win = tensor_permute(who, win, axes);
  memcpy(shape, win->shape->at, sizeof *shape * (size_t)(rank - 1));
  memmove(shape + 3, shape + 2, sizeof *shape * (size_t)(rank - 3));
  shape[2] = 1;
  win = tensor_reshape(who, win, rank, shape);

  wshape[0] = 1, wshape[1] = p.groups, wshape[2] = p.k / p.groups;
  for (int j = 0; j < ns; ++j) wshape[3 + j] = 1;
  memcpy(wshape + 3 + ns, shape + 3 + ns, sizeof *shape * (size_t)(ns + 1));
  wn_tensor *product = tensor_zip(who, OP_MUL, win, tensor_reshape(who, w, rank, wshape));

  int summed[WN_MAX_SPATIAL + 1];
  for (int j = 0; j <= ns; ++j) summed[j] = 3 + ns + j;
  wn_tensor *sum = tensor_reduce(who, OP_ADD, product, summed, ns + 1, 0);
  memmove(shape + 2, shape + 3, sizeof *shape * (size_t)ns);
  shape[1] = p.k;
  return tensor_reshape(who, sum, 2 + ns, shape);
}

wn_tensor *wn_conv(wn_tensor *x, wn_tensor *w, const wn_conv_params *params) {
  if (x == NULL || w == NULL) return NULL;
  TENSOR_RETURN(x->ctx, conv(x, w, params));
}

/* --- matrix product --------------------------------------------------------------------------- */

/* sum over k of  a[...][m][1][k] * b[...][1][n][k] */
static wn_tensor *matmul(wn_tensor *a, wn_tensor *b) {
  const char *who = "wn_matmul";
  diag *err = &a->ctx->diag;
  const int na = a->shape->len, nb = b->shape->len;
  if (na < 2 || nb < 2 || na >= WN_MAX_DIMS || nb >= WN_MAX_DIMS) {
    diag_fail(err, WN_ERR_USAGE, "wn_matmul: operands need 2 to %d axes (a %s, b %s)",
              WN_MAX_DIMS - 1, tensor_text(a), tensor_text(b));
  }
  if (a->shape->at[na - 1] != b->shape->at[nb - 2]) {
    diag_fail(err, WN_ERR_USAGE,
              "wn_matmul: rows of a have %lld elements, columns of b have %lld (a %s, b %s)",
              (long long)a->shape->at[na - 1], (long long)b->shape->at[nb - 2], tensor_text(a),
              tensor_text(b));
  }
  if (a->dtype == WN_BOOL)
    diag_fail(err, WN_ERR_USAGE, "wn_matmul: operands are bool; convert them with wn_cast");
  int64_t sa[WN_MAX_DIMS], sb[WN_MAX_DIMS];
  int axes[WN_MAX_DIMS];
  memcpy(sa, a->shape->at, sizeof *sa * (size_t)na);
  sa[na] = sa[na - 1];
  sa[na - 1] = 1;
  for (int i = 0; i < nb; ++i) axes[i] = i < nb - 2 ? i : 2 * nb - 3 - i;
  wn_tensor *bt = tensor_permute(who, b, axes);
  memcpy(sb, bt->shape->at, sizeof *sb * (size_t)nb);
  memmove(sb + nb - 1, sb + nb - 2, sizeof *sb * 2);
  sb[nb - 2] = 1;
  wn_tensor *product = tensor_zip(who, OP_MUL, tensor_reshape(who, a, na + 1, sa),
                                  tensor_reshape(who, bt, nb + 1, sb));
  const int last = -1;
  return tensor_reduce(who, OP_ADD, product, &last, 1, 0);
}

wn_tensor *wn_matmul(wn_tensor *a, wn_tensor *b) {
  if (a == NULL || b == NULL) return NULL;
  TENSOR_RETURN(a->ctx, matmul(a, b));
}
