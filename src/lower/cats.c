/* Concatenated arrays; see cats.h. */
#include "lower/cats.h"

#include <stdlib.h>

#include "rewrite/rebuild.h"

#include "lower/lower.h"
#include "rewrite/rebuild.h"

typedef struct whole {
  const uop *u;
  int64_t len;
  size_t at; /* position in the walk */
} whole;

/* Of equal ones the last, which may have the others as parts. */
static int largest_first(const void *a, const void *b) {
  const whole *x = a, *y = b;
  if (x->len != y->len) return x->len < y->len ? 1 : -1;
  return (x->at < y->at) - (x->at > y->at);
}

static void put(cat_places *p, const uop *u, cat_place place) {
  map_put_ptr(&p->of, u->id, arena_copy(p->of.arena, &place, sizeof place));
}

/* --- loops of arrays -------------------------------------------------------------------------- */

/* Loops of an array, outermost first, and elements between neighbours along each. */
typedef struct loops {
  int n;
  int64_t *extent, *stride;
} loops;

static loops loops_of(arena *a, const uop *bufferize) {
  const int n = bufferize->nsrc - 1;
  loops l = {n, arena_array(a, int64_t, n + 1), arena_array(a, int64_t, n + 1)};
  for (int i = 0; i < n; ++i) {
    l.extent[i] = bufferize->src[i + 1]->arg.j;
    l.stride[i] = uop_stride(bufferize, i);
  }
  return l;
}

/* The strides with which other loops go through the same elements in the same order; false: there are none, where a
 * loop would go on over a gap. */
static bool follow(const loops *l, loops *other) {
  int at = l->n;
  int64_t left = 1, next = 1; /* of neighbouring loops without a gap between them, as of one */
  for (int i = other->n; i-- > 0;) {
    const int64_t extent = other->extent[i];
    other->stride[i] = 0;
    if (extent == 1) continue;
    while (left == 1 && at > 0) left = l->extent[--at], next = l->stride[at];
    while (at > 0 && (l->extent[at - 1] == 1 || l->stride[at - 1] == next * left))
      left *= l->extent[--at];
    if (left % extent != 0) return false;
    other->stride[i] = next;
    left /= extent;
    next *= extent;
  }
  return true;
}

/* How many of the axis' elements the part of the whole has. */
static int64_t share_of(const uop *u, const uop *part) {
  int64_t others = 1;
  for (int i = 1; i < u->nsrc; ++i) others *= i == u->src[0]->arg.i + 1 ? 1 : u->src[i]->arg.j;
  return uop_elements(part) / others;
}

static cat_place own_place(arena *a, const uop *u) {
  return (cat_place){u, 0, loops_of(a, u).stride};
}

/* Where a part is that has so many elements of the axis from `from` on, of a whole that is at `own`. */
static bool place_of_part(arena *a, const uop *u, const cat_place *own, int64_t from, int64_t count,
                          const uop *part, cat_place *out) {
  const int axis = (int)u->src[0]->arg.i;
  loops all = loops_of(a, u), of_part = loops_of(a, part);
  memcpy(all.stride, own->stride, sizeof *all.stride * (size_t)all.n);
  all.extent[axis] = count;
  *out = (cat_place){own->whole, own->at + from * all.stride[axis], of_part.stride};
  return follow(&all, &of_part);
}

static bool same_place(const cat_place *x, const cat_place *y, const uop *part) {
  const size_t bytes = sizeof *x->stride * (size_t)(part->nsrc - 1);
  return x->whole == y->whole && x->at == y->at && memcmp(x->stride, y->stride, bytes) == 0;
}

/* Does each loop step over all that those inside it go through? */
static bool is_nested(const loops *l) {
  int64_t inside = 1;
  for (int i = l->n; i-- > 0;) {
    if (l->stride[i] < inside) return false;
    inside += l->stride[i] * (l->extent[i] - 1);
  }
  return true;
}

/* The place of a whole whose first parts, which have places, are where it wants them. */
static bool place_from_parts(const cat_places *p, const uop *u, cat_place *out) {
  arena *a = p->of.arena;
  const uop *cat = u->src[0], *part = cat->src[0];
  const int axis = (int)cat->arg.i;
  const cat_place *first = cat_place_of(p, part),
                  *second = cat->nsrc > 1 ? cat_place_of(p, cat->src[1]) : first;
  if (first == NULL || second == NULL) return false;
  loops all = loops_of(a, u), of_part = loops_of(a, part);
  memcpy(of_part.stride, first->stride, sizeof *of_part.stride * (size_t)of_part.n);
  const int64_t count = all.extent[axis] = share_of(u, part);
  if (!follow(&of_part, &all)) return false;
  if (second != first) all.stride[axis] = (second->at - first->at) / count;
  all.extent[axis] = u->src[axis + 1]->arg.j;
  *out = (cat_place){first->whole, first->at, all.stride};
  return is_nested(&all);
}

