/* The floating-point environment: whatever the caller's is, when it compiles and when it runs, results have the bits
 * that they have in the default one, on every thread and backend, and the caller's is as it was; flush_subnormals
 * flushes, and nothing else does. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fenv.h>

#include "base/fpenv.h"
#include "diff/conv_case.h"

static const conv_case small = {.seed = 9, CASE_SMALL};

static const char *const backends[] = {"interp", "cpu", "cpu:cc"};
enum { BACKENDS = sizeof backends / sizeof *backends };

/* --- environments ----------------------------------------------------------------------------- */

typedef struct surroundings {
  const char *name;
  int rounding;
  bool flush;
} surroundings;

static const surroundings callers[] = {
    {"flush to zero", FE_TONEAREST, true},
    {"rounding upward", FE_UPWARD, false},
    {"rounding to zero, flush to zero", FE_TOWARDZERO, true},
};
enum { CALLERS = sizeof callers / sizeof *callers };

static void enter(const surroundings *s) {
  assert_int_equal(fesetround(s->rounding), 0);
#if defined(__x86_64__)
  if (s->flush) fp_write(fp_read() | (fp_default(true) & ~fp_default(false)));
#elif defined(__aarch64__)
  fp_control c = fp_read();
  if (s->flush) c.control |= fp_default(true).control;
  fp_write(c);
#endif
}

static void leave(void) { fesetenv(FE_DFL_ENV), fp_write(fp_default(false)); }

/* Bits of what is asked for, no flags of exceptions. */
static bool is_in(fp_control before, int rounding) {
  return fp_same(fp_read(), before) && fegetround() == rounding;
}

/* --- convolutions ----------------------------------------------------------------------------- */

typedef struct use {
  wn_context *ctx;
  wn_program *program;
} use;

/* A constant that f32 does not hold is folded with another, and a Winograd tile's matrices are made. */
static use compile(conv_case *c, const wn_options *o) {
  use u;
  assert_int_equal(wn_context_create(&u.ctx), WN_OK);
  wn_tensor *scale =
      wn_zip(WN_MUL, wn_scalar(u.ctx, WN_F32, 0.1), wn_scalar(u.ctx, WN_F32, 1.0 / 3));
  wn_tensor *y = wn_zip(WN_MUL, case_graph(c, u.ctx), scale);
  void *data = c->y;
  if (wn_compile(u.ctx, &y, &data, 1, o, &u.program) != WN_OK) fail_msg("%s", wn_message(u.ctx));
  return u;
}

static void end(use *u) {
  wn_program_destroy(u->program);
  wn_context_destroy(u->ctx);
}

static void run_into(conv_case *c, use *u, float *to) {
  memset(c->y, 0xff, sizeof *c->y * (size_t)c->y_count);
  assert_int_equal(wn_run(u->program), WN_OK);
  memcpy(to, c->y, sizeof *c->y * (size_t)c->y_count);
}

static void check_caller(conv_case *c, const wn_options *o, const float *expected, float *got,
                         const surroundings *s) {
  size_t bytes = sizeof *c->y * (size_t)c->y_count;
  enter(s);
  fp_control before = fp_read();
  use u = compile(c, o);
  bool kept = is_in(before, s->rounding);
  for (int i = 0; i < 2; ++i) {
    run_into(c, &u, got);
    kept = kept && is_in(before, s->rounding);
  }
  wn_kernel_info info = WN_KERNEL_INFO();
  assert_int_equal(wn_program_get_kernel(u.program, 0, &info), WN_OK);
  kept = kept && is_in(before, s->rounding);
  end(&u);
  leave();
  if (!kept) fail_msg("%s, %s, %s: the caller's is not restored", o->backend, o->plan, s->name);
  if (memcmp(got, expected, bytes) != 0)
    fail_msg("%s, %s, %d threads, %s: other bits", o->backend, o->plan, o->threads, s->name);
}

/* x is scaled so that products and sums are subnormal. */
static void test_callers(void **state) {
  (void)state;
  static const char *const plans[] = {"direct", "old"};
  conv_case c = small;
  assert_true(case_finish(&c) && case_fill(&c) && case_seal(&c, false));
  for (int64_t i = 0; i < c.x_count; ++i) c.x[i] *= i % 2 ? 1e-38f : 1e-39f;
  size_t bytes = sizeof *c.y * (size_t)c.y_count;
  float *expected = malloc(bytes), *got = malloc(bytes);
  for (int i = 0; i < BACKENDS * 2; ++i) {
    const wn_options o = WN_OPTIONS(.backend = backends[i / 2], .plan = plans[i % 2],
                                    .threads = 1 + 2 * (i % 2), .no_cache = 1);
    use u = compile(&c, &o);
    run_into(&c, &u, expected);
    end(&u);
    for (int k = 0; k < CALLERS; ++k) check_caller(&c, &o, expected, got, &callers[k]);
  }
  free(expected);
  free(got);
  case_free(&c);
}

