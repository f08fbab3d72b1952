/* Three steps. The survey schedules every plan without compiling it: which are refused, and which are the same program.
 * Then the programs are compiled and measured, a batch at a time. Last, rows that share a program get its figures. Compiling
 * is most of the time; the survey is a tenth of it. See combinations.h. */
#include "combinations.h"

#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "interrupt.h"
#include "measure.h"

enum { BATCH = 24 };                   /* programs alive at once, the reference not counted */
static const double BATCH_BYTES = 2e8; /* of their arrays, after which a batch is full */
static const double BUDGET_US = 1e5;   /* of samples a program: there are hundreds */

typedef struct survey {
  job *j;
  const plan_spec *specs;
  report_row *rows;
  int count;
  int *programs; /* the first row of each program that is to be compiled */
  int program_count;
  int restored; /* of these, measured before this process */
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

/* --- what the rows depend on -------------------------------------------------------------------- */

static uint64_t hash_floats(const float *v, int64_t count, uint64_t seed) {
  return v ? hash_bytes(v, (size_t)count * sizeof *v, seed) : seed;
}

/* Everything: data, options, plans, and the program that measures on this machine. */
static const char *make_key(const survey *s) {
  const job *j = s->j;
  const options *o = &j->app->opt;
  const problem *p = &j->problem;
  const report_row *r = &s->entries[0].row;
  uint64_t data = hash_floats(j->x, p->in_count, 1), plans = 1;
  data = hash_floats(j->w, p->weight_count, data);
  data = hash_floats(j->bias, p->oc, data);
  data = hash_floats(j->residual, p->out_count, data);
  for (int i = 0; i < s->count; ++i) {
    plans = hash_bytes(s->specs[i].plan, strlen(s->specs[i].plan), plans);
    const char *wino = s->specs[i].wino ? s->specs[i].wino : "";
    plans = hash_bytes(wino, strlen(wino), plans);
  }
  str key;
  str_init(&key, &j->app->arena);
  str_printf(&key, "compare %s\ndata %016" PRIx64 " plans %016" PRIx64 " %d\n", p->text, data,
             plans, s->count);
  str_printf(&key, "backend %s, %s, isa %s, threads %d, math %s, weights %s\n", r->backend,
             r->device ? r->device : "", r->isa ? r->isa : "", r->threads, r->math, r->weights);
  str_printf(&key, "layout %d, act %d, memory %zu, lines %d, runs %d, options %d%d%d\n", o->nhwc,
             (int)o->act, o->max_memory, o->max_lines, o->runs, o->no_merge, o->strict, o->untuned);
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  struct stat self = {0};
  if (stat("/proc/self/exe", &self) != 0) memset(&self, 0, sizeof self);
  str_printf(&key, "host %s, program %lld %lld\n", host, (long long)self.st_size,
             (long long)self.st_mtime);
  return str_text(&key);
}

/* --- the reference -------------------------------------------------------------------------------- */

static void open_reference(survey *s) {
  static const char *const plans[] = {"old", "direct"};
  entry *e = &s->entries[0];
  s->j->entry_count = 1;
  for (size_t i = 0; i < sizeof plans / sizeof *plans && !s->has_reference; ++i) {
    measure_close(e);
    *e = (entry){.spec = {plans[i], NULL}};
    measure_describe(s->j, e);
    s->has_reference = measure_compile(s->j, e, false);
  }
  if (s->has_reference) measure_settle(s->j, e, BUDGET_US);
}

/* --- the survey ----------------------------------------------------------------------------------- */

/* Schedules one plan: its row without anything measured, or refused. */
static void look_at(survey *s, int i) {
  entry *e = &s->entries[1];
  wn_program_info info;
  *e = (entry){.spec = s->specs[i]};
  s->j->entry_count = 2;
  measure_describe(s->j, e);
  if (measure_compile(s->j, e, true)) measure_read_info(s->j, e, &info);
  s->rows[i] = e->row;
  s->rows[i].compile_ms = NAN;
  measure_close(e);
  s->j->entry_count = 1;
}

static void find_programs(survey *s) {
  map seen;
  map_init(&seen, &s->j->arena);
  s->programs = arena_array(&s->j->arena, int, s->count + 1);
  for (int i = 0; i < s->count; ++i) {
    report_row *row = &s->rows[i];
    uint64_t first, hash;
    if (!row->identity) continue;
    hash = hash_bytes(row->identity, strlen(row->identity), 0);
    if (hash == MAP_NONE) hash = 0;
    if (map_get(&seen, hash, &first) && !strcmp(s->rows[first].identity, row->identity)) {
      row->same_as = s->specs[first].wino ? s->rows[first].placement : s->rows[first].plan;
      continue;
    }
    map_put(&seen, hash, (uint64_t)i);
    s->programs[s->program_count++] = i;
  }
}

static bool look_at_all(survey *s) {
  int *all = arena_array(&s->j->arena, int, s->count + 1);
  s->all_steps = s->count;
  for (int i = 0; i < s->count && !interrupted(); ++i) {
    show(s, i, s->count, "scheduled");
    app_progress(s->j->app, "%s", s->j->problem.text);
    look_at(s, i);
    all[i] = i;
    ++s->steps;
  }
  if (interrupted()) return false;
  journal_write(&s->log, &s->j->arena, s->rows, all, s->count);
  return true;
}

/* --- batches -------------------------------------------------------------------------------------- */

/* Compiles from the from-th program on until the batch is full; returns behind the last. */
static int open_batch(survey *s, int from) {
  job *j = s->j;
  double bytes = 0;
  int at = from;
  j->entry_count = 1;
  for (; at < s->program_count && at - from < BATCH && bytes < BATCH_BYTES && !interrupted();
       ++at) {
    entry *e = &s->entries[j->entry_count++];
    *e = (entry){.spec = s->specs[s->programs[at]]};
    measure_describe(j, e);
    show(s, at, s->program_count, "programs");
    app_progress(j->app, "%s: compiling %s", j->problem.text, s->rows[s->programs[at]].placement);
    if (measure_compile(j, e, false)) measure_settle(j, e, BUDGET_US);
    if (isfinite(e->row.workspace_bytes)) bytes += e->row.workspace_bytes + e->row.prepared_bytes;
    ++s->steps;
  }
  return at;
}

/* No more samples of the reference than its longest companion has. */
static void time_batch(survey *s) {
  job *j = s->j;
  entry *ref = &s->entries[0];
  int most = 0, own = ref->rounds;
  for (int i = 1; i < j->entry_count; ++i)
    if (s->entries[i].rounds > most) most = s->entries[i].rounds;
  ref->sample_count = s->has_reference && own == 0; /* too slow for more than its first run */
  if (ref->rounds > most) ref->rounds = most;
  measure_in_turns(j, BUDGET_US);
  ref->rounds = own;
  if (!interrupted()) measure_finish(j);
}

static void close_batch(survey *s, int from) {
  job *j = s->j;
  bool timed = s->has_reference && s->entries[0].sample_count > 0;
  for (int i = 1; i < j->entry_count; ++i) {
    entry *e = &s->entries[i];
    int at = s->programs[from + i - 1];
    if (!e->row.identity) { /* not compiled after all */
      e->row.identity = s->rows[at].identity;
      e->row.placement = s->rows[at].placement;
    }
    if (timed) e->row.reference_us = s->entries[0].row.min_us;
    s->rows[at] = e->row;
    measure_close(e);
  }
  j->entry_count = 1;
}

static bool measure_batch(survey *s, int *at) {
  job *j = s->j;
  int from = *at, end = open_batch(s, from);
  if (!interrupted()) time_batch(s);
  if (!interrupted()) job_debug(j);
  s->steps += end - from;
  if (interrupted()) return false;
  close_batch(s, from);
  journal_write(&s->log, &j->arena, s->rows, &s->programs[from], end - from);
  *at = end;
  return true;
}

static bool restore_batch(survey *s, int *at) {
  int left = s->program_count - *at, most = left < BATCH ? left : BATCH;
  report_row *rows = arena_array(&s->j->arena, report_row, most + 1);
  int count = journal_read(&s->log, &s->j->arena, rows, most);
  for (int i = 0; i < count; ++i) {
    s->rows[s->programs[*at + i]] = rows[i];
    if (rows[i].stopped || rows[i].wrong) s->j->app->status = 1;
  }
  *at += count;
  return count > 0;
}

/* --- all of it -------------------------------------------------------------------------------------- */

/* What was measured of the program; what was asked for and what scheduling cost stay. */
static void share(survey *s) {
  map by;
  map_init(&by, &s->j->arena);
  for (int i = 0; i < s->program_count; ++i) {
    const report_row *row = &s->rows[s->programs[i]];
    const char *identity = row->identity;
    if (identity) map_put(&by, hash_bytes(identity, strlen(identity), 0), (uint64_t)s->programs[i]);
  }
  for (int i = 0; i < s->count; ++i) {
    report_row mine = s->rows[i];
    uint64_t first;
    if (!mine.same_as || !map_get(&by, hash_bytes(mine.identity, strlen(mine.identity), 0), &first))
      continue;
    s->rows[i] = s->rows[first];
    s->rows[i].plan = mine.plan;
    s->rows[i].placement = mine.placement;
    s->rows[i].schedule_ms = mine.schedule_ms;
    s->rows[i].same_as = mine.same_as;
  }
}

static void say_interrupted(survey *s, int measured) {
  cli *app = s->j->app;
  app->progress_prefix = NULL;
  app_progress_clear(app);
  app->status = INTERRUPTED;
  const char *then = journal_is_on(&s->log) ? "the same command goes on from there"
                                            : "nothing is kept without the cache";
  if (s->program_count)
    fprintf(stderr, "winnow: interrupted after %d of %d programs of %s; %s\n", measured,
            s->program_count, s->j->problem.text, then);
  else
    fprintf(stderr, "winnow: interrupted before anything of %s was measured\n", s->j->problem.text);
}

static bool run(survey *s, journal_list *done) {
  job *j = s->j;
  int at = 0;
  open_reference(s);
  journal_open(&s->log, j->app, make_key(s));
  s->began = now_s();
  bool known = journal_read(&s->log, &j->arena, s->rows, s->count) == s->count,
       ok = known || look_at_all(s);
  if (ok) find_programs(s);
  while (ok && known && at < s->program_count && restore_batch(s, &at)) continue;
  if (at > 0) {
    app_progress_clear(j->app);
    fprintf(stderr,
            "winnow: %s: %d of %d programs were measured before; --no-cache measures all anew\n",
            j->problem.text, at, s->program_count);
  }
  s->began = now_s();
  s->steps = 0;
  s->all_steps = 2 * (s->program_count - at);
  while (ok && at < s->program_count) ok = measure_batch(s, &at);
  if (ok) {
    share(s);
    vec_push(&j->app->arena, done, s->log);
    done->data[done->len - 1].store = NULL;
  } else {
    say_interrupted(s, at);
  }
  return ok;
}

report_row *combinations_measure(job *j, const plan_spec *specs, int count, journal_list *done) {
  survey *s = arena_new(&j->arena, survey);
  volatile bool ok = false;
  *s = (survey){.j = j, .specs = specs, .count = count};
  s->rows = arena_array(&j->arena, report_row, count + 1);
  s->entries = j->entries = arena_array(&j->arena, entry, BATCH + 1);
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
