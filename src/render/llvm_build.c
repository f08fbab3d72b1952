/* LLVM types and values that all of the renderer builds with.
 *
 * In: dtypes, lanes, numbers. Out: types and values in the emitter's context. Always holds: f16 and bf16 are f32 in
 * registers and 16 bits in memory, bool one bit and one byte. */
#include <string.h>

#include "render/llvm_emit.h"

LLVMTypeRef emit_reg_type(emitter *e, unsigned dtype, int lanes) {
  LLVMTypeRef t = NULL;
  switch (dtype) {
    case WN_F64:
      t = LLVMDoubleTypeInContext(e->c);
      break;
    case WN_F32:
    case WN_F16:
    case WN_BF16:
      t = LLVMFloatTypeInContext(e->c);
      break;
    case WN_I32:
      t = LLVMInt32TypeInContext(e->c);
      break;
    case WN_I64:
      t = LLVMInt64TypeInContext(e->c);
      break;
    case WN_BOOL:
      t = LLVMInt1TypeInContext(e->c);
      break;
    default:
      diag_panic(__FILE__, __LINE__, "no LLVM type for dtype %u", dtype);
  }
  return emit_vec(t, lanes);
}

LLVMTypeRef emit_mem_type(emitter *e, unsigned dtype, int lanes) {
  if (dtype == WN_F16 || dtype == WN_BF16) return emit_vec(LLVMInt16TypeInContext(e->c), lanes);
  if (dtype == WN_BOOL) return emit_vec(LLVMInt8TypeInContext(e->c), lanes);
  return emit_reg_type(e, dtype, lanes);
}

LLVMValueRef emit_int(emitter *e, int64_t v) {
  return LLVMConstInt(LLVMInt64TypeInContext(e->c), (unsigned long long)v, 1);
}

static LLVMValueRef splat_constant(LLVMTypeRef type, LLVMValueRef scalar) {
  if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) return scalar;
  LLVMValueRef all[64];
  unsigned n = LLVMGetVectorSize(type);
  WN_CHECK(n <= 64, "vectors of %u lanes", n);
  for (unsigned l = 0; l < n; ++l) all[l] = scalar;
  return LLVMConstVector(all, n);
}

static LLVMTypeRef lane_type(LLVMTypeRef type) {
  return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

LLVMValueRef emit_splat_int(LLVMTypeRef type, int64_t v) {
  return splat_constant(type, LLVMConstInt(lane_type(type), (unsigned long long)v, 1));
}

LLVMValueRef emit_splat_float(LLVMTypeRef type, double v) {
  return splat_constant(type, LLVMConstReal(lane_type(type), v));
}

LLVMValueRef emit_shuffle(emitter *e, LLVMValueRef x, LLVMValueRef y, int n, const int *lanes) {
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c);
  LLVMValueRef pick[64];
  WN_CHECK(n <= 64, "a shuffle of %d lanes", n);
  for (int l = 0; l < n; ++l)
    pick[l] = lanes[l] < 0 ? LLVMGetUndef(i32) : LLVMConstInt(i32, (unsigned long long)lanes[l], 0);
  if (y == NULL) y = LLVMGetUndef(LLVMTypeOf(x));
  return LLVMBuildShuffleVector(e->b, x, y, LLVMConstVector(pick, (unsigned)n), "");
}

LLVMValueRef emit_broadcast(emitter *e, LLVMValueRef v, int lanes) {
  if (lanes == 1) return v;
  if (LLVMIsConstant(v)) return splat_constant(emit_vec(LLVMTypeOf(v), lanes), v);
  LLVMValueRef one = LLVMGetUndef(emit_vec(LLVMTypeOf(v), lanes));
  int pick[64] = {0};
  return emit_shuffle(e, LLVMBuildInsertElement(e->b, one, v, emit_int(e, 0), ""), NULL, lanes,
                      pick);
}

LLVMValueRef emit_lane(emitter *e, LLVMValueRef v, int lane) {
  if (LLVMGetTypeKind(LLVMTypeOf(v)) != LLVMVectorTypeKind) return v;
  return LLVMBuildExtractElement(e->b, v, emit_int(e, lane), "");
}

LLVMValueRef emit_intrinsic(emitter *e, const char *name, int ntypes, LLVMTypeRef *types, int n,
                            LLVMValueRef *args) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  WN_CHECK(id != 0, "LLVM has no %s", name);
  LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->m, id, types, (size_t)ntypes);
  LLVMTypeRef type = LLVMIntrinsicGetType(e->c, id, types, (size_t)ntypes);
  return LLVMBuildCall2(e->b, type, fn, args, (unsigned)n, "");
}
