/* Arrays of test data: tensors of ONNX's .pb files as winnow's arrays, and how far two arrays are apart.
 *
 * In: bytes of a TensorProto. Out: a wn_value whose data is in the arena, in the dtype that winnow computes it in:
 * integers of 8 and 16 bits are i32, those of 32 bits without a sign i64. Always holds: what has no such dtype, or a
 * number that does not fit it, unwinds through d with a line that says so. */
#ifndef WN_TESTS_ONNX_SUITE_VALUES_H
#define WN_TESTS_ONNX_SUITE_VALUES_H

#include <stdbool.h>

#include "onnx/hold.h"

/* as: the dtype that the model gives it; where that is bf16, 16-bit integers in the file are its bits. */
wn_value value_from_file(arena *a, diag *d, const char *path, wn_dtype as);
int64_t value_elements(const wn_value *v);
/* An array for a value whose shape and dtype are known, or, where an extent is -1, of v->bytes; every byte is 0xff, of
 * floats NaN. */
void value_room(wn_value *v, arena *a);

typedef struct tolerance {
  double relative,
      absolute; /* |got - expected| <= absolute + relative * |expected|, each element; integers are equal */
  double l2; /* not 0: relative L2 over the array instead, and what is expected may be f64 */
} tolerance;

/* "" or what is wrong, in the arena: dtype, shape, or where and by how much. NaN is equal to NaN. */
const char *value_differs(arena *a, const wn_value *got, const wn_value *expected,
                          const tolerance *t);
/* Of its bytes. */
uint64_t value_hash(const wn_value *v);

#endif
