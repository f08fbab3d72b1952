/* Arguments that cannot be right, of every function and of every option: a status or NULL and one line, never a crash.
 * The tables here are checked against the header, so that a new function or option has to have its rows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/write_onnx.h"

static float x[2 * 9 * 9], w[3 * 2 * 9], y[3 * 9 * 9];

typedef struct fixture {
  wn_context *ctx;
  wn_tensor *in, *out;
  wn_program *program, *planned; /* planned: plan_only */
  diag d;
  arena a;
  str bytes; /* of a model */
  wn_model *model;
} fixture;

static void *data[] = {y};

static void ignore(void *user, const char *line) { (void)user, (void)line; }

static wn_program *compile(fixture *f, bool plan_only) {
  const wn_options o =
      WN_OPTIONS(.backend = "interp", .threads = 1, .no_cache = 1, .plan_only = plan_only);
  wn_program *p;
  if (wn_compile(f->ctx, &f->out, data, 1, &o, &p) != WN_OK) fail_msg("%s", wn_message(f->ctx));
  return p;
}

/* y = -x, of 3 numbers. */
static str model_of_nothing_much(arena *a) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 1, (int64_t[]){3});
  graph_node(&g, "Neg", "x", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, 1, (int64_t[]){3});
  return model_bytes(&g, 17);
}

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  f->in = wn_input(f->ctx, WN_F32, 4, (int64_t[]){1, 2, 9, 9}, x);
  f->out = wn_conv(f->in, wn_constant(f->ctx, WN_F32, 4, (int64_t[]){3, 2, 3, 3}, w),
                   &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  f->program = compile(f, false);
  f->planned = compile(f, true);
  f->bytes = model_of_nothing_much(&f->a);
  assert_int_equal(wn_model_load_bytes(f->ctx, f->bytes.data, f->bytes.len, NULL, &f->model),
                   WN_OK);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  wn_program_destroy(f->program);
  wn_program_destroy(f->planned);
  wn_model_destroy(f->model);
  wn_context_destroy(f->ctx);
  arena_release(&f->a);
  free(f);
  return 0;
}

/* --- functions -------------------------------------------------------------------------------- */

/* A call gives true where it did what it should. */
#define STATUS(call)   ((call) == WN_ERR_USAGE)
#define SAYS(call)     (STATUS(call) && *wn_message(f->ctx))
#define OF_PROGRAM(fn) STATUS(fn(NULL)) && STATUS(fn(f->planned)) && *wn_program_message(f->planned)
#define NONE(call)     ((call) == NULL)

/* A tensor call in a context of its own, whose first error stays; t is a tensor of c. */
static wn_context *c;
static wn_tensor *t;

static void begin(void) {
  assert_int_equal(wn_context_create(&c), WN_OK);
  t = wn_input(c, WN_F32, 4, (int64_t[]){1, 2, 9, 9}, x);
}

static bool refused(const wn_tensor *made) {
  bool right = made == NULL && *wn_message(c);
  wn_context_destroy(c);
  return right;
}
#define REFUSED(call) (begin(), refused(call))

static bool compile_nothing(fixture *f) {
  wn_tensor *no = NULL, *outs[] = {f->out};
  wn_program *p[4];
  for (int i = 0; i < 4; ++i) p[i] = (wn_program *)(uintptr_t)8;
  bool right = STATUS(wn_compile(NULL, outs, data, 1, NULL, &p[0])) &&
               SAYS(wn_compile(f->ctx, NULL, data, 1, NULL, &p[1])) &&
               SAYS(wn_compile(f->ctx, &no, data, 1, NULL, &p[2])) &&
               SAYS(wn_compile(f->ctx, outs, data, 0, NULL, &p[3])) &&
               SAYS(wn_compile(f->ctx, outs, data, -1, NULL, &p[3])) &&
               SAYS(wn_compile(f->ctx, outs, data, 1, NULL, NULL));
  for (int i = 0; i < 4; ++i) right = right && p[i] == NULL;
  return right;
}

static bool explain_nothing(fixture *f) {
  wn_tensor *no = NULL;
  return STATUS(wn_explain(NULL, &f->out, NULL, 1, NULL, ignore, NULL)) &&
         SAYS(wn_explain(f->ctx, NULL, NULL, 1, NULL, ignore, NULL)) &&
         SAYS(wn_explain(f->ctx, &no, NULL, 1, NULL, ignore, NULL)) &&
         SAYS(wn_explain(f->ctx, &f->out, NULL, 0, NULL, ignore, NULL)) &&
         SAYS(wn_explain(f->ctx, &f->out, NULL, 1, NULL, NULL, NULL));
}

