/* Sums over places whose partial sums the kernel of what they sum makes (plan/pooled.h), against float64: global pooling
 * and squeeze-excite behind convolutions of all kinds, maps and poolings, in random shapes, layouts and plans. Bits do
 * not depend on the number of threads, the placement that is reported makes the same program, and what is asked for is
 * had or refused with a reason. WINNOW_SEED=<seed> draws the same ones again. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "sanitized.h"

#define LEN(a) (sizeof(a) / sizeof *(a))
enum { TEXT = 2048, MOST_SITES = 16 };

/* --- graphs ----------------------------------------------------------------------------------- */

static twin image(twins *w, int64_t channels) {
  int64_t shape[] = {between(w->random, 1, 3), channels, between(w->random, 1, 13),
                     between(w->random, 2, 26)};
  return twin_leaf(w, false, 1, 4, shape);
}

static twin conv(twins *w, twin x, int64_t k, int64_t r, int64_t stride, bool depthwise) {
  wn_conv_params p = WN_CONV_PARAMS(.stride = {stride, stride});
  p.pad_lo[0] = p.pad_lo[1] = p.pad_hi[0] = p.pad_hi[1] = r / 2;
  if (depthwise) p.groups = (int)x.shape[1], k = x.shape[1];
  int64_t shape[] = {k, depthwise ? 1 : x.shape[1], r, r};
  return twin_conv(w, x, twin_leaf(w, true, 0.3, 4, shape), &p);
}

/* Far from zero on the whole, so that an element that is left out or counted twice shows. */
static twin biased(twins *w, twin x) {
  twin b = twin_leaf(w, true, 1, 4, (int64_t[]){1, x.shape[1], 1, 1});
  return twin_map(w, WN_RELU, twin_zip(w, WN_ADD, x, twin_map(w, WN_EXP, b)));
}

static twin pointwise(twins *w) {
  return biased(
      w, conv(w, image(w, between(w->random, 1, 30)), between(w->random, 2, 40), 1, 1, false));
}

static twin depthwise(twins *w) {
  twin x = image(w, between(w->random, 2, 50));
  return biased(w, conv(w, x, 0, chance(w->random, 70) ? 3 : 5, 1 + chance(w->random, 30), true));
}

static twin winograd(twins *w) {
  return biased(
      w, conv(w, image(w, between(w->random, 4, 20)), between(w->random, 8, 30), 3, 1, false));
}

static twin strided(twins *w) {
  return biased(
      w, conv(w, image(w, between(w->random, 1, 20)), between(w->random, 8, 30), 3, 2, false));
}

static twin residual(twins *w) {
  twin x = image(w, between(w->random, 8, 24));
  return biased(w, twin_zip(w, WN_ADD, x, conv(w, x, x.shape[1], 3, 1, false)));
}

/* Channels are last in memory, or pixels would be in the lanes. */
static twin gated(twins *w) {
  int64_t shape[] = {between(w->random, 1, 3), between(w->random, 1, 13), between(w->random, 2, 26),
                     between(w->random, 4, 40)};
  twin x = twin_permute(w, twin_leaf(w, false, 1, 4, shape), (int[]){0, 3, 1, 2});
  twin gate = twin_leaf(w, false, 1, 4, (int64_t[]){x.shape[0], x.shape[1], 1, 1});
  return twin_zip(w, WN_MUL, twin_map(w, WN_SIGMOID, x), gate);
}

static twin pooling(twins *w) {
  twin x = image(w, between(w->random, 2, 40));
  if (x.shape[2] < 2) x = twin_pad(w, x, (int64_t[]){0, 0, 1, 0}, (int64_t[]){0, 0, 1, 0});
  return twin_pool(w, x, true, 2, 1);
}

/* Over the last two axes of four, which stay with extent 1. */
static twin over_places(twins *w, twin x) {
  int64_t shape[] = {x.shape[0], x.shape[1], 1, 1}, places = x.shape[2] * x.shape[3];
  twin y = twin_new(w, wn_reduce(WN_SUM, x.t, (int[]){2, 3}, 2, 1), 4, shape);
  for (int64_t i = 0; i < twin_count(&x); ++i) y.v[i / places] += x.v[i];
  return twin_scale(w, y, 1.0 / (double)places);
}

