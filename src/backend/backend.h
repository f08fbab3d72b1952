/* What a backend is: one struct, whether its kernels run on this CPU or on a device with memory of its own.
 *
 * In: verified linear kernels for one target. Out: code that can be launched, or for each kernel the reason why there
 * is none. registry.c has a row for each backend; runtime.c and module.c are all that call it.
 * Always holds: a function that returns text returns NULL where all went well, else one line that says what failed,
 * which lives as long as the device. All but list, open and compile are called by whose turn it is (runtime_begin) or
 * before anything runs. Functions marked (optional) may be NULL. */
#ifndef WN_BACKEND_BACKEND_H
#define WN_BACKEND_BACKEND_H

#include "backend/runtime.h"

typedef struct host host; /* threads and memory of this CPU (host.h) */

/* One kernel. The runtime fills in the first part, `compile` the second. */
typedef struct backend_kernel {
  int nargs; /* global arrays: their slots are 0 .. nargs - 1 */
  /* Blocks from which on a launch on the host is worth sharing over threads that spin, and worth waking those that
   * sleep. */
  int64_t share, wake;
  int64_t cost;       /* of a block, about, in the same unit for all kernels of the host */
  const char *symbol; /* a name for its code, by what it computes: other kernels have others */

  void *code;            /* what launch takes; NULL: not compiled */
  const char *error;     /* why, one line */
  size_t scratch;        /* bytes that a thread of the host needs; 0 for a device's kernels */
  int registers, spills; /* -1: not known, or known from `assembly` */
  const char *note; /* what else the device says ("maxTotalThreadsPerThreadgroup 832"), or NULL */
} backend_kernel;

/* Kernels to be compiled, no two of which are the same but for their names. Text in `out` is allocated in `a`, which
 * outlives the handle. */
typedef struct backend_job {
  arena *a;
  diag *d;
  const machine *target;
  bool flush;  /* subnormal numbers may be zeros */
  int threads; /* that may compile at a time */
  int count;
  const lin_kernel *const *kernels;
  const str *keys; /* of each, for the cache: what it computes (kernel_key.h) */
  backend_kernel *out;
  /* has or gets each kernel's code; used by the calling thread alone; may be NULL */
  struct store *cache;
  bool cached;               /* set by compile: all of it was found there */
  compile_progress progress; /* of kernels that are not there (optional) */
} backend_job;

typedef struct backend {
  /* --- for people and for options ------------------------------------------------------------- */
  const char *name;     /* what --backend takes */
  const char *spec;     /* what may stand behind it and a colon, for help: "P:D"; NULL: nothing */
  const char *compiler; /* what makes code of kernels */
  const char *(*version)(arena *a); /* the same with its version (optional) */
  const char *capture_suffix;       /* of the files that `capture` writes: ".gputrace", or NULL */
  const char *const *isas;          /* what --isa and $WINNOW_ISA may ask it for, up to NULL */

  /* --- what it is ----------------------------------------------------------------------------- */
  /* the host's arrays are used where they are, and a child process of fork() can go on */
  bool in_place;
  bool reference; /* interprets: takes any kernel, and its times say nothing about a plan */

  /* --- devices -------------------------------------------------------------------------------- */
  /* The devices that open would take, in the order of their numbers, into arena a; 0 with the reason in *why where
   * there are none. NULL: the backend is one device by itself. */
  int (*list)(diag *d, arena *a, const device_info **out, const char **why);
  /* h: the runtime's threads and scratch, which outlive the device. spec: what stood behind the backend's name and a
   * colon, or NULL. isa: NULL for what suits the device. Fills in the target, whose text lives as long as the device.
   * What cannot be opened is diag_fail: USAGE for a spec or isa that does not exist, DEVICE for what is missing or
   * failed. */
  void *(*open)(diag *d, host *h, const char *spec, const char *isa, machine *target);
  void (*close)(void *device);
  /* The target of a typical device, for kernels that are looked at where there is none. An isa that does not exist is
   * diag_fail. (optional) */
  void (*typical)(diag *d, const char *isa, machine *target);

  /* --- memory --------------------------------------------------------------------------------- */
  void *(*alloc)(void *device, size_t bytes); /* of zeros; NULL: there is not that much */
  void (*free)(void *device, void *block);    /* NULL is allowed */
  const char *(*write)(void *device, void *block, size_t offset, const void *from, size_t bytes);
  const char *(*read)(void *device, void *block, size_t offset, void *to, size_t bytes);

  /* --- kernels -------------------------------------------------------------------------------- */
  /* One kernel as the compiler reads it, without what all kernels share; as C where that reads no text. */
  void (*render)(str *out, const lin_kernel *k);
  /* Fills in the second part of out[0 .. count), which is zeroed (registers and spills: -1). The handle keeps the code
   * alive; NULL when nothing was compiled. What fails is said in `error` and never through diag_fail, a lack of memory
   * apart, which must leave nothing behind. */
  void *(*compile)(void *device, backend_job *job);
  void (*release)(void *handle); /* NULL is allowed; the device that compiled it is still open */
  /* The kernel of this symbol as text, an instruction a line, in arena a, and its vector registers and spills; NULL,
   * and both as they were, where that is not known. (optional) */
  const char *(*assembly)(const void *handle, arena *a, const machine *target, const char *symbol,
                          int *registers, int *spills);
  /* Runs, or queues behind everything queued before, blocks or groups [begin, end) of a kernel that any open device of
   * the same kind has compiled. args: its global arrays by slot. stamp: a number whose start and end `stamps` tells
   * afterwards, counted from 0 in each run that is timed; -1: none. */
  const char *(*launch)(void *device, const backend_kernel *kernel, const device_arg *args,
                        int64_t begin, int64_t end, int stamp);
  /* Of those whose kernels run on the host's threads: runs blocks [begin, end) of a launch in this one, a worker of the
   * host's pool (host.h: `context` is a host_job). Launches that do not depend on each other are one job of the pool
   * then. NULL: they are launched in turn. (optional) */
  void (*blocks)(void *context, int worker, int64_t begin, int64_t end);
  const char *(*finish)(void *device); /* waits for all that was queued */
  /* Start and end of a stamped launch in seconds of the device's clock, after finish. */
  const char *(*stamps)(void *device, int stamp, double *start, double *end);
  /* Starts to record what the device does, in the format of its maker's tools, into a file that does not exist; with
   * NULL ends it. (optional) */
  const char *(*capture)(void *device, const char *path);
  /* For the handler of a signal that ends the process: ends what it has started outside of it and removes its files.
   * Calls only what a handler may. (optional) */
  void (*abandon)(void);
} backend;

#endif
