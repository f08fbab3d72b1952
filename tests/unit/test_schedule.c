/* Schedules as text: what parses prints back to itself, what is equal prints equally, and every
 * mistake is WN_ERR_USAGE with the column and what was expected there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "unit/arena_fixture.h"
#include "unit/random_schedule.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

/* Status of parsing; the value is in *s where it is WN_OK. */
static wn_status parse(fixture *f, const char *text, schedule *s) {
  volatile wn_status st;
  volatile bool is_schedule = false;
  DIAG_TRY(&f->d, st) { is_schedule = schedule_parse(&f->d, text, s); }
  DIAG_END(&f->d, st)
  if (st == WN_OK) assert_int_equal(is_schedule, strcmp(text, "auto") != 0);
  return st;
}

static void parse_ok(fixture *f, const char *text, schedule *s) {
  if (parse(f, text, s) != WN_OK) fail_msg("\"%s\": %s", text, f->d.message);
}

static const char *print(fixture *f, const schedule *s) {
  str out;
  str_init(&out, &f->a);
  schedule_print(&out, s);
  return str_text(&out);
}

static void assert_same(fixture *f, const schedule *a, const schedule *b) {
  assert_true(schedule_equal(a, b));
  assert_true(schedule_equal(b, a));
  assert_true(schedule_hash(a) == schedule_hash(b));
  assert_string_equal(print(f, a), print(f, b));
}

/* --- what means what -------------------------------------------------------------------------- */

static void test_values(void **state) {
  fixture *f = *state;
  schedule s;
  parse_ok(f, "x=local@t0,g=global,m=reg@k1,o=inline;t=48.16,k=12,c=64;wino=4x6", &s);
  assert_false(s.direct);
  assert_int_equal(s.stage[STAGE_X].space, SPACE_LOCAL);
  assert_int_equal(s.stage[STAGE_X].at.letter, 't');
  assert_int_equal(s.stage[STAGE_X].at.part, 0);
  assert_int_equal(s.stage[STAGE_G].space, SPACE_GLOBAL);
  assert_int_equal(s.stage[STAGE_G].at.letter, 0);
  assert_int_equal(s.stage[STAGE_M].space, SPACE_REG);
  assert_int_equal(s.stage[STAGE_M].at.part, 1);
  assert_int_equal(s.stage[STAGE_O].space, SPACE_INLINE);
  assert_int_equal(s.t[0], 48);
  assert_int_equal(s.t[1], 16);
  assert_int_equal(s.k[0], 12);
  assert_int_equal(s.c[0], 64);
  assert_int_equal(s.nm, 2);
  assert_int_equal(s.m[0], 4);
  assert_int_equal(s.m[1], 6);
  assert_int_equal(s.chunk, 0);
  assert_false(s.joint);
  parse_ok(f, "m=global(f:g k0:g t0 k1:u t1:v),x=inline,o=global,g=inline;chunk=256;launch=joint",
           &s);
  assert_int_equal(s.v, 0);
  const stage_plan *m = &s.stage[STAGE_M];
  assert_int_equal(m->nloops, 5);
  static const axis_kind kinds[] = {AXIS_GRID, AXIS_GRID, AXIS_LOOP, AXIS_UNROLL, AXIS_VECTOR};
  for (int i = 0; i < 5; ++i) assert_int_equal(m->loop[i].kind, kinds[i]);
  assert_int_equal(m->loop[0].name.letter, 'f');
  assert_int_equal(m->loop[0].name.part, -1);
  assert_int_equal(m->loop[3].name.part, 1);
  assert_int_equal(s.chunk, 256);
  assert_true(s.joint);
  parse_ok(f, "direct;t=32,k=4", &s);
  assert_true(s.direct);
  assert_int_equal(s.t[0], 32);
}

