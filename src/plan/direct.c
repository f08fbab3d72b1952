/* Register tiles of direct convolutions; see direct.h. Channels in the lanes is the blocking of Georganas et al.,
 * "Anatomy of high-performance deep learning convolutions on SIMD architectures", SC 2018. */
#include "plan/direct.h"

enum { MOST_VECTORS = 4, IN_L1 = 24 << 10, IN_L2 = 640 << 10 };
static const double NONE = 1e30; /* cycles, of what cannot be had */
/* Of a broadcast from a line that is no longer in the nearest cache, over one that is. A 1x1 convolution 96 to 24 at
 * 120x160 takes 2.6 ms with 8 channels by 12 pixels, 0.9 with 24 by 3 (AVX2). */
static const double AGAIN = 0.5;

/* --- estimates, in cycles of one vector operation --------------------------------------------- */

static int log2_of(int64_t n) {
  int log = 0;
  while (n > 1) n /= 2, ++log;
  return log;
}

/* A vector narrower than the widest saves less than its share: it is the same instruction. Of 64 bytes, most machines
 * have one unit and of 32 two. */
static double lane_cost(int lanes, int widest, int vector_bytes) {
  double least = vector_bytes >= 64 ? 0.2 : 0.55;
  return least + (1.0 - least) * lanes / widest;
}

/* Products, loads or the latency of the additions, 4 cycles in two pipes, whichever binds; loads are not quite free
 * behind products. */
static double tap_cost(double products, double loads) {
  double most = products > loads ? products : loads;
  return (most > 8 ? most : 8.0) + 0.1 * loads;
}

/* A broadcast reads four bytes: beside a vector of 64, which is two halves to read, it counts half. */
static double broadcast_cost(int lanes) { return lanes >= 16 ? 0.5 : 1.0; }

static double blocks(int64_t extent, int64_t tile) { return (double)((extent + tile - 1) / tile); }

/* The whole image in one tile: the taps are unrolled, so that those in the padding are left out. */
bool direct_takes_all(const direct_shape *p, const channel_sizes *t) {
  return p->inside < 1.0 && t->xs == p->X && (p->Y == 0 || t->ys == p->Y);
}

static double channel_cost(const machine *m, const direct_shape *p, const channel_sizes *t,
                           int widest) {
  double pixels = (double)(t->xs * t->ys), fill = t->vectors * pixels,
         loads = t->vectors + pixels * broadcast_cost(t->lanes);
  double block = (double)(p->taps * t->vectors * t->lanes) * 4.0;
  loads += t->vectors * (block > (double)IN_L2   ? 4.0
                         : block > (double)IN_L1 ? 1.0
                                                 : 0.0); /* from further away */
  /* a row of the image comes again for each further block of channels, and its lines go by in between */
  double passes = blocks(p->K, t->vectors * t->lanes), row = (double)(p->X * p->taps) * 4.0;
  if (row > (double)IN_L1) loads += AGAIN * pixels * (passes - 1.0) / passes;
  /* transposed by up to eight pixels at a time: shuffles, and a part of every lane cut out and stored */
  int64_t part = 1;
  while (2 * part <= t->xs && 2 * part <= t->lanes && part < 8) part *= 2;
  double store = (double)(t->vectors * t->ys) *
                 ((double)(t->xs * log2_of(part)) + 1.5 * t->lanes * blocks(t->xs, part));
  if (p->k_last) store = 0; /* as they come */
  double taps = (double)p->taps * (direct_takes_all(p, t) ? p->inside : 1.0);
  double tile =
      taps * tap_cost(fill, loads) * lane_cost(t->lanes, widest, m->vector_bytes) + store + fill;
  double tiles = blocks(p->K, t->vectors * t->lanes) * blocks(p->X, t->xs);
  int64_t rest = p->pixels / p->X;
  if (p->Y > 0) tiles *= blocks(p->Y, t->ys), rest /= p->Y;
  /* a tile that reaches past the end asks for every element */
  bool ragged = p->X % t->xs != 0 && !p->overlaps;
  ragged |= p->Y > 0 && p->Y % t->ys != 0;
  return tiles * tile * (double)(rest * p->others) * (ragged ? 1.15 : 1.0);
}

