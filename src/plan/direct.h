/* The register tile of a direct convolution or matrix product: output channels in the lanes, or pixels.
 *
 * In: extents of a sum of products of an image and weights, what a schedule asks for, the machine. Out: which of the
 * two nests is to be made, the one of fewer cycles, and its tile. Always holds: what carries a direct plan out and what
 * predicts its cost ask here; sizes that the schedule says are kept, and the tile that was chosen, said in a schedule,
 * is chosen again. */
#ifndef WN_PLAN_DIRECT_H
#define WN_PLAN_DIRECT_H

#include "plan/tiles.h"

/* A sum over `taps` of image * weights, for K output channels and pixels in rows. */
typedef struct direct_shape {
  wn_dtype dtype;  /* the widest that is computed with */
  int64_t K, X, Y; /* channels; pixels: the fastest axis, the next one, 0 where there is none */
  int64_t pixels;  /* all, X and Y included; */
  int64_t others;  /* and what there is besides them and channels */
  int64_t taps;    /* terms of a sum, channels included */
  int64_t stride;  /* of X in the image */
  bool k_last;     /* channels are neighbours in memory where they are stored */
  bool masked;     /* the image is read past its edges along X */
  bool overlaps;   /* the last tile of a row may begin early and compute some pixels again */
  bool packs;      /* weights get an array of their own: they are constant, or pixels are many */
  /* Share of the products that do not meet padding; < 1 only for images that fit a register tile. */
  double inside;
} direct_shape;

/* Fewer do not pay for packing weights in each run. */
enum { PACKED_FROM_PIXELS = 32 };

typedef struct channel_sizes { /* held in registers: vectors * lanes channels by ys * xs pixels */
  int lanes, vectors;
  int64_t xs, ys;
} channel_sizes;

/* Are output channels to be in the lanes, of packed weights, and in which tile? */
bool direct_channels(const schedule *s, const machine *m, const direct_shape *p,
                     channel_sizes *best);
/* Pixels in the lanes, by channels; false: the schedule asks for a tile that there is not. */
bool direct_pixels(const schedule *s, const machine *m, const direct_shape *p, register_tile *best);
/* Is the whole image in one tile, so that taps which meet padding are left out? */
bool direct_takes_all(const direct_shape *p, const channel_sizes *t);

#endif
