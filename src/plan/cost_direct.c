/* What a direct convolution costs; see cost.h.
 *
 * In: extents. Out: seconds of the nest that is made of it, pixels in the lanes (general.c) or channels (channels.c),
 * with its register tile (direct.c). Always holds: a batch costs no less than one image of it. */
#include <math.h>

#include "plan/cost_model.h"
#include "plan/direct.h"
#include "plan/values.h"

/* Extents as the two nests have them: a row of pixels, rows, and whatever else there is. */
typedef struct direct {
  int64_t x, y, k;
  double others;                 /* batch, groups, further windows */
  double outputs, inputs, taps;  /* of a channel of an image */
  double sum;                    /* products an output */
  double weights, image, result; /* bytes; weights of one group */
} direct;

static direct direct_of(const model *m, const wino_conv *c) {
  int last = c->nwindow - 1;
  double e = (double)m->element, images = (double)(c->batch * c->G);
  direct d = {.x = c->outputs[last], .y = 1, .k = c->K, .outputs = 1, .inputs = 1, .taps = 1};
  if (last > 0) d.y = c->outputs[last - 1];
  for (int i = 0; i <= last; ++i) {
    d.taps *= (double)c->taps[i];
    d.outputs *= (double)c->outputs[i];
    d.inputs *= (double)(c->outputs[i] * c->stride[i]);
  }
  d.others = images * d.outputs / (double)(d.x * d.y);
  d.sum = (double)c->C * d.taps;
  d.weights = (double)c->K * d.sum * e;
  d.image = images * (double)c->C * d.inputs * e;
  d.result = images * (double)c->K * d.outputs * e;
  return d;
}

/* Weights of a group so many times, the first time of each group from where they are by then. */
static void add_weights(const model *m, work *w, const direct *d, double times, double groups) {
  const double first = fmin(times, groups);
  add_reads(m, w, d->weights * first, fmax(d->weights, cold_bytes(m, d->weights * groups)));
  add_reads(m, w, d->weights * (times - first), d->weights);
}

static direct_shape shape_of(const model *m, const wino_conv *c, const direct *d) {
  int last = c->nwindow - 1;
  direct_shape p = {.dtype = c->dtype, .K = c->K, .X = d->x, .Y = last > 0 ? d->y : 0};
  p.pixels = (int64_t)(d->others * (double)(d->x * d->y)) / c->G;
  p.others = c->G;
  p.taps = (int64_t)d->sum;
  p.stride = c->image_last ? c->C : c->stride[last];
  p.masked = c->taps[last] > 1;
  p.overlaps = p.Y > 0;
  p.inside = 1;
  p.k_last = c->result_last;
  p.packs = c->K > 1 && (!m->t->variable_weights || p.pixels >= PACKED_FROM_PIXELS);
  return p;
}

/* general.c: pixels in the lanes, channels in the registers, or rows where there is one channel. */
static work pixels_work(const model *m, const wino_conv *c, const direct *d,
                        const direct_shape *shape, const schedule *s) {
  const machine *on = m->t->machine;
  int64_t vector = c->result_last ? d->k : d->x, other = c->result_last ? d->x : d->k;
  double rows = d->others * (double)d->y, shared = 1;
  if (other == 1) other = d->y, rows = d->others, shared = 0;
  register_tile rt;
  if (!shape->packs || c->result_last || !direct_pixels(s, on, shape, &rt)) {
    rt = pick_register_tile(on, c->dtype, other, vector, 0);
    if (s->k[0] > 0) rt.k = s->k[0] < other ? s->k[0] : other;
    if (s->t[0] > 0) rt.t = round_up(s->t[0], rt.lanes);
  }
  double vectors = (double)rt.t / rt.lanes, chains = (double)rt.k * vectors;
  double slot = lanes_slots(m, rt.lanes), blocks = ceil_div((double)other, (double)rt.k);
  double tiles = rows * blocks * ceil_div((double)vector, (double)rt.t);
  bool strided = c->image_last || c->result_last || c->stride[c->nwindow - 1] > 1;
  double load = VECTOR_LOAD * slot * (strided ? STRIDED : UNALIGNED);
  double loads = shared > 0 ? vectors * load + (double)rt.k * BROADCAST : chains * load + BROADCAST;
  double ends = TILE_STORE * chains * slot + TILE_ENDS;
  work w = {.launches = 1, .blocks = rows * blocks};
  w.slots = tiles * (d->sum * fmax(chains * slot, latency_slots(m)) / DIRECT_SHARE + ends);
  w.loads = tiles * (d->sum * loads + ends);
  add_weights(m, &w, d, rows, (double)c->G);
  add_reads(m, &w, d->image, d->image + d->result + d->weights);
  return w;
}

