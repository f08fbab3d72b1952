/* What layouts cost; see storage.h.
 *
 * In: layouts. Out: what a value's kernel spends on them besides its work, in operations on vectors: counts, so that the
 * choice is one for all machines of a kind. */
#include "ir/walk.h"
#include "lower/cats.h"
#include "plan/loops.h"
#include "plan/storage.h"

/* An element that is stored or read across the lanes, which are channels, in vector operations: a 1x1 convolution 64 to
 * 256 at 56x56 takes 1.2 ms with channels last and 1.6 otherwise, one 256 to 64 the same (AVX2, 0.19 ns an operation). */
static const double STORED_ACROSS = 1.5, READ_ACROSS = 1.5;
/* Of one that is rewritten: transforms read and write whole tiles. */
static const double TILE_ACROSS = 0.3;
/* An element of an array that is read in one order and stored in the other, and one that is shared by a row of pixels. */
static const double TURNED = 3;
/* A term of a product of a matrix and a vector, whose order is that of the matrix. */
static const double OUT_OF_ORDER = 8;

static double elements_of(const storage *s, const uop *base) {
  double n = 1;
  if (base->op == OP_BUFFER) return (double)s->user[base->arg.i].len;
  for (int i = 1; i < base->nsrc; ++i) n *= (double)base->src[i]->arg.j;
  return n;
}

static double work_of(const uop *sum) {
  double n = 1;
  for (int i = 1; i < sum->nsrc; ++i) n *= (double)sum->src[i]->arg.j;
  return n;
}

/* --- a value ---------------------------------------------------------------------------------- */

typedef struct pricing {
  storage *s;
  const stored_order *v;
  const uop *sum;     /* the largest of products, if channels are in its lanes; NULL: none is */
  uop_order term;     /* what is in it */
  bool rewrites, row; /* it is a convolution of stride 1; of one row, a vector */
} pricing;

/* Fewer leave most lanes empty: pixels are in them then. */
enum { LEAST_LANES = 8 };

/* A sum of products whose result has channels of its own, enough for the lanes: its weights move with the channels, its
 * image does not. */
static bool makes_channels(const pricing *p, const uop *sum) {
  const stored_order *v = p->v;
  const uop_order term = uop_walk_value(p->s->a, sum->src[0]);
  if (v->axis < 0 || v->b->src[v->axis + 1]->arg.j < (int)LEAST_LANES) return false;
  for (size_t i = 0; i < term.len; ++i) {
    const uop *u = term.at[i];
    if (u->op == OP_INDEX && !storage_is_constant(p->s, u) &&
        uop_has_range(u, v->b->src[v->axis + 1]))
      return false;
  }
  return true;
}

static bool has_pixels(const pricing *p, const uop *sum) {
  const stored_order *v = p->v;
  for (int i = 1; i < v->b->nsrc; ++i)
    if (i - 1 != v->axis && uop_has_range(sum, v->b->src[i])) return true;
  return false;
}

static void find_sum(pricing *p) {
  const uop_order own = uop_walk_value(p->s->a, p->v->b->src[0]);
  for (size_t i = 0; i < own.len; ++i) {
    const uop *u = own.at[i];
    if (!is_sum_of_products(u)) continue;
    p->row |= !has_pixels(p, u);
    if (!makes_channels(p, u) || (p->sum != NULL && work_of(u) <= work_of(p->sum))) continue;
    p->sum = u;
  }
  if (p->sum != NULL) p->term = uop_walk_value(p->s->a, p->sum->src[0]);
}

static bool is_in_term(const pricing *p, const uop *index) {
  for (size_t i = 0; i < p->term.len; ++i)
    if (p->term.at[i] == index) return true;
  return false;
}

/* One that has a single loop is the same in any order. */
static bool has_order(const uop *base) { return base->op == OP_BUFFER || base->nsrc > 2; }

static double price_read(const pricing *p, const uop *index) {
  const storage *s = p->s;
  const stored_order *from = storage_of(s, index->src[0]);
  const double n = elements_of(s, index->src[0]);
  const bool last = from != NULL && from->last;
  if (storage_is_constant(s, index) || !has_order(index->src[0])) return 0;
  if (p->row && from != NULL && !from->fixed && last) return OUT_OF_ORDER * n;
  if (p->sum != NULL && is_in_term(p, index))
    return last ? 0 : (p->rewrites ? TILE_ACROSS : READ_ACROSS) * n;
  return last == p->v->last ? 0 : TURNED * n;
}

double storage_price(storage *s, const stored_order *v) {
  pricing p = {.s = s, .v = v};
  const stored_value *of = &s->sites->value[v - s->value];
  if (is_whole(v->b)) return 0;
  find_sum(&p);
  p.rewrites = of->nconvs > 0;
  double price = 0;
  if (p.sum != NULL && !v->last && has_order(v->b))
    price += (p.rewrites ? TILE_ACROSS : STORED_ACROSS) * elements_of(s, v->b);
  const uop_order own = uop_walk_value(s->a, v->b->src[0]);
  for (size_t i = 0; i < own.len; ++i)
    if (own.at[i]->op == OP_INDEX) price += price_read(&p, own.at[i]);
  return price;
}
