/* Fitting; see fit.h. Two sizes decide what a schedule keeps at a time: the tiles of a round of the host loop (chunk=),
 * and the tiles that are staged together where the input transform is computed inside the kernel of its reader (t=).
 * Where a schedule has neither, its arrays are as large as they are. */
#include "decide/fit.h"

#include <stdlib.h>

enum { DEFAULT_BLOCK = 64 }; /* no less than tile_block stages unless it is told */

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

/* --- who holds what --------------------------------------------------------------------------- */

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
    if (a->role ==
        ROLE_LOCAL) /* a device's groups have memory of their own: there are no blocks of scratch */
      h[a->site].bytes += array_bytes(a) * (size_t)(threads > 0 ? threads : 1);
    if (a->role == ROLE_WORK && !local) h[a->site].bytes += array_bytes(a);
  }
  qsort(h, (size_t)p->n, sizeof *h, by_bytes);
  return h;
}

static int64_t tiles_of(const fitting *f, int number) {
  int value = f->sites->at[number].value;
  const part *p = f->of[value];
  for (int i = 0; i < p->w.nsites; ++i) {
    if (p->w.site[i].number == number - f->sites->value[value].first) return p->w.site[i].T;
  }
  return 0;
}

/* Makes the blocks of the site that holds most, and has any, smaller. */
static bool shrink(const fitting *f, choice *c, const holder *h) {
  for (int i = 0; i < c->plan.n && h[i].bytes > 0; ++i) {
    int number = h[i].site;
    bool fixed = c->spelled[number] || choose_is_tuned(c, number);
    if (fixed || !halve(&c->plan.site[number], tiles_of(f, number))) continue;
    if (c->why[number] == CHOICE_CHEAPEST) c->why[number] = CHOICE_SMALLER;
    return true;
  }
  return false;
}

/* Which site is to have another plan: that holds most of those that have one which needs less. */
static int largest_to_change(const choice *c, const holder *h) {
  for (int i = 0; i < c->plan.n && h[i].bytes > 0; ++i) {
    if (choose_can_shrink(c, h[i].site)) return h[i].site;
  }
  return -1;
}

static _Noreturn void refuse_local(graph *g, size_t bytes, size_t limit) {
  diag_fail(g->diag, WN_ERR_REFUSED,
            "the local arrays of a kernel take %zu bytes and the device has %zu for a group: place "
            "them global, or take fewer tiles or channels (t=, k=) or a smaller tile (wino)",
            bytes, limit);
}

/* What is asked of the values of one kernel, one behind the other: of those behind the first what is of that. */
static part_request request_together(const fitting *f, const choice *c, const stored_value *of,
                                     bool variable) {
  int n = value_sites(of);
  schedule *plan = arena_array(&f->g->arena, schedule, n);
  wino_options *rewrite = arena_array(&f->g->arena, wino_options, n);
  for (int i = 0; i < n; ++i) {
    plan[i] = c->plan.site[of->first + (i < of->nsites ? i : 0)];
    plan[i].sums = 0;
    rewrite[i] = c->rewrite[value_site(f->sites, of, i)];
  }
  return (part_request){plan, rewrite, variable};
}

static part_list make_parts(fitting *f, choice *c) {
  const bool variable = f->target->options->variable_weights != 0;
  for (int v = 0; v < f->sites->nvalues; ++v) {
    const stored_value *of = &f->sites->value[v];
    if (of->joined > 0) continue;
    part_request asked = {&c->plan.site[of->first], &c->rewrite[of->first], variable};
    /* whose kernel makes partial sums is nothing that a kernel of the rest knows of */
    const bool sums = !value_is_cat(of) && c->plan.site[of->first].sums > 0;
    if (of->nothers > 0 || sums) asked = request_together(f, c, of, variable);
    f->value = v;
    f->of[v] =
        part_make(f->g, &f->store, f->sites, v, &asked, f->target->machine, f->user, &f->local);
  }
  f->value = -1;
  for (int v = 0; v < f->sites->nvalues; ++v)
    if (f->sites->value[v].joined > 0) f->of[v] = f->of[f->sites->value[v].joined - 1];
  return (part_list){f->sites, f->of};
}

int fit_refused(const fitting *f) {
  if (f->value < 0) return -1;
  return value_site(f->sites, &f->sites->value[f->value], f->local < 0 ? 0 : f->local);
}

/* Takes over what the rewrite decided: tiles of named plans, convolutions that a plan for all cannot have. A plan in
 * braces that could not be had, and one for all that nothing came of, is diag_fail(WN_ERR_REFUSED). */
