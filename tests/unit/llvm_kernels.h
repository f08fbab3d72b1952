/* What the tests of the LLVM backend share: kernels made by hand, and running them.
 *
 * In: instructions, one call each. Out: compiled functions, for each instruction set that this
 * machine runs. */
#ifndef WN_TESTS_LLVM_KERNELS_H
#define WN_TESTS_LLVM_KERNELS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <time.h>

#include "backend/llvm/llvm_backend.h"

static diag errors;
static arena mem;
static machine targets[ISA_COUNT];
static int target_count;

/* --- building kernels ------------------------------------------------------------------------- */

static inline lin_kernel *new_kernel(const char *name, int64_t grid) {
  lin_kernel *k = arena_new(&mem, lin_kernel);
  k->name = arena_strdup(&mem, name);
  k->grid = grid;
  return k;
}

static inline int64_t array(lin_kernel *k, wn_dtype dtype, uop_space space, int64_t len, bool read,
                            bool written) {
  lin_array a = {
      .name = "a", .dtype = dtype, .space = space, .len = len, .read = read, .written = written};
  a.slot = space == SPACE_GLOBAL ? (int)k->arrays.len : 0;
  if (space == SPACE_LOCAL) {
    a.offset = (int64_t)k->scratch_bytes;
    k->scratch_bytes += ((size_t)len * wn_dtype_size(dtype) + 63) / 64 * 64;
  }
  vec_push(&mem, &k->arrays, a);
  return (int64_t)k->arrays.len - 1;
}

static inline uint32_t ins(lin_kernel *k, lin_ins i) {
  vec_push(&mem, &k->ins, i);
  return (uint32_t)k->ins.len - 1;
}

static inline uint32_t op(lin_kernel *k, uop_op o, wn_dtype dtype, int lanes, int n, uint32_t a,
                          uint32_t b, uint32_t c) {
  return ins(k, (lin_ins){.op = (uint8_t)o,
                          .dtype = (uint8_t)dtype,
                          .lanes = (uint16_t)lanes,
                          .nsrc = (uint8_t)n,
                          .src = {a, b, c}});
}

static inline uint32_t op_i(lin_kernel *k, uop_op o, wn_dtype dtype, int lanes, int64_t i) {
  return ins(
      k, (lin_ins){.op = (uint8_t)o, .dtype = (uint8_t)dtype, .lanes = (uint16_t)lanes, .i = i});
}

static inline uint32_t num(lin_kernel *k, int64_t v) { return op_i(k, OP_CONST, WN_I64, 1, v); }

static inline uint32_t real(lin_kernel *k, wn_dtype dtype, int lanes, double v) {
  return ins(k,
             (lin_ins){.op = OP_CONST, .dtype = (uint8_t)dtype, .lanes = (uint16_t)lanes, .f = v});
}

static inline uint32_t iadd(lin_kernel *k, uint32_t a, uint32_t b) {
  return op(k, OP_ADD, WN_I64, 1, 2, a, b, 0);
}
static inline uint32_t imul(lin_kernel *k, uint32_t a, uint32_t b) {
  return op(k, OP_MUL, WN_I64, 1, 2, a, b, 0);
}
static inline uint32_t loop(lin_kernel *k, int64_t trips) {
  return op_i(k, OP_LOOP, WN_I64, 1, trips);
}
static inline void end(lin_kernel *k, uint32_t opener) {
  op(k, OP_END, WN_I64, 1, 1, opener, 0, 0);
}

enum { NO_MASK = UINT32_MAX & INT32_MAX };

static inline uint32_t load(lin_kernel *k, int64_t from, wn_dtype dtype, int lanes, uint32_t at,
                            int64_t stride, uint32_t mask) {
  return ins(k, (lin_ins){.op = OP_LOAD,
                          .dtype = (uint8_t)dtype,
                          .lanes = (uint16_t)lanes,
                          .i = from,
                          .j = stride,
                          .nsrc = mask == NO_MASK ? 1 : 2,
                          .src = {at, mask}});
}

