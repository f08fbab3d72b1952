/* The tensor API: shapes, dtypes, what is built, and what every mistake says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "ir/walk.h"
#include "lower/lower.h"
#include "tensor/tensor.h"

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }
#define AXES(...) \
  (int[]) { __VA_ARGS__ }
#define SIZES(...) \
  (int64_t[]) { __VA_ARGS__ }

static int set_up(void **state) {
  wn_context *ctx;
  if (wn_context_create(&ctx) != WN_OK) return -1;
  *state = ctx;
  return 0;
}

static int tear_down(void **state) {
  wn_context_destroy(*state);
  return 0;
}

static wn_tensor *f32(wn_context *ctx, int ndim, const int64_t *shape) {
  return wn_input(ctx, WN_F32, ndim, shape, NULL);
}

static void expect_shape(wn_context *ctx, const wn_tensor *t, int ndim, const int64_t *shape) {
  if (t == NULL) fail_msg("%s", wn_message(ctx));
  assert_int_equal(wn_ndim(t), ndim);
  for (int i = 0; i < ndim; ++i) assert_int_equal(wn_shape(t)[i], shape[i]);
}

static void expect_error(wn_context *ctx, const wn_tensor *t, const char *message) {
  assert_null(t);
  assert_string_equal(wn_message(ctx), message);
}

/* --- shapes ----------------------------------------------------------------------------------- */

static void test_movement_shapes(void **state) {
  wn_context *c = *state;
  wn_tensor *t = f32(c, SHAPE(2, 3, 4));
  expect_shape(c, wn_reshape(t, SHAPE(6, 4)), SHAPE(6, 4));
  expect_shape(c, wn_reshape(t, SHAPE(4, -1)), SHAPE(4, 6));
  expect_shape(c, wn_reshape(t, SHAPE(-1)), SHAPE(24));
  expect_shape(c, wn_permute(t, AXES(2, 0, 1)), SHAPE(4, 2, 3));
  expect_shape(c, wn_permute(t, AXES(-1, 0, -2)), SHAPE(4, 2, 3));
  expect_shape(c, wn_expand(t, SHAPE(5, 2, 3, 4)), SHAPE(5, 2, 3, 4));
  expect_shape(c, wn_expand(wn_scalar(c, WN_F32, 1), SHAPE(5, 2)), SHAPE(5, 2));
  expect_shape(c, wn_pad(t, SIZES(0, 1, 2), SIZES(3, 0, 1)), SHAPE(5, 4, 7));
  expect_shape(c, wn_shrink(t, SIZES(1, 0, 1), SIZES(2, 3, 3)), SHAPE(1, 3, 2));
  expect_shape(c, wn_flip(t, AXES(0, -1), 2), SHAPE(2, 3, 4));
  expect_shape(c, wn_stride(t, SIZES(2, 2, 3)), SHAPE(1, 2, 2));
  wn_tensor *places = wn_input(c, WN_I64, SHAPE(5, 6), NULL);
  expect_shape(c, wn_gather(t, places, 0), SHAPE(5, 6, 3, 4));
  expect_shape(c, wn_gather(t, places, -2), SHAPE(2, 5, 6, 4));
  expect_shape(c, wn_gather(t, wn_scalar(c, WN_I32, 1), 2), SHAPE(2, 3));
  expect_shape(c, wn_window(t, 2, SIZES(2, 2), SIZES(1, 2), NULL), SHAPE(2, 2, 2, 2, 2));
  expect_shape(c, wn_window(t, 1, SIZES(2), NULL, SIZES(3)), SHAPE(2, 3, 1, 2));
}

/* What moves nothing is the same tensor, and reshapes do not pile up. */
static void test_movement_folds(void **state) {
  wn_context *c = *state;
  wn_tensor *t = f32(c, SHAPE(2, 3, 4));
  assert_ptr_equal(wn_reshape(t, SHAPE(2, 3, 4)), t);
  assert_ptr_equal(wn_permute(t, AXES(0, 1, 2)), t);
  assert_ptr_equal(wn_pad(t, SIZES(0, 0, 0), SIZES(0, 0, 0)), t);
  assert_ptr_equal(wn_shrink(t, SIZES(0, 0, 0), SIZES(2, 3, 4)), t);
  assert_ptr_equal(wn_stride(t, SIZES(1, 1, 1)), t);
  assert_ptr_equal(wn_flip(t, NULL, 0), t);
  wn_tensor *there = wn_reshape(wn_reshape(t, SHAPE(24)), SHAPE(6, 4));
  assert_ptr_equal(there->node->src[0], t->node);
  assert_ptr_equal(wn_reshape(there, SHAPE(2, 3, 4))->node, t->node);
}

