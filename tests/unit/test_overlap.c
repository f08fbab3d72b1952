/* Arrays of the caller's that share memory: an output with anything, or a constant with an input, is refused and both
 * are named; what is only read may be shared, and neighbours may touch. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "program/import.h"

enum { POOL = 4096 };
static float pool[POOL];

/* --- through wn_compile ----------------------------------------------------------------------- */

typedef struct place {
  const char *what;
  int x, w, y, z; /* in the pool: x and y have 144 elements, w 16, z 144 */
  bool variable;
  const char *names[2]; /* in the message; NULL: right */
} place;

static const place places[] = {
    {"apart", 0, 200, 300, 500, false, {NULL}},
    {"touching", 0, 144, 160, 304, false, {NULL}},
    {"touching, the other way round", 304, 288, 144, 0, false, {NULL}},
    {"an output is the input",
     0,
     200,
     0,
     500,
     false,
     {"output 0 of shape [1, 4, 6, 6]", "input 0 of"}},
    {"an output ends in the input", 143, 700, 0, 400, false, {"output 0", "input 0 of"}},
    {"an output begins in the input", 0, 700, 143, 400, false, {"output 0", "input 0 of"}},
    {"an output around the weights", 200, 50, 0, 400, false, {"output 0", "constant 0 of"}},
    {"an output in the weights' end", 400, 0, 15, 600, false, {"output 0", "constant 0 of"}},
    {"the second output and the input", 0, 700, 400, 100, false, {"output 1", "input 0 of"}},
    {"the outputs are one", 0, 200, 300, 300, false, {"output 0", "output 1"}},
    {"the outputs share an element", 0, 200, 300, 443, false, {"output 0", "output 1"}},
    {"the same, later first", 0, 200, 443, 300, false, {"output 0", "output 1"}},
    {"a constant is the input's end", 0, 140, 300, 500, false, {"input 0 of", "constant 0 of"}},
    {"the same, all of it variable", 0, 140, 300, 500, true, {NULL}},
};

static void test_places(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
    const place *p = &places[i];
    wn_context *ctx;
    wn_program *program;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 4, 6, 6}, pool + p->x);
    wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){4, 4, 1, 1}, pool + p->w);
    wn_tensor *outs[] = {wn_conv(x, w, NULL), wn_map(WN_NEG, x)};
    void *data[] = {pool + p->y, pool + p->z};
    const wn_options o = WN_OPTIONS(.backend = "interp", .threads = 1, .no_cache = 1,
                                    .variable_weights = p->variable);
    wn_status st = wn_compile(ctx, outs, data, 2, &o, &program);
    const char *said = wn_message(ctx);
    bool right = p->names[0] == NULL ? st == WN_OK
                                     : st == WN_ERR_USAGE && strstr(said, p->names[0]) &&
                                           strstr(said, p->names[1]) && strstr(said, "overlaps");
    if (!right) fail_msg("%s: status %d, \"%s\"", p->what, (int)st, said);
    wn_program_destroy(program);
    wn_context_destroy(ctx);
  }
}

/* One array twice, and parts of one array: both are only read. */
static void test_read_alone(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *program;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *all = wn_input(ctx, WN_F32, 1, (int64_t[]){8}, pool);
  wn_tensor *again = wn_input(ctx, WN_F32, 1, (int64_t[]){8}, pool);
  wn_tensor *shifted = wn_input(ctx, WN_F32, 1, (int64_t[]){8}, pool + 1);
  wn_tensor *y = wn_zip(WN_ADD, wn_zip(WN_ADD, all, again), shifted);
  void *data = pool + 100;
  for (int i = 0; i < 9; ++i) pool[i] = (float)i;
  const wn_options o = WN_OPTIONS(.backend = "interp", .threads = 1, .no_cache = 1);
  assert_int_equal(wn_compile(ctx, &y, &data, 1, &o, &program), WN_OK);
  assert_int_equal(wn_run(program), WN_OK);
  for (int i = 0; i < 8; ++i)
    assert_true(pool[100 + i] > 3 * i + 0.9 && pool[100 + i] < 3 * i + 1.1);
  wn_program_destroy(program);
  /* of the graph, not of the context: what is not read may lie anywhere */
  wn_input(ctx, WN_F32, 1, (int64_t[]){8}, pool + 100);
  assert_int_equal(wn_compile(ctx, &y, &data, 1, &o, &program), WN_OK);
  wn_program_destroy(program);
  wn_context_destroy(ctx);
}

