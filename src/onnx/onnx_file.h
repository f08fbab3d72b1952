/* A model as its file has it: ONNX's messages as structs (onnx.proto; names of fields are those of the standard).
 *
 * In: bytes of a file, or of memory. Out: an onnx_model, whose texts and lists are in the arena and whose large data
 * stays where it is, as offsets into the bytes. Always holds: every span lies in the bytes; texts are UTF-8 without a
 * NUL inside; nothing is deeper than ONNX_MAX_DEPTH messages. Whether a graph makes sense is not looked at here. */
#ifndef WN_ONNX_ONNX_FILE_H
#define WN_ONNX_ONNX_FILE_H

#include "base/diag.h"
#include "base/mem.h"

#define ONNX_MAX_DEPTH 64

/* TensorProto.DataType */
typedef enum onnx_type {
  ONNX_UNDEFINED,
  ONNX_FLOAT,
  ONNX_UINT8,
  ONNX_INT8,
  ONNX_UINT16,
  ONNX_INT16,
  ONNX_INT32,
  ONNX_INT64,
  ONNX_STRING,
  ONNX_BOOL,
  ONNX_FLOAT16,
  ONNX_DOUBLE,
  ONNX_UINT32,
  ONNX_UINT64,
  ONNX_COMPLEX64,
  ONNX_COMPLEX128,
  ONNX_BFLOAT16,
  ONNX_FLOAT8E4M3FN,
  ONNX_FLOAT8E4M3FNUZ,
  ONNX_FLOAT8E5M2,
  ONNX_FLOAT8E5M2FNUZ,
  ONNX_UINT4,
  ONNX_INT4
} onnx_type;

/* "float", "int64", ...; "type 23" of what has no name here (in the arena). */
const char *onnx_type_name(arena *a, int type);
/* Bytes of an element of an onnx_type; 0: it has none of its own (strings, 4-bit types, unknown ones). */
size_t onnx_type_size(int type);

typedef struct onnx_tensor {
  const char *name; /* "" where there is none */
  int type;         /* onnx_type */
  int ndim;
  const int64_t *dims; /* not negative, their product fits an int64 */
  int64_t count;       /* elements */
  /* exactly one of these has the elements, but for strings, which are only counted, and types unknown here: */
  const unsigned char *raw; /* little-endian, in the bytes of the file; NULL: none */
  const void *typed;        /* out of float_data, int32_data, ..., as elements of `type` */
  const char *location;     /* external data: a path beside the model; NULL: none */
  uint64_t offset, length;  /* of external data; length 0: up to what the shape needs */
  size_t raw_bytes;         /* of raw */
  const void **place;       /* where onnx_tensor_elements has put them; *place is NULL before */
} onnx_tensor;

typedef struct onnx_dim {
  int64_t value;    /* -1: not known */
  const char *name; /* dim_param; NULL: none */
} onnx_dim;

typedef struct onnx_value_info {
  const char *name;
  /* NULL: a tensor; else "sequence", "map", "optional", "sparse tensor" or "opaque" */
  const char *kind;
  int type; /* onnx_type; 0: not said */
  int ndim; /* -1: not said */
  const onnx_dim *dims;
} onnx_value_info;

/* AttributeProto.AttributeType */
typedef enum onnx_attribute_kind {
  ONNX_ATTR_UNDEFINED,
  ONNX_ATTR_FLOAT,
  ONNX_ATTR_INT,
  ONNX_ATTR_STRING,
  ONNX_ATTR_TENSOR,
  ONNX_ATTR_GRAPH,
  ONNX_ATTR_FLOATS,
  ONNX_ATTR_INTS,
  ONNX_ATTR_STRINGS,
  ONNX_ATTR_TENSORS,
  ONNX_ATTR_GRAPHS,
  ONNX_ATTR_SPARSE_TENSOR,
  ONNX_ATTR_SPARSE_TENSORS,
  ONNX_ATTR_TYPE_PROTO,
  ONNX_ATTR_TYPE_PROTOS
} onnx_attribute_kind;

typedef struct onnx_graph onnx_graph;

typedef struct onnx_attribute {
  const char *name;
  int kind; /* onnx_attribute_kind; derived from what is there where a file does not say it */
  int64_t i;
  float f;
  const char *s; /* of ONNX_ATTR_STRING */
  int count;     /* of ints, floats or strings */
  const int64_t *ints;
  const float *floats;
  const char *const *strings;
  const onnx_tensor *t;
  const onnx_graph *g;
  const char *ref; /* ref_attr_name: the value is that attribute of the function; NULL: none */
} onnx_attribute;

typedef struct onnx_node {
  const char *name;     /* "" where there is none */
  const char *op;       /* op_type */
  const char *domain;   /* "" is ONNX's own; "ai.onnx" is written as "" */
  const char *overload; /* of a function; "" where there is none */
  int inputs, outputs, attributes;
  const char *const *input; /* "" where an optional one is left out */
  const char *const *output;
  const onnx_attribute *attribute;
} onnx_node;

struct onnx_graph {
  const char *name;
  int nodes, initializers, inputs, outputs, infos;
  const onnx_node *node;
  const onnx_tensor *initializer;
  const onnx_value_info *input, *output, *info; /* info: value_info */
  int sparse_initializers;                      /* how many; they are not read */
};

typedef struct onnx_opset {
  const char *domain; /* "" is ONNX's own */
  int64_t version;
} onnx_opset;

typedef struct onnx_function {
  const char *name, *domain, *overload;
  int inputs, outputs, attributes, defaults, nodes, opsets;
  const char *const *input, *const *output;
  const char *const *attribute;       /* names, without a default */
  const onnx_attribute *with_default; /* attribute_proto, `defaults` of them */
  const onnx_node *node;
  const onnx_opset *opset;
} onnx_function;

typedef struct onnx_model {
  int64_t ir_version;
  const char *producer, *producer_version; /* "" where there is none */
  int opsets, functions;
  const onnx_opset *opset;
  onnx_graph graph;
  const onnx_function *function;
} onnx_model;

/* Reads a ModelProto. Texts and lists go to the arena; raw data is left in bytes[0..size), which must stay. `what` names
 * it in errors ("net.onnx"), which unwind through d: WN_ERR_USAGE, one line with the offset and what was expected. */
onnx_model *onnx_read_model(arena *a, diag *d, const char *what, const unsigned char *bytes,
                            size_t size);
/* Reads a TensorProto, as in the .pb files of ONNX's test data. */
onnx_tensor *onnx_read_tensor(arena *a, diag *d, const char *what, const unsigned char *bytes,
                              size_t size);

#endif
