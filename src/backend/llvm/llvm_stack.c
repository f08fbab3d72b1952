/* A stack of its own for LLVM.
 *
 * In: a function that calls LLVM. Out: it has run, on a thread with a stack of LLVM_STACK bytes, which has ended. LLVM's
 * passes recurse as deep as the code that they are given, and what is left of the caller's stack is the caller's business:
 * winnow's own passes need 64 KiB whatever they are given.
 * Always holds: one thread at a time touches what the function is given; the thread takes no signal of the process, so no
 * handler of the caller's runs on it. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "backend/llvm/llvm_backend.h"

enum { LLVM_STACK = 16 << 20 }; /* touched as far as it is needed */

typedef struct call {
  void (*fn)(void *);
  void *user;
} call;

static void *run(void *user) {
  const call *c = user;
  c->fn(c->user);
  return NULL;
}

const char *llvm_on_own_stack(void (*fn)(void *), void *user) {
  pthread_attr_t how;
  pthread_t thread;
  sigset_t all, before;
  call c = {fn, user};
  int error = pthread_attr_init(&how);
  if (error != 0) return strerror(error);
  error = pthread_attr_setstacksize(&how, LLVM_STACK);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  if (error == 0) error = pthread_create(&thread, &how, run, &c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&how);
  if (error != 0) return strerror(error);
  pthread_join(thread, NULL);
  return NULL;
}
