/* Laws of cancel_layouts and fold_scales: random graphs of weighted sums, with factors, divisors, constants and movement behind them, have
 * the same values before and after, by an evaluator of whole tensors that is written here, in double precision; what
 * others read is as it was; weights have no more elements than they had; and most of the graphs do change.
 * Give a seed as the first argument to repeat a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <math.h>

#include "ir/walk.h"
#include "lower/lower.h"
#include "tensor/tensor.h"

enum { ROUNDS = 3000, MOST_ARRAYS = 64, MOST_OUTPUTS = 4, MOST_ELEMENTS = 4096 };

static uint64_t seed, rng;

static int64_t pick(int64_t lo, int64_t hi) {
  rng += 0x9e3779b97f4a7c15u;
  uint64_t z = rng;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return lo + (int64_t)((z ^ (z >> 31)) % (uint64_t)(hi - lo + 1));
}

static int64_t count_of(int ndim, const int64_t *shape) {
  int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= shape[i];
  return n;
}

/* --- random graphs ---------------------------------------------------------------------------- */

typedef struct world {
  wn_context *ctx;
  int arrays;
  double *data[MOST_ARRAYS];
  bool constant[MOST_ARRAYS];
  wn_tensor *out[MOST_OUTPUTS];
  int outs;
  bool ends; /* nothing more is made of it */
} world;

/* Numbers that can be divided by, and zeros where nothing is. */
static wn_tensor *array(world *w, bool constant, int ndim, const int64_t *shape) {
  assert_true(w->arrays < MOST_ARRAYS);
  const int64_t n = count_of(ndim, shape);
  double *data = test_calloc((size_t)n, sizeof *data);
  for (int64_t i = 0; i < n; ++i) data[i] = (double)pick(32, 128) / 64 * (pick(0, 1) ? 1 : -1);
  w->data[w->arrays] = data;
  w->constant[w->arrays++] = constant;
  return (constant ? wn_constant : wn_input)(w->ctx, WN_F64, ndim, shape, data);
}

static wn_tensor *convolution(world *w) {
  const int ns = (int)pick(1, 3);
  const int64_t groups = pick(1, 3), c = groups * pick(1, 2), k = groups * pick(1, 2);
  int64_t xs[5] = {pick(1, 2), c}, ws[5] = {k, c / groups};
  wn_conv_params p = WN_CONV_PARAMS(.groups = groups);
  for (int i = 0; i < ns; ++i) {
    xs[2 + i] = pick(3, 4), ws[2 + i] = pick(1, 3);
    p.stride[i] = pick(1, 2), p.pad_lo[i] = pick(0, 1), p.pad_hi[i] = pick(0, 2);
  }
  wn_tensor *filter = array(w, pick(0, 9) > 0, 2 + ns, ws);
  if (pick(0, 2) == 0) filter = wn_flip(filter, (int[]){2}, 1);
  return wn_conv(array(w, false, 2 + ns, xs), filter, &p);
}

static wn_tensor *product(world *w) {
  const int64_t m = pick(1, 4), n = pick(1, 4), k = pick(1, 4);
  wn_tensor *b = pick(0, 1) ? array(w, true, 2, (int64_t[]){k, n})
                            : wn_permute(array(w, true, 2, (int64_t[]){n, k}), (int[]){1, 0});
  return wn_matmul(array(w, false, 2, (int64_t[]){m, k}), b);
}

/* A weighted sum of this shape, weights the same along some axes. */
static wn_tensor *sum_like(world *w, const wn_tensor *t) {
  const int n = wn_ndim(t);
  int64_t xs[WN_MAX_DIMS], ws[WN_MAX_DIMS];
  for (int i = 0; i < n; ++i) xs[i] = wn_shape(t)[i], ws[i] = pick(0, 2) ? xs[i] : 1;
  xs[n] = ws[n] = pick(1, 3);
  wn_tensor *x = array(w, false, n + 1, xs), *weights = array(w, true, n + 1, ws);
  return wn_reduce(WN_SUM, wn_zip(WN_MUL, x, weights), (int[]){n}, 1, 0);
}

