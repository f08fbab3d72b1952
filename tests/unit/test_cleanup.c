/* Clean-up of models: what exporters put around convolutions leaves nothing behind. A model is written twice, as an
 * exporter writes it and as short as it can be said, with weights that this test has changed itself; both have the same
 * kernels in a run, instruction for instruction, and the same results. Where a scale has to stay, it does.
 * Numbers are drawn from a seed that is printed; WINNOW_SEED=<seed> draws the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "onnx/write_onnx.h"
#include "unit/context_fixture.h"

enum { C = 8, K = 12, SIDE = 10, DEPTH = 5, MOST = 1 << 16, TEXT = 4000 };

static uint64_t seed, rng;

static int64_t pick(int64_t lo, int64_t hi) {
  rng += 0x9e3779b97f4a7c15u;
  uint64_t z = rng;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return lo + (int64_t)((z ^ (z >> 31)) % (uint64_t)(hi - lo + 1));
}

static void fill(float *to, int64_t n, int64_t lo, int64_t hi) {
  for (int64_t i = 0; i < n; ++i) to[i] = (float)pick(lo, hi) / 64;
}

static int64_t count_of(int ndim, const int64_t *shape) {
  int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= shape[i];
  return n;
}

/* --- models that are run ---------------------------------------------------------------------- */

typedef struct ran {
  char kernels[TEXT]; /* of a run: loops, lines, operations and bytes */
  int count, prepares;
  size_t memory, prepared;
  int64_t n;
  float *y;
} ran;

static void describe(wn_program *p, ran *r) {
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  r->count = info.kernels, r->prepares = info.prepare_kernels;
  r->memory = info.workspace_bytes, r->prepared = info.prepared_bytes;
  r->kernels[0] = '\0';
  for (int i = 0; i < info.kernels; ++i) {
    wn_kernel_info k = WN_KERNEL_INFO();
    assert_int_equal(wn_program_get_kernel(p, info.prepare_kernels + i, &k), WN_OK);
    const size_t at = strlen(r->kernels),
                 loops = strcspn(k.name, "n"); /* n3: the third of the name */
    snprintf(r->kernels + at, TEXT - at, "%.*s %d lines %.0f %.0f\n", (int)loops, k.name,
             k.source_lines, k.flops, k.bytes);
  }
}

/* x: NULL, it is only planned. */
static ran run(fixture *f, graph_writer *g, wn_options options, const wn_value *x) {
  ran r = {.n = 0};
  options.backend = "cpu", options.threads = 1, options.no_cache = 1;
  options.plan_only = x->data == NULL;
  const wn_model_options how = WN_MODEL_OPTIONS(.compile = &options);
  str bytes = model_bytes(g, 17);
  wn_model *m;
  wn_program *p;
  wn_value y[2] = {WN_VALUE(), WN_VALUE()};
  if (wn_model_load_bytes(f->ctx, bytes.data, bytes.len, &how, &m) != WN_OK)
    fail_msg("%s", wn_message(f->ctx));
  if (wn_model_program(m, x, 1, &p) != WN_OK) fail_msg("%s", wn_model_message(m));
  describe(p, &r);
  wn_model_release(m, p);
  if (x->data != NULL) {
    assert_int_equal(wn_model_outputs(m, x, 1, y), WN_OK);
    r.n = count_of(y[0].ndim, y[0].shape);
    y[0].data = r.y = arena_array(&f->a, float, r.n);
    if (wn_model_run(m, x, 1, y, 1) != WN_OK) fail_msg("%s", wn_model_message(m));
  }
  wn_model_destroy(m);
  return r;
}

static void expect_same_values(const char *what, const ran *got, const ran *want) {
  double off = 0, all = 0;
  assert_int_equal(got->n, want->n);
  for (int64_t i = 0; i < got->n; ++i) {
    const double e = (double)got->y[i] - (double)want->y[i];
    off += e * e;
    all += (double)want->y[i] * (double)want->y[i];
  }
  if (!(all > 0) || !(off <= 1e-10 * all))
    fail_msg("%s: error %g (seed %llu)", what, sqrt(off / all), (unsigned long long)seed);
}

