/* Joining; see joins.h. */
#include "plan/joins.h"

#include "ir/walk.h"
#include "lower/lower.h"
#include "plan/loops.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"
#include "rewrite/transform.h"

enum {
  LOOKED_AT = 8, /* earlier values that read an array, the last ones first */
  MOST_LINES =
      800 /* of a kernel of several values, well below what is compiled at all; nodes are lines, about */
};

typedef struct visit {
  int leader, member, read; /* where its reads are looked through */
} visit;

typedef struct ordering {
  char *state; /* by leader: 1 begun, 2 done */
  int *out, n;
  VEC(visit) stack;
} ordering;

typedef struct joining {
  graph *g;
  arena *a;
  const site_list *sites;
  const machine *machine;
  const plan_source *source;
  graph_plan *plan;
  graph_site *at;     /* of joins_mark */
  int *leader;        /* by value: whose kernel stores it */
  int *size;          /* by leader: how many there are, */
  double *lines;      /* and about how long the kernel is */
  value_loops *loops; /* by value, once they were asked for */
  bool *known;
  bool *pooled; /* by value: its kernel makes partial sums, in an order of its own (pooled.h) */
  int *depth;   /* by value: how many of its kernel wait for each other until it can be computed */
  map later;    /* loop of a sum and depth -> the loop that stands for it there */
  int *next, *last;  /* by value: the next of the same kernel, -1; by leader: the last */
  int *stamp, looks; /* by leader: the walk that looked at it; how many there were */
  bool any;
} joining;

static const stored_value *value_of(const joining *j, int v) { return &j->sites->value[v]; }

/* --- what can be joined ----------------------------------------------------------------------- */

/* No convolution, and not made once and for all. */
static bool is_candidate(const stored_value *v) {
  return v->nconvs == 0 && v->nsites == 1 && !v->constant && v->summed == 0;
}

static bool same_extents(const stored_value *x, const stored_value *y) {
  const uop *a = x->canonical, *b = y->canonical;
  bool same = a->nsrc == b->nsrc;
  for (int i = 1; same && i < a->nsrc; ++i) same = a->src[i]->arg.j == b->src[i]->arg.j;
  return same;
}

static bool reads_value(const stored_value *v, int other) {
  for (int i = 0; i < v->narrays; ++i)
    if (v->array[i] == ~other) return true;
  return false;
}

/* Does the value read the other only at the point that it computes, and gets the very bits that were computed? A
 * product might be fused with what reads it, and short floats are rounded where they are stored. */
static bool reads_own_point(const joining *j, int v, int other) {
  const uop *b = value_of(j, v)->canonical, *of = value_of(j, other)->canonical;
  const uop *flat = uop_int(j->g, 0);
  int slot = 0;
  if (!same_extents(value_of(j, v), value_of(j, other))) return false;
  if (of->dtype == WN_F16 || of->dtype == WN_BF16 || of->src[0]->op == OP_MUL) return false;
  while (value_of(j, v)->array[slot] != ~other) ++slot;
  for (int i = 1; i < b->nsrc; ++i)
    flat = uop_add(j->g, flat, uop_muli(j->g, b->src[i], uop_stride(of, i - 1)));
  flat = simplify(j->g, flat);
  uop_order all = uop_walk_value(j->a, b->src[0]);
  bool own = true;
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op == OP_INDEX && u->src[0]->op == OP_BUFFER && u->src[0]->arg.i == slot)
      own = own && uop_is_int(u->src[1], 1) && u->src[2] == flat;
  }
  return own;
}

static const value_loops *loops_of(joining *j, int v) {
  if (!j->known[v]) {
    const schedule *s = &j->plan->site[value_of(j, v)->first];
    j->loops[v] = loops_of_value(j->a, value_of(j, v)->canonical, s, j->machine);
    j->known[v] = true;
  }
  return &j->loops[v];
}

