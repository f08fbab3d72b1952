/* Errors and warnings.
 *
 * In: a failure found anywhere in the compiler. Out: one status and one line at the public API.
 * A pass that cannot go on (out of memory, a user's mistake) calls diag_fail, which unwinds to the innermost
 * DIAG_TRY. Everything a pass allocates lives in an arena of its caller, so unwinding leaks nothing; whatever else it
 * holds (files, modules of LLVM) it must own through something that the catcher releases.
 * Always holds: declining a rewrite or refusing a plan is a value, not a failure; a broken invariant is
 * diag_panic, which aborts. */
#ifndef WN_BASE_DIAG_H
#define WN_BASE_DIAG_H

#include <setjmp.h>

#include "winnow/winnow.h"

#if defined(__GNUC__)
#define WN_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WN_PRINTF(f, a)
#endif

typedef struct diag {
  jmp_buf *trap; /* innermost DIAG_TRY, or NULL */
  wn_status status;
  char message[1024];
  wn_warning_fn warn;
  void *warn_user;
  int warnings; /* how many were given */
} diag;

/* Runs the statement or block after DIAG_TRY(d, status_var); on diag_fail control arrives after the block with
 * status_var set. Do not return, break or goto out of the block. Locals changed in it must be volatile.
 *     wn_status st;
 *     DIAG_TRY(d, st) { work(d); } DIAG_END(d, st)
 */
#define DIAG_TRY(d, st)                           \
  {                                               \
    jmp_buf diag_here_, *diag_outer_ = (d)->trap; \
    (st) = WN_OK;                                 \
    if (setjmp(diag_here_) == 0) {                \
      (d)->trap = &diag_here_;
#define DIAG_END(d, st)    \
  }                        \
  else {                   \
    (st) = (d)->status;    \
  }                        \
  (d)->trap = diag_outer_; \
  }

void diag_init(diag *d);
/* Record status and message and unwind to the innermost DIAG_TRY; aborts if there is none. */
_Noreturn void diag_fail(diag *d, wn_status status, const char *format, ...) WN_PRINTF(3, 4);
/* Unwinds further with what a DIAG_TRY has caught. */
_Noreturn void diag_again(diag *d);
/* Record without unwinding; for boundaries that return a status themselves. Returns status. */
wn_status diag_set(diag *d, wn_status status, const char *format, ...) WN_PRINTF(3, 4);
void diag_warn(diag *d, const char *format, ...) WN_PRINTF(2, 3);
/* A broken invariant: print and abort. */
_Noreturn void diag_panic(const char *file, int line, const char *format, ...) WN_PRINTF(3, 4);
#define WN_CHECK(cond, ...) ((cond) ? (void)0 : diag_panic(__FILE__, __LINE__, __VA_ARGS__))

#endif
