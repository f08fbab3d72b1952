/* The memory planner: arrays that live at the same time never overlap, the others share, and the
 * workspace is no larger than it has to be for chains. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ir/walk.h"
#include "diff/conv_case.h"
#include "program/program.h"

enum { LINE = 64, LIVES = 400 };

typedef struct fixture {
  diag d;
  graph g;
  kernel_set set;
} fixture;

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  graph_init(&f->g, &f->d);
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  graph_release(&f->g);
  free(f);
  return 0;
}

static int add_array(fixture *f, array_role role, int64_t len) {
  array_info a = {.name = "a", .dtype = WN_F32, .role = role, .len = len, .user = -1};
  vec_push(&f->g.arena, &f->set.arrays, a);
  return (int)f->set.arrays.len - 1;
}

/* A nest that writes `out` and reads the given arrays. */
static nest *add_nest(fixture *f, int out, int nreads, const int *reads) {
  graph *g = &f->g;
  nest *n = arena_new(&g->arena, nest);
  nest_store *to = &n->store[n->nstores++];
  *to = (nest_store){.stage = "s", .array = out, .offset = uop_int(g, 0)};
  to->value = uop_const(g, WN_F32, 1);
  for (int i = 0; i < nreads; ++i) {
    const uop *b = uop_buffer(g, reads[i], WN_F32, 1, &f->set.arrays.data[reads[i]].len);
    const uop *at = uop_int(g, 0);
    to->value = uop_add(g, to->value, uop_index(g, b, uop_bool(g, true), 1, &at));
  }
  return n;
}

static void add_kernel(fixture *f, nest *n) {
  nest_kernel k = {.nroots = 1, .chunks = 1};
  k.root[0] = n;
  vec_push(&f->g.arena, &f->set.kernels, k);
}

static size_t bytes(const array_info *a) { return (size_t)a->len * wn_dtype_size(a->dtype); }

static bool overlap(const array_info *a, const array_info *b) {
  return a->offset < b->offset + bytes(b) && b->offset < a->offset + bytes(a);
}

/* --- known answers ---------------------------------------------------------------------------- */

/* a0 -> a1 -> ... -> a7: two are alive at a time. */
static void test_chain(void **state) {
  fixture *f = *state;
  int last = add_array(f, ROLE_INPUT, 1000);
  for (int i = 0; i < 8; ++i) {
    int next = add_array(f, i < 7 ? ROLE_WORK : ROLE_RESULT, 1000);
    add_kernel(f, add_nest(f, next, 1, &last));
    last = next;
  }
  plan_memory(&f->set, &f->g.arena);
  assert_in_range(f->set.workspace_bytes, 2 * 4000, 2 * (4000 + 2 * LINE));
  assert_int_equal(f->set.prepared_bytes, 0);
}

/* Prepared arrays live for ever, local ones and the caller's are not in the workspace. */
static void test_roles(void **state) {
  fixture *f = *state;
  int w = add_array(f, ROLE_CONSTANT, 500), x = add_array(f, ROLE_INPUT, 500);
  int p = add_array(f, ROLE_PREPARED, 300), q = add_array(f, ROLE_PREPARED, 200);
  int local = add_array(f, ROLE_LOCAL, 100000), y = add_array(f, ROLE_RESULT, 100);
  add_kernel(f, add_nest(f, p, 1, &w));
  add_kernel(f, add_nest(f, q, 1, &p));
  f->set.kernels.data[0].prepare = f->set.kernels.data[1].prepare = true;
  nest *parent = add_nest(f, y, 2, (int[]){q, local});
  parent->child[parent->nchildren++].nest = add_nest(f, local, 1, &x);
  add_kernel(f, parent);
  plan_memory(&f->set, &f->g.arena);
  assert_int_equal(f->set.workspace_bytes, 0);
  assert_false(overlap(&f->set.arrays.data[p], &f->set.arrays.data[q]));
  assert_in_range(f->set.prepared_bytes, 4 * 500, 4 * 500 + 4 * LINE);
}

/* An array read by a stage inside a later kernel is alive until then. */
static void test_children(void **state) {
  fixture *f = *state;
  int x = add_array(f, ROLE_INPUT, 64), a = add_array(f, ROLE_WORK, 64),
      b = add_array(f, ROLE_WORK, 64);
  int c = add_array(f, ROLE_WORK, 64), y = add_array(f, ROLE_RESULT, 64);
  add_kernel(f, add_nest(f, a, 1, &x));
  add_kernel(f, add_nest(f, b, 1, &x));
  nest *parent = add_nest(f, y, 2, (int[]){b, c});
  parent->child[parent->nchildren++].nest = add_nest(f, c, 1, &a);
  add_kernel(f, parent);
  plan_memory(&f->set, &f->g.arena);
  const array_info *all = f->set.arrays.data;
  assert_false(overlap(&all[a], &all[b]));
  assert_false(overlap(&all[a], &all[c]));
  assert_false(overlap(&all[b], &all[c]));
}

