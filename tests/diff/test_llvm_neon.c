/* NEON: whole programs for AArch64, compiled here and run by qemu's emulator of one process, against
 * plain loops in float64.
 *
 * A program is compiled for the instruction set neon, which the interpreter takes on any machine, and
 * its kernels go to LLVM's AArch64 target, or as C to the cross compiler. What stands around them is
 * a driver of a few lines that is written here: arrays, the launches in order, files in and out.
 * Skipped where there is no aarch64-linux-gnu-gcc or no qemu-aarch64. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <llvm-c/Target.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diff/conv_case.h"
#include "program/program.h"
#include "render/render.h"
#include "backend/llvm/llvm_backend.h"

#define CC "aarch64-linux-gnu-gcc"

typedef struct fixture {
  char folder[64];
  const char *emulator;
  conv_case c;
  diag d;
  arena a;
} fixture;

/* --- the driver ------------------------------------------------------------------------------- */

/* The caller's arrays end with a page behind which is one that may not be touched. */
static const char preamble[] =
    "#define _GNU_SOURCE\n"
    "#include <stdint.h>\n"
    "#include <stdio.h>\n"
    "#include <sys/mman.h>\n"
    "static char *guarded(size_t n) {\n"
    "  size_t page = 65536, body = (n + page - 1) / page * page;\n"
    "  char *m = mmap(0, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);\n"
    "  mprotect(m + page, body, PROT_READ | PROT_WRITE);\n"
    "  return m + page + body - n;\n"
    "}\n"
    "static int load(const char *path, void *to, size_t n) {\n"
    "  FILE *f = fopen(path, \"rb\");\n"
    "  return f == NULL || fread(to, 1, n, f) != n || fclose(f) != 0;\n"
    "}\n"
    "static int save(const char *path, const void *from, size_t n) {\n"
    "  FILE *f = fopen(path, \"wb\");\n"
    "  return f == NULL || fwrite(from, 1, n, f) != n || fclose(f) != 0;\n"
    "}\n";

static bool is_callers(const array_info *a) {
  return a->role == ROLE_INPUT || a->role == ROLE_CONSTANT || a->role == ROLE_RESULT;
}

static void declare(str *s, const wn_program *p) {
  size_t scratch = 64;
  for (size_t i = 0; i < p->compiled->set->arrays.len; ++i) {
    const array_info *a = &p->compiled->set->arrays.data[i];
    if (is_callers(a))
      str_printf(s, "static char *array%zu;\n", i);
    else
      str_printf(s, "static _Alignas(64) char array%zu[%zu];\n", i,
                 (size_t)a->len * wn_dtype_size(a->dtype) + 64);
  }
  for (size_t k = 0; k < p->compiled->set->kernels.len; ++k) {
    const lin_kernel *lin = &p->compiled->kernels[k]->lin;
    str_printf(s, "void %s(void *const *args, void *scratch, int64_t begin, int64_t end);\n",
               lin->name);
    if (lin->scratch_bytes > scratch) scratch = lin->scratch_bytes;
  }
  str_printf(s, "static _Alignas(64) char scratch[%zu];\n", scratch);
}

/* All of a kernel's blocks in two calls, so that a kernel that begins in the middle is seen. */
static void call(str *s, const linear_kernel *k) {
  str_printf(s, "  {\n    void *args[] = {");
  for (size_t i = 0; i < k->args.len; ++i) str_printf(s, "array%d, ", k->args.data[i]);
  int64_t half = k->lin.grid / 2;
  str_printf(s, "0};\n    %s(args, scratch, 0, %lld);\n    %s(args, scratch, %lld, %lld);\n  }\n",
             k->lin.name, (long long)half, k->lin.name, (long long)half, (long long)k->lin.grid);
}

