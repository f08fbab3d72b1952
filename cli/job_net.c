/* The job of a model: its inputs are the network's, its outputs as large as the graph says. */
#include <math.h>

#include "job_parts.h"
#include "net_errors.h"

static void make_outputs(job *j, wn_tensor *const *tensors) {
  network *n = j->net;
  j->out = arena_array(&j->arena, job_output, n->info.outputs + 1);
  for (int i = 0; i < n->info.outputs; ++i) {
    job_output *o = &j->out[i];
    wn_value v = WN_VALUE();
    wn_status status = wn_model_get_output(n->model, i, &v);
    if (status != WN_OK) diag_fail(&j->app->diag, status, "%s", wn_model_message(n->model));
    o->name = v.name;
    o->dtype = wn_tensor_dtype(tensors[i]);
    o->ndim = wn_ndim(tensors[i]);
    o->count = 1;
    for (int k = 0; k < o->ndim; ++k) o->count *= o->shape[k] = wn_shape(tensors[i])[k];
    o->data = job_array(j, o->dtype, o->count);
    ++j->out_count;
  }
}

void job_net_open(job *j, const char *path, bool with_reference) {
  j->net = arena_new(&j->arena, network);
  j->flops = NAN;
  net_open(j->net, j->app, &j->arena, path);
  wn_context *ctx = job_context(j);
  wn_tensor **tensors = net_build(j->net, ctx);
  make_outputs(j, tensors);
  if (!with_reference || j->out_count == 0) return;
  const double **exact = arena_array(&j->arena, const double *, j->out_count);
  net_compute_exact(j, ctx, j->out_count, tensors, exact, &j->flops);
  for (int i = 0; i < j->out_count; ++i) j->out[i].exact = exact[i];
}
