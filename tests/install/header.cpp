// The public header compiles and links as C++, and a tensor can be made from it.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "winnow/winnow.h"

int main() {
  wn_context *ctx = nullptr;
  if (wn_context_create(&ctx) != WN_OK) return 1;
  const float data[6] = {0, 1, 2, 3, 4, 5};
  const std::int64_t shape[2] = {2, 3};
  wn_tensor *t = wn_map(WN_RELU, wn_input(ctx, WN_F32, 2, shape, data));
  bool right = t != nullptr && wn_ndim(t) == 2 && wn_shape(t)[1] == 3 &&
               std::strcmp(wn_dtype_name(wn_tensor_dtype(t)), "f32") == 0;
  if (!right) std::fprintf(stderr, "unexpected tensor: %s\n", wn_message(ctx));
  wn_context_destroy(ctx);
  return right ? 0 : 1;
}