/* What broadcasts with t: constant, but now and then. */
static wn_tensor *beside(world *w, const wn_tensor *t) {
  int64_t shape[WN_MAX_DIMS];
  if (pick(0, 5) == 0) return wn_scalar(w->ctx, WN_F64, (double)pick(1, 8) / 2);
  const int along = (int)pick(-1, wn_ndim(t) - 1);
  for (int i = 0; i < wn_ndim(t); ++i)
    shape[i] = i == along || pick(0, 5) == 0 ? wn_shape(t)[i] : 1;
  return array(w, pick(0, 9) > 0, wn_ndim(t), shape);
}

static wn_tensor *reshaped(wn_tensor *t) {
  int64_t shape[WN_MAX_DIMS + 1];
  const int n = wn_ndim(t), at = (int)pick(0, n - 1);
  if (pick(0, 1) && n > 1 && at + 1 < n) { /* two axes as one */
    for (int i = 0; i < n; ++i) shape[i > at ? i - 1 : i] = wn_shape(t)[i];
    shape[at] = wn_shape(t)[at] * wn_shape(t)[at + 1];
    for (int i = at + 2; i < n; ++i) shape[i - 1] = wn_shape(t)[i];
    return wn_reshape(t, n - 1, shape);
  }
  for (int i = 0; i < n; ++i) shape[i > at ? i + 1 : i] = wn_shape(t)[i];
  const int64_t part = wn_shape(t)[at] % 2 == 0 ? 2 : 1;
  shape[at] = wn_shape(t)[at] / part, shape[at + 1] = part;
  return n < 6 ? wn_reshape(t, n + 1, shape) : t;
}

static wn_tensor *moved(wn_tensor *t) {
  const int n = wn_ndim(t), at = (int)pick(0, n - 1);
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS] = {0};
  int axes[WN_MAX_DIMS];
  for (int i = 0; i < n; ++i) axes[i] = i, hi[i] = wn_shape(t)[i];
  switch (pick(0, 5)) {
    case 0:
      return reshaped(t);
    case 1:
      for (int i = 0; i < n; ++i) axes[i] = (i + at) % n;
      return wn_permute(t, axes);
    case 2:
      return wn_flip(t, &at, 1);
    case 3:
      lo[at] = hi[at] > 1;
      return wn_shrink(t, lo, hi);
    case 4:
      for (int i = 0; i < n; ++i) lo[i] = i == at ? 2 : 1;
      return wn_stride(t, lo);
    default:
      for (int i = 0; i < n; ++i) lo[i] = 0, hi[i] = i == at;
      return wn_pad(t, lo, hi);
  }
}

/* Moved, mapped, and moved back. */
static wn_tensor *there_and_back(world *w, wn_tensor *t) {
  const int n = wn_ndim(t), at = (int)pick(0, n - 1);
  int there[WN_MAX_DIMS], back[WN_MAX_DIMS];
  int64_t flat[WN_MAX_DIMS], shape[WN_MAX_DIMS];
  for (int i = 0; i < n; ++i) {
    there[i] = (i + at) % n, back[(i + at) % n] = i;
    shape[i] = wn_shape(t)[i];
    flat[i] = i < at ? shape[i] : i == at ? count_of(n - at, wn_shape(t) + at) : 1;
  }
  const bool turns = pick(0, 1);
  t = turns ? wn_permute(t, there) : wn_reshape(t, at + 1, flat);
  if (pick(0, 2) == 0) t = wn_zip(WN_ADD, t, beside(w, t));
  if (pick(0, 2) == 0 && w->outs < MOST_OUTPUTS - 1) w->out[w->outs++] = t;
  t = wn_map(WN_RELU, t);
  return turns ? wn_permute(t, back) : wn_reshape(t, n, shape);
}

static wn_tensor *grown(world *w, wn_tensor *t) {
  static const wn_binary ops[] = {WN_MUL, WN_MUL, WN_MUL, WN_DIV, WN_ADD, WN_ADD, WN_SUB};
  const wn_binary op = ops[pick(0, 6)];
  wn_tensor *other;
  switch (pick(0, 9)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      other = beside(w, t);
      if (pick(0, 2) > 0) return wn_zip(op, t, other);
      w->ends = op == WN_DIV; /* by what may be 0 */
      return wn_zip(op, other, t);
    case 5:
      return moved(t);
    case 6:
      return pick(0, 1) ? moved(t) : there_and_back(w, t);
    case 7:
      return wn_zip(pick(0, 1) ? WN_ADD : WN_SUB, t, sum_like(w, t));
    case 8: {
      wn_tensor *parts[] = {t, sum_like(w, t)};
      if (pick(0, 3) == 0) parts[1] = beside(w, t);
      for (int i = 0; i < wn_ndim(t); ++i)
        if (wn_ndim(parts[1]) != wn_ndim(t) || wn_shape(parts[1])[i] != wn_shape(t)[i]) return t;
      return wn_concat(parts, 2, (int)pick(0, wn_ndim(t) - 1));
    }
    default:
      return pick(0, 1) ? wn_reduce(WN_SUM, t, (int[]){0}, 1, 1) : wn_map(WN_RELU, t);
  }
}

