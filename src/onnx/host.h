/* Operators that are computed on the host, behind a program: those whose results have a shape that depends on data, or
 * whose order does.
 *
 * In: a node whose inputs a program computes, or that are known. Out: stages in the order of the graph, each with its
 * inputs and a function. Always holds: a result of a stage goes to outputs of the model, or into other stages, and into
 * no tensor; a node whose inputs are known is computed when the graph is built, and its results are known. A plan does
 * not change once it was built, so several threads can run it. */
#ifndef WN_ONNX_HOST_H
#define WN_ONNX_HOST_H

#include "onnx/importer.h"

/* Elements in a row. shape: -1 where an extent is known after a run only. */
typedef struct host_array {
  wn_dtype dtype;
  int ndim;
  int64_t shape[WN_MAX_DIMS];
  void *data;
} host_array;

typedef struct host_stage host_stage;

/* Computes out[i].data, in the arena, and its open extents. in[i].data is NULL where an input is left out. how: what
 * the operator has handed to host_add. Errors unwind through the arena's diag. */
typedef void (*host_function)(const void *how, arena *a, const host_array *in, host_array *out);

/* What comes into a stage. */
typedef struct host_input {
  host_array array;        /* data: of what is known */
  int tensor;              /* number among the plan's, -1: it is not one */
  const host_stage *stage; /* whose result it is; NULL: of none */
  int result;
} host_input;

struct host_stage {
  host_stage *next;
  const char *op; /* of the node */
  int number;     /* of stages before it */
  host_function run;
  const void *how;
  int inputs, outputs;
  host_input *in;
  host_array *out;
  int64_t *most; /* by result: elements that it can have */
};

/* An output of the model that a stage computes. */
typedef struct host_end {
  const host_stage *stage; /* NULL: none does */
  int result;
  wn_dtype dtype; /* of the array outside */
} host_end;

typedef struct host_plan {
  VEC(wn_tensor *) tensors; /* what stages read of a program */
  host_end *end;            /* by the model's output */
  host_stage *first, **last;
  int stages;
} host_plan;

void host_plan_init(host_plan *p);

/* What an operator says of result i. */
typedef struct host_result {
  int type, ndim; /* onnx_type */
  int64_t shape[WN_MAX_DIMS];
  int64_t most;
} host_result;

/* For operators: the node is a stage with these results, or, where all inputs are known, is computed now. how lives as
 * long as the arena of the call. */
void host_add(op_call *c, host_function run, const void *how, int count,
              const host_result *results);
/* Of an input of the node: its shape, whole. */
const int64_t *host_shape(op_call *c, int i);

/* A node that reads a result of a stage: one more stage, the value itself, or an error that says what is supported. */
void host_follow(op_call *c, const op_row *row);
/* Can a node of this operator read a result of a stage? */
bool host_may_follow(const op_row *row);
#define HOST_LAST_STAGE                                                                            \
  "it reads \"%s\", a result of %s, which is supported as the last stage of a model: its results " \
  "are outputs, directly or through Cast and Identity"

/* Computes all stages from what a program has left in data[i], by the plan's tensors. Result: by stage its results, in
 * the arena. */
host_array **host_run(const host_plan *p, arena *a, void *const *data);
/* Writes the elements of `from` as `dtype`, which is that of the computed one or the 16-bit float that stands for. */
void host_store(const host_array *from, wn_dtype dtype, void *to);
int64_t host_count(const host_array *a);

/* --- host_keys.c ------------------------------------------------------------------------------ */

/* Elements at p, p + step, ... as integers with the same order: of floats NaN is above all and -0 is 0. */
void host_keys(wn_dtype dtype, const void *p, int64_t step, int64_t n, uint64_t *keys);

/* Numbers of the k largest of n keys, the largest first; of equal ones the lower number is first. best: room for k. */
void host_largest(const uint64_t *keys, int64_t n, int64_t k, int64_t *best);

#endif
