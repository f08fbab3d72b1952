/* Graphs far deeper than the thread's stack: what a compile needs of it does not depend on the graph.
 *
 * Each graph is compiled and run on a thread with little stack: 64 KiB where LLVM is not asked, 128 KiB where any
 * backend is (LLVM has a stack of its own). A pass that recurses over the graph ends in a segmentation fault here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "sanitized.h"
#include "winnow/winnow.h"

enum {
  N = 64,
  SANITIZED = THREAD_SANITIZER || ADDRESS_SANITIZER,
  SANITIZED_FRAMES = 8 /* they are larger under a sanitizer by this much */
};

typedef struct deep {
  const char *backend;
  wn_tensor *(*build)(wn_context *ctx, int depth);
  double (*expected)(int depth, int i);
  int depth, count; /* elements of the result */
  int max_lines;
  wn_status status;
  char message[512];
  float *y;
} deep;

static float input[N];

static wn_tensor *input_of(wn_context *ctx) {
  return wn_input(ctx, WN_F32, 1, (int64_t[]){N}, input);
}

static wn_tensor *chain(wn_context *ctx, int depth) {
  wn_tensor *t = input_of(ctx);
  for (int i = 0; i < depth; ++i)
    t = wn_map(i % 2 ? WN_NEG : WN_ABS, wn_zip(WN_ADD, t, wn_scalar(ctx, WN_F32, i % 7)));
  return t;
}

static double chain_value(int depth, int i) {
  float v = input[i];
  for (int k = 0; k < depth; ++k) {
    v += (float)(k % 7);
    v = k % 2 ? -v : fabsf(v);
  }
  return v;
}

/* Both sides of every step are deep, and what feeds products is. */
static wn_tensor *ladder(wn_context *ctx, int depth) {
  wn_tensor *a = input_of(ctx), *b = wn_map(WN_NEG, a);
  for (int i = 0; i < depth; ++i) {
    wn_tensor *half = wn_zip(WN_MUL, a, wn_scalar(ctx, WN_F32, 0.5));
    wn_tensor *c =
        wn_zip(WN_ADD, wn_zip(WN_ADD, half, wn_zip(WN_MUL, b, wn_scalar(ctx, WN_F32, 0.25))),
               wn_scalar(ctx, WN_F32, 1));
    b = wn_where(wn_zip(WN_LESS, a, b), a, c);
    a = c;
  }
  return wn_zip(WN_ADD, a, b);
}

static double ladder_value(int depth, int i) {
  float a = input[i], b = -a;
  for (int k = 0; k < depth; ++k) {
    float c = a * 0.5F + b * 0.25F + 1;
    b = a < b ? a : c;
    a = c;
  }
  return (double)a + (double)b;
}

/* A border at each step: conditions in conditions. */
static wn_tensor *borders(wn_context *ctx, int depth) {
  wn_tensor *t = input_of(ctx);
  for (int i = 0; i < depth; ++i)
    t = wn_zip(WN_ADD, wn_pad(t, (int64_t[]){1}, (int64_t[]){1}), wn_scalar(ctx, WN_F32, 1));
  return t;
}

static double borders_value(int depth, int i) {
  int inside = i < N + depth ? i : N + 2 * depth - 1 - i; /* steps since the element came in */
  if (i >= depth && i < N + depth) return (double)input[i - depth] + depth;
  return inside + 1;
}

/* Loads at other places in each step. */
static wn_tensor *shifts(wn_context *ctx, int depth) {
  wn_tensor *t = input_of(ctx);
  for (int i = 0; i < depth; ++i) {
    wn_tensor *next =
        wn_shrink(wn_pad(t, (int64_t[]){0}, (int64_t[]){1}), (int64_t[]){1}, (int64_t[]){N + 1});
    t = wn_reshape(wn_flip(wn_flip(wn_reshape(next, 2, (int64_t[]){8, 8}), (int[]){0, 1}, 2),
                           (int[]){0, 1}, 2),
                   1, (int64_t[]){N});
  }
  return t;
}

static double shifts_value(int depth, int i) {
  return i + depth < N ? (double)input[i + depth] : 0;
}

static wn_tensor *sums(wn_context *ctx, int depth) {
  wn_tensor *t = input_of(ctx);
  for (int i = 0; i < depth; ++i) {
    wn_tensor *mean = wn_reduce(WN_MAXIMUM, t, (int[]){0}, 1, 1);
    t = wn_zip(WN_SUB, t, wn_expand(mean, 1, (int64_t[]){N}));
  }
  return t;
}

