/* What the runtime asks of a compiler backend.
 *
 * In: verified linear kernels for one target. Out: a code object, and for each kernel a function
 * or the reason why there is none. A backend that fails says so in `error` and never through
 * diag_fail (a lack of memory apart): the runtime puts the interpreter in its place.
 * Always holds: compile owns everything behind the handle that it returns, and release gives all
 * of it back; kernels of a failed compile have fn NULL and an error. */
#ifndef WN_RUNTIME_BACKEND_H
#define WN_RUNTIME_BACKEND_H

#include "runtime/runtime.h"

/* The CPU ABI of kernel/linear.h. */
typedef void (*kernel_fn)(void *const *args, void *scratch, int64_t begin, int64_t end);

typedef struct backend_kernel {
  kernel_fn fn;      /* NULL: not compiled */
  const char *error; /* why fn is NULL, one line, in the arena given to compile */
} backend_kernel;

typedef struct backend {
  const char *name; /* "cpu", "cpu:cc" */
  /* Compiles kernels[0..count) as one unit and fills out[0..count) (zeroed by the caller). The
   * handle keeps the code alive; NULL when nothing was compiled. Text in `out` is allocated in `a`,
   * which outlives the handle. A diag_fail out of memory must leave nothing behind. Code is looked
   * up in the store first and kept there; `*cached` says that it was found. */
  void *(*compile)(arena *a, diag *d, const cpu_target *target, int count,
                   const lin_kernel *const *kernels, backend_kernel *out, struct store *cache,
                   bool *cached);
  void (*release)(void *handle); /* NULL is allowed */
  /* The compiled kernel of this name as text, an instruction a line, in arena a, and its vector
   * registers and spills; NULL, and both as they were, where that is not known. The function
   * itself may be NULL. */
  const char *(*assembly)(const void *handle, arena *a, const cpu_target *target, const char *name,
                          int *registers, int *spills);
} backend;

extern const backend backend_cc;
#ifdef WN_HAVE_LLVM
extern const backend backend_llvm;
#endif

#endif
