/* Limits of devices: the kernels that measure them keep the laws of linear IR and stay inside of their arrays, what was
 * kept comes back, what makes no sense is not believed. Nothing here looks at how fast a device is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/interp/interp.h"
#include "measure/measure_device.h"

#define LEN(a) (sizeof(a) / sizeof *(a))
enum { BYTES = 1 << 18, BEYOND = 4096 };

typedef struct fixture {
  diag d;
  arena a;
  char root[64];
  int warnings;
  char warned[512];
} fixture;

static void keep_warning(void *user, const char *line) {
  fixture *f = user;
  f->warnings++;
  snprintf(f->warned, sizeof f->warned, "%s", line);
}

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  if (f == NULL) return -1;
  *f = (fixture){.root = "/tmp/winnow-test-XXXXXX"};
  if (mkdtemp(f->root) == NULL) return -1;
  diag_init(&f->d);
  f->d.warn = keep_warning;
  f->d.warn_user = f;
  arena_init(&f->a, &f->d);
  setenv("WINNOW_CACHE", f->root, 1);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  char command[128];
  arena_release(&f->a);
  snprintf(command, sizeof command, "rm -rf '%s'", f->root);
  int status = system(command);
  mem_free(f);
  return status;
}

/* Of work items, of few of them, of vectors, of short ones; with and without fused multiply-adds. */
static const machine targets[] = {
    {.isa = ISA_GENERIC,
     .name = "simt",
     .vector_bytes = 16,
     .registers = 32,
     .fma = true,
     .model = "GPU",
     .driver = "535.1",
     .version = "OpenCL 3.0",
     .units = 100,
     .l3 = 50 << 20,
     .group = 1024,
     .items = 204800,
     .local_bytes = 48 << 10},
    {.isa = ISA_GENERIC,
     .name = "simt",
     .vector_bytes = 16,
     .registers = 32,
     .model = "GPU of few",
     .driver = "1",
     .version = "OpenCL 1.2",
     .units = 4,
     .l3 = 1 << 20,
     .group = 64,
     .items = 256,
     .local_bytes = 32 << 10},
    {.isa = ISA_GENERIC,
     .name = "simd",
     .vector_bytes = 64,
     .registers = 32,
     .fma = true,
     .model = "CPU",
     .driver = "3.1",
     .version = "OpenCL 3.0",
     .units = 2,
     .l3 = 32 << 20,
     .local_bytes = 1 << 20},
    {.isa = ISA_GENERIC,
     .name = "simd",
     .vector_bytes = 16,
     .registers = 16,
     .model = "old CPU",
     .driver = "1.8",
     .version = "OpenCL 1.2",
     .units = 1,
     .l3 = 8 << 20,
     .local_bytes = 32 << 10},
};

/* --- kernels ---------------------------------------------------------------------------------- */

static void test_kernels_keep_the_laws(void **state) {
  fixture *f = *state;
  for (size_t t = 0; t < LEN(targets); t++) {
    for (int which = 0; which < PROBES; which++) {
      probe_kernel p = device_probe_kernel(&f->a, (device_probe)which, &targets[t], BYTES);
      const char *broken = lin_verify(&f->a, p.kernel);
      if (broken != NULL) fail_msg("%s for %s: %s", p.kernel->name, targets[t].model, broken);
      assert_true(p.groups >= 1 && p.kernel->grid == p.groups);
      assert_true(which == PROBE_EMPTY ? p.work == 0 : p.work > 0);
      assert_true(p.kernel->scratch_bytes <= targets[t].local_bytes);
      assert_int_equal(p.kernel->group, targets[t].group > 128 ? 128 : targets[t].group);
      assert_int_equal(p.kernel->arrays.data[0].slot, 0);
      assert_int_equal(p.kernel->arrays.data[1].slot, 1);
    }
  }
}

static char *filled(size_t bytes, char with) {
  char *block = mem_alloc_aligned(bytes + BEYOND, 64);
  assert_non_null(block);
  memset(block, with, bytes + BEYOND);
  return block;
}

/* Runs groups [begin, end) in the interpreter, whose checks of offsets end the test where a kernel leaves its arrays.
 * */
static void interpret(fixture *f, const lin_kernel *k, void *in, void *out, int64_t begin,
                      int64_t end) {
  const interp_code *code = interp_prepare(&f->a, k);
  void *args[] = {in, out}, *scratch = mem_alloc_aligned(interp_scratch(code) + 64, 64);
  assert_non_null(scratch);
  interp_run(code, args, scratch, begin, end);
  mem_free_aligned(scratch);
}

static void test_a_copy_is_one(void **state) {
  fixture *f = *state;
  for (size_t t = 0; t < LEN(targets); t++) {
    probe_kernel p = device_probe_kernel(&f->a, PROBE_COPY, &targets[t], BYTES);
    char *in = filled(BYTES, 0), *out = filled(BYTES, 7);
    for (int i = 0; i < BYTES / 4; i++) ((float *)(void *)in)[i] = (float)i;
    interpret(f, p.kernel, in, out, 0, p.groups);
    assert_memory_equal(in, out, BYTES);
    for (int i = 0; i < BEYOND; i++) assert_int_equal(out[BYTES + i], 7);
    assert_true(p.work * (double)p.groups == 2.0 * (int)BYTES);
    mem_free_aligned(in);
    mem_free_aligned(out);
  }
}

