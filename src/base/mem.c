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

/* --- aligned blocks --------------------------------------------------------------------------- */

/* Large blocks are pages of their own, which are zeros before anybody touches them and take no memory until then, and
 * of which some can be given back. In front of each block stands where its memory begins. */
enum { HUGE_PAGE = 2 << 20, WORTH_HUGE = 1 << 20 };

typedef struct block_head {
  void *begin;
  size_t mapped; /* bytes from there; 0: of malloc */
} block_head;

static size_t page_size(void) {
  long size = sysconf(_SC_PAGESIZE);
  return size > 0 ? (size_t)size : 4096;
}

static block_head *head_of(void *p) { return (block_head *)p - 1; }

static char *aligned_in(char *begin, size_t align) {
  uintptr_t at = (uintptr_t)begin + sizeof(block_head);
  return begin + ((at + align - 1) / align * align - (uintptr_t)begin);
}

#if defined(MADV_HUGEPAGE) && !defined(ARENA_ASAN)
static void *map_pages(size_t size) {
  size_t page = page_size(), all = size + HUGE_PAGE + page;
  char *begin = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) return NULL;
  char *p = aligned_in(begin, HUGE_PAGE), *from = p - page, *end = begin + all;
  char *until = p + (size + page - 1) / page * page;
  if (from > begin) (void)munmap(begin, (size_t)(from - begin));
  if (end > until) (void)munmap(until, (size_t)(end - until));
  *head_of(p) = (block_head){from, (size_t)(until - from)};
  /* where the system says no, pages stay small */
  (void)madvise(p, (size_t)(until - p), MADV_HUGEPAGE);
  return p;
}

static void unmap_pages(const block_head *h) { (void)munmap(h->begin, h->mapped); }
static bool is_worth_pages(size_t size, size_t align) {
  return size >= WORTH_HUGE && align <= HUGE_PAGE;
}
#else
static void *map_pages(size_t size) {
  (void)size;
  return NULL;
}
static void unmap_pages(const block_head *h) { (void)h; }
static bool is_worth_pages(size_t size, size_t align) {
  (void)size;
  (void)align;
  return false;
}
#endif

static void *alloc_aligned(size_t size, size_t align, bool zeros) {
  size_t room = align + sizeof(block_head);
  if (must_fail() || size > SIZE_MAX / 2 || align > SIZE_MAX / 4) return NULL;
  if (is_worth_pages(size, align)) return map_pages(size);
  char *begin = zeros ? calloc(1, size + room) : malloc(size + room);
  if (begin == NULL) return NULL;
  char *p = aligned_in(begin, align);
  *head_of(p) = (block_head){begin, 0};
  ASAN_POISON_MEMORY_REGION(begin, (size_t)(p - begin));
  return p;
}

void *mem_alloc_aligned_unset(size_t size, size_t align) {
  return alloc_aligned(size, align, false);
}

void *mem_alloc_aligned(size_t size, size_t align) { return alloc_aligned(size, align, true); }

void mem_free_aligned(void *p) {
  if (p == NULL) return;
  ASAN_UNPOISON_MEMORY_REGION(head_of(p), sizeof(block_head));
  block_head head = *head_of(p);
  if (head.mapped == 0)
    ASAN_UNPOISON_MEMORY_REGION(head.begin, (size_t)((char *)p - (char *)head.begin));
  if (head.mapped > 0)
    unmap_pages(&head);
  else
    free(head.begin);
}

size_t mem_drop(void *p, size_t size, unsigned char **first) {
#if defined(__linux__)
  uintptr_t page = page_size(), from = ((uintptr_t)p + page - 1) / page * page;
  uintptr_t end = ((uintptr_t)p + size) / page * page;
  *first = (unsigned char *)p + (from - (uintptr_t)p);
  if (from >= end) return 0;
#if defined(MADV_NOHUGEPAGE)
  (void)madvise(*first, end - from,
                MADV_NOHUGEPAGE); /* or the system may fill a large page again */
#endif
  if (madvise(*first, end - from, MADV_DONTNEED) != 0) return 0;
  ASAN_POISON_MEMORY_REGION(*first, end - from);
  return end - from;
#else
  (void)size;
  *first = p;
  return 0;
#endif
}

void mem_take(void *p, size_t size) {
  (void)p;
  (void)size;
  ASAN_UNPOISON_MEMORY_REGION(p, size);
}

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
