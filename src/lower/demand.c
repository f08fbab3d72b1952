/* See demand.h. The walk visits consumers before their sources, so that a node knows all its
 * readers before it passes demands on; it does not recurse. The idea of carrying index
 * expressions backwards through movement ops is that of Halide's bounds inference turned around,
 * and of "rangeify" in tinygrad. */
#include "lower/demand.h"

#include "ir/walk.h"

#include "lower/lower.h"

/* Weights. Storing an elementwise value pays only where computing it again costs far more than
 * reading it. */
#define HEAVY           1e6 /* a reduction */
#define REPEATED_WEIGHT 16  /* an elementwise value read at several index vectors */
#define LOOPED_WEIGHT \
  8 /* ... or computed again by LOOPED_TIMES of the loops around: one transcendental */
#define LOOPED_TIMES     4.0
#define PREPARED_TIMES   2.0 /* a prepared value over the longest constant that it is made of */
#define GATHER_WEIGHT    4   /* a read, its checks and its address */
#define SCATTERED_WEIGHT 8   /* read where the data say, several times: two such reads of its own */
#define HEAVY_TIMES      1.5 /* a reduction may be computed for the padding around it, but not twice */
#define TANGLED \
  128 /* nodes of an index that reshapes and permutes have made too long to carry on */

demand_node *demand_node_of(const demand_graph *d, const uop *t) {
  uint64_t at = 0;
  bool known = map_get(&d->number, t->id, &at);
  WN_CHECK(known, "node %u was not collected", t->id);
  return &d->node[at];
}

/* --- parts of concatenations ------------------------------------------------------------------ */

/* Do some of the first axes have so many elements? */
static bool has_rows(const int_list *shape, int64_t rows) {
  int64_t n = 1;
  for (int i = 0; i < shape->len && n < rows; ++i) n *= shape->at[i];
  return n == rows;
}

/* How many sources of the CAT from number i on are all of one tensor, cut along the axis: 0, they are not. */
static int whole_again(const demand_graph *d, const demand_node *n, int i) {
  const int axis = (int)n->t->arg.i;
  const uop *first = n->t->src[i], *of = first->op == OP_SHRINK ? first->src[0] : NULL;
  const int_list *shape = of != NULL ? demand_node_of(d, of)->shape : NULL;
  int64_t at = 0;
  for (int k = i; of != NULL && k < n->t->nsrc; ++k) {
    const uop *u = n->t->src[k];
    bool next = u->op == OP_SHRINK && u->src[0] == of && u->arg.list->at[2 * axis] == at;
    for (int j = 0; next && j < shape->len; ++j)
      next = j == axis || u->arg.list->at[2 * j + 1] - u->arg.list->at[2 * j] == shape->at[j];
    if (!next) return 0;
    at = u->arg.list->at[2 * axis + 1];
    if (at == shape->at[axis]) return k + 1 - i;
  }
  return 0;
}

static void find_parts(demand_graph *d, demand_node *n) {
  int64_t rows = 1;
  for (int i = 0; i < n->t->arg.i; ++i) rows *= n->shape->at[i];
  n->part = arena_array(d->a, demand_node *, n->t->nsrc);
  for (int i = 0; i < n->t->nsrc;) {
    int cut = whole_again(d, n, i);
    demand_node *part = demand_node_of(d, cut > 0 ? n->t->src[i]->src[0] : n->t->src[i]);
    while (part->t->op == OP_RESHAPE && has_rows(demand_node_of(d, part->t->src[0])->shape, rows))
      part = demand_node_of(d, part->t->src[0]);
    part->is_part = true;
    n->part[n->nparts++] = part;
    i += cut > 0 ? cut : 1;
  }
}

/* --- weights ---------------------------------------------------------------------------------- */

static double op_weight(const uop *t) {
  switch (t->op) {
    case OP_EXP:
    case OP_LOG:
    case OP_SIN:
    case OP_COS:
    case OP_ATAN:
    case OP_TANH:
    case OP_ERF:
    case OP_POW:
      return 8;
    case OP_DIV:
    case OP_SQRT:
    case OP_IDIV:
    case OP_MOD:
      return 2;
    case OP_GATHER:
      return GATHER_WEIGHT;
    default:
      return 1;
  }
}

static double count_of(const int_list *shape) {
  double n = 1;
  for (int i = 0; i < shape->len; ++i) n *= (double)shape->at[i];
  return n;
}

