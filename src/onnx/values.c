/* Values of a graph that is being built: as tensors, and as elements where these are known.
 *
 * In: initializers, constants and what follows from them. Out: a tensor, or elements in memory. Always holds: elements
 * are computed by the interpreter from the tensor that the value has anyway, so there is one implementation of an
 * operator; a value is computed once. Weights are only looked at where a number in them is asked for. */
#include <math.h>

#include "backend/element.h"
#include "backend/registry.h"
#include "onnx/importer.h"
#include "tensor/tensor.h"

wn_dtype computed_dtype(int type) {
  switch (type) {
    case ONNX_FLOAT:
    case ONNX_FLOAT16:
    case ONNX_BFLOAT16:
      return WN_F32;
    case ONNX_DOUBLE:
      return WN_F64;
    case ONNX_INT8:
    case ONNX_UINT8:
    case ONNX_INT16:
    case ONNX_UINT16:
    case ONNX_INT32:
      return WN_I32;
    case ONNX_UINT32:
    case ONNX_INT64:
      return WN_I64;
    case ONNX_BOOL:
      return WN_BOOL;
    default:
      return WN_DTYPE_COUNT;
  }
}

wn_dtype array_dtype(int type) {
  if (type == ONNX_FLOAT16) return WN_F16;
  return type == ONNX_BFLOAT16 ? WN_BF16 : computed_dtype(type);
}

int array_type(wn_dtype dtype) {
  static const int types[WN_DTYPE_COUNT] = {
      [WN_F64] = ONNX_DOUBLE,    [WN_F32] = ONNX_FLOAT, [WN_F16] = ONNX_FLOAT16,
      [WN_BF16] = ONNX_BFLOAT16, [WN_I32] = ONNX_INT32, [WN_I64] = ONNX_INT64,
      [WN_BOOL] = ONNX_BOOL};
  return (unsigned)dtype < WN_DTYPE_COUNT ? types[dtype] : ONNX_UNDEFINED;
}

int64_t value_count(const onnx_value *v) {
  int64_t n = 1;
  for (int i = 0; i < v->ndim; ++i) n *= v->shape[i];
  return n;
}

/* --- elements to tensors ---------------------------------------------------------------------- */

/* Arrays up to so many elements are looked at: one number in all of them is a number in the code. */
#define UNIFORM_MAX 4096

/* All elements are one number that a double has. */
static bool is_number(const onnx_value *v, double *number) {
  const int64_t n = value_count(v);
  const size_t size = wn_dtype_size(v->dtype);
  if (n < 1 || n > UNIFORM_MAX) return false;
  for (int64_t i = 1; i < n; ++i)
    if (memcmp(v->data, (const char *)v->data + (size_t)i * size, size) != 0) return false;
  *number = element_read(v->dtype, v->data, 0);
  return !isnan(*number) && (v->dtype != WN_I64 || fabs(*number) < 0x1p53);
}

static wn_tensor *of_number(importer *imp, const onnx_value *v, double number) {
  int64_t ones[WN_MAX_DIMS];
  for (int i = 0; i < v->ndim; ++i) ones[i] = 1;
  wn_tensor *t = wn_scalar(imp->ctx, v->dtype, number);
  return wn_expand(wn_reshape(t, v->ndim, ones), v->ndim, v->shape);
}

static const void *widened(importer *imp, const onnx_value *v, const void *from) {
  const int64_t n = value_count(v);
  int64_t *wide = arena_array(imp->a, int64_t, n + 1);
  int32_t *narrow = (int32_t *)wide;
  for (int64_t i = 0; i < n; ++i) {
    switch (v->type) {
      case ONNX_UINT8:
        narrow[i] = ((const uint8_t *)from)[i];
        break;
      case ONNX_INT8:
        narrow[i] = ((const int8_t *)from)[i];
        break;
      case ONNX_UINT16:
        narrow[i] = ((const uint16_t *)from)[i];
        break;
      case ONNX_INT16:
        narrow[i] = ((const int16_t *)from)[i];
        break;
      default: /* ONNX_UINT32 */
        wide[i] = ((const uint32_t *)from)[i];
        break;
    }
  }
  return wide;
}

/* What the file has becomes data, or for 16-bit floats, which nobody looks at, a tensor. */
static void open_source(importer *imp, onnx_value *v) {
  const onnx_tensor *source = v->source;
  if (source == NULL) return;
  v->source = NULL;
  diag *d = &imp->ctx->diag;
  const void *from = onnx_tensor_elements(imp->holder, imp->a, d, imp->path, source);
  const wn_dtype array = array_dtype(v->type);
  if (array != v->dtype)
    v->t = wn_cast(wn_constant(imp->ctx, array, v->ndim, v->shape, from), v->dtype);
  else if (onnx_type_size(v->type) != wn_dtype_size(v->dtype))
    v->data = widened(imp, v, from);
  else
    v->data = from;
}

wn_tensor *value_tensor(importer *imp, onnx_value *v) {
  double number;
  if (v->t != NULL) return v->t;
  if (v->stage != NULL)
    diag_fail(&imp->ctx->diag, WN_ERR_USAGE,
              "\"%s\" is computed on the host, behind the program, and a graph inside reads it",
              v->name);
  open_source(imp, v);
  if (v->t == NULL) {
    WN_CHECK(v->data != NULL || value_count(v) == 0, "value \"%s\" has neither tensor nor data",
             v->name);
    if (v->data != NULL && is_number(v, &number))
      v->t = of_number(imp, v, number);
    else
      v->t = wn_constant(imp->ctx, v->dtype, v->ndim, v->shape, v->data);
  }
  if (v->t == NULL) diag_again(&imp->ctx->diag);
  return v->t;
}

/* --- tensors to elements ---------------------------------------------------------------------- */

static void compute(importer *imp, onnx_value *v) {
  wn_tensor *t = value_tensor(imp, v);
  void *data = arena_alloc(imp->a, (size_t)value_count(v) * wn_dtype_size(v->dtype) + 1);
  if (value_count(v) > 0) {
    const wn_options options = {.size = sizeof options,
                                .backend = registry_reference()->name,
                                .plan = "direct",
                                .threads = 1,
                                .no_cache = 1};
    wn_program *p;
    wn_status st = wn_compile(imp->ctx, &t, &data, 1, &options, &p);
    if (st == WN_OK) st = wn_run(p);
    wn_program_destroy(p);
    if (st != WN_OK) diag_again(&imp->ctx->diag);
  }
  v->data = data;
}

const void *value_data(importer *imp, onnx_value *v) {
  if (!v->known) return NULL;
  if (v->data == NULL) open_source(imp, v);
  if (v->data == NULL) compute(imp, v);
  return v->data;
}

double value_element(importer *imp, onnx_value *v, int64_t i) {
  return element_read(v->dtype, value_data(imp, v), i);
}

int64_t value_int(importer *imp, onnx_value *v, int64_t i) {
  return element_read_int(v->dtype, value_data(imp, v), i);
}
