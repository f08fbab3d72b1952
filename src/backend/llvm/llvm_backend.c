/* The cpu backend: LLVM in process.
 *
 * In: linear kernels. Out: functions in this process. All kernels become one module, which a short
 * list of passes cleans up (the kernels are simplified already: what is left to do is what index
 * arithmetic hides until it is in SSA form), code generation writes as an ELF object into memory,
 * and ORC loads. Always holds: nothing is shared between compiles but LLVM's tables of targets, set
 * up once; every object of LLVM has its owner in `work` or `code`, so that any failure releases it;
 * LLVM is entered between fork_enter and fork_leave alone, and left before anybody is warned. */
#include "backend/llvm/llvm_backend.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/fork.h"
#include "store/kernel_key.h"
#include "render/render.h"
#include "store/store.h"

/* Arrays of kind REG become values; equal addresses and loads merge; what a loop does not change
 * leaves it. */
static const char passes[] = "function(sroa,early-cse,loop-mssa(licm),instsimplify)";

static void initialise_targets(void) {
  LLVMInitializeNativeTarget();
  LLVMInitializeNativeAsmPrinter();
  LLVMInitializeNativeAsmParser();
}

static void initialise_once(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, initialise_targets);
}

/* --- code ------------------------------------------------------------------------------------- */

typedef struct work { /* what one compilation holds of LLVM */
  LLVMContextRef context;
  LLVMModuleRef module;
  LLVMTargetMachineRef machine;
  LLVMMemoryBufferRef code;
  char *message; /* LLVM's, to be disposed of by it */
  char diagnostic[512];
} work;

static void release(work *w) {
  if (w->message != NULL) LLVMDisposeMessage(w->message);
  if (w->code != NULL) LLVMDisposeMemoryBuffer(w->code);
  if (w->module != NULL) LLVMDisposeModule(w->module);
  if (w->machine != NULL) LLVMDisposeTargetMachine(w->machine);
  if (w->context != NULL) LLVMContextDispose(w->context);
}

/* One line, without LLVM's line breaks. */
static const char *one_line(arena *a, const char *prefix, const char *text) {
  char *s = arena_printf(a, "%s: %s", prefix, text != NULL ? text : "unknown reason");
  for (char *c = s; *c; c++)
    if (*c == '\n') *c = c[1] ? ' ' : '\0';
  return s;
}

static void keep_text(work *w, const char *text) {
  if (w->diagnostic[0]) return;
  size_t n = strlen(text) < sizeof w->diagnostic ? strlen(text) : sizeof w->diagnostic - 1;
  memcpy(w->diagnostic, text, n);
}

static void keep_error(work *w, LLVMErrorRef failed) {
  char *text = LLVMGetErrorMessage(failed);
  keep_text(w, text);
  LLVMDisposeErrorMessage(text);
}

static void keep_diagnostic(LLVMDiagnosticInfoRef info, void *user) {
  if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
  char *text = LLVMGetDiagInfoDescription(info);
  keep_text(user, text);
  LLVMDisposeMessage(text);
}

static const char *make_machine(arena *a, work *w, const llvm_ir_target *t) {
  LLVMTargetRef target;
  if (LLVMGetTargetFromTriple(t->triple, &target, &w->message))
    return one_line(a, "LLVM", w->message);
  w->machine = LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features,
                                       LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
  return w->machine != NULL ? NULL : one_line(a, "LLVM has no target machine for", t->triple);
}

/* LLVM aborts on IR that breaks its rules, so what the renderer made is looked at first, in every
 * build: it is cheap. */
