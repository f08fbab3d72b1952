/* Results in the place of what is read: each condition of a kernel's pairs and of memory planning broken once, the law
 * that linear kernels are held to, and a chain of three maps that needs one array. WINNOW_SEED=<seed> draws the same
 * kernels again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "diff/twin.h"
#include "lower/lower.h"
#include "program/program.h"
#include "render/render.h"
#include "unit/arena_fixture.h"
#include "unit/lin_builder.h"

#define LEN(a) (sizeof(a) / sizeof *(a))
enum { ROWS = 6, COLUMNS = 16, ELEMENTS = ROWS * COLUMNS };

/* --- nests ------------------------------------------------------------------------------------ */

/* A kernel that stores y[i * COLUMNS + j] = x[i * COLUMNS + j] + w[j] for all i and j. */
typedef struct map_kernel {
  diag d;
  graph g;
  kernel_set set;
  nest n, other;
  const uop *i, *j;
  int x, w, y;
} map_kernel;

static const uop *array_of(map_kernel *m, int array) {
  const array_info *info = &m->set.arrays.data[array];
  return uop_buffer(&m->g, array, info->dtype, 1, &info->len);
}

static const uop *read_if(map_kernel *m, int array, const uop *at, const uop *valid) {
  return uop_index(&m->g, array_of(m, array), valid, 1, &at);
}

static const uop *read_at(map_kernel *m, int array, const uop *at) {
  return read_if(m, array, at, uop_bool(&m->g, true));
}

static const uop *element(map_kernel *m, int64_t rows, const uop *j) {
  return uop_add(&m->g, uop_muli(&m->g, m->i, rows), j);
}

static int add_array(map_kernel *m, array_role role) {
  array_info a = {.name = "a", .dtype = WN_F32, .role = role, .len = ELEMENTS, .user = -1};
  a.site = -1;
  vec_push(&m->g.arena, &m->set.arrays, a);
  return (int)m->set.arrays.len - 1;
}

static void add_axis(map_kernel *m, nest *n, const uop *range, axis_kind kind) {
  n->axis[n->naxes++] = (axis){.range = range, .kind = kind, .name = uop_range_name(&m->g, range)};
}

static void begin(map_kernel *m) {
  *m = (map_kernel){.n.nstores = 1, .other.nstores = 1};
  diag_init(&m->d);
  graph_init(&m->g, &m->d);
  m->i = uop_range(&m->g, ROWS, "i");
  m->j = uop_range(&m->g, COLUMNS, "j");
  m->x = add_array(m, ROLE_INPUT);
  m->w = add_array(m, ROLE_CONSTANT);
  m->y = add_array(m, ROLE_RESULT);
  add_axis(m, &m->n, m->i, AXIS_GRID);
  add_axis(m, &m->n, m->j, AXIS_VECTOR);
  const uop *at = element(m, COLUMNS, m->j);
  const uop *value = uop_add(&m->g, read_at(m, m->x, at), read_at(m, m->w, m->j));
  m->n.store[0] = (nest_store){.array = m->y, .offset = at, .value = value, .site = -1};
  nest_kernel k = {.nroots = 1, .root = {&m->n}, .chunks = 1};
  vec_push(&m->g.arena, &m->set.kernels, k);
}

static nest_store *stored_by(map_kernel *m) { return &m->n.store[0]; }
static nest_kernel *kernel(map_kernel *m) { return &m->set.kernels.data[0]; }

/* A second store of the nest, of what x is at the same element. */
static void add_store(map_kernel *m, int array) {
  m->n.store[m->n.nstores++] = (nest_store){.array = array,
                                            .offset = stored_by(m)->offset,
                                            .value = read_at(m, m->x, stored_by(m)->offset),
                                            .site = -1};
}

/* A nest of its own that stores what it reads of an array's beginning. */
static nest *another(map_kernel *m, int stored, int read) {
  const uop *at = uop_range(&m->g, 4, "k");
  add_axis(m, &m->other, at, AXIS_LOOP);
  m->other.store[0] =
      (nest_store){.array = stored, .offset = at, .value = read_at(m, read, at), .site = -1};
  return &m->other;
}

static void as_it_is(map_kernel *m) { (void)m; }

static void shifted_read(map_kernel *m) {
  const uop *next = uop_addi(&m->g, stored_by(m)->offset, 1);
  stored_by(m)->value = read_if(m, m->x, next, uop_lt(&m->g, next, ELEMENTS));
}

static void window(map_kernel *m) {
  const uop *next = uop_addi(&m->g, stored_by(m)->offset, 1);
  stored_by(m)->value =
      uop_add(&m->g, stored_by(m)->value, read_if(m, m->x, next, uop_lt(&m->g, next, ELEMENTS)));
}

static void transposed_read(map_kernel *m) {
  stored_by(m)->value = read_at(m, m->x, uop_add(&m->g, uop_muli(&m->g, m->j, ROWS), m->i));
}

