/* Importing; see import.h. */
#include "program/import.h"

#include <math.h>

#include "backend/element.h"

#include "ir/walk.h"

static void copy_name(graph *g, const uop *copy, const value_name *from) {
  if (from == NULL) return;
  value_name *name = arena_new(&g->arena, value_name);
  name->text = intern_string(g, from->text);
  name->shape = intern_list(g, from->shape->len, from->shape->at);
  map_put_ptr(&g->names, copy->id, name);
}

/* The number that all elements of a fixed input are; NULL: they differ, or a double cannot say it. */
static const uop *number_of(graph *g, const tensor_buffer *b) {
  size_t size = wn_dtype_size(b->dtype);
  double value = element_read(b->dtype, b->data, 0);
  for (int64_t i = 1; i < b->count; ++i)
    if (memcmp(b->data, (const char *)b->data + (size_t)i * size, size) != 0) return NULL;
  bool exact = !isnan(value) && (b->dtype != WN_I64 || fabs(value) < 0x1p53);
  return exact ? uop_const(g, b->dtype, value) : NULL;
}

/* A fixed input of one value is that number, as large as the input; NULL: it stays an array. */
static const uop *fold_fixed(graph *g, const wn_context *ctx, const uop *u) {
  if (u->op != OP_BUFFER) return NULL;
  const tensor_buffer *b = &ctx->buffers.data[u->arg.i];
  const uop *number = b->fixed && b->data != NULL ? number_of(g, b) : NULL;
  return number != NULL ? uop_filled(g, number, intern_list(g, b->shape->len, b->shape->at)) : NULL;
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
    const uop *copy = fold_fixed(g, outs[0]->ctx, u);
    if (copy == NULL) {
      copy = uop_new(g, u->op, u->dtype, u->nsrc, src.data, arg);
      copy_name(g, copy, map_get_ptr(&outs[0]->ctx->graph.names, u->id));
    }
    map_put_ptr(&copies, u->id, copy);
  }
  for (int i = 0; i < count; ++i) roots[i] = map_get_ptr(&copies, roots[i]->id);
  return roots;
}

/* --- the caller's arrays --------------------------------------------------------------------- */

static const char *const kind_name[] = {[WN_SLOT_INPUT] = "input",
                                        [WN_SLOT_FIXED] = "input",
                                        [WN_SLOT_CONSTANT] = "constant",
                                        [WN_SLOT_OUTPUT] = "output"};

typedef struct slot_maker {
  wn_context *ctx;
  graph *g;
  slot_list *slots;
  map outputs; /* value_name of an output -> 1 */
} slot_maker;

/* A name that a reshape or permutation of it was given as an output is that one's. */
static const char *own_name(slot_maker *m, const uop *node, wn_slot_kind kind) {
  const value_name *name = map_get_ptr(&m->ctx->graph.names, node->id);
  uint64_t known;
  bool theirs =
      name != NULL && kind != WN_SLOT_OUTPUT && map_get(&m->outputs, (uintptr_t)name, &known);
  return name == NULL || theirs ? NULL : intern_string(m->g, name->text);
}

static void add_slot(slot_maker *m, wn_slot_kind kind, const uop *node, wn_dtype dtype,
                     const int_list *shape, void *data) {
  arena *a = &m->g->arena;
  slot_list *l = m->slots;
  int *count = kind == WN_SLOT_OUTPUT     ? &l->outputs
               : kind == WN_SLOT_CONSTANT ? &l->constants
                                          : &l->inputs;
  const char *own = own_name(m, node, kind), *what = kind_name[kind];
  program_slot s = {.kind = kind,
                    .name = own != NULL ? own : arena_printf(a, "%s%d", what, *count),
                    .dtype = dtype,
                    .shape = intern_list(m->g, shape->len, shape->at),
                    .bytes = wn_dtype_size(dtype)};
  for (int i = 0; i < shape->len; ++i) s.bytes *= (size_t)shape->at[i];
  const char *text = arena_shape(a, shape->len, shape->at);
  s.text = own != NULL ? arena_printf(a, "%s %d \"%s\" of shape %s", what, *count, own, text)
                       : arena_printf(a, "%s %d of shape %s", what, *count, text);
  l->at[l->count] = s;
  l->data[l->count++] = data;
  ++*count;
}

