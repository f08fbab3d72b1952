/* How a camera was held: the tag Orientation in the Exif block of a JPEG file (CIPA DC-008, TIFF 6.0).
 *
 * In: bytes of a file. Out: a number from 1 (as stored) to 8. Always holds: what is no JPEG, has no such tag or a
 * damaged one is 1, and nothing past the end is read. */
#ifndef WINNOW_CLI_ORIENTATION_H
#define WINNOW_CLI_ORIENTATION_H

#include "image.h"

int orientation_of(const unsigned char *bytes, size_t size);
/* The picture upright, for what orientation_of says; its data is in the arena where it changed. */
void orientation_apply(image *picture, arena *a, int orientation);

#endif
