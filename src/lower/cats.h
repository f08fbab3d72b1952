/* Where concatenated arrays are: parts of an array that is made of parts.
 *
 * In: range IR, where a BUFFERIZE of a CAT is a *whole* that no kernel computes: its parts are BUFFERIZEs that are
 * stored straight into it. Out: for each part the whole that it is in, at which element, and how far its loops step
 * there: behind an axis that is not the outermost one, elements of all parts take turns. A CAT puts arrays beside each
 * other as they are stored, so who permutes the loops of a whole permutes those of its parts alike, and moves its axis.
 * Wholes may be parts themselves, and some are seen in others without being named there: [a, b] is the beginning of
 * [a, b, c]. Larger wholes come first, so that of the growing concatenations of a DenseNet only the last one has memory
 * of its own.
 * Always holds: a part has one place; what cannot have that which a CAT wants is copied (cats_separate): an output's
 * array is the caller's, a part may be in another whole or at another place, or twice in one, or one of its loops would
 * go on over a gap. */
#ifndef WN_LOWER_CATS_H
#define WN_LOWER_CATS_H

#include "ir/walk.h"

typedef struct cat_place {
  const uop *whole;      /* a BUFFERIZE that has memory of its own */
  int64_t at;            /* element of it, */
  const int64_t *stride; /* and elements between neighbours along each RANGE */
} cat_place;

typedef struct cat_conflict {
  const uop *whole;
  int part; /* source of its CAT */
} cat_conflict;

typedef struct cat_places {
  map of; /* id of a BUFFERIZE -> its cat_place; without one it is no part */
  VEC(cat_conflict) conflicts;
  int wholes;
} cat_places;

static inline bool is_whole(const uop *u) {
  return u->op == OP_BUFFERIZE && u->src[0]->op == OP_CAT;
}
static inline const cat_place *cat_place_of(const cat_places *p, const uop *bufferize) {
  return map_get_ptr(&p->of, bufferize->id);
}

/* All of a graph, which is given sources first. */
void cats_find(cat_places *p, arena *a, uop_order all);
/* The graph with copies where there are conflicts. *named: how many values are called b0, b1, ... */
const uop *cats_separate(graph *g, arena *a, const uop *root, int *named);

#endif
