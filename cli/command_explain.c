/* `winnow explain`: why a plan is as fast as it is.
 *
 * In: one problem and one plan. Out: sections of text, each under a line "--- name: ...", or with --json the figures.
 * The library gathers and predicts; what is run is run here, like every other measurement of the command line: the
 * plan, and with --measure each choice that it is compared with. The rule for the order: in a file or a pipe, which one
 * reads from its beginning, the summary is first and the long IR last; on a terminal, which stays at its end, the other
 * way round. */
#include <math.h>
#include <stddef.h>

#include "explain/explain.h"
#include "timing.h"
#include "report/columns.h"
#include "backend/registry.h"

typedef struct explaining {
  job *j;
  wn_context *ctx;
  explanation e;
  bool brief;               /* of a model, unless --full or --measure asks for more */
  VEC(const char *) passes; /* kept until the summary is written */
} explaining;

/* --- text ------------------------------------------------------------------------------------- */

/* What a section is called, "--- lower: ...", stands out on a terminal. */
static void write_section(void *user, const char *text) {
  const cli *app = user;
  size_t heading = !strncmp(text, "--- ", 4) && app_style(app).color ? strcspn(text, "\n") : 0;
  if (heading) printf("\033[1;36m%.*s\033[0m", (int)heading, text);
  fputs(text + heading, stdout);
}

static void take_pass(void *user, const char *text) {
  explaining *x = user;
  job *j = x->j;
  if (j->app->opt.json) return;
  if (j->app->out_tty)
    write_section(j->app, text);
  else
    vec_push(&j->arena, &x->passes, arena_strdup(&j->arena, text));
}

static void write_passes(explaining *x) {
  for (size_t i = 0; i < x->passes.len; ++i) write_section(x->j->app, x->passes.data[i]);
  x->passes.len = 0;
}

/* What the file says of itself. */
static void write_model(explaining *x) {
  const network *n = x->j->net;
  arena *a = &x->j->arena;
  str s;
  str_init(&s, a);
  str_printf(&s, "--- model: %s\n%d nodes, opset %lld, %s of weights", n->path, n->info.nodes,
             (long long)n->info.opset, report_bytes(a, (double)n->info.weight_bytes));
  if (n->info.producer != NULL && *n->info.producer != '\0')
    str_printf(&s, ", by %s", n->info.producer);
  str_add(&s, "\n");
  for (int i = 0; i < n->info.inputs; ++i)
    str_printf(&s, "input \"%s\" %s\n", n->input[i].name, net_text(a, &n->input[i]));
  for (int i = 0; i < x->j->out_count; ++i)
    str_printf(&s, "output \"%s\" %s %s\n", x->j->out[i].name, wn_dtype_name(x->j->out[i].dtype),
               arena_shape(a, x->j->out[i].ndim, x->j->out[i].shape));
  str_add(&s, "\n");
  write_section(x->j->app, str_text(&s));
}

static void write_text(explaining *x) {
  if (x->j->net != NULL) write_model(x);
  wn_status st = explain_write(&x->e, !x->j->app->out_tty, write_section, x->j->app);
  if (st != WN_OK) diag_fail(&x->j->app->diag, st, "no memory for the explanation");
  write_passes(x);
}

/* --- figures ---------------------------------------------------------------------------------- */

typedef struct explain_row {
  const char *problem, *version;
  explanation e;
  const char *plan, *placement, *wino, *backend, *isa, *device;
  bool tuned, promise_missed;
  double workspace_bytes, prepared_bytes;
} explain_row;

