/* The last stage of a model on the host: TopK, NonZero, NonMaxSuppression, and who may read their results. Results are
 * checked by their definitions, element by element; ONNX's own tests of these operators are run by tests/onnx. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/half.h"
#include "onnx/write_onnx.h"
#include "unit/context_fixture.h"

static wn_status try_load(fixture *f, const str *bytes, wn_model **m) {
  const wn_options options = WN_OPTIONS(.backend = "interp", .threads = 1);
  const wn_model_options how = WN_MODEL_OPTIONS(.compile = &options);
  return wn_model_load_bytes(f->ctx, bytes->data, bytes->len, &how, m);
}

static wn_model *load(fixture *f, const str *bytes) {
  wn_model *m;
  if (try_load(f, bytes, &m) != WN_OK) fail_msg("%s", wn_message(f->ctx));
  return m;
}

static void run(wn_model *m, const wn_value *in, int ins, wn_value *out, int outs) {
  if (wn_model_run(m, in, ins, out, outs) != WN_OK) fail_msg("%s", wn_model_message(m));
}

static void has_words(const char *line, const char *const *words) {
  if (*line == '\0' || strchr(line, '\n') != NULL) fail_msg("no line: \"%s\"", line);
  for (; *words != NULL; ++words)
    if (strstr(line, *words) == NULL) fail_msg("\"%s\" is not in \"%s\"", *words, line);
}
#define HAS_WORDS(line, ...) has_words(line, (const char *const[]){__VA_ARGS__, NULL})

/* --- TopK behind a convolution ---------------------------------------------------------------- */

enum { C = 3, K = 12, SIDE = 6, BEST = 4, PLACES = SIDE * SIDE };
static const int64_t image_shape[] = {1, C, SIDE, SIDE}, weights_shape[] = {K, C, 3, 3};

static float noise(unsigned *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return (float)(*seed >> 8) / 8388608.0f - 1;
}

static void fill(float *x, int n, unsigned seed) {
  for (int i = 0; i < n; ++i) x[i] = noise(&seed);
}

/* "c" = Relu(Conv(x)), "best" and "where" = its BEST largest channels, "narrow" = where as int32. */
static str conv_model(fixture *f) {
  static float weights[K * C * 9];
  graph_writer g;
  fill(weights, K * C * 9, 7);
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 4, image_shape);
  graph_constant(&g, "w", ONNX_FLOAT, 4, weights_shape, weights);
  graph_ints(&g, "k", 1, (int64_t[]){BEST});
  str pads = attributes(&f->a), axis = attributes(&f->a), to = attributes(&f->a);
  attribute_ints(&pads, "pads", 4, (int64_t[]){1, 1, 1, 1});
  attribute_int(&axis, "axis", 1);
  attribute_int(&to, "to", ONNX_INT32);
  graph_node(&g, "Conv", "x w", "y", &pads);
  graph_node(&g, "Relu", "y", "c", NULL);
  graph_node(&g, "TopK", "c k", "best place", &axis);
  graph_node(&g, "Identity", "place", "where", NULL);
  graph_node(&g, "Cast", "where", "narrow", &to);
  graph_output(&g, "best", ONNX_FLOAT, -1, NULL);
  graph_output(&g, "c", ONNX_FLOAT, -1, NULL);
  graph_output(&g, "where", ONNX_INT64, -1, NULL);
  graph_output(&g, "narrow", ONNX_INT32, -1, NULL);
  return model_bytes(&g, 17);
}

typedef struct results {
  float best[BEST * PLACES], c[K * PLACES];
  int64_t where[BEST * PLACES];
  int32_t narrow[BEST * PLACES];
} results;

static void outputs_of(results *r, wn_value *out) {
  memset(r, 0xff, sizeof *r);
  out[0] = WN_VALUE(.data = r->best, .bytes = sizeof r->best);
  out[1] = WN_VALUE(.data = r->c, .bytes = sizeof r->c);
  out[2] = WN_VALUE(.data = r->where, .bytes = sizeof r->where);
  out[3] = WN_VALUE(.data = r->narrow, .bytes = sizeof r->narrow);
}

