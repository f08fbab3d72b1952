/* An element of an array of any dtype: as a double, where i64 beyond 2^53 is rounded, or as an integer. */
#ifndef WN_BACKEND_ELEMENT_H
#define WN_BACKEND_ELEMENT_H

#include "backend/half.h"
#include "winnow/winnow.h"

static inline double element_read(wn_dtype dtype, const void *data, int64_t i) {
  switch (dtype) {
    case WN_F64:
      return ((const double *)data)[i];
    case WN_F32:
      return (double)((const float *)data)[i];
    case WN_F16:
      return half_from_f16(((const uint16_t *)data)[i]);
    case WN_BF16:
      return (double)half_from_bf16(((const uint16_t *)data)[i]);
    case WN_I32:
      return (double)((const int32_t *)data)[i];
    case WN_I64:
      return (double)((const int64_t *)data)[i];
    default:
      return (double)((const uint8_t *)data)[i];
  }
}

/* Integers and bool exactly; floats are cut off, and fit. */
static inline int64_t element_read_int(wn_dtype dtype, const void *data, int64_t i) {
  if (dtype == WN_I64) return ((const int64_t *)data)[i];
  return (int64_t)element_read(dtype, data, i);
}

#endif
