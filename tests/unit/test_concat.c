/* Concatenation against plain loops: every dtype bit for bit, every axis, parts of any number, nested, of parts that
 * were computed; and what each mistake says. WINNOW_SEED=<seed> draws the same ones again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "diff/conv_case.h"

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

enum { PARTS = 40, MOST_BYTES = 1 << 16 };

typedef struct drawn_part {
  wn_tensor *t;
  int64_t extent; /* along the axis */
  unsigned char *data;
} drawn_part;

/* `outer` times parts of `extent` times `inner` elements each, one behind the other. */
typedef struct drawn {
  wn_dtype dtype;
  int ndim, axis, count;
  int64_t shape[5], outer, inner, whole;
  drawn_part part[PARTS];
} drawn;

/* Bits of any value; NaNs are quiet ones, since converting makes them so. */
static void draw_element(uint64_t *s, wn_dtype dtype, unsigned char *to) {
  static const double special[] = {-0.0, 0.0, INFINITY, -INFINITY};
  uint64_t bits = next_random(s);
  uint16_t half = (uint16_t)(bits & 0x8000);
  float f = (float)special[bits % 4];
  switch (dtype) {
    case WN_BOOL:
      *to = bits & 1;
      return;
    case WN_F16:
      half = bits % 3 == 0 ? half | 0x7e00 : (uint16_t)((bits & 0x83ff) | (bits >> 20 & 0xf) << 10);
      memcpy(to, &half, sizeof half);
      return;
    case WN_BF16:
      half = bits % 3 == 0 ? half | 0x7fc0 : (uint16_t)((bits & 0x807f) | (bits >> 20 & 0x7f) << 7);
      memcpy(to, &half, sizeof half);
      return;
    case WN_F32:
      if (bits % 3 == 0) f = NAN;
      if (bits % 3 == 1) f = random_value(s);
      memcpy(to, &f, sizeof f);
      return;
    default:
      memcpy(to, &bits, wn_dtype_size(dtype));
  }
}

static void draw(uint64_t *s, wn_context *ctx, drawn *d, int least, int most) {
  d->dtype = (wn_dtype)below(s, WN_DTYPE_COUNT);
  d->ndim = (int)between(s, 1, 5);
  d->axis = (int)below(s, d->ndim);
  d->count = (int)between(s, least, most);
  d->outer = d->inner = 1;
  d->whole = 0;
  for (int k = 0; k < d->ndim; ++k) {
    d->shape[k] = between(s, 1, 4);
    if (k < d->axis) d->outer *= d->shape[k];
    if (k > d->axis) d->inner *= d->shape[k];
  }
  for (int i = 0; i < d->count; ++i) {
    drawn_part *p = &d->part[i];
    if (i > 0 && chance(s, 10)) { /* the same once more */
      *p = d->part[below(s, i)];
    } else {
      p->extent = d->shape[d->axis] = between(s, 1, 6);
      int64_t n = d->outer * p->extent * d->inner;
      size_t size = wn_dtype_size(d->dtype);
      p->data = calloc((size_t)n, size);
      for (int64_t k = 0; k < n; ++k) draw_element(s, d->dtype, p->data + (size_t)k * size);
      p->t = (chance(s, 30) ? wn_constant : wn_input)(ctx, d->dtype, d->ndim, d->shape, p->data);
    }
    d->whole += p->extent;
  }
  d->shape[d->axis] = d->whole;
}

static void free_parts(drawn *d) {
  for (int i = 0; i < d->count; ++i) {
    for (int k = 0; k < i; ++k)
      if (d->part[k].data == d->part[i].data) d->part[i].data = NULL;
    free(d->part[i].data);
  }
}

/* The parts' bytes as they have to come out. */
static void join(const drawn *d, unsigned char *out) {
  size_t size = wn_dtype_size(d->dtype) * (size_t)d->inner;
  for (int64_t o = 0; o < d->outer; ++o) {
    for (int i = 0; i < d->count; ++i) {
      size_t bytes = size * (size_t)d->part[i].extent;
      memcpy(out, d->part[i].data + bytes * (size_t)o, bytes);
      out += bytes;
    }
  }
}

