/* Bad input and load: limits of memory down to nothing, arrays that 32 bits cannot address, layers of
 * one channel and of two thousand, shapes that no machine holds, more threads than cores. Each runs
 * and is right, or is refused with a line that says why. Under AddressSanitizer `fused` shrinks on one
 * thread or on three, by a seed that is printed. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "diff/conv_case.h"
#include "sanitized.h"

typedef struct attempt {
  conv_case *c;
  wn_options o;
  wn_context *ctx;
  wn_program *p;
  wn_program_info info;
  char message[512], warning[512];
} attempt;

static void keep_warning(void *user, const char *line) {
  attempt *a = user;
  snprintf(a->warning, sizeof a->warning, "%s", line);
}

static wn_status compile(attempt *a) {
  assert_int_equal(wn_context_create(&a->ctx), WN_OK);
  wn_on_warning(a->ctx, keep_warning, a);
  wn_tensor *y = case_graph(a->c, a->ctx);
  void *data = a->c->y;
  a->o.size = sizeof a->o;
  a->o.no_cache = 1;
  a->info = WN_PROGRAM_INFO();
  wn_status st = wn_compile(a->ctx, &y, &data, 1, &a->o, &a->p);
  snprintf(a->message, sizeof a->message, "%s", wn_message(a->ctx));
  if (st == WN_OK) assert_int_equal(wn_program_get_info(a->p, &a->info), WN_OK);
  return st;
}

static void drop(attempt *a) {
  wn_program_destroy(a->p);
  wn_context_destroy(a->ctx);
  a->p = NULL;
  a->ctx = NULL;
}

static void run_and_check(attempt *a) {
  conv_case *c = a->c;
  for (int round = 0; round < 2; ++round) {
    memset(c->y, 0xff, sizeof *c->y * (size_t)c->y_count);
    assert_int_equal(wn_run(a->p), WN_OK);
    double error = relative_l2(c->y, c->expected, c->y_count);
    if (!(error <= case_promise(c)))
      fail_msg("%s --plan %s --max-memory %zu (%s): error %g, limit %g", c->text, a->o.plan,
               a->o.max_memory, a->info.placement, error, case_promise(c));
  }
}

static void fill(conv_case *c) {
  assert_true(case_finish(c) && case_fill(c));
  case_describe(c);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* The first number of the text that follows these words. */
static size_t number_after(const char *text, const char *words) {
  const char *at = strstr(text, words);
  if (at == NULL) fail_msg("\"%s\" does not say \"%s\"", text, words);
  return (size_t)strtoull(at + strlen(words), NULL, 10);
}

/* True where it ran: then within the limit. A refusal names the limit and a least that is over it. */
static bool try_limit(attempt *a, size_t limit, size_t *least) {
  a->o.max_memory = limit;
  wn_status st = compile(a);
  if (st == WN_OK) {
    size_t bytes = a->info.workspace_bytes + a->info.prepared_bytes;
    if (bytes > limit) fail_msg("%s: %zu bytes, the limit was %zu", a->o.plan, bytes, limit);
    run_and_check(a);
  } else {
    if (st != WN_ERR_REFUSED) fail_msg("%s: status %d, %s", a->o.plan, (int)st, a->message);
    *least = number_after(a->message, "needs at least ");
    assert_true(*least > limit);
    assert_int_equal(number_after(a->message, "the limit is "), limit);
  }
  drop(a);
  return st == WN_OK;
}

static size_t unlimited(attempt *a) {
  a->o.max_memory = 0;
  if (compile(a) != WN_OK) fail_msg("%s: %s", a->o.plan, a->message);
  size_t bytes = a->info.workspace_bytes + a->info.prepared_bytes;
  run_and_check(a);
  drop(a);
  return bytes;
}

static conv_case medium = {
    .seed = 40,
    .nd = 2,
    .n = 2,
    .c = 11,
    .k = 18,
    .groups = 1,
    .in = {41, 38},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};

/* Halved from what a plan wants to nothing: it shrinks, then it says what it needs, and exactly that is enough. */
static void shrink(const char *plan, const char *backend, int threads, bool blocks) {
  conv_case c = medium;
  fill(&c);
  attempt a = {.c = &c, .o = {.plan = plan, .backend = backend, .threads = threads}};
  size_t want = unlimited(&a), least = 0, limit = want;
  int ran = 0;
  for (; limit > 0 && try_limit(&a, limit, &least); limit /= 2) ran++;
  if (want > 0) assert_true(limit > 0 && least > limit);
  if (want > 0) assert_true(blocks ? ran >= 3 : ran == 1);
  if (want > 0) assert_true(try_limit(&a, least, &least));
  if (want > 0) assert_false(try_limit(&a, least - 1, &least));
  case_free(&c);
}

