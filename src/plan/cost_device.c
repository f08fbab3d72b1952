/* The cost model of devices whose kernels run in groups of work items; see cost.h.
 *
 * In: extents and a schedule, as apply carries it out on such a device. Out: seconds of each stage's kernel. A work
 * item runs turns of a loop, one after the other; a turn waits once for what it loads and then issues its instructions.
 * With few work items that chain is the time; with many the instructions of all are, or the bytes:
 *   chain       turns * (WAIT + instructions * ALONE cycles)
 *   throughput  instructions of all work items over what the schedulers issue
 *   traffic     bytes over the bandwidth of memory, or of the last cache where everything fits
 * (Hong and Kim, "An analytical model for a GPU architecture with memory-level and thread-level parallelism awareness",
 * ISCA 2009, count warps the same way.) Always holds: more work never costs less. */
#include <math.h>

#include "plan/cost_model.h"

enum {
  WARP = 32,
  ITEMS_A_SCHEDULER = 512, /* of those that fill the device */
  SCHEDULERS_A_GROUP = 4
};
/* Cycles until loads of a turn are there: from the last cache, from local memory, from both. */
static const double WAIT = 300, WAIT_NEAR = 70, WAIT_SOME = 220;
/* Cycles of an instruction when nobody else issues; the share of issue slots that many work items use. */
static const double ALONE = 3.2, ISSUED = 0.6;
/* Instructions, with addresses: of a load, a store, a work item; of a load from one of the planes of frequencies, all
 * of which are read in turn; more for a load at the edge of the image. */
static const double LOAD = 2, STORE = 2, INDEX = 30, PLANE = 5, GUARDED = 1;
/* Products of matrices by 32 work items: their share of the rate of multiply-adds, which they have no more than. */
static const double MATRIX_SHARE = 0.8;
static const double BARRIER = 60;   /* cycles */
static const double TOGETHER = 1.4; /* the work items of a group go at the pace of the slowest */

typedef struct device_model {
  double schedulers, cycle, launch, near, far, cache; /* seconds; bytes a second; bytes */
  double local;                                       /* bytes of a group */
  size_t element;
} device_model;

static device_model device_model_of(const cost_target *t, wn_dtype dtype) {
  const machine *on = t->machine;
  const machine_limits *l = on->limits;
  device_model m = {.local = (double)on->local_bytes};
  m.schedulers = fmax(1, (double)on->items / (int)ITEMS_A_SCHEDULER);
  m.cycle = 2.0 * (int)WARP * m.schedulers / l->flops_all;
  m.launch = l->wake;
  m.far = l->read_all[LEVEL_MEMORY];
  m.near = l->read_all[LEVEL_L3];
  m.cache = (double)l->size[LEVEL_L3];
  m.element = wn_dtype_size(dtype);
  return m;
}

typedef struct item_work { /* of a kernel's work items, alike */
  double items, turns;
  double each, once; /* instructions of a turn; outside the turns */
  double bytes;      /* of all */
} item_work;

static double seconds_of(const device_model *m, const item_work *w, double footprint) {
  double warps = w->items / (int)WARP / m->schedulers; /* of a scheduler */
  double issue = w->turns * w->each + w->once + INDEX;
  double chain = (w->turns + 1) * WAIT + issue * ALONE, all = issue * warps / ISSUED;
  double traffic = w->bytes / (footprint < m->cache ? m->near : m->far);
  return fmax(fmax(chain, all) * m->cycle, traffic) + m->launch;
}

/* What a stage's kernel is made of, in instructions of one transform. */
typedef struct parts {
  const sizes *z;
  double x, g, o;          /* transforms: arithmetic */
  double x_loads, g_loads; /* from the image and the weights */
  double k, t;             /* tile of a work item */
  double block;            /* tiles of a group */
  double side;             /* of the matrices that products are made of; 0: they are not */
} parts;

