/* The cost model; see cost.h.
 *
 * In: extents and a schedule. Out: seconds. A kernel's time is that of its arithmetic and of the part of its traffic
 * that nothing hides, or that of all its traffic, whichever is longer:
 *   arithmetic  vector instructions issued, the lanes and register tiles that reach past an end included, at the
 *   measured
 *               rate of multiply-adds; or the loads that they need, where those take longer
 *   traffic     bytes by the cache that holds what they are read from, at the measured bandwidths; where an array is
 *   near
 *               the size of a cache, in between
 * Threads divide both, unevenly where there are few blocks, until the shared bandwidth is used up; every launch on more
 * than one thread costs waking the pool. What each stage does is counted in cost_stages.c and cost_sums.c; here the
 * counts become kernels. Always holds: more work of a kind never costs less. */
#include <math.h>

#include "plan/cost_model.h"

/* Blocks of a launch of each kernel, about: what threads share. */
static double grid_of(const sizes *z, const cut *u, stage_id id) {
  double rows = ceil_div(u->block, z->width);
  if (id == STAGE_X) return z->G * z->C * rows;
  if (id == STAGE_O) return u->staged ? z->G * u->o_blocks : z->G * z->K * rows;
  if (id == STAGE_G) return z->G * z->K;
  if (schedule_is_inside(u->s, STAGE_X)) return z->G * u->blocks;
  if (u->sum == SUM_ARRAY_G) return z->G * z->K;
  if (u->sum != SUM_TILED) return z->G * ceil_div(z->K, u->sum_k) * u->vectors / u->sum_rows;
  return z->G * z->f * ceil_div(u->kblock, u->tile_k) * ceil_div(u->block, u->tile_t);
}

/* Bytes of the arrays between stages, with what register tiles reach past their ends and planes are moved apart; local
 * ones once a thread. */
static double workspace(const sizes *z, const cut *u, const model *m) {
  enum { APART = 32 };
  double planes = (double)m->element * z->f, bytes = 0;
  for (int i = STAGE_X; i <= STAGE_M; ++i) {
    uop_space space = u->s->stage[i].space;
    bool local = space == SPACE_LOCAL;
    if (i == STAGE_G || (!local && space != SPACE_GLOBAL)) continue;
    double tiles = ceil_div(local ? u->block : z->T, u->tile_t) * u->tile_t;
    double channels =
        i == STAGE_X ? z->C : ceil_div(local ? u->kblock : z->K, u->tile_k) * u->tile_k;
    bytes += planes * (channels * tiles + (int)APART) * (local ? m->t->threads : z->G);
  }
  return bytes;
}

/* How often the transform of all weights is made, for each group: once in a kernel of its own; else for every block of
 * the kernel that it is made in, which where x is inlined into m goes over rows. */
static double times_of_g(const schedule *s, const cut *u) {
  if (!schedule_is_inside(s, STAGE_G)) return 1;
  if (schedule_is_inside(s, STAGE_M) || schedule_is_inlined(s, STAGE_M)) return u->o_blocks;
  return u->sum == SUM_TILED ? u->blocks : u->vectors / u->sum_rows;
}

/* Everything that a run does, by stage. */
static void count_stages(const model *m, const sizes *z, const cut *u, work *w) {
  const schedule *s = u->s;
  double blocks[STAGE_COUNT] = {
      [STAGE_X] = u->blocks, [STAGE_M] = u->blocks, [STAGE_O] = u->o_blocks};
  bool own_m = schedule_has_kernel(s, STAGE_M);
  /* m of one block in a kernel of its own is made for groups of channels, and a local x again for each */
  double x_times = schedule_is_inside(s, STAGE_X) && own_m && u->blocks == 1 && u->sum != SUM_TILED
                       ? ceil_div(z->K, u->sum_k)
                       : 1;
  if (!schedule_is_inlined(s, STAGE_X)) add_x(m, z, u, &w[STAGE_X]);
  add_m(m, z, u, &w[STAGE_M]);
  add_o(m, z, u, &w[STAGE_O]);
  multiply_work(&w[STAGE_X], x_times);
  for (int i = 0; i < STAGE_COUNT; ++i) {
    multiply_work(&w[i], z->G * blocks[i]);
    w[i].exposed += z->G * blocks[i] * BLOCK;
    w[i].launches = s->chunk > 0 ? u->blocks : 1;
    w[i].blocks = grid_of(z, u, (stage_id)i);
  }
  work *g = &w[STAGE_G];
  *g = (work){.launches = 1, .blocks = z->G * z->K};
  if (!schedule_is_inlined(s, STAGE_G) &&
      (schedule_is_inside(s, STAGE_G) || m->t->variable_weights)) {
    add_g(m, z, u, g);
    multiply_work(g, z->G * times_of_g(s, u));
  } else {
    g->launches = 0; /* prepared once */
  }
}

