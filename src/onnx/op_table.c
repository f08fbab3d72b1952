/* The table of operators, in the order of their names. In: a name and an opset. Out: the row that says how to build it. */
#include "onnx/graph.h"
#include "onnx/operators.h"

static const op_row table[] = {
#define OPERATOR(name, since, until, function, values, reads) {#name, since, until, function, values, reads},
#include "onnx/operators.def"
#undef OPERATOR
};

const op_row *op_find(const char *name, int64_t opset, bool *known) {
  *known = false;
  int lo = 0, hi = (int)(sizeof table / sizeof *table);
  while (lo < hi) {
    const int mid = (lo + hi) / 2;
    if (strcmp(table[mid].name, name) < 0)
      lo = mid + 1;
    else
      hi = mid;
  }
  for (; lo < (int)(sizeof table / sizeof *table) && strcmp(table[lo].name, name) == 0; ++lo) {
    *known = true;
    if (opset >= table[lo].since && (table[lo].until == 0 || opset <= table[lo].until)) return &table[lo];
  }
  return NULL;
}
