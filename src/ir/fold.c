/* Elementwise construction: dtype rules, constants and units folded, and the bounds of integer values.
 *
 * In: operands. Out: the simplest node that building alone can see (lower/simplify.h does the rest).
 * Always holds: folding computes in the node's dtype and changes no result bit, NaN and signed zeros included. */
#include <math.h>

#include "ir/uop.h"

/* --- bounds --------------------------------------------------------------------------------------------------------- */

typedef struct bounds {
  int64_t lo, hi;
} bounds;

static const bounds unbounded = {INT64_MIN, INT64_MAX};

/* Bounds are of mathematical values: an operation that may overflow is unbounded. */
static bounds bounds_add(bounds a, bounds b) {
  bounds r;
  if (__builtin_add_overflow(a.lo, b.lo, &r.lo) || __builtin_add_overflow(a.hi, b.hi, &r.hi))
    return unbounded;
  return r;
}

static bounds bounds_sub(bounds a, bounds b) {
  bounds r;
  if (__builtin_sub_overflow(a.lo, b.hi, &r.lo) || __builtin_sub_overflow(a.hi, b.lo, &r.hi))
    return unbounded;
  return r;
}

static bounds bounds_mul(bounds a, bounds b) {
  int64_t p[4];
  if (__builtin_mul_overflow(a.lo, b.lo, &p[0]) || __builtin_mul_overflow(a.lo, b.hi, &p[1]) ||
      __builtin_mul_overflow(a.hi, b.lo, &p[2]) || __builtin_mul_overflow(a.hi, b.hi, &p[3])) {
    return unbounded;
  }
  bounds r = {p[0], p[0]};
  for (int i = 1; i < 4; ++i) {
    if (p[i] < r.lo) r.lo = p[i];
    if (p[i] > r.hi) r.hi = p[i];
  }
  return r;
}

static bounds bounds_div(bounds a, bounds b) {
  if (b.lo != b.hi || b.lo <= 0) return unbounded;
  return (bounds){int_div(a.lo, b.lo), int_div(a.hi, b.lo)};
}

static bounds bounds_mod(bounds a, bounds b) {
  if (b.lo <= 0) return unbounded;
  if (b.lo == b.hi && a.lo != INT64_MIN && int_div(a.lo, b.lo) == int_div(a.hi, b.lo)) {
    return (bounds){int_mod(a.lo, b.lo), int_mod(a.hi, b.lo)};
  }
  return (bounds){0, b.hi - 1};
}

static bounds bounds_lt(bounds a, bounds b) { return (bounds){a.hi < b.lo, a.lo < b.hi}; }

static bounds bounds_eq(bounds a, bounds b) {
  bool same = a.lo == a.hi && b.lo == b.hi && a.lo == b.lo;
  return (bounds){same, a.lo <= b.hi && b.lo <= a.hi};
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static bounds of(const uop *u) { return (bounds){u->vmin, u->vmax}; }

static bool exact_source(const uop *u) { return dtype_is_int(u->dtype) || u->dtype == WN_BOOL; }

static bounds node_bounds(const uop *u) {
  const uop *const *s = u->src;
  bounds any = u->dtype == WN_BOOL ? (bounds){0, 1} : unbounded;
  switch (u->op) {
    case OP_CONST:
      return (bounds){u->arg.i, u->arg.i};
    case OP_RANGE:
      return (bounds){0, u->arg.j - 1};
    case OP_ADD:
      return bounds_add(of(s[0]), of(s[1]));
    case OP_SUB:
      return bounds_sub(of(s[0]), of(s[1]));
    case OP_MUL:
      return bounds_mul(of(s[0]), of(s[1]));
    case OP_NEG:
      return bounds_sub((bounds){0, 0}, of(s[0]));
    case OP_IDIV:
      return bounds_div(of(s[0]), of(s[1]));
    case OP_MOD:
      return bounds_mod(of(s[0]), of(s[1]));
    case OP_AND:
    case OP_MIN:
      return (bounds){min64(s[0]->vmin, s[1]->vmin), min64(s[0]->vmax, s[1]->vmax)};
    case OP_OR:
    case OP_MAX:
      return (bounds){max64(s[0]->vmin, s[1]->vmin), max64(s[0]->vmax, s[1]->vmax)};
    case OP_NOT:
      return (bounds){!s[0]->vmax, !s[0]->vmin};
    case OP_LT:
      return exact_source(s[0]) ? bounds_lt(of(s[0]), of(s[1])) : any;
    case OP_EQ:
      return exact_source(s[0]) ? bounds_eq(of(s[0]), of(s[1])) : any;
    case OP_WHERE:
      return (bounds){min64(s[1]->vmin, s[2]->vmin), max64(s[1]->vmax, s[2]->vmax)};
    case OP_CAST:
      return exact_source(s[0]) && u->dtype == WN_I64 ? of(s[0]) : any;
    case OP_GET:
    case OP_SUBSTITUTE:
      return any;
    default:
      return any;
  }
}

void uop_bounds(const uop *u, int64_t *lo, int64_t *hi) {
  bounds b = unbounded;
  if (dtype_is_int(u->dtype) || u->dtype == WN_BOOL) b = node_bounds(u);
  if (u->dtype == WN_I32 && (b.lo < INT32_MIN || b.hi > INT32_MAX))
    b = (bounds){INT32_MIN, INT32_MAX};
  *lo = b.lo;
  *hi = b.hi;
}

/* --- constants ------------------------------------------------------------------------------------------------------ */

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

/* False where the result would overflow or is undefined; then the node stays. */
static bool fold_int(uop_op op, int64_t a, int64_t b, int64_t *r) {
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
      return *r = max64(a, b), true;
    case OP_MIN:
    case OP_AND:
      return *r = min64(a, b), true;
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
    if (compare) return uop_bool(g, op == OP_LT ? x < y : x == y);
    /* float32 results of + - * / are correctly rounded when computed in double and rounded once more */
    bool exact = a->dtype == WN_F64 || a->dtype == WN_F32 || op == OP_MAX || op == OP_MIN;
    return exact ? uop_const(g, a->dtype, fold_float(op, x, y)) : NULL;
  }
  int64_t r;
  if (!fold_int(op, a->arg.i, b->arg.i, &r)) return NULL;
  if (compare) return uop_bool(g, r != 0);
  if (a->dtype == WN_I32 && r != (int32_t)r) return NULL;
  return uop_new(g, OP_CONST, a->dtype, 0, NULL, (uop_arg){.i = r});
}

/* --- units ---------------------------------------------------------------------------------------------------------- */

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
