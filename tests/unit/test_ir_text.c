/* The printed form of the IR: it parses back to the same graph; what it cannot mean is an error
 * with line and column; the verifier names the law that a graph breaks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ir/ir_text.h"

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
  graph_release(&((fixture *)*state)->g);
  return 0;
}

static const char *print(graph *g, const uop *root) {
  str out;
  str_init(&out, &g->arena);
  ir_print(g, &out, 1, &root);
  return str_text(&out);
}

/* NULL where it does not parse; then the message is in the graph's diag. */
static const uop *parse(graph *g, const char *text) {
  const uop *volatile root = NULL;
  volatile wn_status st;
  DIAG_TRY(g->diag, st) { root = ir_parse(g, text); }
  DIAG_END(g->diag, st)
  if (st != WN_OK) assert_int_equal(st, WN_ERR_USAGE);
  return st == WN_OK ? root : NULL;
}

static const uop *must_parse(graph *g, const char *text) {
  const uop *root = parse(g, text);
  if (root == NULL) fail_msg("%s\n%s", g->diag->message, text);
  return root;
}

/* The same node in its own graph, the same text in a fresh one. */
static void round_trip(fixture *f, const uop *root) {
  const char *text = print(&f->g, root);
  int64_t next = f->g.next_range;
  assert_ptr_equal(must_parse(&f->g, text), root);
  assert_int_equal(f->g.next_range, next);
  graph other;
  graph_init(&other, &f->d);
  assert_string_equal(print(&other, must_parse(&other, text)), text);
  graph_release(&other);
}

/* --- round trips --- */

static const char convolution[] =
    "%0 = BUFFER f32 0 [1, 16, 32, 32]\n"
    "%1 = RANGE i64 7 30 \"x\"\n"
    "%2 = CONST i64 31\n"
    "%3 = LT bool %1 %2\n"
    "%4 = RANGE i64 3 16 \"c\"\n"
    "%5 = CONST i64 32\n"
    "%6 = MUL i64 %4 %5\n"
    "%7 = ADD i64 %6 %1\n"
    "%8 = INDEX f32 %0 %3 %7\n"
    "%9 = CONST f32 0.1\n"
    "%10 = MUL f32 %8 %9\n"
    "%11 = REDUCE f32 ADD %10 %4\n"
    "%12 = BUFFERIZE f32 \"x\" local explicit site 2 stage x %11 %1\n"
    "%13 = CONST bool 1\n"
    "%14 = RANGE i64 9 30\n"
    "%15 = INDEX f32 %12 %13 %14\n"
    "%16 = CONST f32 -inf\n"
    "%17 = STACK f32 %15 %16\n"
    "%18 = RANGE i64 10 2\n"
    "%19 = GET f32 %17 %18\n"
    "%20 = BUFFERIZE f32 \"result0\" global explicit stride [7, 2] %19 %14 %18\n"
    "%21 = SINK void %20\n"
    "return %21\n";

static void a_program_round_trips(void **state) {
  fixture *f = *state;
  const uop *root = must_parse(&f->g, convolution);
  assert_string_equal(print(&f->g, root), convolution);
  assert_null(ir_verify(&f->g, root, UOP_EXPR));
  assert_int_equal(f->g.next_range, 11);
  const uop *x = root->src[0]->src[0]->src[0]->src[0]->src[0];
  assert_int_equal(x->op, OP_BUFFERIZE);
  assert_string_equal(x->arg.info->name, "x");
  assert_int_equal(x->arg.info->space, SPACE_LOCAL);
  assert_int_equal(x->arg.info->site, 2);
  assert_int_equal(x->arg.info->stage, STAGE_X);
  assert_true(x->arg.info->explicit_);
  assert_true(x->src[0]->src[0]->src[1]->arg.f == (double)0.1f);
  assert_string_equal(uop_range_name(&f->g, x->src[1]), "x");
}

static void movement_round_trips(void **state) {
  fixture *f = *state;
  const char *text =
      "%0 = BUFFER f64 2 [4, 6]\n"
      "%1 = RESHAPE f64 [2, 2, 6] %0\n"
      "%2 = PERMUTE f64 [2, 0, 1] %1\n"
      "%3 = PAD f64 [0, 1, 2, 0, 0, 0] %2\n"
      "%4 = SHRINK f64 [0, 5, 1, 3, 0, 2] %3\n"
      "%5 = FLIP f64 [0, 1, 0] %4\n"
      "%6 = STRIDE f64 [2, 1, 1] %5\n"
      "%7 = REDUCE_AXIS f64 MAX [0] %6\n"
      "%8 = EXPAND f64 [7, 2, 2] %7\n"
      "return %8\n";
  const uop *root = must_parse(&f->g, text);
  assert_string_equal(print(&f->g, root), text);
  assert_null(ir_verify(&f->g, root, UOP_TENSOR));
  assert_int_equal(root->src[0]->arg.list->at[0], OP_MAX);
}

