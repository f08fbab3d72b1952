/* Tensors without elements. In: graphs drawn at random in which every fourth extent is 0, from a printed seed
 * (WINNOW_SEED draws the same ones again). Out: shapes and values are those of plain loops in float64; arrays that have
 * no elements are NULL. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "sanitized.h"

enum { MOST_ELEMENTS = 3000 };

static int64_t extent(twins *w) { return chance(w->random, 25) ? 0 : between(w->random, 1, 4); }

static twin leaf(twins *w, int nd, const int64_t *shape) {
  return twin_leaf(w, chance(w->random, 30), 1, nd, shape);
}

/* Finite, though the largest of nothing is not. */
static twin bounded(twins *w, twin x) {
  twin most = twin_new(w, wn_scalar(w->ctx, WN_F32, 9), 0, x.shape),
       least = twin_new(w, wn_scalar(w->ctx, WN_F32, -9), 0, x.shape);
  most.v[0] = 9, least.v[0] = -9;
  return twin_zip(w, WN_MAX, twin_zip(w, WN_MIN, x, most), least);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* With a tensor of fewer axes, or of extents that are 1, or 1 where the other is not. */
static twin broadcast(twins *w, twin x) {
  static const wn_binary ops[] = {WN_ADD, WN_SUB, WN_MUL, WN_MAX, WN_MIN};
  int64_t shape[TWIN_DIMS];
  int nd = (int)between(w->random, 0, x.nd);
  for (int d = 0; d < nd; ++d) {
    int64_t e = x.shape[x.nd - nd + d];
    shape[d] = e == 1 ? extent(w) : chance(w->random, 30) ? 1 : e;
  }
  twin y = leaf(w, nd, shape);
  wn_binary op = ops[below(w->random, 5)];
  return chance(w->random, 50) ? twin_zip(w, op, x, y) : twin_zip(w, op, y, x);
}

static twin permuted(twins *w, twin x) {
  int axes[TWIN_DIMS];
  for (int d = 0; d < x.nd; ++d) {
    int other = (int)between(w->random, 0, d);
    axes[d] = axes[other];
    axes[other] = d;
  }
  return twin_permute(w, x, axes);
}

static twin reshaped(twins *w, twin x) {
  int64_t shape[TWIN_DIMS], n = twin_count(&x);
  int nd = (int)between(w->random, 1, 4);
  for (int d = 0; d < nd; ++d) {
    shape[d] = n == 0 ? extent(w) : d + 1 == nd ? n : n % 2 == 0 && chance(w->random, 50) ? 2 : 1;
    n = n == 0 ? 0 : n / shape[d];
  }
  if (n == 0) shape[below(w->random, nd)] = 0;
  return twin_reshape(w, x, nd, shape);
}

static twin padded(twins *w, twin x) {
  int64_t lo[TWIN_DIMS], hi[TWIN_DIMS];
  for (int d = 0; d < x.nd; ++d) lo[d] = below(w->random, 3) / 2, hi[d] = below(w->random, 4) / 2;
  return twin_pad(w, x, lo, hi);
}

static twin sliced(twins *w, twin x) {
  int64_t begin[TWIN_DIMS], end[TWIN_DIMS], step[TWIN_DIMS];
  bool flip[TWIN_DIMS];
  for (int d = 0; d < x.nd; ++d) {
    begin[d] = chance(w->random, 60) ? 0 : between(w->random, 0, x.shape[d]);
    end[d] = chance(w->random, 70) ? x.shape[d] : between(w->random, begin[d], x.shape[d]);
    step[d] = between(w->random, 1, 2);
    flip[d] = chance(w->random, 30);
  }
  return twin_slice(w, x, begin, end, step, flip);
}

/* A product of many numbers under 1 is one that float32 does not have. */
static twin reduced(twins *w, twin x) {
  wn_reduction op = (wn_reduction)between(w->random, WN_SUM, WN_MINIMUM);
  int along = (int)below(w->random, x.nd);
  if (op == WN_PRODUCT && x.shape[along] > 8) op = WN_SUM;
  return bounded(w, twin_reduce(w, op, x, along));
}

static twin product(twins *w, twin x) {
  if (x.nd < 2) return x;
  return bounded(w, twin_matmul(w, x, leaf(w, 2, (int64_t[]){x.shape[x.nd - 1], extent(w)})));
}

static twin convolved(twins *w, twin x) {
  if (x.nd != 4) return x;
  wn_conv_params p = WN_CONV_PARAMS(.stride = {1, between(w->random, 1, 2)});
  int64_t r[2];
  for (int d = 0; d < 2; ++d) {
    p.pad_lo[d] = between(w->random, 0, 2), p.pad_hi[d] = between(w->random, 0, 1);
    r[d] = between(w->random, 1, 3);
    if (x.shape[2 + d] + p.pad_lo[d] + p.pad_hi[d] < r[d]) return x;
  }
  int64_t k = extent(w), c = x.shape[1];
  if (c % 2 == 0 && chance(w->random, 30)) p.groups = 2, k *= 2, c /= 2;
  return bounded(w, twin_conv(w, x, leaf(w, 4, (int64_t[]){k, c, r[0], r[1]}), &p));
}

static twin pooled(twins *w, twin x) {
  if (x.nd != 4 || x.shape[2] < 2 || x.shape[3] < 2) return x;
  return twin_pool(w, x, chance(w->random, 50), 2, between(w->random, 1, 2));
}

static twin random_step(twins *w, twin x) {
  static const wn_unary maps[] = {WN_RELU, WN_TANH, WN_SIGMOID, WN_ABS, WN_NEG};
  switch (below(w->random, 12)) {
    case 0:
      return permuted(w, x);
    case 1:
    case 2:
      return broadcast(w, x);
    case 3:
      return reshaped(w, x);
    case 4:
    case 5:
      return padded(w, x);
    case 6:
      return sliced(w, x);
    case 7:
      return reduced(w, x);
    case 8:
      return product(w, x);
    case 9:
      return convolved(w, x);
    case 10:
      return pooled(w, x);
    default:
      return twin_map(w, maps[below(w->random, 5)], x);
  }
}

/* --- graphs ----------------------------------------------------------------------------------- */

static void check_shape(const twin *x) {
  if (x->t == NULL) return; /* compiling says why */
  bool same = wn_ndim(x->t) == x->nd;
  for (int d = 0; same && d < x->nd; ++d) same = wn_shape(x->t)[d] == x->shape[d];
  if (!same) abort(); /* which says the seed */
}

static outputs random_graph(twins *w) {
  int64_t shape[4];
  outputs o = {.count = 0};
  int nd = chance(w->random, 60) ? 4 : (int)between(w->random, 1, 3),
      steps = (int)between(w->random, 1, 8);
  for (int d = 0; d < nd; ++d) shape[d] = extent(w);
  twin x = leaf(w, nd, shape);
  for (int i = 0; i < steps; ++i) {
    twin next = random_step(w, x);
    check_shape(&next);
    if (twin_count(&next) > MOST_ELEMENTS) break;
    if (o.count < 3 && chance(w->random, 25)) o.out[o.count++] = x;
    x = next;
  }
  o.out[o.count++] = x;
  return o;
}

typedef struct series {
  uint64_t seed;
  char *running;
} series;

static int all_graphs(void *user) {
  const series *s = user;
  int wrong = 0;
  int graphs = getenv("WINNOW_LONG") != NULL ? 4000 : in_part() ? 60 : 200;
  for (int i = 0; i < graphs; ++i) {
    uint64_t seed = s->seed + (uint64_t)i;
    attempt a = {.name = "empty",
                 .seed = seed,
                 .plan = "auto",
                 .backend = seed % 4 ? "cpu" : "interp",
                 .tolerance = 1e-5};
    note_running(s->running, &a);
    wrong += try_plan(&a, random_graph);
  }
  return wrong;
}

static void random_graphs(void **state) {
  series s = {test_seed(), *state};
  assert_int_equal(in_process("empty", all_graphs, &s, s.running), 0);
}

/* Every plan there is a name of, of a program that computes nothing. */
static outputs nothing(twins *w) {
  twin x = leaf(w, 4, (int64_t[]){0, 3, 8, 8});
  return (outputs){2, {twin_map(w, WN_TANH, x), twin_reduce(w, WN_SUM, x, 1)}};
}

static void plans_of_nothing(void **state) {
  (void)state;
  static const char *const backends[] = {"interp", "cpu", "cpu:cc"};
  int wrong = 0;
  for (const char *const *plan = wn_plan_names(); *plan != NULL; ++plan) {
    for (int b = 0; b < 3; ++b) {
      attempt a = {.name = "nothing", .plan = *plan, .backend = backends[b], .may_refuse = true};
      wrong += try_plan(&a, nothing);
    }
  }
  assert_int_equal(wrong, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_graphs),
      cmocka_unit_test(plans_of_nothing),
  };
  return cmocka_run_group_tests_name("empty", tests, share_text, unshare_text);
}
