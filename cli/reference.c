/* The definition, as loops: y[n][k][o] = sum over c, f of x[n][c][o * stride + f * dilation - pad]
 * * w[k][c][f]. The float32 convolution that sets the promise is one chain of fused multiply-adds
 * in the same order. */
#include "reference.h"

#include <math.h>

#include "random.h"

#define LEAST_PLACES 256
/* Above this float32 may overflow on the way to a result that it could hold; such places are not
 * compared. */
#define HUGE_RESULT 1e34

const char *activation_name(activation act) {
  static const char *const names[ACT_COUNT] = {
      [ACT_NONE] = "none", [ACT_RELU] = "relu", [ACT_SIGMOID] = "sigmoid",
      [ACT_TANH] = "tanh", [ACT_GELU] = "gelu", [ACT_ABS] = "abs",
  };
  return names[act];
}

static double activate(activation act, double v) {
  switch (act) {
    case ACT_RELU:
      return v < 0 ? 0 : v;
    case ACT_SIGMOID:
      return 1 / (1 + exp(-v));
    case ACT_TANH:
      return tanh(v);
    case ACT_GELU:
      return 0.5 * v * (1 + erf(v * 0.70710678118654752440));
    case ACT_ABS:
      return fabs(v);
    default:
      return v;
  }
}

/* One output place and the strides that lead to its inputs. */
typedef struct place {
  int64_t n, k, at[PROBLEM_AXES];
} place;

typedef struct strides {
  int64_t n, c, axis[PROBLEM_AXES];
} strides;

static strides strides_of(int nd, int64_t channels, const int64_t *extent, bool nhwc) {
  strides s = {0};
  int64_t step = nhwc ? channels : 1;
  for (int i = nd - 1; i >= 0; --i) {
    s.axis[i] = step;
    step *= extent[i];
  }
  s.c = nhwc ? 1 : step;
  s.n = nhwc ? step : step * channels;
  return s;
}

/* The filter taps as offsets, once for all places. */
typedef struct tap {
  int64_t reach[PROBLEM_AXES];
} tap;

static tap *make_taps(arena *a, const problem *p, int64_t *count) {
  *count = 1;
  for (int i = 0; i < p->nd; ++i) *count *= p->filter[i];
  tap *taps = arena_array(a, tap, *count);
  for (int64_t t = 0; t < *count; ++t) {
    int64_t rest = t;
    for (int i = p->nd - 1; i >= 0; --i) {
      taps[t].reach[i] = rest % p->filter[i] * p->dilation[i] - p->pad_lo[i];
      rest /= p->filter[i];
    }
  }
  return taps;
}

/* Offset of the tap's input from the image's first element, -1 in the padding. */
static int64_t tap_offset(const problem *p, const strides *xs, const place *at, const tap *t) {
  int64_t offset = 0;
  for (int i = 0; i < p->nd; ++i) {
    int64_t in = at->at[i] * p->stride[i] + t->reach[i];
    if (in < 0 || in >= p->in[i]) return -1;
    offset += in * xs->axis[i];
  }
  return offset;
}

static void sum_at(const conv_data *d, const strides *xs, const tap *taps, int64_t ntaps,
                   const place *at, double *exact, double *summed, float *direct) {
  const problem *p = d->problem;
  int64_t channels = p->ic / p->groups, group = at->k / (p->oc / p->groups);
  double sum = 0, size = 0;
  float chain = 0;
  for (int64_t t = 0; t < ntaps; ++t) {
    int64_t offset = tap_offset(p, xs, at, &taps[t]);
    if (offset < 0) continue;
    const float *x = d->x + at->n * xs->n + group * channels * xs->c + offset;
    const float *w = d->w + at->k * channels * ntaps + t;
    for (int64_t c = 0; c < channels; ++c) {
      double product = (double)x[c * xs->c] * (double)w[c * ntaps];
      sum += product;
      size += fabs(product);
      chain = fmaf(x[c * xs->c], w[c * ntaps], chain);
    }
  }
  *exact = sum;
  *summed = size;
  *direct = chain;
}

