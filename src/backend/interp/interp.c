/* The interpreter of linear IR: the reference for every op, and what runs when nothing else does.
 *
 * In: a verified kernel. Out: its effect on memory. Decoding turns each instruction into a step
 * with the addresses of its registers and an operation that knows its class of number, so that
 * running is one switch a step around a loop over lanes. A register is one 8-byte cell a lane:
 * float64 for every float dtype, int64 for i32, i64 and bool.
 * Always holds: i32 results are wrapped to 32 bits at once; floats are rounded to their dtype by
 * STORE and by CAST only; integer arithmetic wraps; x IDIV 0 is 0 and x MOD 0 is x; arrays in REG
 * space are cells, not memory. The work items of a group run one after the other from barrier to
 * barrier, each with registers of its own. */
#include <inttypes.h>
#include <math.h>

#include "backend/half.h"
#include "backend/interp/interp.h"

typedef union cell {
  double f;
  int64_t i;
} cell;

/* Steps: arithmetic by class (F float64, I int64, B bool as 0 or 1), and the structure of the
 * kernel. */
/* clang-format off */
typedef enum {
  S_ADD_F, S_SUB_F, S_MUL_F, S_DIV_F, S_MAX_F, S_MIN_F, S_NEG_F, S_ABS_F, S_FLOOR_F, S_EVEN_F,
  S_SQRT_F, S_EXP_F, S_LOG_F, S_SIN_F, S_COS_F, S_ATAN_F, S_TANH_F, S_ERF_F, S_POW_F, S_FMA_F, S_LT_F, S_EQ_F, S_ADD_I, S_SUB_I, S_MUL_I,
  S_IDIV_I, S_MOD_I, S_MAX_I, S_MIN_I, S_NEG_I, S_ABS_I, S_FMA_I, S_LT_I, S_EQ_I, S_AND_B, S_OR_B,
  S_NOT_B, S_WHERE, S_ROUND_F, S_FLOAT_I, S_TRUNC_F, S_TRUTH_F, S_TRUTH_I, S_WRAP, S_COPY,
  S_SPLAT, S_SHUFFLE, S_LOAD, S_STORE, S_REG_LOAD, S_REG_STORE, S_LOOP, S_IF, S_END, S_GRID,
  S_LANE, S_BARRIER, S_MATRIX_LOAD, S_MATRIX_MULADD, S_MATRIX_STORE
} step_op;
/* clang-format on */

typedef struct step {
  uint8_t op;    /* step_op */
  uint8_t dtype; /* of memory, for LOAD and STORE */
  uint16_t lanes;
  uint16_t split;       /* SHUFFLE: lanes of a source */
  bool transposed;      /* MATRIX_LOAD */
  bool masked, vector;  /* LOAD, STORE: has a mask; has an offset a lane */
  uint32_t dst, src[3]; /* registers, in cells */
  int32_t jump;         /* LOOP, IF: the step after END; END: the first step of the loop */
  int64_t i;            /* LOOP, END: trip count; LOAD, STORE: array; REG_*: first cell */
  int64_t disp;         /* LOAD, STORE: added to every offset */
  union {
    int64_t stride;
    const int_list *list;
  };
} step;

struct interp_code {
  const lin_kernel *kernel;
  VEC(step) steps;
  uint32_t *cell;      /* per instruction: its register */
  uint32_t *reg_cell;  /* per array in REG space: its first cell */
  uint32_t cells;      /* of a work item */
  int items;           /* in a group, 1 on a CPU */
  VEC(uint32_t) fixed; /* instructions that are CONST or IOTA: written once a call */
  size_t first_cell;   /* bytes into the scratch */
};

/* --- decoding --------------------------------------------------------------------------------- */

typedef struct alu_steps {
  uint8_t f, i, b;
} alu_steps;