/* Rows of 12 elements, the lanes reach past their ends. */
static void tail(map_kernel *m, bool masked, int64_t inside) {
  const uop *at = element(m, 12, m->j);
  stored_by(m)->offset = at;
  stored_by(m)->mask = masked ? uop_lt(&m->g, m->j, 12) : NULL;
  stored_by(m)->value =
      read_if(m, m->x, at, inside > 0 ? uop_lt(&m->g, m->j, inside) : uop_bool(&m->g, true));
}
static void masked_tail(map_kernel *m) { tail(m, true, 12); }
static void tighter_guard(map_kernel *m) { tail(m, true, 11); }
static void looser_guard(map_kernel *m) { tail(m, true, 13); }
static void no_guard(map_kernel *m) { tail(m, true, 0); }
static void tail_that_is_stored(map_kernel *m) { tail(m, false, 0); }

/* Rows of 7 in blocks of 4, whose last begins early or reaches past the end. */
static void blocks(map_kernel *m, bool early) {
  graph *g = &m->g;
  const uop *block = uop_range(g, 2, "block"), *in = uop_range(g, 4, "in");
  m->n.naxes = 1;
  add_axis(m, &m->n, block, AXIS_LOOP);
  add_axis(m, &m->n, in, AXIS_VECTOR);
  const uop *first = uop_muli(g, block, 4);
  if (early) first = uop_alu2(g, OP_MIN, first, uop_int(g, 3));
  const uop *j = uop_add(g, first, in), *here = uop_lt(g, j, 7), *at = element(m, 7, j);
  stored_by(m)->offset = at;
  stored_by(m)->mask = early ? NULL : here;
  stored_by(m)->value = read_if(m, m->x, at, early ? uop_bool(g, true) : here);
}
static void masked_blocks(map_kernel *m) { blocks(m, false); }
static void overlapping_blocks(map_kernel *m) { blocks(m, true); }

static void loop_that_stores_again(map_kernel *m) {
  add_axis(m, &m->n, uop_range(&m->g, 3, "again"), AXIS_LOOP);
}

static void sum_in_the_array(map_kernel *m) { m->n.axis[0].reduces = true; }
static void as_a_matrix(map_kernel *m) { m->n.matrix = 8; }

static void read_in_a_sum(map_kernel *m) {
  const uop *c = uop_range(&m->g, 3, "c"), *x = read_at(m, m->x, stored_by(m)->offset);
  const uop *product = uop_mul(&m->g, x, read_at(m, m->w, c));
  stored_by(m)->value = uop_reduce(&m->g, OP_ADD, product, 1, &c);
}

static void summed(map_kernel *m) {
  const uop *c = uop_range(&m->g, COLUMNS, "c");
  const uop *row = uop_add(&m->g, uop_muli(&m->g, m->i, COLUMNS), c);
  stored_by(m)->value =
      uop_add(&m->g, stored_by(m)->value, uop_reduce(&m->g, OP_ADD, read_at(m, m->x, row), 1, &c));
}

static void address_that_data_say(map_kernel *m) {
  const uop *place = uop_cast(&m->g, WN_I64, read_at(m, m->w, stored_by(m)->offset));
  stored_by(m)->value = read_at(m, m->x, place);
}

static void store_where_data_say(map_kernel *m) {
  stored_by(m)->offset = uop_cast(&m->g, WN_I64, read_at(m, m->x, stored_by(m)->offset));
}

static void read_by_a_later_store(map_kernel *m) { add_store(m, add_array(m, ROLE_RESULT)); }

static void read_by_an_earlier_store(map_kernel *m) {
  add_store(m, m->y);
  stored_by(m)->array = add_array(m, ROLE_RESULT);
  m->set.arrays.data[stored_by(m)->array].dtype = WN_F64; /* that one can be in no place of x */
}

static void read_by_a_child(map_kernel *m) {
  m->n.child[m->n.nchildren++].nest = another(m, add_array(m, ROLE_LOCAL), m->x);
}

static void add_root(map_kernel *m, int stored, int read) {
  kernel(m)->root[kernel(m)->nroots++] = another(m, stored, read);
}
static void read_beside(map_kernel *m) { add_root(m, add_array(m, ROLE_RESULT), m->x); }
static void stored_beside(map_kernel *m) { add_root(m, m->y, m->w); }
static void overwritten_beside(map_kernel *m) { add_root(m, m->x, m->w); }
static void other_things_beside(map_kernel *m) { add_root(m, add_array(m, ROLE_RESULT), m->w); }

static void result_is_read(map_kernel *m) {
  const uop *at = stored_by(m)->offset;
  stored_by(m)->value = uop_add(&m->g, stored_by(m)->value, read_at(m, m->y, at));
}

