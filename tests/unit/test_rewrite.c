/* Replacement, substitution and the driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lower/lower.h"
#include "rewrite/rewrite.h"
#include "uop_eval.h"

typedef struct fixture {
  diag d;
  graph g;
  const uop *r[4], *buf;
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  diag_init(&f->d);
  graph_init(&f->g, &f->d);
  const char *names[4] = {"i", "j", "k", "l"};
  for (int k = 0; k < 4; k++) f->r[k] = uop_range(&f->g, 4 + k, names[k]);
  f->buf = uop_buffer(&f->g, 0, WN_F32, 1, (int64_t[]){100});
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  graph_release(&f->g);
  free(f);
  return 0;
}

static const uop *load(fixture *f, const uop *at) { return uop_index(&f->g, f->buf, NULL, 1, &at); }

static const uop *add2(graph *g, const uop *a, const uop *b) { return uop_add(g, a, b); }

static void all_pairs_at_once(void **state) {
  fixture *f = *state;
  const uop *e = add2(&f->g, uop_muli(&f->g, f->r[0], 10), f->r[1]);
  const uop *to[2] = {f->r[1], f->r[0]};
  const uop *v = uop_replace(&f->g, e, 2, f->r, to);
  assert_ptr_equal(v, add2(&f->g, uop_muli(&f->g, f->r[1], 10), f->r[0]));
  assert_ptr_equal(uop_replace(&f->g, e, 1, &f->r[2], to), e);
}

static void bound_ranges_are_not_replaced(void **state) {
  fixture *f = *state;
  const uop *sum = uop_reduce(&f->g, OP_ADD, load(f, add2(&f->g, f->r[0], f->r[1])), 1, &f->r[1]);
  const uop *seven = uop_int(&f->g, 3);
  const uop *from[2] = {f->r[0], f->r[1]}, *to[2] = {seven, seven};
  const uop *v = uop_replace(&f->g, sum, 2, from, to);
  assert_int_equal(v->op, OP_REDUCE);
  assert_ptr_equal(v->src[1], f->r[1]);
  assert_ptr_equal(v->src[0], load(f, add2(&f->g, seven, f->r[1])));
}

static void capture_renames(void **state) {
  fixture *f = *state;
  const uop *sum = uop_reduce(&f->g, OP_ADD, load(f, add2(&f->g, f->r[0], f->r[1])), 1, &f->r[1]);
  const uop *v = uop_replace(&f->g, sum, 1, &f->r[0], &f->r[1]);
  assert_int_equal(v->op, OP_REDUCE);
  assert_ptr_not_equal(v->src[1], f->r[1]);
  assert_string_equal(uop_range_name(&f->g, v->src[1]), "j");
  assert_int_equal(v->src[1]->arg.j, f->r[1]->arg.j);
  assert_true(uop_has_range(v, f->r[1]));
  float data[100];
  for (int k = 0; k < 100; k++) data[k] = (float)(k * k);
  eval e;
  eval_init(&e);
  eval_buffer(&e, 0, data);
  eval_bind(&e, f->r[0], 2);
  double want = eval_uop(&e, sum);
  eval_bind(&e, f->r[1], 2);
  assert_true(eval_uop(&e, v) == want);
  eval_release(&e);
}

static void node_replacement_is_meant_to_be_bound(void **state) {
  fixture *f = *state;
  const uop *x = load(f, f->r[1]), *y = load(f, uop_addi(&f->g, f->r[1], 1));
  const uop *sum = uop_reduce(&f->g, OP_ADD, x, 1, &f->r[1]);
  const uop *v = uop_replace(&f->g, sum, 1, &x, &y);
  assert_ptr_equal(v, uop_reduce(&f->g, OP_ADD, y, 1, &f->r[1]));
}

static void substitutions_compose(void **state) {
  fixture *f = *state;
  /* inner: i := j + 1; outer: j := k. And what only the outer one may see: i := 5 on the result. */
  const uop *inner = uop_substitute(&f->g, load(f, add2(&f->g, f->r[0], f->r[1])), 1,
                                    (const uop *[]){f->r[0], uop_addi(&f->g, f->r[1], 1)});
  const uop *outer = uop_substitute(&f->g, inner, 1, (const uop *[]){f->r[1], f->r[2]});
  const uop *v = uop_resolve(&f->g, outer);
  assert_ptr_equal(v, load(f, add2(&f->g, uop_addi(&f->g, f->r[2], 1), f->r[2])));
  const uop *five = uop_int(&f->g, 5);
  assert_ptr_equal(uop_replace(&f->g, outer, 1, &f->r[0], &five), outer);
  assert_ptr_equal(uop_resolve(&f->g, v), v);
}

static void substitution_selects_from_tuple(void **state) {
  fixture *f = *state;
  const uop *elems[4];
  for (int k = 0; k < 4; k++) elems[k] = load(f, uop_addi(&f->g, f->r[1], k));
  const uop *get = uop_get(&f->g, uop_stack(&f->g, 4, elems), f->r[0]);
  const uop *v = uop_resolve(
      &f->g, uop_substitute(&f->g, get, 1, (const uop *[]){f->r[0], uop_int(&f->g, 2)}));
  assert_ptr_equal(v, elems[2]);
}

