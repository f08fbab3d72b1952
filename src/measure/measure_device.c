/* Measuring and keeping the limits of a device; see measure_device.h.
 *
 * The rule for measuring is that of measure.c: so many groups that a launch takes a while, then the best of several
 * launches, by the device's own clock. The cost of a launch is the host's time, since that is who pays it. Memory's
 * bandwidth is that of arrays far larger than all caches, the last cache's that of an array of half its size. GPUs tell
 * the size of some other cache, if of any: theirs is the largest array that is read nearer to the rate of a small one
 * than to that of the largest. */
#include "measure/measure_device.h"

#include <math.h>
#include <time.h>

enum { ROUNDS = 3, REPEATS = 4, QUEUED = 500, ALONE = 50, STEP_FLOATS = 64, SIZES = 12 };
static const double LEAST_TIME = 4e-3; /* seconds of a launch */
static const size_t LEAST_BYTES = (size_t)64 << 20, MOST_BYTES = (size_t)512 << 20;
/* Of a GPU: more than what is next to its units keeps of it. */
static const size_t LEAST_CACHE = (size_t)4 << 20;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- measuring -------------------------------------------------------------------------------- */

typedef struct bench {
  diag *d;
  runtime *rt;
  const machine *target;
  module *module;
  probe_kernel probe[PROBES], larger[SIZES]; /* larger: PROBE_CACHE of twice as many bytes each */
  int sizes;
  void *memory, *other, *out; /* arrays: the large ones, and what is never written */
  size_t bytes, cache_bytes;  /* of a large one; of what is read from the cache */
} bench;

static void expect(bench *b, const char *error) {
  if (error != NULL) diag_fail(b->d, WN_ERR_DEVICE, "measuring the device: %s", error);
}

static size_t power_below(size_t bytes) {
  size_t power = 1;
  while (power <= bytes / 2) power *= 2;
  return power;
}

static void compile_probes(bench *b, arena *a) {
  const lin_kernel *kernels[PROBES + SIZES];
  for (int i = 0; i < PROBES; ++i) {
    size_t bytes = i == PROBE_CACHE ? b->cache_bytes : b->bytes;
    b->probe[i] = device_probe_kernel(a, (device_probe)i, b->target, bytes);
    kernels[i] = b->probe[i].kernel;
  }
  for (size_t bytes = 2 * b->cache_bytes; b->target->group > 0 && bytes <= b->bytes; bytes *= 2) {
    if (b->sizes == SIZES) break;
    b->larger[b->sizes] = device_probe_kernel(a, PROBE_CACHE, b->target, bytes);
    kernels[PROBES + b->sizes] = b->larger[b->sizes].kernel;
    ++b->sizes;
  }
  b->module = module_compile(b->rt, b->d, PROBES + b->sizes, kernels, NULL);
  for (int i = 0; i < PROBES + b->sizes; ++i) {
    const char *why = module_kernel(b->module, i).fallback;
    if (why != NULL)
      diag_fail(b->d, WN_ERR_DEVICE, "measuring the device: %s: %s", kernels[i]->name, why);
  }
}

/* The array that is read, and the one that is written. A GPU is through with a small one before it has begun. */
static void allocate(bench *b) {
  const machine *t = b->target;
  size_t most = t->memory > 0 && t->memory / 16 < MOST_BYTES ? t->memory / 16 : MOST_BYTES;
  size_t wanted = 4 * t->l3 > LEAST_BYTES ? 4 * t->l3 : LEAST_BYTES;
  if (t->group > 0 || wanted > most) wanted = most;
  for (b->bytes = power_below(wanted); b->bytes >= (size_t)1 << 20; b->bytes /= 2) {
    b->memory = runtime_alloc(b->rt, b->bytes);
    b->other = b->memory != NULL ? runtime_alloc(b->rt, b->bytes) : NULL;
    if (b->other != NULL) break;
    runtime_free(b->rt, b->memory);
    b->memory = NULL;
  }
  b->out = runtime_alloc(b->rt, PROBE_OUT_BYTES);
  if (b->other == NULL || b->out == NULL)
    diag_fail(b->d, WN_ERR_NOMEM, "no memory to measure the device with");
  size_t least = t->group > 0 ? LEAST_CACHE : (size_t)1 << 16;
  size_t cache = power_below(t->l3 / 2 > least ? t->l3 / 2 : least);
  b->cache_bytes = cache < b->bytes ? cache : b->bytes;
}

static const char *queue(bench *b, int index, int64_t groups, int stamp) {
  device_arg args[2] = {{.block = b->memory}, {.block = index == PROBE_COPY ? b->other : b->out}};
  return module_launch(b->rt, b->module, index, args, 0, groups, stamp);
}

static double time_launch(bench *b, int index, int64_t groups) {
  double seconds = 0;
  expect(b, queue(b, index, groups, 0));
  expect(b, runtime_finish(b->rt));
  expect(b, runtime_stamp(b->rt, 0, &seconds));
  return seconds;
}

/* Operations or bytes a second. What a kernel takes from slot 0 was written before. */
static double rate_of(bench *b, int index) {
  const probe_kernel *p = index < PROBES ? &b->probe[index] : &b->larger[index - PROBES];
  int64_t full = p->kernel->group > 0 ? b->target->items / p->kernel->group : b->target->units;
  int64_t groups = index == PROBE_COPY || full > p->groups ? p->groups : full > 1 ? full : 1;
  while (time_launch(b, index, groups) < LEAST_TIME && 2 * groups <= p->groups) groups *= 2;
  double best = INFINITY;
  for (int i = 0; i < REPEATS; ++i) best = fmin(best, time_launch(b, index, groups));
  return p->work * (double)groups / fmax(best, 1e-9);
}

