/* The Metal backend on a stand-in for Apple's Objective-C runtime and Metal (fake_metal.h): everything is compiled,
 * queued, timed, refused and cleaned up as on a Mac, but for kernels, which are a function of the test's. After every
 * case nothing may be left of what was made, in the ways in which things fail too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "fake_metal.h"
#include "backend/metal/metal.h"
#include "unit/lin_builder.h"

enum { GROUP = 8, GROUPS = 4, ELEMENTS = GROUP * GROUPS };

static const backend *metal;

typedef struct fixture {
  diag d;
  arena a;
  machine target;
} fixture;

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  if (f == NULL) return -1;
  *f = (fixture){0};
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  fake = (fake_metal){.devices = 1};
  metal = &backend_metal;
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  arena_release(&f->a);
  mem_free(f);
  int live = fake_live(), pooled = fake_pools();
  const char *first = fake_first_live();
  fake_forget();
  if (live != 0) fail_msg("%d objects are left, a %s", live, first);
  assert_int_equal(pooled, 0);
  return 0;
}

/* --- helpers ---------------------------------------------------------------------------------- */

/* y[i] = x[i] + 1, with both arrays' offsets. */
static void add_one(char *const *buffers, const int64_t *l, unsigned group, unsigned lane) {
  int64_t i = (l[0] + group) * GROUP + lane;
  float x;
  memcpy(&x, buffers[0] + (i + l[1]) * 4, sizeof x);
  x += 1;
  memcpy(buffers[1] + (i + l[2]) * 4, &x, sizeof x);
}

/* What add_one does; the fake looks at its name only. */
static const lin_kernel *kernel_named(fixture *f, const char *name, int group) {
  lin_builder b = lb_new(&f->a, name, GROUPS);
  b.k->group = group;
  uint32_t first = lb_op2(&b, OP_MUL, WN_I64, lb_grid(&b), lb_i64(&b, group));
  uint32_t lane = lb_push(&b, (lin_ins){.op = OP_LANE, .dtype = WN_I64, .lanes = 1});
  uint32_t at = lb_op2(&b, OP_ADD, WN_I64, first, lane);
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, ELEMENTS),
          y = lb_array(&b, SPACE_GLOBAL, WN_F32, ELEMENTS);
  uint32_t value =
      lb_op2(&b, OP_ADD, WN_F32, lb_load(&b, x, 1, at, 1, LB_NO_MASK), lb_float(&b, WN_F32, 1, 1));
  lb_store(&b, y, at, value, 1, LB_NO_MASK);
  return b.k;
}

static void *open_device(fixture *f, const char *spec) {
  void *device = metal->open(&f->d, NULL, spec, NULL, &f->target);
  assert_non_null(device);
  return device;
}

typedef struct compiled {
  void *handle;
  backend_kernel out[8];
} compiled;

static backend_job job_of(fixture *f, int count, const lin_kernel *const *kernels,
                          backend_kernel *out) {
  return (backend_job){
      .a = &f->a, .d = &f->d, .threads = 1, .count = count, .kernels = kernels, .out = out};
}

static void compile(fixture *f, void *device, int count, const lin_kernel *const *kernels,
                    compiled *c) {
  *c = (compiled){0};
  for (int i = 0; i < count; i++) c->out[i].registers = c->out[i].spills = -1;
  backend_job job = job_of(f, count, kernels, c->out);
  c->handle = metal->compile(device, &job);
  assert_false(job.cached);
}

static void assert_says(const char *text, const char *part) {
  assert_non_null(text);
  if (strstr(text, part) == NULL) fail_msg("'%s' does not say '%s'", text, part);
}

/* Status and message of an open that must fail. */
static wn_status fail_to_open(fixture *f, const char *spec, const char *isa) {
  volatile wn_status st;
  DIAG_TRY(&f->d, st) { metal->open(&f->d, NULL, spec, isa, &f->target); }
  DIAG_END(&f->d, st)
  return st;
}

