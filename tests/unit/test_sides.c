/* Launches side by side: which kernels become a group, in which order kernels run then, and where arrays are. Kernels
 * are nests made by hand; who may run beside whom is checked against all pairs of kernels, array by array. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "diff/conv_case.h"
#include "machine/limits.h"
#include "nest/sides.h"

enum { KERNELS = 40, ARRAYS = 60, THREADS = 4, FEW = 3, MANY = 4096 };

typedef struct fixture {
  diag d;
  graph g;
  kernel_set set;
  machine m;
  machine_limits l;
  cost_target cost;
  site_list sites;
  graph_site site[KERNELS];
  int said[KERNELS];
} fixture;

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  graph_init(&f->g, &f->d);
  machine_look_at(&f->m, &f->d, "avx2");
  f->m.l2 = 1 << 20;
  f->l = machine_limits_for(NULL, &f->m, THREADS);
  f->m.limits = &f->l;
  f->cost = (cost_target){.machine = &f->m, .threads = THREADS};
  for (int i = 0; i < KERNELS; ++i)
    f->site[i] = (graph_site){.kind = SITE_MAP, .value = i, .shape = intern_list(&f->g, 0, NULL)};
  f->sites = (site_list){.n = KERNELS, .at = f->site};
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  graph_release(&f->g);
  free(f);
  return 0;
}

/* --- kernels by hand -------------------------------------------------------------------------- */

static int add_array(fixture *f, array_role role, int64_t len) {
  array_info a = {.name = "a", .dtype = WN_F32, .role = role, .len = len, .user = -1, .site = -1};
  vec_push(&f->g.arena, &f->set.arrays, a);
  return (int)f->set.arrays.len - 1;
}

static int add_part(fixture *f, int whole, int64_t at, int64_t len, int64_t gaps) {
  const int a = add_array(f, ROLE_WORK, len);
  array_info *i = &f->set.arrays.data[a];
  i->whole = whole + 1;
  i->at = at;
  i->gaps = gaps;
  return a;
}

/* One that stores `out`, of so many blocks of 20,000 additions for each array that it reads. */
static nest *make_nest(fixture *f, int out, int nreads, const int *reads, int64_t blocks) {
  graph *g = &f->g;
  nest *n = arena_new(&g->arena, nest);
  const uop *grid = uop_range(g, blocks, NULL), *loop = uop_range(g, 20000, NULL);
  const uop *at = uop_add(g, uop_muli(g, grid, 20000), loop);
  n->axis[n->naxes++] = (axis){.range = grid, .kind = AXIS_GRID, .name = "i0"};
  n->axis[n->naxes++] = (axis){.range = loop, .kind = AXIS_LOOP, .name = "i1"};
  n->store[n->nstores++] = (nest_store){
      .stage = "s", .array = out, .offset = at, .site = 0, .value = uop_const(g, WN_F32, 1)};
  for (int i = 0; i < nreads; ++i) {
    const uop *b = uop_buffer(g, reads[i], WN_F32, 1, &f->set.arrays.data[reads[i]].len);
    n->store[0].value = uop_add(g, n->store[0].value, uop_index(g, b, uop_bool(g, true), 1, &at));
  }
  return n;
}

static nest_kernel *add_kernel(fixture *f, int site, int out, int nreads, const int *reads,
                               int64_t blocks) {
  nest_kernel k = {.nroots = 1, .chunks = 1, .first_site = site, .nsites = 1};
  k.code = (int)f->set.kernels.len; /* so that kernels are known again */
  k.root[0] = make_nest(f, out, nreads, reads, blocks);
  vec_push(&f->g.arena, &f->set.kernels, k);
  return &f->set.kernels.data[f->set.kernels.len - 1];
}
#define READS(...) \
  (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)), (const int[]) { __VA_ARGS__ }

