/* The limits of this machine: measured once by `winnow devices --measure`, kept in the store, read by every choice.
 *
 * In: the CPU, or a store that may have been written by anybody. Out: rates and bandwidths. Always holds: limits that are not
 * there or make no sense are replaced by guesses from the CPU's features, with a warning for the latter. */
#ifndef WN_RUNTIME_MACHINE_H
#define WN_RUNTIME_MACHINE_H

#include "runtime/store.h"
#include "schedule/cost.h"

/* Instructions whose rate is measured; a rate of 0: not on this machine. */
typedef enum {
  MACHINE_MUL_ADD, /* vectors of 16 bytes, a product and an addition: sse2 */
  MACHINE_FMA_16,  /* fused, vectors of 16 bytes: neon, and short vectors of the next two */
  MACHINE_FMA_32,
  MACHINE_FMA_64,
  MACHINE_RATES
} machine_rate;
extern const char *const machine_rate_name[MACHINE_RATES];

typedef struct machine {
  int threads;                                           /* of what is measured on all of them */
  double flops[MACHINE_RATES], flops_all[MACHINE_RATES]; /* a second */
  double size[LEVEL_MEMORY];                             /* bytes */
  double read[LEVEL_COUNT], read_all[LEVEL_COUNT];       /* bytes a second */
  double write, write_all;
  double wake; /* seconds */
} machine;

/* Measures, in about two seconds. Memory for it is freed again; too little of it is diag_fail. */
void machine_measure(diag *d, const cpu_target *cpu, machine *out);

/* Names this machine in the store: the same for every instruction set, of which all are measured. */
const char *machine_key(arena *a, const cpu_target *cpu);
/* Kept for this CPU; false: not kept (the store is off or cannot be written). */
bool machine_store(store *s, arena *a, const cpu_target *cpu, const machine *m);
/* False where nothing is kept, or what is kept makes no sense, which is a warning. */
bool machine_load(store *s, arena *a, const cpu_target *cpu, machine *out);

/* What the model wants to know about a target. m NULL: guesses. */
machine_limits machine_limits_for(const machine *m, const cpu_target *cpu, int threads);

/* The least seconds that all threads need for so many operations, and for so many bytes that are touched once each: from
 * the smallest cache that holds them (Williams, Waterman and Patterson, "Roofline", 2009). */
double machine_arithmetic_s(const machine_limits *l, double flops);
double machine_traffic_s(const machine_limits *l, double bytes);

#endif
