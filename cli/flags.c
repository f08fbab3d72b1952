/* The tables of the command line; see flags.h. */
#include "flags.h"

#include "backend/registry.h"

#include <stddef.h>

#define BIT(c)       (1u << (c))
#define RUNS         (BIT(CMD_COMPARE) | BIT(CMD_CONV) | BIT(CMD_BENCH))
#define DATA         (RUNS | BIT(CMD_TUNE))
#define PROBLEMS     (DATA | BIT(CMD_EXPLAIN)) /* take one */
#define COMPILES     (PROBLEMS | BIT(CMD_RUN))
#define MODELS       (COMPILES & ~BIT(CMD_CONV))                     /* take one */
#define CHOSEN       (COMPILES & ~BIT(CMD_COMPARE) & ~BIT(CMD_TUNE)) /* one plan a problem */
#define ALL_COMMANDS (COMPILES | BIT(CMD_DEVICES) | BIT(CMD_CACHE))

#define AT(field)    offsetof(options, field)
const flag flags[] = {
    {"--plan", "PLAN", "a name or a schedule; again for more, in this order", LIST, AT(plans),
     BIT(CMD_COMPARE)},
    {"--plan", "PLAN", "a name or a schedule; default: auto", PLAN, AT(plan), CHOSEN},
    {"--all", NULL, "every combination of the placements, after any --plan", SWITCH, AT(all),
     BIT(CMD_COMPARE)},
    {"--wino", "M", "tile size 1 to 8, as 4 or 4x4; all: 2, 3, 4 and 6", WINO, AT(wino),
     BIT(CMD_COMPARE)},
    {"--wino", "M", "tile size 1 to 8, as 4 or 4x4; off: --plan direct", WINO, AT(wino), CHOSEN},
    {"--math", "MODE", "error promise: fp32 (default), fp32-fast or fp32-strict", MATH, AT(math),
     COMPILES},
    {"--backend", "NAME", NULL /* the table of backends says it */, BACKEND, AT(backend),
     COMPILES | BIT(CMD_DEVICES)},
    {"--isa", "NAME", "sse2, avx2, avx512, ...; default: the best here", ISA, AT(isa), COMPILES},
    {"--threads", "N", "1 to 1024; default: $WINNOW_THREADS, else all cores", THREADS, AT(threads),
     COMPILES},
    {"--weights-mode", "MODE", "constant (default: prepared once) or variable", WEIGHTS_MODE,
     AT(variable_weights), COMPILES},
    {"--input", "FILE", "picture, .npy, .npz or .pb; NAME=FILE, again for more", TEXTS, AT(inputs),
     BIT(CMD_RUN)},
    {"--input", "FILE", ".npy (mb, ic, [[d,] h,] w) or a photo; MODEL: as run", TEXTS, AT(inputs),
     PROBLEMS},
    {"--shape", "NAME=SHAPE", "of an input of a MODEL, as 1x3x224x224", TEXTS, AT(shapes), MODELS},
    {"--dim", "NAME=N", "what a MODEL leaves open, by its name: batch=1", TEXTS, AT(dims), MODELS},
    {"--channels", "NAME", "order that a MODEL has pictures in: rgb (default), bgr", CHANNELS,
     AT(photo.bgr), MODELS},
    {"--scale", "S", "of a pixel, 0 to 255, before --mean; default 1/255", SCALE, AT(photo.scale),
     MODELS},
    {"--mean", "A[,B,C]", "is taken off, one number or by channel; default 0", NUMBERS,
     AT(photo.mean), MODELS},
    {"--std", "A[,B,C]", "then divides; default 1", NUMBERS, AT(photo.std), MODELS},
    {"--fit", "HOW", "picture to input: stretch (default), crop or pad", FIT, AT(photo.fit),
     MODELS},
    {"--weights", "FILE", ".npy (oc, ic/g, [[kd,] kh,] kw)", WORD, AT(weights), DATA},
    {"--bias", "FILE", ".npy (oc), or the word random", WORD, AT(bias), PROBLEMS},
    {"--residual", "FILE", ".npy of the result's shape, or random", WORD, AT(residual), PROBLEMS},
    {"--act", "NAME", "none (default), relu, sigmoid, tanh, gelu or abs", ACT, AT(act), PROBLEMS},
    {"--layout", "NAME", "of input, residual, result: nchw (default) or nhwc", LAYOUT, AT(nhwc),
     PROBLEMS},
    {"--output", "FILE", ".npy, .png, or .npz of all; NAME=FILE, again for more", TEXTS,
     AT(outputs), BIT(CMD_RUN)},
    {"--dump", "VALUE", "a value inside, by its or its node's name; VALUE=FILE", TEXTS, AT(dumps),
     BIT(CMD_RUN)},
    {"--labels", "FILE", "a name a line: the best five are printed", WORD, AT(labels),
     BIT(CMD_RUN)},
    {"--exact", "FILE", ".npz of the outputs in float64, and the errors", WORD, AT(exact),
     BIT(CMD_RUN)},
    {"--save-inputs", "FILE", ".npz of what the network gets", WORD, AT(save_inputs), BIT(CMD_RUN)},
    {"--repeat", "N", "more runs, which are timed", POSITIVE, AT(repeat), BIT(CMD_RUN)},
    {"--output", "FILE", "the result: .npy, or .png (8 bits; 16 if --input has)", WORD, AT(output),
     BIT(CMD_CONV)},
    {"--batch", "FILE", "problems or models, a line each; not those with #, --", WORD, AT(batch),
     BIT(CMD_COMPARE) | BIT(CMD_BENCH) | BIT(CMD_TUNE)},
    {"--seconds", "S", "limit a problem, about; default 10", DURATION, AT(seconds), BIT(CMD_TUNE)},
    {"--candidates", "N", "of the least predicted cost, to start from; default 8", POSITIVE,
     AT(candidates), BIT(CMD_TUNE)},
    {"--seed", "N", "of the data that no file gives, uniform in [-1, 1)", SEED, AT(seed), COMPILES},
    {"--by-layer", NULL, "of a MODEL: the error of every value that has a name", SWITCH,
     AT(by_layer), BIT(CMD_COMPARE)},
    {"--runs", "N", "measurements of each plan; default: about 0.3 s", POSITIVE, AT(runs),
     RUNS | BIT(CMD_EXPLAIN)},
    {"--measure", NULL, "each choice is measured too, not only predicted", SWITCH, AT(measure),
     BIT(CMD_EXPLAIN)},
    {"--full", NULL, "of a MODEL: passes, choices and kernels too", SWITCH, AT(full),
     BIT(CMD_EXPLAIN)},
    {"--no-run", NULL, "nothing is measured", SWITCH, AT(no_run), BIT(CMD_EXPLAIN)},
    {"--max-memory", "SIZE", "limit of workspace and prepared weights: 64K, 512M, 2G", MEMORY,
     AT(max_memory), COMPILES},
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
    {"--trace", "FILE", "what ran when, for Perfetto; Metal: FILE.gputrace", WORD, AT(trace), RUNS},
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
     AT(on_request), BIT(CMD_CONV) | BIT(CMD_RUN)},
    {"--measure", NULL, "what they can do, in some seconds each", SWITCH, AT(measure),
     BIT(CMD_DEVICES)},
    {"--clear", NULL, "removes the file: kernels, tuned plans, limits", SWITCH, AT(clear),
     BIT(CMD_CACHE)},
    {"--help", NULL, "this text", SWITCH, AT(help), ALL_COMMANDS | BIT(CMD_NONE)},
    {"--version", NULL, "the version", SWITCH, AT(version), ALL_COMMANDS | BIT(CMD_NONE)},
};
#undef AT
const int flag_count = sizeof flags / sizeof *flags;
_Static_assert(sizeof flags / sizeof *flags <= FLAG_MOST, "FLAG_MOST is too small");

