/* Conditions of lanes. In: conditions of the range IR. Out: the instruction that holds a bool a lane.
 *
 * Always holds: what moves with the vector range is compared as small integers where the bounds allow it; a condition
 * is computed once for each number of lanes, in the outermost scope in which it can stand. */
#include "kernel/build.h"

/* An integer that moves linearly with the vector range, in 32 bits: base + stride * lane. 0 where it does not fit. */
static uint32_t narrow_vector(builder *b, const uop *e) {
  const int64_t bound = INT32_MAX / 2;
  if (e->vmin < -bound || e->vmax > bound) return 0;
  address a = split_address(b, e);
  if (a.gather) return 0;
  const uop *base = uop_addi(b->g, a.base, a.disp);
  if (base->vmin < -bound || base->vmax > bound) return 0;
  const uop *key = uop_cast(b->g, WN_I32, base);
  uint32_t scalar = emit_vector(b, key);
  if (a.stride == 0) return scalar;
  scope *top = b->top;
  const uop *lane_key = uop_new(b->g, OP_CAST, WN_I32, 1, &b->vector, (uop_arg){.i = a.stride});
  uint64_t known;
  uint32_t lanes;
  if (map_get(&top->values, lane_key->id, &known)) {
    lanes = (uint32_t)known;
  } else {
    lanes =
        build_ins(b, top, (lin_ins){.op = OP_IOTA, .dtype = WN_I32, .lanes = (uint16_t)b->lanes});
    if (a.stride != 1) {
      uint32_t k = build_ins(
          b, top,
          (lin_ins){.op = OP_CONST, .dtype = WN_I32, .lanes = (uint16_t)b->lanes, .i = a.stride});
      lin_ins mul = {
          .op = OP_MUL, .dtype = WN_I32, .lanes = (uint16_t)b->lanes, .nsrc = 2, .src = {lanes, k}};
      lanes = build_ins(b, top, mul);
    }
    map_put(&top->values, lane_key->id, lanes);
  }
  if (uop_is_int(base, 0)) return lanes;
  lin_ins sum = {.op = OP_ADD,
                 .dtype = WN_I32,
                 .lanes = (uint16_t)b->lanes,
                 .nsrc = 2,
                 .src = {lanes, scalar}};
  return build_ins(b, home_of(b, e), sum);
}

/* A mask is another view of the node than emit's, and one for each number of lanes: its key is past any node's id. */
static bool mask_known(builder *b, const uop *u, uint32_t *v) {
  uint64_t known;
  if (!map_get(&home_of(b, u)->values, (uint64_t)u->id + ((uint64_t)b->lanes << 40), &known))
    return false;
  *v = (uint32_t)known;
  return true;
}

static uint32_t mask_leaf(builder *b, const uop *u) {
  if (!is_vector(b, u) || u->op != OP_LT || u->src[0]->dtype != WN_I64) return emit_vector(b, u);
  uint32_t x = narrow_vector(b, u->src[0]), y = x ? narrow_vector(b, u->src[1]) : 0;
  if (y == 0) return emit_vector(b, u);
  lin_ins lt = {
      .op = OP_LT, .dtype = WN_BOOL, .lanes = (uint16_t)b->lanes, .nsrc = 2, .src = {x, y}};
  return build_ins(b, home_of(b, u), lt);
}

/* Conditions joined by and and or, as many as there are, with a stack of its own. */
uint32_t emit_mask(builder *b, const uop *valid) {
  if (b->lanes == 1) return emit(b, valid);
  VEC(const uop *) stack = {0};
  uint32_t v = 0;
  vec_push(b->a, &stack, valid);
  while (stack.len > 0) {
    const uop *u = stack.data[stack.len - 1];
    bool joins = is_vector(b, u) && (u->op == OP_AND || u->op == OP_OR);
    uint32_t part[2] = {0};
    int missing = 0;
    if (mask_known(b, u, &v)) {
      --stack.len;
      continue;
    }
    while (joins && missing < 2 && mask_known(b, u->src[missing], &part[missing])) ++missing;
    if (joins && missing < 2) {
      vec_push(b->a, &stack, u->src[missing]);
      continue;
    }
    lin_ins both = {.op = u->op, .dtype = WN_BOOL, .lanes = (uint16_t)b->lanes, .nsrc = 2};
    memcpy(both.src, part, sizeof part);
    v = joins ? build_ins(b, home_of(b, u), both) : mask_leaf(b, u);
    map_put(&home_of(b, u)->values, (uint64_t)u->id + ((uint64_t)b->lanes << 40), v);
    --stack.len;
  }
  return v;
}
