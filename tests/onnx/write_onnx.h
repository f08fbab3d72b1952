/* Writes ONNX models in memory, right ones and wrong ones: ONNX's messages in protobuf's wire format.
 *
 * In: an arena; names, shapes and numbers. Out: bytes of a ModelProto. Nothing is checked, so that a test can say what no
 * exporter would. Numbers of fields are those of onnx.proto, written here a second time on purpose.
 *
 *     graph_writer g;  graph_begin(&g, a);
 *     graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){1, 3, 8, 8});
 *     graph_constant(&g, "w", ONNX_FLOAT, 4, (int64_t[]){5, 3, 3, 3}, weights);
 *     str pads = attributes(a);  attribute_ints(&pads, "pads", 4, (int64_t[]){1, 1, 1, 1});
 *     graph_node(&g, "Conv", "x w", "y", &pads);
 *     graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
 *     str model = model_bytes(&g, 17); */
#ifndef WN_TESTS_ONNX_WRITE_ONNX_H
#define WN_TESTS_ONNX_WRITE_ONNX_H

#include "onnx/hold.h"
#include "onnx/write_protobuf.h"

/* --- tensors and types ------------------------------------------------------------------------ */

/* data: elements as this machine, which is little-endian, has them; `bytes` of them, whatever the shape says. */
static inline str tensor_bytes(arena *a, const char *name, int type, int ndim, const int64_t *dims,
                               const void *data, size_t bytes) {
  str t = pb_begin(a);
  for (int i = 0; i < ndim; ++i) pb_int(&t, 1, dims[i]);
  pb_int(&t, 2, type);
  pb_text(&t, 8, name);
  pb_bytes(&t, 9, data, bytes);
  return t;
}

/* ndim -1: of an unknown shape; a dim of -1 is left open, and of -2 called "batch". */
static inline str value_bytes(arena *a, const char *name, int type, int ndim, const int64_t *dims) {
  str shape = pb_begin(a), tensor = pb_begin(a), kind = pb_begin(a), value = pb_begin(a);
  for (int i = 0; i < ndim; ++i) {
    str dim = pb_begin(a);
    if (dims[i] == -2) pb_text(&dim, 2, "batch");
    if (dims[i] >= 0) pb_int(&dim, 1, dims[i]);
    pb_message(&shape, 1, &dim);
  }
  pb_int(&tensor, 1, type);
  if (ndim >= 0) pb_message(&tensor, 2, &shape);
  pb_message(&kind, 1, &tensor);
  pb_text(&value, 1, name);
  pb_message(&value, 2, &kind);
  return value;
}

/* --- attributes ------------------------------------------------------------------------------- */

/* Those of one node, as its fields. */
static inline str attributes(arena *a) { return pb_begin(a); }

static inline void attribute_add(str *all, const char *name, int kind, str *value) {
  pb_text(value, 1, name);
  pb_int(value, 20, kind);
  pb_message(all, 5, value);
}

static inline void attribute_int(str *all, const char *name, int64_t i) {
  str v = pb_begin(all->arena);
  pb_int(&v, 3, i);
  attribute_add(all, name, ONNX_ATTR_INT, &v);
}

static inline void attribute_float(str *all, const char *name, float f) {
  str v = pb_begin(all->arena);
  pb_float(&v, 2, f);
  attribute_add(all, name, ONNX_ATTR_FLOAT, &v);
}

static inline void attribute_text(str *all, const char *name, const char *text) {
  str v = pb_begin(all->arena);
  pb_text(&v, 4, text);
  attribute_add(all, name, ONNX_ATTR_STRING, &v);
}

static inline void attribute_ints(str *all, const char *name, int count, const int64_t *ints) {
  str v = pb_begin(all->arena);
  for (int i = 0; i < count; ++i) pb_int(&v, 8, ints[i]);
  attribute_add(all, name, ONNX_ATTR_INTS, &v);
}

