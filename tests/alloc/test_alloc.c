/* Every allocation failure, one after the other: a convolution with bias and activation is built, compiled for the
 * interpreter, run (or explained) and destroyed with the n-th allocation and all later ones failing, for n = 1, 2, ...
 * until nothing fails any more. Each time the answer must be WN_ERR_NOMEM with a message, or WN_OK with the right
 * numbers; leaks and accesses to freed memory are AddressSanitizer's to find. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sanitized.h"
#include "winnow/winnow.h"

enum { C = 3, K = 4, H = 7, W = 6, LIMIT = 100000 };

typedef struct problem {
  float x[C * H * W], w[K * C * 9], bias[K];
  float y[K * H * W], expected[K * H * W];
} problem;

/* A value in [-1, 1) that depends on the index alone. */
static float value_at(unsigned i, unsigned seed) {
  uint32_t h = (i + 1) * 2654435761u ^ seed * 40503u;
  h ^= h >> 15;
  h *= 2246822519u;
  h ^= h >> 13;
  return (float)(h >> 8) / 8388608.0f - 1.0f;
}

static float expected_at(const problem *p, int k, int y, int x) {
  double sum = (double)p->bias[k];
  for (int c = 0; c < C; ++c) {
    for (int i = 0; i < 9; ++i) {
      int yy = y + i / 3 - 1, xx = x + i % 3 - 1;
      if (yy < 0 || yy >= H || xx < 0 || xx >= W) continue;
      sum += (double)p->x[(c * H + yy) * W + xx] * (double)p->w[(k * C + c) * 9 + i];
    }
  }
  return (float)fmax(sum, 0);
}

static void fill(problem *p) {
  for (unsigned i = 0; i < C * H * W; ++i) p->x[i] = value_at(i, 1);
  for (unsigned i = 0; i < K * C * 9; ++i) p->w[i] = value_at(i, 2);
  for (unsigned i = 0; i < K; ++i) p->bias[i] = value_at(i, 3);
  for (int i = 0; i < K * H * W; ++i) {
    p->expected[i] = expected_at(p, i / (H * W), i / W % H, i % W);
  }
}

/* p NULL: without arrays. */
static wn_tensor *build(wn_context *ctx, const problem *p) {
  wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, H, W}, p != NULL ? p->x : NULL);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, p != NULL ? p->w : NULL);
  wn_tensor *bias =
      wn_constant(ctx, WN_F32, 4, (int64_t[]){1, K, 1, 1}, p != NULL ? p->bias : NULL);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  return wn_map(WN_RELU, wn_zip(WN_ADD, wn_conv(x, w, &same), bias));
}

/* The whole life of a program. The message is only looked at where there is a context to ask. */
static wn_status live(problem *p, const wn_options *options) {
  wn_context *ctx = NULL;
  wn_status status = wn_context_create(&ctx);
  if (status != WN_OK) {
    assert_null(ctx);
    return status;
  }
  wn_tensor *y = build(ctx, p);
  wn_program *program = NULL;
  void *data = p->y;
  status = wn_compile(ctx, &y, &data, 1, options, &program);
  if (status == WN_OK) status = wn_run(program);
  if (status == WN_OK) status = wn_run(program);
  if (status != WN_OK) assert_string_not_equal(wn_message(ctx), "");
  wn_program_destroy(program);
  wn_context_destroy(ctx);
  return status;
}

/* Two of them in one program, whose launches are one job. */
static wn_status beside(problem *p, const wn_options *options) {
  static float y[K * H * W];
  wn_context *ctx = NULL;
  wn_status status = wn_context_create(&ctx);
  if (status != WN_OK) return status;
  wn_tensor *out[] = {build(ctx, p), build(ctx, p)};
  void *data[] = {p->y, y};
  wn_program *program = NULL, *other = NULL;
  status = wn_compile(ctx, out, data, 2, options, &program);
  if (status == WN_OK) status = wn_run(program);
  if (status == WN_OK && memcmp(p->y, y, sizeof y) != 0) fail_msg("two that are alike differ");
  if (status == WN_OK) status = wn_program_share(program, &other);
  wn_program_destroy(other);
  wn_program_destroy(program);
  wn_context_destroy(ctx);
  return status;
}

