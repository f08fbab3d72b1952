// The public header compiles and links as C++11 and later, a tensor can be made from it, and structs know their size.
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
  wn_options given{}, made = WN_OPTIONS();
  given.plan = made.plan = "direct";
  wn_program_info info{};
  right = right && given.size == sizeof given && made.size == sizeof made && made.threads == 0 &&
          info.size == sizeof info && info.plan == nullptr;
#if __cplusplus >= 202002L
  right = right && WN_CONV_PARAMS(.stride = {2}, .pad_lo = {1}).size == sizeof(wn_conv_params);
#endif
  char line[200];
  right = right && wn_check_version(WN_VERSION, line, sizeof line) == WN_OK;
  if (!right) std::fprintf(stderr, "unexpected tensor: %s\n", wn_message(ctx));
  wn_context_destroy(ctx);
  return right ? 0 : 1;
}
