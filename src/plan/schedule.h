/* The schedule: one value that says how a graph becomes kernels, chosen as a whole before anything is cut.
 *
 *     x=local@t0,g=global,m=local@k0,o=inline;t=28.14,k=32.4,c=64;wino=4
 *     direct;t=32,k=4;wino=0
 *     x=global,g=global,m=global@k0,o=global;t=16,k=4;wino=4;launch=joint
 *
 * Stages: x input transform, g weight transform, m products summed over channels, o output transform. Each has a
 * placement, an optional loop `@` of its consumer at which it is computed, and optional loops in parentheses, outermost
 * first, with kinds (grid, loop, unroll, vector by first letter): m=global(f:g k0:g t0:l k1:u t1:v).
 * Splits: t=48.16 makes blocks of 48 and register tiles of 16; where nothing is computed in blocks there is one size,
 * the register tile's. Absent: chosen for the machine (complete.h).
 *   t tiles (direct: pixels)   k output channels   c input channels (partial sums of that many)
 * v=k or v=t: whose neighbours are the lanes of the products' vectors, output channels or tiles (direct: pixels);
 * absent: what wastes less.
 * direct;chains=4: the terms of a long sum are dealt out to so many chains of additions side by side (chains.h).
 * share=x0: on a device the work items of a group share this loop of the kernel with stages inside, and those in it.
 * chunk=N: a host loop around the kernels, N tiles at a time, so that what they hand on stays in the cache.
 * wino: tile m per axis, 0 for none. launch=joint puts kernels that do not depend on each other into one launch.
 * Always holds: printing and parsing give the same value back; equal values print equally. */
#ifndef WN_PLAN_SCHEDULE_H
#define WN_PLAN_SCHEDULE_H

#include "plan/axis.h"

enum { SCHEDULE_LOOPS = 12, SCHEDULE_PARTS = 2 };

typedef struct
    loop_name { /* a class letter and which part of its split: t0, k1, f, y, x0; part -1: unsplit */
  char letter;
  int8_t part;
} loop_name;

typedef struct loop_spec {
  loop_name name;
  axis_kind kind;
} loop_spec;

typedef struct stage_plan {
  uop_space space;
  loop_name at; /* letter 0: the default loop */
  int nloops;   /* 0: the default nest */
  loop_spec loop[SCHEDULE_LOOPS];
} stage_plan;

/* A loop of a stored value, by its place + 1; or one of these. */
typedef enum { VALUE_LOOP_CHOSEN = 0, VALUE_LOOP_NONE = -1, VALUE_LOOP_TERMS = -2 } value_loop;

/* Order in memory of the stored value that a site is in: as the graph has its loops, or channels last (storage.h). */
typedef enum { LAYOUT_CHOSEN, LAYOUT_GIVEN, LAYOUT_LAST } value_layout;

enum { MOST_BANDS = 4096, MOST_SIDES = 4096, SIDE_ALONE = -1 };

typedef struct schedule {
  bool direct; /* no rewrite; stage[] unused */
  stage_plan stage[STAGE_COUNT];
  int64_t t[SCHEDULE_PARTS], k[SCHEDULE_PARTS], c[SCHEDULE_PARTS]; /* split sizes, 0-terminated */
  int nm, m[WN_MAX_SPATIAL];                                       /* nm 0: the default tile */
  char v;          /* class in the lanes of the products: 't', 'k', or 0 for the machine's choice */
  int64_t chunk;   /* tiles a round of the host loop; 0: no such loop */
  bool joint;      /* launch=joint */
  loop_name share; /* of a device's kernel with stages inside; letter 0: chosen (share.h) */
  /* of a stored value that is no convolution: which of its loops is in the lanes, and which in registers */
  value_loop lanes, regs;
  value_layout layout;
  int bands; /* rounds in which it takes turns with what reads it (nest/bands.h); 0: chosen, 1: none */
  int side; /* number of the set of sites that it runs beside (nest/sides.h); 0: chosen, SIDE_ALONE: none */
  int nlanes; /* of these lanes; 0: as many as suit the machine */
  int chains; /* of additions, for all sums of a value that is not rewritten; 0: chosen (chains.h) */
  /* of a stored value that is no convolution: number + 1 of the site whose kernel stores it too; 0: its own */
  int with;
  bool inlined; /* of a stored value that is no convolution: no array, every reader computes it */
  /* of a sum over all places of another value: number + 1 of the site whose kernel makes its partial sums (pooled.h); 0:
   * it reads the value */
  int sums;
} schedule;

/* A named plan ("old", "fused", ...) as a schedule without splits, or a schedule's text. "auto" is not a schedule:
 * false. Malformed text is diag_fail(WN_ERR_USAGE) with a caret position and what was expected. */
bool schedule_parse(diag *d, const char *text, schedule *out);
/* What stands between braces, from `at` in a longer text: returns where it ends, at the brace. */
const char *schedule_parse_in_braces(diag *d, const char *text, const char *at, schedule *out,
                                     bool *is_schedule);
/* The message for text that is no plan; says where. */
_Noreturn void schedule_expected(diag *d, const char *text, const char *at, const char *what);
void schedule_print(str *out, const schedule *s);
/* What follows side=, which is 0 for SIDE_ALONE, at *at in a text, which is moved behind it; and all of the option, or
 * nothing. */
int schedule_read_side(diag *d, const char *text, const char **at);
void schedule_print_side(str *out, int side);
/* What follows layout=, at *at in a text, which is moved behind it; and all of the option, or nothing. */
value_layout schedule_read_layout(diag *d, const char *text, const char **at);
void schedule_print_layout(str *out, value_layout layout);
uint64_t schedule_hash(const schedule *s);
bool schedule_equal(const schedule *a, const schedule *b);
/* Do both give the same bits, whatever the data? What is summed in which order is decided by the tile and by the
 * lengths of partial sums, and steps of an inlined transform may be fused with what reads them; in which array values
 * are kept, what is a block and what is in the lanes of a vector change nothing (tests/diff/test_bits.c). */
bool schedule_same_bits(const schedule *a, const schedule *b);
/* Do they place the same stages the same, and have both rounds of a host loop or neither? Sizes and tiles may differ. */
bool schedule_same_places(const schedule *a, const schedule *b);
/* Is the loop of this name one that is wanted? */
bool loop_named(loop_name want, const char *name);
/* Is the stage computed inside the kernel of its reader? */
bool schedule_is_inside(const schedule *s, stage_id id);
/* Has it no array, so that every use computes it? */
bool schedule_is_inlined(const schedule *s, stage_id id);
/* Has it an array that a kernel of its own fills? */
bool schedule_has_kernel(const schedule *s, stage_id id);
/* Are x, g and m arrays, so that the products read and write nothing else? */
bool schedule_has_arrays(const schedule *s);
/* Names of the plans in the order of `compare`, "auto" last, NULL-terminated. */
extern const char *const schedule_plan_names[];

#endif
