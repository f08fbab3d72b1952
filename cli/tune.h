/* Tuning before measuring. In: a job. Out: a plan. */
#ifndef WINNOW_CLI_TUNE_H
#define WINNOW_CLI_TUNE_H

#include "job.h"

/* With BEAM set and an automatic plan: tunes first, and changes the plan where the pick could not be stored. */
void tune_first(job *j, plan_spec *spec);

#endif