static const alu_steps alu_table[OP_COUNT] = {
    [OP_ADD] = {S_ADD_F, S_ADD_I, S_OR_B},
    [OP_SUB] = {S_SUB_F, S_SUB_I, 0},
    [OP_MUL] = {S_MUL_F, S_MUL_I, S_AND_B},
    [OP_DIV] = {S_DIV_F, 0, 0},
    [OP_IDIV] = {0, S_IDIV_I, 0},
    [OP_MOD] = {0, S_MOD_I, 0},
    [OP_MAX] = {S_MAX_F, S_MAX_I, S_OR_B},
    [OP_MIN] = {S_MIN_F, S_MIN_I, S_AND_B},
    [OP_NEG] = {S_NEG_F, S_NEG_I, 0},
    [OP_ABS] = {S_ABS_F, S_ABS_I, S_COPY},
    [OP_FLOOR] = {S_FLOOR_F, 0, 0},
    [OP_ROUND] = {S_EVEN_F, 0, 0},
    [OP_SQRT] = {S_SQRT_F, 0, 0},
    [OP_EXP] = {S_EXP_F, 0, 0},
    [OP_LOG] = {S_LOG_F, 0, 0},
    [OP_SIN] = {S_SIN_F, 0, 0},
    [OP_COS] = {S_COS_F, 0, 0},
    [OP_ATAN] = {S_ATAN_F, 0, 0},
    [OP_TANH] = {S_TANH_F, 0, 0},
    [OP_ERF] = {S_ERF_F, 0, 0},
    [OP_POW] = {S_POW_F, 0, 0},
    [OP_FMA] = {S_FMA_F, S_FMA_I, 0},
    [OP_LT] = {S_LT_F, S_LT_I, S_LT_I},
    [OP_EQ] = {S_EQ_F, S_EQ_I, S_EQ_I},
    [OP_AND] = {0, 0, S_AND_B},
    [OP_OR] = {0, 0, S_OR_B},
    [OP_NOT] = {0, 0, S_NOT_B},
    [OP_WHERE] = {S_WHERE, S_WHERE, S_WHERE},
};

static uint8_t cast_step(wn_dtype from, wn_dtype to) {
  if (dtype_is_float(to)) return dtype_is_float(from) ? S_ROUND_F : S_FLOAT_I;
  if (to == WN_BOOL) return dtype_is_float(from) ? S_TRUTH_F : S_TRUTH_I;
  return dtype_is_float(from) ? S_TRUNC_F : S_COPY;
}

typedef struct decoder {
  arena *arena;
  interp_code *code;
  VEC(int32_t) open; /* steps of the LOOPs and IFs that are not closed */
} decoder;

static const lin_ins *operand(const decoder *d, const lin_ins *u, int s) {
  return &d->code->kernel->ins.data[u->src[s]];
}

static void push_step(decoder *d, step s) { vec_push(d->arena, &d->code->steps, s); }

static void decode_alu(decoder *d, const lin_ins *u, step s) {
  wn_dtype from = (wn_dtype)operand(d, u, u->op == OP_WHERE ? 1 : 0)->dtype,
           to = (wn_dtype)u->dtype;
  if (u->op == OP_CAST) {
    s.op = cast_step(from, to);
  } else {
    const alu_steps *t = &alu_table[u->op];
    s.op = dtype_is_float(from) ? t->f : from == WN_BOOL ? t->b : t->i;
  }
  s.dtype = u->dtype;
  push_step(d, s);
  if (to == WN_I32 && s.op != S_WHERE) {
    s.op = S_WRAP;
    push_step(d, s);
  }
}

