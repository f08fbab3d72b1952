/* Random networks against float64: 2 to 12 layers in a row with branches, residual additions,
 * concatenations, mixed filters, strides, dilations and groups, other layouts, pooling, constant
 * sub-graphs, shared weights, a classifier, and outputs that later layers read. Each under auto, a named plan
 * and a plan of its own for every site, on the backends of the CPU.
 * WINNOW_SEED=<seed> draws the same ones again, WINNOW_NETWORKS=<count> as many as that. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "mixed_plan.h"
#include "sanitized.h"

enum { MOST_LAYERS = 12, MOST_VALUES = 64, MOST_ELEMENTS = 3000 };
#define LEN(a) (sizeof(a) / sizeof *(a))
/* Of a dozen layers, some of which take differences of what is alike; what is wrong is off by a hundred times as much.
 * */
#define TOLERANCE 3e-5

/* --- drawing ---------------------------------------------------------------------------------- */

typedef struct network {
  twins *w;
  twin value[MOST_VALUES]; /* images that layers have made, x[n][c][h][w]; the first is the input */
  int n;
  int layers;   /* of those that are asked for: what has its own array, about */
  twin last;    /* filters of the last convolution, for a layer that shares them */
  int64_t wide; /* factor of channels: 8 where values between layers can have their channels last */
} network;

static twin keep(network *net, twin y) {
  if (net->n < MOST_VALUES) net->value[net->n++] = y;
  return y;
}

static twin image(twins *w, int64_t n, int64_t c, int64_t h, int64_t x) {
  return twin_leaf(w, false, 1, 4, (int64_t[]){n, c, h, x});
}

static twin per_channel(twins *w, int64_t c, double scale) {
  return twin_leaf(w, true, scale, 4, (int64_t[]){1, c, 1, 1});
}

/* The value that a layer reads: mostly the last. */
static twin draw_value(network *net) {
  int back = chance(net->w->random, 75) ? 0 : (int)below(net->w->random, net->n < 4 ? net->n : 4);
  return net->value[net->n - 1 - back];
}

/* Constants, and now and then what is computed from constants. */
static twin draw_filters(twins *w, int64_t k, int64_t c, int64_t r, int64_t s) {
  const int64_t shape[] = {k, c, r, s};
  double scale = 1.7 / sqrt((double)(c * r * s));
  twin f = twin_leaf(w, true, scale, 4, shape);
  if (chance(w->random, 12)) f = twin_zip(w, WN_MUL, f, per_channel(w, c, 1.5));
  if (chance(w->random, 8)) {
    twin other = twin_leaf(w, true, scale, 4, (int64_t[]){c, k, r, s});
    f = twin_zip(w, WN_SUB, f, twin_permute(w, other, (int[]){1, 0, 2, 3}));
  }
  return f;
}

static const struct {
  int64_t r, s;
} filter_sizes[] = {{3, 3}, {3, 3}, {3, 3}, {1, 1}, {1, 1}, {5, 5}, {1, 7}, {3, 1}, {2, 2}};

static twin conv_layer(network *net, twin x, int64_t k, bool same_size) {
  twins *w = net->w;
  size_t size = (size_t)below(w->random, LEN(filter_sizes));
  int64_t r = filter_sizes[size].r, s = filter_sizes[size].s, c = x.shape[1], groups = 1;
  int64_t dilation = chance(w->random, 10) ? 2 : 1, lo[] = {r / 2, s / 2};
  wn_conv_params p =
      WN_CONV_PARAMS(.dilation = {dilation, dilation},
                     .pad_lo = {dilation * lo[0], dilation * lo[1]},
                     .pad_hi = {dilation * (r - 1 - lo[0]), dilation * (s - 1 - lo[1])});
  if (!same_size && chance(w->random, 20)) p.stride[0] = p.stride[1] = 2;
  if (chance(w->random, 12))
    groups = k = c;
  else if (c % 2 == 0 && k % 2 == 0 && chance(w->random, 15))
    groups = 2;
  p.groups = groups;
  const twin *l = &net->last;
  bool shared = l->t != NULL && l->shape[1] == c / groups && l->shape[0] == k && l->shape[2] == r &&
                l->shape[3] == s && chance(w->random, 60);
  twin f = shared ? *l : draw_filters(w, k, c / groups, r, s);
  net->last = f;
  net->layers++;
  return twin_conv(w, x, f, &p);
}

