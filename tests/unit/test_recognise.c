/* The recogniser's table: what is a convolution, with which windows and classes of loops, and what
 * is not, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conv_ir.h"
#include "uop_eval.h"
#include "winograd/recognise.h"
#include "winograd/winograd.h"

/* --- convolutions of every shape --- */

typedef struct window {
  int64_t taps, s, d;
} window;

typedef struct match_row {
  const char *name;
  conv_spec spec;
  int naxes;
  window axis[WN_MAX_SPATIAL];
} match_row;

#define PAD1 .lo = {1, 1, 1}, .hi = {1, 1, 1}
static const match_row match_table[] = {
    {"1-D", {.nd = 1, .c = 4, .k = 5, .in = {20}, .r = {3}, PAD1}, 1, {{3, 1, 1}}},
    {"2-D 3x3",
     {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}, PAD1},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"3-D 3x3x3",
     {.nd = 3, .c = 4, .k = 5, .in = {5, 6, 7}, .r = {3, 3, 3}, PAD1},
     3,
     {{3, 1, 1}, {3, 1, 1}, {3, 1, 1}}},
    {"5x5", {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {5, 5}}, 2, {{5, 1, 1}, {5, 1, 1}}},
    {"7x7", {.nd = 2, .c = 4, .k = 5, .in = {9, 9}, .r = {7, 7}}, 2, {{7, 1, 1}, {7, 1, 1}}},
    {"9 taps", {.nd = 1, .c = 4, .k = 5, .in = {30}, .r = {9}}, 1, {{9, 1, 1}}},
    {"1x7",
     {.nd = 2, .c = 4, .k = 5, .in = {9, 17}, .r = {1, 7}, .lo = {0, 3}, .hi = {0, 3}},
     1,
     {{7, 1, 1}}},
    {"7x1",
     {.nd = 2, .c = 4, .k = 5, .in = {17, 9}, .r = {7, 1}, .lo = {3, 0}, .hi = {3, 0}},
     1,
     {{7, 1, 1}}},
    {"2x2", {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {2, 2}}, 2, {{2, 1, 1}, {2, 1, 1}}},
    {"1x3x3",
     {.nd = 3, .c = 4, .k = 5, .in = {4, 9, 8}, .r = {1, 3, 3}},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"4-D",
     {.nd = 4, .c = 2, .k = 2, .in = {4, 4, 4, 4}, .r = {2, 3, 2, 3}},
     4,
     {{2, 1, 1}, {3, 1, 1}, {2, 1, 1}, {3, 1, 1}}},
    {"batch",
     {.nd = 2, .n = 3, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"groups",
     {.nd = 2, .groups = 3, .c = 4, .k = 2, .in = {9, 8}, .r = {3, 3}},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"depthwise",
     {.nd = 2, .groups = 8, .in = {9, 8}, .r = {3, 3}, PAD1},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"one channel", {.nd = 2, .in = {9, 8}, .r = {3, 3}}, 2, {{3, 1, 1}, {3, 1, 1}}},
    {"more padding than filter",
     {.nd = 1, .c = 2, .in = {3}, .r = {3}, .lo = {5}, .hi = {4}},
     1,
     {{3, 1, 1}}},
    {"asymmetric padding",
     {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}, .lo = {0, 2}, .hi = {1, 0}},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"commuted",
     {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}, PAD1, .commute = true},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"channels last",
     {.nd = 2, .n = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}, PAD1, .channels_last = true},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"weights permuted",
     {.nd = 2,
      .c = 4,
      .k = 5,
      .in = {9, 8},
      .r = {3, 3},
      PAD1,
      .channels_last = true,
      .filter_first = true},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"image flipped",
     {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}, PAD1, .flip_x = true},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"filter flipped",
     {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}, PAD1, .flip_w = true},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
    {"stride 2",
     {.nd = 2, .c = 4, .k = 5, .in = {19, 18}, .r = {3, 3}, .s = {2, 2}, PAD1},
     2,
     {{3, 2, 1}, {3, 2, 1}}},
    {"stride 3x2",
     {.nd = 2, .c = 4, .k = 5, .in = {19, 18}, .r = {5, 3}, .s = {3, 2}, PAD1},
     2,
     {{5, 3, 1}, {3, 2, 1}}},
    {"dilation 2",
     {.nd = 2, .c = 4, .k = 5, .in = {19, 18}, .r = {3, 3}, .d = {2, 2}, PAD1},
     2,
     {{3, 1, 2}, {3, 1, 2}}},
    {"stride 2, dilation 3",
     {.nd = 1, .c = 4, .k = 5, .in = {40}, .r = {5}, .s = {2}, .d = {3}},
     1,
     {{5, 2, 3}}},
    {"stride 2, dilation 2",
     {.nd = 1, .c = 4, .k = 5, .in = {40}, .r = {3}, .s = {2}, .d = {2}},
     1,
     {{3, 1, 1}}},
    {"mixed",
     {.nd = 2, .c = 4, .k = 5, .in = {19, 18}, .r = {3, 3}, .s = {2, 1}, .d = {1, 2}},
     2,
     {{3, 2, 1}, {3, 1, 2}}},
    {"mixed, 3-D",
     {.nd = 3, .c = 2, .in = {9, 9, 9}, .r = {3, 2, 5}, .s = {1, 1, 2}, .d = {2, 1, 1}, PAD1},
     3,
     {{3, 1, 2}, {2, 1, 1}, {5, 2, 1}}},
    {"stride not below the filter along y",
     {.nd = 2, .c = 4, .k = 5, .in = {19, 18}, .r = {3, 3}, .s = {3, 1}},
     1,
     {{3, 1, 1}}},
    {"one row of outputs", {.nd = 2, .c = 4, .k = 5, .in = {3, 18}, .r = {3, 3}}, 1, {{3, 1, 1}}},
    {"prime sizes",
     {.nd = 2, .c = 7, .k = 11, .in = {17, 23}, .r = {3, 5}, PAD1},
     2,
     {{3, 1, 1}, {5, 1, 1}}},
    {"f32",
     {.nd = 2, .c = 4, .k = 5, .in = {9, 8}, .r = {3, 3}, .dtype = WN_F32},
     2,
     {{3, 1, 1}, {3, 1, 1}}},
};

