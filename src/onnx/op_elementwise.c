/* Operators that are elementwise: arithmetic, comparisons, activations.
 *
 * In: one or more inputs that broadcast as in numpy. Out: one result. */
#include <math.h>

#include "onnx/operators.h"
#include "tensor/tensor.h"

#define UNARY(function, op) \
  void function(op_call *c) { op_result(c, 0, op_map(c, op, op_in(c, 0))); }
UNARY(op_abs, WN_ABS)
UNARY(op_atan, WN_ATAN)
UNARY(op_cos, WN_COS)
UNARY(op_erf, WN_ERF)
UNARY(op_exp, WN_EXP)
UNARY(op_floor, WN_FLOOR)
UNARY(op_log, WN_LOG)
UNARY(op_neg, WN_NEG)
UNARY(op_not, WN_NOT)
UNARY(op_reciprocal, WN_RECIPROCAL)
UNARY(op_round, WN_ROUND)
UNARY(op_sin, WN_SIN)
UNARY(op_sqrt, WN_SQRT)
UNARY(op_tanh, WN_TANH)

static wn_tensor *number(op_call *c, const wn_tensor *like, double value) {
  return op_scalar(c, like, value);
}

/* --- of two and more -------------------------------------------------------------------------- */

/* Before opset 7 the second operand broadcast where an attribute said so, from `axis` of the first on. */
static wn_tensor *second(op_call *c) {
  wn_tensor *a = op_in(c, 0), *b = op_in(c, 1);
  if (c->opset >= 7 || op_attribute(c, "axis") == NULL || wn_ndim(b) == 0) return b;
  const int ndim = wn_ndim(a), axis = op_axis(c, op_int(c, "axis", 0), ndim);
  int64_t shape[WN_MAX_DIMS];
  if (axis + wn_ndim(b) > ndim) op_fail(c, "the second operand does not fit from axis %d on", axis);
  for (int i = 0; i < ndim; ++i)
    shape[i] = i >= axis && i < axis + wn_ndim(b) ? wn_shape(b)[i - axis] : 1;
  return op_reshape(c, b, ndim, shape);
}

#define BINARY(function, op) \
  void function(op_call *c) { op_result(c, 0, op_zip(c, op, op_in(c, 0), second(c))); }
BINARY(op_add, WN_ADD)
BINARY(op_sub, WN_SUB)
BINARY(op_mul, WN_MUL)
BINARY(op_and, WN_AND)
BINARY(op_or, WN_OR)
BINARY(op_equal, WN_EQUAL)
BINARY(op_less, WN_LESS)

void op_greater(op_call *c) { op_result(c, 0, op_zip(c, WN_LESS, second(c), op_in(c, 0))); }

static wn_tensor *at_most(op_call *c, wn_tensor *a, wn_tensor *b) {
  return op_zip(c, WN_OR, op_zip(c, WN_LESS, a, b), op_zip(c, WN_EQUAL, a, b));
}
void op_less_or_equal(op_call *c) { op_result(c, 0, at_most(c, op_in(c, 0), op_in(c, 1))); }
void op_greater_or_equal(op_call *c) { op_result(c, 0, at_most(c, op_in(c, 1), op_in(c, 0))); }

void op_xor(op_call *c) {
  op_result(c, 0, op_map(c, WN_NOT, op_zip(c, WN_EQUAL, op_in(c, 0), second(c))));
}

/* Integers are divided towards zero, winnow's WN_DIV rounds down. */
static wn_tensor *divide(op_call *c, wn_tensor *a, wn_tensor *b) {
  if (dtype_is_float(wn_tensor_dtype(a))) return op_zip(c, WN_DIV, a, b);
  wn_tensor *q = op_zip(c, WN_DIV, a, b), *zero = number(c, a, 0);
  wn_tensor *exact = op_zip(c, WN_EQUAL, op_zip(c, WN_MUL, q, b), a);
  wn_tensor *below = op_zip(c, WN_LESS, q, zero);
  return op_where(c, op_zip(c, WN_AND, below, op_map(c, WN_NOT, exact)),
                  op_zip_number(c, WN_ADD, q, 1), q);
}
void op_div(op_call *c) { op_result(c, 0, divide(c, op_in(c, 0), second(c))); }

