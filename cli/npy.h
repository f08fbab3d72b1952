/* NumPy's .npy files, format versions 1.0 to 3.0 (numpy.lib.format).
 *
 * In: bytes of a file: magic, version, a header that is the literal of a Python dict with descr,
 * fortran_order and shape, then the elements. Out: elements in this machine's byte order and in C
 * order; Fortran order and the other byte order are converted. Dtypes: float16 to float64, int8 to
 * int64, uint8 to uint64, bool; every other is refused by name. Always holds: nothing past the end is read, whatever
 * the header says; extra bytes after the data are refused too. */
#ifndef WINNOW_CLI_NPY_H
#define WINNOW_CLI_NPY_H

#include "base/mem.h"

#define NPY_MAX_DIMS WN_MAX_DIMS

typedef enum npy_dtype {
  NPY_F32,
  NPY_F64,
  NPY_F16,
  NPY_I8,
  NPY_I16,
  NPY_I32,
  NPY_I64,
  NPY_U8,
  NPY_U16,
  NPY_U32,
  NPY_U64,
  NPY_BOOL,
  NPY_DTYPES
} npy_dtype;

typedef struct npy_array {
  npy_dtype dtype;
  int ndim;
  int64_t shape[NPY_MAX_DIMS];
  size_t count;
  void *data; /* in the arena given */
} npy_array;

size_t npy_size(npy_dtype dtype);
const char *npy_name(npy_dtype dtype); /* float32, ... */

/* name is only for messages. Fails with WN_ERR_USAGE (contents) or WN_ERR_IO (file). */
void npy_parse(npy_array *out, arena *a, const char *name, const unsigned char *bytes, size_t size);
void npy_read(npy_array *out, arena *a, const char *path);
/* Every element rounded to float32, into dst[0..count); of bool 0 and 1. */
void npy_to_f32(const npy_array *in, float *dst);
float npy_half_to_f32(uint16_t half);

/* What such a file begins with, version 1.0, before the elements in C order and in this machine's byte order. */
const unsigned char *npy_header(arena *a, npy_dtype dtype, int ndim, const int64_t *shape,
                                size_t *size);
/* All or nothing. */
void npy_write(arena *scratch, const char *path, const npy_array *in);
void npy_write_f32(arena *scratch, const char *path, int ndim, const int64_t *shape,
                   const float *data);

/* "(1, 16, 32, 32)" as Python prints it. */
const char *npy_shape_text(arena *a, int ndim, const int64_t *shape);

#endif
