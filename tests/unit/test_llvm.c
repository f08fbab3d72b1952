/* The LLVM backend: loops, variables, arrays, code quality, errors.
 *
 * In: kernels made by hand. Out: results worked out by hand; registers counted in the assembly;
 * what happens with an unknown target and without memory. */
#ifdef WN_HAVE_LLVM
#include "unit/llvm_kernels.h"

/* sum over i < 5, j < 3 of (i is odd ? i * 10 + j : 1), with variables set in loops and conditions,
 * after a loop that never runs and one that runs once. */
static void test_variables(void **state) {
  (void)state;
  lin_kernel *k = new_kernel("variables", 3);
  array(k, WN_I64, SPACE_GLOBAL, 9, true, true);
  uint32_t grid = op_i(k, OP_GRID, WN_I64, 1, 0), zero = num(k, 0), one = num(k, 1);
  uint32_t sum = op(k, OP_ACC, WN_I64, 1, 1, zero, 0, 0),
           last = op(k, OP_ACC, WN_I64, 1, 1, num(k, 77), 0, 0);
  uint32_t never = loop(k, 0);
  op(k, OP_ACC_SET, WN_I64, 1, 2, last, zero, 0);
  end(k, never);
  uint32_t once = loop(k, 1);
  op(k, OP_ACC_SET, WN_I64, 1, 2, sum, iadd(k, sum, once), 0);
  end(k, once);
  uint32_t i = loop(k, 5);
  uint32_t odd = op(k, OP_EQ, WN_BOOL, 1, 2, op(k, OP_MOD, WN_I64, 1, 2, i, num(k, 2), 0), one, 0);
  uint32_t j = loop(k, 3);
  uint32_t term = op(k, OP_ACC, WN_I64, 1, 1, one, 0, 0);
  uint32_t branch = op(k, OP_IF, WN_I64, 1, 1, odd, 0, 0);
  op(k, OP_ACC_SET, WN_I64, 1, 2, term, iadd(k, imul(k, i, num(k, 10)), j), 0);
  op(k, OP_ACC_SET, WN_I64, 1, 2, last, i, 0);
  end(k, branch);
  op(k, OP_ACC_SET, WN_I64, 1, 2, sum, iadd(k, sum, term), 0);
  end(k, j);
  end(k, i);
  uint32_t at = imul(k, grid, num(k, 3));
  store(k, 0, at, sum, 1, NO_MASK);
  store(k, 0, iadd(k, at, one), last, 1, NO_MASK);
  op(k, OP_BARRIER, WN_I64, 1, 0, 0, 0, 0);
  for (int t = 0; t < target_count; t++) {
    int64_t got[9] = {0};
    run(&targets[t], k, (void *[]){got});
    for (int n = 0; n < 9; n++) assert_int_equal(got[n], n % 3 == 0 ? 9 + 126 : n % 3 == 1 ? 3 : 0);
  }
}

/* Only the blocks asked for run. */
static void test_grid(void **state) {
  (void)state;
  lin_kernel *k = new_kernel("grid", 10);
  array(k, WN_I32, SPACE_GLOBAL, 10, false, true);
  uint32_t g = op_i(k, OP_GRID, WN_I64, 1, 0);
  store(k, 0, g, op_i(k, OP_CONST, WN_I32, 1, 1), 1, NO_MASK);
  const lin_kernel *one = k;
  backend_kernel out;
  void *code = compile(&targets[0], 1, &one, &out);
  int32_t got[10] = {0};
  host_function(out.code)((void *[]){got}, NULL, 3, 3);
  for (int n = 0; n < 10; n++) assert_int_equal(got[n], 0);
  host_function(out.code)((void *[]){got}, NULL, 2, 7);
  for (int n = 0; n < 10; n++) assert_int_equal(got[n], n >= 2 && n < 7);
  backend_llvm.release(code);
}

