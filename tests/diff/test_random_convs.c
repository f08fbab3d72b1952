/* Convolutions of random shapes, different each time, through every plan of interest and every
 * backend, against plain loops in float64. The seed is printed; WINNOW_SEED=<seed> draws the same
 * shapes again, and the seed that a failure names draws its shape first. WINNOW_LONG=1 goes on for
 * minutes, WINNOW_SECONDS=<n> for that long.
 *
 * Beside them some thousand runs that are the same each time: small shapes, each through one plan, one backend and one
 * instruction set of the CPU. WINNOW_RUNS=<n> says how many, from WINNOW_SEED on. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff/conv_case.h"
#include "isas.h"
#include "sanitized.h"

enum {
  PATIENCE = 300, /* seconds for one shape, sanitizers and all */
  RUNNING = 512,
  SCHEDULES = 4 /* spelled at random, for each shape */
};
#define TILE_FACTOR 4.0 /* an error over the predicted one: it is an average over data */

static const char *const plans[] = {"auto",  "old",    "new",    "one",    "inline-m", "fused",
                                    "split", "old-2k", "direct", "x-only", "g-only"};
enum { PLANS = sizeof plans / sizeof *plans };

static double time_limit(double quick) {
  if (getenv("WINNOW_SECONDS") != NULL) return atof(getenv("WINNOW_SECONDS"));
  return getenv("WINNOW_LONG") != NULL ? 150 * quick : in_part() ? quick / 3 : quick;
}

/* --- one case, one plan, one backend ---------------------------------------------------------- */

typedef struct attempt {
  const conv_case *c, *moved; /* the same at other places */
  const char *plan, *backend;
  const char *isa, *wino; /* wino NULL: the default */
  bool variable, may_refuse;
  int turn;       /* -1, or which of three ways the next plan runs, where it is not drawn */
  double scatter; /* an error's over the promised one */
  int failures;
  char *running; /* shared with the parent process */
} attempt;

static void describe(const attempt *a, char *text, size_t size) {
  snprintf(text, size, "%s --plan '%s' --backend %s%s%s%s%s%s; WINNOW_SEED=%" PRIu64, a->c->text,
           a->plan, a->backend, a->isa ? " --isa " : "", a->isa ? a->isa : "",
           a->wino ? " --wino " : "", a->wino ? a->wino : "",
           a->variable ? " --weights-mode variable" : "", a->c->seed);
}

static void complain(attempt *a, const char *what, double value, double limit) {
  char text[RUNNING];
  describe(a, text, sizeof text);
  print_message("# WRONG: %s: %s (%.3g, limit %.3g)\n", text, what, value, limit);
  a->failures++;
}

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* Padding and dilation can leave a filter no element of the image to read. */
static bool is_zero(const conv_case *c) {
  for (int64_t i = 0; i < c->y_count; ++i) {
    if (c->expected[i] != 0) return false;
  }
  return true;
}

/* A plan may be refused only where there is no window to rewrite, and says why. */
static void check_refusal(attempt *a, wn_context *ctx, wn_status st) {
  char message[300];
  snprintf(message, sizeof message, "status %d: %.250s", (int)st, wn_message(ctx));
  bool named = strcmp(a->plan, "auto") != 0 && strcmp(a->plan, "direct") != 0;
  bool window = case_has_window(a->c) && !is_zero(a->c) && !a->may_refuse;
  if (st != WN_ERR_REFUSED || wn_message(ctx)[0] == '\0' || !named || window)
    complain(a, message, 0, 0);
}

static void run_and_check(attempt *a, wn_program *p) {
  for (int round = 0; round < 2; ++round) {
    /* the second finds a workspace that is not zero, on arrays that the program was not compiled with */
    const conv_case *c = round == 0 ? a->c : a->moved;
    if (round > 0 && case_bind(p, c) != WN_OK) complain(a, wn_program_message(p), 0, 0);
    memset(c->y, 0xff, sizeof *c->y * (size_t)c->y_count);
    if (wn_run(p) != WN_OK) complain(a, "does not run", 0, 0);
    double error = relative_l2(c->y, c->expected, c->y_count), limit = a->scatter * case_promise(c);
    wn_program_info info = WN_PROGRAM_INFO();
    wn_program_get_info(p, &info);
    /* a tile that was asked for may miss the promise, but not by more than was said */
    if (a->wino != NULL && info.error_bound > 0)
      limit = fmax(limit, TILE_FACTOR * info.error_bound);
    else if (info.promise_missed)
      complain(a, "misses the promise by choice", error, limit);
    if (!case_is_clean(c)) complain(a, "writes past its result", 0, 0);
    if (!(error <= limit)) {
      complain(a, round ? "wrong where it is bound" : "wrong", error, limit);
      return;
    }
  }
}

