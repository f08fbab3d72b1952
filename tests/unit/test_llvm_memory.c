#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
/* Loads and stores of the LLVM renderer.
 *
 * In: copies with every dtype, contiguous, strided, reversed, gathered, masked or not. Out:
 * equality with memcpy an element. Arrays lie right before (and right after) a page that must not
 * be touched, so that an access which goes too far does not go unnoticed. Half precision is
 * compared with the C compiler's _Float16. */
#ifdef WN_HAVE_LLVM
#include "unit/llvm_kernels.h"

#include <math.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* `bytes` bytes that end at (or begin after) memory that may not be touched. */
typedef struct guarded {
  char *map, *data;
  size_t page, len;
} guarded;

static guarded guard(size_t bytes, bool at_end) {
  guarded g = {.page = (size_t)sysconf(_SC_PAGESIZE)};
  size_t inner = (bytes + g.page - 1) / g.page * g.page;
  g.len = inner + 2 * g.page;
  g.map = mmap(NULL, g.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(g.map != MAP_FAILED);
  mprotect(g.map, g.page, PROT_NONE);
  mprotect(g.map + g.page + inner, g.page, PROT_NONE);
  g.data = at_end ? g.map + g.page + inner - bytes : g.map + g.page;
  return g;
}

static void unguard(guarded g) { munmap(g.map, g.len); }

typedef struct shape {
  int lanes;
  int64_t stride; /* 0: gather */
  bool masked;
  int64_t disp; /* part of the offset that the instruction itself says */
} shape;

/* Copies `lanes` elements between arrays that hold exactly their span. */
static lin_kernel *copy_kernel(wn_dtype dtype, shape s, int64_t span, int number) {
  char name[32];
  snprintf(name, sizeof name, "copy_%d", number);
  lin_kernel *k = new_kernel(name, 1);
  array(k, dtype, SPACE_GLOBAL, span, true, false);
  array(k, dtype, SPACE_GLOBAL, span, false, true);
  array(k, WN_BOOL, SPACE_GLOBAL, s.lanes, true, false);
  array(k, WN_I64, SPACE_GLOBAL, s.lanes, true, false);
  wn_dtype reg = dtype == WN_F16 || dtype == WN_BF16 ? WN_F32 : dtype;
  uint32_t mask = s.masked ? load(k, 2, WN_BOOL, s.lanes, num(k, 0), 1, NO_MASK) : NO_MASK;
  uint32_t at = num(k, (s.stride < 0 ? span - 1 : 0) - s.disp);
  if (s.stride == 0) at = load(k, 3, WN_I64, s.lanes, num(k, 0), 1, NO_MASK);
  uint32_t v = load(k, 0, reg, s.lanes, at, s.stride, mask);
  k->ins.data[v].disp = s.disp;
  store(k, 1, at, v, s.stride, NO_MASK); /* masked-out lanes were read as 0 */
  k->ins.data[k->ins.len - 1].disp = s.disp;
  store(k, 1, at, v, s.stride, mask);
  k->ins.data[k->ins.len - 1].disp = s.disp;
  return k;
}

/* Number v, or what is like it in the dtype: never 0, so that a lane read as 0 shows. */
static void put_small(wn_dtype dtype, char *p, int64_t n, int v) {
  switch (dtype) {
    case WN_F64:
      memcpy(p + n * 8, &(double){v + 0.25}, 8);
      break;
    case WN_F32:
      memcpy(p + n * 4, &(float){(float)v + 0.25f}, 4);
      break;
    case WN_F16:
      memcpy(p + n * 2, &(uint16_t){(uint16_t)(0x3c00 + v)}, 2);
      break;
    case WN_BF16:
      memcpy(p + n * 2, &(uint16_t){(uint16_t)(0x3f80 + v)}, 2);
      break;
    case WN_I32:
      memcpy(p + n * 4, &(int32_t){v}, 4);
      break;
    case WN_I64:
      memcpy(p + n * 8, &(int64_t){v}, 8);
      break;
    default:
      p[n] = 1;
  }
}

static void check_copy(const machine *t, const lin_kernel *k, kernel_fn fn, wn_dtype dtype, shape s,
                       int64_t span, bool at_end) {
  size_t size = wn_dtype_size(dtype);
  guarded in = guard((size_t)span * size, at_end), out = guard((size_t)span * size, at_end);
  guarded mask = guard((size_t)s.lanes, at_end), offsets = guard((size_t)s.lanes * 8, at_end);
  char *want = arena_alloc(&mem, (size_t)span * size);
  for (int64_t n = 0; n < span; n++) put_small(dtype, in.data, n, (int)(n % 100) + 1);
  memset(out.data, 0x5a, (size_t)span * size);
  memset(want, 0x5a, (size_t)span * size);
  for (int l = 0; l < s.lanes; l++) {
    mask.data[l] = rand() % 3 != 0;
    int64_t at = s.stride == 0 ? (l * 5 + 3) % span : l * s.stride + (s.stride < 0 ? span - 1 : 0);
    ((int64_t *)(void *)offsets.data)[l] = at - s.disp;
    if (!s.masked || mask.data[l])
      memcpy(want + (size_t)at * size, in.data + (size_t)at * size, size);
    else
      memset(want + (size_t)at * size, 0, size);
  }
  fn((void *[]){in.data, out.data, mask.data, offsets.data}, NULL, 0, 1);
  if (memcmp(want, out.data, (size_t)span * size) != 0)
    fail_msg("%s on %s: %s x %d, stride %d%s: wrong", k->name, t->name, wn_dtype_name(dtype),
             s.lanes, (int)s.stride, s.masked ? ", masked" : "");
  unguard(in), unguard(out), unguard(mask), unguard(offsets);
}

static void test_copies(void **state) {
  (void)state;
  static const int64_t strides[] = {1, -1, 2, 3, 4, 6, 8, 11, -2, 0};
  enum { STRIDES = sizeof strides / sizeof *strides, SHAPES = STRIDES * 2 * 2 };
  for (int t = 0; t < target_count; t++) {
    for (int d = 0; d < WN_DTYPE_COUNT; d++) {
      if (d != WN_F32 && (d + t) % 2 != 0) continue; /* each dtype on every other instruction set */
      const lin_kernel *k[SHAPES];
      backend_kernel out[SHAPES];
      shape s[SHAPES];
      int64_t span[SHAPES];
      for (int n = 0; n < SHAPES; n++) {
        s[n] = (shape){.lanes = 1 << (n / 2 % 2 ? 4 - (n / 4 + d) % 2 : (n / 4 + d + t) % 3),
                       .stride = strides[n / 4],
                       .masked = n % 2,
                       .disp = (n + t) % 3};
        int64_t step = s[n].stride < 0 ? -s[n].stride : s[n].stride;
        span[n] = step ? (s[n].lanes - 1) * step + 1 : 97;
        if (s[n].lanes == 1 && s[n].stride != 0) s[n].stride = 1;
        k[n] = copy_kernel((wn_dtype)d, s[n], span[n], n);
      }
      void *code = compile(&targets[t], SHAPES, k, out);
      for (int n = 0; n < SHAPES; n++)
        for (int side = 0; side < 2; side++)
          check_copy(&targets[t], k[n], host_function(out[n].code), (wn_dtype)d, s[n], span[n],
                     side);
      backend_llvm.release(code);
    }
  }
}

/* A masked-out lane may lie anywhere. */
static void test_masked_out_of_bounds(void **state) {
  (void)state;
  for (int t = 0; t < target_count; t++) {
    lin_kernel *k = new_kernel("edge", 1);
    array(k, WN_F32, SPACE_GLOBAL, 4, true, false);
    array(k, WN_F32, SPACE_GLOBAL, 24, false, true);
    uint32_t n = op_i(k, OP_IOTA, WN_I64, 8, 0);
    uint32_t four = op(k, OP_BROADCAST, WN_I64, 8, 1, num(k, 4), 0, 0);
    uint32_t inside = op(k, OP_LT, WN_BOOL, 8, 2, n, four, 0),
             never = op_i(k, OP_CONST, WN_BOOL, 1, 0);
    store(k, 1, num(k, 0), load(k, 0, WN_F32, 8, num(k, 0), 1, inside), 1, NO_MASK);
    store(k, 1, num(k, 8), load(k, 0, WN_F32, 8, n, 1, inside), 1, NO_MASK);
    uint32_t far = num(k, INT64_C(1) << 40);
    store(k, 1, num(k, 16), load(k, 0, WN_F32, 1, far, 1, never), 1, NO_MASK);
    store(k, 1, far, real(k, WN_F32, 1, 1), 1, never);
    store(k, 1, num(k, 20), load(k, 0, WN_F32, 8, num(k, 0), 1, inside), 1, inside);
    guarded in = guard(16, true), out = guard(96, true);
    float *x = (float *)(void *)in.data, *y = (float *)(void *)out.data;
    for (int i = 0; i < 4; i++) x[i] = (float)i + 1;
    y[16] = 9;
    run(&targets[t], k, (void *[]){x, y});
    for (int i = 0; i < 16; i++) assert_true(y[i] == (i % 8 < 4 ? (float)(i % 8) + 1 : 0));
    assert_true(y[16] == 0);
    for (int i = 0; i < 4; i++) assert_true(y[20 + i] == (float)i + 1);
    unguard(in), unguard(out);
  }
}

/* --- half precision --------------------------------------------------------------------------- */

__extension__ typedef _Float16 half;

static lin_kernel *convert_kernel(wn_dtype from, wn_dtype to, int64_t count) {
  lin_kernel *k = new_kernel("convert", count / 16);
  array(k, from, SPACE_GLOBAL, count, true, false);
  array(k, to, SPACE_GLOBAL, count, false, true);
  uint32_t at = imul(k, op_i(k, OP_GRID, WN_I64, 1, 0), num(k, 16));
  store(k, 1, at, load(k, 0, WN_F32, 16, at, 1, NO_MASK), 1, NO_MASK);
  return k;
}

static float bits_float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

static void check_halves(const machine *t, uint16_t *halves, float *floats) {
  for (uint32_t n = 0; n < 65536; n++) halves[n] = (uint16_t)n;
  run(t, convert_kernel(WN_F16, WN_F32, 65536), (void *[]){halves, floats});
  for (uint32_t n = 0; n < 65536; n++) {
    half h;
    memcpy(&h, &halves[n], 2);
    if (!(floats[n] == (float)h || (isnan(floats[n]) && isnan((float)h))))
      fail_msg("f16 %04x on %s", n, t->name);
  }
  for (uint32_t n = 0; n < 65536; n++)
    floats[n] = bits_float((uint32_t)rand() << 12 ^ (uint32_t)rand());
  for (uint32_t n = 0; n < 4096; n++)
    floats[n] = (float)((rand() % 4097) * pow(2, rand() % 48 - 30)); /* ties */
  run(t, convert_kernel(WN_F32, WN_F16, 65536), (void *[]){floats, halves});
  for (uint32_t n = 0; n < 65536; n++) {
    half want = (half)floats[n], got;
    memcpy(&got, &halves[n], 2);
    if (memcmp(&want, &got, 2) != 0 && !(isnan((float)want) && isnan((float)got)))
      fail_msg("f16 of %.9g on %s: %.9g instead of %.9g", (double)floats[n], t->name,
               (double)(float)got, (double)(float)want);
  }
}

/* The nearer of the two bf16 around x, the even one of a tie. */
static uint16_t nearest_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint16_t low = (uint16_t)(bits >> 16), high = (uint16_t)(low + 1);
  double a = fabs((double)x - (double)bits_float((uint32_t)low << 16));
  double up = isinf(bits_float((uint32_t)high << 16)) ? copysign(0x1p128, (double)x)
                                                      : (double)bits_float((uint32_t)high << 16);
  double b = fabs((double)x - up);
  return isinf(x) || a < b || (a == b && low % 2 == 0) ? low : high;
}

