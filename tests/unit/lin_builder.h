/* Builds small linear kernels for tests, an instruction a call; each returns the instruction's
 * number. */
#ifndef TEST_LIN_BUILDER_H
#define TEST_LIN_BUILDER_H

#include "kernel/linear.h"

typedef struct lin_builder {
  arena *arena;
  lin_kernel *k;
} lin_builder;

static inline lin_builder lb_new(arena *a, const char *name, int64_t grid) {
  lin_builder b = {.arena = a, .k = arena_new(a, lin_kernel)};
  b.k->name = name;
  b.k->grid = grid;
  return b;
}

static inline uint32_t lb_push(lin_builder *b, lin_ins u) {
  vec_push(b->arena, &b->k->ins, u);
  return (uint32_t)b->k->ins.len - 1;
}

/* Arrays. Global ones take the next slot. */
static inline int64_t lb_array(lin_builder *b, uop_space space, wn_dtype dtype, int64_t len) {
  lin_array x = {
      .name = "x", .dtype = dtype, .space = space, .len = len, .read = true, .written = true};
  if (space == SPACE_LOCAL) {
    x.offset = (int64_t)b->k->scratch_bytes;
    b->k->scratch_bytes += ((size_t)len * wn_dtype_size(dtype) + 63) / 64 * 64;
  }
  for (size_t i = 0; i < b->k->arrays.len && space == SPACE_GLOBAL; i++)
    x.slot += b->k->arrays.data[i].space == SPACE_GLOBAL;
  vec_push(b->arena, &b->k->arrays, x);
  return (int64_t)b->k->arrays.len - 1;
}

static inline uint32_t lb_int(lin_builder *b, wn_dtype dtype, int64_t i) {
  return lb_push(b, (lin_ins){.op = OP_CONST, .dtype = (uint8_t)dtype, .lanes = 1, .i = i});
}
static inline uint32_t lb_i64(lin_builder *b, int64_t i) { return lb_int(b, WN_I64, i); }
static inline uint32_t lb_float(lin_builder *b, wn_dtype dtype, int lanes, double f) {
  return lb_push(
      b, (lin_ins){.op = OP_CONST, .dtype = (uint8_t)dtype, .lanes = (uint16_t)lanes, .f = f});
}

/* An operation on up to three values, with the lanes of the last. */
static inline uint32_t lb_op(lin_builder *b, uop_op op, wn_dtype dtype, int n, uint32_t x,
                             uint32_t y, uint32_t z) {
  uint32_t last = n == 1 ? x : n == 2 ? y : z;
  return lb_push(b, (lin_ins){.op = (uint8_t)op,
                              .dtype = (uint8_t)dtype,
                              .lanes = b->k->ins.data[last].lanes,
                              .nsrc = (uint8_t)n,
                              .src = {x, y, z}});
}
static inline uint32_t lb_op1(lin_builder *b, uop_op op, wn_dtype dtype, uint32_t x) {
  return lb_op(b, op, dtype, 1, x, 0, 0);
}
static inline uint32_t lb_op2(lin_builder *b, uop_op op, wn_dtype dtype, uint32_t x, uint32_t y) {
  return lb_op(b, op, dtype, 2, x, y, 0);
}
static inline uint32_t lb_wide(lin_builder *b, uop_op op, wn_dtype dtype, int lanes, int n,
                               uint32_t x) {
  return lb_push(b, (lin_ins){.op = (uint8_t)op,
                              .dtype = (uint8_t)dtype,
                              .lanes = (uint16_t)lanes,
                              .nsrc = (uint8_t)n,
                              .src = {x}});
}
static inline uint32_t lb_splat(lin_builder *b, wn_dtype dtype, int lanes, uint32_t x) {
  return lanes == 1 ? x : lb_wide(b, OP_BROADCAST, dtype, lanes, 1, x);
}
static inline uint32_t lb_extract(lin_builder *b, wn_dtype dtype, uint32_t x, int64_t lane) {
  return lb_push(
      b,
      (lin_ins){
          .op = OP_EXTRACT, .dtype = (uint8_t)dtype, .lanes = 1, .nsrc = 1, .src = {x}, .i = lane});
}
static inline uint32_t lb_shuffle(lin_builder *b, wn_dtype dtype, int lanes, int n, uint32_t x,
                                  uint32_t y, const int64_t *pick) {
  int_list *list = arena_alloc(b->arena, sizeof *list + (size_t)lanes * sizeof list->at[0]);
  list->len = lanes;
  memcpy(list->at, pick, (size_t)lanes * sizeof list->at[0]);
  return lb_push(b, (lin_ins){.op = OP_SHUFFLE,
                              .dtype = (uint8_t)dtype,
                              .lanes = (uint16_t)lanes,
                              .nsrc = (uint8_t)n,
                              .src = {x, y},
                              .list = list});
}

