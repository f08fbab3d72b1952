/* Values that are stored over what they are made of, against float64: random graphs of residual additions, maps of what
 * was summed or convolved before, scales of a squeeze-excite branch, normalisations and concatenations, in odd sizes and
 * either order in memory, under auto and named plans, on every backend of the CPU, every instruction set, work items of
 * the interpreter and OpenCL, with one to three threads, and with the least memory that a graph can do with. How many
 * values were stored so is asserted. WINNOW_SEED=<seed> draws the same graphs again, WINNOW_SECONDS=<seconds> more. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "sanitized.h"

#define LEN(a)    (sizeof(a) / sizeof *(a))
#define TOLERANCE 3e-5 /* as networks of so many layers have it */
enum { MOST_STEPS = 6 };

/* --- graphs ----------------------------------------------------------------------------------- */

static twin filters(twins *w, int64_t k, int64_t c, int64_t r, int64_t s) {
  return twin_leaf(w, true, 1.7 / sqrt((double)(c * r * s)), 4, (int64_t[]){k, c, r, s});
}

static twin per_channel(twins *w, int64_t c, double scale) {
  return twin_leaf(w, true, scale, 4, (int64_t[]){1, c, 1, 1});
}

static twin activation(twins *w, twin x) {
  static const wn_unary maps[] = {WN_RELU, WN_TANH, WN_SIGMOID, WN_ABS};
  return twin_map(w, maps[below(w->random, LEN(maps))], x);
}

/* Of the same size. */
static twin conv(twins *w, twin x, int64_t k) {
  static const int64_t sizes[][2] = {{3, 3}, {3, 3}, {3, 3}, {1, 1}, {1, 1}, {5, 5}, {1, 3}};
  const int64_t *size = sizes[below(w->random, LEN(sizes))], c = x.shape[1];
  const bool depthwise = k == c && chance(w->random, 15);
  const wn_conv_params p =
      WN_CONV_PARAMS(.groups = depthwise ? c : 1, .pad_lo = {size[0] / 2, size[1] / 2},
                     .pad_hi = {size[0] / 2, size[1] / 2});
  return twin_conv(w, x, filters(w, k, depthwise ? 1 : c, size[0], size[1]), &p);
}

static twin biased(twins *w, twin x) {
  return twin_zip(w, WN_ADD, x, per_channel(w, x.shape[1], 1));
}

static twin pixels(twins *w, wn_reduction op, twin x) {
  return twin_reduce(w, op, twin_reduce(w, op, x, 3), 2);
}

/* relu(conv(relu(conv(x))) + x): x is read for the last time where the result is stored. */
static twin residual(twins *w, twin x) {
  twin y = activation(w, biased(w, conv(w, x, between(w->random, 1, 9))));
  y = twin_zip(w, WN_ADD, biased(w, conv(w, y, x.shape[1])), x);
  return chance(w->random, 70) ? activation(w, y) : y;
}

/* The residual is a convolution too, a kernel of its own. */
static twin projected(twins *w, twin x) {
  int64_t k = between(w->random, 1, 20);
  twin y = activation(w, conv(w, x, k));
  return activation(w, twin_zip(w, WN_ADD, conv(w, y, k), conv(w, x, k)));
}

static twin excited(twins *w, twin x) {
  twin means = twin_scale(w, pixels(w, WN_SUM, x), 1.0 / (double)(x.shape[2] * x.shape[3]));
  twin f = filters(w, x.shape[1], x.shape[1], 1, 1);
  return twin_zip(w, WN_MUL, x, twin_map(w, WN_SIGMOID, twin_conv(w, means, f, &WN_CONV_PARAMS())));
}

/* A map of what a convolution and a sum read before. */
static twin mapped(twins *w, twin x) {
  twin most = pixels(w, WN_MAXIMUM, conv(w, x, 1));
  return activation(
      w, twin_zip(w, WN_SUB, twin_zip(w, WN_MUL, x, per_channel(w, x.shape[1], 1)), most));
}

