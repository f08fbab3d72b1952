/* winnow: a tensor compiler that knows convolutions.
 *
 * A program is described lazily with tensors, compiled once, and run many times:
 *
 *     wn_context *ctx;  wn_context_create(&ctx);
 *     wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 16, 32, 32}, xdata);
 *     wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){16, 16, 3, 3}, wdata);
 *     wn_tensor *y = wn_conv(x, w, &(wn_conv_params){.pad_lo = {1, 1}, .pad_hi = {1, 1}});
 *     wn_program *p;
 *     if (wn_compile(ctx, &y, &ydata, 1, NULL, &p) != WN_OK) puts(wn_message(ctx));
 *     wn_run(p);
 *
 * Ownership: tensors belong to their context and die with it; programs are destroyed by their owner, before the
 * context. User memory is borrowed, never copied or freed; it must stay valid while programs that name it run.
 * Errors: functions returning wn_status also leave one line in wn_message(). Tensor functions return NULL on error;
 * NULL tensors may be passed on, and the first error is what wn_compile reports.
 * Threads: a context is used by one thread at a time; see wn_run for programs. */
#ifndef WINNOW_WINNOW_H
#define WINNOW_WINNOW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WN_API __attribute__((visibility("default")))
#else
#define WN_API
#endif

#define WN_MAX_DIMS 12 /* of a tensor */
#define WN_MAX_SPATIAL 4 /* of a convolution */

typedef enum wn_status {
  WN_OK = 0,
  WN_ERR_USAGE,   /* a call, shape, option or file that cannot be right */
  WN_ERR_NOMEM,   /* memory could not be had, or a memory limit is too small */
  WN_ERR_REFUSED, /* the plan asked for does not exist for this graph; the message says why */
  WN_ERR_STRICT,  /* a fallback happened and options.strict was set */
  WN_ERR_DEVICE,  /* a backend is missing or failed */
  WN_ERR_IO       /* a file could not be read or written */
} wn_status;

typedef enum wn_dtype { WN_F64, WN_F32, WN_F16, WN_BF16, WN_I32, WN_I64, WN_BOOL, WN_DTYPE_COUNT } wn_dtype;

typedef struct wn_context wn_context;
typedef struct wn_tensor wn_tensor;
typedef struct wn_program wn_program;

/* --- context --------------------------------------------------------------------------------------------------- */

WN_API wn_status wn_context_create(wn_context **ctx);
WN_API void wn_context_destroy(wn_context *ctx);
/* The last error of this context, one line without a newline, "" if none. Owned by the context. */
WN_API const char *wn_message(const wn_context *ctx);
/* Warnings (a fallback, a missed promise) go to this function; by default to stderr. */
typedef void (*wn_warning_fn)(void *user, const char *line);
WN_API void wn_on_warning(wn_context *ctx, wn_warning_fn fn, void *user);
WN_API const char *wn_version(void);
WN_API size_t wn_dtype_size(wn_dtype dtype);
WN_API const char *wn_dtype_name(wn_dtype dtype);

/* --- tensors: all lazy, all row-major ---------------------------------------------------------------------------- */

/* Borrow `data` (row-major, shape[0..ndim)); an input may change between runs, a constant may not. */
WN_API wn_tensor *wn_input(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape, const void *data);
WN_API wn_tensor *wn_constant(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape, const void *data);
WN_API wn_tensor *wn_scalar(wn_context *ctx, wn_dtype dtype, double value); /* shape [] broadcasts with anything */

WN_API int wn_ndim(const wn_tensor *t);
WN_API const int64_t *wn_shape(const wn_tensor *t);
WN_API wn_dtype wn_tensor_dtype(const wn_tensor *t);

/* Movement. Axes count from 0; a negative axis counts from the end. */
WN_API wn_tensor *wn_reshape(wn_tensor *t, int ndim, const int64_t *shape); /* one extent may be -1 */
WN_API wn_tensor *wn_permute(wn_tensor *t, const int *axes);
WN_API wn_tensor *wn_expand(wn_tensor *t, int ndim, const int64_t *shape); /* numpy broadcasting */
WN_API wn_tensor *wn_pad(wn_tensor *t, const int64_t *lo, const int64_t *hi); /* zeros; both >= 0, one per axis */
WN_API wn_tensor *wn_shrink(wn_tensor *t, const int64_t *begin, const int64_t *end);
WN_API wn_tensor *wn_flip(wn_tensor *t, const int *axes, int count);
WN_API wn_tensor *wn_stride(wn_tensor *t, const int64_t *steps); /* every steps[i]-th element, steps >= 1 */

/* Elementwise; operands broadcast as in numpy and must have one dtype. */
typedef enum wn_unary {
  WN_NEG, WN_ABS, WN_SQRT, WN_EXP, WN_LOG, WN_SIN, WN_RECIPROCAL, WN_RELU, WN_SIGMOID, WN_TANH, WN_GELU, WN_NOT
} wn_unary;
typedef enum wn_binary {
  WN_ADD, WN_SUB, WN_MUL, WN_DIV, WN_MAX, WN_MIN, WN_LESS, WN_EQUAL, WN_AND, WN_OR
} wn_binary;
WN_API wn_tensor *wn_map(wn_unary op, wn_tensor *t);
WN_API wn_tensor *wn_zip(wn_binary op, wn_tensor *a, wn_tensor *b);
WN_API wn_tensor *wn_where(wn_tensor *cond, wn_tensor *a, wn_tensor *b);
WN_API wn_tensor *wn_cast(wn_tensor *t, wn_dtype dtype);

