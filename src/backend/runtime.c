/* Runtimes: a backend's device, this CPU's threads, and memory.
 *
 * In: names and numbers of the user's. Out: something that compiles, keeps arrays and launches (module.c).
 * Always holds: every runtime has a host; it is the backend's device where kernels run on this CPU. In a child process
 * of fork() a device is left alone. */
#include "backend/runtime.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fork.h"
#include "backend/mirror.h"
#include "backend/registry.h"

enum { MAX_THREADS = 1024 };

/* --- threads ---------------------------------------------------------------------------------- */

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
  if (text == NULL || *text == '\0') return cores < MAX_THREADS ? cores : MAX_THREADS;
  char *rest;
  errno = 0;
  long n = strtol(text, &rest, 10);
  if (errno || *rest || n < 1 || n > MAX_THREADS)
    diag_fail(d, WN_ERR_USAGE, "WINNOW_THREADS must be a whole number from 1 to %d, not '%s'",
              MAX_THREADS, text);
  return at_most(d, (int)n, cores);
}

/* --- opening ---------------------------------------------------------------------------------- */

typedef struct opening { /* what was asked for */
  const char *spec, *isa;
  int threads;
  bool looked_at;
} opening;

/* $WINNOW_ISA speaks to the backends that have it: a CPU's instruction set is none of a device's, nor the reverse. What
 * none has is a mistake that any of them tells. */
static const char *isa_for(const backend *b, const char *asked) {
  const char *env = getenv("WINNOW_ISA");
  if (asked != NULL || env == NULL || *env == '\0') return asked;
  return registry_knows_isa(b, env) || !registry_knows_isa(NULL, env) ? env : NULL;
}

