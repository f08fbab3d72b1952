/* Stores whose lanes lie far apart, transposed in registers into contiguous stores.
 *
 * In: the stores of a nest's body, of which some write neighbouring elements with lanes a plane apart: a register tile of
 * pixels by output channels, channels on the lanes, while the array has pixels next to each other. Out: the tile is
 * transposed by shuffles, two vectors at a time, and written a row of pixels at a time. A row that is no power of two
 * long is covered by two that overlap: what is written twice is the same value from the same register.
 * Always holds: the same elements are written as without it. Conditions of a tile are asked once: where all of them hold
 * the tile is transposed, else it is stored lane by lane; lanes that never exist are left out. */
#include <stdlib.h>

#include "kernel/build.h"

enum { FAR = 8, TILE = 32, MOST_ROWS = 8, TERMS = 40 };

typedef struct far_store { /* lane l goes to base + disp + stride * l */
  const store_ref *ref;
  size_t number;
  const uop *base;
  int64_t stride, disp;
} far_store;

typedef struct tile_store { /* neighbours: disp, disp + 1, ... */
  int n;
  far_store row[TILE];
  const uop *all;  /* scalar: what must hold for all of it to exist */
  bool absent[64]; /* lanes that never do */
} tile_store;

static bool describe(builder *b, const store_ref *ref, far_store *s) {
  s->ref = ref;
  return split_lanes(b, ref->offset, &s->base, &s->stride, &s->disp) && llabs(s->stride) > FAR &&
         is_vector(b, ref->value);
}

/* --- conditions -------------------------------------------------------------------------------------------------------- */

static const uop *at_lane(builder *b, const uop *term, int64_t lane) {
  const uop *l = uop_int(b->g, lane);
  return simplify(b->g, uop_replace(b->g, term, 1, &b->vector, &l));
}

/* A condition that moves with the lanes holds in all that exist if it does in the first and the last of them. */
static bool add_lane_term(builder *b, tile_store *t, const uop *term) {
  linear_form f;
  if (term->op != OP_LT || !linear_of(term->src[0], &f) || !linear_of(term->src[1], &f))
    return false;
  int64_t first = -1, last = -1;
  for (int64_t l = 0; l < b->lanes; ++l) {
    bool never = uop_is_int(at_lane(b, term, l), 0);
    t->absent[l] |= never;
    if (!never && first < 0) first = l;
    if (!never) last = l;
  }
  if (first < 0) return false;
  t->all = uop_and(b->g, t->all, at_lane(b, term, first));
  t->all = uop_and(b->g, t->all, at_lane(b, term, last));
  return true;
}

static bool add_terms(builder *b, tile_store *t, const uop *mask, int *nseen, const uop **seen) {
  conditions all = conditions_of(b->a, mask);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    bool known = false;
    for (int i = 0; i < *nseen; ++i) known |= seen[i] == u;
    if (known) continue;
    if (*nseen == TERMS) return false;
    seen[(*nseen)++] = u;
    if (!is_vector(b, u))
      t->all = uop_and(b->g, t->all, u);
    else if (!add_lane_term(b, t, u))
      return false;
  }
  return true;
}

static bool find_conditions(builder *b, tile_store *t) {
  const uop *seen[TERMS];
  int nseen = 0;
  t->all = uop_bool(b->g, true);
  for (int i = 0; i < t->n; ++i) {
    const uop *mask = t->row[i].ref->mask;
    if (mask != NULL && !add_terms(b, t, mask, &nseen, seen)) return false;
  }
  t->all = simplify(b->g, t->all);
  return !uop_is_int(t->all, 0);
}

/* --- transposing --------------------------------------------------------------------------------------------------------- */

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

/* Within each group of four lanes: n = 1, lanes of x and y in turn; n = 2, pairs of them. From the group's lower or upper
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

/* rows (a power of two) vectors: afterwards lane l of vector r is what lane r + (l - l % rows) of vector l % rows was. */
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
  int64_t pick[64];
  for (int r = 0; r < rows; ++r) v[r] = emit_vector(b, t->row[from + r].ref->value);
  transpose(b, rows, v);
  for (int l = 0; l < b->lanes; ++l) {
    if (t->absent[l]) continue;
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

/* --- finding tiles ---------------------------------------------------------------------------------------------------------- */

static void add_row(tile_store *t, const far_store *s) {
  int at = t->n++;
  for (; at > 0 && t->row[at - 1].disp > s->disp; --at) t->row[at] = t->row[at - 1];
  t->row[at] = *s;
}

/* The stores that go next to this one, without gaps around it. */
static void find_tile(builder *b, size_t n, const store_ref *stores, const bool *done,
                      const far_store *seed, tile_store *t) {
  tile_store all = {0};
  add_row(&all, seed);
  for (size_t j = seed->number + 1; j < n && all.n < TILE; ++j) {
    far_store s = {.number = j};
    if (done[j] || !describe(b, &stores[j], &s)) continue;
    if (s.base == seed->base && s.stride == seed->stride && llabs(s.disp - seed->disp) < TILE)
      add_row(&all, &s);
  }
  int at = 0;
  while (all.row[at].number != seed->number) ++at;
  int first = at, last = at;
  while (first > 0 && all.row[first - 1].disp == all.row[first].disp - 1) --first;
  while (last + 1 < all.n && all.row[last + 1].disp == all.row[last].disp + 1) ++last;
  *t = (tile_store){.n = last + 1 - first};
  for (int i = 0; i < t->n; ++i) t->row[i] = all.row[first + i];
}

void transpose_stores(builder *b, int64_t slot, size_t n, const store_ref *stores, bool *done) {
  if (b->lanes < 4) return;
  for (size_t i = 0; i < n; ++i) {
    far_store seed = {.number = i};
    tile_store t;
    if (done[i] || !describe(b, &stores[i], &seed)) continue;
    find_tile(b, n, stores, done, &seed, &t);
    if (t.n < 2 || !find_conditions(b, &t)) continue;
    bool always = uop_is_int(t.all, 1);
    if (!always) build_open_if(b, t.all, 1.0);
    store_tile(b, slot, &t);
    if (!always) {
      build_close(b);
      build_open_if(b, uop_alu1(b->g, OP_NOT, t.all), 0.0);
      for (int r = 0; r < t.n; ++r) {
        const store_ref *ref = t.row[r].ref;
        build_store(b, slot, ref->offset, ref->value, ref->mask);
      }
      build_close(b);
    }
    for (int r = 0; r < t.n; ++r) done[t.row[r].number] = true;
  }
}
