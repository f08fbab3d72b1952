/* Building nodes. In: op, sources, argument. Out: the interned node; see uop.h for what always holds. */
#include "ir/uop.h"

enum { TENSOR = UOP_TENSOR, EXPR = UOP_EXPR, LIN = UOP_LIN, COMM = UOP_COMM, ALU = UOP_ALU };
#define SHAPE_ELEM SH_ELEM
#define SHAPE_MOVE SH_MOVE
#define SHAPE_AXES SH_AXES
#define SHAPE_PICK SH_PICK
#define SHAPE_JOIN SH_JOIN
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

/* --- the graph and its intern tables ---------------------------------------------------------- */

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
  clean.stride = info.stride;
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

/* --- free ranges ------------------------------------------------------------------------------ */

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

int64_t uop_elements(const uop *bufferize) {
  int64_t n = 1;
  for (int i = 1; i < bufferize->nsrc; ++i) n *= bufferize->src[i]->arg.j;
  return n;
}

int64_t uop_span(const uop *bufferize) {
  int64_t last = 0;
  for (int i = 1; i < bufferize->nsrc; ++i)
    last += (bufferize->src[i]->arg.j - 1) * uop_stride(bufferize, i - 1);
  return last + 1;
}

int64_t uop_stride(const uop *bufferize, int i) {
  const int_list *stride = bufferize->arg.info->stride;
  int64_t n = 1;
  if (stride != NULL) return stride->at[i];
  for (int k = i + 2; k < bufferize->nsrc; ++k) n *= bufferize->src[k]->arg.j;
  return n;
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

/* --- bounds ----------------------------------------------------------------------------------- */

typedef struct bounds {
  int64_t lo, hi;
} bounds;

static const bounds unbounded = {INT64_MIN, INT64_MAX};

/* Bounds are of mathematical values: an operation that may overflow is unbounded. */
static bounds bounds_add(bounds a, bounds b) {
  bounds r;
  if (__builtin_add_overflow(a.lo, b.lo, &r.lo) || __builtin_add_overflow(a.hi, b.hi, &r.hi))
    return unbounded;
  return r;
}

static bounds bounds_sub(bounds a, bounds b) {
  bounds r;
  if (__builtin_sub_overflow(a.lo, b.hi, &r.lo) || __builtin_sub_overflow(a.hi, b.lo, &r.hi))
    return unbounded;
  return r;
}

static bounds bounds_mul(bounds a, bounds b) {
  int64_t p[4];
  if (__builtin_mul_overflow(a.lo, b.lo, &p[0]) || __builtin_mul_overflow(a.lo, b.hi, &p[1]) ||
      __builtin_mul_overflow(a.hi, b.lo, &p[2]) || __builtin_mul_overflow(a.hi, b.hi, &p[3])) {
    return unbounded;
  }
  bounds r = {p[0], p[0]};
  for (int i = 1; i < 4; ++i) {
    if (p[i] < r.lo) r.lo = p[i];
    if (p[i] > r.hi) r.hi = p[i];
  }
  return r;
}

static bounds bounds_div(bounds a, bounds b) {
  if (b.lo != b.hi || b.lo <= 0) return unbounded;
  return (bounds){int_div(a.lo, b.lo), int_div(a.hi, b.lo)};
}

static bounds bounds_mod(bounds a, bounds b) {
  if (b.lo <= 0) return unbounded;
  if (b.lo == b.hi && a.lo != INT64_MIN && int_div(a.lo, b.lo) == int_div(a.hi, b.lo)) {
    return (bounds){int_mod(a.lo, b.lo), int_mod(a.hi, b.lo)};
  }
  return (bounds){0, b.hi - 1};
}

static bounds bounds_lt(bounds a, bounds b) { return (bounds){a.hi < b.lo, a.lo < b.hi}; }

static bounds bounds_eq(bounds a, bounds b) {
  bool same = a.lo == a.hi && b.lo == b.hi && a.lo == b.lo;
  return (bounds){same, a.lo <= b.hi && b.lo <= a.hi};
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static bounds of(const uop *u) { return (bounds){u->vmin, u->vmax}; }

static bool exact_source(const uop *u) { return dtype_is_int(u->dtype) || u->dtype == WN_BOOL; }

static bounds node_bounds(const uop *u) {
  const uop *const *s = u->src;
  bounds any = u->dtype == WN_BOOL ? (bounds){0, 1} : unbounded;
  switch (u->op) {
    case OP_CONST:
      return (bounds){u->arg.i, u->arg.i};
    case OP_RANGE:
      return (bounds){0, u->arg.j - 1};
    case OP_ADD:
      return bounds_add(of(s[0]), of(s[1]));
    case OP_SUB:
      return bounds_sub(of(s[0]), of(s[1]));
    case OP_MUL:
      return bounds_mul(of(s[0]), of(s[1]));
    case OP_NEG:
      return bounds_sub((bounds){0, 0}, of(s[0]));
    case OP_IDIV:
      return bounds_div(of(s[0]), of(s[1]));
    case OP_MOD:
      return bounds_mod(of(s[0]), of(s[1]));
    case OP_AND:
    case OP_MIN:
      return (bounds){min64(s[0]->vmin, s[1]->vmin), min64(s[0]->vmax, s[1]->vmax)};
    case OP_OR:
    case OP_MAX:
      return (bounds){max64(s[0]->vmin, s[1]->vmin), max64(s[0]->vmax, s[1]->vmax)};
    case OP_NOT:
      return (bounds){!s[0]->vmax, !s[0]->vmin};
    case OP_LT:
      return exact_source(s[0]) ? bounds_lt(of(s[0]), of(s[1])) : any;
    case OP_EQ:
      return exact_source(s[0]) ? bounds_eq(of(s[0]), of(s[1])) : any;
    case OP_WHERE:
      return (bounds){min64(s[1]->vmin, s[2]->vmin), max64(s[1]->vmax, s[2]->vmax)};
    case OP_CAST:
      return exact_source(s[0]) && u->dtype == WN_I64 ? of(s[0]) : any;
    case OP_GET:
    case OP_SUBSTITUTE:
      return any;
    default:
      return any;
  }
}

static void set_bounds(uop *u) {
  bounds b = unbounded;
  if (dtype_is_int(u->dtype) || u->dtype == WN_BOOL) b = node_bounds(u);
  if (u->dtype == WN_I32 && (b.lo < INT32_MIN || b.hi > INT32_MAX))
    b = (bounds){INT32_MIN, INT32_MAX};
  u->vmin = b.lo;
  u->vmax = b.hi;
}

/* --- interning nodes -------------------------------------------------------------------------- */

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
  set_bounds(u);
  g->slots[at] = u;
  ++g->count;
  return u;
}

const uop *uop_with_src(graph *g, const uop *u, const uop *const *src) {
  return uop_new(g, u->op, u->dtype, u->nsrc, src, u->arg);
}
