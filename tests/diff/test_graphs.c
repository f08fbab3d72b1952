/* Whole graphs against float64: convolutions with what stands before and after them, in chains, in
 * other layouts and written by hand; softmax, pooling and products of matrices; and graphs drawn at
 * random from a printed seed. Each plan runs interpreted or compiled, by the seed. WINNOW_SEED=<seed>
 * draws the same ones again, WINNOW_LONG=1 runs all both ways. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "sanitized.h"

#define TOLERANCE 1e-5

static const char *const plans[] = {"auto",  "old",    "new",    "one",    "inline-m", "fused",
                                    "split", "old-2k", "direct", "x-only", "g-only",   NULL};

/* --- every plan ------------------------------------------------------------------------------- */

typedef struct graph_case {
  attempt a;
  build_fn build;
  const char *const *plans; /* NULL-terminated */
  char *running;
} graph_case;

static int all_plans(void *user) {
  graph_case *c = user;
  int wrong = 0, other = getenv("WINNOW_LONG") != NULL ? -1 : (int)(c->a.seed % 2);
  for (int i = 0; c->plans[i / 2] != NULL; ++i) {
    if ((i + i / 2) % 2 == other) continue; /* the neighbour in the list runs that way */
    c->a.plan = c->plans[i / 2];
    c->a.backend = i % 2 ? "cpu" : "interp";
    note_running(c->running, &c->a);
    wrong += try_plan(&c->a, c->build);
  }
  return wrong;
}

/* All plans, on two backends by turns. */
static int try_graph(const char *name, build_fn build, uint64_t seed, bool may_refuse,
                     char *running) {
  graph_case c = {
      .a = {.name = name, .seed = seed, .tolerance = TOLERANCE, .may_refuse = may_refuse},
      .build = build,
      .plans = plans,
      .running = running};
  return in_process(name, all_plans, &c, running);
}

/* --- graphs that people write ----------------------------------------------------------------- */

static const wn_conv_params same3 = {
    .size = sizeof(wn_conv_params), .pad_lo = {1, 1}, .pad_hi = {1, 1}};

static twin image(twins *w, int64_t n, int64_t c, int64_t h, int64_t x) {
  return twin_leaf(w, false, 1, 4, (int64_t[]){n, c, h, x});
}

static twin filters(twins *w, int64_t k, int64_t c, int64_t r, int64_t s) {
  return twin_leaf(w, true, 1 / sqrt((double)(c * r * s)), 4, (int64_t[]){k, c, r, s});
}

static twin bias(twins *w, int64_t k) { return twin_leaf(w, true, 1, 4, (int64_t[]){1, k, 1, 1}); }

static outputs single(twin x) { return (outputs){1, {x}}; }

/* relu(conv(x) + bias + residual) */
static outputs epilogue(twins *w) {
  int64_t c = between(w->random, 1, 20), k = between(w->random, 1, 20);
  int64_t h = between(w->random, 1, 20),
          s = between(w->random, 2, 24); /* one pixel has no window */
  twin y =
      twin_conv(w, image(w, between(w->random, 1, 2), c, h, s), filters(w, k, c, 3, 3), &same3);
  y = twin_zip(w, WN_ADD, y, bias(w, k));
  y = twin_zip(w, WN_ADD, y, twin_leaf(w, false, 1, 4, y.shape));
  return single(twin_map(w, WN_RELU, y));
}

static outputs chain(twins *w) {
  int64_t c = between(w->random, 1, 12), k = between(w->random, 1, 12),
          h = between(w->random, 4, 16);
  twin y = twin_conv(w, image(w, 1, c, h, h + 3), filters(w, k, c, 3, 3), &same3);
  y = twin_map(w, WN_RELU, twin_zip(w, WN_ADD, y, bias(w, k)));
  y = twin_conv(w, y, filters(w, c, k, 3, 3), &same3);
  return single(twin_map(w, WN_TANH, y));
}

/* The residual block of a network: x is read at both ends. */
static outputs block(twins *w) {
  int64_t c = between(w->random, 1, 12), h = between(w->random, 4, 14);
  twin x = image(w, 1, c, h, h + 1);
  twin y = twin_map(w, WN_RELU, twin_conv(w, x, filters(w, c, c, 3, 3), &same3));
  y = twin_conv(w, y, filters(w, c, c, 3, 3), &same3);
  return single(twin_map(w, WN_RELU, twin_zip(w, WN_ADD, y, x)));
}