/* Equal reductions under different substitutions that do not touch them stay one node. */
static void sharing_survives(void **state) {
  fixture *f = *state;
  const uop *sum = uop_reduce(&f->g, OP_ADD, load(f, f->r[1]), 1, &f->r[1]);
  const uop *e = uop_alu2(&f->g, OP_MUL, sum, load(f, f->r[0]));
  const uop *a = uop_resolve(&f->g, uop_substitute(&f->g, e, 1, (const uop *[]){f->r[0], f->r[1]}));
  const uop *b = uop_resolve(&f->g, uop_substitute(&f->g, e, 1, (const uop *[]){f->r[0], f->r[2]}));
  assert_true(a->src[0] == sum || a->src[1] == sum);
  assert_true(b->src[0] == sum || b->src[1] == sum);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void deep_chains(void **state) {
  fixture *f = *state;
  const uop *x = load(f, f->r[0]), *e = x;
  for (int k = 0; k < 10000; k++) e = uop_new(&f->g, OP_NEG, WN_F32, 1, &e, (uop_arg){0});
  assert_ptr_equal(simplify(&f->g, e), x);
  e = x;
  for (int k = 0; k < 10000; k++) e = uop_alu1(&f->g, OP_SIN, e);
  const uop *v = simplify(&f->g, uop_replace(&f->g, e, 1, &f->r[0], &f->r[1]));
  for (int k = 0; k < 10000; k++) v = v->src[0];
  assert_ptr_equal(v, load(f, f->r[1]));
  e = f->r[0];
  for (int k = 0; k < 10000; k++)
    e = uop_new(&f->g, OP_ADD, WN_I64, 2, (const uop *[]){e, f->r[k % 4]}, (uop_arg){0});
  v = simplify(&f->g, e);
  linear_form form;
  assert_true(linear_of(v, &form));
  assert_int_equal(form.n, 4);
  assert_int_equal(form.coeff[0], 2501);
}

static void a_hundred_thousand_nodes_in_a_second(void **state) {
  fixture *f = *state;
  graph *g = &f->g;
  const uop *sum = uop_const(g, WN_F32, 0);
  int64_t k = 0;
  while (g->count < 100000) { /* reads at (i*W + j + k) / d % e, guarded, summed */
    const uop *at = uop_addi(g, add2(g, uop_muli(g, f->r[0], 7 + k % 5), f->r[1]), k % 91);
    at = uop_modi(g, uop_divi(g, at, 1 + k % 6), 10 + k % 80);
    const uop *ok =
        uop_and(g, uop_lt(g, uop_addi(g, at, k), 60 + k), uop_ge(g, uop_addi(g, at, -k), -k));
    sum = uop_add(g, sum, uop_where(g, ok, load(f, at), uop_const(g, WN_F32, 0)));
    k++;
  }
  double start = seconds();
  const uop *v = simplify(g, sum);
  double took = seconds() - start;
  print_message("%u nodes, %.3f s, %u nodes made\n", 100000u, took, g->count - 100000);
#ifndef __SANITIZE_ADDRESS__
  assert_true(took < 1.0);
#endif
  g->simplifier = NULL; /* or v would be remembered as a normal form */
  assert_ptr_equal(simplify(g, v), v);
}

static void trace_names_rules(void **state) {
  fixture *f = *state;
  const uop *twice = uop_alu1(&f->g, OP_NEG, uop_alu1(&f->g, OP_NEG, load(f, f->r[0])));
  FILE *file = tmpfile();
  assert_non_null(file);
  fflush(stderr);
  int saved = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  setenv("WINNOW_TRACE", "1", 1);
  simplify(&f->g, twice);
  unsetenv("WINNOW_TRACE");
  fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  char text[512];
  rewind(file);
  size_t n = fread(text, 1, sizeof text - 1, file);
  text[n] = 0;
  fclose(file);
  assert_non_null(strstr(text, "rule negate-twice: %"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(all_pairs_at_once, setup, teardown),
      cmocka_unit_test_setup_teardown(bound_ranges_are_not_replaced, setup, teardown),
      cmocka_unit_test_setup_teardown(capture_renames, setup, teardown),
      cmocka_unit_test_setup_teardown(node_replacement_is_meant_to_be_bound, setup, teardown),
      cmocka_unit_test_setup_teardown(substitutions_compose, setup, teardown),
      cmocka_unit_test_setup_teardown(substitution_selects_from_tuple, setup, teardown),
      cmocka_unit_test_setup_teardown(sharing_survives, setup, teardown),
      cmocka_unit_test_setup_teardown(trace_names_rules, setup, teardown),
      cmocka_unit_test_setup_teardown(deep_chains, setup, teardown),
      cmocka_unit_test_setup_teardown(a_hundred_thousand_nodes_in_a_second, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