static wn_tensor *truncated(op_call *c, wn_tensor *t) {
  wn_tensor *down = op_map(c, WN_FLOOR, op_map(c, WN_ABS, t));
  return op_where(c, op_zip(c, WN_LESS, t, number(c, t, 0)), op_map(c, WN_NEG, down), down);
}

void op_mod(op_call *c) {
  wn_tensor *a = op_in(c, 0), *b = op_in(c, 1);
  const bool floats = dtype_is_float(wn_tensor_dtype(a)), fmod = op_int(c, "fmod", 0) != 0;
  if (floats && !fmod) op_fail(c, "of floats needs fmod = 1");
  wn_tensor *q = fmod && floats ? truncated(c, op_zip(c, WN_DIV, a, b))
                 : fmod         ? divide(c, a, b)
                                : op_zip(c, WN_DIV, a, b);
  op_result(c, 0, op_zip(c, WN_SUB, a, op_zip(c, WN_MUL, q, b)));
}

/* x to a small whole power, by squaring. */
static wn_tensor *whole_power(op_call *c, wn_tensor *x, int n) {
  wn_tensor *r = NULL;
  for (wn_tensor *square = x; n > 0; n /= 2) {
    if (n % 2 != 0) r = r == NULL ? square : op_zip(c, WN_MUL, r, square);
    if (n > 1) square = op_zip(c, WN_MUL, square, square);
  }
  return r;
}

static wn_tensor *known_power(op_call *c, wn_tensor *x, onnx_value *e) {
  const double n =
      value_count(e) == 1 && e->ndim <= wn_ndim(x) && e->known ? value_element(c->imp, e, 0) : NAN;
  const bool floats = dtype_is_float(wn_tensor_dtype(x));
  if (n == floor(n) && n >= 1 && n <= 64) return whole_power(c, x, (int)n);
  if (!floats) return NULL;
  if (n == 0.5) return op_map(c, WN_SQRT, x);
  if (n == -0.5) return op_map(c, WN_RECIPROCAL, op_map(c, WN_SQRT, x));
  return n == -1 ? op_map(c, WN_RECIPROCAL, x) : NULL;
}

void op_pow(op_call *c) {
  wn_tensor *x = op_in(c, 0), *r = known_power(c, x, op_value(c, 1));
  const wn_dtype dtype = wn_tensor_dtype(x);
  if (r == NULL) {
    const wn_dtype wide = dtype_is_float(dtype) ? dtype : WN_F64;
    r = op_zip(c, WN_POW, op_cast(c, x, wide), op_cast(c, op_in(c, 1), wide));
    if (wide != dtype) r = op_cast(c, op_map(c, WN_ROUND, r), dtype);
  }
  op_result_typed(c, 0, r, op_value(c, 0)->type);
}

static wn_tensor *fold(op_call *c, wn_binary op) {
  wn_tensor *r = op_in(c, 0);
  for (int i = 1; i < c->node->inputs; ++i) r = op_zip(c, op, r, op_in(c, i));
  return r;
}
void op_sum(op_call *c) { op_result(c, 0, fold(c, WN_ADD)); }
void op_max(op_call *c) { op_result(c, 0, fold(c, WN_MAX)); }
void op_min(op_call *c) { op_result(c, 0, fold(c, WN_MIN)); }
void op_mean(op_call *c) {
  op_result(c, 0, op_zip_number(c, WN_MUL, fold(c, WN_ADD), 1.0 / c->node->inputs));
}

void op_where_node(op_call *c) {
  op_result_typed(c, 0, op_where(c, op_in(c, 0), op_in(c, 1), op_in(c, 2)), op_value(c, 1)->type);
}

