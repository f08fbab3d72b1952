/* The runtime: targets, options, the fallback to the interpreter and its reasons, threads, scratch,
 * turns, memory. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lin_builder.h"
#include "render/render.h"
#include "backend/runtime.h"
#include "unit/on_host.h"

typedef struct fixture {
  diag d;
  arena a;
  char warned[512]; /* the last warning */
} fixture;

static void keep_warning(void *user, const char *line) {
  fixture *f = user;
  snprintf(f->warned, sizeof f->warned, "%s", line);
}

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  diag_init(&f->d);
  f->d.warn = keep_warning;
  f->d.warn_user = f;
  f->warned[0] = 0;
  arena_init(&f->a, &f->d);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  mem_fail_at(0);
  arena_release(&f->a);
  mem_free(f);
  return 0;
}

/* y = a + b over grid blocks of eight, through a local array: wrong as soon as two workers share
 * scratch. */
static const lin_kernel *sum_kernel(arena *a, const char *name, int64_t grid) {
  lin_builder b = lb_new(a, name, grid);
  int64_t in[2] = {lb_array(&b, SPACE_GLOBAL, WN_F32, grid * 8),
                   lb_array(&b, SPACE_GLOBAL, WN_F32, grid * 8)};
  int64_t out = lb_array(&b, SPACE_GLOBAL, WN_F32, grid * 8),
          local = lb_array(&b, SPACE_LOCAL, WN_F32, 64 * 8);
  uint32_t block = lb_grid(&b), eight = lb_i64(&b, 8),
           at = lb_op2(&b, OP_MUL, WN_I64, block, eight);
  uint32_t x = lb_load(&b, in[0], 8, at, 1, LB_NO_MASK), first = lb_loop(&b, 64);
  lb_store(&b, local, lb_op2(&b, OP_MUL, WN_I64, first, eight), x, 1, LB_NO_MASK);
  lb_end(&b, first);
  uint32_t y = lb_load(&b, in[1], 8, at, 1, LB_NO_MASK), second = lb_loop(&b, 64);
  uint32_t back = lb_load(&b, local, 8, lb_op2(&b, OP_MUL, WN_I64, second, eight), 1, LB_NO_MASK);
  lb_store(&b, out, at, lb_op2(&b, OP_ADD, WN_F32, back, y), 1, LB_NO_MASK);
  lb_end(&b, second);
  assert_null(lin_verify(a, b.k));
  return b.k;
}

enum { GRID = 500, LEN = GRID * 8 };

typedef struct data {
  float a[LEN], b[LEN], y[LEN];
} data;

static data *fresh_data(fixture *f) {
  data *v = arena_new(&f->a, data);
  for (int i = 0; i < LEN; i++) v->a[i] = (float)i, v->b[i] = (float)(3 * i), v->y[i] = -1;
  return v;
}

static void check_sum(const data *v, int64_t begin, int64_t end) {
  for (int64_t i = 0; i < LEN; i++)
    assert_true(v->y[i] == (i >= 8 * begin && i < 8 * end ? v->a[i] + v->b[i] : -1));
}

static void launch_in_turn(runtime *rt, module *m, int index, int nargs, void *const *args,
                           int64_t begin, int64_t end) {
  runtime_begin(rt);
  assert_null(launch_on_host(rt, m, index, nargs, args, begin, end));
  runtime_end(rt);
}

static const char *const backends[] = {"cpu:cc", "interp", NULL};

static void test_launch(void **state) {
  fixture *f = *state;
  const lin_kernel *k = sum_kernel(&f->a, "sum", GRID);
  for (int b = 0; b < 3; b++)
    for (int threads = 1; threads <= 5; threads += 2) {
      runtime *rt = runtime_create(&f->d, backends[b], NULL, threads);
      assert_int_equal(runtime_threads(rt), threads);
      if (backends[b]) assert_string_equal(runtime_backend(rt), backends[b]);
      module *m = module_compile(rt, &f->d, 1, &k, NULL);
      kernel_state s = module_kernel(m, 0);
      assert_null(s.fallback);
      assert_int_equal(s.source_lines, render_c_lines(&f->a, k));
      data *v = fresh_data(f);
      launch_in_turn(rt, m, 0, 3, (void *[]){v->a, v->b, v->y}, 3, 490);
      check_sum(v, 3, 490);
      launch_in_turn(rt, m, 0, 3, (void *[]){v->a, v->b, v->y}, 7, 7);
      check_sum(v, 3, 490);
      launch_in_turn(rt, m, 0, 3, (void *[]){v->a, v->b, v->y}, 0, GRID);
      check_sum(v, 0, GRID);
      module_destroy(m);
      runtime_destroy(rt);
    }
  assert_int_equal(f->d.warnings, 0);
}

