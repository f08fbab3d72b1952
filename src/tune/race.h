/* Timing programs against each other.
 *
 * In: programs that compute the same. Out: for each the least time of a run, and which of them can still be the
 * fastest.
 * Always holds: programs take turns, a sample each, so that a slow moment of the machine hits all alike; a sample is at
 * least 50 µs of runs, or one that begins with caches as a network leaves them (cooling.h); what is clearly slower than the best is not run again. */
#ifndef WN_TUNE_RACE_H
#define WN_TUNE_RACE_H

#include "tune/cooling.h"

typedef struct runner {
  wn_program *program;
  double us; /* the least so far, of one run; 0: not run yet */
  int samples;
  bool out;               /* cannot win */
  const cooling *cooling; /* before each run; NULL: they follow each other */
} runner;

/* Called between samples; true: stop where you are. */
typedef bool (*race_stop)(void *user);

double race_now(void); /* µs of a clock that only goes forward */
/* One run, for a first idea of `us`. The program has run before. */
wn_status race_enter(runner *r);
/* Runs those that are not out in turns until one is left, all have been measured well enough, or stop says so. Returns
 * the index of the fastest; -1 where all are out. */
int race(runner *const *r, int n, race_stop stop, void *user);

/* Keeps the calling thread on the core that it is on (one thread: the others are not its own), and lets it go. */
typedef struct race_pin {
  bool pinned;
  unsigned long before[16]; /* cores that it may run on */
} race_pin;
void race_pin_thread(race_pin *pin, int threads);
void race_unpin(const race_pin *pin);

#endif
