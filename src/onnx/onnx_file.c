/* See onnx_file.h: the tables of ONNX's messages (onnx.proto of ONNX 1.16, IR version 10). What no table has is skipped:
 * documentation, metadata, training, annotations of quantisation. */
#include "onnx/onnx_file.h"

#include "base/text.h"
#include "onnx/onnx_tensor.h"

enum { LEAST_IR = 3, MOST_IR = 10 };

static const wire_message node_message, graph_message;

static void name_domain(const char **domain) {
  if (strcmp(*domain, "ai.onnx") == 0) *domain = "";
}

/* --- types of values --------------------------------------------------------------------------- */

typedef struct dim_draft {
  onnx_dim dim;
  int has_value;
} dim_draft;

static const wire_field dim_rows[] = {
    ONNX_HAS(dim_draft, 1, dim_value, INT64, dim.value, has_value),
    ONNX_ONE(dim_draft, 2, dim_param, OPTIONAL_TEXT, dim.name),
};

static void finish_dim(wire_reader *r, wire_span in, void *draft, void *to) {
  dim_draft *d = draft;
  (void)r, (void)in;
  if (!d->has_value || d->dim.value < 0) d->dim.value = -1;
  if (d->dim.name != NULL && *d->dim.name == '\0') d->dim.name = NULL;
  *(onnx_dim *)to = d->dim;
}

static const wire_message dim_message = {.name = "TensorShapeProto.Dimension",
                                         .size = sizeof(onnx_dim),
                                         ONNX_ROWS(dim_rows),
                                         .draft = sizeof(dim_draft),
                                         .finish = finish_dim};

typedef struct shape_draft {
  const onnx_dim *dims;
  int ndim;
} shape_draft;

static const wire_field shape_rows[] = {
    ONNX_SUBS(shape_draft, 1, dim, dims, ndim, &dim_message),
};
static const wire_message shape_message = {
    .name = "TensorShapeProto", .size = sizeof(shape_draft), ONNX_ROWS(shape_rows)};

typedef struct tensor_type_draft {
  int type;
  const shape_draft *shape;
} tensor_type_draft;

static const wire_field tensor_type_rows[] = {
    ONNX_ONE(tensor_type_draft, 1, elem_type, INT32, type),
    ONNX_SUB(tensor_type_draft, 2, shape, shape, &shape_message),
};
static const wire_message tensor_type_message = {
    .name = "TypeProto.Tensor", .size = sizeof(tensor_type_draft), ONNX_ROWS(tensor_type_rows)};

typedef struct type_draft {
  const tensor_type_draft *tensor;
  int sequence, map, optional, sparse, opaque;
} type_draft;

static const wire_field type_rows[] = {
    ONNX_SUB(type_draft, 1, tensor_type, tensor, &tensor_type_message),
    ONNX_COUNT(type_draft, 4, sequence_type, MESSAGES, sequence),
    ONNX_COUNT(type_draft, 5, map_type, MESSAGES, map),
    ONNX_COUNT(type_draft, 7, opaque_type, MESSAGES, opaque),
    ONNX_COUNT(type_draft, 8, sparse_tensor_type, MESSAGES, sparse),
    ONNX_COUNT(type_draft, 9, optional_type, MESSAGES, optional),
};
static const wire_message type_message = {
    .name = "TypeProto", .size = sizeof(type_draft), ONNX_ROWS(type_rows)};

typedef struct value_draft {
  const char *name;
  const type_draft *type;
} value_draft;

static const wire_field value_rows[] = {
    ONNX_ONE(value_draft, 1, name, TEXT, name),
    ONNX_SUB(value_draft, 2, type, type, &type_message),
};

static void finish_value(wire_reader *r, wire_span in, void *draft, void *to) {
  const value_draft *d = draft;
  onnx_value_info *v = to;
  (void)r, (void)in;
  *v = (onnx_value_info){.name = d->name, .ndim = -1};
  if (d->type == NULL) return;
  v->kind = d->type->sequence   ? "sequence"
            : d->type->map      ? "map"
            : d->type->optional ? "optional"
            : d->type->sparse   ? "sparse tensor"
            : d->type->opaque   ? "opaque"
                                : NULL;
  if (v->kind != NULL || d->type->tensor == NULL) return;
  v->type = d->type->tensor->type;
  if (d->type->tensor->shape == NULL) return;
  v->ndim = d->type->tensor->shape->ndim;
  v->dims = d->type->tensor->shape->dims;
}

static const wire_message value_message = {.name = "ValueInfoProto",
                                           .size = sizeof(onnx_value_info),
                                           ONNX_ROWS(value_rows),
                                           .draft = sizeof(value_draft),
                                           .finish = finish_value};

/* --- attributes -------------------------------------------------------------------------------- */

