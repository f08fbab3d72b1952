/* In: sizes. Out: memory; see mem.h. Arenas are chains of chunks that grow geometrically and are freed whole; under
 * AddressSanitizer each allocation is followed by a poisoned gap, so running over its end is seen. */
#define _DEFAULT_SOURCE /* madvise */
#include "base/mem.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
enum { ARENA_GAP = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
enum { ARENA_GAP = 0 };
#endif

/* Test instrumentation, off unless mem_fail_at was called; threads that compile allocate, too. */
static _Atomic long fail_at, counted;

void mem_fail_at(long n) {
  fail_at = n;
  counted = 0;
}

long mem_count(void) { return counted; }

static bool must_fail(void) {
  long at = atomic_load_explicit(&fail_at, memory_order_relaxed);
  return at != 0 && atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed) + 1 >= at;
}

void *mem_alloc(size_t size) { return must_fail() ? NULL : malloc(size ? size : 1); }

void *mem_realloc(void *p, size_t size) { return must_fail() ? NULL : realloc(p, size ? size : 1); }

void mem_free(void *p) { free(p); }

enum { HUGE_PAGE = 2 << 20, WORTH_HUGE = 1 << 20 };

static size_t round_up(size_t size, size_t align) {
  return size > align ? (size + align - 1) / align * align : align;
}

void *mem_alloc_aligned_unset(size_t size, size_t align) {
  if (size >= WORTH_HUGE && align < HUGE_PAGE) align = HUGE_PAGE;
  if (must_fail() || size > SIZE_MAX - align) return NULL;
  size_t rounded = round_up(size, align);
  void *p = aligned_alloc(align, rounded);
#if defined(MADV_HUGEPAGE)
  /* where the system says no, pages stay small */
  if (p != NULL && size >= WORTH_HUGE) (void)madvise(p, rounded, MADV_HUGEPAGE);
#endif
  return p;
}

void *mem_alloc_aligned(size_t size, size_t align) {
  void *p = mem_alloc_aligned_unset(size, align);
  if (p != NULL) memset(p, 0, round_up(size, align));
  return p;
}

void mem_free_aligned(void *p) { free(p); }

/* --- the machine ------------------------------------------------------------------------------ */

/* A limit in a file of the control groups' file system; "max" or no such file: none. */
static size_t limit_in(const char *path) {
  unsigned long long bytes = 0;
  FILE *f = fopen(path, "r");
  if (f == NULL) return SIZE_MAX;
  bool found = fscanf(f, "%llu", &bytes) == 1;
  fclose(f);
  return found && bytes > 0 && bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

size_t mem_physical(void) {
  static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                      "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  long pages = -1, size = sysconf(_SC_PAGESIZE);
#ifdef _SC_PHYS_PAGES
  pages = sysconf(_SC_PHYS_PAGES);
#endif
  size_t least = pages > 0 && size > 0 ? (size_t)pages * (size_t)size : SIZE_MAX;
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    size_t bytes = limit_in(files[i]);
    least = bytes < least ? bytes : least;
  }
  return least;
}

/* --- arenas ----------------------------------------------------------------------------------- */

enum { ALIGN = 16, FIRST_CHUNK = 16 << 10, MAX_CHUNK = 4 << 20 };

struct arena_chunk {
  arena_chunk *older;
  size_t size;
};

enum { HEADER = (sizeof(arena_chunk) + ALIGN - 1) / ALIGN * ALIGN };

void arena_init(arena *a, diag *d) {
  memset(a, 0, sizeof *a);
  a->diag = d;
}

void arena_release(arena *a) {
  while (a->chunk != NULL) {
    arena_chunk *older = a->chunk->older;
    ASAN_UNPOISON_MEMORY_REGION(a->chunk, a->chunk->size);
    mem_free(a->chunk);
    a->chunk = older;
  }
  a->next = a->end = NULL;
}