const command_text command_texts[CMD_COUNT] = {
    [CMD_RUN] = {"run", "MODEL", "a network on your data: pictures, .npy, .npz",
                 "A network, a file that ends in .onnx, on your data; without --input on random\n"
                 "numbers. Pictures (PNG, JPEG, ...) are turned upright and become (pixel *\n"
                 "scale - mean) / std at the input's height and width, or at their own where\n"
                 "the network leaves these open; NCHW or NHWC is seen in the input's shape. Grey\n"
                 "becomes 3 equal channels, colour becomes grey as 0.299 R + 0.587 G + 0.114 B,\n"
                 "transparency is dropped. crop: the largest part of the right proportions, from\n"
                 "the middle; pad: all of it in the middle of black; sizes change by linear\n"
                 "interpolation, which takes the mean of what it leaves out. An output of 1, 3 or\n"
                 "4 channels can be a .png, by the same numbers backwards."},
    [CMD_COMPARE] =
        {"compare", "PROBLEM|MODEL... | --batch FILE", "every named plan side by side",
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
         "other beats in time, memory and compile cost at once.\n"
         "Of a MODEL errors are of all outputs together, against the same network with\n"
         "every number in float64, which no plan rewrites; GFLOP/s are of its operations."},
    [CMD_CONV] = {"conv", "[PROBLEM]", "one convolution on your data (.npy or a photo)",
                  "One convolution, y = act(conv(x, w) + bias + residual), on your data. Without\n"
                  "PROBLEM the sizes are those of the files of --input and --weights, padded so\n"
                  "that the image keeps its size."},
    [CMD_BENCH] =
        {"bench", "PROBLEM|MODEL... | --batch FILE",
         "the chosen plan of each problem, or of --batch FILE",
         "The chosen plan of each problem, a line each. --peers: beside other libraries,\n"
         "each pinned in a process of its own, in turns; --plan then takes several names\n"
         "with commas between."},
    [CMD_EXPLAIN] =
        {"explain", "PROBLEM|MODEL", "what the recogniser saw, each pass, the kernels",
         "Why a plan is as fast as it is: its time beside what was predicted and what the\n"
         "machine allows, by kernel; what each other placement would cost; each kernel's\n"
         "loops and source; the program after each pass that changed it. The summary is\n"
         "first in a file or a pipe, and last on a terminal, where one ends up. Of a\n"
         "MODEL the summary and a table of its sites, what a plan says something about."},
    [CMD_TUNE] =
        {"tune", "PROBLEM|MODEL... | --batch FILE",
         "measures schedules and keeps the fastest for auto",
         "Measures the best few schedules of each problem and their neighbours, and\n"
         "keeps the fastest whose error is within the promise: every program of this user\n"
         "that computes the same takes it for plan auto, with this --math, --weights-mode,\n"
         "--isa, CPU and version and any --threads, on which no result depends: tune with\n"
         "as many as will run. An interrupt keeps what was found until then (exit status\n"
         "130)."},
    [CMD_DEVICES] =
        {"devices", "", "the backends of this machine",
         "The backends of this machine, each tried on a small convolution, or why one is\n"
         "missing. --measure: rates, cache sizes and bandwidths of the CPU and of every\n"
         "device, kept in the cache on disk; auto predicts with them from then on, and\n"
         "shares of the roofline are of them. Best on an idle machine."},
    [CMD_CACHE] =
        {"cache", "", "what is kept on disk",
         "The cache on disk: where it is and what it holds. It is in $WINNOW_CACHE, a\n"
         "folder, else in $XDG_CACHE_HOME/winnow, else in ~/.cache/winnow; WINNOW_CACHE=\n"
         "turns it off."},
};

