/* Kernels that together use every op, dtype, vector length and way of moving memory of the linear
 * IR, and running them beside the interpreter: what a renderer is tested with. */
#ifndef TEST_LIN_SUITE_H
#define TEST_LIN_SUITE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "lin_builder.h"
#include "backend/half.h"
#include "backend/interp/interp.h"

enum { SUITE_KERNELS = 640, SUITE_BYTES = 64 * 64 * 8, SUITE_GRID = 3, SUITE_ARRAYS = 5 };

typedef struct suite {
  arena *arena;
  int count;
  const lin_kernel *kernels[SUITE_KERNELS];
  double tolerance[SUITE_KERNELS]; /* relative, of results of a float dtype */
} suite;

static inline void suite_add(suite *s, lin_builder b, double tolerance) {
  const char *broken = lin_verify(s->arena, b.k);
  if (broken) fail_msg("%s", broken);
  assert_true(s->count < SUITE_KERNELS);
  s->kernels[s->count] = b.k;
  s->tolerance[s->count++] = tolerance;
}

static const char *suite_fresh_name(suite *s) { return arena_printf(s->arena, "k%d", s->count); }

static inline void suite_add_alu(suite *s, int lanes) {
  static const uop_op floats[] = {OP_ADD, OP_SUB,   OP_MUL,   OP_DIV,  OP_MAX, OP_MIN, OP_NEG,
                                  OP_ABS, OP_FLOOR, OP_ROUND, OP_SQRT, OP_EXP, OP_LOG, OP_SIN,
                                  OP_COS, OP_ATAN,  OP_TANH,  OP_ERF,  OP_POW, OP_FMA, OP_WHERE};
  static const uop_op ints[] = {OP_ADD, OP_SUB, OP_MUL, OP_IDIV, OP_MOD,  OP_MAX,
                                OP_MIN, OP_NEG, OP_ABS, OP_FMA,  OP_WHERE};
  static const uop_op bools[] = {OP_ADD, OP_MUL, OP_MAX, OP_MIN, OP_AND, OP_OR, OP_NOT, OP_WHERE};
  static const wn_dtype regs[] = {WN_F32, WN_F64, WN_I32, WN_I64, WN_BOOL};
#define ADD(op, in, out, tolerance)                                                            \
  suite_add(s,                                                                                 \
            lb_elementwise(s->arena, suite_fresh_name(s), op, in, out, op_table[op].lo, lanes, \
                           SUITE_GRID),                                                        \
            tolerance)
  /* Functions of libm and divisions are loops over lanes at any length: two lengths say all, and
   * compile slowly. */
  bool slow = lanes <= 4;
  for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
    if (!slow && floats[i] >= OP_EXP && floats[i] <= OP_POW) continue;
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
static inline lin_builder suite_copy_kernel(suite *s, wn_dtype dt, int lanes, int kind,
                                            bool masked) {
  lin_builder b = lb_new(s->arena, suite_fresh_name(s), SUITE_GRID);
  int64_t in = lb_array(&b, SPACE_GLOBAL, dt, SUITE_BYTES / 8),
          out = lb_array(&b, SPACE_GLOBAL, dt, SUITE_BYTES / 8);
  int64_t space = 4 * lanes;
  uint32_t block = lb_grid(&b), from = lb_op2(&b, OP_MUL, WN_I64, block, lb_i64(&b, space));
  uint32_t to = from, mask = LB_NO_MASK;
  if (masked) {
    wn_dtype bits = WN_BOOL;
    mask = lb_load(&b, lb_array(&b, SPACE_GLOBAL, bits, SUITE_GRID * lanes), lanes,
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

static inline void suite_add_memory(suite *s, int lanes) {
  for (int dt = 0; dt < WN_DTYPE_COUNT; dt++)
    for (int kind = 0; kind < (lanes > 1 ? 3 : 1); kind++)
      for (int masked = 0; masked < 2; masked++)
        suite_add(s, suite_copy_kernel(s, (wn_dtype)dt, lanes, kind, masked), 0);
}

/* Lanes moved about, a variable in a loop, a condition, private and local arrays, constants of
 * every dtype. */
static inline void suite_add_structure(suite *s, wn_dtype dt) {
  lin_builder b = lb_new(s->arena, suite_fresh_name(s), SUITE_GRID);
  int64_t in = lb_array(&b, SPACE_GLOBAL, dt, SUITE_GRID * 16),
          out = lb_array(&b, SPACE_GLOBAL, dt, SUITE_GRID * 8);
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
  suite_add(s, b, dt == WN_F32 ? 1e-5 : 1e-13);
}

static inline uint64_t suite_random_next(uint64_t *seed) {
  *seed += 0x9e3779b97f4a7c15u;
  uint64_t z = *seed;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Small numbers with both signs, ties, and now and then (in floats) NaN, infinity or -0. */
static inline double suite_random_value(uint64_t *seed, bool special) {
  uint64_t r = suite_random_next(seed);
  if (special && r % 16 == 0) return r & 64 ? (double)NAN : r & 32 ? (double)-INFINITY : -0.0;
  return ((double)(r >> 40) - 0x1p23) / (r & 8 ? 0x1p20 : 0x1p22);
}

static inline void suite_fill(void *p, wn_dtype dt, int64_t len, uint64_t *seed, bool special) {
  for (int64_t i = 0; i < len; i++) {
    double x = suite_random_value(seed, special && dtype_is_float(dt));
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
        ((uint8_t *)p)[i] = suite_random_next(seed) & 1;
    }
  }
}

static inline double suite_element(const void *p, wn_dtype dt, int64_t i) {
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

static inline bool suite_close_enough(double x, double y, double tolerance) {
  if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
  return x == y || fabs(x - y) <= tolerance * fmax(1, fabs(y));
}

/* The output is the second array of copies and the last array else, counting global ones; others
 * are inputs. */
static inline int suite_output_of(const lin_kernel *k) {
  int out = -1;
  for (size_t i = 0; i < k->ins.len; i++) {
    const lin_ins *u = &k->ins.data[i];
    if (u->op == OP_STORE && k->arrays.data[u->i].space == SPACE_GLOBAL) out = (int)u->i;
  }
  return out;
}

/* Runs a kernel over its whole grid. */
typedef void suite_run(void *user, int index, void *const *args);

/* Fills a kernel's arrays from a seed, runs it both ways and fails where results differ. text: of the
 * kernel, for people. */
static inline void suite_check(const suite *s, int index, suite_run *run, void *user,
                               const char *text) {
  static _Alignas(64) unsigned char memory[SUITE_ARRAYS][SUITE_BYTES], expected[SUITE_BYTES];
  const lin_kernel *k = s->kernels[index];
  void *args[] = {memory[0], memory[1], memory[2], memory[3], memory[4]}, *other[SUITE_ARRAYS];
  int out = suite_output_of(k);
  uint64_t seed = 1000 + (uint64_t)index;
  for (size_t i = 0; i < k->arrays.len && k->arrays.data[i].space == SPACE_GLOBAL; i++) {
    bool casts = k->arrays.data[out].dtype != k->arrays.data[0].dtype || k->arrays.len == 4;
    suite_fill(memory[i], k->arrays.data[i].dtype, k->arrays.data[i].len, &seed, !casts);
  }
  memcpy(other, args, sizeof args);
  memcpy(expected, memory[out], SUITE_BYTES);
  other[out] = expected;
  const interp_code *code = interp_prepare(s->arena, k);
  interp_run(code, other, arena_alloc(s->arena, interp_scratch(code)), 0, k->grid);
  run(user, index, args);
  const lin_array *a = &k->arrays.data[out];
  for (int64_t i = 0; i < a->len; i++) {
    double x = suite_element(memory[out], a->dtype, i), y = suite_element(expected, a->dtype, i);
    if (!suite_close_enough(x, y, s->tolerance[index]))
      fail_msg("%s[%lld] is %.9g compiled and %.9g interpreted:\n%s", k->name, (long long)i, x, y,
               text);
  }
}

#endif