static int64_t extent_of(const loop_list *l) {
  int64_t n = 1;
  for (int i = 0; i < l->n; i++) n *= l->at[i]->arg.j;
  return n;
}

static void check_row(const match_row *row) {
  diag d;
  graph g;
  diag_init(&d);
  graph_init(&g, &d);
  conv_spec p = conv_fill(row->spec);
  conv_ir v;
  wino_match m;
  const uop *sum = simplify(&g, conv_reduce(&g, &p, &v));
  const char *why = wino_recognise(&g, sum, &m);
  if (why != NULL) fail_msg("%s: %s", row->name, why);
  if (m.naxes != row->naxes) fail_msg("%s: %d windows", row->name, m.naxes);
  int64_t batch = p.n, chans = p.c;
  for (int i = 0; i < p.nd; i++) batch *= conv_out(&p, i), chans *= p.r[i];
  for (int i = 0; i < m.naxes; i++) {
    const wino_slide *a = &m.axis[i];
    if (a->taps != row->axis[i].taps || a->s != row->axis[i].s || a->d != row->axis[i].d) {
      fail_msg("%s: axis %d: %lld taps, stride %lld, dilation %lld", row->name, i,
               (long long)a->taps, (long long)a->s, (long long)a->d);
    }
    batch /= a->outputs, chans /= a->taps;
  }
  if (extent_of(&m.batch) != batch || extent_of(&m.outs) != p.k ||
      extent_of(&m.groups) != p.groups || extent_of(&m.chans) != chans) {
    fail_msg("%s: classes %lld %lld %lld %lld", row->name, (long long)extent_of(&m.batch),
             (long long)extent_of(&m.outs), (long long)extent_of(&m.groups),
             (long long)extent_of(&m.chans));
  }
  graph_release(&g);
}

