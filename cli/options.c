/* One table of flags gives parsing, the check that a command has the flag, and the help of each
 * command. */
#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/text.h"
#include "backend/registry.h"
#include "program/show.h"

#define BIT(c)       (1u << (c))
#define RUNS         (BIT(CMD_COMPARE) | BIT(CMD_CONV) | BIT(CMD_BENCH))
#define DATA         (RUNS | BIT(CMD_TUNE))
#define COMPILES     (DATA | BIT(CMD_EXPLAIN))
#define CHOSEN       (COMPILES & ~BIT(CMD_COMPARE) & ~BIT(CMD_TUNE)) /* one plan a problem */
#define ALL_COMMANDS (COMPILES | BIT(CMD_DEVICES) | BIT(CMD_CACHE))

enum { MOST_THREADS = 1024, MOST_NUMBER = 1000000, MOST_CANDIDATES = 1000 };

typedef enum flag_kind {
  SWITCH,
  WORD,
  LIST,
  POSITIVE,
  DURATION,
  THREADS,
  SEED,
  MEMORY,
  WINO,
  MATH,
  BACKEND,
  WEIGHTS_MODE,
  ACT,
  LAYOUT,
  PEERS, /* a switch that takes a list after '=' */
  CSV,   /* a switch; with a file where the next word ends in .csv */
} flag_kind;

typedef struct flag {
  const char *name, *value, *help;
  flag_kind kind;
  size_t offset; /* of the field that it sets */
  unsigned commands;
} flag;

