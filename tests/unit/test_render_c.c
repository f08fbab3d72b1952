/* C from linear IR: its text, its count of lines, and, compiled by the system's compiler for every
 * instruction set of this machine, agreement of every op, dtype, vector length and way of moving
 * memory with the interpreter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lin_builder.h"
#include "render/render.h"
#include "runtime/half.h"
#include "runtime/runtime.h"

typedef struct fixture {
  diag d;
  arena a;
} fixture;

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  arena_release(&f->a);
  mem_free(f);
  return 0;
}

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

enum { MAX_KERNELS = 640, BYTES = 64 * 64 * 8, GRID = 3 };

typedef struct suite {
  fixture *f;
  int count;
  const lin_kernel *kernels[MAX_KERNELS];
  double tolerance[MAX_KERNELS]; /* relative, of results of a float dtype */
} suite;

static void add(suite *s, lin_builder b, double tolerance) {
  const char *broken = lin_verify(&s->f->a, b.k);
  if (broken) fail_msg("%s", broken);
  assert_true(s->count < MAX_KERNELS);
  s->kernels[s->count] = b.k;
  s->tolerance[s->count++] = tolerance;
}

static const char *fresh_name(suite *s) { return arena_printf(&s->f->a, "k%d", s->count); }

static void add_alu(suite *s, int lanes) {
  static const uop_op floats[] = {OP_ADD,  OP_SUB, OP_MUL,  OP_DIV,  OP_MAX, OP_MIN,
                                  OP_NEG,  OP_ABS, OP_SQRT, OP_EXP,  OP_LOG, OP_SIN,
                                  OP_TANH, OP_ERF, OP_FMA,  OP_WHERE};
  static const uop_op ints[] = {OP_ADD, OP_SUB, OP_MUL, OP_IDIV, OP_MOD,  OP_MAX,
                                OP_MIN, OP_NEG, OP_ABS, OP_FMA,  OP_WHERE};
  static const uop_op bools[] = {OP_ADD, OP_MUL, OP_MAX, OP_MIN, OP_AND, OP_OR, OP_NOT, OP_WHERE};
  static const wn_dtype regs[] = {WN_F32, WN_F64, WN_I32, WN_I64, WN_BOOL};
#define ADD(op, in, out, tolerance)                                                          \
  add(s, lb_elementwise(&s->f->a, fresh_name(s), op, in, out, op_table[op].lo, lanes, GRID), \
      tolerance)
  /* Functions of libm and divisions are loops over lanes at any length: two lengths say all, and
   * compile slowly. */
  bool slow = lanes <= 4;
  for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
    if (!slow && floats[i] >= OP_EXP && floats[i] <= OP_ERF) continue;
    bool exact = floats[i] < OP_EXP || floats[i] == OP_WHERE;
    ADD(floats[i], WN_F32, WN_F32, exact ? 0 : 4e-7);
    ADD(floats[i], WN_F64, WN_F64, exact ? 0 : 1e-15);
  }
  for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
    if (!slow && (ints[i] == OP_IDIV || ints[i] == OP_MOD)) continue;
    ADD(ints[i], WN_I32, WN_I32, 0);
    ADD(ints[i], WN_I64, WN_I64, 0);
  }
  for (size_t i = 0; i < sizeof bools / sizeof bools[0]; i++) ADD(bools[i], WN_BOOL, WN_BOOL, 0);
  for (int i = 0; i < 5; i++) {
    ADD(OP_LT, regs[i], WN_BOOL, 0);
    ADD(OP_EQ, regs[i], WN_BOOL, 0);
    for (int j = 0; j < 5; j++)
      if (i >= 2 || j < 2 || regs[j] == WN_BOOL) ADD(OP_CAST, regs[i], regs[j], 0);
  }
#undef ADD
}

/* Copies between two arrays of dtype dt: kind 0 contiguous, 1 strided by -2 to 3, 2 by vectors of
 * offsets. */
