/* Expressions. In: a scalar expression over open loops. Out: the instruction that holds its value.
 *
 * Always holds: an expression that depends on the vector range has b->lanes lanes, every other one is scalar and is
 * broadcast where it meets a vector. Sums of integers are added from the outermost loop's terms inwards, the constant
 * last, so that what is invariant in a loop is computed outside it. */
#include <math.h>

#include "kernel/build.h"

bool is_vector(const builder *b, const uop *u) {
  return b->vector != NULL && uop_has_range(u, b->vector);
}

/* --- where an expression can stand ------------------------------------------------------------ */

static int range_depth(builder *b, int64_t number) {
  uint64_t d;
  return map_get(&b->loops, (uint64_t)number, &d) ? (int)d - 1 : 0;
}

/* The deepest scope that fills an array read under u: the read has to come after. */
static int read_depth(builder *b, const uop *u) {
  if (b->array_depth.len == 0) return 0;
  uint64_t known;
  if (map_get(&b->local_reads, u->id, &known)) return (int)known;
  const uop *roots[] = {u};
  uop_order all = uop_toposort(b->a, 1, roots);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *v = all.at[i];
    uint64_t depth = 0, d;
    if (map_get(&b->local_reads, v->id, &d)) continue;
    if (v->op == OP_BUFFER) map_get(&b->array_depth, (uint64_t)v->arg.i, &depth);
    for (int s = 0; s < v->nsrc; ++s) {
      map_get(&b->local_reads, v->src[s]->id, &d);
      if (d > depth) depth = d;
    }
    map_put(&b->local_reads, v->id, depth);
  }
  map_get(&b->local_reads, u->id, &known);
  return (int)known;
}

scope *home_of(builder *b, const uop *u) {
  int depth = read_depth(b, u);
  for (int i = 0; i < u->free_->len; ++i) {
    int d = range_depth(b, u->free_->at[i]);
    if (d > depth) depth = d;
  }
  scope *s = b->cur;
  while (s->depth > depth) s = s->parent;
  return s;
}

/* --- instructions ----------------------------------------------------------------------------- */

static uint32_t splat(builder *b, scope *home, uint32_t scalar) {
  uint64_t known,
      key = scalar | (uint64_t)b->lanes
                         << 32; /* nests of one kernel have vectors of different lanes */
  if (map_get(&home->splats, key, &known)) return (uint32_t)known;
  lin_ins ins = b->pool.data[scalar];
  lin_ins v = {.op = OP_BROADCAST,
               .dtype = ins.dtype,
               .lanes = (uint16_t)b->lanes,
               .nsrc = 1,
               .src = {scalar}};
  if (ins.op == OP_CONST) {
    v = ins;
    v.lanes = (uint16_t)b->lanes;
  }
  uint32_t id = build_ins(b, home, v);
  map_put(&home->splats, key, id);
  return id;
}

uint32_t emit_vector(builder *b, const uop *u) {
  uint32_t v = emit(b, u);
  if (b->lanes == 1 || b->pool.data[v].lanes > 1) return v;
  return splat(b, home_of(b, u), v);
}

static uint32_t operand(builder *b, const uop *u, bool vector) {
  return vector ? emit_vector(b, u) : emit(b, u);
}

static uint32_t emit_const(builder *b, scope *home, const uop *u) {
  lin_ins ins = {.op = OP_CONST, .dtype = (uint8_t)register_dtype(u->dtype), .lanes = 1};
  if (dtype_is_float(u->dtype))
    ins.f = u->arg.f;
  else
    ins.i = u->arg.i;
  return build_ins(b, home, ins);
}

static uint32_t emit_range(builder *b, scope *home, const uop *u) {
  uint64_t known;
  if (map_get(&b->range_values, (uint64_t)u->arg.i, &known)) return (uint32_t)known;
  WN_CHECK(u == b->vector, "the loop %s is not open", uop_range_name(b->g, u));
  return build_ins(b, home, (lin_ins){.op = OP_IOTA, .dtype = WN_I64, .lanes = (uint16_t)b->lanes});
}

static bool is_number(const uop *u, double v) { return u->op == OP_CONST && u->arg.f == v; }

