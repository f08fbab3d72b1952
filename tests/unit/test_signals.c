/* Writes of the library that cannot be done are errors and no signals: over a limit on the size of files, to a reader
 * that is gone; the caller's handlers, masks and pending signals are what they were. A compile under such a limit falls
 * back. Each case in a process of its own. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/signals.h"
#include "winnow/winnow.h"

static volatile sig_atomic_t handled;
static void count(int signal) {
  (void)signal;
  handled++;
}

#define EXPECT(c)                                                       \
  do {                                                                  \
    if (!(c)) {                                                         \
      fprintf(stderr, "%s:%d: %s is not so\n", __FILE__, __LINE__, #c); \
      _exit(1);                                                         \
    }                                                                   \
  } while (0)

static void in_process(void (*body)(void)) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  assert_true(child > 0 && waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) fail_msg("ended by signal %d", WTERMSIG(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void limit_files(rlim_t bytes) {
  const struct rlimit limit = {bytes, bytes};
  EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* As much is written as there is room for, then errno. */
static int error_of_file(void) {
  char path[] = "/tmp/winnow-signals-XXXXXX", block[64] = {0};
  int fd = mkstemp(path), error = 0;
  EXPECT(fd >= 0);
  unlink(path);
  for (int i = 0; i < 3 && !error; ++i)
    if (write(fd, block, sizeof block) < 0) error = errno;
  close(fd);
  return error;
}

static int error_of_pipe(void) {
  int ends[2];
  EXPECT(pipe(ends) == 0 && close(ends[0]) == 0);
  int error = write(ends[1], "x", 1) < 0 ? errno : 0;
  close(ends[1]);
  return error;
}

static bool is_pending(int signal) {
  sigset_t set;
  EXPECT(sigpending(&set) == 0);
  return sigismember(&set, signal) == 1;
}

static bool is_blocked(int signal) {
  sigset_t set;
  EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
  return sigismember(&set, signal) == 1;
}

static void check_errors(void) {
  signals_held h;
  signals_hold(&h);
  EXPECT(error_of_file() == EFBIG);
  EXPECT(error_of_pipe() == EPIPE);
  sigset_t mask;
  signals_mask_of_child(&mask);
  EXPECT(!sigismember(&mask, SIGXFSZ) && !sigismember(&mask, SIGPIPE));
  signals_free(&h);
  EXPECT(!is_pending(SIGXFSZ) && !is_pending(SIGPIPE));
}

static void defaults(void) {
  limit_files(100);
  check_errors();
  EXPECT(!is_blocked(SIGXFSZ) && !is_blocked(SIGPIPE));
}

static void ignored(void) {
  limit_files(100);
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  check_errors();
  EXPECT(signal(SIGXFSZ, SIG_DFL) == SIG_IGN && signal(SIGPIPE, SIG_DFL) == SIG_IGN);
}

static void with_handlers(void) {
  limit_files(100);
  signal(SIGXFSZ, count);
  signal(SIGPIPE, count);
  check_errors();
  EXPECT(handled == 0);
  EXPECT(error_of_pipe() == EPIPE && handled == 1);
  EXPECT(error_of_file() == EFBIG && handled == 2);
}

/* What the caller blocks stays blocked, and what waited for it still waits. */
static void blocked(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  sigaddset(&set, SIGXFSZ);
  EXPECT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  limit_files(100);
  check_errors();
  EXPECT(is_blocked(SIGXFSZ) && is_blocked(SIGPIPE));
  EXPECT(raise(SIGPIPE) == 0);
  signals_held h;
  signals_hold(&h);
  EXPECT(error_of_file() == EFBIG && error_of_pipe() == EPIPE);
  signals_free(&h);
  EXPECT(is_pending(SIGPIPE) && !is_pending(SIGXFSZ));
}

static void quiet(void *user, const char *line) {
  (void)line;
  ++*(int *)user;
}

static void compile(void) {
  static float x[81], w[9], y[49];
  int warnings = 0;
  limit_files(0);
  wn_context *ctx;
  EXPECT(wn_context_create(&ctx) == WN_OK);
  wn_on_warning(ctx, quiet, &warnings);
  wn_tensor *t = wn_conv(wn_input(ctx, WN_F32, 4, (int64_t[]){1, 1, 9, 9}, x),
                         wn_constant(ctx, WN_F32, 4, (int64_t[]){1, 1, 3, 3}, w), NULL);
  void *out = y;
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  const wn_options o = WN_OPTIONS(.plan = "direct", .backend = "cpu:cc", .threads = 1);
  EXPECT(wn_compile(ctx, &t, &out, 1, &o, &p) == WN_OK && wn_run(p) == WN_OK);
  EXPECT(wn_program_get_info(p, &info) == WN_OK && info.fallback != NULL && warnings > 0);
  EXPECT(strstr(info.fallback, strerror(EFBIG)) != NULL);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  EXPECT(!is_pending(SIGXFSZ) && !is_blocked(SIGXFSZ));
}

static void test_defaults(void **state) {
  (void)state;
  in_process(defaults);
}
static void test_ignored(void **state) {
  (void)state;
  in_process(ignored);
}
static void test_handlers(void **state) {
  (void)state;
  in_process(with_handlers);
}
static void test_blocked(void **state) {
  (void)state;
  in_process(blocked);
}
static void test_compile(void **state) {
  (void)state;
  in_process(compile);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults), cmocka_unit_test(test_ignored),
      cmocka_unit_test(test_handlers), cmocka_unit_test(test_blocked),
      cmocka_unit_test(test_compile),
  };
  return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