static void other_dtype(map_kernel *m) { m->set.arrays.data[m->y].dtype = WN_I32; }
static void of_constants(map_kernel *m) { m->set.arrays.data[m->x].role = ROLE_CONSTANT; }
static void local(map_kernel *m) { m->set.arrays.data[m->y].role = ROLE_LOCAL; }
static void with_gaps(map_kernel *m) { m->set.arrays.data[m->y].gaps = 8; }
static void of_one_round(map_kernel *m) { m->set.arrays.data[m->x].chunk_step = 8; }
static void once(map_kernel *m) { kernel(m)->prepare = true; }

static const struct {
  const char *name;
  void (*change)(map_kernel *m);
  bool may;
} cases[] = {
    {"a map", as_it_is, true},
    {"a read of the next element", shifted_read, false},
    {"a window", window, false},
    {"a transposed read", transposed_read, false},
    {"a masked tail", masked_tail, true},
    {"a read where less is stored", tighter_guard, true},
    {"a read past the mask", looser_guard, false},
    {"a read without the mask", no_guard, false},
    {"a tail that is stored", tail_that_is_stored, false},
    {"masked blocks", masked_blocks, true},
    {"blocks of which the last begins early", overlapping_blocks, false},
    {"a loop that stores again", loop_that_stores_again, false},
    {"a sum in the array", sum_in_the_array, false},
    {"a matrix", as_a_matrix, false},
    {"the element in a sum", read_in_a_sum, true},
    {"a sum of the row", summed, false},
    {"an address that data say", address_that_data_say, false},
    {"a store where data say", store_where_data_say, false},
    {"a read by a later store", read_by_a_later_store, false},
    {"a read by an earlier store", read_by_an_earlier_store, true},
    {"a read by a child", read_by_a_child, false},
    {"a read in a nest beside", read_beside, false},
    {"the result stored beside", stored_beside, false},
    {"the array stored beside", overwritten_beside, false},
    {"other things beside", other_things_beside, true},
    {"a result that is read", result_is_read, false},
    {"another dtype", other_dtype, false},
    {"constants", of_constants, false},
    {"a local result", local, false},
    {"a result with gaps", with_gaps, false},
    {"an array of one round", of_one_round, false},
    {"preparing", once, false},
};

static void test_conditions(void **state) {
  (void)state;
  for (size_t c = 0; c < LEN(cases); ++c) {
    map_kernel *m = calloc(1, sizeof *m);
    assert_non_null(m);
    begin(m);
    cases[c].change(m);
    in_place_find(&m->set, &m->g.arena, &m->g.arena);
    bool found = false;
    for (int i = 0; i < kernel(m)->npairs; ++i)
      found |= kernel(m)->pairs[i].stored == m->y && kernel(m)->pairs[i].read == m->x;
    if (found != cases[c].may)
      fail_msg("%s: it %s be in place", cases[c].name, found ? "must not" : "could");
    graph_release(&m->g);
    free(m);
  }
}

/* Random addresses: where a pair is found no two points that are stored have one element, and each that is read is. */
static void test_random_addresses(void **state) {
  (void)state;
  enum { AXES = 3, MOST = 5 };
  uint64_t seed = test_seed();
  int found = 0, once_only = 0;
  for (uint64_t round = 0; round < 4000; ++round) {
    uint64_t s = seed + round;
    map_kernel *m = calloc(1, sizeof *m);
    assert_non_null(m);
    begin(m);
    graph *g = &m->g;
    const uop *range[AXES], *at = uop_int(g, 0), *limited = uop_int(g, 0);
    int64_t extent[AXES], step[AXES], weight[AXES], limit = between(&s, 1, 12);
    bool masked = chance(&s, 60);
    m->n.naxes = 0;
    for (int i = 0; i < AXES; ++i) {
      range[i] = uop_range(g, extent[i] = between(&s, 2, MOST), "a");
      step[i] = between(&s, 1, 3) * (chance(&s, 50) ? between(&s, 1, 6) : 1);
      weight[i] = chance(&s, 60) ? step[i] : 0;
      add_axis(m, &m->n, range[i], AXIS_LOOP);
      at = uop_add(g, at, uop_muli(g, range[i], step[i]));
      limited = uop_add(g, limited, uop_muli(g, range[i], weight[i]));
    }
    const uop *mask = masked ? uop_lt(g, limited, limit) : uop_bool(g, true);
    stored_by(m)->offset = at;
    stored_by(m)->mask = masked ? mask : NULL;
    stored_by(m)->value = read_if(m, m->x, at, mask);
    in_place_find(&m->set, &m->g.arena, &m->g.arena);
    int count[AXES * MOST * 20] = {0}, most = 0;
    for (int64_t i = 0; i < extent[0] * extent[1] * extent[2]; ++i) {
      const int64_t p[AXES] = {i / (extent[1] * extent[2]), i / extent[2] % extent[1],
                               i % extent[2]};
      int64_t place = 0, sum = 0;
      for (int k = 0; k < AXES; ++k) place += step[k] * p[k], sum += weight[k] * p[k];
      if (!masked || sum < limit) most = ++count[place] > most ? count[place] : most;
    }
    once_only += most <= 1;
    found += kernel(m)->npairs > 0;
    if (kernel(m)->npairs > 0 && most > 1)
      fail_msg("WINNOW_SEED=%" PRIu64 ": an element is stored %d times", seed + round, most);
    graph_release(&m->g);
    free(m);
  }
  print_message("# %d of %d were found to store once\n", found, once_only);
  assert_true(found > once_only / 4);
}

