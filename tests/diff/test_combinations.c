/* All 4^4 placements of the four intermediates on small shapes: each runs and is right, or is
 * refused with a reason. All 16 combinations of inline and global run, at least 96 of the 256 do,
 * and how many is printed. Under AddressSanitizer each shape has a quarter of them, another one each. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "sanitized.h"

enum { SPACES = 4, COMBINATIONS = SPACES * SPACES * SPACES * SPACES, LEAST = 96 };
static const char *const space[SPACES] = {"inline", "reg", "local", "global"};

/* 3 in the low digit is o: the order of `compare --all` does not matter here. */
static void spell(char *text, size_t size, int i) {
  snprintf(text, size, "x=%s,g=%s,m=%s,o=%s", space[i / 64], space[i / 16 % 4], space[i / 4 % 4],
           space[i % 4]);
}

/* Each has every space of every stage. */
static int quarter(int i) { return (i + i / 4 + i / 16 + i / 64) % 4; }

static bool only_inline_and_global(int i) {
  for (int d = 0; d < 4; ++d, i /= SPACES) {
    if (i % SPACES != 0 && i % SPACES != SPACES - 1) return false;
  }
  return true;
}

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

typedef struct tally {
  int ran, refused, wrong;
  bool variable;
  const char *backend, *isa;
} tally;

static void check_result(const conv_case *c, const char *plan, wn_program *p, tally *t) {
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  /* what ran is what was asked for: its placements, and the result and global stages are all that is stored */
  int global = 0;
  for (const char *at = plan; (at = strstr(at, "global")) != NULL; ++at) global += at[-2] != 'o';
  bool same = strncmp(info.placement, plan, strcspn(plan, ";")) == 0 && info.buffers == global + 1;
  memset(c->y, 0xff, sizeof *c->y * (size_t)c->y_count);
  wn_status st = wn_run(p);
  double error = relative_l2(c->y, c->expected, c->y_count);
  t->ran++;
  if (st == WN_OK && same && error <= case_promise(c)) return;
  print_message(
      "# WRONG: %s --plan %s --backend %s: status %d, error %.3g, placement %s, %d buffers\n",
      c->text, plan, t->backend, (int)st, error, info.placement, info.buffers);
  t->wrong++;
}

