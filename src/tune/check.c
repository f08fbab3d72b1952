/* The error of a result at sampled places; see check.h.
 *
 * A grid with steps that no tile divides visits every position of a tile, and costs the compiler no more than one
 * output. Each output has two: one that starts at its first place, one that ends at its last, so all corners are looked
 * at. */
#include "tune/check.h"

#include <math.h>

#include "backend/element.h"
#include "backend/registry.h"
#include "tensor/tensor.h"
#include "tune/magnitude.h"

/* Flops that the reference may cost, a tenth of a second or so in the interpreter, and at most, with what has to be
 * computed before the sampled places can be. */
static const double FLOPS = 2e7, MOST_FLOPS = 1e9;
static const double LEAST_PLACES = 256, MOST_PLACES = 16384; /* of a grid */

static const int64_t steps[] = {1, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 43, 53, 61, 71, 83, 101};
enum { STEPS = sizeof steps / sizeof *steps };

static int64_t count_of(int64_t extent, int64_t begin, int64_t step) {
  return (extent - begin + step - 1) / step;
}

/* Widens the step of the axis with the most places until there are few enough. */
static void choose_steps(const int_list *shape, int64_t most, int64_t *step) {
  int at[WN_MAX_DIMS] = {0};
  for (int i = 0; i < shape->len; ++i) step[i] = 1;
  for (;;) {
    double places = 1;
    int longest = -1;
    for (int i = 0; i < shape->len; ++i) {
      int64_t n = count_of(shape->at[i], 0, step[i]);
      places *= (double)n;
      if (longest < 0 || n > count_of(shape->at[longest], 0, step[longest])) longest = i;
    }
    if (places <= (double)most || longest < 0) return;
    step[longest] = ++at[longest] < STEPS ? steps[at[longest]] : 2 * step[longest] + 1;
  }
}

static bool add_grid(check *c, arena *a, int out, const int64_t *step, bool to_last) {
  const int_list *shape = c->outs[out]->shape;
  check_grid *g = &c->grid[c->ngrids];
  bool differs = false;
  g->out = out;
  g->places = 1;
  for (int i = 0; i < shape->len; ++i) {
    g->step[i] = step[i];
    g->begin[i] = to_last ? (shape->at[i] - 1) % step[i] : 0;
    g->count[i] = count_of(shape->at[i], g->begin[i], step[i]);
    g->places *= g->count[i];
    differs |= g->begin[i] != 0;
  }
  if (to_last && !differs) return false;
  size_t bytes = (size_t)g->places * wn_dtype_size(c->outs[out]->dtype);
  g->value = arena_alloc(a, bytes);
  g->summed = arena_alloc(a, bytes);
  c->places += g->places;
  ++c->ngrids;
  return true;
}

static wn_tensor *places_of(wn_tensor *t, const check_grid *g) {
  return wn_stride(wn_shrink(t, g->begin, t->shape->at), g->step);
}

double check_flops(wn_program *p) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_kernel_info k = WN_KERNEL_INFO();
  double flops = 0;
  wn_program_get_info(p, &info);
  for (int i = 0; i < info.kernels + info.prepare_kernels; ++i) {
    if (wn_program_get_kernel(p, i, &k) == WN_OK) flops += k.flops;
  }
  return flops;
}

/* One program for each grid: two demands on a value would make the compiler keep all of it in an array. */
static void run_reference(check *c, arena *a, wn_context *ctx, wn_tensor *t, void *value) {
  const wn_options o = WN_OPTIONS(.plan = "direct", .backend = registry_reference()->name,
                                  .threads = 1, .no_cache = 1);
  wn_status before = ctx->error; /* a tensor of ours that fails is no error of the caller's */
  wn_program *p;
  wn_status st = wn_compile(ctx, &t, &value, 1, &o, &p);
  ctx->error = before;
  if (st != WN_OK) {
    c->why_not = arena_printf(a, "the reference cannot be computed: %s", wn_message(ctx));
    return;
  }
  if (check_flops(p) > MOST_FLOPS)
    c->why_not = "a reference in float64 would take too long";
  else if (wn_run(p) != WN_OK)
    c->why_not = "the reference could not be run";
  wn_program_destroy(p);
}

