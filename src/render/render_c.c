/* Linear IR as C17 with GNU vector extensions.
 *
 * In: a verified kernel. Out: one function with the CPU ABI of kernel/linear.h, one instruction a
 * line; constants, GRID and IOTA are written where they are used. Instruction n is the variable
 * vn; array n with name x is an_x.
 * Always holds: numbers print exactly (hexadecimal floats); arithmetic is as written if the
 * compiler contracts nothing (-ffp-contract=off) and integers wrap (-fwrapv). A bool is a _Bool as
 * a scalar and an i32 vector of 0 and -1 else. */
#include "base/text.h"
#include "render/render.h"

#include <inttypes.h>
#include <math.h>

typedef struct printer {
  str *out;
  const lin_kernel *kernel;
  const uint32_t *uses; /* of each instruction, as an operand */
  int depth;
} printer;

static const lin_ins *ins(const printer *p, uint32_t id) { return &p->kernel->ins.data[id]; }

/* How an ALU op is written: an operator between its operands, or a helper of the prelude named
 * after its dtype. */
typedef struct alu_form {
  const char *infix, *infix_bool, *helper;
} alu_form;

static const alu_form alu_forms[OP_COUNT] = {
    [OP_ADD] = {"+", "|", NULL},       [OP_SUB] = {"-", NULL, NULL},
    [OP_MUL] = {"*", "&", NULL},       [OP_DIV] = {"/", NULL, NULL},
    [OP_IDIV] = {NULL, NULL, "idiv"},  [OP_MOD] = {NULL, NULL, "mod"},
    [OP_MAX] = {NULL, "|", "max"},     [OP_MIN] = {NULL, "&", "min"},
    [OP_ABS] = {NULL, NULL, "abs"},    [OP_FLOOR] = {NULL, NULL, "floor"},
    [OP_ROUND] = {NULL, NULL, "rint"}, [OP_SQRT] = {NULL, NULL, "sqrt"},
    [OP_EXP] = {NULL, NULL, "exp"},    [OP_LOG] = {NULL, NULL, "log"},
    [OP_SIN] = {NULL, NULL, "sin"},    [OP_COS] = {NULL, NULL, "cos"},
    [OP_ATAN] = {NULL, NULL, "atan"},  [OP_TANH] = {NULL, NULL, "tanh"},
    [OP_ERF] = {NULL, NULL, "erf"},    [OP_POW] = {NULL, NULL, "pow"},
    [OP_FMA] = {NULL, NULL, "fma"},    [OP_AND] = {"&", "&", NULL},
    [OP_OR] = {"|", "|", NULL},        [OP_LT] = {"<", "<", NULL},
    [OP_EQ] = {"==", "==", NULL},
};

static const char *const scalar_type[WN_DTYPE_COUNT] = {
    [WN_F64] = "double",  [WN_F32] = "float",   [WN_F16] = "uint16_t", [WN_BF16] = "uint16_t",
    [WN_I32] = "int32_t", [WN_I64] = "int64_t", [WN_BOOL] = "_Bool",
};

static const char *memory_type(wn_dtype dt) { return dt == WN_BOOL ? "uint8_t" : scalar_type[dt]; }
static const char *tag_of(int dt) { return dt == WN_BOOL ? "i32" : wn_dtype_name((wn_dtype)dt); }

static void print_type(printer *p, int dt, int lanes) {
  if (lanes == 1)
    str_add(p->out, scalar_type[dt]);
  else
    str_printf(p->out, "%sx%d", tag_of(dt), lanes);
}

/* --- operands --------------------------------------------------------------------------------- */

static void print_float(str *out, double f, bool single) {
  const char *suffix = single ? "f" : "";
  if (single) f = (double)(float)f;
  if (isnan(f))
    str_printf(out, "__builtin_nan%s(\"\")", suffix);
  else if (isinf(f))
    str_printf(out, "%s__builtin_inf%s()%s", f < 0 ? "(-" : "", suffix, f < 0 ? ")" : "");
  else
    str_printf(out, signbit(f) ? "(%a%s)" : "%a%s", f, suffix);
}

static void print_int(str *out, int64_t i) {
  if (i == INT64_MIN)
    str_add(out, "(-9223372036854775807LL - 1)");
  else if (i == INT32_MIN)
    str_add(out, "(-2147483647 - 1)");
  else
    str_printf(out, i < 0 ? "(%" PRId64 "%s)" : "%" PRId64 "%s", i,
               i > INT32_MAX || i < INT32_MIN ? "LL" : "");
}

