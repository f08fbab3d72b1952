/* `winnow bench --peers`: other libraries beside winnow, in turns.
 *
 * In: the options and the problems or models. Out: nothing; the process becomes bench/peers/driver.py, or networks.py
 * where they are models, which finds everything that was parsed here as one JSON object on its standard input, so there
 * is one reader of problems. Always holds: what can be wrong with files, folders and plans is said before anything is
 * measured. The libraries live in a virtual environment of Python (tools/peers). */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "app.h"
#include "base/text.h"

#define DEFAULT_DIR ".peers"

static void check_output(cli *app, const char *flag, const char *path) {
  FILE *file = fopen(path, "a");
  if (file == NULL)
    diag_fail(&app->diag, WN_ERR_IO, "%s: cannot write %s: %s", flag, path, strerror(errno));
  fclose(file);
}

/* Names are known before anything runs; a spelled schedule has commas of its own and is checked by
 * whoever compiles it. */
static void check_plans(cli *app) {
  const char *text = app->opt.plan, *const *names = wn_plan_names();
  if (text == NULL || strchr(text, '=') != NULL) return;
  for (const char *at = text, *next; at != NULL; at = next) {
    size_t n = strcspn(at, ",");
    next = at[n] ? at + n + 1 : NULL;
    bool known = n == 4 && !memcmp(at, "auto", n);
    for (int i = 0; names[i] != NULL && !known; ++i)
      known = strlen(names[i]) == n && !memcmp(names[i], at, n);
    if (!known)
      diag_fail(&app->diag, WN_ERR_USAGE,
                "--plan %.80s: there is no plan \"%.*s\"; winnow compare shows them all", text,
                (int)(n < 80 ? n : 80), at);
  }
}

static void check_files(cli *app) {
  const options *o = &app->opt;
  if (o->plot != NULL && !text_ends(o->plot, ".svg") && !text_ends(o->plot, ".png"))
    diag_fail(&app->diag, WN_ERR_USAGE, "--plot %s: expected a name that ends in .svg or .png",
              o->plot);
  if (o->csv_file != NULL) check_output(app, "--csv", o->csv_file);
  if (o->plot != NULL) check_output(app, "--plot", o->plot);
}

static void check_model_options(cli *app) {
  const options *o = &app->opt;
  const char *refused = o->plot != NULL ? "--plot"
                        : o->runs       ? "--runs; --rounds and --secs say how long to measure"
                        : o->variable_weights ? "--weights-mode variable"
                                              : NULL;
  if (refused != NULL)
    diag_fail(&app->diag, WN_ERR_USAGE, "bench MODEL --peers takes no %s", refused);
}

/* What makes no sense beside other libraries: they are given plain convolutions. */
static void check_options(cli *app) {
  const options *o = &app->opt;
  const struct {
    bool given;
    const char *flag;
  } refused[] = {
      {o->bias, "--bias"},
      {o->residual, "--residual"},
      {o->act, "--act"},
      {o->nhwc, "--layout nhwc"},
      {o->input, "--input"},
      {o->weights, "--weights"},
      {o->runs, "--runs; --rounds and --secs say how long to measure"},
      {o->variable_weights, "--weights-mode variable"},
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i)
    if (refused[i].given)
      diag_fail(&app->diag, WN_ERR_USAGE,
                "bench --peers times plain convolutions with constant weights: it takes no %s",
                refused[i].flag);
}

/* The folder that this executable is in. */
static const char *own_folder(cli *app, const char **executable) {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n <= 0)
    diag_fail(&app->diag, WN_ERR_IO, "cannot tell where this program is: %s", strerror(errno));
  path[n] = 0;
  *executable = arena_strdup(&app->arena, path);
  *strrchr(path, '/') = 0;
  return arena_strdup(&app->arena, path);
}

/* Beside an installed program, else in the source tree that it was built from. */
static const char *find_driver(cli *app, const char *folder, const char *name) {
  const char *places[] = {
      arena_printf(&app->arena, "%s/../share/winnow/peers/%s", folder, name),
      arena_printf(&app->arena, "%s/../bench/peers/%s", folder, name),
      arena_printf(&app->arena, "%s/%s", WN_SOURCE_DIR "/bench/peers", name),
  };
  for (size_t i = 0; i < sizeof places / sizeof *places; ++i)
    if (!access(places[i], R_OK)) return places[i];
  diag_fail(&app->diag, WN_ERR_IO, "bench --peers needs %s, which is not there", places[0]);
}

