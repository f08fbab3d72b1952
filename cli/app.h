/* One run of the program: its options, where errors go, and what the terminal can do. */
#ifndef WINNOW_CLI_APP_H
#define WINNOW_CLI_APP_H

#include "options.h"
#include "report/report.h"

/* A plan and a tile size as wn_options takes them. */
typedef struct plan_spec {
  const char *plan, *wino;
} plan_spec;

typedef struct cli {
  diag diag;
  arena arena;
  options opt;
  bool out_tty, err_tty, progress_shown;
  bool header_done;    /* of CSV */
  bool captured;       /* --trace FILE.gputrace was given to a device */
  uint64_t warned[32]; /* hashes of the warnings that were shown */
  int warned_count;
  int argc; /* of the command, for reports */
  char *const *argv;
  struct output *output;       /* the files of --html and --trace; NULL: none asked for */
  const char *progress_prefix; /* before each progress line; NULL: none */
  const char *detail;          /* lines for below the message of a failure; NULL: none */
  int status;                  /* exit status so far: 0, 1, or 130 after an interrupt */
} cli;

report_style app_style(const cli *app);
/* A line on stderr that the next one replaces; nothing unless stderr is a terminal. */
void app_progress(cli *app, const char *format, ...) WN_PRINTF(2, 3);
void app_progress_clear(cli *app);
/* A wn_warning_fn whose user is the cli: a line on stderr, once however many programs give it. */
void app_warn(void *app, const char *line);
/* JSON, or CSV under its header. */
void app_write_row(cli *app, const report_row *row);
/* Fail with the text and a caret under the character at fault. where: "", or "file:3: ". */
void app_parse_problem(cli *app, const char *where, const char *text, problem *p);
/* What a command works on: a problem, or a model. */
typedef struct subject {
  const char
      *text; /* what it is called: the problem as given, the model's file without its folder */
  const problem *problem; /* NULL: a model */
  const char *model;      /* path; NULL: a problem */
} subject;
/* where: as of app_parse_problem. */
subject app_subject(cli *app, const char *where, const char *text);
/* Every one of the command line and of --batch: problems or models, not both, and flags that go with them. */
typedef VEC(subject) subject_list;
void app_subjects(cli *app, subject_list *list);

/* The one plan of run, conv, bench and explain: --plan, else what $WINO says, else auto. */
plan_spec app_plan(const cli *app);
/* What wn_compile takes. */
void app_compile_options(const cli *app, const plan_spec *spec, wn_options *out);
const char *app_wino(const cli *app); /* --wino, else the tile of $WINO, else NULL */

void command_run(cli *app);
void command_compare(cli *app);
void command_conv(cli *app);
void command_bench(cli *app);
void command_peers(cli *app); /* bench --peers; returns only by failing */
void command_explain(cli *app);
void command_tune(cli *app);
void command_devices(cli *app);
void command_cache(cli *app);

#endif
