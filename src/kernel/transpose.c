/* Stores whose lanes lie far apart while their values are neighbours in memory: output channels in the lanes of an NCHW
 * image.
 *
 * In: the stores of a nest's body. Out: runs of 2 or 4 neighbouring stores are transposed in registers and stored piece by
 * piece, a piece for each lane. Always holds: the pieces are stored where every lane of every store of the run is inside;
 * elsewhere the run is stored as it came, behind the opposite condition. */
#include <stdlib.h>

#include "kernel/build.h"

enum { PIECE_BYTES = 16, MOST_PIECE = 4, NEAR = 8 };

typedef struct far_store {
  const uop *base; /* of the offset, scalar, without the constant */
  int64_t stride, disp;
  size_t number; /* in the list of stores */
} far_store;

static bool describe_store(builder *b, const uop *offset, far_store *out) {
  linear_form f;
  if (!linear_of(offset, &f)) return false;
  *out = (far_store){.disp = f.constant};
  f.constant = 0;
  int keep = 0;
  for (int i = 0; i < f.n; ++i) {
    if (f.atom[i] == b->vector) {
      out->stride = f.coeff[i];
      continue;
    }
    if (is_vector(b, f.atom[i])) return false;
    f.atom[keep] = f.atom[i];
    f.coeff[keep++] = f.coeff[i];
  }
  f.n = keep;
  out->base = linear_to_uop(b->g, &f);
  return out->stride > NEAR || out->stride < -NEAR;
}

/* --- where all lanes are inside --------------------------------------------------------------------------------------- */

/* A scalar condition under which `valid` holds in every lane; NULL where there is none to be seen. */
static const uop *in_every_lane(builder *b, const uop *valid) {
  if (!is_vector(b, valid)) return valid;
  if (valid->op == OP_AND) {
    const uop *x = in_every_lane(b, valid->src[0]), *y = in_every_lane(b, valid->src[1]);
    return x != NULL && y != NULL ? uop_and(b->g, x, y) : NULL;
  }
  linear_form f;
  if (valid->op != OP_LT || is_vector(b, valid->src[1]) || !linear_of(valid->src[0], &f))
    return NULL;
  int64_t worst = 0;
  for (int i = 0; i < f.n; ++i) {
    if (f.atom[i] == b->vector) worst = f.coeff[i] > 0 ? b->lanes - 1 : 0;
  }
  const uop *lane = uop_int(b->g, worst);
  return simplify(b->g, uop_replace(b->g, valid, 1, &b->vector, &lane));
}

static const uop *whole_run(builder *b, const store_ref *stores, const far_store *run, int64_t n) {
  const uop *all = uop_bool(b->g, true);
  for (int64_t i = 0; i < n; ++i) {
    const uop *mask = stores[run[i].number].mask;
    const uop *inside = mask != NULL ? in_every_lane(b, mask) : uop_bool(b->g, true);
    if (inside == NULL) return NULL;
    all = uop_and(b->g, all, inside);
  }
  return simplify(b->g, all);
}

/* --- the pieces --------------------------------------------------------------------------------------------------------- */

static uint32_t shuffle(builder *b, uint32_t x, uint32_t y, int64_t lanes, const int64_t *pick) {
  lin_ins ins = {
      .op = OP_SHUFFLE, .dtype = b->pool.data[x].dtype, .lanes = (uint16_t)lanes, .nsrc = 2};
  ins.src[0] = x;
  ins.src[1] = y;
  ins.list = intern_list(b->g, (int)lanes, pick);
  return build_ins(b, b->cur, ins);
}

/* Interleaves x and y in units of `unit` lanes within each block of `block` lanes: its lower half or its upper half. */
static uint32_t unpack(builder *b, uint32_t x, uint32_t y, int64_t unit, int64_t block,
                       bool upper) {
  int64_t pick[64];
  for (int64_t l = 0; l < b->lanes; ++l) {
    int64_t in = l % block, pair = in / (2 * unit), from = pair * unit + in % unit;
    int64_t lane = l - in + from + (upper ? block / 2 : 0);
    pick[l] = in / unit % 2 ? b->lanes + lane : lane;
  }
  return shuffle(b, x, y, b->lanes, pick);
}

/* n vectors, whose lane l together is a piece, into n vectors in which pieces stand together: lane l's is in vector
 * l % n, at l - l % n. */