/* --- devices ---------------------------------------------------------------------------------- */

static void test_a_device_is_described(void **state) {
  fixture *f = *state;
  void *device = open_device(f, NULL);
  assert_string_equal(f->target.model, "Fake M1");
  assert_string_equal(f->target.name, "simt");
  assert_string_equal(f->target.driver, "macOS Version 15.1 (Build 24B83)");
  assert_int_equal(f->target.group, 1024);
  assert_int_equal(f->target.local_bytes, 32768);
  assert_int_equal(f->target.matrix, 0);
  metal->close(device);
  fake.family = 1007;
  device = open_device(f, NULL);
  assert_int_equal(f->target.matrix, 8);
  metal->close(device);
  device = metal->open(&f->d, NULL, NULL, "simd", &f->target);
  assert_string_equal(f->target.name, "simd");
  assert_int_equal(f->target.matrix, 0);
  assert_int_equal(f->target.group, 0);
  metal->close(device);
  metal->close(NULL);
}

static void test_devices_by_number(void **state) {
  fixture *f = *state;
  fake.devices = 3;
  void *device = open_device(f, "2");
  assert_string_equal(f->target.model, "Fake M3");
  metal->close(device);
  assert_int_equal(fail_to_open(f, "3", NULL), WN_ERR_USAGE);
  assert_says(f->d.message, "metal:3 does not exist: there are 3");
  assert_int_equal(fail_to_open(f, "first", NULL), WN_ERR_USAGE);
  assert_says(f->d.message, "number of a device");
  assert_int_equal(fail_to_open(f, NULL, "avx2"), WN_ERR_USAGE);
  assert_says(f->d.message, "there are simt");
  const device_info *list;
  const char *why = NULL;
  assert_int_equal(metal->list(&f->d, &f->a, &list, &why), 3);
  assert_string_equal(list[1].name, "Fake M2");
  assert_string_equal(list[1].spec, "1");
}

static void test_no_device(void **state) {
  fixture *f = *state;
  const device_info *list;
  const char *why = NULL;
  fake.devices = 0;
  assert_int_equal(fail_to_open(f, NULL, NULL), WN_ERR_DEVICE);
  assert_says(f->d.message, "no Metal device");
  assert_int_equal(metal->list(&f->d, &f->a, &list, &why), 0);
  assert_says(why, "no Metal device");
  fake = (fake_metal){.devices = 1, .fail_at = 1};
  assert_int_equal(fail_to_open(f, NULL, NULL), WN_ERR_DEVICE);
  assert_says(f->d.message, "no command queue");
}

/* --- memory ----------------------------------------------------------------------------------- */

static void round_trip(fixture *f) {
  enum { BYTES = 20 << 20, AT = 12345 }; /* several times the staging buffer */
  void *device = open_device(f, NULL), *block = metal->alloc(device, BYTES + AT);
  unsigned char *from = mem_alloc(BYTES), *to = mem_alloc(BYTES);
  assert_true(block != NULL && from != NULL && to != NULL);
  for (int i = 0; i < BYTES; i++) from[i] = (unsigned char)(i * 7 + i / 255);
  memset(to, 0, BYTES);
  assert_null(metal->write(device, block, AT, from, BYTES));
  assert_null(metal->read(device, block, AT, to, BYTES));
  assert_memory_equal(from, to, BYTES);
  assert_null(metal->read(device, block, 0, to, AT)); /* of zeros from the start */
  for (int i = 0; i < AT; i++) assert_int_equal(to[i], 0);
  metal->free(device, block);
  metal->free(device, NULL);
  metal->close(device);
  mem_free(from);
  mem_free(to);
}

static void test_memory_that_is_shared(void **state) { round_trip(*state); }

static void test_memory_of_its_own(void **state) {
  fake.private_memory = true;
  round_trip(*state);
  assert_true(fake.committed >= 6);
}

