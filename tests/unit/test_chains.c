/* To how many chains sums are dealt out: by registers and lanes, both ends of each limit, and what a plan says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan/chains.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

typedef struct fixture {
  diag d;
  graph g;
} fixture;

static int set_up(void **state) {
  static fixture f;
  diag_init(&f.d);
  graph_init(&f.g, &f.d);
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  graph_release(&f->g);
  return 0;
}

/* The sum, or another reduction, of n numbers; of their squares, or of their products with others. */
typedef enum { PLAIN, SQUARES, PRODUCTS } term_kind;

static const uop *sum_of(graph *g, uop_op op, int64_t n, int64_t stride, term_kind kind) {
  int64_t len = n * stride;
  const uop *r = uop_range(g, n, "r"), *at = uop_muli(g, r, stride), *load[2];
  for (int i = 0; i < 2; ++i)
    load[i] = uop_index(g, uop_buffer(g, i, WN_F32, 1, &len), NULL, 1, &at);
  const uop *term = kind == PLAIN ? load[0] : uop_mul(g, load[0], load[kind == PRODUCTS]);
  return uop_reduce(g, op, term, 1, &r);
}

static void cuts(void **state) {
  fixture *f = *state;
  static const struct {
    uop_op op;
    int64_t n, stride;
    term_kind kind;
    int lanes;
    int64_t asked, chains, terms;
    int in_lanes;
    bool cut;
  } table[] = {
      /* eight turns of 8 chains of 4 terms in a lane; one number less, and it is half of the chains */
      {OP_ADD, 256, 1, PLAIN, 1, 8, 8, 4, 1, true},
      {OP_ADD, 255, 1, PLAIN, 1, 8, 4, 4, 1, true},
      /* a chain first, then terms */
      {OP_ADD, 32, 1, PLAIN, 1, 8, 1, 4, 1, true},
      {OP_ADD, 31, 1, PLAIN, 1, 8, 1, 2, 1, true},
      {OP_ADD, 15, 1, PLAIN, 1, 8, 1, 1, 1, false},
      /* squares go with sums; products are one term at a time */
      {OP_ADD, 256, 1, SQUARES, 1, 8, 8, 4, 1, true},
      {OP_ADD, 64, 1, PRODUCTS, 1, 8, 8, 1, 1, true},
      {OP_ADD, 63, 1, PRODUCTS, 1, 8, 4, 1, 1, true},
      /* lanes: of neighbours, from four vectors on */
      {OP_ADD, 2048, 1, PLAIN, 8, 8, 8, 4, 8, true},
      {OP_ADD, 2047, 1, PLAIN, 8, 8, 4, 4, 8, true},
      {OP_ADD, 32, 1, PRODUCTS, 8, 8, 1, 1, 8, true},
      {OP_ADD, 31, 1, PRODUCTS, 8, 1, 1, 1, 1, false},
      {OP_ADD, 2048, 2, PLAIN, 8, 8, 8, 4, 1, true},
      /* any order is good for the largest; products keep theirs; none asked for, none made */
      {OP_MAX, 256, 1, PLAIN, 1, 8, 8, 4, 1, true},
      {OP_MUL, 4096, 1, PLAIN, 8, 8, 1, 1, 1, false},
      {OP_ADD, 4096, 1, PLAIN, 1, 0, 1, 1, 1, false},
  };
  for (size_t i = 0; i < LEN(table); ++i) {
    const uop *sum = sum_of(&f->g, table[i].op, table[i].n, table[i].stride, table[i].kind);
    sum_cut c = cut_of_sum(&f->g.arena, sum, table[i].lanes, table[i].asked);
    if (c.chains != table[i].chains || c.terms != table[i].terms ||
        (c.range != NULL) != table[i].cut || (c.range != NULL && c.lanes != table[i].in_lanes))
      fail_msg("row %zu: %d chains, %d terms, %d lanes, %s", i, (int)c.chains, (int)c.terms,
               c.lanes, c.range != NULL ? "cut" : "whole");
  }
}

static void chains_of_machines(void **state) {
  (void)state;
  const machine cpu = {.vector_bytes = 32, .registers = 16}, device = {.group = 256};
  const schedule open = {.direct = true}, said = {.direct = true, .chains = 3};
  static const struct {
    register_tile tile;
    int64_t chains;
  } table[] = {{{1, 1, 1}, 8},  {{1, 8, 8}, 8},  {{1, 16, 8}, 4}, {{1, 24, 8}, 2},
               {{1, 64, 8}, 1}, {{2, 32, 8}, 1}, {{5, 8, 8}, 1},  {{4, 32, 8}, 1}};
  for (size_t i = 0; i < LEN(table); ++i) {
    assert_int_equal(chains_of_tile(&open, &cpu, &table[i].tile), table[i].chains);
    assert_int_equal(chains_of_tile(&said, &cpu, &table[i].tile), 3);
    assert_int_equal(chains_of_tile(&said, &device, &table[i].tile), 0);
  }
  static const int64_t shares[][3] = {{8, 1, 8}, {8, 2, 4}, {8, 3, 2}, {8, 4, 2}, {8, 5, 1},
                                      {3, 1, 2}, {1, 1, 1}, {0, 1, 0}, {2, 9, 1}, {8, 0, 1}};
  for (size_t i = 0; i < LEN(shares); ++i)
    assert_int_equal(chains_of_sum(shares[i][0], shares[i][1]), shares[i][2]);
}

/* Is there anything to say? */
static void choices(void **state) {
  fixture *f = *state;
  graph *g = &f->g;
  const machine cpu = {.vector_bytes = 32, .registers = 16}, device = {.group = 256};
  const uop *few = sum_of(g, OP_ADD, 15, 1, PRODUCTS), *some = sum_of(g, OP_ADD, 16, 1, PRODUCTS);
  assert_false(chains_can_be(&g->arena, few, 1, &cpu));
  assert_true(chains_can_be(&g->arena, some, 1, &cpu));
  assert_false(chains_can_be(&g->arena, some, 1, &device));
  assert_true(chains_can_be(&g->arena, uop_add(g, few, some), 1, &cpu));
  assert_false(chains_can_be(&g->arena, sum_of(g, OP_MUL, 4096, 1, PLAIN), 1, &cpu));
  /* five sums have a chain each, however long */
  const uop *five = some;
  for (int i = 0; i < 4; ++i) five = uop_add(g, five, sum_of(g, OP_ADD, 4096, 1, PRODUCTS));
  assert_false(chains_can_be(&g->arena, five, 1, &cpu));
  /* a sum of sums is one chain of them */
  const uop *outer = uop_range(g, 4096, "o");
  assert_false(chains_can_be(&g->arena, uop_reduce(g, OP_ADD, few, 1, &outer), 1, &cpu));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(cuts, set_up, tear_down),
      cmocka_unit_test(chains_of_machines),
      cmocka_unit_test_setup_teardown(choices, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("chains", tests, NULL, NULL);
}
