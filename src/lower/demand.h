/* Demands: at which indices is each tensor-level node read, and under how many loops?
 *
 * In: the outputs of a tensor graph. Out: for every node the distinct index vectors at which its
 * consumers read it, going from the outputs to the leaves, each linked to the demands that it
 * causes below; and which nodes are to be stored. Always holds: an index that is out of its
 * axis' extent comes with a `valid` that fails there; a node is `stored` if computing it at
 * every demand would repeat expensive work (see worth_storing), and then all its demands but the
 * root are reads. A CAT is stored always, and so are its parts: what is computed is stored as one,
 * what only moves and what is a leaf is copied. No index is known only from data that are themselves
 * read at such an index. */
#ifndef WN_LOWER_DEMAND_H
#define WN_LOWER_DEMAND_H

#include "ir/uop.h"

typedef struct demand demand;
struct demand {
  demand *next;            /* of the same node */
  const uop *const *index; /* one per axis of the node, simplified */
  const uop *valid;        /* where the value is wanted; nothing is touched elsewhere */
  double runs;             /* product of the extents of all loops around */
  bool reduced;   /* one of them belongs to a reduction that cannot swallow this value's own */
  bool scattered; /* some index is known only from data, or such an index is read from this */
  demand **from;  /* what it needs of each source */
  int nranges;    /* REDUCE_AXIS: its loops */
  const uop **ranges;
  const uop *const *loops; /* it asks for an array that is a part of a CAT: the loops of that, */
  int nloops;
  const uop *stored; /* and the BUFFERIZE, once lower.c has made one; NULL: the node is stored so */
  const uop *inside; /* PAD: the condition that the index is in the source */
  /* GATHER: RANGEs that stand in the demands below for the place that is read, as if it were there,
   * and for whether there is none (1), until lower.c knows what both are; an axis of one element has
   * no place */
  const uop *place, *none;
  const uop *value; /* filled in by lower.c */
};

typedef struct demand_node demand_node;
struct demand_node {
  const uop *t;
  const int_list *shape;
  double weight; /* cost of an element: one for an addition; HEAVY for a reduction */
  bool constant; /* depends on constants alone, */
  double source; /* the longest of which has so many elements; */
  bool run;      /* but what reads it, if only moved, is computed in every run */
  demand *first, *last;
  int count;
  int result;   /* the first output that it is, or -1 */
  demand *root; /* stored: what computes it */
  int nranges;  /* stored: the loops of root, one per axis longer than 1 */
  const uop *const *ranges;
  const uop *stored; /* the BUFFERIZE, once lower.c has made it */
  bool is_part;      /* a CAT wants it stored */
  /* CAT: what it is made of; reshapes keep the order of elements, so of what is reshaped it is
   * that, where its axes in front of the CAT's have as many elements */
  int nparts;
  demand_node **part;
};

typedef struct demand_graph {
  graph *g;
  arena *a;
  size_t len;
  demand_node *node;    /* sources first */
  map number;           /* uop id -> position in node */
  map extents;          /* RANGE number -> extent */
  map canonical;        /* uop id -> simplified */
  const bool *constant; /* by slot of a BUFFER; NULL: all may change between runs */
  demand_node **output; /* per output: its node and what it asks of it */
  demand **output_demand;
  const uop ***output_range;
  int *output_nranges;
} demand_graph;

void demand_collect(demand_graph *d, graph *g, arena *a, int count, const uop *const *outs,
                    const bool *constant);
demand_node *demand_node_of(const demand_graph *d, const uop *t);
/* What asks for the node as a part; NULL: nothing does. */
demand *demand_of_part(const demand_node *n);

#endif
