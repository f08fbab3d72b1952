/* From plans to rows; and the steps of that, for those who measure more plans than should be alive at once.
 *
 * In: a job whose entries have their specs. Out: entries with rows. Order: describe, compile, settle, in_turns over all
 * entries of the job, finish, then job_close_entry. Always holds: an entry that did not compile has its reason in its
 * row and takes no part in what follows. */
#ifndef WINNOW_CLI_TIMING_H
#define WINNOW_CLI_TIMING_H

#include "job.h"

#define MEASURE_BUDGET_US 3e5 /* of samples a plan, without --runs */

/* Compile, prepare, check against the reference, measure in turns; fills each entry's row. */
void measure_plans(job *j, const plan_spec *specs, int count);

/* What is known of a row before its plan is looked at. */
void measure_describe(job *j, entry *e);
/* False: refused, or stopped by --strict, and the row says so. A mistake of the user's or the machine's ends the
 * command.
 * plan_only: no code, for which nothing can fall back. */
bool measure_compile(job *j, entry *e, bool plan_only);
void measure_read_info(job *j, entry *e, wn_program_info *info);
/* Prepares, runs once, judges the errors, and decides how many samples of how many calls fit the budget. */
void measure_settle(job *j, entry *e, double budget_us);
/* A sample of each entry in turns, until all have theirs, or an interrupt. */
void measure_in_turns(job *j, double budget_us);
/* Times of programs and of their kernels, and shares of the roofline, into the rows. */
void measure_finish(job *j);

#endif
