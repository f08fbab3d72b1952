/* The rounding error of F(m1, r1) x F(m2, r2) x ... in fp32, predicted from the matrices.
 *
 * In: matrices and chain length. Out: relative L2 error against exact arithmetic, for independent
 * data of mean 0.
 * Model: a value that is rounded gains independent noise of ROUNDING^2 times its own variance. Both
 * are carried through the steps that kernels run, so cancellation and shared halves count as they
 * are. A step whose constant is not exact in fp32 adds that constant's error too. Per axis, with a,
 * b, g the squared norms of frequency f's column of A^T (mean over outputs), row of B^T and row of
 * G, everything relative to r, the variance of one output:
 *   kappa   sum_f a b g, the gain of noise that is independent at each frequency (of products)
 *   nu_b    noise made while B^T is applied; from there on it goes the same way as data
 *   nu_g    the same for G
 *   nu_a    noise made while A^T is applied to the products
 * Axes are transformed one after another. To noise made at axis i an axis that comes later is an
 * exact convolution, gain 1; one that was transformed before has made it independent per frequency,
 * gain kappa. For A^T it is the other way round. A chain of L products has noise (L + 1) / 2
 * (partial sums grow), amplified by every axis's kappa.
 * Compare Barabasz et al., arXiv:1803.10986, who bound the same sums. */
#include <math.h>

#include "winograd/model.h"

/* Root mean square of (rounded - x) / rms(x) in fp32: uniform within half a unit, mantissas
 * distributed as 1/x. */
static const double ROUNDING = 2.34e-8;

/* Measured errors stay below the model times this (tests/unit/test_algebra.c). */
static const double UPPER = 1.3;

typedef struct form { /* dense coefficients */
  const double *entry;
  int rows, cols;
} form;

static form dense(arena *a, const rational *matrix, int rows, int cols) {
  double *entry = arena_array(a, double, rows *cols);
  for (int i = 0; i < rows * cols; ++i) entry[i] = rat_double(matrix[i]);
  return (form){entry, rows, cols};
}

static double square(double x) { return x * x; }

static double norm2(const double *x, int n, int stride) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += square(x[i * stride]);
  return sum;
}

/* Row i: value i (an input or a step) as a combination of the inputs. */
static const double *forward(arena *a, const wino_steps *s) {
  double *alpha = arena_array(a, double, (s->cols + s->count) * s->cols);
  for (int i = 0; i < s->cols; ++i) alpha[i * s->cols + i] = 1;
  for (int i = 0; i < s->count; ++i) {
    const wino_step *step = &s->step[i];
    double *to = alpha + (s->cols + i) * s->cols;
    for (int c = 0; c < s->cols; ++c) {
      to[c] =
          step->k * alpha[step->a * s->cols + c] + (step->b < 0 ? 0 : alpha[step->b * s->cols + c]);
    }
  }
  return alpha;
}

/* Row i: what value i contributes to each result. */
static const double *backward(arena *a, const wino_steps *s) {
  double *weight = arena_array(a, double, (s->cols + s->count) * s->rows);
  for (int row = 0; row < s->rows; ++row) {
    if (s->result[row] >= 0) weight[s->result[row] * s->rows + row] = 1;
  }
  for (int i = s->count - 1; i >= 0; --i) {
    const wino_step *step = &s->step[i];
    const double *from = weight + (s->cols + i) * s->rows;
    for (int row = 0; row < s->rows; ++row) {
      weight[step->a * s->rows + row] += step->k * from[row];
      if (step->b >= 0) weight[step->b * s->rows + row] += from[row];
    }
  }
  return weight;
}

/* Variance of the noise of one step, in roundings, given the variances of its result and of its
 * operand a. */
static double step_noise(const wino_step *step, double result, double operand) {
  int exponent;
  bool exact = step->b < 0 && fabs(frexp(step->k, &exponent)) == 0.5; /* a power of two */
  double constant = (double)(float)step->k - step->k;
  return (exact ? 0 : result) + operand * square(constant / ROUNDING);
}

/* Variance at the outputs, mean over them, of sum_f A^T[i][f] weight[f] other[f][j] over
 * independent j. */
static double output_gain(form at, const double *weight, form other) {
  double sum = 0;
  for (int i = 0; i < at.rows; ++i) {
    for (int j = 0; j < other.cols; ++j) {
      double c = 0;
      for (int f = 0; f < at.cols; ++f) {
        c += at.entry[i * at.cols + f] * weight[f] * other.entry[f * other.cols + j];
      }
      sum += square(c);
    }
  }
  return sum / at.rows;
}

