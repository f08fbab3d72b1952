/* The cost model: what it says of sizes, machines and schedules, and the schedules that it lists. Machines are made up,
 * so that a choice does not depend on where the test runs; geometry is compared with what the rewrite makes, and
 * candidates are compiled and run in the interpreter beside `direct`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lower/lower.h"
#include "rewrite/rewrite.h"
#include "plan/choose.h"
#include "tensor/tensor.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

enum { MANY = 400, SMALL = 8 * 12 * 12 };

/* --- machines --------------------------------------------------------------------------------- */

static machine_limits wide(void) { /* a core with 512-bit vectors at 3.7 GHz */
  machine_limits l = {.measured = true,
                      .flops = {59e9, 118e9, 118e9},
                      .flops_all = 236e9,
                      .size = {32 << 10, 1 << 20, 32 << 20},
                      .read = {210e9, 110e9, 66e9, 20e9},
                      .read_all = {420e9, 220e9, 120e9, 28e9},
                      .write = 20e9,
                      .write_all = 25e9,
                      .wake = 5e-6,
                      .threads = 2};
  return l;
}

/* Of a CPU that is good until a few more were asked for. */
static cost_target on(const machine_limits *l, int vector_bytes, int threads) {
  static machine cpus[8];
  static size_t next;
  machine *m = &cpus[next++ % LEN(cpus)];
  *m = (machine){
      .vector_bytes = vector_bytes, .registers = vector_bytes == 64 ? 32 : 16, .limits = l};
  return (cost_target){.machine = m, .threads = threads};
}

/* --- convolutions ----------------------------------------------------------------------------- */

typedef struct conv {
  int64_t n, c, h, w, k, r, stride, dilation, groups;
} conv;

typedef struct subject {
  wn_context *ctx;
  const uop *root;
  wino_survey survey;
} subject;

static wn_tensor *convolve(wn_context *ctx, conv v, const float *x, const float *w) {
  int64_t image[] = {v.n, v.c, v.h, v.w}, groups = v.groups ? v.groups : 1;
  int64_t filter[] = {v.k, v.c / groups, v.r, v.r}, pad = v.r / 2 * (v.dilation ? v.dilation : 1);
  wn_conv_params p =
      WN_CONV_PARAMS(.stride = {v.stride, v.stride}, .dilation = {v.dilation, v.dilation},
                     .pad_lo = {pad, pad}, .pad_hi = {pad, pad}, .groups = groups);
  return wn_conv(wn_input(ctx, WN_F32, 4, image, x), wn_constant(ctx, WN_F32, 4, filter, w), &p);
}

static subject look_at(conv v, wn_math math) {
  subject s;
  assert_int_equal(wn_context_create(&s.ctx), WN_OK);
  wn_tensor *y = convolve(s.ctx, v, NULL, NULL);
  assert_non_null(y);
  graph *g = &s.ctx->graph;
  s.root = simplify(g, lower_tensors(g, 1, &y->node, NULL));
  s.survey = wino_survey_graph(g, s.root, &(wino_options){.math = math});
  return s;
}

static schedule parsed(subject *s, const char *text) {
  schedule out;
  assert_true(schedule_parse(&s->ctx->diag, text, &out));
  return out;
}

static const char *printed(subject *s, const schedule *plan) {
  str out;
  str_init(&out, &s->ctx->graph.arena);
  schedule_print(&out, plan);
  return str_text(&out);
}

static double cost(conv v, const char *text, const cost_target *t) {
  subject s = look_at(v, WN_MATH_FP32);
  schedule plan = parsed(&s, text);
  double seconds = schedule_cost(&s.survey, &plan, t);
  wn_context_destroy(s.ctx);
  return seconds;
}

static schedule pick(conv v, wn_math math, const cost_target *t) {
  subject s = look_at(v, math);
  candidate best;
  assert_int_equal(schedule_candidates(&s.survey, t, &best, 1), 1);
  wn_context_destroy(s.ctx);
  return best.schedule;
}

/* --- the survey ------------------------------------------------------------------------------- */