static void shapes_match(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof match_table / sizeof *match_table; i++) check_row(&match_table[i]);
}

/* --- written by hand: builders of a REDUCE --- */

static const conv_spec base_spec = {.nd = 2,
                                    .n = 2,
                                    .groups = 1,
                                    .c = 4,
                                    .k = 5,
                                    .in = {9, 8},
                                    .r = {3, 3},
                                    .s = {1, 1},
                                    .d = {1, 1},
                                    .lo = {1, 1},
                                    .hi = {1, 1},
                                    .dtype = WN_F32};

static const uop *load(graph *g, int64_t slot, wn_dtype dtype, int64_t size, const uop *at) {
  return uop_index(g, uop_buffer(g, slot, dtype, 1, &size), NULL, 1, &at);
}

static const uop *sum1(graph *g, uop_op op, const uop *value, const uop *k) {
  return uop_reduce(g, op, value, 1, &k);
}

static const uop *relu_producer(graph *g) {
  conv_ir v = conv_operands(g, &base_spec);
  const uop *bias = load(g, 2, WN_F32, 4, v.c);
  const uop *x = uop_alu2(g, OP_MAX, uop_add(g, v.x, bias), uop_const(g, WN_F32, 0));
  return conv_sum(g, &v, uop_mul(g, x, v.w));
}

/* x * sigmoid(x): the window is in two factors. */
static const uop *swish_producer(graph *g) {
  conv_ir v = conv_operands(g, &base_spec);
  const uop *e = uop_alu1(g, OP_EXP, uop_alu1(g, OP_NEG, v.x));
  const uop *s =
      uop_alu2(g, OP_DIV, uop_const(g, WN_F32, 1), uop_add(g, e, uop_const(g, WN_F32, 1)));
  return conv_sum(g, &v, uop_mul(g, uop_mul(g, v.w, v.x), s));
}

static const uop *gated_producer(
    graph *g) { /* a gate per image and channel, a scale per output channel, a constant */
  conv_ir v = conv_operands(g, &base_spec);
  const uop *gate = load(g, 2, WN_F32, 8, uop_add(g, uop_muli(g, v.n, 4), v.c));
  const uop *value = uop_mul(g, uop_mul(g, v.x, gate), uop_mul(g, v.w, load(g, 3, WN_F32, 5, v.k)));
  return conv_sum(g, &v, uop_mul(g, uop_const(g, WN_F32, 0.25), uop_alu1(g, OP_NEG, value)));
}

static const uop *padded_by_where(graph *g) { /* the condition stands outside of the load */
  const uop *o = uop_range(g, 8, "o"), *k = uop_range(g, 3, "k"),
            *at = uop_addi(g, uop_add(g, o, k), -1);
  const uop *in = uop_and(g, uop_ge(g, at, 0), uop_lt(g, at, 8));
  const uop *size = uop_alu2(g, OP_MIN, uop_alu2(g, OP_MAX, at, uop_int(g, 0)), uop_int(g, 7));
  const uop *x =
      uop_where(g, in, uop_alu1(g, OP_EXP, load(g, 0, WN_F32, 8, size)), uop_const(g, WN_F32, 0));
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 3, k)), k);
}

static const uop *bounds_crossed(graph *g) { /* loops on both sides of the comparison */
  const uop *o = uop_range(g, 8, "o"), *k = uop_range(g, 3, "k"), *at = uop_add(g, o, k);
  const uop *valid = uop_alu2(g, OP_LT, o, uop_addi(g, uop_muli(g, k, -1), 7)),
            *size = uop_buffer(g, 0, WN_F32, 1, (int64_t[]){8});
  return sum1(g, OP_ADD, uop_mul(g, uop_index(g, size, valid, 1, &at), load(g, 1, WN_F32, 3, k)),
              k);
}

