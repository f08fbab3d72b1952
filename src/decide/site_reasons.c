/* Why each site has its plan, and what it would cost to have another; see program_sites.h.
 *
 * In: a decision that was carried out. Out: of a convolution that was chosen for, what the model predicts of direct and of
 * the best of another tile or placement; of what had no choice, the reason in the recogniser's words. Always holds:
 * nothing is priced here: prices are those by which it was chosen. */
#include "decide/program_sites.h"

#include <math.h>

/* The line of the recogniser's trace about the convolution that is number `at` in its value, or about the first sum of what
 * has none; NULL: there is none. */
static const char *traced(const char *trace, int at) {
  for (; *trace != '\0'; trace += strcspn(trace, "\n"), trace += *trace == '\n') {
    const char *declined = strstr(trace, ": declined, ");
    const bool is_conv = declined == NULL || declined > trace + strcspn(trace, "\n");
    if (at < 0 || (is_conv && at-- == 0)) return trace;
  }
  return NULL;
}

/* What stands behind a word in a line, to its end. */
static const char *behind(graph *g, const char *line, const char *word) {
  const int n = line != NULL ? (int)strcspn(line, "\n") : 0;
  const char *at = n > 0 ? strstr(line, word) : NULL;
  if (at == NULL || at > line + n) return NULL;
  at += strlen(word);
  return arena_printf(&g->arena, "%.*s", (int)(line + n - at), at);
}

static const char *why_chosen(const choice *c, int site) {
  static const char *const text[] = {
      [CHOICE_CHEAPEST] = "predicted",
      [CHOICE_SMALLER] = "predicted, in smaller blocks to fit",
      [CHOICE_TO_FIT] = "to fit",
      [CHOICE_LEFT] = "the best that is not refused",
  };
  return text[c->why[site]];
}

static const char *why_said(const decision *d, int site) {
  const choice *c = &d->choice;
  const tuned_source tuned = choose_is_tuned(c, site);
  if (tuned != TUNED_NOT) return tuned == TUNED_HERE ? "tuned" : "tuned elsewhere";
  return c->source[site] == PLAN_GIVEN ? "said" : NULL;
}

static const char *why_conv(const decision *d, graph *g, int site, const char *trace) {
  const choice *c = &d->choice;
  const stored_value *v = &c->sites->value[c->sites->at[site].value];
  const bool direct = c->plan.site[site].direct, chosen = c->candidates[site] != NULL;
  const bool several = chosen && c->candidates[site]->kinds > 1;
  const char *why = direct ? behind(g, traced(trace, site - v->first), "not rewritten, ") : NULL;
  if (chosen && (several || why == NULL || c->why[site] != CHOICE_CHEAPEST))
    return why_chosen(c, site);
  return why != NULL ? why : "said";
}

/* Of what is no convolution. */
static const char *why_stored(const decision *d, graph *g, int site, const char *trace) {
  const schedule *s = &d->choice.plan.site[site];
  const graph_site *at = &d->choice.sites->at[site];
  if (s->inlined) return "its reader computes it";
  if (s->with > 0) return "bytes are read once";
  if (d->choice.sites->value[at->value].constant) return "made once, of constants";
  if (at->kind == SITE_MAP) return "no sum";
  if (d->choice.plain[site]) return "to fit";
  const char *why = behind(g, traced(trace, -1), "declined, ");
  return why != NULL ? why : "predicted";
}

static double known_seconds(double seconds) {
  return isfinite(seconds) && seconds > 0 ? seconds : 0;
}

static void find_others(const choice *c, graph *g, int site, wn_site_info *out) {
  const candidate_list *l = c->candidates[site];
  const schedule *now = &c->plan.site[site];
  for (int i = 0; l != NULL && i < l->kinds; ++i) {
    const candidate *k = &l->kind[i];
    const schedule *s = &k->schedule;
    const double seconds = known_seconds(k->seconds);
    if (s->direct) out->direct_s = seconds;
    const bool same =
        schedule_same_places(s, now) && s->nm == now->nm && memcmp(s->m, now->m, sizeof s->m) == 0;
    if (s->direct || same || seconds == 0 || (out->other != NULL && seconds >= out->other_s))
      continue;
    str text;
    str_init(&text, &g->arena);
    schedule_print(&text, s);
    out->other = str_text(&text);
    out->other_s = seconds;
  }
}

void program_describe_reasons(graph *g, const decision *d, int site, wn_site_info *out) {
  const choice *c = &d->choice;
  const fitting *f = &d->fit;
  const bool stored = !c->plan.site[site].inlined;
  const char *trace = stored ? f->of[f->sites->at[site].value]->w.trace : "";
  out->plan_why = why_said(d, site);
  if (out->plan_why == NULL)
    out->plan_why =
        c->conv[site] >= 0 ? why_conv(d, g, site, trace) : why_stored(d, g, site, trace);
  find_others(c, g, site, out);
  const double now = out->predicted_s, least = fmin(out->direct_s > 0 ? out->direct_s : now,
                                                    out->other_s > 0 ? out->other_s : now);
  if (least < now && c->candidates[site] != NULL && c->why[site] == CHOICE_CHEAPEST &&
      choose_is_tuned(c, site) == TUNED_NOT)
    out->plan_why = "predicted, of one thread"; /* which decides what changes bits */
}
