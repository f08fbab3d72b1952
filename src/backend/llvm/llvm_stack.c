/* Stacks of their own for LLVM.
 *
 * In: a function that calls LLVM. Out: it has run on threads with a stack of LLVM_STACK bytes each, which have ended.
 * LLVM's passes recurse as deep as the code that they are given, and what is left of the caller's stack is the caller's
 * business: winnow's own passes need 64 KiB whatever they are given.
 * Always holds: the caller waits meanwhile; the threads take no signal of the process, so no handler of the caller's
 * runs on them. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "backend/llvm/llvm_backend.h"

enum { LLVM_STACK = 16 << 20 /* touched as far as it is needed */, MOST_THREADS = 64 };

typedef struct call {
  void (*fn)(void *);
  void *user;
} call;

static void *run(void *user) {
  const call *c = user;
  c->fn(c->user);
  return NULL;
}

const char *llvm_on_own_stacks(int threads, void (*fn)(void *), void *user) {
  pthread_attr_t how;
  pthread_t thread[MOST_THREADS];
  sigset_t all, before;
  call c = {fn, user};
  int error = pthread_attr_init(&how), n = 0;
  if (error != 0) return strerror(error);
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  error = pthread_attr_setstacksize(&how, LLVM_STACK);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (n < threads && error == 0) {
    error = pthread_create(&thread[n], &how, run, &c);
    n += error == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&how);
  for (int i = 0; i < n; ++i) pthread_join(thread[i], NULL);
  return n > 0 ? NULL : strerror(error);
}