static void decode_access(decoder *d, const lin_ins *u, step s) {
  const lin_array *a = &d->code->kernel->arrays.data[u->i];
  bool store = u->op == OP_STORE;
  s.lanes = store ? operand(d, u, 1)->lanes : u->lanes;
  s.dtype = (uint8_t)a->dtype;
  s.masked = u->nsrc > (store ? 2 : 1);
  s.vector = operand(d, u, 0)->lanes > 1;
  s.stride = s.lanes > 1 && !s.vector ? u->j : 0;
  s.disp = u->disp;
  s.i = u->i;
  s.op = store ? S_STORE : S_LOAD;
  if (a->space == SPACE_REG) {
    s.op = store ? S_REG_STORE : S_REG_LOAD;
    s.i = d->code->reg_cell[u->i] + operand(d, u, 0)->i + u->disp;
  }
  push_step(d, s);
}

/* Each work item computes the whole matrix. */
static void decode_matrix(decoder *d, const lin_ins *u, step s) {
  s.op = u->op == OP_MATRIX_LOAD    ? S_MATRIX_LOAD
         : u->op == OP_MATRIX_STORE ? S_MATRIX_STORE
                                    : S_MATRIX_MULADD;
  s.stride = u->j;
  s.transposed = u->transposed;
  s.disp = u->disp;
  s.i = u->i;
  push_step(d, s);
}

static void decode_end(decoder *d, const lin_ins *u, step s) {
  int32_t head = d->open.data[--d->open.len];
  d->code->steps.data[head].jump = (int32_t)d->code->steps.len + (operand(d, u, 0)->op == OP_LOOP);
  if (operand(d, u, 0)->op == OP_IF) return;
  s.op = S_END;
  s.dst = d->code->cell[u->src[0]];
  s.i = operand(d, u, 0)->i;
  s.jump = head + 1;
  push_step(d, s);
}

static void decode(decoder *d, uint32_t id) {
  interp_code *code = d->code;
  const lin_ins *u = &code->kernel->ins.data[id];
  step s = {.lanes = u->lanes, .dst = code->cell[id], .dtype = u->dtype};
  for (int i = 0; i < u->nsrc && i < 3; ++i) s.src[i] = code->cell[u->src[i]];
  if (op_table[u->op].flags & UOP_ALU) {
    decode_alu(d, u, s);
    return;
  }
  switch (u->op) {
    case OP_CONST:
    case OP_IOTA:
      vec_push(d->arena, &code->fixed, id);
      return;
    case OP_PREFETCH:
      return;
    case OP_BARRIER:
      if (code->kernel->group == 0) return;
      s.op = S_BARRIER;
      break;
    case OP_LANE:
      s.op = S_LANE;
      break;
    case OP_LOAD:
    case OP_STORE:
      decode_access(d, u, s);
      return;
    case OP_MATRIX_LOAD:
    case OP_MATRIX_MULADD:
    case OP_MATRIX_STORE:
      decode_matrix(d, u, s);
      return;
    case OP_END:
      decode_end(d, u, s);
      return;
    case OP_LOOP:
    case OP_IF:
      vec_push(d->arena, &d->open, (int32_t)code->steps.len);
      s.op = u->op == OP_LOOP ? S_LOOP : S_IF;
      s.i = u->i;
      break;
    case OP_GRID:
      s.op = S_GRID;
      break;
    case OP_ACC:
      s.op = S_COPY;
      break;
    case OP_ACC_SET:
      s.op = S_COPY;
      s.dst = s.src[0];
      s.src[0] = s.src[1];
      s.lanes = operand(d, u, 1)->lanes;
      break;
    case OP_BROADCAST:
      s.op = S_SPLAT;
      break;
    case OP_EXTRACT:
      s.op = S_COPY;
      s.src[0] += (uint32_t)u->i;
      break;
    case OP_SHUFFLE:
      s.op = S_SHUFFLE;
      s.split = operand(d, u, 0)->lanes;
      s.list = u->list;
      break;
    default:
      diag_panic(__FILE__, __LINE__, "interp: no step for %s", op_table[u->op].name);
  }
  push_step(d, s);
}

