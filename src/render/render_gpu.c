/* Linear IR in the languages of GPUs: the body of a kernel, one instruction a line.
 *
 * In: a verified kernel, a dialect. Out: declarations and statements. Instruction n is the variable
 * vn; array n with name x is an_x, a pointer to its first element or an array.
 * Always holds: numbers print exactly (hexadecimal floats); constants, GRID and LANE are written
 * where they are used; every value has a type of the language with the same bits as in the
 * interpreter, save that i64 is an int where the kernel is narrow and bools are the dialect's.
 * Prefetches print as nothing: GPUs hide latency by other work items. */
#include "render/render_gpu.h"

#include <inttypes.h>

typedef struct printer {
  str *out;
  const gpu_dialect *dialect;
  const lin_kernel *kernel;
  gpu_facts facts;
  const uint32_t *uses; /* of each instruction, as an operand */
  int depth;
} printer;

static const lin_ins *ins(const printer *p, uint32_t id) { return &p->kernel->ins.data[id]; }
static wn_dtype reg(const printer *p, unsigned dtype) { return gpu_reg_dtype(&p->facts, dtype); }
static bool is_wide(wn_dtype dt) { return dt == WN_F64 || dt == WN_I64; }

/* How an ALU op is written between its operands; scalars of bool have operators of their own. */
typedef struct alu_form {
  const char *infix, *infix_bool;
} alu_form;

static const alu_form alu_forms[OP_COUNT] = {
    [OP_ADD] = {"+", "|"},  [OP_SUB] = {"-", NULL}, [OP_MUL] = {"*", "&"},  [OP_DIV] = {"/", NULL},
    [OP_MAX] = {NULL, "|"}, [OP_MIN] = {NULL, "&"}, [OP_AND] = {NULL, "&"}, [OP_OR] = {NULL, "|"},
    [OP_LT] = {"<", "<"},   [OP_EQ] = {"==", "=="},
};

/* --- names and types -------------------------------------------------------------------------- */

static const char *type(const printer *p, unsigned dtype, int lanes) {
  return gpu_type(p->out->arena, p->dialect, reg(p, dtype), lanes);
}

/* A constructor or conversion of a type, up to its argument; what follows ends in ")". */
static void print_open(printer *p, gpu_around a, const char *name) {
  str_add(p->out, a.before);
  str_add(p->out, name);
  str_add(p->out, a.behind);
}

static void print_make(printer *p, unsigned dtype, int lanes) {
  print_open(p, p->dialect->make, type(p, dtype, lanes));
}

static void print_lane(printer *p, int64_t lane) {
  str_printf(p->out, "%s%" PRIx64 "%s", p->dialect->lane.before, (uint64_t)lane,
             p->dialect->lane.behind);
}

/* --- operands --------------------------------------------------------------------------------- */

/* Written where it is used: what only the next instruction wants, if that is a variable's new value or a
 * broadcast; and a lane of what does not change. */
static bool is_folded(const printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  if (u->op == OP_EXTRACT) {
    int from = ins(p, u->src[0])->op;
    return u->dtype != WN_BOOL && from != OP_CONST && from != OP_ACC;
  }
  if (id + 1 >= p->kernel->ins.len || p->uses[id] != 1) return false;
  const lin_ins *next = ins(p, id + 1);
  if (next->op == OP_BROADCAST)
    return u->op == OP_LOAD && u->dtype != WN_BOOL && next->src[0] == id;
  bool pure = (op_table[u->op].flags & UOP_ALU) != 0;
  return next->op == OP_ACC_SET && pure && next->src[1] == id;
}

static void print_const(printer *p, const lin_ins *u) {
  if (u->matrix)
    str_add(p->out, "make_filled_simdgroup_matrix<float, 8, 8>(");
  else if (u->lanes > 1)
    print_make(p, u->dtype, u->lanes);
  if (dtype_is_float(u->dtype))
    gpu_print_float(p->out, u->f, u->dtype == WN_F32);
  else if (u->dtype == WN_BOOL && u->lanes > 1 && p->dialect->int_masks)
    str_add(p->out, u->i ? "-1" : "0");
  else if (u->dtype == WN_BOOL)
    str_add(p->out, u->i ? "true" : "false");
  else
    gpu_print_int(p->out, u->i, reg(p, u->dtype) == WN_I64);
  if (u->lanes > 1) str_add(p->out, ")");
}

static void print_value(printer *p, const lin_ins *u);

