/* Linear IR in the languages of GPUs: their text, what they refuse, that OpenCL C is what a compiler takes
 * for OpenCL C 1.2, and agreement of every op, dtype, vector length and way of moving memory with the
 * interpreter on an OpenCL device, if there is one. Metal runs in tests/metal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena_fixture.h"
#include "lin_suite.h"
#include "backend/runtime.h"
#include "render/render.h"

typedef void render_fn(str *out, const lin_kernel *k);
typedef void prelude_fn(str *out, int count, const lin_kernel *const *kernels);

static const char *rendered(arena *a, render_fn *render, const lin_kernel *k) {
  str s;
  str_init(&s, a);
  render(&s, k);
  return str_text(&s);
}

static const char *prelude(arena *a, prelude_fn *print, const lin_kernel *k) {
  str s;
  str_init(&s, a);
  print(&s, 1, &k);
  return str_text(&s);
}

static void assert_has(const char *text, const char *part) {
  if (strstr(text, part) == NULL) fail_msg("there is no \"%s\" in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part) {
  if (strstr(text, part) != NULL) fail_msg("there is \"%s\" in:\n%s", part, text);
}

/* --- text ------------------------------------------------------------------------------------- */

/* Groups of 64 turn rows of 64 round: through local memory, behind a barrier; the last goes to another
 * array, four at a time. */
static lin_kernel *turn_rows(arena *a) {
  lin_builder b = lb_new(a, "turn", 6);
  b.k->group = 64;
  b.k->narrow = true;
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, 384), y = lb_array(&b, SPACE_GLOBAL, WN_F32, 384);
  int64_t row = lb_array(&b, SPACE_LOCAL, WN_F32, 64);
  b.k->arrays.data[x].written = false;
  b.k->arrays.data[y].aligned = true;
  uint32_t grid = lb_grid(&b);
  uint32_t lane = lb_push(&b, (lin_ins){.op = OP_LANE, .dtype = WN_I64, .lanes = 1});
  uint32_t start = lb_op2(&b, OP_MUL, WN_I64, grid, lb_i64(&b, 64));
  uint32_t v = lb_load(&b, x, 1, lb_op2(&b, OP_ADD, WN_I64, start, lane), 1, LB_NO_MASK);
  lb_store(&b, row, lane, v, 1, LB_NO_MASK);
  lb_push(&b, (lin_ins){.op = OP_BARRIER, .i = 1});
  uint32_t first = lb_if(&b, lb_op2(&b, OP_LT, WN_BOOL, lane, lb_i64(&b, 16)));
  uint32_t four = lb_op2(&b, OP_MUL, WN_I64, lane, lb_i64(&b, 4));
  uint32_t from = lb_op2(&b, OP_SUB, WN_I64, lb_i64(&b, 60), four);
  uint32_t w = lb_load(&b, row, 4, from, 1, LB_NO_MASK);
  uint32_t turned = lb_shuffle(&b, WN_F32, 4, 1, w, 0, (int64_t[]){3, 2, 1, 0});
  uint32_t to = lb_op2(&b, OP_ADD, WN_I64, start, four);
  b.k->ins.data[lb_store(&b, y, to, turned, 1, LB_NO_MASK)].whole = true;
  lb_end(&b, first);
  const char *broken = lin_verify(a, b.k);
  if (broken) fail_msg("%s", broken);
  return b.k;
}

static void test_opencl_text(void **state) {
  fixture *f = *state;
  assert_string_equal(
      rendered(&f->a, render_opencl, turn_rows(&f->a)),
      "__kernel __attribute__((reqd_work_group_size(64, 1, 1)))\n"
      "void turn(__global const float *restrict a0_x, __global float *restrict a1_x, long o0, long "
      "o1, long first) {\n"
      "  a0_x += o0;\n"
      "  a1_x += o1;\n"
      "  __local float a2_x[64] __attribute__((aligned(64)));\n"
      "  const int gid = (int)(get_group_id(0) + first);\n"
      "  const int lane = (int)get_local_id(0);\n"
      "  const int v3 = gid * 64;\n"
      "  const int v4 = v3 + lane;\n"
      "  const float v5 = a0_x[v4];\n"
      "  a2_x[lane] = v5;\n"
      "  barrier(CLK_LOCAL_MEM_FENCE);\n"
      "  const bool v9 = lane < 16;\n"
      "  if (v9) {\n"
      "    const int v12 = lane * 4;\n"
      "    const int v14 = 60 - v12;\n"
      "    const float4 v15 = vload4(0, a2_x + v14);\n"
      "    const float4 v16 = (float4)(v15.s3, v15.s2, v15.s1, v15.s0);\n"
      "    const int v17 = v3 + v12;\n"
      "    *(__global float4 *)(a1_x + v17) = v16;\n"
      "  }\n"
      "}\n");
}