/* Each place: values are those of c, in falling order, of equal ones the lower channel first, and no other channel is
 * above the last. */
static void check_best(const results *r) {
  for (int p = 0; p < PLACES; ++p) {
    bool taken[K] = {false};
    for (int i = 0; i < BEST; ++i) {
      const int64_t channel = r->where[i * PLACES + p];
      assert_true(channel >= 0 && channel < K && !taken[channel]);
      taken[channel] = true;
      assert_true(r->narrow[i * PLACES + p] == channel);
      assert_true(r->best[i * PLACES + p] == r->c[channel * PLACES + p]);
      if (i == 0) continue;
      const float above = r->best[(i - 1) * PLACES + p];
      assert_true(above >= r->best[i * PLACES + p]);
      if (above == r->best[i * PLACES + p]) assert_true(r->where[(i - 1) * PLACES + p] < channel);
    }
    for (int k = 0; k < K; ++k)
      if (!taken[k]) {
        assert_true(r->c[k * PLACES + p] <= r->best[(BEST - 1) * PLACES + p]);
        if (r->c[k * PLACES + p] == r->best[(BEST - 1) * PLACES + p])
          assert_true(k > r->where[(BEST - 1) * PLACES + p]);
      }
  }
}

static wn_value image_value(float *image) {
  return WN_VALUE(.dtype = WN_F32, .ndim = 4, .shape = {1, C, SIDE, SIDE}, .data = image);
}

static void behind_conv(void **state) {
  fixture *f = *state;
  str bytes = conv_model(f);
  wn_model *m = load(f, &bytes);
  float image[C * PLACES];
  results r;
  wn_value in = image_value(image), out[4];
  wn_model_info info = WN_MODEL_INFO();
  assert_int_equal(wn_model_get_info(m, &info), WN_OK);
  assert_int_equal(info.host, 1);
  for (unsigned seed = 1; seed <= 5; ++seed) {
    fill(image, C * PLACES, seed);
    outputs_of(&r, out);
    run(m, &in, 1, out, 4);
    check_best(&r);
  }
  assert_int_equal(out[2].ndim, 4);
  assert_true(out[2].shape[1] == BEST && out[2].shape[3] == SIDE && out[2].dtype == WN_I64);
  /* nobody wants c, which the host reads all the same */
  results other;
  outputs_of(&other, out);
  out[1].data = NULL;
  run(m, &in, 1, out, 4);
  assert_memory_equal(other.where, r.where, sizeof r.where);
  out[2].bytes = sizeof r.where - 1;
  assert_int_equal(wn_model_run(m, &in, 1, out, 4), WN_ERR_USAGE);
  HAS_WORDS(wn_model_message(m), "\"where\"", "1152", "1151");
  wn_model_destroy(m);
}

/* The program is what comes before the host: c alone, which is an output and what TopK reads. */
static void program_before(void **state) {
  fixture *f = *state;
  str bytes = conv_model(f);
  wn_model *m = load(f, &bytes);
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_model_program(m, NULL, 0, &p), WN_OK);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_int_equal(info.inputs, 1);
  assert_int_equal(info.outputs, 1);
  wn_model_release(m, p);
  wn_tensor *outs[4];
  assert_int_equal(wn_model_build(m, f->ctx, NULL, 0, outs), WN_ERR_USAGE);
  HAS_WORDS(wn_message(f->ctx), "node2", "TopK", "host", "wn_model_run");
  wn_model_destroy(m);
}

/* --- threads ---------------------------------------------------------------------------------- */

typedef struct worker {
  wn_model *m;
  unsigned seed;
  bool fine;
} worker;

static void *work(void *argument) {
  worker *w = argument;
  float image[C * PLACES];
  results first, r;
  wn_value in = image_value(image), out[4];
  fill(image, C * PLACES, w->seed);
  w->fine = true;
  for (int i = 0; i < 30 && w->fine; ++i) {
    outputs_of(&r, out);
    w->fine = wn_model_run(w->m, &in, 1, out, 4) == WN_OK;
    if (i == 0) first = r;
    w->fine = w->fine && memcmp(&first, &r, sizeof r) == 0;
  }
  if (w->fine) check_best(&first);
  return NULL;
}