static double weigh(const demand_graph *d, const demand_node *n) {
  const uop *t = n->t;
  if (t->op == OP_REDUCE_AXIS) return HEAVY;
  double sum = 0;
  for (int i = 0; i < t->nsrc; ++i) {
    const demand_node *s = demand_node_of(d, t->src[i]);
    bool stored = s->t->op == OP_CAT || (s->is_part && !uop_is_movement(s->t));
    sum += stored ? 0 : s->weight;
  }
  if (t->op == OP_EXPAND && sum >= HEAVY)
    return 0; /* the reduction below is stored for its own sake */
  if (t->op == OP_GATHER && sum >= HEAVY)
    return GATHER_WEIGHT; /* and so it is where places are data */
  if (!uop_is_movement(t) && t->nsrc > 0) sum += op_weight(t);
  return sum < 2 * HEAVY ? sum : 2 * HEAVY;
}

/* --- indices ---------------------------------------------------------------------------------- */

static const uop *canonical(demand_graph *d, const uop *e) {
  if (e->op == OP_RANGE || e->op == OP_CONST) return e;
  const uop *known = map_get_ptr(&d->canonical, e->id);
  if (known == NULL) {
    known = simplify(d->g, e);
    map_put_ptr(&d->canonical, e->id, known);
  }
  return known;
}

static const uop *new_range(demand_graph *d, int64_t extent, const char *name) {
  const uop *r = uop_range(d->g, extent, name);
  map_put(&d->extents, (uint64_t)r->arg.i, (uint64_t)extent);
  return r;
}

/* A loop for every axis longer than 1; returns how many. */
static int axis_ranges(demand_graph *d, const int_list *shape, const uop **index,
                       const uop **ranges) {
  int n = 0;
  for (int i = 0; i < shape->len; ++i) {
    index[i] = uop_int(d->g, 0);
    if (shape->at[i] > 1) index[i] = ranges[n++] = new_range(d, shape->at[i], NULL);
  }
  return n;
}

static void append(demand_node *n, demand *m) {
  if (n->last != NULL)
    n->last->next = m;
  else
    n->first = m;
  n->last = m;
  ++n->count;
}

static demand *add_demand(demand_graph *d, demand_node *n, const uop *const *index, demand like) {
  const size_t bytes = sizeof *index * (size_t)n->shape->len;
  for (demand *old = n->first; old != NULL; old = old->next) {
    if (old->valid != like.valid || memcmp(old->index, index, bytes) != 0) continue;
    if (like.runs > old->runs) old->runs = like.runs;
    old->reduced = old->reduced || like.reduced;
    old->scattered = old->scattered || like.scattered;
    return old;
  }
  demand *m = arena_new(d->a, demand);
  *m = (demand){.index = arena_copy(d->a, index, bytes),
                .valid = like.valid,
                .runs = like.runs,
                .reduced = like.reduced,
                .scattered = like.scattered};
  append(n, m);
  return m;
}

/* --- movement --------------------------------------------------------------------------------- */

/* Groups of axes with equal products match each other, so that a division appears only inside a
 * group. */
static void through_reshape(demand_graph *d, const int_list *from, const int_list *to,
                            const uop *const *in, const uop **out) {
  graph *g = d->g;
  int i = 0, j = 0;
  while (i < from->len || j < to->len) {
    const int i0 = i, j0 = j;
    const int64_t a = reshape_group(from, to, &i, &j);
    const uop *flat = uop_int(g, 0);
    for (int k = j0; k < j; ++k) flat = uop_add(g, uop_muli(g, flat, to->at[k]), in[k]);
    int64_t stride = 1;
    for (int k = i; k-- > i0;) {
      const int64_t extent = from->at[k];
      const uop *e = uop_divi(g, flat, stride);
      stride *= extent;
      out[k] = extent == 1 ? uop_int(g, 0) : canonical(d, stride == a ? e : uop_modi(g, e, extent));
    }
  }
}

static const uop *inside_of(graph *g, const uop *index, int64_t extent) {
  const uop *c = uop_bool(g, true);
  if (index->vmin < 0) c = uop_ge(g, index, 0);
  if (index->vmax >= extent) c = uop_and(g, c, uop_lt(g, index, extent));
  return c;
}