static const uop *upsampled(graph *g) { /* nearest neighbour, twice the size, never stored */
  const uop *o = uop_range(g, 8, "o"), *k = uop_range(g, 3, "k");
  const uop *x = load(g, 0, WN_F32, 5, uop_divi(g, uop_add(g, o, k), 2));
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 3, k)), k);
}

static const uop *backwards(graph *g) { /* the convolution of mathematics: x[o - k] */
  const uop *o = uop_range(g, 8, "o"), *k = uop_range(g, 3, "k");
  const uop *x = load(g, 0, WN_F32, 10, uop_addi(g, uop_add(g, o, uop_muli(g, k, -1)), 2));
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 3, k)), k);
}

static const uop *half_operands(
    graph *g) { /* f16 in memory, summed in f32; uop_eval.h reads no f16 */
  const uop *o = uop_range(g, 8, "o"), *k = uop_range(g, 3, "k");
  const uop *x = load(g, 0, WN_F16, 10, uop_add(g, o, k)), *w = load(g, 1, WN_F16, 3, k);
  return sum1(g, OP_ADD, uop_cast(g, WN_F32, uop_mul(g, x, w)), k);
}

static const uop *through_bufferize(
    graph *g) { /* the image is an intermediate value with two ranges */
  const uop *o = uop_range(g, 8, "o"), *k = uop_range(g, 3, "k"), *y = uop_range(g, 6, "y");
  const uop *r[2] = {uop_range(g, 6, NULL), uop_range(g, 10, NULL)};
  const uop *b = load(g, 0, WN_F32, 60, uop_add(g, uop_muli(g, r[0], 10), r[1]));
  b = uop_bufferize(g, uop_alu1(g, OP_ABS, b), 2, r,
                    (bufferize_info){.name = "b0", .space = SPACE_ANY, .site = -1});
  const uop *x = uop_index(g, b, NULL, 2, (const uop *[]){y, uop_add(g, o, k)});
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 3, k)), k);
}

static const uop *weight_gradient(graph *g) { /* dw[ky] = sum over o of x[o + ky] * dy[o] */
  const uop *ky = uop_range(g, 3, "ky"), *o = uop_range(g, 30, "o");
  const uop *x = load(g, 0, WN_F32, 32, uop_add(g, o, ky));
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 30, o)), o);
}

typedef struct built_row {
  const char *name;
  const uop *(*build)(graph *g);
  const char *want; /* matches: in the trace; refusals: in the reason */
} built_row;

static const built_row built_matches[] = {
    {"activation before it", relu_producer,
     "conv 2-D, 4 -> 5 channels, 3x3, window loops oy/ky ox/kx"},
    {"swish before it", swish_producer, "conv 2-D, 4 -> 5 channels, 3x3, window loops oy/ky ox/kx"},
    {"gates and scales", gated_producer,
     "conv 2-D, 4 -> 5 channels, 3x3, window loops oy/ky ox/kx"},
    {"padding as WHERE, edges clamped", padded_by_where,
     "conv 1-D, 1 -> 1 channels, 3 taps, window loops o/k"},
    {"loops on both sides of a bound", bounds_crossed,
     "conv 1-D, 1 -> 1 channels, 3 taps, window loops o/k"},
    {"upsampled on the way", upsampled, "conv 1-D, 1 -> 1 channels, 3 taps, window loops o/k"},
    {"filter runs backwards", backwards,
     "conv 1-D, 1 -> 1 channels, 3 taps, dilation -1, window loops o/k"},
    {"f16 summed in f32", half_operands, "conv 1-D, 1 -> 1 channels, 3 taps, window loops o/k"},
    {"through an intermediate value", through_bufferize,
     "conv 1-D, 1 -> 1 channels, 3 taps, window loops o/k"},
    {"gradient of the weights", weight_gradient,
     "conv 1-D, 1 -> 1 channels, 30 taps, window loops ky/o"},
};

