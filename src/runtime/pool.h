/* Spreads blocks over threads. In: a range of blocks. Out: every block run once, by some worker.
 * Always holds: a worker number is used by one thread at a time, so it can index private memory;
 * running allocates nothing; the floating-point environment is left alone (no flush to zero), so
 * results do not depend on the thread. */
#ifndef WN_RUNTIME_POOL_H
#define WN_RUNTIME_POOL_H

#include <stdint.h>

typedef struct pool pool;
typedef void (*pool_task)(void *context, int worker, int64_t begin, int64_t end);

pool *pool_create(int threads); /* NULL: no memory or no threads to be had */
void pool_destroy(pool *p);
int pool_threads(const pool *p);
/* Calls task for parts of [begin, end), worker in [0, threads); returns when all are done. One
 * caller at a time. */
void pool_run(pool *p, pool_task task, void *context, int64_t begin, int64_t end);

#endif