static void test_metal_text(void **state) {
  fixture *f = *state;
  const lin_kernel *k = turn_rows(&f->a);
  assert_null(render_metal_refusal(&f->a, k));
  assert_string_equal(
      rendered(&f->a, render_metal, k),
      "struct turn_args { long first; long offset[2]; };\n"
      "kernel void turn(device const float *__restrict a0_x [[buffer(0)]], device float "
      "*__restrict "
      "a1_x [[buffer(1)]], constant turn_args &args [[buffer(2)]], uint group "
      "[[threadgroup_position_in_grid]], uint item [[thread_position_in_threadgroup]]) {\n"
      "  a0_x += args.offset[0];\n"
      "  a1_x += args.offset[1];\n"
      "  threadgroup float a2_x[64] __attribute__((aligned(16)));\n"
      "  const int gid = (int)(group + args.first);\n"
      "  const int lane = (int)item;\n"
      "  const int v3 = gid * 64;\n"
      "  const int v4 = v3 + lane;\n"
      "  const float v5 = a0_x[v4];\n"
      "  a2_x[lane] = v5;\n"
      "  threadgroup_barrier(mem_flags::mem_threadgroup);\n"
      "  const bool v9 = lane < 16;\n"
      "  if (v9) {\n"
      "    const int v12 = lane * 4;\n"
      "    const int v14 = 60 - v12;\n"
      "    const float4 v15 = float4(*(threadgroup const packed_float4 *)(a2_x + v14));\n"
      "    const float4 v16 = float4(v15[3], v15[2], v15[1], v15[0]);\n"
      "    const int v17 = v3 + v12;\n"
      "    *(device float4 *)(a1_x + v17) = v16;\n"
      "  }\n"
      "}\n");
}

/* y[grid] = x[grid / by], of a kernel that is narrow or not. */
static lin_kernel *divide(arena *a, int64_t by, bool narrow, bool below_zero) {
  lin_builder b = lb_new(a, "divide", 64);
  b.k->narrow = narrow;
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, 64), y = lb_array(&b, SPACE_GLOBAL, WN_F32, 64);
  uint32_t at = lb_grid(&b), from = at;
  if (below_zero) from = lb_op2(&b, OP_SUB, WN_I64, at, lb_i64(&b, 1));
  uint32_t v = lb_load(&b, x, 1, lb_op2(&b, OP_IDIV, WN_I64, from, lb_i64(&b, by)), 1, LB_NO_MASK);
  lb_store(&b, y, at, lb_shift(&b, v, 1), 1, LB_NO_MASK);
  return b.k;
}

/* Offsets are ints where they fit, and divide without a sign where they have none. */
static void test_offsets(void **state) {
  fixture *f = *state;
  const lin_kernel *k = divide(&f->a, 3, true, false);
  assert_has(rendered(&f->a, render_opencl, k), "const int v2 = (uint)gid / 3;");
  assert_lacks(prelude(&f->a, render_opencl_prelude, k), "idiv");
  k = divide(&f->a, 3, false, false);
  assert_has(rendered(&f->a, render_opencl, k), "const long v2 = (ulong)gid / 3L;");
  k = divide(&f->a, 3, true, true);
  assert_has(rendered(&f->a, render_opencl, k), " = idiv_i32(v2, 3);");
  assert_has(prelude(&f->a, render_opencl_prelude, k), "static inline int idiv_i32(int a, int b)");
  k = divide(&f->a, INT64_C(1) << 40, true, false);
  assert_has(rendered(&f->a, render_opencl, k), "(ulong)gid / 1099511627776L;");
}

static void test_numbers(void **state) {
  fixture *f = *state;
  static const struct {
    double value;
    const char *single, *twice;
  } numbers[] = {
      {1.0 / 3, "0x1.555556p-2f", "0x1.5555555555555p-2"},
      {-0.0, "(-0x0p+0f)", "(-0x0p+0)"},
      {-2.5, "(-0x1.4p+1f)", "(-0x1.4p+1)"},
      {(double)INFINITY, "(float)(INFINITY)", "(double)(INFINITY)"},
      {-(double)INFINITY, "(float)(-INFINITY)", "(double)(-INFINITY)"},
      {(double)NAN, "(float)NAN", "(double)NAN"},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    for (int twice = 0; twice < 2; twice++) {
      wn_dtype dt = twice ? WN_F64 : WN_F32;
      lin_builder b = lb_new(&f->a, "k", 1);
      int64_t y = lb_array(&b, SPACE_GLOBAL, dt, 1);
      lb_store(&b, y, lb_i64(&b, 0), lb_float(&b, dt, 1, numbers[i].value), 0, LB_NO_MASK);
      const char *text = rendered(&f->a, render_opencl, b.k);
      assert_has(text,
                 arena_printf(&f->a, "[0] = %s;", twice ? numbers[i].twice : numbers[i].single));
    }
  }
}

