/* Which arrays are parts of which: the growing concatenations of a DenseNet, concatenations of concatenations, and what
 * has to be copied. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "ir/ir_text.h"
#include "lower/cats.h"

typedef struct fixture {
  diag d;
  graph g;
  int named;
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

static const uop *stored(fixture *f, const uop *value, int n, const uop *const *loops,
                         const char *output) {
  graph *g = &f->g;
  bufferize_info info = {.name = output, .site = -1, .explicit_ = output != NULL};
  if (output == NULL) info.name = arena_printf(&g->arena, "b%d", f->named++);
  return uop_bufferize(g, value, n, loops, info);
}

/* An array of n x 10 elements. */
static const uop *part(fixture *f, int64_t n) {
  graph *g = &f->g;
  const uop *loops[] = {uop_range(g, n, NULL), uop_range(g, 10, NULL)};
  const uop *in = uop_buffer(g, f->named, WN_F32, 1, (int64_t[]){10});
  return stored(f, uop_index(g, in, NULL, 1, loops + 1), 2, loops, NULL);
}

static const uop *cat_as(fixture *f, const char *output, int n, const uop *const *parts) {
  graph *g = &f->g;
  int64_t rows = 0;
  for (int i = 0; i < n; ++i) rows += parts[i]->src[1]->arg.j;
  const uop *cat = uop_new(g, OP_CAT, WN_F32, n, parts, (uop_arg){0});
  const uop *loops[] = {uop_range(g, rows, NULL), uop_range(g, 10, NULL)};
  return stored(f, cat, 2, loops, output);
}

#define COUNT(...)  (int)(sizeof((const uop *[]){__VA_ARGS__}) / sizeof(const uop *))
#define CAT(f, ...) cat_as(f, NULL, COUNT(__VA_ARGS__), (const uop *[]){__VA_ARGS__})
#define SINK(f, ...)                                                                          \
  uop_new(&(f)->g, OP_SINK, WN_DTYPE_COUNT, COUNT(__VA_ARGS__), (const uop *[]){__VA_ARGS__}, \
          (uop_arg){0})

static cat_places find(fixture *f, const uop *root) {
  cat_places p;
  assert_null(ir_verify(&f->g, root, UOP_EXPR));
  cats_find(&p, &f->g.arena, uop_toposort(&f->g.arena, 1, &root));
  return p;
}

static void expect(const cat_places *p, const uop *u, const uop *whole, int64_t row) {
  const cat_place *at = cat_place_of(p, u);
  assert_true((at == NULL) == (whole == NULL));
  if (whole == NULL) return;
  assert_ptr_equal(at->whole, whole);
  assert_int_equal(at->at, row * 10);
}

static void test_growing(void **state) {
  fixture *f = *state;
  const uop *a = part(f, 3), *b = part(f, 2), *c = part(f, 4), *d = part(f, 1);
  const uop *two = CAT(f, a, b), *three = CAT(f, a, b, c), *all = CAT(f, a, b, c, d),
            *last = CAT(f, c, d);
  cat_places p = find(f, SINK(f, two, three, all, last));
  assert_int_equal(p.conflicts.len, 0);
  expect(&p, all, NULL, 0);
  expect(&p, two, all, 0);
  expect(&p, three, all, 0);
  expect(&p, last, all, 5);
  expect(&p, a, all, 0);
  expect(&p, b, all, 3);
  expect(&p, c, all, 5);
  expect(&p, d, all, 9);
}

static void test_nested(void **state) {
  fixture *f = *state;
  const uop *a = part(f, 3), *b = part(f, 2), *c = part(f, 4);
  const uop *inner = CAT(f, a, b), *outer = CAT(f, c, inner), *same = CAT(f, b, c);
  cat_places p = find(f, SINK(f, outer, same));
  expect(&p, inner, outer, 4);
  expect(&p, a, outer, 4);
  expect(&p, b, outer, 7);
  expect(&p, c, outer, 0);
  expect(&p, same, NULL, 0); /* both of its parts are elsewhere, though it is larger than `inner` */
  assert_int_equal(p.conflicts.len, 2);
}

