/* The parts of the pipeline that the command line asks for besides the public API.
 *
 * In: the environment. Out: nothing, or a failure. Always holds: every compile checks it too. */
#ifndef WN_PIPELINE_H
#define WN_PIPELINE_H

#include "base/diag.h"

/* A value of WINNOW_DUMP or WINNOW_TRACE that means nothing is WN_ERR_USAGE. */
void pipeline_check_environment(diag *d);

#endif