static twin activation(twins *w, twin x) {
  static const wn_unary maps[] = {WN_RELU, WN_RELU, WN_RELU, WN_TANH, WN_SIGMOID, WN_ABS, WN_NEG};
  return twin_map(w, maps[below(w->random, LEN(maps))], x);
}

/* A bias that is the sum of something constant. */
static twin constant_bias(twins *w, int64_t c) {
  twin y = twin_conv(w, twin_leaf(w, true, 1, 4, (int64_t[]){1, 2, 3, 3}),
                     twin_leaf(w, true, 0.2, 4, (int64_t[]){c, 2, 3, 3}), &WN_CONV_PARAMS());
  return twin_map(w, WN_TANH, y);
}

static twin finish_layer(twins *w, twin y) {
  if (chance(w->random, 60)) {
    bool sum = chance(w->random, 12);
    y = twin_zip(w, WN_ADD, y, sum ? constant_bias(w, y.shape[1]) : per_channel(w, y.shape[1], 1));
  }
  if (chance(w->random, 15)) y = twin_zip(w, WN_MUL, y, per_channel(w, y.shape[1], 1.5));
  return chance(w->random, 75) ? activation(w, y) : y;
}

/* relu(conv(relu(conv(x))) + x) */
static twin residual(network *net, twin x) {
  twins *w = net->w;
  twin y = finish_layer(w, conv_layer(net, x, x.shape[1], true));
  if (chance(w->random, 50)) y = conv_layer(net, y, x.shape[1], true);
  if (memcmp(y.shape, x.shape, 4 * sizeof *x.shape) == 0) y = twin_zip(w, WN_ADD, y, x);
  return activation(w, y);
}

/* Channels of b behind those of a. */
static twin concatenated(twins *w, twin a, twin b) {
  const int64_t none[4] = {0}, behind[4] = {0, b.shape[1], 0, 0}, before[4] = {0, a.shape[1], 0, 0};
  return twin_zip(w, WN_ADD, twin_pad(w, a, none, behind), twin_pad(w, b, before, none));
}

static twin branches(network *net, twin x) {
  twins *w = net->w;
  twin a = finish_layer(w, conv_layer(net, x, net->wide * between(w->random, 1, 5), true)),
       b = chance(w->random, 30)
               ? x
               : finish_layer(w, conv_layer(net, x, net->wide * between(w->random, 1, 5), true));
  bool alike = a.shape[2] == b.shape[2] && a.shape[3] == b.shape[3];
  return alike && a.shape[1] + b.shape[1] <= 12 * net->wide ? concatenated(w, a, b) : a;
}

/* Channels last, scaled there, and back: what reads it is in another layout than what made it. */
static twin other_layout(network *net, twin x) {
  twins *w = net->w;
  twin y = twin_permute(w, x, (int[]){0, 2, 3, 1});
  twin scale = twin_leaf(w, true, 1.5, 1, (int64_t[]){y.shape[3]});
  y = twin_zip(w, WN_MUL, y, scale);
  if (chance(w->random, 50)) y = activation(w, y);
  if (chance(w->random, 30)) {
    twin f = twin_leaf(w, true, 1 / sqrt((double)y.shape[3]), 2,
                       (int64_t[]){y.shape[3], between(w->random, 1, 8)});
    y = twin_matmul(w, y, f);
    net->layers++;
  }
  return twin_permute(w, y, chance(w->random, 80) ? (int[]){0, 3, 1, 2} : (int[]){0, 3, 2, 1});
}

static twin pooled(network *net, twin x) {
  if (x.shape[2] < 3 || x.shape[3] < 3) return x;
  net->layers++;
  return twin_pool(net->w, x, chance(net->w->random, 50), between(net->w->random, 2, 3),
                   between(net->w->random, 1, 2));
}