static void expect_same(const char *what, const ran *got, const ran *want) {
  if (strcmp(got->kernels, want->kernels) != 0)
    fail_msg("%s: the kernels are\n%snot\n%s", what, got->kernels, want->kernels);
  expect_same_values(what, got, want);
}

/* --- scales ----------------------------------------------------------------------------------- */

typedef struct layer {
  const char *what, *op;
  int ns;
  int64_t c, k, groups, taps, stride;
  bool bias;
} layer;

static float image[MOST], filter[MOST], scaled[MOST], bias[64], scale[64], shift[64], mean[64],
    variance[64], folded[64];

static wn_value image_of(const layer *l) {
  wn_value x = WN_VALUE(.dtype = WN_F32, .ndim = 2 + l->ns, .shape = {2, l->c}, .data = image);
  for (int i = 0; i < l->ns; ++i) x.shape[2 + i] = l->ns == 3 ? DEPTH : SIDE;
  fill(image, count_of(x.ndim, x.shape), -64, 64);
  return x;
}

static bool is_transposed(const layer *l) { return strcmp(l->op, "ConvTranspose") == 0; }

/* The filter and its output channel. */
static int shape_filter(const layer *l, int64_t *shape) {
  const bool turned = is_transposed(l);
  shape[0] = turned ? l->c : l->k;
  shape[1] = (turned ? l->k : l->c) / l->groups;
  for (int i = 0; i < l->ns; ++i) shape[2 + i] = l->taps;
  return 2 + l->ns;
}

static int64_t channel_of(const layer *l, int64_t at, const int64_t *shape, int ndim) {
  const int64_t taps = count_of(ndim - 2, shape + 2);
  if (!is_transposed(l)) return at / taps / shape[1];
  return at / taps / shape[1] / (l->c / l->groups) * shape[1] + at / taps % shape[1];
}

static void draw(const layer *l, int ndim, const int64_t *shape) {
  fill(filter, count_of(ndim, shape), -32, 32);
  fill(bias, l->k, -64, 64), fill(scale, l->k, 16, 128), fill(shift, l->k, -64, 64);
  fill(mean, l->k, -64, 64), fill(variance, l->k, 32, 256);
  for (int64_t k = 0; k < l->k; ++k) {
    const double a = (double)scale[k] / sqrt((double)variance[k] + 1e-5);
    folded[k] = (float)((double)shift[k] + ((l->bias ? (double)bias[k] : 0) - (double)mean[k]) * a);
  }
  for (int64_t i = 0; i < count_of(ndim, shape); ++i) {
    const int64_t k = channel_of(l, i, shape, ndim);
    scaled[i] = (float)((double)filter[i] * (double)scale[k] / sqrt((double)variance[k] + 1e-5));
  }
}

static void write_conv(graph_writer *g, const layer *l, const float *w, const float *b,
                       const char *to) {
  int64_t shape[5], strides[3] = {l->stride, l->stride, l->stride}, pads[6] = {1, 1, 1, 1, 1, 1};
  const int ndim = shape_filter(l, shape);
  str a = attributes(g->a);
  attribute_int(&a, "group", l->groups);
  attribute_ints(&a, "strides", l->ns, strides);
  attribute_ints(&a, "pads", 2 * l->ns, pads);
  graph_constant(g, "w", ONNX_FLOAT, ndim, shape, w);
  if (b != NULL) graph_constant(g, "b", ONNX_FLOAT, 1, &l->k, b);
  graph_node(g, l->op, b != NULL ? "x w b" : "x w", to, &a);
}

