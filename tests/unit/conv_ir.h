/* Convolutions for tests: as range IR written by hand, and as plain loops in double.
 *
 * x is slot 0, [n][groups * c][in...] (or channels last), w is slot 1, [groups * k][c][r...] (or
 * filter first, permuted), both f64 unless the spec says otherwise; y is a BUFFERIZE "result0" over
 * [n][groups][k][out...] without extents of 1. */
#ifndef WN_TESTS_CONV_IR_H
#define WN_TESTS_CONV_IR_H

#include <stdio.h>
#include <stdlib.h>

#include "ir/uop.h"
#include "lower/lower.h"

typedef struct conv_spec {
  int nd;
  int64_t n, groups, c, k;
  int64_t in[WN_MAX_SPATIAL], r[WN_MAX_SPATIAL], s[WN_MAX_SPATIAL], d[WN_MAX_SPATIAL];
  int64_t lo[WN_MAX_SPATIAL], hi[WN_MAX_SPATIAL];
  bool channels_last, filter_first, commute, flip_x, flip_w;
  wn_dtype dtype; /* zero is f64 */
} conv_spec;

/* Zeros in stride, dilation, n, groups, c and k mean 1. */
static inline conv_spec conv_fill(conv_spec p) {
  for (int i = 0; i < p.nd; i++) {
    if (p.s[i] == 0) p.s[i] = 1;
    if (p.d[i] == 0) p.d[i] = 1;
  }
  if (p.n == 0) p.n = 1;
  if (p.groups == 0) p.groups = 1;
  if (p.c == 0) p.c = 1;
  if (p.k == 0) p.k = 1;
  return p;
}

static inline int64_t conv_out(const conv_spec *p, int i) {
  return (p->in[i] + p->lo[i] + p->hi[i] - (p->r[i] - 1) * p->d[i] - 1) / p->s[i] + 1;
}

static inline int64_t conv_pixels(const conv_spec *p, char which) {
  int64_t n = 1;
  for (int i = 0; i < p->nd; i++)
    n *= which == 'i' ? p->in[i] : which == 'r' ? p->r[i] : conv_out(p, i);
  return n;
}

static inline int64_t conv_x_size(const conv_spec *p) {
  return p->n * p->groups * p->c * conv_pixels(p, 'i');
}
static inline int64_t conv_w_size(const conv_spec *p) {
  return p->groups * p->k * p->c * conv_pixels(p, 'r');
}
static inline int64_t conv_y_size(const conv_spec *p) {
  return p->n * p->groups * p->k * conv_pixels(p, 'o');
}

/* --- plain loops --- */

static inline int64_t conv_x_at(const conv_spec *p, int64_t n, int64_t ch, int64_t pixel) {
  int64_t channels = p->groups * p->c, pixels = conv_pixels(p, 'i');
  return p->channels_last ? (n * pixels + pixel) * channels + ch
                          : (n * channels + ch) * pixels + pixel;
}

static inline int64_t conv_w_at(const conv_spec *p, int64_t k, int64_t c, int64_t tap) {
  return p->filter_first ? (tap * p->c + c) * p->groups * p->k + k
                         : (k * p->c + c) * conv_pixels(p, 'r') + tap;
}

static inline void conv_unflatten(int nd, int64_t flat, const int64_t *extent, int64_t *at) {
  for (int i = nd - 1; i >= 0; i--) at[i] = flat % extent[i], flat /= extent[i];
}

static inline double conv_one(const conv_spec *p, const double *x, const double *w, int64_t n,
                              int64_t g, int64_t k, const int64_t *o) {
  double sum = 0;
  int64_t taps = conv_pixels(p, 'r');
  for (int64_t c = 0; c < p->c; c++) {
    for (int64_t tap = 0; tap < taps; tap++) {
      int64_t at[WN_MAX_SPATIAL], pixel = 0, wtap = 0;
      bool inside = true;
      conv_unflatten(p->nd, tap, p->r, at);
      for (int i = 0; i < p->nd; i++) {
        int64_t y = o[i] * p->s[i] + at[i] * p->d[i] - p->lo[i];
        inside = inside && y >= 0 && y < p->in[i];
        pixel = pixel * p->in[i] + (p->flip_x ? p->in[i] - 1 - y : y);
        wtap = wtap * p->r[i] + (p->flip_w ? p->r[i] - 1 - at[i] : at[i]);
      }
      if (inside)
        sum += x[conv_x_at(p, n, g * p->c + c, pixel)] * w[conv_w_at(p, g * p->k + k, c, wtap)];
    }
  }
  return sum;
}

static inline void conv_direct(const conv_spec *p, const double *x, const double *w, double *y) {
  int64_t pixels = conv_pixels(p, 'o'), out[WN_MAX_SPATIAL] = {0}, o[WN_MAX_SPATIAL];
  for (int i = 0; i < p->nd; i++) out[i] = conv_out(p, i);
  for (int64_t i = 0; i < conv_y_size(p); i++) {
    int64_t j = i / pixels;
    conv_unflatten(p->nd, i % pixels, out, o);
    y[i] = conv_one(p, x, w, j / p->k / p->groups, j / p->k % p->groups, j % p->k, o);
  }
}

