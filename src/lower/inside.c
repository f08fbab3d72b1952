/* See inside.h. Both are one walk over the nodes from the leaves to the roots. */
#include "lower/inside.h"

#include "ir/walk.h"
#include "lower/lower.h"

/* The nodes under the roots; in the context's arena, as everything here. */
static uop_order nodes_under(wn_context *ctx, int count, wn_tensor *const *roots) {
  arena *a = &ctx->graph.arena;
  const uop **nodes = arena_array(a, const uop *, count + 1);
  for (int i = 0; i < count; ++i) nodes[i] = roots[i]->node;
  return uop_toposort(a, count, nodes);
}

static uint64_t key_of(const value_name *name) { return (uint64_t)(uintptr_t)name; }

/* A name is that of a chain of reshapes and permutes, of which the last is the value. */
static void find_named(wn_context *ctx, int count, wn_tensor *const *roots, named_value **values,
                       int *found) {
  graph *g = &ctx->graph;
  uop_order all = nodes_under(ctx, count, roots);
  map last, shapes;
  map_init(&last, &g->arena);
  map_init(&shapes, &g->arena);
  *values = arena_array(&g->arena, named_value, all.len + 1);
  *found = 0;
  for (size_t i = 0; i < all.len; ++i) {
    const value_name *name = map_get_ptr(&g->names, all.at[i]->id);
    if (name != NULL) map_put_ptr(&last, key_of(name), all.at[i]);
  }
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    const value_name *name = map_get_ptr(&g->names, u->id);
    if (name == NULL || map_get_ptr(&last, key_of(name)) != u) continue;
    if (u->op == OP_BUFFER || u->op == OP_CONST || !dtype_is_float(u->dtype)) continue;
    wn_tensor *t = tensor_new(ctx, u, (wn_dtype)u->dtype, tensor_shape(g, &shapes, u));
    (*values)[(*found)++] = (named_value){name->text, t};
  }
}

wn_status tensor_named(wn_context *ctx, int count, wn_tensor *const *roots, named_value **values,
                       int *found) {
  wn_status status;
  *found = 0;
  DIAG_TRY(&ctx->diag, status) { find_named(ctx, count, roots, values, found); }
  DIAG_END(&ctx->diag, status)
  return status;
}

static bool is_narrow(unsigned dtype) { return dtype_is_float(dtype) && dtype != WN_F64; }

static const uop *widened(graph *g, const uop *u, const uop *const *src) {
  wn_dtype dtype = is_narrow(u->dtype) ? WN_F64 : (wn_dtype)u->dtype;
  if (u->op == OP_BUFFER) return is_narrow(u->dtype) ? uop_cast(g, WN_F64, u) : u;
  if (u->op == OP_CONST) return is_narrow(u->dtype) ? uop_const(g, WN_F64, u->arg.f) : u;
  if (u->op == OP_CAST) return uop_cast(g, dtype, src[0]);
  return uop_new(g, (uop_op)u->op, dtype, u->nsrc, src, u->arg);
}

static void widen(wn_context *ctx, int count, wn_tensor *const *in, wn_tensor **out) {
  graph *g = &ctx->graph;
  uop_order all = nodes_under(ctx, count, in);
  map done;
  map_init(&done, &g->arena);
  VEC(const uop *) src = {0};
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    src.len = 0;
    for (int s = 0; s < u->nsrc; ++s) vec_push(&g->arena, &src, map_get_ptr(&done, u->src[s]->id));
    map_put_ptr(&done, u->id, widened(g, u, src.data));
  }
  for (int i = 0; i < count; ++i) {
    const uop *u = map_get_ptr(&done, in[i]->node->id);
    out[i] = tensor_new(ctx, u, (wn_dtype)u->dtype, in[i]->shape);
  }
}

wn_status tensor_widened(wn_context *ctx, int count, wn_tensor *const *in, wn_tensor **out) {
  wn_status status;
  fp_control callers = fp_read();
  fp_write(fp_default(false));
  DIAG_TRY(&ctx->diag, status) { widen(ctx, count, in, out); }
  DIAG_END(&ctx->diag, status)
  fp_write(callers);
  return status;
}
