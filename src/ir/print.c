/* In: roots. Out: text, one node a line; the form is in text.h.
 * Always holds: what is printed parses back to the same nodes, and a number is the shortest that
 * does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "ir/ir_text.h"
#include "ir/walk.h"

static void print_list(str *out, const int64_t *values, int n) {
  str_add(out, " [");
  for (int i = 0; i < n; i++) str_printf(out, i ? ", %lld" : "%lld", (long long)values[i]);
  str_add(out, "]");
}

static void print_name(str *out, const char *name) {
  str_add(out, " \"");
  for (const char *c = name; *c; ++c) {
    if (*c == '"' || *c == '\\') str_add(out, "\\");
    if (*c == '\n') {
      str_add(out, "\\n");
    } else {
      str_addn(out, c, 1);
    }
  }
  str_add(out, "\"");
}

static void print_float(str *out, double value, bool single) {
  if (!isfinite(value)) {
    str_printf(out, " %s%s", signbit(value) ? "-" : "", isnan(value) ? "nan" : "inf");
    return;
  }
  char digits[64];
  for (int precision = 1; precision <= 17; ++precision) {
    text_format(digits, sizeof digits, "%.*g", precision, value);
    double back = text_number(digits, NULL);
    if (single ? (float)back == (float)value : back == value) break;
  }
  str_printf(out, " %s", digits);
}

static void print_info(str *out, const bufferize_info *info) {
  print_name(out, info->name);
  str_printf(out, " %s", space_name[info->space]);
  if (info->explicit_) str_add(out, " explicit");
  if (info->site >= 0) str_printf(out, " site %d", (int)info->site);
  if (info->stage != STAGE_COUNT) str_printf(out, " stage %c", stage_letter[info->stage]);
  if (info->stride == NULL) return;
  str_add(out, " stride");
  print_list(out, info->stride->at, info->stride->len);
}

static void print_range(graph *g, str *out, const uop *u) {
  str_printf(out, " %lld %lld", (long long)u->arg.i, (long long)u->arg.j);
  const char *name = map_get_ptr(&g->range_names, (uint64_t)u->arg.i);
  if (name != NULL) print_name(out, name);
}

/* A list that starts with an op shows its name: numbers of ops may change. */
static void print_reduce_axis(str *out, const int_list *list) {
  str_printf(out, " %s", op_table[list->at[0]].name);
  print_list(out, list->at + 1, list->len - 1);
}

static void print_argument(graph *g, str *out, const uop *u) {
  switch (op_table[u->op].arg) {
    case ARG_NONE:
      break;
    case ARG_INT:
      str_printf(out, " %lld", (long long)u->arg.i);
      break;
    case ARG_FLOAT:
      print_float(out, u->arg.f, false);
      break;
    case ARG_NUM:
      if (dtype_is_float(u->dtype)) {
        print_float(out, u->arg.f, u->dtype != WN_F64);
      } else {
        str_printf(out, " %lld", (long long)u->arg.i);
      }
      break;
    case ARG_RANGE:
      print_range(g, out, u);
      break;
    case ARG_LIST:
      if (u->op == OP_REDUCE_AXIS) {
        print_reduce_axis(out, u->arg.list);
      } else {
        print_list(out, u->arg.list->at, u->arg.list->len);
      }
      break;
    case ARG_BUF:
      str_printf(out, " %lld", (long long)u->arg.i);
      print_list(out, u->arg.list->at, u->arg.list->len);
      break;
    case ARG_ALU:
      str_printf(out, " %s", op_table[u->arg.i].name);
      break;
    case ARG_INFO:
      print_info(out, u->arg.info);
      break;
  }
}

static void print_reference(str *out, const map *numbers, const uop *u) {
  uint64_t number = 0;
  bool known = map_get(numbers, u->id, &number);
  WN_CHECK(known, "a source of a node is not under the roots");
  str_printf(out, " %%%llu", (unsigned long long)number);
}

void ir_print(graph *g, str *out, int nroots, const uop *const *roots) {
  uop_order order = uop_toposort(out->arena, nroots, roots);
  map numbers; /* node id -> line */
  map_init(&numbers, out->arena);
  for (size_t i = 0; i < order.len; ++i) {
    const uop *u = order.at[i];
    map_put(&numbers, u->id, i);
    const char *dtype = u->dtype == WN_DTYPE_COUNT ? "void" : wn_dtype_name((wn_dtype)u->dtype);
    str_printf(out, "%%%zu = %s %s", i, op_table[u->op].name, dtype);
    print_argument(g, out, u);
    for (int s = 0; s < u->nsrc; ++s) print_reference(out, &numbers, u->src[s]);
    str_add(out, "\n");
  }
  str_add(out, "return");
  for (int i = 0; i < nroots; ++i) print_reference(out, &numbers, roots[i]);
  str_add(out, "\n");
}
