/* Writes into the folder given what edge.sh and blur.sh work on: picture.ppm, a drawn landscape;
 * edge.npy, the Laplacian as one filter over grey; blur.npy, a 5x5 Gaussian for each of three
 * colours. */
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 480, HEIGHT = 320 };

static FILE *create(const char *folder, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  if (!f) perror(path);
  return f;
}

/* Sky, a sun, two ranges of hills and a lake that mirrors them. */
static void color_at(int x, int y, double rgb[3]) {
  double horizon = 210, mirrored = y > horizon ? 2 * horizon - y : y;
  double u = x / 60.0, near = 190 - 28 * sin(u) - 9 * sin(3.1 * u + 1),
         far = 150 - 35 * sin(0.7 * u + 2);
  double sun = hypot(x - 340.0, mirrored - 70.0), dark = y > horizon ? 0.75 : 1;
  double sky[3] = {0.35 + mirrored / 600, 0.55 + mirrored / 700, 0.9};
  for (int c = 0; c < 3; ++c) rgb[c] = sky[c];
  if (sun < 36) rgb[0] = 1, rgb[1] = 0.9, rgb[2] = 0.5;
  if (mirrored > far) rgb[0] = 0.35, rgb[1] = 0.4, rgb[2] = 0.55;
  if (mirrored > near)
    rgb[0] = 0.15, rgb[1] = 0.35 + 0.1 * sin(x * 0.9) * sin(y * 0.7), rgb[2] = 0.2;
  for (int c = 0; c < 3; ++c) rgb[c] *= dark;
}

static int write_picture(const char *folder) {
  FILE *f = create(folder, "picture.ppm");
  if (!f) return 0;
  fprintf(f, "P6\n%d %d\n255\n", WIDTH, HEIGHT);
  for (int y = 0; y < HEIGHT; ++y)
    for (int x = 0; x < WIDTH; ++x) {
      double rgb[3];
      color_at(x, y, rgb);
      for (int c = 0; c < 3; ++c) fputc((int)(255 * fmin(1, fmax(0, rgb[c]))), f);
    }
  return !fclose(f);
}

/* numpy.lib.format, version 1.0: magic, length of the header, a Python dict, the elements. */
static int write_filter(const char *folder, const char *name, int oc, int size,
                        const float *values) {
  FILE *f = create(folder, name);
  if (!f) return 0;
  char header[119];
  const int one = 1;
  int n = snprintf(header, sizeof header,
                   "{'descr': '%cf4', 'fortran_order': False, 'shape': (%d, 1, %d, %d), }",
                   *(const char *)&one ? '<' : '>', oc, size, size);
  memset(header + n, ' ', sizeof header - (size_t)n);
  header[117] = '\n';
  fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, f);
  fwrite(header, 1, 118, f);
  for (int k = 0; k < oc; ++k) fwrite(values, sizeof *values, (size_t)(size * size), f);
  return !fclose(f);
}

int main(int argc, char **argv) {
  const float laplacian[9] = {-1, -1, -1, -1, 8, -1, -1, -1, -1};
  const float row[5] = {1, 4, 6, 4, 1};
  float gauss[25];
  if (argc != 2) {
    fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  for (int i = 0; i < 25; ++i) gauss[i] = row[i / 5] * row[i % 5] / 256;
  return write_picture(argv[1]) && write_filter(argv[1], "edge.npy", 1, 3, laplacian) &&
                 write_filter(argv[1], "blur.npy", 3, 5, gauss)
             ? 0
             : 2;
}
