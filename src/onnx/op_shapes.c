/* Operators whose result is made of shapes, attributes and numbers that are known. In: little. Out: constants. */
#include "onnx/operators.h"
#include "tensor/tensor.h"

static void ints_result(op_call *c, int ndim, int64_t n, const int64_t *list) {
  op_result_data(c, 0, ONNX_INT64, ndim, &n,
                 arena_copy(c->a, list, sizeof *list * (size_t)(n + 1)));
}

void op_shape(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  int64_t start = op_int(c, "start", 0), end = op_int(c, "end", v->ndim), list[WN_MAX_DIMS + 1];
  int n = 0;
  start = start < 0 ? start + v->ndim : start;
  end = end < 0 ? end + v->ndim : end;
  for (int i = 0; i < v->ndim; ++i)
    if (i >= start && i < end) list[n++] = v->shape[i];
  ints_result(c, 1, n, list);
}

void op_size(op_call *c) {
  const int64_t list[2] = {value_count(op_value(c, 0)), 0};
  ints_result(c, 0, 1, list);
}

void op_constant(op_call *c) {
  if (c->node->attributes != 1)
    op_fail(c, "one attribute was expected, not %d", c->node->attributes);
  const onnx_attribute *at = &c->node->attribute[0];
  int64_t n = at->count;
  switch (at->kind) {
    case ONNX_ATTR_TENSOR:
      c->out[0] = value_of_tensor(c->imp, at->t);
      c->out[0]->name = c->node->output[0];
      return;
    case ONNX_ATTR_FLOAT:
      op_result_data(c, 0, ONNX_FLOAT, 0, NULL, &at->f);
      return;
    case ONNX_ATTR_INT:
      op_result_data(c, 0, ONNX_INT64, 0, NULL, &at->i);
      return;
    case ONNX_ATTR_FLOATS:
      op_result_data(c, 0, ONNX_FLOAT, 1, &n, at->floats);
      return;
    case ONNX_ATTR_INTS:
      op_result_data(c, 0, ONNX_INT64, 1, &n, at->ints);
      return;
    default:
      op_fail(c, "attribute \"%s\" is not supported; tensors, numbers and lists of numbers are",
              at->name);
  }
}

/* One number of a type in a shape, without an array of it. */
static void filled(op_call *c, int type, double number, int ndim, const int64_t *shape) {
  int64_t ones[WN_MAX_DIMS];
  for (int i = 0; i < ndim; ++i) ones[i] = 1;
  wn_tensor *t = op_ok(c, wn_scalar(c->ctx, computed_dtype(type), number));
  op_result_typed(c, 0, op_expand(c, op_reshape(c, t, ndim, ones), ndim, shape), type);
}

void op_constant_of_shape(op_call *c) {
  int n;
  const int64_t *shape = op_ints(c, 0, &n);
  const onnx_attribute *at = op_attribute(c, "value");
  op_check_rank(c, n);
  if (at != NULL && (at->kind != ONNX_ATTR_TENSOR || at->t->count != 1))
    op_fail(c, "\"value\" is not one number");
  onnx_value *v = at == NULL ? NULL : value_of_tensor(c->imp, at->t);
  filled(c, v == NULL ? ONNX_FLOAT : v->type, v == NULL ? 0 : value_element(c->imp, v, 0), n,
         shape);
}

void op_range(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  const double start = op_number(c, 0, 0), limit = op_number(c, 1, 0), delta = op_number(c, 2, 1);
  if (delta == 0) op_fail(c, "the step is 0");
  const double exact = (limit - start) / delta;
  int64_t n = exact <= 0 ? 0 : exact > 0x1p40 ? INT64_MAX : (int64_t)exact;
  if ((double)n < exact) ++n;
  if (n > 1 << 28) op_fail(c, "a range of more than %d numbers", 1 << 28);
  double *list = arena_array(c->a, double, n + 1);
  for (int64_t i = 0; i < n; ++i) list[i] = start + (double)i * delta;
  op_result_typed(c, 0, op_list(c, v->dtype, n, list), v->type);
}

void op_eye_like(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  const int64_t k = op_int(c, "k", 0);
  const int type = (int)op_int(c, "dtype", v->type);
  if (v->ndim != 2) op_fail(c, "the input has %d axes; 2 were expected", v->ndim);
  if (computed_dtype(type) == WN_DTYPE_COUNT)
    op_fail(c, "%s is not supported", onnx_type_name(c->a, type));
  wn_tensor *row = op_arange(c, WN_I64, v->shape[0], 2, 0),
            *column = op_arange(c, WN_I64, v->shape[1], 2, 1);
  wn_tensor *on = op_zip(c, WN_EQUAL, op_zip_number(c, WN_ADD, row, (double)k), column);
  op_result_typed(c, 0, op_cast(c, on, computed_dtype(type)), type)->known = true;
}
