/* The printed form of the IR, which parses back to the same graph, and the verifier.
 *
 *   %0 = BUFFER f32 0 [1, 16, 32, 32]
 *   %1 = RANGE i64 3 16 "c"
 *   %2 = CONST i64 512
 *   %3 = MUL i64 %1 %2
 *   ...
 *   return %9
 * Arguments: REDUCE names its op (REDUCE f32 ADD %3 %1), BUFFERIZE its name, space, and what
 * differs from the default (BUFFERIZE f32 "result" global explicit site 0 stride [18, 1] %4 %1 %2). f32, f16
 * and bf16 constants have as many digits as they need.
 * One node a line, sources before users,
 * numbered in that order; arguments stand between the dtype and the sources. */
#ifndef WN_IR_IR_TEXT_H
#define WN_IR_IR_TEXT_H

#include "ir/uop.h"

void ir_print(graph *g, str *out, int nroots, const uop *const *roots);
/* Parses one root (several: a SINK). Malformed text is diag_fail(WN_ERR_USAGE) with line and
 * column. RANGE numbers are kept (next_range moves past them), so print(parse(text)) == text. */
const uop *ir_parse(graph *g, const char *text);
/* Checks every node under root against its row of ops.def and the laws of the range IR (levels not
 * mixed, REDUCE and BUFFERIZE bind RANGEs, no bound range escapes, INDEX has one index per range or
 * one for a BUFFER, conditions are bool). Returns NULL or one line that names the node (in the
 * graph's arena). level: UOP_TENSOR or UOP_EXPR. */
const char *ir_verify(graph *g, const uop *root, unsigned level);

/* One node against its row of ops.def alone: sources, argument, dtypes. NULL, or what is wrong (in
 * the graph's arena). */
const char *ir_check_row(graph *g, const uop *u);

#endif
