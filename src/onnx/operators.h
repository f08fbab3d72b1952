/* The functions of the operators' table (op_table.c), a list a file, each of one kind of operator.
 *
 * In: a node with its inputs. Out: its results. Their meaning is that of ONNX's operators.md. */
#ifndef WN_ONNX_OPERATORS_H
#define WN_ONNX_OPERATORS_H

#include "onnx/importer.h"

/* A value that is a tensor of the file. */
onnx_value *value_of_tensor(importer *imp, const onnx_tensor *t);

#define OPERATOR(name, since, until, function, values, reads, attributes, limits) \
  void function(op_call *c);
#include "onnx/operators.def"
#undef OPERATOR

#endif
