/* What a convolution should give, and how far a result is from it.
 *
 * In: a problem and its data. Out: float64 values of y = act(conv(x, w) + bias + residual) at
 * places of the output: all of them where that is cheap, else the corners and places drawn from a
 * fixed seed. Always holds: plain loops over the definition, in double, that share nothing with the
 * compiler. */
#ifndef WINNOW_CLI_REFERENCE_H
#define WINNOW_CLI_REFERENCE_H

#include "base/mem.h"
#include "problem.h"
#include "winnow/winnow.h"

typedef enum activation {
  ACT_NONE,
  ACT_RELU,
  ACT_SIGMOID,
  ACT_TANH,
  ACT_GELU,
  ACT_ABS,
  ACT_COUNT
} activation;
const char *activation_name(activation act);

typedef struct conv_data {
  const problem *problem;
  bool nhwc;          /* x, residual and y are [n][spatial...][c] instead of [n][c][spatial...] */
  const float *x, *w; /* w[oc][ic / groups][filter...] always */
  const float *bias, *residual; /* NULL: none */
  activation act;
} conv_data;

typedef struct reference {
  int64_t count;
  int64_t *place; /* index into y, in the data's layout */
  double *value;
  /* the size of what was summed there: |w| convolved with |x|, |bias|, |residual| */
  double *summed;
  double direct_error;     /* relative L2 of a direct float32 convolution at the same places, */
  double direct_sum_error; /* and relative to what was summed */
} reference;

/* At most `budget` multiplications, but always some places; all places if the budget allows. */
void reference_make(reference *r, arena *a, const conv_data *d, int64_t budget);

typedef struct error_figures {
  double max_abs, relative_l2; /* over the places where both are finite */
  double relative_sum;         /* L2 relative to what was summed */
  int64_t wrong_special; /* the reference is finite and the result is not, or the other way round */
} error_figures;
void reference_compare(const reference *r, const float *y, error_figures *e);

/* What the promise of this maths mode allows (docs/winograd.md): of relative_l2, on independent noise, */
double reference_promise(const reference *r, wn_math math);
/* and of relative_sum, on any data. */
double reference_sum_promise(const reference *r, wn_math math);

#endif