static void test_elementwise(void **state) {
  wn_context *c = *state;
  wn_tensor *a = f32(c, SHAPE(4, 1, 3)), *b = f32(c, SHAPE(5, 1));
  expect_shape(c, wn_zip(WN_ADD, a, b), SHAPE(4, 5, 3));
  expect_shape(c, wn_zip(WN_MUL, wn_scalar(c, WN_F32, 2), a), SHAPE(4, 1, 3));
  wn_tensor *less = wn_zip(WN_LESS, a, b);
  assert_int_equal(wn_tensor_dtype(less), WN_BOOL);
  expect_shape(c, wn_where(less, a, b), SHAPE(4, 5, 3));
  assert_int_equal(wn_tensor_dtype(wn_where(less, a, b)), WN_F32);
  assert_int_equal(wn_tensor_dtype(wn_cast(a, WN_I64)), WN_I64);
  assert_ptr_equal(wn_cast(a, WN_F32), a);
  for (int op = WN_NEG; op <= WN_ERF; ++op)
    if (op != WN_NOT) expect_shape(c, wn_map((wn_unary)op, a), SHAPE(4, 1, 3));
  assert_non_null(wn_map(WN_NOT, less));
  wn_tensor *i = wn_input(c, WN_I32, SHAPE(7), NULL);
  assert_int_equal(wn_zip(WN_DIV, i, i)->node->op, OP_IDIV);
  assert_int_equal(wn_zip(WN_DIV, a, a)->node->op, OP_DIV);
  assert_non_null(wn_map(WN_RELU, i));
}

static void test_reduce_and_matmul(void **state) {
  wn_context *c = *state;
  wn_tensor *t = f32(c, SHAPE(2, 3, 4));
  expect_shape(c, wn_reduce(WN_SUM, t, AXES(0, -1), 2, 0), SHAPE(3));
  expect_shape(c, wn_reduce(WN_MAXIMUM, t, AXES(1), 1, 1), SHAPE(2, 1, 4));
  expect_shape(c, wn_reduce(WN_MINIMUM, t, AXES(0, 1, 2), 3, 0), 0, NULL);
  assert_ptr_equal(wn_reduce(WN_SUM, t, NULL, 0, 0), t);
  expect_shape(c, wn_matmul(t, f32(c, SHAPE(4, 5))), SHAPE(2, 3, 5));
  expect_shape(c, wn_matmul(f32(c, SHAPE(7, 1, 6, 4)), f32(c, SHAPE(2, 4, 5))), SHAPE(7, 2, 6, 5));
}

/* --- convolution ------------------------------------------------------------------------------ */

static void test_conv_shapes(void **state) {
  wn_context *c = *state;
  wn_tensor *x = f32(c, SHAPE(1, 16, 32, 32));
  wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  expect_shape(c, wn_conv(x, f32(c, SHAPE(8, 16, 3, 3)), &same), SHAPE(1, 8, 32, 32));
  expect_shape(c, wn_conv(x, f32(c, SHAPE(8, 16, 3, 3)), NULL), SHAPE(1, 8, 30, 30));
  expect_shape(c, wn_conv(x, f32(c, SHAPE(16, 1, 5, 1)), &WN_CONV_PARAMS(.groups = 16)),
               SHAPE(1, 16, 28, 32));
  wn_conv_params mixed = WN_CONV_PARAMS(.stride = {2, 3}, .dilation = {1, 2}, .pad_lo = {0, 3},
                                        .pad_hi = {1, 0}, .groups = 2);
  expect_shape(c, wn_conv(x, f32(c, SHAPE(4, 8, 2, 3)), &mixed), SHAPE(1, 4, 16, 11));
  expect_shape(c, wn_conv(f32(c, SHAPE(2, 3, 9)), f32(c, SHAPE(5, 3, 4)), NULL), SHAPE(2, 5, 6));
  wn_tensor *x4 = f32(c, SHAPE(2, 3, 4, 5, 6, 7)), *w4 = f32(c, SHAPE(2, 3, 1, 2, 3, 4));
  expect_shape(c, wn_conv(x4, w4, NULL), SHAPE(2, 2, 4, 4, 4, 4));
}

