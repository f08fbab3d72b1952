/* In which order the loops of a stored value lie in memory: layouts, chosen for a whole graph.
 *
 * In: the sites of range IR whose loops are in the order that the graph gives (N, C, H, W for most), and what a plan says
 * of them. Out: the same graph, in which values between layers may have their channels last (N, H, W, C): a BUFFERIZE
 * with its loops in another order, and all that read it. Nothing behind knows of it: a convolution is recognised in index
 * arithmetic, and so is one whose channels are neighbours.
 * Which loop is the channels follows from the products: that which the weights move with and the pixels do not; from
 * there it goes along everything that is read at the same place (storage_axes.c). What a layout costs is counted for each
 * place where a value is stored or read (storage_price.c), and the least sum is looked for by changing one value after
 * the other, from all that stay and from all that change.
 * Always holds: arrays of the caller's keep their order; so does what is made once from constants; a value of which the
 * plan says nothing has one layout whatever the machine, the threads and the rest of the plan are. */
#ifndef WN_PLAN_STORAGE_H
#define WN_PLAN_STORAGE_H

#include "plan/plan.h"

/* The same sites, of a graph with other layouts; asked: NULL: all is chosen.
 * diag_fail(WN_ERR_USAGE) where a layout is asked for that a site cannot have. */
const site_list *storage_choose(graph *g, const site_list *sites, const user_buffer *user,
                                const plan_request *asked);

/* --- what its files share --------------------------------------------------------------------- */

typedef struct stored_order {
  const uop *b;
  int axis;         /* place of the channels' loop; -1: not known */
  bool fixed, last; /* there is no choice; channels are neighbours in memory */
  bool said;        /* by the plan, of a family */
  int family;       /* number of the first of those that are stored alike */
  double gain;      /* of what it is over the other, in vector operations */
} stored_order;

typedef struct storage {
  graph *g;
  arena *a;
  const site_list *sites;
  const user_buffer *user;
  const uop *root;
  map of;              /* label of a value -> its number + 1 */
  stored_order *value; /* by number */
} storage;

stored_order *storage_of(const storage *s, const uop *base); /* NULL: the caller's array */
/* The array that an INDEX reads is the same in all runs. */
bool storage_is_constant(const storage *s, const uop *index);
void storage_find_axes(storage *s);
/* Which loop of a part is the one that is number `loop` of the whole; -1: none, as where its channels are two loops. The
 * others may be cut in other ways in a part (an enlarged image has rows of rows), where it is parts' channels that stand
 * beside each other. */
int storage_axis_of_part(const uop *whole, int loop, const uop *part);
/* What it takes in vector operations to store a value and to read what it reads, in the layouts that all have now. */
double storage_price(storage *s, const stored_order *v);

#endif
