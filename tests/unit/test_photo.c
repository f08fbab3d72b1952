/* Pictures on their way into a network: sizes against Pillow 12 (Image.resize, BILINEAR, mode F), orientations against
 * its transpositions and a JPEG head of its own, numbers against the formula, and back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "orientation.h"
#include "photo.h"
#include "picture_fixture.h"
#include "resample.h"

/* --- sizes ------------------------------------------------------------------------------------ */

static const float source[5 * 7] = {
    0.078125f, 0.234375f, 0.796875f, 0.578125f, 0.09375f,  0.421875f, 0.46875f,
    0.15625f,  0.734375f, 0.109375f, 0.390625f, 0.515625f, 0.421875f, 0.578125f,
    0.734375f, 0.953125f, 0.28125f,  0.640625f, 0.6875f,   0.28125f,  0.0f,
    0.96875f,  0.296875f, 0.3125f,   0.890625f, 0.578125f, 0.46875f,  0.765625f,
    0.015625f, 0.703125f, 0.359375f, 0.078125f, 0.65625f,  0.921875f, 0.203125f};
static const float smaller[3 * 4] = {0.274660f, 0.490268f, 0.366518f, 0.463967f,
                                     0.681713f, 0.461111f, 0.575208f, 0.337963f,
                                     0.465030f, 0.401607f, 0.588750f, 0.574192f};
static const float wider[2 * 14] = {
    0.299716f, 0.376065f, 0.528764f, 0.547940f, 0.433594f, 0.414773f, 0.491477f,
    0.503196f, 0.449929f, 0.415483f, 0.399858f, 0.399148f, 0.413352f, 0.420455f,
    0.575284f, 0.580256f, 0.590199f, 0.524148f, 0.382102f, 0.371449f, 0.492188f,
    0.570668f, 0.606889f, 0.610795f, 0.582386f, 0.527166f, 0.445135f, 0.404119f};

static void check_size(fixture *f, int64_t h, int64_t w, const float *want) {
  image p = {2, 5, 7, arena_array(&f->a, float, 70), 8, 1};
  memcpy(p.data, source, sizeof source);
  memcpy(p.data + 35, source, sizeof source); /* each channel by itself */
  resample(&p, &f->a, h, w);
  assert_true(p.height == h && p.width == w);
  for (int64_t i = 0; i < 2 * h * w; ++i)
    if (fabsf(p.data[i] - want[i % (h * w)]) > 2e-6f)
      fail_msg("%d x %d, element %d: %g", (int)h, (int)w, (int)i, (double)p.data[i]);
}

static void resamples_as_pillow(void **state) {
  check_size(*state, 3, 4, smaller);
  check_size(*state, 2, 14, wider);
  check_size(*state, 5, 7, source);
}

/* --- orientations ----------------------------------------------------------------------------- */

static void turns_as_pillow(void **state) {
  static const float want[9][6] = {
      [1] = {0, 1, 2, 3, 4, 5}, [2] = {2, 1, 0, 5, 4, 3}, [3] = {5, 4, 3, 2, 1, 0},
      [4] = {3, 4, 5, 0, 1, 2}, [5] = {0, 3, 1, 4, 2, 5}, [6] = {3, 0, 4, 1, 5, 2},
      [7] = {5, 2, 4, 1, 3, 0}, [8] = {2, 5, 1, 4, 0, 3}};
  fixture *f = *state;
  for (int o = 1; o <= 8; ++o) {
    image p = {1, 2, 3, arena_array(&f->a, float, 6), 8, o};
    for (int i = 0; i < 6; ++i) p.data[i] = (float)i;
    orientation_apply(&p, &f->a, o);
    assert_true(p.height == (o < 5 ? 2 : 3) && p.width == (o < 5 ? 3 : 2));
    for (int i = 0; i < 6; ++i) assert_true(p.data[i] == want[o][i]);
  }
}

/* The head of a JPEG file by Pillow, with Exif in big-endian order; its number is at NUMBER. */
enum { NUMBER = 49, HEAD = 60 };
static const unsigned char head[HEAD] = {
    255, 216, 255, 224, 0,  16,  74,  70,  73, 70, 0,  1,  1, 0,  0, 1, 0,   1,   0, 0,
    255, 225, 0,   34,  69, 120, 105, 102, 0,  0,  77, 77, 0, 42, 0, 0, 0,   8,   0, 1,
    1,   18,  0,   3,   0,  0,   0,   1,   0,  6,  0,  0,  0, 0,  0, 0, 255, 219, 0, 67};

static int orientation_in(const unsigned char *bytes, size_t size) {
  unsigned char *copy = malloc(size ? size : 1); /* so that a sanitizer sees what is read past it */
  memcpy(copy, bytes, size);
  int o = orientation_of(copy, size);
  free(copy);
  return o;
}