/* Nothing but movement, one product and one sum is built. */
static void test_conv_is_plain(void **state) {
  wn_context *c = *state;
  wn_conv_params p = WN_CONV_PARAMS(.stride = {2, 1}, .dilation = {1, 2}, .pad_lo = {1, 1},
                                    .pad_hi = {1, 1}, .groups = 2);
  wn_tensor *y = wn_conv(f32(c, SHAPE(1, 4, 9, 9)), f32(c, SHAPE(6, 2, 3, 3)), &p);
  uop_order o = uop_toposort(&c->graph.arena, 1, &y->node);
  int products = 0, sums = 0;
  for (size_t i = 0; i < o.len; ++i) {
    const op_info *row = &op_table[o.at[i]->op];
    assert_true(row->flags & UOP_TENSOR);
    products += o.at[i]->op == OP_MUL;
    sums += o.at[i]->op == OP_REDUCE_AXIS;
    if (row->shape == SH_ELEM) assert_int_equal(o.at[i]->op, OP_MUL);
  }
  assert_int_equal(products, 1);
  assert_int_equal(sums, 1);
  map memo;
  map_init(&memo, &c->graph.arena);
  for (size_t i = 0; i < o.len; ++i) assert_non_null(tensor_shape(&c->graph, &memo, o.at[i]));
  assert_ptr_equal(tensor_shape(&c->graph, &memo, y->node), y->shape);
}

static void test_buffers(void **state) {
  wn_context *c = *state;
  float x[6] = {0}, w[4] = {0};
  wn_tensor *a = wn_input(c, WN_F32, SHAPE(2, 3), x), *b = wn_constant(c, WN_F32, SHAPE(4), w);
  assert_int_equal(c->buffers.len, 2);
  assert_int_equal(a->node->arg.i, 0);
  assert_int_equal(b->node->arg.i, 1);
  assert_ptr_equal(c->buffers.data[0].data, x);
  assert_int_equal(c->buffers.data[0].count, 6);
  assert_false(c->buffers.data[0].constant);
  assert_true(c->buffers.data[1].constant);
  assert_ptr_equal(c->buffers.data[1].data, w);
}

/* --- mistakes --------------------------------------------------------------------------------- */

static void test_conv_errors(void **state) {
  wn_context *c = *state;
  wn_tensor *x = f32(c, SHAPE(1, 16, 32, 32)), *w = f32(c, SHAPE(16, 8, 3, 3));
  expect_error(c, wn_conv(x, w, NULL),
               "wn_conv: weights expect 8 input channels per group, x has 16 channels in 1 group "
               "(x [1, 16, 32, 32], w [16, 8, 3, 3])");
  expect_error(c, wn_conv(x, f32(c, SHAPE(15, 8, 3, 3)), &WN_CONV_PARAMS(.groups = 2)),
               "wn_conv: 15 output channels are not divisible by 2 groups (x [1, 16, 32, 32], w "
               "[15, 8, 3, 3])");
  expect_error(c, wn_conv(x, w, &WN_CONV_PARAMS(.groups = -1)),
               "wn_conv: -1 groups (x [1, 16, 32, 32], w [16, 8, 3, 3])");
  expect_error(c, wn_conv(x, f32(c, SHAPE(16, 8, 3)), NULL),
               "wn_conv: x and w need two axes and the same 1 to 4 spatial axes each (x [1, 16, "
               "32, 32], w [16, 8, 3])");
  expect_error(
      c, wn_conv(x, w, &WN_CONV_PARAMS(.groups = 2, .dilation = {1, 16})),
      "wn_conv: 3 taps with dilation 16 do not fit the 32 elements of spatial axis 1 after padding "
      "(x [1, 16, 32, 32], w [16, 8, 3, 3])");
  expect_error(
      c, wn_conv(x, w, &WN_CONV_PARAMS(.groups = 2, .pad_hi = {-1})),
      "wn_conv: spatial axis 0: stride 1, dilation 1, padding 0 and -1; none may be negative "
      "(x [1, 16, 32, 32], w [16, 8, 3, 3])");
  wn_tensor *wi = wn_input(c, WN_I32, SHAPE(16, 16, 3, 3), NULL);
  expect_error(c, wn_conv(x, wi, NULL),
               "wn_conv: x is f32 and w is i32; both must be of one numeric dtype "
               "(x [1, 16, 32, 32], w [16, 16, 3, 3])");
  expect_error(
      c, wn_conv(x, w, &WN_CONV_PARAMS(.groups = 2, .pad_lo = {INT64_MAX})),
      "wn_conv: padding of spatial axis 0 is too large (x [1, 16, 32, 32], w [16, 8, 3, 3])");
}