static void two_threads(void **state) {
  fixture *f = *state;
  str bytes = conv_model(f);
  worker w[2] = {{load(f, &bytes), 11, false}, {NULL, 12, false}};
  w[1].m = w[0].m;
  pthread_t other;
  assert_int_equal(pthread_create(&other, NULL, work, &w[1]), 0);
  work(&w[0]);
  assert_int_equal(pthread_join(other, NULL), 0);
  assert_true(w[0].fine && w[1].fine);
  wn_model_destroy(w[0].m);
}

/* --- order ------------------------------------------------------------------------------------ */

static str top_model(fixture *f, int type, int64_t n, int64_t k, int largest, int64_t opset) {
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", type, 1, &n);
  str all = attributes(&f->a);
  if (opset < 10) attribute_int(&all, "k", k);
  if (opset > 10) attribute_int(&all, "largest", largest);
  if (opset >= 10) graph_ints(&g, "k", 1, &k);
  graph_node(&g, "TopK", opset < 10 ? "x" : "x k", "v i", &all);
  graph_output(&g, "v", type, -1, NULL);
  graph_output(&g, "i", ONNX_INT64, -1, NULL);
  return model_bytes(&g, opset);
}

/* k is the number of places that are expected. */
static void expect_order(fixture *f, int type, wn_dtype dtype, int n, void *x, int largest,
                         int64_t opset, int k, const int64_t *places) {
  str bytes = top_model(f, type, n, k, largest, opset);
  wn_model *m = load(f, &bytes);
  int64_t v[16], at[16];
  const size_t size = wn_dtype_size(dtype);
  wn_value in = WN_VALUE(.dtype = dtype, .ndim = 1, .shape = {n}, .data = x);
  wn_value out[2] = {WN_VALUE(.data = v, .bytes = sizeof v), WN_VALUE(.data = at)};
  run(m, &in, 1, out, 2);
  assert_true(out[0].dtype == dtype && out[0].ndim == 1 && out[0].shape[0] == k);
  assert_true(out[0].bytes == sizeof v); /* room stays what it is */
  for (int i = 0; i < k; ++i) {
    if (at[i] != places[i])
      fail_msg("place %d is %lld and not %lld", i, (long long)at[i], (long long)places[i]);
    assert_memory_equal((char *)v + (size_t)i * size, (char *)x + (size_t)places[i] * size, size);
  }
  wn_model_destroy(m);
}

static void orders(void **state) {
  fixture *f = *state;
  float x[] = {0.0f, NAN, 1, -INFINITY, -0.0f, INFINITY, 1, 1e-45f, -1};
  expect_order(f, ONNX_FLOAT, WN_F32, 9, x, 1, 11, 9, (int64_t[]){1, 5, 2, 6, 7, 0, 4, 8, 3});
  expect_order(f, ONNX_FLOAT, WN_F32, 9, x, 0, 11, 9, (int64_t[]){3, 8, 0, 4, 7, 2, 6, 5, 1});
  expect_order(f, ONNX_FLOAT, WN_F32, 9, x, 1, 10, 3, (int64_t[]){1, 5, 2});
  expect_order(f, ONNX_FLOAT, WN_F32, 9, x, 1, 9, 4, (int64_t[]){1, 5, 2, 6});
  expect_order(f, ONNX_FLOAT, WN_F32, 9, x, 1, 24, 0, NULL);
  int64_t i[] = {INT64_MAX - 1, INT64_MIN, INT64_MAX, 0, -1, INT64_MAX - 1};
  expect_order(f, ONNX_INT64, WN_I64, 6, i, 1, 17, 6, (int64_t[]){2, 0, 5, 3, 4, 1});
  expect_order(f, ONNX_INT64, WN_I64, 6, i, 0, 17, 2, (int64_t[]){1, 4});
  int32_t n[] = {INT32_MIN, 5, INT32_MAX, 5};
  expect_order(f, ONNX_INT32, WN_I32, 4, n, 1, 17, 3, (int64_t[]){2, 1, 3});
  double d[] = {1, 1 + 0x1p-52, 1};
  expect_order(f, ONNX_DOUBLE, WN_F64, 3, d, 1, 17, 3, (int64_t[]){1, 0, 2});
  uint16_t h[] = {half_to_f16(1), half_to_f16(1.5), half_to_f16(-2), half_to_f16(6e-8)};
  expect_order(f, ONNX_FLOAT16, WN_F16, 4, h, 1, 17, 4, (int64_t[]){1, 0, 3, 2});
}

