/* Linear IR: the printer's text and every law of the verifier, each broken on purpose. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lin_builder.h"
#include "arena_fixture.h"

/* y[8 g + l] = 2 x[8 g + 3 l] where l < 4: a loop, a mask and a stride. */
static lin_builder sample(arena *a) {
  lin_builder b = lb_new(a, "E_2_8", 2);
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, 64), y = lb_array(&b, SPACE_GLOBAL, WN_F32, 16);
  b.k->arrays.data[x].written = b.k->arrays.data[y].read = false;
  b.k->arrays.data[x].aligned = true;
  uint32_t block = lb_grid(&b), eight = lb_i64(&b, 8);
  uint32_t at = lb_op2(&b, OP_MUL, WN_I64, block, eight);
  uint32_t four = lb_splat(&b, WN_I64, 8, lb_i64(&b, 4)), lane = lb_iota(&b, 8);
  uint32_t mask = lb_op2(&b, OP_LT, WN_BOOL, lane, four);
  uint32_t loop = lb_loop(&b, 1);
  uint32_t v = lb_load(&b, x, 8, at, 3, mask);
  lb_shift(&b, v, -2);
  uint32_t w = lb_op2(&b, OP_MUL, WN_F32, v, lb_float(&b, WN_F32, 8, 2));
  lb_store(&b, y, at, w, 1, mask);
  lb_end(&b, loop);
  return b;
}

static void test_print(void **state) {
  fixture *f = *state;
  lin_builder b = sample(&f->a);
  b.k->stage = "x";
  b.k->loops = "grid t 2, vector p 8";
  str s;
  str_init(&s, &f->a);
  lin_print(&s, b.k);
  assert_string_equal(str_text(&s),
                      "kernel E_2_8: grid 2, scratch 0\n"
                      "  stage x\n"
                      "  loops grid t 2, vector p 8\n"
                      "  array 0 x: global f32[64] slot 0 read aligned\n"
                      "  array 1 x: global f32[16] slot 1 written\n"
                      "  %0 = GRID\n"
                      "  %1 = CONST i64 8\n"
                      "  %2 = MUL i64 %0, %1\n"
                      "  %3 = CONST i64 4\n"
                      "  %4 = BROADCAST i64x8 %3\n"
                      "  %5 = IOTA i64x8\n"
                      "  %6 = LT boolx8 %5, %4\n"
                      "  %7 = LOOP 1\n"
                      "    %8 = LOAD f32x8 x[%2-2 + 3 a lane] if %6\n"
                      "    %9 = CONST f32x8 2\n"
                      "    %10 = MUL f32x8 %8, %9\n"
                      "    STORE x[%2] = %10 if %6\n"
                      "  END %7\n");
}

static void test_valid(void **state) {
  fixture *f = *state;
  assert_null(lin_verify(&f->a, sample(&f->a).k));
}

static void expect(fixture *f, const lin_builder *b, const char *what) {
  const char *said = lin_verify(&f->a, b->k);
  if (!said) fail_msg("accepted, should say: %s", what);
  if (!strstr(said, what)) fail_msg("said '%s', should say: %s", said, what);
}

/* Instructions of sample(): 2 MUL, 4 BROADCAST, 6 LT, 7 LOOP, 8 LOAD, 10 MUL, 11 STORE, 12 END. */
static void test_broken(void **state) {
  fixture *f = *state;
#define BREAK(edit, what)              \
  do {                                 \
    lin_builder b = sample(&f->a);     \
    lin_ins *ins = b.k->ins.data;      \
    lin_array *arr = b.k->arrays.data; \
    (void)ins, (void)arr;              \
    edit;                              \
    expect(f, &b, what);               \
  } while (0)
  BREAK(b.k->grid = 0, "no blocks");
  BREAK(b.k->name = NULL, "without a name");
  BREAK(arr[1].slot = 0, "shares its slot");
  BREAK(arr[0].len = 0, "is empty");
  BREAK(arr[0].space = SPACE_INLINE, "has no space");
  BREAK((arr[0].space = SPACE_LOCAL, arr[0].offset = 4), "64-byte aligned");
  BREAK(arr[0].space = SPACE_LOCAL, "outside of the scratch");
  BREAK(arr[0].read = false, "not marked read");
  BREAK(arr[1].written = false, "not marked written");
  BREAK(ins[2].src[0] = 9, "later instruction");
  BREAK(ins[2].op = OP_REDUCE, "not an operation of the linear IR");
  BREAK(ins[2].nsrc = 1, "wrong number of operands");
  BREAK(ins[2].dtype = WN_I32, "operand of another dtype");
  BREAK(ins[2].lanes = 2, "other lanes");
  BREAK(ins[2].lanes = 3, "power of two");
  BREAK(ins[10].dtype = WN_F16, "memory only");
  BREAK(ins[2].op = OP_DIV, "does not exist for its dtype");
  BREAK(ins[6].dtype = WN_I64, "must be bool");
  BREAK(ins[4].lanes = 1, "scalar into a vector");
  BREAK(ins[8].i = 7, "names no array");
  BREAK(ins[8].j = 0, "no distance");
  BREAK(ins[8].dtype = WN_F64, "another dtype than its array");
  BREAK(ins[8].src[1] = 5, "mask that does not fit");
  BREAK(ins[11].src[1] = 7, "another dtype than its array");
  BREAK(ins[12].src[0] = 2, "does not close");
  BREAK(b.k->ins.len = 12, "never closed");
  BREAK(ins[7].i = -1, "must count");
  BREAK(lb_op1(&b, OP_NEG, WN_F32, 8), "loop that is closed");
  BREAK(lb_op1(&b, OP_NEG, WN_I64, 7), "loop that is closed");
  BREAK(lb_op1(&b, OP_NEG, WN_F32, 11), "without a value");
  BREAK(lb_op1(&b, OP_NOT, WN_I64, 2), "does not exist for its dtype");
  BREAK(lb_if(&b, 2), "scalar bool");
  BREAK(lb_extract(&b, WN_BOOL, 6, 8), "lane that does not exist");
  BREAK(lb_op2(&b, OP_ACC_SET, WN_I64, 2, 2), "no variable");
  BREAK(lb_op2(&b, OP_ACC_SET, WN_I64, lb_op1(&b, OP_ACC, WN_I64, 2), 5),
        "changes the dtype or lanes");
  BREAK(lb_shuffle(&b, WN_I64, 2, 1, 5, 0, (int64_t[]){0, 8}), "lane that does not exist");
  BREAK(lb_shuffle(&b, WN_I64, 2, 2, 5, 6, (int64_t[]){0, 1}), "another dtype");
  BREAK(lb_push(&b, (lin_ins){.op = OP_CONST, .dtype = WN_BOOL, .lanes = 1, .i = 2}), "0 or 1");
#undef BREAK
}