/* How many arrays are copies, after which no part lacks a place. */
static int copies(fixture *f, const uop *root) {
  int before = f->named;
  const uop *apart = cats_separate(&f->g, &f->g.arena, root, &f->named);
  cat_places p = find(f, apart);
  assert_int_equal(p.conflicts.len, 0);
  assert_ptr_equal(cats_separate(&f->g, &f->g.arena, apart, &f->named), apart);
  return f->named - before;
}

static void test_copies(void **state) {
  fixture *f = *state;
  const uop *a = part(f, 3), *b = part(f, 2), *c = part(f, 4);
  assert_int_equal(copies(f, SINK(f, CAT(f, a, b), CAT(f, a, b, c))), 0);
  assert_int_equal(copies(f, SINK(f, CAT(f, a, b, a))), 1);
  assert_int_equal(copies(f, SINK(f, CAT(f, a, b), CAT(f, b, c))), 1);
  assert_int_equal(copies(f, SINK(f, CAT(f, a, b), CAT(f, b, a))), 2);
  const uop *out = cat_as(f, "result0", 2, (const uop *[]){a, b});
  assert_int_equal(copies(f, SINK(f, out)), 0);            /* parts are stored into it */
  assert_int_equal(copies(f, SINK(f, CAT(f, out, c))), 1); /* but it is nowhere else, */
  assert_int_equal(copies(f, SINK(f, out, CAT(f, a, b, c))), 2);
  const uop *again = cat_as(f, "result1", 2, (const uop *[]){a, b});
  assert_int_equal(copies(f, SINK(f, out, again)), 2);
}

/* --- along inner axes ------------------------------------------------------------------------- */

/* An array of these extents, outermost first. */
static const uop *array(fixture *f, int n, const int64_t *extent) {
  graph *g = &f->g;
  const uop *loops[4], *at = uop_int(g, 0);
  int64_t all = 1;
  for (int i = 0; i < n; ++i) {
    loops[i] = uop_range(g, extent[i], NULL);
    at = uop_add(g, uop_muli(g, at, extent[i]), loops[i]);
    all *= extent[i];
  }
  const uop *in = uop_buffer(g, f->named, WN_F32, 1, &all);
  return stored(f, uop_index(g, in, NULL, 1, &at), n, loops, NULL);
}

/* A whole of these extents. */
static const uop *cat_along(fixture *f, int axis, int n, const int64_t *extent, int nparts,
                            const uop *const *parts) {
  graph *g = &f->g;
  const uop *loops[4];
  for (int i = 0; i < n; ++i) loops[i] = uop_range(g, extent[i], NULL);
  const uop *cat = uop_new(g, OP_CAT, WN_F32, nparts, parts, (uop_arg){.i = axis});
  return stored(f, cat, n, loops, NULL);
}

#define EXTENTS(...) \
  COUNT_OF(__VA_ARGS__), (const int64_t[]) { __VA_ARGS__ }
#define COUNT_OF(...) (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define ARRAY(f, ...) array(f, EXTENTS(__VA_ARGS__))
#define PARTS(...) \
  COUNT(__VA_ARGS__), (const uop *[]) { __VA_ARGS__ }
#define STRIDES(...) \
  (const int64_t[]) { __VA_ARGS__ }

static void expect_at(const cat_places *p, const uop *u, const uop *whole, int64_t at,
                      const int64_t *stride) {
  const cat_place *place = cat_place_of(p, u);
  assert_non_null(place);
  assert_ptr_equal(place->whole, whole);
  assert_int_equal(place->at, at);
  for (int i = 0; i < u->nsrc - 1; ++i) assert_int_equal(place->stride[i], stride[i]);
}

