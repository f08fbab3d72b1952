/* Concatenated arrays; see cats.h. */
#include "lower/cats.h"

#include <stdlib.h>

#include "rewrite/rebuild.h"

typedef struct whole {
  const uop *u;
  int64_t len;
  size_t at; /* position in the walk */
} whole;

static int64_t len_of(const uop *bufferize) {
  int64_t n = 1;
  for (int i = 1; i < bufferize->nsrc; ++i) n *= bufferize->src[i]->arg.j;
  return n;
}

/* Of equal ones the last, which may have the others as parts. */
static int largest_first(const void *a, const void *b) {
  const whole *x = a, *y = b;
  if (x->len != y->len) return x->len < y->len ? 1 : -1;
  return (x->at < y->at) - (x->at > y->at);
}

static void put(cat_places *p, const uop *u, const uop *into, int64_t at) {
  cat_place *place = arena_new(p->of.arena, cat_place);
  *place = (cat_place){into, at};
  map_put_ptr(&p->of, u->id, place);
}

/* Are all parts one behind the other in another whole already? */
static bool is_seen(const cat_places *p, const uop *u) {
  const uop *cat = u->src[0];
  const cat_place *first = cat_place_of(p, cat->src[0]);
  if (first == NULL || u->arg.info->explicit_) return false;
  int64_t at = first->at;
  for (int i = 0; i < cat->nsrc; ++i) {
    const cat_place *part = cat_place_of(p, cat->src[i]);
    if (part == NULL || part->whole != first->whole || part->at != at) return false;
    at += len_of(cat->src[i]);
  }
  return true;
}

typedef VEC(const uop *) uop_vec;

/* Parts that are made of parts themselves are next. */
static void place_parts(cat_places *p, const uop *u, uop_vec *next) {
  const uop *cat = u->src[0];
  const cat_place *own = cat_place_of(p, u);
  const uop *into = own != NULL ? own->whole : u;
  int64_t at = own != NULL ? own->at : 0;
  for (int i = 0; i < cat->nsrc; ++i) {
    const uop *part = cat->src[i];
    const cat_place *there = cat_place_of(p, part);
    bool fits = there == NULL || (there->whole == into && there->at == at);
    if (!fits || part->arg.info->explicit_) {
      vec_push(p->of.arena, &p->conflicts, ((cat_conflict){u, i}));
    } else if (there == NULL) {
      put(p, part, into, at);
      if (is_whole(part)) vec_push(p->of.arena, next, part);
    }
    at += len_of(part);
  }
}

static void place_whole(cat_places *p, const uop *u, map *done) {
  uop_vec next = {0};
  vec_push(p->of.arena, &next, u);
  while (next.len > 0) {
    const uop *at = next.data[--next.len];
    uint64_t known;
    if (map_get(done, at->id, &known)) continue;
    map_put(done, at->id, 1);
    if (cat_place_of(p, at) == NULL && is_seen(p, at)) {
      const cat_place *first = cat_place_of(p, at->src[0]->src[0]);
      put(p, at, first->whole, first->at);
    } else {
      place_parts(p, at, &next);
    }
  }
}

void cats_find(cat_places *p, arena *a, uop_order all) {
  VEC(whole) wholes = {0};
  map done;
  map_init(&done, a);
  *p = (cat_places){.wholes = 0};
  map_init(&p->of, a);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (is_whole(u)) vec_push(a, &wholes, ((whole){u, len_of(u), i}));
  }
  p->wholes = (int)wholes.len;
  if (wholes.len > 0) qsort(wholes.data, wholes.len, sizeof *wholes.data, largest_first);
  for (size_t i = 0; i < wholes.len; ++i) place_whole(p, wholes.data[i].u, &done);
}

/* --- copies ----------------------------------------------------------------------------------- */

/* A value that has the array's elements, and a name of its own. */
static const uop *copy_of(graph *g, arena *a, const uop *array, int *named) {
  int n = array->nsrc - 1;
  const uop **loop = arena_array(a, const uop *, n + 1);
  for (int i = 0; i < n; ++i) loop[i] = uop_range(g, array->src[i + 1]->arg.j, NULL);
  const bufferize_info info = {
      .name = arena_printf(a, "b%d", (*named)++), .space = SPACE_ANY, .site = -1};
  const uop *copy = uop_bufferize(g, uop_index(g, array, NULL, n, loop), n, loop, info);
  const uop *tensor = map_get_ptr(&g->stored, (uintptr_t)array->arg.info->name);
  map_put_ptr(&g->stored, (uintptr_t)copy->arg.info->name, tensor);
  return copy;
}

/* The whole `u`, where the parts [first, end) of `conflicts` are copies. done: what the graph is rebuilt to. */
static const uop *with_copies(graph *g, arena *a, const cat_conflict *first, int n, const uop *u,
                              const map *done, int *named) {
  const uop *cat = u->src[0], **part = arena_array(a, const uop *, cat->nsrc);
  for (int i = 0; i < cat->nsrc; ++i) part[i] = map_get_ptr(done, cat->src[i]->id);
  for (int i = 0; i < n; ++i) part[first[i].part] = copy_of(g, a, part[first[i].part], named);
  const uop *value = uop_new(g, OP_CAT, (wn_dtype)cat->dtype, cat->nsrc, part, (uop_arg){0});
  return uop_bufferize(g, value, u->nsrc - 1, u->src + 1, *u->arg.info);
}

const uop *cats_separate(graph *g, arena *a, const uop *root, int *named) {
  uop_order all = uop_toposort(a, 1, &root);
  cat_places p;
  map first, done; /* of a whole with conflicts: 1 + its first one */
  VEC(const uop *) src = {0};
  cats_find(&p, a, all);
  if (p.conflicts.len == 0) return root;
  map_init(&first, a);
  map_init(&done, a);
  for (size_t i = p.conflicts.len; i-- > 0;)
    map_put(&first, p.conflicts.data[i].whole->id, (uint64_t)i);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    uint64_t at;
    if (map_get(&first, u->id, &at)) {
      const cat_conflict *c = &p.conflicts.data[at];
      int n = 0;
      while (at + (size_t)n < p.conflicts.len && c[n].whole == u) ++n;
      map_put_ptr(&done, u->id, with_copies(g, a, c, n, u, &done, named));
      continue;
    }
    src.len = 0;
    for (int s = 0; s < u->nsrc; ++s) vec_push(a, &src, map_get_ptr(&done, u->src[s]->id));
    map_put_ptr(&done, u->id, u->nsrc == 0 ? u : uop_rebuild(g, u, src.data));
  }
  return map_get_ptr(&done, root->id);
}
