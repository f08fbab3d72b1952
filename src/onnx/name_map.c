/* In: names. Out: what stands under them; see name_map.h. Names of one hash are a chain. */
#include "onnx/name_map.h"

typedef struct name_entry {
  const char *name;
  const void *p;
  struct name_entry *next;
} name_entry;

static uint64_t key_of(const char *name) { return hash_bytes(name, strlen(name), 0) >> 1; }

static name_entry *find(const name_map *m, const char *name) {
  name_entry *e = map_get_ptr(&m->heads, key_of(name));
  while (e != NULL && strcmp(e->name, name) != 0) e = e->next;
  return e;
}

void name_map_init(name_map *m, arena *a) { map_init(&m->heads, a); }

void name_map_put(name_map *m, const char *name, const void *p) {
  name_entry *e = find(m, name);
  if (e == NULL) {
    e = arena_new(m->heads.arena, name_entry);
    *e = (name_entry){name, NULL, map_get_ptr(&m->heads, key_of(name))};
    map_put_ptr(&m->heads, key_of(name), e);
  }
  e->p = p;
}

void *name_map_get(const name_map *m, const char *name) {
  const name_entry *e = find(m, name);
  return e == NULL ? NULL : (void *)(uintptr_t)e->p;
}
