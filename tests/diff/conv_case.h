/* A convolution drawn from a seed, its data, and what it should give: plain loops over the
 * definition, in float64, and the error of the same loops in float32.
 *
 * Layouts: x[n][c][in...], w[k][c / groups][r...], y[n][k][out...]. Sums run over channels, then
 * filter taps, one term after the other. Shared by the tests in this folder. */
#ifndef WN_TESTS_DIFF_CONV_CASE_H
#define WN_TESTS_DIFF_CONV_CASE_H

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guard.h"
#include "winnow/winnow.h"

enum { CASE_AXES = 3 };

typedef struct conv_case {
  uint64_t seed;
  int nd;
  int64_t n, c, k, groups;
  int64_t in[CASE_AXES], r[CASE_AXES], out[CASE_AXES];
  wn_conv_params p;
  int64_t x_count, w_count, y_count, products;
  float *x, *w, *y;
  guard guards[3]; /* x, w, y as case_fill makes them */
  bool shares;     /* `expected` is another's */
  double *expected, direct_error;
  char text[256]; /* for people: benchdnn's notation with dense dilation 0 */
} conv_case;

/* --- numbers ---------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

static inline int64_t below(uint64_t *state, int64_t n) {
  return (int64_t)(next_random(state) % (uint64_t)n);
}

static inline int64_t between(uint64_t *state, int64_t lo, int64_t hi) {
  return lo + below(state, hi - lo + 1);
}

static inline bool chance(uint64_t *state, int percent) { return below(state, 100) < percent; }

/* Uniform in [-1, 1), exact in float32. */
static inline float random_value(uint64_t *state) {
  return (float)(next_random(state) >> 40) * 0x1p-23f - 1.0f;
}

static inline void fill_random(uint64_t *state, float *v, int64_t count) {
  for (int64_t i = 0; v != NULL && i < count; ++i) v[i] = random_value(state);
}

static inline float *random_values(uint64_t *state, int64_t count) {
  float *v = malloc(sizeof *v * (size_t)(count + 1));
  fill_random(state, v, count);
  return v;
}

/* $WINNOW_SEED, or a new one from the clock; printed, so that a failure can be had again. */
static inline uint64_t test_seed(void) {
  const char *given = getenv("WINNOW_SEED");
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  uint64_t seed = ((uint64_t)t.tv_sec * 1000003u ^ (uint64_t)t.tv_nsec) % 1000000000u;
  if (given != NULL) seed = strtoull(given, NULL, 10);
  printf("# WINNOW_SEED=%" PRIu64 "\n", seed);
  fflush(stdout);
  return seed;
}

static inline double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Relative L2 distance of y from what was expected; infinite where y is not a number. */
static inline double relative_l2(const float *y, const double *expected, int64_t count) {
  double error = 0, size = 0;
  for (int64_t i = 0; i < count; ++i) {
    double e = (double)y[i] - expected[i];
    if (!isfinite(e)) return INFINITY;
    error += e * e;
    size += expected[i] * expected[i];
  }
  if (size == 0) return error == 0 ? 0 : INFINITY;
  return sqrt(error / size);
}

/* A layer that is quickly compiled and has tails of both kinds. */
#define CASE_SMALL                                                             \
  .nd = 2, .n = 1, .c = 16, .k = 24, .groups = 1, .in = {20, 22}, .r = {3, 3}, \
  .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}

/* --- sizes ------------------------------------------------------------------------------------ */

static inline int64_t case_group_of(const conv_case *c, int64_t k) {
  return k / (c->k / c->p.groups);
}

/* Derives what follows from the sizes; false if an output would be empty. */
static inline bool case_finish(conv_case *c) {
  c->p.size = sizeof c->p;
  c->p.groups = c->groups;
  c->x_count = c->n * c->c;
  c->w_count = c->k * (c->c / c->groups);
  c->y_count = c->n * c->k;
  c->products = c->c / c->groups;
  for (int i = 0; i < c->nd; ++i) {
    int64_t room =
        c->in[i] + c->p.pad_lo[i] + c->p.pad_hi[i] - (c->r[i] - 1) * c->p.dilation[i] - 1;
    if (room < 0) return false;
    c->out[i] = room / c->p.stride[i] + 1;
    c->x_count *= c->in[i];
    c->w_count *= c->r[i];
    c->y_count *= c->out[i];
    c->products *= c->r[i];
  }
  c->products *= c->y_count;
  return true;
}

