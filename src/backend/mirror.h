/* Kernels that fell back, where arrays are in a device's memory. */
#ifndef WN_BACKEND_MIRROR_H
#define WN_BACKEND_MIRROR_H

#include "backend/runtime_parts.h"

/* What of a block is in the mirror; of the first slot that has the block. */
struct mirror_part {
  int first;             /* slot with the same block */
  size_t begin, end, at; /* bytes [begin, end) of the block are `at` bytes into the mirror */
};

/* Runs a kernel here whose code is one of the host's backend `on`: what its arrays' blocks hold is read into a mirror,
 * and what the kernel wrote is written again. NULL, or one line. */
const char *mirror_launch(runtime *rt, const backend *on, const lin_kernel *k,
                          const backend_kernel *code, const device_arg *args, int64_t begin,
                          int64_t end, int stamp);

#endif
