/* Compiling kernels through LLVM in process: what tests and `explain` ask of it besides the backend
 * interface.
 *
 * In: verified linear kernels and a target. Out: assembly or object code as bytes. */
#ifndef WN_BACKEND_LLVM_LLVM_BACKEND_H
#define WN_BACKEND_LLVM_LLVM_BACKEND_H

#include "render/llvm_ir.h"
#include "backend/host.h"

extern const backend backend_llvm;

/* "LLVM 19.1.7", in arena a. */
const char *llvm_version(arena *a);

/* Runs fn(user) on a thread with a stack of a known size and waits for its end; NULL, or why there could be no such thread.
 * fn catches what it throws: diag_fail must not leave the thread. */
const char *llvm_on_own_stack(void (*fn)(void *), void *user);

/* What LLVM is told of a CPU of this machine's kind. Strings of cpu are borrowed, others are in
 * arena a. */
llvm_ir_target llvm_target_of(arena *a, const machine *cpu);

/* Optimised code of the kernels as text or as an ELF object, in arena a; NULL with *error (in a) if
 * LLVM refuses. The target's LLVM backend must have been initialised, as this machine's always is.
 */
const char *llvm_emit_code(arena *a, const llvm_ir_target *t, int count,
                           const lin_kernel *const *kernels, bool text, size_t *size,
                           const char **error);

/* Assembly of one kernel for people, with LLVM's comments on spills; NULL if LLVM refuses it.
 * Compiles anew. */
const char *llvm_assembly(arena *a, const machine *cpu, const lin_kernel *k);
/* Instructions of one function of an object, a line each, in arena a; NULL where there are none. */
const char *llvm_disassemble(arena *a, const llvm_ir_target *t, const char *object, size_t size,
                             const char *function);
/* Distinct vector registers named in either, and stores to the stack of what found no register. */
void llvm_count_registers(const char *assembly, int *registers, int *spills);

#endif
