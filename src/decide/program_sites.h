/* What a program says of its sites (wn_site_info). In: a plan that was carried out. Out: an entry for each site, and
 * for each kernel whose it is. Always holds: a kernel is one site's, so times of kernels add up to those of sites. */
#ifndef WN_DECIDE_PROGRAM_SITES_H
#define WN_DECIDE_PROGRAM_SITES_H

#include "decide/decide.h"

void program_describe_sites(compiled_graph *p, const decision *d);

#endif