static void test_shape_errors(void **state) {
  wn_context *c = *state;
  wn_tensor *t = f32(c, SHAPE(2, 3, 4));
  expect_error(c, wn_reshape(t, SHAPE(5, 5)),
               "wn_reshape: [2, 3, 4] has 24 elements and [5, 5] has 25");
  expect_error(c, wn_reshape(t, SHAPE(5, -1)),
               "wn_reshape: [2, 3, 4] has 24 elements, which 5 does not divide ([5, -1])");
  expect_error(
      c, wn_reshape(t, SHAPE(-1, -1)),
      "wn_reshape: axis 1 of the result has extent -1; every extent is at least 0 ([24, -1])");
  expect_error(c, wn_permute(t, AXES(0, 1, 3)), "wn_permute: there is no axis 3 in [2, 3, 4]");
  expect_error(c, wn_permute(t, AXES(0, 1, -2)), "wn_permute: axis -2 of [2, 3, 4] is named twice");
  expect_error(c, wn_permute(t, NULL), "wn_permute: the list of axes is missing");
  expect_error(c, wn_expand(t, SHAPE(2, 3, 5)),
               "wn_expand: [2, 3, 4] does not broadcast to [2, 3, 5]; extents must be equal or 1");
  expect_error(c, wn_expand(t, SHAPE(3, 4)),
               "wn_expand: [2, 3, 4] does not broadcast to [3, 4]; extents must be equal or 1");
  expect_error(c, wn_pad(t, SIZES(0, -1, 0), SIZES(0, 0, 0)),
               "wn_pad: padding -1, 0 of axis 1 of [2, 3, 4] is negative; use wn_shrink");
  expect_error(c, wn_pad(t, SIZES(0, INT64_MAX, 0), SIZES(0, 0, 0)),
               "wn_pad: padding of axis 1 of [2, 3, 4] overflows");
  expect_error(c, wn_shrink(t, SIZES(0, 2, 0), SIZES(2, 1, 4)),
               "wn_shrink: [2, 1) is no part of axis 1 of [2, 3, 4]");
  expect_error(c, wn_flip(t, AXES(3), 1), "wn_flip: there is no axis 3 in [2, 3, 4]");
  expect_error(c, wn_stride(t, SIZES(1, 0, 1)),
               "wn_stride: step 0 of axis 1 of [2, 3, 4]; steps are at least 1");
  expect_error(c, wn_gather(t, t, 1),
               "wn_gather: the index is f32 [2, 3, 4], not i32 or i64; convert it with wn_cast");
  expect_error(c, wn_gather(t, wn_scalar(c, WN_I64, 0), 3),
               "wn_gather: there is no axis 3 in [2, 3, 4]");
  expect_error(c, wn_window(t, 1, SIZES(5), NULL, NULL),
               "wn_window: axis 2 of [2, 3, 4] is too short for a window of 5 with dilation 1");
  expect_error(
      c, wn_window(t, 1, SIZES(2), SIZES(0), NULL),
      "wn_window: axis 2 of [2, 3, 4]: window 2, stride 0 and dilation 1 must be at least 1");
  expect_error(c, wn_window(t, 4, SIZES(1, 1, 1, 1), NULL, NULL),
               "wn_window: windows over 4 axes of [2, 3, 4]");
  expect_error(c, wn_zip(WN_ADD, t, f32(c, SHAPE(3, 3))),
               "wn_zip: shapes [2, 3, 4] and [3, 3] do not broadcast; extents must be equal or 1");
  expect_error(
      c, wn_matmul(t, t),
      "wn_matmul: rows of a have 4 elements, columns of b have 3 (a [2, 3, 4], b [2, 3, 4])");
  expect_error(c, wn_reduce(WN_SUM, t, AXES(1, -2), 2, 0),
               "wn_reduce: axis -2 of [2, 3, 4] is named twice");
}

