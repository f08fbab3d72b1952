/* What weights are while a graph is compiled: expressions of constants, evaluated at given loops.
 *
 * In: an expression over BUFFERs and loops, and what constants hold. Out: its value, in double precision. Always holds:
 * there is a reader only of what is made of constants, by arithmetic that scaled and normalised weights are made by. */
#ifndef WN_WINOGRAD_WEIGHTS_H
#define WN_WINOGRAD_WEIGHTS_H

#include "ir/uop.h"

typedef struct wino_weights {
  bool (*known)(void *user, int64_t slot); /* is the buffer a constant with data? */
  double (*value)(void *user, int64_t slot, int64_t index); /* an element of one that is */
  void *user;
} wino_weights;

typedef struct weight_reader
    weight_reader; /* in the graph's arena; reads *of, which stays where it is */

/* NULL: the value is not made of constants, or of what is not worth reading here. */
weight_reader *weight_reader_new(graph *g, const uop *value, const wino_weights *of);
/* Where the loop's value is; -1: nothing depends on it. */
int weight_reader_loop(const weight_reader *r, const uop *loop);
void weight_reader_set(weight_reader *r, int place, int64_t value);
double weight_reader_value(weight_reader *r);

#endif
