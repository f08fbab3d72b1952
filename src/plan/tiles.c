/* Sizes: see tiles.h. In: extents and what the machine has. Out: lanes, register tiles, blocks. Always holds: a tile
 * never asks for more accumulators than there are vector registers less what the operands need. */
#include "plan/tiles.h"

#include <math.h>

enum { LEAST_LANE = 4 }; /* bytes */

int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

int widest_lanes(const machine *m, wn_dtype dtype) {
  int size = (int)wn_dtype_size(dtype);
  return m->vector_bytes / (size > LEAST_LANE ? size : LEAST_LANE);
}

int pick_lanes(const machine *m, wn_dtype dtype, int64_t extent) {
  if (extent <= 1 || m->group > 0) return 1; /* work items are lanes enough */
  int widest = widest_lanes(m, dtype);
  int best = 1;
  double best_cost = (double)extent;
  for (int lanes = 2; lanes <= widest; lanes *= 2) {
    double rounds = (double)((extent + lanes - 1) / lanes);
    double cost =
        rounds * (0.4 + 0.6 * lanes / widest); /* a narrow vector costs more than its share */
    if (extent < lanes) cost *= 1.1;           /* masks */
    if (cost <= best_cost) {
      best = lanes;
      best_cost = cost;
    }
  }
  return best;
}

/* Work of a register tile per useful product: waste at the edges, times what binds, the products or the loads (a vector
 * load per vector of tiles and a broadcast per channel; two loads a cycle). */
static double tile_cost(int64_t k, int64_t t, int64_t kt, int64_t vectors, int lanes) {
  double waste = (double)(round_up(k, kt) * round_up(t, vectors * lanes)) / (double)(k * t);
  double products = (double)(kt * vectors), loads = (double)(kt + vectors);
  double per_product = products < loads ? loads / products : 1.0 + 0.05 * loads / products;
  /* latency: 4 cycles, two pipes; more hide nothing that is left, and 4 rows leave less over than 6 */
  double chains = products < 8 ? 8.0 / products : 1.0;
  return waste * (per_product > chains ? per_product : chains);
}

register_tile pick_register_tile(const machine *m, wn_dtype dtype, int64_t k, int64_t t,
                                 int64_t limit) {
  int widest = widest_lanes(m, dtype);
  int64_t budget = m->registers - 4;
  if (limit > 0 && limit < budget) budget = limit;
  register_tile best = {1, 1, 1};
  double best_cost = 1e30;
  for (int lanes = widest; lanes >= 1; lanes /= 2) {
    double narrow = 0.35 + 0.65 * widest / lanes;
    for (int64_t v = 1; v <= 6; ++v) {
      for (int64_t kt = 1; kt <= 12 && kt * v + v + 2 <= m->registers; ++kt) {
        if (kt * v > budget) break;
        double cost = tile_cost(k, t, kt, v, lanes) * narrow;
        if (cost < best_cost * 0.999) {
          best_cost = cost;
          best = (register_tile){kt, v * lanes, lanes};
        }
      }
    }
  }
  return best;
}

/* --- devices ---------------------------------------------------------------------------------- */

enum {
  ITEM_SUMS = 64,   /* kept in the registers of a work item */
  ITEM_VECTOR = 4,  /* elements of a load */
  BUSY_SHARE = 6,   /* a device is busy with this share of the work items that it has room for */
  LEAST_GROUP = 32, /* what runs in step on most devices */
  USUAL_GROUP = 128,
  MOST_GROUP = 256,
  ITEMS_A_GROUP = 1024 /* of those that fill the device: two groups for each 2048 */
};

static int group_at_most(const machine *m, int64_t group) {
  int64_t most = m->group < MOST_GROUP ? m->group : MOST_GROUP;
  return (int)(group < most ? group : most);
}

int work_group_of_block(const machine *m, int64_t points) {
  return group_at_most(m, round_up(points, LEAST_GROUP));
}

/* The usual size, or less where that would leave parts of the device idle. */
int work_group(const machine *m, int64_t items) {
  int64_t groups = m->items / ITEMS_A_GROUP, group = USUAL_GROUP;
  while (group > LEAST_GROUP && items / group < groups) group /= 2;
  return group_at_most(m, group);
}

static int64_t blocks_of(int64_t n, int64_t step) { return (n + step - 1) / step; }

/* A register tile of a work item: k values of one operand by t neighbours of the other. Loads per product, what edges
 * waste, and how much of the device has something to do decide. */
