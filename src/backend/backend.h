/* What the runtime asks of a compiler backend.
 *
 * In: verified linear kernels for one target. Out: a code object, and for each kernel a function
 * or the reason why there is none. A backend that fails says so in `error` and never through
 * diag_fail (a lack of memory apart): the runtime puts the interpreter in its place.
 * Always holds: compile owns everything behind the handle that it returns, and release gives all
 * of it back; kernels of a failed compile have fn NULL and an error. */
#ifndef WN_BACKEND_BACKEND_H
#define WN_BACKEND_BACKEND_H

#include "backend/runtime.h"

/* The CPU ABI of kernel/linear.h. */
typedef void (*kernel_fn)(void *const *args, void *scratch, int64_t begin, int64_t end);

typedef struct backend_kernel {
  kernel_fn fn;      /* NULL: not compiled */
  const char *error; /* why fn is NULL, one line, in the arena given to compile */
} backend_kernel;

/* --- devices with memory of their own: OpenCL, Metal -------------------------------------------- */

typedef struct device_kernel {
  void *code;            /* NULL: not compiled */
  const char *error;     /* why, one line */
  int registers, spills; /* -1: the device does not say */
  const char *note;      /* what else it says ("maxTotalThreadsPerThreadgroup 832"), or NULL */
} device_kernel;

/* All but open and list are called by whose turn it is (runtime_begin) or before anything runs. A
 * function that returns text returns NULL where all went well, else one line that says what failed;
 * the text lives as long as the device. */
typedef struct device_backend {
  /* The devices that open would take, in the order of their numbers, into arena a; 0 with the
   * reason in *why where there are none. */
  int (*list)(diag *d, arena *a, const device_info **out, const char **why);
  /* spec: what stood behind the backend's name and a colon ("0:1"), or NULL; isa: "simt" (work
   * items and groups), "simd" (one work item a group, vectors as wide as the device's), or NULL:
   * what suits the device. Fills in the target, whose text lives as long as the device. What cannot
   * be opened is diag_fail: USAGE for a spec or isa that does not exist, DEVICE for what is missing
   * or failed. */
  void *(*open)(diag *d, const char *spec, const char *isa, machine *target);
  void (*close)(void *device);
  /* The target of a typical device, for kernels that are looked at where there is none; NULL: no
   * device is typical. An isa that does not exist is diag_fail. */
  void (*foreign)(diag *d, const char *isa, machine *target);
  void *(*alloc)(void *device, size_t bytes); /* of zeros; NULL: there is not that much */
  void (*free)(void *device, void *block);    /* NULL is allowed */
  const char *(*write)(void *device, void *block, size_t offset, const void *from, size_t bytes);
  const char *(*read)(void *device, void *block, size_t offset, void *to, size_t bytes);
  /* One kernel as the device's compiler reads it, without what all kernels share. */
  void (*render)(str *out, const lin_kernel *k);
  /* Compiles as `compile` of struct backend does; out[i] is zeroed by the caller. flush: subnormal
   * numbers may be zeros. */
  void *(*compile)(void *device, arena *a, diag *d, int count, const lin_kernel *const *kernels,
                   bool flush, device_kernel *out, struct store *cache, bool *cached);
  void (*release)(void *handle); /* NULL is allowed */
  /* Queues groups [begin, end) of a kernel behind everything queued before; args: its global arrays
   * by slot. stamp: a number whose start and end `stamps` tells afterwards, counted from 0 in each
   * run that is timed; -1: none. */
  const char *(*launch)(void *device, const device_kernel *kernel, const device_arg *args,
                        int64_t begin, int64_t end, int stamp);
  const char *(*finish)(void *device); /* waits for all that was queued */
  /* Start and end of a stamped launch in seconds of the device's clock, after finish. */
  const char *(*stamps)(void *device, int stamp, double *start, double *end);
  /* Starts to record what the device does, in the format of its maker's tools, into a file that does
   * not exist; with NULL ends it. NULL: the backend records nothing. */
  const char *(*capture)(void *device, const char *path);
} device_backend;

typedef struct backend {
  const char *name; /* "cpu", "cpu:cc", "opencl", "metal" */
  /* Where this is not NULL, the functions below are. The host's pointers then name no arrays. */
  const device_backend *device;
  /* Compiles kernels[0..count) as one unit and fills out[0..count) (zeroed by the caller). The
   * handle keeps the code alive; NULL when nothing was compiled. Text in `out` is allocated in `a`,
   * which outlives the handle. A diag_fail out of memory must leave nothing behind. Code is looked
   * up in the store first and kept there; `*cached` says that it was found. */
  void *(*compile)(arena *a, diag *d, const machine *target, int count,
                   const lin_kernel *const *kernels, backend_kernel *out, struct store *cache,
                   bool *cached);
  void (*release)(void *handle); /* NULL is allowed */
  /* The compiled kernel of this name as text, an instruction a line, in arena a, and its vector
   * registers and spills; NULL, and both as they were, where that is not known. The function
   * itself may be NULL. */
  const char *(*assembly)(const void *handle, arena *a, const machine *target, const char *name,
                          int *registers, int *spills);
} backend;

extern const backend backend_cc;
/* For the handler of a signal that ends the process, of a program that owns it: ends the compilers that run for backend_cc
 * and removes their folders. Calls only what a handler may. Without it the next process that compiles removes them. */
void cc_abandon(void);
extern const backend backend_opencl;
extern const backend backend_metal;
#ifdef WN_HAVE_LLVM
extern const backend backend_llvm;
#endif

#endif
