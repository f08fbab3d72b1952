/* Models through the C API: what they say of themselves, results against plain loops, which programs are made and kept,
 * several threads that run one model at once, and every allocation of it failing in turn. What is wrong about a model
 * or a call is in test_bad_models.c and test_bad_graphs.c. */
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

enum { C = 2, K = 3, H = 5, W = 4, MOST = 3, PIXELS = H * W, THREADS = 4, RUNS = 8 };

/* --- the model -------------------------------------------------------------------------------- */

typedef struct fixture {
  diag d;
  arena a;
  wn_context *ctx;
  str bytes;
  wn_model *m;
} fixture;

static float weights[K * C * 9], x[MOST * C * PIXELS], z[MOST * K * PIXELS];
static double expected[MOST * K * PIXELS]; /* of y, before the ReLU */

static void fill(float *to, int n, int seed) {
  for (int i = 0; i < n; ++i) to[i] = (float)((i * 7 + seed * 5) % 23 - 11) / 8;
}

static double convolved(int n, int k, int row, int column) {
  double sum = 0;
  for (int c = 0; c < C; ++c)
    for (int i = 0; i < 9; ++i) {
      int at = row + i / 3 - 1, in = column + i % 3 - 1;
      if (at < 0 || at >= H || in < 0 || in >= W) continue;
      sum += (double)weights[(k * C + c) * 9 + i] * (double)x[((n * C + c) * H + at) * W + in];
    }
  return sum;
}

/* y = conv(x) + z and r = max(y, 0), for x [batch, 2, h, w] and z [batch, 3, h, w]. */
static str network(arena *a) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){-2, C, -1, -1});
  graph_input(&g, "z", ONNX_FLOAT, 4, (int64_t[]){-2, K, -1, -1});
  graph_constant(&g, "w", ONNX_FLOAT, 4, (int64_t[]){K, C, 3, 3}, weights);
  str pads = attributes(a);
  attribute_ints(&pads, "pads", 4, (int64_t[]){1, 1, 1, 1});
  graph_node(&g, "Conv", "x w", "c", &pads);
  graph_node(&g, "Add", "c z", "y", NULL);
  graph_node(&g, "Relu", "y", "r", NULL);
  graph_output(&g, "y", ONNX_FLOAT, 4, (int64_t[]){-2, K, -1, -1});
  graph_output(&g, "r", ONNX_FLOAT, -1, NULL);
  return model_bytes(&g, 17);
}

static const wn_options interpreted = {
    .size = sizeof(wn_options), .backend = "interp", .threads = 1, .no_cache = 1};

static void load(fixture *f, const str *bytes, int programs) {
  const wn_model_options o = WN_MODEL_OPTIONS(.compile = &interpreted, .programs = programs);
  if (wn_model_load_bytes(f->ctx, bytes->data, bytes->len, &o, &f->m) != WN_OK)
    fail_msg("%s", wn_message(f->ctx));
}

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  fill(weights, K * C * 9, 1);
  fill(x, MOST * C * PIXELS, 2);
  fill(z, MOST * K * PIXELS, 3);
  for (int i = 0; i < MOST * K * PIXELS; ++i) {
    int n = i / PIXELS / K, k = i / PIXELS % K;
    expected[i] = convolved(n, k, i % PIXELS / W, i % W) + (double)z[i];
  }
  f->bytes = network(&f->a);
  *state = f;
  return wn_context_create(&f->ctx) == WN_OK ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wn_model_destroy(f->m);
  wn_context_destroy(f->ctx);
  arena_release(&f->a);
  free(f);
  return 0;
}

static wn_value value_of(const char *name, int64_t batch, int64_t channels, float *data) {
  return WN_VALUE(.name = name, .dtype = WN_F32, .ndim = 4, .shape = {batch, channels, H, W},
                  .data = data);
}

typedef struct results {
  float y[MOST * K * PIXELS], r[MOST * K * PIXELS];
} results;

static void forget(results *got) { memset(got, 0xff, sizeof *got); } /* NaN */

static int wrong_results(const results *got, int batch) {
  int wrong = 0;
  for (int i = 0; i < batch * K * PIXELS; ++i) {
    double r = expected[i] > 0 ? expected[i] : 0;
    wrong += !(fabs((double)got->y[i] - expected[i]) <= 1e-4);
    wrong += !(fabs((double)got->r[i] - r) <= 1e-4);
  }
  return wrong;
}

