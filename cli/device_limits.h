/* The devices of this machine as `winnow devices` goes through them, and what they can do. */
#ifndef WINNOW_CLI_DEVICE_LIMITS_H
#define WINNOW_CLI_DEVICE_LIMITS_H

#include "app.h"

enum { DEVICES_MOST = 64 };

/* What --backend takes for each device of one of them ("opencl:0:1"); 0 with the reason where there are none. */
int devices_of(cli *app, const char *backend, const char **specs, int most, const char **why);
/* devices --measure: the limits of the CPU and of every device, or of the one that --backend names, measured, shown and
 * kept. */
void devices_measure(cli *app);

#endif
