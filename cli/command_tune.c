/* `winnow tune`, and what BEAM does: the search of wn_tune on problems of the command line.
 *
 * An interrupt is a request: the search ends between two runs, what it found is stored, and the problems after it are
 * left alone. A second one ends the program. */
#include "command_tune.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "interrupt.h"
#include "report/tuning.h"

typedef struct tune_state {
  tuning_row *rows;
  int count, total, stored;
} tune_state;

typedef struct watch {
  job *j;
  double shown, limit; /* seconds */
} watch;

static int progress(void *user, const wn_tune_state *s) {
  watch *w = user;
  if (interrupted()) return 1;
  if (s->seconds - w->shown < 0.1 && s->seconds >= w->shown) return 0;
  w->shown = s->seconds;
  const char *what = s->trying != NULL ? s->trying : "timing";
  if (s->best != NULL)
    app_progress(w->j->app, "%s: %.1f of %g s, %d measured, best %.1f µs, now %s", w->j->text,
                 s->seconds, w->limit, s->measured, s->best_us, what);
  else
    app_progress(w->j->app, "%s: %.1f of %g s, now %s", w->j->text, s->seconds, w->limit, what);
  return 0;
}

static const char *keep(job *j, const char *s) {
  return s != NULL ? arena_strdup(&j->app->arena, s) : NULL;
}

static double known(double v) { return v > 0 ? v : (double)NAN; }

static void fill(job *j, const wn_tune_result *r, tuning_row *row) {
  const options *o = &j->app->opt;
  *row = (tuning_row){.problem = keep(j, j->text),
                      .backend = r->backend,
                      .isa = r->isa,
                      .version = wn_version(),
                      .math = math_name(o->math),
                      .weights = o->variable_weights ? "variable" : "constant",
                      .pick = keep(j, r->plan),
                      .untuned = keep(j, r->untuned),
                      .not_stored = keep(j, r->not_stored),
                      .threads = r->threads,
                      .measured = r->measured,
                      .untuned_us = known(r->untuned_us),
                      .tuned_us = known(r->plan_us),
                      .speedup = known(r->untuned_us) / known(r->plan_us),
                      .rel_l2_err = r->places > 0 ? r->error : (double)NAN,
                      .rel_sum_err = r->places > 0 ? r->sum_error : (double)NAN,
                      .seconds = r->seconds,
                      .stored = r->stored != 0,
                      .stopped = r->stopped != 0};
}

/* ctx owns the texts of the result. */
static void tune(job *j, wn_context *ctx, int candidates, wn_tune_result *r) {
  const options *o = &j->app->opt;
  const plan_spec spec = {NULL, NULL};
  watch w = {j, -1, o->seconds > 0 ? o->seconds : 10};
  wn_options with;
  job_options(j, &spec, &with);
  job_graph g = job_build(j, ctx);
  const wn_tune_options how = WN_TUNE_OPTIONS(.seconds = w.limit, .candidates = candidates,
                                              .progress = progress, .user = &w);
  wn_status st = wn_tune(ctx, g.out, g.data, g.count, &with, &how, r);
  app_progress_clear(j->app);
  if (st == WN_OK) return;
  diag_fail(&j->app->diag, st, "%s", wn_message(ctx));
}

static void tune_one(job *j, void *user) {
  tune_state *state = user;
  cli *app = j->app;
  wn_tune_result r = WN_TUNE_RESULT();
  wn_context *ctx = job_context(j);
  tune(j, ctx, app->opt.candidates, &r);
  tuning_row *row = &state->rows[state->count++];
  fill(j, &r, row);
  state->stored += row->stored;
  if (app->opt.json) {
    if (!tuning_json(stdout, row)) diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for the report");
  } else if (app->opt.csv) {
    if (state->count == 1) tuning_csv_header(stdout);
    tuning_csv(stdout, row);
  }
}

void command_tune(cli *app) {
  static const char bar[] = "##############################";
  subject_list problems = {0};
  tune_state state = {0};
  app_subjects(app, &problems);
  state.total = (int)problems.len;
  state.rows = arena_array(&app->arena, tuning_row, problems.len);
  interrupt_catch();
  for (int i = 0; i < state.total && !interrupted(); ++i) {
    int done = (int)(sizeof bar - 1) * i / state.total;
    app->progress_prefix =
        arena_printf(&app->arena, "[%.*s%*s] ", done, bar, (int)(sizeof bar - 1) - done, "");
    job_with(app, &problems.data[i], false, tune_one, &state);
  }
  app->progress_prefix = NULL;
  if (state.count && !app->opt.json && !app->opt.csv)
    tuning_table(stdout, &app->arena, state.rows, state.count, app_style(app));
  if (!interrupted()) return;
  fflush(stdout);
  fprintf(
      stderr,
      "winnow: interrupted: %d of %d problem%s stored, the last one as far as it was measured\n",
      state.stored, state.total, state.total == 1 ? "" : "s");
  app->status = INTERRUPTED;
}

/* A pick that could not be stored is taken by its name. */
void tune_first(job *j, plan_spec *spec) {
  const options *o = &j->app->opt;
  bool automatic = spec->wino == NULL && spec->plan != NULL && !strcmp(spec->plan, "auto");
  if (o->beam == 0 || !automatic) return;
  wn_tune_result r = WN_TUNE_RESULT();
  wn_context *ctx = job_context(j);
  tune(j, ctx, o->beam, &r);
  if (!r.stored && r.plan != NULL) spec->plan = arena_strdup(&j->arena, r.plan);
}
