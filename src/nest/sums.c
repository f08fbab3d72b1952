/* Long sums: partial sums side by side.
 *
 * In: a value that a nest stores, with sums in it that are one chain each. Out: the same value with the terms of a long
 * sum dealt out to several accumulators, and to the lanes of vectors where the nest's own loops are not in the lanes
 * and the terms are neighbours in memory; their sums are added in pairs at the end. What is left over, less than a
 * vector for each accumulator, is summed by itself. To how many is said by plan/chains.h. How blocks of each chain
 * become a tree is kernel/reduce.c's business; here is said which chains are to be short.
 * Always holds: a sum has the terms that it had, each once. */
#include "rewrite/rebuild.h"
#include "nest/state.h"

enum { SHORT_CHAIN = 16 /* additions in a row where loads bind, so that blocks may end often */ };

typedef struct dealer {
  apply *ap;
  const uop *lane; /* RANGE of the lanes, NULL: there are none */
  int lanes;
  int64_t chains; /* of each sum */
} dealer;

/* A loop that stands for so much of loop `of` (-1: for none) wherever that is dealt out, so that sums which are dealt
 * out alike go through the same. */
static const uop *common_loop(apply *ap, int64_t of, int64_t count, const char *name) {
  map *known = map_get_ptr(&ap->turns, (uint64_t)(of + 1));
  if (known == NULL) {
    known = arena_new(ap->a, map);
    map_init(known, ap->a);
    map_put_ptr(&ap->turns, (uint64_t)(of + 1), known);
  }
  const uop *loop = map_get_ptr(known, (uint64_t)count);
  if (loop == NULL) map_put_ptr(known, (uint64_t)count, loop = uop_range(ap->g, count, name));
  return loop;
}

/* The loop over `count` turns of what was range r; no loop where there is one. */
static const uop *turns_of(dealer *d, const uop *r, int64_t count) {
  if (count == 1) return uop_int(d->ap->g, 0);
  const uop *turn = common_loop(d->ap, r->arg.i, count, uop_range_name(d->ap->g, r));
  map_put(&d->ap->set->chains, (uint64_t)turn->arg.i, SHORT_CHAIN);
  return turn;
}

/* The sum of `term` over the loops of `reduce`, with `turn` in the place of r. */
static const uop *sum_over(dealer *d, const uop *reduce, const uop *r, const uop *turn,
                           const uop *term) {
  const uop *range[WN_MAX_DIMS * 2];
  int n = 0;
  for (int i = 1; i < reduce->nsrc; ++i) {
    if (reduce->src[i] != r)
      range[n++] = reduce->src[i];
    else if (turn->op == OP_RANGE)
      range[n++] = turn;
  }
  return uop_reduce(d->ap->g, (uop_op)reduce->arg.i, term, n, range);
}

/* `count` terms of r, `step` from each to the next, from `first` on. */
static const uop *part_of(dealer *d, const uop *reduce, const uop *r, int64_t count, int64_t step,
                          const uop *first) {
  graph *g = d->ap->g;
  const uop *turn = turns_of(d, r, count), *at = uop_add(g, uop_muli(g, turn, step), first);
  return sum_over(d, reduce, r, turn, uop_replace(g, reduce->src[0], 1, &r, &at));
}

static const uop *in_pairs(dealer *d, const uop *reduce, const uop *const *part, int64_t n) {
  if (n == 1) return part[0];
  const uop *half = in_pairs(d, reduce, part, n / 2);
  return uop_alu2(d->ap->g, (uop_op)reduce->arg.i, half,
                  in_pairs(d, reduce, part + n / 2, n - n / 2));
}

static const uop *deal_out(dealer *d, const uop *reduce, const sum_cut *c) {
  graph *g = d->ap->g;
  uop_op op = (uop_op)reduce->arg.i;
  const uop *r = c->range;
  int64_t n = r->arg.j, lanes = c->lanes, copies = c->chains, terms = c->terms;
  int64_t step = copies * terms * lanes, turns = n / step,
          vectors = n / lanes - turns * copies * terms;
  int64_t rest = n % lanes;
  const uop *part[SUMS_AT_ONCE], *term[TERMS_AT_ONCE];
  const uop *lane = lanes > 1 ? d->lane : uop_int(g, 0), *turn = turns_of(d, r, turns);
  for (int64_t i = 0; i < copies; ++i) {
    for (int64_t k = 0; k < terms; ++k) {
      const uop *at =
          uop_addi(g, uop_add(g, uop_muli(g, turn, step), lane), (k * copies + i) * lanes);
      term[k] = uop_replace(g, reduce->src[0], 1, &r, &at);
    }
    part[i] = sum_over(d, reduce, r, turn, in_pairs(d, reduce, term, terms));
  }
  const uop *sum = in_pairs(d, reduce, part, copies);
  if (vectors > 0) {
    const uop *from = uop_addi(g, lane, turns * step);
    sum = uop_alu2(g, op, sum, part_of(d, reduce, r, vectors, lanes, from));
  }
  if (lanes > 1) sum = uop_reduce(g, op, sum, 1, &d->lane);
  return rest > 0 ? uop_alu2(g, op, sum, part_of(d, reduce, r, rest, 1, uop_int(g, n - rest)))
                  : sum;
}

static const uop *deal_sum(dealer *d, const uop *reduce) {
  if (!sum_is_of_products(reduce->src[0])) {
    for (int i = 1; i < reduce->nsrc; ++i)
      map_put(&d->ap->set->chains, (uint64_t)reduce->src[i]->arg.i, SHORT_CHAIN);
  }
  sum_cut c = cut_of_sum(d->ap->a, reduce, d->lanes, d->chains);
  return c.range != NULL ? deal_out(d, reduce, &c) : reduce;
}

const uop *sums_deal_out(apply *ap, const uop *value, int lanes, int64_t chains, const uop **lane) {
  dealer d = {.ap = ap, .lanes = lanes};
  uop_order own = uop_walk_value(ap->a, value);
  int64_t sums = 0;
  for (size_t i = 0; i < own.len; ++i) sums += own.at[i]->op == OP_REDUCE;
  d.chains = chains_of_sum(chains, sums);
  if (lanes > 1) d.lane = common_loop(ap, -1, lanes, "lane");
  map done, inner; /* node id -> what stands for it; node id -> 1: it has a sum of sums in it */
  map_init(&done, ap->a);
  map_init(&inner, ap->a);
  VEC(const uop *) src = {0};
  for (size_t i = 0; i < own.len; ++i) {
    const uop *u = own.at[i], *now = u;
    uint64_t inside = 0, known;
    src.len = 0;
    for (int s = 0; s < u->nsrc && u->op != OP_BUFFERIZE; ++s) {
      vec_push(ap->a, &src, map_get_ptr(&done, u->src[s]->id));
      if (map_get(&inner, u->src[s]->id, &known)) inside = 1;
    }
    if (u->op != OP_BUFFERIZE) now = uop_rebuild(ap->g, u, src.data);
    if (u->op == OP_REDUCE && inside == 0) now = deal_sum(&d, now);
    if (inside > 0 || u->op == OP_REDUCE) map_put(&inner, u->id, 1);
    map_put_ptr(&done, u->id, now);
  }
  if (d.lane != NULL) map_put(&ap->set->kinds, (uint64_t)d.lane->arg.i, AXIS_VECTOR);
  *lane = d.lane;
  return map_get_ptr(&done, value->id);
}
