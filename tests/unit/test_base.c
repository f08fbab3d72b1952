/* src/base: diag, arena, vec, str and map, each against what a plain program would compute. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

/* Returns the status of a block that fails, which must not go on. */
static wn_status fail_inside(diag *d) {
  volatile wn_status st;
  DIAG_TRY(d, st) {
    diag_fail(d, WN_ERR_REFUSED, "plan %s", "one");
    fail_msg("diag_fail returned");
  }
  DIAG_END(d, st)
  return st;
}

static void diag_unwinds_to_the_innermost_try(void **state) {
  (void)state;
  diag d;
  diag_init(&d);
  volatile wn_status outer = WN_ERR_IO, inner = WN_OK;
  DIAG_TRY(&d, outer) { inner = fail_inside(&d); }
  DIAG_END(&d, outer)
  assert_int_equal(inner, WN_ERR_REFUSED);
  assert_int_equal(outer, WN_OK);
  assert_string_equal(d.message, "plan one");
  assert_null(d.trap);
}

static void diag_message_is_one_line(void **state) {
  (void)state;
  diag d;
  diag_init(&d);
  assert_int_equal(diag_set(&d, WN_ERR_USAGE, "first\nsecond"), WN_ERR_USAGE);
  assert_null(strchr(d.message, '\n'));
  assert_int_equal(d.status, WN_ERR_USAGE);
  char big[4096];
  memset(big, 'x', sizeof big - 1);
  big[sizeof big - 1] = '\0';
  diag_set(&d, WN_ERR_USAGE, "%s", big);
  assert_int_equal(strlen(d.message), sizeof d.message - 1);
}

static void keep_line(void *user, const char *line) { snprintf(user, 64, "%s", line); }

static void diag_warnings_reach_the_user(void **state) {
  (void)state;
  diag d;
  diag_init(&d);
  char seen[64] = "";
  d.warn = keep_line;
  d.warn_user = seen;
  diag_warn(&d, "kernel %d fell back", 3);
  assert_string_equal(seen, "kernel 3 fell back");
  assert_int_equal(d.warnings, 1);
  assert_int_equal(d.status, WN_OK);
}

typedef struct fixture {
  diag diag;
  arena arena;
} fixture;

static int set_up(void **state) {
  fixture *f = malloc(sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->diag);
  arena_init(&f->arena, &f->diag);
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  arena_release(&f->arena);
  free(f);
  return 0;
}

static void arena_blocks_are_zeroed_aligned_and_apart(void **state) {
  fixture *f = *state;
  enum { COUNT = 2000 };
  unsigned char *block[COUNT];
  size_t size[COUNT];
  for (size_t i = 0; i < COUNT; ++i) {
    size[i] = i % 7 == 0 ? 10000 + i : i % 97;
    block[i] = arena_alloc(&f->arena, size[i]);
    assert_int_equal((uintptr_t)block[i] % _Alignof(max_align_t), 0);
    for (size_t j = 0; j < size[i]; ++j) assert_int_equal(block[i][j], 0);
    memset(block[i], (int)(i % 251) + 1, size[i]);
  }
  for (size_t i = 0; i < COUNT; ++i) {
    for (size_t j = 0; j < size[i]; ++j) {
      if (block[i][j] != i % 251 + 1) fail_msg("block %zu was overwritten at %zu", i, j);
    }
  }
}

static void arena_can_be_used_after_release(void **state) {
  fixture *f = *state;
  memset(arena_alloc(&f->arena, 100000), 1, 100000);
  arena_release(&f->arena);
  unsigned char *p = arena_alloc(&f->arena, 100000);
  for (size_t i = 0; i < 100000; ++i) assert_int_equal(p[i], 0);
}

static void arena_fails_through_diag(void **state) {
  fixture *f = *state;
  volatile wn_status st;
  DIAG_TRY(&f->diag, st) { arena_alloc(&f->arena, SIZE_MAX - 8); }
  DIAG_END(&f->diag, st)
  assert_int_equal(st, WN_ERR_NOMEM);
  mem_fail_at(1);
  DIAG_TRY(&f->diag, st) { arena_alloc(&f->arena, 10); }
  DIAG_END(&f->diag, st)
  mem_fail_at(0);
  assert_int_equal(st, WN_ERR_NOMEM);
  assert_non_null(arena_alloc(&f->arena, 10));
}

static void arena_printf_takes_any_length(void **state) {
  fixture *f = *state;
  for (int width = 0; width < 400; ++width) {
    char expected[512];
    snprintf(expected, sizeof expected, "<%*d>", width, 7);
    assert_string_equal(arena_printf(&f->arena, "<%*d>", width, 7), expected);
  }
}

static void heap_fails_from_the_nth_allocation_on(void **state) {
  (void)state;
  mem_fail_at(3);
  void *a = mem_alloc(1), *b = mem_alloc(0), *c = mem_alloc(1), *d = mem_alloc_aligned(64, 64);
  void *e = mem_realloc(a, 100);
  long count = mem_count();
  mem_fail_at(0);
  assert_non_null(a);
  assert_non_null(b);
  assert_null(c);
  assert_null(d);
  assert_null(e); /* and `a` is still valid, as with realloc */
  assert_int_equal(count, 5);
  mem_free(a);
  mem_free(b);
}