static void constants_round_trip(void **state) {
  fixture *f = *state;
  static const double values[] = {0,       -0.0,     1,     0.1,      -1.0 / 3,
                                  1e300,   5e-324,   1e-40, INFINITY, -INFINITY,
                                  65504.0, 16777217, NAN,   0x1p-149, 3.4028234663852886e38};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    for (int dtype = 0; dtype < WN_I32; dtype++)
      round_trip(f, uop_const(&f->g, (wn_dtype)dtype, values[i]));
  }
  round_trip(f, uop_int(&f->g, INT64_MIN));
  round_trip(f, uop_int(&f->g, INT64_MAX));
  round_trip(f, uop_bool(&f->g, false));
  assert_string_equal(print(&f->g, uop_const(&f->g, WN_F32, 0.1)),
                      "%0 = CONST f32 0.1\nreturn %0\n");
  assert_true(signbit(must_parse(&f->g, "%0 = CONST f64 -0\nreturn %0")->arg.f));
}

static void odd_names_round_trip(void **state) {
  fixture *f = *state;
  const uop *r = uop_range(&f->g, 5, "a \"b\" \\ \n%");
  round_trip(f, uop_bufferize(&f->g, r, 1, &r, (bufferize_info){.name = "\\n", .site = -1}));
}

static uint64_t seed;

