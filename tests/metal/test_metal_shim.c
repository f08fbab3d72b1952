/* What the Metal renderer prints, run on the CPU: every op, dtype, vector length and way of moving
 * memory; every named plan at the reference problem, for one of the instruction sets; random
 * plans at random shapes. The seed is printed; WINNOW_SEED=<seed> draws the same again. WINNOW_LONG=1 has each plan for
 * each of them and 200 pairs instead of ten.
 * The kernels are compiled with the shim's own sanitizers, whether this is or not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "metal/shim.h"
#include "program/program.h"
#include "plan/schedule.h"
#include "sanitized.h"

#define TOLERANCE 1e-4 /* of a kernel of a convolution, which in f32 rounds each step */

static const char *const isas[] = {"sse2", "simt", "simdgroup"};
enum { ISAS = sizeof isas / sizeof *isas, PER_BATCH = 10 };

typedef struct fixture {
  diag d;
  arena a;
  shim_batch batch;
  wn_context *ctx[128];
  wn_program *programs[128]; /* own the kernels */
  int count;
} fixture;

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  memset(f, 0, sizeof *f);
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  f->batch.arena = &f->a;
  *state = f;
  return 0;
}

static void forget(fixture *f) {
  for (int i = 0; i < f->count; i++) {
    wn_program_destroy(f->programs[i]);
    wn_context_destroy(f->ctx[i]);
  }
  f->count = 0;
  arena_release(&f->a);
  f->batch = (shim_batch){.arena = &f->a};
}

static int teardown(void **state) {
  fixture *f = *state;
  forget(f);
  mem_free(f);
  return 0;
}

/* --- every operation -------------------------------------------------------------------------- */

static void test_operations(void **state) {
  fixture *f = *state;
  suite *s = arena_new(&f->a, suite);
  s->arena = &f->a;
  for (int lanes = in_part() ? 4 : 1; lanes <= 4; lanes *= 2) {
    if (lanes != 2 || getenv("WINNOW_LONG")) suite_add_alu(s, lanes);
    suite_add_memory(s, lanes);
  }
  for (int i = 0; i < s->count; i++)
    shim_add(&f->batch, s->kernels[i], "operation", s->tolerance[i], 1000 + (uint64_t)i);
  shim_run(&f->batch);
  print_message("# %zu kernels agree, %d are refused\n", f->batch.jobs.len, f->batch.refused);
}

/* --- mistakes --------------------------------------------------------------------------------- */

typedef enum { NO_MISTAKE, NO_BARRIER, ONE_SIDED, OUTSIDE } mistake;

/* Each work item stores a value to local memory and loads its neighbour's. */
static lin_kernel *pass_on(arena *a, mistake m) {
  enum { ITEMS = 8, GROUPS = 4 };
  lin_builder b = lb_new(a, "pass_on", GROUPS);
  b.k->group = ITEMS;
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, ITEMS * GROUPS),
          y = lb_array(&b, SPACE_GLOBAL, WN_F32, ITEMS * GROUPS),
          row = lb_array(&b, SPACE_LOCAL, WN_F32, ITEMS);
  uint32_t start = lb_op2(&b, OP_MUL, WN_I64, lb_grid(&b), lb_i64(&b, ITEMS));
  uint32_t lane = lb_push(&b, (lin_ins){.op = OP_LANE, .dtype = WN_I64, .lanes = 1});
  uint32_t at = lb_op2(&b, OP_ADD, WN_I64, start, lane);
  lb_store(&b, row, lane, lb_load(&b, x, 1, at, 1, LB_NO_MASK), 1, LB_NO_MASK);
  uint32_t head = 0;
  if (m == ONE_SIDED) head = lb_if(&b, lb_op2(&b, OP_LT, WN_BOOL, lane, lb_i64(&b, ITEMS / 2)));
  if (m != NO_BARRIER) lb_push(&b, (lin_ins){.op = OP_BARRIER, .i = 1});
  if (m == ONE_SIDED) lb_end(&b, head);
  uint32_t next = lb_op2(&b, OP_ADD, WN_I64, lane, lb_i64(&b, 1));
  uint32_t v =
      lb_load(&b, row, 1, lb_op2(&b, OP_MOD, WN_I64, next, lb_i64(&b, ITEMS)), 1, LB_NO_MASK);
  if (m == OUTSIDE) v = lb_shift(&b, lb_load(&b, x, 1, at, 1, LB_NO_MASK), 1);
  lb_store(&b, y, at, v, 1, LB_NO_MASK);
  return b.k;
}

