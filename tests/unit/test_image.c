/* Pictures: all samples of 16 bits and of 8 come back as they were written, for every number of channels; chunks of a
 * PNG have their checksums; what is no number, or out of range, is the nearest sample. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "image.h"
#include "picture_fixture.h"

/* Every sample once, and the same from the end in the next channel. */
static void check_samples(fixture *f, int channels, int bits) {
  size_t samples = bits == 16 ? 65536 : 256;
  image in = {channels, bits == 16 ? 256 : 16, bits == 16 ? 256 : 16, NULL, bits, 0}, out;
  in.data = arena_array(&f->a, float, (size_t)channels *samples);
  for (size_t k = 0; k < (size_t)channels; ++k)
    for (size_t i = 0; i < samples; ++i)
      in.data[k * samples + i] = (float)(k % 2 ? samples - 1 - i : i) / (float)(samples - 1);
  image_write_png(&f->a, f->path, &in);
  image_read(&out, &f->a, f->path, 0);
  assert_int_equal(out.bits, bits);
  assert_true(out.channels == channels && out.height == in.height && out.width == in.width);
  for (size_t i = 0; i < (size_t)channels * samples; ++i)
    if (out.data[i] != in.data[i]) fail_msg("%d channels, %d bits: sample %zu", channels, bits, i);
}

static void keeps_samples(void **state) {
  for (int channels = 1; channels <= 4; ++channels) {
    check_samples(*state, channels, 8);
    check_samples(*state, channels, 16);
  }
}

/* A colour to grey and grey to colour, in 16 bits as in 8. */
static void converts_channels(void **state) {
  fixture *f = *state;
  float rgb[3] = {0x1234 / 65535.0f, 0x8001 / 65535.0f, 1}, grey[1] = {0x8001 / 65535.0f};
  image in = {3, 1, 1, rgb, 16, 0}, out;
  image_write_png(&f->a, f->path, &in);
  image_read(&out, &f->a, f->path, 1);
  assert_true(out.channels == 1 && out.bits == 16);
  assert_true(fabsf(out.data[0] - (0.3f * rgb[0] + 0.59f * rgb[1] + 0.11f)) < 0.01f);
  in = (image){1, 1, 1, grey, 16, 0};
  image_write_png(&f->a, f->path, &in);
  image_read(&out, &f->a, f->path, 3);
  for (int k = 0; k < 3; ++k) assert_true(out.data[k] == grey[0]);
}

static void clamps(void **state) {
  fixture *f = *state;
  float data[6] = {-1, 2, NAN, INFINITY, -INFINITY, 0.5f},
        want[6] = {0, 1, 0, 1, 0, 32768 / 65535.0f};
  image in = {1, 2, 3, data, 16, 0}, out;
  image_write_png(&f->a, f->path, &in);
  image_read(&out, &f->a, f->path, 0);
  for (int i = 0; i < 6; ++i) assert_true(out.data[i] == want[i]);
}

/* stb looks at no checksum; others do. That of the last chunk is the same in every PNG. */
static void has_checksums(void **state) {
  fixture *f = *state;
  static const unsigned char tail[] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
  static const unsigned char head[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0,   0, 0, 13,
                                       'I',  'H', 'D', 'R', 0,    0,    0,    1,    0,   0, 0, 1,
                                       16,   0,   0,   0,   0,    0x6a, 0xee, 0x47, 0x16};
  float pixel[1] = {0.25f};
  image in = {1, 1, 1, pixel, 16, 0};
  image_write_png(&f->a, f->path, &in);
  size_t size;
  const unsigned char *bytes = file_read(&f->a, f->path, &size);
  assert_true(size > sizeof head + sizeof tail);
  assert_memory_equal(bytes + size - sizeof tail, tail, sizeof tail);
  assert_memory_equal(bytes, head, sizeof head);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(keeps_samples, set_up, tear_down),
      cmocka_unit_test_setup_teardown(converts_channels, set_up, tear_down),
      cmocka_unit_test_setup_teardown(clamps, set_up, tear_down),
      cmocka_unit_test_setup_teardown(has_checksums, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}
