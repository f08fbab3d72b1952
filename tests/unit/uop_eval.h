/* An evaluator of scalar range IR for tests, written apart from the interpreter that it checks.
 *
 * In: an expression, values for its free RANGEs, memory for its BUFFERs. Out: its value, as a
 * double (i64 exactly inside).
 * Always holds: every in-bounds law is checked (an INDEX outside of its BUFFER or BUFFERIZE aborts
 * the test, unless its condition fails, in which case the index is not even computed); REDUCE goes
 * through its ranges in row-major order.
 *
 *     eval e;  eval_init(&e);
 *     eval_buffer(&e, slot, data);          data in the dtype of the BUFFER node, row-major
 *     eval_bind(&e, range, 3);
 *     double y = eval_uop(&e, expr);
 *     eval_tensor(&e, bufferize, out);      every element, in storage order
 *     eval_release(&e);
 */
#ifndef WN_TESTS_UOP_EVAL_H
#define WN_TESTS_UOP_EVAL_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/uop.h"

enum { EVAL_CACHE = 1 << 16, EVAL_BUFFERS = 64 };

typedef union eval_value {
  double f;
  int64_t i; /* integers and bool */
} eval_value;

typedef struct eval_slot {
  uint32_t id, used;
  uint64_t key;
  const uop *node;
  eval_value value;
} eval_slot;

typedef struct eval {
  int64_t *number, *value; /* bindings, latest last */
  int nbound, cap;
  const void *buffer[EVAL_BUFFERS];
  eval_slot *cache;
  int round_f32; /* round every f32 result to float; default 0: all floats are doubles */
} eval;

static inline void eval_init(eval *e) {
  memset(e, 0, sizeof *e);
  e->cache = calloc(EVAL_CACHE, sizeof *e->cache);
}

static inline void eval_release(eval *e) {
  free(e->number);
  free(e->value);
  free(e->cache);
  memset(e, 0, sizeof *e);
}

/* Forgets what was computed; needed when the contents of a buffer change or another graph is
 * evaluated. */
static inline void eval_forget(eval *e) { memset(e->cache, 0, EVAL_CACHE * sizeof *e->cache); }

static inline void eval_fail(const uop *u, const char *what, int64_t a, int64_t b) {
  fprintf(stderr, "eval: node %u (%s): %s: %lld, %lld\n", u->id, op_table[u->op].name, what,
          (long long)a, (long long)b);
  abort();
}

static inline void eval_buffer(eval *e, int64_t slot, const void *data) {
  if (slot < 0 || slot >= EVAL_BUFFERS) abort();
  e->buffer[slot] = data;
  eval_forget(e);
}

static inline void eval_push(eval *e, const uop *range, int64_t value) {
  if (e->nbound == e->cap) {
    e->cap = e->cap ? 2 * e->cap : 32;
    e->number = realloc(e->number, (size_t)e->cap * sizeof *e->number);
    e->value = realloc(e->value, (size_t)e->cap * sizeof *e->value);
  }
  e->number[e->nbound] = range->arg.i;
  e->value[e->nbound++] = value;
}

/* Gives a RANGE its value from now on. */
static inline void eval_bind(eval *e, const uop *range, int64_t value) {
  for (int k = 0; k < e->nbound; k++)
    if (e->number[k] == range->arg.i) {
      e->value[k] = value;
      return;
    }
  eval_push(e, range, value);
}

static inline int64_t *eval_lookup(eval *e, int64_t number) {
  for (int k = e->nbound - 1; k >= 0; k--)
    if (e->number[k] == number) return &e->value[k];
  return NULL;
}

static inline eval_value eval_node(eval *e, const uop *u);

static inline int64_t eval_int(eval *e, const uop *u) { return eval_node(e, u).i; }

static inline double eval_as_double(const uop *u, eval_value v) {
  return dtype_is_float(u->dtype) ? v.f : (double)v.i;
}