/* --- NonZero ---------------------------------------------------------------------------------- */

static str non_zero_model(fixture *f, int ndim, const int64_t *shape) {
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, ndim, shape);
  graph_node(&g, "NonZero", "x", "y", NULL);
  graph_output(&g, "y", ONNX_INT64, -1, NULL);
  return model_bytes(&g, 17);
}

static void non_zero(void **state) {
  fixture *f = *state;
  str bytes = non_zero_model(f, 2, (int64_t[]){2, 3});
  wn_model *m = load(f, &bytes);
  float x[6] = {0, -0.0f, NAN, 1e-45f, 0, -2};
  int64_t y[12];
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {2, 3}, .data = x);
  wn_value out = WN_VALUE(.data = NULL);
  assert_int_equal(wn_model_outputs(m, NULL, 0, &out), WN_OK);
  assert_true(out.ndim == 2 && out.shape[0] == 2 && out.shape[1] == -1 && out.dtype == WN_I64);
  assert_true(out.bytes == sizeof y);
  for (int turn = 0; turn < 2; ++turn) { /* what the first writes does not limit the second */
    out.data = y;
    memset(y, 0xff, sizeof y);
    run(m, &in, 1, &out, 1);
    assert_true(out.shape[0] == 2 && out.shape[1] == 3);
    assert_memory_equal(y, ((int64_t[]){0, 1, 1, 2, 0, 2}), 6 * sizeof *y);
    assert_true(y[6] == -1);
  }
  memset(x, 0, sizeof x);
  run(m, &in, 1, &out, 1);
  assert_true(out.shape[0] == 2 && out.shape[1] == 0);
  out.bytes = sizeof y - 1;
  assert_int_equal(wn_model_run(m, &in, 1, &out, 1), WN_ERR_USAGE);
  HAS_WORDS(wn_model_message(m), "\"y\"", "up to 96", "95");
  wn_model_destroy(m);
}

static void non_zero_shapes(void **state) {
  fixture *f = *state;
  str bytes = non_zero_model(f, 0, NULL);
  wn_model *m = load(f, &bytes);
  float x = 3;
  int64_t y[1] = {-1};
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 0, .data = &x), out = WN_VALUE(.data = y);
  run(m, &in, 1, &out, 1);
  assert_true(out.ndim == 2 && out.shape[0] == 0 && out.shape[1] == 1 && y[0] == -1);
  wn_model_destroy(m);
  bytes = non_zero_model(f, 2, (int64_t[]){3, 0});
  m = load(f, &bytes);
  in = WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {3, 0}, .data = &x);
  out = WN_VALUE(.data = y);
  run(m, &in, 1, &out, 1);
  assert_true(out.shape[0] == 2 && out.shape[1] == 0 && y[0] == -1);
  wn_model_destroy(m);
}

/* Of what is known it is known when the graph is built, and anything can read it: x + [0, 2] at places 1 and 3. */
static void known(void **state) {
  fixture *f = *state;
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 1, (int64_t[]){4});
  graph_constant(&g, "mask", ONNX_BOOL, 1, (int64_t[]){4}, (unsigned char[]){0, 1, 0, 1});
  graph_ints(&g, "one", 1, (int64_t[]){1});
  graph_ints(&g, "flat", 1, (int64_t[]){-1});
  graph_node(&g, "NonZero", "mask", "at", NULL);
  graph_node(&g, "TopK", "at one", "- last", NULL); /* of [1, 3]: 1 */
  graph_node(&g, "Reshape", "at flat", "places", NULL);
  graph_node(&g, "Gather", "x places", "picked", NULL);
  graph_node(&g, "Reshape", "last flat", "number", NULL);
  graph_node(&g, "Gather", "picked number", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  str bytes = model_bytes(&g, 17);
  wn_model *m = load(f, &bytes);
  float x[4] = {1, 2, 3, 4}, y[1];
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {4}, .data = x);
  wn_value out = WN_VALUE(.data = y, .bytes = sizeof y);
  run(m, &in, 1, &out, 1);
  assert_true(out.ndim == 1 && out.shape[0] == 1 && y[0] == 4);
  wn_model_destroy(m);
}