/* Local arrays that share their place are pointers into a block; of one work item they are private. */
static void test_shared_place(void **state) {
  fixture *f = *state;
  lin_kernel *k = turn_rows(&f->a);
  lin_array other = k->arrays.data[2];
  vec_push(&f->a, &k->arrays, other);
  const char *text = rendered(&f->a, render_opencl, k);
  assert_has(text,
             "  __local uchar scratch[256] __attribute__((aligned(64)));\n"
             "  __local float *a2_x = (__local float *)(scratch + 0);\n"
             "  __local float *a3_x = (__local float *)(scratch + 0);\n");
  lin_builder b = lb_new(&f->a, "alone", 1);
  int64_t local = lb_array(&b, SPACE_LOCAL, WN_F32, 8);
  lb_store(&b, local, lb_i64(&b, 0), lb_float(&b, WN_F32, 1, 1), 1, LB_NO_MASK);
  assert_has(rendered(&f->a, render_opencl, b.k), "\n  float a0_x[8] __attribute__");
}

static void test_refusals(void **state) {
  fixture *f = *state;
  lin_builder b = lb_elementwise(&f->a, "twice", OP_ADD, WN_F64, WN_F64, 2, 1, 1);
  assert_string_equal(render_metal_refusal(&f->a, b.k), "Metal has no f64");
  assert_true(render_uses_dtype(b.k, WN_F64));
  assert_has(prelude(&f->a, render_opencl_prelude, b.k), "cl_khr_fp64");
  b = lb_elementwise(&f->a, "wide", OP_ADD, WN_F32, WN_F32, 2, 8, 1);
  assert_string_equal(render_metal_refusal(&f->a, b.k), "Metal has no vectors of 8 lanes");
  assert_false(render_uses_dtype(b.k, WN_F64));
  assert_lacks(prelude(&f->a, render_opencl_prelude, b.k), "cl_khr_fp64");
  b = lb_new(&f->a, "many", 1);
  for (int i = 0; i < 31; i++) lb_array(&b, SPACE_GLOBAL, WN_F32, 1);
  assert_has(render_metal_refusal(&f->a, b.k), "31 arrays are more than");
}

/* --- everything ------------------------------------------------------------------------------- */

static const suite *everything(arena *a, int widest) {
  suite *s = arena_new(a, suite);
  s->arena = a;
  static const wn_dtype dtypes[] = {WN_F32, WN_F64, WN_I32, WN_I64};
  for (int lanes = 1; lanes <= widest; lanes *= 4) suite_add_alu(s, lanes);
  for (int lanes = 1; lanes <= widest; lanes *= 2) suite_add_memory(s, lanes);
  for (int i = 0; i < 4; i++) suite_add_structure(s, dtypes[i]);
  return s;
}