const interp_code *interp_prepare(arena *a, const lin_kernel *k) {
  interp_code *code = arena_new(a, interp_code);
  code->kernel = k;
  code->items = k->group > 0 ? k->group : 1;
  code->cell = arena_array(a, uint32_t, k->ins.len + 1);
  code->reg_cell = arena_array(a, uint32_t, k->arrays.len + 1);
  for (size_t i = 0; i < k->ins.len; ++i) {
    code->cell[i] = code->cells;
    code->cells += k->ins.data[i].lanes ? k->ins.data[i].lanes : 1;
  }
  for (size_t i = 0; i < k->arrays.len; ++i) {
    code->reg_cell[i] = code->cells;
    if (k->arrays.data[i].space == SPACE_REG) code->cells += (uint32_t)k->arrays.data[i].len;
  }
  code->first_cell = (k->scratch_bytes + 63) / 64 * 64;
  decoder d = {.arena = a, .code = code};
  for (uint32_t i = 0; i < k->ins.len; ++i) decode(&d, i);
  return code;
}

size_t interp_scratch(const interp_code *code) {
  size_t items = (size_t)code->items;
  return code->first_cell + items * (code->cells * sizeof(cell) + sizeof(int32_t));
}

/* --- memory ----------------------------------------------------------------------------------- */

typedef struct interpreter {
  const interp_code *code;
  cell *r; /* registers */
  void *const *args;
  char *scratch;
} interpreter;

static char *array_base(const interpreter *m, int64_t index) {
  const lin_array *a = &m->code->kernel->arrays.data[index];
  return a->space == SPACE_GLOBAL ? m->args[a->slot] : m->scratch + a->offset;
}

static int64_t lane_offset(const interpreter *m, const step *s, int lane) {
  int64_t at =
      s->vector ? m->r[s->src[0] + (uint32_t)lane].i : m->r[s->src[0]].i + lane * s->stride;
  at += s->disp;
  const lin_array *a = &m->code->kernel->arrays.data[s->i];
  WN_CHECK(at >= 0 && at < a->len,
           "interp: kernel %s: offset %" PRId64 " is outside of %s[%" PRId64 "]",
           m->code->kernel->name, at, a->name, a->len);
  return at;
}

static cell load_cell(const char *base, int64_t at, wn_dtype dt) {
  switch (dt) {
    case WN_F64:
      return (cell){.f = ((const double *)(const void *)base)[at]};
    case WN_F32:
      return (cell){.f = (double)((const float *)(const void *)base)[at]};
    case WN_F16:
      return (cell){.f = (double)half_from_f16(((const uint16_t *)(const void *)base)[at])};
    case WN_BF16:
      return (cell){.f = (double)half_from_bf16(((const uint16_t *)(const void *)base)[at])};
    case WN_I32:
      return (cell){.i = ((const int32_t *)(const void *)base)[at]};
    case WN_I64:
      return (cell){.i = ((const int64_t *)(const void *)base)[at]};
    default:
      return (cell){.i = ((const uint8_t *)base)[at] != 0};
  }
}

static void store_cell(char *base, int64_t at, wn_dtype dt, cell v) {
  switch (dt) {
    case WN_F64:
      ((double *)(void *)base)[at] = v.f;
      break;
    case WN_F32:
      ((float *)(void *)base)[at] = (float)v.f;
      break;
    case WN_F16:
      ((uint16_t *)(void *)base)[at] = half_to_f16(v.f);
      break;
    case WN_BF16:
      ((uint16_t *)(void *)base)[at] = half_to_bf16(v.f);
      break;
    case WN_I32:
      ((int32_t *)(void *)base)[at] = (int32_t)v.i;
      break;
    case WN_I64:
      ((int64_t *)(void *)base)[at] = v.i;
      break;
    default:
      ((uint8_t *)base)[at] = v.i != 0;
  }
}

static void do_load(const interpreter *m, const step *s) {
  const char *base = array_base(m, s->i);
  for (int l = 0; l < s->lanes; ++l) {
    bool on = !s->masked || m->r[s->src[1] + (uint32_t)l].i;
    m->r[s->dst + (uint32_t)l] = on ? load_cell(base, lane_offset(m, s, l), (wn_dtype)s->dtype)
                                    : (cell){.i = 0}; /* also 0.0 */
  }
}

