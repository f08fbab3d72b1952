/* The .npz reader against archives that numpy 2 wrote (the commands stand beside them), every one of their bytes changed
 * and every length; the writer against the reader. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "npz.h"

/* numpy.savez_compressed(f, x=numpy.arange(6, dtype="<f4").reshape(2, 3) / 4, ids=numpy.array([7, -1], "<i8")) */
static const char deflated[] =
    "\x50\x4b\x03\x04\x2d\x00\x00\x00\x08\x00\x00\x00\x21\x00\x0a\x9c\x00\xa4\xff\xff"
    "\xff\xff\xff\xff\xff\xff\x05\x00\x14\x00\x78\x2e\x6e\x70\x79\x01\x00\x10\x00\x98"
    "\x00\x00\x00\x00\x00\x00\x00\x56\x00\x00\x00\x00\x00\x00\x00\x9b\xec\x17\xea\x1b"
    "\x10\xc9\xc8\x50\xc6\x50\xad\x9e\x92\x5a\x9c\x5c\xa4\x6e\xa5\xa0\x6e\x93\x66\xa2"
    "\xae\xa3\xa0\x9e\x96\x5f\x54\x52\x94\x98\x17\x9f\x5f\x94\x92\x0a\x12\x77\x4b\xcc"
    "\x29\x4e\x05\x8a\x17\x67\x24\x16\xa4\x02\xf9\x1a\x46\x3a\x0a\xc6\x9a\x3a\x0a\xb5"
    "\x0a\x64\x03\x2e\x06\x30\x68\xb0\x03\x12\xf6\x0c\x0c\x0e\x40\xdc\x00\xc4\x0b\xec"
    "\x01\x50\x4b\x03\x04\x2d\x00\x00\x00\x08\x00\x00\x00\x21\x00\xe0\x92\xce\xbc\xff"
    "\xff\xff\xff\xff\xff\xff\xff\x07\x00\x14\x00\x69\x64\x73\x2e\x6e\x70\x79\x01\x00"
    "\x10\x00\x90\x00\x00\x00\x00\x00\x00\x00\x4a\x00\x00\x00\x00\x00\x00\x00\x9b\xec"
    "\x17\xea\x1b\x10\xc9\xc8\x50\xc6\x50\xad\x9e\x92\x5a\x9c\x5c\xa4\x6e\xa5\xa0\x6e"
    "\x93\x69\xa1\xae\xa3\xa0\x9e\x96\x5f\x54\x52\x94\x98\x17\x9f\x5f\x94\x92\x0a\x12"
    "\x77\x4b\xcc\x29\x4e\x05\x8a\x17\x67\x24\x16\xa4\x02\xf9\x1a\x46\x3a\x9a\x3a\x0a"
    "\xb5\x0a\x14\x00\x2e\x76\x06\x08\xf8\x0f\x05\x00\x50\x4b\x01\x02\x2d\x03\x2d\x00"
    "\x00\x00\x08\x00\x00\x00\x21\x00\x0a\x9c\x00\xa4\x56\x00\x00\x00\x98\x00\x00\x00"
    "\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00\x78\x2e"
    "\x6e\x70\x79\x50\x4b\x01\x02\x2d\x03\x2d\x00\x00\x00\x08\x00\x00\x00\x21\x00\xe0"
    "\x92\xce\xbc\x4a\x00\x00\x00\x90\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x80\x01\x8d\x00\x00\x00\x69\x64\x73\x2e\x6e\x70\x79\x50\x4b\x05\x06"
    "\x00\x00\x00\x00\x02\x00\x02\x00\x68\x00\x00\x00\x10\x01\x00\x00\x00\x00";
/* numpy.savez(f, numpy.float32(2.5)) */
static const char stored[] =
    "\x50\x4b\x03\x04\x2d\x00\x00\x00\x00\x00\x00\x00\x21\x00\x64\x8c\x22\xc3\xff\xff"
    "\xff\xff\xff\xff\xff\xff\x09\x00\x14\x00\x61\x72\x72\x5f\x30\x2e\x6e\x70\x79\x01"
    "\x00\x10\x00\x84\x00\x00\x00\x00\x00\x00\x00\x84\x00\x00\x00\x00\x00\x00\x00\x93"
    "\x4e\x55\x4d\x50\x59\x01\x00\x76\x00\x7b\x27\x64\x65\x73\x63\x72\x27\x3a\x20\x27"
    "\x3c\x66\x34\x27\x2c\x20\x27\x66\x6f\x72\x74\x72\x61\x6e\x5f\x6f\x72\x64\x65\x72"
    "\x27\x3a\x20\x46\x61\x6c\x73\x65\x2c\x20\x27\x73\x68\x61\x70\x65\x27\x3a\x20\x28"
    "\x29\x2c\x20\x7d\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x0a\x00\x00\x20\x40\x50\x4b\x01\x02\x2d\x03\x2d\x00\x00"
    "\x00\x00\x00\x00\x00\x21\x00\x64\x8c\x22\xc3\x84\x00\x00\x00\x84\x00\x00\x00\x09"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00\x61\x72\x72"
    "\x5f\x30\x2e\x6e\x70\x79\x50\x4b\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x37\x00"
    "\x00\x00\xbf\x00\x00\x00\x00\x00";