static bool tune_nothing(fixture *f) {
  wn_tune_result r[] = {WN_TUNE_RESULT(.measured = 7), WN_TUNE_RESULT(.measured = 7)};
  const wn_tune_options wrong[] = {WN_TUNE_OPTIONS(.seconds = -1),
                                   WN_TUNE_OPTIONS(.seconds = (double)NAN),
                                   WN_TUNE_OPTIONS(.candidates = -1)};
  bool right = STATUS(wn_tune(NULL, &f->out, data, 1, NULL, NULL, &r[0])) && r[0].measured == 0 &&
               SAYS(wn_tune(f->ctx, &f->out, data, 1, NULL, NULL, NULL)) &&
               SAYS(wn_tune(f->ctx, NULL, data, 1, NULL, NULL, &r[1])) && r[1].measured == 0 &&
               SAYS(wn_tune(f->ctx, &f->out, NULL, 1, NULL, NULL, &r[1]));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i)
    right = right && SAYS(wn_tune(f->ctx, &f->out, data, 1, NULL, &wrong[i], &r[1]));
  return right;
}

static bool ask_nothing(fixture *f) {
  wn_program_info info = WN_PROGRAM_INFO(.threads = 7);
  return STATUS(wn_program_get_info(NULL, &info)) && info.threads == 0 &&
         STATUS(wn_program_get_info(f->program, NULL));
}

static bool ask_no_kernel(fixture *f) {
  static const int wrong[] = {-1, 1000, INT_MIN, INT_MAX};
  wn_kernel_info info = WN_KERNEL_INFO(.source_lines = 7);
  bool right = STATUS(wn_program_get_kernel(NULL, 0, &info)) && info.source_lines == 0 &&
               STATUS(wn_program_get_kernel(f->program, 0, NULL));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    info.source_lines = 7;
    right = right && STATUS(wn_program_get_kernel(f->program, wrong[i], &info)) &&
            info.source_lines == 0 && *wn_program_message(f->program);
  }
  return right;
}

static bool ask_no_site(fixture *f) {
  static const int wrong[] = {-1, 1, INT_MIN, INT_MAX};
  wn_site_info info = WN_SITE_INFO(.ndim = 7);
  bool right = STATUS(wn_program_get_site(NULL, 0, &info)) && info.ndim == 0 &&
               STATUS(wn_program_get_site(f->program, 0, NULL));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    info.ndim = 7;
    right = right && STATUS(wn_program_get_site(f->program, wrong[i], &info)) && info.ndim == 0 &&
            *wn_program_message(f->program);
  }
  return right;
}

static bool ask_no_slot(fixture *f) {
  static const int wrong[] = {-1, 3, INT_MIN, INT_MAX};
  wn_slot_info info = WN_SLOT_INFO(.ndim = 7), unsized = {.ndim = 7};
  bool right = STATUS(wn_program_get_slot(NULL, 0, &info)) &&
               STATUS(wn_program_get_slot(f->program, 0, NULL)) &&
               STATUS(wn_program_get_slot(f->program, 0, &unsized)) && unsized.ndim == 7;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    info.ndim = 7;
    right = right && STATUS(wn_program_get_slot(f->program, wrong[i], &info)) && info.ndim == 0 &&
            *wn_program_message(f->program);
  }
  return right;
}

static bool find_nothing(fixture *f) {
  int slot = 7;
  return STATUS(wn_program_find(NULL, "input0", &slot)) && slot == -1 &&
         STATUS(wn_program_find(f->program, NULL, &slot)) &&
         STATUS(wn_program_find(f->program, "input0", NULL)) &&
         STATUS(wn_program_find(f->program, "image", &slot)) && *wn_program_message(f->program);
}

static bool share_nothing(fixture *f) {
  wn_program *p[2] = {f->program, f->program};
  return STATUS(wn_program_share(NULL, &p[0])) && p[0] == NULL &&
         STATUS(wn_program_share(f->program, NULL)) &&
         STATUS(wn_program_share(f->planned, &p[1])) && p[1] == NULL;
}

static bool time_nothing(fixture *f) {
  double us[4];
  return STATUS(wn_run_timed(NULL, us)) && STATUS(wn_run_timed(f->planned, us)) &&
         STATUS(wn_run_timed(f->program, NULL)) && *wn_program_message(f->program);
}

static bool convolve_nothing(fixture *f) {
  const wn_conv_params wrong[] = {
      WN_CONV_PARAMS(.stride = {-1}), WN_CONV_PARAMS(.dilation = {0, -1}),
      WN_CONV_PARAMS(.pad_lo = {-1}), WN_CONV_PARAMS(.pad_hi = {INT64_MAX}),
      WN_CONV_PARAMS(.groups = -1),   WN_CONV_PARAMS(.groups = 3)};
  bool right = NONE(wn_conv(NULL, f->in, NULL)) && NONE(wn_conv(f->in, NULL, NULL)) &&
               REFUSED(wn_conv(t, f->in, NULL));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i)
    right = right && REFUSED(wn_conv(t, t, &wrong[i]));
  return right;
}

