/* What is to be known of a kernel before it is printed for a GPU: ranges of its integers, names,
 * where its arrays lie, how its numbers are written.
 *
 * In: a verified kernel. Out: facts, and the declarations of its local and private arrays.
 * Always holds: a narrow kernel has no i64 array, constant or displacement that an int could not
 * hold; local arrays whose lives do not overlap share their place, as their offsets say, and have
 * names of their own where none do. The local arrays of a kernel without groups belong to its one
 * work item and are private. */
#include "base/text.h"
#include "render/render_gpu.h"

#include <inttypes.h>
#include <math.h>

bool gpu_has(const lin_kernel *k, int op) {
  for (size_t i = 0; i < k->ins.len; ++i)
    if (k->ins.data[i].op == op) return true;
  return false;
}

static bool has_value(int op) {
  return (op_table[op].flags & UOP_ALU) != 0 || op == OP_CONST || op == OP_LOAD || op == OP_ACC ||
         op == OP_BROADCAST || op == OP_EXTRACT || op == OP_SHUFFLE || op == OP_MATRIX_LOAD ||
         op == OP_MATRIX_MULADD;
}

bool render_uses_dtype(const lin_kernel *k, wn_dtype dtype) {
  for (size_t i = 0; i < k->arrays.len; ++i)
    if (k->arrays.data[i].dtype == dtype) return true;
  for (size_t i = 0; i < k->ins.len; ++i)
    if (has_value(k->ins.data[i].op) && k->ins.data[i].dtype == dtype) return true;
  return false;
}

/* --- integers --------------------------------------------------------------------------------- */

static bool fits(int64_t i) { return i >= INT32_MIN && i <= INT32_MAX; }

static bool is_narrow(const lin_kernel *k) {
  if (!k->narrow || !fits(k->grid)) return false;
  for (size_t i = 0; i < k->arrays.len; ++i)
    if (k->arrays.data[i].dtype == WN_I64 || !fits(k->arrays.data[i].len)) return false;
  for (size_t i = 0; i < k->ins.len; ++i) {
    const lin_ins *u = &k->ins.data[i];
    bool number = (u->op == OP_CONST && u->dtype == WN_I64) || u->op == OP_LOOP;
    if ((number && !fits(u->i)) || !fits(u->disp)) return false;
  }
  return true;
}

/* Numbers of the user's: they come from memory or from another dtype. */
static bool may_wrap(const lin_kernel *k) {
  for (size_t i = 0; i < k->ins.len; ++i) {
    const lin_ins *u = &k->ins.data[i];
    if ((u->op == OP_LOAD || u->op == OP_CAST) && u->dtype == WN_I64) return true;
  }
  return false;
}

static bool is_nonnegative(const lin_kernel *k, const bool *known, const lin_ins *u) {
  if (u->dtype != WN_I64 || u->lanes != 1) return false;
  switch (u->op) {
    case OP_GRID:
    case OP_LANE:
    case OP_LOOP:
      return true;
    case OP_CONST:
      return u->i >= 0;
    case OP_MAX:
      return known[u->src[0]] || known[u->src[1]];
    case OP_MOD: {
      const lin_ins *by = &k->ins.data[u->src[1]];
      return by->op == OP_CONST && by->i > 0;
    }
    case OP_ADD:
    case OP_MUL:
    case OP_FMA:
    case OP_IDIV:
    case OP_MIN:
      for (int s = 0; s < u->nsrc; ++s)
        if (!known[u->src[s]]) return false;
      return true;
    case OP_WHERE:
      return known[u->src[1]] && known[u->src[2]];
    default:
      return false;
  }
}

gpu_facts gpu_study(arena *a, const lin_kernel *k) {
  gpu_facts f = {.narrow = is_narrow(k), .wraps = may_wrap(k)};
  bool *known = arena_array(a, bool, k->ins.len + 1);
  for (size_t i = 0; i < k->ins.len && !f.wraps; ++i)
    known[i] = is_nonnegative(k, known, &k->ins.data[i]);
  f.nonnegative = known;
  return f;
}

/* --- types and names -------------------------------------------------------------------------- */

wn_dtype gpu_reg_dtype(const gpu_facts *f, unsigned dtype) {
  return dtype == WN_I64 && f->narrow ? WN_I32 : (wn_dtype)dtype;
}

static const char *const type_name[WN_DTYPE_COUNT] = {
    [WN_F64] = "double", [WN_F32] = "float", [WN_F16] = "half",  [WN_BF16] = "ushort",
    [WN_I32] = "int",    [WN_I64] = "long",  [WN_BOOL] = "bool",
};

const char *gpu_memory_type(wn_dtype dtype) {
  return dtype == WN_BOOL ? "uchar" : type_name[dtype];
}

const char *gpu_type(arena *a, const gpu_dialect *d, wn_dtype reg, int lanes) {
  if (lanes == 1) return type_name[reg];
  return arena_printf(a, "%s%d", reg == WN_BOOL && d->int_masks ? "int" : type_name[reg], lanes);
}

