/* Joining loops; see fuse.h. */
#include "plan/fuse.h"

#include "ir/walk.h"
#include "lower/lower.h"
#include "plan/loops.h"
#include "rewrite/rewrite.h"
#include "rewrite/transform.h"

/* Elements. Of a product a row so long fills register tiles, and keeps its part of the image near; of other sums it is
 * worth a sum of its own, since sums of sums round less than one long sum. */
enum { SHORT_ROW = 32 };

typedef struct fusing {
  graph *g;
  arena *a;
  const uop *value; /* the BUFFERIZE */
  uop_order own;    /* what is in it */
  bool product;     /* there is a sum of products */
  fuse_loop loop;
  void *user;
} fusing;

static bool has(const uop *u, const uop *o, const uop *n) {
  return uop_has_range(u, o) || uop_has_range(u, n);
}

/* The flat index moves by E times as much with o as with n, if it moves. */
static bool index_fits(const uop *e, const uop *o, const uop *n) {
  linear_form f;
  int64_t by_o = 0, by_n = 0;
  if (!has(e, o, n)) return true;
  if (!linear_of(e, &f)) return false;
  for (int i = 0; i < f.n; ++i) {
    if (f.atom[i] == o)
      by_o += f.coeff[i];
    else if (f.atom[i] == n)
      by_n += f.coeff[i];
    else if (has(f.atom[i], o, n))
      return false;
  }
  return by_o == by_n * n->arg.j;
}

/* Nothing but flat indices knows of o and n: no condition, no number made of a place. */
static bool all_fit(const fusing *f, const uop *o, const uop *n) {
  for (size_t i = 0; i < f->own.len; ++i) {
    const uop *u = f->own.at[i];
    if (u->op == OP_INDEX) {
      if (u->dtype == WN_I64 || u->nsrc != 3 || has(u->src[1], o, n) ||
          !index_fits(u->src[2], o, n))
        return false;
      continue;
    }
    for (int k = 0; k < u->nsrc && u->dtype != WN_I64; ++k)
      if (u->src[k]->dtype == WN_I64 && u->op != OP_REDUCE && has(u->src[k], o, n)) return false;
  }
  return true;
}

static int place_of(const uop *binder, const uop *range) {
  for (int i = 1; i < binder->nsrc; ++i)
    if (binder->src[i] == range) return i;
  return 0;
}

/* Every sum that has one of them has the other right behind it. */
static bool sums_fit(const fusing *f, const uop *o, const uop *n) {
  for (size_t i = 0; i < f->own.len; ++i) {
    const uop *u = f->own.at[i];
    if (u->op != OP_REDUCE) continue;
    const int at = place_of(u, o), behind = place_of(u, n);
    if (at != 0 || behind != 0) {
      if (at == 0 || behind != at + 1) return false;
    }
  }
  return true;
}

/* --- joining ---------------------------------------------------------------------------------- */

typedef struct joining {
  graph *g;
  const uop *o, *n, *both;
} joining;

/* The loops of a binder with `both` in the place of o and n. */
static int joined_loops(const joining *j, const uop *binder, const uop **loops) {
  int count = 0;
  for (int i = 1; i < binder->nsrc; ++i) {
    if (binder->src[i] == j->n) continue;
    loops[count++] = binder->src[i] == j->o ? j->both : binder->src[i];
  }
  return count;
}

static const uop *join_node(void *user, const uop *u) {
  const joining *j = user;
  const uop *loops[WN_MAX_DIMS * 2];
  if (u->op == OP_INDEX && has(u->src[2], j->o, j->n)) {
    const uop *zero = uop_int(j->g, 0), *from[] = {j->o, j->n}, *to[] = {zero, j->both};
    const uop *flat = uop_replace(j->g, u->src[2], 2, from, to);
    return uop_index(j->g, u->src[0], u->src[1], 1, &flat);
  }
  if (u->op != OP_REDUCE || place_of(u, j->o) == 0) return u;
  int count = joined_loops(j, u, loops);
  return uop_reduce(j->g, (uop_op)u->arg.i, u->src[0], count, loops);
}

/* Strides of the value once o is gone. */
static const int_list *joined_strides(const fusing *f, const uop *o) {
  const int_list *stride = f->value->arg.info->stride;
  const int gone = place_of(f->value, o) - 1;
  int64_t left[WN_MAX_DIMS];
  if (stride == NULL || gone < 0) return stride;
  for (int i = 0, k = 0; i < stride->len; ++i)
    if (i != gone) left[k++] = stride->at[i];
  return intern_list(f->g, stride->len - 1, left);
}

static void join(fusing *f, const uop *o, const uop *n) {
  const uop *b = f->value, *loops[WN_MAX_DIMS * 2];
  joining j = {f->g, o, n, f->loop(f->user, o->arg.j * n->arg.j)};
  const uop *value = uop_transform_value(f->g, f->a, b->src[0], join_node, &j);
  int count = joined_loops(&j, b, loops);
  bufferize_info info = *b->arg.info;
  info.stride = joined_strides(f, o);
  f->value = simplify(f->g, uop_bufferize(f->g, value, count, loops, info));
  f->own = uop_walk_value(f->a, f->value->src[0]);
}

/* --- which ------------------------------------------------------------------------------------ */

static bool is_summed(const fusing *f, const uop *r) {
  for (size_t i = 0; i < f->own.len; ++i)
    if (f->own.at[i]->op == OP_REDUCE && place_of(f->own.at[i], r) != 0) return true;
  return false;
}

/* Neighbours among the loops of the value: are they one in its array? */
static bool stores_fit(const fusing *f, const uop *o, const uop *n) {
  const int at = place_of(f->value, o) - 1;
  return uop_stride(f->value, at) == uop_stride(f->value, at + 1) * n->arg.j;
}

static bool may_join(const fusing *f, const uop *o, const uop *n, bool stored) {
  int64_t extent;
  if (__builtin_mul_overflow(o->arg.j, n->arg.j, &extent)) return false;
  if (stored && (is_summed(f, o) || is_summed(f, n) || !stores_fit(f, o, n))) return false;
  if (stored == f->product && n->arg.j >= SHORT_ROW) return false;
  return all_fit(f, o, n) && sums_fit(f, o, n);
}

/* The first neighbours in a binder that are one loop. */
static bool join_some(fusing *f, const uop *binder, bool stored) {
  for (int i = binder->nsrc - 1; i > 1; --i) {
    const uop *o = binder->src[i - 1], *n = binder->src[i];
    if (!may_join(f, o, n, stored)) continue;
    join(f, o, n);
    return true;
  }
  return false;
}

static bool join_any(fusing *f) {
  if (join_some(f, f->value, true)) return true;
  for (size_t i = 0; i < f->own.len; ++i)
    if (f->own.at[i]->op == OP_REDUCE && f->own.at[i]->nsrc - 1 <= WN_MAX_DIMS &&
        join_some(f, f->own.at[i], false))
      return true;
  return false;
}

const uop *fuse_loops(graph *g, arena *a, const uop *value, fuse_loop loop, void *user) {
  fusing f = {g, a, value, uop_walk_value(a, value->src[0]), false, loop, user};
  if (value->nsrc - 1 > WN_MAX_DIMS) return value;
  for (size_t i = 0; i < f.own.len; ++i) f.product |= is_sum_of_products(f.own.at[i]);
  while (join_any(&f)) {}
  return f.value;
}
