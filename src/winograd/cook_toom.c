/* The matrices of F(m, r) from interpolation points (Cook-Toom, transposed).
 *
 * In: n - 1 = m + r - 2 distinct finite points a_j; infinity is always the n-th. Out: A^T, G and
 * B^T.
 * The product s = g h of polynomials with r and m coefficients is fixed by its values at n points:
 *     s(x) = sum_j g(a_j) h(a_j) M_j(x) / N_j + g_top h_top M(x),
 *     M(x) = prod_i (x - a_i),  M_j(x) = M(x) / (x - a_j),  N_j = M_j(a_j).
 * Transposed in h this is the correlation:
 *     B^T[j] = coefficients of M_j, the last row those of M; monic, which saves a step a row;
 *     G[j]   = (1, a_j, a_j^2, ...) / (N_j s_j), the last row picks the last tap;
 *     A^T[i][j] = s_j a_j^i, the last column picks the last output.
 * The factors s_j are free (they cancel); they give every row of A^T an entry 1, which saves a
 * product there.
 * Sources: Blahut, "Fast Algorithms for Signal Processing", ch. 5; Lavin and Gray,
 * arXiv:1509.09308.
 * Always holds: everything is exact, and the identity y = A^T [(G g) .* (B^T d)] was checked for
 * all unit vectors. */
#include <stdlib.h>

#include "winograd/model.h"

static const rational zero = {0, 1}, one = {1, 1};

static bool rat_equal(rational a, rational b) { return a.num == b.num && a.den == b.den; }

static bool rat_is_unit(rational a) { return a.den == 1 && (a.num == 1 || a.num == -1); }

static rational rat_negate(rational a) { return (rational){-a.num, a.den}; }

static rational rat_power(diag *d, rational a, int exponent) {
  rational power = one;
  for (int i = 0; i < exponent; ++i) power = rat_mul(d, power, a);
  return power;
}

/* poly[0..degree] times (x - root), in place; poly has room for one more coefficient. */
static void poly_times_root(diag *d, rational *poly, int degree, rational root) {
  poly[degree + 1] = poly[degree];
  for (int k = degree; k > 0; --k) {
    poly[k] = rat_add(d, poly[k - 1], rat_mul(d, rat_negate(root), poly[k]));
  }
  poly[0] = rat_mul(d, rat_negate(root), poly[0]);
}

/* s_j: a power of 1 / |a_j|, the same for a and -a so that their rows still share halves. Row 0 of
 * A^T has its 1 from the point 0 and the last row from infinity; rows 1..m-2 get theirs by dividing
 * one pair of points each. With +-1 among the points every row has one already. */
static void choose_scales(diag *d, int m, int finite, const rational *point, rational *scale) {
  bool unit_point = false, done[WINO_MAX_N] = {false};
  for (int j = 0; j < finite; ++j) {
    scale[j] = one;
    unit_point |= rat_is_unit(point[j]);
  }
  if (unit_point) return;
  int row = 1;
  for (int j = 0; j < finite && row < m - 1; ++j) {
    if (point[j].num == 0 || done[j]) continue;
    rational magnitude = {llabs(point[j].num), point[j].den};
    rational power = rat_div(d, one, rat_power(d, magnitude, row++));
    for (int i = j; i < finite; ++i) {
      if (point[i].den != magnitude.den || llabs(point[i].num) != magnitude.num) continue;
      scale[i] = power;
      done[i] = true;
    }
  }
}

static void fill(diag *d, wino_matrices *w) {
  int m = w->m, r = w->r, n = w->n, last = n - 1;
  rational scale[WINO_MAX_N];
  choose_scales(d, m, last, w->points, scale);
  for (int j = 0; j <= last; ++j) {
    rational *row = w->bt + j * n;
    rational norm = one;
    int degree = 0;
    row[0] = one;
    for (int i = 0; i < last; ++i) {
      if (i == j) continue;
      poly_times_root(d, row, degree++, w->points[i]);
      if (j < last) {
        norm = rat_mul(d, norm, rat_add(d, w->points[j], rat_negate(w->points[i])));
      }
    }
    for (int k = degree + 1; k < n; ++k) row[k] = zero;
    for (int k = 0; k < r; ++k) {
      w->g[j * r + k] = j == last
                            ? (k == r - 1 ? one : zero)
                            : rat_div(d, rat_power(d, w->points[j], k), rat_mul(d, norm, scale[j]));
    }
    for (int i = 0; i < m; ++i) {
      w->at[i * n + j] = j == last ? (i == m - 1 ? one : zero)
                                   : rat_mul(d, scale[j], rat_power(d, w->points[j], i));
    }
  }
}

