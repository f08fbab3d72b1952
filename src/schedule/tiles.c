/* Sizes and axes. In: extents and what the machine has. Out: lanes, register tiles, and axes appended to a nest.
 * Always holds: a tile never asks for more accumulators than there are vector registers less what the operands need. */
#include <math.h>

#include "schedule/apply.h"

enum { LEAST_LANE = 4 }; /* bytes */

int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

int stage_range(const stage *st, char letter, int from) {
  for (int i = from; i < st->n; ++i) {
    if (st->letter[i] == letter) return i;
  }
  return -1;
}

const uop *draft_axis(apply *ap, draft *d, axis_kind kind, int64_t extent, const char *name) {
  nest *n = d->n;
  if (extent == 1) {
    if (n->nunits < NEST_AXES && kind <= AXIS_LOOP) {
      n->unit[n->nunits].name = name;
      n->unit[n->nunits++].at = n->naxes;
    }
    return uop_int(ap->g, 0);
  }
  WN_CHECK(n->naxes < NEST_AXES, "more than %d axes", NEST_AXES);
  const uop *r = uop_range(ap->g, extent, name);
  n->axis[n->naxes++] = (axis){r, kind, uop_range_name(ap->g, r), false};
  return r;
}

const uop *draft_exact(apply *ap, draft *d, int64_t extent, const char *name) {
  if (extent == 1) return uop_int(ap->g, 0);
  (void)d;
  return uop_range(ap->g, extent, name);
}

void draft_limit(apply *ap, draft *d, const uop *value, int64_t extent, bool aliases) {
  const uop *c = uop_lt(ap->g, value, extent);
  if (uop_is_int(c, 1)) return;
  WN_CHECK(d->nlimits < DRAFT_LIMITS, "more than %d limits", DRAFT_LIMITS);
  d->limit[d->nlimits] = c;
  d->aliases[d->nlimits++] = aliases;
}

void draft_bind(apply *ap, draft *d, const uop *exact, const uop *over_axes, bool aliases) {
  if (exact->op != OP_RANGE) return; /* an extent of 1 */
  WN_CHECK(d->nexact < NEST_AXES, "more than %d loops", NEST_AXES);
  d->exact[d->nexact] = exact;
  d->over_axes[d->nexact++] = over_axes;
  draft_limit(ap, d, over_axes, exact->arg.j, aliases);
}

const uop *draft_split(apply *ap, draft *d, const uop *exact, const uop *outer, const uop *inner,
                       int64_t inner_extent, bool aliases) {
  const uop *e = uop_add(ap->g, uop_muli(ap->g, outer, inner_extent), inner);
  draft_bind(ap, d, exact, e, aliases);
  return e;
}

int widest_lanes(const machine *m, wn_dtype dtype) {
  int size = (int)wn_dtype_size(dtype);
  return m->vector_bytes / (size > LEAST_LANE ? size : LEAST_LANE);
}

wn_dtype widest_dtype(apply *ap, const uop *value) {
  uop_order own = uop_walk_value(ap->a, value);
  wn_dtype widest = (wn_dtype)value->dtype;
  for (size_t i = 0; i < own.len; ++i) {
    const uop *u = own.at[i];
    /* all others have the dtype of something that they work on, or are places */
    if (u->op != OP_INDEX && u->op != OP_CAST && u->op != OP_REDUCE) continue;
    if (wn_dtype_size((wn_dtype)u->dtype) > wn_dtype_size(widest)) widest = (wn_dtype)u->dtype;
  }
  return widest;
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
  /* latency: 4 cycles, two pipes; a few more hide what else delays an addition */
  double chains = products < 8 ? 8.0 / products : 1.0;
  if (products < 12) chains += 0.03 * (12 - products);
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

/* --- devices ---------------------------------------------------------------------------------------------------------- */

enum {
  ITEM_SUMS = 64,  /* kept in the registers of a work item */
  ITEM_VECTOR = 4, /* elements of a load */
  BUSY_SHARE = 6   /* a device is busy with this share of the work items that it has room for */
};

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

bool loop_named(loop_name want, const char *name) {
  char text[16];
  int n = 0;
  text[n++] = want.letter;
  if (want.part >= 0) text[n++] = (char)('0' + want.part);
  text[n] = '\0';
  return strcmp(text, name) == 0;
}