/* Local and private arrays, shuffles, lanes and prefetches: reverses 8 numbers by way of both. */
static void test_arrays(void **state) {
  (void)state;
  lin_kernel *k = new_kernel("arrays", 1);
  int64_t in = array(k, WN_F32, SPACE_GLOBAL, 8, true, false),
          out = array(k, WN_F32, SPACE_GLOBAL, 30, false, true);
  int64_t local = array(k, WN_F32, SPACE_LOCAL, 8, true, true),
          reg = array(k, WN_F32, SPACE_REG, 8, true, true);
  uint32_t zero = num(k, 0);
  ins(k, (lin_ins){.op = OP_PREFETCH, .nsrc = 1, .lanes = 1, .src = {zero}, .i = in});
  uint32_t x = load(k, in, WN_F32, 8, zero, 1, NO_MASK);
  store(k, reg, zero, x, 1, NO_MASK);
  uint32_t i = loop(k, 8);
  uint32_t back = op(k, OP_SUB, WN_I64, 1, 2, num(k, 7), i, 0);
  store(k, local, back, load(k, in, WN_F32, 1, i, 1, NO_MASK), 1, NO_MASK);
  end(k, i);
  store(k, out, zero, load(k, local, WN_F32, 8, zero, 1, NO_MASK), 1, NO_MASK);
  store(k, out, num(k, 8), load(k, reg, WN_F32, 4, num(k, 1), 2, NO_MASK), 1, NO_MASK);
  graph g;
  graph_init(&g, &errors);
  const int_list *order = intern_list(&g, 8, (int64_t[]){15, 0, 14, 1, 13, 2, 12, 3});
  uint32_t y = load(k, local, WN_F32, 8, zero, 1, NO_MASK);
  lin_ins mix = {.op = OP_SHUFFLE, .dtype = WN_F32, .lanes = 8, .nsrc = 2, .src = {x, y}};
  mix.list = order;
  uint32_t mixed = ins(k, mix);
  store(k, out, num(k, 16), mixed, 1, NO_MASK);
  uint32_t fifth = ins(
      k, (lin_ins){.op = OP_EXTRACT, .dtype = WN_F32, .lanes = 1, .nsrc = 1, .src = {x}, .i = 5});
  store(k, out, num(k, 24), fifth, 1, NO_MASK);
  store(k, out, num(k, 25), load(k, reg, WN_F32, 1, num(k, 6), 1, NO_MASK), 1, NO_MASK);
  uint32_t shifted =
      load(k, local, WN_F32, 4, zero, 1, NO_MASK); /* not aligned, though its array is */
  k->ins.data[shifted].disp = 3;
  store(k, out, num(k, 26), shifted, 1, NO_MASK);
  for (int t = 0; t < target_count; t++) {
    float a[8] = {0, 1, 2, 3, 4, 5, 6, 7}, got[30] = {0};
    run(&targets[t], k, (void *[]){a, got});
    for (int n = 0; n < 8; n++) assert_true(got[n] == (float)(7 - n));
    for (int n = 0; n < 4; n++) assert_true(got[8 + n] == (float)(1 + 2 * n));
    for (int n = 0; n < 8; n++) assert_true(got[16 + n] == (float)(n / 2));
    assert_true(got[24] == 5 && got[25] == 6);
    for (int n = 0; n < 4; n++) assert_true(got[26 + n] == (float)(4 - n));
  }
  graph_release(&g);
}

/* --- code ------------------------------------------------------------------------------------- */

/* c[rows][2 * lanes] = a[depth][rows] x b[depth][2 * lanes] in 2 * rows accumulators. */
static lin_kernel *tile_of(int rows, int lanes) {
  enum { MOST = 24, DEPTH = 64 };
  lin_kernel *k = new_kernel("tile", 1);
  array(k, WN_F32, SPACE_GLOBAL, rows * DEPTH, true, false);
  array(k, WN_F32, SPACE_GLOBAL, 2 * lanes * DEPTH, true, false);
  array(k, WN_F32, SPACE_GLOBAL, rows * 2 * lanes, false, true);
  uint32_t acc[2 * MOST], zero = real(k, WN_F32, lanes, 0);
  for (int n = 0; n < 2 * rows; n++) acc[n] = op(k, OP_ACC, WN_F32, lanes, 1, zero, 0, 0);
  uint32_t c = loop(k, DEPTH), a = imul(k, c, num(k, rows)), b = imul(k, c, num(k, 2 * lanes)),
           right[2];
  for (int n = 0; n < 2; n++)
    right[n] = load(k, 1, WN_F32, lanes, iadd(k, b, num(k, n * lanes)), 1, NO_MASK);
  for (int m = 0; m < rows; m++) {
    uint32_t x = load(k, 0, WN_F32, 1, iadd(k, a, num(k, m)), 1, NO_MASK);
    uint32_t left = op(k, OP_BROADCAST, WN_F32, lanes, 1, x, 0, 0);
    for (int n = 0; n < 2; n++) {
      uint32_t v = op(k, OP_FMA, WN_F32, lanes, 3, left, right[n], acc[2 * m + n]);
      op(k, OP_ACC_SET, WN_F32, lanes, 2, acc[2 * m + n], v, 0);
    }
  }
  end(k, c);
  for (int n = 0; n < 2 * rows; n++) store(k, 2, num(k, n * lanes), acc[n], 1, NO_MASK);
  return k;
}

static lin_kernel *register_tile(int lanes) { return tile_of(6, lanes); }

