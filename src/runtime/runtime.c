/* Backends, modules and launching.
 *
 * In: linear kernels. Out: modules whose kernels run over a pool of threads, compiled or
 * interpreted.
 * Always holds: whatever fails in a backend leaves a kernel that runs in the interpreter and says
 * why; blocks are independent, so which worker runs which changes nothing; scratch belongs to the
 * runtime, is at least as large as every living module needs, and is touched only by whose turn it
 * is at the pool. */
#include "runtime/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "render/render.h"
#include "runtime/backend.h"
#include "runtime/pool.h"
#include "schedule/nest.h"

enum { DEFAULT_MAX_LINES = 2000, MAX_THREADS = 1024 };

struct runtime {
  const backend *backend; /* NULL: the interpreter */
  cpu_target target;
  pool *pool;
  char *scratch;         /* one block per worker */
  size_t scratch_stride; /* bytes of a block */
};

typedef struct module_entry {
  const lin_kernel *kernel;
  kernel_fn fn;            /* NULL: interpreted */
  const interp_code *code; /* where fn is NULL */
  kernel_state state;
  bool read_back;       /* the two below are known */
  const char *assembly; /* or NULL */
  int registers, spills;
} module_entry;

struct module {
  runtime *rt;
  arena arena;
  int count;
  module_entry *entries;
  void *handle; /* of the backend */
  bool cached;
};

/* --- runtime ---------------------------------------------------------------------------------- */

static const backend *choose_backend(diag *d, const char *name) {
  if (name && strcmp(name, "interp") == 0) return NULL;
  if (name && strcmp(name, "cpu:cc") == 0) return &backend_cc;
  if (name && strcmp(name, "cpu") != 0)
    diag_fail(d, WN_ERR_USAGE, "backend '%s' does not exist: there are cpu, cpu:cc and interp",
              name);
#ifdef WN_HAVE_LLVM
  return &backend_llvm;
#else
  if (name) diag_warn(d, "built without LLVM: backend cpu is cpu:cc, the system's C compiler");
  return &backend_cc;
#endif
}

/* Threads beyond the cores would only take turns, and keep those waiting that spin. */
static int at_most(diag *d, int asked, int cores) {
  if (asked <= cores) return asked;
  diag_warn(d, "%d threads asked for, %d core%s to be had: %d will run", asked, cores,
            cores == 1 ? "" : "s", cores);
  return cores;
}

static int choose_threads(diag *d, int asked, int cores) {
  if (asked < 0 || asked > MAX_THREADS)
    diag_fail(d, WN_ERR_USAGE, "threads must be from 1 to %d (0: all cores), not %d", MAX_THREADS,
              asked);
  if (asked > 0) return at_most(d, asked, cores);
  const char *text = getenv("WINNOW_THREADS");
  if (!text || !*text) return cores < MAX_THREADS ? cores : MAX_THREADS;
  char *rest;
  errno = 0;
  long n = strtol(text, &rest, 10);
  if (errno || *rest || n < 1 || n > MAX_THREADS)
    diag_fail(d, WN_ERR_USAGE, "WINNOW_THREADS must be a whole number from 1 to %d, not '%s'",
              MAX_THREADS, text);
  return at_most(d, (int)n, cores);
}

runtime *runtime_create(diag *d, const char *backend_name, const char *isa, int threads) {
  const backend *b = choose_backend(d, backend_name);
  const char *env = getenv("WINNOW_ISA");
  cpu_target target;
  if (!isa && env && *env) isa = env;
  if (isa && !b)
    cpu_target_foreign(&target, d, isa);
  else
    cpu_target_init(&target, d, isa);
  threads = choose_threads(d, threads, target.cores);
  runtime *rt = mem_alloc(sizeof *rt);
  if (!rt) diag_fail(d, WN_ERR_NOMEM, "out of memory while setting up a runtime");
  *rt = (runtime){.backend = b, .target = target, .pool = pool_acquire(threads)};
  if (!rt->pool) {
    mem_free(rt);
    diag_fail(d, WN_ERR_NOMEM, "cannot start %d threads", threads);
  }
  return rt;
}

