/* Where arrays live in the workspace and in the prepared block.
 *
 * In: arrays and the kernels that read and write them, in order. Out: offsets such that arrays whose lives overlap do not.
 * Largest first, each at the lowest place that is free during its life (greedy by size: Pisarchyk and Lee,
 * arXiv:2001.03288). Always holds: 64-byte alignment, and a little room behind each array so that neighbours do not share
 * cache sets. */
#include "schedule/nest.h"

enum { ALIGNMENT = 64 };

typedef struct life {
  int array;
  int first, last; /* kernels */
  size_t size, offset;
} life;

static size_t padded_size(const array_info *a) {
  size_t bytes = (size_t)a->len * wn_dtype_size(a->dtype);
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
}

static void touch(life *l, int kernel) {
  if (l->first < 0 || kernel < l->first) l->first = kernel;
  if (kernel > l->last) l->last = kernel;
}

static void scan_nest_arrays(arena *a, const nest *n, int kernel, life *lives) {
  touch(&lives[n->array], kernel);
  const uop *roots[] = {n->value};
  uop_order all = uop_toposort(a, 1, roots);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFER) touch(&lives[all.at[i]->arg.i], kernel);
  }
  for (int i = 0; i < n->nchildren; ++i) scan_nest_arrays(a, n->child[i].nest, kernel, lives);
}

static size_t lowest_free(const life *placed, int n, const life *l) {
  size_t at = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = 0; i < n; ++i) {
      const life *p = &placed[i];
      bool alive_together = p->first <= l->last && l->first <= p->last;
      if (alive_together && at < p->offset + p->size && p->offset < at + l->size) {
        at = p->offset + p->size;
        moved = true;
      }
    }
  }
  return at;
}

void plan_memory(kernel_set *set, arena *scratch) {
  int n = (int)set->arrays.len, nplaced = 0;
  life *lives = arena_array(scratch, life, n + 1), *placed = arena_array(scratch, life, n + 1);
  for (int i = 0; i < n; ++i)
    lives[i] =
        (life){.array = i, .first = -1, .last = -1, .size = padded_size(&set->arrays.data[i])};
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const kernel_plan *kp = &set->kernels.data[k];
    for (int r = 0; r < kp->nroots; ++r) scan_nest_arrays(scratch, kp->root[r], (int)k, lives);
  }
  for (;;) {
    life *biggest = NULL;
    for (int i = 0; i < n; ++i) {
      bool work = set->arrays.data[i].role == ROLE_WORK && lives[i].first >= 0;
      if (work && (biggest == NULL || lives[i].size > biggest->size)) biggest = &lives[i];
    }
    if (biggest == NULL) break;
    biggest->offset = lowest_free(placed, nplaced, biggest);
    placed[nplaced++] = *biggest;
    set->arrays.data[biggest->array].offset = biggest->offset;
    size_t end = biggest->offset + biggest->size;
    if (end > set->workspace_bytes) set->workspace_bytes = end;
    biggest->first = -1; /* done */
  }
  for (int i = 0; i < n; ++i) {
    array_info *a = &set->arrays.data[i];
    if (a->role != ROLE_PREPARED) continue;
    a->offset = set->prepared_bytes;
    set->prepared_bytes += padded_size(a);
  }
}