#define ROW(kind, key, field) {key, kind, offsetof(explain_row, field)}
static const column row_columns[] = {
    ROW(TEXT, "problem", problem),
    ROW(TEXT, "backend", backend),
    ROW(TEXT, "device", device),
    ROW(TEXT, "isa", isa),
    ROW(COUNT, "threads", e.info.threads),
    ROW(TEXT, "version", version),
    ROW(TEXT, "plan", plan),
    ROW(TEXT, "placement", placement),
    ROW(TEXT, "wino", wino),
    ROW(FLAG, "tuned", tuned),
    ROW(TEXT, "recognised", e.recognised),
    ROW(COUNT, "kernels", e.info.kernels),
    ROW(COUNT, "buffers", e.info.buffers),
    ROW(BYTES, "workspace_bytes", workspace_bytes),
    ROW(BYTES, "prepared_bytes", prepared_bytes),
    ROW(REAL, "median_us", e.measured_us),
    ROW(REAL, "predicted_us", e.predicted_us),
    ROW(REAL, "least_us", e.least_us),
    ROW(FLAG, "measured_limits", e.measured_limits),
    ROW(REAL, "rel_l2_err", e.measured_error),
    ROW(REAL, "rel_sum_err", e.measured_sum_error),
    ROW(FLAG, "promise_missed", promise_missed),
    ROW(TEXT, "fallback", e.info.fallback),
};
#undef ROW

#define KERNEL(kind, key, field) {key, kind, offsetof(explained_kernel, field)}
static const column kernel_columns[] = {
    KERNEL(TEXT, "name", info.name),
    KERNEL(TEXT, "stage", info.stage),
    KERNEL(TEXT, "loops", info.loops),
    KERNEL(FLAG, "prepare", prepare),
    KERNEL(REAL, "median_us", measured_us),
    KERNEL(REAL, "predicted_us", predicted_us),
    KERNEL(REAL, "least_us", least_us),
    KERNEL(REAL, "arithmetic_us", arithmetic_us),
    KERNEL(REAL, "traffic_us", traffic_us),
    KERNEL(TEXT, "bound", bound),
    KERNEL(BYTES, "flops", info.flops),
    KERNEL(BYTES, "bytes", info.bytes),
    KERNEL(COUNT, "source_lines", info.source_lines),
    KERNEL(COUNT, "registers", info.registers),
    KERNEL(COUNT, "spills", info.spills),
    KERNEL(COUNT, "site", info.site),
    KERNEL(TEXT, "fallback", info.fallback),
};
#undef KERNEL

#define CHOICE(kind, key, field) {key, kind, offsetof(explained_choice, field)}
static const column choice_columns[] = {
    CHOICE(TEXT, "change", change),
    CHOICE(TEXT, "plan", plan),
    CHOICE(REAL, "median_us", measured_us),
    CHOICE(REAL, "predicted_us", predicted_us),
    CHOICE(BYTES, "workspace_bytes", workspace_bytes),
    CHOICE(TEXT, "same_as", same_as),
    CHOICE(TEXT, "refused", refused),
    CHOICE(TEXT, "fallback", fallback),
};
#undef CHOICE
#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

static void write_json(explaining *x) {
  const explanation *e = &x->e;
  const wn_program_info *i = &e->info;
  const explain_row row = {.problem = x->j->text,
                           .version = wn_version(),
                           .e = *e,
                           .plan = i->plan,
                           .placement = i->placement,
                           .wino = i->wino,
                           .backend = i->backend,
                           .isa = i->isa,
                           .device = i->device,
                           .tuned = i->tuned != 0,
                           .promise_missed = i->promise_missed != 0,
                           .workspace_bytes = (double)i->workspace_bytes,
                           .prepared_bytes = (double)i->prepared_bytes};
  const column_array arrays[] = {
      {"kernel", kernel_columns, COUNT_OF(kernel_columns), e->kernel, (size_t)e->nkernels,
       sizeof *e->kernel},
      {"choice", choice_columns, COUNT_OF(choice_columns), e->choice, (size_t)e->nchoices,
       sizeof *e->choice},
      {"sites", report_site_columns, REPORT_SITE_COLUMNS, e->site, (size_t)e->nsites,
       sizeof *e->site},
  };
  if (!columns_json_with(stdout, row_columns, COUNT_OF(row_columns), &row, arrays,
                         COUNT_OF(arrays)))
    diag_fail(&x->j->app->diag, WN_ERR_NOMEM, "no memory for the report");
}