static void measure_cache(bench *b, device_rates *m) {
  double rate[SIZES + 1] = {rate_of(b, PROBE_CACHE)};
  for (int i = 0; i < b->sizes; ++i) rate[i + 1] = rate_of(b, (int)PROBES + i);
  m->cache = fmax(m->cache, rate[0]);
  double between = sqrt(rate[0] * rate[b->sizes]);
  if (b->sizes == 0 || rate[b->sizes] > 0.8 * rate[0]) return; /* no cache is to be seen */
  for (int i = 0; i <= b->sizes && rate[i] >= between; ++i)
    m->cache_bytes = fmax(m->cache_bytes, (double)(b->cache_bytes << i));
}

static void measure_rates(bench *b, device_rates *m) {
  static const float factor_and_summand[2] = {1, 0};
  static const int32_t step = STEP_FLOATS;
  expect(b, runtime_write(b->rt, b->memory, 0, factor_and_summand, sizeof factor_and_summand));
  m->flops = fmax(m->flops, rate_of(b, PROBE_FMA));
  m->copy = fmax(m->copy, rate_of(b, PROBE_COPY));
  measure_cache(b, m);
  expect(b, runtime_write(b->rt, b->memory, 0, &step, sizeof step));
  m->local = fmax(m->local, rate_of(b, PROBE_LOCAL));
}

static double time_queue(bench *b, int launches) {
  double start = now_s();
  for (int i = 0; i < launches; ++i) expect(b, queue(b, PROBE_EMPTY, 1, -1));
  expect(b, runtime_finish(b->rt));
  return now_s() - start;
}

static void measure_launches(bench *b, device_rates *m) {
  time_queue(b, 1);
  m->launch = fmin(m->launch, time_queue(b, QUEUED) / (int)QUEUED);
  double all = 0;
  for (int i = 0; i < ALONE; ++i) all += time_queue(b, 1);
  m->alone = fmin(m->alone, all / (int)ALONE);
}

static void measure(bench *b, arena *a, device_rates *out) {
  *out =
      (device_rates){.cache_bytes = (double)b->target->l3, .launch = INFINITY, .alone = INFINITY};
  allocate(b);
  compile_probes(b, a);
  for (int i = 0; i < ROUNDS; ++i) {
    measure_rates(b, out);
    measure_launches(b, out);
  }
}

void device_measure(diag *d, runtime *rt, device_rates *out) {
  bench b = {.d = d, .rt = rt, .target = runtime_machine(rt)};
  arena a;
  arena_init(&a, d);
  runtime_begin(rt);
  wn_status st;
  DIAG_TRY(d, st) { measure(&b, &a, out); }
  DIAG_END(d, st)
  char why[sizeof d->message];
  memcpy(why, d->message, sizeof why);
  if (b.module != NULL) module_destroy(b.module);
  runtime_free(rt, b.memory);
  runtime_free(rt, b.other);
  runtime_free(rt, b.out);
  runtime_end(rt);
  arena_release(&a);
  if (st != WN_OK) diag_fail(d, st, "%s", why);
}

/* --- keeping ---------------------------------------------------------------------------------- */

const char *device_key(arena *a, const char *backend, const machine *t) {
  return arena_printf(a, "device %s\nmodel %s\ndriver %s\nversion %s\nunits %d\nmemory %zu\n",
                      backend, t->model, t->driver, t->version, t->units, t->memory);
}

bool device_store(store *s, arena *a, const char *backend, const machine *target,
                  const device_rates *m) {
  if (s == NULL) return false;
  const char *key = device_key(a, backend, target);
  return store_put(s, STORE_MACHINE, key, strlen(key), m, sizeof *m);
}

static bool between(double x, double low, double high) { return x >= low && x <= high; }

static bool makes_sense(const device_rates *m) {
  return between(m->flops, 1e8, 1e16) && between(m->copy, 1e7, 1e15) &&
         between(m->local, 1e7, 1e17) && between(m->cache, 1e7, 1e16) &&
         between(m->cache_bytes, 1 << 10, 1e11) && between(m->launch, 1e-9, 0.1) &&
         between(m->alone, 1e-9, 1);
}

bool device_load(store *s, arena *a, const char *backend, const machine *target,
                 device_rates *out) {
  if (s == NULL) return false;
  size_t size = 0;
  const char *key = device_key(a, backend, target);
  const device_rates *m = store_get(s, a, STORE_MACHINE, key, strlen(key), &size);
  if (m == NULL) return false;
  if (size != sizeof *m || !makes_sense(m)) {
    diag_warn(a->diag,
              "the limits of this device that are stored make no sense and are ignored; "
              "`winnow devices --measure` measures them again");
    return false;
  }
  *out = *m;
  return true;
}

/* --- for the model ---------------------------------------------------------------------------- */

machine_limits machine_limits_of(store *s, arena *a, const runtime *rt) {
  const machine *target = runtime_machine(rt);
  if (runtime_has_device(rt)) {
    device_rates m;
    bool kept = device_load(s, a, runtime_backend(rt), target, &m);
    return device_limits_for(kept ? &m : NULL, target);
  }
  if (target->group > 0)
    return device_limits_for(NULL, target); /* interpreted as one would run it */
  cpu_rates m;
  bool kept = machine_load(s, a, target, &m);
  return machine_limits_for(kept ? &m : NULL, target, runtime_threads(rt));
}
