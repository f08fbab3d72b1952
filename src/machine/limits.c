/* Limits of a machine; see limits.h.
 *
 * The guesses are a slow machine of the kind: of CPUs 2.5 GHz, two pipes for multiply-adds and two loads a cycle. */
#include "machine/limits.h"

#include <math.h>

const char *const machine_rate_name[MACHINE_RATES] = {"multiply, add, 128 bits", "fused, 128 bits",
                                                      "fused, 256 bits", "fused, 512 bits"};

/* --- CPUs ------------------------------------------------------------------------------------- */

static cpu_rates guess_cpu(const machine *cpu) {
  static const double clock = 2.5e9;
  cpu_rates m = {.threads = cpu->units, .wake = 2e-5};
  m.flops[MACHINE_MUL_ADD] = 8 * clock;
  m.flops[MACHINE_FMA_16] = 16 * clock;
  m.flops[MACHINE_FMA_32] = m.flops[MACHINE_FMA_64] = 32 * clock;
  m.size[LEVEL_L1] = (double)cpu->l1;
  m.size[LEVEL_L2] = (double)cpu->l2;
  m.size[LEVEL_L3] = (double)cpu->l3;
  static const double read[LEVEL_COUNT] = {64 * 2.5e9, 24 * 2.5e9, 12 * 2.5e9, 10e9};
  for (int i = 0; i < LEVEL_COUNT; ++i) {
    m.read[i] = read[i];
    m.read_all[i] = i == LEVEL_MEMORY ? 2 * read[i] : read[i] * cpu->units;
  }
  m.write = 6e9;
  m.write_all = 10e9;
  for (int i = 0; i < MACHINE_RATES; ++i) m.flops_all[i] = m.flops[i] * cpu->units;
  return m;
}

machine_limits machine_limits_for(const cpu_rates *measured, const machine *cpu, int threads) {
  cpu_rates m = measured != NULL ? *measured : guess_cpu(cpu);
  machine_limits l = {.measured = measured != NULL, .write = m.write, .wake = m.wake};
  machine_rate first = cpu->fma ? MACHINE_FMA_16 : MACHINE_MUL_ADD;
  for (int i = 0; i < LIMIT_WIDTHS; ++i) {
    machine_rate rate = cpu->fma ? (machine_rate)(MACHINE_FMA_16 + i) : MACHINE_MUL_ADD;
    if (m.flops[rate] == 0) rate = m.flops[first] > 0 ? first : MACHINE_MUL_ADD;
    l.flops[i] = m.flops[rate];
    if (cpu->vector_bytes >= 16 << i) l.flops_all = m.flops_all[rate];
  }
  /* all that were measured, one, or in between; never less than one, whatever the machine was busy with meanwhile */
  double more = m.threads > 1 ? (fmin(threads, m.threads) - 1) / (m.threads - 1) : 0;
  double one = l.flops[cpu->vector_bytes > 32 ? 2 : cpu->vector_bytes > 16 ? 1 : 0];
  l.flops_all = one + more * fmax(l.flops_all - one, 0);
  for (int i = 0; i < LEVEL_MEMORY; ++i) l.size[i] = (size_t)m.size[i];
  for (int i = 0; i < LEVEL_COUNT; ++i) {
    l.read[i] = m.read[i];
    l.read_all[i] = m.read[i] + more * fmax(m.read_all[i] - m.read[i], 0);
  }
  l.write_all = m.write + more * fmax(m.write_all - m.write, 0);
  l.threads = threads;
  return l;
}

/* --- devices ---------------------------------------------------------------------------------- */

/* A small GPU, or a CPU with as many cores. */
static device_rates guess_device(const machine *t) {
  double units = t->units > 0 ? t->units : 1;
  bool gpu = t->group > 0;
  return (device_rates){.flops = units * (gpu ? 256e9 : 80e9),
                        .copy = gpu ? units * 15e9 : 15e9,
                        .local = units * (gpu ? 128e9 : 160e9),
                        .cache = units * (gpu ? 64e9 : 30e9),
                        .cache_bytes = (double)t->l3,
                        .launch = 5e-6,
                        .alone = 3e-5};
}

/* A device's groups have local memory where a core has its own caches; nothing else is known of those. */
machine_limits device_limits_for(const device_rates *measured, const machine *device) {
  device_rates m = measured != NULL ? *measured : guess_device(device);
  machine_limits l = {.measured = measured != NULL,
                      .flops_all = m.flops,
                      .local = m.local,
                      .write = m.copy,
                      .write_all = m.copy,
                      .wake = m.launch,
                      .threads = 1};
  for (int i = 0; i < LIMIT_WIDTHS; ++i) l.flops[i] = m.flops;
  for (int i = 0; i < LEVEL_COUNT; ++i)
    l.read[i] = l.read_all[i] = i == LEVEL_MEMORY ? m.copy : m.cache;
  l.size[LEVEL_L1] = device->local_bytes;
  l.size[LEVEL_L2] = l.size[LEVEL_L3] = (size_t)m.cache_bytes;
  return l;
}

/* --- the roofline ----------------------------------------------------------------------------- */

double machine_arithmetic_s(const machine_limits *l, double flops) { return flops / l->flops_all; }

double machine_traffic_s(const machine_limits *l, double bytes) {
  int level = 0;
  while (level < LEVEL_MEMORY && bytes > (double)l->size[level]) ++level;
  return bytes / l->read_all[level];
}
