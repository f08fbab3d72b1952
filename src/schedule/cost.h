/* What a schedule will cost, before anything is applied: from counts of operations and bytes to seconds.
 *
 * In: the convolutions of a graph with the tiles that keep the promise on the error (wino_survey), a schedule and what the
 * machine can do. Out: predicted seconds of a run, and the schedules worth trying, best first.
 * Always holds: the model reads what the schedule says (placements, splits, tiles), never a plan's name; counts are closed
 * formulas on extents, nothing is applied or allocated in a count. See cost.c for the constants and what they mean. */
#ifndef WN_SCHEDULE_COST_H
#define WN_SCHEDULE_COST_H

#include "schedule/schedule.h"
#include "winograd/survey.h"

typedef enum { LEVEL_L1, LEVEL_L2, LEVEL_L3, LEVEL_MEMORY, LEVEL_COUNT } memory_level;

enum { LIMIT_WIDTHS = 3 }; /* vectors of 16, 32 and 64 bytes */

/* What the machine can do with the instructions in use. Per second; sizes in bytes. */
typedef struct machine_limits {
  bool measured; /* false: guesses from the CPU's features */
  double
      flops[LIMIT_WIDTHS]; /* of one thread by width of its vectors; a fused multiply-add is two */
  double flops_all;        /* of all threads together, widest vectors */
  size_t size[LEVEL_MEMORY];    /* of each cache: L1 and L2 of a core, L3 of all */
  double read[LEVEL_COUNT];     /* bytes, one thread */
  double read_all[LEVEL_COUNT]; /* all threads together */
  double write, write_all;      /* bytes to memory */
  double local; /* bytes read from the local memory of all groups of a device; 0 of a CPU */
  double wake;  /* seconds from a launch on all threads to its end, with nothing to do */
  int threads;  /* that "all" means */
} machine_limits;

typedef struct cost_target {
  const machine_limits *limits;
  int vector_bytes, registers; /* of the widest vectors; how many vector registers */
  int threads;                 /* that run the program */
  bool variable_weights;
  size_t max_memory; /* bytes of workspace, 0: no limit */
  /* of a device whose kernels run in groups of work items, else 0: see apply_target */
  int group;
  int64_t items;
  size_t local_bytes;
  int max_lines;        /* of a kernel that is compiled, 0: 2000 */
  const schedule *bits; /* only what gives the same bits is a candidate; NULL: anything */
} cost_target;

/* Predicted seconds of the graph's convolutions under this schedule; INFINITY where it cannot be had: a tile that is not in
 * the survey of every convolution, a combination that is refused, a kernel that is too long to be compiled. What is not a convolution costs the same under all schedules and is left out. */
double schedule_cost(const wino_survey *s, const schedule *plan, const cost_target *t);

/* The same, and what it is the sum of: by convolution and stage, a stage inside another's kernel added to that; 0 where
 * nothing is left to run. All of a convolution that is not rewritten is its STAGE_O. */
double schedule_cost_by_stage(const wino_survey *s, const schedule *plan, const cost_target *t,
                              double (*seconds)[STAGE_COUNT]);

typedef struct candidate {
  schedule schedule; /* complete: schedule_print gives text that --plan takes */
  double seconds;    /* predicted */
} candidate;

/* The best `max` schedules by predicted cost, best first, each once; `direct` is always among those considered, and is the
 * only one where nothing can be rewritten. Returns how many there are, at least 1 (max >= 1). */
size_t schedule_candidates(const wino_survey *s, const cost_target *t, candidate *out, size_t max);

#endif