static void test_blocks_shrink(void **state) {
  (void)state;
  int only = in_part() ? 1 + 2 * (int)(test_seed() % 2) : 0; /* so many threads */
  if (only != 3) shrink("fused", "cpu", 1, true);
  if (only != 1) shrink("fused", "cpu", 3, true);
  shrink("split", "cpu", 2, true);
  shrink("split", "interp", 1, true);
  shrink("old", "interp", 1, false);
}

/* The scratch of every thread counts. */
static void test_threads_count(void **state) {
  (void)state;
  conv_case c = medium;
  fill(&c);
  attempt a = {.c = &c, .o = {.plan = "fused", .backend = "interp"}};
  size_t one, four;
  a.o.threads = 1;
  one = unlimited(&a);
  a.o.threads = 4;
  four = unlimited(&a);
  size_t once = a.info.prepared_bytes; /* of all threads */
  assert_true(one > once);
  assert_int_equal(four - once, 4 * (one - once));
  case_free(&c);
}

/* auto always has a plan that needs nothing; sizes that were spelled out are not made smaller. */
static void test_auto_and_spelled(void **state) {
  (void)state;
  conv_case c = medium;
  fill(&c);
  attempt a = {.c = &c, .o = {.plan = "auto", .threads = 2}};
  size_t least;
  for (size_t limit = 1 << 20; limit > 0; limit /= 8) assert_true(try_limit(&a, limit, &least));
  a.o.plan = "x=local,g=global,m=local,o=global;t=32";
  size_t want = unlimited(&a);
  assert_false(try_limit(&a, want - 1, &least));
  assert_int_equal(least, want);
  case_free(&c);
}

/* --- sizes ------------------------------------------------------------------------------------ */

static void all_plans(conv_case c) {
  static const char *const plans[] = {"auto", "direct", "old", "fused", "split", "new"};
  fill(&c);
  for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i) {
    attempt a = {.c = &c, .o = {.plan = plans[i], .threads = 2}};
    unlimited(&a);
  }
  case_free(&c);
}

static void test_channels(void **state) {
  (void)state;
  conv_case c = medium;
  c.in[0] = 9;
  c.in[1] = 10;
  c.n = 1;
  c.c = c.k = 1;
  all_plans(c);
  c.in[0] = c.in[1] = 5;
  c.c = 2048;
  c.k = 3;
  all_plans(c);
  c.c = 3;
  c.k = 2048;
  all_plans(c);
}

/* 34 GB of addresses of which a few pages are touched: the far corner of two channels. */
enum { SIDE = 65536, CORNER = 40, IN = 2, OUT = 3 };

static float *far_corner(void) {
  size_t bytes = sizeof(float) * IN * SIDE * SIDE;
  void *m =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return m == MAP_FAILED ? NULL : m;
}

static size_t far(int64_t c, int64_t y, int64_t x) {
  return (size_t)((c * SIDE + SIDE - CORNER + y) * SIDE + SIDE - CORNER + x);
}

static double far_expected(const float *x, const float *w, int64_t k, int64_t oy, int64_t ox) {
  double sum = 0;
  for (int64_t c = 0; c < IN; ++c) {
    for (int64_t j = 0; j < 9; ++j)
      sum += (double)x[far(c, oy + j / 3, ox + j % 3)] * (double)w[(k * IN + c) * 9 + j];
  }
  return sum;
}

