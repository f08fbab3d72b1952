/* Linear IR for people, and its laws.
 *
 * In: a kernel. Out: text, one instruction a line, indented by loop; or the first broken law of
 * kernel/linear.h.
 * Always holds: both only read the kernel, and neither is recursive. */
#include "kernel/linear.h"

#include <inttypes.h>

wn_dtype register_dtype(unsigned dtype) {
  return dtype == WN_F16 || dtype == WN_BF16 ? WN_F32 : (wn_dtype)dtype;
}

/* --- printing --------------------------------------------------------------------------------- */

static bool has_value(int op) {
  return op != OP_STORE && op != OP_ACC_SET && op != OP_IF && op != OP_END && op != OP_PREFETCH &&
         op != OP_BARRIER && op != OP_MATRIX_STORE;
}

static void print_array(str *out, const lin_kernel *k, size_t index) {
  const lin_array *a = &k->arrays.data[index];
  str_printf(out, "  array %zu %s: %s %s[%" PRId64 "]", index, a->name, space_name[a->space],
             wn_dtype_name(a->dtype), a->len);
  if (a->space == SPACE_GLOBAL) str_printf(out, " slot %d", a->slot);
  if (a->space == SPACE_LOCAL) str_printf(out, " at %" PRId64, a->offset);
  str_printf(out, "%s%s%s", a->read ? " read" : "", a->written ? " written" : "",
             a->aligned ? " aligned" : "");
  for (size_t i = 0; i < k->pairs.len; ++i)
    if (k->pairs.data[i].stored == (int)index)
      str_printf(out, " in place of %d", k->pairs.data[i].read);
  str_add(out, "\n");
}

static void print_access(str *out, const lin_kernel *k, const lin_ins *u) {
  bool store = u->op == OP_STORE;
  int lanes = store ? k->ins.data[u->src[1]].lanes : u->lanes;
  const char *name = (size_t)u->i < k->arrays.len ? k->arrays.data[u->i].name : "?";
  str_printf(out, " %s[%%%" PRIu32, name, u->src[0]);
  if (u->disp != 0) str_printf(out, "%+" PRId64, u->disp);
  if (u->op != OP_PREFETCH && lanes > 1 && k->ins.data[u->src[0]].lanes == 1 && u->j != 1)
    str_printf(out, " + %" PRId64 " a lane", u->j);
  str_add(out, "]");
  if (store) str_printf(out, " = %%%" PRIu32, u->src[1]);
  int mask = store ? 2 : 1;
  if (u->nsrc > mask) str_printf(out, " if %%%" PRIu32, u->src[mask]);
}

static void print_matrix(str *out, const lin_kernel *k, const lin_ins *u) {
  const char *name = (size_t)u->i < k->arrays.len ? k->arrays.data[u->i].name : "?";
  str_printf(out, " %s[%%%" PRIu32, name, u->src[0]);
  if (u->disp != 0) str_printf(out, "%+" PRId64, u->disp);
  str_printf(out, " + %" PRId64 " a %s]", u->j, u->transposed ? "column" : "row");
  if (u->op == OP_MATRIX_STORE) str_printf(out, " = %%%" PRIu32, u->src[1]);
}

static void print_ins(str *out, const lin_kernel *k, size_t index, int depth) {
  const lin_ins *u = &k->ins.data[index];
  str_printf(out, "%*s", 2 * depth + 2, "");
  if (has_value(u->op)) str_printf(out, "%%%zu = ", index);
  str_add(out, op_table[u->op].name);
  if (has_value(u->op) && u->op != OP_LOOP && u->op != OP_GRID && u->op != OP_LANE &&
      u->dtype < WN_DTYPE_COUNT) {
    str_printf(out, " %s", wn_dtype_name((wn_dtype)u->dtype));
    if (u->matrix)
      str_printf(out, " %dx%d", (int)MATRIX_SIDE, (int)MATRIX_SIDE);
    else if (u->lanes > 1)
      str_printf(out, "x%d", u->lanes);
  }
  if (u->op == OP_LOAD || u->op == OP_STORE || u->op == OP_PREFETCH) {
    print_access(out, k, u);
  } else if (u->op == OP_MATRIX_LOAD || u->op == OP_MATRIX_STORE) {
    print_matrix(out, k, u);
  } else {
    for (int s = 0; s < u->nsrc; s++) str_printf(out, "%s%%%" PRIu32, s ? ", " : " ", u->src[s]);
    if (u->op == OP_CONST && dtype_is_float(u->dtype))
      str_printf(out, " %.17g", u->f);
    else if (u->op == OP_CONST || u->op == OP_LOOP)
      str_printf(out, " %" PRId64, u->i);
    else if (u->op == OP_EXTRACT)
      str_printf(out, ", lane %" PRId64, u->i);
    if (u->op == OP_SHUFFLE)
      for (int32_t l = 0; l < u->list->len; ++l)
        str_printf(out, "%s%" PRId64, l ? " " : ", ", u->list->at[l]);
  }
  str_add(out, "\n");
}

