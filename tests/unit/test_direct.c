/* Direct convolution with output channels in the lanes: weights are packed once, what is stored is
 * contiguous, tiles inside the image run without guards, taps in the padding of a tiny image are
 * not computed; and results are those of the seven loops whatever the tile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "plan/direct.h"
#include "program/program.h"

#define PADDED {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}

static const conv_case wide = {
    .nd = 2, .n = 1, .c = 12, .k = 32, .in = {9, 60}, .r = {3, 3}, .groups = 1, .p = PADDED};
static const conv_case tiny = {
    .nd = 2, .n = 1, .c = 24, .k = 32, .in = {2, 2}, .r = {3, 3}, .groups = 1, .p = PADDED};

typedef struct compiled {
  conv_case c;
  wn_context *ctx;
  wn_program *p;
} compiled;

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

static compiled compile(conv_case c, const char *plan, const char *backend) {
  compiled r = {.c = c};
  assert_true(case_finish(&r.c));
  assert_true(case_fill(&r.c));
  case_describe(&r.c);
  assert_int_equal(wn_context_create(&r.ctx), WN_OK);
  wn_on_warning(r.ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(&r.c, r.ctx);
  void *data = r.c.y;
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = backend, .threads = 1);
  if (wn_compile(r.ctx, &y, &data, 1, &o, &r.p) != WN_OK)
    fail_msg("%s %s: %s", r.c.text, plan, wn_message(r.ctx));
  return r;
}

static void release(compiled *r) {
  wn_program_destroy(r->p);
  wn_context_destroy(r->ctx);
  case_free(&r->c);
}

/* The kernel that writes the result, which runs last. */
static const lin_kernel *last_kernel(const compiled *r) {
  return &r->p->compiled->kernels[r->p->compiled->set->kernels.len - 1]->lin;
}

static void test_packed_weights(void **state) {
  (void)state;
  compiled r = compile(wide, "direct", "interp");
  assert_int_equal(r.p->compiled->set->kernels.len, 2);
  assert_true(r.p->compiled->set->kernels.data[0].prepare);
  assert_false(r.p->compiled->set->kernels.data[1].prepare);
  const lin_kernel *k = last_kernel(&r);
  int vectors = 0;
  for (size_t i = 0; i < k->ins.len; ++i) {
    const lin_ins *ins = &k->ins.data[i];
    if (ins->op != OP_LOAD || ins->lanes == 1) continue;
    vectors++;
    assert_int_equal(ins->j, 1);
    assert_true(k->arrays.data[ins->i].aligned); /* winnow's own array, not the caller's weights */
  }
  assert_true(vectors > 0);
  release(&r);
}

/* The array has pixels next to each other, the registers have channels: no store goes lane by lane
 * where the tile is whole. */
static void test_contiguous_stores(void **state) {
  (void)state;
  compiled r = compile(wide, "direct", "interp");
  const lin_kernel *k = last_kernel(&r);
  int64_t elements = 0;
  for (size_t i = 0; i < k->ins.len; ++i) {
    const lin_ins *ins = &k->ins.data[i];
    if (ins->op != OP_STORE) continue;
    int lanes = k->ins.data[ins->src[1]].lanes;
    assert_true(lanes > 1 && ins->j == 1);
    elements += lanes;
  }
  assert_true(elements > 0);
  release(&r);
}

/* Of the two loops over the channels one reads the image without asking. */
static void test_inside(void **state) {
  (void)state;
  compiled r = compile(wide, "direct", "interp");
  const lin_kernel *k = last_kernel(&r);
  int guarded[2] = {0}, free_[2] = {0}, branches = 0, open = -1, depth = 0;
  for (size_t i = 0; i < k->ins.len; ++i) {
    const lin_ins *ins = &k->ins.data[i];
    if (ins->op == OP_IF && depth++ == 0) open = branches < 2 ? branches++ : -1;
    if (ins->op == OP_LOOP && depth > 0) depth++;
    if (ins->op == OP_END && depth > 0) depth--;
    if (depth == 0) open = -1;
    if (ins->op != OP_LOAD || open < 0) continue;
    if (ins->nsrc == 2)
      guarded[open]++;
    else
      free_[open]++;
  }
  assert_int_equal(branches, 2);
  assert_true(free_[0] > 0);
  assert_int_equal(guarded[0], 0);
  assert_true(guarded[1] > 0);
  release(&r);
}

/* A pixel of a 2x2 image has 4 of its 9 taps inside. */
static void test_taps_in_padding(void **state) {
  (void)state;
  compiled r = compile(tiny, "direct", "interp");
  double products = 0;
  const lin_kernel *k = last_kernel(&r);
  products = k->flops / 2;
  assert_true(products == 16.0 * 24 * 32);
  release(&r);
}