static inline eval_value eval_load(eval *e, const uop *u) {
  const uop *base = u->src[0];
  eval_value v = {.i = 0};
  if (dtype_is_float(u->dtype)) v.f = 0;
  if (!eval_int(e, u->src[1])) return v;
  if (base->op == OP_BUFFER) {
    int64_t at = eval_int(e, u->src[2]), size = 1;
    for (int k = 0; k < base->arg.list->len; k++) size *= base->arg.list->at[k];
    if (at < 0 || at >= size) eval_fail(u, "index outside of the buffer (index, size)", at, size);
    const void *p = base->arg.i >= 0 && base->arg.i < EVAL_BUFFERS ? e->buffer[base->arg.i] : NULL;
    if (!p) eval_fail(u, "no memory was given for slot", base->arg.i, 0);
    switch (base->dtype) {
      case WN_F64:
        v.f = ((const double *)p)[at];
        break;
      case WN_F32:
        v.f = (double)((const float *)p)[at];
        break;
      case WN_I32:
        v.i = ((const int32_t *)p)[at];
        break;
      case WN_I64:
        v.i = ((const int64_t *)p)[at];
        break;
      case WN_BOOL:
        v.i = ((const unsigned char *)p)[at] != 0;
        break;
      default:
        eval_fail(u, "no memory of this dtype", base->dtype, 0);
    }
    return v;
  }
  if (base->op != OP_BUFFERIZE) eval_fail(u, "INDEX of something else", base->op, 0);
  if (base->nsrc - 1 != u->nsrc - 2) eval_fail(u, "number of indices", u->nsrc - 2, base->nsrc - 1);
  int64_t at[64];
  int n = base->nsrc - 1, mark = e->nbound;
  for (int k = 0; k < n; k++) {
    at[k] = eval_int(e, u->src[2 + k]);
    if (at[k] < 0 || at[k] >= base->src[1 + k]->arg.j)
      eval_fail(u, "index outside of the BUFFERIZE (index, extent)", at[k],
                base->src[1 + k]->arg.j);
  }
  for (int k = 0; k < n; k++) eval_push(e, base->src[1 + k], at[k]);
  v = eval_node(e, base->src[0]);
  e->nbound = mark;
  return v;
}

/* Of zeros of both signs +0 is the larger: which one a kernel gives is not specified, but here
 * commuting must not show. */
static inline double eval_larger(double x, double y) {
  if (isnan(x) || isnan(y)) return NAN;
  if (x == y) return signbit(x) ? y : x;
  return x > y ? x : y;
}

static inline eval_value eval_alu(eval *e, const uop *u, int op, int dtype, const uop *const *src,
                                  eval_value a, eval_value b) {
  eval_value v = {.i = 0};
  if (dtype_is_float(src[0]->dtype)) {
    double x = a.f, y = b.f;
    switch (op) {
      case OP_ADD:
        v.f = x + y;
        break;
      case OP_SUB:
        v.f = x - y;
        break;
      case OP_MUL:
        v.f = x * y;
        break;
      case OP_DIV:
        v.f = x / y;
        break;
      case OP_MAX:
        v.f = eval_larger(x, y);
        break;
      case OP_MIN:
        v.f = -eval_larger(-x, -y);
        break;
      case OP_NEG:
        v.f = -x;
        break;
      case OP_ABS:
        v.f = fabs(x);
        break;
      case OP_FLOOR:
        v.f = floor(x);
        break;
      case OP_ROUND:
        v.f = nearbyint(x);
        break;
      case OP_SQRT:
        v.f = sqrt(x);
        break;
      case OP_EXP:
        v.f = exp(x);
        break;
      case OP_LOG:
        v.f = log(x);
        break;
      case OP_SIN:
        v.f = sin(x);
        break;
      case OP_COS:
        v.f = cos(x);
        break;
      case OP_ATAN:
        v.f = atan(x);
        break;
      case OP_TANH:
        v.f = tanh(x);
        break;
      case OP_ERF:
        v.f = erf(x);
        break;
      case OP_POW:
        v.f = pow(x, y);
        break;
      case OP_LT:
        v.i = x < y;
        return v;
      case OP_EQ:
        v.i = x == y;
        return v;
      default:
        eval_fail(u, "no such operation on floats", op, 0);
    }
    if (dtype == WN_F32 && e->round_f32) v.f = (double)(float)v.f;
    return v;
  }
  int64_t x = a.i, y = b.i, q;
  switch (op) {
    case OP_ADD:
      v.i = (int64_t)((uint64_t)x + (uint64_t)y);
      break;
    case OP_SUB:
      v.i = (int64_t)((uint64_t)x - (uint64_t)y);
      break;
    case OP_MUL:
      v.i = (int64_t)((uint64_t)x * (uint64_t)y);
      break;
    case OP_IDIV:
    case OP_MOD:
      if (y == 0) eval_fail(u, "division by zero", x, y);
      q = x / y;
      if (x % y != 0 && (x < 0) != (y < 0)) q--;
      v.i = op == OP_IDIV ? q : x - q * y;
      break;
    case OP_MAX:
      v.i = x > y ? x : y;
      break;
    case OP_MIN:
      v.i = x < y ? x : y;
      break;
    case OP_NEG:
      v.i = (int64_t)(0 - (uint64_t)x);
      break;
    case OP_ABS:
      v.i = x < 0 ? -x : x;
      break;
    case OP_LT:
      v.i = x < y;
      break;
    case OP_EQ:
      v.i = x == y;
      break;
    case OP_AND:
      v.i = x && y;
      break;
    case OP_OR:
      v.i = x || y;
      break;
    case OP_NOT:
      v.i = !x;
      break;
    default:
      eval_fail(u, "no such operation on integers", op, 0);
  }
  if (dtype == WN_I32) v.i = (int32_t)(uint32_t)(uint64_t)v.i;
  if (dtype == WN_BOOL) v.i = v.i != 0;
  return v;
}