typedef struct attribute_draft {
  onnx_attribute to; /* its count is set at the end */
  int nints, nfloats, nstrings, type, has_f, has_i, has_s;
  int tensors, graphs, sparse, sparses, type_proto, type_protos;
} attribute_draft;

static const wire_field attribute_rows[] = {
    ONNX_ONE(attribute_draft, 1, name, TEXT, to.name),
    ONNX_HAS(attribute_draft, 2, f, FLOAT, to.f, has_f),
    ONNX_HAS(attribute_draft, 3, i, INT64, to.i, has_i),
    ONNX_HAS(attribute_draft, 4, s, TEXT, to.s, has_s),
    ONNX_SUB(attribute_draft, 5, t, to.t, &onnx_tensor_message),
    ONNX_SUB(attribute_draft, 6, g, to.g, &graph_message),
    ONNX_LIST(attribute_draft, 7, floats, FLOATS, to.floats, nfloats),
    ONNX_LIST(attribute_draft, 8, ints, INT64S, to.ints, nints),
    ONNX_LIST(attribute_draft, 9, strings, TEXTS, to.strings, nstrings),
    ONNX_COUNT(attribute_draft, 10, tensors, MESSAGES, tensors),
    ONNX_COUNT(attribute_draft, 11, graphs, MESSAGES, graphs),
    ONNX_COUNT(attribute_draft, 14, tp, MESSAGES, type_proto),
    ONNX_COUNT(attribute_draft, 15, type_protos, MESSAGES, type_protos),
    ONNX_ONE(attribute_draft, 20, type, INT32, type),
    ONNX_ONE(attribute_draft, 21, ref_attr_name, OPTIONAL_TEXT, to.ref),
    ONNX_COUNT(attribute_draft, 22, sparse_tensor, MESSAGES, sparse),
    ONNX_COUNT(attribute_draft, 23, sparse_tensors, MESSAGES, sparses),
};

/* What an attribute is that does not say it, as those of the first versions: what it has. */
static int kind_of(const attribute_draft *d) {
  return d->has_f          ? ONNX_ATTR_FLOAT
         : d->has_i        ? ONNX_ATTR_INT
         : d->has_s        ? ONNX_ATTR_STRING
         : d->to.t != NULL ? ONNX_ATTR_TENSOR
         : d->to.g != NULL ? ONNX_ATTR_GRAPH
         : d->nfloats      ? ONNX_ATTR_FLOATS
         : d->nints        ? ONNX_ATTR_INTS
         : d->nstrings     ? ONNX_ATTR_STRINGS
         : d->tensors      ? ONNX_ATTR_TENSORS
         : d->graphs       ? ONNX_ATTR_GRAPHS
         : d->sparse       ? ONNX_ATTR_SPARSE_TENSOR
         : d->sparses      ? ONNX_ATTR_SPARSE_TENSORS
         : d->type_proto   ? ONNX_ATTR_TYPE_PROTO
         : d->type_protos  ? ONNX_ATTR_TYPE_PROTOS
                           : ONNX_ATTR_UNDEFINED;
}

static void finish_attribute(wire_reader *r, wire_span in, void *draft, void *to) {
  attribute_draft *d = draft;
  onnx_attribute *a = &d->to;
  a->kind = d->type != ONNX_ATTR_UNDEFINED ? d->type : kind_of(d);
  if (a->ref != NULL && *a->ref == '\0') a->ref = NULL;
  a->count = a->kind == ONNX_ATTR_FLOATS    ? d->nfloats
             : a->kind == ONNX_ATTR_INTS    ? d->nints
             : a->kind == ONNX_ATTR_STRINGS ? d->nstrings
                                            : 0;
  bool missing =
      (a->kind == ONNX_ATTR_TENSOR && a->t == NULL) || (a->kind == ONNX_ATTR_GRAPH && a->g == NULL);
  if (missing && a->ref == NULL)
    wire_fail(r, in.at, "attribute '%.80s' is a %s by its type, and has none", a->name,
              a->kind == ONNX_ATTR_TENSOR ? "tensor" : "graph");
  *(onnx_attribute *)to = *a;
}

static const wire_message attribute_message = {.name = "AttributeProto",
                                               .size = sizeof(onnx_attribute),
                                               ONNX_ROWS(attribute_rows),
                                               .draft = sizeof(attribute_draft),
                                               .finish = finish_attribute};

/* --- nodes and graphs -------------------------------------------------------------------------- */

