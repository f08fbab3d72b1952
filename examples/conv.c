/* A convolution with bias and ReLU through the public API: describe it, compile it once, run it,
 * look at it. */
#include <stdio.h>
#include <stdlib.h>

#include "winnow/winnow.h"

static float *noise(size_t count) {
  float *v = malloc(count * sizeof *v);
  for (size_t i = 0; v && i < count; ++i) v[i] = (float)(i * 2654435761u % 2048) / 1024.0f - 1.0f;
  return v;
}

int main(void) {
  enum { C = 16, K = 32, SIZE = 64 };
  float *image = noise(C * SIZE * SIZE), *filters = noise(K * C * 3 * 3), *bias = noise(K);
  float *result = malloc(sizeof(float) * K * SIZE * SIZE);
  wn_context *ctx;
  if (!image || !filters || !bias || !result || wn_context_create(&ctx) != WN_OK) return 2;

  wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, SIZE, SIZE}, image);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, filters);
  wn_tensor *b = wn_constant(ctx, WN_F32, 4, (int64_t[]){1, K, 1, 1}, bias);
  wn_tensor *y = wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  y = wn_map(WN_RELU, wn_zip(WN_ADD, y, b)); /* flows into the same kernel */

  wn_program *program;
  void *out = result;
  wn_program_info info = WN_PROGRAM_INFO();
  if (wn_compile(ctx, &y, &out, 1, NULL, &program) != WN_OK || wn_run(program) != WN_OK ||
      wn_program_get_info(program, &info) != WN_OK) {
    fprintf(stderr, "%s\n", wn_message(ctx));
    return 2;
  }
  printf("%s on %s: %d kernels, %d buffers, compiled in %.0f ms\n", info.placement, info.device,
         info.kernels, info.buffers, info.compile_s * 1e3);
  printf("result[0] = %g, result[last] = %g\n", (double)result[0],
         (double)result[K * SIZE * SIZE - 1]);
  wn_program_destroy(program);
  wn_context_destroy(ctx);
  free(image), free(filters), free(bias), free(result);
  return 0;
}
