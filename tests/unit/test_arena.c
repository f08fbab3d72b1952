/* A program's arena: memory of the caller's for what is between its kernels, and the same for several programs. Results
 * are those of memory of its own, bit by bit; blocks begin as NaNs and end where they must under AddressSanitizer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "program/program.h"
#include "winnow/winnow.h"

enum { C = 8, SIZE = 12, N = C * SIZE * SIZE, PROGRAMS = 2, RUNS = 20 };

typedef struct fixture {
  wn_context *ctx;
  float *x, *w, *y[PROGRAMS], *expected;
  wn_program *p[PROGRAMS];
  char *block; /* of arena_bytes */
  size_t bytes;
} fixture;

static float *numbers(int n, int seed) {
  float *p = malloc(sizeof *p * (size_t)n);
  for (int i = 0; i < n && p != NULL; ++i) p[i] = (float)((i * 7 + i / 5 + seed) % 19 - 8) / 16;
  return p;
}

/* Three layers; between them stand arrays. */
static void compile(fixture *f, int threads, wn_program **p, float *y) {
  const wn_options o = WN_OPTIONS(.plan = "old", .backend = "interp", .isa = "avx2",
                                  .threads = threads, .no_cache = 1);
  wn_tensor *t = wn_input(f->ctx, WN_F32, 4, (int64_t[]){1, C, SIZE, SIZE}, f->x);
  wn_tensor *w = wn_constant(f->ctx, WN_F32, 4, (int64_t[]){C, C, 3, 3}, f->w);
  for (int i = 0; i < 3; ++i)
    t = wn_map(WN_RELU, wn_conv(t, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1})));
  void *data = y;
  if (wn_compile(f->ctx, &t, &data, 1, &o, p) != WN_OK) fail_msg("%s", wn_message(f->ctx));
}

static void make(fixture *f, int threads) {
  for (int i = 0; i < PROGRAMS; ++i) compile(f, threads, &f->p[i], f->y[i]);
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(f->p[0], &info), WN_OK);
  f->bytes = info.arena_bytes;
  assert_true(f->bytes >= sizeof(float) * N);
  assert_true(info.arena_least > 0 && info.arena_least <= info.arena_bytes);
  assert_true(info.arena_bytes <= info.workspace_bytes);
  f->block = aligned_alloc(WN_ARENA_ALIGNMENT, f->bytes); /* a multiple of it */
  memset(f->block, 0xff, f->bytes);
  if (wn_run(f->p[0]) != WN_OK) fail_msg("%s", wn_program_message(f->p[0]));
  memcpy(f->expected, f->y[0], sizeof(float) * N);
}

static void expect(fixture *f, int i) {
  memset(f->y[i], 0xff, sizeof(float) * N);
  if (wn_run(f->p[i]) != WN_OK) fail_msg("%s", wn_program_message(f->p[i]));
  assert_memory_equal(f->y[i], f->expected, sizeof(float) * N);
}

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->x = numbers(N, 1);
  f->w = numbers(C * C * 9, 2);
  f->expected = numbers(N, 0);
  for (int i = 0; i < PROGRAMS; ++i) f->y[i] = numbers(N, 0);
  *state = f;
  return wn_context_create(&f->ctx) == WN_OK ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  for (int i = 0; i < PROGRAMS; ++i) {
    wn_program_destroy(f->p[i]);
    free(f->y[i]);
  }
  wn_context_destroy(f->ctx);
  free(f->block);
  free(f->x);
  free(f->w);
  free(f->expected);
  free(f);
  return 0;
}

static void in_the_callers_memory(void **state) {
  fixture *f = *state;
  make(f, 1);
  for (int i = 0; i < PROGRAMS; ++i)
    assert_int_equal(wn_bind_arena(f->p[i], f->block, f->bytes), WN_OK);
  for (int i = 0; i < 2 * PROGRAMS; ++i) {
    expect(f, i % PROGRAMS);
    memset(f->block, 0xff, f->bytes); /* nothing is looked for there */
  }
  assert_int_equal(wn_bind_arena(f->p[0], NULL, 0), WN_OK);
  assert_int_equal(wn_bind_arena(f->p[0], NULL, 0), WN_OK);
  memset(f->block, 0x7f, f->bytes);
  expect(f, 0);
  for (size_t i = 0; i < f->bytes; ++i) assert_int_equal(f->block[i], 0x7f);
  assert_int_equal(wn_bind_arena(f->p[0], f->block, f->bytes), WN_OK);
  wn_program *other; /* with memory of its own */
  assert_int_equal(wn_program_share(f->p[0], &other), WN_OK);
  wn_program_destroy(f->p[0]);
  f->p[0] = other;
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(other, &info);
  assert_int_equal(wn_bind(other, info.inputs + info.constants, f->y[0]), WN_OK);
  memset(f->block, 0x7f, f->bytes);
  expect(f, 0);
  for (size_t i = 0; i < f->bytes; ++i) assert_int_equal(f->block[i], 0x7f);
}

