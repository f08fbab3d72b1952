/* From plans to rows. Every program is compiled, prepared and checked first; then all are timed in
 * turns, round by round, so that a slow moment of the machine hits all alike. A sample is at least
 * 50 µs of calls. The steps are what combinations.c measures its batches with. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "interrupt.h"
#include "net_errors.h"
#include "timing.h"
#include "output.h"
#include "report/rows.h"
#include "report/site_rows.h"
#include "roofline.h"
#include "backend/registry.h"

#define SAMPLE_US     50.0
#define MOST_ROUNDS   2000
#define LEAST_ROUNDS  5
#define PATIENCE_US   2e5 /* a plan slower than this is timed by its first runs alone */
#define KERNEL_ROUNDS 9
/* An error this many times the promise (or what was predicted for the tile asked for) is no
 * rounding. */
#define WRONG_FACTOR 50

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *v, int count) {
  qsort(v, (size_t)count, sizeof *v, by_value);
  return count % 2 ? v[count / 2] : (v[count / 2 - 1] + v[count / 2]) / 2;
}

static const char *keep(job *j, const char *s) {
  return s != NULL ? arena_strdup(&j->arena, s) : NULL;
}

void measure_describe(job *j, entry *e) {
  report_row *row = &e->row;
  const options *o = &j->app->opt;
  report_row_init(row);
  row->problem = j->text;
  row->version = wn_version();
  row->math = math_name(o->math);
  row->weights = o->variable_weights ? "variable" : "constant";
  row->flush_subnormals = o->flush_subnormals;
  row->backend = o->backend != NULL ? o->backend : registry_default()->name;
  row->plan = e->spec.plan != NULL ? e->spec.plan : "auto";
  row->isa = o->isa;
  if (o->threads) row->threads = o->threads;
  e->shares = -1;
}

static void check(job *j, entry *e, wn_status status) {
  if (status == WN_OK) return;
  const char *why = e->program != NULL ? wn_program_message(e->program) : "";
  diag_fail(&j->app->diag, status, "%s: %s", e->row.plan, *why ? why : wn_message(e->ctx));
}

/* The tile that was asked for, as a program says it: 4x4 for 4 in two dimensions. */
static const char *tile_of(job *j, const entry *e) {
  const char *m = e->spec.wino;
  if (m == NULL || strchr(m, 'x') != NULL || j->problem.nd < 2) return m;
  return j->problem.nd == 2 ? arena_printf(&j->arena, "%sx%s", m, m)
                            : arena_printf(&j->arena, "%sx%sx%s", m, m, m);
}

/* A plan that cannot be is a row with its reason; a mistake of the user's or the machine's ends the
 * command. */
bool measure_compile(job *j, entry *e, bool plan_only) {
  wn_status status = wn_context_create(&e->ctx);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "no memory for a context");
  wn_on_warning(e->ctx, app_warn, j->app);
  wn_options o;
  job_options(j, &e->spec, &o);
  o.plan_only = plan_only;
  const double start = now_us();
  job_graph g = job_build(j, e->ctx);
  status = wn_compile(e->ctx, g.out, g.data, g.count, &o, &e->program);
  e->compile_us = now_us() - start;
  if (status == WN_OK) return true;
  /* among all combinations one that is too large for the machine is no reason to end */
  if (status == WN_ERR_REFUSED || (status == WN_ERR_NOMEM && (o.max_memory || j->app->opt.all))) {
    e->row.refused = keep(j, wn_message(e->ctx));
    e->row.wino = tile_of(j, e);
    return false;
  }
  if (status == WN_ERR_STRICT) {
    e->row.fallback = keep(j, wn_message(e->ctx));
    e->row.stopped = true;
    e->row.wino = tile_of(j, e);
    j->app->status = 1;
    return false;
  }
  diag_fail(&j->app->diag, status, "%s", wn_message(e->ctx));
}

void measure_read_info(job *j, entry *e, wn_program_info *info) {
  *info = WN_PROGRAM_INFO();
  check(j, e, wn_program_get_info(e->program, info));
  if (e->spec.plan == NULL) e->row.plan = NULL; /* the program knows what $WINO made of it */
  report_read_program(&j->arena, &e->row, info);
}

static void read_kernels(job *j, entry *e) {
  check(j, e, report_read_kernels(&j->arena, &e->row, e->program, &e->kernels, &e->sites));
  for (int i = 0; i < e->row.kernel_count; ++i)
    e->kernels[i].source = output_text(j->app, e->kernels[i].source);
}

static void run(job *j, entry *e) { check(j, e, wn_run(e->program)); }

/* What is timed: runs on data that is where the kernels want it, on a device all of them queued before the one wait. */
static double time_launches(job *j, entry *e, int count) {
  double start = now_us();
  for (int i = 0; i < count; ++i) check(j, e, wn_launch(e->program));
  check(j, e, wn_wait(e->program));
  return now_us() - start;
}

