/* Which loops of a stored value go where: of one that is neither rewritten nor has output channels in its lanes.
 *
 * In: a stored value in its canonical form, what a schedule asks for, the machine. Out: the loop in the lanes, the one
 * that is held in registers, whether terms of sums are lanes instead, what is outside, and the register tile. Always
 * holds: this is the one place where that is chosen: nest/general.c carries it out; the number of threads is not looked
 * at. */
#ifndef WN_PLAN_LOOPS_H
#define WN_PLAN_LOOPS_H

#include "plan/values.h"

typedef struct value_loops {
  bool reduces;        /* there are sums in it */
  int lane, reg;       /* positions of its loops: in the lanes, in registers; -1: none */
  value_loop lanes_of; /* the lanes as a schedule says it */
  int term_lanes;      /* of the terms of sums, where no loop is in the lanes; 1: there are none */
  bool outside;        /* blocks of the loop in registers go around all others */
  register_tile tile;  /* of the two */
  /* A map that reads along the lanes and writes along the loop in registers: elements of each that are taken together,
   * whole cache lines of both arrays; the last ones begin early and are computed twice. 0: it is none. */
  int64_t kline, tline;
  int whole; /* of a map: a short loop, innermost in the result, that is unrolled beside them; -1: there is none */
} value_loops;

/* Has the value the loops that the schedule names? */
bool loops_are_there(const uop *b, const schedule *s);
/* b: a BUFFERIZE. */
value_loops loops_of_value(arena *a, const uop *b, const schedule *s, const machine *m);
/* May one nest go through the loops of both? Bits of sums depend on their loops, so two that have such sums go through
 * the same ones; else those of the first are good for both. */
bool loops_fit(arena *a, const uop *x, const value_loops *lx, const uop *y, const value_loops *ly);
/* Of values that one nest stores: whose loops they go through. */
const uop *loops_owner(arena *a, int n, const uop *const *value);

/* The widest number that the value reads, makes or is: with more lanes than a vector has of those, each would be
 * several. */
wn_dtype widest_dtype(arena *a, const uop *value);
int64_t array_elements(const uop *base); /* of a BUFFER or BUFFERIZE */
/* Elements between what an INDEX reads and what it reads with the range one further: 0 where it does not move, and
 * STRIDE_UNKNOWN where that is no constant. Indices of several dimensions are those of an array in its natural layout.
 * */
enum { STRIDE_UNKNOWN = 1 << 30 };
int64_t index_stride(const uop *index, const uop *range);

/* Is the term a product of two values? Where many of them are in registers, arithmetic binds, else loads do. */
bool sum_is_of_products(const uop *term);
static inline bool is_sum_of_products(const uop *u) {
  return u->op == OP_REDUCE && u->arg.i == OP_ADD && sum_is_of_products(u->src[0]);
}
/* May its terms be added in another order? */
bool sum_may_reorder(const uop *reduce);
/* The loop of a sum whose terms may be lanes, NULL if none. */
const uop *sum_lane_range(arena *a, const uop *reduce, int lanes);

#endif
