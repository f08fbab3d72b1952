/* `winnow compare` and `winnow bench`: which plans, and how their rows are shown. */
#include <inttypes.h>

#include "every_plan.h"
#include "net_errors.h"
#include "net_memory.h"
#include "debug.h"
#include "interrupt.h"
#include "timing.h"
#include "output.h"
#include "report/pareto.h"
#include "command_tune.h"
#include "backend/registry.h"

#define COMBINATIONS 256

typedef VEC(plan_spec) spec_list;

static void add_plan(cli *app, spec_list *list, const char *plan) {
  static const char *const tiles[] = {"2", "3", "4", "6"};
  const char *wino = app_wino(app);
  bool every = wino != NULL && !strcmp(wino, "all"),
       one_tile = app->opt.all && strchr(plan, '=') == NULL;
  if (every && strcmp(plan, "direct") && !one_tile) {
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; ++i)
      vec_push(&app->arena, list, ((plan_spec){plan, tiles[i]}));
    return;
  }
  vec_push(&app->arena, list, ((plan_spec){plan, every ? NULL : wino}));
}

typedef struct comparison {
  spec_list plans;
  journal_list done;
} comparison;

/* x=..,g=..,m=..,o=.. over all four placements, the last fastest. */
static void add_combinations(cli *app, spec_list *list) {
  static const char *const places[] = {"inline", "reg", "local", "global"};
  for (int i = 0; i < COMBINATIONS; ++i)
    add_plan(app, list,
             arena_printf(&app->arena, "x=%s,g=%s,m=%s,o=%s", places[i >> 6 & 3],
                          places[i >> 4 & 3], places[i >> 2 & 3], places[i & 3]));
}

static void choose_plans(cli *app, spec_list *list) {
  const options *o = &app->opt;
  for (size_t i = 0; i < o->plans.len; ++i) add_plan(app, list, o->plans.data[i]);
  if (o->all) {
    add_combinations(app, list);
  } else if (!o->plans.len && o->by_layer) {
    add_plan(app, list, "auto");
  } else if (!o->plans.len) {
    for (const char *const *name = wn_plan_names(); *name != NULL; ++name)
      add_plan(app, list, *name);
  }
}

static report_row *rows_of(job *j) {
  report_row *rows = arena_array(&j->arena, report_row, j->entry_count + 1);
  for (int i = 0; i < j->entry_count; ++i) rows[i] = j->entries[i].row;
  return rows;
}

/* A row that was run, or NULL. */
static const report_row *find_run(const report_row *rows, int count) {
  for (int i = 0; i < count; ++i)
    if (rows[i].refused == NULL && !rows[i].stopped) return &rows[i];
  return NULL;
}

static void print_title(job *j, const report_row *rows, int count, report_style style) {
  const report_row *ran = find_run(rows, count), *some = ran != NULL ? ran : &rows[0];
  printf("%s%s%s  %s", style.color ? "\033[1m" : "", j->text, style.color ? "\033[0m" : "",
         some->backend);
  if (some->isa != NULL && *some->isa) printf(" %s", some->isa);
  const char *what = registry_backend(some->backend)->in_place ? "thread" : "compute unit";
  if (some->threads > 0) printf(", %d %s%s", some->threads, what, some->threads == 1 ? "" : "s");
  printf(", weights %s, %s", some->weights, some->math);
  if (some->device != NULL && *some->device) printf(", %s", some->device);
  puts(ran != NULL ? "" : ": nothing was run");
}

static void print_summary(job *j, const report_row *rows, int count) {
  int refused = 0, stopped = 0, fallback = 0, wrong = 0, missed = 0, shared = 0;
  for (int i = 0; i < count; ++i) {
    refused += rows[i].refused != NULL;
    stopped += rows[i].stopped;
    fallback += rows[i].fallback != NULL && !rows[i].stopped;
    wrong += rows[i].wrong;
    missed += rows[i].promise_missed;
    shared += rows[i].same_as != NULL;
  }
  printf("%d plan%s", count, count == 1 ? "" : "s");
  if (shared) printf(", %d the same program as another", shared);
  if (refused) printf(", %d refused", refused);
  if (stopped) printf(", %d stopped by --strict", stopped);
  if (fallback) printf(", %d in the interpreter", fallback);
  if (missed) printf(", %d outside the error promise", missed);
  if (refused + stopped < count) printf(", %d wrong", wrong);
  if (refused + stopped < count && j->net == NULL)
    printf("; errors at %" PRId64 " of %" PRId64 " places", j->reference.count, j->out[0].count);
  else if (refused + stopped < count && j->out_count > 0 && j->out[0].exact != NULL)
    printf("; errors of %d output%s against float64", j->out_count, j->out_count == 1 ? "" : "s");
  putchar('\n');
}

static report_row *measure(job *j, comparison *c) {
  int count = (int)c->plans.len;
  if (j->app->opt.all) {
    report_row *rows = combinations_measure(j, c->plans.data, count, &c->done);
    if (rows != NULL) report_pareto(&j->arena, rows, count);
    return rows;
  }
  measure_plans(j, c->plans.data, count);
  debug_print(j);
  return rows_of(j);
}