static lin_builder copy_kernel(suite *s, wn_dtype dt, int lanes, int kind, bool masked) {
  lin_builder b = lb_new(&s->f->a, fresh_name(s), GRID);
  int64_t in = lb_array(&b, SPACE_GLOBAL, dt, BYTES / 8),
          out = lb_array(&b, SPACE_GLOBAL, dt, BYTES / 8);
  int64_t space = 4 * lanes;
  uint32_t block = lb_grid(&b), from = lb_op2(&b, OP_MUL, WN_I64, block, lb_i64(&b, space));
  uint32_t to = from, mask = LB_NO_MASK;
  if (masked) {
    wn_dtype bits = WN_BOOL;
    mask = lb_load(&b, lb_array(&b, SPACE_GLOBAL, bits, GRID * lanes), lanes,
                   lb_op2(&b, OP_MUL, WN_I64, block, lb_i64(&b, lanes)), 1, LB_NO_MASK);
  }
  if (kind == 1) from = lb_op2(&b, OP_ADD, WN_I64, from, lb_i64(&b, 2 * (lanes - 1)));
  if (kind == 2) {
    uint32_t lane = lanes > 1 ? lb_iota(&b, lanes) : lb_i64(&b, 0);
    uint32_t three = lb_splat(&b, WN_I64, lanes, lb_i64(&b, 3)),
             base = lb_splat(&b, WN_I64, lanes, from);
    from = to = lb_op(&b, OP_FMA, WN_I64, 3, lane, three, base);
  }
  uint32_t v = lb_load(&b, in, lanes, from, kind == 1 ? -2 : 1, mask);
  lb_shift(&b, v, 3);
  lb_shift(&b, lb_store(&b, out, to, v, kind == 1 ? 3 : 1, mask), 5);
  return b;
}

static void add_memory(suite *s, int lanes) {
  for (int dt = 0; dt < WN_DTYPE_COUNT; dt++)
    for (int kind = 0; kind < (lanes > 1 ? 3 : 1); kind++)
      for (int masked = 0; masked < 2; masked++)
        add(s, copy_kernel(s, (wn_dtype)dt, lanes, kind, masked), 0);
}

/* Lanes moved about, a variable in a loop, a condition, private and local arrays, constants of
 * every dtype. */
