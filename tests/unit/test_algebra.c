/* The algebra of F(m, r): rationals, matrices, steps, and the error model against measured errors.
 *
 * Convolutions are computed as a kernel would (fp32, fused steps axis by axis, products summed in
 * chains) and compared with the sum of products in float64, which knows nothing of transforms.
 * WINNOW_PRINT=1 prints the tables of docs/winograd.md. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arena_fixture.h"
#include "winograd/algebra.h"

/* Runs a statement that must fail with the text in its message. */
#define assert_fails(f, text, ...)                       \
  do {                                                   \
    volatile wn_status st_;                              \
    DIAG_TRY(&(f)->d, st_) { __VA_ARGS__; }              \
    DIAG_END(&(f)->d, st_)                               \
    assert_int_equal(st_, WN_ERR_USAGE);                 \
    if (strstr((f)->d.message, text) == NULL) {          \
      fail_msg("'%s' lacks '%s'", (f)->d.message, text); \
    }                                                    \
  } while (0)

/* Statements that must not fail. */
#define assert_works(f, ...)                          \
  do {                                                \
    volatile wn_status st_;                           \
    DIAG_TRY(&(f)->d, st_) { __VA_ARGS__; }           \
    DIAG_END(&(f)->d, st_)                            \
    if (st_ != WN_OK) fail_msg("%s", (f)->d.message); \
  } while (0)

static uint64_t seed;

