/* Where arrays live in the workspace and in the prepared block.
 *
 * In: arrays and the kernels that read and write them, in order. Out: offsets such that arrays whose lives overlap do
 * not. Largest first, each at the lowest place that is free during its life (greedy by size: Pisarchyk and Lee,
 * arXiv:2001.03288), or in another order where that needs less. Always holds: 64-byte alignment, and a little room
 * behind each array so that neighbours do not share cache sets; what the kernels of a host loop touch is alive in all
 * of its rounds, and what those side by side touch while any of them runs; what a run reads of the prepared block stays;
 * an array that is in another one is where it stands in that, which is alive as long as any that is in it; a result that
 * may be in the place of what its kernel reads for the last time (in_place.c) is one array with that. */
#include <stdlib.h>

#include "nest/touched.h"

enum { ALIGNMENT = 64, PAGE = 4096 };

typedef struct life {
  int array;
  int first, last; /* kernels */
  int before;      /* the last one that touches it before `last` does; -1: none */
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

/* Kernels in order. */
static void touch(life *l, int kernel) {
  if (l->first < 0) l->first = kernel;
  if (kernel > l->last) l->before = l->last;
  l->last = kernel;
}

/* The array that has the memory of one that a launch's nests call so. */
static int memory_of(const kernel_set *set, const nest_kernel *k, int array) {
  const int own = kernel_array(k, array), whole = set->arrays.data[own].whole - 1;
  return whole >= 0 ? whole : own;
}

static void touch_all(const kernel_set *set, const nest_kernel *k, int kernel, const numbers *of,
                      life *lives) {
  for (size_t i = 0; i < of->len; ++i) touch(&lives[memory_of(set, k, of->data[i])], kernel);
}

static void scan_kernels(const kernel_set *set, map *known, life *lives) {
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const nest_kernel *kp = &set->kernels.data[k];
    for (int r = 0; r < kp->nroots; ++r) {
      const touched *of = touched_by(known, kp->root[r]);
      touch_all(set, kp, (int)k, &of->reads, lives);
      touch_all(set, kp, (int)k, &of->writes, lives);
    }
  }
}

static void widen_to(int *first, int *last, int from, int end) {
  if (*first >= end || *last < from) return;
  if (*first > from) *first = from;
  if (*last < end - 1) *last = end - 1;
}

/* From the first kernel of a host loop, of those that take turns or of those side by side, to its last. */
static void widen(const kernel_set *set, int *first, int *last) {
  const nest_kernel *k = set->kernels.data;
  while (*first > 0 && nest_same_rounds(&k[*first], &k[*first - 1])) --*first;
  while (*last + 1 < (int)set->kernels.len && nest_same_rounds(&k[*last], &k[*last + 1])) ++*last;
  for (size_t i = 0; i < set->bands.len; ++i)
    widen_to(first, last, set->bands.data[i].first, set->bands.data[i].end);
  for (size_t i = 0; i < set->sides.len; ++i)
    widen_to(first, last, set->sides.data[i].first, set->sides.data[i].end);
}

/* --- results in the place of what is read ----------------------------------------------------- */

static bool has_other_name(const kernel_set *set, const nest_kernel *k, const numbers *of,
                           int name) {
  const int memory = memory_of(set, k, name);
  for (size_t i = 0; i < of->len; ++i)
    if (of->data[i] != name && memory_of(set, k, of->data[i]) == memory) return true;
  return false;
}

/* Do the nests of a launch call the memory by this name alone? */
static bool is_one_name(const kernel_set *set, map *known, const nest_kernel *k, int name) {
  for (int r = 0; r < k->nroots; ++r) {
    const touched *of = touched_by(known, k->root[r]);
    if (has_other_name(set, k, &of->reads, name) || has_other_name(set, k, &of->writes, name))
      return false;
  }
  return true;
}

static bool is_work(const array_info *a) { return a->role == ROLE_WORK && a->whole == 0; }

/* May the kernel store the one where the other is? No kernel reads that later, nor in another round of the same turns.
 * One that is larger would need its room for the life of both. */
static bool may_replace(const kernel_set *set, map *known, const life *lives, int kernel,
                        place_pair pair) {
  const nest_kernel *k = &set->kernels.data[kernel];
  const int stored = kernel_array(k, pair.stored), read = kernel_array(k, pair.read);
  int first = kernel, last = kernel;
  if (!is_work(&set->arrays.data[stored]) || !is_work(&set->arrays.data[read])) return false;
  if (lives[stored].first != kernel || lives[read].last != kernel ||
      lives[stored].size != lives[read].size)
    return false;
  widen(set, &first, &last);
  return lives[read].before >= 0 && lives[read].before < first &&
         is_one_name(set, known, k, pair.stored) && is_one_name(set, known, k, pair.read);
}

/* Each array replaces one at most, and is replaced by one at most. */
static void replace_arrays(kernel_set *set, arena *scratch, map *known, const life *lives) {
  bool *replaced = arena_array(scratch, bool, set->arrays.len + 1);
  for (size_t i = 0; i < set->kernels.len; ++i) {
    const nest_kernel *k = &set->kernels.data[i];
    for (int p = 0; p < k->npairs; ++p) {
      const int read = kernel_array(k, k->pairs[p].read);
      array_info *stored = &set->arrays.data[kernel_array(k, k->pairs[p].stored)];
      if (stored->instead > 0 || replaced[read] ||
          !may_replace(set, known, lives, (int)i, k->pairs[p]))
        continue;
      stored->instead = read + 1;
      replaced[read] = true;
    }
  }
}