/* The order in which things are said makes no difference, nor does saying that a loop is a loop. */
static void test_canonical(void **state) {
  fixture *f = *state;
  static const char *const pairs[][2] = {
      {"x=global,g=global,m=inline,o=global", "o=global,m=inline,g=global,x=global"},
      {"x=reg,g=local,m=inline,o=global;t=4;k=2", "x=reg,g=local,m=inline,o=global;k=2,t=4"},
      {"x=local,g=local,m=local(t0:l k0:l),o=local;wino=2",
       "m=local( t0  k0 ),x=local,o=local,g=local;wino=2"},
      {"direct;k=4;t=8", "direct;t=8,k=4"},
  };
  for (size_t i = 0; i < LEN(pairs); ++i) {
    schedule a, b;
    parse_ok(f, pairs[i][0], &a);
    parse_ok(f, pairs[i][1], &b);
    assert_same(f, &a, &b);
  }
}

static void test_differences(void **state) {
  fixture *f = *state;
  static const char *const all[] = {
      "direct",
      "direct;t=8",
      "direct;k=8",
      "direct;c=8",
      "direct;t=8.4",
      "direct;t=8.2",
      "direct;chunk=8",
      "x=global,g=global,m=global,o=global",
      "x=inline,g=global,m=global,o=global",
      "x=reg,g=global,m=global,o=global",
      "x=local,g=global,m=global,o=global",
      "x=global,g=inline,m=global,o=global",
      "x=global,g=global,m=inline,o=global",
      "x=global,g=global,m=global,o=inline",
      "x=global@t0,g=global,m=global,o=global",
      "x=global@t1,g=global,m=global,o=global",
      "x=global@t,g=global,m=global,o=global",
      "x=global@k,g=global,m=global,o=global",
      "x=global(t),g=global,m=global,o=global",
      "x=global(t:g),g=global,m=global,o=global",
      "x=global(t:g k),g=global,m=global,o=global",
      "x=global(k t:g),g=global,m=global,o=global",
      "x=global,g=global,m=global,o=global;wino=4",
      "x=global,g=global,m=global,o=global;wino=4x4",
      "x=global,g=global,m=global,o=global;wino=4x2",
      "x=global,g=global,m=global,o=global;chunk=64",
      "x=global,g=global,m=global,o=global;launch=joint",
  };
  for (size_t i = 0; i < LEN(all); ++i) {
    for (size_t j = 0; j < i; ++j) {
      schedule a, b;
      parse_ok(f, all[i], &a);
      parse_ok(f, all[j], &b);
      if (schedule_equal(&a, &b) || schedule_hash(&a) == schedule_hash(&b) ||
          strcmp(print(f, &a), print(f, &b)) == 0) {
        fail_msg("%s is taken for %s", all[i], all[j]);
      }
    }
  }
}

/* --- named plans ------------------------------------------------------------------------------ */

static void test_names(void **state) {
  fixture *f = *state;
  static const char *const expected[] = {"direct", "old",    "old-2k", "new",   "inline-m", "one",
                                         "x-only", "g-only", "fused",  "split", "auto"};
  for (size_t i = 0; i < LEN(expected); ++i) {
    assert_non_null(schedule_plan_names[i]);
    assert_string_equal(schedule_plan_names[i], expected[i]);
  }
  assert_null(schedule_plan_names[LEN(expected)]);
  for (int i = 0; schedule_plan_names[i] != NULL; ++i) {
    schedule named, spelled;
    parse_ok(f, schedule_plan_names[i], &named);
    if (strcmp(schedule_plan_names[i], "auto") == 0) continue;
    const char *text = print(f, &named);
    parse_ok(f, text, &spelled);
    assert_same(f, &named, &spelled);
  }
}

/* design: name, placements in the order x g m o; I inline, R reg, L local, G global. */
static void test_placements(void **state) {
  fixture *f = *state;
  static const char *const table[][2] = {
      {"old", "GGGG"},      {"old-2k", "GGGG"}, {"new", "IIGG"},
      {"inline-m", "GGIG"}, {"one", "IIRG"},    {"x-only", "IGGG"},
      {"g-only", "GIGG"},   {"split", "GGGG"},  {"fused", "LGLG"},
  };
  for (size_t i = 0; i < LEN(table); ++i) {
    schedule s;
    parse_ok(f, table[i][0], &s);
    assert_false(s.direct);
    for (int j = 0; j < STAGE_COUNT; ++j) {
      char letter = "?IRLG"[s.stage[j].space];
      bool either = strcmp(table[i][0], "fused") == 0 && j == STAGE_M && letter == 'R';
      if (letter != table[i][1][j] && !either)
        fail_msg("%s: stage %d is %c", table[i][0], j, letter);
    }
  }
}