static inline void store(lin_kernel *k, int64_t to, uint32_t at, uint32_t value, int64_t stride,
                         uint32_t mask) {
  ins(k, (lin_ins){.op = OP_STORE,
                   .dtype = k->ins.data[value].dtype,
                   .lanes = k->ins.data[value].lanes,
                   .i = to,
                   .j = stride,
                   .nsrc = mask == NO_MASK ? 2 : 3,
                   .src = {at, value, mask}});
}

/* --- running ---------------------------------------------------------------------------------- */

static inline void find_targets(void) {
  static const char *const names[] = {"sse2", "avx2", "avx512", "neon", "generic"};
  for (volatile size_t n = 0; n < sizeof names / sizeof *names; n++) {
    wn_status st;
    DIAG_TRY(&errors, st) { machine_of_cpu(&targets[target_count], &errors, names[n]); }
    DIAG_END(&errors, st)
    if (st == WN_OK) target_count++;
  }
}

static inline void *compile(const machine *t, int count, const lin_kernel *const *kernels,
                            backend_kernel *out) {
  for (int n = 0; n < count; n++) {
    const char *broken = lin_verify(&mem, kernels[n]);
    if (broken != NULL) fail_msg("%s", broken);
  }
  memset(out, 0, sizeof *out * (size_t)count);
  for (int n = 0; n < count; n++) out[n].symbol = kernels[n]->name;
  backend_job job = {.a = &mem, .d = &errors, .target = t, .threads = 1, .count = count};
  job.kernels = kernels;
  job.out = out;
  void *code = backend_llvm.compile(NULL, &job);
  for (int n = 0; n < count; n++)
    if (out[n].code == NULL)
      fail_msg("%s on %s: %s", kernels[n]->name, t->name, out[n].error ? out[n].error : "?");
  assert_non_null(code);
  assert_false(job.cached);
  return code;
}

static inline void run(const machine *t, const lin_kernel *k, void *const *args) {
  backend_kernel out;
  void *code = compile(t, 1, &k, &out);
  void *scratch = mem_alloc_aligned(k->scratch_bytes + 64, 64);
  host_function(out.code)(args, scratch, 0, k->grid);
  mem_free_aligned(scratch);
  backend_llvm.release(code);
}

/* --- other machines --------------------------------------------------------------------------- */

/* False where LLVM was built without AArch64. */
static inline bool aarch64_target(llvm_ir_target *t) {
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
  *t = (llvm_ir_target){.triple = "aarch64-linux-gnu",
                        .cpu = "generic",
                        .features = "+neon",
                        .vector_bytes = 16,
                        .fma = true,
                        .f16 = true};
  LLVMTargetRef target;
  char *message = NULL;
  if (!LLVMGetTargetFromTriple(t->triple, &target, &message)) return true;
  print_message("skipped: %s\n", message);
  LLVMDisposeMessage(message);
  return false;
}

/* Assembly of the kernels for AArch64, whose object must come out as well; NULL where that cannot
 * be tried. */
static inline const char *aarch64_assembly(int count, const lin_kernel *const *kernels) {
  llvm_ir_target t;
  if (!aarch64_target(&t)) return NULL;
  const char *error;
  size_t size;
  const char *object = llvm_emit_code(&mem, &t, count, kernels, false, &size, &error);
  if (object == NULL) fail_msg("%s", error);
  assert_memory_equal(object, "\177ELF", 4);
  assert_int_equal((unsigned char)object[18], 183); /* EM_AARCH64 */
  const char *text = llvm_emit_code(&mem, &t, count, kernels, true, &size, &error);
  assert_non_null(text);
  return text;
}

static inline int set_up(void **state) {
  (void)state;
  diag_init(&errors);
  arena_init(&mem, &errors);
  find_targets();
  return target_count > 0 ? 0 : -1;
}

static inline int tear_down(void **state) {
  (void)state;
  arena_release(&mem);
  return 0;
}

static inline int run_group(const struct CMUnitTest *tests, size_t count) {
  const char *given = getenv("WINNOW_SEED");
  unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
  print_message("# WINNOW_SEED=%u\n", seed);
  srand(seed);
  return _cmocka_run_group_tests("llvm", tests, count, set_up, tear_down);
}

#endif
