/* From a match and tile sizes to the four BUFFERIZEs. Internal to src/winograd. */
#ifndef WN_WINOGRAD_EMIT_H
#define WN_WINOGRAD_EMIT_H

#include "winograd/recognise.h"
#include "winograd/winograd.h"

/* Loops fused row-major into one RANGE; no RANGE where the size is 1. */
typedef struct wino_fused {
  int n;
  int64_t extent[WINO_MAX_LOOPS + 2 * WN_MAX_SPATIAL];
  int64_t size;
} wino_fused;

/* A transformed axis. With k = s * (piece * q + tap) + rho and o = d * (m * tile + p) + phi the
 * window's u is s * o + d * k = s * d * (m * tile + piece * q + (p + tap)) + s * phi + d * rho, a
 * stride-1 problem in p + tap for each (tile, phi) and each (rho, q). */
typedef struct wino_axis_plan {
  int64_t s, d; /* d > 0 */
  bool reversed;
  int64_t taps, outputs;
  int64_t phase_taps, phase_outputs; /* ceil(taps / s), ceil(outputs / d) */
  int m, piece, n;
  int64_t pieces, tiles;
} wino_axis_plan;

typedef struct wino_plan {
  graph *g;
  wino_match match;
  wino_axis_plan axis[WN_MAX_SPATIAL]; /* of match.axis[0..match.naxes) */
  wino_fused t, k, grp, c;
  int site; /* how many were rewritten before: names "x", "x1", ... */
} wino_plan;

/* Extents of the classes from match and axis[]. */
void wino_plan_classes(wino_plan *p);

/* The expression that takes the REDUCE's place, and the names of the BUFFERIZEs in site. */
const uop *wino_emit(const wino_plan *p, wino_site *site);

#endif
