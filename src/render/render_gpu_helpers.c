/* The helpers that kernels for GPUs call, in the words of a dialect.
 *
 * In: kernels. Out: definitions of those helpers that occur in them, each once.
 * Always holds: vector helpers are their scalar twins lane by lane, or an expression that gives the
 * same bits; a masked-out lane touches no memory; what moves memory is a macro, since a function
 * would have to name the space of its pointer. Where all lanes of a mask hold, which is most of the
 * time, memory moves as if there were none. Rounding from f32 to f16 and bf16 is to nearest even. */
#include "render/render_gpu.h"

#include <inttypes.h>

/* --- which ------------------------------------------------------------------------------------ */

/* Arrays that are aligned are so by 64 bytes, of which what a launch adds to them is a multiple. */
static bool is_whole(const gpu_dialect *d, const lin_array *a, const lin_ins *u,
                     const gpu_access *x) {
  size_t bytes = (size_t)x->lanes * wn_dtype_size(a->dtype);
  bool whole = u->whole && x->lanes > 1 && !x->masked && x->kind == GPU_CONTIGUOUS;
  return whole && (a->space != SPACE_GLOBAL || a->aligned) && bytes <= (size_t)d->alignment;
}

gpu_access gpu_access_of(const gpu_dialect *d, const lin_kernel *k, const lin_ins *u) {
  bool store = u->op == OP_STORE;
  const lin_array *a = &k->arrays.data[u->i];
  gpu_access x = {.memory = a->dtype,
                  .lanes = store ? k->ins.data[u->src[1]].lanes : u->lanes,
                  .masked = u->nsrc > (store ? 2 : 1)};
  if (x.lanes > 1)
    x.kind = k->ins.data[u->src[0]].lanes > 1 ? GPU_INDEXED
             : u->j != 1                      ? GPU_STRIDED
                                              : GPU_CONTIGUOUS;
  x.whole = is_whole(d, a, u, &x);
  return x;
}

bool gpu_is_plain(const gpu_dialect *d, const gpu_access *x) {
  bool converted = x->memory == WN_F16 || x->memory == WN_BF16;
  if (converted || x->masked || x->kind != GPU_CONTIGUOUS) return false;
  if (x->lanes == 1) return true;
  if (x->memory == WN_BOOL) return false;
  return x->whole || !d->packed || x->memory == WN_F32 || x->memory == WN_I32;
}

void gpu_print_access_name(str *out, bool store, const gpu_access *x) {
  static const char *const kind[GPU_KINDS] = {"", "_strided", "_indexed"};
  str_printf(out, "%s_%s", store ? "store" : "load", wn_dtype_name(x->memory));
  if (x->lanes > 1) str_printf(out, "x%d%s", x->lanes, kind[x->kind]);
  if (x->masked) str_add(out, "_masked");
}

const char *gpu_alu_helper(const gpu_dialect *d, const gpu_facts *f, const lin_kernel *k,
                           const lin_ins *u) {
  bool is_float = dtype_is_float(u->dtype), is_int = dtype_is_int(u->dtype);
  bool wraps = u->dtype == WN_I32 || (u->dtype == WN_I64 && f->wraps);
  switch (u->op) {
    case OP_ADD:
      return wraps ? "add" : NULL;
    case OP_SUB:
      return wraps ? "sub" : NULL;
    case OP_MUL:
      return wraps ? "mul" : NULL;
    case OP_NEG:
      return wraps ? "neg" : NULL;
    case OP_FMA:
      return wraps ? "fma" : NULL;
    case OP_ABS:
      return is_int ? "abs" : NULL;
    case OP_MAX:
      return is_float ? "max" : NULL;
    case OP_MIN:
      return is_float ? "min" : NULL;
    case OP_IDIV:
    case OP_MOD: {
      const lin_ins *by = &k->ins.data[u->src[1]];
      if (u->lanes == 1 && f->nonnegative[u->src[0]] && by->op == OP_CONST && by->i > 0)
        return NULL;
      return u->op == OP_IDIV ? "idiv" : "mod";
    }
    case OP_ERF:
      return d->function[OP_ERF] != NULL ? NULL : "erf";
    default:
      return NULL;
  }
}

/* Bit b of a mask: with 2^b lanes. */
typedef struct needs {
  uint32_t alu[OP_COUNT][WN_DTYPE_COUNT];
  uint32_t access[2][GPU_KINDS][2][WN_DTYPE_COUNT]; /* load or store, kind, masked */
  bool bf16;
} needs;