#define AT(field) offsetof(options, field)
static const flag flags[] = {
    {"--plan", "PLAN", "a name or a schedule; again for more, in this order", LIST, AT(plans),
     BIT(CMD_COMPARE)},
    {"--plan", "PLAN", "a name or a schedule; default: auto", WORD, AT(plan), CHOSEN},
    {"--all", NULL, "every combination of the placements, after any --plan", SWITCH, AT(all),
     BIT(CMD_COMPARE)},
    {"--wino", "M", "tile size 1 to 8, as 4 or 4x4; all: 2, 3, 4 and 6", WINO, AT(wino),
     BIT(CMD_COMPARE)},
    {"--wino", "M", "tile size 1 to 8, as 4 or 4x4; off: --plan direct", WINO, AT(wino), CHOSEN},
    {"--math", "MODE", "error promise: fp32 (default), fp32-fast or fp32-strict", MATH, AT(math),
     COMPILES},
    {"--backend", "NAME", NULL /* registry_names */, BACKEND, AT(backend),
     COMPILES | BIT(CMD_DEVICES)},
    {"--isa", "NAME", "sse2, avx2, avx512, ...; default: the best here", WORD, AT(isa), COMPILES},
    {"--threads", "N", "1 to 1024; default: $WINNOW_THREADS, else all cores", THREADS, AT(threads),
     COMPILES},
    {"--weights-mode", "MODE", "constant (default: prepared once) or variable", WEIGHTS_MODE,
     AT(variable_weights), COMPILES},
    {"--input", "FILE", ".npy (mb, ic, [[d,] h,] w) or a photo", WORD, AT(input), DATA},
    {"--weights", "FILE", ".npy (oc, ic/g, [[kd,] kh,] kw)", WORD, AT(weights), DATA},
    {"--bias", "FILE", ".npy (oc), or the word random", WORD, AT(bias), COMPILES},
    {"--residual", "FILE", ".npy of the result's shape, or random", WORD, AT(residual), COMPILES},
    {"--act", "NAME", "none (default), relu, sigmoid, tanh, gelu or abs", ACT, AT(act), COMPILES},
    {"--layout", "NAME", "of input, residual, result: nchw (default) or nhwc", LAYOUT, AT(nhwc),
     COMPILES},
    {"--output", "FILE", "the result: .npy, or .png (8 bits; 16 if --input has)", WORD, AT(output),
     BIT(CMD_CONV)},
    {"--batch", "FILE", "a problem a line; lines with # and -- are skipped", WORD, AT(batch),
     BIT(CMD_COMPARE) | BIT(CMD_BENCH) | BIT(CMD_TUNE)},
    {"--seconds", "S", "limit a problem, about; default 10", DURATION, AT(seconds), BIT(CMD_TUNE)},
    {"--candidates", "N", "of the least predicted cost, to start from; default 8", POSITIVE,
     AT(candidates), BIT(CMD_TUNE)},
    {"--seed", "N", "of the data that no file gives, uniform in [-1, 1)", SEED, AT(seed), COMPILES},
    {"--runs", "N", "measurements of each plan; default: about 0.3 s", POSITIVE, AT(runs),
     RUNS | BIT(CMD_EXPLAIN)},
    {"--measure", NULL, "each choice is measured too, not only predicted", SWITCH, AT(measure),
     BIT(CMD_EXPLAIN)},
    {"--no-run", NULL, "nothing is measured", SWITCH, AT(no_run), BIT(CMD_EXPLAIN)},
    {"--max-memory", "SIZE", "limit of the workspace: 64K, 512M, 2G", MEMORY, AT(max_memory),
     COMPILES},
    {"--max-lines", "N", "larger kernels run in the interpreter; default 2000", POSITIVE,
     AT(max_lines), COMPILES},
    {"--no-merge", NULL, "every use of a reduction gets a loop of its own", SWITCH, AT(no_merge),
     COMPILES},
    {"--flush-subnormals", NULL, "f32 below 1.2e-38 may be taken for 0, which is faster", SWITCH,
     AT(flush_subnormals), COMPILES},
    {"--no-cache", NULL, "neither use nor fill the cache on disk", SWITCH, AT(no_cache), COMPILES},
    {"--untuned", NULL, "auto by predicted cost, whatever tune has stored", SWITCH, AT(untuned),
     COMPILES & ~BIT(CMD_TUNE)},
    {"--strict", NULL, "a kernel that falls back is an error", SWITCH, AT(strict), COMPILES},
    {"--json", NULL, "one object a line", SWITCH, AT(json),
     COMPILES | BIT(CMD_DEVICES) | BIT(CMD_CACHE)},
    {"--csv", NULL, "the same columns, without the kernels", SWITCH, AT(csv),
     DATA & ~BIT(CMD_BENCH)},
    {"--csv", "[FILE.csv]", "without the kernels; FILE: --peers adds every row to it", CSV,
     AT(csv_file), BIT(CMD_BENCH)},
    {"--html", "FILE", "a page with figures, sources, timeline and roofline", WORD, AT(html),
     BIT(CMD_COMPARE) | BIT(CMD_BENCH)},
    {"--trace", "FILE", "what ran when, for Perfetto, or a device's FILE.gputrace", WORD, AT(trace),
     RUNS},
    {"--peers", "[=LIST]", "in turns with other libraries, all or those of LIST", PEERS, AT(peers),
     BIT(CMD_BENCH)},
    {"--peers-dir", "DIR", "where they are: $WINNOW_PEERS, else .peers (tools/peers)", WORD,
     AT(peers_dir), BIT(CMD_BENCH)},
    {"--rounds", "N", "turns of each library; default 5", POSITIVE, AT(rounds), BIT(CMD_BENCH)},
    {"--secs", "S", "of all turns of one together; default 0.5", DURATION, AT(secs),
     BIT(CMD_BENCH)},
    {"--plot", "FILE", "of --peers, by layer: .svg, or .png through rsvg-convert", WORD, AT(plot),
     BIT(CMD_BENCH)},
    {"--on-request", NULL, "then times each line \"SECONDS LEAST\" of stdin", SWITCH,
     AT(on_request), BIT(CMD_CONV)},
    {"--measure", NULL, "what they can do, in some seconds each", SWITCH, AT(measure),
     BIT(CMD_DEVICES)},
    {"--clear", NULL, "removes the file: kernels, tuned plans, limits", SWITCH, AT(clear),
     BIT(CMD_CACHE)},
    {"--help", NULL, "this text", SWITCH, AT(help), ALL_COMMANDS | BIT(CMD_NONE)},
    {"--version", NULL, "the version", SWITCH, AT(version), ALL_COMMANDS | BIT(CMD_NONE)},
};
#undef AT
#define FLAGS (sizeof flags / sizeof *flags)