static void test_the_others_write_nothing(void **state) {
  fixture *f = *state;
  for (size_t t = 1; t < LEN(targets); t++) { /* the largest takes the interpreter long */
    for (int which = 0; which < PROBES; which++) {
      if (which == PROBE_COPY) continue;
      probe_kernel p = device_probe_kernel(&f->a, (device_probe)which, &targets[t], BYTES);
      char *in = filled(BYTES, 0), *out = filled(PROBE_OUT_BYTES, 7);
      if (which == PROBE_LOCAL) memcpy(in, &(int32_t){64}, sizeof(int32_t));
      int64_t last = which == PROBE_CACHE ? p.groups - 1 : 1; /* a part is read again and again */
      interpret(f, p.kernel, in, out, last, last + 1);
      for (int i = 0; i < PROBE_OUT_BYTES + BEYOND; i++) assert_int_equal(out[i], 7);
      mem_free_aligned(in);
      mem_free_aligned(out);
    }
  }
}

/* --- keeping ---------------------------------------------------------------------------------- */

static device_rates sound(void) {
  return (device_rates){.flops = 50e12,
                        .copy = 3e12,
                        .local = 30e12,
                        .cache = 8e12,
                        .cache_bytes = 50 << 20,
                        .launch = 3e-6,
                        .alone = 1e-5};
}

static void test_what_was_kept_comes_back(void **state) {
  fixture *f = *state;
  device_rates m = sound(), back;
  store *s = store_open(&f->d, false);
  assert_non_null(s);
  assert_false(device_load(s, &f->a, "opencl", &targets[0], &back));
  assert_true(device_store(s, &f->a, "opencl", &targets[0], &m));
  assert_true(device_load(s, &f->a, "opencl", &targets[0], &back));
  assert_memory_equal(&m, &back, sizeof m);
  machine other = targets[0]; /* another driver, another backend: not the same device */
  other.driver = "535.2";
  assert_false(device_load(s, &f->a, "opencl", &other, &back));
  assert_false(device_load(s, &f->a, "metal", &targets[0], &back));
  other = targets[0];
  other.name = "simd"; /* the same, however its kernels are made */
  other.group = 0;
  assert_true(device_load(s, &f->a, "opencl", &other, &back));
  store_close(s);
  assert_false(device_store(NULL, &f->a, "opencl", &targets[0], &m));
  assert_false(device_load(NULL, &f->a, "opencl", &targets[0], &back));
  assert_int_equal(f->warnings, 0);
}

static void test_absurd_limits_are_ignored(void **state) {
  fixture *f = *state;
  static const double absurd[] = {-1, 0, 1e300, NAN, INFINITY};
  int expected = 0;
  store *s = store_open(&f->d, false);
  assert_non_null(s);
  for (size_t i = 0; i < LEN(absurd) * (sizeof(device_rates) / sizeof(double)); i++) {
    device_rates m = sound(), back;
    ((double *)(void *)&m)[i / LEN(absurd)] = absurd[i % LEN(absurd)];
    assert_true(device_store(s, &f->a, "opencl", &targets[0], &m));
    assert_false(device_load(s, &f->a, "opencl", &targets[0], &back));
    assert_int_equal(f->warnings, ++expected);
    assert_non_null(strstr(f->warned, "devices --measure"));
  }
  const char *key = device_key(&f->a, "opencl", &targets[0]);
  assert_true(store_put(s, STORE_MACHINE, key, strlen(key), "short", 5));
  device_rates back;
  assert_false(device_load(s, &f->a, "opencl", &targets[0], &back));
  store_close(s);
}

static void test_limits_are_usable(void **state) {
  (void)state;
  device_rates m = sound();
  for (size_t t = 0; t < LEN(targets); t++) {
    for (int measured = 0; measured < 2; measured++) {
      machine_limits l = device_limits_for(measured ? &m : NULL, &targets[t]);
      assert_int_equal(l.measured, measured);
      assert_true(l.flops_all > 0 && l.local > 0 && l.write_all > 0 && l.wake > 0);
      for (int i = 0; i < LIMIT_WIDTHS; i++) assert_true(l.flops[i] > 0);
      for (int i = 0; i < LEVEL_COUNT; i++) assert_true(l.read_all[i] > 0 && l.read[i] > 0);
      for (int i = 0; i < LEVEL_MEMORY; i++) assert_true(l.size[i] > 0);
    }
  }
  machine_limits l = device_limits_for(&m, &targets[0]);
  assert_true(l.flops_all == 50e12 && l.read_all[LEVEL_MEMORY] == 3e12 &&
              l.read_all[LEVEL_L3] == 8e12);
}

/* --- a device that is there ------------------------------------------------------------------- */

static void test_what_is_measured_is_believed(void **state) {
  fixture *f = *state;
  const device_info *list;
  const char *why;
  if (runtime_devices(&f->d, &f->a, "opencl", &list, &why) == 0) {
    print_message("no OpenCL device, so none was measured: %s\n", why);
    skip();
  }
  runtime *rt = runtime_create(&f->d, "opencl", NULL, 0);
  device_rates m, back;
  device_measure(&f->d, rt, &m);
  store *s = store_open(&f->d, false);
  assert_false(machine_limits_of(s, &f->a, rt).measured);
  assert_true(device_store(s, &f->a, "opencl", runtime_machine(rt), &m));
  if (!device_load(s, &f->a, "opencl", runtime_machine(rt), &back)) fail_msg("%s", f->warned);
  machine_limits l = machine_limits_of(s, &f->a, rt);
  assert_true(l.measured && l.flops_all == m.flops);
  store_close(s);
  runtime_destroy(rt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_kernels_keep_the_laws, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_copy_is_one, setup, teardown),
      cmocka_unit_test_setup_teardown(test_the_others_write_nothing, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_was_kept_comes_back, setup, teardown),
      cmocka_unit_test_setup_teardown(test_absurd_limits_are_ignored, setup, teardown),
      cmocka_unit_test_setup_teardown(test_limits_are_usable, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_is_measured_is_believed, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