enum { MAX_LOG_LANES = 16 };

static uint32_t lane_bit(int lanes) {
  int b = 0;
  while (lanes >>= 1) ++b;
  return UINT32_C(1) << b;
}

static void collect(needs *n, arena *a, const gpu_dialect *d, const lin_kernel *k) {
  gpu_facts f = gpu_study(a, k);
  for (size_t i = 0; i < k->ins.len; ++i) {
    const lin_ins *u = &k->ins.data[i];
    if (u->op == OP_LOAD || u->op == OP_STORE) {
      gpu_access x = gpu_access_of(d, k, u);
      if (x.lanes == 1) x.masked = false;
      if (x.memory == WN_BF16) n->bf16 = true;
      if (!gpu_is_plain(d, &x))
        n->access[u->op == OP_STORE][x.kind][x.masked][x.memory] |= lane_bit(x.lanes);
    } else if (gpu_alu_helper(d, &f, k, u) != NULL) {
      n->alu[u->op][gpu_reg_dtype(&f, u->dtype)] |= lane_bit(u->lanes);
    }
  }
}

/* --- arithmetic ------------------------------------------------------------------------------- */

typedef struct definer {
  str *out;
  const gpu_dialect *dialect;
} definer;

/* Bodies: T is the type, U its unsigned twin, A( the reinterpretation as T, B( as U, O what joins two
 * comparisons. Others are lane by lane in vectors. */
static const struct {
  uint8_t op;
  const char *name;
  const char *scalar; /* of scalars; U( and T( are casts */
  const char *vector; /* NULL: lane by lane */
} definitions[] = {
    {OP_ADD, "add", "(T)((U)a + (U)b)", "A(B(a) + B(b))"},
    {OP_SUB, "sub", "(T)((U)a - (U)b)", "A(B(a) - B(b))"},
    {OP_MUL, "mul", "(T)((U)a * (U)b)", "A(B(a) * B(b))"},
    {OP_NEG, "neg", "(T)(0 - (U)a)", NULL},
    {OP_FMA, "fma", "(T)((U)a * (U)b + (U)c)", "A(B(a) * B(b) + B(c))"},
    {OP_ABS, "abs", "a < 0 ? (T)(0 - (U)a) : a", NULL},
    {OP_MAX, "max", "a > b || a != a ? a : b", "select(b, a, (a > b) O (a != a))"},
    {OP_MIN, "min", "a < b || a != a ? a : b", "select(b, a, (a < b) O (a != a))"},
    {OP_IDIV, "idiv",
     "b == 0 ? 0 : b == -1 ? (T)(0 - (U)a) : a / b - (T)(a % b != 0 && (a < 0) != (b < 0))", NULL},
    {OP_MOD, "mod", "b == 0 ? a : b == -1 ? 0 : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0)",
     NULL},
    {OP_ERF, "erf", NULL, NULL},
};

static void print_around(str *out, gpu_around a, const char *name) {
  str_printf(out, "%s%s%s", a.before, name, a.behind);
}

static void print_body(definer *p, const char *body, wn_dtype dt, int lanes) {
  const char *t = gpu_type(p->out->arena, p->dialect, dt, lanes),
             *u = arena_printf(p->out->arena, "u%s", t);
  for (; *body; ++body) {
    bool call = body[1] == '(';
    if (*body == 'T')
      str_add(p->out, t);
    else if (*body == 'U')
      str_add(p->out, u);
    else if (*body == 'A' && call)
      print_around(p->out, p->dialect->as, t), body++;
    else if (*body == 'B' && call)
      print_around(p->out, p->dialect->as, u), body++;
    else if (*body == 'O')
      str_add(p->out, p->dialect->int_masks ? "|" : "||");
    else
      str_addn(p->out, body, 1);
  }
}

static void print_lane(definer *p, const char *vector, int lane) {
  str_printf(p->out, "%s%s%x%s", vector, p->dialect->lane.before, (unsigned)lane,
             p->dialect->lane.behind);
}

static void print_lanewise(definer *p, const char *name, wn_dtype dt, int lanes, int nsrc) {
  static const char *const operand[] = {"a", "b", "c"};
  print_around(p->out, p->dialect->make, gpu_type(p->out->arena, p->dialect, dt, lanes));
  for (int l = 0; l < lanes; ++l) {
    str_printf(p->out, "%s%s_%s(", l ? ", " : "", name, wn_dtype_name(dt));
    for (int s = 0; s < nsrc; ++s) {
      if (s) str_add(p->out, ", ");
      print_lane(p, operand[s], l);
    }
    str_add(p->out, ")");
  }
  str_add(p->out, ")");
}

