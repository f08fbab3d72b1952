/* Extents and cuts of a rewritten convolution; see cost_model.h.
 *
 * In: a convolution, one of its tiles, a schedule. Out: what the counts of cost_stages.c and cost_sums.c are made of. Always
 * holds: blocks, register tiles and lanes are those that apply picks, by the same functions (tiles.h);
 * what apply refuses is marked. */
#include <math.h>

#include "plan/cost_model.h"

/* --- extents ----------------------------------------------------------------------------------------------------------------- */

static void count_steps(const wino_tile *t, sizes *z) {
  const wino_site *s = &t->site;
  double columns = z->f, taps = 1;
  for (int i = s->ndim; i-- > 0;) taps *= s->r[i];
  double rows = z->taps = taps;
  for (int i = 0; i < s->ndim; ++i) {
    z->in += t->steps_b[i] * z->f / s->n[i];
    z->out += t->steps_a[i] * columns / s->n[i];
    z->weights += t->steps_g[i] * rows / s->r[i];
    columns *= (double)s->m[i] / s->n[i];
    rows *= (double)s->n[i] / s->r[i];
    z->positions *= s->m[i];
  }
}

sizes sizes_of(const wino_conv *c, const wino_tile *t, const model *m) {
  const wino_site *s = &t->site;
  sizes z = {.f = 1,
             .positions = 1,
             .T = (double)s->T,
             .C = (double)s->C,
             .K = (double)s->K,
             .G = (double)s->G};
  for (int i = 0; i < s->ndim; ++i) z.f *= s->n[i];
  count_steps(t, &z);
  z.width = (double)t->tiles[s->ndim - 1];
  z.rows = s->ndim > 1 ? (double)t->tiles[s->ndim - 2] : 1;
  z.m = s->m[s->ndim - 1];
  double outputs = 1, inputs = 1, whole = 1;
  for (int i = 0; i < s->ndim; ++i)
    whole *= (double)(s->out_extent[i] / s->m[i]) / (double)t->tiles[i];
  z.edge = 1 - whole;
  for (int i = 0; i < c->nwindow; ++i) {
    outputs *= (double)c->outputs[i];
    inputs *= (double)(c->outputs[i] * c->stride[i]);
  }
  double batch = (double)c->batch * z.G * (double)m->element;
  z.image = batch * (double)c->C * inputs;
  z.result = batch * z.K * outputs;
  z.channels_last = c->channels_last;
  for (int i = 0; i < c->nwindow && !c->channels_last; ++i) {
    z.in_apart |= c->stride[i] > 1 || c->dilation[i] > 1;
    z.out_apart |= c->dilation[i] > 1;
  }
  z.same_set = !c->channels_last && fmod(outputs * (double)m->element, 4096) == 0;
  return z;
}

/* --- vectors ----------------------------------------------------------------------------------------------------------------- */

static wn_dtype dtype_of(const model *m) { return m->element == 8 ? WN_F64 : WN_F32; }

double row_vectors(const model *m, const sizes *z, double tiles, int *lanes) {
  double width = fmin(z->width, tiles);
  *lanes = pick_lanes(m->t->machine, dtype_of(m), (int64_t)width);
  return ceil_div(tiles, width) * ceil_div(width, *lanes);
}

double channel_vectors(const model *m, double channels, int *lanes) {
  *lanes = pick_lanes(m->t->machine, dtype_of(m), (int64_t)channels);
  return ceil_div(channels, *lanes);
}

double stored_tiles(const sizes *z, const cut *u, stage_id id) {
  return u->s->stage[id].space != SPACE_LOCAL ? z->T : id == STAGE_M ? u->o_block : u->block;
}

/* --- cuts -------------------------------------------------------------------------------------------------------------------- */

/* Channels of the products that are staged together, as results.c has it. */
static double channel_block(const cut *u, const sizes *z, double lanes) {
  const schedule *s = u->s;
  if (!schedule_is_inside(s, STAGE_M)) return z->K;
  double asked = s->k[0] > 0 ? (double)s->k[0] : u->over_k ? 64 : 32, block = fmin(z->K, asked);
  return u->over_k ? ceil_div(block, lanes) * lanes : block;
}

static void cut_tiles(const machine *on, const wino_site *site, const sizes *z, cut *u) {
  const schedule *s = u->s;
  bool m_apart = !schedule_is_inside(s, STAGE_M) && !schedule_is_inlined(s, STAGE_M);
  double chunk = fmax((double)s->chunk, z->width);
  double all = s->chunk > 0 ? fmin(floor(chunk / z->width) * z->width, z->T) : z->T;
  double block = fmin((double)tile_block(s, on, site), z->T);
  u->staged = schedule_is_inside(s, STAGE_M) || schedule_is_inside(s, STAGE_O) ||
              (!m_apart && (schedule_is_inside(s, STAGE_X) || schedule_is_inside(s, STAGE_G)));
  u->o_block = u->staged ? block : all;
  u->block = m_apart ? schedule_is_inside(s, STAGE_X) ? block : all : u->o_block;
  u->o_blocks = ceil_div(z->T, u->o_block);
  u->blocks = ceil_div(z->T, u->block);
  /* in a kernel of its own the loops over frequencies of m are outside the one at which x or g would be made, unless there
   * are blocks of tiles */
  bool arrays = !schedule_is_inlined(s, STAGE_X) && !schedule_is_inlined(s, STAGE_G);
  bool whole = !schedule_is_inside(s, STAGE_X) || u->blocks == 1;
  u->refused = m_apart && arrays && whole &&
               (schedule_is_inside(s, STAGE_X) || schedule_is_inside(s, STAGE_G));
}