static inline eval_value eval_cast(eval *e, const uop *u) {
  eval_value a = eval_node(e, u->src[0]), v = {.i = 0};
  double x = eval_as_double(u->src[0], a);
  int from_float = dtype_is_float(u->src[0]->dtype);
  if (dtype_is_float(u->dtype)) {
    v.f = u->dtype == WN_F32 && e->round_f32 ? (double)(float)x : x;
  } else if (u->dtype == WN_BOOL) {
    v.i = from_float ? a.f != 0 : a.i != 0;
  } else {
    v.i = from_float ? (int64_t)trunc(x) : a.i;
    if (u->dtype == WN_I32) v.i = (int32_t)(uint32_t)(uint64_t)v.i;
  }
  return v;
}

static inline eval_value eval_reduce(eval *e, const uop *u) {
  int n = u->nsrc - 1, mark = e->nbound;
  int64_t at[64] = {0}, total = 1;
  for (int k = 0; k < n; k++) total *= u->src[1 + k]->arg.j;
  for (int k = 0; k < n; k++) eval_push(e, u->src[1 + k], 0);
  eval_value sum = {.i = 0};
  for (int64_t step = 0; step < total; step++) {
    for (int k = 0; k < n; k++) e->value[mark + k] = at[k];
    eval_value v = eval_node(e, u->src[0]);
    const uop *two[2] = {u->src[0], u->src[0]};
    sum = step == 0 ? v : eval_alu(e, u, (int)u->arg.i, u->dtype, two, sum, v);
    for (int k = n - 1; k >= 0 && ++at[k] == u->src[1 + k]->arg.j; k--) at[k] = 0;
  }
  e->nbound = mark;
  return sum;
}