static wn_status find(fixture *f, bool chosen) {
  const side_request r = {chosen ? &f->cost : NULL, f->said, &f->sites};
  volatile wn_status st;
  arena scratch;
  arena_init(&scratch, &f->d);
  DIAG_TRY(&f->d, st) sides_find(&f->g, &f->set, &scratch, &r);
  DIAG_END(&f->d, st)
  arena_release(&scratch);
  return st;
}

/* "01 2 34": kernels by the number that they were made with, those of a group together. */
static const char *order_of(fixture *f) {
  str s;
  str_init(&s, &f->g.arena);
  size_t g = 0;
  for (int k = 0; k < (int)f->set.kernels.len; ++k) {
    while (g < f->set.sides.len && f->set.sides.data[g].end <= k) ++g;
    const bool inside = g < f->set.sides.len && f->set.sides.data[g].first < k;
    str_printf(&s, "%s%d", k > 0 && !inside ? " " : "", f->set.kernels.data[k].code);
  }
  return str_text(&s);
}

static void expect(fixture *f, bool chosen, const char *order) {
  if (find(f, chosen) != WN_OK) fail_msg("%s", f->d.message);
  assert_string_equal(order_of(f), order);
}

/* --- what is chosen --------------------------------------------------------------------------- */

/* x -> 0 -> (1, 2) -> 3 */
static void diamond(fixture *f, int64_t blocks, int64_t len) {
  const int x = add_array(f, ROLE_INPUT, len), a = add_array(f, ROLE_WORK, len),
            b = add_array(f, ROLE_WORK, len), c = add_array(f, ROLE_WORK, len),
            y = add_array(f, ROLE_RESULT, len);
  add_kernel(f, 0, a, READS(x), blocks);
  add_kernel(f, 1, b, READS(a), blocks);
  add_kernel(f, 2, c, READS(a), blocks);
  add_kernel(f, 3, y, READS(b, c), blocks);
}

static void test_diamond(void **state) {
  fixture *f = *state;
  diamond(f, FEW, 1000);
  expect(f, true, "0 12 3");
  assert_int_equal(f->set.side_sets.len, 1);
  const side_set *s = &f->set.side_sets.data[0];
  assert_int_equal(s->number, 1);
  assert_false(s->said);
  assert_true(s->together <
              0.8 * s->in_turn); /* 3 blocks and 3 of 4 threads: 2 rounds, or 6 of 4 */
  for (int k = 0; k < 4; ++k) assert_int_equal(f->set.kernels.data[k].side, k == 1 || k == 2);
}

/* Nothing to gain: blocks for all threads many times over; a launch, where there is one thread. */
static void test_no_gain(void **state) {
  fixture *f = *state;
  diamond(f, MANY, 1000);
  expect(f, true, "0 1 2 3");
  f->set = (kernel_set){0};
  diamond(f, FEW, 1000);
  f->cost.threads = 1;
  expect(f, true, "0 1 2 3");
  expect(f, false, "0 1 2 3");
  f->cost.threads = THREADS;
  f->m.group = 64; /* a device runs launches as they are queued */
  expect(f, true, "0 1 2 3");
  f->m.group = 0;
  f->said[1] = SIDE_ALONE;
  expect(f, true, "0 1 2 3");
}

/* What could run now runs now, from further on; and what follows of it keeps its place. */
static void test_pulled_forward(void **state) {
  fixture *f = *state;
  const int x = add_array(f, ROLE_INPUT, 100), a = add_array(f, ROLE_WORK, 100),
            b = add_array(f, ROLE_WORK, 100), c = add_array(f, ROLE_WORK, 100),
            y = add_array(f, ROLE_RESULT, 100), z = add_array(f, ROLE_RESULT, 100);
  add_kernel(f, 0, a, READS(x), FEW);
  add_kernel(f, 1, b, READS(a), FEW);
  add_kernel(f, 2, y, READS(b), FEW);
  add_kernel(f, 3, c, READS(x), FEW);
  add_kernel(f, 4, z, READS(c, b), FEW);
  expect(f, true, "03 1 24");
}