static void transpose_blocks(builder *b, int64_t n, const uint32_t *in, uint32_t *out) {
  if (n == 2) {
    for (int i = 0; i < 2; ++i) out[i] = unpack(b, in[0], in[1], 1, 2, i == 1);
    return;
  }
  uint32_t low[2], high[2];
  for (int i = 0; i < 2; ++i) {
    low[i] = unpack(b, in[2 * i], in[2 * i + 1], 1, 4, false);
    high[i] = unpack(b, in[2 * i], in[2 * i + 1], 1, 4, true);
  }
  for (int i = 0; i < 2; ++i) {
    out[i] = unpack(b, low[0], low[1], 2, 4, i == 1);
    out[2 + i] = unpack(b, high[0], high[1], 2, 4, i == 1);
  }
}

static void store_pieces(builder *b, int64_t slot, const far_store *run, int64_t n,
                         const uint32_t *value) {
  uint32_t block[MOST_PIECE];
  transpose_blocks(b, n, value, block);
  lin_ins ins = {.op = OP_STORE, .dtype = WN_DTYPE_COUNT, .lanes = (uint16_t)n, .nsrc = 2, .j = 1};
  ins.i = build_array(b, slot);
  ins.src[0] = emit(b, run[0].base);
  for (int64_t l = 0; l < b->lanes; ++l) {
    int64_t pick[MOST_PIECE];
    for (int64_t i = 0; i < n; ++i) pick[i] = l - l % n + i;
    ins.disp = run[0].disp + l * run[0].stride;
    ins.src[1] = b->lanes == n ? block[l % n] : shuffle(b, block[l % n], block[l % n], n, pick);
    build_ins(b, b->cur, ins);
  }
}

/* --- runs ----------------------------------------------------------------------------------------------------------------- */

static void open_if(builder *b, const uop *condition, double share) {
  lin_ins in = {.op = OP_IF, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 1};
  in.src[0] = emit(b, condition);
  build_open(b, build_head(b, in))->share = share;
}

static bool store_run(builder *b, int64_t slot, const store_ref *stores, const far_store *run,
                      int64_t n) {
  const uop *whole = whole_run(b, stores, run, n);
  if (whole == NULL || uop_is_int(whole, 0)) return false;
  uint32_t value[MOST_PIECE];
  for (int64_t i = 0; i < n; ++i) value[i] = emit_vector(b, stores[run[i].number].value);
  if (uop_is_int(whole, 1)) {
    store_pieces(b, slot, run, n, value);
    return true;
  }
  open_if(b, whole, 1);
  store_pieces(b, slot, run, n, value);
  build_close(b);
  open_if(b, uop_new(b->g, OP_NOT, WN_BOOL, 1, &whole, (uop_arg){0}), 0);
  for (int64_t i = 0; i < n; ++i) {
    const store_ref *s = &stores[run[i].number];
    if (!uop_is_int(s->mask, 0)) build_store(b, slot, s->offset, s->value, s->mask);
  }
  build_close(b);
  return true;
}

static int by_place(const void *x, const void *y) {
  const far_store *a = x, *c = y;
  if (a->base->id != c->base->id) return a->base->id < c->base->id ? -1 : 1;
  if (a->stride != c->stride) return a->stride < c->stride ? -1 : 1;
  return a->disp < c->disp ? -1 : a->disp > c->disp;
}

static bool follows(const far_store *a, const far_store *next) {
  return a->base == next->base && a->stride == next->stride && next->disp == a->disp + 1;
}

void transpose_stores(builder *b, int64_t slot, size_t n, const store_ref *stores, bool *done) {
  if (b->lanes < MOST_PIECE || b->lanes % MOST_PIECE != 0) return;
  wn_dtype dtype = register_dtype(b->set->arrays.data[slot].dtype);
  int64_t most = PIECE_BYTES / (int64_t)wn_dtype_size(dtype);
  if (most > MOST_PIECE) most = MOST_PIECE;
  far_store *far = arena_array(b->a, far_store, n + 1);
  size_t count = 0;
  for (size_t i = 0; i < n; ++i) {
    if (done[i] || !describe_store(b, stores[i].offset, &far[count])) continue;
    far[count++].number = i;
  }
  qsort(far, count, sizeof *far, by_place);
  for (size_t i = 0; i < count;) {
    size_t run = 1;
    while (i + run < count && follows(&far[i + run - 1], &far[i + run])) ++run;
    int64_t take = most;
    while (take > (int64_t)run) take /= 2;
    if (take > 1 && store_run(b, slot, stores, &far[i], take)) {
      for (int64_t k = 0; k < take; ++k) done[far[i + (size_t)k].number] = true;
    }
    i += (size_t)take;
  }
}
