/* Carrying out a schedule within a limit of memory.
 *
 * In: a schedule and a limit. Out: kernels, and the schedule that they carry out: the one that was given, or one with
 * smaller blocks of tiles. Always holds: what is returned needs no more than the limit; sizes are made smaller only where
 * that is allowed, and no more than the limit asks for, halving at a time. Local arrays that a device has no room for are
 * diag_fail(WN_ERR_REFUSED). */
#ifndef WN_SCHEDULE_FIT_H
#define WN_SCHEDULE_FIT_H

#include "schedule/nest.h"

typedef struct fit_limit {
  size_t bytes; /* of memory_needed */
  int threads;  /* each has scratch of its own */
  bool shrink;  /* may blocks be smaller than the schedule says? */
} fit_limit;

/* NULL where nothing fits: *least is then the least that was found, and *s the schedule that needs it. */
kernel_set *schedule_fit(graph *g, const wino_result *w, schedule *s, const apply_target *target,
                         int nuser, const user_buffer *user, const fit_limit *limit, size_t *least);

#endif
