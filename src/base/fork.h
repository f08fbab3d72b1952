/* What a child process of fork() can rely on.
 *
 * A child has the memory of all of its parent's threads and only one of the threads: what another one was in the middle
 * of stays as it was, locks included. So
 * - what belongs to a process more than to its memory (threads, a device's driver, an open cache) remembers the
 * generation
 *   in which it was made, and is not used in another one;
 * - libraries with locks and tables of their own (LLVM, SQLite, the dynamic loader) are entered between fork_enter and
 *   fork_leave alone. fork() waits until no other thread is there, for some seconds at most: where one still is, the
 *   child does without these libraries.
 * Always holds: neither the caller's functions nor other processes are waited for between fork_enter and fork_leave;
 * calls may be nested, and nothing unwinds past a fork_leave. */
#ifndef WN_BASE_FORK_H
#define WN_BASE_FORK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

extern _Atomic unsigned fork_generations;

/* How many forks lie between this process and the one that first called fork_watch. */
static inline unsigned fork_generation(void) {
  return atomic_load_explicit(&fork_generations, memory_order_relaxed);
}

/* Counts forks from now on. False: there is no memory for that. */
bool fork_watch(void);

/* False in a child that must not enter, for the reason fork_why; then there is nothing to leave. */
bool fork_enter(void);
void fork_leave(void);
extern const char fork_why[];
/* Seconds that a fork waits at most. For tests. */
extern int fork_patience;

/* A lock that a child process finds open, whoever held it in its parent: what it guards must be sound at any moment.
 * After fork_watch. */
typedef struct fork_lock {
  pthread_mutex_t mutex;
  _Atomic unsigned generation; /* of forks, that the mutex is of */
} fork_lock;
bool fork_lock_init(fork_lock *l); /* false: the system has no lock left */
void fork_lock_destroy(fork_lock *l);
void fork_lock_take(fork_lock *l);
void fork_lock_give(fork_lock *l);

/* Claims a library that does not survive a fork at all; *owner is 0 at first. False: another process of this one's
 * ancestors has used it. */
bool fork_claim(_Atomic unsigned *owner);

#endif
