/* See signals.h. */
#define _GNU_SOURCE /* SIGXFSZ is of XSI */
#include "base/signals.h"

#include <pthread.h>
#include <stddef.h>

static const int ours[] = {SIGXFSZ, SIGPIPE};
enum { OURS = sizeof ours / sizeof *ours };

void signals_hold(signals_held *h) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < OURS; ++i) sigaddset(&set, ours[i]);
  pthread_sigmask(SIG_BLOCK, &set, &h->before);
  if (sigpending(&h->pending) != 0) sigemptyset(&h->pending);
}

/* The signal of a write is its thread's own, so nobody else can take it between the question and sigwait. (macOS has no
 * sigtimedwait, which would be both in one.) One that is ignored is never pending. */
static void take(int signal) {
  sigset_t now, one;
  int taken;
  if (sigpending(&now) != 0 || sigismember(&now, signal) != 1) return;
  sigemptyset(&one);
  sigaddset(&one, signal);
  sigwait(&one, &taken);
}

void signals_free(const signals_held *h) {
  for (int i = 0; i < OURS; ++i)
    if (sigismember(&h->pending, ours[i]) != 1) take(ours[i]);
  pthread_sigmask(SIG_SETMASK, &h->before, NULL);
}

void signals_mask_of_child(sigset_t *mask) {
  pthread_sigmask(SIG_SETMASK, NULL, mask);
  for (int i = 0; i < OURS; ++i) sigdelset(mask, ours[i]);
}
