/* Concatenations: what networks make of them against float64 under every plan and on every backend, random graphs whose
 * results are exact, and that nothing is copied or kept which need not be. The seed is printed; WINNOW_SEED=<seed>
 * draws the same ones again, WINNOW_LONG=1 takes each plan and backend for each. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "sanitized.h"

#define TOLERANCE 1e-5
#define LEN(a)    (int)(sizeof(a) / sizeof *(a))
#define CONCAT(w, axis, ...) \
  twin_concat(w, LEN(((twin[]){__VA_ARGS__})), (twin[]){__VA_ARGS__}, axis)

/* --- what networks do ------------------------------------------------------------------------- */

static const int64_t alone = 1;

static twin image(twins *w, int64_t n, int64_t c, int64_t h) {
  return twin_leaf(w, false, 1, 4, (int64_t[]){n, c, h, h + 1});
}

/* relu(conv(x)) with filters of r x r. */
static twin layer(twins *w, twin x, int64_t k, int64_t r) {
  const wn_conv_params p = WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2});
  double scale = 1 / sqrt((double)(x.shape[1] * r * r));
  twin f = twin_leaf(w, true, scale, 4, (int64_t[]){k, x.shape[1], r, r});
  return twin_map(w, WN_RELU, twin_conv(w, x, f, &p));
}

static outputs single(twin x) { return (outputs){1, {x}}; }

/* SqueezeNet: 1x1, then 1x1 beside 3x3. */
static outputs fire(twins *w, int64_t n) {
  twin x = image(w, n, 6, 9);
  for (int i = 0; i < 2; ++i) {
    twin s = layer(w, x, 4, 1);
    x = CONCAT(w, 1, layer(w, s, 7, 1), layer(w, s, 9, 3));
  }
  return single(layer(w, x, 5, 1));
}

/* DenseNet: each layer reads all before it. */
static outputs dense(twins *w, int64_t n) {
  enum { LAYERS = 5 };
  twin f[LAYERS + 1] = {layer(w, image(w, n, 3, 8), 6, 3)};
  for (int i = 0; i < (int)LAYERS; ++i) {
    twin all = i > 0 ? twin_concat(w, i + 1, f, 1) : f[0];
    twin scale = twin_leaf(w, true, 1, 4, (int64_t[]){1, all.shape[1], 1, 1});
    all = twin_map(w, WN_RELU, twin_zip(w, WN_MUL, all, scale));
    f[i + 1] = layer(w, layer(w, all, 8, 1), 4, 3);
  }
  return single(layer(w, twin_concat(w, LAYERS + 1, f, 1), 5, 1));
}

/* x upsampled to twice its rows and columns. */
static twin upsample(twins *w, twin x) {
  int64_t n = x.shape[0], c = x.shape[1], h = x.shape[2], s = x.shape[3];
  wn_tensor *t = wn_reshape(x.t, 6, (int64_t[]){n, c, h, 1, s, 1});
  t = wn_expand(t, 6, (int64_t[]){n, c, h, 2, s, 2});
  twin y = twin_new(w, wn_reshape(t, 4, (int64_t[]){n, c, 2 * h, 2 * s}), 4,
                    (int64_t[]){n, c, 2 * h, 2 * s});
  for (int64_t i = twin_count(&y); i-- > 0;) {
    int64_t at[TWIN_DIMS];
    twin_at(&y, i, at);
    at[2] /= 2, at[3] /= 2;
    y.v[i] = x.v[twin_place(&x, at)];
  }
  return y;
}

/* U-Net: what went down beside what comes up. */
static outputs skips(twins *w, int64_t n) {
  twin x = twin_leaf(w, false, 1, 4, (int64_t[]){n, 3, 10, 8});
  twin down = layer(w, x, 5, 3);
  twin low = layer(w, twin_pool(w, down, true, 2, 2), 6, 3);
  return single(layer(w, CONCAT(w, 1, down, upsample(w, low)), 4, 3));
}

/* The same with channels for lanes: what comes up has its rows and columns cut in two, and all may have channels last. */
static outputs wide_skips(twins *w, int64_t n) {
  twin x = twin_leaf(w, false, 1, 4, (int64_t[]){n, 3, 8, 12});
  twin down = layer(w, x, 16, 3);
  twin low = layer(w, twin_pool(w, down, true, 2, 2), 8, 3);
  return single(layer(w, layer(w, CONCAT(w, 1, upsample(w, low), down), 24, 1), 4, 3));
}

