/* How near a program came to what the machine can do. */
#ifndef WINNOW_CLI_ROOFLINE_H
#define WINNOW_CLI_ROOFLINE_H

#include "app.h"
#include "measure/measure.h"

/* The limits that `winnow devices --measure` kept of what the options run kernels on; false: there are none. */
bool roofline_limits(cli *app, machine_limits *out);
/* The same limits as a report shows them, in the arena. */
const report_limits *roofline_ceilings(arena *a, const machine_limits *l);
/* Microseconds that the kernels of a run need at least: each is bound by its arithmetic at the peak rate or by its
 * bytes at the bandwidth of the smallest cache that holds them (Williams, Waterman and Patterson, "Roofline", 2009). */
double roofline_us(const machine_limits *l, const report_kernel *kernels, int count);

#endif