static void reads_exif(void **state) {
  (void)state;
  unsigned char bytes[HEAD];
  for (int o = 0; o < 10; ++o) {
    memcpy(bytes, head, HEAD);
    bytes[NUMBER] = (unsigned char)o;
    assert_int_equal(orientation_in(bytes, HEAD), o >= 1 && o <= 8 ? o : 1);
  }
  for (size_t cut = 0; cut < HEAD - 4; ++cut) assert_int_equal(orientation_in(head, cut), 1);
  /* the same, little-endian */
  static const unsigned char tiff[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                       0,   1,   0,  0, 0, 8, 0, 0, 0, 0, 0,    0, 0};
  memcpy(bytes, head, HEAD);
  memcpy(bytes + 30, tiff, sizeof tiff);
  assert_int_equal(orientation_in(bytes, HEAD), 8);
  /* any damage is survived */
  for (size_t at = 0; at < HEAD; ++at)
    for (int v = 0; v < 256; v += 5) {
      memcpy(bytes, head, HEAD);
      bytes[at] = (unsigned char)v;
      int o = orientation_in(bytes, HEAD);
      assert_true(o >= 1 && o <= 8);
    }
  assert_int_equal(orientation_in((const unsigned char *)"\x89PNG\r\n\x1a\n", 8), 1);
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* A picture of 2 x 3 whose pixels are 0, 1, 2, ... in the order of the file. */
static void write_picture(fixture *f, int channels, int64_t h, int64_t w) {
  image p = {channels, h, w, arena_array(&f->a, float, channels *h *w), 8, 1};
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t i = 0; i < h * w; ++i) p.data[c * h * w + i] = (float)(i * channels + c) / 255;
  image_write_png(&f->a, f->path, &p);
}

static npy_array read_as(fixture *f, const photo_options *o, int ndim, const int64_t *shape,
                         bool whole) {
  int bits;
  npy_array out = photo_read(&f->a, f->path, o, "\"x\"", ndim, shape, whole, &bits);
  assert_int_equal(bits, 8);
  return out;
}

static void check_number(double got, double want) {
  if (fabs(got - want) > 1e-6 * (1 + fabs(want))) fail_msg("%.9g, expected %.9g", got, want);
}

static void follows_the_formula(void **state) {
  fixture *f = *state;
  write_picture(f, 3, 2, 3);
  photo_options o = {.scale = 0.5, .mean = {3, {1, 2, 3}}, .std = {1, {4}}};
  npy_array x = read_as(f, &o, 4, (int64_t[]){1, 3, 2, 3}, false);
  assert_true(x.ndim == 4 && x.shape[0] == 1 && x.shape[1] == 3 && x.count == 18);
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < 6; ++i)
      check_number((double)((float *)x.data)[c * 6 + i], ((i * 3 + c) * 0.5 - (c + 1)) / 4);
  /* backwards, channels last; mean by the network's channel */
  o.bgr = true;
  x = read_as(f, &o, 4, (int64_t[]){-1, -1, -1, 3}, false);
  assert_true(x.shape[0] == 1 && x.shape[1] == 2 && x.shape[2] == 3 && x.shape[3] == 3);
  for (int i = 0; i < 6; ++i)
    for (int c = 0; c < 3; ++c)
      check_number((double)((float *)x.data)[i * 3 + c], ((i * 3 + 2 - c) * 0.5 - (c + 1)) / 4);
  /* defaults: 0 to 1, and pixels as they are for integers */
  const photo_options none = {0};
  x = read_as(f, &none, 3, (int64_t[]){3, -1, -1}, false);
  check_number((double)((float *)x.data)[17], 17 / 255.0);
  x = read_as(f, &none, 3, (int64_t[]){3, -1, -1}, true);
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < 6; ++i) assert_true(((float *)x.data)[c * 6 + i] == (float)(i * 3 + c));
  /* grey */
  x = read_as(f, &none, 4, (int64_t[]){1, 1, 2, 3}, true);
  for (int i = 0; i < 6; ++i)
    check_number((double)((float *)x.data)[i],
                 nearbyint(0.299 * i * 3 + 0.587 * (i * 3 + 1) + 0.114 * (i * 3 + 2)));
}

static void has_every_number_of_channels(void **state) {
  fixture *f = *state;
  const photo_options none = {0};
  for (int have = 1; have <= 4; ++have)
    for (int want = 1; want <= 4; ++want) {
      if (want == 2) continue;
      write_picture(f, have, 2, 3);
      npy_array x = read_as(f, &none, 4, (int64_t[]){1, want, 2, 3}, true);
      const float *v = x.data;
      for (int c = 0; c < want; ++c) {
        bool alpha = c == 3, grey = want == 1 && have >= 3;
        float expected = alpha  ? (have % 2 == 0 ? (float)(have - 1) : 255.0f)
                         : grey ? nearbyintf(0.587f + 0.228f)
                                : (float)(have >= 3 ? c : 0);
        assert_true(v[c * 6] == expected);
      }
    }
}

