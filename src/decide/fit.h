/* Carrying out a plan within a limit of memory.
 *
 * In: a choice and a limit. Out: the parts of a program and its kernels, and the plan that they carry out: the one that
 * was chosen, or one with smaller blocks of tiles. Always holds: what is returned needs no more than the limit; sizes
 * are made smaller only where that is allowed, halving at a time, those of the site that holds most memory first. Local
 * arrays that a device has no room for are diag_fail(WN_ERR_REFUSED). */
#ifndef WN_DECIDE_FIT_H
#define WN_DECIDE_FIT_H

#include "plan/choose.h"
#include "nest/parts.h"

typedef struct fit_limit {
  size_t bytes; /* of memory_needed and prepared weights together */
  int threads;  /* each has scratch of its own */
} fit_limit;

/* What is made on the way; the same from one plan to the next. */
typedef struct fitting {
  graph *g;
  const choice_target *target;
  const fit_limit *limit;
  const site_list *sites; /* the graph's, without what is inlined */
  int nuser;
  const user_buffer *user;
  part_store store;
  part **of; /* by stored value */
  size_t
      lightest; /* bytes of prepared weights when last there were too many; 0: there never were */
  int rounds;   /* so many times all parts were asked for */
  size_t least; /* bytes that were found to be needed at least; 0: nothing was carried out */
  int holder; /* where nothing fits: of the sites that could be direct the one that holds most; -1: there is none */
  size_t *prepared; /* where nothing fits: bytes of prepared weights by site */
  bool
      lightened; /* nothing was found to fit yet, and the choice is one with less prepared weights */
  int value, local; /* while parts are made: of which value, and site of it, a refusal would be */
} fitting;

/* Number of the site whose plan was refused; -1: of none. */
int fit_refused(const fitting *f);

/* NULL where nothing fits: the choice then has the plan that needs least, or is another one (lightened). */
kernel_set *schedule_fit(fitting *f, choice *c);

/* As little prepared as can be, whatever it costs; false: it is. */
bool fit_lighten_all(fitting *f, choice *c);

#endif