static void aligned_memory_is_aligned_and_zeroed(void **state) {
  (void)state;
  for (size_t align = 16; align <= 4096; align *= 2) {
    unsigned char *p = mem_alloc_aligned(align + 1, align);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % align, 0);
    for (size_t i = 0; i <= align; ++i) assert_int_equal(p[i], 0);
    mem_free_aligned(p);
  }
  assert_null(mem_alloc_aligned(SIZE_MAX - 4, 64));
}

static void vec_keeps_what_was_pushed(void **state) {
  fixture *f = *state;
  VEC(int64_t) v = {0};
  for (int64_t i = 0; i < 10000; ++i) vec_push(&f->arena, &v, i * i);
  assert_int_equal(v.len, 10000);
  for (int64_t i = 0; i < 10000; ++i) assert_int_equal(v.data[i], i * i);
}

static void str_builds_text(void **state) {
  fixture *f = *state;
  str s;
  str_init(&s, &f->arena);
  assert_string_equal(str_text(&s), "");
  str_add(&s, "a");
  str_addn(&s, "bcd", 2);
  str_printf(&s, "%d%s", 12, "x");
  assert_string_equal(str_text(&s), "abc12x");
  assert_int_equal(s.len, 6);
  for (int i = 0; i < 1000; ++i) str_printf(&s, "%04d", i);
  assert_int_equal(s.len, 6 + 4000);
  assert_memory_equal(str_text(&s) + 6 + 4 * 123, "0123", 4);
}

/* Against an array indexed by the key. */
static void map_agrees_with_an_array(void **state) {
  fixture *f = *state;
  enum { KEYS = 512 };
  uint64_t value[KEYS];
  bool present[KEYS] = {false};
  uint32_t distinct = 0;
  map m;
  map_init(&m, &f->arena);
  uint64_t got;
  assert_false(map_get(&m, 0, &got));
  uint64_t random = 88172645463325252u;
  for (int step = 0; step < 20000; ++step) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    uint64_t key = (random >> 20) % KEYS;
    uint64_t spread = key << 52; /* keys that differ only in their high bits */
    assert_int_equal(map_get(&m, spread, &got), present[key]);
    if (present[key]) assert_true(got == value[key]);
    if (random & 1) {
      distinct += !present[key];
      present[key] = true;
      value[key] = random;
      map_put(&m, spread, random);
    }
  }
  assert_int_equal(m.len, distinct);
}

static void map_iterates_in_insertion_order(void **state) {
  fixture *f = *state;
  map m;
  map_init(&m, &f->arena);
  for (uint64_t i = 0; i < 1000; ++i) map_put(&m, i * 7919 % 1009, i);
  map_put(&m, 0, 42); /* replaces, in place */
  assert_int_equal(m.len, 1000);
  assert_int_equal(m.entries[0].value, 42);
  for (uint64_t i = 1; i < 1000; ++i) {
    assert_true(m.entries[i].key == i * 7919 % 1009);
    assert_true(m.entries[i].value == i);
  }
}

static void hash_depends_on_every_byte(void **state) {
  (void)state;
  unsigned char bytes[40] = {0};
  for (size_t n = 0; n <= sizeof bytes; ++n) {
    uint64_t plain = hash_bytes(bytes, n, 1);
    assert_true(plain == hash_bytes(bytes, n, 1));
    assert_true(plain != hash_bytes(bytes, n, 2));
    if (n > 0) assert_true(plain != hash_bytes(bytes, n - 1, 1));
    for (size_t i = 0; i < n; ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        bytes[i] = (unsigned char)(1 << bit);
        if (hash_bytes(bytes, n, 1) == plain)
          fail_msg("length %zu: byte %zu does not matter", n, i);
        bytes[i] = 0;
      }
    }
  }
}

int main(void) {
#define IN_ARENA(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(diag_unwinds_to_the_innermost_try),
      cmocka_unit_test(diag_message_is_one_line),
      cmocka_unit_test(diag_warnings_reach_the_user),
      IN_ARENA(arena_blocks_are_zeroed_aligned_and_apart),
      IN_ARENA(arena_can_be_used_after_release),
      IN_ARENA(arena_fails_through_diag),
      IN_ARENA(arena_printf_takes_any_length),
      cmocka_unit_test(heap_fails_from_the_nth_allocation_on),
      cmocka_unit_test(aligned_memory_is_aligned_and_zeroed),
      IN_ARENA(vec_keeps_what_was_pushed),
      IN_ARENA(str_builds_text),
      IN_ARENA(map_agrees_with_an_array),
      IN_ARENA(map_iterates_in_insertion_order),
      cmocka_unit_test(hash_depends_on_every_byte),
  };
#undef IN_ARENA
  return cmocka_run_group_tests(tests, NULL, NULL);
}
