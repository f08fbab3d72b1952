/* The driver: every rule to a fixed point, bottom up.
 *
 * In: a root and a rule set. Out: the root's normal form.
 * Always holds: a node's sources are normal before a rule sees it; a node is worked on once per
 * rule set (results are kept by id); what a rule returns is worked on like any other node. The stack is
 * explicit, so depth costs memory only. A node that is met again while it is being worked on is a
 * rule without progress, which aborts with its name. */
#include <stdio.h>
#include <stdlib.h>

#include "rewrite/rebuild.h"
#include "rewrite/rule.h"
#include "rewrite/scratch.h"

rule_set *rule_set_build(arena *a, int ntables, const rule_table *tables, unsigned without) {
  rule_set *s = arena_new(a, rule_set);
  for (int t = 0; t < ntables; ++t)
    for (int k = 0; k < tables[t].n; ++k) s->n[tables[t].at[k].match->op]++;
  for (int op = 0; op < OP_COUNT; ++op) {
    s->of[op] = arena_array(a, const rule *, s->n[op] + 1);
    s->n[op] = 0;
  }
  for (int t = 0; t < ntables; ++t)
    for (int k = 0; k < tables[t].n; ++k) {
      const rule *r = &tables[t].at[k];
      if (!(r->flags & without)) s->of[r->match->op][s->n[r->match->op]++] = r;
    }
  const char *trace = getenv("WINNOW_TRACE");
  s->trace = trace != NULL && strcmp(trace, "1") == 0;
  return s;
}

void rule_set_forget(rule_set *s, uint32_t count) {
  for (uint32_t i = 0; i < s->nnormal; ++i) {
    uintptr_t v = s->normal[i];
    bool gone = v & 1 || (v != 0 && ((const uop *)v)->id >= count);
    if (i >= count || gone) s->normal[i] = 0;
  }
}

typedef struct frame {
  const uop *u;
  const uop *next; /* u's normal form is that of next; NULL: sources first */
  const rule *by;  /* the rule that led to next; NULL: new sources */
  int ready;       /* so many sources are normal */
} frame;

typedef struct rewriter {
  graph *g;
  arena *a;
  rule_set *rules;
  VEC(frame) stack;
  const uop *root;
} rewriter;

static uintptr_t *slot_of(graph *g, rule_set *rules, const uop *u) {
  if (u->id >= rules->nnormal) {
    uint32_t n = g->count + g->count / 2;
    uintptr_t *bigger = arena_array(&g->arena, uintptr_t, n);
    if (rules->nnormal) memcpy(bigger, rules->normal, rules->nnormal * sizeof *bigger);
    rules->normal = bigger;
    rules->nnormal = n;
  }
  return &rules->normal[u->id];
}

static const uop *known(graph *g, rule_set *rules, const uop *u) {
  uintptr_t v = *slot_of(g, rules, u);
  return v & 1 ? NULL : (const uop *)v;
}

/* u's normal form, or NULL after pushing u. */
static const uop *need(rewriter *w, const uop *u, const rule *by) {
  uintptr_t *slot = slot_of(w->g, w->rules, u), mine = 2 * w->rules->depth + 1;
  if (*slot && !(*slot & 1)) return (const uop *)*slot;
  WN_CHECK(*slot != mine, "rule %s makes no progress at node %u (%s)",
           by != NULL ? by->name : "(none)", u->id, op_table[u->op].name);
  *slot = mine;
  vec_push(w->a, &w->stack, ((frame){.u = u}));
  return NULL;
}

static bool is_rewritten_source(const uop *u, int k) {
  if (uop_binds(u)) return k == 0;
  return u->op != OP_SUBSTITUTE || k % 2 == 0;
}

static const rule *apply_first(rewriter *w, const uop *u, const uop **into) {
  for (int k = 0; k < w->rules->n[u->op]; ++k) {
    const rule *r = w->rules->of[u->op][k];
    const uop *v = rule_apply(w->g, w->a, r, u);
    if (v == NULL) continue;
    if (w->rules->trace)
      fprintf(stderr, "rule %s: %%%u %s -> %%%u %s\n", r->name, u->id, op_table[u->op].name, v->id,
              op_table[v->op].name);
    *into = v;
    return r;
  }
  return NULL;
}

/* Are u's sources normal from the ready-th on? False after pushing the first that is not. */
static bool sources_ready(rewriter *w, const uop *u, int *ready) {
  for (; *ready < u->nsrc; ++*ready)
    if (is_rewritten_source(u, *ready) && need(w, u->src[*ready], NULL) == NULL) return false;
  return true;
}

static const uop *over_normal_sources(rewriter *w, const uop *u) {
  const uop *few[8], **src = u->nsrc <= 8 ? few : arena_array(w->a, const uop *, u->nsrc);
  for (int k = 0; k < u->nsrc; ++k)
    src[k] = is_rewritten_source(u, k) ? known(w->g, w->rules, u->src[k]) : u->src[k];
  return uop_rebuild(w->g, u, src);
}

/* Works on the top frame until it waits for another or is done. */
static void step(rewriter *w) {
  size_t top = w->stack.len - 1;
  frame f = w->stack.data[top];
  if (f.next == NULL) {
    bool ready = sources_ready(w, f.u, &f.ready);
    w->stack.data[top].ready = f.ready;
    if (!ready) return;
    f.next = over_normal_sources(w, f.u);
    if (f.next == f.u) f.by = apply_first(w, f.u, &f.next);
    w->stack.data[top] = f;
  }
  const uop *normal = f.next == f.u ? f.u : need(w, f.next, f.by);
  if (normal == NULL) return;
  *slot_of(w->g, w->rules, f.u) = (uintptr_t)normal;
  --w->stack.len;
}

static void rewrite_all(arena *a, void *state) {
  rewriter *w = state;
  w->a = a;
  ++w->rules->depth;
  need(w, w->root, NULL);
  while (w->stack.len) step(w);
  --w->rules->depth;
}

const uop *rewrite(graph *g, rule_set *rules, const uop *root) {
  const uop *normal = known(g, rules, root);
  if (normal != NULL) return normal;
  rewriter w = {.g = g, .rules = rules, .root = root};
  with_scratch(g->diag, rewrite_all, &w);
  return known(g, rules, root);
}
