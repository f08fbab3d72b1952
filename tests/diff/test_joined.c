/* Values that one kernel stores together, against float64 and against kernels of their own: sums of a normalisation,
 * the largest and its place, high and low parts, maps of one activation, and products that a plan joins. How many
 * kernels there are is asserted, and that results have the very bits of separate kernels. WINNOW_SEED=<seed> draws the
 * same data again. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"

#define LEN(a) (sizeof(a) / sizeof *(a))
enum { MOST_DIMS = 4 };

/* --- graphs ----------------------------------------------------------------------------------- */

static twin image(twins *w) {
  int64_t shape[] = {between(w->random, 1, 2), between(w->random, 1, 6), between(w->random, 2, 16),
                     between(w->random, 2, 150)};
  return twin_leaf(w, false, 1, MOST_DIMS, shape);
}

/* Over images and pixels, for each channel, of x or of its squares. */
static twin channel_sum(twins *w, twin x, bool squares) {
  wn_tensor *t = squares ? wn_zip(WN_MUL, x.t, x.t) : x.t;
  twin y = twin_new(w, wn_reduce(WN_SUM, t, (int[]){0, 2, 3}, 3, 0), 1, &x.shape[1]);
  int64_t pixels = x.shape[2] * x.shape[3];
  for (int64_t i = 0; i < twin_count(&x); ++i)
    y.v[i / pixels % x.shape[1]] += squares ? x.v[i] * x.v[i] : x.v[i];
  return y;
}

static outputs normalisation(twins *w) {
  twin x = image(w);
  return (outputs){2, {channel_sum(w, x, false), channel_sum(w, x, true)}};
}

static outputs largest_and_sum(twins *w) {
  twin x = image(w);
  return (outputs){2, {twin_reduce(w, WN_MAXIMUM, x, 3), twin_reduce(w, WN_SUM, x, 3)}};
}

/* Where in its row the largest is: the least of the places at which the row is as large. */
static outputs largest_and_place(twins *w) {
  twin x = image(w), best = twin_reduce(w, WN_MAXIMUM, x, 3);
  int64_t n = x.shape[3], rows = twin_count(&best);
  twin place = twin_leaf(w, true, 0, MOST_DIMS, (int64_t[]){1, 1, 1, n});
  float *at = arena_array(w->a, float, n);
  for (int64_t i = 0; i < n; ++i) at[i] = (float)i;
  place.t = wn_constant(w->ctx, WN_F32, MOST_DIMS, (int64_t[]){1, 1, 1, n}, at);
  wn_tensor *there =
      wn_where(wn_zip(WN_EQUAL, x.t, best.t), place.t, wn_scalar(w->ctx, WN_F32, 1e9));
  twin y = twin_new(w, wn_reduce(WN_MINIMUM, there, (int[]){3}, 1, 0), 3, x.shape);
  for (int64_t r = 0; r < rows; ++r) {
    int64_t i = 0;
    while ((float)x.v[r * n + i] != (float)best.v[r]) ++i;
    y.v[r] = (double)i;
  }
  return (outputs){2, {best, y}};
}

static outputs maps(twins *w) {
  twin x = image(w);
  twin y =
      twin_zip(w, WN_ADD, x, twin_leaf(w, true, 1, MOST_DIMS, (int64_t[]){1, x.shape[1], 1, 1}));
  return (outputs){4,
                   {twin_map(w, WN_SIGMOID, x), twin_map(w, WN_ABS, x), twin_map(w, WN_RELU, y),
                    twin_map(w, WN_TANH, x)}};
}

/* A number of f32 as one of f16 and what is left, in f32 arrays as far as this graph goes. */
static outputs high_and_low(twins *w) {
  twin x = image(w);
  wn_tensor *half = wn_cast(x.t, WN_F16), *whole = wn_cast(half, WN_F32);
  twin hi = twin_new(w, wn_cast(half, WN_F32), x.nd, x.shape),
       both = twin_new(w, wn_zip(WN_ADD, wn_zip(WN_SUB, x.t, whole), whole), x.nd, x.shape);
  for (int64_t i = 0; i < twin_count(&x); ++i) hi.v[i] = both.v[i] = x.v[i];
  return (outputs){2, {hi, both}};
}

/* Each needs what comes of the first, and not only at the point that it computes: no two may wait for each other. */
static outputs not_to_be_joined(twins *w) {
  twin x = image(w), total = twin_reduce(w, WN_SUM, x, 3);
  twin shifted = twin_zip(w, WN_SUB, twin_map(w, WN_EXP, x), total);
  return (outputs){2, {total, twin_reduce(w, WN_SUM, twin_map(w, WN_SIGMOID, shifted), 2)}};
}