/* --- NonMaxSuppression ------------------------------------------------------------------------ */

enum { BOXES = 6 };

static str suppression_model(fixture *f, int64_t most, float iou, const float *least) {
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "boxes", ONNX_FLOAT, 3, (int64_t[]){1, BOXES, 4});
  graph_input(&g, "scores", ONNX_FLOAT, 3, (int64_t[]){1, 1, BOXES});
  graph_ints(&g, "most", 1, &most);
  graph_constant(&g, "iou", ONNX_FLOAT, 1, (int64_t[]){1}, &iou);
  if (least != NULL) graph_constant(&g, "least", ONNX_FLOAT, 1, (int64_t[]){1}, least);
  graph_node(&g, "NonMaxSuppression",
             least != NULL ? "boxes scores most iou least" : "boxes scores most iou", "y", NULL);
  graph_output(&g, "y", ONNX_INT64, -1, NULL);
  return model_bytes(&g, 11);
}

/* Boxes 0 and 1 overlap by a half of each (intersection over union 1/3), 2 and 3 are the same one, 4 has no area. */
static void expect_boxes(fixture *f, int64_t most, float iou, const float *least, float *scores,
                         int count, const int64_t *expected) {
  static float boxes[] = {0, 0, 1, 1, /* */ 0.5f, 0, 1.5f, 1, /* */ 5, 5, 6, 6,
                          6, 6, 5, 5, /* */ 9,    9, 9,    9, /* */ 0, 3, 1, 4};
  str bytes = suppression_model(f, most, iou, least);
  wn_model *m = load(f, &bytes);
  int64_t y[3 * BOXES];
  wn_value in[2] = {WN_VALUE(.dtype = WN_F32, .ndim = 3, .shape = {1, BOXES, 4}, .data = boxes),
                    WN_VALUE(.dtype = WN_F32, .ndim = 3, .shape = {1, 1, BOXES}, .data = scores)};
  wn_value out = WN_VALUE(.data = y, .bytes = sizeof y);
  run(m, in, 2, &out, 1);
  assert_true(out.ndim == 2 && out.shape[1] == 3);
  if (out.shape[0] != count) fail_msg("%lld boxes and not %d", (long long)out.shape[0], count);
  for (int i = 0; i < count; ++i) {
    assert_true(y[3 * i] == 0 && y[3 * i + 1] == 0);
    if (y[3 * i + 2] != expected[i]) fail_msg("box %d is %lld", i, (long long)y[3 * i + 2]);
  }
  wn_model_destroy(m);
}

static void suppression(void **state) {
  fixture *f = *state;
  float rising[] = {1, 2, 3, 4, 5, 6}, equal[] = {1, 1, 1, 1, 1, 1},
        broken[] = {NAN, 2, -INFINITY, INFINITY, NAN, 0};
  const float three = 3, ten = 10;
  expect_boxes(f, 100, 0.3f, NULL, rising, 4, (int64_t[]){5, 4, 3, 1});
  expect_boxes(f, 100, 0.4f, NULL, rising, 5, (int64_t[]){5, 4, 3, 1, 0});
  expect_boxes(f, 100, 1, NULL, rising, 6, (int64_t[]){5, 4, 3, 2, 1, 0});
  expect_boxes(f, 2, 0.3f, NULL, rising, 2, (int64_t[]){5, 4});
  expect_boxes(f, 0, 0.3f, NULL, rising, 0, NULL);
  expect_boxes(f, INT64_MAX, 0.3f, &three, rising, 3, (int64_t[]){5, 4, 3});
  expect_boxes(f, 100, 0.3f, &ten, rising, 0, NULL);
  expect_boxes(f, 100, 0.3f, NULL, equal, 4, (int64_t[]){0, 2, 4, 5});
  expect_boxes(f, 100, 0.3f, NULL, broken, 3, (int64_t[]){3, 1, 5});
}

