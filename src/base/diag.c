/* In: failures and warnings. Out: a status and a line; see diag.h for how unwinding works. */
#include "base/diag.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void warn_to_stderr(void *user, const char *line) {
  (void)user;
  fprintf(stderr, "winnow: warning: %s\n", line);
}

void diag_init(diag *d) {
  memset(d, 0, sizeof *d);
  d->warn = warn_to_stderr;
}

static void record(diag *d, wn_status status, const char *format, va_list args) {
  d->status = status;
  text_vformat(d->message, sizeof d->message, format, args);
  for (char *c = d->message; *c; ++c) {
    if (*c == '\n') *c = ' '; /* one line, whatever the format held */
  }
}

void diag_fail(diag *d, wn_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  record(d, status, format, args);
  va_end(args);
  diag_again(d);
}

void diag_again(diag *d) {
  if (d->trap == NULL) diag_panic(__FILE__, __LINE__, "nobody catches: %s", d->message);
  longjmp(*d->trap, 1);
}

wn_status diag_set(diag *d, wn_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  record(d, status, format, args);
  va_end(args);
  return status;
}

void diag_warn(diag *d, const char *format, ...) {
  char line[1024];
  va_list args;
  va_start(args, format);
  text_vformat(line, sizeof line, format, args);
  va_end(args);
  ++d->warnings;
  d->warn(d->warn_user, line);
}

void diag_panic(const char *file, int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "winnow: internal error at %s:%d: ", file, line);
  text_vprint(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  abort();
}
