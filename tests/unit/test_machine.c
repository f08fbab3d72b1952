/* Limits of the machine: what is guessed, what is kept, and what is not believed. What was kept is damaged through the
 * store itself; nothing here looks at how fast this machine is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "measure/measure.h"
#include "measure/measure_probe.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

typedef struct fixture {
  diag d;
  arena a;
  machine cpu;
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
  machine_of_cpu(&f->cpu, &f->d, NULL);
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

static cpu_rates sound(void) {
  return (cpu_rates){.threads = 2,
                     .flops = {50e9, 60e9, 120e9, 120e9},
                     .flops_all = {100e9, 120e9, 240e9, 240e9},
                     .size = {32768, 1 << 20, 32 << 20},
                     .read = {200e9, 100e9, 60e9, 20e9},
                     .read_all = {400e9, 200e9, 100e9, 30e9},
                     .write = 20e9,
                     .write_all = 25e9,
                     .wake = 5e-6};
}

static void assert_sound(const machine_limits *l) {
  for (int i = 0; i < LIMIT_WIDTHS; i++) assert_true(isfinite(l->flops[i]) && l->flops[i] > 0);
  for (int i = 0; i < LEVEL_COUNT; i++) {
    assert_true(isfinite(l->read[i]) && l->read[i] > 0);
    assert_true(isfinite(l->read_all[i]) && l->read_all[i] >= l->read[i]);
    assert_true(i == 0 || l->read[i] <= l->read[i - 1]);
  }
  for (int i = 0; i < LEVEL_MEMORY; i++) assert_true(l->size[i] > 0);
  assert_true(l->write > 0 && l->write_all >= l->write && l->wake >= 0 && l->flops_all > 0);
}

static void test_guesses_are_usable(void **state) {
  fixture *f = *state;
  machine best, plain;
  machine_of_cpu(&best, &f->d, NULL);
  machine_of_cpu(&plain, &f->d, "generic");
  for (int threads = 1; threads <= 64; threads *= 4) {
    machine_limits a = machine_limits_for(NULL, &best, threads);
    machine_limits b = machine_limits_for(NULL, &plain, threads);
    assert_false(a.measured || b.measured);
    assert_int_equal(a.threads, threads);
    assert_sound(&a);
    assert_sound(&b);
  }
}

static void test_limits_are_those_of_the_instructions(void **state) {
  fixture *f = *state;
  cpu_rates m = sound();
  machine cpu;
  machine_of_cpu(&cpu, &f->d, NULL);
  cpu.fma = true;
  cpu.vector_bytes = 64;
  machine_limits l = machine_limits_for(&m, &cpu, 2);
  assert_true(l.measured && l.flops[0] == 60e9 && l.flops[1] == 120e9 && l.flops[2] == 120e9);
  assert_true(l.flops_all == 240e9 && l.read_all[LEVEL_MEMORY] == 30e9);
  l = machine_limits_for(&m, &cpu, 1);
  assert_true(l.flops_all == 120e9 && l.read_all[LEVEL_L3] == 60e9 && l.write_all == 20e9);
  l = machine_limits_for(&m, &cpu, 64); /* more than there are */
  assert_true(l.flops_all == 240e9 && l.read_all[LEVEL_MEMORY] == 30e9);
  cpu.fma = false;
  cpu.vector_bytes = 16;
  l = machine_limits_for(&m, &cpu, 1);
  assert_true(l.flops[0] == 50e9 && l.flops_all == 50e9);
}

static void test_what_was_kept_comes_back(void **state) {
  fixture *f = *state;
  cpu_rates m = sound(), back;
  store *s = store_open(&f->d, false);
  assert_non_null(s);
  assert_false(machine_load(s, &f->a, &f->cpu, &back));
  assert_true(machine_store(s, &f->a, &f->cpu, &m));
  store_close(s);
  s = store_open(&f->d, false);
  assert_true(machine_load(s, &f->a, &f->cpu, &back));
  assert_memory_equal(&m, &back, sizeof m);
  store_close(s);
  assert_int_equal(f->warnings, 0);
}

static void test_without_a_store_nothing_is_kept(void **state) {
  fixture *f = *state;
  cpu_rates m = sound();
  assert_false(machine_store(NULL, &f->a, &f->cpu, &m));
  assert_false(machine_load(NULL, &f->a, &f->cpu, &m));
  assert_int_equal(f->warnings, 0);
}

static void test_absurd_limits_are_ignored(void **state) {
  fixture *f = *state;
  static const double absurd[] = {-1, 0, 1e300, 1e-3, NAN, INFINITY};
  static const size_t at[] = {offsetof(cpu_rates, flops),   offsetof(cpu_rates, size[1]),
                              offsetof(cpu_rates, read[2]), offsetof(cpu_rates, read_all[3]),
                              offsetof(cpu_rates, write),   offsetof(cpu_rates, write_all)};
  int expected = 0;
  store *s = store_open(&f->d, false);
  assert_non_null(s);
  for (size_t i = 0; i < LEN(absurd) * LEN(at); i++) {
    cpu_rates m = sound(), back;
    memcpy((char *)&m + at[i / LEN(absurd)], &absurd[i % LEN(absurd)], sizeof(double));
    assert_true(machine_store(s, &f->a, &f->cpu, &m));
    assert_false(machine_load(s, &f->a, &f->cpu, &back));
    assert_int_equal(f->warnings, ++expected);
    assert_non_null(strstr(f->warned, "devices --measure"));
  }
  store_close(s);
}

