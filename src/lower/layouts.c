/* Changes of layout that undo each other are cancelled.
 *
 * In: a tensor graph. Out: the same values. Permutations go behind what is computed by elements: an elementwise operation
 * or a concatenation of what is permuted alike is computed in the order of what is permuted, and then permuted; two
 * permutations are one, or none. So a network that goes from one layout to another and back around every convolution
 * (NHWC, as tf2onnx writes it) stores what the other layout would. Beside permuted operands there may be others that are
 * spread over some axis (biases, gates, numbers), which are read permuted. A reshape that takes apart what an earlier one
 * fused goes before what is computed by elements between them, if nothing else reads that.
 * Always holds: each value is computed in one order, whoever reads it; no sum has another order of terms. */
#include "lower/lower.h"

#include "ir/walk.h"
#include "lower/compact.h"
#include "rewrite/scratch.h"

enum { STEPS = 64 }; /* between two reshapes */

typedef struct ordering {
  graph *g;
  arena *a;
  map shapes, readers;
  int left; /* steps that may still be taken */
  bool met; /* an earlier reshape was */
  int count;
  const uop *const *tensors;
  const uop **out;
} ordering;

/* --- permutations ----------------------------------------------------------------------------- */

static const uop *permuted(graph *g, const uop *u, const int_list *axis) {
  if (u->op == OP_PERMUTE) {
    int64_t both[WN_MAX_DIMS];
    for (int i = 0; i < axis->len; ++i) both[i] = u->arg.list->at[axis->at[i]];
    axis = intern_list(g, axis->len, both);
    u = u->src[0];
  }
  bool same = true;
  for (int i = 0; i < axis->len; ++i) same = same && axis->at[i] == i;
  if (same) return u;
  return uop_new(g, OP_PERMUTE, (wn_dtype)u->dtype, 1, &u, (uop_arg){.list = axis});
}

static bool is_elementwise(const uop *u) { return u->nsrc > 0 && op_table[u->op].shape == SH_ELEM; }

/* How all operands that are permuted are; NULL: not alike, or none is. */
static const int_list *common_order(const uop *u) {
  const int_list *axis = NULL;
  for (int i = 0; i < u->nsrc; ++i) {
    if (u->src[i]->op != OP_PERMUTE) continue;
    if (axis != NULL && axis != u->src[i]->arg.list) return NULL;
    axis = u->src[i]->arg.list;
  }
  return axis;
}

/* An operand as it is before the permutation; NULL: it is all there, in the order that it has. */
static const uop *before(ordering *o, const uop *u, const int_list *axis) {
  graph *g = o->g;
  if (u->op == OP_PERMUTE && u->arg.list == axis) return u->src[0];
  const int_list *to = tensor_shape(g, &o->shapes, u), *back = permutation_back(g, axis);
  compact c = compact_of(g, &o->shapes, u);
  if (c.shape == to) return NULL;
  int64_t shape[WN_MAX_DIMS];
  for (int i = 0; i < back->len; ++i) shape[i] = to->at[back->at[i]];
  c = compact_permuted(g, c, back);
  return tensor_expanded(g, &o->shapes, c.u, intern_list(g, back->len, shape));
}

/* An elementwise operation or a concatenation. */
static const uop *hoisted(ordering *o, const uop *u) {
  const int_list *axis = common_order(u);
  if (axis == NULL) return u;
  const uop **src = arena_array(o->a, const uop *, u->nsrc);
  for (int i = 0; i < u->nsrc; ++i) {
    src[i] = before(o, u->src[i], axis);
    if (src[i] == NULL) return u;
  }
  uop_arg arg = u->arg;
  if (u->op == OP_CAT) arg.i = axis->at[arg.i];
  const uop *v = uop_new(o->g, (uop_op)u->op, (wn_dtype)u->dtype, u->nsrc, src, arg);
  tensor_keep_name(o->g, u, v);
  return permuted(o->g, v, axis);
}

/* --- reshapes --------------------------------------------------------------------------------- */

static bool takes_apart(const int_list *from, const int_list *to) {
  for (int i = 0, j = 0; i < from->len || j < to->len;) {
    int i0 = i, axes = 0;
    reshape_group(from, to, &i, &j);
    for (; i0 < i; ++i0) axes += from->at[i0] > 1;
    if (axes > 1) return false;
  }
  return true;
}

