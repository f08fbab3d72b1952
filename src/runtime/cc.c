/* cpu:cc: kernels as C, through the system's C compiler, loaded as a shared object.
 *
 * In: kernels. Out: functions, or the compiler's complaint. The compiler is the first of cc, gcc
 * and clang on PATH, started without a shell, with no input but one file and no network. Source
 * and object live in a private directory that is gone again when compile returns; a loaded object
 * needs its file no longer.
 * Always holds: nothing that is fast but inexact is switched on (no fast-math, no contraction), so
 * this backend and the LLVM one round alike. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "render/render.h"
#include "runtime/backend.h"

extern char **environ;

enum { MAX_ARGS = 48, REASON = 256 };

/* All objects of one compile: one for all kernels, or one for each when they do not compile
 * together. */
typedef struct cc_code {
  int count;
  void *object[]; /* of dlopen */
} cc_code;

typedef struct build {
  char dir[256], source[288], object[288], errors[288];
  char reason[REASON]; /* why the last step failed */
  char name[8], flags[512], math[4];
  char *args[MAX_ARGS];
} build;

/* --- the private directory -------------------------------------------------------------------- */

static bool open_directory(build *b) {
  const char *base = getenv("TMPDIR");
  if (!base || !*base || strlen(base) > 200) base = "/tmp";
  snprintf(b->dir, sizeof b->dir, "%s/winnow-XXXXXX", base);
  if (!mkdtemp(b->dir)) {
    snprintf(b->reason, REASON, "no temporary directory in %.100s: %s", base, strerror(errno));
    return false;
  }
  snprintf(b->source, sizeof b->source, "%s/kernels.c", b->dir);
  snprintf(b->object, sizeof b->object, "%s/kernels.so", b->dir);
  snprintf(b->errors, sizeof b->errors, "%s/errors", b->dir);
  return true;
}

static void close_directory(const build *b) {
  unlink(b->source);
  unlink(b->object);
  unlink(b->errors);
  rmdir(b->dir);
}

static bool write_source(build *b, const char *text, size_t len) {
  FILE *f = fopen(b->source, "w");
  bool ok = f && fwrite(text, 1, len, f) == len;
  if (f && fclose(f) != 0) ok = false;
  if (!ok) snprintf(b->reason, REASON, "cannot write %.150s: %s", b->source, strerror(errno));
  return ok;
}

/* --- the compiler ----------------------------------------------------------------------------- */

static void set_args(build *b, const cpu_target *target) {
  static const char fixed[] =
      "-std=gnu17 -O2 -fno-fast-math -ffp-contract=off -fno-math-errno -fno-trapping-math -fwrapv "
      "-fno-strict-aliasing"
      " -w -fPIC -shared";
  int n = 0;
  b->args[n++] = b->name;
  snprintf(b->flags, sizeof b->flags, "%s %s -o", fixed, target->cc_flags);
  for (char *rest = b->flags, *word; n < MAX_ARGS - 4 && (word = strtok_r(rest, " ", &rest));)
    b->args[n++] = word;
  b->args[n++] = b->object;
  b->args[n++] = b->source;
  memcpy(b->math, "-lm", sizeof b->math);
  b->args[n++] = b->math;
  b->args[n] = NULL;
}

/* The line that names the error, or else the first line, of what the compiler printed. */
static void read_errors(build *b, int status) {
  char line[512];
  snprintf(b->reason, REASON, "%s failed (status %d)", b->name, status);
  FILE *f = fopen(b->errors, "r");
  if (!f) return;
  bool first = true;
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    char *error = strstr(line, "error:");
    const char *what = error ? error : line;
    if (error || first) snprintf(b->reason, REASON, "%s: %.200s", b->name, what);
    first = false;
    if (error) break;
  }
  fclose(f);
}

static bool wait_for(pid_t pid, int *status) {
  while (waitpid(pid, status, 0) < 0) {
    if (errno == EINTR) continue;
    *status = 0; /* somebody else reaps children: the object's existence decides */
    return errno == ECHILD;
  }
  return true;
}

