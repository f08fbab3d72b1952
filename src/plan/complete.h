/* The complete plan of a rewritten convolution: every size, whose neighbours are in the lanes, how sums are cut.
 *
 * In: a schedule, which may leave sizes open; the site with its tile; what is around it; the machine. Out: all sizes,
 * and the schedule with those that it can spell. Always holds: this is the one place where such a size is chosen: nests
 * carry out what is here and the cost model prices it; completing what is complete changes nothing; the number of
 * threads is not looked at. */
#ifndef WN_PLAN_COMPLETE_H
#define WN_PLAN_COMPLETE_H

#include "plan/tiles.h"

/* What a site's surroundings have to do with its sizes. */
typedef struct site_facts {
  const wino_site *site;
  wn_dtype dtype;     /* of its stages, */
  wn_dtype stored;    /* and of the value that its output transform flows into */
  int64_t channels;   /* of that value: the extent of its first loop over them */
  bool flows;         /* straight into a stored value, */
  bool by_rows;       /* whose loops go through the rows of tiles in order */
  bool channels_last; /* channels of the image are neighbours in memory */
} site_facts;

/* How the products are summed over channels. */
typedef enum {
  PRODUCTS_FLAT, /* over fused tiles, a register tile at a time */
  PRODUCTS_ROWS, /* over tiles in rows, as an input transform that is inlined into them wants it */
  PRODUCTS_SHARED, /* the weight transform is inlined, and made once for all tiles */
  PRODUCTS_INSIDE  /* no array of them: in the kernel of the result */
} product_nest;

typedef struct site_sizes {
  product_nest products;
  /* Channels are in the lanes of the products and of what reads them, rather than tiles. */
  bool over_k;
  bool matrix; /* the products are matrices of work items */
  bool staged; /* the result's kernel goes in blocks, since stages are computed in it */
  /* The sum over channels is outside the loops that share a transform, and kept in the array. */
  bool outside;
  bool all_f;    /* a register tile of the products has all frequencies */
  int64_t chain; /* channels c in one chain of additions; C: all of them */
  int64_t round; /* tiles in a round of the host loop; 0: there is none */
  int64_t block; /* tiles that are staged together, where any are */
  /* Channels in an iteration of the result's loop k0; so many of them at a time in the lanes, 0: one. */
  int64_t kblock, line;
  /* Channels and tiles whose sums are in registers; for PRODUCTS_ROWS rows of tiles. */
  int64_t k, t;
  int64_t beside;       /* of a device: register tiles of neighbouring work items; 0: all of them */
  int lanes;            /* of the products */
  int row_lanes[2];     /* of tiles in rows: whole rows, and those of a block */
  int c_lanes;          /* x: channels are in the lanes, so many; 0: tiles are */
  int g_lanes, o_lanes; /* of the weight transform; of the result */
} site_sizes;

/* diag_fail(WN_ERR_REFUSED) for what no nest can have; d NULL: the plan is only priced. */
site_sizes complete_site(diag *d, const schedule *s, const site_facts *f, const machine *m);
/* The schedule with the sizes that it leaves open. */
schedule complete_schedule(const schedule *s, const site_facts *f, const site_sizes *z);
#endif
