/* Models: loading, and what they say of themselves. See winnow.h and model.h. */
#include "onnx/model.h"

#include "base/sized.h"
#include "base/text.h"
#include "onnx/graph.h"
#include "onnx/lookup.h"
#include "tensor/tensor.h"

/* --- loading ---------------------------------------------------------------------------------- */

static bool is_initializer(const onnx_graph *g, const char *name) {
  for (int i = 0; i < g->initializers; ++i)
    if (strcmp(g->initializer[i].name, name) == 0) return true;
  return false;
}

static void list_values(wn_model *m) {
  const onnx_graph *g = &m->m->graph;
  arena *a = &m->arena;
  name_map weights;
  name_map_init(&weights, a);
  for (int i = 0; i < g->initializers; ++i) name_map_put(&weights, g->initializer[i].name, g);
  m->input = arena_array(a, const onnx_value_info *, g->inputs + 1);
  m->output = arena_array(a, const onnx_value_info *, g->outputs + 1);
  bool *needed = arena_array(a, bool, g->inputs + 1);
  m->needed = arena_array(a, bool, g->inputs + 1);
  model_needs(m->m, a, needed);
  m->host = model_check_host(m->m, a->diag, a, needed);
  for (int i = 0; i < g->inputs; ++i) {
    if (name_map_get(&weights, g->input[i].name) != NULL) continue; /* a default, which is taken */
    m->needed[m->inputs] = needed[i];
    m->input[m->inputs++] = &g->input[i];
  }
  for (int i = 0; i < g->outputs; ++i) m->output[m->outputs++] = &g->output[i];
}

static const char *copied(arena *a, const char *text) {
  return text == NULL ? NULL : arena_strdup(a, text);
}

static void read_options(wn_model *m, diag *d, const wn_model_options *given) {
  wn_model_options o;
  const char *why = sized_in(&sized_model_options, &o, given);
  if (why == NULL) why = sized_in(&sized_options, &m->compile, o.compile);
  if (why != NULL) diag_fail(d, WN_ERR_USAGE, "%s", why);
  if (o.programs < 0)
    diag_fail(d, WN_ERR_USAGE, "options.programs must not be negative, not %d", o.programs);
  m->compile.plan = copied(&m->arena, m->compile.plan);
  m->compile.wino = copied(&m->arena, m->compile.wino);
  m->compile.backend = copied(&m->arena, m->compile.backend);
  m->compile.isa = copied(&m->arena, m->compile.isa);
  m->most = o.programs > 0 ? o.programs : WN_MODEL_PROGRAMS;
  m->free_shapes = o.free_shapes != 0;
  m->release = o.release_weights != 0;
  m->own_arenas = o.own_arenas != 0;
}

static void load(wn_model *m, diag *d, const char *path, const void *bytes, size_t size,
                 const wn_model_options *options) {
  m->arena.diag = d;
  read_options(m, d, options);
  const char *what = path != NULL ? path : "the model";
  m->path = copied(&m->arena, path);
  if (path != NULL) bytes = hold_file(&m->holder, d, path, &size);
  m->m = onnx_read_model(&m->arena, d, what, bytes, size);
  wn_status st;
  DIAG_TRY(d, st) {
    model_check(m->m, d, &m->arena);
    list_values(m);
  }
  DIAG_END(d, st)
  if (st == WN_ERR_USAGE) {
    char line[sizeof d->message];
    memcpy(line, d->message, sizeof line);
    diag_fail(d, st, "%s: %s", what, line);
  }
  if (st != WN_OK) diag_again(d);
}

static wn_status open_model(wn_context *ctx, const char *path, const void *bytes, size_t size,
                            const wn_model_options *options, wn_model **model) {
  if (model != NULL) *model = NULL;
  if (ctx == NULL) return WN_ERR_USAGE;
  if (model == NULL)
    return diag_set(&ctx->diag, WN_ERR_USAGE, "nowhere to put the model: it is NULL");
  wn_model *m = mem_alloc(sizeof *m);
  if (m == NULL) return diag_set(&ctx->diag, WN_ERR_NOMEM, "out of memory");
  *m = (wn_model){.ctx = ctx};
  diag_init(&m->diag);
  arena_init(&m->arena, &ctx->diag);
  wn_status st = WN_OK;
  if (pthread_mutex_init(&m->lock, NULL) == 0) {
    m->locks = pthread_mutex_init(&m->build, NULL) == 0;
    if (!m->locks) pthread_mutex_destroy(&m->lock);
  }
  if (!m->locks) st = diag_set(&ctx->diag, WN_ERR_NOMEM, "no lock could be had");
  if (st == WN_OK) {
    DIAG_TRY(&ctx->diag, st) load(m, &ctx->diag, path, bytes, size, options);
    DIAG_END(&ctx->diag, st)
  }
  m->arena.diag = &m->diag;
  if (st != WN_OK)
    wn_model_destroy(m);
  else
    *model = m;
  return st;
}

wn_status wn_model_load(wn_context *ctx, const char *path, const wn_model_options *options,
                        wn_model **model) {
  if (model != NULL) *model = NULL;
  if (ctx != NULL && path == NULL)
    return diag_set(&ctx->diag, WN_ERR_USAGE, "the path of the model is NULL");
  return open_model(ctx, path, NULL, 0, options, model);
}

