/* Leaves and the nodes of range IR, as their makers know them.
 *
 * In: values, extents, sources. Out: nodes, constants rounded to their dtype. */
#include <float.h>
#include <math.h>

#include "ir/uop.h"

/* --- leaves ----------------------------------------------------------------------------------- */

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

const uop *uop_filled(graph *g, const uop *number, const int_list *shape) {
  int64_t ones[WN_MAX_DIMS] = {0};
  bool one = true;
  const wn_dtype dtype = (wn_dtype)number->dtype;
  if (shape->len == 0) return number;
  for (int i = 0; i < shape->len; ++i) {
    ones[i] = 1;
    one = one && shape->at[i] == 1;
  }
  const uop *u = uop_new(g, OP_RESHAPE, dtype, 1, &number,
                         (uop_arg){.list = intern_list(g, shape->len, ones)});
  return one ? u : uop_new(g, OP_EXPAND, dtype, 1, &u, (uop_arg){.list = shape});
}

bool uop_is_empty(const uop *tensor) {
  return tensor->op == OP_EXPAND && int_list_has(tensor->arg.list, 0);
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

/* --- range IR --------------------------------------------------------------------------------- */

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
