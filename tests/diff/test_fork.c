/* fork(): what was made before it works in the child, whatever other threads were doing. Each child compiles and runs,
 * and destroys what its parent made; what hangs is ended by an alarm, and fails. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "diff/conv_case.h"
#include "sanitized.h"

enum { LIMIT_S = 120, RIGHT = 0, WRONG = 1, NOT_COMPILED = 2, NOT_RUN = 3, NOT_TOLD = 4 };

static const conv_case small = {.seed = 5, CASE_SMALL};

typedef struct made {
  conv_case c;
  wn_context *ctx;
  wn_program *program;
  int warnings;
  char warning[256];
} made;

static void take_warning(void *user, const char *line) {
  made *m = user;
  m->warnings++;
  snprintf(m->warning, sizeof m->warning, "%s", line);
}

/* Asserts nothing, since children and threads call it. */
static wn_status make(made *m, const char *plan, const char *backend, bool cached) {
  *m = (made){.c = small};
  if (!case_finish(&m->c) || !case_fill(&m->c) || wn_context_create(&m->ctx) != WN_OK)
    return WN_ERR_NOMEM;
  wn_on_warning(m->ctx, take_warning, m);
  wn_tensor *y = case_graph(&m->c, m->ctx);
  void *data = m->c.y;
  const wn_options o =
      WN_OPTIONS(.plan = plan, .backend = backend, .threads = 2, .no_cache = !cached);
  return wn_compile(m->ctx, &y, &data, 1, &o, &m->program);
}

static void end(made *m) {
  wn_program_destroy(m->program);
  wn_context_destroy(m->ctx);
  case_free(&m->c);
}

/* Several runs, since the first may have been made ready before the fork. */
static int check(made *m) {
  for (int i = 0; i < 3; ++i) {
    memset(m->c.y, 0xff, sizeof *m->c.y * (size_t)m->c.y_count);
    if (wn_run(m->program) != WN_OK) return NOT_RUN;
    double error = relative_l2(m->c.y, m->c.expected, m->c.y_count);
    if (!(error <= case_promise(&m->c))) return WRONG;
  }
  return RIGHT;
}

/* A program of the child's own. */
static int check_new(const char *plan, const char *backend, bool cached) {
  made m;
  int result = make(&m, plan, backend, cached) == WN_OK ? check(&m) : NOT_COMPILED;
  end(&m);
  return result;
}

typedef int (*child_body)(made *m, const char *backend);

static int use_old(made *m, const char *backend) {
  (void)backend;
  int result = check(m);
  if (result == RIGHT && m->warnings > 0) result = NOT_TOLD;
  end(m);
  return result;
}

static int use_all(made *m, const char *backend) {
  int result = use_old(m, backend);
  return result == RIGHT ? check_new("old", backend, true) : result;
}

static void fork_and_wait(made *m, const char *backend, child_body body, const char *what) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(LIMIT_S);
    _exit(body(m, backend));
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (!WIFEXITED(status)) fail_msg("%s, %s: hangs or crashes", backend, what);
  if (WEXITSTATUS(status) != RIGHT)
    fail_msg("%s, %s: %d in the child", backend, what, WEXITSTATUS(status));
}

static const char *const backends[] = {"interp", "cpu", "cpu:cc"};
enum { BACKENDS = sizeof backends / sizeof *backends };

static void ready(made *m, const char *plan, const char *backend) {
  if (make(m, plan, backend, false) != WN_OK) fail_msg("%s", wn_message(m->ctx));
}

/* --- nobody else does anything ---------------------------------------------------------------- */

static void test_between(void **state) {
  (void)state;
  for (int i = 0; i < BACKENDS; ++i) {
    made m;
    ready(&m, "old", backends[i]);
    fork_and_wait(&m, backends[i], use_all, "before the first run");
    assert_int_equal(check(&m), RIGHT);
    fork_and_wait(&m, backends[i], use_old, "between runs");
    assert_int_equal(check(&m), RIGHT); /* the parent goes on */
    end(&m);
  }
}

static int fork_again(made *m, const char *backend) {
  if (check(m) != RIGHT) return WRONG;
  pid_t child = fork();
  if (child == 0) {
    alarm(LIMIT_S);
    _exit(use_old(m, backend));
  }
  int status, result = check(m);
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return NOT_RUN;
  return result != RIGHT ? result : WEXITSTATUS(status);
}

static void test_grandchild(void **state) {
  (void)state;
  made m;
  ready(&m, "fused", "cpu");
  assert_int_equal(check(&m), RIGHT);
  fork_and_wait(&m, "cpu", fork_again, "a child of a child");
  end(&m);
}

/* --- while others work ------------------------------------------------------------------------ */

typedef struct busy {
  pthread_t thread;
  atomic_bool stop;
  atomic_int rounds, failures;
  made *m;
  const char *backend;
} busy;

