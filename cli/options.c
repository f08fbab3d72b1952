/* Parsing, by the table of flags.c; what a flag is worth, what the environment says, and what no single flag can tell.
 * */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/text.h"
#include "backend/registry.h"
#include "flags.h"
#include "program/show.h"

enum { MOST_THREADS = 1024, MOST_NUMBER = 1000000, MOST_CANDIDATES = 1000 };

static _Noreturn void usage(arena *a, const char *what, const char *value, const char *expected) {
  diag_fail(a->diag, WN_ERR_USAGE, "%s '%.80s': expected %s", what, value, expected);
}

static bool read_whole(const char *s, unsigned long long *value) {
  char *end;
  if (*s < '0' || *s > '9') return false;
  errno = 0;
  *value = strtoull(s, &end, 10);
  return !errno && !*end;
}

static int read_positive(arena *a, const char *what, const char *s, unsigned most) {
  unsigned long long v;
  if (!read_whole(s, &v) || v < 1 || v > most)
    usage(a, what, s, arena_printf(a, "a whole number from 1 to %u", most));
  return (int)v;
}

static double read_seconds(arena *a, const char *what, const char *s) {
  char *end;
  double v = text_number(s, &end);
  if (end == s || *end || !(v >= 0.01 && v <= 1e6))
    usage(a, what, s, "seconds from 0.01 to 1000000");
  return v;
}

static size_t read_memory(arena *a, const char *what, const char *s) {
  static const char units[] = "KMGT";
  char *end = NULL;
  unsigned long long v = 0;
  errno = 0;
  if (*s >= '0' && *s <= '9') v = strtoull(s, &end, 10);
  bool ok = end != NULL && !errno && v > 0;
  const char *unit = ok && *end ? strchr(units, *end) : NULL;
  if (unit != NULL) {
    int shift = 10 * (int)(unit - units + 1);
    ok = v <= SIZE_MAX >> shift;
    v <<= shift;
    ++end;
    if (*end == 'B') ++end;
  }
  if (!ok || *end) usage(a, what, s, "a size such as 65536, 64K, 512M or 2G");
  return (size_t)v;
}

/* M or MxM or MxMxM, each 1 to 8; "all" where several plans are run. */
static void check_wino(arena *a, const char *what, const char *s, bool many) {
  if (!strcmp(s, "all") && many) return;
  if (!strcmp(s, "all"))
    diag_fail(a->diag, WN_ERR_USAGE, "%s all is for compare; expected one tile size", what);
  if (!strcmp(s, "0"))
    usage(a, what, s, "a tile size from 1 to 8; without Winograd it is --plan direct");
  for (const char *c = s;; c += 2) {
    if (*c < '1' || *c > '8' || (c[1] && c[1] != 'x') || c - s > 6)
      usage(a, what, s, "a tile size from 1 to 8, as 4 or 4x4");
    if (!c[1]) return;
  }
}

/* Which of the words, NULL-terminated, is s? */
static int one_of(arena *a, const char *what, const char *s, const char *const *words) {
  str list;
  str_init(&list, a);
  for (int i = 0; words[i] != NULL; ++i) {
    if (!strcmp(s, words[i])) return i;
    str_printf(&list, "%s%s", !i ? "" : words[i + 1] != NULL ? ", " : " or ", words[i]);
  }
  usage(a, what, s, str_text(&list));
}

/* Which of the words of a flag? */
static int read_word(arena *a, const flag *f, const char *s, command c) {
  enum { MOST_WORDS = 32 };
  const char *words[MOST_WORDS] = {NULL};
  for (int i = 0; i + 1 < MOST_WORDS && (i == 0 || words[i - 1] != NULL); ++i)
    words[i] = flag_word(f, c, i);
  return one_of(a, f->name, s, words);
}

/* "0.017" or "1/255". */
static double read_scale(arena *a, const char *what, const char *s) {
  char *end, *end2;
  double v = text_number(s, &end);
  bool ok = end != s;
  if (ok && *end == '/') {
    const char *under = end + 1;
    v /= text_number(under, &end2);
    ok = end2 != under;
    end = end2;
  }
  if (!ok || *end || !(v > 0 && v <= 1e9))
    usage(a, what, s, "a positive number, as 0.017 or 1/255");
  return v;
}

