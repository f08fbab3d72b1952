/* Linear IR -> LLVM IR, in memory, through LLVM's C API (16 or newer).
 *
 * In: verified linear kernels and what the target can do. Out: one function a kernel in an LLVM
 * module, with the CPU ABI of kernel/linear.h. Always holds: what is emitted is already in SSA form
 * (variables are phi nodes), says everything that is known of aliasing, alignment and constness of
 * memory, and contracts nothing: a fused multiply-add appears where the kernel has an FMA and
 * nowhere else. */
#ifndef WN_RENDER_LLVM_IR_H
#define WN_RENDER_LLVM_IR_H

#include <llvm-c/Core.h>

#include "kernel/linear.h"

typedef struct llvm_ir_target {
  const char *triple, *cpu, *features; /* as LLVM spells them; "" for the default */
  int vector_bytes;                    /* of the widest vectors that may be used */
  bool x86; /* max returns its second operand on NaN; else NaN-propagating in hardware */
  bool fma; /* without it an FMA is a multiplication and an addition: a call a lane costs more */
  bool f16; /* conversions between f16 and f32 are instructions */
} llvm_ir_target;

/* Adds function k->name. Everything is owned by the module; a is for scratch, and its diag takes a
 * lack of memory. */
LLVMValueRef llvm_ir_add_kernel(arena *a, LLVMModuleRef module, const llvm_ir_target *t,
                                const lin_kernel *k);

#endif