static void *run_always(void *argument) {
  busy *b = argument;
  while (!b->stop) {
    b->failures += wn_run(b->m->program) != WN_OK;
    b->rounds++;
  }
  return NULL;
}

/* Weights that are prepared in every run, under a lock that a child finds taken. */
static void *bind_always(void *argument) {
  busy *b = argument;
  while (!b->stop) {
    b->failures += wn_bind(b->m->program, 1, b->m->c.w) != WN_OK;
    b->failures += wn_run(b->m->program) != WN_OK;
    b->rounds++;
  }
  return NULL;
}

static void *compile_always(void *argument) {
  busy *b = argument;
  while (!b->stop) {
    made m;
    b->failures += make(&m, "old", b->backend, b->rounds % 2 == 0) != WN_OK;
    end(&m);
    b->rounds++;
  }
  return NULL;
}

static void work_and_fork(const char *backend, void *(*work)(void *), child_body body,
                          const char *what) {
  int forks = getenv("WINNOW_LONG") ? 200 : in_part() ? 2 : 5;
  made m;
  busy b = {.m = &m, .backend = backend};
  ready(&m, "old", backend);
  assert_int_equal(pthread_create(&b.thread, NULL, work, &b), 0);
  for (int i = 0; i < forks; ++i) {
    /* at another moment of its work each time */
    nanosleep(&(struct timespec){.tv_nsec = 1000000L * (1 + 7 * i % 40)}, NULL);
    fork_and_wait(&m, backend, body, what);
  }
  b.stop = true;
  pthread_join(b.thread, NULL);
  assert_int_equal(b.failures, 0);
  end(&m);
}

static void test_while_running(void **state) {
  (void)state;
  for (int i = 0; i < BACKENDS; ++i)
    work_and_fork(backends[i], run_always, use_old, "while another thread runs it");
}

static void test_while_preparing(void **state) {
  (void)state;
  for (int i = 0; i < 2; ++i)
    work_and_fork(backends[i], bind_always, use_old, "while another thread binds and prepares");
}

static void test_while_compiling(void **state) {
  (void)state;
  for (int i = 0; i < BACKENDS; ++i)
    work_and_fork(backends[i], compile_always, use_all, "while another thread compiles");
}

/* --- the child has to do without -------------------------------------------------------------- */

/* A stack so large that no thread can have one. */
static bool forbid_threads(void) {
#ifdef __GLIBC__
  pthread_attr_t large;
  pthread_attr_init(&large);
  pthread_attr_setstacksize(&large, (size_t)1 << 46);
  return pthread_setattr_default_np(&large) == 0;
#else
  return false;
#endif
}

static int run_alone(made *m, const char *backend) {
  (void)backend;
  if (!forbid_threads()) return NOT_TOLD;
  int result = check(m);
  bool told = m->warnings == 1 && strstr(m->warning, "cannot start 2 threads");
  end(m);
  return result != RIGHT ? result : told ? RIGHT : NOT_TOLD;
}

static void test_alone(void **state) {
  (void)state;
#ifndef __GLIBC__
  skip();
#endif
  made m;
  ready(&m, "old", "interp");
  assert_int_equal(check(&m), RIGHT);
  fork_and_wait(&m, "interp", run_alone, "without threads");
  end(&m);
}

/* A thread that stays in one of the libraries, which a fork does not wait for for ever. */
static void *stay_inside(void *argument) {
  busy *b = argument;
  if (!fork_enter()) return NULL;
  b->rounds = 1;
  while (!b->stop) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  fork_leave();
  return NULL;
}

/* The parent's program runs; a new one is interpreted, and says why. */
static int do_without(made *m, const char *backend) {
  made fresh;
  int result = check(m);
  if (result != RIGHT) return result;
  if (make(&fresh, "old", backend, true) != WN_OK) return NOT_COMPILED;
  result = check(&fresh);
  bool told = fresh.warnings > 0 && strstr(fresh.warning, "forked while another thread");
  end(&fresh);
  end(m);
  return result != RIGHT ? result : told ? RIGHT : NOT_TOLD;
}

static void test_cut_off(void **state) {
  (void)state;
  made m;
  busy b = {0};
  fork_patience = 1;
  ready(&m, "old", "cpu");
  assert_int_equal(pthread_create(&b.thread, NULL, stay_inside, &b), 0);
  while (b.rounds == 0) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  fork_and_wait(&m, "cpu", do_without, "while another thread stays in LLVM");
  b.stop = true;
  pthread_join(b.thread, NULL);
  assert_int_equal(check_new("old", "cpu", true), RIGHT); /* nothing has become of the parent */
  end(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_between),         cmocka_unit_test(test_grandchild),
      cmocka_unit_test(test_while_running),   cmocka_unit_test(test_while_preparing),
      cmocka_unit_test(test_while_compiling), cmocka_unit_test(test_alone),
      cmocka_unit_test(test_cut_off),
  };
  return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