static twin channels(twins *w, twin x, int64_t begin, int64_t end) {
  const int64_t from[4] = {0, begin}, to[4] = {x.shape[0], end, x.shape[2], x.shape[3]},
                step[4] = {1, 1, 1, 1};
  const bool flip[4] = {false};
  return twin_slice(w, x, from, to, step, flip);
}

/* YOLO: both halves, and what is made of one of them. */
static outputs halves(twins *w, int64_t n) {
  twin x = layer(w, image(w, n, 3, 8), 8, 1);
  twin a = channels(w, x, 0, 4), b = channels(w, x, 4, 8), y = layer(w, b, 4, 3);
  return single(layer(w, CONCAT(w, 1, a, b, y, layer(w, y, 4, 3)), 6, 1));
}

/* The caller's arrays, a constant, a number. */
static outputs leaves(twins *w, int64_t n) {
  twin x = image(w, n, 3, 7), c = twin_leaf(w, true, 1, 4, x.shape);
  twin one = twin_leaf(w, true, 1, 4, (int64_t[]){1, 1, 1, 1});
  twin zeros = twin_scale(w, x, 0);
  return single(layer(w, CONCAT(w, 1, x, c, twin_zip(w, WN_ADD, zeros, one), x), 4, 3));
}

/* A value that is an output, in two concatenations and twice in one of them; both are outputs. */
static outputs shared(twins *w, int64_t n) {
  twin x = image(w, n, 3, 7), a = layer(w, x, 4, 3), b = layer(w, x, 3, 1), c = layer(w, x, 2, 3);
  twin ab = CONCAT(w, 1, a, b, a), bc = CONCAT(w, 1, c, b);
  return (outputs){4, {ab, b, bc, layer(w, CONCAT(w, 1, bc, ab), 4, 1)}};
}

/* Along each axis, of concatenations. */
static outputs crossed(twins *w, int64_t n) {
  twin x = image(w, n, 3, 6);
  twin a = layer(w, x, 4, 3), b = layer(w, x, 4, 1);
  twin rows = CONCAT(w, 2, a, b), more = CONCAT(w, 2, b, a);
  twin wide = CONCAT(w, 3, rows, more, rows);
  twin deep = CONCAT(w, 1, a, b), batch = CONCAT(w, 0, deep, deep, CONCAT(w, 1, b, b));
  return (outputs){3, {layer(w, wide, 3, 3), layer(w, batch, 3, 3), rows}};
}

/* All constants: nothing of it is left for a run; a constant beside what is none. */
static outputs constants(twins *w, int64_t n) {
  twin x = image(w, n, 8, 7);
  twin a = twin_leaf(w, true, 0.3, 4, (int64_t[]){3, 8, 3, 3}),
       b = twin_leaf(w, true, 0.3, 4, (int64_t[]){2, 8, 3, 3});
  twin f = CONCAT(w, 0, twin_map(w, WN_TANH, a), b);
  const wn_conv_params p = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  twin y = twin_conv(w, x, f, &p);
  twin g = twin_map(w, WN_SIGMOID, twin_leaf(w, true, 1, 4, (int64_t[]){n, 2, 7, 8}));
  return (outputs){2, {CONCAT(w, 1, y, g), layer(w, CONCAT(w, 1, g, x), 3, 3)}};
}

/* As [n][h][w][c], and reshaped on the way. */
static outputs last_axis(twins *w, int64_t n) {
  twin x = image(w, n, 3, 6), a = layer(w, x, 4, 3), b = layer(w, x, 5, 1);
  static const int turn[] = {0, 2, 3, 1}, back[] = {0, 3, 1, 2};
  twin y = CONCAT(w, 3, twin_permute(w, a, turn), twin_permute(w, b, turn));
  twin flat = CONCAT(w, 1, twin_reshape(w, a, 2, (int64_t[]){n, 4 * 6 * 7}),
                     twin_reshape(w, b, 2, (int64_t[]){n, 5 * 6 * 7}));
  return (outputs){3, {layer(w, twin_permute(w, y, back), 3, 3), y, flat}};
}

