/* What all files that apply a schedule ask of it: plans and stages of sites; see state.h. */
#include "nest/state.h"

const schedule *plan_of_site(const apply *ap, int number) {
  static const schedule direct = {.direct = true};
  return number >= 0 && number < ap->nplans ? &ap->plan[number] : &direct;
}

const schedule *direct_plan(const apply *ap, int number) {
  const schedule *s = plan_of_site(ap, number);
  return s->direct ? s : plan_of_site(ap, -1);
}

void complete_direct(const apply *ap, int number, int64_t k, int64_t t, char lanes) {
  if (number < 0 || number >= ap->nplans || !ap->plan[number].direct) return;
  schedule *s = &ap->set->plan[number];
  s->k[0] = k;
  s->t[0] = t;
  s->v = lanes;
  if (lanes == 'k') s->chains = 0; /* its tile has chains enough */
}

const schedule *plan_of(const apply *ap, int site) {
  return plan_of_site(ap, ap->w->site[site].number);
}

stage *stage_find(const apply *ap, int site, stage_id id) {
  return ap->of_site[site * STAGE_COUNT + (int)id];
}

const flow *flow_into(const apply *ap, const stage *st) {
  int site = st->node->arg.info->site;
  return st->id == STAGE_COUNT && site >= 0 ? ap->into[site] : NULL;
}