/* Index i of all places, or for a sample: the corners first, then draws. */
static place choose(const problem *p, int64_t i, bool all, random_state *random) {
  int64_t extent[PROBLEM_AXES + 2] = {p->mb, p->oc}, at[PROBLEM_AXES + 2] = {0};
  int n = p->nd + 2, corners = 1 << n;
  for (int j = 0; j < p->nd; ++j) extent[j + 2] = p->out[j];
  for (int j = n - 1; j >= 0; --j) {
    if (all) {
      at[j] = i % extent[j];
      i /= extent[j];
    } else if (i < corners) {
      at[j] = i >> j & 1 ? extent[j] - 1 : 0;
    } else {
      uint64_t high = random_u32(random);
      at[j] = (int64_t)((high << 32 | random_u32(random)) % (uint64_t)extent[j]);
    }
  }
  place out = {at[0], at[1], {0}};
  for (int j = 0; j < p->nd; ++j) out.at[j] = at[j + 2];
  return out;
}

void reference_make(reference *r, arena *a, const conv_data *d, int64_t budget) {
  const problem *p = d->problem;
  int64_t per_place = p->macs / p->out_count, ntaps;
  bool all = p->macs <= budget;
  r->count = budget / per_place;
  if (r->count < LEAST_PLACES) r->count = LEAST_PLACES;
  if (all || r->count >= p->out_count) {
    all = true;
    r->count = p->out_count;
  }
  r->place = arena_array(a, int64_t, r->count);
  r->value = arena_array(a, double, r->count);
  r->summed = arena_array(a, double, r->count);
  tap *taps = make_taps(a, p, &ntaps);
  strides xs = strides_of(p->nd, p->ic, p->in, d->nhwc),
          ys = strides_of(p->nd, p->oc, p->out, d->nhwc);
  random_state random;
  random_seed(&random, 20, 5);
  double missed = 0, total = 0, summed = 0;
  for (int64_t i = 0; i < r->count; ++i) {
    place at = choose(p, i, all, &random);
    int64_t index = at.n * ys.n + at.k * ys.c;
    for (int j = 0; j < p->nd; ++j) index += at.at[j] * ys.axis[j];
    double v, size;
    float direct;
    sum_at(d, &xs, taps, ntaps, &at, &v, &size, &direct);
    if (isfinite(v) && isfinite(direct)) {
      missed += (v - (double)direct) * (v - (double)direct);
      total += v * v;
      summed += size * size;
    }
    double bias = d->bias != NULL ? (double)d->bias[at.k] : 0;
    double residual = d->residual != NULL ? (double)d->residual[index] : 0;
    v += bias + residual;
    r->summed[i] = size + fabs(bias) + fabs(residual);
    r->place[i] = index;
    r->value[i] = activate(d->act, v);
  }
  r->direct_error = total > 0 ? sqrt(missed / total) : 0;
  r->direct_sum_error = summed > 0 ? sqrt(missed / summed) : 0;
}

void reference_compare(const reference *r, const float *y, error_figures *e) {
  double missed = 0, total = 0, all = 0;
  *e = (error_figures){0, 0, 0, 0};
  for (int64_t i = 0; i < r->count; ++i) {
    double want = r->value[i], got = (double)y[r->place[i]];
    if (isfinite(want) && fabs(want) > HUGE_RESULT) continue;
    if (!isfinite(want) || !isfinite(got)) {
      bool same = (isnan(want) && isnan(got)) || want == got;
      if (!same) ++e->wrong_special;
      continue;
    }
    double gap = fabs(want - got);
    if (gap > e->max_abs) e->max_abs = gap;
    missed += gap * gap;
    total += want * want;
    all += r->summed[i] * r->summed[i];
  }
  e->relative_sum = all > 0 ? sqrt(missed / all) : sqrt(missed);
  e->relative_l2 = total > 0 ? sqrt(missed / total) : sqrt(missed);
}

static double allowed(double direct, wn_math math) {
  return fmax(math == WN_MATH_FP32_FAST ? 1e-5 : 1.2e-6, 2 * direct);
}

double reference_promise(const reference *r, wn_math math) {
  return allowed(r->direct_error, math);
}

double reference_sum_promise(const reference *r, wn_math math) {
  return allowed(r->direct_sum_error, math);
}
