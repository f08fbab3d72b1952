/* Where the loops of a value go; see loops.h. */
#include "plan/loops.h"

#include <stdlib.h>

#include "ir/walk.h"
#include "lower/lower.h"

/* Of a load: a few elements apart, and of few elements, against one far apart and of many. */
static const double NEAR_WEIGHT = 0.25, SMALL_WEIGHT = 0.25;

enum {
  FEW_READS = 8,   /* of an element; from there on it stays near */
  NEAR_STRIDE = 4, /* that shuffles make of contiguous vectors */
  LINE_ELEMENTS = 16,
  TRANSPOSED = 8, /* vectors at a time: kernel/transpose.c */
  VALUE_RANGES = WN_MAX_SPATIAL + 8,
  ROWS_AT_ONCE = 4, /* sums whose terms are lanes */
  NEAR_ELEMENTS = 160 << 10,
  WHOLE_VECTOR = 4, /* that copies share, beside one element */
  LEAST_LANES = 4   /* vectors of terms, to be worth adding lanes at the end */
};

static int64_t extent_of(const uop *b, int i) { return b->src[i + 1]->arg.j; }

/* --- what is read ----------------------------------------------------------------------------- */

/* The widest that there are vectors of, with the lanes of a loop: a number that says where all lanes read is none. */
static wn_dtype widest_vector(arena *a, const uop *value, const uop *lane) {
  uop_order own = uop_walk_value(a, value);
  wn_dtype widest = (wn_dtype)value->dtype;
  for (size_t i = 0; i < own.len; ++i) {
    const uop *u = own.at[i];
    /* all others have the dtype of something that they work on, or are places */
    if (u->op != OP_INDEX && u->op != OP_CAST && u->op != OP_REDUCE) continue;
    if (lane != NULL && !dtype_is_float(u->dtype) && !uop_has_range(u, lane)) continue;
    if (wn_dtype_size((wn_dtype)u->dtype) > wn_dtype_size(widest)) widest = (wn_dtype)u->dtype;
  }
  return widest;
}

wn_dtype widest_dtype(arena *a, const uop *value) { return widest_vector(a, value, NULL); }

int64_t array_elements(const uop *base) {
  int64_t n = 1;
  for (int i = 0; base->op == OP_BUFFER && i < base->arg.list->len; ++i) n *= base->arg.list->at[i];
  for (int i = 1; base->op == OP_BUFFERIZE && i < base->nsrc; ++i) n *= base->src[i]->arg.j;
  return n;
}

int64_t index_stride(const uop *index, const uop *range) {
  int64_t stride = 0, step = 1;
  for (int i = index->nsrc; i-- > 2;) {
    const uop *e = index->src[i];
    linear_form f;
    if (uop_has_range(e, range)) {
      if (!linear_of(e, &f)) return STRIDE_UNKNOWN;
      for (int k = 0; k < f.n; ++k) {
        if (f.atom[k] == range)
          stride += f.coeff[k] * step;
        else if (uop_has_range(f.atom[k], range))
          return STRIDE_UNKNOWN;
      }
    }
    const uop *base = index->src[0];
    if (base->op == OP_BUFFERIZE) step *= base->src[i - 1]->arg.j;
  }
  return stride;
}

/* --- sums ------------------------------------------------------------------------------------- */

bool sum_is_of_products(const uop *term) {
  return term->op == OP_MUL && term->src[0] != term->src[1];
}

bool sum_may_reorder(const uop *reduce) {
  bool best = reduce->arg.i == OP_MAX || reduce->arg.i == OP_MIN;
  return best || (reduce->arg.i == OP_ADD && reduce->dtype != WN_BOOL);
}

typedef enum { MOVES_NOT, MOVES_BY_ONE, MOVES_OTHERWISE } movement;

static movement moves(const uop *load, const uop *range) {
  if (!uop_has_range(load, range)) return MOVES_NOT;
  return index_stride(load, range) == 1 ? MOVES_BY_ONE : MOVES_OTHERWISE;
}

