/* Shared by the files that apply a schedule; internal to src/nest. */
#ifndef WN_NEST_STATE_H
#define WN_NEST_STATE_H

#include <stdlib.h>

#include "ir/walk.h"
#include "lower/lower.h"
#include "rewrite/rewrite.h"
#include "rewrite/transform.h"
#include "nest/nest.h"
#include "plan/chains.h"
#include "plan/complete.h"
#include "plan/direct.h"
#include "plan/loops.h"
#include "plan/share.h"
#include "plan/values.h"
#include "plan/tiles.h"

enum { STAGE_RANGES = WN_MAX_SPATIAL + 8, DRAFT_LIMITS = 12 };

/* A BUFFERIZE on its way into the kernels. Its domain is the part of each range that its nest computes: all of it, or
 * for a stage inside its consumer's kernel `len` values from `base` (an expression of the consumer's open axes). */
typedef struct stage {
  const uop *node;      /* the BUFFERIZE */
  stage_id id;          /* STAGE_COUNT: a result or another value that must be stored */
  int site;             /* index in wino_result.site; -1: none */
  const schedule *plan; /* of its site */
  uop_space space;
  bool inside; /* computed in its consumer's kernel */
  bool exact;  /* the array is as large as the ranges say: nothing may be written or read past it */
  int n;
  const uop *const *range;
  char letter[STAGE_RANGES]; /* class of each range: f g k c t p, or 0 */
  const uop *base[STAGE_RANGES];
  int64_t len[STAGE_RANGES];
  int64_t dim[STAGE_RANGES], stride[STAGE_RANGES]; /* of the array, in elements */
  int order[STAGE_RANGES]; /* ranges from the slowest in storage to the fastest */
  /* g: this many channels k stand together innermost, as the products read them, and stride[] of k is that of such a
   * panel; 1: as every other range */
  int64_t pack;
  /* tiles that the array has no room for: those of other rounds of the host loop */
  int64_t elsewhere;
  int pooled; /* place + 1 of the range over which its kernel makes partial sums (pooled_sums.c); 0: of none */
  /* once there is a nest, over its axes: each range, and what does not hold for points past an end */
  const uop *point[STAGE_RANGES];
  int nlimits;
  const uop *limit[DRAFT_LIMITS];
  int array;
  int kernel; /* index + 1 of the kernel that its nest is in; 0: not placed yet */
} stage;

/* How an output transform reaches the value that is stored: its site and what each of the stored ranges is. */
typedef struct flow {
  int into; /* number of the site of the stored value */
  int site; /* index in wino_result.site */
  bool found;
  bool by_rows;     /* its loops go through the rows of tiles in order */
  wn_dtype dtype;   /* of the stored value, */
  int64_t channels; /* and the extent of its first loop over output channels, 1: none */
  /* dilation phases of window axis i: range = (y * m + p) * phases + phi */
  int64_t phases[WN_MAX_SPATIAL];
  const uop *window[WN_MAX_SPATIAL]; /* the RANGE of window axis i */
  const uop *index;                  /* the INDEX of o */
  const uop *x;                      /* the BUFFERIZE of x */
} flow;

/* A nest that reads an array which is not placed yet. */
typedef struct reader reader;
struct reader {
  nest *n;
  int kernel; /* index of its kernel */
  reader *next;
};

typedef struct apply {
  graph *g;
  arena *a;             /* until the schedule is applied */
  arena *keep;          /* the graph's, for what comes of it */
  const schedule *plan; /* by site of the value */
  int nplans;
  const machine *machine;
  bool variable_weights;
  const wino_result *w;
  kernel_set *set;
  int nuser;
  const user_buffer *user;
  int *at_site;        /* the site that is being worked on: whose plan a refusal is about */
  int *site_of;        /* number of a site -> index in w->site, -1: not rewritten */
  const flow **into;   /* number of a stored value's site -> what flows into it, NULL: nothing */
  flow *flow;          /* per rewritten site, */
  site_sizes *sizes;   /* and what its nests are to be */
  stage **of_site;     /* per rewritten site its stages, NULL where they are inlined */
  VEC(stage *) stages; /* sources first */
  map by_node;         /* node id -> stage * */
  map readers;         /* node id of a BUFFERIZE -> reader *: the nests whose values read it */
  map packed;          /* node id of a BUFFERIZE of packed weights -> 1 */
  map turns;           /* of what is dealt out, by loop and iterations: see sums.c */
  map channel_tiles; /* node id of a stored value -> channel_tile *, where channels go on the lanes */
} apply;

