/* Every operation twice: a lazy tensor, and its value worked out at once in float64 by plain loops.
 * So a test writes a graph down once and compares what comes out. Values live in an arena. */
#ifndef WN_TESTS_DIFF_TWIN_H
#define WN_TESTS_DIFF_TWIN_H

#include "base/mem.h"
#include "diff/conv_case.h"

enum { TWIN_DIMS = 8 };

typedef struct twin {
  wn_tensor *t;
  int nd;
  int64_t shape[TWIN_DIMS];
  double *v;
} twin;

typedef struct twins { /* where they are made */
  wn_context *ctx;
  arena *a;
  uint64_t *random;
} twins;

static inline int64_t twin_count(const twin *x) {
  int64_t n = 1;
  for (int i = 0; i < x->nd; ++i) n *= x->shape[i];
  return n;
}

static inline twin twin_new(twins *w, wn_tensor *t, int nd, const int64_t *shape) {
  twin x = {.t = t, .nd = nd};
  if (nd > 0) memcpy(x.shape, shape, sizeof *shape * (size_t)nd);
  x.v = arena_array(w->a, double, twin_count(&x) + 1);
  return x;
}

/* The coordinates of element i, and back. */
static inline void twin_at(const twin *x, int64_t i, int64_t *at) {
  for (int d = x->nd; d-- > 0; i /= x->shape[d]) at[d] = i % x->shape[d];
}

static inline int64_t twin_place(const twin *x, const int64_t *at) {
  int64_t i = 0;
  for (int d = 0; d < x->nd; ++d) i = i * x->shape[d] + at[d];
  return i;
}

/* Uniform values in [-scale, scale), rounded to float32. */
static inline twin twin_leaf(twins *w, bool constant, double scale, int nd, const int64_t *shape) {
  twin x = twin_new(w, NULL, nd, shape);
  int64_t n = twin_count(&x);
  float *data =
      n > 0 ? arena_array(w->a, float, n) : NULL; /* nothing is read of what has no elements */
  for (int64_t i = 0; i < n; ++i)
    data[i] = (float)scale * random_value(w->random), x.v[i] = (double)data[i];
  x.t = constant ? wn_constant(w->ctx, WN_F32, nd, shape, data)
                 : wn_input(w->ctx, WN_F32, nd, shape, data);
  return x;
}

/* --- elementwise ------------------------------------------------------------------------------ */

static inline double twin_unary(wn_unary op, double x) {
  switch (op) {
    case WN_NEG:
      return -x;
    case WN_ABS:
      return fabs(x);
    case WN_EXP:
      return exp(x);
    case WN_RELU:
      return fmax(x, 0);
    case WN_SIGMOID:
      return 1 / (1 + exp(-x));
    case WN_TANH:
      return tanh(x);
    case WN_RECIPROCAL:
      return 1 / x;
    default:
      abort();
  }
}

static inline twin twin_map(twins *w, wn_unary op, twin x) {
  twin y = twin_new(w, wn_map(op, x.t), x.nd, x.shape);
  for (int64_t i = twin_count(&y); i-- > 0;) y.v[i] = twin_unary(op, x.v[i]);
  return y;
}

static inline double twin_binary(wn_binary op, double a, double b) {
  switch (op) {
    case WN_ADD:
      return a + b;
    case WN_SUB:
      return a - b;
    case WN_MUL:
      return a * b;
    case WN_MAX:
      return fmax(a, b);
    case WN_MIN:
      return fmin(a, b);
    default:
      abort();
  }
}

/* Element of x that place `at` of a broadcast result of nd axes reads. */
static inline double twin_broadcast(const twin *x, int nd, const int64_t *at) {
  int64_t own[TWIN_DIMS];
  for (int d = 0; d < x->nd; ++d) own[d] = x->shape[d] == 1 ? 0 : at[nd - x->nd + d];
  return x->v[twin_place(x, own)];
}