register_tile pick_item_tile(const machine *m, int64_t k, int64_t t, int64_t others, int64_t most) {
  register_tile best = {1, 1, 1};
  double best_cost = 1e30, busy = (double)(m->items / BUSY_SHARE);
  int64_t sums = most > 0 && most < ITEM_SUMS ? most : ITEM_SUMS;
  for (int64_t kt = 1; kt <= 8; kt *= 2) {
    for (int64_t tt = 1; tt <= ITEM_VECTOR && kt * tt <= sums; tt *= ITEM_VECTOR) {
      int64_t items = others * blocks_of(k, kt) * blocks_of(t, tt);
      double waste = (double)(items * kt * tt) / (double)(others * k * t);
      double loads = (double)kt + (double)blocks_of(tt, ITEM_VECTOR);
      double idle = (double)items < busy ? sqrt(busy / (double)items) : 1.0;
      double cost = waste * (1.0 + loads / (double)(kt * tt)) * idle;
      if (cost >= best_cost * 0.999) continue;
      best_cost = cost;
      best = (register_tile){kt, tt, tt % ITEM_VECTOR == 0 ? ITEM_VECTOR : 1};
    }
  }
  return best;
}

int64_t site_frequencies(const wino_site *site) {
  int64_t f = 1;
  for (int i = 0; i < site->ndim; ++i) f *= site->n[i];
  return f;
}

/* Output channels whose products with one tile a thread or work item sums at all frequencies at once. */
int64_t item_channels(const machine *m, const wino_site *site) {
  if (m->group == 0) return 2;
  bool busy = site->K * site->T >= 2 * m->items / BUSY_SHARE;
  return busy && 2 * site_frequencies(site) <= ITEM_SUMS + ITEM_SUMS / 4 ? 2 : 1;
}

int64_t channels_of_block(const schedule *s, const machine *m, const wino_site *site) {
  int64_t block = s->k[0] > 0 ? s->k[0] : m->group > 0 ? 16 : 32;
  return block < site->K ? block : site->K;
}

/* --- of a site -------------------------------------------------------------------------------- */

bool matrix_wanted(const schedule *s, const machine *m, const wino_site *site) {
  int64_t side = m->matrix;
  return side > 0 && schedule_has_arrays(s) && site->K % side == 0 && site->T >= side &&
         s->v != 'k' && s->stage[STAGE_M].nloops == 0;
}

double lanes_waste(const machine *m, int64_t n) {
  int lanes = pick_lanes(m, WN_F32, n);
  double widest = m->vector_bytes / (double)sizeof(float);
  return (double)round_up(n, lanes) / (double)n * (0.5 + 0.5 * widest / lanes);
}

/* How many tiles, unless the schedule says it: as many as a device has local memory for. */
static int64_t tiles_that_fit(const schedule *s, const machine *m, const wino_site *site) {
  const stage_plan *plan = s->stage;
  size_t tile = 0, f = (size_t)site_frequencies(site) * wn_dtype_size(WN_F32);
  if (plan[STAGE_X].space == SPACE_LOCAL) tile += f * (size_t)site->C;
  if (plan[STAGE_M].space == SPACE_LOCAL) tile += f * (size_t)channels_of_block(s, m, site);
  size_t fit = m->local_bytes > 0 && tile > 0 ? m->local_bytes / tile : 28;
  fit = fit > 28 ? 28 : fit;
  size_t side = matrix_wanted(s, m, site) ? (size_t)m->matrix : 1;
  if (fit >= side) fit -= fit % side; /* local arrays are padded to it */
  return fit < 1 ? 1 : (int64_t)fit;
}

/* Tiles staged together when the input transform is local: whole rows, or a divisor of a long one. */
int64_t tile_block(const schedule *s, const machine *m, const wino_site *site) {
  int64_t want = s->t[0] > 0 ? s->t[0] : tiles_that_fit(s, m, site),
          width = site->t_extent[site->nt - 1];
  int64_t rows = site->ndim > 1 ? site->t_extent[site->nt - 2] : 1; /* of an image */
  if (width <= want) {
    int64_t blocks = (rows * width + want - 1) / want;
    return width * ((rows + blocks - 1) / blocks); /* even shares: the last block wastes least */
  }
  for (int64_t b = want; 2 * b > want; --b) {
    if (width % b == 0) return b;
  }
  return width;
}
