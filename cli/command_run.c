/* `winnow run`: a network on the user's data.
 *
 * In: a model, its inputs and where outputs go. Out: a table of the outputs, the best labels, files. Always holds:
 * every name, shape and file that was given is looked at before anything is compiled, but for a model whose last stage
 * is on the host, whose outputs are known then only. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "debug.h"
#include "net_memory.h"
#include "net_outputs.h"
#include "report/columns.h"
#include "request.h"
#include "timing.h"

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

typedef struct run_row {
  const char *model, *version, *backend, *device, *isa, *plan, *placement, *fallback;
  int threads, nodes, kernels;
  bool cached, tuned;
  double load_ms, schedule_ms, compile_ms,
      first_ms; /* first_ms: of a run, with what is prepared once */
  int repeats;
  double median_us, min_us; /* NAN without --repeat */
  double result_ms;         /* from opening the file to the first result, the inputs left out */
  double workspace_bytes;
  net_memory memory;
} run_row;

#define ROW(kind, key, field) {key, kind, offsetof(run_row, field)}
static const column row_columns[] = {
    ROW(TEXT, "model", model),
    ROW(TEXT, "backend", backend),
    ROW(TEXT, "device", device),
    ROW(TEXT, "isa", isa),
    ROW(COUNT, "threads", threads),
    ROW(TEXT, "version", version),
    ROW(TEXT, "plan", plan),
    ROW(TEXT, "placement", placement),
    ROW(FLAG, "tuned", tuned),
    ROW(FLAG, "cached", cached),
    ROW(TEXT, "fallback", fallback),
    ROW(COUNT, "nodes", nodes),
    ROW(COUNT, "kernels", kernels),
    ROW(BYTES, "weight_bytes", memory.weight_bytes),
    ROW(BYTES, "workspace_bytes", workspace_bytes),
    ROW(BYTES, "prepared_bytes", memory.prepared_bytes),
    ROW(BYTES, "released_bytes", memory.released_bytes),
    ROW(BYTES, "arena_bytes", memory.arena_bytes),
    ROW(BYTES, "arena_least", memory.arena_least),
    ROW(BYTES, "peak_bytes", memory.peak_bytes),
    ROW(BYTES, "own_peak_bytes", memory.own_peak_bytes),
    ROW(REAL, "load_ms", load_ms),
    ROW(REAL, "schedule_ms", schedule_ms),
    ROW(REAL, "compile_ms", compile_ms),
    ROW(REAL, "first_ms", first_ms),
    ROW(REAL, "result_ms", result_ms),
    ROW(COUNT, "repeats", repeats),
    ROW(REAL, "median_us", median_us),
    ROW(REAL, "min_us", min_us),
};
#undef ROW

#define OUTPUT(kind, key, field) {key, kind, offsetof(output_summary, field)}
static const column output_columns[] = {
    OUTPUT(TEXT, "name", name),
    OUTPUT(TEXT, "dtype", dtype),
    OUTPUT(TEXT, "shape", shape),
    OUTPUT(REAL, "min", min),
    OUTPUT(REAL, "max", max),
    OUTPUT(REAL, "mean", mean),
    OUTPUT(BYTES, "special", special_count),
    OUTPUT(REAL, "rel_l2_err", rel_l2_err),
    OUTPUT(REAL, "max_abs_err", max_abs_err),
};
#undef OUTPUT

#define LABEL(kind, key, field) {key, kind, offsetof(best_label, field)}
static const column label_columns[] = {
    LABEL(COUNT, "picture", batch),
    LABEL(COUNT, "number", number),
    LABEL(REAL, "score", score),
    LABEL(TEXT, "label", label),
};
#undef LABEL
#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

/* --- running ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void check(job *j, const entry *e, wn_status status) {
  if (status != WN_OK)
    diag_fail(&j->app->diag, status, "%s: %s", j->text, wn_program_message(e->program));
}

/* Of a model whose last stage is on the host: the program before it, which the model keeps, as the report has it. */
static entry *look_at_program(job *j, entry *e) {
  network *n = j->net;
  wn_status status = wn_model_program(n->model, n->input, n->info.inputs, &e->program);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "%s", wn_model_message(n->model));
  wn_program_info info;
  measure_read_info(j, e, &info);
  wn_model_release(n->model, e->program);
  e->program = NULL;
  return e;
}

static void run_once(job *j, const entry *e) {
  if (net_on_host(j->net))
    job_net_run(j);
  else
    check(j, e, wn_run(e->program));
}

/* Nothing else is compiled from the graph: what only preparing reads of the weights is not kept. */
static void release_weights(job *j, const entry *e) {
  wn_status status = wn_model_release_weights(j->net->model, e->program);
  if (status != WN_OK)
    diag_fail(&j->app->diag, status, "%s: %s", j->text, wn_model_message(j->net->model));
}

static entry *compile(job *j) {
  entry *e = j->entries = arena_new(&j->arena, entry);
  j->entry_count = 1;
  e->spec = app_plan(j->app);
  measure_describe(j, e);
  if (net_on_host(j->net)) return look_at_program(j, e);
  app_progress(j->app, "%s: compiling %d nodes", j->text, j->net->info.nodes);
  if (!measure_compile(j, e, false)) {
    const report_row *row = &e->row;
    if (row->refused != NULL)
      diag_fail(&j->app->diag, WN_ERR_REFUSED, "%s: %s", row->plan, row->refused);
    diag_fail(&j->app->diag, WN_ERR_STRICT, "stopped by --strict: %s", row->fallback);
  }
  wn_program_info info;
  measure_read_info(j, e, &info);
  return e;
}