static twin normalised(twins *w, twin x) {
  const double n = (double)(x.shape[2] * x.shape[3]);
  twin centred = twin_zip(w, WN_SUB, x, twin_scale(w, pixels(w, WN_SUM, x), 1 / n));
  twin squares = twin_scale(w, pixels(w, WN_SUM, twin_zip(w, WN_MUL, centred, centred)), 1 / n);
  twin one = twin_leaf(w, true, 0, 0, NULL);
  one.t = wn_scalar(w->ctx, WN_F32, one.v[0] = 1.0);
  return twin_zip(w, WN_MUL, centred,
                  twin_map(w, WN_RECIPROCAL, twin_zip(w, WN_ADD, squares, one)));
}

/* A map of a concatenation, whose parts are stored into one array. */
static twin gathered(twins *w, twin x) {
  twin parts[] = {x, activation(w, conv(w, x, between(w->random, 1, 8)))};
  twin y = twin_concat(w, 2, parts, 1);
  return activation(w, twin_zip(w, WN_MUL, biased(w, y), pixels(w, WN_MAXIMUM, conv(w, y, 1))));
}

/* Rows turned into columns: not in place. */
static twin turned(twins *w, twin x) {
  return activation(w, biased(w, twin_permute(w, conv(w, x, x.shape[1]), (int[]){0, 1, 3, 2})));
}

static twin (*const steps[])(twins *w, twin x) = {
    residual, residual, residual, projected, excited, mapped, normalised, gathered, turned};

static outputs draw(twins *w) {
  const int64_t c =
      chance(w->random, 40) ? 8 * between(w->random, 1, 3) : between(w->random, 1, 11);
  const int64_t n = between(w->random, 1, 2), h = between(w->random, 2, 15),
                x = between(w->random, 2, 19);
  twin y = chance(w->random, 50)
               ? twin_leaf(w, false, 1, 4, (int64_t[]){n, c, h, x})
               : twin_permute(w, twin_leaf(w, false, 1, 4, (int64_t[]){n, h, x, c}),
                              (int[]){0, 3, 1, 2});
  y = activation(w, biased(w, conv(w, y, c)));
  const int count = (int)between(w->random, 2, MOST_STEPS);
  outputs o = {.count = 1};
  for (int i = 0; i < count; ++i) {
    y = steps[below(w->random, LEN(steps))](w, y);
    if (twin_count(&y) > 12000) break;
    if (i + 1 < count && o.count < 2 && chance(w->random, 8))
      o.out[o.count++] = y; /* the caller's */
  }
  o.out[0] = conv(w, y, between(w->random, 1, 5));
  return o;
}

/* --- ways to run them ------------------------------------------------------------------------- */

static const struct {
  const char *backend, *isa, *plan;
} ways[] = {
    {"cpu", NULL, "auto"},       {"cpu", NULL, "fused"},     {"cpu", NULL, "old"},
    {"cpu", NULL, "direct"},     {"cpu", NULL, "split"},     {"cpu", NULL, "one"},
    {"interp", NULL, "auto"},    {"interp", NULL, "old-2k"}, {"interp", "simt", "auto"},
    {"interp", "simt", "fused"}, {"cpu:cc", NULL, "auto"},   {"cpu", NULL, "new"},
};

typedef struct try {
  attempt a;
  shared_text *shared;
}
try;

/* Once as it is and once with the least memory; shared->ran counts values that were stored over others. */
static int run_try(void *user) {
  try *t = user;
  attempt *a = &t->a;
  note_running(t->shared->running, a);
  int wrong = try_plan(a, draw);
  t->shared->ran += a->in_place;
  if (wrong > 0 || a->status != WN_OK || a->seed % 4 != 0) return wrong;
  const size_t need = a->memory;
  a->max_memory = 1;
  a->may_refuse = true;
  if (strcmp(a->plan, "auto") != 0 || need == 0) return wrong;
  a->only_plan = true;
  try_plan(a, draw);
  const char *at = strstr(a->message, "needs at least ");
  if (at == NULL) return complain(a, "is not refused with the least that it needs", 0);
  a->max_memory = (size_t)strtoull(at + strlen("needs at least "), NULL, 10);
  a->only_plan = false;
  if (a->max_memory > need) return complain(a, "needs more than it took", (double)need);
  wrong += try_plan(a, draw);
  t->shared->ran += a->in_place;
  return wrong;
}

