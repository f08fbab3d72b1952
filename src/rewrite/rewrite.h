/* The rewrite engine: rules are data, this folder contains none.
 *
 * In: a root and a rule set. Out: the root with every rule applied to a fixed point, bottom up,
 * without recursion. A rule shows its pattern, its result and its guard together:
 *     { "div-cancel", N(IDIV, N(MUL, V(x), K(a)), K(a)), .into = V(x), .when = a_nonzero },
 * Contract of every rule: the dtype is kept, no new node unless something changed, and each
 * application makes progress in the order that the rule set's file states, so rewriting ends. Rules
 * that change floating-point results carry RULE_ROUNDS and are left out in strict mode.
 * WINNOW_TRACE=1 prints the name of every rule applied and its node. */
#ifndef WN_REWRITE_REWRITE_H
#define WN_REWRITE_REWRITE_H

#include "ir/uop.h"

typedef struct rule_set rule_set; /* rules indexed by root op; built once per graph from tables */

/* root with rules applied; nodes outside what changed stay the same pointers. Normal forms are remembered in the set,
 * so that rewriting again costs as much as what is new. */
const uop *rewrite(graph *g, rule_set *rules, const uop *root);

/* Immediate replacement of nodes (usually RANGEs) everywhere under root, all at once, capture-free:
 * a RANGE bound by a REDUCE or BUFFERIZE inside root is renamed only where a replacement would be
 * captured. Subtrees without any of `from` keep their identity. Lazy SUBSTITUTE nodes met on the
 * way are resolved (composed, then applied) once. A `from` that is no RANGE is replaced where that
 * very node stands, and RANGEs in its `to` are meant to be bound by what is around it. */
const uop *uop_replace(graph *g, const uop *root, int n, const uop *const *from,
                       const uop *const *to);
/* All SUBSTITUTE nodes under root resolved. */
const uop *uop_resolve(graph *g, const uop *root);

#endif
