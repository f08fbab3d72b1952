/* Pictures of another size: linear interpolation between pixels, whose filter grows as wide as what one pixel covers
 * when the picture shrinks, so that nothing aliases. It is the filter that Pillow calls BILINEAR; OpenCV's and
 * PyTorch's default does not grow.
 *
 * In: planes of floats. Out: the same planes at another size. Always holds: pixels are areas, whose centres are at
 * halves; weights sum to 1, so a constant stays what it is. */
#ifndef WINNOW_CLI_RESAMPLE_H
#define WINNOW_CLI_RESAMPLE_H

#include "image.h"

/* data is in the arena where the size changed. */
void resample(image *picture, arena *a, int64_t height, int64_t width);

#endif