void gpu_print_array_name(str *out, const lin_kernel *k, size_t index) {
  str_printf(out, "a%zu_", index);
  for (const char *s = k->arrays.data[index].name; s != NULL && *s; ++s) {
    char c = text_is_word(*s) ? *s : '_';
    str_addn(out, &c, 1);
  }
}

/* --- numbers ---------------------------------------------------------------------------------- */

void gpu_print_float(str *out, double f, bool single) {
  if (single) f = (double)(float)f;
  const char *suffix = single ? "f" : "", *sign = signbit(f) ? "-" : "";
  if (isnan(f))
    str_printf(out, "(%s)NAN", single ? "float" : "double");
  else if (isinf(f))
    str_printf(out, "(%s)(%sINFINITY)", single ? "float" : "double", sign);
  else
    str_printf(out, *sign ? "(%a%s)" : "%a%s", f, suffix);
}

void gpu_print_int(str *out, int64_t i, bool wide) {
  const char *suffix = wide ? "L" : "";
  int64_t lowest = wide ? INT64_MIN : INT32_MIN;
  if (i == lowest)
    str_printf(out, "(%" PRId64 "%s - 1)", lowest + 1, suffix);
  else
    str_printf(out, i < 0 ? "(%" PRId64 "%s)" : "%" PRId64 "%s", i, suffix);
}

/* --- arrays ----------------------------------------------------------------------------------- */

const size_t *gpu_global_arrays(arena *a, const lin_kernel *k, int *count) {
  size_t *index = arena_array(a, size_t, k->arrays.len + 1);
  int n = 0;
  for (size_t i = 0; i < k->arrays.len; ++i) {
    if (k->arrays.data[i].space != SPACE_GLOBAL) continue;
    int at = n++;
    for (; at > 0 && k->arrays.data[index[at - 1]].slot > k->arrays.data[i].slot; --at)
      index[at] = index[at - 1];
    index[at] = i;
  }
  *count = n;
  return index;
}

static int64_t bytes_of(const lin_array *a) { return a->len * (int64_t)wn_dtype_size(a->dtype); }

static bool overlap(const lin_array *a, const lin_array *b) {
  return a->offset < b->offset + bytes_of(b) && b->offset < a->offset + bytes_of(a);
}

/* Some local arrays lie in each other's place, or are of a type of which there are only pointers. */
static bool needs_block(const gpu_dialect *d, const lin_kernel *k) {
  for (size_t i = 0; i < k->arrays.len; ++i) {
    const lin_array *a = &k->arrays.data[i];
    if (a->space != SPACE_LOCAL) continue;
    if (a->dtype == WN_F16 && d->half_opaque) return true;
    for (size_t j = 0; j < i; ++j)
      if (k->arrays.data[j].space == SPACE_LOCAL && overlap(a, &k->arrays.data[j])) return true;
  }
  return false;
}

/* A pointer to the array in a block of bytes. */
static void print_pointer(str *out, const lin_kernel *k, size_t index, const char *space,
                          const char *block, int64_t offset) {
  const char *type = gpu_memory_type(k->arrays.data[index].dtype);
  str_printf(out, "  %s%s *", space, type);
  gpu_print_array_name(out, k, index);
  str_printf(out, " = (%s%s *)(%s + %" PRId64 ");\n", space, type, block, offset);
}

static void print_array(str *out, const gpu_dialect *d, const lin_kernel *k, size_t index,
                        const char *space) {
  const lin_array *a = &k->arrays.data[index];
  if (a->dtype == WN_F16 && d->half_opaque) { /* a private one: local ones are in the block */
    str_printf(out, "  %suchar h%zu[%" PRId64 "]%s;\n", space, index, bytes_of(a), d->aligned);
    print_pointer(out, k, index, space, arena_printf(out->arena, "h%zu", index), 0);
    return;
  }
  str_printf(out, "  %s%s ", space, gpu_memory_type(a->dtype));
  gpu_print_array_name(out, k, index);
  str_printf(out, "[%" PRId64 "]%s;\n", a->len, d->aligned);
}

void gpu_print_arrays(str *out, const gpu_dialect *d, const lin_kernel *k) {
  const char *local = k->group ? d->local : d->reg;
  bool block = needs_block(d, k);
  if (block) str_printf(out, "  %suchar scratch[%zu]%s;\n", local, k->scratch_bytes, d->aligned);
  for (size_t i = 0; i < k->arrays.len; ++i) {
    const lin_array *a = &k->arrays.data[i];
    if (a->space == SPACE_REG) print_array(out, d, k, i, d->reg);
    if (a->space != SPACE_LOCAL) continue;
    if (block)
      print_pointer(out, k, i, local, "scratch", a->offset);
    else
      print_array(out, d, k, i, local);
  }
}
