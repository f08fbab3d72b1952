/* One problem or model with its data, and the tensor graph that computes it.
 *
 * In: a problem or a model, and the options. Out: arrays (from files, or uniform in [-1, 1) from the seed), what a
 * float64 computation gives, and, built with the public API, y = act(conv(x, w) + bias + residual) or the outputs of
 * the model. Always holds: job_close frees everything, also after a failure half-way through job_open. */
#ifndef WINNOW_CLI_JOB_H
#define WINNOW_CLI_JOB_H

#include "net.h"

/* How far a value is from what float64 gives, over the places where both are finite. */
typedef struct value_error {
  double relative_l2, max_abs;
  int64_t special; /* places where one is NaN or infinite, and the other is not or another */
} value_error;

/* A plan of a job: compiled, refused, or sharing the program of an earlier one. */
typedef struct entry {
  plan_spec spec;
  wn_context *ctx;
  wn_program *program; /* NULL when refused or shared */
  int shares;          /* index of the entry whose program it is, or -1 */
  double compile_us;   /* from the graph's inputs to a program, building it included */
  double once_us;      /* a warm run */
  double *samples;
  int sample_count, rounds, repeats;
  report_row row;
  report_kernel *kernels;
  report_site *sites;
  value_error *errors; /* of a model's outputs; NULL: not known */
} entry;

typedef struct job_output {
  const char *name; /* NULL: it has none */
  wn_dtype dtype;
  int ndim;
  int64_t shape[WN_MAX_DIMS], count;
  void *data;          /* aligned */
  const double *exact; /* of a model, what float64 gives; NULL: not known */
} job_output;

typedef struct job {
  cli *app;
  arena arena;
  const char *text; /* what it is called */
  job_output *out;
  int out_count;
  double flops; /* of a run by the definition; NAN: not known */
  VEC(wn_context *) contexts;
  VEC(void *) arrays;
  network *net;    /* of a model, with its data; NULL: it is a problem, and has what follows */
  problem problem; /* of a model zeros */
  conv_data data;
  float *x, *w, *bias, *residual, *y; /* aligned; y is that of the output */
  reference reference;
  int64_t special; /* NaN and infinite values in the data */
  bool given;      /* x or w are the user's: what is promised of independent noise is not of them */
  int photo_bits;  /* of a channel of --input; 0: it is no photo */
  bool
      drops_weights; /* of a model: nothing else is compiled, so what no run reads of its weights goes */
  entry *entries;
  int entry_count;
} job;

void job_open(job *j, cli *app, const subject *s, bool with_reference);
void job_close(job *j);
void job_close_entry(entry *e); /* frees the program; the row stays */
/* Run `work` on the opened job and close it, whatever happens in between. */
void job_with(cli *app, const subject *s, bool with_reference, void (*work)(job *, void *),
              void *user);

/* A context that lives as long as the job. */
wn_context *job_context(job *j);
/* An aligned array that does. */
void *job_array(job *j, wn_dtype dtype, int64_t count);
/* What wn_compile takes, in the arena of the job. */
typedef struct job_graph {
  wn_tensor **out;
  void **data;
  int count;
} job_graph;
job_graph job_build(job *j, wn_context *ctx);
void job_options(const job *j, const plan_spec *spec, wn_options *o);

/* Runs a model whose last stage is on the host: outputs have their shapes then. */
void job_net_run(job *j);

/* Sizes of an image array of a problem, (mb, channels, extents...) in the job's layout; returns how many. */
int job_shape(const job *j, int64_t channels, const int64_t *extents, int64_t *shape);
/* The problem that --input and --weights make: filter centred, the size stays. */
void job_problem_of_files(cli *app, problem *p);

#endif
