/* Steps of a picture on its way into a network: upright, channels, size, numbers, order of axes. See photo.h. */
#include "photo.h"

#include <inttypes.h>
#include <math.h>

#include "orientation.h"
#include "resample.h"

static const double PIXELS = 255; /* the value of a white pixel */

/* --- axes ------------------------------------------------------------------------------------- */

static bool is_channels(int64_t extent) { return extent == 1 || extent == 3 || extent == 4; }

bool photo_find_axes(int ndim, const int64_t *shape, photo_axes *out) {
  int first = ndim - 3; /* of the picture's own */
  if (first < 0 || first > 1) return false;
  const int64_t *s = shape + first;
  bool second = is_channels(s[0]), last = is_channels(s[2]);
  if (!second && !last && s[0] >= 0) return false;
  if (last && !second)
    *out = (photo_axes){first + 2, first, first + 1};
  else
    *out = (photo_axes){first, first + 1, first + 2};
  return true;
}

/* --- channels --------------------------------------------------------------------------------- */

/* From 0 to 255, exactly the file's. */
static void to_pixels(image *p) {
  double most = p->bits == 16 ? 65535 : PIXELS;
  for (int64_t i = 0; i < p->channels * p->height * p->width; ++i)
    p->data[i] = (float)(nearbyint((double)p->data[i] * most) * (PIXELS / most));
}

static float *plane(const image *p, int64_t channel) {
  return p->data + channel * p->height * p->width;
}

/* Grey with or without transparency has 1 or 2 channels, colour 3 or 4. */
static void set_channels(image *p, arena *a, int64_t want) {
  if (p->channels == want) return;
  image out = *p;
  int64_t count = p->height * p->width;
  bool colour = p->channels >= 3;
  out.channels = want;
  out.data = arena_array(a, float, want *count);
  for (int64_t c = 0; c < want; ++c) {
    float *to = plane(&out, c);
    if (c == 3) {
      const float *alpha = p->channels % 2 == 0 ? plane(p, p->channels - 1) : NULL;
      for (int64_t i = 0; i < count; ++i) to[i] = alpha != NULL ? alpha[i] : (float)PIXELS;
    } else if (want == 1 && colour) {
      const float *r = plane(p, 0), *g = plane(p, 1), *b = plane(p, 2);
      for (int64_t i = 0; i < count; ++i) to[i] = 0.299f * r[i] + 0.587f * g[i] + 0.114f * b[i];
    } else {
      memcpy(to, plane(p, colour ? c : 0), (size_t)count * sizeof *to);
    }
  }
  *p = out;
}

/* --- size ------------------------------------------------------------------------------------- */

/* The part of these rows and columns from the middle. */
static void crop(image *p, arena *a, int64_t h, int64_t w) {
  int64_t top = (p->height - h) / 2, left = (p->width - w) / 2;
  float *out = arena_array(a, float, p->channels *h *w);
  for (int64_t c = 0; c < p->channels; ++c)
    for (int64_t y = 0; y < h; ++y)
      memcpy(out + (c * h + y) * w, plane(p, c) + (top + y) * p->width + left,
             (size_t)w * sizeof *out);
  p->data = out;
  p->height = h;
  p->width = w;
}

/* In the middle of so many black rows and columns. */
static void pad(image *p, arena *a, int64_t h, int64_t w) {
  int64_t top = (h - p->height) / 2, left = (w - p->width) / 2;
  float *out = arena_array(a, float, p->channels *h *w);
  for (int64_t c = 0; c < p->channels; ++c)
    for (int64_t y = 0; y < p->height; ++y)
      memcpy(out + (c * h + top + y) * w + left, plane(p, c) + y * p->width,
             (size_t)p->width * sizeof *out);
  p->data = out;
  p->height = h;
  p->width = w;
}

static int64_t nearest(double v, int64_t most) {
  return v<1 ? 1 : v>(double) most ? most : (int64_t)(v + 0.5);
}

static void set_size(image *p, arena *a, photo_fit fit, int64_t h, int64_t w) {
  double across = (double)w / (double)p->width, down = (double)h / (double)p->height;
  if (fit == FIT_CROP) {
    double by = fmax(across, down);
    crop(p, a, nearest((double)h / by, p->height), nearest((double)w / by, p->width));
    resample(p, a, h, w);
  } else if (fit == FIT_PAD) {
    double by = fmin(across, down);
    resample(p, a, nearest((double)p->height * by, h), nearest((double)p->width * by, w));
    pad(p, a, h, w);
  } else {
    resample(p, a, h, w);
  }
}

/* --- numbers ---------------------------------------------------------------------------------- */