static void try_plan(const conv_case *c, const char *plan, bool may_refuse, tally *t) {
  if (getenv("WINNOW_VERBOSE"))
    print_message("# %s --plan %s --backend %s\n", c->text, plan, t->backend);
  wn_context *ctx;
  if (wn_context_create(&ctx) != WN_OK) fail();
  wn_on_warning(ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(c, ctx);
  void *data = c->y;
  wn_program *p = NULL;
  const wn_options o = WN_OPTIONS(.plan = plan, .wino = "2", .backend = t->backend, .isa = t->isa,
                                  .threads = 1, .variable_weights = t->variable, .no_cache = 1);
  wn_status st = wn_compile(ctx, &y, &data, 1, &o, &p);
  if (st == WN_OK) {
    check_result(c, plan, p, t);
  } else if (st == WN_ERR_REFUSED && wn_message(ctx)[0] != '\0' && may_refuse) {
    t->refused++;
  } else {
    print_message("# WRONG: %s --plan %s: status %d, %s\n", c->text, plan, (int)st,
                  wn_message(ctx));
    t->wrong++;
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void try_combination(const conv_case *c, int i, tally *t) {
  char plan[96];
  spell(plan, sizeof plan, i);
  try_plan(c, plan, !only_inline_and_global(i), t);
}

static void try_all(conv_case c, const char *backend, const char *isa, bool variable) {
  tally t = {.backend = backend, .isa = isa, .variable = variable};
  c.p.groups = c.groups;
  assert_true(case_finish(&c));
  case_describe(&c);
  if (!case_fill(&c)) fail();
  int share = in_part() ? 4 : 1;
  for (int i = 0; i < COMBINATIONS; ++i)
    if (quarter(i) % share == (int)c.seed % share) try_combination(&c, i, &t);
  print_message("# %s: %d of %d combinations run, %d are refused\n", c.text, t.ran,
                COMBINATIONS / share, t.refused);
  assert_int_equal(t.wrong, 0);
  assert_true(share > 1 || t.ran >= LEAST);
  assert_int_equal(t.ran + t.refused, COMBINATIONS / share);
  case_free(&c);
}

static const conv_case square = {
    .seed = 1,
    .nd = 2,
    .n = 2,
    .c = 3,
    .k = 5,
    .groups = 1,
    .in = {7, 9},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};
static const conv_case line = {.seed = 2,
                               .nd = 1,
                               .n = 1,
                               .c = 6,
                               .k = 4,
                               .groups = 2,
                               .in = {37},
                               .r = {4},
                               .p = {.stride = {1}, .dilation = {2}, .pad_lo = {2}, .pad_hi = {3}}};
static const conv_case strided = {
    .seed = 3,
    .nd = 2,
    .n = 1,
    .c = 4,
    .k = 9,
    .groups = 1,
    .in = {11, 10},
    .r = {3, 5},
    .p = {.stride = {1, 2}, .dilation = {1, 1}, .pad_lo = {1, 2}, .pad_hi = {0, 2}}};

static void test_square(void **state) {
  (void)state;
  try_all(square, "interp", NULL, false);
}

static void test_line(void **state) {
  (void)state;
  try_all(line, "interp", NULL, true);
}

static void test_strided(void **state) {
  (void)state;
  try_all(strided, "interp", NULL, false);
}

/* Channels that fill matrices, tiles that do not. */
static const conv_case even = {
    .seed = 4,
    .nd = 2,
    .n = 1,
    .c = 8,
    .k = 8,
    .groups = 1,
    .in = {7, 17},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};

/* As devices run them, in groups of work items. */
static void test_work_items(void **state) {
  (void)state;
  try_all(square, "interp", "simt", true);
  try_all(line, "interp", "simt", false);
  try_all(strided, "interp", "simt", true);
  try_all(even, "interp", "simdgroup", false);
}

/* Two groups, two phases of dilation in each image. */
static const conv_case phases = {
    .seed = 5,
    .nd = 1,
    .n = 4,
    .c = 4,
    .k = 4,
    .groups = 2,
    .in = {40},
    .r = {3},
    .p = {.stride = {1}, .dilation = {2}, .pad_lo = {1}, .pad_hi = {2}}};

static void try_plans(conv_case c, const char *const *plans) {
  static const char *const isas[] = {NULL, "sse2", "simt"};
  c.p.groups = c.groups;
  assert_true(case_finish(&c));
  case_describe(&c);
  if (!case_fill(&c)) fail();
  for (size_t k = 0; k < sizeof isas / sizeof *isas; ++k) {
    tally t = {.backend = "interp", .isa = isas[k]};
    for (int i = 0; plans[i] != NULL; ++i) try_plan(&c, plans[i], false, &t);
    assert_int_equal(t.wrong, 0);
  }
  case_free(&c);
}

/* Stages at a loop outside of those over blocks, or over phases: with the tiles of all of them. */
static void test_outside_blocks(void **state) {
  (void)state;
  static const char *const at_images[] = {"x=local@n,g=global,m=local,o=global;t=10",
                                          "x=local@n,g=inline,m=local,o=global;t=10",
                                          "x=local@n,g=global,m=local@n,o=global;t=5",
                                          "x=local@n,g=global,m=local@n,o=global;t=500", NULL};
  static const char *const at_groups[] = {
      "x=local@g,g=global,m=local,o=global;t=10", "x=local@g,g=global,m=local@g,o=global;t=10",
      "x=reg,g=global,m=local@g,o=global;t=4", "x=reg,g=inline,m=local@g,o=global", NULL};
  try_plans(square, at_images);
  try_plans(phases, at_groups);
}

static void test_compiled(void **state) {
  (void)state;
  if (getenv("WINNOW_LONG") == NULL) {
    try_all(line, "cpu", NULL, false);
    return;
  }
  try_all(square, "cpu", NULL, true);
  try_all(strided, "cpu", NULL, true);
  try_all(line, "cpu:cc", NULL, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_square),         cmocka_unit_test(test_line),
      cmocka_unit_test(test_strided),        cmocka_unit_test(test_work_items),
      cmocka_unit_test(test_outside_blocks), cmocka_unit_test(test_compiled),
  };
  return cmocka_run_group_tests_name("combinations", tests, NULL, NULL);
}
