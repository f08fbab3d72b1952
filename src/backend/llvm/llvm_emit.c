/* Kernels to object code through LLVM.
 *
 * In: linear kernels. Out: ELF objects or text in memory. A module is cleaned up by a short list of passes (the kernels
 * are simplified already: what is left to do is what index arithmetic hides until it is in SSA form) before code
 * generation.
 * Always holds: nothing is shared between kernels but LLVM's tables of targets, set up once, so each gets the same code
 * whatever is compiled beside it and on however many threads; every object of LLVM has its owner in `work`, so that any
 * failure releases it. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "backend/llvm/llvm_backend.h"

/* Arrays of kind REG become values; equal addresses and loads merge; what a loop does not change
 * leaves it. */
const char llvm_passes[] = "function(sroa,early-cse,loop-mssa(licm),instsimplify)";

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
const char *llvm_one_line(arena *a, const char *text) {
  char *s = arena_strdup(a, text);
  for (char *c = s; *c; ++c)
    if (*c == '\n') *c = c[1] ? ' ' : '\0';
  return s;
}

static const char *said(arena *a, const char *prefix, const char *text) {
  return llvm_one_line(a,
                       arena_printf(a, "%s: %s", prefix, text != NULL ? text : "unknown reason"));
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
  if (LLVMGetTargetFromTriple(t->triple, &target, &w->message)) return said(a, "LLVM", w->message);
  w->machine = LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features,
                                       LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
  return w->machine != NULL ? NULL : said(a, "LLVM has no target machine for", t->triple);
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
  for (int n = 0; n < count; ++n) llvm_ir_add_kernel(a, w->module, t, kernels[n]);
  bool broken = LLVMVerifyModule(w->module, LLVMReturnStatusAction, &w->message);
  return broken ? said(a, "LLVM", w->message) : NULL;
}

static const char *optimise(arena *a, work *w) {
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  LLVMErrorRef failed = LLVMRunPasses(w->module, llvm_passes, w->machine, options);
  LLVMDisposePassBuilderOptions(options);
  if (failed == NULL) return NULL;
  keep_error(w, failed);
  return said(a, "LLVM", w->diagnostic);
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
    return said(a, "LLVM", w->message);
  return w->diagnostic[0] ? said(a, "LLVM", w->diagnostic) : NULL;
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

/* --- code of several kernels ------------------------------------------------------------------ */

typedef struct emission {
  diag *d;
  wn_status status;
  arena *a;
  work work;
  const llvm_ir_target *t;
  int count;
  const lin_kernel *const *kernels;
  bool text;
  const char *error, *code;
  size_t size;
} emission;

static void emit_code(emission *e) {
  e->error = generate(e->a, &e->work, e->t, e->count, e->kernels, e->text);
  if (e->error != NULL) return;
  e->size = LLVMGetBufferSize(e->work.code);
  char *copy = arena_alloc(e->a, e->size + 1);
  memcpy(copy, LLVMGetBufferStart(e->work.code), e->size);
  e->code = copy;
}

static void try_emission(void *user) {
  emission *e = user;
  DIAG_TRY(e->d, e->status) { emit_code(e); }
  DIAG_END(e->d, e->status)
  release(&e->work);
}

const char *llvm_emit_code(arena *a, const llvm_ir_target *t, int count,
                           const lin_kernel *const *kernels, bool text, size_t *size,
                           const char **error) {
  initialise_once();
  emission e = {.d = a->diag, .a = a, .t = t, .count = count, .kernels = kernels, .text = text};
  const char *why = llvm_on_own_stacks(1, try_emission, &e);
  if (e.status != WN_OK) diag_again(a->diag);
  *error = why != NULL ? said(a, "LLVM gets no thread", why) : e.error;
  *size = e.size;
  return e.code;
}

const char *llvm_assembly(arena *a, const machine *cpu, const lin_kernel *k) {
  llvm_ir_target t = llvm_target_of(a, cpu);
  const char *error;
  size_t size;
  return llvm_emit_code(a, &t, 1, &k, true, &size, &error);
}

/* --- units on several threads ----------------------------------------------------------------- */

typedef struct queue {
  const llvm_ir_target *t;
  int count;
  llvm_unit *const *units;
  atomic_int next; /* the first that nobody has taken */
  const compile_progress *progress;
  pthread_mutex_t told;
  int done;
} queue;

static void tell(queue *q) {
  if (q->progress == NULL || q->progress->tell == NULL) return;
  pthread_mutex_lock(&q->told);
  q->progress->tell(q->progress->user, ++q->done, q->count);
  pthread_mutex_unlock(&q->told);
}

static void emit_unit(const llvm_ir_target *t, llvm_unit *u, arena *a, work *w) {
  const lin_kernel *k = &u->kernel;
  const char *error = generate(a, w, t, 1, &k, false);
  if (error != NULL) {
    snprintf(u->reason, sizeof u->reason, "%s", error);
    return;
  }
  size_t size = LLVMGetBufferSize(w->code);
  char *copy = mem_alloc(size);
  if (copy == NULL) diag_fail(a->diag, WN_ERR_NOMEM, "out of memory");
  memcpy(copy, LLVMGetBufferStart(w->code), size);
  u->object = copy;
  u->size = size;
}

/* A thread: its errors and its memory are its own. */
static void emit_some(void *user) {
  queue *q = user;
  diag d;
  diag_init(&d);
  for (int i; (i = atomic_fetch_add(&q->next, 1)) < q->count;) {
    arena a;
    work w = {0};
    arena_init(&a, &d);
    DIAG_TRY(&d, q->units[i]->status) { emit_unit(q->t, q->units[i], &a, &w); }
    DIAG_END(&d, q->units[i]->status)
    release(&w);
    arena_release(&a);
    tell(q);
  }
}

void llvm_emit_units(const llvm_ir_target *t, int count, llvm_unit *const *units, int threads,
                     const compile_progress *progress) {
  initialise_once();
  queue q = {.t = t,
             .count = count,
             .units = units,
             .progress = progress,
             .told = PTHREAD_MUTEX_INITIALIZER};
  atomic_init(&q.next, 0);
  if (count == 0) return;
  const char *why = llvm_on_own_stacks(threads < count ? threads : count, emit_some, &q);
  for (int i = 0; i < count && why != NULL; ++i)
    snprintf(units[i]->reason, sizeof units[i]->reason, "LLVM gets no thread: %s", why);
}