static bool runs(const char *command) {
  int status = system(command);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static const char *find_clang(arena *a) {
  for (int version = 21; version >= 16; version--) {
    const char *clang = arena_printf(a, "clang-%d", version);
    if (runs(arena_printf(a, "%s --version >/dev/null 2>&1", clang))) return clang;
  }
  return runs("clang --version >/dev/null 2>&1") ? "clang" : NULL;
}

static void test_opencl_compiles(void **state) {
  fixture *f = *state;
  const char *clang = find_clang(&f->a);
  if (clang == NULL) {
    print_message("# no clang, which knows OpenCL C: not compiled\n");
    skip();
  }
  const suite *s = everything(&f->a, 16);
  str text;
  str_init(&text, &f->a);
  render_opencl_prelude(&text, s->count, s->kernels);
  for (int i = 0; i < s->count; i++) render_opencl(&text, s->kernels[i]);
  str_add(&text, rendered(&f->a, render_opencl, turn_rows(&f->a)));
  char path[] = "/tmp/winnow-opencl-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text.data, text.len), text.len);
  close(fd);
  bool ok = runs(arena_printf(&f->a,
                              "%s -x cl -cl-std=CL1.2 -Xclang -finclude-default-header "
                              "-fsyntax-only -Wall -Wextra -Werror %s",
                              clang, path));
  if (!ok) fail_msg("%s does not compile", path);
  unlink(path);
}

typedef struct device {
  runtime *rt;
  module *m;
  const suite *s;
} device;

static void run_on_device(void *user, int index, void *const *args) {
  const device *d = user;
  const lin_kernel *k = d->s->kernels[index];
  device_arg blocks[SUITE_ARRAYS];
  int n = 0;
  for (size_t i = 0; i < k->arrays.len; i++) n += k->arrays.data[i].space == SPACE_GLOBAL;
  for (int i = 0; i < n; i++) {
    blocks[i] = (device_arg){.block = runtime_alloc(d->rt, SUITE_BYTES)};
    assert_non_null(blocks[i].block);
    assert_null(runtime_write(d->rt, blocks[i].block, 0, args[i], SUITE_BYTES));
  }
  assert_null(module_launch(d->rt, d->m, index, blocks, 0, 1, -1));
  assert_null(module_launch(d->rt, d->m, index, blocks, 1, k->grid, -1));
  assert_null(runtime_finish(d->rt));
  for (int i = 0; i < n; i++) {
    assert_null(runtime_read(d->rt, blocks[i].block, 0, args[i], SUITE_BYTES));
    runtime_free(d->rt, blocks[i].block);
  }
}

/* $WINNOW_TEST_OPENCL, as PLATFORM:DEVICE, or the first there is. */
static device open_device(fixture *f, const suite *s) {
  const device_info *list;
  const char *why, *asked = getenv("WINNOW_TEST_OPENCL");
  if (runtime_devices(&f->d, &f->a, "opencl", &list, &why) == 0) {
    print_message("# %s: nothing is run\n", why);
    skip();
  }
  device d = {.s = s};
  const char *name = arena_printf(&f->a, "opencl:%s", asked ? asked : list[0].spec);
  d.rt = runtime_create(&f->d, name, NULL, 1);
  compile_options options = {.max_lines = 1000};
  d.m = module_compile(d.rt, &f->d, s->count, s->kernels, &options);
  return d;
}

static void close_device(device *d) {
  module_destroy(d->m);
  runtime_destroy(d->rt);
}

/* Compiling is slow: long vectors wait for WINNOW_LONG. */
static void test_opencl_agrees(void **state) {
  fixture *f = *state;
  device d = open_device(f, everything(&f->a, getenv("WINNOW_LONG") ? 16 : 4));
  runtime_begin(d.rt);
  for (int i = 0; i < d.s->count; i++) {
    const char *fallback = module_kernel(d.m, i).fallback;
    if (fallback && render_uses_dtype(d.s->kernels[i], WN_F64)) continue;
    if (fallback) fail_msg("%s: %s", d.s->kernels[i]->name, fallback);
    suite_check(d.s, i, run_on_device, &d, rendered(&f->a, render_opencl, d.s->kernels[i]));
  }
  runtime_end(d.rt);
  close_device(&d);
}

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* More than a stack holds is refused, since it would be the end of the process. */
static void test_opencl_stack(void **state) {
  fixture *f = *state;
  suite *s = arena_new(&f->a, suite);
  s->arena = &f->a;
  lin_builder b = lb_new(&f->a, "large", 1);
  int64_t local = lb_array(&b, SPACE_LOCAL, WN_F32, 1 << 22),
          y = lb_array(&b, SPACE_GLOBAL, WN_F32, 1);
  uint32_t zero = lb_i64(&b, 0), last = lb_i64(&b, (1 << 22) - 1);
  lb_store(&b, local, last, lb_float(&b, WN_F32, 1, 1), 1, LB_NO_MASK);
  lb_store(&b, y, zero, lb_load(&b, local, 1, last, 1, LB_NO_MASK), 1, LB_NO_MASK);
  suite_add(s, b, 0);
  f->d.warn = ignore_warning;
  device d = open_device(f, s);
  const char *fallback = module_kernel(d.m, 0).fallback;
  assert_non_null(fallback);
  assert_has(fallback, "a thread's stack");
  close_device(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_opencl_text, setup, teardown),
      cmocka_unit_test_setup_teardown(test_metal_text, setup, teardown),
      cmocka_unit_test_setup_teardown(test_offsets, setup, teardown),
      cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
      cmocka_unit_test_setup_teardown(test_shared_place, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
      cmocka_unit_test_setup_teardown(test_opencl_compiles, setup, teardown),
      cmocka_unit_test_setup_teardown(test_opencl_agrees, setup, teardown),
      cmocka_unit_test_setup_teardown(test_opencl_stack, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