/* --- memory planning -------------------------------------------------------------------------- */

enum { SIZE = 1000, ROOM = 4 * SIZE + 128 };

/* A row of kernels: each reads one array, or two, and stores one that may be in the place of the first. */
typedef struct row {
  diag d;
  graph g;
  kernel_set set;
} row;

static void row_begin(row *r) {
  *r = (row){0};
  diag_init(&r->d);
  graph_init(&r->g, &r->d);
}

static int row_array(row *r, array_role role) {
  array_info a = {.name = "a", .dtype = WN_F32, .role = role, .len = SIZE, .user = -1, .site = -1};
  vec_push(&r->g.arena, &r->set.arrays, a);
  return (int)r->set.arrays.len - 1;
}

static nest_kernel *row_kernel(row *r, int stored, int first, int second) {
  graph *g = &r->g;
  const uop *zero = uop_int(g, 0), *always = uop_bool(g, true), *value = uop_const(g, WN_F32, 1);
  const int reads[] = {first, second};
  for (int i = 0; i < 2; ++i) {
    if (reads[i] < 0) continue;
    const uop *b = uop_buffer(g, reads[i], WN_F32, 1, &r->set.arrays.data[reads[i]].len);
    value = uop_add(g, value, uop_index(g, b, always, 1, &zero));
  }
  nest *n = arena_new(&g->arena, nest);
  n->nstores = 1;
  n->store[0] = (nest_store){.array = stored, .offset = zero, .value = value, .site = -1};
  place_pair *pairs = arena_array(&g->arena, place_pair, 2);
  int npairs = 0;
  for (int i = 0; i < 2; ++i)
    if (reads[i] >= 0) pairs[npairs++] = (place_pair){stored, reads[i]};
  nest_kernel k = {.nroots = 1, .root = {n}, .chunks = 1, .npairs = npairs, .pairs = pairs};
  vec_push(&g->arena, &r->set.kernels, k);
  return &r->set.kernels.data[r->set.kernels.len - 1];
}

/* in -> a -> b -> out; b may be in the place of a. */
typedef struct plain {
  row r;
  int in, a, b, out;
} plain;

static void plain_begin(plain *p) {
  row_begin(&p->r);
  p->in = row_array(&p->r, ROLE_INPUT);
  p->a = row_array(&p->r, ROLE_WORK);
  p->b = row_array(&p->r, ROLE_WORK);
  p->out = row_array(&p->r, ROLE_RESULT);
  row_kernel(&p->r, p->a, p->in, -1);
  row_kernel(&p->r, p->b, p->a, -1);
  row_kernel(&p->r, p->out, p->b, -1);
}

static void plan_as_it_is(plain *p) { (void)p; }
static void plan_read_later(plain *p) { row_kernel(&p->r, p->out, p->a, p->b); }
static void plan_callers(plain *p) { p->r.set.arrays.data[p->a].role = ROLE_INPUT; }
static void plan_result(plain *p) { p->r.set.arrays.data[p->b].role = ROLE_RESULT; }
static void plan_prepared(plain *p) { p->r.set.arrays.data[p->a].role = ROLE_PREPARED; }
static void plan_no_pair(plain *p) { p->r.set.kernels.data[1].npairs = 0; }

static void plan_part_of_another(plain *p) {
  p->r.set.arrays.data[p->a].whole = row_array(&p->r, ROLE_WORK) + 1;
}

static void plan_stored_in_another(plain *p) {
  p->r.set.arrays.data[p->b].whole = row_array(&p->r, ROLE_WORK) + 1;
}

/* b is stored by an earlier kernel too. */
static void plan_stored_before(plain *p) {
  p->r.set.kernels.data[0].root[0]->store[0].array = p->b;
}

/* The kernels that store a and b take turns. */
static void plan_rounds(plain *p) {
  for (int i = 0; i < 2; ++i) p->r.set.kernels.data[i].chunks = 4;
}
static void plan_rounds_behind(plain *p) {
  for (int i = 1; i < 3; ++i) p->r.set.kernels.data[i].chunks = 4;
}
static void plan_bands(plain *p) {
  vec_push(&p->r.g.arena, &p->r.set.bands, ((band_group){.first = 0, .end = 2, .rounds = 2}));
}
static void plan_bands_behind(plain *p) {
  vec_push(&p->r.g.arena, &p->r.set.bands, ((band_group){.first = 1, .end = 3, .rounds = 2}));
}

