/* What a nest reads, writes and computes, the stages inside it included.
 *
 * In: a nest. Out: arrays by its own numbers (kernel_array says which of the set's they are), and operations on floats.
 * Always holds: launches share nests, and each nest is looked through once. */
#ifndef WN_NEST_TOUCHED_H
#define WN_NEST_TOUCHED_H

#include "nest/nest.h"

typedef VEC(int) numbers;

typedef struct touched {
  numbers reads, writes; /* an array may be there several times */
  double flops; /* of a run, where what does not depend on a loop is computed outside of it */
} touched;

/* known: of all nests that were asked for; what is returned lives in its arena. */
const touched *touched_by(map *known, const nest *n);

#endif