/* Relative to what was summed the promise is of any data, relative to the result of independent noise: of the user's
 * data, whose sums may cancel, only the first can be missed, and only by it is a result wrong. */
static void judge(job *j, entry *e, double predicted) {
  report_row *row = &e->row;
  if (j->net != NULL) {
    net_judge(j, e);
    return;
  }
  const wn_math math = j->app->opt.math;
  error_figures figures;
  reference_compare(&j->reference, j->y, &figures);
  row->promise = reference_promise(&j->reference, math);
  row->sum_promise = reference_sum_promise(&j->reference, math);
  row->max_abs_err = figures.max_abs;
  row->rel_l2_err = figures.relative_l2;
  row->rel_sum_err = figures.relative_sum;
  bool missed = row->rel_sum_err > row->sum_promise;
  row->wrong = row->rel_sum_err > WRONG_FACTOR * fmax(row->sum_promise, predicted);
  if (!j->given) {
    missed |= row->rel_l2_err > row->promise;
    row->wrong |= row->rel_l2_err > WRONG_FACTOR * fmax(row->promise, predicted);
  }
  if (missed) row->promise_missed = true;
  if (figures.wrong_special && !j->special) row->wrong = true;
  if (row->wrong) j->app->status = 1;
  if (j->special)
    row->note =
        arena_printf(&j->arena,
                     "the data has %" PRId64 " NaN or infinite values; at %" PRId64 " of %" PRId64
                     " places compared the result is special where the sum is not, or otherwise",
                     j->special, figures.wrong_special, j->reference.count);
}

static void prepare(job *j, entry *e) {
  if (!j->drops_weights) {
    check(j, e, wn_prepare(e->program));
    return;
  }
  wn_status status = wn_model_release_weights(j->net->model, e->program);
  if (status != WN_OK)
    diag_fail(&j->app->diag, status, "%s: %s", j->text, wn_model_message(j->net->model));
}

void measure_settle(job *j, entry *e, double budget_us) {
  wn_program_info info = WN_PROGRAM_INFO();
  measure_read_info(j, e, &info);
  read_kernels(j, e);
  for (int i = 0; i < j->out_count; ++i) /* with NaN, so that what is not written shows */
    memset(j->out[i].data, 0xff, (size_t)j->out[i].count * wn_dtype_size(j->out[i].dtype));
  double start = now_us();
  prepare(j, e);
  e->row.prepare_us = now_us() - start;
  start = now_us();
  run(j, e);
  e->once_us = now_us() - start;
  if (j->net != NULL)
    e->row.result_ms =
        1e3 * j->net->load_s + 1e-3 * (e->compile_us + e->row.prepare_us + e->once_us);
  judge(j, e, info.error_bound);
  if (e->once_us < PATIENCE_US) e->once_us = time_launches(j, e, 1);
  double once = e->once_us > 0.1 ? e->once_us : 0.1;
  e->repeats = once < SAMPLE_US ? (int)ceil(SAMPLE_US / once) : 1;
  double fit = budget_us / (once * e->repeats);
  e->rounds = fit > MOST_ROUNDS ? MOST_ROUNDS : fit < LEAST_ROUNDS ? LEAST_ROUNDS : (int)fit;
  if (once > PATIENCE_US) e->rounds = once > 10 * PATIENCE_US ? 0 : 1;
  if (j->app->opt.runs) e->rounds = j->app->opt.runs;
  e->samples = arena_array(&j->arena, double, e->rounds + 1);
  if (e->rounds == 0) e->samples[e->sample_count++] = e->once_us;
}

static void sample(job *j, entry *e) {
  e->samples[e->sample_count++] = time_launches(j, e, e->repeats) / e->repeats;
}

void measure_in_turns(job *j, double budget_us) {
  int most = 0;
  double shown = 0, start = now_us();
  for (int i = 0; i < j->entry_count; ++i)
    if (j->entries[i].rounds > most) most = j->entries[i].rounds;
  for (int round = 0; round < most && !interrupted(); ++round) {
    /* a machine that holds us up makes calls slow that were quick at first */
    bool late = now_us() - start > 3 * budget_us * j->entry_count;
    if (late && round >= LEAST_ROUNDS && j->app->opt.runs == 0) break;
    if (now_us() - shown > 1e5) {
      app_progress(j->app, "%s: measuring, round %d of %d", j->text, round + 1, most);
      shown = now_us();
    }
    for (int i = 0; i < j->entry_count; ++i)
      if (j->entries[i].program != NULL && round < j->entries[i].rounds) sample(j, &j->entries[i]);
  }
}