static const struct joined_case {
  const char *name;
  build_fn build;
  int kernels; /* under auto, at most */
  double tolerance;
} cases[] = {
    {"normalisation", normalisation, 1, 1e-5},
    {"largest and sum", largest_and_sum, 1, 1e-5},
    {"largest and place", largest_and_place, 1, 1e-6},
    {"maps", maps, 1, 1e-5},
    {"high and low", high_and_low, 1, 1e-3},
    {"not to be joined", not_to_be_joined, 2, 1e-5},
};

/* --- one program ------------------------------------------------------------------------------ */

typedef struct run {
  const struct joined_case *of;
  const char *plan, *backend, *isa;
  uint64_t seed;
  bool plan_only;
  wn_status status;
  int kernels, sites, without; /* sites that have no kernel */
  char placement[512], message[512];
  float *out[MOST_OUTPUTS];
  int64_t len[MOST_OUTPUTS];
  double error;
} run;

static void look(run *r, wn_program *p) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_site_info site = WN_SITE_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  r->kernels = info.kernels;
  r->sites = info.sites;
  r->without = 0;
  snprintf(r->placement, sizeof r->placement, "%s", info.placement);
  for (int i = 0; i < info.sites; ++i) {
    assert_int_equal(wn_program_get_site(p, i, &site), WN_OK);
    bool joined = strncmp(site.plan, "with=", 5) == 0;
    assert_int_equal(site.kernels, joined ? 0 : 1);
    assert_true(site.bytes > 0);
    r->without += joined;
  }
}

static void run_case(run *r, arena *mem) {
  wn_context *ctx;
  wn_program *p;
  uint64_t random = r->seed;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, ignore_warning, NULL);
  twins w = {ctx, mem, &random};
  outputs o = r->of->build(&w);
  wn_tensor *t[MOST_OUTPUTS];
  void *data[MOST_OUTPUTS];
  for (int i = 0; i < o.count; ++i) {
    t[i] = o.out[i].t;
    r->len[i] = twin_count(&o.out[i]);
    data[i] = r->out[i] = arena_array(mem, float, r->len[i] + 1);
    memset(r->out[i], 0xff, sizeof(float) * (size_t)r->len[i]);
  }
  const wn_options opt =
      WN_OPTIONS(.plan = r->plan, .backend = r->backend, .isa = r->isa,
                 .threads = 1 + (int)(r->seed % 2), .plan_only = r->plan_only, .no_cache = 1);
  r->status = wn_compile(ctx, t, data, o.count, &opt, &p);
  snprintf(r->message, sizeof r->message, "%s", r->status == WN_OK ? "" : wn_message(ctx));
  r->error = 0;
  if (r->status == WN_OK) {
    look(r, p);
    if (!r->plan_only) assert_int_equal(wn_run(p), WN_OK);
    for (int i = 0; i < o.count && !r->plan_only; ++i)
      r->error = fmax(r->error, relative_l2(r->out[i], o.out[i].v, r->len[i]));
    wn_program_destroy(p);
  }
  wn_context_destroy(ctx);
}

/* --- tests ------------------------------------------------------------------------------------ */

static const struct {
  const char *backend, *isa;
  bool plan_only;
} machines[] = {
    {"interp", "generic", false}, {"interp", "sse2", false},   {"interp", "neon", false},
    {"interp", "avx2", false},    {"interp", "avx512", false}, {"interp", "simt", false},
    {"cpu", "generic", false},    {"cpu", "sse2", false},      {"cpu", "avx2", false},
    {"cpu", "avx512", false},     {"cpu:cc", NULL, false},     {"opencl", "simt", false},
    {"opencl", "simd", false},    {"metal", NULL, true},
};

static bool is_there(const char *backend, const char *isa, bool plan_only, arena *mem) {
  run r = {.of = &cases[0],
           .plan = "auto",
           .backend = backend,
           .isa = isa,
           .seed = 1,
           .plan_only = plan_only};
  run_case(&r, mem);
  return r.status == WN_OK;
}

static void compare(const run *a, const run *b) {
  for (int i = 0; i < MOST_OUTPUTS && a->len[i] > 0; ++i) {
    if (memcmp(a->out[i], b->out[i], sizeof(float) * (size_t)a->len[i]) != 0)
      fail_msg("%s, %s, %s, WINNOW_SEED=%" PRIu64 ": output %d has other bits under %s than %s",
               a->of->name, a->backend, a->isa, a->seed, i, a->placement, b->placement);
  }
}

