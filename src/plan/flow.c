/* Products that are stored by the map that moves them; see flow.h. */
#include "plan/flow.h"

#include "ir/walk.h"
#include "lower/cats.h"
#include "plan/loops.h"
#include "rewrite/scratch.h"

enum { LEAST_CHANNELS = 8 }; /* a vector of the narrowest machine that is counted on */

typedef struct flowing {
  graph *g;
  arena *a;
  const site_list *sites;
  const user_buffer *user;
  const plan_source *source;
  graph_plan *plan;
  const uop **b;       /* by value */
  map number;          /* label of a value -> its number + 1 */
  int *readers, *read; /* by value: how many read it; the last that does */
} flowing;

static int number_of(const flowing *f, const uop *base) {
  uint64_t at;
  bool known =
      base->op == OP_BUFFERIZE && map_get(&f->number, (uintptr_t)base->arg.info->name, &at);
  return known ? (int)at - 1 : -1;
}

static void find_values(flowing *f) {
  const int n = f->sites->nvalues;
  f->b = arena_array(f->a, const uop *, n + 1);
  f->readers = arena_array(f->a, int, n + 1);
  f->read = arena_array(f->a, int, n + 1);
  map_init(&f->number, f->a);
  for (int v = 0; v < n; ++v)
    map_put(&f->number, (uintptr_t)f->sites->value[v].label, (uint64_t)v + 1);
  const uop_order all = uop_toposort(f->a, 1, &f->sites->root);
  for (size_t i = 0; i < all.len; ++i) {
    const int v = number_of(f, all.at[i]);
    if (v >= 0) f->b[v] = all.at[i];
  }
  for (int v = 0; v < n; ++v) {
    const stored_value *of = &f->sites->value[v];
    for (int i = 0; i < of->narrays; ++i)
      if (of->array[i] < 0) ++f->readers[~of->array[i]], f->read[~of->array[i]] = v;
  }
}

static bool is_free(const flowing *f, const stored_value *v) {
  const schedule *s = &f->plan->site[v->first];
  const bool said =
      s->inlined || s->with > 0 || s->t[0] > 0 || s->k[0] > 0 || s->lanes != VALUE_LOOP_CHOSEN;
  return f->source[v->first] == PLAN_CHOOSE && !said;
}

/* The only sum in a value, if it is one of products; NULL: there is none, or another. */
static const uop *product_in(const flowing *f, const uop *b) {
  const uop_order own = uop_walk_value(f->a, b->src[0]);
  const uop *found = NULL;
  for (size_t i = 0; i < own.len; ++i) {
    if (own.at[i]->op != OP_REDUCE) continue;
    if (found != NULL || !is_sum_of_products(own.at[i])) return NULL;
    found = own.at[i];
  }
  return found;
}

/* Where a map reads the array, if it does so at one place and all the time. */
static const uop *only_read(const flowing *f, const uop *mover, const uop *array) {
  const uop_order own = uop_walk_value(f->a, mover->src[0]);
  const uop *found = NULL;
  for (size_t i = 0; i < own.len; ++i) {
    const uop *u = own.at[i];
    if (u->op == OP_REDUCE) return NULL;
    if (u->op != OP_INDEX || u->src[0] != array) continue;
    if (found != NULL || !uop_is_int(u->src[1], 1)) return NULL;
    found = u;
  }
  return found;
}

/* What moves with this loop of the product is one operand of each term, which is the same in all runs. */
static bool is_of_weights(const flowing *f, const uop *sum, const uop *loop) {
  const uop_order term = uop_walk_value(f->a, sum->src[0]);
  bool moves = false;
  for (size_t i = 0; i < term.len; ++i) {
    const uop *u = term.at[i];
    if (u->op != OP_INDEX || !uop_has_range(u, loop)) continue;
    const int at = number_of(f, u->src[0]);
    if (!(at >= 0 ? f->sites->value[at].constant : f->user[u->src[0]->arg.i].constant))
      return false;
    moves = true;
  }
  return moves;
}

/* Are neighbours of the map channels of the product alone? */
static bool has_channels_last(const flowing *f, const uop *product, const uop *read,
                              const uop *mover) {
  const uop *sum = product_in(f, product), *last = mover->src[mover->nsrc - 1];
  bool moves = false;
  if (sum == NULL || last->arg.j < (int)LEAST_CHANNELS) return false;
  for (int i = 1; i < product->nsrc; ++i) {
    if (!uop_has_range(read->src[i + 1], last)) continue;
    if (!is_of_weights(f, sum, product->src[i])) return false;
    moves = true;
  }
  return moves;
}

static bool flows(const flowing *f, int product) {
  const stored_value *v = &f->sites->value[product], *of = &f->sites->value[f->read[product]];
  const uop *b = f->b[product], *mover = f->b[f->read[product]];
  if (value_is_cat(v) || f->sites->at[v->first].kind != SITE_PRODUCT || v->result >= 0 ||
      v->constant)
    return false;
  if (f->readers[product] != 1 || v->whole > 0 || value_is_cat(of) || v->len != of->len)
    return false;
  if (f->sites->at[of->first].kind != SITE_MAP || !is_free(f, v) || !is_free(f, of) ||
      mover->nsrc < 2)
    return false;
  const uop *read = only_read(f, mover, b);
  return read != NULL && has_channels_last(f, b, read, mover);
}

static void choose_all(arena *a, void *state) {
  flowing *f = state;
  f->a = a;
  find_values(f);
  for (int v = 0; v < f->sites->nvalues; ++v)
    if (flows(f, v)) f->plan->site[f->sites->value[v].first].inlined = true;
}

void products_flow(graph *g, const site_list *sites, const user_buffer *user,
                   const plan_source *source, graph_plan *plan, const machine *m) {
  flowing f = {.g = g, .sites = sites, .user = user, .source = source, .plan = plan};
  if (m->group == 0) with_scratch(g->diag, choose_all, &f); /* a device has no lanes */
}
