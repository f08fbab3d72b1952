/* Where arrays live in the workspace and in the prepared block.
 *
 * In: arrays and the kernels that read and write them, in order. Out: offsets such that arrays whose lives overlap do
 * not. Largest first, each at the lowest place that is free during its life (greedy by size: Pisarchyk and Lee,
 * arXiv:2001.03288), or in another order where that needs less. Always holds: 64-byte alignment, and a little room
 * behind each array so that neighbours do not share cache sets; what the kernels of a host loop touch is alive in all
 * of its rounds, and what those side by side touch while any of them runs; what a run reads of the prepared block stays; an array that is in another one is where it stands in
 * that, which is alive as long as any that is in it. */
#include <stdlib.h>

#include "nest/touched.h"

enum { ALIGNMENT = 64, PAGE = 4096 };

typedef struct life {
  int array;
  int first, last; /* kernels */
  bool placed;
  int until; /* the latest `last` of those placed in the subtree of which this is the root */
  size_t size, offset;
} life;

size_t array_bytes(const array_info *a) {
  int64_t len = a->len - a->gaps - a->chunk_step * (a->chunks > 0 ? a->chunks - 1 : 0);
  size_t bytes = (size_t)len * wn_dtype_size(a->dtype);
  /* the chunks' shares of an array are not a whole number of lines apart: see program.c */
  size_t room = a->chunk_step > 0 ? 2 * ALIGNMENT : ALIGNMENT;
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + room;
}

static void touch(life *l, int kernel) {
  if (l->first < 0 || kernel < l->first) l->first = kernel;
  if (kernel > l->last) l->last = kernel;
}

static void touch_all(const kernel_set *set, const nest_kernel *k, int kernel, const numbers *of,
                      life *lives) {
  for (size_t i = 0; i < of->len; ++i) {
    int array = kernel_array(k, of->data[i]), whole = set->arrays.data[array].whole - 1;
    touch(&lives[whole >= 0 ? whole : array], kernel);
  }
}

static void scan_kernels(const kernel_set *set, arena *scratch, life *lives) {
  map known;
  map_init(&known, scratch);
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const nest_kernel *kp = &set->kernels.data[k];
    for (int r = 0; r < kp->nroots; ++r) {
      const touched *of = touched_by(&known, kp->root[r]);
      touch_all(set, kp, (int)k, &of->reads, lives);
      touch_all(set, kp, (int)k, &of->writes, lives);
    }
  }
}

static void widen_to(life *l, int first, int end) {
  if (l->first >= end || l->last < first) return;
  if (l->first > first) l->first = first;
  if (l->last < end - 1) l->last = end - 1;
}

/* From the first kernel of a host loop, of those that take turns or of those side by side, to its last. */
static void widen(const kernel_set *set, life *l) {
  const nest_kernel *k = set->kernels.data;
  if (l->first < 0) return;
  while (l->first > 0 && nest_same_rounds(&k[l->first], &k[l->first - 1])) --l->first;
  while (l->last + 1 < (int)set->kernels.len && nest_same_rounds(&k[l->last], &k[l->last + 1]))
    ++l->last;
  for (size_t i = 0; i < set->bands.len; ++i)
    widen_to(l, set->bands.data[i].first, set->bands.data[i].end);
  for (size_t i = 0; i < set->sides.len; ++i)
    widen_to(l, set->sides.data[i].first, set->sides.data[i].end);
}

/* --- scratch ---------------------------------------------------------------------------------- */

static size_t local_bytes(const kernel_set *set, const nest_kernel *k, const nest *n) {
  size_t bytes = 0;
  for (int s = 0; s < n->nstores; ++s) {
    const array_info *a = &set->arrays.data[kernel_array(k, n->store[s].array)];
    bytes += a->role == ROLE_LOCAL ? array_bytes(a) : 0;
  }
  for (int i = 0; i < n->nchildren; ++i)
    bytes += nest_adds_to(n, n->child[i].nest) ? 0 : local_bytes(set, k, n->child[i].nest);
  return bytes;
}