/* A DenseNet with channels last: each layer reads all before it, whose parts take turns in memory. */
static outputs dense_last(twins *w, int64_t n) {
  enum { LAYERS = 4 };
  static const int turn[] = {0, 2, 3, 1}, back[] = {0, 3, 1, 2};
  twin f[LAYERS + 1] = {twin_permute(w, layer(w, image(w, n, 3, 7), 5, 3), turn)};
  for (int i = 0; i < (int)LAYERS; ++i) {
    twin all = i > 0 ? twin_concat(w, i + 1, f, 3) : f[0];
    twin scale = twin_leaf(w, true, 1, 1, &all.shape[3]);
    all = twin_map(w, WN_RELU, twin_zip(w, WN_MUL, all, scale));
    all = twin_permute(w, all, back);
    f[i + 1] = twin_permute(w, layer(w, all, i % 2 ? 3 : 8, i % 2 ? 3 : 1), turn);
  }
  return single(twin_concat(w, LAYERS + 1, f, 3));
}

/* Products, maps and sums of rows beside each other: all of one column, some of few. */
static outputs columns(twins *w, int64_t n) {
  twin x = twin_leaf(w, false, 1, 2, (int64_t[]){11 * n, 20});
  twin a = twin_matmul(w, x, twin_leaf(w, true, 0.2, 2, (int64_t[]){20, 7}));
  twin sum = twin_scale(w, twin_reduce(w, WN_SUM, x, 1), 0.2),
       squares = twin_scale(w, twin_reduce(w, WN_SUM, twin_zip(w, WN_MUL, x, x), 1), 0.2),
       most = twin_reduce(w, WN_MAXIMUM, x, 1);
  twin four = CONCAT(w, 1, most, sum, squares, twin_map(w, WN_TANH, most));
  twin y = CONCAT(w, 1, twin_map(w, WN_SIGMOID, a), four);
  return (outputs){2, {y, twin_reduce(w, WN_SUM, CONCAT(w, 1, four, x), 0)}};
}

/* Blocks of blocks: along columns of what is along rows, and the other way round; a block is read by itself. */
static outputs blocks(twins *w, int64_t n) {
  twin x = image(w, n, 3, 5), a = layer(w, x, 4, 3), b = layer(w, x, 4, 1), c = layer(w, x, 4, 3);
  twin d = twin_map(w, WN_ABS, a), e = twin_map(w, WN_TANH, b), f = twin_map(w, WN_SIGMOID, c);
  twin rows = CONCAT(w, 2, CONCAT(w, 3, a, b), CONCAT(w, 3, c, d)),
       cols = CONCAT(w, 3, CONCAT(w, 2, e, f), CONCAT(w, 2, twin_map(w, WN_NEG, a), e));
  return (outputs){3, {CONCAT(w, 1, rows, cols), layer(w, CONCAT(w, 3, c, d), 3, 3), f}};
}

/* Halves of channels that are last, and what is made of one of them. */
static outputs halves_last(twins *w, int64_t n) {
  static const int turn[] = {0, 2, 3, 1}, back[] = {0, 3, 1, 2};
  twin x = twin_permute(w, layer(w, image(w, n, 3, 6), 8, 1), turn);
  const int64_t from[4] = {0}, mid[4] = {0, 0, 0, 4}, step[4] = {1, 1, 1, 1},
                half[4] = {n, x.shape[1], x.shape[2], 4};
  const bool flip[4] = {false};
  twin a = twin_slice(w, x, from, half, step, flip), b = twin_slice(w, x, mid, x.shape, step, flip);
  twin y = twin_permute(w, layer(w, twin_permute(w, b, back), 4, 3), turn);
  return (outputs){2, {CONCAT(w, 3, a, b, y, twin_map(w, WN_TANH, y)), CONCAT(w, 3, y, a)}};
}

/* A convolution that is stored with channels last, as what is added to it is. */
static twin layer_last(twins *w, twin x, int64_t k, int64_t r) {
  static const int turn[] = {0, 2, 3, 1};
  twin y = twin_permute(w, layer(w, x, k, r), turn);
  return twin_zip(w, WN_ADD, y, twin_leaf(w, false, 1, 4, y.shape));
}

/* Channels of several convolutions beside each other, read by one whose own are beside them too. */
static outputs channels_last(twins *w, int64_t n) {
  static const int back[] = {0, 3, 1, 2};
  twin x = image(w, n, 6, 10);
  twin c = CONCAT(w, 3, layer_last(w, x, 7, 3), layer_last(w, x, 9, 1), layer_last(w, x, 16, 3));
  return single(CONCAT(w, 3, layer_last(w, twin_permute(w, c, back), 18, 3), c));
}

