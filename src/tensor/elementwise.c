/* Elementwise operations, casts and reductions over whole axes.
 *
 * In: tensors of one dtype. Out: nodes of the ALU ops over operands of one shape, and
 * REDUCE_AXIS. Activations that are no op of their own are spelled out here. */
#include "tensor/tensor.h"

/* Nothing is folded at this level: a constant of shape [] must not stand for a tensor. */
static const uop *alu(wn_context *ctx, uop_op op, wn_dtype dtype, int n, const uop *const *src) {
  return uop_new(&ctx->graph, op, dtype, n, src, (uop_arg){0});
}

/* --- broadcasting ----------------------------------------------------------------------------- */

/* numpy's rule: aligned at the last axis, extents equal or 1. Replaces every tensor by its
 * broadcast. */
static void broadcast(const char *who, int count, wn_tensor **t) {
  wn_context *ctx = t[0]->ctx;
  int64_t shape[WN_MAX_DIMS];
  int ndim = 0;
  for (int j = 0; j < count; ++j) {
    if (t[j]->ctx != ctx)
      diag_fail(&ctx->diag, WN_ERR_USAGE, "%s: operands belong to different contexts", who);
    if (t[j]->shape->len > ndim) ndim = t[j]->shape->len;
  }
  for (int i = 0; i < ndim; ++i) {
    shape[i] = 1;
    for (int j = 0; j < count; ++j) {
      int at = i - (ndim - t[j]->shape->len);
      int64_t e = at < 0 ? 1 : t[j]->shape->at[at];
      if (e == 1 || e == shape[i]) continue;
      if (shape[i] != 1) {
        diag_fail(&ctx->diag, WN_ERR_USAGE,
                  "%s: shapes %s and %s do not broadcast; extents must be equal or 1", who,
                  tensor_text(t[0]), tensor_text(t[j]));
      }
      shape[i] = e;
    }
  }
  for (int j = 0; j < count; ++j) t[j] = tensor_expand(who, t[j], ndim, shape);
}

static void same_dtype(const char *who, wn_tensor *a, wn_tensor *b) {
  if (a->dtype == b->dtype) return;
  diag_fail(&a->ctx->diag, WN_ERR_USAGE,
            "%s: operands are %s %s and %s %s; convert one with wn_cast", who,
            wn_dtype_name(a->dtype), tensor_text(a), wn_dtype_name(b->dtype), tensor_text(b));
}

/* --- which dtypes an operation takes ---------------------------------------------------------- */

enum { FLOATS = 1, INTS = 2, BOOLS = 4, NUMBERS = FLOATS | INTS, ANYTHING = NUMBERS | BOOLS };

static void need_dtype(const char *who, const char *op, unsigned kinds, wn_tensor *t) {
  unsigned kind = dtype_is_float(t->dtype) ? FLOATS : t->dtype == WN_BOOL ? BOOLS : INTS;
  if (kinds & kind) return;
  const char *wanted = kinds == FLOATS  ? "a floating-point"
                       : kinds == BOOLS ? "a bool"
                                        : "a numeric";
  diag_fail(&t->ctx->diag, WN_ERR_USAGE,
            "%s: %s takes %s tensor, not %s %s; convert it with wn_cast", who, op, wanted,
            wn_dtype_name(t->dtype), tensor_text(t));
}

/* --- nodes ------------------------------------------------------------------------------------ */

static wn_tensor *unary(uop_op op, wn_tensor *t) {
  return tensor_new(t->ctx, alu(t->ctx, op, t->dtype, 1, &t->node), t->dtype, t->shape);
}

wn_tensor *tensor_zip(const char *who, uop_op op, wn_tensor *a, wn_tensor *b) {
  same_dtype(who, a, b);
  wn_tensor *t[2] = {a, b};
  broadcast(who, 2, t);
  wn_dtype dtype = op_table[op].dtype == DT_BOOL ? WN_BOOL : a->dtype;
  const uop *node = alu(a->ctx, op, dtype, 2, (const uop *[]){t[0]->node, t[1]->node});
  return tensor_new(a->ctx, node, dtype, t[0]->shape);
}

