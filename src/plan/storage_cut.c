/* Layouts of least cost, as a minimum cut; see storage.h.
 *
 * In: costs and ties. Out: layouts. A family whose own cost is less with channels last has a supply of so much, others a
 * demand; ties carry what flows from one to the other, up to their cost. Where nothing flows any more, what can still be
 * reached from a supply that is left is last, and all else is not (Greig, Porteous and Seheult, "Exact maximum a
 * posteriori estimation for binary images", 1989).
 * Always holds: sums are of integers, so the least is the least; time is that of few and short paths, for supplies and
 * demands are neighbours. */
#include "plan/storage.h"

typedef struct arc {
  int to, next; /* a family; the next arc from the same one, -1 */
  int64_t left; /* that can still flow; the arc back is number ^ 1 */
} arc;

typedef struct cut {
  storage *s;
  int64_t *need; /* by family: what last saves yet; negative: what it costs */
  int *first;    /* its first arc, -1 */
  VEC(arc) arcs;
  int *by;    /* the arc by which it was reached, -1: where the search began */
  int *seen;  /* number of the search that reached it */
  int *queue; /* families, as they are reached */
  int searches, reached;
} cut;

static bool is_free(const stored_order *v) { return v->why == LAYOUT_IS_CHOSEN; }

static void add_arc(cut *c, int from, int to, int64_t most) {
  vec_push(c->s->a, &c->arcs, ((arc){.to = to, .next = c->first[from], .left = most}));
  c->first[from] = (int)c->arcs.len - 1;
}

/* A neighbour without a choice is as good as a cost of one's own. */
static void add_tie(cut *c, const storage_tie *t) {
  const stored_order *a = &c->s->value[t->a], *b = &c->s->value[t->b];
  if (a->family == b->family) return;
  if (is_free(a) && is_free(b)) {
    add_arc(c, a->family, b->family, t->cost);
    add_arc(c, b->family, a->family, t->cost);
  } else if (is_free(a)) {
    c->need[a->family] += b->last ? t->cost : -t->cost;
  } else if (is_free(b)) {
    c->need[b->family] += a->last ? t->cost : -t->cost;
  }
}

static void begin(cut *c) {
  storage *s = c->s;
  const int n = s->sites->nvalues;
  c->need = arena_array(s->a, int64_t, n + 1);
  c->first = arena_array(s->a, int, n + 1);
  c->by = arena_array(s->a, int, n + 1);
  c->seen = arena_array(s->a, int, n + 1);
  c->queue = arena_array(s->a, int, n + 1);
  for (int i = 0; i < n; ++i) {
    const stored_order *v = &s->value[i];
    c->first[i] = -1;
    if (is_free(v)) c->need[v->family] += v->cost[false] - v->cost[true];
  }
  for (size_t i = 0; i < s->ties.len; ++i) add_tie(c, &s->ties.data[i]);
}

static void reach(cut *c, int family, int by) {
  c->seen[family] = c->searches;
  c->by[family] = by;
  c->queue[c->reached++] = family;
}

/* The nearest demand that something can flow to from what was reached, -1: none. */
static int search(cut *c) {
  for (int at = 0; at < c->reached; ++at) {
    const int from = c->queue[at];
    if (c->need[from] < 0) return from;
    for (int i = c->first[from]; i >= 0; i = c->arcs.data[i].next) {
      const arc *a = &c->arcs.data[i];
      if (a->left > 0 && c->seen[a->to] != c->searches) reach(c, a->to, i);
    }
  }
  return -1;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* As much as there is, is wanted, and every arc on the way can take. */
static void flow(cut *c, int from, int to) {
  int64_t much = least(c->need[from], -c->need[to]);
  for (int at = to; at != from; at = c->arcs.data[c->by[at] ^ 1].to)
    much = least(much, c->arcs.data[c->by[at]].left);
  for (int at = to; at != from; at = c->arcs.data[c->by[at] ^ 1].to) {
    c->arcs.data[c->by[at]].left -= much;
    c->arcs.data[c->by[at] ^ 1].left += much;
  }
  c->need[from] -= much;
  c->need[to] += much;
}

static void empty(cut *c, int from) {
  for (int to = from; c->need[from] > 0 && to >= 0;) {
    ++c->searches;
    c->reached = 0;
    reach(c, from, -1);
    to = search(c);
    if (to >= 0) flow(c, from, to);
  }
}

void storage_cut(storage *s) {
  cut c = {.s = s};
  const int n = s->sites->nvalues;
  begin(&c);
  for (int i = 0; i < n; ++i) empty(&c, i);
  ++c.searches;
  c.reached = 0;
  for (int i = 0; i < n; ++i)
    if (c.need[i] > 0) reach(&c, i, -1);
  const int demand = search(&c);
  WN_CHECK(demand < 0, "layouts: value %d could be reached", demand);
  for (int i = 0; i < n; ++i)
    if (is_free(&s->value[i])) s->value[i].last = c.seen[s->value[i].family] == c.searches;
}
