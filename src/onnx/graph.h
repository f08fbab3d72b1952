/* Graphs of nodes: which of them are wanted, what has to be known, and building them.
 *
 * In: a model. Out: the values of its outputs as tensors. Always holds: nodes are built in the order of the file, and
 * only those that an output needs; functions of the model and branches that are chosen are built in their place. */
#ifndef WN_ONNX_GRAPH_H
#define WN_ONNX_GRAPH_H

#include "onnx/importer.h"
#include "onnx/name_map.h"

/* What a name means: in a graph, in the graph around it, ... */
typedef struct name_scope {
  struct name_scope *outer;
  name_map values; /* name -> onnx_value */
} name_scope;

/* The first version of ONNX's operators, and the last, that are known here. */
#define ONNX_OPSET_FIRST 6
#define ONNX_OPSET_LAST  24

/* Everything that the model uses and that is not supported, in one line that unwinds as WN_ERR_USAGE; the structure of
 * its graphs (names that are not there, or that are there twice). Builds nothing. */
void model_check(const onnx_model *m, diag *d, arena *a);
/* needed[i]: does an output's shape, or what is compiled, depend on what input i holds? `outputs`: names. */
void model_needs(const onnx_model *m, arena *a, bool *needed);
/* Results of operators on the host go to outputs, or an error unwinds; what functions and branches do with them is seen
 * when they are built. needed: by input of the graph. Returns how many nodes have such an operator. */
int model_check_host(const onnx_model *m, diag *d, arena *a, const bool *needed);

/* By node: a wanted value depends on it. */
bool *graph_live(arena *a, int nodes, const onnx_node *node, int count, const char *const *wanted);
/* Puts initializers and then what nodes compute into `scope`, which has the inputs already. wanted: names of `count`
 * values that are to be there in the end. */
void graph_build(importer *imp, name_scope *scope, const onnx_graph *g, int count,
                 const char *const *wanted);
/* Gives a computed tensor a name, where that is one that wn_name takes. */
void name_tensor(wn_tensor *t, const char *name);
/* What `name` is; NULL: nothing. */
onnx_value *scope_find(const name_scope *scope, const char *name);

/* For operators that hold graphs: builds `g` where node c stands, with these values as its inputs (NULL: it has none),
 * and puts its outputs into out[0 .. g->outputs). */
void op_build_graph(op_call *c, const onnx_graph *g, onnx_value *const *in, onnx_value **out);

#endif