static void fits(void **state) {
  fixture *f = *state;
  write_picture(f, 1, 2, 6);
  int64_t shape[] = {1, 1, 2, 2};
  npy_array x = read_as(f, &(photo_options){.fit = FIT_CROP, .scale = 1}, 4, shape, false);
  static const float cropped[] = {2, 3, 8, 9};
  for (int i = 0; i < 4; ++i) check_number((double)((float *)x.data)[i], (double)cropped[i]);
  /* all of it is 6 x 2, so 1 row of 3 and black above or below */
  shape[2] = shape[3] = 6;
  x = read_as(f, &(photo_options){.fit = FIT_PAD, .scale = 1, .mean = {1, {5}}}, 4, shape, false);
  for (int i = 0; i < 36; ++i)
    check_number((double)((float *)x.data)[i], i >= 12 && i < 24 ? i - 12 - 5 : -5);
  x = read_as(f, &(photo_options){.fit = FIT_STRETCH, .scale = 1}, 4, (int64_t[]){1, 1, 1, 6},
              false);
  for (int i = 0; i < 6; ++i) check_number((double)((float *)x.data)[i], i + 3);
}

static wn_status try_read(fixture *f, const photo_options *o, int ndim, const int64_t *shape) {
  wn_status status;
  int bits;
  DIAG_TRY(&f->d, status) { photo_read(&f->a, f->path, o, "\"x\"", ndim, shape, false, &bits); }
  DIAG_END(&f->d, status)
  return status;
}

static void refuses_what_is_no_picture(void **state) {
  fixture *f = *state;
  const photo_options none = {0}, four = {.mean = {4, {1, 2, 3, 4}}};
  write_picture(f, 3, 2, 3);
  assert_int_equal(try_read(f, &none, 4, (int64_t[]){1, 64, 8, 8}), WN_ERR_USAGE);
  assert_non_null(strstr(f->d.message, "[1, 64, 8, 8]"));
  assert_int_equal(try_read(f, &none, 2, (int64_t[]){3, 3}), WN_ERR_USAGE);
  assert_int_equal(try_read(f, &none, 5, (int64_t[]){1, 3, 3, 3, 3}), WN_ERR_USAGE);
  assert_int_equal(try_read(f, &none, 4, (int64_t[]){2, 3, 8, 8}), WN_ERR_USAGE);
  assert_non_null(strstr(f->d.message, "batch of 2"));
  assert_int_equal(try_read(f, &four, 4, (int64_t[]){1, 3, 8, 8}), WN_ERR_USAGE);
  assert_non_null(strstr(f->d.message, "--mean has 4 numbers"));
}

/* What was read, written with the same options, is the same picture. */
static void writes_what_it_reads(void **state) {
  fixture *f = *state;
  const photo_options o = {
      .bgr = true, .scale = 0.25, .mean = {3, {1, 2, 3}}, .std = {3, {2, 3, 4}}};
  static const int64_t shapes[][4] = {{1, 3, 5, 7}, {1, 5, 7, 3}};
  for (int s = 0; s < 2; ++s) {
    write_picture(f, 3, 5, 7);
    npy_array x = read_as(f, &o, 4, shapes[s], false);
    unlink(f->path);
    assert_true(photo_write(&f->a, f->path, &o, 4, shapes[s], x.data, 8));
    image back;
    image_read(&back, &f->a, f->path, 0);
    assert_true(back.channels == 3 && back.height == 5 && back.width == 7);
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < 35; ++i)
        assert_true(back.data[c * 35 + i] == (float)(i * 3 + c) / 255.0f);
  }
  assert_false(photo_write(&f->a, f->path, &o, 4, (int64_t[]){1, 2, 5, 7}, source, 8));
  assert_false(photo_write(&f->a, f->path, &o, 4, (int64_t[]){2, 3, 1, 1}, source, 8));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(resamples_as_pillow, set_up, tear_down),
      cmocka_unit_test_setup_teardown(turns_as_pillow, set_up, tear_down),
      cmocka_unit_test(reads_exif),
      cmocka_unit_test_setup_teardown(follows_the_formula, set_up, tear_down),
      cmocka_unit_test_setup_teardown(has_every_number_of_channels, set_up, tear_down),
      cmocka_unit_test_setup_teardown(fits, set_up, tear_down),
      cmocka_unit_test_setup_teardown(refuses_what_is_no_picture, set_up, tear_down),
      cmocka_unit_test_setup_teardown(writes_what_it_reads, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
