/* Executes kernels as the Metal renderer prints them, on the CPU, and compares with the interpreter.
 *
 * In: linear kernels. Out: their source with a shim of metal_stdlib (include/metal_stdlib) and a runner
 * (runner.h), compiled by the system's C++ compiler as one file under its sanitizers and run; all
 * kernels of a batch at once, since the compiler takes longer to start than most kernels to compile.
 * Always holds: every kernel runs over its whole grid on random arrays, all of which are compared. */
#ifndef WN_TESTS_METAL_SHIM_H
#define WN_TESTS_METAL_SHIM_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "render/render.h"
#include "unit/lin_suite.h"

typedef struct shim_job {
  const lin_kernel *k;
  const char *what; /* for people */
  double tolerance; /* relative to the largest value of an array of floats */
  uint64_t seed;
} shim_job;

typedef struct shim_batch {
  arena *arena;
  VEC(shim_job) jobs;
  int refused; /* kernels that the language cannot have */
  char folder[64];
} shim_batch;

static inline void shim_add(shim_batch *b, const lin_kernel *k, const char *what, double tolerance,
                            uint64_t seed) {
  if (render_metal_refusal(b->arena, k) != NULL) {
    b->refused++;
    return;
  }
  lin_kernel *own = arena_copy(b->arena, k, sizeof *k);
  own->name = arena_printf(b->arena, "k%zu_%s", b->jobs.len, k->name);
  shim_job job = {own, what, tolerance, seed};
  vec_push(b->arena, &b->jobs, job);
}

/* --- data ------------------------------------------------------------------------------------- */

static inline size_t shim_bytes(const lin_array *a) {
  return (size_t)a->len * wn_dtype_size(a->dtype);
}

/* The global arrays by slot, each with random contents. */
static inline int shim_arrays(arena *a, const shim_job *job, const lin_array **array, void **data) {
  int n = 0;
  uint64_t seed = job->seed;
  for (size_t i = 0; i < job->k->arrays.len; i++) {
    const lin_array *x = &job->k->arrays.data[i];
    if (x->space != SPACE_GLOBAL) continue;
    array[x->slot] = x;
    data[x->slot] = arena_alloc(a, shim_bytes(x));
    suite_fill(data[x->slot], x->dtype, x->len, &seed, false);
    n++;
  }
  return n;
}

enum { SHIM_ARRAYS = 31 };

static inline void shim_write_job(FILE *f, arena *a, const shim_job *job, int64_t number) {
  const lin_array *array[SHIM_ARRAYS];
  void *data[SHIM_ARRAYS];
  int n = shim_arrays(a, job, array, data);
  int64_t head[] = {number, job->k->grid, n};
  fwrite(head, sizeof head, 1, f);
  for (int i = 0; i < n; i++) {
    int64_t shape[] = {array[i]->len, (int64_t)wn_dtype_size(array[i]->dtype)};
    fwrite(shape, sizeof shape, 1, f);
    fwrite(data[i], 1, shim_bytes(array[i]), f);
  }
}

static inline double shim_largest(const lin_array *x, const void *data) {
  double largest = 1e-30;
  for (int64_t i = 0; i < x->len; i++)
    largest = fmax(largest, fabs(suite_element(data, x->dtype, i)));
  return largest;
}

/* NULL, or what is wrong. */
static inline const char *shim_compare(const shim_batch *b, const shim_job *job, const lin_array *x,
                                       const void *got, const void *expected) {
  double room = dtype_is_float(x->dtype) ? job->tolerance * shim_largest(x, expected) : 0;
  for (int64_t i = 0; i < x->len; i++) {
    double y = suite_element(got, x->dtype, i), e = suite_element(expected, x->dtype, i);
    if (y == e || fabs(y - e) <= room || (isnan(y) && isnan(e))) continue;
    str text;
    str_init(&text, b->arena);
    str_printf(&text, "%s: %s: %s[%lld] of %lld is %.9g, interpreted %.9g (seed %llu)\n", job->what,
               job->k->name, x->name, (long long)i, (long long)x->len, y, e,
               (unsigned long long)job->seed);
    render_metal(&text, job->k);
    return str_text(&text);
  }
  return NULL;
}

/* Runs the job in the interpreter and reads what the runner made of it. */
static inline const char *shim_check_job(const shim_batch *b, FILE *f, const shim_job *job) {
  const lin_array *array[SHIM_ARRAYS];
  void *data[SHIM_ARRAYS];
  const char *wrong = NULL;
  arena a;
  arena_init(&a, b->arena->diag);
  int n = shim_arrays(&a, job, array, data);
  const interp_code *code = interp_prepare(&a, job->k);
  char *scratch = arena_alloc(&a, interp_scratch(code) + 64);
  scratch += -(uintptr_t)scratch % 64;
  interp_run(code, data, scratch, 0, job->k->grid);
  for (int i = 0; i < n && !wrong; i++) {
    void *got = arena_alloc(&a, shim_bytes(array[i]));
    assert_int_equal(fread(got, 1, shim_bytes(array[i]), f), shim_bytes(array[i]));
    wrong = shim_compare(b, job, array[i], got, data[i]);
  }
  arena_release(&a);
  return wrong;
}

/* --- source ----------------------------------------------------------------------------------- */

/* A threadgroup variable is shared by the work items of a group, which is what a static one is; in types
 * the word means nothing. Declarations stand at the start of a line. */
static inline void shim_share_locals(char *text) {
  static const char word[] = "\n  threadgroup ";
  for (char *at = text; (at = strstr(at, word)) != NULL; at++)
    memcpy(at, "\n  static      ", sizeof word - 1);
}