/* --- flush_subnormals ------------------------------------------------------------------------- */

enum { COUNT = 200000 }; /* enough for all threads to have a part */

static int64_t count_nonzero(const float *v) {
  int64_t n = 0;
  for (int i = 0; i < COUNT; ++i) n += (v[i] < 0 ? -v[i] : v[i]) > 0;
  return n;
}

/* Halves: operands are subnormal in one half and results in the other. */
static void flush_on(const char *backend, int threads, bool flush, float *x, float *y,
                     char *identity) {
  wn_context *ctx;
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  void *data = y;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *in = wn_input(ctx, WN_F32, 1, (int64_t[]){COUNT}, x);
  wn_tensor *out = wn_zip(WN_MUL, wn_zip(WN_MUL, in, wn_scalar(ctx, WN_F32, 0.5)),
                          wn_zip(WN_ADD, in, wn_scalar(ctx, WN_F32, 1)));
  const wn_options o =
      WN_OPTIONS(.backend = backend, .threads = threads, .no_cache = 1, .flush_subnormals = flush);
  if (wn_compile(ctx, &out, &data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  for (int i = 0; i < COUNT; ++i) x[i] = i < COUNT / 2 ? 1e-39f : 1.5e-38f;
  memset(y, 0xff, sizeof *y * COUNT);
  assert_int_equal(wn_run(p), WN_OK);
  int64_t left = count_nonzero(y);
  if (left != (flush ? 0 : COUNT))
    fail_msg("%s, %d threads: %lld of %d are no zeros with flush %d", backend, threads,
             (long long)left, COUNT, flush);
  for (int i = 0; i < COUNT; ++i) x[i] = 3;
  assert_int_equal(wn_run(p), WN_OK);
  for (int i = 0; i < COUNT; ++i) assert_true(y[i] > 5.9f && y[i] < 6.1f);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  snprintf(identity, 33, "%s", info.identity);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void test_flush(void **state) {
  (void)state;
#if !defined(__x86_64__) && !defined(__aarch64__)
  skip();
#endif
  float *x = malloc(sizeof *x * COUNT), *y = malloc(sizeof *y * COUNT);
  for (int b = 0; b < BACKENDS; ++b) {
    for (int threads = 1; threads <= 3; threads += 2) {
      char with[33], without[33];
      flush_on(backends[b], threads, true, x, y, with);
      flush_on(backends[b], threads, false, x, y, without); /* workers of the same pool */
      assert_string_not_equal(with, without);
      assert_true(fp_same(fp_read(), fp_default(false)));
    }
  }
  free(x);
  free(y);
}

/* --- traps ------------------------------------------------------------------------------------ */

/* A caller that wants SIGFPE for its own divisions gets none for ours. */
static void test_traps(void **state) {
  (void)state;
#if !defined(__GLIBC__) || !defined(__x86_64__)
  skip();
#else
  float x[4] = {0, 1, -1, 0}, y[4];
  for (int b = 0; b < BACKENDS; ++b) {
    wn_context *ctx;
    wn_program *p;
    void *data = y;
    feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_tensor *in = wn_input(ctx, WN_F32, 1, (int64_t[]){4}, x);
    wn_tensor *inf = wn_zip(WN_DIV, wn_scalar(ctx, WN_F32, 1), wn_scalar(ctx, WN_F32, 0));
    wn_tensor *out = wn_zip(WN_ADD, wn_map(WN_RECIPROCAL, in), inf);
    const wn_options o = WN_OPTIONS(.backend = backends[b], .threads = 1, .no_cache = 1);
    assert_int_equal(wn_compile(ctx, &out, &data, 1, &o, &p), WN_OK);
    assert_int_equal(wn_run(p), WN_OK);
    int traps = fegetexcept();
    wn_program_destroy(p);
    wn_context_destroy(ctx);
    fedisableexcept(FE_ALL_EXCEPT);
    assert_int_equal(traps, FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
    assert_true(isinf(y[0]) && isinf(y[1]));
  }
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_callers),
      cmocka_unit_test(test_flush),
      cmocka_unit_test(test_traps),
  };
  return cmocka_run_group_tests_name("floating-point environment", tests, NULL, NULL);
}
