/* Building a linear kernel as a tree of scopes; internal to src/kernel.
 *
 * In: scalar expressions of the range IR over open loops. Out: instructions, each in the outermost scope in which all
 * the loops that it depends on are open (so loop-invariant code needs no pass of its own), each once per scope.
 * Always holds: a scope's items are in running order; an inner loop is appended to its parent when it is closed, so
 * code that moves out of it lands in front of it. */
#ifndef WN_KERNEL_BUILD_H
#define WN_KERNEL_BUILD_H

#include "kernel/kernel.h"
#include "ir/walk.h"
#include "lower/lower.h"
#include "rewrite/rewrite.h"

typedef struct scope scope;
typedef struct scope_item { /* an instruction, or a closed inner scope */
  uint32_t ins;
  scope *inner;
} scope_item;

struct scope {
  scope *parent;
  int depth;
  uint32_t head; /* its LOOP or IF; none at depth 0 */
  double share;  /* of an IF: how much of the grid enters it */
  VEC(scope_item) items;
  map values; /* node id -> instruction: what is known here */
  map splats; /* instruction -> its BROADCAST */
};

typedef struct emit_frame { /* an operation whose operands are being emitted */
  const uop *u, *src[3];
  lin_ins ins;
  int next;
  bool vector, same; /* same: it is its operand */
} emit_frame;

struct load_run;
typedef struct builder builder;
struct builder {
  graph *g;
  arena *a;
  const kernel_set *set;
  const linear_options *opt;
  lin_kernel *k;
  VEC(lin_ins) pool;
  scope *top, *cur;
  map loops;        /* RANGE number -> scope depth + 1 in which it has a value */
  map range_values; /* RANGE number -> instruction */
  map array_slot;   /* OP_BUFFER slot -> number in k->arrays + 1 */
  map array_depth; /* OP_BUFFER slot -> depth of the scope that fills it, for arrays written in this kernel */
  map local_reads; /* node id -> deepest such depth under it, memoised */
  size_t ngroups;
  map groups; /* INDEX node id -> access_group *, of strided loads that are read together */
  VEC(struct load_run *) runs; /* neighbours.c */
  map run_of_load;             /* INDEX node id -> load_run * */
  VEC(emit_frame)
  frames;            /* operations that wait for operands: graphs may be deeper than the stack */
  const uop *next;   /* of the nest: see there */
  bool inside;       /* in a loop of which there are two, with guards and without */
  const uop *vector; /* the open VECTOR range, or NULL */
  int lanes;
  const uop *lane; /* of a device: number of the work item in its group */
  bool in_item;    /* the axes that work items share are open */
  bool wide;       /* some integer needs more than 32 bits */
  /* What an INDEX becomes. Expressions have loads in them and loads have expressions: here is where they meet. */
  uint32_t (*load)(builder *b, const uop *index);
};

/* --- scopes.c --------------------------------------------------------------------------------- */
uint32_t build_ins(builder *b, scope *at, lin_ins ins); /* appended to the scope */
/* n lanes of x followed by y; of x alone where y is x and no pick goes past it. */
uint32_t build_shuffle(builder *b, scope *at, uint32_t x, uint32_t y, int n, const int64_t *pick);
/* a LOOP or IF (made with build_head) becomes the current scope */
scope *build_open(builder *b, uint32_t head);
uint32_t build_head(builder *b, lin_ins ins); /* an instruction in no scope yet */
void build_open_loop(builder *b, const uop *range);
void build_bind(builder *b, const uop *range,
                uint32_t value); /* its value, from the current scope inwards */
void build_close(builder *b);
void build_flatten(builder *b);            /* pool and scopes -> k->ins */
int build_array(builder *b, int64_t slot); /* number in k->arrays */

