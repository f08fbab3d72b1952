/* What sites are called, for people.
 *
 * In: the tensor graph with the names that its maker gave (graph.names), what lowering says of where its values went
 * (graph.stored, graph.sums), and sites. Out: a name, or none, and the shape of each site.
 * A site has the name of the value that it stores; where that has none, of the convolution in it, else of what is
 * nearest above in its computation. Of several convolutions in one value each has its own first, so that they differ. A
 * name of a leaf is that of data, and never of what is computed. Always holds: names change nothing but text. */
#include "ir/walk.h"
#include "lower/lower.h"
#include "rewrite/scratch.h"
#include "plan/sites.h"

enum { NEAR = 256 }; /* tensors that are looked at for the nearest name */

typedef struct naming {
  graph *g;
  arena *a;
  const site_list *sites;
  graph_site *at;
  map stored;   /* id of a tensor that is stored -> 1 */
  map reshaped; /* id of a tensor -> the oldest reshape of it */
  map shapes;
} naming;

static const uop *tensor_of(const naming *n, int value) {
  return map_get_ptr(&n->g->stored, (uintptr_t)n->sites->value[value].label);
}

/* The first reshape of each sum: a sum keeps its axes, and that is what the API gives for it. */
static void find_reshapes(naming *n, uop_order all) {
  for (size_t i = all.len; i-- > 0;)
    if (all.at[i]->op == OP_RESHAPE) map_put_ptr(&n->reshaped, all.at[i]->src[0]->id, all.at[i]);
}

/* As its maker sees it. */
static const int_list *shape_of(naming *n, const uop *t) {
  const value_name *name = map_get_ptr(&n->g->names, t->id);
  if (name != NULL) return name->shape;
  const uop *reshaped = t->op == OP_REDUCE_AXIS ? map_get_ptr(&n->reshaped, t->id) : NULL;
  return tensor_shape(n->g, &n->shapes, reshaped != NULL ? reshaped : t);
}

static const char *name_of(const naming *n, const uop *t) {
  return t == NULL ? NULL : uop_value_name(n->g, t);
}

static bool is_data(const uop *t) {
  while (uop_is_movement(t) || t->op == OP_CAST) t = t->src[0];
  return t->nsrc == 0;
}

/* It, or what it is a view of, is the array of a value. */
static bool is_stored(const naming *n, const uop *t) {
  uint64_t known;
  while (!map_get(&n->stored, t->id, &known)) {
    if (op_table[t->op].shape != SH_MOVE) return false;
    t = t->src[0];
  }
  return true;
}

/* The name that is the fewest steps away, of what is computed for the value alone. */
static const char *nearest(const naming *n, const uop *from) {
  const uop *queue[NEAR];
  map met;
  int len = 0;
  map_init(&met, n->a);
  queue[len++] = from;
  for (int i = 0; i < len; ++i) {
    const char *name = i > 0 ? name_of(n, queue[i]) : NULL;
    if (name != NULL) return name;
    for (int s = 0; s < queue[i]->nsrc && len < NEAR; ++s) {
      const uop *t = queue[i]->src[s];
      uint64_t known;
      if (map_get(&met, t->id, &known) || is_stored(n, t) || is_data(t)) continue;
      map_put(&met, t->id, 1);
      queue[len++] = t;
    }
  }
  return NULL;
}

static void name_value(naming *n, int value) {
  const stored_value *v = &n->sites->value[value];
  const uop *t = tensor_of(n, value);
  WN_CHECK(t != NULL, "lowering does not say what %s is", v->label);
  const int_list *shape = shape_of(n, t);
  const char *whole = name_of(n, t);
  if (whole == NULL && v->nconvs == 1) whole = name_of(n, v->sum[0]);
  if (whole == NULL && v->nconvs <= 1 && n->g->names.len > 0) whole = nearest(n, t);
  for (int i = 0; i < v->nsites; ++i) {
    const char *own = v->nconvs > 1 ? name_of(n, v->sum[i]) : NULL;
    n->at[v->first + i].name = own != NULL ? own : whole;
    n->at[v->first + i].shape = shape;
  }
}

static void name_all(arena *a, void *state) {
  naming *n = state;
  VEC(const uop *) roots = {0};
  n->a = a;
  map_init(&n->stored, a);
  map_init(&n->reshaped, a);
  map_init(&n->shapes, a);
  for (int v = 0; v < n->sites->nvalues; ++v) {
    const uop *t = tensor_of(n, v);
    if (t == NULL) return; /* range IR that was not lowered from tensors */
    vec_push(a, &roots, t);
    map_put(&n->stored, t->id, 1);
  }
  find_reshapes(n, uop_toposort(a, (int)roots.len, roots.data));
  for (int v = 0; v < n->sites->nvalues; ++v) name_value(n, v);
}

void name_sites(graph *g, const site_list *sites, graph_site *at) {
  naming n = {.g = g, .sites = sites, .at = at};
  with_scratch(g->diag, name_all, &n);
}
