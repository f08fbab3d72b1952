/* Lighter plans; see choose.h. What is prepared of the weights of a site follows from its plan: f / r^n times the
 * weights where they are transformed into an array, as many as there are where they are packed, nothing where a run
 * reads them as they are. */
#include <math.h>

#include "plan/choose.h"

/* What reads weights as they are, of values that the model has no price for: seconds a byte. */
static const double UNPRICED = 1.0 / 2e9;

static double elements_of_axis(const wino_conv *c, const schedule *s, int at) {
  double taps = (double)c->taps[at];
  int m = s->nm == 0 ? 0 : s->m[s->nm == 1 ? 0 : at];
  if (s->direct || m <= 1) return taps;
  double stride = (double)(c->stride[at] > 1 ? c->stride[at] : 1);
  return stride * (m + ceil(taps / stride) - 1);
}

/* Bytes of prepared weights, as far as a schedule says. */
static double bytes_of(const wino_conv *c, const schedule *s) {
  if (s->direct ? s->v == 't' : s->stage[STAGE_G].space != SPACE_GLOBAL) return 0;
  double elements = (double)c->K * (double)c->C * (double)c->G;
  for (int i = 0; i < c->nwindow; ++i) elements *= elements_of_axis(c, s, i);
  return elements * (double)wn_dtype_size(c->dtype);
}

typedef struct site_state {
  double bytes, seconds;
  int taken;  /* candidate */
  bool plain; /* direct, its weights as they are */
  bool changed;
} site_state;

typedef struct lightening {
  const choice *c;
  cost_target target;
  site_state *at; /* by site */
} lightening;

typedef struct step {
  int site;
  site_state to;
  double price; /* seconds a byte */
} step;

static const schedule plain_direct = {.direct = true, .v = 't'};

static double price(const lightening *l, int site, const schedule *s) {
  const wino_survey one = {1, &l->c->survey.conv[l->c->conv[site]]};
  return schedule_cost(&one, s, &l->target);
}

static site_state state_of(const lightening *l, int site, size_t prepared) {
  const choice *c = l->c;
  const candidate_list *list = c->candidates[site];
  site_state s = {.bytes = (double)prepared, .taken = c->taken[site], .plain = c->plain[site]};
  if (list == NULL || c->conv[site] < 0) return s;
  const candidate *now = &list->at[s.taken];
  s.bytes = bytes_of(&c->survey.conv[c->conv[site]], &c->plan.site[site]);
  s.seconds = isfinite(now->seconds) && now->seconds > 0 ? now->seconds
                                                         : price(l, site, &c->plan.site[site]);
  return s;
}

static void offer(step *best, int site, const site_state *now, site_state to) {
  double gain = now->bytes - to.bytes, loss = fmax(0, to.seconds - now->seconds);
  if (gain <= 0 || !isfinite(loss) || (best->site >= 0 && loss / gain >= best->price)) return;
  to.changed = true;
  *best = (step){site, to, loss / gain};
}

/* Every lighter plan of a site. */
static void offer_all(const lightening *l, int site, step *best) {
  const choice *c = l->c;
  const site_state *now = &l->at[site];
  const candidate_list *list = c->candidates[site];
  if (now->bytes <= 0 || now->plain || c->source[site] != PLAN_CHOOSE || c->spelled[site]) return;
  bool priced = list != NULL && c->conv[site] >= 0;
  for (int i = 0; priced && i < (int)list->len; ++i) {
    /* what was left is not taken again: bytes are estimates until it is carried out */
    if (i == now->taken || i >= 64 || (c->left_for_less[site] >> i & 1) != 0) continue;
    const schedule *s = &list->at[i].schedule;
    double bytes = bytes_of(&c->survey.conv[c->conv[site]], s);
    offer(best, site, now, (site_state){bytes, list->at[i].seconds, i, false, false});
  }
  if (c->sites->at[site].kind > SITE_PRODUCT) return;
  double seconds = priced ? price(l, site, &plain_direct) : now->seconds + now->bytes * UNPRICED;
  offer(best, site, now, (site_state){0, seconds, now->taken, true, false});
}

static step cheapest(const lightening *l) {
  step best = {.site = -1};
  for (int i = 0; i < l->c->sites->n; ++i) offer_all(l, i, &best);
  return best;
}

bool choose_lighter(graph *g, choice *c, const choice_target *target, const size_t *prepared,
                    size_t bytes, bool partly) {
  lightening l = {c, choose_cost_target(target),
                  arena_array(&g->arena, site_state, c->sites->n + 1)};
  double left = (double)bytes;
  l.target.threads = target->machine->group == 0 ? 1 : target->threads; /* what decides bits */
  for (int i = 0; i < c->sites->n; ++i)
    if (prepared[i] > 0 || c->conv[i] >= 0) l.at[i] = state_of(&l, i, prepared[i]);
  bool any = false;
  while (left > 0) {
    step s = cheapest(&l);
    if (s.site < 0 && !(partly && any)) return false;
    if (s.site < 0) break;
    any = true;
    left -= l.at[s.site].bytes - s.to.bytes;
    l.at[s.site] = s.to;
  }
  for (int i = 0; i < c->sites->n; ++i) {
    if (!l.at[i].changed) continue;
    choose_leave(c, i);
    choose_take(c, i, l.at[i].taken, l.at[i].plain, CHOICE_TO_FIT);
  }
  return true;
}