/* Which of two products is fused with the other must not depend on the order of nodes, which schedules change, and bits
 * with
 * it: the one with the larger constant factor, 1 or -1; 0: neither, so that both are rounded. */
static int fused_product(const uop *x, const uop *y) {
  if (x->src[1]->op != OP_CONST || y->src[1]->op != OP_CONST) return 0;
  double a = x->src[1]->arg.f, b = y->src[1]->arg.f;
  if (fabs(a) != fabs(b)) return fabs(a) > fabs(b) ? 1 : -1;
  return a == b ? 0 : a > b ? 1 : -1;
}

/* a + b for floats: fused where a term is a product; a - b where the factor is -1. */
static void plan_sum(const builder *b, emit_frame *f) {
  const uop *x = f->u->src[0], *y = f->u->src[1];
  if (x->op != OP_MUL ||
      (y->op == OP_MUL && !is_number(y->src[1], -1) && is_number(x->src[1], -1))) {
    const uop *t = x;
    x = y;
    y = t;
  }
  bool products =
      x->op == OP_MUL && y->op == OP_MUL && !is_number(y->src[1], -1) && !is_number(x->src[1], -1);
  int which = products ? fused_product(x, y) : 1;
  if (which < 0) {
    const uop *t = x;
    x = y;
    y = t;
  }
  f->src[0] = x;
  f->src[1] = y;
  if (x->op == OP_MUL && is_number(x->src[1], -1)) {
    f->ins.op = OP_SUB;
    f->src[0] = y;
    f->src[1] = x->src[0];
  } else if (x->op == OP_MUL && which != 0 && b->opt->fma) {
    f->ins.op = OP_FMA;
    f->ins.nsrc = 3;
    f->src[0] = x->src[0];
    f->src[1] = x->src[1];
    f->src[2] = y;
  }
}

/* The sum with its terms in order of the scope in which they can stand. */
static const uop *ordered_sum(builder *b, const uop *u) {
  linear_form f;
  if (u->dtype != WN_I64 || !linear_of(u, &f) || f.n + (f.constant != 0) < 3) return u;
  for (int i = 1; i < f.n; ++i) {
    for (int j = i; j > 0 && home_of(b, f.atom[j])->depth < home_of(b, f.atom[j - 1])->depth; --j) {
      const uop *a = f.atom[j];
      int64_t c = f.coeff[j];
      f.atom[j] = f.atom[j - 1], f.coeff[j] = f.coeff[j - 1];
      f.atom[j - 1] = a, f.coeff[j - 1] = c;
    }
  }
  const uop *sum = NULL;
  for (int i = 0; i < f.n; ++i) {
    const uop *term = uop_muli(b->g, f.atom[i], f.coeff[i]);
    sum = sum != NULL ? uop_add(b->g, sum, term) : term;
  }
  return uop_addi(b->g, sum, f.constant);
}

/* What an operation becomes, and of what. */
static emit_frame plan_alu(builder *b, const uop *u) {
  emit_frame f = {
      .u = u, .vector = is_vector(b, u), .ins = {.op = u->op, .nsrc = (uint8_t)u->nsrc}};
  WN_CHECK(u->nsrc <= 3, "%s has %d operands", op_table[u->op].name, u->nsrc);
  for (int i = 0; i < u->nsrc; ++i) f.src[i] = u->src[i];
  if (u->op == OP_ADD && dtype_is_float(u->dtype)) {
    plan_sum(b, &f);
  } else if (u->op == OP_MUL && is_number(u->src[1], -1) && dtype_is_float(u->dtype)) {
    f.ins.op = OP_NEG;
    f.ins.nsrc = 1;
  } else if (u->op == OP_CAST && register_dtype(u->dtype) == register_dtype(u->src[0]->dtype)) {
    f.same = true;
  }
  f.ins.dtype = (uint8_t)register_dtype(u->dtype);
  f.ins.lanes = (uint16_t)(f.vector ? b->lanes : 1);
  return f;
}

static void keep_value(builder *b, const uop *u, uint32_t v) {
  map_put(&home_of(b, u)->values, u->id, v);
  b->wide |= u->dtype == WN_I64 && (u->vmin < INT32_MIN || u->vmax > INT32_MAX);
}

