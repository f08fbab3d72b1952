/* What becomes of the caches between two runs of a layer that is part of a network.
 *
 * In: how many bytes of others' weights pass, and the layer's context. Out: caches that have those bytes and, read
 * after them, the layer's inputs, which the layer before it has just written. Always holds: nothing is read that a
 * program writes; passing allocates nothing. Memory and the caches that cores share are as in the network; a cache of
 * another core keeps what it had, which is small beside weights that are cold. */
#ifndef WN_TUNE_COOLING_H
#define WN_TUNE_COOLING_H

#include "tensor/tensor.h"

typedef struct cooling {
  const wn_context *layer;
  char *passing; /* NULL: nothing passes */
  size_t bytes;
} cooling;

/* last_cache: bytes; twice as much as it has leaves nothing of what it had, so more never passes, nor more than 256 MiB.
 * False: no memory. */
bool cooling_make(cooling *c, const wn_context *layer, double bytes, size_t last_cache);
void cooling_end(cooling *c);
void cooling_pass(const cooling *c);

#endif