/* The loops of sums in a value, and whether their chains are those of products (nest/sums.c). */
typedef struct sum_loops {
  const uop *reduce;
  bool products;
} sum_loops;

typedef VEC(sum_loops) sum_list;

static sum_list sums_in(arena *a, const uop *b) {
  sum_list out = {0};
  uop_order all = uop_walk_value(a, b->src[0]);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op == OP_REDUCE) vec_push(a, &out, ((sum_loops){u, sum_is_of_products(u->src[0])}));
  }
  return out;
}

/* Loops that two values have in common are cut alike in both, or sums would be made in another order. */
static bool cut_alike(const sum_loops *x, const sum_loops *y) {
  bool same = x->reduce->nsrc == y->reduce->nsrc && x->products == y->products, meet = false;
  for (int i = 1; i < x->reduce->nsrc; ++i) {
    for (int k = 1; k < y->reduce->nsrc; ++k) meet |= x->reduce->src[i] == y->reduce->src[k];
    same = same && x->reduce->src[i] == y->reduce->src[i];
  }
  return same || !meet;
}

/* Why the two cannot be in one nest, as far as they themselves go; NULL: they can. */
static const char *why_two_apart(joining *j, int v, int w) {
  const stored_value *x = value_of(j, v), *y = value_of(j, w);
  if (!is_candidate(x) || !is_candidate(y))
    return "both must be stored values without a convolution that depend on inputs";
  if (!same_extents(x, y)) return "their shapes differ";
  if (!loops_fit(j->a, x->canonical, loops_of(j, v), y->canonical, loops_of(j, w)))
    return "they go through their loops in other ways";
  sum_list of = sums_in(j->a, x->canonical), to = sums_in(j->a, y->canonical);
  if (j->depth[v] != j->depth[w]) return NULL; /* they have no loops of sums in common */
  for (size_t i = 0; i < of.len; ++i) {
    for (size_t k = 0; k < to.len; ++k)
      if (!cut_alike(&of.data[i], &to.data[k])) return "their sums are cut in other ways";
  }
  return NULL;
}

/* The same of a value and all that the kernel of `to` stores. */
static const char *why_apart(joining *j, int to, int v) {
  const char *why = NULL;
  j->depth[v] = 0;
  for (int w = to; w >= 0; w = j->next[w]) {
    if (!reads_value(value_of(j, v), w)) continue;
    if (!reads_own_point(j, v, w)) return "one reads the other at other points than it computes";
    if (j->depth[v] <= j->depth[w]) j->depth[v] = j->depth[w] + 1;
  }
  for (int w = to; w >= 0 && why == NULL; w = j->next[w]) why = why_two_apart(j, w, v);
  return why;
}

/* --- order ------------------------------------------------------------------------------------ */

/* What has to be computed before `from`, then that. False: in a circle. */
static bool visit_all(joining *j, ordering *o, int from) {
  if (o->state[from] != 0) return true;
  o->state[from] = 1;
  vec_push(j->a, &o->stack, ((visit){from, from, 0}));
  while (o->stack.len > 0) {
    visit *at = &o->stack.data[o->stack.len - 1];
    const stored_value *v = value_of(j, at->member);
    if (at->read == v->narrays) {
      at->read = 0;
      at->member = j->next[at->member];
      if (at->member >= 0) continue;
      o->state[at->leader] = 2;
      o->out[o->n++] = at->leader;
      --o->stack.len;
      continue;
    }
    int array = v->array[at->read++];
    if (array >= 0) continue;
    int before = j->leader[~array];
    if (before == at->leader || o->state[before] == 2) continue;
    if (o->state[before] == 1) return false;
    o->state[before] = 1;
    vec_push(j->a, &o->stack, ((visit){before, before, 0}));
  }
  return true;
}