wn_tensor *tensor_where(const char *who, wn_tensor *cond, wn_tensor *a, wn_tensor *b) {
  need_dtype(who, "the condition", BOOLS, cond);
  same_dtype(who, a, b);
  wn_tensor *t[3] = {cond, a, b};
  broadcast(who, 3, t);
  const uop *node =
      alu(a->ctx, OP_WHERE, a->dtype, 3, (const uop *[]){t[0]->node, t[1]->node, t[2]->node});
  return tensor_new(a->ctx, node, a->dtype, t[0]->shape);
}

/* --- binary ----------------------------------------------------------------------------------- */

/* a - b q with q = floor(a / b), where b times a q of 0 is 0 for an infinite b too. a / b rounds, up to the next
 * integer at most; then q is one too large and what is left has the wrong sign. */
static wn_tensor *modulo(const char *who, wn_tensor *a, wn_tensor *b) {
  if (dtype_is_int(a->dtype)) return tensor_zip(who, OP_MOD, a, b);
  wn_tensor *zero = tensor_number(a, 0), *q = unary(OP_FLOOR, tensor_zip(who, OP_DIV, a, b));
  wn_tensor *rest = tensor_zip(who, OP_SUB, a, tensor_zip(who, OP_MUL, b, q));
  rest = tensor_where(who, tensor_zip(who, OP_EQ, q, zero), a, rest);
  wn_tensor *wrong = tensor_zip(who, OP_LT, tensor_zip(who, OP_MUL, rest, b), zero);
  return tensor_where(who, wrong, tensor_zip(who, OP_ADD, rest, b), rest);
}

/* The number that all elements of t are, if that can be seen. */
static bool one_number(const wn_tensor *t, double *number) {
  const uop *u = t->node;
  while (u->op == OP_RESHAPE || u->op == OP_EXPAND) u = u->src[0];
  if (u->op != OP_CONST) return false;
  *number = uop_const_value(u);
  return true;
}

/* Exponents that models have are products, quotients and roots. */
static wn_tensor *power(const char *who, wn_tensor *a, wn_tensor *b) {
  same_dtype(who, a, b);
  wn_tensor *t[2] = {a, b};
  broadcast(who, 2, t);
  double n;
  if (!one_number(b, &n)) return tensor_zip(who, OP_POW, a, b);
  if (n == 1) return t[0];
  if (n == 2) return tensor_zip(who, OP_MUL, t[0], t[0]);
  if (n == 3) return tensor_zip(who, OP_MUL, tensor_zip(who, OP_MUL, t[0], t[0]), t[0]);
  if (n == 0.5) return unary(OP_SQRT, t[0]);
  if (n == -1) return tensor_zip(who, OP_DIV, tensor_number(a, 1), t[0]);
  return tensor_zip(who, OP_POW, a, b);
}

/* op OP_COUNT: spelled out of several. */
static const struct {
  const char *name;
  uop_op op;
  unsigned kinds;
} binary_table[] = {
    [WN_ADD] = {"addition", OP_ADD, NUMBERS},
    [WN_SUB] = {"subtraction", OP_SUB, NUMBERS},
    [WN_MUL] = {"multiplication", OP_MUL, NUMBERS},
    [WN_DIV] = {"division", OP_DIV, NUMBERS},
    [WN_MAX] = {"max", OP_MAX, NUMBERS},
    [WN_MIN] = {"min", OP_MIN, NUMBERS},
    [WN_LESS] = {"less", OP_LT, NUMBERS},
    [WN_EQUAL] = {"equal", OP_EQ, ANYTHING},
    [WN_AND] = {"and", OP_AND, BOOLS},
    [WN_OR] = {"or", OP_OR, BOOLS},
    [WN_MOD] = {"modulo", OP_COUNT, NUMBERS},
    [WN_POW] = {"power", OP_COUNT, FLOATS},
};

