/* Four steps. The survey schedules every plan without compiling it: which are refused, and which are the same program.
 * Then the programs are compiled and measured, a batch at a time. Those that matter, the fastest and the front, are
 * compiled and measured again, longer and together. Last, rows that share a program get its figures. See
 * combinations.h. */
#include "every_plan.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "debug.h"
#include "interrupt.h"
#include "timing.h"
#include "report/pareto.h"
#include "report/rows.h"

enum {
  BATCH = 24, /* programs alive at once, the reference not counted */
  FINAL = 16, /* programs that are measured again, with those of the front */
  MOST = 64,  /* alive at once in the final, whose programs should all meet */
};
static const double BATCH_BYTES = 2e8; /* of their arrays, after which a batch is full */
static const double BUDGET_US = 1e5;   /* of samples a program: there are hundreds */

typedef struct survey {
  job *j;
  const plan_spec *specs;
  report_row *rows;
  int count;
  int *programs;   /* the first row of each program that is to be compiled */
  int *program_of; /* by row, its program's first; -1: it has none */
  int program_count;
  int measured, restored; /* programs, those of the final counted again; in an earlier process */
  journal log;
  entry *entries; /* the reference, then the batch */
  bool has_reference;
  double began;         /* seconds */
  int steps, all_steps; /* of what takes long in this process */
  char prefix[96];
} survey;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- progress --------------------------------------------------------------------------------- */

static void show(survey *s, int done, int total, const char *unit) {
  static const char bar[] = "####################";
  int full = (int)sizeof bar - 1, part = total ? (int)((int64_t)full * done / total) : full;
  int n = snprintf(s->prefix, sizeof s->prefix, "[%.*s%*s] %d/%d %s, ", part, bar, full - part, "",
                   done, total, unit);
  double spent = now_s() - s->began;
  if (s->steps && spent > 1 && n > 0 && (size_t)n < sizeof s->prefix) {
    int left = (int)(spent / s->steps * (s->all_steps - s->steps) + 0.5);
    snprintf(s->prefix + n, sizeof s->prefix - (size_t)n, "%d:%02d left, ", left / 60, left % 60);
  }
  s->j->app->progress_prefix = s->prefix;
}

/* --- the reference ---------------------------------------------------------------------------- */

/* Where it is refused there is none, and rows of different batches are as comparable as the machine is steady. */
static void open_reference(survey *s) {
  entry *e = &s->entries[0];
  s->j->entry_count = 1;
  e->spec.plan = "old";
  measure_describe(s->j, e);
  s->has_reference = measure_compile(s->j, e, false);
  if (s->has_reference) measure_settle(s->j, e, BUDGET_US);
}

/* --- the survey ------------------------------------------------------------------------------- */

/* Schedules one plan: its row without anything measured, or refused. */
static void look_at(survey *s, int i) {
  entry *e = &s->entries[1];
  wn_program_info info = WN_PROGRAM_INFO();
  *e = (entry){.spec = s->specs[i]};
  s->j->entry_count = 2;
  measure_describe(s->j, e);
  if (measure_compile(s->j, e, true)) measure_read_info(s->j, e, &info);
  s->rows[i] = e->row;
  s->rows[i].compile_ms = NAN;
  job_close_entry(e);
  s->j->entry_count = 1;
}

static void find_programs(survey *s) {
  s->program_of = arena_array(&s->j->arena, int, s->count + 1);
  s->programs = arena_array(&s->j->arena, int, s->count + 1);
  s->program_count =
      report_find_programs(&s->j->arena, s->rows, s->count, s->program_of, s->programs);
  for (int i = 0; i < s->count; ++i) {
    int first = s->program_of[i];
    if (first < 0 || first == i) continue;
    s->rows[i].same_as =
        s->specs[first].wino != NULL ? s->rows[first].placement : s->rows[first].plan;
  }
}

