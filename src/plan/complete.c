/* Completing; see complete.h. */
#include "plan/complete.h"

#include <string.h>

enum {
  LONG_CHAIN = 128, /* channels; longer sums are made in parts of about WINO_CHAIN */
  LINE = 64,        /* bytes of a cache line */
  LANE_BLOCK = 64,  /* channels in a block, where they are in the lanes */
  SHARED_SUMS = 8,  /* channels whose sums share an input transform */
  ROW_SUMS = 4,     /* the same where the sums are in registers */
  FEW_SUMS = 8,     /* in registers at all frequencies */
  BESIDE = 16,      /* register tiles of neighbouring work items */
  CHEAP_MASKS = 64  /* bytes of vectors whose masked stores cost no more than others */
};

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/* --- what is computed where ------------------------------------------------------------------- */

static bool o_is_inside(const schedule *s, bool flows) {
  return flows ? s->stage[STAGE_O].space == SPACE_LOCAL : schedule_is_inside(s, STAGE_O);
}

static bool staged_in_result(const schedule *s, bool flows) {
  bool others = schedule_is_inside(s, STAGE_X) || schedule_is_inside(s, STAGE_G);
  return schedule_is_inside(s, STAGE_M) || o_is_inside(s, flows) ||
         (others && !schedule_has_kernel(s, STAGE_M));
}

static bool staged_in_products(const schedule *s) {
  return schedule_has_kernel(s, STAGE_M) && schedule_is_inside(s, STAGE_X);
}

/* --- sums and lanes --------------------------------------------------------------------------- */

/* The largest divisor of C in [WINO_CHAIN / 2, WINO_CHAIN] that is such a multiple, else WINO_CHAIN. */
static int64_t chain_of(const schedule *s, int64_t C, int64_t multiple) {
  int64_t want = s->c[0] > 0 ? s->c[0] : C > LONG_CHAIN ? WINO_CHAIN : C;
  if (want >= C) return C;
  for (int64_t d = want; 2 * d >= want; --d) {
    if (C % d == 0 && d % multiple == 0) return d;
  }
  return want;
}

static int64_t row_of(const wino_site *site) { return site->t_extent[site->nt - 1]; }

/* Rows of tiles in a round, a divisor of all rows; in tiles. Only where o flows into a stored value: another reader may
 * want all of it. */
static int64_t round_of(const schedule *s, const site_facts *f) {
  if (s->chunk == 0 || !f->by_rows) return 0;
  int64_t width = row_of(f->site), rows = f->site->T / width;
  int64_t most = s->chunk > width ? s->chunk / width : 1;
  for (int64_t r = at_most(most, rows); r > 1; --r) {
    if (rows % r == 0) return r * width;
  }
  return width;
}

static bool channels_in_lanes(const schedule *s, const site_facts *f, const machine *m,
                              int64_t block) {
  const wino_site *site = f->site;
  if (s->v != 0) return s->v == 'k';
  if (!schedule_has_arrays(s) || !f->flows || site->K < 4 || m->group > 0) return false;
  int64_t tiles = s->stage[STAGE_X].space == SPACE_LOCAL ? at_most(block, site->T) : site->T;
  return lanes_waste(m, site->K) <= lanes_waste(m, tiles);
}

/* Tiles in the lanes, of rows of so many. */
static int lanes_of_row(const machine *m, wn_dtype dtype, int64_t width) {
  int lanes = pick_lanes(m, dtype, width);
  while (m->vector_bytes < CHEAP_MASKS && lanes > width) lanes /= 2;
  return lanes;
}

/* --- the products ----------------------------------------------------------------------------- */

static product_nest products_of(const schedule *s, const site_sizes *z) {
  if (schedule_is_inlined(s, STAGE_M)) return PRODUCTS_INSIDE;
  if (schedule_is_inlined(s, STAGE_X)) return PRODUCTS_ROWS;
  bool alone = schedule_has_kernel(s, STAGE_M) && !schedule_is_inside(s, STAGE_X);
  return schedule_is_inlined(s, STAGE_G) && alone && z->outside ? PRODUCTS_SHARED : PRODUCTS_FLAT;
}

/* Stored where other blocks write beside this one: what is read and written there is masked. */
static bool shares_array(const schedule *s) {
  for (stage_id id = STAGE_X; id <= STAGE_M; ++id) {
    if (schedule_is_inside(s, id) && s->stage[id].space == SPACE_GLOBAL) return true;
  }
  return false;
}

