/* The compiler, a pass a line: tensor graph -> range IR -> Winograd -> schedule -> nests -> linear IR -> program.
 *
 * In: tensors and options. Out: a program that can be run, or a status and one line. compile() below is the story. */
#include <stdlib.h>

#include "pipeline.h"

#include "import.h"
#include "lower/lower.h"
#include "render/render.h"
#include "rewrite/rewrite.h"
#include "runtime/element.h"
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
  bool dry;              /* nothing is run: there need not be any data */
  forecast *forecast;    /* gets what the cost model says; NULL: nobody asks */
  bool automatic;        /* the plan is ours to choose */
  wino_weights *weights; /* that auto looks at; NULL: none */
} pipeline;

/* --- passes ------------------------------------------------------------------------------------------------------------------ */

static void linearise_all(pipeline *pl) {
  wn_program *p = pl->p;
  bool device = runtime_target(p->rt)->group > 0;
  linear_options lo = {.accumulators = device ? 0 : runtime_target(p->rt)->registers - 4,
                       .no_merge = pl->opt->no_merge != 0,
                       .fma = runtime_target(p->rt)->fma};
  p->kernels = arena_array(&pl->g->arena, linear_kernel *, p->set->kernels.len);
  p->sources = arena_array(&pl->g->arena, const char *, p->set->kernels.len);
  p->nests = arena_array(&pl->g->arena, const char *, p->set->kernels.len);
  for (size_t i = 0; i < p->set->kernels.len; ++i) {
    p->kernels[i] = linearise(pl->g, p->set, &p->set->kernels.data[i], &lo);
    lin_kernel *k = &p->kernels[i]->lin;
    for (size_t j = 0; j < i; ++j) { /* names are unique in a program */
      if (strcmp(p->kernels[j]->lin.name, k->name) == 0)
        k->name = arena_printf(&pl->g->arena, "%sn%zu", k->name, i);
    }
#ifndef NDEBUG
    const char *broken = lin_verify(&pl->g->arena, k);
    if (broken != NULL) {
      str text;
      str_init(&text, &pl->g->arena);
      lin_print(&text, k);
      WN_CHECK(false, "kernel %s: %s\n%s", k->name, broken, str_text(&text));
    }
#endif
  }
}

static void compile_kernels(pipeline *pl) {
  wn_program *p = pl->p;
  size_t n = p->set->kernels.len;
  const lin_kernel **ks = arena_array(&pl->g->arena, const lin_kernel *, n);
  for (size_t i = 0; i < n; ++i) ks[i] = &p->kernels[i]->lin;
  compile_options co = {.max_lines = pl->opt->max_lines, .store = pl->opt->cold ? NULL : p->store};
  if (!pl->opt->plan_only) p->module = module_compile(p->rt, &p->diag, (int)n, ks, &co);
  while (p->nprepare < (int)n && p->set->kernels.data[p->nprepare].prepare) p->nprepare++;
}

