/* Capture-free replacement, and the resolution of lazy SUBSTITUTE nodes.
 *
 * In: a root and an environment of pairs from -> to. Out: the root with all pairs applied at once.
 * Always holds: a bound RANGE keeps its identity unless a replacement that contains it would be
 * captured (then it is renamed, once per environment); equal subtrees under equal environments are
 * visited once, so DAGs stay DAGs; no recursion. A SUBSTITUTE met on the way becomes a new
 * environment (its own pairs, seen through the outer one, then what it leaves of the outer one):
 * composed, never applied twice.
 * Pairs whose `from` is no RANGE are replaced where that very node stands: the RANGEs in their `to`
 * are meant to be bound by what is around them. */
#include "rewrite/rebuild.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"

typedef struct pair {
  const uop *from, *to;
} pair;

typedef struct env {
  int n, nranges; /* pairs, those of RANGEs first, sorted by id within each kind */
  pair *pairs;
  map exact;       /* id of from -> index + 1 */
  map done;        /* id -> result */
  map inner;       /* id of a binder or SUBSTITUTE -> binding */
  uint32_t oldest; /* lowest id among the froms: older nodes hold none of them */
  struct {         /* whether a set of free RANGEs meets the froms, for the sets met last */
    const range_set *set;
    bool meets;
  } met[8];
  struct env *next; /* with the same hash */
} env;

typedef struct binding {
  env *inside;
  const uop **bound; /* RANGEs of the rebuilt node (binders only) */
} binding;

typedef struct visit {
  const uop *u;
  env *e;
} visit;

typedef struct replacer {
  graph *g;
  arena *a;
  map envs;
  env *empty;
  bool resolve; /* go everywhere in search of SUBSTITUTE nodes */
  VEC(visit) stack;
  const uop *root, *result;
  int n;
  const uop *const *from, *const *to;
} replacer;

bool uop_binds(const uop *u) { return u->op == OP_REDUCE || u->op == OP_BUFFERIZE; }

const uop *uop_rebuild(graph *g, const uop *u, const uop *const *src) {
  bool same = true;
  for (int k = 0; k < u->nsrc; ++k) same = same && src[k] == u->src[k];
  if (same) return u;
  switch (u->op) {
    case OP_GET:
      return uop_get(g, src[0], src[1]);
    case OP_CAST:
      return uop_cast(g, u->dtype, src[0]);
    case OP_WHERE:
      return uop_where(g, src[0], src[1], src[2]);
    default:
      break;
  }
  if (op_table[u->op].flags & UOP_ALU) {
    if (u->nsrc == 1) return uop_alu1(g, u->op, src[0]);
    if (u->nsrc == 2) return uop_alu2(g, u->op, src[0], src[1]);
  }
  return uop_with_src(g, u, src);
}

/* --- environments ----------------------------------------------------------------------------- */

static bool pair_before(const pair *a, const pair *b) {
  bool ra = a->from->op == OP_RANGE, rb = b->from->op == OP_RANGE;
  return ra != rb ? ra : a->from->id < b->from->id;
}

/* The environment with these pairs: equal ones are the same, so that what was done under them is
 * shared. */
static env *env_of(replacer *r, int n, pair *pairs) {
  for (int i = 1; i < n; ++i)
    for (int j = i; j > 0 && pair_before(&pairs[j], &pairs[j - 1]); --j) {
      pair t = pairs[j];
      pairs[j] = pairs[j - 1];
      pairs[j - 1] = t;
    }
  uint64_t key = (n ? hash_bytes(pairs, (size_t)n * sizeof *pairs, 7) : 7) & (MAP_NONE >> 1);
  env *first = map_get_ptr(&r->envs, key);
  for (env *e = first; e != NULL; e = e->next)
    if (e->n == n && (n == 0 || memcmp(e->pairs, pairs, (size_t)n * sizeof *pairs) == 0)) return e;
  env *e = arena_new(r->a, env);
  e->n = n;
  e->pairs = arena_copy(r->a, pairs, (size_t)n * sizeof *pairs);
  map_init(&e->exact, r->a);
  map_init(&e->done, r->a);
  map_init(&e->inner, r->a);
  e->oldest = UINT32_MAX;
  for (int k = 0; k < n; ++k) {
    map_put(&e->exact, pairs[k].from->id, (uint64_t)k + 1);
    if (pairs[k].from->op == OP_RANGE) ++e->nranges;
    if (pairs[k].from->id < e->oldest) e->oldest = pairs[k].from->id;
  }
  e->next = first;
  map_put_ptr(&r->envs, key, e);
  return e;
}