void lin_print(str *out, const lin_kernel *k) {
  str_printf(out, "kernel %s: grid %" PRId64 ", scratch %zu\n", k->name, k->grid, k->scratch_bytes);
  if (k->stage != NULL) str_printf(out, "  stage %s\n", k->stage);
  if (k->loops != NULL) str_printf(out, "  loops %s\n", k->loops);
  for (size_t i = 0; i < k->arrays.len; ++i) print_array(out, k, i);
  int depth = 0;
  for (size_t i = 0; i < k->ins.len; ++i) {
    int op = k->ins.data[i].op;
    if (op == OP_END && depth > 0) --depth;
    print_ins(out, k, i, depth);
    if (op == OP_LOOP || op == OP_IF) ++depth;
  }
}

/* --- laws ------------------------------------------------------------------------------------- */

typedef struct checker {
  arena *arena;
  const lin_kernel *kernel;
  int32_t *block;  /* per instruction: the LOOP or IF it stands in, -1 for none */
  bool *open;      /* per LOOP and IF: not yet closed */
  int32_t current; /* innermost open block */
  size_t index;    /* instruction being checked */
} checker;

/* One line: where, and what. */
static const char *broken(const checker *c, const char *what) {
  const lin_ins *u = &c->kernel->ins.data[c->index];
  return arena_printf(c->arena, "%s: %%%zu %s: %s", c->kernel->name, c->index,
                      u->op < OP_COUNT ? op_table[u->op].name : "?", what);
}

static const lin_ins *source(const checker *c, const lin_ins *u, int s) {
  return &c->kernel->ins.data[u->src[s]];
}

static const char *check_sources(const checker *c, const lin_ins *u) {
  const op_info *info = &op_table[u->op];
  if (!(info->flags & UOP_LIN)) return broken(c, "is not an operation of the linear IR");
  if (u->nsrc < info->lo || (info->hi >= 0 && u->nsrc > info->hi) || u->nsrc > 4)
    return broken(c, "has the wrong number of operands");
  for (int s = 0; s < u->nsrc; ++s) {
    if (u->src[s] >= c->index) return broken(c, "uses a later instruction");
    const lin_ins *v = source(c, u, s);
    if (u->op == OP_END) continue;
    if (!has_value(v->op)) return broken(c, "uses an instruction without a value");
    int32_t home = v->op == OP_LOOP ? (int32_t)u->src[s] : c->block[u->src[s]];
    if (home >= 0 && !c->open[home]) return broken(c, "uses a value of a loop that is closed");
  }
  return NULL;
}

static const char *check_value(const checker *c, const lin_ins *u) {
  if (!has_value(u->op)) return NULL;
  if (u->dtype >= WN_DTYPE_COUNT) return broken(c, "has no dtype");
  if (u->dtype == WN_F16 || u->dtype == WN_BF16)
    return broken(c, "has a dtype that exists in memory only");
  if (u->lanes == 0 || (u->lanes & (u->lanes - 1)) != 0)
    return broken(c, "has lanes that are no power of two");
  return NULL;
}

/* Which dtypes an ALU op works on. */
static bool dtype_fits(int op, wn_dtype dt) {
  bool is_float = dtype_is_float(dt), is_int = dtype_is_int(dt);
  switch (op) {
    case OP_DIV:
    case OP_FLOOR:
    case OP_ROUND:
    case OP_SQRT:
    case OP_EXP:
    case OP_LOG:
    case OP_SIN:
    case OP_COS:
    case OP_ATAN:
    case OP_TANH:
    case OP_ERF:
    case OP_POW:
      return is_float;
    case OP_IDIV:
    case OP_MOD:
      return is_int;
    case OP_AND:
    case OP_OR:
    case OP_NOT:
      return dt == WN_BOOL;
    case OP_SUB:
    case OP_NEG:
    case OP_ABS:
    case OP_FMA:
      return is_float || is_int;
    default:
      return true;
  }
}

