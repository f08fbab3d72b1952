/* What a program says of itself (wn_program_info) and of its sites (wn_site_info). In: a plan that was carried out.
 * Out: an entry for each site, and for each kernel whose it is. Always holds: a kernel is one site's, so times of
 * kernels add up to those of sites. */
#ifndef WN_DECIDE_PROGRAM_SITES_H
#define WN_DECIDE_PROGRAM_SITES_H

#include "decide/decide.h"

/* Seconds from tensors to kernels, and from those to machine code. */
void program_describe(compiled_graph *p, const decision *d, double schedule_s, double compile_s);
void program_describe_sites(compiled_graph *p, const decision *d);
/* Why the site has its plan, and what it could have instead: plan_why, direct_s, other, other_s. (site_reasons.c) */
void program_describe_reasons(graph *g, const decision *d, int site, wn_site_info *out);

#endif