/* Over the limit: the interpreter, loudly, and only for that kernel; the interpreter itself has no
 * limit. */
static void test_line_limit(void **state) {
  fixture *f = *state;
  lin_builder big = lb_new(&f->a, "big", 1);
  int64_t y = lb_array(&big, SPACE_GLOBAL, WN_F32, 1);
  uint32_t v = lb_float(&big, WN_F32, 1, 0);
  for (int i = 0; i < 2465; i++) v = lb_op2(&big, OP_ADD, WN_F32, v, lb_float(&big, WN_F32, 1, 1));
  lb_store(&big, y, lb_i64(&big, 0), v, 1, LB_NO_MASK);
  const lin_kernel *kernels[] = {sum_kernel(&f->a, "sum", GRID), big.k};
  runtime *rt = runtime_create(&f->d, "cpu:cc", NULL, 2);
  module *m = module_compile(rt, &f->d, 2, kernels, NULL);
  assert_null(module_kernel(m, 0).fallback);
  assert_string_equal(module_kernel(m, 1).fallback, "2,471 lines, over --max-lines 2000");
  assert_int_equal(module_kernel(m, 1).source_lines, 2471);
  assert_int_equal(f->d.warnings, 1);
  assert_string_equal(f->warned,
                      "kernel big runs in the interpreter: 2,471 lines, over --max-lines 2000");
  float result = 0;
  launch_in_turn(rt, m, 1, 1, (void *[]){&result}, 0, 1);
  assert_true(result == 2465);
  data *d = fresh_data(f);
  launch_in_turn(rt, m, 0, 3, (void *[]){d->a, d->b, d->y}, 0, GRID);
  check_sum(d, 0, GRID);
  module_destroy(m);
  m = module_compile(rt, &f->d, 2, kernels, &(compile_options){.max_lines = 2471});
  assert_null(module_kernel(m, 1).fallback);
  module_destroy(m);
  runtime_destroy(rt);
  rt = runtime_create(&f->d, "interp", NULL, 1);
  m = module_compile(rt, &f->d, 2, kernels, NULL);
  assert_null(module_kernel(m, 1).fallback);
  module_destroy(m);
  runtime_destroy(rt);
}

/* Sums of several lengths, each twice under other names: those that differ are compiled, on several threads, and
 * results are where they belong. */
static void test_many_kernels(void **state) {
  enum { MANY = 12 };
  fixture *f = *state;
  for (int b = 0; b < 3; b++)
    for (int threads = 1; threads <= 5; threads += 2) {
      const lin_kernel *kernels[MANY];
      for (int i = 0; i < MANY; i++)
        kernels[i] = sum_kernel(&f->a, arena_printf(&f->a, "sum%d", i), GRID - i / 2);
      runtime *rt = runtime_create(&f->d, backends[b], NULL, threads);
      module *m = module_compile(rt, &f->d, MANY, kernels, NULL);
      for (int i = 0; i < MANY; i++) {
        data *v = fresh_data(f);
        assert_null(module_kernel(m, i).fallback);
        launch_in_turn(rt, m, i, 3, (void *[]){v->a, v->b, v->y}, 0, GRID - i / 2);
        check_sum(v, 0, GRID - i / 2);
      }
      runtime *other = runtime_create_like(&f->d, rt); /* has scratch of its own */
      runtime_reserve(other, &f->d, m);
      data *v = fresh_data(f);
      launch_in_turn(other, m, 3, 3, (void *[]){v->a, v->b, v->y}, 0, GRID - 1);
      check_sum(v, 0, GRID - 1);
      runtime_destroy(other);
      module_destroy(m);
      runtime_destroy(rt);
    }
  assert_int_equal(f->d.warnings, 0);
}

