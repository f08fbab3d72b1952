/* Memory: counted heap allocation, arenas, growable arrays, string builder.
 *
 * Heap functions return NULL on failure, like malloc; arena functions never do: they unwind through the arena's diag.
 * Always holds: every allocation of winnow passes through mem_alloc, so tests can make the n-th one fail. */
#ifndef WN_BASE_MEM_H
#define WN_BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/diag.h"

void *mem_alloc(size_t size);
/* zeroed; align a power of two >= 16; free with mem_free_aligned */
void *mem_alloc_aligned(size_t size, size_t align);
/* the same, but its contents are not set */
void *mem_alloc_aligned_unset(size_t size, size_t align);
/* Gives the whole pages of p[0..size) back to the system, for a while: what they hold is lost, and until mem_take they
 * are not to be touched. Returns how many bytes, from *first on; 0: none. Blocks of mem_alloc_aligned only. */
size_t mem_drop(void *p, size_t size, unsigned char **first);
void mem_take(void *p, size_t size);
void *mem_realloc(void *p, size_t size);
void mem_free(void *p);
void mem_free_aligned(void *p);
/* Make the n-th allocation from now (counted from 1) and every later one fail; 0 turns it off. For tests. */
void mem_fail_at(long n);
long mem_count(void); /* allocations so far */
/* Bytes that the process may have: the machine's, or its control group's where that is less; SIZE_MAX: not known. */
size_t mem_physical(void);

typedef struct arena_chunk arena_chunk;
typedef struct arena {
  diag *diag;
  arena_chunk *chunk; /* newest first */
  char *next, *end;
} arena;

void arena_init(arena *a, diag *d);       /* allocates nothing */
void arena_release(arena *a);             /* frees all; the arena may be used again */
void *arena_alloc(arena *a, size_t size); /* zeroed, aligned for any type */
void *arena_copy(arena *a, const void *p, size_t size);
char *arena_strdup(arena *a, const char *s);
char *arena_printf(arena *a, const char *format, ...) WN_PRINTF(2, 3);
/* "[1, 16, 32, 32]" */
const char *arena_shape(arena *a, int ndim, const int64_t *shape);
#define arena_new(a, T)      ((T *)arena_alloc((a), sizeof(T)))
#define arena_array(a, T, n) ((T *)arena_alloc((a), sizeof(T) * (size_t)(n)))

/* VEC(T) v = {0}; vec_push(arena, &v, x); v.data[i], v.len. Lives in the arena; never freed by itself. */
#define VEC(T)  \
  struct {      \
    T *data;    \
    size_t len; \
    size_t cap; \
  }
void *vec_grow(arena *a, void *data, size_t len, size_t *cap, size_t elem);
#define vec_push(a, v, x)                                                                     \
  ((v)->len == (v)->cap                                                                       \
       ? (void)((v)->data = vec_grow((a), (v)->data, (v)->len, &(v)->cap, sizeof *(v)->data)) \
       : (void)0,                                                                             \
   (v)->data[(v)->len++] = (x))

typedef struct str {
  arena *arena;
  char *data; /* always terminated once something was added */
  size_t len, cap;
} str;
void str_init(str *s, arena *a);
void str_add(str *s, const char *text);
void str_addn(str *s, const char *text, size_t n);
void str_printf(str *s, const char *format, ...) WN_PRINTF(2, 3);
void str_vprintf(str *s, const char *format, va_list args);
const char *str_text(str *s); /* "" when nothing was added */

#endif