static twin mean_of_pixels(network *net, twin x) {
  twins *w = net->w;
  twin sum = twin_reduce(w, WN_SUM, twin_reduce(w, WN_SUM, x, 3), 2);
  net->layers++;
  return twin_scale(w, sum, 1.0 / (double)(x.shape[2] * x.shape[3]));
}

/* x times what a small network says of its means: every pixel waits for all of them. */
static twin excited(network *net, twin x) {
  twins *w = net->w;
  twin f = draw_filters(w, x.shape[1], x.shape[1], 1, 1);
  twin y = twin_conv(w, mean_of_pixels(net, x), f, &WN_CONV_PARAMS());
  net->layers++;
  return twin_zip(w, WN_MUL, x, twin_map(w, WN_SIGMOID, y));
}

static twin draw_layer(network *net) {
  twins *w = net->w;
  twin x = draw_value(net);
  switch (below(w->random, 16)) {
    case 0:
    case 1:
      return residual(net, x);
    case 2:
    case 3:
      return branches(net, x);
    case 4:
      return other_layout(net, x);
    case 5:
      return pooled(net, x);
    case 6:
      return excited(net, x);
    case 7:
      if (x.shape[3] < 2) return x;
      net->layers += 2;
      return twin_softmax(w, x);
    case 8: /* two values that are far apart */
      return twin_zip(w, WN_MAX, x, twin_map(w, WN_SIGMOID, per_channel(w, x.shape[1], 2)));
    default:
      return finish_layer(w, conv_layer(net, x, net->wide * between(w->random, 1, 8), false));
  }
}

/* x[n][c][h][w] to classes; with or without pooling, and softmax. */
static twin classifier(network *net, twin x) {
  twins *w = net->w;
  if (chance(w->random, 60)) x = mean_of_pixels(net, x);
  int64_t k = x.shape[1] * x.shape[2] * x.shape[3], n = between(w->random, 1, 10);
  twin y = twin_reshape(w, x, 2, (int64_t[]){x.shape[0], k});
  y = twin_matmul(w, y, twin_leaf(w, true, 1.7 / sqrt((double)k), 2, (int64_t[]){k, n}));
  y = twin_zip(w, WN_ADD, y, twin_leaf(w, true, 1, 1, (int64_t[]){n}));
  net->layers++;
  return chance(w->random, 50) ? twin_softmax(w, y) : y;
}

/* Two that one kernel may store: of one value, through the same loops. */
static void draw_pair(network *net, outputs *o) {
  twins *w = net->w;
  twin x = net->value[between(w->random, 0, net->n - 1)];
  int over = chance(w->random, 60) ? 3 : 2;
  bool sums = chance(w->random, 60);
  o->out[o->count++] = sums ? twin_reduce(w, WN_SUM, x, over) : twin_map(w, WN_SIGMOID, x);
  twin square = twin_zip(w, WN_MUL, x, x);
  o->out[o->count++] = !sums                   ? square
                       : chance(w->random, 50) ? twin_reduce(w, WN_SUM, square, over)
                                               : twin_reduce(w, WN_MAXIMUM, x, over);
}

static outputs draw_network(twins *w) {
  network net = {.w = w, .wide = chance(w->random, 30) ? 8 : 1};
  int layers = (int)between(w->random, 2, chance(w->random, 50) ? 5 : MOST_LAYERS);
  int64_t n = chance(w->random, 75) ? 1 : 2;
  keep(&net,
       image(w, n, between(w->random, 1, 6), between(w->random, 4, 13), between(w->random, 4, 13)));
  keep(&net,
       finish_layer(w, conv_layer(&net, net.value[0], net.wide * between(w->random, 1, 8), false)));
  for (int tries = 0; net.layers < layers && tries < 40 && net.n < MOST_VALUES; ++tries) {
    twin y = draw_layer(&net);
    if (twin_count(&y) <= MOST_ELEMENTS * net.wide && y.shape[1] <= 16 * net.wide) keep(&net, y);
  }
  twin last = net.value[net.n - 1];
  outputs o = {1, {chance(w->random, 40) ? classifier(&net, last) : activation(w, last)}};
  while (chance(w->random, 35) && o.count < 4) /* that others read */
    o.out[o.count++] = net.value[between(w->random, 1, net.n - 1)];
  if (chance(w->random, 50)) draw_pair(&net, &o);
  return o;
}