/* Are the terms of the sum neighbours in memory along this range, as far as they move with it? */
static bool is_contiguous(arena *a, const uop *reduce, const uop *range) {
  uop_order own = uop_walk_value(a, reduce->src[0]);
  int by_one = 0;
  for (size_t i = 0; i < own.len; ++i) {
    movement m = own.at[i]->op == OP_INDEX ? moves(own.at[i], range) : MOVES_NOT;
    if (m == MOVES_OTHERWISE) return false;
    by_one += m == MOVES_BY_ONE;
  }
  return by_one > 0;
}

const uop *sum_lane_range(arena *a, const uop *reduce, int lanes) {
  for (int i = reduce->nsrc; sum_may_reorder(reduce) && i-- > 1;) {
    const uop *r = reduce->src[i];
    if (r->arg.j >= LEAST_LANES * lanes && is_contiguous(a, reduce, r)) return r;
  }
  return NULL;
}

/* Does a load move with a loop that is summed over, of any of the value's sums? */
static bool is_of_terms(const uop_order *own, const uop *load) {
  for (size_t i = 0; i < own->len; ++i) {
    const uop *u = own->at[i];
    for (int k = 1; u->op == OP_REDUCE && k < u->nsrc; ++k)
      if (uop_has_range(load, u->src[k])) return true;
  }
  return false;
}

/* Lanes for the terms of the value's sums; 1 where v, the loop for the lanes of axes (-1: none), is better there. */
static int term_lanes(arena *a, const uop *b, const schedule *s, const machine *m, int v) {
  wn_dtype widest = widest_dtype(a, b->src[0]);
  int said = lanes_said(s, m, widest), lanes = said > 0 ? said : widest_lanes(m, widest);
  bool sums = false, strided = false;
  if (m->group > 0 || lanes < 2) return 1;
  uop_order own = uop_walk_value(a, b->src[0]);
  for (size_t i = 0; i < own.len; ++i) {
    const uop *u = own.at[i];
    if (u->op == OP_REDUCE) sums |= sum_lane_range(a, u, lanes) != NULL;
    if (u->op != OP_INDEX || v < 0 || !is_of_terms(&own, u))
      continue; /* a bias is read once a sum */
    movement by = moves(u, b->src[v + 1]);
    if (by == MOVES_BY_ONE) return 1;
    strided |= by == MOVES_OTHERWISE;
  }
  return sums && (v < 0 || strided) ? lanes : 1;
}

/* --- what kind of value ----------------------------------------------------------------------- */

typedef struct survey { /* of the loads under the value's reductions */
  bool reduces;
  int64_t innermost; /* the shortest innermost loop of a sum */
  /* loads in which neighbours of range i are neighbours in memory, and others that move with it */
  double contiguous[VALUE_RANGES];
  double strided[VALUE_RANGES]; /* a few elements apart counts less than far apart */
} survey;

/* What a load counts: in a map one that reads few elements, as a bias, stays near whatever the loops' order is. */
static double load_weight(const uop *b, const uop *load, bool reduces) {
  double others = 1; /* points that read the same element */
  for (int i = 1; i < b->nsrc; ++i)
    others *= uop_has_range(load, b->src[i]) ? 1.0 : (double)b->src[i]->arg.j;
  return reduces || others < (double)FEW_READS ? 1.0 : SMALL_WEIGHT;
}

static survey look_at(arena *a, const uop *b) {
  survey s = {0};
  uop_order all = uop_walk_value(a, b->src[0]);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_REDUCE) continue;
    int64_t extent = u->nsrc > 1 ? u->src[u->nsrc - 1]->arg.j : 1;
    if (!s.reduces || extent < s.innermost) s.innermost = extent;
    s.reduces = true;
  }
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_INDEX || u->nsrc < 3) continue;
    const double weight = load_weight(b, u, s.reduces);
    for (int i = 0; i < b->nsrc - 1; ++i) {
      if (!uop_has_range(u, b->src[i + 1])) continue;
      int64_t stride = index_stride(u, b->src[i + 1]);
      if (stride == 1)
        s.contiguous[i] += weight;
      else
        s.strided[i] += llabs(stride) <= NEAR_STRIDE ? NEAR_WEIGHT * weight : weight;
    }
  }
  return s;
}

