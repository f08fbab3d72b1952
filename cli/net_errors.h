/* How far values of a network are from what float64 gives.
 *
 * In: a job of a model. Out: the same network with every number in float64, computed by plain sums, which no plan
 * rewrites; and distances to it. Always holds: nothing of f32 is between its inputs and its outputs, so what differs is
 * rounding, and what plans rewrite; that the network itself is right is not shown by it. */
#ifndef WINNOW_CLI_NET_ERRORS_H
#define WINNOW_CLI_NET_ERRORS_H

#include "job.h"

/* What each of the tensors of a context is in float64, arrays of the job; all NULL where that could not be computed,
 * which was said. *flops of a run, NAN where not known; may be NULL. */
void net_compute_exact(job *j, wn_context *ctx, int count, wn_tensor *const *tensors,
                       const double **exact, double *flops);
value_error net_distance(wn_dtype dtype, int64_t count, const void *got, const double *exact);
/* Distances of the job's outputs as they are now, into the entry and its row, which is wrong where one is far away. */
void net_judge(job *j, entry *e);

/* --- net_layers.c ----------------------------------------------------------------------------- */

/* Where there are several outputs, the error of each with each plan. */
void net_print_outputs(job *j);
/* The error of every value that has a name, a column for each plan; printed, or as JSON or CSV. Values are outputs
 * there, so what computes them is not quite what computes the network. */
void net_print_layers(job *j, const plan_spec *specs, int count);

#endif