/* A program that is compiled without arrays and shared, in which a constant is bound: every slot has its turn. */
static wn_status bind_shared(problem *p, wn_program *program, wn_program **other) {
  const int slots[] = {0, 1, 2, 3};
  static float y[K * H * W];
  wn_status status = wn_bind_many(program, 4, slots, (const void *[]){p->x, p->w, p->bias, y});
  if (status == WN_OK) status = wn_run(program);
  if (status == WN_OK) status = wn_program_share(program, other);
  if (status != WN_OK) return status;
  status = wn_bind(*other, 3, p->y);
  if (status == WN_OK) status = wn_bind(*other, 2, p->bias);
  if (status == WN_OK) status = wn_run(*other);
  if (status == WN_OK) return wn_run(program);
  assert_string_not_equal(wn_program_message(*other), "");
  if (wn_run(program) != WN_OK)
    fail_msg("%s", wn_program_message(program)); /* nothing became of it */
  return status;
}

static wn_status share(problem *p, const wn_options *options) {
  wn_context *ctx = NULL;
  wn_status status = wn_context_create(&ctx);
  if (status != WN_OK) return status;
  wn_tensor *y = build(ctx, NULL);
  wn_program *program = NULL, *other = NULL;
  status = wn_compile(ctx, &y, NULL, 1, options, &program);
  if (status == WN_OK) status = bind_shared(p, program, &other);
  wn_program_destroy(program);
  wn_program_destroy(other);
  wn_context_destroy(ctx);
  return status;
}

static void ignore_text(void *user, const char *text) {
  (void)user;
  (void)text;
}

/* The same for what is explained. */
static wn_status look(problem *p, const wn_options *options) {
  wn_context *ctx = NULL;
  wn_status status = wn_context_create(&ctx);
  if (status != WN_OK) return status;
  wn_tensor *y = build(ctx, p);
  status = wn_explain(ctx, &y, NULL, 1, options, ignore_text, NULL);
  if (status != WN_OK) assert_string_not_equal(wn_message(ctx), "");
  wn_context_destroy(ctx);
  memcpy(p->y, p->expected, sizeof p->y); /* nothing was run */
  return status;
}

typedef wn_status (*life)(problem *p, const wn_options *options);

static void check_result(const problem *p, long n) {
  for (int i = 0; i < K * H * W; ++i) {
    double difference = fabs((double)p->y[i] - (double)p->expected[i]);
    if (!(difference < 1e-4)) {
      fail_msg("n %ld: y[%d] is %g, expected %g", n, i, (double)p->y[i], (double)p->expected[i]);
    }
  }
}

/* Steps are 1 first, where most of the different places are, and grow to a 64th of n, in part to a 16th. Odd steps
 * visit different places in long loops. */
static long next(long n) { return n < 256 ? n + 1 : n + (n / (in_part() ? 16 : 64) | 1); }

static void fail_stepwise(const char *plan, life live_once) {
  problem *p = malloc(sizeof *p);
  assert_non_null(p);
  fill(p);
  const wn_options options = WN_OPTIONS(.plan = plan, .backend = "interp", .threads = 1);
  long n = 1, failures = 0, count = 0;
  bool finished = false;
  for (; !finished && n < LIMIT; n = getenv("WINNOW_LONG") != NULL ? n + 1 : next(n)) {
    memset(p->y, 0xff, sizeof p->y);
    mem_fail_at(n);
    wn_status status = live_once(p, &options);
    count = mem_count();
    mem_fail_at(0);
    finished = count < n;
    if (status == WN_OK) {
      check_result(p, n);
    } else {
      if (status != WN_ERR_NOMEM) fail_msg("plan %s, n %ld: status %d", plan, n, (int)status);
      assert_false(finished);
      failures++;
    }
  }
  print_message("# plan %s: %ld allocations, %ld failures\n", plan, count, failures);
  assert_true(finished);
  assert_true(failures > 0);
  free(p);
}

static void direct(void **state) {
  (void)state;
  fail_stepwise("direct", live);
}

static void old(void **state) {
  (void)state;
  fail_stepwise("old", live);
}

static void shared(void **state) {
  (void)state;
  fail_stepwise("old", share);
}

static void one(void **state) {
  (void)state;
  fail_stepwise("one", live);
}

static void side_by_side(void **state) {
  (void)state;
  fail_stepwise("conv0{direct;side=1} conv1{direct;side=1}", beside);
}

static void explained(void **state) {
  (void)state;
  fail_stepwise("fused", look);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(direct), cmocka_unit_test(old),       cmocka_unit_test(one),
      cmocka_unit_test(shared), cmocka_unit_test(explained), cmocka_unit_test(side_by_side),
  };
  return cmocka_run_group_tests_name("allocation failures", tests, NULL, NULL);
}
