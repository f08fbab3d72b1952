/* See side_units.h. */
#include "nest/side_units.h"

/* Which unit touched an array. */
typedef struct touch {
  int unit, array;
} touch;

/* An array with memory of its own, and those that stand in it. */
typedef struct memory {
  VEC(touch) reads, writes;
  int seen; /* number + 1 of the last unit that was noted */
} memory;

typedef struct sorting {
  arena *a;
  const kernel_set *set;
  map *known;
  unit_list list;
  memory *of;   /* by array */
  bool *stored; /* by array: some kernel stores it; else it is made of others */
  int *last;    /* by unit: number + 1 of the last one that was said to wait for it */
} sorting;

/* --- units ------------------------------------------------------------------------------------ */

static const band_group *band_of(const kernel_set *set, int k) {
  for (size_t i = 0; i < set->bands.len; ++i)
    if (set->bands.data[i].first <= k && k < set->bands.data[i].end) return &set->bands.data[i];
  return NULL;
}

/* Do the kernel and the next one stay neighbours? */
static bool same_unit(const kernel_set *set, int k) {
  const nest_kernel *a = &set->kernels.data[k], *b = a + 1;
  const band_group *band = band_of(set, k);
  return a->first_site == b->first_site || nest_same_rounds(a, b) ||
         (band != NULL && k + 1 < band->end);
}

static void find_units(sorting *s) {
  const int n = (int)s->set->kernels.len;
  const nest_kernel *all = s->set->kernels.data;
  s->list.at = arena_array(s->a, side_unit, n + 1);
  int k = 0;
  while (k < n && all[k].prepare) ++k;
  while (k < n) {
    side_unit *u = &s->list.at[s->list.n++];
    u->first = k;
    do {
      u->fixed |= all[k].chunks > 1 || band_of(s->set, k) != NULL;
    } while (++k < n && same_unit(s->set, k - 1));
    u->end = k;
  }
}

/* --- what waits for what ---------------------------------------------------------------------- */

static int memory_of(const kernel_set *set, int array) {
  const int whole = set->arrays.data[array].whole;
  return whole > 0 ? whole - 1 : array;
}

/* Of two arrays in one memory. Each element of a concatenation is one part's, so arrays that kernels store are apart; a
 * concatenation, and what another one begins with, is made of several. */
static bool share_elements(const sorting *s, int a, int b) {
  const array_info *x = &s->set->arrays.data[a], *y = &s->set->arrays.data[b];
  if (a == b) return true;
  if (s->stored[a] && s->stored[b]) return false;
  return x->at < y->at + y->len && y->at < x->at + x->len;
}

static void wait_for(sorting *s, int unit, int before) {
  if (before == unit || s->last[before] == unit + 1) return;
  s->last[before] = unit + 1;
  ++s->list.at[unit].waits;
  vec_push(s->a, &s->list.at[before].next, unit);
}

/* May a kernel of a run write it? */
static bool may_change(const array_info *a) {
  return a->role == ROLE_WORK || a->role == ROLE_RESULT;
}

static void note_memory(sorting *s, int unit, int array, bool writes) {
  side_unit *u = &s->list.at[unit];
  const array_info *a = &s->set->arrays.data[array];
  const int number = memory_of(s->set, array);
  const double bytes = (double)(a->len - a->gaps) * (double)wn_dtype_size(a->dtype);
  memory *m = &s->of[number];
  if (a->role == ROLE_LOCAL) return;
  if (writes) u->makes += bytes;
  u->touches += bytes;
  if (a->role != ROLE_WORK || m->seen == unit + 1) return;
  m->seen = unit + 1;
  ++s->list.touching[number];
  vec_push(s->a, &u->memory, number);
}

static void note_reads(sorting *s, int unit, const nest_kernel *k, const numbers *of) {
  for (size_t i = 0; i < of->len; ++i) {
    const int array = kernel_array(k, of->data[i]);
    memory *m = &s->of[memory_of(s->set, array)];
    note_memory(s, unit, array, false);
    if (!may_change(&s->set->arrays.data[array])) continue;
    for (size_t w = 0; w < m->writes.len; ++w)
      if (share_elements(s, m->writes.data[w].array, array))
        wait_for(s, unit, m->writes.data[w].unit);
    vec_push(s->a, &m->reads, ((touch){unit, array}));
  }
}

static void note_writes(sorting *s, int unit, const nest_kernel *k, const numbers *of) {
  for (size_t i = 0; i < of->len; ++i) {
    const int array = kernel_array(k, of->data[i]);
    memory *m = &s->of[memory_of(s->set, array)];
    note_memory(s, unit, array, true);
    for (size_t w = 0; w < m->writes.len; ++w)
      if (m->writes.data[w].array == array) wait_for(s, unit, m->writes.data[w].unit);
    for (size_t r = 0; r < m->reads.len; ++r)
      if (share_elements(s, m->reads.data[r].array, array))
        wait_for(s, unit, m->reads.data[r].unit);
    vec_push(s->a, &m->writes, ((touch){unit, array}));
  }
}

static void note_stored(sorting *s, int unit, const nest_kernel *k, const numbers *of) {
  (void)unit;
  for (size_t i = 0; i < of->len; ++i) s->stored[kernel_array(k, of->data[i])] = true;
}

typedef void (*note_fn)(sorting *s, int unit, const nest_kernel *k, const numbers *of);

/* Of every nest of every unit, in order; NULL: nothing. */
static void each_nest(sorting *s, note_fn reads, note_fn writes) {
  for (int u = 0; u < s->list.n; ++u) {
    for (int i = s->list.at[u].first; i < s->list.at[u].end; ++i) {
      const nest_kernel *k = &s->set->kernels.data[i];
      for (int r = 0; r < k->nroots; ++r) {
        const touched *t = touched_by(s->known, k->root[r]);
        if (reads != NULL) reads(s, u, k, &t->reads);
        writes(s, u, k, &t->writes);
      }
    }
  }
}

static size_t most_in_turn(sorting *s) {
  size_t live = 0, most = 0;
  int *met = arena_array(s->a, int, s->set->arrays.len + 1);
  for (int i = 0; i < s->list.n; ++i) {
    const numbers *of = &s->list.at[i].memory;
    for (size_t m = 0; m < of->len; ++m)
      if (met[of->data[m]]++ == 0) live += array_bytes(&s->set->arrays.data[of->data[m]]);
    if (live > most) most = live;
    for (size_t m = 0; m < of->len; ++m)
      if (met[of->data[m]] == s->list.touching[of->data[m]])
        live -= array_bytes(&s->set->arrays.data[of->data[m]]);
  }
  return most;
}

unit_list side_units_of(const kernel_set *set, map *known) {
  sorting s = {.a = known->arena, .set = set, .known = known};
  find_units(&s);
  s.of = arena_array(s.a, memory, set->arrays.len + 1);
  s.stored = arena_array(s.a, bool, set->arrays.len + 1);
  s.last = arena_array(s.a, int, s.list.n + 1);
  s.list.touching = arena_array(s.a, int, set->arrays.len + 1);
  each_nest(&s, NULL, note_stored);
  each_nest(&s, note_reads, note_writes);
  s.list.most = most_in_turn(&s);
  return s.list;
}
