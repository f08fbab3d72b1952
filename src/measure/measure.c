/* Measuring and keeping the machine's limits; see measure.h.
 *
 * The rule for measuring: repeat a probe until it takes a while, then take the best of several times, since whatever
 * else the machine does only ever makes it slower. Bandwidths are of a buffer that fills half of its cache, memory's of
 * one far larger than all caches. "All threads" is the time from starting until the last of them is done, each on
 * memory of its own. */
#include "measure/measure.h"

#include <math.h>
#include <time.h>

#include "backend/pool.h"
#include "measure/measure_probe.h"

enum {
  ROUNDS = 3, /* some time apart: a neighbour may be busy for longer than one takes */
  REPEATS = 5,
  WAKES = 400,
  BUFFER_ALIGN = 4096,
  STEP_BYTES = 512 /* what a probe of memory does at once */
};
static const double LEAST_TIME = 1.5e-3; /* seconds of a probe */
static const size_t MEMORY_BYTES = 96u << 20;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- measuring -------------------------------------------------------------------------------- */

typedef enum { PROBE_ARITHMETIC, PROBE_READ, PROBE_WRITE } probe_kind;

typedef struct probe {
  probe_kind kind;
  machine_rate rate;
  float *memory; /* `bytes` for each thread */
  size_t bytes;
  int64_t times;
} probe;

static void run_probe(void *context, int worker, int64_t begin, int64_t end) {
  const probe *p = context;
  (void)worker;
  for (int64_t i = begin; i < end; ++i) {
    if (p->kind == PROBE_ARITHMETIC) {
      probe_arithmetic(p->rate, p->times);
      continue;
    }
    float *own = p->memory + (size_t)i * (p->bytes / sizeof(float));
    for (int64_t t = 0; t < p->times; ++t) {
      if (p->kind == PROBE_READ)
        probe_read(own, p->bytes);
      else
        probe_write(own, p->bytes);
    }
  }
}

static void run_on_all(pool *threads, pool_task task, void *context, int count) {
  pool_begin(threads);
  pool_run(threads, task, context, 0, count, false);
  pool_end(threads);
}

static double time_probe(pool *threads, probe *p, int count) {
  double start = now_s();
  if (count == 1)
    run_probe(p, 0, 0, 1);
  else
    run_on_all(threads, run_probe, p, count);
  return now_s() - start;
}

/* Operations or bytes a second of `count` threads together. */
static double rate_of(pool *threads, probe p, int count) {
  p.times = 1;
  while (time_probe(threads, &p, 1) < LEAST_TIME) p.times *= 2;
  double best = INFINITY;
  for (int i = 0; i < REPEATS; ++i) best = fmin(best, time_probe(threads, &p, count));
  double each =
      p.kind == PROBE_ARITHMETIC ? probe_flops(p.rate, p.times) : (double)p.bytes * (double)p.times;
  return each * count / best;
}

static void nothing(void *context, int worker, int64_t begin, int64_t end) {
  (void)context;
  (void)worker;
  (void)begin;
  (void)end;
}

/* A launch like those of a program: the caller has work of its own between two of them. */
static double wake_time(pool *threads, int count) {
  double all = 0;
  for (int i = 0; i < WAKES; ++i) {
    double start = now_s();
    run_on_all(threads, nothing, NULL, count);
    all += now_s() - start;
  }
  return all / (double)(int)WAKES;
}

static void keep_best(double *best, double rate) { *best = fmax(*best, rate); }

static void measure_rates(pool *threads, cpu_rates *m) {
  for (int i = 0; i < MACHINE_RATES; ++i) {
    if (!probe_has((machine_rate)i)) continue;
    probe p = {.kind = PROBE_ARITHMETIC, .rate = (machine_rate)i};
    keep_best(&m->flops[i], rate_of(threads, p, 1));
    keep_best(&m->flops_all[i], m->flops[i]);
    if (m->threads > 1) keep_best(&m->flops_all[i], rate_of(threads, p, m->threads));
  }
}

