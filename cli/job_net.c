/* The job of a model: its inputs are the network's, its outputs as large as the graph says. Of a model whose last stage
 * is on the host there is no graph: outputs have room for the most there can be, and their shapes after a run. */
#include <math.h>

#include "job_parts.h"
#include "net_errors.h"

static const char *name_of_output(const network *n, int i) {
  wn_value v = WN_VALUE();
  wn_status status = wn_model_get_output(n->model, i, &v);
  if (status != WN_OK) diag_fail(&n->app->diag, status, "%s", wn_model_message(n->model));
  return v.name;
}

static void make_outputs(job *j, wn_tensor *const *tensors) {
  network *n = j->net;
  j->out = arena_array(&j->arena, job_output, n->info.outputs + 1);
  for (int i = 0; i < n->info.outputs; ++i) {
    job_output *o = &j->out[i];
    o->name = name_of_output(n, i);
    o->dtype = wn_tensor_dtype(tensors[i]);
    o->ndim = wn_ndim(tensors[i]);
    o->count = 1;
    for (int k = 0; k < o->ndim; ++k) o->count *= o->shape[k] = wn_shape(tensors[i])[k];
    o->data = job_array(j, o->dtype, o->count);
    ++j->out_count;
  }
}

static void check(job *j, wn_status status) {
  if (status != WN_OK)
    diag_fail(&j->app->diag, status, "%s: %s", j->text, wn_model_message(j->net->model));
}

static void set_shape(job_output *o, const wn_value *v) {
  o->ndim = v->ndim;
  o->count = 1;
  for (int k = 0; k < v->ndim; ++k) o->count *= o->shape[k] = v->shape[k];
}

static void make_host_outputs(job *j) {
  network *n = j->net;
  wn_value *v = arena_array(&j->arena, wn_value, n->info.outputs + 1);
  for (int i = 0; i < n->info.outputs; ++i) v[i] = WN_VALUE();
  check(j, wn_model_outputs(n->model, n->input, n->info.inputs, v));
  j->out = arena_array(&j->arena, job_output, n->info.outputs + 1);
  for (int i = 0; i < n->info.outputs; ++i) {
    job_output *o = &j->out[i];
    o->name = name_of_output(n, i);
    o->dtype = v[i].dtype;
    set_shape(o, &v[i]);
    o->count = (int64_t)(v[i].bytes / wn_dtype_size(o->dtype));
    o->data = job_array(j, o->dtype, o->count);
    ++j->out_count;
  }
}

void job_net_run(job *j) {
  wn_value *v = arena_array(&j->arena, wn_value, j->out_count + 1);
  for (int i = 0; i < j->out_count; ++i) v[i] = WN_VALUE(.data = j->out[i].data);
  check(j, wn_model_run(j->net->model, j->net->input, j->net->info.inputs, v, j->out_count));
  for (int i = 0; i < j->out_count; ++i) set_shape(&j->out[i], &v[i]);
}

void job_net_open(job *j, const char *path, bool with_reference) {
  j->net = arena_new(&j->arena, network);
  j->flops = NAN;
  net_open(j->net, j->app, &j->arena, path);
  if (net_on_host(j->net) && !with_reference) {
    make_host_outputs(j);
    return;
  }
  wn_context *ctx = job_context(j);
  wn_tensor **tensors = net_build(j->net, ctx);
  make_outputs(j, tensors);
  if (!with_reference || j->out_count == 0) return;
  const double **exact = arena_array(&j->arena, const double *, j->out_count);
  net_compute_exact(j, ctx, j->out_count, tensors, exact, &j->flops);
  for (int i = 0; i < j->out_count; ++i) j->out[i].exact = exact[i];
}
