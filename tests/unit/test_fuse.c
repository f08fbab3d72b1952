/* Loops that are one: which neighbours a stored value's canonical form has as one loop, and which not; elements and the
 * order of terms stay, so that both forms have the same bits; equal values share a form as before. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "ir/ir_text.h"
#include "ir/walk.h"
#include "unit/lowered.h"
#include "unit/uop_eval.h"

enum { MOST = 1 << 14, TEXT = 256 };

typedef struct fixture {
  wn_context *ctx;
  float *noise; /* MOST numbers; every array begins somewhere in it */
  int64_t *places;
  int made;
} fixture;

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->noise = malloc(MOST * sizeof *f->noise);
  f->places = malloc(MOST * sizeof *f->places);
  if (f->noise == NULL || f->places == NULL) return -1;
  uint32_t seed = 7;
  for (int i = 0; i < MOST; ++i) {
    seed = seed * 1664525u + 1013904223u;
    f->noise[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    f->places[i] = (int64_t)(seed >> 8) % 3;
  }
  *state = f;
  return wn_context_create(&f->ctx) == WN_OK ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wn_context_destroy(f->ctx);
  free(f->noise);
  free(f->places);
  free(f);
  return 0;
}

/* --- graphs ----------------------------------------------------------------------------------- */

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

static wn_tensor *input(fixture *f, int nd, const int64_t *shape) {
  return wn_input(f->ctx, WN_F32, nd, shape, f->noise + 16 * f->made++);
}

static wn_tensor *weights(fixture *f, int nd, const int64_t *shape) {
  return wn_constant(f->ctx, WN_F32, nd, shape, f->noise + 16 * f->made++);
}

/* 4 channels of 8, filters of rows x columns, strides as large or 1. */
static wn_tensor *conv(fixture *f, int64_t batch, int64_t h, int64_t w, int64_t rows,
                       int64_t columns, int64_t stride) {
  wn_tensor *x = input(f, SHAPE(batch, 8, h, w)), *k = weights(f, SHAPE(4, 8, rows, columns)),
            *b = weights(f, SHAPE(1, 4, 1, 1));
  return wn_zip(WN_ADD, wn_conv(x, k, &WN_CONV_PARAMS(.stride = {stride, stride})), b);
}

static wn_tensor *pointwise(fixture *f) { return conv(f, 1, 5, 6, 1, 1, 1); }
static wn_tensor *of_a_batch(fixture *f) { return conv(f, 2, 5, 6, 1, 1, 1); }
static wn_tensor *of_long_rows(fixture *f) { return conv(f, 1, 5, 40, 1, 1, 1); }
static wn_tensor *strided(fixture *f) { return conv(f, 1, 6, 6, 1, 1, 2); }
static wn_tensor *patches(fixture *f) { return conv(f, 1, 6, 6, 2, 2, 2); }
static wn_tensor *whole_columns(fixture *f) { return conv(f, 1, 5, 6, 5, 1, 1); }
static wn_tensor *whole_images(fixture *f) { return conv(f, 2, 5, 6, 5, 6, 1); }

static wn_tensor *rectified(fixture *f) { return wn_map(WN_RELU, input(f, SHAPE(3, 5, 40))); }

static wn_tensor *turned(fixture *f) {
  return wn_map(WN_RELU, wn_permute(input(f, SHAPE(3, 5, 6)), (int[]){0, 2, 1}));
}

/* Two axes, of which one goes to the front together. */
static wn_tensor *channels_last(fixture *f) {
  return wn_map(WN_RELU, wn_permute(input(f, SHAPE(7, 5, 6)), (int[]){1, 2, 0}));
}

static wn_tensor *biased(fixture *f) {
  return wn_zip(WN_ADD, input(f, SHAPE(8, 5, 6)), weights(f, SHAPE(8, 1, 1)));
}

static wn_tensor *row_added(fixture *f) {
  return wn_zip(WN_ADD, input(f, SHAPE(8, 5, 6)), weights(f, SHAPE(6)));
}

static wn_tensor *cut_out(fixture *f) {
  wn_tensor *x = input(f, SHAPE(8, 5, 6));
  return wn_map(WN_RELU, wn_shrink(x, (int64_t[]){0, 0, 1}, (int64_t[]){8, 5, 5}));
}