/* The value of another version's size under the same key. */
static void test_foreign_values_are_ignored(void **state) {
  fixture *f = *state;
  static const char other[4096];
  cpu_rates m = sound(), back;
  store *s = store_open(&f->d, false);
  assert_non_null(s);
  const char *key = machine_key(&f->a, &f->cpu);
  for (size_t size = 0; size < sizeof other; size += 500) {
    assert_true(store_put(s, STORE_MACHINE, key, strlen(key), other, size));
    assert_false(machine_load(s, &f->a, &f->cpu, &back));
  }
  assert_true(f->warnings > 0);
  assert_true(machine_store(s, &f->a, &f->cpu, &m));
  assert_true(machine_load(s, &f->a, &f->cpu, &back));
  store_close(s);
}

/* A compile goes on with guesses. */
static void test_a_compile_survives_absurd_limits(void **state) {
  fixture *f = *state;
  static float x[64 * 100], w[64 * 64 * 9], y[64 * 100];
  cpu_rates m = sound();
  m.read[0] = NAN;
  store *s = store_open(&f->d, false);
  assert_true(machine_store(s, &f->a, &f->cpu, &m));
  store_close(s);
  wn_context *ctx;
  wn_program *p;
  void *out = y;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, keep_warning, f);
  wn_tensor *image = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 64, 10, 10}, x);
  wn_tensor *filter = wn_constant(ctx, WN_F32, 4, (int64_t[]){64, 64, 3, 3}, w);
  wn_tensor *z = wn_conv(image, filter, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  assert_int_equal(wn_compile(ctx, &z, &out, 1, &WN_OPTIONS(.threads = 1), &p), WN_OK);
  assert_int_equal(f->warnings, 1);
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  char *text = arena_strdup(&f->a, info.placement);
  wn_program_destroy(p);
  wn_options off = WN_OPTIONS(.threads = 1, .no_cache = 1); /* no store: guesses without a word */
  assert_int_equal(wn_compile(ctx, &z, &out, 1, &off, &p), WN_OK);
  assert_int_equal(f->warnings, 1);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_string_equal(info.placement, text);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
}

static void test_probes_touch_what_they_are_given(void **state) {
  enum { BYTES = 4096, BEYOND = 64 };
  float *memory = mem_alloc_aligned(BYTES + BEYOND, 64);
  (void)state;
  assert_non_null(memory);
  for (size_t i = 0; i < (BYTES + BEYOND) / sizeof(float); i++) memory[i] = 7;
  probe_write(memory, BYTES);
  for (size_t i = 0; i < BYTES / sizeof(float); i++) assert_true(memory[i] != 7);
  for (size_t i = 0; i < BEYOND / sizeof(float); i++)
    assert_true(memory[BYTES / sizeof(float) + i] == 7);
  probe_read(memory, BYTES);
  for (int i = 0; i < MACHINE_RATES; i++) {
    if (!probe_has((machine_rate)i)) continue;
    probe_arithmetic((machine_rate)i, 3);
    assert_true(probe_flops((machine_rate)i, 4) == 2 * probe_flops((machine_rate)i, 2));
  }
  mem_free_aligned(memory);
}

static void test_what_is_measured_is_believed(void **state) {
  fixture *f = *state;
  cpu_rates m, back;
  machine_measure(&f->d, &f->cpu, &m);
  store *s = store_open(&f->d, false);
  assert_true(machine_store(s, &f->a, &f->cpu, &m));
  if (!machine_load(s, &f->a, &f->cpu, &back)) fail_msg("%s", f->warned);
  store_close(s);
  machine cpu;
  machine_of_cpu(&cpu, &f->d, NULL);
  machine_limits l = machine_limits_for(&back, &cpu, m.threads);
  assert_true(l.measured && l.flops[0] > 0);
  for (int i = 0; i < LEVEL_COUNT; i++) assert_true(l.read_all[i] >= l.read[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_guesses_are_usable, setup, teardown),
      cmocka_unit_test_setup_teardown(test_limits_are_those_of_the_instructions, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_was_kept_comes_back, setup, teardown),
      cmocka_unit_test_setup_teardown(test_without_a_store_nothing_is_kept, setup, teardown),
      cmocka_unit_test_setup_teardown(test_absurd_limits_are_ignored, setup, teardown),
      cmocka_unit_test_setup_teardown(test_foreign_values_are_ignored, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_compile_survives_absurd_limits, setup, teardown),
      cmocka_unit_test_setup_teardown(test_probes_touch_what_they_are_given, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_is_measured_is_believed, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