/* How a thread runs it too: nothing here fails a test. */
static wn_status run_batch(wn_model *m, int batch, results *got) {
  wn_value in[] = {value_of(NULL, batch, C, x), value_of(NULL, batch, K, z)};
  wn_value out[] = {WN_VALUE(.data = got->y, .bytes = sizeof got->y),
                    WN_VALUE(.data = got->r, .bytes = sizeof got->r)};
  forget(got);
  return wn_model_run(m, in, 2, out, 2);
}

static void expect_batch(fixture *f, int batch) {
  results got;
  if (run_batch(f->m, batch, &got) != WN_OK) fail_msg("%s", wn_model_message(f->m));
  assert_int_equal(wrong_results(&got, batch), 0);
}

static void expect_programs(fixture *f, int programs, int compiles) {
  wn_model_info info = WN_MODEL_INFO();
  assert_int_equal(wn_model_get_info(f->m, &info), WN_OK);
  assert_int_equal(info.programs, programs);
  assert_int_equal(info.compiles, compiles);
}

/* --- what a model says ------------------------------------------------------------------------ */

static void says_what_it_is(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 0);
  wn_model_info info = WN_MODEL_INFO();
  assert_int_equal(wn_model_get_info(f->m, &info), WN_OK);
  assert_string_equal(info.name, "graph");
  assert_non_null(strstr(info.producer, "winnow's tests"));
  assert_int_equal(info.ir_version, 8);
  assert_int_equal(info.opset, 17);
  assert_int_equal(info.inputs, 2); /* w is none */
  assert_int_equal(info.outputs, 2);
  assert_int_equal(info.nodes, 3);
  assert_int_equal(info.weight_bytes, sizeof weights);
  expect_programs(f, 0, 0);
  static const char *const inputs[] = {"x", "z"}, *const outputs[] = {"y", "r"};
  for (int i = 0; i < 2; ++i) {
    wn_value in = WN_VALUE(), out = WN_VALUE();
    assert_int_equal(wn_model_get_input(f->m, i, &in), WN_OK);
    assert_string_equal(in.name, inputs[i]);
    assert_int_equal(in.dtype, WN_F32);
    assert_int_equal(in.ndim, 4);
    assert_int_equal(in.shape[0], -1);
    assert_int_equal(in.shape[1], i == 0 ? C : K);
    assert_int_equal(in.shape[2], -1);
    assert_string_equal(in.dim[0], "batch");
    assert_null(in.dim[1]);
    assert_null(in.dim[2]);
    assert_int_equal(wn_model_get_output(f->m, i, &out), WN_OK);
    assert_string_equal(out.name, outputs[i]);
    assert_int_equal(out.ndim, i == 0 ? 4 : -1);
  }
}

static void from_a_file(void **state) {
  fixture *f = *state;
  char path[] = "/tmp/winnow-model-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, f->bytes.data, f->bytes.len), f->bytes.len);
  close(fd);
  const wn_model_options o = WN_MODEL_OPTIONS(.compile = &interpreted);
  wn_status st = wn_model_load(f->ctx, path, &o, &f->m);
  unlink(path); /* the file is not looked at again */
  if (st != WN_OK) fail_msg("%s", wn_message(f->ctx));
  expect_batch(f, 2);
}

static void tells_shapes(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 0);
  wn_value in[] = {value_of("z", 2, K, NULL), value_of("x", 2, C, NULL)};
  wn_value out[] = {WN_VALUE(), WN_VALUE()};
  if (wn_model_outputs(f->m, in, 2, out) != WN_OK) fail_msg("%s", wn_model_message(f->m));
  for (int i = 0; i < 2; ++i) {
    static const int64_t shape[] = {2, K, H, W};
    assert_int_equal(out[i].dtype, WN_F32);
    assert_int_equal(out[i].ndim, 4);
    assert_memory_equal(out[i].shape, shape, sizeof shape);
    assert_int_equal(out[i].bytes, 2 * K * PIXELS * sizeof(float));
  }
  expect_programs(f, 1, 1);
  expect_batch(f, 2); /* with the same program */
  expect_programs(f, 1, 1);
}

/* --- running ---------------------------------------------------------------------------------- */