static char *keep(diag *d, const char *text) {
  if (text == NULL) return NULL;
  size_t size = strlen(text) + 1;
  char *copy = mem_alloc(size);
  if (copy == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while setting up a runtime");
  return memcpy(copy, text, size);
}

/* Where kernels are only looked at a typical device stands for one that is not there. */
static void open_device(runtime *rt, diag *d, const opening *o) {
  const backend *b = rt->backend;
  const char *isa = isa_for(b, o->isa);
  volatile wn_status st;
  if (!o->looked_at || b->typical == NULL || o->spec != NULL) {
    rt->device = b->open(d, &rt->host, rt->spec, isa, &rt->machine);
    return;
  }
  DIAG_TRY(d, st) { rt->device = b->open(d, &rt->host, NULL, isa, &rt->machine); }
  DIAG_END(d, st)
  if (st != WN_OK) b->typical(d, isa, &rt->machine);
}

static void start(runtime *rt, diag *d, const opening *o) {
  rt->spec = keep(d, o->spec);
  machine here;
  machine_of_cpu(&here, d, NULL);
  int threads = choose_threads(d, o->threads, here.units);
  if (!rt->backend->in_place && o->threads > 0)
    diag_warn(d, "%s has compute units of its own: %d thread%s only for kernels that fall back",
              rt->backend->name, o->threads, o->threads == 1 ? " is" : "s are");
  open_device(rt, d, o);
  rt->host.pool = pool_acquire(threads);
  if (rt->host.pool == NULL) diag_fail(d, WN_ERR_NOMEM, "cannot start %d threads", threads);
}

static runtime *create(diag *d, const backend *b, const opening *o) {
  runtime *rt = mem_alloc(sizeof *rt);
  if (rt == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while setting up a runtime");
  *rt = (runtime){.backend = b, .generation = fork_generation()};
  wn_status st;
  DIAG_TRY(d, st) { start(rt, d, o); }
  DIAG_END(d, st)
  if (st == WN_OK) return rt;
  runtime_destroy(rt);
  diag_again(d);
}

runtime *runtime_create(diag *d, const char *name, const char *isa, int threads) {
  opening o = {.isa = isa, .threads = threads};
  const backend *b = registry_choose(d, name, &o.spec);
  return create(d, b, &o);
}

runtime *runtime_create_foreign(diag *d, const char *name, const char *isa, int threads) {
  opening o = {.isa = isa, .threads = threads, .looked_at = true};
  const backend *b = registry_choose(d, name, &o.spec);
  return create(d, b, &o);
}

runtime *runtime_create_like(diag *d, const runtime *rt) {
  int threads = rt->backend->in_place ? pool_threads(rt->host.pool) : 0;
  opening o = {.spec = rt->spec, .isa = rt->machine.name, .threads = threads};
  runtime *made = create(d, rt->backend, &o);
  made->flush = rt->flush;
  return made;
}

void runtime_destroy(runtime *rt) {
  if (rt == NULL) return;
  if (rt->device != NULL && !runtime_is_orphan(rt)) rt->backend->close(rt->device);
  pool_release(rt->host.pool);
  host_close(&rt->host);
  mem_free_aligned(rt->mirror);
  mem_free(rt->parts);
  mem_free(rt->args);
  mem_free(rt->spec);
  mem_free(rt);
}

/* --- what it is ------------------------------------------------------------------------------- */

bool runtime_in_place(const runtime *rt) { return rt->backend->in_place; }

bool runtime_has_device(const runtime *rt) { return rt->device != NULL && !rt->backend->in_place; }

bool runtime_is_here(const runtime *rt) { return rt->device != NULL && !rt->backend->reference; }

bool runtime_is_reference(const runtime *rt) { return rt->backend->reference; }

bool runtime_is_orphan(const runtime *rt) {
  return runtime_has_device(rt) && rt->generation != fork_generation();
}

void runtime_flush_subnormals(runtime *rt) { rt->flush = true; }

bool runtime_flushes(const runtime *rt) { return rt->flush; }

const char *runtime_backend(const runtime *rt) { return rt->backend->name; }

const machine *runtime_machine(const runtime *rt) { return &rt->machine; }

int runtime_threads(const runtime *rt) {
  return runtime_has_device(rt) ? rt->machine.units : pool_threads(rt->host.pool);
}

int runtime_scratch_blocks(const runtime *rt) {
  return runtime_has_device(rt) ? 0 : pool_threads(rt->host.pool);
}

int runtime_devices(diag *d, arena *a, const char *name, const device_info **out,
                    const char **why) {
  const char *spec;
  const backend_row *row = registry_find(name, &spec);
  WN_CHECK(row != NULL && row->backend->list != NULL, "%s is no backend of devices", name);
  return row->backend->list(d, a, out, why);
}

bool runtime_begin(runtime *rt) {
  bool whole = pool_begin(rt->host.pool);
  rt->callers = fp_read();
  fp_write(fp_default(rt->flush));
  return whole;
}

void runtime_end(runtime *rt) {
  fp_write(rt->callers);
  pool_end(rt->host.pool);
}

/* --- memory ----------------------------------------------------------------------------------- */

void *runtime_alloc(runtime *rt, size_t bytes) {
  if (rt->backend->in_place) return rt->backend->alloc(rt->device, bytes);
  device_block *made = mem_alloc(sizeof *made);
  if (made == NULL) return NULL;
  *made = (device_block){rt->backend->alloc(rt->device, bytes), bytes};
  if (made->block != NULL) return made;
  mem_free(made);
  return NULL;
}

void runtime_free(runtime *rt, void *block) {
  device_block *made = block;
  if (block == NULL) return;
  if (rt->backend->in_place) {
    rt->backend->free(rt->device, block);
    return;
  }
  if (!runtime_is_orphan(rt)) rt->backend->free(rt->device, made->block);
  mem_free(made);
}

/* The backend's own. */
static void *block_of(const runtime *rt, void *block) {
  return rt->backend->in_place ? block : ((const device_block *)block)->block;
}

const char *runtime_write(runtime *rt, void *block, size_t offset, const void *from, size_t bytes) {
  return rt->backend->write(rt->device, block_of(rt, block), offset, from, bytes);
}

const char *runtime_read(runtime *rt, void *block, size_t offset, void *to, size_t bytes) {
  return rt->backend->read(rt->device, block_of(rt, block), offset, to, bytes);
}

const char *runtime_finish(runtime *rt) { return rt->backend->finish(rt->device); }

const char *runtime_capture(runtime *rt, const char *path) {
  if (rt->backend->capture != NULL) return rt->backend->capture(rt->device, path);
  return "the backend records nothing in a format of its own";
}

const char *runtime_stamp(runtime *rt, int stamp, double *seconds) {
  double from = 0, to = 0;
  const char *why = host_has_stamp(&rt->host, stamp)
                        ? host_stamps(&rt->host, stamp, &from, &to)
                        : rt->backend->stamps(rt->device, stamp, &from, &to);
  *seconds = to - from;
  return why;
}
