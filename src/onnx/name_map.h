/* From names to pointers. In: texts, which are not copied. Out: what was put last under an equal text. */
#ifndef WN_ONNX_NAME_MAP_H
#define WN_ONNX_NAME_MAP_H

#include "base/map.h"

typedef struct name_map {
  map heads; /* hash of a name -> its chain */
} name_map;

void name_map_init(name_map *m, arena *a);
/* Replaces; p is not NULL. */
void name_map_put(name_map *m, const char *name, const void *p);
/* NULL: nothing is there. */
void *name_map_get(const name_map *m, const char *name);

#endif