/* y = x transposed times x, plus y. */
static lin_builder matrices(arena *a) {
  lin_builder b = lb_new(a, "m", 1);
  b.k->group = 64;
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, 80), y = lb_array(&b, SPACE_GLOBAL, WN_F32, 64);
  uint32_t zero = lb_i64(&b, 0);
  lin_ins load = {
      .op = OP_MATRIX_LOAD, .dtype = WN_F32, .lanes = 64, .matrix = true, .nsrc = 1, .src = {zero}};
  load.i = x, load.j = 10;
  uint32_t right = lb_push(&b, load);
  load.transposed = true;
  uint32_t left = lb_push(&b, load);
  load.i = y, load.j = 8, load.transposed = false;
  uint32_t sum = lb_push(&b, load);
  lin_ins product = {
      .op = OP_MATRIX_MULADD, .dtype = WN_F32, .lanes = 64, .matrix = true, .nsrc = 3};
  product.src[0] = left, product.src[1] = right, product.src[2] = sum;
  lin_ins store = {.op = OP_MATRIX_STORE, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 2};
  store.src[0] = zero, store.src[1] = lb_push(&b, product);
  store.i = y, store.j = 8;
  lb_push(&b, store);
  return b;
}

/* Instructions of matrices(): 0 CONST, 1 to 3 MATRIX_LOAD, 4 MATRIX_MULADD, 5 MATRIX_STORE. */
static void test_matrices(void **state) {
  fixture *f = *state;
  lin_builder sound = matrices(&f->a);
  assert_null(lin_verify(&f->a, sound.k));
  str text;
  str_init(&text, &f->a);
  lin_print(&text, sound.k);
  assert_non_null(strstr(str_text(&text), "%0 + 10 a column]"));
  assert_non_null(strstr(str_text(&text), "%0 + 8 a row] = %4"));
#define BREAK(edit, what)            \
  do {                               \
    lin_builder b = matrices(&f->a); \
    lin_ins *ins = b.k->ins.data;    \
    (void)ins;                       \
    edit;                            \
    expect(f, &b, what);             \
  } while (0)
  BREAK(b.k->group = 48, "no multiple of the work items");
  BREAK(ins[1].lanes = 8, "must be an f32 matrix");
  BREAK(ins[4].matrix = false, "must be an f32 matrix");
  BREAK(ins[4].op = OP_FMA, "does not exist for matrices");
  BREAK((ins[4].op = OP_FMA, ins[4].matrix = false), "matrix where a vector must be");
  BREAK(ins[4].src[0] = 0, "no f32 matrix");
  BREAK(ins[5].src[1] = 0, "no f32 matrix");
  BREAK(ins[1].i = 9, "names no array");
  BREAK(ins[1].j = 7, "rows that overlap");
  BREAK(ins[5].transposed = true, "stores a transposed matrix");
  BREAK(b.k->arrays.data[0].read = false, "not marked read");
  BREAK(b.k->arrays.data[1].written = false, "not marked written");
  BREAK(b.k->arrays.data[0].dtype = WN_F16, "f32 array in memory");
  BREAK(ins[0].dtype = WN_I32, "no i64 scalar");
#undef BREAK
}

static void test_reg(void **state) {
  fixture *f = *state;
  lin_builder b = lb_new(&f->a, "k", 1);
  int64_t r = lb_array(&b, SPACE_REG, WN_F32, 8);
  uint32_t v = lb_load(&b, r, 4, lb_i64(&b, 1), 2, LB_NO_MASK);
  lb_store(&b, r, lb_i64(&b, 4), v, 1, LB_NO_MASK);
  assert_null(lin_verify(&f->a, b.k));
  lb_shift(&b, 1, 1);
  expect(f, &b, "outside of its reg array");
  lb_shift(&b, 1, 0);
  lin_builder c = b;
  lb_load(&b, r, 4, lb_i64(&b, 2), 2, LB_NO_MASK);
  expect(f, &b, "outside of its reg array");
  c.k->ins.len = 4;
  lb_load(&c, r, 1, lb_grid(&c), 0, LB_NO_MASK);
  expect(f, &c, "by a variable");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_print, setup, teardown),
      cmocka_unit_test_setup_teardown(test_valid, setup, teardown),
      cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
      cmocka_unit_test_setup_teardown(test_matrices, setup, teardown),
      cmocka_unit_test_setup_teardown(test_reg, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