static void fill_info(pipeline *pl, const choice *ch, const wino_result *w, double schedule_s,
                      double compile_s) {
  wn_program *p = pl->p;
  wn_program_info *i = &p->info;
  str placement;
  str_init(&placement, &pl->g->arena);
  schedule_print(&placement, &ch->schedule);
  const cpu_target *t = runtime_target(p->rt);
  *i = (wn_program_info){.plan = ch->plan,
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
  for (int s = 0; s < w->nsites; ++s) {
    const wino_site *site = &w->site[s];
    str tile;
    str_init(&tile, &pl->g->arena);
    for (int d = 0; d < site->ndim; ++d) str_printf(&tile, "%s%d", d ? "x" : "", site->m[d]);
    if (s == 0) i->wino = str_text(&tile);
    if (site->error > i->error_bound) i->error_bound = site->error;
    i->promise_missed |= site->promise_missed;
  }
}

/* Tensors to simplified range IR: all that does not depend on the schedule. */
static const uop *front(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  const uop *const *tensors = import_graph(pl->g, count, outs);
  if (!pl->dry) import_check_data(pl->ctx, pl->g, count, tensors, data);
  show_ir(&pl->show, "tensor", count, tensors);
  const uop *root = lower_tensors(pl->g, count, tensors);
  show_ir(&pl->show, "lower", 1, &root);
  root = simplify(pl->g, root);
  show_ir(&pl->show, "simplify", 1, &root);
  return root;
}

/* What constants hold at this moment. Variable weights, and those that are not there yet, are not looked at. */
static bool is_known(void *user, int64_t slot) {
  const tensor_buffer *b = &((const wn_context *)user)->buffers.data[slot];
  return b->constant && b->data != NULL;
}

static double constant_value(void *user, int64_t slot, int64_t index) {
  const tensor_buffer *b = &((const wn_context *)user)->buffers.data[slot];
  return element_read(b->dtype, b->data, index);
}

static void look_at_weights(pipeline *pl) {
  if (pl->opt->variable_weights) return;
  pl->weights = arena_new(&pl->g->arena, wino_weights);
  *pl->weights = (wino_weights){is_known, constant_value, pl->ctx, {0}};
  map_init(&pl->weights->reasons, &pl->g->arena);
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
                         .weights = pl->weights,
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
  schedule_print(&smallest, &ch->schedule);
  bool asked = opt->max_memory > 0;
  diag_fail(&pl->p->diag, asked || opt->plan_only ? WN_ERR_REFUSED : WN_ERR_NOMEM,
            "plan %s needs at least %zu bytes of workspace (%s), %s %zu%s", ch->plan, least,
            str_text(&smallest), asked ? "the limit is" : "there are", memory_limit(pl),
            asked ? " (--max-memory)" : "");
}

static bool is_plan_name(const char *text) {
  const char *const *names = schedule_plan_names;
  while (*names != NULL && strcmp(*names, text) != 0) ++names;
  return *names != NULL;
}

/* What threads need each for themselves does not fit: another plan would give other bits, fewer threads do not. */
static void run_on(pipeline *pl, int threads) {
  const wn_options *opt = pl->opt;
  if (runtime_has_device(pl->p->rt)) return; /* its threads are its own */
  runtime_destroy(pl->p->rt);
  pl->p->rt = NULL;
  pl->p->rt = (pl->dry ? runtime_create_foreign : runtime_create)(&pl->p->diag, opt->backend,
                                                                  opt->isa, threads);
}

/* The schedule that the options ask for, carried out within the limit of memory: a plan that was asked for by name, or not
 * at all, may have smaller blocks, and `auto` may run fewer threads and be direct after all. */
static wino_result choose_and_apply(pipeline *pl, const uop *root, const wn_options *opt,
                                    choice *ch) {
  wn_options with = *opt;
  with.max_memory = memory_limit(pl);
  choice_target target = describe_target(pl, &with);
  wino_result w = choose_rewrite(pl->g, root, &target, ch);
  show_text(&pl->show, "recognise", arena_printf(&pl->g->arena, "%s%s", w.trace, ch->considered));
  show_ir(&pl->show, "winograd", 1, &w.root);
  apply_target at = choice_apply_target(&target);
  fit_limit limit = {.bytes = with.max_memory,
                     .threads = runtime_scratch_blocks(pl->p->rt),
                     .shrink = is_plan_name(ch->plan)};
  size_t least;
  pl->p->set = schedule_fit(pl->g, &w, &ch->schedule, &at, (int)pl->ctx->buffers.len,
                            import_describe(pl->ctx, pl->g), &limit, &least);
  ch->seconds = pl->p->set != NULL ? choose_predict(pl->g, root, &target, &ch->schedule) : 0;
  if (pl->p->set != NULL) return w;
  if (pl->automatic && limit.threads > 1) {
    run_on(pl, limit.threads / 2);
    return choose_and_apply(pl, root, opt, ch);
  }
  if (strcmp(ch->plan, "auto") != 0 || ch->schedule.direct) refuse_memory(pl, ch, least);
  if (pl->automatic)
    run_on(pl, opt->threads); /* scratch of theirs was what there was no room for */
  with.plan = "direct";
  with.max_memory = opt->max_memory;
  w = choose_and_apply(pl, root, &with, ch);
  ch->plan = "auto";
  return w;
}

static bool is_auto(const wn_options *opt) {
  const char *env = getenv("WINO");
  if (opt->wino != NULL) return false;
  return opt->plan != NULL ? strcmp(opt->plan, "auto") == 0 : env == NULL || *env == '\0';
}

/* Was neither a plan nor a tile asked for that is to be taken whether it pays or not? */
static bool is_ours(const wn_options *opt) {
  if (opt->plan != NULL) return strcmp(opt->plan, "auto") == 0;
  return opt->wino != NULL || is_auto(opt);
}

static const char *graph_key(pipeline *pl, const uop *root) {
  size_t n = pl->ctx->buffers.len;
  bool *constant = arena_array(&pl->g->arena, bool, n + 1);
  for (size_t i = 0; i < n; ++i)
    constant[i] = pl->ctx->buffers.data[i].constant && !pl->opt->variable_weights;
  const plans_about about = {
      .constant = constant,
      .stays = pl->weights != NULL ? wino_cancels_all(pl->g, root, pl->weights) : ""};
  return plans_key(pl->g, root, &about, pl->p->rt, pl->opt);
}

/* What was tuned for this graph, if anything was: it must still parse, apply and keep the promise. */
static bool apply_stored(pipeline *pl, const uop *root, choice *ch, wino_result *w) {
  diag *d = &pl->p->diag;
  stored_plan plan;
  if (pl->p->store == NULL || !is_auto(pl->opt) || pl->opt->untuned) return false;
  if (!plans_get(pl->p->store, d, &pl->g->arena, graph_key(pl, root), &plan)) return false;
  wn_options with = *pl->opt;
  with.plan = plan.text;
  volatile wn_status st;
  DIAG_TRY(d, st) *w = choose_and_apply(pl, root, &with, ch);
  DIAG_END(d, st)
  const char *why = st == WN_OK ? NULL : arena_strdup(&pl->g->arena, d->message);
  if (st == WN_ERR_NOMEM) diag_fail(d, st, "%s", why);
  for (int i = 0; st == WN_OK && i < w->nsites; ++i) {
    if (w->site[i].promise_missed) why = "its error is over the promise";
  }
  if (why != NULL) run_on(pl, pl->opt->threads); /* fewer may have been tried */
  if (why != NULL) diag_warn(d, "the tuned plan \"%.200s\" is not used: %s", plan.text, why);
  ch->plan = "auto";
  return why == NULL;
}

/* All that comes before machine code: tensors to kernels of linear IR. */
static void plan(pipeline *pl, wn_tensor *const *outs, void *const *data, int count, choice *ch,
                 wino_result *w) {
  wn_program *p = pl->p;
  const wn_options *opt = pl->opt;
  p->store = store_open(&p->diag, opt->no_cache != 0);
  const uop *root = front(pl, outs, data, count);
  pl->automatic = is_ours(opt);
  if (pl->automatic) look_at_weights(pl);
  p->info.tuned = apply_stored(pl, root, ch, w);
  if (!p->info.tuned) *w = choose_and_apply(pl, root, opt, ch);
  show_nests(&pl->show, p->set);
  linearise_all(pl);
  show_kernels(&pl->show, p);
  if (pl->forecast == NULL) return;
  choice_target target = describe_target(pl, opt);
  *pl->forecast = forecast_program(pl->g, root, &target, &ch->schedule, w, p->set);
}

static void compile(pipeline *pl, wn_tensor *const *outs, void *const *data, int count) {
  wn_program *p = pl->p;
  const wn_options *opt = pl->opt;
  choice ch;
  wino_result w;
  show_check_environment(&p->diag);
  p->rt = (pl->dry ? runtime_create_foreign : runtime_create)(&p->diag, opt->backend, opt->isa,
                                                              opt->threads);
  double start = program_now();
  plan(pl, outs, data, count, &ch, &w);
  double scheduled = program_now();
  compile_kernels(pl);
  double compiled = program_now();
  show_assembly(p);
  fill_info(pl, &ch, &w, scheduled - start, compiled - scheduled);
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
  if (program == NULL || ctx == NULL) return WN_ERR_USAGE;
  *program = NULL;
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
  DIAG_TRY(&p->diag, st) compile(&pl, outs, data, count);
  DIAG_END(&p->diag, st)
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
  p->store = store_open(&p->diag, opt.no_cache != 0);
  const uop *root = front(pl, outs, data, count);
  look_at_weights(pl);
  choice_target target = describe_target(pl, &opt);
  program_close_store(p);
  wino_survey found =
      wino_survey_graph(pl->g, root, &(wino_options){.math = opt.math, .weights = pl->weights});
  candidate *list = arena_array(&pl->g->arena, candidate, CANDIDATES);
  *subject = (tune_subject){.key = graph_key(pl, root),
                            .candidate = list,
                            .count = (int)choose_candidates(pl->g, root, &target, list, CANDIDATES),
                            .sizes.lanes = target.vector_bytes / (int)sizeof(float),
                            .threads = runtime_threads(p->rt)};
  if (found.nconvs > 0) {
    subject->sizes.K = found.conv[0].K;
    subject->sizes.C = found.conv[0].C;
  }
}

wn_status wn_tune(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                  const wn_options *options, const wn_tune_options *tune, wn_tune_result *result) {
  static const wn_tune_options defaults;
  if (ctx == NULL || result == NULL) return WN_ERR_USAGE;
  *result = (wn_tune_result){0};
  pipeline pl;
  tune_subject subject;
  wn_status st;
  wn_program *p = begin(ctx, outs, count, options, &pl, &st);
  if (p == NULL) return st;
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
  wn_program_destroy(p);
  return st;
}

const char *const *wn_plan_names(void) { return schedule_plan_names; }