static void time_kernels(job *j, entry *e) {
  int all = e->row.kernel_count, count = e->row.kernels;
  if (count == 1)
    for (int i = 0; i < all; ++i)
      if (!e->kernels[i].prepare) e->kernels[i].median_us = e->row.median_us;
  if (count < 2) return;
  int rounds = e->once_us > PATIENCE_US ? 1 : KERNEL_ROUNDS;
  double *us = arena_array(&j->arena, double, count),
         *seen = arena_array(&j->arena, double, count *KERNEL_ROUNDS);
  for (int r = 0; r < rounds; ++r) {
    check(j, e, wn_run_timed(e->program, us));
    for (int k = 0; k < count; ++k) seen[k * KERNEL_ROUNDS + r] = us[k];
  }
  for (int i = 0, k = 0; i < all && k < count; ++i)
    if (!e->kernels[i].prepare)
      e->kernels[i].median_us = median(&seen[k++ * KERNEL_ROUNDS], rounds);
}

static void fill_times(job *j, entry *e) {
  report_row *row = &e->row;
  row->median_us = median(e->samples, e->sample_count);
  row->min_us = e->samples[0]; /* sorted by median() */
  row->gflops_effective = 1e-3 * j->flops / row->median_us;
  row->gflops_executed = row->gflops_executed * 1e-3 / row->median_us;
  time_kernels(j, e);
  report_time_sites(e->sites, row->site_count, row->kernel, row->kernel_count);
}

static void limit_sites(const machine_limits *limits, entry *e) {
  for (int i = 0; i < e->row.site_count; ++i) e->sites[i].least_us = 0;
  for (int k = 0; k < e->row.kernel_count; ++k)
    e->sites[e->kernels[k].site].least_us += roofline_us(limits, &e->kernels[k], 1);
}

/* Shares of what the machine can do, where that was measured. */
static void compare_with_limits(job *j) {
  machine_limits limits;
  bool asked = false, known = false;
  for (int i = 0; i < j->entry_count; ++i) {
    report_row *row = &j->entries[i].row;
    if (j->entries[i].sample_count == 0 || registry_backend(row->backend)->reference) continue;
    if (!asked) known = roofline_limits(j->app, &limits);
    asked = true;
    if (!known) continue;
    row->roofline_share = roofline_us(&limits, row->kernel, row->kernel_count) / row->median_us;
    limit_sites(&limits, &j->entries[i]);
  }
}

void measure_finish(job *j) {
  for (int i = 0; i < j->entry_count; ++i)
    if (j->entries[i].sample_count) fill_times(j, &j->entries[i]);
  compare_with_limits(j);
}

/* The earlier plan that is the same program: `auto` often is. */
static int find_same(const job *j, int index) {
  const entry *e = &j->entries[index];
  wn_program_info mine = WN_PROGRAM_INFO(), other = WN_PROGRAM_INFO();
  if (strcmp(e->row.plan, "auto") || wn_program_get_info(e->program, &mine) != WN_OK) return -1;
  for (int i = 0; i < index; ++i) {
    if (j->entries[i].program == NULL ||
        wn_program_get_info(j->entries[i].program, &other) != WN_OK)
      continue;
    if (!strcmp(mine.identity, other.identity)) return i;
  }
  return -1;
}

/* What was measured of the other; what was asked for and what compiling cost stay. */
static void share(job *j, entry *e) {
  wn_program_info info;
  const report_row *other = &j->entries[e->shares].row;
  measure_read_info(j, e, &info);
  const report_row mine = e->row;
  report_take_figures(&e->row, other);
  e->row.same_as = other->plan;
  e->row.cached = mine.cached;
  e->row.compile_ms = mine.compile_ms;
}

/* One run of each program, as the tools of the device's maker record it. */
static void capture(job *j) {
  const char *path = output_capture(j->app);
  entry *first = NULL;
  for (int i = 0; path != NULL && i < j->entry_count; ++i) {
    entry *e = &j->entries[i];
    if (e->program == NULL || e->shares >= 0) continue;
    if (first == NULL) check(j, e, wn_capture(e->program, path));
    if (first == NULL) first = e;
    run(j, e);
  }
  if (first != NULL) check(j, first, wn_capture(first->program, NULL));
}

void measure_plans(job *j, const plan_spec *specs, int count) {
  j->entries = arena_array(&j->arena, entry, count);
  for (int i = 0; i < count; ++i) {
    entry *e = &j->entries[i];
    e->spec = specs[i];
    ++j->entry_count;
    measure_describe(j, e);
    app_progress(j->app, "%s: compiling %d of %d, %s", j->text, i + 1, count, e->row.plan);
    if (!measure_compile(j, e, false)) continue;
    e->shares = find_same(j, i);
    if (e->shares < 0) measure_settle(j, e, MEASURE_BUDGET_US);
  }
  for (int i = 0; i < count; ++i)
    if (j->entries[i].shares >= 0) j->entries[i].rounds = 0;
  capture(j);
  measure_in_turns(j, MEASURE_BUDGET_US);
  measure_finish(j);
  for (int i = 0; i < count; ++i)
    if (j->entries[i].shares >= 0) share(j, &j->entries[i]);
  app_progress_clear(j->app);
}
