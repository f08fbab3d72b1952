/* From nests to launches. In: kernels, consumers first. Out: kernels in running order, those that depend on constants
 * alone first: the prepare part; with launch=joint, independent neighbours in one launch.
 * Always holds: a kernel runs after every kernel that writes what it reads. */
#include "nest/state.h"

/* Calls fn for every array that a nest and the stages inside it read. */
static void each_read(apply *ap, const nest *n, void (*fn)(void *user, int array), void *user) {
  uop_order all = nest_walk(ap->a, n);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFER) fn(user, (int)all.at[i]->arg.i);
  }
  for (int i = 0; i < n->nchildren; ++i) each_read(ap, n->child[i].nest, fn, user);
}

typedef struct dependence {
  const kernel_set *set;
  const nest *root;
  bool constant;
} dependence;

static void depend(void *user, int array) {
  dependence *d = user;
  array_role role = d->set->arrays.data[array].role;
  bool own = nest_writes(d->root, array) && role == ROLE_WORK;
  if (role != ROLE_CONSTANT && role != ROLE_PREPARED && role != ROLE_LOCAL && !own)
    d->constant = false;
}

static bool is_prepare(apply *ap, const nest_kernel *k) {
  dependence d = {ap->set, k->root[0], true};
  if (ap->variable_weights) return false;
  for (int s = 0; s < d.root->nstores; ++s) depend(&d, d.root->store[s].array);
  each_read(ap, k->root[0], depend, &d);
  return d.constant;
}

typedef struct reading {
  const nest_kernel *of;
  bool found;
} reading;

static void look_for(void *user, int array) {
  reading *r = user;
  for (int i = 0; i < r->of->nroots; ++i) r->found |= nest_writes(r->of->root[i], array);
}

static bool is_joint(const apply *ap, const nest_kernel *k) {
  return plan_of_site(ap, k->root[0]->store[0].site)->joint;
}

void launch_prepare_first(kernel_set *set, arena *keep) {
  size_t n = set->kernels.len, at = 0;
  nest_kernel *sorted = arena_array(keep, nest_kernel, n + 1);
  for (int pass = 1; pass >= 0; --pass) {
    for (size_t i = 0; i < n; ++i) {
      if (set->kernels.data[i].prepare == (pass == 1)) sorted[at++] = set->kernels.data[i];
    }
  }
  set->kernels.data = sorted;
  set->kernels.cap = n + 1;
}

static bool same_rounds(const nest_kernel *x, const nest_kernel *y) {
  return nest_same_rounds(x, y) && x->prepare == y->prepare;
}

/* Kernels of one host loop stand next to each other. What stood between them, as a transform of weights may, reads nothing
 * of theirs, since what a round leaves is gone with the next: it runs before them. */
static void rounds_together(kernel_set *set) {
  nest_kernel *k = set->kernels.data;
  for (size_t first = 0; first < set->kernels.len; ++first) {
    size_t last = first;
    for (size_t i = first + 1; i < set->kernels.len; ++i)
      if (same_rounds(&k[i], &k[first])) last = i;
    for (size_t i = first + 1; i < last; ++i) {
      if (same_rounds(&k[i], &k[first])) continue;
      nest_kernel between = k[i];
      memmove(k + first + 1, k + first, (i - first) * sizeof *k);
      k[first++] = between;
    }
    first = last;
  }
}

/* Kernels into running order; those that depend on constants alone become the prepare part. */
void launch_order(apply *ap) {
  kernel_set *set = ap->set;
  size_t n = set->kernels.len;
  for (size_t i = 0; i < n / 2; ++i) {
    nest_kernel t = set->kernels.data[i];
    set->kernels.data[i] = set->kernels.data[n - 1 - i];
    set->kernels.data[n - 1 - i] = t;
  }
  for (size_t i = 0; i < n; ++i) {
    nest_kernel *k = &set->kernels.data[i];
    k->prepare = is_prepare(ap, k);
    for (int s = 0; s < k->root[0]->nstores && k->prepare; ++s)
      set->arrays.data[k->root[0]->store[s].array].role = ROLE_PREPARED;
  }
  launch_prepare_first(set, ap->keep);
  rounds_together(set);
}

/* launch=joint: neighbours of which neither reads what the other writes share a launch. */
void launch_join(apply *ap) {
  kernel_set *set = ap->set;
  size_t out = 0;
  for (size_t i = 0; i < set->kernels.len; ++i) {
    nest_kernel *k = &set->kernels.data[i], *prev = out > 0 ? &set->kernels.data[out - 1] : NULL;
    bool join = prev != NULL && is_joint(ap, k) && is_joint(ap, prev) &&
                prev->prepare == k->prepare && prev->chunks == 1 && k->chunks == 1 &&
                prev->nroots < STAGE_COUNT;
    reading r = {prev, false};
    if (join) each_read(ap, k->root[0], look_for, &r);
    if (join && !r.found)
      prev->root[prev->nroots++] = k->root[0];
    else
      set->kernels.data[out++] = *k;
  }
  set->kernels.len = out;
}