static const char *check_alu(const checker *c, const lin_ins *u) {
  wn_dtype want = (wn_dtype)u->dtype;
  for (int s = 0; s < u->nsrc; ++s)
    if (source(c, u, s)->lanes != u->lanes)
      return broken(c, "has operands of other lanes than its own");
  if (u->op == OP_CAST) return NULL;
  if (u->op == OP_LT || u->op == OP_EQ) {
    if (want != WN_BOOL) return broken(c, "must be bool");
    return source(c, u, 0)->dtype == source(c, u, 1)->dtype
               ? NULL
               : broken(c, "compares different dtypes");
  }
  for (int s = 0; s < u->nsrc; ++s) {
    wn_dtype need = u->op == OP_WHERE && s == 0 ? WN_BOOL : want;
    if (source(c, u, s)->dtype != need) return broken(c, "has an operand of another dtype");
  }
  return dtype_fits(u->op, want) ? NULL : broken(c, "does not exist for its dtype");
}

/* REG arrays have no address: offset and extent must be known here. */
static const char *check_reg_offset(const checker *c, const lin_ins *u, const lin_array *a,
                                    int lanes) {
  const lin_ins *offset = source(c, u, 0);
  if (offset->op != OP_CONST || offset->lanes != 1)
    return broken(c, "indexes a reg array by a variable");
  int64_t first = offset->i + u->disp, last = lanes > 1 ? first + (lanes - 1) * u->j : first;
  bool inside = first >= 0 && first < a->len && last >= 0 && last < a->len;
  return inside ? NULL : broken(c, "is outside of its reg array");
}

static const char *check_access(const checker *c, const lin_ins *u) {
  if (u->i < 0 || (size_t)u->i >= c->kernel->arrays.len) return broken(c, "names no array");
  const lin_array *a = &c->kernel->arrays.data[u->i];
  const lin_ins *offset = source(c, u, 0);
  if (offset->dtype != WN_I64) return broken(c, "has an offset that is not i64");
  if (u->op == OP_PREFETCH) {
    if (offset->lanes != 1) return broken(c, "prefetches a vector of places");
    return a->space == SPACE_REG ? broken(c, "prefetches a reg array") : NULL;
  }
  bool store = u->op == OP_STORE;
  if (store ? !a->written : !a->read)
    return broken(c, store ? "array is not marked written" : "array is not marked read");
  const lin_ins *value = store ? source(c, u, 1) : u;
  if (value->dtype != register_dtype(a->dtype))
    return broken(c, "moves a value of another dtype than its array's");
  if (offset->lanes != 1 && offset->lanes != value->lanes)
    return broken(c, "has offsets of other lanes than its value");
  if (offset->lanes == 1 && value->lanes > 1 && u->j == 0)
    return broken(c, "has no distance between its lanes");
  int mask = store ? 2 : 1;
  if (u->nsrc > mask) {
    const lin_ins *m = source(c, u, mask);
    if (m->dtype != WN_BOOL || m->lanes != value->lanes)
      return broken(c, "has a mask that does not fit its value");
  }
  return a->space == SPACE_REG ? check_reg_offset(c, u, a, value->lanes) : NULL;
}

static const char *check_matrix_access(const checker *c, const lin_ins *u) {
  if (u->i < 0 || (size_t)u->i >= c->kernel->arrays.len) return broken(c, "names no array");
  const lin_array *a = &c->kernel->arrays.data[u->i];
  const lin_ins *offset = source(c, u, 0);
  bool store = u->op == OP_MATRIX_STORE;
  if (a->dtype != WN_F32 || a->space == SPACE_REG) return broken(c, "needs an f32 array in memory");
  if (store ? !a->written : !a->read)
    return broken(c, store ? "array is not marked written" : "array is not marked read");
  if (offset->dtype != WN_I64 || offset->lanes != 1)
    return broken(c, "has an offset that is no i64 scalar");
  if (u->j < MATRIX_SIDE) return broken(c, "has rows that overlap");
  return store && u->transposed ? broken(c, "stores a transposed matrix") : NULL;
}

