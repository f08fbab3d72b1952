/* Signals of writes that fail, while the library writes for itself: what the caller did with them stays as it was.
 *
 * A limit on the size of files (SIGXFSZ) and a reader that is gone (SIGPIPE) would end the process. Between
 * signals_hold and signals_free both are errors of write() alone, EFBIG and EPIPE, like any other: they are blocked in
 * this thread, and one that came is taken before they are what they were. No handler and no other thread is touched.
 * Always holds: a signal that was pending before stays pending. */
#ifndef WN_BASE_SIGNALS_H
#define WN_BASE_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

typedef struct signals_held {
  sigset_t before;  /* the thread's mask */
  sigset_t pending; /* those of ours that waited already */
} signals_held;

void signals_hold(signals_held *h);
void signals_free(const signals_held *h);
/* The thread's mask without them: for what is started meanwhile. */
void signals_mask_of_child(sigset_t *mask);

#endif
