/* Joined values: one nest stores them all.
 *
 * In: kernels whose nests were made one by one, of values that plan/joins.h has found to have the same loops. Out: the
 * first of them with the stores of all, over its own axes. What they sum goes through loops that they have in common
 * already (sums.c), so linearising makes one loop of them. What one reads of another at the point that it computes is
 * not read but taken over. Always holds: each store computes what its own nest did. */
#include "nest/state.h"

static void agree(apply *ap, bool same, const char *what) {
  if (!same)
    diag_fail(ap->g->diag, WN_ERR_REFUSED,
              "it cannot be stored with what its kernel stores: they differ in %s", what);
}

typedef struct taking {
  apply *ap;
  const nest *of;
} taking;

/* What an earlier store computes for this point, in the place of a read of it. */
static const uop *take_over(void *user, const uop *u) {
  const taking *t = user;
  const apply *ap = t->ap;
  if (u->op != OP_INDEX || u->src[0]->op != OP_BUFFER || u->src[0]->arg.i >= ap->nuser) return u;
  int place = ap->user[u->src[0]->arg.i].joined - 1;
  if (place < 0) return u;
  agree(t->ap, place < t->of->nstores && t->of->store[place].offset == u->src[2],
        "where one reads the other");
  return t->of->store[place].value;
}

/* Appends the only store of `from`, whose axes become those of `to`. */
static void add_store(apply *ap, nest *to, const nest *from) {
  const uop *was[NEST_AXES], *now[NEST_AXES];
  *ap->at_site = from->store[0].site;
  agree(ap, to->naxes == from->naxes && from->nchildren == 0 && to->nchildren == 0, "their loops");
  agree(ap, to->sum_lanes == from->sum_lanes, "the lanes of their sums");
  for (int i = 0; i < from->naxes; ++i) {
    const axis *x = &to->axis[i], *y = &from->axis[i];
    agree(ap, x->kind == y->kind && x->range->arg.j == y->range->arg.j, "the kinds of their loops");
    was[i] = y->range;
    now[i] = x->range;
  }
  WN_CHECK(to->nstores < NEST_STORES, "more than %d stores", NEST_STORES);
  nest_store *s = &to->store[to->nstores++];
  *s = from->store[0];
  s->value = simplify(ap->g, uop_replace(ap->g, s->value, from->naxes, was, now));
  taking t = {ap, to};
  s->value = simplify(ap->g, uop_transform_value(ap->g, ap->a, s->value, take_over, &t));
  s->offset = simplify(ap->g, uop_replace(ap->g, s->offset, from->naxes, was, now));
  if (s->mask != NULL)
    s->mask = simplify(ap->g, uop_replace(ap->g, s->mask, from->naxes, was, now));
}

static bool stores_result(const apply *ap, const nest_kernel *k) {
  return ap->set->arrays.data[k->root[0]->store[0].array].role == ROLE_RESULT;
}

/* Kernels stand consumers first: the first of the values is the last of them. */
void nests_join(apply *ap) {
  kernel_set *set = ap->set;
  nest *first = NULL;
  size_t kept = set->kernels.len;
  for (size_t i = set->kernels.len; i-- > 0;) {
    nest_kernel k = set->kernels.data[i];
    if (stores_result(ap, &k) && first != NULL) {
      add_store(ap, first, k.root[0]);
      continue;
    }
    if (stores_result(ap, &k)) first = k.root[0];
    set->kernels.data[--kept] = k;
  }
  size_t left = set->kernels.len - kept;
  memmove(set->kernels.data, set->kernels.data + kept, left * sizeof *set->kernels.data);
  set->kernels.len = left;
}
