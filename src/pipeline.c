/* The compiler, a pass a line: tensor graph -> range IR -> Winograd -> schedule -> nests -> linear IR -> program.
 *
 * In: tensors and options. Out: a program that can be run, or a status and one line. compile() below is the story. */
#include <stdlib.h>

#include "pipeline.h"

#include "base/fpenv.h"
#include "import.h"
#include "lower/lower.h"
#include "render/render.h"
#include "rewrite/rewrite.h"
#include "runtime/machine_device.h"
#include "schedule/choose.h"
#include "schedule/fit.h"
#include "schedule/forecast.h"
#include "show.h"
#include "tensor/tensor.h"
#include "tune/tune.h"

typedef struct pipeline {
  wn_context *ctx;
  const wn_options *opt;
  wn_program *p;
  graph *g;
  show show;
  bool dry;           /* nothing is run: there need not be any data */
  const char *trace;  /* of the recogniser */
  forecast *forecast; /* gets what the cost model says; NULL: nobody asks */
} pipeline;

/* --- passes ------------------------------------------------------------------------------------------------------------------ */

/* Each kernel of a part once, under a name of its own. */
static void linearise_part(pipeline *pl, const part *of, const linear_options *lo, map *names) {
  wn_program *p = pl->p;
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
  wn_program *p = pl->p;
  arena *a = &pl->g->arena;
  bool device = runtime_target(p->rt)->group > 0;
  linear_options lo = {.accumulators = device ? 0 : runtime_target(p->rt)->registers - 4,
                       .no_merge = pl->opt->no_merge != 0,
                       .fma = runtime_target(p->rt)->fma};
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
  wn_program *p = pl->p;
  const lin_kernel **ks = arena_array(&pl->g->arena, const lin_kernel *, p->ncodes + 1);
  for (int i = 0; i < p->ncodes; ++i) ks[i] = &p->codes[i]->lin;
  compile_options co = {.max_lines = pl->opt->max_lines, .store = pl->opt->cold ? NULL : p->store};
  if (!pl->opt->plan_only) p->module = module_compile(p->rt, &p->diag, p->ncodes, ks, &co);
  int n = (int)p->set->kernels.len;
  while (p->nprepare < n && p->set->kernels.data[p->nprepare].prepare) p->nprepare++;
}

static void fill_info(pipeline *pl, const choice *ch, const fitting *f, double schedule_s,
                      double compile_s) {
  wn_program *p = pl->p;
  wn_program_info *i = &p->info;
  str placement;
  str_init(&placement, &pl->g->arena);
  plan_print(&placement, &ch->plan, ch->sites);
  const cpu_target *t = runtime_target(p->rt);
  *i = (wn_program_info){.plan = ch->name,
                         .placement = str_text(&placement),
                         .wino = "",
                         .backend = runtime_backend(p->rt),
                         .isa = t->name,
                         .device = t->model,
                         .threads = runtime_threads(p->rt),
                         .prepare_kernels = p->nprepare,
                         .workspace_bytes = memory_needed(p->set, runtime_scratch_blocks(p->rt)),
                         .prepared_bytes = p->set->prepared_bytes,
                         .schedule_s = schedule_s,
                         .compile_s = compile_s,
                         .predicted_s = ch->seconds,
                         .tuned = i->tuned,
                         .cached = p->module != NULL && module_cached(p->module),
                         .identity = program_identity(p)};
  i->kernels = (int)p->set->kernels.len - p->nprepare;
  for (size_t a = 0; a < p->set->arrays.len; ++a) {
    array_role role = p->set->arrays.data[a].role;
    i->buffers += role == ROLE_RESULT || role == ROLE_WORK || role == ROLE_PREPARED;
  }
  for (size_t k = 0; k < p->set->kernels.len; ++k) {
    kernel_state s = program_kernel_state(p, (int)k);
    i->source_lines = s.source_lines < 0 ? -1 : i->source_lines + s.source_lines;
    if (i->fallback == NULL) i->fallback = s.fallback;
  }
  for (int v = 0; v < f->sites->nvalues; ++v) {
    for (int s = 0; s < f->of[v]->w.nsites; ++s) {
      const wino_site *site = &f->of[v]->w.site[s];
      str tile;
      str_init(&tile, &pl->g->arena);
      for (int d = 0; d < site->ndim; ++d) str_printf(&tile, "%s%d", d ? "x" : "", site->m[d]);
      if (*i->wino == '\0') i->wino = str_text(&tile);
      if (site->error > i->error_bound) i->error_bound = site->error;
      i->promise_missed |= site->promise_missed;
    }
  }
}

