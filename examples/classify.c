/* Says what is in a picture, with a network that was trained for it: example_classify NET.onnx PICTURE [LABELS.txt]
 *
 * The network takes one picture of three channels, [1, 3, height, width] in RGB, with the mean and the deviation of
 * ImageNet's pixels taken off, as most that are trained on it do, and gives a score for each class. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <winnow/winnow.h>

enum { CLASSES = 1 << 16, BEST = 5, LINE = 256 };

/* The pixel in the middle of each place's part of the picture; `winnow run` takes the mean of it. */
static void fill(float *x, int64_t h, int64_t w, const unsigned char *pixels, int ph, int pw) {
  static const float mean[] = {0.485f, 0.456f, 0.406f}, deviation[] = {0.229f, 0.224f, 0.225f};
  for (int c = 0; c < 3; ++c)
    for (int64_t i = 0; i < h * w; ++i) {
      int64_t row = (2 * (i / w) + 1) * ph / (2 * h), column = (2 * (i % w) + 1) * pw / (2 * w);
      x[c * h * w + i] =
          ((float)pixels[(row * pw + column) * 3 + c] / 255 - mean[c]) / deviation[c];
    }
}

/* Line `number` of the file, from 0; the number itself where there is none. */
static const char *label(const char *path, int number, char line[LINE]) {
  FILE *file = path != NULL ? fopen(path, "r") : NULL;
  snprintf(line, LINE, "class %d", number);
  for (int i = 0; file != NULL && i <= number; ++i)
    if (fgets(line, LINE, file) == NULL) snprintf(line, LINE, "class %d", number), i = number;
  if (file != NULL) fclose(file);
  line[strcspn(line, "\r\n")] = '\0';
  return line;
}

static void print_best(float *scores, int64_t count, const char *labels) {
  char line[LINE];
  for (int k = 0; k < BEST && k < count; ++k) {
    int best = 0;
    for (int i = 1; i < count; ++i)
      if (scores[i] > scores[best]) best = i;
    printf("%8.3f  %s\n", (double)scores[best], label(labels, best, line));
    scores[best] = -1e30f;
  }
}

static int fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  return 1;
}

int main(int argc, char **argv) {
  static float scores[CLASSES];
  if (argc < 3) return fail("usage: example_classify NET.onnx PICTURE [LABELS.txt]");
  int pw, ph;
  unsigned char *pixels = stbi_load(argv[2], &pw, &ph, NULL, 3);
  if (pixels == NULL) return fail("cannot read the picture");

  wn_context *ctx;
  wn_model *model;
  if (wn_context_create(&ctx) != WN_OK) return fail("no memory");
  if (wn_model_load(ctx, argv[1], NULL, &model) != WN_OK) return fail(wn_message(ctx));
  wn_value in = WN_VALUE(), out = WN_VALUE(.data = scores, .bytes = sizeof scores);
  if (wn_model_get_input(model, 0, &in) != WN_OK) return fail(wn_model_message(model));
  if (in.ndim != 4 || in.dtype != WN_F32 || in.shape[1] != 3)
    return fail("the network takes no picture of three channels");
  in.shape[0] = 1;
  for (int i = 2; i < 4; ++i)
    if (in.shape[i] < 0) in.shape[i] = 224; /* it leaves that open */
  in.data = malloc((size_t)(3 * in.shape[2] * in.shape[3]) * sizeof(float));
  if (in.data == NULL) return fail("no memory");
  fill(in.data, in.shape[2], in.shape[3], pixels, ph, pw);
  if (wn_model_run(model, &in, 1, &out, 1) != WN_OK) return fail(wn_model_message(model));
  int64_t count = 1;
  for (int i = 0; i < out.ndim; ++i) count *= out.shape[i];
  print_best(scores, count, argc > 3 ? argv[3] : NULL);

  free(in.data);
  stbi_image_free(pixels);
  wn_model_destroy(model);
  wn_context_destroy(ctx);
  return 0;
}