static void settle(graph *g, choice *c, const part_list *parts) {
  bool any = false;
  const char *why = "";
  for (int i = 0; i < c->sites->n; ++i) {
    if (c->conv[i] < 0) continue; /* nor is what is inlined a convolution, and has no part */
    const stored_value *v = &parts->sites->value[parts->sites->at[i].value]; /* not joined */
    const part *p = parts->of[parts->sites->at[i].value];
    int at = i - v->first;
    bool lost = !c->plan.site[i].direct && !p->rewritten[at];
    WN_CHECK(!lost || c->source[i] != PLAN_CHOOSE || choose_is_tuned(c, i),
             "a tile of the survey was not taken: %s", p->w.trace);
    if (lost && c->source[i] == PLAN_GIVEN)
      diag_fail(g->diag, WN_ERR_REFUSED, "plan of %s: it is not rewritten: %s",
                site_text(&g->arena, c->sites, i), p->w.trace);
    if (lost) why = p->w.trace;
    any |= p->rewritten[at];
    c->plan.site[i] = p->plan[at];
  }
  for (int i = 0; i < parts->sites->nvalues && *why == '\0'; ++i) why = parts->of[i]->w.trace;
  if (c->rewrites && !any)
    diag_fail(g->diag, WN_ERR_REFUSED, "plan %.200s: nothing to rewrite: %s", c->name, why);
}

static size_t *prepared_by_site(graph *g, int nsites, const kernel_set *set) {
  size_t *bytes = arena_array(&g->arena, size_t, nsites + 1);
  for (size_t i = 0; i < set->kernels.len; ++i) {
    const nest_kernel *k = &set->kernels.data[i];
    for (int r = 0; r < k->nroots && k->prepare; ++r) {
      const nest_store *s = &k->root[r]->store[0];
      const array_info *a = &set->arrays.data[kernel_array(k, s->array)];
      if (a->role == ROLE_PREPARED)
        bytes[kernel_site(k, s->site > 0 ? s->site : 0)] += array_bytes(a);
    }
  }
  return bytes;
}

/* Prepared weights that do not fit beside what one thread needs: plans with less of them, where that is enough. It does
 * not depend on the number of threads. Bytes of plans are estimates: where there are no less of them than the last time,
 * it ends. */
static bool lighten(fitting *f, choice *c, const kernel_set *set) {
  size_t run = memory_needed(set, f->limit->threads > 0 ? 1 : 0), limit = f->limit->bytes;
  if (run > limit || set->prepared_bytes <= limit - run) return false;
  if (f->lightest > 0 && set->prepared_bytes >= f->lightest) return false;
  f->lightest = set->prepared_bytes;
  size_t over = set->prepared_bytes - (limit - run);
  return choose_lighter(f->g, c, f->target, f->prepared, over, false);
}

bool fit_lighten_all(fitting *f, choice *c) {
  return choose_lighter(f->g, c, f->target, f->prepared, SIZE_MAX, true);
}

kernel_set *schedule_fit(fitting *f, choice *c) {
  const bool variable = f->target->options->variable_weights != 0;
  size_t size = sizeof *c->plan.site * (size_t)c->plan.n, most = f->target->machine->local_bytes;
  schedule *smallest = NULL;
  const cost_target cost = choose_cost_target(f->target);
  band_request bands = {&cost, c->around.bands, f->sites};
  cost_target shared = cost;
  if (f->limit->threads > 0 && f->limit->threads < shared.threads)
    shared.threads = f->limit->threads;
  side_request sides = {&shared, c->around.sides, f->sites};
  f->least = 0;
  f->holder = -1;
  f->lightened = false;
  for (;;) {
    ++f->rounds;
    part_list parts = make_parts(f, c);
    settle(f->g, c, &parts);
    kernel_set *set = parts_assemble(f->g, &parts, variable, f->nuser, f->user, &bands, &sides);
    bool local = most > 0 && set->scratch_bytes > most;
    size_t bytes = memory_needed(set, f->limit->threads) + set->prepared_bytes;
    if (!local && bytes <= f->limit->bytes) return set;
    if (!local && sides.cost != NULL &&
        set->side_sets.len > 0) { /* what is side by side is, too: */
      sides.cost = NULL;
      continue;
    }
    if (!local && bands.cost != NULL &&
        set->bands.len > 0) { /* what takes turns is alive together */
      bands.cost = NULL;
      continue;
    }
    f->prepared = prepared_by_site(f->g, c->plan.n, set);
    f->lightened = !local && lighten(f, c, set);
    if (f->lightened) return NULL;
    const holder *h = list_holders(f->g, &c->plan, set, f->limit->threads, local);
    f->holder = largest_to_change(c, h);
    if (!local && (smallest == NULL || bytes < f->least)) {
      f->least = bytes;
      smallest = arena_copy(&f->g->arena, c->plan.site, size + 1);
    }
    /* no block is small enough where stored values and weights are too large already; another plan is at hand, in the
     * end direct */
    bool futile = set->workspace_values + set->prepared_bytes > f->limit->bytes && f->holder >= 0;
    if (!futile && shrink(f, c, h)) continue;
    if (local) refuse_local(f->g, set->scratch_bytes, most);
    break;
  }
  memcpy(c->plan.site, smallest, size);
  return NULL;
}
