/* Modules: kernels that were compiled, and launching them.
 *
 * In: linear kernels. Out: modules whose kernels run, compiled or interpreted.
 * Always holds: whatever fails in a backend leaves a kernel that runs in the interpreter and says why; blocks are
 * independent, so which thread runs which changes nothing; a launch writes nothing into the module, so that several
 * runtimes may launch it. */
#include "backend/runtime.h"

#include <stdio.h>

#include "base/map.h"
#include "base/signals.h"
#include "backend/mirror.h"
#include "backend/registry.h"
#include "nest/nest.h"
#include "store/kernel_key.h"

enum { DEFAULT_MAX_LINES = 2000 };

typedef struct module_entry {
  const lin_kernel *kernel;
  backend_kernel compiled;    /* without code: interpreted */
  backend_kernel interpreted; /* then by the reference */
  kernel_state state;
  bool read_back;       /* the one below is known */
  const char *assembly; /* or NULL */
} module_entry;

struct module {
  runtime *rt; /* that compiled it */
  arena arena;
  int count;
  module_entry *entries;
  void *handle;        /* of the backend */
  void *reference;     /* of the interpreter */
  size_t scratch;      /* bytes that a thread of the host needs */
  int nargs;           /* of the kernel that has the most */
  int side, side_args; /* as compile_options has them */
  bool cached;
};

/* --- lines ------------------------------------------------------------------------------------ */

/* 2471 as "2,471". */
static const char *with_commas(char *out, size_t size, int n) {
  char digits[16];
  int len = snprintf(digits, sizeof digits, "%d", n);
  size_t at = 0;
  for (int i = 0; i < len && at + 2 < size; ++i) {
    if (i > 0 && (len - i) % 3 == 0) out[at++] = ',';
    out[at++] = digits[i];
  }
  out[at] = 0;
  return out;
}

void runtime_source(const runtime *rt, const lin_kernel *k, str *out) {
  rt->backend->render(out, k);
}

const char *runtime_line_limit(const runtime *rt, arena *a, arena *scratch, const lin_kernel *k,
                               int max_lines, int *lines) {
  char number[32];
  int most = max_lines > 0 ? max_lines : DEFAULT_MAX_LINES;
  str text;
  str_init(&text, scratch);
  runtime_source(rt, k, &text);
  *lines = 0;
  for (size_t i = 0; i < text.len; ++i) *lines += text.data[i] == '\n';
  if (rt->backend->reference || *lines <= most) return NULL;
  return arena_printf(a, "%s lines, over --max-lines %d",
                      with_commas(number, sizeof number, *lines), most);
}

static void count_lines(module *m, int max_lines) {
  arena scratch;
  arena_init(&scratch, m->arena.diag);
  wn_status st;
  DIAG_TRY(m->arena.diag, st) {
    for (int i = 0; i < m->count; ++i) {
      module_entry *e = &m->entries[i];
      e->state.fallback = runtime_line_limit(m->rt, &m->arena, &scratch, e->kernel, max_lines,
                                             &e->state.source_lines);
    }
  }
  DIAG_END(m->arena.diag, st)
  arena_release(&scratch);
  if (st != WN_OK) diag_fail(m->arena.diag, st, "out of memory while counting source lines");
}

/* --- compiling -------------------------------------------------------------------------------- */

/* At 100 flops and 20 bytes a nanosecond: two times the launch of workers that spin, and the waking of those that
 * sleep. */
static const double WORTH_SHARING = 4e5, WORTH_WAKING = 4e6, FLOPS_A_BYTE = 5;

/* Of a block: sums of blocks are to be numbers still. */
static const double MOST_COST = 1 << 30;

/* Blocks that do so much. */
static int64_t blocks_for(const lin_kernel *k, double work) {
  double of_all = k->flops + FLOPS_A_BYTE * k->bytes;
  double blocks = of_all > 0 ? work * (double)k->grid / of_all : (double)INT64_MAX;
  if (blocks >= (double)k->grid + 1) return INT64_MAX;
  int64_t whole = (int64_t)blocks;
  return (double)whole < blocks ? whole + 1 : whole;
}

