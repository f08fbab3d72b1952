/* The backend `cpu`: LLVM in process.
 *
 * In: linear kernels. Out: functions in this process. Each kernel is an ELF object of its own, from the store or made
 * by llvm_emit.c, on as many threads as kernels run on; ORC loads them all.
 * Always holds: LLVM is entered between fork_enter and fork_leave alone, and left before the store, which may warn, is
 * asked; where it can load nothing of what the store has, all is made anew. */
#include "backend/llvm/llvm_backend.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fork.h"
#include "render/render.h"
#include "store/store.h"

/* --- loading ---------------------------------------------------------------------------------- */

typedef struct code {
  LLVMOrcLLJITRef jit;
  int count;
  llvm_unit unit[]; /* as they were loaded, for people who ask what was compiled */
} code;

/* Kernels find libm's functions by address: the process may have been linked so that names do not
 * resolve. */
static LLVMErrorRef define_externals(LLVMOrcLLJITRef jit, LLVMOrcJITDylibRef lib) {
  static const struct {
    const char *name;
    void (*fn)(void);
  } known[] = {
#define EXTERNAL(f) {#f, (void (*)(void))(f)}
      EXTERNAL(expf),   EXTERNAL(logf),   EXTERNAL(sinf),   EXTERNAL(cosf),   EXTERNAL(atanf),
      EXTERNAL(tanhf),  EXTERNAL(erff),   EXTERNAL(powf),   EXTERNAL(floorf), EXTERNAL(rintf),
      EXTERNAL(exp),    EXTERNAL(log),    EXTERNAL(sin),    EXTERNAL(cos),    EXTERNAL(atan),
      EXTERNAL(tanh),   EXTERNAL(erf),    EXTERNAL(pow),    EXTERNAL(floor),  EXTERNAL(rint),
      EXTERNAL(memcpy), EXTERNAL(memset), EXTERNAL(memmove)
#undef EXTERNAL
  };
  enum { COUNT = sizeof known / sizeof *known };
  LLVMOrcCSymbolMapPair pairs[COUNT];
  for (size_t n = 0; n < COUNT; ++n) {
    LLVMJITSymbolFlags flags = {
        LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
    pairs[n].Name = LLVMOrcLLJITMangleAndIntern(jit, known[n].name);
    pairs[n].Sym = (LLVMJITEvaluatedSymbol){(LLVMOrcExecutorAddress)(uintptr_t)known[n].fn, flags};
  }
  return LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(pairs, COUNT));
}

/* Loads the objects and finds their functions. The bytes are copied. */
static LLVMErrorRef load_units(code *c, backend_kernel *out) {
  LLVMErrorRef failed = LLVMOrcCreateLLJIT(&c->jit, NULL);
  if (failed != NULL) return failed;
  LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(c->jit);
  failed = define_externals(c->jit, lib);
  for (int i = 0; i < c->count && failed == NULL; ++i) {
    const llvm_unit *u = &c->unit[i];
    if (u->object == NULL) continue;
    LLVMMemoryBufferRef object =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(u->object, u->size, u->kernel.name);
    failed = LLVMOrcLLJITAddObjectFile(c->jit, lib, object); /* takes it */
  }
  for (int i = 0; i < c->count && failed == NULL; ++i) {
    LLVMOrcExecutorAddress at = 0;
    if (c->unit[i].object == NULL) continue;
    failed = LLVMOrcLLJITLookup(c->jit, &at, c->unit[i].kernel.name);
    if (failed == NULL) out[i].code = (void *)(uintptr_t)at;
  }
  return failed;
}

static void release_jit(code *c) {
  if (c->jit != NULL) LLVMConsumeError(LLVMOrcDisposeLLJIT(c->jit));
  c->jit = NULL;
}

static void release_code(void *handle) {
  code *c = handle;
  if (c == NULL) return;
  if (fork_enter()) { /* else LLVM may be locked for ever */
    release_jit(c);
    fork_leave();
  }
  for (int i = 0; i < c->count; ++i) mem_free(c->unit[i].object);
  mem_free(c);
}

static const llvm_unit *unit_of(const code *c, const char *symbol) {
  for (int i = 0; i < c->count; ++i)
    if (strcmp(c->unit[i].kernel.name, symbol) == 0) return &c->unit[i];
  return NULL;
}

