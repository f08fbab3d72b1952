/* What launches take as one job of the thread pool, and what they take in turn.
 *
 * In: kernels as nests, and the machine. Out: predicted seconds. The pool's threads take blocks in order, costly ones
 * first, and a job ends with the last block: so a launch of too few blocks, or of blocks that do not divide evenly,
 * leaves threads without work, and in a job of several the next one's blocks are theirs. Always holds: together never
 * takes longer than in turn by more than the launches' blocks are uneven; threads are looked at, since this decides when
 * a kernel runs and nothing else. */
#ifndef WN_NEST_SIDE_PRICE_H
#define WN_NEST_SIDE_PRICE_H

#include "nest/touched.h"
#include "plan/cost.h"

typedef struct launch_work {
  double seconds; /* of one thread */
  double blocks;  /* of the grid */
} launch_work;

/* known: as of touched_by. */
launch_work launch_work_of(const kernel_set *set, map *known, const cost_target *t,
                           const nest_kernel *k);
/* As one job; of one launch what it takes by itself. At most MOST_SIDE. */
double launches_together(const cost_target *t, const launch_work *const *w, int count);

#endif
