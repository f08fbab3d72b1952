/* Extents and cuts of a rewritten convolution; see cost_model.h.
 *
 * In: a convolution, one of its tiles, a schedule. Out: what the counts of cost_stages.c and cost_sums.c are made of.
 * Always
 * holds: blocks, register tiles and lanes are those of the complete plan (complete.h), which nests are made from; what
 * apply refuses is marked. */
#include <math.h>

#include "plan/cost_model.h"

/* --- extents ---------------------------------------------------------------------------------- */

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
  z.image_last = c->image_last;
  z.result_last = c->result_last;
  for (int i = 0; i < c->nwindow; ++i) {
    z.in_apart |= !c->image_last && (c->stride[i] > 1 || c->dilation[i] > 1);
    z.out_apart |= !c->result_last && c->dilation[i] > 1;
  }
  z.same_set = !c->result_last && fmod(outputs * (double)m->element, 4096) == 0;
  return z;
}

/* --- vectors ---------------------------------------------------------------------------------- */

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

/* --- cuts ------------------------------------------------------------------------------------- */

site_facts facts_of(const wino_conv *c, const wino_tile *t) {
  return (site_facts){.site = &t->site,
                      .dtype = c->dtype,
                      .stored = c->dtype,
                      .channels = t->site.K,
                      .flows = true,
                      .by_rows = true,
                      .channels_last = c->image_last && c->C >= 4};
}

static void cut_tiles(const site_sizes *own, const sizes *z, cut *u) {
  const schedule *s = u->s;
  bool m_apart = schedule_has_kernel(s, STAGE_M);
  double all = own->round > 0 ? (double)own->round : z->T, block = fmin((double)own->block, z->T);
  u->staged = own->staged;
  u->o_block = u->staged ? block : all;
  u->block = m_apart ? schedule_is_inside(s, STAGE_X) ? block : all : u->o_block;
  u->o_blocks = ceil_div(z->T, u->o_block);
  u->blocks = ceil_div(z->T, u->block);
  /* in a kernel of its own the loops over frequencies of m are outside the one at which x or g would be made, unless
   * there are blocks of tiles */
  bool arrays = !schedule_is_inlined(s, STAGE_X) && !schedule_is_inlined(s, STAGE_G);
  bool whole = !schedule_is_inside(s, STAGE_X) || u->blocks == 1;
  u->refused = m_apart && arrays && whole &&
               (schedule_is_inside(s, STAGE_X) || schedule_is_inside(s, STAGE_G));
}

/* The products with a transform inlined, or inlined themselves. */
static void cut_sums(const model *m, const site_sizes *own, const sizes *z, cut *u) {
  bool chain = u->parts == 1;
  u->sum_k = u->sum_rows = 1;
  u->sum = own->products == PRODUCTS_FLAT && !own->all_f ? SUM_TILED : SUM_REGISTER;
  if (u->sum == SUM_TILED) return;
  u->vectors = row_vectors(m, z, u->block, &u->sum_lanes);
  if (own->products == PRODUCTS_INSIDE) {
    u->sum_k = u->staged ? 1 : (double)own->kblock;
    u->k_inside = !u->staged;
  } else if (own->products == PRODUCTS_ROWS) {
    if (own->outside && chain) u->sum = SUM_ARRAY;
    if (chain || !own->outside) u->sum_k = (double)own->k;
    if (u->block == z->T && fmod(z->rows, (double)own->t) == 0) u->sum_rows = (double)own->t;
  } else if (own->products == PRODUCTS_SHARED) {
    u->vectors = channel_vectors(m, u->block, &u->sum_lanes);
    if (chain) u->sum = SUM_ARRAY_G;
  } else {
    u->sum_lanes = own->lanes;
    u->sum_k = (double)own->k;
    u->sum_rows = (double)own->t / own->lanes;
    u->vectors = ceil_div(u->block, u->sum_rows * own->lanes) * u->sum_rows;
  }
}

cut cut_of(const model *m, const wino_conv *c, const wino_tile *t, const sizes *z,
           const schedule *s) {
  site_facts facts = facts_of(c, t);
  site_sizes own = complete_site(NULL, s, &facts, m->t->machine);
  cut u = {.s = s,
           .over_k = own.over_k,
           .kblock = schedule_is_inside(s, STAGE_M) ? fmin((double)own.kblock, z->K) : z->K,
           .tile_k = (double)own.k,
           .tile_t = (double)own.t,
           .lanes = own.lanes,
           .parts = ceil_div(z->C, (double)own.chain)};
  cut_tiles(&own, z, &u);
  cut_sums(m, &own, z, &u);
  return u;
}
