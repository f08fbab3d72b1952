/* The name of the unfinished file is what a signal handler must know, so it is static. */
#include "ending.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/registry.h"

static const int fatal_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define SIGNALS (sizeof fatal_signals / sizeof *fatal_signals)
static char unfinished[4096];

static void end(int signal_number) {
  if (*unfinished) unlink(unfinished);
  registry_abandon();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void ending_catch(void) {
  struct sigaction act, old;
  memset(&act, 0, sizeof act);
  sigfillset(&act.sa_mask); /* one at a time */
  act.sa_handler = end;
  for (size_t i = 0; i < SIGNALS; ++i)
    if (!sigaction(fatal_signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
      sigaction(fatal_signals[i], &act, NULL);
  signal(SIGXFSZ, SIG_IGN);
}

/* Signals wait meanwhile: there is no moment with a file and nobody to remove it. */
int ending_create(char *temporary) {
  sigset_t set, before;
  if (strlen(temporary) >= sizeof unfinished) {
    errno = ENAMETOOLONG;
    return -1;
  }
  sigemptyset(&set);
  for (size_t i = 0; i < SIGNALS; ++i) sigaddset(&set, fatal_signals[i]);
  sigprocmask(SIG_BLOCK, &set, &before);
  int fd = mkstemp(temporary), error = errno;
  if (fd >= 0) memcpy(unfinished, temporary, strlen(temporary) + 1);
  sigprocmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return fd;
}

void ending_forget(void) { *unfinished = 0; }
