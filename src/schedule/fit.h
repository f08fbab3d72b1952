/* Carrying out a plan within a limit of memory.
 *
 * In: a plan and a limit. Out: kernels, and the plan that they carry out: the one that was given, or one with smaller
 * blocks of tiles. Always holds: what is returned needs no more than the limit; sizes are made smaller only where that is
 * allowed, halving at a time, those of the site that holds most memory first. Local arrays that a device has no room for
 * are diag_fail(WN_ERR_REFUSED). */
#ifndef WN_SCHEDULE_FIT_H
#define WN_SCHEDULE_FIT_H

#include "schedule/nest.h"

typedef struct fit_limit {
  size_t bytes;        /* of memory_needed */
  int threads;         /* each has scratch of its own */
  const bool *spelled; /* by site: its blocks may not be smaller than its plan says */
} fit_limit;

/* NULL where nothing fits: *least is then the least that was found, and *p the plan that needs it. *site: whose plan was
 * refused (that unwinds), or holds most where nothing fits, -1: of no site. */
kernel_set *schedule_fit(graph *g, const wino_result *w, graph_plan *p, const apply_target *target,
                         int nuser, const user_buffer *user, const fit_limit *limit, size_t *least,
                         int *site);

#endif