/* --- range IR --- */

typedef struct conv_ir {
  const uop *n, *g, *k, *c; /* RANGEs, or 0 where the extent is 1 */
  const uop *o[WN_MAX_SPATIAL], *f[WN_MAX_SPATIAL];
  const uop *x, *w; /* INDEX nodes */
  int nout, nred;
  const uop *outs[16], *reds[16];
} conv_ir;

static inline const uop *conv_loop(graph *g, int64_t extent, const char *name, const uop **list,
                                   int *n) {
  return extent == 1 ? uop_int(g, 0) : (list[(*n)++] = uop_range(g, extent, name));
}

static inline const uop *conv_x_ir(graph *g, const conv_spec *p, const conv_ir *v) {
  const uop *pixel = uop_int(g, 0), *valid = uop_bool(g, true);
  for (int i = 0; i < p->nd; i++) {
    const uop *y = uop_add(g, uop_muli(g, v->o[i], p->s[i]), uop_muli(g, v->f[i], p->d[i]));
    y = uop_addi(g, y, -p->lo[i]);
    if (y->vmin < 0) valid = uop_and(g, valid, uop_ge(g, y, 0));
    if (y->vmax >= p->in[i]) valid = uop_and(g, valid, uop_lt(g, y, p->in[i]));
    if (p->flip_x) y = uop_addi(g, uop_muli(g, y, -1), p->in[i] - 1);
    pixel = uop_add(g, uop_muli(g, pixel, p->in[i]), y);
  }
  int64_t channels = p->groups * p->c, pixels = conv_pixels(p, 'i');
  const uop *ch = uop_add(g, uop_muli(g, v->g, p->c), v->c);
  const uop *at =
      p->channels_last
          ? uop_add(g, uop_muli(g, uop_add(g, uop_muli(g, v->n, pixels), pixel), channels), ch)
          : uop_add(g, uop_muli(g, uop_add(g, uop_muli(g, v->n, channels), ch), pixels), pixel);
  const uop *b = uop_buffer(g, 0, p->dtype, 1, (int64_t[]){conv_x_size(p)});
  return uop_index(g, b, valid, 1, &at);
}

static inline const uop *conv_w_ir(graph *g, const conv_spec *p, const conv_ir *v) {
  const uop *tap = uop_int(g, 0);
  for (int i = 0; i < p->nd; i++) {
    const uop *f = p->flip_w ? uop_addi(g, uop_muli(g, v->f[i], -1), p->r[i] - 1) : v->f[i];
    tap = uop_add(g, uop_muli(g, tap, p->r[i]), f);
  }
  const uop *k = uop_add(g, uop_muli(g, v->g, p->k), v->k);
  const uop *at =
      p->filter_first
          ? uop_add(g, uop_muli(g, uop_add(g, uop_muli(g, tap, p->c), v->c), p->groups * p->k), k)
          : uop_add(g, uop_muli(g, uop_add(g, uop_muli(g, k, p->c), v->c), conv_pixels(p, 'r')),
                    tap);
  const uop *b = uop_buffer(g, 1, p->dtype, 1, (int64_t[]){conv_w_size(p)});
  return uop_index(g, b, NULL, 1, &at);
}

/* Loops and operands; the caller makes product, sum and result of them. */
static inline conv_ir conv_operands(graph *g, const conv_spec *p) {
  static const char *const on[] = {"oy", "ox", "oz", "ow"}, *const fn[] = {"ky", "kx", "kz", "kw"};
  conv_ir v = {0};
  v.n = conv_loop(g, p->n, "n", v.outs, &v.nout);
  v.g = conv_loop(g, p->groups, "g", v.outs, &v.nout);
  v.k = conv_loop(g, p->k, "k", v.outs, &v.nout);
  for (int i = 0; i < p->nd; i++) v.o[i] = conv_loop(g, conv_out(p, i), on[i], v.outs, &v.nout);
  v.c = conv_loop(g, p->c, "c", v.reds, &v.nred);
  for (int i = 0; i < p->nd; i++) v.f[i] = conv_loop(g, p->r[i], fn[i], v.reds, &v.nred);
  v.x = conv_x_ir(g, p, &v);
  v.w = conv_w_ir(g, p, &v);
  return v;
}

static inline const uop *conv_sum(graph *g, const conv_ir *v, const uop *value) {
  return uop_reduce(g, OP_ADD, value, v->nred, v->reds);
}

static inline const uop *conv_result(graph *g, const conv_ir *v, const uop *value) {
  return uop_bufferize(
      g, value, v->nout, v->outs,
      (bufferize_info){.name = "result0", .space = SPACE_GLOBAL, .site = -1, .explicit_ = true});
}

static inline const uop *conv_reduce(graph *g, const conv_spec *p, conv_ir *v) {
  *v = conv_operands(g, p);
  return conv_sum(g, v, p->commute ? uop_mul(g, v->w, v->x) : uop_mul(g, v->x, v->w));
}

#endif