/* Is there room for local arrays of whole matrices? */
static bool has_room(const schedule *s, const wino_site *site, const machine *m, int64_t k,
                     int64_t t) {
  int64_t tiles = round_up(t, m->matrix), elements = 0;
  if (s->stage[STAGE_X].space == SPACE_LOCAL) elements += site->C * tiles;
  if (s->stage[STAGE_G].space == SPACE_LOCAL) elements += site->C * k;
  if (s->stage[STAGE_M].space == SPACE_LOCAL) elements += k * tiles;
  size_t bytes = (size_t)(elements * site_frequencies(site)) * sizeof(float);
  return m->local_bytes == 0 || bytes <= m->local_bytes;
}

/* The block of the products: channels and tiles, and how many tiles there are around it. */
typedef struct extents {
  int64_t k, t, all;
} extents;

/* In the sizes of a schedule: which is the register tile's of the products, behind a block's or not. */
static int tile_part(const schedule *s, const site_facts *f) {
  return staged_in_result(s, f->flows) || staged_in_products(s);
}

static int channel_part(const schedule *s, const site_facts *f) {
  return staged_in_result(s, f->flows);
}

static bool products_are_matrices(const schedule *s, const site_facts *f, const machine *m,
                                  const site_sizes *z, const extents *e) {
  const wino_site *site = f->site;
  int64_t side = m->matrix;
  if (f->dtype != WN_F32 || !matrix_wanted(s, m, site) || shares_array(s)) return false;
  if (site->C % side != 0 || z->chain % side != 0 || e->k % side != 0 || e->t < side) return false;
  if (e->t != e->all && e->t % side != 0) return false;
  int64_t k = s->k[channel_part(s, f)], t = s->t[tile_part(s, f)];
  bool asked = (k > 0 && k != side) || (t > 0 && t != side);
  return !asked && has_room(s, site, m, e->k, e->t);
}

static void size_tile(const schedule *s, const site_facts *f, const machine *m, const extents *e,
                      site_sizes *z) {
  int64_t most = z->all_f ? FEW_SUMS : 0, across = z->over_k ? e->t : e->k,
          along = z->over_k ? e->k : e->t;
  register_tile rt;
  if (m->group > 0) {
    int64_t others = z->all_f ? 1 : site_frequencies(f->site);
    if (!schedule_is_inside(s, STAGE_M)) others *= f->site->G;
    rt = pick_item_tile(m, across, along, others, most);
  } else {
    rt = pick_register_tile(m, f->dtype, across, along, most);
  }
  int64_t k = s->k[channel_part(s, f)], t = s->t[tile_part(s, f)];
  int64_t in_lanes = z->over_k ? k : t, other = z->over_k ? t : k;
  /* no further past the end than what is chosen here may reach */
  if (in_lanes > 0) rt.t = round_up(at_most(in_lanes, along > rt.t ? along : rt.t), rt.lanes);
  if (other > 0) rt.k = at_most(other, across > rt.k ? across : rt.k);
  z->k = z->over_k ? rt.t : rt.k;
  z->t = z->over_k ? rt.k : rt.t;
  z->lanes = rt.lanes;
}

/* On a device a group's work items take a rectangle of channels and tiles, so that they share what they read. Nothing
 * of a matrix is masked, and a round ends where it ends. */
static int64_t tiles_beside(const site_sizes *z, int64_t tiles) {
  int64_t all = (tiles + z->t - 1) / z->t;
  bool whole = !z->matrix || z->round == 0 || all % BESIDE == 0;
  return all > BESIDE && whole ? BESIDE : 0;
}

static void size_flat(const schedule *s, const site_facts *f, const machine *m, site_sizes *z) {
  bool inside = schedule_is_inside(s, STAGE_M);
  int64_t block = at_most(z->block, f->site->T);
  extents e = {.k = inside ? at_most(z->kblock, f->site->K) : f->site->K,
               .all = inside ? block : f->site->T};
  e.t = z->round > 0 ? z->round : staged_in_products(s) ? block : e.all;
  z->all_f = schedule_is_inlined(s, STAGE_G);
  size_tile(s, f, m, &e, z);
  z->matrix = !z->all_f && products_are_matrices(s, f, m, z, &e);
  if (z->matrix) {
    z->k = z->t = m->matrix;
    z->lanes = 1;
  }
  bool blocked = z->round == 0 && e.t < e.all;
  z->beside = m->group > 0 && !blocked ? tiles_beside(z, e.t) : 0;
}

/* Tiles in rows. A weight's transform is shared by two of them, unless their vectors overlap: the second's load would
 * wait for the first's store. */
static void size_rows(const schedule *s, const site_facts *f, const machine *m, site_sizes *z) {
  int64_t width = row_of(f->site), asked = s->k[channel_part(s, f)];
  bool overlap = width % pick_lanes(m, f->dtype, width) != 0;
  z->t = z->outside && !overlap ? 2 : 1;
  z->k = asked > 0      ? asked
         : z->outside   ? SHARED_SUMS
         : m->group > 0 ? item_channels(m, f->site)
                        : ROW_SUMS;
  z->k = at_most(z->k, schedule_is_inside(s, STAGE_M) ? z->kblock : f->site->K);
}