/* A nest under construction, in two steps: each range of the stage becomes an expression over exact loops, whose
 * extents are true, so that div and mod fold; then each exact loop becomes an expression over axes, which may reach
 * past its end. */
typedef struct draft {
  nest *n;
  const stage *st;
  const uop *value;               /* what is stored; over the stage's ranges */
  const uop *index[STAGE_RANGES]; /* value of the stage's range i less its base, over exact loops */
  int nexact;
  const uop *exact[NEST_AXES], *over_axes[NEST_AXES];
  int nlimits;                    /* conditions (over axes) that points past an end fail: */
  const uop *limit[DRAFT_LIMITS]; /* reads of exact arrays are guarded by them */
  /* a point that fails would overwrite another: the store is masked too */
  bool aliases[DRAFT_LIMITS];
} draft;

/* --- axes.c ------------------------------------------------------------------------- */

int stage_range(const stage *st, char letter,
                int from); /* position of the first range of a class, -1 */
/* Appends an axis of this extent and returns its RANGE (the constant 0 for an extent of 1, and then no axis). */
const uop *draft_axis(apply *ap, draft *d, axis_kind kind, int64_t extent, const char *name);
/* An exact loop: the stage's expressions use it, axes will stand for it. */
const uop *draft_exact(apply *ap, draft *d, int64_t extent, const char *name);
/* Says which axes an exact loop is; adds a limit where they reach past its end. */
void draft_bind(apply *ap, draft *d, const uop *exact, const uop *over_axes, bool aliases);
void draft_limit(apply *ap, draft *d, const uop *value, int64_t extent, bool aliases);
/* extent = outer * inner axes, named like t0 and t1; binds the exact loop. */
const uop *draft_split(apply *ap, draft *d, const uop *exact, const uop *outer, const uop *inner,
                       int64_t inner_extent, bool aliases);
/* --- matrix.c: products as small matrices ----------------------------------------------------- */
/* The sum of such products with the channels of a matrix innermost. */
const uop *matrix_sum(apply *ap, const uop *sum);
/* On a device: the sum of products of two arrays with several channels in each turn of its loop, so that neighbouring
 * weights come in one vector. The order of the additions stays. */
const uop *several_at_once(apply *ap, const uop *sum);

/* --- layout.c: where an element is ------------------------------------------------------------ */
void lay_out(stage *st);             /* fills in the strides */
int64_t stored_len(const stage *st); /* elements of the array */
const uop *stored_at(graph *g, const stage *st, int i,
                     const uop *index); /* range i's part of the offset */

/* --- stages.c: the nests of x, g and m, and what other nests share with them ------------------ */
draft draft_begin(apply *ap, const stage *st);
/* One axis for the stage's range i (nothing if i < 0). */
void draft_plain(apply *ap, draft *d, int i, axis_kind kind, const char *name);
axis_kind outer_kind(const stage *st); /* GRID, or LOOP inside a consumer's kernel */
typedef struct row_axes {              /* of tiles in rows */
  const uop *x, *x0;
  int lanes;
  const uop *y, *y0; /* y is unrolled by `rows`; NULL: one row at a time */
  int64_t rows;
} row_axes;
/* Splits the range t of a stage into rows: outer axes now, the vector axis (which must be last) by rows_end. */
int row_lanes(const apply *ap, const stage *st); /* of tiles in rows, where they are in the lanes */
row_axes rows_begin(apply *ap, draft *d, int t, axis_kind kind, int64_t rows, int lanes);
void rows_end(apply *ap, draft *d, row_axes r, bool adds); /* adds: each tile exactly once */
/* Is every element of the array that x reads next to that of the next channel? node: the BUFFERIZE of x. */
bool channels_are_neighbours(apply *ap, const uop *node);
nest *nest_x(apply *ap, stage *st);
nest *nest_g(apply *ap, stage *st);
nest *nest_m(apply *ap, stage *st);
/* Fills in the nest's value, mask and destination: ranges replaced in both steps, reads guarded. */
nest *draft_finish(apply *ap, draft *d, stage *st);