/* A value of several kernels is beside others with each of its kernels. */
static void test_units(void **state) {
  fixture *f = *state;
  const int x = add_array(f, ROLE_INPUT, 100), t = add_array(f, ROLE_WORK, 100),
            m = add_array(f, ROLE_WORK, 100), n = add_array(f, ROLE_WORK, 100),
            y = add_array(f, ROLE_RESULT, 100), z = add_array(f, ROLE_RESULT, 100),
            v = add_array(f, ROLE_RESULT, 100);
  add_kernel(f, 0, t, READS(x), FEW);
  add_kernel(f, 0, m, READS(t), FEW);
  add_kernel(f, 0, y, READS(m), FEW);
  add_kernel(f, 1, n, READS(x), FEW);
  add_kernel(f, 1, z, READS(n), FEW);
  add_kernel(f, 2, v, READS(x), FEW);
  expect(f, true, "035 14 2");
  assert_int_equal(f->set.side_sets.data[0].groups, 2);
}

/* An array that is written after it was read, or twice. */
static void test_write_after_read(void **state) {
  fixture *f = *state;
  const int x = add_array(f, ROLE_INPUT, 100), a = add_array(f, ROLE_WORK, 100),
            y = add_array(f, ROLE_RESULT, 100), z = add_array(f, ROLE_RESULT, 100);
  add_kernel(f, 0, a, READS(x), FEW);
  add_kernel(f, 1, y, READS(a), FEW);
  add_kernel(f, 2, a, READS(x), FEW); /* behind both */
  add_kernel(f, 3, z, READS(a), FEW);
  expect(f, true, "0 1 2 3");
}

/* Parts of a concatenation are apart, also where they take turns in memory; who reads all of it waits for all. */
static void test_concatenation(void **state) {
  fixture *f = *state;
  const int x = add_array(f, ROLE_INPUT, 200), w = add_array(f, ROLE_WORK, 200);
  const int p = add_part(f, w, 0, 151, 76), q = add_part(f, w, 50, 150, 75),
            head = add_part(f, w, 0, 160, 0), y = add_array(f, ROLE_RESULT, 200),
            z = add_array(f, ROLE_RESULT, 200), v = add_array(f, ROLE_RESULT, 200);
  add_kernel(f, 0, p, READS(x), FEW);
  add_kernel(f, 1, z, READS(p), FEW); /* reads the part alone */
  add_kernel(f, 2, q, READS(x), FEW);
  add_kernel(f, 3, y, READS(w), FEW);
  add_kernel(f, 4, v, READS(head), FEW);
  expect(f, true, "02 134");
}

/* More memory than there was, and than the caches next to the cores have, is not taken. */
static void test_memory(void **state) {
  fixture *f = *state;
  for (int large = 0; large < 2; ++large) {
    const int64_t len = large ? 2 << 20 : 1000;
    f->set = (kernel_set){0};
    int x = add_array(f, ROLE_INPUT, len), y[2];
    for (int i = 0; i < 2; ++i) {
      const int a = add_array(f, ROLE_WORK, len);
      y[i] = add_array(f, ROLE_WORK, 100);
      add_kernel(f, 2 * i, a, READS(x), FEW);
      add_kernel(f, 2 * i + 1, y[i], READS(a), FEW);
    }
    add_kernel(f, 4, add_array(f, ROLE_RESULT, 100), READS(y[0], y[1]), FEW);
    expect(f, true, large ? "0 1 2 3 4" : "02 13 4");
  }
}

/* --- what is fixed, and what is said ---------------------------------------------------------- */