static void size_products(const schedule *s, const site_facts *f, const machine *m, site_sizes *z) {
  z->products = products_of(s, z);
  z->k = z->t = z->lanes = 1;
  if (z->products == PRODUCTS_FLAT) size_flat(s, f, m, z);
  if (z->products == PRODUCTS_ROWS) size_rows(s, f, m, z);
  if (z->products == PRODUCTS_SHARED) z->lanes = pick_lanes(m, f->dtype, f->site->T);
}

/* --- the result, the transforms --------------------------------------------------------------- */

static void size_result(const schedule *s, const site_facts *f, const machine *m, site_sizes *z) {
  int64_t channels = f->channels, asked = s->k[0], width = row_of(f->site);
  z->o_lanes = pick_lanes(m, f->stored, z->staged ? at_most(z->block, width) : width);
  z->kblock = 1;
  if (z->staged)
    z->kblock = channels_of_block(s, m, f->site);
  else if (schedule_is_inlined(s, STAGE_M))
    z->kblock = asked > 0 ? asked : item_channels(m, f->site);
  z->kblock = at_most(z->kblock, channels);
  if (!z->over_k) return;
  z->o_lanes = pick_lanes(m, f->stored, channels);
  z->line = round_up(at_most(LINE / (int64_t)wn_dtype_size(f->stored), channels), z->o_lanes);
  int64_t block = !z->staged ? z->line : asked > 0 ? asked : LANE_BLOCK;
  z->kblock = round_up(at_most(block, channels), z->line);
}

/* The weight transform: in the lanes is what is stored next to each other, channels c, or k where they are in panels.
 * */
static int lanes_of_g(const schedule *s, const site_facts *f, const machine *m,
                      const site_sizes *z) {
  int64_t panel = z->products == PRODUCTS_FLAT && !z->all_f ? z->k : 1;
  int64_t k = !schedule_is_inside(s, STAGE_G) ? f->site->K : z->staged ? z->kblock : z->k;
  if (panel == 1 && f->site->C > 1) return pick_lanes(m, f->dtype, f->site->C);
  int lanes = pick_lanes(m, f->dtype, at_most(k, f->site->K));
  while (panel > 1 && panel % lanes != 0) lanes /= 2;
  return lanes;
}

site_sizes complete_site(diag *d, const schedule *s, const site_facts *f, const machine *m) {
  const wino_site *site = f->site;
  if (d != NULL && s->v == 'k' && !schedule_has_arrays(s))
    diag_fail(
        d, WN_ERR_REFUSED,
        "v=k needs arrays for x, g and m: a transform that is inlined has tiles in its lanes");
  bool matrices = matrix_wanted(s, m, site) && site->C % m->matrix == 0;
  site_sizes z = {.block = tile_block(s, m, site), .staged = staged_in_result(s, f->flows)};
  z.chain = chain_of(s, site->C, matrices ? m->matrix : 1);
  z.outside = m->group == 0 && site->C > 1 && site->C % z.chain == 0;
  z.round = round_of(s, f);
  z.over_k = channels_in_lanes(s, f, m, z.block);
  z.row_lanes[0] = lanes_of_row(m, f->dtype, row_of(site));
  z.row_lanes[1] = lanes_of_row(m, f->dtype, at_most(z.block, row_of(site)));
  if (z.over_k && f->channels_last) z.c_lanes = pick_lanes(m, f->dtype, site->C);
  size_result(s, f, m, &z);
  size_products(s, f, m, &z);
  z.g_lanes = lanes_of_g(s, f, m, &z);
  return z;
}

/* --- as text ---------------------------------------------------------------------------------- */

schedule complete_schedule(const schedule *s, const site_facts *f, const site_sizes *z) {
  schedule out = *s;
  if (s->direct) return out;
  memset(out.t, 0, sizeof out.t);
  memset(out.k, 0, sizeof out.k);
  out.share = (loop_name){0}; /* said where a kernel has loops to share */
  int tile = tile_part(s, f), channel = channel_part(s, f);
  if (schedule_has_arrays(s)) out.v = z->over_k ? 'k' : 't';
  if (z->chain < f->site->C) out.c[0] = z->chain;
  if (tile > 0) out.t[0] = z->block;
  if (channel > 0) out.k[0] = z->kblock;
  if (z->products == PRODUCTS_FLAT) out.t[tile] = z->t;
  if (z->products == PRODUCTS_FLAT || z->products == PRODUCTS_ROWS) out.k[channel] = z->k;
  if (z->products == PRODUCTS_INSIDE) out.k[0] = z->kblock;
  return out;
}