void runtime_destroy(runtime *rt) {
  if (!rt) return;
  pool_release(rt->pool);
  mem_free_aligned(rt->scratch);
  mem_free(rt);
}

const char *runtime_backend(const runtime *rt) {
  return rt->backend ? rt->backend->name : "interp";
}
const cpu_target *runtime_target(const runtime *rt) { return &rt->target; }
int runtime_threads(const runtime *rt) { return pool_threads(rt->pool); }

static void reserve_scratch(runtime *rt, diag *d, size_t bytes) {
  size_t stride = scratch_stride(bytes), workers = (size_t)pool_threads(rt->pool);
  if (stride <= rt->scratch_stride) return;
  char *grown = stride < bytes || stride > SIZE_MAX / workers
                    ? NULL
                    : mem_alloc_aligned(stride * workers, 64);
  if (!grown)
    diag_fail(d, WN_ERR_NOMEM, "out of memory: kernels need %zu bytes of scratch a thread", bytes);
  char *old = rt->scratch;
  if (old) pool_begin(rt->pool); /* another module may be running */
  rt->scratch = grown;
  rt->scratch_stride = stride;
  if (old) pool_end(rt->pool);
  mem_free_aligned(old);
}

/* --- modules ---------------------------------------------------------------------------------- */

/* 2471 as "2,471". */
static const char *with_commas(char *out, size_t size, int n) {
  char digits[16];
  int len = snprintf(digits, sizeof digits, "%d", n);
  size_t at = 0;
  for (int i = 0; i < len && at + 2 < size; i++) {
    if (i > 0 && (len - i) % 3 == 0) out[at++] = ',';
    out[at++] = digits[i];
  }
  out[at] = 0;
  return out;
}

static void count_lines(module *m, int max_lines) {
  arena scratch;
  arena_init(&scratch, m->arena.diag);
  wn_status st;
  DIAG_TRY(m->arena.diag, st) {
    for (int i = 0; i < m->count; i++) {
      module_entry *e = &m->entries[i];
      e->state.source_lines = render_c_lines(&scratch, e->kernel);
      if (!m->rt->backend || e->state.source_lines <= max_lines) continue;
      char lines[32];
      e->state.fallback =
          arena_printf(&m->arena, "%s lines, over --max-lines %d",
                       with_commas(lines, sizeof lines, e->state.source_lines), max_lines);
    }
  }
  DIAG_END(m->arena.diag, st)
  arena_release(&scratch);
  if (st != WN_OK) diag_fail(m->arena.diag, st, "out of memory while counting source lines");
}

/* Hands the backend all kernels that are within the limit, as one unit. */
static void compile_native(module *m, struct store *cache) {
  diag *d = m->arena.diag;
  const lin_kernel **kernels = arena_array(&m->arena, const lin_kernel *, m->count + 1);
  backend_kernel *out = arena_array(&m->arena, backend_kernel, m->count + 1);
  int *entry = arena_array(&m->arena, int, m->count + 1), n = 0;
  for (int i = 0; i < m->count; i++) {
    if (m->entries[i].state.fallback) continue;
    entry[n] = i;
    kernels[n++] = m->entries[i].kernel;
  }
  if (n == 0) return;
  m->handle =
      m->rt->backend->compile(&m->arena, d, &m->rt->target, n, kernels, out, cache, &m->cached);
  for (int i = 0; i < n; i++) {
    module_entry *e = &m->entries[entry[i]];
    e->fn = out[i].fn;
    if (!e->fn) e->state.fallback = out[i].error ? out[i].error : "did not compile";
  }
}

static void compile_entries(module *m, int count, const lin_kernel *const *kernels,
                            const compile_options *options) {
  diag *d = m->arena.diag;
  m->entries = arena_array(&m->arena, module_entry, count + 1);
  m->count = count;
  for (int i = 0; i < count; i++)
    m->entries[i] = (module_entry){.kernel = kernels[i], .registers = -1, .spills = -1};
  count_lines(m, options && options->max_lines > 0 ? options->max_lines : DEFAULT_MAX_LINES);
  if (m->rt->backend) compile_native(m, options ? options->store : NULL);
  size_t scratch = 0;
  for (int i = 0; i < count; i++) {
    module_entry *e = &m->entries[i];
    if (!e->fn) e->code = interp_prepare(&m->arena, e->kernel);
    size_t need = e->fn ? e->kernel->scratch_bytes : interp_scratch(e->code);
    if (need > scratch) scratch = need;
  }
  reserve_scratch(m->rt, d, scratch);
  for (int i = 0; i < count; i++)
    if (m->entries[i].state.fallback)
      diag_warn(d, "kernel %s runs in the interpreter: %s", kernels[i]->name,
                m->entries[i].state.fallback);
}

