/* One stored value of a graph by itself: a layer.
 *
 * In: a compiled-for graph, its stored values, the caller's context. Out: a context with the tensors of one value,
 * whose inputs are the caller's arrays and, for what other values are to it, noise. Always holds: compiled alone it has
 * the canonical form that it has in the graph, so what is stored for it is found again there. */
#ifndef WN_TUNE_LAYER_H
#define WN_TUNE_LAYER_H

#include "plan/sites.h"
#include "tensor/tensor.h"

typedef struct layer {
  wn_context *ctx;
  wn_tensor *out;
  void *data; /* of the result */
} layer;

/* Unwinds through g's diag. */
void layer_make(layer *l, graph *g, const site_list *sites, int value, wn_context *of);
void layer_destroy(layer *l);

#endif
