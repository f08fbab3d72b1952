/* Hash map from 64-bit keys to 64-bit values, and from byte strings to pointers (interning), in an arena.
 * Keys are any value except MAP_NONE. Iteration is in insertion order, so results never depend on addresses. */
#ifndef WN_BASE_MAP_H
#define WN_BASE_MAP_H

#include "base/mem.h"

#define MAP_NONE UINT64_MAX

typedef struct map_entry {
  uint64_t key, value;
} map_entry;

typedef struct map {
  arena *arena;
  map_entry *entries; /* in insertion order */
  uint32_t *slots;    /* index + 1 into entries, 0 empty */
  uint32_t len, cap, nslots;
} map;

void map_init(map *m, arena *a);
void map_put(map *m, uint64_t key, uint64_t value); /* replaces */
bool map_get(const map *m, uint64_t key, uint64_t *value);
void *map_get_ptr(const map *m, uint64_t key); /* NULL if absent */
static inline void map_put_ptr(map *m, uint64_t key, const void *p) {
  map_put(m, key, (uint64_t)(uintptr_t)p);
}

uint64_t hash_bytes(const void *p, size_t n,
                    uint64_t seed); /* not cryptographic, stable between runs */

#endif
