/* The OpenCL backend against a library that fails on demand (fake/opencl.c): devices by name, binaries that are kept,
 * errors of the device's compiler, and every call failed in turn, once and from then on, as when a device vanishes.
 * Each time there is one clear line, and nothing stays behind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/opencl.h"
#include "backend/runtime.h"

#define DEVICE_NOT_AVAILABLE (-2)
#define OUT_OF_RESOURCES     (-5)

static fake_opencl *fake;

static int load_fake(void **state) {
  (void)state;
  setenv("WINNOW_OPENCL", WN_FAKE_OPENCL, 1);
  void *library = dlopen(WN_FAKE_OPENCL, RTLD_NOW);
  fake = library ? dlsym(library, FAKE_OPENCL_STATE) : NULL;
  return fake ? 0 : -1;
}

static int reset(void **state) {
  (void)state;
  *fake = (fake_opencl){.error = DEVICE_NOT_AVAILABLE};
  return 0;
}

static int nothing_left(void **state) {
  (void)state;
  return fake->live;
}

/* --- a program -------------------------------------------------------------------------------- */

static float x[4 * 12 * 12], w[4 * 4 * 9], y[4 * 12 * 12];

typedef struct use {
  wn_context *ctx;
  wn_program *program;
  char warning[1024];
  int warnings;
} use;

static void take_warning(void *user, const char *line) {
  use *u = user;
  u->warnings++;
  snprintf(u->warning, sizeof u->warning, "%s", line);
}