static double sums_value(int depth, int i) {
  float most = input[0];
  for (int k = 1; k < N; ++k) most = fmaxf(most, input[k]);
  return depth > 0 ? (double)(input[i] - most) : (double)input[i];
}

static void *compile_and_run(void *user) {
  deep *d = user;
  wn_context *ctx;
  wn_program *p = NULL;
  d->status = wn_context_create(&ctx);
  if (d->status != WN_OK) return NULL;
  wn_tensor *t = d->build(ctx, d->depth);
  void *data = d->y;
  wn_options o =
      WN_OPTIONS(.backend = d->backend, .threads = 1, .no_cache = 1, .max_lines = d->max_lines);
  d->status = wn_compile(ctx, &t, &data, 1, &o, &p);
  if (d->status != WN_OK) snprintf(d->message, sizeof d->message, "%s", wn_message(ctx));
  if (d->status == WN_OK) d->status = wn_run(p);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  return NULL;
}

static void check(deep d, size_t stack) {
  pthread_attr_t how;
  pthread_t thread;
  for (int i = 0; i < N; ++i) input[i] = (float)(i % 11) - 4.5F;
  d.y = malloc((size_t)d.count * sizeof *d.y);
  assert_non_null(d.y);
  assert_int_equal(pthread_attr_init(&how), 0);
  assert_int_equal(pthread_attr_setstacksize(&how, stack * (SANITIZED ? SANITIZED_FRAMES : 1)), 0);
  assert_int_equal(pthread_create(&thread, &how, compile_and_run, &d), 0);
  pthread_attr_destroy(&how);
  pthread_join(thread, NULL);
  if (d.status != WN_OK)
    fail_msg("%s, depth %d: status %d: %s", d.backend, d.depth, (int)d.status, d.message);
  for (int i = 0; i < d.count; ++i) {
    double want = d.expected(d.depth, i);
    if (!(fabs((double)d.y[i] - want) <= 1e-5 * (1 + fabs(want))))
      fail_msg("%s, depth %d: element %d is %g, expected %g", d.backend, d.depth, i, (double)d.y[i],
               want);
  }
  free(d.y);
}

static void check_all(deep d) {
  static const char *const compilers[] = {"cpu", "cpu:cc"};
  d.backend = "interp";
  check(d, 64 << 10);
  for (int i = 0; i < 2; ++i) {
    d.backend = compilers[i];
    check(d, 128 << 10);
  }
}

static void test_chain(void **state) {
  (void)state;
  check_all((deep){.build = chain, .expected = chain_value, .depth = 300, .count = N});
  check_all((deep){.build = chain, .expected = chain_value, .depth = 20000, .count = N});
}

/* LLVM itself gets what winnow's own limit keeps from it. */
static void test_chain_in_llvm(void **state) {
  (void)state;
  deep d = {.build = chain,
            .expected = chain_value,
            .depth = 3000,
            .count = N,
            .max_lines = 1 << 20,
            .backend = "cpu"};
  check(d, 128 << 10);
}

static void test_hundred_thousand(void **state) {
  (void)state;
  if (SANITIZED) skip();
  check((deep){.build = chain,
               .expected = chain_value,
               .depth = 100000,
               .count = N,
               .backend = "interp"},
        64 << 10);
}

static void test_ladder(void **state) {
  (void)state;
  check_all((deep){.build = ladder, .expected = ladder_value, .depth = 3000, .count = N});
}

static void test_borders(void **state) {
  (void)state;
  check_all((deep){.build = borders, .expected = borders_value, .depth = 60, .count = N + 120});
}

static void test_shifts(void **state) {
  (void)state;
  check_all((deep){.build = shifts, .expected = shifts_value, .depth = 40, .count = N});
}

static void test_sums(void **state) {
  (void)state;
  check_all((deep){.build = sums, .expected = sums_value, .depth = 12, .count = N});
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chain),
      cmocka_unit_test(test_chain_in_llvm),
      cmocka_unit_test(test_hundred_thousand),
      cmocka_unit_test(test_ladder),
      cmocka_unit_test(test_borders),
      cmocka_unit_test(test_shifts),
      cmocka_unit_test(test_sums),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
