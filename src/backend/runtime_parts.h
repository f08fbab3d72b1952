/* What the files of the runtime know of each other: runtime.c, module.c, mirror.c.
 *
 * Always holds: a runtime's scratch, arguments and mirror are for whose turn it is at the pool, and large enough for
 * every module that was compiled on it or reserved for it. */
#ifndef WN_BACKEND_RUNTIME_PARTS_H
#define WN_BACKEND_RUNTIME_PARTS_H

#include "backend/backend.h"
#include "backend/host.h"
#include "base/fpenv.h"

/* What runtime_alloc gives where arrays are not in place. */
typedef struct device_block {
  void *block; /* the backend's */
  size_t bytes;
} device_block;

typedef struct mirror_part mirror_part;

struct runtime {
  const backend *backend;
  void *device; /* NULL: kernels are only looked at */
  machine machine;
  host host;
  device_arg *args; /* of a launch: the backend's blocks; as many as the host has arguments */
  int room;
  mirror_part *parts; /* as many */
  char *mirror;       /* of the blocks of a kernel that fell back */
  size_t mirror_bytes;
  bool flush;          /* subnormal numbers */
  fp_control callers;  /* of whose turn it is */
  unsigned generation; /* of forks */
  char *spec;          /* as it was opened, or NULL */
};

#endif