/* --- the evaluator ---------------------------------------------------------------------------- */

typedef struct evaluation {
  graph *g;
  arena *a;
  const world *w;
  map shapes, values; /* by id */
} evaluation;

static void coordinates(const int_list *shape, int64_t flat, int64_t *c) {
  for (int i = shape->len; i-- > 0;) {
    c[i] = flat % shape->at[i];
    flat /= shape->at[i];
  }
}

static int64_t flat_of(const int_list *shape, const int64_t *c) {
  int64_t flat = 0;
  for (int i = 0; i < shape->len; ++i) flat = flat * shape->at[i] + c[i];
  return flat;
}

/* Which element of its source a movement takes; -1: padding. */
static int64_t source_of(const uop *t, const int_list *to, const int_list *from, int64_t flat) {
  int64_t c[WN_MAX_DIMS], s[WN_MAX_DIMS];
  if (t->op == OP_RESHAPE) return flat;
  coordinates(to, flat, c);
  for (int i = 0; i < from->len; ++i) {
    const int64_t *arg = t->arg.list->at;
    if (t->op == OP_PERMUTE)
      s[arg[i]] = c[i];
    else if (t->op == OP_EXPAND)
      s[i] = from->at[i] == 1 ? 0 : c[i];
    else if (t->op == OP_SHRINK)
      s[i] = c[i] + arg[2 * i];
    else if (t->op == OP_PAD)
      s[i] = c[i] - arg[2 * i];
    else
      s[i] = t->op == OP_STRIDE ? c[i] * arg[i] : arg[i] ? from->at[i] - 1 - c[i] : c[i];
    if (t->op == OP_PAD && (s[i] < 0 || s[i] >= from->at[i])) return -1;
  }
  return flat_of(from, s);
}

static double operation(uop_op op, double a, double b) {
  switch (op) {
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_DIV:
      return a / b;
    case OP_MAX:
      return fmax(a, b);
    default:
      fail_msg("%s is not evaluated", op_table[op].name);
      return 0;
  }
}

static double *concatenated(evaluation *e, const uop *t, const int_list *to, double *y) {
  int64_t c[WN_MAX_DIMS];
  for (int64_t i = 0; i < count_of(to->len, to->at); ++i) {
    coordinates(to, i, c);
    int k = 0;
    const int_list *part = map_get_ptr(&e->shapes, t->src[k]->id);
    while (c[t->arg.i] >= part->at[t->arg.i]) {
      c[t->arg.i] -= part->at[t->arg.i];
      part = map_get_ptr(&e->shapes, t->src[++k]->id);
    }
    y[i] = ((const double *)map_get_ptr(&e->values, t->src[k]->id))[flat_of(part, c)];
  }
  return y;
}

static double *evaluate(evaluation *e, const uop *t) {
  const int_list *to = tensor_shape(e->g, &e->shapes, t);
  const int64_t n = count_of(to->len, to->at);
  double *y = arena_array(e->a, double, n);
  if (t->op == OP_BUFFER) return memcpy(y, e->w->data[t->arg.i], sizeof *y * (size_t)n);
  if (t->op == OP_CONST) *y = uop_const_value(t);
  if (t->op == OP_CONST) return y;
  if (t->op == OP_CAT) return concatenated(e, t, to, y);
  const double *a = map_get_ptr(&e->values, t->src[0]->id);
  const int_list *from = tensor_shape(e->g, &e->shapes, t->src[0]);
  if (t->op == OP_REDUCE_AXIS) {
    int64_t c[WN_MAX_DIMS];
    for (int64_t i = 0; i < count_of(from->len, from->at); ++i) {
      coordinates(from, i, c);
      for (int k = 1; k < t->arg.list->len; ++k) c[t->arg.list->at[k]] = 0;
      y[flat_of(to, c)] += a[i];
    }
    return y;
  }
  const bool moves = op_table[t->op].shape == SH_MOVE;
  const double *b = moves ? NULL : map_get_ptr(&e->values, t->src[1]->id);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = moves ? source_of(t, to, from, i) : i;
    y[i] = !moves ? operation((uop_op)t->op, a[i], b[i]) : at < 0 ? 0 : a[at];
  }
  return y;
}

