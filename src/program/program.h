/* A compiled program: what the pipeline leaves behind and what runs. Internal to src/program, src/decide and src/pipeline.c.
 *
 * Always holds: everything is owned by the program and its graph; running it allocates nothing.
 * src/program/program_device.c has what programs need whose arrays are in a device's memory. */
#ifndef WN_PROGRAM_PROGRAM_H
#define WN_PROGRAM_PROGRAM_H

#include "kernel/kernel.h"
#include "backend/runtime.h"
#include "store/store.h"
#include "nest/nest.h"
#include "winograd/winograd.h"

struct wn_program {
  diag diag;
  graph graph; /* IR and all text of the program */
  runtime *rt;
  store *store; /* while compiling, else NULL */
  module *module;
  kernel_set *set;
  linear_kernel *
      *kernels; /* one per set->kernels, same order: its code with the arrays of its own */
  int ncodes;
  linear_kernel **codes; /* kernels that differ, by kernel_plan.code: what the module has */
  const char **sources;  /* of each code, once asked for */
  const char **nests;    /* loops as text, the same */
  device_arg **args;     /* per kernel, its arrays by slot */
  device_arg **moved;    /* the same for a later round of a host loop, made when it is run */
  char *workspace, *prepared;
  struct device_memory
      *device;         /* where arrays are on a device: in place of workspace and prepared */
  const char *failure; /* of the last call that failed; lives as long as the runtime */
  void **user;         /* by slot of the caller's buffers */
  void **results;      /* by number of output */
  int nprepare;
  bool is_prepared;
  bool alone; /* a child process could not start the threads, and nobody was told yet */
  wn_program_info info;
  wn_site_info *sites;
  int *site_of; /* by kernel */
};

/* Lays the arrays into memory and points the kernels' arguments at them. diag_fail when memory is short. */
void program_allocate(wn_program *p);

/* --- on a device (program_device.c) -------------------------------------------------------------------------------------- */

/* Text that is returned is NULL, or one line that says what failed. */
void program_allocate_device(wn_program *p); /* diag_fail when the device's memory is short */
void program_free_device(wn_program *p);
const char *program_write_constants(wn_program *p);
const char *program_write_inputs(wn_program *p);
const char *program_read_results(wn_program *p);
bool program_is_on_device(const wn_program *p, int kernel); /* it did not fall back */

void program_close_store(wn_program *p);

/* 32 hexadecimal digits for what runs: kernels, the arrays that they get, the order. After linearising. */
const char *program_identity(wn_program *p);

/* Of the compiled kernel; source_lines -1 where there is no code (plan_only). */
kernel_state program_kernel_state(const wn_program *p, int index);
/* Why a kernel is one for the interpreter, NULL: none is; known before there is any code. */
const char *program_line_limit(const wn_program *p, arena *a, int max_lines);

/* Seconds of a clock that only goes forward. */
double program_now(void);

#endif
