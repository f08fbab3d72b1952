/* Importing; see import.h. */
#include "import.h"

#include "ir/walk.h"

const uop *const *import_graph(graph *g, int count, wn_tensor *const *outs) {
  const uop **roots = arena_array(&g->arena, const uop *, count);
  for (int i = 0; i < count; ++i) roots[i] = outs[i]->node;
  uop_order all = uop_toposort(&g->arena, count, roots);
  map copies;
  map_init(&copies, &g->arena);
  VEC(const uop *) src = {0};
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    uop_arg arg = u->arg;
    uop_argkind kind = op_table[u->op].arg;
    if (kind == ARG_LIST || kind == ARG_BUF) arg.list = intern_list(g, arg.list->len, arg.list->at);
    src.len = 0;
    for (int s = 0; s < u->nsrc; ++s)
      vec_push(&g->arena, &src, map_get_ptr(&copies, u->src[s]->id));
    map_put_ptr(&copies, u->id, uop_new(g, u->op, u->dtype, u->nsrc, src.data, arg));
  }
  for (int i = 0; i < count; ++i) roots[i] = map_get_ptr(&copies, roots[i]->id);
  return roots;
}

void import_check_data(wn_context *ctx, graph *g, int count, const uop *const *tensors,
                       void *const *data) {
  diag *d = g->diag;
  for (int i = 0; i < count; ++i) {
    if (data == NULL || data[i] == NULL) {
      diag_fail(d, WN_ERR_USAGE,
                "output %d has nowhere to go: its data is NULL, which only wn_explain takes", i);
    }
  }
  uop_order all = uop_toposort(&g->arena, count, tensors);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op != OP_BUFFER) continue;
    const tensor_buffer *b = &ctx->buffers.data[all.at[i]->arg.i];
    if (b->data != NULL) continue;
    str shape;
    str_init(&shape, &g->arena);
    for (int k = 0; k < b->shape->len; ++k)
      str_printf(&shape, "%s%lld", k ? ", " : "", (long long)b->shape->at[k]);
    diag_fail(d, WN_ERR_USAGE,
              "%s of shape [%s] has no data: NULL is only for what wn_explain explains",
              b->constant ? "a wn_constant" : "a wn_input", str_text(&shape));
  }
}

void import_addresses(wn_context *ctx, wn_program *p, int count, void *const *data) {
  arena *a = &p->graph.arena;
  size_t n = ctx->buffers.len;
  p->user = arena_array(a, void *, n + 1);
  p->results = arena_array(a, void *, count + 1);
  /* inputs are never written: their const ends here because kernels take all arrays alike */
  for (size_t i = 0; i < n; ++i) p->user[i] = (void *)(uintptr_t)ctx->buffers.data[i].data;
  for (int i = 0; i < count; ++i) p->results[i] = data[i];
}

user_buffer *import_describe(wn_context *ctx, graph *g) {
  user_buffer *user = arena_array(&g->arena, user_buffer, ctx->buffers.len + 1);
  for (size_t i = 0; i < ctx->buffers.len; ++i) {
    const tensor_buffer *b = &ctx->buffers.data[i];
    user[i] = (user_buffer){b->dtype, b->count, b->constant};
  }
  return user;
}
