/* See side_price.h. The threads' ends are those of list scheduling (Graham, "Bounds on multiprocessing timing
 * anomalies", 1969) with equal blocks handed out together. */
#include "nest/side_price.h"

#include <math.h>
#include <stdlib.h>

/* Of the rates that are measured, kernels of all kinds reach about so much. */
static const double REACHED = 0.6;
/* Seconds of a launch whose workers spin, whatever it takes to wake those that sleep. */
static const double SPINNING = 1e-6;
/* Blocks take different times: a launch ends that part of a block later than equal ones would. */
static const double UNEVEN = 0.5;
enum { MOST_THREADS = 256 }; /* more are priced as so many */

/* --- one launch ------------------------------------------------------------------------------- */

static double blocks_of(const nest *n) {
  double blocks = 1;
  for (int i = 0; i < n->naxes; ++i)
    if (n->axis[i].kind == AXIS_GRID) blocks *= (double)n->axis[i].range->arg.j;
  return blocks;
}

static double array_seconds(const kernel_set *set, const machine_limits *l, int array) {
  const array_info *a = &set->arrays.data[array];
  const double bytes = (double)(a->len - a->gaps) * (double)wn_dtype_size(a->dtype);
  int level = 0;
  if (a->role == ROLE_LOCAL) return 0;
  while (level < LEVEL_MEMORY && bytes > (double)l->size[level]) ++level;
  return bytes / l->read[level];
}

/* Each array once, however often it is read: numbers of a nest are few. */
static double traffic(const kernel_set *set, const machine_limits *l, const nest_kernel *k,
                      const numbers *of) {
  double seconds = 0;
  for (size_t i = 0; i < of->len; ++i) {
    bool again = false;
    for (size_t j = 0; j < i && !again; ++j) again = of->data[j] == of->data[i];
    if (!again) seconds += array_seconds(set, l, kernel_array(k, of->data[i]));
  }
  return seconds;
}

launch_work launch_work_of(const kernel_set *set, map *known, const cost_target *t,
                           const nest_kernel *k) {
  const machine *m = t->machine;
  const machine_limits *l = m->limits;
  const double rate = l->flops[m->vector_bytes > 32 ? 2 : m->vector_bytes > 16 ? 1 : 0];
  launch_work w = {0, 0};
  for (int r = 0; r < k->nroots; ++r) {
    const touched *of = touched_by(known, k->root[r]);
    const double bytes = traffic(set, l, k, &of->reads) + traffic(set, l, k, &of->writes);
    w.seconds += fmax(of->flops / (REACHED * rate), bytes);
    w.blocks += blocks_of(k->root[r]);
  }
  return w;
}

/* --- several ---------------------------------------------------------------------------------- */

static int rising(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Hands out equal blocks, each to the thread that is done first. end: of each thread, rising. */
static void hand_out(double *end, int threads, double blocks, double block) {
  double sum = 0, level = 0, left = blocks;
  int n = 0;
  while (n < threads && (n == 0 || level > end[n])) {
    sum += end[n++];
    level = (sum + blocks * block) / n; /* were blocks of no size */
  }
  for (int i = 0; i < n; ++i) {
    const double own = fmin(left, floor((level - end[i]) / block));
    if (own <= 0) continue;
    end[i] += own * block;
    left -= own;
  }
  qsort(end, (size_t)threads, sizeof *end, rising);
  for (int i = 0; i < threads && left >= 1; ++i, --left) end[i] += block;
  qsort(end, (size_t)threads, sizeof *end, rising);
}

static int costly_first(const void *a, const void *b) {
  const launch_work *x = *(const launch_work *const *)a, *y = *(const launch_work *const *)b;
  const double of_x = x->seconds / x->blocks, of_y = y->seconds / y->blocks;
  return (of_x < of_y) - (of_x > of_y);
}

double launches_together(const cost_target *t, const launch_work *const *w, int count) {
  const int threads = t->threads < MOST_THREADS ? t->threads : MOST_THREADS;
  const launch_work *order[MOST_SIDE];
  double end[MOST_THREADS] = {0}, all = 0, block = 0;
  for (int i = 0; i < count; ++i) {
    order[i] = w[i];
    all += w[i]->seconds;
  }
  if (threads <= 1) return all;
  qsort(order, (size_t)count, sizeof *order, costly_first);
  for (int i = 0; i < count; ++i) {
    block = order[i]->seconds / order[i]->blocks;
    if (block > 0) hand_out(end, threads, order[i]->blocks, block);
  }
  const double launch = fmin(cost_of_launches(t, 1), SPINNING);
  const double uneven = UNEVEN * block * (threads - 1) / threads;
  return fmin(all, launch + end[threads - 1] + uneven);
}
