/* Stores whose lanes lie far apart, transposed in registers into contiguous stores.
 *
 * In: the stores of a nest's body, of which some write neighbouring elements with lanes a plane apart: a register tile
 * of pixels by output channels, channels on the lanes, while the array has pixels next to each other. Out: the tile is
 * transposed by shuffles, two vectors at a time, and written a row of pixels at a time. A row that is no power of two
 * long is covered by two that overlap: what is written twice is the same value from the same register.
 * Always holds: the same elements are written as without it. Conditions of a tile are asked once: where all of them
 * hold the tile is transposed, else it is stored lane by lane; lanes that are never stored are left out, and rows of
 * which different lanes are, are different tiles. */
#include <stdlib.h>

#include "kernel/build.h"

enum { FAR = 8, TILE = 32, MOST_ROWS = 8 };

typedef struct lane_term { /* a condition of a store */
  uint64_t never;          /* lanes in which it does not hold, whatever the loops are at */
  /* scalar: it holds in all other lanes where this does; NULL: it is none that says so */
  const uop *where;
} lane_term;

typedef struct far_store { /* lane l goes to base + disp + stride * l */
  const store_ref *ref;
  size_t number;
  const uop *base;
  int64_t stride, disp;
  uint64_t never; /* lanes that are not stored, ever */
} far_store;

typedef struct tile_store { /* neighbours: disp, disp + 1, ... */
  int n;
  far_store row[TILE];
} tile_store;

typedef struct transposer {
  builder *b;
  int64_t slot;
  map terms;        /* node id -> lane_term *: stores have most of them in common */
  far_store *store; /* by number; base NULL: it is none */
} transposer;

/* --- conditions ------------------------------------------------------------------------------- */

static const uop *at_lane(builder *b, const uop *term, int64_t lane) {
  const uop *l = uop_int(b->g, lane);
  return simplify(b->g, uop_replace(b->g, term, 1, &b->vector, &l));
}

/* A condition that moves with the lanes holds in all that it does not rule out if it does in the first and the last. */
static lane_term look_at_term(builder *b, const uop *term) {
  lane_term t = {0};
  linear_form f;
  if (!is_vector(b, term)) return (lane_term){.where = term};
  if (term->op != OP_LT || !linear_of(term->src[0], &f) || !linear_of(term->src[1], &f)) return t;
  const uop *first = NULL, *last = NULL;
  for (int64_t l = 0; l < b->lanes; ++l) {
    const uop *at = at_lane(b, term, l);
    if (uop_is_int(at, 0)) {
      t.never |= UINT64_C(1) << l;
      continue;
    }
    if (first == NULL) first = at;
    last = at;
  }
  if (first != NULL) t.where = uop_and(b->g, first, last);
  return t;
}

static const lane_term *term_of(transposer *t, const uop *term) {
  lane_term *known = map_get_ptr(&t->terms, term->id);
  if (known != NULL) return known;
  known = arena_new(t->b->a, lane_term);
  *known = look_at_term(t->b, term);
  map_put_ptr(&t->terms, term->id, known);
  return known;
}

static bool describe(transposer *t, const store_ref *ref, far_store *s) {
  builder *b = t->b;
  s->ref = ref;
  if (!split_lanes(b, ref->offset, &s->base, &s->stride, &s->disp) || llabs(s->stride) <= FAR ||
      !is_vector(b, ref->value))
    return false;
  condition_list all = ref->mask != NULL ? conditions_of(b->a, ref->mask) : (condition_list){0};
  for (size_t k = 0; k < all.len; ++k) {
    const lane_term *term = term_of(t, all.at[k]);
    if (term->where == NULL) return false;
    s->never |= term->never;
  }
  return true;
}

/* What must hold for all of the tile to be stored, but for lanes that never are. */
static const uop *condition_of(transposer *t, const tile_store *tile) {
  const uop *all = uop_bool(t->b->g, true);
  for (int i = 0; i < tile->n; ++i) {
    const uop *mask = tile->row[i].ref->mask;
    condition_list c = mask != NULL ? conditions_of(t->b->a, mask) : (condition_list){0};
    for (size_t k = 0; k < c.len; ++k) all = uop_and(t->b->g, all, term_of(t, c.at[k])->where);
  }
  return simplify(t->b->g, all);
}

/* --- transposing ------------------------------------------------------------------------------ */

/* x and y with the odd blocks of s lanes of x and the even ones of y exchanged. */
static void exchange(builder *b, int s, uint32_t *x, uint32_t *y) {
  int64_t low[64], high[64], lanes = b->lanes;
  for (int64_t l = 0; l < lanes; ++l) {
    low[l] = l & s ? lanes + (l ^ s) : l;
    high[l] = l & s ? lanes + l : l ^ s;
  }
  uint32_t first = build_shuffle(b, b->cur, *x, *y, b->lanes, low);
  *y = build_shuffle(b, b->cur, *x, *y, b->lanes, high);
  *x = first;
}

/* Within each group of four lanes: n = 1, lanes of x and y in turn; n = 2, pairs of them. From the group's lower or
 * upper
 * half: every x86 since SSE has these as one instruction. */
static uint32_t unpack(builder *b, uint32_t x, uint32_t y, int n, bool upper) {
  int64_t pick[64], lanes = b->lanes;
  for (int64_t l = 0; l < lanes; ++l) {
    int64_t in = l % 4, group = l - in + (upper ? 2 : 0);
    pick[l] = n == 1 ? group + in / 2 + (in % 2) * lanes : group + in % 2 + (in / 2) * lanes;
  }
  return build_shuffle(b, b->cur, x, y, b->lanes, pick);
}