/* --- of one, made of others ------------------------------------------------------------------- */

static void composed(op_call *c, wn_tensor *t) { op_result(c, 0, t); }

void op_ceil(op_call *c) {
  composed(c, op_map(c, WN_NEG, op_map(c, WN_FLOOR, op_map(c, WN_NEG, op_in(c, 0)))));
}

void op_tan(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  composed(c, op_zip(c, WN_DIV, op_map(c, WN_SIN, x), op_map(c, WN_COS, x)));
}

/* asin x = atan(x / sqrt((1 - x) (1 + x))) */
static wn_tensor *arc_sine(op_call *c, wn_tensor *x) {
  wn_tensor *one = number(c, x, 1);
  wn_tensor *rest = op_zip(c, WN_MUL, op_zip(c, WN_SUB, one, x), op_zip(c, WN_ADD, one, x));
  return op_map(c, WN_ATAN, op_zip(c, WN_DIV, x, op_map(c, WN_SQRT, rest)));
}
void op_asin(op_call *c) { composed(c, arc_sine(c, op_in(c, 0))); }

/* acos x = 2 atan(sqrt((1 - x) / (1 + x))), which is exact at both ends */
void op_acos(op_call *c) {
  wn_tensor *x = op_in(c, 0), *one = number(c, x, 1);
  wn_tensor *ratio = op_zip(c, WN_DIV, op_zip(c, WN_SUB, one, x), op_zip(c, WN_ADD, one, x));
  composed(c, op_zip_number(c, WN_MUL, op_map(c, WN_ATAN, op_map(c, WN_SQRT, ratio)), 2));
}

/* log(1 + x) for x >= 0 without loss near 0: log(u) x / (u - 1) with u = 1 + x as it is rounded (Kahan). */
static wn_tensor *log_plus_one(op_call *c, wn_tensor *x) {
  wn_tensor *u = op_zip_number(c, WN_ADD, x, 1), *d = op_zip_number(c, WN_SUB, u, 1);
  wn_tensor *none = op_zip(c, WN_EQUAL, d, number(c, x, 0));
  wn_tensor *safe = op_where(c, none, number(c, x, 1), d);
  wn_tensor *near = op_zip(c, WN_DIV, op_zip(c, WN_MUL, op_map(c, WN_LOG, u), x), safe);
  return op_where(c, none, x, near);
}

static wn_tensor *with_sign_of(op_call *c, wn_tensor *size, wn_tensor *x) {
  return op_where(c, op_zip(c, WN_LESS, x, number(c, x, 0)), op_map(c, WN_NEG, size), size);
}

/* asinh x = log(1 + a + a^2 / (1 + sqrt(a^2 + 1))), a = |x| */
void op_asinh(op_call *c) {
  wn_tensor *x = op_in(c, 0), *a = op_map(c, WN_ABS, x), *a2 = op_zip(c, WN_MUL, a, a);
  wn_tensor *root = op_map(c, WN_SQRT, op_zip_number(c, WN_ADD, a2, 1));
  wn_tensor *more = op_zip(c, WN_DIV, a2, op_zip_number(c, WN_ADD, root, 1));
  composed(c, with_sign_of(c, log_plus_one(c, op_zip(c, WN_ADD, a, more)), x));
}

/* acosh x = log(1 + t + sqrt(2 t + t^2)), t = x - 1 */
void op_acosh(op_call *c) {
  wn_tensor *t = op_zip_number(c, WN_SUB, op_in(c, 0), 1);
  wn_tensor *root = op_map(c, WN_SQRT, op_zip(c, WN_MUL, t, op_zip_number(c, WN_ADD, t, 2)));
  composed(c, log_plus_one(c, op_zip(c, WN_ADD, t, root)));
}

