/* What a program takes from its caller: the tensor graph, as a copy of its own, and the arrays, borrowed.
 *
 * In: a context and its tensors. Out: tensor-level IR in the program's graph, and what its BUFFERs stand for. Always
 * holds: nothing of a compile outlives its program; slots of buffers are those of the context. */
#ifndef WN_PROGRAM_IMPORT_H
#define WN_PROGRAM_IMPORT_H

#include "program/program.h"
#include "tensor/tensor.h"

/* Names come along: those of the context, in the program's graph. */
const uop *const *import_graph(graph *g, int count, wn_tensor *const *outs);
/* The arrays that it gets: those of the context that an output depends on, and the outputs. data may be NULL. */
slot_list import_slots(wn_context *ctx, graph *g, int count, wn_tensor *const *outs,
                       void *const *data, bool variable);
/* Arrays that are there are aligned and do not overlap where they must not, fixed ones are there, and with `all` every
 * one: else WN_ERR_USAGE. */
void import_check_data(const slot_list *slots, graph *g, bool all);
/* Each buffer's dtype and size, by slot. */
user_buffer *import_describe(wn_context *ctx, graph *g);

#endif