static float uniform(void) { /* [-1, 1), 24 bits; splitmix64 */
  uint64_t z = (seed += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1;
}

/* --- rationals and matrices --- */

static void rationals_are_exact(void **state) {
  fixture *f = *state;
  diag *d = &f->d;
  assert_works(f, {
    rational half = rat_make(d, -3, -6), third = rat_make(d, 2, 6);
    rational sum = rat_add(d, half, third), product = rat_mul(d, half, third);
    rational quotient = rat_div(d, half, rat_make(d, -2, 3)),
             nothing = rat_add(d, half, rat_make(d, -1, 2));
    assert_true(half.num == 1 && half.den == 2);
    assert_true(sum.num == 5 && sum.den == 6);
    assert_true(product.num == 1 && product.den == 6);
    assert_true(quotient.num == -3 && quotient.den == 4);
    assert_true(nothing.num == 0 && nothing.den == 1);
    rational wide = rat_mul(d, rat_make(d, INT64_MAX, 2), rat_make(d, 2, INT64_MAX));
    assert_true(wide.num == 1 && wide.den == 1);
  });
}

static void rationals_overflow_loudly(void **state) {
  fixture *f = *state;
  diag *d = &f->d;
  assert_fails(f, "64 bits", rat_mul(d, rat_make(d, INT64_MAX, 1), rat_make(d, 2, 1)));
  assert_fails(f, "64 bits", rat_add(d, rat_make(d, INT64_MAX, 1), rat_make(d, 1, 1)));
  assert_fails(f, "64 bits", rat_add(d, rat_make(d, 1, INT64_MAX), rat_make(d, 1, INT64_MAX - 1)));
  assert_fails(f, "64 bits", rat_make(d, INT64_MIN, 3));
  assert_fails(f, "zero", rat_div(d, rat_make(d, 1, 2), rat_make(d, 0, 5)));
  assert_fails(f, "zero", rat_make(d, 1, 0));
}

/* Correlation with random integers: exact in both ways of computing it. */
static void check_correlation(diag *d, const wino_matrices *w) {
  int64_t x[32], g[32];
  for (int i = 0; i < w->n; i++) x[i] = (int64_t)(uniform() * 9);
  for (int i = 0; i < w->r; i++) g[i] = (int64_t)(uniform() * 9);
  rational product[32];
  for (int f = 0; f < w->n; f++) {
    rational xf = {0, 1}, gf = {0, 1};
    for (int i = 0; i < w->n; i++)
      xf = rat_add(d, xf, rat_mul(d, w->bt[f * w->n + i], rat_make(d, x[i], 1)));
    for (int i = 0; i < w->r; i++)
      gf = rat_add(d, gf, rat_mul(d, w->g[f * w->r + i], rat_make(d, g[i], 1)));
    product[f] = rat_mul(d, xf, gf);
  }
  for (int o = 0; o < w->m; o++) {
    rational have = {0, 1};
    int64_t want = 0;
    for (int f = 0; f < w->n; f++)
      have = rat_add(d, have, rat_mul(d, w->at[o * w->n + f], product[f]));
    for (int k = 0; k < w->r; k++) want += g[k] * x[o + k];
    if (have.den != 1 || have.num != want) fail_msg("F(%d,%d) output %d is wrong", w->m, w->r, o);
  }
}

static void every_size_correlates(void **state) {
  fixture *f = *state;
  assert_works(f, {
    for (int m = 1; m <= 8; m++) {
      for (int r = 1; m + r - 1 <= 16; r++) {
        const wino_matrices *w = wino_matrices_build(&f->a, m, r);
        assert_int_equal(w->n, m + r - 1);
        if (w->n <= 12)
          check_correlation(&f->d, w); /* beyond, sums of random integers need more than 64 bits */
      }
    }
  });
}

static void impossible_sizes_are_named(void **state) {
  fixture *f = *state;
  assert_fails(f, "F(8,10)", wino_matrices_build(&f->a, 8, 10));
  assert_fails(f, "F(0,3)", wino_matrices_build(&f->a, 0, 3));
  assert_fails(f, "F(4,0)", wino_matrices_build(&f->a, 4, 0));
  rational twice[] = {{0, 1}, {1, 2}, {1, 2}};
  assert_fails(f, "1/2", wino_matrices_with_points(&f->a, 2, 3, twice));
  rational large[] = {{0, 1}, {1000003, 1}, {1, 1000033}, {1000037, 1000039}, {-1000081, 3}};
  assert_fails(f, "F(4,3): an exact fraction", wino_matrices_with_points(&f->a, 4, 3, large));
}

/* F(2,3) with 0, 1, -1 as published (Lavin and Gray, 2015, section 4.1), up to the free factors of
 * each frequency. */
static void f23_is_the_published_one(void **state) {
  fixture *f = *state;
  static const double bt[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
  static const double g[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  static const double at[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
  assert_works(f, {
    const wino_matrices *w = wino_matrices_build(&f->a, 2, 3);
    for (int j = 0; j < 4; j++) {
      for (int o = 0; o < 2; o++) {
        for (int k = 0; k < 3; k++) {
          for (int i = 0; i < 4; i++) {
            double ours = rat_double(w->at[o * 4 + j]) * rat_double(w->g[j * 3 + k]) *
                          rat_double(w->bt[j * 4 + i]);
            assert_true(fabs(ours - at[o][j] * g[j][k] * bt[j][i]) < 1e-15);
          }
        }
      }
    }
  });
}

/* --- steps --- */

static void run_steps(const wino_steps *s, const float *in, int stride, float *out,
                      int out_stride) {
  float value[512];
  for (int i = 0; i < s->cols; i++) value[i] = in[i * stride];
  for (int i = 0; i < s->count; i++) {
    const wino_step *t = &s->step[i];
    value[s->cols + i] =
        t->b < 0 ? (float)t->k * value[t->a] : fmaf((float)t->k, value[t->a], value[t->b]);
  }
  for (int row = 0; row < s->rows; row++) {
    out[row * out_stride] = s->result[row] < 0 ? 0 : value[s->result[row]];
  }
}

static void f43_takes_few_steps(void **state) {
  fixture *f = *state;
  assert_works(f, {
    const wino_matrices *w = wino_matrices_build(&f->a, 4, 3);
    assert_int_equal(wino_steps_build(&f->a, w->bt, 6, 6)->count, 12);
    assert_int_equal(wino_steps_build(&f->a, w->at, 4, 6)->count, 10);
    assert_int_equal(wino_steps_build(&f->a, w->g, 6, 3)->count, 9);
    assert_int_equal(w->points[1].num, 5);
    assert_int_equal(w->points[1].den, 8);
    w = wino_matrices_build(&f->a, 2, 3);
    assert_int_equal(wino_steps_build(&f->a, w->bt, 4, 4)->count, 4);
    assert_int_equal(wino_steps_build(&f->a, w->at, 2, 4)->count, 4);
  });
}

static void check_random_matrix(fixture *f, int rows, int cols) {
  rational matrix[8 * 8];
  for (int i = 0; i < rows * cols; i++) {
    matrix[i] = rat_make(&f->d, (int64_t)(uniform() * 4), uniform() < 0 ? 1 : 2);
  }
  float in[8], out[8];
  for (int i = 0; i < cols; i++) in[i] = uniform();
  run_steps(wino_steps_build(&f->a, matrix, rows, cols), in, 1, out, 1);
  for (int row = 0; row < rows; row++) {
    double want = 0;
    for (int col = 0; col < cols; col++) want += rat_double(matrix[row * cols + col]) * in[col];
    if (fabs(out[row] - want) > 1e-4)
      fail_msg("row %d of %dx%d: %g, not %g", row, rows, cols, out[row], want);
  }
}

static void steps_apply_any_matrix(void **state) {
  fixture *f = *state;
  assert_works(f, {
    for (int round = 0; round < 256; round++)
      check_random_matrix(f, 1 + round % 8, 1 + round / 8 % 8);
  });
}

static void odd_rows_need_no_steps(void **state) {
  fixture *f = *state;
  rational matrix[] = {{0, 1}, {0, 1}, {0, 1}, {1, 1}, {5, 2}, {0, 1}};
  assert_works(f, {
    const wino_steps *s = wino_steps_build(&f->a, matrix, 3, 2);
    assert_int_equal(s->result[0], -1);
    assert_int_equal(s->result[1], 1);
    assert_int_equal(s->count, 1);
  });
}

/* --- errors --- */

typedef struct block { /* a small array of up to four axes */
  int ndim, len[WN_MAX_SPATIAL];
  float *data;
} block;

static int elements(int ndim, const int *len) {
  int n = 1;
  for (int i = 0; i < ndim; i++) n *= len[i];
  return n;
}

/* One transform after the other, each along its axis. */
static block transform(arena *a, const wino_steps *const *s, block in) {
  for (int axis = 0; axis < in.ndim; axis++) {
    block out = in;
    out.len[axis] = s[axis]->rows;
    out.data = arena_array(a, float, elements(out.ndim, out.len));
    int outer = elements(axis, in.len), inner = elements(in.ndim - axis - 1, in.len + axis + 1);
    for (int o = 0; o < outer; o++) {
      for (int i = 0; i < inner; i++) {
        run_steps(s[axis], in.data + o * in.len[axis] * inner + i, inner,
                  out.data + o * out.len[axis] * inner + i, inner);
      }
    }
    in = out;
  }
  return in;
}

typedef struct problem {
  int ndim, m[WN_MAX_SPATIAL], r[WN_MAX_SPATIAL], piece[WN_MAX_SPATIAL], channels, chain;
  const rational *points; /* NULL: the best known */
} problem;

static int count_up(int ndim, const int *len, int *at) {
  for (int i = ndim - 1; i >= 0; i--) {
    if (++at[i] < len[i]) return 1;
    at[i] = 0;
  }
  return 0;
}

static int flat(int ndim, const int *len, const int *at, const int *offset) {
  int index = 0;
  for (int i = 0; i < ndim; i++) index = index * len[i] + at[i] + offset[i];
  return index;
}

/* The part of a filter or window that a piece sees; taps past the end are zeros. */
static block cut(arena *a, block from, const int *begin, const int *len) {
  block part = {.ndim = from.ndim};
  memcpy(part.len, len, sizeof(int) * (size_t)from.ndim);
  part.data = arena_array(a, float, elements(part.ndim, len));
  int at[WN_MAX_SPATIAL] = {0}, zero[WN_MAX_SPATIAL] = {0};
  do {
    int inside = 1;
    for (int i = 0; i < from.ndim; i++) inside = inside && at[i] + begin[i] < from.len[i];
    if (inside)
      part.data[flat(part.ndim, len, at, zero)] = from.data[flat(from.ndim, from.len, at, begin)];
  } while (count_up(from.ndim, len, at));
  return part;
}

static block random_block(arena *a, int ndim, const int *len) {
  block b = {.ndim = ndim};
  memcpy(b.len, len, sizeof(int) * (size_t)ndim);
  b.data = arena_array(a, float, elements(ndim, len));
  for (int i = 0; i < elements(ndim, len); i++) b.data[i] = uniform();
  return b;
}

typedef struct sums {
  double error, signal;
} sums;

/* One tile: all channels and pieces; chains of fused multiply-adds, then the sum of the chains. */
static void measure_tile(arena *a, const problem *p, const wino_steps *const (*s)[3], sums *sum) {
  int ndim = p->ndim, in_len[WN_MAX_SPATIAL], part_in[WN_MAX_SPATIAL], freq[WN_MAX_SPATIAL];
  int pieces[WN_MAX_SPATIAL];
  const wino_steps *bt[WN_MAX_SPATIAL], *g[WN_MAX_SPATIAL], *at[WN_MAX_SPATIAL];
  for (int i = 0; i < ndim; i++) {
    in_len[i] = p->m[i] + p->r[i] - 1;
    freq[i] = part_in[i] = p->m[i] + p->piece[i] - 1;
    pieces[i] = (p->r[i] + p->piece[i] - 1) / p->piece[i];
    bt[i] = s[i][0];
    g[i] = s[i][1];
    at[i] = s[i][2];
  }
  int outputs = elements(ndim, p->m), products = elements(ndim, freq), in_chain = 0;
  double *want = arena_array(a, double, outputs);
  float *total = arena_array(a, float, products), *chain = arena_array(a, float, products);
  for (int c = 0; c < p->channels; c++) {
    block x = random_block(a, ndim, in_len), w = random_block(a, ndim, p->r);
    int o[WN_MAX_SPATIAL] = {0}, zero[WN_MAX_SPATIAL] = {0};
    do {
      int k[WN_MAX_SPATIAL] = {0};
      do {
        want[flat(ndim, p->m, o, zero)] +=
            (double)x.data[flat(ndim, in_len, o, k)] * w.data[flat(ndim, p->r, k, zero)];
      } while (count_up(ndim, p->r, k));
    } while (count_up(ndim, p->m, o));
    int q[WN_MAX_SPATIAL] = {0};
    do {
      int begin[WN_MAX_SPATIAL];
      for (int i = 0; i < ndim; i++) begin[i] = q[i] * p->piece[i];
      block xf = transform(a, bt, cut(a, x, begin, part_in));
      block wf = transform(a, g, cut(a, w, begin, p->piece));
      for (int f = 0; f < products; f++) chain[f] = fmaf(xf.data[f], wf.data[f], chain[f]);
      if (++in_chain == p->chain) {
        for (int f = 0; f < products; f++) total[f] += chain[f];
        memset(chain, 0, sizeof(float) * (size_t)products);
        in_chain = 0;
      }
    } while (count_up(ndim, pieces, q));
  }
  for (int f = 0; f < products; f++) total[f] += chain[f];
  block y = {.ndim = ndim, .data = total};
  memcpy(y.len, freq, sizeof(int) * (size_t)ndim);
  y = transform(a, at, y);
  for (int i = 0; i < outputs; i++) {
    sum->error += ((double)y.data[i] - want[i]) * ((double)y.data[i] - want[i]);
    sum->signal += want[i] * want[i];
  }
}

/* Relative L2 error over at least so many tiles. The outputs of a tile share their noise, so tiles
 * are what counts. */
static double measure(fixture *f, const problem *p, int tiles) {
  const wino_steps *s[WN_MAX_SPATIAL][3];
  for (int i = 0; i < p->ndim; i++) {
    int m = p->m[i], r = p->piece[i];
    const wino_matrices *w = p->points != NULL ? wino_matrices_with_points(&f->a, m, r, p->points)
                                               : wino_matrices_build(&f->a, m, r);
    s[i][0] = wino_steps_build(&f->a, w->bt, w->n, w->n);
    s[i][1] = wino_steps_build(&f->a, w->g, w->n, w->r);
    s[i][2] = wino_steps_build(&f->a, w->at, w->m, w->n);
  }
  sums sum = {0};
  for (int t = 0; t < tiles; t++) {
    arena a;
    arena_init(&a, &f->d);
    measure_tile(&a, p, (const wino_steps *const(*)[3])s, &sum);
    arena_release(&a);
  }
  return sqrt(sum.error / sum.signal);
}

static problem plain(int ndim, int m, int r, int channels, int chain) {
  problem p = {.ndim = ndim, .channels = channels, .chain = chain};
  for (int i = 0; i < ndim; i++) {
    p.m[i] = m;
    p.r[i] = p.piece[i] = r;
  }
  return p;
}

static bool printing(void) { return getenv("WINNOW_PRINT") != NULL; }

/* Few tiles: a measurement may be that much above the mean that the model predicts. */
static const double SAMPLING = 1.15;

/* The model is an upper estimate and not a loose one. */
static void model_agrees_with_measurement(void **state) {
  fixture *f = *state;
  static const struct {
    int ndim, m, r, channels, chain, tiles;
  } cases[] = {
      {1, 2, 3, 64, 64, 400}, {1, 4, 3, 64, 64, 400}, {1, 6, 3, 64, 64, 400},
      {1, 2, 9, 64, 64, 400}, {1, 4, 5, 64, 64, 400}, {2, 2, 2, 64, 64, 100},
      {2, 2, 3, 64, 64, 100}, {2, 3, 3, 64, 64, 100}, {2, 4, 3, 16, 64, 100},
      {2, 4, 3, 64, 64, 100}, {2, 4, 3, 512, 64, 20}, {2, 4, 3, 512, 512, 20},
      {2, 5, 3, 64, 64, 100}, {2, 6, 3, 64, 64, 60},  {2, 4, 4, 64, 64, 60},
      {2, 2, 5, 64, 64, 60},  {2, 3, 5, 64, 64, 60},  {2, 4, 5, 64, 64, 60},
      {2, 2, 7, 64, 64, 60},  {2, 4, 7, 64, 64, 40},  {3, 2, 3, 64, 64, 40},
      {3, 3, 3, 64, 64, 20},  {3, 4, 3, 64, 64, 12},
  };
  assert_works(f, {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      problem p = plain(cases[i].ndim, cases[i].m, cases[i].r, cases[i].channels, cases[i].chain);
      double have = measure(f, &p, cases[i].tiles);
      int chain = p.chain < p.channels ? p.chain : p.channels;
      double want = wino_error(&f->a, p.ndim, p.m, p.r, chain);
      if (printing()) {
        printf("| F(%d,%d) | %d | %d | %d | %.2g | %.2g |\n", p.m[0], p.r[0], p.ndim, p.channels,
               chain, have, want);
      } else if (have > want * SAMPLING || have < want * 0.5) {
        fail_msg("F(%d,%d)^%d, %d channels: measured %g, model %g", p.m[0], p.r[0], p.ndim,
                 p.channels, have, want);
      }
    }
  });
}

/* Against the points that most libraries use: at least this much less error. */
static void points_beat_the_usual_ones(void **state) {
  fixture *f = *state;
  static const rational usual[][6] = {
      {{0, 1}, {1, 1}, {-1, 1}, {1, 2}},
      {{0, 1}, {1, 1}, {-1, 1}, {2, 1}, {-2, 1}},
      {{0, 1}, {1, 1}, {-1, 1}, {2, 1}, {-2, 1}, {1, 2}},
  };
  static const double less[] = {1.6, 1.5, 1.2};
  assert_works(f, {
    for (int m = 3; m <= 5; m++) {
      problem p = plain(2, m, 3, 64, 64);
      double ours = measure(f, &p, 100);
      p.points = usual[m - 3];
      double theirs = measure(f, &p, 100);
      if (printing()) {
        printf("| F(%d,3) | %.2g | %.2g | %.1f |\n", m, ours, theirs, theirs / ours);
      } else if (theirs < ours * less[m - 3]) {
        fail_msg("F(%d,3): %g, usual points %g", m, ours, theirs);
      }
    }
  });
}

static void check_choice(fixture *f, int ndim, const int *r, int64_t extent, int channels,
                         wn_math math) {
  wino_choice c;
  int64_t extents[] = {extent, extent, extent, extent}, taps = 1;
  wino_choose(&f->a, ndim, r, extents, channels, channels, math, &c);
  assert_int_equal(c.ndim, ndim);
  problem p = {.ndim = ndim, .channels = channels, .chain = (int)c.chain};
  int transformed = 0, products = 1;
  for (int i = 0; i < ndim; i++) {
    bool alone = c.m[i] == 1;
    assert_in_range(c.m[i], 1, 8);
    assert_in_range(c.piece[i], 1, r[i]);
    if (alone) assert_int_equal(c.piece[i], r[i]);
    p.m[i] = c.m[i];
    p.r[i] = r[i];
    p.piece[i] = alone ? 1 : c.piece[i];
    products *= p.m[i] + p.piece[i] - 1;
    taps *= r[i];
    transformed += !alone;
  }
  assert_true(transformed > 0 && products <= 64);
  double bound = math_bound(math, taps * channels), have = measure(f, &p, ndim == 1 ? 200 : 40);
  if (printing()) {
    printf("|");
    for (int i = 0; i < ndim; i++) printf(" %d", r[i]);
    printf(" |");
    for (int i = 0; i < ndim; i++) printf(" %d/%d", c.m[i], c.piece[i]);
    printf(" | %d | %.2g | %.2g | %.2g |\n", channels, have, c.error, bound);
  }
  if (have > c.error * SAMPLING || c.error > bound) {
    fail_msg("%d axes, r %d %d, extent %d: F(%d,%d)..: measured %g, predicted %g, promised %g",
             ndim, r[0], ndim > 1 ? r[1] : 0, (int)extent, p.m[0], p.piece[0], have, c.error,
             bound);
  }
}

/* Every filter length and dimension, whole and in pieces, and some mixtures. */
static void choices_keep_the_promise(void **state) {
  fixture *f = *state;
  static const int mixed[][3] = {{1, 7, 1}, {7, 1, 1}, {3, 5, 1}, {1, 3, 3}, {3, 1, 5}, {2, 3, 4}};
  assert_works(f, {
    for (int r = 2; r <= 9; r++) {
      int all[] = {r, r, r};
      for (int ndim = 1; ndim <= (r <= 5 ? 3 : 2); ndim++) {
        check_choice(f, ndim, all, 56, ndim == 1 ? 128 : 32, WN_MATH_FP32);
        check_choice(f, ndim, all, 10, 16, WN_MATH_FP32_FAST);
      }
    }
    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++) {
      check_choice(f, i < 3 ? 2 : 3, mixed[i], 17, 24, WN_MATH_FP32);
    }
    check_choice(f, 2, (int[]){3, 3}, 14, 512, WN_MATH_FP32);
    check_choice(f, 1, (int[]){25}, 100, 8, WN_MATH_FP32);
    check_choice(f, 4, (int[]){3, 3, 3, 3}, 6, 4, WN_MATH_FP32);
  });
}

static void small_work_stays_direct(void **state) {
  fixture *f = *state;
  static const struct {
    int r, extent, c, k, wins;
  } cases[] = {
      {3, 32, 16, 16, 1}, {3, 56, 64, 64, 1}, {3, 14, 256, 256, 1}, {3, 32, 1, 1, 0},
      {3, 224, 3, 64, 0}, {3, 32, 8, 8, 0},   {3, 1, 64, 64, 0},    {1, 56, 64, 64, 0},
  };
  assert_works(f, {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      wino_choice c;
      int r[] = {cases[i].r, cases[i].r};
      int64_t extent[] = {cases[i].extent, cases[i].extent};
      bool wins = wino_choose(&f->a, 2, r, extent, cases[i].c, cases[i].k, WN_MATH_FP32, &c);
      if (wins != cases[i].wins) fail_msg("case %d: cost %g", (int)i, c.cost);
      if (i < 2) assert_true(c.m[0] == 4 && c.m[1] == 4);
      assert_int_equal(c.ndim, cases[i].r == 1 ? 0 : 2);
    }
  });
}

static void promise_grows_slowly(void **state) {
  (void)state;
  assert_true(math_bound(WN_MATH_FP32, 9) == 1.2e-6);
  assert_true(math_bound(WN_MATH_FP32, 512 * 9) == 1.2e-6);
  assert_true(math_bound(WN_MATH_FP32, 2048 * 9) <
              4.8e-6); /* twice what one chain of this length measures */
  assert_true(math_bound(WN_MATH_FP32_FAST, 576) == 1e-5);
}

int main(void) {
  const char *given = getenv("WINNOW_SEED");
  seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
  printf("seed %llu\n", (unsigned long long)seed);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rationals_are_exact),           cmocka_unit_test(rationals_overflow_loudly),
      cmocka_unit_test(every_size_correlates),         cmocka_unit_test(impossible_sizes_are_named),
      cmocka_unit_test(f23_is_the_published_one),      cmocka_unit_test(f43_takes_few_steps),
      cmocka_unit_test(steps_apply_any_matrix),        cmocka_unit_test(odd_rows_need_no_steps),
      cmocka_unit_test(model_agrees_with_measurement), cmocka_unit_test(points_beat_the_usual_ones),
      cmocka_unit_test(choices_keep_the_promise),      cmocka_unit_test(small_work_stays_direct),
      cmocka_unit_test(promise_grows_slowly),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