static void assert_same_site(const wino_site *a, const wino_site *b) {
  assert_int_equal(a->ndim, b->ndim);
  assert_int_equal(a->T, b->T);
  assert_int_equal(a->K, b->K);
  assert_int_equal(a->G, b->G);
  assert_int_equal(a->C, b->C);
  for (int i = 0; i < a->ndim; i++) {
    assert_int_equal(a->m[i], b->m[i]);
    assert_int_equal(a->r[i], b->r[i]);
    assert_int_equal(a->n[i], b->n[i]);
  }
  assert_true(fabs(a->error - b->error) <= 1e-12);
}

static void test_tiles_are_those_of_the_rewrite(void **state) {
  static const conv convs[] = {
      {1, 16, 20, 24, 16, 3, 1, 1, 1}, {2, 8, 17, 9, 12, 5, 1, 1, 1},
      {1, 8, 16, 16, 8, 3, 2, 1, 1},   {1, 8, 18, 18, 8, 3, 1, 2, 1},
      {1, 12, 14, 14, 8, 3, 1, 1, 4},  {1, 8, 30, 3, 8, 7, 1, 1, 1},
  };
  (void)state;
  for (size_t i = 0; i < LEN(convs); i++) {
    subject s = look_at(convs[i], WN_MATH_FP32);
    assert_int_equal(s.survey.nconvs, 1);
    const wino_conv *c = &s.survey.conv[0];
    assert_true(c->ntiles > 1);
    for (int j = 0; j < c->ntiles; j++) {
      const wino_site *site = &c->tile[j].site;
      wino_options o = {.nm = site->nwindow};
      memcpy(o.m, site->window_m, sizeof site->window_m);
      wino_result r = wino_rewrite(&s.ctx->graph, s.root, &o);
      assert_int_equal(r.nsites, 1);
      assert_false(r.site[0].promise_missed);
      assert_same_site(site, &r.site[0]);
    }
    wn_context_destroy(s.ctx);
  }
}

static int largest_tile(conv v, wn_math math) {
  subject s = look_at(v, math);
  int most = 0;
  for (int i = 0; i < s.survey.conv[0].ntiles; i++) {
    const wino_site *site = &s.survey.conv[0].tile[i].site;
    if (site->m[0] == site->m[1] && site->m[0] > most) most = site->m[0];
  }
  wn_context_destroy(s.ctx);
  return most;
}

static void test_a_weaker_promise_admits_larger_tiles(void **state) {
  conv v = {1, 64, 56, 56, 64, 3, 1, 1, 1};
  (void)state;
  assert_int_equal(largest_tile(v, WN_MATH_FP32), 4);
  assert_int_equal(largest_tile(v, WN_MATH_FP32_FAST), 6);
}

/* --- costs ------------------------------------------------------------------------------------ */

#define FUSED "x=local,g=global,m=local,o=global"
#define OLD   "x=global,g=global,m=global,o=global"

static const char *const schedules[] = {
    "direct",
    OLD ";v=t;wino=4",
    OLD ";v=k;wino=4",
    OLD ";v=k;wino=2",
    FUSED ";t=32;v=t;wino=4",
    FUSED ";t=32;v=k;wino=4",
    FUSED ";t=16;v=k;wino=3",
    OLD ";v=t;wino=4;chunk=64",
    "x=inline,g=inline,m=reg,o=global;wino=4",
    "x=inline,g=global,m=global,o=global;wino=2",
    "x=global,g=inline,m=global,o=global;wino=4",
    "x=global,g=global,m=inline,o=global;wino=4",
    "x=local,g=local,m=local,o=local;wino=3",
};