/* Elementwise work before the padding. */
static outputs producer(twins *w) {
  int64_t c = between(w->random, 1, 9), h = between(w->random, 3, 14);
  twin x = image(w, 1, c, h, 2 * h);
  x = twin_map(w, WN_SIGMOID, twin_zip(w, WN_MUL, x, bias(w, c)));
  return single(twin_conv(w, x, filters(w, 5, c, 3, 3), &same3));
}

static outputs two_readers(twins *w) {
  int64_t c = between(w->random, 1, 9), h = between(w->random, 3, 14);
  twin y = twin_conv(w, image(w, 1, c, h, h), filters(w, 6, c, 3, 3), &same3);
  return (outputs){2, {y, twin_map(w, WN_RELU, y)}};
}

static outputs siblings(twins *w) {
  int64_t c = between(w->random, 1, 9), h = between(w->random, 5, 14);
  twin x = image(w, 2, c, h, h);
  const wn_conv_params five = WN_CONV_PARAMS(.pad_lo = {2, 2}, .pad_hi = {2, 2});
  twin a = twin_conv(w, x, filters(w, 6, c, 3, 3), &same3),
       b = twin_conv(w, x, filters(w, 6, c, 5, 5), &five);
  return single(twin_zip(w, WN_MAX, a, b));
}

/* [n][h][w][c] in and out, filters [r][s][c][k]. */
static outputs nhwc(twins *w) {
  int64_t c = between(w->random, 1, 17), k = between(w->random, 1, 17),
          h = between(w->random, 3, 18);
  twin x = twin_leaf(w, false, 1, 4, (int64_t[]){between(w->random, 1, 2), h, h + 2, c});
  twin f = twin_leaf(w, true, 1 / sqrt(9.0 * (double)c), 4, (int64_t[]){3, 3, c, k});
  x = twin_permute(w, x, (int[]){0, 3, 1, 2});
  f = twin_permute(w, f, (int[]){3, 2, 0, 1});
  twin y = twin_map(w, WN_RELU, twin_conv(w, x, f, &same3));
  return single(twin_permute(w, y, (int[]){0, 2, 3, 1}));
}

/* An image whose channels are neighbours in memory, or rows: as [n][c][h][w]. */
static twin either_image(twins *w, int64_t n, int64_t c, int64_t h, int64_t x) {
  if (below(w->random, 3) == 0) return image(w, n, c, h, x);
  return twin_permute(w, twin_leaf(w, false, 1, 4, (int64_t[]){n, h, x, c}), (int[]){0, 3, 1, 2});
}

/* Stored in either order. */
static twin either_result(twins *w, twin y) {
  return below(w->random, 3) == 0 ? y : twin_permute(w, y, (int[]){0, 2, 3, 1});
}

/* A filter for each channel, in all orders of what is read and written. */
static outputs depthwise(twins *w) {
  outputs o = {.count = 2};
  for (int i = 0; i < o.count; ++i) {
    int64_t c = between(w->random, 3, 40), h = between(w->random, 3, 9),
            x = between(w->random, 3, 19);
    int64_t r = 1 + 2 * between(w->random, 1, 3), d = r < 7 ? between(w->random, 1, 2) : 1;
    int64_t pad = d * (r / 2), step = between(w->random, 1, 2);
    const wn_conv_params p = WN_CONV_PARAMS(.stride = {step, step}, .dilation = {d, d}, .groups = c,
                                            .pad_lo = {pad, pad}, .pad_hi = {pad, pad});
    twin y = twin_conv(w, either_image(w, between(w->random, 1, 2), c, h, x),
                       filters(w, c, 1, r, r), &p);
    y = twin_zip(w, WN_ADD, y, bias(w, c));
    o.out[i] = either_result(w, below(w->random, 2) ? twin_map(w, WN_RELU, y) : y);
  }
  return o;
}

/* Maps and pooling that read one order and write the other. */
static outputs between_orders(twins *w) {
  int64_t c = between(w->random, 2, 37), h = between(w->random, 4, 9),
          x = between(w->random, 4, 19);
  twin a = either_image(w, 1, c, h, x), b = either_image(w, 1, c, h, x);
  twin sum = twin_zip(w, WN_ADD, twin_zip(w, WN_MUL, a, bias(w, c)), b);
  twin pool =
      twin_pool(w, a, below(w->random, 2), between(w->random, 2, 3), between(w->random, 1, 2));
  twin wide = twin_map(w, WN_SIGMOID, b);
  return (outputs){3, {either_result(w, sum), either_result(w, pool), either_result(w, wide)}};
}