static parts parts_of(const site_sizes *own, const machine *on, const sizes *z) {
  parts p = {.z = z, .x = z->in, .g = z->weights, .o = z->out};
  p.k = (double)own->k;
  p.t = (double)own->t;
  p.block = (double)own->block;
  p.x_loads = z->f * (LOAD + GUARDED);
  p.g_loads = z->taps * LOAD;
  if (own->matrix) p.side = on->matrix;
  return p;
}

/* The products of so many channels and tiles, summed over channels: of a frequency each where x and g are arrays and m
 * is one, there of matrices where apply makes them, else of all at once. Without their traffic. */
static item_work sums_of(const schedule *s, const machine *on, const wino_tile *tile,
                         const parts *p, double k, double t) {
  const sizes *z = p->z;
  bool x = !schedule_is_inlined(s, STAGE_X), g = !schedule_is_inlined(s, STAGE_G);
  item_work w = {0};
  if (p->side > 0 && t >= p->side && fmod(k, p->side) == 0) {
    double area = p->side * p->side, share = area / (int)WARP; /* of a work item */
    w.items = z->f * (k / p->side) * ceil_div(t, p->side) * (int)WARP;
    w.turns = z->C / p->side;
    w.each = p->side * share / MATRIX_SHARE + 2 * share * LOAD;
    w.once = share * STORE;
    return w;
  }
  if (schedule_has_arrays(s)) {
    double tile_k = fmin(p->k, k), tile_t = fmin(p->t, t);
    w.items = z->f * ceil_div(k, tile_k) * ceil_div(t, tile_t);
    w.turns = ceil_div(z->C, (int)CHANNELS_AT_ONCE);
    w.each = (int)CHANNELS_AT_ONCE * (tile_k * tile_t + LOAD * ceil_div(tile_t, 4)) + LOAD * tile_k;
    w.once = tile_k * tile_t * STORE;
    return w;
  }
  double copies = x && g ? 1 : fmin(k, (double)item_channels(on, &tile->site));
  double weights = z->f + (g ? z->f * PLANE : p->g + p->g_loads);
  w.items = ceil_div(k, copies) * t;
  w.turns = z->C;
  w.each = (x ? z->f * PLANE : p->x + p->x_loads) + copies * weights;
  w.once = copies * z->f * STORE;
  return w;
}

static item_work products(const schedule *s, const machine *on, const wino_tile *tile,
                          const parts *p) {
  enum {
    SHARED = 64,
    CACHED = 8
  }; /* a group's channels or tiles; how often L1 has what is read again */
  const sizes *z = p->z;
  bool tiled = schedule_has_arrays(s);
  item_work w = sums_of(s, on, tile, p, z->K, z->T);
  double read = z->T * ceil_div(z->K, (int)SHARED) + z->K * ceil_div(z->T, (int)SHARED);
  if (!tiled) read = (z->T * z->K + z->K) / (int)CACHED;
  w.items *= z->G;
  w.bytes = z->G * z->f * z->C * (double)sizeof(float) * read;
  return w;
}

/* --- kernels with stages inside --------------------------------------------------------------- */

enum { GROUP_ITEMS = 256 };

/* Cycles in which a group goes through the points of a stage and waits for its last work item. */
static double stage_cycles(const item_work *w, double wait) {
  double chain = (w->turns + 1) * wait + (w->turns * w->each + w->once) * ALONE;
  return ceil_div(w->items, (int)GROUP_ITEMS) * chain + BARRIER;
}

typedef struct block { /* of a kernel's group */
  double k, t;         /* channels that are gone through at a time, tiles */
  double bytes;        /* of local memory */
} block;

