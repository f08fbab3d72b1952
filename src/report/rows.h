/* Rows from programs, and rows that are one program.
 *
 * In: a program; rows with the identity of theirs. Out: what a program says of itself, in a row; which rows share one,
 * and the figures of the row that was measured in the others. Always holds: texts are copied, but for sources, which
 * are the program's. */
#ifndef WN_REPORT_ROWS_H
#define WN_REPORT_ROWS_H

#include "report/report.h"
#include "winnow/winnow.h"

/* Everything but times, errors and kernels. The plan too, unless the row has one. */
void report_read_program(arena *a, report_row *row, const wn_program_info *info);
/* Kernels and sites, untimed; gflops_executed becomes the flops of a run, until there is a time to divide by. Of
 * *kernels and *sites the row has what is in them, so times may be put there. */
wn_status report_read_kernels(arena *a, report_row *row, wn_program *program,
                              report_kernel **kernels, report_site **sites);

/* of[i]: the first row of the program of row i, -1 where it has none; first: those that are first, in order. Returns
 * how many these are. Both have room for count. */
int report_find_programs(arena *a, const report_row *rows, int count, int *of, int *first);
/* What was measured of a row of the same program. What was asked for and what scheduling cost stay. */
void report_take_figures(report_row *row, const report_row *measured);

#endif
