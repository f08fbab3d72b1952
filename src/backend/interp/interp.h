/* The reference interpreter: one thread a call, arithmetic of floats in float64, every op of the linear IR; memory
 * keeps its dtype. An offset outside of an array is a broken invariant.
 *
 * In: a verified kernel. Out: its effect on memory. */
#ifndef WN_BACKEND_INTERP_INTERP_H
#define WN_BACKEND_INTERP_INTERP_H

#include "kernel/linear.h"

/* interp_prepare decodes a kernel once, into the arena; interp_run allocates nothing and may run in several threads,
 * each with a scratch of its own of interp_scratch bytes, 64-byte aligned (the kernel's local arrays first, then
 * registers). */
typedef struct interp_code interp_code;
const interp_code *interp_prepare(arena *a, const lin_kernel *k);
size_t interp_scratch(const interp_code *code);
void interp_run(const interp_code *code, void *const *args, void *scratch, int64_t begin,
                int64_t end);

#endif
