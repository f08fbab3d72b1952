/* The steady state: a run allocates nothing, frees nothing, reads no clock and takes no lock but its
 * turn at the pool, whatever the plan, backend and number of threads. Counted where they are done:
 * the linker finds these functions before the C library's. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "diff/conv_case.h"
#include "sanitized.h"

enum { RUNS = 5 };

static atomic_int counting;
static atomic_long allocations, clocks, locks;

static void start_counting(void) {
  allocations = clocks = locks = 0;
  counting = 1;
}

/* --- what is counted -------------------------------------------------------------------------- */

#if ADDRESS_SANITIZER || THREAD_SANITIZER
/* A sanitizer's allocator has hooks instead. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static void on_malloc(const volatile void *p, size_t size) {
  (void)p;
  (void)size;
  allocations += counting;
}

static void on_free(const volatile void *p) { allocations += p != NULL && counting; }

static bool watch_heap(void) {
  return __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0;
}
#elif defined(__GLIBC__)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

void *malloc(size_t size) {
  allocations += counting;
  return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
  allocations += counting;
  return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
  allocations += counting;
  return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size) {
  allocations += counting;
  return __libc_memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size) {
  allocations += counting;
  *p = __libc_memalign(align, size);
  return *p != NULL ? 0 : ENOMEM;
}

void free(void *p) {
  allocations += p != NULL && counting;
  __libc_free(p);
}

static bool watch_heap(void) { return true; }
#else
static bool watch_heap(void) { return false; }
#endif

int clock_gettime(clockid_t clock, struct timespec *t) {
  clocks += counting;
  return (int)syscall(SYS_clock_gettime, clock, t);
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  clocks += counting;
  return (int)syscall(SYS_gettimeofday, t, zone);
}

#if !THREAD_SANITIZER
int pthread_mutex_lock(pthread_mutex_t *m) {
  static int (*_Atomic real)(pthread_mutex_t *);
  int (*lock)(pthread_mutex_t *) = real;
  if (lock == NULL) {
    void *found = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    memcpy(&lock, &found, sizeof lock);
    real = lock;
  }
  locks += counting;
  return lock(m);
}
#endif

/* --- programs --------------------------------------------------------------------------------- */

static const conv_case shape = {
    .seed = 5,
    .nd = 2,
    .n = 1,
    .c = 8,
    .k = 12,
    .groups = 1,
    .in = {18, 17},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};

typedef struct fixture {
  conv_case c;
  wn_context *ctx;
  wn_program *p;
} fixture;

static void compile(fixture *f, const char *plan, const char *backend, int threads) {
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  wn_tensor *y = case_graph(&f->c, f->ctx);
  void *data = f->c.y;
  const wn_options o =
      WN_OPTIONS(.plan = plan, .backend = backend, .threads = threads, .no_cache = 1);
  if (wn_compile(f->ctx, &y, &data, 1, &o, &f->p) != WN_OK)
    fail_msg("%s: %s", plan, wn_message(f->ctx));
}

static void drop(fixture *f) {
  wn_program_destroy(f->p);
  wn_context_destroy(f->ctx);
  f->p = NULL;
  f->ctx = NULL;
}

static void check_runs(fixture *f, const char *plan, const char *backend, int threads) {
  compile(f, plan, backend, threads);
  start_counting(); /* the first run prepares, which may not allocate either */
  for (int i = 0; i < RUNS; ++i) {
    assert_int_equal(wn_bind(f->p, 0, f->c.x), WN_OK);
    assert_int_equal(wn_run(f->p), WN_OK);
  }
  counting = 0;
  if (allocations + clocks > 0)
    fail_msg(
        "%s, %s, %d threads: %ld calls of the heap and %ld readings of a clock in %d bindings and "
        "runs",
        plan, backend, threads, (long)allocations, (long)clocks, RUNS);
  /* into the turn and out of it; workers that wake up or go to sleep have a lock of the pool too */
  if (threads == 1 && !THREAD_SANITIZER)
    assert_int_equal(locks, 2 * RUNS + 1); /* that of preparing */
  assert_true(relative_l2(f->c.y, f->c.expected, f->c.y_count) <= case_promise(&f->c));
  drop(f);
}

static void test_backend(fixture *f, const char *backend) {
  const char *const *plans = wn_plan_names();
  for (int i = 0; plans[i] != NULL; ++i) {
    for (int threads = 1; threads <= 3; threads += 2) check_runs(f, plans[i], backend, threads);
  }
}

/* Launches of two that are alike as one job. */
static void check_beside(fixture *f, const char *backend, int threads) {
  static const char plan[] = "conv0{direct;side=1} conv1{direct;side=1}";
  float *other = malloc(sizeof *other * (size_t)f->c.y_count);
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  wn_tensor *y[] = {case_graph(&f->c, f->ctx), case_graph(&f->c, f->ctx)};
  void *data[] = {f->c.y, other};
  const wn_options o =
      WN_OPTIONS(.plan = plan, .backend = backend, .threads = threads, .no_cache = 1);
  if (wn_compile(f->ctx, y, data, 2, &o, &f->p) != WN_OK) fail_msg("%s", wn_message(f->ctx));
  start_counting();
  for (int i = 0; i < RUNS; ++i) assert_int_equal(wn_run(f->p), WN_OK);
  counting = 0;
  assert_int_equal(allocations + clocks, 0);
  assert_memory_equal(f->c.y, other, sizeof *other * (size_t)f->c.y_count);
  assert_true(relative_l2(f->c.y, f->c.expected, f->c.y_count) <= case_promise(&f->c));
  free(other);
  drop(f);
}

static void test_compiled(void **state) { test_backend(*state, "cpu"); }
static void test_interpreted(void **state) { test_backend(*state, "interp"); }

static void test_beside(void **state) {
  for (int threads = 1; threads <= 3; threads += 2) {
    check_beside(*state, "cpu", threads);
    check_beside(*state, "interp", threads);
  }
}

/* What is asserted to be 0 above is seen where it happens. */
static void test_counters(void **state) {
  fixture *f = *state;
  start_counting();
  void *volatile plain = malloc(100); /* volatile: a compiler may leave out what nobody uses */
  free(plain);
  void *volatile aligned = aligned_alloc(64, 640);
  free(aligned);
  counting = 0;
  assert_int_equal(allocations, THREAD_SANITIZER ? 3 : 4); /* it has no hook in aligned_alloc */

  compile(f, "old", "interp", 1);
  assert_int_equal(wn_prepare(f->p), WN_OK);
  double us[16];
  start_counting();
  assert_int_equal(wn_run_timed(f->p, us), WN_OK);
  counting = 0;
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(f->p, &info), WN_OK);
  assert_int_equal(clocks, 2 * info.kernels);
  assert_int_equal(allocations, 0);
  drop(f);
}

static int set_up(void **state) {
  static fixture f;
  f.c = shape;
  if (!watch_heap() || !case_finish(&f.c) || !case_fill(&f.c)) return -1;
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  case_free(&f->c);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counters),
      cmocka_unit_test(test_interpreted),
      cmocka_unit_test(test_beside),
      cmocka_unit_test(test_compiled),
  };
  return cmocka_run_group_tests_name("steady state", tests, set_up, tear_down);
}
