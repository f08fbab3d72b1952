/* A JPEG file is a list of segments (marker, length, data) up to the scan; Exif is the first APP1 that begins with its
 * name, and in it the tag is an entry of the first directory. See orientation.h. */
#include "orientation.h"

enum { SOI = 0xd8, SOS = 0xda, APP1 = 0xe1, TAG = 0x0112, TYPE_SHORT = 3, UPRIGHT = 1 };

typedef struct tiff {
  const unsigned char *bytes;
  size_t size;
  bool big; /* endian */
} tiff;

/* A number of 2 or 4 bytes, 0 past the end. */
static uint32_t number(const tiff *t, size_t at, size_t bytes) {
  uint32_t v = 0;
  if (at > t->size || t->size - at < bytes) return 0;
  for (size_t i = 0; i < bytes; ++i) v = v << 8 | t->bytes[at + (t->big ? i : bytes - 1 - i)];
  return v;
}

static int of_tiff(const unsigned char *bytes, size_t size) {
  if (size < 8 || (memcmp(bytes, "II", 2) != 0 && memcmp(bytes, "MM", 2) != 0)) return UPRIGHT;
  tiff t = {bytes, size, bytes[0] == 'M'};
  size_t directory = number(&t, 4, 4);
  if (number(&t, 2, 2) != 42 || directory > size) return UPRIGHT;
  size_t entries = number(&t, directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    size_t at = directory + 2 + 12 * i;
    if (at > size || size - at < 12) return UPRIGHT;
    if (number(&t, at, 2) != TAG) continue;
    uint32_t v = number(&t, at + 8, 2);
    bool one = number(&t, at + 2, 2) == TYPE_SHORT && number(&t, at + 4, 4) == 1;
    return one && v >= 1 && v <= 8 ? (int)v : UPRIGHT;
  }
  return UPRIGHT;
}

int orientation_of(const unsigned char *bytes, size_t size) {
  static const char exif[6] = "Exif\0";
  if (size < 4 || bytes[0] != 0xff || bytes[1] != SOI) return UPRIGHT;
  for (size_t at = 2; at + 4 <= size && bytes[at] == 0xff;) {
    if (bytes[at + 1] == 0xff) { /* a marker may have any number of these before it */
      ++at;
      continue;
    }
    size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (bytes[at + 1] == SOS || length < 2 || length > size - at - 2) return UPRIGHT;
    const unsigned char *data = bytes + at + 4;
    if (bytes[at + 1] == APP1 && length >= 8 && !memcmp(data, exif, sizeof exif))
      return of_tiff(data + 6, length - 8);
    at += 2 + length;
  }
  return UPRIGHT;
}

/* Where the first row and the first column of what is stored lie in the scene: 1 top left, 2 top right, 3 bottom right,
 * 4 bottom left; the same from 5 on with rows and columns exchanged: 5 left top, 6 right top, 7 right bottom, 8 left
 * bottom. */
void orientation_apply(image *p, arena *a, int orientation) {
  static const struct {
    bool swap, flip_y, flip_x; /* of what is shown: its place in what is stored */
  } ways[9] = {[2] = {false, false, true}, [3] = {false, true, true}, [4] = {false, true, false},
               [5] = {true, false, false}, [6] = {true, true, false}, [7] = {true, true, true},
               [8] = {true, false, true}};
  if (orientation <= UPRIGHT || orientation > 8) return;
  bool swap = ways[orientation].swap;
  int64_t sh = p->height, sw = p->width, h = swap ? sw : sh, w = swap ? sh : sw;
  float *out = arena_array(a, float, p->channels *h *w);
  for (int64_t c = 0; c < p->channels; ++c)
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x) {
        int64_t row = swap ? x : y, column = swap ? y : x;
        if (ways[orientation].flip_y) row = sh - 1 - row;
        if (ways[orientation].flip_x) column = sw - 1 - column;
        out[(c * h + y) * w + x] = p->data[(c * sh + row) * sw + column];
      }
  p->height = h;
  p->width = w;
  p->data = out;
}
