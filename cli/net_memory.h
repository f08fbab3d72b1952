/* What a model takes of memory, and how long it is from its file to its first result, as `run` and `bench` say it.
 *
 * In: a job of a model and its compiled entry, once it was run. Out: figures, a line of text. Always holds: what neither
 * the library nor the system says is NAN; the library's own pages (code of winnow and of LLVM) are in no figure but the
 * peak of the process. */
#ifndef WINNOW_CLI_NET_MEMORY_H
#define WINNOW_CLI_NET_MEMORY_H

#include "job.h"

typedef struct net_memory {
  double arena_bytes,
      arena_least;       /* of what is between kernels, and the most that is alive at once */
  double prepared_bytes; /* of weights as a run reads them */
  double weight_bytes,
      released_bytes;    /* of the file's weights; of the file, not in memory any more */
  double peak_bytes;     /* of the process, at most */
  double own_peak_bytes; /* of it, what is no file's: without the library's own pages */
} net_memory;

/* From here on the peak is counted anew, where the system can. */
void net_memory_restart(void);
net_memory net_memory_read(const job *j, const entry *e);
/* "memory: arena 3.9 MiB, at least 3.9 MiB; ...", without an end of line. */
const char *net_memory_text(arena *a, const net_memory *m);

#endif