static void do_store(const interpreter *m, const step *s) {
  char *base = array_base(m, s->i);
  for (int l = 0; l < s->lanes; ++l)
    if (!s->masked || m->r[s->src[2] + (uint32_t)l].i)
      store_cell(base, lane_offset(m, s, l), (wn_dtype)s->dtype, m->r[s->src[1] + (uint32_t)l]);
}

static void do_reg(const interpreter *m, const step *s) {
  bool store = s->op == S_REG_STORE;
  for (int l = 0; l < s->lanes; ++l) {
    cell *at = &m->r[s->i + l * s->stride];
    bool on = !s->masked || m->r[s->src[store ? 2 : 1] + (uint32_t)l].i;
    if (store && on) *at = m->r[s->src[1] + (uint32_t)l];
    if (!store) m->r[s->dst + (uint32_t)l] = on ? *at : (cell){.i = 0};
  }
}

static int64_t matrix_offset(const interpreter *m, const step *s, int cell_index) {
  int row = cell_index / MATRIX_SIDE, column = cell_index % MATRIX_SIDE;
  int64_t at = m->r[s->src[0]].i + s->disp +
               (s->transposed ? column * s->stride + row : row * s->stride + column);
  const lin_array *a = &m->code->kernel->arrays.data[s->i];
  WN_CHECK(at >= 0 && at < a->len,
           "interp: kernel %s: offset %" PRId64 " of a matrix is outside of %s[%" PRId64 "]",
           m->code->kernel->name, at, a->name, a->len);
  return at;
}

static void do_matrix_access(const interpreter *m, const step *s) {
  char *base = array_base(m, s->i);
  for (int l = 0; l < MATRIX_CELLS; ++l) {
    int64_t at = matrix_offset(m, s, l);
    if (s->op == S_MATRIX_LOAD)
      m->r[s->dst + (uint32_t)l] = load_cell(base, at, WN_F32);
    else
      store_cell(base, at, WN_F32, m->r[s->src[1] + (uint32_t)l]);
  }
}

static void do_matrix_muladd(cell *r, const step *s) {
  const cell *a = r + s->src[0], *b = r + s->src[1];
  for (int l = 0; l < MATRIX_CELLS; ++l) {
    double sum = r[s->src[2] + (uint32_t)l].f;
    for (int k = 0; k < MATRIX_SIDE; ++k)
      sum += a[l / MATRIX_SIDE * MATRIX_SIDE + k].f * b[k * MATRIX_SIDE + l % MATRIX_SIDE].f;
    r[s->dst + (uint32_t)l].f = sum;
  }
}

static void do_shuffle(const interpreter *m, const step *s) {
  for (int l = 0; l < s->lanes; ++l) {
    int64_t from = s->list->at[l];
    uint32_t reg =
        from < s->split ? s->src[0] + (uint32_t)from : s->src[1] + (uint32_t)(from - s->split);
    m->r[s->dst + (uint32_t)l] = m->r[reg];
  }
}

/* --- arithmetic ------------------------------------------------------------------------------- */

static int64_t wrap_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static int64_t wrap_sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static int64_t wrap_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

static int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrap_sub(0, a);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* What x86 does: out of range and NaN give the lowest number. */
static int64_t truncate(double f, wn_dtype dt) {
  double limit = dt == WN_I32 ? 0x1p31 : 0x1p63;
  bool fits = dt == WN_I32 ? f > -limit - 1 && f < limit : f >= -limit && f < limit;
  if (!fits) return dt == WN_I32 ? INT32_MIN : INT64_MIN;
  return (int64_t)f;
}

static double round_to(double f, wn_dtype dt) { return dt == WN_F32 ? (double)(float)f : f; }
static double larger(double a, double b) { return a > b || isnan(a) ? a : b; }
static double smaller(double a, double b) { return a < b || isnan(a) ? a : b; }

