/* See interrupt.h. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t seen;

static void on_interrupt(int signal) {
  (void)signal;
  seen = 1;
}

void interrupt_catch(void) {
  struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
  struct sigaction before;
  sigemptyset(&a.sa_mask);
  seen = 0;
  sigaction(SIGINT, &a, &before);
  if (before.sa_handler == SIG_IGN) sigaction(SIGINT, &before, NULL); /* as nohup asked */
}

bool interrupted(void) { return seen != 0; }
