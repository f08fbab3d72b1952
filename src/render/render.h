/* Printing linear IR for a target. One file a target; each handles every LIN op of ops.def by a table.
 *
 * In: a verified lin_kernel. Out: source text, one instruction a line. */
#ifndef WN_RENDER_RENDER_H
#define WN_RENDER_RENDER_H

#include "kernel/linear.h"

/* C17 with GNU vector extensions: one function `name` with the CPU ABI of kernel/linear.h; needs render_c_prelude once
 * before it. Instructions print one a line, so lines of the body = lines counted by source_lines. */
void render_c(str *out, const lin_kernel *k);
/* Typedefs, helpers (masked and strided loads and stores, NaN-correct max, floor division, half conversions) used by
 * the given kernels. */
void render_c_prelude(str *out, int count, const lin_kernel *const *kernels);
/* Lines of the kernel's function as render_c prints it. */
int render_c_lines(arena *scratch, const lin_kernel *k);

#endif
