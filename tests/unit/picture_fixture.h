/* What tests of pictures stand on: an arena, and the path of a file that goes with its folder. */
#ifndef WN_TESTS_PICTURE_FIXTURE_H
#define WN_TESTS_PICTURE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

typedef struct fixture {
  diag d;
  arena a;
  char folder[32];
  const char *path;
} fixture;

static int set_up(void **state) {
  static fixture f;
  diag_init(&f.d);
  arena_init(&f.a, &f.d);
  snprintf(f.folder, sizeof f.folder, "/tmp/winnow-picture-XXXXXX");
  if (!mkdtemp(f.folder)) return -1;
  f.path = arena_printf(&f.a, "%s/a.png", f.folder);
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  unlink(f->path);
  rmdir(f->folder);
  arena_release(&f->a);
  return 0;
}

#endif