typedef outputs (*batch_fn)(twins *w, int64_t n);

static const struct {
  const char *name;
  batch_fn build;
  int kernels; /* of a run of one image, and of more, where all is direct; 0: it is not counted */
} graphs[] = {
    {"fire", fire, 7},
    {"dense", dense, 12},
    {"skips", skips, 5},
    {"wide skips", wide_skips, 6},
    {"halves", halves, 4},
    {"leaves", leaves, 5},
    {"shared", shared, 0},
    {"crossed", crossed, 0},
    {"constants", constants, 0},
    {"last axis", last_axis, 0},
    {"dense last", dense_last, 6},
    {"columns", columns, 8},
    {"blocks", blocks, 10},
    {"halves last", halves_last, 7},
    {"channels last", channels_last, 4},
};

static int drawn; /* of graphs */

static outputs build(twins *w) {
  return graphs[drawn].build(w, chance(w->random, 50) ? alone : between(w->random, 2, 3));
}

static outputs build_alone(twins *w) { return graphs[drawn].build(w, alone); }
static outputs build_three(twins *w) { return graphs[drawn].build(w, 3); }

static const struct {
  const char *plan, *backend;
} ways[] = {
    {"auto", "interp"},   {"auto", "cpu"},      {"old", "cpu"},      {"new", "interp"},
    {"one", "cpu"},       {"fused", "cpu"},     {"split", "cpu"},    {"direct", "cpu"},
    {"old-2k", "interp"}, {"direct", "opencl"}, {"fused", "opencl"}, {"direct", "cpu:cc"},
};

/* Can programs be compiled for it here? */
static bool is_there(const char *backend) {
  float x = 1, y;
  void *data[] = {&y};
  wn_context *ctx;
  wn_program *p;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *t = wn_map(WN_NEG, wn_input(ctx, WN_F32, 0, NULL, &x));
  const wn_options o = WN_OPTIONS(.backend = backend, .threads = 1, .no_cache = 1);
  wn_status st = wn_compile(ctx, &t, data, 1, &o, &p);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  return st == WN_OK;
}

typedef struct networks {
  attempt a;
  char *running;
} networks;

static int all_ways(void *user) {
  networks *n = user;
  attempt *a = &n->a;
  uint64_t random = a->seed + (uint64_t)drawn;
  int wrong = 0;
  for (int i = 0; i < LEN(ways); ++i, ++a->seed) {
    bool slow = strcmp(ways[i].backend, "opencl") == 0; /* its driver is */
    int percent = (in_part() ? 10 : 20) / (slow ? 2 : 1);
    bool drawn_too = i < 2 || getenv("WINNOW_LONG") != NULL || chance(&random, percent);
    if (!drawn_too || !is_there(ways[i].backend)) continue;
    a->plan = ways[i].plan;
    a->backend = ways[i].backend;
    note_running(n->running, a);
    wrong += try_plan(a, build);
  }
  return wrong;
}

static void test_networks(void **state) {
  uint64_t seed = test_seed();
  int wrong = 0;
  for (drawn = 0; drawn < LEN(graphs); ++drawn) {
    networks n = {
        .a = {.name = graphs[drawn].name, .seed = seed, .tolerance = TOLERANCE, .may_refuse = true},
        .running = *state};
    wrong += in_process(n.a.name, all_ways, &n, n.running);
  }
  assert_int_equal(wrong, 0);
}

/* --- exact results ---------------------------------------------------------------------------- */

enum { AXES = 4, POOL = 40, STEPS = 12 };

typedef struct pool { /* of values that were made, all of AXES axes */
  twin at[POOL];
  int len, along;
} pool;

static void add(pool *p, twin t) { p->at[p->len++] = t; }

static twin any(twins *w, const pool *p) { return p->at[below(w->random, p->len)]; }

/* Some that can stand beside the first along the axis: any, or as networks have it one axis of all or nearly all. */
static twin draw_concat(twins *w, const pool *p) {
  twin part[6] = {any(w, p)};
  int along = chance(w->random, 50) ? p->along : (int)below(w->random, AXES), n = 1;
  for (int tries = 0; tries < 30 && n < LEN(part); ++tries) {
    twin t = any(w, p);
    bool fits = twin_count(&t) < 2000 && twin_count(&part[0]) < 2000;
    for (int d = 0; d < AXES; ++d) fits = fits && (d == along || t.shape[d] == part[0].shape[d]);
    if (fits) part[n++] = t;
  }
  return twin_concat(w, n, part, along);
}

