/* The table of operators, in the order of their names. In: a name and an opset. Out: the row that says how to build it. */
#include "onnx/graph.h"
#include "onnx/operators.h"

static const op_row table[] = {
#define OPERATOR(name, since, until, function, values, reads, attributes, limits) \
  {#name, since, until, function, values, reads, attributes, limits},
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
    if (opset >= table[lo].since && (table[lo].until == 0 || opset <= table[lo].until))
      return &table[lo];
  }
  return NULL;
}

const op_row *op_rows(int *count) {
  *count = (int)(sizeof table / sizeof *table);
  return table;
}

bool op_has_attribute(const op_row *row, const char *name) {
  const size_t n = strlen(name);
  for (const char *at = row->attributes; n > 0 && (at = strstr(at, name)) != NULL; at += n) {
    const bool begins = at == row->attributes || at[-1] == ' ',
               ends = at[n] == '\0' || at[n] == ' ';
    if (n > 0 && begins && ends) return true;
  }
  return false;
}