static const wire_field node_rows[] = {
    ONNX_LIST(onnx_node, 1, input, TEXTS, input, inputs),
    ONNX_LIST(onnx_node, 2, output, TEXTS, output, outputs),
    ONNX_ONE(onnx_node, 3, name, TEXT, name),
    ONNX_ONE(onnx_node, 4, op_type, TEXT, op),
    ONNX_SUBS(onnx_node, 5, attribute, attribute, attributes, &attribute_message),
    ONNX_ONE(onnx_node, 7, domain, TEXT, domain),
    ONNX_ONE(onnx_node, 8, overload, TEXT, overload),
};

static void finish_node(wire_reader *r, wire_span in, void *draft, void *to) {
  (void)r, (void)in, (void)draft;
  name_domain(&((onnx_node *)to)->domain);
}

static const wire_message node_message = {
    .name = "NodeProto", .size = sizeof(onnx_node), ONNX_ROWS(node_rows), .finish = finish_node};

static const wire_field graph_rows[] = {
    ONNX_SUBS(onnx_graph, 1, node, node, nodes, &node_message),
    ONNX_ONE(onnx_graph, 2, name, TEXT, name),
    ONNX_SUBS(onnx_graph, 5, initializer, initializer, initializers, &onnx_tensor_message),
    ONNX_SUBS(onnx_graph, 11, input, input, inputs, &value_message),
    ONNX_SUBS(onnx_graph, 12, output, output, outputs, &value_message),
    ONNX_SUBS(onnx_graph, 13, value_info, info, infos, &value_message),
    ONNX_COUNT(onnx_graph, 15, sparse_initializer, MESSAGES, sparse_initializers),
};
static const wire_message graph_message = {
    .name = "GraphProto", .size = sizeof(onnx_graph), ONNX_ROWS(graph_rows)};

/* --- models ------------------------------------------------------------------------------------ */

static const wire_field opset_rows[] = {
    ONNX_ONE(onnx_opset, 1, domain, TEXT, domain),
    ONNX_ONE(onnx_opset, 2, version, INT64, version),
};

static void finish_opset(wire_reader *r, wire_span in, void *draft, void *to) {
  (void)r, (void)in, (void)draft;
  name_domain(&((onnx_opset *)to)->domain);
}

static const wire_message opset_message = {.name = "OperatorSetIdProto",
                                           .size = sizeof(onnx_opset),
                                           ONNX_ROWS(opset_rows),
                                           .finish = finish_opset};

static const wire_field function_rows[] = {
    ONNX_ONE(onnx_function, 1, name, TEXT, name),
    ONNX_LIST(onnx_function, 4, input, TEXTS, input, inputs),
    ONNX_LIST(onnx_function, 5, output, TEXTS, output, outputs),
    ONNX_LIST(onnx_function, 6, attribute, TEXTS, attribute, attributes),
    ONNX_SUBS(onnx_function, 7, node, node, nodes, &node_message),
    ONNX_SUBS(onnx_function, 9, opset_import, opset, opsets, &opset_message),
    ONNX_ONE(onnx_function, 10, domain, TEXT, domain),
    ONNX_SUBS(onnx_function, 11, attribute_proto, with_default, defaults, &attribute_message),
    ONNX_ONE(onnx_function, 13, overload, TEXT, overload),
};

static void finish_function(wire_reader *r, wire_span in, void *draft, void *to) {
  (void)r, (void)in, (void)draft;
  name_domain(&((onnx_function *)to)->domain);
}

static const wire_message function_message = {.name = "FunctionProto",
                                              .size = sizeof(onnx_function),
                                              ONNX_ROWS(function_rows),
                                              .finish = finish_function};

typedef struct model_draft {
  onnx_model to;
  const onnx_graph *graph;
} model_draft;

static const wire_field model_rows[] = {
    ONNX_ONE(model_draft, 1, ir_version, INT64, to.ir_version),
    ONNX_ONE(model_draft, 2, producer_name, TEXT, to.producer),
    ONNX_ONE(model_draft, 3, producer_version, TEXT, to.producer_version),
    ONNX_SUB(model_draft, 7, graph, graph, &graph_message),
    ONNX_SUBS(model_draft, 8, opset_import, to.opset, to.opsets, &opset_message),
    ONNX_SUBS(model_draft, 25, functions, to.function, to.functions, &function_message),
};

static void finish_model(wire_reader *r, wire_span in, void *draft, void *to) {
  model_draft *d = draft;
  (void)in;
  if (d->to.ir_version == 0)
    diag_fail(r->arena->diag, WN_ERR_USAGE, "%.300s: no ir_version, which every ONNX model has",
              r->what);
  if (d->to.ir_version < LEAST_IR || d->to.ir_version > MOST_IR)
    diag_fail(r->arena->diag, WN_ERR_USAGE, "%.300s: IR version %lld is not supported (%d to %d)",
              r->what, (long long)d->to.ir_version, LEAST_IR, MOST_IR);
  if (d->graph == NULL)
    diag_fail(r->arena->diag, WN_ERR_USAGE, "%.300s: the model has no graph", r->what);
  d->to.graph = *d->graph;
  *(onnx_model *)to = d->to;
}

