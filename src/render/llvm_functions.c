/* Functions of single precision in the LLVM renderer: e to the x, the hyperbolic tangent, the error function.
 *
 * In: f32 numbers, one or a vector of them. Out: the same expression for any number of lanes, so that a value does not
 * depend on how its loop was cut. NaN stays NaN.
 * e to the x: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial of r, and powers of 2 that are normal numbers. What is too
 * large becomes infinity, what is too small goes through the subnormal numbers to 0; where 1 is added to it and nothing
 * else done, as in a sigmoid, it may be 0 from the smallest normal number on. Error below one unit in the last place of a
 * normal number. Method and coefficients are those of Cephes' expf (Moshier, 1987: a minimax polynomial of degree 5
 * behind 1 + r).
 * The others: an odd polynomial around 0, and beyond it tanh x = 1 - 2 / (1 + e^2x) and erf x = 1 - e^-q(x), whose
 * polynomials are Chebyshev interpolations; errors up to 1.4 units. */
#include "render/llvm_emit.h"

typedef struct function_job {
  emitter *e;
  LLVMTypeRef type, whole; /* of f32, and of i32, in as many lanes */
} function_job;

static function_job begin(emitter *e, LLVMValueRef x, int lanes) {
  return (function_job){e, LLVMTypeOf(x), emit_vec(LLVMInt32TypeInContext(e->c), lanes)};
}

static LLVMValueRef number(const function_job *j, double v) { return emit_splat_float(j->type, v); }

/* a * b + c */
static LLVMValueRef madd(function_job *j, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  LLVMBuilderRef to = j->e->b;
  if (j->e->t->fma)
    return emit_intrinsic(j->e, "llvm.fma", 1, &j->type, 3, (LLVMValueRef[]){a, b, c});
  return LLVMBuildFAdd(to, LLVMBuildFMul(to, a, b, ""), c, "");
}

/* Coefficients from the highest power down. */
static LLVMValueRef polynomial(function_job *j, int n, const double *c, LLVMValueRef x) {
  LLVMValueRef p = number(j, c[0]);
  for (int i = 1; i < n; ++i) p = madd(j, p, x, number(j, c[i]));
  return p;
}

static LLVMValueRef at_most(function_job *j, LLVMValueRef x, double most) {
  LLVMValueRef over = LLVMBuildFCmp(j->e->b, LLVMRealOGT, x, number(j, most), "");
  return LLVMBuildSelect(j->e->b, over, number(j, most), x, "");
}

static LLVMValueRef at_least(function_job *j, LLVMValueRef x, double least) {
  LLVMValueRef under = LLVMBuildFCmp(j->e->b, LLVMRealOLT, x, number(j, least), "");
  return LLVMBuildSelect(j->e->b, under, number(j, least), x, "");
}

/* --- e to the x ------------------------------------------------------------------------------- */

/* A sum with this has the nearest whole number in its last bits. */
static const double MAGIC = 0x1.8p23;
enum { MAGIC_BITS = 0x4b400000 };

/* The whole number, plus `bias`, of x / ln 2 as bits of a float, and what is left of x. */
static LLVMValueRef reduce(function_job *j, LLVMValueRef x, int bias, LLVMValueRef *rest) {
  LLVMBuilderRef b = j->e->b;
  LLVMValueRef magic = number(j, MAGIC + bias),
               t = madd(j, x, number(j, 1.44269504088896341), magic);
  LLVMValueRef whole = LLVMBuildFSub(b, t, magic, "");
  /* ln 2 in two parts; the first has few bits */
  *rest = madd(j, whole, number(j, 2.12194440e-4), madd(j, whole, number(j, -0.693359375), x));
  return LLVMBuildBitCast(b, t, j->whole, "");
}

/* 2 e^r; the last sums in another order where each product is rounded. */
static LLVMValueRef twice_exp(function_job *j, LLVMValueRef r) {
  static const double c[] = {2 * 1.9875691500e-4,
                             2 * 1.3981999507e-3,
                             2 * 8.3334519073e-3,
                             2 * 4.1665795894e-2,
                             2 * 1.6666665459e-1,
                             2 * 5.0000001201e-1,
                             2,
                             2};
  LLVMBuilderRef b = j->e->b;
  if (j->e->t->fma) return polynomial(j, 8, c, r);
  LLVMValueRef first = LLVMBuildFAdd(b, r, r, ""), square = LLVMBuildFMul(b, r, r, "");
  first = madd(j, polynomial(j, 6, c, r), square, first);
  return LLVMBuildFAdd(b, first, number(j, 2), "");
}

/* A float whose exponent is the last eight bits of n, which is 2^(n - 127). */
static LLVMValueRef power_of_2(function_job *j, LLVMValueRef n) {
  LLVMBuilderRef b = j->e->b;
  return LLVMBuildBitCast(b, LLVMBuildShl(b, n, emit_splat_int(j->whole, 23), ""), j->type, "");
}

/* For a sum with 1: one factor 2^(n - 1), which is 0 from n = -126 down. */
static LLVMValueRef exp_to_add(function_job *j, LLVMValueRef x) {
  LLVMValueRef rest, n = reduce(j, at_least(j, at_most(j, x, 89), -87.5), 126, &rest);
  return LLVMBuildFMul(j->e->b, twice_exp(j, rest), power_of_2(j, n), "");
}

