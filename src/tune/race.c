/* Timing in turns with early stopping; see race.h.
 *
 * The minimum is what a program takes on an undisturbed machine, and after few samples it is within some percent of
 * that: after round i a program that is 1/i slower than the best is out (half after two rounds, a twentieth after
 * twenty). That is the idea of successive halving (Karnin, Koren and Somekh, 2013) with a bound on the ratio in the
 * place of a rank. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#endif

#include "tune/race.h"

#include <math.h>
#include <time.h>

static const double SAMPLE = 50;  /* µs */
static const double ENOUGH = 1e5; /* µs of samples of one program after which no more are needed */
static const double SHORT = 2000; /* a run as short as this is warmed up before each sample */
static const double LONG = 5e4, FIRST_SLACK = 9; /* a first run may have met anything */
static const double SLACK = 1.0, LEAST_SLACK = 0.02;
enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 400 };

double race_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void take(runner *r, double us) {
  if (r->us == 0 || us < r->us) r->us = us;
}

wn_status race_enter(runner *r) {
  if (r->cooling != NULL) cooling_pass(r->cooling);
  double start = race_now();
  wn_status st = wn_run(r->program);
  take(r, fmax(race_now() - start, 0.01));
  return st;
}

/* On a device the runs are queued, and their data stays there. */
static wn_status launch(runner *r, int runs) {
  wn_status st = WN_OK;
  for (int i = 0; i < runs && st == WN_OK; ++i) st = wn_launch(r->program);
  return st == WN_OK ? wn_wait(r->program) : st;
}

/* A program that a device cannot run is out. */
static void sample(runner *r) {
  const bool cold = r->cooling != NULL;
  int runs = r->us < SAMPLE && !cold ? (int)ceil(SAMPLE / r->us) : 1;
  wn_status st = WN_OK;
  if (cold)
    cooling_pass(r->cooling);
  else if (r->us < SHORT)
    st = launch(r, 1); /* the others left their arrays in the caches */
  double start = race_now();
  if (st == WN_OK) st = launch(r, runs);
  r->out = st != WN_OK;
  if (st == WN_OK) take(r, fmax((race_now() - start) / runs, 0.01));
  ++r->samples;
}

static int fastest(runner *const *r, int n) {
  int best = -1;
  for (int i = 0; i < n; ++i) {
    if (!r[i]->out && (best < 0 || r[i]->us < r[best]->us)) best = i;
  }
  return best;
}

/* How much slower than the best, relative to it, may one be that stays after so many rounds? */
static double slack(int rounds) {
  return rounds == 0 ? FIRST_SLACK : fmax(SLACK / rounds, LEAST_SLACK);
}

/* Leaves out what is too slow; returns how many are left. */
static int leave_out(runner *const *r, int n, int rounds) {
  int best = fastest(r, n), left = 0;
  double limit = best < 0 ? 0 : r[best]->us * (1 + slack(rounds));
  if (rounds == 0) limit = fmax(limit, LONG);
  for (int i = 0; i < n; ++i) {
    if (!r[i]->out && r[i]->us > limit) r[i]->out = true;
    left += !r[i]->out;
  }
  return left;
}

int race(runner *const *r, int n, race_stop stop, void *user) {
  double spent = 0;
  for (int rounds = 0; rounds < MOST_ROUNDS; ++rounds) {
    int left = leave_out(r, n, rounds);
    if (left == 0 || (left == 1 && rounds > 0)) break; /* alone from the start: measured too */
    double start = race_now();
    for (int i = 0; i < n; ++i) {
      if (r[i]->out) continue;
      if (stop(user)) return fastest(r, n);
      sample(r[i]);
    }
    spent += (race_now() - start) / left;
    if (rounds + 1 >= LEAST_ROUNDS && spent > ENOUGH) break;
  }
  return fastest(r, n);
}

/* --- pinning ---------------------------------------------------------------------------------- */

#if defined(__linux__)
void race_pin_thread(race_pin *pin, int threads) {
  cpu_set_t one;
  int core = sched_getcpu();
  pin->pinned = false;
  if (threads != 1 || core < 0) return; /* threads of a pool would inherit it */
  if (sched_getaffinity(0, sizeof pin->before, (cpu_set_t *)(void *)pin->before) != 0) return;
  CPU_ZERO(&one);
  CPU_SET((size_t)core, &one);
  pin->pinned = sched_setaffinity(0, sizeof one, &one) == 0;
}

void race_unpin(const race_pin *pin) {
  if (pin->pinned)
    sched_setaffinity(0, sizeof pin->before, (const cpu_set_t *)(const void *)pin->before);
}
#else
void race_pin_thread(race_pin *pin, int threads) {
  (void)threads;
  pin->pinned = false;
}

void race_unpin(const race_pin *pin) { (void)pin; }
#endif