static const char *find_python(cli *app, const char **folder) {
  const char *variable = getenv("WINNOW_PEERS");
  *folder = app->opt.peers_dir != NULL      ? app->opt.peers_dir
            : variable != NULL && *variable ? variable
                                            : DEFAULT_DIR;
  const char *python = arena_printf(&app->arena, "%s/bin/python", *folder);
  if (access(python, X_OK))
    diag_fail(&app->diag, WN_ERR_IO,
              "no other libraries in %s (no %s): tools/peers %s installs them; --peers-dir or "
              "$WINNOW_PEERS names another folder",
              *folder, python, *folder);
  return python;
}

/* JSON, a member at a time; every text that a user may have given is escaped. */
static void add_quoted(str *to, const char *text) {
  str_add(to, "\"");
  for (const unsigned char *c = (const unsigned char *)text; *c; ++c) {
    if (*c == '"' || *c == '\\' || *c < ' ')
      str_printf(to, "\\u%04x", *c);
    else
      str_addn(to, (const char *)c, 1);
  }
  str_add(to, "\"");
}

static void add_key(str *to, const char *key) {
  char last = to->data[to->len - 1];
  if (last != '{' && last != '[') str_add(to, ",");
  if (key == NULL) return;
  add_quoted(to, key);
  str_add(to, ":");
}

static void add_text(str *to, const char *key, const char *text) {
  add_key(to, key);
  if (text != NULL)
    add_quoted(to, text);
  else
    str_add(to, "null");
}

static void add_count(str *to, const char *key, int64_t value) {
  add_key(to, key);
  str_printf(to, "%" PRId64, value);
}

static void add_axes(str *to, const char *key, const int64_t *values, int count) {
  add_key(to, key);
  for (int i = 0; i < count; ++i) str_printf(to, "%c%" PRId64, i ? ',' : '[', values[i]);
  str_add(to, "]");
}

static void add_problem(str *to, const problem *p) {
  add_key(to, NULL);
  str_add(to, "{");
  add_text(to, "text", p->text);
  add_text(to, "name", *p->name ? p->name : p->text);
  add_count(to, "axes", p->nd);
  add_count(to, "batch", p->mb);
  add_count(to, "groups", p->groups);
  add_count(to, "in_channels", p->ic);
  add_count(to, "out_channels", p->oc);
  add_axes(to, "input", p->in, p->nd);
  add_axes(to, "output", p->out, p->nd);
  add_axes(to, "filter", p->filter, p->nd);
  add_axes(to, "stride", p->stride, p->nd);
  add_axes(to, "dilation", p->dilation, p->nd);
  add_axes(to, "pad_lo", p->pad_lo, p->nd);
  add_axes(to, "pad_hi", p->pad_hi, p->nd);
  add_count(to, "macs", p->macs);
  str_add(to, "}");
}

/* Flags for `winnow conv` or `winnow run`, which the driver starts for each plan. */
static void add_flags(cli *app, str *to) {
  const options *o = &app->opt;
  arena *a = &app->arena;
  const struct {
    const char *flag, *value;
  } flags[] = {
      {"--wino", app_wino(app)},
      {"--backend", o->backend},
      {"--isa", o->isa},
      {"--max-memory", o->max_memory ? arena_printf(a, "%zu", o->max_memory) : NULL},
      {"--max-lines", o->max_lines ? arena_printf(a, "%d", o->max_lines) : NULL},
      {"--no-merge", o->no_merge ? "" : NULL},
      {"--flush-subnormals", o->flush_subnormals ? "" : NULL},
      {"--strict", o->strict ? "" : NULL},
  };
  add_key(to, "flags");
  str_add(to, "[");
  for (size_t i = 0; i < sizeof flags / sizeof *flags; ++i) {
    if (flags[i].value == NULL) continue;
    add_text(to, NULL, flags[i].flag);
    if (*flags[i].value) add_text(to, NULL, flags[i].value);
  }
  str_add(to, "]");
}