static inline void case_describe(conv_case *c) {
  static const char axis[] = "dhw";
  int at = snprintf(c->text, sizeof c->text, "g%" PRId64 "mb%" PRId64 "ic%" PRId64 "oc%" PRId64,
                    c->groups, c->n, c->c, c->k);
  for (int i = 0; i < c->nd; ++i) {
    char a = axis[3 - c->nd + i];
    at += snprintf(c->text + at, sizeof c->text - (size_t)at,
                   "_i%c%" PRId64 "o%c%" PRId64 "k%c%" PRId64 "s%c%" PRId64 "p%c%" PRId64
                   "d%c%" PRId64,
                   a, c->in[i], a, c->out[i], a, c->r[i], a, c->p.stride[i], a, c->p.pad_lo[i], a,
                   c->p.dilation[i] - 1);
  }
}

static inline void case_free(conv_case *c) {
  float *arrays[] = {c->x, c->w, c->y};
  for (int i = 0; i < 3; ++i) {
    if (c->guards[i].map == NULL) free(arrays[i]);
    guard_drop(&c->guards[i]);
  }
  if (!c->shares) free(c->expected);
  c->x = c->w = c->y = NULL;
  c->expected = NULL;
}

/* --- the definition --------------------------------------------------------------------------- */

/* The position in x that output o and tap j of all axes read, or -1 in the padding; o and j are
 * flat over the axes. */
static inline int64_t case_place(const conv_case *c, int64_t o, int64_t j) {
  int64_t place = 0, step = 1;
  for (int i = c->nd; i-- > 0;) {
    int64_t at = o % c->out[i] * c->p.stride[i] + j % c->r[i] * c->p.dilation[i] - c->p.pad_lo[i];
    if (at < 0 || at >= c->in[i]) return -1;
    place += at * step;
    step *= c->in[i];
    o /= c->out[i];
    j /= c->r[i];
  }
  return place;
}

/* Both sums of one output: in double, returned, and in float. */
static inline double case_output(const conv_case *c, int64_t n, int64_t k, int64_t o,
                                 float *single) {
  int64_t image = 1, taps = 1, channels = c->c / c->groups;
  for (int i = 0; i < c->nd; ++i) image *= c->in[i], taps *= c->r[i];
  double sum = 0;
  *single = 0;
  for (int64_t ch = 0; ch < channels; ++ch) {
    const float *x = c->x + (n * c->c + case_group_of(c, k) * channels + ch) * image;
    const float *w = c->w + (k * channels + ch) * taps;
    for (int64_t j = 0; j < taps; ++j) {
      int64_t at = case_place(c, o, j);
      if (at < 0) continue;
      sum += (double)x[at] * (double)w[j];
      *single += x[at] * w[j];
    }
  }
  return sum;
}

/* Inputs that cannot be written, or can. */
static inline bool case_seal(const conv_case *c, bool sealed) {
  return guard_seal(&c->guards[0], sealed) && guard_seal(&c->guards[1], sealed);
}

/* Draws data and works out what it should give; false when memory is short. Arrays lie between pages that may not be
 * touched, flush with one of them: with the one behind where the seed is even. Inputs are sealed. */
static inline bool case_fill(conv_case *c) {
  uint64_t state = c->seed ^ UINT64_C(0xd1f7);
  bool end = c->seed % 2 == 0;
  c->x = guard_new(&c->guards[0], sizeof *c->x * (size_t)c->x_count, end);
  c->w = guard_new(&c->guards[1], sizeof *c->w * (size_t)c->w_count, end);
  c->y = guard_new(&c->guards[2], sizeof *c->y * (size_t)c->y_count, end);
  fill_random(&state, c->x, c->x_count);
  fill_random(&state, c->w, c->w_count);
  c->expected = malloc(sizeof *c->expected * (size_t)c->y_count);
  if (c->x == NULL || c->w == NULL || c->y == NULL || c->expected == NULL) return false;
  int64_t outputs = c->y_count / (c->n * c->k);
  for (int64_t i = 0; i < c->y_count; ++i) {
    int64_t o = i % outputs, k = i / outputs % c->k, n = i / outputs / c->k;
    c->expected[i] = case_output(c, n, k, o, &c->y[i]);
  }
  c->direct_error = relative_l2(c->y, c->expected, c->y_count);
  return case_seal(c, true);
}

/* The same numbers in arrays at other places, flush with the other page, so with another alignment: what a program that
 * was compiled with the first is bound to. */
static inline bool case_move(const conv_case *from, conv_case *to) {
  bool end = from->seed % 2 != 0;
  size_t x = sizeof *from->x * (size_t)from->x_count, w = sizeof *from->w * (size_t)from->w_count;
  *to = *from;
  to->shares = true;
  to->x = guard_new(&to->guards[0], x, end);
  to->w = guard_new(&to->guards[1], w, end);
  to->y = guard_new(&to->guards[2], sizeof *to->y * (size_t)to->y_count, end);
  if (to->x == NULL || to->w == NULL || to->y == NULL) return false;
  memcpy(to->x, from->x, x);
  memcpy(to->w, from->w, w);
  return case_seal(to, true);
}