static const struct {
  const char *name;
  twin (*of)(twins *w);
} cases[] = {{"1x1", pointwise},   {"depthwise", depthwise}, {"3x3", winograd},
             {"strided", strided}, {"residual", residual},   {"map", gated},
             {"pooling", pooling}};

/* The mean alone; with what it is of; with that scaled by it, as a squeeze-excite branch does. */
static outputs draw(twins *w, int of) {
  twin y = cases[of].of(w), mean = over_places(w, y);
  switch (below(w->random, 3)) {
    case 0:
      return (outputs){1, {mean}};
    case 1:
      return (outputs){2, {twin_map(w, WN_NEG, mean), y}};
    default:
      return (outputs){1, {twin_zip(w, WN_MUL, y, twin_map(w, WN_SIGMOID, mean))}};
  }
}

/* --- plans ------------------------------------------------------------------------------------ */

typedef struct made {
  wn_status status;
  char placement[TEXT], identity[64], message[512];
  int sites;
  size_t workspace;
  char label[MOST_SITES][24];
  float *out[MOST_OUTPUTS];
} made;

typedef struct machine_name {
  const char *backend, *isa;
} machine_name;

static made make(const twins *w, const outputs *o, const char *plan, int threads, machine_name on,
                 bool run) {
  made m = {.status = WN_OK};
  wn_tensor *t[MOST_OUTPUTS];
  void *data[MOST_OUTPUTS];
  for (int i = 0; i < o->count; ++i) {
    const int64_t n = twin_count(&o->out[i]);
    t[i] = o->out[i].t;
    data[i] = m.out[i] = arena_array(w->a, float, n + 1);
    memset(m.out[i], 0xff, sizeof(float) * (size_t)n);
  }
  wn_program *p;
  const wn_options opt = WN_OPTIONS(.plan = plan, .threads = threads, .backend = on.backend,
                                    .isa = on.isa, .plan_only = !run, .no_cache = 1);
  m.status = wn_compile(w->ctx, t, data, o->count, &opt, &p);
  snprintf(m.message, sizeof m.message, "%s", m.status == WN_OK ? "" : wn_message(w->ctx));
  if (m.status != WN_OK) return m;
  wn_program_info info = WN_PROGRAM_INFO();
  wn_site_info site = WN_SITE_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_true(info.sites <= MOST_SITES);
  m.sites = info.sites;
  m.workspace = info.workspace_bytes;
  for (int i = 0; i < info.sites; ++i) {
    assert_int_equal(wn_program_get_site(p, i, &site), WN_OK);
    snprintf(m.label[i], sizeof m.label[i], "%s", site.label);
  }
  snprintf(m.placement, sizeof m.placement, "%s", info.placement);
  snprintf(m.identity, sizeof m.identity, "%s", info.identity);
  for (int i = 0; run && i < 2; ++i) /* nothing is left from the first */
    assert_int_equal(wn_run(p), WN_OK);
  wn_program_destroy(p);
  return m;
}

static const char *site_plan(uint64_t *random, const char *label) {
  static const char *const convs[] = {"auto",
                                      "direct",
                                      "direct;v=k",
                                      "direct;v=t",
                                      "old",
                                      "fused",
                                      "one",
                                      "new",
                                      "split",
                                      "x=local,g=global,m=local,o=global;t=4;wino=2",
                                      "x=global,g=global,m=global,o=global;v=k;wino=3"};
  static const char *const products[] = {"auto", "global", "global;v=k", "global;v=t",
                                         "global;t=8,k=2"};
  if (chance(random, 40)) return "auto";
  if (strncmp(label, "conv", 4) == 0) return convs[below(random, LEN(convs))];
  return strncmp(label, "product", 7) == 0 ? products[below(random, LEN(products))] : "auto";
}

/* What says that the last sum has its sums from the site in front of it: conv0{fused} sum1{global;sums=conv0}. */
static bool write_plan(char *out, const made *of, uint64_t *random) {
  static const char *const all[] = {"", "direct;layout=last ", "direct;layout=last ",
                                    "direct;layout=given "};
  int sum = of->sites - 1;
  while (sum > 0 && strncmp(of->label[sum], "sum", 3) != 0) --sum;
  if (sum == 0) return false;
  const char *from = of->label[sum - 1];
  const char *said = all[below(random, LEN(all))], *plan = site_plan(random, from);
  int n = snprintf(out, TEXT, "%s", said);
  if (strcmp(plan, "auto") != 0) n += snprintf(out + n, (size_t)(TEXT - n), "%s{%s} ", from, plan);
  snprintf(out + n, (size_t)(TEXT - n), "%s{global;sums=%s}", of->label[sum], from);
  return true;
}

