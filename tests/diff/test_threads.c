/* Programs and threads: different programs run at once, one program is run by several threads that take
 * turns, contexts of their own are compiled at the same time, and the blocks of every plan's kernels
 * are independent. Meant for ThreadSanitizer as well (-DWINNOW_SANITIZE=thread): in the interpreter
 * it sees every access to memory, in compiled kernels none. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "diff/conv_case.h"

enum { THREADS = 4, RUNS = 12 };

static const conv_case small = {
    .seed = 11,
    .nd = 2,
    .n = 1,
    .c = 6,
    .k = 8,
    .groups = 1,
    .in = {13, 14},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};

/* A worker never calls fail(): it counts, and the test thread looks. */
typedef struct worker {
  pthread_t thread;
  const char *plan, *backend;
  int threads; /* of each program */
  conv_case c;
  wn_program *shared;
  pthread_barrier_t *start;
  int wrong;
} worker;

static void check(worker *w) {
  double error = relative_l2(w->c.y, w->c.expected, w->c.y_count);
  w->wrong += !(error <= case_promise(&w->c));
}

static wn_program *compile(worker *w, wn_context **ctx) {
  wn_program *p = NULL;
  *ctx = NULL;
  if (wn_context_create(ctx) != WN_OK) return NULL;
  wn_tensor *y = case_graph(&w->c, *ctx);
  void *data = w->c.y;
  const wn_options o =
      WN_OPTIONS(.plan = w->plan, .backend = w->backend, .threads = w->threads, .no_cache = 1);
  return wn_compile(*ctx, &y, &data, 1, &o, &p) == WN_OK ? p : NULL;
}

/* Compiles a program of its own and runs it again and again. */
static void *own_program(void *argument) {
  worker *w = argument;
  wn_context *ctx;
  pthread_barrier_wait(w->start);
  wn_program *p = compile(w, &ctx);
  w->wrong += p == NULL;
  for (int i = 0; p != NULL && i < RUNS; ++i) {
    memset(w->c.y, 0xff, sizeof *w->c.y * (size_t)w->c.y_count);
    w->wrong += wn_run(p) != WN_OK;
    check(w);
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  return NULL;
}

/* Runs a program that others run too. Its result is the same each time, so it may be compared after all. */
static void *shared_program(void *argument) {
  worker *w = argument;
  pthread_barrier_wait(w->start);
  for (int i = 0; i < RUNS; ++i) w->wrong += wn_run(w->shared) != WN_OK;
  return NULL;
}

static void fill(worker *w, uint64_t seed) {
  w->c = small;
  w->c.seed = seed;
  assert_true(case_finish(&w->c));
  assert_true(case_fill(&w->c));
}

static void run_workers(worker *w, void *(*body)(void *)) {
  pthread_barrier_t start;
  assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
  for (int i = 0; i < THREADS; ++i) {
    w[i].start = &start;
    assert_int_equal(pthread_create(&w[i].thread, NULL, body, &w[i]), 0);
  }
  for (int i = 0; i < THREADS; ++i) assert_int_equal(pthread_join(w[i].thread, NULL), 0);
  pthread_barrier_destroy(&start);
  for (int i = 0; i < THREADS; ++i) assert_int_equal(w[i].wrong, 0);
}

static void different_programs(const char *backend) {
  static const char *const plans[THREADS] = {"old", "fused", "direct", "one"};
  worker w[THREADS] = {0};
  for (int i = 0; i < THREADS; ++i) {
    w[i].plan = plans[i];
    w[i].backend = backend;
    w[i].threads = 1 + i % 3;
    fill(&w[i], 100 + (uint64_t)i);
  }
  run_workers(w, own_program);
  for (int i = 0; i < THREADS; ++i) case_free(&w[i].c);
}

static void one_program(const char *backend, int threads, const char *plan) {
  worker owner = {.plan = plan, .backend = backend, .threads = threads}, w[THREADS] = {0};
  wn_context *ctx;
  fill(&owner, 7);
  wn_program *p = compile(&owner, &ctx);
  if (p == NULL) fail_msg("%s", wn_message(ctx));
  for (int i = 0; i < THREADS; ++i) w[i].shared = p;
  memset(owner.c.y, 0xff, sizeof *owner.c.y * (size_t)owner.c.y_count);
  run_workers(w, shared_program);
  check(&owner);
  assert_int_equal(owner.wrong, 0);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  case_free(&owner.c);
}

static void test_different_interp(void **state) {
  (void)state;
  different_programs("interp");
}

static void test_different_cpu(void **state) {
  (void)state;
  different_programs("cpu");
}

static void test_different_cc(void **state) {
  (void)state;
  different_programs("cpu:cc");
}

/* Two blocks that touch the same element are a race that only a sanitizer sees for certain. */
static void test_blocks(void **state) {
  (void)state;
  const char *const *plans = wn_plan_names();
  for (int i = 0; plans[i] != NULL; ++i) {
    worker w = {.plan = plans[i], .backend = "interp", .threads = 3};
    wn_context *ctx;
    fill(&w, 30 + (uint64_t)i);
    wn_program *p = compile(&w, &ctx);
    if (p == NULL) fail_msg("%s: %s", plans[i], wn_message(ctx));
    for (int run = 0; run < 3; ++run) {
      memset(w.c.y, 0xff, sizeof *w.c.y * (size_t)w.c.y_count);
      assert_int_equal(wn_run(p), WN_OK);
      check(&w);
    }
    if (w.wrong) fail_msg("%s is wrong with 3 threads", plans[i]);
    wn_program_destroy(p);
    wn_context_destroy(ctx);
    case_free(&w.c);
  }
}

/* The first run prepares the weights: all threads arrive at it together. */
static void test_one(void **state) {
  (void)state;
  one_program("interp", 1, "old");
  one_program("interp", 2, "fused");
  one_program("cpu", 1, "old");
  one_program("cpu", 3, "old-2k");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_different_interp), cmocka_unit_test(test_different_cpu),
      cmocka_unit_test(test_different_cc),     cmocka_unit_test(test_one),
      cmocka_unit_test(test_blocks),
  };
  return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
