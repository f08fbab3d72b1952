/* Layers that take turns: kernels in rounds, each of which makes a band of every layer's result.
 *
 * A result that is larger than a cache goes to memory and comes back for the next layer. Where the next layer's kernel
 * needs only the first rows of it for its own first rows, the two can take turns: some rows of the one, then as many of
 * the other as that allows, so that what passes between them is read where it still is. Nothing is computed twice: a
 * round of the first layer goes ahead of the second by the halo, the rows more that its windows reach, and any number
 * of layers can follow each other so.
 * In: kernels in running order, what the plan says (bands=) and what memory costs. Out: groups of neighbouring kernels,
 * with the blocks of each that are done after every round. Which rows a block needs is read from the index expressions:
 * the outermost loop of a kernel against the elements that it reads and writes, so it works for whatever has its rows
 * outermost in both arrays, as images have whose channels are last.
 * Always holds: before a block is run all blocks are done that write what it reads; every block is run once; the kernels
 * and their bits are what they are without. */
#ifndef WN_NEST_BANDS_H
#define WN_NEST_BANDS_H

#include "nest/nest.h"
#include "plan/cost.h"

typedef struct band_request {
  const cost_target *cost; /* for those that are chosen */
  const int *said;         /* by site: rounds with the layer that reads it, 1: none, 0: chosen */
  const site_list *sites;
} band_request;

/* Sets set->bands. diag_fail(WN_ERR_REFUSED) where a plan asks for what cannot be. */
void bands_find(graph *g, kernel_set *set, arena *scratch, const band_request *request);

#endif
