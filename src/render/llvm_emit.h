/* What the files of the LLVM renderer share: the state of one kernel's emission.
 *
 * In: llvm_ir.c fills an emitter and walks the instructions. Out: llvm_memory.c emits loads and
 * stores, llvm_math.c arithmetic, llvm_build.c what both are made of. Always holds: value[i] is the LLVM value of
 * instruction i (for an
 * ACC: its value now). */
#ifndef WN_RENDER_LLVM_EMIT_H
#define WN_RENDER_LLVM_EMIT_H

#include "render/llvm_ir.h"

typedef struct emitter {
  arena *a;
  const lin_kernel *k;
  const llvm_ir_target *t;
  LLVMContextRef c;
  LLVMModuleRef m;
  LLVMBuilderRef b;
  LLVMValueRef fn;
  LLVMValueRef *value;           /* per instruction */
  uint8_t *zeros;                /* per instruction: known trailing zero bits of an i64 scalar */
  LLVMValueRef *base;            /* per array: pointer to its first element */
  LLVMValueRef *scope, *noalias; /* per array: alias.scope and noalias lists; NULL for REG */
  bool *added;                   /* per instruction: an e to the x that 1 is added to */
  uint8_t *by_lane;              /* per array: some vectors of it are read under a mask of lanes */
  LLVMValueRef nowhere, sink;    /* 64 readable zero bytes; 64 writable bytes; made on first use */
  LLVMBasicBlockRef entry;
  unsigned md_scope, md_noalias, md_invariant;
} emitter;

static inline LLVMTypeRef emit_vec(LLVMTypeRef t, int lanes) {
  return lanes > 1 ? LLVMVectorType(t, (unsigned)lanes) : t;
}
LLVMTypeRef emit_reg_type(emitter *e, unsigned dtype,
                          int lanes); /* of a value: f16 and bf16 live in f32 */
LLVMTypeRef emit_mem_type(emitter *e, unsigned dtype,
                          int lanes);         /* of memory: i16 for f16 and bf16, i8 for bool */
LLVMValueRef emit_int(emitter *e, int64_t v); /* i64 */
LLVMValueRef emit_splat_int(LLVMTypeRef type, int64_t v); /* type: integer or vector of it */
LLVMValueRef emit_splat_float(LLVMTypeRef type, double v);
LLVMValueRef emit_broadcast(emitter *e, LLVMValueRef v, int lanes);
LLVMValueRef emit_shuffle(emitter *e, LLVMValueRef x, LLVMValueRef y, int n,
                          const int *lanes);                  /* -1: any */
LLVMValueRef emit_lane(emitter *e, LLVMValueRef v, int lane); /* a scalar: itself */
/* Of f32 in `lanes` lanes; added: of e to the x nothing becomes but a sum with 1. */
LLVMValueRef emit_exp(emitter *e, LLVMValueRef x, int lanes, bool added);
LLVMValueRef emit_tanh(emitter *e, LLVMValueRef x, int lanes);
LLVMValueRef emit_erf(emitter *e, LLVMValueRef x, int lanes);
bool *emit_find_added(arena *a, const lin_kernel *k); /* by instruction */
/* The intrinsic overloaded on the given types. */
LLVMValueRef emit_intrinsic(emitter *e, const char *name, int ntypes, LLVMTypeRef *types, int n,
                            LLVMValueRef *args);

LLVMValueRef emit_alu(emitter *e, const lin_ins *i);
LLVMValueRef emit_widen(emitter *e, LLVMValueRef bits, unsigned dtype,
                        int lanes); /* i16 of f16 or bf16 -> f32 */
LLVMValueRef emit_narrow(emitter *e, LLVMValueRef value, unsigned dtype,
                         int lanes); /* and back, to nearest even */

LLVMValueRef emit_load(emitter *e, const lin_ins *i);
void emit_store(emitter *e, const lin_ins *i);
void emit_prefetch(emitter *e, const lin_ins *i);

#endif