static twin draw_slice(twins *w, twin x) {
  int64_t begin[AXES] = {0}, end[AXES], step[AXES] = {1, 1, 1, 1};
  bool flip[AXES] = {false};
  int d = (int)below(w->random, AXES);
  memcpy(end, x.shape, sizeof end);
  begin[d] = below(w->random, x.shape[d]);
  end[d] = between(w->random, begin[d] + 1, x.shape[d]);
  flip[below(w->random, AXES)] = chance(w->random, 20);
  return twin_slice(w, x, begin, end, step, flip);
}

static twin draw_value(twins *w, const pool *p) {
  static const wn_unary maps[] = {WN_RELU, WN_ABS, WN_NEG};
  static const int turns[][AXES] = {{1, 0, 2, 3}, {0, 2, 3, 1}, {3, 2, 1, 0}};
  twin x = any(w, p), y = any(w, p);
  bool same = memcmp(x.shape, y.shape, sizeof *x.shape * AXES) == 0;
  switch (below(w->random, 9)) {
    case 0:
    case 1:
      return twin_map(w, maps[below(w->random, LEN(maps))], x);
    case 2:
      return same ? twin_zip(w, WN_MAX, x, y) : draw_slice(w, x);
    case 3:
      return twin_reduce(w, chance(w->random, 50) ? WN_MAXIMUM : WN_MINIMUM, x,
                         (int)below(w->random, AXES));
    case 4:
      return twin_permute(w, x, turns[below(w->random, LEN(turns))]);
    case 5:
      return draw_slice(w, x);
    case 6:
      return twin_pad(w, x, (int64_t[]){0, 1, 0, 0}, (int64_t[]){0, 0, below(w->random, 2), 0});
    default:
      return draw_concat(w, p);
  }
}

/* Nothing is rounded: each result has to be the very number. */
static outputs exact(twins *w) {
  pool p = {.along = (int)below(w->random, AXES)};
  outputs o = {.count = 0};
  for (int i = 0; i < 4; ++i) {
    int64_t shape[AXES] = {between(w->random, 1, 2), between(w->random, 1, 3), 4, 3};
    add(&p, twin_leaf(w, chance(w->random, 40), 1, AXES, shape));
  }
  int steps = (int)between(w->random, 3, STEPS);
  for (int i = 0; i < steps; ++i) {
    add(&p, draw_concat(w, &p));
    add(&p, draw_value(w, &p));
    add(&p, draw_value(w, &p));
  }
  o.out[o.count++] = p.at[p.len - 1];
  for (int i = 0; i < 2; ++i) o.out[o.count++] = any(w, &p);
  return o;
}

static int exact_graph(void *user) {
  attempt *a = user;
  a->plan = "auto";
  int wrong = try_plan(a, exact);
  a->plan = "direct";
  a->backend = "cpu";
  wrong += try_plan(a, exact);
  if (a->seed % 8 > 1) return wrong; /* these compile for longer */
  a->backend = a->seed % 8 ? "opencl" : "cpu:cc";
  return is_there(a->backend) ? wrong + try_plan(a, exact) : wrong;
}

static void test_exact(void **state) {
  uint64_t seed = test_seed();
  double end = seconds_now() + (getenv("WINNOW_LONG") != NULL ? 300 : in_part() ? 2 : 4);
  int wrong = 0, count = 0;
  for (; (count < 3 || seconds_now() < end) && wrong < 20; ++count) {
    attempt a = {
        .name = "exact", .plan = "auto", .backend = "interp", .seed = seed + (uint64_t)count};
    note_running(*state, &a);
    wrong += in_process(a.name, exact_graph, &a, *state);
  }
  print_message("# %d graphs\n", count);
  assert_int_equal(wrong, 0);
}

/* --- what is not done ------------------------------------------------------------------------- */

typedef struct made {
  arena mem;
  diag d;
  wn_context *ctx;
  wn_program *program;
  outputs o;
  float *data[MOST_OUTPUTS];
  wn_program_info info;
} made;