/* The products with a transform inlined, or inlined themselves: see nest_m. */
static void cut_sums(const machine *on, const model *m, const sizes *z, cut *u) {
  const schedule *s = u->s;
  bool x = schedule_is_inlined(s, STAGE_X), g = schedule_is_inlined(s, STAGE_G),
       inlined = schedule_is_inlined(s, STAGE_M);
  bool chain = u->parts == 1, even = fmod(z->C, u->parts) == 0;
  double asked = (double)s->k[0], own = u->block;
  u->sum = !x && !g && !inlined ? SUM_TILED : SUM_REGISTER;
  u->sum_k = u->sum_rows = 1;
  if (u->sum == SUM_TILED) return;
  u->vectors = row_vectors(m, z, own, &u->sum_lanes);
  if (inlined) {
    u->sum_k = u->staged ? 1 : fmin(asked > 0 ? asked : 2, z->K);
    u->k_inside = !u->staged;
  } else if (x) {
    bool overlap = fmod(z->width, u->sum_lanes) != 0, all = own == z->T;
    u->sum = chain ? SUM_ARRAY : SUM_REGISTER;
    if ((chain || even) && !overlap && all && fmod(z->rows, 2) == 0) u->sum_rows = 2;
    if (chain) u->sum_k = fmin(asked > 0 ? asked : 8, u->kblock);
    if (!chain && !even) u->sum_k = fmin(asked > 0 ? asked : 4, u->kblock);
  } else if (!schedule_is_inside(s, STAGE_M) && !schedule_is_inside(s, STAGE_X) &&
             (chain || even)) {
    u->vectors = channel_vectors(m, own, &u->sum_lanes);
    u->sum = chain ? SUM_ARRAY_G : SUM_REGISTER;
  } else {
    enum { MOST = 8 };
    register_tile rt =
        pick_register_tile(on, dtype_of(m), (int64_t)u->kblock, (int64_t)own, (int)MOST);
    int64_t k = s->k[schedule_is_inside(s, STAGE_M)],
            t = s->t[u->staged || schedule_is_inside(s, STAGE_X)];
    u->sum_lanes = rt.lanes;
    u->sum_k = (double)(k > 0 ? k : rt.k);
    u->sum_rows = (double)(t > 0 ? round_up(t, rt.lanes) : rt.t) / rt.lanes;
    u->vectors = ceil_div(own, u->sum_rows * rt.lanes) * u->sum_rows;
  }
}

/* Whose neighbours are in the lanes of the products: as lanes_over_k, for an output transform that flows into the result. */
static bool channels_in_lanes(const machine *on, const sizes *z, const cut *u) {
  const schedule *s = u->s;
  bool arrays = !schedule_is_inlined(s, STAGE_X) && !schedule_is_inlined(s, STAGE_G) &&
                !schedule_is_inlined(s, STAGE_M);
  if (s->v != 0 || !arrays || z->K < 4) return s->v == 'k';
  int64_t tiles = (int64_t)(s->stage[STAGE_X].space == SPACE_LOCAL ? u->block : z->T);
  return lanes_waste(on, (int64_t)z->K) <= lanes_waste(on, tiles);
}

static void cut_register_tile(const machine *on, const wino_conv *c, cut *u) {
  const schedule *s = u->s;
  int64_t k = (int64_t)u->kblock, tiles = (int64_t)u->block;
  register_tile rt =
      pick_register_tile(on, c->dtype, u->over_k ? tiles : k, u->over_k ? k : tiles, 0);
  u->lanes = rt.lanes;
  u->tile_k = (double)(u->over_k ? rt.t : rt.k);
  u->tile_t = (double)(u->over_k ? rt.k : rt.t);
  bool blocked = schedule_is_inside(s, STAGE_X) || schedule_is_inside(s, STAGE_M);
  int64_t asked_k = s->k[schedule_is_inside(s, STAGE_M)], asked_t = s->t[blocked];
  if (asked_k > 0) u->tile_k = (double)(u->over_k ? round_up(asked_k, rt.lanes) : asked_k);
  if (asked_t > 0) u->tile_t = (double)(u->over_k ? asked_t : round_up(asked_t, rt.lanes));
}

cut cut_of(const model *m, const wino_conv *c, const wino_tile *t, const sizes *z,
           const schedule *s) {
  cut u = {.s = s};
  const machine *on = m->t->machine;
  cut_tiles(on, &t->site, z, &u);
  u.over_k = channels_in_lanes(on, z, &u);
  u.kblock = channel_block(&u, z, pick_lanes(on, c->dtype, (int64_t)z->K));
  cut_register_tile(on, c, &u);
  double part = s->c[0] > 0            ? (double)s->c[0]
                : z->C > (int)LONG_SUM ? (double)(int)WINO_CHAIN
                                       : z->C;
  u.parts = ceil_div(z->C, fmin(part, z->C));
  cut_sums(on, m, z, &u);
  return u;
}