/* Of a model: a status, and a line. */
#define COMPLAINS(call) (STATUS(call) && *wn_model_message(f->model))

static bool load_nothing(fixture *f) {
  wn_model *m[5];
  for (int i = 0; i < 5; ++i) m[i] = f->model;
  const wn_model_options wrong[] = {WN_MODEL_OPTIONS(.programs = -1), {.programs = 1}};
  const char *path = "no/such/model.onnx";
  bool right = STATUS(wn_model_load(NULL, path, NULL, &m[0])) &&
               SAYS(wn_model_load(f->ctx, NULL, NULL, &m[1])) &&
               wn_model_load(f->ctx, path, NULL, &m[2]) == WN_ERR_IO && *wn_message(f->ctx) &&
               SAYS(wn_model_load(f->ctx, path, NULL, NULL)) &&
               SAYS(wn_model_load(f->ctx, path, &wrong[0], &m[3])) &&
               SAYS(wn_model_load(f->ctx, path, &wrong[1], &m[4]));
  for (int i = 0; i < 5; ++i) right = right && m[i] == NULL;
  return right;
}

static bool load_no_bytes(fixture *f) {
  wn_model *m[6];
  for (int i = 0; i < 6; ++i) m[i] = f->model;
  const wn_model_options wrong[] = {WN_MODEL_OPTIONS(.programs = -1), {.programs = 1}};
  const void *bytes = f->bytes.data;
  const size_t n = f->bytes.len;
  bool right = STATUS(wn_model_load_bytes(NULL, bytes, n, NULL, &m[0])) &&
               SAYS(wn_model_load_bytes(f->ctx, NULL, n, NULL, &m[1])) &&
               SAYS(wn_model_load_bytes(f->ctx, bytes, 0, NULL, &m[2])) &&
               SAYS(wn_model_load_bytes(f->ctx, bytes, n - 1, NULL, &m[3])) &&
               SAYS(wn_model_load_bytes(f->ctx, bytes, n, NULL, NULL)) &&
               SAYS(wn_model_load_bytes(f->ctx, bytes, n, &wrong[0], &m[4])) &&
               SAYS(wn_model_load_bytes(f->ctx, bytes, n, &wrong[1], &m[5]));
  for (int i = 0; i < 6; ++i) right = right && m[i] == NULL;
  return right;
}

static bool ask_no_model(fixture *f) {
  wn_model_info info = WN_MODEL_INFO(.nodes = 7);
  return STATUS(wn_model_get_info(NULL, &info)) && info.nodes == 0 &&
         COMPLAINS(wn_model_get_info(f->model, NULL));
}

typedef wn_status (*get_value)(wn_model *model, int index, wn_value *value);

static bool ask_no_value(fixture *f, get_value get) {
  static const int wrong[] = {-1, 1, INT_MIN, INT_MAX};
  wn_value v = WN_VALUE(), unsized = {.ndim = 7};
  bool right = STATUS(get(NULL, 0, &v)) && COMPLAINS(get(f->model, 0, NULL)) &&
               COMPLAINS(get(f->model, 0, &unsized)) && unsized.ndim == 7;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    v.ndim = 7;
    right = right && COMPLAINS(get(f->model, wrong[i], &v)) && v.ndim == 0;
  }
  return right;
}

static bool ask_no_input(fixture *f) { return ask_no_value(f, wn_model_get_input); }
static bool ask_no_output(fixture *f) { return ask_no_value(f, wn_model_get_output); }

static bool build_nothing(fixture *f) {
  const wn_value two = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {2});
  wn_tensor *out;
  return STATUS(wn_model_build(f->model, NULL, NULL, 0, &out)) &&
         SAYS(wn_model_build(NULL, f->ctx, NULL, 0, &out)) &&
         SAYS(wn_model_build(f->model, f->ctx, NULL, 0, NULL)) &&
         SAYS(wn_model_build(f->model, f->ctx, NULL, 1, &out)) &&
         SAYS(wn_model_build(f->model, f->ctx, NULL, -1, &out)) &&
         SAYS(wn_model_build(f->model, f->ctx, &two, 1, &out));
}

