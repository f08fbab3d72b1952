/* What all backends share that run on this CPU: threads, memory, scratch, the clock.
 *
 * In: code with the CPU ABI of kernel/linear.h, arrays in the host's memory. Out: blocks run over the pool's threads.
 * Every runtime has a host, which is the "device" of a CPU's backend; a device's interprets what fell back on it.
 * Always holds: a launch allocates nothing but where its stamp is higher than any before; it is used by whose turn it
 * is at the pool; an array's address may lie before its block, as that of a later round of a host loop does. */
#ifndef WN_BACKEND_HOST_H
#define WN_BACKEND_HOST_H

#include "backend/backend.h"
#include "backend/pool.h"

/* The CPU ABI of kernel/linear.h. */
typedef void (*kernel_fn)(void *const *args, void *scratch, int64_t begin, int64_t end);

/* backend_kernel.code of machine code. POSIX: a data pointer may hold a function's address. */
static inline void *host_code(kernel_fn fn) {
  void *code;
  memcpy(&code, &fn, sizeof code);
  return code;
}
static inline kernel_fn host_function(const void *code) {
  kernel_fn fn;
  memcpy(&fn, &code, sizeof fn);
  return fn;
}

typedef struct host_time {
  double start, end; /* start < 0: no launch has this stamp */
} host_time;

struct host {
  pool *pool;
  char *scratch;         /* one block per worker */
  size_t stride;         /* bytes of a block */
  void **args;           /* of a launch: the arrays' addresses */
  int room;              /* for so many */
  pool_share *shares;    /* of launches side by side, */
  struct host_job *jobs; /* one behind the other in one block: */
  int most;              /* for so many */
  host_time *time;       /* by stamp */
  int times;
};

void host_close(host *h); /* frees all but the pool */
/* Before a kernel is launched that needs so many bytes of scratch and has so many arrays. diag_fail if there is no
 * memory. */
void host_reserve(host *h, diag *d, size_t scratch, int nargs);
/* The same for so many launches side by side, which have so many arrays together. */
void host_reserve_side(host *h, diag *d, int launches, int nargs);

/* One launch, as the pool's threads see it. */
typedef struct host_job {
  const host *host;
  const backend_kernel *kernel;
  void *const *args;
} host_job;

static inline void *host_scratch(const host_job *j, int worker) {
  return j->host->scratch != NULL ? j->host->scratch + (size_t)worker * j->host->stride : NULL;
}

/* Runs `part`, whose context is a host_job, for all blocks. */
const char *host_share(host *h, pool_task part, const backend_kernel *kernel,
                       const device_arg *args, int64_t begin, int64_t end, int stamp);
/* A launch beside others. */
typedef struct host_call {
  pool_task blocks;
  const backend_kernel *kernel;
  const device_arg *args;
  int64_t begin, end;
} host_call;
/* Runs all of them as one job: none of them writes what another one touches. No more than host_reserve_side was told. */
void host_share_together(host *h, const host_call *calls, int count);
/* Times of what has a stamp and is done here. */
const char *host_stamp_begin(host *h, int stamp);
void host_stamp_end(host *h, int stamp);
bool host_has_stamp(const host *h, int stamp);
void host_forget_stamp(host *h, int stamp); /* a device does what has this stamp now */

/* --- functions of struct backend -------------------------------------------------------------- */

void *host_open(diag *d, host *h, const char *spec, const char *isa, machine *target);
void host_keep_open(void *device); /* close: the host is the runtime's */
void *host_alloc(void *device, size_t bytes);
void host_free(void *device, void *block);
const char *host_write(void *device, void *block, size_t offset, const void *from, size_t bytes);
const char *host_read(void *device, void *block, size_t offset, void *to, size_t bytes);
const char *host_launch(void *device, const backend_kernel *kernel, const device_arg *args,
                        int64_t begin, int64_t end, int stamp);          /* of a kernel_fn */
void host_blocks(void *context, int worker, int64_t begin, int64_t end); /* of one too */
const char *host_finish(void *device);
const char *host_stamps(void *device, int stamp, double *start, double *end);

/* What a backend of this CPU has of struct backend, with its own way to open, to launch and to run blocks. */
#define HOST_BACKEND(open_it, launch_it, blocks_of_it)                               \
  .in_place = true, .open = (open_it), .close = host_keep_open, .alloc = host_alloc, \
  .free = host_free, .write = host_write, .read = host_read, .render = render_c,     \
  .launch = (launch_it), .blocks = (blocks_of_it), .finish = host_finish, .stamps = host_stamps

#endif
