/* Rows of a whole command, kept beyond the jobs that measured them: what a page or a trace is made
 * of.
 *
 * In: rows, whose texts die with their job. Out: copies in one arena. Always holds: equal texts are
 * one pointer and equal kernels one entry, so a source that 200 plans share is there once; every
 * text is valid UTF-8 (what is not is U+FFFD). */
#ifndef WN_REPORT_COLLECT_H
#define WN_REPORT_COLLECT_H

#include "base/map.h"
#include "report/report.h"

/* A kernel as a row launches it. */
typedef struct report_launch {
  int kernel; /* in report_set.kernels */
  int site;   /* of the row; -1: not known */
  double median_us;
} report_launch;

typedef struct report_entry {
  report_row row; /* without kernel */
  report_launch *launch;
  int launches;
  int limits; /* in report_set.limits, -1: not measured */
} report_entry;

typedef struct report_set {
  arena *arena;
  /* Of the whole report; NULL where not known. */
  const char *command, *line, *date, *version, *compiler, *system;
  VEC(report_entry) entries;
  VEC(report_kernel) kernels; /* each once; median_us is each launch's own */
  VEC(report_limits) limits;
  map texts;
} report_set;

void report_set_init(report_set *set, arena *a);
void report_set_add(report_set *set, const report_row *row);
/* The one copy of a text; NULL stays NULL. */
const char *report_set_text(report_set *set, const char *text);

#endif