static void by_name_and_place(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 0);
  results got;
  static const struct {
    const char *in[2], *out[2];
  } ways[] = {{{NULL, NULL}, {NULL, NULL}},
              {{"x", "z"}, {"y", "r"}},
              {{"z", "x"}, {"r", "y"}},
              {{NULL, "z"}, {"y", NULL}}};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; ++i) {
    wn_value in[2], out[2];
    for (int k = 0; k < 2; ++k) {
      const char *name = ways[i].in[k], *result = ways[i].out[k];
      bool is_x = name == NULL ? k == 0 : *name == 'x',
           is_y = result == NULL ? k == 0 : *result == 'y';
      in[k] = value_of(name, 1, is_x ? C : K, is_x ? x : z);
      out[k] = WN_VALUE(.name = result, .data = is_y ? got.y : got.r);
    }
    forget(&got);
    if (wn_model_run(f->m, in, 2, out, 2) != WN_OK) fail_msg("%s", wn_model_message(f->m));
    assert_int_equal(wrong_results(&got, 1), 0);
    assert_int_equal(out[0].ndim, 4);
    assert_int_equal(out[0].shape[1], K);
  }
  expect_programs(f, 1, 1);
  /* one output alone, and an error between, which changes nothing */
  wn_value in[] = {value_of("x", 1, C, x), value_of("z", 1, K, z)};
  wn_value r = WN_VALUE(.name = "r", .data = got.r);
  forget(&got);
  assert_int_equal(wn_model_run(f->m, in, 2, &r, 1), WN_OK);
  for (int i = 0; i < K * PIXELS; ++i) assert_true(isnan(got.y[i]) && got.r[i] >= 0);
  in[1].shape[1] = K + 1;
  assert_int_equal(wn_model_run(f->m, in, 2, &r, 1), WN_ERR_USAGE);
  assert_non_null(strstr(wn_model_message(f->m), "\"z\""));
  expect_batch(f, 1);
  expect_programs(f, 1, 1);
}

static void compiled(void **state) {
  fixture *f = *state;
  const wn_options options = WN_OPTIONS(.threads = 1, .no_cache = 1);
  const wn_model_options o = WN_MODEL_OPTIONS(.compile = &options);
  assert_int_equal(wn_model_load_bytes(f->ctx, f->bytes.data, f->bytes.len, &o, &f->m), WN_OK);
  expect_batch(f, 1);
}

/* A graph in the caller's context, twice. */
static void built_by_hand(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 0);
  for (int batch = 1; batch <= 2; ++batch) {
    wn_value in[] = {value_of("z", batch, K, z), value_of("x", batch, C, x)};
    wn_tensor *outs[2];
    results got;
    wn_program *p;
    if (wn_model_build(f->m, f->ctx, in, 2, outs) != WN_OK) fail_msg("%s", wn_message(f->ctx));
    assert_int_equal(wn_shape(outs[1])[0], batch);
    forget(&got);
    void *data[] = {got.y, got.r};
    if (wn_compile(f->ctx, outs, data, 2, &interpreted, &p) != WN_OK)
      fail_msg("%s", wn_message(f->ctx));
    assert_int_equal(wn_run(p), WN_OK);
    assert_int_equal(wrong_results(&got, batch), 0);
    wn_program_destroy(p);
  }
  expect_programs(f, 0, 0);
}

static void values_inside(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 0);
  assert_int_equal(wn_model_add_output(f->m, "c"), WN_OK);
  assert_int_equal(wn_model_add_output(f->m, "node0"), WN_OK); /* which gives c */
  float c[2][K * PIXELS];
  wn_value in[] = {value_of("x", 1, C, x), value_of("z", 1, K, z)};
  wn_value out[4] = {WN_VALUE(), WN_VALUE(), WN_VALUE(.data = c[0]), WN_VALUE(.data = c[1])};
  wn_value about = WN_VALUE();
  assert_int_equal(wn_model_get_output(f->m, 3, &about), WN_OK);
  assert_string_equal(about.name, "c");
  if (wn_model_run(f->m, in, 2, out, 4) != WN_OK) fail_msg("%s", wn_model_message(f->m));
  for (int i = 0; i < K * PIXELS; ++i) {
    assert_true(fabs((double)c[0][i] + (double)z[i] - expected[i]) <= 1e-4);
    assert_true(c[0][i] == c[1][i]);
  }
  assert_int_equal(wn_model_add_output(f->m, "c"), WN_ERR_USAGE); /* there is a program */
}

/* NaN is the largest, and the first of several is taken, as numpy's argmax has it. */
static void largest_with_nan(void **state) {
  fixture *f = *state;
  static const float in[3][4] = {{1, NAN, 3, NAN}, {2, 5, 5, -1}, {-INFINITY, -8, INFINITY, 7}};
  static const int64_t right[3] = {1, 1, 2};
  float hard[3][4];
  int64_t at[3];
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 2, (int64_t[]){3, 4});
  str axis = attributes(&f->a);
  attribute_int(&axis, "axis", 1);
  graph_node(&g, "ArgMax", "x", "at", &axis);
  graph_node(&g, "Hardmax", "x", "hard", &axis);
  graph_output(&g, "at", ONNX_INT64, -1, NULL);
  graph_output(&g, "hard", ONNX_FLOAT, -1, NULL);
  str bytes = model_bytes(&g, 17);
  load(f, &bytes, 0);
  wn_value given = WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {3, 4}, .data = (void *)in);
  wn_value out[] = {WN_VALUE(.data = at), WN_VALUE(.data = hard)};
  if (wn_model_run(f->m, &given, 1, out, 2) != WN_OK) fail_msg("%s", wn_model_message(f->m));
  for (int i = 0; i < 3; ++i) {
    assert_int_equal(at[i], right[i]);
    for (int k = 0; k < 4; ++k) assert_true(hard[i][k] == (k == right[i] ? 1 : 0));
  }
}