static const char *trace_of(graph *g, const uop *sum) {
  const uop *root = uop_new(g, OP_SINK, WN_DTYPE_COUNT, 1, &sum, (uop_arg){0});
  wino_result r = wino_rewrite(g, root, &(wino_options){.off = true});
  assert_ptr_equal(r.root, root);
  return r.trace;
}

/* The rewritten sum, tiles of 2, has the value of the sum as it stands, for every output. */
static void same_value(graph *g, const built_row *row, const uop *sum) {
  static float data[4][1024];
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 1024; j++) data[i][j] = (float)((i * 1024 + j) * 7919 % 1009) / 504.5f - 1;
  }
  loop_list outs;
  const uop *ranges[WINO_MAX_LOOPS];
  wino_match m;
  assert_null(wino_recognise(g, sum, &m));
  outs = m.batch;
  for (int i = 0; i < m.outs.n; i++) outs.at[outs.n++] = m.outs.at[i];
  for (int i = 0; i < m.groups.n; i++) outs.at[outs.n++] = m.groups.at[i];
  for (int i = 0; i < m.naxes; i++) outs.at[outs.n++] = m.axis[i].o;
  int64_t n = 1;
  for (int i = 0; i < outs.n; i++) n *= (ranges[i] = outs.at[i])->arg.j;
  const uop *before =
      uop_bufferize(g, sum, outs.n, ranges, (bufferize_info){.name = "result0", .site = -1});
  wino_result r = wino_rewrite(g, before, &(wino_options){.nm = 1, .m = {2}});
  assert_int_equal(r.nsites, 1);
  double *want = malloc((size_t)n * sizeof *want), *got = malloc((size_t)n * sizeof *got);
  eval e;
  eval_init(&e);
  for (int i = 0; i < 4; i++) eval_buffer(&e, i, data[i]);
  eval_tensor(&e, before, want);
  eval_tensor(&e, r.root, got);
  for (int64_t i = 0; i < n; i++) {
    if (!(fabs(got[i] - want[i]) < 1e-5 * (1 + fabs(want[i])))) {
      fail_msg("%s: element %lld: %g, not %g", row->name, (long long)i, got[i], want[i]);
    }
  }
  eval_release(&e);
  free(want), free(got);
}

static void built_match(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof built_matches / sizeof *built_matches; i++) {
    const built_row *row = &built_matches[i];
    diag d;
    graph g;
    diag_init(&d);
    graph_init(&g, &d);
    const uop *sum = row->build(&g);
    const char *why = wino_why_not(&g, sum), *trace = trace_of(&g, sum);
    if (why != NULL) fail_msg("%s: %s", row->name, why);
    if (strstr(trace, row->want) == NULL) fail_msg("%s: %s", row->name, trace);
    if (row->build != half_operands) same_value(&g, row, sum);
    graph_release(&g);
  }
}

/* --- refusals --- */

static const uop *matmul(graph *g) {
  const uop *i = uop_range(g, 8, "i"), *j = uop_range(g, 9, "j"), *k = uop_range(g, 16, "k");
  const uop *a = load(g, 0, WN_F32, 128, uop_add(g, uop_muli(g, i, 16), k));
  const uop *b = load(g, 1, WN_F32, 144, uop_add(g, uop_muli(g, k, 9), j));
  return sum1(g, OP_ADD, uop_mul(g, a, b), k);
}

static const uop *matmul_transposed(graph *g) {
  const uop *i = uop_range(g, 8, "i"), *j = uop_range(g, 9, "j"), *k = uop_range(g, 16, "k");
  const uop *a = load(g, 0, WN_F32, 128, uop_add(g, uop_muli(g, k, 8), i));
  const uop *b = load(g, 1, WN_F32, 144, uop_add(g, uop_muli(g, j, 16), k));
  return sum1(g, OP_ADD, uop_mul(g, a, b), k);
}