/* The kernel calls a by another name as well. */
static void plan_two_names(plain *p) {
  row_kernel(&p->r, p->out, p->b, p->in);
  p->r.set.kernels.data[1] = p->r.set.kernels.data[3];
  --p->r.set.kernels.len;
  int *arrays = arena_array(&p->r.g.arena, int, 4);
  arrays[p->out] = p->b, arrays[p->b] = arrays[p->in] = p->a;
  p->r.set.kernels.data[1].arrays = arrays;
}

static const struct {
  const char *name;
  void (*change)(plain *p);
  bool may;
} plans[] = {
    {"a chain", plan_as_it_is, true},
    {"a later reader", plan_read_later, false},
    {"the caller's array", plan_callers, false},
    {"the caller's result", plan_result, false},
    {"prepared weights", plan_prepared, false},
    {"no pair", plan_no_pair, false},
    {"a part of another array", plan_part_of_another, false},
    {"stored in another array", plan_stored_in_another, false},
    {"stored before", plan_stored_before, false},
    {"rounds with what makes it", plan_rounds, false},
    {"rounds with what reads the result", plan_rounds_behind, true},
    {"bands with what makes it", plan_bands, false},
    {"bands with what reads the result", plan_bands_behind, true},
    {"two names", plan_two_names, false},
};

static void test_planning(void **state) {
  (void)state;
  for (size_t c = 0; c < LEN(plans); ++c) {
    plain p;
    plain_begin(&p);
    plans[c].change(&p);
    plan_memory(&p.r.set, &p.r.g.arena);
    const array_info *a = &p.r.set.arrays.data[p.a], *b = &p.r.set.arrays.data[p.b];
    if ((b->instead == p.a + 1) != plans[c].may)
      fail_msg("%s: it %s in place", plans[c].name, plans[c].may ? "is not" : "must not be");
    if (plans[c].may) {
      assert_int_equal(a->offset, b->offset);
      assert_in_range(p.r.set.workspace_bytes, 4 * SIZE, ROOM);
      assert_int_equal(p.r.set.workspace_bytes, p.r.set.workspace_least);
    }
    graph_release(&p.r.g);
  }
}

/* Of two arrays that end one is replaced, and a chain of four is one array. */
static void test_chains(void **state) {
  (void)state;
  row r;
  row_begin(&r);
  int in = row_array(&r, ROLE_INPUT), a[5], side;
  for (int i = 0; i < 5; ++i) a[i] = row_array(&r, i < 4 ? ROLE_WORK : ROLE_RESULT);
  side = row_array(&r, ROLE_WORK);
  row_kernel(&r, side, in, -1);
  row_kernel(&r, a[0], in, -1);
  row_kernel(&r, a[1], a[0], side);
  for (int i = 2; i < 5; ++i) row_kernel(&r, a[i], a[i - 1], -1);
  plan_memory(&r.set, &r.g.arena);
  for (int i = 1; i < 4; ++i) {
    assert_int_equal(r.set.arrays.data[a[i]].instead, a[i - 1] + 1);
    assert_int_equal(r.set.arrays.data[a[i]].offset, r.set.arrays.data[a[0]].offset);
  }
  assert_int_equal(r.set.arrays.data[side].instead, 0);
  assert_in_range(r.set.workspace_bytes, 2 * 4 * SIZE, 2 * ROOM);
  assert_int_equal(r.set.workspace_bytes, r.set.workspace_least);
  graph_release(&r.g);
}

/* Kernels of random arrays, with pairs and without: never more bytes with them, and only pairs overlap. */
static size_t plan_random(uint64_t seed, bool pairs, size_t *places) {
  enum { KERNELS = 20 };
  uint64_t s = seed;
  row r;
  row_begin(&r);
  int made[KERNELS + 1] = {row_array(&r, ROLE_INPUT)}, first[KERNELS + 2], last[KERNELS + 2];
  for (int k = 0; k < KERNELS; ++k) {
    int out = row_array(&r, chance(&s, 90) ? ROLE_WORK : ROLE_RESULT);
    r.set.arrays.data[out].len = chance(&s, 50) ? SIZE : between(&s, 1, 3 * SIZE);
    int x = made[k - (k > 0 ? below(&s, k < 3 ? k : 3) : 0)], y = made[below(&s, k + 1)];
    nest_kernel *of = row_kernel(&r, out, x, chance(&s, 40) && x != y ? y : -1);
    if (!pairs) of->npairs = 0;
    first[out] = last[out] = k;
    last[x] = k;
    if (of->npairs > 1 || !pairs) last[y] = k;
    made[k + 1] = out;
  }
  plan_memory(&r.set, &r.g.arena);
  for (size_t i = 1; pairs && i < r.set.arrays.len; ++i) {
    const array_info *a = &r.set.arrays.data[i];
    *places += a->instead > 0;
    if (a->instead > 0) assert_int_equal(a->offset, r.set.arrays.data[a->instead - 1].offset);
    for (size_t j = 1; j < i; ++j) {
      const array_info *b = &r.set.arrays.data[j];
      bool works = a->role == ROLE_WORK && b->role == ROLE_WORK;
      bool apart = a->offset >= b->offset + (size_t)b->len * 4 ||
                   b->offset >= a->offset + (size_t)a->len * 4;
      bool together = first[i] <= last[j] && first[j] <= last[i];
      if (works && together && !apart) assert_int_equal(a->instead, j + 1);
    }
  }
  assert_true(r.set.workspace_bytes >= r.set.workspace_least);
  size_t bytes = r.set.workspace_bytes;
  graph_release(&r.g);
  return bytes;
}