static wn_status compile_with(use *u, const wn_options *o) {
  *u = (use){0};
  assert_int_equal(wn_context_create(&u->ctx), WN_OK);
  wn_on_warning(u->ctx, take_warning, u);
  wn_tensor *image = wn_input(u->ctx, WN_F32, 4, (int64_t[]){1, 4, 12, 12}, x);
  wn_tensor *filter = wn_constant(u->ctx, WN_F32, 4, (int64_t[]){4, 4, 3, 3}, w);
  wn_tensor *out = wn_conv(image, filter, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  void *data = y;
  return wn_compile(u->ctx, &out, &data, 1, o, &u->program);
}

static wn_status compile(use *u, const char *backend) {
  return compile_with(u, &WN_OPTIONS(.plan = "old", .backend = backend, .no_cache = 1));
}

static void end(use *u) {
  wn_program_destroy(u->program);
  wn_context_destroy(u->ctx);
}

/* Everything that one does with a program. */
static wn_status do_all(wn_program *p) {
  double us[16];
  wn_status st = wn_prepare(p);
  if (st == WN_OK) st = wn_run(p);
  if (st == WN_OK) st = wn_upload(p);
  if (st == WN_OK) st = wn_launch(p);
  if (st == WN_OK) st = wn_wait(p);
  if (st == WN_OK) st = wn_download(p);
  if (st == WN_OK) st = wn_run_timed(p, us);
  if (st == WN_OK) st = wn_run(p);
  return st;
}

static void one_line(const char *text) {
  assert_true(*text);
  assert_null(strchr(text, '\n'));
}

/* A second program on the same device: with the weights of the first one, then with its own. */
static wn_status share_all(wn_program *p) {
  static float z[4 * 12 * 12];
  wn_program *other;
  wn_status st = wn_program_share(p, &other);
  if (st != WN_OK) {
    assert_null(other);
    one_line(wn_program_message(p));
    return st;
  }
  st = wn_bind(other, 2, z);
  if (st == WN_OK) st = wn_run(other);
  if (st == WN_OK) st = wn_bind(other, 1, w);
  if (st == WN_OK) st = wn_run(other);
  if (st != WN_OK) one_line(wn_program_message(other));
  wn_program_destroy(other);
  return st;
}

/* --- choosing a device ------------------------------------------------------------------------ */

static void opens(const char *backend, const char *device, const char *isa) {
  use u;
  wn_program_info info = WN_PROGRAM_INFO();
  if (compile(&u, backend) != WN_OK) fail_msg("%s: %s", backend, wn_message(u.ctx));
  wn_program_get_info(u.program, &info);
  assert_string_equal(info.backend, "opencl");
  assert_string_equal(info.device, device);
  assert_string_equal(info.isa, isa);
  assert_int_equal(info.threads, 4);
  assert_null(info.fallback);
  end(&u);
}

static void refuses(const char *backend, wn_status status, const char *text) {
  use u;
  assert_int_equal(compile(&u, backend), status);
  if (!strstr(wn_message(u.ctx), text)) fail_msg("%s: %s", backend, wn_message(u.ctx));
  one_line(wn_message(u.ctx));
  end(&u);
}

static void devices_by_name(void **state) {
  (void)state;
  opens("opencl", "Alpha 100", "simt");
  opens("opencl:0", "Alpha 100", "simt");
  opens("opencl:1", "Beta pthread", "simd");
  opens("opencl:cpus", "Beta pthread", "simd");
  opens("opencl:nvidia:alpha 1", "Alpha 100", "simt");
  opens("opencl::beta", "Beta pthread", "simd");
  refuses("opencl:2", WN_ERR_USAGE,
          "0:0 Alpha 100 (Fake NVIDIA), 0:1 Alpha 200 (Fake NVIDIA), 1:0");
  refuses("opencl:0:7", WN_ERR_USAGE, "'0:7'");
  refuses("opencl:gamma", WN_ERR_USAGE, "numbers or parts of names");
  refuses("opencl:0:1", WN_ERR_DEVICE, "Alpha 200 is not available");
  refuses("openc", WN_ERR_USAGE, "'openc' does not exist");
  refuses("opencl2", WN_ERR_USAGE, "does not exist");
}

static void instruction_sets(void **state) {
  (void)state;
  use u;
  wn_program_info info = WN_PROGRAM_INFO();
  wn_options o = WN_OPTIONS(.plan = "direct", .backend = "opencl", .isa = "simd", .no_cache = 1);
  assert_int_equal(compile_with(&u, &o), WN_OK);
  wn_program_get_info(u.program, &info);
  assert_string_equal(info.isa, "simd");
  end(&u);
  o.isa = "avx2";
  assert_int_equal(compile_with(&u, &o), WN_ERR_USAGE);
  assert_non_null(strstr(wn_message(u.ctx), "simt"));
  end(&u);
}

static void lists_devices(void **state) {
  (void)state;
  diag d;
  diag_init(&d);
  arena a;
  arena_init(&a, &d);
  const device_info *list;
  const char *why = NULL;
  assert_int_equal(runtime_devices(&d, &a, "opencl", &list, &why), 3);
  assert_string_equal(list[0].spec, "0:0");
  assert_string_equal(list[2].spec, "1:0");
  assert_string_equal(list[2].platform, "Fake CPUs"); /* blanks of drivers are tidied */
  assert_string_equal(list[1].kind, "gpu");
  setenv("WINNOW_OPENCL", "/there/is/none.so", 1);
  assert_int_equal(runtime_devices(&d, &a, "opencl", &list, &why), 0);
  assert_non_null(strstr(why, "/there/is/none.so"));
  refuses("opencl", WN_ERR_DEVICE, "/there/is/none.so");
  setenv("WINNOW_OPENCL", WN_FAKE_OPENCL, 1);
  fake->calls = 0;
  fake->fail_at = 1; /* the ICD loader, where no driver is installed */
  fake->error = -1001;
  assert_int_equal(runtime_devices(&d, &a, "opencl", &list, &why), 0);
  assert_non_null(strstr(why, "no platform"));
  arena_release(&a);
}

/* --- the device's compiler -------------------------------------------------------------------- */

static void registers_of_the_log(void **state) {
  (void)state;
  use u;
  wn_kernel_info k = WN_KERNEL_INFO();
  wn_options o = WN_OPTIONS(.plan = "direct", .backend = "opencl", .no_cache = 1);
  assert_int_equal(compile_with(&u, &o), WN_OK);
  assert_int_equal(wn_program_get_kernel(u.program, 0, &k), WN_OK);
  assert_int_equal(k.registers, 40);
  assert_int_equal(k.spills, 3); /* 12 bytes */
  assert_non_null(k.note);
  assert_non_null(strstr(k.source, "__global"));
  end(&u);
}

/* One kernel does not build: it alone is interpreted, and the message has the line that the compiler speaks of. */
static void build_errors(void **state) {
  (void)state;
  use u;
  wn_kernel_info k = WN_KERNEL_INFO();
  char name[64];
  assert_int_equal(compile(&u, "opencl"), WN_OK);
  assert_int_equal(wn_program_get_kernel(u.program, 1, &k), WN_OK);
  snprintf(name, sizeof name, "%s(", k.name);
  end(&u);
  fake->refuse = name;
  assert_int_equal(compile(&u, "opencl"), WN_OK);
  assert_int_equal(u.warnings, 1);
  for (int i = 0; i < 4; ++i) {
    assert_int_equal(wn_program_get_kernel(u.program, i, &k), WN_OK);
    if ((k.fallback != NULL) != (i == 1)) fail_msg("%d: %s", i, k.fallback);
    if (i != 1) continue;
    one_line(k.fallback);
    char *quoted = strchr(k.fallback, '"');
    if (!strstr(k.fallback, "error: ") && !strstr(k.fallback, "what is '"))
      fail_msg("%s", k.fallback);
    if (!quoted || !strstr(quoted, name)) fail_msg("%s", k.fallback);
  }
  assert_int_equal(do_all(u.program), WN_OK); /* with one kernel on the host */
  end(&u);
  wn_options o = WN_OPTIONS(.plan = "old", .backend = "opencl", .no_cache = 1, .strict = 1);
  assert_int_equal(compile_with(&u, &o), WN_ERR_STRICT);
  one_line(wn_message(u.ctx));
  end(&u);
}

static void keeps_binaries(void **state) {
  (void)state;
  char folder[] = "/tmp/winnow-test-XXXXXX", file[64];
  assert_non_null(mkdtemp(folder));
  const char *before = getenv("WINNOW_CACHE");
  char *was = before ? strdup(before) : NULL;
  setenv("WINNOW_CACHE", folder, 1);
  for (int round = 0; round < 2; ++round) {
    use u;
    wn_program_info info = WN_PROGRAM_INFO();
    wn_kernel_info k = WN_KERNEL_INFO();
    wn_options o = WN_OPTIONS(.plan = "direct", .backend = "opencl");
    assert_int_equal(compile_with(&u, &o), WN_OK);
    wn_program_get_info(u.program, &info);
    assert_int_equal(info.cached, round);
    assert_int_equal(wn_program_get_kernel(u.program, 0, &k), WN_OK);
    assert_int_equal(k.registers, 40); /* kept with it */
    end(&u);
  }
  assert_int_equal(fake->builds, 1);
  assert_int_equal(fake->binaries, 1);
  if (was)
    setenv("WINNOW_CACHE", was, 1);
  else
    unsetenv("WINNOW_CACHE");
  free(was);
  snprintf(file, sizeof file, "%s/cache-1.db", folder);
  unlink(file);
  rmdir(folder);
}

/* --- failures --------------------------------------------------------------------------------- */

/* A program from its compile to its end with one call that fails, or that one and all after it. False: it needs fewer
 * calls. */
static bool survives(long n, bool for_ever, int error) {
  use u;
  *fake = (fake_opencl){.fail_at = n, .fail_ever_after = for_ever, .error = error};
  wn_status st = compile(&u, "opencl");
  if (st != WN_OK) {
    assert_true(st == WN_ERR_DEVICE || st == WN_ERR_NOMEM || st == WN_ERR_USAGE);
    one_line(wn_message(u.ctx));
    assert_null(u.program);
  } else {
    st = do_all(u.program);
    if (st != WN_OK) {
      assert_int_equal(st, WN_ERR_DEVICE);
      one_line(wn_program_message(u.program));
      assert_non_null(strstr(wn_program_message(u.program), "Alpha 100"));
      assert_non_null(strstr(wn_program_message(u.program), "CL_"));
    }
    if (st != WN_OK && !for_ever) { /* it was once: the program goes on */
      if (do_all(u.program) != WN_OK) fail_msg("call %ld: %s", n, wn_program_message(u.program));
    }
    st = share_all(u.program);
    if (st != WN_OK) assert_true(st == WN_ERR_DEVICE || st == WN_ERR_NOMEM);
    if (st != WN_OK && !for_ever) {
      if (share_all(u.program) != WN_OK || do_all(u.program) != WN_OK)
        fail_msg("call %ld, shared: %s", n, wn_program_message(u.program));
    }
  }
  bool reached = fake->calls >= n;
  end(&u);
  if (fake->live)
    fail_msg("call %ld%s: %d objects left", n, for_ever ? " and all later" : "", fake->live);
  return reached;
}

static void every_call_fails_once(void **state) {
  (void)state;
  long n = 1;
  while (survives(n, false, OUT_OF_RESOURCES)) ++n;
  assert_true(n > 100);
}

static void the_device_vanishes(void **state) {
  (void)state;
  long n = 1;
  while (survives(n, true, DEVICE_NOT_AVAILABLE)) ++n;
  assert_true(n > 100);
}

/* A run that nothing changes makes launches and nothing else: arguments are set once. */
static void steady_runs(void **state) {
  (void)state;
  use u;
  assert_int_equal(compile(&u, "opencl"), WN_OK);
  assert_int_equal(do_all(u.program), WN_OK);
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(u.program, &info);
  fake->calls = 0;
  fake->launches = 0;
  assert_int_equal(wn_launch(u.program), WN_OK);
  assert_int_equal(fake->launches, info.kernels);
  assert_int_equal(fake->calls, info.kernels);
  end(&u);
}

/* Programs of one device share its context. */
static void one_context(void **state) {
  (void)state;
  use first, second;
  assert_int_equal(compile(&first, "opencl"), WN_OK);
  int alone = fake->live;
  assert_int_equal(compile(&second, "opencl"), WN_OK);
  assert_int_equal(fake->live, 2 * alone - 1);
  end(&first);
  assert_int_equal(do_all(second.program), WN_OK);
  end(&second);
}

/* --- forks ------------------------------------------------------------------------------------ */

/* In a child process nothing of the parent's device is touched, and there is no other. */
static int use_in_child(use *u) {
  long calls = fake->calls;
  int live = fake->live;
  use fresh;
  if (do_all(u->program) != WN_ERR_DEVICE || !strstr(wn_program_message(u->program), "fork()"))
    return 1;
  if (compile(&fresh, "opencl") != WN_ERR_DEVICE || !strstr(wn_message(fresh.ctx), "fork()"))
    return 2;
  end(&fresh);
  if (compile(&fresh, "interp") != WN_OK || wn_run(fresh.program) != WN_OK) return 3;
  end(&fresh);
  end(u);
  return fake->calls == calls && fake->live == live ? 0 : 4;
}

static void after_a_fork(void **state) {
  (void)state;
  use u;
  assert_int_equal(compile(&u, "opencl"), WN_OK);
  assert_int_equal(wn_run(u.program), WN_OK);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(60);
    _exit(use_in_child(&u));
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(wn_run(u.program), WN_OK);
  end(&u);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, reset, nothing_left)
  const struct CMUnitTest tests[] = {
      CASE(devices_by_name),       CASE(instruction_sets),    CASE(lists_devices),
      CASE(registers_of_the_log),  CASE(build_errors),        CASE(keeps_binaries),
      CASE(every_call_fails_once), CASE(the_device_vanishes), CASE(steady_runs),
      CASE(one_context),           CASE(after_a_fork),
  };
  return cmocka_run_group_tests_name("OpenCL calls", tests, load_fake, NULL);
}
