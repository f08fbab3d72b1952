/* A graph of ONNX becomes tensors: what operators are built with.
 *
 * In: nodes in order, with what they read. Out: tensors of the public API. Always holds: a value has its tensor, or its
 * elements, or both: what depends on no input of a run is `known` and its elements can be asked for while the graph is
 * built (value_ints and others), by computing them in the interpreter; integer arithmetic of shapes is that. Types of 8
 * and 16 bits are computed in wider ones (computed_dtype). Every error unwinds through the context's diag, and names
 * the node and the operator. */
#ifndef WN_ONNX_IMPORTER_H
#define WN_ONNX_IMPORTER_H

#include "base/map.h"
#include "onnx/hold.h"
#include "onnx/onnx_file.h"

/* What is built: a graph in a context. */
typedef struct importer {
  wn_context *ctx;
  arena *a; /* the context's: what is in it lives as long as the tensors */
  file_holder *holder;
  const char *path; /* of the model; NULL: it came from memory */
  const onnx_model *model;
  struct host_plan *host; /* where operators of the host go (host.h); NULL: there may be none */
} importer;

/* A value of the graph. */
typedef struct onnx_value {
  const char *name;
  int type; /* onnx_type, of the file */
  wn_dtype dtype;
  int ndim;
  int64_t shape[WN_MAX_DIMS];
  const struct host_stage
      *stage; /* whose result it is, computed on the host behind a program; NULL: of none */
  int result;
  wn_tensor *t;              /* NULL: made of data when it is asked for */
  const void *data;          /* elements of dtype; NULL: not known, or not asked for yet */
  bool known;                /* depends on no input of a run */
  bool nonnegative;          /* no element is below 0 */
  const onnx_tensor *source; /* of an initializer or a constant that was not looked at yet */
} onnx_value;

/* A node that is being built. */
typedef struct op_call {
  importer *imp;
  const onnx_node *node;
  int opset;                /* version of the node's domain */
  onnx_value **in;          /* as the node has them; NULL: left out */
  onnx_value **out;         /* to be set by op_result */
  struct name_scope *scope; /* that the node stands in */
  arena *a;
  wn_context *ctx;
} op_call;

typedef void (*op_function)(op_call *c);

/* A row of the table: an operator of a domain, and from which opset to which what `build` does is right. */
typedef struct op_row {
  const char *name;
  int since, until; /* opsets; until 0: to the newest that is known */
  op_function build;
  unsigned values;        /* inputs that must be known when a graph is built, bit i */
  int reads;              /* OP_READS_SHAPES: results depend on shapes of the inputs alone */
  const char *attributes; /* that it may have, a blank between */
  const char *limits;     /* what is supported of it, for people; "" all */
} op_row;
/* OP_ON_HOST: reads data, and is computed on the host as the last stage of a model (host.h). */
enum { OP_READS_DATA, OP_READS_SHAPES, OP_ON_HOST };

/* The row for an operator of ONNX's own domain; NULL: there is none for this opset. known: set where there is a row for
 * another opset. */
const op_row *op_find(const char *name, int64_t opset, bool *known);
/* The whole table, by name. */
const op_row *op_rows(int *count);
bool op_has_attribute(const op_row *row, const char *name);

/* --- results ---------------------------------------------------------------------------------- */

/* Result i is t, of the type that fits its dtype and input 0. t NULL: what the tensor function said becomes the error.
 * Returns the value. */
onnx_value *op_result(op_call *c, int i, wn_tensor *t);
/* Result i is t and has this type. */
onnx_value *op_result_typed(op_call *c, int i, wn_tensor *t, int type);
/* Result i is made of elements that are known: `data` is of computed_dtype(type) and lives as long as the arena. */
onnx_value *op_result_data(op_call *c, int i, int type, int ndim, const int64_t *shape,
                           const void *data);
/* Result i is computed on the host by a stage, with this number there; extents that data decides are -1. */
onnx_value *op_result_host(op_call *c, int i, int type, int ndim, const int64_t *shape,
                           const struct host_stage *stage);
bool op_wants(const op_call *c, int i); /* somebody reads result i */

_Noreturn void op_fail(op_call *c, const char *format, ...) WN_PRINTF(2, 3);

/* --- inputs ----------------------------------------------------------------------------------- */

