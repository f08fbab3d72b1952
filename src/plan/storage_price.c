/* What layouts cost; see storage.h.
 *
 * In: values and which of their loops is channels. Out: what kernels spend on the order of what they store and read,
 * besides their work. A value is looked at once. */
#include "lower/cats.h"
#include "plan/loops.h"
#include "plan/storage.h"

/* Tenths of an operation on vectors for one element. */
enum {
  /* One that is stored or read across the lanes, which are channels: a 1x1 convolution 64 to 256 at 56x56 takes 1.2 ms
   * with channels last and 1.6 otherwise, one 256 to 64 the same (AVX2, 0.19 ns an operation). */
  STORED_ACROSS = 15,
  READ_ACROSS = 15,
  TILE_ACROSS = 3, /* the same of one that is rewritten: transforms read and write whole tiles */
  TURNED = 30,     /* of an array that is read in one order and stored in the other */
  OUT_OF_ORDER =
      80 /* a term of a product of a matrix and a vector, whose order is that of the matrix */
};

static int64_t elements_of(const storage *s, const uop *base) {
  return base->op == OP_BUFFER ? s->user[base->arg.i].len : uop_elements(base);
}

static double work_of(const uop *sum) {
  double n = 1;
  for (int i = 1; i < sum->nsrc; ++i) n *= (double)sum->src[i]->arg.j;
  return n;
}

/* --- a value ---------------------------------------------------------------------------------- */

typedef struct pricing {
  storage *s;
  stored_order *v;
  const uop *sum; /* the largest of products, if channels are in its lanes; NULL: none is */
  uop_order term; /* what is in it */
  uop_order row;  /* what is in a product of one row, a vector */
  int64_t across; /* what an element costs that it stores or reads across the lanes */
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
  const uop_order *own = &p->v->own;
  for (size_t i = 0; i < own->len; ++i) {
    const uop *u = own->at[i];
    if (!is_sum_of_products(u)) continue;
    if (!has_pixels(p, u)) p->row = uop_walk_value(p->s->a, u->src[0]);
    if (!makes_channels(p, u) || (p->sum != NULL && work_of(u) <= work_of(p->sum))) continue;
    p->sum = u;
  }
  if (p->sum != NULL) p->term = uop_walk_value(p->s->a, p->sum->src[0]);
}

static bool is_in(const uop_order *term, const uop *index) {
  for (size_t i = 0; i < term->len; ++i)
    if (term->at[i] == index) return true;
  return false;
}

/* One that has a single loop is the same in any order. */
static bool has_order(const uop *base) { return base->op == OP_BUFFER || base->nsrc > 2; }

static void price_read(const pricing *p, const uop *index) {
  storage *s = p->s;
  stored_order *from = storage_of(s, index->src[0]), caller = {.last = false};
  const int64_t n = elements_of(s, index->src[0]);
  if (storage_is_constant(s, index) || !has_order(index->src[0])) return;
  stored_order *read = from != NULL ? from : &caller;
  if (is_in(&p->row, index))
    read->cost[true] += OUT_OF_ORDER * n;
  else if (is_in(&p->term, index))
    read->cost[false] += p->across * n;
  else if (from == NULL)
    p->v->cost[true] += TURNED * n;
  else
    vec_push(s->a, &s->ties,
             ((storage_tie){(int)(p->v - s->value), (int)(from - s->value), TURNED * n}));
}

static void price_value(storage *s, stored_order *v) {
  pricing p = {.s = s, .v = v};
  const bool rewrites = s->sites->value[v - s->value].nconvs > 0; /* a convolution of stride 1 */
  find_sum(&p);
  p.across = rewrites ? TILE_ACROSS : STORED_ACROSS;
  if (p.sum != NULL && has_order(v->b)) v->cost[false] += p.across * uop_elements(v->b);
  p.across = rewrites ? TILE_ACROSS : READ_ACROSS;
  for (size_t i = 0; i < v->own.len; ++i)
    if (v->own.at[i]->op == OP_INDEX) price_read(&p, v->own.at[i]);
}

void storage_find_costs(storage *s) {
  for (int i = 0; i < s->sites->nvalues; ++i)
    if (!is_whole(s->value[i].b)) price_value(s, &s->value[i]);
}
