/* Building nodes. In: op, sources, argument. Out: the interned node; see uop.h for what always holds. */
#include "ir/uop.h"

#include <math.h>

enum { TENSOR = UOP_TENSOR, EXPR = UOP_EXPR, LIN = UOP_LIN, COMM = UOP_COMM, ALU = UOP_ALU };
#define SHAPE_ELEM SH_ELEM
#define SHAPE_MOVE SH_MOVE
#define SHAPE_AXES SH_AXES
#define SHAPE_LEAF SH_LEAF
#define SHAPE_NONE SH_NONE

const op_info op_table[OP_COUNT] = {
#define OP(name_, lo_, hi_, arg_, dtype_, shape_, flags_, meaning_) \
  [OP_##name_] = {#name_, meaning_, lo_, hi_, ARG_##arg_, DT_##dtype_, SHAPE_##shape_, flags_},
#include "ir/ops.def"
#undef OP
};

const char stage_letter[STAGE_COUNT] = {'x', 'g', 'm', 'o'};
const char *const space_name[SPACE_COUNT] = {"any", "inline", "reg", "local", "global"};

int op_by_name(const char *name, size_t len) {
  for (int i = 0; i < OP_COUNT; ++i) {
    if (strlen(op_table[i].name) == len && memcmp(op_table[i].name, name, len) == 0) return i;
  }
  return -1;
}

/* --- the graph and its intern tables ------------------------------------------------------------------------------ */

void graph_init(graph *g, diag *d) {
  memset(g, 0, sizeof *g);
  g->diag = d;
  arena_init(&g->arena, d);
  map_init(&g->lists, &g->arena);
  map_init(&g->strings, &g->arena);
  map_init(&g->sets, &g->arena);
  map_init(&g->infos, &g->arena);
  map_init(&g->range_names, &g->arena);
  map_init(&g->stored, &g->arena);
  map_init(&g->names, &g->arena);
  map_init(&g->sums, &g->arena);
}

void graph_release(graph *g) { arena_release(&g->arena); }

/* Interns size bytes: equal bytes give the same pointer. A colliding hash moves on to the next key. */
static const void *intern(graph *g, map *table, const void *bytes, size_t size, uint64_t seed) {
  for (uint64_t key = hash_bytes(bytes, size, seed) & (MAP_NONE >> 1);; ++key) {
    void *old = map_get_ptr(table, key);
    if (old == NULL) {
      size_t *block = arena_alloc(&g->arena, sizeof(size_t) * 2 + size);
      block[0] = size;
      memcpy(block + 2, bytes, size);
      map_put_ptr(table, key, block);
      return block + 2;
    }
    size_t *block = old;
    if (block[0] == size && memcmp(block + 2, bytes, size) == 0) return block + 2;
  }
}

const int_list *intern_list(graph *g, int n, const int64_t *values) {
  size_t size = sizeof(int_list) + (size_t)n * sizeof(int64_t);
  int_list *l = arena_alloc(&g->arena, size);
  l->len = n;
  if (n) memcpy(l->at, values, (size_t)n * sizeof(int64_t));
  return intern(g, &g->lists, l, size, 1);
}

const char *intern_string(graph *g, const char *s) {
  return intern(g, &g->strings, s, strlen(s) + 1, 2);
}

const bufferize_info *intern_info(graph *g, bufferize_info info) {
  bufferize_info clean; /* padding bytes must not take part */
  memset(&clean, 0, sizeof clean);
  clean.name = intern_string(g, info.name);
  clean.space = info.space;
  clean.explicit_ = info.explicit_;
  clean.site = info.site;
  clean.stage = info.site < 0 ? STAGE_COUNT : info.stage;
  return intern(g, &g->infos, &clean, sizeof clean, 3);
}

enum { FEW = 64 }; /* sets of at most so many RANGEs are made on the stack */

static const range_set *intern_set(graph *g, int n, const int64_t *sorted) {
  size_t size = sizeof(range_set) + (size_t)n * sizeof(int64_t);
  int64_t small[FEW + 1];
  range_set *s = n <= FEW ? (range_set *)(void *)small : arena_alloc(&g->arena, size);
  memset(s, 0, sizeof *s);
  s->len = n;
  if (n) memcpy(s->at, sorted, (size_t)n * sizeof(int64_t));
  return intern(g, &g->sets, s, size, 4);
}

/* --- free ranges --------------------------------------------------------------------------------------------------- */

static bool set_contains(const range_set *a, const range_set *b) {
  int i = 0;
  for (int j = 0; j < b->len; ++j) {
    while (i < a->len && a->at[i] < b->at[j]) ++i;
    if (i == a->len || a->at[i] != b->at[j]) return false;
  }
  return true;
}

static const range_set *set_union(graph *g, const range_set *a, const range_set *b) {
  if (a == b || set_contains(a, b)) return a;
  if (set_contains(b, a)) return b;
  int64_t few[FEW],
      *out = a->len + b->len <= FEW ? few : arena_array(&g->arena, int64_t, a->len + b->len);
  int n = 0, i = 0, j = 0;
  while (i < a->len || j < b->len) {
    if (j == b->len || (i < a->len && a->at[i] < b->at[j]))
      out[n++] = a->at[i++];
    else if (i == a->len || b->at[j] < a->at[i])
      out[n++] = b->at[j++];
    else
      out[n++] = a->at[i++], j++;
  }
  return intern_set(g, n, out);
}

static const range_set *set_minus(graph *g, const range_set *a, const int64_t *gone, int ngone) {
  int64_t few[FEW], *out = a->len <= FEW ? few : arena_array(&g->arena, int64_t, a->len);
  int n = 0;
  for (int i = 0; i < a->len; ++i) {
    bool drop = false;
    for (int j = 0; j < ngone; ++j) drop |= gone[j] == a->at[i];
    if (!drop) out[n++] = a->at[i];
  }
  return n == a->len ? a : intern_set(g, n, out);
}

/* Does the op bind the RANGEs among its sources first, first + step, ...? */
static bool binds(uop_op op, int *first, int *step) {
  *first = 1;
  *step = op == OP_SUBSTITUTE ? 2 : 1;
  return op == OP_REDUCE || op == OP_BUFFERIZE || op == OP_SUBSTITUTE;
}

static const range_set *free_ranges(graph *g, const uop *u) {
  if (u->op == OP_RANGE) return intern_set(g, 1, &u->arg.i);
  if (u->nsrc == 0) return intern_set(g, 0, NULL);
  const range_set *s = u->src[0]->free_;
  int first, step;
  if (!binds(u->op, &first, &step)) {
    for (int i = 1; i < u->nsrc; ++i) s = set_union(g, s, u->src[i]->free_);
    return s;
  }
  int n = 0;
  int64_t few[FEW], *bound = u->nsrc <= FEW ? few : arena_array(&g->arena, int64_t, u->nsrc);
  for (int i = first; i < u->nsrc; i += step) bound[n++] = u->src[i]->arg.i;
  s = set_minus(g, s, bound, n);
  for (int i = 2; u->op == OP_SUBSTITUTE && i < u->nsrc; i += 2)
    s = set_union(g, s, u->src[i]->free_);
  return s;
}

bool uop_has_range(const uop *u, const uop *range) {
  const range_set *s = u->free_;
  int lo = 0, hi = s->len;
  while (lo < hi) {
    int mid = (lo + hi) / 2;
    if (s->at[mid] < range->arg.i)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < s->len && s->at[lo] == range->arg.i;
}

/* --- interning nodes ---------------------------------------------------------------------------------------------- */

static uint64_t hash_step(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9fb21c651e98df25u;
  return h ^ (h >> 29);
}

static uint32_t node_hash(uop_op op, wn_dtype dtype, int nsrc, const uop *const *src, uop_arg arg) {
  uint64_t h = hash_step((uint64_t)op * 16 + dtype, (uint64_t)arg.i);
  h = hash_step(h, (uint64_t)arg.j);
  for (int i = 0; i < nsrc; ++i) h = hash_step(h, src[i]->id);
  return (uint32_t)(h ^ (h >> 32));
}

static bool node_equal(const uop *u, uop_op op, wn_dtype dtype, int nsrc, const uop *const *src,
                       uop_arg arg) {
  return u->op == op && u->dtype == dtype && u->nsrc == nsrc &&
         memcmp(&u->arg, &arg, sizeof arg) == 0 &&
         (nsrc == 0 || memcmp(u->src, src, (size_t)nsrc * sizeof *src) == 0);
}

/* A table of n slots with the nodes that are among the first so many. */
static void fill_table(graph *g, uint32_t n, uint32_t count) {
  const uop **slots = arena_array(&g->arena, const uop *, n);
  for (uint32_t i = 0; i < g->nslots; ++i) {
    const uop *u = g->slots[i];
    if (u == NULL || u->id >= count) continue;
    uint32_t at = u->hash & (n - 1);
    while (slots[at] != NULL) at = (at + 1) & (n - 1);
    slots[at] = u;
  }
  g->slots = slots;
  g->nslots = n;
}

static void grow_table(graph *g) { fill_table(g, g->nslots ? g->nslots * 2 : 1024, g->count); }

void graph_forget(graph *g, uint32_t count) {
  fill_table(g, g->nslots, count);
  g->count = count;
}

static void check_row(uop_op op, int nsrc, const uop *const *src) {
  const op_info *row = &op_table[op];
  WN_CHECK(nsrc >= row->lo && (row->hi < 0 || nsrc <= row->hi), "%s with %d sources", row->name,
           nsrc);
  for (int i = 0; i < nsrc; ++i)
    WN_CHECK(src[i] != NULL, "source %d of %s is missing", i, row->name);
  int first, step;
  if (!binds(op, &first, &step)) return;
  for (int i = first; i < nsrc; i += step) {
    WN_CHECK(src[i]->op == OP_RANGE, "%s binds a %s, not a RANGE", row->name,
             op_table[src[i]->op].name);
  }
}

const uop *uop_new(graph *g, uop_op op, wn_dtype dtype, int nsrc, const uop *const *src,
                   uop_arg arg) {
  check_row(op, nsrc, src);
  if (g->count * 2 >= g->nslots) grow_table(g);
  uint32_t hash = node_hash(op, dtype, nsrc, src, arg), mask = g->nslots - 1, at = hash & mask;
  for (; g->slots[at] != NULL; at = (at + 1) & mask) {
    const uop *u = g->slots[at];
    if (u->hash == hash && node_equal(u, op, dtype, nsrc, src, arg)) return u;
  }
  uop *u = arena_alloc(&g->arena, sizeof(uop) + (size_t)nsrc * sizeof(uop *));
  u->id = g->count;
  u->hash = hash;
  u->op = (uint8_t)op;
  u->dtype = (uint8_t)dtype;
  u->nsrc = (uint16_t)nsrc;
  u->arg = arg;
  if (nsrc) memcpy(u->src, src, (size_t)nsrc * sizeof *src);
  u->lazy = op == OP_SUBSTITUTE;
  for (int i = 0; i < nsrc; ++i) u->lazy |= src[i]->lazy;
  u->free_ = free_ranges(g, u);
  uop_bounds(u, &u->vmin, &u->vmax);
  g->slots[at] = u;
  g->count++;
  return u;
}

const uop *uop_with_src(graph *g, const uop *u, const uop *const *src) {
  return uop_new(g, u->op, u->dtype, u->nsrc, src, u->arg);
}

/* --- leaves --------------------------------------------------------------------------------------------------------- */

static float round_bf16(double v) {
  float f = (float)v;
  uint32_t b;
  memcpy(&b, &f, 4);
  if (!isnan(f)) b = (b + 0x7fff + ((b >> 16) & 1)) & 0xffff0000u;
  memcpy(&f, &b, 4);
  return f;
}

static double round_to(wn_dtype dtype, double v) {
  switch (dtype) {
    case WN_F32:
      return (double)(float)v;
    case WN_BF16:
      return (double)round_bf16(v);
    case WN_F16: { /* 11 significant bits, exponents -14..15, subnormals below */
      if (!isfinite(v) || v == 0) return v;
      int e;
      frexp(v, &e);
      double unit = ldexp(1.0, (e - 11 < -24) ? -24 : e - 11), q = nearbyint(v / unit) * unit;
      return fabs(q) >= 65520.0 ? copysign(INFINITY, v) : q;
    }
    default:
      return v;
  }
}

const uop *uop_const(graph *g, wn_dtype dtype, double value) {
  uop_arg arg = {.i = 0, .j = 0};
  if (dtype_is_float(dtype))
    arg.f = round_to(dtype, value);
  else
    arg.i = dtype == WN_BOOL ? value != 0 : dtype == WN_I32 ? (int32_t)value : (int64_t)value;
  return uop_new(g, OP_CONST, dtype, 0, NULL, arg);
}

const uop *uop_int(graph *g, int64_t value) {
  return uop_new(g, OP_CONST, WN_I64, 0, NULL, (uop_arg){.i = value});
}

const uop *uop_bool(graph *g, bool value) {
  return uop_new(g, OP_CONST, WN_BOOL, 0, NULL, (uop_arg){.i = value});
}

double uop_const_value(const uop *u) {
  return dtype_is_float(u->dtype) ? u->arg.f : (double)u->arg.i;
}

const uop *uop_range(graph *g, int64_t extent, const char *name) {
  int64_t number = g->next_range++;
  if (name != NULL) map_put_ptr(&g->range_names, (uint64_t)number, intern_string(g, name));
  return uop_new(g, OP_RANGE, WN_I64, 0, NULL, (uop_arg){.i = number, .j = extent});
}

const char *uop_value_name(const graph *g, const uop *u) {
  const value_name *name = map_get_ptr(&g->names, u->id);
  return name == NULL ? NULL : name->text;
}

const char *uop_range_name(const graph *g, const uop *range) {
  const char *name = map_get_ptr(&g->range_names, (uint64_t)range->arg.i);
  if (name != NULL) return name;
  return arena_printf((arena *)&g->arena, "r%lld", (long long)range->arg.i);
}

const uop *uop_buffer(graph *g, int64_t slot, wn_dtype dtype, int ndim, const int64_t *shape) {
  return uop_new(g, OP_BUFFER, dtype, 0, NULL,
                 (uop_arg){.i = slot, .list = intern_list(g, ndim, shape)});
}

const uop *uop_identity(graph *g, uop_op alu, wn_dtype dtype) {
  switch (alu) {
    case OP_ADD:
      return uop_const(g, dtype, 0);
    case OP_MUL:
      return uop_const(g, dtype, 1);
    case OP_OR:
      return uop_bool(g, false);
    case OP_AND:
      return uop_bool(g, true);
    case OP_MAX:
    case OP_MIN: {
      bool max = alu == OP_MAX;
      if (dtype_is_float(dtype)) return uop_const(g, dtype, max ? -INFINITY : INFINITY);
      if (dtype == WN_BOOL) return uop_bool(g, !max);
      int64_t lo = dtype == WN_I32 ? INT32_MIN : INT64_MIN,
              hi = dtype == WN_I32 ? INT32_MAX : INT64_MAX;
      return uop_new(g, OP_CONST, dtype, 0, NULL, (uop_arg){.i = max ? lo : hi});
    }
    default:
      diag_panic(__FILE__, __LINE__, "%s is no reduction", op_table[alu].name);
  }
}

/* --- range IR --------------------------------------------------------------------------------------------------------- */

const uop *uop_index(graph *g, const uop *base, const uop *valid, int n, const uop *const *index) {
  const uop **src = arena_array(&g->arena, const uop *, n + 2);
  src[0] = base;
  src[1] = valid != NULL ? valid : uop_bool(g, true);
  for (int i = 0; i < n; ++i) src[i + 2] = index[i];
  return uop_new(g, OP_INDEX, base->dtype, n + 2, src, (uop_arg){0});
}

static const uop *with_ranges(graph *g, uop_op op, const uop *value, int n,
                              const uop *const *ranges, uop_arg arg) {
  const uop **src = arena_array(&g->arena, const uop *, n + 1);
  src[0] = value;
  for (int i = 0; i < n; ++i) src[i + 1] = ranges[i];
  return uop_new(g, op, value->dtype, n + 1, src, arg);
}

const uop *uop_reduce(graph *g, uop_op alu, const uop *value, int n, const uop *const *ranges) {
  return n == 0 ? value : with_ranges(g, OP_REDUCE, value, n, ranges, (uop_arg){.i = alu});
}

const uop *uop_bufferize(graph *g, const uop *value, int n, const uop *const *ranges,
                         bufferize_info info) {
  return with_ranges(g, OP_BUFFERIZE, value, n, ranges, (uop_arg){.info = intern_info(g, info)});
}

const uop *uop_stack(graph *g, int n, const uop *const *elems) {
  return uop_new(g, OP_STACK, elems[0]->dtype, n, elems, (uop_arg){0});
}

const uop *uop_get(graph *g, const uop *stack, const uop *which) {
  if (which->op == OP_CONST && stack->op == OP_STACK) {
    WN_CHECK(which->arg.i >= 0 && which->arg.i < stack->nsrc, "GET %lld of %d",
             (long long)which->arg.i, stack->nsrc);
    return stack->src[which->arg.i];
  }
  return uop_new(g, OP_GET, stack->dtype, 2, (const uop *[]){stack, which}, (uop_arg){0});
}

const uop *uop_substitute(graph *g, const uop *value, int npairs, const uop *const *pairs) {
  const uop **src = arena_array(&g->arena, const uop *, npairs * 2 + 1);
  int n = 1;
  src[0] = value;
  for (int i = 0; i < npairs; ++i) {
    if (!uop_has_range(value, pairs[2 * i]) || pairs[2 * i] == pairs[2 * i + 1]) continue;
    src[n++] = pairs[2 * i];
    src[n++] = pairs[2 * i + 1];
  }
  return n == 1 ? value : uop_new(g, OP_SUBSTITUTE, value->dtype, n, src, (uop_arg){0});
}
