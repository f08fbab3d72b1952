/* Public structs of other versions of the header: from the past, shorter, and from the future, longer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "winnow/winnow.h"

enum { MOST = 1024, EXTRA = 40, MARK = 0xa5 };

static float x[2 * 9 * 9], w[3 * 2 * 9], y[3 * 9 * 9];
static void *data[] = {y};

typedef struct fixture {
  wn_context *ctx;
  wn_tensor *in, *w, *out;
  wn_program *p;
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  const wn_options o = WN_OPTIONS(.backend = "interp", .threads = 1, .no_cache = 1);
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  f->in = wn_input(f->ctx, WN_F32, 4, (int64_t[]){1, 2, 9, 9}, x);
  f->w = wn_constant(f->ctx, WN_F32, 4, (int64_t[]){3, 2, 3, 3}, w);
  f->out = wn_conv(f->in, f->w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  assert_int_equal(wn_compile(f->ctx, &f->out, data, 1, &o, &f->p), WN_OK);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  wn_program_destroy(f->p);
  wn_context_destroy(f->ctx);
  free(f);
  return 0;
}

/* --- a struct of another version -------------------------------------------------------------- */

/* Exactly as large as it says, so that a sanitizer sees what goes past it. */
static void *of_size(const void *from, size_t known, size_t size) {
  unsigned char *made = calloc(1, size > sizeof(size_t) ? size : sizeof(size_t));
  memcpy(made, from, known < size ? known : size);
  memcpy(made, &size, sizeof size);
  return made;
}

/* Calls that take a struct; a line that says what is wrong is left where `says` looks for it. */
typedef wn_status (*call)(fixture *f, void *given);
static wn_context *fresh;
static const char *(*says)(const fixture *f);

static const char *of_context(const fixture *f) { return wn_message(f->ctx); }
static const char *of_program(const fixture *f) { return wn_program_message(f->p); }
static const char *of_fresh(const fixture *f) {
  (void)f;
  return wn_message(fresh);
}

static wn_status compile(fixture *f, void *o) {
  wn_program *p;
  says = of_context;
  wn_status st = wn_compile(f->ctx, &f->out, data, 1, o, &p);
  wn_program_destroy(p);
  return st;
}

static void ignore(void *user, const char *text) { (void)user, (void)text; }

static wn_status explain(fixture *f, void *o) {
  says = of_context;
  return wn_explain(f->ctx, &f->out, NULL, 1, o, ignore, NULL);
}

static wn_status tune_with(fixture *f, void *o) {
  wn_tune_result r = WN_TUNE_RESULT();
  says = of_context;
  return wn_tune(f->ctx, &f->out, data, 1, o, &WN_TUNE_OPTIONS(.seconds = 0.01), &r);
}

static int stop(void *user, const wn_tune_state *state) {
  (void)user;
  return state->size == sizeof *state ? 1 : 2;
}

static wn_status tune_how(fixture *f, void *how) {
  wn_tune_result r = WN_TUNE_RESULT();
  says = of_context;
  return wn_tune(f->ctx, &f->out, data, 1, &WN_OPTIONS(.backend = "interp", .no_cache = 1), how,
                 &r);
}

/* The first error of a context's tensors stays, so each has a context of its own. */
static wn_status conv(fixture *f, void *params) {
  (void)f;
  wn_context_destroy(fresh);
  assert_int_equal(wn_context_create(&fresh), WN_OK);
  wn_tensor *a = wn_input(fresh, WN_F32, 4, (int64_t[]){1, 2, 9, 9}, x);
  wn_tensor *b = wn_constant(fresh, WN_F32, 4, (int64_t[]){3, 2, 3, 3}, w);
  says = of_fresh;
  return wn_conv(a, b, params) != NULL ? WN_OK : WN_ERR_USAGE;
}

static wn_status tune_result(fixture *f, void *r) {
  says = of_context;
  return wn_tune(f->ctx, &f->out, data, 1, &WN_OPTIONS(.backend = "interp", .no_cache = 1),
                 &WN_TUNE_OPTIONS(.progress = stop), r);
}

static wn_status info(fixture *f, void *i) {
  says = of_program;
  return wn_program_get_info(f->p, i);
}

