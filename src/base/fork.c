/* Forks; see fork.h.
 *
 * In: threads that enter and leave, and the three moments of a fork. Out: a count of forks, and whether this process
 * was cut off from what another thread was doing. A thread that wants to enter while a fork waits comes after it. */
#include "base/fork.h"

#include <time.h>

int fork_patience = 10;
_Atomic unsigned fork_generations;
const char fork_why[] =
    "this process was forked while another thread was in LLVM, SQLite or the dynamic loader, which "
    "are of no use to it now";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int inside;   /* threads */
static bool forking; /* nobody enters */
static bool cut_off; /* an ancestor was forked while another thread was inside */
static _Thread_local int depth;

/* --- around fork() ---------------------------------------------------------------------------- */

static int others(void) { return inside - (depth > 0); }

static void before(void) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += fork_patience;
  pthread_mutex_lock(&lock);
  forking = true;
  while (others() > 0 && pthread_cond_timedwait(&changed, &lock, &end) == 0) continue;
}

static void after(void) {
  forking = false;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

/* Of those who waited at `changed` nobody is here. */
static void after_in_child(void) {
  cut_off = cut_off || others() > 0;
  inside = depth > 0;
  forking = false;
  atomic_fetch_add(&fork_generations, 1);
  pthread_cond_init(&changed, NULL);
  pthread_mutex_unlock(&lock);
}

static int failed;
static void watch(void) { failed = pthread_atfork(before, after, after_in_child); }

bool fork_watch(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  return pthread_once(&once, watch) == 0 && failed == 0;
}

/* --- entering --------------------------------------------------------------------------------- */

bool fork_enter(void) {
  fork_watch();
  pthread_mutex_lock(&lock);
  while (depth == 0 && forking) pthread_cond_wait(&changed, &lock);
  bool may = !cut_off;
  if (may) inside += depth++ == 0;
  pthread_mutex_unlock(&lock);
  return may;
}

void fork_leave(void) {
  pthread_mutex_lock(&lock);
  inside -= --depth == 0;
  if (forking) pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

/* --- locks ------------------------------------------------------------------------------------ */

bool fork_lock_init(fork_lock *l) {
  atomic_init(&l->generation, fork_generation());
  return pthread_mutex_init(&l->mutex, NULL) == 0;
}

static bool is_here(const fork_lock *l) {
  return atomic_load_explicit(&l->generation, memory_order_acquire) == fork_generation();
}

void fork_lock_destroy(fork_lock *l) {
  if (is_here(l)) pthread_mutex_destroy(&l->mutex);
}

/* The first to take it in a child makes it anew. */
static void open_anew(fork_lock *l) {
  pthread_mutex_lock(&lock);
  if (!is_here(l)) {
    pthread_mutex_init(&l->mutex, NULL);
    atomic_store_explicit(&l->generation, fork_generation(), memory_order_release);
  }
  pthread_mutex_unlock(&lock);
}

void fork_lock_take(fork_lock *l) {
  if (!is_here(l)) open_anew(l);
  pthread_mutex_lock(&l->mutex);
}

void fork_lock_give(fork_lock *l) { pthread_mutex_unlock(&l->mutex); }

bool fork_claim(_Atomic unsigned *owner) {
  unsigned nobody = 0, mine = fork_generation() + 1;
  return fork_watch() && (atomic_compare_exchange_strong(owner, &nobody, mine) || nobody == mine);
}