/* --- reorder.c -------------------------------------------------------------------------------- */
void nest_reorder(apply *ap, nest *n, const stage_plan *plan); /* loops in parentheses */

/* --- launch.c --------------------------------------------------------------------------------- */
void launch_order(apply *ap); /* running order, prepare part first */
void launch_join(apply *ap);  /* launch=joint */

/* --- join.c ----------------------------------------------------------------------------------- */
void nests_join(apply *ap); /* values that are joined: one nest stores them all */

/* --- apply.c ---------------------------------------------------------------------------------- */
array_info stage_array(apply *ap, const stage *st); /* the array of a stage that is laid out */

/* --- pooled_sums.c ---------------------------------------------------------------------------- */
/* Is the stored value partial sums, which the kernel of what they are of makes? */
bool sums_are_partial(const apply *ap, const uop *node);
/* Says of what they are of over which loop its kernel goes by itself. */
void sums_announce(apply *ap);
/* GRID, or LOOP for the range over which there are partial sums. */
axis_kind sums_kind(const stage *st, int i);
/* Blocks of `step` points of so many, of which the last begins early: partial sums leave out what was computed before. */
void sums_once(apply *ap, stage *st, const uop *block, const uop *in, int64_t step, int64_t len);
/* Refuses them where elements are computed twice. */
void sums_not_twice(const apply *ap, const stage *st);
/* Appends them to the stores of that kernel, which is there. */
void sums_store(apply *ap);

/* --- simt.c ----------------------------------------------------------------------------------- */
void simt_share(apply *ap); /* devices: loops become work items */

/* --- results.c, general.c: nests that write the user's arrays and everything that is no stage of a site --- */
/* For each site: does its o flow into one stored value whose ranges are its tiles? Fills ap->flow and ap->into. */
void flows_find(apply *ap);
const flow *flow_into(const apply *ap,
                      const stage *st); /* the flow that ends in this value, NULL */
nest *nest_tiled(apply *ap, stage *st);
nest *nest_o(apply *ap, stage *st); /* an output transform with an array of its own */
nest *nest_general(apply *ap, stage *st);

/* --- sums.c: partial sums side by side -------------------------------------------------------- */
/* The value with long sums dealt out to so many chains for all of them, and to this many lanes, whose RANGE goes to
 * *lane (NULL where there are none). */
const uop *sums_deal_out(apply *ap, const uop *value, int lanes, int64_t chains, const uop **lane);

/* --- channels.c: output channels on the lanes ------------------------------------------------- */
typedef struct channel_tile {
  int k, x, y; /* positions of the stage's ranges; y -1: none */
  channel_sizes sizes;
  bool k_first;  /* blocks of channels outside those of pixels */
  bool overlaps; /* the last tile of a row may begin early and compute some pixels again */
} channel_tile;
/* The graph with weights packed where that is what a product of two arrays wants; those BUFFERIZEs are noted. */
const uop *channels_pack(apply *ap, const uop *root);
/* The register tile of v (lanes) by u where that is pixels by channels of such a product. */
bool pixel_tile(const apply *ap, const stage *st, const uop *value, int v, int u, register_tile *t);
nest *nest_channels(apply *ap, stage *st); /* NULL: the value has no such plan */

/* --- lane_copies.c ---------------------------------------------------------------------------- */
/* The graph with copies of small arrays in which lanes are neighbours, where they would be far apart; noted as packed
 * weights are. */
const uop *lanes_copy(apply *ap, const uop *root);

/* The plan of the site with this number; a direct one where there is none. */
const schedule *plan_of_site(const apply *ap, int number);
/* Of what is summed directly in a value: sizes of a rewritten site are not meant for it. */
const schedule *direct_plan(const apply *ap, int number);
/* Says in the complete plan of a direct site what its nest is made with; 0: it has no such size. */
void complete_direct(const apply *ap, int number, int64_t k, int64_t t, char lanes);
/* Of a rewritten site, by its index in wino_result.site. */
const schedule *plan_of(const apply *ap, int site);
/* The stage of a site that is still a BUFFERIZE (not inlined), NULL if there is none. */
stage *stage_find(const apply *ap, int site, stage_id id);

#endif