#define LB_NO_MASK UINT32_MAX
static inline uint32_t lb_load(lin_builder *b, int64_t array, int lanes, uint32_t offset,
                               int64_t step, uint32_t mask) {
  wn_dtype dt = b->k->arrays.data[array].dtype;
  if (dt == WN_F16 || dt == WN_BF16) dt = WN_F32;
  bool masked = mask != LB_NO_MASK;
  return lb_push(b, (lin_ins){.op = OP_LOAD,
                              .dtype = (uint8_t)dt,
                              .lanes = (uint16_t)lanes,
                              .nsrc = masked ? 2 : 1,
                              .src = {offset, masked ? mask : 0},
                              .i = array,
                              .j = step});
}
static inline uint32_t lb_store(lin_builder *b, int64_t array, uint32_t offset, uint32_t value,
                                int64_t step, uint32_t mask) {
  bool masked = mask != LB_NO_MASK;
  return lb_push(b, (lin_ins){.op = OP_STORE,
                              .lanes = b->k->ins.data[value].lanes,
                              .nsrc = masked ? 3 : 2,
                              .src = {offset, value, masked ? mask : 0},
                              .i = array,
                              .j = step});
}

/* Gives an access a displacement. */
static inline uint32_t lb_shift(lin_builder *b, uint32_t access, int64_t disp) {
  b->k->ins.data[access].disp = disp;
  return access;
}

static inline uint32_t lb_loop(lin_builder *b, int64_t trips) {
  return lb_push(b, (lin_ins){.op = OP_LOOP, .dtype = WN_I64, .lanes = 1, .i = trips});
}
static inline uint32_t lb_if(lin_builder *b, uint32_t cond) {
  return lb_push(b, (lin_ins){.op = OP_IF, .nsrc = 1, .src = {cond}});
}
static inline uint32_t lb_end(lin_builder *b, uint32_t head) {
  return lb_push(b, (lin_ins){.op = OP_END, .nsrc = 1, .src = {head}});
}
static inline uint32_t lb_grid(lin_builder *b) {
  return lb_push(b, (lin_ins){.op = OP_GRID, .dtype = WN_I64, .lanes = 1});
}
static inline uint32_t lb_iota(lin_builder *b, int lanes) {
  return lb_push(b, (lin_ins){.op = OP_IOTA, .dtype = WN_I64, .lanes = (uint16_t)lanes});
}

/* y[grid * lanes ...] = op(x0[...], x1[...], x2[...]): one block handles `lanes` elements. Slots:
 * inputs, then y. */
static inline lin_builder lb_elementwise(arena *a, const char *name, uop_op op, wn_dtype in,
                                         wn_dtype out, int nsrc, int lanes, int64_t grid) {
  lin_builder b = lb_new(a, name, grid);
  uint32_t x[3] = {0}, block = lb_grid(&b), width = lb_i64(&b, lanes);
  uint32_t at = lb_op2(&b, OP_MUL, WN_I64, block, width);
  for (int s = 0; s < nsrc; s++) {
    wn_dtype dt = op == OP_WHERE && s == 0 ? WN_BOOL : in;
    x[s] = lb_load(&b, lb_array(&b, SPACE_GLOBAL, dt, grid * lanes), lanes, at, 1, LB_NO_MASK);
  }
  uint32_t y = lb_op(&b, op, out, nsrc, x[0], x[1], x[2]);
  lb_store(&b, lb_array(&b, SPACE_GLOBAL, out, grid * lanes), at, y, 1, LB_NO_MASK);
  return b;
}

#endif