static void print_const(printer *p, const lin_ins *u) {
  bool vector = u->lanes > 1;
  if (vector)
    str_printf(p->out, "splat_%sx%d(", tag_of(u->dtype), u->lanes);
  else if (u->dtype == WN_I64)
    str_add(p->out, "(int64_t)");
  if (dtype_is_float(u->dtype))
    print_float(p->out, u->f, u->dtype == WN_F32);
  else if (u->dtype == WN_BOOL)
    str_add(p->out, vector ? (u->i ? "-1" : "0") : (u->i ? "1" : "0"));
  else
    print_int(p->out, u->i);
  if (vector) str_add(p->out, ")");
}

static void print_value(printer *p, const lin_ins *u);

/* One operation a line: a load that is broadcast (into a fused multiply-add, even), and a value that
 * only goes into an accumulator, are written where they are used. */
static bool is_folded(const printer *p, uint32_t id) {
  if (id + 1 >= p->kernel->ins.len || p->uses[id] != 1) return false;
  const lin_ins *u = ins(p, id), *next = ins(p, id + 1);
  if (next->op == OP_BROADCAST) return u->op == OP_LOAD && next->src[0] == id;
  if (u->op == OP_BROADCAST) return id > 0 && next->op == OP_FMA && is_folded(p, id - 1);
  bool pure = (op_table[u->op].flags & UOP_ALU) != 0;
  return next->op == OP_ACC_SET && pure && next->src[1] == id;
}

static void print_operand(printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  if (is_folded(p, id)) {
    print_value(p, u);
  } else if (u->op == OP_CONST) {
    print_const(p, u);
  } else if (u->op == OP_GRID || u->op == OP_LANE) {
    str_add(p->out, u->op == OP_GRID ? "gid" : "lane");
  } else if (u->op == OP_IOTA) {
    str_printf(p->out, "(%sx%d){", wn_dtype_name((wn_dtype)u->dtype), u->lanes);
    for (int l = 0; l < u->lanes; l++) str_printf(p->out, l ? ", %d" : "%d", l);
    str_add(p->out, "}");
  } else {
    str_printf(p->out, "v%" PRIu32, id);
  }
}

/* As print_operand, but an i64 constant needs no cast: next to a variable, or alone, C converts it.
 */
static void print_number(printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  if (u->op == OP_CONST && u->dtype == WN_I64 && u->lanes == 1)
    print_int(p->out, u->i);
  else
    print_operand(p, id);
}

static bool is_const(const printer *p, uint32_t id) { return ins(p, id)->op == OP_CONST; }

static void print_array_name(printer *p, int64_t index) {
  str_printf(p->out, "a%" PRId64 "_", index);
  for (const char *s = p->kernel->arrays.data[index].name; s != NULL && *s; ++s) {
    char c = text_is_word(*s) ? *s : '_';
    str_addn(p->out, &c, 1);
  }
}

