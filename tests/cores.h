/* A machine of many cores, whatever this one has: tests that want more threads than it has cores
 * include this first and set how many. The library asks sched_getaffinity; the linker finds this
 * one before the system's. */
#ifndef WN_TESTS_CORES_H
#define WN_TESTS_CORES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <string.h>

static int pretended_cores = 8;

int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set) {
  (void)process;
  memset(set, 0, size);
  for (int i = 0; i < pretended_cores; ++i) CPU_SET_S((size_t)i, size, set);
  return 0;
}

#endif
