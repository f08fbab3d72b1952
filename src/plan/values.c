/* Register tiles of other values; see values.h. */
#include "plan/values.h"

#include <math.h>

enum {
  ITEM_TILE = 16, /* sums of a work item */
  MOST_WINDOWS = 8
};

/* Sums that share nothing: the latency of additions is hidden by further accumulators of each (nest/sums.c), so what
 * edges waste decides, and how short the stretches of memory are that each turn reads. */
static register_tile sums_tile(const machine *m, const value_shape *v) {
  register_tile best = {1, 1, pick_lanes(m, v->dtype, v->along)};
  double least = INFINITY;
  for (int64_t vectors = SUMS_AT_ONCE; vectors >= 1; --vectors) {
    double cost = (double)round_up(v->along, vectors * best.lanes) * (1 + 0.5 / (double)vectors);
    if (cost < least) least = cost, best.t = vectors * best.lanes;
  }
  return best;
}

/* Windows that overlap: each accumulator has a vector of the image beside it until that has passed by, and there is the
 * weight of the tap. What edges waste decides, and how often vectors are read again. */
static register_tile sliding_tile(const machine *m, const value_shape *v) {
  register_tile best = {1, 1, pick_lanes(m, v->dtype, v->along)};
  double least = INFINITY;
  best.t = best.lanes;
  for (int64_t k = 1; 2 * k + 2 <= m->registers && k <= MOST_WINDOWS; ++k) {
    double cost = (double)round_up(v->across, k) * (1 + 1.0 / (double)k);
    if (cost < least) least = cost, best.k = k;
  }
  return best;
}

static register_tile choose(const machine *m, const value_shape *v) {
  int64_t along = v->along > 0 ? v->along : 1, across = v->across > 0 ? v->across : 1;
  register_tile rt = {1, 1, 1};
  if (m->group > 0) {
    if (v->reduces) rt = pick_item_tile(m, across, along, v->others, ITEM_TILE);
    rt.lanes = 1;
    return rt;
  }
  /* where short loops are unrolled, what their copies share stays in registers beside the sums */
  int64_t few = m->registers > 16 ? 10 : 8;
  if (v->reduces && v->across == 0 && v->along > 0 && v->innermost >= LONG_LOOP)
    rt = sums_tile(m, v);
  else if (v->reduces && v->slides && v->across > 0 && v->along > 0 && v->innermost <= SHORT_LOOP)
    rt = sliding_tile(m, v);
  else if (v->reduces)
    rt = pick_register_tile(m, v->dtype, across, along, v->innermost <= SHORT_LOOP ? few : 0);
  else
    rt.lanes = pick_lanes(m, v->dtype, along), rt.t = rt.lanes;
  if (v->along == 0) rt.t = rt.lanes = 1;
  if (v->across == 0) rt.k = 1;
  return rt;
}

int lanes_said(const schedule *s, const machine *m, wn_dtype dtype) {
  int lanes = m->group > 0 ? 0 : s->nlanes;
  while (lanes > 1 && lanes * (int)wn_dtype_size(dtype) > VECTOR_BYTES) lanes /= 2;
  return lanes;
}

register_tile value_tile(const schedule *s, const machine *m, const value_shape *v) {
  register_tile rt = choose(m, v);
  int said = v->along > 0 ? lanes_said(s, m, v->dtype) : 0;
  if (said > 0) rt = (register_tile){rt.k, rt.t / rt.lanes * said, said};
  int64_t most = v->across > rt.k ? v->across : rt.k; /* what is chosen may reach past the end */
  if (s->k[0] > 0 && v->across > 0) rt.k = s->k[0] < most ? s->k[0] : most;
  if (s->t[0] > 0 && v->along > 0) rt.t = round_up(s->t[0], rt.lanes);
  return rt;
}