/* " + n" or " - n", nothing for 0. */
static void print_displacement(printer *p, int64_t n) {
  if (n != 0)
    str_printf(p->out, " %c %" PRIu64, n < 0 ? '-' : '+', n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/* "array + offset + displacement"; a vector of offsets is an argument of its own. */
static void print_address(printer *p, const lin_ins *u) {
  const lin_ins *offset = ins(p, u->src[0]);
  print_array_name(p, u->i);
  if (offset->lanes == 1 && offset->op == OP_CONST) {
    print_displacement(p, offset->i + u->disp);
    return;
  }
  if (offset->lanes == 1) {
    str_add(p->out, " + ");
    print_number(p, u->src[0]);
  }
  print_displacement(p, u->disp);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* What stands under a condition is printed so that no compiler makes the access without it. */
static void print_element(printer *p, const lin_ins *u, bool masked) {
  const lin_ins *offset = ins(p, u->src[0]);
  if (masked) {
    str_add(p->out, "WN_ONLY(");
    print_address(p, u);
    str_add(p->out, ")");
    return;
  }
  print_array_name(p, u->i);
  str_add(p->out, "[");
  if (offset->op == OP_CONST) {
    print_int(p->out, offset->i + u->disp);
  } else {
    print_number(p, u->src[0]);
    print_displacement(p, u->disp);
  }
  str_add(p->out, "]");
}

/* The tail of a vector access's name, e.g. "_strided_masked". */
static void print_access_kind(printer *p, const lin_ins *u, bool masked) {
  bool indexed = ins(p, u->src[0])->lanes > 1;
  str_add(p->out, indexed ? "_indexed" : u->j != 1 ? "_strided" : "");
  if (masked) str_add(p->out, "_masked");
}

static void print_access_rest(printer *p, const lin_ins *u, int mask) {
  if (ins(p, u->src[0])->lanes > 1) {
    str_add(p->out, ", ");
    print_operand(p, u->src[0]);
  } else if (u->j != 1) {
    str_add(p->out, ", ");
    print_int(p->out, u->j);
  }
  if (u->nsrc > mask) {
    str_add(p->out, ", ");
    print_operand(p, u->src[mask]);
  }
  str_add(p->out, ")");
}

static void print_load(printer *p, const lin_ins *u) {
  wn_dtype dt = p->kernel->arrays.data[u->i].dtype;
  if (u->lanes > 1) {
    str_printf(p->out, "load_%sx%d", wn_dtype_name(dt), u->lanes);
    print_access_kind(p, u, u->nsrc > 1);
    str_add(p->out, "(");
    print_address(p, u);
    print_access_rest(p, u, 1);
    return;
  }
  if (u->nsrc > 1) {
    print_operand(p, u->src[1]);
    str_add(p->out, " ? ");
  }
  bool half = dt == WN_F16 || dt == WN_BF16;
  if (half) str_printf(p->out, "from_%s(", wn_dtype_name(dt));
  print_element(p, u, u->nsrc > 1);
  str_add(p->out, half ? ")" : dt == WN_BOOL ? " != 0" : "");
  if (u->nsrc > 1) str_add(p->out, " : 0");
}

static void print_store(printer *p, const lin_ins *u) {
  wn_dtype dt = p->kernel->arrays.data[u->i].dtype;
  int lanes = ins(p, u->src[1])->lanes;
  if (lanes > 1) {
    str_printf(p->out, "store_%sx%d", wn_dtype_name(dt), lanes);
    print_access_kind(p, u, u->nsrc > 2);
    str_add(p->out, "(");
    print_address(p, u);
    str_add(p->out, ", ");
    print_operand(p, u->src[1]);
    print_access_rest(p, u, 2);
    return;
  }
  if (u->nsrc > 2) {
    str_add(p->out, "if (");
    print_operand(p, u->src[2]);
    str_add(p->out, ") ");
  }
  bool half = dt == WN_F16 || dt == WN_BF16;
  print_element(p, u, u->nsrc > 2);
  if (half)
    str_printf(p->out, " = to_%s(", wn_dtype_name(dt));
  else
    str_add(p->out, " = ");
  print_operand(p, u->src[1]);
  if (half) str_add(p->out, ")");
}

/* --- values ----------------------------------------------------------------------------------- */

static void print_infix(printer *p, uint32_t a, const char *op, uint32_t b) {
  bool both_const = is_const(p, a) && is_const(p, b);
  both_const ? print_operand(p, a) : print_number(p, a);
  str_printf(p->out, " %s ", op);
  both_const ? print_operand(p, b) : print_number(p, b);
}

static void print_call(printer *p, const char *helper, const lin_ins *u) {
  str_printf(p->out, "%s_%s", helper, tag_of(u->dtype));
  if (u->lanes > 1) str_printf(p->out, "x%d", u->lanes);
  for (int s = 0; s < u->nsrc; ++s) {
    str_add(p->out, s ? ", " : "(");
    print_operand(p, u->src[s]);
  }
  str_add(p->out, ")");
}

/* In vectors of 0 and -1 false < true is the other way round. */
static void print_compare(printer *p, const lin_ins *u) {
  bool swap = u->lanes > 1 && u->op == OP_LT && ins(p, u->src[0])->dtype == WN_BOOL;
  if (u->lanes > 1) str_add(p->out, "__builtin_convertvector(");
  print_infix(p, u->src[swap ? 1 : 0], alu_forms[u->op].infix, u->src[swap ? 0 : 1]);
  if (u->lanes > 1) str_printf(p->out, ", i32x%d)", u->lanes);
}

static void print_cast(printer *p, const lin_ins *u) {
  const lin_ins *v = ins(p, u->src[0]);
  if (u->lanes == 1) {
    if (u->dtype != WN_BOOL) str_printf(p->out, "(%s)", scalar_type[u->dtype]);
    print_operand(p, u->src[0]);
    if (u->dtype == WN_BOOL) str_add(p->out, " != 0");
    return;
  }
  str_add(p->out, "__builtin_convertvector(");
  if (v->dtype == WN_BOOL && u->dtype != WN_BOOL) str_add(p->out, "-");
  print_operand(p, u->src[0]);
  if (u->dtype == WN_BOOL && v->dtype != WN_BOOL) str_add(p->out, " != 0");
  str_add(p->out, ", ");
  print_type(p, u->dtype, u->lanes);
  str_add(p->out, ")");
}

static void print_where(printer *p, const lin_ins *u) {
  if (u->lanes > 1) {
    print_call(p, "where", u);
    return;
  }
  print_operand(p, u->src[0]);
  str_add(p->out, " ? ");
  print_operand(p, u->src[1]);
  str_add(p->out, " : ");
  print_operand(p, u->src[2]);
}

static void print_alu(printer *p, const lin_ins *u) {
  const alu_form *form = &alu_forms[u->op];
  const char *infix = u->dtype == WN_BOOL ? form->infix_bool : form->infix;
  if (u->op == OP_LT || u->op == OP_EQ) {
    print_compare(p, u);
  } else if (u->op == OP_CAST) {
    print_cast(p, u);
  } else if (u->op == OP_WHERE) {
    print_where(p, u);
  } else if (u->op == OP_NEG || u->op == OP_NOT) {
    str_add(p->out, u->op == OP_NEG ? "-" : u->lanes > 1 ? "~" : "!");
    print_operand(p, u->src[0]);
  } else if (u->op == OP_FMA && dtype_is_int(u->dtype)) {
    print_infix(p, u->src[0], "*", u->src[1]);
    str_add(p->out, " + ");
    print_operand(p, u->src[2]);
  } else if (infix != NULL) {
    print_infix(p, u->src[0], infix, u->src[1]);
  } else {
    WN_CHECK(form->helper != NULL, "render_c: no form for %s", op_table[u->op].name);
    print_call(p, form->helper, u);
  }
}

/* Written lane by lane, which every compiler understands and turns into a permutation. */
static void print_shuffle(printer *p, const lin_ins *u) {
  int lanes = ins(p, u->src[0])->lanes;
  str_add(p->out, "(");
  print_type(p, u->dtype, u->lanes);
  str_add(p->out, "){");
  for (int32_t l = 0; l < u->list->len; ++l) {
    int64_t from = u->list->at[l];
    if (l) str_add(p->out, ", ");
    print_operand(p, u->src[from / lanes]);
    str_printf(p->out, "[%" PRId64 "]", from % lanes);
  }
  str_add(p->out, "}");
}

/* "matrix_load(array + offset, 8, 1)" */
static void print_matrix(printer *p, const lin_ins *u) {
  if (u->op == OP_MATRIX_MULADD) {
    print_call(p, "matrix_muladd", u);
    return;
  }
  str_printf(p->out, "matrix_%s(", u->op == OP_MATRIX_LOAD ? "load" : "store");
  print_address(p, u);
  str_printf(p->out, ", %" PRId64 ", ", u->j);
  if (u->op == OP_MATRIX_LOAD)
    str_printf(p->out, "%d", u->transposed);
  else
    print_operand(p, u->src[1]);
  str_add(p->out, ")");
}

static void print_value(printer *p, const lin_ins *u) {
  switch (u->op) {
    case OP_MATRIX_LOAD:
    case OP_MATRIX_MULADD:
      print_matrix(p, u);
      break;
    case OP_LOAD:
      print_load(p, u);
      break;
    case OP_ACC:
      print_operand(p, u->src[0]);
      break;
    case OP_BROADCAST:
      str_printf(p->out, "splat_%sx%d(%s", tag_of(u->dtype), u->lanes,
                 u->dtype == WN_BOOL ? "-" : "");
      print_operand(p, u->src[0]);
      str_add(p->out, ")");
      break;
    case OP_EXTRACT:
      print_operand(p, u->src[0]);
      str_printf(p->out, "[%" PRId64 "]%s", u->i, u->dtype == WN_BOOL ? " != 0" : "");
      break;
    case OP_SHUFFLE:
      print_shuffle(p, u);
      break;
    default:
      print_alu(p, u);
  }
}

/* --- statements ------------------------------------------------------------------------------- */

static void print_prefetch(printer *p, const lin_ins *u) {
  str_add(p->out, "__builtin_prefetch(");
  print_address(p, u);
  str_add(p->out, ");\n");
}

enum { ACCUMULATORS_A_LINE = 3 };

/* How many accumulators of one type stand before this one. */
static uint32_t accumulators_before(const printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  uint32_t n = 0;
  while (n < id && ins(p, id - n - 1)->op == OP_ACC && ins(p, id - n - 1)->dtype == u->dtype &&
         ins(p, id - n - 1)->lanes == u->lanes)
    ++n;
  return n;
}

static bool follows_on_line(const printer *p, uint32_t id) {
  return ins(p, id)->op == OP_ACC && accumulators_before(p, id) % ACCUMULATORS_A_LINE != 0;
}

/* Accumulators start together: several a line. */
static void print_more_accumulators(printer *p, uint32_t id) {
  if (ins(p, id)->op != OP_ACC) return;
  while (++id < p->kernel->ins.len && follows_on_line(p, id)) {
    str_printf(p->out, ", v%" PRIu32 " = ", id);
    print_value(p, ins(p, id));
  }
}

static void print_statement(printer *p, uint32_t id) {
  const lin_ins *u = ins(p, id);
  if (u->op == OP_CONST || u->op == OP_GRID || u->op == OP_LANE || u->op == OP_IOTA ||
      is_folded(p, id) || follows_on_line(p, id))
    return;
  if (u->op == OP_END) --p->depth;
  str_printf(p->out, "%*s", 2 * p->depth, "");
  switch (u->op) {
    case OP_LOOP:
      str_printf(p->out,
                 "for (int64_t v%" PRIu32 " = 0; v%" PRIu32 " < %" PRId64 "; v%" PRIu32 "++) {\n",
                 id, id, u->i, id);
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
    case OP_ACC_SET:
      print_operand(p, u->src[0]);
      str_add(p->out, " = ");
      print_operand(p, u->src[1]);
      str_add(p->out, ";\n");
      break;
    case OP_MATRIX_STORE:
      print_matrix(p, u);
      str_add(p->out, ";\n");
      break;
    case OP_PREFETCH:
      print_prefetch(p, u);
      break;
    case OP_BARRIER:
      str_add(p->out, "; /* one lane a block: nothing to wait for */\n");
      break;
    default:
      print_type(p, u->dtype, u->lanes);
      str_printf(p->out, " v%" PRIu32 " = ", id);
      print_value(p, u);
      print_more_accumulators(p, id);
      str_add(p->out, ";\n");
  }
}

/* Distinct slots are distinct memory wherever one of them is written, hence restrict, but for pairs; local arrays whose
 * lives do not overlap may share their place. */
static void print_array(printer *p, size_t index) {
  const lin_array *a = &p->kernel->arrays.data[index];
  const char *type = memory_type(a->dtype),
             *constant = a->space == SPACE_GLOBAL && !a->written ? "const " : "";
  str_add(p->out, "  ");
  if (a->space == SPACE_REG) {
    str_printf(p->out, "%s ", type);
    print_array_name(p, (int64_t)index);
    str_printf(p->out, "[%" PRId64 "] __attribute__((aligned(64)));\n", a->len);
    return;
  }
  const bool apart = a->space == SPACE_GLOBAL && !lin_is_paired(p->kernel, index);
  str_printf(p->out, "%s%s *%s", constant, type, apart ? "restrict " : "");
  print_array_name(p, (int64_t)index);
  if (a->space == SPACE_LOCAL)
    str_printf(p->out, " = __builtin_assume_aligned((char *)scratch + %" PRId64 ", 64);\n",
               a->offset);
  else if (a->aligned)
    str_printf(p->out, " = __builtin_assume_aligned(args[%d], 64);\n", a->slot);
  else
    str_printf(p->out, " = args[%d];\n", a->slot);
}

void render_c(str *out, const lin_kernel *k) {
  printer p = {.out = out, .kernel = k, .depth = 2};
  uint32_t *uses = arena_array(out->arena, uint32_t, k->ins.len + 1);
  for (size_t i = 0; i < k->ins.len; ++i)
    for (int s = 0; s < k->ins.data[i].nsrc; ++s) uses[k->ins.data[i].src[s]]++;
  p.uses = uses;
  str_printf(out, "void %s(void *const *args, void *scratch, int64_t begin, int64_t end) {\n",
             k->name);
  for (size_t i = 0; i < k->arrays.len; ++i) print_array(&p, i);
  str_add(out, "  for (int64_t gid = begin; gid < end; gid++) {\n");
  for (uint32_t i = 0; i < k->ins.len; ++i) print_statement(&p, i);
  str_add(out, "  }\n}\n");
}

int render_c_lines(arena *scratch, const lin_kernel *k) {
  str text;
  str_init(&text, scratch);
  render_c(&text, k);
  int lines = 0;
  for (size_t i = 0; i < text.len; ++i) lines += text.data[i] == '\n';
  return lines;
}
