/* The convolutions of a graph and every tile that each may be rewritten with, before one is chosen.
 *
 * In: simplified range IR and the options of wino_rewrite (math; nm and m if a tile was asked for). Out: one wino_conv
 * for each REDUCE that the recogniser matches, with the tiles that keep the promise on the error with a margin (a tile
 * that was asked for is there whatever its error).
 * Always holds: wino_rewrite with a tile's window_m gives a site with that tile's geometry. */
#ifndef WN_WINOGRAD_SURVEY_H
#define WN_WINOGRAD_SURVEY_H

#include "winograd/winograd.h"

typedef struct wino_tile {
  wino_site site;                /* as the rewrite would make it; window_m gives it again */
  int64_t tiles[WN_MAX_SPATIAL]; /* along each transformed window */
  int steps_b[WN_MAX_SPATIAL], steps_g[WN_MAX_SPATIAL], steps_a[WN_MAX_SPATIAL]; /* of a column */
} wino_tile;

typedef struct wino_conv {
  const uop *root, *reduce; /* a stored value and the sum in it */
  int alike; /* index of the first convolution of the survey that has all that follows in common with it */
  wn_dtype dtype;
  int nwindow;
  int64_t outputs[WN_MAX_SPATIAL], taps[WN_MAX_SPATIAL], stride[WN_MAX_SPATIAL],
      dilation[WN_MAX_SPATIAL];
  int64_t batch, K, G, C; /* extents of the other loops, 1 where absent */
  bool image_last,
      result_last;  /* neighbours in memory are channels, of what is read and of what is stored */
  bool groups_last; /* groups, of a channel each, are neighbours in what is read */
  int ntiles;
  const wino_tile *tile; /* in the graph's arena */
} wino_conv;

typedef struct wino_survey {
  int nconvs;
  const wino_conv *conv;
} wino_survey;

wino_survey wino_survey_graph(graph *g, const uop *root, const wino_options *options);
wino_survey wino_survey_values(graph *g, int n, const uop *const *roots,
                               const wino_options *options);
/* Of one REDUCE that the recogniser matches, in the stored value `root`. */
wino_conv wino_survey_conv(graph *g, const uop *root, const uop *reduce,
                           const wino_options *options);

#endif