/* Does it compile? With `fail` > 0 that allocation of the compile fails. */
static bool make_failing(made *m, build_fn fn, const wn_options *options, long fail) {
  uint64_t random = 5;
  wn_tensor *t[MOST_OUTPUTS];
  void *data[MOST_OUTPUTS];
  diag_init(&m->d);
  arena_init(&m->mem, &m->d);
  assert_int_equal(wn_context_create(&m->ctx), WN_OK);
  twins w = {m->ctx, &m->mem, &random};
  m->o = fn(&w);
  for (int i = 0; i < m->o.count; ++i) {
    t[i] = m->o.out[i].t;
    data[i] = m->data[i] = arena_array(&m->mem, float, twin_count(&m->o.out[i]));
  }
  wn_program_info info = WN_PROGRAM_INFO();
  m->info = info;
  mem_fail_at(fail);
  wn_status st = wn_compile(m->ctx, t, data, m->o.count, options, &m->program);
  mem_fail_at(0);
  if (fail > 0 && st != WN_OK) assert_int_equal(st, WN_ERR_NOMEM);
  if (st == WN_OK) assert_int_equal(wn_program_get_info(m->program, &m->info), WN_OK);
  return st == WN_OK;
}

static bool make(made *m, build_fn fn, const wn_options *options) {
  return make_failing(m, fn, options, 0);
}

static void give_back(made *m) {
  wn_program_destroy(m->program);
  wn_context_destroy(m->ctx);
  arena_release(&m->mem);
}

static const wn_options plain = {
    .size = sizeof(wn_options), .plan = "direct", .backend = "interp", .threads = 1, .no_cache = 1};

static void test_kernels(void **state) {
  (void)state;
  for (drawn = 0; drawn < LEN(graphs); ++drawn) {
    static const build_fn batches[] = {build_alone, build_three};
    for (int i = 0; i < LEN(batches) && graphs[drawn].kernels > 0; ++i) {
      made m;
      if (!make(&m, batches[i], &plain)) fail_msg("%s", wn_message(m.ctx));
      if (m.info.kernels != graphs[drawn].kernels)
        fail_msg("%s: %d kernels where %d do: %s", graphs[drawn].name, m.info.kernels,
                 graphs[drawn].kernels, m.info.placement);
      give_back(&m);
    }
  }
}

/* Layers that are stored straight into the caller's array: in one piece each, or in one of each image, */
static outputs into_output(twins *w) {
  twin x = image(w, 1, 3, 8);
  return single(CONCAT(w, 1, layer(w, x, 4, 3), layer(w, x, 5, 1)));
}

static outputs into_images(twins *w) {
  twin x = image(w, 3, 3, 8);
  return single(CONCAT(w, 1, layer(w, x, 4, 3), layer(w, x, 5, 1)));
}

/* each row beside each row, */
static outputs into_rows(twins *w) {
  twin x = twin_leaf(w, false, 1, 2, (int64_t[]){19, 12});
  twin a = twin_leaf(w, true, 0.3, 2, (int64_t[]){12, 17}),
       b = twin_leaf(w, true, 0.3, 2, (int64_t[]){12, 5});
  return single(CONCAT(w, 1, twin_matmul(w, x, a), twin_map(w, WN_TANH, twin_matmul(w, x, b))));
}

/* a rectangle of an image each: */
static outputs into_blocks(twins *w) {
  twin x = image(w, 2, 3, 8);
  twin two = CONCAT(w, 3, layer(w, x, 4, 3), layer(w, x, 4, 1));
  return single(CONCAT(w, 2, two, CONCAT(w, 3, layer(w, x, 4, 3), layer(w, x, 4, 1))));
}

static outputs into_reshaped(twins *w) {
  twin y = into_output(w).out[0];
  return single(twin_reshape(w, y, 2, (int64_t[]){9, 8 * 9}));
}

