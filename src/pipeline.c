/* The compiler, a pass a line: tensor graph -> range IR -> Winograd -> schedule -> nests -> linear IR -> program.
 *
 * In: tensors and options. Out: a program that can be run, or a status and one line. compile() below is the story. */
#include <stdlib.h>

#include "pipeline.h"

#include "base/fpenv.h"
#include "base/sized.h"
#include "decide/decide.h"
#include "program/import.h"
#include "lower/lower.h"
#include "decide/program_sites.h"
#include "decide/forecast.h"
#include "plan/joins.h"
#include "plan/separate.h"
#include "plan/storage.h"
#include "program/show.h"
#include "tensor/tensor.h"

typedef struct pipeline {
  wn_context *ctx;
  const wn_options *opt;
  compiled_graph *p;
  graph *g;
  show show;
  bool dry;                  /* nothing is run: there need not be any data */
  bool measures;             /* runs at once, on all of the data */
  forecast *forecast;        /* gets what the cost model says; NULL: nobody asks */
  const site_list *surveyed; /* before layouts were chosen, and the nodes that there were then */
  uint32_t nodes;
} pipeline;

/* --- the passes ------------------------------------------------------------------------------- */

static void open_runtime(pipeline *pl) {
  const wn_options *o = pl->opt;
  diag *d = &pl->p->diag;
  show_check_environment(d);
  pl->p->rt =
      (pl->dry ? runtime_create_foreign : runtime_create)(d, o->backend, o->isa, o->threads);
  if (o->flush_subnormals) runtime_flush_subnormals(pl->p->rt);
}

/* The program's own copy of the tensors, and the arrays that it is bound to. */
static const uop *const *import(pipeline *pl, wn_tensor *const *outs, void *const *data,
                                int count) {
  compiled_graph *p = pl->p;
  const uop *const *tensors = import_graph(pl->g, count, outs);
  p->slots = import_slots(pl->ctx, pl->g, count, outs, data, pl->opt->variable_weights != 0);
  if (!pl->dry) import_check_data(&p->slots, pl->g, pl->measures);
  return tensors;
}

/* What the plan is of: stored values and sites, numbered before there is any plan. */
static const site_list *survey(pipeline *pl, const uop *root) {
  site_list *sites = arena_new(&pl->g->arena, site_list);
  *sites = sites_of(pl->g, root, import_describe(pl->ctx, pl->g));
  return sites;
}

/* Layouts of what is stored between layers, as the plan says them or else as is said here. */
static const site_list *lay_out(pipeline *pl, const site_list *sites, storage_choice how) {
  const char *text = pl->opt->plan;
  plan_request asked;
  if (text != NULL) asked = plan_parse(pl->g, text, sites);
  site_list *out = arena_new(&pl->g->arena, site_list);
  *out = *storage_choose(pl->g, sites, import_describe(pl->ctx, pl->g),
                         text != NULL ? &asked : NULL, how);
  joins_mark(pl->g, out);
  return out;
}

/* Which of the caller's arrays a program may read once, by slot; NULL: none, as all may change. */
static const bool *constants(const pipeline *pl) {
  if (pl->opt->variable_weights) return NULL;
  const size_t n = pl->ctx->buffers.len;
  bool *constant = arena_array(&pl->g->arena, bool, n + 1);
  for (size_t i = 0; i < n; ++i) constant[i] = pl->ctx->buffers.data[i].constant;
  return constant;
}

/* All that does not depend on the plan: tensors to the sites of simplified range IR. */
static const site_list *front(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  const uop *const *tensors = import(pl, outs, data, count);
  const bool *constant = constants(pl);
  show_ir(&pl->show, "tensor", count, tensors);
  tensors = cancel_layouts(pl->g, count, tensors);
  if (constant != NULL && pl->opt->math != WN_MATH_FP32_STRICT)
    tensors = fold_scales(pl->g, count, tensors, constant);
  show_ir(&pl->show, "clean", count, tensors);
  const uop *root = lower_tensors(pl->g, count, tensors, constant);
  show_ir(&pl->show, "lower", 1, &root);
  root = products_separate(pl->g, simplify(pl->g, root));
  show_ir(&pl->show, "simplify", 1, &root);
  pl->surveyed = survey(pl, root);
  pl->nodes = pl->g->count;
  const bool device = runtime_machine(pl->p->rt)->group > 0;
  return lay_out(pl, pl->surveyed, device ? STORAGE_OF_DEVICE : STORAGE_CHEAPEST);
}