/* Reductions over the given axes, which stay as extent 1 if keep is nonzero. */
typedef enum wn_reduction { WN_SUM, WN_PRODUCT, WN_MAXIMUM, WN_MINIMUM } wn_reduction;
WN_API wn_tensor *wn_reduce(wn_reduction op, wn_tensor *t, const int *axes, int count, int keep);
/* a[..., M, K] x b[..., K, N] -> [..., M, N], leading axes broadcast. */
WN_API wn_tensor *wn_matmul(wn_tensor *a, wn_tensor *b);

/* Sliding windows: [..., spatial...] -> [..., out..., window...]; out = (i - (k - 1) * dilation - 1) / stride + 1.
 * NULL strides or dilations mean 1. */
WN_API wn_tensor *wn_window(wn_tensor *t, int nspatial, const int64_t *window, const int64_t *stride,
                            const int64_t *dilation);

/* x[N][C][spatial...] * w[K][C/groups][filter...] -> y[N][K][out...]; cross-correlation, as in every deep-learning library.
 * A zero in stride, dilation or groups means 1. Built of pad, window, mul and sum: nothing below knows of convolution. */
typedef struct wn_conv_params {
  int64_t stride[WN_MAX_SPATIAL], dilation[WN_MAX_SPATIAL];
  int64_t pad_lo[WN_MAX_SPATIAL], pad_hi[WN_MAX_SPATIAL];
  int64_t groups;
} wn_conv_params;
WN_API wn_tensor *wn_conv(wn_tensor *x, wn_tensor *w, const wn_conv_params *params);

/* --- compiling and running ------------------------------------------------------------------------------------- */

typedef enum wn_math { WN_MATH_FP32, WN_MATH_FP32_FAST } wn_math; /* a promise about the error: docs/winograd.md */

/* Zero-initialise; zero is the default everywhere. Strings are borrowed during the call only. */
typedef struct wn_options {
  const char *plan;    /* a name (auto, direct, old, ...) or a schedule; NULL: $WINO unset ? auto : by $WINO */
  const char *wino;    /* "0" off, "4" or "4x4": tile m per axis; NULL: the largest that keeps the promise */
  wn_math math;
  const char *backend; /* NULL or "cpu", "cpu:cc", "interp" */
  const char *isa;     /* sse2, avx2, avx512, ...; NULL: the best that this machine runs */
  int threads;         /* 0: $WINNOW_THREADS, else all cores */
  int variable_weights;/* treat constants as inputs: everything runs in every call */
  size_t max_memory;   /* bytes of workspace; 0: no limit */
  int max_lines;       /* a kernel with more source lines runs in the interpreter; 0: 2000 */
  int no_merge;        /* every use of a reduction gets its own loop */
  int no_cache;
  int strict;          /* a fallback is an error */
} wn_options;

/* Compile the graph that computes outs[0..count) into data[0..count) (borrowed, row-major, not overlapping inputs). */
WN_API wn_status wn_compile(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                            const wn_options *options, wn_program **program);
/* Run; constants are prepared on the first run or by wn_prepare. No allocation after that. Different programs may run
 * at once from different threads; one program may be run by several threads, which then take turns. */
WN_API wn_status wn_prepare(wn_program *program);
WN_API wn_status wn_run(wn_program *program);
/* Run once with a clock around each kernel of the run part; us[0..wn_program_info.kernels). */
WN_API wn_status wn_run_timed(wn_program *program, double *us);
WN_API void wn_program_destroy(wn_program *program);

typedef struct wn_kernel_info {
  const char *name;     /* r_4_8_2_8_8_6_6_4 */
  const char *stage;    /* what it computes: "x", "g+x", "m", "result", ... */
  const char *loops;    /* its axes with kinds, "grid k0 16, loop c 64, unroll k1 4, vector t1 8" */
  const char *source;   /* as the C renderer prints it */
  const char *fallback; /* NULL, or why it runs in the interpreter */
  int source_lines;
  int registers, spills;/* -1: unknown */
  double flops, bytes;  /* executed, and moved to or from global arrays, per run */
  int prepare;          /* nonzero: part of prepare, not of run */
} wn_kernel_info;

typedef struct wn_program_info {
  const char *plan;      /* as asked for */
  const char *placement; /* the resolved schedule, canonical spelling */
  const char *wino;      /* "4x4", "" for none */
  const char *backend, *isa, *device;
  const char *fallback;  /* NULL, or the first kernel's reason */
  int threads, kernels, prepare_kernels, buffers, source_lines, promise_missed, cached;
  size_t workspace_bytes, prepared_bytes;
  double schedule_s, compile_s;
  double error_bound;    /* relative L2, predicted; 0 when there was no rewrite */
} wn_program_info;
WN_API wn_status wn_program_get_info(const wn_program *program, wn_program_info *info);
/* Kernels in order of running, prepare part first; index in [0, kernels + prepare_kernels). */
WN_API wn_status wn_program_get_kernel(wn_program *program, int index, wn_kernel_info *info);

/* What the recogniser saw, the IR after each pass that changed it and each kernel, as text for a person. */
WN_API wn_status wn_explain(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                            const wn_options *options, void (*write)(void *user, const char *text), void *user);

/* Named plans, NULL-terminated, in the order in which `compare` shows them. */
WN_API const char *const *wn_plan_names(void);

#ifdef __cplusplus
}
#endif
#endif