/* --- mistakes --------------------------------------------------------------------------------- */

typedef struct mistake {
  const char *text;
  int column; /* 0: a message without one is right */
  const char *says;
} mistake;

static const mistake mistakes[] = {
    {"", 0, "unknown plan"},
    {"odl", 0, "unknown plan \"odl\""},
    {"Old", 0, "unknown plan"},
    {"old ", 0, "unknown plan"},
    {" old", 0, "unknown plan"},
    {"auto;k=4", 1, "expected"},
    {"old;k=4", 1, "expected"},
    {"directly", 1, "expected"},
    {"direct ", 7, "or the end"},
    {"direct;", 8,
     "t=, k=, c=, v=, chains=, wino=, chunk=, layout=, bands=, side= or "
     "launch=joint"},
    {"direct;;k=4", 8, "t=, k=, c="},
    {"direct,k=4", 7, "or the end"},
    {"direct;k=", 10, "a size from 1"},
    {"direct;k=0", 10, "a size from 1"},
    {"direct;k=-4", 10, "a size from 1"},
    {"direct;k=4x", 11, "or the end"},
    {"direct;k=4.", 12, "a size from 1"},
    {"direct;k=8.4.2", 14, "at most 2 sizes"},
    {"direct;k=1048577", 10, "a size from 1 to 1048576"},
    {"direct;k=99999999999999999999999999", 10, "a size from 1 to 1048576"},
    {"direct;wino=9", 13, "a tile size from 0 to 8"},
    {"direct;wino=x", 13, "a tile size from 0 to 8"},
    {"direct;wino=4x", 15, "a tile size from 0 to 8"},
    {"direct;wino=1x2x3x4x5", 21, "at most 4 tile sizes"},
    {"direct;launch=two", 8, "launch=joint"},
    {"direct;chains=9", 15, "a number of chains from 1 to 8"},
    {"direct;chains=0", 15, "a number of chains from 1 to 8"},
    {"x=global,g=global,m=global,o=global;chains=2", 37, "t=, k=, c=, v=, wino="},
    {"direct;share=x0", 8, "t=, k=, c=, v=, chains=, wino="},
    {"x=global,g=global,m=global,o=global;share=", 43, "a loop"},
    {"x=global,g=global,m=global,o=global;share=q", 43, "a loop"},
    {"direct;chunk=0", 14, "a number of tiles"},
    {"direct;q=4", 8, "t=, k=, c="},
    {"x=", 3, "inline, reg, local or global"},
    {"x=globe", 3, "inline, reg, local or global"},
    {"x=globals,g=global,m=global,o=global", 3, "inline, reg, local or global"},
    {"x=GLOBAL,g=global,m=global,o=global", 3, "inline, reg, local or global"},
    {"x=global", 9, "all of x=, g=, m= and o="},
    {"x=global,g=global,m=global", 27, "all of x=, g=, m= and o="},
    {"x=global,x=global,m=global,o=global", 10, "each stage once"},
    {"x=global,y=global,m=global,o=global", 10, "x=, g=, m= or o="},
    {"x=global g=global,m=global,o=global", 9, NULL},
    {"x=global,", 10, "x=, g=, m= or o="},
    {"x=global@,g=global,m=global,o=global", 10, "a loop"},
    {"x=global@q,g=global,m=global,o=global", 10, "a loop"},
    {"x=global@t9,g=global,m=global,o=global", 11, "a part from 0 to 3"},
    {"x=global(t0,g=global,m=global,o=global", 12, "a loop"},
    {"x=global(t0:q),g=global,m=global,o=global", 13, "a kind"},
    {"x=global(t0:),g=global,m=global,o=global", 13, "a kind"},
    {"x=global(t0:?),g=global,m=global,o=global", 13, "a kind"},
    {"x=global(t0", 12, "a loop"},
    {"x=global(", 10, "a loop"},
    {"x=global(t t t t t t t t t t t t t),g=global,m=global,o=global", 34, "at most 12 loops"},
    {"x=global,g=global,m=global,o=global;;", 37, "t=, k=, c="},
    {"x=global,g=global,m=global,o=global;wino=4;x=global", 44, "t=, k=, c="},
    {"x=global,g=global,m=global,o=global\n", 36, "or the end"},
};