/* --- who may read ----------------------------------------------------------------------------- */

/* TopK of x[4], and a node that reads its result "v" or "i" and gives "y". */
static str reader(fixture *f, const char *op, const char *reads, const str *all, int64_t k) {
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 1, (int64_t[]){4});
  graph_ints(&g, "k", 1, &k);
  graph_node(&g, "TopK", "x k", "v i", NULL);
  graph_node(&g, op, reads, "y", all);
  graph_output(&g, "y", 0, -1, NULL);
  return model_bytes(&g, 17);
}

static const char *refusal(fixture *f, const str *bytes) {
  wn_model *m;
  wn_value out[3] = {WN_VALUE(.data = NULL), WN_VALUE(.data = NULL), WN_VALUE(.data = NULL)};
  if (try_load(f, bytes, &m) != WN_OK) return wn_message(f->ctx);
  if (wn_model_outputs(m, NULL, 0, out) == WN_OK) fail_msg("it is not refused");
  const char *line = arena_strdup(&f->a, wn_model_message(m));
  wn_model_destroy(m);
  return line;
}

static void readers(void **state) {
  fixture *f = *state;
  wn_model *m;
  str bytes = reader(f, "Relu", "v", NULL, 2);
  assert_int_equal(try_load(f, &bytes, &m), WN_ERR_USAGE);
  HAS_WORDS(wn_message(f->ctx), "node1", "Relu", "\"v\"", "TopK", "last stage", "Cast");
  bytes = reader(f, "Gather", "x i", NULL, 2);
  assert_int_equal(try_load(f, &bytes, &m), WN_ERR_USAGE);
  HAS_WORDS(wn_message(f->ctx), "Gather", "\"i\"", "TopK");
  str to = attributes(&f->a);
  attribute_int(&to, "to", ONNX_INT64);
  bytes = reader(f, "Cast", "v", &to, 2);
  HAS_WORDS(refusal(f, &bytes), "Cast", "TopK", "int64");
  bytes = reader(f, "Identity", "v", NULL, 5);
  HAS_WORDS(refusal(f, &bytes), "TopK", "k is 5", "4 elements");
  bytes = reader(f, "Identity", "v", NULL, -1);
  HAS_WORDS(refusal(f, &bytes), "TopK", "k is -1");
}

/* Stages in a row: TopK of TopK, and NonZero of a TopK, whose result is open; nothing but Cast reads that. */
static void stages(void **state) {
  fixture *f = *state;
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 1, (int64_t[]){6});
  graph_ints(&g, "k", 1, (int64_t[]){4});
  graph_ints(&g, "l", 1, (int64_t[]){2});
  str least = attributes(&f->a), to = attributes(&f->a);
  attribute_int(&least, "largest", 0);
  attribute_int(&to, "to", ONNX_FLOAT);
  graph_node(&g, "TopK", "x k", "v i", NULL);
  graph_node(&g, "TopK", "v l", "w j", &least);
  graph_node(&g, "NonZero", "v", "n", NULL);
  graph_node(&g, "Cast", "n", "as_float", &to);
  graph_output(&g, "w", ONNX_FLOAT, -1, NULL);
  graph_output(&g, "as_float", ONNX_FLOAT, -1, NULL);
  str bytes = model_bytes(&g, 17);
  wn_model *m = load(f, &bytes);
  float x[] = {5, -1, 0, 7, 6, -3}, w[2], n[4] = {-1, -1, -1, -1};
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {6}, .data = x);
  wn_value out[2] = {WN_VALUE(.data = w, .bytes = sizeof w),
                     WN_VALUE(.data = n, .bytes = sizeof n)};
  run(m, &in, 1, out, 2);
  assert_true(w[0] == 0 && w[1] == 5);
  assert_true(out[1].shape[0] == 1 && out[1].shape[1] == 3 && out[1].dtype == WN_F32);
  assert_true(n[0] == 0 && n[1] == 1 && n[2] == 2 && n[3] == -1);
  wn_model_destroy(m);
  graph_node(&g, "TopK", "n l", "p q", NULL);
  graph_output(&g, "p", ONNX_INT64, -1, NULL);
  bytes = model_bytes(&g, 17);
  HAS_WORDS(refusal(f, &bytes), "TopK", "\"n\"", "after a run");
}

