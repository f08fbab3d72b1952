/* From rates that were measured, or guessed, to the limits of a machine that the model and the roofline read.
 *
 * In: a machine and its rates. Out: limits. Always holds: no rates are guesses from what the machine is, and are marked
 * so; measuring and keeping is for others (measure/measure.h). */
#ifndef WN_MACHINE_LIMITS_H
#define WN_MACHINE_LIMITS_H

#include "machine/machine.h"

/* Instructions whose rate is measured; a rate of 0: not on this machine. */
typedef enum {
  MACHINE_MUL_ADD, /* vectors of 16 bytes, a product and an addition: sse2 */
  MACHINE_FMA_16,  /* fused, vectors of 16 bytes: neon, and short vectors of the next two */
  MACHINE_FMA_32,
  MACHINE_FMA_64,
  MACHINE_RATES
} machine_rate;
extern const char *const machine_rate_name[MACHINE_RATES];

typedef struct cpu_rates {
  int threads;                                           /* of what is measured on all of them */
  double flops[MACHINE_RATES], flops_all[MACHINE_RATES]; /* a second */
  double size[LEVEL_MEMORY];                             /* bytes */
  double read[LEVEL_COUNT], read_all[LEVEL_COUNT];       /* bytes a second */
  double write, write_all;
  double wake; /* seconds */
} cpu_rates;

typedef struct device_rates {
  double flops; /* fp32 multiply-adds a second, each two operations */
  double copy;  /* bytes a second of a copy in the device's memory, read and written ones */
  double local; /* bytes a second read from the local memory of all groups */
  double cache; /* bytes a second read by all groups from the cache next to memory */
  /* its size: what the device tells; of a GPU, which tells of others, how far it reads fast */
  double cache_bytes;
  double launch; /* seconds from one launch in a queue of many to the next */
  double alone;  /* seconds of a launch that is waited for */
} device_rates;

/* The limits of a CPU whose kernels run on so many threads. measured NULL: guesses. */
machine_limits machine_limits_for(const cpu_rates *measured, const machine *cpu, int threads);
/* The same of a device, all of which counts as one thread. */
machine_limits device_limits_for(const device_rates *measured, const machine *device);

/* The least seconds that all threads need for so many operations, and for so many bytes that are touched once each:
 * from the smallest cache that holds them (Williams, Waterman and Patterson, "Roofline", 2009). */
double machine_arithmetic_s(const machine_limits *l, double flops);
double machine_traffic_s(const machine_limits *l, double bytes);

#endif
