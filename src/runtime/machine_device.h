/* The limits of a device that has memory of its own, as machine.h has them of the CPU: measured once by `winnow devices
 * --measure`, kept in the store by device and driver.
 *
 * In: a runtime whose device is open, or a store that may have been written by anybody. Out: rates, bandwidths, the cost of
 * a launch. Always holds: the loops that are measured are linear kernels (machine_kernels.c), compiled and launched by the
 * backend like those of any program, so every backend has them. */
#ifndef WN_RUNTIME_MACHINE_DEVICE_H
#define WN_RUNTIME_MACHINE_DEVICE_H

#include "runtime/machine.h"

typedef struct device_machine {
  double flops; /* fp32 multiply-adds a second, each two operations */
  double copy;  /* bytes a second of a copy in the device's memory, read and written ones */
  double local; /* bytes a second read from the local memory of all groups */
  double cache; /* bytes a second read by all groups from the cache next to memory */
  double
      cache_bytes; /* its size: what the device tells; of a GPU, which tells of others, how far it reads fast */
  double launch; /* seconds from one launch in a queue of many to the next */
  double alone;  /* seconds of a launch that is waited for */
} device_machine;

/* Measures, in a second or two. A device that fails, or does not compile the kernels, is diag_fail. Takes its turn. */
void device_measure(diag *d, runtime *rt, device_machine *out);

/* Names the device and its driver in the store. */
const char *device_key(arena *a, const char *backend, const cpu_target *target);
bool device_store(store *s, arena *a, const char *backend, const cpu_target *target,
                  const device_machine *m);
/* False where nothing is kept, or what is kept makes no sense, which is a warning. */
bool device_load(store *s, arena *a, const char *backend, const cpu_target *target,
                 device_machine *out);

/* As the model and the roofline want limits; m NULL: guesses. All of the device counts as one thread. */
machine_limits device_limits_for(const device_machine *m, const cpu_target *target);

/* The limits of whatever the runtime runs kernels on: kept ones, else guesses. */
machine_limits machine_limits_of(store *s, arena *a, const runtime *rt);

/* --- machine_kernels.c ---------------------------------------------------------------------------------------------------- */

typedef enum { PROBE_FMA, PROBE_COPY, PROBE_CACHE, PROBE_LOCAL, PROBE_EMPTY, PROBES } device_probe;

/* What is measured, as a kernel of one array in (slot 0) and one out (slot 1). */
typedef struct probe_kernel {
  const lin_kernel *kernel;
  double work;    /* operations or bytes of a group */
  int64_t groups; /* at most */
} probe_kernel;

enum { PROBE_OUT_BYTES = 4096 }; /* of slot 1, but for a copy, where it is as large as slot 0 */

/* bytes: of slot 0, a power of two; for a copy and the cache. */
probe_kernel device_probe_kernel(arena *a, device_probe which, const cpu_target *target,
                                 size_t bytes);

#endif
