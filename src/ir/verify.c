/* In: a root. Out: NULL, or one line about the first node that breaks a law.
 *
 * Laws: every node fits its row of ops.def (ir_check_row); levels are not mixed; one RANGE number
 * has one extent; REDUCE and BUFFERIZE bind distinct RANGEs, and none that they bind is free at the
 * root; a SINK leaves no RANGE free; INDEX has one index per range of a BUFFERIZE or one for a
 * BUFFER, all i64, and a bool condition; a STACK is only read by GET, in bounds where that is
 * known, and by SUBSTITUTE; a CAT of arrays is all that a BUFFERIZE names, which has as many
 * elements; a bufferized value knows the padding of every range or of none. */
#include "ir/ir_text.h"
#include "ir/walk.h"

static const char *level_name(unsigned level) { return level == UOP_TENSOR ? "tensor" : "range"; }

static const char *dtype_name(unsigned dtype) {
  return dtype == WN_DTYPE_COUNT ? "void" : wn_dtype_name((wn_dtype)dtype);
}

/* --- one node --- */

static bool reduces(int64_t op) {
  return op == OP_ADD || op == OP_MUL || op == OP_MAX || op == OP_MIN || op == OP_AND ||
         op == OP_OR;
}

static bool is_float_op(int op) {
  static const bool of_floats[OP_COUNT] = {
      [OP_DIV] = true, [OP_FLOOR] = true, [OP_ROUND] = true, [OP_SQRT] = true, [OP_EXP] = true,
      [OP_LOG] = true, [OP_SIN] = true,   [OP_COS] = true,   [OP_ATAN] = true, [OP_TANH] = true,
      [OP_ERF] = true, [OP_POW] = true,   [OP_FMA] = true};
  return of_floats[op];
}

static const char *check_operand_kind(graph *g, const uop *u) {
  const char *name = op_table[u->op].name;
  wn_dtype dtype = (wn_dtype)(u->nsrc > 0 ? u->src[0]->dtype : u->dtype);
  if (is_float_op(u->op) && !dtype_is_float(dtype)) {
    return arena_printf(&g->arena, "%s of %s, not of a floating-point type", name,
                        dtype_name(dtype));
  }
  if ((u->op == OP_IDIV || u->op == OP_MOD) && !dtype_is_int(dtype)) {
    return arena_printf(&g->arena, "%s of %s, not of an integer type", name, dtype_name(dtype));
  }
  if ((u->op == OP_AND || u->op == OP_OR || u->op == OP_NOT) && dtype != WN_BOOL) {
    return arena_printf(&g->arena, "%s of %s, not of bool", name, dtype_name(dtype));
  }
  return NULL;
}

/* Sources from `from` on have the given dtype. */
static const char *check_sources(graph *g, const uop *u, int from, unsigned dtype) {
  for (int i = from; i < u->nsrc; ++i) {
    if (u->src[i]->dtype == dtype) continue;
    return arena_printf(&g->arena, "source %d is %s, not %s", i, dtype_name(u->src[i]->dtype),
                        dtype_name(dtype));
  }
  return NULL;
}

static const char *check_result(graph *g, const uop *u, unsigned dtype) {
  if (u->dtype == dtype) return NULL;
  return arena_printf(&g->arena, "the result is %s, not %s", dtype_name(u->dtype),
                      dtype_name(dtype));
}

static const char *check_dtype(graph *g, const uop *u) {
  unsigned first = u->nsrc > 0 ? u->src[0]->dtype : u->dtype;
  const char *why = NULL;
  if (u->op != OP_SINK && u->nsrc > 0 && first == WN_DTYPE_COUNT) return "source 0 has no value";
  switch (op_table[u->op].dtype) {
    case DT_SAME:
      why = check_result(g, u, first);
      return why != NULL ? why : check_sources(g, u, 1, first);
    case DT_BOOL:
      why = check_result(g, u, WN_BOOL);
      return why != NULL ? why : check_sources(g, u, 1, first);
    case DT_FIRST:
      return check_result(g, u, first);
    case DT_FREE:
      return u->dtype < WN_DTYPE_COUNT ? NULL : "a value needs a dtype";
    case DT_COND:
      if (first != WN_BOOL) return "the condition is not bool";
      return check_sources(g, u, 1, u->dtype);
    case DT_INT:
      return check_result(g, u, WN_I64);
    case DT_VOID:
      return check_result(g, u, WN_DTYPE_COUNT);
  }
  return NULL;
}

