/* The cost model; see cost.h.
 *
 * In: extents and a schedule. Out: seconds. A kernel's time is that of its arithmetic and of the part of its traffic that
 * nothing hides, or that of all its traffic, whichever is longer:
 *   arithmetic  vector instructions issued, the lanes and register tiles that reach past an end included, at the measured
 *               rate of multiply-adds; or the loads that they need, where those take longer
 *   traffic     bytes by the cache that holds what they are read from, at the measured bandwidths; where an array is near
 *               the size of a cache, in between
 * Threads divide both, unevenly where there are few blocks, until the shared bandwidth is used up; every launch on more
 * than one thread costs waking the pool. The products of one frequency are a matrix product, so what is counted is the
 * register tile that apply will use (pick_register_tile) and how often each panel is read (Goto and van de Geijn, "Anatomy of
 * High-Performance Matrix Multiplication", 2008). Always holds: more work of a kind never costs less. */
#include <math.h>

#include "schedule/cost_model.h"

/* --- matrix products ------------------------------------------------------------------------------------------------------ */

/* One product of rows x sum by sum x columns, the columns in the lanes. */
typedef struct product {
  double rows, columns, sum;
  double tile_rows, vectors, lanes;
  double parts; /* the sum is made in */
} product;

static void add_product(const model *m, work *w, const product *p, double times) {
  double tiles = ceil_div(p->rows, p->tile_rows) * ceil_div(p->columns, p->vectors * p->lanes);
  double chains = p->tile_rows * p->vectors, slot = lanes_slots(m, p->lanes);
  double issue = fmax(chains * slot, latency_slots(m)) / PRODUCTS_SHARE;
  double loads = p->vectors * VECTOR_LOAD * slot + p->tile_rows * BROADCAST;
  double ends = TILE_STORE * chains * slot * p->parts +
                TILE_RELOAD * chains * slot * (p->parts - 1) + TILE_ENDS * p->parts;
  w->slots += times * tiles * (p->sum * issue + ends);
  w->loads += times * tiles * (p->sum * loads + ends);
}

/* --- a convolution rewritten with one tile -------------------------------------------------------------------------------- */

typedef struct sizes {      /* of one group, in elements */
  double f;                 /* frequencies */
  double in, out, weights;  /* steps of the transforms: one tile and channel; one weight */
  double positions;         /* outputs of a tile */
  double width;             /* tiles in a row */
  double m;                 /* outputs of a tile in a row */
  double edge;              /* share of the tiles that reach past an end of the image */
  bool same_set;            /* channels of the result are a multiple of 4 KiB apart */
  bool channels_last;       /* in the image and the result */
  bool in_apart, out_apart; /* neighbours of a tile are none in memory: strides, dilations */
  double T, C, K, G;
  double image, result, total; /* bytes, all groups; all that a run touches */
} sizes;

