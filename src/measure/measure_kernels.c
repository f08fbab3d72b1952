/* What is measured of a device, as linear kernels.
 *
 * In: a target. Out: kernels for groups of work items, or for one work item a group with vectors as wide as the
 * target's. Work items read numbers, neighbours neighbouring ones, since not every compiler makes one access of a
 * vector's. The rules are those of measure_probe.c: chains of multiply-adds that do not wait for each other, as many as
 * cover the latency; loads into several sums. Always holds: nothing can be left out, since factors, steps and what is
 * summed come from memory, and results go to memory where they are a number that they never are; offsets stay inside of
 * the arrays. */
#include "measure/measure_device.h"

enum {
  GROUP = 128,        /* work items, where groups have several */
  ROUNDS = 2048,      /* of a loop in a kernel */
  STEPS = 4,          /* of every chain in one round */
  LOADS = 8,          /* in one round */
  CHAIN_LANES = 4,    /* of the chains of such a work item */
  LOCAL_FLOATS = 2048 /* that the rounds of a group go through */
};

typedef struct maker {
  arena *a;
  lin_kernel *k;
  int items, lanes; /* of a group; of a vector */
} maker;

/* --- instructions ----------------------------------------------------------------------------- */

static uint32_t put(maker *m, lin_ins u) {
  vec_push(m->a, &m->k->ins, u);
  return (uint32_t)m->k->ins.len - 1;
}

static uint32_t whole(maker *m, int64_t i) {
  return put(m, (lin_ins){.op = OP_CONST, .dtype = WN_I64, .lanes = 1, .i = i});
}

static uint32_t leaf(maker *m, uop_op op) {
  return put(m, (lin_ins){.op = (uint8_t)op, .dtype = WN_I64, .lanes = 1});
}

static uint32_t binary(maker *m, uop_op op, wn_dtype dtype, uint32_t x, uint32_t y) {
  return put(m, (lin_ins){.op = (uint8_t)op,
                          .dtype = (uint8_t)dtype,
                          .lanes = m->k->ins.data[x].lanes,
                          .nsrc = 2,
                          .src = {x, y}});
}

static uint32_t times(maker *m, uint32_t x, int64_t factor) {
  return binary(m, OP_MUL, WN_I64, x, whole(m, factor));
}

static uint32_t plus(maker *m, uint32_t x, uint32_t y) { return binary(m, OP_ADD, WN_I64, x, y); }

static uint32_t load(maker *m, int64_t array, wn_dtype dtype, int lanes, uint32_t at,
                     int64_t disp) {
  return put(m, (lin_ins){.op = OP_LOAD,
                          .dtype = (uint8_t)dtype,
                          .lanes = (uint16_t)lanes,
                          .nsrc = 1,
                          .whole = lanes > 1,
                          .src = {at},
                          .i = array,
                          .disp = disp,
                          .j = 1});
}

static void save(maker *m, int64_t array, uint32_t at, uint32_t value, int64_t disp) {
  put(m, (lin_ins){.op = OP_STORE,
                   .lanes = m->k->ins.data[value].lanes,
                   .nsrc = 2,
                   .whole = m->k->ins.data[value].lanes > 1,
                   .src = {at, value},
                   .i = array,
                   .disp = disp,
                   .j = 1});
}

static uint32_t open_loop(maker *m, int64_t trips) {
  return put(m, (lin_ins){.op = OP_LOOP, .dtype = WN_I64, .lanes = 1, .i = trips});
}

static void close_scope(maker *m, uint32_t head) {
  put(m, (lin_ins){.op = OP_END, .nsrc = 1, .src = {head}});
}

static uint32_t variable(maker *m, uint32_t first) {
  lin_ins start = m->k->ins.data[first];
  return put(
      m, (lin_ins){
             .op = OP_ACC, .dtype = start.dtype, .lanes = start.lanes, .nsrc = 1, .src = {first}});
}

static void set(maker *m, uint32_t variable, uint32_t value) {
  put(m, (lin_ins){.op = OP_ACC_SET, .nsrc = 2, .src = {variable, value}});
}

static int64_t array(maker *m, const char *name, wn_dtype dtype, uop_space space, int64_t len) {
  lin_array x = {.name = name,
                 .dtype = dtype,
                 .space = space,
                 .len = len,
                 .read = true,
                 .written = true,
                 .aligned = true};
  if (space == SPACE_GLOBAL) {
    x.slot = (int)m->k->arrays.len;
    x.read = x.slot == 0;
    x.written = !x.read;
  } else {
    m->k->scratch_bytes = (size_t)len * wn_dtype_size(dtype);
  }
  vec_push(m->a, &m->k->arrays, x);
  return (int64_t)m->k->arrays.len - 1;
}

