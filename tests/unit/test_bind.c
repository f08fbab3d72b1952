/* Slots and binding: which arrays a program has, handing in others between runs, sharing code.
 * Results are compared with sums in float64 that are written out here; what is refused leaves
 * everything as it was. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "program/program.h"

enum { C = 6, K = 5, H = 11, W = 12, X = C * H * W, F = K * C * 9, Y = K * H * W };

/* --- a convolution with a bias, and what it should give -------------------------------------- */

static float value_at(unsigned i, unsigned seed) {
  uint32_t h = (i + 1) * 2654435761u ^ (seed + 1) * 40503u;
  h ^= h >> 15;
  h *= 2246822519u;
  h ^= h >> 13;
  return (float)(h >> 8) / 8388608.0f - 1.0f;
}

typedef struct arrays {
  float x[X], w[F], bias[K], y[Y];
} arrays;

static arrays *draw(unsigned seed) {
  arrays *a = malloc(sizeof *a);
  assert_non_null(a);
  for (unsigned i = 0; i < X; ++i) a->x[i] = value_at(i, seed);
  for (unsigned i = 0; i < F; ++i) a->w[i] = value_at(i, seed + 1000);
  for (unsigned i = 0; i < K; ++i) a->bias[i] = value_at(i, seed + 2000);
  for (unsigned i = 0; i < Y; ++i) a->y[i] = NAN;
  return a;
}

static double expected_at(const float *x, const float *w, const float *bias, int place) {
  int k = place / (H * W), row = place / W % H, column = place % W;
  double sum = (double)bias[k];
  for (int c = 0; c < C; ++c) {
    for (int i = 0; i < 9; ++i) {
      int at = row + i / 3 - 1, beside = column + i % 3 - 1;
      if (at < 0 || at >= H || beside < 0 || beside >= W) continue;
      sum += (double)x[(c * H + at) * W + beside] * (double)w[(k * C + c) * 9 + i];
    }
  }
  return sum;
}

static void check(const char *what, const float *x, const float *w, const float *bias,
                  const float *y) {
  for (int i = 0; i < Y; ++i) {
    double want = expected_at(x, w, bias, i);
    if (!(fabs((double)y[i] - want) < 1e-4))
      fail_msg("%s: y[%d] is %g, not %g", what, i, (double)y[i], want);
  }
}

static void check_own(const char *what, const arrays *a) { check(what, a->x, a->w, a->bias, a->y); }

typedef struct fixture {
  wn_context *ctx;
  wn_program *p;
} fixture;

static wn_tensor *biased_conv(wn_context *ctx, const arrays *a) {
  wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, H, W}, a != NULL ? a->x : NULL);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, a != NULL ? a->w : NULL);
  wn_tensor *bias =
      wn_constant(ctx, WN_F32, 4, (int64_t[]){1, K, 1, 1}, a != NULL ? a->bias : NULL);
  wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  return wn_zip(WN_ADD, wn_conv(wn_name(x, "image"), wn_name(w, "filters"), &same), bias);
}

enum { IMAGE, FILTERS, BIAS, RESULT, SLOTS };

static void compile(fixture *f, arrays *a, const wn_options *o) {
  void *data = a != NULL ? a->y : NULL;
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  wn_tensor *y = biased_conv(f->ctx, a);
  if (wn_compile(f->ctx, &y, &data, 1, o, &f->p) != WN_OK) fail_msg("%s", wn_message(f->ctx));
}

static void drop(fixture *f) {
  wn_program_destroy(f->p);
  wn_context_destroy(f->ctx);
}

static const wn_options interpreted = {
    .size = sizeof(wn_options), .plan = "old", .backend = "interp", .threads = 1, .no_cache = 1};

static const wn_options direct = {
    .size = sizeof(wn_options), .plan = "direct", .backend = "interp", .threads = 1, .no_cache = 1};

static void runs(wn_program *p) {
  if (wn_run(p) != WN_OK) fail_msg("%s", wn_program_message(p));
}

static void binds(wn_program *p, int slot, const void *data) {
  if (wn_bind(p, slot, data) != WN_OK) fail_msg("%s", wn_program_message(p));
}

static void bind_all(wn_program *p, arrays *a) {
  binds(p, IMAGE, a->x);
  binds(p, FILTERS, a->w);
  binds(p, BIAS, a->bias);
  binds(p, RESULT, a->y);
}

