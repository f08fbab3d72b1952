// The public header compiles and links as C++11 and later: structs know their size, and a tensor can be made, compiled,
// and run on arrays that are bound.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "winnow/winnow.h"

static bool runs(wn_context *ctx, wn_tensor *t) {
  wn_options options{};
  options.backend = "interp";
  options.threads = 1;
  wn_program *program = nullptr;
  float y[6] = {0}, z[6] = {0};
  const float other[6] = {-1, 1, -1, 1, -1, 1};
  void *out = y;
  if (wn_compile(ctx, &t, &out, 1, &options, &program) != WN_OK) return false;
  wn_slot_info info{};
  int slot = -1;
  const int slots[2] = {0, 1};
  const void *arrays[2] = {other, z};
  bool right = wn_program_find(program, "output0", &slot) == WN_OK && slot == 1 &&
               wn_program_get_slot(program, slot, &info) == WN_OK && info.bytes == sizeof y &&
               info.kind == WN_SLOT_OUTPUT && wn_bind_many(program, 2, slots, arrays) == WN_OK &&
               wn_run(program) == WN_OK && z[0] == 0 && z[1] == 1 && y[1] == 0;
  if (!right) std::fprintf(stderr, "not bound: %s\n", wn_program_message(program));
  wn_program_destroy(program);
  return right;
}

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
  bool ran = right && runs(ctx, t);
  wn_context_destroy(ctx);
  return ran ? 0 : 1;
}