static void test_more_work_costs_more(void **state) {
  static const conv base = {1, 24, 20, 20, 24, 3, 1, 1, 1};
  const size_t grows[] = {offsetof(conv, n), offsetof(conv, c), offsetof(conv, h),
                          offsetof(conv, w), offsetof(conv, k)};
  machine_limits l = wide();
  (void)state;
  for (int threads = 1; threads <= 2; threads++) {
    for (size_t i = 0; i < LEN(schedules) * 2; i++) {
      cost_target t = on(&l, i % 2 ? 64 : 32, threads);
      for (size_t j = 0; j < LEN(grows); j++) {
        conv v = base;
        double before = cost(v, schedules[i / 2], &t);
        assert_true(isfinite(before) && before > 0);
        for (int doubled = 0; doubled < 3; doubled++) {
          *(int64_t *)(void *)((char *)&v + grows[j]) *= 2;
          double after = cost(v, schedules[i / 2], &t);
          if (!(after > before))
            fail_msg("%s: %g then %g with field %zu doubled", schedules[i / 2], before, after, j);
          before = after;
        }
      }
    }
  }
}

static void test_a_faster_machine_costs_less(void **state) {
  conv v = {1, 64, 28, 28, 64, 3, 1, 1, 1};
  machine_limits slow = wide(), fast = wide();
  (void)state;
  for (int i = 0; i < LIMIT_WIDTHS; i++) fast.flops[i] *= 2;
  for (int i = 0; i < LEVEL_COUNT; i++) fast.read[i] *= 2, fast.read_all[i] *= 2;
  fast.write *= 2, fast.write_all *= 2;
  for (size_t i = 0; i < LEN(schedules); i++) {
    cost_target a = on(&slow, 64, 1), b = on(&fast, 64, 1);
    double times = cost(v, schedules[i], &a) / cost(v, schedules[i], &b);
    assert_true(times > 1.9 && times <= 2.0001);
  }
}

static void test_threads_share_the_work_and_not_the_waking(void **state) {
  machine_limits l = wide();
  conv large = {1, 128, 56, 56, 128, 3, 1, 1, 1}, tiny = {1, 8, 6, 6, 8, 3, 1, 1, 1};
  (void)state;
  for (size_t i = 0; i < LEN(schedules); i++) {
    cost_target one = on(&l, 64, 1), two = on(&l, 64, 2);
    assert_true(cost(large, schedules[i], &two) < cost(large, schedules[i], &one));
    assert_true(cost(large, schedules[i], &two) * 2.0001 > cost(large, schedules[i], &one));
  }
  l.wake = 1e-3;
  cost_target two = on(&l, 64, 2), one = on(&l, 64, 1);
  double alone = cost(tiny, OLD ";v=t;wino=2", &one); /* waking would take longer than all of it */
  assert_true(alone < 1e-4 && cost(tiny, OLD ";v=t;wino=2", &two) == alone);
}

static void test_a_tile_that_is_not_there_has_no_cost(void **state) {
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  (void)state;
  assert_true(isinf(cost((conv){1, 64, 28, 28, 64, 3, 1, 1, 1}, OLD ";wino=8", &t)));
}

static const char *const places[] = {"inline", "local", "global"};
enum { PLACES = 3, COMBINATIONS = PLACES * PLACES * PLACES * PLACES };

static void print_combination(char *text, size_t size, int i, const char *tile) {
  snprintf(text, size, "x=%s,g=%s,m=%s,o=%s;wino=%s", places[i / 27], places[i / 9 % 3],
           places[i / 3 % 3], places[i % 3], tile);
}

/* What apply refuses has no cost, and everything else has one. */
static void test_what_is_refused_has_no_cost(void **state) {
  static const conv convs[] = {{1, 4, 12, 12, 5, 3, 1, 1, 1}, {1, 4, 30, 34, 6, 3, 1, 1, 1}};
  static float w[6 * 4 * 9], y[6 * 30 * 34];
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  wn_options o = WN_OPTIONS(.backend = "interp", .isa = "avx512", .threads = 1, .no_cache = 1);
  (void)state;
  for (int i = 0; i < (int)LEN(convs) * COMBINATIONS; i++) {
    subject s = look_at(convs[i / COMBINATIONS], WN_MATH_FP32);
    char text[96];
    print_combination(text, sizeof text, i % COMBINATIONS, "2");
    schedule plan = parsed(&s, text);
    bool finite = isfinite(schedule_cost(&s.survey, &plan, &t));
    static float x[4 * 30 * 34];
    wn_tensor *tensor = convolve(s.ctx, convs[i / COMBINATIONS], x, w);
    void *out = y;
    wn_program *p;
    o.plan = text;
    wn_status st = wn_compile(s.ctx, &tensor, &out, 1, &o, &p);
    if (st == WN_OK) wn_program_destroy(p);
    if ((st == WN_OK) != finite || (st != WN_OK && st != WN_ERR_REFUSED))
      fail_msg("%s: %s, and its cost is %s", text, st == WN_OK ? "compiled" : wn_message(s.ctx),
               finite ? "finite" : "none");
    wn_context_destroy(s.ctx);
  }
}

