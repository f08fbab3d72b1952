/* The pool over pthreadpool. Each of its items is one worker that takes chunks of blocks from a
 * shared counter until none is left: guided self-scheduling with a fixed chunk (Polychronopoulos
 * and Kuck, 1987, without the decay), since blocks cost much the same. One thread, or one block,
 * runs in the caller without the pool. */
#include "runtime/pool.h"

#include <pthreadpool.h>
#include <stdatomic.h>

#include "base/mem.h"

struct pool {
  int threads;
  pthreadpool_t impl; /* NULL for one thread */
};

typedef struct job {
  pool_task task;
  void *context;
  _Atomic int64_t next;
  int64_t end, chunk;
} job;

pool *pool_create(int threads) {
  pool *p = mem_alloc(sizeof *p);
  if (!p) return NULL;
  *p = (pool){.threads = threads};
  if (threads == 1) return p;
  p->impl = pthreadpool_create((size_t)threads);
  if (!p->impl) {
    mem_free(p);
    return NULL;
  }
  return p;
}

void pool_destroy(pool *p) {
  if (!p) return;
  if (p->impl) pthreadpool_destroy(p->impl);
  mem_free(p);
}

int pool_threads(const pool *p) { return p->threads; }

static void work(void *context, size_t worker) {
  job *j = context;
  for (;;) {
    int64_t begin = atomic_fetch_add_explicit(&j->next, j->chunk, memory_order_relaxed);
    if (begin >= j->end) return;
    int64_t left = j->end - begin;
    j->task(j->context, (int)worker, begin, begin + (left < j->chunk ? left : j->chunk));
  }
}

void pool_run(pool *p, pool_task task, void *context, int64_t begin, int64_t end) {
  if (begin >= end) return;
  int64_t blocks = end - begin;
  if (!p->impl || blocks == 1) {
    task(context, 0, begin, end);
    return;
  }
  /* Eight chunks a worker even out threads that are held up; fewer, larger chunks cost less
   * counting. */
  int64_t chunk = blocks / (8 * (int64_t)p->threads);
  job j = {.task = task, .context = context, .end = end, .chunk = chunk < 1 ? 1 : chunk};
  atomic_init(&j.next, begin);
  size_t workers = blocks < p->threads ? (size_t)blocks : (size_t)p->threads;
  /* Idle workers sleep rather than spin: a process may have a pool for each of many programs. */
  pthreadpool_parallelize_1d(p->impl, work, &j, workers, PTHREADPOOL_FLAG_YIELD_WORKERS);
}