static sizes sizes_of(const wino_conv *c, const wino_tile *t, const model *m) {
  const wino_site *s = &t->site;
  sizes z = {.f = 1,
             .positions = 1,
             .T = (double)s->T,
             .C = (double)s->C,
             .K = (double)s->K,
             .G = (double)s->G};
  for (int i = 0; i < s->ndim; ++i) z.f *= s->n[i];
  double columns = z.f, taps = 1;
  for (int i = s->ndim; i-- > 0;) taps *= s->r[i];
  double rows = taps;
  for (int i = 0; i < s->ndim; ++i) {
    z.in += t->steps_b[i] * z.f / s->n[i];
    z.out += t->steps_a[i] * columns / s->n[i];
    z.weights += t->steps_g[i] * rows / s->r[i];
    columns *= (double)s->m[i] / s->n[i];
    rows *= (double)s->n[i] / s->r[i];
    z.positions *= s->m[i];
  }
  z.width = (double)t->tiles[s->ndim - 1];
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

/* How the schedule cuts this convolution. */
typedef struct cut {
  const schedule *s;
  double block, blocks; /* tiles that are staged together; such blocks, batch included */
  double kblock;        /* channels whose products are staged together */
  double tile_k, tile_t,
      lanes;    /* register tile of the products: channels, tiles; lanes of its vectors */
  bool over_k;  /* the lanes are channels */
  double parts; /* that a sum over channels is made in */
} cut;

static bool is_inside(const schedule *s, stage_id id) {
  uop_space space = s->stage[id].space;
  return space == SPACE_LOCAL || (space == SPACE_GLOBAL && s->stage[id].at.letter != 0);
}

static bool is_inlined(const schedule *s, stage_id id) {
  return s->stage[id].space == SPACE_INLINE || s->stage[id].space == SPACE_REG;
}

/* Channels of the products that are staged together, as results.c has it. */
static double channel_block(const schedule *s, const sizes *z, double lanes) {
  if (!is_inside(s, STAGE_M)) return z->K;
  double asked = s->k[0] > 0 ? (double)s->k[0] : s->v == 'k' ? 64 : 32, block = fmin(z->K, asked);
  return s->v == 'k' ? ceil_div(block, lanes) * lanes : block;
}

static void pick_cut(const model *m, const wino_conv *c, const wino_tile *t, const sizes *z,
                     cut *u) {
  const schedule *s = u->s;
  apply_target target = {.vector_bytes = m->t->vector_bytes, .registers = m->t->registers};
  apply ap = {.s = s, .target = &target};
  bool staged = is_inside(s, STAGE_X) || is_inside(s, STAGE_M);
  double chunk = fmax((double)s->chunk, z->width);
  u->over_k = s->v == 'k';
  u->block = fmin(staged         ? (double)tile_block(&ap, &t->site)
                  : s->chunk > 0 ? floor(chunk / z->width) * z->width
                                 : z->T,
                  z->T);
  u->blocks = ceil_div(z->T, u->block);
  u->kblock = channel_block(s, z, pick_lanes(&target, c->dtype, (int64_t)z->K));
  int64_t k = (int64_t)u->kblock, tiles = (int64_t)u->block;
  register_tile rt =
      pick_register_tile(&ap, c->dtype, u->over_k ? tiles : k, u->over_k ? k : tiles, 0);
  u->lanes = rt.lanes;
  u->tile_k = (double)(u->over_k ? rt.t : rt.k);
  u->tile_t = (double)(u->over_k ? rt.k : rt.t);
  int64_t asked_k = s->k[is_inside(s, STAGE_M)], asked_t = s->t[staged];
  if (asked_k > 0) u->tile_k = (double)(u->over_k ? round_up(asked_k, rt.lanes) : asked_k);
  if (asked_t > 0) u->tile_t = (double)(u->over_k ? asked_t : round_up(asked_t, rt.lanes));
  double part = s->c[0] > 0            ? (double)s->c[0]
                : z->C > (int)LONG_SUM ? (double)(int)WINO_CHAIN
                                       : z->C;
  u->parts = ceil_div(z->C, fmin(part, z->C));
}

/* Vectors for the tiles of a block, in rows. */
static double row_vectors(const model *m, const sizes *z, double tiles, int *lanes) {
  apply_target target = {.vector_bytes = m->t->vector_bytes, .registers = m->t->registers};
  double width = fmin(z->width, tiles);
  *lanes = pick_lanes(&target, m->element == 8 ? WN_F64 : WN_F32, (int64_t)width);
  return ceil_div(tiles, width) * ceil_div(width, *lanes);
}

/* Tiles that the array of a stage has room for: all of them unless it is local, whatever a chunk is. */
static double stored_tiles(const sizes *z, const cut *u, stage_id id) {
  return u->s->stage[id].space == SPACE_LOCAL ? u->block : z->T;
}

/* Vectors for channels, where they are neighbours. */
static double channel_vectors(const model *m, double channels, int *lanes) {
  apply_target target = {.vector_bytes = m->t->vector_bytes, .registers = m->t->registers};
  *lanes = pick_lanes(&target, m->element == 8 ? WN_F64 : WN_F32, (int64_t)channels);
  return ceil_div(channels, *lanes);
}

static bool is_power_of_two(double x) { return exp2(rint(log2(x))) == x; }

/* What a transform takes, loads and stores included. */
static void add_steps(work *w, double slots) {
  w->slots += slots;
  w->loads += slots;
}

/* Transforms touch one vector in each of many planes: past L2 that costs more than the bytes say. */
static double in_planes(const model *m, double stored) {
  return stored > (double)m->l->size[LEVEL_L2] ? SCATTERED : 1;
}

/* A step of a transform: values that do not fit the registers are spilled and fetched. */
static double step_slots(const sizes *z) {
  return STEP * (z->f > SPILLED_FROM ? z->f / SPILLED_FROM : 1);
}

/* The input transform of a block of tiles, `times` over. */
static void add_x(const model *m, const sizes *z, const cut *u, work *w, double times) {
  int lanes;
  double vectors = z->channels_last ? channel_vectors(m, z->C, &lanes) * u->block
                                    : row_vectors(m, z, u->block, &lanes) * z->C;
  double slot = lanes_slots(m, lanes), value = slot * (is_power_of_two(z->m) ? GATHER : GATHER_ODD);
  if (z->in_apart) value = PICK * lanes;
  if (z->channels_last) value = slot * TAKE;
  add_steps(w, vectors * times * (slot * step_slots(z) * z->in + value * z->f));
  double bytes = z->f * z->C * (double)m->element;
  add_reads(m, w, z->image / z->G / u->blocks * times, z->total);
  double stored = bytes * stored_tiles(z, u, STAGE_X);
  if (!is_inlined(u->s, STAGE_X))
    add_writes(m, w, bytes * u->block * times * in_planes(m, stored), stored, 1);
}

/* Storing the results of a vector of channels of one tile, a row of each channel at a time. */
static double store_rows(const sizes *z, const cut *u) {
  double cost = (is_power_of_two(z->m) ? ROW : ROW_ODD) * (1 + (ROW_EDGE - 1) * z->edge);
  return cost * u->lanes * z->positions / z->m * (z->same_set ? SAME_SET : 1);
}

/* The output transform of a block. */
static void add_o(const model *m, const sizes *z, const cut *u, work *w) {
  bool local = u->s->stage[STAGE_M].space == SPACE_LOCAL;
  double stored =
      z->f * (local ? u->kblock : z->K) * stored_tiles(z, u, STAGE_M) * (double)m->element;
  int lanes = (int)u->lanes;
  double vectors =
      u->over_k ? u->block * ceil_div(z->K, u->lanes) : row_vectors(m, z, u->block, &lanes) * z->K;
  double slot = lanes_slots(m, lanes), store = slot * SCATTER * z->positions;
  if (u->over_k)
    store = z->channels_last ? slot * TAKE * z->positions : store_rows(z, u);
  else if (z->channels_last || z->out_apart)
    store = PICK * lanes * z->positions;
  add_steps(w, vectors * (slot * (step_slots(z) * z->out + TAKE * z->f) + store));
  if (!is_inlined(u->s, STAGE_M))
    add_reads(m, w, z->f * z->K * u->block * (double)m->element * in_planes(m, stored), stored);
  add_writes(m, w, z->result / z->G / u->blocks, z->total, SHORT_ROWS);
}

/* The weight transform, once for all weights of a group. */
static void add_g(const model *m, const sizes *z, const cut *u, work *w, double times) {
  double lanes = (double)(m->t->vector_bytes) / (double)m->element;
  double vectors = z->K * ceil_div(z->C, lanes) * times,
         foot = z->f * z->C * z->K * (double)m->element;
  add_steps(w, vectors * (STEP * z->weights + GATHER * z->f));
  if (!is_inlined(u->s, STAGE_G)) add_writes(m, w, foot * times, foot, 1);
}

/* The products of a block: a matrix product a frequency for each block of channels. */
static void add_m(const model *m, const sizes *z, const cut *u, work *w) {
  double e = (double)m->element, kblocks = ceil_div(z->K, u->kblock);
  product p;
  if (u->over_k) {
    p = (product){u->block, u->kblock, z->C, u->tile_t, u->tile_k / u->lanes, u->lanes, u->parts};
  } else {
    p = (product){u->kblock, u->block, z->C, u->tile_k, u->tile_t / u->lanes, u->lanes, u->parts};
  }
  add_product(m, w, &p, z->f * kblocks);
  double x_all = z->f * z->C * u->block * e, g_all = z->f * z->C * z->K * e,
         m_all = z->f * u->kblock * u->block * e;
  double x_one = z->C * u->block * e, g_one = z->C * u->tile_k * e;
  double passes = ceil_div(u->kblock, u->tile_k); /* over one frequency's tiles */
  bool chunked = u->blocks > 1;
  if (!is_inlined(u->s, STAGE_X)) {
    add_reads(m, w, x_all * kblocks, x_all + (chunked ? fmin(g_all, m_all) : 0));
    add_reads(m, w, x_all * kblocks * (passes - 1), x_one + g_one);
  }
  if (!is_inlined(u->s, STAGE_G)) {
    double tiles = ceil_div(u->block, u->tile_t);
    add_reads(m, w, g_all, chunked ? g_all + x_all + m_all : z->total);
    add_reads(m, w, g_all * (tiles - 1), g_one);
  }
  if (!is_inlined(u->s, STAGE_M))
    add_writes(m, w, m_all * kblocks, m_all / u->block * stored_tiles(z, u, STAGE_M), 1);
}

/* Blocks of a launch of each kernel, about: what threads share. */
static double grid_of(const sizes *z, const cut *u, stage_id id) {
  double rows = ceil_div(u->block, z->width);
  if (id == STAGE_X) return z->G * z->C * rows;
  if (id == STAGE_O) return z->G * z->K * rows;
  if (id == STAGE_G) return z->G * z->K;
  return z->G * z->f * ceil_div(u->kblock, u->tile_k) * ceil_div(u->block, u->tile_t);
}

/* Bytes of the arrays between stages, with what register tiles reach past their ends and planes are moved apart; local ones
 * once a thread. */
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

/* Everything that a run does, by stage. A transform that is inlined is made again for each register tile that reads it. */
static void count_stages(const model *m, const sizes *z, const cut *u, work *w) {
  const schedule *s = u->s;
  double blocks = z->G * u->blocks, again = ceil_div(u->block, u->tile_t);
  add_x(m, z, u, &w[STAGE_X], is_inlined(s, STAGE_X) ? ceil_div(z->K, u->tile_k) : 1);
  add_m(m, z, u, &w[STAGE_M]);
  add_o(m, z, u, &w[STAGE_O]);
  for (int i = 0; i < STAGE_COUNT; ++i) {
    multiply_work(&w[i], blocks);
    w[i].exposed += blocks * BLOCK;
    w[i].launches = s->chunk > 0 ? u->blocks : 1;
    w[i].blocks = grid_of(z, u, (stage_id)i);
  }
  work *g = &w[STAGE_G];
  *g = (work){.launches = 1, .blocks = z->G * z->K};
  if (is_inlined(s, STAGE_G) || is_inside(s, STAGE_G))
    add_g(m, z, u, g, blocks * (is_inlined(s, STAGE_G) ? again : 1));
  else if (m->t->variable_weights)
    add_g(m, z, u, g, z->G);
  else
    g->launches = 0; /* prepared once */
}

/* Stages inside others' kernels are theirs: blocks of tiles are what such a kernel's threads share. */
static double run_stages(const model *m, const sizes *z, const cut *u, work *w) {
  static const stage_id reader[STAGE_COUNT] = {STAGE_M, STAGE_M, STAGE_O, STAGE_O};
  double seconds = 0;
  for (int i = 0; i < STAGE_O; ++i) {
    if (!is_inside(u->s, (stage_id)i) && !is_inlined(u->s, (stage_id)i)) continue;
    add_work(&w[reader[i]], &w[i]);
    if (i != STAGE_G) w[reader[i]].blocks = z->G * u->blocks;
    w[i].launches = 0;
  }
  for (int i = 0; i < STAGE_COUNT; ++i) {
    if (w[i].launches > 0) seconds += work_seconds(m, &w[i]);
  }
  return seconds;
}

static double rewritten_seconds(const model *m, const wino_conv *c, const wino_tile *t,
                                const schedule *s) {
  sizes z = sizes_of(c, t, m);
  cut u = {.s = s};
  work w[STAGE_COUNT] = {0};
  pick_cut(m, c, t, &z, &u);
  double bytes = workspace(&z, &u, m), weights = z.f * z.C * z.K * z.G * (double)m->element;
  if (z.f > MOST_VALUES) return INFINITY; /* over the limit of lines, or near it */
  if (m->t->max_memory > 0 && bytes > (double)m->t->max_memory) return INFINITY;
  z.total = z.image + z.result + weights + bytes;
  count_stages(m, &z, &u, w);
  return UNSURE * run_stages(m, &z, &u, w);
}

/* --- all convolutions of a graph ------------------------------------------------------------------------------------------- */

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

double schedule_cost(const wino_survey *survey, const schedule *s, const cost_target *t) {
  double seconds = 0;
  for (int i = 0; i < survey->nconvs; ++i) {
    const wino_conv *c = &survey->conv[i];
    model m = model_of(t, c->dtype);
    const wino_tile *tile = s->direct ? NULL : tile_for(c, s);
    if (!s->direct && tile == NULL) return INFINITY;
    seconds += s->direct ? direct_seconds(&m, c, s) : rewritten_seconds(&m, c, tile, s);
  }
  return seconds;
}