/* --- emit.c: expressions ---------------------------------------------------------------------- */
uint32_t emit(builder *b, const uop *u);        /* the value, scalar or of b->lanes lanes */
uint32_t emit_vector(builder *b, const uop *u); /* broadcast if it is scalar */
bool is_vector(const builder *b, const uop *u);
/* A fused a * b + acc where value is a product, else op(acc, value). */
uint32_t emit_accumulate(builder *b, uop_op op, const uop *value, uint32_t acc, bool vector);
/* The outermost scope in which u can stand. */
scope *home_of(builder *b, const uop *u);
/* An IF becomes the current scope; share: how much of the time it is entered. */
void emit_open_if(builder *b, const uop *cond, double share);

/* --- address.c: what offsets are made of ------------------------------------------------------ */
/* e as base + coeff * lane + k with a scalar base. False where a lane moves it in any other way; k is its constant all
 * the same, and 0 where it is not linear at all. */
bool split_lanes(builder *b, const uop *e, const uop **base, int64_t *coeff, int64_t *k);
typedef struct address {
  const uop *base; /* scalar offset without the constant */
  int64_t disp;
  int64_t stride; /* elements between lanes; 0: the same for all */
  bool gather;    /* base is a vector */
} address;
address split_address(builder *b, const uop *offset);
/* Is e a multiple of n in all iterations of the loops that are open? */
bool is_multiple(const uop *e, int64_t n);

/* --- mask.c ----------------------------------------------------------------------------------- */
/* A bool of b->lanes lanes, or a scalar where there is no vector. */
uint32_t emit_mask(builder *b, const uop *valid);

/* --- memory.c: loads and stores --------------------------------------------------------------- */
uint32_t build_load(builder *b, const uop *index); /* what builder.load is */
/* Prefetches what the next iteration of the nest's loop `next` will touch in the place of this access, if the array is
 * large and comes from memory. */
void prefetch_next(builder *b, const lin_ins *access, int64_t slot, const uop *offset);
void build_store(builder *b, int64_t slot, const uop *offset, const uop *value, const uop *mask);

/* --- strided.c: neighbouring strided accesses as contiguous ones and shuffles ----------------- */
/* Finds groups of strided loads under the values; build_load then reads the stretch that a group covers once. */
void group_strided_loads(builder *b, size_t nvalues, const uop *const *values);
/* The value of a load that belongs to a group; false if it does not. */
bool load_from_group(builder *b, const uop *index, uint32_t *value);
typedef struct store_ref { /* one store of a nest's body */
  const uop *offset, *mask, *value;
} store_ref;
/* Emits the stores that together fill a stretch, interleaved; marks them done. */
void interleave_stores(builder *b, int64_t slot, size_t n, const store_ref *stores, bool *done);

/* --- neighbours.c: scalar loads of neighbours as vectors, on devices -------------------------- */
void find_neighbours(builder *b, size_t nvalues, const uop *const *values);
bool load_from_run(builder *b, const uop *index, uint32_t *value); /* false: it is in no run */

/* --- transpose.c: neighbours whose lanes lie far apart ---------------------------------------- */
/* Emits the runs of stores that are transposed in registers; marks them done. */
void transpose_stores(builder *b, int64_t slot, size_t n, const store_ref *stores, bool *done);

/* --- reduce.c --------------------------------------------------------------------------------- */
/* Emits all reductions under the roots (those not inside another one): equal loops merged, as many accumulators at once
 * as there are registers. Their values are then known to emit. */
void emit_reductions(builder *b, int nroots, const uop *const *roots);

/* --- matrix.c --------------------------------------------------------------------------------- */
/* The body of a nest whose innermost two axes are the rows and columns of a matrix; adds: to what its array holds. */
void emit_matrix(builder *b, const nest *n, bool adds);

/* --- inside.c --------------------------------------------------------------------------------- */
/* A scalar condition under which guards of loads under the REDUCEs hold throughout, and the REDUCEs without them; NULL:
 * there is none that is open. */
const uop *inside_of(builder *b, size_t n, const uop *const *reduce, const uop **without);

#endif
