/* Is a model one that can be built? See graph.h.
 *
 * In: a model as the file has it. Out: nothing, or one line that says all that is not supported, each with operator,
 * domain, opset and a node that has it. */
#include "base/text.h"
#include "onnx/graph.h"
#include "onnx/lookup.h"

#define LISTED 12 /* operators that are named before "and N more" */

typedef struct checker {
  const onnx_model *m;
  diag *d;
  arena *a;
  name_map missing; /* "Op opset domain" -> whatever: said already */
  str line;
  int count;
  int depth;
} checker;

static void miss(checker *k, const onnx_node *n, const char *why) {
  const char *domain = n->domain[0] == '\0' ? "ai.onnx" : n->domain;
  const char *key = arena_printf(k->a, "%s %s %s", n->op, domain, why);
  if (name_map_get(&k->missing, key) != NULL) return;
  name_map_put(&k->missing, key, key);
  if (++k->count > LISTED) return;
  str_printf(&k->line, "%s%s (%s, %s; node \"%s\")", k->count > 1 ? ", " : "", n->op, domain, why,
             lookup_label(n));
}

static void check_node(checker *k, const onnx_node *n, int64_t opset) {
  bool known = false;
  if (n->domain[0] != '\0') {
    miss(k, n, "a domain that is not supported");
    return;
  }
  const op_row *row = op_find(n->op, opset, &known);
  if (row == NULL)
    miss(k, n, arena_printf(k->a, known ? "not at opset %lld" : "opset %lld", (long long)opset));
  for (int i = 0; row != NULL && i < n->attributes; ++i)
    if (!op_has_attribute(row, n->attribute[i].name))
      miss(k, n, arena_printf(k->a, "attribute \"%s\" is not known", n->attribute[i].name));
}

static void check_nodes(checker *k, int nodes, const onnx_node *node, int64_t opset) {
  if (++k->depth > ONNX_MAX_DEPTH)
    diag_fail(k->d, WN_ERR_USAGE, "graphs are deeper than %d", ONNX_MAX_DEPTH);
  for (int i = 0; i < nodes; ++i) {
    const onnx_node *n = &node[i];
    if (lookup_function(k->m, n) == NULL) check_node(k, n, opset);
    for (int j = 0; j < n->attributes; ++j)
      if (n->attribute[j].g != NULL)
        check_nodes(k, n->attribute[j].g->nodes, n->attribute[j].g->node, opset);
  }
  --k->depth;
}

static void check_opset(checker *k, int64_t opset) {
  if (opset == 0)
    diag_fail(k->d, WN_ERR_USAGE, "the model does not say which opset of ONNX it is for");
  if (opset < ONNX_OPSET_FIRST || opset > ONNX_OPSET_LAST)
    diag_fail(k->d, WN_ERR_USAGE, "opset %lld is not supported (%d to %d are); convert the model",
              (long long)opset, ONNX_OPSET_FIRST, ONNX_OPSET_LAST);
}