/* Every size of the register tile, by name. */
static void test_tiles(void **state) {
  (void)state;
  static const char *const plans[] = {
      "direct",          "direct;t=1,k=4", "direct;t=3,k=8",  "direct;t=7,k=8",  "direct;t=8,k=8",
      "direct;t=5,k=16", "direct;t=6,k=4", "direct;t=4,k=12", "direct;t=12,k=4", "direct;t=2,k=32",
  };
  static const conv_case cases[] = {
      {.nd = 2, .n = 2, .c = 5, .k = 20, .in = {7, 29}, .r = {3, 3}, .groups = 1, .p = PADDED},
      {.nd = 2, .n = 1, .c = 12, .k = 14, .in = {6, 13}, .r = {3, 2}, .groups = 2, .p = PADDED},
      {.nd = 2,
       .n = 1,
       .c = 3,
       .k = 9,
       .in = {11, 22},
       .r = {5, 3},
       .groups = 1,
       .p = {.stride = {2, 2}, .dilation = {1, 1}, .pad_lo = {2, 1}, .pad_hi = {1, 1}}},
      {.nd = 1,
       .n = 3,
       .c = 40,
       .k = 33,
       .in = {50},
       .r = {1},
       .groups = 1,
       .p = {.stride = {1}, .dilation = {1}}},
      {.nd = 2, .n = 1, .c = 9, .k = 17, .in = {3, 3}, .r = {3, 3}, .groups = 1, .p = PADDED},
  };
  for (size_t c = 0; c < sizeof cases / sizeof *cases; ++c) {
    for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i) {
      for (int b = 0; b < 2; ++b) {
        compiled r = compile(cases[c], plans[i], b ? "cpu" : "interp");
        memset(r.c.y, 0xff, sizeof *r.c.y * (size_t)r.c.y_count);
        assert_int_equal(wn_run(r.p), WN_OK);
        double error = relative_l2(r.c.y, r.c.expected, r.c.y_count);
        if (!(error <= 1.2e-6)) fail_msg("%s %s: error %g", r.c.text, plans[i], error);
        release(&r);
      }
    }
  }
}

/* A filter for each channel, channels innermost: weights are read from a copy in which they are too, prepared or, where
 * they may change, made in each run. Maps from that order to the other read and write neighbours. */
static void test_channels_last(void **state) {
  (void)state;
  static float x[24 * 24 * 40], w[40 * 9], y[2][24 * 24 * 40];
  static const int to_first[] = {0, 3, 1, 2}, to_last[] = {0, 2, 3, 1};
  for (int fixed = 0; fixed < 2; ++fixed) {
    wn_context *ctx;
    wn_program *p;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_tensor *in = wn_permute(wn_input(ctx, WN_F32, 4, (int64_t[]){1, 24, 24, 40}, x), to_first);
    const int64_t shape[] = {40, 1, 3, 3};
    wn_tensor *f =
        fixed ? wn_constant(ctx, WN_F32, 4, shape, w) : wn_input(ctx, WN_F32, 4, shape, w);
    wn_tensor *out =
        wn_conv(in, f, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}, .groups = 40));
    wn_tensor *results[] = {wn_permute(out, to_last), wn_map(WN_RELU, in)};
    void *data[] = {y[0], y[1]};
    const wn_options o = WN_OPTIONS(.plan = "direct", .backend = "interp", .threads = 1);
    if (wn_compile(ctx, results, data, 2, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
    const kernel_set *set = p->compiled->set;
    assert_int_equal(set->kernels.len, 3);
    int prepared = 0;
    for (size_t i = 0; i < set->kernels.len; ++i) {
      const lin_kernel *k = &p->compiled->kernels[i]->lin;
      bool copies = false; /* gathers what others read */
      prepared += set->kernels.data[i].prepare;
      for (size_t n = 0; n < k->ins.len; ++n) {
        const lin_ins *ins = &k->ins.data[n];
        int lanes = ins->op == OP_STORE ? k->ins.data[ins->src[1]].lanes : ins->lanes;
        if ((ins->op == OP_LOAD || ins->op == OP_STORE) && lanes > 1) copies |= ins->j != 1;
      }
      assert_int_equal(copies, strstr(k->loops, "packed0") != NULL || set->kernels.data[i].prepare);
    }
    assert_int_equal(prepared, fixed);
    wn_program_destroy(p);
    wn_context_destroy(ctx);
  }
}

/* Channels in one block where the rest of an image's row would be read again from further away. */
static void test_one_pass(void **state) {
  (void)state;
  diag d;
  machine m;
  channel_sizes wide_rows;
  const schedule open = {.direct = true};
  diag_init(&d);
  machine_look_at(&m, &d, "avx2");
  direct_shape p = {
      .dtype = WN_F32, .K = 24, .X = 160, .Y = 120, .pixels = 19200, .others = 1, .taps = 96};
  p.stride = 1, p.k_last = p.packs = true, p.inside = 1;
  assert_true(direct_channels(&open, &m, &p, &wide_rows));
  assert_int_equal(wide_rows.vectors * wide_rows.lanes, 24);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_packed_weights), cmocka_unit_test(test_contiguous_stores),
      cmocka_unit_test(test_inside),         cmocka_unit_test(test_taps_in_padding),
      cmocka_unit_test(test_tiles),          cmocka_unit_test(test_channels_last),
      cmocka_unit_test(test_one_pass),
  };
  return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
