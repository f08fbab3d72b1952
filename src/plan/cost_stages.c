/* What the stages of a rewritten convolution do, where they are arrays; see cost_model.h.
 *
 * In: extents and cuts. Out: the work of one block. The products of one frequency are a matrix product, so what is
 * counted is the register tile that apply will use and how often each panel is read (Goto and van de Geijn, "Anatomy of
 * High-Performance Matrix Multiplication", 2008). Always holds: more work of a kind never costs less. */
#include <math.h>

#include "plan/cost_model.h"

/* --- matrix products -------------------------------------------------------------------------- */

/* One product of rows x sum by sum x columns, the columns in the lanes. */
typedef struct gemm {
  double rows, columns, sum;
  double tile_rows, vectors, lanes;
  double parts; /* the sum is made in */
} gemm;

/* Multiply-adds and loads that take equally long get in each other's way: a little more than the longer of both. */
static double together(double a, double b) {
  return pow(pow(a, BESIDE) + pow(b, BESIDE), 1 / BESIDE);
}

static void add_product(const model *m, work *w, const gemm *p, double times) {
  double tiles = ceil_div(p->rows, p->tile_rows) * ceil_div(p->columns, p->vectors * p->lanes);
  double chains = p->tile_rows * p->vectors, slot = lanes_slots(m, p->lanes);
  double issue = fmax(chains * slot, latency_slots(m)) / PRODUCTS_SHARE;
  double loads = p->vectors * VECTOR_LOAD * slot + p->tile_rows * BROADCAST;
  double ends = TILE_STORE * chains * slot * p->parts +
                TILE_RELOAD * chains * slot * (p->parts - 1) + TILE_ENDS * p->parts;
  add_steps(w, times * tiles * (p->sum * together(issue, loads) + ends));
}

/* The products of a block: a matrix product a frequency for each block of channels. */
static void add_tiled(const model *m, const sizes *z, const cut *u, work *w) {
  double e = (double)m->element, kblocks = ceil_div(z->K, u->kblock);
  gemm p;
  if (u->over_k) {
    p = (gemm){u->block, u->kblock, z->C, u->tile_t, u->tile_k / u->lanes, u->lanes, u->parts};
  } else {
    p = (gemm){u->kblock, u->block, z->C, u->tile_k, u->tile_t / u->lanes, u->lanes, u->parts};
  }
  add_product(m, w, &p, z->f * kblocks);
  double x_all = z->f * z->C * u->block * e, g_all = z->f * z->C * z->K * e,
         m_all = z->f * u->kblock * u->block * e;
  double x_one = z->C * u->block * e, g_one = z->C * u->tile_k * e;
  double passes = ceil_div(u->kblock, u->tile_k); /* over one frequency's tiles */
  double tiles = ceil_div(u->block, u->tile_t);
  bool chunked = u->blocks > 1;
  add_reads(m, w, x_all * kblocks, x_all + (chunked ? fmin(g_all, m_all) : 0));
  add_reads(m, w, x_all * kblocks * (passes - 1), x_one + g_one);
  const double first = fmax(z->cold, chunked ? g_all + x_all + m_all : z->total);
  work weights = {0};
  add_reads(m, &weights, g_all, first);
  if (chunked) weights.exposed *= WEIGHTS_AGAIN;
  add_work(w, &weights);
  if (kblocks > 1)
    add_streams(m, w, z->f * kblocks, first); /* the weights of a block, by frequency */
  add_reads(m, w, g_all * (tiles - 1), g_one);
  add_writes(m, w, m_all * kblocks, m_all / u->block * stored_tiles(z, u, STAGE_M), 1);
}

void add_m(const model *m, const sizes *z, const cut *u, work *w) {
  if (u->sum == SUM_TILED)
    add_tiled(m, z, u, w);
  else
    add_sums(m, z, u, w);
}

/* --- transforms ------------------------------------------------------------------------------- */

/* Transforms touch one vector in each of many planes: past L2 that costs more than the bytes say. */
static double in_planes(const model *m, double stored) {
  return stored > (double)m->l->size[LEVEL_L2] ? SCATTERED : 1;
}

/* A step of a transform: values that do not fit the registers are spilled and fetched. */
static double step_slots(const sizes *z) {
  return STEP * (z->f > SPILLED_FROM ? z->f / SPILLED_FROM : 1);
}

static double x_vector_slots(const sizes *z, bool by_channels, double slot, int lanes) {
  double value = slot * (is_power_of_two(z->m) ? GATHER : GATHER_ODD);
  if (z->in_apart || z->image_last) value = PICK * lanes;
  if (by_channels) value = slot * TAKE;
  return slot * step_slots(z) * z->in + value * z->f;
}