static bool chose_layouts(const site_list *sites) {
  for (int v = 0; v < sites->nvalues; ++v)
    if (sites->value[v].layout == LAYOUT_LAST && sites->value[v].layout_why == LAYOUT_IS_CHOSEN)
      return true;
  return false;
}

/* Where channels that are last leave nothing that fits, values keep their order, in which weights need not be prepared. */
static decision decide_to_fit(pipeline *pl, const site_list *sites) {
  deciding what = {.ctx = pl->ctx, .opt = pl->opt, .p = pl->p, .g = pl->g, .dry = pl->dry};
  what.last = !chose_layouts(sites);
  decision d = decide(&what, sites);
  if (d.set != NULL) return d;
  what.last = true;
  what.least = d.fit.least;
  what.smallest = decide_smallest(pl->g, &d);
  graph_rewind(pl->g, pl->nodes);
  return decide(&what, lay_out(pl, pl->surveyed, STORAGE_AS_GIVEN));
}

/* choose, rewrite, place, build, connect, launch, share, memory: over again until it fits (decide/). */
static decision plan(pipeline *pl, const site_list *sites) {
  pl->p->store = store_open(&pl->p->diag, pl->opt->no_cache != 0);
  decision d = decide_to_fit(pl, sites);
  pl->p->set = d.set;
  show_text(&pl->show, "recognise",
            arena_printf(&pl->g->arena, "%s%s", d.trace, d.choice.considered));
  for (int v = 0; v < d.fit.sites->nvalues; ++v) {
    const part *p = d.fit.of[v];
    if (p->w.nsites > 0 && p->value == &d.fit.sites->value[v])
      show_ir(&pl->show, "winograd", 1, &p->w.root);
  }
  show_nests(&pl->show, d.set);
  return d;
}

static void linearise_kernels(pipeline *pl, const decision *d) {
  codes_make(pl->p, &(part_list){d->fit.sites, d->fit.of}, pl->opt->no_merge == 0);
  show_kernels(&pl->show, pl->p);
}

static void compile_kernels(pipeline *pl) {
  const wn_options *o = pl->opt;
  compile_options how = {.max_lines = o->max_lines,
                         .store = o->cold ? NULL : pl->p->store,
                         .progress = {o->compiling, o->compiling_user}};
  if (!o->plan_only) codes_compile(pl->p, &how);
  show_assembly(pl->p);
}

static void describe(pipeline *pl, const decision *d, double schedule_s, double compile_s) {
  program_describe_sites(pl->p, d);
  program_describe(pl->p, d, schedule_s, compile_s);
  if (pl->forecast != NULL)
    *pl->forecast = forecast_program(pl->g, &d->choice, d->target, d->trace, pl->p->set);
  if (pl->opt->strict && pl->p->info.fallback != NULL)
    diag_fail(&pl->p->diag, WN_ERR_STRICT, "a kernel fell back to the interpreter: %s",
              pl->p->info.fallback);
}

static void compile(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  open_runtime(pl);
  double start = program_now();
  const site_list *sites = front(pl, outs, data, count);
  decision d = plan(pl, sites);
  linearise_kernels(pl, &d);
  launches_make(pl->p);
  double scheduled = program_now();
  compile_kernels(pl);
  describe(pl, &d, scheduled - start, program_now() - scheduled);
  compiled_close_store(pl->p);
  if (pl->forecast == NULL && pl->show.write == NULL) compiled_end(pl->p);
}

/* --- the public functions --------------------------------------------------------------------- */

static bool is_math(wn_math m) {
  switch (m) {
    case WN_MATH_FP32:
    case WN_MATH_FP32_FAST:
    case WN_MATH_FP32_STRICT:
      return true;
  }
  return false;
}

/* What nothing further on looks at by itself. */
static wn_status check_options(wn_context *ctx, const wn_options *o) {
  if (!is_math(o->math))
    return diag_set(&ctx->diag, WN_ERR_USAGE, "options.math: there is no wn_math %d", (int)o->math);
  if (o->max_lines < 0)
    return diag_set(&ctx->diag, WN_ERR_USAGE,
                    "options.max_lines must be at least 1 (0: the default), not %d", o->max_lines);
  return WN_OK;
}

