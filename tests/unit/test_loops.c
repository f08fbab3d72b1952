/* Which loop of a stored value is in the lanes and which in registers, and how many lanes, on several machines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan/loops.h"

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

/* Rows by columns of x; of [rows, columns, n] the sum over n, or of [n, rows, columns]. */
typedef enum { MAP, TURNED, SUM_LAST, SUM_FIRST } value_kind;

static const uop *value_of(graph *g, value_kind kind, int64_t rows, int64_t columns, int64_t n) {
  const uop *i = uop_range(g, rows, "i"), *k = uop_range(g, columns, "k"),
            *r = uop_range(g, n, "r");
  int64_t len = rows * columns * n;
  const uop *x = uop_buffer(g, 0, WN_F32, 1, &len);
  const uop *flat = uop_add(g, uop_muli(g, i, columns), k);
  if (kind == TURNED) flat = uop_add(g, uop_muli(g, k, rows), i);
  if (kind == SUM_LAST) flat = uop_add(g, uop_muli(g, flat, n), r);
  if (kind == SUM_FIRST) flat = uop_add(g, flat, uop_muli(g, r, rows * columns));
  const uop *value = uop_index(g, x, NULL, 1, &flat);
  if (kind >= SUM_LAST) value = uop_reduce(g, OP_ADD, value, 1, &r);
  const bufferize_info info = {.name = "result0", .space = SPACE_GLOBAL, .site = 0};
  return uop_bufferize(g, value, 2, (const uop *[]){i, k}, info);
}

static const machine sse2 = {.vector_bytes = 16, .registers = 16},
                     avx512 = {.vector_bytes = 64, .registers = 32},
                     device = {.group = 256, .items = 1 << 16};

static void chosen(void **state) {
  fixture *f = *state;
  static const struct {
    value_kind kind;
    int64_t n;
    const machine *m;
    value_loop in_lanes;
    int lane, term_lanes, tile_lanes;
  } table[] = {
      /* columns, which are neighbours in what is stored and read */
      {MAP, 1, &sse2, 2, 1, 1, 4},
      {MAP, 1, &avx512, 2, 1, 1, 16},
      {MAP, 1, &device, 2, 1, 1, 1},
      {SUM_FIRST, 100, &sse2, 2, 1, 1, 4},
      {SUM_FIRST, 100, &avx512, 2, 1, 1, 16},
      /* terms that are neighbours, from four vectors on */
      {SUM_LAST, 16, &sse2, VALUE_LOOP_TERMS, -1, 4, 1},
      {SUM_LAST, 64, &avx512, VALUE_LOOP_TERMS, -1, 16, 1},
  };
  for (size_t i = 0; i < LEN(table); ++i) {
    const schedule open = {.direct = true};
    const uop *b = value_of(&f->g, table[i].kind, 32, 64, table[i].n);
    value_loops l = loops_of_value(&f->g.arena, b, &open, table[i].m);
    if (l.lanes_of != table[i].in_lanes || l.lane != table[i].lane ||
        l.term_lanes != table[i].term_lanes || l.tile.lanes != table[i].tile_lanes)
      fail_msg("row %zu: loop %d, %d in the lanes, %d of terms, %d of the tile", i, (int)l.lanes_of,
               l.lane, l.term_lanes, l.tile.lanes);
    assert_int_equal(l.reduces, table[i].kind >= SUM_LAST);
  }
  /* one term less than four vectors: no lanes of terms */
  const schedule open = {.direct = true};
  static const int64_t few[] = {15, 63};
  static const machine *const of[] = {&sse2, &avx512};
  for (int i = 0; i < 2; ++i) {
    value_loops l =
        loops_of_value(&f->g.arena, value_of(&f->g, SUM_LAST, 32, 64, few[i]), &open, of[i]);
    assert_int_equal(l.term_lanes, 1);
    assert_int_not_equal(l.lanes_of, VALUE_LOOP_TERMS);
  }
}

/* What is said is kept on every CPU, lanes as far as a vector goes. */
static void said(void **state) {
  fixture *f = *state;
  static const machine *const machines[] = {&sse2, &avx512};
  for (int i = 0; i < 2; ++i) {
    for (int lanes = 1; lanes <= 16; lanes *= 2) {
      schedule s = {.direct = true, .lanes = 1, .regs = VALUE_LOOP_NONE, .nlanes = lanes};
      value_loops l =
          loops_of_value(&f->g.arena, value_of(&f->g, SUM_FIRST, 32, 64, 10), &s, machines[i]);
      assert_int_equal(l.lane, 0);
      assert_int_equal(l.reg, -1);
      assert_int_equal(l.tile.lanes, lanes);
      assert_int_equal(l.tile.t % lanes, 0);
      s.lanes = VALUE_LOOP_TERMS;
      l = loops_of_value(&f->g.arena, value_of(&f->g, SUM_LAST, 32, 64, 4 * lanes), &s,
                         machines[i]);
      assert_int_equal(l.term_lanes, lanes);
      l = loops_of_value(&f->g.arena, value_of(&f->g, SUM_LAST, 32, 64, 4 * lanes - 1), &s,
                         machines[i]);
      assert_int_equal(l.term_lanes, 1);
      assert_int_equal(l.lanes_of, VALUE_LOOP_TERMS);
    }
  }
  const schedule wide = {.direct = true, .nlanes = 16}, none = {.direct = true};
  assert_int_equal(lanes_said(&wide, &sse2, WN_F32), 16);
  assert_int_equal(lanes_said(&wide, &sse2, WN_F64), 8);
  assert_int_equal(lanes_said(&wide, &device, WN_F32), 0);
  assert_int_equal(lanes_said(&none, &sse2, WN_F32), 0);
}

