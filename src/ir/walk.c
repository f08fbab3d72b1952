/* Walks; see walk.h. */
#include "ir/walk.h"

typedef struct visit {
  const uop *u;
  int next; /* source to look at */
} visit;

/* Ids that were met: bits while they are small, open addressing where they are not, so that a walk over a few nodes of
 * a large graph costs a few nodes. Entries are ids + 1. */
enum { FEW_WORDS = 64, FIRST_SLOTS = 256 };
typedef struct id_set {
  arena *a;
  uint64_t bits[FEW_WORDS];
  uint32_t *slot, mask, count;
} id_set;

static uint32_t place_of(const id_set *s, uint32_t entry) {
  uint32_t at = entry * UINT32_C(0x9e3779b1) & s->mask;
  while (s->slot[at] != 0 && s->slot[at] != entry) at = (at + 1) & s->mask;
  return at;
}

static void grow(id_set *s) {
  id_set old = *s;
  uint32_t n = old.slot != NULL ? 2 * (old.mask + 1) : FIRST_SLOTS;
  s->slot = arena_array(s->a, uint32_t, n);
  s->mask = n - 1;
  for (uint32_t i = 0; old.slot != NULL && i <= old.mask; ++i) {
    if (old.slot[i] != 0) s->slot[place_of(s, old.slot[i])] = old.slot[i];
  }
}

/* Adds it; false: it was there. */
static bool meet(id_set *s, const uop *u) {
  if (u->id < FEW_WORDS * 64) {
    uint64_t bit = UINT64_C(1) << u->id % 64, *word = &s->bits[u->id / 64];
    bool first = (*word & bit) == 0;
    *word |= bit;
    return first;
  }
  if (s->slot == NULL || 2 * s->count > s->mask) grow(s);
  uint32_t at = place_of(s, u->id + 1);
  if (s->slot[at] != 0) return false;
  s->slot[at] = u->id + 1;
  ++s->count;
  return true;
}

static uop_order walk(arena *a, int nroots, const uop *const *roots, bool enter) {
  VEC(visit) stack = {0};
  VEC(const uop *) out = {0};
  id_set met = {.a = a};
  for (int i = 0; i < nroots; ++i) {
    if (meet(&met, roots[i])) vec_push(a, &stack, ((visit){roots[i], 0}));
    while (stack.len > 0) {
      visit *top = &stack.data[stack.len - 1];
      if (top->next == top->u->nsrc || (!enter && top->u->op == OP_BUFFERIZE)) {
        vec_push(a, &out, top->u);
        --stack.len;
        continue;
      }
      const uop *s = top->u->src[top->next++];
      if (meet(&met, s)) vec_push(a, &stack, ((visit){s, 0}));
    }
  }
  return (uop_order){out.data, out.len};
}

uop_order uop_toposort(arena *a, int nroots, const uop *const *roots) {
  return walk(a, nroots, roots, true);
}

uop_order uop_walk_value(arena *a, const uop *value) { return walk(a, 1, &value, false); }

uop_order uop_walk_values(arena *a, int n, const uop *const *value) {
  return walk(a, n, value, false);
}

condition_list conditions_of(arena *a, const uop *cond) {
  VEC(const uop *) stack = {0}, out = {0};
  vec_push(a, &stack, cond);
  while (stack.len > 0) {
    const uop *u = stack.data[--stack.len];
    if (u->op == OP_AND) {
      vec_push(a, &stack, u->src[1]);
      vec_push(a, &stack, u->src[0]);
    } else {
      vec_push(a, &out, u);
    }
  }
  return (condition_list){out.data, out.len};
}
