/* Is a result within the promise of the maths mode? In: tensors and the arrays that programs write. Out: the L2 error
 * against float64 at sampled places, relative to the result and to what was summed (magnitude.h). The promise that
 * holds on any data, so on the caller's, is about the latter.
 *
 * Always holds: the reference comes from the interpreter, which computes in float64, over a grid of places of each
 * output; what the grid costs is bounded. */
#ifndef WN_TUNE_CHECK_H
#define WN_TUNE_CHECK_H

#include "base/mem.h"

enum { CHECK_GRIDS = 2 }; /* of an output: one from its first place, one to its last */

typedef struct check_grid { /* places begin + i * step along every axis of output `out` */
  int out;
  int64_t begin[WN_MAX_DIMS], step[WN_MAX_DIMS], count[WN_MAX_DIMS];
  int64_t places;
  void *value, *summed;
} check_grid;

typedef struct check {
  wn_tensor *const *outs;
  wn_tensor **sums; /* of outs: the size of what is summed */
  int nouts, ngrids;
  check_grid *grid;
  int64_t places;      /* of all grids */
  const char *why_not; /* NULL, or why nothing can be compared */
} check;

/* flops: of one run of the whole graph, from which follows how many places can be afforded. In the context that owns
 * outs the tensors of the grids stay. NULL why_not: values are there. A failure to compile or to run is its why_not. */
void check_make(check *c, arena *a, wn_context *ctx, wn_tensor *const *outs, int nouts,
                double flops);
/* Of everything that a program runs, preparing included. */
double check_flops(wn_program *p);
/* Makes what a program does not write show: the sampled places become NaN, or all ones. */
void check_poison(const check *c, void *const *data);
typedef struct check_errors {
  double result, summed; /* relative to */
} check_errors;
/* The largest of an output; NAN where a place is not a number and should be. */
check_errors check_error(const check *c, void *const *data);

#endif