/* Where movement node n takes its element `m` from; `like` is what the source's demand inherits. */
static void through_movement(demand_graph *d, const demand_node *n, const int_list *from, demand *m,
                             const uop **out, demand *like) {
  graph *g = d->g;
  const uop *t = n->t;
  const int64_t *arg = t->arg.list->at;
  const uop *inside = uop_bool(g, true);
  if (t->op == OP_RESHAPE) {
    through_reshape(d, from, n->shape, m->index, out);
    return;
  }
  for (int i = 0; i < from->len; ++i) {
    const uop *e = m->index[i];
    switch (t->op) {
      case OP_PERMUTE:
        out[arg[i]] = e;
        continue;
      case OP_EXPAND:
        break; /* below */
      case OP_PAD:
        e = canonical(d, uop_addi(g, e, -arg[2 * i]));
        inside = uop_and(g, inside, inside_of(g, e, from->at[i]));
        break;
      case OP_SHRINK:
        e = canonical(d, uop_addi(g, e, arg[2 * i]));
        break;
      case OP_FLIP:
        if (arg[i]) e = canonical(d, uop_addi(g, uop_muli(g, e, -1), from->at[i] - 1));
        break;
      case OP_STRIDE:
        e = canonical(d, uop_muli(g, e, arg[i]));
        break;
      default:
        diag_panic(__FILE__, __LINE__, "node %u: %s does not move", t->id, op_table[t->op].name);
    }
    out[i] = from->at[i] == 1 ? uop_int(g, 0) : e;
  }
  if (t->op == OP_PAD) {
    m->inside = inside;
    like->valid = uop_and(g, m->valid, inside);
  }
}

/* --- places that are data --------------------------------------------------------------------- */

/* What is read at them: anywhere on the axis, or nowhere. */
static void through_gather(demand_graph *d, const demand_node *n, const int_list *from, demand *m,
                           const uop **out, demand *like) {
  graph *g = d->g;
  const int axis = (int)n->t->arg.i, rest = n->shape->len - (from->len - axis - 1);
  for (int i = 0; i < axis; ++i) out[i] = m->index[i];
  out[axis] = uop_int(g, 0);
  if (from->at[axis] > 1) out[axis] = m->place = new_range(d, from->at[axis], NULL);
  for (int i = axis + 1; i < from->len; ++i) out[i] = m->index[rest + i - axis - 1];
  m->none = new_range(d, 2, NULL);
  m->inside = uop_lt(g, m->none, 1);
  like->valid = uop_and(g, m->valid, m->inside);
  like->scattered = true;
}

/* Where the places themselves are. */
static void through_places(const demand_node *n, const int_list *places, const demand *m,
                           const uop **out, demand *like) {
  for (int i = 0; i < places->len; ++i) out[i] = m->index[n->t->arg.i + i];
  like->scattered = true;
}

/* --- reductions ------------------------------------------------------------------------------- */

/* A reduction over another of the same kind is one reduction, unless the inner one is a
 * contraction: that is better recognised by itself. Only movement may stand between. */
static bool swallows(const uop *outer) {
  const uop *t = outer->src[0];
  while (t->op == OP_RESHAPE || t->op == OP_PERMUTE) t = t->src[0];
  if (t->op != OP_REDUCE_AXIS || t->arg.list->at[0] != outer->arg.list->at[0]) return false;
  t = t->src[0];
  while (uop_is_movement(t)) t = t->src[0];
  return t->op != OP_MUL;
}

static void through_reduce(demand_graph *d, const demand_node *n, const int_list *from, demand *m,
                           const uop **out, demand *like) {
  const int_list *arg = n->t->arg.list;
  m->ranges = arena_array(d->a, const uop *, arg->len);
  for (int i = 0; i < from->len; ++i) out[i] = m->index[i];
  for (int i = 1; i < arg->len; ++i) {
    const int64_t extent = from->at[arg->at[i]];
    if (extent == 1) continue;
    out[arg->at[i]] = m->ranges[m->nranges++] = new_range(d, extent, NULL);
    like->runs *= (double)extent;
  }
  like->reduced = m->reduced || !swallows(n->t);
}

/* --- what is stored --------------------------------------------------------------------------- */

/* At most how many different elements a demand reads. */
static double distinct(const demand_graph *d, const demand_node *n, const demand *m) {
  double all = 1;
  for (int i = 0; i < n->shape->len; ++i) {
    const uop *e = m->index[i];
    double loops = 1, span = (double)e->vmax - (double)e->vmin + 1,
           extent = (double)n->shape->at[i];
    for (int j = 0; j < e->free_->len; ++j) {
      uint64_t x = 1;
      map_get(&d->extents, (uint64_t)e->free_->at[j], &x);
      loops *= (double)x;
    }
    double least = loops < span ? loops : span;
    all *= least < extent ? least : extent;
  }
  return all;
}