static wn_tensor *concat(const drawn *d, int from, int to) {
  wn_tensor *t[PARTS];
  for (int i = from; i < to; ++i) t[i - from] = d->part[i].t;
  return wn_concat(t, to - from, d->axis - (d->count % 2 ? d->ndim : 0));
}

static void run(wn_context *ctx, wn_tensor *t, void *out, const char *backend) {
  wn_program *p;
  if (t == NULL) fail_msg("%s", wn_message(ctx));
  const wn_options o = WN_OPTIONS(.backend = backend, .threads = 1, .no_cache = 1);
  if (wn_compile(ctx, &t, &out, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  assert_int_equal(wn_run(p), WN_OK);
  wn_program_destroy(p);
}

static void check(wn_context *ctx, const drawn *d, wn_tensor *t, const char *backend) {
  static unsigned char want[MOST_BYTES], got[MOST_BYTES];
  size_t bytes = wn_dtype_size(d->dtype) * (size_t)(d->outer * d->whole * d->inner);
  assert_true(bytes <= sizeof want);
  assert_int_equal(wn_ndim(t), d->ndim);
  assert_memory_equal(wn_shape(t), d->shape, sizeof *d->shape * (size_t)d->ndim);
  join(d, want);
  memset(got, 0xa5, sizeof got);
  run(ctx, t, got, backend);
  assert_memory_equal(got, want, bytes);
}

static void test_bits(void **state) {
  (void)state;
  uint64_t s = test_seed();
  for (int i = 0; i < 60; ++i) {
    wn_context *ctx;
    drawn d;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    draw(&s, ctx, &d, 1, 9);
    check(ctx, &d, concat(&d, 0, d.count), i % 2 ? "cpu" : "interp");
    wn_context_destroy(ctx);
    free_parts(&d);
  }
}

/* Of the parts of a concatenation some are concatenations. */
static void test_nested(void **state) {
  (void)state;
  uint64_t s = test_seed();
  for (int i = 0; i < 20; ++i) {
    wn_context *ctx;
    drawn d;
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    draw(&s, ctx, &d, 3, 12);
    wn_tensor *t[PARTS], *sum = d.part[0].t;
    int n = 0;
    for (int at = 0; at < d.count;) {
      int end = (int)between(&s, at + 1, d.count);
      t[n++] = concat(&d, at, end);
      at = end;
    }
    check(ctx, &d, wn_concat(t, n, d.axis), "interp");
    for (int k = 1; k < d.count; ++k) sum = wn_concat((wn_tensor *[]){sum, d.part[k].t}, 2, d.axis);
    check(ctx, &d, sum, "interp"); /* each longer by one: as the layers of a DenseNet */
    wn_context_destroy(ctx);
    free_parts(&d);
  }
}

/* Time and memory by the number of parts; their square would be a minute. */
static void test_many(void **state) {
  (void)state;
  enum { MANY = 3000 };
  static float data[MANY][2], got[2 * MANY];
  static wn_tensor *t[MANY];
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  for (int i = 0; i < MANY; ++i) {
    data[i][0] = (float)i, data[i][1] = (float)-i;
    t[i] = wn_input(ctx, WN_F32, SHAPE(2, 1), data[i]);
  }
  run(ctx, wn_concat(t, MANY, 1), got, "interp");
  for (int i = 0; i < 2 * MANY; ++i) assert_true(got[i] == data[i % MANY][i / MANY]);
  wn_context_destroy(ctx);
}

/* Parts of nothing leave no trace, and of nothing but those there is nothing. */
static void test_empty(void **state) {
  (void)state;
  static const float data[6] = {1, -2, 3, NAN, -0.0f, 6};
  float got[6];
  wn_context *c;
  assert_int_equal(wn_context_create(&c), WN_OK);
  wn_tensor *none = wn_input(c, WN_F32, SHAPE(0, 3), NULL),
            *all = wn_input(c, WN_F32, SHAPE(2, 3), data);
  assert_ptr_equal(wn_concat((wn_tensor *[]){none, all, none}, 3, 0), all);
  wn_tensor *twice = wn_concat((wn_tensor *[]){none, none}, 2, 0),
            *wide = wn_concat((wn_tensor *[]){none, none}, 2, 1);
  assert_memory_equal(wn_shape(twice), ((int64_t[]){0, 3}), 2 * sizeof(int64_t));
  assert_memory_equal(wn_shape(wide), ((int64_t[]){0, 6}), 2 * sizeof(int64_t));
  wn_tensor *half = wn_shrink(all, (int64_t[]){0, 0}, (int64_t[]){1, 3});
  wn_tensor *rest = wn_shrink(all, (int64_t[]){1, 0}, (int64_t[]){2, 3});
  run(c, wn_concat((wn_tensor *[]){none, half, twice, rest}, 4, 0), got, "interp");
  for (int i = 0; i < 6; ++i) assert_true(got[i] == data[i] || (isnan(got[i]) && isnan(data[i])));
  wn_context_destroy(c);
}

static void expect_error(const wn_tensor *t, wn_context *c, const char *message) {
  assert_null(t);
  assert_string_equal(wn_message(c), message);
}

static void test_errors(void **state) {
  (void)state;
  wn_context *c, *other;
  assert_int_equal(wn_context_create(&c), WN_OK);
  assert_int_equal(wn_context_create(&other), WN_OK);
  wn_tensor *t = wn_input(c, WN_F32, SHAPE(2, 3), NULL);
#define WITH(x) ((wn_tensor *[]){t, t, x})
  assert_ptr_equal(wn_concat(&t, 1, 1), t);
  assert_null(wn_concat(NULL, 1, 0));
  assert_null(wn_concat(&t, 0, 0));
  assert_null(wn_concat(WITH(NULL), 3, 0));
  expect_error(wn_concat(WITH(t), 3, 2), c, "wn_concat: there is no axis 2 in [2, 3]");
  expect_error(wn_concat(WITH(t), 3, -3), c, "wn_concat: there is no axis -3 in [2, 3]");
  expect_error(
      wn_concat(WITH(wn_input(c, WN_I32, SHAPE(2, 3), NULL)), 3, 0), c,
      "wn_concat: part 0 is f32 [2, 3] and part 2 is i32 [2, 3]; convert one with wn_cast");
  expect_error(wn_concat(WITH(wn_input(c, WN_F32, SHAPE(2, 4), NULL)), 3, 0), c,
               "wn_concat: part 0 is [2, 3] and part 2 is [2, 4]; they may differ in axis 0 only");
  expect_error(wn_concat(WITH(wn_input(c, WN_F32, SHAPE(3), NULL)), 3, -2), c,
               "wn_concat: part 0 is [2, 3] and part 2 is [3]; they may differ in axis 0 only");
  expect_error(wn_concat(WITH(wn_input(other, WN_F32, SHAPE(2, 3), NULL)), 3, 0), c,
               "wn_concat: parts belong to different contexts");
  wn_tensor *big = wn_input(c, WN_BOOL, SHAPE((int64_t)1 << 58), NULL);
  expect_error(
      wn_concat((wn_tensor *[]){big, big, big, big}, 4, 0), c,
      "wn_concat: the result has more elements than can be counted ([1152921504606846976])");
  wn_context_destroy(other);
  wn_context_destroy(c);
}

/* Every allocation fails once. */
static void test_allocation_failure(void **state) {
  (void)state;
  bool done = false;
  for (long n = 1; !done && n < 10000; ++n) {
    wn_context *c = NULL;
    mem_fail_at(n);
    wn_status st = wn_context_create(&c);
    wn_tensor *t[200], *y = NULL;
    if (st == WN_OK) {
      for (int i = 0; i < 200; ++i) t[i] = wn_input(c, WN_F32, SHAPE(2, 3), NULL);
      y = wn_concat(t, 200, 0);
    }
    mem_fail_at(0);
    if (y == NULL) assert_int_equal(st != WN_OK ? st : WN_ERR_NOMEM, WN_ERR_NOMEM);
    done = y != NULL;
    wn_context_destroy(c);
  }
  assert_true(done);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bits),   cmocka_unit_test(test_nested),
      cmocka_unit_test(test_many),   cmocka_unit_test(test_empty),
      cmocka_unit_test(test_errors), cmocka_unit_test(test_allocation_failure),
  };
  return cmocka_run_group_tests_name("concat", tests, NULL, NULL);
}