static bool make_no_program(fixture *f) {
  const wn_value two = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {2});
  wn_program *p[4] = {f->program, f->program, f->program, f->program};
  bool right = STATUS(wn_model_program(NULL, NULL, 0, &p[0])) &&
               COMPLAINS(wn_model_program(f->model, NULL, 0, NULL)) &&
               COMPLAINS(wn_model_program(f->model, NULL, 1, &p[1])) &&
               COMPLAINS(wn_model_program(f->model, NULL, -1, &p[2])) &&
               COMPLAINS(wn_model_program(f->model, &two, 1, &p[3]));
  for (int i = 0; i < 4; ++i) right = right && p[i] == NULL;
  return right;
}

static bool bind_no_arena(fixture *f) {
  static _Alignas(WN_ARENA_ALIGNMENT) char one[2 * WN_ARENA_ALIGNMENT];
  return STATUS(wn_bind_arena(NULL, one, sizeof one)) &&
         wn_bind_arena(f->program, one + 1, sizeof one - 1) == WN_ERR_USAGE &&
         *wn_program_message(f->program) != '\0' && wn_bind_arena(f->program, NULL, 0) == WN_OK &&
         wn_run(f->program) == WN_OK;
}

static bool release_no_weights(fixture *f) {
  return STATUS(wn_model_release_weights(NULL, f->program)) &&
         COMPLAINS(wn_model_release_weights(f->model, NULL));
}

/* What is not lent is not given back. */
static bool release_nothing(fixture *f) {
  wn_model_release(NULL, NULL);
  wn_model_release(NULL, f->program);
  wn_model_release(f->model, NULL);
  wn_model_release(f->model, f->program);
  return wn_run(f->program) == WN_OK;
}

static bool ask_no_outputs(fixture *f) {
  wn_value v = WN_VALUE(), unsized = {.ndim = 7};
  return STATUS(wn_model_outputs(NULL, NULL, 0, &v)) &&
         COMPLAINS(wn_model_outputs(f->model, NULL, 0, NULL)) &&
         COMPLAINS(wn_model_outputs(f->model, NULL, 1, &v)) &&
         COMPLAINS(wn_model_outputs(f->model, NULL, -1, &v)) &&
         COMPLAINS(wn_model_outputs(f->model, NULL, 0, &unsized)) && unsized.ndim == 7;
}

static bool run_no_model(fixture *f) {
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {3}, .data = x), without = in,
           out = WN_VALUE(.data = y);
  without.data = NULL;
  return STATUS(wn_model_run(NULL, &in, 1, &out, 1)) &&
         COMPLAINS(wn_model_run(f->model, NULL, 1, &out, 1)) &&
         COMPLAINS(wn_model_run(f->model, &in, -1, &out, 1)) &&
         COMPLAINS(wn_model_run(f->model, &in, 1, NULL, 1)) &&
         COMPLAINS(wn_model_run(f->model, &in, 1, &out, -1)) &&
         COMPLAINS(wn_model_run(f->model, &in, 0, &out, 1)) &&
         COMPLAINS(wn_model_run(f->model, &without, 1, &out, 1));
}

#define FUNCTION(name, ...)             \
  static bool call_##name(fixture *f) { \
    (void)f;                            \
    return __VA_ARGS__;                 \
  }
FUNCTION(wn_context_create, STATUS(wn_context_create(NULL)))
FUNCTION(wn_context_destroy, (wn_context_destroy(NULL), true))
FUNCTION(wn_message, *wn_message(NULL) != 0)
FUNCTION(wn_on_warning,
         (wn_on_warning(NULL, ignore, NULL), wn_on_warning(f->ctx, NULL, NULL), true))
FUNCTION(wn_version, *wn_version() != 0)
FUNCTION(wn_check_version, STATUS(wn_check_version(-1, NULL, 0)))
FUNCTION(wn_dtype_size, wn_dtype_size(WN_DTYPE_COUNT) == 0 && wn_dtype_size((wn_dtype)-1) == 0)
FUNCTION(wn_dtype_name, *wn_dtype_name(WN_DTYPE_COUNT) && *wn_dtype_name((wn_dtype)-1))
FUNCTION(wn_input,
         NONE(wn_input(NULL, WN_F32, 0, NULL, x)) && REFUSED(wn_input(c, WN_F32, 1, NULL, x)) &&
             REFUSED(wn_input(c, WN_DTYPE_COUNT, 0, NULL, x)) &&
             REFUSED(wn_input(c, WN_F32, -1, NULL, x)) &&
             REFUSED(wn_input(c, WN_F32, WN_MAX_DIMS + 1, (int64_t[WN_MAX_DIMS + 1]){1}, x)) &&
             REFUSED(wn_input(c, WN_F32, 1, (int64_t[]){-1}, x)))
