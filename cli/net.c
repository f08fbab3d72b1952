/* Loading a model, and its graph; see net.h. What names values inside is asked for before anything is built. */
#include "net_outputs.h"

#include <inttypes.h>
#include <time.h>

enum { ALIGNMENT = 64 };

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *net_text(arena *a, const wn_value *v) {
  str s;
  str_init(&s, a);
  str_printf(&s, "%s ", wn_dtype_name(v->dtype));
  if (v->ndim < 0) {
    str_add(&s, "of any shape");
    return str_text(&s);
  }
  str_add(&s, "[");
  for (int i = 0; i < v->ndim; ++i) {
    if (i) str_add(&s, ", ");
    if (v->shape[i] >= 0)
      str_printf(&s, "%" PRId64, v->shape[i]);
    else
      str_add(&s, v->dim[i] != NULL ? v->dim[i] : "?");
  }
  str_add(&s, "]");
  return str_text(&s);
}

void *net_array(cli *app, wn_dtype dtype, int64_t count) {
  size_t bytes = (size_t)count * wn_dtype_size(dtype);
  void *p = mem_alloc_aligned(bytes > 0 ? bytes : 1, ALIGNMENT);
  if (p == NULL)
    diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for an array of %" PRId64 " elements of %s",
              count, wn_dtype_name(dtype));
  return p;
}

static void load(network *n) {
  diag *d = &n->app->diag;
  wn_status status = wn_context_create(&n->ctx);
  if (status != WN_OK) diag_fail(d, status, "no memory for a context");
  wn_on_warning(n->ctx, app_warn, n->app);
  app_progress(n->app, "%s: loading", n->path);
  double start = now_s();
  /* who says a shape means it, whatever the file says: many say one size and are used at any */
  const plan_spec spec = app_plan(n->app);
  wn_options compile;
  app_compile_options(n->app, &spec, &compile);
  const wn_model_options how =
      WN_MODEL_OPTIONS(.compile = &compile, .free_shapes = n->app->opt.shapes.len > 0,
                       .release_weights = 1);
  status = wn_model_load(n->ctx, n->path, &how, &n->model);
  if (status != WN_OK) diag_fail(d, status, "%s", wn_message(n->ctx));
  n->load_s = now_s() - start;
  outputs_ask(n);
  n->info = WN_MODEL_INFO();
  status = wn_model_get_info(n->model, &n->info);
  if (status != WN_OK) diag_fail(d, status, "%s", wn_model_message(n->model));
}

void net_open(network *n, cli *app, arena *a, const char *path) {
  memset(n, 0, sizeof *n);
  n->app = app;
  n->arena = a;
  n->path = path;
  load(n);
  n->input = arena_array(a, wn_value, n->info.inputs + 1);
  for (int i = 0; i < n->info.inputs; ++i) {
    n->input[i] = WN_VALUE();
    wn_status status = wn_model_get_input(n->model, i, &n->input[i]);
    if (status != WN_OK) diag_fail(&app->diag, status, "%s", wn_model_message(n->model));
    n->input[i].data = NULL;
  }
  net_read_inputs(n);
}

void net_close(network *n) {
  for (int i = 0; n->input != NULL && i < n->info.inputs; ++i)
    if (n->input[i].data != NULL) mem_free_aligned(n->input[i].data);
  if (n->model != NULL) wn_model_destroy(n->model);
  if (n->ctx != NULL) wn_context_destroy(n->ctx);
  n->model = NULL;
  n->ctx = NULL;
  n->input = NULL;
}

wn_tensor **net_build(const network *n, wn_context *ctx) {
  wn_tensor **outs = arena_array(n->arena, wn_tensor *, n->info.outputs + 1);
  wn_status status = wn_model_build(n->model, ctx, n->input, n->info.inputs, outs);
  if (status != WN_OK)
    diag_fail(&n->app->diag, status, "%s%s", wn_message(ctx),
              status == WN_ERR_USAGE && net_on_host(n) ? ", and so does winnow run" : "");
  return outs;
}