static void test_fixed(void **state) {
  fixture *f = *state;
  const int c = add_array(f, ROLE_CONSTANT, 100), x = add_array(f, ROLE_INPUT, 100);
  int y[5];
  for (int i = 0; i < 5; ++i) y[i] = add_array(f, ROLE_RESULT, 100);
  const int g = add_array(f, ROLE_PREPARED, 100), a = add_array(f, ROLE_WORK, 100);
  add_kernel(f, 0, g, READS(c), FEW)->prepare = true;
  add_kernel(f, 1, y[0], READS(x, g), FEW);
  add_kernel(f, 2, y[1], READS(x), FEW)->chunks = 2;
  add_kernel(f, 3, a, READS(x), FEW);
  add_kernel(f, 4, y[2], READS(a), FEW);
  add_kernel(f, 5, y[3], READS(x), FEW);
  vec_push(&f->g.arena, &f->set.bands, ((band_group){3, 5, 2, NULL}));
  expect(f, true, "0 15 2 3 4");
  assert_int_equal(f->set.bands.data[0].first, 4);
  assert_int_equal(f->set.bands.data[0].end, 6);
  f->said[2] = 1;
  assert_int_equal(find(f, true), WN_ERR_REFUSED);
  assert_non_null(strstr(f->d.message, "map2: side=1 cannot be: its kernels run in rounds"));
  f->said[2] = 0;
  f->said[4] = 1;
  assert_int_equal(find(f, true), WN_ERR_REFUSED);
}

static void test_said(void **state) {
  fixture *f = *state;
  const int x = add_array(f, ROLE_INPUT, 100), a = add_array(f, ROLE_WORK, 100),
            b = add_array(f, ROLE_WORK, 100), y = add_array(f, ROLE_RESULT, 100),
            z = add_array(f, ROLE_RESULT, 100);
  add_kernel(f, 0, y, READS(x), MANY);
  add_kernel(f, 1, a, READS(x), MANY);
  add_kernel(f, 2, b, READS(a), MANY);
  add_kernel(f, 3, z, READS(b), MANY);
  f->said[0] = f->said[3] = 7; /* the first one waits for the last: it runs later than it could */
  expect(f, false, "1 2 03");
  assert_int_equal(f->set.side_sets.data[0].number, 7);
  assert_true(f->set.side_sets.data[0].said);
  f->said[0] = 0;
  f->said[1] = 7;
  f->set.sides.len = f->set.side_sets.len = 0;
  assert_int_equal(find(f, false), WN_ERR_REFUSED);
  assert_non_null(strstr(f->d.message, "side=7 cannot be: another site of that number"));
}

/* Sets that wait for each other. */
static void test_said_in_a_knot(void **state) {
  fixture *f = *state;
  const int x = add_array(f, ROLE_INPUT, 100), a = add_array(f, ROLE_WORK, 100),
            b = add_array(f, ROLE_WORK, 100), y = add_array(f, ROLE_RESULT, 100),
            z = add_array(f, ROLE_RESULT, 100);
  add_kernel(f, 0, a, READS(x), FEW);
  add_kernel(f, 1, b, READS(x), FEW);
  add_kernel(f, 2, y, READS(a), FEW);
  add_kernel(f, 3, z, READS(b), FEW);
  f->said[0] = f->said[3] = 1;
  f->said[1] = f->said[2] = 2;
  assert_int_equal(find(f, false), WN_ERR_REFUSED);
}

static void test_at_most_sixteen(void **state) {
  fixture *f = *state;
  const int x = add_array(f, ROLE_INPUT, 100);
  for (int i = 0; i <= MOST_SIDE; ++i) {
    add_kernel(f, i, add_array(f, ROLE_RESULT, 100), READS(x), FEW);
    f->said[i] = 1;
  }
  assert_int_equal(find(f, false), WN_ERR_REFUSED);
  assert_non_null(strstr(f->d.message, "at most 16 sites"));
  memset(f->said, 0, sizeof f->said);
  assert_int_equal(find(f, true), WN_OK);
  for (size_t i = 0; i < f->set.sides.len; ++i)
    assert_in_range(f->set.sides.data[i].end - f->set.sides.data[i].first, 2, MOST_SIDE);
  assert_true(f->set.sides.len > 0);
}

/* --- at random -------------------------------------------------------------------------------- */