/* sum_f A^T[i][f] G[f][k] B^T[f][d] = 1 where d = i + k and else 0, for all i, k, d: by linearity
 * the whole identity. The weights A^T[i][f] G[f][k] usually repeat along i + k; equal ones are
 * summed once. */
static void verify(diag *d, const wino_matrices *w) {
  int m = w->m, r = w->r, n = w->n;
  rational seen[WINO_MAX_N * WINO_MAX_N];
  bool known[WINO_MAX_N] = {false};
  for (int i = 0; i < m; ++i) {
    for (int k = 0; k < r; ++k) {
      rational weight[WINO_MAX_N], *same = seen + (i + k) * n;
      bool equal = known[i + k];
      for (int f = 0; f < n; ++f) {
        weight[f] = rat_mul(d, w->at[i * n + f], w->g[f * r + k]);
        equal = equal && rat_equal(weight[f], same[f]);
      }
      if (equal) continue;
      for (int e = 0; e < n; ++e) {
        rational sum = zero;
        for (int f = 0; f < n; ++f) {
          if (weight[f].num == 0 || w->bt[f * n + e].num == 0) continue;
          sum = rat_add(d, sum, rat_mul(d, weight[f], w->bt[f * n + e]));
        }
        WN_CHECK(rat_equal(sum, e == i + k ? one : zero),
                 "F(%d,%d): the matrices are wrong at %d, %d, %d", m, r, i, k, e);
      }
      memcpy(same, weight, sizeof(rational) * (size_t)n);
      known[i + k] = true;
    }
  }
}

const wino_matrices *wino_matrices_with_points(arena *a, int m, int r, const rational *points) {
  diag *d = a->diag;
  int n = m + r - 1;
  if (m < 1 || r < 1 || n > WINO_MAX_N) {
    diag_fail(d, WN_ERR_USAGE, "F(%d,%d): tile and filter must be at least 1, m + r - 1 at most %d",
              m, r, WINO_MAX_N);
  }
  for (int i = 0; i < n - 1; ++i) {
    for (int j = 0; j < i; ++j) {
      if (!rat_equal(points[i], points[j])) continue;
      diag_fail(d, WN_ERR_USAGE, "F(%d,%d): the point %lld/%lld is there twice", m, r,
                (long long)points[i].num, (long long)points[i].den);
    }
  }
  wino_matrices *w = arena_new(a, wino_matrices);
  w->m = m;
  w->r = r;
  w->n = n;
  w->points = arena_copy(a, points, sizeof(rational) * (size_t)(n - 1));
  w->at = arena_array(a, rational, m * n);
  w->g = arena_array(a, rational, n * r);
  w->bt = arena_array(a, rational, n * n);
  wn_status st;
  DIAG_TRY(d, st) {
    fill(d, w);
    verify(d, w);
  }
  DIAG_END(d, st)
  if (st != WN_OK) {
    const char *reason = arena_strdup(a, d->message);
    diag_fail(d, st, "F(%d,%d): %s", m, r, reason);
  }
  return w;
}

const wino_matrices *wino_matrices_build(arena *a, int m, int r) {
  rational points[WINO_MAX_N];
  if (m < 1 || r < 1 || m > WINO_MAX_N || r > WINO_MAX_N || m + r - 1 > WINO_MAX_N) {
    diag_fail(a->diag, WN_ERR_USAGE,
              "F(%d,%d): tile and filter must be at least 1, m + r - 1 at most %d", m, r,
              WINO_MAX_N);
  }
  wino_points(m, r, points);
  return wino_matrices_with_points(a, m, r, points);
}