static wn_status kernel(fixture *f, void *k) {
  says = of_program;
  return wn_program_get_kernel(f->p, 0, k);
}

static wn_status site(fixture *f, void *s) {
  says = of_program;
  return wn_program_get_site(f->p, 0, s);
}

static const wn_conv_params params_now = {.size = sizeof params_now, .stride = {2, 2}};
static const wn_options options_now = {
    .size = sizeof options_now, .backend = "interp", .threads = 1, .no_cache = 1};
static const wn_tune_options how_now = {.size = sizeof how_now, .seconds = 0.01, .progress = stop};

static const struct input {
  const char *type, *macro;
  call call;
  const void *now;
  const sized *of;
} inputs[] = {
    {"wn_conv_params", "WN_CONV_PARAMS()", conv, &params_now, &sized_conv_params},
    {"wn_options", "WN_OPTIONS()", compile, &options_now, &sized_options},
    {"wn_options", "WN_OPTIONS()", explain, &options_now, &sized_options},
    {"wn_options", "WN_OPTIONS()", tune_with, &options_now, &sized_options},
    {"wn_tune_options", "WN_TUNE_OPTIONS()", tune_how, &how_now, &sized_tune_options},
};

static void expect_unset(fixture *f, const char *type, const char *macro, wn_status st) {
  assert_int_equal(st, WN_ERR_USAGE);
  assert_non_null(strstr(says(f), type));
  assert_non_null(strstr(says(f), macro));
  assert_null(strchr(says(f), '\n'));
}

static void test_inputs(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; ++i) {
    const struct input *in = &inputs[i];
    const size_t short_ones[] = {0, 1, sizeof(size_t), in->of->first - 1};
    for (size_t k = 0; k < sizeof short_ones / sizeof *short_ones; ++k) {
      void *given = of_size(in->now, in->of->now, short_ones[k]);
      expect_unset(f, in->type, in->macro, in->call(f, given));
      free(given);
    }
    const size_t good[] = {in->of->first, in->of->now, in->of->now + 1, in->of->now + EXTRA};
    for (size_t k = 0; k < sizeof good / sizeof *good; ++k) {
      unsigned char *given = of_size(in->now, in->of->now, good[k]);
      if (in->call(f, given) != WN_OK) fail_msg("%s, %zu bytes: %s", in->type, good[k], says(f));
      if (good[k] > in->of->now) {
        given[good[k] - 1] = 1;
        assert_int_equal(in->call(f, given), WN_ERR_USAGE);
        assert_non_null(strstr(says(f), in->type));
        assert_non_null(strstr(says(f), "older than the program"));
      }
      free(given);
    }
  }
  wn_context_destroy(fresh);
  fresh = NULL;
}

static const struct output {
  const char *type, *macro;
  call call;
  const sized *of;
} outputs[] = {
    {"wn_program_info", "WN_PROGRAM_INFO()", info, &sized_program_info},
    {"wn_kernel_info", "WN_KERNEL_INFO()", kernel, &sized_kernel_info},
    {"wn_site_info", "WN_SITE_INFO()", site, &sized_site_info},
    {"wn_tune_result", "WN_TUNE_RESULT()", tune_result, &sized_tune_result},
};

static bool all_marks(const unsigned char *from, const unsigned char *end) {
  for (; from < end; ++from)
    if (*from != MARK) return false;
  return true;
}

static void test_outputs(void **state) {
  fixture *f = *state;
  unsigned char block[MOST];
  for (size_t i = 0; i < sizeof outputs / sizeof *outputs; ++i) {
    const struct output *out = &outputs[i];
    const size_t short_ones[] = {0, 1, sizeof(size_t), out->of->first - 1};
    for (size_t k = 0; k < sizeof short_ones / sizeof *short_ones; ++k) {
      memset(block, MARK, sizeof block);
      memcpy(block, &short_ones[k], sizeof(size_t));
      expect_unset(f, out->type, out->macro, out->call(f, block));
      assert_memory_equal(block, &short_ones[k], sizeof(size_t));
      assert_true(all_marks(block + sizeof(size_t), block + MOST));
    }
    const size_t good[] = {out->of->first, out->of->now, out->of->now + EXTRA};
    for (size_t k = 0; k < sizeof good / sizeof *good; ++k) {
      size_t written = good[k] < out->of->now ? good[k] : out->of->now;
      memset(block, MARK, sizeof block);
      memcpy(block, &good[k], sizeof(size_t));
      if (out->call(f, block) != WN_OK) fail_msg("%s, %zu bytes: %s", out->type, good[k], says(f));
      assert_memory_equal(block, &good[k], sizeof(size_t));
      assert_false(all_marks(block + sizeof(size_t), block + 2 * sizeof(size_t)));
      assert_true(all_marks(block + written, block + MOST));
    }
    assert_int_equal(out->call(f, NULL), WN_ERR_USAGE);
    assert_non_null(strstr(says(f), "nowhere"));
  }
}