/* Index into the whole output of place number `place` of the grid. */
static int64_t index_of(const int_list *shape, const check_grid *g, int64_t place) {
  int64_t index = 0, stride = 1;
  for (int i = shape->len - 1; i >= 0; --i) {
    index += (g->begin[i] + place % g->count[i] * g->step[i]) * stride;
    place /= g->count[i];
    stride *= shape->at[i];
  }
  return index;
}

void check_poison(const check *c, void *const *data) {
  for (int i = 0; i < c->ngrids; ++i) {
    const check_grid *g = &c->grid[i];
    const wn_tensor *t = c->outs[g->out];
    size_t size = wn_dtype_size(t->dtype);
    if (t->dtype == WN_BOOL) continue; /* 255 is none */
    for (int64_t p = 0; p < g->places; ++p)
      memset((char *)data[g->out] + (size_t)index_of(t->shape, g, p) * size, 0xff, size);
  }
}

typedef struct sums {
  double missed, total, summed;
} sums;

/* Places at which the exact result is no number say nothing about rounding. */
static sums compare(const check *c, const check_grid *g, const void *result) {
  const wn_tensor *t = c->outs[g->out];
  sums s = {0, 0, 0};
  for (int64_t i = 0; i < g->places; ++i) {
    double want = element_read(t->dtype, g->value, i);
    if (!isfinite(want)) continue;
    double gap = element_read(t->dtype, result, index_of(t->shape, g, i)) - want;
    s.missed += gap * gap;
    double size = element_read(t->dtype, g->summed, i);
    s.total += want * want;
    s.summed += fmax(size * size, want * want); /* rounding made it less, or infinity NAN */
  }
  return s;
}

static double relative(double missed, double to) { return missed == 0 ? 0 : sqrt(missed / to); }

check_errors check_error(const check *c, void *const *data) {
  check_errors worst = {0, 0};
  for (int o = 0; o < c->nouts; ++o) {
    sums all = {0, 0, 0};
    for (int i = 0; i < c->ngrids; ++i) {
      if (c->grid[i].out != o) continue;
      sums s = compare(c, &c->grid[i], data[o]);
      all.missed += s.missed;
      all.total += s.total;
      all.summed += s.summed;
    }
    if (isnan(all.missed)) return (check_errors){(double)NAN, (double)NAN};
    worst.result = fmax(worst.result, relative(all.missed, all.total));
    worst.summed = fmax(worst.summed, relative(all.missed, all.summed));
  }
  return worst;
}

/* Data of zeros would let any plan pass. */
static bool all_zero(const check *c) {
  for (int i = 0; i < c->ngrids; ++i) {
    for (int64_t p = 0; p < c->grid[i].places; ++p) {
      double v = element_read(c->outs[c->grid[i].out]->dtype, c->grid[i].value, p);
      if (isfinite(v) && v != 0) return false;
    }
  }
  return true;
}

void check_make(check *c, arena *a, wn_context *ctx, wn_tensor *const *outs, int nouts,
                double flops) {
  double elements = 0;
  *c = (check){.outs = outs, .nouts = nouts};
  c->grid = arena_array(a, check_grid, nouts * CHECK_GRIDS);
  c->sums = arena_array(a, wn_tensor *, nouts);
  for (int o = 0; o < nouts; ++o) {
    double n = 1;
    for (int i = 0; i < outs[o]->shape->len; ++i) n *= (double)outs[o]->shape->at[i];
    elements += n;
  }
  double afford = FLOPS / fmax(flops / elements, 1) / (CHECK_GRIDS * nouts);
  int64_t most = (int64_t)fmin(fmax(afford, LEAST_PLACES), MOST_PLACES);
  for (int o = 0; o < nouts; ++o) {
    int64_t step[WN_MAX_DIMS];
    if (tensor_is_empty(outs[o])) continue;
    choose_steps(outs[o]->shape, most, step);
    c->sums[o] = magnitude_of(outs[o]);
    for (int to_last = 0; to_last < CHECK_GRIDS; ++to_last) add_grid(c, a, o, step, to_last != 0);
  }
  for (int i = 0; i < c->ngrids && c->why_not == NULL; ++i) {
    check_grid *g = &c->grid[i];
    run_reference(c, a, ctx, places_of(c->outs[g->out], g), g->value);
    if (c->why_not == NULL) run_reference(c, a, ctx, places_of(c->sums[g->out], g), g->summed);
  }
  if (c->why_not == NULL && all_zero(c))
    c->why_not = "the exact result is 0 wherever it was looked at; tune on data like the real ones";
}
