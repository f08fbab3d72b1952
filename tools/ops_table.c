/* In: src/ir/ops.def. Out: docs/ops.md on stdout, a table of every op with one row each, grouped by where it may
 * appear. The page is generated: tools/lint.sh checks that it is up to date. */
#include <stdio.h>

#include "ir/uop.h"

static const char *const arg_text[] = {
    [ARG_NONE] = "",
    [ARG_INT] = "integer",
    [ARG_FLOAT] = "float",
    [ARG_NUM] = "number",
    [ARG_RANGE] = "number, extent",
    [ARG_LIST] = "list of integers",
    [ARG_BUF] = "slot, shape",
    [ARG_ALU] = "op",
    [ARG_INFO] = "placement",
};

static const char *const dtype_text[] = {
    [DT_SAME] = "as the sources",
    [DT_BOOL] = "bool",
    [DT_FIRST] = "as source 0",
    [DT_FREE] = "given",
    [DT_COND] = "as sources 1 and 2",
    [DT_INT] = "i64",
    [DT_VOID] = "none",
};

static void print_sources(const op_info *op) {
  if (op->lo == op->hi) {
    printf("%d", op->lo);
  } else if (op->hi < 0) {
    printf("%d or more", op->lo);
  } else {
    printf("%d to %d", op->lo, op->hi);
  }
}

/* A `|` would end the cell. */
static void print_cell(const char *text) {
  for (; *text; ++text) {
    if (*text == '|') putchar('\\');
    putchar(*text);
  }
}

static void print_row(const op_info *op) {
  printf("| `%s` | ", op->name);
  print_sources(op);
  printf(" | %s | %s | %s%s%s | ", arg_text[op->arg], dtype_text[op->dtype],
         op->flags & UOP_TENSOR ? "T" : "", op->flags & UOP_EXPR ? "E" : "",
         op->flags & UOP_LIN ? "L" : "");
  print_cell(op->meaning);
  printf("%s |\n", op->flags & UOP_COMM ? " (commutes)" : "");
}

static bool print_group(const char *title, unsigned level, unsigned without) {
  printf("\n## %s\n\n| op | sources | argument | dtype | levels | meaning |\n", title);
  printf("|---|---|---|---|---|---|\n");
  bool any = false;
  for (int i = 0; i < OP_COUNT; ++i) {
    if (!(op_table[i].flags & level) || (op_table[i].flags & without)) continue;
    print_row(&op_table[i]);
    any = true;
  }
  return any;
}

int main(void) {
  printf(
      "# Ops\n\nGenerated from `src/ir/ops.def` by `tools/ops_table.c`; "
      "`tools/lint.sh --fix` writes it again.\n\n"
      "Levels: T tensor graph, E range IR (index expressions), L linear IR (kernels).\n");
  bool ok = print_group("Arithmetic, lane by lane", UOP_ALU, 0);
  ok &= print_group("Tensor graph", UOP_TENSOR, UOP_ALU);
  ok &= print_group("Range IR", UOP_EXPR, UOP_ALU | UOP_TENSOR);
  ok &= print_group("Linear IR", UOP_LIN, UOP_ALU | UOP_TENSOR | UOP_EXPR);
  return ok ? 0 : 1;
}