static void compare_one(job *j, void *user) {
  comparison *c = user;
  cli *app = j->app;
  int count = (int)c->plans.len;
  if (app->opt.by_layer) {
    net_print_layers(j, c->plans.data, count);
    return;
  }
  report_row *rows = measure(j, c);
  if (rows == NULL) return;
  for (int i = 0; i < count; ++i) output_add(app, &rows[i]);
  if (app->opt.json || app->opt.csv) {
    for (int i = 0; i < count; ++i) app_write_row(app, &rows[i]);
    return;
  }
  report_style style = app_style(app);
  print_title(j, rows, count, style);
  if (app->opt.all) {
    report_combinations(stdout, &j->arena, rows, count, style);
  } else {
    report_comparison(stdout, &j->arena, rows, count, style);
    if (j->net != NULL) { /* which has kernels by the hundred */
      report_site_times(stdout, &j->arena, rows, count, style);
      net_print_outputs(j);
    } else {
      if (find_run(rows, count) != NULL) putchar('\n');
      if (find_run(rows, count) != NULL) report_kernels(stdout, &j->arena, rows, count, style);
      report_sites(stdout, &j->arena, rows, count, style);
    }
  }
  print_summary(j, rows, count);
  fflush(stdout);
}

/* What was measured is no longer needed once it is on its way to whoever reads it. */
static void drop_journals(cli *app, journal_list *done) {
  if (fflush(stdout) || ferror(stdout)) return;
  for (size_t i = 0; i < done->len; ++i) {
    journal *log = &done->data[i];
    log->store = store_open(&app->diag, app->opt.no_cache);
    journal_drop(log);
    journal_close(log);
  }
}

void command_compare(cli *app) {
  subject_list problems = {0};
  comparison c = {0};
  app_subjects(app, &problems);
  choose_plans(app, &c.plans);
  output_open(app);
  if (app->opt.all) interrupt_catch();
  size_t done = 0;
  for (; done < problems.len && !interrupted(); ++done) {
    if (done && !app->opt.json && !app->opt.csv) putchar('\n');
    job_with(app, &problems.data[done], !app->opt.by_layer, compare_one, &c);
  }
  if (done < problems.len && app->status != INTERRUPTED) {
    fprintf(stderr, "winnow: interrupted after %zu of %zu problems\n", done, problems.len);
    app->status = INTERRUPTED;
  }
  if (app->status == INTERRUPTED) return;
  output_write(app);
  drop_journals(app, &c.done);
}

typedef struct bench_state {
  report_row *rows;
  const char **more; /* of each a line or two below the table, of models */
  int count, total;
} bench_state;

/* What there is of memory, into the row, and in words; how long the first result took. */
static const char *look_at_memory(job *j) {
  const entry *e = &j->entries[0];
  report_row *row = &j->entries[0].row;
  if (j->net == NULL || e->program == NULL) return NULL;
  const net_memory m = net_memory_read(j, e);
  row->arena_bytes = m.arena_bytes;
  row->arena_least = m.arena_least;
  row->weight_bytes = m.weight_bytes;
  row->released_bytes = m.released_bytes;
  row->own_peak_bytes = m.own_peak_bytes;
  arena *a = &j->app->arena;
  return arena_printf(a, "%s: first result %s ms after opening the file, code %s\n%s", j->text,
                      report_figure(a, row->result_ms),
                      row->cached
                          ? "from the cache"
                          : arena_printf(a, "compiled in %s ms", report_figure(a, row->compile_ms)),
                      net_memory_text(a, &m));
}

static void bench_one(job *j, void *user) {
  bench_state *state = user;
  cli *app = j->app;
  plan_spec spec = app_plan(app);
  tune_first(j, &spec);
  j->drops_weights = j->net != NULL;
  net_memory_restart(); /* of what comes, and not of the float64 reference */
  measure_plans(j, &spec, 1);
  debug_print(j);
  report_row *row = &j->entries[0].row;
  const char *more = look_at_memory(j);
  output_add(app, row);
  if (app->opt.json || app->opt.csv) {
    app_write_row(app, row);
    return;
  }
  state->more[state->count] = more;
  report_row *kept = &state->rows[state->count++];
  *kept = *row; /* its texts die with the job; those that the table shows are kept */
  const char **texts[] = {&kept->problem,  &kept->plan,    &kept->wino,
                          &kept->fallback, &kept->refused, &kept->note};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i)
    if (*texts[i] != NULL) *texts[i] = arena_strdup(&app->arena, *texts[i]);
  kept->kernel = NULL;
  kept->kernel_count = 0;
  kept->site = NULL;
  kept->site_count = 0;
}

void command_bench(cli *app) {
  static const char bar[] = "##############################";
  subject_list problems = {0};
  bench_state state = {0};
  if (app->opt.peers != NULL) command_peers(app);
  app_subjects(app, &problems);
  output_open(app);
  state.total = (int)problems.len;
  state.rows = arena_array(&app->arena, report_row, problems.len);
  state.more = arena_array(&app->arena, const char *, problems.len);
  for (int i = 0; i < state.total; ++i) {
    int done = (int)(sizeof bar - 1) * i / state.total;
    app->progress_prefix =
        arena_printf(&app->arena, "[%.*s%*s] ", done, bar, (int)(sizeof bar - 1) - done, "");
    job_with(app, &problems.data[i], true, bench_one, &state);
  }
  app->progress_prefix = NULL;
  if (state.count) report_bench(stdout, &app->arena, state.rows, state.count, app_style(app));
  for (int i = 0; i < state.count; ++i)
    if (state.more[i] != NULL) printf("\n%s\n", state.more[i]);
  output_write(app);
}