static inline twin twin_zip(twins *w, wn_binary op, twin a, twin b) {
  int nd = a.nd > b.nd ? a.nd : b.nd;
  int64_t shape[TWIN_DIMS], at[TWIN_DIMS];
  for (int d = 0; d < nd; ++d) {
    int64_t x = d < nd - a.nd ? 1 : a.shape[d - nd + a.nd],
            y = d < nd - b.nd ? 1 : b.shape[d - nd + b.nd];
    shape[d] = x == 1 ? y : x;
  }
  twin y = twin_new(w, wn_zip(op, a.t, b.t), nd, shape);
  for (int64_t i = twin_count(&y); i-- > 0;) {
    twin_at(&y, i, at);
    y.v[i] = twin_binary(op, twin_broadcast(&a, nd, at), twin_broadcast(&b, nd, at));
  }
  return y;
}

static inline twin twin_scale(twins *w, twin x, double by) {
  float f = (float)by;
  twin s = twin_new(w, wn_scalar(w->ctx, WN_F32, (double)f), 0, x.shape);
  s.v[0] = (double)f;
  return twin_zip(w, WN_MUL, x, s);
}

/* --- movement --------------------------------------------------------------------------------- */

static inline twin twin_permute(twins *w, twin x, const int *axes) {
  int64_t shape[TWIN_DIMS], at[TWIN_DIMS], from[TWIN_DIMS];
  for (int d = 0; d < x.nd; ++d) shape[d] = x.shape[axes[d]];
  twin y = twin_new(w, wn_permute(x.t, axes), x.nd, shape);
  for (int64_t i = twin_count(&y); i-- > 0;) {
    twin_at(&y, i, at);
    for (int d = 0; d < x.nd; ++d) from[axes[d]] = at[d];
    y.v[i] = x.v[twin_place(&x, from)];
  }
  return y;
}

static inline twin twin_reshape(twins *w, twin x, int nd, const int64_t *shape) {
  twin y = twin_new(w, wn_reshape(x.t, nd, shape), nd, shape);
  memcpy(y.v, x.v, sizeof *y.v * (size_t)twin_count(&y));
  return y;
}

static inline twin twin_pad(twins *w, twin x, const int64_t *lo, const int64_t *hi) {
  int64_t shape[TWIN_DIMS], at[TWIN_DIMS];
  for (int d = 0; d < x.nd; ++d) shape[d] = x.shape[d] + lo[d] + hi[d];
  twin y = twin_new(w, wn_pad(x.t, lo, hi), x.nd, shape);
  for (int64_t i = twin_count(&x); i-- > 0;) {
    twin_at(&x, i, at);
    for (int d = 0; d < x.nd; ++d) at[d] += lo[d];
    y.v[twin_place(&y, at)] = x.v[i];
  }
  return y;
}

static inline twin twin_concat(twins *w, int n, const twin *parts, int axis) {
  wn_tensor **t = arena_array(w->a, wn_tensor *, n);
  int64_t shape[TWIN_DIMS], at[TWIN_DIMS], begin = 0;
  memcpy(shape, parts[0].shape, sizeof shape);
  shape[axis] = 0;
  for (int i = 0; i < n; ++i) t[i] = parts[i].t, shape[axis] += parts[i].shape[axis];
  twin y = twin_new(w, wn_concat(t, n, axis), parts[0].nd, shape);
  for (int i = 0; i < n; begin += parts[i++].shape[axis]) {
    for (int64_t k = twin_count(&parts[i]); k-- > 0;) {
      twin_at(&parts[i], k, at);
      at[axis] += begin;
      y.v[twin_place(&y, at)] = parts[i].v[k];
    }
  }
  return y;
}

/* Every step[d]-th element of [begin, end), backwards along axes with flip. */
static inline twin twin_slice(twins *w, twin x, const int64_t *begin, const int64_t *end,
                              const int64_t *step, const bool *flip) {
  int64_t shape[TWIN_DIMS], at[TWIN_DIMS];
  int axes[TWIN_DIMS], flipped = 0;
  for (int d = 0; d < x.nd; ++d) {
    shape[d] = (end[d] - begin[d] + step[d] - 1) / step[d];
    if (flip[d]) axes[flipped++] = d;
  }
  wn_tensor *t = wn_flip(wn_stride(wn_shrink(x.t, begin, end), step), axes, flipped);
  twin y = twin_new(w, t, x.nd, shape);
  for (int64_t i = twin_count(&y); i-- > 0;) {
    twin_at(&y, i, at);
    for (int d = 0; d < x.nd; ++d)
      at[d] = begin[d] + step[d] * (flip[d] ? shape[d] - 1 - at[d] : at[d]);
    y.v[i] = x.v[twin_place(&x, at)];
  }
  return y;
}