static const struct {
  const char *name, *operands, *help;
} commands[CMD_COUNT] = {
    [CMD_COMPARE] =
        {"compare", "PROBLEM... | --batch FILE",
         "Every named plan of a convolution side by side: kernels, buffers, times, compile\n"
         "costs and errors against a float64 reference. The best value of a column is\n"
         "green, or has a *. ×direct, ×old: times as fast as that plan; prep µs: what\n"
         "constant weights cost once, before the first run; GFLOP/s: flops of the direct\n"
         "convolution a second; executed: those that ran. rel L2 is the error relative\n"
         "to the result, of which --math fp32 promises at most max(1.2e-6, twice direct\n"
         "fp32's) on random data; of sums: relative to what was summed, |w| with |x|, of\n"
         "which it promises the same on any data, so that is what is checked where\n"
         "--input or --weights are given. Status 1: an error far over it, or a fallback\n"
         "under --strict. What is rewritten makes NaN of a whole tile where a NaN, an\n"
         "infinity or an overflow is in it; --math fp32-strict rewrites nothing.\n"
         "--all --wino all takes a minute or two a problem and may be interrupted: the\n"
         "same command goes on from there. Last it prints the Pareto front, rows that no\n"
         "other beats in time, memory and compile cost at once."},
    [CMD_CONV] = {"conv", "[PROBLEM]",
                  "One convolution, y = act(conv(x, w) + bias + residual), on your data. Without\n"
                  "PROBLEM the sizes are those of the files of --input and --weights, padded so\n"
                  "that the image keeps its size."},
    [CMD_BENCH] =
        {"bench", "PROBLEM... | --batch FILE",
         "The chosen plan of each problem, a line each. --peers: beside other libraries,\n"
         "each pinned in a process of its own, in turns; --plan then takes several names\n"
         "with commas between."},
    [CMD_EXPLAIN] =
        {"explain", "PROBLEM",
         "Why a plan is as fast as it is: its time beside what was predicted and what the\n"
         "machine allows, by kernel; what each other placement would cost; each kernel's\n"
         "loops and source; the program after each pass that changed it. The summary is\n"
         "first in a file or a pipe, and last on a terminal, where one ends up."},
    [CMD_TUNE] =
        {"tune", "PROBLEM... | --batch FILE",
         "Measures the best few schedules of each problem and their neighbours, and\n"
         "keeps the fastest whose error is within the promise: every program of this user\n"
         "that computes the same takes it for plan auto, with this --math, --weights-mode,\n"
         "--isa, CPU and version and any --threads, on which no result depends: tune with\n"
         "as many as will run. An interrupt keeps what was found until then (exit status\n"
         "130)."},
    [CMD_DEVICES] =
        {"devices", "",
         "The backends of this machine, each tried on a small convolution, or why one is\n"
         "missing. --measure: rates, cache sizes and bandwidths of the CPU and of every\n"
         "device, kept in the cache on disk; auto predicts with them from then on, and\n"
         "shares of the roofline are of them. Best on an idle machine."},
    [CMD_CACHE] =
        {"cache", "",
         "The cache on disk: where it is and what it holds. It is in $WINNOW_CACHE, a\n"
         "folder, else in $XDG_CACHE_HOME/winnow, else in ~/.cache/winnow; WINNOW_CACHE=\n"
         "turns it off."},
};

const char *command_name(command c) { return c < CMD_COUNT ? commands[c].name : "winnow"; }