/* --- programs --------------------------------------------------------------------------------- */

static void keeps_the_last(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 2);
  static const struct {
    int batch, programs, compiles;
  } runs[] = {{1, 1, 1}, {2, 2, 2}, {1, 2, 2}, {3, 2, 3}, /* 2 goes */
              {1, 2, 3}, {2, 2, 4},                       /* 3 goes */
              {1, 2, 4}, {2, 2, 4}, {3, 2, 5}};           /* 1 goes */
  for (size_t i = 0; i < sizeof runs / sizeof *runs; ++i) {
    expect_batch(f, runs[i].batch);
    expect_programs(f, runs[i].programs, runs[i].compiles);
  }
}

static wn_program *borrow(fixture *f, int batch) {
  wn_value in[] = {value_of("x", batch, C, NULL), value_of("z", batch, K, NULL)};
  wn_program *p;
  if (wn_model_program(f->m, in, 2, &p) != WN_OK) fail_msg("%s", wn_model_message(f->m));
  assert_non_null(p);
  return p;
}

static void bind_and_run(wn_program *p, int batch) {
  static const char *const names[] = {"x", "z", "y", "r"};
  results got;
  const void *data[] = {x, z, got.y, got.r};
  forget(&got);
  for (int i = 0; i < 4; ++i) {
    int slot;
    if (wn_program_find(p, names[i], &slot) != WN_OK) fail_msg("%s", wn_program_message(p));
    assert_int_equal(wn_bind(p, slot, (void *)(uintptr_t)data[i]), WN_OK);
  }
  if (wn_run(p) != WN_OK) fail_msg("%s", wn_program_message(p));
  assert_int_equal(wrong_results(&got, batch), 0);
}

/* What is lent stays, however many others are made. */
static void lends_programs(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 1);
  wn_program *one = borrow(f, 1), *other = borrow(f, 1);
  assert_ptr_not_equal(one, other);
  expect_programs(f, 1, 1);
  expect_batch(f, 2);
  expect_batch(f, 3);
  expect_batch(f, 1); /* a third one, of the same code */
  bind_and_run(one, 1);
  bind_and_run(other, 1);
  wn_model_release(f->m, one);
  bind_and_run(other, 1);
  wn_model_release(f->m, other);
  expect_programs(f, 1, 3);
  expect_batch(f, 1);
  expect_programs(f, 1, 3);
  expect_batch(f, 2);
  expect_programs(f, 1, 4);
  wn_model_release(f->m, NULL);
  borrow(f, 1); /* is given back with the model */
}

/* The shape of y is what an input holds: a program for each that it held. */
static void values_are_keys(void **state) {
  fixture *f = *state;
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "v", ONNX_FLOAT, 1, (int64_t[]){6});
  graph_input(&g, "shape", ONNX_INT64, 1, (int64_t[]){2});
  graph_node(&g, "Reshape", "v shape", "m", NULL);
  graph_node(&g, "Neg", "m", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  str bytes = model_bytes(&g, 17);
  load(f, &bytes, 2);
  float v[] = {1, 2, 3, 4, 5, 6}, y[6];
  static const int64_t shapes[][2] = {{2, 3}, {3, 2}, {2, 3}, {1, 6}, {3, 2}};
  static const int compiles[] = {1, 2, 2, 3, 4}; /* of three, the one used longest ago goes */
  for (int i = 0; i < 5; ++i) {
    int64_t shape[] = {shapes[i][0], shapes[i][1]};
    wn_value in[] = {WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {6}, .data = v),
                     WN_VALUE(.dtype = WN_I64, .ndim = 1, .shape = {2}, .data = shape)};
    wn_value out = WN_VALUE(.data = y);
    v[0] = (float)i; /* what decides nothing is no key */
    if (wn_model_run(f->m, in, 2, &out, 1) != WN_OK) fail_msg("%s", wn_model_message(f->m));
    assert_int_equal(out.ndim, 2);
    assert_memory_equal(out.shape, shape, sizeof shape);
    for (int k = 0; k < 6; ++k) assert_true(y[k] == -v[k]);
    expect_programs(f, i == 0 ? 1 : 2, compiles[i]);
  }
  wn_value in[] = {WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {6}, .data = v),
                   WN_VALUE(.dtype = WN_I64, .ndim = 1, .shape = {2})};
  wn_program *p;
  assert_int_equal(wn_model_program(f->m, in, 2, &p), WN_ERR_USAGE);
  assert_null(p);
  assert_non_null(strstr(wn_model_message(f->m), "\"shape\""));
}