static void check_names(checker *k, const onnx_graph *g) {
  name_map seen;
  name_map_init(&seen, k->a);
  for (int i = 0; i < g->inputs; ++i) {
    if (name_map_get(&seen, g->input[i].name) != NULL)
      diag_fail(k->d, WN_ERR_USAGE, "two inputs are called \"%s\"", g->input[i].name);
    name_map_put(&seen, g->input[i].name, g);
  }
  for (int i = 0; i < g->nodes; ++i) {
    const onnx_node *n = &g->node[i];
    for (int j = 0; j < n->outputs; ++j) {
      if (n->output[j][0] == '\0') continue;
      if (name_map_get(&seen, n->output[j]) != NULL)
        diag_fail(k->d, WN_ERR_USAGE,
                  "two values are called \"%s\" (the second is computed by node \"%s\", %s)",
                  n->output[j], n->name, n->op);
      name_map_put(&seen, n->output[j], n);
    }
  }
  name_map weights;
  name_map_init(&weights, k->a);
  for (int i = 0; i < g->initializers; ++i) {
    const char *name = g->initializer[i].name;
    if (name_map_get(&weights, name) != NULL)
      diag_fail(k->d, WN_ERR_USAGE, "two initializers are called \"%s\"", name);
    name_map_put(&weights, name, g);
    name_map_put(&seen, name, g);
  }
  if (g->outputs == 0) diag_fail(k->d, WN_ERR_USAGE, "the model has no output");
  for (int i = 0; i < g->outputs; ++i) {
    if (name_map_get(&seen, g->output[i].name) == NULL)
      diag_fail(k->d, WN_ERR_USAGE, "output \"%s\" is computed by no node", g->output[i].name);
    for (int j = 0; j < i; ++j)
      if (strcmp(g->output[i].name, g->output[j].name) == 0)
        diag_fail(k->d, WN_ERR_USAGE, "two outputs are called \"%s\"", g->output[i].name);
  }
}

static void check_value(checker *k, const char *what, const onnx_value_info *v) {
  if (v->kind != NULL)
    diag_fail(k->d, WN_ERR_USAGE, "%s \"%s\" is a %s; tensors alone are supported", what, v->name,
              v->kind);
  if (v->type != 0 && computed_dtype(v->type) == WN_DTYPE_COUNT)
    diag_fail(k->d, WN_ERR_USAGE, "%s \"%s\" is of %s, which is not supported", what, v->name,
              onnx_type_name(k->a, v->type));
  if (v->ndim > WN_MAX_DIMS)
    diag_fail(k->d, WN_ERR_USAGE, "%s \"%s\" has %d axes; there may be %d", what, v->name, v->ndim,
              WN_MAX_DIMS);
}

/* --- functions -------------------------------------------------------------------------------- */

#define MOST_NODES \
  (INT64_C(1) << 24) /* of a graph, those of the functions that it calls included */

/* How many nodes a list of them is once functions are in their places: functions that call functions, twice each, are
 * 2^60 in a file of some kilobytes, and one that calls itself is endless. sizes: of functions, 0: not known yet, -1:
 * being counted. */
static int64_t count_nodes(checker *k, int64_t *sizes, int nodes, const onnx_node *node) {
  int64_t n = nodes;
  for (int i = 0; i < nodes; ++i) {
    for (int j = 0; j < node[i].attributes; ++j) {
      const onnx_graph *g = node[i].attribute[j].g;
      if (g != NULL) n += count_nodes(k, sizes, g->nodes, g->node);
    }
    const onnx_function *called = lookup_function(k->m, &node[i]);
    if (called == NULL) continue;
    int64_t *size = &sizes[called - k->m->function];
    if (*size < 0) diag_fail(k->d, WN_ERR_USAGE, "the function \"%s\" calls itself", called->name);
    if (*size == 0) {
      if (++k->depth > ONNX_MAX_DEPTH)
        diag_fail(k->d, WN_ERR_USAGE, "functions call each other deeper than %d", ONNX_MAX_DEPTH);
      *size = -1;
      *size = 1 + count_nodes(k, sizes, called->nodes, called->node);
      --k->depth;
    }
    n += *size;
    if (n > MOST_NODES)
      diag_fail(k->d, WN_ERR_USAGE,
                "more than %lld nodes with those of functions, \"%s\" among them",
                (long long)MOST_NODES, called->name);
  }
  return n;
}