static unsigned below(unsigned n) { /* splitmix64 */
  uint64_t z = (seed += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (unsigned)((z ^ (z >> 31)) % n);
}

static void random_graphs_round_trip(void **state) {
  fixture *f = *state;
  graph *g = &f->g;
  static const uop_op ops[] = {OP_ADD, OP_MUL, OP_MAX, OP_MIN, OP_SUB};
  for (int round = 0; round < 50; round++) {
    const uop *range[4], *node[64];
    int n = 0;
    for (int i = 0; i < 4; i++)
      node[n++] = range[i] = uop_range(g, 2 + below(9), below(2) ? "k" : NULL);
    while (n < 60) {
      const uop *a = node[below((unsigned)n)], *b = node[below((unsigned)n)];
      switch (below(4)) {
        case 0:
          node[n++] = uop_reduce(g, OP_ADD, a, 1, &range[below(4)]);
          break;
        case 1:
          node[n++] = uop_substitute(g, a, 1, (const uop *[]){range[below(4)], b});
          break;
        case 2:
          node[n++] = uop_where(g, uop_lt(g, a, 3), a, b);
          break;
        default:
          node[n++] = uop_alu2(g, ops[below(5)], a, b);
      }
    }
    round_trip(f, node[59]);
  }
}

static void several_roots_become_a_sink(void **state) {
  fixture *f = *state;
  const uop *root = must_parse(&f->g, "\n%0 = CONST i64 1\n\n%1 = CONST i64 2\nreturn %0 %1 \n\n");
  assert_int_equal(root->op, OP_SINK);
  assert_int_equal(root->nsrc, 2);
  str out;
  str_init(&out, &f->g.arena);
  ir_print(&f->g, &out, 2, root->src);
  assert_ptr_equal(must_parse(&f->g, str_text(&out)), root);
}

static void long_chains_need_no_stack(void **state) {
  fixture *f = *state;
  const uop *u = uop_range(&f->g, 4, "r");
  for (int i = 0; i < 20000; i++) {
    u = uop_new(&f->g, OP_ADD, WN_I64, 2, (const uop *[]){u, uop_int(&f->g, i % 7)}, (uop_arg){0});
  }
  round_trip(f, u);
  assert_null(ir_verify(&f->g, u, UOP_EXPR));
}

/* --- errors --- */

static void malformed_text_is_an_error(void **state) {
  fixture *f = *state;
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"", "line 1, column 1: expected 'return'"},
      {"return\n", "line 1, column 7: expected a root"},
      {"return %0\n", "line 1, column 8: no line above has this number"},
      {"%0 = CONST i64 1\n", "line 2, column 1: expected 'return'"},
      {"%1 = CONST i64 1\n", "line 1, column 1: expected %0, the next number"},
      {"%0 = CONST i64\n", "line 1, column 15: expected an integer"},
      {"%0 = CONST i64 9223372036854775808\n",
       "line 1, column 16: an integer of more than 64 bits"},
      {"%0 = CONST f32 1e\n", "expected a number"},
      {"%0 = CONST f32 0x1p3\n", "expected a number"},
      {"%0 = CONST bool 2\n", "a bool is 0 or 1"},
      {"%0 = CONST i32 2147483648\n", "an i32 does not fit"},
      {"%0 = CONST void 2\n", "a value needs a dtype"},
      {"%0 = CONTS i64 1\n", "line 1, column 6: expected the name of an op"},
      {"%0 = CONST i65 1\n", "line 1, column 12: expected a dtype"},
      {"%0 = CONST i64 1 x\n", "line 1, column 18: expected '%'"},
      {"%0 = CONST i64 1 %0\n", "no line above has this number"},
      {"%0 = RANGE i64 -1 4\n", "out of bounds"},
      {"%0 = RANGE i64 1 0\n", "at least 1"},
      {"%0 = RANGE i64 9223372036854775807 4\n", "out of bounds"},
      {"%0 = RANGE i32 1 4\n", "the result is i32, not i64"},
      {"%0 = RANGE i64 1 4 \"c\n", "expected '\"'"},
      {"%0 = RANGE i64 1 4 \"\\x\"\n", "expected n, \" or \\"},
      {"%0 = BUFFER f32 0 [1, 2\n", "expected ']'"},
      {"%0 = BUFFER f32 0 [1, 0]\n", "extents are at least 1"},
      {"%0 = CONST i64 1\n%1 = ADD i64 %0\n", "line 2, column 6: ADD with 1 sources"},
      {"%0 = CONST i64 1\n%1 = ADD i64 %0 %0 %0\n", "ADD with 3 sources"},
      {"%0 = CONST i64 1\n%1 = ADD i32 %0 %0\n", "line 2, column 6: the result is i32, not i64"},
      {"%0 = CONST i64 1\n%1 = CONST f32 1\n%2 = ADD i64 %0 %1\n", "source 1 is f32, not i64"},
      {"%0 = CONST i64 1\n%1 = SQRT i64 %0\n", "not of a floating-point type"},
      {"%0 = CONST f32 1\n%1 = MOD f32 %0 %0\n", "not of an integer type"},
      {"%0 = CONST i64 1\n%1 = NOT i64 %0\n", "not of bool"},
      {"%0 = CONST f32 1\n%1 = REDUCE f32 ADD %0 %0\n", "source 1 of REDUCE is no RANGE"},
      {"%0 = CONST f32 1\n%1 = RANGE i64 0 4\n%2 = REDUCE f32 SUB %0 %1\n",
       "that op is no reduction"},
      {"%0 = CONST f32 1\n%1 = RANGE i64 0 4\n%2 = REDUCE f32 ADD %0 %1 %1\n",
       "RANGE r0 is bound twice"},
      {"%0 = CONST f32 1\n%1 = BUFFERIZE f32 \"x\" far %0\n",
       "line 2, column 24: expected a space"},
      {"%0 = CONST f32 1\n%1 = BUFFERIZE f32 \"x\" reg site 1 stage y %0\n",
       "expected a stage (x, g, m, o)"},
      {"%0 = CONST f32 1\n%1 = BUFFERIZE f32 \"x\" reg site -1 %0\n",
       "the number of a site is out of bounds"},
      {"%0 = CONST f32 1\n%1 = RANGE i64 0 4\n%2 = BUFFERIZE f32 \"x\" any stride [2, 1] %0 %1\n",
       "there is not a stride for each RANGE"},
      {"%0 = CONST f32 1\n%1 = RANGE i64 0 4\n%2 = BUFFERIZE f32 \"x\" any stride [0] %0 %1\n",
       "a stride is within what it steps over"},
      {"%0 = CONST f32 1\n%1 = RANGE i64 0 4\n%2 = RANGE i64 1 3\n"
       "%3 = BUFFERIZE f32 \"x\" any stride [6, 3] %0 %1 %2\n",
       "a stride is within what it steps over"},
      {"%0 = CONST f32 1\n%1 = RANGE i64 0 4\n"
       "%2 = BUFFERIZE f32 \"x\" any stride [4611686018427387904] %0 %1\n",
       "a stride steps too far"},
      {"%0 = CONST f32 1\n%1 = CONST bool 1\n%2 = INDEX f32 %0 %1 %0\n", "CONST cannot be indexed"},
      {"%0 = BUFFER f32 0 [4]\n%1 = CONST i64 1\n%2 = INDEX f32 %0 %1 %1\n",
       "the condition is not bool"},
      {"%0 = BUFFER f32 0 [4]\n%1 = CONST bool 1\n%2 = INDEX f32 %0 %1 %1\n",
       "source 2 is bool, not i64"},
      {"%0 = BUFFER f32 0 [4]\n%1 = CONST bool 1\n%2 = CONST i64 1\n%3 = INDEX f32 %0 %1 %2 %2\n",
       "2 indices where 1 belong"},
      {"%0 = CONST f32 1\n%1 = STACK f32 %0\n%2 = CONST i64 1\n%3 = GET f32 %1 %2\n",
       "element 1 of 1"},
      {"%0 = CONST f32 1\n%1 = CONST i64 1\n%2 = GET f32 %0 %1\n", "GET of a CONST"},
      {"%0 = BUFFER f32 0 [4]\n%1 = PERMUTE f32 [1] %0\n", "an axis is outside"},
      {"%0 = BUFFER f32 0 [4]\n%1 = SHRINK f32 [2, 2] %0\n", "a part is empty"},
      {"%0 = BUFFER f32 0 [4]\n%1 = REDUCE_AXIS f32 SUB [0] %0\n", "starts with no reduction"},
      {"%0 = CONST i64 1\nreturn %0\n%1 = CONST i64 1\n",
       "line 3, column 1: expected the end of the text"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (parse(&f->g, cases[i].text) != NULL) fail_msg("parses:\n%s", cases[i].text);
    if (strstr(f->d.message, cases[i].message) == NULL ||
        strncmp(f->d.message, "IR text, line ", 14) != 0) {
      fail_msg("'%s' lacks '%s'", f->d.message, cases[i].message);
    }
  }
}