/* Files: x, w, y, as arguments in this order. */
static const char *driver(fixture *f, const wn_program *p) {
  str s;
  str_init(&s, &f->a);
  str_add(&s, preamble);
  declare(&s, p);
  str_add(&s, "int main(int argc, char **argv) {\n  int failed = argc != 4;\n");
  int result = -1;
  for (size_t i = 0; i < p->compiled->set->arrays.len; ++i) {
    const array_info *a = &p->compiled->set->arrays.data[i];
    if (a->role == ROLE_RESULT) result = (int)i;
    if (is_callers(a))
      str_printf(&s, "  array%zu = guarded(%zu);\n", i, (size_t)a->len * wn_dtype_size(a->dtype));
    if (a->role != ROLE_INPUT && a->role != ROLE_CONSTANT) continue;
    str_printf(&s, "  failed = failed || load(argv[%d], array%zu, %zu);\n",
               a->role == ROLE_INPUT ? 1 : 2, i, (size_t)a->len * wn_dtype_size(a->dtype));
  }
  assert_true(result >= 0);
  for (size_t k = 0; k < p->compiled->set->kernels.len; ++k) {
    assert_int_equal(p->compiled->set->kernels.data[k].chunks, 1);
    call(&s, p->compiled->kernels[k]);
  }
  str_printf(&s, "  return failed || save(argv[3], array%d, %zu);\n}\n", result,
             (size_t)f->c.y_count * sizeof(float));
  return str_text(&s);
}

/* --- compiling and running -------------------------------------------------------------------- */

static void write_file(const fixture *f, const char *name, const void *bytes, size_t size) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", f->folder, name);
  FILE *out = fopen(path, "wb");
  assert_non_null(out);
  assert_int_equal(fwrite(bytes, 1, size, out), size);
  assert_int_equal(fclose(out), 0);
}

