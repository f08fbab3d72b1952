/* Loops whose speed is a limit of the machine; for measure.c. */
#ifndef WN_MEASURE_MEASURE_PROBE_H
#define WN_MEASURE_MEASURE_PROBE_H

#include "machine/limits.h"

bool probe_has(machine_rate rate);
/* Executes probe_flops(rate, rounds) operations that do not wait for each other. */
void probe_arithmetic(machine_rate rate, int64_t rounds);
double probe_flops(machine_rate rate, int64_t rounds);
/* Reads or writes all of the memory, a multiple of 512 bytes, 64-byte aligned, with the widest vectors. */
void probe_read(const float *at, size_t bytes);
void probe_write(float *at, size_t bytes);

#endif
