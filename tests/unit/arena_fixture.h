/* What many tests stand on: an arena, and who hears of its errors. */
#ifndef WN_TESTS_ARENA_FIXTURE_H
#define WN_TESTS_ARENA_FIXTURE_H

#include "base/mem.h"

typedef struct fixture {
  diag d;
  arena a;
} fixture;

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  arena_release(&f->a);
  mem_free(f);
  return 0;
}

#endif
