/* Partial sums in a value's kernel; see pooled.h. */
#include "plan/pooled.h"

#include <math.h>

#include "ir/walk.h"
#include "lower/lower.h"
#include "plan/loops.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"

/* That work is left in where the loop that is summed over is inside; of so many channels, about. */
static const double LEAST_BLOCKS = 4, CHANNELS_OF_BLOCK = 16;
/* An addition a vector, and partial sums are loaded and stored for each tile of a few vectors; in multiply-adds. */
static const double VECTOR_SUMMED = 1.5;

/* A sum over another value, and which of its loops go through each of that one's. */
typedef struct pooled {
  int from;                      /* index of the value */
  const uop *reduce, *index;     /* in the sum's canonical form: index reads the value */
  const uop *owner[WN_MAX_DIMS]; /* by loop of the value: the sum's */
  int64_t
      step[WN_MAX_DIMS]; /* and of how many of its elements one step of that loop is one of this */
  bool summed[WN_MAX_DIMS];
  int inner; /* the last loop of the value that is summed over */
} pooled;

typedef struct pooling {
  graph *g;
  arena *a;
  const site_list *sites;
  const plan_source *source;
  graph_plan *plan;
  const machine *machine;
  bool any;
  /* of sites_pool: */
  stored_value *values;
  int n;
  map partial; /* id of a form, its inner loop, those summed over -> the form of its partial sums */
  map rest;    /* ids of a sum's form and of its partial sums' -> what is left of it */
  site_list out;
} pooling;

static const stored_value *value_of(const pooling *p, int v) { return &p->sites->value[v]; }

/* --- is it such a sum? ------------------------------------------------------------------------ */

/* The loop of the sum that steps by `step` elements goes through one or more of the value's, the last fastest. */
static bool own_loops(pooled *q, const uop *b, const uop *loop, int64_t step, bool summed) {
  int64_t left = loop->arg.j, each = 1;
  while (left > 1) {
    int i = 0;
    while (i < b->nsrc - 1 && (uop_stride(b, i) != step || q->owner[i] != NULL)) ++i;
    if (i == b->nsrc - 1 || left % b->src[i + 1]->arg.j != 0) return false;
    q->owner[i] = loop;
    q->step[i] = each;
    q->summed[i] = summed;
    each *= b->src[i + 1]->arg.j;
    step *= b->src[i + 1]->arg.j;
    left /= b->src[i + 1]->arg.j;
  }
  return true;
}

static bool is_loop_of(const uop *binder, const uop *loop) {
  bool found = false;
  for (int i = 1; i < binder->nsrc; ++i) found |= binder->src[i] == loop;
  return found;
}

/* Does the sum go through every element of the value once? */
static bool goes_through(pooled *q, const uop *sum, const uop *b) {
  linear_form f;
  if (!linear_of(q->index->src[2], &f) || f.constant != 0) return false;
  for (int i = 0; i < f.n; ++i) {
    const bool summed = is_loop_of(q->reduce, f.atom[i]);
    if (f.atom[i]->op != OP_RANGE || (!summed && !is_loop_of(sum, f.atom[i]))) return false;
    if (!own_loops(q, b, f.atom[i], f.coeff[i], summed)) return false;
  }
  int sums = 0;
  q->inner = -1;
  for (int i = 0; i < b->nsrc - 1; ++i) {
    if (q->owner[i] == NULL) return false;
    if (q->summed[i]) q->inner = i;
  }
  for (int i = 0; i < f.n; ++i) sums += is_loop_of(q->reduce, f.atom[i]);
  return q->inner >= 0 && sums == q->reduce->nsrc - 1;
}

/* The only sum in the value, where that is the sum of elements of one array, which is read nowhere else. */
static bool find_sum(const pooling *p, const stored_value *v, pooled *q) {
  const uop_order own = uop_walk_value(p->a, v->canonical->src[0]);
  for (size_t i = 0; i < own.len; ++i) {
    if (own.at[i]->op == OP_REDUCE && q->reduce != NULL) return false;
    if (own.at[i]->op == OP_REDUCE) q->reduce = own.at[i];
  }
  if (q->reduce == NULL || q->reduce->arg.i != OP_ADD) return false;
  const uop *read = q->index = q->reduce->src[0];
  if (read->op != OP_INDEX || read->src[0]->op != OP_BUFFER || read->nsrc != 3) return false;
  if (!uop_is_int(read->src[1], 1)) return false;
  for (size_t i = 0; i < own.len; ++i)
    if (own.at[i]->op == OP_INDEX && own.at[i] != read && own.at[i]->src[0] == read->src[0])
      return false;
  return true;
}