/* --- extents of 0 ----------------------------------------------------------------------------- */

/* Whatever a tensor without elements was computed from, it is the same node. */
static void expect_empty(wn_context *c, wn_tensor *t, int ndim, const int64_t *shape) {
  expect_shape(c, t, ndim, shape);
  assert_true(uop_is_empty(t->node));
  assert_ptr_equal(t->node, wn_input(c, t->dtype, ndim, shape, NULL)->node);
}

/* A number in every element. */
static void expect_filled(wn_context *c, wn_tensor *t, double number, int ndim,
                          const int64_t *shape) {
  expect_shape(c, t, ndim, shape);
  const uop *u = t->node;
  while (u->op == OP_RESHAPE || u->op == OP_EXPAND) u = u->src[0];
  assert_int_equal(u->op, OP_CONST);
  assert_true(uop_const_value(u) == number);
}

static void test_empty_movement(void **state) {
  wn_context *c = *state;
  wn_tensor *e = f32(c, SHAPE(2, 0, 3)), *t = f32(c, SHAPE(2, 1, 3));
  expect_empty(c, wn_reshape(e, SHAPE(0)), SHAPE(0));
  expect_empty(c, wn_reshape(e, SHAPE(7, 0, 5)), SHAPE(7, 0, 5));
  expect_empty(c, wn_reshape(e, SHAPE(-1, 5)), SHAPE(0, 5));
  expect_empty(c, wn_permute(e, AXES(1, 2, 0)), SHAPE(0, 3, 2));
  expect_empty(c, wn_expand(t, SHAPE(2, 0, 3)), SHAPE(2, 0, 3));
  expect_empty(c, wn_expand(e, SHAPE(4, 2, 0, 3)), SHAPE(4, 2, 0, 3));
  expect_empty(c, wn_expand(wn_scalar(c, WN_F32, 5), SHAPE(0)), SHAPE(0));
  expect_empty(c, wn_pad(e, SIZES(1, 0, 0), SIZES(0, 0, 2)), SHAPE(3, 0, 5));
  expect_filled(c, wn_pad(e, SIZES(0, 1, 0), SIZES(0, 1, 0)), 0, SHAPE(2, 2, 3));
  expect_empty(c, wn_shrink(t, SIZES(0, 1, 0), SIZES(2, 1, 3)), SHAPE(2, 0, 3));
  expect_empty(c, wn_shrink(e, SIZES(0, 0, 1), SIZES(2, 0, 2)), SHAPE(2, 0, 1));
  expect_empty(c, wn_flip(e, AXES(0, 1), 2), SHAPE(2, 0, 3));
  expect_empty(c, wn_stride(e, SIZES(2, 3, 2)), SHAPE(1, 0, 2));
  expect_empty(c, wn_window(e, 1, SIZES(2), NULL, NULL), SHAPE(2, 0, 2, 2));
  wn_tensor *places = wn_input(c, WN_I64, SHAPE(5), NULL),
            *nowhere = wn_input(c, WN_I64, SHAPE(0), NULL);
  expect_empty(c, wn_gather(e, places, 0), SHAPE(5, 0, 3));
  expect_empty(c, wn_gather(t, nowhere, 2), SHAPE(2, 1, 0));
  expect_filled(c, wn_gather(e, places, 1), 0, SHAPE(2, 5, 3)); /* all places are outside */
  expect_empty(c, wn_concat((wn_tensor *[]){e, e}, 2, 0), SHAPE(4, 0, 3));
  assert_ptr_equal(wn_concat((wn_tensor *[]){e, t}, 2, 1)->node, t->node);
  expect_error(c, wn_reshape(e, SHAPE(0, -1)),
               "wn_reshape: beside an extent of 0, -1 may be anything; say what it is ([0, -1])");
  expect_error(c, wn_reshape(t, SHAPE(-1, 0)),
               "wn_reshape: beside an extent of 0, -1 may be anything; say what it is ([-1, 0])");
  expect_error(c, wn_reshape(e, SHAPE(5)), "wn_reshape: [2, 0, 3] has 0 elements and [5] has 5");
  expect_error(c, wn_expand(e, SHAPE(2, 4, 3)),
               "wn_expand: [2, 0, 3] does not broadcast to [2, 4, 3]; extents must be equal or 1");
  expect_error(c, wn_window(e, 2, SIZES(1, 1), NULL, NULL),
               "wn_window: axis 1 of [2, 0, 3] is too short for a window of 1 with dilation 1");
  expect_error(
      c, wn_window(t, 1, SIZES(0), NULL, NULL),
      "wn_window: axis 2 of [2, 1, 3]: window 0, stride 1 and dilation 1 must be at least 1");
  expect_error(c, f32(c, SHAPE((int64_t)1 << 40, 0, (int64_t)1 << 40)),
               "wn_input: the tensor has more elements than can be counted "
               "([1099511627776, 0, 1099511627776])");
}

