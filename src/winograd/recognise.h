/* What the recogniser hands to the rewrite. Internal to src/winograd.
 *
 * A matched REDUCE is sum over k.., c.. of act * wgt.
 * Always holds: every output loop (free RANGE of the REDUCE) and every reduction loop is in
 * exactly one of axis[].o, axis[].k, batch, outs, groups, chans; act contains the loops of an axis
 * only through the one value u = s * o + |d| * k (k counted from the other end where d < 0); wgt
 * contains no axis's o. */
#ifndef WN_WINOGRAD_RECOGNISE_H
#define WN_WINOGRAD_RECOGNISE_H

#include "ir/uop.h"
#include "lower/lower.h"
#include "rewrite/rewrite.h"
#include "winograd/algebra.h"

enum { WINO_MAX_LOOPS = 24 };

typedef struct loop_list {
  int n;
  const uop *at[WINO_MAX_LOOPS]; /* RANGEs */
} loop_list;

/* A window: output loop o and filter loop k meet in act as q * (s * o + d * k) only, whatever q. */
typedef struct wino_slide {
  const uop *o, *k;
  int64_t s, d; /* coprime, s > 0, d != 0; a negative d is a filter that runs backwards */
  int64_t outputs, taps;
} wino_slide;

typedef struct wino_match {
  const uop *reduce;
  const uop *act, *wgt; /* wgt includes constant factors of the product */
  int naxes;
  wino_slide axis[WN_MAX_SPATIAL]; /* outermost output loop first */
  loop_list batch;                 /* output loops of act alone */
  loop_list outs;                  /* output loops of wgt alone */
  loop_list groups;                /* output loops of both */
  loop_list chans;                 /* reduction loops that are no axis's k */
} wino_match;

/* Fills *out and returns NULL if the REDUCE matches, else the reason (static, or in the graph's
 * arena). */
const char *wino_recognise(graph *g, const uop *reduce, wino_match *out);

/* Gives up a window: its output loop is one more batch loop, its filter loop one more channel.
 * Always right. */
void wino_unpair(wino_match *m, int axis);

/* act with every q * (s * o + d * k) replaced by u[axis] (plus a constant where d < 0): a function
 * of u instead of o and k, for u[i] in [0, s * (outputs - 1) + |d| * (taps - 1)]. */
const uop *wino_window(graph *g, const wino_match *m, const uop *const *u);

/* --- slide.c: how loops meet in the integers of an expression --- */

typedef struct wino_visit {
  const uop *u;
  const linear_form *form; /* of a maximal integer sum, or of left - right for a comparison; NULL
                              for other nodes */
} wino_visit;

typedef VEC(const uop *) uop_vec;

/* Everything under an expression that depends on a loop, each maximal integer sum as a linear form.
 */
typedef struct wino_walk {
  graph *g;
  VEC(wino_visit) visits; /* by id */
  uop_vec loads;          /* memory read inside of an address */
  uop_vec opaque;         /* integers that could not be read as a linear form */
  uop_vec bound;          /* RANGEs bound inside */
} wino_walk;

void wino_walk_init(wino_walk *w, graph *g, const uop *e);

typedef enum {
  PAIR_NONE,  /* o and k never meet, or meet without overlapping: s * o + d * k is one of a kind for
                 each (o, k) */
  PAIR_APART, /* they meet, but elsewhere one of them stands alone or in another proportion */
  PAIR_DATA,  /* they meet, and an address depends on them through memory */
  PAIR_OPAQUE, /* they meet, and something that depends on them could not be read */
  PAIR_WINDOW  /* they meet as s * o + d * k everywhere, and windows overlap */
} wino_pair;
wino_pair wino_walk_pair(const wino_walk *w, const uop *o, const uop *k, int64_t *s, int64_t *d);

/* --- kron.c --- */

/* The Kronecker product of one matrix per axis applied to a row-major block of values, axis by
 * axis, last axis first. in: product of steps[i]->cols values; result: product of steps[i]->rows
 * values in the graph's arena. */
const uop **wino_kron(graph *g, int ndim, const wino_steps *const *steps, const uop *const *in);

#endif