static LLVMValueRef exp_of(function_job *j, LLVMValueRef x) {
  LLVMBuilderRef b = j->e->b;
  LLVMValueRef rest, n = reduce(j, at_least(j, at_most(j, x, 89), -104), 0, &rest);
  n = LLVMBuildSub(b, n, emit_splat_int(j->whole, MAGIC_BITS), "");
  LLVMValueRef half = LLVMBuildAShr(b, n, emit_splat_int(j->whole, 1), "");
  LLVMValueRef first = LLVMBuildAdd(b, half, emit_splat_int(j->whole, 126), "");
  LLVMValueRef other =
      LLVMBuildAdd(b, LLVMBuildSub(b, n, half, ""), emit_splat_int(j->whole, 127), "");
  LLVMValueRef y = LLVMBuildFMul(b, twice_exp(j, rest), power_of_2(j, first), "");
  return LLVMBuildFMul(b, y, power_of_2(j, other), "");
}

LLVMValueRef emit_exp(emitter *e, LLVMValueRef x, int lanes, bool added) {
  function_job j = begin(e, x, lanes);
  return added ? exp_to_add(&j, x) : exp_of(&j, x);
}

/* --- odd functions that go to 1 --------------------------------------------------------------- */

/* Around 0 the one, beyond `limit` the other, with the sign of x. */
static LLVMValueRef joined(function_job *j, LLVMValueRef x, LLVMValueRef size, double limit,
                           LLVMValueRef around, LLVMValueRef beyond) {
  LLVMBuilderRef b = j->e->b;
  LLVMValueRef is_small = LLVMBuildFCmp(b, LLVMRealOLT, size, number(j, limit), "");
  LLVMValueRef y = LLVMBuildSelect(b, is_small, around, beyond, "");
  return emit_intrinsic(j->e, "llvm.copysign", 1, &j->type, 2, (LLVMValueRef[]){y, x});
}

static LLVMValueRef size_of(function_job *j, LLVMValueRef x) {
  return emit_intrinsic(j->e, "llvm.fabs", 1, &j->type, 1, &x);
}

LLVMValueRef emit_tanh(emitter *e, LLVMValueRef x, int lanes) {
  static const double c[] = {0x1.2c83c0p-9,  -0x1.116a16p-7, 0x1.64a976p-6,
                             -0x1.ba08c4p-5, 0x1.1110eap-3,  -0x1.555556p-2};
  LLVMBuilderRef b = e->b;
  function_job j = begin(e, x, lanes);
  LLVMValueRef size = size_of(&j, x), square = LLVMBuildFMul(b, x, x, "");
  LLVMValueRef around = madd(&j, polynomial(&j, 6, c, square), LLVMBuildFMul(b, x, square, ""), x);
  LLVMValueRef power = exp_to_add(&j, LLVMBuildFAdd(b, size, size, ""));
  LLVMValueRef part =
      LLVMBuildFDiv(b, number(&j, 2), LLVMBuildFAdd(b, power, number(&j, 1), ""), "");
  return joined(&j, x, size, 0.625, around, LLVMBuildFSub(b, number(&j, 1), part, ""));
}

/* Beyond 4 it is 1. */
LLVMValueRef emit_erf(emitter *e, LLVMValueRef x, int lanes) {
  static const double p[] = {0x1.4a5690p-14, -0x1.a45088p-11, 0x1.541270p-8, -0x1.b7fabap-6,
                             0x1.ce2d10p-4,  -0x1.81273ep-2,  0x1.06eba8p-3};
  static const double q[] = {0x1.b77830p-20, -0x1.825ce4p-15, 0x1.38e5e6p-11,
                             -0x1.37ecc6p-8, 0x1.b0e246p-6,   -0x1.c2e356p-4,
                             -0x1.437eb4p-1, -0x1.2156fap+0,  0x1.4fb068p-12};
  LLVMBuilderRef b = e->b;
  function_job j = begin(e, x, lanes);
  LLVMValueRef size = size_of(&j, x), square = LLVMBuildFMul(b, x, x, "");
  LLVMValueRef around = madd(&j, polynomial(&j, 7, p, square), x, x);
  LLVMValueRef rest = exp_to_add(&j, polynomial(&j, 9, q, at_most(&j, size, 4)));
  return joined(&j, x, size, 1, around, LLVMBuildFSub(b, number(&j, 1), rest, ""));
}

/* --- what becomes of an e to the x ------------------------------------------------------------ */

static bool is_one(const lin_kernel *k, uint32_t n) {
  const lin_ins *i = &k->ins.data[n];
  if (i->op == OP_BROADCAST) i = &k->ins.data[i->src[0]];
  return i->op == OP_CONST && i->f == 1;
}

bool *emit_find_added(arena *a, const lin_kernel *k) {
  bool *added = arena_array(a, bool, k->ins.len + 1);
  for (size_t n = 0; n < k->ins.len; ++n) {
    const lin_ins *i = &k->ins.data[n];
    added[n] = i->op == OP_EXP;
    for (int s = 0; s < i->nsrc; ++s) {
      const bool one = i->op == OP_ADD && is_one(k, i->src[1 - s % 2]);
      if (!one) added[i->src[s]] = false;
    }
  }
  return added;
}
