/* Forecasts; see forecast.h.
 *
 * The model counts by convolution and stage, and adds a stage that is computed inside another's kernel to that kernel. Here
 * each of these sums finds its kernel: by the name of the kernel's own nest, or for output transforms, which flow into a
 * stored value, by the arrays that the kernel reads. */
#include "schedule/forecast.h"

#include <math.h>

enum { CANDIDATES = 64, KINDS = 4 };

/* --- kernels ---------------------------------------------------------------------------------------------------------------- */

/* Is there a node that `test` holds for, under a value that the kernel stores? Children are not looked into. */
typedef bool (*node_test)(const kernel_set *set, const uop *u, const char *name);

static bool any_node(graph *g, const kernel_set *set, const kernel_plan *k, node_test test,
                     const char *name) {
  for (int r = 0; r < k->nroots; ++r) {
    const uop *value = k->root[r]->value;
    uop_order all = uop_toposort(&g->arena, 1, &value);
    for (size_t i = 0; i < all.len; ++i) {
      if (test(set, all.at[i], name)) return true;
    }
  }
  return false;
}

static bool is_reduction(const kernel_set *set, const uop *u, const char *name) {
  (void)set;
  (void)name;
  return u->op == OP_REDUCE;
}

static bool is_array(const kernel_set *set, const uop *u, const char *name) {
  return u->op == OP_BUFFER && strcmp(set->arrays.data[u->arg.i].name, name) == 0;
}

static bool has_root(const kernel_plan *k, const char *name) {
  for (int r = 0; r < k->nroots; ++r) {
    if (strcmp(k->root[r]->stage, name) == 0) return true;
  }
  return false;
}

typedef struct naming {
  graph *g;
  const kernel_set *set;
  const wino_result *w;
} naming;

/* Is it a kernel of x, g or m of any site? */
static bool is_stage(const naming *n, const kernel_plan *k) {
  for (int i = 0; i < n->w->nsites; ++i) {
    const wino_site *s = &n->w->site[i];
    if (has_root(k, s->name_x) || has_root(k, s->name_g) || has_root(k, s->name_m)) return true;
  }
  return false;
}

/* The first run kernel that stores something else and reads this array; -1: there is none. */
static int find_reader(const naming *n, const char *array) {
  for (size_t k = 0; k < n->set->kernels.len; ++k) {
    const kernel_plan *kp = &n->set->kernels.data[k];
    if (kp->prepare || is_stage(n, kp)) continue;
    if (any_node(n->g, n->set, kp, is_array, array)) return (int)k;
  }
  return -1;
}

static int find_root(const naming *n, const char *name) {
  for (size_t k = 0; k < n->set->kernels.len; ++k) {
    const kernel_plan *kp = &n->set->kernels.data[k];
    if (!kp->prepare && has_root(kp, name)) return (int)k;
  }
  return -1;
}

/* The only one: of the run kernels that no stage has (or, `sums`, that sum something). */
static int find_only(const naming *n, bool sums) {
  int found = -1;
  for (size_t k = 0; k < n->set->kernels.len; ++k) {
    const kernel_plan *kp = &n->set->kernels.data[k];
    bool fits = !kp->prepare && !is_stage(n, kp);
    if (fits && sums) fits = any_node(n->g, n->set, kp, is_reduction, NULL);
    if (fits && found >= 0) return -1;
    if (fits) found = (int)k;
  }
  return found;
}

/* Where a site's output transform runs: in a kernel of its own, or in that which reads what is left of its arrays. */
static int find_output(const naming *n, const wino_site *s) {
  const char *const arrays[] = {s->name_m, s->name_x, s->name_g};
  int k = find_root(n, s->name_o);
  for (int i = 0; i < 3 && k < 0; ++i) k = find_reader(n, arrays[i]);
  return k >= 0 || n->w->nsites > 1 ? k : find_only(n, false);
}