/* By array the first of those that have one place with it: long chains are followed once. */
static int *find_places(const kernel_set *set, arena *scratch) {
  const array_info *all = set->arrays.data;
  int *first = arena_array(scratch, int, set->arrays.len + 1); /* + 1; 0: not known */
  for (int i = 0; i < (int)set->arrays.len; ++i) {
    int top = i;
    while (first[top] == 0 && all[top].instead > 0) top = all[top].instead - 1;
    const int found = first[top] > 0 ? first[top] : top + 1;
    for (int k = i; k != top; k = all[k].instead - 1) first[k] = found;
    first[top] = found;
  }
  for (size_t i = 0; i < set->arrays.len; ++i) --first[i];
  return first;
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

static size_t least_of_values(const kernel_set *set, arena *scratch, const life *work, int nwork) {
  life *values = arena_array(scratch, life, nwork + 1);
  int n = 0;
  for (int i = 0; i < nwork; ++i)
    if (set->arrays.data[work[i].array].stage == STAGE_COUNT) values[n++] = work[i];
  return most_alive(scratch, (int)set->kernels.len, values, n);
}

/* Lives of the workspace, one for each place. Returns how many. */
static int list_work(const kernel_set *set, arena *scratch, const life *lives, life **out) {
  const int n = (int)set->arrays.len;
  int count = 0, *number = arena_array(scratch, int, n + 1);
  const int *first = find_places(set, scratch);
  life *work = arena_array(scratch, life, n + 1);
  for (int i = 0; i < n; ++i) {
    const life *l = &lives[i];
    if (set->arrays.data[i].role != ROLE_WORK || l->first < 0) continue;
    const int of = first[i];
    if (number[of] == 0) {
      work[count] = *l;
      work[count].array = of;
      number[of] = ++count;
      continue;
    }
    life *all = &work[number[of] - 1];
    if (l->first < all->first) all->first = l->first;
    if (l->last > all->last) all->last = l->last;
    if (l->size > all->size) all->size = l->size;
  }
  *out = work;
  return count;
}

static size_t place_work(kernel_set *set, arena *scratch, const life *lives) {
  life *work;
  const int n = list_work(set, scratch, lives, &work);
  set->workspace_least = most_alive(scratch, (int)set->kernels.len, work, n);
  set->workspace_values = least_of_values(set, scratch, work, n);
  return place_all(set, scratch, work, n, set->workspace_least);
}

static bool replaces_any(const kernel_set *set) {
  bool any = false;
  for (size_t i = 0; i < set->arrays.len; ++i) any |= set->arrays.data[i].instead > 0;
  return any;
}

/* What is one array has one place, for which it may be harder to find room: not where that costs memory. */
static void plan_work(kernel_set *set, arena *scratch, const life *lives) {
  const size_t bytes = place_work(set, scratch, lives);
  const size_t least = set->workspace_least, values = set->workspace_values;
  set->workspace_bytes = bytes;
  if (bytes == least || !replaces_any(set)) return;
  array_info *arrays = arena_copy(scratch, set->arrays.data, set->arrays.len * sizeof *arrays);
  for (size_t i = 0; i < set->arrays.len; ++i) set->arrays.data[i].instead = 0;
  const size_t apart = place_work(set, scratch, lives);
  set->workspace_least = least;
  if (apart < bytes) {
    set->workspace_bytes = apart;
    return;
  }
  memcpy(set->arrays.data, arrays, set->arrays.len * sizeof *arrays);
  set->workspace_values = values;
}

/* Of arrays that are where others are. */
static void follow_places(kernel_set *set, arena *scratch) {
  const int *first = find_places(set, scratch);
  for (size_t i = 0; i < set->arrays.len; ++i) {
    array_info *a = &set->arrays.data[i];
    if (a->instead > 0) a->offset = set->arrays.data[first[i]].offset;
  }
  for (size_t i = 0; i < set->arrays.len; ++i) {
    array_info *a = &set->arrays.data[i];
    if (a->whole > 0)
      a->offset = set->arrays.data[a->whole - 1].offset + (size_t)a->at * wn_dtype_size(a->dtype);
  }
}

void plan_memory(kernel_set *set, arena *scratch) {
  const int n = (int)set->arrays.len;
  life *lives = arena_array(scratch, life, n + 1);
  map known;
  map_init(&known, scratch);
  for (int i = 0; i < n; ++i) {
    size_t size = array_bytes(&set->arrays.data[i]);
    lives[i] = (life){.array = i, .first = -1, .last = -1, .before = -1, .until = -1, .size = size};
  }
  scan_kernels(set, &known, lives);
  measure_scratch(set);
  replace_arrays(set, scratch, &known, lives);
  for (int i = 0; i < n; ++i)
    if (lives[i].first >= 0) widen(set, &lives[i].first, &lives[i].last);
  plan_work(set, scratch, lives);
  place_prepared(set, scratch, lives);
  follow_places(set, scratch);
}