/* Launches of one nest, each with arrays of its own. */
static void test_launches(void **state) {
  fixture *f = *state;
  int from = add_array(f, ROLE_INPUT, 1000), to = add_array(f, ROLE_WORK, 1000);
  nest *n = add_nest(f, to, 1, &from);
  for (int i = 0; i < 8; ++i) {
    int *arrays = arena_array(&f->g.arena, int, 2);
    arrays[0] = i == 0 ? from : to;
    if (i > 0) to = add_array(f, ROLE_WORK, 1000);
    arrays[1] = to;
    add_kernel(f, n);
    f->set.kernels.data[i].arrays = arrays;
  }
  plan_memory(&f->set, &f->g.arena);
  assert_in_range(f->set.workspace_bytes, 2 * 4000, 2 * (4000 + 2 * LINE));
  for (int i = 2; i < 9; ++i)
    assert_false(overlap(&f->set.arrays.data[i - 1], &f->set.arrays.data[i]));
}

/* --- random sets ------------------------------------------------------------------------------ */

enum { ARRAYS = 24 };

static void random_set(fixture *f, uint64_t *s) {
  int written[ARRAYS], count = 0;
  written[count++] = add_array(f, ROLE_INPUT, 1 + below(s, 100));
  while (count < ARRAYS) {
    int reads[3], nreads = (int)between(s, 1, 3);
    for (int i = 0; i < nreads; ++i)
      reads[i] = written[count - 1 - below(s, count < 5 ? count : 5)];
    int out = add_array(f, chance(s, 85) ? ROLE_WORK : ROLE_RESULT, between(s, 1, 5000));
    nest *n = add_nest(f, out, nreads, reads);
    if (chance(s, 20) &&
        f->set.kernels.len > 0) { /* beside the last one: both read what is older */
      nest_kernel *k = &f->set.kernels.data[f->set.kernels.len - 1];
      if (k->nroots < STAGE_COUNT) {
        k->root[k->nroots++] = add_nest(f, out, 1, written);
        written[count++] = out;
        continue;
      }
    }
    add_kernel(f, n);
    written[count++] = out;
  }
}

static bool nest_uses(const nest *n, int array, arena *a) {
  if (nest_writes(n, array)) return true;
  uop_order all = nest_walk(a, n);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFER && all.at[i]->arg.i == array) return true;
  }
  return false;
}

static bool kernel_uses(fixture *f, size_t k, int array) {
  const nest_kernel *kp = &f->set.kernels.data[k];
  for (int r = 0; r < kp->nroots; ++r) {
    if (nest_uses(kp->root[r], array, &f->g.arena)) return true;
  }
  return false;
}

/* Bytes alive at each kernel, and that nothing alive together overlaps. Returns the most alive. */
static size_t check_lives(fixture *f) {
  int first[ARRAYS + 1], last[ARRAYS + 1], n = (int)f->set.arrays.len;
  for (int i = 0; i < n; ++i) {
    first[i] = last[i] = -1;
    for (size_t k = 0; k < f->set.kernels.len; ++k) {
      if (!kernel_uses(f, k, i)) continue;
      if (first[i] < 0) first[i] = (int)k;
      last[i] = (int)k;
    }
  }
  size_t most = 0;
  for (int k = 0; k < (int)f->set.kernels.len; ++k) {
    size_t alive = 0;
    for (int i = 0; i < n; ++i) {
      const array_info *a = &f->set.arrays.data[i];
      if (a->role != ROLE_WORK || k < first[i] || k > last[i]) continue;
      alive += bytes(a);
      assert_int_equal(a->offset % LINE, 0);
      assert_true(a->offset + bytes(a) <= f->set.workspace_bytes);
      for (int j = 0; j < i; ++j) {
        const array_info *b = &f->set.arrays.data[j];
        if (b->role == ROLE_WORK && k >= first[j] && k <= last[j]) assert_false(overlap(a, b));
      }
    }
    if (alive > most) most = alive;
  }
  return most;
}

static void test_random(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  double peak = 0, planned = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    void *fresh = NULL;
    assert_int_equal(set_up(&fresh), 0);
    fixture *f = fresh;
    uint64_t s = seed + round;
    random_set(f, &s);
    plan_memory(&f->set, &f->g.arena);
    size_t most = check_lives(f);
    assert_true(f->set.workspace_bytes >= most);
    peak += (double)most;
    planned += (double)f->set.workspace_bytes;
    tear_down(&fresh);
  }
  print_message("# workspace is %.3f of the most bytes alive at once\n", planned / peak);
  assert_true(planned < 1.25 * peak);
}

/* --- random lives, beside the plain way ------------------------------------------------------- */

typedef struct life {
  int array, first, last;
  size_t at, end;
} life;