FUNCTION(wn_constant, NONE(wn_constant(NULL, WN_F32, 0, NULL, x)) &&
                          REFUSED(wn_constant(c, WN_F32, 1, NULL, x)) &&
                          REFUSED(wn_constant(c, (wn_dtype)-1, 0, NULL, x)) &&
                          REFUSED(wn_constant(c, WN_F32, 1, (int64_t[]){-1}, x)))
FUNCTION(wn_fixed_input, NONE(wn_fixed_input(NULL, WN_F32, 0, NULL, x)) &&
                             REFUSED(wn_fixed_input(c, WN_F32, 1, NULL, x)) &&
                             REFUSED(wn_fixed_input(c, WN_DTYPE_COUNT, 0, NULL, x)))
FUNCTION(wn_scalar, NONE(wn_scalar(NULL, WN_F32, 0)) && REFUSED(wn_scalar(c, WN_DTYPE_COUNT, 0)) &&
                        REFUSED(wn_scalar(c, WN_I32, 0.5)) && REFUSED(wn_scalar(c, WN_BOOL, 2)))
FUNCTION(wn_ndim, wn_ndim(NULL) == 0)
FUNCTION(wn_shape, wn_shape(NULL) == NULL)
FUNCTION(wn_tensor_dtype, wn_tensor_dtype(NULL) == WN_DTYPE_COUNT)
FUNCTION(wn_reshape, NONE(wn_reshape(NULL, 0, NULL)) && REFUSED(wn_reshape(t, 1, NULL)) &&
                         REFUSED(wn_reshape(t, 2, (int64_t[]){-1, -1})) &&
                         REFUSED(wn_reshape(t, -1, NULL)))
FUNCTION(wn_permute, NONE(wn_permute(NULL, NULL)) && REFUSED(wn_permute(t, NULL)) &&
                         REFUSED(wn_permute(t, (int[]){0, 1, 2, 4})) &&
                         REFUSED(wn_permute(t, (int[]){0, 0, 1, 2})))
FUNCTION(wn_name, NONE(wn_name(NULL, "x")) && REFUSED(wn_name(t, NULL)) &&
                      REFUSED(wn_name(t, "")) && REFUSED(wn_name(t, "a\tb")))
FUNCTION(wn_expand, NONE(wn_expand(NULL, 0, NULL)) && REFUSED(wn_expand(t, 4, NULL)) &&
                        REFUSED(wn_expand(t, 1, (int64_t[]){9})) && REFUSED(wn_expand(t, -1, NULL)))
FUNCTION(wn_pad, NONE(wn_pad(NULL, NULL, NULL)) && REFUSED(wn_pad(t, NULL, NULL)) &&
                     REFUSED(wn_pad(t, (int64_t[4]){0}, NULL)) &&
                     REFUSED(wn_pad(t, (int64_t[4]){-1}, (int64_t[4]){0})))
FUNCTION(wn_shrink, NONE(wn_shrink(NULL, NULL, NULL)) && REFUSED(wn_shrink(t, NULL, NULL)) &&
                        REFUSED(wn_shrink(t, (int64_t[4]){0}, NULL)) &&
                        REFUSED(wn_shrink(t, (int64_t[4]){0}, (int64_t[4]){1, 2, 9, 10})))
FUNCTION(wn_flip, NONE(wn_flip(NULL, NULL, 0)) && REFUSED(wn_flip(t, NULL, 1)) &&
                      REFUSED(wn_flip(t, (int[]){4}, 1)) && REFUSED(wn_flip(t, (int[]){0}, -1)))
FUNCTION(wn_stride, NONE(wn_stride(NULL, NULL)) && REFUSED(wn_stride(t, NULL)) &&
                        REFUSED(wn_stride(t, (int64_t[4]){1, 1, 1, 0})))
FUNCTION(wn_gather, NONE(wn_gather(NULL, f->in, 0)) && NONE(wn_gather(f->in, NULL, 0)) &&
                        REFUSED(wn_gather(t, t, 0)) &&
                        REFUSED(wn_gather(t, wn_cast(f->in, WN_I32), 0)) &&
                        REFUSED(wn_gather(t, wn_scalar(c, WN_I64, 0), 4)) &&
                        REFUSED(wn_gather(t, wn_scalar(c, WN_I64, 0), -5)))
FUNCTION(wn_concat, NONE(wn_concat(NULL, 1, 0)) && NONE(wn_concat(&f->in, 0, 0)) &&
                        NONE(wn_concat(&f->in, -1, 0)) && REFUSED(wn_concat(&t, 1, 4)) &&
                        NONE(wn_concat((wn_tensor *[]){f->in, NULL}, 2, 0)) &&
                        REFUSED(wn_concat((wn_tensor *[]){t, f->in}, 2, 0)))