void help_main(FILE *out) {
  fputs(
      "winnow: compiles convolutions to Winograd kernels, and times every way of it\n"
      "\n"
      "  winnow                    a demonstration: three comparisons\n"
      "  winnow compare PROBLEM    every named plan side by side\n"
      "  winnow conv    PROBLEM    one convolution on your data (.npy or a photo)\n"
      "  winnow bench   PROBLEM    the chosen plan of each problem, or of --batch FILE\n"
      "  winnow explain PROBLEM    what the recogniser saw, each pass, the kernels\n"
      "  winnow tune    PROBLEM    measures schedules and keeps the fastest for auto\n"
      "  winnow devices, cache     the backends of this machine; what is kept on disk\n"
      "  winnow COMMAND --help     the flags of a command\n"
      "\n"
      "PROBLEM is in benchdnn's notation: mb1ic16ih32oc16kh3ph1 is a batch of 1, 16\n"
      "channels in and out, 32x32, a 3x3 filter, padding 1. Sizes are mb g ic oc and\n"
      "i o k s d p with an axis d h or w: input, output, filter, stride, dilation\n"
      "(0 is dense), padding. mb is 2 when missing; w sizes default to the h ones.\n"
      "Plans: auto direct old old-2k new inline-m one x-only g-only fused split, or a\n"
      "schedule such as x=local,g=global,m=reg,o=inline: input x, filter g, product m\n"
      "and output o of Winograd recomputed (inline), in registers (reg), in a kernel's\n"
      "array (local) or in memory (global); more in docs/architecture.md.\n"
      "Environment: DEBUG=1..5 (2: kernels, 3: plans, 4: source, 5: IR), WINO=0, 1, 2,\n"
      "3, 4, 6 (0: off, 1: on, else the tile), BEAM=n (conv, bench: tune n candidates\n"
      "first), WINNOW_THREADS, WINNOW_ISA, WINNOW_CACHE=folder, WINNOW_TRACE=1 (rules),\n"
      "WINNOW_DUMP=all or passes such as lower,apply (IR on stderr), NO_COLOR.\n"
      "Exit status: 0 right, 1 a wrong result or --strict met a fallback, 2 bad usage.\n",
      out);
}

/* What the table of backends says is not said here again. */
static const char *help_of(const flag *f, char text[256]) {
  return f->kind == BACKEND ? registry_names(text, 256, " or ", true) : f->help;
}

void help_command(FILE *out, command c) {
  fprintf(out, "winnow %s%s%s\n\n%s\n\n", commands[c].name, *commands[c].operands ? " " : "",
          commands[c].operands, commands[c].help);
  for (size_t i = 0; i < FLAGS; ++i) {
    if (!(flags[i].commands & BIT(c))) continue;
    char left[40], text[256];
    snprintf(left, sizeof left, "%s %s", flags[i].name, flags[i].value ? flags[i].value : "");
    fprintf(out, "  %-21s %s\n", left, help_of(&flags[i], text));
  }
}

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
  bool ok = end && !errno && v > 0;
  const char *unit = ok && *end ? strchr(units, *end) : NULL;
  if (unit) {
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
  for (int i = 0; words[i]; ++i) {
    if (!strcmp(s, words[i])) return i;
    str_printf(&list, "%s%s", !i ? "" : words[i + 1] ? ", " : " or ", words[i]);
  }
  usage(a, what, s, str_text(&list));
}

static int read_act(arena *a, const char *what, const char *s) {
  const char *words[ACT_COUNT + 1] = {NULL};
  for (int i = 0; i < ACT_COUNT; ++i) words[i] = activation_name((activation)i);
  return one_of(a, what, s, words);
}

static const char *const math_names[] = {"fp32", "fp32-fast", "fp32-strict", NULL};

const char *math_name(wn_math math) { return math_names[math]; }

/* What stands behind a colon is checked where a device is opened. */
static const char *read_backend(arena *a, const char *what, const char *s) {
  char names[256];
  if (registry_backend(s)) return s;
  usage(a, what, s, registry_names(names, sizeof names, " or ", false));
}

/* $WINNOW_ISA speaks to the backends that have it. */
static const char *isa_for(const options *o, const char *env) {
  return registry_knows_isa(registry_backend(o->backend), env) ? env : NULL;
}

static void check_isa(arena *a, const char *what, const char *s) {
  const char *known[64];
  int n = 0;
  for (int i = 0; i < registry_count(); ++i)
    for (const char *const *isa = registry_row(i)->backend->isas; *isa; ++isa) {
      int at = 0;
      while (at < n && strcmp(known[at], *isa) != 0) ++at;
      if (at == n && n + 1 < (int)(sizeof known / sizeof *known)) known[n++] = *isa;
    }
  known[n] = NULL;
  one_of(a, what, s, known);
}

