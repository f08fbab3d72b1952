/* What is read at places that are data, against plain loops in float64: of inputs, constants and computed values, at
 * places given and computed, below and above whatever else there is, on every backend of this CPU, its instruction sets,
 * and OpenCL where there is a device. WINNOW_LONG=1 takes each graph everywhere, the quick tier some, by seed.
 * WINNOW_SEED=<seed> draws the same ones again, and everywhere. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "backend/runtime.h"
#include "sanitized.h"

#define TOLERANCE 1e-5

static const wn_conv_params same3 = {
    .size = sizeof(wn_conv_params), .pad_lo = {1, 1}, .pad_hi = {1, 1}};

static outputs single(twin x) { return (outputs){1, {x}}; }

static twin image(twins *w, int64_t n, int64_t c, int64_t h, int64_t x) {
  return twin_leaf(w, false, 1, 4, (int64_t[]){n, c, h, x});
}

static twin filters(twins *w, int64_t k, int64_t c) {
  return twin_leaf(w, true, 1 / sqrt(9.0 * (double)c), 4, (int64_t[]){k, c, 3, 3});
}

static wn_dtype any_int(twins *w) { return chance(w->random, 50) ? WN_I32 : WN_I64; }

/* Places on an axis of n elements, some from the end, and some beyond both ends where `wild`. */
static twin places(twins *w, int64_t n, bool wild, int nd, const int64_t *shape) {
  int64_t more = wild ? 2 : 0;
  return twin_places(w, chance(w->random, 50), any_int(w), -n - more, n - 1 + more, nd, shape);
}

static twin any_places(twins *w, int64_t n) {
  int64_t shape[3];
  int nd = (int)below(w->random, 4);
  for (int d = 0; d < nd; ++d) shape[d] = between(w->random, 1, nd == 1 ? 40 : 6);
  return places(w, n, chance(w->random, 50), nd, shape);
}

static twin any_leaf(twins *w) {
  int64_t shape[4];
  int nd = (int)between(w->random, 1, 4);
  for (int d = 0; d < nd; ++d) shape[d] = between(w->random, 1, nd == 1 ? 50 : 9);
  return twin_leaf(w, chance(w->random, 30), 1, nd, shape);
}

/* Whole numbers that a kernel computes: 2 n u of float32 u in [-1, 1), cut off as a cast cuts. */
static twin computed_places(twins *w, int64_t n, int nd, const int64_t *shape) {
  twin u = twin_scale(w, twin_leaf(w, false, 1, nd, shape), (double)(2 * n));
  wn_dtype dtype = any_int(w);
  twin x = twin_new(w, wn_cast(u.t, dtype), nd, shape);
  for (int64_t i = twin_count(&x); i-- > 0;) x.v[i] = trunc((double)(float)u.v[i]);
  return x;
}

/* --- alone ------------------------------------------------------------------------------------ */

static outputs plain(twins *w) {
  twin x = any_leaf(w);
  int along = (int)below(w->random, x.nd);
  return single(twin_gather(w, x, any_places(w, x.shape[along]), along));
}

/* 0 outside, whatever the value would be for 0. */
static outputs of_computed(twins *w) {
  twin x = any_leaf(w);
  int along = (int)below(w->random, x.nd);
  twin y = twin_map(w, chance(w->random, 50) ? WN_EXP : WN_SIGMOID, x);
  return single(twin_gather(w, y, any_places(w, x.shape[along]), along));
}

static outputs at_computed(twins *w) {
  twin x = any_leaf(w);
  int along = (int)below(w->random, x.nd);
  twin index = computed_places(w, x.shape[along], 2, (int64_t[]){between(w->random, 1, 5), 7});
  return single(twin_map(w, WN_SIGMOID, twin_gather(w, x, index, along)));
}

/* Places that are sums. */
static outputs at_reduced(twins *w) {
  twin x = any_leaf(w);
  int along = (int)below(w->random, x.nd);
  int64_t shape[2] = {between(w->random, 1, 5), between(w->random, 1, 20)};
  twin parts = places(w, x.shape[along], true, 2, shape);
  twin sum = twin_new(w, wn_reduce(WN_SUM, parts.t, (int[]){1}, 1, 0), 1, shape);
  for (int64_t i = twin_count(&parts); i-- > 0;) sum.v[i / shape[1]] += parts.v[i];
  return (outputs){2, {twin_gather(w, x, sum, along), x}};
}