static void print_definition(definer *p, size_t which, wn_dtype dt, int lanes) {
  const char *t = gpu_type(p->out->arena, p->dialect, dt, lanes), *name = definitions[which].name;
  int nsrc = op_table[definitions[which].op].lo;
  str_printf(p->out, "static inline %s %s_%s", t, name, wn_dtype_name(dt));
  if (lanes > 1) str_printf(p->out, "x%d", lanes);
  str_add(p->out, "(");
  for (int s = 0; s < nsrc; s++) str_printf(p->out, "%s%s %c", s ? ", " : "", t, 'a' + s);
  str_add(p->out, ") { return ");
  if (lanes == 1)
    print_body(p, definitions[which].scalar, dt, 1);
  else if (definitions[which].vector != NULL)
    print_body(p, definitions[which].vector, dt, lanes);
  else
    print_lanewise(p, name, dt, lanes, nsrc);
  str_add(p->out, "; }\n");
}

static void print_arithmetic(definer *p, const needs *n) {
  for (size_t i = 0; i < sizeof definitions / sizeof definitions[0]; ++i) {
    for (int dt = 0; dt < WN_DTYPE_COUNT; ++dt) {
      uint32_t lanes = n->alu[definitions[i].op][dt];
      if (!lanes) continue;
      if (definitions[i].scalar != NULL)
        print_definition(p, i, (wn_dtype)dt, 1);
      else
        str_add(p->out, p->dialect->erf);
      for (int b = 1; b < MAX_LOG_LANES; ++b)
        if (lanes >> b & 1) print_definition(p, i, (wn_dtype)dt, 1 << b);
    }
  }
}

/* --- memory ----------------------------------------------------------------------------------- */

static const char bf16_text[] =
    "static inline float from_bf16(ushort h) { return %sfloat%s(uint)h << 16); }\n"
    "static inline ushort to_bf16(float x) {\n"
    "  uint u = %suint%sx);\n"
    "  return (ushort)(x != x ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16);\n"
    "}\n";

typedef struct mover {
  definer *p;
  gpu_access x;
  bool store;
} mover;

/* The place of a lane behind p. */
static const char *place(const mover *m, int lane) {
  const gpu_around *l = &m->p->dialect->lane;
  arena *a = m->p->out->arena;
  switch (m->x.kind) {
    case GPU_STRIDED:
      return arena_printf(a, "%d * (j)", lane);
    case GPU_INDEXED:
      return arena_printf(a, "(i)%s%x%s", l->before, (unsigned)lane, l->behind);
    default:
      return arena_printf(a, "%d", lane);
  }
}

/* A lane in its memory's dtype, as a register has it. */
static void print_element_load(const mover *m, int lane) {
  const gpu_dialect *d = m->p->dialect;
  str *out = m->p->out;
  const char *at = place(m, lane);
  if (m->x.memory == WN_F16)
    print_around(out, d->half_load, at);
  else if (m->x.memory == WN_BF16)
    str_printf(out, "from_bf16((p)[%s])", at);
  else if (m->x.memory == WN_BOOL)
    str_printf(out, "%s((p)[%s] != 0)", d->int_masks && m->x.lanes > 1 ? "-" : "", at);
  else
    str_printf(out, "(p)[%s]", at);
}

static void print_element_store(const mover *m, int lane) {
  const gpu_dialect *d = m->p->dialect;
  str *out = m->p->out;
  const char *v = "(v)", *at = place(m, lane);
  if (m->x.lanes > 1)
    v = arena_printf(out->arena, "(v)%s%x%s", d->lane.before, (unsigned)lane, d->lane.behind);
  if (m->x.memory == WN_F16 && d->half_opaque)
    str_printf(out, "vstore_half_rte(%s, %s, p)", v, at);
  else if (m->x.memory == WN_F16)
    str_printf(out, "(p)[%s] = (half)%s", at, v);
  else if (m->x.memory == WN_BF16)
    str_printf(out, "(p)[%s] = to_bf16(%s)", at, v);
  else if (m->x.memory == WN_BOOL)
    str_printf(out, "(p)[%s] = %s != 0", at, v);
  else
    str_printf(out, "(p)[%s] = %s", at, v);
}