static bool all_at_least(const int_list *list, int64_t least) {
  for (int i = 0; i < list->len; ++i) {
    if (list->at[i] < least) return false;
  }
  return true;
}

static const char *check_permutation(const int_list *list) {
  for (int i = 0; i < list->len; ++i) {
    if (list->at[i] < 0 || list->at[i] >= list->len) return "an axis is outside";
    for (int j = 0; j < i; ++j) {
      if (list->at[i] == list->at[j]) return "an axis is there twice";
    }
  }
  return NULL;
}

static const char *check_list(const uop *u) {
  const int_list *list = u->arg.list;
  switch (u->op) {
    case OP_RESHAPE:
      return all_at_least(list, 1) ? NULL : "extents are at least 1";
    case OP_EXPAND:
      return all_at_least(list, 0) ? NULL : "extents are at least 0";
    case OP_STRIDE:
      return all_at_least(list, 1) ? NULL : "steps are at least 1";
    case OP_PERMUTE:
      return check_permutation(list);
    case OP_PAD:
      return list->len % 2 == 0 && all_at_least(list, 0) ? NULL : "padding is pairs, at least 0";
    case OP_SHRINK:
      if (list->len % 2 != 0 || !all_at_least(list, 0)) return "a part is pairs, at least 0";
      for (int i = 0; i < list->len; i += 2) {
        if (list->at[i] >= list->at[i + 1]) return "a part is empty";
      }
      return NULL;
    case OP_REDUCE_AXIS:
      if (list->len < 1 || !reduces(list->at[0])) return "the list starts with no reduction";
      return all_at_least(list, 0) ? NULL : "an axis is outside";
    default:
      return NULL;
  }
}

static const char *check_const(const uop *u) {
  if (u->dtype == WN_BOOL && (u->arg.i < 0 || u->arg.i > 1)) return "a bool is 0 or 1";
  if (u->dtype == WN_I32 && (u->arg.i < INT32_MIN || u->arg.i > INT32_MAX))
    return "an i32 does not fit";
  return NULL;
}

static const char *check_argument(const uop *u) {
  switch (op_table[u->op].arg) {
    case ARG_NUM:
      return check_const(u);
    case ARG_RANGE:
      if (u->arg.i < 0) return "a RANGE has a number of at least 0";
      return u->arg.j >= 1 ? NULL : "a RANGE has an extent of at least 1";
    case ARG_LIST:
      return check_list(u);
    case ARG_BUF:
      if (u->arg.i < 0) return "a slot is at least 0";
      return all_at_least(u->arg.list, 1) ? NULL : "extents are at least 1";
    case ARG_ALU:
      return reduces(u->arg.i) ? NULL : "that op is no reduction";
    case ARG_INT:
      return u->op != OP_CAT || u->arg.i >= 0 ? NULL : "an axis is outside";
    case ARG_INFO:
      return u->arg.info->site >= -1 ? NULL : "a site's number is at least 0, or -1";
    default:
      return NULL;
  }
}

/* Sources first, first + step, ...: distinct RANGEs. */
static const char *check_bound(graph *g, const uop *u, int first, int step) {
  for (int i = first; i < u->nsrc; i += step) {
    if (u->src[i]->op != OP_RANGE) return arena_printf(&g->arena, "source %d is no RANGE", i);
    for (int j = first; j < i; j += step) {
      if (u->src[i] != u->src[j]) continue;
      return arena_printf(&g->arena, "RANGE %s is bound twice", uop_range_name(g, u->src[i]));
    }
  }
  return NULL;
}

/* Elements of an array with gaps do not overlap: each range steps over all that those inside it go through. */
static const char *check_bufferize(graph *g, const uop *u) {
  const int_list *stride = u->arg.info->stride;
  const char *why = check_bound(g, u, 1, 1);
  int64_t inside = 1, last;
  if (why != NULL || stride == NULL) return why;
  if (stride->len != u->nsrc - 1) return "there is not a stride for each RANGE";
  for (int i = stride->len; i-- > 0;) {
    if (stride->at[i] < inside) return "a stride is within what it steps over";
    if (__builtin_mul_overflow(stride->at[i], u->src[i + 1]->arg.j - 1, &last) ||
        __builtin_add_overflow(inside, last, &inside))
      return "a stride steps too far";
  }
  return NULL;
}

