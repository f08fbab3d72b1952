/* Tensor graph -> range IR: the second half, building expressions from demands (lower/demand.h).
 *
 * In: tensor-level outputs. Out: a SINK of one BUFFERIZE per output that has elements, simplified. Always holds:
 * what a demand's `valid` excludes is never read: it is part of every INDEX below; PAD adds a
 * WHERE only around values that are not 0 by themselves where all their INDEXes fail. Nothing
 * here recurses. */
#include "lower/lower.h"

#include "lower/cats.h"
#include "lower/demand.h"
#include "lower/split.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"

typedef struct lowering {
  demand_graph d;
  graph *g;
  int *number; /* by output of d: which of all outputs it is */
  map zero;    /* uop id -> 1 or 0: known answers of zero_where_invalid */
  int stored;
} lowering;

/* --- padding ---------------------------------------------------------------------------------- */

static bool zero_by_sources(lowering *l, const uop *e, uint64_t *s) {
  uint64_t z[3] = {0};
  for (int i = 0; i < e->nsrc && i < 3; ++i) map_get(&l->zero, e->src[i]->id, &z[i]);
  switch (e->op) {
    case OP_INDEX:
      *s = 1;
      break;
    case OP_CONST:
      *s = uop_const_value(e) == 0;
      break;
    case OP_ABS:
    case OP_FLOOR:
    case OP_ROUND:
    case OP_SQRT:
    case OP_SIN:
    case OP_ATAN:
    case OP_TANH:
    case OP_ERF:
    case OP_CAST:
      *s = z[0];
      break;
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_MAX:
    case OP_MIN:
      *s = z[0] && z[1];
      break;
    case OP_WHERE:
      *s = z[1] && z[2];
      break;
    case OP_REDUCE:
      *s = z[0];
      break; /* of any kind: 0 combined with 0 */
    default:
      *s = 0;
      break;
  }
  return *s != 0;
}

/* Is e 0 wherever the INDEXes in it are not valid? Sources are always asked before, as
 * expressions are built bottom up, so one level is enough. A product of a 0 and a constant may
 * be -0 and does not count. */
static void note_zero(lowering *l, const uop *e) {
  uint64_t s;
  if (map_get(&l->zero, e->id, &s)) return;
  zero_by_sources(l, e, &s);
  map_put(&l->zero, e->id, s);
}

static const uop *pad_value(lowering *l, const demand *m) {
  const uop *v = m->from[0]->value;
  uint64_t zero = 0;
  map_get(&l->zero, v->id, &zero);
  if (zero) return v;
  return uop_where(l->g, m->inside, v, uop_const(l->g, (wn_dtype)v->dtype, 0));
}

/* --- building --------------------------------------------------------------------------------- */

static const uop *load(lowering *l, const demand_node *n, const demand *m) {
  graph *g = l->g;
  const uop *flat = uop_int(g, 0);
  int64_t stride = 1;
  for (int i = n->shape->len; i-- > 0;) {
    flat = uop_add(g, uop_muli(g, m->index[i], stride), flat);
    stride *= n->shape->at[i];
  }
  return uop_index(g, n->t, m->valid, 1, &flat);
}

static const uop *alu(graph *g, const uop *t, const demand *m) {
  const uop *v[3];
  for (int i = 0; i < t->nsrc; ++i) v[i] = m->from[i]->value;
  if (t->op == OP_CAST) return uop_cast(g, (wn_dtype)t->dtype, v[0]);
  if (t->op == OP_WHERE) return uop_where(g, v[0], v[1], v[2]);
  return t->nsrc == 1 ? uop_alu1(g, (uop_op)t->op, v[0]) : uop_alu2(g, (uop_op)t->op, v[0], v[1]);
}

/* The value at the place that the data say, which below is any place on the axis or none: now both are known. */
static const uop *gather(lowering *l, const demand_node *n, const demand *m) {
  graph *g = l->g;
  const int64_t extent = demand_node_of(&l->d, n->t->src[0])->shape->at[n->t->arg.i];
  const uop *said = uop_cast(g, WN_I64, m->from[1]->value), *value = pad_value(l, m);
  const uop *from_end = uop_alu2(g, OP_LT, said, uop_int(g, 0));
  const uop *place = uop_where(g, from_end, uop_addi(g, said, extent), said);
  const uop *inside = uop_and(g, uop_ge(g, said, -extent), uop_lt(g, said, extent));
  const uop *from[] = {m->none, m->place}, *to[] = {NULL, place};
  to[0] = uop_where(g, inside, uop_int(g, 0), uop_int(g, 1));
  const uop *read = uop_replace(g, value, m->place != NULL ? 2 : 1, from, to);
  uint64_t zero = 0;
  map_get(&l->zero, value->id, &zero);
  map_put(&l->zero, read->id, zero);
  return read;
}

/* Directly on top of a REDUCE of the same kind: one REDUCE over the ranges of both. */
static const uop *reduce(lowering *l, const demand_node *n, const demand *m) {
  const uop *v = m->from[0]->value;
  const uop_op kind = (uop_op)n->t->arg.list->at[0];
  for (int i = 0; i < m->nranges; ++i)
    map_put_ptr(&l->g->sums, (uint64_t)m->ranges[i]->arg.i, n->t);
  if (v->op != OP_REDUCE || v->arg.i != kind || m->nranges == 0)
    return uop_reduce(l->g, kind, v, m->nranges, m->ranges);
  const int inner = v->nsrc - 1;
  const uop **all = arena_array(l->d.a, const uop *, m->nranges + inner);
  memcpy(all, m->ranges, sizeof *all * (size_t)m->nranges);
  memcpy(all + m->nranges, v->src + 1, sizeof *all * (size_t)inner);
  return uop_reduce(l->g, kind, v->src[0], m->nranges + inner, all);
}