static void try_case(run *r, arena *mem) {
  run apart = *r;
  r->plan = "auto";
  apart.plan = "direct";
  run_case(r, mem);
  run_case(&apart, mem);
  if (r->status != WN_OK || apart.status != WN_OK)
    fail_msg("%s, %s: %s%s", r->of->name, r->backend, r->message, apart.message);
  if (r->kernels > r->of->kernels || apart.kernels != apart.sites)
    fail_msg("%s, %s, %s, WINNOW_SEED=%" PRIu64 ": %d kernels (%s), apart %d", r->of->name,
             r->backend, r->isa, r->seed, r->kernels, r->placement, apart.kernels);
  assert_int_equal(r->kernels, r->sites - r->without);
  assert_true(r->error <= r->of->tolerance && apart.error <= r->of->tolerance);
  if (!r->plan_only) compare(r, &apart);
}

static void joined_values(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t m = 0; m < LEN(machines); ++m) {
    diag d;
    arena mem;
    diag_init(&d);
    arena_init(&mem, &d);
    if (is_there(machines[m].backend, machines[m].isa, machines[m].plan_only, &mem)) {
      for (size_t i = 0; i < LEN(cases); ++i) {
        run r = {.of = &cases[i],
                 .backend = machines[m].backend,
                 .isa = machines[m].isa,
                 .plan_only = machines[m].plan_only,
                 .seed = seed + i + m * LEN(cases)};
        try_case(&r, &mem);
      }
    } else {
      print_message("# without %s %s\n", machines[m].backend,
                    machines[m].isa != NULL ? machines[m].isa : "");
    }
    arena_release(&mem);
  }
}

/* What a person may say, and what is refused. */
static void plans_of_joined_values(void **state) {
  (void)state;
  static const struct {
    size_t of;
    const char *plan, *says; /* NULL: it is had, and reported as it was given */
    int kernels;
  } said[] = {
      {0, "product1{with=sum0}", NULL, 1},
      {0, "product1{global}", "", 2},
      {0, "sum0{global}", "", 2},
      {3, "map1{with=map0} map2{global} map3{with=map0}", NULL, 2},
      {3, "map1{with=map0} map2{with=map1}",
       "map2 cannot be stored with map1: that is stored with"
       " another itself",
       0},
      {3, "map2{with=map3}", "expected an earlier site", 0},
      {3, "map2{with=sum0}", "expected an earlier site", 0},
      {0, "product1{with=sum0;t=4}", "expected }", 0},
      {5, "sum1{with=sum0}", "sum1 cannot be stored with sum0: ", 0},
      {0, "sum0{global;lanes=i0;regs=none}", "", 2},
      {0, "sum0{global;t=8,k=2;lanes=sum}", "", 2},
      {0, "sum0{global;chains=2;lanes=sum}", "", 2},
      {3, "map0{global;chains=2}", "a map has no sizes", 0},
      {0, "sum0{global;chains=9}", "a number of chains from 1 to 8", 0},
      {0, "sum0{global;lanes=i0.3}", "a number of lanes: 1, 2, 4, 8 or 16", 0},
      {3, "map0{global;lanes=i0.32}", "a number of lanes: 1, 2, 4, 8 or 16", 0},
      {3, "map0{global;lanes=none.4}", "expected }", 0},
      {0, "sum0{global;lanes=i7}", "lanes= and regs= name two loops of the value", 0},
      {3, "map0{global;t=8}", "a map has no sizes", 0},
      {3, "map0{global;lanes=t}", "a loop such as i2, sum or none", 0},
  };
  diag d;
  arena mem;
  diag_init(&d);
  arena_init(&mem, &d);
  for (size_t i = 0; i < LEN(said); ++i) {
    run r = {.of = &cases[said[i].of],
             .plan = said[i].plan,
             .backend = "interp",
             .isa = "avx2",
             .seed = 3,
             .plan_only = true};
    run_case(&r, &mem);
    if (said[i].kernels == 0) {
      assert_int_not_equal(r.status, WN_OK);
      if (strstr(r.message, said[i].says) == NULL) fail_msg("%s: %s", said[i].plan, r.message);
      continue;
    }
    if (r.status != WN_OK) fail_msg("%s: %s", said[i].plan, r.message);
    assert_int_equal(r.kernels, said[i].kernels);
    /* what it says is part of what is reported */
    const char *last = strrchr(said[i].plan, ' ');
    if (said[i].says == NULL)
      assert_non_null(strstr(r.placement, last != NULL ? last : said[i].plan));
  }
  arena_release(&mem);
}

int main(void) {
  unsetenv("WINO");
  unsetenv("WINNOW_ISA");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plans_of_joined_values),
      cmocka_unit_test(joined_values),
  };
  return cmocka_run_group_tests_name("joined", tests, NULL, NULL);
}
