/* Arithmetic of the LLVM renderer.
 *
 * In: an ALU instruction whose operands are emitted. Out: its value. Always holds: lanes never mix;
 * results are those of ops.def: MAX and MIN give NaN for NaN, IDIV and MOD round down and give 0
 * and the dividend for a divisor of 0 (no integer division traps). Half conversions without
 * hardware are integer arithmetic: the exponent is rebased by a multiplication by 2^112, and
 * subnormals are rounded by adding 0.5, whose unit in the last place is theirs. */
#include <stdint.h>
#include <stdio.h>

#include "render/llvm_emit.h"

static LLVMValueRef src(emitter *e, const lin_ins *i, int n) { return e->value[i->src[n]]; }

/* A libm function, lane by lane. It is no builtin: LLVM would call others in its place, which kernels
 * do not find (sincos for a sine and a cosine, exp2 for a power of 2). */
static LLVMValueRef libm(emitter *e, const char *name, const lin_ins *i) {
  LLVMTypeRef scalar = emit_reg_type(e, i->dtype, 1);
  bool single = i->dtype != WN_F64;
  char full[16];
  snprintf(full, sizeof full, "%s%s", name, single ? "f" : "");
  LLVMTypeRef type = LLVMFunctionType(scalar, (LLVMTypeRef[]){scalar, scalar}, i->nsrc, 0);
  LLVMValueRef fn = LLVMGetNamedFunction(e->m, full);
  if (fn == NULL) {
    fn = LLVMAddFunction(e->m, full, type);
    static const char *const attributes[] = {"nounwind", "willreturn", "memory", "nobuiltin"};
    for (int n = 0; n < 4; ++n) {
      unsigned kind = LLVMGetEnumAttributeKindForName(attributes[n], strlen(attributes[n]));
      LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                              LLVMCreateEnumAttribute(e->c, kind, 0));
    }
  }
  LLVMValueRef arg[2] = {src(e, i, 0), i->nsrc > 1 ? src(e, i, 1) : NULL};
  if (i->lanes == 1) return LLVMBuildCall2(e->b, type, fn, arg, i->nsrc, "");
  LLVMValueRef v = LLVMGetUndef(emit_reg_type(e, i->dtype, i->lanes));
  for (int l = 0; l < i->lanes; ++l) {
    for (int s = 0; s < i->nsrc; ++s) arg[s] = emit_lane(e, src(e, i, s), l);
    LLVMValueRef y = LLVMBuildCall2(e->b, type, fn, arg, i->nsrc, "");
    v = LLVMBuildInsertElement(e->b, v, y, emit_int(e, l), "");
  }
  return v;
}

static LLVMValueRef intrinsic1(emitter *e, const char *name, LLVMValueRef x) {
  LLVMTypeRef type = LLVMTypeOf(x);
  return emit_intrinsic(e, name, 1, &type, 1, &x);
}

static bool never_nan(const emitter *e, uint32_t n) {
  const lin_ins *i = &e->k->ins.data[n];
  if (i->op == OP_BROADCAST) i = &e->k->ins.data[i->src[0]];
  return i->op == OP_CONST && i->f == i->f;
}

/* x86's max is a > b ? a : b, so a NaN in b comes through and one in a needs a second look. */
static LLVMValueRef float_extreme(emitter *e, const lin_ins *i, bool max) {
  LLVMValueRef a = src(e, i, 0), b = src(e, i, 1);
  if (!e->t->x86) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return emit_intrinsic(e, max ? "llvm.maximum" : "llvm.minimum", 1, &type, 2,
                          (LLVMValueRef[]){a, b});
  }
  bool swap = never_nan(e, i->src[1]);
  if (swap) a = src(e, i, 1), b = src(e, i, 0);
  LLVMValueRef first = LLVMBuildFCmp(e->b, max ? LLVMRealOGT : LLVMRealOLT, a, b, "");
  LLVMValueRef m = LLVMBuildSelect(e->b, first, a, b, "");
  if (swap || never_nan(e, i->src[0])) return m;
  return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, ""), a, m, "");
}

