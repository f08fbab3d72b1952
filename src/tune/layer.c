/* Layers; see layer.h. */
#include "tune/layer.h"

#include "ir/walk.h"
#include "lower/lower.h"
#include "rewrite/scratch.h"
#include "backend/half.h"

typedef struct copying {
  layer *l;
  graph *g;
  const site_list *sites;
  int value;
  wn_context *of;
  map ends;   /* id of a tensor -> index + 1 of the stored value that it is, which this one reads */
  map copies; /* id of a tensor -> its node in the layer's context */
  map shapes;
} copying;

static const uop *tensor_of(const copying *c, int value) {
  return map_get_ptr(&c->g->stored, (uintptr_t)c->sites->value[value].label);
}

/* Independent noise: values in [-1, 1), small integers, truths. */
static void fill(wn_dtype dtype, void *data, int64_t n) {
  uint64_t state = 0x9e3779b97f4a7c15;
  for (int64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    double v = (double)(state >> 40) / (1 << 23) - 1.0;
    switch (dtype) {
      case WN_F64:
        ((double *)data)[i] = v;
        break;
      case WN_F32:
        ((float *)data)[i] = (float)v;
        break;
      case WN_F16:
        ((uint16_t *)data)[i] = half_to_f16(v);
        break;
      case WN_BF16:
        ((uint16_t *)data)[i] = half_to_bf16((float)v);
        break;
      case WN_I32:
        ((int32_t *)data)[i] = (int32_t)(v * 8);
        break;
      case WN_I64:
        ((int64_t *)data)[i] = (int64_t)(v * 8);
        break;
      default:
        ((uint8_t *)data)[i] = v > 0;
        break;
    }
  }
}

static void *noise(copying *c, wn_dtype dtype, const int_list *shape) {
  int64_t n = 1;
  for (int i = 0; i < shape->len; ++i) n *= shape->at[i];
  void *data = arena_alloc(&c->l->ctx->graph.arena, (size_t)n * wn_dtype_size(dtype) + 64);
  fill(dtype, data, n);
  return data;
}

/* --- layouts ---------------------------------------------------------------------------------- */

/* A tensor's shape with its channels as one dimension, where they are not one of its own. */
typedef struct channel_view {
  int ndim, axis; /* axis -1: its layout is the graph's */
  int64_t shape[WN_MAX_DIMS];
} channel_view;

static channel_view view_channels(const stored_value *v, const int_list *shape) {
  channel_view view = {shape->len, -1, {0}};
  int64_t before = 1, all = 1;
  memcpy(view.shape, shape->at, (size_t)shape->len * sizeof *view.shape);
  for (int i = 0; i < shape->len; ++i) all *= shape->at[i];
  if (v->layout != LAYOUT_LAST) return view;
  for (int i = 0; i < shape->len; before *= shape->at[i++])
    if (before == v->before_channels && shape->at[i] == v->channels) view.axis = i;
  if (view.axis >= 0) return view;
  return (channel_view){
      3, 1, {v->before_channels, v->channels, all / (v->before_channels * v->channels)}};
}

static wn_tensor *channels_last(wn_tensor *t, const channel_view *view) {
  int axes[WN_MAX_DIMS];
  if (view->axis < 0) return t;
  for (int i = 0, to = 0; i < view->ndim; ++i)
    if (i != view->axis) axes[to++] = i;
  axes[view->ndim - 1] = view->axis;
  return wn_permute(wn_reshape(t, view->ndim, view->shape), axes);
}

/* An array whose channels are last, as the tensor of this shape that it is. */
static wn_tensor *channels_back(wn_tensor *t, const channel_view *view, const int_list *shape) {
  int axes[WN_MAX_DIMS];
  if (view->axis < 0) return t;
  for (int i = 0; i < view->ndim; ++i)
    axes[i] = i < view->axis ? i : i == view->axis ? view->ndim - 1 : i - 1;
  return wn_reshape(wn_permute(t, axes), shape->len, shape->at);
}