/* Accesses that LLVM may take for apart from others, and loads of what nobody writes. */
static int count_marks(const lin_kernel *k, const char *mark) {
  const llvm_ir_target t = {.triple = "", .cpu = "", .features = "", .vector_bytes = 16};
  LLVMContextRef c = LLVMContextCreate();
  LLVMModuleRef m = LLVMModuleCreateWithNameInContext("marks", c);
  llvm_ir_add_kernel(&mem, m, &t, k);
  char *text = LLVMPrintModuleToString(m);
  int count = 0;
  for (const char *at = text; (at = strstr(at, mark)) != NULL; ++at) ++count;
  LLVMDisposeMessage(text);
  LLVMDisposeModule(m);
  LLVMContextDispose(c);
  return count;
}

/* z[i] = x[i] + y[i]: where x and z are a pair, z is apart from y alone and x may change. */
static void test_pairs(void **state) {
  (void)state;
  lin_kernel *k = new_kernel("pair", 4);
  int64_t x = array(k, WN_F32, SPACE_GLOBAL, 4, true, false),
          y = array(k, WN_F32, SPACE_GLOBAL, 4, true, false),
          z = array(k, WN_F32, SPACE_GLOBAL, 4, false, true);
  uint32_t at = op_i(k, OP_GRID, WN_I64, 1, 0);
  uint32_t a = load(k, x, WN_F32, 1, at, 1, NO_MASK), b = load(k, y, WN_F32, 1, at, 1, NO_MASK);
  store(k, z, at, op(k, OP_ADD, WN_F32, 1, 2, a, b, 0), 1, NO_MASK);
  const int constant = count_marks(k, "!invariant.load"); /* with those of the arguments */
  assert_true(constant >= 2);
  assert_int_equal(count_marks(k, "!noalias"), 3);
  vec_push(&mem, &k->pairs, ((lin_pair){.stored = (int)z, .read = (int)x}));
  assert_null(lin_verify(&mem, k));
  assert_int_equal(count_marks(k, "!invariant.load"), constant - 1);
  assert_int_equal(count_marks(k, "!noalias"), 3);
  vec_push(&mem, &k->pairs, ((lin_pair){.stored = (int)z, .read = (int)y}));
  assert_int_equal(count_marks(k, "!invariant.load"), constant - 2);
  assert_int_equal(count_marks(k, "!noalias"), 2); /* x and y, of each other */
}