static void compare(const outputs *o, const made *x, const made *y, const char *plan) {
  for (int i = 0; i < o->count; ++i)
    if (memcmp(x->out[i], y->out[i], sizeof(float) * (size_t)twin_count(&o->out[i])) != 0)
      fail_msg("plan %s: output %d of %s has other bits as %s", plan, i, x->placement,
               y->placement);
}

static void check_values(const outputs *o, const made *x, const char *plan) {
  for (int i = 0; i < o->count; ++i) {
    double error = relative_l2(x->out[i], o->out[i].v, twin_count(&o->out[i]));
    if (!(error <= 2e-5)) fail_msg("plan %s: output %d is off by %.3g", plan, i, error);
  }
}

/* Does this graph under this plan have partial sums? */
static bool one_graph(int of, machine_name on, uint64_t seed, bool *there) {
  diag d;
  arena mem;
  uint64_t random = seed;
  bool pooled = false;
  char plan[TEXT];
  diag_init(&d);
  arena_init(&mem, &d);
  twins w = {NULL, &mem, &random};
  assert_int_equal(wn_context_create(&w.ctx), WN_OK);
  wn_on_warning(w.ctx, ignore_warning, NULL);
  print_message("# %s on %s %s, WINNOW_SEED=%" PRIu64 "\n", cases[of].name, on.backend,
                on.isa != NULL ? on.isa : "", seed);
  outputs o = draw(&w, of);
  made first = make(&w, &o, "auto", 2, on, true);
  *there = first.status == WN_OK;
  if (*there) {
    made alone = make(&w, &o, "auto", 1, on, true);
    check_values(&o, &first, first.placement);
    compare(&o, &first, &alone, "auto");
  }
  if (*there && write_plan(plan, &first, &random)) {
    made one = make(&w, &o, plan, 1, on, true);
    if (one.status == WN_OK) {
      pooled = true;
      check_values(&o, &one, plan);
      assert_non_null(strstr(one.placement, ";sums="));
      made same = make(&w, &o, one.placement, 3, on, true), three = make(&w, &o, plan, 3, on, true);
      compare(&o, &one, &same, plan);
      if (three.status == WN_OK) /* of blocks of its own */
        compare(&o, &one, &three, plan);
      else
        assert_int_equal(three.status, WN_ERR_REFUSED);
      made again = make(&w, &o, one.placement, 1, on, false);
      if (again.status != WN_OK) fail_msg("plan %s: %s", one.placement, again.message);
      assert_string_equal(again.placement, one.placement);
      assert_string_equal(again.identity, one.identity);
    } else if (one.status != WN_ERR_REFUSED || one.message[0] == '\0') {
      fail_msg("plan %s: %s", plan, one.message);
    }
  }
  wn_context_destroy(w.ctx);
  arena_release(&mem);
  return pooled;
}

/* --- tests ------------------------------------------------------------------------------------ */

static const machine_name machines[] = {
    {"interp", "generic"}, {"interp", "sse2"}, {"interp", "neon"}, {"interp", "avx2"},
    {"interp", "avx512"},  {"cpu", "generic"}, {"cpu", "sse2"},    {"cpu", "avx2"},
    {"cpu", "avx512"},     {"cpu:cc", NULL},   {"opencl", "simd"}};

enum { MOST_DRAWS = 200, INTERPRETED = 5 /* the first of the machines */ };

static void partial_sums(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  int had[LEN(cases)] = {0};
  for (size_t m = 0; m < LEN(machines); ++m) {
    bool there = true;
    const bool quick = strcmp(machines[m].backend, "interp") == 0;
    const int draws = in_part() ? 1 : quick ? 3 : 1;
    for (int i = 0; i < draws * (int)LEN(cases) && there; ++i)
      had[i % (int)LEN(cases)] +=
          one_graph(i % (int)LEN(cases), machines[m], seed + (uint64_t)i * 77 + m * 7777, &there);
  }
  for (int i = 0; i < (int)LEN(cases); ++i) { /* of few draws there may be none that has them */
    bool there = true;
    for (int more = 1; more <= MOST_DRAWS && had[i] == 0; ++more)
      had[i] +=
          one_graph(i, machines[more % INTERPRETED], seed + 131071 + (uint64_t)more * 77, &there);
    print_message("# %s: %d with partial sums\n", cases[i].name, had[i]);
    assert_true(had[i] > 0);
  }
}