/* Placements that are the same program cost the same: reg is inline, and o flows into the result either way. */
static void test_equal_programs_cost_the_same(void **state) {
  static const char *const same[][2] = {
      {"x=inline,g=reg,m=inline,o=inline;wino=4", "x=reg,g=inline,m=reg,o=global;wino=4"},
      {"x=global,g=reg,m=local,o=reg;wino=4", "x=global,g=inline,m=local,o=global;wino=4"}};
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  conv v = {1, 16, 24, 24, 16, 3, 1, 1, 1};
  (void)state;
  t.max_lines = 1 << 20;
  for (size_t i = 0; i < LEN(same); i++)
    assert_true(cost(v, same[i][0], &t) == cost(v, same[i][1], &t));
}

/* A transform that is inlined is made again for whatever reads it. */
static void test_inlining_repeats_work(void **state) {
  static const char *const dearer[][2] = {
      {"x=global,g=global,m=inline,o=global;wino=4", "x=inline,g=global,m=inline,o=global;wino=4"},
      {"x=inline,g=global,m=inline,o=global;wino=4", "x=inline,g=inline,m=inline,o=global;wino=4"},
      {"x=global,g=global,m=global,o=global;wino=4", "x=global,g=inline,m=global,o=global;wino=4"},
      {"x=local,g=global,m=local,o=global;wino=4", "x=local,g=local,m=local,o=global;wino=4"},
      {"x=local,g=global,m=local,o=global;wino=4", "x=local,g=global,m=local,o=local;wino=4"}};
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  (void)state;
  for (size_t i = 0; i < LEN(dearer); i++) {
    conv v = {1, 64, 56, 56, 64, 3, 1, 1, 1};
    assert_true(cost(v, dearer[i][0], &t) < cost(v, dearer[i][1], &t));
  }
}

/* The interpreter is no way to run a kernel that is too long to be compiled. */
static void test_a_kernel_that_is_too_long_has_no_cost(void **state) {
  const char *text = "x=global,g=inline,m=local,o=global;wino=4"; /* 288 sums at a time */
  conv v = {1, 16, 32, 32, 16, 3, 1, 1, 1};
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  (void)state;
  assert_true(isinf(cost(v, text, &t)));
  t.max_lines = 10000;
  assert_true(isfinite(cost(v, text, &t)));
  t.max_lines = 50;
  assert_true(isinf(cost(v, OLD ";wino=2", &t)));
}

static void test_stages_add_up(void **state) {
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  subject s = look_at((conv){1, 32, 28, 28, 32, 3, 1, 1, 1}, WN_MATH_FP32);
  (void)state;
  for (size_t i = 0; i < LEN(schedules); i++) {
    schedule plan = parsed(&s, schedules[i]);
    double share[1][STAGE_COUNT], sum = 0;
    double whole = schedule_cost_by_stage(&s.survey, &plan, &t, share);
    for (int j = 0; j < STAGE_COUNT; j++) {
      bool own = !plan.direct && j != STAGE_G && j != STAGE_O && /* constant weights are prepared */
                 plan.stage[j].space == SPACE_GLOBAL;
      assert_true((share[0][j] > 0) == (own || j == STAGE_O));
      sum += share[0][j];
    }
    assert_true(fabs(sum - whole) <= 1e-9 * whole);
    assert_true(whole == schedule_cost(&s.survey, &plan, &t));
  }
  wn_context_destroy(s.ctx);
}

/* --- choices ---------------------------------------------------------------------------------- */