static LLVMValueRef extreme(emitter *e, const lin_ins *i, bool max) {
  LLVMValueRef a = src(e, i, 0), b = src(e, i, 1);
  if (dtype_is_float(i->dtype)) return float_extreme(e, i, max);
  if (i->dtype == WN_BOOL) return max ? LLVMBuildOr(e->b, a, b, "") : LLVMBuildAnd(e->b, a, b, "");
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, max ? LLVMIntSGT : LLVMIntSLT, a, b, ""), a, b,
                         "");
}

/* The constant behind operand n, if it is one. */
static bool constant_operand(const emitter *e, uint32_t n, int64_t *value) {
  const lin_ins *i = &e->k->ins.data[n];
  if (i->op == OP_BROADCAST) i = &e->k->ins.data[i->src[0]];
  if (i->op != OP_CONST) return false;
  *value = i->i;
  return true;
}

/* floor(a / b) and a - b * floor(a / b) for a divisor that is neither 0 nor -1 (or b == -1 and a
 * above the lowest). */
static LLVMValueRef floor_divide(emitter *e, LLVMValueRef a, LLVMValueRef b, bool positive,
                                 LLVMValueRef *rest) {
  LLVMTypeRef type = LLVMTypeOf(a);
  LLVMValueRef zero = LLVMConstNull(type);
  LLVMValueRef q = LLVMBuildSDiv(e->b, a, b, "");
  LLVMValueRef r = LLVMBuildSub(e->b, a, LLVMBuildMul(e->b, q, b, ""), "");
  LLVMValueRef down;
  if (positive) {
    down = LLVMBuildICmp(e->b, LLVMIntSLT, r, zero, "");
  } else {
    LLVMValueRef differ = LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, r, b, ""), zero, "");
    down = LLVMBuildAnd(e->b, LLVMBuildICmp(e->b, LLVMIntNE, r, zero, ""), differ, "");
  }
  *rest = LLVMBuildAdd(e->b, r, LLVMBuildSelect(e->b, down, b, zero, ""), "");
  return LLVMBuildAdd(e->b, q, LLVMBuildSExt(e->b, down, type, ""), "");
}

static LLVMValueRef divide_by_constant(emitter *e, const lin_ins *i, int64_t by) {
  LLVMValueRef a = src(e, i, 0), rest;
  LLVMTypeRef type = LLVMTypeOf(a);
  bool quotient = i->op == OP_IDIV;
  if ((by & (by - 1)) == 0) {
    return quotient
               ? LLVMBuildAShr(e->b, a, emit_splat_int(type, __builtin_ctzll((uint64_t)by)), "")
               : LLVMBuildAnd(e->b, a, emit_splat_int(type, by - 1), "");
  }
  LLVMValueRef q = floor_divide(e, a, emit_splat_int(type, by), true, &rest);
  return quotient ? q : rest;
}

static LLVMValueRef divide(emitter *e, const lin_ins *i) {
  int64_t by;
  if (constant_operand(e, i->src[1], &by) && by > 0) return divide_by_constant(e, i, by);
  LLVMValueRef a = src(e, i, 0), b = src(e, i, 1), rest;
  LLVMTypeRef type = LLVMTypeOf(a);
  LLVMValueRef zero = LLVMConstNull(type);
  LLVMValueRef by0 = LLVMBuildICmp(e->b, LLVMIntEQ, b, zero, "");
  LLVMValueRef minus = LLVMBuildICmp(e->b, LLVMIntEQ, b, LLVMConstAllOnes(type), "");
  LLVMValueRef traps = LLVMBuildOr(e->b, by0, minus, "");
  LLVMValueRef safe = LLVMBuildSelect(e->b, traps, emit_splat_int(type, 1), b, "");
  LLVMValueRef q =
      floor_divide(e, a, safe, false, &rest); /* by 1 where it would trap: q = a, rest = 0 */
  if (i->op == OP_MOD) return LLVMBuildSelect(e->b, by0, a, rest, "");
  q = LLVMBuildSelect(e->b, minus, LLVMBuildNeg(e->b, a, ""), q, "");
  return LLVMBuildSelect(e->b, by0, zero, q, "");
}

