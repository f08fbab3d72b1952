/* The products where a transform, or the products themselves, are inlined into their reader; see cost_model.h.
 *
 * In: extents and cuts. Out: the work of one block. All frequencies are taken at once. In registers (reduce.c) there
 * are sums for f frequencies, k channels and a few vectors of tiles: more than a register file holds are made in
 * groups, each in a loop of its own over the channels, and a transform inlined there is made again, in part, for each
 * group. In the array m (nest_m) every product is added to what is stored, and each transform is made once for what
 * shares it.
 * Always holds: a transform inlined costs at least what it costs alone, once for each body that uses it. */
#include <math.h>

#include "plan/cost_model.h"

/* Lines of a cache that a vector of tiles in rows touches: one more where it does not start at a multiple of its size.
 * */
static double lines_touched(const model *m, const sizes *z, int lanes) {
  double bytes = lanes * (double)m->element;
  double straddles =
      fmod(z->width, lanes) != 0 ? (fmin(bytes, LINE) - (double)m->element) / LINE : 0;
  return ceil_div(bytes, LINE) + straddles;
}

/* One weight's transform in all lanes: scalar steps, and each value spread over a vector. */
static double g_scalar_slots(const sizes *z) { return SCALAR_STEP * z->weights + SPLAT * z->f; }

/* A vector of the input transform where it is used at once. */
static double x_inlined_slots(const sizes *z, double slot, int lanes) {
  double value = slot * (is_power_of_two(z->m) ? INLINED_VALUE : INLINED_ODD);
  if (z->in_apart || z->image_last) value = PICK * lanes;
  return slot * INLINED_STEP * z->in + value * z->f;
}

static double budget_of(const model *m) { return m->t->machine->registers - 4; }

/* How often a transform is made whose f values go into so many sums, a register file of which is made at a time. */
double made_again(const model *m, double sums) {
  return 1 + AGAIN * (ceil_div(sums, budget_of(m)) - 1);
}

/* --- in registers ----------------------------------------------------------------------------- */

/* What is read of the arrays: whole lines, whatever is used of them. */
static void add_operands(const model *m, const sizes *z, const cut *u, work *w) {
  const schedule *s = u->s;
  double e = (double)m->element, rows = u->sum_rows, k = u->sum_k;
  double kgroups = ceil_div(z->K, k), tgroups = u->vectors / rows;
  double vectors = z->f * z->C * u->vectors, bytes = u->sum_lanes * e;
  double lines = lines_touched(m, z, u->sum_lanes), x_row = vectors * lines * LINE / tgroups;
  double x_fit = z->f * z->C * u->block * e, g_all = z->f * z->C * z->K * e;
  double g_one = g_all / kgroups;
  double image = z->image / z->G / u->blocks;
  if (schedule_is_inlined(s, STAGE_X)) {
    add_reads(m, w, image, z->total);
    add_reads(m, w, image * (kgroups - 1), u->k_inside ? image * rows / u->vectors : image);
  } else {
    add_reads(m, w, x_fit, x_fit);
    add_vectors(m, w, vectors * (kgroups - 1), bytes, lines,
                (u->k_inside ? fmin(x_row, x_fit) : x_fit) + g_one, false);
  }
  double taps = z->taps * z->C * z->K * e;
  if (schedule_is_inlined(s, STAGE_G)) {
    add_reads(m, w, taps, fmax(z->cold, z->total));
    add_reads(m, w, taps * (tgroups - 1), u->k_inside ? taps : taps / kgroups);
  } else {
    add_reads(m, w, g_all, fmax(z->cold, u->blocks > 1 ? g_all + x_fit : z->total));
    add_reads(m, w, g_all * (tgroups - 1), u->k_inside ? g_all + x_row : g_one + x_row);
  }
}