/* The range for the lanes: neighbours in the result and in as many loads as possible, and long enough. */
static int vector_range(const uop *b, const survey *s) {
  int best = -1;
  double best_score = 0;
  for (int i = 0; i < b->nsrc - 1; ++i) {
    if (extent_of(b, i) < 2) continue;
    double room = extent_of(b, i) >= 8 ? 1.0 : (double)extent_of(b, i) / 16.0;
    double score = room * (1.0 + 4.0 * s->contiguous[i] - 3.0 * s->strided[i]);
    /* rows of the result are written from any lanes once a tile is transposed (transposed_range); of a sum it is one
     * store to many loads */
    if (uop_stride(b, i) == 1) score += (s->reduces ? 1.5 : 4.0) * room;
    if (best < 0 || score > best_score) best = i, best_score = score;
  }
  return best;
}

/* Loads that do not move with range i and so are shared by its copies; whole vectors count most. */
static int64_t sharing(arena *a, const uop *b, int i, int vector) {
  int64_t shared = 0;
  uop_order all = uop_walk_value(a, b->src[0]);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_INDEX || uop_has_range(u, b->src[i + 1])) continue;
    shared += vector >= 0 && uop_has_range(u, b->src[vector + 1]) ? WHOLE_VECTOR : 1;
  }
  return shared;
}

/* Does what the load reads for a point of range i come again, at another term of the sum, for the next point? */
static bool slides_over(const uop *load, const uop *range, const uop *term) {
  if (!uop_has_range(load, range) || !uop_has_range(load, term)) return false;
  int64_t step = index_stride(load, range), tap = index_stride(load, term);
  if (step == STRIDE_UNKNOWN || tap == STRIDE_UNKNOWN || tap == 0 || step == 0) return false;
  return tap % step == 0 || (step % tap == 0 && llabs(step / tap) < term->arg.j);
}

/* Are there windows of vectors that overlap along range i and the innermost loop of their sum? Then the vectors pass by
 * in the order in which they are added. */
static bool slides_along(arena *a, const uop *b, int i, int vector) {
  uop_order all = uop_walk_value(a, b->src[0]);
  for (size_t k = 0; k < all.len && vector >= 0; ++k) {
    const uop *reduce = all.at[k];
    if (reduce->op != OP_REDUCE || reduce->nsrc < 2) continue;
    uop_order own = uop_walk_value(a, reduce->src[0]);
    for (size_t n = 0; n < own.len; ++n) {
      const uop *load = own.at[n];
      if (load->op != OP_INDEX || moves(load, b->src[vector + 1]) != MOVES_BY_ONE) continue;
      if (slides_over(load, b->src[i + 1], reduce->src[reduce->nsrc - 1])) return true;
    }
  }
  return false;
}

/* The range for the register tile: the one whose copies share most; of equals one along which windows slide, then the
 * longest. */
static int register_range(arena *a, const uop *b, int vector) {
  int best = -1;
  int64_t most = 0;
  bool best_slides = false;
  for (int i = 0; i < b->nsrc - 1; ++i) {
    if (i == vector || extent_of(b, i) < 2) continue;
    int64_t shared = sharing(a, b, i, vector);
    bool slides = slides_along(a, b, i, vector);
    if (shared < most || (shared == 0 && !slides)) continue;
    bool longer = best >= 0 && extent_of(b, i) > extent_of(b, best);
    if (best < 0 || shared > most || (slides && !best_slides) || (slides == best_slides && longer))
      best = i, most = shared, best_slides = slides;
  }
  return best;
}

/* Is everything that range i shares small enough to stay near while all of i passes by? Then i goes outside, and what
 * is stored is written in long stretches. */