static void test_direct_where_nothing_is_gained(void **state) {
  static const conv convs[] = {
      {1, 1, 28, 28, 8, 3, 1, 1, 1},    /* one channel in */
      {1, 64, 56, 56, 64, 3, 1, 1, 64}, /* one channel a group */
      {1, 64, 1, 1, 64, 3, 1, 1, 1},    /* an image of one pixel */
      {1, 32, 80, 80, 1, 3, 1, 1, 1},   /* one channel out */
      {1, 64, 56, 56, 256, 1, 1, 1, 1}, /* no filter */
  };
  machine_limits l = wide();
  (void)state;
  for (size_t i = 0; i < LEN(convs) * 2; i++) {
    cost_target t = on(&l, i % 2 ? 64 : 32, 1);
    if (!pick(convs[i / 2], WN_MATH_FP32, &t).direct) fail_msg("case %zu is rewritten", i);
  }
}

static void test_winograd_for_many_channels(void **state) {
  machine_limits l = wide();
  (void)state;
  for (int64_t c = 64, h = 56; c <= 512; c *= 2, h /= 2) {
    for (int i = 0; i < 4; i++) {
      cost_target t = on(&l, i % 2 ? 64 : 32, 1 + i / 2);
      schedule s = pick((conv){1, c, h, h, c, 3, 1, 1, 1}, WN_MATH_FP32, &t);
      assert_false(s.direct);
      assert_true(s.nm == 2 && s.m[0] >= 2 && s.m[1] >= 2);
    }
  }
}

static void test_slow_memory_makes_tiles_small(void **state) {
  conv v = {1, 512, 7, 7, 512, 3, 1, 1, 1}; /* weights: 38 MB at m = 4, 17 at m = 2 */
  machine_limits l = wide();
  (void)state;
  l.read[LEVEL_MEMORY] = l.read_all[LEVEL_MEMORY] = 1e15;
  l.read[LEVEL_L3] = l.read_all[LEVEL_L3] = 1e15;
  cost_target t = on(&l, 64, 1);
  schedule fast = pick(v, WN_MATH_FP32, &t);
  l.read[LEVEL_MEMORY] = l.read_all[LEVEL_MEMORY] = 5e9;
  schedule slow = pick(v, WN_MATH_FP32, &t);
  assert_false(fast.direct);
  int products = slow.direct ? 9 : (slow.m[0] + 2) * (slow.m[1] + 2);
  assert_true(products < (fast.m[0] + 2) * (fast.m[1] + 2));
}

/* Weights of a network come from memory, and faster from end to end than a part at a time. */
static void test_cold_weights_are_read_from_end_to_end(void **state) {
  conv v = {1, 128, 8, 8, 128, 3, 1, 1, 1};
  static const char parts[] = "x=local,g=global,m=local,o=global;t=8,k=32.16;v=k;wino=2x4";
  static const char whole[] = "x=local,g=global,m=local,o=global;t=8,k=128.16;v=k;wino=2x4";
  machine_limits l = wide();
  (void)state;
  cost_target t = on(&l, 32, 1);
  double warm = cost(v, parts, &t) - cost(v, whole, &t);
  t.passing = 1e9;
  double cold = cost(v, parts, &t) - cost(v, whole, &t);
  const double streams = 24 * 4; /* by frequency and part */
  assert_true(cold - warm > 0.9 * streams * 0.35e-6);
  t.passing = (double)(128 * 128 * 9 * sizeof(float)); /* its own */
  assert_true(fabs(cost(v, parts, &t) - cost(v, whole, &t) - warm) < 1e-12);
}

static bool uses_workspace(const schedule *s) {
  return !s->direct &&
         (s->stage[STAGE_X].space == SPACE_GLOBAL || s->stage[STAGE_M].space == SPACE_GLOBAL);
}

