/* Fitting; see fit.h. Two sizes decide what a schedule keeps at a time: the tiles of a round of the host loop (chunk=), and
 * the tiles that are staged together where the input transform is computed inside the kernel of its reader (t=). Where a
 * schedule has neither, its arrays are as large as they are. */
#include "schedule/fit.h"

#include <stdlib.h>

enum { DEFAULT_BLOCK = 64 }; /* no less than stages.c stages unless it is told */

/* The next smaller version; false: there is none. A register tile that was sized for the larger block goes. */
static bool halve(schedule *s, int64_t tiles) {
  if (s->direct || tiles == 0) return false;
  if (s->chunk > 1) {
    s->chunk = (s->chunk < tiles ? s->chunk : tiles) / 2;
    if (s->chunk < 1) s->chunk = 1;
    return true;
  }
  if (!schedule_is_inside(s, STAGE_X)) return false;
  int64_t now = s->t[0] > 0 ? s->t[0] : DEFAULT_BLOCK;
  if (now > tiles) now = tiles;
  if (now <= 1) return false;
  memset(s->t, 0, sizeof s->t);
  s->t[0] = now / 2;
  return true;
}

/* --- who holds what ------------------------------------------------------------------------------------------------------ */

typedef struct holder {
  int site;
  size_t bytes;
} holder;

static int by_bytes(const void *a, const void *b) {
  const holder *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return (x->site > y->site) - (x->site < y->site);
}

/* Sites by the bytes of their arrays, most first; `local`: of those inside kernels alone. */
static holder *list_holders(graph *g, const graph_plan *p, const kernel_set *set, int threads,
                            bool local) {
  holder *h = arena_array(&g->arena, holder, p->n + 1);
  for (int i = 0; i < p->n; ++i) h[i].site = i;
  for (size_t i = 0; i < set->arrays.len; ++i) {
    const array_info *a = &set->arrays.data[i];
    if (a->site < 0) continue;
    if (a->role == ROLE_LOCAL) h[a->site].bytes += array_bytes(a) * (size_t)threads;
    if (a->role == ROLE_WORK && !local) h[a->site].bytes += array_bytes(a);
  }
  qsort(h, (size_t)p->n, sizeof *h, by_bytes);
  return h;
}

/* Makes the blocks of the site that holds most, and has any, smaller. */
static bool shrink(const wino_result *w, graph_plan *p, const holder *h, const fit_limit *limit) {
  for (int i = 0; i < p->n && h[i].bytes > 0; ++i) {
    int64_t tiles = 0;
    for (int j = 0; j < w->nsites; ++j) {
      if (w->site[j].number == h[i].site) tiles = w->site[j].T;
    }
    if (!limit->spelled[h[i].site] && halve(&p->site[h[i].site], tiles)) return true;
  }
  return false;
}

static _Noreturn void refuse_local(graph *g, size_t bytes, size_t limit) {
  diag_fail(g->diag, WN_ERR_REFUSED,
            "the local arrays of a kernel take %zu bytes and the device has %zu for a group: place "
            "them global, or take fewer tiles or channels (t=, k=) or a smaller tile (wino)",
            bytes, limit);
}

kernel_set *schedule_fit(graph *g, const wino_result *w, graph_plan *p, const apply_target *target,
                         int nuser, const user_buffer *user, const fit_limit *limit, size_t *least,
                         int *site) {
  schedule *smallest = arena_copy(&g->arena, p->site, sizeof *p->site * (size_t)(p->n + 1));
  *least = SIZE_MAX;
  for (;;) {
    kernel_set *set = schedule_apply(g, w, p, target, nuser, user, site);
    bool local = target->local_bytes > 0 && set->scratch_bytes > target->local_bytes;
    size_t bytes = memory_needed(set, limit->threads);
    if (!local && bytes <= limit->bytes) return set;
    const holder *h = list_holders(g, p, set, limit->threads, local);
    *site = h[0].bytes > 0 ? h[0].site : -1;
    if (!local && bytes < *least) {
      *least = bytes;
      memcpy(smallest, p->site, sizeof *p->site * (size_t)p->n);
    }
    if (shrink(w, p, h, limit)) continue;
    if (local) refuse_local(g, set->scratch_bytes, target->local_bytes);
    break;
  }
  memcpy(p->site, smallest, sizeof *p->site * (size_t)p->n);
  return NULL;
}