static void write_norm(graph_writer *g, const layer *l, const char *from, const char *to) {
  graph_constant(g, "scale", ONNX_FLOAT, 1, &l->k, scale);
  graph_constant(g, "shift", ONNX_FLOAT, 1, &l->k, shift);
  graph_constant(g, "mean", ONNX_FLOAT, 1, &l->k, mean);
  graph_constant(g, "variance", ONNX_FLOAT, 1, &l->k, variance);
  graph_node(g, "BatchNormalization", arena_printf(g->a, "%s scale shift mean variance", from), to,
             NULL);
}

static void begin(fixture *f, graph_writer *g, const wn_value *x) {
  graph_begin(g, &f->a);
  graph_input(g, "x", ONNX_FLOAT, x->ndim, x->shape);
  graph_output(g, "y", ONNX_FLOAT, -1, NULL);
}

static ran run_norm(fixture *f, const layer *l, wn_options o, const wn_value *x) {
  graph_writer g;
  begin(f, &g, x);
  write_conv(&g, l, filter, l->bias ? bias : NULL, "c");
  write_norm(&g, l, "c", "n");
  graph_node(&g, "Relu", "n", "y", NULL);
  return run(f, &g, o, x);
}

static ran run_plain(fixture *f, const layer *l, wn_options o, const wn_value *x) {
  graph_writer g;
  begin(f, &g, x);
  write_conv(&g, l, scaled, folded, "c");
  graph_node(&g, "Relu", "c", "y", NULL);
  return run(f, &g, o, x);
}

static const layer layers[] = {
    {"3x3", "Conv", 2, C, K, 1, 3, 1, true},
    {"3x3 without a bias", "Conv", 2, C, K, 1, 3, 1, false},
    {"1x1", "Conv", 2, C, K, 1, 1, 1, false},
    {"strided", "Conv", 2, C, K, 1, 3, 2, true},
    {"groups", "Conv", 2, C, K, 4, 3, 1, true},
    {"depthwise", "Conv", 2, C, C, C, 3, 1, true},
    {"one axis", "Conv", 1, C, K, 1, 3, 1, true},
    {"three axes", "Conv", 3, C, K, 2, 3, 1, false},
};

static void normalisation_is_gone(void **state) {
  static const char *const plans[] = {"auto", "direct", "old"};
  fixture *f = *state;
  for (size_t i = 0; i < sizeof layers / sizeof *layers; ++i) {
    int64_t shape[5];
    const layer *l = &layers[i];
    const wn_value x = image_of(l);
    draw(l, shape_filter(l, shape), shape);
    for (size_t p = 0; p < sizeof plans / sizeof *plans; ++p) {
      const bool rewritten = l->taps == 3 && l->stride == 1;
      if (strcmp(plans[p], "old") == 0 && !rewritten) continue;
      const wn_options o = WN_OPTIONS(.plan = plans[p]);
      const ran norm = run_norm(f, l, o, &x), plain = run_plain(f, l, o, &x);
      expect_same(l->what, &norm, &plain);
    }
  }
}

/* Phases of a transposed convolution get their weights by other ways, so only what is left of a run is looked at. */
static void transposed_too(void **state) {
  static const layer turned[] = {
      {"transposed, of equal phases", "ConvTranspose", 2, C, K, 1, 4, 2, true},
      {"transposed, of unequal phases", "ConvTranspose", 2, C, K, 1, 3, 2, true},
      {"transposed, without strides", "ConvTranspose", 2, C, K, 2, 3, 1, false},
      {"transposed, one axis", "ConvTranspose", 1, C, K, 1, 4, 2, true},
  };
  fixture *f = *state;
  for (size_t i = 0; i < sizeof turned / sizeof *turned; ++i) {
    int64_t shape[5];
    const layer *l = &turned[i];
    const wn_value x = image_of(l);
    const wn_options o = WN_OPTIONS(.plan = "direct");
    draw(l, shape_filter(l, shape), shape);
    const ran norm = run_norm(f, l, o, &x), plain = run_plain(f, l, o, &x);
    double operations[2] = {0};
    const char *text[2] = {norm.kernels, plain.kernels};
    for (int k = 0; k < 2; ++k) {
      double n;
      for (const char *at = text[k]; (at = strstr(at, "lines ")) != NULL; ++at)
        if (sscanf(at, "lines %lf", &n) == 1) operations[k] += n;
    }
    assert_int_equal(norm.count, plain.count);
    if (operations[0] != operations[1])
      fail_msg("%s: %.0f operations, not %.0f", l->what, operations[0], operations[1]);
    expect_same_values(l->what, &norm, &plain);
  }
}