const char help_title[] = "compiles convolutions to Winograd kernels, and times every way of it";

const help_topic help_topics[] = {
    {"PROBLEM", "",
     "PROBLEM is in benchdnn's notation: mb1ic16ih32oc16kh3ph1 is a batch of 1, 16\n"
     "channels in and out, 32x32, a 3x3 filter, padding 1. Sizes are mb (2 if missing)\n"
     "g ic oc and i o k s d p with an axis d h or w: input, output, filter, stride,\n"
     "dilation (0 is dense), padding; w sizes default to the h ones. A MODEL, a file\n"
     "that ends in .onnx, can stand for PROBLEM in all commands but conv.\n"},
    {"PLANS", "Plans: ",
     "auto direct old old-2k new inline-m one x-only g-only fused split, or a\n"
     "schedule such as x=local,g=global,m=reg,o=inline: input x, filter g, product m\n"
     "and output o of Winograd recomputed (inline), in registers (reg), in a kernel's\n"
     "array (local) or in memory (global); more in docs/architecture.md.\n"},
    {"ENVIRONMENT", "Environment: ",
     "DEBUG=1..5 (2: kernels, 3: plans, 4: source, 5: IR), WINO=0, 1, 2,\n"
     "3, 4, 6 (0: off, 1: on, else the tile), BEAM=n (conv, bench: tune n candidates\n"
     "first), WINNOW_THREADS, WINNOW_ISA, WINNOW_CACHE=folder, WINNOW_TRACE=1 (rules),\n"
     "WINNOW_DUMP=all or passes such as lower,apply (IR on stderr), NO_COLOR.\n"},
    {"EXIT STATUS",
     "Exit status: ", "0 right, 1 a wrong result or --strict met a fallback, 2 bad usage.\n"},
};
const int help_topic_count = sizeof help_topics / sizeof *help_topics;

