/* Any bytes are an array that fits them, or an error. */
#include <stdint.h>
#include <stdlib.h>

#include "npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  diag d;
  arena a;
  npy_array array;
  wn_status status;
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, status) {
    npy_parse(&array, &a, "fuzz.npy", data, size);
    if (array.count * npy_size(array.dtype) > size) abort();
    float *v = arena_array(&a, float, array.count + 1);
    npy_to_f32(&array, v);
  }
  DIAG_END(&d, status)
  if (status != WN_OK && (status != WN_ERR_USAGE || !d.message[0])) abort();
  arena_release(&a);
  return 0;
}
