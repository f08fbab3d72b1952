/* Walks over a graph. Bottom-up rebuilding: in: a root and a function of one node; out: the root with every node passed
 * through it.
 * Always holds: what is rebuilt has the form that the simplifier would give it, commutative operands in order, so that a
 * BUFFERIZE stays the same node when it is simplified later. */
#include "rewrite/rebuild.h"
#include "schedule/apply.h"

const uop *uop_transform(graph *g, arena *a, const uop *root, rebuild_fn fn, void *user) {
  uop_order all = uop_toposort(a, 1, &root);
  map done;
  map_init(&done, a);
  const uop *result = root;
  VEC(const uop *) src = {0};
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    src.len = 0;
    for (int s = 0; s < u->nsrc; ++s) vec_push(a, &src, map_get_ptr(&done, u->src[s]->id));
    result = fn(user, uop_rebuild(g, u, src.data));
    map_put_ptr(&done, u->id, result);
  }
  return result;
}

uop_order own_nodes(arena *a, const uop *value) {
  uop_order all = uop_toposort(a, 1, &value);
  map wanted;
  map_init(&wanted, a);
  map_put(&wanted, value->id, 1);
  size_t at = all.len;
  for (size_t i = all.len; i-- > 0;) { /* users first */
    const uop *u = all.at[i];
    uint64_t known;
    if (!map_get(&wanted, u->id, &known)) continue;
    all.at[--at] = u;
    for (int s = 0; s < u->nsrc && u->op != OP_BUFFERIZE; ++s) map_put(&wanted, u->src[s]->id, 1);
  }
  return (uop_order){all.at + at, all.len - at};
}
