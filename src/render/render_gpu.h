/* What the renderers for GPUs share: one printer of kernels, and how each language spells things.
 *
 * In: a verified kernel and a dialect. Out: the kernel's body, and the helpers that it calls.
 * Always holds: axes, structure and expressions are the printer's, so that they are the same in
 * every language; a dialect only says how a thing is written and what the language has itself. */
#ifndef WN_RENDER_RENDER_GPU_H
#define WN_RENDER_RENDER_GPU_H

#include "render/render.h"

/* What stands before and behind something. */
typedef struct gpu_around {
  const char *before, *behind;
} gpu_around;

typedef struct gpu_dialect {
  const char *function[OP_COUNT]; /* on floats of any lanes, where the language has one */
  gpu_around make;                /* a type's name, then the lanes of a vector follow and ")" */
  gpu_around convert, as;         /* the same: of another type's value, of its bits */
  gpu_around lane;                /* the number of a vector's lane, hexadecimal */
  bool int_masks; /* a vector of bools is one of ints 0 and -1, of longs next to 64-bit numbers */
  bool packed;    /* vectors of floats and ints have types that are aligned as their elements */
  gpu_around half_load; /* of p, around the number of the element */
  const char *erf;      /* the definition of erf_f32 where there is no function for it */
  int alignment;        /* in bytes, of local and private arrays as `aligned` declares them */
  const char *global, *local, *reg; /* spaces, with a space behind */
  bool half_opaque;                 /* a half exists behind a pointer only */
  const char *aligned;              /* behind the name of an array: to 64 bytes or what suits */
  const char *barrier[4];           /* by BARRIER's i */
  const char *matrix;               /* the type of an 8 x 8 matrix, NULL: there is none */
} gpu_dialect;

/* What printing needs to know of a kernel beyond its text. */
typedef struct gpu_facts {
  bool narrow; /* i64 values are ints */
  /* i64 values may be the user's numbers, whose arithmetic wraps, and not only offsets */
  bool wraps;
  const bool *nonnegative; /* per instruction: of i64 scalars that certainly are */
} gpu_facts;
gpu_facts gpu_study(arena *a, const lin_kernel *k);

/* The dtype of a register that holds a dtype: i32 for i64 where the kernel is narrow. */
wn_dtype gpu_reg_dtype(const gpu_facts *f, unsigned dtype);
/* "float4"; vectors of bools as the dialect has them. */
const char *gpu_type(arena *a, const gpu_dialect *d, wn_dtype reg, int lanes);
const char *gpu_memory_type(wn_dtype dtype);
void gpu_print_array_name(str *out, const lin_kernel *k, size_t index);

/* A constant, exactly; wide: of 64 bits. */
void gpu_print_float(str *out, double f, bool single);
void gpu_print_int(str *out, int64_t i, bool wide);

/* Numbers of the global arrays of a kernel, by slot. */
const size_t *gpu_global_arrays(arena *a, const lin_kernel *k, int *count);

/* Local and private arrays, one declaration a line. */
void gpu_print_arrays(str *out, const gpu_dialect *d, const lin_kernel *k);
/* All instructions. Variables gid and lane are there if the kernel has a GRID or LANE. */
void gpu_print_body(str *out, const gpu_dialect *d, const lin_kernel *k);
bool gpu_has(const lin_kernel *k, int op);

/* --- helpers ---------------------------------------------------------------------------------- */

/* How lanes lie in memory. */
typedef enum { GPU_CONTIGUOUS, GPU_STRIDED, GPU_INDEXED, GPU_KINDS } gpu_kind;

typedef struct gpu_access {
  wn_dtype memory;
  int lanes;
  gpu_kind kind;
  bool masked;
  bool whole; /* contiguous and aligned as a vector */
} gpu_access;
gpu_access gpu_access_of(const gpu_dialect *d, const lin_kernel *k, const lin_ins *u);
/* The language has it in one expression, for which no helper is called. */
bool gpu_is_plain(const gpu_dialect *d, const gpu_access *x);
void gpu_print_access_name(str *out, bool store, const gpu_access *x);
/* The name of the helper that an ALU op on a dtype is, without dtype and lanes; NULL where it is an
 * operator or a function of the language. */
const char *gpu_alu_helper(const gpu_dialect *d, const gpu_facts *f, const lin_kernel *k,
                           const lin_ins *u);
/* Definitions of all helpers that the kernels call. */
void gpu_print_helpers(str *out, const gpu_dialect *d, int count, const lin_kernel *const *kernels);

#endif
