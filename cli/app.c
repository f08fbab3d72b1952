/* What all commands share: problems and models from words and files, progress, rows for programs. */
#include "app.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/map.h"
#include "base/text.h"
#include "file.h"

report_style app_style(const cli *app) {
  report_style style = {.color = app->out_tty && !app->opt.no_color, .width = 0};
  struct winsize size;
  if (app->out_tty && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
    style.width = size.ws_col;
  return style;
}

void app_progress(cli *app, const char *format, ...) {
  if (!app->err_tty) return;
  char line[160];
  va_list args;
  va_start(args, format);
  text_vformat(line, sizeof line, format, args);
  va_end(args);
  struct winsize size;
  int width = !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 1 ? size.ws_col - 1 : 79;
  const char *prefix = app->progress_prefix != NULL ? app->progress_prefix : "";
  int left = width - (int)strlen(prefix);
  fprintf(stderr, "\r\033[K%s%.*s", left > 10 ? prefix : "", left > 10 ? left : width, line);
  fflush(stderr);
  app->progress_shown = true;
}

void app_progress_clear(cli *app) {
  if (app->progress_shown) fputs("\r\033[K", stderr);
  app->progress_shown = false;
}

void app_warn(void *user, const char *line) {
  cli *app = user;
  enum { MOST = sizeof app->warned / sizeof *app->warned };
  uint64_t hash = hash_bytes(line, strlen(line), 0);
  for (int i = 0; i < app->warned_count; ++i)
    if (app->warned[i] == hash) return;
  if (app->warned_count < MOST) app->warned[app->warned_count++] = hash;
  app_progress_clear(app);
  fprintf(stderr, "winnow: warning: %s\n", line);
}

void app_write_row(cli *app, const report_row *row) {
  if (app->opt.json) {
    if (!report_json(stdout, row)) diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for the report");
    return;
  }
  if (!app->header_done) report_csv_header(stdout);
  app->header_done = true;
  report_csv(stdout, row);
}

void app_parse_problem(cli *app, const char *where, const char *text, problem *p) {
  problem_error e;
  if (problem_parse(text, p, &e)) return;
  size_t n = strcspn(text, "\r\n"), from = e.at > 60 ? e.at - 60 : 0;
  char shown[101];
  size_t m = n > from ? n - from : 0;
  if (m > sizeof shown - 1) m = sizeof shown - 1;
  for (size_t i = 0; i < m; ++i) {
    unsigned char c = (unsigned char)text[from + i];
    shown[i] = c < ' ' || c > '~' ? '?' : (char)c;
  }
  shown[m] = 0;
  app->detail = arena_printf(&app->arena, "  %s\n  %*s^\n", shown, (int)(e.at - from), "");
  diag_fail(&app->diag, WN_ERR_USAGE, "%sbad problem: %s", where, e.message);
}

const char *app_wino(const cli *app) {
  return app->opt.wino != NULL ? app->opt.wino : app->opt.env_wino;
}

plan_spec app_plan(const cli *app) {
  const options *o = &app->opt;
  if (o->plan == NULL && o->wino == NULL && o->wino_env) return (plan_spec){NULL, NULL};
  return (plan_spec){o->plan != NULL ? o->plan : "auto", app_wino(app)};
}

/* Of few kernels nobody needs to be told. */
static void tell_compiling(void *user, int done, int of) {
  enum { FEW = 8 };
  if (of >= FEW) app_progress(user, "compiled %d of %d kernels", done, of);
}

void app_compile_options(const cli *app, const plan_spec *spec, wn_options *out) {
  const options *o = &app->opt;
  *out = WN_OPTIONS(.plan = spec->plan, .wino = spec->wino, .math = o->math, .backend = o->backend,
                    .isa = o->isa, .threads = o->threads, .variable_weights = o->variable_weights,
                    .max_memory = o->max_memory, .max_lines = o->max_lines, .no_merge = o->no_merge,
                    .no_cache = o->no_cache, .untuned = o->untuned, .strict = o->strict,
                    .flush_subnormals = o->flush_subnormals, .cold = o->all,
                    .compiling = tell_compiling, .compiling_user = (void *)(uintptr_t)app);
}

subject app_subject(cli *app, const char *where, const char *text) {
  if (options_is_model(text)) {
    const char *slash = strrchr(text, '/');
    return (subject){slash != NULL ? slash + 1 : text, NULL, text};
  }
  problem *p = arena_new(&app->arena, problem);
  app_parse_problem(app, where, text, p);
  return (subject){p->text, p, NULL};
}

static void add_subject(cli *app, subject_list *list, const char *where, const char *text) {
  subject s = app_subject(app, where, text);
  if (list->len > 0 && (list->data[0].model == NULL) != (s.model == NULL))
    diag_fail(&app->diag, WN_ERR_USAGE, "%s%s is a %s and %s a %s: give one kind at a time", where,
              s.text, s.model != NULL ? "model" : "problem", list->data[0].text,
              s.model != NULL ? "problem" : "model");
  vec_push(&app->arena, list, s);
}

static void read_batch(cli *app, const char *path, subject_list *list) {
  size_t size;
  char *s = (char *)file_read(&app->arena, path, &size);
  if (strlen(s) != size)
    diag_fail(&app->diag, WN_ERR_USAGE, "%s is not a list of problems: it has a 0 byte", path);
  int line = 0;
  if (!strncmp(s, "\xef\xbb\xbf", 3)) s += 3; /* a byte order mark */
  for (char *next; *s; s = next) {
    size_t n = strcspn(s, "\n");
    next = s + n + (s[n] == '\n');
    while (n > 0 && text_is_space(s[n - 1])) --n;
    s[n] = 0;
    ++line;
    const char *text = s + strspn(s, " \t\r");
    if (!*text || *text == '#' || !strncmp(text, "--", 2)) continue;
    add_subject(app, list, arena_printf(&app->arena, "%s:%d: ", path, line), text);
  }
}

void app_subjects(cli *app, subject_list *list) {
  for (size_t i = 0; i < app->opt.problems.len; ++i)
    add_subject(app, list, "", app->opt.problems.data[i]);
  if (app->opt.batch != NULL) read_batch(app, app->opt.batch, list);
  if (!list->len) diag_fail(&app->diag, WN_ERR_USAGE, "%s has no problem in it", app->opt.batch);
  options_check_kind(&app->opt, &app->diag, list->data[0].model != NULL);
}