static void products_too(void **state) {
  fixture *f = *state;
  const int64_t shape[] = {24, 16}, n = 16;
  fill(filter, 24 * 16, -32, 32), fill(scale, 16, 16, 128), fill(bias, 16, -64, 64);
  for (int i = 0; i < 24 * 16; ++i) scaled[i] = filter[i] / scale[i % 16];
  for (int i = 0; i < 16; ++i) folded[i] = bias[i] / scale[i];
  const wn_value x = WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {5, 24}, .data = image);
  fill(image, 5 * 24, -64, 64);
  ran r[2];
  for (int plain = 0; plain < 2; ++plain) {
    graph_writer g;
    begin(f, &g, &x);
    graph_constant(&g, "w", ONNX_FLOAT, 2, shape, plain ? scaled : filter);
    graph_constant(&g, "b", ONNX_FLOAT, 1, &n, plain ? folded : bias);
    graph_constant(&g, "s", ONNX_FLOAT, 1, &n, scale);
    graph_node(&g, "Gemm", "x w b", plain ? "y" : "p", NULL);
    if (!plain) graph_node(&g, "Div", "p s", "y", NULL);
    r[plain] = run(f, &g, WN_OPTIONS(), &x);
  }
  expect_same("a product", &r[0], &r[1]);
}

/* --- scales that stay ------------------------------------------------------------------------- */

static void expect_stays(const char *what, const ran *norm, const ran *plain) {
  if (strcmp(norm->kernels, plain->kernels) == 0)
    fail_msg("%s: the scale is gone from\n%s", what, norm->kernels);
}

static void strict_keeps_scales(void **state) {
  fixture *f = *state;
  const layer *l = &layers[0];
  int64_t shape[5];
  const wn_value x = image_of(l);
  draw(l, shape_filter(l, shape), shape);
  const wn_options options[] = {WN_OPTIONS(.math = WN_MATH_FP32_STRICT, .plan = "direct"),
                                WN_OPTIONS(.variable_weights = 1, .plan = "direct")};
  for (int i = 0; i < 2; ++i) {
    const ran norm = run_norm(f, l, options[i], &x), plain = run_plain(f, l, options[i], &x);
    expect_stays(i == 0 ? "strict" : "variable weights", &norm, &plain);
    expect_same_values(l->what, &norm, &plain);
    /* variable weights: scale, mean and variance are read by the run itself */
    if (i == 1) assert_int_equal(norm.prepares, 0);
  }
}

/* The convolution is an output as well, or something else reads it: it is computed once. */
static void others_read_it(void **state) {
  fixture *f = *state;
  const layer *l = &layers[0];
  int64_t shape[5];
  const wn_value x = image_of(l);
  draw(l, shape_filter(l, shape), shape);
  for (int output = 0; output < 2; ++output) {
    graph_writer g;
    begin(f, &g, &x);
    write_conv(&g, l, filter, bias, "c");
    write_norm(&g, l, "c", "n");
    graph_node(&g, "Add", output ? "n x1" : "n c", "y", NULL);
    if (output) {
      const int64_t one = 1;
      graph_constant(&g, "x1", ONNX_FLOAT, 1, &one, scale);
      graph_output(&g, "c", ONNX_FLOAT, -1, NULL);
    }
    const ran r = run(f, &g, WN_OPTIONS(.plan = "direct"), &x);
    double sums = 0, n;
    for (const char *at = r.kernels; (at = strstr(at, "lines ")) != NULL; ++at)
      if (sscanf(at, "lines %lf", &n) == 1) sums += n;
    const double once = (double)((int64_t)2 * 2 * K * C * 9 * SIDE * SIDE);
    if (!(sums < 1.5 * once)) fail_msg("%.0f operations:\n%s", sums, r.kernels);
  }
}

