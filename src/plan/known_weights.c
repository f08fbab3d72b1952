/* Known weights; see known_weights.h. */
#include "plan/known_weights.h"

enum { MOST_DEEP = 8 }; /* stored values of which the one reads the next */

typedef struct weights_of_value weights_of_value;

typedef struct made_array { /* a stored value that was asked for; reader NULL: it is not known */
  int array;
  const uop *canonical;
  weight_reader *reader;
  const int *place; /* of its loops, in the reader */
} made_array;

struct weights_of_value {
  graph *g;
  const site_list *sites;
  const stored_value *v;
  const wino_weights *of;
  int depth;
  VEC(made_array) made;
};

static bool is_known(void *user, int64_t slot);
static double element(void *user, int64_t slot, int64_t index);

static wino_weights weights_of(graph *g, const site_list *sites, int value, const wino_weights *of,
                               int depth) {
  weights_of_value *w = arena_new(&g->arena, weights_of_value);
  *w = (weights_of_value){
      .g = g, .sites = sites, .v = &sites->value[value], .of = of, .depth = depth};
  return (wino_weights){is_known, element, w};
}

static made_array make(weights_of_value *w, int array) {
  arena *a = &w->g->arena;
  const stored_value *v = &w->sites->value[~array];
  made_array m = {.array = array, .canonical = v->canonical};
  if (!v->constant || v->canonical->op != OP_BUFFERIZE || w->depth == MOST_DEEP) return m;
  wino_weights below = weights_of(w->g, w->sites, ~array, w->of, w->depth + 1);
  m.reader = weight_reader_new(w->g, v->canonical->src[0], arena_copy(a, &below, sizeof below));
  if (m.reader == NULL) return m;
  int *place = arena_array(a, int, v->canonical->nsrc);
  for (int i = 1; i < v->canonical->nsrc; ++i)
    place[i] = weight_reader_loop(m.reader, v->canonical->src[i]);
  m.place = place;
  return m;
}

static const made_array *made(weights_of_value *w, int array) {
  size_t i = 0;
  while (i < w->made.len && w->made.data[i].array != array) ++i;
  if (i == w->made.len) vec_push(&w->g->arena, &w->made, make(w, array));
  return &w->made.data[i];
}

static bool is_known(void *user, int64_t slot) {
  weights_of_value *w = user;
  const int array = w->v->array[slot];
  return array >= 0 ? w->of->known(w->of->user, array) : made(w, array)->reader != NULL;
}

static double element(void *user, int64_t slot, int64_t index) {
  weights_of_value *w = user;
  const int array = w->v->array[slot];
  if (array >= 0) return w->of->value(w->of->user, array, index);
  const made_array *m = made(w, array);
  for (int i = 1; i < m->canonical->nsrc; ++i) {
    const int64_t stride = uop_stride(m->canonical, i - 1);
    weight_reader_set(m->reader, m->place[i], index / stride);
    index %= stride;
  }
  return weight_reader_value(m->reader);
}

wino_weights known_weights(graph *g, const site_list *sites, int value, const wino_weights *of) {
  return weights_of(g, sites, value, of, 0);
}
