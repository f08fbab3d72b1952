/* Which launches wait for which: kernels of stored values as units, and what each needs of those before it.
 *
 * In: kernels in running order. Out: units, and for each those that wait for it; what they touch of the workspace.
 * Always holds: a unit waits for earlier ones alone, so the order that there was is one that can be run; two units of
 * which neither waits for the other, whatever is between, touch nothing that the other one writes. */
#ifndef WN_NEST_SIDE_UNITS_H
#define WN_NEST_SIDE_UNITS_H

#include "nest/touched.h"

typedef struct side_unit {
  int first, end;        /* kernels */
  bool fixed;            /* they are in rounds of some kind */
  int waits;             /* for so many units */
  numbers next;          /* that wait for it */
  numbers memory;        /* arrays of the workspace that it touches, each once */
  double touches, makes; /* bytes */
} side_unit;

typedef struct unit_list {
  int n;
  side_unit *at;
  int *touching; /* by array of the workspace: so many units do */
  size_t most;   /* bytes of the workspace that are alive at once at most, if nothing moves */
} unit_list;

/* Of the kernels behind those that prepare; known: as of touched_by, which has the arena. */
unit_list side_units_of(const kernel_set *set, map *known);

#endif