static void test_too_much_memory(void **state) {
  void *device = open_device(*state, NULL), *empty = metal->alloc(device, 0);
  assert_null(metal->alloc(device, (size_t)1 << 40));
  assert_non_null(empty);
  metal->free(device, empty);
  metal->close(device);
}

/* --- kernels ---------------------------------------------------------------------------------- */

static void test_launches_follow_each_other(void **state) {
  fixture *f = *state;
  fake.work = add_one;
  for (int own = 0; own < 2; own++) {
    fake.private_memory = own;
    void *device = open_device(f, NULL);
    compiled c;
    const lin_kernel *k = kernel_named(f, "plus", GROUP);
    compile(f, device, 1, &k, &c);
    assert_non_null(c.out[0].code);
    assert_string_equal(c.out[0].note, "maxTotalThreadsPerThreadgroup 1024");
    assert_int_equal(c.out[0].registers, -1);
    float x[2 * ELEMENTS], y[2 * ELEMENTS] = {0};
    for (int i = 0; i < 2 * ELEMENTS; i++) x[i] = (float)i;
    void *a = metal->alloc(device, sizeof x), *b = metal->alloc(device, sizeof y);
    assert_null(metal->write(device, a, 0, x, sizeof x));
    /* first half of the groups a -> b, all of b -> b, the second half of a -> b with an offset to each */
    const device_arg ab[] = {{a, 0}, {b, 0}}, bb[] = {{b, 0}, {b, 0}};
    const device_arg moved[] = {{a, 8 * GROUP}, {b, -4 * GROUP}};
    assert_null(metal->launch(device, &c.out[0], ab, 0, GROUPS / 2, -1));
    assert_null(metal->launch(device, &c.out[0], bb, 0, GROUPS, -1));
    assert_null(metal->launch(device, &c.out[0], moved, GROUPS / 2, GROUPS, -1));
    assert_null(metal->launch(device, &c.out[0], ab, 3, 3, -1)); /* no groups */
    assert_null(metal->read(device, b, 0, y, sizeof y));
    for (int i = 0; i < ELEMENTS / 2; i++) {
      bool over =
          i >= ELEMENTS / 2 - GROUP; /* what the last launch wrote, a group before its own */
      assert_true(y[i] == (over ? (float)(i + GROUP + 2 * GROUP + 1) : x[i] + 2));
    }
    metal->free(device, a);
    metal->free(device, b);
    metal->release(c.handle);
    metal->release(NULL);
    metal->close(device);
  }
  assert_false(fake.fast_math);
}

static void test_many_launches(void **state) {
  fixture *f = *state;
  fake.work = add_one;
  void *device = open_device(f, NULL);
  compiled c;
  const lin_kernel *k = kernel_named(f, "plus", GROUP);
  compile(f, device, 1, &k, &c);
  void *b = metal->alloc(device, sizeof(float[ELEMENTS]));
  const device_arg args[] = {{b, 0}, {b, 0}};
  float y[ELEMENTS];
  for (int i = 0; i < 5000; i++) assert_null(metal->launch(device, &c.out[0], args, 0, GROUPS, -1));
  assert_true(fake.committed > 1 && fake.committed < 500); /* neither one nor one each */
  assert_null(metal->finish(device));
  assert_null(metal->finish(device)); /* of nothing */
  assert_null(metal->read(device, b, 0, y, sizeof y));
  for (int i = 0; i < ELEMENTS; i++) assert_true(y[i] == 5000);
  metal->free(device, b);
  metal->release(c.handle);
  metal->close(device);
}

