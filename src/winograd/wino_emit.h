/* From a match and tile sizes to the four BUFFERIZEs. Internal to src/winograd. */
#ifndef WN_WINOGRAD_WINO_EMIT_H
#define WN_WINOGRAD_WINO_EMIT_H

#include "winograd/model.h"
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
typedef struct wino_axis_geometry {
  int64_t s, d; /* d > 0 */
  bool reversed;
  int64_t taps, outputs;
  int64_t phase_taps, phase_outputs; /* ceil(taps / s), ceil(outputs / d) */
  int m, piece, n;
  int64_t pieces, tiles;
} wino_axis_geometry;

/* Models of one axis that were made already, F(m, r) at [m][r]; n 0: not yet. Zero-initialise. */
enum { WINO_MODEL_M = 8, WINO_MODEL_R = 5 };
typedef struct wino_models {
  wino_axis at[WINO_MODEL_M + 1][WINO_MODEL_R + 1];
} wino_models;

typedef struct wino_geometry {
  graph *g;
  wino_models *models; /* NULL: each model is made anew */
  wino_match match;
  wino_axis_geometry axis[WN_MAX_SPATIAL]; /* of match.axis[0..match.naxes) */
  wino_fused t, k, grp, c;
} wino_geometry;

wino_axis_geometry wino_geometry_of_axis(const wino_slide *x); /* before tiles are chosen */
int64_t wino_loops_extent(const loop_list *l);
int64_t wino_products(const uop *reduce); /* summed into one element */
/* Tiles and geometry for a match; NULL, or the reason why it stays as it is. Windows that are left alone leave
 * p->match. */
const char *wino_geometry_site(wino_geometry *p, const wino_options *o, wino_site *site);
/* How many times over the error keeps the promise with room for what a prediction does not see; below 1 it does not. */
double wino_geometry_margin(const wino_geometry *p, const wino_options *o, double error);
const wino_axis *wino_geometry_model(const wino_geometry *p, int axis); /* of an axis with a tile */

/* Extents of the classes from match and axis[]. */
void wino_geometry_classes(wino_geometry *p);

/* The expression that takes the REDUCE's place, over BUFFERIZEs with the number of this site. */
const uop *wino_emit(const wino_geometry *p, int site);

#endif
