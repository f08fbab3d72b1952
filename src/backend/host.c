/* Threads, memory, scratch and clock of this CPU; see host.h. */
#include "backend/host.h"

#include <stdlib.h>
#include <time.h>

#include "nest/nest.h"

enum { PAGE = 4096, FIRST_TIMES = 64 };

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void host_close(host *h) {
  mem_free_aligned(h->scratch);
  mem_free(h->args);
  mem_free(h->time);
  mem_free(h->shares);
  *h = (host){.pool = h->pool};
}

/* --- what launches need ----------------------------------------------------------------------- */

/* Another module of the runtime's may be running: what it uses is exchanged between its runs. */
static void reserve_scratch(host *h, diag *d, size_t bytes) {
  size_t stride = scratch_stride(bytes), workers = (size_t)pool_threads(h->pool);
  if (stride <= h->stride) return;
  char *grown = stride < bytes || stride > SIZE_MAX / workers
                    ? NULL
                    : mem_alloc_aligned(stride * workers, 64);
  if (grown == NULL)
    diag_fail(d, WN_ERR_NOMEM, "out of memory: kernels need %zu bytes of scratch a thread", bytes);
  char *old = h->scratch;
  if (old != NULL) pool_begin(h->pool);
  h->scratch = grown;
  h->stride = stride;
  if (old != NULL) pool_end(h->pool);
  mem_free_aligned(old);
}

