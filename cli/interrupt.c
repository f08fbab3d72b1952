/* See interrupt.h. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t seen;
static struct sigaction before;

static void on_interrupt(int signal) {
  (void)signal;
  seen = 1;
  sigaction(SIGINT, &before, NULL);
}

void interrupt_catch(void) {
  struct sigaction a = {.sa_handler = on_interrupt};
  sigemptyset(&a.sa_mask);
  seen = 0;
  sigaction(SIGINT, NULL, &before);
  if (before.sa_handler == on_interrupt || before.sa_handler == SIG_IGN)
    return; /* as nohup asked */
  sigaction(SIGINT, &a, NULL);
}

bool interrupted(void) { return seen != 0; }