/* Every element twice in both directions, in either order. */
static outputs enlarged(twins *w) {
  int64_t c = between(w->random, 2, 37), h = between(w->random, 2, 6),
          x = between(w->random, 2, 19);
  twin t = either_image(w, 1, c, h, x);
  twin y = twin_new(w, wn_reshape(t.t, 6, (int64_t[]){1, c, h, 1, x, 1}), 4,
                    (int64_t[]){1, c, 2 * h, 2 * x});
  y.t = wn_expand(y.t, 6, (int64_t[]){1, c, h, 2, x, 2});
  y.t = wn_reshape(y.t, 4, y.shape);
  for (int64_t i = 0; i < c * 4 * h * x; ++i)
    y.v[i] = t.v[(i / (4 * h * x) * h + i / (2 * x) % (2 * h) / 2) * x + i % (2 * x) / 2];
  return single(either_result(w, y));
}

/* The image lies on its side, few columns wide: one tile has whole rows of it, which are neighbours in memory, and the
 * last tile of a column ends within them. */
static outputs sideways(twins *w) {
  static const int64_t columns[] = {3, 3, 3, 4, 4, 6};
  static const int turn[] = {0, 1, 3, 2};
  outputs o = {.count = 6};
  for (int i = 0; i < o.count; ++i) {
    int64_t c = between(w->random, 1, 9), k = between(w->random, 1, 4),
            r = between(w->random, 2, 3);
    const wn_conv_params p =
        WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r - 1 - r / 2, r - 1 - r / 2});
    int64_t rows = columns[i] * between(w->random, 2, 3) + between(w->random, 1, columns[i] - 1);
    twin x = image(w, 2, c, rows, columns[i]);
    twin y = twin_conv(w, twin_permute(w, x, turn), filters(w, k, c, r, r), &p);
    o.out[i] = twin_permute(w, y, turn);
  }
  return o;
}

/* A sliding window by reshape and shrink: rows repeated with period h + 1 make every shift of the row.
 * x[c][h] -> repeat to [c][r * (h + 1)]... cut to [c][r][h - r + 1], times f[k][c][r], summed. */
static outputs by_hand(twins *w) {
  int64_t c = between(w->random, 1, 9), k = between(w->random, 1, 9),
          h = between(w->random, 12, 60), r = 3;
  twin x = twin_leaf(w, false, 1, 2, (int64_t[]){c, h}),
       f = twin_leaf(w, true, 1, 3, (int64_t[]){k, c, r});
  int64_t o = h - r + 1;
  wn_tensor *t = wn_expand(wn_reshape(x.t, 3, (int64_t[]){c, 1, h}), 3, (int64_t[]){c, r + 1, h});
  t = wn_reshape(t, 2, (int64_t[]){c, (r + 1) * h});
  t = wn_shrink(t, (int64_t[]){0, 0}, (int64_t[]){c, r * (h + 1)});
  t = wn_reshape(t, 3, (int64_t[]){c, r, h + 1});
  t = wn_shrink(t, (int64_t[]){0, 0, 0}, (int64_t[]){c, r, o});
  t = wn_reshape(t, 4, (int64_t[]){1, c, r, o});
  wn_tensor *product = wn_zip(WN_MUL, wn_reshape(f.t, 4, (int64_t[]){k, c, r, 1}), t);
  twin y = twin_new(w, wn_reduce(WN_SUM, product, (int[]){1, 2}, 2, 0), 2, (int64_t[]){k, o});
  for (int64_t i = 0; i < k * o; ++i) {
    for (int64_t j = 0; j < c * r; ++j)
      y.v[i] += x.v[j / r * h + i % o + j % r] * f.v[i / o * c * r + j];
  }
  return single(y);
}

