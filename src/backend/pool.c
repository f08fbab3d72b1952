/* The pool over pthreadpool. Each of its items is one worker that takes chunks of blocks from a
 * shared counter until none is left, a share of what is left at a time: guided self-scheduling
 * (Polychronopoulos and Kuck, 1987). One thread, or one block, runs in the caller without the pool.
 *
 * Cores belong to the process, and so do the pools: programs of equally many threads share one and
 * take turns at it, so that many of them at once run no more threads than one. The list of pools is
 * the only state here that is not somebody's: it is behind a lock, empty while nobody holds a pool,
 * and no run touches it.
 *
 * Workers spin between launches, which then cost half a microsecond and not 20. But a launch ends only when all workers
 * have looked at it, and beside another busy process that may take a time slice of milliseconds. So when workers come
 * too late to take any part of two launches in a row, the pool lets them sleep between launches for a while.
 *
 * A child process has pools but none of their workers, and turns of threads that it has not: the first turn there
 * starts the pool anew, in its place, so that whoever holds it need not know. */
#include "backend/pool.h"

#include <pthread.h>
#include <pthreadpool.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/fork.h"
#include "base/fpenv.h"
#include "base/mem.h"

/* A worker takes this part of its share of what is left. */
enum { PARTS = 4 };
/* Launches in a row with late workers before these sleep, and how many launches they do. */
enum { STRIKES = 2, ASLEEP = 1000 };

struct pool {
  int threads;
  pthreadpool_t impl; /* NULL for one thread, and where a child process could not start others */
  pthread_mutex_t lock;
  pthread_cond_t turn;
  uint64_t next_ticket, serving;
  int strikes, asleep; /* of the holder whose turn it is */
  /* of the list of pools */
  pool *next;
  int holders;
  _Atomic unsigned generation; /* of forks, to which everything above belongs */
};

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static pool *pools; /* of two threads and more */

/* --- the list --------------------------------------------------------------------------------- */

static void lock_list(void) { pthread_mutex_lock(&pools_lock); }
static void unlock_list(void) { pthread_mutex_unlock(&pools_lock); }

static int failed;
static void watch(void) {
  failed = !fork_watch() || pthread_atfork(lock_list, unlock_list, unlock_list) != 0;
}

/* A fork must find the list in one piece. */
static bool watch_forks(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  return pthread_once(&once, watch) == 0 && !failed;
}

static void *wait_for_all(void *started) {
  pthread_mutex_lock(started);
  pthread_mutex_unlock(started);
  return NULL;
}

/* pthreadpool waits for ever for threads that could not be started, so whether so many can be is tried first. */
static bool can_start(int threads) {
  pthread_t *id = mem_alloc((size_t)threads * sizeof *id);
  pthread_mutex_t started = PTHREAD_MUTEX_INITIALIZER;
  int n = 0;
  if (id == NULL) return false;
  pthread_mutex_lock(&started);
  while (n < threads && pthread_create(&id[n], NULL, wait_for_all, &started) == 0) ++n;
  pthread_mutex_unlock(&started);
  for (int i = 0; i < n; ++i) pthread_join(id[i], NULL);
  mem_free(id);
  return n == threads;
}

/* Workers take no signals: those of the process are for threads that know what is going on. */
static pthreadpool_t start(int threads) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthreadpool_t impl = can_start(threads - 1) ? pthreadpool_create((size_t)threads) : NULL;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return impl;
}

static pool *create(int threads) {
  pool *p = mem_alloc(sizeof *p);
  if (p == NULL) return NULL;
  *p = (pool){.threads = threads, .holders = 1};
  atomic_init(&p->generation, fork_generation());
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

static bool is_here(const pool *p) {
  return atomic_load_explicit(&p->generation, memory_order_acquire) == fork_generation();
}

/* In a child process those that this would wait for are not there. */
static void destroy(pool *p) {
  if (is_here(p)) {
    if (p->impl) pthreadpool_destroy(p->impl);
    pthread_cond_destroy(&p->turn);
    pthread_mutex_destroy(&p->lock);
  }
  mem_free(p);
}

pool *pool_acquire(int threads) {
  if (!watch_forks()) return NULL;
  if (threads == 1) return create(1);
  pthread_mutex_lock(&pools_lock);
  pool *p = pools;
  while (p != NULL && p->threads != threads) p = p->next;
  if (p != NULL) {
    ++p->holders;
  } else if ((p = create(threads))) {
    p->next = pools;
    pools = p;
  }
  pthread_mutex_unlock(&pools_lock);
  return p;
}

void pool_release(pool *p) {
  if (p == NULL) return;
  pthread_mutex_lock(&pools_lock);
  bool last = --p->holders == 0;
  for (pool **at = &pools; last && *at != NULL; at = &(*at)->next) {
    if (*at != p) continue;
    *at = p->next;
    break;
  }
  pthread_mutex_unlock(&pools_lock);
  if (last) destroy(p);
}

int pool_threads(const pool *p) { return p->threads; }

/* --- turns ------------------------------------------------------------------------------------ */

/* For the first turn in a child process. False: there are no threads but the caller's. What the parent's pool had is
 * lost, since giving it back would wait for its threads. */
static bool start_anew(pool *p) {
  pthread_mutex_lock(&pools_lock);
  bool alone = false;
  if (!is_here(p)) { /* else another thread of this process was here first */
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->turn, NULL);
    p->next_ticket = p->serving = 0;
    p->strikes = p->asleep = 0;
    p->impl = p->threads > 1 ? start(p->threads) : NULL;
    alone = p->threads > 1 && !p->impl;
    atomic_store_explicit(&p->generation, fork_generation(), memory_order_release);
  }
  pthread_mutex_unlock(&pools_lock);
  return !alone;
}