void model_check(const onnx_model *m, diag *d, arena *a) {
  checker k = {.m = m, .d = d, .a = a, .line = {.arena = a}};
  name_map_init(&k.missing, a);
  const int64_t opset = lookup_opset(m->opset, m->opsets);
  check_opset(&k, opset);
  check_names(&k, &m->graph);
  if (m->graph.sparse_initializers > 0)
    diag_fail(d, WN_ERR_USAGE, "the model has sparse initializers, which are not supported");
  check_nodes(&k, m->graph.nodes, m->graph.node, opset);
  for (int i = 0; i < m->functions; ++i)
    check_nodes(&k, m->function[i].nodes, m->function[i].node,
                lookup_body_opset(&m->function[i], opset));
  if (k.count > LISTED) str_printf(&k.line, " and %d more", k.count - LISTED);
  if (k.count > 0) diag_fail(d, WN_ERR_USAGE, "not supported: %s", k.line.data);
  count_nodes(&k, arena_array(a, int64_t, m->functions + 1), m->graph.nodes, m->graph.node);
  for (int i = 0; i < m->graph.inputs; ++i) check_value(&k, "input", &m->graph.input[i]);
  for (int i = 0; i < m->graph.outputs; ++i) check_value(&k, "output", &m->graph.output[i]);
}

/* --- what has to be known --------------------------------------------------------------------- */

typedef struct needs {
  const onnx_model *m;
  name_map names; /* of values that have to be known */
  int depth;
} needs;

static void need(needs *k, const char *name) {
  if (name[0] != '\0') name_map_put(&k->names, name, k);
}

static bool is_needed(const needs *k, const onnx_node *n) {
  for (int i = 0; i < n->outputs; ++i)
    if (name_map_get(&k->names, n->output[i]) != NULL) return true;
  return false;
}

static void need_nodes(needs *k, int nodes, const onnx_node *node, int64_t opset);

/* Of a call: inputs that the body needs, given which of its outputs are. */
static void need_call(needs *k, const onnx_node *n, const onnx_function *f, int64_t opset) {
  if (k->depth >= ONNX_MAX_DEPTH) return; /* building it says so */
  needs body = {.m = k->m, .depth = k->depth + 1};
  name_map_init(&body.names, k->names.heads.arena);
  for (int i = 0; i < n->outputs && i < f->outputs; ++i)
    if (name_map_get(&k->names, n->output[i]) != NULL) need(&body, f->output[i]);
  need_nodes(&body, f->nodes, f->node, lookup_body_opset(f, opset));
  for (int i = 0; i < n->inputs && i < f->inputs; ++i)
    if (name_map_get(&body.names, f->input[i]) != NULL) need(k, n->input[i]);
}

static void need_inputs(needs *k, const onnx_node *n, int64_t opset) {
  const bool all = is_needed(k, n);
  const onnx_function *f = lookup_function(k->m, n);
  if (f != NULL) {
    need_call(k, n, f, opset);
    return;
  }
  const op_row *row = lookup_operator(n, opset);
  if (row == NULL) return;
  for (int i = 0; i < n->inputs; ++i)
    if ((all && row->reads != OP_READS_SHAPES) || (i < 32 && (row->values >> i & 1) != 0))
      need(k, n->input[i]);
}

static void need_nodes(needs *k, int nodes, const onnx_node *node, int64_t opset) {
  for (int i = nodes; i-- > 0;) {
    const onnx_node *n = &node[i];
    for (int j = 0; j < n->attributes; ++j) {
      const onnx_graph *g = n->attribute[j].g;
      if (g == NULL || k->depth >= ONNX_MAX_DEPTH) continue;
      ++k->depth;
      for (int o = 0; o < g->outputs && is_needed(k, n); ++o) need(k, g->output[o].name);
      need_nodes(k, g->nodes, g->node, opset);
      --k->depth;
    }
    need_inputs(k, n, opset);
  }
}

void model_needs(const onnx_model *m, arena *a, bool *needed) {
  needs k = {.m = m};
  name_map_init(&k.names, a);
  need_nodes(&k, m->graph.nodes, m->graph.node, lookup_opset(m->opset, m->opsets));
  for (int i = 0; i < m->graph.inputs; ++i)
    needed[i] = name_map_get(&k.names, m->graph.input[i].name) != NULL;
}