static void broken_laws_are_named(void **state) {
  fixture *f = *state;
  static const struct {
    unsigned level;
    const char *text, *message;
  } cases[] = {
      {UOP_EXPR, "%0 = BUFFER f32 0 [4]\n%1 = FLIP f32 [1] %0\nreturn %1",
       "%1 FLIP: does not belong to the range level"},
      {UOP_TENSOR, "%0 = RANGE i64 0 4\nreturn %0",
       "%0 RANGE: does not belong to the tensor level"},
      {UOP_EXPR, "%0 = GRID i64\nreturn %0", "does not belong"},
      {UOP_EXPR, "%0 = RANGE i64 0 4\n%1 = RANGE i64 0 5\n%2 = ADD i64 %0 %1\nreturn %2",
       "RANGE number 0 has extents 4 and 5"},
      {UOP_EXPR,
       "%0 = RANGE i64 0 4 \"c\"\n%1 = REDUCE i64 ADD %0 %0\n%2 = ADD i64 %1 %0\nreturn %2",
       "%1 REDUCE: binds RANGE c, which is used outside"},
      {UOP_EXPR, "%0 = RANGE i64 0 4 \"c\"\n%1 = SINK void %0\nreturn %1",
       "RANGE number 0 (c) is bound by nothing"},
      {UOP_EXPR, "%0 = CONST f32 1\n%1 = STACK f32 %0\n%2 = NEG f32 %1\nreturn %2",
       "%2 NEG: uses a STACK"},
      {UOP_EXPR, "%0 = CONST f32 1\n%1 = SINK void %0\n%2 = SINK void %1\nreturn %2",
       "a SINK is only a root"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *why = ir_verify(&f->g, must_parse(&f->g, cases[i].text), cases[i].level);
    if (why == NULL || strstr(why, cases[i].message) == NULL) {
      fail_msg("'%s' lacks '%s'", why != NULL ? why : "no error", cases[i].message);
    }
  }
}

/* Built, not parsed, so that the rows are checked by the verifier too. */
static void broken_nodes_are_found(void **state) {
  fixture *f = *state;
  const uop *one = uop_int(&f->g, 1), *half = uop_const(&f->g, WN_F32, 0.5);
  const uop *mixed = uop_new(&f->g, OP_ADD, WN_I64, 2, (const uop *[]){one, half}, (uop_arg){0});
  const char *why = ir_verify(&f->g, mixed, UOP_EXPR);
  assert_non_null(why);
  assert_string_equal(why, "%2 ADD: source 1 is f32, not i64");
}

int main(void) {
  const char *given = getenv("WINNOW_SEED");
  seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
  printf("seed %llu\n", (unsigned long long)seed);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_program_round_trips),     TEST(movement_round_trips),
      TEST(constants_round_trip),      TEST(odd_names_round_trip),
      TEST(random_graphs_round_trip),  TEST(several_roots_become_a_sink),
      TEST(long_chains_need_no_stack), TEST(malformed_text_is_an_error),
      TEST(broken_laws_are_named),     TEST(broken_nodes_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
