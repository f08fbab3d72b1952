/* Which rows of a comparison are worth looking at: those that no other row beats in time, memory and compile cost at
 * once.
 *
 * In: rows of one problem, all of them. Out: `pareto` of each. Always holds: where a row can be used there is a front,
 * and its fastest row is in it; rows that cannot be used (refused, wrong, in the interpreter, outside the error
 * promise) are not; rows that share a program are both in it or both not. */
#ifndef WN_REPORT_PARETO_H
#define WN_REPORT_PARETO_H

#include "report/report.h"

/* Compile costs are measured once each: what saves less of it than this part saves nothing. */
#define PARETO_MARGIN 0.1

void report_pareto(arena *a, report_row *rows, int count);

/* Neither refused nor stopped, interpreted, wrong or outside the promise. */
bool report_is_usable(const report_row *row);

/* Time to compare rows by; NAN where nothing was measured. Where there is a plan that took turns with each row, the
 * least time relative to its least: noise only ever adds, and batches are minutes apart. */
double report_relative_time(const report_row *row);

#endif
