/* Weights of a model's file that go when they were read for the last time: results before and after against plain
 * loops, the file that is read again for other shapes, or is not what it was, several threads, failing allocations.
 * Under AddressSanitizer memory that was given back may not be touched. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "onnx/write_onnx.h"

enum { C = 24, K = 40, TAPS = 9, MOST = 9, PAGE = 4096, THREADS = 4, RUNS = 6 };

typedef struct fixture {
  diag d;
  arena a;
  wn_context *ctx;
  char path[32];
  wn_model *m;
} fixture;

static float first[K * C * TAPS], second[K * K * TAPS], x[C * MOST * MOST];

/* Filters that do not cancel and need no more than a page's worth of care: small positive and negative numbers. */
static void fill(float *to, int n, int seed) {
  for (int i = 0; i < n; ++i) to[i] = (float)((i * 7 + i / 11 + seed * 5) % 23 - 9) / 64;
}

static void convolve(const double *in, int channels, const float *w, int size, double *out) {
  for (int k = 0; k < K; ++k)
    for (int at = 0; at < size * size; ++at) {
      double sum = 0;
      for (int c = 0; c < channels; ++c)
        for (int i = 0; i < TAPS; ++i) {
          int row = at / size + i / 3 - 1, column = at % size + i % 3 - 1;
          if (row < 0 || row >= size || column < 0 || column >= size) continue;
          sum += (double)w[(k * channels + c) * TAPS + i] * in[(c * size + row) * size + column];
        }
      out[k * size * size + at] = sum > 0 ? sum : 0;
    }
}

/* y = relu(conv(relu(conv(x)))), sides open; `bias` makes the file another one. */
static str network(arena *a, float bias) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){1, C, -1, -1});
  graph_constant(&g, "w1", ONNX_FLOAT, 4, (int64_t[]){K, C, 3, 3}, first);
  graph_constant(&g, "w2", ONNX_FLOAT, 4, (int64_t[]){K, K, 3, 3}, second);
  graph_constant(&g, "b", ONNX_FLOAT, 1, (int64_t[]){1}, &bias);
  str pads = attributes(a);
  attribute_ints(&pads, "pads", 4, (int64_t[]){1, 1, 1, 1});
  graph_node(&g, "Conv", "x w1", "c1", &pads);
  graph_node(&g, "Relu", "c1", "r1", NULL);
  graph_node(&g, "Conv", "r1 w2", "c2", &pads);
  graph_node(&g, "Add", "c2 b", "s2", NULL);
  graph_node(&g, "Relu", "s2", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, 4, (int64_t[]){1, K, -1, -1});
  return model_bytes(&g, 17);
}

static void write_file(const char *path, const str *bytes) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes->data, 1, bytes->len, f), bytes->len);
  assert_int_equal(fclose(f), 0);
}

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  fill(first, K * C * TAPS, 1);
  fill(second, K * K * TAPS, 2);
  fill(x, C * MOST * MOST, 3);
  snprintf(f->path, sizeof f->path, "/tmp/winnow-weights-XXXXXX");
  int fd = mkstemp(f->path);
  if (fd < 0) return -1;
  close(fd);
  str bytes = network(&f->a, 0);
  write_file(f->path, &bytes);
  *state = f;
  return wn_context_create(&f->ctx) == WN_OK ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wn_model_destroy(f->m);
  wn_context_destroy(f->ctx);
  arena_release(&f->a);
  unlink(f->path);
  free(f);
  return 0;
}

/* Transformed weights: runs do not read raw ones. */
static const wn_options rewritten = {.size = sizeof(wn_options),
                                     .plan = "old",
                                     .backend = "interp",
                                     .isa = "avx2",
                                     .threads = 1,
                                     .no_cache = 1};
/* They do where nothing is made of them. */
static const wn_options variable = {.size = sizeof(wn_options),
                                    .plan = "direct",
                                    .backend = "interp",
                                    .threads = 1,
                                    .variable_weights = 1,
                                    .no_cache = 1};

static void load(fixture *f, const wn_options *how) {
  const wn_model_options o = WN_MODEL_OPTIONS(.compile = how, .release_weights = 1);
  if (wn_model_load(f->ctx, f->path, &o, &f->m) != WN_OK) fail_msg("%s", wn_message(f->ctx));
}