/* Leaders in an order in which they can be computed, ended by -1: as they come where nothing is joined. */
static const int *order_of(joining *j) {
  int n = j->sites->nvalues;
  ordering o = {.state = arena_array(j->a, char, n + 1), .out = arena_array(j->a, int, n + 1)};
  for (int v = 0; v < n; ++v) {
    bool done = j->leader[v] != v || visit_all(j, &o, v);
    WN_CHECK(done, "value %d is joined in a circle", v);
  }
  o.out[o.n] = -1;
  return o.out;
}

/* Does v need something that comes of what the kernel of `to` stores, and not at its own points alone? Values are
 * joined as they come, so none that is joined needs v, and what ends before `to` does not need that. */
static bool depends_on(joining *j, int v, int to) {
  VEC(int) stack = {0};
  const int stamp = ++j->looks; /* of one value there are walks for several kernels */
  vec_push(j->a, &stack, v);
  while (stack.len > 0) {
    for (int m = stack.data[--stack.len]; m >= 0; m = j->next[m]) {
      const stored_value *of = value_of(j, m);
      for (int i = 0; i < of->narrays; ++i) {
        int before = of->array[i] < 0 ? j->leader[~of->array[i]] : -1;
        if (before == to && m != v) return true;
        if (before < 0 || before == to || j->last[before] < to || j->stamp[before] == stamp)
          continue;
        j->stamp[before] = stamp;
        vec_push(j->a, &stack, before);
      }
    }
  }
  return false;
}

static void add_to(joining *j, int to, int v) {
  j->leader[v] = to;
  j->next[j->last[to]] = v;
  j->last[to] = v;
  ++j->size[to];
}

/* --- choosing --------------------------------------------------------------------------------- */

/* Values by an array that they read. */
typedef struct use use;
struct use {
  int value;
  use *next;
};

/* One for each array and its values, the last first. */
typedef struct uses {
  arena *a;
  map of; /* array, as in stored_value.array -> use * */
} uses;

static use *users_of(const uses *u, int array) {
  return map_get_ptr(&u->of, (uint64_t)(uint32_t)array);
}

static void add_user(uses *u, int array, int value) {
  use *of = arena_new(u->a, use);
  *of = (use){value, users_of(u, array)};
  map_put_ptr(&u->of, (uint64_t)(uint32_t)array, of);
}

static double lines_of(joining *j, int v) {
  const value_loops *l = loops_of(j, v);
  double copies = (double)l->tile.k * (double)(l->tile.t / l->tile.lanes);
  return copies * (double)uop_walk_value(j->a, value_of(j, v)->canonical->src[0]).len;
}

static bool has_products(joining *j, int v) {
  sum_list of = sums_in(j->a, value_of(j, v)->canonical);
  for (size_t i = 0; i < of.len; ++i)
    if (of.data[i].products) return true;
  return false;
}

/* Seconds that are saved where v is stored by the kernel of `to`: bytes that are read once and not twice, from where
 * they are, and a launch. What products take is arithmetic, and their sums fill the registers: joined they only wait
 * for each other. */
static double gain_of(joining *j, int to, int v, int64_t shared_bytes) {
  const machine_limits *l = j->machine->limits;
  if (has_products(j, v) || has_products(j, to)) return 0;
  int level = LEVEL_L1;
  while (level < LEVEL_MEMORY && (double)shared_bytes > (double)l->size[level]) ++level;
  return l->wake + (double)shared_bytes / l->read[level];
}

static bool is_free(const joining *j, int v) {
  const schedule *s = &j->plan->site[value_of(j, v)->first];
  return j->source[value_of(j, v)->first] == PLAN_CHOOSE && !s->inlined && s->t[0] == 0 &&
         s->k[0] == 0;
}