static void evaluate_all(evaluation *e, int count, const uop *const *roots, const double **y) {
  uop_order all = uop_toposort(e->a, count, roots);
  for (size_t i = 0; i < all.len; ++i) {
    if (map_get_ptr(&e->values, all.at[i]->id) == NULL)
      map_put_ptr(&e->values, all.at[i]->id, evaluate(e, all.at[i]));
  }
  for (int i = 0; i < count; ++i) y[i] = map_get_ptr(&e->values, roots[i]->id);
}

/* --- laws ------------------------------------------------------------------------------------- */

static bool is_fixed(const world *w, const uop *t) {
  if (t->op == OP_BUFFER) return w->constant[t->arg.i];
  for (int i = 0; i < t->nsrc; ++i)
    if (!is_fixed(w, t->src[i])) return false;
  return true;
}

static int operations(const world *w, arena *a, int count, const uop *const *roots) {
  uop_order all = uop_toposort(a, count, roots);
  int n = 0;
  for (size_t i = 0; i < all.len; ++i) {
    const uop *t = all.at[i];
    const bool counts = t->op == OP_MUL || t->op == OP_DIV || t->op == OP_ADD || t->op == OP_SUB ||
                        t->op == OP_REDUCE_AXIS;
    n += counts && !is_fixed(w, t);
  }
  return n;
}

/* Of what is multiplied by something else under a sum, without what is only spread: the most. */
static int64_t most_weights(evaluation *e, int count, const uop *const *roots) {
  uop_order all = uop_toposort(e->a, count, roots);
  int64_t most = 0;
  for (size_t i = 0; i < all.len; ++i) {
    for (int k = 0; k < 2 && all.at[i]->op == OP_MUL && !is_fixed(e->w, all.at[i]); ++k) {
      const uop *u = all.at[i]->src[k];
      if (!is_fixed(e->w, u)) continue;
      while (u->op == OP_EXPAND || u->op == OP_RESHAPE || u->op == OP_PERMUTE) u = u->src[0];
      const int_list *shape = tensor_shape(e->g, &e->shapes, u);
      const int64_t n = count_of(shape->len, shape->at);
      if (n > most) most = n;
    }
  }
  return most;
}

static int movements(arena *a, int count, const uop *const *roots, uop_op op) {
  uop_order all = uop_toposort(a, count, roots);
  int n = 0;
  for (size_t i = 0; i < all.len; ++i) n += all.at[i]->op == op;
  return n;
}

static void expect_same(const world *w, const double *const *before, const double *const *after,
                        double tolerance) {
  for (int i = 0; i < w->outs; ++i) {
    for (int64_t k = 0; k < count_of(wn_ndim(w->out[i]), wn_shape(w->out[i])); ++k) {
      const double size = fabs(before[i][k]); /* what was divided by nearly nothing says nothing */
      if (!(size < 1e6) || fabs(before[i][k] - after[i][k]) <= tolerance * (1 + size)) continue;
      fail_msg("seed %llu: element %lld of output %d is %.17g, not %.17g", (unsigned long long)seed,
               (long long)k, i, after[i][k], before[i][k]);
    }
  }
}

typedef struct changes { /* of how many graphs */
  int scales, permutes, reshapes;
} changes;

