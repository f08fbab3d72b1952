/* What the rules of the simplifier share: arithmetic on linear forms. Internal to src/lower. */
#ifndef WN_LOWER_SIMPLIFY_H
#define WN_LOWER_SIMPLIFY_H

#include "lower/lower.h"
#include "rewrite/rule.h"

extern const rule_table index_rules, bool_rules, value_rules, memory_rules;

/* --- linear forms ----------------------------------------------------------------------------- */
/* True only if no value of the form overflows; the bounds are those of its atoms, each taken as
 * independent. */
bool form_bounds(const linear_form *f, int64_t *lo, int64_t *hi);
/* Does the value always lie in [*block * d, (*block + 1) * d)? */
bool form_in_block(const linear_form *f, int64_t d, int64_t *block);
/* f += k * (what is added); false on overflow or where the form is full. */
bool form_add_atom(linear_form *f, const uop *atom, int64_t k);
bool form_add_const(linear_form *f, int64_t k);
bool form_add(linear_form *f, const linear_form *other, int64_t k);
int64_t form_gcd(const linear_form *f); /* of the coefficients; 0 without atoms */
/* f = g * multiple + rest with 0 <= rest's constant < g and every coefficient c of rest 0 < c < g
 * (or |c| < g if signs are kept: only what is at least g in size is taken out). */
bool form_split(const linear_form *f, int64_t g, bool keep_signs, linear_form *multiple,
                linear_form *rest);
/* Does some scale g | d make f = g * S + (rest in one block of g)? Then *s = S + block and *rest is
 * what is left in [0, g). The largest such g > 1. */
bool form_scale(const linear_form *f, int64_t d, int64_t *g, linear_form *s, linear_form *rest);

/* f / d and f % d, d > 0: simpler than the node itself, or NULL where nothing is gained. */
const uop *form_div(graph *g, const linear_form *f, int64_t d);
const uop *form_mod(graph *g, const linear_form *f, int64_t d);
/* Quotients and remainders of one value put together again; false where there are none. */
bool form_recombine(graph *g, linear_form *f);
/* f < 0, as simple as it gets. NULL where the form may overflow. */
const uop *form_negative(graph *g, const linear_form *f);

/* index under the knowledge that valid holds; the same where nothing is gained. */
const uop *simplify_given(graph *g, const uop *index, const uop *valid);

#endif