static void print_operand(printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  if (is_folded(p, id))
    print_value(p, u);
  else if (u->op == OP_CONST)
    print_const(p, u);
  else if (u->op == OP_GRID)
    str_add(p->out, "gid");
  else if (u->op == OP_LANE)
    str_add(p->out, "lane");
  else
    str_printf(p->out, "v%" PRIu32, id);
}

static void print_operands(printer *p, const lin_ins *u) {
  for (int s = 0; s < u->nsrc; ++s) {
    if (s) str_add(p->out, ", ");
    print_operand(p, u->src[s]);
  }
}

/* --- memory ----------------------------------------------------------------------------------- */

/* "v3 + 5", "v3 - 5", "5": the place of the first lane, or what is added to a vector of places. */
static void print_place(printer *p, const lin_ins *u) {
  const lin_ins *offset = ins(p, u->src[0]);
  int64_t n = u->disp;
  if (offset->lanes == 1 && offset->op == OP_CONST) {
    n += offset->i;
    gpu_print_int(p->out, n, n > INT32_MAX || n < INT32_MIN);
    return;
  }
  print_operand(p, u->src[0]);
  if (n != 0)
    str_printf(p->out, " %c %" PRIu64, n < 0 ? '-' : '+', n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

static void print_pointer(printer *p, const lin_ins *u) {
  const lin_ins *offset = ins(p, u->src[0]);
  gpu_print_array_name(p->out, p->kernel, (size_t)u->i);
  if (offset->lanes == 1 && (offset->op != OP_CONST || offset->i + u->disp != 0)) {
    str_add(p->out, " + ");
    print_place(p, u);
  } else if (offset->lanes > 1 && u->disp != 0) {
    str_printf(p->out, " + %s%" PRId64 "%s", u->disp < 0 ? "(" : "", u->disp,
               u->disp < 0 ? ")" : "");
  }
}

static void print_element(printer *p, const lin_ins *u) {
  gpu_print_array_name(p->out, p->kernel, (size_t)u->i);
  str_add(p->out, "[");
  print_place(p, u);
  str_add(p->out, "]");
}

static const char *space_of(const printer *p, const lin_array *a) {
  if (a->space == SPACE_GLOBAL) return p->dialect->global;
  return a->space == SPACE_LOCAL && p->kernel->group ? p->dialect->local : p->dialect->reg;
}

/* The vector at a place in memory, as an lvalue. */
static void print_in_place(printer *p, const lin_ins *u, const gpu_access *x) {
  const lin_array *a = &p->kernel->arrays.data[u->i];
  str_printf(p->out, "*(%s%s%s%s *)(", space_of(p, a), u->op == OP_LOAD ? "const " : "",
             x->whole ? "" : "packed_", gpu_type(p->out->arena, p->dialect, x->memory, x->lanes));
  print_pointer(p, u);
  str_add(p->out, ")");
}

/* The rest of a helper's call: distance or places, mask. */
static void print_access_rest(printer *p, const lin_ins *u, const gpu_access *x) {
  if (x->kind == GPU_STRIDED) str_printf(p->out, ", %" PRId64, u->j);
  if (x->kind == GPU_INDEXED) {
    str_add(p->out, ", ");
    print_operand(p, u->src[0]);
  }
  if (x->masked) {
    str_add(p->out, ", ");
    print_operand(p, u->src[u->nsrc - 1]);
  }
  str_add(p->out, ")");
}

static void print_plain_load(printer *p, const lin_ins *u, const gpu_access *x) {
  if (x->whole) {
    print_in_place(p, u, x);
  } else if (x->lanes > 1 && p->dialect->packed) {
    print_make(p, u->dtype, x->lanes);
    print_in_place(p, u, x);
    str_add(p->out, ")");
  } else if (x->lanes > 1) {
    str_printf(p->out, "vload%d(0, ", x->lanes);
    print_pointer(p, u);
    str_add(p->out, ")");
  } else {
    print_element(p, u);
    if (x->memory == WN_BOOL) str_add(p->out, " != 0");
  }
}

/* A masked scalar is a conditional expression around the plain load. */
static void print_load(printer *p, const lin_ins *u) {
  gpu_access x = gpu_access_of(p->dialect, p->kernel, u);
  bool conditional = x.lanes == 1 && x.masked;
  if (conditional) {
    print_operand(p, u->src[1]);
    str_add(p->out, " ? ");
    x.masked = false;
  }
  if (gpu_is_plain(p->dialect, &x)) {
    print_plain_load(p, u, &x);
  } else {
    gpu_print_access_name(p->out, false, &x);
    str_add(p->out, "(");
    print_pointer(p, u);
    print_access_rest(p, u, &x);
  }
  if (conditional) str_add(p->out, " : 0");
}

static void print_plain_store(printer *p, const lin_ins *u, const gpu_access *x) {
  if (x->whole || (x->lanes > 1 && p->dialect->packed)) {
    print_in_place(p, u, x);
    str_add(p->out, " = ");
    print_operand(p, u->src[1]);
  } else if (x->lanes > 1) {
    str_printf(p->out, "vstore%d(", x->lanes);
    print_operand(p, u->src[1]);
    str_add(p->out, ", 0, ");
    print_pointer(p, u);
    str_add(p->out, ")");
  } else {
    print_element(p, u);
    str_add(p->out, " = ");
    print_operand(p, u->src[1]);
  }
}

static void print_store(printer *p, const lin_ins *u) {
  gpu_access x = gpu_access_of(p->dialect, p->kernel, u);
  if (x.lanes == 1 && x.masked) {
    str_add(p->out, "if (");
    print_operand(p, u->src[2]);
    str_add(p->out, ") ");
    x.masked = false;
  }
  if (gpu_is_plain(p->dialect, &x)) {
    print_plain_store(p, u, &x);
  } else {
    gpu_print_access_name(p->out, true, &x);
    str_add(p->out, "(");
    print_pointer(p, u);
    str_add(p->out, ", ");
    print_operand(p, u->src[1]);
    print_access_rest(p, u, &x);
  }
}

/* --- matrices: Metal's alone ------------------------------------------------------------------ */

static void print_matrix_place(printer *p, const lin_ins *u) {
  str_add(p->out, ", ");
  print_pointer(p, u);
  str_printf(p->out, ", %" PRId64, u->j);
  if (u->transposed) str_add(p->out, ", ulong2(0, 0), true");
  str_add(p->out, ");\n");
}

/* Results are arguments by reference. */
static void print_matrix(printer *p, const lin_ins *u, uint32_t id) {
  str_printf(p->out, "%s v%" PRIu32 "; ", p->dialect->matrix, id);
  if (u->op == OP_MATRIX_LOAD) {
    str_printf(p->out, "simdgroup_load(v%" PRIu32, id);
    print_matrix_place(p, u);
    return;
  }
  str_printf(p->out, "simdgroup_multiply_accumulate(v%" PRIu32 ", ", id);
  print_operands(p, u);
  str_add(p->out, ");\n");
}

/* --- values ----------------------------------------------------------------------------------- */

static void print_infix(printer *p, uint32_t a, const char *op, uint32_t b) {
  print_operand(p, a);
  str_printf(p->out, " %s ", op);
  print_operand(p, b);
}

static const char *bool_infix(const printer *p, const lin_ins *u) {
  const char *op = alu_forms[u->op].infix_bool;
  if (u->lanes == 1 || p->dialect->int_masks) return op;
  return *op == '&' ? "&&" : *op == '|' ? "||" : op;
}

static const char *not_sign(const printer *p, const lin_ins *u) {
  return u->lanes > 1 && p->dialect->int_masks ? "~" : "!";
}

static void print_compare(printer *p, const lin_ins *u) {
  wn_dtype of = reg(p, ins(p, u->src[0])->dtype);
  if (u->op == OP_LT && of == WN_BOOL) {
    str_add(p->out, not_sign(p, u));
    print_infix(p, u->src[0], u->lanes > 1 && !p->dialect->int_masks ? "&&" : "&", u->src[1]);
    return;
  }
  bool converts = u->lanes > 1 && p->dialect->int_masks && is_wide(of);
  if (converts) print_open(p, p->dialect->convert, type(p, WN_BOOL, u->lanes));
  print_infix(p, u->src[0], alu_forms[u->op].infix, u->src[1]);
  if (converts) str_add(p->out, ")");
}

static void print_vector_cast(printer *p, const lin_ins *u, wn_dtype from, wn_dtype to) {
  bool converts = to != WN_BOOL || (p->dialect->int_masks && is_wide(from));
  if (converts) print_open(p, p->dialect->convert, type(p, to, u->lanes));
  if (from == WN_BOOL && p->dialect->int_masks) str_add(p->out, "-");
  print_operand(p, u->src[0]);
  if (to == WN_BOOL) {
    str_add(p->out, " != ");
    print_make(p, from, u->lanes);
    str_add(p->out, "0)");
  }
  if (converts) str_add(p->out, ")");
}

static void print_cast(printer *p, const lin_ins *u) {
  wn_dtype from = reg(p, ins(p, u->src[0])->dtype), to = reg(p, u->dtype);
  if (from == to) {
    print_operand(p, u->src[0]);
  } else if (u->lanes > 1) {
    print_vector_cast(p, u, from, to);
  } else {
    if (to != WN_BOOL) str_printf(p->out, "(%s)", type(p, to, 1));
    print_operand(p, u->src[0]);
    if (to == WN_BOOL) str_add(p->out, " != 0");
  }
}

/* select takes what is chosen where the mask holds last but one; where the language has none for
 * vectors of bools, operators do it. */
static void print_vector_where(printer *p, const lin_ins *u) {
  bool converts = p->dialect->int_masks && is_wide(reg(p, u->dtype));
  if (u->dtype == WN_BOOL && !p->dialect->int_masks) {
    str_add(p->out, "(");
    print_infix(p, u->src[0], "&&", u->src[1]);
    str_add(p->out, ") || (!");
    print_infix(p, u->src[0], "&&", u->src[2]);
    str_add(p->out, ")");
    return;
  }
  str_add(p->out, "select(");
  print_operand(p, u->src[2]);
  str_add(p->out, ", ");
  print_operand(p, u->src[1]);
  str_add(p->out, ", ");
  if (converts) /* numbers are of 64 bits here, however narrow offsets are */
    print_open(p, p->dialect->convert, gpu_type(p->out->arena, p->dialect, WN_I64, u->lanes));
  print_operand(p, u->src[0]);
  str_add(p->out, converts ? "))" : ")");
}

static void print_where(printer *p, const lin_ins *u) {
  if (u->lanes > 1) {
    print_vector_where(p, u);
    return;
  }
  print_infix(p, u->src[0], "?", u->src[1]);
  str_add(p->out, " : ");
  print_operand(p, u->src[2]);
}

static void print_call(printer *p, const char *name, const lin_ins *u) {
  str_printf(p->out, "%s(", name);
  print_operands(p, u);
  str_add(p->out, ")");
}

/* Offsets are mostly known not to be negative; then a division rounds down by itself, and without
 * a sign it is cheaper. */
static bool print_unsigned_division(printer *p, const lin_ins *u) {
  const bool *nonnegative = p->facts.nonnegative;
  const lin_ins *by = ins(p, u->src[1]);
  if (u->op != OP_IDIV && u->op != OP_MOD) return false;
  if (!nonnegative[u->src[0]] || by->op != OP_CONST || by->i < 1) return false;
  str_add(p->out, p->facts.narrow ? "(uint)" : "(ulong)");
  print_infix(p, u->src[0], u->op == OP_IDIV ? "/" : "%", u->src[1]);
  return true;
}

static void print_alu(printer *p, const lin_ins *u) {
  const char *helper = gpu_alu_helper(p->dialect, &p->facts, p->kernel, u),
             *function = p->dialect->function[u->op];
  bool is_bool = u->dtype == WN_BOOL;
  if (u->matrix) {
    print_call(p, "matrix_add", u);
  } else if (u->op == OP_LT || u->op == OP_EQ) {
    print_compare(p, u);
  } else if (u->op == OP_CAST) {
    print_cast(p, u);
  } else if (u->op == OP_WHERE) {
    print_where(p, u);
  } else if (print_unsigned_division(p, u)) {
    return;
  } else if (helper != NULL) {
    str_printf(p->out, "%s_%s", helper, wn_dtype_name(reg(p, u->dtype)));
    if (u->lanes > 1) str_printf(p->out, "x%d", u->lanes);
    print_call(p, "", u);
  } else if (u->op == OP_NEG || u->op == OP_NOT) {
    str_add(p->out, u->op == OP_NEG ? "-" : not_sign(p, u));
    print_operand(p, u->src[0]);
  } else if (is_bool) {
    print_infix(p, u->src[0], bool_infix(p, u), u->src[1]);
  } else if (u->op == OP_FMA && dtype_is_int(u->dtype)) {
    print_infix(p, u->src[0], "*", u->src[1]);
    str_add(p->out, " + ");
    print_operand(p, u->src[2]);
  } else if (alu_forms[u->op].infix != NULL) {
    print_infix(p, u->src[0], alu_forms[u->op].infix, u->src[1]);
  } else {
    bool of_ints = dtype_is_int(u->dtype);
    if (of_ints) function = u->op == OP_MAX ? "max" : "min";
    WN_CHECK(function != NULL, "render_gpu: no form for %s", op_table[u->op].name);
    print_call(p, function, u);
  }
}

static void print_shuffle(printer *p, const lin_ins *u) {
  int lanes = ins(p, u->src[0])->lanes;
  print_make(p, u->dtype, u->lanes);
  for (int32_t l = 0; l < u->list->len; ++l) {
    if (l) str_add(p->out, ", ");
    print_operand(p, u->src[u->list->at[l] / lanes]);
    print_lane(p, u->list->at[l] % lanes);
  }
  str_add(p->out, ")");
}

static void print_value(printer *p, const lin_ins *u) {
  bool mask = u->dtype == WN_BOOL && p->dialect->int_masks;
  switch (u->op) {
    case OP_LOAD:
      print_load(p, u);
      break;
    case OP_ACC:
      print_operand(p, u->src[0]);
      break;
    case OP_BROADCAST:
      print_make(p, u->dtype, u->lanes);
      if (mask) str_add(p->out, "-(int)");
      print_operand(p, u->src[0]);
      str_add(p->out, ")");
      break;
    case OP_IOTA:
      print_make(p, u->dtype, u->lanes);
      for (int l = 0; l < u->lanes; l++) str_printf(p->out, l ? ", %d" : "%d", l);
      str_add(p->out, ")");
      break;
    case OP_EXTRACT:
      print_operand(p, u->src[0]);
      print_lane(p, u->i);
      if (mask) str_add(p->out, " != 0");
      break;
    case OP_SHUFFLE:
      print_shuffle(p, u);
      break;
    default:
      print_alu(p, u);
  }
}

/* --- statements ------------------------------------------------------------------------------- */

static bool prints_nothing(const printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  return is_folded(p, id) || u->op == OP_CONST || u->op == OP_GRID || u->op == OP_LANE ||
         u->op == OP_PREFETCH || (u->op == OP_BARRIER && p->kernel->group == 0);
}

static void print_statement(printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  if (prints_nothing(p, id)) return;
  if (u->op == OP_END) --p->depth;
  str_printf(p->out, "%*s", 2 * p->depth, "");
  switch (u->op) {
    case OP_LOOP:
      str_printf(p->out,
                 "for (%s v%" PRIu32 " = 0; v%" PRIu32 " < %" PRId64 "; v%" PRIu32 "++) {\n",
                 type(p, WN_I64, 1), id, id, u->i, id);
      ++p->depth;
      break;
    case OP_IF:
      str_add(p->out, "if (");
      print_operand(p, u->src[0]);
      str_add(p->out, ") {\n");
      ++p->depth;
      break;
    case OP_END:
      str_add(p->out, "}\n");
      break;
    case OP_STORE:
      print_store(p, u);
      str_add(p->out, ";\n");
      break;
    case OP_MATRIX_STORE:
      str_add(p->out, "simdgroup_store(");
      print_operand(p, u->src[1]);
      print_matrix_place(p, u);
      break;
    case OP_MATRIX_LOAD:
    case OP_MATRIX_MULADD:
      print_matrix(p, u, id);
      break;
    case OP_ACC_SET:
      print_infix(p, u->src[0], "=", u->src[1]);
      str_add(p->out, ";\n");
      break;
    case OP_BARRIER:
      str_printf(p->out, "%s;\n", p->dialect->barrier[u->i & 3]);
      break;
    default:
      str_printf(p->out, "%s%s v%" PRIu32 " = ", u->op == OP_ACC ? "" : "const ",
                 u->matrix ? p->dialect->matrix : type(p, u->dtype, u->lanes), id);
      print_value(p, u);
      str_add(p->out, ";\n");
  }
}

void gpu_print_body(str *out, const gpu_dialect *d, const lin_kernel *k) {
  printer p = {
      .out = out, .dialect = d, .kernel = k, .facts = gpu_study(out->arena, k), .depth = 1};
  uint32_t *uses = arena_array(out->arena, uint32_t, k->ins.len + 1);
  for (size_t i = 0; i < k->ins.len; ++i)
    for (int s = 0; s < k->ins.data[i].nsrc; ++s) uses[k->ins.data[i].src[s]]++;
  p.uses = uses;
  for (uint32_t i = 0; i < k->ins.len; ++i) print_statement(&p, i);
}
