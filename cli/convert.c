/* See convert.h. Integers go through int64, everything else through double, which both are exact for what they carry. */
#include "convert.h"

#include <inttypes.h>
#include <math.h>

#include "backend/element.h"
#include "backend/half.h"

typedef struct number {
  bool whole; /* i has it */
  int64_t i;
  double f;
} number;

static number whole(int64_t i) { return (number){true, i, (double)i}; }
static number real(double f) { return (number){false, 0, f}; }

static number read_number(const npy_array *in, size_t k) {
  const void *p = in->data;
  switch (in->dtype) {
    case NPY_F32:
      return real((double)((const float *)p)[k]);
    case NPY_F64:
      return real(((const double *)p)[k]);
    case NPY_F16:
      return real(half_from_f16(((const uint16_t *)p)[k]));
    case NPY_I8:
      return whole(((const int8_t *)p)[k]);
    case NPY_I16:
      return whole(((const int16_t *)p)[k]);
    case NPY_I32:
      return whole(((const int32_t *)p)[k]);
    case NPY_I64:
      return whole(((const int64_t *)p)[k]);
    case NPY_U16:
      return whole(((const uint16_t *)p)[k]);
    case NPY_U32:
      return whole(((const uint32_t *)p)[k]);
    case NPY_U64: {
      uint64_t v = ((const uint64_t *)p)[k];
      return v <= INT64_MAX ? whole((int64_t)v) : real((double)v);
    }
    case NPY_BOOL:
      return whole(((const uint8_t *)p)[k] != 0);
    default:
      return whole(((const uint8_t *)p)[k]);
  }
}

/* False: there is no such integer. */
static bool to_integer(number n, int64_t low, int64_t high, int64_t *out) {
  if (!n.whole) {
    if (!(n.f >= -0x1p63 && n.f < 0x1p63) || n.f != nearbyint(n.f)) return false;
    n.i = (int64_t)n.f;
  }
  *out = n.i;
  return n.i >= low && n.i <= high;
}

/* Writes a float; what was written, as a double. */
static double put_float(wn_dtype to, double v, void *dst, size_t k) {
  switch (to) {
    case WN_F64:
      ((double *)dst)[k] = v;
      return v;
    case WN_F16:
      ((uint16_t *)dst)[k] = half_to_f16(v);
      return half_from_f16(((uint16_t *)dst)[k]);
    case WN_BF16:
      ((uint16_t *)dst)[k] = half_to_bf16(v);
      return (double)half_from_bf16(((uint16_t *)dst)[k]);
    default:
      ((float *)dst)[k] = (float)v;
      return (double)(float)v;
  }
}

static bool put_integer(wn_dtype to, number n, void *dst, size_t k) {
  int64_t v;
  bool fits = to == WN_I64   ? to_integer(n, INT64_MIN, INT64_MAX, &v)
              : to == WN_I32 ? to_integer(n, INT32_MIN, INT32_MAX, &v)
                             : to_integer(n, 0, 1, &v);
  if (!fits) return false;
  if (to == WN_I64)
    ((int64_t *)dst)[k] = v;
  else if (to == WN_I32)
    ((int32_t *)dst)[k] = (int32_t)v;
  else
    ((uint8_t *)dst)[k] = (uint8_t)v;
  return true;
}

static bool is_rounded(number n, double got) {
  if (n.whole) return !(got >= -0x1p63 && got < 0x1p63) || (int64_t)got != n.i;
  return got != n.f && !isnan(n.f);
}

size_t convert_from_npy(arena *a, const char *what, const npy_array *in, wn_dtype to, void *dst) {
  bool floats = to == WN_F64 || to == WN_F32 || to == WN_F16 || to == WN_BF16;
  size_t rounded = 0;
  for (size_t k = 0; k < in->count; ++k) {
    number n = read_number(in, k);
    if (floats) {
      rounded += is_rounded(n, put_float(to, n.f, dst, k));
    } else if (!put_integer(to, n, dst, k)) {
      diag_fail(a->diag, WN_ERR_USAGE, "%s: element %zu is %s, which is no %s", what, k,
                n.whole ? arena_printf(a, "%" PRId64, n.i) : arena_printf(a, "%.9g", n.f),
                wn_dtype_name(to));
    }
  }
  return rounded;
}

const float *convert_to_f32(arena *a, wn_dtype dtype, int64_t count, const void *data) {
  if (dtype == WN_F32) return data;
  float *out = arena_array(a, float, count);
  for (int64_t i = 0; i < count; ++i) out[i] = (float)element_read(dtype, data, i);
  return out;
}

npy_array convert_to_npy(arena *a, wn_dtype dtype, int ndim, const int64_t *shape, void *data) {
  static const npy_dtype dtypes[WN_DTYPE_COUNT] = {
      [WN_F64] = NPY_F64, [WN_F32] = NPY_F32, [WN_F16] = NPY_F16,   [WN_BF16] = NPY_F32,
      [WN_I32] = NPY_I32, [WN_I64] = NPY_I64, [WN_BOOL] = NPY_BOOL,
  };
  npy_array out = {.dtype = dtypes[dtype], .ndim = ndim, .count = 1, .data = data};
  for (int i = 0; i < ndim; ++i) out.count *= (size_t)(out.shape[i] = shape[i]);
  if (dtype == WN_BF16)
    out.data = (void *)(uintptr_t)convert_to_f32(a, dtype, (int64_t)out.count, data);
  return out;
}