static wn_value input(int size) {
  return WN_VALUE(.dtype = WN_F32, .ndim = 4, .shape = {1, C, size, size}, .data = x);
}

static wn_status run(wn_model *m, int size, float *y) {
  wn_value in = input(size), out = WN_VALUE(.data = y, .bytes = sizeof *y * K * MOST * MOST);
  for (int i = 0; i < K * size * size; ++i) y[i] = NAN;
  return wn_model_run(m, &in, 1, &out, 1);
}

static int wrong_results(const float *y, int size) {
  static _Thread_local double in[C * MOST * MOST], mid[K * MOST * MOST], out[K * MOST * MOST];
  int wrong = 0;
  for (int i = 0; i < C * size * size; ++i) in[i] = (double)x[i];
  convolve(in, C, first, size, mid);
  convolve(mid, K, second, size, out);
  for (int i = 0; i < K * size * size; ++i)
    wrong += !(fabs((double)y[i] - out[i]) <= 1e-4 * (1 + fabs(out[i])));
  return wrong;
}

static void expect(fixture *f, int size) {
  static float y[K * MOST * MOST];
  if (run(f->m, size, y) != WN_OK) fail_msg("%s", wn_model_message(f->m));
  assert_int_equal(wrong_results(y, size), 0);
}

static size_t released(const fixture *f) {
  wn_model_info info = WN_MODEL_INFO();
  assert_int_equal(wn_model_get_info(f->m, &info), WN_OK);
  return info.released_bytes;
}

/* Whole pages of both filters. */
static void expect_released(const fixture *f) {
  size_t all = sizeof first + sizeof second;
#if defined(__linux__)
  assert_true(released(f) <= all);
  assert_true(released(f) + 4 * PAGE >= all);
#else
  (void)all;
#endif
}

/* --- tests ------------------------------------------------------------------------------------ */

static void goes_and_comes_back(void **state) {
  fixture *f = *state;
  load(f, &rewritten);
  assert_int_equal(released(f), 0);
  for (int i = 0; i < 2; ++i) {
    expect(f, 7);
    expect_released(f);
  }
  expect(f, MOST); /* reads the file again */
  expect_released(f);
  expect(f, 7);
  expect(f, 5);
  expect_released(f);
}

static void stays_where_runs_read_it(void **state) {
  fixture *f = *state;
  load(f, &variable);
  expect(f, 7);
  expect(f, 7);
  assert_int_equal(released(f), 0);
  expect(f, 5);
}

/* A program that has not prepared yet needs them, whoever else does not. */
static void others_keep_it(void **state) {
  fixture *f = *state;
  load(f, &rewritten);
  wn_value in = input(5);
  wn_program *p;
  assert_int_equal(wn_model_program(f->m, &in, 1, &p), WN_OK);
  expect(f, 7);
  assert_int_equal(released(f), 0);
  wn_model_release(f->m, p);
  expect(f, 5);
  expect_released(f);
}

static void another_file(void **state) {
  fixture *f = *state;
  static float y[K * MOST * MOST];
  load(f, &rewritten);
  expect(f, 7);
  expect_released(f);
  str bytes = network(&f->a, 1);
  write_file(f->path, &bytes);
  expect(f, 7); /* which needs no file */
#if defined(__linux__)
  assert_int_equal(run(f->m, 5, y), WN_ERR_IO);
  if (strstr(wn_model_message(f->m), "is not what it was when the model was loaded") == NULL)
    fail_msg("%s", wn_model_message(f->m));
  unlink(f->path);
  assert_int_equal(run(f->m, 5, y), WN_ERR_IO);
  assert_non_null(strstr(wn_model_message(f->m), f->path));
  expect(f, 7);
#endif
}

static void no_other_constants(void **state) {
  fixture *f = *state;
  load(f, &rewritten);
  expect(f, 7);
  wn_value in = input(7);
  wn_program *p;
  assert_int_equal(wn_model_program(f->m, &in, 1, &p), WN_OK);
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  int slot = info.inputs;
  wn_slot_info s = WN_SLOT_INFO();
  assert_int_equal(wn_program_get_slot(p, slot, &s), WN_OK);
  assert_int_equal(s.kind, WN_SLOT_CONSTANT);
  assert_null(s.data);
  assert_int_equal(wn_bind(p, slot, first), WN_ERR_USAGE);
  assert_non_null(strstr(wn_program_message(p), "were released"));
  wn_program *other;
  assert_int_equal(wn_program_share(p, &other), WN_OK); /* has the same prepared weights */
  wn_program_destroy(other);
  wn_model_release(f->m, p);
  expect(f, 7);
}

