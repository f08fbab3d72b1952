/* Which plan: from the options, the environment and the graph to a plan of every site.
 *
 * In: the sites of simplified range IR, the machine, the caller's options. Out: a plan. `auto` is for each site
 * what was tuned for weights as cold as here, else the candidate with the least predicted cost among those that
 * give the same bits as one thread's best (schedule_same_bits), so that results do not depend on the number of
 * threads; convolutions that are alike are chosen for once; one whose constant weights cancel (winograd/cancel.h)
 * is direct. Always holds: a plan that was asked for by name is that plan or an error; fp32-strict rewrites
 * nothing. */
#ifndef WN_PLAN_CHOOSE_H
#define WN_PLAN_CHOOSE_H

#include "plan/cost.h"
#include "plan/plan.h"
#include "winograd/cancel.h"

/* Where a plan comes from that was measured. What was measured with cold weights is taken where they are cold, and warm
 * where they are warm; else where nothing is tuned for them as they are here, and the model knows nothing better. */
typedef enum { TUNED_NOT, TUNED_HERE, TUNED_ELSEWHERE } tuned_source;

typedef struct tuned_plan {
  const char *text; /* a plan of a value's sites; NULL: none */
  bool cold;        /* weights were, when it was measured */
  bool elsewhere;   /* that is not so here */
} tuned_plan;

typedef struct choice_target {
  const machine *machine; /* with limits */
  const wn_options *options;
  int threads;
  unsigned windows;            /* bit n: convolutions may have n axes */
  const wino_weights *weights; /* of the caller's buffers; NULL: they are not looked at */
  const tuned_plan *tuned;     /* by stored value; may be NULL */
  double passing;              /* as in cost_target */
} choice_target;

enum { CANDIDATE_KINDS = 4 };

typedef struct
    candidate_list { /* of convolutions that are alike; the first is what auto takes, then best first */
  candidate *at;
  size_t len;
  /* of any bits: the best of each tile and placement, direct the last of them; predicted for all threads */
  candidate kind[CANDIDATE_KINDS];
  int kinds;
  double least;           /* predicted seconds on one thread, of all of any bits; 0: not known */
  const char *considered; /* for explain, a line each */
} candidate_list;

/* Why a site that was chosen for has the plan that it has. */
typedef enum {
  CHOICE_CHEAPEST,
  CHOICE_SMALLER, /* with smaller blocks, to fit */
  CHOICE_TO_FIT,  /* another one, to fit */
  CHOICE_LEFT     /* what is cheaper was refused */
} choice_reason;
/* What a plan says of what is around sites, by site, as schedules say it; 0: nothing. */
typedef struct plan_around {
  const int *bands, *sides;
} plan_around;

typedef struct choice {
  const char *name; /* of the plan, as asked for */
  const site_list *sites;
  graph_plan plan;
  const plan_source *source;
  const bool *spelled; /* by site: no size of it may be made smaller */
  plan_around around;
  bool rewrites;          /* a plan for all was asked for that rewrites */
  tuned_source tuned;     /* some of it was; TUNED_ELSEWHERE: some of that not as things are here */
  double seconds;         /* predicted, once it was applied */
  const char *considered; /* by `auto`: its best candidates, a line each; "" for other plans */
  /* by site: what else there is, where it was chosen, and which of it the plan has */
  const candidate_list **candidates;
  int *taken;
  tuned_source *tuned_sites; /* whether the first candidate is what was tuned */
  choice_reason *why;
  uint64_t *left_for_less; /* by site: bit i, candidate i was left for one that needs less */
  bool *
      plain; /* by site: direct (or a product), weights read as they are: nothing is prepared of them */
  wino_survey survey;
  const int *conv; /* by site: its index in the survey, -1 */
  wino_options *rewrite;
} choice;

choice choose_plan(graph *g, const site_list *sites, const choice_target *target);
/* Another plan for a chosen site, whose present one was refused or does not fit: its next candidate, with `smaller`
 * direct.
 * False: there is none. */
bool choose_next(choice *c, int site, bool smaller);
/* Plans with so many bytes of prepared weights less, those first that lose least time a byte; `partly`, or with as many
 * less as can be. prepared: bytes that each site has now. False: there are none, and nothing changed. (lighten.c) */
bool choose_lighter(graph *g, choice *c, const choice_target *target, const size_t *prepared,
                    size_t bytes, bool partly);
/* What the site has is not to be taken again by what looks for less. */
void choose_leave(choice *c, int site);
/* The site's candidate of this number, or instead of it the plain one. */
void choose_take(choice *c, int site, int index, bool plain, choice_reason why);
/* What the plan says of turns, launches side by side and layouts is of what is around a value: parts are made of what it
 * says of the value. Returns what it said of the first two. */
plan_around choose_set_apart(graph *g, graph_plan *p);
/* Takes what was measured where there is any (choose_tuned.c). */
void choose_tuned(graph *g, choice *c, const choice_target *target);
/* Does the site have what was tuned for it? */
tuned_source choose_is_tuned(const choice *c, int site);
/* What was chosen, in the sizes that it was chosen in: see fit.h. */
void choose_unshrink(choice *c);
/* Is there a plan for the site that needs less: was it chosen, and is it not direct yet? */
bool choose_can_shrink(const choice *c, int site);
/* What `auto` picks for a site without a look at what was tuned, then the best other schedules by predicted cost, best
 * first: see schedule_candidates. `direct` is among them, last if it is not among the best; alone where nothing is
 * rewritten. */
size_t choose_candidates(graph *g, const site_list *sites, int site, const choice_target *target,
                         candidate *out, size_t max);
cost_target choose_cost_target(const choice_target *t);
/* Predicted seconds of the graph's convolutions, whatever memory they need; by site and stage where by_stage is not
 * NULL (all of a convolution that is not rewritten is its STAGE_O). 0 where the model knows nothing in the graph. */
double choose_predict(graph *g, const choice *c, const choice_target *target,
                      double (*by_stage)[STAGE_COUNT]);

#endif