static const wire_message model_message = {.name = "ModelProto",
                                           .size = sizeof(onnx_model),
                                           ONNX_ROWS(model_rows),
                                           .draft = sizeof(model_draft),
                                           .finish = finish_model};

/* --- files that are something else ------------------------------------------------------------- */

typedef struct signature {
  size_t at;
  const char *text;
  const char *is;
} signature;

static const signature signatures[] = {
    {0, "version https://git-lfs", "a pointer of Git LFS; git lfs pull fetches the file itself"},
    {0, "\x89PNG", "a PNG image"},
    {0, "\xff\xd8\xff", "a JPEG image"},
    {0, "PK\x03\x04", "a ZIP archive, as PyTorch's .pt files and .npz files are"},
    {0, "\x1f\x8b", "compressed with gzip"},
    {0, "\x93NUMPY", "a .npy array"},
    {0, "\x89HDF", "an HDF5 file, as Keras writes them"},
    {0, "GGUF", "a GGUF file"},
    {0,
     "\x7f"
     "ELF",
     "a program or a library"},
    {4, "TFL3", "a TensorFlow Lite model"},
    {4, "ORTM", "a model in ONNX Runtime's own format; it is made of an .onnx file"},
    {0, "<!doctype", "an HTML page; the download was refused or moved"},
    {0, "<html", "an HTML page; the download was refused or moved"},
    {0, "<", "XML, as OpenVINO's .xml files are"},
    {0, "{", "JSON"},
};

static bool starts_with(const unsigned char *at, const char *text) {
  while (*text && text_lower((char)*at) == text_lower(*text)) ++at, ++text;
  return *text == '\0';
}

static bool is_text(const unsigned char *at, const unsigned char *end) {
  for (; at < end; ++at)
    if ((*at < ' ' && !text_is_space((char)*at)) || *at == 127) return false;
  return true;
}

/* What bytes are that are no model, as far as it shows; NULL: it does not. A model that has an error may look like
 * nothing of it: a ModelProto has the byte 8, which no text has. */
static const char *what_else(const unsigned char *bytes, size_t size) {
  enum { ENOUGH = 4096 };
  if (size == 0) return "empty";
  size_t start = 0;
  while (start < size && text_is_space((char)bytes[start])) ++start;
  bool text = is_text(bytes, bytes + (size < ENOUGH ? size : ENOUGH));
  for (size_t i = 0; i < sizeof signatures / sizeof *signatures; ++i) {
    const signature *s = &signatures[i];
    size_t n = strlen(s->text), at = text ? start : s->at;
    if (at + n <= size && starts_with(bytes + at, s->text)) return s->is;
  }
  return text ? "text" : NULL;
}

static wn_status try_read(wire_reader *r, const wire_message *m, void *to) {
  wn_status status;
  DIAG_TRY(r->arena->diag, status) { wire_read(r, m, r->all, to); }
  DIAG_END(r->arena->diag, status)
  return status;
}

static void read_bytes(wire_reader *r, const wire_message *m, void *to) {
  diag *d = r->arena->diag;
  const wn_status status = try_read(r, m, to);
  if (status == WN_OK) return;
  const char *else_ =
      status == WN_ERR_USAGE ? what_else(r->all.at, (size_t)(r->all.end - r->all.at)) : NULL;
  if (else_ == NULL) diag_again(d);
  diag_fail(d, WN_ERR_USAGE, "%.300s is not an ONNX model: it is %s", r->what, else_);
}

static wire_reader reader_of(arena *a, const char *what, const unsigned char *bytes, size_t size) {
  static const unsigned char none[1];
  if (size == 0) bytes = none;
  return (wire_reader){
      .arena = a, .what = what, .all = {bytes, bytes + size}, .max_depth = ONNX_MAX_DEPTH};
}

onnx_model *onnx_read_model(arena *a, diag *d, const char *what, const unsigned char *bytes,
                            size_t size) {
  wire_reader r = reader_of(a, what, bytes, size);
  onnx_model *m = arena_new(a, onnx_model);
  WN_CHECK(a->diag == d, "the arena's errors go elsewhere");
  read_bytes(&r, &model_message, m);
  return m;
}

onnx_tensor *onnx_read_tensor(arena *a, diag *d, const char *what, const unsigned char *bytes,
                              size_t size) {
  wire_reader r = reader_of(a, what, bytes, size);
  onnx_tensor *t = arena_new(a, onnx_tensor);
  WN_CHECK(a->diag == d, "the arena's errors go elsewhere");
  read_bytes(&r, &onnx_tensor_message, t);
  return t;
}
