/* What the compiler makes of a few small graphs, as text: the IR after each pass, the loop nests, the
 * linear IR and the C source, compared with the files in this folder. They are there to be read, and to
 * show in a review what a change does to generated code. WINNOW_GOLDEN=update writes them anew. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "winnow/winnow.h"

typedef struct golden {
  const char *name, *plan;
  wn_tensor *(*build)(wn_context *ctx, int64_t *count);
} golden;

/* Two channels in and out, three taps: the smallest convolution with everything in it. */
static wn_tensor *line(wn_context *ctx, int64_t *count) {
  static float x[2 * 12], w[2 * 2 * 3];
  *count = 2 * 12;
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1}, .pad_hi = {1});
  wn_tensor *image =
      wn_input(ctx, WN_F32, 3, (int64_t[]){1, 2, 12}, x); /* in this order: they are numbered */
  wn_tensor *filter = wn_constant(ctx, WN_F32, 3, (int64_t[]){2, 2, 3}, w);
  return wn_conv(image, filter, &same);
}

static wn_tensor *line_with_epilogue(wn_context *ctx, int64_t *count) {
  static float bias[2];
  wn_tensor *y = line(ctx, count), *b = wn_constant(ctx, WN_F32, 3, (int64_t[]){1, 2, 1}, bias);
  return wn_map(WN_RELU, wn_zip(WN_ADD, y, b));
}

static wn_tensor *matmul(wn_context *ctx, int64_t *count) {
  static float a[5 * 7], b[7 * 8];
  *count = 5 * 8;
  wn_tensor *left = wn_input(ctx, WN_F32, 2, (int64_t[]){5, 7}, a);
  return wn_matmul(left, wn_input(ctx, WN_F32, 2, (int64_t[]){7, 8}, b));
}

static wn_tensor *softmax(wn_context *ctx, int64_t *count) {
  static float x[3 * 10];
  *count = 3 * 10;
  wn_tensor *t = wn_input(ctx, WN_F32, 2, (int64_t[]){3, 10}, x);
  const int last = 1;
  wn_tensor *e = wn_map(WN_EXP, wn_zip(WN_SUB, t, wn_reduce(WN_MAXIMUM, t, &last, 1, 1)));
  return wn_zip(WN_DIV, e, wn_reduce(WN_SUM, e, &last, 1, 1));
}

static const golden cases[] = {
    {"line-direct", "direct", line},
    {"line-old", "old", line},
    {"line-one", "one", line},
    {"line-inline-m", "inline-m", line_with_epilogue},
    {"line-fused", "fused", line_with_epilogue},
    {"matmul", "direct", matmul},
    {"softmax", "direct", softmax},
};

/* --- making and comparing --------------------------------------------------------------------- */

static bool begins(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

/* What depends on the machine is left out: its name, times, and choices, whose sizes were picked by its limits. */
static void add_text(void *user, const char *text) {
  static const char *const others[] = {"on interp", "  time: ", "time of a run", "longest: "};
  bool summary = begins(text, "--- program");
  if (begins(text, "--- choices")) return;
  while (*text != '\0') {
    size_t n = strcspn(text, "\n");
    bool left_out = false;
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i) left_out |= begins(text, others[i]);
    if (summary && n == 0) return; /* the table of times */
    if (!left_out) str_addn(user, text, n + (text[n] == '\n'));
    text += n + (text[n] == '\n');
  }
}

static void describe(const golden *c, str *out) {
  static float y[64];
  wn_context *ctx;
  int64_t count;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *t = c->build(ctx, &count);
  assert_true(count <= 64);
  void *data = y;
  const wn_options o =
      WN_OPTIONS(.plan = c->plan, .backend = "interp", .isa = "generic", .threads = 1);
  if (wn_explain(ctx, &t, &data, 1, &o, add_text, out) != WN_OK)
    fail_msg("%s: %s", c->name, wn_message(ctx));
  wn_context_destroy(ctx);
}

static char *read_file(arena *a, const char *path) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) return NULL;
  str s;
  str_init(&s, a);
  char part[4096];
  for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) str_addn(&s, part, n);
  fclose(f);
  return (char *)(uintptr_t)str_text(&s);
}

static void write_file(const char *path, const char *text) {
  FILE *f = fopen(path, "wb");
  if (f == NULL) fail_msg("cannot write %s", path);
  bool written = fwrite(text, 1, strlen(text), f) == strlen(text);
  if (fclose(f) != 0 || !written) fail_msg("cannot write %s", path);
}

/* The first line that differs, for the message. */
static void fail_at_difference(const char *name, const char *is, const char *was) {
  int line = 1, at = 0;
  size_t i = 0;
  for (; is[i] != '\0' && is[i] == was[i]; ++i) {
    if (is[i] == '\n') ++line, at = (int)i + 1;
  }
  fail_msg("%s.txt line %d:\n is  %.*s\n was %.*s\nWINNOW_GOLDEN=update writes the files anew",
           name, line, (int)strcspn(is + at, "\n"), is + at, (int)strcspn(was + at, "\n"),
           was + at);
}

static void check(const golden *c) {
  diag d;
  arena a;
  volatile wn_status st;
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, st) {
    str is;
    str_init(&is, &a);
    describe(c, &is);
    const char *path = arena_printf(&a, "%s/tests/golden/%s.txt", WN_SOURCE_DIR, c->name);
    if (getenv("WINNOW_GOLDEN") != NULL) {
      write_file(path, str_text(&is));
    } else {
      const char *was = read_file(&a, path);
      if (was == NULL) fail_msg("no file %s", path);
      if (strcmp(str_text(&is), was) != 0) fail_at_difference(c->name, str_text(&is), was);
    }
  }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_OK);
  arena_release(&a);
}

static void test_case(void **state) { check(*state); }

int main(void) {
  enum { CASES = sizeof cases / sizeof *cases };
  struct CMUnitTest tests[CASES];
  for (int i = 0; i < CASES; ++i) {
    tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                   .test_func = test_case,
                                   .initial_state = (void *)(uintptr_t)&cases[i]};
  }
  return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