static void far_plan(const float *x, const float *w, const char *plan, const char *backend) {
  enum { SMALL = CORNER - 2, COUNT = OUT * SMALL * SMALL };
  static float y[COUNT];
  static double expected[COUNT];
  wn_context *ctx;
  wn_program *p;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *all = wn_input(ctx, WN_F32, 4, (int64_t[]){1, IN, SIDE, SIDE}, x);
  wn_tensor *corner = wn_shrink(all, (int64_t[]){0, 0, SIDE - CORNER, SIDE - CORNER},
                                (int64_t[]){1, IN, SIDE, SIDE});
  wn_tensor *weights = wn_constant(ctx, WN_F32, 4, (int64_t[]){OUT, IN, 3, 3}, w);
  wn_tensor *out = wn_conv(corner, weights, NULL);
  void *data = y;
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = backend, .threads = 2, .no_cache = 1);
  if (wn_compile(ctx, &out, &data, 1, &o, &p) != WN_OK)
    fail_msg("%s, %s: %s", plan, backend, wn_message(ctx));
  assert_int_equal(wn_run(p), WN_OK);
  for (int64_t i = 0; i < COUNT; ++i)
    expected[i] = far_expected(x, w, i / SMALL / SMALL, i / SMALL % SMALL, i % SMALL);
  double error = relative_l2(y, expected, COUNT);
  if (!(error <= 2e-6)) fail_msg("%s, %s: error %g", plan, backend, error);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void test_beyond_32_bits(void **state) {
  (void)state;
  float *x = far_corner();
  if (x == NULL) skip();
  uint64_t s = 9;
  float w[OUT * IN * 9];
  for (size_t i = 0; i < sizeof w / sizeof *w; ++i) w[i] = random_value(&s);
  for (int64_t i = 0; i < IN * CORNER * CORNER; ++i)
    x[far(i / CORNER / CORNER, i / CORNER % CORNER, i % CORNER)] = random_value(&s);
  static const char *const plans[] = {"direct", "old", "fused", "one"};
  for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i) {
    far_plan(x, w, plans[i], "cpu");
    far_plan(x, w, plans[i], "interp");
  }
  far_plan(x, w, "fused", "cpu:cc");
  munmap(x, sizeof(float) * IN * SIDE * SIDE);
}

/* Compiled and explained, not run: a status and, if it is not WN_OK, a reason. */
static void ignore_text(void *user, const char *text) {
  (void)user;
  (void)text;
}

static wn_status explain(int64_t c, int64_t k, int64_t side, const char *plan, char *message) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, c, side, side}, NULL);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){k, c, 3, 3}, NULL);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  wn_tensor *y = wn_conv(x, w, &same);
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = "interp", .threads = 1, .no_cache = 1);
  wn_status st = wn_explain(ctx, &y, NULL, 1, &o, ignore_text, NULL);
  snprintf(message, 512, "%s", wn_message(ctx));
  wn_context_destroy(ctx);
  return st;
}

static void test_huge_images(void **state) {
  (void)state;
  char message[512];
  assert_int_equal(explain(3, 8, 8192, "auto", message), WN_OK);
  assert_int_equal(explain(3, 8, 8192, "fused", message), WN_OK);
  assert_int_equal(explain(3, 64, 60000, "fused", message), WN_OK);
  /* arrays of some 10 TB */
  assert_int_equal(explain(64, 64, 200000, "old", message), WN_ERR_NOMEM);
  assert_true(number_after(message, "needs at least ") > (size_t)1 << 40);
  assert_int_equal(explain(64, 64, 200000, "auto", message), WN_OK);
  /* no machine addresses these */
  static const int64_t sides[] = {(int64_t)1 << 30, (int64_t)1 << 31, (int64_t)1 << 40};
  for (int i = 0; i < 3; ++i) {
    wn_status st = explain(1 << 20, 1 << 20, sides[i], "old", message);
    assert_true(st != WN_OK && message[0] != '\0');
  }
}

/* --- threads ---------------------------------------------------------------------------------- */

static void test_64_threads_on_two_cores(void **state) {
  (void)state;
  pretended_cores = 2;
  conv_case c = medium;
  fill(&c);
  attempt a = {.c = &c, .o = {.plan = "fused", .threads = 64}};
  if (compile(&a) != WN_OK) fail_msg("%s", a.message);
  assert_int_equal(a.info.threads, 2);
  assert_non_null(strstr(a.warning, "64 threads asked for, 2 cores"));
  run_and_check(&a);
  drop(&a);
  case_free(&c);
  pretended_cores = 8;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocks_shrink),           cmocka_unit_test(test_threads_count),
      cmocka_unit_test(test_auto_and_spelled),        cmocka_unit_test(test_channels),
      cmocka_unit_test(test_beyond_32_bits),          cmocka_unit_test(test_huge_images),
      cmocka_unit_test(test_64_threads_on_two_cores),
  };
  return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
