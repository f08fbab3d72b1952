/* What a program takes from its caller: the tensor graph, as a copy of its own, and the arrays, borrowed.
 *
 * In: a context and its tensors. Out: tensor-level IR in the program's graph, and what its BUFFERs stand for. Always holds:
 * nothing of a compile outlives its program; slots of buffers are those of the context. */
#ifndef WN_IMPORT_H
#define WN_IMPORT_H

#include "program/program.h"
#include "tensor/tensor.h"

/* Names come along: those of the context, in the program's graph. */
const uop *const *import_graph(graph *g, int count, wn_tensor *const *outs);
/* What runs needs memory to read and to write: data that is missing is WN_ERR_USAGE, and so is an output that shares memory
 * with another array, or a constant (but for `variable`) that shares it with an input. */
void import_check_data(wn_context *ctx, graph *g, int count, wn_tensor *const *outs,
                       void *const *data, bool variable);
/* Each buffer's dtype and size, by slot. */
user_buffer *import_describe(wn_context *ctx, graph *g);
/* Where the program finds the caller's arrays. */
void import_addresses(wn_context *ctx, wn_program *p, int count, void *const *data);

#endif