static void check(world *w, arena *a, changes *n) {
  const uop *roots[MOST_OUTPUTS];
  const double *before[MOST_OUTPUTS], *after[MOST_OUTPUTS];
  graph *g = &w->ctx->graph;
  evaluation e = {.g = g, .a = a, .w = w};
  map_init(&e.shapes, a);
  map_init(&e.values, a);
  for (int i = 0; i < w->outs; ++i) {
    if (w->out[i] == NULL) fail_msg("%s", wn_message(w->ctx));
    roots[i] = w->out[i]->node;
  }
  const uop *const *laid = cancel_layouts(g, w->outs, roots), *const *folded = fold_scales(
                                                                  g, w->outs, laid, w->constant);
  for (int i = 0; i < w->outs; ++i) {
    assert_ptr_equal(tensor_shape(g, &e.shapes, laid[i]), w->out[i]->shape);
    assert_ptr_equal(tensor_shape(g, &e.shapes, folded[i]), w->out[i]->shape);
    assert_int_equal(folded[i]->dtype, roots[i]->dtype);
  }
  evaluate_all(&e, w->outs, roots, before);
  evaluate_all(&e, w->outs, laid, after);
  expect_same(w, before, after, 0);
  evaluate_all(&e, w->outs, folded, after);
  expect_same(w, before, after, 1e-9);
  n->permutes += movements(a, w->outs, laid, OP_PERMUTE) < movements(a, w->outs, roots, OP_PERMUTE);
  n->reshapes += movements(a, w->outs, laid, OP_RESHAPE) < movements(a, w->outs, roots, OP_RESHAPE);
  const int all = operations(w, a, w->outs, roots), same = operations(w, a, w->outs, laid),
            less = operations(w, a, w->outs, folded);
  if (same > all || less > same)
    fail_msg("seed %llu: %d operations became %d, then %d", (unsigned long long)seed, all, same,
             less);
  if (most_weights(&e, w->outs, folded) > most_weights(&e, w->outs, roots))
    fail_msg("seed %llu: weights have grown", (unsigned long long)seed);
  n->scales += less < same;
}

static void random_graphs_keep_values(void **state) {
  (void)state;
  changes n = {0};
  for (int round = 0; round < ROUNDS; ++round) {
    world w = {0};
    arena scratch;
    assert_int_equal(wn_context_create(&w.ctx), WN_OK);
    arena_init(&scratch, &w.ctx->diag);
    wn_tensor *t = pick(0, 2) ? convolution(&w) : product(&w);
    for (int64_t steps = pick(1, 7); steps > 0 && !w.ends; --steps) {
      if (pick(0, 9) == 0 && w.outs < MOST_OUTPUTS - 1) w.out[w.outs++] = t;
      t = grown(&w, t);
      if (t == NULL || count_of(wn_ndim(t), wn_shape(t)) > MOST_ELEMENTS) break;
    }
    w.out[w.outs++] = t;
    check(&w, &scratch, &n);
    for (int i = 0; i < w.arrays; ++i) test_free(w.data[i]);
    arena_release(&scratch);
    wn_context_destroy(w.ctx);
  }
  print_message("of %d graphs %d had scales folded, %d permutations and %d reshapes cancelled\n",
                ROUNDS, n.scales, n.permutes, n.reshapes);
  assert_true(n.scales > ROUNDS / 10 && n.permutes > ROUNDS / 50 && n.reshapes > ROUNDS / 100);
}

/* A product that is not summed rounds as it is written, and so does what f16 cannot be trusted to hold. */
static void other_products_stay(void **state) {
  (void)state;
  const bool constant[] = {false, true, true};
  for (int i = 0; i < 4; ++i) {
    static const wn_dtype dtypes[] = {WN_F32, WN_F16, WN_BF16, WN_I32};
    wn_context *ctx;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    const int64_t shape[] = {4, 4};
    wn_tensor *x = wn_input(ctx, dtypes[i], 2, shape, NULL),
              *c = wn_constant(ctx, dtypes[i], 2, shape, NULL),
              *d = wn_constant(ctx, dtypes[i], 2, shape, NULL);
    const uop *product = wn_zip(WN_MUL, wn_zip(WN_MUL, x, c), d)->node;
    assert_ptr_equal(fold_scales(&ctx->graph, 1, &product, constant)[0], product);
    d = wn_reshape(wn_shrink(d, (int64_t[]){0, 0}, (int64_t[]){1, 4}), 1, (int64_t[]){4});
    const uop *sum = wn_zip(WN_MUL, wn_matmul(x, c), d)->node;
    assert_int_equal(fold_scales(&ctx->graph, 1, &sum, constant)[0] != sum, dtypes[i] == WN_F32);
    wn_context_destroy(ctx);
  }
}

int main(int argc, char **argv) {
  seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  rng = seed;
  print_message("seed %llu\n", (unsigned long long)seed);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_graphs_keep_values),
      cmocka_unit_test(other_products_stay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