bool op_has(const op_call *c, int i); /* input i is there */
/* Of an input that is required: its tensor. */
wn_tensor *op_in(op_call *c, int i);
onnx_value *op_value(op_call *c, int i);
wn_tensor *value_tensor(importer *imp, onnx_value *v);
/* What the importer computes a type of the file in; WN_DTYPE_COUNT: it is not supported. */
wn_dtype computed_dtype(int type);
/* ... and what arrays of it are, outside. */
wn_dtype array_dtype(int type);
/* The type of which such an array is; ONNX_UNDEFINED: that is no dtype. */
int array_type(wn_dtype dtype);
/* Elements of an input that has to be known now, as int64s (of integers and bool) or doubles; count elements. */
const int64_t *op_ints(op_call *c, int i, int *count);
const double *op_numbers(op_call *c, int i, int *count);
/* One number, or the default where input i is left out. */
double op_number(op_call *c, int i, double otherwise);
/* The elements of a value, computed if need be; NULL: it is not known. */
const void *value_data(importer *imp, onnx_value *v);
int64_t value_count(const onnx_value *v);
/* Element i of a value that is known. */
double value_element(importer *imp, onnx_value *v, int64_t i);
int64_t value_int(importer *imp, onnx_value *v, int64_t i);

/* --- attributes ------------------------------------------------------------------------------- */

/* Of the attribute with this name, or what stands in its place where the node has none. A kind that is not what the
 * operator has is an error. */
const onnx_attribute *op_attribute(op_call *c, const char *name);
int64_t op_int(op_call *c, const char *name, int64_t otherwise);
double op_float(op_call *c, const char *name, double otherwise);
const char *op_text(op_call *c, const char *name, const char *otherwise);
const int64_t *op_int_list(op_call *c, const char *name, int *count); /* NULL: none */
const float *op_float_list(op_call *c, const char *name, int *count);
/* An int list of exactly n numbers; each `otherwise` where there is none. */
void op_spatial(op_call *c, const char *name, int n, int64_t otherwise, int64_t *list);
/* axis of a tensor of `ndim` axes, counted from 0. */
int op_axis(op_call *c, int64_t axis, int ndim);
/* May a result have so many axes? An error, else. */
void op_check_rank(op_call *c, int ndim);

/* --- tensors ---------------------------------------------------------------------------------- */

/* What every operator is made of: as the public functions, but an error unwinds. */
wn_tensor *op_ok(op_call *c, wn_tensor *t);
wn_tensor *op_scalar(op_call *c, const wn_tensor *like, double value); /* of like's dtype */
wn_tensor *op_map(op_call *c, wn_unary op, wn_tensor *t);
wn_tensor *op_zip(op_call *c, wn_binary op, wn_tensor *a, wn_tensor *b);
wn_tensor *op_zip_number(op_call *c, wn_binary op, wn_tensor *a, double b);
wn_tensor *op_reshape(op_call *c, wn_tensor *t, int ndim, const int64_t *shape);
wn_tensor *op_permute(op_call *c, wn_tensor *t, const int *axes);
wn_tensor *op_expand(op_call *c, wn_tensor *t, int ndim, const int64_t *shape);
wn_tensor *op_reduce(op_call *c, wn_reduction op, wn_tensor *t, int count, const int *axes,
                     int keep);
wn_tensor *op_cast(op_call *c, wn_tensor *t, wn_dtype dtype);
wn_tensor *op_where(op_call *c, wn_tensor *cond, wn_tensor *a, wn_tensor *b);
wn_tensor *op_gather(op_call *c, wn_tensor *t, wn_tensor *index, int axis);
wn_tensor *op_concat(op_call *c, wn_tensor *const *parts, int count, int axis);
/* A constant of numbers, copied: of shape [n] in dtype. */
wn_tensor *op_list(op_call *c, wn_dtype dtype, int64_t n, const double *numbers);
/* 0, 1, ..., n - 1 along `axis` of ndim axes, the others of extent 1. */
wn_tensor *op_arange(op_call *c, wn_dtype dtype, int64_t n, int ndim, int axis);
/* [begin, begin + count) of one axis. */
wn_tensor *op_slice(op_call *c, wn_tensor *t, int axis, int64_t begin, int64_t count);
/* `value` instead of zeros around t. */
wn_tensor *op_pad_with(op_call *c, wn_tensor *t, const int64_t *lo, const int64_t *hi,
                       double value);
/* [n] as a value for each channel of something with ndim axes: [1, n, 1, ...]. */
wn_tensor *op_channels(op_call *c, wn_tensor *t, int ndim);
/* The axes of a reduction given by input i or attribute "axes"; all, where neither is there. Returns how many. */
int op_axes(op_call *c, int i, int ndim, int *axes);
/* The lowest number of a dtype that a maximum is not changed by, and the largest. */
double op_lowest(wn_dtype dtype);
double op_highest(wn_dtype dtype);

#endif
