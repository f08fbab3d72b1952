/* From nests to launches. In: kernels, consumers first. Out: kernels in running order, those that depend on constants alone
 * first: the prepare part; with launch=joint, independent neighbours in one launch.
 * Always holds: a kernel runs after every kernel that writes what it reads. */
#include "schedule/apply.h"

static bool nest_reads(apply *ap, const nest *n, int array) {
  const uop *roots[] = {n->value};
  uop_order all = uop_toposort(ap->a, 1, roots);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFER && all.at[i]->arg.i == array) return true;
  }
  for (int i = 0; i < n->nchildren; ++i) {
    if (nest_reads(ap, n->child[i].nest, array)) return true;
  }
  return false;
}

static bool is_prepare(apply *ap, const kernel_plan *k) {
  if (ap->target->variable_weights) return false;
  for (size_t i = 0; i < ap->set->arrays.len; ++i) {
    array_role role = ap->set->arrays.data[i].role;
    if (role == ROLE_CONSTANT || role == ROLE_PREPARED || role == ROLE_LOCAL) continue;
    if (k->root[0]->array == (int)i && role == ROLE_WORK) continue;
    if (k->root[0]->array == (int)i || nest_reads(ap, k->root[0], (int)i)) return false;
  }
  return true;
}

/* Kernels into running order; those that depend on constants alone become the prepare part. */
void launch_order(apply *ap) {
  kernel_set *set = ap->set;
  size_t n = set->kernels.len;
  for (size_t i = 0; i < n / 2; ++i) {
    kernel_plan t = set->kernels.data[i];
    set->kernels.data[i] = set->kernels.data[n - 1 - i];
    set->kernels.data[n - 1 - i] = t;
  }
  for (size_t i = 0; i < n; ++i) {
    kernel_plan *k = &set->kernels.data[i];
    k->prepare = is_prepare(ap, k);
    if (k->prepare) set->arrays.data[k->root[0]->array].role = ROLE_PREPARED;
  }
  /* stable: the prepare part first */
  kernel_plan *sorted = arena_array(ap->a, kernel_plan, n);
  size_t at = 0;
  for (int pass = 1; pass >= 0; --pass) {
    for (size_t i = 0; i < n; ++i) {
      if (set->kernels.data[i].prepare == (pass == 1)) sorted[at++] = set->kernels.data[i];
    }
  }
  set->kernels.data = sorted;
}

/* launch=joint: neighbours of which neither reads what the other writes share a launch. */
void launch_join(apply *ap) {
  kernel_set *set = ap->set;
  size_t out = 0;
  for (size_t i = 0; i < set->kernels.len; ++i) {
    kernel_plan *k = &set->kernels.data[i], *prev = out > 0 ? &set->kernels.data[out - 1] : NULL;
    bool join = prev != NULL && prev->prepare == k->prepare && prev->chunks == 1 &&
                k->chunks == 1 && prev->nroots < STAGE_COUNT;
    for (int r = 0; join && r < prev->nroots; ++r)
      join = !nest_reads(ap, k->root[0], prev->root[r]->array);
    if (join)
      prev->root[prev->nroots++] = k->root[0];
    else
      set->kernels.data[out++] = *k;
  }
  set->kernels.len = out;
}