static const uop *behind_substitutes(const uop *u) {
  while (u->op == OP_SUBSTITUTE) u = u->src[0];
  return u;
}

static const char *check_index(graph *g, const uop *u) {
  const uop *base = behind_substitutes(u->src[0]);
  if (u->src[1]->dtype != WN_BOOL) return "the condition is not bool";
  int want = base->op == OP_BUFFER ? 1 : base->op == OP_BUFFERIZE ? base->nsrc - 1 : -1;
  if (want < 0) return arena_printf(&g->arena, "%s cannot be indexed", op_table[base->op].name);
  if (u->nsrc - 2 != want)
    return arena_printf(&g->arena, "%d indices where %d belong", u->nsrc - 2, want);
  return check_sources(g, u, 2, WN_I64);
}

static const char *check_get(graph *g, const uop *u) {
  const uop *stack = behind_substitutes(u->src[0]), *which = u->src[1];
  if (stack->op != OP_STACK)
    return arena_printf(&g->arena, "GET of a %s", op_table[stack->op].name);
  if (which->dtype != WN_I64) return "the element's number is not i64";
  if (which->op != OP_CONST || (which->arg.i >= 0 && which->arg.i < stack->nsrc)) return NULL;
  return arena_printf(&g->arena, "element %lld of %d", (long long)which->arg.i, stack->nsrc);
}

static const char *check_gather(const uop *u) {
  if (!dtype_is_int(u->src[1]->dtype)) return "places are i32 or i64";
  return u->arg.i >= 0 ? NULL : "an axis is at least 0";
}

static const char *check_substitute(graph *g, const uop *u) {
  if (u->nsrc % 2 == 0) return "a RANGE without a replacement";
  for (int i = 2; i < u->nsrc; i += 2) {
    if (u->src[i]->dtype != WN_I64) return "a replacement is not i64";
  }
  return check_bound(g, u, 1, 2);
}

const char *ir_check_row(graph *g, const uop *u) {
  const op_info *row = &op_table[u->op];
  if (u->nsrc < row->lo || (row->hi >= 0 && u->nsrc > row->hi)) {
    return arena_printf(&g->arena, "%s with %d sources", row->name, u->nsrc);
  }
  const char *why = check_dtype(g, u);
  if (why == NULL) why = check_argument(u);
  if (why == NULL) why = check_operand_kind(g, u);
  if (why != NULL) return why;
  switch (u->op) {
    case OP_INDEX:
      return check_index(g, u);
    case OP_GET:
      return check_get(g, u);
    case OP_GATHER:
      return check_gather(u);
    case OP_SUBSTITUTE:
      return check_substitute(g, u);
    case OP_REDUCE:
      return check_bound(g, u, 1, 1);
    case OP_BUFFERIZE:
      return check_bufferize(g, u);
    default:
      return NULL;
  }
}

/* --- the graph --- */

typedef struct verifier {
  graph *g;
  const uop *root;
  unsigned level;
  map extents; /* RANGE number -> extent */
} verifier;

static const char *check_range(verifier *v, const uop *u) {
  uint64_t extent;
  if (map_get(&v->extents, (uint64_t)u->arg.i, &extent) && (int64_t)extent != u->arg.j) {
    return arena_printf(&v->g->arena, "RANGE number %lld has extents %lld and %lld",
                        (long long)u->arg.i, (long long)extent, (long long)u->arg.j);
  }
  map_put(&v->extents, (uint64_t)u->arg.i, (uint64_t)u->arg.j);
  return NULL;
}

static int64_t array_len(const uop *array) {
  int64_t n = 1;
  for (int i = 1; array->op == OP_BUFFERIZE && i < array->nsrc; ++i) n *= array->src[i]->arg.j;
  for (int i = 0; array->op == OP_BUFFER && i < array->arg.list->len; ++i)
    n *= array->arg.list->at[i];
  return n;
}