static void test_empty_values(void **state) {
  wn_context *c = *state;
  wn_tensor *e = f32(c, SHAPE(2, 0, 3)), *t = f32(c, SHAPE(2, 1, 3)), *one = f32(c, SHAPE(1));
  expect_empty(c, wn_map(WN_SIGMOID, e), SHAPE(2, 0, 3));
  expect_empty(c, wn_zip(WN_ADD, e, t), SHAPE(2, 0, 3));
  expect_empty(c, wn_zip(WN_LESS, one, e), SHAPE(2, 0, 3));
  expect_empty(c, wn_zip(WN_POW, t, e), SHAPE(2, 0, 3));
  expect_empty(c, wn_where(wn_zip(WN_LESS, t, t), e, t), SHAPE(2, 0, 3));
  expect_empty(c, wn_cast(e, WN_I64), SHAPE(2, 0, 3));
  expect_error(c, wn_zip(WN_ADD, e, f32(c, SHAPE(2, 3))),
               "wn_zip: shapes [2, 0, 3] and [2, 3] do not broadcast; extents must be equal or 1");
  expect_empty(c, wn_reduce(WN_SUM, e, AXES(0), 1, 0), SHAPE(0, 3));
  expect_empty(c, wn_reduce(WN_SUM, e, NULL, 0, 0), SHAPE(2, 0, 3));
  expect_filled(c, wn_reduce(WN_SUM, e, AXES(1), 1, 1), 0, SHAPE(2, 1, 3));
  expect_filled(c, wn_reduce(WN_PRODUCT, e, AXES(0, 1, 2), 3, 0), 1, 0, NULL);
  expect_filled(c, wn_reduce(WN_MAXIMUM, e, AXES(1, 2), 2, 0), -(double)INFINITY, SHAPE(2));
  expect_filled(c, wn_reduce(WN_MINIMUM, e, AXES(1), 1, 0), (double)INFINITY, SHAPE(2, 3));
  wn_tensor *i = wn_input(c, WN_I32, SHAPE(0), NULL), *l = wn_input(c, WN_I64, SHAPE(0), NULL);
  expect_filled(c, wn_reduce(WN_MAXIMUM, i, AXES(0), 1, 1), INT32_MIN, SHAPE(1));
  expect_filled(c, wn_reduce(WN_MAXIMUM, l, AXES(0), 1, 1), -0x1p63, SHAPE(1));
  assert_true(wn_reduce(WN_MINIMUM, l, AXES(0), 1, 0)->node->arg.i == INT64_MAX);
}