static void reserve_args(host *h, diag *d, int nargs) {
  if (nargs <= h->room) return;
  void **grown = mem_alloc((size_t)nargs * sizeof *grown), **old = h->args;
  if (grown == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory for arguments of kernels");
  if (old != NULL) pool_begin(h->pool);
  h->args = grown;
  h->room = nargs;
  if (old != NULL) pool_end(h->pool);
  mem_free(old);
}

void host_reserve_side(host *h, diag *d, int launches, int nargs) {
  reserve_args(h, d, nargs);
  if (launches <= h->most) return;
  const size_t n = (size_t)launches;
  pool_share *grown = mem_alloc(n * (sizeof *grown + sizeof(host_job))), *old = h->shares;
  if (grown == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory for launches side by side");
  if (old != NULL) pool_begin(h->pool);
  h->shares = grown;
  h->jobs = (host_job *)(grown + n);
  h->most = launches;
  if (old != NULL) pool_end(h->pool);
  mem_free(old);
}

static bool has_times(host *h, int count) {
  if (count <= h->times) return true;
  int times = count < FIRST_TIMES ? FIRST_TIMES : 2 * count;
  host_time *grown = mem_realloc(h->time, (size_t)times * sizeof *grown);
  if (grown == NULL) return false;
  for (int i = h->times; i < times; ++i) grown[i] = (host_time){-1, -1};
  h->time = grown;
  h->times = times;
  return true;
}

void host_reserve(host *h, diag *d, size_t scratch, int nargs) {
  reserve_scratch(h, d, scratch);
  reserve_args(h, d, nargs);
  if (h->times == 0 && !has_times(h, FIRST_TIMES))
    diag_fail(d, WN_ERR_NOMEM, "out of memory for the times of kernels");
}

/* --- stamps ----------------------------------------------------------------------------------- */

const char *host_stamp_begin(host *h, int stamp) {
  if (!has_times(h, stamp + 1)) return "out of memory for the times of kernels";
  h->time[stamp].start = now_s();
  return NULL;
}

void host_stamp_end(host *h, int stamp) { h->time[stamp].end = now_s(); }

bool host_has_stamp(const host *h, int stamp) {
  return stamp < h->times && h->time[stamp].start >= 0;
}

void host_forget_stamp(host *h, int stamp) {
  if (stamp < h->times) h->time[stamp].start = -1;
}

const char *host_stamps(void *device, int stamp, double *start, double *end) {
  const host *h = device;
  WN_CHECK(stamp >= 0 && host_has_stamp(h, stamp), "no launch has stamp %d", stamp);
  *start = h->time[stamp].start;
  *end = h->time[stamp].end;
  return NULL;
}

/* --- launching -------------------------------------------------------------------------------- */

static void share(host *h, pool_task task, host_job *j, int64_t begin, int64_t end) {
  int64_t blocks = end - begin;
  if (blocks >= j->kernel->share)
    pool_run(h->pool, task, j, begin, end, blocks < j->kernel->wake);
  else
    task(j, 0, begin, end);
}

static void put_args(void **to, const backend_kernel *kernel, const device_arg *args) {
  for (int i = 0; i < kernel->nargs; ++i)
    to[i] = (void *)((uintptr_t)args[i].block + (uintptr_t)args[i].offset);
}

const char *host_share(host *h, pool_task task, const backend_kernel *kernel,
                       const device_arg *args, int64_t begin, int64_t end, int stamp) {
  host_job j = {.host = h, .kernel = kernel, .args = h->args};
  put_args(h->args, kernel, args);
  if (stamp < 0) {
    share(h, task, &j, begin, end);
    return NULL;
  }
  const char *why = host_stamp_begin(h, stamp);
  if (why != NULL) return why;
  share(h, task, &j, begin, end);
  host_stamp_end(h, stamp);
  return NULL;
}

/* Is it worth waking threads for, or sharing over those that spin: each launch has a share of what alone would be. */
static bool is_worth(const host_call *calls, int count, bool waking) {
  double part = 0;
  for (int i = 0; i < count; ++i) {
    const int64_t enough = waking ? calls[i].kernel->wake : calls[i].kernel->share;
    part += (double)(calls[i].end - calls[i].begin) / (double)(enough > 0 ? enough : 1);
  }
  return part >= 1;
}

static pool_share share_of(const host_call *c, host_job *j) {
  const int64_t cost = c->kernel->cost;
  return (pool_share){.task = c->blocks,
                      .context = j,
                      .begin = c->begin,
                      .end = c->end,
                      .cost = cost > 0 ? cost : 1};
}

/* Costly blocks first, so that what is left for the end is small. */
void host_share_together(host *h, const host_call *calls, int count) {
  void **args = h->args;
  WN_CHECK(count <= h->most, "%d launches side by side", count);
  for (int i = 0; i < count; ++i) {
    const backend_kernel *k = calls[i].kernel;
    h->jobs[i] = (host_job){.host = h, .kernel = k, .args = args};
    put_args(args, k, calls[i].args);
    args += k->nargs;
    const pool_share s = share_of(&calls[i], &h->jobs[i]);
    int at = i;
    for (; at > 0 && h->shares[at - 1].cost < s.cost; --at) h->shares[at] = h->shares[at - 1];
    h->shares[at] = s;
  }
  if (is_worth(calls, count, false)) {
    pool_run_together(h->pool, h->shares, count, !is_worth(calls, count, true));
    return;
  }
  for (int i = 0; i < count; ++i)
    h->shares[i].task(h->shares[i].context, 0, h->shares[i].begin, h->shares[i].end);
}

void host_blocks(void *context, int worker, int64_t begin, int64_t end) {
  const host_job *j = context;
  host_function(j->kernel->code)(j->args, host_scratch(j, worker), begin, end);
}

const char *host_launch(void *device, const backend_kernel *kernel, const device_arg *args,
                        int64_t begin, int64_t end, int stamp) {
  return host_share(device, host_blocks, kernel, args, begin, end, stamp);
}

const char *host_finish(void *device) {
  (void)device;
  return NULL;
}

/* --- memory ----------------------------------------------------------------------------------- */

void *host_open(diag *d, host *h, const char *spec, const char *isa, machine *target) {
  (void)spec;
  machine_of_cpu(target, d, isa);
  return h;
}

void host_keep_open(void *device) { (void)device; }

void *host_alloc(void *device, size_t bytes) {
  (void)device;
  return mem_alloc_aligned(bytes > 0 ? bytes : 1, PAGE);
}

void host_free(void *device, void *block) {
  (void)device;
  mem_free_aligned(block);
}

const char *host_write(void *device, void *block, size_t offset, const void *from, size_t bytes) {
  (void)device;
  if (bytes > 0) memcpy((char *)block + offset, from, bytes);
  return NULL;
}

const char *host_read(void *device, void *block, size_t offset, void *to, size_t bytes) {
  (void)device;
  if (bytes > 0) memcpy(to, (const char *)block + offset, bytes);
  return NULL;
}
