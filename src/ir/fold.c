/* Elementwise construction: dtype rules, constants and units folded.
 *
 * In: operands. Out: the simplest node that building alone can see (lower/simplify.h does the rest).
 * Always holds: folding computes in the node's dtype and changes no result bit, NaN and signed zeros included. */
#include <math.h>

#include "ir/uop.h"

static bool exact_source(const uop *u) { return dtype_is_int(u->dtype) || u->dtype == WN_BOOL; }

/* --- constants -------------------------------------------------------------------------------- */

/* +0 is larger than -0, so that commuting the operands gives the same. */
static double larger(double a, double b) {
  if (isnan(a) || isnan(b)) return NAN;
  if (a == b) return signbit(a) ? b : a;
  return a > b ? a : b;
}

static double fold_float(uop_op op, double a, double b) {
  switch (op) {
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_DIV:
      return a / b;
    case OP_MAX:
      return larger(a, b);
    case OP_MIN:
      return -larger(-a, -b);
    default:
      diag_panic(__FILE__, __LINE__, "cannot fold %s", op_table[op].name);
  }
}

bool uop_fold_int(uop_op op, int64_t a, int64_t b, int64_t *r) {
  switch (op) {
    case OP_ADD:
      return !__builtin_add_overflow(a, b, r);
    case OP_SUB:
      return !__builtin_sub_overflow(a, b, r);
    case OP_MUL:
      return !__builtin_mul_overflow(a, b, r);
    case OP_IDIV:
      return b != 0 && !(a == INT64_MIN && b == -1) ? (*r = int_div(a, b), true) : false;
    case OP_MOD:
      return b != 0 && !(a == INT64_MIN && b == -1) ? (*r = int_mod(a, b), true) : false;
    case OP_MAX:
    case OP_OR:
      return *r = a > b ? a : b, true;
    case OP_MIN:
    case OP_AND:
      return *r = a < b ? a : b, true;
    case OP_LT:
      return *r = a < b, true;
    case OP_EQ:
      return *r = a == b, true;
    default:
      return false;
  }
}

static const uop *fold_constants(graph *g, uop_op op, const uop *a, const uop *b) {
  bool compare = op == OP_LT || op == OP_EQ;
  if (dtype_is_float(a->dtype)) {
    double x = a->arg.f, y = b->arg.f;
    if (op == OP_POW) return NULL; /* each backend has its own last bit */
    if (compare) return uop_bool(g, op == OP_LT ? x < y : x == y);
    /* float32 results of + - * / are correctly rounded when computed in double and rounded once more */
    bool exact = a->dtype == WN_F64 || a->dtype == WN_F32 || op == OP_MAX || op == OP_MIN;
    return exact ? uop_const(g, a->dtype, fold_float(op, x, y)) : NULL;
  }
  int64_t r;
  if (!uop_fold_int(op, a->arg.i, b->arg.i, &r)) return NULL;
  if (compare) return uop_bool(g, r != 0);
  if (a->dtype == WN_I32 && r != (int32_t)r) return NULL;
  return uop_new(g, OP_CONST, a->dtype, 0, NULL, (uop_arg){.i = r});
}

/* --- units ------------------------------------------------------------------------------------ */

static bool is_value(const uop *u, double v) {
  return u->op == OP_CONST && uop_const_value(u) == v;
}

/* x op k for a constant k; NULL where nothing folds. x + 0 stays for floats: it turns -0 into +0. */
static const uop *fold_unit(graph *g, uop_op op, const uop *x, const uop *k) {
  bool exact = exact_source(x);
  switch (op) {
    case OP_ADD:
    case OP_SUB:
      return exact && is_value(k, 0) ? x : NULL;
    case OP_MUL:
      return is_value(k, 1) ? x : exact && is_value(k, 0) ? k : NULL;
    case OP_DIV:
      return is_value(k, 1) ? x : NULL;
    case OP_IDIV:
      return is_value(k, 1) ? x : NULL;
    case OP_MOD:
      return is_value(k, 1) ? uop_new(g, OP_CONST, x->dtype, 0, NULL, (uop_arg){0}) : NULL;
    case OP_AND:
      return k->arg.i ? x : k;
    case OP_OR:
      return k->arg.i ? k : x;
    default:
      return NULL;
  }
}

