/* What DEBUG=1..5 asks for, on stderr: a line a plan, its kernels, its schedule, their source, the IR after each pass.
 * */
#ifndef WINNOW_CLI_DEBUG_H
#define WINNOW_CLI_DEBUG_H

#include "job.h"

/* Of a job whose plans were measured. */
void debug_print(job *j);

#endif