static void test_mistakes(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < LEN(mistakes); ++i) {
    const mistake *m = &mistakes[i];
    schedule s;
    char column[32];
    snprintf(column, sizeof column, "at column %d ", m->column);
    f->d.message[0] = '\0';
    wn_status st = parse(f, m->text, &s);
    if (st != WN_ERR_USAGE) fail_msg("\"%s\": status %d", m->text, (int)st);
    bool placed = m->column == 0 || strstr(f->d.message, column) != NULL;
    bool said = m->says == NULL || strstr(f->d.message, m->says) != NULL;
    if (!placed || !said) fail_msg("\"%s\", column %d: %s", m->text, m->column, f->d.message);
  }
}

/* A size given twice has no meaning of its own: either the second is refused or it replaces the
 * first as a whole. */
static void test_repeated_sizes(void **state) {
  fixture *f = *state;
  static const char *const texts[][2] = {
      {"direct;t=8.4;t=16", "direct;t=16"},
      {"direct;k=8.4.2,k=4.4", "direct;k=4.4"},
      {"direct;chunk=8;chunk=4", "direct;chunk=4"},
      {"x=reg,g=reg,m=reg,o=reg;wino=4;wino=2", "x=reg,g=reg,m=reg,o=reg;wino=2"}};
  for (size_t i = 0; i < LEN(texts); ++i) {
    schedule twice, once;
    if (parse(f, texts[i][0], &twice) == WN_ERR_USAGE) continue;
    parse_ok(f, texts[i][1], &once);
    if (!schedule_equal(&twice, &once)) fail_msg("\"%s\" is %s", texts[i][0], print(f, &twice));
  }
}

/* --- random ----------------------------------------------------------------------------------- */

static void test_random(void **state) {
  fixture *f = *state;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const char *given = getenv("WINNOW_SEED");
  uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_nsec, s = seed;
  print_message("# WINNOW_SEED=%llu\n", (unsigned long long)seed);
  for (int i = 0; i < 5000; ++i) {
    schedule a = random_schedule(&s), b, c = random_schedule(&s);
    const char *text = print(f, &a);
    parse_ok(f, text, &b);
    if (!schedule_equal(&a, &b)) fail_msg("%s comes back as %s", text, print(f, &b));
    assert_same(f, &a, &b);
    bool equal = strcmp(text, print(f, &c)) == 0;
    assert_int_equal(schedule_equal(&a, &c), equal);
    arena_release(&f->a);
  }
}

/* One character changed, added or left out: a schedule, or an error that says something. */
static void test_mutations(void **state) {
  fixture *f = *state;
  static const char characters[] = "xgmo=,;:.@()tkcfpnyz0123456789inlaregoblduvwh \t\n?";
  uint64_t s = 42;
  for (int i = 0; i < 20000; ++i) {
    schedule a = random_schedule(&s);
    char *text = arena_strdup(&f->a, print(f, &a));
    size_t n = strlen(text), at = (size_t)pick(&s, (int)n);
    if (pick(&s, 3))
      text[at] = characters[pick(&s, (int)sizeof characters - 1)];
    else
      memmove(text + at, text + at + 1, n - at);
    schedule b;
    f->d.message[0] = '\0';
    wn_status st = parse(f, text, &b);
    if (st == WN_OK) {
      schedule c;
      if (strcmp(text, "auto") != 0) parse_ok(f, print(f, &b), &c);
      assert_true(schedule_equal(&b, &c));
    } else if (st != WN_ERR_USAGE || f->d.message[0] == '\0') {
      fail_msg("\"%s\": status %d", text, (int)st);
    }
    arena_release(&f->a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_values, setup, teardown),
      cmocka_unit_test_setup_teardown(test_canonical, setup, teardown),
      cmocka_unit_test_setup_teardown(test_differences, setup, teardown),
      cmocka_unit_test_setup_teardown(test_names, setup, teardown),
      cmocka_unit_test_setup_teardown(test_placements, setup, teardown),
      cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_repeated_sizes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_random, setup, teardown),
      cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
  };
  return cmocka_run_group_tests_name("schedules", tests, NULL, NULL);
}
