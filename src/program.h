/* A compiled program: what the pipeline leaves behind and what runs. Internal to src/program.c and src/pipeline.c.
 *
 * Always holds: everything is owned by the program and its graph; running it allocates nothing. */
#ifndef WN_PROGRAM_H
#define WN_PROGRAM_H

#include <pthread.h>

#include "kernel/kernel.h"
#include "runtime/runtime.h"
#include "schedule/nest.h"
#include "winograd/winograd.h"

struct wn_program {
  diag diag;
  graph graph; /* IR and all text of the program */
  runtime *rt;
  module *module;
  kernel_set *set;
  linear_kernel **kernels; /* one per set->kernels, same order */
  const char **sources;    /* as C, once asked for */
  void ***args;            /* per kernel, its arrays' addresses by slot */
  char *workspace, *prepared;
  void **user;    /* by slot of the caller's buffers */
  void **results; /* by number of output */
  int nprepare;
  bool is_prepared;
  pthread_mutex_t turn; /* runs take turns */
  bool has_turn;
  wn_program_info info;
};

/* Lays the arrays into memory and points the kernels' arguments at them. diag_fail when memory is short or over the limit
 * (0: none). */
void program_allocate(wn_program *p, size_t max_memory);

/* Seconds of a clock that only goes forward. */
double program_now(void);

#endif