wn_status wn_model_load_bytes(wn_context *ctx, const void *bytes, size_t size,
                              const wn_model_options *options, wn_model **model) {
  if (model != NULL) *model = NULL;
  if (ctx != NULL && bytes == NULL)
    return diag_set(&ctx->diag, WN_ERR_USAGE, "the bytes of the model are NULL");
  return open_model(ctx, NULL, bytes, size, options, model);
}

void wn_model_destroy(wn_model *model) {
  if (model == NULL) return;
  model_programs_release(model);
  hold_release(&model->holder);
  arena_release(&model->arena);
  if (model->locks) {
    pthread_mutex_destroy(&model->lock);
    pthread_mutex_destroy(&model->build);
  }
  mem_free(model);
}

const char *wn_model_message(const wn_model *model) {
  return model == NULL ? "there is no model" : model->diag.message;
}

/* --- what it says ----------------------------------------------------------------------------- */

wn_status wn_model_get_info(wn_model *model, wn_model_info *info) {
  if (model == NULL) {
    sized_out(&sized_model_info, info, NULL);
    return WN_ERR_USAGE;
  }
  const onnx_model *o = model->m;
  wn_model_info all = {.size = sizeof all,
                       .name = o->graph.name,
                       .producer = o->producer,
                       .ir_version = o->ir_version,
                       .opset = lookup_opset(o->opset, o->opsets),
                       .inputs = model->inputs,
                       .outputs = model->outputs,
                       .nodes = o->graph.nodes,
                       .programs = model->programs,
                       .compiles = model->compiles,
                       .host = model->host,
                       .released_bytes = model->released};
  for (int i = 0; i < o->functions; ++i) all.nodes += o->function[i].nodes;
  for (int i = 0; i < o->graph.initializers; ++i)
    all.weight_bytes +=
        (size_t)o->graph.initializer[i].count * onnx_type_size(o->graph.initializer[i].type);
  const char *why = sized_out(&sized_model_info, info, &all);
  return why == NULL ? WN_OK : diag_set(&model->diag, WN_ERR_USAGE, "%s", why);
}

static wn_status describe(wn_model *m, const char *what, const onnx_value_info *const *list,
                          int count, int index, wn_value *value) {
  wn_value all = {.size = sizeof all};
  if (index < 0 || index >= count) {
    sized_out(&sized_value, value, NULL);
    return diag_set(&m->diag, WN_ERR_USAGE, "there is no %s %d; there are %d", what, index, count);
  }
  const onnx_value_info *v = list[index];
  all.name = v->name;
  all.dtype = v->type == 0 ? WN_DTYPE_COUNT : array_dtype(v->type);
  all.ndim = v->ndim;
  for (int i = 0; i < v->ndim && i < WN_MAX_DIMS; ++i) {
    all.shape[i] = v->dims[i].value;
    all.dim[i] = v->dims[i].name;
  }
  const char *why = sized_out(&sized_value, value, &all);
  return why == NULL ? WN_OK : diag_set(&m->diag, WN_ERR_USAGE, "%s", why);
}

wn_status wn_model_get_input(wn_model *model, int index, wn_value *value) {
  if (model == NULL) return WN_ERR_USAGE;
  return describe(model, "input", model->input, model->inputs, index, value);
}

wn_status wn_model_get_output(wn_model *model, int index, wn_value *value) {
  if (model == NULL) return WN_ERR_USAGE;
  return describe(model, "output", model->output, model->outputs, index, value);
}

/* --- outputs that are added ------------------------------------------------------------------- */

/* The value of that name, else what the node of that name gives first; NULL: there is neither. */
static const char *find_value(const onnx_graph *g, const char *name) {
  for (int i = 0; i < g->nodes; ++i)
    for (int k = 0; k < g->node[i].outputs; ++k)
      if (strcmp(g->node[i].output[k], name) == 0) return name;
  for (int i = 0; i < g->inputs; ++i)
    if (strcmp(g->input[i].name, name) == 0) return name;
  if (is_initializer(g, name)) return name;
  for (int i = 0; i < g->nodes; ++i)
    if (strcmp(g->node[i].name, name) == 0 && g->node[i].outputs > 0) return g->node[i].output[0];
  return NULL;
}

static void add_output(wn_model *m, const char *name) {
  diag *d = &m->diag;
  const char *value = name == NULL || name[0] == '\0' ? NULL : find_value(&m->m->graph, name);
  if (value == NULL)
    diag_fail(d, WN_ERR_USAGE, "there is no value or node \"%s\" in the model",
              name == NULL ? "" : name);
  const onnx_value_info **list = arena_array(&m->arena, const onnx_value_info *, m->outputs + 1);
  memcpy(list, m->output, sizeof *list * (size_t)m->outputs);
  onnx_value_info *v = arena_new(&m->arena, onnx_value_info);
  *v = (onnx_value_info){.name = arena_strdup(&m->arena, value), .ndim = -1};
  list[m->outputs] = v;
  m->output = list;
  ++m->outputs;
}

wn_status wn_model_add_output(wn_model *model, const char *name) {
  wn_status st;
  if (model == NULL) return WN_ERR_USAGE;
  if (model->compiles > 0)
    return diag_set(&model->diag, WN_ERR_USAGE,
                    "outputs are added before the first program is made");
  DIAG_TRY(&model->diag, st) add_output(model, name);
  DIAG_END(&model->diag, st)
  return st;
}
