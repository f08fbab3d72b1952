/* Enlarges a picture with a network for super-resolution: example_upscale NET.onnx PICTURE OUT.png
 *
 * The network takes [1, 3, height, width] in RGB, from 0 to 1, of any size, and gives the same with more pixels. */
#include <stdio.h>
#include <stdlib.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#include <winnow/winnow.h>

static int fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  return 1;
}

/* [h][w][3] of bytes to [3][h][w] of floats, and back. */
static void to_floats(const unsigned char *pixels, float *x, int64_t count) {
  for (int64_t i = 0; i < 3 * count; ++i) x[i % 3 * count + i / 3] = (float)pixels[i] / 255;
}

static void to_bytes(const float *x, unsigned char *pixels, int64_t count) {
  for (int64_t i = 0; i < 3 * count; ++i) {
    float v = x[i % 3 * count + i / 3] * 255 + 0.5f;
    pixels[i] = v >= 255 ? 255 : v > 0 ? (unsigned char)v : 0;
  }
}

/* What comes out for a picture of this size: shapes first, then the numbers. */
static int enlarge(wn_model *model, const unsigned char *pixels, int h, int w, const char *path) {
  int64_t count = (int64_t)h * w;
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 4, .shape = {1, 3, h, w}), out = WN_VALUE();
  wn_model_info info = WN_MODEL_INFO();
  if (wn_model_get_info(model, &info) != WN_OK || info.inputs != 1 || info.outputs != 1)
    return fail("the network is not one of a picture in and a picture out");
  if (wn_model_outputs(model, &in, 1, &out) != WN_OK) return fail(wn_model_message(model));
  if (out.dtype != WN_F32 || out.ndim != 4 || out.shape[0] != 1 || out.shape[1] != 3)
    return fail("what the network gives is no picture of three channels");
  int64_t more = out.shape[2] * out.shape[3];
  in.data = malloc((size_t)(3 * count) * sizeof(float));
  out.data = malloc((size_t)(3 * more) * sizeof(float));
  unsigned char *larger = malloc((size_t)(3 * more));
  if (in.data == NULL || out.data == NULL || larger == NULL) return fail("no memory");
  to_floats(pixels, in.data, count);
  if (wn_model_run(model, &in, 1, &out, 1) != WN_OK) return fail(wn_model_message(model));
  to_bytes(out.data, larger, more);
  int width = (int)out.shape[3], height = (int)out.shape[2];
  if (!stbi_write_png(path, width, height, 3, larger, 3 * width)) return fail("cannot write");
  printf("%d x %d pixels became %d x %d, in %s\n", w, h, width, height, path);
  free(in.data);
  free(out.data);
  free(larger);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 4) return fail("usage: example_upscale NET.onnx PICTURE OUT.png");
  int w, h;
  unsigned char *pixels = stbi_load(argv[2], &w, &h, NULL, 3);
  if (pixels == NULL) return fail("cannot read the picture");
  wn_context *ctx;
  wn_model *model;
  if (wn_context_create(&ctx) != WN_OK) return fail("no memory");
  if (wn_model_load(ctx, argv[1], NULL, &model) != WN_OK) return fail(wn_message(ctx));
  int status = enlarge(model, pixels, h, w, argv[3]);
  stbi_image_free(pixels);
  wn_model_destroy(model);
  wn_context_destroy(ctx);
  return status;
}
