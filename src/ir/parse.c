/* In: text in the form that text.h shows. Out: its root; several become one SINK.
 * Always holds: nothing that the text can say breaks a node's row of ops.def, or it is an error
 * that names line and column; equal lines become one node; RANGE numbers are kept and next_range is
 * past all of them. */
#include <ctype.h>
#include <stdlib.h>

#include "base/text.h"
#include "ir/ir_text.h"

enum { MAX_SOURCES = UINT16_MAX };
static const int64_t MAX_RANGE = INT64_C(1) << 40; /* leaves room for numbers yet to be given */

typedef struct parser {
  graph *g;
  const char *at, *line_start;
  int line;
  VEC(const uop *) nodes;
} parser;

static _Noreturn void fail_at(const parser *p, const char *where, const char *what) {
  diag_fail(p->g->diag, WN_ERR_USAGE, "IR text, line %d, column %d: %s", p->line,
            (int)(where - p->line_start) + 1, what);
}

static _Noreturn void expected(const parser *p, const char *what) {
  fail_at(p, p->at, arena_printf(&p->g->arena, "expected %s", what));
}

/* --- tokens --- */

static void skip_blanks(parser *p) {
  while (*p->at == ' ' || *p->at == '\t' || *p->at == '\r') ++p->at;
}

static bool at_end_of_line(parser *p) {
  skip_blanks(p);
  return *p->at == '\n' || *p->at == '\0';
}

static void skip_empty_lines(parser *p) {
  while (at_end_of_line(p) && *p->at != '\0') {
    p->line_start = ++p->at;
    ++p->line;
  }
}

static void end_line(parser *p) {
  if (!at_end_of_line(p)) expected(p, "the end of the line");
}

static bool accept(parser *p, char c) {
  skip_blanks(p);
  if (*p->at != c) return false;
  ++p->at;
  return true;
}

static void expect(parser *p, char c) {
  if (!accept(p, c)) expected(p, arena_printf(&p->g->arena, "'%c'", c));
}

static size_t word_length(parser *p) {
  skip_blanks(p);
  size_t n = 0;
  while (text_is_word(p->at[n]) || p->at[n] == '_') ++n;
  return n;
}

static bool accept_word(parser *p, const char *word) {
  size_t n = word_length(p);
  if (n != strlen(word) || memcmp(p->at, word, n) != 0) return false;
  p->at += n;
  return true;
}

static int64_t parse_int(parser *p) {
  skip_blanks(p);
  const char *start = p->at, *c = start;
  bool negative = *c == '-';
  int64_t value = 0;
  c += negative;
  if (!isdigit((unsigned char)*c)) expected(p, "an integer");
  for (; isdigit((unsigned char)*c); ++c) {
    int64_t digit = *c - '0';
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, negative ? -digit : digit, &value)) {
      fail_at(p, start, "an integer of more than 64 bits");
    }
  }
  p->at = c;
  return value;
}

/* Decimal, inf, nan, with a sign; nothing else that strtod would take. */
static double parse_float(parser *p) {
  skip_blanks(p);
  char digits[64];
  size_t n = 0;
  while (text_is_word(p->at[n]) || (p->at[n] != '\0' && strchr("+-.", p->at[n]) != NULL)) {
    if (n + 1 == sizeof digits || p->at[n] == 'x' || p->at[n] == 'X') expected(p, "a number");
    digits[n] = p->at[n];
    ++n;
  }
  digits[n] = '\0';
  char *end;
  double value = text_number(digits, &end);
  if (n == 0 || *end != '\0') expected(p, "a number");
  p->at += n;
  return value;
}

static const int_list *parse_list(parser *p) {
  VEC(int64_t) list = {0};
  arena *a = &p->g->arena;
  expect(p, '[');
  if (!accept(p, ']')) {
    do vec_push(a, &list, parse_int(p));
    while (accept(p, ','));
    expect(p, ']');
  }
  if (list.len > INT32_MAX) expected(p, "a shorter list");
  return intern_list(p->g, (int)list.len, list.data);
}

