/* Nests as text, for dumps and explain. */
#include "ir/text.h"
#include "schedule/nest.h"

static const char *const role_name[] = {"input", "constant", "result", "prepared", "work", "local"};

static void print_nest(graph *g, str *out, const kernel_set *set, const nest *n, int depth) {
  for (int i = 0; i <= n->naxes; ++i) {
    for (int c = 0; c < n->nchildren; ++c) {
      if (n->child[c].at == i) print_nest(g, out, set, n->child[c].nest, depth + i);
    }
    if (i == n->naxes) break;
    str_printf(out, "%*s%s %s in 0..%lld\n", 2 * (depth + i), "", axis_kind_name[n->axis[i].kind],
               n->axis[i].name, (long long)n->axis[i].range->arg.j);
  }
  str_printf(out, "%*s%s = stage %s\n", 2 * (depth + n->naxes), "", set->arrays.data[n->array].name,
             n->stage);
}

void nest_print(graph *g, str *out, const kernel_set *set) {
  for (size_t i = 0; i < set->arrays.len; ++i) {
    const array_info *a = &set->arrays.data[i];
    str_printf(out, "array %zu %s: %s, %lld x %s\n", i, a->name, role_name[a->role],
               (long long)a->len, wn_dtype_name(a->dtype));
  }
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const kernel_plan *kp = &set->kernels.data[k];
    str_printf(out, "kernel %zu%s\n", k, kp->prepare ? " (prepare)" : "");
    for (int r = 0; r < kp->nroots; ++r) print_nest(g, out, set, kp->root[r], 1);
  }
}
