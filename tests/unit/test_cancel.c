/* Which constant weights cancel: filters made by hand, in whatever layout and however the product is written; never
 * random ones, of any shape. WINNOW_SEED=<seed> draws the same again; WINNOW_LONG=1 draws more. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "ir/walk.h"
#include "lower/lower.h"
#include "backend/element.h"
#include "tensor/tensor.h"
#include "winograd/cancel.h"

static bool is_known(void *user, int64_t slot) {
  const tensor_buffer *b = &((const wn_context *)user)->buffers.data[slot];
  return b->constant && b->data != NULL;
}

static double value_of(void *user, int64_t slot, int64_t index) {
  const tensor_buffer *b = &((const wn_context *)user)->buffers.data[slot];
  return element_read(b->dtype, b->data, index);
}

/* A letter for each convolution: d stays direct, w may be rewritten. */
static const char *letters(graph *g, const uop *root, const wino_weights *weights) {
  uop_order order = uop_toposort(&g->arena, 1, &root);
  str text;
  str_init(&text, &g->arena);
  for (size_t i = 0; i < order.len; ++i) {
    wino_match m;
    if (order.at[i]->op != OP_REDUCE || wino_recognise(g, order.at[i], &m) != NULL) continue;
    str_add(&text, wino_cancels(g, &m, weights) != NULL ? "d" : "w");
  }
  return str_text(&text);
}

static char *judge(wn_context *ctx, const wn_tensor *y) {
  graph *g = &ctx->graph;
  char *volatile text = NULL;
  volatile wn_status st;
  assert_non_null(y);
  DIAG_TRY(g->diag, st) {
    wino_weights w = {is_known, value_of, ctx};
    text = strdup(letters(g, simplify(g, lower_tensors(g, 1, &y->node, NULL)), &w));
  }
  DIAG_END(g->diag, st)
  assert_int_equal(st, WN_OK);
  return text;
}

typedef struct layer {
  int64_t groups, c, k, r; /* c, k: of a group */
} layer;

static wn_tensor *conv_of(wn_context *ctx, const layer *l, const float *w) {
  const int64_t xs[] = {1, l->groups * l->c, 16, 16}, ws[] = {l->groups * l->k, l->c, l->r, l->r};
  return wn_conv(wn_input(ctx, WN_F32, 4, xs, NULL), wn_constant(ctx, WN_F32, 4, ws, w),
                 &WN_CONV_PARAMS(.pad_lo = {l->r / 2, l->r / 2}, .pad_hi = {l->r / 2, l->r / 2},
                                 .groups = l->groups));
}

static int64_t count_of(const layer *l) { return l->groups * l->c * l->k * l->r * l->r; }

static bool cancels(const layer *l, const float *w) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  char *text = judge(ctx, conv_of(ctx, l, w));
  bool yes = strcmp(text, "d") == 0;
  if (!yes && strcmp(text, "w") != 0 && text[0] != '\0') fail_msg("one convolution is %s", text);
  free(text);
  wn_context_destroy(ctx);
  return yes;
}

static double normal(uint64_t *s) {
  double u = ((double)(next_random(s) >> 11) + 1) * 0x1p-53;
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * (double)(next_random(s) >> 11) * 0x1p-53);
}

/* One layer in a million is allowed to be taken for a derivative; 1x1 has nothing to cancel. */
static void random_weights_do_not(void **state) {
  (void)state;
  static const int64_t few[] = {1, 1, 1, 2, 3, 4, 8}, many[] = {16, 64, 256, 512, 2048};
  uint64_t seed = test_seed(), s = seed;
  int n = getenv("WINNOW_LONG") != NULL ? 200000 : 1500;
  for (int i = 0; i < n; ++i) {
    layer l = {1, few[below(&s, 7)], few[below(&s, 7)], between(&s, 1, 7)};
    if (i % 100 == 0) l.c = many[below(&s, 5)], l.k = many[below(&s, l.c > 512 ? 2 : 4)];
    if (i % 10 == 1) l = (layer){few[below(&s, 7)] * 4, 1, 1, between(&s, 2, 7)}; /* depthwise */
    float *w = malloc(sizeof *w * (size_t)count_of(&l));
    assert_non_null(w);
    bool uniform = chance(&s, 50), scaled = chance(&s, 50);
    for (int64_t j = 0, taps = l.r * l.r; j < count_of(&l); ++j) {
      double v = uniform ? (double)random_value(&s) : normal(&s);
      w[j] =
          (float)(scaled ? ldexp(v, (int)(j / taps % 13 - 6)) : v); /* filters of unequal sizes */
    }
    if (cancels(&l, w))
      fail_msg("%" PRId64 " groups of %" PRId64 " -> %" PRId64 ", %" PRId64 " taps", l.groups, l.c,
               l.k, l.r);
    free(w);
  }
}

