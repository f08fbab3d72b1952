/* What the files of the algebra share: the points' table and the figures of one axis from which
 * errors and costs of any number of axes follow. */
#ifndef WN_WINOGRAD_MODEL_H
#define WN_WINOGRAD_MODEL_H

#include "winograd/algebra.h"

enum { WINO_MAX_N = 16 };

/* With few outputs errors vary around what is predicted: a choice stays below this share of the promise. */
static const double WINO_SPREAD = 0.80;

/* The m + r - 2 finite points for F(m, r), n <= WINO_MAX_N, into points. */
void wino_points(int m, int r, rational *points);

/* Variances relative to that of the result and to one rounding of a value of variance 1 (model in
 * error.c); steps of one application of each transform. */
typedef struct wino_axis {
  int m, r, n;
  int steps_b, steps_g, steps_a;
  double kappa;            /* gain of noise that is independent at every frequency */
  double nu_b, nu_g, nu_a; /* noise that the transforms themselves make */
} wino_axis;
wino_axis wino_axis_of(arena *a, const wino_matrices *w);
/* Relative L2 error of these axes, applied first to last, with products summed in chains of the
 * given length. */
double wino_axes_error(int ndim, const wino_axis *axis, int64_t chain);

#endif
