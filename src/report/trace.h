/* Rows as a trace that chrome://tracing and Perfetto open.
 *
 * In: a report_set. Out: JSON in Google's Trace Event Format, one process a plan with two threads:
 * `once` has scheduling, compiling and preparing, `run` the kernels of a run one behind the other.
 * Always holds: both begin at 0, so that plans stand below each other and can be compared; figures
 * that are not known are left out. */
#ifndef WN_REPORT_TRACE_H
#define WN_REPORT_TRACE_H

#include "report/collect.h"

/* An error of the stream stays in it; false: no memory. */
bool report_trace(FILE *out, const report_set *set);

#endif
