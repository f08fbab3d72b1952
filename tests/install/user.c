/* A user's program: compiles y = relu(x) + 1 with the interpreter and runs it. */
#include <stdio.h>

#include "winnow/winnow.h"

int main(void) {
  wn_context *ctx = NULL;
  char line[200];
  if (wn_check_version(WN_VERSION, line, sizeof line) != WN_OK) {
    puts(line);
    return 1;
  }
  puts(wn_version());
  if (wn_context_create(&ctx) != WN_OK) return 1;
  const float x[4] = {-1, 0, 1, 2};
  const float expected[4] = {1, 1, 2, 3};
  float y[4] = {0};
  void *data = y;
  wn_tensor *t = wn_map(WN_RELU, wn_input(ctx, WN_F32, 1, (int64_t[]){4}, x));
  t = wn_zip(WN_ADD, t, wn_scalar(ctx, WN_F32, 1));
  wn_program *program = NULL;
  const wn_options options = WN_OPTIONS(.backend = "interp");
  wn_status status = wn_compile(ctx, &t, &data, 1, &options, &program);
  if (status == WN_OK) status = wn_run(program);
  if (status != WN_OK) fprintf(stderr, "%s\n", wn_message(ctx));
  for (int i = 0; i < 4 && status == WN_OK; ++i) {
    if (y[i] != expected[i]) {
      fprintf(stderr, "y[%d] is %g, expected %g\n", i, (double)y[i], (double)expected[i]);
      status = WN_ERR_USAGE;
    }
  }
  wn_program_destroy(program);
  wn_context_destroy(ctx);
  return status == WN_OK ? 0 : 1;
}
