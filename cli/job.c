/* What is common to jobs of problems and of models. Arrays live outside arenas because kernels like them aligned;
 * job_close is what frees them. */
#include "job_parts.h"

void job_open(job *j, cli *app, const subject *s, bool with_reference) {
  memset(j, 0, sizeof *j);
  j->app = app;
  j->text = s->text;
  arena_init(&j->arena, &app->diag);
  if (s->model != NULL)
    job_net_open(j, s->model, with_reference);
  else
    job_conv_open(j, s->problem, with_reference);
}

void job_close_entry(entry *e) {
  if (e->program != NULL) wn_program_destroy(e->program);
  if (e->ctx != NULL) wn_context_destroy(e->ctx);
  e->program = NULL;
  e->ctx = NULL;
}

void job_close(job *j) {
  for (int i = 0; i < j->entry_count; ++i) job_close_entry(&j->entries[i]);
  for (size_t i = 0; i < j->contexts.len; ++i) wn_context_destroy(j->contexts.data[i]);
  for (size_t i = 0; i < j->arrays.len; ++i)
    if (j->arrays.data[i] != NULL) mem_free_aligned(j->arrays.data[i]);
  if (j->net != NULL) net_close(j->net);
  arena_release(&j->arena);
}

void job_with(cli *app, const subject *s, bool with_reference, void (*work)(job *, void *),
              void *user) {
  job *j = arena_new(&app->arena, job);
  volatile wn_status status;
  char message[sizeof app->diag.message];
  DIAG_TRY(&app->diag, status) {
    job_open(j, app, s, with_reference);
    work(j, user);
  }
  DIAG_END(&app->diag, status)
  app_progress_clear(app);
  job_close(j);
  if (status == WN_OK) return;
  memcpy(message, app->diag.message, sizeof message);
  diag_fail(&app->diag, status, "%s", message);
}

wn_context *job_context(job *j) {
  wn_context *ctx;
  vec_push(&j->arena, &j->contexts, NULL); /* which may fail, before there is something to lose */
  wn_status status = wn_context_create(&ctx);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "no memory for a context");
  wn_on_warning(ctx, app_warn, j->app);
  j->contexts.data[j->contexts.len - 1] = ctx;
  return ctx;
}

void *job_array(job *j, wn_dtype dtype, int64_t count) {
  vec_push(&j->arena, &j->arrays, NULL); /* the same */
  void *p = net_array(j->app, dtype, count);
  j->arrays.data[j->arrays.len - 1] = p;
  return p;
}

job_graph job_build(job *j, wn_context *ctx) {
  job_graph g = {.count = j->out_count};
  g.data = arena_array(&j->arena, void *, g.count + 1);
  for (int i = 0; i < g.count; ++i) g.data[i] = j->out[i].data;
  if (j->net != NULL) {
    g.out = net_build(j->net, ctx);
  } else {
    g.out = arena_new(&j->arena, wn_tensor *);
    *g.out = job_conv_graph(j, ctx);
  }
  return g;
}

void job_options(const job *j, const plan_spec *spec, wn_options *out) {
  app_compile_options(j->app, spec, out);
}