/* By ticket: a bare mutex would let a thread that runs in a loop keep the others waiting. */
bool pool_begin(pool *p) {
  bool whole = is_here(p) || start_anew(p);
  pthread_mutex_lock(&p->lock);
  uint64_t ticket = p->next_ticket++;
  while (p->serving != ticket) pthread_cond_wait(&p->turn, &p->lock);
  pthread_mutex_unlock(&p->lock);
  return whole;
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
  const pool_share *shares;
  fp_control fp;        /* of the caller */
  _Atomic int64_t next; /* the first block that nobody has taken, by its number in the job */
  int64_t end;
  int parts;
  atomic_int finished, late;
} job;

/* How many blocks from this one on a worker takes: of one range, by what is left of all. */
static int64_t how_many(const job *j, const pool_share *s, int64_t left) {
  int64_t take = (s->after + left * s->cost) / (s->cost * j->parts);
  return take < 1 ? 1 : take < left ? take : left;
}

static void work(void *context, size_t worker) {
  job *j = context;
  int64_t begin = atomic_load_explicit(&j->next, memory_order_acquire);
  const pool_share *s = j->shares;
  if (!fp_same(fp_read(), j->fp)) fp_write(j->fp);
  if (begin >= j->end) atomic_fetch_add_explicit(&j->late, 1, memory_order_relaxed);
  while (begin < j->end) {
    while (begin - s->first >= s->end - s->begin) ++s;
    const int64_t at = s->begin + (begin - s->first), take = how_many(j, s, s->end - at);
    if (!atomic_compare_exchange_weak_explicit(&j->next, &begin, begin + take, memory_order_relaxed,
                                               memory_order_relaxed))
      continue;
    s->task(s->context, (int)worker, at, at + take);
    begin = atomic_load_explicit(&j->next, memory_order_relaxed);
  }
  atomic_fetch_add_explicit(&j->finished, 1, memory_order_release);
}

static void judge(pool *p, int late) {
  if (p->asleep > 0)
    --p->asleep;
  else if (late == 0)
    p->strikes = 0;
  else if (++p->strikes == STRIKES)
    p->strikes = 0, p->asleep = ASLEEP;
}

static int64_t number(pool_share *shares, int count) {
  int64_t blocks = 0, after = 0;
  for (int i = 0; i < count; ++i) {
    shares[i].first = blocks;
    blocks += shares[i].end - shares[i].begin;
  }
  for (int i = count; i-- > 0;) {
    shares[i].after = after;
    after += (shares[i].end - shares[i].begin) * shares[i].cost;
  }
  return blocks;
}

void pool_run_together(pool *p, pool_share *shares, int count, bool small) {
  int64_t blocks = number(shares, count);
  if (blocks == 0) return;
  if (!p->impl || blocks == 1 || (small && p->asleep > 0)) {
    for (int i = 0; i < count; ++i)
      if (shares[i].begin < shares[i].end)
        shares[i].task(shares[i].context, 0, shares[i].begin, shares[i].end);
    judge(p, 0);
    return;
  }
  job j = {.shares = shares, .fp = fp_read(), .end = blocks, .parts = PARTS * p->threads};
  atomic_init(&j.finished, 0);
  atomic_init(&j.late, 0);
  atomic_store_explicit(&j.next, 0, memory_order_release);
  size_t workers = blocks < p->threads ? (size_t)blocks : (size_t)p->threads;
  uint32_t flags = p->asleep > 0 ? PTHREADPOOL_FLAG_YIELD_WORKERS : 0;
  pthreadpool_parallelize_1d(p->impl, work, &j, workers, flags);
  size_t finished = (size_t)atomic_load_explicit(&j.finished, memory_order_acquire);
  WN_CHECK(finished == workers, "%zu of %zu workers finished", finished, workers);
  judge(p, atomic_load_explicit(&j.late, memory_order_relaxed));
}

void pool_run(pool *p, pool_task task, void *context, int64_t begin, int64_t end, bool small) {
  if (begin >= end) return;
  pool_share all = {.task = task, .context = context, .begin = begin, .end = end, .cost = 1};
  pool_run_together(p, &all, 1, small);
}