/* The window op with the product and the sum written out, operands swapped. */
static outputs window_by_hand(twins *w) {
  int64_t c = between(w->random, 1, 9), k = between(w->random, 1, 9), h = between(w->random, 4, 15);
  twin x = image(w, 1, c, h, h), f = filters(w, k, c, 3, 3);
  wn_tensor *t = wn_window(x.t, 2, (int64_t[]){3, 3}, NULL, NULL);
  t = wn_reshape(t, 6, (int64_t[]){1, c, h - 2, h - 2, 3, 3});
  wn_tensor *product = wn_zip(WN_MUL, wn_reshape(f.t, 6, (int64_t[]){k, c, 1, 1, 3, 3}), t);
  twin y = twin_new(w, wn_reduce(WN_SUM, product, (int[]){1, 4, 5}, 3, 0), 3,
                    (int64_t[]){k, h - 2, h - 2});
  const wn_conv_params plain = WN_CONV_PARAMS(.groups = 1);
  twin z = y;
  z.nd = 4;
  z.shape[0] = 1, z.shape[1] = k, z.shape[2] = z.shape[3] = h - 2;
  twin_conv_values(&z, &x, &f, &plain);
  return single(y);
}

/* The output is read at other places than it is stored at; backwards it is no convolution that a plan knows. */
static outputs moved(twins *w) {
  int64_t c = between(w->random, 1, 8), h = between(w->random, 5, 15);
  twin y = twin_conv(w, image(w, 1, c, h, h), filters(w, 4, c, 3, 3), &same3);
  const bool flip[4] = {false, chance(w->random, 50), chance(w->random, 50), chance(w->random, 50)};
  const int64_t begin[4] = {0, 1, below(w->random, 3), 1},
                step[4] = {1, 1, between(w->random, 1, 2), 1};
  y = twin_slice(w, y, begin, y.shape, step, flip);
  return single(twin_pad(w, y, (int64_t[]){0, 0, 1, 0}, (int64_t[]){0, 1, 0, 2}));
}

static outputs pooled(twins *w) {
  int64_t c = between(w->random, 1, 8), h = between(w->random, 6, 15);
  twin y = twin_conv(w, image(w, 1, c, h, h), filters(w, 6, c, 3, 3), &same3);
  y = twin_pool(w, twin_map(w, WN_RELU, y), chance(w->random, 50), between(w->random, 2, 3), 2);
  return single(twin_reduce(w, WN_SUM, twin_reduce(w, WN_SUM, y, 3), 2));
}

static outputs groups_and_steps(twins *w) {
  wn_conv_params p = WN_CONV_PARAMS(.stride = {2, 1}, .dilation = {1, 2}, .pad_lo = {1, 0},
                                    .pad_hi = {0, 3}, .groups = 3);
  twin y = twin_conv(w, image(w, 2, 6, 13, 11), filters(w, 9, 2, 3, 3), &p);
  return single(twin_zip(w, WN_MUL, y, bias(w, 9)));
}

/* An output that depends on constants alone, and what is made of it: the caller's array is filled by each run. */
static outputs of_constants(twins *w) {
  twin x = twin_leaf(w, true, 1, 4, (int64_t[]){1, between(w->random, 1, 5), 9, 8});
  twin y = twin_conv(w, x, filters(w, 3, x.shape[1], 3, 3), &same3);
  return (outputs){2, {y, twin_reduce(w, WN_MAXIMUM, twin_map(w, WN_TANH, y), 3)}};
}

static const struct {
  const char *name;
  build_fn build;
} graphs[] = {
    {"epilogue", epilogue},
    {"chain", chain},
    {"block", block},
    {"producer", producer},
    {"two readers", two_readers},
    {"siblings", siblings},
    {"nhwc", nhwc},
    {"depthwise", depthwise},
    {"sideways", sideways},
    {"by hand", by_hand},
    {"window by hand", window_by_hand},
    {"moved", moved},
    {"pooled", pooled},
    {"groups and steps", groups_and_steps},
    {"of constants", of_constants},
};

static void known_graphs(void **state) {
  uint64_t seed = test_seed();
  int failures = 0;
  for (size_t i = 0; i < sizeof graphs / sizeof *graphs; ++i) {
    failures += try_graph(graphs[i].name, graphs[i].build, seed, graphs[i].build == moved, *state);
  }
  assert_int_equal(failures, 0);
}

/* --- values that a plan inlines --------------------------------------------------------------- */

/* Rows by their sums, before a convolution: a padded pixel's sum is guarded as the pixel is, and nothing else of it
 * moves with the pixels. */