static void set_flag(options *o, arena *a, const flag *f, const char *value) {
  static const char *const modes[] = {"constant", "variable", NULL};
  static const char *const layouts[] = {"nchw", "nhwc", NULL};
  void *field = (char *)o + f->offset;
  unsigned long long number;
  switch (f->kind) {
    case SWITCH:
      *(bool *)field = true;
      break;
    case LIST:
      vec_push(a, &o->plans, value);
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
      o->math = (wn_math)one_of(a, f->name, value, math_names);
      break;
    case BACKEND:
      o->backend = read_backend(a, f->name, value);
      break;
    case WEIGHTS_MODE:
      o->variable_weights = one_of(a, f->name, value, modes) == 1;
      break;
    case ACT:
      o->act = (activation)read_act(a, f->name, value);
      break;
    case LAYOUT:
      o->nhwc = one_of(a, f->name, value, layouts) == 1;
      break;
    case PEERS:
      o->peers = value ? value : "all";
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
  for (size_t i = 0; i < FLAGS; ++i) {
    if (strlen(flags[i].name) != n || memcmp(flags[i].name, arg, n) != 0) continue;
    if (!found || flags[i].commands & BIT(c)) found = &flags[i];
  }
  return found;
}

static bool is_csv(const char *word) {
  size_t n = strlen(word);
  return *word != '-' && n > 4 && !strcmp(word + n - 4, ".csv");
}

/* The flag at argv[i]; returns the index of the last word that it used. */
static int parse_flag(options *o, arena *a, int argc, char *const *argv, int i, uint64_t *seen) {
  const char *arg = argv[i], *equals = strchr(arg, '=');
  size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
  const flag *f =
      !strcmp(arg, "-h") ? find_flag("--help", 6, o->command) : find_flag(arg, n, o->command);
  if (!f)
    diag_fail(a->diag, WN_ERR_USAGE, "unknown flag '%.*s'; see winnow %s--help",
              (int)(n < 80 ? n : 80), arg,
              o->command < CMD_COUNT ? arena_printf(a, "%s ", command_name(o->command)) : "");
  if (!(f->commands & BIT(o->command)))
    diag_fail(a->diag, WN_ERR_USAGE, "%s has no flag %s; see winnow %s--help",
              command_name(o->command), f->name,
              o->command < CMD_COUNT ? arena_printf(a, "%s ", command_name(o->command)) : "");
  uint64_t bit = UINT64_C(1) << (f - flags);
  if (*seen & bit && f->kind != LIST && f->kind != SWITCH)
    diag_fail(a->diag, WN_ERR_USAGE, "%s is given twice; %s takes one", f->name,
              command_name(o->command));
  *seen |= bit;
  if (f->kind == SWITCH) {
    if (equals) diag_fail(a->diag, WN_ERR_USAGE, "%s takes no value", f->name);
    set_flag(o, a, f, NULL);
    return i;
  }
  if (equals) {
    set_flag(o, a, f, equals + 1);
    return i;
  }
  if (f->kind == PEERS || (f->kind == CSV && (i + 1 >= argc || !is_csv(argv[i + 1])))) {
    set_flag(o, a, f, NULL);
    return i;
  }
  char text[256];
  if (i + 1 >= argc)
    diag_fail(a->diag, WN_ERR_USAGE, "%s needs a value: %s", f->name, help_of(f, text));
  set_flag(o, a, f, argv[i + 1]);
  return i + 1;
}

/* The variable's value, NULL where it is not set or empty. */
static const char *variable(const char *name) {
  const char *s = getenv(name);
  return s && *s ? s : NULL;
}

/* Values that mean nothing fail whether a flag overrides them or not. */
static void read_environment(options *o, arena *a) {
  static const char *const debug[] = {"0", "1", "2", "3", "4", "5", NULL};
  static const char *const tiles[] = {"0", "1", "2", "3", "4", "6", NULL};
  const char *s = variable("DEBUG");
  if (s) o->debug = one_of(a, "DEBUG", s, debug);
  o->no_color = variable("NO_COLOR") != NULL;
  s = variable("BEAM");
  if (s && strcmp(s, "0") != 0) o->beam = read_positive(a, "BEAM", s, MOST_CANDIDATES);
  s = variable("WINNOW_THREADS");
  if (s) {
    int threads = read_positive(a, "WINNOW_THREADS", s, MOST_THREADS);
    if (!o->threads && registry_backend(o->backend)->in_place) o->threads = threads;
  }
  s = variable("WINNOW_ISA");
  if (s) check_isa(a, "WINNOW_ISA", s);
  if (s && !o->isa) o->isa = isa_for(o, s);
  s = variable("WINO");
  if (s) {
    one_of(a, "WINO", s, tiles);
    o->wino_env = true;
    if (s[0] > '1') o->env_wino = s;
  }
  show_check_environment(a->diag);
}

/* Flags that say something about --peers only. */
static void check_peers(const options *o, diag *d) {
  const char *what = o->csv_file    ? "--csv with a file"
                     : o->peers_dir ? "--peers-dir"
                     : o->rounds    ? "--rounds"
                     : o->secs > 0  ? "--secs"
                     : o->plot      ? "--plot"
                                    : NULL;
  if (what && !o->peers) diag_fail(d, WN_ERR_USAGE, "%s is for bench --peers", what);
}

/* Two files of one name: the second would replace the first. */
static void check_files(const options *o, diag *d) {
  const char *name[] = {"--html", "--trace", "--output"};
  const char *path[] = {o->html, o->trace, o->output};
  if (o->peers && (o->html || o->trace))
    diag_fail(d, WN_ERR_USAGE, "%s and --peers exclude each other", o->html ? "--html" : "--trace");
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k < i; ++k)
      if (path[i] && path[k] && !strcmp(path[i], path[k]))
        diag_fail(d, WN_ERR_USAGE, "%s and %s are one file, %s", name[k], name[i], path[i]);
    if (path[i] && !*path[i]) diag_fail(d, WN_ERR_USAGE, "%s needs the name of a file", name[i]);
  }
}