static wn_tensor *zip(wn_binary op, wn_tensor *a, wn_tensor *b) {
  if ((size_t)op >= sizeof binary_table / sizeof *binary_table) {
    diag_fail(&a->ctx->diag, WN_ERR_USAGE, "wn_zip: there is no operation %d", (int)op);
  }
  need_dtype("wn_zip", binary_table[op].name, binary_table[op].kinds, a);
  if (op == WN_MOD) return modulo("wn_zip", a, b);
  if (op == WN_POW) return power("wn_zip", a, b);
  bool whole = op == WN_DIV && dtype_is_int(a->dtype); /* integers divide rounding down */
  return tensor_zip("wn_zip", whole ? OP_IDIV : binary_table[op].op, a, b);
}

wn_tensor *wn_zip(wn_binary op, wn_tensor *a, wn_tensor *b) {
  if (a == NULL || b == NULL) return NULL;
  TENSOR_RETURN(a->ctx, zip(op, a, b));
}

/* --- unary ------------------------------------------------------------------------------------ */

/* 1 / (1 + e^-x): where the power overflows it is 0, and the number of that size is no normal one. NaN stays NaN. */
static wn_tensor *sigmoid(wn_tensor *x) {
  const char *who = "wn_map";
  wn_tensor *one = tensor_number(x, 1), *power = unary(OP_EXP, unary(OP_NEG, x));
  return tensor_zip(who, OP_DIV, one, tensor_zip(who, OP_ADD, power, one));
}

/* x/2 (1 + erf(x / sqrt 2)): Hendrycks and Gimpel, arXiv:1606.08415, without the tanh
 * approximation. */
static wn_tensor *gelu(wn_tensor *x) {
  const char *who = "wn_map";
  wn_tensor *erf =
      unary(OP_ERF, tensor_zip(who, OP_MUL, x, tensor_number(x, 0.70710678118654752440)));
  wn_tensor *half = tensor_zip(who, OP_MUL, x, tensor_number(x, 0.5));
  return tensor_zip(who, OP_MUL, half, tensor_zip(who, OP_ADD, erf, tensor_number(x, 1)));
}

/* op OP_COUNT: spelled out of several. */
static const struct {
  const char *name;
  uop_op op;
  unsigned kinds;
} unary_table[] = {
    [WN_NEG] = {"negation", OP_NEG, NUMBERS}, [WN_ABS] = {"abs", OP_ABS, NUMBERS},
    [WN_SQRT] = {"sqrt", OP_SQRT, FLOATS},    [WN_EXP] = {"exp", OP_EXP, FLOATS},
    [WN_LOG] = {"log", OP_LOG, FLOATS},       [WN_SIN] = {"sin", OP_SIN, FLOATS},
    [WN_TANH] = {"tanh", OP_TANH, FLOATS},    [WN_RECIPROCAL] = {"reciprocal", OP_COUNT, FLOATS},
    [WN_RELU] = {"relu", OP_COUNT, NUMBERS},  [WN_SIGMOID] = {"sigmoid", OP_COUNT, FLOATS},
    [WN_GELU] = {"gelu", OP_COUNT, FLOATS},   [WN_NOT] = {"not", OP_NOT, BOOLS},
    [WN_FLOOR] = {"floor", OP_FLOOR, FLOATS}, [WN_ROUND] = {"round", OP_ROUND, FLOATS},
    [WN_COS] = {"cos", OP_COS, FLOATS},       [WN_ATAN] = {"atan", OP_ATAN, FLOATS},
    [WN_ERF] = {"erf", OP_ERF, FLOATS},
};

static wn_tensor *map_op(wn_unary op, wn_tensor *t) {
  if ((size_t)op >= sizeof unary_table / sizeof *unary_table) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "wn_map: there is no operation %d", (int)op);
  }
  need_dtype("wn_map", unary_table[op].name, unary_table[op].kinds, t);
  switch (op) {
    case WN_RECIPROCAL:
      return tensor_zip("wn_map", OP_DIV, tensor_number(t, 1), t);
    case WN_RELU:
      return tensor_zip("wn_map", OP_MAX, t, tensor_number(t, 0));
    case WN_SIGMOID:
      return sigmoid(t);
    case WN_GELU:
      return gelu(t);
    default:
      return unary(unary_table[op].op, t);
  }
}