static void refused(wn_program *p, wn_status status, const char *text) {
  assert_int_equal(status, WN_ERR_USAGE);
  const char *said = wn_program_message(p);
  if (!strstr(said, text) || strchr(said, '\n')) fail_msg("\"%s\" lacks \"%s\"", said, text);
}

/* --- slots ----------------------------------------------------------------------------------- */

static void expect_slot(wn_program *p, int slot, wn_slot_kind kind, const char *name, size_t bytes,
                        const void *data) {
  wn_slot_info info = WN_SLOT_INFO();
  int found;
  assert_int_equal(wn_program_get_slot(p, slot, &info), WN_OK);
  assert_int_equal(info.kind, kind);
  assert_string_equal(info.name, name);
  assert_int_equal(info.dtype, WN_F32);
  assert_int_equal(info.ndim, 4);
  int64_t count = 1;
  for (int i = 0; i < info.ndim; ++i) count *= info.shape[i];
  assert_int_equal(count * 4, info.bytes);
  assert_int_equal(info.bytes, bytes);
  assert_ptr_equal(info.data, data);
  assert_int_equal(wn_program_find(p, name, &found), WN_OK);
  assert_int_equal(found, slot);
}

static void test_slots(void **state) {
  (void)state;
  arrays *a = draw(1);
  for (int variable = 0; variable < 2; ++variable) {
    fixture f;
    wn_options o = interpreted;
    o.variable_weights = variable;
    o.plan_only = variable; /* can be asked as well */
    compile(&f, a, &o);
    wn_program_info info = WN_PROGRAM_INFO();
    assert_int_equal(wn_program_get_info(f.p, &info), WN_OK);
    assert_int_equal(info.inputs, 1);
    assert_int_equal(info.constants, 2);
    assert_int_equal(info.outputs, 1);
    expect_slot(f.p, IMAGE, WN_SLOT_INPUT, "image", sizeof a->x, a->x);
    expect_slot(f.p, FILTERS, WN_SLOT_CONSTANT, "filters", sizeof a->w, a->w);
    expect_slot(f.p, BIAS, WN_SLOT_CONSTANT, "constant1", sizeof a->bias, a->bias);
    expect_slot(f.p, RESULT, WN_SLOT_OUTPUT, "output0", sizeof a->y, a->y);
    drop(&f);
  }
  free(a);
}

/* Of a caller that was compiled with a newer header, or set no size. */
static void test_sizes(void **state) {
  (void)state;
  arrays *a = draw(2);
  fixture f;
  compile(&f, a, &interpreted);
  struct {
    wn_slot_info info;
    char behind[16];
  } future;
  memset(&future, 0x5a, sizeof future);
  future.info.size = sizeof future;
  assert_int_equal(wn_program_get_slot(f.p, IMAGE, &future.info), WN_OK);
  assert_int_equal(future.info.size, sizeof future);
  assert_string_equal(future.info.name, "image");
  for (size_t i = 0; i < sizeof future.behind; ++i) assert_int_equal(future.behind[i], 0x5a);
  wn_slot_info unset = {.size = 0, .ndim = 7};
  refused(f.p, wn_program_get_slot(f.p, FILTERS, &unset), "wn_slot_info.size is not that of any");
  assert_int_equal(unset.ndim, 7);
  drop(&f);
  free(a);
}

