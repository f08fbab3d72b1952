/* Decoding is stb's, and so is encoding of 8 bits and the compression in a PNG of 16; this is the way
 * between samples [h][w][c] and floats [c][h][w], and the files. */
#include "image.h"

#include <limits.h>

#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include "base/text.h"
#include "file.h"
#include "orientation.h"
#include "pack.h"

bool image_can_write(const char *path) { return text_ends(path, ".png"); }

bool image_has_name(const char *path) {
  static const char *const endings[] = {".png", ".jpg", ".jpeg", ".bmp",
                                        ".tga", ".pnm", ".pgm",  ".ppm"};
  for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i)
    if (text_ends(path, endings[i])) return true;
  return false;
}

void image_read(image *out, arena *a, const char *path, int want) {
  size_t size;
  const unsigned char *bytes = file_read(a, path, &size);
  if (size > INT_MAX) diag_fail(a->diag, WN_ERR_USAGE, "%s is too large for a photo", path);
  int w, h, have;
  bool wide = stbi_is_16_bit_from_memory(bytes, (int)size);
  void *pixels = wide ? (void *)stbi_load_16_from_memory(bytes, (int)size, &w, &h, &have, want)
                      : stbi_load_from_memory(bytes, (int)size, &w, &h, &have, want);
  if (pixels == NULL)
    diag_fail(a->diag, WN_ERR_USAGE, "cannot read the photo %s: %s", path, stbi_failure_reason());
  size_t c = (size_t)(want ? want : have), plane = (size_t)w * (size_t)h;
  wn_status status;
  float *volatile data = NULL;
  DIAG_TRY(a->diag, status) { data = arena_array(a, float, c *plane); }
  DIAG_END(a->diag, status)
  for (size_t k = 0; data != NULL && k < c; ++k)
    for (size_t i = 0; i < plane; ++i)
      data[k * plane + i] = wide ? (float)((const stbi_us *)pixels)[i * c + k] / 65535.0f
                                 : (float)((const stbi_uc *)pixels)[i * c + k] / 255.0f;
  stbi_image_free(pixels);
  if (data == NULL) diag_fail(a->diag, status, "no memory for the photo %s", path);
  *out = (image){(int64_t)c, h, w, data, wide ? 16 : 8, orientation_of(bytes, size)};
}

/* Errors stay in the stream until file_commit looks: unwinding from here would leak stb memory. */
static void put(void *user, void *bytes, int size) {
  file_writer *w = user;
  (void)!fwrite(bytes, 1, (size_t)size, w->stream);
}

/* --- PNG of 16 bits (ISO/IEC 15948): signature, then chunks of length, name, data, CRC -------- */

static void big_endian(unsigned char *to, uint32_t v) {
  for (int i = 0; i < 4; ++i) to[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void put_chunk(file_writer *w, diag *d, const char *name, const unsigned char *data,
                      size_t n) {
  unsigned char head[8], tail[4];
  big_endian(head, (uint32_t)n);
  memcpy(head + 4, name, 4);
  big_endian(tail, pack_crc32(pack_crc32(0, head + 4, 4), data, n));
  file_put(w, d, head, sizeof head);
  if (n) file_put(w, d, data, n);
  file_put(w, d, tail, sizeof tail);
}

/* Each row begins with the number of its filter: 2, the difference to the row above. */
static const unsigned char *filtered_rows(arena *a, const image *in, size_t *size) {
  size_t c = (size_t)in->channels, h = (size_t)in->height, w = (size_t)in->width, row = 2 * c * w;
  unsigned char *rows = arena_alloc(a, h * row), *out = arena_alloc(a, h * (row + 1)), *to = out;
  for (size_t i = 0; i < c * h * w; ++i) {
    float v = in->data[i];
    unsigned s = v >= 1.0f ? 65535u : v > 0.0f ? (unsigned)(v * 65535.0f + 0.5f) : 0u;
    size_t at = 2 * (i % (h * w) * c + i / (h * w));
    rows[at] = (unsigned char)(s >> 8);
    rows[at + 1] = (unsigned char)s;
  }
  for (size_t y = 0; y < h; ++y) {
    *to++ = 2;
    for (size_t i = y * row; i < (y + 1) * row; ++i)
      *to++ = (unsigned char)(rows[i] - (y ? rows[i - row] : 0));
  }
  *size = h * (row + 1);
  return out;
}

static void write_wide(arena *scratch, const char *path, const image *in) {
  static const unsigned char signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  static const unsigned char color_type[] = {0, 0, 4, 2,
                                             6}; /* by channels: grey, grey and alpha, RGB, RGBA */
  unsigned char header[13] = {[8] = 16, [9] = color_type[in->channels]};
  size_t raw, packed;
  const unsigned char *rows = filtered_rows(scratch, in, &raw),
                      *data = pack_zlib(scratch, rows, raw, &packed);
  big_endian(header, (uint32_t)in->width);
  big_endian(header + 4, (uint32_t)in->height);
  file_writer w;
  file_create(&w, scratch, path);
  file_put(&w, scratch->diag, signature, sizeof signature);
  put_chunk(&w, scratch->diag, "IHDR", header, sizeof header);
  put_chunk(&w, scratch->diag, "IDAT", data, packed);
  put_chunk(&w, scratch->diag, "IEND", NULL, 0);
  file_commit(&w, scratch->diag);
}

void image_write_png(arena *scratch, const char *path, const image *in) {
  if (in->bits == 16) {
    write_wide(scratch, path, in);
    return;
  }
  size_t c = (size_t)in->channels, plane = (size_t)in->height * (size_t)in->width;
  unsigned char *pixels = arena_alloc(scratch, c * plane);
  for (size_t k = 0; k < c; ++k)
    for (size_t i = 0; i < plane; ++i) {
      float v = in->data[k * plane + i];
      pixels[i * c + k] = (unsigned char)(v >= 1.0f ? 255.0f : v > 0.0f ? v * 255.0f + 0.5f : 0.0f);
    }
  file_writer w;
  file_create(&w, scratch, path);
  if (!stbi_write_png_to_func(put, &w, (int)in->width, (int)in->height, (int)c, pixels, 0)) {
    file_abandon(&w);
    diag_fail(scratch->diag, WN_ERR_NOMEM, "cannot write %s: the picture could not be encoded",
              path);
  }
  file_commit(&w, scratch->diag);
}
