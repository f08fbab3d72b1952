/* Spreads blocks over threads. In: a range of blocks. Out: every block run once, by some worker.
 * Always holds: a worker number is used by one thread at a time, so it can index private memory;
 * running allocates nothing; every worker has the caller's floating-point environment, so that
 * results do not depend on the thread; in a child process of fork() a pool works as it did. */
#ifndef WN_BACKEND_POOL_H
#define WN_BACKEND_POOL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pool pool;
typedef void (*pool_task)(void *context, int worker, int64_t begin, int64_t end);

/* The process's pool of this many threads, started when first asked for and stopped when the last
 * holder has released it; a pool of one thread is the caller alone and belongs to one holder. NULL:
 * no memory or no threads to be had. */
pool *pool_acquire(int threads);
void pool_release(pool *p); /* NULL is allowed */
int pool_threads(const pool *p);
/* Holders take turns, in the order in which they came. False: this was the first turn in a child process, which could
 * not start the pool's threads; tasks run in the caller alone. */
bool pool_begin(pool *p);
void pool_end(pool *p);
/* Between begin and end: calls task for parts of [begin, end), worker in [0, threads); returns when
 * all are done. small: not worth waking workers that sleep. */
void pool_run(pool *p, pool_task task, void *context, int64_t begin, int64_t end, bool small);

/* One of several ranges of blocks that are one job. */
typedef struct pool_share {
  pool_task task;
  void *context;
  int64_t begin, end;
  int64_t cost; /* of a block, at least 1, in a unit that is the same for all of the job */
  int64_t first,
      after; /* the pool's: its first block's number in the job; costs of all shares behind it */
} pool_share;

/* The same for several ranges, in any order among each other: blocks are numbered one range behind the other, so a
 * worker that finds nothing left of one goes on with the next. Costly blocks are best first. The sum of all costs is
 * below 2^62. */
void pool_run_together(pool *p, pool_share *shares, int count, bool small);

#endif