static void refuse(fixture *f, void *at, size_t size, const char *line) {
  assert_int_equal(wn_bind_arena(f->p[0], at, size), WN_ERR_USAGE);
  if (strstr(wn_program_message(f->p[0]), line) == NULL)
    fail_msg("%s", wn_program_message(f->p[0]));
  expect(f, 0);
}

static void what_cannot_be(void **state) {
  fixture *f = *state;
  make(f, 1);
  assert_int_equal(wn_bind_arena(NULL, f->block, f->bytes), WN_ERR_USAGE);
  refuse(f, f->block, f->bytes - 1, "bytes, and the program needs");
  refuse(f, f->block, 0, "the arena has 0 bytes");
  refuse(f, f->block + 32, f->bytes, "is not aligned to 64 bytes");
  char *large = aligned_alloc(WN_ARENA_ALIGNMENT, 4 * f->bytes);
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(f->p[0], &info);
  int slot = info.inputs + info.constants;
  assert_int_equal(wn_bind(f->p[0], slot, large + f->bytes - 4), WN_OK);
  assert_int_equal(wn_bind_arena(f->p[0], large, f->bytes), WN_ERR_USAGE);
  assert_non_null(strstr(wn_program_message(f->p[0]), "the arena overlaps output 0"));
  assert_int_equal(wn_bind(f->p[0], slot, large + f->bytes), WN_OK);
  assert_int_equal(wn_bind_arena(f->p[0], large, f->bytes), WN_OK);
  assert_int_equal(wn_bind(f->p[0], slot, large + f->bytes - 4), WN_ERR_USAGE);
  assert_non_null(strstr(wn_program_message(f->p[0]), "overlaps the program's arena"));
  assert_int_equal(wn_run(f->p[0]), WN_OK);
  assert_memory_equal(large + f->bytes, f->expected, sizeof(float) * N);
  assert_int_equal(wn_bind(f->p[0], slot, f->y[0]), WN_OK);
  expect(f, 0);
  mem_fail_at(1);
  wn_status st = wn_bind_arena(f->p[0], NULL, 0);
  mem_fail_at(0);
  assert_int_equal(st, WN_ERR_NOMEM);
  expect(f, 0); /* where it was */
  assert_int_equal(wn_bind_arena(f->p[0], NULL, 0), WN_OK);
  free(large);
  expect(f, 0);
}

typedef struct worker {
  pthread_t thread;
  wn_program *p;
  wn_status st;
} worker;

static void *run_often(void *argument) {
  worker *w = argument;
  for (int i = 0; i < RUNS && w->st == WN_OK; ++i) w->st = wn_run(w->p);
  return NULL;
}

/* Programs of two threads take turns, so they may have one arena whoever runs them. */
static void programs_that_take_turns(void **state) {
  fixture *f = *state;
  worker w[PROGRAMS];
  make(f, 2);
  for (int i = 0; i < PROGRAMS; ++i) {
    assert_int_equal(wn_bind_arena(f->p[i], f->block, f->bytes), WN_OK);
    w[i] = (worker){.p = f->p[i]};
  }
  for (int i = 0; i < PROGRAMS; ++i)
    assert_int_equal(pthread_create(&w[i].thread, NULL, run_often, &w[i]), 0);
  for (int i = 0; i < PROGRAMS; ++i) {
    assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    assert_int_equal(w[i].st, WN_OK);
    assert_memory_equal(f->y[i], f->expected, sizeof(float) * N);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {TEST(in_the_callers_memory), TEST(what_cannot_be),
                                     TEST(programs_that_take_turns)};
  return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