static wn_tensor *padded_columns(fixture *f) {
  wn_tensor *x = wn_pad(input(f, SHAPE(8, 5, 6)), (int64_t[]){0, 0, 1}, (int64_t[]){0, 0, 1});
  return wn_map(WN_EXP, x);
}

static wn_tensor *padded_rows(fixture *f) {
  wn_tensor *x = wn_pad(input(f, SHAPE(8, 5, 6)), (int64_t[]){0, 1, 0}, (int64_t[]){0, 1, 0});
  return wn_map(WN_EXP, x);
}

static wn_tensor *flattened(fixture *f) {
  wn_tensor *x = wn_reshape(input(f, SHAPE(3, 2, 4, 5)), SHAPE(3, 40));
  return wn_matmul(x, weights(f, SHAPE(40, 7)));
}

static wn_tensor *sum_of(fixture *f, int a, int b) {
  return wn_reduce(WN_SUM, input(f, SHAPE(3, 4, 5)), (int[]){a, b}, 2, 0);
}
static wn_tensor *sum_of_rows(fixture *f) { return sum_of(f, 1, 2); }
static wn_tensor *sum_of_first(fixture *f) { return sum_of(f, 0, 1); }
static wn_tensor *sum_apart(fixture *f) { return sum_of(f, 0, 2); }

static wn_tensor *looked_up(fixture *f) {
  wn_tensor *at = wn_input(f->ctx, WN_I64, 1, (int64_t[]){4}, f->places);
  return wn_gather(input(f, SHAPE(3, 5, 6)), at, 0);
}

static wn_tensor *integers(fixture *f) {
  wn_tensor *x = wn_input(f->ctx, WN_I64, 2, (int64_t[]){5, 6}, f->places);
  return wn_zip(WN_MUL, x, x);
}

/* --- which loops there are -------------------------------------------------------------------- */

static size_t put_loops(char *text, size_t n, const uop *binder) {
  for (int i = 1; i < binder->nsrc; ++i)
    n += (size_t)snprintf(text + n, TEXT - n, "%s%lld", i > 1 ? "x" : "",
                          (long long)binder->src[i]->arg.j);
  return n;
}

/* "4x30/8": extents of what is stored, then of each sum. */
static void loops_text(wn_context *ctx, const uop *value, char *text) {
  uop_order own = uop_walk_value(&ctx->graph.arena, value->src[0]);
  size_t n = put_loops(text, 0, value);
  for (size_t i = 0; i < own.len; ++i) {
    if (own.at[i]->op != OP_REDUCE) continue;
    text[n++] = '/';
    n = put_loops(text, n, own.at[i]);
  }
}

static const struct {
  const char *name;
  wn_tensor *(*graph)(fixture *f);
  const char *loops;
} table[] = {
    {"pixels of a 1x1 convolution", pointwise, "4x30/8"},
    {"pixels of each image", of_a_batch, "2x4x30/8"},
    {"rows of a product that are long enough", of_long_rows, "4x5x40/8"},
    {"every other pixel", strided, "4x3x3/8"},
    {"patches", patches, "4x3x3/8x2x2"},
    {"a filter of the whole height", whole_columns, "4x6/40"},
    {"a filter of the whole image", whole_images, "2x4/240"},
    {"a map", rectified, "600"},
    {"a map of rows and columns changed", turned, "3x6x5"},
    {"a map to channels last", channels_last, "30x7"},
    {"a bias of each channel", biased, "8x30"},
    {"a row added to all", row_added, "40x6"},
    {"columns cut off", cut_out, "40x4"},
    {"padded columns", padded_columns, "40x8"},
    {"padded rows", padded_rows, "8x7x6"},
    {"axes flattened for a product", flattened, "3x7/40"},
    {"a sum of neighbours", sum_of_rows, "3/20"},
    {"a sum of the first axes", sum_of_first, "5/12"},
    {"a sum of axes apart", sum_apart, "4/3x5"},
    {"rows looked up", looked_up, "4x5x6"},
    {"integers of 64 bits", integers, "5x6"},
};

