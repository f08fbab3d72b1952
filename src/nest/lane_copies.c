/* Copies of small arrays in which lanes are neighbours.
 *
 * In: stored values whose lanes are a loop of theirs (plan/loops.h), with loads of arrays in which that loop takes far
 * steps: the weights of a depthwise convolution whose channels are in the lanes. Out: the same values, which read such
 * an array from a copy of what they need of it, laid out as [the load's other loops][the lanes' loop]; it is part of
 * the prepared block where it is constant.
 * Always holds: a copy has no more elements than what it is a copy of, so that it is made of what one read of the array
 * is; an array that changes from run to run is copied only where its elements are read many times. Values are the same
 * bits. */
#include "nest/state.h"

enum { LOAD_RANGES = STAGE_RANGES + WN_MAX_DIMS * 2, READS_OF_COPY = 32 };

typedef struct loop_list {
  int n;
  const uop *range[LOAD_RANGES];
} loop_list;

typedef struct copying {
  apply *ap;
  const uop *lane;
  loop_list loops; /* of the value and of its sums; the lanes' last */
  double points;   /* of all of them */
} copying;

static void add_loop(loop_list *l, const uop *range) {
  for (int i = 0; i < l->n; ++i)
    if (l->range[i] == range) return;
  if (l->n < LOAD_RANGES) l->range[l->n++] = range;
}

static double points_of(const loop_list *l) {
  double points = 1;
  for (int i = 0; i < l->n; ++i) points *= (double)l->range[i]->arg.j;
  return points;
}

static copying begin(apply *ap, const uop *b, int lane, const uop_order *own) {
  copying c = {.ap = ap, .lane = b->src[lane + 1]};
  for (int i = 1; i < b->nsrc; ++i)
    if (i != lane + 1) add_loop(&c.loops, b->src[i]);
  for (size_t k = 0; k < own->len; ++k) {
    const uop *u = own->at[k];
    for (int i = 1; u->op == OP_REDUCE && i < u->nsrc; ++i) add_loop(&c.loops, u->src[i]);
  }
  add_loop(&c.loops, c.lane);
  c.points = points_of(&c.loops);
  return c;
}

static loop_list loops_of_load(const copying *c, const uop *load) {
  loop_list l = {0};
  for (int i = 0; i < c->loops.n; ++i)
    if (uop_has_range(load, c->loops.range[i])) add_loop(&l, c->loops.range[i]);
  return l;
}

static bool wants_copy(const copying *c, const uop *load) {
  const apply *ap = c->ap;
  if (load->op != OP_INDEX || load->src[0]->op != OP_BUFFER || !uop_is_int(load->src[1], 1))
    return false;
  if (!uop_has_range(load, c->lane) || index_stride(load, c->lane) == 1) return false;
  loop_list l = loops_of_load(c, load);
  double points = points_of(&l);
  if (l.n != load->free_->len || points > (double)array_elements(load->src[0])) return false;
  bool constant = ap->set->arrays.data[load->src[0]->arg.i].role == ROLE_CONSTANT;
  return (constant && !ap->variable_weights) || c->points >= (double)READS_OF_COPY * points;
}

/* The load, of a copy: [its other loops][lanes]. */
static const uop *copy_of(const copying *c, const uop *load) {
  apply *ap = c->ap;
  graph *g = ap->g;
  loop_list l = loops_of_load(c, load), own = l;
  for (int i = 0; i < l.n; ++i)
    own.range[i] = uop_range(g, l.range[i]->arg.j, uop_range_name(g, l.range[i]));
  const uop *value = uop_replace(g, load, l.n, l.range, own.range);
  bufferize_info info = {
      .name = arena_printf(ap->a, "packed%u", ap->packed.len), .space = SPACE_GLOBAL, .site = -1};
  const uop *array = uop_bufferize(g, simplify(g, value), own.n, own.range, info);
  map_put(&ap->packed, array->id, 1);
  return uop_index(g, array, uop_bool(g, true), l.n, l.range);
}

static const uop *copy_loads(void *user, const uop *b) {
  apply *ap = user;
  uint64_t packed;
  if (b->op != OP_BUFFERIZE || b->arg.info->stage != STAGE_COUNT || b->nsrc - 1 > STAGE_RANGES ||
      map_get(&ap->packed, b->id, &packed) || map_get_ptr(&ap->channel_tiles, b->id) != NULL)
    return b;
  int number = b->arg.info->site;
  if (sums_are_partial(ap, b)) return b;                 /* they read nothing */
  if (number >= 0 && ap->into[number] != NULL) return b; /* tiles of an output transform */
  value_loops l = loops_of_value(ap->a, b, direct_plan(ap, number), ap->machine);
  if (l.lane < 0) return b;
  uop_order own = uop_walk_value(ap->a, b->src[0]);
  copying c = begin(ap, b, l.lane, &own);
  VEC(const uop *) from = {0}, to = {0};
  for (size_t i = 0; i < own.len; ++i) {
    if (!wants_copy(&c, own.at[i])) continue;
    vec_push(ap->a, &from, own.at[i]);
    vec_push(ap->a, &to, copy_of(&c, own.at[i]));
  }
  if (from.len == 0) return b;
  const uop *value = uop_replace(ap->g, b->src[0], (int)from.len, from.data, to.data);
  return uop_bufferize(ap->g, simplify(ap->g, value), b->nsrc - 1, b->src + 1, *b->arg.info);
}

const uop *lanes_copy(apply *ap, const uop *root) {
  if (ap->machine->group > 0) return root; /* neighbouring work items are neighbouring pixels */
  return uop_transform(ap->g, ap->a, root, copy_loads, ap);
}