/* --- places that are data --------------------------------------------------------------------- */

/* Integers in [lo, hi]; the values of the twin are what they are. */
static inline twin twin_places(twins *w, bool constant, wn_dtype dtype, int64_t lo, int64_t hi,
                               int nd, const int64_t *shape) {
  twin x = twin_new(w, NULL, nd, shape);
  int64_t n = twin_count(&x);
  void *data = arena_alloc(w->a, wn_dtype_size(dtype) * (size_t)n);
  for (int64_t i = 0; i < n; ++i) {
    int64_t v = between(w->random, lo, hi);
    if (dtype == WN_I32) ((int32_t *)data)[i] = (int32_t)v;
    if (dtype == WN_I64) ((int64_t *)data)[i] = v;
    x.v[i] = (double)v;
  }
  x.t = constant ? wn_constant(w->ctx, dtype, nd, shape, data)
                 : wn_input(w->ctx, dtype, nd, shape, data);
  return x;
}

static inline twin twin_gather(twins *w, twin x, twin index, int axis) {
  int64_t shape[TWIN_DIMS], at[TWIN_DIMS], from[TWIN_DIMS];
  int n = 0;
  for (int d = 0; d < axis; ++d) shape[n++] = x.shape[d];
  for (int d = 0; d < index.nd; ++d) shape[n++] = index.shape[d];
  for (int d = axis + 1; d < x.nd; ++d) shape[n++] = x.shape[d];
  twin y = twin_new(w, wn_gather(x.t, index.t, axis), n, shape);
  for (int64_t i = twin_count(&y); i-- > 0;) {
    twin_at(&y, i, at);
    double place = index.v[twin_place(&index, at + axis)];
    if (place < 0) place += (double)x.shape[axis];
    for (int d = 0; d < axis; ++d) from[d] = at[d];
    for (int d = axis + 1; d < x.nd; ++d) from[d] = at[d + index.nd - 1];
    from[axis] = (int64_t)place;
    bool inside = place >= 0 && place < (double)x.shape[axis];
    y.v[i] = inside ? x.v[twin_place(&x, from)] : 0;
  }
  return y;
}

/* --- reductions ------------------------------------------------------------------------------- */

/* Over one axis, which stays as extent 1. */
static inline twin twin_reduce(twins *w, wn_reduction op, twin x, int axis) {
  static const double none[] = {
      [WN_SUM] = 0, [WN_PRODUCT] = 1, [WN_MAXIMUM] = -INFINITY, [WN_MINIMUM] = INFINITY};
  int64_t shape[TWIN_DIMS], at[TWIN_DIMS];
  memcpy(shape, x.shape, sizeof shape);
  shape[axis] = 1;
  twin y = twin_new(w, wn_reduce(op, x.t, &axis, 1, 1), x.nd, shape);
  for (int64_t i = twin_count(&y); i-- > 0;) y.v[i] = none[op];
  for (int64_t i = 0; i < twin_count(&x); ++i) {
    twin_at(&x, i, at);
    at[axis] = 0;
    double *into = &y.v[twin_place(&y, at)];
    if (op == WN_SUM)
      *into += x.v[i];
    else if (op == WN_PRODUCT)
      *into *= x.v[i];
    else
      *into = op == WN_MAXIMUM ? fmax(*into, x.v[i]) : fmin(*into, x.v[i]);
  }
  return y;
}