/* Filters that sum to nothing are known through the scale: `auto` leaves them direct (winograd/cancel.h). */
static void cancelling_filters_stay_direct(void **state) {
  static const float laplacian[] = {0, 1, 0, 1, -4, 1, 0, 1, 0};
  fixture *f = *state;
  const layer *l = &layers[0];
  int64_t shape[5];
  const wn_value x = image_of(l);
  const wn_options automatic = WN_OPTIONS(.plan = "auto"), direct = WN_OPTIONS(.plan = "direct");
  for (int cancels = 0; cancels < 2; ++cancels) {
    draw(l, shape_filter(l, shape), shape);
    for (int i = 0; i < K * C * 9 && cancels; ++i)
      filter[i] = laplacian[i % 9] * (float)(1 + i / 9 % 5);
    const ran is = run_norm(f, l, automatic, &x), want = run_norm(f, l, direct, &x);
    assert_int_equal(strcmp(is.kernels, want.kernels) == 0, cancels);
  }
}

/* Scaled weights that are only transformed further are gone once they are: of all layers one's remain. */
static void scaled_weights_give_way(void **state) {
  enum { LAYERS = 6 };
  fixture *f = *state;
  const layer square = {"3x3", "Conv", 2, C, C, 1, 3, 1, false};
  const wn_value x = image_of(&square);
  int64_t shape[5];
  const int ndim = shape_filter(&square, shape);
  draw(&square, ndim, shape);
  size_t prepared[2];
  for (int norm = 0; norm < 2; ++norm) {
    graph_writer g;
    str same = attributes(&f->a);
    attribute_ints(&same, "pads", 4, (int64_t[]){1, 1, 1, 1});
    begin(f, &g, &x);
    for (int i = 0; i < LAYERS; ++i) {
      const char *from = i == 0 ? "x" : arena_printf(&f->a, "r%d", i - 1),
                 *c = arena_printf(&f->a, "c%d", i), *w = arena_printf(&f->a, "w%d", i),
                 *s = arena_printf(&f->a, "s%d", i), *n = arena_printf(&f->a, "n%d", i);
      graph_constant(&g, w, ONNX_FLOAT, ndim, shape, filter);
      graph_constant(&g, s, ONNX_FLOAT, 3, (int64_t[]){C, 1, 1}, scale);
      graph_node(&g, "Conv", arena_printf(&f->a, "%s %s", from, w), c, &same);
      if (norm) graph_node(&g, "Mul", arena_printf(&f->a, "%s %s", c, s), n, NULL);
      graph_node(&g, "Relu", norm ? n : c, i == LAYERS - 1 ? "y" : arena_printf(&f->a, "r%d", i),
                 NULL);
    }
    prepared[norm] = run(f, &g, WN_OPTIONS(.plan = "old"), &x).prepared;
  }
  const size_t weights = C * C * 9 * sizeof(float) + 128;
  if (prepared[1] > prepared[0] + weights)
    fail_msg("%zu bytes are prepared, without scales %zu", prepared[1], prepared[0]);
}

/* --- movement --------------------------------------------------------------------------------- */

typedef enum { PLAIN, TRANSPOSED, RESHAPED, COMPUTED, PADDED, FORMS } form;
static const char *const form_name[] = {"plain", "transposes", "reshapes", "computed shapes",
                                        "a Pad before it"};

