/* In: a function and its state. Out: whatever it wrote into its state. The arena never outlives the
 * call. */
#include "rewrite/scratch.h"

static wn_status guarded(diag *d, arena *a, void (*work)(arena *a, void *state), void *state) {
  wn_status st;
  DIAG_TRY(d, st) { work(a, state); }
  DIAG_END(d, st)
  return st;
}

void with_scratch(diag *d, void (*work)(arena *a, void *state), void *state) {
  arena a;
  arena_init(&a, d);
  wn_status st = guarded(d, &a, work, state);
  arena_release(&a);
  if (st != WN_OK) {
    char line[sizeof d->message];
    memcpy(line, d->message, sizeof line);
    diag_fail(d, st, "%s", line);
  }
}