static void names_of_loops(void **state) {
  fixture *f = *state;
  const uop *b = value_of(&f->g, MAP, 1, 64, 1);
  static const struct {
    value_loop lanes, regs;
    bool there;
  } table[] = {{2, VALUE_LOOP_NONE, true},
               {1, 0, false}, /* of one iteration */
               {3, 0, false},
               {2, 2, false},
               {VALUE_LOOP_TERMS, 2, true},
               {0, 0, true}};
  for (size_t i = 0; i < LEN(table); ++i) {
    schedule s = {.direct = true, .lanes = table[i].lanes, .regs = table[i].regs};
    if (loops_are_there(b, &s) != table[i].there) fail_msg("row %zu", i);
  }
}

/* --- maps that store otherwise than they read ------------------------------------------------- */

/* Depth to space, blocks of 2x2: [c][h][2][w][2] of x[4 * c][h][w], by or with parameters of each channel. Along w is x
 * read and j is what is stored in a row. */
static const uop *depth_to_space(graph *g, int64_t c, int64_t h, int64_t w, int parameters) {
  const uop *loop[] = {uop_range(g, c, "c"), uop_range(g, h, "h"), uop_range(g, 2, "i"),
                       uop_range(g, w, "w"), uop_range(g, 2, "j")};
  int64_t len = 4 * c * h * w;
  const uop *depth =
      uop_add(g, uop_add(g, uop_muli(g, loop[0], 4), uop_muli(g, loop[2], 2)), loop[4]);
  const uop *flat = uop_add(g, uop_muli(g, uop_add(g, uop_muli(g, depth, h), loop[1]), w), loop[3]);
  const uop *value = uop_index(g, uop_buffer(g, 0, WN_F32, 1, &len), NULL, 1, &flat);
  for (int i = 0; i < parameters; ++i)
    value = uop_mul(g, value, uop_index(g, uop_buffer(g, 1 + i, WN_F32, 1, &c), NULL, 1, loop));
  const bufferize_info info = {.name = "result0", .space = SPACE_GLOBAL, .site = 0};
  return uop_bufferize(g, value, 5, loop, info);
}

static void lanes_of_maps(void **state) {
  fixture *f = *state;
  const schedule open = {.direct = true};
  static const machine *const machines[] = {&sse2, &avx512};
  for (int m = 0; m < 2; ++m) {
    for (int parameters = 0; parameters <= 4; ++parameters) {
      const uop *b = depth_to_space(&f->g, 16, 24, 32, parameters);
      value_loops l = loops_of_value(&f->g.arena, b, &open, machines[m]);
      if (l.lane != 3 || l.lanes_of != 4)
        fail_msg("%d parameters: loop %d is in the lanes", parameters, l.lane);
      assert_int_equal(l.tile.lanes, machines[m]->vector_bytes / 4);
      assert_false(l.reduces);
    }
  }
}

/* --- matrices times vectors ------------------------------------------------------------------- */

/* y[k] of m[k][n] * x[n], or of m[n][k], with a bias or without. */
static const uop *matrix_vector(graph *g, int64_t rows, int64_t n, bool turned, bool biased) {
  const uop *k = uop_range(g, rows, "k"), *r = uop_range(g, n, "r");
  int64_t len = rows * n;
  const uop *flat = turned ? uop_add(g, uop_muli(g, r, rows), k) : uop_add(g, uop_muli(g, k, n), r);
  const uop *matrix = uop_index(g, uop_buffer(g, 0, WN_F32, 1, &len), NULL, 1, &flat),
            *x = uop_index(g, uop_buffer(g, 1, WN_F32, 1, &n), NULL, 1, &r);
  const uop *value = uop_reduce(g, OP_ADD, uop_mul(g, matrix, x), 1, &r);
  if (biased)
    value = uop_add(g, value, uop_index(g, uop_buffer(g, 2, WN_F32, 1, &rows), NULL, 1, &k));
  const bufferize_info info = {.name = "result0", .space = SPACE_GLOBAL, .site = 0};
  return uop_bufferize(g, value, 1, &k, info);
}

