/* A picture as a network takes it, and back.
 *
 * In: a file, the shape that an input has, and what the options say. Out: an array of that shape. A number of it is
 *
 *     (pixel * scale - mean) / std
 *
 * of a pixel from 0 to 255 (in steps of 1/257 where the file has 16 bits), with mean and std by channel, in the order
 * in which the network has its channels. The picture is made upright first (Exif). Grey becomes three equal channels,
 * colour becomes grey as 0.299 R + 0.587 G + 0.114 B, transparency is dropped unless the network takes four channels.
 * Always holds: where shape leaves height and width open they are the picture's own. */
#ifndef WINNOW_CLI_PHOTO_H
#define WINNOW_CLI_PHOTO_H

#include "image.h"
#include "npy.h"
#include "winnow/winnow.h"

enum { PHOTO_CHANNELS = 4 };

typedef enum photo_fit {
  FIT_STRETCH, /* to the input's size, whatever that does to its proportions */
  FIT_CROP,    /* the largest part of these proportions, from the middle */
  FIT_PAD,     /* all of it, in the middle of black */
  FIT_COUNT
} photo_fit;

/* One number for all channels, or one for each. */
typedef struct photo_numbers {
  int count; /* 0: not given */
  double at[PHOTO_CHANNELS];
} photo_numbers;

typedef struct photo_options {
  bool bgr; /* the network has its channels backwards */
  photo_fit fit;
  double scale; /* 0: not given, 1/255, or 1 where the network takes integers */
  photo_numbers mean, std;
} photo_options;

/* Where an array of this shape, -1 in it open, has the axes of a picture: channels 1, 3 or 4 second or last of four
 * axes, or the same without a batch. False: it is none. */
typedef struct photo_axes {
  int channel, height, width;
} photo_axes;
bool photo_find_axes(int ndim, const int64_t *shape, photo_axes *out);

/* Of float32, in the arena. whole: the network takes integers, so pixels are rounded. `what` names the input in
 * messages. *bits: of a channel of the file. Fails with WN_ERR_USAGE (contents, shape) or WN_ERR_IO. */
npy_array photo_read(arena *a, const char *path, const photo_options *o, const char *what, int ndim,
                     const int64_t *shape, bool whole, int *bits);
/* The picture in an array of floats, the same numbers backwards; what is no number is 0, and what is out of range the
 * nearest. False: its shape is none of a picture. */
bool photo_write(arena *scratch, const char *path, const photo_options *o, int ndim,
                 const int64_t *shape, const float *data, int bits);

#endif
