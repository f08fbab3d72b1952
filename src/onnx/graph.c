/* Building a graph; see graph.h. */
#include "onnx/graph.h"

#include "base/text.h"
#include "onnx/host.h"
#include "onnx/lookup.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* Functions that call functions, and branches in branches. */
#define DEEPEST 64

onnx_value *scope_find(const name_scope *scope, const char *name) {
  onnx_value *v = NULL;
  for (; scope != NULL && v == NULL; scope = scope->outer) v = name_map_get(&scope->values, name);
  return v;
}

/* --- what is wanted --------------------------------------------------------------------------- */

static const char present;

static void want(name_map *names, const char *name) {
  if (name[0] != '\0') name_map_put(names, name, &present);
}

static void want_graph(name_map *names, const onnx_graph *g) {
  for (int i = 0; i < g->outputs; ++i) want(names, g->output[i].name);
  for (int i = 0; i < g->nodes; ++i) {
    for (int k = 0; k < g->node[i].inputs; ++k) want(names, g->node[i].input[k]);
    for (int k = 0; k < g->node[i].attributes; ++k)
      if (g->node[i].attribute[k].g != NULL) want_graph(names, g->node[i].attribute[k].g);
  }
}

static bool any_wanted(const name_map *names, const onnx_node *n) {
  for (int i = 0; i < n->outputs; ++i)
    if (n->output[i][0] != '\0' && name_map_get(names, n->output[i]) != NULL) return true;
  return false;
}

bool *graph_live(arena *a, int nodes, const onnx_node *node, int count, const char *const *wanted) {
  bool *live = arena_array(a, bool, nodes + 1);
  name_map names;
  name_map_init(&names, a);
  for (int i = 0; i < count; ++i) want(&names, wanted[i]);
  for (int i = nodes; i-- > 0;) {
    const onnx_node *n = &node[i];
    live[i] = any_wanted(&names, n);
    for (int k = 0; live[i] && k < n->inputs; ++k) want(&names, n->input[k]);
    for (int k = 0; live[i] && k < n->attributes; ++k)
      if (n->attribute[k].g != NULL) want_graph(&names, n->attribute[k].g);
  }
  return live;
}

/* --- a node ----------------------------------------------------------------------------------- */

typedef struct builder {
  importer *imp;
  name_scope *scope;
  int opset, depth;
  const onnx_node *call; /* of a function: whose attributes are meant by name; NULL */
  const onnx_function *function;
} builder;

static void build_nodes(builder *b, int nodes, const onnx_node *node, const bool *live);

/* A node of a function's body with the caller's attributes in their places. */
static const onnx_node *with_attributes(builder *b, const onnx_node *n) {
  bool any = false;
  for (int i = 0; i < n->attributes; ++i) any = any || n->attribute[i].ref != NULL;
  if (!any) return n;
  arena *a = b->imp->a;
  onnx_node *copy = arena_copy(a, n, sizeof *n);
  onnx_attribute *list = arena_array(a, onnx_attribute, n->attributes);
  copy->attribute = list;
  copy->attributes = 0;
  for (int i = 0; i < n->attributes; ++i) {
    const onnx_attribute *from = &n->attribute[i];
    if (from->ref != NULL) {
      const onnx_attribute *found = NULL;
      for (int k = 0; b->call != NULL && k < b->call->attributes && found == NULL; ++k)
        if (strcmp(b->call->attribute[k].name, from->ref) == 0) found = &b->call->attribute[k];
      for (int k = 0; b->function != NULL && k < b->function->defaults && found == NULL; ++k)
        if (strcmp(b->function->with_default[k].name, from->ref) == 0)
          found = &b->function->with_default[k];
      if (found == NULL) continue; /* left out by the caller: left out here */
      list[copy->attributes] = *found;
      list[copy->attributes].name = from->name;
      list[copy->attributes++].ref = NULL;
    } else {
      list[copy->attributes++] = *from;
    }
  }
  return copy;
}

static void inline_function(builder *b, const onnx_node *n, const onnx_function *f, op_call *c) {
  name_scope scope = {NULL, {{0}}};
  name_map_init(&scope.values, b->imp->a);
  if (b->depth >= DEEPEST) op_fail(c, "functions call each other deeper than %d", DEEPEST);
  for (int i = 0; i < f->inputs && i < n->inputs; ++i)
    if (c->in[i] != NULL) name_map_put(&scope.values, f->input[i], c->in[i]);
  builder body = {b->imp, &scope, (int)lookup_body_opset(f, b->opset), b->depth + 1, n, f};
  build_nodes(&body, f->nodes, f->node,
              graph_live(b->imp->a, f->nodes, f->node, f->outputs, f->output));
  for (int i = 0; i < n->outputs && i < f->outputs; ++i) {
    c->out[i] = scope_find(&scope, f->output[i]);
    if (c->out[i] == NULL) op_fail(c, "the function has no value \"%s\"", f->output[i]);
  }
}

void name_tensor(wn_tensor *t, const char *name) {
  if (t == NULL || t->node->op == OP_BUFFER || name[0] == '\0' || strlen(name) > WN_MAX_NAME)
    return;
  for (const char *s = name; *s != '\0'; ++s)
    if ((unsigned char)*s < 0x20 || *s == 0x7f) return;
  wn_name(t, name);
}