static LLVMValueRef less(emitter *e, const lin_ins *i) {
  LLVMValueRef a = src(e, i, 0), b = src(e, i, 1);
  unsigned dtype = e->k->ins.data[i->src[0]].dtype;
  if (dtype_is_float(dtype)) return LLVMBuildFCmp(e->b, LLVMRealOLT, a, b, "");
  return LLVMBuildICmp(e->b, dtype == WN_BOOL ? LLVMIntULT : LLVMIntSLT, a, b, "");
}

static LLVMValueRef equal(emitter *e, const lin_ins *i) {
  LLVMValueRef a = src(e, i, 0), b = src(e, i, 1);
  bool floats = dtype_is_float(e->k->ins.data[i->src[0]].dtype);
  return floats ? LLVMBuildFCmp(e->b, LLVMRealOEQ, a, b, "")
                : LLVMBuildICmp(e->b, LLVMIntEQ, a, b, "");
}

static LLVMValueRef fused(emitter *e, const lin_ins *i) {
  LLVMValueRef s[3] = {src(e, i, 0), src(e, i, 1), src(e, i, 2)};
  LLVMTypeRef type = LLVMTypeOf(s[0]);
  if (!dtype_is_float(i->dtype))
    return LLVMBuildAdd(e->b, LLVMBuildMul(e->b, s[0], s[1], ""), s[2], "");
  if (e->t->fma) return emit_intrinsic(e, "llvm.fma", 1, &type, 3, s);
  return LLVMBuildFAdd(e->b, LLVMBuildFMul(e->b, s[0], s[1], ""), s[2], "");
}

static LLVMValueRef cast_to_float(emitter *e, const lin_ins *i, unsigned from) {
  LLVMValueRef x = src(e, i, 0);
  LLVMTypeRef to = emit_reg_type(e, i->dtype, i->lanes);
  if (from == WN_BOOL) return LLVMBuildUIToFP(e->b, x, to, "");
  if (!dtype_is_float(from)) return LLVMBuildSIToFP(e->b, x, to, "");
  LLVMValueRef v = LLVMBuildFPCast(e->b, x, to, "");
  if (i->dtype != WN_F16 && i->dtype != WN_BF16) return v;
  return emit_widen(e, emit_narrow(e, v, i->dtype, i->lanes), i->dtype, i->lanes);
}

/* What an integer cannot hold becomes some number: frozen, so that nothing follows from it. */
static LLVMValueRef cast(emitter *e, const lin_ins *i) {
  unsigned from = e->k->ins.data[i->src[0]].dtype;
  LLVMValueRef x = src(e, i, 0);
  if (from == i->dtype) return x;
  if (dtype_is_float(i->dtype)) return cast_to_float(e, i, from);
  LLVMTypeRef to = emit_reg_type(e, i->dtype, i->lanes);
  if (i->dtype == WN_BOOL) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
    return dtype_is_float(from) ? LLVMBuildFCmp(e->b, LLVMRealUNE, x, zero, "")
                                : LLVMBuildICmp(e->b, LLVMIntNE, x, zero, "");
  }
  if (dtype_is_float(from)) return LLVMBuildFreeze(e->b, LLVMBuildFPToSI(e->b, x, to, ""), "");
  return LLVMBuildIntCast2(e->b, x, to, from != WN_BOOL, "");
}

static LLVMValueRef absolute(emitter *e, const lin_ins *i) {
  LLVMValueRef x = src(e, i, 0);
  if (dtype_is_float(i->dtype)) return intrinsic1(e, "llvm.fabs", x);
  if (i->dtype == WN_BOOL) return x;
  LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, x, LLVMConstNull(LLVMTypeOf(x)), "");
  return LLVMBuildSelect(e->b, negative, LLVMBuildNeg(e->b, x, ""), x, "");
}