/* 36 values of 64 channels for 16 tiles before and after the products: 295 KB; for blocks of 4 a quarter. */
static void test_a_limit_of_memory_leaves_what_fits(void **state) {
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  subject s = look_at((conv){1, 64, 14, 14, 64, 3, 1, 1, 1}, WN_MATH_FP32);
  candidate list[MANY];
  size_t counted[3];
  const size_t limits[] = {1, 128 << 10, 0};
  (void)state;
  for (size_t i = 0; i < LEN(limits); i++) {
    t.max_memory = limits[i];
    size_t n = schedule_candidates(&s.survey, &t, list, MANY), with = 0;
    for (size_t j = 0; j < n; j++) with += uses_workspace(&list[j].schedule);
    assert_true(i == 2 ? with > 0 : with == 0);
    counted[i] = n;
  }
  assert_int_equal(counted[0], 1);
  assert_true(counted[1] > 1 && counted[2] > counted[1]);
  wn_context_destroy(s.ctx);
}

static void test_waking_threads_is_done_seldom(void **state) {
  machine_limits l = wide();
  l.wake = 1e-3;
  cost_target t = on(&l, 64, 2);
  schedule s = pick((conv){1, 64, 28, 28, 64, 3, 1, 1, 1}, WN_MATH_FP32, &t);
  (void)state;
  assert_false(uses_workspace(&s)); /* one kernel */
}

/* --- the list --------------------------------------------------------------------------------- */

static void test_candidates_are_in_order_and_differ(void **state) {
  static const conv convs[] = {{1, 64, 56, 56, 64, 3, 1, 1, 1},
                               {1, 16, 5, 5, 16, 3, 1, 1, 1},
                               {4, 24, 17, 33, 40, 5, 1, 1, 1},
                               {1, 3, 20, 20, 2, 3, 1, 1, 1}};
  machine_limits l = wide();
  cost_target t = on(&l, 64, 2);
  (void)state;
  for (size_t c = 0; c < LEN(convs); c++) {
    subject s = look_at(convs[c], WN_MATH_FP32);
    candidate all[MANY], few[3];
    size_t n = schedule_candidates(&s.survey, &t, all, MANY), directs = 0;
    assert_true(n > 3 && n < MANY);
    for (size_t i = 0; i < n; i++) {
      schedule again = parsed(&s, printed(&s, &all[i].schedule));
      assert_true(schedule_equal(&again, &all[i].schedule));
      assert_true(all[i].seconds == schedule_cost(&s.survey, &again, &t));
      assert_true(i == 0 || all[i - 1].seconds <= all[i].seconds);
      directs += all[i].schedule.direct;
      for (size_t j = 0; j < i; j++)
        assert_false(schedule_equal(&all[i].schedule, &all[j].schedule));
    }
    assert_int_equal(directs, 1);
    assert_int_equal(schedule_candidates(&s.survey, &t, few, LEN(few)), LEN(few));
    for (size_t i = 0; i < LEN(few); i++) assert_true(few[i].seconds == all[i].seconds);
    wn_context_destroy(s.ctx);
  }
}

static void test_several_convolutions_share_a_schedule(void **state) {
  wn_context *ctx;
  machine_limits l = wide();
  cost_target t = on(&l, 64, 1);
  candidate list[MANY];
  (void)state;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *x = convolve(ctx, (conv){1, 32, 24, 24, 32, 3, 1, 1, 1}, NULL, NULL);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){32, 32, 5, 5}, NULL);
  wn_tensor *y =
      wn_conv(wn_map(WN_RELU, x), w, &WN_CONV_PARAMS(.pad_lo = {2, 2}, .pad_hi = {2, 2}));
  graph *g = &ctx->graph;
  const uop *root = simplify(g, lower_tensors(g, 1, &y->node, NULL));
  wino_survey both = wino_survey_graph(g, root, &(wino_options){0});
  assert_int_equal(both.nconvs, 2);
  wino_survey one[2] = {{1, &both.conv[0]}, {1, &both.conv[1]}};
  size_t n = schedule_candidates(&both, &t, list, MANY);
  assert_true(n > 1);
  for (size_t i = 0; i < n; i++) {
    const schedule *s = &list[i].schedule;
    double sum = schedule_cost(&one[0], s, &t) + schedule_cost(&one[1], s, &t);
    assert_true(fabs(sum - list[i].seconds) <= 1e-9 * sum);
  }
  wn_context_destroy(ctx);
}

