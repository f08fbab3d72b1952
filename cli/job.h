/* One problem with its data, and the tensor graph that computes it.
 *
 * In: a problem and the options. Out: arrays (from files, or uniform in [-1, 1) from the seed), the
 * float64 reference, and y = act(conv(x, w) + bias + residual) built with the public tensor API.
 * Always holds: job_close frees everything, also after a failure half-way through job_open. */
#ifndef WINNOW_CLI_JOB_H
#define WINNOW_CLI_JOB_H

#include "app.h"

/* A plan of a job: compiled, refused, or sharing the program of an earlier one. */
typedef struct entry {
  plan_spec spec;
  wn_context *ctx;
  wn_program *program; /* NULL when refused or shared */
  int shares;          /* index of the entry whose program it is, or -1 */
  double once_us;      /* a warm run */
  double *samples;
  int sample_count, rounds, repeats;
  report_row row;
  report_kernel *kernels;
  report_site *sites;
} entry;

typedef struct job {
  cli *app;
  arena arena;
  problem problem;
  conv_data data;
  float *x, *w, *bias, *residual, *y; /* aligned */
  reference reference;
  int64_t special; /* NaN and infinite values in the data */
  bool given;      /* x or w are the user's: what is promised of independent noise is not of them */
  int photo_bits;  /* of a channel of --input; 0: it is no photo */
  entry *entries;
  int entry_count;
} job;

void job_open(job *j, cli *app, const problem *p, bool with_reference);
void job_close(job *j);
/* Run `work` on the opened job and close it, whatever happens in between. */
void job_with(cli *app, const problem *p, bool with_reference, void (*work)(job *, void *),
              void *user);

/* Sizes of an image array, (mb, channels, extents...) in the job's layout; returns how many. */
int job_shape(const job *j, int64_t channels, const int64_t *extents, int64_t *shape);
wn_tensor *job_graph(const job *j, wn_context *ctx);
void job_options(const job *j, const plan_spec *spec, wn_options *o);
/* The problem that --input and --weights make: filter centred, the size stays. */
void job_problem_of_files(cli *app, problem *p);

#endif