LLVMValueRef emit_alu(emitter *e, const lin_ins *i) {
  LLVMBuilderRef b = e->b;
  bool floats = dtype_is_float(i->dtype), logic = i->dtype == WN_BOOL;
  LLVMValueRef x = src(e, i, 0), y = i->nsrc > 1 ? src(e, i, 1) : NULL;
  switch (i->op) {
    case OP_ADD:
      if (logic) return LLVMBuildOr(b, x, y, "");
      return floats ? LLVMBuildFAdd(b, x, y, "") : LLVMBuildAdd(b, x, y, "");
    case OP_SUB:
      return floats ? LLVMBuildFSub(b, x, y, "") : LLVMBuildSub(b, x, y, "");
    case OP_MUL:
      if (logic) return LLVMBuildAnd(b, x, y, "");
      return floats ? LLVMBuildFMul(b, x, y, "") : LLVMBuildMul(b, x, y, "");
    case OP_DIV:
      return floats ? LLVMBuildFDiv(b, x, y, "") : divide(e, i);
    case OP_IDIV:
    case OP_MOD:
      return divide(e, i);
    case OP_MAX:
      return extreme(e, i, true);
    case OP_MIN:
      return extreme(e, i, false);
    case OP_NEG:
      return floats ? LLVMBuildFNeg(b, x, "") : logic ? x : LLVMBuildNeg(b, x, "");
    case OP_ABS:
      return absolute(e, i);
    case OP_FLOOR:
      return intrinsic1(e, "llvm.floor", x);
    case OP_ROUND:
      return intrinsic1(e, "llvm.rint", x); /* the rounding mode is to nearest even */
    case OP_SQRT:
      return intrinsic1(e, "llvm.sqrt", x);
    case OP_EXP:
      return i->dtype == WN_F64 ? libm(e, "exp", i)
                                : emit_exp(e, x, i->lanes, e->added[i - e->k->ins.data]);
    case OP_LOG:
      return libm(e, "log", i);
    case OP_SIN:
      return libm(e, "sin", i);
    case OP_COS:
      return libm(e, "cos", i);
    case OP_ATAN:
      return libm(e, "atan", i);
    case OP_TANH:
      return i->dtype == WN_F64 ? libm(e, "tanh", i) : emit_tanh(e, x, i->lanes);
    case OP_ERF:
      return i->dtype == WN_F64 ? libm(e, "erf", i) : emit_erf(e, x, i->lanes);
    case OP_POW:
      return libm(e, "pow", i);
    case OP_FMA:
      return fused(e, i);
    case OP_LT:
      return less(e, i);
    case OP_EQ:
      return equal(e, i);
    case OP_AND:
      return LLVMBuildAnd(b, x, y, "");
    case OP_OR:
      return LLVMBuildOr(b, x, y, "");
    case OP_NOT:
      return LLVMBuildNot(b, x, "");
    case OP_WHERE:
      return LLVMBuildSelect(b, x, y, src(e, i, 2), "");
    case OP_CAST:
      return cast(e, i);
    default:
      diag_panic(__FILE__, __LINE__, "no LLVM form of %s", op_table[i->op].name);
  }
}

/* --- half precision --------------------------------------------------------------------------- */

LLVMValueRef emit_widen(emitter *e, LLVMValueRef bits, unsigned dtype, int lanes) {
  LLVMBuilderRef b = e->b;
  LLVMTypeRef i32 = emit_vec(LLVMInt32TypeInContext(e->c), lanes),
              f32 = emit_vec(LLVMFloatTypeInContext(e->c), lanes);
  if (dtype == WN_F16 && e->t->f16) {
    LLVMTypeRef half = emit_vec(LLVMHalfTypeInContext(e->c), lanes);
    return LLVMBuildFPExt(b, LLVMBuildBitCast(b, bits, half, ""), f32, "");
  }
  LLVMValueRef h = LLVMBuildZExt(b, bits, i32, "");
  if (dtype == WN_BF16)
    return LLVMBuildBitCast(b, LLVMBuildShl(b, h, emit_splat_int(i32, 16), ""), f32, "");
  LLVMValueRef sign = LLVMBuildShl(b, LLVMBuildAnd(b, h, emit_splat_int(i32, 0x8000), ""),
                                   emit_splat_int(i32, 16), "");
  LLVMValueRef rest = LLVMBuildShl(b, LLVMBuildAnd(b, h, emit_splat_int(i32, 0x7fff), ""),
                                   emit_splat_int(i32, 13), "");
  LLVMValueRef scaled =
      LLVMBuildFMul(b, LLVMBuildBitCast(b, rest, f32, ""),
                    emit_splat_float(f32, 5192296858534827628530496329220096.0), "");
  LLVMValueRef value = LLVMBuildBitCast(b, scaled, i32, "");
  LLVMValueRef special = LLVMBuildICmp(b, LLVMIntUGE, rest, emit_splat_int(i32, 0x7c00 << 13), "");
  LLVMValueRef infinite = LLVMBuildOr(b, value, emit_splat_int(i32, 0x7f800000), "");
  value = LLVMBuildSelect(b, special, infinite, value, "");
  return LLVMBuildBitCast(b, LLVMBuildOr(b, value, sign, ""), f32, "");
}