static outputs shares(twins *w) {
  int64_t c = between(w->random, 1, 6), h = between(w->random, 4, 20);
  twin x = image(w, 2, c, h, between(w->random, 9, 20));
  x = twin_map(w, WN_TANH, twin_map(w, WN_SIGMOID, x)); /* too much to compute twice */
  twin whole = twin_map(w, WN_RECIPROCAL, twin_reduce(w, WN_SUM, x, 3));
  twin share = twin_zip(w, WN_MUL, x, whole);
  return single(twin_conv(w, share, filters(w, between(w->random, 1, 6), c, 3, 3), &same3));
}

static void inlined_values(void **state) {
  static const char *const inlined[] = {"old map0{inline} sum1{inline} map2{inline}",
                                        "fused map0{global} sum1{inline} map2{inline}",
                                        "old map0{global} sum1{inline} map2{inline}",
                                        "new map0{global} sum1{inline} map2{inline}",
                                        "direct map0{global} sum1{inline} map2{inline}",
                                        NULL};
  graph_case c = {.a = {.name = "shares", .seed = test_seed(), .tolerance = TOLERANCE},
                  .build = shares,
                  .plans = inlined,
                  .running = *state};
  int failures = 0;
  for (int i = 0; i < 6; ++i, ++c.a.seed)
    failures += in_process("shares", all_plans, &c, c.running);
  assert_int_equal(failures, 0);
}

/* --- without a convolution -------------------------------------------------------------------- */

static outputs attention(twins *w) {
  int64_t n = between(w->random, 1, 20), k = between(w->random, 1, 33),
          m = between(w->random, 1, 24);
  twin q = twin_leaf(w, false, 1, 3, (int64_t[]){2, n, k});
  twin s = twin_softmax(w, twin_matmul(w, q, twin_leaf(w, true, 1, 2, (int64_t[]){k, m})));
  return single(twin_matmul(w, s, twin_leaf(w, true, 1, 2, (int64_t[]){m, k})));
}

static outputs statistics(twins *w) {
  twin x = twin_leaf(w, false, 1, 3,
                     (int64_t[]){between(w->random, 1, 9), between(w->random, 1, 40), 7});
  twin mean = twin_scale(w, twin_reduce(w, WN_SUM, x, 1), 1.0 / (double)x.shape[1]);
  twin centred = twin_zip(w, WN_SUB, x, mean);
  twin squares = twin_reduce(w, WN_SUM, twin_zip(w, WN_MUL, centred, centred), 2);
  return (outputs){3, {centred, squares, twin_reduce(w, WN_MINIMUM, x, 0)}};
}

static outputs pools(twins *w) {
  twin x =
      image(w, between(w->random, 1, 2), between(w->random, 1, 5), between(w->random, 4, 17), 19);
  return (outputs){2, {twin_pool(w, x, true, 3, 2), twin_pool(w, x, false, 2, 1)}};
}

/* What depends on constants alone, and is an output, is not there before the first run. */
static outputs weights_out(twins *w) {
  twin f = twin_map(w, WN_TANH, filters(w, between(w->random, 1, 9), 5, 3, 3));
  twin y = twin_conv(w, image(w, 1, 5, between(w->random, 3, 14), 11), f, &same3);
  return (outputs){2, {f, y}};
}

static void other_graphs(void **state) {
  uint64_t seed = test_seed();
  int failures = try_graph("attention", attention, seed, true, *state);
  failures += try_graph("statistics", statistics, seed, true, *state);
  failures += try_graph("pools", pools, seed, true, *state);
  failures += try_graph("weights as an output", weights_out, seed, true, *state);
  for (uint64_t n = 0; n < 4; ++n) {
    failures += try_graph("between orders", between_orders, seed + n, true, *state);
    failures += try_graph("enlarged", enlarged, seed + n, true, *state);
  }
  assert_int_equal(failures, 0);
}

/* --- at random -------------------------------------------------------------------------------- */

static twin random_conv(twins *w, twin x) {
  static const int64_t sizes[] = {3, 3, 3, 1, 2, 5};
  int64_t k = between(w->random, 1, 9), r = sizes[below(w->random, 6)],
          s = sizes[below(w->random, 6)];
  wn_conv_params p = WN_CONV_PARAMS(.pad_lo = {r / 2, s / 2}, .pad_hi = {r / 2, s / 2});
  if (chance(w->random, 15)) p.stride[0] = p.stride[1] = 2;
  if (chance(w->random, 10)) p.pad_lo[0] += p.dilation[0] = 2, p.pad_hi[0] += r;
  bool depthwise = chance(w->random, 15);
  if (depthwise) p.groups = k = x.shape[1];
  if (x.shape[2] + 2 * (r / 2) < r || x.shape[3] + 2 * (s / 2) < s) return x;
  return twin_conv(w, x, filters(w, k, depthwise ? 1 : x.shape[1], r, s), &p);
}