/* Pixels on the lanes: loads of the image are seldom aligned, at the image's border they are masked, and strides other
 * than 1 are shuffles. */
static double pixel_cost(const machine *m, const direct_shape *p, const register_tile *t,
                         int widest) {
  int64_t vectors = t->t / t->lanes;
  double part = t->lanes * 4.0 / 64.0; /* of a cache line: how often a load meets two of them */
  double load = 1.0 + (part < 1.0 ? 1.5 * part : 2.0);
  if (p->stride != 1) load = p->stride > 1 && p->stride <= 8 ? 2.0 * (double)p->stride : t->lanes;
  if (p->masked || p->X % t->t != 0) load += m->vector_bytes < 32 ? t->lanes : 0.3;
  double fill = (double)(t->k * vectors),
         loads = (double)vectors * load + (double)t->k * broadcast_cost(t->lanes);
  double tile =
      (double)p->taps * tap_cost(fill, loads) * lane_cost(t->lanes, widest, m->vector_bytes) +
      (p->k_last ? 2.0 * t->lanes : 2.0) * fill;
  double tiles = blocks(p->K, t->k) * blocks(p->X, t->t);
  bool ragged = p->X % t->t != 0;
  tiles *= (double)(p->pixels / p->X * p->others);
  return tiles * tile * (ragged ? 1.15 : 1.0);
}

static bool asked(int64_t want, int64_t have) { return want == 0 || want == have; }

static double best_channels(const schedule *s, const machine *m, const direct_shape *p,
                            channel_sizes *best) {
  int widest = widest_lanes(m, p->dtype);
  int budget = m->registers - 4;
  int64_t K = p->K, X = p->X;
  int64_t Y = p->Y > 0 ? p->Y : 1;
  double least = NONE;
  for (int lanes = widest; lanes >= 4; lanes /= 2) {
    for (int v = 1; v <= MOST_VECTORS; ++v) {
      if (v > 1 && (v - 1) * lanes >= K) break;
      for (int64_t xs = 1; xs <= X && xs * v <= budget; ++xs) {
        for (int64_t ys = 1; ys <= Y && xs * ys * v <= budget; ++ys) {
          channel_sizes t = {.lanes = lanes, .vectors = v, .xs = xs, .ys = ys};
          int64_t more = v > 2 ? 3 : 1;
          if (direct_takes_all(p, &t)) more = xs * ys; /* its pixels stay in registers */
          if (v * (xs * ys + 1) + more > m->registers) continue;
          if (!asked(s->k[0], v * lanes) || !asked(s->t[0], xs * ys)) continue;
          double cost = channel_cost(m, p, &t, widest);
          if (cost < least) least = cost, *best = t;
        }
      }
    }
  }
  return least;
}

static double best_pixels(const schedule *s, const machine *m, const direct_shape *p,
                          register_tile *best) {
  int widest = widest_lanes(m, p->dtype);
  int64_t budget = m->registers - 4, K = p->K;
  double least = NONE;
  for (int lanes = widest; lanes >= 1; lanes /= 2) {
    for (int64_t v = 1; v <= 6; ++v) {
      for (int64_t k = 1; k <= 16 && k <= K && k * v <= budget; ++k) {
        if (k * v + 2 * v + 2 > m->registers || (v > 1 && k > 8)) continue;
        if (!asked(s->k[0], k) || !asked(s->t[0], v * lanes) || !asked(s->nlanes, lanes)) continue;
        register_tile t = {k, v * lanes, lanes};
        double cost = pixel_cost(m, p, &t, widest);
        if (cost < least) least = cost, *best = t;
      }
    }
  }
  return least;
}

/* --- the choice ------------------------------------------------------------------------------- */

bool direct_pixels(const schedule *s, const machine *m, const direct_shape *p,
                   register_tile *best) {
  return best_pixels(s, m, p, best) < NONE;
}

bool direct_channels(const schedule *s, const machine *m, const direct_shape *p,
                     channel_sizes *best) {
  register_tile pixels;
  if (!p->packs || m->group > 0 || s->v == 't') return false;
  double channels = best_channels(s, m, p, best);
  if (channels >= NONE) return false;
  bool given = s->k[0] > 0 && s->t[0] > 0;
  return given || s->v == 'k' || channels <= best_pixels(s, m, p, &pixels);
}