/* bits + (half a unit less one) + lowest kept bit: rounds to nearest, ties to even, when the low
 * bits are cut off. */
static LLVMValueRef round_off(emitter *e, LLVMValueRef bits, int cut, int64_t bias) {
  LLVMTypeRef i32 = LLVMTypeOf(bits);
  LLVMValueRef shift = emit_splat_int(i32, cut);
  LLVMValueRef odd =
      LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, bits, shift, ""), emit_splat_int(i32, 1), "");
  LLVMValueRef sum = LLVMBuildAdd(e->b, bits, emit_splat_int(i32, bias + (1 << (cut - 1)) - 1), "");
  return LLVMBuildLShr(e->b, LLVMBuildAdd(e->b, sum, odd, ""), shift, "");
}

static LLVMValueRef narrow_f16(emitter *e, LLVMValueRef bits, int lanes) {
  LLVMBuilderRef b = e->b;
  LLVMTypeRef i32 = LLVMTypeOf(bits), f32 = emit_vec(LLVMFloatTypeInContext(e->c), lanes);
  LLVMValueRef mag = LLVMBuildAnd(b, bits, emit_splat_int(i32, 0x7fffffff), "");
  LLVMValueRef sign = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, emit_splat_int(i32, 16), ""),
                                   emit_splat_int(i32, 0x8000), "");
  LLVMValueRef normal = round_off(e, mag, 13, -(INT64_C(112) << 23));
  LLVMValueRef sum =
      LLVMBuildFAdd(b, LLVMBuildBitCast(b, mag, f32, ""), emit_splat_float(f32, 0.5), "");
  LLVMValueRef small =
      LLVMBuildSub(b, LLVMBuildBitCast(b, sum, i32, ""), emit_splat_int(i32, 0x3f000000), "");
  LLVMValueRef v = LLVMBuildSelect(
      b, LLVMBuildICmp(b, LLVMIntULT, mag, emit_splat_int(i32, 0x38800000), ""), small, normal, "");
  LLVMValueRef big = LLVMBuildICmp(b, LLVMIntUGE, mag, emit_splat_int(i32, 0x47800000), "");
  v = LLVMBuildSelect(b, big, emit_splat_int(i32, 0x7c00), v, "");
  LLVMValueRef nan = LLVMBuildICmp(b, LLVMIntUGT, mag, emit_splat_int(i32, 0x7f800000), "");
  v = LLVMBuildSelect(b, nan, emit_splat_int(i32, 0x7e00), v, "");
  return LLVMBuildOr(b, v, sign, "");
}

LLVMValueRef emit_narrow(emitter *e, LLVMValueRef value, unsigned dtype, int lanes) {
  LLVMBuilderRef b = e->b;
  LLVMTypeRef i32 = emit_vec(LLVMInt32TypeInContext(e->c), lanes),
              i16 = emit_vec(LLVMInt16TypeInContext(e->c), lanes);
  if (dtype == WN_F16 && e->t->f16) {
    LLVMTypeRef half = emit_vec(LLVMHalfTypeInContext(e->c), lanes);
    return LLVMBuildBitCast(b, LLVMBuildFPTrunc(b, value, half, ""), i16, "");
  }
  LLVMValueRef bits = LLVMBuildBitCast(b, value, i32, "");
  if (dtype == WN_F16) return LLVMBuildTrunc(b, narrow_f16(e, bits, lanes), i16, "");
  LLVMValueRef quiet = LLVMBuildOr(b, LLVMBuildLShr(b, bits, emit_splat_int(i32, 16), ""),
                                   emit_splat_int(i32, 0x40), "");
  LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, value, value, "");
  return LLVMBuildTrunc(b, LLVMBuildSelect(b, nan, quiet, round_off(e, bits, 16, 0), ""), i16, "");
}
