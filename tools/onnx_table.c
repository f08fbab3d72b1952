/* In: src/onnx/operators.def. Out: docs/operators.md on stdout, a row for each operator of ONNX. The page is generated:
 * tools/lint.sh checks that it is up to date. */
#include <stdio.h>

#include "onnx/graph.h"

static void print_row(const op_row *r) {
  printf("| %s | ", r->name);
  if (r->until == 0)
    printf("%d to %d", r->since, ONNX_OPSET_LAST);
  else
    printf("%d to %d", r->since, r->until);
  printf(" | %s | %s |\n", r->attributes, r->limits);
}

int main(void) {
  int n;
  const op_row *rows = op_rows(&n);
  printf("# Operators of ONNX\n\n");
  printf(
      "Generated from `src/onnx/operators.def` by `tools/lint.sh --fix`. %d operators of ONNX's "
      "own domain, at opsets %d to %d; functions of\n"
      "a model are built as their nodes. *Known*: an initializer, a constant, or computed from "
      "shapes and such values; an input of\n"
      "the model that decides one is looked at when a program is compiled, and another value is "
      "another program. *As the last stage*: results are\noutputs of the model "
      "([networks.md](networks.md#a-last-stage-on-the-host)), unless all that is read is "
      "known.\n\n",
      n, ONNX_OPSET_FIRST, ONNX_OPSET_LAST);
  printf("| operator | opsets | attributes | limits |\n|---|---|---|---|\n");
  for (int i = 0; i < n; ++i) print_row(&rows[i]);
  return 0;
}
