/* Any schedule that text can spell, drawn from a seed; it need not exist for anything. */
#ifndef WN_TESTS_RANDOM_SCHEDULE_H
#define WN_TESTS_RANDOM_SCHEDULE_H

#include "diff/conv_case.h"
#include "plan/schedule.h"

static inline int pick(uint64_t *s, int n) { return (int)below(s, n); }

static inline loop_name random_loop(uint64_t *s) {
  return (loop_name){"tkcgfpnzyx"[pick(s, 10)], (int8_t)(pick(s, 5) - 1)};
}

static inline void random_split(uint64_t *s, int64_t *split) {
  int64_t size = 1;
  int parts = pick(s, SCHEDULE_PARTS + 1);
  for (int i = parts; i-- > 0;) split[i] = size *= 1 + pick(s, 60);
}

static inline schedule random_schedule(uint64_t *s) {
  static const axis_kind kinds[] = {AXIS_GRID, AXIS_LOOP, AXIS_UNROLL, AXIS_VECTOR};
  schedule r;
  memset(&r, 0, sizeof r);
  r.direct = pick(s, 6) == 0;
  for (int i = 0; i < STAGE_COUNT && !r.direct; ++i) {
    stage_plan *p = &r.stage[i];
    p->space = (uop_space)(SPACE_INLINE + pick(s, SPACE_COUNT - SPACE_INLINE));
    if (pick(s, 2)) p->at = random_loop(s);
    p->nloops = pick(s, 3) ? 0 : pick(s, SCHEDULE_LOOPS + 1);
    for (int l = 0; l < p->nloops; ++l) p->loop[l] = (loop_spec){random_loop(s), kinds[pick(s, 4)]};
  }
  random_split(s, r.t);
  random_split(s, r.k);
  random_split(s, r.c);
  if (r.direct && pick(s, 2)) r.chains = 1 + pick(s, 8);
  if (!r.direct && pick(s, 3) == 0) r.share = random_loop(s);
  r.nm = pick(s, WN_MAX_SPATIAL + 1);
  for (int i = 0; i < r.nm; ++i) r.m[i] = pick(s, 9);
  r.chunk = pick(s, 2) ? 0 : 1 + pick(s, 100000);
  r.joint = pick(s, 2);
  r.layout = (value_layout)pick(s, 3);
  if (pick(s, 3) == 0) r.side = pick(s, 5) - 1; /* SIDE_ALONE, chosen, or a number */
  if (pick(s, 4) == 0) r.bands = 1 + pick(s, 9);
  return r;
}

#endif