static void transpose_four(builder *b, uint32_t *v) {
  uint32_t t0 = unpack(b, v[0], v[1], 1, false), t1 = unpack(b, v[0], v[1], 1, true);
  uint32_t t2 = unpack(b, v[2], v[3], 1, false), t3 = unpack(b, v[2], v[3], 1, true);
  v[0] = unpack(b, t0, t2, 2, false);
  v[1] = unpack(b, t0, t2, 2, true);
  v[2] = unpack(b, t1, t3, 2, false);
  v[3] = unpack(b, t1, t3, 2, true);
}

/* rows (a power of two) vectors: afterwards lane l of vector r is what lane r + (l - l % rows) of vector l % rows was.
 * */
static void transpose(builder *b, int rows, uint32_t *v) {
  int s = 1;
  if (rows >= 4) {
    for (int r = 0; r < rows; r += 4) transpose_four(b, v + r);
    s = 4;
  }
  for (; s < rows; s *= 2) {
    for (int r = 0; r < rows; ++r) {
      if (!(r & s)) exchange(b, s, &v[r], &v[r + s]);
    }
  }
}

static void store_rows(builder *b, int64_t slot, const tile_store *t, int from, int rows) {
  uint32_t v[TILE];
  uint64_t never = t->row[from].never; /* of the other rows too */
  int64_t pick[64];
  for (int r = 0; r < rows; ++r) v[r] = emit_vector(b, t->row[from + r].ref->value);
  transpose(b, rows, v);
  for (int l = 0; l < b->lanes; ++l) {
    if (never >> l & 1) continue;
    uint32_t value = v[l % rows];
    for (int r = 0; r < rows; ++r) pick[r] = l - l % rows + r;
    if (rows < b->lanes) value = build_shuffle(b, b->cur, value, value, rows, pick);
    lin_ins ins = {.op = OP_STORE, .dtype = WN_DTYPE_COUNT, .nsrc = 2, .lanes = (uint16_t)rows};
    ins.i = build_array(b, slot);
    ins.src[0] = emit(b, t->row[from].base);
    ins.src[1] = value;
    ins.disp = t->row[from].disp + l * t->row[from].stride;
    ins.j = 1;
    build_ins(b, b->cur, ins);
    prefetch_next(b, &ins, slot, t->row[from].base);
  }
}

static void store_tile(builder *b, int64_t slot, const tile_store *t) {
  int rows = 1, at = 0;
  while (2 * rows <= t->n && 2 * rows <= b->lanes && 2 * rows <= MOST_ROWS) rows *= 2;
  for (; at + rows <= t->n; at += rows) store_rows(b, slot, t, at, rows);
  int rest = t->n - at, cover = 2;
  if (rest == 0) return;
  while (cover < rest) cover *= 2;
  store_rows(b, slot, t, t->n - cover, cover);
}

/* --- finding tiles ---------------------------------------------------------------------------- */

static void add_row(tile_store *t, const far_store *s) {
  int at = t->n++;
  for (; at > 0 && t->row[at - 1].disp > s->disp; --at) t->row[at] = t->row[at - 1];
  t->row[at] = *s;
}

/* The stores that go next to this one in the same lanes, without gaps around it. */
static void find_tile(const transposer *t, size_t n, const bool *done, const far_store *seed,
                      tile_store *tile) {
  tile_store all = {0};
  add_row(&all, seed);
  for (size_t j = seed->number + 1; j < n && all.n < TILE; ++j) {
    const far_store *s = &t->store[j];
    if (done[j] || s->base != seed->base || s->stride != seed->stride || s->never != seed->never)
      continue;
    if (llabs(s->disp - seed->disp) < TILE) add_row(&all, s);
  }
  int at = 0;
  while (all.row[at].number != seed->number) ++at;
  int first = at, last = at;
  while (first > 0 && all.row[first - 1].disp == all.row[first].disp - 1) --first;
  while (last + 1 < all.n && all.row[last + 1].disp == all.row[last].disp + 1) ++last;
  *tile = (tile_store){.n = last + 1 - first};
  for (int i = 0; i < tile->n; ++i) tile->row[i] = all.row[first + i];
}

static void store_if(transposer *t, const tile_store *tile, const uop *all) {
  builder *b = t->b;
  bool always = uop_is_int(all, 1);
  if (!always) emit_open_if(b, all, 1.0);
  store_tile(b, t->slot, tile);
  if (always) return;
  build_close(b);
  emit_open_if(b, uop_alu1(b->g, OP_NOT, all), 0.0);
  for (int r = 0; r < tile->n; ++r) {
    const store_ref *ref = tile->row[r].ref;
    build_store(b, t->slot, ref->offset, ref->value, ref->mask);
  }
  build_close(b);
}

void transpose_stores(builder *b, int64_t slot, size_t n, const store_ref *stores, bool *done) {
  if (b->lanes < 4) return;
  transposer t = {.b = b, .slot = slot};
  map_init(&t.terms, b->a);
  t.store = arena_array(b->a, far_store, n);
  for (size_t i = 0; i < n; ++i) {
    t.store[i].number = i;
    if (done[i] || !describe(&t, &stores[i], &t.store[i])) t.store[i].base = NULL;
  }
  for (size_t i = 0; i < n; ++i) {
    tile_store tile;
    if (done[i] || t.store[i].base == NULL) continue;
    find_tile(&t, n, done, &t.store[i], &tile);
    const uop *all = tile.n < 2 ? uop_bool(b->g, false) : condition_of(&t, &tile);
    if (uop_is_int(all, 0)) continue;
    store_if(&t, &tile, all);
    for (int r = 0; r < tile.n; ++r) done[tile.row[r].number] = true;
  }
}