static photo_numbers read_numbers(arena *a, const flag *f, const char *s) {
  photo_numbers out = {0};
  bool divides = f->offset == offsetof(options, photo.std);
  for (const char *at = s;; ++at) {
    char *end;
    double v = text_number(at, &end);
    bool ok = end != at && out.count < PHOTO_CHANNELS && fabs(v) <= 1e9 && (v > 0 || !divides);
    if (!ok || (*end != '\0' && *end != ','))
      usage(a, f->name, s,
            divides ? "positive numbers, one or one for each channel, as 0.229,0.224,0.225"
                    : "numbers, one or one for each channel, as 0.485,0.456,0.406");
    out.at[out.count++] = v;
    if (*end == '\0') return out;
    at = end;
  }
}

/* What stands behind a colon is checked where a device is opened. */
static const char *read_backend(arena *a, const char *what, const char *s) {
  char names[256];
  if (registry_backend(s) != NULL) return s;
  usage(a, what, s, registry_names(names, sizeof names, " or ", false));
}

/* $WINNOW_ISA speaks to the backends that have it. */
static const char *isa_for(const options *o, const char *env) {
  return registry_knows_isa(registry_backend(o->backend), env) ? env : NULL;
}

static void set_flag(options *o, arena *a, const flag *f, const char *value) {
  void *field = (char *)o + f->offset;
  unsigned long long number;
  switch (f->kind) {
    case SWITCH:
      *(bool *)field = true;
      break;
    case LIST:
    case TEXTS:
      vec_push(a, (strings *)field, value);
      break;
    case SCALE:
      *(double *)field = read_scale(a, f->name, value);
      break;
    case NUMBERS:
      *(photo_numbers *)field = read_numbers(a, f, value);
      break;
    case CHANNELS:
      *(bool *)field = read_word(a, f, value, o->command) == 1;
      break;
    case FIT:
      *(photo_fit *)field = (photo_fit)read_word(a, f, value, o->command);
      break;
    case POSITIVE:
      *(int *)field = read_positive(a, f->name, value, MOST_NUMBER);
      break;
    case DURATION:
      *(double *)field = read_seconds(a, f->name, value);
      break;
    case THREADS:
      o->threads = read_positive(a, f->name, value, MOST_THREADS);
      break;
    case SEED:
      if (!read_whole(value, &number)) usage(a, f->name, value, "a whole number");
      o->seed = number;
      break;
    case MEMORY:
      o->max_memory = read_memory(a, f->name, value);
      break;
    case WINO:
      check_wino(a, f->name, value, o->command == CMD_COMPARE);
      o->wino = value;
      break;
    case MATH:
      o->math = (wn_math)read_word(a, f, value, o->command);
      break;
    case BACKEND:
      o->backend = read_backend(a, f->name, value);
      break;
    case WEIGHTS_MODE:
      o->variable_weights = read_word(a, f, value, o->command) == 1;
      break;
    case ACT:
      o->act = (activation)read_word(a, f, value, o->command);
      break;
    case LAYOUT:
      o->nhwc = read_word(a, f, value, o->command) == 1;
      break;
    case PEERS:
      o->peers = value != NULL ? value : "all";
      break;
    case CSV:
      o->csv = true;
      o->csv_file = value;
      break;
    default:
      *(const char **)field = value;
      break;
  }
}

/* The command's own flag of that name, else another's, else NULL. */
static const flag *find_flag(const char *arg, size_t n, command c) {
  const flag *found = NULL;
  for (int i = 0; i < flag_count; ++i) {
    if (strlen(flags[i].name) != n || memcmp(flags[i].name, arg, n) != 0) continue;
    if (found == NULL || flag_is_of(&flags[i], c)) found = &flags[i];
  }
  return found;
}

static bool is_csv(const char *word) {
  size_t n = strlen(word);
  return *word != '-' && n > 4 && !strcmp(word + n - 4, ".csv");
}

