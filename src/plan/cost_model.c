/* Work to seconds; see cost.h for the rule and cost_model.h for the constants.
 *
 * In: counts of a kernel. Out: its time. Always holds: more of anything takes no less. */
#include "plan/cost_model.h"

#include <math.h>

model model_of(const cost_target *t, wn_dtype dtype) {
  model m = {.t = t, .l = t->machine->limits, .element = wn_dtype_size(dtype)};
  m.width = t->machine->vector_bytes > 32 ? 2 : t->machine->vector_bytes > 16 ? 1 : 0;
  double lanes = (double)t->machine->vector_bytes / (double)m.element;
  m.slot = 2 * lanes / (t->machine->limits->flops[m.width] * 4 / (double)m.element);
  return m;
}

double ceil_div(double a, double b) { return ceil(a / b); }

bool is_power_of_two(double x) { return exp2(rint(log2(x))) == x; }

/* How reads or writes of arrays of this size, over and over, are spread over the levels. */
static void spread(const model *m, double bytes, bool writes, double *share) {
  double left = 1;
  for (int i = 0; i < LEVEL_MEMORY; ++i) {
    bool last_level = i + 1 == LEVEL_MEMORY;
    double fits = (writes && last_level ? FITS_WRITTEN : FITS[i]) * (double)m->l->size[i];
    double spills = (writes && last_level ? SPILLS_WRITTEN : SPILLS[i]) * (double)m->l->size[i];
    double miss = bytes <= fits ? 0 : bytes >= spills ? 1 : (bytes - fits) / (spills - fits);
    share[i] = left * (1 - miss);
    left *= miss;
  }
  share[LEVEL_MEMORY] = left;
}

static void add_moved(const model *m, work *w, double bytes, int level, bool writes,
                      double dearer) {
  double rate = m->l->read[level], all = m->l->read_all[level];
  double exposed = writes ? EXPOSED_WRITE[level] : EXPOSED[level];
  if (writes && level == LEVEL_MEMORY) {
    rate = m->l->write / dearer;
    all = m->l->write_all / dearer;
  } else if (writes) { /* caches are written at a share of the rate at which they are read */
    rate *= WRITE;
    all *= WRITE;
  } else if (level == LEVEL_MEMORY) {
    rate *= MEMORY_SHARE;
    all *= MEMORY_SHARE;
  }
  w->seconds += bytes / rate;
  w->exposed += bytes / rate * exposed;
  w->shared += bytes / all;
}

void add_reads(const model *m, work *w, double bytes, double footprint) {
  double share[LEVEL_COUNT];
  spread(m, footprint, false, share);
  for (int i = 0; i < LEVEL_COUNT; ++i) add_moved(m, w, bytes * share[i], i, false, 1);
}

void add_streams(const model *m, work *w, double times, double footprint) {
  double share[LEVEL_COUNT];
  spread(m, footprint, false, share);
  const double seconds = times * share[LEVEL_MEMORY] * STREAM;
  w->seconds += seconds;
  w->exposed += seconds;
}

double cost_between(double passing, double own) { return fmax(0, passing - own) * WEIGHTS_GROW; }

bool cost_is_cold(const machine *m, double passing, double own) {
  return m->group == 0 && cost_between(passing, own) > (double)m->l3;
}

double cold_bytes(const model *m, double own) { return cost_between(m->t->passing, own); }

void add_writes(const model *m, work *w, double bytes, double footprint, double dearer) {
  double share[LEVEL_COUNT];
  spread(m, footprint, true, share);
  for (int i = 0; i < LEVEL_COUNT; ++i) add_moved(m, w, bytes * share[i], i, true, dearer);
}

void add_vectors(const model *m, work *w, double vectors, double bytes, double lines,
                 double footprint, bool writes) {
  double share[LEVEL_COUNT];
  spread(m, footprint, writes, share);
  for (int i = 0; i < LEVEL_COUNT; ++i)
    add_moved(m, w, vectors * (i == LEVEL_L1 ? bytes : lines * LINE) * share[i], i, writes, 1);
}

double cost_of_passing(const cost_target *t, double bytes, double in_turn, double passed) {
  const model m = model_of(t, WN_F32);
  work w = {0};
  add_writes(&m, &w, bytes, in_turn, 1);
  add_reads(&m, &w, bytes, passed);
  return w.exposed;
}

double cost_of_launches(const cost_target *t, int launches) {
  return launches * (LAUNCH + (t->threads > 1 ? t->machine->limits->wake : 0));
}

double work_seconds(const model *m, const work *w) {
  double arithmetic = fmax(w->slots, w->loads) * m->slot + w->exposed;
  double start = w->launches * LAUNCH, alone = start + fmax(arithmetic, w->seconds);
  double threads = m->t->threads;
  if (threads <= 1 || w->blocks <= 1) return alone;
  double speedup = w->blocks / ceil_div(w->blocks, threads);
  double traffic = fmax(w->seconds / speedup, w->shared);
  double together = start + w->launches * m->l->wake + fmax(arithmetic / speedup, traffic);
  return fmin(alone, together); /* what is not worth waking workers for runs without them */
}

void add_steps(work *w, double slots) {
  w->slots += slots;
  w->loads += slots;
}

void add_work(work *to, const work *w) {
  to->slots += w->slots;
  to->loads += w->loads;
  to->seconds += w->seconds;
  to->exposed += w->exposed;
  to->shared += w->shared;
}

/* Time of a vector of so many lanes, in slots. */
double lanes_slots(const model *m, double lanes) {
  double bytes = lanes * (double)m->element;
  int width = bytes > 32 ? 2 : bytes > 16 ? 1 : 0;
  if (width > m->width) width = m->width;
  double full = m->l->flops[m->width], here = m->l->flops[width];
  double widest = (double)(16 << m->width), vector = (double)(16 << width);
  return full / here * vector / widest;
}

/* Between additions to the same register. */
double latency_slots(const model *m) { return LATENCY * lanes_slots(m, 16 / (double)m->element); }

void multiply_work(work *w, double by) {
  w->slots *= by;
  w->loads *= by;
  w->seconds *= by;
  w->exposed *= by;
  w->shared *= by;
}