typedef struct uses {
  bool reads[ARRAYS], writes[ARRAYS];
} uses;

/* Networks with concatenations, values of several kernels, and results that are read on. */
static void random_kernels(fixture *f, uint64_t *s) {
  int written[ARRAYS], n = 0, whole = -1, parts = 0, site = 0;
  written[n++] = add_array(f, ROLE_INPUT, 500);
  while ((int)f->set.kernels.len < KERNELS - 4 && (int)f->set.arrays.len < ARRAYS - 6) {
    int reads[3], nreads = (int)between(s, 1, 3), kernels = (int)between(s, 1, 3);
    for (int i = 0; i < nreads; ++i) reads[i] = written[n - 1 - below(s, n < 8 ? n : 8)];
    for (int k = 0; k < kernels; ++k) {
      int out = add_array(f, chance(s, 85) ? ROLE_WORK : ROLE_RESULT, between(s, 1, 3000));
      if (k + 1 == kernels && parts > 0) {
        out = add_part(f, whole, 100 * --parts, 100, 0);
      } else if (k + 1 == kernels && chance(s, 15)) {
        whole = add_array(f, ROLE_WORK, 300);
        out = add_part(f, whole, 200, 100, 0);
        parts = 2;
      }
      add_kernel(f, site, out, nreads, reads, chance(s, 60) ? between(s, 1, 6) : between(s, 7, 90));
      reads[0] = out;
      nreads = 1;
    }
    written[n++] = reads[0];
    if (whole >= 0 && parts == 0) written[n++] = whole, whole = -1;
    ++site;
  }
}

static bool overlap(const array_info *a, const array_info *b) {
  return a->offset < b->offset + array_bytes(b) && b->offset < a->offset + array_bytes(a);
}

static int memory_of(const fixture *f, int array) {
  const int whole = f->set.arrays.data[array].whole;
  return whole > 0 ? whole - 1 : array;
}

static void list_uses(fixture *f, const nest_kernel *k, uses *u) {
  memset(u, 0, sizeof *u);
  u->writes[k->root[0]->store[0].array] = true;
  const uop_order all = nest_walk(&f->g.arena, k->root[0]);
  for (size_t i = 0; i < all.len; ++i)
    if (all.at[i]->op == OP_BUFFER) u->reads[all.at[i]->arg.i] = true;
}

/* Elements in common, in the memory that both are in: of a set made as above, by intervals. */
static bool meet(const fixture *f, int a, int b) {
  const array_info *x = &f->set.arrays.data[a], *y = &f->set.arrays.data[b];
  return memory_of(f, a) == memory_of(f, b) && x->at < y->at + y->len && y->at < x->at + x->len;
}

static bool clash(const fixture *f, const uses *x, const uses *y) {
  for (int a = 0; a < (int)f->set.arrays.len; ++a)
    for (int b = 0; b < (int)f->set.arrays.len; ++b)
      if ((x->writes[a] && (y->reads[b] || y->writes[b]) && meet(f, a, b)) ||
          (x->reads[a] && y->writes[b] && meet(f, a, b)))
        return true;
  return false;
}

/* When each kernel runs, by the number that it was made with: those of a group at the same time. */
static void list_times(const fixture *f, int *time) {
  size_t g = 0;
  for (int k = 0, now = 0; k < (int)f->set.kernels.len; ++k) {
    while (g < f->set.sides.len && f->set.sides.data[g].end <= k) ++g;
    const bool inside = g < f->set.sides.len && f->set.sides.data[g].first < k;
    time[f->set.kernels.data[k].code] = inside ? now : ++now;
  }
}