/* The flag at argv[i]; returns the index of the last word that it used. */
static int parse_flag(options *o, arena *a, int argc, char *const *argv, int i, bool *seen) {
  const char *arg = argv[i], *equals = strchr(arg, '=');
  size_t n = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
  const flag *f =
      !strcmp(arg, "-h") ? find_flag("--help", 6, o->command) : find_flag(arg, n, o->command);
  if (f == NULL)
    diag_fail(a->diag, WN_ERR_USAGE, "unknown flag '%.*s'; see winnow %s--help",
              (int)(n < 80 ? n : 80), arg,
              o->command < CMD_COUNT ? arena_printf(a, "%s ", command_name(o->command)) : "");
  if (!flag_is_of(f, o->command))
    diag_fail(a->diag, WN_ERR_USAGE, "%s has no flag %s; see winnow %s--help",
              command_name(o->command), f->name,
              o->command < CMD_COUNT ? arena_printf(a, "%s ", command_name(o->command)) : "");
  bool *before = &seen[f - flags];
  if (*before && !flag_repeats(f) && f->kind != SWITCH)
    diag_fail(a->diag, WN_ERR_USAGE, "%s is given twice; %s takes one", f->name,
              command_name(o->command));
  *before = true;
  if (f->kind == SWITCH) {
    if (equals != NULL) diag_fail(a->diag, WN_ERR_USAGE, "%s takes no value", f->name);
    set_flag(o, a, f, NULL);
    return i;
  }
  if (equals != NULL) {
    set_flag(o, a, f, equals + 1);
    return i;
  }
  if (f->kind == PEERS || (f->kind == CSV && (i + 1 >= argc || !is_csv(argv[i + 1])))) {
    set_flag(o, a, f, NULL);
    return i;
  }
  char text[FLAG_HELP];
  if (i + 1 >= argc)
    diag_fail(a->diag, WN_ERR_USAGE, "%s needs a value: %s", f->name, flag_help(f, text));
  set_flag(o, a, f, argv[i + 1]);
  return i + 1;
}

/* The variable's value, NULL where it is not set or empty. */
static const char *variable(const char *name) {
  const char *s = getenv(name);
  return s != NULL && *s ? s : NULL;
}

/* Values that mean nothing fail whether a flag overrides them or not. */
static void read_environment(options *o, arena *a) {
  static const char *const debug[] = {"0", "1", "2", "3", "4", "5", NULL};
  static const char *const tiles[] = {"0", "1", "2", "3", "4", "6", NULL};
  const char *s = variable("DEBUG");
  if (s != NULL) o->debug = one_of(a, "DEBUG", s, debug);
  o->no_color = variable("NO_COLOR") != NULL;
  s = variable("BEAM");
  if (s != NULL && strcmp(s, "0") != 0) o->beam = read_positive(a, "BEAM", s, MOST_CANDIDATES);
  s = variable("WINNOW_THREADS");
  if (s != NULL) {
    int threads = read_positive(a, "WINNOW_THREADS", s, MOST_THREADS);
    if (!o->threads && registry_backend(o->backend)->in_place) o->threads = threads;
  }
  s = variable("WINNOW_ISA");
  static const flag isa = {.name = "WINNOW_ISA", .kind = ISA};
  if (s != NULL) read_word(a, &isa, s, o->command);
  if (s != NULL && o->isa == NULL) o->isa = isa_for(o, s);
  s = variable("WINO");
  if (s != NULL) {
    one_of(a, "WINO", s, tiles);
    o->wino_env = true;
    if (s[0] > '1') o->env_wino = s;
  }
  show_check_environment(a->diag);
}

/* Flags that say something about --peers only. */
static void check_peers(const options *o, diag *d) {
  const char *what = o->csv_file != NULL    ? "--csv with a file"
                     : o->peers_dir != NULL ? "--peers-dir"
                     : o->rounds            ? "--rounds"
                     : o->secs > 0          ? "--secs"
                     : o->plot != NULL      ? "--plot"
                                            : NULL;
  if (what != NULL && o->peers == NULL) diag_fail(d, WN_ERR_USAGE, "%s is for bench --peers", what);
}

/* Two files of one name: the second would replace the first. */
static void check_files(const options *o, diag *d) {
  const char *name[] = {"--html", "--trace", "--output", "--exact", "--save-inputs"};
  const char *path[] = {o->html, o->trace, o->output, o->exact, o->save_inputs};
  if (o->peers != NULL && (o->html != NULL || o->trace != NULL))
    diag_fail(d, WN_ERR_USAGE, "%s and --peers exclude each other",
              o->html != NULL ? "--html" : "--trace");
  for (size_t i = 0; i < sizeof path / sizeof *path; ++i) {
    for (size_t k = 0; k < i; ++k)
      if (path[i] != NULL && path[k] != NULL && !strcmp(path[i], path[k]))
        diag_fail(d, WN_ERR_USAGE, "%s and %s are one file, %s", name[k], name[i], path[i]);
    if (path[i] != NULL && !*path[i])
      diag_fail(d, WN_ERR_USAGE, "%s needs the name of a file", name[i]);
  }
}

bool options_is_model(const char *operand) { return text_ends(operand, ".onnx"); }