static wn_slot_kind kind_of(const tensor_buffer *b) {
  if (b->fixed) return WN_SLOT_FIXED;
  return b->constant ? WN_SLOT_CONSTANT : WN_SLOT_INPUT;
}

/* In the order in which they were made. node: of each buffer that an output depends on. */
static void add_buffers(slot_maker *m, const uop *const *node, bool constant) {
  for (size_t i = 0; i < m->ctx->buffers.len; ++i) {
    const tensor_buffer *b = &m->ctx->buffers.data[i];
    wn_slot_kind kind = kind_of(b);
    if (node[i] == NULL || (kind == WN_SLOT_CONSTANT) != constant) continue;
    m->slots->of[i] = m->slots->count;
    /* inputs are never written: their const ends here because kernels take all arrays alike */
    add_slot(m, kind, node[i], b->dtype, b->shape, (void *)(uintptr_t)b->data);
  }
}

/* What a fixed input holds now is what it holds in the program. */
static void copy_fixed(slot_maker *m) {
  slot_list *l = m->slots;
  for (int i = 0; i < l->inputs; ++i) {
    if (l->at[i].kind == WN_SLOT_FIXED && l->data[i] != NULL)
      l->data[i] = arena_copy(&m->g->arena, l->data[i], l->at[i].bytes);
  }
}

slot_list import_slots(wn_context *ctx, graph *g, int count, wn_tensor *const *outs,
                       void *const *data, bool variable) {
  arena *a = &g->arena;
  size_t n = ctx->buffers.len;
  slot_list l = {.variable = variable};
  slot_maker m = {.ctx = ctx, .g = g, .slots = &l};
  const uop **node = arena_array(a, const uop *, n + 1),
            **roots = arena_array(a, const uop *, count);
  l.at = arena_array(a, program_slot, n + (size_t)count);
  l.data = arena_array(a, void *, n + (size_t)count);
  l.of = arena_array(a, int, n + 1);
  map_init(&m.outputs, a);
  for (int i = 0; i < count; ++i) {
    roots[i] = outs[i]->node;
    const value_name *name = map_get_ptr(&ctx->graph.names, roots[i]->id);
    if (name != NULL && roots[i]->op != OP_BUFFER) map_put(&m.outputs, (uintptr_t)name, 1);
  }
  uop_order order = uop_toposort(a, count, roots);
  for (size_t i = 0; i < order.len; ++i)
    if (order.at[i]->op == OP_BUFFER) node[order.at[i]->arg.i] = order.at[i];
  for (size_t i = 0; i < n; ++i) l.of[i] = -1;
  add_buffers(&m, node, false);
  add_buffers(&m, node, true);
  for (int i = 0; i < count; ++i)
    add_slot(&m, WN_SLOT_OUTPUT, roots[i], outs[i]->dtype, outs[i]->shape,
             data != NULL ? data[i] : NULL);
  copy_fixed(&m);
  return l;
}

void import_check_data(const slot_list *slots, graph *g, bool all) {
  for (int i = 0; i < slots->count; ++i) {
    const program_slot *s = &slots->at[i];
    if (!slot_lacks(s, slots->data[i]) || (!all && s->kind != WN_SLOT_FIXED)) continue;
    diag_fail(g->diag, WN_ERR_USAGE, "%s has no array: its data is NULL%s", s->text,
              all ? "" : ", and its values are needed to compile");
  }
  slots_check(slots, g->diag, &g->arena);
}

user_buffer *import_describe(wn_context *ctx, graph *g) {
  user_buffer *user = arena_array(&g->arena, user_buffer, ctx->buffers.len + 1);
  for (size_t i = 0; i < ctx->buffers.len; ++i) {
    const tensor_buffer *b = &ctx->buffers.data[i];
    user[i] = (user_buffer){.dtype = b->dtype, .len = b->count, .constant = b->constant};
  }
  return user;
}