static bool run_compiler(build *b) {
  static const char *const names[] = {"cc", "gcc", "clang"};
  posix_spawn_file_actions_t files;
  if (posix_spawn_file_actions_init(&files) != 0) return false;
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, b->errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  int failed = ENOENT, status = 0;
  pid_t pid = 0;
  for (size_t i = 0; i < sizeof names / sizeof names[0] && failed; i++) {
    snprintf(b->name, sizeof b->name, "%s", names[i]);
    failed = posix_spawnp(&pid, b->name, &files, NULL, b->args, environ);
  }
  posix_spawn_file_actions_destroy(&files);
  if (failed) {
    snprintf(b->reason, REASON, "no C compiler: none of cc, gcc and clang on PATH starts (%s)",
             strerror(failed));
    return false;
  }
  if (wait_for(pid, &status) && status == 0) return true;
  read_errors(b, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return false;
}

/* --- one object ------------------------------------------------------------------------------- */

/* NULL with b->reason set on failure. Allocates nothing. */
static void *build_object(build *b, const cpu_target *target, const char *text, size_t len) {
  if (!open_directory(b)) return NULL;
  set_args(b, target);
  void *object = NULL;
  if (write_source(b, text, len) && run_compiler(b)) {
    object = dlopen(b->object, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
      const char *why = dlerror();
      snprintf(b->reason, REASON, "does not load: %.200s", why ? why : "unknown");
    }
  }
  close_directory(b);
  return object;
}

static bool find_kernel(void *object, const char *name, backend_kernel *out) {
  void *symbol = dlsym(object, name);
  if (!symbol) return false;
  memcpy(&out->fn, &symbol,
         sizeof symbol); /* POSIX: a data pointer may hold a function's address */
  return true;
}

static void cc_release(void *handle) {
  cc_code *code = handle;
  if (!code) return;
  for (int i = 0; i < code->count; i++) dlclose(code->object[i]);
  mem_free(code);
}

/* Compiles kernels[first..last) into one object; a reason in b otherwise. */
static bool compile_part(build *b, arena *scratch, cc_code *code, const cpu_target *target,
                         int first, int last, const lin_kernel *const *kernels,
                         backend_kernel *out) {
  str text;
  str_init(&text, scratch);
  render_c_prelude(&text, last - first, kernels + first);
  for (int i = first; i < last; i++) render_c(&text, kernels[i]);
  void *object = build_object(b, target, str_text(&text), text.len);
  if (!object) return false;
  code->object[code->count++] = object;
  for (int i = first; i < last; i++)
    if (!find_kernel(object, kernels[i]->name, &out[i]))
      out[i].error = "the compiled object lacks this kernel";
  return true;
}

static void compile_all(build *b, arena *a, arena *scratch, cc_code *code, const cpu_target *target,
                        int count, const lin_kernel *const *kernels, backend_kernel *out) {
  if (compile_part(b, scratch, code, target, 0, count, kernels, out)) return;
  /* One bad kernel must not take the others with it. */
  for (int i = 0; i < count; i++)
    if (count == 1 || !compile_part(b, scratch, code, target, i, i + 1, kernels, out))
      out[i].error = arena_strdup(a, b->reason);
}

static void *cc_compile(arena *a, diag *d, const cpu_target *target, int count,
                        const lin_kernel *const *kernels, backend_kernel *out, bool no_cache,
                        bool *cached) {
  (void)no_cache;
  *cached = false;
  cc_code *code = mem_alloc(sizeof *code + (size_t)count * sizeof code->object[0]);
  if (!code) diag_fail(d, WN_ERR_NOMEM, "out of memory while compiling kernels");
  code->count = 0;
  arena scratch;
  arena_init(&scratch, d);
  build b = {.reason = "unknown"};
  wn_status st;
  DIAG_TRY(d, st) { compile_all(&b, a, &scratch, code, target, count, kernels, out); }
  DIAG_END(d, st)
  arena_release(&scratch);
  if (st == WN_OK) return code;
  cc_release(code);
  diag_fail(d, st, "out of memory while compiling kernels");
}

const backend backend_cc = {.name = "cpu:cc", .compile = cc_compile, .release = cc_release};