/* Tensors to the sites of simplified range IR: all that does not depend on the plan. */
static const site_list *front(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  const uop *const *tensors = import_graph(pl->g, count, outs);
  if (!pl->dry)
    import_check_data(pl->ctx, pl->g, count, outs, data, pl->opt->variable_weights != 0);
  show_ir(&pl->show, "tensor", count, tensors);
  const uop *root = lower_tensors(pl->g, count, tensors);
  show_ir(&pl->show, "lower", 1, &root);
  root = simplify(pl->g, root);
  show_ir(&pl->show, "simplify", 1, &root);
  site_list *sites = arena_new(&pl->g->arena, site_list);
  *sites = sites_of(pl->g, root, import_describe(pl->ctx, pl->g));
  return sites;
}

static choice_target describe_target(const pipeline *pl, const wn_options *opt) {
  const cpu_target *cpu = runtime_target(pl->p->rt);
  arena *a = &pl->g->arena;
  machine_limits *limits = arena_new(a, machine_limits);
  *limits = machine_limits_of(pl->p->store, a, pl->p->rt);
  return (choice_target){.vector_bytes = cpu->vector_bytes,
                         .registers = cpu->registers,
                         .options = opt,
                         .limits = limits,
                         .threads = runtime_threads(pl->p->rt),
                         .windows = pl->ctx->windows,
                         .group = cpu->group,
                         .items = cpu->items,
                         .local_bytes = cpu->local_bytes,
                         .matrix = cpu->matrix};
}

/* Where no limit was given, the machine's memory is one, or the device's: what does not fit there would not fail but be
 * killed. */
static size_t memory_limit(const pipeline *pl) {
  size_t device = runtime_target(pl->p->rt)->memory;
  if (pl->opt->max_memory > 0) return pl->opt->max_memory;
  return device > 0 ? device : mem_physical();
}

static _Noreturn void refuse_memory(pipeline *pl, const choice *ch, size_t least) {
  const wn_options *opt = pl->opt;
  str smallest;
  str_init(&smallest, &pl->g->arena);
  plan_print(&smallest, &ch->plan, ch->sites);
  bool asked = opt->max_memory > 0;
  diag_fail(&pl->p->diag, asked || opt->plan_only ? WN_ERR_REFUSED : WN_ERR_NOMEM,
            "plan %.200s needs at least %zu bytes of workspace (%.200s), %s %zu%s", ch->name, least,
            str_text(&smallest), asked ? "the limit is" : "there are", memory_limit(pl),
            asked ? " (--max-memory)" : "");
}

/* The plan carried out within the limit of memory. NULL: it was refused, or does not fit; *site then says whose plan that is
 * about, which is one that was chosen and can be another, or unwinds. */
static kernel_set *try_plan(pipeline *pl, fitting *f, choice *ch, int *site) {
  diag *d = &pl->p->diag;
  kernel_set *volatile set = NULL;
  volatile wn_status st;
  f->value = -1;
  DIAG_TRY(d, st) set = schedule_fit(f, ch);
  DIAG_END(d, st)
  if (set != NULL) return set;
  *site = st == WN_OK ? f->holder : fit_refused(f);
  if (*site >= 0 && choose_next(ch, *site, st == WN_OK)) return NULL;
  if (st == WN_OK) refuse_memory(pl, ch, f->least);
  diag_fail(d, st, "%s", arena_strdup(&pl->g->arena, d->message));
}

