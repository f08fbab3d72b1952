/* Describing sites; see program_sites.h. Kernels and arrays carry the number of the site whose they are, so each list
 * is gone through once, however many sites there are. */
#include "decide/program_sites.h"

#include <math.h>

#include "machine/limits.h"

/* The first that it stores: nests count from the first site of their stored value, whose kernel it is though it might
 * store nothing but another's partial sums. */
static int site_of_kernel(const nest_kernel *k) {
  int site = k->nroots > 0 ? k->root[0]->store[0].site : 0;
  return kernel_site(k, site > 0 && (k->nothers == 0 || site < k->nsites) ? site : 0);
}

/* Lists of kernels are cut from one array, in the order of sites. */
static void list_kernels(compiled_graph *p, int nsites) {
  arena *a = &p->keep;
  int n = (int)p->set->kernels.len;
  p->site_of = arena_array(a, int, n + 1);
  int *all = arena_array(a, int, n + 1), *next = arena_array(a, int, nsites + 1);
  for (int k = 0; k < n; ++k) {
    p->site_of[k] = site_of_kernel(&p->set->kernels.data[k]);
    p->sites[p->site_of[k]].kernels++;
  }
  for (int i = 0, at = 0; i < nsites; ++i) {
    p->sites[i].kernel = all + at;
    next[i] = at;
    at += p->sites[i].kernels;
  }
  for (int k = 0; k < n; ++k) all[next[p->site_of[k]]++] = k;
}

static void add_arrays(compiled_graph *p) {
  for (size_t i = 0; i < p->set->arrays.len; ++i) {
    const array_info *a = &p->set->arrays.data[i];
    if (a->site < 0) continue;
    if (a->role == ROLE_RESULT)
      p->sites[a->site].bytes += (size_t)(a->len - a->gaps) * wn_dtype_size(a->dtype);
    else if (a->role == ROLE_WORK || a->role == ROLE_PREPARED)
      p->sites[a->site].bytes += array_bytes(a);
  }
}

/* Values that are stored over what they were made of. */
static void add_places(compiled_graph *p) {
  const array_info *all = p->set->arrays.data;
  for (size_t i = 0; i < p->set->arrays.len; ++i) {
    const array_info *a = &all[i], *of = &all[a->instead > 0 ? a->instead - 1 : 0];
    if (a->instead == 0 || a->site < 0 || a->stage != STAGE_COUNT) continue;
    const bool value = of->site >= 0 && of->stage == STAGE_COUNT;
    p->sites[a->site].in_place_of = value ? p->sites[of->site].label : of->name;
  }
}

static double sum_of(const double *stages) {
  double seconds = 0;
  for (int i = 0; i < STAGE_COUNT; ++i)
    if (isfinite(stages[i])) seconds += stages[i];
  return seconds;
}

static const char *layout_of(const stored_value *v) {
  return v->layout == LAYOUT_CHOSEN ? NULL : v->layout == LAYOUT_LAST ? "last" : "given";
}

/* Of so many operations on vectors of f32, by all threads. */
static double vectors_s(const machine *m, double operations) {
  return machine_arithmetic_s(m->limits, operations * 2 * m->vector_bytes / 4);
}

static wn_site_info describe(compiled_graph *p, const decision *d, int number) {
  const choice *c = &d->choice;
  const graph_site *s = &c->sites->at[number];
  const stored_value *v = &c->sites->value[s->value];
  arena *a = &p->graph.arena;
  str plan;
  str_init(&plan, a);
  plan_print_site(&plan, &d->complete.site[number], c->sites, number);
  return (wn_site_info){.kind = site_kind_name[s->kind],
                        .label = arena_printf(a, "%s%d", site_kind_name[s->kind], number),
                        .name = s->name,
                        .plan = str_text(&plan),
                        .ndim = s->shape->len,
                        .shape = s->shape->at,
                        .predicted_s = c->conv[number] >= 0 ? sum_of(d->by_stage[number]) : 0,
                        .alike = c->sites->value[v->alike].first + number - v->first,
                        .tuned = (int)choose_is_tuned(c, number),
                        .result = v->result,
                        .layout = layout_of(v),
                        .layout_why = layout_reason_name[v->layout_why],
                        .layout_s = vectors_s(d->target->machine, v->layout_gain)};
}

void program_describe_sites(compiled_graph *p, const decision *d) {
  int n = d->choice.sites->n;
  p->sites = arena_array(&p->keep, wn_site_info, n + 1);
  for (int i = 0; i < n; ++i) {
    p->sites[i] = describe(p, d, i);
    program_describe_reasons(&p->graph, d, i, &p->sites[i]);
  }
  list_kernels(p, n);
  add_arrays(p);
  add_places(p);
}