static void test_what_does_not_compile_says_why(void **state) {
  fixture *f = *state;
  fake.old_system = true; /* fast math has another switch there */
  void *device = open_device(f, NULL);
  compiled c;
  const lin_kernel *k[] = {
      kernel_named(f, "fine", GROUP),       kernel_named(f, "bad_one", GROUP),
      kernel_named(f, "lost", GROUP),       kernel_named(f, "nopipe", GROUP),
      kernel_named(f, "narrow", 128),       kernel_named(f, "stuck", 128),
      kernel_named(f, "stuck_large", 2048), kernel_named(f, "stuck_but_small", 64)};
  compile(f, device, 8, k, &c);
  static const char *const reasons[8] = {
      NULL,
      "in: kernel void bad_one(",
      "not in the library",
      "internal error",
      NULL,
      "its groups are of 128 work items, its maxTotalThreadsPerThreadgroup 64",
      "its groups are of 2048",
      NULL};
  for (int i = 0; i < 8; i++) {
    assert_true((c.out[i].code == NULL) == (reasons[i] != NULL));
    if (reasons[i] != NULL) assert_says(c.out[i].error, reasons[i]);
    if (reasons[i] != NULL) assert_null(strchr(c.out[i].error, '\n'));
  }
  assert_says(c.out[1].error, "error: no member named 'bad'");
  assert_string_equal(c.out[4].note, "maxTotalThreadsPerThreadgroup 64");
  assert_int_equal(fake.libraries, 9); /* together, then each by itself */
  assert_false(fake.fast_math);
  metal->release(c.handle);
  metal->close(device);
}

static void test_what_metal_has_not(void **state) {
  fixture *f = *state;
  void *device = open_device(f, NULL);
  lin_builder wide = lb_new(&f->a, "wide", 1), many = lb_new(&f->a, "many", 1);
  lb_array(&wide, SPACE_GLOBAL, WN_F64, 1);
  for (int i = 0; i < 31; i++) lb_array(&many, SPACE_GLOBAL, WN_F32, 1);
  const lin_kernel *k[] = {wide.k, many.k};
  compiled c;
  compile(f, device, 2, k, &c);
  assert_says(c.out[0].error, "Metal has no f64");
  assert_says(c.out[1].error, "31 arrays");
  assert_int_equal(fake.libraries, 0);
  metal->release(c.handle);
  metal->close(device);
}

/* --- times ------------------------------------------------------------------------------------ */

/* Each launch takes the fake 1 µs and another for each of its groups. */
static void stamped_run(fixture *f, int launches) {
  fake.work = NULL;
  void *device = open_device(f, NULL);
  compiled c;
  const lin_kernel *k = kernel_named(f, "timed", GROUP);
  compile(f, device, 1, &k, &c);
  void *b = metal->alloc(device, sizeof(float[ELEMENTS]));
  const device_arg args[] = {{b, 0}, {b, 0}};
  double start, end, last = 0;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < launches; i++) {
      assert_null(metal->launch(device, &c.out[0], args, 0, GROUPS, -1)); /* between them */
      assert_null(metal->launch(device, &c.out[0], args, 0, 1 + i % GROUPS, i));
    }
    assert_null(metal->finish(device));
    for (int i = 0; i < launches; i++) {
      assert_null(metal->stamps(device, i, &start, &end));
      double expected = 1e-6 * (2 + i % GROUPS);
      if (!(end - start > 0.9 * expected && end - start < 1.1 * expected))
        fail_msg("launch %d took %g s, not %g s", i, end - start, expected);
      assert_true(start >= last); /* one clock, whatever told it */
      last = end - 1e-7;
      assert_null(metal->stamps(device, i, &start, &end)); /* again */
    }
  }
  metal->free(device, b);
  metal->release(c.handle);
  metal->close(device);
}

static void test_times_by_counters(void **state) {
  stamped_run(*state, 10);
  assert_true(fake.committed < 10);
}
static void test_more_times_than_counters(void **state) { stamped_run(*state, METAL_SAMPLED + 20); }
static void test_times_by_command_buffers(void **state) {
  fake.no_counters = true;
  stamped_run(*state, 10);
}
static void test_times_without_samples(void **state) {
  fake.no_samples = true;
  stamped_run(*state, 10);
}
static void test_times_on_an_old_system(void **state) {
  fake.old_system = true;
  stamped_run(*state, 10);
}