static void test_random_plans(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  size_t with = 0, without = 0, places = 0;
  for (uint64_t round = 0; round < 400; ++round) {
    size_t fewer = plan_random(seed + round, true, &places),
           more = plan_random(seed + round, false, &places);
    if (fewer > more)
      fail_msg("WINNOW_SEED=%" PRIu64 ": %zu bytes, %zu apart", seed + round, fewer, more);
    with += fewer, without += more;
  }
  print_message("# %zu in place: %zu bytes, %zu apart\n", places, with, without);
  assert_true(places > 400 && with < without);
}

/* --- linear kernels --------------------------------------------------------------------------- */

/* y[(grid * trips + loop) * 4 + by_store + lane] = x[... * stride + by + lane], of 4 lanes. */
typedef struct copy {
  int64_t blocks, trips, stride, by;
  bool late;   /* the load stands behind the store of the iteration before */
  bool masked; /* the last lane is neither read nor stored */
} copy;

static const char *verify_copy(arena *a, copy c) {
  lin_builder b = lb_new(a, "copy", c.blocks);
  lb_array(&b, SPACE_GLOBAL, WN_F32, 4096);
  lb_array(&b, SPACE_GLOBAL, WN_F32, 4096);
  b.k->arrays.data[0].written = b.k->arrays.data[1].read = false;
  vec_push(a, &b.k->pairs, ((lin_pair){.stored = 1, .read = 0}));
  uint32_t grid = lb_push(&b, (lin_ins){.op = OP_GRID, .dtype = WN_I64, .lanes = 1});
  uint32_t iota = lb_push(&b, (lin_ins){.op = OP_IOTA, .dtype = WN_I64, .lanes = 4});
  uint32_t three = lb_splat(&b, WN_I64, 4, lb_i64(&b, c.masked ? 3 : 4));
  uint32_t some = lb_op2(&b, OP_LT, WN_BOOL, iota, three);
  uint32_t loop = lb_push(&b, (lin_ins){.op = OP_LOOP, .dtype = WN_I64, .lanes = 1, .i = c.trips});
  uint32_t number =
      lb_op2(&b, OP_ADD, WN_I64, lb_op2(&b, OP_MUL, WN_I64, grid, lb_i64(&b, c.trips)), loop);
  uint32_t to = lb_op2(&b, OP_MUL, WN_I64, number, lb_i64(&b, 4));
  uint32_t from = lb_op2(&b, OP_MUL, WN_I64, number, lb_i64(&b, c.stride));
  if (c.late)
    from =
        lb_op2(&b, OP_MAX, WN_I64, lb_op2(&b, OP_ADD, WN_I64, from, lb_i64(&b, -4)), lb_i64(&b, 0));
  uint32_t x = lb_push(&b, (lin_ins){.op = OP_LOAD,
                                     .dtype = WN_F32,
                                     .lanes = 4,
                                     .nsrc = 2,
                                     .src = {from, some},
                                     .i = 0,
                                     .j = 1,
                                     .disp = c.by});
  lb_push(&b, (lin_ins){.op = OP_STORE,
                        .dtype = WN_DTYPE_COUNT,
                        .lanes = 4,
                        .nsrc = 3,
                        .src = {to, x, some},
                        .i = 1,
                        .j = 1});
  lb_push(&b,
          (lin_ins){.op = OP_END, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 1, .src = {loop}});
  return lin_verify(a, b.k);
}

static void expect(const char *said, const char *what) {
  if (what == NULL ? said != NULL : said == NULL || strstr(said, what) == NULL)
    fail_msg("\"%s\" where \"%s\" was expected", said != NULL ? said : "sound",
             what != NULL ? what : "sound");
}

static void test_law(void **state) {
  arena *a = &((fixture *)*state)->a;
  expect(verify_copy(a, (copy){.blocks = 5, .trips = 3, .stride = 4}), NULL);
  expect(verify_copy(a, (copy){.blocks = 1, .trips = 300, .stride = 4, .masked = true}), NULL);
  expect(verify_copy(a, (copy){.blocks = 5, .trips = 3, .stride = 4, .by = 1000}), NULL);
  expect(verify_copy(a, (copy){.blocks = 5, .trips = 3, .stride = 4, .by = 1}),
         "is stored by block");
  expect(verify_copy(a, (copy){.blocks = 1, .trips = 3, .stride = 4, .late = true}),
         "read after it was stored");
  expect(verify_copy(a, (copy){.blocks = 1, .trips = 9, .stride = 3}), "read after it was stored");
  expect(verify_copy(a, (copy){.blocks = 1, .trips = 9, .stride = 4, .by = -1, .masked = true}),
         NULL);
  expect(verify_copy(a, (copy){.blocks = 9, .trips = 1, .stride = 4, .by = -1}),
         "is stored by block");
}