static outputs gather_of_gather(twins *w) {
  twin x = any_leaf(w);
  int along = (int)below(w->random, x.nd);
  twin y = twin_gather(w, x, any_places(w, x.shape[along]), along);
  if (y.nd == 0 || y.nd > 5) return single(y);
  int again = (int)below(w->random, y.nd);
  return single(twin_gather(w, y, places(w, y.shape[again], true, 1, (int64_t[]){5}), again));
}

/* Places that are read at places. */
static outputs at_gathered(twins *w) {
  twin x = any_leaf(w);
  int along = (int)below(w->random, x.nd);
  twin table = places(w, x.shape[along], true, 1, (int64_t[]){9});
  twin index = twin_gather(w, table, places(w, 9, true, 2, (int64_t[]){4, 3}), 0);
  return single(twin_gather(w, x, index, along));
}

/* The same places in two tensors, and in one tensor twice. */
static outputs shared_places(twins *w) {
  twin x = image(w, 1, 5, 6, 7), y = image(w, 2, 5, 3, 1);
  twin index = places(w, 5, true, 1, (int64_t[]){11});
  twin a = twin_gather(w, x, index, 1), b = twin_gather(w, y, index, 1);
  twin once = twin_zip(w, WN_ADD, a, twin_map(w, WN_TANH, a));
  return (outputs){2, {once, b}};
}

/* --- among movement --------------------------------------------------------------------------- */

static outputs among_movement(twins *w) {
  twin x = image(w, 2, 3, between(w->random, 2, 9), between(w->random, 2, 9));
  x = twin_pad(w, twin_map(w, WN_SIGMOID, x), (int64_t[]){0, 1, 0, 2}, (int64_t[]){0, 0, 1, 0});
  x = twin_permute(w, x, (int[]){2, 0, 3, 1});
  int64_t flat[2] = {x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]};
  twin y = twin_reshape(w, x, 2, flat);
  int along = (int)below(w->random, 2);
  y = twin_gather(w, y, places(w, flat[along], true, 2, (int64_t[]){4, 6}), along);
  y = twin_pad(w, y, (int64_t[]){0, 2, 0}, (int64_t[]){1, 0, 0});
  bool flip[3] = {chance(w->random, 50), chance(w->random, 50), chance(w->random, 50)};
  y = twin_slice(w, y, (int64_t[]){1, 0, 0}, y.shape, (int64_t[]){1, 2, 1}, flip);
  int64_t whole = twin_count(&y);
  return single(twin_map(w, WN_TANH, twin_reshape(w, y, 1, &whole)));
}

static outputs under_sum(twins *w) {
  twin x = any_leaf(w);
  int along = (int)below(w->random, x.nd);
  twin y = twin_gather(
      w, x, places(w, x.shape[along], true, 1, (int64_t[]){between(w->random, 1, 90)}), along);
  twin factor = twin_leaf(w, true, 1, y.nd, y.shape);
  y = twin_zip(w, WN_MUL, y, factor);
  int64_t terms = (int64_t)y.shape[along];
  return single(twin_scale(w, twin_reduce(w, WN_SUM, y, along), 1 / sqrt((double)terms)));
}

/* --- with convolutions and products ----------------------------------------------------------- */

/* Channels in another order, rows, or columns that are read at places. */
static outputs before_conv(twins *w) {
  twin x =
      image(w, 1, between(w->random, 1, 9), between(w->random, 2, 14), between(w->random, 2, 14));
  int along = (int)between(w->random, 1, 3);
  twin index =
      places(w, x.shape[along], chance(w->random, 50), 1, (int64_t[]){between(w->random, 3, 17)});
  x = twin_gather(w, x, index, along);
  return single(twin_map(
      w, WN_RELU, twin_conv(w, x, filters(w, between(w->random, 1, 9), x.shape[1]), &same3)));
}

/* The policy of a chess network: some of the elements of a convolution. */
static outputs after_conv(twins *w) {
  int64_t c = between(w->random, 1, 9), k = between(w->random, 1, 9), flat[2] = {1, k * 64};
  twin y = twin_conv(w, image(w, 1, c, 8, 8), filters(w, k, c), &same3);
  y = twin_reshape(w, y, 2, flat);
  twin index = places(w, flat[1], false, 1, (int64_t[]){between(w->random, 1, 200)});
  return single(twin_map(w, WN_TANH, twin_gather(w, y, index, 1)));
}