/* Everything that is listed can be had and computes what direct does. */
static void test_candidates_run(void **state) {
  static const conv convs[] = {{1, 8, 12, 12, 8, 3, 1, 1, 1}, {2, 4, 9, 11, 5, 3, 1, 1, 1}};
  static float x[2 * SMALL], w[8 * 8 * 9], y[2 * SMALL], expected[2 * SMALL];
  machine_limits l = wide();
  cost_target t = on(&l, 32, 1);
  (void)state;
  for (size_t i = 0; i < LEN(x); i++) x[i] = (float)(i * 7919 % 2003) / 1001.0f - 1;
  for (size_t i = 0; i < LEN(w); i++) w[i] = (float)(i * 104729 % 997) / 498.0f - 1;
  for (size_t c = 0; c < LEN(convs); c++) {
    subject s = look_at(convs[c], WN_MATH_FP32);
    candidate list[MANY];
    size_t n = schedule_candidates(&s.survey, &t, list, MANY), done = 0;
    for (size_t i = 0; i <= n; i += i < 2 ? 1 : 5) {
      const char *plan = i == 0 ? "direct" : printed(&s, &list[i - 1].schedule);
      wn_tensor *tensor = convolve(s.ctx, convs[c], x, w);
      void *out = y;
      wn_program *p;
      wn_options o = WN_OPTIONS(.plan = plan, .backend = "interp", .threads = 1, .no_cache = 1);
      if (wn_compile(s.ctx, &tensor, &out, 1, &o, &p) != WN_OK)
        fail_msg("%s: %s", plan, wn_message(s.ctx));
      assert_int_equal(wn_run(p), WN_OK);
      wn_program_destroy(p);
      int64_t count = convs[c].n * convs[c].k * convs[c].h * convs[c].w;
      if (i == 0) memcpy(expected, y, sizeof y);
      for (int64_t j = 0; j < count; j++) assert_true(fabsf(y[j] - expected[j]) < 1e-4f);
      done++;
    }
    assert_true(done > 4);
    wn_context_destroy(s.ctx);
  }
}

/* --- devices ---------------------------------------------------------------------------------- */

static const machine_limits *gpu_limits(double launch) {
  static machine_limits l;
  l = (machine_limits){.measured = true, .flops_all = 65e12, .wake = launch, .threads = 1};
  for (int i = 0; i < LEVEL_COUNT; ++i) l.read_all[i] = i == LEVEL_MEMORY ? 4e12 : 10e12;
  l.size[LEVEL_L3] = 32 << 20;
  return &l;
}

static cost_target gpu(double launch) {
  static machine m;
  m = (machine){.vector_bytes = 16,
                .registers = 16,
                .group = 256,
                .items = 132 << 11,
                .local_bytes = 48 << 10,
                .limits = gpu_limits(launch)};
  return (cost_target){.machine = &m, .threads = 1};
}

static const conv tiny = {1, 16, 32, 32, 16, 3, 1, 1, 1}, deep = {1, 256, 14, 14, 256, 3, 1, 1, 1};

static void test_devices_count_launches(void **state) {
  (void)state;
  static const char *const plans[] = {"x=inline,g=inline,m=reg,o=global;wino=4",
                                      "x=inline,g=inline,m=global,o=global;wino=4",
                                      "x=global,g=global,m=global,o=global;wino=4"};
  for (int kernels = 1; kernels <= 3; ++kernels) {
    cost_target free = gpu(0);
    double without = cost(tiny, plans[kernels - 1], &free);
    cost_target dear = gpu(1e-5);
    double more = cost(tiny, plans[kernels - 1], &dear) - without;
    assert_true(fabs(more - 1e-5 * kernels) < 1e-9);
  }
}

static void test_devices_refuse_what_is_not_there(void **state) {
  (void)state;
  cost_target t = gpu(5e-6);
  assert_true(isinf(cost(deep, "x=local,g=global,m=local,o=global;t=28;wino=4", &t)));
  machine roomy = *t.machine;
  roomy.local_bytes = 4 << 20;
  t.machine = &roomy;
  assert_true(isfinite(cost(deep, "x=local,g=global,m=local,o=global;t=28;wino=4", &t)));
}

