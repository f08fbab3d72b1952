/* TensorProto's table, and what types of elements are. */
#ifndef WN_ONNX_ONNX_TENSOR_H
#define WN_ONNX_ONNX_TENSOR_H

#include "onnx/onnx_file.h"
#include "onnx/wire.h"

extern const wire_message onnx_tensor_message; /* of onnx_tensor */

#define ONNX_FIELD(T, n, label, what, to, counted, message) \
  {.number = (n),                                           \
   .name = #label,                                          \
   .kind = WIRE_##what,                                     \
   .at = offsetof(T, to),                                   \
   .count = counted,                                        \
   .of = message}
/* Rows of tables: field n of a message, read into T. */
#define ONNX_ONE(T, n, label, what, to) ONNX_FIELD(T, n, label, what, to, WIRE_NOWHERE, NULL)
#define ONNX_HAS(T, n, label, what, to, has) \
  ONNX_FIELD(T, n, label, what, to, offsetof(T, has), NULL)
#define ONNX_LIST(T, n, label, what, to, length) \
  ONNX_FIELD(T, n, label, what, to, offsetof(T, length), NULL)
#define ONNX_SUB(T, n, label, to, message) \
  ONNX_FIELD(T, n, label, MESSAGE, to, WIRE_NOWHERE, message)
#define ONNX_SUBS(T, n, label, to, length, message) \
  ONNX_FIELD(T, n, label, MESSAGES, to, offsetof(T, length), message)
/* Only counted. */
#define ONNX_COUNT(T, n, label, what, length) \
  {.number = (n),                             \
   .name = #label,                            \
   .kind = WIRE_##what,                       \
   .at = WIRE_NOWHERE,                        \
   .count = offsetof(T, length)}
#define ONNX_ROWS(rows) .fields = (int)(sizeof(rows) / sizeof *(rows)), .field = (rows)

#endif