/* Weights that are read at places. */
static outputs as_weights(twins *w) {
  int64_t c = between(w->random, 1, 6), k = between(w->random, 1, 6);
  twin f = twin_gather(w, filters(w, k, c), places(w, k, true, 1, (int64_t[]){k + 2}), 0);
  return single(twin_conv(w, image(w, 1, c, 9, 11), f, &same3));
}

/* Rows of a table, times a matrix, as language models begin. */
static outputs embedding(twins *w) {
  int64_t n = between(w->random, 2, 60), width = between(w->random, 1, 70);
  twin table = twin_leaf(w, true, 1, 2, (int64_t[]){n, width});
  twin rows =
      twin_gather(w, table, places(w, n, true, 2, (int64_t[]){2, between(w->random, 1, 20)}), 0);
  twin m =
      twin_leaf(w, true, 1 / sqrt((double)width), 2, (int64_t[]){width, between(w->random, 1, 33)});
  return (outputs){2, {rows, twin_matmul(w, rows, m)}};
}

static const struct {
  const char *name;
  build_fn build;
} graphs[] = {
    {"plain", plain},
    {"of computed values", of_computed},
    {"at computed places", at_computed},
    {"at sums", at_reduced},
    {"of what is gathered", gather_of_gather},
    {"at what is gathered", at_gathered},
    {"shared places", shared_places},
    {"among movement", among_movement},
    {"under a sum", under_sum},
    {"before a convolution", before_conv},
    {"after a convolution", after_conv},
    {"as weights", as_weights},
    {"embedding", embedding},
};
enum { GRAPHS = sizeof graphs / sizeof *graphs };

/* --- all of them ------------------------------------------------------------------------------ */

typedef struct graph_run {
  attempt a;
  build_fn build;
} graph_run;

static int run_one(void *user) {
  graph_run *r = user;
  return try_plan(&r->a, r->build);
}

/* Of how many programs the quick tier has one, where it has one of `of` without a sanitizer. */
static uint64_t one_of(int of) {
  if (getenv("WINNOW_LONG") != NULL || getenv("WINNOW_SEED") != NULL) return 1;
  return (uint64_t)(in_part() ? 2 * of : of);
}

/* Each graph, or one of `of` of them; in the long tier three times, with other shapes and data each time. */
static int try_all(const char *backend, const char *isa, const char *plan, int of, uint64_t seed,
                   char *running) {
  int wrong = 0, rounds = getenv("WINNOW_LONG") != NULL ? 3 : 1;
  for (int i = 0; i < GRAPHS * rounds; ++i) {
    if ((seed + (uint64_t)i) % one_of(of) != 0) continue;
    graph_run r = {.a = {.name = graphs[i % GRAPHS].name,
                         .plan = plan,
                         .backend = backend,
                         .isa = isa,
                         .seed = seed + (uint64_t)(i / GRAPHS),
                         .tolerance = TOLERANCE,
                         .may_refuse = strcmp(plan, "auto") != 0},
                   .build = graphs[i % GRAPHS].build};
    note_running(running, &r.a);
    wrong += in_process(r.a.name, run_one, &r, running);
  }
  return wrong;
}

static void on_every_isa(void **state) {
  uint64_t seed = test_seed();
  isa_list isas = machine_isas();
  int wrong = try_all("interp", NULL, "auto", 1, seed, *state);
  for (int i = 0; i < isas.count; ++i)
    wrong += try_all("cpu", isas.name[i], "auto", 1, seed, *state);
  wrong += try_all("cpu:cc", NULL, "auto", 3, seed, *state);
  assert_int_equal(wrong, 0);
}

/* Rewritten where they can be: what is read at places goes through transforms and guards. */
static void under_every_plan(void **state) {
  static const char *const plans[] = {"old",   "new",   "one",    "inline-m",
                                      "fused", "split", "direct", "x-only"};
  uint64_t seed = test_seed();
  int wrong = 0;
  for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i)
    wrong += try_all("cpu", NULL, plans[i], 3, seed + i, *state);
  assert_int_equal(wrong, 0);
}

/* --- on a device ------------------------------------------------------------------------------ */

typedef struct device_run {
  uint64_t seed;
  char *running;
} device_run;

/* Its driver is asked in the child alone: what was in use before a fork does not work after it. One child for all graphs,
 * since the driver takes a second to start. */
