/* Every named plan on every instruction set that this machine has, down to SSE2, on odd sizes, so that
 * each vector and block has a tail. The machine code is the backend's, never the interpreter in its
 * place. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "isas.h"

static const conv_case odd = {
    .seed = 22,
    .nd = 2,
    .n = 3,
    .c = 13,
    .k = 19,
    .groups = 1,
    .in = {17, 23},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 0}, .pad_hi = {0, 1}}};

typedef struct attempt {
  conv_case *c;
  const char *plan, *isa, *backend;
  int wrong;
} attempt;

static void check_program(attempt *a, wn_program *p) {
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  memset(a->c->y, 0xff, sizeof *a->c->y * (size_t)a->c->y_count);
  wn_status st = wn_run(p);
  double error = relative_l2(a->c->y, a->c->expected, a->c->y_count);
  bool native = info.fallback == NULL && strcmp(info.isa, a->isa) == 0;
  if (st == WN_OK && native && error <= case_promise(a->c) && case_is_clean(a->c)) return;
  print_message("# WRONG: %s --plan %s --isa %s --backend %s: error %.3g, limit %.3g, %s\n",
                a->c->text, a->plan, a->isa, a->backend, error, case_promise(a->c),
                info.fallback ? info.fallback : info.isa);
  a->wrong++;
}

static void try_one(attempt *a) {
  wn_context *ctx;
  if (wn_context_create(&ctx) != WN_OK) fail();
  wn_tensor *y = case_graph(a->c, ctx);
  void *data = a->c->y;
  wn_program *p = NULL;
  const wn_options o =
      WN_OPTIONS(.plan = a->plan, .isa = a->isa,
                 .wino = strcmp(a->plan, "direct") == 0 ? NULL : "2", /* small kernels */
                 .backend = a->backend, .threads = 2, .max_lines = 20000, .no_cache = 1);
  if (wn_compile(ctx, &y, &data, 1, &o, &p) != WN_OK)
    fail_msg("%s --plan %s --isa %s: %s", a->c->text, a->plan, a->isa, wn_message(ctx));
  check_program(a, p);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void fill(conv_case *c) {
  assert_true(case_finish(c) && case_fill(c));
  case_describe(c);
}

static void all_plans(conv_case c) {
  isa_list isas = machine_isas();
  const char *const *plans = wn_plan_names();
  fill(&c);
  attempt a = {.c = &c, .backend = "cpu"};
  for (int i = 0; i < isas.count; ++i) {
    if (i > 0 && strcmp(isas.name[i], "generic") == 0) continue; /* as the one before it */
    for (int k = 0; plans[k] != NULL; ++k) {
      a.plan = plans[k];
      a.isa = isas.name[i];
      try_one(&a);
    }
  }
  case_free(&c);
  assert_int_equal(a.wrong, 0);
}

static void test_plans(void **state) {
  (void)state;
  all_plans(odd);
}

/* The system's compiler is slow: one plan on each. */
static void test_system_compiler(void **state) {
  (void)state;
  isa_list isas = machine_isas();
  conv_case c = odd;
  fill(&c);
  attempt a = {.c = &c, .plan = "fused", .backend = "cpu:cc"};
  for (int i = 0; i < isas.count; ++i) {
    a.isa = isas.name[i];
    try_one(&a);
  }
  case_free(&c);
  assert_int_equal(a.wrong, 0);
}

/* What /proc/cpuinfo says is there is among them. */
static void test_list(void **state) {
  (void)state;
  isa_list isas = machine_isas();
  char text[128] = "";
  for (int i = 0; i < isas.count; ++i) {
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, " %s", isas.name[i]);
  }
  print_message("# instruction sets:%s\n", text);
  assert_non_null(strstr(text, " generic"));
#if defined(__x86_64__)
  assert_non_null(strstr(text, " sse2"));
  FILE *f = fopen("/proc/cpuinfo", "r");
  static char cpu[1 << 16];
  size_t len = f ? fread(cpu, 1, sizeof cpu - 1, f) : 0;
  if (f) fclose(f);
  cpu[len] = '\0';
  if (strstr(cpu, " avx2 ")) assert_non_null(strstr(text, " avx2"));
  if (strstr(cpu, " avx512vl ")) assert_non_null(strstr(text, " avx512"));
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_plans),
      cmocka_unit_test(test_system_compiler),
  };
  return cmocka_run_group_tests_name("instruction sets", tests, NULL, NULL);
}
