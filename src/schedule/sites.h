/* The sites of a graph: everything that a plan says something about.
 *
 * In: simplified range IR. Out: its sites, numbered in the order of computing, before there is any plan, so that numbers do
 * not move when a plan changes; and the same graph in which every stored value carries the number of its site.
 * A site is a convolution that the recogniser knows (its stages x, g, m and o where it is rewritten, else the stored value
 * that it is in), or a stored value without one: a sum of products, another reduction, or a map.
 * Always holds: a stored value has one number, that of the first convolution in it that no other value has, or its own. */
#ifndef WN_SCHEDULE_SITES_H
#define WN_SCHEDULE_SITES_H

#include "winograd/survey.h"

typedef enum { SITE_CONV, SITE_PRODUCT, SITE_SUM, SITE_MAP, SITE_KINDS } site_kind;
extern const char *const site_kind_name[SITE_KINDS]; /* conv product sum map */

typedef struct graph_site {
  site_kind kind;
  int home;          /* number of the stored value that it is in: its own, unless that has several convolutions */
  bool result;       /* the stored value is the caller's: it cannot be inlined */
} graph_site;

typedef struct site_list {
  const uop *root; /* with numbers */
  int n;
  const graph_site *at;
  map numbers; /* id of a convolution's REDUCE -> its number: see wino_rewrite_sites */
} site_list;

site_list sites_of(graph *g, const uop *root);

#endif
