/* Partial sums that the kernel of what they are of stores beside it.
 *
 * In: a stored value whose form is a sum over one loop of another value of the same part (plan/pooled.h); that one's
 * nest. Out: the nest with a store that sums (nest_store.sums), and without its own store where nobody reads that.
 * The loop that is summed over is not of the grid, so an element is summed by one block of it, in the order of its
 * loops; points past an end are left out, and none is computed twice.
 * Always holds: what cannot be so is refused, with the reason. */
#include "nest/state.h"

bool sums_are_partial(const apply *ap, const uop *node) {
  const uop *sum = node->src[0], *read = sum->op == OP_REDUCE ? sum->src[0] : NULL;
  if (read == NULL || read->op != OP_INDEX || read->src[0]->op != OP_BUFFER) return false;
  const int64_t array = read->src[0]->arg.i;
  return array < ap->nuser && ap->user[array].joined > 0;
}

/* What the partial sums are of. */
static stage *stage_summed(const apply *ap, const uop *node) {
  const int site = ap->user[node->src[0]->src[0]->src[0]->arg.i].joined - 1;
  for (size_t i = 0; i < ap->stages.len; ++i) {
    stage *st = ap->stages.data[i];
    const bool stored = st->id == STAGE_COUNT && st->node->arg.info->explicit_;
    if (stored && st->node->arg.info->site == site) return st;
  }
  WN_CHECK(false, "partial sums of site %d, which is not here", site);
  return NULL;
}

/* The range of what is summed that a loop of the sums goes through. */
static int range_of(const stage *of, const uop *read, const uop *loop) {
  const int64_t stride = index_stride(read, loop);
  int i = 0;
  while (i < of->n && uop_stride(of->node, i) != stride) ++i;
  WN_CHECK(i < of->n, "a loop of partial sums is none of what they are of");
  return i;
}

void sums_announce(apply *ap) {
  for (size_t i = 0; i < ap->stages.len; ++i) {
    const uop *node = ap->stages.data[i]->node;
    if (!sums_are_partial(ap, node)) continue;
    stage *of = stage_summed(ap, node);
    of->pooled = range_of(of, node->src[0]->src[0], node->src[0]->src[1]) + 1;
  }
}

axis_kind sums_kind(const stage *st, int i) { return st->pooled == i + 1 ? AXIS_LOOP : AXIS_GRID; }

static _Noreturn void refuse(const apply *ap, const char *why) {
  diag_fail(ap->g->diag, WN_ERR_REFUSED, "partial sums (sums=) cannot be made in its kernel: %s",
            why);
}

void sums_not_twice(const apply *ap, const stage *st) {
  if (st->pooled > 0) refuse(ap, "its last blocks begin early, and compute elements twice");
}

void sums_once(apply *ap, stage *st, const uop *block, const uop *in, int64_t step, int64_t len) {
  if (st->pooled == 0 || len % step == 0) return;
  const uop *before = uop_add(ap->g, uop_muli(ap->g, block, step), uop_muli(ap->g, in, -1));
  WN_CHECK(st->nlimits < DRAFT_LIMITS, "more than %d limits", DRAFT_LIMITS);
  st->limit[st->nlimits++] = uop_lt(ap->g, before, len - step + 1);
}

/* --- the store -------------------------------------------------------------------------------- */

static nest *nest_of(const apply *ap, const stage *of) {
  for (size_t k = 0; k < ap->set->kernels.len; ++k) {
    nest *n = ap->set->kernels.data[k].root[0];
    if (n->nstores > 0 && n->store[0].array == of->array) return n;
  }
  WN_CHECK(false, "no nest stores what is summed");
  return NULL;
}

static void check_axes(const apply *ap, const nest *n, const nest_store *s) {
  if (n->matrix > 0 || n->shared > 0 || ap->machine->group > 0) refuse(ap, "it is a device's");
  for (int i = n->naxes; i-- > 0;) { /* what is in the lanes has blocks further out */
    const axis *a = &n->axis[i];
    if (a->reduces) refuse(ap, "it adds to its array itself");
    if (!nest_sums_over(s, a)) continue;
    if (a->kind == AXIS_VECTOR) refuse(ap, "what is summed is in the lanes");
    if (a->kind != AXIS_LOOP && a->kind != AXIS_UNROLL)
      refuse(ap, "other blocks sum the same elements");
  }
}

static bool is_summed(const nest *n, const nest_store *s, const uop *cond) {
  bool summed = false;
  for (int i = 0; i < n->naxes; ++i)
    summed |= nest_sums_over(s, &n->axis[i]) && uop_has_range(cond, n->axis[i].range);
  return summed;
}

static const uop *and_also(graph *g, const uop *a, const uop *b) {
  return a == NULL ? b : uop_and(g, a, b);
}

static void store(apply *ap, stage *st) {
  graph *g = ap->g;
  const stage *of = stage_summed(ap, st->node);
  nest *n = nest_of(ap, of);
  lay_out(st);
  const array_info a = stage_array(ap, st);
  st->array = (int)ap->set->arrays.len;
  vec_push(ap->keep, &ap->set->arrays, a);
  nest_store s = {.stage = st->node->arg.info->name,
                  .site = st->node->arg.info->site,
                  .id = STAGE_COUNT,
                  .value = n->store[0].value,
                  .offset = uop_int(g, 0),
                  .array = st->array,
                  .sums = true};
  for (int i = 0; i < st->n; ++i) {
    const int at = range_of(of, st->node->src[0]->src[0], st->range[i]);
    s.offset = uop_add(g, s.offset, stored_at(g, st, i, of->point[at]));
  }
  s.offset = simplify(g, s.offset);
  check_axes(ap, n, &s);
  for (int i = 0; i < of->nlimits; ++i) {
    const uop **to = is_summed(n, &s, of->limit[i]) ? &s.inside : &s.mask;
    *to = and_also(g, *to, of->limit[i]);
  }
  const bool kept = of->space != SPACE_REG;
  WN_CHECK(n->nstores < NEST_STORES, "more than %d stores", NEST_STORES);
  n->store[kept ? n->nstores++ : 0] = s;
}

void sums_store(apply *ap) {
  for (size_t i = 0; i < ap->stages.len; ++i) {
    if (!sums_are_partial(ap, ap->stages.data[i]->node)) continue;
    *ap->at_site = 0;
    store(ap, ap->stages.data[i]);
  }
}
