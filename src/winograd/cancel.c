/* Do a convolution's filters cancel? See cancel.h.
 *
 * A filter is what one output channel makes of one input channel: R S taps w. With s = sum w and e = sum w^2, signs
 * that are independent leave s^2 = e on average, |s| / sum |w| about 1 / sqrt(R S). Looked at are all filters of all
 * channels and groups together:
 *
 *     T = sum s^2 / sum e        1 for independent signs, 0 for filters that sum to nothing
 *
 * Sums over C as well would say nothing more of derivative filters, and would be 0 for trained networks with weight
 * standardisation. The smallest T of a trained layer that we have met is 0.016 (docs/winograd.md); below MOST =
 * (1/64)^2 no trained layer is, but few filters can be by chance: of one filter's |s|, one in 80 is. So the chance is
 * bounded as
 * well: were the sums independent normal numbers of variances e, then for every lambda > 0 (Chernoff)
 *
 *     P(sum s^2 <= T sum e) <= exp(lambda T) prod (1 + 2 lambda e_i / sum e)^(-1/2)
 *
 * and filters cancel where some lambda brings this below CHANCE. One filter has to sum to less than 6e-7 of its size,
 * which is what rounding its taps to f32 leaves of an exact 0; two to less than 1e-3; from four on MOST is what
 * decides. The product is over a histogram of e by powers of two, each e taken at the lower end of its bin: the bound
 * only grows. Large layers are judged by filters evenly spread over them. */
#include <math.h>

#include "winograd/cancel.h"

static const double MOST = 1.0 / 4096, CHANCE = 1e-6;
enum {
  GLANCE = 512,   /* filters that are enough to see that a layer does not cancel, */
  LOOK = 1 << 15, /* and to believe that it does */
  TAPS = 1 << 10, /* of a filter; what is longer is no filter that anybody makes */
  LEAST = -1075,  /* powers of two that a number may have */
  BINS = 1024 - LEAST + 1
};

/* --- all filters ------------------------------------------------------------------------------ */

typedef struct tally {
  double left, all; /* sums of s^2 and of e */
  /* filters by the exponent of their e, from LEAST on; NULL: they are not counted */
  int64_t *count;
} tally;

typedef struct loop {
  int64_t extent;
  int place; /* in the reader */
} loop;

typedef struct filters { /* a number of them counts through the loops of groups and channels */
  int nloops, naxes;
  loop each[4 * WINO_MAX_LOOPS];
  loop tap[WN_MAX_SPATIAL];
  int64_t count, taps;
} filters;

static void add_loops(filters *f, const loop_list *l, const weight_reader *r) {
  for (int i = 0; i < l->n; ++i)
    f->each[f->nloops++] = (loop){l->at[i]->arg.j, weight_reader_loop(r, l->at[i])};
}

/* False where there is nothing to sum, or more than numbers can count. */
static bool filters_init(filters *f, const wino_match *m, const weight_reader *r) {
  *f = (filters){.naxes = m->naxes, .count = 1, .taps = 1};
  add_loops(f, &m->groups, r);
  add_loops(f, &m->outs, r);
  add_loops(f, &m->chans, r);
  for (int i = 0; i < f->nloops; ++i) {
    if (f->count > (INT64_C(1) << 40) / f->each[i].extent) return false;
    f->count *= f->each[i].extent;
  }
  for (int i = 0; i < m->naxes; ++i) {
    f->tap[i] = (loop){m->axis[i].taps, weight_reader_loop(r, m->axis[i].k)};
    f->taps *= m->axis[i].taps;
    if (f->taps > TAPS) return false;
  }
  return f->taps > 1;
}

/* The loops at the values that make up a number, the last loop fastest. */
static void bind_all(weight_reader *r, const loop *at, int n, int64_t number) {
  for (int i = n - 1; i >= 0; --i) {
    weight_reader_set(r, at[i].place, number % at[i].extent);
    number /= at[i].extent;
  }
}

static void add_filter(tally *t, weight_reader *r, const filters *f, int64_t number) {
  double sum = 0, energy = 0;
  int exponent;
  bind_all(r, f->each, f->nloops, number);
  for (int64_t i = 0; i < f->taps; ++i) {
    bind_all(r, f->tap, f->naxes, i);
    double w = weight_reader_value(r);
    sum += w;
    energy += w * w;
  }
  t->left += sum * sum;
  t->all += energy;
  if (t->count == NULL || !(energy > 0) || !isfinite(energy)) return;
  frexp(energy, &exponent);
  ++t->count[exponent - 1 - LEAST]; /* energy is at least 2^(exponent - 1) */
}

/* Up to `most` filters, evenly spread: multiples, modulo their number, of a step near its golden section. */
static void measure(weight_reader *r, const filters *f, int64_t most, tally *t) {
  int64_t step = 1, at = 0, n = f->count < most ? f->count : most;
  if (f->count > most) step = (int64_t)((double)f->count * 0.6180339887);
  while (int_gcd(f->count, step) != 1) ++step;
  t->left = t->all = 0;
  for (int64_t i = 0; i < n; ++i) {
    add_filter(t, r, f, at);
    at = (at + step) % f->count;
  }
}

/* Is the chance that independent sums leave so little below CHANCE? */
static bool is_no_chance(const tally *t) {
  double left = t->left / t->all;
  for (double lambda = 1; lambda < 0x1p200; lambda *= 2) {
    double log_chance = lambda * left;
    for (int i = 0; i < BINS; ++i) {
      if (t->count[i] == 0) continue;
      double share = ldexp(1, i + LEAST) / t->all;
      log_chance -= 0.5 * (double)t->count[i] * log1p(2 * lambda * share);
    }
    if (log_chance < log(CHANCE)) return true;
  }
  return false;
}

/* Not where anything is not finite, nor where all is zero. */
static bool is_small(const tally *t) {
  return isfinite(t->left) && isfinite(t->all) && t->all > 0 && t->left <= MOST * t->all;
}

const char *wino_cancels(graph *g, const wino_match *m, const wino_weights *weights) {
  if (weights == NULL) return NULL;
  weight_reader *r = weight_reader_new(g, m->wgt, weights);
  filters *f = arena_new(&g->arena, filters);
  tally t = {0};
  if (r == NULL || !filters_init(f, m, r)) return NULL;
  measure(r, f, GLANCE, &t);
  if (!is_small(&t)) return NULL;
  t.count = arena_array(&g->arena, int64_t, BINS);
  measure(r, f, LOOK, &t);
  if (!is_small(&t) || !is_no_chance(&t)) return NULL;
  double part = sqrt(t.all / t.left);
  const char *left =
      part < 1e6 ? arena_printf(&g->arena, "1/%lld of", (long long)llround(part)) : "nothing of";
  return arena_printf(&g->arena,
                      "its filters cancel: their sums are %s what random signs leave, so on smooth "
                      "data results are far smaller than what is summed",
                      left);
}