/* Two convolutions; what is between them is in another layout. */
static void write_pair(graph_writer *g, form how) {
  static const int64_t w0[] = {K, C, 3, 3}, w1[] = {C, K, 3, 3}, flat[] = {2, K, -1},
                       pads[] = {1, 1, 1, 1};
  str nhwc = attributes(g->a), nchw = attributes(g->a), same = attributes(g->a);
  attribute_ints(&nhwc, "perm", 4, (int64_t[]){0, 2, 3, 1});
  attribute_ints(&nchw, "perm", 4, (int64_t[]){0, 3, 1, 2});
  attribute_ints(&same, "pads", 4, pads);
  graph_constant(g, "w0", ONNX_FLOAT, 4, w0, filter);
  graph_constant(g, "w1", ONNX_FLOAT, 4, w1, filter);
  graph_node(g, "Conv", "x w0", "c", &same);
  const char *read = "r";
  if (how == TRANSPOSED) {
    graph_node(g, "Transpose", "c", "t", &nhwc);
    graph_node(g, "Relu", "t", "u", NULL);
    graph_node(g, "Transpose", "u", "r", &nchw);
  } else if (how == RESHAPED || how == COMPUTED) {
    graph_ints(g, "flat", 3, flat);
    graph_node(g, "Shape", "c", "shape", NULL);
    if (how == COMPUTED) { /* as exporters write view(x.size(0), x.size(1), -1) */
      graph_ints(g, "zero", 1, (int64_t[]){0}), graph_ints(g, "one", 1, (int64_t[]){1});
      graph_ints(g, "rest", 1, (int64_t[]){-1});
      str axis = attributes(g->a);
      attribute_int(&axis, "axis", 0);
      graph_node(g, "Gather", "shape zero", "d0", &axis);
      graph_node(g, "Gather", "shape one", "d1", &axis);
      graph_node(g, "Concat", "d0 d1 rest", "to", &axis);
    }
    graph_node(g, "Reshape", how == COMPUTED ? "c to" : "c flat", "t", NULL);
    graph_node(g, "Relu", "t", "u", NULL);
    graph_node(g, "Reshape", "u shape", "r", NULL);
  } else {
    graph_node(g, "Relu", "c", "r", NULL);
  }
  if (how == PADDED) {
    graph_ints(g, "pads", 8, (int64_t[]){0, 0, 1, 1, 0, 0, 1, 1});
    graph_node(g, "Pad", "r pads", read = "p", NULL);
  }
  graph_node(g, "Conv", arena_printf(g->a, "%s w1", read), "y", how == PADDED ? NULL : &same);
}

static void movement_is_gone(void **state) {
  static const char *const plans[] = {"auto", "direct", "old"};
  fixture *f = *state;
  const wn_value x = image_of(&layers[0]);
  fill(filter, K * C * 9, -32, 32);
  for (int i = 0; i < 3; ++i) {
    ran plain = {.n = 0};
    for (form how = PLAIN; how < FORMS; ++how) {
      graph_writer g;
      begin(f, &g, &x);
      write_pair(&g, how);
      const ran r = run(f, &g, WN_OPTIONS(.plan = plans[i]), &x);
      if (how == PLAIN) plain = r;
      if (strcmp(plans[i], "direct") == 0) assert_int_equal(r.count, 2);
      expect_same(form_name[how], &r, &plain);
    }
  }
}

/* A whole network in NHWC, as tf2onnx writes it: transposes around each convolution. Only the first convolution's input
 * and the last one's output are in another order. */