static void note_constant(const demand_graph *d, demand_node *n) {
  if (n->t->op == OP_BUFFER) {
    n->constant = d->constant != NULL && d->constant[n->t->arg.i];
    n->source = count_of(n->shape);
    return;
  }
  n->constant = true;
  for (int i = 0; i < n->t->nsrc; ++i) {
    const demand_node *s = demand_node_of(d, n->t->src[i]);
    n->constant = n->constant && s->constant;
    if (s->source > n->source) n->source = s->source;
  }
}

/* Tells the sources of n who reads them; all its own readers have told it. */
static void note_readers(const demand_graph *d, const demand_node *n) {
  bool passes = n->constant && uop_is_movement(n->t);
  bool run = passes ? n->run || n->result >= 0 : !n->constant;
  for (int i = 0; i < n->t->nsrc; ++i) {
    demand_node *s = demand_node_of(d, n->t->src[i]);
    s->run = s->run || run;
  }
}

/* Computed from constants, and not again in every run: scaled or converted weights. What is much larger than all that
 * it is made of is better made where it is read. */
static bool worth_preparing(const demand_node *n) {
  const double size = count_of(n->shape);
  return n->constant && n->run && n->result < 0 && size > 1 && size <= PREPARED_TIMES * n->source;
}

/* Some index has grown so long that a stored value is cheaper than the arithmetic to find its
 * element. */
static bool tangled(demand_graph *d, const demand_node *n) {
  const double size = count_of(n->shape);
  for (const demand *m = n->first; m != NULL; m = m->next) {
    for (int i = 0; i < n->shape->len && size <= m->runs; ++i) {
      const uop *e = m->index[i];
      if (e->nsrc > 0 && uop_toposort(d->a, 1, &e).len > TANGLED) return true;
    }
  }
  return false;
}

/* An index that is made of several loops: what reads is not in the order of this value, as after a depth-to-space. Its
 * kernel would go through its own loops in pieces, where a map that moves elements costs a read and a write. */
static bool torn(const demand_node *n, const demand *m) {
  for (int i = 0; i < n->shape->len; ++i)
    if (m->index[i]->free_->len > 1) return true;
  return false;
}

static bool worth_storing(demand_graph *d, const demand_node *n) {
  if (n->t->nsrc == 0 || n->count == 0) return false;
  if (tangled(d, n)) return true;
  if (uop_is_movement(n->t)) return false; /* what it moves may be */
  if (worth_preparing(n)) return true;
  const bool heavy = n->weight >= HEAVY;
  if (n->count > 1 && n->weight >= REPEATED_WEIGHT) return true;
  for (const demand *m = n->first; m != NULL; m = m->next) {
    const double times = m->runs / distinct(d, n, m);
    if (m->scattered && (n->weight >= SCATTERED_WEIGHT || n->t->op == OP_GATHER)) return true;
    if (heavy && (m->reduced || times > HEAVY_TIMES || torn(n, m))) return true;
    if (n->weight >= LOOPED_WEIGHT && times >= LOOPED_TIMES) return true;
  }
  return false;
}

/* What asks for all of the node once. */
static demand *demand_all(demand_graph *d, const demand_node *n) {
  const uop *index[WN_MAX_DIMS], **loops = arena_array(d->a, const uop *, n->shape->len + 1);
  demand *m = arena_new(d->a, demand);
  *m = (demand){.valid = uop_bool(d->g, true), .runs = count_of(n->shape)};
  m->nloops = axis_ranges(d, n->shape, index, loops);
  m->loops = loops;
  m->index = arena_copy(d->a, index, sizeof *index * (size_t)n->shape->len);
  return m;
}

static void store(demand_node *n, demand *root) {
  n->root = root;
  n->ranges = root->loops;
  n->nranges = root->nloops;
}

static void store_output(const demand_graph *d, demand_node *n) {
  n->root = d->output_demand[n->result];
  n->ranges = d->output_range[n->result];
  n->nranges = d->output_nranges[n->result];
}

/* --- concatenation ---------------------------------------------------------------------------- */

demand *demand_of_part(const demand_node *n) {
  demand *m = n->first;
  while (m != NULL && m->loops == NULL) m = m->next;
  return m;
}

/* In the order of its axes: parts that take turns are stored between each other (cats.h), in rows of what is behind the
 * axis. With the axis outermost each would be one piece, but all that reads the whole, or the caller if it is an
 * output, would have it in another order than was asked for; rows cost nothing until they are shorter than a vector,
 * and then one of the two goes through memory in steps either way. */