static bool join(joining *j, int to, int v, int64_t shared_bytes) {
  if (!is_free(j, to) || !is_free(j, v) || j->size[to] == JOINED_AT_MOST) return false;
  if (j->pooled[to] || j->pooled[v]) return false;
  if (why_apart(j, to, v) != NULL) return false;
  if (j->lines[to] == 0) j->lines[to] = lines_of(j, to);
  double lines = j->lines[to] + lines_of(j, v);
  if (lines > (int)MOST_LINES || !(gain_of(j, to, v, shared_bytes) > 0)) return false;
  if (depends_on(j, v, to)) return false;
  add_to(j, to, v);
  j->lines[to] = lines;
  j->plan->site[value_of(j, v)->first].with = value_of(j, to)->first + 1;
  return j->any = true;
}

static void begin(joining *j, arena *a) {
  int n = j->sites->nvalues;
  j->a = a;
  j->leader = arena_array(a, int, n + 1);
  j->size = arena_array(a, int, n + 1);
  j->lines = arena_array(a, double, n + 1);
  j->next = arena_array(a, int, n + 1);
  j->last = arena_array(a, int, n + 1);
  j->stamp = arena_array(a, int, n + 1);
  j->loops = arena_array(a, value_loops, n + 1);
  j->known = arena_array(a, bool, n + 1);
  j->depth = arena_array(a, int, n + 1);
  j->pooled = arena_array(a, bool, n + 1);
  map_init(&j->later, a);
  for (int v = 0; v < n; ++v) j->leader[v] = j->last[v] = v, j->next[v] = -1, j->size[v] = 1;
  for (int v = 0; v < n; ++v)
    if (value_of(j, v)->summed > 0) j->pooled[value_of(j, v)->summed - 1] = true;
}

/* Of the array that the canonical form numbers so. */
static int64_t array_bytes_read(const joining *j, const stored_value *v, int array) {
  uop_order all = uop_walk_value(j->a, v->canonical->src[0]);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op == OP_BUFFER && u->arg.i == array)
      return array_elements(u) * (int64_t)wn_dtype_size((wn_dtype)u->dtype);
  }
  return 0;
}

static void choose_all(arena *a, void *state) {
  joining *j = state;
  uses u = {.a = a};
  map_init(&u.of, a);
  begin(j, a);
  for (int v = 0; v < j->sites->nvalues; ++v) {
    const stored_value *of = value_of(j, v);
    bool joined = false;
    for (int i = 0; i < of->narrays && !joined && is_candidate(of); ++i) {
      int looked = 0;
      for (use *at = users_of(&u, of->array[i]); at != NULL && looked < (int)LOOKED_AT && !joined;
           at = at->next, ++looked)
        joined = join(j, j->leader[at->value], v, array_bytes_read(j, of, i));
    }
    for (int i = 0; i < of->narrays && is_candidate(of); ++i) add_user(&u, of->array[i], v);
  }
}

bool joins_choose(graph *g, const site_list *sites, const plan_source *source, graph_plan *plan,
                  const machine *m) {
  joining j = {.g = g, .sites = sites, .machine = m, .source = source, .plan = plan};
  with_scratch(g->diag, choose_all, &j);
  return j.any;
}

static void mark_all(arena *a, void *state) {
  joining *j = state;
  uses u = {.a = a};
  j->a = a;
  map_init(&u.of, a);
  for (int v = 0; v < j->sites->nvalues; ++v) {
    const stored_value *of = value_of(j, v);
    if (!is_candidate(of)) continue;
    bool joins = false;
    for (int i = 0; i < of->narrays && !joins; ++i) {
      int looked = 0;
      for (use *at = users_of(&u, of->array[i]); at != NULL && looked < (int)LOOKED_AT && !joins;
           at = at->next, ++looked)
        joins = same_extents(value_of(j, at->value), of);
    }
    for (int i = 0; i < of->narrays; ++i) add_user(&u, of->array[i], v);
    j->at[of->first].joins = joins;
  }
}

void joins_mark(graph *g, site_list *sites) {
  graph_site *at = arena_copy(&g->arena, sites->at, sizeof *at * (size_t)sites->n);
  joining j = {.g = g, .sites = sites, .at = at};
  with_scratch(g->diag, mark_all, &j);
  sites->at = at;
}

