/* A model's graph in a context: wn_model_build.
 *
 * In: inputs by name or place, with their shapes. Out: tensors of the outputs. Always holds: what fails leaves the
 * context as usable as it was. */
#include "base/fpenv.h"
#include "base/sized.h"
#include "onnx/graph.h"
#include "onnx/host.h"
#include "onnx/model.h"
#include "tensor/tensor.h"

void model_value(diag *d, const wn_value *list, int i, wn_value *v) {
  const char *why = sized_in(&sized_value, v, (const char *)list + (size_t)i * list->size);
  if (why != NULL) diag_fail(d, WN_ERR_USAGE, "%s", why);
}

static const char *names_of(arena *a, const onnx_value_info *const *list, int count) {
  str s;
  str_init(&s, a);
  for (int i = 0; i < count && i < 8; ++i)
    str_printf(&s, "%s\"%s\"", i > 0 ? ", " : "", list[i]->name);
  if (count > 8) str_printf(&s, " and %d more", count - 8);
  return str_text(&s);
}

int model_place(const wn_model *m, arena *a, bool output, const wn_value *v, int i) {
  const onnx_value_info *const *list = output ? m->output : m->input;
  const int count = output ? m->outputs : m->inputs;
  const char *what = output ? "output" : "input";
  if (v->name == NULL) {
    if (i >= count)
      diag_fail(a->diag, WN_ERR_USAGE, "there is no %s %d; the model has %d", what, i, count);
    return i;
  }
  for (int k = 0; k < count; ++k)
    if (strcmp(list[k]->name, v->name) == 0) return k;
  diag_fail(a->diag, WN_ERR_USAGE, "there is no %s \"%s\"; the model has %s", what, v->name,
            names_of(a, list, count));
}

wn_value *model_given(const wn_model *m, arena *a, const wn_value *inputs, int count) {
  wn_value *given = arena_array(a, wn_value, m->inputs + 1);
  for (int i = 0; i < count; ++i) {
    wn_value v;
    model_value(a->diag, inputs, i, &v);
    const int at = model_place(m, a, false, &v, i);
    if (given[at].size != 0)
      diag_fail(a->diag, WN_ERR_USAGE, "input \"%s\" is given twice", m->input[at]->name);
    given[at] = v;
  }
  return given;
}

/* "[1, 3, height, ?]" */
static const char *dims_text(arena *a, const onnx_value_info *v) {
  str s;
  str_init(&s, a);
  str_add(&s, "[");
  for (int i = 0; i < v->ndim; ++i) {
    if (i > 0) str_add(&s, ", ");
    if (v->dims[i].value >= 0)
      str_printf(&s, "%lld", (long long)v->dims[i].value);
    else
      str_add(&s, v->dims[i].name == NULL ? "?" : v->dims[i].name);
  }
  str_add(&s, "]");
  return str_text(&s);
}

static void check_closed(arena *a, const onnx_value_info *v) {
  for (int i = 0; i < v->ndim; ++i)
    if (v->dims[i].value < 0)
      diag_fail(a->diag, WN_ERR_USAGE,
                "input \"%s\" is %s, with open dimensions: its shape has to be given", v->name,
                dims_text(a, v));
  if (v->ndim < 0)
    diag_fail(a->diag, WN_ERR_USAGE,
              "the model does not say the shape of input \"%s\": it has to be given", v->name);
}

static void check_given(const wn_model *m, arena *a, const onnx_value_info *v,
                        const wn_value *given) {
  diag *d = a->diag;
  if (given->ndim < 0 || given->ndim > WN_MAX_DIMS)
    diag_fail(d, WN_ERR_USAGE, "input \"%s\" is given with %d axes; there may be 0 to %d", v->name,
              given->ndim, WN_MAX_DIMS);
  bool fits = v->ndim < 0 || v->ndim == given->ndim;
  for (int i = 0; fits && i < v->ndim && !m->free_shapes; ++i)
    fits = v->dims[i].value < 0 || v->dims[i].value == given->shape[i];
  if (!fits)
    diag_fail(d, WN_ERR_USAGE, "input \"%s\" is given as %s; the model expects %s", v->name,
              arena_shape(a, given->ndim, given->shape), dims_text(a, v));
  for (int i = 0; i < given->ndim; ++i)
    if (given->shape[i] < 0)
      diag_fail(d, WN_ERR_USAGE, "input \"%s\" is given as %s; extents are not negative", v->name,
                arena_shape(a, given->ndim, given->shape));
  if (v->type != 0 && array_dtype(v->type) != given->dtype)
    diag_fail(d, WN_ERR_USAGE, "input \"%s\" is given as %s; the model expects %s", v->name,
              wn_dtype_name(given->dtype), wn_dtype_name(array_dtype(v->type)));
}

void model_input_shape(const wn_model *m, arena *a, int index, const wn_value *given, int *ndim,
                       int64_t *shape) {
  const onnx_value_info *v = m->input[index];
  if (given != NULL)
    check_given(m, a, v, given);
  else
    check_closed(a, v);
  bool empty = false;
  *ndim = given != NULL ? given->ndim : v->ndim;
  for (int i = 0; i < *ndim; ++i) {
    shape[i] = given != NULL ? given->shape[i] : v->dims[i].value;
    empty = empty || shape[i] == 0;
  }
  if (m->needed[index] && !empty && (given == NULL || given->data == NULL))
    diag_fail(a->diag, WN_ERR_USAGE,
              "input \"%s\" decides what is compiled: its data has to be given", v->name);
}