/* --- plans of sites --------------------------------------------------------------------------- */

/* A plan for every site that the graph can have, in m->text. */
static int settle_mixed(attempt *a, uint64_t *random, mixed_plan *m) {
  a->backend = "interp";
  a->only_plan = true;
  a->plan = MIXED_NO_SITE;
  int wrong = try_plan(a, draw_network);
  if (!mixed_sites(m, a->message)) return wrong + complain(a, a->message, 0);
  mixed_draw(m, random);
  a->plan = m->text;
  for (int tries = 0; tries < 4 * MIXED_SITES && !wrong; ++tries) {
    wrong += try_plan(a, draw_network);
    if (a->status == WN_OK) break;
    if (!mixed_give_way(m, a->status, a->message))
      wrong += complain(a, a->message, (double)a->status);
  }
  a->only_plan = false;
  return wrong;
}

/* --- trying ----------------------------------------------------------------------------------- */

typedef struct subject {
  attempt a;
  shared_text *shared;
} subject;

static int try_on(subject *s, const char *plan, const char *backend) {
  s->a.plan = plan;
  s->a.backend = backend;
  note_running(s->shared->running, &s->a);
  int wrong = try_plan(&s->a, draw_network);
  s->shared->worst = fmax(s->shared->worst, s->a.error);
  if (s->a.status == WN_OK)
    s->shared->ran++;
  else
    s->shared->refused++;
  return wrong;
}

/* Compilers take most of the time: LLVM gets two of three plans, the system's one of one graph in eight. */
static int try_network(void *user) {
  static const char *const named[] = {
      "direct", "old",    "new",    "one",    "inline-m",
      "fused",  "old-2k", "x-only", "g-only", "x=global,g=global,m=global,o=global;chunk=4"};
  subject *s = user;
  uint64_t random = s->a.seed ^ UINT64_C(0x6e6574);
  mixed_plan m;
  snprintf(s->shared->running, RUNNING, "sites of WINNOW_SEED=%" PRIu64, s->a.seed);
  int wrong = settle_mixed(&s->a, &random, &m);
  s->shared->sites += m.n;
  const char *const plans[] = {"auto", named[below(&random, LEN(named))], m.text};
  bool everything = getenv("WINNOW_LONG") != NULL;
  int left = (int)below(&random, 3);
  for (int i = 0; i < 3; ++i) {
    wrong += try_on(s, plans[i], "interp");
    if (everything || i != left) wrong += try_on(s, plans[i], "cpu");
  }
  if (everything || s->a.seed % 8 == 0) wrong += try_on(s, plans[s->a.seed / 8 % 3], "cpu:cc");
  return wrong;
}

static void random_networks(void **state) {
  uint64_t seed = test_seed();
  const char *asked = getenv("WINNOW_NETWORKS");
  int count = getenv("WINNOW_LONG") != NULL ? 200 : in_part() ? 10 : 20, failures = 0;
  if (asked != NULL) count = atoi(asked);
  shared_text *shared = *state;
  for (int i = 0; i < count; ++i) {
    subject s = {.a = {.name = "network",
                       .seed = seed + (uint64_t)i,
                       .tolerance = TOLERANCE,
                       .may_refuse = true},
                 .shared = shared};
    failures += in_process("network", try_network, &s, shared->running);
  }
  print_message("# %d networks of %.1f sites, %d programs ran, %d plans were refused, worst %.2g\n",
                count, (double)shared->sites / count, shared->ran, shared->refused, shared->worst);
  assert_int_equal(failures, 0);
  assert_true(shared->ran > 2 * shared->refused);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_networks)};
  return cmocka_run_group_tests_name("networks", tests, share_text, unshare_text);
}