FUNCTION(wn_map, NONE(wn_map(WN_NEG, NULL)) && REFUSED(wn_map((wn_unary)(WN_ERF + 1), t)) &&
                     REFUSED(wn_map((wn_unary)-1, t)))
FUNCTION(wn_zip, NONE(wn_zip(WN_ADD, NULL, f->in)) && NONE(wn_zip(WN_ADD, f->in, NULL)) &&
                     REFUSED(wn_zip((wn_binary)(WN_POW + 1), t, t)) &&
                     REFUSED(wn_zip((wn_binary)-1, t, t)) && REFUSED(wn_zip(WN_ADD, t, f->in)))
FUNCTION(wn_where, NONE(wn_where(NULL, f->in, f->in)) && NONE(wn_where(f->in, NULL, f->in)) &&
                       NONE(wn_where(f->in, f->in, NULL)) && REFUSED(wn_where(t, t, t)))
FUNCTION(wn_cast, NONE(wn_cast(NULL, WN_F32)) && REFUSED(wn_cast(t, WN_DTYPE_COUNT)) &&
                      REFUSED(wn_cast(t, (wn_dtype)-1)))
FUNCTION(wn_reduce, NONE(wn_reduce(WN_SUM, NULL, NULL, 0, 0)) &&
                        REFUSED(wn_reduce(WN_SUM, t, NULL, 1, 0)) &&
                        REFUSED(wn_reduce((wn_reduction)(WN_MINIMUM + 1), t, (int[]){0}, 1, 0)) &&
                        REFUSED(wn_reduce(WN_SUM, t, (int[]){4}, 1, 0)) &&
                        REFUSED(wn_reduce(WN_SUM, t, (int[]){0}, -1, 0)) &&
                        REFUSED(wn_reduce(WN_SUM, t, (int[]){1, 1}, 2, 0)))
FUNCTION(wn_matmul, NONE(wn_matmul(NULL, f->in)) && NONE(wn_matmul(f->in, NULL)) &&
                        REFUSED(wn_matmul(t, wn_reshape(t, 2, (int64_t[]){18, 9}))))
FUNCTION(wn_window, NONE(wn_window(NULL, 0, NULL, NULL, NULL)) &&
                        REFUSED(wn_window(t, 2, NULL, NULL, NULL)) &&
                        REFUSED(wn_window(t, -1, (int64_t[]){1}, NULL, NULL)) &&
                        REFUSED(wn_window(t, 5, (int64_t[5]){1}, NULL, NULL)) &&
                        REFUSED(wn_window(t, 1, (int64_t[]){0}, NULL, NULL)) &&
                        REFUSED(wn_window(t, 1, (int64_t[]){1}, (int64_t[]){0}, NULL)) &&
                        REFUSED(wn_window(t, 1, (int64_t[]){3}, NULL, (int64_t[]){INT64_MAX})))
FUNCTION(wn_prepare, OF_PROGRAM(wn_prepare))
FUNCTION(wn_run, OF_PROGRAM(wn_run))
FUNCTION(wn_upload, OF_PROGRAM(wn_upload))
FUNCTION(wn_launch, OF_PROGRAM(wn_launch))
FUNCTION(wn_wait, OF_PROGRAM(wn_wait))
FUNCTION(wn_download, OF_PROGRAM(wn_download))
FUNCTION(wn_capture, STATUS(wn_capture(NULL, NULL)) && STATUS(wn_capture(f->planned, NULL)) &&
                         STATUS(wn_capture(f->program, NULL)) && *wn_program_message(f->program))
FUNCTION(wn_bind, STATUS(wn_bind(NULL, 0, x)) && STATUS(wn_bind(f->planned, 0, x)) &&
                      STATUS(wn_bind(f->program, -1, x)) && STATUS(wn_bind(f->program, 3, x)) &&
                      STATUS(wn_bind(f->program, 0, NULL)) && *wn_program_message(f->program))
FUNCTION(wn_bind_many, STATUS(wn_bind_many(NULL, 0, NULL, NULL)) &&
                           STATUS(wn_bind_many(f->planned, 0, NULL, NULL)) &&
                           STATUS(wn_bind_many(f->program, -1, NULL, NULL)) &&
                           STATUS(wn_bind_many(f->program, 1, NULL, (const void *[]){x})) &&
                           STATUS(wn_bind_many(f->program, 1, (int[]){0}, NULL)) &&
                           STATUS(wn_bind_many(f->program, 1, (int[]){3}, (const void *[]){x})))