static void test_empty_products(void **state) {
  wn_context *c = *state;
  expect_filled(c, wn_matmul(f32(c, SHAPE(2, 0)), f32(c, SHAPE(0, 3))), 0, SHAPE(2, 3));
  expect_empty(c, wn_matmul(f32(c, SHAPE(0, 4)), f32(c, SHAPE(4, 3))), SHAPE(0, 3));
  expect_empty(c, wn_matmul(f32(c, SHAPE(0, 2, 4)), f32(c, SHAPE(4, 3))), SHAPE(0, 2, 3));
  wn_tensor *w = f32(c, SHAPE(4, 3, 3, 3));
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  expect_empty(c, wn_conv(f32(c, SHAPE(0, 3, 5, 5)), w, &same), SHAPE(0, 4, 5, 5));
  expect_empty(c, wn_conv(f32(c, SHAPE(1, 3, 5, 5)), f32(c, SHAPE(0, 3, 3, 3)), &same),
               SHAPE(1, 0, 5, 5));
  wn_tensor *none = f32(c, SHAPE(2, 0, 5, 5)), *weights = f32(c, SHAPE(4, 0, 3, 3));
  expect_filled(c, wn_conv(none, weights, &same), 0, SHAPE(2, 4, 5, 5));
  expect_filled(c, wn_conv(none, weights, &WN_CONV_PARAMS(.groups = 2)), 0, SHAPE(2, 4, 3, 3));
  wn_tensor *padding =
      wn_conv(f32(c, SHAPE(1, 3, 0, 2)), w, &WN_CONV_PARAMS(.pad_lo = {2, 1}, .pad_hi = {1, 1}));
  expect_shape(c, padding, SHAPE(1, 4, 1, 2));
  expect_error(c, wn_conv(f32(c, SHAPE(1, 3, 0, 5)), w, &same),
               "wn_conv: 3 taps with dilation 1 do not fit the 2 elements of spatial axis 0 after "
               "padding (x [1, 3, 0, 5], w [4, 3, 3, 3])");
}

static void test_dtype_errors(void **state) {
  wn_context *c = *state;
  wn_tensor *t = f32(c, SHAPE(2)), *i = wn_input(c, WN_I32, SHAPE(2), NULL),
            *b = wn_input(c, WN_BOOL, SHAPE(2), NULL);
  expect_error(c, wn_zip(WN_ADD, t, i),
               "wn_zip: operands are f32 [2] and i32 [2]; convert one with wn_cast");
  expect_error(c, wn_map(WN_EXP, i),
               "wn_map: exp takes a floating-point tensor, not i32 [2]; convert it with wn_cast");
  expect_error(c, wn_zip(WN_AND, t, t),
               "wn_zip: and takes a bool tensor, not f32 [2]; convert it with wn_cast");
  expect_error(c, wn_zip(WN_ADD, b, b),
               "wn_zip: addition takes a numeric tensor, not bool [2]; convert it with wn_cast");
  expect_error(c, wn_where(t, t, t),
               "wn_where: the condition takes a bool tensor, not f32 [2]; convert it with wn_cast");
  expect_error(
      c, wn_reduce(WN_SUM, b, AXES(0), 1, 0),
      "wn_reduce: a reduction takes a numeric tensor, not bool [2]; convert it with wn_cast");
  expect_error(c, wn_scalar(c, WN_I32, 2.5), "wn_scalar: 2.5 cannot be held by i32");
  assert_null(wn_scalar(c, WN_I64, NAN));
  assert_null(wn_scalar(c, WN_I32, 0x1p31));
  assert_non_null(wn_scalar(c, WN_I32, -0x1p31));
  assert_non_null(wn_scalar(c, WN_F32, NAN));
  expect_error(c, wn_cast(t, (wn_dtype)77), "wn_cast: there is no dtype 77");
  expect_error(c, wn_input(c, (wn_dtype)-1, SHAPE(2), NULL), "wn_input: there is no dtype -1");
  assert_null(wn_map((wn_unary)99, t));
  assert_null(wn_zip((wn_binary)99, t, t));
  assert_null(wn_reduce((wn_reduction)99, t, AXES(0), 1, 0));
}

