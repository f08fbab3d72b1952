/* A model between its loading and its end, and the programs that were made of it.
 *
 * In: a file. Out: what winnow.h says of models. Always holds: the file's messages do not change after loading but for
 * outputs that are added; `lock` is held where programs are looked for, taken and given back, `build` where a graph is
 * built and compiled, and never the second one inside the first. */
#ifndef WN_ONNX_MODEL_H
#define WN_ONNX_MODEL_H

#include <pthread.h>

#include "onnx/hold.h"
#include "onnx/host.h"
#include "onnx/onnx_file.h"

/* Programs for one set of shapes and fixed values. */
typedef struct model_programs model_programs;
/* One of them, for one caller at a time. */
typedef struct instance instance;

/* Memory for a program while it is taken. */
typedef struct model_arena model_arena;

struct wn_model {
  wn_context *ctx;
  diag diag; /* of functions that are given no context */
  arena arena;
  file_holder holder;
  const char *path; /* NULL: it came from memory */
  const onnx_model *m;
  int inputs, outputs; /* without initializers; with outputs that were added */
  const onnx_value_info **input, **output;
  int host;     /* nodes with operators of the host */
  bool *needed; /* by input: what it holds decides what is compiled */
  wn_options compile;
  int most;         /* programs that are kept */
  bool free_shapes; /* extents of the file are not binding */
  /* under `lock`: weights may go when they were read; a caller's graph may read them; so many look at them now */
  bool release, lent_graphs;
  int readers;
  size_t released; /* bytes of weights that are not there */
  pthread_mutex_t lock, build;
  bool locks;            /* they were made */
  model_programs *first; /* used last */
  instance *lent;        /* by wn_model_program */
  int programs, compiles;
  bool own_arenas;
  model_arena *arenas; /* that no program is in */
};

/* A caller's list in the order of the model's inputs; size 0: not given. */
wn_value *model_given(const wn_model *m, arena *a, const wn_value *inputs, int count);
/* Input `index` as a caller gives it, checked: extents in shape. `given` NULL: the file's. What decides what is compiled
 * has data where it has elements. */
void model_input_shape(const wn_model *m, arena *a, int index, const wn_value *given, int *ndim,
                       int64_t *shape);
/* Which of the model's inputs (or outputs) value `i` of a caller's list is, by name or by place. Errors of these unwind
 * through the arena's diag, with their texts in the arena. */
int model_place(const wn_model *m, arena *a, bool output, const wn_value *v, int i);
/* Element i of a caller's list, as this version's struct. */
void model_value(diag *d, const wn_value *list, int i, wn_value *v);
/* Builds the graph; errors unwind through the context's diag. host: takes what is computed behind a program, whose
 * outs are NULL; NULL: a model that has such operators is an error. */
void model_build(wn_model *m, wn_context *ctx, const wn_value *inputs, int count, wn_tensor **outs,
                 host_plan *host);
void model_programs_release(wn_model *m);

/* --- weights.c -------------------------------------------------------------------------------- */

/* Around whatever looks at weights, and builds and compiles from them: all are there. Errors unwind through d. The
 * `build` lock is held. */
void weights_open(wn_model *m, diag *d);
void weights_close(wn_model *m);
/* Prepares a program of the model; weights that nobody reads any more go. of: the programs that it is of, NULL: it is
 * the caller's. */
wn_status weights_prepare(wn_model *m, const model_programs *of, wn_program *p);

#endif