static wn_status check_outputs(wn_context *ctx, wn_tensor *const *outs, int count) {
  if (ctx->error != WN_OK) return diag_set(&ctx->diag, ctx->error, "%s", ctx->error_message);
  if (count < 1 || outs == NULL)
    return diag_set(&ctx->diag, WN_ERR_USAGE, "nothing to compile: %d outputs", count);
  for (int i = 0; i < count; ++i) {
    if (outs[i] == NULL) return diag_set(&ctx->diag, WN_ERR_USAGE, "output %d is NULL", i);
    if (outs[i]->ctx != ctx)
      return diag_set(&ctx->diag, WN_ERR_USAGE, "output %d belongs to another context", i);
  }
  return WN_OK;
}

/* One with nothing in it yet; *status says why where it is NULL. */
static compiled_graph *begin(wn_context *ctx, wn_tensor *const *outs, int count,
                             const wn_options *options, pipeline *pl, wn_status *status) {
  *status = check_outputs(ctx, outs, count);
  if (*status == WN_OK) *status = check_options(ctx, options);
  if (*status != WN_OK) return NULL;
  compiled_graph *p = compiled_new(&ctx->diag);
  if (p == NULL) *status = diag_set(&ctx->diag, WN_ERR_NOMEM, "out of memory");
  if (p == NULL) return NULL;
  *pl = (pipeline){.ctx = ctx, .opt = options, .p = p, .g = &p->graph, .show.g = &p->graph};
  return p;
}

wn_status pipeline_options(wn_context *ctx, const wn_options *given, wn_options *options) {
  if (ctx == NULL) return WN_ERR_USAGE;
  const char *why = sized_in(&sized_options, options, given);
  return why == NULL ? WN_OK : diag_set(&ctx->diag, WN_ERR_USAGE, "%s", why);
}

wn_status pipeline_compile(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                           const wn_options *options, const pipeline_watch *watch,
                           wn_program **program) {
  if (program != NULL) *program = NULL;
  if (ctx == NULL) return WN_ERR_USAGE;
  if (program == NULL)
    return diag_set(&ctx->diag, WN_ERR_USAGE, "nowhere to put the program: it is NULL");
  pipeline pl;
  wn_status st;
  compiled_graph *p = begin(ctx, outs, count, options, &pl, &st);
  if (p == NULL) return st;
  if (watch != NULL) {
    pl.show.write = watch->write;
    pl.show.user = watch->user;
    pl.forecast = watch->forecast;
  }
  pl.dry = watch != NULL || pl.opt->plan_only;
  fenv_t fp;
  fp_enter(&fp);
  DIAG_TRY(&p->diag, st) compile(&pl, outs, data, count);
  DIAG_END(&p->diag, st)
  if (st != WN_OK) {
    diag_set(&ctx->diag, st, "%s", p->diag.message);
    compiled_release(p);
  } else {
    *program = program_create(p, !pl.dry, &ctx->diag);
    if (*program == NULL) st = ctx->diag.status;
  }
  fp_leave(&fp);
  return st;
}

wn_status wn_compile(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                     const wn_options *options, wn_program **program) {
  wn_options o;
  if (program != NULL) *program = NULL;
  wn_status st = pipeline_options(ctx, options, &o);
  return st == WN_OK ? pipeline_compile(ctx, outs, data, count, &o, NULL, program) : st;
}

static void find_sites(pipeline *pl, wn_tensor *const *outs, void *const *data, int count,
                       const site_list **sites) {
  open_runtime(pl);
  *sites = front(pl, outs, data, count);
}

wn_status pipeline_survey(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                          const wn_options *options, compiled_graph **program,
                          const site_list **sites) {
  pipeline pl;
  wn_status st;
  *program = begin(ctx, outs, count, options, &pl, &st);
  if (*program == NULL) return st;
  pl.measures = true;
  DIAG_TRY(&pl.p->diag, st) find_sites(&pl, outs, data, count, sites);
  DIAG_END(&pl.p->diag, st)
  if (st == WN_OK) return st;
  diag_set(&ctx->diag, st, "%s", pl.p->diag.message);
  compiled_release(*program);
  *program = NULL;
  return st;
}

const char *const *wn_plan_names(void) { return schedule_plan_names; }
