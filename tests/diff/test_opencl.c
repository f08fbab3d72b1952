/* Every named plan on an OpenCL device, as work items in groups or as vectors, by the seed (WINNOW_LONG=1: as both), at
 * the reference problem; and random shapes with a plan each, different ones every time, against plain loops in
 * float64. What falls back to the interpreter may do so only for its length. The seed is printed; WINNOW_SEED=<seed>
 * draws the same again, and the seed that a failure names draws its pair first. WINNOW_LONG=1 draws 200 pairs,
 * WINNOW_CASES=<n> so many. WINNOW_TEST_OPENCL=<PLATFORM:DEVICE> is the device, else a CPU's if there is one. Each pair
 * runs in a process of its own, so that a driver that crashes is one more failure that names its case. */
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
#include "backend/runtime.h"
#include "sanitized.h"

enum { PATIENCE = 600, TEXT = 600, PAIRS = 6, LONG_PAIRS = 200, FAILED = 1, NO_DEVICE = 77 };
#define TILE_FACTOR 4.0 /* an error over the predicted one: it is an average over data */

static const char *const isas[] = {"simd", "simt"};

typedef struct pair {
  const conv_case *c;
  const char *plan, *isa, *wino;
  bool variable;
  char *running; /* shared with the parent process */
} pair;

static const conv_case reference = {
    .seed = 1,
    .nd = 2,
    .n = 1,
    .c = 16,
    .k = 16,
    .groups = 1,
    .in = {32, 32},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};

/* --- the device ------------------------------------------------------------------------------- */

/* "opencl:0:1", or NULL with the reason why there is none. */
static const char *find_device(arena *a, const char **why) {
  const device_info *list = NULL;
  const char *asked = getenv("WINNOW_TEST_OPENCL");
  int n = runtime_devices(a->diag, a, "opencl", &list, why), best = 0;
  if (n == 0) return NULL;
  if (asked) return arena_printf(a, "opencl:%s", asked);
  for (int i = n; i-- > 0;)
    if (strcmp(list[i].kind, "cpu") == 0) best = i;
  return arena_printf(a, "opencl:%s", list[best].spec);
}

/* --- one pair, in a process of its own -------------------------------------------------------- */

static bool complain(const pair *p, const char *what, double error, double limit) {
  print_message("# WRONG: %s: %s (%.3g, limit %.3g)\n", p->running, what, error, limit);
  fflush(stdout);
  return false;
}

static bool is_zero(const conv_case *c) {
  for (int64_t i = 0; i < c->y_count; ++i)
    if (c->expected[i] != 0) return false;
  return true;
}

/* A plan may be refused only where there is no window to rewrite. */
static bool may_refuse(const pair *p, wn_context *ctx, wn_status st) {
  char message[300];
  bool named = strcmp(p->plan, "auto") != 0 && strcmp(p->plan, "direct") != 0;
  bool window = case_has_window(p->c) && !is_zero(p->c);
  if (st == WN_ERR_REFUSED && named && !window) return true;
  snprintf(message, sizeof message, "status %d: %.250s", (int)st, wn_message(ctx));
  return complain(p, message, 0, 0);
}

static double limit_of(const pair *p, const wn_program_info *info) {
  double limit = case_promise(p->c);
  return p->wino && info->error_bound > 0 ? fmax(limit, TILE_FACTOR * info->error_bound) : limit;
}

static bool is_right_in(const pair *p, wn_program *program, float *y, const char *how) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(program, &info);
  double error = relative_l2(y, p->c->expected, p->c->y_count), limit = limit_of(p, &info);
  memset(y, 0xff, sizeof *y * (size_t)p->c->y_count);
  return error <= limit || complain(p, how, error, limit);
}

static bool is_right(const pair *p, wn_program *program, const char *how) {
  return is_right_in(p, program, p->c->y, how);
}

/* On other arrays, and a second program on the same device, which shares the weights. */
static bool run_bound(const pair *p, wn_program *program) {
  conv_case moved;
  wn_program *other = NULL;
  if (!case_move(p->c, &moved)) return complain(p, "no memory", 0, 0);
  bool ok = wn_program_share(program, &other) == WN_OK && wn_bind(other, 2, p->c->y) == WN_OK &&
            case_bind(program, &moved) == WN_OK && wn_run(other) == WN_OK &&
            wn_run(program) == WN_OK;
  if (!ok) complain(p, wn_program_message(other != NULL ? other : program), 0, 0);
  ok = ok && is_right_in(p, program, moved.y, "wrong where it is bound") &&
       is_right(p, other, "wrong in one that shares");
  wn_program_destroy(other);
  case_free(&moved);
  return ok;
}

/* A run by itself, one of parts, and one with a clock: all give the same. */
static bool run_all_ways(const pair *p, wn_program *program) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(program, &info);
  if (info.fallback && !strstr(info.fallback, "--max-lines"))
    return complain(p, info.fallback, 0, 0);
  double us[64];
  memset(p->c->y, 0xff, sizeof *p->c->y * (size_t)p->c->y_count);
  if (wn_run(program) != WN_OK) return complain(p, wn_program_message(program), 0, 0);
  if (!is_right(p, program, "wrong")) return false;
  bool ok = wn_prepare(program) == WN_OK && wn_upload(program) == WN_OK &&
            wn_launch(program) == WN_OK && wn_launch(program) == WN_OK &&
            wn_wait(program) == WN_OK && wn_download(program) == WN_OK;
  if (!ok) return complain(p, wn_program_message(program), 0, 0);
  if (!is_right(p, program, "wrong in parts")) return false;
  if (wn_run_timed(program, us) != WN_OK) return complain(p, wn_program_message(program), 0, 0);
  for (int i = 0; i < info.kernels; ++i)
    if (!(us[i] > 0 && us[i] < 1e9)) return complain(p, "no time of a kernel", us[i], 1e9);
  return is_right(p, program, "wrong with a clock") && run_bound(p, program);
}

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