/* Stores the vector at the start of the array if its first lane is a number that it never is. */
static void keep(maker *m, int64_t to, uint32_t value) {
  static const double never = -1.5e38;
  uint32_t first = value;
  if (m->k->ins.data[value].lanes > 1)
    first =
        put(m, (lin_ins){.op = OP_EXTRACT, .dtype = WN_F32, .lanes = 1, .nsrc = 1, .src = {value}});
  uint32_t number = put(m, (lin_ins){.op = OP_CONST, .dtype = WN_F32, .lanes = 1, .f = never});
  uint32_t same = binary(m, OP_EQ, WN_BOOL, first, number);
  uint32_t inside = put(m, (lin_ins){.op = OP_IF, .nsrc = 1, .src = {same}});
  save(m, to, whole(m, 0), value, 0);
  close_scope(m, inside);
}

static uint32_t as_whole(maker *m, uint32_t i32) {
  return put(m, (lin_ins){.op = OP_CAST, .dtype = WN_I64, .lanes = 1, .nsrc = 1, .src = {i32}});
}

static uint32_t everywhere(maker *m, uint32_t scalar) {
  lin_ins u = {
      .op = OP_BROADCAST, .dtype = WN_F32, .lanes = (uint16_t)m->lanes, .nsrc = 1, .src = {scalar}};
  return m->lanes > 1 ? put(m, u) : scalar;
}

/* --- kernels ---------------------------------------------------------------------------------- */

/* In: a factor of 1 and a summand of 0. */
static double make_fma(maker *m, bool fused) {
  enum { MOST = 12 };
  if (m->items > 1)
    m->lanes = CHAIN_LANES; /* of each work item; the others cover what is left of the latency */
  int chains = m->items > 1 ? MOST / 3 : MOST;
  int64_t in = array(m, "in", WN_F32, SPACE_GLOBAL, 2);
  int64_t out = array(m, "out", WN_F32, SPACE_GLOBAL, PROBE_OUT_BYTES / 4);
  uint32_t zero = whole(m, 0), chain[MOST];
  uint32_t a = everywhere(m, load(m, in, WN_F32, 1, zero, 0));
  uint32_t b = everywhere(m, load(m, in, WN_F32, 1, zero, 1));
  for (int i = 0; i < chains; ++i) chain[i] = variable(m, b);
  uint32_t loop = open_loop(m, ROUNDS);
  for (int i = 0; i < STEPS * chains; ++i) {
    uint32_t x = chain[i % chains];
    lin_ins u = {
        .op = OP_FMA, .dtype = WN_F32, .lanes = (uint16_t)m->lanes, .nsrc = 3, .src = {x, a, b}};
    set(m, x, fused ? put(m, u) : binary(m, OP_ADD, WN_F32, binary(m, OP_MUL, WN_F32, x, a), b));
  }
  close_scope(m, loop);
  uint32_t sum = chain[0];
  for (int i = 1; i < chains; ++i) sum = binary(m, OP_ADD, WN_F32, sum, chain[i]);
  keep(m, out, sum);
  return 2.0 * (int)ROUNDS * (int)STEPS * chains * m->lanes * m->items;
}

/* Where the vector of this work item in a round begins; the vectors of a group follow each other. */
static uint32_t vector_at(maker *m, uint32_t group, int64_t rounds, uint32_t round) {
  uint32_t at = plus(m, times(m, group, rounds), round);
  if (m->items > 1) at = plus(m, times(m, at, m->items), leaf(m, OP_LANE));
  return m->lanes > 1 ? times(m, at, m->lanes) : at;
}

/* What one group copies or reads: enough to be worth starting it, few enough for all that the device has. */
static int64_t group_bytes(const maker *m) { return m->items > 1 ? 16 << 10 : 128 << 10; }

/* Floats from a work item's vector to its next one. */
static int64_t stride(const maker *m) { return (int64_t)m->items * m->lanes; }

static int64_t rounds_of(const maker *m) {
  return group_bytes(m) / ((int64_t)sizeof(float) * stride(m));
}

static double make_copy(maker *m, int64_t floats) {
  int64_t in = array(m, "in", WN_F32, SPACE_GLOBAL, floats), rounds = rounds_of(m);
  int64_t out = array(m, "out", WN_F32, SPACE_GLOBAL, floats);
  uint32_t value[LOADS], group = leaf(m, OP_GRID), loop = open_loop(m, rounds / LOADS);
  uint32_t at = vector_at(m, group, rounds, times(m, loop, LOADS));
  for (int i = 0; i < LOADS; ++i) value[i] = load(m, in, WN_F32, m->lanes, at, i * stride(m));
  for (int i = 0; i < LOADS; ++i) save(m, out, at, value[i], i * stride(m));
  close_scope(m, loop);
  return 2.0 * (double)group_bytes(m);
}