/* Operators in the body of a function are of its opset: NonZero is there from 9 on. */
static void opset_of_function(void **state) {
  fixture *f = *state;
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 1, (int64_t[]){4});
  graph_import(&g, "local", 1);
  graph_node_of(&g, "local", "places", "x", "y", NULL);
  graph_output(&g, "y", ONNX_INT64, -1, NULL);
  str bytes = model_bytes(&g, 8), function = pb_begin(&f->a), node = pb_begin(&f->a),
      opset = pb_begin(&f->a);
  pb_text(&node, 1, "in");
  pb_text(&node, 2, "out");
  pb_text(&node, 4, "NonZero");
  pb_int(&opset, 2, 17);
  pb_text(&function, 1, "places");
  pb_text(&function, 4, "in");
  pb_text(&function, 5, "out");
  pb_message(&function, 7, &node);
  pb_message(&function, 9, &opset);
  pb_text(&function, 10, "local");
  pb_message(&bytes, 25, &function);
  wn_model *m = load(f, &bytes);
  wn_model_info info = WN_MODEL_INFO();
  assert_int_equal(wn_model_get_info(m, &info), WN_OK);
  assert_int_equal(info.host, 1);
  float x[] = {0, 3, 0, -1};
  int64_t y[4] = {-1, -1, -1, -1};
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {4}, .data = x),
           out = WN_VALUE(.data = y);
  run(m, &in, 1, &out, 1);
  assert_true(out.ndim == 2 && out.shape[0] == 1 && out.shape[1] == 2);
  assert_true(y[0] == 1 && y[1] == 3);
  wn_model_destroy(m);
}

/* --- memory ----------------------------------------------------------------------------------- */

static wn_status live(const str *bytes, float *image, results *r) {
  wn_context *ctx = NULL;
  wn_model *m = NULL;
  const wn_options options =
      WN_OPTIONS(.backend = "interp", .plan = "direct", .threads = 1, .no_cache = 1);
  const wn_model_options how = WN_MODEL_OPTIONS(.compile = &options);
  wn_value in = image_value(image), out[4];
  outputs_of(r, out);
  wn_status st = wn_context_create(&ctx);
  if (st == WN_OK) st = wn_model_load_bytes(ctx, bytes->data, bytes->len, &how, &m);
  if (st == WN_OK) st = wn_model_run(m, &in, 1, out, 4);
  wn_model_destroy(m);
  wn_context_destroy(ctx);
  return st;
}

static void every_failure(void **state) {
  fixture *f = *state;
  float image[C * PLACES];
  static results r;
  str whole = conv_model(f);
  fill(image, C * PLACES, 5);
  mem_fail_at(LONG_MAX);
  assert_int_equal(live(&whole, image, &r), WN_OK);
  const long all = mem_count();
  long failed = 0;
  for (long n = 1; n <= all; ++n) {
    /* data of tensors is moved in the bytes, which are another model's each time */
    char *copy = malloc(whole.len);
    assert_non_null(copy);
    memcpy(copy, whole.data, whole.len);
    const str bytes = {.data = copy, .len = whole.len};
    mem_fail_at(n);
    const wn_status st = live(&bytes, image, &r);
    mem_fail_at(0);
    free(copy);
    if (st != WN_OK && st != WN_ERR_NOMEM) fail_msg("allocation %ld of %ld: %d", n, all, (int)st);
    if (st == WN_OK) check_best(&r);
    failed += st != WN_OK;
  }
  print_message("# %ld allocations, %ld failures\n", all, failed);
  assert_true(all > 50 && failed > all / 2);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(behind_conv), TEST(program_before),  TEST(two_threads),   TEST(orders),
      TEST(non_zero),    TEST(non_zero_shapes), TEST(known),         TEST(suppression),
      TEST(readers),     TEST(stages),          TEST(every_failure), TEST(opset_of_function),
  };
  return cmocka_run_group_tests_name("the last stage on the host", tests, NULL, NULL);
}
