/* Programs that share code and prepared weights (wn_program_share), each run and bound by a
 * thread of its own: all of them prepare at once, weights that one binds are its own, and
 * whichever goes first, the others work. Meant for ThreadSanitizer as well, which in the
 * interpreter sees every access to memory. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "diff/conv_case.h"

enum { THREADS = 4, RUNS = 12, IMAGE = 0, WEIGHTS = 1, RESULT = 2 };

static const conv_case small = {.seed = 11, CASE_SMALL};

typedef struct worker {
  pthread_t thread;
  conv_case c; /* of its own */
  const conv_case *first;
  wn_program *of; /* shared */
  pthread_barrier_t *start;
  atomic_int *running; /* threads that have a program still */
  int wrong;           /* a worker never calls fail(): it counts, and the test thread looks */
} worker;

static void run(worker *w, wn_program *p, const conv_case *c) {
  memset(w->c.y, 0xff, sizeof *w->c.y * (size_t)w->c.y_count);
  w->wrong += wn_run(p) != WN_OK;
  w->wrong += !(relative_l2(w->c.y, c->expected, w->c.y_count) <= case_promise(c));
}

/* The weights that all share first, then its own and those in turns. */
static void *share_and_run(void *argument) {
  worker *w = argument;
  wn_program *p;
  pthread_barrier_wait(w->start);
  w->wrong += wn_program_share(w->of, &p) != WN_OK;
  w->wrong += p == NULL || wn_bind(p, RESULT, w->c.y) != WN_OK;
  for (int i = 0; w->wrong == 0 && i < RUNS; ++i) run(w, p, w->first);
  for (int i = 0; w->wrong == 0 && i < RUNS; ++i) {
    const conv_case *c = i % 2 == 0 ? &w->c : w->first;
    w->wrong += wn_bind_many(p, 2, (int[]){IMAGE, WEIGHTS}, (const void *[]){c->x, c->w}) != WN_OK;
    run(w, p, c);
  }
  wn_program_destroy(p);
  atomic_fetch_sub(w->running, 1);
  return NULL;
}

static void check_shared(const char *backend, int threads, const char *plan) {
  worker w[THREADS];
  conv_case first = small;
  pthread_barrier_t start;
  atomic_int running = THREADS;
  wn_context *ctx;
  wn_program *p;
  assert_true(case_finish(&first));
  assert_true(case_fill(&first));
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = case_graph(&first, ctx);
  void *data = first.y;
  const wn_options o =
      WN_OPTIONS(.plan = plan, .backend = backend, .threads = threads, .no_cache = 1);
  if (wn_compile(ctx, &y, &data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
  for (int i = 0; i < THREADS; ++i) {
    w[i] = (worker){.c = small, .first = &first, .of = p, .start = &start, .running = &running};
    w[i].c.seed = 100 + (uint64_t)i;
    assert_true(case_finish(&w[i].c));
    assert_true(case_fill(&w[i].c));
  }
  for (int i = 0; i < THREADS; ++i)
    assert_int_equal(pthread_create(&w[i].thread, NULL, share_and_run, &w[i]), 0);
  int wrong = 0;
  do wrong += wn_run(p) != WN_OK; /* the first is run all the while */
  while (atomic_load(&running) > 0);
  for (int i = 0; i < THREADS; ++i) assert_int_equal(pthread_join(w[i].thread, NULL), 0);
  pthread_barrier_destroy(&start);
  assert_true(relative_l2(first.y, first.expected, first.y_count) <= case_promise(&first));
  for (int i = 0; i < THREADS; ++i) wrong += w[i].wrong;
  if (wrong > 0) fail_msg("%s, %s, %d threads: %d wrong", backend, plan, threads, wrong);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  for (int i = 0; i < THREADS; ++i) case_free(&w[i].c);
  case_free(&first);
}

static void test_interpreted(void **state) {
  (void)state;
  check_shared("interp", 1, "old");
  check_shared("interp", 2, "fused");
}

static void test_compiled(void **state) {
  (void)state;
  check_shared("cpu", 1, "old");
  check_shared("cpu", 1, "fused");
  check_shared("cpu", 3, "split");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_interpreted),
      cmocka_unit_test(test_compiled),
  };
  return cmocka_run_group_tests_name("shared programs", tests, NULL, NULL);
}