/* A name is the slot's alone, else numbers have to do. */
static void test_names(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *p;
  int slot;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *a = wn_name(wn_input(ctx, WN_F32, 1, (int64_t[]){4}, NULL), "twice");
  wn_tensor *b = wn_name(wn_input(ctx, WN_F32, 1, (int64_t[]){4}, NULL), "twice");
  wn_tensor *c = wn_input(ctx, WN_F32, 2, (int64_t[]){2, 2}, NULL);
  wn_tensor *outs[] = {wn_zip(WN_ADD, a, b), wn_name(wn_reshape(c, 1, (int64_t[]){4}), "flat")};
  wn_input(ctx, WN_F32, 1, (int64_t[]){4}, NULL); /* nothing depends on it */
  assert_int_equal(wn_compile(ctx, outs, NULL, 2, &direct, &p), WN_OK);
  refused(p, wn_program_find(p, "twice", &slot), "\"twice\" may be slot 0, input 0 \"twice\"");
  assert_int_equal(slot, -1);
  refused(p, wn_program_find(p, "thrice", &slot), "no slot is called \"thrice\"");
  assert_int_equal(wn_program_find(p, "flat", &slot),
                   WN_OK); /* of the reshape, not of what is below */
  assert_int_equal(slot, 4);
  assert_int_equal(wn_program_find(p, "input2", &slot), WN_OK);
  assert_int_equal(slot, 2);
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_int_equal(info.inputs, 3);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

/* --- binding --------------------------------------------------------------------------------- */

/* Every plan, on arrays that it was not compiled with; each slot by itself too. */
static void test_plans(void **state) {
  (void)state;
  static const char *const backends[] = {"interp", "cpu"};
  arrays *a = draw(3), *b = draw(4);
  for (int n = 0; n < 2; ++n) {
    for (const char *const *plan = wn_plan_names(); *plan != NULL; ++plan) {
      for (int variable = 0; variable < 2; ++variable) {
        fixture f;
        compile(&f, a,
                &WN_OPTIONS(.plan = *plan, .backend = backends[n], .threads = 1,
                            .variable_weights = variable));
        runs(f.p);
        check_own(*plan, a);
        bind_all(f.p, b);
        runs(f.p);
        check_own(*plan, b);
        binds(f.p, BIAS, a->bias);
        runs(f.p);
        check(*plan, b->x, b->w, a->bias, b->y);
        binds(f.p, FILTERS, a->w);
        binds(f.p, RESULT, a->y);
        runs(f.p);
        check(*plan, b->x, a->w, a->bias, a->y);
        drop(&f);
      }
    }
  }
  free(a);
  free(b);
}

/* A constant that was changed and is bound again, to where it is. */
static void test_again(void **state) {
  (void)state;
  arrays *a = draw(5);
  fixture f;
  compile(&f, a, &interpreted);
  runs(f.p);
  for (int i = 0; i < F; ++i) a->w[i] = value_at((unsigned)i, 77);
  binds(f.p, FILTERS, a->w);
  assert_int_equal(wn_prepare(f.p), WN_OK);
  runs(f.p);
  check_own("bound again", a);
  drop(&f);
  free(a);
}

static void test_unbound(void **state) {
  (void)state;
  static const char *const says[] = {
      "input 0 \"image\" of shape [1, 6, 11, 12] has no array",
      "constant 0 \"filters\" of shape [5, 6, 3, 3] has no array",
      "constant 1 of shape [1, 5, 1, 1] has no array",
      "output 0 of shape [1, 5, 11, 12] has no array",
  };
  arrays *a = draw(6);
  const void *data[] = {a->x, a->w, a->bias, a->y};
  fixture f;
  double us[8];
  compile(&f, NULL, &interpreted);
  for (int slot = 0; slot < SLOTS; ++slot) {
    refused(f.p, wn_run(f.p), says[slot]);
    refused(f.p, wn_run_timed(f.p, us), says[slot]);
    refused(f.p, wn_launch(f.p), says[slot]);
    binds(f.p, slot, data[slot]);
  }
  runs(f.p);
  check_own("bound late", a);
  drop(&f);
  compile(&f, NULL, &interpreted); /* preparing asks for constants alone */
  binds(f.p, FILTERS, a->w);
  refused(f.p, wn_prepare(f.p), "constant 1");
  binds(f.p, BIAS, a->bias);
  assert_int_equal(wn_prepare(f.p), WN_OK);
  drop(&f);
  free(a);
}

/* Of all functions, nothing is changed where one is refused. */
static void test_refused(void **state) {
  (void)state;
  arrays *a = draw(7), *b = draw(8);
  fixture f;
  compile(&f, a, &interpreted);
  refused(f.p, wn_bind(f.p, -1, b->x), "wn_bind: there is no slot -1: the program has 4, from 0");
  refused(f.p, wn_bind(f.p, SLOTS, b->x), "there is no slot 4");
  refused(f.p, wn_bind(f.p, IMAGE, NULL),
          "input 0 \"image\" of shape [1, 6, 11, 12] cannot be NULL");
  refused(f.p, wn_bind(f.p, IMAGE, (char *)b->x + 2), "is not aligned to the 4 bytes of f32");
  refused(f.p, wn_bind(f.p, RESULT, a->x), "output 0 of shape [1, 5, 11, 12] overlaps input 0");
  refused(f.p, wn_bind(f.p, RESULT, a->w + F - 1),
          "output 0 of shape [1, 5, 11, 12] overlaps constant 0");
  refused(f.p, wn_bind(f.p, IMAGE, a->y + Y - 1), "overlaps input 0 \"image\"");
  refused(f.p, wn_bind(f.p, FILTERS, a->x),
          "input 0 \"image\" of shape [1, 6, 11, 12] overlaps constant 0");
  refused(f.p, wn_bind(f.p, FILTERS, a->y), "output 0");
  binds(f.p, BIAS, a->w); /* both are constants */
  binds(f.p, BIAS, a->bias);
  const int two[] = {IMAGE, RESULT};
  const void *half[] = {b->x, b->x};
  refused(f.p, wn_bind_many(f.p, 2, two, half), "wn_bind_many: output 0");
  runs(f.p);
  check_own("after what was refused", a);
  drop(&f);
  free(a);
  free(b);
}

/* What a step wrote the next one reads. */
static void test_swap(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *p;
  float u[7] = {1, 2, 3, 4, 5, 6, 7}, v[7] = {0};
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *x = wn_input(ctx, WN_F32, 1, (int64_t[]){7}, u);
  wn_tensor *y = wn_zip(WN_ADD, x, wn_flip(x, (int[]){0}, 1));
  void *data = v;
  assert_int_equal(wn_compile(ctx, &y, &data, 1, &direct, &p), WN_OK);
  const int slots[] = {0, 1};
  for (int i = 0; i < 4; ++i) {
    float *from = i % 2 == 0 ? u : v, *to = i % 2 == 0 ? v : u;
    refused(p, wn_bind(p, 0, i == 0 ? v : from), "overlaps"); /* one by one */
    assert_int_equal(wn_bind_many(p, 2, slots, (const void *[]){from, to}), WN_OK);
    runs(p);
    for (int k = 0; k < 7; ++k) assert_float_equal(to[k], (float)(8 << i), 0);
  }
  assert_int_equal(wn_bind_many(p, 0, NULL, NULL), WN_OK);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

/* Another thread's run, or binding, as its mark says. */
static void test_busy(void **state) {
  (void)state;
  arrays *a = draw(9);
  fixture f;
  compile(&f, a, &interpreted);
  assert_true(program_enter(f.p, PROGRAM_RUNS));
  refused(f.p, wn_bind(f.p, IMAGE, a->x), "a thread runs or binds the program");
  program_leave(f.p);
  assert_true(program_enter(f.p, PROGRAM_IS_BOUND));
  refused(f.p, wn_run(f.p), "another thread binds");
  refused(f.p, wn_bind(f.p, IMAGE, a->x), "a thread runs or binds the program");
  program_leave(f.p);
  binds(f.p, IMAGE, a->x);
  runs(f.p);
  check_own("left alone", a);
  drop(&f);
  free(a);
}

/* What depends on constants alone is prepared, in rounds of a host loop as well; and is prepared
 * again. */
static void test_rounds(void **state) {
  (void)state;
  arrays *a = draw(10), *b = draw(11);
  float zeros[Y] = {0};
  wn_context *ctx;
  wn_program *p;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *x = wn_constant(ctx, WN_F32, 4, (int64_t[]){1, C, H, W}, a->x);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, a->w);
  wn_tensor *bias = wn_constant(ctx, WN_F32, 4, (int64_t[]){1, K, 1, 1}, a->bias);
  wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  wn_tensor *once = wn_zip(WN_ADD, wn_conv(x, w, &same), bias);
  wn_tensor *read = wn_reduce(WN_SUM, once, (int[]){1, 2, 3}, 3, 1); /* so that it is stored */
  wn_tensor *zero = wn_input(ctx, WN_F32, 4, (int64_t[]){1, K, H, W}, zeros);
  wn_tensor *sum = wn_zip(WN_ADD, once, zero), *y = wn_zip(WN_ADD, sum, wn_zip(WN_SUB, read, read));
  void *data = a->y;
  wn_options o = interpreted;
  o.plan = "x=global,g=global,m=global,o=global;chunk=12;wino=2";
  if (wn_compile(ctx, &y, &data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  bool rounds = false;
  for (int g = 0; g < p->compiled->list.prepare_groups; ++g)
    rounds |= p->compiled->list.rounds[g].count > 1;
  assert_true(rounds);
  runs(p);
  check_own("prepared in rounds", a);
  binds(p, 1, b->x);
  runs(p);
  check("prepared in rounds again", b->x, a->w, a->bias, a->y);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  free(a);
  free(b);
}

/* --- fixed inputs ---------------------------------------------------------------------------- */

static void test_fixed(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *p;
  float x[6] = {1, 2, 3, 4, 5, 6}, scale[1] = {3}, shift[6] = {1, 1, 1, 1, 1, 1}, y[6];
  float each[6] = {6, 5, 4, 3, 2, 1};
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *t = wn_input(ctx, WN_F32, 2, (int64_t[]){2, 3}, x);
  wn_tensor *by = wn_name(wn_fixed_input(ctx, WN_F32, 1, (int64_t[]){1}, scale), "scale");
  wn_tensor *add = wn_fixed_input(ctx, WN_F32, 2, (int64_t[]){2, 3}, shift);
  wn_tensor *more = wn_fixed_input(ctx, WN_F32, 2, (int64_t[]){2, 3}, each);
  t = wn_zip(WN_ADD, wn_zip(WN_ADD, wn_zip(WN_MUL, t, by), add), more);
  void *data = y;
  for (int variable = 0; variable < 2; ++variable) {
    wn_options o = direct;
    o.variable_weights = variable;
    scale[0] = 3;
    each[0] = 6;
    assert_int_equal(wn_compile(ctx, &t, &data, 1, &o, &p), WN_OK);
    scale[0] = 100; /* too late */
    each[0] = 100;
    runs(p);
    for (int i = 0; i < 6; ++i) assert_float_equal(y[i], 3 * x[i] + 1 + (float)(6 - i), 0);
    wn_slot_info info = WN_SLOT_INFO();
    assert_int_equal(wn_program_get_slot(p, 1, &info), WN_OK);
    assert_int_equal(info.kind, WN_SLOT_FIXED);
    assert_string_equal(info.name, "scale");
    assert_int_equal(wn_program_get_slot(p, 3, &info), WN_OK);
    assert_int_equal(info.kind, WN_SLOT_FIXED);
    assert_string_equal(info.name, "input3");
    refused(p, wn_bind(p, 1, scale),
            "input 1 \"scale\" of shape [1] was read when the program was compiled: compile again");
    for (int i = 0; i < p->compiled->list.args; ++i) /* those of one value are in the code */
      assert_true(p->compiled->list.array[p->compiled->list.arg[i].array].block != 1 &&
                  p->compiled->list.array[p->compiled->list.arg[i].array].block != 2);
    wn_program_destroy(p);
  }
  wn_context_destroy(ctx);
}

/* --- sharing --------------------------------------------------------------------------------- */

static void test_share(void **state) {
  (void)state;
  for (int first = 0; first < 2; ++first) { /* which one is destroyed first */
    for (int threads = 1; threads <= 2; ++threads) {
      arrays *a = draw(20), *b = draw(21), *c = draw(22);
      fixture f;
      wn_program *other, *third;
      wn_options o = interpreted;
      o.threads = threads;
      compile(&f, a, &o);
      assert_int_equal(wn_program_share(f.p, &other), WN_OK);
      assert_ptr_equal(other->compiled, f.p->compiled);
      assert_ptr_equal(other->prepared, f.p->prepared);
      refused(other, wn_run(other), "output 0 of shape [1, 5, 11, 12] has no array");
      binds(other, IMAGE, b->x);
      binds(other, RESULT, b->y);
      runs(other); /* which prepares for both */
      assert_true(f.p->prepared->done);
      check("shared", b->x, a->w, a->bias, b->y);
      runs(f.p);
      check_own("the first", a);
      binds(other, BIAS, b->bias); /* from here on its own */
      assert_ptr_not_equal(other->prepared, f.p->prepared);
      runs(other);
      check("its own bias", b->x, a->w, b->bias, b->y);
      runs(f.p);
      check_own("the first again", a);
      assert_int_equal(wn_program_share(other, &third), WN_OK);
      assert_ptr_equal(other->prepared, third->prepared);
      wn_program_destroy(first == 0 ? f.p : other);
      wn_program *left = first == 0 ? other : f.p;
      binds(third, RESULT, c->y);
      runs(third);
      check("the third", b->x, a->w, b->bias, c->y);
      bind_all(left, c);
      runs(left);
      check_own("what is left", c);
      wn_program_destroy(third);
      runs(left);
      check_own("what is left alone", c);
      wn_program_destroy(left);
      wn_context_destroy(f.ctx);
      free(a);
      free(b);
      free(c);
    }
  }
}

/* --- arrays without elements ------------------------------------------------------------------ */

/* An input of none has no slot, an output of none one of no bytes, in which anything may be bound. */
static void test_empty(void **state) {
  (void)state;
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  float in[6] = {1, 2, 3, 4, 5, 6}, out[3] = {0};
  wn_tensor *none = wn_name(wn_input(ctx, WN_F32, 2, (int64_t[]){0, 3}, NULL), "none");
  wn_tensor *x = wn_name(wn_input(ctx, WN_F32, 2, (int64_t[]){2, 3}, in), "some");
  wn_tensor *sum = wn_zip(WN_ADD, wn_reduce(WN_SUM, none, (int[]){0}, 1, 0),
                          wn_reduce(WN_SUM, x, (int[]){0}, 1, 0));
  wn_tensor *outs[] = {wn_map(WN_EXP, none), sum,
                       wn_matmul(wn_map(WN_NEG, none), wn_permute(x, (int[]){1, 0}))};
  void *data[] = {NULL, out, NULL};
  wn_program *p;
  if (wn_compile(ctx, outs, data, 3, &direct, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_int_equal(info.inputs, 1);
  assert_int_equal(info.outputs, 3);
  assert_int_equal(info.kernels, 1);
  wn_slot_info slot = WN_SLOT_INFO();
  assert_int_equal(wn_program_get_slot(p, 1, &slot), WN_OK);
  assert_true(slot.kind == WN_SLOT_OUTPUT && slot.bytes == 0 && slot.ndim == 2 &&
              slot.shape[0] == 0);
  assert_null(slot.data);
  runs(p);
  assert_true(out[0] == 5 && out[1] == 7 && out[2] == 9);
  binds(p, 1, NULL);
  binds(p, 1, (char *)in + 1); /* neither its alignment nor whose it is matters */
  binds(p, 3, out + 1);
  assert_int_equal(wn_bind_many(p, 2, (int[]){1, 3}, (const void *[]){NULL, NULL}), WN_OK);
  refused(p, wn_bind(p, 2, NULL), "output 1 of shape [3] cannot be NULL");
  in[0] = 11;
  runs(p);
  assert_true(out[0] == 15 && out[1] == 7 && out[2] == 9);
  wn_program *other;
  assert_int_equal(wn_program_share(p, &other), WN_OK);
  refused(other, wn_run(other), "output 1 of shape [3] has no array");
  binds(other, 2, out);
  runs(other);
  wn_program_destroy(other);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void count_texts(void *user, const char *text) {
  (void)text;
  ++*(int *)user;
}

/* Nothing but outputs without elements: there is a program, which does nothing. */
static void test_all_empty(void **state) {
  (void)state;
  static const char *const backends[] = {"interp", "cpu"};
  for (int i = 0; i < 2; ++i) {
    wn_context *ctx;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_tensor *none = wn_input(ctx, WN_F32, 4, (int64_t[]){0, 3, 8, 8}, NULL);
    wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){4, 3, 3, 3}, NULL);
    wn_tensor *y = wn_conv(none, w, NULL);
    void *data = NULL;
    wn_program *p;
    const wn_options o = WN_OPTIONS(.backend = backends[i], .threads = 1, .no_cache = 1);
    if (wn_compile(ctx, &y, &data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
    wn_program_info info = WN_PROGRAM_INFO();
    assert_int_equal(wn_program_get_info(p, &info), WN_OK);
    assert_int_equal(info.kernels + info.prepare_kernels + info.constants + info.inputs, 0);
    assert_int_equal(info.workspace_bytes, 0);
    double us[1];
    assert_int_equal(wn_prepare(p), WN_OK);
    runs(p);
    assert_int_equal(wn_run_timed(p, us), WN_OK);
    wn_program_destroy(p);
    assert_int_equal(wn_tune(ctx, &y, &data, 1, &o, NULL, NULL), WN_ERR_USAGE);
    int texts = 0;
    assert_int_equal(wn_explain(ctx, &y, NULL, 1, &o, count_texts, &texts), WN_OK);
    assert_true(texts > 0);
    wn_context_destroy(ctx);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_empty),   cmocka_unit_test(test_all_empty),
      cmocka_unit_test(test_slots),   cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_names),   cmocka_unit_test(test_plans),
      cmocka_unit_test(test_again),   cmocka_unit_test(test_unbound),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_swap),
      cmocka_unit_test(test_busy),    cmocka_unit_test(test_rounds),
      cmocka_unit_test(test_fixed),   cmocka_unit_test(test_share),
  };
  return cmocka_run_group_tests_name("binding", tests, NULL, NULL);
}