static void channels_last(void **state) {
  fixture *f = *state;
  wn_value x = image_of(&layers[0]);
  const int64_t w[] = {C, C, 3, 3};
  fill(filter, C * C * 9, -32, 32);
  ran r[2];
  for (int last = 0; last < 2; ++last) {
    graph_writer g;
    str nhwc = attributes(&f->a), nchw = attributes(&f->a), same = attributes(&f->a);
    attribute_ints(&nhwc, "perm", 4, (int64_t[]){0, 2, 3, 1});
    attribute_ints(&nchw, "perm", 4, (int64_t[]){0, 3, 1, 2});
    attribute_ints(&same, "pads", 4, (int64_t[]){1, 1, 1, 1});
    begin(f, &g, &x);
    graph_constant(&g, "w", ONNX_FLOAT, 4, w, filter);
    for (int i = 0; i < 3; ++i) {
      const char *from = i == 0 ? "x" : arena_printf(&f->a, "r%d", i - 1),
                 *conv = arena_printf(&f->a, "c%d", i), *back = arena_printf(&f->a, "b%d", i);
      if (last && i > 0) graph_node(&g, "Transpose", from, arena_printf(&f->a, "t%d", i), &nchw);
      if (last && i > 0) from = arena_printf(&f->a, "t%d", i);
      graph_node(&g, "Conv", arena_printf(&f->a, "%s w", from), conv, &same);
      if (last && i < 2) graph_node(&g, "Transpose", conv, back, &nhwc);
      graph_node(&g, "Relu", last && i < 2 ? back : conv,
                 i == 2 ? "y" : arena_printf(&f->a, "r%d", i), NULL);
    }
    r[last] = run(f, &g, WN_OPTIONS(.plan = "direct"), &x);
  }
  assert_int_equal(r[1].count, 3);
  expect_same("channels last", &r[1], &r[0]);
}

/* --- constants -------------------------------------------------------------------------------- */

/* Weights of 512 MB that are one number are that number. */
static void large_constants_are_no_arrays(void **state) {
  fixture *f = *state;
  const wn_value x = WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {1, 1 << 15});
  graph_writer g;
  begin(f, &g, &x);
  const float half = 0.5F;
  const int64_t one = 1;
  str value = tensor_bytes(&f->a, "value", ONNX_FLOAT, 1, &one, &half, sizeof half),
      filled = attributes(&f->a);
  attribute_tensor(&filled, "value", &value);
  graph_ints(&g, "shape", 2, (int64_t[]){1 << 15, 1 << 12});
  graph_ints(&g, "row", 1, (int64_t[]){1 << 12});
  graph_node(&g, "ConstantOfShape", "shape", "w", &filled);
  graph_node(&g, "ConstantOfShape", "row", "s", &filled);
  graph_node(&g, "MatMul", "x w", "p", NULL);
  graph_node(&g, "Mul", "p s", "y", NULL);
  const ran r = run(f, &g, WN_OPTIONS(), &x);
  if (r.memory + r.prepared > 1 << 20)
    fail_msg("%zu + %zu bytes for one number", r.memory, r.prepared);
}

int main(void) {
  const char *given = getenv("WINNOW_SEED");
  seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  rng = seed;
  print_message("seed %llu\n", (unsigned long long)seed);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(normalisation_is_gone, setup, teardown),
      cmocka_unit_test_setup_teardown(transposed_too, setup, teardown),
      cmocka_unit_test_setup_teardown(products_too, setup, teardown),
      cmocka_unit_test_setup_teardown(strict_keeps_scales, setup, teardown),
      cmocka_unit_test_setup_teardown(others_read_it, setup, teardown),
      cmocka_unit_test_setup_teardown(cancelling_filters_stay_direct, setup, teardown),
      cmocka_unit_test_setup_teardown(scaled_weights_give_way, setup, teardown),
      cmocka_unit_test_setup_teardown(movement_is_gone, setup, teardown),
      cmocka_unit_test_setup_teardown(channels_last, setup, teardown),
      cmocka_unit_test_setup_teardown(large_constants_are_no_arrays, setup, teardown),
  };
  return cmocka_run_group_tests_name("cleanup", tests, NULL, NULL);
}
