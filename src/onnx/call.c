/* What operators are built with: inputs, attributes and results of a node.
 *
 * In: a node and the values that it reads. Out: what an operator asks for, checked; see importer.h. */
#include <math.h>

#include "base/text.h"
#include "onnx/lookup.h"
#include "tensor/tensor.h"

void op_fail(op_call *c, const char *format, ...) {
  char line[700];
  va_list args;
  va_start(args, format);
  text_vformat(line, sizeof line, format, args);
  va_end(args);
  diag_fail(&c->ctx->diag, WN_ERR_USAGE, "node \"%s\" (%s): %s", lookup_label(c->node), c->node->op,
            line);
}

wn_tensor *op_ok(op_call *c, wn_tensor *t) {
  if (t != NULL) return t;
  char line[700];
  text_format(line, sizeof line, "%s", c->ctx->diag.message);
  if (c->ctx->diag.status == WN_ERR_NOMEM) diag_again(&c->ctx->diag);
  op_fail(c, "%s", line);
}

/* --- results ---------------------------------------------------------------------------------- */

static bool all_known(const op_call *c) {
  for (int i = 0; i < c->node->inputs; ++i)
    if (c->in[i] != NULL && !c->in[i]->known) return false;
  return true;
}

static onnx_value *new_result(op_call *c, int i, int type, wn_dtype dtype, int ndim,
                              const int64_t *shape) {
  if (i >= c->node->outputs) op_fail(c, "there is no result %d", i);
  onnx_value *v = arena_new(c->a, onnx_value);
  *v = (onnx_value){.name = c->node->output[i], .type = type, .dtype = dtype, .ndim = ndim};
  if (ndim > 0) memcpy(v->shape, shape, sizeof *shape * (size_t)ndim);
  c->out[i] = v;
  return v;
}

onnx_value *op_result_typed(op_call *c, int i, wn_tensor *t, int type) {
  op_ok(c, t);
  onnx_value *v = new_result(c, i, type, wn_tensor_dtype(t), wn_ndim(t), wn_shape(t));
  v->t = t;
  v->known = all_known(c);
  return v;
}

onnx_value *op_result(op_call *c, int i, wn_tensor *t) {
  op_ok(c, t);
  int type = array_type(wn_tensor_dtype(t));
  for (int k = c->node->inputs; k-- > 0;)
    if (c->in[k] != NULL && c->in[k]->dtype == wn_tensor_dtype(t)) type = c->in[k]->type;
  return op_result_typed(c, i, t, type);
}

onnx_value *op_result_data(op_call *c, int i, int type, int ndim, const int64_t *shape,
                           const void *data) {
  onnx_value *v = new_result(c, i, type, computed_dtype(type), ndim, shape);
  v->data = data;
  v->known = true;
  return v;
}

onnx_value *op_result_host(op_call *c, int i, int type, int ndim, const int64_t *shape,
                           const struct host_stage *stage) {
  onnx_value *v = new_result(c, i, type, computed_dtype(type), ndim, shape);
  v->stage = stage;
  v->result = i;
  return v;
}

bool op_wants(const op_call *c, int i) {
  return i < c->node->outputs && c->node->output[i][0] != '\0';
}

/* --- inputs ----------------------------------------------------------------------------------- */

bool op_has(const op_call *c, int i) { return i < c->node->inputs && c->in[i] != NULL; }

onnx_value *op_value(op_call *c, int i) {
  if (!op_has(c, i)) op_fail(c, "input %d is missing", i);
  return c->in[i];
}

wn_tensor *op_in(op_call *c, int i) { return value_tensor(c->imp, op_value(c, i)); }

static onnx_value *known_value(op_call *c, int i) {
  onnx_value *v = op_value(c, i);
  if (!v->known)
    op_fail(c,
            "\"%s\", input %d, is computed from inputs of the model and is needed to know the "
            "shape of a result",
            v->name, i);
  return v;
}

const int64_t *op_ints(op_call *c, int i, int *count) {
  onnx_value *v = known_value(c, i);
  int64_t n = value_count(v);
  if (dtype_is_float(v->dtype))
    op_fail(c, "\"%s\", input %d, is of %s; integers were expected", v->name, i,
            wn_dtype_name(v->dtype));
  if (n > 1 << 20) op_fail(c, "\"%s\", input %d, has %lld elements", v->name, i, (long long)n);
  int64_t *list = arena_array(c->a, int64_t, n + 1);
  for (int64_t k = 0; k < n; ++k) list[k] = value_int(c->imp, v, k);
  *count = (int)n;
  return list;
}

const double *op_numbers(op_call *c, int i, int *count) {
  onnx_value *v = known_value(c, i);
  int64_t n = value_count(v);
  if (n > 1 << 20) op_fail(c, "\"%s\", input %d, has %lld elements", v->name, i, (long long)n);
  double *list = arena_array(c->a, double, n + 1);
  for (int64_t k = 0; k < n; ++k) list[k] = value_element(c->imp, v, k);
  *count = (int)n;
  return list;
}

