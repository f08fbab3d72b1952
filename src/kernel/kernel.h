/* Nests -> linear kernels.
 *
 * In: a kernel_set. Out: for each nest_kernel one lin_kernel, in the same order. Unrolled axes are expanded, the vector
 * axis becomes lanes, equal reductions are merged into loops with several accumulators, a multiplication that feeds an
 * addition is fused with it. Always holds: lin_verify passes; global arrays of the kernel are numbered by `args`. */
#ifndef WN_KERNEL_KERNEL_H
#define WN_KERNEL_KERNEL_H

#include "kernel/linear.h"
#include "nest/nest.h"

typedef struct linear_options {
  int accumulators; /* of one merged loop at most; 0: as many as there are */
  bool fma;         /* the machine fuses multiply and add */
  bool no_merge;    /* each use of a reduction gets its own loop */
} linear_options;

typedef struct linear_kernel {
  lin_kernel lin;
  VEC(int) args; /* array numbers of the kernel_set, by slot */
} linear_kernel;

/* A GET that no unrolling decided, or an op that no kernel has, is diag_fail(WN_ERR_REFUSED). */
linear_kernel *linearise(graph *g, const kernel_set *set, const nest_kernel *plan,
                         const linear_options *options);

#endif
