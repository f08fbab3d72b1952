/* The compiler, a pass a line: tensor graph -> range IR -> Winograd -> schedule -> nests -> linear IR -> program.
 *
 * In: tensors and options. Out: a program that can be run, or a status and one line. compile() below is the story. */
#include <stdlib.h>

#include "pipeline.h"

#include "base/fpenv.h"
#include "base/sized.h"
#include "decide/decide.h"
#include "import.h"
#include "lower/lower.h"
#include "decide/program_sites.h"
#include "render/render.h"
#include "rewrite/rewrite.h"
#include "decide/forecast.h"
#include "plan/joins.h"
#include "program/show.h"
#include "tensor/tensor.h"

typedef struct pipeline {
  wn_context *ctx;
  const wn_options *opt;
  compiled_graph *p;
  graph *g;
  show show;
  bool dry;           /* nothing is run: there need not be any data */
  bool measures;      /* runs at once, on all of the data */
  forecast *forecast; /* gets what the cost model says; NULL: nobody asks */
} pipeline;

/* --- passes ----------------------------------------------------------------------------------- */

/* Each kernel of a part once, under a name of its own. */
static void linearise_part(pipeline *pl, const part *of, const linear_options *lo, map *names) {
  compiled_graph *p = pl->p;
  arena *a = &pl->g->arena;
  for (size_t i = 0; i < of->set->kernels.len; ++i) {
    int code = of->first_code + (int)i;
    p->codes[code] = linearise(pl->g, of->set, &of->set->kernels.data[i], lo);
    lin_kernel *k = &p->codes[code]->lin;
    uint64_t again = (uintptr_t)intern_string(pl->g, k->name), known;
    if (map_get(names, again, &known)) k->name = arena_printf(a, "%sn%d", k->name, code);
    map_put(names, again, 1);
#ifndef NDEBUG
    const char *broken = lin_verify(a, k);
    if (broken != NULL) {
      str text;
      str_init(&text, a);
      lin_print(&text, k);
      WN_CHECK(false, "kernel %s: %s\n%s", k->name, broken, str_text(&text));
    }
#endif
  }
}

/* What a launch has of its own: arrays, and what it is called. */
static linear_kernel *launch_of(pipeline *pl, const kernel_plan *k) {
  arena *a = &pl->g->arena;
  linear_kernel *of = arena_copy(a, pl->p->codes[k->code], sizeof *of);
  int *args = arena_array(a, int, of->args.len + 1);
  for (size_t i = 0; i < of->args.len; ++i) args[i] = kernel_array(k, of->args.data[i]);
  of->args.data = args;
  of->lin.stage = nest_stages(a, k);
  of->lin.once = k->prepare;
  return of;
}

static void linearise_all(pipeline *pl, const fitting *f) {
  compiled_graph *p = pl->p;
  arena *a = &pl->g->arena;
  bool device = runtime_machine(p->rt)->group > 0;
  linear_options lo = {.accumulators = device ? 0 : runtime_machine(p->rt)->registers - 4,
                       .no_merge = pl->opt->no_merge != 0,
                       .fma = runtime_machine(p->rt)->fma};
  size_t n = p->set->kernels.len;
  map names;
  map_init(&names, a);
  p->ncodes = p->set->ncodes;
  p->codes = arena_array(a, linear_kernel *, p->ncodes + 1);
  p->kernels = arena_array(a, linear_kernel *, n + 1);
  p->sources = arena_array(a, const char *, p->ncodes + 1);
  p->nests = arena_array(a, const char *, n + 1);
  for (int v = 0; v < f->sites->nvalues; ++v) {
    const part *of = f->of[v];
    if (of->set->kernels.len > 0 && p->codes[of->first_code] == NULL)
      linearise_part(pl, of, &lo, &names);
  }
  for (size_t i = 0; i < n; ++i) p->kernels[i] = launch_of(pl, &p->set->kernels.data[i]);
}

static void compile_kernels(pipeline *pl) {
  compiled_graph *p = pl->p;
  const lin_kernel **ks = arena_array(&pl->g->arena, const lin_kernel *, p->ncodes + 1);
  for (int i = 0; i < p->ncodes; ++i) ks[i] = &p->codes[i]->lin;
  compile_options co = {.max_lines = pl->opt->max_lines, .store = pl->opt->cold ? NULL : p->store};
  if (!pl->opt->plan_only) p->module = module_compile(p->rt, &p->diag, p->ncodes, ks, &co);
}