static bool shares_little(arena *a, const uop *b, int i) {
  int64_t elements = 0;
  uop_order all = uop_walk_value(a, b->src[0]);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_INDEX || uop_has_range(u, b->src[i + 1])) continue;
    elements += array_elements(u->src[0]);
  }
  return elements <= NEAR_ELEMENTS;
}

/* --- all of it -------------------------------------------------------------------------------- */

static register_tile tile_of(arena *a, const uop *b, const schedule *s, const machine *m,
                             const survey *found, const value_loops *l) {
  value_shape shape = {
      .slides = found->reduces && l->reg >= 0 && slides_along(a, b, l->reg, l->lane),
      .dtype = widest_vector(a, b->src[0], l->lane < 0 ? NULL : b->src[l->lane + 1]),
      .along = l->lane >= 0 ? extent_of(b, l->lane) : 0,
      .across = l->reg >= 0 ? extent_of(b, l->reg) : 0,
      .others = 1,
      .reduces = found->reduces,
      .innermost = found->innermost};
  for (int i = 0; i < b->nsrc - 1; ++i)
    shape.others *= i == l->reg || i == l->lane ? 1 : extent_of(b, i);
  register_tile rt = value_tile(s, m, &shape);
  if (l->term_lanes > 1 && rt.k > ROWS_AT_ONCE) rt.k = ROWS_AT_ONCE;
  return rt;
}

bool loops_are_there(const uop *b, const schedule *s) {
  bool lanes = s->lanes <= 0 || (s->lanes < b->nsrc && extent_of(b, s->lanes - 1) > 1);
  bool regs = s->regs <= 0 || (s->regs < b->nsrc && extent_of(b, s->regs - 1) > 1);
  return lanes && regs && (s->regs <= 0 || s->regs != s->lanes);
}

/* Whose neighbours are lanes. */
static void choose_lanes(arena *a, const uop *b, const schedule *s, const machine *m,
                         const survey *found, value_loops *l) {
  bool terms = found->reduces && s->lanes == VALUE_LOOP_TERMS;
  l->lane = s->lanes == VALUE_LOOP_CHOSEN ? vector_range(b, found) : s->lanes - 1;
  if (s->lanes < 0) l->lane = -1;
  if (terms || (found->reduces && s->lanes == VALUE_LOOP_CHOSEN))
    l->term_lanes = term_lanes(a, b, s, m, l->lane);
  if (l->term_lanes > 1) l->lane = -1;
  l->lanes_of = l->term_lanes > 1 || terms ? VALUE_LOOP_TERMS : VALUE_LOOP_NONE;
  if (l->lane >= 0) l->lanes_of = (value_loop)(l->lane + 1);
}

/* The lanes are not what is neighbours in the result: so that rows of it are written, what is goes into registers,
 * unless another loop there shares vectors. Where it is short, as the copies of an element that is enlarged are, it is
 * unrolled and the next one goes with it. The loop; -1: none does. */
static int transposed_range(arena *a, const uop *b, const machine *m, value_loops *l) {
  const int last = b->nsrc - 2;
  if (m->group > 0 || l->lane < 0 || l->lane == last) return -1;
  if (extent_of(b, last) >= LEAST_LANES) {
    bool shares = l->reg >= 0 && sharing(a, b, l->reg, l->lane) >= WHOLE_VECTOR;
    return l->reg == last || shares ? -1 : last;
  }
  if (l->reduces || last < 1) return -1;
  if (l->lane == last - 1) l->whole = last; /* vectors are interleaved when they are stored */
  if (l->lane == last - 1 || extent_of(b, last - 1) < LEAST_LANES) return -1;
  l->whole = last;
  return last - 1;
}

/* Does it go there, as far as the schedule lets it? */
static bool transposes(arena *a, const uop *b, const schedule *s, const machine *m,
                       value_loops *l) {
  int reg = transposed_range(a, b, m, l);
  bool said = s->regs != VALUE_LOOP_CHOSEN && s->regs - 1 != reg;
  if (reg < 0 || said) {
    if (reg >= 0) l->whole = -1;
    return false;
  }
  l->reg = reg;
  return true;
}