static void try_one(attempt *a) {
  wn_context *ctx;
  if (wn_context_create(&ctx) != WN_OK) fail();
  wn_on_warning(ctx, ignore_warning, NULL);
  describe(a, a->running, RUNNING);
  wn_tensor *y = case_graph(a->c, ctx);
  wn_program *p = NULL;
  void *data = a->c->y;
  const wn_options o = WN_OPTIONS(.plan = a->plan, .backend = a->backend, .isa = a->isa,
                                  .wino = a->wino, .variable_weights = a->variable,
                                  .threads = 1 + (int)(a->c->seed % 4), .no_cache = 1);
  wn_status st = wn_compile(ctx, &y, &data, 1, &o, &p);
  if (st == WN_OK)
    run_and_check(a, p);
  else
    check_refusal(a, ctx, st);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

/* Any of the machine's: each has vectors, registers and masks of its own. */
static const char *draw_isa(uint64_t *s) {
  isa_list have = machine_isas();
  return have.name[below(s, have.count)];
}

/* A schedule that nobody would choose. */
static void draw_schedule(uint64_t *s, char *text, size_t size) {
  static const char *const space[] = {"inline", "reg", "local", "global", "global", "global"};
  static const char *const at[] = {"", "", "", "", "@t0", "@k0", "@n"};
  size_t n = 0;
  for (int i = 0; i < 4; ++i) {
    n += (size_t)snprintf(text + n, size - n, "%s%c=%s%s", i ? "," : "", "xgmo"[i],
                          i == 3 ? "global" : space[below(s, 6)], i == 3 ? "" : at[below(s, 7)]);
  }
  static const char options[] = "tkc";
  for (int i = 0; i < 3; ++i) {
    if (chance(s, 40))
      n += (size_t)snprintf(text + n, size - n, ";%c=%d", options[i], (int)between(s, 1, 40));
  }
  if (chance(s, 60)) n += (size_t)snprintf(text + n, size - n, ";v=%c", "tk"[below(s, 2)]);
  if (chance(s, 50)) n += (size_t)snprintf(text + n, size - n, ";chunk=%d", (int)between(s, 1, 30));
  if (chance(s, 20)) snprintf(text + n, size - n, ";launch=joint");
}

static void try_backends(attempt *a, uint64_t *s) {
  bool compile = chance(s, 2);
  a->variable = chance(s, 25);
  a->isa = draw_isa(s);
  a->backend = "interp";
  const char *isa = a->isa;
  bool interpret = a->c->products < 400000, all = !in_part() && a->turn < 0;
  int one = (int)below(s, interpret ? 3 : 1); /* 0: the default backend */
  if (a->turn >= 0 && interpret) one = a->turn++ % 3;
  if (interpret) {
    if (all || one == 1) try_one(a);
    a->isa = "simt"; /* as a device would run it */
    if (all || one == 2) try_one(a);
  }
  a->isa = isa;
  a->backend = "cpu";
  if (all || one == 0) try_one(a);
  a->backend = "cpu:cc";
  if (compile) try_one(a);
}

/* Every plan through the interpreter and the default backend, a few through the C compiler; by turns, and under
 * AddressSanitizer, each through one of them. */
static int try_plans(const conv_case *c, const conv_case *moved, int turn, char *text) {
  static const char *const tiles[] = {"2", "3", "4", "5", "6", "7", "8"};
  attempt a = {.c = c, .moved = moved, .running = text, .turn = turn, .scatter = 1};
  uint64_t s = c->seed ^ UINT64_C(0x7ac1);
  for (int i = 0; i < PLANS; ++i) {
    a.plan = plans[i];
    a.wino = chance(&s, 10) && strcmp(plans[i], "direct") != 0 ? tiles[below(&s, 7)] : NULL;
    try_backends(&a, &s);
  }
  a.wino = NULL;
  a.may_refuse = true;
  for (int i = 0; i < SCHEDULES; ++i) {
    char schedule[160];
    draw_schedule(&s, schedule, sizeof schedule);
    a.plan = schedule;
    try_backends(&a, &s);
  }
  return a.failures;
}

/* In a process of its own, so that a crash is one more failure that names its case. */
static int try_case(conv_case *c, int turn, char *text) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) fail();
  if (child == 0) {
    alarm(PATIENCE);
    conv_case moved;
    if (!case_fill(c) || !case_move(c, &moved)) _exit(1);
    int failures = try_plans(c, &moved, turn, text);
    case_free(&moved);
    case_free(c);
    exit(failures > 100 ? 100 : failures);
  }
  int status;
  while (waitpid(child, &status, 0) != child) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) <= 100) return WEXITSTATUS(status);
  const char *how = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "TOO SLOW" : "CRASH";
  print_message("# %s: %s\n", how, text);
  return 1;
}

