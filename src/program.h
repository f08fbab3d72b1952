/* A compiled program: what the pipeline leaves behind and what runs. Internal to src/program.c and src/pipeline.c.
 *
 * Always holds: everything is owned by the program and its graph; running it allocates nothing. */
#ifndef WN_PROGRAM_H
#define WN_PROGRAM_H

#include "kernel/kernel.h"
#include "runtime/store.h"
#include "schedule/nest.h"
#include "winograd/winograd.h"

struct wn_program {
  diag diag;
  graph graph; /* IR and all text of the program */
  runtime *rt;
  store *store; /* while compiling, else NULL */
  module *module;
  kernel_set *set;
  linear_kernel **kernels; /* one per set->kernels, same order */
  const char **sources;    /* as C, once asked for */
  void ***args;            /* per kernel, its arrays' addresses by slot */
  void ***moved;           /* the same for a later round of a host loop, made when it is run */
  char *workspace, *prepared;
  void **user;    /* by slot of the caller's buffers */
  void **results; /* by number of output */
  int nprepare;
  bool is_prepared;
  wn_program_info info;
};

/* Lays the arrays into memory and points the kernels' arguments at them. diag_fail when memory is short. */
void program_allocate(wn_program *p);

void program_close_store(wn_program *p);

/* Seconds of a clock that only goes forward. */
double program_now(void);

#endif
