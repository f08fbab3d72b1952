/* Measuring the best few, then climbing from the fastest; see tune.h.
 *
 * First all candidates race (race.h). Then the winner meets its neighbours (moves.h) one at a time: a neighbour that is
 * faster by more than timings vary takes its place, until none is left. The same from the fastest of other kinds, since
 * what has the wrong sizes may be slow for no other reason, and then the candidates that did not race, until the time
 * is up. Every program is checked at its first run, before it may race: what wins is right. */
#include "tune/tune.h"

#include <math.h>

#include "tensor/tensor.h"
#include "tune/check.h"
#include "tune/race.h"

static const double SECONDS = 10;
static const double BETTER = 0.975; /* of the best's time: nearer than this is noise */
static const double HOPE = 2.5; /* what is slower than that much of the best is not climbed from */
enum { CANDIDATES = 8, CLIMBS = 4 };

typedef struct entry {
  runner run;
  schedule schedule;
  const char *text;
  check_errors error;
} entry;

typedef struct tuner {
  wn_context *ctx;
  wn_tensor *const *outs;
  void *const *data;
  int count;
  wn_options options;
  const wn_tune_options *how;
  const tune_subject *subject;
  wn_tune_result *result;
  arena arena;
  VEC(entry *) all; /* that were tried, those without a program to no avail */
  entry *best;
  entry *untuned; /* what auto picks by itself, NULL: not tried yet */
  entry *last;    /* that has the program of the schedule tried last */
  check check;
  cooling cooling;
  double limit; /* of the error relative to what was summed; 0: not known yet */
  double start; /* µs */
  bool stopped, late;
  const char *trying;
  wn_status status; /* of the last schedule */
  const char *why;  /* it did not do; NULL: it did */
} tuner;

/* --- one schedule ----------------------------------------------------------------------------- */

/* To be asked between any two things that take time. */
static bool must_stop(void *user) {
  tuner *t = user;
  double seconds = (race_now() - t->start) * 1e-6;
  t->late |= seconds > (t->how->seconds > 0 ? t->how->seconds : SECONDS);
  if (t->how->progress != NULL && !t->stopped) {
    const wn_tune_state state = {.size = sizeof state,
                                 .trying = t->trying,
                                 .best = t->best != NULL ? t->best->text : NULL,
                                 .best_us = t->best != NULL ? t->best->run.us : 0,
                                 .measured = t->result->measured,
                                 .seconds = seconds};
    t->stopped = t->how->progress(t->how->user, &state) != 0;
  }
  return t->stopped || t->late;
}

/* For what is to be done even if it is late. */
static bool is_stopped(void *user) {
  tuner *t = user;
  must_stop(t);
  return t->stopped;
}

static void silent(void *user, const char *line) { (void)user, (void)line; }

static bool compile(tuner *t, entry *e) {
  wn_options o = t->options;
  wn_warning_fn warn = t->ctx->diag.warn;
  o.plan = e->text;
  o.no_cache = 1; /* kernels of what will lose are not worth keeping */
  t->ctx->diag.warn = silent;
  t->status = wn_compile(t->ctx, t->outs, t->data, t->count, &o, &e->run.program);
  t->ctx->diag.warn = warn;
  return t->status == WN_OK;
}

static void retire(tuner *t, entry *e) {
  e->run.out = true;
  if (e == t->untuned || e == t->best) return; /* they meet once more */
  wn_program_destroy(e->run.program);
  e->run.program = NULL;
}

/* The promise that holds on any data, taken at its word: relative to what was summed at most max(1.2e-6, twice direct's
 * error), or 1e-5 with fp32-fast where that is more. */
static double promise(const tuner *t, double direct) {
  double least = t->options.math == WN_MATH_FP32_FAST ? 1e-5 : 1.2e-6;
  return fmax(least, 2 * direct);
}