/* A bias is read once a sum: neighbours of it are no reason against lanes of terms. */
static void lanes_of_terms(void **state) {
  fixture *f = *state;
  const schedule open = {.direct = true};
  static const machine *const machines[] = {&sse2, &avx512};
  for (int m = 0; m < 2; ++m) {
    const int lanes = machines[m]->vector_bytes / 4;
    for (int biased = 0; biased < 2; ++biased) {
      const uop *b = matrix_vector(&f->g, 100, 128, false, biased);
      value_loops l = loops_of_value(&f->g.arena, b, &open, machines[m]);
      assert_int_equal(l.term_lanes, lanes);
      assert_int_equal(l.lanes_of, VALUE_LOOP_TERMS);
      assert_int_equal(l.lane, -1);
      /* where rows of the matrix are neighbours, they are the lanes */
      b = matrix_vector(&f->g, 100, 128, true, biased);
      l = loops_of_value(&f->g.arena, b, &open, machines[m]);
      assert_int_equal(l.term_lanes, 1);
      assert_int_equal(l.lane, 0);
    }
  }
}

/* Rows by columns by channels: of windows of 3 x 3 of [row][column][channel], weights by channel first. */
static const uop *windows(graph *g, int64_t rows, int64_t columns, int64_t channels) {
  const uop *y = uop_range(g, rows, "y"), *x = uop_range(g, columns, "x"),
            *c = uop_range(g, channels, "c"), *r = uop_range(g, 3, "r"), *s = uop_range(g, 3, "s");
  int64_t len = (rows + 2) * (columns + 2) * channels, nweights = 9 * channels;
  const uop *at = uop_add(g, uop_muli(g, uop_add(g, y, r), columns + 2), uop_add(g, x, s));
  const uop *image = uop_add(g, uop_muli(g, at, channels), c);
  const uop *tap = uop_add(g, uop_muli(g, c, 9), uop_add(g, uop_muli(g, r, 3), s));
  const uop *a = uop_index(g, uop_buffer(g, 0, WN_F32, 1, &len), NULL, 1, &image);
  const uop *w = uop_index(g, uop_buffer(g, 1, WN_F32, 1, &nweights), NULL, 1, &tap);
  const uop *sum = uop_reduce(g, OP_ADD, uop_alu2(g, OP_MUL, a, w), 2, (const uop *[]){r, s});
  const bufferize_info info = {.name = "result0", .space = SPACE_GLOBAL, .site = 0};
  return uop_bufferize(g, sum, 3, (const uop *[]){y, x, c}, info);
}

/* Channels in the lanes, pixels of a row in registers: as many as leave room for what slides past, of a row's length
 * if that can be. */
static void windows_slide(void **state) {
  fixture *f = *state;
  const schedule open = {.direct = true};
  static const struct {
    int64_t columns, pixels;
  } table[] = {{56, 7}, {14, 7}, {7, 7}, {12, 6}, {3, 3}};
  for (size_t i = 0; i < LEN(table); ++i) {
    const uop *b = windows(&f->g, 40, table[i].columns, 64);
    value_loops l = loops_of_value(&f->g.arena, b, &open, &sse2);
    assert_int_equal(l.lane, 2);
    assert_int_equal(l.reg, 1);
    assert_int_equal(l.tile.lanes, 4);
    assert_int_equal(l.tile.t, 4);
    if (l.tile.k != table[i].pixels)
      fail_msg("%d of %d pixels", (int)l.tile.k, (int)table[i].columns);
    assert_true(2 * l.tile.k + 2 <= sse2.registers);
  }
}

/* What reads along one loop and writes along the other takes lines of both, and is said so that it is had again. */
static void maps_turn(void **state) {
  fixture *f = *state;
  const schedule open = {.direct = true};
  const uop *b = value_of(&f->g, TURNED, 64, 49, 1);
  value_loops l = loops_of_value(&f->g.arena, b, &open, &sse2);
  assert_int_equal(l.lane, 0);
  assert_int_equal(l.reg, 1);
  assert_int_equal(l.tline, 16);
  assert_int_equal(l.kline, 8); /* 56 elements are computed for 49, and of lines 64 would be */
  const schedule said = {.direct = true, .lanes = l.lanes_of, .regs = 2, .nlanes = l.tile.lanes};
  value_loops again = loops_of_value(&f->g.arena, b, &said, &avx512);
  assert_int_equal(again.lane, 0);
  assert_int_equal(again.reg, 1);
  assert_int_equal(again.tile.lanes, 4);
  assert_int_equal(again.kline, 8);
  const schedule none = {.direct = true, .lanes = l.lanes_of, .regs = VALUE_LOOP_NONE};
  assert_int_equal(loops_of_value(&f->g.arena, b, &none, &sse2).reg, -1);
  assert_int_equal(loops_of_value(&f->g.arena, b, &open, &device).reg, -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(chosen, set_up, tear_down),
      cmocka_unit_test_setup_teardown(said, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_of_loops, set_up, tear_down),
      cmocka_unit_test_setup_teardown(lanes_of_maps, set_up, tear_down),
      cmocka_unit_test_setup_teardown(lanes_of_terms, set_up, tear_down),
      cmocka_unit_test_setup_teardown(windows_slide, set_up, tear_down),
      cmocka_unit_test_setup_teardown(maps_turn, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("loops", tests, NULL, NULL);
}
