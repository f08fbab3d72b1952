/* The products of devices whose work items multiply small matrices together, and what they sum at once elsewhere.
 *
 * In: the sum of a product of two arrays over channels. Out: whether its tiles are such matrices; the sum with the
 * channels that are taken at once in a loop of their own, innermost.
 * Always holds: where tiles are matrices, all of them are whole: arrays are padded to them, nothing is masked, and the
 * channels of each partial sum are blocks of as many. */
#include "nest/state.h"

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