static bool makes_matrix(int op) { return op == OP_MATRIX_LOAD || op == OP_MATRIX_MULADD; }

/* Matrices are no vectors: both ways, an operand is what its operation works on. */
static const char *check_is_matrix(const checker *c, const lin_ins *u) {
  bool through = u->op == OP_CONST || u->op == OP_ACC || u->op == OP_ADD;
  if (u->matrix && !makes_matrix(u->op) && !through)
    return broken(c, "does not exist for matrices");
  bool shape = u->dtype == WN_F32 && u->lanes == MATRIX_CELLS;
  if ((u->matrix && !shape) || (makes_matrix(u->op) && !u->matrix))
    return broken(c, "must be an f32 matrix");
  int first = u->op == OP_MATRIX_LOAD || u->op == OP_MATRIX_STORE; /* behind the offset */
  bool wants = u->matrix || u->op == OP_MATRIX_STORE;
  if (u->op == OP_ACC_SET) wants = source(c, u, 0)->matrix;
  for (int s = 0; s < u->nsrc && u->op != OP_END; ++s) {
    if (source(c, u, s)->matrix != (wants && s >= first))
      return broken(c, wants && s >= first ? "has an operand that is no f32 matrix"
                                           : "has a matrix where a vector must be");
  }
  return NULL;
}

/* Whether all work items that hold a matrix come by is not checked: conditions are values. */
static const char *check_matrix(const checker *c, const lin_ins *u) {
  if (c->kernel->group % MATRIX_ITEMS != 0)
    return broken(c, "is in a group that is no multiple of the work items of a matrix");
  return u->op == OP_MATRIX_MULADD ? NULL : check_matrix_access(c, u);
}

static const char *check_shuffle(const checker *c, const lin_ins *u) {
  if (u->list == NULL || u->list->len != u->lanes)
    return broken(c, "lists another number of lanes than its own");
  int64_t have = 0;
  for (int s = 0; s < u->nsrc; ++s) {
    if (source(c, u, s)->dtype != u->dtype) return broken(c, "has an operand of another dtype");
    if (source(c, u, s)->lanes != source(c, u, 0)->lanes)
      return broken(c, "has operands of different lanes");
    have += source(c, u, s)->lanes;
  }
  if (source(c, u, 0)->lanes < 2 || u->lanes < 2) return broken(c, "works on vectors only");
  for (int32_t l = 0; l < u->list->len; ++l)
    if (u->list->at[l] < 0 || u->list->at[l] >= have)
      return broken(c, "picks a lane that does not exist");
  return NULL;
}

static const char *check_lanes(const checker *c, const lin_ins *u) {
  const lin_ins *v = source(c, u, 0);
  if (v->dtype != u->dtype) return broken(c, "has an operand of another dtype");
  if (u->op == OP_BROADCAST)
    return v->lanes == 1 && u->lanes > 1 ? NULL : broken(c, "must turn a scalar into a vector");
  if (u->lanes != 1) return broken(c, "must be a scalar");
  return u->i >= 0 && u->i < v->lanes ? NULL : broken(c, "picks a lane that does not exist");
}

static const char *check_same(const checker *c, const lin_ins *a, const lin_ins *b) {
  return a->dtype == b->dtype && a->lanes == b->lanes
             ? NULL
             : broken(c, "changes the dtype or lanes of its variable");
}

static const char *check_end(checker *c, const lin_ins *u) {
  if (c->current < 0 || u->src[0] != (uint32_t)c->current)
    return broken(c, "does not close the innermost loop");
  c->open[c->current] = false;
  c->current = c->block[c->current];
  return NULL;
}

