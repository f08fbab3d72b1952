/* What compiled code depends on, as bytes: the key under which the store keeps it.
 *
 * In: a kernel. Out: bytes that differ whenever anything differs that a renderer can see, and that
 * are the same in every process. Always holds: nothing is hashed, so two kernels never share a
 * key. */
#ifndef WN_STORE_KERNEL_KEY_H
#define WN_STORE_KERNEL_KEY_H

#include "kernel/linear.h"

/* Grid, arrays and instructions of the kernel, after a hash of the sources that turn them into code: a version of
 * winnow that is being changed must not find the code of the one before. Its name is no part of it, so equal kernels of
 * other programs have the same key. */
void kernel_key_add(str *key, const lin_kernel *k);
/* A name for code of a kernel with this key, in arena a. */
const char *kernel_symbol(arena *a, const str *key);

#endif
