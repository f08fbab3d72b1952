/* The limits of this machine: measured once by `winnow devices --measure`, kept in the store, read by every choice.
 *
 * In: the CPU, or a store that may have been written by anybody. Out: rates and bandwidths. Always holds: what is kept
 * and makes no sense is as if it were not there, with a warning; then limits are guesses (machine/limits.h). */
#ifndef WN_MEASURE_MEASURE_H
#define WN_MEASURE_MEASURE_H

#include "machine/limits.h"
#include "store/store.h"

/* Measures, in about two seconds. Memory for it is freed again; too little of it is diag_fail. */
void machine_measure(diag *d, const machine *cpu, cpu_rates *out);

/* Names this machine in the store: the same for every instruction set, of which all are measured. */
const char *machine_key(arena *a, const machine *cpu);
/* Kept for this CPU; false: not kept (the store is off or cannot be written). */
bool machine_store(store *s, arena *a, const machine *cpu, const cpu_rates *m);
/* False where nothing is kept, or what is kept makes no sense, which is a warning. */
bool machine_load(store *s, arena *a, const machine *cpu, cpu_rates *out);

#endif