static void add_kernel(double *kernel, int k, double seconds) {
  if (k >= 0 && seconds > 0) kernel[k] = (isnan(kernel[k]) ? 0 : kernel[k]) + seconds;
}

static void name_kernels(const naming *n, const schedule *s, int nconvs,
                         double (*by_stage)[STAGE_COUNT], double *kernel) {
  if (s->direct && nconvs == 1) add_kernel(kernel, find_only(n, true), by_stage[0][STAGE_O]);
  if (s->direct || nconvs != n->w->nsites) return;
  for (int i = 0; i < nconvs; ++i) {
    const wino_site *site = &n->w->site[i];
    add_kernel(kernel, find_root(n, site->name_x), by_stage[i][STAGE_X]);
    add_kernel(kernel, find_root(n, site->name_g), by_stage[i][STAGE_G]);
    add_kernel(kernel, find_root(n, site->name_m), by_stage[i][STAGE_M]);
    add_kernel(kernel, find_output(n, site), by_stage[i][STAGE_O]);
  }
}

/* The convolutions with the schedule's tile alone, or with all that keep the promise. */
static wino_survey survey_for(graph *g, const uop *root, const choice_target *t, const schedule *s,
                              bool all) {
  wino_options o = {.math = t->options->math, .off = s->direct && !all, .weights = t->weights};
  o.off |= o.math == WN_MATH_FP32_STRICT;
  if (!all) {
    o.nm = s->nm;
    memcpy(o.m, s->m, sizeof o.m);
  }
  return wino_survey_graph(g, root, &o);
}

forecast forecast_program(graph *g, const uop *root, const choice_target *target, const schedule *s,
                          const wino_result *w, const kernel_set *set) {
  wino_survey survey = survey_for(g, root, target, s, false);
  cost_target t = choose_cost_target(target);
  t.max_memory = 0; /* it was applied */
  double *kernel = arena_array(&g->arena, double, set->kernels.len + 1);
  for (size_t k = 0; k < set->kernels.len; ++k) kernel[k] = (double)NAN;
  forecast f = {
      .root = root, .target = *target, .schedule = *s, .trace = w->trace, .kernel = kernel};
  if (survey.nconvs == 0) return f;
  double(*by_stage)[STAGE_COUNT] = arena_alloc(&g->arena, sizeof *by_stage * (size_t)survey.nconvs);
  if (!isfinite(schedule_cost_by_stage(&survey, s, &t, by_stage))) return f;
  naming n = {g, set, w};
  name_kernels(&n, s, survey.nconvs, by_stage, kernel);
  return f;
}

/* --- variants ---------------------------------------------------------------------------------------------------------------- */

static bool is_staged(const schedule *s) {
  return schedule_is_inside(s, STAGE_X) || schedule_is_inside(s, STAGE_M);
}

static bool is_whole(const schedule *s, stage_id id) {
  return s->stage[id].space == SPACE_GLOBAL && !schedule_is_inside(s, id);
}

/* A size is that of a block where something is staged, else of a register tile: what no longer says what it said is left to
 * the machine. So are channels in the lanes where a transform is inlined, and a host loop goes where there is no array any
 * more for it to cut. */
static void settle(schedule *s, const schedule *was) {
  const bool t_was = is_staged(was), t_is = is_staged(s);
  const bool k_was = schedule_is_inside(was, STAGE_M), k_is = schedule_is_inside(s, STAGE_M);
  if (t_was != t_is) s->t[0] = t_was ? s->t[1] : 0, s->t[1] = 0;
  if (k_was != k_is) s->k[0] = k_was ? s->k[1] : 0, s->k[1] = 0;
  for (int id = STAGE_X; id < STAGE_O; ++id) {
    if (!is_whole(s, (stage_id)id)) s->chunk = 0;
    if (schedule_is_inlined(s, (stage_id)id) && !schedule_is_inlined(was, (stage_id)id) &&
        s->v == 'k')
      s->v = 0;
  }
  if (schedule_is_inside(s, STAGE_O)) s->chunk = 0;
}

