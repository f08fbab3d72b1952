/* The simplifier: the rule tables of this folder run to a fixed point.
 *
 * In: range IR, possibly with SUBSTITUTE nodes. Out: its normal form, as lower.h describes it. */
#include "lower/simplify.h"
#include "rewrite/scratch.h"

typedef struct simplifier {
  graph *g;
  const uop *root, *result;
} simplifier;

static bool has_substitute(arena *a, const uop *root) {
  uop_order o = uop_toposort(a, 1, &root);
  for (size_t k = 0; k < o.len; k++)
    if (o.at[k]->op == OP_SUBSTITUTE) return true;
  return false;
}

static void run(arena *a, void *state) {
  simplifier *s = state;
  const rule_table tables[] = {value_rules, index_rules, bool_rules, memory_rules};
  const rule_set *rules = rule_set_build(a, 4, tables, RULE_ROUNDS);
  const uop *root = has_substitute(a, s->root) ? uop_resolve(s->g, s->root) : s->root;
  s->result = rewrite(s->g, rules, root);
}

const uop *simplify(graph *g, const uop *root) {
  simplifier s = {.g = g, .root = root};
  if (root->op == OP_CONST || root->op == OP_BUFFER) return root;
  with_scratch(g->diag, run, &s);
  return s.result;
}
