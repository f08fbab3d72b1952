/* Scheduled form: kernels as loop nests over flat arrays, between the range IR and the linear IR.
 *
 * In: range IR, its Winograd sites and a schedule. Out: kernels in order of running. A nest has stores, nearly always
 * one: for every point of its axes, array[offset] = value where mask holds, for each of them, in an array of its own.
 * Memory is OP_BUFFER nodes numbered by arrays[]; every read is INDEX(BUFFER, valid, flat offset). A child nest runs at
 * the start of each iteration of its parent's axis `at - 1` (at 0: before any axis) and its expressions may use the
 * parent's axes opened so far. A nest with an axis that reduces adds to what its array holds: a child that fills it
 * with zeros runs just outside that axis.
 * Always holds: value, offset and mask are free in axes of the nest and its ancestors only; a REDUCE's RANGEs have
 * their kind in `kinds`; UNROLL and VECTOR axes are innermost. */
#ifndef WN_NEST_NEST_H
#define WN_NEST_NEST_H

#include "ir/walk.h"
#include "machine/machine.h"
#include "plan/schedule.h"
#include "plan/sites.h"
#include "winograd/winograd.h"

enum { NEST_AXES = 24, NEST_STORES = 4 };

typedef enum {
  ROLE_INPUT,
  ROLE_CONSTANT,
  ROLE_RESULT,
  ROLE_PREPARED,
  ROLE_WORK,
  ROLE_LOCAL
} array_role;

typedef struct array_info {
  const char *name;
  wn_dtype dtype;
  array_role role;
  stage_id stage; /* of its site; STAGE_COUNT: none */
  int64_t len;    /* elements, padding included, as addressed, */
  int64_t gaps;   /* of which so many are of others that stand between its own */
  int site;       /* number of the site whose value, or stage, it is; -1: of none */
  int user; /* INPUT, CONSTANT: slot of the caller's buffer; RESULT: number of the output; else -1 */
  size_t
      offset; /* bytes: WORK: into the workspace; PREPARED: into the prepared block; RESULT: into the caller's */
  /* WORK, where not 0: it has room for one of `chunks` rounds of a host loop, and what a round addresses begins this
   * many elements after what the last one does; the caller of the kernels moves the array's address back by as much. */
  int64_t chunk_step, chunks;
  int whole;   /* number + 1 of the array in which it is; 0: in none, */
  int64_t at;  /* and the element of that at which it begins */
  int instead; /* WORK: number + 1 of the array that its kernel reads for the last time, in whose place it is; 0: of none */
} array_info;

/* One array that a nest writes. */
typedef struct nest_store {
  const char *stage;                /* a label: "x", "g", "m", "o", "result0", ... */
  int site;                         /* number of the site whose value it is; -1: of none */
  stage_id id;                      /* of that site; STAGE_COUNT: its stored value */
  const uop *value, *offset, *mask; /* mask NULL: everywhere */
  int array;
  /* Of each element the sum of the value over the axes that the offset does not move with, which are LOOP or UNROLL, at
   * the points where `inside` holds (NULL: at all). The first turn of those loops writes, the others add. */
  bool sums;
  const uop *inside;
} nest_store;

typedef struct nest nest;
struct nest {
  int nstores; /* where there are several, none of the axes reduces */
  nest_store store[NEST_STORES];
  /* RANGE of a loop around: what its next iteration touches of large arrays that come from memory (the caller's and the
   * prepared ones) is prefetched; or NULL */
  const uop *next;
  /* RANGE of kind VECTOR that sums in its value bind: their terms are in the lanes, while axes are not; or NULL */
  const uop *sum_lanes;
  int shared; /* on a device, unless its axes are LANE: from this one on a group's work items share them */
  /* the innermost two axes are rows and columns of a matrix of so many each, which the 32 work items of the axis around
   * compute together (kernel/matrix.c); 0: not so */
  int matrix;
  int naxes;
  axis axis[NEST_AXES];
  int nunits; /* loops of one iteration, which are no axes: their names still say where a stage can be computed */
  struct {
    const char *name;
    int at; /* axes open there */
  } unit[NEST_AXES];
  int nchildren;
  struct {
    nest *nest;
    int at;
  } child[STAGE_COUNT * 2];
};