static void random_shapes(void **state) {
  uint64_t seed = test_seed();
  double end = seconds_now() + time_limit(4);
  int cases = 0, failures = 0;
  int limit = getenv("WINNOW_CASES") != NULL ? atoi(getenv("WINNOW_CASES")) : 1 << 30;
  for (; cases < limit && (cases == 0 || seconds_now() < end) && failures < 200; ++cases) {
    conv_case c = case_draw(seed + (uint64_t)cases, cases % 8 == 7 ? 4000000 : 400000);
    failures += try_case(&c, -1, *state);
  }
  print_message("# %d shapes\n", cases);
  assert_int_equal(failures, 0);
}

/* --- runs that are the same each time --------------------------------------------------------- */

enum { RUNS = 60, LONG_RUNS = 20000, WORKERS = 64, FIRST_SEED = 1000000 };

/* What the processes share: `text` says what each is at. */
typedef struct board {
  int workers, runs;
  struct {
    int at, failures,
        shortened; /* the run, those that were wrong, those with a kernel too long for its compiler */
    char text[RUNNING];
  } worker[WORKERS];
} board;

static const char *draw_plan(uint64_t *s, char *schedule, size_t size) {
  if (chance(s, 80)) return plans[below(s, PLANS)];
  draw_schedule(s, schedule, size);
  return schedule;
}

/* Kernels that are too long are interpreted, which is what was asked for; for any other reason it is a fault. */
static bool is_shortened(attempt *a, wn_program *p) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(p, &info);
  if (info.fallback == NULL || strcmp(a->backend, "interp") == 0) return false;
  if (strstr(info.fallback, "--max-lines") == NULL) complain(a, info.fallback, 0, 0);
  return true;
}

/* One shape, one plan, one backend; the seed decides all of it. */
static int one_run(uint64_t seed, char *text, int *shortened) {
  static const char *const backends[] = {"cpu", "cpu", "cpu", "cpu:cc", "cpu:cc", "interp"};
  uint64_t s = seed ^ UINT64_C(0x9a5d);
  conv_case c = case_draw(seed, 30000), moved;
  char schedule[160];
  attempt a = {.c = &c, .moved = &moved, .running = text};
  /* The promise is of the mean; of n outputs the error scatters by about 1 / sqrt(2 n), and of 20,000 runs some are at
   * four times that. */
  a.scatter = 1 + 4 / sqrt(2 * (double)c.y_count);
  a.backend = backends[below(&s, 6)];
  a.isa = draw_isa(&s);
  a.plan = draw_plan(&s, schedule, sizeof schedule);
  a.may_refuse = a.plan == schedule;
  a.variable = chance(&s, 50);
  describe(&a, text, RUNNING);
  wn_context *ctx;
  if (!case_fill(&c) || !case_move(&c, &moved) || wn_context_create(&ctx) != WN_OK) exit(1);
  wn_on_warning(ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(&c, ctx);
  wn_program *p = NULL;
  void *data = c.y;
  const wn_options o = WN_OPTIONS(.plan = a.plan, .backend = a.backend, .isa = a.isa,
                                  .variable_weights = a.variable, .threads = 1 + (int)(seed % 3),
                                  .max_lines = 600, /* of which a compiler makes short work */
                                  .untuned = 1);
  wn_status st = wn_compile(ctx, &y, &data, 1, &o, &p);
  if (st == WN_OK) {
    *shortened += is_shortened(&a, p);
    run_and_check(&a, p);
  } else {
    check_refusal(&a, ctx, st);
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  case_free(&moved);
  case_free(&c);
  return a.failures;
}

static void work(board *b, int w, uint64_t seed) {
  for (; b->worker[w].at < b->runs; b->worker[w].at += b->workers) {
    alarm(PATIENCE);
    b->worker[w].failures +=
        one_run(seed + (uint64_t)b->worker[w].at, b->worker[w].text, &b->worker[w].shortened);
  }
}

/* A process that works on the w-th run and every so many from there on. */
static pid_t start_worker(board *b, int w, uint64_t seed) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) fail();
  if (child > 0) return child;
  work(b, w, seed);
  fflush(NULL);
  _exit(0);
}