/* First run, and is it right? The first schedule is direct: it sets the limit for those after it. */
static bool passes(tuner *t, entry *e) {
  if (t->limit == 0)
    check_make(&t->check, &t->arena, t->ctx, t->outs, t->count, check_flops(e->run.program));
  bool checks = t->check.why_not == NULL;
  if (checks) check_poison(&t->check, t->data);
  t->status = wn_run(e->run.program);
  if (t->status != WN_OK) return false;
  e->error = checks ? check_error(&t->check, t->data) : (check_errors){0, 0};
  if (t->limit == 0) t->limit = promise(t, isnan(e->error.summed) ? 0 : e->error.summed);
  return e->error.summed <= t->limit;
}

static entry *find(const tuner *t, const schedule *s) {
  for (size_t i = 0; i < t->all.len; ++i) {
    if (schedule_equal(&t->all.data[i]->schedule, s)) return t->all.data[i];
  }
  return NULL;
}

/* What the schedule left to the compiler is in its placement; is that another one's? */
static bool is_new(tuner *t, entry *e, const char *placement) {
  if (strchr(placement, '{') != NULL)
    return true; /* convolutions of one value that differ: no schedule says it */
  e->text = arena_strdup(&t->arena, placement);
  schedule_parse(&t->ctx->diag, e->text, &e->schedule);
  for (size_t i = 0; i < t->all.len; ++i) {
    entry *other = t->all.data[i];
    if (other == e || !schedule_equal(&other->schedule, &e->schedule)) continue;
    t->last = other;
    return false;
  }
  return true;
}

/* Compiles and runs it for the first time. NULL, or why it cannot race. */
static const char *refused(tuner *t, entry *e) {
  if (!compile(t, e)) return arena_strdup(&t->arena, wn_message(t->ctx));
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(e->run.program, &info);
  if (info.fallback != NULL) return arena_strdup(&t->arena, info.fallback);
  if (info.promise_missed && !e->schedule.direct) return "its error is predicted to be too large";
  if (!is_new(t, e, info.placement)) return "it is the same as another one";
  if (!passes(t, e) && t->status == WN_OK) return "its error is too large";
  if (t->status == WN_OK) t->status = race_enter(&e->run);
  if (t->status == WN_OK) return NULL;
  const char *why = wn_program_message(e->run.program);
  return *why ? arena_strdup(&t->arena, why) : "it could not be run";
}

/* Compiles, checks and runs a schedule that was not tried before; NULL where it cannot be had or does not do. */
static entry *try(tuner *t, const schedule *s) {
  t->last = find(t, s);
  if (t->last != NULL) return NULL;
  entry *e = arena_new(&t->arena, entry);
  str text;
  str_init(&text, &t->arena);
  schedule_print(&text, s);
  e->schedule = *s;
  e->run.cooling = t->cooling.bytes > 0 ? &t->cooling : NULL;
  e->text = t->trying = str_text(&text);
  t->last = e;
  vec_push(&t->arena, &t->all, e);
  if (must_stop(t) && (t->stopped || t->untuned != NULL)) return NULL; /* two are always tried */
  t->why = refused(t, e);
  if (t->why != NULL) {
    retire(t, e);
    return NULL;
  }
  ++t->result->measured;
  return e;
}

/* --- the search ------------------------------------------------------------------------------- */

/* Of one kind: they differ in sizes only, which the climb looks at anyway. */
static bool same_kind(const schedule *a, const schedule *b) {
  bool same = a->direct == b->direct && a->v == b->v && a->nm == b->nm &&
              (a->chunk > 0) == (b->chunk > 0) &&
              memcmp(a->m, b->m, (size_t)a->nm * sizeof a->m[0]) == 0;
  for (int i = 0; i < STAGE_COUNT; ++i) same = same && a->stage[i].space == b->stage[i].space;
  return same;
}

static void take_best(tuner *t) {
  for (size_t i = 0; i < t->all.len; ++i) {
    entry *e = t->all.data[i];
    if (e->run.program == NULL || e->run.us == 0 || e->run.out) continue;
    if (t->best == NULL || e->run.us < t->best->run.us) t->best = e;
  }
}

static void try_text(tuner *t, const char *text) {
  volatile wn_status st;
  volatile bool named = false;
  schedule s;
  DIAG_TRY(&t->ctx->diag, st) named = schedule_parse(&t->ctx->diag, text, &s);
  DIAG_END(&t->ctx->diag, st)
  if (st == WN_OK && named) try(t, &s);
}

