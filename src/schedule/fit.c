/* Fitting; see fit.h. Two sizes decide what a schedule keeps at a time: the tiles of a round of the host loop (chunk=), and
 * the tiles that are staged together where the input transform is computed inside the kernel of its reader (t=). Where a
 * schedule has neither, its arrays are as large as they are. */
#include "schedule/fit.h"

enum { DEFAULT_BLOCK = 64 }; /* no less than tiles.c stages unless it is told */

static int64_t most_tiles(const wino_result *w) {
  int64_t most = 1;
  for (int i = 0; i < w->nsites; ++i) most = w->site[i].T > most ? w->site[i].T : most;
  return most;
}

/* The next smaller version; false: there is none. A register tile that was sized for the larger block goes. */
static bool halve(schedule *s, const wino_result *w) {
  if (s->direct || w->nsites == 0) return false;
  int64_t most = most_tiles(w);
  if (s->chunk > 1) {
    s->chunk = (s->chunk < most ? s->chunk : most) / 2;
    if (s->chunk < 1) s->chunk = 1;
    return true;
  }
  if (!schedule_is_inside(s, STAGE_X)) return false;
  int64_t now = s->t[0] > 0 ? s->t[0] : DEFAULT_BLOCK;
  if (now > most) now = most;
  if (now <= 1) return false;
  memset(s->t, 0, sizeof s->t);
  s->t[0] = now / 2;
  return true;
}

static _Noreturn void refuse_local(graph *g, size_t bytes, size_t limit) {
  diag_fail(g->diag, WN_ERR_REFUSED,
            "the local arrays of a kernel take %zu bytes and the device has %zu for a group: place "
            "them global, or take fewer tiles or channels (t=, k=) or a smaller tile (wino)",
            bytes, limit);
}

kernel_set *schedule_fit(graph *g, const wino_result *w, schedule *s, const apply_target *target,
                         int nuser, const user_buffer *user, const fit_limit *limit,
                         size_t *least) {
  schedule smallest = *s;
  *least = SIZE_MAX;
  for (;;) {
    kernel_set *set = schedule_apply(g, w, s, target, nuser, user);
    if (target->local_bytes > 0 && set->scratch_bytes > target->local_bytes) {
      if (limit->shrink && halve(s, w)) continue;
      refuse_local(g, set->scratch_bytes, target->local_bytes);
    }
    size_t bytes = memory_needed(set, limit->threads);
    if (bytes <= limit->bytes) return set;
    if (bytes < *least) {
      *least = bytes;
      smallest = *s;
    }
    if (!limit->shrink || !halve(s, w)) break;
  }
  *s = smallest;
  return NULL;
}