static int64_t elements(const int_list *shape) {
  int64_t n = 1;
  for (int i = 0; i < shape->len; ++i) n *= shape->at[i];
  return n;
}

/* u in the shape, computed in it; NULL: it would have to be reshaped. Calls itself at most STEPS deep. */
static const uop *sunk(ordering *o, const uop *u, const int_list *shape) {
  graph *g = o->g;
  const int_list *from = tensor_shape(g, &o->shapes, u);
  if (--o->left < 0) return NULL;
  if (u->op == OP_RESHAPE) {
    o->met = true;
    if (!takes_apart(shape, tensor_shape(g, &o->shapes, u->src[0]))) return NULL;
    return tensor_reshaped(g, &o->shapes, u, shape);
  }
  compact c = compact_of(g, &o->shapes, u);
  if (c.shape != from) {
    const int64_t n = elements(c.shape);
    c = compact_reshaped(g, &o->shapes, c, from, shape);
    return elements(c.shape) == n ? tensor_expanded(g, &o->shapes, c.u, shape) : NULL;
  }
  if (!is_elementwise(u) || tensor_readers(&o->readers, u) != 1) return NULL;
  const uop **src = arena_array(o->a, const uop *, u->nsrc);
  for (int i = 0; i < u->nsrc; ++i) {
    src[i] = sunk(o, u->src[i], shape);
    if (src[i] == NULL) return NULL;
  }
  const uop *v = uop_with_src(g, u, src);
  tensor_keep_name(g, u, v);
  return v;
}

/* u is a reshape. */
static const uop *reshape_sunk(ordering *o, const uop *u) {
  const uop *below = u->src[0];
  if (below->op == OP_RESHAPE) return tensor_reshaped(o->g, &o->shapes, below, u->arg.list);
  if (!is_elementwise(below)) return u;
  if (!takes_apart(tensor_shape(o->g, &o->shapes, below), u->arg.list)) return u;
  o->left = STEPS;
  o->met = false;
  const uop *v = sunk(o, below, u->arg.list);
  return v != NULL && o->met ? v : u;
}

/* --- all of it -------------------------------------------------------------------------------- */

static const uop *reordered(ordering *o, const uop *u) {
  if (u->op == OP_PERMUTE) return permuted(o->g, u->src[0], u->arg.list);
  if (u->op == OP_RESHAPE) return reshape_sunk(o, u);
  return is_elementwise(u) || u->op == OP_CAT ? hoisted(o, u) : u;
}

static void run(arena *a, void *state) {
  ordering *o = state;
  map to, count;
  o->a = a;
  map_init(&o->shapes, a);
  map_init(&o->readers, a);
  map_init(&to, a);
  uop_order all = uop_toposort(a, o->count, o->tensors);
  tensor_count_readers(&count, a, all, o->count, o->tensors);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *t = all.at[i], *u = t, **src = arena_array(a, const uop *, t->nsrc + 1);
    for (int k = 0; k < t->nsrc; ++k) src[k] = map_get_ptr(&to, t->src[k]->id);
    if (t->nsrc > 0) u = uop_with_src(o->g, t, src);
    tensor_keep_name(o->g, t, u);
    u = reordered(o, u);
    tensor_keep_name(o->g, t, u);
    tensor_add_readers(&o->readers, u, tensor_readers(&count, t));
    for (const uop *x = u; !uop_is_movement(t) && uop_is_movement(x);) {
      x = x->src[0];
      tensor_add_readers(&o->readers, x, tensor_readers(&count, t));
    }
    map_put_ptr(&to, t->id, u);
  }
  for (int i = 0; i < o->count; ++i) o->out[i] = map_get_ptr(&to, o->tensors[i]->id);
}

const uop *const *cancel_layouts(graph *g, int count, const uop *const *tensors) {
  ordering o = {.g = g,
                .count = count,
                .tensors = tensors,
                .out = arena_array(&g->arena, const uop *, count)};
  with_scratch(g->diag, run, &o);
  return o.out;
}