/* d[l].RESULT = EXPRESSION over the lanes; a, b, c are the operands' cells. */
#define LANES(RESULT, EXPRESSION)                         \
  for (int l = 0; l < n; ++l) d[l].RESULT = (EXPRESSION); \
  break

static void run_alu(cell *r, const step *s) {
  int n = s->lanes;
  cell *d = r + s->dst;
  const cell *a = r + s->src[0], *b = r + s->src[1], *c = r + s->src[2];
  /* clang-format off */
  switch (s->op) {
    case S_ADD_F: LANES(f, a[l].f + b[l].f);
    case S_SUB_F: LANES(f, a[l].f - b[l].f);
    case S_MUL_F: LANES(f, a[l].f * b[l].f);
    case S_DIV_F: LANES(f, a[l].f / b[l].f);
    case S_MAX_F: LANES(f, larger(a[l].f, b[l].f));
    case S_MIN_F: LANES(f, smaller(a[l].f, b[l].f));
    case S_NEG_F: LANES(f, -a[l].f);
    case S_ABS_F: LANES(f, fabs(a[l].f));
    case S_FLOOR_F: LANES(f, floor(a[l].f));
    case S_EVEN_F: LANES(f, rint(a[l].f));
    case S_SQRT_F: LANES(f, sqrt(a[l].f));
    case S_EXP_F: LANES(f, exp(a[l].f));
    case S_LOG_F: LANES(f, log(a[l].f));
    case S_SIN_F: LANES(f, sin(a[l].f));
    case S_COS_F: LANES(f, cos(a[l].f));
    case S_ATAN_F: LANES(f, atan(a[l].f));
    case S_TANH_F: LANES(f, tanh(a[l].f));
    case S_ERF_F: LANES(f, erf(a[l].f));
    case S_POW_F: LANES(f, pow(a[l].f, b[l].f));
    case S_FMA_F: LANES(f, fma(a[l].f, b[l].f, c[l].f));
    case S_LT_F: LANES(i, a[l].f < b[l].f);
    case S_EQ_F: LANES(i, a[l].f == b[l].f);
    case S_ADD_I: LANES(i, wrap_add(a[l].i, b[l].i));
    case S_SUB_I: LANES(i, wrap_sub(a[l].i, b[l].i));
    case S_MUL_I: LANES(i, wrap_mul(a[l].i, b[l].i));
    case S_IDIV_I: LANES(i, floor_div(a[l].i, b[l].i));
    case S_MOD_I: LANES(i, wrap_sub(a[l].i, wrap_mul(b[l].i, floor_div(a[l].i, b[l].i))));
    case S_MAX_I: LANES(i, a[l].i > b[l].i ? a[l].i : b[l].i);
    case S_MIN_I: LANES(i, a[l].i < b[l].i ? a[l].i : b[l].i);
    case S_NEG_I: LANES(i, wrap_sub(0, a[l].i));
    case S_ABS_I: LANES(i, a[l].i < 0 ? wrap_sub(0, a[l].i) : a[l].i);
    case S_FMA_I: LANES(i, wrap_add(wrap_mul(a[l].i, b[l].i), c[l].i));
    case S_LT_I: LANES(i, a[l].i < b[l].i);
    case S_EQ_I: LANES(i, a[l].i == b[l].i);
    case S_AND_B: LANES(i, a[l].i & b[l].i);
    case S_OR_B: LANES(i, a[l].i | b[l].i);
    case S_NOT_B: LANES(i, !a[l].i);
    case S_WHERE: LANES(i, a[l].i ? b[l].i : c[l].i);
    case S_ROUND_F: LANES(f, round_to(a[l].f, (wn_dtype)s->dtype));
    case S_FLOAT_I: LANES(f, round_to((double)a[l].i, (wn_dtype)s->dtype));
    case S_TRUNC_F: LANES(i, truncate(a[l].f, (wn_dtype)s->dtype));
    case S_TRUTH_F: LANES(i, a[l].f != 0);
    case S_TRUTH_I: LANES(i, a[l].i != 0);
    case S_WRAP: LANES(i, (int32_t)(uint32_t)d[l].i);
    case S_COPY: LANES(i, a[l].i);
    case S_SPLAT: LANES(i, a[0].i);
    default:
      diag_panic(__FILE__, __LINE__, "interp: step %d is not arithmetic", s->op);
  }
  /* clang-format on */
}

