/* Winograd / Cook-Toom matrices for any F(m, r), in exact rational arithmetic, and their error.
 *
 * n = m + r - 1:  y[m] = A^T [ (G g[r]) .* (B^T d[n]) ], correlation:  y[i] = sum_k g[k] d[i + k].
 * Source: Cook-Toom as in Blahut, "Fast Algorithms for Signal Processing", ch. 5; Lavin and Gray,
 * arXiv:1509.09308. */
#ifndef WN_WINOGRAD_ALGEBRA_H
#define WN_WINOGRAD_ALGEBRA_H

#include "base/mem.h"

typedef struct rational { /* reduced, den > 0 */
  int64_t num, den;
} rational;
/* Exact; overflow is diag_fail(WN_ERR_USAGE), to which the matrices add the name F(m, r). */
rational rat_make(diag *d, int64_t num, int64_t den);
rational rat_add(diag *d, rational a, rational b);
rational rat_mul(diag *d, rational a, rational b);
rational rat_div(diag *d, rational a, rational b);
static inline double rat_double(rational a) { return (double)a.num / (double)a.den; }

typedef struct wino_matrices {
  int m, r, n;
  const rational *points; /* n - 1 finite ones; infinity is the last */
  rational *at;           /* [m][n] */
  rational *g;            /* [n][r] */
  rational *bt;           /* [n][n] */
} wino_matrices;

/* Built in arena a with the best known points for n (a table, points.c). m >= 1, r >= 1, n <= 16,
 * else diag_fail(WN_ERR_USAGE) naming F(m, r). Verified on the way: the identity above holds exactly
 * for the unit vectors. Rows of B^T and G and columns of A^T are scaled: see cook_toom.c. */
const wino_matrices *wino_matrices_build(arena *a, int m, int r);
const wino_matrices *wino_matrices_with_points(arena *a, int m, int r, const rational *points);

/* Applying one matrix (rows x cols) to a column of values as a straight line of steps in which the
 * shared halves of rows for +p and -p are computed once, constants are factored, and every step is
 * one fused multiply-add (or an add, or a product): the six-point input transform of F(4,3) has 12
 * steps. Values 0..cols-1 are the inputs, cols + i is the result of step i. */
typedef struct wino_step {
  double k; /* value = k * value[a] + value[b];  b < 0: value = k * value[a] */
  int a, b;
} wino_step;
typedef struct wino_steps {
  int cols, rows, count;
  wino_step *step;
  int *result; /* [rows]: which value is row i's result; -1: the row is zero */
} wino_steps;
const wino_steps *wino_steps_build(arena *a, const rational *matrix, int rows, int cols);

/* Predicted relative L2 error against float64 of an N-dimensional F(m[i], r[i]) in fp32 on uniform
 * [-1, 1] data, from the matrices (no table of shapes); an upper estimate of the measured values in
 * docs/winograd.md. `channels`: products that one chain of additions sums; a schedule that splits
 * the sum passes the length of its partial sums. */
double wino_error(arena *a, int ndim, const int *m, const int *r, int64_t channels);
/* What the maths mode promises for a reduction of this length (products summed per output): */
double math_bound(wn_math math, int64_t products);

/* Tile and pieces per axis for filters r[0..ndim): m[i] = 1 leaves the axis alone; piece[i] < r[i]
 * splits a long filter into ceil(r / piece) pieces. The largest n^N <= 64 that keeps the promise,
 * by cost (multiplications and transform steps per output, input and outputs counted for c input
 * and k output channels) among those. Returns false if nothing beats direct; out is then still the
 * best choice (ndim 0: there is none), for a caller who was told to rewrite. extent[i]: outputs per
 * axis (a tile larger than the image wastes work). The error holds for partial sums of at most
 * WINO_CHAIN channels (pieces and axes left alone count as channels), which the schedule must
 * make. */
enum { WINO_CHAIN = 64 };
typedef struct wino_choice {
  int ndim;
  int m[WN_MAX_SPATIAL], piece[WN_MAX_SPATIAL];
  double error, cost; /* cost relative to direct = 1 */
  int64_t chain; /* longest chain of additions that error allows for: min(channels, WINO_CHAIN) */
} wino_choice;
bool wino_choose(arena *a, int ndim, const int *r, const int64_t *extent, int64_t c, int64_t k,
                 wn_math math, wino_choice *out);

#endif