/* Each thread has its own L1 and L2; L3 and memory they share, each with a part of its own. */
static void measure_level(pool *threads, cpu_rates *m, memory_level level, float *memory,
                          size_t most) {
  size_t size = level < LEVEL_MEMORY ? (size_t)m->size[level] / 2 : most;
  probe p = {.kind = PROBE_READ, .memory = memory};
  p.bytes = (size < most ? size : most) / STEP_BYTES * STEP_BYTES;
  keep_best(&m->read[level], rate_of(threads, p, 1));
  if (level < LEVEL_L3) m->read_all[level] = m->read[level] * m->threads;
  if (level < LEVEL_L3) return;
  keep_best(&m->read_all[level], m->read[level]);
  if (level == LEVEL_L3) p.bytes = p.bytes / (size_t)m->threads / STEP_BYTES * STEP_BYTES;
  if (m->threads > 1) keep_best(&m->read_all[level], rate_of(threads, p, m->threads));
  if (level < LEVEL_MEMORY) return;
  p.kind = PROBE_WRITE;
  keep_best(&m->write, rate_of(threads, p, 1));
  keep_best(&m->write_all, m->write);
  if (m->threads > 1) keep_best(&m->write_all, rate_of(threads, p, m->threads));
}

void machine_measure(diag *d, const machine *cpu, cpu_rates *out) {
  memset(out, 0, sizeof *out);
  cpu_rates *m = out;
  m->threads = cpu->units;
  m->size[LEVEL_L1] = (double)cpu->l1;
  m->size[LEVEL_L2] = (double)cpu->l2;
  m->size[LEVEL_L3] = (double)cpu->l3;
  size_t bytes = MEMORY_BYTES > 3 * cpu->l3 ? MEMORY_BYTES : 3 * cpu->l3;
  float *memory = mem_alloc_aligned(bytes, BUFFER_ALIGN);
  pool *threads = memory != NULL ? pool_acquire(m->threads) : NULL;
  if (threads == NULL) {
    mem_free_aligned(memory);
    diag_fail(d, WN_ERR_NOMEM, "no memory or threads to measure the machine with");
  }
  for (int round = 0; round < ROUNDS; ++round) {
    measure_rates(threads, m);
    for (int level = 0; level < LEVEL_COUNT; ++level) {
      measure_level(threads, m, (memory_level)level, memory, bytes / (size_t)m->threads);
    }
  }
  m->wake = m->threads > 1 ? wake_time(threads, m->threads) : 0;
  pool_release(threads);
  mem_free_aligned(memory);
}

/* --- keeping ---------------------------------------------------------------------------------- */

const char *machine_key(arena *a, const machine *cpu) {
  return arena_printf(a, "model %s\ncaches %zu %zu %zu\n", cpu->model, cpu->l1, cpu->l2, cpu->l3);
}

static bool between(double x, double low, double high) { return x >= low && x <= high; }

/* Within what any machine of these years does, ten times either way. */
static bool makes_sense(const cpu_rates *m) {
  bool ok =
      between(m->threads, 1, 4096) && between(m->wake, 0, 0.1) && m->flops[MACHINE_MUL_ADD] > 0;
  for (int i = 0; i < MACHINE_RATES; ++i) {
    ok &= m->flops[i] == 0 || between(m->flops[i], 1e8, 1e13);
    ok &= m->flops_all[i] == 0 || between(m->flops_all[i], 1e8, 1e16);
  }
  for (int i = 0; i < LEVEL_MEMORY; ++i) ok &= between(m->size[i], 1 << 10, 1e11);
  for (int i = 0; i < LEVEL_COUNT; ++i) {
    ok &= between(m->read[i], 1e7, 1e14) && between(m->read_all[i], 1e7, 1e16);
  }
  return ok && between(m->write, 1e7, 1e14) && between(m->write_all, 1e7, 1e16);
}

bool machine_store(store *s, arena *a, const machine *cpu, const cpu_rates *m) {
  if (s == NULL) return false;
  const char *key = machine_key(a, cpu);
  return store_put(s, STORE_MACHINE, key, strlen(key), m, sizeof *m);
}

bool machine_load(store *s, arena *a, const machine *cpu, cpu_rates *out) {
  if (s == NULL) return false;
  size_t size = 0;
  const char *key = machine_key(a, cpu);
  const cpu_rates *m = store_get(s, a, STORE_MACHINE, key, strlen(key), &size);
  if (m == NULL) return false;
  if (size != sizeof *m || !makes_sense(m)) {
    diag_warn(a->diag,
              "the limits of this machine that are stored make no sense and are ignored; "
              "`winnow devices --measure` measures them again");
    return false;
  }
  *out = *m;
  return true;
}