/* What no single flag can tell. */
static void check(const options *o, arena *a) {
  diag *d = a->diag;
  if (o->json && o->csv && !o->csv_file)
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
  if ((o->command == CMD_CONV || o->command == CMD_EXPLAIN) && o->problems.len > 1)
    diag_fail(d, WN_ERR_USAGE, "%s takes one problem, but '%.80s' follows",
              command_name(o->command), o->problems.data[1]);
  bool from_files = o->command == CMD_CONV && o->input && o->weights;
  if (o->command < CMD_DEVICES && !o->problems.len && !o->batch && !from_files)
    diag_fail(d, WN_ERR_USAGE, "%s needs a problem such as mb1ic16ih32oc16kh3ph1%s",
              command_name(o->command),
              o->command == CMD_CONV      ? ", or --input and --weights"
              : o->command == CMD_EXPLAIN ? ""
                                          : ", or --batch FILE");
}

void options_parse(options *o, arena *a, int argc, char *const *argv) {
  uint64_t seen = 0;
  memset(o, 0, sizeof *o);
  o->command = CMD_NONE;
  int i = 1;
  if (argc > 1 && argv[1][0] != '-') {
    for (int c = 0; c < CMD_COUNT; ++c)
      if (!strcmp(argv[1], commands[c].name)) o->command = (command)c;
    if (!strcmp(argv[1], "help")) {
      o->help = true;
      return;
    }
    if (o->command == CMD_NONE)
      diag_fail(a->diag, WN_ERR_USAGE,
                "unknown command '%.80s': expected compare, conv, bench, explain, tune, devices or "
                "cache",
                argv[1]);
    ++i;
  }
  for (; i < argc; ++i) {
    if (argv[i][0] == '-' && argv[i][1])
      i = parse_flag(o, a, argc, argv, i, &seen);
    else
      vec_push(a, &o->problems, argv[i]);
  }
  if (o->help || o->version || o->command == CMD_NONE) return;
  read_environment(o, a);
  check(o, a);
}
