/* The parts of the Metal backend to each other: the device, its queue, compiling.
 *
 * Always holds: everything here runs in one thread at a time; every function that sends messages has an autorelease
 * pool around them; what a struct holds is retained, and released once. */
#ifndef WN_BACKEND_METAL_METAL_H
#define WN_BACKEND_METAL_METAL_H

#include "backend/backend.h"

extern const backend backend_metal;

/* --- metal.c: what is the same where there is no Metal ---------------------------------------- */

enum { METAL_GROUP = 1024 /* work items of a group at most; a kernel's pipeline may take fewer */ };

/* simt, simd, or NULL; anything else is diag_fail. */
void metal_check_isa(diag *d, const char *isa);
/* What a device is like of which nothing is known. */
void metal_typical(machine *t, const char *isa);

#ifdef WN_METAL
#include "backend/metal/metal_objc.h"

enum { METAL_IN_FLIGHT = 32, METAL_BUFFERS = 31 /* of a kernel's arguments */ };

/* What a command buffer was that has been committed: its errors are read when it is done. */
typedef struct metal_sent {
  objc_id commands;
  int stamp; /* that it is timed for, or -1 */
} metal_sent;

/* Seconds, or the number of a pair of samples that have not been read yet. */
typedef struct metal_stamp {
  double start, end;
  bool sampled;
} metal_stamp;

typedef struct metal_device {
  metal_api api;
  objc_id device, queue;
  bool unified; /* the device's memory is the machine's */
  /* where it is not: what the CPU and the device both see; nil until it is needed */
  objc_id staging;
  objc_id commands; /* being filled, or nil */
  objc_id encoder;  /* in commands, or nil */
  int encoded;      /* launches in commands */
  metal_sent sent[METAL_IN_FLIGHT];
  int first_sent, sent_count; /* a ring */
  metal_stamp *stamps;
  int stamp_count;
  bool timed;      /* stamps were asked for */
  objc_id samples; /* a counter sample buffer for the first METAL_SAMPLED stamps, or nil */
  uint64_t cpu_clock, gpu_clock; /* nanoseconds and ticks, at the same time */
  bool capturing;
  char version[96];
  char text[1024]; /* the last error */
} metal_device;

enum { METAL_SAMPLED = 1024 };

/* One line of the error, kept in the device. */
const char *metal_error(metal_device *m, const char *format, ...) WN_PRINTF(2, 3);

/* --- metal_device.c --------------------------------------------------------------------------- */

int metal_list(diag *d, arena *a, const device_info **out, const char **why);
void *metal_open(diag *d, host *h, const char *spec, const char *isa, machine *target);
void metal_close(void *device);
void *metal_alloc(void *device, size_t bytes);
void metal_free(void *device, void *block);
const char *metal_write(void *device, void *block, size_t offset, const void *from, size_t bytes);
const char *metal_read(void *device, void *block, size_t offset, void *to, size_t bytes);

/* --- metal_queue.c ---------------------------------------------------------------------------- */

/* Waits for what runs, whatever became of it, and releases all. */
void metal_queue_close(metal_device *m);
const char *metal_launch(void *device, const backend_kernel *kernel, const device_arg *args,
                         int64_t begin, int64_t end, int stamp);
const char *metal_finish(void *device);
const char *metal_stamps(void *device, int stamp, double *start, double *end);
/* Copies between buffers on the device and waits. */
const char *metal_copy(metal_device *m, objc_id from, size_t from_offset, objc_id to,
                       size_t to_offset, size_t bytes);
/* Starts a .gputrace document at path; with NULL ends it. */
const char *metal_capture(void *device, const char *path);

/* --- metal_compile.c -------------------------------------------------------------------------- */

/* What a launch needs to know of a kernel. */
typedef struct metal_kernel {
  objc_id pipeline;
  objc_uint group;
  int nargs;
  uint8_t element[METAL_BUFFERS]; /* bytes of an element, by slot */
} metal_kernel;

void *metal_compile(void *device, backend_job *job);
void metal_release(void *handle);

#endif
#endif