static const char *parse_name(parser *p) {
  str name;
  str_init(&name, &p->g->arena);
  expect(p, '"');
  for (; *p->at != '"'; p->at++) {
    if (*p->at == '\0' || *p->at == '\n') expected(p, "'\"'");
    if (*p->at != '\\') {
      str_addn(&name, p->at, 1);
      continue;
    }
    ++p->at;
    if (*p->at != 'n' && *p->at != '"' && *p->at != '\\') expected(p, "n, \" or \\");
    str_addn(&name, *p->at == 'n' ? "\n" : p->at, 1);
  }
  ++p->at;
  return intern_string(p->g, str_text(&name));
}

static uop_op parse_op(parser *p) {
  size_t n = word_length(p);
  int op = op_by_name(p->at, n);
  if (op < 0) expected(p, "the name of an op");
  p->at += n;
  return (uop_op)op;
}

static wn_dtype parse_dtype(parser *p) {
  for (int dtype = 0; dtype < WN_DTYPE_COUNT; ++dtype) {
    if (accept_word(p, wn_dtype_name((wn_dtype)dtype))) return (wn_dtype)dtype;
  }
  if (accept_word(p, "void")) return WN_DTYPE_COUNT;
  expected(p, "a dtype (f64, f32, f16, bf16, i32, i64, bool, void)");
}

static const uop *parse_reference(parser *p) {
  skip_blanks(p);
  const char *start = p->at;
  expect(p, '%');
  int64_t number = parse_int(p);
  if (number < 0 || (uint64_t)number >= p->nodes.len)
    fail_at(p, start, "no line above has this number");
  return p->nodes.data[number];
}

/* --- arguments --- */

static uop_arg parse_const(parser *p, wn_dtype dtype) {
  if (dtype_is_float(dtype))
    return uop_const(p->g, dtype, parse_float(p))->arg; /* rounded to dtype */
  return (uop_arg){.i = parse_int(p)};
}

static uop_arg parse_range(parser *p) {
  skip_blanks(p);
  const char *start = p->at;
  uop_arg arg = {.i = parse_int(p)};
  if (arg.i < 0 || arg.i > MAX_RANGE) fail_at(p, start, "the number of a RANGE is out of bounds");
  arg.j = parse_int(p);
  if (arg.j < 1) fail_at(p, start, "the extent of a RANGE is at least 1");
  if (arg.i >= p->g->next_range) p->g->next_range = arg.i + 1;
  skip_blanks(p);
  if (*p->at == '"') map_put_ptr(&p->g->range_names, (uint64_t)arg.i, parse_name(p));
  return arg;
}

static int32_t parse_site(parser *p) {
  const char *start = p->at;
  int64_t number = parse_int(p);
  if (number < 0 || number > INT32_MAX) fail_at(p, start, "the number of a site is out of bounds");
  return (int32_t)number;
}

static stage_id parse_stage(parser *p) {
  for (stage_id id = STAGE_X; id < STAGE_COUNT; ++id) {
    if (accept_word(p, (char[]){stage_letter[id], '\0'})) return id;
  }
  expected(p, "a stage (x, g, m, o)");
}

static uop_arg parse_info(parser *p) {
  bufferize_info info = {.name = parse_name(p), .site = -1, .stage = STAGE_COUNT};
  int space = 0;
  while (space < SPACE_COUNT && !accept_word(p, space_name[space])) ++space;
  if (space == SPACE_COUNT) expected(p, "a space (any, inline, reg, local, global)");
  info.space = (uop_space)space;
  info.explicit_ = accept_word(p, "explicit");
  if (accept_word(p, "site")) info.site = parse_site(p);
  if (info.site >= 0 && accept_word(p, "stage")) info.stage = parse_stage(p);
  if (accept_word(p, "stride")) info.stride = parse_list(p);
  return (uop_arg){.info = intern_info(p->g, info)};
}

