/* Loads, stores and masks. In: INDEX nodes over flat arrays. Out: LOAD and STORE instructions.
 *
 * Always holds: an offset that moves linearly with the vector range becomes one access with a stride, the constant part
 * becomes its displacement; anything else is a gather. Masks compare small integers where the bounds allow it. */
#include "kernel/build.h"

typedef struct address {
  const uop *base; /* scalar offset without the constant */
  int64_t disp;
  int64_t stride; /* elements between lanes; 0: the same for all */
  bool gather;    /* base is a vector */
} address;

bool split_lanes(builder *b, const uop *e, const uop **base, int64_t *coeff, int64_t *k) {
  linear_form f;
  *coeff = *k = 0;
  if (!linear_of(e, &f)) return false;
  *k = f.constant;
  f.constant = 0;
  int keep = 0;
  for (int i = 0; i < f.n; ++i) {
    if (f.atom[i] == b->vector) {
      *coeff = f.coeff[i];
      continue;
    }
    if (is_vector(b, f.atom[i])) return false;
    f.atom[keep] = f.atom[i];
    f.coeff[keep++] = f.coeff[i];
  }
  f.n = keep;
  *base = linear_to_uop(b->g, &f);
  return true;
}

static address split_address(builder *b, const uop *flat) {
  address a = {0};
  if (split_lanes(b, flat, &a.base, &a.stride, &a.disp)) return a;
  a.base = uop_addi(b->g, flat, -a.disp);
  a.stride = 0;
  a.gather = is_vector(b, flat);
  return a;
}

conditions conditions_of(arena *a, const uop *cond) {
  VEC(const uop *) stack = {0}, out = {0};
  vec_push(a, &stack, cond);
  while (stack.len > 0) {
    const uop *u = stack.data[--stack.len];
    if (u->op == OP_AND) {
      vec_push(a, &stack, u->src[1]);
      vec_push(a, &stack, u->src[0]);
    } else {
      vec_push(a, &out, u);
    }
  }
  return (conditions){out.data, out.len};
}

/* --- masks ------------------------------------------------------------------------------------------------------------------ */

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
      stack.len--;
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
    stack.len--;
  }
  return v;
}

/* --- accesses ------------------------------------------------------------------------------------------------------------------- */

bool is_multiple(const uop *e, int64_t n) {
  linear_form f;
  if (!linear_of(e, &f) || f.constant % n != 0) return false;
  for (int i = 0; i < f.n; ++i) {
    if (f.coeff[i] % n != 0) return false;
  }
  return true;
}

static void set_address(builder *b, lin_ins *ins, address a) {
  ins->src[0] = a.gather ? emit_vector(b, a.base) : emit(b, a.base);
  ins->disp = a.disp;
  ins->j = a.stride;
  ins->whole = ins->lanes > 1 && !a.gather && a.stride == 1 && a.disp % ins->lanes == 0 &&
               is_multiple(a.base, ins->lanes);
}

/* Every lane the same place, but a mask that differs: an offset per lane. */
static void make_gather(builder *b, lin_ins *ins, address a) {
  if (a.gather || a.stride != 0 || ins->lanes == 1) return;
  ins->src[0] = emit_vector(b, a.base);
  ins->j = 0;
}

enum {
  WORTH_PREFETCHING = 1 << 20, /* bytes: a smaller array stays in the cache anyway */
  LINE_ELEMENTS = 16
};

void prefetch_next(builder *b, const lin_ins *access, int64_t slot, const uop *offset) {
  const array_info *info = &b->set->arrays.data[slot];
  int64_t bytes = info->len * (int64_t)wn_dtype_size(info->dtype);
  bool far = info->role == ROLE_INPUT || info->role == ROLE_RESULT || info->role == ROLE_PREPARED;
  if (b->next == NULL || b->k->group > 0 || !far || bytes < WORTH_PREFETCHING) return;
  int64_t step = linear_coefficient(offset, b->next);
  if (step == 0) return;
  lin_ins ahead = {.op = OP_PREFETCH, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 1};
  ahead.src[0] = access->src[0];
  ahead.i = access->i;
  ahead.j = access->op == OP_STORE;
  ahead.disp = access->disp + step;
  build_ins(b, access->op == OP_STORE ? b->cur : home_of(b, offset), ahead);
}

uint32_t build_load(builder *b, const uop *index) {
  WN_CHECK(index->src[0]->op == OP_BUFFER && index->nsrc == 3, "INDEX of a %s reached a kernel",
           op_table[index->src[0]->op].name);
  bool vector = is_vector(b, index);
  uint32_t grouped;
  if (vector ? load_from_group(b, index, &grouped) : load_from_run(b, index, &grouped))
    return grouped;
  lin_ins ins = {.op = OP_LOAD, .dtype = (uint8_t)register_dtype(index->dtype), .nsrc = 1};
  ins.lanes = (uint16_t)(vector ? b->lanes : 1);
  ins.i = build_array(b, index->src[0]->arg.i);
  address a = split_address(b, index->src[2]);
  set_address(b, &ins, a);
  make_gather(b, &ins, a);
  if (!uop_is_int(index->src[1], 1)) {
    ins.src[1] = vector ? emit_mask(b, index->src[1]) : emit(b, index->src[1]);
    ins.nsrc = 2;
  }
  /* of scalars that are broadcast one after the other, one a line */
  bool starts_line = ins.lanes > 1 ? ins.j == 1 : ins.disp % LINE_ELEMENTS == 0;
  if (starts_line) prefetch_next(b, &ins, index->src[0]->arg.i, index->src[2]);
  return build_ins(b, home_of(b, index), ins);
}

/* What of a condition does not move with the lanes, and what does. */
static void split_mask(builder *b, const uop *mask, const uop **scalar, const uop **lanes) {
  conditions all = conditions_of(b->a, mask);
  for (size_t i = 0; i < all.len; ++i) {
    const uop **part = is_vector(b, all.at[i]) ? lanes : scalar;
    *part = uop_and(b->g, *part, all.at[i]);
  }
}

/* A vector that is not stored at all is branched around: a masked store past the end of an array, though it writes
 * nothing, may cost a trap that the processor handles by itself. */
void build_store(builder *b, int64_t slot, const uop *offset, const uop *value, const uop *mask) {
  lin_ins ins = {.op = OP_STORE, .dtype = WN_DTYPE_COUNT, .nsrc = 2, .lanes = 1};
  address a = split_address(b, offset);
  bool vector = b->vector != NULL && (a.stride != 0 || a.gather);
  const uop *scalar = uop_bool(b->g, true), *lanes = scalar;
  if (vector) ins.lanes = (uint16_t)b->lanes;
  if (mask != NULL) split_mask(b, mask, &scalar, &lanes);
  if (!vector) lanes = mask != NULL ? mask : lanes;
  bool branch = vector && !uop_is_const(scalar);
  ins.i = build_array(b, slot);
  ins.src[1] = vector ? emit_vector(b, value) : emit(b, value);
  if (branch) build_open_if(b, scalar, 1.0);
  set_address(b, &ins, a);
  if (!uop_is_int(lanes, 1)) {
    ins.src[2] = vector ? emit_mask(b, lanes) : emit(b, lanes);
    ins.nsrc = 3;
  }
  build_ins(b, b->cur, ins);
  if (branch) build_close(b);
}