static double number_of(const photo_numbers *n, int64_t channel, double otherwise) {
  if (n->count == 0) return otherwise;
  return n->at[channel < n->count ? channel : n->count - 1];
}

/* The picture's channel that is the network's c-th. */
static int64_t source_channel(const photo_options *o, int64_t channels, int64_t c) {
  return o->bgr && channels >= 3 && c < 3 ? 2 - c : c;
}

/* Offsets of a channel and of its pixels, whichever of them comes first. */
typedef struct layout {
  int64_t channel, pixel;
} layout;

static layout layout_of(const photo_axes *at, int64_t channels, int64_t plane_size) {
  bool last = at->channel > at->height;
  return (layout){last ? 1 : plane_size, last ? channels : 1};
}

static void check_numbers(arena *a, const char *flag, const photo_numbers *n, int64_t channels,
                          const char *what) {
  if (n->count > 1 && n->count != channels)
    diag_fail(a->diag, WN_ERR_USAGE,
              "%s has %d numbers, but %s takes pictures of %" PRId64 " channel%s", flag, n->count,
              what, channels, channels == 1 ? "" : "s");
}

static void fill(const image *p, const photo_options *o, bool whole, layout at, float *to) {
  double scale = o->scale > 0 ? o->scale : whole ? 1 : 1 / PIXELS;
  for (int64_t c = 0; c < p->channels; ++c) {
    const float *from = plane(p, source_channel(o, p->channels, c));
    double mean = number_of(&o->mean, c, 0), std = number_of(&o->std, c, 1);
    for (int64_t i = 0; i < p->height * p->width; ++i) {
      double v = ((double)from[i] * scale - mean) / std;
      to[c * at.channel + i * at.pixel] = (float)(whole ? nearbyint(v) : v);
    }
  }
}

npy_array photo_read(arena *a, const char *path, const photo_options *o, const char *what, int ndim,
                     const int64_t *shape, bool whole, int *bits) {
  photo_axes at;
  if (!photo_find_axes(ndim, shape, &at))
    diag_fail(
        a->diag, WN_ERR_USAGE,
        "%s is a picture, but %s has shape %s: no 1, 3 or 4 channels second or last of 3 or 4 axes",
        path, what, arena_shape(a, ndim, shape));
  if (ndim == 4 && shape[0] > 1)
    diag_fail(a->diag, WN_ERR_USAGE,
              "%s is one picture, but %s has shape %s, a batch of %" PRId64
              ": give a .npy, or --shape with a batch of 1",
              path, what, arena_shape(a, ndim, shape), shape[0]);
  image p;
  image_read(&p, a, path, 0);
  *bits = p.bits;
  orientation_apply(&p, a, p.orientation);
  to_pixels(&p);
  set_channels(&p, a, shape[at.channel] > 0 ? shape[at.channel] : 3);
  check_numbers(a, "--mean", &o->mean, p.channels, what);
  check_numbers(a, "--std", &o->std, p.channels, what);
  int64_t h = shape[at.height], w = shape[at.width];
  set_size(&p, a, o->fit, h > 0 ? h : p.height, w > 0 ? w : p.width);
  npy_array out = {.dtype = NPY_F32, .ndim = ndim, .shape = {1}};
  out.shape[at.channel] = p.channels;
  out.shape[at.height] = p.height;
  out.shape[at.width] = p.width;
  out.count = (size_t)(p.channels * p.height * p.width);
  out.data = arena_array(a, float, out.count);
  fill(&p, o, whole, layout_of(&at, p.channels, p.height * p.width), out.data);
  return out;
}

bool photo_write(arena *scratch, const char *path, const photo_options *o, int ndim,
                 const int64_t *shape, const float *data, int bits) {
  photo_axes at;
  if (!photo_find_axes(ndim, shape, &at) || (ndim == 4 && shape[0] != 1)) return false;
  image p = {shape[at.channel], shape[at.height], shape[at.width], NULL, bits, 0};
  if (!is_channels(p.channels) || p.height < 1 || p.width < 1) return false;
  double scale = o->scale > 0 ? o->scale : 1 / PIXELS;
  layout from = layout_of(&at, p.channels, p.height * p.width);
  p.data = arena_array(scratch, float, p.channels *p.height *p.width);
  for (int64_t c = 0; c < p.channels; ++c) {
    float *to = plane(&p, source_channel(o, p.channels, c));
    double mean = number_of(&o->mean, c, 0), std = number_of(&o->std, c, 1);
    for (int64_t i = 0; i < p.height * p.width; ++i) {
      double v = (double)data[c * from.channel + i * from.pixel];
      to[i] = (float)((v * std + mean) / scale / PIXELS);
    }
  }
  image_write_png(scratch, path, &p);
  return true;
}
