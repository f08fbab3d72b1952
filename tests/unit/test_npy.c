/* The .npy reader against bytes laid out by hand from numpy's format description; the writer
 * against the reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "npy.h"

typedef struct fixture {
  diag diag;
  arena arena;
  unsigned char bytes[1024];
  size_t size;
} fixture;

static void start(fixture *f) {
  memset(f, 0, sizeof *f);
  diag_init(&f->diag);
  arena_init(&f->arena, &f->diag);
}

static void put(fixture *f, int version, const char *dict, const void *data, size_t size) {
  size_t n = strlen(dict), head = version == 1 ? 10 : 12;
  memcpy(f->bytes, "\x93NUMPY", 6);
  memset(f->bytes + 6, 0, 6);
  f->bytes[6] = (unsigned char)version;
  f->bytes[8] = (unsigned char)(n & 255);
  f->bytes[9] = (unsigned char)(n >> 8);
  memcpy(f->bytes + head, dict, n);
  memcpy(f->bytes + head + n, data, size);
  f->size = head + n + size;
}

static wn_status parse(fixture *f, npy_array *out) {
  wn_status status;
  DIAG_TRY(&f->diag, status) { npy_parse(out, &f->arena, "test.npy", f->bytes, f->size); }
  DIAG_END(&f->diag, status)
  return status;
}

static void refuse(fixture *f, const char *part) {
  npy_array a;
  assert_int_equal(parse(f, &a), WN_ERR_USAGE);
  if (!strstr(f->diag.message, part)) fail_msg("'%s' does not say '%s'", f->diag.message, part);
  if (!strstr(f->diag.message, "test.npy"))
    fail_msg("'%s' does not name the file", f->diag.message);
}

static void reads_dtypes(void **state) {
  (void)state;
  fixture f;
  npy_array a;
  float v[4];
  start(&f);
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n",
      "\0\0\x80\x3f\0\0\0\xc0", 8);
  assert_int_equal(parse(&f, &a), WN_OK);
  assert_int_equal(a.ndim, 1);
  npy_to_f32(&a, v);
  assert_true(v[0] == 1.0f && v[1] == -2.0f);
  put(&f, 2, "{\"shape\": (1, 1), \"fortran_order\": False, \"descr\": \">f8\"}",
      "\x3f\xf8\0\0\0\0\0\0", 8);
  assert_int_equal(parse(&f, &a), WN_OK);
  npy_to_f32(&a, v);
  assert_true(a.dtype == NPY_F64 && v[0] == 1.5f);
  put(&f, 3, "{'descr': '>i4', 'fortran_order': True, 'shape': ()}", "\xff\xff\xff\xfe", 4);
  assert_int_equal(parse(&f, &a), WN_OK);
  npy_to_f32(&a, v);
  assert_true(a.ndim == 0 && a.count == 1 && v[0] == -2.0f);
  put(&f, 1, "{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}",
      "\x00\x3c\x01\x00\x00\xfc\x00\x7e", 8);
  assert_int_equal(parse(&f, &a), WN_OK);
  npy_to_f32(&a, v);
  assert_true(v[0] == 1.0f && v[1] == 0x1p-24f && v[2] == -INFINITY && isnan(v[3]));
  arena_release(&f.arena);
}

/* Two elements of each integer dtype: the least or -1, and the largest; in both byte orders. */
static void converts_integers(void **state) {
  (void)state;
  static const struct {
    const char *descr;
    unsigned char bytes[16]; /* little-endian */
    int size;
    float first, second;
  } cases[] = {
      {"|i1", {0x80, 0x7f}, 2, -128, 127},
      {"<u1", {0, 0xff}, 2, 0, 255},
      {"|b1", {0, 2}, 2, 0, 1},
      {"<i2", {0, 0x80, 0xff, 0x7f}, 4, -32768, 32767},
      {"<u2", {1, 0, 0xff, 0xff}, 4, 1, 65535},
      {"<i4", {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x40}, 8, -1, 0x1p30f},
      {"<u4", {0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff}, 8, 0x1p31f, 0x1p32f},
      {"<i8",
       {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x40},
       16,
       -2,
       0x1p62f},
      {"<u8",
       {7, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
       16,
       7,
       0x1p64f},
  };
  fixture f;
  npy_array a;
  float v[2];
  start(&f);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
    for (int big = 0; big < 2; ++big) {
      char head[80], descr[4];
      unsigned char bytes[16];
      size_t size = (size_t)cases[i].size, half = size / 2;
      memcpy(descr, cases[i].descr, sizeof descr);
      if (big) descr[0] = '>';
      for (size_t k = 0; k < size; ++k)
        bytes[k] = cases[i].bytes[big ? k / half * half + half - 1 - k % half : k];
      snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': (2L,)}", descr);
      put(&f, 1, head, bytes, size);
      assert_int_equal(parse(&f, &a), WN_OK);
      npy_to_f32(&a, v);
      if (v[0] != cases[i].first || v[1] != cases[i].second)
        fail_msg("%s: %g %g", descr, (double)v[0], (double)v[1]);
    }
  arena_release(&f.arena);
}

static void converts_fortran_order(void **state) {
  (void)state;
  fixture f;
  npy_array a;
  float v[6], columns[6] = {0, 3, 1, 4, 2, 5};
  start(&f);
  put(&f, 1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", columns, sizeof columns);
  assert_int_equal(parse(&f, &a), WN_OK);
  npy_to_f32(&a, v);
  for (int i = 0; i < 6; ++i) assert_true(v[i] == (float)i);
  arena_release(&f.arena);
}

static void refuses(void **state) {
  (void)state;
  fixture f;
  float v[2] = {1, 2};
  start(&f);
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", v, 8);
  refuse(&f, "truncated: shape (3,) of float32 needs 3 elements");
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", v, 8);
  refuse(&f, "longer than its header says");
  put(&f, 1, "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", v, 8);
  refuse(&f, "dtype '<c8', expected a float, an integer or bool");
  put(&f, 1, "{'descr': '|i2', 'fortran_order': False, 'shape': (4,)}", v, 8);
  refuse(&f, "dtype '|i2'");
  put(&f, 1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", v, 8);
  refuse(&f, "structured dtype");
  put(&f, 1, "{'descr': '<f4', 'shape': (2,)}", v, 8);
  refuse(&f, "lacks");
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", v, 8);
  refuse(&f, "unknown key");
  put(&f, 1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", v, 8);
  refuse(&f, "twice");
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", v, 8);
  refuse(&f, "too large");
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967297)}", v, 8);
  refuse(&f, "overflows");
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", v, 8);
  refuse(&f, "no size");
  put(&f, 4, "{}", v, 8);
  refuse(&f, "version");
  f.size = 7;
  refuse(&f, "begin");
  arena_release(&f.arena);
}

/* Every truncation of a good file is refused, and none reads past its end (which the sanitizer
 * sees). */
static void refuses_every_prefix(void **state) {
  (void)state;
  fixture f;
  npy_array a;
  float v[2] = {1, 2};
  start(&f);
  put(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", v, 8);
  for (size_t n = 0; n < f.size; ++n) {
    unsigned char *copy = malloc(n ? n : 1);
    volatile wn_status status;
    assert_non_null(copy);
    memcpy(copy, f.bytes, n);
    DIAG_TRY(&f.diag, status) { npy_parse(&a, &f.arena, "test.npy", copy, n); }
    DIAG_END(&f.diag, status)
    free(copy);
    assert_int_equal(status, WN_ERR_USAGE);
  }
  arena_release(&f.arena);
}

static void writes_what_it_reads(void **state) {
  (void)state;
  char directory[] = "/tmp/winnow_npy_XXXXXX";
  assert_non_null(mkdtemp(directory));
  fixture f;
  npy_array a;
  float v[6] = {0, 1, -2, 0.5f, INFINITY, 3}, w[6];
  start(&f);
  char *path = arena_printf(&f.arena, "%s/a.npy", directory);
  wn_status status;
  DIAG_TRY(&f.diag, status) {
    npy_write_f32(&f.arena, path, 3, (int64_t[]){1, 2, 3}, v);
    npy_read(&a, &f.arena, path);
  }
  DIAG_END(&f.diag, status)
  assert_int_equal(status, WN_OK);
  npy_to_f32(&a, w);
  assert_memory_equal(v, w, sizeof v);
  assert_string_equal(npy_shape_text(&f.arena, a.ndim, a.shape), "(1, 2, 3)");
  assert_int_equal(unlink(path), 0);
  DIAG_TRY(&f.diag, status) { npy_write_f32(&f.arena, "/nonexistent/a.npy", 1, (int64_t[]){6}, v); }
  DIAG_END(&f.diag, status)
  assert_int_equal(status, WN_ERR_IO);
  assert_int_equal(rmdir(directory), 0); /* nothing else was left there */
  arena_release(&f.arena);
}

static void half_values(void **state) {
  (void)state;
  assert_true(npy_half_to_f32(0x7bff) == 65504.0f);
  assert_true(npy_half_to_f32(0x0400) == 0x1p-14f);
  assert_true(npy_half_to_f32(0x3555) == 0x1.554p-2f);
  assert_true(npy_half_to_f32(0x83ff) == -0x1.ff8p-15f);
  assert_true(signbit(npy_half_to_f32(0x8000)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_dtypes),
      cmocka_unit_test(converts_integers),
      cmocka_unit_test(converts_fortran_order),
      cmocka_unit_test(refuses),
      cmocka_unit_test(refuses_every_prefix),
      cmocka_unit_test(writes_what_it_reads),
      cmocka_unit_test(half_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