FUNCTION(wn_program_message, *wn_program_message(NULL) != 0)
FUNCTION(wn_program_destroy, (wn_program_destroy(NULL), true))
FUNCTION(wn_plan_names, wn_plan_names() != NULL)
FUNCTION(wn_model_destroy, (wn_model_destroy(NULL), true))
FUNCTION(wn_model_message, *wn_model_message(NULL) != 0)
FUNCTION(wn_model_add_output, STATUS(wn_model_add_output(NULL, "x")) &&
                                  COMPLAINS(wn_model_add_output(f->model, NULL)) &&
                                  COMPLAINS(wn_model_add_output(f->model, "")) &&
                                  COMPLAINS(wn_model_add_output(f->model, "nothing")))

static const struct function {
  const char *name;
  bool (*call)(fixture *f);
} functions[] = {
#define ROW(name) {#name, call_##name}
    ROW(wn_context_create),
    ROW(wn_context_destroy),
    ROW(wn_message),
    ROW(wn_on_warning),
    ROW(wn_version),
    ROW(wn_check_version),
    ROW(wn_dtype_size),
    ROW(wn_dtype_name),
    ROW(wn_input),
    ROW(wn_constant),
    ROW(wn_fixed_input),
    ROW(wn_scalar),
    ROW(wn_ndim),
    ROW(wn_shape),
    ROW(wn_tensor_dtype),
    ROW(wn_reshape),
    ROW(wn_permute),
    ROW(wn_name),
    ROW(wn_expand),
    ROW(wn_pad),
    ROW(wn_shrink),
    ROW(wn_flip),
    ROW(wn_stride),
    ROW(wn_gather),
    ROW(wn_concat),
    ROW(wn_map),
    ROW(wn_zip),
    ROW(wn_where),
    ROW(wn_cast),
    ROW(wn_reduce),
    ROW(wn_matmul),
    ROW(wn_window),
    ROW(wn_prepare),
    ROW(wn_run),
    ROW(wn_upload),
    ROW(wn_launch),
    ROW(wn_wait),
    ROW(wn_download),
    ROW(wn_capture),
    ROW(wn_bind),
    ROW(wn_bind_many),
    {"wn_bind_arena", bind_no_arena},
    ROW(wn_program_message),
    ROW(wn_program_destroy),
    ROW(wn_plan_names),
    ROW(wn_model_destroy),
    ROW(wn_model_message),
    ROW(wn_model_add_output),
    {"wn_conv", convolve_nothing},
    {"wn_compile", compile_nothing},
    {"wn_explain", explain_nothing},
    {"wn_tune", tune_nothing},
    {"wn_program_get_info", ask_nothing},
    {"wn_program_get_kernel", ask_no_kernel},
    {"wn_program_get_site", ask_no_site},
    {"wn_program_get_slot", ask_no_slot},
    {"wn_program_find", find_nothing},
    {"wn_program_share", share_nothing},
    {"wn_run_timed", time_nothing},
    {"wn_model_load", load_nothing},
    {"wn_model_load_bytes", load_no_bytes},
    {"wn_model_get_info", ask_no_model},
    {"wn_model_get_input", ask_no_input},
    {"wn_model_get_output", ask_no_output},
    {"wn_model_build", build_nothing},
    {"wn_model_release_weights", release_no_weights},
    {"wn_model_program", make_no_program},
    {"wn_model_release", release_nothing},
    {"wn_model_outputs", ask_no_outputs},
    {"wn_model_run", run_no_model},
#undef ROW
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void test_functions(void **state) {
  for (int i = 0; i < FUNCTIONS; ++i)
    if (!functions[i].call(*state)) fail_msg("%s takes what it should not", functions[i].name);
}

/* --- options ---------------------------------------------------------------------------------- */

static const struct option {
  const char *field, *value;
  wn_options o;
  const char *says;
} options[] = {
    {"plan", "empty", {.plan = ""}, "unknown plan"},
    {"plan", "nonsense", {.plan = "%s%n"}, "unknown plan"},
    {"plan", "half of one", {.plan = "x=global"}, "expected all of"},
    {"plan",
     "three tile sizes",
     {.plan = "x=global,g=global,m=global,o=global;wino=4x4x4"},
     "3 axes"},
    {"wino", "empty", {.wino = ""}, "tile size"},
    {"wino", "9", {.wino = "9"}, "tile size"},
    {"wino", "4x", {.wino = "4x"}, "tile size"},
    {"wino", "of three axes", {.wino = "4x4x4"}, "3 axes"},
    {"wino", "of three axes, old", {.plan = "old", .wino = "4x4x4"}, "3 axes"},
    {"wino", "of five axes", {.wino = "4x4x4x4x4"}, "tile size"},
    {"math", "7", {.math = (wn_math)7}, "wn_math 7"},
    {"math", "-1", {.math = (wn_math)-1}, "wn_math -1"},
    {"backend", "empty", {.backend = ""}, "backend ''"},
    {"backend", "cpu:", {.backend = "cpu:"}, "backend 'cpu:'"},
    {"isa", "nope", {.isa = "nope"}, "'nope'"},
    {"threads", "-1", {.threads = -1}, "threads"},
    {"threads", "INT_MAX", {.threads = INT_MAX}, "threads"},
    {"max_lines", "-1", {.max_lines = -1}, "max_lines"},
    {"max_lines", "INT_MIN", {.max_lines = INT_MIN}, "max_lines"},
};
/* What no value of can be wrong: switches, and a number of bytes. */
static const char *const any_value[] = {
    "variable_weights", "max_memory", "no_merge",      "no_cache",
    "untuned",          "strict",     "cold",          "plan_only",
    "flush_subnormals", "compiling",  "compiling_user"};

/* Of the C API alone that does not go through a plan: wn_compile, wn_explain and, for what it takes, wn_tune. */
static void test_options(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < sizeof options / sizeof *options; ++i) {
    wn_options o = options[i].o;
    wn_program *p = (wn_program *)(uintptr_t)8;
    o.size = sizeof o;
    o.no_cache = 1;
    for (int plan_only = 0; plan_only < 2; ++plan_only) {
      o.plan_only = plan_only;
      wn_status st = wn_compile(f->ctx, &f->out, data, 1, &o, &p);
      bool right = st == WN_ERR_USAGE && p == NULL && strstr(wn_message(f->ctx), options[i].says);
      if (!right)
        fail_msg("%s %s: status %d, \"%s\"", options[i].field, options[i].value, (int)st,
                 wn_message(f->ctx));
    }
    o.plan_only = 0;
    assert_int_equal(wn_explain(f->ctx, &f->out, NULL, 1, &o, ignore, NULL), WN_ERR_USAGE);
    wn_tune_result r = WN_TUNE_RESULT();
    assert_int_equal(wn_tune(f->ctx, &f->out, data, 1, &o, NULL, &r), WN_ERR_USAGE);
  }
}

