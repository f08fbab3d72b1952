/* What tuning found, a row a problem. In: rows, filled by the caller, who owns their texts. Out: a table for a person,
 * or a line of JSON or CSV each. */
#ifndef WN_REPORT_TUNING_H
#define WN_REPORT_TUNING_H

#include "report/report.h"

typedef struct tuning_row {
  const char *problem, *backend, *isa, *version, *math, *weights;
  const char *pick, *untuned; /* schedules; NULL where nothing was measured */
  const char *not_stored;     /* NULL, or why */
  int threads, measured;
  double untuned_us, tuned_us, speedup, rel_l2_err, rel_sum_err, seconds;
  bool stored, stopped;
} tuning_row;

void tuning_table(FILE *out, arena *a, const tuning_row *rows, int count, report_style style);
bool tuning_json(FILE *out, const tuning_row *row);
void tuning_csv_header(FILE *out);
void tuning_csv(FILE *out, const tuning_row *row);

#endif
