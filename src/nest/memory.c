/* Where arrays live in the workspace and in the prepared block.
 *
 * In: arrays and the kernels that read and write them, in order. Out: offsets such that arrays whose lives overlap do not.
 * Largest first, each at the lowest place that is free during its life (greedy by size: Pisarchyk and Lee,
 * arXiv:2001.03288). Always holds: 64-byte alignment, and a little room behind each array so that neighbours do not share
 * cache sets; what the kernels of a host loop touch is alive in all of its rounds. */
#include <stdlib.h>

#include "nest/nest.h"

enum { ALIGNMENT = 64, PAGE = 4096 };

typedef struct life {
  int array;
  int first, last; /* kernels */
  size_t size, offset;
} life;

size_t array_bytes(const array_info *a) {
  int64_t len = a->len - a->chunk_step * (a->chunks > 0 ? a->chunks - 1 : 0);
  size_t bytes = (size_t)len * wn_dtype_size(a->dtype);
  /* the chunks' shares of an array are not a whole number of lines apart: see program.c */
  size_t room = a->chunk_step > 0 ? 2 * ALIGNMENT : ALIGNMENT;
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + room;
}

static void touch(life *l, int kernel) {
  if (l->first < 0 || kernel < l->first) l->first = kernel;
  if (kernel > l->last) l->last = kernel;
}

static void scan_nest_arrays(arena *a, const kernel_plan *k, const nest *n, int kernel,
                             life *lives) {
  touch(&lives[kernel_array(k, n->array)], kernel);
  uop_order all = uop_walk_value(a, n->value);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFER) touch(&lives[kernel_array(k, (int)all.at[i]->arg.i)], kernel);
  }
  for (int i = 0; i < n->nchildren; ++i) scan_nest_arrays(a, k, n->child[i].nest, kernel, lives);
}

static bool same_loop(const kernel_plan *a, const kernel_plan *b) {
  return a->chunks > 1 && a->chunks == b->chunks && a->chunk_group == b->chunk_group;
}

/* From the first kernel of a host loop to its last. */
static void widen(const kernel_set *set, life *l) {
  const kernel_plan *k = set->kernels.data;
  if (l->first < 0) return;
  while (l->first > 0 && same_loop(&k[l->first], &k[l->first - 1])) l->first--;
  while (l->last + 1 < (int)set->kernels.len && same_loop(&k[l->last], &k[l->last + 1])) l->last++;
}

/* --- scratch ------------------------------------------------------------------------------------------------------------ */

static size_t local_bytes(const kernel_set *set, const kernel_plan *k, const nest *n) {
  const array_info *a = &set->arrays.data[kernel_array(k, n->array)];
  size_t bytes = a->role == ROLE_LOCAL ? array_bytes(a) : 0;
  for (int i = 0; i < n->nchildren; ++i) {
    bool again = n->child[i].nest->array == n->array; /* the zeros that a nest adds to */
    bytes += again ? 0 : local_bytes(set, k, n->child[i].nest);
  }
  return bytes;
}

static void measure_scratch(kernel_set *set) {
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const kernel_plan *kp = &set->kernels.data[k];
    size_t bytes = 0;
    for (int r = 0; r < kp->nroots; ++r) bytes += local_bytes(set, kp, kp->root[r]);
    if (bytes > set->scratch_bytes) set->scratch_bytes = bytes;
  }
}

/* Blocks are whole pages and an odd line apart, so that workers share neither lines nor cache sets. */
size_t scratch_stride(size_t bytes) {
  return bytes == 0 ? 0 : (bytes + PAGE - 1) / PAGE * PAGE + ALIGNMENT;
}

size_t memory_needed(const kernel_set *set, int threads) {
  return set->workspace_bytes + scratch_stride(set->scratch_bytes) * (size_t)threads;
}

/* --- placing ------------------------------------------------------------------------------------------------------------ */

/* Those placed, by their places: the first gap that is long enough while l lives. */
static size_t lowest_free(const life *placed, int n, const life *l) {
  size_t at = 0;
  for (int i = 0; i < n && placed[i].offset < at + l->size; ++i) {
    const life *p = &placed[i];
    bool alive_together = p->first <= l->last && l->first <= p->last;
    if (alive_together && at < p->offset + p->size) at = p->offset + p->size;
  }
  return at;
}

static void insert(life *placed, int n, const life *l) {
  int at = n;
  while (at > 0 && placed[at - 1].offset > l->offset) --at;
  memmove(&placed[at + 1], &placed[at], sizeof *placed * (size_t)(n - at));
  placed[at] = *l;
}

static int largest_first(const void *a, const void *b) {
  const life *x = a, *y = b;
  if (x->size != y->size) return x->size < y->size ? 1 : -1;
  return (x->array > y->array) - (x->array < y->array);
}

void plan_memory(kernel_set *set, arena *scratch) {
  int n = (int)set->arrays.len, nplaced = 0;
  life *lives = arena_array(scratch, life, n + 1), *placed = arena_array(scratch, life, n + 1);
  for (int i = 0; i < n; ++i)
    lives[i] =
        (life){.array = i, .first = -1, .last = -1, .size = array_bytes(&set->arrays.data[i])};
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const kernel_plan *kp = &set->kernels.data[k];
    for (int r = 0; r < kp->nroots; ++r) scan_nest_arrays(scratch, kp, kp->root[r], (int)k, lives);
  }
  for (int i = 0; i < n; ++i) widen(set, &lives[i]);
  measure_scratch(set);
  qsort(lives, (size_t)n, sizeof *lives, largest_first);
  for (int i = 0; i < n; ++i) {
    life *l = &lives[i];
    array_info *a = &set->arrays.data[l->array];
    if (a->role != ROLE_WORK || l->first < 0) continue;
    a->offset = l->offset = lowest_free(placed, nplaced, l);
    insert(placed, nplaced++, l);
    size_t end = l->offset + l->size;
    if (end > set->workspace_bytes) set->workspace_bytes = end;
  }
  for (int i = 0; i < n; ++i) {
    array_info *a = &set->arrays.data[i];
    if (a->role != ROLE_PREPARED) continue;
    a->offset = set->prepared_bytes;
    set->prepared_bytes += array_bytes(a);
  }
}