static int run_on_device(void *user) {
  const device_run *s = user;
  const device_info *list = NULL;
  const char *why = NULL;
  int wrong = 0;
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  int n = runtime_devices(&d, &a, "opencl", &list, &why);
  if (n == 0) print_message("# no OpenCL device: %s\n", why);
  arena_release(&a);
  for (int i = 0; n > 0 && i < 2 * GRAPHS; ++i) {
    if ((s->seed + (uint64_t)i) % one_of(5) != 0) continue;
    attempt at = {.name = graphs[i / 2].name,
                  .plan = "auto",
                  .backend = "opencl",
                  .isa = i % 2 ? "simt" : "simd",
                  .seed = s->seed,
                  .tolerance = TOLERANCE};
    note_running(s->running, &at);
    alarm(PATIENCE);
    wrong += try_plan(&at, graphs[i / 2].build);
  }
  return wrong;
}

static void on_opencl(void **state) {
  device_run s = {test_seed(), *state};
  assert_int_equal(in_process("on OpenCL", run_on_device, &s, s.running), 0);
}

/* --- memory ----------------------------------------------------------------------------------- */

enum { ROWS = 7, WIDTH = 9, READS = 21 };

/* Places as far outside as there are, of a table and in a list that both end with their page: nothing else is touched. */
static void reads_nothing_else(void **state) {
  (void)state;
  static const int64_t far[] = {INT64_MIN,        INT64_MAX,          INT32_MIN,
                                INT32_MAX,        -ROWS - 1,          ROWS,
                                INT64_MIN + ROWS, INT64_MAX / WIDTH,  INT64_MAX / WIDTH / 4,
                                (int64_t)1 << 32, -((int64_t)1 << 32)};
  static const char *const backends[] = {"interp", "cpu", "cpu:cc"};
  guard guards[3];
  float *table = guard_new(&guards[0], sizeof *table * ROWS * WIDTH, true);
  int64_t *places_64 = guard_new(&guards[1], sizeof *places_64 * READS, true);
  int32_t *places_32 = guard_new(&guards[2], sizeof *places_32 * READS, true);
  static float rows[READS * WIDTH], columns[ROWS * READS];
  assert_true(table != NULL && places_64 != NULL && places_32 != NULL);
  for (int i = 0; i < ROWS * WIDTH; ++i) table[i] = (float)(i + 1);
  for (int i = 0; i < READS; ++i) {
    places_64[i] = i < 11 ? far[i] : i - 15;
    places_32[i] = (int32_t)places_64[i];
  }
  for (int i = 0; i < 6; ++i) {
    bool wide = i % 2;
    wn_context *ctx;
    wn_program *p;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_on_warning(ctx, ignore_warning, NULL);
    wn_tensor *t = wn_input(ctx, WN_F32, 2, (int64_t[]){ROWS, WIDTH}, table);
    wn_tensor *index = wn_input(ctx, wide ? WN_I64 : WN_I32, 1, (int64_t[]){READS},
                                wide ? (const void *)places_64 : places_32);
    wn_tensor *outs[] = {wn_gather(t, index, 0), wn_gather(t, index, 1)};
    void *data[] = {rows, columns};
    const wn_options o = WN_OPTIONS(.backend = backends[i / 2], .no_cache = 1);
    assert_int_equal(wn_compile(ctx, outs, data, 2, &o, &p), WN_OK);
    assert_int_equal(wn_run(p), WN_OK);
    for (int r = 0; r < READS; ++r) {
      int64_t at = wide ? places_64[r] : places_32[r], row = at < 0 && at >= -ROWS ? at + ROWS : at,
              column = at < 0 && at >= -WIDTH ? at + WIDTH : at;
      for (int k = 0; k < WIDTH; ++k)
        assert_true(rows[r * WIDTH + k] == (row < 0 || row >= ROWS ? 0 : table[row * WIDTH + k]));
      for (int k = 0; k < ROWS; ++k)
        assert_true(columns[k * READS + r] ==
                    (column < 0 || column >= WIDTH ? 0 : table[k * WIDTH + column]));
    }
    wn_program_destroy(p);
    wn_context_destroy(ctx);
  }
  for (int i = 0; i < 3; ++i) guard_drop(&guards[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(on_every_isa),
      cmocka_unit_test(under_every_plan),
      cmocka_unit_test(on_opencl),
      cmocka_unit_test(reads_nothing_else),
  };
  return cmocka_run_group_tests_name("gather", tests, share_text, unshare_text);
}
