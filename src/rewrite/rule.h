/* Rules as data: pattern, result and guard side by side.
 *
 *     {"div-cancel", N(IDIV, N(MUL, V(x), K(a)), K(a)), .into = V(x), .when = a_nonzero,
 *      .on = ON_INDEX},
 *
 * V(x)   any expression; the same letter twice must be the same node      K(a)   a CONST
 * I(n)   the number n, in the dtype of the values that the root works on  B(t)   the bool t
 * N(op, ...)  a node with these sources; commutative ops match both ways
 * ROOT(op)    a node with any sources
 *
 * A result is a pattern (`into`, built with the light folding of uop_alu2) or a function (`build`),
 * which returns NULL or the root itself where it declines. `on` says which values the root works
 * on: the dtype of the operands of a comparison, of the node itself for every other op. */
#ifndef WN_REWRITE_RULE_H
#define WN_REWRITE_RULE_H

#include "rewrite/rewrite.h"

typedef enum { VAR_a, VAR_b, VAR_c, VAR_x, VAR_y, VAR_z, VAR_COUNT } pattern_var;
typedef enum { PAT_VALUE, PAT_CONST, PAT_NUMBER, PAT_BOOL, PAT_NODE, PAT_ROOT } pattern_kind;

typedef struct pattern pattern;
struct pattern {
  pattern_kind kind;
  int op;        /* NODE, ROOT: uop_op */
  int var;       /* VALUE, CONST */
  double number; /* NUMBER, BOOL */
  const pattern *src[4];
};

#define V(letter) \
  &(const pattern) { .kind = PAT_VALUE, .var = VAR_##letter }
#define K(letter) \
  &(const pattern) { .kind = PAT_CONST, .var = VAR_##letter }
#define I(n) \
  &(const pattern) { .kind = PAT_NUMBER, .number = (n) }
#define B(truth) \
  &(const pattern) { .kind = PAT_BOOL, .number = (truth) }
#define N(op_, ...)                                          \
  &(const pattern) {                                         \
    .kind = PAT_NODE, .op = OP_##op_, .src = { __VA_ARGS__ } \
  }
#define ROOT(op_) \
  &(const pattern) { .kind = PAT_ROOT, .op = OP_##op_ }

/* Index arithmetic is i64, computed without overflow; i32 belongs to users and wraps. */
enum {
  ON_INDEX = 1,
  ON_I32 = 2,
  ON_BOOL = 4,
  ON_FLOAT = 8,
  ON_INT = ON_INDEX | ON_I32,
  ON_ANY = 15
};
enum { RULE_ROUNDS = 1 }; /* may change floating-point results, if only the sign of a zero */

typedef struct match {
  graph *g;
  arena *scratch; /* of this call of rewrite */
  const uop *root;
  wn_dtype dtype; /* of the values that the root works on */
  const uop *v[VAR_COUNT];
} match;

typedef struct rule {
  const char *name;
  const pattern *match;
  const pattern *into;
  const uop *(*build)(match *m);
  bool (*when)(const match *m);
  unsigned on, flags;
} rule;

typedef struct rule_table {
  const rule *at;
  int n;
} rule_table;

struct rule_set {
  const rule **of[OP_COUNT]; /* in the order of the tables */
  int n[OP_COUNT];
  bool trace; /* WINNOW_TRACE=1 */
  /* What the set has found in its graph, by node id: 0 nothing, the address of the normal form, or 2 * depth + 1 while
   * the node is being worked on by the call of that depth (rules may call rewrite). */
  uintptr_t *normal;
  uint32_t nnormal;
  uintptr_t depth;
};

/* The rules of the tables without those that carry a flag in `without`. In arena a, for the graph whose arena it is. */
rule_set *rule_set_build(arena *a, int ntables, const rule_table *tables, unsigned without);

/* Forgets what it found for, and of, all nodes but the first so many; outside of any rewriting. */
void rule_set_forget(rule_set *s, uint32_t count);

/* The result of one rule at one node, or NULL where it does not apply or changes nothing. */
const uop *rule_apply(graph *g, arena *scratch, const rule *r, const uop *u);

#endif
