/* C from linear IR: its text, its count of lines, and, compiled by the system's compiler for every
 * instruction set of this machine, agreement of every op, dtype, vector length and way of moving
 * memory with the interpreter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "arena_fixture.h"
#include "lin_suite.h"
#include "render/render.h"
#include "backend/runtime.h"
#include "unit/on_host.h"

/* --- text ------------------------------------------------------------------------------------- */

static void test_text(void **state) {
  fixture *f = *state;
  lin_builder b = lb_new(&f->a, "E_2_8", 2);
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, 64), y = lb_array(&b, SPACE_GLOBAL, WN_F16, 16);
  int64_t local = lb_array(&b, SPACE_LOCAL, WN_F32, 8), reg = lb_array(&b, SPACE_REG, WN_F32, 8);
  b.k->arrays.data[x].written = false;
  b.k->arrays.data[x].aligned = true;
  b.k->arrays.data[y].name = "out-1";
  uint32_t block = lb_grid(&b), eight = lb_i64(&b, 8),
           at = lb_op2(&b, OP_MUL, WN_I64, block, eight);
  uint32_t lane = lb_iota(&b, 8), four = lb_splat(&b, WN_I64, 8, lb_i64(&b, 4));
  uint32_t mask = lb_op2(&b, OP_LT, WN_BOOL, lane, four), loop = lb_loop(&b, 3);
  uint32_t v = lb_load(&b, x, 8, at, 3, mask);
  lb_shift(&b, v, -2);
  uint32_t third = lb_float(&b, WN_F32, 8, 1.0 / 3);
  uint32_t w = lb_op2(&b, OP_MUL, WN_F32, v, third), zero = lb_i64(&b, 0);
  lb_store(&b, local, zero, w, 1, LB_NO_MASK);
  lb_store(&b, reg, zero, w, 1, LB_NO_MASK);
  lb_store(&b, y, at, w, 1, mask);
  lb_end(&b, loop);
  str s;
  str_init(&s, &f->a);
  render_c(&s, b.k);
  assert_string_equal(
      str_text(&s),
      "void E_2_8(void *const *args, void *scratch, int64_t begin, int64_t end) {\n"
      "  const float *restrict a0_x = __builtin_assume_aligned(args[0], 64);\n"
      "  uint16_t *restrict a1_out_1 = args[1];\n"
      "  float *a2_x = __builtin_assume_aligned((char *)scratch + 0, 64);\n"
      "  float a3_x[8] __attribute__((aligned(64)));\n"
      "  for (int64_t gid = begin; gid < end; gid++) {\n"
      "    int64_t v2 = gid * 8;\n"
      "    i64x8 v5 = splat_i64x8((int64_t)4);\n"
      "    i32x8 v6 = __builtin_convertvector((i64x8){0, 1, 2, 3, 4, 5, 6, 7} < v5, i32x8);\n"
      "    for (int64_t v7 = 0; v7 < 3; v7++) {\n"
      "      f32x8 v8 = load_f32x8_strided_masked(a0_x + v2 - 2, 3, v6);\n"
      "      f32x8 v10 = v8 * splat_f32x8(0x1.555556p-2f);\n"
      "      store_f32x8(a2_x, v10);\n"
      "      store_f32x8(a3_x, v10);\n"
      "      store_f16x8_masked(a1_out_1 + v2, v10, v6);\n"
      "    }\n"
      "  }\n"
      "}\n");
  assert_int_equal(render_c_lines(&f->a, b.k), 18);
}

/* Constants read back by strtod are the same numbers, and infinities and NaN have a spelling. */
static void test_constants(void **state) {
  fixture *f = *state;
  static const double values[] = {0.1, -0.0, 1.0 / 3, 1e-310, -2.5e300, 5};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    lin_builder b = lb_new(&f->a, "k", 1);
    int64_t y = lb_array(&b, SPACE_GLOBAL, WN_F64, 1);
    lb_store(&b, y, lb_i64(&b, 0), lb_float(&b, WN_F64, 1, values[i]), 0, LB_NO_MASK);
    str s;
    str_init(&s, &f->a);
    render_c(&s, b.k);
    const char *number = strstr(str_text(&s), "[0] = ") + 6;
    double back = strtod(number + (*number == '('), NULL);
    assert_memory_equal(&back, &values[i], sizeof back);
  }
}

/* --- agreement -------------------------------------------------------------------------------- */

typedef struct unit {
  runtime *rt;
  module *m;
} unit;

static void launch(void *user, int index, void *const *args) {
  const unit *u = user;
  assert_null(launch_on_host(u->rt, u->m, index, SUITE_ARRAYS, args, 0, SUITE_GRID));
}

static void agree(const suite *s, const char *isa) {
  diag *d = s->arena->diag;
  runtime *cc = runtime_create(d, "cpu:cc", isa, 1);
  compile_options options = {.max_lines = 1000};
  module *compiled = module_compile(cc, d, s->count, s->kernels, &options);
  for (int i = 0; i < s->count; i++) {
    const char *fallback = module_kernel(compiled, i).fallback;
    if (fallback) fail_msg("%s: %s", s->kernels[i]->name, fallback);
    str text;
    str_init(&text, s->arena);
    render_c(&text, s->kernels[i]);
    suite_check(s, i, launch, &(unit){cc, compiled}, str_text(&text));
  }
  module_destroy(compiled);
  runtime_destroy(cc);
}

/* Bytes of a vector, 0 where this machine lacks the instruction set. */
static int vector_bytes(diag *d, const char *isa) {
  machine t;
  wn_status st;
  DIAG_TRY(d, st) { machine_of_cpu(&t, d, isa); }
  DIAG_END(d, st)
  return st == WN_OK ? t.vector_bytes : 0;
}

static void test_agreement(void **state) {
  static const char *const isas[] = {"sse2", "avx2", "avx512", "neon"};
  fixture *f = *state;
  for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++) {
    int widest = vector_bytes(&f->d, isas[i]) / 4;
    if (widest == 0) continue;
    suite s = {.arena = &f->a};
    /* Scalars and short vectors once; elsewhere a register of f32, which makes two of f64. */
    for (int lanes = widest == 4 ? 1 : widest; lanes <= widest; lanes *= 4) {
      suite_add_alu(&s, lanes);
      suite_add_memory(&s, lanes);
    }
    suite_add_structure(&s, WN_F32);
    suite_add_structure(&s, WN_F64);
    suite_add_structure(&s, WN_I32);
    suite_add_structure(&s, WN_I64);
    print_message("%s: %d kernels\n", isas[i], s.count);
    agree(&s, isas[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_text, setup, teardown),
      cmocka_unit_test_setup_teardown(test_constants, setup, teardown),
      cmocka_unit_test_setup_teardown(test_agreement, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