/* What a pair may not be. */
static void test_law_of_arrays(void **state) {
  arena *a = &((fixture *)*state)->a;
  for (int c = 0; c < 6; ++c) {
    lin_builder b = lb_new(a, "none", 1);
    lb_array(&b, SPACE_GLOBAL, WN_F32, 16);
    lb_array(&b, c == 1 ? SPACE_LOCAL : SPACE_GLOBAL, c == 2 ? WN_F64 : WN_F32, 16);
    b.k->arrays.data[0].written = c == 3;
    b.k->arrays.data[1].read = c == 4;
    vec_push(a, &b.k->pairs, ((lin_pair){.stored = c == 5 ? 2 : 1, .read = 0}));
    static const char *const said[] = {NULL,      "not global", "dtype",
                                       "as well", "as well",    "no array"};
    expect(lin_verify(a, b.k), said[c]);
    assert_true(lin_are_pair(b.k, 0, 1) == (c != 5));
    assert_true(lin_is_paired(b.k, 0) && lin_is_paired(b.k, 1) == (c != 5));
  }
}

static int count_in(const char *text, const char *what) {
  int count = 0;
  for (const char *at = text; (at = strstr(at, what)) != NULL; ++at) ++count;
  return count;
}

/* Arrays that a text says are apart from all others. */
static int count_restrict(arena *a, const lin_kernel *k,
                          void (*render)(str *, const lin_kernel *)) {
  str s;
  str_init(&s, a);
  render(&s, k);
  return count_in(str_text(&s), "restrict ");
}

static void test_text(void **state) {
  arena *a = &((fixture *)*state)->a;
  static void (*const renders[])(str *, const lin_kernel *) = {render_c, render_opencl,
                                                               render_metal};
  lin_builder b = lb_new(a, "text", 4);
  for (int i = 0; i < 3; ++i) {
    lb_array(&b, SPACE_GLOBAL, WN_F32, 4);
    b.k->arrays.data[i].written = i == 2;
    b.k->arrays.data[i].read = i < 2;
  }
  uint32_t at = lb_push(&b, (lin_ins){.op = OP_GRID, .dtype = WN_I64, .lanes = 1});
  uint32_t x = lb_load(&b, 0, 1, at, 1, LB_NO_MASK), y = lb_load(&b, 1, 1, at, 1, LB_NO_MASK);
  lb_store(&b, 2, at, lb_op2(&b, OP_ADD, WN_F32, x, y), 1, LB_NO_MASK);
  for (size_t i = 0; i < LEN(renders); ++i) assert_int_equal(count_restrict(a, b.k, renders[i]), 3);
  vec_push(a, &b.k->pairs, ((lin_pair){.stored = 2, .read = 0}));
  for (size_t i = 0; i < LEN(renders); ++i) assert_int_equal(count_restrict(a, b.k, renders[i]), 1);
  str s;
  str_init(&s, a);
  lin_print(&s, b.k);
  assert_int_equal(count_in(str_text(&s), "slot 2 written in place of 0\n"), 1);
  assert_null(lin_verify(a, b.k));
}

/* --- whole programs --------------------------------------------------------------------------- */

enum { N = 2, C = 3, H = 9, W = 13, IMAGE = N * C * H * W };

/* x times what a convolution of it says of its channels, again and again: each map reads the one before for the last
 * time. */
static twin excite(twins *w, twin x, int times) {
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  for (int i = 0; i < times; ++i) {
    twin f = twin_leaf(w, true, 0.1, 4, (int64_t[]){1, C, 3, 3});
    twin most = twin_reduce(w, WN_MAXIMUM, twin_conv(w, x, f, &same), 3);
    x = twin_map(w, WN_TANH, twin_zip(w, WN_MUL, x, twin_reduce(w, WN_MAXIMUM, most, 2)));
  }
  return x;
}