static void repeat(job *j, const entry *e, run_row *row) {
  int count = j->app->opt.repeat;
  row->repeats = count;
  row->median_us = row->min_us = NAN;
  if (count == 0) return;
  double *us = arena_array(&j->arena, double, count);
  for (int i = 0; i < count; ++i) {
    double start = now_us();
    run_once(j, e);
    us[i] = now_us() - start;
    app_progress(j->app, "%s: run %d of %d", j->text, i + 1, count);
  }
  qsort(us, (size_t)count, sizeof *us, by_value);
  row->min_us = us[0];
  row->median_us = count % 2 ? us[count / 2] : (us[count / 2 - 1] + us[count / 2]) / 2;
}

static run_row run(job *j, entry *e) {
  app_progress(j->app, "%s: running", j->text);
  double start = now_us();
  if (!net_on_host(j->net)) release_weights(j, e);
  run_once(j, e);
  const report_row *r = &e->row;
  run_row row = {.model = j->net->path,
                 .version = r->version,
                 .backend = r->backend,
                 .device = r->device,
                 .isa = r->isa,
                 .plan = r->plan,
                 .placement = r->placement,
                 .fallback = r->fallback,
                 .threads = r->threads,
                 .nodes = j->net->info.nodes,
                 .kernels = r->kernels,
                 .cached = r->cached,
                 .tuned = r->tuned,
                 .load_ms = 1e3 * j->net->load_s,
                 .schedule_ms = r->schedule_ms,
                 .compile_ms = r->compile_ms,
                 .first_ms = 1e-3 * (now_us() - start),
                 .workspace_bytes = r->workspace_bytes};
  row.result_ms = row.load_ms + row.first_ms +
                  (net_on_host(j->net) ? row.schedule_ms + row.compile_ms : 1e-3 * e->compile_us);
  repeat(j, e, &row);
  row.memory = net_memory_read(j, e);
  e->row.median_us = row.repeats > 0 ? row.median_us : 1e3 * row.first_ms; /* for $DEBUG */
  app_progress_clear(j->app);
  return row;
}

/* --- what is said ----------------------------------------------------------------------------- */

static const char *ms_text(arena *a, double ms) { return report_figure(a, ms); }

static void print_times(job *j, const run_row *r) {
  arena *a = &j->arena;
  printf("\n%s: %d nodes, %d kernels, %d thread%s; loaded in %s ms, planned in %s, ", j->text,
         r->nodes, r->kernels, r->threads, r->threads == 1 ? "" : "s", ms_text(a, r->load_ms),
         ms_text(a, r->schedule_ms));
  if (r->cached)
    printf("code from the cache");
  else
    printf("compiled in %s", ms_text(a, r->compile_ms));
  printf(", first run %s ms; first result %s ms after opening the file\n", ms_text(a, r->first_ms),
         ms_text(a, r->result_ms));
  if (r->repeats > 0)
    printf("%d more run%s: median %s ms, least %s ms\n", r->repeats, r->repeats == 1 ? "" : "s",
           ms_text(a, r->median_us * 1e-3), ms_text(a, r->min_us * 1e-3));
  printf("%s\n", net_memory_text(a, &r->memory));
  if (r->fallback != NULL) printf("some of it ran in the interpreter: %s\n", r->fallback);
}

static void print_json(job *j, const run_row *r, const output_summary *outputs,
                       const best_label *labels, int label_count) {
  const column_array arrays[] = {
      {"outputs", output_columns, COUNT_OF(output_columns), outputs, (size_t)j->out_count,
       sizeof *outputs},
      {"labels", label_columns, COUNT_OF(label_columns), labels, (size_t)label_count,
       sizeof *labels},
  };
  if (!columns_json_with(stdout, row_columns, COUNT_OF(row_columns), r, arrays, COUNT_OF(arrays)))
    diag_fail(&j->app->diag, WN_ERR_NOMEM, "no memory for the report");
}

static void run_one(job *j, void *user) {
  cli *app = j->app;
  (void)user;
  if (net_on_host(j->net) && app->opt.exact != NULL)
    diag_fail(&app->diag, WN_ERR_USAGE,
              "--exact: %s ends with an operator that is computed on the host, not in float64",
              j->text);
  outputs_check(j);
  if (j->net->random && !app->opt.json)
    fprintf(
        stderr,
        "winnow: no --input: random numbers from seed %llu, floats in [-1, 1), integers 0 or 1\n",
        (unsigned long long)app->opt.seed);
  entry *e = compile(j);
  run_row row = run(j, e);
  int label_count;
  best_label *labels = outputs_labels(j, &label_count);
  output_summary *outputs = outputs_summarise(j);
  outputs_compare(j, outputs);
  const char *written = outputs_write(j);
  debug_print(j);
  if (app->opt.json) {
    print_json(j, &row, outputs, labels, label_count);
  } else {
    outputs_print(j, outputs);
    outputs_print_labels(j, labels, label_count);
    print_times(j, &row);
    if (*written) printf("written: %s\n", written);
  }
  if (app->opt.on_request) request_serve(j);
}

void command_run(cli *app) {
  subject_list subjects = {0};
  app_subjects(app, &subjects);
  job_with(app, &subjects.data[0], false, run_one, NULL);
}
