/* What a schedule will cost, before anything is applied: from counts of operations and bytes to seconds.
 *
 * In: the convolutions of a graph with the tiles that keep the promise on the error (wino_survey), a schedule and what
 * the machine can do. Out: predicted seconds of a run, and the schedules worth trying, best first.
 * Always holds: the model reads what the schedule says (placements, splits, tiles), never a plan's name; counts are
 * closed formulas on extents, nothing is applied or allocated in a count. See cost.c for the constants and what they
 * mean. */
#ifndef WN_PLAN_COST_H
#define WN_PLAN_COST_H

#include "machine/machine.h"
#include "plan/schedule.h"
#include "winograd/survey.h"

typedef struct cost_target {
  const machine *machine; /* with limits */
  int threads;            /* that run the program */
  bool variable_weights;
  size_t max_memory;    /* bytes of workspace, 0: no limit */
  int max_lines;        /* of a kernel that is compiled, 0: 2000 */
  const schedule *bits; /* only what gives the same bits is a candidate; NULL: anything */
  /* bytes of all weights that a run of the graph reads, as they were given: between two uses of one of them the others
   * have been through the caches; 0: this convolution alone is run, over and over */
  double passing;
} cost_target;

/* Bytes of other weights that pass through the caches between two uses of `own` ones, where `passing` are read in all:
 * as they are by then, which for weights that are rewritten is more than was given. */
double cost_between(double passing, double own);
/* Are weights read from memory because of that? Of a device the model does not ask. */
bool cost_is_cold(const machine *m, double passing, double own);

/* Predicted seconds of the graph's convolutions under this schedule; INFINITY where it cannot be had: a tile that is
 * not in the survey of every convolution, a combination that is refused, a kernel that is too long to be compiled. What
 * is not a convolution costs the same under all schedules and is left out. */
double schedule_cost(const wino_survey *s, const schedule *plan, const cost_target *t);

/* The same, and what it is the sum of: by convolution and stage, a stage inside another's kernel added to that; 0 where
 * nothing is left to run. All of a convolution that is not rewritten is its STAGE_O. */
double schedule_cost_by_stage(const wino_survey *s, const schedule *plan, const cost_target *t,
                              double (*seconds)[STAGE_COUNT]);

/* Seconds that one thread waits for an array of so many bytes that is written, into memory of which so much is used in
 * turn, and read again when so many bytes have passed; and for so many launches. */
double cost_of_passing(const cost_target *t, double bytes, double in_turn, double passed);
double cost_of_launches(const cost_target *t, int launches);

typedef struct candidate {
  schedule schedule; /* complete: schedule_print gives text that --plan takes */
  double seconds;    /* predicted */
} candidate;

/* The best `max` schedules by predicted cost, best first, each once; `direct` is always among those considered, and is
 * the only one where nothing can be rewritten. Returns how many there are, at least 1 (max >= 1). */
size_t schedule_candidates(const wino_survey *s, const cost_target *t, candidate *out, size_t max);

#endif