/* --- threads ---------------------------------------------------------------------------------- */

typedef struct worker {
  pthread_t thread;
  wn_model *m;
  pthread_barrier_t *start;
  int first, wrong;
} worker;

/* Other shapes each time, so that programs are made, shared and dropped all the while; and calls that are wrong. */
static void *run_often(void *argument) {
  worker *w = argument;
  results got;
  pthread_barrier_wait(w->start);
  for (int i = 0; i < RUNS; ++i) {
    int batch = (w->first + i) % MOST + 1;
    w->wrong += run_batch(w->m, batch, &got) != WN_OK || wrong_results(&got, batch) > 0;
    wn_value in[] = {value_of("x", 1, C, x), value_of("z", 2, K, z)}, out = WN_VALUE();
    w->wrong += wn_model_run(w->m, in, i % 2, &out, 1) != WN_ERR_USAGE; /* there is no z */
    w->wrong += wn_model_run(w->m, in, -1, &out, 1) != WN_ERR_USAGE;
    in[1].shape[2] = H + 1; /* which cannot be added: no program is made */
    in[1].shape[0] = 1;
    w->wrong += wn_model_run(w->m, in, 2, &out, 1) != WN_ERR_USAGE;
  }
  return NULL;
}

static void threads(void **state) {
  fixture *f = *state;
  load(f, &f->bytes, 2);
  worker w[THREADS];
  pthread_barrier_t start;
  assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
  for (int i = 0; i < THREADS; ++i) {
    w[i] = (worker){.m = f->m, .start = &start, .first = i / 2};
    assert_int_equal(pthread_create(&w[i].thread, NULL, run_often, &w[i]), 0);
  }
  int wrong = 0;
  for (int i = 0; i < THREADS; ++i) {
    assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    wrong += w[i].wrong;
  }
  pthread_barrier_destroy(&start);
  assert_int_equal(wrong, 0);
  wn_model_info info = WN_MODEL_INFO();
  assert_int_equal(wn_model_get_info(f->m, &info), WN_OK);
  assert_int_equal(info.programs, 2);
  assert_true(info.compiles >= MOST);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Loads and runs, and then, with memory again, runs what was loaded once more. */
static wn_status load_and_run(fixture *f, long fail_at, long *count) {
  const wn_model_options o = WN_MODEL_OPTIONS(.compile = &interpreted);
  wn_model *m = NULL;
  results got;
  mem_fail_at(fail_at);
  const char *line = "";
  wn_status st = wn_model_load_bytes(f->ctx, f->bytes.data, f->bytes.len, &o, &m);
  if (st != WN_OK) line = wn_message(f->ctx);
  if (m != NULL && (st = run_batch(m, 1, &got)) != WN_OK) line = wn_model_message(m);
  *count = mem_count();
  mem_fail_at(0);
  if (st == WN_OK) assert_int_equal(wrong_results(&got, 1), 0);
  if (st != WN_OK) assert_true(*line != '\0');
  if (m != NULL && st != WN_OK) {
    if (run_batch(m, 1, &got) != WN_OK) fail_msg("%s", wn_model_message(m));
    assert_int_equal(wrong_results(&got, 1), 0);
  }
  wn_model_destroy(m);
  return st;
}

static void survives_every_failure(void **state) {
  fixture *f = *state;
  long all, count;
  assert_int_equal(load_and_run(f, LONG_MAX, &all), WN_OK);
  for (long n = 1; n <= all; ++n) {
    wn_status st = load_and_run(f, n, &count);
    if (st != WN_ERR_NOMEM) fail_msg("allocation %ld of %ld: status %d", n, all, (int)st);
  }
  assert_true(all >= 10);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(says_what_it_is),   TEST(from_a_file),    TEST(tells_shapes),
      TEST(by_name_and_place), TEST(compiled),       TEST(built_by_hand),
      TEST(values_inside),     TEST(keeps_the_last), TEST(lends_programs),
      TEST(values_are_keys),   TEST(threads),        TEST(survives_every_failure),
      TEST(largest_with_nan),
  };
  return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