static const uop *spec_reduce(graph *g, conv_spec p) {
  conv_ir v;
  p = conv_fill(p);
  return simplify(g, conv_reduce(g, &p, &v));
}

static const uop *one_by_one(graph *g) {
  return spec_reduce(g, (conv_spec){.nd = 2, .n = 2, .c = 8, .k = 5, .in = {9, 8}, .r = {1, 1}});
}

static const uop *patches(graph *g) { /* stride = filter */
  return spec_reduce(g,
                     (conv_spec){.nd = 2, .c = 8, .k = 5, .in = {9, 9}, .r = {3, 3}, .s = {3, 3}});
}

static const uop *whole_image(graph *g) {
  return spec_reduce(g, (conv_spec){.nd = 2, .n = 4, .c = 8, .k = 5, .in = {5, 5}, .r = {5, 5}});
}

static const uop *shared_output(
    graph *g) { /* locally connected: weights of their own for each output */
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *x = load(g, 0, WN_F32, 10, uop_add(g, o, k));
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 24, uop_add(g, uop_muli(g, o, 3), k))),
              k);
}

static const uop *gather(graph *g) {
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *at = load(g, 2, WN_I64, 10, uop_add(g, o, k));
  return sum1(g, OP_ADD, uop_mul(g, load(g, 0, WN_F32, 10, at), load(g, 1, WN_F32, 3, k)), k);
}

static const uop *deformable(graph *g) { /* the offset of the window is data */
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *at =
      uop_add(g, uop_add(g, o, k), load(g, 2, WN_I64, 24, uop_add(g, uop_muli(g, o, 3), k)));
  return sum1(g, OP_ADD, uop_mul(g, load(g, 0, WN_F32, 99, at), load(g, 1, WN_F32, 3, k)), k);
}

static const uop *typed(graph *g, wn_dtype dtype) {
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *x = load(g, 0, dtype, 10, uop_add(g, o, k));
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, dtype, 3, k)), k);
}
static const uop *integers(graph *g) { return typed(g, WN_I32); }
static const uop *halves(graph *g) { return typed(g, WN_F16); }

static const uop *max_reduce(graph *g) {
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *x = load(g, 0, WN_F32, 10, uop_add(g, o, k));
  return sum1(g, OP_MAX, uop_mul(g, x, load(g, 1, WN_F32, 3, k)), k);
}

static const uop *average_pool(graph *g) {
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  return sum1(g, OP_ADD, load(g, 0, WN_F32, 10, uop_add(g, o, k)), k);
}

static const uop *average_pool_scaled(graph *g) {
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  return sum1(g, OP_ADD,
              uop_mul(g, load(g, 0, WN_F32, 10, uop_add(g, o, k)), uop_const(g, WN_F32, 1.0 / 3)),
              k);
}

static const uop *pool_with_channel_weights(graph *g) {
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx"), *c = uop_range(g, 4, "c");
  const uop *x = load(g, 0, WN_F32, 40, uop_add(g, uop_muli(g, c, 10), uop_add(g, o, k)));
  return uop_reduce(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 4, c)), 2, (const uop *[]){c, k});
}

static const uop *energy(graph *g) { /* x[o + k] squared: both factors slide */
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *x = load(g, 0, WN_F32, 10, uop_add(g, o, k));
  return sum1(g, OP_ADD, uop_mul(g, x, x), k);
}

static const uop *masked_outputs(graph *g) { /* the output loop also stands alone */
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx"), *at = uop_add(g, o, k);
  const uop *b = uop_buffer(g, 0, WN_F32, 1, (int64_t[]){10});
  const uop *x = uop_index(g, b, uop_lt(g, o, 5), 1, &at);
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 3, k)), k);
}

