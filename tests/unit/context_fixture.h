/* What tests of models stand on: a context, and an arena for what is written for it. */
#ifndef WN_TESTS_CONTEXT_FIXTURE_H
#define WN_TESTS_CONTEXT_FIXTURE_H

#include <stdlib.h>

#include "base/mem.h"
#include "winnow/winnow.h"

typedef struct fixture {
  diag d;
  arena a;
  wn_context *ctx;
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  *state = f;
  return wn_context_create(&f->ctx) == WN_OK ? 0 : -1;
}

static int teardown(void **state) {
  fixture *f = *state;
  wn_context_destroy(f->ctx);
  arena_release(&f->a);
  free(f);
  return 0;
}

#endif