/* Both forms, in float64 by another evaluator: terms in the same order have the same sum. */
static void same_elements(fixture *f, const char *name, const lowered *l, const stored_value *v) {
  static double before[MOST], after[MOST];
  const uop *b = l->root;
  while (b->op == OP_SINK) b = b->src[0];
  for (int form = 0; form < 2; ++form) {
    eval e;
    eval_init(&e);
    for (size_t i = 0; form == 0 && i < f->ctx->buffers.len; ++i)
      eval_buffer(&e, (int64_t)i, f->ctx->buffers.data[i].data);
    for (int i = 0; form == 1 && i < v->narrays; ++i)
      eval_buffer(&e, i, f->ctx->buffers.data[v->array[i]].data);
    assert_int_equal(eval_tensor(&e, form == 0 ? b : v->canonical, form == 0 ? before : after),
                     v->len);
    eval_release(&e);
  }
  int other = 0;
  for (int64_t i = 0; i < v->len; ++i) {
    if (memcmp(&before[i], &after[i], sizeof(double)) != 0)
      fail_msg("%s: element %lld is %.17g, and was %.17g", name, (long long)i, after[i], before[i]);
    other += after[i] != after[0];
  }
  assert_true(other > 0);
}

static void which_join(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < sizeof table / sizeof *table; ++i) {
    char text[TEXT];
    wn_tensor *t = table[i].graph(f);
    lowered l = lower_all(f->ctx, 1, &t);
    assert_int_equal(l.sites.nvalues, 1);
    const stored_value *v = &l.sites.value[0];
    loops_text(f->ctx, v->canonical, text);
    if (strcmp(text, table[i].loops) != 0)
      fail_msg("%s: the loops are %s, not %s", table[i].name, text, table[i].loops);
    same_elements(f, table[i].name, &l, v);
  }
}

/* --- equal layers ----------------------------------------------------------------------------- */

/* n layers of 1x1 filters over images of h x w. */
static wn_tensor *layers(fixture *f, int n, int64_t h, int64_t w) {
  wn_tensor *t = input(f, SHAPE(1, 8, h, w));
  for (int i = 0; i < n; ++i) t = wn_map(WN_RELU, wn_conv(t, weights(f, SHAPE(8, 8, 1, 1)), NULL));
  return t;
}

static void equal_layers_share(void **state) {
  fixture *f = *state;
  wn_tensor *outs[] = {layers(f, 3, 5, 6), layers(f, 2, 5, 6), layers(f, 1, 4, 6)};
  lowered l = lower_all(f->ctx, 3, outs);
  assert_int_equal(l.sites.nvalues, 6);
  const stored_value *first = &l.sites.value[0];
  for (int i = 0; i < 6; ++i) {
    char text[TEXT];
    const stored_value *v = &l.sites.value[i];
    loops_text(f->ctx, v->canonical, text);
    const bool other = v->len != first->len;
    assert_string_equal(text, other ? "8x24/8" : "8x30/8");
    assert_int_equal(v->alike, other ? i : 0);
    assert_true((v->canonical == first->canonical) == !other);
    assert_int_equal(l.sites.at[v->first].kind, SITE_PRODUCT);
  }
}

/* What is a convolution keeps its loops, and is found again in equal ones. */
static void convolutions_keep_theirs(void **state) {
  fixture *f = *state;
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  wn_tensor *t = input(f, SHAPE(1, 8, 5, 6));
  for (int i = 0; i < 2; ++i) t = wn_map(WN_RELU, wn_conv(t, weights(f, SHAPE(8, 8, 3, 3)), &same));
  lowered l = lower_all(f->ctx, 1, &t);
  assert_int_equal(l.sites.nvalues, 2);
  for (int i = 0; i < 2; ++i) {
    char text[TEXT];
    loops_text(f->ctx, l.sites.value[i].canonical, text);
    assert_string_equal(text, "8x5x6/8x3x3");
    assert_int_equal(l.sites.value[i].nconvs, 1);
    assert_int_equal(l.sites.value[i].alike, 0);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(which_join),
      TEST(equal_layers_share),
      TEST(convolutions_keep_theirs),
  };
  return cmocka_run_group_tests_name("fuse", tests, NULL, NULL);
}
