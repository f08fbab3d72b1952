/* Arrays of files as arrays of the API, and back.
 *
 * In: elements of any dtype that files have. Out: the same numbers as another dtype. Always holds: a number becomes an
 * integer or a bool only where it is one; floats are rounded to nearest, and how many changed is said. */
#ifndef WINNOW_CLI_CONVERT_H
#define WINNOW_CLI_CONVERT_H

#include "npy.h"
#include "winnow/winnow.h"

/* Into dst[0..in->count); returns how many numbers were rounded. Fails with WN_ERR_USAGE, one line in which `what` is
 * the array's name, where a number does not exist in that dtype. */
size_t convert_from_npy(arena *a, const char *what, const npy_array *in, wn_dtype to, void *dst);
/* The same elements, borrowed; bf16, which numpy has not, as float32 in the arena. */
npy_array convert_to_npy(arena *a, wn_dtype dtype, int ndim, const int64_t *shape, void *data);
/* As float32, in the arena where they are not. */
const float *convert_to_f32(arena *a, wn_dtype dtype, int64_t count, const void *data);

#endif
