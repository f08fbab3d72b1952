/* The products of devices whose work items multiply small matrices together, and what they sum at once elsewhere.
 *
 * In: the sum of a product of two arrays over channels. Out: whether its tiles are such matrices; the sum with the channels
 * that are taken at once in a loop of their own, innermost.
 * Always holds: where tiles are matrices, all of them are whole: arrays are padded to them, nothing is masked, and the
 * channels of each partial sum are blocks of as many. */
#include "nest/apply.h"

static bool is_whole_read(const uop *u) {
  return u->op == OP_INDEX && u->dtype == WN_F32 && uop_is_int(u->src[1], 1);
}

/* Are all innermost sums of products over multiples of `side` channels? */
static bool sums_fit(const uop *v, int64_t side) {
  if (v->op == OP_ADD) return sums_fit(v->src[0], side) && sums_fit(v->src[1], side);
  if (v->op != OP_REDUCE || v->arg.i != OP_ADD || v->nsrc != 2) return false;
  if (v->src[0]->op == OP_REDUCE) return sums_fit(v->src[0], side);
  const uop *product = v->src[0];
  return product->op == OP_MUL && is_whole_read(product->src[0]) &&
         is_whole_read(product->src[1]) && v->src[1]->arg.j % side == 0;
}

/* Stored where other blocks write beside this one: what they read and write is masked. */
static bool shares_array(const apply *ap, const stage *m) {
  const stage *x = stage_find(ap, m->site, STAGE_X), *g = stage_find(ap, m->site, STAGE_G);
  const stage *all[] = {m, x, g};
  for (int i = 0; i < 3; ++i) {
    if (all[i] == NULL || (all[i]->inside && all[i]->space == SPACE_GLOBAL)) return true;
  }
  return false;
}

/* Is there room for local arrays of whole matrices? */
static bool has_room(const apply *ap, const stage *m, int64_t k, int64_t t) {
  const wino_site *ws = &ap->w->site[m->site];
  const stage_plan *plan = m->plan->stage;
  int64_t tiles = round_up(t, ap->machine->matrix), elements = 0;
  if (plan[STAGE_X].space == SPACE_LOCAL) elements += ws->C * tiles;
  if (plan[STAGE_G].space == SPACE_LOCAL) elements += ws->C * k;
  if (plan[STAGE_M].space == SPACE_LOCAL) elements += k * tiles;
  size_t bytes = (size_t)(elements * site_frequencies(ws)) * sizeof(float);
  return ap->machine->local_bytes == 0 || bytes <= ap->machine->local_bytes;
}

bool matrix_fits(const apply *ap, const stage *m, int64_t k, int64_t t, int64_t k_asked,
                 int64_t t_asked) {
  int64_t side = ap->machine->matrix;
  if (m->node->dtype != WN_F32 || !matrix_wanted(m->plan, ap->machine, &ap->w->site[m->site]) ||
      shares_array(ap, m))
    return false;
  bool asked = (k_asked > 0 && k_asked != side) || (t_asked > 0 && t_asked != side);
  return !asked && has_room(ap, m, k, t) && k % side == 0 && t >= side &&
         sums_fit(m->node->src[0], side);
}

static const uop *over_blocks(apply *ap, const uop *sum, int64_t side) {
  graph *g = ap->g;
  const uop *c = sum->src[1], *turn[] = {NULL, uop_range(g, side, "c2")};
  bool turns = c->arg.j > side;
  if (turns) turn[0] = uop_range(g, c->arg.j / side, "c1");
  const uop *at = turns ? uop_add(g, uop_muli(g, turn[0], side), turn[1]) : turn[1];
  map_put(&ap->set->kinds, (uint64_t)turn[1]->arg.i, AXIS_UNROLL);
  const uop *body = uop_replace(g, sum->src[0], 1, &c, &at);
  return uop_reduce(g, OP_ADD, body, turns ? 2 : 1, turns ? turn : turn + 1);
}

const uop *matrix_sum(apply *ap, const uop *v) {
  if (v->op == OP_ADD) return uop_add(ap->g, matrix_sum(ap, v->src[0]), matrix_sum(ap, v->src[1]));
  if (v->src[0]->op == OP_REDUCE)
    return uop_reduce(ap->g, OP_ADD, matrix_sum(ap, v->src[0]), 1, &v->src[1]);
  return over_blocks(ap, v, ap->machine->matrix);
}

const uop *several_at_once(apply *ap, const uop *sum) {
  if (ap->machine->group == 0 || sum->op != OP_REDUCE || sum->nsrc != 2) return sum;
  const uop *c = sum->src[1];
  if (sum->src[0]->op == OP_REDUCE)
    return uop_reduce(ap->g, (uop_op)sum->arg.i, several_at_once(ap, sum->src[0]), 1, &c);
  return c->arg.j % CHANNELS_AT_ONCE != 0 || c->arg.j == CHANNELS_AT_ONCE
             ? sum
             : over_blocks(ap, sum, CHANNELS_AT_ONCE);
}