static const char *build_module(arena *a, work *w, const llvm_ir_target *t, int count,
                                const lin_kernel *const *kernels) {
  w->module = LLVMModuleCreateWithNameInContext("winnow", w->context);
  LLVMSetTarget(w->module, t->triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(w->machine);
  LLVMSetModuleDataLayout(w->module, layout);
  LLVMDisposeTargetData(layout);
  for (int n = 0; n < count; n++) llvm_ir_add_kernel(a, w->module, t, kernels[n]);
  bool broken = LLVMVerifyModule(w->module, LLVMReturnStatusAction, &w->message);
  return broken ? one_line(a, "LLVM", w->message) : NULL;
}

static const char *optimise(arena *a, work *w) {
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  LLVMErrorRef failed = LLVMRunPasses(w->module, passes, w->machine, options);
  LLVMDisposePassBuilderOptions(options);
  if (failed == NULL) return NULL;
  keep_error(w, failed);
  return one_line(a, "LLVM", w->diagnostic);
}

/* Fills w->code; NULL or what went wrong. */
static const char *generate(arena *a, work *w, const llvm_ir_target *t, int count,
                            const lin_kernel *const *kernels, bool text) {
  w->context = LLVMContextCreate();
  LLVMContextSetDiagnosticHandler(w->context, keep_diagnostic, w);
  const char *error = make_machine(a, w, t);
  if (error == NULL && text) LLVMSetTargetMachineAsmVerbosity(w->machine, 1);
  if (error == NULL) error = build_module(a, w, t, count, kernels);
  if (error == NULL) error = optimise(a, w);
  if (error != NULL) return error;
  LLVMCodeGenFileType kind = text ? LLVMAssemblyFile : LLVMObjectFile;
  if (LLVMTargetMachineEmitToMemoryBuffer(w->machine, w->module, kind, &w->message, &w->code))
    return one_line(a, "LLVM", w->message);
  return w->diagnostic[0] ? one_line(a, "LLVM", w->diagnostic) : NULL;
}

typedef struct task { /* what is done on LLVM's stack */
  void (*fn)(struct task *);
  diag *d;
  wn_status status; /* of fn */
} task;

static void run_task(void *user) {
  task *t = user;
  DIAG_TRY(t->d, t->status) { t->fn(t); }
  DIAG_END(t->d, t->status)
}

/* Runs t->fn(t); diag_fail in it goes on from here. NULL, or why it did not run. */
static const char *on_own_stack(arena *a, task *t) {
  const char *why = llvm_on_own_stack(run_task, t);
  if (why != NULL) return one_line(a, "LLVM gets no thread", why);
  if (t->status != WN_OK) diag_fail(t->d, t->status, "%s", t->d->message);
  return NULL;
}

llvm_ir_target llvm_target_of(arena *a, const machine *cpu) {
  initialise_once();
  char triple[128]; /* LLVM's own copy must not be held where the arena may give up */
  char *own = LLVMGetDefaultTargetTriple();
  snprintf(triple, sizeof triple, "%s", own);
  LLVMDisposeMessage(own);
  llvm_ir_target t = {.triple = arena_strdup(a, triple),
                      .cpu = cpu->llvm_cpu != NULL ? cpu->llvm_cpu : "",
                      .features = cpu->llvm_features != NULL ? cpu->llvm_features : "",
                      .vector_bytes = cpu->vector_bytes,
                      .fma = cpu->fma};
  t.x86 = strncmp(triple, "x86_64", 6) == 0;
  t.f16 = cpu->isa == ISA_NEON || strstr(t.features, "+f16c") != NULL;
  return t;
}

typedef struct emission {
  task task; /* first */
  arena *a;
  work work;
  const llvm_ir_target *t;
  int count;
  const lin_kernel *const *kernels;
  bool text;
  const char *error, *code;
  size_t size;
} emission;

static void emit_code(task *t) {
  emission *e = (emission *)(void *)t;
  e->error = generate(e->a, &e->work, e->t, e->count, e->kernels, e->text);
  if (e->error != NULL) return;
  e->size = LLVMGetBufferSize(e->work.code);
  char *copy = arena_alloc(e->a, e->size + 1);
  memcpy(copy, LLVMGetBufferStart(e->work.code), e->size);
  e->code = copy;
}

const char *llvm_emit_code(arena *a, const llvm_ir_target *t, int count,
                           const lin_kernel *const *kernels, bool text, size_t *size,
                           const char **error) {
  initialise_once();
  diag *d = a->diag;
  emission e = {.task = {.fn = emit_code, .d = d}, .a = a, .t = t, .count = count};
  e.kernels = kernels;
  e.text = text;
  const char *volatile why = NULL;
  wn_status st;
  DIAG_TRY(d, st) { why = on_own_stack(a, &e.task); }
  DIAG_END(d, st)
  release(&e.work);
  if (st != WN_OK) diag_fail(d, st, "%s", d->message);
  *error = why != NULL ? why : e.error;
  *size = e.size;
  return e.code;
}

const char *llvm_assembly(arena *a, const machine *cpu, const lin_kernel *k) {
  llvm_ir_target t = llvm_target_of(a, cpu);
  const char *error;
  size_t size;
  return llvm_emit_code(a, &t, 1, &k, true, &size, &error);
}

/* --- loading ---------------------------------------------------------------------------------- */

typedef struct code {
  LLVMOrcLLJITRef jit;
  char *object; /* as it was loaded, for people who ask what was compiled */
  size_t size;
} code;

/* Kernels find libm's functions by address: the process may have been linked so that names do not
 * resolve. */
static LLVMErrorRef define_externals(LLVMOrcLLJITRef jit, LLVMOrcJITDylibRef lib) {
  static const struct {
    const char *name;
    void (*fn)(void);
  } known[] = {
#define EXTERNAL(f) {#f, (void (*)(void))(f)}
      EXTERNAL(expf),   EXTERNAL(logf),   EXTERNAL(sinf),   EXTERNAL(tanhf), EXTERNAL(erff),
      EXTERNAL(exp),    EXTERNAL(log),    EXTERNAL(sin),    EXTERNAL(tanh),  EXTERNAL(erf),
      EXTERNAL(memcpy), EXTERNAL(memset), EXTERNAL(memmove)
#undef EXTERNAL
  };
  enum { COUNT = sizeof known / sizeof *known };
  LLVMOrcCSymbolMapPair pairs[COUNT];
  for (size_t n = 0; n < COUNT; n++) {
    LLVMJITSymbolFlags flags = {
        LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
    pairs[n].Name = LLVMOrcLLJITMangleAndIntern(jit, known[n].name);
    pairs[n].Sym = (LLVMJITEvaluatedSymbol){(LLVMOrcExecutorAddress)(uintptr_t)known[n].fn, flags};
  }
  return LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(pairs, COUNT));
}

/* Loads the object and finds its functions. The bytes are copied. */
static LLVMErrorRef load(code *c, const void *bytes, size_t size, const backend_job *job) {
  LLVMErrorRef failed = LLVMOrcCreateLLJIT(&c->jit, NULL);
  if (failed != NULL) return failed;
  LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(c->jit);
  failed = define_externals(c->jit, lib);
  if (failed != NULL) return failed;
  c->size = size;
  c->object = mem_alloc(size); /* NULL: nothing is said about the code then */
  if (c->object != NULL) memcpy(c->object, bytes, size);
  LLVMMemoryBufferRef object = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, "kernels");
  failed = LLVMOrcLLJITAddObjectFile(c->jit, lib, object); /* takes it */
  for (int n = 0; n < job->count && failed == NULL; n++) {
    LLVMOrcExecutorAddress at = 0;
    failed = LLVMOrcLLJITLookup(c->jit, &at, job->kernels[n]->name);
    if (failed == NULL) job->out[n].code = (void *)(uintptr_t)at;
  }
  return failed;
}

