/* The recogniser on graphs made with the public API: lowered and simplified tensors, nothing
 * written in range IR. Each graph that matches is also rewritten, and both forms are evaluated in
 * double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/ir_text.h"
#include "lower/lower.h"
#include "tensor/tensor.h"
#include "uop_eval.h"
#include "winograd/winograd.h"

static double data[3][8192];

static void fill_data(void) {
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 8192; j++) data[i][j] = (double)((i * 8192 + j) * 7919 % 2003) / 1001.0 - 1;
  }
}

static wn_tensor *input(wn_context *ctx, int slot, int ndim, const int64_t *shape) {
  return wn_input(ctx, WN_F64, ndim, shape, data[slot]);
}
#define INPUT(ctx, slot, ...)                                                     \
  input((ctx), (slot), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
        (int64_t[]){__VA_ARGS__})
#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

/* --- graphs that match: x is made first, then w --- */

static wn_tensor *plain(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 1, 4, 9, 8), *w = INPUT(ctx, 1, 5, 4, 3, 3);
  return wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
}

static wn_tensor *one_d(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 2, 3, 20), *w = INPUT(ctx, 1, 2, 3, 9);
  return wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {4}, .pad_hi = {3}));
}

static wn_tensor *three_d(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 1, 2, 4, 6, 6), *w = INPUT(ctx, 1, 2, 2, 1, 3, 3);
  return wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {0, 1, 1}, .pad_hi = {0, 1, 1}));
}

static wn_tensor *grouped(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 2, 6, 7, 7), *w = INPUT(ctx, 1, 4, 3, 3, 3);
  return wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 0}, .pad_hi = {0, 1}, .groups = 2));
}

static wn_tensor *depthwise(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 1, 6, 7, 7), *w = INPUT(ctx, 1, 6, 1, 3, 3);
  return wn_conv(x, w, &WN_CONV_PARAMS(.groups = 6));
}

static wn_tensor *strided(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 1, 3, 15, 13), *w = INPUT(ctx, 1, 2, 3, 3, 5);
  return wn_conv(x, w, &WN_CONV_PARAMS(.stride = {2, 3}, .pad_lo = {1, 2}, .pad_hi = {1, 2}));
}

static wn_tensor *dilated(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 1, 3, 13, 13), *w = INPUT(ctx, 1, 2, 3, 3, 3);
  return wn_conv(x, w, &WN_CONV_PARAMS(.dilation = {2, 3}, .pad_lo = {2, 3}, .pad_hi = {2, 3}));
}

static wn_tensor *mixed(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 1, 2, 13, 17), *w = INPUT(ctx, 1, 2, 2, 3, 5);
  return wn_conv(
      x, w,
      &WN_CONV_PARAMS(.stride = {1, 2}, .dilation = {2, 3}, .pad_lo = {2, 4}, .pad_hi = {2, 5}));
}

static wn_tensor *channels_last(wn_context *ctx) { /* x is NHWC, w is HWIO, y is NHWC */
  wn_tensor *x = INPUT(ctx, 0, 1, 9, 8, 4), *w = INPUT(ctx, 1, 3, 3, 4, 5);
  x = wn_permute(x, (int[]){0, 3, 1, 2});
  w = wn_permute(w, (int[]){3, 2, 0, 1});
  return wn_permute(wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1})),
                    (int[]){0, 2, 3, 1});
}

