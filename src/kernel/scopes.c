/* Scopes and instructions; see build.h. */
#include "kernel/build.h"

uint32_t build_head(builder *b, lin_ins ins) {
  vec_push(b->a, &b->pool, ins);
  return (uint32_t)b->pool.len - 1;
}

uint32_t build_ins(builder *b, scope *at, lin_ins ins) {
  uint32_t id = build_head(b, ins);
  vec_push(b->a, &at->items, ((scope_item){.ins = id}));
  return id;
}

uint32_t build_shuffle(builder *b, scope *at, uint32_t x, uint32_t y, int n, const int64_t *pick) {
  lin_ins ins = {.op = OP_SHUFFLE, .dtype = b->pool.data[x].dtype, .lanes = (uint16_t)n, .nsrc = 1};
  for (int l = 0; l < n; ++l) {
    if (x != y || pick[l] >= b->pool.data[x].lanes) ins.nsrc = 2;
  }
  ins.src[0] = x;
  ins.src[1] = y;
  ins.list = intern_list(b->g, n, pick);
  return build_ins(b, at, ins);
}

static scope *new_scope(builder *b, scope *parent, uint32_t head) {
  scope *s = arena_new(b->a, scope);
  s->parent = parent;
  s->depth = parent != NULL ? parent->depth + 1 : 0;
  s->head = head;
  map_init(&s->values, b->a);
  map_init(&s->splats, b->a);
  return s;
}

scope *build_open(builder *b, uint32_t head) {
  scope *s = new_scope(b, b->cur, head);
  if (b->top == NULL) b->top = s;
  return b->cur = s;
}

void build_bind(builder *b, const uop *range, uint32_t value) {
  map_put(&b->loops, (uint64_t)range->arg.i, (uint64_t)b->cur->depth + 1);
  map_put(&b->range_values, (uint64_t)range->arg.i, value);
}

void build_open_loop(builder *b, const uop *range) {
  uint32_t head =
      build_head(b, (lin_ins){.op = OP_LOOP, .dtype = WN_I64, .lanes = 1, .i = range->arg.j});
  build_open(b, head);
  build_bind(b, range, head);
}

void build_close(builder *b) {
  scope *s = b->cur;
  b->cur = s->parent;
  if (b->cur != NULL) vec_push(b->a, &b->cur->items, ((scope_item){.inner = s}));
}

int build_array(builder *b, int64_t slot) {
  uint64_t known;
  if (map_get(&b->array_slot, (uint64_t)slot, &known)) return (int)known - 1;
  const array_info *info = &b->set->arrays.data[slot];
  lin_array arr = {.name = info->name, .dtype = info->dtype, .len = info->len, .gaps = info->gaps};
  linear_kernel *lk = (linear_kernel *)(void *)b->k;
  if (info->role == ROLE_LOCAL) {
    arr.space = SPACE_LOCAL;
    arr.offset = (int64_t)b->k->scratch_bytes;
    size_t bytes = ((size_t)info->len * wn_dtype_size(info->dtype) + 63) / 64 * 64 + 64;
    b->k->scratch_bytes += bytes;
    arr.aligned = true;
  } else {
    arr.space = SPACE_GLOBAL;
    arr.slot = (int)lk->args.len;
    arr.aligned = info->role == ROLE_WORK || info->role == ROLE_PREPARED;
    vec_push(b->a, &lk->args, (int)slot);
  }
  b->wide |= info->len > INT32_MAX;
  vec_push(b->a, &b->k->arrays, arr);
  map_put(&b->array_slot, (uint64_t)slot, b->k->arrays.len);
  return (int)b->k->arrays.len - 1;
}

/* --- flattening ------------------------------------------------------------------------------- */

typedef struct flattener {
  builder *b;
  uint32_t *number; /* pool -> k->ins */
  double trips;     /* of the loops around, times blocks, times work items */
  VEC(double) outer_trips;
} flattener;

static double flops_of(const lin_kernel *k, const lin_ins *i) {
  /* a work item's share in what it computes with its neighbours */
  double share = k->group > 0 && i->matrix ? 1.0 / (int)MATRIX_ITEMS : 1.0;
  if (i->op == OP_MATRIX_MULADD) return 2.0 * (int)MATRIX_CELLS * (int)MATRIX_SIDE * share;
  bool is_float = dtype_is_float(i->dtype);
  if (!is_float || !(op_table[i->op].flags & UOP_ALU) || i->op == OP_WHERE || i->op == OP_CAST)
    return 0;
  return (i->op == OP_FMA ? 2.0 : 1.0) * i->lanes * share;
}

static void put(flattener *f, uint32_t id) {
  lin_ins ins = f->b->pool.data[id];
  for (int s = 0; s < ins.nsrc; ++s) ins.src[s] = f->number[ins.src[s]];
  f->b->k->flops += flops_of(f->b->k, &ins) * f->trips;
  f->number[id] = (uint32_t)f->b->k->ins.len;
  vec_push(f->b->a, &f->b->k->ins, ins);
}

static void flatten(flattener *f, const scope *s) {
  const lin_ins *head = s->depth > 0 ? &f->b->pool.data[s->head] : NULL;
  double trips = f->trips;
  if (head != NULL) {
    put(f, s->head);
    if (head->op == OP_LOOP) f->trips *= (double)head->i;
    if (head->op == OP_IF) f->trips *= s->share;
  }
  for (size_t i = 0; i < s->items.len; ++i) {
    if (s->items.data[i].inner != NULL)
      flatten(f, s->items.data[i].inner);
    else
      put(f, s->items.data[i].ins);
  }
  if (head != NULL) {
    lin_ins end = {
        .op = OP_END, .dtype = WN_DTYPE_COUNT, .lanes = 1, .nsrc = 1, .src = {f->number[s->head]}};
    vec_push(f->b->a, &f->b->k->ins, end);
  }
  f->trips = trips;
}

void build_flatten(builder *b) {
  flattener f = {.b = b, .trips = (double)b->k->grid * (b->k->group > 0 ? b->k->group : 1)};
  f.number = arena_array(b->a, uint32_t, b->pool.len + 1);
  flatten(&f, b->top);
  for (size_t i = 0; i < b->k->ins.len; ++i) {
    const lin_ins *ins = &b->k->ins.data[i];
    if (ins->op == OP_LOAD || ins->op == OP_MATRIX_LOAD) b->k->arrays.data[ins->i].read = true;
    if (ins->op == OP_STORE || ins->op == OP_MATRIX_STORE) b->k->arrays.data[ins->i].written = true;
  }
  for (size_t i = 0; i < b->k->arrays.len; ++i) {
    const lin_array *a = &b->k->arrays.data[i];
    double bytes = (double)(a->len - a->gaps) * (double)wn_dtype_size(a->dtype);
    if (a->space == SPACE_GLOBAL) b->k->bytes += bytes * (a->read + a->written);
  }
}