/* What the runtime knows of a kernel before any compiler; interpreted blocks are always worth a thread. */
static backend_kernel before_compile(const lin_kernel *k, bool interpreted) {
  backend_kernel b = {.registers = -1, .spills = -1};
  for (size_t i = 0; i < k->arrays.len; ++i) {
    const lin_array *a = &k->arrays.data[i];
    if (a->space == SPACE_GLOBAL && a->slot >= b.nargs) b.nargs = a->slot + 1;
  }
  double cost = k->grid > 0 ? (k->flops + FLOPS_A_BYTE * k->bytes) / (double)k->grid : 0;
  b.cost = cost > 1 ? (int64_t)(cost < MOST_COST ? cost : MOST_COST) : 1;
  if (interpreted) return b;
  b.share = blocks_for(k, WORTH_SHARING);
  b.wake = blocks_for(k, WORTH_WAKING);
  return b;
}

static backend_job job_for(module *m, int count, struct store *cache) {
  arena *a = &m->arena;
  return (backend_job){.a = a,
                       .d = a->diag,
                       .target = &m->rt->machine,
                       .flush = m->rt->flush,
                       .threads = pool_threads(m->rt->host.pool),
                       .count = count,
                       .out = arena_array(a, backend_kernel, count + 1),
                       .cache = cache};
}

typedef struct distinct { /* kernels that are the same but for their names, once */
  const lin_kernel **kernel;
  str *key;
  int *of; /* the number of each of the module's kernels, -1: not to be compiled */
  int count;
} distinct;

/* The number of the kernel with this key, or a new one. */
static int number_of(distinct *u, map *known, const str *key) {
  uint64_t hash = hash_bytes(key->data, key->len, 0) >> 1, at; /* no MAP_NONE */
  while (map_get(known, hash, &at)) {
    const str *other = &u->key[at];
    if (other->len == key->len && memcmp(other->data, key->data, key->len) == 0) return (int)at;
    ++hash; /* another one with the same hash is further on */
  }
  map_put(known, hash, (uint64_t)u->count);
  return u->count++;
}

static distinct find_distinct(const module *m, arena *scratch) {
  distinct u = {.kernel = arena_array(scratch, const lin_kernel *, m->count + 1),
                .key = arena_array(scratch, str, m->count + 1),
                .of = arena_array(scratch, int, m->count + 1)};
  map known;
  map_init(&known, scratch);
  for (int i = 0; i < m->count; ++i) {
    const module_entry *e = &m->entries[i];
    u.of[i] = -1;
    if (e->state.fallback != NULL) continue;
    str key;
    str_init(&key, scratch);
    kernel_key_add(&key, e->kernel);
    int before = u.count, number = u.of[i] = number_of(&u, &known, &key);
    if (number < before) continue;
    u.kernel[number] = e->kernel;
    u.key[number] = key;
  }
  return u;
}

static void compile_distinct(module *m, arena *scratch, const compile_options *o) {
  distinct u = find_distinct(m, scratch);
  if (u.count == 0) return;
  backend_job job = job_for(m, u.count, o != NULL ? o->store : NULL);
  if (o != NULL) job.progress = o->progress;
  job.kernels = u.kernel;
  job.keys = u.key;
  for (int i = 0; i < u.count; ++i) {
    job.out[i] = before_compile(u.kernel[i], m->rt->backend->reference);
    job.out[i].symbol = kernel_symbol(&m->arena, &u.key[i]);
  }
  m->handle = m->rt->backend->compile(m->rt->device, &job);
  m->cached = job.cached;
  for (int i = 0; i < m->count; ++i) {
    module_entry *e = &m->entries[i];
    if (u.of[i] < 0) continue;
    e->compiled = job.out[u.of[i]];
    e->state.note = e->compiled.note;
    if (e->compiled.code == NULL)
      e->state.fallback = e->compiled.error != NULL ? e->compiled.error : "did not compile";
  }
}

