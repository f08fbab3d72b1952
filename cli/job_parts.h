/* What jobs of problems and of models are made of: for job.c alone, which has said what holds for both. */
#ifndef WINNOW_CLI_JOB_PARTS_H
#define WINNOW_CLI_JOB_PARTS_H

#include "job.h"

/* --- job_conv.c ------------------------------------------------------------------------------- */

void job_conv_open(job *j, const problem *p, bool with_reference);
wn_tensor *job_conv_graph(const job *j, wn_context *ctx);

/* --- job_net.c -------------------------------------------------------------------------------- */

void job_net_open(job *j, const char *path, bool with_reference);

#endif
