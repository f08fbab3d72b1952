/* Neighbours of a schedule: the steps of the local search.
 *
 * In: a schedule and the sizes of what it schedules. Out: schedules that differ in one thing each, those that change
 * most first. Always holds: none is the schedule itself; each prints as text that parses (whether it can be applied,
 * applying says). */
#ifndef WN_TUNE_MOVES_H
#define WN_TUNE_MOVES_H

#include "plan/schedule.h"

typedef struct move_sizes {
  int lanes;    /* of the widest vectors, f32 */
  int64_t K, C; /* output and input channels; 0: not known */
} move_sizes;

typedef VEC(schedule) schedule_list;
void moves_of(const schedule *s, const move_sizes *sizes, arena *a, schedule_list *out);

#endif
