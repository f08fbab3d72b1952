/* Sums dealt out to chains; see chains.h. */
#include "plan/chains.h"

#include "ir/walk.h"

enum {
  LIGHT_TERM = 24, /* nodes of a term, those of its place included */
  LEAST_TURNS = 8  /* of each chain, to be worth it */
};

int64_t chains_of_tile(const schedule *s, const machine *m, const register_tile *t) {
  if (m->group > 0) return 0;
  if (s->chains > 0) return s->chains;
  int64_t held = t->k * (t->t / t->lanes);
  return held < SUMS_AT_ONCE ? SUMS_AT_ONCE / held : 1;
}

int64_t chains_of_sum(int64_t chains, int64_t sums) {
  int64_t each = chains > 0 ? 1 : 0;
  while (each > 0 && sums > 0 && each * 2 * sums <= chains) each *= 2;
  return each;
}

/* Terms that cost little more than their loads are added in pairs before an accumulator sees them: as many additions,
 * and chains and trees of fewer. Products are fused with their additions, one at a time; squares, which load no more
 * than a sum of the same numbers, go in step with that. */
static int64_t terms_at_once(arena *a, const uop *reduce) {
  bool light = uop_walk_value(a, reduce->src[0]).len <= LIGHT_TERM;
  return light && !sum_is_of_products(reduce->src[0]) ? TERMS_AT_ONCE : 1;
}

static const uop *longest_range(const uop *reduce) {
  const uop *best = reduce->src[reduce->nsrc - 1];
  for (int i = reduce->nsrc - 1; i >= 1; --i) {
    if (reduce->src[i]->arg.j > best->arg.j) best = reduce->src[i];
  }
  return best;
}

sum_cut cut_of_sum(arena *a, const uop *reduce, int lanes, int64_t chains) {
  const uop *lane = lanes > 1 ? sum_lane_range(a, reduce, lanes) : NULL;
  sum_cut c = {.chains = 1, .terms = 1, .lanes = lane != NULL ? lanes : 1};
  if (chains == 0 || reduce->nsrc < 2 || !sum_may_reorder(reduce)) return c;
  const uop *r = lane != NULL ? lane : longest_range(reduce);
  int64_t n = r->arg.j;
  c.chains = chains;
  c.terms = terms_at_once(a, reduce);
  while (c.chains > 1 && n < LEAST_TURNS * c.chains * c.terms * c.lanes) c.chains /= 2;
  while (c.terms > 1 && n < LEAST_TURNS * c.chains * c.terms * c.lanes) c.terms /= 2;
  if (c.chains * c.terms * c.lanes > 1) c.range = r;
  return c;
}

static bool holds_sum(arena *a, const uop *term) {
  uop_order own = uop_walk_value(a, term);
  bool found = false;
  for (size_t i = 0; i < own.len && !found; ++i) found = own.at[i]->op == OP_REDUCE;
  return found;
}

bool chains_can_be(arena *a, const uop *value, int lanes, const machine *m) {
  uop_order own = uop_walk_value(a, value);
  int64_t sums = 0;
  bool can = false;
  for (size_t i = 0; i < own.len; ++i) sums += own.at[i]->op == OP_REDUCE;
  int64_t most = m->group > 0 ? 0 : chains_of_sum(SUMS_AT_ONCE, sums);
  for (size_t i = 0; i < own.len && !can; ++i) {
    const uop *u = own.at[i];
    if (u->op != OP_REDUCE) continue;
    can = !holds_sum(a, u->src[0]) && cut_of_sum(a, u, lanes, most).chains > 1;
  }
  return can;
}