static const char *range_in(const builder *b, const uop *u) {
  while (u->op != OP_RANGE && u->nsrc > 0) {
    int s = 0;
    while (s + 1 < u->nsrc && u->src[s]->free_->len == 0) ++s;
    u = u->src[s];
  }
  return u->op == OP_RANGE ? uop_range_name(b->g, u) : "its index";
}

static bool is_known(builder *b, const uop *u, uint32_t *v) {
  uint64_t known;
  if (!map_get(&home_of(b, u)->values, u->id, &known)) return false;
  *v = (uint32_t)known;
  return true;
}

/* Begins u: what needs no operands is there at once, an operation waits for its own. */
static void begin(builder *b, const uop *u) {
  const uop *sum = u->op == OP_ADD ? ordered_sum(b, u) : u;
  if (sum != u) {
    emit_frame f = {.u = u, .src = {sum}, .ins.nsrc = 1, .same = true};
    vec_push(b->a, &b->frames, f);
  } else if (op_table[u->op].flags & UOP_ALU) {
    vec_push(b->a, &b->frames, plan_alu(b, u));
  } else if (u->op == OP_CONST) {
    keep_value(b, u, emit_const(b, home_of(b, u), u));
  } else if (u->op == OP_RANGE) {
    keep_value(b, u, emit_range(b, home_of(b, u), u));
  } else if (u->op == OP_INDEX) {
    keep_value(b, u, b->load(b, u));
  } else if (u->op == OP_GET) {
    diag_fail(b->g->diag, WN_ERR_REFUSED,
              "kernel %s: a transform gives all its values at once, but %s here is a loop that "
              "takes one at a time: "
              "place x and g inline or global, or m local or reg",
              b->k->stage, range_in(b, u->src[1]));
  } else {
    diag_panic(__FILE__, __LINE__, "%s reached a kernel", op_table[u->op].name);
  }
}

/* Operands first, each followed by its broadcast, with a stack of its own. */
uint32_t emit(builder *b, const uop *u) {
  uint32_t v;
  if (is_known(b, u, &v)) return v;
  size_t bottom = b->frames.len;
  begin(b, u);
  while (b->frames.len > bottom) {
    emit_frame *f = &b->frames.data[b->frames.len - 1];
    if (f->next == f->ins.nsrc) {
      emit_frame done = *f;
      --b->frames.len;
      keep_value(b, done.u,
                 done.same ? done.ins.src[0] : build_ins(b, home_of(b, done.u), done.ins));
    } else if (is_known(b, f->src[f->next], &v)) {
      f->ins.src[f->next] = operand(b, f->src[f->next], f->vector);
      ++f->next;
    } else {
      begin(b, f->src[f->next]);
    }
  }
  bool known = is_known(b, u, &v);
  WN_CHECK(known, "%s has no value", op_table[u->op].name);
  return v;
}

/* A product with what padding gives: it adds nothing. */
static bool adds_nothing(uop_op op, const uop *value) {
  return op == OP_ADD && value->op == OP_MUL && dtype_is_float(value->dtype) &&
         (is_number(value->src[0], 0) || is_number(value->src[1], 0));
}

uint32_t emit_accumulate(builder *b, uop_op op, const uop *value, uint32_t acc, bool vector) {
  if (adds_nothing(op, value)) return acc;
  lin_ins ins = {.op = (uint8_t)op,
                 .dtype = b->pool.data[acc].dtype,
                 .lanes = b->pool.data[acc].lanes,
                 .nsrc = 2};
  if (op == OP_ADD && value->op == OP_MUL && dtype_is_float(value->dtype) && b->opt->fma) {
    ins.op = OP_FMA;
    ins.nsrc = 3;
    ins.src[0] = operand(b, value->src[0], vector);
    ins.src[1] = operand(b, value->src[1], vector);
    ins.src[2] = acc;
  } else {
    ins.src[0] = acc;
    ins.src[1] = operand(b, value, vector);
  }
  return build_ins(b, b->cur, ins);
}

void emit_open_if(builder *b, const uop *cond, double share) {
  lin_ins in = {.op = OP_IF, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 1};
  in.src[0] = emit(b, cond);
  build_open(b, build_head(b, in))->share = share;
}