static void add_register_sums(const model *m, const sizes *z, const cut *u, work *w) {
  const schedule *s = u->s;
  double slot = lanes_slots(m, u->sum_lanes);
  double k = u->sum_k, rows = u->sum_rows, sums = z->f * k * rows;
  double kgroups = ceil_div(z->K, k), tgroups = u->vectors / rows;
  double bodies = kgroups * tgroups * z->C, loads = 0, steps = 0;
  double alive = fmin(sums, budget_of(m)) + z->f;
  double crowd = 1 + CROWDED * fmax(0, alive / m->t->machine->registers - 1);
  if (schedule_is_inlined(s, STAGE_X))
    steps += rows * made_again(m, z->f * k) * crowd * x_inlined_slots(z, slot, u->sum_lanes);
  else
    loads += rows * z->f * slot * VECTOR_LOAD * lines_touched(m, z, u->sum_lanes);
  if (schedule_is_inlined(s, STAGE_G))
    steps += k * made_again(m, z->f * rows) * crowd * g_scalar_slots(z);
  else
    loads += k * z->f * BROADCAST;
  double groups = ceil_div(sums, budget_of(m)),
         issue = fmax(sums * slot * EACH_SUM, latency_slots(m));
  double ends = groups * TILE_ENDS + TILE_STORE * sums * slot;
  w->slots += bodies * (issue + steps) + kgroups * tgroups * u->parts * ends;
  w->loads += bodies * (loads * EACH_LOAD + steps) + kgroups * tgroups * u->parts * ends;
  add_operands(m, z, u, w);
}

/* --- in the array ----------------------------------------------------------------------------- */

/* Products that are added to m, with what is loaded and stored for each. */
static void add_to_array(const model *m, const sizes *z, const cut *u, work *w, double vectors,
                         double footprint) {
  double lines = lines_touched(m, z, u->sum_lanes), bytes = u->sum_lanes * (double)m->element;
  add_steps(w, vectors * lanes_slots(m, u->sum_lanes) * ADDED);
  add_vectors(m, w, vectors, bytes, lines, footprint, false);
  add_vectors(m, w, vectors, bytes, lines, footprint, true);
}

static void add_array_sums(const model *m, const sizes *z, const cut *u, work *w) {
  const schedule *s = u->s;
  double e = (double)m->element, slot = lanes_slots(m, u->sum_lanes);
  double k = u->sum_k, rows = u->sum_rows;
  double kgroups = ceil_div(z->K, k), tgroups = u->vectors / rows;
  double once = kgroups * tgroups * z->C, each = once * k;
  add_steps(w, once * rows * (x_inlined_slots(z, slot, u->sum_lanes) + z->f * slot * KEPT));
  double g_one = z->f * z->C * k * e, g_all = z->f * z->C * z->K * e;
  double taps = z->taps * z->C * z->K * e;
  if (schedule_is_inlined(s, STAGE_G)) {
    add_steps(w, each * g_scalar_slots(z));
    add_reads(m, w, taps, fmax(z->cold, z->total));
  } else {
    add_steps(w, each * z->f * BROADCAST);
    add_reads(m, w, g_all, fmax(z->cold, u->blocks > 1 ? g_all : z->total));
    add_reads(m, w, g_all * (tgroups - 1), g_one);
  }
  double image = z->image / z->G / u->blocks;
  add_reads(m, w, image, z->total);
  add_reads(m, w, image * (kgroups - 1), image);
  double m_one = z->f * k * rows * lines_touched(m, z, u->sum_lanes) * LINE;
  add_to_array(m, z, u, w, each * rows * z->f, m_one + z->f * rows * slot * 64);
}

static void add_array_sums_g(const model *m, const sizes *z, const cut *u, work *w) {
  double e = (double)m->element, slot = lanes_slots(m, u->sum_lanes);
  double x_all = z->f * z->C * u->block * e, line = z->f * u->block * e;
  add_steps(w, z->K * z->C * (g_scalar_slots(z) + z->f * KEPT));
  add_reads(m, w, z->taps * z->C * z->K * e, z->total);
  double vectors = z->K * z->C * u->vectors * z->f;
  add_steps(w, vectors * slot * ADDED);
  add_reads(m, w, x_all * z->K, x_all + line);
  add_reads(m, w, line * z->K * z->C, 2 * line);
  add_writes(m, w, line * z->K * z->C, 2 * line, 1);
}

void add_sums(const model *m, const sizes *z, const cut *u, work *w) {
  double e = (double)m->element;
  if (u->sum == SUM_ARRAY)
    add_array_sums(m, z, u, w);
  else if (u->sum == SUM_ARRAY_G)
    add_array_sums_g(m, z, u, w);
  else
    add_register_sums(m, z, u, w);
  double m_all = z->f * z->K * u->block * e;
  if (!schedule_is_inlined(u->s, STAGE_M) && u->sum == SUM_REGISTER)
    add_writes(m, w, m_all * u->parts, m_all / u->block * stored_tiles(z, u, STAGE_M), 1);
}