static const uop *two_proportions(
    graph *g) { /* a shear: one index slides by one, the other by two */
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *r[2] = {uop_range(g, 10, NULL), uop_range(g, 17, NULL)};
  const uop *b = load(g, 0, WN_F32, 170, uop_add(g, uop_muli(g, r[0], 17), r[1]));
  b = uop_bufferize(g, b, 2, r, (bufferize_info){.name = "b0", .space = SPACE_ANY, .site = -1});
  const uop *at[2] = {uop_add(g, o, k), uop_add(g, uop_muli(g, o, 2), k)};
  return sum1(g, OP_ADD, uop_mul(g, uop_index(g, b, NULL, 2, at), load(g, 1, WN_F32, 3, k)), k);
}

static const uop *triangle(
    graph *g) { /* the window's place depends on the remainder of the output */
  const uop *o = uop_range(g, 8, "ox"), *k = uop_range(g, 3, "kx");
  const uop *x = load(g, 0, WN_F32, 16, uop_add(g, uop_add(g, o, k), uop_modi(g, o, 3)));
  return sum1(g, OP_ADD, uop_mul(g, x, load(g, 1, WN_F32, 3, k)), k);
}

static const uop *not_reduced(graph *g) { return load(g, 0, WN_F32, 8, uop_range(g, 8, "i")); }

static const built_row refusals[] = {
    {"matmul", matmul, "no overlapping window"},
    {"matmul, both transposed", matmul_transposed, "no overlapping window"},
    {"1x1", one_by_one, "no overlapping window"},
    {"stride = filter", patches, "no overlapping window"},
    {"filter = image", whole_image, "no overlapping window"},
    {"output loop in both operands", shared_output,
     "output loop ox of the window is in both operands"},
    {"gather", gather, "data-dependent index"},
    {"deformable", deformable, "data-dependent index"},
    {"integers", integers, "i32 sums: the transforms need f32 or f64"},
    {"f16 sums", halves, "f16 sums: the transforms need f32 or f64"},
    {"max-reduce", max_reduce, "not a sum of products: a MAX reduction"},
    {"average pooling", average_pool, "no weights"},
    {"average pooling, scaled inside", average_pool_scaled, "no weights"},
    {"pooling, weights by channel", pool_with_channel_weights,
     "window loop kx has no weights (pooling)"},
    {"squares", energy, "output loop ox of the window is in both operands"},
    {"outputs masked", masked_outputs,
     "no fixed window: ox and kx meet in one index, but not everywhere in one proportion"},
    {"two proportions", two_proportions, "no fixed window"},
    {"remainder of the output", triangle, "no fixed window"},
    {"not a reduction", not_reduced, "not a reduction"},
};

static void refused(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    const built_row *row = &refusals[i];
    diag d;
    graph g;
    diag_init(&d);
    graph_init(&g, &d);
    const uop *sum = row->build(&g);
    const char *why = wino_why_not(&g, sum);
    if (why == NULL) fail_msg("%s: matched, %s", row->name, trace_of(&g, sum));
    if (strstr(why, row->want) == NULL) fail_msg("%s: %s", row->name, why);
    if (sum->op == OP_REDUCE && strstr(trace_of(&g, sum), "declined, ") == NULL)
      fail_msg("%s: no trace", row->name);
    graph_release(&g);
  }
}

/* A deep chain of elementwise operations on the activations needs no stack. */
static void deep_producer(void **state) {
  (void)state;
  diag d;
  graph g;
  diag_init(&d);
  graph_init(&g, &d);
  conv_ir v = conv_operands(&g, &base_spec);
  const uop *x = v.x;
  for (int i = 0; i < 10000; i++) x = uop_alu1(&g, i % 2 ? OP_ABS : OP_TANH, x);
  assert_null(wino_why_not(&g, conv_sum(&g, &v, uop_mul(&g, x, v.w))));
  graph_release(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_match),
      cmocka_unit_test(built_match),
      cmocka_unit_test(refused),
      cmocka_unit_test(deep_producer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