static block block_of(const device_model *m, const schedule *s, const machine *on,
                      const wino_tile *tile, const parts *p) {
  const sizes *z = p->z;
  double e = (double)m->element;
  block b = {.k = (double)channels_of_block(s, on, &tile->site), .t = fmin(z->T, p->block)};
  double x = s->stage[STAGE_X].space == SPACE_LOCAL ? z->f * z->C * e : 0;
  double sums = s->stage[STAGE_M].space == SPACE_LOCAL ? z->f * b.k * e : 0;
  b.bytes = b.t * (x + sums);
  return b;
}

/* Blocks of tiles, a group each. */
static double blocks_seconds(const device_model *m, const sizes *z, const block *b, double cycles) {
  double at_once = m->schedulers / (int)SCHEDULERS_A_GROUP;
  return TOGETHER * cycles * m->cycle * ceil_div(z->G * ceil_div(z->T, b->t), at_once) + m->launch;
}

/* The kernel of m, where x or g is made in it. */
static double sums_seconds(const device_model *m, const schedule *s, const machine *on,
                           const wino_tile *tile, const parts *p) {
  const sizes *z = p->z;
  block b = block_of(m, s, on, tile, p);
  item_work x = {.items = z->C * b.t, .once = p->x + p->x_loads + z->f * STORE};
  item_work g = {.items = z->C * b.k, .once = p->g + p->g_loads + z->f * STORE};
  item_work sums = sums_of(s, on, tile, p, z->K, b.t);
  double cycles = stage_cycles(&sums, schedule_is_inside(s, STAGE_X) ? WAIT_SOME : WAIT);
  if (schedule_is_inside(s, STAGE_X)) cycles += stage_cycles(&x, WAIT);
  if (schedule_is_inside(s, STAGE_G)) cycles += ceil_div(z->K, b.k) * stage_cycles(&g, WAIT);
  return blocks_seconds(m, z, &b, cycles);
}

/* The kernel of the result, where anything is made in it. */
static double result_seconds(const device_model *m, const schedule *s, const machine *on,
                             const wino_tile *tile, const parts *p) {
  const sizes *z = p->z;
  block b = block_of(m, s, on, tile, p);
  bool sums_here = schedule_is_inlined(s, STAGE_M), own = schedule_has_kernel(s, STAGE_M);
  item_work x = {.items = z->C * b.t, .once = p->x + p->x_loads + z->f * STORE};
  item_work g = {.items = z->C * b.k, .once = p->g + p->g_loads + z->f * STORE};
  item_work sums = sums_of(s, on, tile, p, b.k, b.t);
  item_work out = {.items = b.k * b.t, .once = p->o + z->f * LOAD + z->positions * STORE};
  if (sums_here) {
    out = sums;
    out.once += p->o;
  }
  double each = 0; /* for a block of channels */
  if (schedule_is_inside(s, STAGE_M))
    each += stage_cycles(&sums, schedule_is_inside(s, STAGE_X) ? WAIT_SOME : WAIT);
  if (s->stage[STAGE_O].space == SPACE_LOCAL) {
    item_work copy = {.items = out.items, .once = z->positions * (LOAD + STORE)};
    each += stage_cycles(&copy, WAIT_NEAR);
  }
  each += stage_cycles(
      &out, schedule_is_inside(s, STAGE_M) || schedule_is_inside(s, STAGE_X) ? WAIT_NEAR : WAIT);
  if (!own && schedule_is_inside(s, STAGE_G)) each += stage_cycles(&g, WAIT);
  double cycles = ceil_div(z->K, b.k) * each;
  if (!own && schedule_is_inside(s, STAGE_X)) cycles += stage_cycles(&x, WAIT);
  return blocks_seconds(m, z, &b, cycles);
}

/* --- a convolution ---------------------------------------------------------------------------- */

