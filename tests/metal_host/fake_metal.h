/* A stand-in for Metal that runs kernels on the CPU: what a test can set and see. */
#ifndef TEST_FAKE_METAL_H
#define TEST_FAKE_METAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A work item of a kernel: its buffers by index, then the bytes that setBytes gave. */
typedef void (*fake_work)(char *const *buffers, const int64_t *launch_args, unsigned group,
                          unsigned lane);

typedef struct fake_metal {
  int devices;
  bool private_memory, no_counters, no_samples, no_capture, old_system;
  long family; /* the last of its families */
  int fail_at; /* the n-th thing that may fail, from 1; 0: none */
  /* Kernels are found in the source by their names; the one named here is run for all of them. Part of a name: "bad"
   * does not compile, "lost" has no function, "nopipe" no pipeline, "narrow" and "stuck" allow 64 work items, of which
   * "narrow" can be made to allow more. */
  fake_work work;
  /* Or: makes code of a library's source (NULL: it does not compile), and runs a group of one of its kernels. */
  void *(*load)(const char *source);
  void (*run)(void *code, const char *kernel, char *const *buffers, const int64_t *launch_args,
              unsigned group, unsigned items);
  /* seen */
  int tried;  /* things that may fail */
  int failed; /* those that did */
  int libraries, dispatches, committed, captures;
  bool fast_math;
  char capture_path[256];
} fake_metal;

extern fake_metal fake;

int fake_live(void);  /* objects that are not gone */
int fake_pools(void); /* entries of the autorelease pools */
const char *fake_first_live(void);
void fake_forget(void); /* starts anew: no objects, no pools */

bool fake_has_class(const char *name); /* on the system that is played */
bool fake_has_method(const char *name);

#endif