/* Of a DenseNet's concatenations only the last has memory: 6 + 5 * 4 channels; beside it one layer of 8. */
static void test_memory(void **state) {
  (void)state;
  made m;
  enum { PIXELS = 8 * 9 * 4, ROOM = 1024 };
  drawn = 1;
  assert_string_equal(graphs[drawn].name, "dense");
  if (!make(&m, build_alone, &plain)) fail_msg("%s", wn_message(m.ctx));
  size_t bytes = m.info.workspace_bytes, prepared = m.info.prepared_bytes;
  give_back(&m);
  assert_true(bytes >= (26 + 8) * (size_t)PIXELS);
  assert_true(bytes <= (26 + 8) * (size_t)PIXELS + ROOM);
  wn_options limited = plain;
  bytes += prepared;
  limited.max_memory = bytes;
  assert_true(make(&m, build_alone, &limited));
  give_back(&m);
  limited.max_memory = bytes - 1;
  assert_false(make(&m, build_alone, &limited));
  assert_non_null(strstr(wn_message(m.ctx), "the limit is"));
  give_back(&m);
  static const build_fn outs[] = {into_output, into_reshaped, into_images, into_rows, into_blocks};
  for (int i = 0; i < LEN(outs); ++i) {
    assert_true(make(&m, outs[i], &plain));
    assert_int_equal(m.info.kernels, outs[i] == into_blocks ? 4 : 2);
    assert_int_equal(m.info.workspace_bytes, 0);
    assert_int_equal(wn_run(m.program), WN_OK);
    assert_true(relative_l2(m.data[0], m.o.out[0].v, twin_count(&m.o.out[0])) < TOLERANCE);
    give_back(&m);
  }
}

/* Constants beside each other are prepared; what stands beside an input is stored by each run. */
static outputs prepared(twins *w) {
  twin a = twin_leaf(w, true, 1, 2, (int64_t[]){3, 20}),
       b = twin_leaf(w, true, 1, 2, (int64_t[]){4, 20});
  twin x = twin_leaf(w, false, 1, 2, (int64_t[]){5, 20});
  twin c = CONCAT(w, 0, twin_map(w, WN_TANH, a), b);
  return single(twin_reduce(
      w, WN_SUM, CONCAT(w, 0, x, twin_zip(w, WN_MUL, twin_reduce(w, WN_SUM, c, 0), x)), 0));
}

static void test_prepared(void **state) {
  (void)state;
  made m;
  assert_true(make(&m, prepared, &plain));
  assert_true(m.info.prepare_kernels >= 2);
  assert_int_equal(m.info.kernels, 3);
  for (int i = 0; i < 2; ++i) {
    assert_int_equal(wn_run(m.program), WN_OK);
    assert_true(relative_l2(m.data[0], m.o.out[0].v, twin_count(&m.o.out[0])) < TOLERANCE);
  }
  give_back(&m);
}

/* Filters whose rows stand between others in a prepared array, their sums nothing or not. */
static bool filters_cancel;

static outputs filters_between(twins *w) {
  enum { C = 24 };
  const wn_conv_params p = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}),
                       wide = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 2});
  const int64_t shape[4] = {C, C, 3, 3};
  twin f = twin_leaf(w, true, 1, 4, shape),
       more = twin_leaf(w, true, 1, 4, (int64_t[]){C, C, 3, 1});
  float *v = arena_array(w->a, float, twin_count(&f));
  for (int64_t i = 0; i < twin_count(&f); ++i) {
    if (filters_cancel) f.v[i] = (i % 9 == 4 ? 8 : -1) * (double)(1 + i / 9 % 5);
    v[i] = (float)f.v[i];
  }
  f.t = wn_constant(w->ctx, WN_F32, 4, shape, v);
  f = twin_map(w, WN_NEG, f);
  twin x = image(w, 1, C, 24), all = CONCAT(w, 3, twin_map(w, WN_ABS, more), f);
  return (outputs){2, {twin_conv(w, x, f, &p), twin_conv(w, x, all, &wide)}};
}

/* They are known where they are: `auto` leaves those that cancel direct (winograd/cancel.h). */
static void test_known(void **state) {
  (void)state;
  wn_options o = plain;
  o.plan = "auto";
  o.plan_only = 1;
  for (int cancels = 0; cancels < 2; ++cancels) {
    made m;
    filters_cancel = cancels != 0;
    if (!make(&m, filters_between, &o)) fail_msg("%s", wn_message(m.ctx));
    const char *conv = strstr(m.info.placement, "conv");
    assert_non_null(conv);
    if ((strncmp(strchr(conv, '{'), "{direct", 7) == 0) != filters_cancel)
      fail_msg("cancels %d: %s", cancels, m.info.placement);
    give_back(&m);
  }
}