static bool rewritten(const device_model *m, const wino_conv *c, const wino_tile *tile,
                      const cost_target *t, const schedule *s, double *out) {
  model cpu = model_of(t, c->dtype);
  sizes z = sizes_of(c, tile, &cpu);
  const machine *on = t->machine;
  site_facts facts = facts_of(c, tile);
  site_sizes complete = complete_site(NULL, s, &facts, on);
  parts p = parts_of(&complete, on, &z);
  double planes = z.f * (double)m->element * z.G;
  double footprint = z.image + z.result + planes * z.T * (z.C + z.K);
  bool x_in = schedule_is_inside(s, STAGE_X), g_in = schedule_is_inside(s, STAGE_G),
       m_in = schedule_is_inside(s, STAGE_M);
  bool own = schedule_has_kernel(s, STAGE_M);
  if (m->local > 0 && block_of(m, s, on, tile, &p).bytes > m->local) return false;
  if (!schedule_is_inlined(s, STAGE_X) && !x_in) {
    item_work x = {.items = z.G * z.C * z.T, .once = p.x + p.x_loads + z.f * STORE};
    x.bytes = z.image + planes * z.T * z.C;
    out[STAGE_X] = seconds_of(m, &x, footprint);
  }
  if (!schedule_is_inlined(s, STAGE_G) && !g_in && t->variable_weights) {
    item_work g = {.items = z.G * z.C * z.K, .once = p.g + p.g_loads + z.f * STORE};
    g.bytes = planes * z.C * z.K;
    out[STAGE_G] = seconds_of(m, &g, footprint);
  }
  item_work sums = products(s, on, tile, &p);
  item_work o = {.items = z.G * z.K * z.T, .once = p.o + z.f * LOAD + z.positions * STORE};
  o.bytes = planes * z.T * z.K + z.result;
  /* g alone is made for a few channels at a time: the grid stays as it is without it */
  if (own) out[STAGE_M] = x_in ? sums_seconds(m, s, on, tile, &p) : seconds_of(m, &sums, footprint);
  if (!own) {
    o = sums;
    o.once += p.o;
  }
  bool blocked = m_in || schedule_is_inside(s, STAGE_O) || (!own && (x_in || g_in));
  out[STAGE_O] = blocked ? result_seconds(m, s, on, tile, &p) : seconds_of(m, &o, footprint);
  double rounds = s->chunk > 0 ? ceil_div(z.T, fmax((double)s->chunk, z.width)) : 1;
  for (int i = 0; i < STAGE_COUNT; ++i) {
    if (out[i] > 0 && i != STAGE_G) out[i] += (rounds - 1) * m->launch;
  }
  return true;
}

static double direct(const device_model *m, const wino_conv *c, const cost_target *t) {
  double outputs = 1, taps = 1, inputs = 1, row = 1;
  for (int i = 0; i < c->nwindow; ++i) {
    outputs *= (double)c->outputs[i];
    inputs *= (double)(c->outputs[i] * c->stride[i]);
    taps *= (double)c->taps[i];
    row = (double)c->outputs[i];
  }
  double others = outputs / row * (double)c->batch * (double)c->G;
  register_tile rt = pick_item_tile(t->machine, c->K, (int64_t)row, (int64_t)others, 16);
  item_work w = {.items =
                     others * ceil_div((double)c->K, (double)rt.k) * ceil_div(row, (double)rt.t)};
  w.turns = (double)c->C;
  w.each = taps * ((double)(rt.k * rt.t) + LOAD * (double)rt.k + (LOAD + GUARDED) * (double)rt.t);
  w.bytes = (double)m->element * (double)c->batch * (double)c->G *
            (inputs * (double)c->C + outputs * (double)c->K);
  return seconds_of(m, &w, w.bytes);
}

bool device_parts(const wino_conv *c, const wino_tile *tile, const schedule *s,
                  const cost_target *t, double part[STAGE_COUNT]) {
  device_model m = device_model_of(t, c->dtype);
  for (int i = 0; i < STAGE_COUNT; ++i) part[i] = 0;
  if (!s->direct) return rewritten(&m, c, tile, t, s, part);
  part[STAGE_O] = direct(&m, c, t);
  return true;
}