static void check_memory(const fixture *f, const uses *u, const int *time) {
  int first[ARRAYS], last[ARRAYS];
  for (int a = 0; a < (int)f->set.arrays.len; ++a) first[a] = last[a] = -1;
  for (int k = 0; k < (int)f->set.kernels.len; ++k) {
    for (int a = 0; a < (int)f->set.arrays.len; ++a) {
      const int m = memory_of(f, a);
      if (!u[k].reads[a] && !u[k].writes[a]) continue;
      if (first[m] < 0 || time[k] < first[m]) first[m] = time[k];
      if (time[k] > last[m]) last[m] = time[k];
    }
  }
  for (int a = 0; a < (int)f->set.arrays.len; ++a)
    for (int b = 0; b < a; ++b) {
      const array_info *x = &f->set.arrays.data[a], *y = &f->set.arrays.data[b];
      if (x->role != ROLE_WORK || y->role != ROLE_WORK || x->whole > 0 || y->whole > 0) continue;
      if (first[a] < 0 || first[b] < 0 || first[a] > last[b] || first[b] > last[a]) continue;
      assert_false(overlap(x, y));
    }
}

/* Returns how many groups there are; -1: refused. */
static int one_round(uint64_t seed, bool said) {
  void *fresh = NULL;
  assert_int_equal(set_up(&fresh), 0);
  fixture *f = fresh;
  static uses u[KERNELS];
  int time[KERNELS], groups = -1;
  uint64_t s = seed;
  random_kernels(f, &s);
  const int n = (int)f->set.kernels.len;
  for (int k = 0; k < n; ++k) list_uses(f, &f->set.kernels.data[k], &u[k]);
  for (int i = 0; i < KERNELS && said; ++i)
    if (chance(&s, 20)) f->said[i] = (int)between(&s, 0, 4) - 1;
  const wn_status st = find(f, chance(&s, 70));
  assert_true(st == WN_OK || (said && st == WN_ERR_REFUSED));
  if (st == WN_OK) {
    groups = (int)f->set.sides.len;
    assert_int_equal(f->set.kernels.len, n);
    list_times(f, time);
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < j; ++i)
        if (clash(f, &u[i], &u[j]) && time[i] >= time[j])
          fail_msg("kernel %d has to run before %d: %s, WINNOW_SEED=%" PRIu64, i, j, order_of(f),
                   seed);
    plan_memory(&f->set, &f->g.arena);
    check_memory(f, u, time);
  }
  tear_down(&fresh);
  return groups;
}

static void test_random(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  int groups = 0, said = 0, refused = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    groups += one_round(seed + round, false);
    const int n = one_round(seed + round, true);
    refused += n < 0;
    said += n > 0 ? n : 0;
  }
  print_message("# %d groups chosen; where some are said %d, %d plans refused\n", groups, said,
                refused);
  assert_true(groups > 300 && said > 0 && refused > 0);
}

/* What was chosen, said again, is the same. */
static void test_said_again(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  for (uint64_t round = 0; round < 100; ++round) {
    int said[KERNELS] = {0};
    const char *order[2];
    void *fresh[2] = {NULL};
    for (int i = 0; i < 2; ++i) {
      assert_int_equal(set_up(&fresh[i]), 0);
      fixture *f = fresh[i];
      uint64_t s = seed + round;
      random_kernels(f, &s);
      memcpy(f->said, said, sizeof said);
      if (find(f, true) != WN_OK) fail_msg("%s", f->d.message);
      order[i] = order_of(f);
      for (size_t k = 0; k < f->set.kernels.len; ++k)
        said[f->set.kernels.data[k].first_site] = f->set.kernels.data[k].side;
    }
    assert_string_equal(order[0], order[1]);
    for (int i = 0; i < 2; ++i) tear_down(&fresh[i]);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_diamond),
      TEST(test_no_gain),
      TEST(test_pulled_forward),
      TEST(test_units),
      TEST(test_write_after_read),
      TEST(test_concatenation),
      TEST(test_memory),
      TEST(test_fixed),
      TEST(test_said),
      TEST(test_said_in_a_knot),
      TEST(test_at_most_sixteen),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_said_again),
  };
  return cmocka_run_group_tests_name("sides", tests, NULL, NULL);
}
