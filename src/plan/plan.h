/* The plan of a graph: one value that says what happens to each of its sites (sites.h).
 *
 *     conv0{x=local,g=global,m=local,o=global;t=28;wino=4} conv3{direct;t=32,k=4} map5{inline}
 *     fused conv3{direct}
 *     x=global,g=global,m=global,o=global;wino=4
 *
 * A site is named by its kind and number, and its plan stands in braces: a schedule (schedule.h), the name of one, or
 * auto; for what is no convolution `global`, with sizes where there are sums (global;t=32,k=4), which of its loops, by
 * their places, are in the lanes (lanes=i2, or lanes=i2.8, which is 8 of them, none, or sum: the terms of sums are) and
 * in registers (regs=i1, none), chains of sums (chains=4), and whose kernel makes partial sums for it (sums=conv1,
 * pooled.h); `inline`; or with=sum2: stored by the kernel of that earlier site (joins.h). What stands before them without braces is for all other sites; without it they are chosen
 * (auto).
 * Always holds: printing and parsing give the same plan back; equal plans print equally. */
#ifndef WN_PLAN_PLAN_H
#define WN_PLAN_PLAN_H

#include "plan/schedule.h"
#include "plan/sites.h"

typedef struct graph_plan {
  int n;
  schedule *site; /* by number */
} graph_plan;

/* What a text says of each site. */
typedef enum {
  PLAN_CHOOSE,
  PLAN_GIVEN,
  PLAN_FOR_ALL
} plan_source; /* nothing; in braces; without */

typedef struct plan_request {
  graph_plan plan;     /* of those that are given */
  plan_source *source; /* by number */
  bool *spelled;       /* as a schedule: nothing in it may be made smaller to fit */
  bool rewrites;       /* what is for all asks for a rewrite */
} plan_request;

/* Malformed text is diag_fail(WN_ERR_USAGE) with the column and what was expected; so are sites that are not there,
 * which lists those that are, and plans that are not for that kind of site. "auto" leaves everything to be chosen. */
plan_request plan_parse(graph *g, const char *text, const site_list *sites);
/* Without braces where one schedule says it for all. */
void plan_print(str *out, const graph_plan *p, const site_list *sites);
/* What stands in the braces of a site. */
void plan_print_site(str *out, const schedule *s, const site_list *sites, int site);
bool plan_equal(const graph_plan *a, const graph_plan *b);

#endif