/* Arrays of a kernel that may have one place: each iteration stores the element that it has read, and nobody else reads
 * it (in_place.c). */
typedef struct place_pair {
  int stored, read;
} place_pair;

/* A launch of a kernel. Of a program that has a kernel several times, for values that are alike, there are as many of
 * these over the same nests, each with arrays of its own. */
typedef struct nest_kernel {
  int nroots; /* nests side by side in one launch: each has its own share of the grid */
  nest *root[STAGE_COUNT];
  bool prepare; /* depends on constants alone */
  /* > 1: equal shares of the grid, run in turns with those of the neighbours of the same chunk_group */
  int64_t chunks;
  int chunk_group;
  int group;         /* work items of a group; 0: on a CPU */
  const int *arrays; /* array of its nests -> array of the set; NULL: the same */
  int first_site;    /* number of the site that is 0 in its nests */
  int nothers;       /* values besides the first one that it stores: numbers of */
  const int *others; /* their sites in their place, the first behind those of the first value */
  const char *const *label; /* of the stored values; NULL: as the stores have it */
  int nsites;               /* of the first value */
  int code;                 /* launches of the same code have the same number */
  int side;                 /* number of the side_set that it is of; 0: of none */
  /* as kernel_set.kinds, of its own nests: parts have loops in common, in each of its own kind; NULL: the set's */
  const map *kinds;
  int npairs;
  const place_pair *pairs; /* of its nests' arrays */
} nest_kernel;
/* Do both run in the rounds of one host loop? */
static inline bool nest_same_rounds(const nest_kernel *a, const nest_kernel *b) {
  return a->chunks > 1 && a->chunks == b->chunks && a->chunk_group == b->chunk_group;
}

/* Kernels [first, end) take turns: after round r kernel first + i has done until[r * (end - first) + i] blocks. */
typedef struct band_group {
  int first, end, rounds;
  const int64_t *until;
} band_group;

/* Kernels [first, end) are one job: none of them touches what another one writes. */
typedef struct side_group {
  int first, end;
} side_group;

enum { MOST_SIDE = 16 }; /* kernels of a group */

/* Why the kernels of some sites, those of which the plan says side=number, are in groups (nest/sides.h). */
typedef struct side_set {
  int number;
  bool said;                /* by the plan */
  int groups;               /* of its kernels */
  double in_turn, together; /* predicted seconds */
} side_set;

typedef struct kernel_set {
  schedule *plan;         /* of a part: by site of its value, complete */
  VEC(array_info) arrays; /* by slot of OP_BUFFER */
  VEC(nest_kernel) kernels;
  VEC(band_group) bands; /* by their first kernel */
  VEC(side_group) sides; /* by their first kernel */
  VEC(side_set) side_sets;
  map kinds;  /* number of a reduction RANGE -> axis_kind */
  map chains; /* number of a reduction RANGE -> additions of floats in one chain, where the usual number is too many */
  size_t workspace_bytes, prepared_bytes;
  size_t workspace_least; /* the most that is alive during one kernel */
  size_t
      workspace_values; /* the same of stored values alone, which are there whatever a site's plan is */
  size_t scratch_bytes; /* local arrays of the kernel that has most of them, for one worker */
  int ncodes;
} kernel_set;

/* The set's array that a nest of this launch calls so. */
static inline int kernel_array(const nest_kernel *k, int array) {
  return k->arrays != NULL ? k->arrays[array] : array;
}

/* The number of the site that its nests call so. */
static inline int kernel_site(const nest_kernel *k, int site) {
  return site < k->nsites || k->nothers == 0 ? k->first_site + site : k->others[site - k->nsites];
}