/* --- capture ---------------------------------------------------------------------------------- */

static void test_capture(void **state) {
  fixture *f = *state;
  fake.work = add_one;
  void *device = open_device(f, NULL);
  compiled c;
  const lin_kernel *k = kernel_named(f, "plus", GROUP);
  compile(f, device, 1, &k, &c);
  void *b = metal->alloc(device, sizeof(float[ELEMENTS]));
  const device_arg args[] = {{b, 0}, {b, 0}};
  assert_null(metal_capture(device, "/tmp/a.gputrace"));
  assert_string_equal(fake.capture_path, "/tmp/a.gputrace");
  assert_null(metal->launch(device, &c.out[0], args, 0, GROUPS, -1));
  assert_null(metal_capture(device, NULL));
  assert_null(metal_capture(device, NULL));
  assert_int_equal(fake.captures, 1);
  assert_null(metal_capture(device, "/tmp/b.gputrace")); /* ended by close */
  metal->free(device, b);
  metal->release(c.handle);
  metal->close(device);
  assert_int_equal(fake.captures, 2);
  fake.no_capture = true;
  device = open_device(f, NULL);
  assert_says(metal_capture(device, "/tmp/c.gputrace"), "METAL_CAPTURE_ENABLED=1");
  metal->close(device);
}

/* --- failures --------------------------------------------------------------------------------- */

/* Everything once; true where nothing failed. What is reported is a line; what was computed is right where nothing was.
 * */
static bool scenario(fixture *f) {
  void *volatile device = NULL;
  volatile wn_status st;
  DIAG_TRY(&f->d, st) { device = metal->open(&f->d, NULL, NULL, NULL, &f->target); }
  DIAG_END(&f->d, st)
  if (st != WN_OK) {
    assert_true(*f->d.message != '\0');
    return false;
  }
  const lin_kernel *k[] = {kernel_named(f, "one", GROUP), kernel_named(f, "two", GROUP)};
  compiled c = {0};
  backend_job job = job_of(f, 2, k, c.out);
  DIAG_TRY(&f->d, st) { c.handle = metal->compile(device, &job); }
  DIAG_END(&f->d, st)
  void *b = metal->alloc(device, sizeof(float[ELEMENTS]));
  const char *error = NULL;
  bool ok = st == WN_OK && b != NULL && c.out[0].code != NULL && c.out[1].code != NULL;
  for (int i = 0; i < 2 && st == WN_OK; i++)
    assert_true(c.out[i].code != NULL || c.out[i].error != NULL);
  float y[ELEMENTS] = {0};
  const device_arg args[] = {{b, 0}, {b, 0}};
  if (ok) error = metal->write(device, b, 0, y, sizeof y);
  if (ok && error == NULL) error = metal_capture(device, "/tmp/x.gputrace");
  for (int i = 0; i < 70 && ok && error == NULL; i++)
    error = metal->launch(device, &c.out[i % 2], args, 0, GROUPS, i % 7 == 0 ? i / 7 : -1);
  if (ok && error == NULL) error = metal->finish(device);
  double start, end;
  for (int i = 0; i < 10 && ok && error == NULL; i++)
    error = metal->stamps(device, i, &start, &end);
  if (ok && error == NULL) error = metal->read(device, b, 0, y, sizeof y);
  for (int i = 0; i < ELEMENTS && ok && error == NULL; i++) assert_true(y[i] == 70);
  if (error != NULL) assert_true(*error != '\0' && strchr(error, '\n') == NULL);
  metal->free(device, b);
  if (c.handle != NULL) metal->release(c.handle);
  metal->close(device);
  return ok && error == NULL;
}

static void every_failure(fixture *f, bool own_memory, bool no_counters) {
  for (int n = 1;; n++) {
    fake = (fake_metal){.devices = 1,
                        .work = add_one,
                        .private_memory = own_memory,
                        .no_counters = no_counters,
                        .fail_at = n};
    bool fine = scenario(f);
    if (fake_live() != 0)
      fail_msg("with failure %d, %d objects are left, a %s", n, fake_live(), fake_first_live());
    assert_int_equal(fake_pools(), 0);
    if (fake.failed == 0) {
      assert_true(fine);
      assert_true(n > 15);
      return;
    }
  }
}

