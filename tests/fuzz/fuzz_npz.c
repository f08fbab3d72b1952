/* Any bytes are an archive of arrays that fit them, or an error; and a picture that was held in one of eight ways. */
#include <stdint.h>
#include <stdlib.h>

#include "npz.h"
#include "orientation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  enum { MOST_RATIO = 1040 }; /* of deflate, and a header */
  diag d;
  arena a;
  npz z;
  wn_status status;
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, status) {
    npz_parse(&z, &a, "fuzz.npz", data, size);
    for (int i = 0; i < z.count; ++i) {
      const npy_array *array = &z.member[i].array;
      if (array->count * npy_size(array->dtype) > MOST_RATIO * size) abort();
      float *v = arena_array(&a, float, array->count + 1);
      npy_to_f32(array, v);
    }
  }
  DIAG_END(&d, status)
  if (status != WN_OK && (status != WN_ERR_USAGE || !d.message[0])) abort();
  int held = orientation_of(data, size);
  if (held < 1 || held > 8) abort();
  arena_release(&a);
  return 0;
}
