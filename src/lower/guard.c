/* A value restricted to where a condition holds.
 *
 * In: an expression and a condition. Out: the expression whose reads take place only where the
 * condition holds too, and which is 0 where it fails (a zero of either sign).
 * Always holds: what a BUFFERIZE names is left alone, only reading it is guarded; RANGEs that the
 * expression binds and the condition uses are renamed, so the condition keeps its meaning; no
 * recursion. */
#include <math.h>

#include "lower/lower.h"
#include "rewrite/rebuild.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"

typedef struct guard {
  graph *g;
  const uop *expr, *cond, *result;
} guard;

/* Nodes under root, sources first, but not inside of what is materialised or of a condition or
 * index that is read. */
typedef VEC(const uop *) uop_vec;

static bool enters(const uop *u, int k) {
  if (u->op == OP_BUFFERIZE) return false;
  return u->op == OP_INDEX ? k >= 1 : k == 0 || !uop_binds(u);
}

static void collect(arena *a, const uop *root, uop_vec *out) {
  uop_vec stack = {0};
  map state; /* id -> 1 opened, 2 done */
  map_init(&state, a);
  vec_push(a, &stack, root);
  while (stack.len) {
    const uop *u = stack.data[stack.len - 1];
    uint64_t s = 0;
    if (map_get(&state, u->id, &s)) {
      --stack.len;
      if (s == 1) vec_push(a, out, u);
      map_put(&state, u->id, 2);
      continue;
    }
    map_put(&state, u->id, 1);
    for (int k = 0; k < u->nsrc; ++k)
      if (enters(u, k) && !map_get(&state, u->src[k]->id, &s)) vec_push(a, &stack, u->src[k]);
  }
}

/* Reductions that bind a RANGE of the condition get ones of their own. */
static const uop *rename_bound(arena *a, graph *g, const uop *expr, const uop *cond) {
  for (;;) {
    uop_vec nodes = {0};
    const uop *clash = NULL;
    collect(a, expr, &nodes);
    for (size_t i = 0; i < nodes.len && clash == NULL; ++i) {
      const uop *u = nodes.data[i];
      for (int k = 1; k < u->nsrc && u->op == OP_REDUCE; ++k)
        if (uop_has_range(cond, u->src[k])) clash = u;
    }
    if (clash == NULL) return expr;
    const uop **src = arena_array(a, const uop *, clash->nsrc);
    for (int k = 1; k < clash->nsrc; ++k) {
      const uop *r = clash->src[k];
      const char *name = map_get_ptr(&g->range_names, (uint64_t)r->arg.i);
      src[k] = uop_has_range(cond, r) ? uop_range(g, r->arg.j, name) : r;
    }
    src[0] = uop_replace(g, clash->src[0], clash->nsrc - 1, &clash->src[1], &src[1]);
    const uop *renamed = uop_with_src(g, clash, src);
    expr = uop_replace(g, expr, 1, &clash, &renamed);
  }
}

static bool zero(const map *zeros, const uop *u) { return map_get_ptr(zeros, u->id) != NULL; }

static bool is_finite_const(const uop *u) {
  return u->op == OP_CONST && isfinite(uop_const_value(u));
}

/* Is u 0 when every read is, given which of its sources are? */
static bool becomes_zero(const map *zeros, const uop *u) {
  const uop *const *s = u->src;
  switch (u->op) {
    case OP_INDEX:
      return true;
    case OP_CONST:
      return uop_const_value(u) == 0;
    case OP_ADD:
    case OP_SUB:
    case OP_MAX:
    case OP_MIN:
    case OP_OR:
      return zero(zeros, s[0]) && zero(zeros, s[1]);
    case OP_AND:
      return zero(zeros, s[0]) || zero(zeros, s[1]);
    case OP_MUL:
      if (!dtype_is_float(u->dtype)) return zero(zeros, s[0]) || zero(zeros, s[1]);
      return (zero(zeros, s[0]) && (zero(zeros, s[1]) || is_finite_const(s[1]))) ||
             (zero(zeros, s[1]) && is_finite_const(s[0]));
    case OP_NEG:
    case OP_ABS:
    case OP_FLOOR:
    case OP_ROUND:
    case OP_SQRT:
    case OP_SIN:
    case OP_ATAN:
    case OP_TANH:
    case OP_ERF:
    case OP_CAST:
      return zero(zeros, s[0]);
    case OP_WHERE:
      return zero(zeros, s[1]) && zero(zeros, s[2]);
    case OP_REDUCE:
      return u->arg.i != OP_MUL && zero(zeros, s[0]);
    case OP_GET:
      return zero(zeros, s[0]);
    case OP_STACK:
      for (int k = 0; k < u->nsrc; ++k)
        if (!zero(zeros, s[k])) return false;
      return true;
    default:
      return false;
  }
}

static const uop *over_guarded(arena *a, graph *g, const map *done, const uop *u, const uop *cond) {
  if (u->nsrc == 0 || u->op == OP_BUFFERIZE) return u;
  const uop **src = arena_array(a, const uop *, u->nsrc);
  for (int k = 0; k < u->nsrc; ++k) {
    const uop *v = map_get_ptr(done, u->src[k]->id);
    src[k] = enters(u, k) && v != NULL ? v : u->src[k];
  }
  if (u->op == OP_INDEX) src[1] = uop_and(g, src[1], cond);
  return uop_rebuild(g, u, src);
}

static void guard_all(arena *a, void *state) {
  guard *w = state;
  const uop *expr = rename_bound(a, w->g, uop_resolve(w->g, w->expr), w->cond);
  uop_vec nodes = {0};
  map done, zeros;
  map_init(&done, a);
  map_init(&zeros, a);
  collect(a, expr, &nodes);
  for (size_t i = 0; i < nodes.len; ++i) {
    const uop *u = nodes.data[i];
    map_put_ptr(&done, u->id, over_guarded(a, w->g, &done, u, w->cond));
    if (becomes_zero(&zeros, u)) map_put_ptr(&zeros, u->id, u);
  }
  w->result = map_get_ptr(&done, expr->id);
  if (!zero(&zeros, expr)) {
    w->result = uop_where(w->g, w->cond, w->result, uop_const(w->g, (wn_dtype)expr->dtype, 0));
  }
}

const uop *guard_value(graph *g, const uop *expr, const uop *cond) {
  if (cond->op == OP_CONST) return cond->arg.i ? expr : uop_const(g, (wn_dtype)expr->dtype, 0);
  guard w = {.g = g, .expr = expr, .cond = cond};
  with_scratch(g->diag, guard_all, &w);
  return w.result;
}
