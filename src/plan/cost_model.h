/* The cost model's constants and what all its files count in; internal to src/plan.
 *
 * In: work of a kernel, in operations and bytes. Out: seconds. To fit the model to measurements change the constants
 * here. */
#ifndef WN_PLAN_COST_MODEL_H
#define WN_PLAN_COST_MODEL_H

#include "plan/cost.h"
#include "plan/complete.h"

/* --- the constants of the model --------------------------------------------------------------- */

/* Share of the peak that loops reach whose register tiles hide the latency of additions. */
static const double PRODUCTS_SHARE = 0.98;
static const double DIRECT_SHARE = 0.95;
/* In multiply-adds of a full vector, which are what the machine is measured by: */
static const double LATENCY = 7.5; /* additions of the shortest vectors that must be in flight */
static const double BESIDE = 3.5;  /* the norm in which loads and multiply-adds of a tile add up */
static const double BROADCAST = 0.5; /* loading one element into all lanes */
static const double VECTOR_LOAD = 0.83;
static const double UNALIGNED = 1.8;   /* of loads at any offset over aligned ones */
static const double STRIDED = 3.0;     /* of loads of elements that are no neighbours */
static const double TILE_ENDS = 6;     /* looping and addresses of a register tile, */
static const double TILE_STORE = 0.7;  /* and for each accumulator zeroing and storing, */
static const double TILE_RELOAD = 1;   /* and adding to what an earlier part of a long sum left */
static const double STEP = 0.8;        /* a step of a transform */
static const double SPILLED_FROM = 36; /* values of a tile */
/* One value of a transform in, loaded, shuffled, stored, where tiles are 1, 2, 4 ... apart, and where they are not. */
static const double GATHER = 3.3, GATHER_ODD = 4.2;
static const double PICK = 1.2; /* a lane of either, where strides or dilations keep tiles apart */
static const double PICK_FAR =
    0.56; /* a lane that is loaded from a line of its own, the line not counted */
static const double COPY = 0.62; /* one result into or out of an array of its own */
/* Sums of all frequencies at once: */
static const double EACH_SUM = 0.95; /* a multiply-add whose operands are spilled as often as not */
static const double EACH_LOAD = 0.77;    /* of what the loads of its operands take alone */
static const double INLINED_STEP = 0.83; /* a step of an input transform that is used at once, */
static const double INLINED_VALUE = 0.56, INLINED_ODD = 3.5; /* and a value of it, as GATHER */
static const double CROWDED = 0.52; /* more for each register file of values besides the sums */
static const double AGAIN =
    0.3; /* of a transform that is made again for each further group of sums */
static const double SCALAR_STEP = 0.37; /* a step of a weight's transform, in all lanes alike; */
static const double SPLAT = 0.38;       /* and a value of it, spread over a vector */
static const double ADDED = 2.4;   /* a product that is added to an array: loaded, added, stored */
static const double KEPT = 1.0;    /* a value of a transform that is kept on the stack meanwhile */
static const double TAKE = 0.6;    /* one value of a transform that is loaded as it was stored */
static const double SCATTER = 3.0; /* one result of lanes of tiles, on its way to the image */
/* One row of a tile's results of one channel where the lanes are channels: a short store; rows of other lengths than
 * 2, 4, ... more; at the edges of an image, of which the store is masked, more again. */
static const double ROW = 1.6, ROW_ODD = 2.5, ROW_EDGE = 3.5;
static const double SAME_SET = 3.3; /* the same where channels are a multiple of 4 KiB apart */
/* Share of the bandwidth of memory that loops reach beside what else they do. */
/* Weights that are rewritten are up to four times as many as were given, others as many. */
static const double WEIGHTS_GROW = 2;
static const double MEMORY_SHARE = 0.7;
static const double STREAM =
    0.35e-6; /* seconds until what is read from a new place in memory comes at that rate */
/* What of reading from each level is not hidden behind arithmetic. */
static const double EXPOSED[LEVEL_COUNT] = {0, 0.13, 0.4, 0.15};
static const double EXPOSED_WRITE[LEVEL_COUNT] = {0, 0.1, 0.9, 1};
/* More of it where a block of tiles has all weights again: products wait for them at the start of each panel. 128
 * channels at 112x112 take 12.6 ms in blocks of 28 tiles and 14.9 in blocks of 14 (AVX2). */
static const double WEIGHTS_AGAIN = 2;
static const double WRITE = 0.8; /* writing a cache, over reading it */
/* Results are written in short rows all over an image: where it is in memory, that many times the bandwidth. */
static const double SHORT_ROWS = 4;
/* Of a cache: below the first share all reads hit, above the second all miss. Of L3, which has others' data too, less
 * is to be had for what is written. */
static const double FITS_WRITTEN = 0.3, SPILLS_WRITTEN = 0.55;
static const double FITS[LEVEL_MEMORY] = {0.6, 0.7, 0.5}, SPILLS[LEVEL_MEMORY] = {1.3, 1.05, 0.95};
static const double SCATTERED =
    3; /* what a transform writes to or reads from planes past L2, over its bytes */
static const double UNSURE = 1.04;   /* direct is left where more than this is to be gained */
static const double BLOCK = 0.2e-6;  /* seconds, starting a stage of a block */
static const double LAUNCH = 0.2e-6; /* seconds, a kernel of one thread */
static const double KEPT_WEIGHTS = 256 << 10; /* bytes; more are outside the loop over pixels */
static const double LINE = 64;                /* bytes of a cache line */

/* --- what a kernel does ----------------------------------------------------------------------- */

