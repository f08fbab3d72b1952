/* The limits of a device that has memory of its own, as measure.h has them of the CPU: measured once by `winnow devices
 * --measure`, kept in the store by device and driver.
 *
 * In: a runtime whose device is open, or a store that may have been written by anybody. Out: rates, bandwidths, the
 * cost of a launch. Always holds: the loops that are measured are linear kernels (measure_kernels.c), compiled and
 * launched by the backend like those of any program, so every backend has them. */
#ifndef WN_MEASURE_MEASURE_DEVICE_H
#define WN_MEASURE_MEASURE_DEVICE_H

#include "backend/runtime.h"
#include "measure/measure.h"

/* Measures, in a second or two. A device that fails, or does not compile the kernels, is diag_fail. Takes its turn. */
void device_measure(diag *d, runtime *rt, device_rates *out);

/* Names the device and its driver in the store. */
const char *device_key(arena *a, const char *backend, const machine *target);
bool device_store(store *s, arena *a, const char *backend, const machine *target,
                  const device_rates *m);
/* False where nothing is kept, or what is kept makes no sense, which is a warning. */
bool device_load(store *s, arena *a, const char *backend, const machine *target, device_rates *out);

/* The limits of whatever the runtime runs kernels on: kept ones, else guesses. */
machine_limits machine_limits_of(store *s, arena *a, const runtime *rt);

/* --- measure_kernels.c ------------------------------------------------------------------------ */

typedef enum { PROBE_FMA, PROBE_COPY, PROBE_CACHE, PROBE_LOCAL, PROBE_EMPTY, PROBES } device_probe;

/* What is measured, as a kernel of one array in (slot 0) and one out (slot 1). */
typedef struct probe_kernel {
  const lin_kernel *kernel;
  double work;    /* operations or bytes of a group */
  int64_t groups; /* at most */
} probe_kernel;

enum { PROBE_OUT_BYTES = 4096 }; /* of slot 1, but for a copy, where it is as large as slot 0 */

/* bytes: of slot 0, a power of two; for a copy and the cache. */
probe_kernel device_probe_kernel(arena *a, device_probe which, const machine *target, size_t bytes);

#endif
