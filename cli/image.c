/* Decoding and encoding are stb's; this is the way between bytes [h][w][c] and floats [c][h][w],
 * and the files. */
#include "image.h"

#include <limits.h>

#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include "base/text.h"
#include "file.h"

static bool ends_with(const char *path, const char *ending) {
  size_t n = strlen(path), m = strlen(ending);
  return n > m && text_same(path + n - m, ending);
}

bool image_can_write(const char *path) { return ends_with(path, ".png"); }

bool image_has_name(const char *path) {
  static const char *const endings[] = {".png", ".jpg", ".jpeg", ".bmp",
                                        ".tga", ".pnm", ".pgm",  ".ppm"};
  for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i)
    if (ends_with(path, endings[i])) return true;
  return false;
}

void image_read(image *out, arena *a, const char *path, int want) {
  size_t size;
  const unsigned char *bytes = file_read(a, path, &size);
  if (size > INT_MAX) diag_fail(a->diag, WN_ERR_USAGE, "%s is too large for a photo", path);
  int w, h, have;
  unsigned char *pixels = stbi_load_from_memory(bytes, (int)size, &w, &h, &have, want);
  if (!pixels)
    diag_fail(a->diag, WN_ERR_USAGE, "cannot read the photo %s: %s", path, stbi_failure_reason());
  size_t c = (size_t)(want ? want : have), plane = (size_t)w * (size_t)h;
  wn_status status;
  float *volatile data = NULL;
  DIAG_TRY(a->diag, status) { data = arena_array(a, float, c *plane); }
  DIAG_END(a->diag, status)
  for (size_t k = 0; data && k < c; ++k)
    for (size_t i = 0; i < plane; ++i) data[k * plane + i] = (float)pixels[i * c + k] / 255.0f;
  stbi_image_free(pixels);
  if (!data) diag_fail(a->diag, status, "no memory for the photo %s", path);
  *out = (image){(int64_t)c, h, w, data};
}

/* Errors stay in the stream until file_commit looks: unwinding from here would leak stb memory. */
static void put(void *user, void *bytes, int size) {
  file_writer *w = user;
  (void)!fwrite(bytes, 1, (size_t)size, w->stream);
}

void image_write_png(arena *scratch, const char *path, const image *in) {
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