static void compile_native(module *m, const compile_options *o) {
  if (m->rt->device == NULL) return; /* looked at alone */
  diag *d = m->arena.diag;
  arena scratch;
  arena_init(&scratch, d);
  wn_status st;
  DIAG_TRY(d, st) { compile_distinct(m, &scratch, o); }
  DIAG_END(d, st)
  arena_release(&scratch);
  if (st != WN_OK) diag_again(d);
}

/* What has no code. */
static void compile_for_reference(module *m) {
  arena *a = &m->arena;
  const lin_kernel **kernels = arena_array(a, const lin_kernel *, m->count + 1);
  int *entry = arena_array(a, int, m->count + 1), n = 0;
  for (int i = 0; i < m->count; ++i) {
    if (m->entries[i].compiled.code != NULL) continue;
    entry[n] = i;
    kernels[n++] = m->entries[i].kernel;
  }
  if (n == 0) return;
  backend_job job = job_for(m, n, NULL);
  job.kernels = kernels;
  for (int i = 0; i < n; ++i) job.out[i] = before_compile(kernels[i], true);
  m->reference = registry_reference()->compile(&m->rt->host, &job);
  for (int i = 0; i < n; ++i) m->entries[entry[i]].interpreted = job.out[i];
}

static void find_needs(module *m) {
  for (int i = 0; i < m->count; ++i) {
    const module_entry *e = &m->entries[i];
    const backend_kernel *k = e->compiled.code != NULL ? &e->compiled : &e->interpreted;
    if (k->scratch > m->scratch) m->scratch = k->scratch;
    if (k->nargs > m->nargs) m->nargs = k->nargs;
  }
}

static void compile_entries(module *m, int count, const lin_kernel *const *kernels,
                            const compile_options *options) {
  diag *d = m->arena.diag;
  m->entries = arena_array(&m->arena, module_entry, count + 1);
  m->count = count;
  for (int i = 0; i < count; ++i) {
    m->entries[i].kernel = kernels[i];
    m->entries[i].compiled = before_compile(kernels[i], false);
  }
  count_lines(m, options != NULL ? options->max_lines : 0);
  compile_native(m, options);
  compile_for_reference(m);
  find_needs(m);
  if (options != NULL) m->side = options->side, m->side_args = options->side_args;
  runtime_reserve(m->rt, d, m);
  for (int i = 0; i < count; ++i) {
    if (m->entries[i].state.fallback != NULL)
      diag_warn(d, "kernel %s runs in the interpreter: %s", kernels[i]->name,
                m->entries[i].state.fallback);
  }
}

