/* Photographs: PNG or JPEG (and what else stb_image reads) in, PNG out. Files of 16 bits a channel are read as such,
 * and written where it is asked for. */
#ifndef WINNOW_CLI_IMAGE_H
#define WINNOW_CLI_IMAGE_H

#include "base/mem.h"

typedef struct image {
  int64_t channels, height, width;
  float *data; /* [channels][height][width], 0 to 1, in the arena given */
  int bits;    /* of a channel of the file: 8 or 16; when it is written anything else is 8 */
  int orientation; /* as it was read: what orientation_apply makes upright; when it is written not looked at */
} image;

bool image_has_name(const char *path); /* by its ending: .png .jpg .jpeg .bmp .tga .pnm .pgm .ppm */
bool image_can_write(const char *path); /* .png */
/* want: 1 to 4 channels to convert to, or 0 for those of the file. */
void image_read(image *out, arena *a, const char *path, int want);
/* 1 to 4 channels; values are clamped to 0..1, a NaN is 0. All or nothing. */
void image_write_png(arena *scratch, const char *path, const image *in);

#endif
