/* The pool over pthreadpool. Each of its items is one worker that takes chunks of blocks from a
 * shared counter until none is left, a share of what is left at a time: guided self-scheduling
 * (Polychronopoulos and Kuck, 1987). One thread, or one block, runs in the caller without the pool.
 *
 * Cores belong to the process, and so do the pools: programs of equally many threads share one and
 * take turns at it, so that many of them at once run no more threads than one. The list of pools is
 * the only state here that is not somebody's: it is behind a lock, empty while nobody holds a pool,
 * and no run touches it.
 *
 * Workers spin between launches, which then cost half a microsecond and not 20. But a launch ends only when all workers have
 * looked at it, and beside another busy process that may take a time slice of milliseconds. So when workers come too late to
 * take any part of two launches in a row, the pool lets them sleep between launches for a while. */
#include "runtime/pool.h"

#include <pthread.h>
#include <pthreadpool.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/mem.h"

/* A worker takes this part of its share of what is left. */
enum { PARTS = 4 };
/* Launches in a row with late workers before these sleep, and how many launches they do. */
enum { STRIKES = 2, ASLEEP = 1000 };

struct pool {
  int threads;
  pthreadpool_t impl; /* NULL for one thread */
  pthread_mutex_t lock;
  pthread_cond_t turn;
  uint64_t next_ticket, serving;
  int strikes, asleep; /* of the holder whose turn it is */
  /* of the list of pools */
  pool *next;
  int holders;
  pid_t process; /* threads do not survive a fork */
};

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static pool *pools; /* of two threads and more */

/* --- the list --------------------------------------------------------------------------------- */

/* Workers take no signals: those of the process are for threads that know what is going on. */
static pthreadpool_t start(int threads) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthreadpool_t impl = pthreadpool_create((size_t)threads);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return impl;
}

static pool *create(int threads) {
  pool *p = mem_alloc(sizeof *p);
  if (!p) return NULL;
  *p = (pool){.threads = threads, .holders = 1, .process = getpid()};
  if (pthread_mutex_init(&p->lock, NULL) != 0) {
    mem_free(p);
    return NULL;
  }
  if (pthread_cond_init(&p->turn, NULL) != 0) {
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
    return NULL;
  }
  if (threads > 1 && !(p->impl = start(threads))) {
    pthread_cond_destroy(&p->turn);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
    return NULL;
  }
  return p;
}

static void destroy(pool *p) {
  /* In a child process the threads that this would wait for are not there. */
  if (p->impl && p->process == getpid()) pthreadpool_destroy(p->impl);
  pthread_cond_destroy(&p->turn);
  pthread_mutex_destroy(&p->lock);
  mem_free(p);
}

pool *pool_acquire(int threads) {
  if (threads == 1) return create(1);
  pthread_mutex_lock(&pools_lock);
  pool *p = pools;
  while (p && (p->threads != threads || p->process != getpid())) p = p->next;
  if (p) {
    p->holders++;
  } else if ((p = create(threads))) {
    p->next = pools;
    pools = p;
  }
  pthread_mutex_unlock(&pools_lock);
  return p;
}

void pool_release(pool *p) {
  if (!p) return;
  pthread_mutex_lock(&pools_lock);
  bool last = --p->holders == 0;
  for (pool **at = &pools; last && *at; at = &(*at)->next) {
    if (*at != p) continue;
    *at = p->next;
    break;
  }
  pthread_mutex_unlock(&pools_lock);
  if (last) destroy(p);
}

int pool_threads(const pool *p) { return p->threads; }

/* --- turns ------------------------------------------------------------------------------------ */

/* By ticket: a bare mutex would let a thread that runs in a loop keep the others waiting. */
void pool_begin(pool *p) {
  pthread_mutex_lock(&p->lock);
  uint64_t ticket = p->next_ticket++;
  while (p->serving != ticket) pthread_cond_wait(&p->turn, &p->lock);
  pthread_mutex_unlock(&p->lock);
}

void pool_end(pool *p) {
  pthread_mutex_lock(&p->lock);
  bool waited_for = ++p->serving != p->next_ticket;
  if (waited_for) pthread_cond_broadcast(&p->turn);
  pthread_mutex_unlock(&p->lock);
}

/* --- running ---------------------------------------------------------------------------------- */

/* pthreadpool hands the job to its workers and their results back to the caller, but a sanitizer of
 * threads cannot see how in a library that it did not compile; `next` and `finished` say the same
 * once more, one store and one addition a worker. */
typedef struct job {
  pool_task task;
  void *context;
  _Atomic int64_t next; /* the first block that nobody has taken */
  int64_t end;
  int parts;
  atomic_int finished, late;
} job;

static void work(void *context, size_t worker) {
  job *j = context;
  int64_t begin = atomic_load_explicit(&j->next, memory_order_acquire);
  if (begin >= j->end) atomic_fetch_add_explicit(&j->late, 1, memory_order_relaxed);
  while (begin < j->end) {
    int64_t left = j->end - begin, take = left / j->parts;
    if (take < 1) take = 1;
    if (!atomic_compare_exchange_weak_explicit(&j->next, &begin, begin + take, memory_order_relaxed,
                                               memory_order_relaxed))
      continue;
    j->task(j->context, (int)worker, begin, begin + take);
    begin = atomic_load_explicit(&j->next, memory_order_relaxed);
  }
  atomic_fetch_add_explicit(&j->finished, 1, memory_order_release);
}

static void judge(pool *p, int late) {
  if (p->asleep > 0)
    p->asleep--;
  else if (late == 0)
    p->strikes = 0;
  else if (++p->strikes == STRIKES)
    p->strikes = 0, p->asleep = ASLEEP;
}

void pool_run(pool *p, pool_task task, void *context, int64_t begin, int64_t end, bool small) {
  if (begin >= end) return;
  int64_t blocks = end - begin;
  if (!p->impl || blocks == 1 || (small && p->asleep > 0)) {
    task(context, 0, begin, end);
    judge(p, 0);
    return;
  }
  job j = {.task = task, .context = context, .end = end, .parts = PARTS * p->threads};
  atomic_init(&j.finished, 0);
  atomic_init(&j.late, 0);
  atomic_store_explicit(&j.next, begin, memory_order_release);
  size_t workers = blocks < p->threads ? (size_t)blocks : (size_t)p->threads;
  uint32_t flags = p->asleep > 0 ? PTHREADPOOL_FLAG_YIELD_WORKERS : 0;
  pthreadpool_parallelize_1d(p->impl, work, &j, workers, flags);
  size_t finished = (size_t)atomic_load_explicit(&j.finished, memory_order_acquire);
  WN_CHECK(finished == workers, "%zu of %zu workers finished", finished, workers);
  judge(p, atomic_load_explicit(&j.late, memory_order_relaxed));
}