/* Parts follow their whole to another array, and of a program that shares the code to its own. */
static void check_bound(build_fn fn, const char *backend) {
  made m;
  wn_program *other;
  wn_options o = plain;
  o.backend = backend;
  if (!make(&m, fn, &o)) fail_msg("%s", wn_message(m.ctx));
  int64_t n = twin_count(&m.o.out[0]);
  float *second = arena_array(&m.mem, float, n), *third = arena_array(&m.mem, float, n);
  int slot;
  assert_int_equal(wn_program_find(m.program, "output0", &slot), WN_OK);
  assert_int_equal(wn_program_share(m.program, &other), WN_OK);
  assert_int_equal(wn_run(m.program), WN_OK);
  assert_true(relative_l2(m.data[0], m.o.out[0].v, n) < TOLERANCE);
  memset(m.data[0], 0, sizeof(float) * (size_t)n);
  assert_int_equal(wn_bind(m.program, slot, second), WN_OK);
  assert_int_equal(wn_bind(other, slot, third), WN_OK);
  assert_int_equal(wn_run(m.program), WN_OK);
  wn_program_destroy(m.program);
  m.program = other;
  assert_int_equal(wn_run(other), WN_OK);
  assert_true(relative_l2(second, m.o.out[0].v, n) < TOLERANCE);
  assert_true(relative_l2(third, m.o.out[0].v, n) < TOLERANCE);
  for (int64_t i = 0; i < n; ++i) assert_true(m.data[0][i] == 0);
  give_back(&m);
}

static void test_bound(void **state) {
  (void)state;
  static const build_fn outs[] = {into_output, into_images, into_rows, into_blocks};
  for (int i = 0; i < LEN(outs); ++i) {
    check_bound(outs[i], "interp");
    check_bound(outs[i], "cpu");
    if (is_there("cpu:cc")) check_bound(outs[i], "cpu:cc");
    if (is_there("opencl")) check_bound(outs[i], "opencl");
  }
}

/* The plan that a program reports makes the same program again. */
static void test_placement(void **state) {
  (void)state;
  for (drawn = 0; drawn < LEN(graphs); ++drawn) {
    made m, again;
    wn_options o = plain;
    o.plan = "auto";
    o.plan_only = 1;
    if (!make(&m, build_alone, &o)) fail_msg("%s", wn_message(m.ctx));
    o.plan = m.info.placement;
    if (!make(&again, build_alone, &o)) fail_msg("%s", wn_message(again.ctx));
    assert_string_equal(again.info.placement, m.info.placement);
    assert_string_equal(again.info.identity, m.info.identity);
    give_back(&again);
    give_back(&m);
  }
}

/* Channels are last in all of a concatenation whose parts have other loops; not where a few channels, with pixels in the
 * lanes, are made of them. */
static void test_layout(void **state) {
  (void)state;
  made m;
  wn_options o = plain;
  o.plan = "auto";
  o.plan_only = 1;
  for (drawn = 0; strcmp(graphs[drawn].name, "wide skips") != 0;) ++drawn;
  if (!make(&m, build_alone, &o)) fail_msg("%s", wn_message(m.ctx));
  int last = 0;
  for (const char *at = m.info.placement; (at = strstr(at, "layout=last")) != NULL; ++at) ++last;
  const char *given = strstr(m.info.placement, "layout=given"),
             *read = strstr(m.info.placement, "product4");
  if (last != 4 || given == NULL || read == NULL || given < read) fail_msg("%s", m.info.placement);
  give_back(&m);
}

/* Any allocation may fail; the first ones each, later ones ever fewer of them. */
static void test_allocation_failure(void **state) {
  (void)state;
  bool done = false;
  wn_options o = plain;
  o.plan_only = 1;
  drawn = 6;
  assert_string_equal(graphs[drawn].name, "shared");
  for (long n = 1; !done; n += 1 + n / 32) {
    made m;
    done = make_failing(&m, build_alone, &o, n);
    give_back(&m);
  }
}

/* A part has an array, however little it takes to compute. */
static void test_inline(void **state) {
  (void)state;
  made m;
  wn_options o = plain;
  o.plan = "direct map0{inline}";
  assert_false(make(&m, prepared, &o));
  assert_non_null(strstr(wn_message(m.ctx), "it is stored as a part of a concatenation"));
  give_back(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_networks),  cmocka_unit_test(test_exact),
      cmocka_unit_test(test_kernels),   cmocka_unit_test(test_memory),
      cmocka_unit_test(test_prepared),  cmocka_unit_test(test_known),
      cmocka_unit_test(test_bound),     cmocka_unit_test(test_inline),
      cmocka_unit_test(test_layout),    cmocka_unit_test(test_allocation_failure),
      cmocka_unit_test(test_placement),
  };
  return cmocka_run_group_tests_name("concats", tests, share_text, unshare_text);
}
