/* Results in the place of what is read: which arrays of a kernel may have one place in memory.
 *
 * In: kernels of a part as they will be run. Out: of each its pairs, an array that it stores and one that it reads,
 * whose memory may be the same where nothing reads the latter afterwards. Whether it is, memory planning says by launch
 * (workspace.c).
 * An element may be overwritten once everybody has read it. That is so where each iteration stores an element that no
 * other one stores, and of the array it reads that element alone:
 * - the address that it stores to is a linear form of all loops, with which no two iterations for which the mask holds
 *   come to the same element: by their steps, each loop steps over all that those before it reach (a mixed radix), a
 *   limit in the mask considered;
 * - every read of the array in the kernel is at that address, where the mask holds, and for this store or one before it;
 * - nothing else in the kernel touches either of the two.
 * So tails that begin early (an address with a MIN), windows, reads in another order, halos, gathers, sums that are
 * added to in the array and matrices of devices are none.
 * Always holds: linearising reads all that a store's value needs before the store, and lin_verify looks at what became
 * of it. */
#include "lower/lower.h"
#include "nest/nest.h"

enum { MOST_LIMITS = 12, MOST_STEPS = sizeof((linear_form *)0)->atom / sizeof(const uop *) };

/* --- addresses -------------------------------------------------------------------------------- */

/* base + sum of step * loop, by steps. */
typedef struct stepping {
  int n;
  const uop *loop[MOST_STEPS];
  int64_t step[MOST_STEPS];
} stepping;

static bool is_axis(const nest *n, const uop *e) {
  bool found = false;
  for (int i = 0; i < n->naxes; ++i) found |= n->axis[i].range == e;
  return found;
}

/* False unless the address moves forwards with every loop of the nest, and with nothing else. */
static bool find_steps(const nest *n, const linear_form *address, stepping *s) {
  s->n = 0;
  for (int i = 0; i < address->n; ++i) {
    const int64_t step = address->coeff[i];
    if (step < 1 || !is_axis(n, address->atom[i])) return false;
    int at = s->n++;
    for (; at > 0 && s->step[at - 1] > step; --at) {
      s->step[at] = s->step[at - 1];
      s->loop[at] = s->loop[at - 1];
    }
    s->step[at] = step;
    s->loop[at] = address->atom[i];
  }
  return s->n == n->naxes;
}

/* x < y as a form that is below 0. */
static bool below_zero(const uop *cond, linear_form *less) {
  linear_form y;
  if (cond->op != OP_LT || !linear_of(cond->src[0], less) || !linear_of(cond->src[1], &y))
    return false;
  if (y.n > 0) return false;
  less->constant -= y.constant;
  return true;
}

/* Does the sum of these loops, in the address, have the limit's coefficients, times `scale`? box: the most that it is
 * without the limit. */
static bool is_limited(const stepping *s, int n, const linear_form *limit, const bool *taken,
                       int64_t *scale, int64_t *box) {
  *scale = *box = 0;
  for (int i = 0; i < limit->n; ++i) {
    int at = 0;
    while (at < n && s->loop[at] != limit->atom[i]) ++at;
    if (at == n || taken[at] || limit->coeff[i] < 1 || s->step[at] % limit->coeff[i] != 0)
      return false;
    const int64_t own = s->step[at] / limit->coeff[i];
    if (*scale != 0 && *scale != own) return false;
    *scale = own;
    *box += s->step[at] * s->loop[at]->vmax;
  }
  return limit->n > 0;
}

/* The most that the first n loops move the address, where the limits hold. */
static int64_t reach_of(const stepping *s, int n, const linear_form *limit, int nlimits) {
  bool taken[MOST_STEPS] = {0};
  int64_t reach = 0, scale, box;
  for (int i = 0; i < n; ++i) reach += s->step[i] * s->loop[i]->vmax;
  for (int k = 0; k < nlimits; ++k) {
    if (!is_limited(s, n, &limit[k], taken, &scale, &box)) continue;
    const int64_t most = -limit[k].constant - 1; /* coefficients * loops */
    if (most < 0 || most >= box / scale) continue;
    reach -= box - scale * most;
    for (int i = 0; i < n; ++i)
      for (int a = 0; a < limit[k].n; ++a) taken[i] |= s->loop[i] == limit[k].atom[a];
  }
  return reach;
}

/* Of the mask's conditions those that limit sums of loops, of most loops first. */
static int limits_of(arena *a, const uop *mask, linear_form *limit) {
  int n = 0;
  const condition_list all = mask != NULL ? conditions_of(a, mask) : (condition_list){0};
  for (size_t i = 0; i < all.len && n < MOST_LIMITS; ++i) {
    linear_form less;
    if (!below_zero(all.at[i], &less)) continue;
    int at = n++;
    for (; at > 0 && limit[at - 1].n < less.n; --at) limit[at] = limit[at - 1];
    limit[at] = less;
  }
  return n;
}

/* Is each element stored by one iteration at most? */
static bool stores_once(arena *a, const nest *n, const nest_store *to, const linear_form *address) {
  stepping s;
  linear_form limit[MOST_LIMITS];
  if (!find_steps(n, address, &s)) return false;
  const int nlimits = limits_of(a, to->mask, limit);
  for (int i = 1; i < s.n; ++i)
    if (reach_of(&s, i, limit, nlimits) >= s.step[i]) return false;
  return true;
}

/* --- reads ------------------------------------------------------------------------------------ */

typedef struct access {
  const nest *n;
  int store;        /* of it: for whose value it reads; -1: it is none that may be in place */
  const uop *index; /* the INDEX; NULL: it stores */
  int array;
} access;
typedef VEC(access) access_list;

