/* `compare --all`: every combination of the four placements, each program once.
 *
 * In: a job and more plans than should be compiled and kept at once. Out: a row for each. Always holds: plans whose
 * programs are the same share one, which the rows say (`same_as`); a batch of programs is alive at a time, and its rows
 * are measured in turns with one schedule that is the same in all batches (`reference_us`); what is measured is kept in
 * the cache on disk until the command has ended well. */
#ifndef WINNOW_CLI_EVERY_PLAN_H
#define WINNOW_CLI_EVERY_PLAN_H

#include "job.h"
#include "journal.h"

/* Journals of the problems that are done, to be dropped when the command is. */
typedef VEC(journal) journal_list;

/* Rows by plan, in the arena of the job; NULL: interrupted, which was said and is in the exit status. */
report_row *combinations_measure(job *j, const plan_spec *specs, int count, journal_list *done);

#endif