static bool look_at_all(survey *s) {
  int *all = arena_array(&s->j->arena, int, s->count + 1);
  s->all_steps = s->count;
  for (int i = 0; i < s->count && !interrupted(); ++i) {
    show(s, i, s->count, "scheduled");
    app_progress(s->j->app, "%s", s->j->text);
    look_at(s, i);
    all[i] = i;
    ++s->steps;
  }
  if (interrupted()) return false;
  journal_write(&s->log, &s->j->arena, s->rows, all, s->count);
  return true;
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Rows that are measured one after the other, in batches. */
typedef struct heat {
  const int *rows;
  int count, done, batch;
  double budget_us; /* of samples a program */
  const char *unit;
} heat;

/* Compiles the next programs until the batch is full; returns how many. */
static int open_batch(survey *s, const heat *h) {
  job *j = s->j;
  double bytes = 0;
  int n = 0;
  j->entry_count = 1;
  for (; h->done + n < h->count && n < h->batch && bytes < BATCH_BYTES && !interrupted(); ++n) {
    int row = h->rows[h->done + n];
    entry *e = &s->entries[j->entry_count++];
    *e = (entry){.spec = s->specs[row]};
    measure_describe(j, e);
    show(s, h->done + n, h->count, h->unit);
    app_progress(j->app, "%s: compiling %s", j->text, s->rows[row].placement);
    if (measure_compile(j, e, false)) measure_settle(j, e, h->budget_us);
    if (isfinite(e->row.workspace_bytes)) bytes += e->row.workspace_bytes + e->row.prepared_bytes;
    ++s->steps;
  }
  return n;
}

/* No more samples of the reference than its longest companion has. */
static void time_batch(survey *s, double budget_us) {
  job *j = s->j;
  entry *ref = &s->entries[0];
  int most = 0, own = ref->rounds;
  for (int i = 1; i < j->entry_count; ++i)
    if (s->entries[i].rounds > most) most = s->entries[i].rounds;
  ref->sample_count = s->has_reference && own == 0; /* too slow for more than its first run */
  if (ref->rounds > most) ref->rounds = most;
  measure_in_turns(j, budget_us);
  ref->rounds = own;
  if (!interrupted()) measure_finish(j);
}

/* What compiling costs was measured before where a program comes again: the least. */
static void take_row(survey *s, int at, entry *e) {
  report_row *row = &s->rows[at];
  if (e->row.identity == NULL) { /* not compiled after all */
    e->row.identity = row->identity;
    e->row.placement = row->placement;
  }
  if (s->entries[0].sample_count > 0) e->row.reference_us = s->entries[0].row.min_us;
  if (row->compile_ms < e->row.compile_ms) e->row.compile_ms = row->compile_ms;
  if (row->schedule_ms < e->row.schedule_ms) e->row.schedule_ms = row->schedule_ms;
  *row = e->row;
}

static bool measure_batch(survey *s, heat *h) {
  job *j = s->j;
  int n = open_batch(s, h);
  if (!interrupted()) time_batch(s, h->budget_us);
  s->steps += n;
  if (interrupted()) return false;
  debug_print(j);
  for (int i = 0; i < n; ++i) {
    take_row(s, h->rows[h->done + i], &s->entries[i + 1]);
    job_close_entry(&s->entries[i + 1]);
  }
  j->entry_count = 1;
  journal_write(&s->log, &j->arena, s->rows, &h->rows[h->done], n);
  h->done += n;
  return true;
}

static bool restore_batch(survey *s, heat *h) {
  int left = h->count - h->done, most = left < h->batch ? left : h->batch;
  report_row *rows = arena_array(&s->j->arena, report_row, most + 1);
  int count = journal_read(&s->log, &s->j->arena, rows, most);
  for (int i = 0; i < count; ++i) {
    s->rows[h->rows[h->done + i]] = rows[i];
    if (rows[i].stopped || rows[i].wrong) s->j->app->status = 1;
  }
  h->done += count;
  return count > 0;
}

/* What the journal has of it, then the rest; false: interrupted. */
static bool run_heat(survey *s, heat *h) {
  while (h->done < h->count && restore_batch(s, h)) continue;
  s->restored += h->done;
  s->began = now_s();
  s->steps = 0;
  s->all_steps = 2 * (h->count - h->done);
  while (h->done < h->count && measure_batch(s, h)) continue;
  s->measured += h->done;
  return h->done == h->count;
}

static int by_time(const void *a, const void *b) {
  const report_row *const *x = a, *const *y = b;
  double p = report_relative_time(*x), q = report_relative_time(*y);
  if (p != q) return p < q ? -1 : 1;
  return (*x > *y) - (*x < *y);
}

/* The front, and the fastest programs: what a decision would be about. */
static const int *choose_finalists(survey *s, int *count) {
  arena *a = &s->j->arena;
  const report_row **usable = arena_array(a, const report_row *, s->program_count + 1);
  bool *chosen = arena_array(a, bool, s->count + 1);
  int *finalists = arena_array(a, int, s->program_count + 1), n = 0;
  report_pareto(a, s->rows, s->count);
  for (int i = 0; i < s->program_count; ++i) {
    const report_row *row = &s->rows[s->programs[i]];
    if (report_is_usable(row)) usable[n++] = row;
  }
  if (n) qsort(usable, (size_t)n, sizeof(const report_row *), by_time);
  for (int i = 0; i < n; ++i) chosen[usable[i] - s->rows] = i < FINAL || usable[i]->pareto > 0;
  *count = 0;
  for (int i = 0; i < s->program_count; ++i)
    if (chosen[s->programs[i]]) finalists[(*count)++] = s->programs[i];
  return finalists;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void say_interrupted(survey *s) {
  cli *app = s->j->app;
  app->progress_prefix = NULL;
  app_progress_clear(app);
  app->status = INTERRUPTED;
  const char *then = journal_is_on(&s->log) ? "the same command goes on from there"
                                            : "nothing is kept without the cache";
  if (s->program_count)
    fprintf(stderr, "winnow: interrupted after %d of %d programs of %s; %s\n",
            s->measured < s->program_count ? s->measured : s->program_count, s->program_count,
            s->j->text, then);
  else
    fprintf(stderr, "winnow: interrupted before anything of %s was measured\n", s->j->text);
}

static void say_restored(const survey *s) {
  if (!s->restored) return;
  app_progress_clear(s->j->app);
  fprintf(stderr,
          "winnow: %s: went on after %d measurements of before; --no-cache makes all anew\n",
          s->j->text, s->restored);
}

static bool run(survey *s, journal_list *done) {
  job *j = s->j;
  open_reference(s);
  journal_open(&s->log, j->app, journal_key(j, &s->entries[0].row, s->specs, s->count));
  s->began = now_s();
  bool ok = journal_read(&s->log, &j->arena, s->rows, s->count) == s->count || look_at_all(s);
  if (ok) find_programs(s);
  heat all = {.rows = s->programs,
              .count = s->program_count,
              .batch = BATCH,
              .budget_us = BUDGET_US,
              .unit = "programs"};
  ok = ok && run_heat(s, &all);
  heat final = {.batch = MOST, .budget_us = MEASURE_BUDGET_US, .unit = "of the best again"};
  if (ok) final.rows = choose_finalists(s, &final.count);
  ok = ok && run_heat(s, &final);
  say_restored(s);
  if (ok) {
    for (int i = 0; i < s->count; ++i) {
      int first = s->program_of[i];
      if (first >= 0 && first != i) report_take_figures(&s->rows[i], &s->rows[first]);
    }
    vec_push(&j->app->arena, done, s->log);
    done->data[done->len - 1].store = NULL;
  } else {
    say_interrupted(s);
  }
  return ok;
}

report_row *combinations_measure(job *j, const plan_spec *specs, int count, journal_list *done) {
  survey *s = arena_new(&j->arena, survey);
  volatile bool ok = false;
  *s = (survey){.j = j, .specs = specs, .count = count};
  s->rows = arena_array(&j->arena, report_row, count + 1);
  s->entries = j->entries = arena_array(&j->arena, entry, MOST + 1);
  wn_status status;
  DIAG_TRY(&j->app->diag, status) { ok = run(s, done); }
  DIAG_END(&j->app->diag, status)
  journal_close(&s->log);
  j->app->progress_prefix = NULL;
  char why[sizeof j->app->diag.message];
  memcpy(why, j->app->diag.message, sizeof why);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "%s", why);
  app_progress_clear(j->app);
  return ok ? s->rows : NULL;
}