/* Rows of 3 * 5, 1 * 5 and 2 * 5 elements take turns; what is in the middle has no loop along the axis. */
static void test_inner(void **state) {
  fixture *f = *state;
  const uop *a = ARRAY(f, 7, 3, 5), *b = ARRAY(f, 7, 5), *c = ARRAY(f, 7, 2, 5);
  const uop *all = cat_along(f, 1, EXTENTS(7, 6, 5), PARTS(a, b, c));
  const uop *two = cat_along(f, 1, EXTENTS(7, 4, 5), PARTS(a, b)),
            *last = cat_along(f, 1, EXTENTS(7, 3, 5), PARTS(b, c));
  cat_places p = find(f, SINK(f, two, last, all));
  assert_int_equal(p.conflicts.len, 0);
  assert_null(cat_place_of(&p, all));
  expect_at(&p, a, all, 0, STRIDES(30, 5, 1));
  expect_at(&p, b, all, 15, STRIDES(30, 1));
  expect_at(&p, c, all, 20, STRIDES(30, 5, 1));
  expect_at(&p, two, all, 0, STRIDES(30, 5, 1));
  expect_at(&p, last, all, 15, STRIDES(30, 5, 1));
}

/* Columns of columns, rows of columns, columns of rows. */
static void test_inner_nested(void **state) {
  fixture *f = *state;
  const uop *a = ARRAY(f, 4, 3), *b = ARRAY(f, 4, 2), *c = ARRAY(f, 4, 5), *d = ARRAY(f, 2, 10);
  const uop *ab = cat_along(f, 1, EXTENTS(4, 5), PARTS(a, b)),
            *abc = cat_along(f, 1, EXTENTS(4, 10), PARTS(c, ab)),
            *rows = cat_along(f, 0, EXTENTS(6, 10), PARTS(d, abc)), *e = ARRAY(f, 6, 7),
            *all = cat_along(f, 1, EXTENTS(6, 17), PARTS(rows, e));
  cat_places p = find(f, SINK(f, all));
  assert_int_equal(p.conflicts.len, 0);
  expect_at(&p, rows, all, 0, STRIDES(17, 1));
  expect_at(&p, e, all, 10, STRIDES(17, 1));
  expect_at(&p, d, all, 0, STRIDES(17, 1));
  expect_at(&p, abc, all, 34, STRIDES(17, 1));
  expect_at(&p, c, all, 34, STRIDES(17, 1));
  expect_at(&p, ab, all, 39, STRIDES(17, 1));
  expect_at(&p, a, all, 39, STRIDES(17, 1));
  expect_at(&p, b, all, 42, STRIDES(17, 1));
}

/* Loops of a part that are cut otherwise than the whole's, where no gap is within one. */
static void test_other_loops(void **state) {
  fixture *f = *state;
  const uop *a = ARRAY(f, 2, 3, 4), *b = ARRAY(f, 6, 3);
  const uop *all = cat_along(f, 1, EXTENTS(6, 7), PARTS(a, b));
  cat_places p = find(f, SINK(f, all));
  assert_int_equal(p.conflicts.len, 0);
  expect_at(&p, a, all, 0, STRIDES(21, 7, 1));
  const uop *flat = ARRAY(f, 24), *twos = ARRAY(f, 3, 8);
  assert_int_equal(copies(f, SINK(f, cat_along(f, 1, EXTENTS(6, 7), PARTS(flat, b)))), 1);
  assert_int_equal(copies(f, SINK(f, cat_along(f, 1, EXTENTS(6, 7), PARTS(b, twos)))), 1);
  assert_int_equal(copies(f, SINK(f, cat_along(f, 0, EXTENTS(8, 6), PARTS(flat, twos)))), 0);
}