/* Of so many elements, how many to take together: a line if little is computed twice, else a tile's part. */
static int64_t line_of(int64_t extent, int64_t part, int64_t line) {
  if (line % part != 0 || extent < line) return part;
  int64_t lines = (extent + line - 1) / line * line, parts = (extent + part - 1) / part * part;
  return 10 * lines <= 11 * parts ? line : part;
}

/* A tile that is transposed when it is stored. */
static void transposed_tile(const uop *b, const schedule *s, value_loops *l) {
  const int64_t along = extent_of(b, l->lane), across = extent_of(b, l->reg),
                beside = l->whole >= 0 ? extent_of(b, l->whole) : 1;
  int64_t k = TRANSPOSED / beside;
  while (k > across) k /= 2;
  if (s->k[0] == 0) l->tile.k = k;
  if (s->t[0] == 0) l->tile.t = l->tile.lanes;
  if (l->reduces) return;
  if (l->tile.t > l->tile.lanes || along < l->tile.t || across < l->tile.k) {
    l->whole = -1;
    return;
  }
  l->tline = line_of(along, l->tile.t, LINE_ELEMENTS);
  l->kline = line_of(across, l->tile.k, LINE_ELEMENTS / beside);
}

value_loops loops_of_value(arena *a, const uop *b, const schedule *s, const machine *m) {
  const schedule chosen = {.direct = true};
  if (!loops_are_there(b, s)) s = &chosen;
  survey found = look_at(a, b);
  value_loops l = {.reduces = found.reduces, .reg = -1, .term_lanes = 1, .whole = -1};
  choose_lanes(a, b, s, m, &found, &l);
  if (found.reduces && s->regs == VALUE_LOOP_CHOSEN) l.reg = register_range(a, b, l.lane);
  if (found.reduces && s->regs > 0) l.reg = s->regs - 1;
  const bool turned = transposes(a, b, s, m, &l);
  l.outside = l.reg >= 0 && found.reduces && shares_little(a, b, l.reg);
  l.tile = tile_of(a, b, s, m, &found, &l);
  if (turned) transposed_tile(b, s, &l);
  return l;
}

static bool has_any_order(arena *a, const uop *b) {
  uop_order all = uop_walk_value(a, b->src[0]);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    bool best = u->op == OP_REDUCE && (u->arg.i == OP_MAX || u->arg.i == OP_MIN);
    if (u->op == OP_REDUCE && !best && dtype_is_float(u->dtype)) return false;
  }
  return true;
}

static bool same_loops(const value_loops *x, const value_loops *y) {
  return x->lane == y->lane && x->term_lanes == y->term_lanes && x->reg == y->reg &&
         x->outside == y->outside && x->tile.k == y->tile.k && x->tile.t == y->tile.t &&
         x->tile.lanes == y->tile.lanes && x->kline == y->kline && x->tline == y->tline &&
         x->whole == y->whole;
}

/* Lanes of other loops would be gathered from memory; terms of sums that are lanes in one may be in the other. */
static bool may_follow(const value_loops *x, const value_loops *by) {
  bool same = x->lane == by->lane && x->term_lanes == by->term_lanes;
  return same || (by->term_lanes > 1 && x->reduces);
}

bool loops_fit(arena *a, const uop *x, const value_loops *lx, const uop *y, const value_loops *ly) {
  bool same = x->nsrc == y->nsrc;
  for (int i = 0; same && i < x->nsrc - 1; ++i) same = extent_of(x, i) == extent_of(y, i);
  if (!same || same_loops(lx, ly)) return same;
  return has_any_order(a, y) ? may_follow(ly, lx) : has_any_order(a, x) && may_follow(lx, ly);
}

const uop *loops_owner(arena *a, int n, const uop *const *value) {
  int at = 0;
  while (at < n && has_any_order(a, value[at])) ++at;
  return value[at < n ? at : 0];
}
