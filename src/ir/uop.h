/* The IR: immutable, hash-consed nodes in an arena.
 *
 * In: op, dtype, sources, argument. Out: the one node with these (equal nodes are the same pointer within a graph).
 * Always holds: sources are older than the node (ids grow from leaves to roots), so the graph is acyclic; every node
 * knows the bounds of its value (integers and bool) and which RANGEs occur free in it. Ops are rows of ops.def. */
#ifndef WN_IR_UOP_H
#define WN_IR_UOP_H

#include "base/map.h"
#include "base/mem.h"

typedef enum uop_op {
#define OP(name, lo, hi, arg, dtype, shape, flags, meaning) OP_##name,
#include "ir/ops.def"
#undef OP
  OP_COUNT
} uop_op;

enum { UOP_TENSOR = 1, UOP_EXPR = 2, UOP_LIN = 4, UOP_COMM = 8, UOP_ALU = 16 };
typedef enum {
  ARG_NONE,
  ARG_INT,
  ARG_FLOAT,
  ARG_NUM,
  ARG_RANGE,
  ARG_LIST,
  ARG_BUF,
  ARG_ALU,
  ARG_INFO
} uop_argkind;
typedef enum { DT_SAME, DT_BOOL, DT_FIRST, DT_FREE, DT_COND, DT_INT, DT_VOID } uop_dtrule;
typedef enum { SH_ELEM, SH_MOVE, SH_AXES, SH_JOIN, SH_PICK, SH_LEAF, SH_NONE } uop_shrule;

typedef struct op_info {
  const char *name, *meaning;
  int lo, hi; /* sources; hi -1: any number */
  uop_argkind arg;
  uop_dtrule dtype;
  uop_shrule shape;
  unsigned flags;
} op_info;
extern const op_info op_table[OP_COUNT];
int op_by_name(const char *name, size_t len); /* -1 if there is none */

typedef struct int_list { /* interned: equal lists are the same pointer within a graph */
  int32_t len;
  int64_t at[];
} int_list;

static inline bool int_list_has(const int_list *l, int64_t value) {
  for (int i = 0; i < l->len; ++i) {
    if (l->at[i] == value) return true;
  }
  return false;
}

/* Where a BUFFERIZE lives; ANY until a schedule says. */
typedef enum {
  SPACE_ANY,
  SPACE_INLINE,
  SPACE_REG,
  SPACE_LOCAL,
  SPACE_GLOBAL,
  SPACE_COUNT
} uop_space;
extern const char *const space_name[SPACE_COUNT]; /* any inline reg local global */

/* What a value is to a convolution that was rewritten: its input, weights, products and output transformed. */
typedef enum { STAGE_X, STAGE_G, STAGE_M, STAGE_O, STAGE_COUNT } stage_id;
extern const char stage_letter[STAGE_COUNT]; /* x g m o */

typedef struct bufferize_info { /* interned */
  const char *name;             /* a label: "x", "g", "m", "o", "result0", "b3" ...; interned */
  uop_space space;
  bool explicit_; /* asked for by the user or the API's contract: no plan may change the space */
  int32_t site;   /* number of the site that it is, or is a stage of; -1: not numbered */
  stage_id stage; /* of that site; STAGE_COUNT: its stored value, or a part of none */
  /* of what is stored between elements of others: how far apart neighbours along each range are, falling from the
   * outermost on; NULL: there is nothing between */
  const int_list *stride;
} bufferize_info;

typedef struct uop_arg {
  int64_t i;
  union {
    int64_t j;
    double f;
    const int_list *list;
    const bufferize_info *info;
  };
} uop_arg;

typedef struct range_set { /* sorted RANGE numbers, interned */
  int32_t len;
  int64_t at[];
} range_set;

typedef struct uop uop;
struct uop {
  uint32_t id; /* creation order, dense from 0 */
  uint32_t hash;
  uint8_t op;    /* uop_op */
  uint8_t dtype; /* wn_dtype; WN_DTYPE_COUNT for no value */
  uint16_t nsrc;
  bool lazy; /* a SUBSTITUTE is in it */
  uop_arg arg;
  int64_t vmin, vmax;     /* bounds of integers and bool; floats: INT64_MIN, INT64_MAX */
  const range_set *free_; /* RANGEs that occur free */
  const uop *src[];
};

/* What its maker calls a value, and the shape that it was called so in. */
typedef struct value_name {
  const char *text;
  const int_list *shape;
} value_name;

typedef struct graph {
  arena arena;
  diag *diag;
  uint32_t count;
  const uop **slots; /* open addressing, power of two */
  uint32_t nslots;
  map lists, strings, sets, infos; /* intern tables */
  map range_names;                 /* number -> name */
  map stored; /* label of a stored value (a pointer) -> the tensor-level node that it is the value of; by lowering */
  map names; /* id of a tensor-level node -> its value_name, for people: no part of what the node is */
  map sums; /* number of a RANGE that a sum was lowered to -> the REDUCE_AXIS that it is of; by lowering */
  int64_t next_range;
  /* rules of simplify() and the normal forms known so far; made on first use */
  struct rule_set *simplifier;
} graph;

