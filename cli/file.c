/* The name of the unfinished file is the one thing a signal handler must know, so it is this file's
 * only static. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const int fatal_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define SIGNALS (sizeof fatal_signals / sizeof *fatal_signals)
static char unfinished[4096];

static void remove_unfinished(int signal_number) {
  unlink(unfinished);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

/* What the caller ignores (nohup) stays ignored. A file over the limit of its size is an error of
 * write() then, and no signal. */
static void guard(const char *temporary) {
  struct sigaction act, old;
  memset(&act, 0, sizeof act);
  sigemptyset(&act.sa_mask);
  act.sa_handler = temporary ? remove_unfinished : SIG_DFL;
  if (temporary) snprintf(unfinished, sizeof unfinished, "%s", temporary);
  for (size_t i = 0; i < SIGNALS; ++i)
    if (!sigaction(fatal_signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
      sigaction(fatal_signals[i], &act, NULL);
  signal(SIGXFSZ, temporary ? SIG_IGN : SIG_DFL);
}

/* Signals wait meanwhile: there is no moment with a file and nobody to remove it. */
static int create_guarded(char *temporary) {
  sigset_t set, before;
  sigemptyset(&set);
  for (size_t i = 0; i < SIGNALS; ++i) sigaddset(&set, fatal_signals[i]);
  sigprocmask(SIG_BLOCK, &set, &before);
  int fd = mkstemp(temporary), error = errno;
  if (fd >= 0) guard(temporary);
  sigprocmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return fd;
}

unsigned char *file_read(arena *a, const char *path, size_t *size) {
  FILE *f = fopen(path, "rb");
  struct stat st;
  if (!f) diag_fail(a->diag, WN_ERR_IO, "cannot open %s: %s", path, strerror(errno));
  if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode)) {
    fclose(f);
    diag_fail(a->diag, WN_ERR_IO, "cannot read %s: not a regular file", path);
  }
  wn_status status;
  unsigned char *volatile bytes = NULL;
  size_t want = (size_t)st.st_size;
  DIAG_TRY(a->diag, status) { bytes = arena_alloc(a, want + 1); }
  DIAG_END(a->diag, status)
  size_t got = bytes ? fread(bytes, 1, want, f) : 0;
  fclose(f);
  if (!bytes) diag_fail(a->diag, status, "no memory for the %zu bytes of %s", want, path);
  if (got != want) diag_fail(a->diag, WN_ERR_IO, "cannot read all of %s", path);
  *size = want;
  return bytes;
}

/* A rename puts a file in the place of whatever is there: of a device, or of the link /dev/stdout. */
static void refuse_special(arena *a, const char *path) {
  struct stat st;
  char target[8] = "";
  bool special = readlink(path, target, sizeof target - 1) > 0 && !strncmp(target, "/proc/", 6);
  if (!special && stat(path, &st)) return;
  if (!special && S_ISDIR(st.st_mode))
    diag_fail(a->diag, WN_ERR_IO, "cannot write %s: it is a directory", path);
  if (special || !S_ISREG(st.st_mode))
    diag_fail(a->diag, WN_ERR_IO, "cannot write %s: it is not a regular file", path);
}

void file_create(file_writer *w, arena *a, const char *path) {
  w->path = path;
  w->stream = NULL;
  w->temporary = arena_printf(a, "%s.XXXXXX", path);
  if (strlen(w->temporary) >= sizeof unfinished)
    diag_fail(a->diag, WN_ERR_IO, "cannot write %.60s...: the name is too long", path);
  refuse_special(a, path);
  mode_t mask = umask(0);
  umask(mask);
  int fd = create_guarded(w->temporary);
  if (fd < 0) diag_fail(a->diag, WN_ERR_IO, "cannot write %s: %s", path, strerror(errno));
  if (fchmod(fd, 0666 & ~mask) || !(w->stream = fdopen(fd, "wb"))) {
    int error = errno;
    close(fd);
    file_abandon(w);
    diag_fail(a->diag, WN_ERR_IO, "cannot write %s: %s", path, strerror(error));
  }
}

void file_abandon(file_writer *w) {
  if (w->stream) fclose(w->stream);
  w->stream = NULL;
  unlink(w->temporary);
  guard(NULL);
}

void file_try(arena *a, const char *path) {
  file_writer w;
  file_create(&w, a, path);
  file_abandon(&w);
}

static _Noreturn void failed(file_writer *w, diag *d) {
  int error = errno;
  file_abandon(w);
  diag_fail(d, WN_ERR_IO, "cannot write %s: %s; nothing was written", w->path, strerror(error));
}

void file_put(file_writer *w, diag *d, const void *bytes, size_t size) {
  if (fwrite(bytes, 1, size, w->stream) != size) failed(w, d);
}

void file_commit(file_writer *w, diag *d) {
  if (ferror(w->stream) || fflush(w->stream) || fsync(fileno(w->stream))) failed(w, d);
  FILE *f = w->stream;
  w->stream = NULL;
  if (fclose(f) || rename(w->temporary, w->path)) failed(w, d);
  guard(NULL);
}