static int run_pair(const pair *p) {
  diag d;
  diag_init(&d);
  arena a;
  arena_init(&a, &d);
  const char *why, *backend = find_device(&a, &why);
  wn_context *ctx;
  if (backend == NULL) snprintf(p->running, TEXT, "%s", why);
  if (backend == NULL || wn_context_create(&ctx) != WN_OK) return NO_DEVICE;
  wn_on_warning(ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(p->c, ctx);
  wn_program *program = NULL;
  void *data = p->c->y;
  const wn_options o = WN_OPTIONS(.plan = p->plan, .backend = backend, .isa = p->isa,
                                  .wino = p->wino, .variable_weights = p->variable, .no_cache = 1);
  wn_status st = wn_compile(ctx, &y, &data, 1, &o, &program);
  bool ok = st == WN_OK ? run_all_ways(p, program) : may_refuse(p, ctx, st);
  wn_program_destroy(program);
  wn_context_destroy(ctx);
  arena_release(&a);
  return ok ? 0 : FAILED;
}

/* How the pair ended: 0, FAILED or NO_DEVICE. */
static int try_pair(const pair *p) {
  snprintf(p->running, TEXT, "%s --plan %s --backend opencl --isa %s%s%s%s; WINNOW_SEED=%" PRIu64,
           p->c->text, p->plan, p->isa, p->wino ? " --wino " : "", p->wino ? p->wino : "",
           p->variable ? " --weights-mode variable" : "", p->c->seed);
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) fail();
  if (child == 0) {
    alarm(PATIENCE);
    exit(run_pair(p)); /* not _exit: what leaks is to be seen */
  }
  int status;
  while (waitpid(child, &status, 0) != child) continue;
  if (WIFEXITED(status) && (WEXITSTATUS(status) <= FAILED || WEXITSTATUS(status) == NO_DEVICE))
    return WEXITSTATUS(status);
  const char *how = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "TOO SLOW" : "CRASH";
  print_message("# %s (status %d): %s\n", how, status, p->running);
  return FAILED;
}

static void skip_without_device(const char *why) {
  print_message("# skipped: no OpenCL device: %s\n", why);
  skip();
}

/* --- tests ------------------------------------------------------------------------------------ */

static void named_plans(void **state) {
  conv_case c = reference;
  const char *const *plans = wn_plan_names();
  int failures = 0, ended = 0, first = (int)(test_seed() % 2);
  if (!case_finish(&c) || !case_fill(&c)) fail();
  case_describe(&c);
  for (int i = 0; i < 2; ++i) {
    for (int k = 0; plans[k] && ended != NO_DEVICE; ++k) {
      /* drivers are slow, more so under sanitizers, which see every plan on other backends */
      if (in_part() ? k % 4 != 2 * i : getenv("WINNOW_LONG") == NULL && (k + i) % 2 != first)
        continue;
      pair p = {.c = &c, .plan = plans[k], .isa = isas[i], .running = *state};
      ended = try_pair(&p);
      failures += ended == FAILED;
    }
  }
  case_free(&c);
  if (ended == NO_DEVICE) skip_without_device(*state);
  assert_int_equal(failures, 0);
}

static int pairs_wanted(void) {
  if (getenv("WINNOW_CASES")) return atoi(getenv("WINNOW_CASES"));
  if (getenv("WINNOW_LONG")) return LONG_PAIRS;
  return ADDRESS_SANITIZER ? PAIRS / 3 : PAIRS;
}

static void random_pairs(void **state) {
  static const char *const tiles[] = {"2", "3", "4", "5", "6"};
  const char *const *plans = wn_plan_names();
  uint64_t seed = test_seed();
  int nplans = 0, failures = 0, ended = 0, n = pairs_wanted();
  while (plans[nplans]) nplans++;
  setenv("POCL_KERNEL_CACHE", "0", 0); /* these kernels are not seen again */
  for (int i = 0; i < n && ended != NO_DEVICE; ++i) {
    conv_case c = case_draw(seed + (uint64_t)i, 400000);
    uint64_t s = c.seed ^ UINT64_C(0x0c1);
    pair p = {.c = &c, .plan = plans[below(&s, nplans)], .running = *state};
    p.isa = isas[below(&s, 2)];
    p.wino = chance(&s, 20) && strcmp(p.plan, "direct") != 0 ? tiles[below(&s, 5)] : NULL;
    p.variable = chance(&s, 25);
    if (!case_fill(&c)) fail();
    ended = try_pair(&p);
    failures += ended == FAILED;
    case_free(&c);
  }
  if (ended == NO_DEVICE) skip_without_device(*state);
  print_message("# %d pairs of a shape and a plan\n", n);
  assert_int_equal(failures, 0);
}

static int share_text(void **state) {
  *state = mmap(NULL, TEXT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *state == MAP_FAILED ? -1 : 0;
}

static int unshare_text(void **state) { return munmap(*state, TEXT); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(named_plans),
      cmocka_unit_test(random_pairs),
  };
  return cmocka_run_group_tests_name("OpenCL", tests, share_text, unshare_text);
}