static int entries_of(const char *path) {
  DIR *dir = opendir(path);
  assert_non_null(dir);
  int n = 0;
  for (const struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
  closedir(dir);
  return n;
}

/* With a vector of a size that C has not. */
static const lin_kernel *bad_kernel(fixture *f) {
  lin_kernel *k = arena_copy(&f->a, sum_kernel(&f->a, "bad", GRID), sizeof *k);
  vec_push(&f->a, &k->ins, ((lin_ins){.op = OP_CONST, .dtype = WN_F32, .lanes = 1, .f = 1}));
  lin_ins wide = {.op = OP_BROADCAST, .dtype = WN_F32, .lanes = 7, .nsrc = 1};
  wide.src[0] = (uint32_t)k->ins.len - 1;
  vec_push(&f->a, &k->ins, wide);
  return k;
}

/* Compiles sum with the given PATH and another kernel; how many fell back. */
static int fallbacks(fixture *f, const char *path, const lin_kernel *other) {
  char *before = arena_strdup(&f->a, getenv("PATH"));
  const lin_kernel *kernels[] = {sum_kernel(&f->a, "sum", GRID), other};
  runtime *rt = runtime_create(&f->d, "cpu:cc", NULL, 2);
  if (path) setenv("PATH", path, 1);
  module *m = module_compile(rt, &f->d, 2, kernels, NULL);
  setenv("PATH", before, 1);
  int n = 0;
  for (int i = 0; i < 2; i++) {
    n += module_kernel(m, i).fallback != NULL;
    data *v = fresh_data(f);
    launch_in_turn(rt, m, i, 3, (void *[]){v->a, v->b, v->y}, 0, GRID);
    check_sum(v, 0, GRID);
  }
  module_destroy(m);
  runtime_destroy(rt);
  return n;
}

static void test_compiler_fails(void **state) {
  fixture *f = *state;
  char dir[] = "/tmp/winnow-test-XXXXXX";
  assert_non_null(mkdtemp(dir));
  setenv("TMPDIR", dir, 1);
  assert_int_equal(fallbacks(f, NULL, sum_kernel(&f->a, "fine", GRID)), 0);
  assert_int_equal(f->d.warnings, 0);
  assert_int_equal(fallbacks(f, NULL, bad_kernel(f)),
                   1); /* the other kernel is compiled nevertheless */
  assert_non_null(strstr(f->warned, "kernel bad runs in the interpreter: cc: error:"));
  assert_int_equal(fallbacks(f, "/nonexistent", sum_kernel(&f->a, "fine", GRID)), 2);
  assert_non_null(strstr(f->warned, "no C compiler"));
  assert_int_equal(entries_of(dir), 0); /* nothing left behind */
  setenv("TMPDIR", "/nonexistent", 1);
  assert_int_equal(fallbacks(f, NULL, sum_kernel(&f->a, "fine", GRID)), 2);
  assert_non_null(strstr(f->warned, "no temporary directory"));
  unsetenv("TMPDIR");
  assert_int_equal(rmdir(dir), 0);
}

static void expect_usage(fixture *f, const char *backend, const char *isa, int threads,
                         const char *what) {
  runtime *volatile rt = NULL;
  volatile wn_status st;
  DIAG_TRY(&f->d, st) { rt = runtime_create(&f->d, backend, isa, threads); }
  DIAG_END(&f->d, st)
  runtime_destroy(rt);
  assert_int_equal(st, WN_ERR_USAGE);
  if (!strstr(f->d.message, what)) fail_msg("'%s' should say '%s'", f->d.message, what);
}

static void test_bad_options(void **state) {
  fixture *f = *state;
  expect_usage(f, "gpu", NULL, 1, "backend 'gpu'");
  expect_usage(f, NULL, "mmx", 1, "instruction set 'mmx'");
  expect_usage(f, NULL, "mmx", 1, "generic");
  expect_usage(f, NULL, NULL, -1, "threads");
  expect_usage(f, NULL, NULL, 5000, "threads");
  setenv("WINNOW_THREADS", "many", 1);
  expect_usage(f, NULL, NULL, 0, "'many'");
  setenv("WINNOW_THREADS", "3", 1);
  setenv("WINNOW_ISA", "generic", 1);
  runtime *rt = runtime_create(&f->d, "interp", NULL, 0);
  assert_int_equal(runtime_threads(rt), 3);
  assert_string_equal(runtime_machine(rt)->name, "generic");
  runtime_destroy(rt);
  setenv("WINNOW_ISA", "zx81", 1);
  expect_usage(f, NULL, NULL, 1, "zx81");
  unsetenv("WINNOW_ISA");
  unsetenv("WINNOW_THREADS");
}

/* No more threads than cores, and it is said. */
static void test_more_threads_than_cores(void **state) {
  fixture *f = *state;
  pretended_cores = 2;
  runtime *rt = runtime_create(&f->d, "interp", NULL, 64);
  assert_int_equal(runtime_threads(rt), 2);
  assert_string_equal(f->warned, "64 threads asked for, 2 cores to be had: 2 will run");
  assert_int_equal(f->d.warnings, 1);
  runtime_destroy(rt);
  pretended_cores = 1;
  setenv("WINNOW_THREADS", "3", 1);
  rt = runtime_create(&f->d, "interp", NULL, 0);
  unsetenv("WINNOW_THREADS");
  pretended_cores = 8;
  assert_int_equal(runtime_threads(rt), 1);
  assert_string_equal(f->warned, "3 threads asked for, 1 core to be had: 1 will run");
  runtime_destroy(rt);
  rt = runtime_create(&f->d, "interp", NULL, 0);
  assert_int_equal(runtime_threads(rt), 8);
  runtime_destroy(rt);
  assert_int_equal(f->d.warnings, 2);
}

/* Against /proc/cpuinfo, which the kernel writes. */
static void test_target(void **state) {
  fixture *f = *state;
  machine t;
  machine_of_cpu(&t, &f->d, NULL);
  assert_true(t.units >= 1 && t.l1 >= 4096 && t.l2 >= t.l1 && strlen(t.model) > 0);
  FILE *info = fopen("/proc/cpuinfo", "r");
  if (!info) skip();
  static char text[1 << 16];
  text[fread(text, 1, sizeof text - 1, info)] = 0;
  fclose(info);
  char *flags = strstr(text, "flags\t");
  if (!flags) skip();
  char *end = strchr(flags, '\n');
  if (end) *end = 0;
  bool avx512 = strstr(flags, " avx512f ") && strstr(flags, " avx512vl"),
       avx2 = strstr(flags, " avx2 ") != NULL;
  assert_string_equal(t.name, avx512 ? "avx512" : avx2 ? "avx2" : "sse2");
  assert_int_equal(t.vector_bytes, avx512 ? 64 : avx2 ? 32 : 16);
}

/* Threads that launch modules of one runtime at once take turns. */
typedef struct caller {
  runtime *rt;
  module *m;
  data *v;
} caller;

static void *call_often(void *argument) {
  caller *c = argument;
  for (int i = 0; i < 50; i++)
    launch_in_turn(c->rt, c->m, 0, 3, (void *[]){c->v->a, c->v->b, c->v->y}, 0, GRID);
  return NULL;
}

static void test_turns(void **state) {
  fixture *f = *state;
  runtime *rt = runtime_create(&f->d, "cpu:cc", NULL, 2);
  const lin_kernel *k = sum_kernel(&f->a, "sum", GRID);
  module *m = module_compile(rt, &f->d, 1, &k, NULL);
  caller callers[3];
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) {
    callers[i] = (caller){rt, m, fresh_data(f)};
    assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
  }
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 3; i++) check_sum(callers[i].v, 0, GRID);
  module_destroy(m);
  runtime_destroy(rt);
}

