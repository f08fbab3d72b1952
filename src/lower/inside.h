/* What is inside a graph of tensors, for those who look at results and errors: the values that have names, and the same
 * computation in float64.
 *
 * In: tensors of a context. Out: tensors of the same context. Always holds: what was there stays as it was. */
#ifndef WN_LOWER_INSIDE_H
#define WN_LOWER_INSIDE_H

#include "tensor/tensor.h"

typedef struct named_value {
  const char *name;
  wn_tensor *tensor;
} named_value;

/* Every value of floats under the roots that was given a name, each once, in the order of computing; inputs and
 * constants are none. The list is the context's. WN_ERR_NOMEM. */
wn_status tensor_named(wn_context *ctx, int count, wn_tensor *const *roots, named_value **values,
                       int *found);
/* The same of float64 where they are of smaller floats, and so is everything between: inputs and constants are what is
 * in their arrays, and nothing is rounded to f32, f16 or bf16 on the way, where casts say so neither. WN_ERR_NOMEM. */
wn_status tensor_widened(wn_context *ctx, int count, wn_tensor *const *in, wn_tensor **out);

#endif
