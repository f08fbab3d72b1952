/* Compiling kernels through LLVM in process: the parts of the backend, and what tests and `explain` ask of it besides.
 *
 * In: verified linear kernels and a target. Out: assembly or object code as bytes. llvm_emit.c makes code,
 * llvm_backend.c keeps and loads it, llvm_object.c reads it back. */
#ifndef WN_BACKEND_LLVM_LLVM_BACKEND_H
#define WN_BACKEND_LLVM_LLVM_BACKEND_H

#include "render/llvm_ir.h"
#include "backend/host.h"

extern const backend backend_llvm;

/* "LLVM 19.1.7", in arena a. */
const char *llvm_version(arena *a);
/* What is done to a module before code generation. */
extern const char llvm_passes[];

/* Runs fn(user) on so many threads at once, each with a stack of a known size, and waits for their end; where not all
 * of them can be had, on those that can. NULL, or why there could be none. fn catches what it throws: diag_fail must
 * not leave the thread. */
const char *llvm_on_own_stacks(int threads, void (*fn)(void *), void *user);

/* What LLVM is told of a CPU of this machine's kind. Strings of cpu are borrowed, others are in
 * arena a. */
llvm_ir_target llvm_target_of(arena *a, const machine *cpu);

/* The text in arena a, its line breaks blanks. */
const char *llvm_one_line(arena *a, const char *text);

/* --- making code (llvm_emit.c) ---------------------------------------------------------------- */

enum { LLVM_REASON = 600 };

typedef struct llvm_unit { /* an object file with one kernel, under the name of its symbol */
  lin_kernel kernel;
  char *object; /* of mem_alloc, whoever made the unit frees it; NULL: there is none yet */
  size_t size;
  wn_status status;         /* NOMEM: for the lack of memory */
  char reason[LLVM_REASON]; /* else why there is none */
} llvm_unit;

/* Makes the objects of the units, on so many threads. Between fork_enter and fork_leave. */
void llvm_emit_units(const llvm_ir_target *t, int count, llvm_unit *const *units, int threads,
                     const compile_progress *progress);

/* Optimised code of the kernels as text or as an ELF object, in arena a; NULL with *error (in a) if
 * LLVM refuses. The target's LLVM backend must have been initialised, as this machine's always is.
 */
const char *llvm_emit_code(arena *a, const llvm_ir_target *t, int count,
                           const lin_kernel *const *kernels, bool text, size_t *size,
                           const char **error);

/* Assembly of one kernel for people, with LLVM's comments on spills; NULL if LLVM refuses it.
 * Compiles anew. */
const char *llvm_assembly(arena *a, const machine *cpu, const lin_kernel *k);

/* --- reading it back (llvm_object.c) ---------------------------------------------------------- */

/* Instructions of one function of an object, a line each, in arena a; NULL where there are none. */
const char *llvm_disassemble(arena *a, const llvm_ir_target *t, const char *object, size_t size,
                             const char *function);
/* Distinct vector registers named in either, and stores to the stack of what found no register. */
void llvm_count_registers(const char *assembly, int *registers, int *spills);

#endif