/* --- joining ---------------------------------------------------------------------------------- */

static _Noreturn void refuse(joining *j, int v, int to, const char *why) {
  arena *a = &j->g->arena;
  diag_fail(j->g->diag, WN_ERR_REFUSED, "%s cannot be stored with %s: %s",
            site_text(a, j->sites, value_of(j, v)->first), site_text(a, j->sites, to), why);
}

/* Whose kernel stores it, as the plan says. */
static void read_plan(joining *j, int v, int *site) {
  const stored_value *of = value_of(j, v);
  int with = of->nsites == 1 ? j->plan->site[of->first].with - 1 : -1;
  if (with < 0) return;
  *site = of->first;
  if (j->plan->site[with].inlined) refuse(j, v, with, "that has no kernel");
  int to = j->sites->at[with].value;
  j->plan->site[of->first] = j->plan->site[with]; /* sizes are those of the kernel */
  if (j->leader[to] != to) refuse(j, v, with, "that is stored with another itself");
  const char *why = to < v ? why_apart(j, to, v) : "it is not computed before it";
  if (why == NULL && j->size[to] == (int)JOINED_AT_MOST) why = "there are four already";
  if (why == NULL && depends_on(j, v, to)) why = "one needs what comes of the other";
  if (why != NULL) refuse(j, v, with, why);
  add_to(j, to, v);
  *site = -1;
  j->any = true;
}

/* The canonical forms of a kernel's values over arrays that are numbered in common. */
typedef struct merging {
  joining *j;
  VEC(int) arrays; /* as in stored_value.array */
  int depth;       /* of the value at hand, */
  map buffer;      /* and id of a BUFFER of it -> the common one */
  map bound;       /* number of a loop of its own -> 1 */
} merging;

/* What waits for another's sum cannot be summed in the same loop. */
static const uop *later_loop(joining *j, const uop *loop, int depth) {
  uint64_t key = (uint64_t)loop->arg.i * (int)JOINED_AT_MOST + (uint64_t)depth;
  const uop *later = map_get_ptr(&j->later, key);
  if (later == NULL) map_put_ptr(&j->later, key, later = uop_range(j->g, loop->arg.j, NULL));
  return later;
}

static const uop *common_read(void *user, const uop *u) {
  const merging *m = user;
  uint64_t own;
  if (u->op == OP_RANGE && m->depth > 0 && !map_get(&m->bound, (uint64_t)u->arg.i, &own))
    return later_loop(m->j, u, m->depth);
  if (u->op != OP_INDEX) return u;
  const uop *to = map_get_ptr(&m->buffer, u->src[0]->id);
  return to == NULL ? u : uop_index(m->j->g, to, u->src[1], u->nsrc - 2, u->src + 2);
}

static int number_of(merging *m, int array) {
  size_t at = 0;
  while (at < m->arrays.len && m->arrays.data[at] != array) ++at;
  if (at == m->arrays.len) vec_push(&m->j->g->arena, &m->arrays, array);
  return (int)at;
}

static const uop *over_common_arrays(merging *m, const stored_value *v, int place) {
  graph *g = m->j->g;
  const uop *b = v->canonical;
  uop_order all = uop_walk_value(m->j->a, b->src[0]);
  int *number = arena_array(m->j->a, int, v->narrays + 1);
  for (int i = 0; i < v->narrays; ++i) number[i] = number_of(m, v->array[i]);
  map_init(&m->buffer, m->j->a);
  map_init(&m->bound, m->j->a);
  for (int i = 1; i < b->nsrc; ++i) map_put(&m->bound, (uint64_t)b->src[i]->arg.i, 1);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op != OP_BUFFER) continue;
    const int_list *shape = u->arg.list;
    const uop *to = uop_buffer(g, number[u->arg.i], (wn_dtype)u->dtype, shape->len, shape->at);
    map_put_ptr(&m->buffer, u->id, to);
  }
  const uop *value = uop_transform_value(g, m->j->a, b->src[0], common_read, m);
  bufferize_info info = *b->arg.info;
  info.site = place;
  return uop_bufferize(g, value, b->nsrc - 1, b->src + 1, info);
}