static void test_half_precision(void **state) {
  (void)state;
  uint16_t *halves = arena_array(&mem, uint16_t, 65536);
  float *floats = arena_array(&mem, float, 65536);
  for (int t = 0; t < target_count; t++) {
    check_halves(&targets[t], halves, floats);
    run(&targets[t], convert_kernel(WN_F32, WN_BF16, 65536), (void *[]){floats, halves});
    for (uint32_t n = 0; n < 65536; n++) {
      if (isnan(floats[n]))
        assert_true(isnan(bits_float((uint32_t)halves[n] << 16)));
      else
        assert_int_equal(halves[n], nearest_bf16(floats[n]));
    }
  }
}

static void test_aarch64(void **state) {
  (void)state;
  const lin_kernel *k[] = {
      convert_kernel(WN_F16, WN_F32, 16),
      copy_kernel(WN_F32, (shape){.lanes = 4, .masked = true}, 97, 2),
      copy_kernel(WN_F32, (shape){.lanes = 4, .stride = 1, .masked = true}, 4, 3),
      convert_kernel(WN_F32, WN_BF16, 16)};
  const char *text = aarch64_assembly(4, k);
  if (text != NULL) assert_non_null(strstr(text, "fcvtl\tv"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_copies),  cmocka_unit_test(test_masked_out_of_bounds),
      cmocka_unit_test(test_pairs),   cmocka_unit_test(test_half_precision),
      cmocka_unit_test(test_aarch64),
  };
  return run_group(tests, sizeof tests / sizeof *tests);
}

#else
int main(void) { return 0; }
#endif