static const char *assembly(const void *handle, arena *a, const machine *cpu, const char *symbol,
                            int *registers, int *spills) {
  const llvm_unit *u = unit_of(handle, symbol);
  const char *volatile text = NULL;
  wn_status st;
  if (u == NULL || u->object == NULL || !fork_enter()) return NULL;
  DIAG_TRY(a->diag, st) {
    llvm_ir_target t = llvm_target_of(a, cpu);
    text = llvm_disassemble(a, &t, u->object, u->size, symbol);
  }
  DIAG_END(a->diag, st)
  fork_leave();
  if (st != WN_OK) diag_again(a->diag);
  if (text != NULL) llvm_count_registers(text, registers, spills);
  return text;
}

const char *llvm_version(arena *a) {
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  return arena_printf(a, "LLVM %u.%u.%u", major, minor, patch);
}

/* --- compiling -------------------------------------------------------------------------------- */

typedef struct compilation {
  backend_job *job;
  arena scratch;
  code *code;
  llvm_ir_target t;
  str *key;     /* of the store, by unit */
  bool *stored; /* the unit's object came from there */
  llvm_unit **missing;
  store_entry *fresh;
  bool inside;           /* LLVM */
  char why[LLVM_REASON]; /* nothing could be loaded; "" where all was */
} compilation;

/* Everything that the object depends on. */
static void make_key(str *key, const llvm_ir_target *t, const str *kernel) {
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  str_printf(key, "cpu %u.%u.%u %s\n%s\n%s\n%s\n%d %d %d %d\n", major, minor, patch, llvm_passes,
             t->triple, t->cpu, t->features, t->vector_bytes, t->x86, t->fma, t->f16);
  str_addn(key, kernel->data, kernel->len);
}

static void look_up(compilation *c) {
  const backend_job *job = c->job;
  for (int i = 0; i < job->count && job->cache != NULL; ++i) {
    llvm_unit *u = &c->code->unit[i];
    str_init(&c->key[i], &c->scratch);
    make_key(&c->key[i], &c->t, &job->keys[i]);
    size_t size = 0;
    const void *found =
        store_get(job->cache, &c->scratch, STORE_KERNELS, c->key[i].data, c->key[i].len, &size);
    if (found == NULL) continue;
    u->object = mem_alloc(size);
    if (u->object == NULL) diag_fail(job->d, WN_ERR_NOMEM, "out of memory");
    memcpy(u->object, found, size);
    u->size = size;
    c->stored[i] = true;
  }
}

static void keep(const compilation *c) {
  int n = 0;
  for (int i = 0; i < c->job->count && c->job->cache != NULL; ++i) {
    const llvm_unit *u = &c->code->unit[i];
    if (u->object != NULL && !c->stored[i])
      c->fresh[n++] = (store_entry){c->key[i].data, c->key[i].len, u->object, u->size};
  }
  store_put_all(c->job->cache, STORE_KERNELS, n, c->fresh);
}

/* The longest first, so that no thread is left with one at the end. */
static int by_length(const void *a, const void *b) {
  const llvm_unit *const *x = a, *const *y = b;
  size_t m = (*x)->kernel.ins.len, n = (*y)->kernel.ins.len;
  if (m != n) return m > n ? -1 : 1;
  return *x < *y ? -1 : *x > *y;
}

static void load_on_stack(void *user) {
  compilation *c = user;
  LLVMErrorRef failed = load_units(c->code, c->job->out);
  if (failed == NULL) return;
  char *text = LLVMGetErrorMessage(failed);
  snprintf(c->why, sizeof c->why, "LLVM could not load the code: %s", text);
  LLVMDisposeErrorMessage(text);
  release_jit(c->code);
}

static void load(compilation *c) {
  c->why[0] = '\0';
  const char *why = llvm_on_own_stacks(1, load_on_stack, c);
  if (why != NULL) snprintf(c->why, sizeof c->why, "LLVM gets no thread: %s", why);
}

/* What the store has may be of no use. */
static bool drop_stored(compilation *c) {
  bool any = false;
  for (int i = 0; i < c->job->count; ++i) {
    llvm_unit *u = &c->code->unit[i];
    if (!c->stored[i]) continue;
    mem_free(u->object);
    u->object = NULL;
    c->stored[i] = false;
    any = true;
  }
  return any;
}

