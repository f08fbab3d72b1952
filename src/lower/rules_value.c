/* Rules of values of any dtype, floating point included.
 *
 * In: elementwise nodes. Out: constants folded in the node's dtype, units gone, one order for
 * commuted operands, choices with a known or repeated condition made.
 * Floating point: only what changes no result bit (aside from the sign of a NaN, and which zero MAX
 * and MIN give of two). x * 1, x / 1, x - 0 and x + -0 are x; x + 0 is not (it turns -0 into +0)
 * and carries RULE_ROUNDS; x * 0 and x - x are nothing simpler (NaN, infinity); not x < y is not y
 * <= x (NaN).
 * Progress: fewer nodes, else constants last and older operands first. */
#include "lower/simplify.h"

/* Integer and bool values with one possible value. */
static const uop *known(match *m) {
  const uop *u = m->root;
  if (u->vmin != u->vmax || dtype_is_float(u->dtype)) return NULL;
  return uop_new(m->g, OP_CONST, (wn_dtype)u->dtype, 0, NULL, (uop_arg){.i = u->vmin});
}

/* What building the node anew folds: constants, units, the order of operands. Sums of index values
 * and conjunctions have an order of their own. */
static const uop *fold(match *m) {
  const uop *u = m->root;
  if (u->op == OP_CAST) return uop_cast(m->g, (wn_dtype)u->dtype, u->src[0]);
  if (u->op == OP_WHERE) return uop_where(m->g, u->src[0], u->src[1], u->src[2]);
  if (u->nsrc == 1) return uop_alu1(m->g, (uop_op)u->op, u->src[0]);
  return uop_alu2(m->g, (uop_op)u->op, u->src[0], u->src[1]);
}

/* Does every value of `from` have a value of its own in `to`? */
static bool holds_all_of(wn_dtype to, wn_dtype from) {
  if (from == WN_BOOL) return true;
  if (dtype_is_float(from))
    return to == WN_F64 ? true : to == WN_F32 && (from == WN_F16 || from == WN_BF16);
  return from == WN_I32 && (to == WN_I64 || to == WN_F64);
}

/* There and back again, or there in two steps that lose nothing on the first. */
static const uop *cast_of_cast(match *m) {
  const uop *inner = m->root->src[0];
  if (inner->op != OP_CAST) return NULL;
  const uop *x = inner->src[0];
  wn_dtype from = (wn_dtype)x->dtype, middle = (wn_dtype)inner->dtype,
           to = (wn_dtype)m->root->dtype;
  if (!holds_all_of(middle, from)) return NULL;
  bool straight = to == from || dtype_is_float(from) == dtype_is_float(to);
  return straight ? uop_cast(m->g, to, x) : NULL;
}

#define EVERYWHERE(op)  {"known-" #op, ROOT(op), .build = known, .on = ON_INT | ON_BOOL | ON_FLOAT}
#define FOLDED(op, on_) {"fold-" #op, ROOT(op), .build = fold, .on = (on_)}

static const rule rules[] = {
    EVERYWHERE(RANGE),
    EVERYWHERE(ADD),
    EVERYWHERE(MUL),
    EVERYWHERE(IDIV),
    EVERYWHERE(MOD),
    EVERYWHERE(MAX),
    EVERYWHERE(MIN),
    EVERYWHERE(LT),
    EVERYWHERE(EQ),
    EVERYWHERE(AND),
    EVERYWHERE(OR),
    EVERYWHERE(NOT),
    EVERYWHERE(WHERE),
    EVERYWHERE(CAST),
    FOLDED(ADD, ON_I32 | ON_FLOAT),
    FOLDED(SUB, ON_ANY),
    FOLDED(MUL, ON_ANY),
    FOLDED(DIV, ON_ANY),
    FOLDED(IDIV, ON_ANY),
    FOLDED(MOD, ON_ANY),
    FOLDED(MAX, ON_ANY),
    FOLDED(MIN, ON_ANY),
    FOLDED(NEG, ON_ANY),
    FOLDED(LT, ON_ANY),
    FOLDED(EQ, ON_ANY),
    FOLDED(OR, ON_ANY),
    FOLDED(NOT, ON_ANY),
    FOLDED(WHERE, ON_ANY),
    FOLDED(CAST, ON_ANY),

    {"subtract-zero", N(SUB, V(x), I(0)), .into = V(x), .on = ON_FLOAT},
    {"add-minus-zero", N(ADD, V(x), I(-0.0)), .into = V(x), .on = ON_FLOAT},
    {"add-zero", N(ADD, V(x), I(0)), .into = V(x), .on = ON_FLOAT, .flags = RULE_ROUNDS},
    {"add-negation", N(ADD, V(x), N(NEG, V(y))), .into = N(SUB, V(x), V(y)), .on = ON_FLOAT},
    {"subtract-negation", N(SUB, V(x), N(NEG, V(y))), .into = N(ADD, V(x), V(y)), .on = ON_FLOAT},
    {"negate-twice", N(NEG, N(NEG, V(x))), .into = V(x), .on = ON_FLOAT | ON_I32},
    {"absolute-negation", N(ABS, N(NEG, V(x))), .into = N(ABS, V(x)), .on = ON_FLOAT},
    {"absolute-twice", N(ABS, N(ABS, V(x))), .into = N(ABS, V(x)), .on = ON_FLOAT},
    {"multiply-negations", N(MUL, N(NEG, V(x)), N(NEG, V(y))), .into = N(MUL, V(x), V(y)),
     .on = ON_FLOAT},
    {"larger-same", N(MAX, V(x), N(MAX, V(x), V(y))), .into = N(MAX, V(x), V(y)), .on = ON_ANY},
    {"smaller-same", N(MIN, V(x), N(MIN, V(x), V(y))), .into = N(MIN, V(x), V(y)), .on = ON_ANY},

    {"where-not", N(WHERE, N(NOT, V(c)), V(x), V(y)), .into = N(WHERE, V(c), V(y), V(x)),
     .on = ON_ANY},
    {"where-again-then", N(WHERE, V(c), N(WHERE, V(c), V(x), V(y)), V(z)),
     .into = N(WHERE, V(c), V(x), V(z)), .on = ON_ANY},
    {"where-again-else", N(WHERE, V(c), V(z), N(WHERE, V(c), V(x), V(y))),
     .into = N(WHERE, V(c), V(z), V(y)), .on = ON_ANY},
    {"where-both", N(WHERE, V(a), N(WHERE, V(b), V(x), V(y)), V(y)),
     .into = N(WHERE, N(AND, V(a), V(b)), V(x), V(y)), .on = ON_ANY},
    {"where-either", N(WHERE, V(a), V(x), N(WHERE, V(b), V(x), V(y))),
     .into = N(WHERE, N(OR, V(a), V(b)), V(x), V(y)), .on = ON_ANY},
    {"where-then-true", N(WHERE, V(c), B(1), V(x)), .into = N(OR, V(c), V(x)), .on = ON_BOOL},
    {"where-else-false", N(WHERE, V(c), V(x), B(0)), .into = N(AND, V(c), V(x)), .on = ON_BOOL},
    {"where-then-false", N(WHERE, V(c), B(0), V(x)), .into = N(AND, N(NOT, V(c)), V(x)),
     .on = ON_BOOL},
    {"where-else-true", N(WHERE, V(c), V(x), B(1)), .into = N(OR, N(NOT, V(c)), V(x)),
     .on = ON_BOOL},

    {"cast-of-cast", ROOT(CAST), .build = cast_of_cast, .on = ON_ANY},
};

const rule_table value_rules = {rules, sizeof rules / sizeof *rules};