module *module_compile(runtime *rt, diag *d, int count, const lin_kernel *const *kernels,
                       const compile_options *options) {
  module *m = mem_alloc(sizeof *m);
  if (m == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while compiling kernels");
  *m = (module){.rt = rt};
  arena_init(&m->arena, d);
  wn_status st;
  signals_held held; /* compilers, and the drivers of devices, write files */
  signals_hold(&held);
  DIAG_TRY(d, st) { compile_entries(m, count, kernels, options); }
  DIAG_END(d, st)
  signals_free(&held);
  if (st == WN_OK) return m;
  module_destroy(m);
  diag_again(d);
}

void module_destroy(module *m) {
  if (m == NULL) return;
  if (m->handle != NULL && !runtime_is_orphan(m->rt)) m->rt->backend->release(m->handle);
  registry_reference()->release(m->reference);
  arena_release(&m->arena);
  mem_free(m);
}

static void reserve_args(runtime *rt, diag *d, int nargs) {
  if (nargs <= rt->room) return;
  device_arg *args = mem_alloc((size_t)nargs * sizeof *args), *old_args = rt->args;
  mirror_part *parts = mem_alloc((size_t)nargs * sizeof *parts), *old_parts = rt->parts;
  if (args == NULL || parts == NULL) {
    mem_free(args);
    mem_free(parts);
    diag_fail(d, WN_ERR_NOMEM, "out of memory for arguments of kernels");
  }
  if (old_args != NULL) pool_begin(rt->host.pool); /* another module may be running */
  rt->args = args;
  rt->parts = parts;
  rt->room = nargs;
  if (old_args != NULL) pool_end(rt->host.pool);
  mem_free(old_args);
  mem_free(old_parts);
}

void runtime_reserve(runtime *rt, diag *d, const module *m) {
  host_reserve(&rt->host, d, m->scratch, m->nargs);
  host_reserve_side(&rt->host, d, m->side, m->side_args);
  if (runtime_has_device(rt)) reserve_args(rt, d, m->nargs);
}

/* --- what was compiled ------------------------------------------------------------------------ */

static module_entry *entry_of(const module *m, int index) {
  WN_CHECK(index >= 0 && index < m->count, "module has no kernel %d", index);
  return &m->entries[index];
}

kernel_state module_kernel(const module *m, int index) { return entry_of(m, index)->state; }

static const module_entry *read_back(module *m, int index) {
  module_entry *e = entry_of(m, index);
  const backend *b = m->rt->backend;
  if (e->read_back || e->compiled.code == NULL || b->assembly == NULL) return e;
  e->assembly = b->assembly(m->handle, &m->arena, &m->rt->machine, e->compiled.symbol,
                            &e->compiled.registers, &e->compiled.spills);
  e->read_back = true;
  return e;
}

const char *module_assembly(module *m, int index) { return read_back(m, index)->assembly; }

void module_registers(module *m, int index, int *registers, int *spills) {
  const module_entry *e = read_back(m, index);
  *registers = e->compiled.registers;
  *spills = e->compiled.spills;
}

bool module_cached(const module *m) { return m->cached; }

/* --- launching -------------------------------------------------------------------------------- */

/* The backend has its own blocks. */
static const char *launch_on_device(runtime *rt, const backend_kernel *k, const device_arg *args,
                                    int64_t begin, int64_t end, int stamp) {
  for (int i = 0; i < k->nargs; ++i) {
    const device_block *b = args[i].block;
    rt->args[i] = (device_arg){b != NULL ? b->block : NULL, args[i].offset};
  }
  if (stamp >= 0) host_forget_stamp(&rt->host, stamp);
  return rt->backend->launch(rt->device, k, rt->args, begin, end, stamp);
}

const char *module_launch(runtime *rt, module *m, int index, const device_arg *args, int64_t begin,
                          int64_t end, int stamp) {
  const module_entry *e = entry_of(m, index);
  bool in_place = rt->backend->in_place;
  if (begin >= end) return NULL;
  if (e->compiled.code != NULL)
    return in_place ? rt->backend->launch(rt->device, &e->compiled, args, begin, end, stamp)
                    : launch_on_device(rt, &e->compiled, args, begin, end, stamp);
  const backend *on = registry_reference();
  return in_place ? on->launch(&rt->host, &e->interpreted, args, begin, end, stamp)
                  : mirror_launch(rt, on, e->kernel, &e->interpreted, args, begin, end, stamp);
}

/* Compiled or not: who runs its blocks. */
static host_call call_of(const module *m, const backend *b, const module_call *c) {
  const module_entry *e = entry_of(m, c->index);
  const bool compiled = e->compiled.code != NULL;
  return (host_call){.blocks = compiled ? b->blocks : registry_reference()->blocks,
                     .kernel = compiled ? &e->compiled : &e->interpreted,
                     .args = c->args,
                     .begin = c->begin,
                     .end = c->end};
}

const char *module_launch_together(runtime *rt, module *m, const module_call *calls, int count) {
  const backend *b = rt->backend;
  const char *why = NULL;
  if (b->in_place && b->blocks != NULL) {
    host_call together[MOST_SIDE];
    WN_CHECK(count <= MOST_SIDE, "%d launches side by side", count);
    for (int i = 0; i < count; ++i) together[i] = call_of(m, b, &calls[i]);
    host_share_together(&rt->host, together, count);
    return NULL;
  }
  for (int i = 0; i < count && why == NULL; ++i)
    why = module_launch(rt, m, calls[i].index, calls[i].args, calls[i].begin, calls[i].end, -1);
  return why;
}
