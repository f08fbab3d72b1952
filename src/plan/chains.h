/* Long sums: how many chains of additions side by side.
 *
 * In: a stored value in its canonical form, its register tile, what a schedule asks for, the machine. Out: how many
 * chains each element of the tile has, and from that for each sum of the value the loop whose terms are dealt out and
 * to how many chains, terms of a turn and lanes. Always holds: this is the one place where that is chosen, nest/sums.c
 * carries it out; integers, the largest and the smallest are the same values in any order; products keep theirs, since
 * no order makes their error smaller and another one may overflow; the number of threads is not looked at. */
#ifndef WN_PLAN_CHAINS_H
#define WN_PLAN_CHAINS_H

#include "plan/loops.h"

enum { TERMS_AT_ONCE = 4 }; /* added in pairs in a turn */

typedef struct sum_cut {
  const uop *range; /* whose terms are dealt out; NULL: the sum is one chain */
  int64_t chains, terms;
  int lanes;
} sum_cut;

/* Of each element of the tile, for all sums of the value together: what hides the latency of their additions. 0: sums
 * of a device's work items are not dealt out, there are enough of them. */
int64_t chains_of_tile(const schedule *s, const machine *m, const register_tile *t);
/* Of each of so many sums, where their value has so many. */
int64_t chains_of_sum(int64_t chains, int64_t sums);
/* reduce: with no sum in it; lanes: of terms, 1: there are none; chains: its own, 0: it is not dealt out. */
sum_cut cut_of_sum(arena *a, const uop *reduce, int lanes, int64_t chains);
/* Are there sums in the value that can be dealt out to several chains? If not a plan has nothing to say of them. */
bool chains_can_be(arena *a, const uop *value, int lanes, const machine *m);

#endif