static void add_structure(suite *s, wn_dtype dt) {
  lin_builder b = lb_new(&s->f->a, fresh_name(s), GRID);
  int64_t in = lb_array(&b, SPACE_GLOBAL, dt, GRID * 16),
          out = lb_array(&b, SPACE_GLOBAL, dt, GRID * 8);
  int64_t local = lb_array(&b, SPACE_LOCAL, dt, 16), reg = lb_array(&b, SPACE_REG, dt, 8);
  uint32_t block = lb_grid(&b), zero = lb_i64(&b, 0),
           at = lb_op2(&b, OP_MUL, WN_I64, block, lb_i64(&b, 16));
  uint32_t lo = lb_load(&b, in, 8, at, 2, LB_NO_MASK);
  uint32_t hi = lb_load(&b, in, 8, lb_op2(&b, OP_ADD, WN_I64, at, lb_i64(&b, 1)), 2, LB_NO_MASK);
  lb_push(&b, (lin_ins){.op = OP_PREFETCH, .nsrc = 1, .src = {at}, .i = in});
  lb_push(&b, (lin_ins){.op = OP_BARRIER});
  uint32_t mixed = lb_shuffle(&b, dt, 8, 2, lo, hi, (int64_t[]){0, 8, 1, 9, 15, 7, 7, 2});
  uint32_t half = lb_shuffle(&b, dt, 4, 1, mixed, 0, (int64_t[]){6, 4, 2, 0});
  uint32_t twice = lb_shuffle(&b, dt, 8, 2, half, half, (int64_t[]){0, 4, 1, 5, 2, 6, 3, 7});
  lb_store(&b, local, zero, twice, 2, LB_NO_MASK);
  lb_store(&b, local, lb_i64(&b, 1), mixed, 2, LB_NO_MASK);
  lb_shift(&b, lb_store(&b, reg, lb_i64(&b, 3), half, 1, LB_NO_MASK), -1);
  uint32_t scalar = lb_extract(&b, dt, hi, 5), wide = lb_splat(&b, dt, 8, scalar);
  uint32_t start =
      dtype_is_float(dt) ? lb_float(&b, dt, 8, 0.1) : lb_splat(&b, dt, 8, lb_int(&b, dt, 1));
  uint32_t acc = lb_op1(&b, OP_ACC, dt, start), loop = lb_loop(&b, 9);
  uint32_t early = lb_op2(&b, OP_LT, WN_BOOL, loop, lb_i64(&b, 8)), cond = lb_if(&b, early);
  uint32_t v = lb_load(&b, local, 8, loop, 1, LB_NO_MASK);
  lb_op2(&b, OP_ACC_SET, dt, acc, lb_op2(&b, OP_ADD, dt, lb_op2(&b, OP_MUL, dt, acc, wide), v));
  lb_end(&b, cond);
  lb_end(&b, loop);
  uint32_t back = lb_load(&b, reg, 4, lb_i64(&b, 2), 1, LB_NO_MASK);
  uint32_t spread = lb_shuffle(&b, dt, 8, 1, back, 0, (int64_t[]){0, 1, 2, 3, 0, 1, 2, 3});
  uint32_t sum = lb_op2(&b, OP_ADD, dt, acc, spread);
  uint32_t count = lb_iota(&b, 8);
  if (dt == WN_I32) b.k->ins.data[count].dtype = WN_I32;
  sum = lb_op2(&b, OP_ADD, dt, sum, dtype_is_int(dt) ? count : lb_op1(&b, OP_CAST, dt, count));
  lb_store(&b, out, lb_op2(&b, OP_MUL, WN_I64, block, lb_i64(&b, 8)), sum, 1, LB_NO_MASK);
  add(s, b, dt == WN_F32 ? 1e-5 : 1e-13);
}

