/* Launching a module's kernel on arrays of the host, by address. */
#ifndef WN_TESTS_ON_HOST_H
#define WN_TESTS_ON_HOST_H

#include "backend/runtime.h"

enum { ON_HOST_MOST = 32 };

/* What fails is the test's affair: kernels of the host do not. */
static inline const char *launch_on_host(runtime *rt, module *m, int index, int nargs,
                                         void *const *args, int64_t begin, int64_t end) {
  device_arg at[ON_HOST_MOST] = {{0}};
  for (int i = 0; i < nargs; ++i) at[i].block = args[i];
  return module_launch(rt, m, index, at, begin, end, -1);
}

#endif