module *module_compile(runtime *rt, diag *d, int count, const lin_kernel *const *kernels,
                       const compile_options *options) {
  module *m = mem_alloc(sizeof *m);
  if (!m) diag_fail(d, WN_ERR_NOMEM, "out of memory while compiling kernels");
  *m = (module){.rt = rt};
  arena_init(&m->arena, d);
  wn_status st;
  DIAG_TRY(d, st) { compile_entries(m, count, kernels, options); }
  DIAG_END(d, st)
  if (st == WN_OK) return m;
  char why[sizeof d->message];
  memcpy(why, d->message, sizeof why);
  module_destroy(m);
  diag_fail(d, st, "%s", why);
}

void module_destroy(module *m) {
  if (!m) return;
  if (m->handle) m->rt->backend->release(m->handle);
  arena_release(&m->arena);
  mem_free(m);
}

kernel_state module_kernel(const module *m, int index) {
  WN_CHECK(index >= 0 && index < m->count, "module has no kernel %d", index);
  return m->entries[index].state;
}

static module_entry *read_back(module *m, int index) {
  WN_CHECK(index >= 0 && index < m->count, "module has no kernel %d", index);
  module_entry *e = &m->entries[index];
  const backend *b = m->rt->backend;
  if (e->read_back || !e->fn || !b || !b->assembly) return e;
  e->assembly =
      b->assembly(m->handle, &m->arena, &m->rt->target, e->kernel->name, &e->registers, &e->spills);
  e->read_back = true;
  return e;
}

const char *module_assembly(module *m, int index) { return read_back(m, index)->assembly; }

void module_registers(module *m, int index, int *registers, int *spills) {
  const module_entry *e = read_back(m, index);
  *registers = e->registers;
  *spills = e->spills;
}

bool module_cached(const module *m) { return m->cached; }

/* --- launching -------------------------------------------------------------------------------- */

typedef struct launch {
  const runtime *rt;
  const module_entry *entry;
  void *const *args;
} launch;

void runtime_begin(runtime *rt) { pool_begin(rt->pool); }
void runtime_end(runtime *rt) { pool_end(rt->pool); }

static void run_part(void *context, int worker, int64_t begin, int64_t end) {
  const launch *l = context;
  char *scratch = l->rt->scratch ? l->rt->scratch + (size_t)worker * l->rt->scratch_stride : NULL;
  if (l->entry->fn)
    l->entry->fn(l->args, scratch, begin, end);
  else
    interp_run(l->entry->code, l->args, scratch, begin, end);
}

/* At 100 flops and 20 bytes a nanosecond: two times the launch of workers that spin, and the waking of those that sleep. */
static const double WORTH_SHARING = 4e5, WORTH_WAKING = 4e6, FLOPS_A_BYTE = 5;

static double work_of(const module_entry *e, int64_t blocks) {
  const lin_kernel *k = e->kernel;
  if (e->fn == NULL) return WORTH_WAKING;
  return (k->flops + FLOPS_A_BYTE * k->bytes) * (double)blocks / (double)k->grid;
}

void module_launch(module *m, int index, void *const *args, int64_t begin, int64_t end) {
  WN_CHECK(index >= 0 && index < m->count, "module has no kernel %d", index);
  launch l = {.rt = m->rt, .entry = &m->entries[index], .args = args};
  double work = work_of(l.entry, end - begin);
  if (work >= WORTH_SHARING)
    pool_run(m->rt->pool, run_part, &l, begin, end, work < WORTH_WAKING);
  else if (begin < end)
    run_part(&l, 0, begin, end);
}