/* --- measuring -------------------------------------------------------------------------------- */

/* What an interpreter takes says nothing about a plan. */
static bool is_measured(const cli *app) {
  return !app->opt.no_run && !registry_backend(app->opt.backend)->reference;
}

/* A program that was listed before has been measured by then. */
static bool is_new(const explained_choice *c) {
  return c->refused == NULL && c->fallback == NULL && c->same_as == NULL;
}

static void copy_measured(explanation *e, explained_choice *c) {
  if (c->same_as == NULL) return;
  if (!strcmp(c->same_as, EXPLAIN_NOW)) c->measured_us = e->measured_us;
  for (int i = 0; i < e->nchoices; ++i)
    if (e->choice[i].change == c->same_as) c->measured_us = e->choice[i].measured_us;
}

static void measure(explaining *x, const plan_spec *own) {
  job *j = x->j;
  explanation *e = &x->e;
  plan_spec *specs = arena_array(&j->arena, plan_spec, e->nchoices + 1);
  int count = 1;
  specs[0] = *own;
  for (int i = 0; i < e->nchoices && j->app->opt.measure; ++i)
    if (is_new(&e->choice[i])) specs[count++] = (plan_spec){e->choice[i].plan, NULL};
  measure_plans(j, specs, count);
  app_progress_clear(j->app);
  const report_row *row = &j->entries[0].row;
  e->measured_us = row->median_us;
  e->measured_error = row->rel_l2_err;
  e->measured_sum_error = row->rel_sum_err;
  e->info.promise_missed |= row->promise_missed;
  for (int i = 0; i < e->nkernels && i < row->kernel_count; ++i)
    e->kernel[i].measured_us = row->kernel[i].median_us;
  explain_time_sites(e);
  if (!j->app->opt.measure) return;
  for (int i = 0, at = 1; i < e->nchoices; ++i) {
    explained_choice *c = &e->choice[i];
    if (is_new(c))
      c->measured_us = j->entries[at++].row.median_us;
    else
      copy_measured(e, c);
  }
}

/* --- the command ------------------------------------------------------------------------------ */

static void explain_in(explaining *x) {
  job *j = x->j;
  cli *app = j->app;
  plan_spec spec = app_plan(app);
  wn_options o;
  job_options(j, &spec, &o);
  job_graph g = job_build(j, x->ctx);
  wn_status st = explain_open(x->ctx, g.out, g.data, g.count, &o, x->brief,
                              x->brief ? NULL : take_pass, x, &x->e);
  if (st != WN_OK) {
    if (st == WN_ERR_REFUSED) write_passes(x); /* why is to be seen in them */
    diag_fail(&app->diag, st, "%s", wn_message(x->ctx));
  }
  if (is_measured(app) && x->e.here) measure(x, &spec);
  if (app->opt.json)
    write_json(x);
  else
    write_text(x);
}

static void explain_one(job *j, void *user) {
  diag *d = &j->app->diag;
  explaining *x = arena_new(&j->arena, explaining);
  volatile wn_status st;
  (void)user;
  x->j = j;
  x->brief = j->net != NULL && !j->app->opt.full && !j->app->opt.measure;
  x->ctx = job_context(j);
  DIAG_TRY(d, st) { explain_in(x); }
  DIAG_END(d, st)
  const char *why = st == WN_OK ? NULL : arena_strdup(&j->arena, d->message);
  explain_close(&x->e);
  if (st != WN_OK) diag_fail(d, st, "%s", why);
}

void command_explain(cli *app) {
  subject_list subjects = {0};
  app_subjects(app, &subjects);
  /* of a model errors take a second program, which says nothing of this one */
  bool with_reference = is_measured(app) && subjects.data[0].model == NULL;
  job_with(app, &subjects.data[0], with_reference, explain_one, NULL);
}