static void build(lowering *l, const demand_node *n, demand *m) {
  if (n->t->op == OP_CONST)
    m->value = n->t;
  else if (n->t->op == OP_BUFFER)
    m->value = load(l, n, m);
  else if (n->t->op == OP_PAD)
    m->value = pad_value(l, m);
  else if (n->t->op == OP_REDUCE_AXIS)
    m->value = reduce(l, n, m);
  else if (n->t->op == OP_GATHER)
    m->value = gather(l, n, m);
  else if (uop_is_movement(n->t))
    m->value = m->from[0]->value;
  else
    m->value = alu(l->g, n->t, m);
  note_zero(l, m->value);
}

/* --- stored values ---------------------------------------------------------------------------- */

static const uop *bufferize(lowering *l, const uop *tensor, const char *name, int number,
                            bool result, const uop *value, int n, const uop *const *ranges) {
  const bufferize_info info = {.name = arena_printf(l->d.a, "%s%d", name, number),
                               .space = result ? SPACE_GLOBAL : SPACE_ANY,
                               .site = -1,
                               .explicit_ = result};
  const uop *b = uop_bufferize(l->g, value, n, ranges, info);
  map_put_ptr(&l->g->stored, (uintptr_t)b->arg.info->name, tensor);
  return b;
}

static void read_stored(lowering *l, const demand_node *n, demand *m) {
  const uop *index[WN_MAX_DIMS];
  int k = 0;
  for (int i = 0; i < n->shape->len; ++i) {
    if (n->shape->at[i] > 1) index[k++] = m->index[i];
  }
  m->value = uop_index(l->g, n->stored, m->valid, k, index);
  note_zero(l, m->value);
}

/* The array of a part of a CAT: that of the node where it has one, else one of its own, made once for all that want
 * it. */
static const uop *part_of(lowering *l, const demand_node *part) {
  demand *m = demand_of_part(part);
  if (part->root == m || part->t->op == OP_CAT) return part->stored;
  if (m->stored == NULL)
    m->stored = bufferize(l, part->t, "b", l->stored++, false, m->value, m->nloops, m->loops);
  return m->stored;
}

static void build_cat(lowering *l, const demand_node *n) {
  const uop **part = arena_array(l->d.a, const uop *, n->nparts);
  uop_arg axis = {0};
  for (int i = 0; i < n->t->arg.i; ++i) axis.i += n->shape->at[i] > 1;
  for (int i = 0; i < n->nparts; ++i) part[i] = part_of(l, n->part[i]);
  n->root->value = uop_new(l->g, OP_CAT, (wn_dtype)n->t->dtype, n->nparts, part, axis);
}

static void build_node(lowering *l, demand_node *n) {
  if (n->root == NULL) {
    for (demand *m = n->first; m != NULL; m = m->next) build(l, n, m);
    return;
  }
  if (n->t->op == OP_CAT)
    build_cat(l, n);
  else
    build(l, n, n->root);
  const bool result = n->result >= 0 && n->root == l->d.output_demand[n->result];
  const int number = result ? l->number[n->result] : l->stored++;
  n->stored = bufferize(l, n->t, result ? "result" : "b", number, result, n->root->value,
                        n->nranges, n->ranges);
  for (demand *m = n->first; m != NULL; m = m->next) {
    if (m != n->root) read_stored(l, n, m);
  }
}

/* --- all of it -------------------------------------------------------------------------------- */

typedef struct lower_job {
  graph *g;
  int count;
  const uop *const *tensors;
  const bool *constant;
  const uop *root;
} lower_job;

/* The outputs that there is something to compute of, and their numbers. */
static int with_elements(lowering *l, const lower_job *job, arena *a, const uop **outs) {
  int count = 0;
  l->number = arena_array(a, int, job->count);
  for (int i = 0; i < job->count; ++i) {
    if (uop_is_empty(job->tensors[i])) continue;
    l->number[count] = i;
    outs[count++] = job->tensors[i];
  }
  return count;
}

static void run(arena *a, void *state) {
  lower_job *job = state;
  lowering l = {.g = job->g};
  map_init(&l.zero, a);
  const uop **outs = arena_array(a, const uop *, job->count);
  const int count = with_elements(&l, job, a, outs);
  demand_collect(&l.d, job->g, a, count, outs, job->constant);
  for (size_t i = 0; i < l.d.len; ++i) build_node(&l, &l.d.node[i]);
  const uop **results = arena_array(a, const uop *, count + 1);
  for (int i = 0; i < count; ++i) {
    results[i] = bufferize(&l, l.d.output[i]->t, "result", l.number[i], true,
                           l.d.output_demand[i]->value, l.d.output_nranges[i], l.d.output_range[i]);
  }
  job->root = uop_new(job->g, OP_SINK, WN_DTYPE_COUNT, count, results, (uop_arg){0});
  job->root = split_ranges(job->g, a, simplify(job->g, job->root));
  job->root = cats_separate(job->g, a, job->root, &l.stored);
}

const uop *lower_tensors(graph *g, int count, const uop *const *tensors, const bool *constant) {
  lower_job job = {g, count, tensors, constant, NULL};
  with_scratch(g->diag, run, &job);
  return job.root;
}
