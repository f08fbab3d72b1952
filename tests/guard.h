/* Arrays between two pages that may not be touched, so that an access past an end is a crash: they end with their last
 * page or begin with their first. Bytes left over in a page have a pattern, which tells whether they were written. */
#ifndef WN_TESTS_GUARD_H
#define WN_TESTS_GUARD_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_PATTERN = 0xab };

typedef struct guard {
  unsigned char *map; /* NULL: none */
  size_t size;        /* with both pages */
  unsigned char *data;
  size_t bytes;
} guard;

static inline size_t guard_page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* Memory for so many bytes; NULL: there is none. */
static inline void *guard_new(guard *g, size_t bytes, bool at_end) {
  size_t page = guard_page(), body = (bytes + page - 1) / page * page;
  int zeros = open("/dev/zero", O_RDWR); /* POSIX has no MAP_ANONYMOUS yet */
  if (body == 0) body = page;
  *g = (guard){.size = body + 2 * page, .bytes = bytes};
  void *pages = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, zeros, 0);
  if (zeros >= 0) close(zeros);
  if (pages == MAP_FAILED) return NULL;
  g->map = pages;
  memset(g->map + page, GUARD_PATTERN, body);
  g->data = g->map + page + (at_end ? body - bytes : 0);
  if (mprotect(g->map, page, PROT_NONE) != 0 ||
      mprotect(g->map + page + body, page, PROT_NONE) != 0)
    return NULL;
  return g->data;
}

/* From here on a write is a crash, too; or no longer. */
static inline bool guard_seal(const guard *g, bool sealed) {
  return mprotect(g->map + guard_page(), g->size - 2 * guard_page(),
                  sealed ? PROT_READ : PROT_READ | PROT_WRITE) == 0;
}

/* Is what lies around the data as it was? */
static inline bool guard_is_clean(const guard *g) {
  const unsigned char *p = g->map + guard_page(), *end = g->map + g->size - guard_page();
  for (; p < end; ++p) {
    if (p == g->data) p += g->bytes;
    if (p < end && *p != GUARD_PATTERN) return false;
  }
  return true;
}

static inline void guard_drop(guard *g) {
  if (g->map != NULL) munmap(g->map, g->size);
  *g = (guard){0};
}

#endif