/* Groups read all of the array again and again, each another part of it. */
static double make_cache(maker *m, int64_t floats) {
  int64_t in = array(m, "in", WN_F32, SPACE_GLOBAL, floats), rounds = rounds_of(m);
  int64_t out = array(m, "out", WN_F32, SPACE_GLOBAL, PROBE_OUT_BYTES / 4);
  uint32_t parts = whole(m, floats * (int64_t)sizeof(float) / group_bytes(m)), sum[LOADS];
  uint32_t part = binary(m, OP_MOD, WN_I64, leaf(m, OP_GRID), parts);
  uint32_t zero = put(m, (lin_ins){.op = OP_CONST, .dtype = WN_F32, .lanes = (uint16_t)m->lanes});
  for (int i = 0; i < LOADS; ++i) sum[i] = variable(m, zero);
  uint32_t loop = open_loop(m, rounds / LOADS),
           at = vector_at(m, part, rounds, times(m, loop, LOADS));
  for (int i = 0; i < LOADS; ++i) {
    uint32_t value = load(m, in, WN_F32, m->lanes, at, i * stride(m));
    set(m, sum[i], binary(m, OP_ADD, WN_F32, sum[i], value));
  }
  close_scope(m, loop);
  for (int i = 1; i < LOADS; ++i) sum[0] = binary(m, OP_ADD, WN_F32, sum[0], sum[i]);
  keep(m, out, sum[0]);
  return (double)group_bytes(m);
}

/* Neighbouring work items read neighbouring vectors. In: the floats from one round to the next. */
static double make_local(maker *m) {
  int64_t span = LOADS * stride(m), own = LOCAL_FLOATS + span;
  int64_t in = array(m, "in", WN_I32, SPACE_GLOBAL, 1);
  int64_t out = array(m, "out", WN_F32, SPACE_GLOBAL, PROBE_OUT_BYTES / 4);
  int64_t local = array(m, "local", WN_F32, SPACE_LOCAL, own);
  uint32_t sum[LOADS],
      zero = put(m, (lin_ins){.op = OP_CONST, .dtype = WN_F32, .lanes = (uint16_t)m->lanes});
  uint32_t lane = m->items > 1 ? leaf(m, OP_LANE) : whole(m, 0);
  uint32_t fill = open_loop(m, own / stride(m));
  save(m, local, plus(m, times(m, fill, stride(m)), lane), zero, 0);
  close_scope(m, fill);
  if (m->items > 1) put(m, (lin_ins){.op = OP_BARRIER, .i = 1});
  uint32_t start = whole(m, 0), step = as_whole(m, load(m, in, WN_I32, 1, start, 0)),
           at = variable(m, start);
  for (int i = 0; i < LOADS; ++i) sum[i] = variable(m, zero);
  uint32_t loop = open_loop(m, ROUNDS), from = plus(m, at, lane);
  for (int i = 0; i < LOADS; ++i) {
    uint32_t value = load(m, local, WN_F32, m->lanes, from, i * stride(m));
    set(m, sum[i], binary(m, OP_ADD, WN_F32, sum[i], value));
  }
  uint32_t next = plus(m, at, step), end = whole(m, LOCAL_FLOATS);
  uint32_t fits = binary(m, OP_LT, WN_BOOL, next, end);
  set(m, at,
      put(m,
          (lin_ins){
              .op = OP_WHERE, .dtype = WN_I64, .lanes = 1, .nsrc = 3, .src = {fits, next, start}}));
  close_scope(m, loop);
  for (int i = 1; i < LOADS; ++i) sum[0] = binary(m, OP_ADD, WN_F32, sum[0], sum[i]);
  keep(m, out, sum[0]);
  return (double)ROUNDS * (double)span * sizeof(float);
}

static double make_empty(maker *m) {
  int64_t in = array(m, "in", WN_F32, SPACE_GLOBAL, 2);
  int64_t out = array(m, "out", WN_F32, SPACE_GLOBAL, PROBE_OUT_BYTES / 4);
  keep(m, out, load(m, in, WN_F32, 1, whole(m, 0), 0));
  return 0;
}

probe_kernel device_probe_kernel(arena *a, device_probe which, const machine *target,
                                 size_t bytes) {
  static const char *const names[PROBES] = {"probe_fma", "probe_copy", "probe_cache", "probe_local",
                                            "probe_empty"};
  bool groups = target->group > 1;
  maker m = {.a = a, .k = arena_new(a, lin_kernel)};
  for (m.items = 1; 2 * m.items <= GROUP && 2 * m.items <= target->group;) m.items *= 2;
  m.lanes = groups ? 1 : target->vector_bytes / (int)sizeof(float);
  probe_kernel p = {.kernel = m.k, .groups = (int64_t)1 << 20};
  m.k->name = m.k->stage = arena_printf(a, "%s_%zu", names[which], bytes);
  m.k->loops = "";
  m.k->group = groups ? m.items : 0;
  m.k->narrow = true;
  int64_t floats = (int64_t)(bytes / sizeof(float));
  if (which == PROBE_FMA) p.work = make_fma(&m, target->fma);
  if (which == PROBE_COPY) p.work = make_copy(&m, floats);
  if (which == PROBE_CACHE) p.work = make_cache(&m, floats);
  if (which == PROBE_LOCAL) p.work = make_local(&m);
  if (which == PROBE_EMPTY) p.work = make_empty(&m);
  if (which == PROBE_COPY) p.groups = (int64_t)bytes / group_bytes(&m);
  m.k->grid = p.groups;
  return p;
}
