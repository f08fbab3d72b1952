/* The cost model of devices whose kernels run in groups of work items; see cost.h.
 *
 * In: extents and a schedule, as apply carries it out on such a device. Out: seconds of each stage's kernel. A work item
 * runs turns of a loop, one after the other; a turn waits once for what it loads and then issues its instructions. With few
 * work items that chain is the time; with many the instructions of all are, or the bytes:
 *   chain       turns * (WAIT + instructions * ALONE cycles)
 *   throughput  instructions of all work items over what the schedulers issue
 *   traffic     bytes over the bandwidth of memory, or of the last cache where everything fits
 * (Hong and Kim, "An analytical model for a GPU architecture with memory-level and thread-level parallelism awareness",
 * ISCA 2009, count warps the same way.) Always holds: more work never costs less. */
#include <math.h>

#include "schedule/cost_model.h"

enum {
  WARP = 32,
  ITEMS_A_SCHEDULER = 512 /* of those that fill the device */
};
/* Cycles: until loads of a turn are there; of an instruction when nobody else issues; the share of issue slots that many
 * work items use. */
static const double WAIT = 300, ALONE = 3.2, ISSUED = 0.6;
static const double LOAD = 2, STORE = 2,
                    INDEX = 30; /* instructions: addresses too; of a work item */
static const double PLANE =
    5; /* a load from one of the planes of frequencies, all of which a work item reads in turn */
static const double GUARDED = 1;    /* more for a load at the edge of the image */
static const double BARRIER = 60;   /* cycles, and what a group waits for its last work item */
static const double LOCAL_KIB = 12; /* of local memory for each scheduler's share of groups */

typedef struct device_model {
  double schedulers, cycle, launch, near, far, cache; /* seconds; bytes a second; bytes */
  double items, group, local;
  size_t element;
} device_model;

static device_model device_model_of(const cost_target *t, wn_dtype dtype) {
  const machine_limits *l = t->limits;
  device_model m = {.items = (double)t->items, .group = t->group, .local = (double)t->local_bytes};
  m.schedulers = fmax(1, m.items / (int)ITEMS_A_SCHEDULER);
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
} parts;

static parts parts_of(const apply *ap, const wino_tile *tile, const sizes *z) {
  register_tile rt = pick_item_tile(ap, (int64_t)z->K, (int64_t)z->T, (int64_t)(z->f * z->G), 0);
  parts p = {
      .z = z, .x = z->in, .g = z->weights, .o = z->out, .k = (double)rt.k, .t = (double)rt.t};
  p.x_loads = z->f * (LOAD + GUARDED);
  p.g_loads = z->taps * LOAD;
  if (ap->s->k[0] > 0) p.k = (double)ap->s->k[0];
  if (ap->s->t[0] > 0) p.t = (double)ap->s->t[0];
  (void)tile;
  return p;
}

static bool is_array(const schedule *s, stage_id id) { return !is_inlined(s, id); }

/* The products, summed over channels: of a frequency each where x and g are arrays, else of all at once. */
static item_work products(const apply *ap, const wino_tile *tile, const parts *p) {
  const sizes *z = p->z;
  const schedule *s = ap->s;
  bool x = is_array(s, STAGE_X), g = is_array(s, STAGE_G), m = is_array(s, STAGE_M);
  double e = (double)sizeof(float);
  item_work w = {0};
  if (x && g && m) {
    enum { AT_ONCE = 4 };
    double blocks = ceil_div(z->K, p->k) * ceil_div(z->T, p->t);
    w.items = z->G * z->f * blocks;
    w.turns = ceil_div(z->C, (int)AT_ONCE);
    w.each = (int)AT_ONCE * (p->k * p->t + LOAD * ceil_div(p->t, 4)) + LOAD * p->k;
    w.bytes = z->G * z->f * z->C * e * (z->T * ceil_div(z->K, 64) + z->K * ceil_div(z->T, 64));
    w.once = p->k * p->t * STORE;
    return w;
  }
  double k = x && g ? 1 : (double)item_channels(ap, &tile->site);
  w.items = z->G * ceil_div(z->K, k) * z->T;
  w.turns = z->C;
  w.each =
      (x ? z->f * PLANE : p->x + p->x_loads) + k * (z->f + (g ? z->f * PLANE : p->g + p->g_loads));
  w.once = k * z->f * STORE;
  w.bytes = z->G * z->C * e * (z->T * z->f * ceil_div(z->K, k) + z->K * z->f) / 8;
  return w;
}