/* Noise of an input transform whose results are multiplied by `other` applied to independent
 * data. */
static double input_noise(arena *a, const wino_steps *s, form at, form other) {
  const double *alpha = forward(a, s), *weight = backward(a, s);
  double sum = 0;
  for (int i = 0; i < s->count; ++i) {
    const wino_step *step = &s->step[i];
    int value = s->cols + i;
    double noise = step_noise(step, norm2(alpha + value * s->cols, s->cols, 1),
                              norm2(alpha + step->a * s->cols, s->cols, 1));
    sum += noise * output_gain(at, weight + value * s->rows, other);
  }
  return sum;
}

/* Variance of the combination alpha of the products (B^T d)_f (G g)_f. */
static double product_variance(const double *alpha, form bt, form g) {
  double sum = 0;
  for (int d = 0; d < bt.cols; ++d) {
    for (int k = 0; k < g.cols; ++k) {
      double c = 0;
      for (int f = 0; f < bt.rows; ++f) {
        c += alpha[f] * bt.entry[f * bt.cols + d] * g.entry[f * g.cols + k];
      }
      sum += square(c);
    }
  }
  return sum;
}

static double output_noise(arena *a, const wino_steps *s, form bt, form g) {
  const double *alpha = forward(a, s), *weight = backward(a, s);
  double sum = 0;
  for (int i = 0; i < s->count; ++i) {
    const wino_step *step = &s->step[i];
    int value = s->cols + i;
    double noise = step_noise(step, product_variance(alpha + value * s->cols, bt, g),
                              product_variance(alpha + step->a * s->cols, bt, g));
    sum += noise * norm2(weight + value * s->rows, s->rows, 1) / s->rows;
  }
  return sum;
}

wino_axis wino_axis_of(arena *a, const wino_matrices *w) {
  int m = w->m, r = w->r, n = w->n;
  const wino_steps *steps_b = wino_steps_build(a, w->bt, n, n);
  const wino_steps *steps_g = wino_steps_build(a, w->g, n, r);
  const wino_steps *steps_a = wino_steps_build(a, w->at, m, n);
  form at = dense(a, w->at, m, n), g = dense(a, w->g, n, r), bt = dense(a, w->bt, n, n);
  wino_axis axis = {.m = m, .r = r, .n = n};
  axis.steps_b = steps_b->count;
  axis.steps_g = steps_g->count;
  axis.steps_a = steps_a->count;
  for (int f = 0; f < n; ++f) {
    axis.kappa += norm2(at.entry + f, m, n) / m * norm2(bt.entry + f * n, n, 1) *
                  norm2(g.entry + f * r, r, 1);
  }
  axis.kappa /= r;
  axis.nu_b = input_noise(a, steps_b, at, g) / r;
  axis.nu_g = input_noise(a, steps_g, at, bt) / r;
  axis.nu_a = output_noise(a, steps_a, bt, g) / r;
  return axis;
}

double wino_axes_error(int ndim, const wino_axis *axis, int64_t chain) {
  double before = 1, all = 1, noise = 0;
  for (int i = 0; i < ndim; ++i) all *= axis[i].kappa;
  double after = all;
  for (int i = 0; i < ndim; ++i) {
    noise += before * (axis[i].nu_b + axis[i].nu_g);
    before *= axis[i].kappa;
    after /= axis[i].kappa;
    noise += after * axis[i].nu_a;
  }
  noise += all * 0.5 * (double)(chain + 1);
  return UPPER * ROUNDING * sqrt(noise);
}

double wino_error(arena *a, int ndim, const int *m, const int *r, int64_t channels) {
  wino_axis axis[WN_MAX_SPATIAL];
  for (int i = 0; i < ndim; ++i) axis[i] = wino_axis_of(a, wino_matrices_build(a, m[i], r[i]));
  return wino_axes_error(ndim, axis, channels);
}

/* A vectorised direct convolution sums in at least four chains at once, better libraries in many
 * more. That keeps the estimate below what vendors' libraries show (4.3e-7 at 576 products to
 * 1.2e-6 at 4608 in one chain). */
double math_bound(wn_math math, int64_t products) {
  double chain = (double)products / 8;
  double direct = ROUNDING * sqrt(0.5 * (chain + 1));
  double fp32 = fmax(1.2e-6, 2 * direct);
  return math == WN_MATH_FP32_FAST ? fmax(1e-5, fp32) : fp32;
}
