/* What a loop becomes. */
#ifndef WN_PLAN_AXIS_H
#define WN_PLAN_AXIS_H

#include "ir/uop.h"

/* GRID: a task of the thread pool, or a group of work items. On devices, LANE: its points are work items, and groups
 * are cut from all of them; GROUP: its points are shared out among the work items of one group, turn by turn. LOOP: an
 * ordinary loop. UNROLL: one copy of the body per value. VECTOR: the lanes of a vector. Whether an axis reduces is a
 * separate matter. */
typedef enum {
  AXIS_GRID,
  AXIS_GROUP,
  AXIS_LANE,
  AXIS_LOOP,
  AXIS_UNROLL,
  AXIS_VECTOR,
  AXIS_KINDS
} axis_kind;
extern const char *const axis_kind_name[AXIS_KINDS]; /* grid group lane loop unroll vector */

/* Of the matrices that products may be made of: see kernel/linear.h. */
enum { MATRIX_SIDE = 8, MATRIX_CELLS = 64, MATRIX_ITEMS = 32 };

typedef struct axis {
  const uop *range;
  axis_kind kind;
  const char *name; /* "t0", "k1", "f", "y", ...: what a schedule calls it */
  bool reduces;     /* the nest adds to its array in every iteration */
} axis;

#endif
