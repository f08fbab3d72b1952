/* The names are tried before anything is measured by making and removing the file that a commit
 * would rename, so a run of hours does not end with "permission denied". */
#include "output.h"

#include <math.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>

#include "file.h"
#include "pack.h"
#include "roofline.h"
#include "backend/registry.h"
#include "report/html.h"
#include "report/trace.h"

struct output {
  report_set set;
  bool asked;                  /* for the limits of the machine */
  const report_limits *limits; /* NULL: not measured */
};

/* A word as a shell would need it. */
static void add_word(str *s, const char *word) {
  static const char plain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,.@%/";
  if (*word && !word[strspn(word, plain)]) {
    str_add(s, word);
    return;
  }
  str_add(s, "'");
  for (; *word; ++word)
    if (*word == '\'')
      str_add(s, "'\\''");
    else
      str_addn(s, word, 1);
  str_add(s, "'");
}

/* The command as it was typed, after those variables of the environment that change what it does. */
static const char *command_line(cli *app) {
  static const char *const variables[] = {"WINO", "BEAM", "WINNOW_THREADS", "WINNOW_ISA"};
  str s;
  str_init(&s, &app->arena);
  for (size_t i = 0; i < sizeof variables / sizeof *variables; ++i) {
    const char *value = getenv(variables[i]);
    if (value == NULL || !*value) continue;
    str_printf(&s, "%s=", variables[i]);
    add_word(&s, value);
    str_add(&s, " ");
  }
  str_add(&s, "winnow");
  for (int i = 1; i < app->argc; ++i) {
    str_add(&s, " ");
    add_word(&s, app->argv[i]);
  }
  return str_text(&s);
}

static const char *date_text(arena *a) {
  char text[32];
  time_t now = time(NULL);
  struct tm utc;
  if (now == (time_t)-1 || gmtime_r(&now, &utc) == NULL ||
      !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc))
    return NULL;
  return arena_strdup(a, text);
}

static const char *system_text(arena *a) {
  struct utsname u;
  return uname(&u) < 0 ? NULL : arena_printf(a, "%s %s, %s", u.sysname, u.release, u.machine);
}

static const char *compiler_text(const cli *app, arena *a) {
  const backend *b = registry_backend(app->opt.backend);
  return b->version != NULL ? b->version(a) : b->compiler;
}

/* The backend whose captures end like this file, or NULL. */
static const backend *captures(const char *trace) {
  for (int i = 0; trace != NULL && i < registry_count(); ++i) {
    const backend *b = registry_row(i)->backend;
    size_t n = strlen(trace), ending = b->capture_suffix != NULL ? strlen(b->capture_suffix) : 0;
    if (ending && n > ending && !strcmp(trace + n - ending, b->capture_suffix)) return b;
  }
  return NULL;
}

const char *output_capture(cli *app) {
  if (app->captured || captures(app->opt.trace) == NULL) return NULL;
  app->captured = true;
  return app->opt.trace;
}

void output_open(cli *app) {
  const options *o = &app->opt;
  const backend *of = captures(o->trace);
  const char *trace = of != NULL ? NULL : o->trace;
  if (of != NULL && of != registry_backend(o->backend))
    diag_fail(&app->diag, WN_ERR_USAGE,
              "--trace %s: what ends in %s is written by --backend %s: give that, or a name ending "
              "in .json",
              o->trace, of->capture_suffix, of->name);
  if (o->html == NULL && trace == NULL) return;
  if (o->html != NULL) file_try(&app->arena, o->html);
  if (trace != NULL) file_try(&app->arena, trace);
  arena *a = &app->arena;
  app->output = arena_new(a, struct output);
  report_set *set = &app->output->set;
  report_set_init(set, a);
  set->command = command_name(o->command);
  set->line = report_set_text(set, command_line(app));
  set->date = date_text(a);
  set->version = wn_version();
  set->compiler = compiler_text(app, a);
  set->system = report_set_text(set, system_text(a));
}

const char *output_text(cli *app, const char *text) {
  return app->output != NULL && app->opt.html != NULL ? report_set_text(&app->output->set, text)
                                                      : NULL;
}

/* What the kernels ran on, which is the same for all rows of a command. */
static const report_limits *limits_of(cli *app, const report_row *row) {
  struct output *o = app->output;
  machine_limits m;
  if (!isfinite(row->median_us) || registry_backend(row->backend)->reference) return NULL;
  if (!o->asked && roofline_limits(app, &m)) o->limits = roofline_ceilings(&app->arena, &m);
  o->asked = true;
  return o->limits;
}

void output_add(cli *app, const report_row *row) {
  if (app->output == NULL) return;
  report_row with_limits = *row;
  with_limits.limits = limits_of(app, row);
  report_set_add(&app->output->set, &with_limits);
}

static void write_file(cli *app, const char *path, bool page) {
  file_writer w;
  const report_set *set = &app->output->set;
  if (path == NULL) return;
  volatile bool whole = false;
  wn_status status;
  file_create(&w, &app->arena, path);
  DIAG_TRY(&app->diag, status) {
    whole = page ? report_html(w.stream, set, pack_zlib) : report_trace(w.stream, set);
  }
  DIAG_END(&app->diag, status)
  if (status != WN_OK || !whole) {
    file_abandon(&w);
    diag_fail(&app->diag, WN_ERR_NOMEM, "cannot write %s: no memory for it", path);
  }
  file_commit(&w, &app->diag);
}

void output_write(cli *app) {
  if (app->output == NULL) return;
  app_progress(app, "writing the report");
  write_file(app, app->opt.html, true);
  write_file(app, captures(app->opt.trace) != NULL ? NULL : app->opt.trace, false);
  app_progress_clear(app);
}