/* Why the value has no partial sums elsewhere, as far as the values say; NULL: it might. */
static const char *why_not(const pooling *p, int v, pooled *q) {
  const stored_value *sum = value_of(p, v);
  *q = (pooled){.from = -1};
  if (p->machine->group > 0) return "work items of a device would add to one number at a time";
  if (value_is_cat(sum) || sum->nconvs > 0 || sum->constant || !find_sum(p, sum, q))
    return "it is not the sum of one other value";
  const int array = sum->array[q->index->src[0]->arg.i];
  if (array >= 0) return "it sums an input, which no kernel makes";
  q->from = ~array;
  const stored_value *of = value_of(p, q->from);
  const uop *b = of->canonical;
  if (value_is_cat(of)) return "it sums a concatenation, which several kernels make";
  if (of->constant) return "what it sums is made once";
  if (of->whole > 0 || b->arg.info->stride != NULL)
    return "what it sums is a part of another value";
  if (b->dtype != WN_F32 && b->dtype != WN_F64) return "partial sums are of f32 or f64";
  if (b->nsrc - 1 > WN_MAX_DIMS || !goes_through(q, sum->canonical, b))
    return "its loops are not those of what it sums";
  if (b->nsrc < 3) return "there is no loop beside the one that is summed over";
  return NULL;
}

/* --- choosing --------------------------------------------------------------------------------- */

static bool is_free(const pooling *p, int site) {
  const schedule *s = &p->plan->site[site];
  return p->source[site] == PLAN_CHOOSE && !s->inlined && s->with == 0 && s->t[0] == 0 &&
         s->k[0] == 0 && s->chains == 0 && s->lanes == VALUE_LOOP_CHOSEN;
}

/* Is the value stored with another, or another with it? */
static bool is_joined(const pooling *p, const stored_value *v) {
  bool joined = p->plan->site[v->first].with > 0;
  for (int i = 0; i < p->plan->n && !joined; ++i) joined = p->plan->site[i].with == v->first + 1;
  return joined;
}

static int readers_of(const pooling *p, int value) {
  int readers = 0;
  for (int v = 0; v < p->sites->nvalues; ++v)
    for (int i = 0; i < value_of(p, v)->narrays; ++i) readers += value_of(p, v)->array[i] == ~value;
  return readers;
}

/* Does another sum read the value, so that it has to be read all the same? */
static bool has_other_sums(const pooling *p, int sum, int value) {
  bool found = false;
  for (int v = 0; v < p->sites->nvalues && !found; ++v) {
    const stored_value *of = value_of(p, v);
    if (v == sum || value_is_cat(of) || p->sites->at[of->first].kind != SITE_SUM) continue;
    for (int i = 0; i < of->narrays; ++i) found |= of->array[i] == ~value;
  }
  return found;
}

/* Are neighbours of the loop that is summed over in the lanes? What has constant weights may have channels there. Of what
 * is rewritten the lanes may be others with another number of threads, and then the sums would have other bits. */
static bool may_fit(const pooling *p, const pooled *q) {
  const stored_value *of = value_of(p, q->from);
  for (int i = 0; i < of->nsites; ++i)
    if (!p->plan->site[of->first + i].direct) return false;
  if (of->nconvs > 0 || p->sites->at[of->first].kind == SITE_PRODUCT) return true;
  const schedule *s = &p->plan->site[of->first];
  value_loops l = loops_of_value(p->a, of->canonical, s, p->machine);
  return l.lane != q->inner && l.term_lanes == 1 && l.tline == 0;
}

/* Blocks that the kernel's work is in, channels taken together. */
static double blocks_left(const pooled *q, const uop *b) {
  double points = 1;
  for (int i = 0; i < b->nsrc - 1; ++i) points *= i == q->inner ? 1 : (double)b->src[i + 1]->arg.j;
  return points / CHANNELS_OF_BLOCK;
}

/* Seconds that are saved: the value is read once less, or not stored at all; but arithmetic binds where it is summed. */
static double gain_of(const pooling *p, const pooled *q) {
  const machine_limits *l = p->machine->limits;
  const uop *b = value_of(p, q->from)->canonical;
  const double element = (double)wn_dtype_size((wn_dtype)b->dtype);
  const double bytes = (double)uop_elements(b) * element;
  const double sums = bytes / (double)b->src[q->inner + 1]->arg.j;
  const int width = p->machine->vector_bytes > 32 ? 2 : p->machine->vector_bytes > 16 ? 1 : 0;
  const double vectors = bytes / p->machine->vector_bytes;
  const double slot = 2.0 * p->machine->vector_bytes / 4.0 / l->flops[width];
  int level = LEVEL_L1;
  while (level < LEVEL_MEMORY && bytes > (double)l->size[level]) ++level;
  double gain = bytes / l->read[level];
  if (readers_of(p, q->from) == 1 && value_of(p, q->from)->result < 0)
    gain += bytes / l->read[level];
  return gain - slot * vectors * VECTOR_SUMMED - 2.0 * sums / l->read[LEVEL_L2];
}