static void fill_info(pipeline *pl, const decision *d, double schedule_s, double compile_s) {
  compiled_graph *p = pl->p;
  wn_program_info *i = &p->info;
  str placement;
  str_init(&placement, &pl->g->arena);
  const choice *ch = &d->choice;
  const fitting *f = &d->fit;
  plan_print(&placement, &d->complete, ch->sites);
  const machine *t = runtime_machine(p->rt);
  *i = (wn_program_info){.plan = ch->name,
                         .placement = str_text(&placement),
                         .wino = "",
                         .backend = runtime_backend(p->rt),
                         .isa = t->name,
                         .device = t->model,
                         .threads = runtime_threads(p->rt),
                         .kernels = p->list.count - p->list.prepare,
                         .prepare_kernels = p->list.prepare,
                         .inputs = p->slots.inputs,
                         .constants = p->slots.constants,
                         .outputs = p->slots.outputs,
                         .sites = ch->sites->n,
                         .workspace_bytes = memory_needed(p->set, runtime_scratch_blocks(p->rt)),
                         .prepared_bytes = p->set->prepared_bytes,
                         .schedule_s = schedule_s,
                         .compile_s = compile_s,
                         .predicted_s = ch->seconds,
                         .tuned = i->tuned,
                         .cached = p->module != NULL && module_cached(p->module),
                         .identity = launches_identity(p)};
  for (size_t a = 0; a < p->set->arrays.len; ++a) {
    array_role role = p->set->arrays.data[a].role;
    i->buffers += role == ROLE_RESULT || role == ROLE_WORK || role == ROLE_PREPARED;
  }
  for (size_t k = 0; k < p->set->kernels.len; ++k) {
    kernel_state s = compiled_kernel_state(p, (int)k);
    i->source_lines = s.source_lines < 0 ? -1 : i->source_lines + s.source_lines;
    if (i->fallback == NULL) i->fallback = s.fallback;
  }
  for (int v = 0; v < f->sites->nvalues; ++v) {
    for (int s = 0; s < f->of[v]->w.nsites; ++s) {
      const wino_site *site = &f->of[v]->w.site[s];
      str tile;
      str_init(&tile, &pl->g->arena);
      for (int a = 0; a < site->ndim; ++a) str_printf(&tile, "%s%d", a ? "x" : "", site->m[a]);
      if (*i->wino == '\0') i->wino = str_text(&tile);
      if (site->error > i->error_bound) i->error_bound = site->error;
      i->promise_missed |= site->promise_missed;
    }
  }
}

/* Tensors to the sites of simplified range IR: all that does not depend on the plan. */
static const site_list *front(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  const uop *const *tensors = import_graph(pl->g, count, outs);
  pl->p->slots = import_slots(pl->ctx, pl->g, count, outs, data, pl->opt->variable_weights != 0);
  if (!pl->dry) import_check_data(&pl->p->slots, pl->g, pl->measures);
  show_ir(&pl->show, "tensor", count, tensors);
  const uop *root = lower_tensors(pl->g, count, tensors);
  show_ir(&pl->show, "lower", 1, &root);
  root = simplify(pl->g, root);
  show_ir(&pl->show, "simplify", 1, &root);
  site_list *sites = arena_new(&pl->g->arena, site_list);
  *sites = sites_of(pl->g, root, import_describe(pl->ctx, pl->g));
  joins_mark(pl->g, sites);
  return sites;
}

static void show_decision(pipeline *pl, const decision *d) {
  const fitting *f = &d->fit;
  show_text(&pl->show, "recognise",
            arena_printf(&pl->g->arena, "%s%s", d->trace, d->choice.considered));
  for (int v = 0; v < f->sites->nvalues; ++v) {
    const part *p = f->of[v];
    if (p->w.nsites > 0 && p->value == &f->sites->value[v])
      show_ir(&pl->show, "winograd", 1, &p->w.root);
  }
}

/* All that comes before machine code: tensors to kernels of linear IR. */
static decision make_plan(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  compiled_graph *p = pl->p;
  p->store = store_open(&p->diag, pl->opt->no_cache != 0);
  const site_list *sites = front(pl, outs, data, count);
  decision d = decide(&(deciding){pl->ctx, pl->opt, p, pl->g, pl->dry}, sites);
  p->set = d.set;
  p->info.tuned = d.choice.tuned;
  show_decision(pl, &d);
  show_nests(&pl->show, p->set);
  linearise_all(pl, &d.fit);
  launches_make(p);
  show_kernels(&pl->show, p);
  if (pl->forecast != NULL)
    *pl->forecast = forecast_program(pl->g, &d.choice, d.target, d.trace, p->set);
  return d;
}

static void compile(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  compiled_graph *p = pl->p;
  const wn_options *opt = pl->opt;
  show_check_environment(&p->diag);
  p->rt = (pl->dry ? runtime_create_foreign : runtime_create)(&p->diag, opt->backend, opt->isa,
                                                              opt->threads);
  if (opt->flush_subnormals) runtime_flush_subnormals(p->rt);
  double start = program_now();
  decision d = make_plan(pl, outs, data, count);
  double scheduled = program_now();
  compile_kernels(pl);
  double end = program_now();
  show_assembly(p);
  program_describe_sites(p, &d);
  fill_info(pl, &d, scheduled - start, end - scheduled);
  if (opt->strict && p->info.fallback != NULL) {
    diag_fail(&p->diag, WN_ERR_STRICT, "a kernel fell back to the interpreter: %s",
              p->info.fallback);
  }
  compiled_close_store(p);
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

static void survey(pipeline *pl, wn_tensor *const *outs, void *const *data, int count,
                   const site_list **sites) {
  compiled_graph *p = pl->p;
  p->rt = runtime_create(&p->diag, pl->opt->backend, pl->opt->isa, pl->opt->threads);
  if (pl->opt->flush_subnormals) runtime_flush_subnormals(p->rt);
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
  DIAG_TRY(&pl.p->diag, st) survey(&pl, outs, data, count, sites);
  DIAG_END(&pl.p->diag, st)
  if (st == WN_OK) return st;
  diag_set(&ctx->diag, st, "%s", pl.p->diag.message);
  compiled_release(*program);
  *program = NULL;
  return st;
}

const char *const *wn_plan_names(void) { return schedule_plan_names; }