static void store_cat(demand_graph *d, demand_node *n) {
  if (n->result >= 0)
    store_output(d, n);
  else
    store(n, demand_all(d, n));
  for (int i = 0; i < n->nparts; ++i)
    if (demand_of_part(n->part[i]) == NULL) append(n->part[i], demand_all(d, n->part[i]));
}

/* --- the walk --------------------------------------------------------------------------------- */

static void pass_on(demand_graph *d, const demand_node *n, demand *m) {
  m->from = arena_array(d->a, demand *, n->t->nsrc + 1);
  for (int i = 0; i < n->t->nsrc; ++i) {
    demand_node *source = demand_node_of(d, n->t->src[i]);
    const uop *index[WN_MAX_DIMS];
    demand like = {
        .valid = m->valid, .runs = m->runs, .reduced = m->reduced, .scattered = m->scattered};
    if (uop_is_movement(n->t))
      through_movement(d, n, source->shape, m, index, &like);
    else if (n->t->op == OP_GATHER && i == 0)
      through_gather(d, n, source->shape, m, index, &like);
    else if (n->t->op == OP_GATHER)
      through_places(n, source->shape, m, index, &like);
    else if (n->t->op == OP_REDUCE_AXIS)
      through_reduce(d, n, source->shape, m, index, &like);
    else
      memcpy(index, m->index, sizeof *index * (size_t)n->shape->len);
    m->from[i] = add_demand(d, source, index, like);
  }
}

static void visit(demand_graph *d, demand_node *n) {
  note_readers(d, n);
  /* an output is stored anyway: others read it there, unless computing it again is nothing */
  bool shared_output = n->result >= 0 && n->count > 1 && n->weight >= LOOPED_WEIGHT;
  const bool computed = n->t->nsrc > 0 && !uop_is_movement(n->t);
  demand *part = computed ? demand_of_part(n) : NULL;
  if (n->t->op == OP_CAT) {
    store_cat(d, n);
    return;
  }
  if (shared_output)
    store_output(d, n);
  else if (part != NULL && n->result < 0)
    store(n, part);
  else if (worth_storing(d, n))
    store(n, demand_all(d, n));
  if (n->root != NULL) {
    pass_on(d, n, n->root);
    return;
  }
  for (demand *m = n->first; m != NULL; m = m->next) pass_on(d, n, m);
}

/* A concatenation that was reshaped is the caller's array all the same. */
static demand_node *output_node(const demand_graph *d, const uop *t) {
  const uop *of = t;
  while (of->op == OP_RESHAPE) of = of->src[0];
  return demand_node_of(d, of->op == OP_CAT ? of : t);
}

static void add_output(demand_graph *d, int i, const uop *t) {
  demand_node *n = output_node(d, t);
  const uop *index[WN_MAX_DIMS];
  d->output[i] = n;
  d->output_range[i] = arena_array(d->a, const uop *, n->shape->len + 1);
  d->output_nranges[i] = axis_ranges(d, n->shape, index, d->output_range[i]);
  d->output_demand[i] =
      add_demand(d, n, index, (demand){.valid = uop_bool(d->g, true), .runs = count_of(n->shape)});
  if (n->result < 0) n->result = i;
}

void demand_collect(demand_graph *d, graph *g, arena *a, int count, const uop *const *outs,
                    const bool *constant) {
  *d = (demand_graph){.g = g, .a = a, .constant = constant};
  map_init(&d->number, a);
  map_init(&d->extents, a);
  map_init(&d->canonical, a);
  map shapes;
  map_init(&shapes, a);
  uop_order order = uop_toposort(a, count, outs);
  d->len = order.len;
  d->node = arena_array(a, demand_node, order.len);
  for (size_t i = 0; i < order.len; ++i) {
    demand_node *n = &d->node[i];
    *n = (demand_node){
        .t = order.at[i], .shape = tensor_shape(g, &shapes, order.at[i]), .result = -1};
    map_put(&d->number, order.at[i]->id, i);
    note_constant(d, n);
    if (n->t->op == OP_CAT) find_parts(d, n);
  }
  for (size_t i = 0; i < order.len; ++i) d->node[i].weight = weigh(d, &d->node[i]);
  d->output = arena_array(a, demand_node *, count);
  d->output_demand = arena_array(a, demand *, count);
  d->output_range = arena_array(a, const uop **, count);
  d->output_nranges = arena_array(a, int, count);
  for (int i = 0; i < count; ++i) add_output(d, i, outs[i]);
  for (size_t i = order.len; i-- > 0;) visit(d, &d->node[i]);
}