static bool env_touches(env *e, const uop *u) {
  if (u->id < e->oldest) return false;
  if (e->n > e->nranges) return true;
  size_t at = ((uintptr_t)u->free_ >> 4) % (sizeof e->met / sizeof *e->met);
  if (e->met[at].set == u->free_) return e->met[at].meets;
  bool meets = false;
  for (int k = 0; k < e->nranges && !meets; ++k) meets = uop_has_range(u, e->pairs[k].from);
  e->met[at].set = u->free_;
  e->met[at].meets = meets;
  return meets;
}

static bool is_bound(const uop *u, int first, int step, const uop *range) {
  for (int k = first; k < u->nsrc; k += step)
    if (u->src[k] == range) return true;
  return false;
}

/* The pairs of e that still hold inside u, whose sources first, first + step, ... shadow, and that
 * u's value needs. */
static int inherit(const env *e, const uop *u, int step, pair *out) {
  int n = 0;
  for (int k = 0; k < e->n; ++k) {
    const pair *p = &e->pairs[k];
    bool range = p->from->op == OP_RANGE;
    if (range && (is_bound(u, 1, step, p->from) || !uop_has_range(u->src[0], p->from))) continue;
    out[n++] = *p;
  }
  return n;
}

static bool is_captured(const uop *range, int n, const pair *pairs) {
  for (int k = 0; k < n; ++k)
    if (pairs[k].from->op == OP_RANGE && uop_has_range(pairs[k].to, range)) return true;
  return false;
}

/* REDUCE or BUFFERIZE under e: the RANGEs it binds from now on and the environment of its value. */
static binding *enter_binder(replacer *r, env *e, const uop *u) {
  binding *b = map_get_ptr(&e->inner, u->id);
  if (b != NULL) return b;
  b = arena_new(r->a, binding);
  b->bound = arena_array(r->a, const uop *, u->nsrc);
  pair *pairs = arena_array(r->a, pair, e->n + u->nsrc);
  int kept = inherit(e, u, 1, pairs), n = kept;
  for (int k = 1; k < u->nsrc; ++k) {
    const uop *range = u->src[k];
    b->bound[k - 1] = range;
    if (!is_captured(range, kept, pairs)) continue;
    const char *name = map_get_ptr(&r->g->range_names, (uint64_t)range->arg.i);
    const uop *fresh = uop_range(r->g, range->arg.j, name);
    b->bound[k - 1] = fresh;
    pairs[n++] = (pair){range, fresh};
    for (int j = 0; j < kept; ++j)
      if (pairs[j].from->op != OP_RANGE)
        pairs[j].to = uop_replace(r->g, pairs[j].to, 1, &range, &fresh);
  }
  b->inside = env_of(r, n, pairs);
  map_put_ptr(&e->inner, u->id, b);
  return b;
}

/* --- the walk --------------------------------------------------------------------------------- */

/* The result for u under e if it is known without work, else NULL. */
static const uop *known(replacer *r, const uop *u, env *e) {
  uint64_t at;
  bool listed = u->op == OP_RANGE ? e->nranges > 0 : e->n > e->nranges;
  if (listed && map_get(&e->exact, u->id, &at)) return e->pairs[at - 1].to;
  if (u->nsrc == 0) return u;
  if (!env_touches(e, u)) {
    if (!r->resolve) return u;
    e = r->empty;
  }
  return map_get_ptr(&e->done, u->id);
}

/* known(), or NULL after pushing u to be worked out first. */
static const uop *need(replacer *r, const uop *u, env *e) {
  const uop *v = known(r, u, e);
  if (v == NULL) {
    if (r->resolve && !env_touches(e, u)) e = r->empty;
    vec_push(r->a, &r->stack, ((visit){u, e}));
  }
  return v;
}

