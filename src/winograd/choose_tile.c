/* Which F(m, r) per axis, and in how many pieces a long filter.
 *
 * In: filter lengths, outputs per axis, channels. Out: the cheapest choice whose predicted error
 * keeps the promise.
 * An axis of three or more may be left alone (m = 1: its taps are channels more), transformed
 * whole, or in q pieces of ceil(r / q) taps, 3 to 5 each (its pieces are channels more: a nested
 * sum). n^N <= 64 products a tile.
 * The cost counts scalar multiply-adds: n^N c k products a tile, the steps of both data transforms,
 * which also load and store, and the transformed weights that every call reads. It is relative to
 * direct convolution; near 1 is where measured libraries break even (8 -> 8 and 3 -> 64 channels
 * lose, 16 -> 16 wins a little, 64 -> 64 takes 0.4).
 * Always holds: a choice that misses the promise is never made. */
#include <math.h>

#include "winograd/model.h"

enum { MAX_M = 8, MAX_CANDIDATES = 32, MAX_PRODUCTS = 64 };

static const double OVERHEAD = 1.3; /* of the products' loops over direct's, easier to tile */
static const double TRANSFORM = 2;  /* a step of a transform with its share of loads and stores */
static const double UNEQUAL = 1.05; /* unequal transforms are more code and harder to read */
static const double MARGIN = 0.85;  /* dearer than this it may as well lose */
/* Reading one element of the weights, in multiply-adds. */
static const double CACHED_READ = 2, MEMORY_READ = 8;
static const double CACHE_BYTES = 16 << 20;

typedef struct axis_choice {
  wino_axis axis;
  int m, piece;
  double pieces, tiles; /* factors of the channels and of the tiles */
  /* taps with the zeros that fill the last piece, over taps: noise without signal */
  double padding;
} axis_choice;

typedef struct search {
  int ndim, count[WN_MAX_SPATIAL];
  const int *r;
  axis_choice list[WN_MAX_SPATIAL][MAX_CANDIDATES];
  double c, k, direct, bound;
  const axis_choice *picked[WN_MAX_SPATIAL];
  wino_choice best;
} search;

static double weights_read(double elements) {
  return elements * (elements * sizeof(float) > CACHE_BYTES ? MEMORY_READ : CACHED_READ);
}

static void add_candidate(arena *a, search *s, int i, int m, int piece, int r, int64_t extent) {
  if (s->count[i] == MAX_CANDIDATES) return;
  axis_choice *to = &s->list[i][s->count[i]++];
  to->m = m;
  to->piece = piece;
  to->pieces = (double)((r + piece - 1) / piece);
  to->padding = to->pieces * piece / r;
  to->tiles = (double)((extent + m - 1) / m);
  to->axis = wino_axis_of(a, wino_matrices_build(a, m, piece));
}

static void list_candidates(arena *a, search *s, int i, int r, int64_t extent, wn_math math) {
  int longest =
      s->ndim == 1 && math != WN_MATH_FP32 ? 10 : 8; /* larger n never keeps the promise */
  if (r == 1 || s->ndim > 2) add_candidate(a, s, i, 1, 1, r, extent);
  int last_piece = 0;
  for (int q = 1; q <= r && r > 1; ++q) {
    int piece = (r + q - 1) / q;
    if (piece == last_piece || (q > 1 && (piece < 3 || piece > 5))) continue;
    last_piece = piece;
    for (int m = 2; m <= MAX_M && m + piece - 1 <= longest; ++m) {
      add_candidate(a, s, i, m, piece, r, extent);
    }
  }
}