static void add_reads(arena *a, access_list *list, const nest *n, int store, const uop *of) {
  if (of == NULL) return;
  const uop_order all = uop_walk_value(a, of);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op == OP_INDEX && u->src[0]->op == OP_BUFFER)
      vec_push(a, list, ((access){n, store, u, (int)u->src[0]->arg.i}));
  }
}

/* What a nest and those inside it touch. */
static void list_accesses(arena *a, access_list *list, const nest *n, bool root) {
  for (int s = 0; s < n->nstores; ++s) {
    const nest_store *to = &n->store[s];
    vec_push(a, list, ((access){n, root ? s : -1, NULL, to->array}));
    add_reads(a, list, n, root ? s : -1, to->value);
    add_reads(a, list, n, -1, to->offset);
    add_reads(a, list, n, -1, to->mask);
  }
  for (int i = 0; i < n->nchildren; ++i) list_accesses(a, list, n->child[i].nest, false);
}

static bool same_form(const linear_form *x, const linear_form *y) {
  bool same = x->n == y->n && x->constant == y->constant;
  for (int i = 0; i < x->n && same; ++i)
    same = x->atom[i] == y->atom[i] && x->coeff[i] == y->coeff[i];
  return same;
}

/* Does one of the conditions hold only where this one does? */
static bool is_among(const condition_list *all, const uop *cond) {
  linear_form less, own;
  const bool linear = below_zero(cond, &less);
  for (size_t i = 0; i < all->len; ++i) {
    if (all->at[i] == cond) return true;
    if (!linear || !below_zero(all->at[i], &own) || own.constant < less.constant) continue;
    own.constant = less.constant;
    if (same_form(&own, &less)) return true;
  }
  return false;
}

/* Is it read only where the mask holds? */
static bool is_masked(arena *a, const uop *valid, const uop *mask) {
  const condition_list of_mask = mask != NULL ? conditions_of(a, mask) : (condition_list){0},
                       of_read = conditions_of(a, valid);
  for (size_t i = 0; i < of_mask.len; ++i)
    if (!uop_is_int(of_mask.at[i], 1) && !is_among(&of_read, of_mask.at[i])) return false;
  return true;
}

/* --- pairs ------------------------------------------------------------------------------------ */

typedef struct candidate { /* a store that each element has once */
  const nest *n;
  int store;
  linear_form address;
} candidate;

static bool reads_own(arena *a, const candidate *c, const access *read) {
  linear_form at;
  return read->n == c->n && read->store >= 0 && read->store <= c->store && read->index->nsrc == 3 &&
         linear_of(read->index->src[2], &at) && same_form(&at, &c->address) &&
         is_masked(a, read->index->src[1], c->n->store[c->store].mask);
}

static bool may_be_pair(arena *a, const candidate *c, const access_list *all, place_pair pair) {
  for (size_t i = 0; i < all->len; ++i) {
    const access *x = &all->data[i];
    const bool is_own_store = x->index == NULL && x->n == c->n && x->store == c->store;
    if (x->array == pair.stored && !is_own_store) return false;
    if (x->array == pair.read && (x->index == NULL || !reads_own(a, c, x))) return false;
  }
  return true;
}

/* Can it be in the workspace? A value's own result can: where it is, the program says. */
static bool can_be_planned(const array_info *x) {
  const bool varies = x->role == ROLE_INPUT || x->role == ROLE_WORK || x->role == ROLE_RESULT;
  return varies && x->chunk_step == 0 && x->gaps == 0;
}

typedef VEC(place_pair) pair_list;

/* Is it read further up in the list? */
static bool was_met(const access_list *all, size_t at) {
  bool met = false;
  for (size_t i = 0; i < at && !met; ++i)
    met = all->data[i].index != NULL && all->data[i].array == all->data[at].array;
  return met;
}

static void add_pairs(const kernel_set *set, arena *a, const candidate *c, const access_list *all,
                      pair_list *out) {
  const array_info *arrays = set->arrays.data;
  const int stored = c->n->store[c->store].array;
  for (size_t i = 0; i < all->len; ++i) {
    const access *x = &all->data[i];
    const place_pair pair = {stored, x->array};
    if (x->index == NULL || !can_be_planned(&arrays[x->array]) ||
        arrays[x->array].dtype != arrays[stored].dtype || was_met(all, i))
      continue;
    if (may_be_pair(a, c, all, pair)) vec_push(a, out, pair);
  }
}

static bool adds(const nest *n) {
  bool found = n->matrix != 0;
  for (int i = 0; i < n->naxes; ++i) found |= n->axis[i].reduces;
  return found;
}

static void find_pairs(const kernel_set *set, arena *a, const nest_kernel *k, pair_list *out) {
  access_list all = {0};
  bool listed = false;
  for (int r = 0; r < k->nroots; ++r) {
    const nest *n = k->root[r];
    for (int s = 0; s < n->nstores && !adds(n); ++s) {
      candidate c = {.n = n, .store = s};
      if (!can_be_planned(&set->arrays.data[n->store[s].array]) ||
          !linear_of(n->store[s].offset, &c.address) ||
          !stores_once(a, n, &n->store[s], &c.address))
        continue;
      for (int i = 0; i < k->nroots && !listed; ++i) list_accesses(a, &all, k->root[i], true);
      listed = true;
      add_pairs(set, a, &c, &all, out);
    }
  }
}

void in_place_find(kernel_set *set, arena *keep, arena *scratch) {
  for (size_t i = 0; i < set->kernels.len; ++i) {
    nest_kernel *k = &set->kernels.data[i];
    pair_list found = {0};
    if (!k->prepare) find_pairs(set, scratch, k, &found);
    k->npairs = (int)found.len;
    if (found.len > 0) k->pairs = arena_copy(keep, found.data, found.len * sizeof *found.data);
  }
}
