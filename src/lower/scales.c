/* Scales of sums into their weights: sum(x * w) * s becomes sum(x * (w * s)), and the product is made once.
 *
 * In: a tensor graph. Out: the same values, in which a factor or divisor that constants alone decide is gone behind a
 * sum of products with constants, if what stands between is read by nothing else: the weights have it. It is carried
 * down through movement, through sums of several and concatenations, whose every term then gets it, and past what is
 * added to a sum ((sum + c) * s is sum' + c * s); constants that are added one after another to such a sum become one.
 * So a convolution with a batch normalisation behind it is a convolution with a bias.
 * Always holds: weights have as many elements as before, so a factor that varies where they do not (over an image, over
 * terms of the sum) stays where it is. A result rounds at other places than before, so the caller does not ask for this
 * where each rounding counts; f16 and bf16, which a scaled weight might leave, and integers are left alone. Nothing goes
 * deeper into the graph than STEPS for one factor. */
#include "lower/lower.h"

#include "ir/walk.h"
#include "lower/compact.h"
#include "rewrite/scratch.h"

enum { STEPS = 64 };

typedef struct scaling {
  graph *g;
  arena *a;
  const bool *constant; /* by slot */
  map shapes;           /* of tensor_shape */
  map fixed;            /* id -> 1: constants alone decide it, 0: they do not */
  map readers;          /* id -> how many read it, outputs included */
  int left;             /* steps that may still be taken */
  int count;
  const uop *const *tensors;
  const uop **out;
} scaling;

static const int_list *shape_of(scaling *s, const uop *u) {
  return tensor_shape(s->g, &s->shapes, u);
}

