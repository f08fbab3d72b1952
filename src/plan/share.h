/* Which loops the work items of a group share, in a device's kernel with stages inside.
 *
 * In: the axes of the kernel, how many of them are around stages, what a schedule asks for. Out: the axis from which
 * on loops that neither reduce nor are copies are shared out, and what a plan says of it. Always holds: loops of the
 * grid and loops around a stage are not shared, since all work items of a group make the stage together; in a kernel
 * without stages inside every point is a work item of its own, and there is nothing to choose. */
#ifndef WN_PLAN_SHARE_H
#define WN_PLAN_SHARE_H

#include "plan/schedule.h"

typedef struct sharing {
  int from;       /* position of an axis */
  loop_name said; /* letter 0: it is the only one that there can be */
} sharing;

/* s NULL: nothing is asked for. of: what the kernel stores, for diag_fail(WN_ERR_REFUSED) where no loop that can be
 * shared has the name. */
sharing share_from(diag *d, arena *a, const schedule *s, int naxes, const axis *axes, int around,
                   const char *of);

#endif
