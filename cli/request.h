/* Timing on request: another program says when a compiled plan runs, so that it can take turns with
 * others (`winnow conv --on-request`, bench/peers/driver.py).
 *
 * In: lines "SECONDS LEAST" on stdin. Out: for each one line on stdout, a JSON array of µs a run,
 * one number a sample; at least LEAST samples over at least SECONDS. Always holds: a sample is at
 * least 50 µs of runs, warm runs before the first are not counted, nothing runs between requests. */
#ifndef WINNOW_CLI_REQUEST_H
#define WINNOW_CLI_REQUEST_H

#include "job.h"

/* The first entry's program, timed whenever a line on stdin says so, until there are no more. */
void request_serve(job *j);

#endif