static const uop *expanded(scaling *s, const uop *u, const int_list *shape) {
  return tensor_expanded(s->g, &s->shapes, u, shape);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static bool is_fixed(scaling *s, const uop *u) {
  uint64_t known = 0;
  if (map_get(&s->fixed, u->id, &known)) return known != 0;
  bool fixed = u->op == OP_BUFFER ? s->constant[u->arg.i] : true;
  for (int i = 0; i < u->nsrc && fixed; ++i) fixed = is_fixed(s, u->src[i]);
  map_put(&s->fixed, u->id, fixed);
  return fixed;
}

/* What stands for t, read by the one that reads t. */
static const uop *remade(scaling *s, const uop *t, const uop *const *src) {
  const uop *u = uop_with_src(s->g, t, src);
  is_fixed(s, u);
  tensor_keep_name(s->g, t, u);
  tensor_add_readers(&s->readers, u, 1);
  return u;
}

static const uop *operation(scaling *s, uop_op op, const uop *const *src) {
  return uop_new(s->g, op, (wn_dtype)src[0]->dtype, 2, src, (uop_arg){0});
}

/* a op b, of operands of one shape, neither of them spread further than the result is. */
static const uop *combined(scaling *s, uop_op op, const uop *a, const uop *b) {
  const int_list *to = shape_of(s, a);
  const compact x = compact_of(s->g, &s->shapes, a), y = compact_of(s->g, &s->shapes, b);
  int64_t both[WN_MAX_DIMS];
  for (int i = 0; i < to->len; ++i) both[i] = x.shape->at[i] > 1 ? x.shape->at[i] : y.shape->at[i];
  const int_list *shape = intern_list(s->g, to->len, both);
  const uop *src[] = {expanded(s, x.u, shape), expanded(s, y.u, shape)};
  return expanded(s, operation(s, op, src), to);
}

/* --- a factor, carried down ------------------------------------------------------------------- */

typedef struct factor {
  uop_op op; /* MUL, or DIV by it */
  compact by;
} factor;

/* What t moves has the factor before it is moved. False: then no one factor would do. */
static bool through_movement(scaling *s, const uop *t, factor *f) {
  const int_list *to = shape_of(s, t), *from = shape_of(s, t->src[0]);
  if (t->op == OP_RESHAPE) {
    f->by = compact_reshaped(s->g, &s->shapes, f->by, to, from);
    return true;
  }
  if (t->op == OP_PERMUTE) {
    f->by = compact_permuted(s->g, f->by, permutation_back(s->g, t->arg.list));
    return true;
  }
  for (int i = 0; i < to->len; ++i) {
    const bool moves = from->at[i] != to->at[i] || (t->op == OP_FLIP && t->arg.list->at[i] != 0);
    if (moves && f->by.shape->at[i] > 1) return false;
  }
  return true;
}

static const uop *as_large(scaling *s, factor f, const uop *t) {
  return expanded(s, f.by.u, shape_of(s, t));
}

/* The weights with the factor, as near to the caller's array as it comes; NULL: they would be more. */
static const uop *scaled_weights(scaling *s, const uop *w, factor f) {
  const uop *path[STEPS];
  int n = 0;
  while (n < STEPS && uop_is_movement(w) && through_movement(s, w, &f)) {
    path[n++] = w;
    w = w->src[0];
  }
  if (w->op == OP_EXPAND) return NULL;
  const uop *src[] = {w, as_large(s, f, w)}, *u = operation(s, f.op, src);
  while (n-- > 0) u = uop_with_src(s->g, path[n], &u);
  return u;
}

static bool is_zero(const uop *u) {
  while (u->op == OP_RESHAPE || u->op == OP_EXPAND) u = u->src[0];
  return u->op == OP_CONST && uop_const_value(u) == 0;
}

static const uop *scaled(scaling *s, const uop *t, factor f, bool summed);

/* A term of a sum, or a part. */
static const uop *scaled_term(scaling *s, const uop *t, factor f, bool summed) {
  if (!is_fixed(s, t)) return scaled(s, t, f, summed);
  return is_zero(t) ? t : combined(s, f.op, t, as_large(s, f, t));
}

static const uop *scaled_product(scaling *s, const uop *t, factor f) {
  const int w = is_fixed(s, t->src[1]) ? 1 : 0;
  if (!is_fixed(s, t->src[w])) return NULL;
  const uop *src[] = {t->src[0], t->src[1]};
  src[w] = scaled_weights(s, t->src[w], f);
  return src[w] == NULL ? NULL : remade(s, t, src);
}

/* The part of the factor that is that of part i of a concatenation. */
static factor factor_of_part(scaling *s, const uop *cat, int i, int64_t at, factor f) {
  const int64_t axis = cat->arg.i;
  if (f.by.shape->at[axis] == 1) return f;
  int64_t cut[2 * WN_MAX_DIMS], shape[WN_MAX_DIMS];
  for (int k = 0; k < f.by.shape->len; ++k) {
    shape[k] = f.by.shape->at[k];
    cut[2 * k] = 0, cut[2 * k + 1] = shape[k];
  }
  shape[axis] = shape_of(s, cat->src[i])->at[axis];
  cut[2 * axis] = at, cut[2 * axis + 1] = at + shape[axis];
  const uop_arg arg = {.list = intern_list(s->g, 2 * f.by.shape->len, cut)};
  f.by.u = uop_new(s->g, OP_SHRINK, (wn_dtype)f.by.u->dtype, 1, &f.by.u, arg);
  f.by.shape = intern_list(s->g, f.by.shape->len, shape);
  return f;
}

static const uop *scaled_parts(scaling *s, const uop *t, factor f, bool summed) {
  const uop **src = arena_array(s->a, const uop *, t->nsrc);
  int64_t at = 0;
  for (int i = 0; i < t->nsrc; ++i) {
    src[i] = scaled_term(s, t->src[i], factor_of_part(s, t, i, at, f), summed);
    if (src[i] == NULL) return NULL;
    at += shape_of(s, t->src[i])->at[t->arg.i];
  }
  return remade(s, t, src);
}

/* t with the factor in its weights; NULL: it cannot take it. summed: it is a term of a sum; what is no such term keeps
 * its products as they are. Calls itself at most STEPS deep. */
static const uop *scaled(scaling *s, const uop *t, factor f, bool summed) {
  const uop *src[2] = {NULL};
  if (--s->left < 0 || tensor_readers(&s->readers, t) != 1) return NULL;
  if (uop_is_movement(t)) {
    if (!through_movement(s, t, &f)) return NULL;
    src[0] = scaled(s, t->src[0], f, summed);
    return src[0] == NULL ? NULL : remade(s, t, src);
  }
  switch (t->op) {
    case OP_REDUCE_AXIS:
      if (t->arg.list->at[0] != OP_ADD) return NULL;
      src[0] = scaled(s, t->src[0], f, true);
      return src[0] == NULL ? NULL : remade(s, t, src);
    case OP_MUL:
      return summed ? scaled_product(s, t, f) : NULL;
    case OP_ADD:
    case OP_SUB:
      for (int i = 0; i < 2; ++i) {
        src[i] = scaled_term(s, t->src[i], f, summed);
        if (src[i] == NULL) return NULL;
      }
      return remade(s, t, src);
    case OP_CAT:
      return scaled_parts(s, t, f, summed);
    default:
      return NULL;
  }
}

/* --- the rules -------------------------------------------------------------------------------- */

/* u is a product or a quotient. */
static const uop *into_weights(scaling *s, const uop *u) {
  for (int i = u->op == OP_DIV; i < 2; ++i) {
    if (!is_fixed(s, u->src[i])) continue;
    s->left = STEPS;
    const factor f = {(uop_op)u->op, compact_of(s->g, &s->shapes, u->src[i])};
    const uop *v = scaled(s, u->src[1 - i], f, false);
    if (v != NULL)
      tensor_add_readers(&s->readers, v,
                         -1); /* it is in the place of u, and that is not read yet */
    return v;
  }
  return NULL;
}

/* What is moved, and put together: the first part that is computed. */
static const uop *below_movement(scaling *s, const uop *t) {
  for (int n = 0; n < STEPS && (uop_is_movement(t) || t->op == OP_CAT); ++n) {
    int i = 0;
    while (i + 1 < t->nsrc && is_fixed(s, t->src[i])) ++i;
    t = t->src[i];
  }
  return t;
}

/* Moved as it may be, a sum of products with weights. */
static bool is_weighted_sum(scaling *s, const uop *t) {
  t = below_movement(s, t);
  if (t->op != OP_REDUCE_AXIS || t->arg.list->at[0] != OP_ADD) return false;
  t = below_movement(s, t->src[0]);
  return t->op == OP_MUL && (is_fixed(s, t->src[0]) || is_fixed(s, t->src[1]));
}

/* (sum + c) + d, as sum + (c + d) */
static const uop *biases_joined(scaling *s, const uop *u) {
  const int d = u->op == OP_SUB || is_fixed(s, u->src[1]) ? 1 : 0;
  const uop *t = u->src[1 - d];
  if (!is_fixed(s, u->src[d]) || t->op != OP_ADD || tensor_readers(&s->readers, t) != 1)
    return NULL;
  const int c = is_fixed(s, t->src[1]) ? 1 : 0;
  if (!is_fixed(s, t->src[c]) || !is_weighted_sum(s, t->src[1 - c])) return NULL;
  const uop *src[] = {t->src[1 - c], combined(s, (uop_op)u->op, t->src[c], u->src[d])};
  return operation(s, OP_ADD, src);
}

static const uop *rewritten(scaling *s, const uop *u) {
  if ((u->dtype != WN_F32 && u->dtype != WN_F64) || is_fixed(s, u)) return NULL;
  if (u->op == OP_MUL || u->op == OP_DIV) return into_weights(s, u);
  return u->op == OP_ADD || u->op == OP_SUB ? biases_joined(s, u) : NULL;
}

static void run(arena *a, void *state) {
  scaling *s = state;
  map to, count;
  map *const maps[] = {&s->shapes, &s->fixed, &s->readers, &to};
  for (size_t i = 0; i < sizeof maps / sizeof *maps; ++i) map_init(maps[i], a);
  s->a = a;
  uop_order all = uop_toposort(a, s->count, s->tensors);
  tensor_count_readers(&count, a, all, s->count, s->tensors);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *t = all.at[i], **src = arena_array(a, const uop *, t->nsrc + 1);
    for (int k = 0; k < t->nsrc; ++k) src[k] = map_get_ptr(&to, t->src[k]->id);
    const uop *u = t->nsrc > 0 ? uop_with_src(s->g, t, src) : t;
    is_fixed(s, u);
    const uop *v = rewritten(s, u);
    if (v == NULL) v = u;
    tensor_keep_name(s->g, t, v);
    tensor_add_readers(&s->readers, v, tensor_readers(&count, t));
    map_put_ptr(&to, t->id, v);
  }
  for (int i = 0; i < s->count; ++i) s->out[i] = map_get_ptr(&to, s->tensors[i]->id);
}

const uop *const *fold_scales(graph *g, int count, const uop *const *tensors,
                              const bool *constant) {
  scaling s = {.g = g,
               .constant = constant,
               .count = count,
               .tensors = tensors,
               .out = arena_array(&g->arena, const uop *, count)};
  with_scratch(g->diag, run, &s);
  return s.out;
}
