/* Recognise convolutions by their index arithmetic and rewrite them into Winograd's minimal filtering.
 *
 * In: range IR (simplified). Out: the same with every matched REDUCE replaced by INDEX(o, ...), where
 *
 *   x = BUFFERIZE(kron(B^T, d)[f...],  f0.., g, c, t)     name "x"  input transform
 *   g = BUFFERIZE(kron(G, w)[f...],    f0.., g, k, c)     name "g"  weight transform
 *   m = BUFFERIZE(REDUCE(ADD, x * g, c), f0.., g, k, t)   name "m"  products summed over channels (no REDUCE without c)
 *   o = BUFFERIZE(kron(A^T, m)[p...],  g, k, t, p0..)     name "o"  output transform
 *
 * each with RANGEs of its own. A class that several loops belong to is one fused RANGE (row-major, div and mod inside):
 *   t  tiles: batch-like loops of the activations, dilation phases, then one tile loop per window axis (last fastest)
 *   k  loops of the weights alone      g  loops of both operands (groups)      c  reduction loops, stride phases,
 *   pieces f, p  one RANGE per window axis, extents n_i = m_i + r_i - 1 and m_i
 * A class without loops has no RANGE. A kron is GET(STACK(...), f0 * n1 + f1 ...). Tiles that reach past the image read
 * guarded zeros. All four have the number of their site and say which stage they are; they are labelled "x3", "g3", ...
 * after it, and "x", "g", ... if it is the first.
 * Always holds: no convolution metadata is consulted; declining leaves the REDUCE as it was and says why. */
#ifndef WN_WINOGRAD_WINOGRAD_H
#define WN_WINOGRAD_WINOGRAD_H

#include "ir/walk.h"
#include "winograd/algebra.h"

typedef struct wino_options {
  bool off;            /* recognise for the trace, rewrite nothing */
  const char *why_off; /* for the trace; NULL: it was asked for */
  /* nm 0: choose; 1: the same m for every window axis; else one per axis. m in 1..8 */
  int nm, m[WN_MAX_SPATIAL];
  wn_math math;
  /* with nm 0: rewrite even where direct is expected to be faster (a plan asked for by name) */
  bool always;
} wino_options;

typedef enum { CLASS_T, CLASS_K, CLASS_G, CLASS_C, CLASS_F, CLASS_P, CLASS_COUNT } range_class;

typedef struct wino_site {
  int number; /* of the site: in bufferize_info.site of its BUFFERIZEs */
  int ndim;   /* window axes that are transformed */
  int m[WN_MAX_SPATIAL], r[WN_MAX_SPATIAL], n[WN_MAX_SPATIAL];
  int nt; /* loops fused in t, outermost first; the last ndim are tile loops */
  int64_t t_extent[WN_MAX_DIMS];
  int64_t out_extent[WN_MAX_SPATIAL]; /* outputs per window axis (after dilation phases) */
  int64_t T, K, G, C;                 /* extents of the classes, 1 where absent */
  double error;                       /* predicted relative L2 */
  bool promise_missed;
  /* options.nm and m that give this site again: one per window, 1 where it is left alone */
  int nwindow, window_m[WN_MAX_SPATIAL];
  double cost; /* predicted, direct = 1; 0 where m was given */
} wino_site;

typedef struct wino_result {
  const uop *root;
  int nsites;
  wino_site *site;   /* in the graph's arena */
  const char *trace; /* one line per REDUCE looked at: matched with what, or declined and why */
} wino_result;

/* Every match alike, numbered in the order in which they are met, sources first. */
wino_result wino_rewrite(graph *g, const uop *root, const wino_options *options);
/* Each as its own options say. numbers: id of a REDUCE in root -> number of the site; option: by that number. */
wino_result wino_rewrite_sites(graph *g, const uop *root, const map *numbers,
                               const wino_options *option);

/* The recogniser alone, for tests and explain: NULL if this REDUCE matches, else the reason ("not a sum of products:
 * MAX", "no filter loop: every reduction loop is in both operands by itself", ...), a static or arena string. */
const char *wino_why_not(graph *g, const uop *reduce);

#endif