/* Pooling with windows of 2 x 2 or more over the last two of four axes. */
static inline twin twin_pool(twins *w, twin x, bool max, int64_t size, int64_t step) {
  int64_t shape[TWIN_DIMS] = {x.shape[0], x.shape[1], (x.shape[2] - size) / step + 1,
                              (x.shape[3] - size) / step + 1};
  wn_tensor *windows = wn_window(x.t, 2, (int64_t[]){size, size}, (int64_t[]){step, step}, NULL);
  wn_tensor *t = wn_reduce(max ? WN_MAXIMUM : WN_SUM, windows, (int[]){4, 5}, 2, 0);
  twin y = twin_new(w, t, 4, shape);
  for (int64_t i = twin_count(&y); i-- > 0;) {
    int64_t at[TWIN_DIMS], from[TWIN_DIMS];
    twin_at(&y, i, at);
    double best = max ? -INFINITY : 0;
    for (int64_t j = 0; j < size * size; ++j) {
      from[0] = at[0], from[1] = at[1];
      from[2] = at[2] * step + j / size, from[3] = at[3] * step + j % size;
      double v = x.v[twin_place(&x, from)];
      best = max ? fmax(best, v) : best + v;
    }
    y.v[i] = best;
  }
  return max ? y : twin_scale(w, y, 1.0 / (double)(size * size));
}

static inline twin twin_softmax(twins *w, twin x) {
  twin e = twin_map(w, WN_EXP, twin_zip(w, WN_SUB, x, twin_reduce(w, WN_MAXIMUM, x, x.nd - 1)));
  return twin_zip(w, WN_MUL, e, twin_map(w, WN_RECIPROCAL, twin_reduce(w, WN_SUM, e, x.nd - 1)));
}

/* [..., M, K] x [K, N]. */
static inline twin twin_matmul(twins *w, twin a, twin b) {
  int64_t shape[TWIN_DIMS];
  memcpy(shape, a.shape, sizeof shape);
  int64_t K = a.shape[a.nd - 1], N = b.shape[1];
  shape[a.nd - 1] = N;
  twin y = twin_new(w, wn_matmul(a.t, b.t), a.nd, shape);
  for (int64_t i = twin_count(&y); i-- > 0;) {
    for (int64_t k = 0; k < K; ++k) y.v[i] += a.v[i / N * K + k] * b.v[k * N + i % N];
  }
  return y;
}

/* --- convolution ------------------------------------------------------------------------------ */

/* x[n][c][h][w] * f[k][c / groups][r][s], as given by the plain loops of conv_case.h. */
static inline void twin_conv_values(twin *y, const twin *x, const twin *f,
                                    const wn_conv_params *p) {
  int64_t groups = p->groups ? p->groups : 1, cg = x->shape[1] / groups, kg = y->shape[1] / groups;
  for (int64_t i = twin_count(y); i-- > 0;) {
    int64_t at[TWIN_DIMS], xi[TWIN_DIMS], fi[TWIN_DIMS];
    twin_at(y, i, at);
    for (int64_t c = 0; c < cg; ++c) {
      for (int64_t j = 0; j < f->shape[2] * f->shape[3]; ++j) {
        fi[0] = at[1], fi[1] = c, fi[2] = j / f->shape[3], fi[3] = j % f->shape[3];
        xi[0] = at[0], xi[1] = at[1] / kg * cg + c;
        bool inside = true;
        for (int d = 0; d < 2; ++d) {
          int64_t s = p->stride[d] ? p->stride[d] : 1, dil = p->dilation[d] ? p->dilation[d] : 1;
          xi[2 + d] = at[2 + d] * s + fi[2 + d] * dil - p->pad_lo[d];
          inside = inside && xi[2 + d] >= 0 && xi[2 + d] < x->shape[2 + d];
        }
        if (inside) y->v[i] += x->v[twin_place(x, xi)] * f->v[twin_place(f, fi)];
      }
    }
  }
}

static inline twin twin_conv(twins *w, twin x, twin f, const wn_conv_params *p) {
  wn_tensor *t = wn_conv(x.t, f.t, p);
  int64_t shape[TWIN_DIMS] = {x.shape[0], f.shape[0]};
  for (int d = 2; d < 4; ++d) shape[d] = t != NULL ? wn_shape(t)[d] : 1;
  twin y = twin_new(w, t, 4, shape);
  twin_conv_values(&y, &x, &f, p);
  return y;
}

#endif