static void run_chain(const char *plan, const char *backend, int threads, size_t limit,
                      wn_program_info *info, int *places, wn_status *status, char *message) {
  diag d;
  arena mem;
  wn_context *ctx;
  uint64_t random = test_seed();
  diag_init(&d);
  arena_init(&mem, &d);
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  twins w = {ctx, &mem, &random};
  twin x = twin_leaf(&w, false, 1, 4, (int64_t[]){N, C, H, W});
  twin f = twin_leaf(&w, true, 0.3, 4,
                     (int64_t[]){2, C, 3, 3}); /* else the last map's result is the caller's */
  twin y = twin_conv(&w, excite(&w, twin_map(&w, WN_TANH, x), 3), f, &WN_CONV_PARAMS());
  float *out = arena_array(&mem, float, IMAGE);
  void *data = out;
  wn_program *p = NULL;
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = backend, .threads = threads,
                                  .max_memory = limit, .no_cache = 1);
  *status = wn_compile(ctx, &y.t, &data, 1, &o, &p);
  strncpy(message, *status == WN_OK ? "" : wn_message(ctx), 511);
  *places = 0;
  for (int round = 0; *status == WN_OK && round < 2; ++round) {
    assert_int_equal(wn_run(p), WN_OK);
    assert_true(relative_l2(out, y.v, twin_count(&y)) < 1e-5);
  }
  if (*status == WN_OK) {
    assert_int_equal(wn_program_get_info(p, info), WN_OK);
    for (int i = 0; i < info->sites; ++i) {
      wn_site_info site = WN_SITE_INFO();
      assert_int_equal(wn_program_get_site(p, i, &site), WN_OK);
      *places += site.in_place_of != NULL;
    }
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  arena_release(&mem);
}

/* Two arrays and the small sums would be alive at once. */
static void test_three_maps(void **state) {
  (void)state;
  static const char *const backends[] = {"cpu", "cpu:cc", "interp"};
  const size_t image = IMAGE * sizeof(float);
  for (size_t i = 0; i < LEN(backends); ++i) {
    wn_program_info info = WN_PROGRAM_INFO();
    wn_status st;
    char said[512] = "";
    int places;
    run_chain("auto", backends[i], 1 + (int)i, 0, &info, &places, &st, said);
    if (st != WN_OK) fail_msg("%s", said);
    print_message("# %s: arena %zu bytes of %zu an array, %d in place\n", backends[i],
                  info.arena_bytes, image, places);
    assert_true(places >= 2);
    assert_true(info.arena_bytes >= image && info.arena_bytes < 2 * image);
    assert_int_equal(info.arena_bytes, info.arena_least);
    /* the limit that is the least says so, and is enough */
    const size_t need = info.workspace_bytes + info.prepared_bytes;
    run_chain("auto", backends[i], 1, 1, &info, &places, &st, said);
    assert_int_equal(st, WN_ERR_REFUSED);
    const char *at = strstr(said, "needs at least ");
    assert_non_null(at);
    const size_t least = (size_t)strtoull(at + strlen("needs at least "), NULL, 10);
    assert_true(least > 0 && least <= need);
    run_chain("auto", backends[i], 1, least, &info, &places, &st, said);
    if (st != WN_OK) fail_msg("%s", said);
    assert_true(places >= 2 && info.workspace_bytes + info.prepared_bytes <= least);
  }
}

typedef struct said {
  int sites, kernels, arrays;
} said;

static void take_text(void *user, const char *text) {
  said *s = user;
  const int count = count_in(text, "in place of ");
  if (strncmp(text, "--- sites", 9) == 0) s->sites += count;
  if (strncmp(text, "--- kernel", 10) == 0) s->kernels += count;
  if (strncmp(text, "--- apply", 9) == 0) s->arrays += count;
}

static void test_explained(void **state) {
  (void)state;
  diag d;
  arena mem;
  wn_context *ctx;
  uint64_t random = test_seed();
  said s = {0};
  diag_init(&d);
  arena_init(&mem, &d);
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  twins w = {ctx, &mem, &random};
  twin x = twin_map(&w, WN_TANH, twin_leaf(&w, false, 1, 4, (int64_t[]){N, C, H, W}));
  twin f = twin_leaf(&w, true, 0.3, 4, (int64_t[]){2, C, 3, 3});
  twin y = twin_conv(&w, excite(&w, x, 3), f, &WN_CONV_PARAMS());
  const wn_options o = WN_OPTIONS(.backend = "interp", .no_cache = 1);
  assert_int_equal(wn_explain(ctx, &y.t, NULL, 1, &o, take_text, &s), WN_OK);
  print_message("# in place: %d of sites, %d of kernels, %d of arrays and stores\n", s.sites,
                s.kernels, s.arrays);
  assert_true(s.sites == 3 && s.kernels == 3 && s.arrays == 6);
  wn_context_destroy(ctx);
  arena_release(&mem);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_conditions),
      cmocka_unit_test(test_random_addresses),
      cmocka_unit_test(test_planning),
      cmocka_unit_test(test_chains),
      cmocka_unit_test(test_random_plans),
      cmocka_unit_test_setup_teardown(test_law, setup, teardown),
      cmocka_unit_test_setup_teardown(test_law_of_arrays, setup, teardown),
      cmocka_unit_test_setup_teardown(test_text, setup, teardown),
      cmocka_unit_test(test_three_maps),
      cmocka_unit_test(test_explained),
  };
  return cmocka_run_group_tests_name("in place", tests, NULL, NULL);
}