typedef struct work {
  double slots;   /* time on the pipes of the multiply-adds: 1 is one on a full vector */
  double loads;   /* the same of what is loaded meanwhile */
  double seconds; /* of traffic, one thread */
  double exposed; /* of it, what is not hidden behind arithmetic */
  double shared;  /* what all threads would need together, were memory all that binds */
  double launches;
  double blocks; /* of a launch, that threads share */
} work;

typedef struct model {
  const cost_target *t;
  const machine_limits *l;
  double slot; /* seconds of a multiply-add on a full vector */
  int width;
  size_t element;
} model;

/* a / b, the last part counted whole; both are counts. */
double ceil_div(double a, double b);
bool is_power_of_two(double x);

model model_of(const cost_target *t, wn_dtype dtype);
/* `bytes` moved, of an array that together with what is used meanwhile has `footprint` bytes. */
/* What the graph's other weights take, beside a convolution's `own` bytes. */
double cold_bytes(const model *m, double own);
void add_reads(const model *m, work *w, double bytes, double footprint);
/* So many times reading goes on at another place of an array. */
void add_streams(const model *m, work *w, double times, double footprint);
void add_writes(const model *m, work *w, double bytes, double footprint,
                double dearer); /* times, where it is memory */
/* Vectors of so many bytes in so many lines: past the nearest cache whole lines move. */
void add_vectors(const model *m, work *w, double vectors, double bytes, double lines,
                 double footprint, bool writes);
void add_steps(work *w, double slots); /* of arithmetic that no loads overlap */
void add_work(work *to, const work *w);
void multiply_work(work *w, double by);
double work_seconds(const model *m, const work *w);
double lanes_slots(const model *m, double lanes); /* time of a vector of so many lanes, in slots */
double latency_slots(const model *m);             /* between additions to the same register */

/* --- a convolution rewritten with one tile (cost_sizes.c) ------------------------------------- */

typedef struct sizes {          /* of one group, in elements */
  double f;                     /* frequencies */
  double in, out, weights;      /* steps of the transforms: one tile and channel; one weight */
  double taps;                  /* of a filter */
  double positions;             /* outputs of a tile */
  double width, rows;           /* tiles in a row; rows of tiles in an image */
  double m;                     /* outputs of a tile in a row */
  double edge;                  /* share of the tiles that reach past an end of the image */
  bool same_set;                /* channels of the result are a multiple of 4 KiB apart */
  bool image_last, result_last; /* channels are neighbours in memory */
  bool in_apart, out_apart;     /* neighbours of a tile are none in memory: strides, dilations */
  double T, C, K, G;
  double image, result, total; /* bytes, all groups; all that a run touches */
  double cold;                 /* what passes through the caches between two uses of the weights */
} sizes;

/* How the products are summed over channels: what a product_nest is to the counts. */
typedef enum {
  SUM_TILED,    /* in a register tile, a frequency at a time */
  SUM_REGISTER, /* in registers, all frequencies of a few channels and vectors of tiles at once */
  SUM_ARRAY,  /* added to m: the input transform of a channel is made once for several channels k */
  SUM_ARRAY_G /* the same with the weight transform, once for all tiles */
} sum_kind;

/* How the schedule cuts this convolution. */
typedef struct cut {
  const schedule *s;
  bool refused;         /* apply would not have it */
  double block, blocks; /* tiles that are staged together before m; such blocks, batch included */
  double o_block, o_blocks; /* the same in the kernel of the result */
  bool staged;              /* that kernel goes in such blocks, since other stages are made in it */
  double kblock;            /* channels whose products are staged together */
  double tile_k, tile_t, lanes; /* register tile of the products; lanes of its vectors */
  bool over_k;                  /* the lanes are channels */
  double parts;                 /* that a sum over channels is made in */
  sum_kind sum;
  double sum_k,
      sum_rows; /* SUM_REGISTER, SUM_ARRAY: channels and vectors of tiles that are summed together, */
  double vectors; /* vectors of tiles in a block, */
  int sum_lanes;  /* and their lanes */
  bool k_inside;  /* the loop over channels k is inside those over tiles */
} cut;

sizes sizes_of(const wino_conv *c, const wino_tile *t, const model *m);
/* What a convolution's surroundings are taken to be before there are any: its result is stored as it comes. */
site_facts facts_of(const wino_conv *c, const wino_tile *t);
cut cut_of(const model *m, const wino_conv *c, const wino_tile *t, const sizes *z,
           const schedule *s);
/* Vectors for so many tiles in rows, and for channels where they are neighbours. */
double row_vectors(const model *m, const sizes *z, double tiles, int *lanes);
double channel_vectors(const model *m, double channels, int *lanes);
/* Tiles that the array of a stage has room for: all of them unless it is local, whatever a chunk is. */
double stored_tiles(const sizes *z, const cut *u, stage_id id);

/* --- what its stages do (cost_stages.c, cost_sums.c); each adds the work of one block --------- */

void add_x(const model *m, const sizes *z, const cut *u, work *w);
void add_g(const model *m, const sizes *z, const cut *u, work *w);
void add_m(const model *m, const sizes *z, const cut *u, work *w);
void add_o(const model *m, const sizes *z, const cut *u, work *w);
void add_sums(const model *m, const sizes *z, const cut *u,
              work *w); /* m where u->sum is not SUM_TILED */
/* How often a transform is made whose f values go into so many sums. */
double made_again(const model *m, double sums);
bool too_long(const model *m, const sizes *z,
              const cut *u); /* cost_lines.c: will a kernel be interpreted? */

/* Of a device, by stage; false: refused. tile: NULL for direct. cost_device.c */
bool device_parts(const wino_conv *c, const wino_tile *tile, const schedule *s,
                  const cost_target *t, double part[STAGE_COUNT]);
double direct_seconds(const model *m, const wino_conv *c, const schedule *s); /* cost_direct.c */

#endif