/* general.c: of convolutions of one channel each, channels last, the groups in the lanes, windows of pixels along a row
 * side by side in the registers (values.c). */
static work windows_work(const model *m, const wino_conv *c, const direct *d, const schedule *s) {
  const int last = c->nwindow - 1;
  value_shape shape = {.dtype = c->dtype, .along = c->G, .across = d->x, .others = 1};
  shape.slides = shape.reduces = true;
  shape.innermost = c->taps[last];
  register_tile rt = value_tile(s, m->t->machine, &shape);
  double slot = lanes_slots(m, rt.lanes), vectors = (double)rt.t / rt.lanes;
  double pixels = (double)rt.k, chains = pixels * vectors;
  double rows = (double)c->batch * d->outputs / (double)d->x;
  double tiles = rows * ceil_div((double)d->x, pixels) * ceil_div((double)c->G, (double)rt.t);
  double row = fmin(pixels * (double)c->taps[last],
                    (pixels - 1) * (double)c->stride[last] + (double)c->taps[last]);
  double loads = vectors * VECTOR_LOAD * slot * (d->taps / (double)c->taps[last] * row + d->taps);
  double ends = TILE_STORE * chains * slot + TILE_ENDS;
  work w = {.launches = 1, .blocks = rows};
  w.slots = tiles * (d->sum * fmax(chains * slot, latency_slots(m)) / DIRECT_SHARE + ends);
  w.loads = tiles * (loads + ends);
  add_weights(m, &w, d, (double)c->G, (double)c->G);
  add_reads(m, &w, d->image, d->image + d->result + d->weights);
  return w;
}

/* A register tile of channels.c: vectors of channels by pixels of several rows. */
static work channel_tile_work(const model *m, const direct *d, bool last, double lanes,
                              double vectors, double xs, double ys) {
  double slot = lanes_slots(m, lanes), chains = vectors * xs * ys;
  double kblocks = ceil_div((double)d->k, vectors * lanes);
  double pixels = ceil_div((double)d->x, xs) * ceil_div((double)d->y, ys) * d->others;
  double transposes = last ? 0 : xs * ceil(log2(fmin(xs, lanes))) + lanes * ceil_div(xs, lanes);
  double ends = slot * (vectors * ys * transposes + TILE_STORE * chains) + TILE_ENDS;
  double loads = vectors * VECTOR_LOAD * slot + xs * ys * BROADCAST;
  work w = {.launches = 1, .blocks = kblocks * ceil_div((double)d->y, ys) * d->others};
  w.slots =
      kblocks * pixels * (d->sum * fmax(chains * slot, latency_slots(m)) / DIRECT_SHARE + ends);
  w.loads = kblocks * pixels * (d->sum * loads + ends);
  return w;
}

/* channels.c: channels in the lanes, from packed weights. */
static work channels_work(const model *m, const wino_conv *c, const direct *d,
                          const channel_sizes *t) {
  work w =
      channel_tile_work(m, d, c->result_last, t->lanes, t->vectors, (double)t->xs, (double)t->ys);
  double rows = d->others * ceil_div((double)d->y, (double)t->ys);
  double kblocks = ceil_div((double)d->k, (double)(t->vectors * t->lanes));
  bool heavy = d->weights >
               KEPT_WEIGHTS; /* then they are outside, and the image is read again for each block */
  add_weights(m, &w, d, heavy ? (double)(c->batch * c->G) : rows, (double)c->G);
  add_reads(m, &w, heavy ? d->image * kblocks : d->image, d->image + d->result + d->weights);
  return w;
}

double direct_seconds(const model *m, const wino_conv *c, const schedule *s) {
  direct d = direct_of(m, c);
  direct_shape shape = shape_of(m, c, &d);
  channel_sizes tile;
  work w;
  if (c->groups_last && c->K == 1 && c->C == 1)
    w = windows_work(m, c, &d, s);
  else
    w = direct_channels(s, m->t->machine, &shape, &tile) ? channels_work(m, c, &d, &tile)
                                                         : pixels_work(m, c, &d, &shape, s);
  add_writes(m, &w, d.result, d.image + d.result + d.weights, 1);
  return work_seconds(m, &w);
}