/* atanh x = log(1 + 2 a / (1 - a)) / 2, a = |x| */
void op_atanh(op_call *c) {
  wn_tensor *x = op_in(c, 0), *a = op_map(c, WN_ABS, x);
  wn_tensor *ratio =
      op_zip(c, WN_DIV, op_zip_number(c, WN_MUL, a, 2), op_zip(c, WN_SUB, number(c, x, 1), a));
  composed(c, with_sign_of(c, op_zip_number(c, WN_MUL, log_plus_one(c, ratio), 0.5), x));
}

static wn_tensor *half_of(op_call *c, wn_binary op, wn_tensor *x) {
  wn_tensor *e = op_map(c, WN_EXP, x), *f = op_map(c, WN_EXP, op_map(c, WN_NEG, x));
  return op_zip_number(c, WN_MUL, op_zip(c, op, e, f), 0.5);
}
void op_cosh(op_call *c) { composed(c, half_of(c, WN_ADD, op_in(c, 0))); }

/* sinh x = t / (1 - t^2) * 2 with t = tanh(x / 2), which keeps its digits near 0; beyond 1 by the definition */
void op_sinh(op_call *c) {
  wn_tensor *x = op_in(c, 0), *t = op_map(c, WN_TANH, op_zip_number(c, WN_MUL, x, 0.5));
  wn_tensor *rest = op_zip(c, WN_SUB, number(c, x, 1), op_zip(c, WN_MUL, t, t));
  wn_tensor *near = op_zip(c, WN_DIV, op_zip_number(c, WN_MUL, t, 2), rest);
  wn_tensor *small = op_zip(c, WN_LESS, op_map(c, WN_ABS, x), number(c, x, 1));
  composed(c, op_where(c, small, near, half_of(c, WN_SUB, x)));
}

void op_sign(op_call *c) {
  wn_tensor *x = op_in(c, 0), *zero = number(c, x, 0);
  wn_tensor *below = op_where(c, op_zip(c, WN_LESS, x, zero), number(c, x, -1), x);
  composed(c, op_where(c, op_zip(c, WN_LESS, zero, x), number(c, x, 1), below));
}

void op_is_nan(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  op_result_typed(c, 0, op_map(c, WN_NOT, op_zip(c, WN_EQUAL, x, x)), ONNX_BOOL);
}

void op_is_inf(op_call *c) {
  wn_tensor *x = op_in(c, 0), *none = op_ok(c, wn_scalar(c->ctx, WN_BOOL, 0));
  wn_tensor *up = op_zip(c, WN_EQUAL, x, number(c, x, INFINITY)),
            *down = op_zip(c, WN_EQUAL, x, number(c, x, -INFINITY));
  if (op_int(c, "detect_positive", 1) == 0) up = op_zip(c, WN_AND, up, none);
  if (op_int(c, "detect_negative", 1) == 0) down = op_zip(c, WN_AND, down, none);
  op_result_typed(c, 0, op_zip(c, WN_OR, up, down), ONNX_BOOL);
}

/* --- activations ------------------------------------------------------------------------------ */

void op_relu(op_call *c) { op_result(c, 0, op_map(c, WN_RELU, op_in(c, 0)))->nonnegative = true; }

void op_sigmoid(op_call *c) {
  op_result(c, 0, op_map(c, WN_SIGMOID, op_in(c, 0)))->nonnegative = true;
}

/* x where x >= 0, else `below` */
static void piecewise(op_call *c, wn_tensor *x, wn_tensor *below) {
  composed(c, op_where(c, op_zip(c, WN_LESS, x, number(c, x, 0)), below, x));
}

void op_leaky_relu(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  piecewise(c, x, op_zip_number(c, WN_MUL, x, op_float(c, "alpha", (double)0.01f)));
}