/* --- running ---------------------------------------------------------------------------------- */

static void write_fixed(const interpreter *m) {
  for (size_t i = 0; i < m->code->fixed.len; ++i) {
    uint32_t id = m->code->fixed.data[i];
    const lin_ins *u = &m->code->kernel->ins.data[id];
    cell *d = m->r + m->code->cell[id];
    for (int l = 0; l < u->lanes; ++l) {
      if (u->op == OP_IOTA)
        d[l].i = l;
      else if (dtype_is_float(u->dtype))
        d[l].f = u->f;
      else
        d[l].i = u->i;
    }
  }
}

/* From step pc to the next barrier, or to the end; returns the step behind it. */
static int32_t run_item(const interpreter *m, int64_t block, int lane, int32_t pc) {
  const step *steps = m->code->steps.data;
  int32_t end = (int32_t)m->code->steps.len;
  while (pc < end) {
    const step *s = &steps[pc++];
    switch (s->op) {
      case S_LOOP:
        m->r[s->dst].i = 0;
        if (s->i == 0) pc = s->jump;
        break;
      case S_END:
        if (++m->r[s->dst].i < s->i) pc = s->jump;
        break;
      case S_IF:
        if (!m->r[s->src[0]].i) pc = s->jump;
        break;
      case S_GRID:
        m->r[s->dst].i = block;
        break;
      case S_LANE:
        m->r[s->dst].i = lane;
        break;
      case S_BARRIER:
        return pc;
      case S_LOAD:
        do_load(m, s);
        break;
      case S_STORE:
        do_store(m, s);
        break;
      case S_REG_LOAD:
      case S_REG_STORE:
        do_reg(m, s);
        break;
      case S_MATRIX_LOAD:
      case S_MATRIX_STORE:
        do_matrix_access(m, s);
        break;
      case S_MATRIX_MULADD:
        do_matrix_muladd(m->r, s);
        break;
      case S_SHUFFLE:
        do_shuffle(m, s);
        break;
      default:
        run_alu(m->r, s);
    }
  }
  return end;
}

static void run_group(interpreter *m, cell *registers, int32_t *pc, int64_t block) {
  const interp_code *code = m->code;
  int32_t end = (int32_t)code->steps.len, reached = 0;
  for (int i = 0; i < code->items; ++i) pc[i] = 0;
  do {
    for (int i = 0; i < code->items; ++i) {
      m->r = registers + (size_t)i * code->cells;
      pc[i] = run_item(m, block, i, pc[i]);
      WN_CHECK(i == 0 || pc[i] == reached, "interp: kernel %s: work item %d is at another barrier",
               code->kernel->name, i);
      reached = pc[i];
    }
  } while (reached < end);
}

void interp_run(const interp_code *code, void *const *args, void *scratch, int64_t begin,
                int64_t end) {
  char *memory = scratch;
  cell *registers = (cell *)(void *)(memory + code->first_cell);
  int32_t *pc = (int32_t *)(void *)(registers + (size_t)code->items * code->cells);
  interpreter m = {.code = code, .args = args, .scratch = memory};
  for (int i = 0; i < code->items; ++i) {
    m.r = registers + (size_t)i * code->cells;
    write_fixed(&m);
  }
  for (int64_t block = begin; block < end; ++block) run_group(&m, registers, pc, block);
}
