/* Matching one rule at one node. In: a rule and a node. Out: the new node, or NULL.
 * Always holds: the result has the dtype of the node; nothing is built unless the pattern and the
 * guard hold. */
#include <math.h>

#include "rewrite/rule.h"

static bool is_number(const uop *u, double n) {
  if (u->op != OP_CONST) return false;
  double v = uop_const_value(u);
  return v == n && (v != 0 || signbit(v) == signbit(n));
}

static bool match_at(match *m, const pattern *p, const uop *u);

static bool match_sources(match *m, const pattern *p, const uop *u, bool swapped) {
  int n = 0;
  while (n < 4 && p->src[n] != NULL) ++n;
  if (n != u->nsrc) return false;
  for (int k = 0; k < n; ++k)
    if (!match_at(m, p->src[k], u->src[swapped ? 1 - k : k])) return false;
  return true;
}

/* Patterns are a few levels deep: recursion here is bounded by the tables. */
static bool match_at(match *m, const pattern *p, const uop *u) {
  switch (p->kind) {
    case PAT_ROOT:
      return (int)u->op == p->op;
    case PAT_NUMBER:
      return u->dtype != WN_BOOL && is_number(u, p->number);
    case PAT_BOOL:
      return u->dtype == WN_BOOL && is_number(u, p->number);
    case PAT_CONST:
    case PAT_VALUE:
      if (p->kind == PAT_CONST && u->op != OP_CONST) return false;
      if (m->v[p->var] != NULL) return m->v[p->var] == u;
      m->v[p->var] = u;
      return true;
    case PAT_NODE:
      break;
  }
  if ((int)u->op != p->op) return false;
  match saved = *m;
  if (match_sources(m, p, u, false)) return true;
  *m = saved;
  if (!(op_table[u->op].flags & UOP_COMM)) return false;
  if (match_sources(m, p, u, true)) return true;
  *m = saved;
  return false;
}

static const uop *build_into(const match *m, const pattern *p) {
  graph *g = m->g;
  switch (p->kind) {
    case PAT_VALUE:
    case PAT_CONST:
      return m->v[p->var];
    case PAT_NUMBER:
      return uop_const(g, m->dtype, p->number);
    case PAT_BOOL:
      return uop_bool(g, p->number != 0);
    default:
      break;
  }
  const uop *src[4] = {NULL};
  int n = 0;
  for (; n < 4 && p->src[n] != NULL; ++n) src[n] = build_into(m, p->src[n]);
  if (n == 1) return uop_alu1(g, (uop_op)p->op, src[0]);
  if (n == 2) return uop_alu2(g, (uop_op)p->op, src[0], src[1]);
  WN_CHECK(p->op == OP_WHERE, "a rule builds %s", op_table[p->op].name);
  return uop_where(g, src[0], src[1], src[2]);
}

static unsigned class_of(wn_dtype dtype) {
  if (dtype == WN_BOOL) return ON_BOOL;
  if (dtype == WN_I64) return ON_INDEX;
  return dtype == WN_I32 ? ON_I32 : ON_FLOAT;
}

const uop *rule_apply(graph *g, arena *scratch, const rule *r, const uop *u) {
  bool compares = u->nsrc && op_table[u->op].dtype == DT_BOOL;
  match m = {.g = g,
             .scratch = scratch,
             .root = u,
             .dtype = (wn_dtype)(compares ? u->src[0]->dtype : u->dtype)};
  if (m.dtype == WN_DTYPE_COUNT || !(class_of(m.dtype) & r->on)) return NULL;
  if (!match_at(&m, r->match, u) || (r->when != NULL && !r->when(&m))) return NULL;
  const uop *v = r->build != NULL ? r->build(&m) : build_into(&m, r->into);
  if (v == NULL || v == u) return NULL;
  WN_CHECK(v->dtype == u->dtype, "rule %s changes the dtype of node %u (%s)", r->name, u->id,
           op_table[u->op].name);
  return v;
}
