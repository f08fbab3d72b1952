/* What a node stands for in its model; see lookup.h. */
#include "onnx/lookup.h"

const onnx_function *lookup_function(const onnx_model *m, const onnx_node *n) {
  for (int i = 0; i < m->functions; ++i)
    if (strcmp(m->function[i].name, n->op) == 0 && strcmp(m->function[i].domain, n->domain) == 0)
      return &m->function[i];
  return NULL;
}

const op_row *lookup_operator(const onnx_node *n, int64_t opset) {
  bool known;
  return n->domain[0] == '\0' ? op_find(n->op, opset, &known) : NULL;
}

int64_t lookup_opset(const onnx_opset *list, int n) {
  for (int i = 0; i < n; ++i)
    if (list[i].domain[0] == '\0') return list[i].version;
  return 0;
}

int64_t lookup_body_opset(const onnx_function *f, int64_t opset) {
  const int64_t own = lookup_opset(f->opset, f->opsets);
  return own != 0 ? own : opset;
}

const char *lookup_label(const onnx_node *n) {
  return n->name[0] != '\0' || n->outputs == 0 ? n->name : n->output[0];
}
