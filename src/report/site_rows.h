/* The sites of a program: what it says of them, and times that are those of their kernels.
 *
 * In: a program, and kernels with the number of their site. Out: report_site records, and the columns that JSON, the
 * page and explain print of them. Always holds: texts are copied; a site of which some kernel was not timed has no
 * time. */
#ifndef WN_REPORT_SITE_ROWS_H
#define WN_REPORT_SITE_ROWS_H

#include "report/columns.h"
#include "report/report.h"
#include "winnow/winnow.h"

enum { REPORT_SITE_COLUMNS = 23 };
extern const column report_site_columns[REPORT_SITE_COLUMNS];

/* All of a program, untimed; *count of them. */
report_site *report_read_sites(arena *a, wn_program *program, int *count);
/* Times of the kernels of a run to those of sites, and the share of each in all of them. */
void report_time_sites(report_site *sites, int count, const report_kernel *kernels, int nkernels);
enum { REPORT_NAME_WIDTH = 40 }; /* of a name in a table */
/* conv3, or conv3 "layer1.0.conv1", its name in at most so many characters. */
const char *report_site_text(arena *a, const report_site *site, int width);
/* At most `width` characters of a name: of a long one the end, which tells it from others. */
const char *report_short_name(arena *a, const char *name, int width);

#endif
