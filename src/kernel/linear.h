/* Linear IR: a kernel as typed SSA with structured loops, ready to be printed.
 *
 * In: a nest (kernel/linearise.c). Out: an array of instructions; an operand is the index of an earlier instruction.
 * Always holds: every instruction's operands are in scope (same or enclosing loop); vector operands of an ALU op have
 * equal lanes (scalars are broadcast explicitly); offsets are i64 scalars in elements, or i64 vectors (gather,
 * scatter); a masked-out lane touches no memory and loads 0; MAX and MIN give NaN if either operand is NaN; IDIV and
 * MOD round down. f16 and bf16 exist in memory only: LOAD converts to f32 registers and STORE back, so arithmetic is
 * f32, f64, i32, i64 or bool. bool in memory is one byte, 0 or 1.
 *
 * A CPU kernel is  void name(void *const *args, void *scratch, int64_t begin, int64_t end)
 * and runs its body for every block number GRID in [begin, end). args holds the global arrays in slot order; scratch is
 * a 64-byte aligned block of scratch_bytes of this worker, in which the local arrays lie at their offsets. Global
 * arrays are 64-byte aligned only if `aligned`. They are distinct memory, but for pairs: a launch may have the one that
 * is stored where the one that is read is, since whoever stores an element has read it, and nobody else does.
 * A kernel for a device has groups of `group` work items where a CPU's has blocks: GRID is the group, LANE the work
 * item in it, local arrays belong to the group, everything else to the work item. A BARRIER stands where all work items
 * of a group come by: in no IF whose condition differs between them.
 * An 8 x 8 matrix (`matrix`) is a value of MATRIX_CELLS cells, row major, of f32, and no vector. In a device's kernel
 * the MATRIX_ITEMS work items
 * whose numbers have the same quotient by MATRIX_ITEMS hold and compute it together: all of them come by with the same
 * offsets, and groups are multiples of them. Besides the MATRIX_ operations it goes through CONST, ACC, ACC_SET and
 * ADD, where an infinity or NaN may spread down its column (a device adds by multiplying with the identity). */
#ifndef WN_KERNEL_LINEAR_H
#define WN_KERNEL_LINEAR_H

#include "plan/axis.h"

typedef struct lin_array {
  const char *name;
  wn_dtype dtype;
  /* GLOBAL: args[slot]; LOCAL: scratch + offset; REG: private, indexed by constants only */
  uop_space space;
  int64_t len;    /* elements, as addressed, */
  int64_t gaps;   /* of which so many are of other arrays */
  int slot;       /* GLOBAL */
  int64_t offset; /* LOCAL: bytes into scratch, 64-byte aligned */
  bool read, written, aligned;
} lin_array;

typedef struct lin_ins {
  uint8_t op;     /* uop_op with UOP_LIN */
  uint8_t dtype;  /* of the value */
  uint16_t lanes; /* 1: scalar; of a matrix, its cells */
  bool matrix;    /* the value is a matrix */
  uint8_t nsrc;
  /* LOAD, STORE of neighbours: the first is a multiple of `lanes` elements from the array's start */
  bool whole;
  bool transposed; /* MATRIX_LOAD: columns lie where rows would */
  uint32_t src[4];
  int64_t disp; /* LOAD, STORE, PREFETCH: elements added to every offset */
  /* CONST integer or bool, LOOP trip count, array number of LOAD/STORE/PREFETCH, lane of EXTRACT, arrays of BARRIER */
  int64_t i;
  union {
    double f; /* CONST of a float dtype (any lanes: the same in all) */
    /* LOAD/STORE with a scalar offset and lanes > 1: elements between lanes (1: contiguous; never 0); MATRIX_LOAD,
     * MATRIX_STORE: between rows */
    int64_t j;
    const int_list *list; /* SHUFFLE: lanes */
  };
} lin_ins;

typedef struct lin_pair { /* numbers of GLOBAL arrays */
  int stored, read;
} lin_pair;

typedef struct lin_kernel {
  const char *name;  /* r_4_8_2 ...: unique within a program, a C identifier */
  const char *stage; /* "x", "g", "m", "result0", "g+x", ... */
  const char *loops; /* "grid k0 16, loop c 64, ...": for people */
  VEC(lin_array) arrays;
  VEC(lin_pair) pairs;
  VEC(lin_ins) ins;
  int64_t grid; /* number of blocks or groups, >= 1 */
  int group;    /* work items of a group; 0: a CPU's block, which one thread runs, with vectors */
  bool narrow;  /* no i64 value that it computes needs more than 32 bits */
  size_t scratch_bytes;
  bool once; /* runs once in the life of a program: short code is worth more than fast code */
  double flops,
      bytes; /* executed arithmetic on floats (FMA = 2), bytes of distinct loads and stores, per run */
} lin_kernel;

/* The dtype of a value in a register whose memory has this one: f32 for f16 and bf16. */
wn_dtype register_dtype(unsigned memory);
/* May the two be one memory because they are a pair, in either order? */
bool lin_are_pair(const lin_kernel *k, size_t x, size_t y);
/* Is it in some pair, so that no other array may be assumed to be apart from it by what it is alone? */
bool lin_is_paired(const lin_kernel *k, size_t array);
/* Renders "one instruction a line" text of the linear IR for dumps. */
void lin_print(str *out, const lin_kernel *k);
/* NULL, or one line saying what breaks the laws above (text in arena a). */
const char *lin_verify(arena *a, const lin_kernel *k);
/* The law of pairs, a part of lin_verify (lin_pairs.c). */
const char *lin_verify_pairs(arena *a, const lin_kernel *k);

#endif