/* Where nothing is left of some values: they are computed by what reads them. */
static const site_list *inline_sites(pipeline *pl, const site_list *sites, const choice *ch,
                                     const user_buffer *user) {
  bool *inlined = arena_array(&pl->g->arena, bool, sites->n + 1), any = false;
  for (int i = 0; i < sites->n; ++i) any |= inlined[i] = ch->plan.site[i].inlined;
  if (!any) return sites;
  site_list *left = arena_new(&pl->g->arena, site_list);
  *left = sites_inline(pl->g, sites, user, inlined);
  return left;
}

static void show_choice(pipeline *pl, const fitting *f, const choice *ch) {
  str trace;
  str_init(&trace, &pl->g->arena);
  for (int v = 0; v < f->sites->nvalues; ++v) {
    if (f->sites->value[v].alike == v) str_add(&trace, f->of[v]->w.trace);
  }
  pl->trace = str_text(&trace);
  show_text(&pl->show, "recognise", arena_printf(&pl->g->arena, "%s%s", pl->trace, ch->considered));
  for (int v = 0; v < f->sites->nvalues; ++v) {
    const part *p = f->of[v];
    if (p->w.nsites > 0 && p->value == &f->sites->value[v]) show_ir(&pl->show, "winograd", 1, &p->w.root);
  }
}

/* The plan that the options ask for, carried out: a site that was chosen for and is refused, or holds most of what does not
 * fit, gets its next candidate, at last direct. */
static fitting choose_and_apply(pipeline *pl, const site_list *sites, const wn_options *opt,
                                choice *ch) {
  arena *a = &pl->g->arena;
  wn_options *with = arena_copy(a, opt, sizeof *opt);
  with->max_memory = memory_limit(pl);
  choice_target *target = arena_new(a, choice_target);
  fit_limit *limit = arena_new(a, fit_limit);
  *target = describe_target(pl, with);
  *limit = (fit_limit){with->max_memory, runtime_scratch_blocks(pl->p->rt)};
  *ch = choose_plan(pl->g, sites, target);
  fitting f = {.g = pl->g,
               .target = target,
               .limit = limit,
               .nuser = (int)pl->ctx->buffers.len,
               .user = import_describe(pl->ctx, pl->g)};
  f.sites = inline_sites(pl, sites, ch, f.user);
  f.store.of = arena_array(a, part *, f.sites->nvalues + 1);
  f.of = arena_array(a, part *, f.sites->nvalues + 1);
  int site;
  do pl->p->set = try_plan(pl, &f, ch, &site);
  while (pl->p->set == NULL);
  show_choice(pl, &f, ch);
  ch->seconds = choose_predict(pl->g, ch, target, NULL);
  return f;
}

static bool is_auto(const wn_options *opt) {
  const char *env = getenv("WINO");
  if (opt->wino != NULL) return false;
  return opt->plan != NULL ? strcmp(opt->plan, "auto") == 0 : env == NULL || *env == '\0';
}

static const char *graph_key(pipeline *pl, const site_list *sites) {
  size_t n = pl->ctx->buffers.len;
  bool *constant = arena_array(&pl->g->arena, bool, n + 1);
  for (size_t i = 0; i < n; ++i)
    constant[i] = pl->ctx->buffers.data[i].constant && !pl->opt->variable_weights;
  return plans_key(pl->g, sites->root, constant, pl->p->rt, pl->opt);
}

