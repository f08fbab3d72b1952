/* How near a program came to what the machine can do. */
#ifndef WINNOW_CLI_ROOFLINE_H
#define WINNOW_CLI_ROOFLINE_H

#include "app.h"
#include "runtime/machine.h"

/* The limits that `winnow devices --measure` kept of what the options run kernels on; false: there are none. */
bool roofline_limits(cli *app, machine_limits *out);
/* Microseconds that the kernels of a run need at least: each is bound by its arithmetic or by its bytes. */
double roofline_us(const machine_limits *l, const report_kernel *kernels, int count);

#endif
