/* Which loop of a stored value is its channels; see storage.h. */
#include "lower/cats.h"
#include "plan/loops.h"
#include "plan/storage.h"

static int place_of(const uop *b, const uop *range) {
  for (int i = 1; i < b->nsrc; ++i)
    if (b->src[i] == range) return i - 1;
  return -1;
}

static void propose(stored_order *v, int loop) {
  if (v != NULL && v->axis < 0) v->axis = loop;
}

/* --- products --------------------------------------------------------------------------------- */

static const uop *weights_of(const storage *s, const uop_order *term) {
  for (size_t i = 0; i < term->len; ++i)
    if (term->at[i]->op == OP_INDEX && storage_is_constant(s, term->at[i])) return term->at[i];
  return NULL;
}

static bool shares_loops(const uop *binder, const uop *index, const uop *weights) {
  for (int i = 1; i < binder->nsrc; ++i)
    if (uop_has_range(index, binder->src[i]) && !uop_has_range(weights, binder->src[i]))
      return false;
  return true;
}

/* All that an index moves with are loops that the weights move with as well: of a window or of an image they are not. */
static bool is_of_channels(const uop *b, const uop *sum, const uop *index, const uop *weights) {
  return index->free_->len > 0 && shares_loops(b, index, weights) &&
         shares_loops(sum, index, weights);
}

static void look_at_reads(const storage *s, const uop *b, const uop *sum, const uop_order *term,
                          const uop *weights) {
  for (size_t i = 0; i < term->len; ++i) {
    const uop *u = term->at[i];
    if (u->op != OP_INDEX) continue;
    int found = -1, places = 0;
    for (int p = 2; p < u->nsrc; ++p)
      if (is_of_channels(b, sum, u->src[p], weights)) found = p - 2, ++places;
    if (places == 1) propose(storage_of(s, u->src[0]), found);
  }
}

static void look_at_product(const storage *s, stored_order *v, const uop *sum) {
  const uop_order term = uop_walk_value(s->a, sum->src[0]);
  const uop *weights = weights_of(s, &term);
  int channels = -1, pixels = 0;
  for (int i = 1; i < v->b->nsrc && weights != NULL; ++i) {
    const uop *loop = v->b->src[i];
    if (uop_has_range(weights, loop))
      channels = i - 1;
    else if (uop_has_range(sum, loop))
      ++pixels;
  }
  if (pixels == 0) return; /* of a vector times a matrix no order is better */
  if (channels >= 0) propose(v, channels);
  look_at_reads(s, v->b, sum, &term, weights);
}

/* --- everything else -------------------------------------------------------------------------- */

/* The value's own loop that an index moves with; -1: none or several. */
static int own_loop(const uop *b, const uop *index) {
  int found = -1;
  for (int i = 1; i < b->nsrc; ++i) {
    if (!uop_has_range(index, b->src[i])) continue;
    if (found >= 0) return -1;
    found = place_of(b, b->src[i]);
  }
  return found;
}

/* Between a value and what it reads at the same channel. */
static bool carry_on(const storage *s, stored_order *v) {
  bool more = false;
  for (size_t i = 0; i < v->own.len; ++i) {
    const uop *u = v->own.at[i];
    stored_order *read = u->op == OP_INDEX ? storage_of(s, u->src[0]) : NULL;
    if (read == NULL || (read->axis < 0) == (v->axis < 0)) continue;
    for (int p = 2; p < u->nsrc && (read->axis < 0) != (v->axis < 0); ++p) {
      const int loop = own_loop(v->b, u->src[p]);
      if (loop < 0) continue;
      if (v->axis == loop) read->axis = p - 2, more = true;
      if (read->axis == p - 2) v->axis = loop, more = true;
    }
  }
  return more;
}

/* Which loop of the whole is that of a part; -1: none. */
static int axis_of_whole(const uop *whole, const uop *part, int of_part) {
  for (int i = 0; i < whole->nsrc - 1; ++i)
    if (storage_axis_of_part(whole, i, part) == of_part) return i;
  return -1;
}

static bool carry_through(const storage *s, stored_order *whole) {
  bool more = false;
  for (int i = 0; i < whole->b->src[0]->nsrc; ++i) {
    stored_order *part = storage_of(s, whole->b->src[0]->src[i]);
    if (part == NULL || (part->axis < 0) == (whole->axis < 0)) continue;
    propose(part, storage_axis_of_part(whole->b, whole->axis, part->b));
    propose(whole, axis_of_whole(whole->b, part->b, part->axis));
    more |= part->axis >= 0 && whole->axis >= 0;
  }
  return more;
}

static bool carry(const storage *s, int value) {
  stored_order *v = &s->value[value];
  return is_whole(v->b) ? carry_through(s, v) : carry_on(s, v);
}

/* With the values and against them, for what is known goes both ways: a chain takes one round. */
void storage_find_axes(storage *s) {
  const int n = s->sites->nvalues;
  for (int v = 0; v < n; ++v) {
    const uop_order *own = &s->value[v].own;
    for (size_t i = 0; i < own->len; ++i)
      if (is_sum_of_products(own->at[i])) look_at_product(s, &s->value[v], own->at[i]);
  }
  for (bool more = true; more;) {
    more = false;
    for (int v = 0; v < n; ++v) more |= carry(s, v);
    for (int v = n; v-- > 0;) more |= carry(s, v);
  }
}