/* Applies the plans of its sites to one stored value, or to several that are joined (plan/joins.h): placements, splits,
 * loop order and kinds; inline and reg stages resolved; global stages cut it into kernels. Its arrays come first, then
 * the value, numbered output 0, and what is between its kernels; nothing has a place in memory yet. A combination that
 * does not exist is diag_fail(WN_ERR_REFUSED) with the reason, and *site (counted from 0 in the value) says of which
 * plan; -1: of none. Of joined values each is an output. */
kernel_set *schedule_apply(graph *g, const wino_result *rewritten, const schedule *plan, int nsites,
                           const machine *m, bool variable_weights, int narrays,
                           const user_buffer *array, int *site);

/* Arrays that values read, as the set's next ones; names are in `keep`. */
void add_user_arrays(kernel_set *set, arena *keep, int nuser, const user_buffer *user);

/* What the nest computes for all of its stores, children left out. */
static inline uop_order nest_walk(arena *a, const nest *n) {
  const uop *value[NEST_STORES];
  for (int s = 0; s < n->nstores; ++s) value[s] = n->store[s].value;
  return uop_walk_values(a, n->nstores, value);
}
/* Does it store this array? */
/* Does the store sum over the axis? */
static inline bool nest_sums_over(const nest_store *s, const axis *a) {
  return s->sums && !uop_has_range(s->offset, a->range);
}
static inline bool nest_writes(const nest *n, int array) {
  bool found = false;
  for (int s = 0; s < n->nstores; ++s) found |= n->store[s].array == array;
  return found;
}
/* Is the child what fills with zeros an array that the nest adds to? */
static inline bool nest_adds_to(const nest *n, const nest *child) {
  return nest_writes(n, child->store[0].array);
}

/* --- launch.c --------------------------------------------------------------------------------- */

/* The prepare part before the rest, each in the order that it had. */
void launch_prepare_first(kernel_set *set, arena *keep);

/* --- in_place.c ------------------------------------------------------------------------------- */

/* Fills in the pairs of all kernels, which are as they will be run. */
void in_place_find(kernel_set *set, arena *keep, arena *scratch);

/* --- nest_text.c ------------------------------------------------------------------------------ */

/* All arrays, and the loops of all kernels. */
void nest_print(graph *g, str *out, const kernel_set *set);
/* A stage of the site of this number: "x", "m3". */
const char *stage_label(arena *a, stage_id id, int site);
/* What a store is of, by the numbers of the program: "x", "m3", "result0". */
const char *store_label(arena *a, const nest_kernel *k, const nest_store *s);
/* All that a launch stores, in the order of computing: "x+m+result0". */
const char *nest_stages(arena *a, const nest_kernel *k);
/* The loops of one kernel as a tree, indented by two more for each loop around, `depth` around all. */
void nest_print_kernel(graph *g, str *out, const kernel_set *set, int kernel, int depth);

/* The same in two parts, so that launches of a kernel have it once: the tree, which has places for what is stored, and
 * that by launch. */
typedef struct nest_text {
  const char *tree; /* NEST_PLACE: the next of the stores */
} nest_text;
enum { NEST_PLACE = '\1' };
nest_text nest_text_of(graph *g, arena *keep, const kernel_set *set, int kernel);
const char **nest_stores(arena *keep, const kernel_set *set, int kernel);
void nest_text_print(str *out, const nest_text *text, const char *const *stores);

/* --- memory.c --------------------------------------------------------------------------------- */

/* Assigns offsets: arrays whose lives do not overlap share memory. */
void plan_memory(kernel_set *set, arena *scratch);
/* Bytes that an array takes, what stands between it and the next included. */
size_t array_bytes(const array_info *a);
/* A worker's block of scratch of this many bytes, and the room between it and the next worker's. */
size_t scratch_stride(size_t bytes);
/* Everything that a run needs besides the caller's arrays and prepared weights: the workspace, and scratch for each
 * thread. */
size_t memory_needed(const kernel_set *set, int threads);

#endif
