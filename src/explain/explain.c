/* Gathering what explain shows; see explain.h. */
#include "explain/explain.h"

#include <math.h>

#include "base/fpenv.h"
#include "pipeline.h"
#include "measure/measure.h"
#include "tensor/tensor.h"

/* --- kernels ---------------------------------------------------------------------------------- */

static void gather_kernels(explanation *e, const forecast *f) {
  wn_program *p = e->program;
  const machine_limits *l = f->target.machine->limits;
  e->nkernels = e->info.prepare_kernels + e->info.kernels;
  e->kernel = arena_array(&p->compiled->graph.arena, explained_kernel, e->nkernels + 1);
  for (int i = 0; i < e->nkernels; ++i) {
    explained_kernel *k = &e->kernel[i];
    k->info = WN_KERNEL_INFO();
    wn_status st = wn_program_get_kernel(p, i, &k->info);
    if (st != WN_OK) diag_fail(&p->compiled->diag, st, "no memory for the source of kernel %d", i);
    k->arithmetic_us = machine_arithmetic_s(l, k->info.flops) * 1e6;
    k->traffic_us = machine_traffic_s(l, k->info.bytes) * 1e6;
    k->least_us = fmax(k->arithmetic_us, k->traffic_us);
    k->bound = k->arithmetic_us >= k->traffic_us ? "arithmetic" : "bytes";
    k->predicted_us = f->kernel[i] * 1e6;
    k->measured_us = (double)NAN;
    k->prepare = k->info.prepare != 0;
    if (!k->prepare) e->least_us += k->least_us;
  }
}

/* --- sites ------------------------------------------------------------------------------------ */

void explain_time_sites(explanation *e) {
  arena *a = &e->program->compiled->graph.arena;
  report_kernel *kernels = arena_array(a, report_kernel, e->nkernels + 1);
  for (int i = 0; i < e->nkernels; ++i) {
    const explained_kernel *k = &e->kernel[i];
    kernels[i] =
        (report_kernel){.site = k->info.site, .prepare = k->prepare, .median_us = k->measured_us};
  }
  report_time_sites(e->site, e->nsites, kernels, e->nkernels);
}

static void gather_sites(explanation *e) {
  e->site = report_read_sites(&e->program->compiled->graph.arena, e->program, &e->nsites);
  for (int i = 0; i < e->nsites; ++i) e->site[i].least_us = 0;
  for (int i = 0; i < e->nkernels; ++i)
    if (!e->kernel[i].prepare) e->site[e->kernel[i].info.site].least_us += e->kernel[i].least_us;
  explain_time_sites(e);
}

/* --- choices ---------------------------------------------------------------------------------- */

typedef struct asking { /* the same graph, again and again */
  wn_context *ctx;
  wn_tensor *const *outs;
  int count;
  wn_options options;
} asking;

static void read_plan(arena *a, wn_program *p, int max_lines, explained_choice *c,
                      const char **identity) {
  c->fallback = compiled_line_limit(p->compiled, a, max_lines);
  c->workspace_bytes = (double)p->compiled->info.workspace_bytes;
  if (c->fallback == NULL && p->compiled->info.predicted_s > 0)
    c->predicted_us = p->compiled->info.predicted_s * 1e6;
  *identity = arena_strdup(a, p->compiled->info.identity);
}

/* What it would be, read from a program that has no code; its identity is "" where there is none. */
static void plan_choice(arena *a, const asking *q, const variant *v, const char *plan,
                        explained_choice *c, const char **identity) {
  *c = (explained_choice){.change = v->change,
                          .predicted_us = (double)NAN,
                          .measured_us = (double)NAN,
                          .workspace_bytes = (double)NAN};
  c->plan = plan;
  wn_options o = q->options;
  o.plan = c->plan;
  o.wino = NULL;
  o.plan_only = 1;
  wn_program *p;
  volatile wn_status st = wn_compile(q->ctx, q->outs, NULL, q->count, &o, &p);
  *identity = "";
  if (st == WN_ERR_REFUSED) {
    c->refused = arena_strdup(a, wn_message(q->ctx));
    return;
  }
  if (st != WN_OK) diag_fail(a->diag, st, "%s: %s", v->change, wn_message(q->ctx));
  DIAG_TRY(a->diag, st) read_plan(a, p, o.max_lines, c, identity);
  DIAG_END(a->diag, st)
  wn_program_destroy(p);
  if (st != WN_OK) diag_fail(a->diag, st, "%s: no memory for its kernels", v->change);
}

