/* The simplifier: the rule tables of this folder run to a fixed point.
 *
 * In: range IR, possibly with SUBSTITUTE nodes. Out: its normal form, as lower.h describes it. */
#include "lower/simplify.h"

/* The graph's rules with what they found so far: a node is worked on once in the life of its graph. */
static rule_set *simplifier(graph *g) {
  const rule_table tables[] = {value_rules, index_rules, bool_rules, memory_rules};
  if (g->simplifier == NULL) g->simplifier = rule_set_build(&g->arena, 4, tables, RULE_ROUNDS);
  return g->simplifier;
}

const uop *simplify(graph *g, const uop *root) {
  if (root->op == OP_CONST || root->op == OP_BUFFER) return root;
  return rewrite(g, simplifier(g), root->lazy ? uop_resolve(g, root) : root);
}

void graph_rewind(graph *g, uint32_t count) {
  if (g->simplifier != NULL) rule_set_forget(g->simplifier, count);
  graph_forget(g, count);
}