/* A register tile must stay in registers. */
static void test_register_tile(void **state) {
  (void)state;
  for (int t = 0; t < target_count; t++) {
    int lanes = targets[t].vector_bytes / 4, registers, spills;
    const lin_kernel *k = register_tile(lanes);
    const char *assembly = llvm_assembly(&mem, &targets[t], k);
    assert_non_null(assembly);
    llvm_count_registers(assembly, &registers, &spills);
    assert_in_range(registers, 14, targets[t].registers);
    assert_int_equal(spills, 0);
    float a[6 * 64], b[32 * 64], got[6 * 32];
    for (int n = 0; n < 6 * 64; n++) a[n] = (float)(n % 7 - 3);
    for (int n = 0; n < 32 * 64; n++) b[n] = (float)(n % 11 - 5);
    run(&targets[t], k, (void *[]){a, b, got});
    for (int n = 0; n < 6 * 2 * lanes; n++) {
      float want = 0;
      for (int c = 0; c < 64; c++)
        want += a[c * 6 + n / (2 * lanes)] * b[c * 2 * lanes + n % (2 * lanes)];
      assert_true(got[n] == want);
    }
  }
}

/* What was loaded, read back: the same registers as in the assembly that LLVM writes; 12 sums stay in them and 48 do
 * not. */
static void test_reading_back(void **state) {
  (void)state;
  for (int t = 0; t < target_count; t++) {
    for (int rows = 6; rows <= 24; rows += 18) {
      const lin_kernel *k = tile_of(rows, targets[t].vector_bytes / 4);
      int registers = -1, spills = -1, written_registers, written_spills;
      backend_kernel out;
      void *code = compile(&targets[t], 1, &k, &out);
      const char *text =
          backend_llvm.assembly(code, &mem, &targets[t], out.symbol, &registers, &spills);
      assert_non_null(text);
      llvm_count_registers(llvm_assembly(&mem, &targets[t], k), &written_registers,
                           &written_spills);
      assert_int_equal(registers, written_registers);
      assert_int_equal(spills, written_spills);
      assert_true(rows == 6 ? spills == 0 : spills > 0);
      assert_null(backend_llvm.assembly(code, &mem, &targets[t], "til", &registers, &spills));
      backend_llvm.release(code);
    }
  }
}

static void test_counting(void **state) {
  (void)state;
  int registers, spills;
  llvm_count_registers(
      "\tvmovaps %ymm3, (%rsp) # 32-byte Spill\n\taddps %xmm3, %xmm12\n\tzmm31 mov q9, v2.4s\n",
      &registers, &spills);
  assert_int_equal(registers, 5);
  assert_int_equal(spills, 1);
  llvm_count_registers(
      "\tmovq\t%rax, (%rdi) # save7 rev2\n\tmovq\t(%rsp), %rax\n\tmovl\t$1, (%rsp)\n", &registers,
      &spills);
  assert_int_equal(registers, 0);
  assert_int_equal(spills, 0);
}

/* A target that LLVM does not know is an error in words, and nothing is left behind. */
static void test_unknown_target(void **state) {
  (void)state;
  llvm_ir_target t = {
      .triple = "abacus-unknown-none", .cpu = "", .features = "", .vector_bytes = 16};
  const lin_kernel *k = register_tile(4);
  const char *error = NULL;
  size_t size;
  assert_null(llvm_emit_code(&mem, &t, 1, &k, false, &size, &error));
  assert_non_null(error);
  assert_non_null(strstr(error, "LLVM"));
  assert_null(strchr(error, '\n'));
}

/* Out of memory at every allocation in turn: a status, and nothing half-made comes out. */
static void test_allocation_failures(void **state) {
  (void)state;
  const lin_kernel *k = register_tile(4);
  for (volatile long n = 1;; n++) {
    arena a;
    arena_init(&a, &errors);
    backend_kernel out = {0};
    backend_job job = {.a = &a, .d = &errors, .target = &targets[0], .threads = 1, .count = 1};
    job.kernels = &k;
    out.symbol = k->name;
    job.out = &out;
    void *volatile code = NULL;
    volatile wn_status st;
    mem_fail_at(n);
    DIAG_TRY(&errors, st) { code = backend_llvm.compile(NULL, &job); }
    DIAG_END(&errors, st)
    mem_fail_at(0);
    backend_llvm.release(code);
    arena_release(&a);
    if (st == WN_OK) break;
    assert_int_equal(st, WN_ERR_NOMEM);
    assert_null(code);
    assert_in_range(n, 1, 100);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_variables),      cmocka_unit_test(test_grid),
      cmocka_unit_test(test_arrays),         cmocka_unit_test(test_register_tile),
      cmocka_unit_test(test_reading_back),   cmocka_unit_test(test_counting),
      cmocka_unit_test(test_unknown_target), cmocka_unit_test(test_allocation_failures),
  };
  return run_group(tests, sizeof tests / sizeof *tests);
}

#else
int main(void) { return 0; }
#endif