static wn_dtype result_dtype(uop_op op, const uop *a) {
  return op_table[op].dtype == DT_BOOL ? WN_BOOL : (wn_dtype)a->dtype;
}

const uop *uop_alu2(graph *g, uop_op op, const uop *a, const uop *b) {
  WN_CHECK(a->dtype == b->dtype, "%s of dtypes %d and %d", op_table[op].name, a->dtype, b->dtype);
  const uop *r = NULL;
  bool commutes = op_table[op].flags & UOP_COMM;
  if (a->op == OP_CONST && b->op == OP_CONST)
    r = fold_constants(g, op, a, b);
  else if (b->op == OP_CONST)
    r = fold_unit(g, op, a, b);
  else if (a->op == OP_CONST && commutes)
    r = fold_unit(g, op, b, a);
  if (r == NULL && a == b && (op == OP_AND || op == OP_OR || op == OP_MAX || op == OP_MIN)) r = a;
  if (r != NULL) return r;
  /* one order for commuted operands: constants last, else by age */
  if (commutes && b->op != OP_CONST && (a->op == OP_CONST || b->id < a->id)) {
    const uop *t = a;
    a = b;
    b = t;
  }
  const uop *u = uop_new(g, op, result_dtype(op, a), 2, (const uop *[]){a, b}, (uop_arg){0});
  return u->dtype == WN_BOOL && u->vmin == u->vmax ? uop_bool(g, u->vmin) : u;
}

const uop *uop_alu1(graph *g, uop_op op, const uop *a) {
  if (op == OP_NOT && a->op == OP_CONST) return uop_bool(g, !a->arg.i);
  if (op == OP_NOT && a->op == OP_NOT) return a->src[0];
  if (op == OP_NEG && a->op == OP_CONST) {
    if (dtype_is_float(a->dtype)) return uop_const(g, a->dtype, -a->arg.f);
    if (a->arg.i != INT64_MIN)
      return uop_new(g, OP_CONST, a->dtype, 0, NULL, (uop_arg){.i = -a->arg.i});
  }
  return uop_new(g, op, a->dtype, 1, &a, (uop_arg){0});
}

const uop *uop_where(graph *g, const uop *cond, const uop *a, const uop *b) {
  if (cond->op == OP_CONST) return cond->arg.i ? a : b;
  if (a == b) return a;
  return uop_new(g, OP_WHERE, a->dtype, 3, (const uop *[]){cond, a, b}, (uop_arg){0});
}

const uop *uop_cast(graph *g, wn_dtype dtype, const uop *a) {
  if (a->dtype == dtype) return a;
  bool safe = dtype_is_float(dtype) || exact_source(a) || fabs(uop_const_value(a)) < 2147483648.0;
  if (a->op == OP_CONST && safe) {
    if (dtype == WN_I64 && exact_source(a)) return uop_int(g, a->arg.i);
    return uop_const(
        g, dtype,
        dtype_is_float(dtype) || dtype == WN_BOOL ? uop_const_value(a) : trunc(uop_const_value(a)));
  }
  return uop_new(g, OP_CAST, dtype, 1, &a, (uop_arg){0});
}

const uop *uop_add(graph *g, const uop *a, const uop *b) { return uop_alu2(g, OP_ADD, a, b); }
const uop *uop_mul(graph *g, const uop *a, const uop *b) { return uop_alu2(g, OP_MUL, a, b); }
const uop *uop_addi(graph *g, const uop *a, int64_t k) { return uop_add(g, a, uop_int(g, k)); }
const uop *uop_muli(graph *g, const uop *a, int64_t k) { return uop_mul(g, a, uop_int(g, k)); }
const uop *uop_divi(graph *g, const uop *a, int64_t k) {
  return uop_alu2(g, OP_IDIV, a, uop_int(g, k));
}
const uop *uop_modi(graph *g, const uop *a, int64_t k) {
  return uop_alu2(g, OP_MOD, a, uop_int(g, k));
}
const uop *uop_lt(graph *g, const uop *a, int64_t k) {
  return uop_alu2(g, OP_LT, a, uop_int(g, k));
}
const uop *uop_ge(graph *g, const uop *a, int64_t k) {
  return uop_alu2(g, OP_LT, uop_int(g, k - 1), a);
}
const uop *uop_and(graph *g, const uop *a, const uop *b) { return uop_alu2(g, OP_AND, a, b); }