/* --- inputs ----------------------------------------------------------------------------------- */

static void add_input(importer *imp, wn_model *m, name_scope *scope, int index,
                      const wn_value *given) {
  wn_context *ctx = imp->ctx;
  const onnx_value_info *info = m->input[index];
  onnx_value *v = arena_new(imp->a, onnx_value);
  const int type = info->type != 0 ? info->type
                   : given != NULL ? array_type(given->dtype)
                                   : ONNX_FLOAT;
  const wn_dtype array = array_dtype(type);
  *v = (onnx_value){.name = info->name, .type = type, .dtype = computed_dtype(type)};
  model_input_shape(m, imp->a, index, given, &v->ndim, v->shape);
  const void *data = given == NULL ? NULL : given->data;
  if (m->needed[index]) {
    v->known = true;
    const void *kept = arena_copy(imp->a, data, (size_t)value_count(v) * wn_dtype_size(array));
    if (array == v->dtype)
      v->data = kept;
    else
      v->t = wn_cast(wn_constant(ctx, array, v->ndim, v->shape, kept), v->dtype);
  } else {
    v->t = wn_input(ctx, array, v->ndim, v->shape, data);
    if (v->t != NULL && strlen(info->name) <= WN_MAX_NAME) wn_name(v->t, info->name);
    if (array != v->dtype) v->t = wn_cast(v->t, v->dtype);
  }
  if (v->t == NULL && v->data == NULL && value_count(v) > 0) diag_again(&ctx->diag);
  name_map_put(&scope->values, info->name, v);
}

/* --- outputs ---------------------------------------------------------------------------------- */

static wn_tensor *output_tensor(importer *imp, const onnx_value_info *info, onnx_value *v) {
  wn_tensor *t = value_tensor(imp, v);
  if (array_dtype(v->type) != wn_tensor_dtype(t)) t = wn_cast(t, array_dtype(v->type));
  if (t == NULL) diag_again(&imp->ctx->diag);
  name_tensor(t, info->name);
  return t;
}

void model_build(wn_model *m, wn_context *ctx, const wn_value *inputs, int count, wn_tensor **outs,
                 host_plan *host) {
  importer imp = {.ctx = ctx,
                  .a = &ctx->graph.arena,
                  .holder = &m->holder,
                  .path = m->path,
                  .model = m->m,
                  .host = host};
  name_scope scope = {NULL, {{0}}};
  name_map_init(&scope.values, imp.a);
  const char **wanted = arena_array(imp.a, const char *, m->outputs + 1);
  for (int i = 0; i < m->outputs; ++i) wanted[i] = m->output[i]->name;
  if (host != NULL) host->end = arena_array(imp.a, host_end, m->outputs + 1);
  const wn_value *given = model_given(m, imp.a, inputs, count);
  for (int i = 0; i < m->inputs; ++i)
    add_input(&imp, m, &scope, i, given[i].size != 0 ? &given[i] : NULL);
  graph_build(&imp, &scope, &m->m->graph, m->outputs, wanted);
  for (int i = 0; i < m->outputs; ++i) {
    onnx_value *v = scope_find(&scope, wanted[i]);
    if (v == NULL)
      diag_fail(&ctx->diag, WN_ERR_USAGE, "output \"%s\" is computed by no node", wanted[i]);
    if (v->stage != NULL && host != NULL)
      host->end[i] = (host_end){v->stage, v->result, array_dtype(v->type)};
    else
      outs[i] = output_tensor(&imp, m->output[i], v);
  }
}

/* The caller's graph has the weights from then on. */
static void build_for_caller(wn_model *m, wn_context *ctx, const wn_value *inputs, int count,
                             wn_tensor **outs) {
  diag *d = &ctx->diag;
  wn_status st;
  weights_open(m, d);
  m->lent_graphs = true;
  DIAG_TRY(d, st) model_build(m, ctx, inputs, count, outs, NULL);
  DIAG_END(d, st)
  weights_close(m);
  if (st != WN_OK) diag_again(d);
}

wn_status wn_model_build(wn_model *model, wn_context *ctx, const wn_value *inputs, int count,
                         wn_tensor **outs) {
  if (ctx == NULL) return WN_ERR_USAGE;
  if (model == NULL || outs == NULL || count < 0 || (count > 0 && inputs == NULL))
    return diag_set(&ctx->diag, WN_ERR_USAGE,
                    "the model, the inputs or the place for outputs is NULL");
  const wn_status before = ctx->error;
  wn_status st;
  fenv_t fp;
  fp_enter(&fp);
  pthread_mutex_lock(&model->build);
  DIAG_TRY(&ctx->diag, st) build_for_caller(model, ctx, inputs, count, outs);
  DIAG_END(&ctx->diag, st)
  pthread_mutex_unlock(&model->build);
  fp_leave(&fp);
  if (st != WN_OK) ctx->error = before;
  return st;
}