static void test_every_failure(void **state) {
  every_failure(*state, false, false);
  every_failure(*state, true, false);
  every_failure(*state, false, true);
}

/* A library of two kernels that fails is compiled again one by one, so the failure of one call need not be one. */
static void test_a_failure_of_the_device_is_told_once(void **state) {
  fixture *f = *state;
  void *device = open_device(f, NULL);
  compiled c;
  const lin_kernel *k = kernel_named(f, "plus", GROUP);
  compile(f, device, 1, &k, &c);
  void *b = metal->alloc(device, sizeof(float[ELEMENTS]));
  const device_arg args[] = {{b, 0}, {b, 0}};
  fake.fail_at = fake.tried + 3; /* a command buffer, an encoder, the commit */
  assert_null(metal->launch(device, &c.out[0], args, 0, GROUPS, -1));
  assert_says(metal->finish(device), "the device failed: Caused GPU Hang Error (00000003) Ignored");
  assert_null(metal->finish(device));
  assert_null(metal->launch(device, &c.out[0], args, 0, GROUPS, -1));
  assert_null(metal->finish(device));
  metal->free(device, b);
  metal->release(c.handle);
  metal->close(device);
}

static void test_every_lack_of_memory(void **state) {
  fixture *f = *state;
  for (volatile long n = 1;; n++) {
    arena_release(&f->a);
    const lin_kernel *k[] = {kernel_named(f, "one", GROUP), kernel_named(f, "bad", GROUP),
                             kernel_named(f, "two", GROUP)};
    fake = (fake_metal){.devices = 1};
    backend_kernel out[3] = {{0}};
    backend_job job = job_of(f, 3, k, out);
    void *volatile device = NULL, *volatile handle = NULL;
    volatile wn_status st;
    mem_fail_at(n);
    DIAG_TRY(&f->d, st) {
      device = metal->open(&f->d, NULL, NULL, NULL, &f->target);
      handle = metal->compile(device, &job);
    }
    DIAG_END(&f->d, st)
    mem_fail_at(0);
    if (handle != NULL) metal->release(handle);
    metal->close(device);
    if (fake_live() != 0) fail_msg("without memory %ld: a %s is left", n, fake_first_live());
    if (st == WN_OK) return;
    assert_int_equal(st, WN_ERR_NOMEM);
    assert_int_equal(fake_pools(), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_device_is_described, setup, teardown),
      cmocka_unit_test_setup_teardown(test_devices_by_number, setup, teardown),
      cmocka_unit_test_setup_teardown(test_no_device, setup, teardown),
      cmocka_unit_test_setup_teardown(test_memory_that_is_shared, setup, teardown),
      cmocka_unit_test_setup_teardown(test_memory_of_its_own, setup, teardown),
      cmocka_unit_test_setup_teardown(test_too_much_memory, setup, teardown),
      cmocka_unit_test_setup_teardown(test_launches_follow_each_other, setup, teardown),
      cmocka_unit_test_setup_teardown(test_many_launches, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_does_not_compile_says_why, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_metal_has_not, setup, teardown),
      cmocka_unit_test_setup_teardown(test_times_by_counters, setup, teardown),
      cmocka_unit_test_setup_teardown(test_more_times_than_counters, setup, teardown),
      cmocka_unit_test_setup_teardown(test_times_by_command_buffers, setup, teardown),
      cmocka_unit_test_setup_teardown(test_times_without_samples, setup, teardown),
      cmocka_unit_test_setup_teardown(test_times_on_an_old_system, setup, teardown),
      cmocka_unit_test_setup_teardown(test_capture, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_failure, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_failure_of_the_device_is_told_once, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_lack_of_memory, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