static inline void attribute_tensor(str *all, const char *name, const str *tensor) {
  str v = pb_begin(all->arena);
  pb_message(&v, 5, tensor);
  attribute_add(all, name, ONNX_ATTR_TENSOR, &v);
}

static inline void attribute_graph(str *all, const char *name, const str *inner) {
  str v = pb_begin(all->arena);
  pb_message(&v, 6, inner);
  attribute_add(all, name, ONNX_ATTR_GRAPH, &v);
}

/* --- graphs ----------------------------------------------------------------------------------- */

typedef struct graph_writer {
  arena *a;
  str body;    /* fields of a GraphProto */
  str imports; /* opset_import of other domains, fields of a ModelProto */
  int nodes;   /* so far */
} graph_writer;

static inline void graph_begin(graph_writer *g, arena *a) {
  *g = (graph_writer){.a = a, .body = pb_begin(a), .imports = pb_begin(a)};
  pb_text(&g->body, 2, "graph");
}

static inline void graph_input(graph_writer *g, const char *name, int type, int ndim,
                               const int64_t *dims) {
  str v = value_bytes(g->a, name, type, ndim, dims);
  pb_message(&g->body, 11, &v);
}

static inline void graph_output(graph_writer *g, const char *name, int type, int ndim,
                                const int64_t *dims) {
  str v = value_bytes(g->a, name, type, ndim, dims);
  pb_message(&g->body, 12, &v);
}

static inline size_t written_size(int type, int ndim, const int64_t *dims) {
  size_t n = onnx_type_size(type);
  for (int i = 0; i < ndim; ++i) n *= (size_t)dims[i];
  return n;
}

/* An initializer. */
static inline void graph_constant(graph_writer *g, const char *name, int type, int ndim,
                                  const int64_t *dims, const void *data) {
  str t = tensor_bytes(g->a, name, type, ndim, dims, data, written_size(type, ndim, dims));
  pb_message(&g->body, 5, &t);
}

/* Of count int64, shape [count]. */
static inline void graph_ints(graph_writer *g, const char *name, int count, const int64_t *ints) {
  graph_constant(g, name, ONNX_INT64, 1, (int64_t[]){count}, ints);
}

/* Names apart by a space; "-" is an optional one that is left out. */
static inline void write_names(str *node, int field, const char *names) {
  while (*names != '\0') {
    size_t n = strcspn(names, " ");
    pb_bytes(node, field, names, n == 1 && names[0] == '-' ? 0 : n);
    names += n + (names[n] == ' ');
  }
}

/* all: NULL, or attributes. Nodes are called node0, node1, ... */
static inline void graph_node_of(graph_writer *g, const char *domain, const char *op,
                                 const char *inputs, const char *made, const str *all) {
  str node = pb_begin(g->a);
  write_names(&node, 1, inputs);
  write_names(&node, 2, made);
  pb_text(&node, 3, arena_printf(g->a, "node%d", g->nodes++));
  pb_text(&node, 4, op);
  if (all != NULL) str_addn(&node, all->data, all->len);
  if (*domain != '\0') pb_text(&node, 7, domain);
  pb_message(&g->body, 1, &node);
}

static inline void graph_node(graph_writer *g, const char *op, const char *inputs, const char *made,
                              const str *all) {
  graph_node_of(g, "", op, inputs, made, all);
}

/* Another domain's operators, in a version. */
static inline void graph_import(graph_writer *g, const char *domain, int64_t version) {
  str opset = pb_begin(g->a);
  if (*domain != '\0') pb_text(&opset, 1, domain);
  pb_int(&opset, 2, version);
  pb_message(&g->imports, 8, &opset);
}

/* opset 0: none is said. */
static inline str model_bytes(graph_writer *g, int64_t opset) {
  str m = pb_begin(g->a);
  pb_int(&m, 1, 8); /* IR version */
  pb_text(&m, 2, "winnow's tests");
  if (opset > 0) graph_import(g, "", opset);
  str_addn(&m, g->imports.data, g->imports.len);
  pb_message(&m, 7, &g->body);
  return m;
}

#endif