/* What was tuned for this graph, if anything was: it must still parse, apply and keep the promise. */
static bool apply_stored(pipeline *pl, const site_list *sites, choice *ch, fitting *f) {
  diag *d = &pl->p->diag;
  stored_plan plan;
  if (pl->p->store == NULL || !is_auto(pl->opt) || pl->opt->untuned) return false;
  if (!plans_get(pl->p->store, d, &pl->g->arena, graph_key(pl, sites), &plan)) return false;
  wn_options with = *pl->opt;
  with.plan = plan.text;
  volatile wn_status st;
  DIAG_TRY(d, st) *f = choose_and_apply(pl, sites, &with, ch);
  DIAG_END(d, st)
  const char *why = st == WN_OK ? NULL : arena_strdup(&pl->g->arena, d->message);
  if (st == WN_ERR_NOMEM) diag_fail(d, st, "%s", why);
  for (int v = 0; st == WN_OK && v < f->sites->nvalues; ++v) {
    for (int i = 0; i < f->of[v]->w.nsites; ++i) {
      if (f->of[v]->w.site[i].promise_missed) why = "its error is over the promise";
    }
  }
  if (why != NULL) diag_warn(d, "the tuned plan \"%.200s\" is not used: %s", plan.text, why);
  ch->name = "auto";
  return why == NULL;
}

/* All that comes before machine code: tensors to kernels of linear IR. */
static void make_plan(pipeline *pl, wn_tensor *const *outs, void *const *data, int count, choice *ch,
                 fitting *f) {
  wn_program *p = pl->p;
  const wn_options *opt = pl->opt;
  p->store = store_open(&p->diag, opt->no_cache != 0);
  const site_list *sites = front(pl, outs, data, count);
  p->info.tuned = apply_stored(pl, sites, ch, f);
  if (!p->info.tuned) *f = choose_and_apply(pl, sites, opt, ch);
  show_nests(&pl->show, p->set);
  linearise_all(pl, f);
  show_kernels(&pl->show, p);
  if (pl->forecast == NULL) return;
  choice_target target = describe_target(pl, opt);
  *pl->forecast = forecast_program(pl->g, ch, &target, pl->trace, p->set);
}

static void compile(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  wn_program *p = pl->p;
  const wn_options *opt = pl->opt;
  choice ch;
  fitting f;
  show_check_environment(&p->diag);
  p->rt = (pl->dry ? runtime_create_foreign : runtime_create)(&p->diag, opt->backend, opt->isa,
                                                              opt->threads);
  if (opt->flush_subnormals) runtime_flush_subnormals(p->rt);
  double start = program_now();
  make_plan(pl, outs, data, count, &ch, &f);
  double scheduled = program_now();
  compile_kernels(pl);
  double compiled = program_now();
  show_assembly(p);
  fill_info(pl, &ch, &f, scheduled - start, compiled - scheduled);
  if (opt->strict && p->info.fallback != NULL) {
    diag_fail(&p->diag, WN_ERR_STRICT, "a kernel fell back to the interpreter: %s",
              p->info.fallback);
  }
  program_close_store(p);
  if (pl->dry) return;
  import_addresses(pl->ctx, p, count, data);
  program_allocate(p);
}

/* --- the public functions ---------------------------------------------------------------------------------------------------- */