/* --- is everything here? ---------------------------------------------------------------------- */

static char *read_header(void) {
  FILE *in = fopen(WN_SOURCE_DIR "/include/winnow/winnow.h", "r");
  assert_non_null(in);
  char *text = calloc(1, 1 << 20);
  assert_true(fread(text, 1, (1 << 20) - 1, in) > 1000);
  fclose(in);
  for (char *from = strstr(text, "/*"); from; from = strstr(from, "/*")) { /* comments are blanks */
    char *end = strstr(from, "*/") + 2;
    memset(from, ' ', (size_t)(end - from));
  }
  return text;
}

static bool has_function(const char *name, size_t n) {
  for (int i = 0; i < FUNCTIONS; ++i)
    if (strlen(functions[i].name) == n && memcmp(functions[i].name, name, n) == 0) return true;
  return false;
}

static bool has_option(const char *name, size_t n) {
  for (size_t i = 0; i < sizeof options / sizeof *options; ++i)
    if (strlen(options[i].field) == n && memcmp(options[i].field, name, n) == 0) return true;
  for (size_t i = 0; i < sizeof any_value / sizeof *any_value; ++i)
    if (strlen(any_value[i]) == n && memcmp(any_value[i], name, n) == 0) return true;
  return false;
}

/* The length of the name that ends before `end`, as in `const char *wn_message(` and `int threads;`. */
static size_t name_before(const char *end) {
  size_t n = 0;
  while (isalnum((unsigned char)end[-1 - (ptrdiff_t)n]) || end[-1 - (ptrdiff_t)n] == '_') n++;
  return n;
}

static void test_complete(void **state) {
  (void)state;
  char *text = read_header();
  int count = 0, fields = 0;
  for (char *at = strstr(text, "\nWN_API"); at != NULL; at = strstr(at + 1, "\nWN_API"), ++count) {
    char *end = strchr(at, '(');
    size_t n = name_before(end);
    if (!has_function(end - n, n)) fail_msg("no row for %.*s", (int)n, end - n);
  }
  assert_int_equal(count, FUNCTIONS);
  char *at = strstr(text, "struct wn_options {"), *last = strstr(at, "} wn_options;");
  for (at = strchr(strchr(at, ';') + 1, ';'); at != NULL && at < last;
       at = strchr(at + 1, ';'), ++fields) {
    size_t n = name_before(at);
    if (!has_option(at - n, n)) fail_msg("no row for option %.*s", (int)n, at - n);
  }
  assert_true(fields >= 15);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_functions, setup, teardown),
      cmocka_unit_test_setup_teardown(test_options, setup, teardown),
      cmocka_unit_test(test_complete),
  };
  return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