static uint64_t random_next(uint64_t *seed) {
  *seed += 0x9e3779b97f4a7c15u;
  uint64_t z = *seed;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Small numbers with both signs, ties, and now and then (in floats) NaN, infinity or -0. */
static double random_value(uint64_t *seed, bool special) {
  uint64_t r = random_next(seed);
  if (special && r % 16 == 0) return r & 64 ? (double)NAN : r & 32 ? (double)-INFINITY : -0.0;
  return ((double)(r >> 40) - 0x1p23) / (r & 8 ? 0x1p20 : 0x1p22);
}

static void fill(void *p, wn_dtype dt, int64_t len, uint64_t *seed, bool special) {
  for (int64_t i = 0; i < len; i++) {
    double x = random_value(seed, special && dtype_is_float(dt));
    switch (dt) {
      case WN_F64:
        ((double *)p)[i] = x;
        break;
      case WN_F32:
        ((float *)p)[i] = (float)x;
        break;
      case WN_F16:
        ((uint16_t *)p)[i] = half_to_f16(x);
        break;
      case WN_BF16:
        ((uint16_t *)p)[i] = half_to_bf16(x);
        break;
      case WN_I32:
        ((int32_t *)p)[i] = (int32_t)(4 * x);
        break;
      case WN_I64:
        ((int64_t *)p)[i] = (int64_t)(4 * x);
        break;
      default:
        ((uint8_t *)p)[i] = random_next(seed) & 1;
    }
  }
}

static double element(const void *p, wn_dtype dt, int64_t i) {
  switch (dt) {
    case WN_F64:
      return ((const double *)p)[i];
    case WN_F32:
      return (double)((const float *)p)[i];
    case WN_F16:
      return half_from_f16(((const uint16_t *)p)[i]);
    case WN_BF16:
      return (double)half_from_bf16(((const uint16_t *)p)[i]);
    case WN_I32:
      return ((const int32_t *)p)[i];
    case WN_I64:
      return (double)((const int64_t *)p)[i];
    default:
      return ((const uint8_t *)p)[i];
  }
}

static bool close_enough(double x, double y, double tolerance) {
  if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
  return x == y || fabs(x - y) <= tolerance * fmax(1, fabs(y));
}

/* The output is the second array of copies and the last array else, counting global ones; others
 * are inputs. */
static int output_of(const lin_kernel *k) {
  int out = -1;
  for (size_t i = 0; i < k->ins.len; i++) {
    const lin_ins *u = &k->ins.data[i];
    if (u->op == OP_STORE && k->arrays.data[u->i].space == SPACE_GLOBAL) out = (int)u->i;
  }
  return out;
}

static void compare(suite *s, int index, module *compiled, module *reference, uint64_t seed) {
  static _Alignas(64) unsigned char memory[5][BYTES], expected[BYTES];
  const lin_kernel *k = s->kernels[index];
  void *args[5] = {memory[0], memory[1], memory[2], memory[3], memory[4]}, *other[5];
  int out = output_of(k);
  for (size_t i = 0; i < k->arrays.len && k->arrays.data[i].space == SPACE_GLOBAL; i++) {
    bool casts = k->arrays.data[out].dtype != k->arrays.data[0].dtype || k->arrays.len == 4;
    fill(memory[i], k->arrays.data[i].dtype, k->arrays.data[i].len, &seed, !casts);
  }
  memcpy(other, args, sizeof args);
  memcpy(expected, memory[out], BYTES);
  other[out] = expected;
  module_launch(reference, index, other, 0, k->grid);
  module_launch(compiled, index, args, 0, k->grid);
  const lin_array *a = &k->arrays.data[out];
  for (int64_t i = 0; i < a->len; i++) {
    double x = element(memory[out], a->dtype, i), y = element(expected, a->dtype, i);
    if (close_enough(x, y, s->tolerance[index])) continue;
    str text;
    str_init(&text, &s->f->a);
    render_c(&text, k);
    fail_msg("%s[%lld] is %.9g compiled and %.9g interpreted:\n%s", k->name, (long long)i, x, y,
             str_text(&text));
  }
}

static void agree(suite *s, const char *isa) {
  runtime *cc = runtime_create(&s->f->d, "cpu:cc", isa, 1);
  runtime *interp = runtime_create(&s->f->d, "interp", NULL, 1);
  compile_options options = {.max_lines = 1000};
  module *compiled = module_compile(cc, &s->f->d, s->count, s->kernels, &options);
  module *reference = module_compile(interp, &s->f->d, s->count, s->kernels, &options);
  for (int i = 0; i < s->count; i++) {
    const char *fallback = module_kernel(compiled, i).fallback;
    if (fallback) fail_msg("%s: %s", s->kernels[i]->name, fallback);
    compare(s, i, compiled, reference, 1000 + (uint64_t)i);
  }
  module_destroy(compiled);
  module_destroy(reference);
  runtime_destroy(cc);
  runtime_destroy(interp);
}

/* Bytes of a vector, 0 where this machine lacks the instruction set. */
static int vector_bytes(diag *d, const char *isa) {
  cpu_target t;
  wn_status st;
  DIAG_TRY(d, st) { cpu_target_init(&t, d, isa); }
  DIAG_END(d, st)
  return st == WN_OK ? t.vector_bytes : 0;
}

static void test_agreement(void **state) {
  static const char *const isas[] = {"sse2", "avx2", "avx512", "neon"};
  fixture *f = *state;
  for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++) {
    int widest = vector_bytes(&f->d, isas[i]) / 4;
    if (widest == 0) continue;
    suite s = {.f = f};
    /* Scalars and short vectors once; elsewhere a register of f32, which makes two of f64. */
    for (int lanes = widest == 4 ? 1 : widest; lanes <= widest; lanes *= 4) {
      add_alu(&s, lanes);
      add_memory(&s, lanes);
    }
    add_structure(&s, WN_F32);
    add_structure(&s, WN_F64);
    add_structure(&s, WN_I32);
    add_structure(&s, WN_I64);
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