typedef struct fixture {
  diag d;
  arena a;
} fixture;

static int set_up(void **state) {
  static fixture f;
  diag_init(&f.d);
  arena_init(&f.a, &f.d);
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  arena_release(&((fixture *)*state)->a);
  return 0;
}

static wn_status parse(fixture *f, npz *out, const void *bytes, size_t size) {
  wn_status status;
  DIAG_TRY(&f->d, status) { npz_parse(out, &f->a, "test.npz", bytes, size); }
  DIAG_END(&f->d, status)
  return status;
}

static void check_arrays(const npz *z) {
  assert_int_equal(z->count, 2);
  const npy_array *x = npz_find(z, "x"), *ids = npz_find(z, "ids");
  assert_non_null(x);
  assert_non_null(ids);
  assert_null(npz_find(z, "x.npy"));
  assert_true(x->dtype == NPY_F32 && x->ndim == 2 && x->shape[0] == 2 && x->shape[1] == 3);
  for (int i = 0; i < 6; ++i) assert_true(((const float *)x->data)[i] == (float)i / 4);
  assert_true(ids->dtype == NPY_I64 && ids->count == 2);
  assert_true(((const int64_t *)ids->data)[0] == 7 && ((const int64_t *)ids->data)[1] == -1);
}

static void reads_numpy(void **state) {
  npz z;
  assert_int_equal(parse(*state, &z, deflated, sizeof deflated - 1), WN_OK);
  check_arrays(&z);
  assert_int_equal(parse(*state, &z, stored, sizeof stored - 1), WN_OK);
  assert_int_equal(z.count, 1);
  const npy_array *only = npz_find(&z, "arr_0");
  assert_non_null(only);
  assert_true(only->ndim == 0 && *(const float *)only->data == 2.5f);
}

/* Whatever is wrong is refused, or is a part that nobody reads. In a block of its own size, so that a sanitizer sees
 * what is read past it. */
static void survives_damage(void **state) {
  fixture *f = *state;
  size_t size = sizeof deflated - 1;
  for (size_t cut = 0; cut < size; ++cut) {
    char *bytes = malloc(cut ? cut : 1);
    memcpy(bytes, deflated, cut);
    npz z;
    if (parse(f, &z, bytes, cut) != WN_ERR_USAGE) fail_msg("cut to %zu bytes it was read", cut);
    assert_non_null(strstr(f->d.message, "test.npz"));
    free(bytes);
  }
  int refused = 0;
  for (size_t at = 0; at < size; ++at) {
    char *bytes = malloc(size);
    memcpy(bytes, deflated, size);
    bytes[at] = (char)~bytes[at];
    npz z;
    if (parse(f, &z, bytes, size) != WN_OK) ++refused;
    free(bytes);
  }
  assert_true(refused > 250);
}

static void keeps_what_is_written(void **state) {
  fixture *f = *state;
  char folder[] = "/tmp/winnow-npz-XXXXXX";
  assert_non_null(mkdtemp(folder));
  const char *path = arena_printf(&f->a, "%s/a.npz", folder);
  npz z, back;
  assert_int_equal(parse(f, &z, deflated, sizeof deflated - 1), WN_OK);
  npz_write(&f->a, path, &z);
  npz_read(&back, &f->a, path);
  check_arrays(&back);
  size_t first, second;
  unsigned char *bytes = file_read(&f->a, path, &first);
  npz_write(&f->a, path, &back);
  unsigned char *again = file_read(&f->a, path, &second);
  assert_true(first == second && !memcmp(bytes, again, first));
  unlink(path);
  rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(reads_numpy, set_up, tear_down),
      cmocka_unit_test_setup_teardown(survives_damage, set_up, tear_down),
      cmocka_unit_test_setup_teardown(keeps_what_is_written, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