/* Contiguous lanes by one function of the language. */
static bool print_whole(const mover *m) {
  const gpu_access *x = &m->x;
  str *out = m->p->out;
  if (m->p->dialect->packed || x->kind != GPU_CONTIGUOUS || x->memory == WN_BF16) return false;
  if (x->lanes == 1) return false;
  if (x->memory == WN_F16)
    str_printf(out, m->store ? "vstore_half%d_rte(v, 0, p)" : "vload_half%d(0, p)", x->lanes);
  else if (x->memory == WN_BOOL && m->store)
    str_printf(out, "vstore%d(convert_uchar%d((v) & 1), 0, p)", x->lanes, x->lanes);
  else if (x->memory == WN_BOOL)
    str_printf(out, "convert_int%d(vload%d(0, p) != (uchar%d)(0))", x->lanes, x->lanes, x->lanes);
  else
    str_printf(out, m->store ? "vstore%d(v, 0, p)" : "vload%d(0, p)", x->lanes);
  return true;
}

static void print_mask_lane(const mover *m, int lane) { print_lane(m->p, "(m)", lane); }

static void print_load_lanes(const mover *m, bool masked) {
  str *out = m->p->out;
  wn_dtype reg = register_dtype(m->x.memory);
  if (m->x.lanes == 1) {
    print_element_load(m, 0);
    return;
  }
  print_around(out, m->p->dialect->make, gpu_type(out->arena, m->p->dialect, reg, m->x.lanes));
  for (int l = 0; l < m->x.lanes; ++l) {
    if (l) str_add(out, ", ");
    if (masked) print_mask_lane(m, l), str_add(out, " ? ");
    print_element_load(m, l);
    if (masked) str_add(out, " : 0");
  }
  str_add(out, ")");
}

static void print_store_lanes(const mover *m, bool masked) {
  str *out = m->p->out;
  for (int l = 0; l < m->x.lanes; ++l) {
    if (l) str_add(out, "; ");
    if (masked) {
      str_add(out, "if (");
      print_mask_lane(m, l);
      str_add(out, ") ");
    }
    print_element_store(m, l);
  }
}

static void print_mover(mover *m) {
  str *out = m->p->out;
  gpu_print_access_name(out, m->store, &m->x);
  str_printf(out, "(p%s%s%s) ", m->store ? ", v" : "",
             m->x.kind == GPU_STRIDED   ? ", j"
             : m->x.kind == GPU_INDEXED ? ", i"
                                        : "",
             m->x.masked ? ", m" : "");
  if (m->store) {
    str_add(out, "do { ");
    if (m->x.masked) str_add(out, "if (all(m)) { ");
    if (!print_whole(m)) print_store_lanes(m, false);
    if (m->x.masked) {
      str_add(out, "; } else { ");
      print_store_lanes(m, true);
      str_add(out, "; }");
    }
    str_add(out, "; } while (0)\n");
    return;
  }
  str_add(out, "(");
  if (m->x.masked) str_add(out, "all(m) ? ");
  if (!print_whole(m)) print_load_lanes(m, false);
  if (m->x.masked) {
    str_add(out, " : ");
    print_load_lanes(m, true);
  }
  str_add(out, ")\n");
}

static void print_movers(definer *p, const needs *n) {
  mover m = {.p = p};
  for (int which = 0; which < 2 * GPU_KINDS * 2 * WN_DTYPE_COUNT; ++which) {
    int dt = which % WN_DTYPE_COUNT, rest = which / WN_DTYPE_COUNT;
    m.store = rest / 2 / GPU_KINDS;
    m.x = (gpu_access){
        .memory = (wn_dtype)dt, .masked = rest % 2, .kind = (gpu_kind)(rest / 2 % GPU_KINDS)};
    uint32_t lanes = n->access[m.store][m.x.kind][m.x.masked][dt];
    for (int b = 0; b < MAX_LOG_LANES; ++b) {
      if (!(lanes >> b & 1)) continue;
      m.x.lanes = 1 << b;
      str_add(p->out, "#define ");
      print_mover(&m);
    }
  }
}

void gpu_print_helpers(str *out, const gpu_dialect *d, int count,
                       const lin_kernel *const *kernels) {
  needs *n = arena_new(out->arena, needs);
  definer p = {.out = out, .dialect = d};
  for (int i = 0; i < count; ++i) collect(n, out->arena, d, kernels[i]);
  print_arithmetic(&p, n);
  if (n->bf16) str_printf(out, bf16_text, d->as.before, d->as.behind, d->as.before, d->as.behind);
  print_movers(&p, n);
}