/* Units without an object, the longest first. */
static int find_missing(const compilation *c) {
  int n = 0;
  for (int i = 0; i < c->job->count; ++i)
    if (c->code->unit[i].object == NULL) c->missing[n++] = &c->code->unit[i];
  qsort(c->missing, (size_t)n, sizeof(llvm_unit *), by_length);
  return n;
}

static bool lacked_memory(const compilation *c) {
  for (int i = 0; i < c->job->count; ++i)
    if (c->code->unit[i].status != WN_OK) return true;
  return false;
}

/* Inside of LLVM. */
static void emit_and_load(compilation *c) {
  llvm_emit_units(&c->t, find_missing(c), c->missing, c->job->threads, &c->job->progress);
  if (lacked_memory(c)) return;
  load(c);
  if (c->why[0] == '\0' || !drop_stored(c)) return;
  llvm_emit_units(&c->t, find_missing(c), c->missing, c->job->threads, &c->job->progress);
  if (!lacked_memory(c)) load(c);
}

static bool enter(compilation *c) { return c->inside = fork_enter(); }

static void leave(compilation *c) {
  if (c->inside) fork_leave();
  c->inside = false;
}

static void compile_units(compilation *c) {
  const backend_job *job = c->job;
  snprintf(c->why, sizeof c->why, "%s", fork_why);
  c->missing = arena_array(&c->scratch, llvm_unit *, job->count + 1);
  c->fresh = arena_array(&c->scratch, store_entry, job->count + 1);
  c->stored = arena_array(&c->scratch, bool, job->count + 1);
  c->key = arena_array(&c->scratch, str, job->count + 1);
  if (!enter(c)) return;
  c->t = llvm_target_of(&c->scratch, job->target);
  leave(c);
  look_up(c);
  if (!enter(c)) return;
  emit_and_load(c);
  leave(c);
  if (lacked_memory(c)) diag_fail(job->d, WN_ERR_NOMEM, "out of memory while compiling kernels");
  keep(c);
}

/* Errors by kernel, and whether all came from the store. */
static void take_results(compilation *c) {
  backend_job *job = c->job;
  job->cached = c->code->jit != NULL;
  for (int i = 0; i < job->count; ++i) {
    const llvm_unit *u = &c->code->unit[i];
    backend_kernel *out = &job->out[i];
    out->scratch = job->kernels[i]->scratch_bytes;
    job->cached = job->cached && c->stored[i];
    if (c->why[0] != '\0') out->code = NULL;
    if (out->code == NULL)
      out->error = llvm_one_line(job->a, u->reason[0] != '\0' ? u->reason : c->why);
  }
}

static code *new_code(const backend_job *job) {
  size_t bytes = sizeof(code) + (size_t)job->count * sizeof(llvm_unit);
  code *made = mem_alloc(bytes);
  if (made == NULL) diag_fail(job->d, WN_ERR_NOMEM, "out of memory while compiling kernels");
  memset(made, 0, bytes);
  made->count = job->count;
  for (int i = 0; i < job->count; ++i) {
    made->unit[i].kernel = *job->kernels[i];
    made->unit[i].kernel.name = job->out[i].symbol;
  }
  return made;
}

static void *compile(void *device, backend_job *job) {
  (void)device;
  compilation c = {.job = job, .code = new_code(job)};
  arena_init(&c.scratch, job->d);
  wn_status st;
  DIAG_TRY(job->d, st) {
    compile_units(&c);
    take_results(&c);
  }
  DIAG_END(job->d, st)
  leave(&c);
  arena_release(&c.scratch);
  if (st == WN_OK && c.code->jit != NULL) return c.code;
  release_code(c.code);
  if (st != WN_OK) diag_again(job->d);
  return NULL;
}

const backend backend_llvm = {
    HOST_BACKEND(host_open, host_launch, host_blocks),
    .name = "cpu",
    .compiler = "LLVM, in process",
    .version = llvm_version,
    .isas = machine_cpu_isas,
    .compile = compile,
    .release = release_code,
    .assembly = assembly,
};