static void add_chunk(arena *a, size_t need) {
  size_t size = a->chunk != NULL ? a->chunk->size * 2 : FIRST_CHUNK;
  if (size > MAX_CHUNK) size = MAX_CHUNK;
  if (size < need + HEADER) size = need + HEADER;
  arena_chunk *c = size < need ? NULL : mem_alloc(size);
  if (c == NULL) diag_fail(a->diag, WN_ERR_NOMEM, "out of memory (%zu bytes wanted)", need);
  c->older = a->chunk;
  c->size = size;
  a->chunk = c;
  a->next = (char *)c + HEADER;
  a->end = (char *)c + size;
  ASAN_POISON_MEMORY_REGION(a->next, (size_t)(a->end - a->next));
}

void *arena_alloc(arena *a, size_t size) {
  if (size > SIZE_MAX / 2)
    diag_fail(a->diag, WN_ERR_NOMEM, "out of memory (%zu bytes wanted)", size);
  size_t need = (size + ALIGN - 1) / ALIGN * ALIGN + ARENA_GAP;
  if (need > (size_t)(a->end - a->next)) add_chunk(a, need);
  void *p = a->next;
  a->next += need;
  ASAN_UNPOISON_MEMORY_REGION(p, size);
  return memset(p, 0, size);
}

void *arena_copy(arena *a, const void *p, size_t size) {
  void *q = arena_alloc(a, size);
  return size ? memcpy(q, p, size) : q;
}

char *arena_strdup(arena *a, const char *s) { return arena_copy(a, s, strlen(s) + 1); }

char *arena_printf(arena *a, const char *format, ...) {
  str s;
  str_init(&s, a);
  va_list args;
  va_start(args, format);
  str_vprintf(&s, format, args);
  va_end(args);
  return s.data;
}

void *vec_grow(arena *a, void *data, size_t len, size_t *cap, size_t elem) {
  size_t bigger = *cap ? *cap * 2 : 8;
  if (bigger > SIZE_MAX / 2 / elem)
    diag_fail(a->diag, WN_ERR_NOMEM, "out of memory (%zu elements)", bigger);
  void *p = arena_alloc(a, bigger * elem);
  if (len) memcpy(p, data, len * elem);
  *cap = bigger;
  return p;
}

/* --- strings ---------------------------------------------------------------------------------- */

void str_init(str *s, arena *a) {
  memset(s, 0, sizeof *s);
  s->arena = a;
}

static void str_reserve(str *s, size_t more) {
  size_t need = s->len + more + 1;
  if (need <= s->cap) return;
  size_t cap = s->cap ? s->cap : 64;
  while (cap < need) cap *= 2;
  char *p = arena_alloc(s->arena, cap);
  if (s->len) memcpy(p, s->data, s->len);
  s->data = p;
  s->cap = cap;
}

void str_addn(str *s, const char *text, size_t n) {
  str_reserve(s, n);
  if (n) memcpy(s->data + s->len, text, n);
  s->len += n;
  s->data[s->len] = '\0';
}

void str_add(str *s, const char *text) { str_addn(s, text, strlen(text)); }

void str_vprintf(str *s, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  str_reserve(s, 80);
  size_t room = s->cap - s->len;
  int n = text_vformat(s->data + s->len, room, format, args);
  WN_CHECK(n >= 0, "bad format: %s", format);
  if ((size_t)n >= room) {
    str_reserve(s, (size_t)n);
    text_vformat(s->data + s->len, (size_t)n + 1, format, again);
  }
  s->len += (size_t)n;
  va_end(again);
}

void str_printf(str *s, const char *format, ...) {
  va_list args;
  va_start(args, format);
  str_vprintf(s, format, args);
  va_end(args);
}

const char *str_text(str *s) { return s->data != NULL ? s->data : ""; }

const char *arena_shape(arena *a, int ndim, const int64_t *shape) {
  str s;
  str_init(&s, a);
  str_add(&s, "[");
  for (int i = 0; i < ndim; ++i) str_printf(&s, "%s%lld", i ? ", " : "", (long long)shape[i]);
  str_add(&s, "]");
  return str_text(&s);
}
