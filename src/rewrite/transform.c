/* Rebuilding; see transform.h. */
#include "rewrite/transform.h"

#include "rewrite/rebuild.h"

static const uop *rebuild(graph *g, arena *a, uop_order all, bool enter, rebuild_fn fn,
                          void *user) {
  map done;
  map_init(&done, a);
  const uop *result = NULL;
  VEC(const uop *) src = {0};
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    src.len = 0;
    bool whole = !enter && u->op == OP_BUFFERIZE;
    for (int s = 0; s < u->nsrc && !whole; ++s)
      vec_push(a, &src, map_get_ptr(&done, u->src[s]->id));
    result = fn(user, whole ? u : uop_rebuild(g, u, src.data));
    map_put_ptr(&done, u->id, result);
  }
  return result;
}

const uop *uop_transform(graph *g, arena *a, const uop *root, rebuild_fn fn, void *user) {
  return rebuild(g, a, uop_toposort(a, 1, &root), true, fn, user);
}

const uop *uop_transform_value(graph *g, arena *a, const uop *value, rebuild_fn fn, void *user) {
  return rebuild(g, a, uop_walk_value(a, value), false, fn, user);
}