/* --- against each with each ------------------------------------------------------------------- */

enum { ARRAYS = 24 };

typedef struct drawn {
  int begin, len;
  int kind; /* 0 output, 1 input, 2 constant */
} drawn;

static bool clash(const drawn *a, const drawn *b) {
  bool shared = a->begin < b->begin + b->len && b->begin < a->begin + a->len;
  return shared && (a->kind == 0 || b->kind == 0 || a->kind != b->kind);
}

static unsigned draw(unsigned *seed, unsigned below) {
  *seed = *seed * 1664525u + 1013904223u;
  return (*seed >> 8) % below;
}

static wn_status ask(wn_context *ctx, int n, wn_tensor *const *outs, void *const *data) {
  diag d;
  graph g;
  wn_status st;
  diag_init(&d);
  graph_init(&g, &d);
  DIAG_TRY(&d, st) {
    slot_list slots = import_slots(ctx, &g, n, outs, data, false);
    import_check_data(&slots, &g, true);
  }
  DIAG_END(&d, st)
  graph_release(&g);
  return st;
}

/* An output a tensor; the first one reads all inputs and constants. */
static wn_status check(const drawn *all, int count) {
  wn_context *ctx;
  wn_tensor *outs[ARRAYS], *sum = NULL;
  void *data[ARRAYS];
  int n = 0;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  for (int i = 0; i < count; ++i) {
    int64_t len = all[i].len;
    if (all[i].kind == 0) continue;
    wn_tensor *t = all[i].kind == 1 ? wn_input(ctx, WN_F32, 1, &len, pool + all[i].begin)
                                    : wn_constant(ctx, WN_F32, 1, &len, pool + all[i].begin);
    t = wn_reduce(WN_SUM, t, (int[]){0}, 1, 1);
    sum = sum == NULL ? t : wn_zip(WN_ADD, sum, t);
  }
  for (int i = 0; i < count; ++i) {
    int64_t len = all[i].len;
    if (all[i].kind != 0) continue;
    data[n] = pool + all[i].begin;
    outs[n++] = wn_expand(sum != NULL ? sum : wn_scalar(ctx, WN_F32, 1), 1, &len);
  }
  wn_status st = ask(ctx, n, outs, data);
  wn_context_destroy(ctx);
  return st;
}

static void test_random(void **state) {
  (void)state;
  int clashes = 0, rounds = 4000;
  for (int round = 0; round < rounds; ++round) {
    unsigned seed = (unsigned)round;
    drawn all[ARRAYS];
    int count = 2 + (int)draw(&seed, ARRAYS - 2), room = round % 2 ? POOL - 64 : 200;
    bool expected = false;
    for (int i = 0; i < count; ++i) {
      all[i] = (drawn){.begin = (int)draw(&seed, (unsigned)room),
                       .len = 1 + (int)draw(&seed, 24),
                       .kind = i == 0 ? 0 : (int)draw(&seed, 3)};
      for (int j = 0; j < i; ++j) expected |= clash(&all[i], &all[j]);
    }
    clashes += expected;
    if ((check(all, count) != WN_OK) != expected) fail_msg("round %d: not %d", round, expected);
  }
  assert_in_range(clashes, rounds / 10, rounds - rounds / 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_read_alone),
      cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests_name("overlapping arrays", tests, NULL, NULL);
}
