/* Arrays of test data: see suite_values.h. */
#include "onnx/suite_values.h"

#include <inttypes.h>
#include <math.h>

#include "backend/element.h"
#include "file.h"

int64_t value_elements(const wn_value *v) {
  int64_t n = 1;
  for (int i = 0; i < v->ndim; ++i) n *= v->shape[i];
  return n;
}

void value_room(wn_value *v, arena *a) {
  bool open = false;
  for (int i = 0; i < v->ndim; ++i) open = open || v->shape[i] < 0;
  if (!open) v->bytes = wn_dtype_size(v->dtype) * (size_t)value_elements(v);
  v->data = arena_alloc(a, v->bytes + 1); /* never NULL, which would be no wish for it */
  memset(v->data, 0xff, v->bytes);
}

/* --- reading ---------------------------------------------------------------------------------- */

static wn_dtype dtype_of(diag *d, const char *path, int type) {
  switch (type) {
    case ONNX_FLOAT:
      return WN_F32;
    case ONNX_DOUBLE:
      return WN_F64;
    case ONNX_FLOAT16:
      return WN_F16;
    case ONNX_BFLOAT16:
      return WN_BF16;
    case ONNX_BOOL:
      return WN_BOOL;
    case ONNX_UINT8:
    case ONNX_INT8:
    case ONNX_UINT16:
    case ONNX_INT16:
    case ONNX_INT32:
      return WN_I32;
    case ONNX_UINT32:
    case ONNX_INT64:
    case ONNX_UINT64:
      return WN_I64;
    default:
      diag_fail(d, WN_ERR_USAGE, "%s: data of type %d", path, type);
  }
}

static int64_t integer_at(const void *p, int type, int64_t i) {
  switch (type) {
    case ONNX_UINT8:
      return ((const uint8_t *)p)[i];
    case ONNX_INT8:
      return ((const int8_t *)p)[i];
    case ONNX_UINT16:
      return ((const uint16_t *)p)[i];
    case ONNX_INT16:
      return ((const int16_t *)p)[i];
    case ONNX_INT32:
      return ((const int32_t *)p)[i];
    case ONNX_UINT32:
      return ((const uint32_t *)p)[i];
    default:
      return ((const int64_t *)p)[i];
  }
}

static void copy_elements(diag *d, const char *path, wn_value *v, int type, const void *from) {
  int64_t n = value_elements(v);
  for (int64_t i = 0; v->dtype == WN_I32 && i < n; ++i)
    ((int32_t *)v->data)[i] = (int32_t)integer_at(from, type, i);
  for (int64_t i = 0; v->dtype == WN_I64 && i < n; ++i) {
    int64_t x = integer_at(from, type, i);
    if (type == ONNX_UINT64 && x < 0) diag_fail(d, WN_ERR_USAGE, "%s: a uint64 over 2^63", path);
    ((int64_t *)v->data)[i] = x;
  }
  if (v->dtype != WN_I32 && v->dtype != WN_I64 && v->bytes > 0) memcpy(v->data, from, v->bytes);
}

wn_value value_from_file(arena *a, diag *d, const char *path, wn_dtype as) {
  size_t size;
  unsigned char *bytes = file_read(a, path, &size);
  const onnx_tensor *t = onnx_read_tensor(a, d, path, bytes, size);
  wn_value v = WN_VALUE(.dtype = dtype_of(d, path, t->type), .ndim = t->ndim);
  if (as == WN_BF16 && t->type == ONNX_UINT16) v.dtype = as;
  if (t->ndim > WN_MAX_DIMS) diag_fail(d, WN_ERR_USAGE, "%s: %d axes", path, t->ndim);
  for (int i = 0; i < t->ndim; ++i) v.shape[i] = t->dims[i];
  value_room(&v, a);
  file_holder holder = {0};
  copy_elements(d, path, &v, t->type, onnx_tensor_elements(&holder, a, d, NULL, t));
  hold_release(&holder);
  return v;
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool is_float(wn_dtype t) {
  return t == WN_F64 || t == WN_F32 || t == WN_F16 || t == WN_BF16;
}

static bool element_is_near(const wn_value *got, const wn_value *want, int64_t i,
                            const tolerance *t) {
  if (got->dtype == WN_I64)
    return ((const int64_t *)got->data)[i] == ((const int64_t *)want->data)[i];
  double x = element_read(got->dtype, got->data, i), y = element_read(want->dtype, want->data, i);
  if (x == y || (isnan(x) && isnan(y))) return true;
  double relative = got->dtype == WN_BF16 ? fmax(t->relative, 0x1p-7) : t->relative;
  return is_float(got->dtype) && isfinite(x) && isfinite(y) &&
         fabs(x - y) <= t->absolute + relative * fabs(y);
}

/* "at [1, 2]" */
static const char *place_text(arena *a, const wn_value *v, int64_t i) {
  int64_t at[WN_MAX_DIMS];
  for (int k = v->ndim - 1; k >= 0; --k) {
    at[k] = i % v->shape[k];
    i /= v->shape[k];
  }
  return arena_shape(a, v->ndim, at);
}

static const char *elements_differ(arena *a, const wn_value *got, const wn_value *want,
                                   const tolerance *t) {
  int64_t n = value_elements(got), wrong = 0, first = -1;
  for (int64_t i = 0; i < n; ++i) {
    if (element_is_near(got, want, i, t)) continue;
    if (wrong++ == 0) first = i;
  }
  if (wrong == 0) return "";
  return arena_printf(a, "%.9g and not %.9g at %s, %" PRId64 " of %" PRId64 " elements",
                      element_read(got->dtype, got->data, first),
                      element_read(want->dtype, want->data, first), place_text(a, got, first),
                      wrong, n);
}

static const char *l2_differs(arena *a, const wn_value *got, const wn_value *want, double bound) {
  double error = 0, size = 0;
  for (int64_t i = 0; i < value_elements(got); ++i) {
    double x = element_read(got->dtype, got->data, i), y = element_read(want->dtype, want->data, i);
    if (isfinite(x) != isfinite(y))
      return arena_printf(a, "%g and not %g at %s", x, y, place_text(a, got, i));
    if (!isfinite(x)) continue;
    error += (x - y) * (x - y);
    size += y * y;
  }
  if (error == 0 || sqrt(error / size) <= bound) return "";
  return arena_printf(a, "relative L2 %.3g, allowed %.3g", sqrt(error / size), bound);
}

const char *value_differs(arena *a, const wn_value *got, const wn_value *want, const tolerance *t) {
  bool floats = t->l2 > 0 && is_float(got->dtype);
  if (got->dtype != want->dtype && !(floats && want->dtype == WN_F64))
    return arena_printf(a, "%s and not %s", wn_dtype_name(got->dtype), wn_dtype_name(want->dtype));
  bool same = got->ndim == want->ndim;
  for (int i = 0; same && i < got->ndim; ++i) same = got->shape[i] == want->shape[i];
  if (!same)
    return arena_printf(a, "shape %s and not %s", arena_shape(a, got->ndim, got->shape),
                        arena_shape(a, want->ndim, want->shape));
  return floats ? l2_differs(a, got, want, t->l2) : elements_differ(a, got, want, t);
}

uint64_t value_hash(const wn_value *v) { /* FNV-1a */
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  size_t n = wn_dtype_size(v->dtype) * (size_t)value_elements(v);
  for (size_t i = 0; i < n; ++i)
    h = (h ^ ((const unsigned char *)v->data)[i]) * UINT64_C(0x100000001b3);
  return h;
}