/* --- between two versions --------------------------------------------------------------------- */

/* No struct has had a second version yet: the first of this one ends after b. */
typedef struct second {
  size_t size;
  long a, b, c;
} second;
static const sized of_second = {offsetof(second, c), sizeof(second), "unset", "newer", "nowhere"};

static void test_versions(void **state) {
  (void)state;
  second to = {.a = 9, .b = 9, .c = 9},
         from = {.size = offsetof(second, c), .a = 1, .b = 2, .c = 3};
  assert_null(sized_in(&of_second, &to, &from));
  assert_true(to.size == sizeof to && to.a == 1 && to.b == 2 && to.c == 0);
  from.size = sizeof from;
  assert_null(sized_in(&of_second, &to, &from));
  assert_int_equal(to.c, 3);
  assert_null(sized_in(&of_second, &to, NULL));
  assert_true(to.size == sizeof to && to.a == 0 && to.b == 0 && to.c == 0);
  from.size = offsetof(second, c) - 1;
  assert_string_equal(sized_in(&of_second, &to, &from), "unset");

  from = (second){.size = sizeof from, .a = 1, .b = 2, .c = 3};
  to = (second){.size = offsetof(second, c), .c = 9};
  assert_null(sized_out(&of_second, &to, &from));
  assert_true(to.size == offsetof(second, c) && to.a == 1 && to.b == 2 && to.c == 9);
  assert_null(sized_out(&of_second, &to, NULL));
  assert_true(to.size == offsetof(second, c) && to.a == 0 && to.b == 0 && to.c == 9);
  to.size = 0;
  assert_string_equal(sized_out(&of_second, &to, &from), "unset");
  assert_string_equal(sized_out(&of_second, NULL, &from), "nowhere");
}

/* --- versions of the library ------------------------------------------------------------------ */

static void test_library(void **state) {
  (void)state;
  char line[256] = "?";
  assert_int_equal(wn_check_version(WN_VERSION, line, sizeof line), WN_OK);
  assert_string_equal(line, "");
  assert_string_equal(wn_version(), WN_VERSION_STRING);
  int another_patch = WN_VERSION - WN_VERSION_PATCH + 99;
  assert_int_equal(wn_check_version(another_patch, line, sizeof line), WN_OK);
  const int others[] = {WN_VERSION + 10000, WN_VERSION + 1234567, -1, 0};
  for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
    assert_int_equal(wn_check_version(others[i], line, sizeof line), WN_ERR_USAGE);
    assert_non_null(strstr(line, WN_VERSION_STRING));
    assert_null(strchr(line, '\n'));
  }
  int another_minor = WN_VERSION + 100;
  assert_int_equal(wn_check_version(another_minor, line, sizeof line),
                   WN_VERSION_MAJOR == 0 ? WN_ERR_USAGE : WN_OK);
  memset(line, '?', sizeof line);
  assert_int_equal(wn_check_version(0, line, 8), WN_ERR_USAGE);
  assert_true(strlen(line) == 7 && line[8] == '?');
  assert_int_equal(wn_check_version(0, NULL, 0), WN_ERR_USAGE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_inputs, setup, teardown),
      cmocka_unit_test_setup_teardown(test_outputs, setup, teardown),
      cmocka_unit_test(test_versions),
      cmocka_unit_test(test_library),
  };
  return cmocka_run_group_tests_name("sized", tests, NULL, NULL);
}