/* A program of case_graph reads and writes c's arrays from here on. */
static inline wn_status case_bind(wn_program *p, const conv_case *c) {
  const int slots[] = {0, 1, 2};
  const void *arrays[] = {c->x, c->w, c->y};
  return wn_bind_many(p, 3, slots, arrays);
}

/* Was nothing written but the result? */
static inline bool case_is_clean(const conv_case *c) { return guard_is_clean(&c->guards[2]); }

/* What the maths promises of default choices: docs/winograd.md. */
static inline double case_promise(const conv_case *c) { return fmax(1.2e-6, 2 * c->direct_error); }

/* --- drawing ---------------------------------------------------------------------------------- */

/* Mostly small, sometimes the shapes that break things: one pixel, primes, odd rectangles. */
static inline void draw_axis(conv_case *c, uint64_t *s, int i) {
  static const int64_t sizes[] = {1,  2,  3,  4,  5,  7,  8,  9,  11, 13,
                                  14, 16, 17, 19, 23, 28, 31, 32, 33};
  static const int64_t filters[] = {3, 3, 3, 3, 3, 5, 1, 2, 4, 7, 9, 6, 8};
  c->in[i] = sizes[below(s, c->nd == 3 ? 10 : 19)];
  c->r[i] = filters[below(s, c->nd == 3 ? 8 : 13)];
  c->p.stride[i] = chance(s, 70) ? 1 : between(s, 2, 3);
  c->p.dilation[i] = chance(s, 80) ? 1 : between(s, 2, 3);
  int64_t reach = (c->r[i] - 1) * c->p.dilation[i];
  bool same = chance(s, 60);
  c->p.pad_lo[i] = same ? reach / 2 : below(s, reach + 1);
  c->p.pad_hi[i] = same ? reach / 2 : below(s, reach + 1);
}

static inline void draw_channels(conv_case *c, uint64_t *s) {
  static const int64_t counts[] = {1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 19, 24, 31, 33};
  c->groups = 1;
  c->c = counts[below(s, 15)];
  c->k = counts[below(s, 15)];
  if (chance(s, 10))
    c->groups = c->k = c->c; /* depthwise */
  else if (chance(s, 15)) {
    c->groups = between(s, 2, 4);
    c->c = c->groups * between(s, 1, 5);
    c->k = c->groups * between(s, 1, 5);
  }
}

/* A case of at most `budget` products from its seed alone. */
static inline conv_case case_draw(uint64_t seed, int64_t budget) {
  conv_case c;
  uint64_t s = seed;
  do {
    memset(&c, 0, sizeof c);
    c.seed = seed;
    c.nd = chance(&s, 70) ? 2 : chance(&s, 60) ? 1 : 3;
    c.n = chance(&s, 70) ? 1 : between(&s, 2, 3);
    draw_channels(&c, &s);
    for (int i = 0; i < c.nd; ++i) draw_axis(&c, &s, i);
    if (c.nd == 2 && chance(&s, 60)) { /* most filters are square, with equal steps */
      c.r[1] = c.r[0];
      c.p.stride[1] = c.p.stride[0];
      c.p.dilation[1] = c.p.dilation[0];
      c.p.pad_lo[1] = c.p.pad_lo[0];
      c.p.pad_hi[1] = c.p.pad_hi[0];
    }
  } while (!case_finish(&c) || c.products > budget);
  case_describe(&c);
  return c;
}

/* Is there anything to save? Where the filter is longer than its stride some phase of the reduction
 * keeps two taps, where there are more outputs than dilation phases some phase has two outputs. */
static inline bool case_has_window(const conv_case *c) {
  for (int i = 0; i < c->nd; ++i) {
    if (c->r[i] > c->p.stride[i] && c->out[i] > c->p.dilation[i]) return true;
  }
  return false;
}

static inline wn_tensor *case_graph(const conv_case *c, wn_context *ctx) {
  int64_t x[CASE_AXES + 2] = {c->n, c->c}, w[CASE_AXES + 2] = {c->k, c->c / c->groups};
  memcpy(x + 2, c->in, sizeof c->in);
  memcpy(w + 2, c->r, sizeof c->r);
  return wn_conv(wn_input(ctx, WN_F32, c->nd + 2, x, c->x),
                 wn_constant(ctx, WN_F32, c->nd + 2, w, c->w), &c->p);
}

#endif