wn_tensor *wn_map(wn_unary op, wn_tensor *t) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, map_op(op, t));
}

wn_tensor *wn_where(wn_tensor *cond, wn_tensor *a, wn_tensor *b) {
  if (cond == NULL || a == NULL || b == NULL) return NULL;
  TENSOR_RETURN(cond->ctx, tensor_where("wn_where", cond, a, b));
}

static wn_tensor *cast(wn_tensor *t, wn_dtype dtype) {
  if ((unsigned)dtype >= WN_DTYPE_COUNT) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "wn_cast: there is no dtype %d", (int)dtype);
  }
  if (dtype == t->dtype) return t;
  return tensor_new(t->ctx, alu(t->ctx, OP_CAST, dtype, 1, &t->node), dtype, t->shape);
}

wn_tensor *wn_cast(wn_tensor *t, wn_dtype dtype) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, cast(t, dtype));
}

/* --- reductions ------------------------------------------------------------------------------- */

wn_tensor *tensor_reduce(const char *who, uop_op op, wn_tensor *t, const int *axes, int count,
                         int keep) {
  graph *g = &t->ctx->graph;
  int n = t->shape->len;
  if (count < 0 || (count > 0 && axes == NULL)) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: the list of axes is missing", who);
  }
  bool gone[WN_MAX_DIMS] = {false};
  for (int i = 0; i < count; ++i) {
    int a = axes[i] < 0 ? axes[i] + n : axes[i];
    if (a < 0 || a >= n) {
      diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: there is no axis %d in %s", who, axes[i],
                tensor_text(t));
    }
    if (gone[a]) {
      diag_fail(&t->ctx->diag, WN_ERR_USAGE, "%s: axis %d of %s is named twice", who, axes[i],
                tensor_text(t));
    }
    gone[a] = true;
  }
  int64_t args[WN_MAX_DIMS + 1] = {op}, kept[WN_MAX_DIMS], rest[WN_MAX_DIMS];
  int nargs = 1, nrest = 0;
  for (int i = 0; i < n; ++i) {
    kept[i] = gone[i] ? 1 : t->shape->at[i];
    if (!gone[i])
      rest[nrest++] = t->shape->at[i];
    else if (t->shape->at[i] > 1)
      args[nargs++] = i; /* one element is its own sum */
  }
  if (tensor_is_empty(t))
    return tensor_filled(t->ctx, uop_identity(g, op, t->dtype), keep ? n : nrest,
                         keep ? kept : rest);
  wn_tensor *r = t;
  if (nargs > 1) {
    const uop_arg arg = {.list = intern_list(g, nargs, args)};
    const uop *node = uop_new(g, OP_REDUCE_AXIS, t->dtype, 1, &t->node, arg);
    r = tensor_new(t->ctx, node, t->dtype, intern_list(g, n, kept));
  }
  return keep ? r : tensor_reshape(who, r, nrest, rest);
}

static wn_tensor *reduce(wn_reduction op, wn_tensor *t, const int *axes, int count, int keep) {
  static const uop_op ops[] = {
      [WN_SUM] = OP_ADD, [WN_PRODUCT] = OP_MUL, [WN_MAXIMUM] = OP_MAX, [WN_MINIMUM] = OP_MIN};
  if ((size_t)op >= sizeof ops / sizeof *ops) {
    diag_fail(&t->ctx->diag, WN_ERR_USAGE, "wn_reduce: there is no reduction %d", (int)op);
  }
  need_dtype("wn_reduce", "a reduction", NUMBERS, t);
  return tensor_reduce("wn_reduce", ops[op], t, axes, count, keep);
}

wn_tensor *wn_reduce(wn_reduction op, wn_tensor *t, const int *axes, int count, int keep) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, reduce(op, t, axes, count, keep));
}