/* Of matrices where there are whole ones, and as before where there are none: of 4 tiles, of channels that are no
 * multiple. */
static void test_devices_multiply_matrices(void **state) {
  (void)state;
  static const char *const plans[] = {"x=global,g=global,m=global,o=global;wino=4",
                                      "x=global,g=global,m=local,o=global;wino=4"};
  cost_target t = gpu(5e-6), with = t;
  machine multiplies = *t.machine;
  multiplies.matrix = 8;
  with.machine = &multiplies;
  conv few = {1, 64, 8, 8, 64, 3, 1, 1, 1}, odd = {1, 60, 28, 28, 60, 3, 1, 1, 1};
  for (size_t i = 0; i < LEN(plans); ++i) {
    assert_true(cost(deep, plans[i], &with) != cost(deep, plans[i], &t));
    assert_true(cost(few, plans[i], &with) == cost(few, plans[i], &t));
    assert_true(cost(odd, plans[i], &with) == cost(odd, plans[i], &t));
  }
  assert_true(cost(deep, plans[0], &with) < cost(deep, plans[0], &t)); /* nobody waits alone */
  static const char *const scalar[] = {"direct", "x=global,g=global,m=global,o=global;k=4;wino=4",
                                       "x=inline,g=inline,m=global,o=global;wino=4"};
  for (size_t i = 0; i < LEN(scalar); ++i)
    assert_true(cost(deep, scalar[i], &with) == cost(deep, scalar[i], &t));
}

static void test_devices_do_not_repeat_much_work(void **state) {
  (void)state;
  cost_target t = gpu(5e-6);
  double old = cost(deep, "x=global,g=global,m=global,o=global;wino=4", &t);
  assert_true(cost(deep, "x=inline,g=inline,m=global,o=global;wino=4", &t) > 2 * old);
  assert_true(cost(deep, "x=inline,g=inline,m=reg,o=global;wino=4", &t) > 2 * old);
  conv more = deep;
  more.c *= 2;
  assert_true(cost(more, "x=global,g=global,m=global,o=global;wino=4", &t) > old);
  assert_int_equal(pick(deep, WN_MATH_FP32, &t).stage[STAGE_X].space, SPACE_GLOBAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tiles_are_those_of_the_rewrite),
      cmocka_unit_test(test_a_weaker_promise_admits_larger_tiles),
      cmocka_unit_test(test_more_work_costs_more),
      cmocka_unit_test(test_a_faster_machine_costs_less),
      cmocka_unit_test(test_threads_share_the_work_and_not_the_waking),
      cmocka_unit_test(test_a_tile_that_is_not_there_has_no_cost),
      cmocka_unit_test(test_what_is_refused_has_no_cost),
      cmocka_unit_test(test_equal_programs_cost_the_same),
      cmocka_unit_test(test_inlining_repeats_work),
      cmocka_unit_test(test_a_kernel_that_is_too_long_has_no_cost),
      cmocka_unit_test(test_stages_add_up),
      cmocka_unit_test(test_direct_where_nothing_is_gained),
      cmocka_unit_test(test_winograd_for_many_channels),
      cmocka_unit_test(test_slow_memory_makes_tiles_small),
      cmocka_unit_test(test_cold_weights_are_read_from_end_to_end),
      cmocka_unit_test(test_a_limit_of_memory_leaves_what_fits),
      cmocka_unit_test(test_waking_threads_is_done_seldom),
      cmocka_unit_test(test_candidates_are_in_order_and_differ),
      cmocka_unit_test(test_several_convolutions_share_a_schedule),
      cmocka_unit_test(test_candidates_run),
      cmocka_unit_test(test_devices_count_launches),
      cmocka_unit_test(test_devices_refuse_what_is_not_there),
      cmocka_unit_test(test_devices_multiply_matrices),
      cmocka_unit_test(test_devices_do_not_repeat_much_work),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