static const uop *visit_substitute(replacer *r, const uop *u, env *e) {
  binding *b = map_get_ptr(&e->inner, u->id);
  if (b == NULL) {
    bool ready = true;
    for (int k = 2; k < u->nsrc; k += 2) ready = need(r, u->src[k], e) != NULL && ready;
    if (!ready) return NULL;
    pair *pairs = arena_array(r->a, pair, e->n + u->nsrc);
    int n = inherit(e, u, 2, pairs);
    for (int k = 1; k + 1 < u->nsrc; k += 2)
      if (uop_has_range(u->src[0], u->src[k]))
        pairs[n++] = (pair){u->src[k], known(r, u->src[k + 1], e)};
    b = arena_new(r->a, binding);
    b->inside = env_of(r, n, pairs);
    map_put_ptr(&e->inner, u->id, b);
  }
  return need(r, u->src[0], b->inside);
}

static const uop *visit_binder(replacer *r, const uop *u, env *e) {
  binding *b = enter_binder(r, e, u);
  const uop *value = need(r, u->src[0], b->inside);
  if (value == NULL) return NULL;
  const uop **src = arena_array(r->a, const uop *, u->nsrc);
  src[0] = value;
  for (int k = 1; k < u->nsrc; ++k) src[k] = b->bound[k - 1];
  return uop_rebuild(r->g, u, src);
}

/* A GET whose element becomes known needs no other element of its STACK. */
static const uop *visit_get(replacer *r, const uop *u, env *e, bool *handled) {
  const uop *which = need(r, u->src[1], e), *stack = u->src[0];
  *handled = which == NULL || (which->op == OP_CONST && stack->op == OP_STACK);
  if (which == NULL || !*handled) return NULL;
  WN_CHECK(which->arg.i >= 0 && which->arg.i < stack->nsrc, "GET %lld of %d",
           (long long)which->arg.i, stack->nsrc);
  return need(r, stack->src[which->arg.i], e);
}

/* The result of u, or NULL after pushing what it waits for. */
static const uop *visit_node(replacer *r, const uop *u, env *e) {
  if (u->op == OP_SUBSTITUTE) return visit_substitute(r, u, e);
  if (uop_binds(u)) return visit_binder(r, u, e);
  if (u->op == OP_GET) {
    bool handled;
    const uop *v = visit_get(r, u, e, &handled);
    if (handled) return v;
  }
  const uop *few[8], **src = u->nsrc <= 8 ? few : arena_array(r->a, const uop *, u->nsrc);
  bool ready = true;
  for (int k = u->nsrc; k-- > 0;) {
    src[k] = need(r, u->src[k], e);
    ready = ready && src[k] != NULL;
  }
  return ready ? uop_rebuild(r->g, u, src) : NULL;
}

static void replace_all(arena *a, void *state) {
  replacer *r = state;
  r->a = a;
  map_init(&r->envs, a);
  r->empty = env_of(r, 0, NULL);
  pair *pairs = arena_array(a, pair, r->n + 1);
  int n = 0;
  for (int k = 0; k < r->n; ++k)
    if (r->from[k] != r->to[k]) pairs[n++] = (pair){r->from[k], r->to[k]};
  env *e = env_of(r, n, pairs);
  r->result = need(r, r->root, e);
  while (r->stack.len) {
    visit top = r->stack.data[r->stack.len - 1];
    const uop *v = known(r, top.u, top.e);
    if (v == NULL) v = visit_node(r, top.u, top.e);
    if (v == NULL) continue;
    map_put_ptr(&top.e->done, top.u->id, v);
    --r->stack.len;
  }
  if (r->result == NULL) r->result = known(r, r->root, e);
}

const uop *uop_replace(graph *g, const uop *root, int n, const uop *const *from,
                       const uop *const *to) {
  bool touched = false;
  for (int k = 0; k < n; ++k) {
    WN_CHECK(from[k]->dtype == to[k]->dtype, "replacement of node %u has another dtype",
             from[k]->id);
    touched = touched ||
              (from[k]->op == OP_RANGE ? uop_has_range(root, from[k]) : from[k]->id <= root->id);
  }
  if (!touched) return root;
  replacer r = {.g = g, .root = root, .n = n, .from = from, .to = to};
  with_scratch(g->diag, replace_all, &r);
  return r.result;
}

const uop *uop_resolve(graph *g, const uop *root) {
  replacer r = {.g = g, .root = root, .resolve = true};
  with_scratch(g->diag, replace_all, &r);
  return r.result;
}