/* Single columns: in another order they are not seen, and neither are rows as if they were columns. */
static void test_not_seen(void **state) {
  fixture *f = *state;
  const uop *a = ARRAY(f, 4), *b = ARRAY(f, 4), *c = ARRAY(f, 4);
  const uop *all = cat_along(f, 1, EXTENTS(4, 3), PARTS(a, b, c)),
            *turned = cat_along(f, 1, EXTENTS(4, 2), PARTS(b, a)),
            *every = cat_along(f, 1, EXTENTS(4, 2), PARTS(a, c));
  cat_places p = find(f, SINK(f, turned, every, all));
  expect_at(&p, every, all, 0, STRIDES(3, 2)); /* every other column is there */
  assert_null(cat_place_of(&p, turned));
  assert_int_equal(p.conflicts.len, 2);
  const uop *d = ARRAY(f, 4), *e = ARRAY(f, 4);
  const uop *rows = cat_along(f, 0, EXTENTS(2, 4), PARTS(d, e)),
            *columns = cat_along(f, 1, EXTENTS(4, 2), PARTS(d, e));
  p = find(f, SINK(f, columns, rows));
  assert_true((cat_place_of(&p, rows) == NULL) && (cat_place_of(&p, columns) == NULL));
  assert_int_equal(p.conflicts.len, 2);
}

/* What no graph may be. */
static void test_laws(void **state) {
  fixture *f = *state;
  graph *g = &f->g;
  const uop *a = part(f, 3), *parts[] = {a, a},
            *loops[] = {uop_range(g, 5, NULL), uop_range(g, 10, NULL)};
  const uop *cat = uop_new(g, OP_CAT, WN_F32, 2, parts, (uop_arg){0});
  const uop *short_ = stored(f, cat, 2, loops, NULL);
  assert_non_null(
      strstr(ir_verify(g, SINK(f, short_), UOP_EXPR), "a CAT of 60 elements over loops of 50"));
  const uop *of_cat = uop_alu1(g, OP_NEG, cat);
  assert_non_null(
      strstr(ir_verify(g, SINK(f, of_cat), UOP_EXPR), "uses a CAT as if it were one value"));
  const uop *zero = uop_const(g, WN_F32, 0),
            *of_value = uop_new(g, OP_CAT, WN_F32, 1, &zero, (uop_arg){0});
  const uop *odd = stored(f, of_value, 2, loops, NULL);
  assert_non_null(strstr(ir_verify(g, SINK(f, odd), UOP_EXPR), "a CAT of a CONST"));
  const uop *b = ARRAY(f, 3, 5), *outside = cat_along(f, 2, EXTENTS(3, 5), PARTS(b)),
            *torn = cat_along(f, 1, EXTENTS(6, 5), PARTS(b, b));
  assert_non_null(strstr(ir_verify(g, SINK(f, outside), UOP_EXPR), "that there is no RANGE of"));
  assert_non_null(strstr(ir_verify(g, SINK(f, torn), UOP_EXPR),
                         "a CAT of an array of 15 elements in rows of 6 x 1"));
}

/* Every allocation fails once. */
static void make_copies(fixture *f) {
  const uop *a = part(f, 3), *b = part(f, 2);
  cats_separate(&f->g, &f->g.arena, SINK(f, CAT(f, a, b), CAT(f, b, a)), &f->named);
}

static void test_allocation_failure(void **state) {
  (void)state;
  volatile bool done = false;
  for (volatile long n = 1; !done && n < 1000; ++n) {
    fixture f = {.named = 0};
    volatile wn_status st;
    diag_init(&f.d);
    mem_fail_at(n);
    DIAG_TRY(&f.d, st) {
      graph_init(&f.g, &f.d);
      make_copies(&f);
    }
    DIAG_END(&f.d, st)
    mem_fail_at(0);
    done = st == WN_OK;
    if (!done) assert_int_equal(st, WN_ERR_NOMEM);
    graph_release(&f.g);
  }
  assert_true(done);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_growing),  TEST(test_nested),       TEST(test_copies),
      TEST(test_inner),    TEST(test_inner_nested), TEST(test_other_loops),
      TEST(test_not_seen), TEST(test_laws),         cmocka_unit_test(test_allocation_failure),
  };
  return cmocka_run_group_tests_name("cats", tests, NULL, NULL);
}