static int try_all(shared_text *shared, uint64_t seed, size_t way) {
  try t = {.a = {.name = "overwritten", .seed = seed, .tolerance = TOLERANCE, .may_refuse = true},
           .shared = shared};
  t.a.backend = ways[way].backend;
  t.a.isa = ways[way].isa;
  t.a.plan = ways[way].plan;
  return in_process("overwritten", run_try, &t, shared->running);
}

static double time_to_take(double usual) {
  const char *asked = getenv("WINNOW_SECONDS");
  return asked != NULL           ? atof(asked)
         : getenv("WINNOW_LONG") ? 60 * usual
         : in_part()             ? usual / 2
                                 : usual;
}

static void random_graphs(void **state) {
  shared_text *shared = *state;
  const uint64_t seed = test_seed();
  const double end = seconds_now() + time_to_take(8);
  int failures = 0, count = 0;
  shared->ran = 0;
  for (; count < (int)LEN(ways) || (seconds_now() < end && failures < 20); ++count)
    failures += try_all(shared, seed + (uint64_t)count, (size_t)count % LEN(ways));
  print_message("# %d graphs, %d values in the place of others\n", count, shared->ran);
  assert_int_equal(failures, 0);
  assert_true(shared->ran > count);
}

/* Each instruction set by name, one graph after the other. */
static void all_isas(void **state) {
  shared_text *shared = *state;
  const isa_list isas = machine_isas();
  const uint64_t seed = test_seed();
  int failures = 0;
  shared->ran = 0;
  for (int i = 0; i < isas.count; ++i) {
    for (uint64_t n = 0; n < 3; ++n) {
      try t = {.a = {.name = "overwritten", .seed = seed + n, .tolerance = TOLERANCE},
               .shared = shared};
      t.a.backend = "cpu";
      t.a.isa = isas.name[i];
      t.a.plan = "auto";
      failures += in_process("overwritten", run_try, &t, shared->running);
    }
  }
  assert_int_equal(failures, 0);
  assert_true(shared->ran > 0);
}

typedef struct device_run {
  uint64_t seed;
  shared_text *shared;
} device_run;

/* All in one process, since the driver takes a second to start. */
static int run_on_device(void *user) {
  const device_run *r = user;
  const device_info *list = NULL;
  const char *why = NULL;
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  const int n = runtime_devices(&d, &a, "opencl", &list, &why);
  if (n == 0) print_message("# no OpenCL device: %s\n", why);
  arena_release(&a);
  const double end = seconds_now() + time_to_take(6);
  int wrong = 0, count = 0;
  for (; n > 0 && (count < 4 || seconds_now() < end) && wrong < 20; ++count) {
    try t = {.a = {.name = "overwritten", .backend = "opencl", .tolerance = TOLERANCE},
             .shared = r->shared};
    t.a.seed = r->seed + (uint64_t)count; /* simt or simd, by seed */
    t.a.plan = count % 4 == 2 ? "fused" : "auto";
    t.a.may_refuse = true;
    alarm(PATIENCE);
    wrong += run_try(&t);
  }
  print_message("# %d graphs, %d values in the place of others\n", count, r->shared->ran);
  return wrong > 0 || count == 0 || r->shared->ran > 0
             ? wrong
             : complain(
                   &(attempt){
                       .name = "OpenCL", .plan = "auto", .backend = "opencl", .seed = r->seed},
                   "nothing is in place", 0);
}

static void on_opencl(void **state) {
  device_run r = {test_seed(), *state};
  r.shared->ran = 0;
  assert_int_equal(in_process("on OpenCL", run_on_device, &r, r.shared->running), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_graphs),
      cmocka_unit_test(all_isas),
      cmocka_unit_test(on_opencl),
  };
  return cmocka_run_group_tests_name("overwritten", tests, share_text, unshare_text);
}