double op_number(op_call *c, int i, double otherwise) {
  int n;
  if (!op_has(c, i)) return otherwise;
  const double *list = op_numbers(c, i, &n);
  if (n != 1)
    op_fail(c, "\"%s\", input %d, has %d elements; one number was expected", c->in[i]->name, i, n);
  return list[0];
}

/* --- attributes ------------------------------------------------------------------------------- */

const onnx_attribute *op_attribute(op_call *c, const char *name) {
  for (int i = 0; i < c->node->attributes; ++i)
    if (strcmp(c->node->attribute[i].name, name) == 0) return &c->node->attribute[i];
  return NULL;
}

static const onnx_attribute *of_kind(op_call *c, const char *name, int kind, const char *what) {
  const onnx_attribute *a = op_attribute(c, name);
  if (a != NULL && a->kind != kind) op_fail(c, "attribute \"%s\" is not %s", name, what);
  return a;
}

int64_t op_int(op_call *c, const char *name, int64_t otherwise) {
  const onnx_attribute *a = of_kind(c, name, ONNX_ATTR_INT, "an integer");
  return a == NULL ? otherwise : a->i;
}

double op_float(op_call *c, const char *name, double otherwise) {
  const onnx_attribute *a = of_kind(c, name, ONNX_ATTR_FLOAT, "a number");
  return a == NULL ? otherwise : (double)a->f;
}

const char *op_text(op_call *c, const char *name, const char *otherwise) {
  const onnx_attribute *a = of_kind(c, name, ONNX_ATTR_STRING, "a text");
  return a == NULL ? otherwise : a->s;
}

const int64_t *op_int_list(op_call *c, const char *name, int *count) {
  static const int64_t none[1];
  *count = 0;
  const onnx_attribute *a = of_kind(c, name, ONNX_ATTR_INTS, "a list of integers");
  if (a == NULL) return NULL;
  *count = a->count;
  return a->count == 0 ? none : a->ints;
}

const float *op_float_list(op_call *c, const char *name, int *count) {
  *count = 0;
  const onnx_attribute *a = of_kind(c, name, ONNX_ATTR_FLOATS, "a list of numbers");
  if (a != NULL) *count = a->count;
  return a == NULL ? NULL : a->floats;
}

void op_spatial(op_call *c, const char *name, int n, int64_t otherwise, int64_t *list) {
  int count;
  const int64_t *given = op_int_list(c, name, &count);
  if (given != NULL && count != n)
    op_fail(c, "attribute \"%s\" has %d numbers; %d were expected", name, count, n);
  for (int i = 0; i < n; ++i) list[i] = given == NULL ? otherwise : given[i];
}

int op_axis(op_call *c, int64_t axis, int ndim) {
  if (axis < -ndim || axis >= ndim)
    op_fail(c, "there is no axis %lld in a tensor of %d axes", (long long)axis, ndim);
  return (int)(axis < 0 ? axis + ndim : axis);
}

void op_check_rank(op_call *c, int ndim) {
  if (ndim > WN_MAX_DIMS)
    op_fail(c, "the result would have %d axes; there may be %d", ndim, WN_MAX_DIMS);
}

int op_axes(op_call *c, int i, int ndim, int *axes) {
  int n = 0;
  const int64_t *list = op_has(c, i) ? op_ints(c, i, &n) : op_int_list(c, "axes", &n);
  bool seen[WN_MAX_DIMS] = {false};
  int count = 0;
  for (int k = 0; k < n; ++k) seen[op_axis(c, list[k], ndim)] = true;
  if (list == NULL || n == 0)
    for (int k = 0; k < ndim; ++k) seen[k] = true;
  for (int k = 0; k < ndim; ++k)
    if (seen[k]) axes[count++] = k;
  return count;
}

/* --- tensors ---------------------------------------------------------------------------------- */

wn_tensor *op_scalar(op_call *c, const wn_tensor *like, double value) {
  return op_ok(c, wn_scalar(c->ctx, wn_tensor_dtype(like), value));
}

wn_tensor *op_map(op_call *c, wn_unary op, wn_tensor *t) { return op_ok(c, wn_map(op, t)); }

wn_tensor *op_zip(op_call *c, wn_binary op, wn_tensor *a, wn_tensor *b) {
  return op_ok(c, wn_zip(op, a, b));
}

wn_tensor *op_zip_number(op_call *c, wn_binary op, wn_tensor *a, double b) {
  return op_zip(c, op, a, op_scalar(c, a, b));
}

wn_tensor *op_reshape(op_call *c, wn_tensor *t, int ndim, const int64_t *shape) {
  return op_ok(c, wn_reshape(t, ndim, shape));
}

