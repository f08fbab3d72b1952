/* Operators that hold graphs: If and Loop, where what they decide by is known when a graph is built.
 *
 * In: conditions and numbers of turns that depend on no input of a run. Out: what the branch, or the turns one after
 * another, compute. */
#include "onnx/graph.h"
#include "onnx/operators.h"

#define MOST_TURNS 1024

static const onnx_graph *graph_of(op_call *c, const char *name) {
  const onnx_attribute *a = op_attribute(c, name);
  if (a == NULL || a->g == NULL) op_fail(c, "\"%s\" is missing", name);
  return a->g;
}

void op_if(op_call *c) {
  if (!op_value(c, 0)->known)
    op_fail(c,
            "the condition depends on inputs of the model; conditions that do not are supported");
  const onnx_graph *g = graph_of(c, op_number(c, 0, 0) != 0 ? "then_branch" : "else_branch");
  if (g->outputs < c->node->outputs) op_fail(c, "the branch has %d outputs", g->outputs);
  onnx_value **out = arena_array(c->a, onnx_value *, g->outputs + 1);
  op_build_graph(c, g, NULL, out);
  for (int i = 0; i < c->node->outputs; ++i) c->out[i] = out[i];
}

static onnx_value *known_number(op_call *c, int type, int64_t value) {
  onnx_value *v = arena_new(c->a, onnx_value);
  int64_t *data = arena_array(c->a, int64_t, 1);
  if (type == ONNX_BOOL)
    *(unsigned char *)data = value != 0;
  else
    *data = value;
  *v = (onnx_value){
      .name = "", .type = type, .dtype = computed_dtype(type), .data = data, .known = true};
  return v;
}

static bool truth(op_call *c, onnx_value *v) {
  if (!v->known)
    op_fail(c,
            "the condition depends on inputs of the model; conditions that do not are supported");
  return value_element(c->imp, v, 0) != 0;
}

/* What every turn gave, along a new first axis. */
static void gather_turns(op_call *c, int i, onnx_value **turn, int64_t turns) {
  wn_tensor **part = arena_array(c->a, wn_tensor *, turns + 1);
  if (turns == 0) op_fail(c, "no turn is made, so that result %d has no shape", i);
  for (int64_t k = 0; k < turns; ++k) {
    wn_tensor *t = value_tensor(c->imp, turn[k]);
    int64_t shape[WN_MAX_DIMS + 1] = {1};
    if (turn[k]->ndim + 1 > WN_MAX_DIMS)
      op_fail(c, "result %d would have %d axes", i, turn[k]->ndim + 1);
    for (int d = 0; d < turn[k]->ndim; ++d) shape[d + 1] = turn[k]->shape[d];
    part[k] = op_reshape(c, t, turn[k]->ndim + 1, shape);
  }
  op_result_typed(c, i, op_concat(c, part, (int)turns, 0), turn[0]->type);
}

/* Inputs: most turns, condition, then what turns hand on; of the body: turn, condition, what is handed on. */
void op_loop(op_call *c) {
  const onnx_graph *g = graph_of(c, "body");
  const int carried = c->node->inputs - 2, scans = g->outputs - 1 - carried;
  if (carried < 0 || scans < 0 || g->inputs != carried + 2 || c->node->outputs > carried + scans)
    op_fail(c, "the body has %d inputs and %d outputs, which does not fit", g->inputs, g->outputs);
  const double most = op_number(c, 0, MOST_TURNS + 1);
  onnx_value **in = arena_array(c->a, onnx_value *, carried + 2),
             **out = arena_array(c->a, onnx_value *, g->outputs + 1);
  onnx_value **turn = arena_array(c->a, onnx_value *, (size_t)scans * (MOST_TURNS + 1) + 1);
  bool on = !op_has(c, 1) || truth(c, op_value(c, 1));
  int64_t turns = 0;
  for (int i = 0; i < carried; ++i) in[2 + i] = op_value(c, 2 + i);
  for (; on && (double)turns < most; ++turns) {
    if (turns == MOST_TURNS) op_fail(c, "more than %d turns", MOST_TURNS);
    in[0] = known_number(c, ONNX_INT64, turns);
    in[1] = known_number(c, ONNX_BOOL, 1);
    op_build_graph(c, g, in, out);
    on = truth(c, out[0]);
    for (int i = 0; i < carried; ++i) in[2 + i] = out[1 + i];
    for (int i = 0; i < scans; ++i) turn[i * (MOST_TURNS + 1) + turns] = out[1 + carried + i];
  }
  for (int i = 0; i < c->node->outputs; ++i) {
    if (i < carried)
      c->out[i] = in[2 + i];
    else if (op_wants(c, i))
      gather_turns(c, i, turn + (size_t)(i - carried) * (MOST_TURNS + 1), turns);
  }
}
