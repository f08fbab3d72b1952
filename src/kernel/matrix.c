/* Bodies of nests whose products are 8 x 8 matrices.
 *
 * In: a nest with `matrix` set, its outer axes open: sums over blocks of channels of products of two arrays, or one
 * number.
 * Out: loads, products and a store of whole matrices, which neighbouring work items hold together.
 * Always holds: rows are the nest's first unrolled axis, columns its second; offsets are linear in both and in the
 * channel of a block, which the schedule has seen to; partial sums have matrices of their own and are added at the end.
 * */
#include "kernel/build.h"

typedef struct matrix_axes {
  const uop *row, *column;
} matrix_axes;

static uint32_t filled(builder *b, double value) {
  lin_ins ins = {
      .op = OP_CONST, .dtype = WN_F32, .lanes = MATRIX_CELLS, .matrix = true, .f = value};
  return build_ins(b, b->cur, ins);
}

static uint32_t variable(builder *b, double value) {
  lin_ins ins = {.op = OP_ACC, .dtype = WN_F32, .lanes = MATRIX_CELLS, .matrix = true, .nsrc = 1};
  ins.src[0] = filled(b, value);
  return build_ins(b, b->cur, ins);
}

static void set_variable(builder *b, uint32_t acc, uint32_t value) {
  lin_ins set = {.op = OP_ACC_SET, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 2};
  set.src[0] = acc;
  set.src[1] = value;
  build_ins(b, b->cur, set);
}

static uint32_t sum_of(builder *b, uint32_t x, uint32_t y) {
  lin_ins add = {.op = OP_ADD,
                 .dtype = WN_F32,
                 .lanes = MATRIX_CELLS,
                 .matrix = true,
                 .nsrc = 2,
                 .src = {x, y}};
  return build_ins(b, b->cur, add);
}

/* Where a matrix is: the array and the place of its first element. */
static void set_place(builder *b, lin_ins *ins, int64_t slot, const uop *offset, matrix_axes m) {
  const uop *from[] = {m.row, m.column}, *zero = uop_int(b->g, 0), *to[] = {zero, zero};
  int64_t by_row = linear_coefficient(offset, m.row),
          by_column = linear_coefficient(offset, m.column);
  WN_CHECK(by_row == 1 || by_column == 1, "neither rows nor columns of a matrix are contiguous");
  ins->transposed = by_column != 1;
  ins->j = ins->transposed ? by_column : by_row;
  ins->i = build_array(b, slot);
  ins->src[0] = emit(b, simplify(b->g, uop_replace(b->g, offset, 2, from, to)));
}

static uint32_t load(builder *b, int64_t slot, const uop *offset, matrix_axes m) {
  lin_ins ins = {
      .op = OP_MATRIX_LOAD, .dtype = WN_F32, .lanes = MATRIX_CELLS, .matrix = true, .nsrc = 1};
  set_place(b, &ins, slot, offset, m);
  return build_ins(b, b->cur, ins);
}

static uint32_t load_operand(builder *b, const uop *index, matrix_axes m) {
  WN_CHECK(index->op == OP_INDEX && uop_is_int(index->src[1], 1), "a matrix is read in parts");
  return load(b, index->src[0]->arg.i, index->src[2], m);
}

/* acc += the products of a block of channels: one operand moves with the rows, the other with the columns. */
static void multiply(builder *b, const uop *product, const uop *channel, matrix_axes m,
                     uint32_t acc) {
  WN_CHECK(product->op == OP_MUL, "a matrix of a %s", op_table[product->op].name);
  const uop *left = product->src[0], *right = product->src[1];
  if (uop_has_range(left, m.column)) left = product->src[1], right = product->src[0];
  lin_ins ins = {
      .op = OP_MATRIX_MULADD, .dtype = WN_F32, .lanes = MATRIX_CELLS, .matrix = true, .nsrc = 3};
  ins.src[0] = load_operand(b, left, (matrix_axes){m.row, channel});
  ins.src[1] = load_operand(b, right, (matrix_axes){channel, m.column});
  ins.src[2] = acc;
  set_variable(b, acc, build_ins(b, b->cur, ins));
}

/* The value of a sum as schedule_apply leaves it: sums of sums, and innermost over turns and the channels of a block.
 * */
static uint32_t emit_sum(builder *b, const uop *value, matrix_axes m) {
  if (value->op == OP_CONST) return filled(b, value->arg.f);
  if (value->op == OP_ADD) {
    uint32_t first = emit_sum(b, value->src[0], m);
    return sum_of(b, first, emit_sum(b, value->src[1], m));
  }
  WN_CHECK(value->op == OP_REDUCE && value->arg.i == OP_ADD, "a matrix is no sum");
  const uop *inner = value->src[0];
  bool partial = inner->op == OP_REDUCE;
  int loops = partial ? value->nsrc : value->nsrc - 1; /* the last RANGE is the block's */
  uint32_t acc = variable(b, 0);
  for (int i = 1; i < loops; ++i) build_open_loop(b, value->src[i]);
  if (partial)
    set_variable(b, acc, sum_of(b, acc, emit_sum(b, inner, m)));
  else
    multiply(b, inner, value->src[value->nsrc - 1], m, acc);
  for (int i = 1; i < loops; ++i) build_close(b);
  return acc;
}

void emit_matrix(builder *b, const nest *n, bool adds) {
  int last = n->naxes - 1;
  const nest_store *to = &n->store[0];
  WN_CHECK(
      last >= 1 && n->nstores == 1 && to->mask == NULL && n->axis[last - 1].kind == AXIS_UNROLL,
      "a nest of matrices without their axes");
  matrix_axes m = {n->axis[last - 1].range, n->axis[last].range};
  uint32_t value = emit_sum(b, to->value, m);
  if (adds) value = sum_of(b, load(b, to->array, to->offset, m), value);
  lin_ins store = {.op = OP_MATRIX_STORE, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 2};
  set_place(b, &store, to->array, to->offset, m);
  store.src[1] = value;
  build_ins(b, b->cur, store);
}