static void race_all(tuner *t) {
  runner **r = arena_array(&t->arena, runner *, t->all.len + 1);
  int n = 0;
  take_best(t);
  for (size_t i = 0; i < t->all.len; ++i) {
    if (t->all.data[i]->run.program != NULL) r[n++] = &t->all.data[i]->run;
  }
  t->trying = NULL;
  race(r, n, must_stop, t);
  t->best = NULL;
  take_best(t);
  for (size_t i = 0; i < t->all.len; ++i) {
    if (t->all.data[i]->run.program != NULL && t->all.data[i] != t->best) retire(t, t->all.data[i]);
  }
}

/* The faster of two; the second one has to be faster by more than noise. What the best loses to is the best. */
static entry *meet(tuner *t, entry *a, entry *b) {
  runner *const both[] = {&a->run, &b->run};
  a->run.out = b->run.out = false;
  race(both, 2, must_stop, t);
  bool second = !b->run.out && b->run.us < BETTER * a->run.us;
  entry *won = second ? b : a;
  if (second && a == t->best) t->best = b;
  retire(t, second ? a : b);
  won->run.out = false;
  return won;
}

/* From neighbour to faster neighbour; what it ends at meets the best. */
static void climb(tuner *t, entry *at) {
  for (bool better = true; better && !must_stop(t);) {
    schedule_list moves = {0};
    moves_of(&at->schedule, &t->subject->sizes, &t->arena, &moves);
    better = false;
    for (size_t i = 0; i < moves.len && !better && !must_stop(t); ++i) {
      entry *e = try(t, &moves.data[i]);
      better = e != NULL && meet(t, at, e) == e;
      if (better) at = e;
    }
  }
  if (at != t->best) meet(t, t->best, at);
}

/* A program again for one that was retired. */
static bool revive(tuner *t, entry *e) {
  if (e->run.program != NULL) return true;
  if (!compile(t, e)) return false;
  t->status = wn_run(e->run.program);
  return t->status == WN_OK;
}

/* The fastest of those in the race that are of no kind that was climbed from; NULL where all others are far slower. */
static entry *runner_up(const tuner *t, size_t raced, entry *const *done, int ndone) {
  entry *next = NULL;
  for (size_t i = 0; i < raced; ++i) {
    entry *e = t->all.data[i];
    bool known = e->run.us == 0 || e->run.us > HOPE * t->best->run.us;
    for (int j = 0; j < ndone && !known; ++j) known = same_kind(&e->schedule, &done[j]->schedule);
    if (!known && (next == NULL || e->run.us < next->run.us)) next = e;
  }
  return next;
}

static void climb_all(tuner *t) {
  entry *done[CLIMBS] = {t->best};
  size_t raced = t->all.len;
  climb(t, t->best);
  for (int n = 1; n < CLIMBS && !must_stop(t); ++n) {
    done[n] = runner_up(t, raced, done, n);
    if (done[n] == NULL) break;
    if (revive(t, done[n])) climb(t, done[n]);
  }
  for (int i = 0; i < t->subject->count && !must_stop(t); ++i) { /* what did not race */
    entry *e = try(t, &t->subject->candidate[i].schedule);
    if (e != NULL && meet(t, t->best, e) == e) climb(t, e);
  }
}

/* The pick and what auto would have taken, once more and side by side: the ratio is of equals. */
static void confirm(tuner *t) {
  entry *u = t->untuned;
  if (u == NULL || u->run.program == NULL || t->best == NULL || u == t->best) return;
  runner *const both[] = {&t->best->run, &u->run};
  t->best->run.out = u->run.out = false;
  t->trying = NULL;
  race(both, 2, is_stopped, t);
  if (u->run.us < t->best->run.us) t->best = u;
}

static bool store_is_off(tuner *t) {
  const char *why;
  return store_path(&t->arena, &why) == NULL;
}