static void stored_shape(const channel_view *view, int64_t *shape) {
  memcpy(shape, view->shape, (size_t)view->ndim * sizeof *shape);
  if (view->axis < 0) return;
  memmove(shape + view->axis, view->shape + view->axis + 1,
          (size_t)(view->ndim - 1 - view->axis) * sizeof *shape);
  shape[view->ndim - 1] = view->shape[view->axis];
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* An array of the layer in the place of what the graph reads: the caller's, or another value. */
static const uop *input(copying *c, const uop *u, uint64_t end) {
  wn_context *ctx = c->l->ctx;
  wn_dtype dtype = (wn_dtype)u->dtype;
  if (end == 0) {
    const tensor_buffer *b = &c->of->buffers.data[u->arg.i];
    wn_tensor *t =
        (b->constant ? wn_constant : wn_input)(ctx, dtype, b->shape->len, b->shape->at, b->data);
    return t != NULL ? t->node : NULL;
  }
  const int_list *shape = tensor_shape(c->g, &c->shapes, u);
  const stored_value *v = &c->sites->value[end - 1];
  const channel_view view = view_channels(v, shape);
  int64_t stored[WN_MAX_DIMS];
  stored_shape(&view, stored);
  wn_tensor *t =
      (v->constant ? wn_constant : wn_input)(ctx, dtype, view.ndim, stored, noise(c, dtype, shape));
  t = channels_back(t, &view, shape);
  return t != NULL ? t->node : NULL;
}

static const uop *copy_node(copying *c, arena *a, const uop *u) {
  graph *to = &c->l->ctx->graph;
  uint64_t end = 0;
  map_get(&c->ends, u->id, &end);
  if (end > 0 || u->op == OP_BUFFER) return input(c, u, end);
  uop_arg arg = u->arg;
  uop_argkind kind = op_table[u->op].arg;
  if (kind == ARG_LIST || kind == ARG_BUF) arg.list = intern_list(to, arg.list->len, arg.list->at);
  const uop **src = arena_array(a, const uop *, u->nsrc + 1);
  for (int i = 0; i < u->nsrc; ++i) src[i] = map_get_ptr(&c->copies, u->src[i]->id);
  return uop_new(to, u->op, (wn_dtype)u->dtype, u->nsrc, src, arg);
}

/* Tensors between the value and what it reads, sources first; what it reads is not gone into. */
static uop_order own_tensors(copying *c, arena *a, const uop *root) {
  uop_order all = uop_toposort(a, 1, &root);
  map wanted;
  map_init(&wanted, a);
  map_put(&wanted, root->id, 1);
  size_t at = all.len;
  for (size_t i = all.len; i-- > 0;) { /* users first */
    const uop *u = all.at[i];
    uint64_t known;
    if (!map_get(&wanted, u->id, &known)) continue;
    all.at[--at] = u;
    if (map_get(&c->ends, u->id, &known)) continue;
    for (int s = 0; s < u->nsrc; ++s) map_put(&wanted, u->src[s]->id, 1);
  }
  return (uop_order){all.at + at, all.len - at};
}

static void copy_all(arena *a, void *state) {
  copying *c = state;
  const stored_value *v = &c->sites->value[c->value];
  const uop *root = tensor_of(c, c->value);
  map_init(&c->ends, a);
  map_init(&c->copies, a);
  map_init(&c->shapes, a);
  for (int i = 0; i < v->narrays; ++i) {
    if (v->array[i] < 0)
      map_put(&c->ends, tensor_of(c, ~v->array[i])->id, (uint64_t)~v->array[i] + 1);
  }
  uop_order all = own_tensors(c, a, root);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *copy = copy_node(c, a, all.at[i]);
    if (copy == NULL) diag_fail(c->g->diag, WN_ERR_NOMEM, "%s", wn_message(c->l->ctx));
    map_put_ptr(&c->copies, all.at[i]->id, copy);
  }
  const int_list *shape = tensor_shape(c->g, &c->shapes, root);
  graph *to = &c->l->ctx->graph;
  wn_tensor *out = tensor_new(c->l->ctx, map_get_ptr(&c->copies, root->id), (wn_dtype)root->dtype,
                              intern_list(to, shape->len, shape->at));
  const channel_view view = view_channels(v, shape);
  c->l->out = channels_last(out, &view);
  if (c->l->out == NULL) diag_fail(c->g->diag, WN_ERR_NOMEM, "%s", wn_message(c->l->ctx));
  c->l->data = noise(c, (wn_dtype)root->dtype, shape);
}

/* What fails in the layer's context fails in the graph's. */
static void copy_into(copying *c) {
  diag *d = &c->l->ctx->diag;
  volatile wn_status st;
  DIAG_TRY(d, st) with_scratch(d, copy_all, c);
  DIAG_END(d, st)
  if (st != WN_OK) diag_fail(c->g->diag, st, "%s", arena_strdup(&c->g->arena, d->message));
}

void layer_make(layer *l, graph *g, const site_list *sites, int value, wn_context *of) {
  *l = (layer){NULL, NULL, NULL};
  if (wn_context_create(&l->ctx) != WN_OK) diag_fail(g->diag, WN_ERR_NOMEM, "out of memory");
  l->ctx->diag.warn = of->diag.warn;
  l->ctx->diag.warn_user = of->diag.warn_user;
  l->ctx->windows = of->windows;
  copying c = {.l = l, .g = g, .sites = sites, .value = value, .of = of};
  copy_into(&c);
}

void layer_destroy(layer *l) {
  wn_context_destroy(l->ctx);
  *l = (layer){NULL, NULL, NULL};
}
