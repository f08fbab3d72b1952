/* Where results of operators on the host go: see graph.h and host.h.
 *
 * In: a model that was checked, and which inputs are known when a graph is built. Out: nothing, or one line. Always
 * holds: what is refused here would be refused when the graph is built; of calls of functions and of branches this is
 * not known here, and they are let through. */
#include "onnx/graph.h"
#include "onnx/host.h"
#include "onnx/lookup.h"

typedef struct flow {
  const onnx_model *m;
  diag *d;
  int64_t opset;
  name_map unknown; /* values that depend on what inputs of a run hold */
  name_map results; /* of the host -> the operator */
} flow;

static const op_row *row_of(const onnx_model *m, const onnx_node *n, int64_t opset) {
  return lookup_function(m, n) == NULL ? lookup_operator(n, opset) : NULL;
}

static const char *last_that_is_in(const name_map *names, const onnx_node *n) {
  const char *found = NULL;
  for (int i = 0; i < n->inputs; ++i)
    if (n->input[i][0] != '\0' && name_map_get(names, n->input[i]) != NULL) found = n->input[i];
  return found;
}

static bool has_graphs(const onnx_node *n) {
  for (int i = 0; i < n->attributes; ++i)
    if (n->attribute[i].g != NULL) return true;
  return false;
}

static void follow(flow *f, const onnx_node *n) {
  const op_row *row = row_of(f->m, n, f->opset);
  if (row == NULL || row->reads == OP_READS_SHAPES || has_graphs(n)) return;
  const char *read = last_that_is_in(&f->results, n), *op = row->name;
  if (read != NULL) {
    op = name_map_get(&f->results, read);
    if (!host_may_follow(row))
      diag_fail(f->d, WN_ERR_USAGE, "node \"%s\" (%s): " HOST_LAST_STAGE, lookup_label(n), n->op,
                read, op);
  }
  if (last_that_is_in(&f->unknown, n) == NULL) return;
  for (int i = 0; i < n->outputs; ++i) {
    if (n->output[i][0] == '\0') continue;
    name_map_put(&f->unknown, n->output[i], n);
    if (read != NULL || row->reads == OP_ON_HOST) name_map_put(&f->results, n->output[i], op);
  }
}

static void follow_graph(flow *f, const onnx_graph *g, arena *a, const bool *needed) {
  name_map weights;
  name_map_init(&weights, a);
  for (int i = 0; i < g->initializers; ++i) name_map_put(&weights, g->initializer[i].name, g);
  for (int i = 0; i < g->inputs; ++i)
    if (!needed[i] && name_map_get(&weights, g->input[i].name) == NULL)
      name_map_put(&f->unknown, g->input[i].name, g);
  const char **wanted = arena_array(a, const char *, g->outputs + 1);
  for (int i = 0; i < g->outputs; ++i) wanted[i] = g->output[i].name;
  const bool *live = graph_live(a, g->nodes, g->node, g->outputs, wanted);
  for (int i = 0; i < g->nodes; ++i)
    if (live[i]) follow(f, &g->node[i]);
}

/* How many of the nodes, and of those in their graphs, have an operator of the host. */
static int count_nodes(const onnx_model *m, int nodes, const onnx_node *node, int64_t opset) {
  int n = 0;
  for (int i = 0; i < nodes; ++i) {
    const op_row *row = row_of(m, &node[i], opset);
    n += row != NULL && row->reads == OP_ON_HOST;
    for (int k = 0; k < node[i].attributes; ++k) {
      const onnx_graph *g = node[i].attribute[k].g;
      if (g != NULL) n += count_nodes(m, g->nodes, g->node, opset);
    }
  }
  return n;
}

int model_check_host(const onnx_model *m, diag *d, arena *a, const bool *needed) {
  flow f = {.m = m, .d = d, .opset = lookup_opset(m->opset, m->opsets)};
  int n = count_nodes(m, m->graph.nodes, m->graph.node, f.opset);
  for (int i = 0; i < m->functions; ++i)
    n += count_nodes(m, m->function[i].nodes, m->function[i].node,
                     lookup_body_opset(&m->function[i], f.opset));
  if (n == 0) return 0;
  name_map_init(&f.unknown, a);
  name_map_init(&f.results, a);
  follow_graph(&f, &m->graph, a, needed);
  return n;
}
