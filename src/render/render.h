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

/* A value or an array of this dtype occurs: not all devices have f64. */
bool render_uses_dtype(const lin_kernel *k, wn_dtype dtype);

/* OpenCL C 1.2, one __kernel `name` a kernel; needs render_opencl_prelude once before it. Arguments: a __global pointer
 * for each global array by slot, then for each of them a long, what is to be added to it in elements, then the long
 * number of the first group: a launch runs groups first + get_group_id(0) of lin_kernel.group work items (one where
 * that is 0) along dimension 0. Local arrays are __local inside of the kernel; where there is one work item a group
 * they are private instead. */
void render_opencl(str *out, const lin_kernel *k);
/* Extensions and helpers that the given kernels need. */
void render_opencl_prelude(str *out, int count, const lin_kernel *const *kernels);

/* Metal Shading Language, one kernel `name` a kernel; needs render_metal_prelude once before it. Buffers: each global
 * array by slot, then { long first; long offset[arrays]; }, whose members mean what they do for OpenCL. Groups lie
 * along the first dimension. Local arrays are threadgroup memory, of scratch_bytes at most, or private as for OpenCL.
 * */
void render_metal(str *out, const lin_kernel *k);
void render_metal_prelude(str *out, int count, const lin_kernel *const *kernels);
/* NULL, or why the language cannot have this kernel, which is then not to be rendered: one line, in the arena if not
 * fixed. Limits of a device are not looked at. */
const char *render_metal_refusal(arena *a, const lin_kernel *k);

#endif
