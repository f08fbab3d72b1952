/* In which order the loops of a stored value lie in memory: layouts, chosen for a whole graph.
 *
 * In: the sites of range IR whose loops are in the order that the graph gives (N, C, H, W for most), and what a plan says
 * of them. Out: the same graph, in which values between layers may have their channels last (N, H, W, C): a BUFFERIZE
 * with its loops in another order, and all that read it. Nothing behind knows of it: a convolution is recognised in index
 * arithmetic, and so is one whose channels are neighbours.
 * Which loop is the channels follows from the products: that which the weights move with and the pixels do not; from
 * there it goes along everything that is read at the same place (storage_axes.c). What a layout costs is counted once for
 * each place where a value is stored or read (storage_price.c): so much for a value by itself, and so much for a value
 * and one that it reads where their layouts differ. Such a sum is least along a minimum cut of the graph of values, which
 * is found exactly, in whatever way branches join (storage_cut.c).
 * Always holds: arrays of the caller's keep their order; so does what is made once from constants; a value of which the
 * plan says nothing has one layout whatever the machine, the threads and the rest of the plan are. */
#ifndef WN_PLAN_STORAGE_H
#define WN_PLAN_STORAGE_H

#include "ir/walk.h"
#include "plan/plan.h"

/* How layouts are chosen of which the plan says nothing. */
typedef enum {
  STORAGE_CHEAPEST,
  STORAGE_OF_DEVICE, /* there is nothing to choose, for work items of a device are lanes of any layout */
  STORAGE_AS_GIVEN /* weights can then be read as they are: the least memory */
} storage_choice;

/* The same sites, of a graph with other layouts; asked NULL: nothing is said.
 * diag_fail(WN_ERR_USAGE) where a layout is asked for that a site cannot have. */
const site_list *storage_choose(graph *g, const site_list *sites, const user_buffer *user,
                                const plan_request *asked, storage_choice how);

/* --- what its files share --------------------------------------------------------------------- */

typedef struct stored_order {
  const uop *b;
  uop_order own;     /* what is computed for it; of a concatenation nothing */
  int axis;          /* place of the channels' loop; -1: not known */
  bool last;         /* channels are neighbours in memory */
  layout_reason why; /* LAYOUT_IS_CHOSEN, LAYOUT_IS_SAID, LAYOUT_TO_FIT; or there is no choice */
  int family; /* number of the first of those that are stored alike: a concatenation and its parts */
  int64_t cost[2]; /* of its order by itself, not last and last, */
} stored_order;

/* and what two values cost more where one has its channels last and the other has not. All costs in tenths of operations
 * on vectors: counts, so that sums are exact and the choice is one for all machines of a kind. */
typedef struct storage_tie {
  int a, b;
  int64_t cost;
} storage_tie;

typedef struct storage {
  graph *g;
  arena *a;
  const site_list *sites;
  const user_buffer *user;
  const uop *root;
  map of;              /* label of a value -> its number + 1 */
  stored_order *value; /* by number */
  VEC(storage_tie) ties;
} storage;

stored_order *storage_of(const storage *s, const uop *base); /* NULL: the caller's array */
/* The array that an INDEX reads is the same in all runs. */
bool storage_is_constant(const storage *s, const uop *index);
void storage_find_axes(storage *s);
/* Fills in costs and ties. */
void storage_find_costs(storage *s);
/* Gives the values that have a choice the layouts of least cost; of several the one with the fewest last. */
void storage_cut(storage *s);
/* Which loop of a part is the one that is number `loop` of the whole; -1: none, as where its channels are two loops. The
 * others may be cut in other ways in a part (an enlarged image has rows of rows), where it is parts' channels that stand
 * beside each other. */
int storage_axis_of_part(const uop *whole, int loop, const uop *part);

#endif