static const char *check_ins(checker *c, const lin_ins *u) {
  if (op_table[u->op].flags & UOP_ALU) return check_alu(c, u);
  switch (u->op) {
    case OP_CONST:
      return u->dtype == WN_BOOL && u->i != 0 && u->i != 1 ? broken(c, "bool must be 0 or 1")
                                                           : NULL;
    case OP_LANE:
      if (c->kernel->group == 0) return broken(c, "has no group whose work items have numbers");
      return u->dtype == WN_I64 && u->lanes == 1 ? NULL : broken(c, "must be an i64 scalar");
    case OP_GRID:
      return u->dtype == WN_I64 && u->lanes == 1 ? NULL : broken(c, "must be an i64 scalar");
    case OP_IOTA:
      return dtype_is_int(u->dtype) && u->lanes > 1 ? NULL
                                                    : broken(c, "must be a vector of integers");
    case OP_LOOP:
      if (u->dtype != WN_I64 || u->lanes != 1 || u->i < 0)
        return broken(c, "must count i64 from 0");
      c->open[c->index] = true;
      c->current = (int32_t)c->index;
      return NULL;
    case OP_IF:
      if (source(c, u, 0)->dtype != WN_BOOL || source(c, u, 0)->lanes != 1)
        return broken(c, "needs a scalar bool");
      c->open[c->index] = true;
      c->current = (int32_t)c->index;
      return NULL;
    case OP_END:
      return check_end(c, u);
    case OP_LOAD:
    case OP_STORE:
    case OP_PREFETCH:
      return check_access(c, u);
    case OP_ACC:
      return check_same(c, u, source(c, u, 0));
    case OP_ACC_SET:
      if (source(c, u, 0)->op != OP_ACC) return broken(c, "sets something that is no variable");
      return check_same(c, source(c, u, 0), source(c, u, 1));
    case OP_BROADCAST:
    case OP_EXTRACT:
      return check_lanes(c, u);
    case OP_SHUFFLE:
      return check_shuffle(c, u);
    case OP_MATRIX_LOAD:
    case OP_MATRIX_MULADD:
    case OP_MATRIX_STORE:
      return check_matrix(c, u);
    case OP_BARRIER:
      return NULL;
    default:
      return broken(c, "is not an operation of the linear IR");
  }
}

static const char *check_array(arena *a, const lin_kernel *k, size_t index) {
  const lin_array *x = &k->arrays.data[index];
  const char *what = NULL;
  int64_t bytes = x->len * (int64_t)wn_dtype_size(x->dtype);
  if (x->len < 1)
    what = "is empty";
  else if (x->space != SPACE_GLOBAL && x->space != SPACE_LOCAL && x->space != SPACE_REG)
    what = "has no space";
  else if (x->space == SPACE_LOCAL && (x->offset < 0 || x->offset % 64 != 0))
    what = "is not 64-byte aligned";
  else if (x->space == SPACE_LOCAL && x->offset + bytes > (int64_t)k->scratch_bytes)
    what = "is outside of the scratch";
  else if (x->space == SPACE_GLOBAL && x->slot < 0)
    what = "has no slot";
  for (size_t i = 0; i < index && what == NULL; ++i)
    if (x->space == SPACE_GLOBAL && k->arrays.data[i].space == SPACE_GLOBAL &&
        k->arrays.data[i].slot == x->slot)
      what = "shares its slot with another array";
  return what != NULL ? arena_printf(a, "%s: array %zu %s: %s", k->name, index, x->name, what)
                      : NULL;
}

const char *lin_verify(arena *a, const lin_kernel *k) {
  if (k->name == NULL) return "a kernel without a name";
  if (k->grid < 1) return arena_printf(a, "%s: a grid of no blocks", k->name);
  if (k->group < 0) return arena_printf(a, "%s: a group of %d work items", k->name, k->group);
  for (size_t i = 0; i < k->arrays.len; ++i) {
    const char *what = check_array(a, k, i);
    if (what != NULL) return what;
  }
  checker c = {.arena = a, .kernel = k, .current = -1};
  c.block = arena_array(a, int32_t, k->ins.len + 1);
  c.open = arena_array(a, bool, k->ins.len + 1);
  for (c.index = 0; c.index < k->ins.len; ++c.index) {
    const lin_ins *u = &k->ins.data[c.index];
    if (u->op >= OP_COUNT) return broken(&c, "unknown operation");
    c.block[c.index] = c.current;
    const char *what = check_sources(&c, u);
    if (what == NULL) what = check_value(&c, u);
    if (what == NULL) what = check_is_matrix(&c, u);
    if (what == NULL) what = check_ins(&c, u);
    if (what != NULL) return what;
  }
  if (c.current >= 0) return arena_printf(a, "%s: %%%d is never closed", k->name, (int)c.current);
  return lin_verify_pairs(a, k);
}