static uop_arg parse_reduce_axis(parser *p) {
  int64_t op = parse_op(p);
  const int_list *axes = parse_list(p);
  int64_t *list = arena_array(&p->g->arena, int64_t, axes->len + 1);
  list[0] = op;
  memcpy(list + 1, axes->at, sizeof(int64_t) * (size_t)axes->len);
  return (uop_arg){.list = intern_list(p->g, axes->len + 1, list)};
}

static uop_arg parse_argument(parser *p, uop_op op, wn_dtype dtype) {
  switch (op_table[op].arg) {
    case ARG_NONE:
      break;
    case ARG_INT:
      return (uop_arg){.i = parse_int(p)};
    case ARG_FLOAT:
      return (uop_arg){.f = parse_float(p)};
    case ARG_NUM:
      return parse_const(p, dtype);
    case ARG_RANGE:
      return parse_range(p);
    case ARG_LIST:
      if (op == OP_REDUCE_AXIS) return parse_reduce_axis(p);
      return (uop_arg){.list = parse_list(p)};
    case ARG_BUF: {
      int64_t slot = parse_int(p);
      return (uop_arg){.i = slot, .list = parse_list(p)};
    }
    case ARG_ALU:
      return (uop_arg){.i = parse_op(p)};
    case ARG_INFO:
      return parse_info(p);
  }
  return (uop_arg){0};
}

/* --- lines --- */

typedef VEC(const uop *) references;

static references parse_references(parser *p) {
  references refs = {0};
  while (!at_end_of_line(p)) {
    if (refs.len == MAX_SOURCES) expected(p, "fewer sources");
    vec_push(&p->g->arena, &refs, parse_reference(p));
  }
  return refs;
}

/* What uop_new takes for granted; ir_check_row looks at the finished node. */
static void check_sources(const parser *p, const char *start, uop_op op, const references *refs) {
  const op_info *row = &op_table[op];
  int n = (int)refs->len, step = op == OP_SUBSTITUTE ? 2 : 1;
  if (n < row->lo || (row->hi >= 0 && n > row->hi)) {
    fail_at(p, start, arena_printf(&p->g->arena, "%s with %d sources", row->name, n));
  }
  if (op != OP_SUBSTITUTE && op != OP_REDUCE && op != OP_BUFFERIZE) return;
  for (int i = 1; i < n; i += step) {
    if (refs->data[i]->op == OP_RANGE) continue;
    fail_at(p, start, arena_printf(&p->g->arena, "source %d of %s is no RANGE", i, row->name));
  }
}

static const uop *parse_node(parser *p) {
  const char *start = p->at;
  expect(p, '%');
  if (parse_int(p) != (int64_t)p->nodes.len) {
    fail_at(p, start, arena_printf(&p->g->arena, "expected %%%zu, the next number", p->nodes.len));
  }
  expect(p, '=');
  skip_blanks(p);
  start = p->at;
  uop_op op = parse_op(p);
  wn_dtype dtype = parse_dtype(p);
  uop_arg arg = parse_argument(p, op, dtype);
  references refs = parse_references(p);
  check_sources(p, start, op, &refs);
  const uop *u = uop_new(p->g, op, dtype, (int)refs.len, refs.data, arg);
  const char *why = ir_check_row(p->g, u);
  if (why != NULL) fail_at(p, start, why);
  return u;
}

static const uop *parse_return(parser *p) {
  references roots = parse_references(p);
  if (roots.len == 0) expected(p, "a root");
  end_line(p);
  skip_empty_lines(p);
  if (*p->at != '\0') expected(p, "the end of the text");
  if (roots.len == 1) return roots.data[0];
  return uop_new(p->g, OP_SINK, WN_DTYPE_COUNT, (int)roots.len, roots.data, (uop_arg){0});
}

const uop *ir_parse(graph *g, const char *text) {
  parser p = {.g = g, .at = text, .line_start = text, .line = 1};
  for (skip_empty_lines(&p); !accept_word(&p, "return"); skip_empty_lines(&p)) {
    if (*p.at == '\0') expected(&p, "'return'");
    const uop *u = parse_node(&p);
    vec_push(&g->arena, &p.nodes, u);
    end_line(&p);
  }
  return parse_return(&p);
}