static void shell(const char *what, const char *format, ...) WN_PRINTF(2, 3);
static void shell(const char *what, const char *format, ...) {
  char command[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(command, sizeof command, format, args);
  va_end(args);
  int status = system(command);
  if (status != 0) fail_msg("%s: status %d from %s", what, status, command);
}

/* As an object through LLVM. */
static void emit_object(fixture *f, int count, const lin_kernel *const *kernels) {
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
  machine cpu;
  machine_look_at(&cpu, &f->d, "neon");
  llvm_ir_target t = llvm_target_of(&f->a, &cpu);
  t.triple = "aarch64-linux-gnu";
  t.x86 = false;
  size_t size;
  const char *error;
  const char *object = llvm_emit_code(&f->a, &t, count, kernels, false, &size, &error);
  if (object == NULL) fail_msg("%s", error);
  write_file(f, "kernels.o", object, size);
}

/* As C through the cross compiler, with the flags that backend cpu:cc has for what it may not do. */
static void emit_c(fixture *f, int count, const lin_kernel *const *kernels) {
  str s;
  str_init(&s, &f->a);
  render_c_prelude(&s, count, kernels);
  for (int k = 0; k < count; ++k) render_c(&s, kernels[k]);
  write_file(f, "kernels.c", str_text(&s), strlen(str_text(&s)));
  shell("the C of the kernels",
        CC
        " -std=gnu17 -O2 -w -ffp-contract=off -fwrapv -fno-strict-aliasing -c %s/kernels.c -o "
        "%s/kernels.o",
        f->folder, f->folder);
}

static void check_program(fixture *f, wn_program *p, const char *plan, bool as_c) {
  int count = (int)p->compiled->set->kernels.len;
  const lin_kernel **kernels = arena_array(&f->a, const lin_kernel *, count);
  for (int k = 0; k < count; ++k) kernels[k] = &p->compiled->kernels[k]->lin;
  if (as_c)
    emit_c(f, count, kernels);
  else
    emit_object(f, count, kernels);
  const char *text = driver(f, p);
  write_file(f, "driver.c", text, strlen(text));
  write_file(f, "x", f->c.x, sizeof(float) * (size_t)f->c.x_count);
  write_file(f, "w", f->c.w, sizeof(float) * (size_t)f->c.w_count);
  shell(plan, CC " -static -O1 -w %s/driver.c %s/kernels.o -o %s/program -lm", f->folder, f->folder,
        f->folder);
  shell(plan, "%s %s/program %s/x %s/w %s/y", f->emulator, f->folder, f->folder, f->folder,
        f->folder);
  char path[128];
  snprintf(path, sizeof path, "%s/y", f->folder);
  FILE *y = fopen(path, "rb");
  assert_non_null(y);
  assert_int_equal(fread(f->c.y, sizeof(float), (size_t)f->c.y_count, y), f->c.y_count);
  fclose(y);
  double error = relative_l2(f->c.y, f->c.expected, f->c.y_count);
  if (!(error <= case_promise(&f->c)))
    fail_msg("%s, %s: error %g, limit %g", plan, as_c ? "as C" : "LLVM", error,
             case_promise(&f->c));
}

static void check_plan(fixture *f, const char *plan, bool as_c) {
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = case_graph(&f->c, ctx);
  void *data = f->c.y;
  wn_program *p;
  const wn_options o =
      WN_OPTIONS(.plan = plan, .isa = "neon", .backend = "interp", .threads = 1, .no_cache = 1);
  if (wn_compile(ctx, &y, &data, 1, &o, &p) != WN_OK) fail_msg("%s: %s", plan, wn_message(ctx));
  check_program(f, p, plan, as_c);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void test_llvm(void **state) {
  fixture *f = *state;
  if (f->emulator == NULL) skip();
  static const char *const plans[] = {"direct", "old", "fused", "one", "new"};
  for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i) check_plan(f, plans[i], false);
}

static void test_c(void **state) {
  fixture *f = *state;
  if (f->emulator == NULL) skip();
  check_plan(f, "direct", true);
  check_plan(f, "fused", true);
}

/* --- what there is ---------------------------------------------------------------------------- */

static bool on_path(const char *program) {
  char command[128];
  snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
  return system(command) == 0;
}

/* The compiler, and a C library for it, which is a package of its own. */
static bool links(void) {
  return system("printf '#include <stdio.h>\\nint main(void) { return puts(\"\"); }' | " CC
                " -static -x c - -o /dev/null >/dev/null 2>&1") == 0;
}

static const char *find_emulator(void) {
  if (!links()) return NULL;
  if (on_path("qemu-aarch64")) return "qemu-aarch64";
  return on_path("qemu-aarch64-static") ? "qemu-aarch64-static" : NULL;
}

static int set_up(void **state) {
  static fixture f;
  f.c =
      (conv_case){.seed = 3,
                  .nd = 2,
                  .n = 1,
                  .c = 9,
                  .k = 14,
                  .groups = 1,
                  .in = {19, 22},
                  .r = {3, 3},
                  .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}};
  if (!case_finish(&f.c) || !case_fill(&f.c)) return -1;
  diag_init(&f.d);
  arena_init(&f.a, &f.d);
  f.emulator = find_emulator();
  if (f.emulator == NULL)
    print_message("# skipped: no " CC " or no qemu-aarch64: NEON is compiled but not run\n");
  snprintf(f.folder, sizeof f.folder, "/tmp/winnow-neon-XXXXXX");
  *state = &f;
  return mkdtemp(f.folder) != NULL ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  static const char *const files[] = {"kernels.c", "kernels.o", "driver.c", "program",
                                      "x",         "w",         "y"};
  char path[128];
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    snprintf(path, sizeof path, "%s/%s", f->folder, files[i]);
    unlink(path);
  }
  rmdir(f->folder);
  arena_release(&f->a);
  case_free(&f->c);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_llvm), cmocka_unit_test(test_c)};
  return cmocka_run_group_tests_name("NEON", tests, set_up, tear_down);
}