/* What a BUFFERIZE names is a CAT: each part has as many rows as there are in front of the axis. */
static const char *check_cat(graph *g, const uop *u) {
  const uop *cat = u->src[0];
  int64_t len = 0, rows = 1, inner = 1;
  if (cat->arg.i >= u->nsrc - 1) return "a CAT along an axis that there is no RANGE of";
  for (int i = 1; i < u->nsrc; ++i)
    *(i <= cat->arg.i ? &rows : &inner) *= i == cat->arg.i + 1 ? 1 : u->src[i]->arg.j;
  for (int i = 0; i < cat->nsrc; ++i) {
    const uop *part = cat->src[i];
    if (part->op != OP_BUFFER && part->op != OP_BUFFERIZE)
      return arena_printf(&g->arena, "a CAT of a %s", op_table[part->op].name);
    if (array_len(part) % (rows * inner) != 0)
      return arena_printf(&g->arena, "a CAT of an array of %lld elements in rows of %lld x %lld",
                          (long long)array_len(part), (long long)rows, (long long)inner);
    len += array_len(part);
  }
  if (len == array_len(u)) return NULL;
  return arena_printf(&g->arena, "a CAT of %lld elements over loops of %lld", (long long)len,
                      (long long)array_len(u));
}

static const char *check_node(verifier *v, const uop *u) {
  const char *why = ir_check_row(v->g, u);
  if (why != NULL) return why;
  if ((op_table[u->op].flags & v->level) == 0) {
    return arena_printf(&v->g->arena, "does not belong to the %s level", level_name(v->level));
  }
  if (u->op == OP_RANGE) return check_range(v, u);
  if (u->op == OP_SINK && u != v->root) return "a SINK is only a root";
  for (int i = 0; i < u->nsrc; ++i) {
    bool first = i == 0;
    if (u->src[i]->op == OP_STACK && !(first && (u->op == OP_GET || u->op == OP_SUBSTITUTE))) {
      return "uses a STACK as if it were one value";
    }
    if (u->src[i]->op == OP_CAT && v->level == UOP_EXPR && !(first && u->op == OP_BUFFERIZE))
      return "uses a CAT as if it were one value";
  }
  if (u->op == OP_BUFFERIZE && u->src[0]->op == OP_CAT) {
    const char *cat = check_cat(v->g, u);
    if (cat != NULL) return cat;
  }
  if (u->op != OP_REDUCE && u->op != OP_BUFFERIZE) return NULL;
  for (int i = 1; i < u->nsrc; ++i) {
    if (!uop_has_range(v->root, u->src[i])) continue;
    return arena_printf(&v->g->arena, "binds RANGE %s, which is used outside of it",
                        uop_range_name(v->g, u->src[i]));
  }
  return NULL;
}

static const char *check_graph(verifier *v, arena *scratch) {
  map_init(&v->extents, scratch);
  uop_order order = uop_toposort(scratch, 1, &v->root);
  for (size_t i = 0; i < order.len; ++i) {
    const char *why = check_node(v, order.at[i]);
    if (why == NULL) continue;
    return arena_printf(&v->g->arena, "%%%zu %s: %s", i, op_table[order.at[i]->op].name, why);
  }
  if (v->root->op != OP_SINK || v->root->free_->len == 0) return NULL;
  const char *name = map_get_ptr(&v->g->range_names, (uint64_t)v->root->free_->at[0]);
  return arena_printf(&v->g->arena, "%%%zu SINK: RANGE number %lld (%s) is bound by nothing",
                      order.len - 1, (long long)v->root->free_->at[0],
                      name != NULL ? name : "no name");
}

const char *ir_verify(graph *g, const uop *root, unsigned level) {
  verifier v = {.g = g, .root = root, .level = level};
  const char *volatile why = NULL;
  arena scratch;
  arena_init(&scratch, g->diag);
  wn_status st;
  DIAG_TRY(g->diag, st) { why = check_graph(&v, &scratch); }
  DIAG_END(g->diag, st)
  arena_release(&scratch);
  if (st != WN_OK) diag_fail(g->diag, st, "%s", arena_strdup(&g->arena, g->diag->message));
  return why;
}