static void gather_choices(explanation *e, const forecast *f, const asking *q) {
  graph *g = &e->program->compiled->graph;
  variant_list list = {0};
  forecast_variants(g, f, &list);
  e->choice = arena_array(&g->arena, explained_choice, list.len + 1);
  const char **identity = arena_array(&g->arena, const char *, list.len + 1);
  for (int i = 0; i < (int)list.len; ++i) {
    explained_choice *c = &e->choice[e->nchoices++];
    plan_choice(&g->arena, q, &list.data[i], forecast_variant_text(g, f, &list.data[i]), c,
                &identity[i]);
    if (*identity[i] == '\0') continue;
    for (int j = i; j-- > 0;) /* the first of several */
      if (strcmp(identity[j], identity[i]) == 0) c->same_as = e->choice[j].change;
    if (strcmp(identity[i], e->info.identity) == 0) c->same_as = EXPLAIN_NOW;
  }
}

/* --- opening ---------------------------------------------------------------------------------- */

static void gather(explanation *e, const forecast *f, const asking *q) {
  wn_program *p = e->program;
  e->info = p->compiled->info;
  size_t n = strlen(f->trace);
  e->recognised =
      arena_printf(&p->compiled->graph.arena, "%.*s", (int)(n > 0 ? n - 1 : 0), f->trace);
  e->measured_limits = f->target.machine->limits->measured;
  e->here = runtime_is_here(p->compiled->rt);
  e->reference = runtime_is_reference(p->compiled->rt);
  e->predicted_us =
      p->compiled->info.predicted_s > 0 ? p->compiled->info.predicted_s * 1e6 : (double)NAN;
  e->measured_us = e->measured_error = e->measured_sum_error = (double)NAN;
  gather_kernels(e, f);
  gather_sites(e);
  if (!e->brief) gather_choices(e, f, q);
}

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

wn_status explain_open(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                       const wn_options *options, bool brief,
                       void (*write)(void *user, const char *text), void *user, explanation *e) {
  memset(e, 0, sizeof *e);
  e->brief = brief;
  forecast f;
  const pipeline_watch watch = {write, user, &f};
  asking q = {.ctx = ctx, .outs = outs, .count = count};
  volatile wn_status st = pipeline_options(ctx, options, &q.options);
  if (st == WN_OK) st = pipeline_compile(ctx, outs, data, count, &q.options, &watch, &e->program);
  if (st != WN_OK) return st;
  diag *d = &e->program->compiled->diag;
  wn_warning_fn warn = ctx->diag.warn;
  void *warn_user = ctx->diag.warn_user;
  wn_on_warning(ctx, ignore_warning,
                NULL); /* what the program itself warned of would be said for each choice */
  DIAG_TRY(d, st) gather(e, &f, &q);
  DIAG_END(d, st)
  wn_on_warning(ctx, warn, warn_user);
  if (st == WN_OK) return st;
  diag_set(&ctx->diag, st, "%s", d->message);
  explain_close(e);
  return st;
}

void explain_close(explanation *e) {
  wn_program_destroy(e->program);
  e->program = NULL;
}

/* --- all of it as text ------------------------------------------------------------------------ */

static void write_kernels(const explanation *e, void (*write)(void *user, const char *text),
                          void *user) {
  for (int i = 0; i < e->nkernels && !e->brief; ++i) write(user, explain_text_kernel(e, i));
}

static void write_all(const explanation *e, bool summary_first,
                      void (*write)(void *user, const char *text), void *user) {
  const char *choices = explain_text_choices(e), *summary = explain_text_program(e);
  const char *of_sites[] = {explain_text_sites(e), explain_text_placements(e),
                            explain_text_layouts(e), explain_text_sides(e)};
  const int sections = (int)(sizeof of_sites / sizeof *of_sites);
  if (!summary_first) write_kernels(e, write, user);
  if (summary_first) write(user, summary);
  if (!summary_first && choices != NULL) write(user, choices);
  for (int i = 0; i < sections; ++i)
    if (of_sites[i] != NULL) write(user, of_sites[i]);
  if (summary_first && choices != NULL) write(user, choices);
  if (!summary_first) write(user, summary);
  if (summary_first) write_kernels(e, write, user);
}

wn_status explain_write(const explanation *e, bool summary_first,
                        void (*write)(void *user, const char *text), void *user) {
  diag *d = &e->program->compiled->diag;
  volatile wn_status st;
  DIAG_TRY(d, st) write_all(e, summary_first, write, user);
  DIAG_END(d, st)
  return st;
}

wn_status wn_explain(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                     const wn_options *options, void (*write)(void *user, const char *text),
                     void *user) {
  explanation e;
  fenv_t fp;
  if (ctx == NULL) return WN_ERR_USAGE;
  if (write == NULL)
    return diag_set(&ctx->diag, WN_ERR_USAGE, "wn_explain has no function to write with");
  fp_enter(&fp);
  wn_status st = explain_open(ctx, outs, data, count, options, false, write, user, &e);
  if (st == WN_OK) {
    st = explain_write(&e, false, write, user);
    if (st != WN_OK) diag_set(&ctx->diag, st, "%s", e.program->compiled->diag.message);
    explain_close(&e);
  }
  fp_leave(&fp);
  return st;
}
