/* What compiled code depends on, as bytes: the key under which the store keeps it.
 *
 * In: kernels. Out: bytes that differ whenever anything differs that a renderer can see, and that
 * are the same in every process. Always holds: nothing is hashed, so two programs never share a key. */
#ifndef WN_STORE_KERNEL_KEY_H
#define WN_STORE_KERNEL_KEY_H

#include "kernel/linear.h"

/* Name, grid, arrays and instructions of each kernel, after a hash of the sources that turn them
 * into code: a version of winnow that is being changed must not find the code of the one before. */
void kernel_key_add(str *key, int count, const lin_kernel *const *kernels);

#endif
