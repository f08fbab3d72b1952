/* In: 64-bit keys. Out: 64-bit values, iterated in insertion order. Open addressing with linear probing over indices
 * into a dense array of entries; at most half full. */
#include "base/map.h"

void map_init(map *m, arena *a) {
  memset(m, 0, sizeof *m);
  m->arena = a;
}

/* A finaliser in the manner of splitmix64: every bit of the key reaches the low bits. */
static uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Multiplying by 2^64 / phi spreads runs of keys, which ids are, over the upper half. */
static uint32_t first_slot(uint64_t key) {
  return (uint32_t)((key ^ key >> 32) * 0x9e3779b97f4a7c15u >> 32);
}

static uint32_t *find_slot(const map *m, uint64_t key) {
  uint32_t mask = m->nslots - 1;
  for (uint32_t i = first_slot(key) & mask;; i = (i + 1) & mask) {
    uint32_t *slot = &m->slots[i];
    if (*slot == 0 || m->entries[*slot - 1].key == key) return slot;
  }
}

static void grow(map *m) {
  uint32_t cap = m->cap ? m->cap * 2 : 16;
  map_entry *entries = arena_array(m->arena, map_entry, cap);
  if (m->len) memcpy(entries, m->entries, m->len * sizeof *entries);
  m->entries = entries;
  m->cap = cap;
  m->nslots = cap * 2;
  m->slots = arena_array(m->arena, uint32_t, m->nslots);
  for (uint32_t i = 0; i < m->len; ++i) *find_slot(m, m->entries[i].key) = i + 1;
}

void map_put(map *m, uint64_t key, uint64_t value) {
  if (m->len == m->cap) grow(m);
  uint32_t *slot = find_slot(m, key);
  if (*slot == 0) {
    m->entries[m->len] = (map_entry){key, value};
    *slot = ++m->len;
  } else {
    m->entries[*slot - 1].value = value;
  }
}

bool map_get(const map *m, uint64_t key, uint64_t *value) {
  if (m->len == 0) return false;
  uint32_t *slot = find_slot(m, key);
  if (*slot == 0) return false;
  *value = m->entries[*slot - 1].value;
  return true;
}

void *map_get_ptr(const map *m, uint64_t key) {
  uint64_t v;
  return map_get(m, key, &v) ? (void *)(uintptr_t)v : NULL;
}

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed) {
  const unsigned char *b = p;
  uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15u);
  for (; n >= 8; n -= 8, b += 8) {
    uint64_t w;
    memcpy(&w, b, 8);
    h = (h ^ mix(w)) * 0x9fb21c651e98df25u;
  }
  uint64_t tail = 0;
  if (n) memcpy(&tail, b, n);
  return mix((h ^ mix(tail + 1)) * 0x9fb21c651e98df25u);
}