static bool pays(const pooling *p, int v, pooled *q) {
  if (why_not(p, v, q) != NULL || is_joined(p, value_of(p, q->from))) return false;
  if (p->plan->site[value_of(p, q->from)->first].inlined || has_other_sums(p, v, q->from))
    return false;
  return may_fit(p, q) && blocks_left(q, value_of(p, q->from)->canonical) >= LEAST_BLOCKS &&
         gain_of(p, q) > 0;
}

static void choose_all(arena *a, void *state) {
  pooling *p = state;
  p->a = a;
  for (int v = 0; v < p->sites->nvalues; ++v) {
    const stored_value *sum = value_of(p, v);
    pooled q;
    if (value_is_cat(sum) || p->sites->at[sum->first].kind != SITE_SUM || !is_free(p, sum->first))
      continue;
    if (!pays(p, v, &q)) continue;
    p->plan->site[sum->first].sums = value_of(p, q.from)->first + 1;
    p->any = true;
  }
}

bool pooled_choose(graph *g, const site_list *sites, const plan_source *source, graph_plan *plan,
                   const machine *m) {
  pooling p = {.g = g, .sites = sites, .source = source, .plan = plan, .machine = m};
  if (m->group == 0) with_scratch(g->diag, choose_all, &p);
  return p.any;
}

/* --- two of one ------------------------------------------------------------------------------- */

/* Places of the value's loops among those of the partial sums: what is summed outside first, so that neighbours stay
 * neighbours; -1: the loop that is summed over there. Returns how many there are. */
static int place_loops(const pooled *q, const uop *b, int *place) {
  int n = 0;
  for (int pass = 0; pass < 2; ++pass)
    for (int i = 0; i < b->nsrc - 1; ++i)
      if (q->summed[i] == (pass == 0) && i != q->inner) place[i] = n++;
  place[q->inner] = -1;
  return n;
}

/* Sums over the inner loop of the value that the kernel stores beside it, in the order of place_loops. */
static const uop *partial_form(pooling *p, const pooled *q) {
  graph *g = p->g;
  const uop *b = value_of(p, q->from)->canonical, *loop[WN_MAX_DIMS], *flat = uop_int(g, 0);
  int place[WN_MAX_DIMS];
  const int n = place_loops(q, b, place);
  uint64_t key = ((uint64_t)b->id * WN_MAX_DIMS + (uint64_t)q->inner) << WN_MAX_DIMS;
  for (int i = 0; i < b->nsrc - 1; ++i) key |= (uint64_t)q->summed[i] << i;
  const uop *known = map_get_ptr(&p->partial, key), *inner = NULL;
  if (known != NULL) return known;
  for (int i = 0; i < b->nsrc - 1; ++i) {
    const uop *r = uop_range(g, b->src[i + 1]->arg.j, NULL);
    if (place[i] >= 0) loop[place[i]] = r;
    if (place[i] < 0) inner = r;
    flat = uop_add(g, flat, uop_muli(g, r, uop_stride(b, i)));
  }
  const int64_t len = value_of(p, q->from)->span;
  const uop *array = uop_buffer(g, 0, (wn_dtype)b->dtype, 1, &len);
  const uop *read = uop_index(g, array, uop_bool(g, true), 1, &flat);
  const bufferize_info info = {
      .name = "result", .space = SPACE_GLOBAL, .explicit_ = true, .stage = STAGE_COUNT};
  const uop *form =
      simplify(g, uop_bufferize(g, uop_reduce(g, OP_ADD, read, 1, &inner), n, loop, info));
  map_put_ptr(&p->partial, key, form);
  return form;
}

/* The sum over what is left. */
static const uop *rest_form(pooling *p, int v, const pooled *q, const uop *partial) {
  graph *g = p->g;
  const uop *sum = value_of(p, v)->canonical, *b = value_of(p, q->from)->canonical;
  const uint64_t key = (uint64_t)sum->id << 32 | partial->id;
  const uop *known = map_get_ptr(&p->rest, key), *loop[WN_MAX_DIMS], *flat = uop_int(g, 0);
  int place[WN_MAX_DIMS], n = 0;
  if (known != NULL) return known;
  place_loops(q, b, place);
  for (int i = 0; i < b->nsrc - 1; ++i) {
    const uop *at = q->owner[i];
    if (place[i] < 0 || (!q->summed[i] && q->step[i] > 1)) continue; /* its owner has been there */
    if (q->summed[i]) at = loop[n++] = uop_range(g, b->src[i + 1]->arg.j, NULL);
    flat = uop_add(g, flat, uop_muli(g, at, uop_stride(partial, place[i])));
  }
  const int64_t len = uop_span(partial);
  const uop *array = uop_buffer(g, q->index->src[0]->arg.i, (wn_dtype)b->dtype, 1, &len);
  const uop *now = uop_index(g, array, uop_bool(g, true), 1, &flat);
  if (n > 0) now = uop_reduce(g, OP_ADD, now, n, loop);
  const uop *value = uop_replace(g, sum->src[0], 1, &q->reduce, &now);
  const uop *form =
      simplify(g, uop_bufferize(g, value, sum->nsrc - 1, sum->src + 1, *sum->arg.info));
  map_put_ptr(&p->rest, key, form);
  return form;
}

