/* A scratch arena for the length of one call: released on return and also where a failure unwinds
 * through it. */
#ifndef WN_REWRITE_SCRATCH_H
#define WN_REWRITE_SCRATCH_H

#include "base/mem.h"

/* Runs work(a, state) with an empty arena a. A failure inside is passed on afterwards. */
void with_scratch(diag *d, void (*work)(arena *a, void *state), void *state);

#endif