/* A slope of one axis broadcasts from the right, as numpy has it; some exporters mean channels. */
void op_prelu(op_call *c) {
  wn_tensor *x = op_in(c, 0), *slope = op_in(c, 1);
  const int n = wn_ndim(x);
  if (wn_ndim(slope) == 1 && n > 2 && wn_shape(slope)[0] != 1 &&
      wn_shape(slope)[0] == wn_shape(x)[1] && wn_shape(slope)[0] != wn_shape(x)[n - 1])
    slope = op_channels(c, slope, n);
  piecewise(c, x, op_zip(c, WN_MUL, x, slope));
}

static wn_tensor *exp_minus_one(op_call *c, wn_tensor *x) {
  return op_zip_number(c, WN_SUB, op_map(c, WN_EXP, x), 1);
}

void op_elu(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  piecewise(c, x, op_zip_number(c, WN_MUL, exp_minus_one(c, x), op_float(c, "alpha", 1)));
}

void op_celu(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const double alpha = op_float(c, "alpha", 1);
  piecewise(c, x,
            op_zip_number(c, WN_MUL, exp_minus_one(c, op_zip_number(c, WN_DIV, x, alpha)), alpha));
}

void op_selu(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const double alpha = op_float(c, "alpha", (double)1.67326319217681884765625f),
               gamma = op_float(c, "gamma", (double)1.05070102214813232421875f);
  wn_tensor *below = op_zip_number(c, WN_MUL, exp_minus_one(c, x), alpha);
  wn_tensor *r = op_where(c, op_zip(c, WN_LESS, x, number(c, x, 0)), below, x);
  composed(c, op_zip_number(c, WN_MUL, r, gamma));
}

void op_thresholded_relu(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  wn_tensor *above = op_zip(c, WN_LESS, number(c, x, op_float(c, "alpha", 1)), x);
  composed(c, op_where(c, above, x, number(c, x, 0)));
}

void op_shrink(op_call *c) {
  wn_tensor *x = op_in(c, 0), *zero = number(c, x, 0);
  const double lambd = op_float(c, "lambd", 0.5), bias = op_float(c, "bias", 0);
  wn_tensor *below = op_where(c, op_zip(c, WN_LESS, x, number(c, x, -lambd)),
                              op_zip_number(c, WN_ADD, x, bias), zero);
  composed(c, op_where(c, op_zip(c, WN_LESS, number(c, x, lambd), x),
                       op_zip_number(c, WN_SUB, x, bias), below));
}

static wn_tensor *clipped(op_call *c, wn_tensor *x, double lo, double hi) {
  return op_zip_number(c, WN_MIN, op_zip_number(c, WN_MAX, x, lo), hi);
}

static wn_tensor *hard_sigmoid(op_call *c, wn_tensor *x, double alpha, double beta) {
  return clipped(c, op_zip_number(c, WN_ADD, op_zip_number(c, WN_MUL, x, alpha), beta), 0, 1);
}

void op_hard_sigmoid(op_call *c) {
  const double alpha = op_float(c, "alpha", (double)0.2f), beta = op_float(c, "beta", 0.5);
  op_result(c, 0, hard_sigmoid(c, op_in(c, 0), alpha, beta))->nonnegative = true;
}

void op_hard_swish(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  composed(c, op_zip(c, WN_MUL, x, hard_sigmoid(c, x, 1.0 / 6, 0.5)));
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|) */
static wn_tensor *softplus(op_call *c, wn_tensor *x) {
  wn_tensor *e = op_map(c, WN_EXP, op_map(c, WN_NEG, op_map(c, WN_ABS, x)));
  return op_zip(c, WN_ADD, op_map(c, WN_RELU, x), log_plus_one(c, e));
}
void op_softplus(op_call *c) { composed(c, softplus(c, op_in(c, 0))); }

void op_mish(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  composed(c, op_zip(c, WN_MUL, x, op_map(c, WN_TANH, softplus(c, x))));
}

void op_softsign(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  composed(c, op_zip(c, WN_DIV, x, op_zip_number(c, WN_ADD, op_map(c, WN_ABS, x), 1)));
}