/* The input transform of a block of tiles, into an array. */
void add_x(const model *m, const sizes *z, const cut *u, work *w) {
  int lanes;
  const bool by_channels = z->image_last && u->over_k; /* then the nest has them in its lanes */
  double vectors = by_channels ? channel_vectors(m, z->C, &lanes) * u->block
                               : row_vectors(m, z, u->block, &lanes) * z->C;
  add_steps(w, vectors * x_vector_slots(z, by_channels, lanes_slots(m, lanes), lanes));
  double bytes = z->f * z->C * (double)m->element;
  add_reads(m, w, z->image / z->G / u->blocks, z->total);
  double stored = bytes * stored_tiles(z, u, STAGE_X);
  add_writes(m, w, bytes * u->block * (by_channels ? 1 : in_planes(m, stored)), stored, 1);
}

/* The weight transform into an array, once for all weights of a group. Where channels k are in the lanes, which are far
 * apart in the weights, each is fetched by itself. */
void add_g(const model *m, const sizes *z, const cut *u, work *w) {
  int lanes;
  bool panels = u->sum == SUM_TILED;
  double vectors =
      panels ? channel_vectors(m, z->K, &lanes) * z->C : channel_vectors(m, z->C, &lanes) * z->K;
  double slot = lanes_slots(m, lanes), fetch = z->taps * lanes * (panels ? PICK_FAR : PICK);
  double foot = z->f * z->C * z->K * (double)m->element;
  bool local = u->s->stage[STAGE_G].space == SPACE_LOCAL;
  add_steps(w, vectors * (slot * (STEP * z->weights + TAKE * z->f) + fetch));
  add_reads(m, w, z->taps * z->C * z->K * (double)m->element, z->total);
  add_writes(m, w, foot, foot * (local ? u->kblock / z->K : 1), 1);
}

/* --- results ---------------------------------------------------------------------------------- */

/* Storing the results of a vector of channels of one tile, a row of each channel at a time. */
static double store_rows(const sizes *z, const cut *u) {
  double cost = (is_power_of_two(z->m) ? ROW : ROW_ODD) * (1 + (ROW_EDGE - 1) * z->edge);
  return cost * u->lanes * z->positions / z->m * (z->same_set ? SAME_SET : 1);
}

/* An output transform with an array of its own, and what copies its values from there into the result. It has tiles in
 * its lanes: where the products have channels there, each value is in a line of its own, which is hit again for the
 * next channels if the nearest cache holds a block. */
static void add_copy(const model *m, const sizes *z, const cut *u, work *w) {
  double e = (double)m->element, k = fmin(z->K, LINE / e), values = u->o_block * z->K;
  double copied = values * z->positions;
  add_steps(w, 2 * COPY * copied);
  add_writes(m, w, copied * e, copied * e, 1);
  if (!u->over_k) {
    add_reads(m, w, copied * e, copied * e);
    return;
  }
  add_steps(w, PICK_FAR * values * (z->f + z->positions));
  add_reads(m, w, values * z->f * LINE, u->o_block * z->f * fmax(k * e, LINE));
  add_reads(m, w, copied * LINE, copied * e);
}

/* The output transform of a block. */
void add_o(const model *m, const sizes *z, const cut *u, work *w) {
  bool local = u->s->stage[STAGE_M].space == SPACE_LOCAL;
  double e = (double)m->element;
  double stored = z->f * (local ? u->kblock : z->K) * stored_tiles(z, u, STAGE_M) * e;
  int lanes = (int)u->lanes;
  double vectors = u->over_k ? u->o_block * ceil_div(z->K, u->lanes)
                             : row_vectors(m, z, u->o_block, &lanes) * z->K;
  double slot = lanes_slots(m, lanes), store = slot * SCATTER * z->positions;
  if (u->over_k)
    store = z->result_last ? slot * TAKE * z->positions : store_rows(z, u);
  else if (z->result_last || z->out_apart)
    store = PICK * lanes * z->positions;
  add_steps(w, vectors * (slot * (step_slots(z) * z->out + TAKE * z->f) + store));
  if (schedule_is_inside(u->s, STAGE_O)) add_copy(m, z, u, w);
  if (!schedule_is_inlined(u->s, STAGE_M))
    add_reads(m, w, z->f * z->K * u->o_block * e * (u->over_k ? 1 : in_planes(m, stored)), stored);
  add_writes(m, w, z->result / z->G / u->o_blocks, z->total, SHORT_ROWS);
}