/* Arrays that are touched by two kernels each, or one. Returns how many. */
static int random_lives(fixture *f, uint64_t *s, life *l, int most) {
  int n = (int)between(s, 1, most), kernels = (int)between(s, 1, 2 * n), *reads;
  int longest = (int)between(s, 1, chance(s, 20) ? kernels : 12), some = (int)between(s, 0, 10);
  bool equal = chance(s, 20);
  for (int i = 0; i < n; ++i) {
    l[i].array = add_array(f, ROLE_WORK, equal ? 100 : between(s, 1, 3000));
    l[i].first = (int)below(s, kernels);
    l[i].last = l[i].first + (int)below(s, chance(s, some) ? kernels : longest);
    if (l[i].last >= kernels) l[i].last = kernels - 1;
  }
  int result = add_array(f, ROLE_RESULT, 1);
  reads = arena_array(&f->g.arena, int, n);
  for (int k = 0; k < kernels; ++k) {
    int nreads = 0;
    for (int i = 0; i < n; ++i)
      if (l[i].first == k || l[i].last == k) reads[nreads++] = l[i].array;
    add_kernel(f, add_nest(f, result, nreads, reads));
  }
  return n;
}

static bool alive_together(const life *a, const life *b) {
  return a->first <= b->last && b->first <= a->last;
}

/* Largest first, each at the lowest place that is free of all those that live with it: each is looked at, as often as
 * one of them is in the way. Bytes of all. */
static size_t plan_plainly(const fixture *f, const life *lives, int n, life *placed) {
  bool done[LIVES] = {0};
  size_t all = 0;
  for (int p = 0; p < n; ++p) {
    int next = -1;
    size_t size = 0, at = 0;
    for (int i = 0; i < n; ++i) {
      size_t bytes_of = array_bytes(&f->set.arrays.data[lives[i].array]);
      if (!done[i] && bytes_of > size) next = i, size = bytes_of;
    }
    for (bool moved = true; moved;) {
      moved = false;
      for (int i = 0; i < p; ++i) {
        const life *o = &placed[i];
        if (!alive_together(o, &lives[next]) || at + size <= o->at || o->end <= at) continue;
        at = o->end;
        moved = true;
      }
    }
    done[next] = true;
    placed[p] = lives[next];
    placed[p].at = at;
    placed[p].end = at + size;
    if (placed[p].end > all) all = placed[p].end;
  }
  return all;
}

static void check_places(const fixture *f, life *l, int n) {
  for (int i = 0; i < n; ++i) {
    const array_info *a = &f->set.arrays.data[l[i].array];
    l[i].at = a->offset;
    l[i].end = a->offset + array_bytes(a);
    assert_int_equal(a->offset % LINE, 0);
    assert_true(l[i].end <= f->set.workspace_bytes);
    for (int j = 0; j < i; ++j)
      assert_false(alive_together(&l[i], &l[j]) && l[i].at < l[j].end && l[j].at < l[i].end);
  }
}

static void test_random_lives(void **state) {
  (void)state;
  static life lives[LIVES], placed[LIVES];
  uint64_t seed = test_seed();
  size_t planned = 0, plain = 0;
  for (uint64_t round = 0; round < 200; ++round) {
    void *fresh = NULL;
    assert_int_equal(set_up(&fresh), 0);
    fixture *f = fresh;
    uint64_t s = seed + round;
    int n = random_lives(f, &s, lives, round % 20 == 0 ? LIVES : LIVES / 10);
    plan_memory(&f->set, &f->g.arena);
    check_places(f, lives, n);
    size_t most = plan_plainly(f, lives, n, placed);
    if (f->set.workspace_bytes > most)
      fail_msg("%d lives, WINNOW_SEED=%" PRIu64 ": %zu bytes, plainly %zu", n, seed + round,
               f->set.workspace_bytes, most);
    planned += f->set.workspace_bytes;
    plain += most;
    tear_down(&fresh);
  }
  print_message("# %zu bytes, plainly %zu\n", planned, plain);
}

/* --- a whole program -------------------------------------------------------------------------- */

/* Six convolutions in a row need far less than all of their intermediate arrays. */
static void test_program(void **state) {
  (void)state;
  enum { C = 4, S = 12, DEPTH = 6 };
  static float x[C * S * S], w[DEPTH][C * C * 9], y[C * S * S];
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *t = wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, S, S}, x);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  for (int i = 0; i < DEPTH; ++i) {
    t = wn_map(WN_RELU,
               wn_conv(t, wn_constant(ctx, WN_F32, 4, (int64_t[]){C, C, 3, 3}, w[i]), &same));
  }
  wn_program *p = NULL;
  void *data = y;
  const wn_options o = WN_OPTIONS(.plan = "old", .backend = "interp", .threads = 1);
  if (wn_compile(ctx, &t, &data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  size_t sum = 0, largest = 0;
  for (size_t i = 0; i < p->compiled->set->arrays.len; ++i) {
    const array_info *a = &p->compiled->set->arrays.data[i];
    if (a->role != ROLE_WORK) continue;
    sum += bytes(a);
    if (bytes(a) > largest) largest = bytes(a);
  }
  print_message("# arrays %zu bytes, workspace %zu, largest array %zu\n", sum,
                p->compiled->set->workspace_bytes, largest);
  assert_true(p->compiled->set->workspace_bytes < sum / 3);
  assert_true(p->compiled->set->workspace_bytes <= largest * 5 / 2);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_chain, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_roles, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_children, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_launches, set_up, tear_down),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_random_lives),
      cmocka_unit_test(test_program),
  };
  return cmocka_run_group_tests_name("memory plan", tests, NULL, NULL);
}