static void add_flag(str *to, const char *flag, const char *value) {
  add_text(to, NULL, flag);
  add_text(to, NULL, value);
}

static void add_numbers(str *to, const char *flag, const photo_numbers *n) {
  char text[32];
  str s;
  if (n->count == 0) return;
  str_init(&s, to->arena);
  for (int i = 0; i < n->count; ++i) {
    text_format(text, sizeof text, "%.17g", n->at[i]);
    str_printf(&s, "%s%s", i ? "," : "", text);
  }
  add_flag(to, flag, str_text(&s));
}

/* What says something of a model's inputs, as it was given. */
static void add_model_flags(cli *app, str *to) {
  static const char *const fits[FIT_COUNT] = {"stretch", "crop", "pad"};
  const options *o = &app->opt;
  const photo_numbers scale = {o->photo.scale > 0, {o->photo.scale}};
  add_key(to, "model_flags");
  str_add(to, "[");
  for (size_t i = 0; i < o->inputs.len; ++i) add_flag(to, "--input", o->inputs.data[i]);
  for (size_t i = 0; i < o->shapes.len; ++i) add_flag(to, "--shape", o->shapes.data[i]);
  for (size_t i = 0; i < o->dims.len; ++i) add_flag(to, "--dim", o->dims.data[i]);
  add_flag(to, "--channels", o->photo.bgr ? "bgr" : "rgb");
  add_flag(to, "--fit", fits[o->photo.fit]);
  add_numbers(to, "--scale", &scale);
  add_numbers(to, "--mean", &o->photo.mean);
  add_numbers(to, "--std", &o->photo.std);
  str_add(to, "]");
}

static void add_subjects(cli *app, str *to, const subject_list *all) {
  bool models = all->data[0].model != NULL;
  if (models) add_model_flags(app, to);
  add_key(to, models ? "models" : "problems");
  str_add(to, "[");
  for (size_t i = 0; i < all->len; ++i) {
    if (models)
      add_text(to, NULL, all->data[i].model);
    else
      add_problem(to, all->data[i].problem);
  }
  str_add(to, "]");
}

static void describe(cli *app, str *to, const subject_list *all, const char *executable,
                     const char *folder) {
  const options *o = &app->opt;
  str_add(to, "{");
  add_text(to, "winnow", executable);
  add_text(to, "version", wn_version());
  add_text(to, "folder", folder);
  add_text(to, "libraries", o->peers);
  add_text(to, "plans", o->plan);
  add_text(to, "math", math_name(o->math));
  add_text(to, "csv", o->csv_file);
  add_text(to, "plot", o->plot);
  add_text(to, "print", o->json ? "json" : o->csv && o->csv_file == NULL ? "csv" : "table");
  add_key(to, "seconds");
  str_printf(to, "%g", o->secs);
  add_count(to, "threads", o->threads);
  add_count(to, "rounds", o->rounds);
  add_count(to, "seed", (int64_t)o->seed);
  add_flags(app, to);
  add_subjects(app, to, all);
  str_add(to, "}");
}

/* Standard input becomes a file without a name that holds the text. */
static void give(cli *app, const char *text) {
  FILE *file = tmpfile();
  if (file == NULL || fputs(text, file) < 0 || fflush(file) || fseek(file, 0, SEEK_SET) ||
      dup2(fileno(file), STDIN_FILENO) < 0)
    diag_fail(&app->diag, WN_ERR_IO, "cannot write a temporary file: %s", strerror(errno));
}

void command_peers(cli *app) {
  const char *executable, *folder;
  subject_list subjects = {0};
  app_subjects(app, &subjects);
  bool models = subjects.data[0].model != NULL;
  if (models)
    check_model_options(app);
  else
    check_options(app);
  check_files(app);
  check_plans(app);
  const char *python = find_python(app, &folder);
  const char *driver =
      find_driver(app, own_folder(app, &executable), models ? "networks.py" : "driver.py");
  str job;
  str_init(&job, &app->arena);
  describe(app, &job, &subjects, executable, folder);
  give(app, str_text(&job));
  fflush(stdout);
  execl(python, python, driver, (char *)NULL);
  diag_fail(&app->diag, WN_ERR_IO, "cannot start %s: %s", python, strerror(errno));
}
