/* Walks over a graph, without recursion. In: roots. Out: nodes in topological order, sources first, each once.
 * Always holds: time and memory are those of what is walked over, however large the graph around it is. */
#ifndef WN_IR_WALK_H
#define WN_IR_WALK_H

#include "ir/uop.h"

typedef struct uop_order {
  const uop **at; /* in the arena that was given */
  size_t len;
} uop_order;

/* Everything under the roots. */
uop_order uop_toposort(arena *a, int nroots, const uop *const *roots);

/* What is computed for a value: a BUFFERIZE that it reads is met, but not entered, since what is under it is another
 * value's business. `value` itself is no BUFFERIZE. */
uop_order uop_walk_value(arena *a, const uop *value);
/* The same of several, each node once. */
uop_order uop_walk_values(arena *a, int n, const uop *const *value);

/* The conditions that an AND of any depth joins, in order. */
typedef struct condition_list {
  const uop *const *at;
  size_t len;
} condition_list;
condition_list conditions_of(arena *a, const uop *cond);

#endif