static void test_size_errors(void **state) {
  wn_context *c = *state;
  expect_error(
      c, f32(c, SHAPE(3, -2)),
      "wn_input: axis 1 of the tensor has extent -2; every extent is at least 0 ([3, -2])");
  expect_error(
      c, f32(c, SHAPE(INT64_MAX / 2, 3)),
      "wn_input: the tensor has more elements than can be counted ([4611686018427387903, 3])");
  expect_error(c, f32(c, 13, (int64_t[13]){0}),
               "wn_input: the tensor would have 13 axes; there may be 0 to 12");
  expect_error(c, f32(c, 2, NULL), "wn_input: the shape of the tensor is missing");
  wn_tensor *big = f32(c, SHAPE((int64_t)1 << 40));
  assert_non_null(big);
  expect_error(
      c, wn_expand(big, SHAPE((int64_t)1 << 30, (int64_t)1 << 40)),
      "wn_expand: the result has more elements than can be counted ([1073741824, 1099511627776])");
  assert_null(wn_window(big, 1, SIZES((int64_t)1 << 39), NULL, NULL));
  assert_null(wn_conv(f32(c, SHAPE(1, (int64_t)1 << 20, (int64_t)1 << 20)),
                      f32(c, SHAPE((int64_t)1 << 20, (int64_t)1 << 20, 3)), NULL));
}

/* NULL passes through without a message of its own; the first error is kept while others follow. */
static void test_first_error_sticks(void **state) {
  wn_context *c = *state;
  wn_tensor *t = f32(c, SHAPE(2, 3)), *bad = wn_reshape(t, SHAPE(4));
  assert_null(bad);
  assert_int_equal(c->error, WN_ERR_USAGE);
  assert_null(wn_map(WN_RELU, bad));
  assert_null(wn_zip(WN_ADD, t, bad));
  assert_null(wn_conv(bad, t, NULL));
  assert_null(wn_reduce(WN_SUM, bad, NULL, 0, 0));
  assert_string_equal(wn_message(c), "wn_reshape: [2, 3] has 6 elements and [4] has 4");
  assert_null(wn_reshape(t, SHAPE(5)));
  assert_string_equal(c->error_message, "wn_reshape: [2, 3] has 6 elements and [4] has 4");
  assert_int_equal(wn_ndim(NULL), 0);
  assert_null(wn_shape(NULL));
  assert_non_null(wn_map(WN_RELU, t)); /* the context goes on working */
}

static void test_contexts_do_not_mix(void **state) {
  wn_context *c = *state, *other;
  assert_int_equal(wn_context_create(&other), WN_OK);
  expect_error(c, wn_zip(WN_ADD, f32(c, SHAPE(2)), f32(other, SHAPE(2))),
               "wn_zip: operands belong to different contexts");
  wn_context_destroy(other);
}

/* Every allocation fails once: a NULL and WN_ERR_NOMEM, never a crash or a leak. */
static void test_allocation_failure(void **state) {
  (void)state;
  bool done = false;
  for (long n = 1; !done && n < 10000; ++n) {
    wn_context *c = NULL;
    mem_fail_at(n);
    wn_status st = wn_context_create(&c);
    wn_tensor *y = NULL;
    if (st == WN_OK) {
      y = wn_conv(f32(c, SHAPE(1, 2, 9, 9)), f32(c, SHAPE(3, 2, 3, 3)), NULL);
      for (int i = 0; i < 300 && y != NULL; ++i) y = wn_map(WN_SIGMOID, y);
    }
    mem_fail_at(0);
    if (st != WN_OK)
      assert_int_equal(st, WN_ERR_NOMEM);
    else if (y == NULL)
      assert_int_equal(c->error, WN_ERR_NOMEM);
    done = y != NULL;
    wn_context_destroy(c);
  }
  assert_true(done);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_movement_shapes),
      TEST(test_movement_folds),
      TEST(test_elementwise),
      TEST(test_reduce_and_matmul),
      TEST(test_conv_shapes),
      TEST(test_conv_is_plain),
      TEST(test_buffers),
      TEST(test_conv_errors),
      TEST(test_shape_errors),
      TEST(test_empty_movement),
      TEST(test_empty_values),
      TEST(test_empty_products),
      TEST(test_dtype_errors),
      TEST(test_size_errors),
      TEST(test_first_error_sticks),
      TEST(test_contexts_do_not_mix),
      cmocka_unit_test(test_allocation_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
