/* Backends, modules and launching.
 *
 * In: linear kernels. Out: modules whose kernels run over a pool of threads, compiled or
 * interpreted.
 * Always holds: whatever fails in a backend leaves a kernel that runs in the interpreter and says
 * why; blocks are independent, so which worker runs which changes nothing; scratch belongs to the
 * runtime, is at least as large as every living module needs, and is touched only by whose turn it
 * is at the pool. */
#include "backend/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fork.h"
#include "base/fpenv.h"
#include "base/signals.h"
#include "render/render.h"
#include "backend/backend.h"
#include "backend/pool.h"
#include "nest/nest.h"

enum { DEFAULT_MAX_LINES = 2000, MAX_THREADS = 1024 };

struct runtime {
  const backend *backend; /* NULL: the interpreter */
  void *device;           /* where the backend has one */
  machine machine;
  pool *pool;
  char *scratch;         /* one block per worker */
  size_t scratch_stride; /* bytes of a block */
  bool flush;            /* subnormal numbers */
  fp_control callers;    /* of whose turn it is */
  unsigned generation;   /* of forks */
};

typedef struct module_entry {
  const lin_kernel *kernel;
  kernel_fn fn;            /* of a CPU's backend; NULL: interpreted */
  device_kernel on_device; /* of a device's; no code: interpreted */
  const interp_code *code; /* where it is interpreted */
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

static const backend *const device_backends[] = {&backend_opencl, &backend_metal};
enum { DEVICE_BACKENDS = sizeof device_backends / sizeof device_backends[0] };

/* A device's backend; *spec: what stands behind its name, or NULL. */
static const backend *find_device_backend(const char *name, const char **spec) {
  for (int i = 0; name && i < DEVICE_BACKENDS; i++) {
    size_t n = strlen(device_backends[i]->name);
    if (strncmp(name, device_backends[i]->name, n) != 0 || (name[n] && name[n] != ':')) continue;
    *spec = name[n] && name[n + 1] ? name + n + 1 : NULL;
    return device_backends[i];
  }
  return NULL;
}

static const backend *choose_backend(diag *d, const char *name, const char **spec) {
  *spec = NULL;
  const backend *device = find_device_backend(name, spec);
  if (device) return device;
  if (name && strcmp(name, "interp") == 0) return NULL;
  if (name && strcmp(name, "cpu:cc") == 0) return &backend_cc;
  if (name && strcmp(name, "cpu") != 0)
    diag_fail(d, WN_ERR_USAGE,
              "backend '%.80s' does not exist: there are cpu, cpu:cc, interp, opencl and metal",
              name);
#ifdef WN_HAVE_LLVM
  return &backend_llvm;
#else
  if (name) diag_warn(d, "built without LLVM: backend cpu is cpu:cc, the system's C compiler");
  return &backend_cc;
#endif
}

int runtime_devices(diag *d, arena *a, const char *name, const device_info **out,
                    const char **why) {
  const char *spec;
  const backend *b = find_device_backend(name, &spec);
  WN_CHECK(b, "%s is no backend of devices", name);
  return b->device->list(d, a, out, why);
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

/* $WINNOW_ISA speaks to the backends that have it: a CPU's instruction set is none of a device's, nor the reverse. */
static const char *isa_for(const backend *b, const char *asked) {
  const char *env = getenv("WINNOW_ISA");
  if (asked || !env || !*env) return asked;
  return machine_isa_of_devices(env) == (b && b->device) ? env : NULL;
}

/* Where kernels are only looked at a typical device stands for one that is not there. */
static void open_device(runtime *rt, diag *d, const char *spec, const char *isa, bool looked_at) {
  const device_backend *device = rt->backend->device;
  volatile wn_status st;
  if (!looked_at || !device->foreign || spec) {
    rt->device = device->open(d, spec, isa, &rt->machine);
    return;
  }
  DIAG_TRY(d, st) { rt->device = device->open(d, NULL, isa, &rt->machine); }
  DIAG_END(d, st)
  if (st != WN_OK) device->foreign(d, isa, &rt->machine);
}

static void start(runtime *rt, diag *d, const char *spec, const char *isa, int asked,
                  bool looked_at) {
  const backend *b = rt->backend;
  isa = isa_for(b, isa);
  machine host;
  machine_of_cpu(&host, d, NULL);
  int threads = choose_threads(d, asked, host.units);
  if (b && b->device && asked > 0)
    diag_warn(d, "%s has compute units of its own: %d thread%s only for kernels that fall back",
              b->name, asked, asked == 1 ? " is" : "s are");
  if (b && b->device)
    open_device(rt, d, spec, isa, looked_at);
  else if (isa && !b)
    machine_look_at(&rt->machine, d, isa);
  else
    machine_of_cpu(&rt->machine, d, isa);
  rt->pool = pool_acquire(threads);
  if (!rt->pool) diag_fail(d, WN_ERR_NOMEM, "cannot start %d threads", threads);
}

static runtime *create(diag *d, const char *backend_name, const char *isa, int threads,
                       bool looked_at) {
  const char *spec;
  const backend *b = choose_backend(d, backend_name, &spec);
  runtime *rt = mem_alloc(sizeof *rt);
  if (!rt) diag_fail(d, WN_ERR_NOMEM, "out of memory while setting up a runtime");
  *rt = (runtime){.backend = b, .generation = fork_generation()};
  wn_status st;
  DIAG_TRY(d, st) { start(rt, d, spec, isa, threads, looked_at); }
  DIAG_END(d, st)
  if (st == WN_OK) return rt;
  char why[sizeof d->message];
  memcpy(why, d->message, sizeof why);
  runtime_destroy(rt);
  diag_fail(d, st, "%s", why);
}

runtime *runtime_create(diag *d, const char *name, const char *isa, int threads) {
  return create(d, name, isa, threads, false);
}

runtime *runtime_create_foreign(diag *d, const char *name, const char *isa, int threads) {
  return create(d, name, isa, threads, true);
}

bool runtime_is_here(const runtime *rt) {
  return rt->backend && (!rt->backend->device || rt->device);
}

bool runtime_is_orphan(const runtime *rt) {
  return rt->device && rt->generation != fork_generation();
}

void runtime_flush_subnormals(runtime *rt) { rt->flush = true; }
bool runtime_flushes(const runtime *rt) { return rt->flush; }

void runtime_destroy(runtime *rt) {
  if (!rt) return;
  pool_release(rt->pool);
  if (rt->device && !runtime_is_orphan(rt)) rt->backend->device->close(rt->device);
  mem_free_aligned(rt->scratch);
  mem_free(rt);
}

const char *runtime_backend(const runtime *rt) {
  return rt->backend ? rt->backend->name : "interp";
}
const machine *runtime_machine(const runtime *rt) { return &rt->machine; }
int runtime_threads(const runtime *rt) {
  return rt->device ? rt->machine.units : pool_threads(rt->pool);
}
int runtime_scratch_blocks(const runtime *rt) { return rt->device ? 0 : pool_threads(rt->pool); }

/* --- memory of a device ----------------------------------------------------------------------- */

bool runtime_has_device(const runtime *rt) { return rt->device != NULL; }

void *runtime_alloc(runtime *rt, size_t bytes) {
  return rt->backend->device->alloc(rt->device, bytes);
}

void runtime_free(runtime *rt, void *block) { rt->backend->device->free(rt->device, block); }

const char *runtime_write(runtime *rt, void *block, size_t offset, const void *from, size_t bytes) {
  return rt->backend->device->write(rt->device, block, offset, from, bytes);
}

const char *runtime_read(runtime *rt, void *block, size_t offset, void *to, size_t bytes) {
  return rt->backend->device->read(rt->device, block, offset, to, bytes);
}

const char *runtime_finish(runtime *rt) { return rt->backend->device->finish(rt->device); }

const char *runtime_capture(runtime *rt, const char *path) {
  const device_backend *device = rt->backend->device;
  if (device->capture) return device->capture(rt->device, path);
  return "the backend records nothing in a format of its own";
}

const char *runtime_stamp(runtime *rt, int stamp, double *seconds) {
  double from = 0, to = 0;
  const char *why = rt->backend->device->stamps(rt->device, stamp, &from, &to);
  *seconds = to - from;
  return why;
}

/* --- scratch ---------------------------------------------------------------------------------- */

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

/* Lines as the device's compiler reads them, else as C, on every CPU backend alike. */
static int lines_of(const runtime *rt, arena *scratch, const lin_kernel *k) {
  if (!rt->backend || !rt->backend->device) return render_c_lines(scratch, k);
  str text;
  str_init(&text, scratch);
  runtime_source(rt, k, &text);
  int lines = 0;
  for (size_t i = 0; i < text.len; i++) lines += text.data[i] == '\n';
  return lines;
}

const char *runtime_line_limit(const runtime *rt, arena *a, arena *scratch, const lin_kernel *k,
                               int max_lines, int *lines) {
  char text[32];
  int most = max_lines > 0 ? max_lines : DEFAULT_MAX_LINES;
  *lines = lines_of(rt, scratch, k);
  if (!rt->backend || *lines <= most) return NULL;
  return arena_printf(a, "%s lines, over --max-lines %d", with_commas(text, sizeof text, *lines),
                      most);
}

static void count_lines(module *m, int max_lines) {
  arena scratch;
  arena_init(&scratch, m->arena.diag);
  wn_status st;
  DIAG_TRY(m->arena.diag, st) {
    for (int i = 0; i < m->count; i++) {
      module_entry *e = &m->entries[i];
      e->state.fallback = runtime_line_limit(m->rt, &m->arena, &scratch, e->kernel, max_lines,
                                             &e->state.source_lines);
    }
  }
  DIAG_END(m->arena.diag, st)
  arena_release(&scratch);
  if (st != WN_OK) diag_fail(m->arena.diag, st, "out of memory while counting source lines");
}

static void take_native(module_entry *e, const backend_kernel *out) {
  e->fn = out->fn;
  if (!e->fn) e->state.fallback = out->error ? out->error : "did not compile";
}

static void take_device(module_entry *e, const device_kernel *out) {
  e->on_device = *out;
  e->state.note = out->note;
  if (!out->code) e->state.fallback = out->error ? out->error : "did not compile";
}

/* Hands the backend all kernels that are within the limit, as one unit. */
static void compile_native(module *m, struct store *cache) {
  diag *d = m->arena.diag;
  const backend *b = m->rt->backend;
  const lin_kernel **kernels = arena_array(&m->arena, const lin_kernel *, m->count + 1);
  backend_kernel *host = arena_array(&m->arena, backend_kernel, m->count + 1);
  device_kernel *device = arena_array(&m->arena, device_kernel, m->count + 1);
  int *entry = arena_array(&m->arena, int, m->count + 1), n = 0;
  for (int i = 0; i < m->count; i++) {
    if (m->entries[i].state.fallback) continue;
    entry[n] = i;
    kernels[n++] = m->entries[i].kernel;
  }
  if (n == 0) return;
  m->handle = b->device
                  ? b->device->compile(m->rt->device, &m->arena, d, n, kernels, m->rt->flush,
                                       device, cache, &m->cached)
                  : b->compile(&m->arena, d, &m->rt->machine, n, kernels, host, cache, &m->cached);
  for (int i = 0; i < n; i++) {
    if (b->device)
      take_device(&m->entries[entry[i]], &device[i]);
    else
      take_native(&m->entries[entry[i]], &host[i]);
  }
}

static void compile_entries(module *m, int count, const lin_kernel *const *kernels,
                            const compile_options *options) {
  diag *d = m->arena.diag;
  m->entries = arena_array(&m->arena, module_entry, count + 1);
  m->count = count;
  for (int i = 0; i < count; i++)
    m->entries[i] = (module_entry){.kernel = kernels[i], .registers = -1, .spills = -1};
  count_lines(m, options ? options->max_lines : 0);
  if (runtime_is_here(m->rt)) compile_native(m, options ? options->store : NULL);
  size_t scratch = 0;
  for (int i = 0; i < count; i++) {
    module_entry *e = &m->entries[i];
    if (e->on_device.code) continue; /* its scratch is the device's */
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
  signals_held held; /* compilers, and the drivers of devices, write files */
  signals_hold(&held);
  DIAG_TRY(d, st) { compile_entries(m, count, kernels, options); }
  DIAG_END(d, st)
  signals_free(&held);
  if (st == WN_OK) return m;
  char why[sizeof d->message];
  memcpy(why, d->message, sizeof why);
  module_destroy(m);
  diag_fail(d, st, "%s", why);
}

void module_destroy(module *m) {
  if (!m) return;
  const backend *b = m->rt->backend;
  if (m->handle && b->device && !runtime_is_orphan(m->rt)) b->device->release(m->handle);
  if (m->handle && !b->device) b->release(m->handle);
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
  e->assembly = b->assembly(m->handle, &m->arena, &m->rt->machine, e->kernel->name, &e->registers,
                            &e->spills);
  e->read_back = true;
  return e;
}

const char *module_assembly(module *m, int index) { return read_back(m, index)->assembly; }

void module_registers(module *m, int index, int *registers, int *spills) {
  const module_entry *e = read_back(m, index);
  *registers = e->on_device.code ? e->on_device.registers : e->registers;
  *spills = e->on_device.code ? e->on_device.spills : e->spills;
}

bool module_cached(const module *m) { return m->cached; }

void runtime_source(const runtime *rt, const lin_kernel *k, str *out) {
  const backend *b = rt->backend;
  if (b && b->device)
    b->device->render(out, k);
  else
    render_c(out, k);
}

/* --- launching -------------------------------------------------------------------------------- */

typedef struct launch {
  const runtime *rt;
  const module_entry *entry;
  void *const *args;
} launch;

bool runtime_begin(runtime *rt) {
  bool whole = pool_begin(rt->pool);
  rt->callers = fp_read();
  fp_write(fp_default(rt->flush));
  return whole;
}

void runtime_end(runtime *rt) {
  fp_write(rt->callers);
  pool_end(rt->pool);
}

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

const char *module_queue(module *m, int index, const device_arg *args, int64_t begin, int64_t end,
                         int stamp) {
  WN_CHECK(index >= 0 && index < m->count, "module has no kernel %d", index);
  const module_entry *e = &m->entries[index];
  WN_CHECK(e->on_device.code, "kernel %s is not on the device", e->kernel->name);
  if (begin >= end) return NULL;
  return m->rt->backend->device->launch(m->rt->device, &e->on_device, args, begin, end, stamp);
}
