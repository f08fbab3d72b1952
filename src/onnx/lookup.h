/* What a node stands for in its model: a function, a row of the table of operators, at which opset, under which name.
 *
 * In: a model, or what it has of functions and opsets, and a node. Out: what they say; NULL or 0 where nothing. Always
 * holds: a function of the model goes before an operator of the same name. */
#ifndef WN_ONNX_LOOKUP_H
#define WN_ONNX_LOOKUP_H

#include "onnx/importer.h"

/* The function of the model that a node calls; NULL: none. */
const onnx_function *lookup_function(const onnx_model *m, const onnx_node *n);
/* The row for a node that calls no function; NULL: its domain is not ONNX's own, or there is none at this opset. */
const op_row *lookup_operator(const onnx_node *n, int64_t opset);
/* The version of ONNX's own domain in a list; 0: it is not in it. */
int64_t lookup_opset(const onnx_opset *list, int n);
/* ... that the body of a function is for, with the model at `opset`. */
int64_t lookup_body_opset(const onnx_function *f, int64_t opset);
/* What messages call a node: its name, else that of its first result. */
const char *lookup_label(const onnx_node *n);

#endif