/* What the shim is there to see, it sees. */
static void test_mistakes(void **state) {
  fixture *f = *state;
  static const struct {
    mistake m;
    const char *says;
  } expected[] = {{NO_BARRIER, "interpreted"},
                  {ONE_SIDED, "does not come by the barrier"},
                  {OUTSIDE, "AddressSanitizer"}};
  shim_add(&f->batch, pass_on(&f->a, NO_MISTAKE), "no mistake", 0, 1);
  shim_run(&f->batch);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    f->batch.jobs.len = 0;
    shim_add(&f->batch, pass_on(&f->a, expected[i].m), "a mistake", 0, 1);
    const char *wrong = shim_wrong(&f->batch);
    bool checked = expected[i].m != OUTSIDE || *shim_sanitizers(&f->batch);
    if (checked && !(wrong && strstr(wrong, expected[i].says)))
      fail_msg("not found: %s, but %s", expected[i].says, wrong ? wrong : "nothing");
    shim_forget(&f->batch);
  }
}

/* --- plans ------------------------------------------------------------------------------------ */

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* Adds the kernels of a plan; false where the plan is refused. */
static bool add_plan(fixture *f, const conv_case *c, const char *plan, const char *isa) {
  wn_context **ctx = &f->ctx[f->count];
  wn_program **p = &f->programs[f->count];
  assert_int_equal(wn_context_create(ctx), WN_OK);
  wn_on_warning(*ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(c, *ctx);
  void *data = c->y;
  const wn_options o =
      WN_OPTIONS(.plan = plan, .backend = "interp", .isa = isa, .threads = 1, .no_cache = 1);
  if (wn_compile(*ctx, &y, &data, 1, &o, p) != WN_OK) {
    wn_context_destroy(*ctx);
    return false;
  }
  const char *what = arena_printf(&f->a, "%s --plan %s --isa %s, WINNOW_SEED=%" PRIu64, c->text,
                                  plan, isa, c->seed);
  for (size_t k = 0; k < (*p)->compiled->set->kernels.len; k++)
    shim_add(&f->batch, &(*p)->compiled->kernels[k]->lin, what, TOLERANCE, c->seed + k);
  f->count++;
  return true;
}

static void test_reference_problem(void **state) {
  fixture *f = *state;
  conv_case c = {.nd = 2, .n = 1, .c = 16, .k = 16, .groups = 1, .in = {32, 32}, .r = {3, 3}};
  for (int i = 0; i < 2; i++) c.p.stride[i] = c.p.dilation[i] = c.p.pad_lo[i] = c.p.pad_hi[i] = 1;
  assert_true(case_finish(&c));
  assert_true(case_fill(&c));
  case_describe(&c);
  int first = (int)(test_seed() % ISAS);
  for (int i = 0; i < ISAS; i++)
    for (int k = 0; schedule_plan_names[k] != NULL; k++) {
      if (getenv("WINNOW_LONG") == NULL && (k + first) % ISAS != i) continue;
      const char *plan = schedule_plan_names[k];
      if (!add_plan(f, &c, plan, isas[i])) fail_msg("%s is refused", plan);
    }
  shim_run(&f->batch);
  print_message("# %d plans, %zu kernels agree\n", f->count, f->batch.jobs.len);
  assert_int_equal(f->batch.refused, 0);
  case_free(&c);
}

static int products_of_matrices(const fixture *f) {
  int n = 0;
  for (size_t i = 0; i < f->batch.jobs.len; i++) {
    const lin_kernel *k = f->batch.jobs.data[i].k;
    bool any = false;
    for (size_t j = 0; j < k->ins.len; j++) any |= k->ins.data[j].op == OP_MATRIX_MULADD;
    n += any;
  }
  return n;
}

/* Channels whose sums are cut into partial ones, evenly and with a rest, and tiles that fill no matrix. */
static void test_matrices(void **state) {
  fixture *f = *state;
  static const struct {
    int c, k, in;
    const char *plan;
  } cases[] = {{64, 64, 11, "old"},
               {64, 16, 13, "split"},
               {136, 16, 11, "old"},
               {192, 8, 13, "split"},
               {16, 16, 13, "x=global,g=global,m=local,o=global;wino=2x2"},
               {16, 16, 14, "x=local,g=global,m=global,o=global;wino=2x2;t=16"},
               {16, 16, 14, "x=local,g=global,m=local,o=global;wino=2x2;t=8"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    conv_case c = {.nd = 2,
                   .n = 1,
                   .c = cases[i].c,
                   .k = cases[i].k,
                   .groups = 1,
                   .in = {cases[i].in, cases[i].in + 2},
                   .r = {3, 3},
                   .seed = 77 + i};
    for (int a = 0; a < 2; a++) c.p.stride[a] = c.p.dilation[a] = c.p.pad_lo[a] = c.p.pad_hi[a] = 1;
    assert_true(case_finish(&c));
    assert_true(case_fill(&c));
    case_describe(&c);
    if (!add_plan(f, &c, cases[i].plan, "simdgroup")) fail_msg("%s is refused", cases[i].plan);
    case_free(&c);
  }
  shim_run(&f->batch);
  int matrices = products_of_matrices(f);
  print_message("# %zu kernels agree, %d with matrices\n", f->batch.jobs.len, matrices);
  assert_int_equal(matrices, sizeof cases / sizeof *cases);
  assert_int_equal(f->batch.refused, 0);
}

/* Channels of a group that fill matrices. */
static void round_channels(conv_case *c) {
  c->c = (c->c / c->groups + 7) / 8 * 8 * c->groups;
  c->k = (c->k / c->groups + 7) / 8 * 8 * c->groups;
  assert_true(case_finish(c));
  case_describe(c);
}

static void test_random_shapes(void **state) {
  fixture *f = *state;
  uint64_t seed = test_seed();
  int wanted = getenv("WINNOW_LONG") != NULL ? 200 : in_part() ? 3 : 10, plans = 0, done = 0;
  while (schedule_plan_names[plans] != NULL) plans++;
  for (; done < wanted; seed++) {
    uint64_t s = seed ^ UINT64_C(0x3e7a1);
    const char *isa = isas[below(&s, ISAS)], *plan = schedule_plan_names[below(&s, plans)];
    bool matrices = strcmp(isa, "simdgroup") == 0;
    conv_case c = case_draw(seed, matrices ? 30000 : 300000);
    if (matrices) round_channels(&c);
    c.x = random_values(&s, c.x_count);
    c.w = random_values(&s, c.w_count);
    c.y = random_values(&s, c.y_count);
    done += add_plan(f, &c, plan, isa);
    case_free(&c);
    if (f->count < PER_BATCH && done < wanted) continue;
    shim_run(&f->batch);
    print_message("# %d pairs, %zu kernels agree\n", f->count, f->batch.jobs.len);
    assert_int_equal(f->batch.refused, 0);
    forget(f);
  }
}

int main(void) {
  arena a;
  diag d;
  diag_init(&d);
  arena_init(&a, &d);
  bool can = shim_has_compiler(&a);
  arena_release(&a);
  if (!can) {
    print_message("1..0 # SKIP no C++ compiler\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_operations, setup, teardown),
      cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_reference_problem, setup, teardown),
      cmocka_unit_test_setup_teardown(test_matrices, setup, teardown),
      cmocka_unit_test_setup_teardown(test_random_shapes, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