static inline const char *shim_source(const shim_batch *b) {
  str s;
  str_init(&s, b->arena);
  const lin_kernel **kernels = arena_array(b->arena, const lin_kernel *, b->jobs.len + 1);
  for (size_t i = 0; i < b->jobs.len; i++) kernels[i] = b->jobs.data[i].k;
  render_metal_prelude(&s, (int)b->jobs.len, kernels);
  for (size_t i = 0; i < b->jobs.len; i++) render_metal(&s, kernels[i]);
  str_add(&s, "#include \"runner.h\"\nstatic const kernel_entry table[] = {\n");
  for (size_t i = 0; i < b->jobs.len; i++) {
    bool waits = false;
    for (size_t j = 0; j < kernels[i]->ins.len; j++)
      waits |= kernels[i]->ins.data[j].op == OP_BARRIER && kernels[i]->group > 0;
    str_printf(&s, "  WN_KERNEL(%s, %d, %s),\n", kernels[i]->name, kernels[i]->group,
               waits ? "true" : "false");
  }
  str_add(&s, "};\nint main(int argc, char **argv) { return runner_main(table, argc, argv); }\n");
  char *text = arena_strdup(b->arena, str_text(&s));
  shim_share_locals(text);
  return text;
}

/* --- running ---------------------------------------------------------------------------------- */

static inline const char *shim_path(const shim_batch *b, const char *name) {
  return arena_printf(b->arena, "%s/%s", b->folder, name);
}

static inline bool shim_command(const char *command) {
  int status = system(command);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline const char *shim_compiler(void) {
  const char *cxx = getenv("CXX");
  return cxx != NULL && *cxx ? cxx : "c++";
}

static inline bool shim_has_compiler(arena *a) {
  return shim_command(arena_printf(a, "%s --version >/dev/null 2>&1", shim_compiler()));
}

/* Under the sanitizers, or without where the compiler came without their libraries. What gcc does about the
 * scopes of a kernel's thousands of variables takes it minutes. */
static inline const char *shim_sanitizers(const shim_batch *b) {
  const char *flags =
      "-fsanitize=address,alignment,bounds,signed-integer-overflow -fno-sanitize-recover=all "
      "-fno-sanitize-address-use-after-scope";
  const char *try =
      arena_printf(b->arena, "echo 'int main() {}' | %s %s -x c++ - -o %s >/dev/null 2>&1",
                   shim_compiler(), flags, shim_path(b, "try"));
  if (shim_command(try)) return flags;
  print_message("# no sanitizers in %s: what lies outside of arrays is not seen\n",
                shim_compiler());
  return "";
}

static inline void shim_compile(const shim_batch *b) {
  FILE *f = fopen(shim_path(b, "kernels.cpp"), "w");
  assert_non_null(f);
  fputs(shim_source(b), f);
  assert_int_equal(fclose(f), 0);
  const char *command = arena_printf(
      b->arena,
      "%s -std=c++17 -O0 -g1 -w -Wno-psabi -ffp-contract=off -fno-strict-aliasing %s -isystem "
      "%s/tests/metal/include -I%s/tests/metal %s -o %s",
      shim_compiler(), shim_sanitizers(b), WN_SOURCE_DIR, WN_SOURCE_DIR,
      shim_path(b, "kernels.cpp"), shim_path(b, "kernels"));
  if (!shim_command(command)) fail_msg("does not compile: %s", command);
}

static inline void shim_write_jobs(const shim_batch *b) {
  FILE *f = fopen(shim_path(b, "jobs"), "wb");
  assert_non_null(f);
  for (size_t i = 0; i < b->jobs.len; i++) {
    arena a;
    arena_init(&a, b->arena->diag);
    shim_write_job(f, &a, &b->jobs.data[i], (int64_t)i);
    arena_release(&a);
  }
  assert_int_equal(fclose(f), 0);
}

/* What the runner said before it gave up. */
static inline const char *shim_complaint(const shim_batch *b) {
  char *text = arena_alloc(b->arena, 4096);
  FILE *f = fopen(shim_path(b, "errors"), "r");
  size_t n = f ? fread(text, 1, 4000, f) : 0;
  if (f) fclose(f);
  return n ? text : "the runner stopped without a word";
}

/* NULL, or the first thing that is wrong with what was added; then the folder stays, to be looked at. */
static inline const char *shim_wrong(shim_batch *b) {
  strcpy(b->folder, "/tmp/winnow-metal-XXXXXX");
  assert_non_null(mkdtemp(b->folder));
  shim_compile(b);
  shim_write_jobs(b);
  const char *command =
      arena_printf(b->arena, "ASAN_OPTIONS=detect_leaks=0 %s %s %s 2>%s", shim_path(b, "kernels"),
                   shim_path(b, "jobs"), shim_path(b, "results"), shim_path(b, "errors"));
  if (!shim_command(command)) return shim_complaint(b);
  FILE *f = fopen(shim_path(b, "results"), "rb");
  assert_non_null(f);
  const char *wrong = NULL;
  for (size_t i = 0; i < b->jobs.len && !wrong; i++) wrong = shim_check_job(b, f, &b->jobs.data[i]);
  fclose(f);
  return wrong;
}

static inline void shim_forget(const shim_batch *b) {
  shim_command(arena_printf(b->arena, "rm -r %s", b->folder));
}

static inline void shim_run(shim_batch *b) {
  const char *wrong = shim_wrong(b);
  if (wrong) fail_msg("in %s: %.20000s", b->folder, wrong);
  shim_forget(b);
}

#endif
