/* e to the x in single precision, in the LLVM renderer.
 *
 * In: f32 numbers, one or a vector of them. Out: the same expression for any number of lanes, so that a value does not
 * depend on how its loop was cut: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial of r, and 2^n in two factors, each
 * of which is a normal number. Error below one unit in the last place of f32; NaN stays NaN, what is too large becomes
 * infinity, what is too small goes through the subnormal numbers to 0. Method and coefficients are those of Cephes'
 * expf (Moshier, 1987: a minimax polynomial of degree 5 behind 1 + r). */
#include "render/llvm_emit.h"

typedef struct exp_job {
  emitter *e;
  LLVMTypeRef type, whole; /* of f32, and of i32, in as many lanes */
} exp_job;

static LLVMValueRef number(const exp_job *j, double v) { return emit_splat_float(j->type, v); }

/* a * b + c */
static LLVMValueRef madd(exp_job *j, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  LLVMBuilderRef to = j->e->b;
  if (j->e->t->fma)
    return emit_intrinsic(j->e, "llvm.fma", 1, &j->type, 3, (LLVMValueRef[]){a, b, c});
  return LLVMBuildFAdd(to, LLVMBuildFMul(to, a, b, ""), c, "");
}

/* Between lo and hi; NaN as it is. */
static LLVMValueRef clamp(exp_job *j, LLVMValueRef x, double lo, double hi) {
  LLVMBuilderRef b = j->e->b;
  x = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOGT, x, number(j, hi), ""), number(j, hi), x, "");
  return LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOLT, x, number(j, lo), ""), number(j, lo), x,
                         "");
}

/* 2^n, of a whole n in the range of exponents */
static LLVMValueRef power_of_2(exp_job *j, LLVMValueRef n) {
  LLVMBuilderRef b = j->e->b;
  LLVMValueRef biased = LLVMBuildAdd(b, n, emit_splat_int(j->whole, 127), "");
  return LLVMBuildBitCast(b, LLVMBuildShl(b, biased, emit_splat_int(j->whole, 23), ""), j->type,
                          "");
}

static LLVMValueRef polynomial(exp_job *j, LLVMValueRef r) {
  static const double c[] = {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
                             4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1};
  LLVMBuilderRef b = j->e->b;
  LLVMValueRef p = number(j, c[0]);
  for (int i = 1; i < 6; ++i) p = madd(j, p, r, number(j, c[i]));
  p = madd(j, p, LLVMBuildFMul(b, r, r, ""), r);
  return LLVMBuildFAdd(b, p, number(j, 1), "");
}

LLVMValueRef emit_exp(emitter *e, LLVMValueRef x, int lanes) {
  LLVMBuilderRef b = e->b;
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  exp_job j = {e, LLVMTypeOf(x), lanes == 1 ? i32 : LLVMVectorType(i32, (unsigned)lanes)};
  x = clamp(&j, x, -104, 89);
  /* a sum with 1.5 * 2^23 has the nearest whole number in its last bits */
  LLVMValueRef magic = number(&j, 0x1.8p23);
  LLVMValueRef t =
      LLVMBuildFAdd(b, LLVMBuildFMul(b, x, number(&j, 1.44269504088896341), ""), magic, "");
  LLVMValueRef n =
      LLVMBuildSub(b, LLVMBuildBitCast(b, t, j.whole, ""), emit_splat_int(j.whole, 0x4b400000), "");
  LLVMValueRef whole = LLVMBuildFSub(b, t, magic, "");
  LLVMValueRef r =
      madd(&j, whole, number(&j, -0.693359375), x); /* ln 2 in two parts; the first has few bits */
  r = madd(&j, whole, number(&j, 2.12194440e-4), r);
  LLVMValueRef half = LLVMBuildAShr(b, n, emit_splat_int(j.whole, 1), "");
  LLVMValueRef y = LLVMBuildFMul(b, polynomial(&j, r), power_of_2(&j, half), "");
  return LLVMBuildFMul(b, y, power_of_2(&j, LLVMBuildSub(b, n, half, "")), "");
}