void graph_init(graph *g, diag *d);
void graph_release(graph *g);
/* Forgets all nodes but the first so many: they stay where they are, and who asks for an equal one gets another. */
void graph_forget(graph *g, uint32_t count);

/* --- building --------------------------------------------------------------------------------- */
/* The node itself, nothing folded. Aborts on a node that breaks its row of ops.def. */
const uop *uop_new(graph *g, uop_op op, wn_dtype dtype, int nsrc, const uop *const *src,
                   uop_arg arg);
const uop *uop_int(graph *g, int64_t value); /* i64 */
const uop *uop_bool(graph *g, bool value);
const uop *uop_const(graph *g, wn_dtype dtype, double value); /* of any dtype */
const uop *uop_range(graph *g, int64_t extent,
                     const char *name); /* a new loop; name is copied, may be NULL */
const uop *uop_buffer(graph *g, int64_t slot, wn_dtype dtype, int ndim, const int64_t *shape);
/* An operation on two integers or bools. False where the result would overflow or is undefined, or there is none. */
bool uop_fold_int(uop_op op, int64_t a, int64_t b, int64_t *r);
/* Elementwise; light folding of constants and units (x + 0, x * 1, x & true ...), dtype by the rule. */
const uop *uop_alu1(graph *g, uop_op op, const uop *a);
const uop *uop_alu2(graph *g, uop_op op, const uop *a, const uop *b);
const uop *uop_where(graph *g, const uop *cond, const uop *a, const uop *b);
const uop *uop_cast(graph *g, wn_dtype dtype, const uop *a);
const uop *uop_add(graph *g, const uop *a, const uop *b);
const uop *uop_mul(graph *g, const uop *a, const uop *b);
const uop *uop_addi(graph *g, const uop *a, int64_t k);
const uop *uop_muli(graph *g, const uop *a, int64_t k);
const uop *uop_divi(graph *g, const uop *a, int64_t k); /* floor */
const uop *uop_modi(graph *g, const uop *a, int64_t k);
const uop *uop_lt(graph *g, const uop *a, int64_t k); /* a < k */
const uop *uop_ge(graph *g, const uop *a, int64_t k); /* a >= k, as k - 1 < a */
const uop *uop_and(graph *g, const uop *a, const uop *b);
const uop *uop_index(graph *g, const uop *base, const uop *valid, int n,
                     const uop *const *index); /* valid NULL: true */
const uop *uop_reduce(graph *g, uop_op alu, const uop *value, int n, const uop *const *ranges);
const uop *uop_bufferize(graph *g, const uop *value, int n, const uop *const *ranges,
                         bufferize_info info);
const uop *uop_stack(graph *g, int n, const uop *const *elems);
const uop *uop_get(graph *g, const uop *stack, const uop *which); /* folds for a constant */
/* A lazy SUBSTITUTE node; pairs: range, expression, ... Folds to value where none of the ranges is free in it. */
const uop *uop_substitute(graph *g, const uop *value, int npairs, const uop *const *pairs);
/* NULL: it has none. */
const char *uop_value_name(const graph *g, const uop *u);
/* Same op, argument and dtype with other sources. */
const uop *uop_with_src(graph *g, const uop *u, const uop *const *src);

const int_list *intern_list(graph *g, int n, const int64_t *values);
const char *intern_string(graph *g, const char *s);
const bufferize_info *intern_info(graph *g, bufferize_info info);

/* --- asking ----------------------------------------------------------------------------------- */
static inline bool uop_is_const(const uop *u) { return u->op == OP_CONST; }
static inline bool uop_is_int(const uop *u, int64_t v) {
  return u->op == OP_CONST && (u->dtype == WN_I64 || u->dtype == WN_I32 || u->dtype == WN_BOOL) &&
         u->arg.i == v;
}
static inline bool uop_is_movement(const uop *u) { return op_table[u->op].shape == SH_MOVE; }
static inline bool dtype_is_float(unsigned dt) { return dt <= WN_BF16; }
static inline bool dtype_is_int(unsigned dt) { return dt == WN_I32 || dt == WN_I64; }
/* What IDIV and MOD compute: rounded down. b != 0, and not INT64_MIN by -1. */
static inline int64_t int_div(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}
static inline int64_t int_mod(int64_t a, int64_t b) {
  int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
double uop_const_value(const uop *u);               /* of a CONST of any dtype */
bool uop_has_range(const uop *u, const uop *range); /* does range occur free in u? O(log n) */
const char *uop_range_name(const graph *g, const uop *range); /* "r7" where it was not named */
/* Of the array of a BUFFERIZE: elements, those between its first and its last, and how far apart neighbours along range
 * number i, from 0, are. */
int64_t uop_elements(const uop *bufferize);
int64_t uop_span(const uop *bufferize);
int64_t uop_stride(const uop *bufferize, int i);
/* Identity of a reduction: 0 for ADD, 1 for MUL, -inf / lowest for MAX, ... */
const uop *uop_identity(graph *g, uop_op alu, wn_dtype dtype);
/* The number as a tensor of the shape. */
const uop *uop_filled(graph *g, const uop *number, const int_list *shape);
/* A tensor without elements: all of them are a number of uop_filled. */
bool uop_is_empty(const uop *tensor);

#endif