/* --- words ------------------------------------------------------------------------------------ */

static const char *const math_names[] = {"fp32", "fp32-fast", "fp32-strict", NULL};
static const char *const modes[] = {"constant", "variable", NULL};
static const char *const layouts[] = {"nchw", "nhwc", NULL};
static const char *const tiles[] = {"2", "3", "4", "6", "all", NULL};
static const char *const channel_orders[] = {"rgb", "bgr", NULL};
static const char *const fits[] = {"stretch", "crop", "pad", NULL}; /* as photo_fit */
static const char *const all_peers[] = {"all", NULL};

const char *math_name(wn_math math) { return math_names[math]; }

bool flag_is_of(const flag *f, command c) { return (f->commands & BIT(c)) != 0; }

bool flag_repeats(const flag *f) { return f->kind == LIST || f->kind == TEXTS; }

static const char *const *words_of(const flag *f) {
  switch (f->kind) {
    case MATH:
      return math_names;
    case WEIGHTS_MODE:
      return modes;
    case LAYOUT:
      return layouts;
    case CHANNELS:
      return channel_orders;
    case FIT:
      return fits;
    case WINO:
      return tiles;
    case PEERS:
      return all_peers;
    case LIST:
    case PLAN:
      return wn_plan_names();
    default:
      return NULL;
  }
}

/* The i-th of the instruction sets that any backend knows, each once. */
static const char *isa_word(int i) {
  for (int b = 0; b < registry_count(); ++b) {
    for (const char *const *isa = registry_row(b)->backend->isas; *isa != NULL; ++isa) {
      bool before = false;
      for (int o = 0; o < b && !before; ++o)
        before = registry_knows_isa(registry_row(o)->backend, *isa);
      if (!before && i-- == 0) return *isa;
    }
  }
  return NULL;
}

const char *flag_help(const flag *f, char text[FLAG_HELP]) {
  return f->kind == BACKEND ? registry_names(text, FLAG_HELP, " or ", true) : f->help;
}

const char *flag_word(const flag *f, command c, int i) {
  if (f->kind == BACKEND) return i < registry_count() ? registry_row(i)->name : NULL;
  if (f->kind == ISA) return isa_word(i);
  if (f->kind == ACT) return i < ACT_COUNT ? activation_name((activation)i) : NULL;
  const char *const *words = words_of(f);
  for (int k = 0; words != NULL && k <= i; ++k)
    if (words[k] == NULL) return NULL;
  if (words == NULL) return NULL;
  bool one_tile = f->kind == WINO && c != CMD_COMPARE; /* all is for compare */
  return one_tile && strcmp(words[i], "all") == 0 ? NULL : words[i];
}