static inline eval_value eval_compute(eval *e, const uop *u) {
  eval_value v = {.i = 0}, b = {.i = 0};
  int mark = e->nbound;
  int64_t to[128], which;
  switch (u->op) {
    case OP_INDEX:
      return eval_load(e, u);
    case OP_REDUCE:
      return eval_reduce(e, u);
    case OP_CAST:
      return eval_cast(e, u);
    case OP_WHERE:
      return eval_node(e, eval_int(e, u->src[0]) ? u->src[1] : u->src[2]);
    case OP_FMA:
      v.f = fma(eval_node(e, u->src[0]).f, eval_node(e, u->src[1]).f, eval_node(e, u->src[2]).f);
      if (u->dtype == WN_F32 && e->round_f32) v.f = (double)(float)v.f;
      return v;
    case OP_GET:
      which = eval_int(e, u->src[1]);
      if (u->src[0]->op ==
          OP_SUBSTITUTE) { /* a lazy substitution in front of the tuple: bind and go on */
        const uop *s = u->src[0];
        for (int k = 1; k + 1 < s->nsrc; k += 2) to[k / 2] = eval_int(e, s->src[k + 1]);
        for (int k = 1; k + 1 < s->nsrc; k += 2) eval_push(e, s->src[k], to[k / 2]);
        if (s->src[0]->op != OP_STACK || which < 0 || which >= s->src[0]->nsrc)
          eval_fail(u, "element of the tuple", which, s->src[0]->nsrc);
        v = eval_node(e, s->src[0]->src[which]);
        e->nbound = mark;
        return v;
      }
      if (u->src[0]->op != OP_STACK || which < 0 || which >= u->src[0]->nsrc)
        eval_fail(u, "element of the tuple", which, u->src[0]->nsrc);
      return eval_node(e, u->src[0]->src[which]);
    case OP_SUBSTITUTE:
      for (int k = 1; k + 1 < u->nsrc; k += 2) to[k / 2] = eval_int(e, u->src[k + 1]);
      for (int k = 1; k + 1 < u->nsrc; k += 2) eval_push(e, u->src[k], to[k / 2]);
      v = eval_node(e, u->src[0]);
      e->nbound = mark;
      return v;
    case OP_BUFFERIZE:
      return eval_node(e, u->src[0]);
    default:
      break;
  }
  if (!(op_table[u->op].flags & UOP_ALU)) eval_fail(u, "no value", u->op, 0);
  v = eval_node(e, u->src[0]);
  if (u->nsrc > 1) b = eval_node(e, u->src[1]);
  return eval_alu(e, u, u->op, u->dtype, u->src, v, b);
}

static inline eval_value eval_node(eval *e, const uop *u) {
  eval_value v = {.i = 0};
  if (u->op == OP_CONST) {
    if (dtype_is_float(u->dtype))
      v.f = uop_const_value(u);
    else
      v.i = u->arg.i;
    return v;
  }
  if (u->op == OP_RANGE) {
    int64_t *p = eval_lookup(e, u->arg.i);
    if (!p) eval_fail(u, "a RANGE without a value", u->arg.i, u->arg.j);
    if (*p < 0 || *p >= u->arg.j) eval_fail(u, "value outside of the RANGE", *p, u->arg.j);
    v.i = *p;
    return v;
  }
  uint64_t key = (uint64_t)u->id * 0x9e3779b97f4a7c15u;
  for (int k = 0; u->free_ && k < u->free_->len; k++) {
    int64_t *p = eval_lookup(e, u->free_->at[k]);
    if (!p) eval_fail(u, "a free RANGE without a value", u->free_->at[k], 0);
    key = (key ^ (uint64_t)*p) * 0xff51afd7ed558ccdu;
    key ^= key >> 29;
  }
  eval_slot *s = &e->cache[(key >> 20) & (EVAL_CACHE - 1)];
  if (s->used && s->id == u->id && s->key == key && s->node == u) return s->value;
  v = eval_compute(e, u);
  *s = (eval_slot){.id = u->id, .used = 1, .key = key, .node = u, .value = v};
  return v;
}

static inline double eval_uop(eval *e, const uop *u) { return eval_as_double(u, eval_node(e, u)); }

/* Every element of a BUFFERIZE, in storage order. Returns their number; out has room for all. */
static inline int64_t eval_tensor(eval *e, const uop *b, double *out) {
  int n = b->nsrc - 1, mark = e->nbound;
  int64_t at[64] = {0}, total = 1;
  for (int k = 0; k < n; k++) total *= b->src[1 + k]->arg.j;
  for (int k = 0; k < n; k++) eval_push(e, b->src[1 + k], 0);
  for (int64_t step = 0; step < total; step++) {
    for (int k = 0; k < n; k++) e->value[mark + k] = at[k];
    out[step] = eval_uop(e, b->src[0]);
    for (int k = n - 1; k >= 0 && ++at[k] == b->src[1 + k]->arg.j; k--) at[k] = 0;
  }
  e->nbound = mark;
  return total;
}

#endif