void op_gelu(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  const char *how = op_text(c, "approximate", "none");
  if (strcmp(how, "tanh") == 0) {
    wn_tensor *cube =
        op_zip_number(c, WN_MUL, op_zip(c, WN_MUL, x, op_zip(c, WN_MUL, x, x)), 0.044715);
    wn_tensor *inner = op_zip_number(c, WN_MUL, op_zip(c, WN_ADD, x, cube), 0.79788456080286535588);
    wn_tensor *t = op_zip_number(c, WN_ADD, op_map(c, WN_TANH, inner), 1);
    composed(c, op_zip(c, WN_MUL, op_zip_number(c, WN_MUL, x, 0.5), t));
  } else if (strcmp(how, "none") == 0) {
    composed(c, op_map(c, WN_GELU, x));
  } else {
    op_fail(c, "attribute \"approximate\" is \"%s\"; \"none\" and \"tanh\" are known", how);
  }
}

/* Bounds are attributes up to opset 10, then inputs, of which either may be left out. */
void op_clip(op_call *c) {
  wn_tensor *x = op_in(c, 0);
  bool nonnegative = false;
  if (c->opset < 11) {
    const double lo = op_float(c, "min", -INFINITY), hi = op_float(c, "max", INFINITY);
    nonnegative = lo >= 0;
    if (!isinf(lo)) x = op_zip_number(c, WN_MAX, x, lo);
    if (!isinf(hi)) x = op_zip_number(c, WN_MIN, x, hi);
  } else {
    if (op_has(c, 1)) {
      onnx_value *lo = op_value(c, 1);
      nonnegative = lo->known && value_count(lo) == 1 && value_element(c->imp, lo, 0) >= 0;
      x = op_zip(c, WN_MAX, x, op_in(c, 1));
    }
    if (op_has(c, 2)) x = op_zip(c, WN_MIN, x, op_in(c, 2));
  }
  op_result(c, 0, x)->nonnegative = nonnegative;
}

/* --- types ------------------------------------------------------------------------------------ */

static void cast_to(op_call *c, int type) {
  onnx_value *v = op_value(c, 0);
  const wn_dtype to = computed_dtype(type);
  const bool narrow = onnx_type_size(type) < wn_dtype_size(to) && !dtype_is_float(to);
  if (to == WN_DTYPE_COUNT) op_fail(c, "there are no casts to %s", onnx_type_name(c->a, type));
  if (narrow && v->type != type && !(v->type == ONNX_BOOL))
    op_fail(c, "casts to %s would wrap around, which is not supported", onnx_type_name(c->a, type));
  wn_tensor *x = op_in(c, 0);
  if (to == WN_BOOL && v->dtype != WN_BOOL)
    x = op_map(c, WN_NOT, op_zip(c, WN_EQUAL, x, number(c, x, 0)));
  op_result_typed(c, 0, op_cast(c, x, to), type)->nonnegative = v->nonnegative;
}

void op_cast_node(op_call *c) {
  if (op_attribute(c, "to") == NULL) op_fail(c, "attribute \"to\" is missing");
  cast_to(c, (int)op_int(c, "to", 0));
}
void op_cast_like(op_call *c) { cast_to(c, op_value(c, 1)->type); }

void op_identity(op_call *c) { c->out[0] = op_value(c, 0); }

/* Inference: the input as it is, and a mask of true. */
void op_dropout(op_call *c) {
  if (op_has(c, 2) && op_number(c, 2, 0) != 0) op_fail(c, "training mode is not supported");
  op_identity(c);
  if (!op_wants(c, 1)) return;
  const onnx_value *v = op_value(c, 0);
  int64_t ones[WN_MAX_DIMS];
  for (int i = 0; i < v->ndim; ++i) ones[i] = 1;
  wn_tensor *one = op_ok(c, wn_scalar(c->ctx, WN_BOOL, 1));
  op_result_typed(c, 1, op_expand(c, op_reshape(c, one, v->ndim, ones), v->ndim, v->shape),
                  ONNX_BOOL);
}
