/* Storing products by themselves; see separate.h. */
#include "plan/separate.h"

#include <stdlib.h>

#include "ir/walk.h"
#include "lower/cats.h"
#include "plan/loops.h"
#include "rewrite/rebuild.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"
#include "winograd/recognise.h"

typedef struct separating {
  graph *g;
  arena *a;
  const uop *root;
  map apart; /* id of a REDUCE -> the BUFFERIZE in whose value it is */
  int named; /* values are called b0, b1, ... */
} separating;

static double work_of(const uop *reduce) {
  double n = 1;
  for (int i = 1; i < reduce->nsrc; ++i) n *= (double)reduce->src[i]->arg.j;
  return n;
}

/* Only loops of the value, so that it can be an array over some of them. */
static bool over_loops_of(const uop *b, const uop *reduce) {
  int found = 0;
  for (int i = 1; i < b->nsrc; ++i) found += uop_has_range(reduce, b->src[i]);
  return found == reduce->free_->len;
}

static void look_at(separating *s, const uop *b) {
  uop_order own = uop_walk_value(s->a, b->src[0]);
  VEC(const uop *) sums = {0};
  for (size_t i = 0; i < own.len; ++i)
    if (is_sum_of_products(own.at[i]) && over_loops_of(b, own.at[i]))
      vec_push(s->a, &sums, own.at[i]);
  if (sums.len < 2)
    return; /* nearly every value: nothing is recognised here that is not asked about */
  size_t products = 0;
  for (size_t i = 0; i < sums.len; ++i) {
    wino_match m;
    if (wino_recognise(s->g, sums.data[i], &m) != NULL) sums.data[products++] = sums.data[i];
  }
  const bool convs = products < sums.len;
  const uop *stays = NULL;
  for (size_t i = 0; i < products && !convs; ++i)
    if (stays == NULL || work_of(sums.data[i]) > work_of(stays)) stays = sums.data[i];
  for (size_t i = 0; i < products; ++i)
    if (sums.data[i] != stays) map_put_ptr(&s->apart, sums.data[i]->id, b);
}

static void find_named(separating *s, uop_order all) {
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op != OP_BUFFERIZE || all.at[i]->arg.info->name[0] != 'b') continue;
    const int n = (int)strtol(all.at[i]->arg.info->name + 1, NULL, 10) + 1;
    if (n > s->named) s->named = n;
  }
}

/* What stands for a product: the element of its array. */
static const uop *stored(separating *s, const uop *product, const uop *old, const uop *b) {
  graph *g = s->g;
  const uop *from[WN_MAX_DIMS * 2], *to[WN_MAX_DIMS * 2];
  int n = 0;
  for (int i = 1; i < b->nsrc; ++i) {
    if (!uop_has_range(product, b->src[i])) continue;
    from[n] = b->src[i];
    to[n++] = uop_range(g, b->src[i]->arg.j, NULL);
  }
  const bufferize_info info = {
      .name = arena_printf(s->a, "b%d", s->named++), .space = SPACE_ANY, .site = -1};
  const uop *array = uop_bufferize(g, uop_replace(g, product, n, from, to), n, to, info);
  const uop *tensor = map_get_ptr(&g->sums, (uint64_t)old->src[1]->arg.i);
  if (tensor != NULL) map_put_ptr(&g->stored, (uintptr_t)array->arg.info->name, tensor);
  return uop_index(g, array, uop_bool(g, true), n, from);
}

static void rebuild_all(separating *s, uop_order all) {
  map done;
  VEC(const uop *) src = {0};
  map_init(&done, s->a);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i], *b = map_get_ptr(&s->apart, u->id);
    src.len = 0;
    for (int k = 0; k < u->nsrc; ++k) vec_push(s->a, &src, map_get_ptr(&done, u->src[k]->id));
    const uop *now = u->nsrc == 0 ? u : uop_rebuild(s->g, u, src.data);
    map_put_ptr(&done, u->id, b != NULL ? stored(s, now, u, b) : now);
  }
  s->root = map_get_ptr(&done, s->root->id);
}

static void run(arena *a, void *state) {
  separating *s = state;
  s->a = a;
  map_init(&s->apart, a);
  uop_order all = uop_toposort(a, 1, &s->root);
  for (size_t i = 0; i < all.len; ++i)
    if (all.at[i]->op == OP_BUFFERIZE && !is_whole(all.at[i])) look_at(s, all.at[i]);
  if (s->apart.len == 0) return;
  find_named(s, all);
  rebuild_all(s, all);
}

const uop *products_separate(graph *g, const uop *root) {
  separating s = {.g = g, .root = root};
  with_scratch(g->diag, run, &s);
  return s.root;
}