/* What a person may say, what is refused, and what `auto` takes. */
static void plans_of_sums(void **state) {
  (void)state;
  static const struct {
    int64_t channels, side;
    const char *plan, *isa, *says; /* in the placement, or in the message; NULL: no partial sums */
    bool keeps;                    /* what is summed is an output too */
    wn_status status;
  } said[] = {
      {256, 28, "auto", "avx2", ";sums=product0", false, WN_OK},
      {256, 28, "auto", "avx512", ";sums=product0", false, WN_OK},
      {256, 28, "product0{global;v=k}", "avx2", ";sums=product0", true, WN_OK},
      {256, 28, "product0{global;v=t}", "avx2", NULL, true, WN_OK}, /* it was thought to be had */
      {8, 6, "auto", "avx2", NULL, true, WN_OK},
      {256, 28, "auto", "simt", NULL, false, WN_OK},
      {256, 28, "direct", "avx2", NULL, false, WN_OK},
      {256, 28, "sum1{global}", "avx2", NULL, false, WN_OK},
      {8, 6, "sum1{global;sums=product0;lanes=i0.4}", "avx2", ";sums=product0", true, WN_OK},
      {8, 6, "sum1{global;sums=product0}", "simt", "would add to one number", false,
       WN_ERR_REFUSED},
      {8, 6, "product0{global;v=t} sum1{global;sums=product0}", "avx2", "what is summed is in the",
       false, WN_ERR_REFUSED},
      {8, 6, "sum1{global;sums=sum1}", "avx2", "an earlier site, such as conv0", false,
       WN_ERR_USAGE},
      {8, 6, "product0{global;sums=sum1}", "avx2", "for a sum of another value", false,
       WN_ERR_USAGE},
      {8, 6, "product0{inline} sum1{global;sums=product0}", "avx2", "that has no kernel", false,
       WN_ERR_REFUSED},
      {8, 6, "sum1{global;lanes=i0;sums=product0}", "avx2", "expected }", false, WN_ERR_USAGE},
  };
  for (size_t i = 0; i < LEN(said); ++i) {
    diag d;
    arena mem;
    uint64_t random = 5;
    diag_init(&d);
    arena_init(&mem, &d);
    twins w = {NULL, &mem, &random};
    assert_int_equal(wn_context_create(&w.ctx), WN_OK);
    const int64_t side = said[i].side;
    twin x = twin_leaf(&w, false, 1, 4, (int64_t[]){1, 8, side, side});
    twin y = twin_map(&w, WN_RELU, conv(&w, x, said[i].channels, 1, 1, false));
    twin mean = over_places(&w, y);
    const outputs o = {said[i].keeps ? 2 : 1, {mean, y}};
    made m = make(&w, &o, said[i].plan, 1, (machine_name){"interp", said[i].isa}, false);
    if (m.status != said[i].status) fail_msg("plan %s: %s", said[i].plan, m.message);
    const char *where = m.status == WN_OK ? m.placement : m.message;
    const char *what = said[i].says != NULL ? said[i].says : ";sums=";
    if ((strstr(where, what) != NULL) != (said[i].says != NULL))
      fail_msg("plan %s of %d channels: %s", said[i].plan, (int)said[i].channels, where);
    /* nothing else reads it: it is not stored */
    const size_t bytes = (size_t)(said[i].channels * side * side) * sizeof(float);
    if (m.status == WN_OK && said[i].says != NULL && !said[i].keeps)
      assert_true(m.workspace < bytes / 4);
    wn_context_destroy(w.ctx);
    arena_release(&mem);
  }
}

int main(void) {
  unsetenv("WINO");
  unsetenv("WINNOW_ISA");
  const struct CMUnitTest tests[] = {cmocka_unit_test(plans_of_sums),
                                     cmocka_unit_test(partial_sums)};
  return cmocka_run_group_tests_name("pooled", tests, NULL, NULL);
}