static twin random_slice(twins *w, twin x) {
  int64_t begin[4], end[4], step[4];
  bool flip[4];
  for (int d = 0; d < 4; ++d) {
    begin[d] = below(w->random, x.shape[d] > 2 ? 3 : 1);
    end[d] = x.shape[d] - (x.shape[d] - begin[d] > 1 ? below(w->random, 2) : 0);
    step[d] = chance(w->random, 20) ? 2 : 1;
    flip[d] = chance(w->random, 20);
  }
  return twin_slice(w, x, begin, end, step, flip);
}

static twin random_step(twins *w, twin x, twin other) {
  static const wn_unary maps[] = {WN_RELU, WN_TANH, WN_SIGMOID, WN_ABS, WN_NEG};
  bool same = memcmp(x.shape, other.shape, 4 * sizeof *x.shape) == 0;
  switch (below(w->random, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return random_conv(w, x);
    case 4:
    case 5:
      return twin_map(w, maps[below(w->random, 5)], x);
    case 6:
      return twin_zip(w, WN_ADD, x, bias(w, x.shape[1]));
    case 7:
      return same ? twin_zip(w, WN_ADD, x, other) : twin_zip(w, WN_MUL, x, bias(w, 1));
    case 8:
      return twin_permute(w, x, chance(w->random, 50) ? (int[]){0, 2, 3, 1} : (int[]){0, 1, 3, 2});
    case 9:
      return random_slice(w, x);
    case 10:
      return twin_pad(w, x, (int64_t[]){0, below(w->random, 2), below(w->random, 3), 0},
                      (int64_t[]){0, 0, 1, below(w->random, 3)});
    case 11:
      if (x.shape[2] < 3 || x.shape[3] < 3) return x;
      return twin_pool(w, x, chance(w->random, 50), between(w->random, 2, 3),
                       between(w->random, 1, 2));
    case 12:
      return twin_softmax(w, x);
    case 13:
    case 14: {
      twin parts[] = {x, same ? other : twin_map(w, WN_NEG, x), twin_map(w, WN_RELU, x)};
      return twin_concat(w, (int)between(w->random, 2, 3), parts, (int)between(w->random, 0, 3));
    }
    default: {
      int64_t n = between(w->random, 1, 9);
      return twin_matmul(
          w, x, twin_leaf(w, true, 1 / sqrt((double)x.shape[3]), 2, (int64_t[]){x.shape[3], n}));
    }
  }
}

static outputs random_graph(twins *w) {
  twin x = image(w, between(w->random, 1, 2), between(w->random, 1, 7), between(w->random, 1, 12),
                 between(w->random, 1, 14));
  twin other = x;
  int steps = (int)between(w->random, 1, 6);
  for (int i = 0; i < steps; ++i) {
    twin next = random_step(w, x, other);
    if (twin_count(&next) > 6000) break;
    if (chance(w->random, 40)) other = x;
    x = next;
  }
  if (chance(w->random, 75)) return single(x);
  return (outputs){2, {twin_map(w, WN_RELU, x), other}};
}

static void random_graphs(void **state) {
  uint64_t seed = test_seed();
  double limit = getenv("WINNOW_SECONDS") != NULL ? atof(getenv("WINNOW_SECONDS"))
                 : getenv("WINNOW_LONG")          ? 600
                 : in_part()                      ? 2
                                                  : 4;
  double end = seconds_now() + limit;
  int failures = 0, count = 0;
  for (; (count == 0 || seconds_now() < end) && failures < 100; ++count) {
    failures += try_graph("random", random_graph, seed + (uint64_t)count, true, *state);
  }
  print_message("# %d graphs\n", count);
  assert_int_equal(failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_graphs),
      cmocka_unit_test(inlined_values),
      cmocka_unit_test(other_graphs),
      cmocka_unit_test(random_graphs),
  };
  return cmocka_run_group_tests_name("graphs", tests, share_text, unshare_text);
}