/* Are all parts beside each other in another whole already? */
static bool is_seen(const cat_places *p, const uop *u, cat_place *own) {
  const uop *cat = u->src[0];
  int64_t from = 0;
  if (u->arg.info->explicit_ || !place_from_parts(p, u, own)) return false;
  for (int i = 0; i < cat->nsrc; ++i) {
    const uop *part = cat->src[i];
    const cat_place *there = cat_place_of(p, part);
    const int64_t count = share_of(u, part);
    cat_place want;
    if (there == NULL || !place_of_part(p->of.arena, u, own, from, count, part, &want) ||
        !same_place(&want, there, part))
      return false;
    from += count;
  }
  return true;
}

typedef VEC(const uop *) uop_vec;

/* Parts that are made of parts themselves are next. */
static void place_parts(cat_places *p, const uop *u, uop_vec *next) {
  arena *a = p->of.arena;
  const uop *cat = u->src[0];
  const cat_place *in = cat_place_of(p, u), own = in != NULL ? *in : own_place(a, u);
  int64_t from = 0;
  for (int i = 0; i < cat->nsrc; ++i) {
    const uop *part = cat->src[i];
    const cat_place *there = cat_place_of(p, part);
    const int64_t count = share_of(u, part);
    cat_place want;
    bool fits = place_of_part(a, u, &own, from, count, part, &want) &&
                (there == NULL || same_place(there, &want, part));
    if (!fits || part->arg.info->explicit_) {
      vec_push(a, &p->conflicts, ((cat_conflict){u, i}));
    } else if (there == NULL) {
      put(p, part, want);
      if (is_whole(part)) vec_push(a, next, part);
    }
    from += count;
  }
}

static void place_whole(cat_places *p, const uop *u, map *done) {
  uop_vec next = {0};
  vec_push(p->of.arena, &next, u);
  while (next.len > 0) {
    const uop *at = next.data[--next.len];
    uint64_t known;
    cat_place seen;
    if (map_get(done, at->id, &known)) continue;
    map_put(done, at->id, 1);
    if (cat_place_of(p, at) == NULL && is_seen(p, at, &seen))
      put(p, at, seen);
    else
      place_parts(p, at, &next);
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
    if (is_whole(u)) vec_push(a, &wholes, ((whole){u, uop_elements(u), i}));
  }
  p->wholes = (int)wholes.len;
  if (wholes.len > 0) qsort(wholes.data, wholes.len, sizeof *wholes.data, largest_first);
  for (size_t i = 0; i < wholes.len; ++i) place_whole(p, wholes.data[i].u, &done);
}

/* --- copies ----------------------------------------------------------------------------------- */

/* What the array has at these loops of another, which go through all of it in its order. */
static const uop *element_of(graph *g, const uop *array, int n, const uop *const *loop) {
  const int m = array->nsrc - 1;
  const uop *flat = uop_int(g, 0), *index[WN_MAX_DIMS * 2];
  bool same = m == n;
  for (int i = 0; i < n && same; ++i) same = array->src[i + 1]->arg.j == loop[i]->arg.j;
  if (same) return uop_index(g, array, NULL, n, loop);
  WN_CHECK(m <= (int)(sizeof index / sizeof *index), "%d loops", m);
  for (int i = 0; i < n; ++i) flat = uop_add(g, uop_muli(g, flat, loop[i]->arg.j), loop[i]);
  for (int i = m; i-- > 0;) {
    const int64_t extent = array->src[i + 1]->arg.j;
    index[i] = simplify(g, i > 0 ? uop_modi(g, flat, extent) : flat);
    flat = uop_divi(g, flat, extent);
  }
  return uop_index(g, array, NULL, m, index);
}

/* A value that has the array's elements and the loops of the whole, and a name of its own. */
static const uop *copy_of(graph *g, arena *a, const uop *u, const uop *array, int *named) {
  const uop **loop = arena_array(a, const uop *, u->nsrc);
  int n = 0;
  for (int i = 1; i < u->nsrc; ++i) {
    const bool axis = i == u->src[0]->arg.i + 1;
    const int64_t extent = axis ? share_of(u, array) : u->src[i]->arg.j;
    if (extent > 1) loop[n++] = uop_range(g, extent, NULL);
  }
  const bufferize_info info = {
      .name = arena_printf(a, "b%d", (*named)++), .space = SPACE_ANY, .site = -1};
  const uop *copy = uop_bufferize(g, element_of(g, array, n, loop), n, loop, info);
  const uop *tensor = map_get_ptr(&g->stored, (uintptr_t)array->arg.info->name);
  map_put_ptr(&g->stored, (uintptr_t)copy->arg.info->name, tensor);
  return copy;
}

/* The whole `u`, where the parts [first, end) of `conflicts` are copies. done: what the graph is rebuilt to. */
static const uop *with_copies(graph *g, arena *a, const cat_conflict *first, int n, const uop *u,
                              const map *done, int *named) {
  const uop *cat = u->src[0], **part = arena_array(a, const uop *, cat->nsrc);
  for (int i = 0; i < cat->nsrc; ++i) part[i] = map_get_ptr(done, cat->src[i]->id);
  for (int i = 0; i < n; ++i) part[first[i].part] = copy_of(g, a, u, part[first[i].part], named);
  const uop *value = uop_new(g, OP_CAT, (wn_dtype)cat->dtype, cat->nsrc, part, cat->arg);
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
