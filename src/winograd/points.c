/* Interpolation points for Cook-Toom: data.
 *
 * In: m and r. Out: n - 1 = m + r - 2 distinct finite points; infinity is implied.
 * Always: pairs +a, -a stand together, so that their rows share halves, and 0 is there where the
 * number is odd; without it an even number is all pairs, which halves the error of {0, +-a, b}.
 * Denominators are powers of two: A^T and B^T are exact in fp32 but for scaling. The sets minimise
 * the error model (error.c) to about 1% over the fractions k/8 (n < 9) or k/4 up to 3; from n = 11
 * on over a few of the latter. docs/winograd.md compares them with the usual ones.
 * Compare Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution",
 * arXiv:1803.10986. */
#include "winograd/model.h"

enum { MAX_PAIRS = (WINO_MAX_N - 1) / 2 };

/* [n]: the positive one of each pair, as numerator, denominator. */
static const struct {
  int8_t pair[MAX_PAIRS][2];
} table[WINO_MAX_N + 1] = {
    [3] = {{{5, 8}}},
    [4] = {{{1, 1}}},
    [5] = {{{3, 8}, {5, 4}}},
    [6] = {{{5, 8}, {3, 2}}},
    [7] = {{{1, 4}, {7, 8}, {7, 4}}},
    [8] = {{{1, 2}, {1, 1}, {2, 1}}},
    [9] = {{{1, 4}, {3, 4}, {5, 4}, {9, 4}}},
    [10] = {{{1, 2}, {3, 4}, {5, 4}, {5, 2}}},
    [11] = {{{1, 4}, {1, 2}, {1, 1}, {3, 2}, {5, 2}}},
    [12] = {{{1, 4}, {3, 4}, {1, 1}, {3, 2}, {5, 2}}},
    [13] = {{{1, 4}, {1, 2}, {3, 4}, {1, 1}, {3, 2}, {5, 2}}},
    [14] = {{{1, 4}, {1, 2}, {1, 1}, {5, 4}, {7, 4}, {5, 2}}},
    [15] = {{{1, 4}, {1, 2}, {3, 4}, {1, 1}, {5, 4}, {7, 4}, {5, 2}}},
    [16] = {{{1, 4}, {1, 2}, {3, 4}, {1, 1}, {5, 4}, {7, 4}, {5, 2}}},
};

void wino_points(int m, int r, rational *points) {
  int finite = m + r - 2, j = 0;
  if (finite % 2 == 1) points[j++] = (rational){0, 1};
  for (int p = 0; j < finite; ++p, j += 2) {
    const int8_t *at = table[finite + 1].pair[p];
    points[j] = (rational){at[0], at[1]};
    points[j + 1] = (rational){-at[0], at[1]};
  }
}