wn_tensor *op_permute(op_call *c, wn_tensor *t, const int *axes) {
  return op_ok(c, wn_permute(t, axes));
}

wn_tensor *op_expand(op_call *c, wn_tensor *t, int ndim, const int64_t *shape) {
  return op_ok(c, wn_expand(t, ndim, shape));
}

wn_tensor *op_reduce(op_call *c, wn_reduction op, wn_tensor *t, int count, const int *axes,
                     int keep) {
  return op_ok(c, wn_reduce(op, t, axes, count, keep));
}

wn_tensor *op_cast(op_call *c, wn_tensor *t, wn_dtype dtype) {
  return wn_tensor_dtype(t) == dtype ? t : op_ok(c, wn_cast(t, dtype));
}

wn_tensor *op_where(op_call *c, wn_tensor *cond, wn_tensor *a, wn_tensor *b) {
  return op_ok(c, wn_where(cond, a, b));
}

wn_tensor *op_gather(op_call *c, wn_tensor *t, wn_tensor *index, int axis) {
  return op_ok(c, wn_gather(t, index, axis));
}

wn_tensor *op_concat(op_call *c, wn_tensor *const *parts, int count, int axis) {
  return count == 1 ? parts[0] : op_ok(c, wn_concat(parts, count, axis));
}

wn_tensor *op_list(op_call *c, wn_dtype dtype, int64_t n, const double *numbers) {
  void *data = arena_alloc(c->a, sizeof(double) * (size_t)n + 1);
  for (int64_t i = 0; i < n; ++i) {
    switch (dtype) {
      case WN_F64:
        ((double *)data)[i] = numbers[i];
        break;
      case WN_F32:
        ((float *)data)[i] = (float)numbers[i];
        break;
      case WN_I32:
        ((int32_t *)data)[i] = (int32_t)numbers[i];
        break;
      case WN_I64:
        ((int64_t *)data)[i] = (int64_t)numbers[i];
        break;
      default:
        ((unsigned char *)data)[i] = numbers[i] != 0;
        break;
    }
  }
  return op_ok(c, wn_constant(c->ctx, dtype, 1, &n, data));
}

wn_tensor *op_arange(op_call *c, wn_dtype dtype, int64_t n, int ndim, int axis) {
  double *numbers = arena_array(c->a, double, n + 1);
  int64_t shape[WN_MAX_DIMS];
  for (int64_t i = 0; i < n; ++i) numbers[i] = (double)i;
  for (int i = 0; i < ndim; ++i) shape[i] = i == axis ? n : 1;
  return op_reshape(c, op_list(c, dtype, n, numbers), ndim, shape);
}

wn_tensor *op_slice(op_call *c, wn_tensor *t, int axis, int64_t begin, int64_t count) {
  int64_t lo[WN_MAX_DIMS] = {0}, hi[WN_MAX_DIMS];
  for (int i = 0; i < wn_ndim(t); ++i) hi[i] = wn_shape(t)[i];
  lo[axis] = begin;
  hi[axis] = begin + count;
  return op_ok(c, wn_shrink(t, lo, hi));
}

wn_tensor *op_pad_with(op_call *c, wn_tensor *t, const int64_t *lo, const int64_t *hi,
                       double value) {
  wn_tensor *padded = op_ok(c, wn_pad(t, lo, hi));
  if (value == 0 || padded == t) return padded;
  wn_tensor *inside = op_ok(c, wn_scalar(c->ctx, WN_BOOL, 1));
  int64_t ones[WN_MAX_DIMS];
  for (int i = 0; i < wn_ndim(t); ++i) ones[i] = 1;
  inside = op_expand(c, op_reshape(c, inside, wn_ndim(t), ones), wn_ndim(t), wn_shape(t));
  return op_where(c, op_ok(c, wn_pad(inside, lo, hi)), padded, op_scalar(c, t, value));
}

wn_tensor *op_channels(op_call *c, wn_tensor *t, int ndim) {
  int64_t shape[WN_MAX_DIMS];
  if (wn_ndim(t) != 1)
    op_fail(c, "a value for each channel was expected, not a tensor of %d axes", wn_ndim(t));
  for (int i = 0; i < ndim; ++i) shape[i] = i == 1 ? wn_shape(t)[0] : 1;
  return op_reshape(c, t, ndim, shape);
}

double op_lowest(wn_dtype dtype) {
  if (dtype == WN_I32) return -0x1p31;
  if (dtype == WN_I64) return -0x1p63;
  return dtype == WN_BOOL ? 0 : -INFINITY;
}

double op_highest(wn_dtype dtype) {
  if (dtype == WN_I32) return 0x1p31 - 1;
  if (dtype == WN_I64) return 0x1p63 - 1024; /* the largest that a double has below 2^63 */
  return dtype == WN_BOOL ? 1 : INFINITY;
}