static void guarded_runs(void **state) {
  (void)state;
  uint64_t seed = FIRST_SEED;
  if (getenv("WINNOW_SEED") != NULL) seed = strtoull(getenv("WINNOW_SEED"), NULL, 10);
  board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(b != MAP_FAILED);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  pid_t process[WORKERS];
  b->runs = in_part()                       ? RUNS / 3
            : getenv("WINNOW_LONG") == NULL ? RUNS
            : ADDRESS_SANITIZER             ? LONG_RUNS / 10
                                            : LONG_RUNS;
  if (getenv("WINNOW_RUNS") != NULL) b->runs = atoi(getenv("WINNOW_RUNS"));
  b->workers = cores < 1 ? 1 : cores > WORKERS ? WORKERS : (int)cores;
  print_message("# WINNOW_SEED=%" PRIu64 ": %d runs in %d processes\n", seed, b->runs, b->workers);
  int failures = 0, shortened = 0;
  for (int w = 0; w < b->workers; ++w) {
    b->worker[w].at = w;
    process[w] = start_worker(b, w, seed);
  }
  for (int w = 0; w < b->workers; ++w) {
    int status;
    while (waitpid(process[w], &status, 0) != process[w]) continue;
    if (!WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) { /* what comes behind it is run none the less */
      print_message("# %s: %s\n",
                    WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "TOO SLOW" : "CRASH",
                    b->worker[w].text);
      ++b->worker[w].failures;
      b->worker[w].at += b->workers;
      process[w] = start_worker(b, w, seed);
      --w; /* to be waited for again */
      continue;
    }
    failures += b->worker[w].failures;
    shortened += b->worker[w].shortened;
  }
  print_message("# %d runs, %d wrong, %d with kernels that are too long to be compiled\n", b->runs,
                failures, shortened);
  munmap(b, sizeof *b);
  assert_int_equal(failures, 0);
}

/* --- the shapes that break things, each time -------------------------------------------------- */

typedef struct fixed {
  const char *why;
  conv_case c;
} fixed;

#define PLAIN  \
  .groups = 1, \
  .p = {.stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad_lo = {1, 1, 1}, .pad_hi = {1, 1, 1}}

static const fixed fixed_cases[] = {
    {"one pixel, padded", {.nd = 2, .n = 1, .c = 1, .k = 1, .in = {1, 1}, .r = {3, 3}, PLAIN}},
    {"one channel", {.nd = 2, .n = 1, .c = 1, .k = 3, .in = {17, 23}, .r = {3, 3}, PLAIN}},
    {"primes", {.nd = 2, .n = 3, .c = 13, .k = 17, .in = {11, 13}, .r = {3, 3}, PLAIN}},
    {"long signal", {.nd = 1, .n = 2, .c = 5, .k = 7, .in = {131}, .r = {3}, PLAIN}},
    {"volume", {.nd = 3, .n = 1, .c = 5, .k = 6, .in = {5, 6, 7}, .r = {3, 3, 3}, PLAIN}},
    {"one row of the filter",
     {.nd = 3,
      .n = 1,
      .c = 4,
      .k = 4,
      .in = {4, 9, 9},
      .r = {1, 3, 3},
      .groups = 1,
      .p = {.stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad_lo = {0, 1, 1}, .pad_hi = {0, 1, 1}}}},
    {"depthwise",
     {.nd = 2,
      .n = 2,
      .c = 9,
      .k = 9,
      .groups = 9,
      .in = {15, 14},
      .r = {3, 3},
      .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}}},
    {"mixed strides",
     {.nd = 2,
      .n = 1,
      .c = 6,
      .k = 8,
      .groups = 2,
      .in = {19, 22},
      .r = {5, 3},
      .p = {.stride = {2, 1}, .dilation = {1, 2}, .pad_lo = {2, 0}, .pad_hi = {1, 3}}}},
    {"long chains", {.nd = 2, .n = 1, .c = 193, .k = 5, .in = {7, 7}, .r = {3, 3}, PLAIN}},
    {"nine taps",
     {.nd = 2,
      .n = 1,
      .c = 3,
      .k = 4,
      .groups = 1,
      .in = {20, 21},
      .r = {9, 1},
      .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {4, 0}, .pad_hi = {4, 0}}}},
};

/* In the quick tier the seed says which plan runs which way on which shape. */
static void fixed_shapes(void **state) {
  int failures = 0, first = (int)(test_seed() % 3);
  for (size_t i = 0; i < sizeof fixed_cases / sizeof *fixed_cases; ++i) {
    conv_case c = fixed_cases[i].c;
    c.seed = i;
    if (!case_finish(&c)) fail_msg("%s: no output", fixed_cases[i].why);
    case_describe(&c);
    int turn = getenv("WINNOW_LONG") != NULL ? -1 : first + (int)i;
    failures += try_case(&c, turn, *state);
  }
  assert_int_equal(failures, 0);
}

static int share_text(void **state) {
  *state = mmap(NULL, RUNNING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *state == MAP_FAILED ? -1 : 0;
}

static int unshare_text(void **state) { return munmap(*state, RUNNING); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fixed_shapes),
      cmocka_unit_test(guarded_runs),
      cmocka_unit_test(random_shapes),
  };
  return cmocka_run_group_tests_name("random convolutions", tests, share_text, unshare_text);
}