static void measure_scratch(kernel_set *set) {
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const nest_kernel *kp = &set->kernels.data[k];
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

/* --- placing ---------------------------------------------------------------------------------- */

/* Lives by their first kernels are a tree in place: the middle one is the root, the halves beside it are its subtrees,
 * and where none of those placed in a subtree lives until the kernel asked for, it is not looked into. */
typedef struct placing {
  life *lives;
  int n;
  const life **placed, **together; /* by place; those of them that live while another does */
  int nplaced, ntogether, most;
} placing;

static void find_together(placing *p, const life *tree, int n, const life *l) {
  const life *root = &tree[n / 2];
  if (n == 0 || root->until < l->first || p->ntogether > p->most) return;
  find_together(p, tree, n / 2, l);
  if (root->first > l->last || p->ntogether > p->most) return;
  if (root->placed && root->last >= l->first) p->together[p->ntogether++] = root;
  find_together(p, root + 1, n - n / 2 - 1, l);
}

static int by_place(const void *a, const void *b) {
  const life *x = *(const life *const *)a, *y = *(const life *const *)b;
  return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Of some by their places: the first gap that is long enough while l lives. */
static size_t first_gap(const life *const *some, int n, const life *l) {
  size_t at = 0;
  for (int i = 0; i < n && some[i]->offset < at + l->size; ++i) {
    const life *s = some[i];
    bool alive_together = s->first <= l->last && l->first <= s->last;
    if (alive_together && at < s->offset + s->size) at = s->offset + s->size;
  }
  return at;
}

/* Where many live at once, to look at all that are placed takes less than to sort those. */
static size_t lowest_free(placing *p, const life *l) {
  p->ntogether = 0;
  p->most = p->nplaced / 32;
  find_together(p, p->lives, p->n, l);
  if (p->ntogether > p->most) return first_gap(p->placed, p->nplaced, l);
  qsort(p->together, (size_t)p->ntogether, sizeof *p->together, by_place);
  return first_gap(p->together, p->ntogether, l);
}

static void insert(placing *p, life *l) {
  int at = 0, end = p->nplaced;
  while (at < end) {
    int middle = at + (end - at) / 2;
    if (p->placed[middle]->offset > l->offset)
      end = middle;
    else
      at = middle + 1;
  }
  memmove(&p->placed[at + 1], &p->placed[at], sizeof *p->placed * (size_t)(p->nplaced - at));
  p->placed[at] = l;
  ++p->nplaced;
  l->placed = true;
  life *tree = p->lives, *root = NULL;
  for (int n = p->n; root != l;) {
    root = &tree[n / 2];
    if (root->until < l->last) root->until = l->last;
    if (l > root) tree = root + 1;
    n = l > root ? n - n / 2 - 1 : n / 2;
  }
}

static int first_kernel_first(const void *a, const void *b) {
  const life *x = a, *y = b;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return (x->array > y->array) - (x->array < y->array);
}

static int largest_first(const void *a, const void *b) {
  const life *x = *(const life *const *)a, *y = *(const life *const *)b;
  if (x->size != y->size) return x->size < y->size ? 1 : -1;
  return (x->array > y->array) - (x->array < y->array);
}

/* By bytes times kernels. */
static int most_of_all_first(const void *a, const void *b) {
  const life *x = *(const life *const *)a, *y = *(const life *const *)b;
  double of_x = (double)x->size * (x->last - x->first + 1);
  double of_y = (double)y->size * (y->last - y->first + 1);
  if (of_x != of_y) return of_x < of_y ? 1 : -1;
  return largest_first(a, b);
}

static int longest_first(const void *a, const void *b) {
  const life *x = *(const life *const *)a, *y = *(const life *const *)b;
  int of_x = x->last - x->first, of_y = y->last - y->first;
  return of_x != of_y ? (of_x < of_y ? 1 : -1) : largest_first(a, b);
}

typedef int (*comparison)(const void *, const void *);

/* In this order; returns how many bytes they take together. */
static size_t place_by(placing *p, life **order, comparison before) {
  size_t bytes = 0;
  p->nplaced = 0;
  for (int i = 0; i < p->n; ++i) {
    order[i] = &p->lives[i];
    p->lives[i].placed = false;
    p->lives[i].until = -1;
  }
  qsort(order, (size_t)p->n, sizeof *order, before);
  for (int i = 0; i < p->n; ++i) {
    life *l = order[i];
    l->offset = lowest_free(p, l);
    insert(p, l);
    if (l->offset + l->size > bytes) bytes = l->offset + l->size;
  }
  return bytes;
}

/* Largest first; in two other orders where that needs more than `least`, all that is alive at once. */
static size_t place_all(kernel_set *set, arena *scratch, life *lives, int n, size_t least) {
  static const comparison orders[] = {largest_first, most_of_all_first, longest_first};
  enum { ORDERS = sizeof orders / sizeof *orders };
  size_t bytes = SIZE_MAX;
  placing p = {.lives = lives, .n = n};
  p.placed = arena_array(scratch, const life *, n + 1);
  p.together = arena_array(scratch, const life *, n + 1);
  life **order = arena_array(scratch, life *, n + 1);
  qsort(lives, (size_t)n, sizeof *lives, first_kernel_first);
  for (int k = 0; k < ORDERS && bytes > least; ++k) {
    size_t now = place_by(&p, order, orders[k]);
    if (now >= bytes) continue;
    bytes = now;
    for (int i = 0; i < n; ++i) set->arrays.data[lives[i].array].offset = lives[i].offset;
  }
  return bytes;
}

/* What no placing can be below: the bytes that are alive during a kernel, at most. */
static size_t most_alive(arena *scratch, int kernels, const life *lives, int n) {
  size_t *begin = arena_array(scratch, size_t, kernels + 1),
         *end = arena_array(scratch, size_t, kernels + 1);
  size_t alive = 0, most = 0;
  for (int i = 0; i < n; ++i) {
    begin[lives[i].first > 0 ? lives[i].first : 0] += lives[i].size;
    end[lives[i].last] += lives[i].size;
  }
  for (int k = 0; k < kernels; ++k) {
    alive += begin[k];
    if (alive > most) most = alive;
    alive -= end[k];
  }
  return most;
}

/* Of arrays that preparing makes those that a run reads live on; others only until what is made of them is. */
static bool is_lasting(const kernel_set *set, const life *l) {
  return l->last < 0 || !set->kernels.data[l->last].prepare;
}

static void place_prepared(kernel_set *set, arena *scratch, const life *lives) {
  const int n = (int)set->arrays.len, end = (int)set->kernels.len;
  life *some = arena_array(scratch, life, n + 1);
  int nsome = 0;
  bool passing = false;
  for (int i = 0; i < n; ++i) {
    const array_info *a = &set->arrays.data[i];
    if (a->role != ROLE_PREPARED || a->whole > 0) continue;
    some[nsome] = lives[i];
    if (is_lasting(set, &lives[i])) some[nsome].last = end;
    passing = passing || some[nsome].last < end;
    ++nsome;
  }
  if (passing) {
    size_t least = most_alive(scratch, end + 1, some, nsome);
    set->prepared_bytes = place_all(set, scratch, some, nsome, least);
    return;
  }
  for (int i = 0; i < nsome; ++i) {
    set->arrays.data[some[i].array].offset = set->prepared_bytes;
    set->prepared_bytes += some[i].size;
  }
}

void plan_memory(kernel_set *set, arena *scratch) {
  int n = (int)set->arrays.len, nwork = 0;
  life *lives = arena_array(scratch, life, n + 1), *work = arena_array(scratch, life, n + 1);
  for (int i = 0; i < n; ++i) {
    size_t size = array_bytes(&set->arrays.data[i]);
    lives[i] = (life){.array = i, .first = -1, .last = -1, .until = -1, .size = size};
  }
  scan_kernels(set, scratch, lives);
  measure_scratch(set);
  for (int i = 0; i < n; ++i) {
    widen(set, &lives[i]);
    if (set->arrays.data[i].role == ROLE_WORK && lives[i].first >= 0) work[nwork++] = lives[i];
  }
  set->workspace_least = most_alive(scratch, (int)set->kernels.len, work, nwork);
  set->workspace_bytes = place_all(set, scratch, work, nwork, set->workspace_least);
  place_prepared(set, scratch, lives);
  for (int i = 0; i < n; ++i) {
    array_info *a = &set->arrays.data[i];
    if (a->whole == 0) continue;
    a->offset = set->arrays.data[a->whole - 1].offset + (size_t)a->at * wn_dtype_size(a->dtype);
  }
}