static wn_tensor *flipped(wn_context *ctx) { /* the convolution of mathematics */
  wn_tensor *x = INPUT(ctx, 0, 1, 2, 9, 8), *w = INPUT(ctx, 1, 2, 2, 3, 3);
  return wn_conv(x, wn_flip(w, (int[]){2, 3}, 2),
                 &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
}

static wn_tensor *between(wn_context *ctx) { /* relu(x) before, bias and activation after */
  wn_tensor *x = INPUT(ctx, 0, 1, 2, 9, 8), *w = INPUT(ctx, 1, 2, 2, 3, 3),
            *b = INPUT(ctx, 2, 2, 1, 1);
  wn_tensor *y =
      wn_conv(wn_map(WN_RELU, x), w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  return wn_map(WN_SIGMOID, wn_zip(WN_ADD, y, b));
}

static wn_tensor *two_layers(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 1, 2, 9, 8), *w = INPUT(ctx, 1, 2, 2, 3, 3),
            *v = INPUT(ctx, 2, 3, 2, 3, 3);
  wn_conv_params p = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  return wn_conv(wn_map(WN_RELU, wn_conv(x, w, &p)), v, &p);
}

static wn_tensor *by_window(wn_context *ctx) { /* window, product the other way round, sum */
  wn_tensor *x = INPUT(ctx, 0, 3, 12, 11), *w = INPUT(ctx, 1, 3, 1, 1, 3, 3);
  x = wn_window(x, 2, (int64_t[]){3, 3}, NULL, NULL);
  return wn_reduce(WN_SUM, wn_zip(WN_MUL, w, x), (int[]){0, 3, 4}, 3, 0);
}

/* rows of x repeated r times, one element of padding a row, read back one off: x[c][o + k] without
 * a window operation. */
static wn_tensor *slide(wn_tensor *x, int64_t c, int64_t h, int64_t r) {
  wn_tensor *t = wn_expand(wn_reshape(x, SHAPE(c, 1, h)), SHAPE(c, r, h));
  t = wn_pad(wn_reshape(t, SHAPE(c, r * h)), (int64_t[]){0, 0}, (int64_t[]){0, r});
  t = wn_reshape(t, SHAPE(c, r, h + 1));
  return wn_shrink(t, (int64_t[]){0, 0, 0}, (int64_t[]){c, r, h - r + 1}); /* [c][k][o] */
}

static wn_tensor *by_hand(wn_context *ctx) {
  wn_tensor *x = INPUT(ctx, 0, 4, 12), *w = INPUT(ctx, 1, 4, 3, 1);
  return wn_reduce(WN_SUM, wn_zip(WN_MUL, slide(x, 4, 12, 3), w), (int[]){0, 1}, 2, 0);
}

static wn_tensor *by_hand_2d(wn_context *ctx) { /* columns slide, then rows */
  wn_tensor *x = INPUT(ctx, 0, 9, 8), *w = INPUT(ctx, 1, 3, 1, 3, 1);
  wn_tensor *t = slide(x, 9, 8, 3);                              /* [y][kx][ox] */
  t = wn_reshape(wn_permute(t, (int[]){1, 2, 0}), SHAPE(18, 9)); /* [kx ox][y] */
  t = wn_reshape(slide(t, 18, 9, 3), SHAPE(3, 6, 3, 7));         /* [kx][ox][ky][oy] */
  return wn_reduce(WN_SUM, wn_zip(WN_MUL, t, w), (int[]){0, 2}, 2, 0);
}

/* --- graphs that do not --- */

static wn_tensor *matmul(wn_context *ctx) {
  return wn_matmul(INPUT(ctx, 0, 2, 8, 6), INPUT(ctx, 1, 2, 6, 7));
}

static wn_tensor *one_by_one(wn_context *ctx) {
  return wn_conv(INPUT(ctx, 0, 2, 4, 5, 6), INPUT(ctx, 1, 3, 4, 1, 1), NULL);
}

static wn_tensor *tiny_image(wn_context *ctx) { /* 1x1 image, 3x3 filter, pad 1 */
  wn_tensor *x = INPUT(ctx, 0, 2, 4, 1, 1), *w = INPUT(ctx, 1, 3, 4, 3, 3);
  return wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
}

static wn_tensor *average_pool(wn_context *ctx) {
  wn_tensor *x = wn_window(INPUT(ctx, 0, 3, 9, 8), 2, (int64_t[]){3, 3}, NULL, NULL);
  x = wn_zip(WN_MUL, x, wn_scalar(ctx, WN_F64, 1.0 / 9));
  return wn_reduce(WN_SUM, x, (int[]){3, 4}, 2, 0);
}

static wn_tensor *max_pool(wn_context *ctx) {
  wn_tensor *x = wn_window(INPUT(ctx, 0, 3, 9, 8), 2, (int64_t[]){3, 3}, NULL, NULL);
  return wn_reduce(WN_MAXIMUM, x, (int[]){3, 4}, 2, 0);
}

static wn_tensor *dilation_by_max(wn_context *ctx) { /* grey-scale morphology: max of products */
  wn_tensor *x = wn_window(INPUT(ctx, 0, 3, 9, 8), 2, (int64_t[]){3, 3}, NULL, NULL);
  return wn_reduce(WN_MAXIMUM, wn_zip(WN_MUL, x, INPUT(ctx, 1, 3, 3)), (int[]){3, 4}, 2, 0);
}

static wn_tensor *locally_connected(wn_context *ctx) { /* weights of its own for each output */
  wn_tensor *x = wn_window(INPUT(ctx, 0, 3, 12), 1, (int64_t[]){3}, NULL, NULL);
  return wn_reduce(WN_SUM, wn_zip(WN_MUL, x, INPUT(ctx, 1, 10, 3)), (int[]){0, 2}, 2, 0);
}

static wn_tensor *integer_conv(wn_context *ctx) {
  wn_tensor *x = wn_input(ctx, WN_I32, 3, (int64_t[]){1, 2, 9}, data[0]);
  wn_tensor *w = wn_input(ctx, WN_I32, 3, (int64_t[]){2, 2, 3}, data[1]);
  return wn_conv(x, w, NULL);
}

/* --- checks --- */

typedef struct row {
  const char *name;
  wn_tensor *(*build)(wn_context *ctx);
  int sites;
  const char *want; /* in the trace */
} row;

static const row rows[] = {
    {"conv 2-D", plain, 1, "conv 2-D, 4 -> 5 channels, 3x3, window"},
    {"conv 1-D", one_d, 1, "conv 1-D, 3 -> 2 channels, 9 taps, window"},
    {"conv 3-D", three_d, 1, "conv 2-D, 2 -> 2 channels, 3x3, window"},
    {"groups", grouped, 1, "conv 2-D, 3 -> 2 channels, 3x3, 2 groups"},
    {"depthwise", depthwise, 1, "conv 2-D, 1 -> 1 channels, 3x3, 6 groups"},
    {"stride", strided, 1, "conv 2-D, 3 -> 2 channels, 3x5, stride 2x3, window"},
    {"dilation", dilated, 1, "conv 2-D, 3 -> 2 channels, 3x3, dilation 2x3, window"},
    {"stride and dilation", mixed, 1,
     "conv 2-D, 2 -> 2 channels, 3x5, stride 1x2, dilation 2x3, window"},
    {"channels last", channels_last, 1, "conv 2-D, 4 -> 5 channels, 3x3, window"},
    {"flipped weights", flipped, 1, "conv 2-D, 2 -> 2 channels, 3x3, window"},
    {"between elementwise", between, 1, "conv 2-D, 2 -> 2 channels, 3x3, window"},
    {"two layers", two_layers, 2, "conv 2-D, 2 -> 3 channels, 3x3, window"},
    {"by window", by_window, 1, "conv 2-D, 3 -> 1 channels, 3x3, window"},
    {"by reshape and shrink", by_hand, 1, "conv 1-D, 4 -> 1 channels, 3 taps, window"},
    {"by reshape and shrink, 2-D", by_hand_2d, 1, "conv 2-D, 1 -> 1 channels, 3x3, window"},
    {"matmul", matmul, 0, "no overlapping window"},
    {"1x1", one_by_one, 0, "no overlapping window"},
    {"1x1 image", tiny_image, 0, "no overlapping window"},
    {"average pooling", average_pool, 0, "no weights"},
    {"max pooling", max_pool, 0, "not a sum of products: a MAX reduction"},
    {"max of products", dilation_by_max, 0, "not a sum of products: a MAX reduction"},
    {"locally connected", locally_connected, 0, "of the window is in both operands"},
    {"integers", integer_conv, 0, "i32 sums"},
};

static const uop *result_of(const uop *root) { return root->op == OP_SINK ? root->src[0] : root; }

static void compare(const row *r, const uop *before, const uop *after) {
  static double want[8192], got[8192];
  eval e;
  eval_init(&e);
  for (int i = 0; i < 3; i++) eval_buffer(&e, i, data[i]);
  int64_t n = eval_tensor(&e, result_of(before), want);
  assert_int_equal(eval_tensor(&e, result_of(after), got), n);
  for (int64_t i = 0; i < n; i++) {
    if (!(fabs(got[i] - want[i]) < 1e-9 * (1 + fabs(want[i])))) {
      fail_msg("%s: element %lld: %g, not %g", r->name, (long long)i, got[i], want[i]);
    }
  }
  eval_release(&e);
}

static void check_row(const row *r, int m) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *t = r->build(ctx);
  if (t == NULL) fail_msg("%s: %s", r->name, wn_message(ctx));
  const uop *root = simplify(&ctx->graph, lower_tensors(&ctx->graph, 1, &t->node, NULL));
  wino_result res = wino_rewrite(&ctx->graph, root, &(wino_options){.nm = 1, .m = {m}});
  if (res.nsites != r->sites || strstr(res.trace, r->want) == NULL)
    fail_msg("%s: %s", r->name, res.trace);
  const char *broken = ir_verify(&ctx->graph, res.root, UOP_EXPR);
  if (broken != NULL) fail_msg("%s: %s", r->name, broken);
  if (res.nsites > 0) {
    compare(r, root, res.root);
  } else {
    assert_ptr_equal(res.root, root);
  }
  wn_context_destroy(ctx);
}

static void tiles_of_two(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(&rows[i], 2);
}

static void tiles_of_four(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(&rows[i], 4);
}

int main(void) {
  fill_data();
  const struct CMUnitTest tests[] = {cmocka_unit_test(tiles_of_two),
                                     cmocka_unit_test(tiles_of_four)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