/* Zero in sum along each filter, with what rounding leaves. */
static void fill_by_hand(const layer *l, float *w, uint64_t *s) {
  int64_t taps = l->r * l->r;
  for (int64_t j = 0; j < count_of(l); j += taps) {
    double sum = 0, value[64], factor = 0.1 + 3 * (double)(next_random(s) >> 11) * 0x1p-53;
    for (int64_t i = 0; i < taps; ++i) {
      double y = (double)(i / l->r) - (double)(l->r / 2),
             x = (double)(i % l->r) - (double)(l->r / 2);
      value[i] = exp(-(y * y + x * x) / 3);
      sum += value[i];
    }
    for (int64_t i = 0; i < taps; ++i) {
      double centre = i == taps / 2 ? sum : 0; /* the image less its blur */
      w[j + i] = (float)(factor * (centre - value[i]));
    }
  }
}

static void by_hand_does(void **state) {
  (void)state;
  static const layer list[] = {{1, 1, 1, 3},   {1, 1, 1, 7}, {1, 3, 1, 5}, {1, 16, 16, 3},
                               {1, 64, 64, 3}, {7, 1, 1, 3}, {1, 1, 2, 3}, {4, 2, 3, 5}};
  uint64_t s = test_seed();
  for (size_t i = 0; i < sizeof list / sizeof *list; ++i) {
    float *w = malloc(sizeof *w * (size_t)count_of(&list[i]));
    assert_non_null(w);
    fill_by_hand(&list[i], w, &s);
    if (!cancels(&list[i], w)) fail_msg("layer %zu does not", i);
    /* half of the channels blur: what they give is not small */
    if (list[i].k > 1) {
      for (int64_t j = 0; j < count_of(&list[i]) / 2; ++j) w[j] = fabsf(w[j]);
      assert_false(cancels(&list[i], w));
    }
    free(w);
  }
}

/* Layout, factors, flips, halves of precision: the values count, not how they are written. */
static void however_it_is_written(void **state) {
  (void)state;
  enum { N = 4 * 3 * 9 };
  static const float lap[9] = {0, 1, 0, 1, -4, 1, 0, 1, 0};
  const int64_t xs[] = {1, 3, 16, 16}, last[] = {3, 3, 3, 4}, first[] = {4, 3, 3, 3},
                ks[] = {4, 1, 1, 1};
  float w[N], taps_first[N], scale[4] = {1, 2, 0.5f, 3};
  uint16_t bf16[N];
  for (int i = 0; i < N; ++i) {
    uint32_t bits;
    w[i] = lap[i % 9];
    taps_first[i] = lap[i / 12];
    memcpy(&bits, &w[i], sizeof bits);
    bf16[i] = (uint16_t)(bits >> 16);
  }
  for (int i = 0; i < 5; ++i) {
    wn_context *ctx;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_tensor *x = wn_input(ctx, WN_F32, 4, xs, NULL), *t = wn_constant(ctx, WN_F32, 4, first, w);
    if (i == 1)
      t = wn_permute(wn_constant(ctx, WN_F32, 4, last, taps_first), (const int[]){3, 2, 0, 1});
    if (i == 2) t = wn_flip(t, (const int[]){2, 3}, 2);
    if (i == 3) t = wn_zip(WN_MUL, t, wn_constant(ctx, WN_F32, 4, ks, scale));
    if (i == 4) t = wn_cast(wn_constant(ctx, WN_BF16, 4, first, bf16), WN_F32);
    char *text = judge(ctx, wn_conv(x, t, NULL));
    if (strcmp(text, "d") != 0) fail_msg("case %d: %s", i, text);
    free(text);
    wn_context_destroy(ctx);
  }
}

/* Inputs, and constants without data, are not known; each convolution of a graph is judged by itself. */
static void what_is_not_known(void **state) {
  (void)state;
  static float lap[16 * 9], plain[16 * 9];
  const int64_t xs[] = {1, 4, 16, 16}, ws[] = {4, 4, 3, 3};
  uint64_t s = 7;
  for (int i = 0; i < 16 * 9; ++i) lap[i] = i % 9 == 4 ? 8 : -1, plain[i] = random_value(&s);
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *x = wn_input(ctx, WN_F32, 4, xs, NULL);
  wn_tensor *t = wn_conv(x, wn_input(ctx, WN_F32, 4, ws, lap), NULL);
  t = wn_conv(t, wn_constant(ctx, WN_F32, 4, ws, NULL), NULL);
  t = wn_conv(t, wn_constant(ctx, WN_F32, 4, ws, lap), NULL);
  t = wn_conv(t, wn_constant(ctx, WN_F32, 4, ws, plain), NULL);
  char *text = judge(ctx, t);
  assert_string_equal(text, "wwdw");
  free(text);
  wn_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_weights_do_not),
      cmocka_unit_test(by_hand_does),
      cmocka_unit_test(however_it_is_written),
      cmocka_unit_test(what_is_not_known),
  };
  return cmocka_run_group_tests_name("weights that cancel", tests, NULL, NULL);
}