/* A graph of the caller's: nothing goes by itself, and all that may once he says so. */
static void of_a_built_graph(void **state) {
  fixture *f = *state;
  static float y[K * MOST * MOST];
  load(f, &rewritten);
  wn_context *ctx;
  wn_tensor *out;
  wn_program *p;
  void *data = y;
  wn_value in = input(7);
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  assert_int_equal(wn_model_build(f->m, ctx, &in, 1, &out), WN_OK);
  expect(f, 5);
  assert_int_equal(released(f), 0);
  assert_int_equal(wn_compile(ctx, &out, &data, 1, &rewritten, &p), WN_OK);
  assert_int_equal(wn_model_release_weights(f->m, NULL), WN_ERR_USAGE);
  assert_int_equal(wn_model_release_weights(NULL, p), WN_ERR_USAGE);
  for (int i = 0; i < 2; ++i) {
    assert_int_equal(wn_model_release_weights(f->m, p), WN_OK);
    expect_released(f);
    assert_int_equal(wn_run(p), WN_OK);
    assert_int_equal(wrong_results(y, 7), 0);
  }
  wn_program_destroy(p);
  expect(f, 9);
  wn_context_destroy(ctx);
}

typedef struct worker {
  pthread_t thread;
  wn_model *m;
  int number, wrong;
} worker;

static void *run_often(void *argument) {
  worker *w = argument;
  float *y = malloc(sizeof *y * K * MOST * MOST);
  for (int i = 0; i < RUNS && y != NULL; ++i) {
    int size = 4 + (w->number + i) % 3;
    w->wrong += run(w->m, size, y) != WN_OK || wrong_results(y, size) > 0;
  }
  w->wrong += y == NULL;
  free(y);
  return NULL;
}

static void threads(void **state) {
  fixture *f = *state;
  worker w[THREADS];
  const wn_model_options o =
      WN_MODEL_OPTIONS(.compile = &rewritten, .programs = 2, .release_weights = 1);
  assert_int_equal(wn_model_load(f->ctx, f->path, &o, &f->m), WN_OK);
  for (int i = 0; i < THREADS; ++i) {
    w[i] = (worker){.m = f->m, .number = i};
    assert_int_equal(pthread_create(&w[i].thread, NULL, run_often, &w[i]), 0);
  }
  int wrong = 0;
  for (int i = 0; i < THREADS; ++i) {
    assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    wrong += w[i].wrong;
  }
  assert_int_equal(wrong, 0);
}

/* Two shapes with the n-th allocation failing, then with memory again. */
static wn_status load_and_run(fixture *f, long fail_at, long *count) {
  static float y[K * MOST * MOST];
  const wn_model_options o = WN_MODEL_OPTIONS(.compile = &rewritten, .release_weights = 1);
  wn_model *m = NULL;
  mem_fail_at(fail_at);
  wn_status st = wn_model_load(f->ctx, f->path, &o, &m);
  for (int size = 2; m != NULL && st == WN_OK && size <= 3; ++size) st = run(m, size, y);
  *count = mem_count();
  mem_fail_at(0);
  for (int size = 2; m != NULL && size <= 3; ++size) {
    if (run(m, size, y) != WN_OK) fail_msg("%s", wn_model_message(m));
    assert_int_equal(wrong_results(y, size), 0);
  }
  wn_model_destroy(m);
  return st;
}

static void survives_every_failure(void **state) {
  fixture *f = *state;
  long all, count;
  assert_int_equal(load_and_run(f, LONG_MAX, &all), WN_OK);
  for (long n = 1; n <= all; n += n < 40 ? 1 : 5) {
    wn_status st = load_and_run(f, n, &count);
    if (st != WN_ERR_NOMEM && st != WN_OK)
      fail_msg("allocation %ld of %ld: status %d", n, all, (int)st);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(goes_and_comes_back),
      TEST(stays_where_runs_read_it),
      TEST(others_keep_it),
      TEST(another_file),
      TEST(no_other_constants),
      TEST(of_a_built_graph),
      TEST(threads),
      TEST(survives_every_failure),
  };
  return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
