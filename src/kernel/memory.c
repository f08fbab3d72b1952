/* Loads and stores. In: INDEX nodes over flat arrays. Out: LOAD and STORE instructions.
 *
 * Always holds: an offset that moves linearly with the vector range becomes one access with a stride, the constant part
 * becomes its displacement; anything else is a gather. */
#include "kernel/build.h"

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
  condition_list all = conditions_of(b->a, mask);
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
  if (branch) emit_open_if(b, scalar, 1.0);
  set_address(b, &ins, a);
  if (!uop_is_int(lanes, 1)) {
    ins.src[2] = vector ? emit_mask(b, lanes) : emit(b, lanes);
    ins.nsrc = 3;
  }
  build_ins(b, b->cur, ins);
  if (branch) build_close(b);
}
