/* Plans that were measured, in the place of those that were chosen.
 *
 * In: a choice, and what is stored for its values. Out: the same choice with these at its sites. Always holds: what is
 * taken parses, keeps the promise on the error and was not asked for otherwise; what was measured with weights that are
 * cold here and were not, or the other way round, is taken where the model knows nothing better, and is told of. */
#include "plan/choose.h"

/* The sites of one stored value by themselves. */
static site_list sites_of_value(graph *g, const site_list *all, int value) {
  const stored_value *v = &all->value[value];
  stored_value *own = arena_copy(&g->arena, v, sizeof *v);
  graph_site *at = arena_array(&g->arena, graph_site, v->nsites);
  for (int i = 0; i < v->nsites; ++i) at[i] = (graph_site){.kind = all->at[v->first + i].kind};
  own->first = 0;
  return (site_list){.root = v->canonical, .nvalues = 1, .value = own, .n = v->nsites, .at = at};
}

/* Is the schedule one that auto may take for this convolution? NULL: it is. */
static const char *why_not(graph *g, const choice *c, const choice_target *target, int site,
                           const schedule *s) {
  if (s->direct || c->conv[site] < 0) return NULL;
  wino_options o = {.math = target->options->math};
  o.nm = s->nm;
  memcpy(o.m, s->m, sizeof o.m);
  const wino_conv *found = &c->survey.conv[c->conv[site]];
  wino_conv conv = wino_survey_conv(g, found->root, found->reduce, &o);
  if (conv.ntiles == 0) return "its tile cannot be had";
  return conv.tile[0].site.promise_missed ? "its error is over the promise" : NULL;
}

/* Does the model know of something better for weights as they are here? On one thread, since the answer changes
 * bits. */
static bool is_beaten(const choice *c, const choice_target *target, int site, const schedule *s) {
  const candidate_list *l = c->candidates[site];
  if (l == NULL) return false;
  const wino_survey only = {1, &c->survey.conv[c->conv[site]]};
  cost_target one = choose_cost_target(target);
  one.threads = 1;
  return !(schedule_cost(&only, s, &one) <= l->least * (1 + 1e-9));
}

/* For explain: what became of a plan that was not measured as things are here. */
static void say_elsewhere(graph *g, choice *c, int site, const schedule *s, bool cold, bool taken) {
  str text;
  str_init(&text, &g->arena);
  str_printf(&text, "%stuned for %s where its weights were %s, %s: ", c->considered,
             site_text(&g->arena, c->sites, site), cold ? "cold" : "not cold",
             taken ? "taken, as nothing better is predicted" : "left, as better is predicted");
  schedule_print(&text, s);
  str_add(&text, "\n");
  c->considered = str_text(&text);
}

static void take_tuned(graph *g, choice *c, int site, const schedule *s, tuned_source source) {
  const candidate_list *others = c->candidates[site];
  candidate_list *l = arena_new(&g->arena, candidate_list);
  if (others != NULL) *l = *others; /* what there is of other kinds */
  size_t n = others != NULL ? others->len : 0;
  l->at = arena_array(&g->arena, candidate, n + 1);
  l->len = n + 1;
  l->considered = "";
  l->at[0].schedule = *s;
  if (n > 0) memcpy(l->at + 1, others->at, n * sizeof *l->at);
  c->candidates[site] = l;
  c->taken[site] = 0;
  c->plan.site[site] = *s;
  c->rewrite[site].why_off = "direct was measured to be the fastest";
  c->tuned_sites[site] = source;
  if (source > c->tuned) c->tuned = source;
}

/* What was stored for a value must still parse and keep the promise. */
static void use_tuned(graph *g, choice *c, const choice_target *target, int value,
                      const tuned_plan *tuned) {
  diag *d = g->diag;
  const char *text = tuned->text;
  const stored_value *v = &c->sites->value[value];
  site_list own = sites_of_value(g, c->sites, value);
  plan_request stored;
  volatile wn_status st;
  DIAG_TRY(d, st) stored = plan_parse(g, text, &own);
  DIAG_END(d, st)
  const char *why = st == WN_OK ? NULL : arena_strdup(&g->arena, d->message);
  if (st == WN_ERR_NOMEM) diag_fail(d, st, "%s", why);
  if (why == NULL) (void)choose_set_apart(g, &stored.plan);
  for (int i = 0; i < v->nsites && why == NULL; ++i) {
    int site = v->first + i;
    if (stored.source[i] == PLAN_CHOOSE || c->source[site] != PLAN_CHOOSE) continue;
    if (c->conv[site] >= 0 && c->candidates[site] == NULL) continue; /* it stays direct */
    const schedule *s = &stored.plan.site[i];
    const bool beaten = tuned->elsewhere && is_beaten(c, target, site, s);
    if (!beaten) why = why_not(g, c, target, site, s);
    if (why == NULL && tuned->elsewhere) say_elsewhere(g, c, site, s, tuned->cold, !beaten);
    if (why == NULL && !beaten)
      take_tuned(g, c, site, s, tuned->elsewhere ? TUNED_ELSEWHERE : TUNED_HERE);
  }
  if (why != NULL) diag_warn(d, "the tuned plan \"%.200s\" is not used: %s", text, why);
}

void choose_tuned(graph *g, choice *c, const choice_target *target) {
  for (int v = 0; v < c->sites->nvalues && target->tuned != NULL; ++v) {
    if (target->tuned[v].text != NULL) use_tuned(g, c, target, v, &target->tuned[v]);
  }
}

tuned_source choose_is_tuned(const choice *c, int site) {
  return c->taken[site] == 0 && !c->plain[site] ? c->tuned_sites[site] : TUNED_NOT;
}