/* What a node computes has its name, or that of its first result; what it only hands on keeps its own. */
static void name_result(const onnx_node *n, const op_call *c) {
  const onnx_value *v = c->out[0];
  if (v == NULL || v->t == NULL) return;
  for (int i = 0; i < n->inputs; ++i)
    if (c->in[i] != NULL && c->in[i]->t != NULL && c->in[i]->t->node == v->t->node) return;
  name_tensor(v->t, lookup_label(n));
}

static void read_inputs(builder *b, const onnx_node *n, op_call *c) {
  for (int i = 0; i < n->inputs; ++i) {
    if (n->input[i][0] == '\0') continue;
    c->in[i] = scope_find(b->scope, n->input[i]);
    if (c->in[i] == NULL)
      op_fail(c,
              "input \"%s\" is not there before it: the graph has a cycle, or its nodes are not in "
              "order",
              n->input[i]);
  }
}

static bool reads_host(const op_call *c) {
  for (int i = 0; i < c->node->inputs; ++i)
    if (c->in[i] != NULL && c->in[i]->stage != NULL) return true;
  return false;
}

static void build_node(builder *b, const onnx_node *n) {
  arena *a = b->imp->a;
  op_call c = {.imp = b->imp,
               .node = with_attributes(b, n),
               .opset = b->opset,
               .in = arena_array(a, onnx_value *, n->inputs + 1),
               .out = arena_array(a, onnx_value *, n->outputs + 1),
               .scope = b->scope,
               .a = a,
               .ctx = b->imp->ctx};
  read_inputs(b, n, &c);
  const onnx_function *f = lookup_function(b->imp->model, n);
  const op_row *row = f == NULL ? lookup_operator(n, b->opset) : NULL;
  if (f != NULL)
    inline_function(b, c.node, f, &c);
  else if (row != NULL && reads_host(&c))
    host_follow(&c, row);
  else if (row != NULL)
    row->build(&c);
  else
    op_fail(&c, "not supported at opset %d", b->opset);
  for (int i = 0; i < n->outputs; ++i) {
    if (n->output[i][0] == '\0' || c.out[i] == NULL) continue;
    name_map_put(&b->scope->values, n->output[i], c.out[i]);
  }
  if (n->outputs > 0) name_result(n, &c);
}

static void build_nodes(builder *b, int nodes, const onnx_node *node, const bool *live) {
  for (int i = 0; i < nodes; ++i)
    if (live[i]) build_node(b, &node[i]);
}

/* --- graphs ----------------------------------------------------------------------------------- */

onnx_value *value_of_tensor(importer *imp, const onnx_tensor *t) {
  onnx_value *v = arena_new(imp->a, onnx_value);
  *v = (onnx_value){.name = t->name,
                    .type = t->type,
                    .dtype = computed_dtype(t->type),
                    .ndim = t->ndim,
                    .known = true,
                    .source = t};
  if (t->ndim > WN_MAX_DIMS)
    diag_fail(&imp->ctx->diag, WN_ERR_USAGE, "tensor \"%s\" has %d axes; there may be %d", t->name,
              t->ndim, WN_MAX_DIMS);
  if (v->dtype == WN_DTYPE_COUNT)
    diag_fail(&imp->ctx->diag, WN_ERR_USAGE, "tensor \"%s\" is of %s, which is not supported",
              t->name, onnx_type_name(imp->a, t->type));
  for (int i = 0; i < t->ndim; ++i) v->shape[i] = t->dims[i];
  return v;
}

static void add_initializers(importer *imp, name_scope *scope, const onnx_graph *g) {
  for (int i = 0; i < g->initializers; ++i) {
    const onnx_tensor *t = &g->initializer[i];
    if (name_map_get(&scope->values, t->name) != NULL) continue; /* an input that was given */
    if (computed_dtype(t->type) == WN_DTYPE_COUNT) continue;     /* whoever reads it says so */
    name_map_put(&scope->values, t->name, value_of_tensor(imp, t));
  }
}

static void build_graph(importer *imp, name_scope *scope, const onnx_graph *g, int count,
                        const char *const *wanted, int opset, int depth) {
  add_initializers(imp, scope, g);
  builder b = {imp, scope, opset, depth, NULL, NULL};
  build_nodes(&b, g->nodes, g->node, graph_live(imp->a, g->nodes, g->node, count, wanted));
}

void graph_build(importer *imp, name_scope *scope, const onnx_graph *g, int count,
                 const char *const *wanted) {
  const onnx_model *m = imp->model;
  build_graph(imp, scope, g, count, wanted, (int)lookup_opset(m->opset, m->opsets), 0);
}

void op_build_graph(op_call *c, const onnx_graph *g, onnx_value *const *in, onnx_value **out) {
  name_scope scope = {c->scope, {{0}}};
  name_map_init(&scope.values, c->a);
  const char **wanted = arena_array(c->a, const char *, g->outputs + 1);
  for (int i = 0; in != NULL && i < g->inputs; ++i)
    name_map_put(&scope.values, g->input[i].name, in[i]);
  for (int i = 0; i < g->outputs; ++i) wanted[i] = g->output[i].name;
  build_graph(c->imp, &scope, g, g->outputs, wanted, c->opset, 1);
  for (int i = 0; i < g->outputs; ++i) {
    out[i] = scope_find(&scope, wanted[i]);
    if (out[i] == NULL) op_fail(c, "its graph has no value \"%s\"", wanted[i]);
  }
}