/* Seconds of each kernel, by the last of its stages: stages inside others' kernels are theirs. */
static void run_stages(const model *m, const cut *u, work *w, double *seconds) {
  for (int i = 0; i < STAGE_O; ++i) {
    if (schedule_has_kernel(u->s, (stage_id)i)) continue;
    bool into_m = i != STAGE_M && schedule_has_kernel(u->s, STAGE_M);
    add_work(&w[into_m ? STAGE_M : STAGE_O], &w[i]);
    w[i].launches = 0;
  }
  for (int i = 0; i < STAGE_COUNT; ++i)
    seconds[i] = w[i].launches > 0 ? UNSURE * work_seconds(m, &w[i]) : 0;
}

static bool rewritten_parts(const model *m, const wino_conv *c, const wino_tile *t,
                            const schedule *s, double *seconds) {
  sizes z = sizes_of(c, t, m);
  cut u = cut_of(m, c, t, &z, s);
  work w[STAGE_COUNT] = {0};
  double bytes = workspace(&z, &u, m), weights = z.f * z.C * z.K * z.G * (double)m->element;
  if (u.refused || too_long(m, &z, &u)) return false;
  if (m->t->max_memory > 0 && bytes > (double)m->t->max_memory) return false;
  z.total = z.image + z.result + weights + bytes;
  z.cold = cold_bytes(m, z.taps * z.C * z.K * z.G * (double)m->element);
  count_stages(m, &z, &u, w);
  run_stages(m, &u, w, seconds);
  return true;
}

/* --- all convolutions of a graph -------------------------------------------------------------- */

/* The tile that the schedule's m gives this convolution; m has one value for all windows, or one each. */
static const wino_tile *tile_for(const wino_conv *c, const schedule *s) {
  for (int i = 0; i < c->ntiles; ++i) {
    bool same = s->nm > 0;
    for (int j = 0; j < c->nwindow && same; ++j) {
      same = c->tile[i].site.window_m[j] == s->m[s->nm == 1 ? 0 : j < s->nm ? j : s->nm - 1];
    }
    if (same) return &c->tile[i];
  }
  return NULL;
}

/* Of one convolution, by stage; false where it cannot be had. */
static bool conv_parts(const wino_conv *c, const schedule *s, const cost_target *t,
                       double *seconds) {
  model m = model_of(t, c->dtype);
  const wino_tile *tile = s->direct ? NULL : tile_for(c, s);
  for (int i = 0; i < STAGE_COUNT; ++i) seconds[i] = 0;
  if (t->machine->group > 0)
    return (s->direct || tile != NULL) && device_parts(c, tile, s, t, seconds);
  if (s->direct) {
    seconds[STAGE_O] = direct_seconds(&m, c, s);
    return true;
  }
  return tile != NULL && rewritten_parts(&m, c, tile, s, seconds);
}

double schedule_cost_by_stage(const wino_survey *survey, const schedule *s, const cost_target *t,
                              double (*by_stage)[STAGE_COUNT]) {
  double seconds = 0, part[STAGE_COUNT];
  for (int i = 0; i < survey->nconvs; ++i) {
    if (!conv_parts(&survey->conv[i], s, t, part)) return INFINITY;
    for (int j = 0; j < STAGE_COUNT; ++j) seconds += part[j];
    if (by_stage != NULL) memcpy(by_stage[i], part, sizeof part);
  }
  return seconds;
}

double schedule_cost(const wino_survey *survey, const schedule *s, const cost_target *t) {
  return schedule_cost_by_stage(survey, s, t, NULL);
}