/* Nobody else reads it: it has no array. */
static void keep_in_registers(pooling *p, int value) {
  stored_value *v = &p->values[value];
  const uop *b = v->canonical;
  bufferize_info info = *b->arg.info;
  info.space = SPACE_REG;
  v->canonical = uop_bufferize(p->g, b->src[0], b->nsrc - 1, b->src + 1, info);
}

static void split(pooling *p, int v, const pooled *q) {
  arena *keep = &p->g->arena;
  stored_value *sum = &p->values[v], *partial = &p->values[p->n];
  const uop *form = partial_form(p, q);
  int *from = arena_array(keep, int, 1), *array = arena_array(keep, int, sum->narrays);
  *from = ~q->from;
  *partial =
      (stored_value){.label = intern_string(p->g, arena_printf(keep, "partial%d", sum->first)),
                     .canonical = form,
                     .narrays = 1,
                     .array = from,
                     .len = uop_elements(form),
                     .span = uop_span(form),
                     .result = -1,
                     .alike = p->n,
                     .first = sum->first,
                     .nsites = 1,
                     .summed = q->from + 1};
  for (int i = 0; i < sum->narrays; ++i)
    array[i] = i == (int)q->index->src[0]->arg.i ? ~p->n : sum->array[i];
  sum->canonical = rest_form(p, v, q, form);
  sum->array = array;
  ++p->n;
  if (readers_of(p, q->from) == 1 && p->values[q->from].result < 0) keep_in_registers(p, q->from);
}

static _Noreturn void refuse(const pooling *p, int site, int from, const char *why) {
  arena *a = &p->g->arena;
  diag_fail(p->g->diag, WN_ERR_REFUSED, "%s cannot have its sums from %s: %s",
            site_text(a, p->sites, site), site_text(a, p->sites, from), why);
}

/* As the plan says of a site. */
static void pool(pooling *p, int site) {
  const int from = p->plan->site[site].sums - 1;
  pooled q;
  if (from < 0) return;
  if (p->plan->site[from].inlined) refuse(p, site, from, "that has no kernel");
  const char *why = why_not(p, p->sites->at[site].value, &q);
  if (why == NULL && q.from != p->sites->at[from].value) why = "it sums another value";
  if (why == NULL && is_joined(p, value_of(p, q.from)))
    why = "that is stored with others, which have their own loops";
  for (int v = p->sites->nvalues; v < p->n && why == NULL; ++v)
    if (p->values[v].summed == q.from + 1) why = "that makes the sums of another already";
  if (why != NULL) refuse(p, site, from, why);
  split(p, p->sites->at[site].value, &q);
}

/* What was alike and is in two now, or has no array any more, is like others of the same form. */
static void find_alike(pooling *p) {
  map first; /* index of what it was like, + 1, and id of its form -> index + 1 of the first */
  map_init(&first, p->a);
  for (int v = 0; v < p->n; ++v) {
    const uint64_t was = v < p->sites->nvalues ? (uint64_t)value_of(p, v)->alike + 1 : 0;
    const uint64_t key = was << 32 | p->values[v].canonical->id;
    uint64_t known;
    const bool found = map_get(&first, key, &known);
    p->values[v].alike = found ? (int)known - 1 : v;
    if (!found) map_put(&first, key, (uint64_t)v + 1);
  }
}

static void pool_all(arena *a, void *state) {
  pooling *p = state;
  int sums = 0;
  p->a = a;
  p->out = *p->sites;
  for (int i = 0; i < p->plan->n; ++i) sums += p->plan->site[i].sums > 0;
  if (sums == 0) return;
  const size_t n = (size_t)p->sites->nvalues;
  p->values = arena_array(&p->g->arena, stored_value, n + (size_t)sums);
  memcpy(p->values, p->sites->value, n * sizeof *p->values);
  p->n = (int)n;
  map_init(&p->partial, a);
  map_init(&p->rest, a);
  for (int i = 0; i < p->plan->n; ++i) pool(p, i);
  find_alike(p);
  p->out.nvalues = p->n;
  p->out.value = p->values;
}

site_list sites_pool(graph *g, const site_list *all, const graph_plan *plan, const machine *m) {
  graph_plan copy = *plan;
  pooling p = {.g = g, .sites = all, .plan = &copy, .machine = m};
  with_scratch(g->diag, pool_all, &p);
  return p.out;
}