void options_check_kind(const options *o, diag *d, bool models) {
  const struct {
    const char *flag;
    bool given, of_models;
  } flags_of[] = {
      {"--shape", o->shapes.len > 0, true},
      {"--dim", o->dims.len > 0, true},
      {"--channels", o->photo.bgr, true},
      {"--scale", o->photo.scale > 0, true},
      {"--mean", o->photo.mean.count > 0, true},
      {"--std", o->photo.std.count > 0, true},
      {"--fit", o->photo.fit != FIT_STRETCH, true},
      {"--by-layer", o->by_layer, true},
      {"--full", o->full, true},
      {"--weights", o->weights != NULL, false},
      {"--bias", o->bias != NULL, false},
      {"--residual", o->residual != NULL, false},
      {"--act", o->act != ACT_NONE, false},
      {"--layout", o->nhwc, false},
      {"--all", o->all, false},
  };
  for (size_t i = 0; i < sizeof flags_of / sizeof *flags_of; ++i)
    if (flags_of[i].given && flags_of[i].of_models != models)
      diag_fail(d, WN_ERR_USAGE, "%s says something of a %s only", flags_of[i].flag,
                models ? "problem" : "model");
  if (!models && o->inputs.len > 1)
    diag_fail(d, WN_ERR_USAGE, "--input is given twice; %s takes one of a problem",
              command_name(o->command));
}

static void check_operands(const options *o, diag *d) {
  const char *name = command_name(o->command), *first = o->problems.len ? o->problems.data[0] : "";
  bool one = o->command == CMD_CONV || o->command == CMD_EXPLAIN || o->command == CMD_RUN;
  if (one && o->problems.len > 1)
    diag_fail(d, WN_ERR_USAGE, "%s takes one %s, but '%.80s' follows", name,
              o->command == CMD_RUN ? "model" : "problem", o->problems.data[1]);
  if (o->command == CMD_RUN && !options_is_model(first))
    diag_fail(d, WN_ERR_USAGE,
              *first ? "run takes a model, a file that ends in .onnx, not '%.80s'"
                     : "run needs a model, a file that ends in .onnx%.80s",
              first);
  if (o->command == CMD_CONV && options_is_model(first))
    diag_fail(d, WN_ERR_USAGE, "conv takes a problem; winnow run %.80s runs a model", first);
}

/* What no single flag can tell. */
static void check(const options *o, arena *a) {
  diag *d = a->diag;
  if (o->json && o->csv && o->csv_file == NULL)
    diag_fail(d, WN_ERR_USAGE, "--json and --csv exclude each other");
  check_peers(o, d);
  check_files(o, d);
  if ((o->command == CMD_DEVICES || o->command == CMD_CACHE) && o->problems.len)
    diag_fail(d, WN_ERR_USAGE, "%s takes no operand, but '%.80s' was given",
              command_name(o->command), o->problems.data[0]);
  if (o->no_run && (o->measure || o->runs))
    diag_fail(d, WN_ERR_USAGE, "--no-run and %s exclude each other",
              o->measure ? "--measure" : "--runs");
  if (o->command == CMD_CACHE && o->json && o->clear)
    diag_fail(d, WN_ERR_USAGE, "--json and --clear exclude each other");
  check_operands(o, d);
  bool from_files = o->command == CMD_CONV && o->input != NULL && o->weights != NULL;
  if (o->command < CMD_DEVICES && !o->problems.len && o->batch == NULL && !from_files)
    diag_fail(d, WN_ERR_USAGE, "%s needs a problem such as mb1ic16ih32oc16kh3ph1%s",
              command_name(o->command),
              o->command == CMD_CONV      ? ", or --input and --weights"
              : o->command == CMD_EXPLAIN ? ""
                                          : ", or --batch FILE");
}

void options_parse(options *o, arena *a, int argc, char *const *argv) {
  bool seen[FLAG_MOST] = {false};
  memset(o, 0, sizeof *o);
  o->command = CMD_NONE;
  int i = 1;
  if (argc > 1 && argv[1][0] != '-') {
    for (int c = 0; c < CMD_COUNT; ++c)
      if (!strcmp(argv[1], command_texts[c].name)) o->command = (command)c;
    if (!strcmp(argv[1], "help")) {
      o->help = true;
      return;
    }
    if (o->command == CMD_NONE)
      diag_fail(
          a->diag, WN_ERR_USAGE,
          "unknown command '%.80s': expected run, compare, conv, bench, explain, tune, devices "
          "or cache",
          argv[1]);
    ++i;
  }
  for (; i < argc; ++i) {
    if (argv[i][0] == '-' && argv[i][1])
      i = parse_flag(o, a, argc, argv, i, seen);
    else
      vec_push(a, &o->problems, argv[i]);
  }
  if (o->help || o->version || o->command == CMD_NONE) return;
  if (o->inputs.len) o->input = o->inputs.data[0];
  read_environment(o, a);
  check(o, a);
}
