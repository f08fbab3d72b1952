/* The pool: workers that share the blocks of a launch with the caller.
 *
 * Blocks are taken from a counter, a share of what is left at a time (guided self-scheduling,
 * Polychronopoulos and Kuck, 1987), and the caller waits only for workers that have taken some: one
 * that wakes up late, or not before all is done, costs nothing. A worker that has nothing to do
 * spins for some 50 us, so that launches that follow each other closely cost less than one, and then
 * sleeps until it is woken, some 20 us: a process may have other things to do with its cores.
 *
 * Cores belong to the process, and so do the pools: programs of equally many threads share one and
 * take turns at it, so that many of them at once run no more threads than one. The list of pools is
 * the only state here that is not somebody's: it is behind a lock, empty while nobody holds a pool,
 * and no run touches it. One thread is the caller without any of this. */
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/mem.h"

enum {
  PARTS = 4,   /* a worker takes this part of its share of what is left */
  SPINS = 4000 /* turns of a loop that waits before it sleeps or lets others run */
};

typedef struct launch {
  pool_task task;
  void *context;
  int64_t end;
  _Atomic int64_t next; /* the first block that nobody has taken */
} launch;

typedef struct worker {
  pool *pool;
  int number; /* from 1; 0 is the caller */
  pthread_t thread;
} worker;

struct pool {
  int threads; /* the caller is one of them */
  launch now;
  atomic_uint launches; /* counted when they open and when they close: odd while one is open */
  atomic_int inside;    /* workers that may look at it */
  atomic_int asleep;
  atomic_bool over;
  pthread_mutex_t lock;
  pthread_cond_t wake, turn;
  uint64_t next_ticket, serving;
  /* of the list of pools */
  pool *next;
  int holders;
  pid_t process; /* threads do not survive a fork */
  worker worker[];
};

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static pool *pools; /* of two threads and more */

/* --- workers ---------------------------------------------------------------------------------- */

static void spin_once(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_blocks(pool *p, int number) {
  launch *l = &p->now;
  int64_t begin = atomic_load_explicit(&l->next, memory_order_relaxed);
  while (begin < l->end) {
    int64_t take = (l->end - begin) / (PARTS * p->threads);
    if (take < 1) take = 1;
    if (!atomic_compare_exchange_weak_explicit(&l->next, &begin, begin + take, memory_order_relaxed,
                                               memory_order_relaxed))
      continue;
    l->task(l->context, number, begin, begin + take);
    begin = atomic_load_explicit(&l->next, memory_order_relaxed);
  }
}

/* Until a launch is open that this worker has not seen, or all is over. A worker that is about to
 * sleep says so before it looks once more, and who opens a launch does so before it looks who
 * sleeps: one of them sees the other. */
static void wait_for_launch(pool *p, unsigned seen) {
  for (int i = 0; i < SPINS; ++i) {
    unsigned number = atomic_load(&p->launches);
    if ((number % 2 == 1 && number != seen) || atomic_load(&p->over)) return;
    spin_once();
  }
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add(&p->asleep, 1);
  for (;;) {
    unsigned number = atomic_load(&p->launches);
    if ((number % 2 == 1 && number != seen) || atomic_load(&p->over)) break;
    pthread_cond_wait(&p->wake, &p->lock);
  }
  atomic_fetch_sub(&p->asleep, 1);
  pthread_mutex_unlock(&p->lock);
}

/* A worker that is inside and finds a launch open may look at it: the caller closes it first and
 * then waits until nobody is inside. */
static void *serve(void *argument) {
  worker *w = argument;
  pool *p = w->pool;
  for (unsigned seen = 0;;) {
    wait_for_launch(p, seen);
    if (atomic_load(&p->over)) return NULL;
    atomic_fetch_add(&p->inside, 1);
    unsigned number = atomic_load(&p->launches);
    if (number % 2 == 1) {
      take_blocks(p, w->number);
      seen = number;
    }
    atomic_fetch_sub(&p->inside, 1);
  }
}

static void wake_workers(pool *p) {
  if (atomic_load(&p->asleep) == 0) return;
  pthread_mutex_lock(&p->lock);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

/* The first `workers` of them are there. */
static void stop_workers(pool *p, int workers) {
  atomic_store(&p->over, true);
  wake_workers(p);
  for (int i = 0; i < workers; ++i) pthread_join(p->worker[i].thread, NULL);
}

/* Signals are for the threads of whoever uses this. */
static bool start_workers(pool *p) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int started = 0;
  for (; started < p->threads - 1; ++started) {
    worker *w = &p->worker[started];
    *w = (worker){.pool = p, .number = started + 1};
    if (pthread_create(&w->thread, NULL, serve, w) != 0) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started == p->threads - 1) return true;
  stop_workers(p, started);
  return false;
}

/* --- the list --------------------------------------------------------------------------------- */

static void discard(pool *p) {
  pthread_cond_destroy(&p->turn);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  mem_free(p);
}

static pool *create(int threads) {
  pool *p = mem_alloc(sizeof *p + sizeof *p->worker * (size_t)(threads - 1));
  if (!p) return NULL;
  *p = (pool){.threads = threads,
              .holders = 1,
              .process = getpid(),
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .wake = PTHREAD_COND_INITIALIZER,
              .turn = PTHREAD_COND_INITIALIZER};
  if (start_workers(p)) return p;
  discard(p);
  return NULL;
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
  if (!last) return;
  /* A child process has the memory of the pools but not the threads: destroying what they wait on
   * would wait for them. */
  if (p->process == getpid()) {
    stop_workers(p, p->threads - 1);
    discard(p);
  } else {
    mem_free(p);
  }
}

int pool_threads(const pool *p) { return p->threads; }

/* --- turns and launches ----------------------------------------------------------------------- */

/* By ticket: a bare mutex would let a thread that runs in a loop keep the others waiting. */
void pool_begin(pool *p) {
  pthread_mutex_lock(&p->lock);
  uint64_t ticket = p->next_ticket++;
  while (p->serving != ticket) pthread_cond_wait(&p->turn, &p->lock);
  pthread_mutex_unlock(&p->lock);
}

void pool_end(pool *p) {
  pthread_mutex_lock(&p->lock);
  if (++p->serving != p->next_ticket) pthread_cond_broadcast(&p->turn);
  pthread_mutex_unlock(&p->lock);
}

void pool_run(pool *p, pool_task task, void *context, int64_t begin, int64_t end) {
  if (begin >= end) return;
  if (p->threads == 1 || end - begin == 1) {
    task(context, 0, begin, end);
    return;
  }
  p->now.task = task;
  p->now.context = context;
  p->now.end = end;
  atomic_store_explicit(&p->now.next, begin, memory_order_relaxed);
  atomic_fetch_add(&p->launches, 1); /* open */
  wake_workers(p);
  take_blocks(p, 0);
  atomic_fetch_add(&p->launches, 1); /* closed */
  for (int i = 0; atomic_load(&p->inside) > 0; ++i) {
    if (i < SPINS)
      spin_once();
    else
      sched_yield();
  }
}
