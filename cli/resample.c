/* One axis after the other; what each place of the result reads is computed once for all rows. See resample.h. */
#include "resample.h"

#include <math.h>

typedef struct window {
  int64_t first, count;
  const float *weight;
} window;

/* Place o of the result is centred at (o + 1/2) * scale of the source, and reads what is nearer than max(1, scale). */
static window *windows_of(arena *a, int64_t from, int64_t to) {
  window *out = arena_array(a, window, to);
  double scale = (double)from / (double)to, reach = fmax(1, scale);
  for (int64_t o = 0; o < to; ++o) {
    double centre = ((double)o + 0.5) * scale, sum = 0;
    int64_t lo = (int64_t)fmax(0, floor(centre - reach)),
            hi = (int64_t)fmin((double)from, ceil(centre + reach));
    float *w = arena_array(a, float, hi - lo);
    for (int64_t i = lo; i < hi; ++i) sum += fmax(0, 1 - fabs((double)i + 0.5 - centre) / reach);
    for (int64_t i = lo; i < hi; ++i)
      w[i - lo] = (float)(fmax(0, 1 - fabs((double)i + 0.5 - centre) / reach) / sum);
    out[o] = (window){lo, hi - lo, w};
  }
  return out;
}

static const float *along_rows(arena *a, const image *in, int64_t width) {
  int64_t rows = in->channels * in->height;
  const window *windows = windows_of(a, in->width, width);
  float *out = arena_array(a, float, rows *width);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t x = 0; x < width; ++x) {
      const window *w = &windows[x];
      const float *from = in->data + r * in->width + w->first;
      float sum = 0;
      for (int64_t i = 0; i < w->count; ++i) sum += w->weight[i] * from[i];
      out[r * width + x] = sum;
    }
  return out;
}

static float *along_columns(arena *a, const float *data, const image *in, int64_t width,
                            int64_t height) {
  const window *windows = windows_of(a, in->height, height);
  float *out = arena_array(a, float, in->channels *height *width);
  for (int64_t c = 0; c < in->channels; ++c)
    for (int64_t y = 0; y < height; ++y) {
      const window *w = &windows[y];
      float *to = out + (c * height + y) * width;
      for (int64_t i = 0; i < w->count; ++i) {
        const float *from = data + (c * in->height + w->first + i) * width;
        for (int64_t x = 0; x < width; ++x) to[x] += w->weight[i] * from[x];
      }
    }
  return out;
}

void resample(image *p, arena *a, int64_t height, int64_t width) {
  if (p->height == height && p->width == width) return;
  const float *rows = p->width == width ? p->data : along_rows(a, p, width);
  p->data = along_columns(a, rows, p, width, height);
  p->height = height;
  p->width = width;
}