/* Allocation n and all later ones fail: a status, and (under a leak checker) nothing lost. True
 * once n is not reached. */
static bool survives_without(fixture *f, const char *backend, const lin_kernel *k, long n) {
  runtime *volatile rt = NULL;
  module *volatile m = NULL;
  volatile wn_status st;
  mem_fail_at(n);
  DIAG_TRY(&f->d, st) {
    rt = runtime_create(&f->d, backend, NULL, 1);
    m = module_compile(rt, &f->d, 1, &k, NULL);
  }
  DIAG_END(&f->d, st)
  bool reached = mem_count() >= n;
  mem_fail_at(0);
  module_destroy(m);
  runtime_destroy(rt);
  assert_int_equal(st, reached ? WN_ERR_NOMEM : WN_OK);
  return !reached;
}

static void test_allocation_failures(void **state) {
  fixture *f = *state;
  const lin_kernel *k = sum_kernel(&f->a, "sum", GRID);
  for (int b = 0; b < 2; b++) {
    long n = 1;
    while (!survives_without(f, backends[b], k, n)) assert_true(++n < 200);
    assert_true(n > 4);
  }
}

/* Launching allocates nothing, compiled or interpreted. */
static void test_launch_allocates_nothing(void **state) {
  fixture *f = *state;
  const lin_kernel *k = sum_kernel(&f->a, "sum", GRID);
  data *v = fresh_data(f);
  for (int b = 0; b < 2; b++) {
    runtime *rt = runtime_create(&f->d, backends[b], NULL, 2);
    module *m = module_compile(rt, &f->d, 1, &k, NULL);
    mem_fail_at(1000);
    launch_in_turn(rt, m, 0, 3, (void *[]){v->a, v->b, v->y}, 0, GRID);
    assert_int_equal(mem_count(), 0);
    mem_fail_at(0);
    module_destroy(m);
    runtime_destroy(rt);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_launch, setup, teardown),
      cmocka_unit_test_setup_teardown(test_line_limit, setup, teardown),
      cmocka_unit_test_setup_teardown(test_many_kernels, setup, teardown),
      cmocka_unit_test_setup_teardown(test_compiler_fails, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bad_options, setup, teardown),
      cmocka_unit_test_setup_teardown(test_more_threads_than_cores, setup, teardown),
      cmocka_unit_test_setup_teardown(test_target, setup, teardown),
      cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
      cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown),
      cmocka_unit_test_setup_teardown(test_launch_allocates_nothing, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
