/* Results are the same bits whatever does not say otherwise: for any number of threads, `auto` included, with and
 * without a limit of memory; and for all schedules that schedule_same_bits says are alike, on which `auto` builds.
 * Random shapes from a seed that is printed; WINNOW_SEED=<seed> draws them again, WINNOW_LONG=1 draws more of them,
 * WINNOW_CASES=<n> so many. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "isas.h"
#include "plan/schedule.h"

enum { MOST_THREADS = 4, QUICK_CASES = 3, LONG_CASES = 400 };

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* One run of a plan: its placement, or "" where it is refused. The result is in c->y. */
typedef struct outcome {
  char placement[300];
  bool interpreted; /* in part, and then in float64 */
} outcome;

static outcome run(const conv_case *c, const wn_options *o) {
  outcome out = {{0}, false};
  wn_context *ctx;
  wn_program *p = NULL;
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(c, ctx);
  void *data = c->y;
  wn_status st = wn_compile(ctx, &y, &data, 1, o, &p);
  if (st == WN_OK) {
    assert_int_equal(wn_program_get_info(p, &info), WN_OK);
    snprintf(out.placement, sizeof out.placement, "%s", info.placement);
    out.interpreted = info.fallback != NULL;
    memset(c->y, 0xff, sizeof *c->y * (size_t)c->y_count);
    assert_int_equal(wn_run(p), WN_OK);
  } else if (st != WN_ERR_REFUSED) {
    fail_msg("%s, %s: %s", c->text, o->plan, wn_message(ctx));
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  return out;
}

static int cases(void) {
  const char *given = getenv("WINNOW_CASES");
  return given != NULL ? atoi(given) : getenv("WINNOW_LONG") != NULL ? LONG_CASES : QUICK_CASES;
}

static const char *draw_isa(uint64_t *s) {
  isa_list have = machine_isas();
  return have.name[below(s, have.count)];
}

/* --- threads ---------------------------------------------------------------------------------- */

static int compare_threads(const conv_case *c, wn_options o, float *first) {
  outcome one = {{0}, false};
  int differ = 0;
  for (int t = 1; t <= MOST_THREADS; ++t) {
    o.threads = t;
    outcome now = run(c, &o);
    size_t bytes = sizeof *c->y * (size_t)c->y_count;
    if (t == 1) {
      one = now;
      memcpy(first, c->y, bytes);
      if (*one.placement == '\0') return 0;
      continue;
    }
    if (o.plan != NULL && *now.placement == '\0') continue; /* over the limit with so many */
    if (now.placement[0] != '\0' && memcmp(first, c->y, bytes) == 0) continue;
    print_message("# %s %s %s, at most %zu bytes: 1 thread %s, %d threads %s\n", c->text,
                  o.plan != NULL ? o.plan : "auto", o.isa, o.max_memory, one.placement, t,
                  now.placement);
    ++differ;
  }
  return differ;
}

/* Larger images than other tests': where threads pay, and tiles differ in price by little. */
static conv_case draw(uint64_t seed) {
  static const int64_t sizes[] = {7, 14, 24, 28, 32, 56}, channels[] = {1, 3, 8, 16, 32, 64};
  uint64_t s = seed;
  conv_case c;
  if (chance(&s, 40)) return case_draw(seed, 400000);
  do {
    c = (conv_case){.seed = seed, .nd = 2, .n = 1, .groups = 1};
    c.c = channels[below(&s, 6)];
    c.k = channels[below(&s, 6)];
    for (int i = 0; i < 2; ++i) {
      c.in[i] = i == 1 && chance(&s, 80) ? c.in[0] : sizes[below(&s, 6)];
      c.r[i] = i == 1 ? c.r[0] : chance(&s, 70) ? 3 : 5;
      c.p.stride[i] = c.p.dilation[i] = 1;
      c.p.pad_lo[i] = c.p.pad_hi[i] = c.r[i] / 2;
    }
  } while (!case_finish(&c) || c.products > 20000000);
  case_describe(&c);
  return c;
}

static void fill(conv_case *c) {
  uint64_t s = c->seed ^ UINT64_C(0xb175);
  c->x = random_values(&s, c->x_count);
  c->w = random_values(&s, c->w_count);
  c->y = malloc(sizeof *c->y * (size_t)c->y_count);
  assert_true(c->x != NULL && c->w != NULL && c->y != NULL);
}

static void same_for_any_threads(void **state) {
  (void)state;
  static const char *const named[] = {"direct", "old", "new", "fused", "split", "one", "x-only"};
  uint64_t seed = test_seed();
  int differ = 0;
  for (int i = 0; i < cases(); ++i) {
    conv_case c = draw(seed + (uint64_t)i);
    fill(&c);
    float *first = malloc(sizeof *first * (size_t)c.y_count);
    assert_non_null(first);
    uint64_t s = c.seed ^ UINT64_C(0x7412);
    wn_options o = WN_OPTIONS(.isa = draw_isa(&s), .no_cache = 1, .untuned = 1,
                              .variable_weights = chance(&s, 20));
    differ += compare_threads(&c, o, first);
    o.max_memory = (size_t)between(&s, 1, 64)
                   << 10; /* below what some schedules need for all threads */
    differ += compare_threads(&c, o, first);
    o.max_memory = 0;
    o.plan = named[below(&s, 7)];
    differ += compare_threads(&c, o, first);
    free(first);
    case_free(&c);
  }
  assert_int_equal(differ, 0);
}

/* --- schedules of the same bits --------------------------------------------------------------- */

static const char *const structures[] = {
    "x=global,g=global,m=global,o=global",
    "x=local,g=global,m=local,o=global",
    "x=local,g=global,m=global,o=global",
    "x=global,g=global,m=local,o=global",
    "x=global,g=global,m=global@k0,o=global",
    "x=global,g=global,m=global,o=global;chunk=40",
    "x=global,g=global,m=global,o=global;launch=joint",
};
enum { STRUCTURES = sizeof structures / sizeof *structures };

static void print_plan(char *text, size_t size, uint64_t *s, const char *tail) {
  static const int64_t blocks[] = {8, 16, 32, 64};
  size_t n = (size_t)snprintf(text, size, "%s", structures[below(s, STRUCTURES)]);
  if (chance(s, 60)) n += (size_t)snprintf(text + n, size - n, ";t=%d", (int)blocks[below(s, 4)]);
  if (chance(s, 40)) n += (size_t)snprintf(text + n, size - n, ";k=%d", (int)between(s, 1, 24));
  if (chance(s, 60)) n += (size_t)snprintf(text + n, size - n, ";v=%c", "tk"[below(s, 2)]);
  snprintf(text + n, size - n, "%s", tail);
}

static int compare_schedules(const conv_case *c, uint64_t *s, const char *tail, float *first) {
  const char *isa = draw_isa(s);
  enum { TRIES = 6 };
  size_t bytes = sizeof *c->y * (size_t)c->y_count;
  outcome one = {{0}, false};
  int differ = 0;
  for (int i = 0; i < TRIES; ++i) {
    char plan[200];
    print_plan(plan, sizeof plan, s, tail);
    outcome now =
        run(c, &WN_OPTIONS(.plan = plan, .isa = isa, .no_cache = 1, .threads = 1 + i % 2));
    if (*now.placement == '\0' || now.interpreted) continue;
    if (*one.placement == '\0') {
      one = now;
      memcpy(first, c->y, bytes);
    } else if (memcmp(first, c->y, bytes) != 0) {
      print_message("# %s: %s is not %s\n", c->text, now.placement, one.placement);
      ++differ;
    }
  }
  return differ;
}

static void same_for_alike_schedules(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  int differ = 0;
  for (int i = 0; i < cases(); ++i) {
    conv_case c = draw(seed + (uint64_t)i);
    fill(&c);
    uint64_t s = c.seed ^ UINT64_C(0xa11c);
    char tail[40];
    float *first = malloc(sizeof *first * (size_t)c.y_count);
    assert_non_null(first);
    snprintf(tail, sizeof tail, ";wino=%d", (int)between(&s, 2, 6));
    differ += compare_schedules(&c, &s, tail, first);
    snprintf(tail, sizeof tail, ";c=%d;wino=%d", (int)between(&s, 4, 40), (int)between(&s, 2, 4));
    differ += compare_schedules(&c, &s, tail, first);
    free(first);
    case_free(&c);
  }
  assert_int_equal(differ, 0);
}

static schedule parsed(const char *text) {
  schedule s;
  diag d;
  diag_init(&d);
  volatile wn_status st;
  DIAG_TRY(&d, st) assert_true(schedule_parse(&d, text, &s));
  DIAG_END(&d, st)
  assert_int_equal(st, WN_OK);
  return s;
}

static void what_is_alike(void **state) {
  (void)state;
  static const struct {
    const char *a, *b;
    bool alike;
  } table[] = {
      {"direct", "direct;t=32,k=4", true},
      {"direct", "direct;chains=2", false},
      {"direct;t=8;chains=2", "direct;chains=2", true},
      {"direct", "old", false},
      {"old", "x=global,g=global,m=global,o=global;share=k1", true},
      {"old", "fused", true},
      {"old", "new", false},
      {"x=global,g=global,m=global,o=global;wino=4",
       "x=local,g=global,m=local,o=global;t=64;v=k;wino=4x4", true},
      {"x=global,g=global,m=global,o=global;wino=4", "x=global,g=global,m=global,o=global;wino=4x2",
       false},
      {"x=global,g=global,m=global,o=global;wino=4", "x=global,g=global,m=global,o=global", false},
      {"x=global,g=global,m=global,o=global;c=32;wino=4",
       "x=global,g=global,m=global,o=global;wino=4", false},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; ++i) {
    schedule a = parsed(table[i].a), b = parsed(table[i].b);
    if (schedule_same_bits(&a, &b) != table[i].alike ||
        schedule_same_bits(&b, &a) != table[i].alike)
      fail_msg("%s and %s", table[i].a, table[i].b);
  }
}

int main(void) {
  pretended_cores = MOST_THREADS;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_alike),
      cmocka_unit_test(same_for_any_threads),
      cmocka_unit_test(same_for_alike_schedules),
  };
  return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}