/* A kernel with stages inside: groups of work items go through blocks of tiles, and wait for each other. */
static double blocked_seconds(const device_model *m, const apply *ap, const parts *p,
                              double *bytes) {
  const sizes *z = p->z;
  const schedule *s = ap->s;
  double e = (double)m->element, kblock = fmin(z->K, s->k[0] > 0 ? (double)s->k[0] : 16);
  double x_tile = s->stage[STAGE_X].space == SPACE_LOCAL ? z->f * z->C * e : 0;
  double m_tile = s->stage[STAGE_M].space == SPACE_LOCAL ? z->f * kblock * e : 0;
  double fit = x_tile + m_tile > 0 && m->local > 0 ? floor(m->local / (x_tile + m_tile)) : 28;
  double block = fmin(z->T, s->t[0] > 0 ? (double)s->t[0] : fmin(fit, 28));
  if (block < 1 || (m->local > 0 && block * (x_tile + m_tile) > m->local)) return INFINITY;
  double group = 256, rounds_x = ceil_div(z->C * block, group);
  double kblocks = ceil_div(z->K, kblock);
  double tiles = ceil_div(kblock, fmin(p->k, kblock)) * ceil_div(block, fmin(p->t, block));
  double rounds_m = ceil_div(z->f * tiles, group), rounds_o = ceil_div(kblock * block, group);
  double each = p->k * p->t + LOAD * (p->k + ceil_div(p->t, 4));
  double cycles = rounds_x * (WAIT + (p->x + p->x_loads + z->f * STORE) * ALONE) + BARRIER;
  cycles += kblocks * (rounds_m * (z->C * (each * ALONE + WAIT / 3) + WAIT) + BARRIER);
  cycles +=
      kblocks * (rounds_o * (WAIT + (p->o + z->f * LOAD + z->positions * STORE) * ALONE) + BARRIER);
  double groups = z->G * ceil_div(z->T, block);
  double at_once =
      m->schedulers / 4 * fmax(1, floor(4 * LOCAL_KIB * 1024 / fmax(1, block * (x_tile + m_tile))));
  *bytes = z->G * z->f * z->C * z->K * e * ceil_div(z->T, block);
  return cycles * m->cycle * ceil_div(groups, fmin(at_once, groups)) + m->launch;
}

static bool is_inside(const schedule *s, stage_id id) {
  const stage_plan *p = &s->stage[id];
  return p->space == SPACE_LOCAL || (p->space == SPACE_GLOBAL && p->at.letter != 0);
}

static bool rewritten(const device_model *m, const wino_conv *c, const wino_tile *tile,
                      const cost_target *t, const schedule *s, double *out) {
  model cpu = model_of(t, c->dtype);
  sizes z = sizes_of(c, tile, &cpu);
  apply_target target = {.group = t->group, .items = t->items, .local_bytes = t->local_bytes};
  apply ap = {.s = s, .target = &target};
  parts p = parts_of(&ap, tile, &z);
  double e = (double)m->element, planes = z.f * e * z.G;
  double footprint = z.image + z.result + planes * z.T * (z.C + z.K);
  if (is_inside(s, STAGE_X) || is_inside(s, STAGE_M) || is_inside(s, STAGE_G)) {
    double bytes = 0;
    double seconds = blocked_seconds(m, &ap, &p, &bytes);
    out[STAGE_O] = fmax(seconds, bytes / m->near);
    if (is_array(s, STAGE_X) && !is_inside(s, STAGE_X)) out[STAGE_X] = m->launch;
    return isfinite(out[STAGE_O]);
  }
  if (is_array(s, STAGE_X)) {
    item_work x = {z.G * z.C * z.T, 1, p.x + p.x_loads + z.f * STORE, 0,
                   z.image + planes * z.T * z.C};
    out[STAGE_X] = seconds_of(m, &x, footprint);
  }
  if (is_array(s, STAGE_G) && t->variable_weights) {
    item_work g = {z.G * z.C * z.K, 1, p.g + p.g_loads + z.f * STORE, 0, planes * z.C * z.K};
    out[STAGE_G] = seconds_of(m, &g, footprint);
  }
  item_work sums = products(&ap, tile, &p);
  item_work o = {z.G * z.K * z.T, 1, p.o + z.f * LOAD + z.positions * STORE, 0,
                 planes * z.T * z.K + z.result};
  if (is_array(s, STAGE_M)) {
    out[STAGE_M] = seconds_of(m, &sums, footprint);
    out[STAGE_O] = seconds_of(m, &o, footprint);
  } else {
    sums.once += p.o;
    out[STAGE_O] = seconds_of(m, &sums, footprint);
  }
  double rounds = s->chunk > 0 ? ceil_div(z.T, fmax((double)s->chunk, z.width)) : 1;
  for (int i = 0; i < STAGE_COUNT && rounds > 1; ++i)
    out[i] = out[i] > 0 && i != STAGE_G ? out[i] + (rounds - 1) * m->launch : out[i];
  return true;
}

static double direct(const device_model *m, const wino_conv *c, const cost_target *t,
                     const schedule *s) {
  apply_target target = {.group = t->group, .items = t->items};
  apply ap = {.s = s, .target = &target};
  double outputs = 1, taps = 1, inputs = 1, row = 1;
  for (int i = 0; i < c->nwindow; ++i) {
    outputs *= (double)c->outputs[i];
    inputs *= (double)(c->outputs[i] * c->stride[i]);
    taps *= (double)c->taps[i];
    row = (double)c->outputs[i];
  }
  double others = outputs / row * (double)c->batch * (double)c->G;
  register_tile rt = pick_item_tile(&ap, c->K, (int64_t)row, (int64_t)others, 16);
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
  part[STAGE_O] = direct(&m, c, t, s);
  return true;
}