static bool is_math(wn_math m) {
  switch (m) {
    case WN_MATH_FP32:
    case WN_MATH_FP32_FAST:
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

/* A program with nothing in it yet; *status says why where it is NULL. */
static wn_program *begin(wn_context *ctx, wn_tensor *const *outs, int count,
                         const wn_options *options, pipeline *pl, wn_status *status) {
  static const wn_options defaults;
  *status = check_outputs(ctx, outs, count);
  if (*status == WN_OK && options != NULL) *status = check_options(ctx, options);
  if (*status != WN_OK) return NULL;
  wn_program *p = mem_alloc(sizeof *p);
  if (p == NULL) *status = diag_set(&ctx->diag, WN_ERR_NOMEM, "out of memory");
  if (p == NULL) return NULL;
  memset(p, 0, sizeof *p);
  diag_init(&p->diag);
  p->diag.warn = ctx->diag.warn;
  p->diag.warn_user = ctx->diag.warn_user;
  graph_init(&p->graph, &p->diag);
  *pl = (pipeline){.ctx = ctx,
                   .opt = options != NULL ? options : &defaults,
                   .p = p,
                   .g = &p->graph,
                   .show.g = &p->graph};
  return p;
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
  wn_program *p = begin(ctx, outs, count, options, &pl, &st);
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
  fp_leave(&fp);
  if (st != WN_OK) {
    diag_set(&ctx->diag, st, "%s", p->diag.message);
    wn_program_destroy(p);
    return st;
  }
  *program = p;
  return st;
}

wn_status wn_compile(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                     const wn_options *options, wn_program **program) {
  return pipeline_compile(ctx, outs, data, count, options, NULL, program);
}

/* What the tuner has to know of the graph: its key, and schedules in the order of their predicted costs. */
static void survey(pipeline *pl, wn_tensor *const *outs, void *const *data, int count,
                   tune_subject *subject) {
  enum { CANDIDATES = 64 };
  wn_program *p = pl->p;
  wn_options opt = *pl->opt;
  if (!is_auto(&(wn_options){.plan = "auto", .wino = opt.wino}) ||
      (opt.plan != NULL && strcmp(opt.plan, "auto") != 0))
    diag_fail(&p->diag, WN_ERR_USAGE, "wn_tune chooses the plan: options.plan and wino are set");
  p->rt = runtime_create(&p->diag, opt.backend, opt.isa, opt.threads);
  if (opt.flush_subnormals) runtime_flush_subnormals(p->rt);
  p->store = store_open(&p->diag, opt.no_cache != 0);
  const site_list *sites = front(pl, outs, data, count);
  choice_target target = describe_target(pl, &opt);
  program_close_store(p);
  wino_survey found = wino_survey_graph(pl->g, sites->root, &(wino_options){.math = opt.math});
  candidate *list = arena_array(&pl->g->arena, candidate, CANDIDATES);
  *subject = (tune_subject){.key = graph_key(pl, sites),
                            .candidate = list,
                            .count = (int)choose_candidates(pl->g, sites, &target, list, CANDIDATES),
                            .sizes.lanes = target.vector_bytes / (int)sizeof(float),
                            .threads = runtime_threads(p->rt)};
  if (found.nconvs > 0) {
    subject->sizes.K = found.conv[0].K;
    subject->sizes.C = found.conv[0].C;
  }
}

static wn_status check_tune(wn_context *ctx, const wn_tune_options *tune,
                            const wn_tune_result *result) {
  if (result == NULL)
    return diag_set(&ctx->diag, WN_ERR_USAGE, "wn_tune has nowhere to write its result to");
  if (tune != NULL && !(tune->seconds >= 0))
    return diag_set(&ctx->diag, WN_ERR_USAGE, "wn_tune_options.seconds must be above 0 (0: 10)");
  if (tune != NULL && tune->candidates < 0)
    return diag_set(&ctx->diag, WN_ERR_USAGE,
                    "wn_tune_options.candidates must be at least 1 (0: 8), not %d",
                    tune->candidates);
  return WN_OK;
}

wn_status wn_tune(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                  const wn_options *options, const wn_tune_options *tune, wn_tune_result *result) {
  static const wn_tune_options defaults;
  if (result != NULL) *result = (wn_tune_result){0};
  if (ctx == NULL) return WN_ERR_USAGE;
  wn_status st = check_tune(ctx, tune, result);
  if (st != WN_OK) return st;
  pipeline pl;
  tune_subject subject;
  wn_program *p = begin(ctx, outs, count, options, &pl, &st);
  if (p == NULL) return st;
  fenv_t fp;
  fp_enter(&fp);
  DIAG_TRY(&p->diag, st) survey(&pl, outs, data, count, &subject);
  DIAG_END(&p->diag, st)
  if (st == WN_OK) {
    result->backend = runtime_backend(p->rt);
    result->isa = runtime_target(p->rt)->name;
    result->threads = subject.threads;
    st = tune_search(ctx, outs, data, count, pl.opt, tune != NULL ? tune : &defaults, &subject,
                     result);
  } else {
    diag_set(&ctx->diag, st, "%s", p->diag.message);
  }
  fp_leave(&fp);
  wn_program_destroy(p);
  return st;
}

const char *const *wn_plan_names(void) { return schedule_plan_names; }
