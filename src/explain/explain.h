/* Why a program is as fast as it is: what was matched, what the passes made of it, each kernel, what the cost model
 * expects, and what other placements would cost.
 *
 * In: what wn_compile takes. Out: figures, and text made of them. Always holds: nothing is run here; who can run (the
 * command line) fills in what was measured before the text is made, and what it leaves NAN is shown as not measured. */
#ifndef WN_EXPLAIN_EXPLAIN_H
#define WN_EXPLAIN_EXPLAIN_H

#include <stdio.h>

#include "decide/forecast.h"
#include "report/site_rows.h"

typedef struct explained_kernel {
  wn_kernel_info info;
  double arithmetic_us, traffic_us; /* least time of each at the limits of the machine */
  double least_us;                  /* of both */
  const char *bound;                /* "arithmetic" or "bytes": which of them that is */
  bool prepare;
  double predicted_us; /* NAN: the model has none of its own */
  double measured_us;
} explained_kernel;

#define EXPLAIN_NOW "now" /* what choices call the program itself */

typedef struct explained_choice {
  const char *change;   /* "x=local", "direct", "wino=6x6", or a schedule */
  const char *plan;     /* as --plan takes it */
  const char *refused;  /* NULL, or why it cannot be had */
  const char *fallback; /* NULL, or why a kernel of it would run in the interpreter */
  const char *same_as;  /* NULL, or the earlier choice (or now) that is the same program */
  double predicted_us, measured_us;
  double workspace_bytes; /* NAN where refused */
} explained_choice;

typedef struct explanation {
  wn_program *program;
  wn_program_info info;
  /* a line for each reduction, less the last '\n': matched as what, or why not */
  const char *recognised;
  bool measured_limits; /* of the machine; else they are guesses */
  bool here;      /* what is predicted can be run: no interpreter, no device that is not there */
  bool reference; /* the interpreter was asked for */
  bool
      brief; /* of many sites: no choices were looked at, and only the summary and the sites are written */
  double predicted_us, least_us;
  double measured_us;        /* median of a run */
  double measured_error;     /* relative L2, */
  double measured_sum_error; /* and relative to what was summed */
  int nkernels, nchoices;
  explained_kernel *kernel; /* in order of running, prepare part first */
  explained_choice *choice;
  int nsites;
  report_site *site; /* by number; times are those of its kernels, see explain_time_sites */
} explanation;

/* Compiles, and writes what each pass made of the program where write is not NULL. Everything in *e belongs to it. */
wn_status explain_open(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                       const wn_options *options, bool brief,
                       void (*write)(void *user, const char *text), void *user, explanation *e);
void explain_close(explanation *e);
/* Once kernels were measured: what that says of sites. */
void explain_time_sites(explanation *e);

/* Kernels, choices, sites and last the summary, or all of it the other way round; a section at a time. */
wn_status explain_write(const explanation *e, bool summary_first,
                        void (*write)(void *user, const char *text), void *user);

/* --- explain_text.c: a section each, in the program's arena ----------------------------------- */

const char *explain_text_program(const explanation *e);
const char *explain_text_sites(const explanation *e); /* NULL: there is one, of which all is said */
const char *explain_text_layouts(const explanation *e);    /* NULL: no site has a choice */
const char *explain_text_sides(const explanation *e);      /* NULL: nothing runs side by side */
const char *explain_text_placements(const explanation *e); /* NULL: there is one site */
const char *explain_text_choices(const explanation *e);    /* NULL: there are none */
const char *explain_text_kernel(const explanation *e, int kernel);

#endif
