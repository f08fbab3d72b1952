/* Arrays of files as arrays of the API: every pair of dtypes by what C says of the numbers, limits on both sides, and what
 * is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "arena_fixture.h"
#include "convert.h"

static npy_array one(npy_dtype dtype, void *data) {
  return (npy_array){.dtype = dtype, .ndim = 0, .count = 1, .data = data};
}

/* -1: refused, else how many were rounded. */
static int convert(fixture *f, npy_dtype from, void *data, wn_dtype to, void *dst) {
  volatile wn_status status;
  volatile int rounded = -1;
  const npy_array in = one(from, data);
  DIAG_TRY(&f->d, status) { rounded = (int)convert_from_npy(&f->a, "x", &in, to, dst); }
  DIAG_END(&f->d, status)
  if (status != WN_OK) assert_int_equal(status, WN_ERR_USAGE);
  return status == WN_OK ? rounded : -1;
}

/* 3 is 3 in all of them, and exact. */
static void keeps_a_number(void **state) {
  float f32 = 3;
  double f64 = 3;
  uint16_t f16 = 0x4200, u16 = 3;
  int8_t i8 = 3;
  int16_t i16 = 3;
  int32_t i32 = 3;
  int64_t i64 = 3;
  uint8_t u8 = 3;
  uint32_t u32 = 3;
  uint64_t u64 = 3;
  void *const data[NPY_DTYPES] = {
      [NPY_F32] = &f32, [NPY_F64] = &f64, [NPY_F16] = &f16, [NPY_I8] = &i8,
      [NPY_I16] = &i16, [NPY_I32] = &i32, [NPY_I64] = &i64, [NPY_U8] = &u8,
      [NPY_U16] = &u16, [NPY_U32] = &u32, [NPY_U64] = &u64,
  };
  for (int from = 0; from < NPY_BOOL; ++from) {
    float a = 0;
    double b = 0;
    uint16_t c = 0, d = 0;
    int32_t e = 0;
    int64_t g = 0;
    assert_int_equal(convert(*state, (npy_dtype)from, data[from], WN_F32, &a), 0);
    assert_int_equal(convert(*state, (npy_dtype)from, data[from], WN_F64, &b), 0);
    assert_int_equal(convert(*state, (npy_dtype)from, data[from], WN_F16, &c), 0);
    assert_int_equal(convert(*state, (npy_dtype)from, data[from], WN_BF16, &d), 0);
    assert_int_equal(convert(*state, (npy_dtype)from, data[from], WN_I32, &e), 0);
    assert_int_equal(convert(*state, (npy_dtype)from, data[from], WN_I64, &g), 0);
    assert_true(a == 3 && b == 3 && c == 0x4200 && d == 0x4040 && e == 3 && g == 3);
    uint8_t h;
    assert_int_equal(convert(*state, (npy_dtype)from, data[from], WN_BOOL, &h), -1);
  }
  uint8_t yes = 1, to = 0;
  float a = 0;
  assert_int_equal(convert(*state, NPY_BOOL, &yes, WN_BOOL, &to), 0);
  assert_int_equal(convert(*state, NPY_BOOL, &yes, WN_F32, &a), 0);
  assert_true(to == 1 && a == 1);
}

static void counts_what_is_rounded(void **state) {
  fixture *f = *state;
  double in[] = {0.5, 0.1, NAN, INFINITY, 1e300};
  float out[5];
  const npy_array array = {.dtype = NPY_F64, .ndim = 1, .shape = {5}, .count = 5, .data = in};
  assert_int_equal(convert_from_npy(&f->a, "x", &array, WN_F32, out), 2);
  assert_true(out[0] == 0.5f && out[1] == 0.1f && isnan(out[2]) && isinf(out[3]) && isinf(out[4]));
  int64_t large = (INT64_C(1) << 53) + 1, most = INT64_MAX;
  double d;
  float s;
  assert_int_equal(convert(f, NPY_I64, &large, WN_F64, &d), 1);
  assert_int_equal(convert(f, NPY_I64, &most, WN_F32, &s), 1);
  int32_t exact = 1 << 24, odd = (1 << 24) + 1;
  assert_int_equal(convert(f, NPY_I32, &exact, WN_F32, &s), 0);
  assert_int_equal(convert(f, NPY_I32, &odd, WN_F32, &s), 1);
}

static void refuses_what_is_none(void **state) {
  fixture *f = *state;
  int64_t i64, above = INT64_C(1) << 31;
  int32_t i32;
  double half = 0.5, nan = NAN, far = 0x1p63, low = -0x1p63;
  uint64_t u64 = UINT64_MAX;
  assert_int_equal(convert(f, NPY_F64, &half, WN_I64, &i64), -1);
  assert_non_null(strstr(f->d.message, "x: element 0 is 0.5, which is no i64"));
  assert_int_equal(convert(f, NPY_F64, &nan, WN_I64, &i64), -1);
  assert_int_equal(convert(f, NPY_F64, &far, WN_I64, &i64), -1);
  assert_int_equal(convert(f, NPY_F64, &low, WN_I64, &i64), 0);
  assert_true(i64 == INT64_MIN);
  assert_int_equal(convert(f, NPY_U64, &u64, WN_I64, &i64), -1);
  assert_int_equal(convert(f, NPY_I64, &above, WN_I32, &i32), -1);
  above = -above;
  assert_int_equal(convert(f, NPY_I64, &above, WN_I32, &i32), 0);
  assert_true(i32 == INT32_MIN);
}

/* There and back, and bf16 as what it stands for. */
static void comes_back(void **state) {
  fixture *f = *state;
  static const npy_dtype expected[WN_DTYPE_COUNT] = {NPY_F64, NPY_F32, NPY_F16, NPY_F32,
                                                     NPY_I32, NPY_I64, NPY_BOOL};
  for (int t = 0; t < WN_DTYPE_COUNT; ++t) {
    float in[6] = {1, 0, 1, 0, 0, 1};
    unsigned char array[6 * 8], back[6 * 8];
    const npy_array numbers = {
        .dtype = NPY_F32, .ndim = 2, .shape = {2, 3}, .count = 6, .data = in};
    convert_from_npy(&f->a, "x", &numbers, (wn_dtype)t, array);
    npy_array out = convert_to_npy(&f->a, (wn_dtype)t, 2, (int64_t[]){2, 3}, array);
    assert_true(out.dtype == expected[t] && out.ndim == 2 && out.count == 6);
    assert_int_equal(convert_from_npy(&f->a, "x", &out, (wn_dtype)t, back), 0);
    assert_memory_equal(array, back, 6 * wn_dtype_size((wn_dtype)t));
    const float *floats = convert_to_f32(&f->a, (wn_dtype)t, 6, array);
    for (int i = 0; i < 6; ++i) assert_true(floats[i] == in[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(keeps_a_number, setup, teardown),
      cmocka_unit_test_setup_teardown(counts_what_is_rounded, setup, teardown),
      cmocka_unit_test_setup_teardown(refuses_what_is_none, setup, teardown),
      cmocka_unit_test_setup_teardown(comes_back, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