static void store_pick(tuner *t) {
  wn_tune_result *r = t->result;
  diag *d = &t->ctx->diag;
  if (t->check.why_not != NULL)
    r->not_stored = t->check.why_not;
  else if (t->stopped && (t->untuned == NULL || t->untuned->run.us == 0))
    r->not_stored = "stopped before the plan that auto picks was measured";
  else if (t->options.no_cache)
    r->not_stored = "no_cache is set";
  if (r->not_stored != NULL) {
    r->not_stored = intern_string(&t->ctx->graph, r->not_stored);
    return;
  }
  store *s = store_open(d, false);
  const stored_plan plan = {t->best->text, t->best->run.us, t->best->error.result};
  volatile wn_status st;
  volatile bool kept = false;
  DIAG_TRY(d, st)
  kept = plans_put(s, &t->arena, t->subject->key, &plan);
  DIAG_END(d, st)
  store_close(s);
  r->stored = st == WN_OK && kept;
  if (!r->stored)
    r->not_stored = store_is_off(t) ? "the cache is off" : "the cache cannot be written";
}

static void try_stored(tuner *t) {
  diag *d = &t->ctx->diag;
  store *s = store_open(d, t->options.no_cache != 0);
  stored_plan plan;
  volatile wn_status st;
  volatile bool found = false;
  DIAG_TRY(d, st) found = plans_get(s, d, &t->arena, t->subject->key, &plan);
  DIAG_END(d, st)
  store_close(s);
  if (st == WN_OK && found) try_text(t, plan.text);
}

/* The best of every kind first, then the rest, both in the order of their predictions. */
static void try_candidates(tuner *t) {
  const candidate *list = t->subject->candidate;
  int most = t->how->candidates > 0 ? t->how->candidates : CANDIDATES, n = t->subject->count;
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < n && most > 0; ++i) {
      bool first = true;
      for (int j = 0; j < i && first; ++j) first = !same_kind(&list[i].schedule, &list[j].schedule);
      if (first != (pass == 0)) continue;
      try(t, &list[i].schedule);
      if (pass == 0 && i == 0) t->untuned = t->last;
      --most;
    }
  }
}

static void search(tuner *t) {
  try_text(t, "direct");
  if (t->why != NULL)
    diag_fail(&t->ctx->diag, t->status != WN_OK ? t->status : WN_ERR_REFUSED,
              "plan direct, which others are measured against: %s", t->why);
  try_candidates(t);
  try_stored(t);
  race_all(t);
  if (t->best != NULL && !t->late) climb_all(t);
  confirm(t);
}

static void report(tuner *t) {
  wn_tune_result *r = t->result;
  r->seconds = (race_now() - t->start) * 1e-6;
  r->stopped = t->stopped;
  if (t->best == NULL) {
    r->not_stored = "stopped before anything was measured";
    return;
  }
  r->plan = intern_string(&t->ctx->graph, t->best->text);
  r->plan_us = t->best->run.us;
  r->error = t->best->error.result;
  r->sum_error = t->best->error.summed;
  r->places = t->check.why_not == NULL ? t->check.places : 0;
  if (t->untuned != NULL && t->untuned->run.us > 0) {
    r->untuned = intern_string(&t->ctx->graph, t->untuned->text);
    r->untuned_us = t->untuned->run.us;
  }
  store_pick(t);
}

wn_status tune_search(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                      const wn_options *options, const wn_tune_options *how,
                      const tune_subject *subject, wn_tune_result *result) {
  tuner t = {.ctx = ctx,
             .outs = outs,
             .data = data,
             .count = count,
             .options = *options,
             .how = how,
             .subject = subject,
             .result = result,
             .start = race_now()};
  diag *d = &ctx->diag;
  race_pin pin;
  arena_init(&t.arena, d);
  race_pin_thread(&pin, subject->threads);
  volatile wn_status st;
  DIAG_TRY(d, st) {
    if (!cooling_make(&t.cooling, ctx, subject->passing, subject->last_cache))
      diag_fail(d, WN_ERR_NOMEM, "out of memory for what passes through the caches between runs");
    search(&t);
    report(&t);
  }
  DIAG_END(d, st)
  race_unpin(&pin);
  cooling_end(&t.cooling);
  if (st != WN_OK) *result = (wn_tune_result){0};
  for (size_t i = 0; i < t.all.len; ++i) wn_program_destroy(t.all.data[i]->run.program);
  arena_release(&t.arena);
  return st;
}