static stored_value merge(joining *j, int leader) {
  arena *keep = &j->g->arena;
  stored_value v = *value_of(j, leader);
  merging m = {.j = j};
  const uop *form[JOINED_AT_MOST];
  int *others = arena_array(keep, int, JOINED_AT_MOST);
  for (int w = leader; w >= 0; w = j->next[w]) {
    if (w != leader) others[v.nothers++] = w;
    m.depth = j->depth[w];
    /* its place: one behind the sites of the first */
    const int place = w == leader ? 0 : v.nsites + v.nothers - 1;
    form[v.nothers] = over_common_arrays(&m, value_of(j, w), place);
  }
  v.others = others;
  v.array = m.arrays.data;
  v.narrays = (int)m.arrays.len;
  v.canonical =
      simplify(j->g, uop_new(j->g, OP_SINK, WN_DTYPE_COUNT, v.nothers + 1, form, (uop_arg){0}));
  return v;
}

/* Those that are joined to the same values over the same arrays are alike, and so are those that were and are not
 * joined. */
static void find_alike(joining *j, stored_value *values) {
  map first; /* index as it was, or id of a SINK -> index + 1 of the first */
  map_init(&first, j->a);
  for (int v = 0; v < j->sites->nvalues; ++v) {
    uint64_t key = (uint64_t)values[v].alike * 2, known;
    values[v].joined = j->leader[v] != v ? j->leader[v] + 1 : 0;
    if (values[v].nothers > 0) key = (uint64_t)values[v].canonical->id * 2 + 1;
    if (values[v].joined > 0) {
      values[v].alike = j->leader[v];
      continue;
    }
    bool found = map_get(&first, key, &known);
    values[v].alike = found ? (int)known - 1 : v;
    if (!found) map_put(&first, key, (uint64_t)v + 1);
  }
}

typedef struct join_request {
  joining j;
  int *site;
  site_list out;
} join_request;

/* Partial sums are stored by the kernel of what they are of. */
static void add_partial_sums(joining *j) {
  for (int v = 0; v < j->sites->nvalues; ++v) {
    const int to = value_of(j, v)->summed - 1;
    if (to < 0) continue;
    WN_CHECK(j->leader[to] == to, "partial sums of what has no kernel");
    add_to(j, to, v);
    j->any = true;
  }
}

static void join_all(arena *a, void *state) {
  join_request *r = state;
  joining *j = &r->j;
  int n = j->sites->nvalues;
  begin(j, a);
  for (int v = 0; v < n; ++v) read_plan(j, v, r->site);
  add_partial_sums(j);
  r->out = *j->sites;
  if (!j->any) return;
  stored_value *values = arena_copy(&j->g->arena, j->sites->value, sizeof *values * (size_t)n);
  for (int v = 0; v < n; ++v)
    if (j->size[v] > 1) values[v] = merge(j, v);
  find_alike(j, values);
  r->out.value = values;
  r->out.order = arena_copy(&j->g->arena, order_of(j), sizeof(int) * (size_t)(n + 1));
}

site_list sites_join(graph *g, const site_list *all, const graph_plan *plan, const machine *m,
                     int *site) {
  size_t size = (size_t)plan->n * sizeof *plan->site;
  graph_plan copy = {plan->n, arena_copy(&g->arena, plan->site, size)};
  join_request r = {.j = {.g = g, .sites = all, .machine = m, .plan = &copy}, .site = site};
  *site = -1;
  with_scratch(g->diag, join_all, &r);
  return r.out;
}
