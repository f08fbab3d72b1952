/* Rules of what surrounds arithmetic: reading, tuples, reductions.
 *
 * In: INDEX, WHERE around it, GET, REDUCE. Out: padding inside the condition of the read, indices
 * simplified under that condition, no tuple with a known element, no reduction over one step.
 * Progress: fewer WHERE and GET nodes, else fewer divisions in an index, else fewer ranges. */
#include "lower/simplify.h"

static const uop *never_read(match *m) {
  return uop_is_int(m->root->src[1], 0) ? uop_const(m->g, (wn_dtype)m->root->dtype, 0) : NULL;
}

static const uop *with_valid(graph *g, const uop *index, const uop *valid) {
  return uop_index(g, index->src[0], valid, index->nsrc - 2, &index->src[2]);
}

/* A read, or a cast of one: both are 0 where the read does not take place. */
static bool reads(const match *m) {
  const uop *x = m->v[VAR_x];
  return x->op == OP_INDEX || (x->op == OP_CAST && x->src[0]->op == OP_INDEX);
}

static const uop *guard_read(match *m, const uop *cond) {
  const uop *x = m->v[VAR_x], *index = x->op == OP_CAST ? x->src[0] : x;
  const uop *read = with_valid(m->g, index, uop_and(m->g, index->src[1], cond));
  return uop_cast(m->g, (wn_dtype)x->dtype, read);
}

static const uop *where_read(match *m) { return guard_read(m, m->v[VAR_c]); }
static const uop *where_not_read(match *m) {
  return guard_read(m, uop_alu1(m->g, OP_NOT, m->v[VAR_c]));
}

static const uop *index_given(match *m) {
  const uop *u = m->root, *valid = u->src[1];
  if (valid->op == OP_CONST) return NULL;
  const uop **index = arena_array(m->scratch, const uop *, u->nsrc);
  bool changed = false;
  for (int k = 2; k < u->nsrc; ++k) {
    index[k - 2] = simplify_given(m->g, u->src[k], valid);
    changed = changed || index[k - 2] != u->src[k];
  }
  return changed ? uop_index(m->g, u->src[0], valid, u->nsrc - 2, index) : NULL;
}

static const uop *get_element(match *m) {
  const uop *stack = m->v[VAR_x];
  if (stack->op != OP_STACK) return NULL;
  if (m->v[VAR_y]->op == OP_CONST) return uop_get(m->g, stack, m->v[VAR_y]);
  for (int k = 1; k < stack->nsrc; ++k)
    if (stack->src[k] != stack->src[0]) return NULL;
  return stack->src[0];
}

/* Combining x with itself gives x: ranges that the value does not use go away, as do ranges of one
 * step. */
static bool is_idempotent(int64_t alu) {
  return alu == OP_MAX || alu == OP_MIN || alu == OP_AND || alu == OP_OR;
}

static const uop *fewer_ranges(match *m) {
  const uop *u = m->root;
  const uop **kept = arena_array(m->scratch, const uop *, u->nsrc);
  int n = 0;
  for (int k = 1; k < u->nsrc; ++k) {
    const uop *r = u->src[k];
    bool repeats = is_idempotent(u->arg.i) && r->arg.j > 0 && !uop_has_range(u->src[0], r);
    if (r->arg.j != 1 && !repeats) kept[n++] = r;
  }
  return n == u->nsrc - 1 ? NULL : uop_reduce(m->g, (uop_op)u->arg.i, u->src[0], n, kept);
}

/* A sum of integers that do not change is a product. */
static const uop *sum_of_same(match *m) {
  const uop *u = m->root;
  if (u->arg.i != OP_ADD) return NULL;
  for (int k = 1; k < u->nsrc; ++k) {
    const uop *r = u->src[k], **kept = arena_array(m->scratch, const uop *, u->nsrc);
    if (r->arg.j <= 0 || uop_has_range(u->src[0], r)) continue;
    int n = 0;
    for (int j = 1; j < u->nsrc; ++j)
      if (j != k) kept[n++] = u->src[j];
    return uop_muli(m->g, uop_reduce(m->g, OP_ADD, u->src[0], n, kept), r->arg.j);
  }
  return NULL;
}

static const uop *sum_of_zeros(match *m) {
  const uop *u = m->root;
  if (u->arg.i != OP_ADD || u->src[0]->op != OP_CONST) return NULL;
  const uop *zero = uop_const(m->g, (wn_dtype)u->dtype, 0);
  return u->src[0] == zero ? zero : NULL;
}

static const rule rules[] = {
    {"read-never", ROOT(INDEX), .build = never_read, .on = ON_ANY},
    {"read-where", N(WHERE, V(c), V(x), I(0)), .build = where_read, .when = reads, .on = ON_ANY},
    {"read-where-not", N(WHERE, V(c), I(0), V(x)), .build = where_not_read, .when = reads,
     .on = ON_ANY},
    {"read-given-condition", ROOT(INDEX), .build = index_given, .on = ON_ANY},
    {"get-element", N(GET, V(x), V(y)), .build = get_element, .on = ON_ANY},
    {"reduce-fewer-ranges", ROOT(REDUCE), .build = fewer_ranges, .on = ON_ANY},
    {"reduce-same", ROOT(REDUCE), .build = sum_of_same, .on = ON_INDEX},
    {"reduce-zeros", ROOT(REDUCE), .build = sum_of_zeros, .on = ON_ANY},
};

const rule_table memory_rules = {rules, sizeof rules / sizeof *rules};
