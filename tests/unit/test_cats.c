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
      TEST(test_growing),
      TEST(test_nested),
      TEST(test_copies),
      TEST(test_laws),
      cmocka_unit_test(test_allocation_failure),
  };
  return cmocka_run_group_tests_name("cats", tests, NULL, NULL);
}