/* Multiply-adds of one call, relative to direct. */
static double cost_of(const search *s) {
  double tiles = 1, products = 1, channels = s->c, in = 0, out = 0;
  for (int i = 0; i < s->ndim; ++i) {
    tiles *= s->picked[i]->tiles;
    products *= s->picked[i]->axis.n;
    channels *= s->picked[i]->pieces;
  }
  /* Axis by axis: n^(N-1) columns go in; A^T leaves m of n values of each for the axes after it. */
  double columns = products;
  for (int i = 0; i < s->ndim; ++i) {
    const wino_axis *x = &s->picked[i]->axis;
    in += x->steps_b * products / x->n;
    out += x->steps_a * columns / x->n;
    columns *= (double)x->m / x->n;
  }
  double work =
      tiles * (products * channels * s->k + TRANSFORM * (in * channels + out * s->k)) * OVERHEAD;
  return (work + weights_read(products * channels * s->k)) / s->direct;
}

/* Do axes with equal filters get equal transforms? */
static bool uniform(const search *s) {
  for (int i = 0; i < s->ndim; ++i) {
    for (int j = 0; j < i; ++j) {
      const axis_choice *x = s->picked[i], *y = s->picked[j];
      if (s->r[i] == s->r[j] && (x->m != y->m || x->piece != y->piece)) return false;
    }
  }
  return true;
}

static void consider(search *s) {
  wino_axis axis[WN_MAX_SPATIAL] = {0};
  double channels = s->c, padding = 1;
  bool transformed = false;
  for (int i = 0; i < s->ndim; ++i) {
    axis[i] = s->picked[i]->axis;
    channels *= s->picked[i]->pieces;
    padding *= s->picked[i]->padding;
    transformed |= s->picked[i]->m > 1;
  }
  int64_t chain = (int64_t)fmin(channels, WINO_CHAIN);
  double error = wino_axes_error(s->ndim, axis, chain) * sqrt(padding);
  if (!transformed || error > s->bound) return;
  double cost = cost_of(s) * (uniform(s) ? 1 : UNEQUAL);
  if (s->best.ndim != 0 && cost >= s->best.cost) return;
  s->best.ndim = s->ndim;
  s->best.error = error;
  s->best.cost = cost;
  s->best.chain = chain;
  for (int i = 0; i < s->ndim; ++i) {
    s->best.m[i] = s->picked[i]->m;
    s->best.piece[i] = s->picked[i]->m == 1 ? s->r[i] : s->picked[i]->piece;
  }
}

static void pick(search *s, int i, int products) {
  if (i == s->ndim) {
    consider(s);
    return;
  }
  for (int j = 0; j < s->count[i]; ++j) {
    s->picked[i] = &s->list[i][j];
    if (products * s->picked[i]->axis.n <= MAX_PRODUCTS)
      pick(s, i + 1, products * s->picked[i]->axis.n);
  }
}

static void run_search(arena *a, search *s, const int *r, const int64_t *extent, wn_math math) {
  double outputs = 1, taps = 1;
  for (int i = 0; i < s->ndim; ++i) {
    outputs *= (double)extent[i];
    taps *= r[i];
    int same = 0;
    while (r[same] != r[i] || extent[same] != extent[i]) ++same;
    if (same < i) {
      s->count[i] = s->count[same];
      memcpy(s->list[i], s->list[same], sizeof s->list[i]);
    } else {
      list_candidates(a, s, i, r[i], extent[i], math);
    }
  }
  s->direct = outputs * s->c * s->k * taps + weights_read(s->c * s->k * taps);
  s->bound = WINO_SPREAD * math_bound(math, (int64_t)fmin(s->c * taps, 1e15));
  pick(s, 0, 1);
}

bool wino_choose(arena *a, int ndim, const int *r, const int64_t *extent, int64_t c, int64_t k,
                 wn_math math, wino_choice *out) {
  arena scratch;
  arena_init(&scratch, a->diag);
  search *s = arena_new(a, search);
  s->ndim = ndim;
  s->r = r;
  s->c = (double)c;
  s->k = (double)k;
  wn_status st;
  DIAG_TRY(a->diag, st) { run_search(&scratch, s, r, extent, math); }
  DIAG_END(a->diag, st)
  arena_release(&scratch);
  if (st != WN_OK) diag_fail(a->diag, st, "%s", arena_strdup(a, a->diag->message));
  *out = s->best;
  return s->best.ndim != 0 && s->best.cost < MARGIN;
}