static void release_jit(code *c) {
  if (c->jit != NULL) LLVMConsumeError(LLVMOrcDisposeLLJIT(c->jit));
  mem_free(c->object);
  *c = (code){0};
}

static void release_code(void *handle) {
  code *c = handle;
  if (c == NULL) return;
  if (fork_enter()) { /* else LLVM may be locked for ever */
    release_jit(c);
    fork_leave();
  }
  mem_free(c);
}

static const char *assembly(const void *handle, arena *a, const machine *cpu, const char *name,
                            int *registers, int *spills) {
  const code *c = handle;
  const char *volatile text = NULL;
  wn_status st;
  if (c->object == NULL || !fork_enter()) return NULL;
  DIAG_TRY(a->diag, st) {
    llvm_ir_target t = llvm_target_of(a, cpu);
    text = llvm_disassemble(a, &t, c->object, c->size, name);
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

/* Everything that the object depends on. */
static void make_key(str *key, const llvm_ir_target *t, int count,
                     const lin_kernel *const *kernels) {
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  str_printf(key, "cpu %u.%u.%u %s\n%s\n%s\n%s\n%d %d %d %d\n", major, minor, patch, passes,
             t->triple, t->cpu, t->features, t->vector_bytes, t->x86, t->fma, t->f16);
  kernel_key_add(key, count, kernels);
}

typedef struct compilation {
  task task; /* first */
  arena *a;
  arena scratch; /* the key and the object as the store gave it */
  work work;
  code *code;
  backend_job *job;
  llvm_ir_target t;
  const void *stored; /* the code of an earlier compile */
  size_t stored_size;
  bool was_cached;
  bool inside; /* LLVM */
  const char *error;
} compilation;

static bool enter(compilation *c) { return c->inside = fork_enter(); }

static void leave(compilation *c) {
  if (c->inside) fork_leave();
  c->inside = false;
}

/* The code of an earlier compile, loaded. */
static bool load_stored(compilation *c) {
  if (c->stored == NULL) return false;
  LLVMErrorRef failed = load(c->code, c->stored, c->stored_size, c->job);
  if (failed == NULL) return true;
  LLVMConsumeError(failed);
  release_jit(c->code);
  return false;
}

static void make_code(task *t) {
  compilation *c = (compilation *)(void *)t;
  work *w = &c->work;
  c->was_cached = load_stored(c);
  if (c->was_cached) return;
  c->error = generate(c->a, w, &c->t, c->job->count, c->job->kernels, false);
  if (c->error != NULL) return;
  const char *object = LLVMGetBufferStart(w->code);
  size_t size = LLVMGetBufferSize(w->code);
  LLVMErrorRef failed = load(c->code, object, size, c->job);
  if (failed == NULL) return;
  keep_error(w, failed);
  c->error = one_line(c->a, "LLVM could not load the code", w->diagnostic);
}

/* The store, which may warn, is asked on the caller's thread, and outside of LLVM. */
static void compile_or_load(arena *a, compilation *c) {
  c->error = fork_why;
  if (!enter(c)) return;
  c->t = llvm_target_of(a, c->job->target);
  leave(c);
  str key;
  str_init(&key, &c->scratch);
  if (c->job->cache != NULL) make_key(&key, &c->t, c->job->count, c->job->kernels);
  c->stored =
      store_get(c->job->cache, &c->scratch, STORE_KERNELS, key.data, key.len, &c->stored_size);
  if (!enter(c)) return;
  c->error = NULL;
  const char *why = on_own_stack(a, &c->task);
  leave(c);
  if (why != NULL) c->error = why;
  if (c->error == NULL && !c->was_cached)
    store_put(c->job->cache, STORE_KERNELS, key.data, key.len, LLVMGetBufferStart(c->work.code),
              LLVMGetBufferSize(c->work.code));
}

static void compile_into(arena *a, compilation *c) {
  compile_or_load(a, c);
  for (int n = 0; n < c->job->count; n++) {
    backend_kernel *out = &c->job->out[n];
    if (c->error != NULL) out->code = NULL;
    out->error = c->error;
    out->scratch = c->job->kernels[n]->scratch_bytes;
    out->symbol = c->job->kernels[n]->name;
  }
}

static void *compile(void *device, backend_job *job) {
  diag *d = job->d;
  (void)device;
  code *made = mem_alloc(sizeof *made);
  if (made == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory");
  *made = (code){0};
  compilation c = {.task = {.fn = make_code, .d = d}, .a = job->a, .code = made, .job = job};
  arena_init(&c.scratch, d);
  wn_status st;
  DIAG_TRY(d, st) { compile_into(job->a, &c); }
  DIAG_END(d, st)
  arena_release(&c.scratch);
  if (c.inside || enter(&c)) release(&c.work); /* where it may not be entered it never was */
  leave(&c);
  if (st != WN_OK) {
    release_code(made);
    diag_again(d);
  }
  job->cached = c.was_cached;
  if (job->count > 0 && job->out[0].code == NULL) {
    release_code(made);
    return NULL;
  }
  return made;
}

const backend backend_llvm = {
    HOST_BACKEND(host_open, host_launch),
    .name = "cpu",
    .compiler = "LLVM, in process",
    .version = llvm_version,
    .isas = machine_cpu_isas,
    .compile = compile,
    .release = release_code,
    .assembly = assembly,
};