static void add_places(graph *g, const schedule *now, variant_list *out) {
  for (int id = STAGE_X; id < STAGE_COUNT; ++id) {
    for (uop_space space = SPACE_INLINE; space < SPACE_COUNT; ++space) {
      if (now->stage[id].space == space) continue;
      variant v = {.schedule = *now};
      v.schedule.stage[id] = (stage_plan){.space = space};
      settle(&v.schedule, now);
      v.change = arena_printf(&g->arena, "%c=%s", "xgmo"[id], space_name[space]);
      vec_push(&g->arena, out, v);
    }
  }
}

static const char *tile_text(graph *g, const schedule *s) {
  str text;
  str_init(&text, &g->arena);
  for (int i = 0; i < s->nm; ++i) str_printf(&text, "%s%d", i ? "x" : "wino=", s->m[i]);
  return str_text(&text);
}

/* The same schedule with that of all other tiles of the first convolution that is predicted to be best. */
static void add_tile(graph *g, const forecast *f, const wino_survey *all, const cost_target *t,
                     variant_list *out) {
  variant best = {.schedule = f->schedule};
  double least = INFINITY;
  for (int i = 0; i < all->conv[0].ntiles; ++i) {
    const wino_site *site = &all->conv[0].tile[i].site;
    schedule s = f->schedule;
    s.nm = site->nwindow;
    memcpy(s.m, site->window_m, sizeof s.m);
    double seconds = schedule_equal(&s, &f->schedule) ? INFINITY : schedule_cost(all, &s, t);
    if (!(seconds < least)) continue;
    least = seconds;
    best.schedule = s;
  }
  if (!isfinite(least)) return;
  best.change = tile_text(g, &best.schedule);
  vec_push(&g->arena, out, best);
}

static bool is_same_kind(const schedule *a, const schedule *b) {
  bool same = a->direct == b->direct && (a->chunk > 0) == (b->chunk > 0);
  for (int i = 0; i < STAGE_COUNT && !a->direct; ++i)
    same &= a->stage[i].space == b->stage[i].space;
  return same;
}

static bool is_listed(const schedule *s, const forecast *f, const variant_list *list) {
  bool known = schedule_equal(s, &f->schedule);
  for (size_t i = 0; i < list->len && !known; ++i)
    known = schedule_equal(s, &list->data[i].schedule);
  return known;
}

/* What auto considers: its best, or where nothing is rewritten now, the best of each kind. */
static void add_candidates(graph *g, const forecast *f, const wino_survey *all,
                           const cost_target *t, variant_list *out) {
  candidate *list = arena_array(&g->arena, candidate, CANDIDATES);
  size_t count = schedule_candidates(all, t, list, CANDIDATES), from = out->len;
  size_t most = f->schedule.direct ? KINDS : 1;
  for (size_t i = 0; i < count && out->len < from + most; ++i) {
    const schedule *s = &list[i].schedule;
    bool again = is_listed(s, f, out);
    for (size_t j = from; j < out->len && !again; ++j)
      again = is_same_kind(s, &out->data[j].schedule);
    if (again && !f->schedule.direct) return; /* it stands there already */
    if (again || s->direct) continue;
    str text;
    str_init(&text, &g->arena);
    schedule_print(&text, s);
    vec_push(&g->arena, out, ((variant){str_text(&text), *s}));
  }
}

void forecast_variants(graph *g, const forecast *f, variant_list *out) {
  wino_survey all = survey_for(g, f->root, &f->target, &f->schedule, true);
  cost_target t = choose_cost_target(&f->target);
  if (all.nconvs == 0) return;
  if (!f->schedule.direct) {
    add_places(g, &f->schedule, out);
    variant direct = {.change = "direct", .schedule = {.direct = true}};
    vec_push(&g->arena, out, direct);
    add_tile(g, f, &all, &t, out);
  }
  add_candidates(g, f, &all, &t, out);
}
