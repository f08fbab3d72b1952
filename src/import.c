/* Importing; see import.h. */
#include "import.h"

#include <stdlib.h>

#include "ir/walk.h"

static void copy_name(graph *g, const uop *copy, const value_name *from) {
  if (from == NULL) return;
  value_name *name = arena_new(&g->arena, value_name);
  name->text = intern_string(g, from->text);
  name->shape = intern_list(g, from->shape->len, from->shape->at);
  map_put_ptr(&g->names, copy->id, name);
}

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
    const uop *copy = uop_new(g, u->op, u->dtype, u->nsrc, src.data, arg);
    copy_name(g, copy, map_get_ptr(&outs[0]->ctx->graph.names, u->id));
    map_put_ptr(&copies, u->id, copy);
  }
  for (int i = 0; i < count; ++i) roots[i] = map_get_ptr(&copies, roots[i]->id);
  return roots;
}

/* --- the caller's arrays ------------------------------------------------------------------------------------------------ */

typedef enum array_kind { OUTPUT, INPUT, CONSTANT, ARRAY_KINDS } array_kind;

typedef struct user_array {
  uintptr_t begin, end;
  array_kind kind;
  int number; /* of the output, or in the context */
  const tensor_buffer *buffer;
  const int_list *shape;
  const char *name; /* NULL: it has none */
} user_array;

typedef VEC(user_array) user_arrays;

static const char *array_text(graph *g, const user_array *a) {
  str s;
  str_init(&s, &g->arena);
  if (a->kind == OUTPUT)
    str_printf(&s, "output %d", a->number);
  else
    str_add(&s, a->buffer->constant ? "a wn_constant" : "a wn_input");
  if (a->name != NULL) str_printf(&s, " \"%s\"", a->name);
  str_printf(&s, " of shape %s", arena_shape(&g->arena, a->shape->len, a->shape->at));
  return str_text(&s);
}

/* Which of those that look alike? */
static const char *place_text(graph *g, const user_array *a) {
  if (a->kind == OUTPUT) return "";
  return arena_printf(&g->arena, " (array %d of its context)", a->number);
}

static void add_array(graph *g, user_arrays *all, user_array a, wn_dtype dtype, const void *data) {
  int64_t count = 1;
  for (int k = 0; k < a.shape->len; ++k) count *= a.shape->at[k];
  a.begin = (uintptr_t)data;
  a.end = a.begin + (uintptr_t)count * wn_dtype_size(dtype);
  if (a.end < a.begin) a.end = UINTPTR_MAX; /* no such memory, which is not for us to find out */
  if (data == NULL && a.kind == OUTPUT)
    diag_fail(g->diag, WN_ERR_USAGE,
              "%s has nowhere to go: its data is NULL, which only wn_explain takes",
              array_text(g, &a));
  if (data == NULL)
    diag_fail(g->diag, WN_ERR_USAGE, "%s has no data: NULL is only for what wn_explain explains",
              array_text(g, &a));
  vec_push(&g->arena, all, a);
}

static int by_begin(const void *x, const void *y) {
  const user_array *a = x, *b = y;
  return (a->begin > b->begin) - (a->begin < b->begin);
}

static _Noreturn void refuse_overlap(graph *g, const user_array *a, const user_array *b) {
  if (b->kind < a->kind || (b->kind == a->kind && b->number < a->number)) {
    const user_array *other = a;
    a = b;
    b = other;
  }
  const char *why =
      a->kind == OUTPUT
          ? "what is written needs memory that nothing else is in"
          : "memory that may change between runs is no constant; make both wn_input, or copy one";
  diag_fail(g->diag, WN_ERR_USAGE, "%s%s overlaps %s%s: %s", array_text(g, a), place_text(g, a),
            array_text(g, b), place_text(g, b), why);
}

/* By where they begin: what overlaps an array and begins before it ends behind its begin, and of each kind the one that ends
 * last does if any does. */
static void check_overlaps(graph *g, user_arrays *all) {
  const user_array *last[ARRAY_KINDS] = {NULL};
  qsort(all->data, all->len, sizeof *all->data, by_begin);
  for (size_t i = 0; i < all->len; ++i) {
    const user_array *a = &all->data[i];
    for (int k = 0; k < ARRAY_KINDS; ++k) {
      bool may = a->kind != OUTPUT && k == (int)a->kind; /* both are only read */
      if (last[k] != NULL && !may && last[k]->end > a->begin) refuse_overlap(g, last[k], a);
    }
    if (last[a->kind] == NULL || last[a->kind]->end < a->end) last[a->kind] = a;
  }
}

void import_check_data(wn_context *ctx, graph *g, int count, wn_tensor *const *outs,
                       void *const *data, bool variable) {
  user_arrays all = {0};
  const uop **nodes = arena_array(&g->arena, const uop *, count);
  for (int i = 0; i < count; ++i) {
    nodes[i] = outs[i]->node;
    const user_array a = {.kind = OUTPUT,
                          .number = i,
                          .shape = outs[i]->shape,
                          .name = uop_value_name(&ctx->graph, nodes[i])};
    add_array(g, &all, a, outs[i]->dtype, data != NULL ? data[i] : NULL);
  }
  uop_order order = uop_toposort(&g->arena, count, nodes);
  for (size_t i = 0; i < order.len; ++i) {
    if (order.at[i]->op != OP_BUFFER) continue;
    int slot = (int)order.at[i]->arg.i;
    const tensor_buffer *b = &ctx->buffers.data[slot];
    array_kind kind = b->constant && !variable ? CONSTANT : INPUT;
    const user_array a = {.kind = kind,
                          .number = slot,
                          .buffer = b,
                          .shape = b->shape,
                          .name = uop_value_name(&ctx->graph, order.at[i])};
    add_array(g, &all, a, b->dtype, b->data);
  }
  check_overlaps(g, &all);
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
    user[i] = (user_buffer){b->dtype, b->count, b->constant, 0};
  }
  return user;
}
