/* winnow: a tensor compiler that knows convolutions.
 *
 * A program is described lazily with tensors, compiled once, and run many times:
 *
 *     wn_context *ctx;  wn_context_create(&ctx);
 *     wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 16, 32, 32}, xdata);
 *     wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){16, 16, 3, 3}, wdata);
 *     wn_tensor *y = wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
 *     wn_program *p;
 *     if (wn_compile(ctx, &y, &ydata, 1, NULL, &p) != WN_OK) puts(wn_message(ctx));
 *     wn_run(p);
 *
 * What follows holds for all of it, and what a section says of Threads, Ownership and Errors for its functions.
 *
 * Ownership: tensors belong to their context and die with it; programs are destroyed by their owner, before the
 * context. User memory is borrowed, never copied or freed; it must stay valid while programs that name it run, and
 * needs no more alignment than its dtype. Everything else that is passed in (shapes, options, strings) is copied, or
 * not looked at again after the call. What is returned is never freed by the caller, but for what has a function to
 * destroy it.
 *
 * Errors: functions that return wn_status leave one line as well, without a newline: those of a context in
 * wn_message(), those of a program in wn_program_message(). Of a NULL context or program there is the status alone.
 * Tensor functions return NULL on error; NULL tensors may be passed on. The first error of a context's tensor
 * functions stays: every later wn_compile of that context fails with it.
 *
 * Threads: a context, its tensors included, is used by one thread at a time; different contexts have nothing to do
 * with each other. Programs may be run from any thread: see wn_run.
 *
 * Forks: contexts and programs of the CPU's backends work in a child process of fork() too, whatever other threads
 * were doing; the first run there starts threads again, or warns and takes one. fork() waits until no other thread is
 * inside LLVM, SQLite or the dynamic loader, ten seconds at most; after that the child's own compiles fall back to the
 * interpreter, without the cache, and say so. Programs of a device give WN_ERR_DEVICE in a child, as do compiles for a
 * device that the parent has used; both can be destroyed there.
 *
 * Floating-point environment: what is compiled and what is run is computed with rounding to nearest, without traps and
 * without flushing (but for flush_subnormals), on every thread, whatever the caller's environment is; that is
 * restored.
 *
 * Process: no function depends on the locale or changes it, touches the dispositions of signals, or is ended by one of
 * a write of its own (SIGXFSZ, SIGPIPE).
 *
 * Environment: WINO, WINNOW_THREADS and WINNOW_ISA stand in for options that are not set (wn_options); WINNOW_OPENCL
 * is the OpenCL library to load, a path, in place of the system's; WINNOW_CACHE is the folder of the cache of compiled
 * kernels and tuned plans, else $XDG_CACHE_HOME/winnow or ~/.cache/winnow, and turns it off when empty; WINNOW_DUMP
 * and WINNOW_TRACE print what the compiler does on stderr (docs/architecture.md). */
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

/* --- basics ----------------------------------------------------------------------------------- */

/* Threads: any, at any time. Ownership: texts are constants. Errors: none. */

/* Structs that a caller passes begin with their size, so that programs and libraries of different versions understand
 * each other: new fields come last. WN_OPTIONS(.backend = "interp", .threads = 1) is a wn_options with its size and
 * these fields set and zero in all others, and there is such a macro for each struct, which takes any number of
 * fields, also none. In C++ the size sets itself, and naming fields is for C++20. Of a struct that the library reads,
 * fields that an older program does not have are zero, and fields that only a newer program has must be; of one that
 * it writes, it writes size bytes at most. Otherwise, and where size is less than the first version of the struct had,
 * the status is WN_ERR_USAGE. */

#ifdef __cplusplus
#define WN_SIZED(type) = sizeof(type)
#define WN_STRUCT(type, ...) \
  type { __VA_ARGS__ }
#else
#define WN_SIZED(type)
#define WN_STRUCT(type, ...) ((type){.size = sizeof(type), __VA_ARGS__})
#endif

#define WN_MAX_DIMS    12  /* axes of a tensor, the windows of a convolution included */
#define WN_MAX_SPATIAL 4   /* axes of a convolution */
#define WN_MAX_NAME    255 /* bytes of a name */

typedef enum wn_status {
  WN_OK = 0,
  WN_ERR_USAGE,   /* a call, shape, option or file that cannot be right */
  WN_ERR_NOMEM,   /* memory or threads could not be had */
  WN_ERR_REFUSED, /* the plan does not exist for this graph, or is over max_memory */
  WN_ERR_STRICT,  /* a fallback happened and options.strict was set */
  WN_ERR_DEVICE,  /* a backend is missing or failed */
  WN_ERR_IO       /* a file could not be read or written */
} wn_status;

/* f16 and bf16 are bits in 16-bit integers, bool is a byte, 0 or 1. */
typedef enum wn_dtype {
  WN_F64,
  WN_F32,
  WN_F16,
  WN_BF16,
  WN_I32,
  WN_I64,
  WN_BOOL,
  WN_DTYPE_COUNT
} wn_dtype;

/* Bytes of an element, 0 if there is no such dtype. */
WN_API size_t wn_dtype_size(wn_dtype dtype);
/* "f32", ...; "void" if there is no such dtype. */
WN_API const char *wn_dtype_name(wn_dtype dtype);

/* --- version ---------------------------------------------------------------------------------- */

/* Versions of one series have the same binary interface: those of one major number, and before 1.0.0 of one minor
 * number. The soname is named after the series, so a program finds no library of another one by itself.
 *
 * Threads: any, at any time. Ownership: texts are constants. Errors: of wn_check_version alone. */

/* Of this header; wn_version() has the library's. */
#define WN_VERSION_MAJOR 0
#define WN_VERSION_MINOR 1
#define WN_VERSION_PATCH 0
/* 10000 * major + 100 * minor + patch. */
#define WN_VERSION (WN_VERSION_MAJOR * 10000 + WN_VERSION_MINOR * 100 + WN_VERSION_PATCH)
/* "0.1.0" */
#define WN_VERSION_STRING \
  WN_TEXT_OF(WN_VERSION_MAJOR) "." WN_TEXT_OF(WN_VERSION_MINOR) "." WN_TEXT_OF(WN_VERSION_PATCH)
#define WN_TEXT_OF_(x) #x
#define WN_TEXT_OF(x)  WN_TEXT_OF_(x)

/* The library's version, as "0.1.0". */
WN_API const char *wn_version(void);
/* For libraries that are loaded by name or linked statically: wn_check_version(WN_VERSION, line, sizeof line) says
 * whether the library serves programs that were compiled with this header. WN_OK, or WN_ERR_USAGE and one line that
 * says why not in line[0..size), which is cut where it does not fit; line may be NULL where size is 0. */
WN_API wn_status wn_check_version(int version, char *line, size_t size);

/* --- context ---------------------------------------------------------------------------------- */

/* Where tensors live, and what compiles.
 *
 * Threads: one at a time for a context. Ownership: the caller destroys the context, and its programs before. Errors:
 * a status, and a line in wn_message(). */

typedef struct wn_context wn_context;
typedef struct wn_tensor wn_tensor;
typedef struct wn_program wn_program;

/* WN_ERR_USAGE where ctx is NULL, WN_ERR_NOMEM; *ctx is NULL on error. Threads: any. */
WN_API wn_status wn_context_create(wn_context **ctx);
/* With all of its tensors. NULL is allowed. */
WN_API void wn_context_destroy(wn_context *ctx);
/* The last error of this context, one line without a newline, "" if none. It belongs to the context and holds until the
 * next error. */
WN_API const char *wn_message(const wn_context *ctx);
/* Gets a line, which is valid during the call only. It is called by the thread that compiles or runs. */
typedef void (*wn_warning_fn)(void *user, const char *line);
/* Warnings (a kernel that falls back to the interpreter, cpu:cc in the place of cpu, a cache that cannot be used) go
 * to this function; NULL: to stderr, as before any call. Programs keep the function that was set when they were
 * compiled, and user, which is borrowed. */
WN_API void wn_on_warning(wn_context *ctx, wn_warning_fn fn, void *user);

/* --- tensors: all lazy, all row-major --------------------------------------------------------- */

/* Threads: as the context, one at a time. Ownership: a tensor belongs to the context of its operands and dies with it;
 * arrays of numbers and texts are copied. Errors: NULL, a line in wn_message(), and the context's first such error
 * stays; of a NULL tensor NULL, without a word. Axes count from 0, and a negative axis from the end.
 *
 * An extent may be 0, and the tensor has no elements then. Every function takes such tensors as numpy does: a sum over
 * none is 0, a product 1, a maximum -infinity or the least integer, a minimum the opposite; what is padded is zeros.
 * Nothing is read of an input without elements and nothing written to an output, so that data may be NULL; a program
 * has no slot for such an input, and one of 0 bytes for such an output. */

/* Borrow `data` (row-major, shape[0..ndim), 0 to WN_MAX_DIMS axes, no extent negative), which programs run on
 * until another array is bound in its place (wn_bind); NULL: an array has to be bound before the first run. An input
 * may change between runs. f16 and bf16 are bits in 16-bit integers, bool is a byte, 0 or 1. */
WN_API wn_tensor *wn_input(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape,
                           const void *data);
/* As wn_input, but it may not change once a program that uses it was prepared. What it holds at compiling decides the
 * plan of auto, nothing else. */
WN_API wn_tensor *wn_constant(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape,
                              const void *data);
/* An input whose values decide what is compiled: the shapes, axes and paddings of a model's file, which whoever builds
 * the graph reads too. wn_compile reads `data` (of which the program keeps a copy; NULL is WN_ERR_USAGE), one value for
 * all elements becomes a number in the code and several a constant, and the program has a slot that says so. Other
 * values take another compile. */
WN_API wn_tensor *wn_fixed_input(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape,
                                 const void *data);
/* Of shape []; the dtype must hold the value. */
WN_API wn_tensor *wn_scalar(wn_context *ctx, wn_dtype dtype, double value);

/* Of a NULL tensor 0. */
WN_API int wn_ndim(const wn_tensor *t);
/* Extents, as many as wn_ndim says. They belong to the tensor. Of a NULL tensor NULL. */
WN_API const int64_t *wn_shape(const wn_tensor *t);
/* Of a NULL tensor WN_DTYPE_COUNT. */
WN_API wn_dtype wn_tensor_dtype(const wn_tensor *t);

/* Gives a value a name, for people: errors, tables and traces have it beside a number, conv3 "layer1.0.conv1". Returns
 * t. It is UTF-8 of 1 to WN_MAX_NAME bytes without control characters. Tensors that are the same computation are one
 * value, whose last name counts; several values may have one name. Programs have the names of when they were compiled.
 * A name changes nothing of a program: equal layers are compiled once, whatever they are called. */
WN_API wn_tensor *wn_name(wn_tensor *t, const char *name);

/* The same elements in another shape, without a copy; one extent may be -1, but not beside a 0. */
WN_API wn_tensor *wn_reshape(wn_tensor *t, int ndim, const int64_t *shape);
/* Result axis i is source axis axes[i]; there is one for each axis of t. */
WN_API wn_tensor *wn_permute(wn_tensor *t, const int *axes);
/* As numpy broadcasts. */
WN_API wn_tensor *wn_expand(wn_tensor *t, int ndim, const int64_t *shape);
/* Zeros before and after, as many as lo[i] and hi[i] for each axis; none negative. */
WN_API wn_tensor *wn_pad(wn_tensor *t, const int64_t *lo, const int64_t *hi);
/* [begin[i], end[i]) of each axis, which may be empty. */
WN_API wn_tensor *wn_shrink(wn_tensor *t, const int64_t *begin, const int64_t *end);
/* The axes that are listed run backwards. */
WN_API wn_tensor *wn_flip(wn_tensor *t, const int *axes, int count);
/* Every steps[i]-th element of axis i, from 0; steps are at least 1, one for each axis. */
WN_API wn_tensor *wn_stride(wn_tensor *t, const int64_t *steps);
/* The elements of t at places that are data: the result has the axes of t with those of index (i32 or i64) in the place
 * of `axis`, and is t[..., index[...], ...]. A negative index or axis counts from the end; a place outside reads 0. */
WN_API wn_tensor *wn_gather(wn_tensor *t, wn_tensor *index, int axis);
/* The parts one behind the other along an axis, -1 being the last: `count` of them, at least 1, of one dtype and of
 * shapes that differ in this axis only. A part may come several times. */
WN_API wn_tensor *wn_concat(wn_tensor *const *parts, int count, int axis);

/* WN_MAX and WN_RELU give NaN for NaN; WN_GELU is the exact one, through erf. WN_FLOOR rounds down, WN_ROUND to the
 * nearest integer, to the even one of two that are as near. Angles are in radians. WN_NOT takes bool; WN_NEG, WN_ABS
 * and WN_RELU take any number, the others floats only. */
typedef enum wn_unary {
  WN_NEG,
  WN_ABS,
  WN_SQRT,
  WN_EXP,
  WN_LOG,
  WN_SIN,
  WN_RECIPROCAL,
  WN_RELU,
  WN_SIGMOID,
  WN_TANH,
  WN_GELU,
  WN_NOT,
  WN_FLOOR,
  WN_ROUND,
  WN_COS,
  WN_ATAN,
  WN_ERF
} wn_unary;
/* WN_DIV of integers rounds down, and what WN_MOD leaves is a - b * floor(a / b), of the sign of b; divided by 0
 * integers are 0 and leave a. WN_MOD of floats is computed so, with the error of its steps: of large quotients
 * little is left. WN_POW is a to the b, of floats, with the special cases of C99's pow; where b is a scalar 1, 2, 3,
 * -1 or 0.5, it is a itself, products, a quotient or a square root. WN_MAX and WN_MIN give NaN for NaN. WN_AND and
 * WN_OR take bool, WN_LESS and WN_EQUAL give it: WN_EQUAL of a tensor and itself is 0 where it is NaN. */
typedef enum wn_binary {
  WN_ADD,
  WN_SUB,
  WN_MUL,
  WN_DIV,
  WN_MAX,
  WN_MIN,
  WN_LESS,
  WN_EQUAL,
  WN_AND,
  WN_OR,
  WN_MOD,
  WN_POW
} wn_binary;
/* Elementwise. */
WN_API wn_tensor *wn_map(wn_unary op, wn_tensor *t);
/* Elementwise; operands broadcast as in numpy and must have one dtype. */
WN_API wn_tensor *wn_zip(wn_binary op, wn_tensor *a, wn_tensor *b);
/* a where cond, which is bool, else b; all three broadcast. */
WN_API wn_tensor *wn_where(wn_tensor *cond, wn_tensor *a, wn_tensor *b);
/* Floats to integers truncate. */
WN_API wn_tensor *wn_cast(wn_tensor *t, wn_dtype dtype);

typedef enum wn_reduction { WN_SUM, WN_PRODUCT, WN_MAXIMUM, WN_MINIMUM } wn_reduction;
/* Over the given axes, none of them twice, which stay as extent 1 if keep is nonzero. */
WN_API wn_tensor *wn_reduce(wn_reduction op, wn_tensor *t, const int *axes, int count, int keep);
/* a[..., M, K] x b[..., K, N] -> [..., M, N], leading axes broadcast. */
WN_API wn_tensor *wn_matmul(wn_tensor *a, wn_tensor *b);

/* Sliding windows over the last nspatial axes: [..., spatial...] -> [..., out..., window...], element (o, k) is element
 * o * stride + k * dilation; out = (i - (k - 1) * dilation - 1) / stride + 1. NULL strides or dilations mean 1. */
WN_API wn_tensor *wn_window(wn_tensor *t, int nspatial, const int64_t *window,
                            const int64_t *stride, const int64_t *dilation);

/* Of wn_conv; a value for each spatial axis, the first axis first. */
#define WN_CONV_PARAMS(...) WN_STRUCT(wn_conv_params, __VA_ARGS__)
typedef struct wn_conv_params {
  size_t size WN_SIZED(wn_conv_params); /* sizeof(wn_conv_params) */
  int64_t stride[WN_MAX_SPATIAL];       /* 0: 1 */
  int64_t dilation[WN_MAX_SPATIAL];     /* between taps of the filter; 1 is a dense one; 0: 1 */
  int64_t pad_lo[WN_MAX_SPATIAL];       /* zeros before; not negative */
  int64_t pad_hi[WN_MAX_SPATIAL];       /* zeros after; not negative */
  int64_t groups; /* of channels, that have nothing to do with each other; 0: 1 */
} wn_conv_params;
/* x[N][C][spatial...] * w[K][C/groups][filter...] -> y[N][K][out...]; cross-correlation, as in every deep-learning
 * library. 1 to WN_MAX_SPATIAL spatial axes; C and K divisible by groups; x and w of one dtype, not bool; params NULL
 * is all zeros. Built of pad, window, mul and sum: nothing below knows of convolution. */
WN_API wn_tensor *wn_conv(wn_tensor *x, wn_tensor *w, const wn_conv_params *params);

/* --- compiling -------------------------------------------------------------------------------- */

/* Threads: as the context, one at a time; compiles in different contexts may go on at once. Ownership: the caller
 * destroys the program. Errors: a status, and a line in wn_message(). */

/* Promises about the error of f32 results against float64, in L2 over a whole result. With FP32 an error is at most E
 * = max(1.2e-6, twice that of a direct fp32 convolution on the same data),
 *   on independent noise, relative to the result: this decides which tiles may be chosen;
 *   on any data, relative to what was summed, |w| convolved with |x|.
 * Relative to the result nobody can promise that: a Laplacian over a constant 200 sums 1,600 to 0 and any rounding of
 * it is infinitely much of that. So auto looks at constant weights, as they are when the program is compiled, and
 * computes filters that sum to nothing, as hand-made derivatives do, directly. FAST: 1e-5 in the place of 1.2e-6.
 * STRICT: convolutions are never rewritten, and the plans that do are WN_ERR_REFUSED: all products are plain ones of
 * two inputs, summed. Elsewhere a constant factor behind a sum may be in its constant weights.
 *
 * NaN, infinity and the largest numbers: a rewritten convolution computes with sums and
 * differences of up to 8 inputs an axis and with sums of products. An infinity or a NaN among its inputs makes NaN of
 * the whole tile that it is in (with infinity where direct has one), and numbers above about 1e36 may overflow on the
 * way to a result that could be held. Direct convolutions, so all with STRICT, give NaN and infinity where the sum of
 * products itself does. */
typedef enum wn_math { WN_MATH_FP32, WN_MATH_FP32_FAST, WN_MATH_FP32_STRICT } wn_math;

/* Gets how many of a program's kernels are compiled by now, and of how many: as far as the backend tells, and of those
 * that no cache has. It is called by any thread, one at a time, and must not call winnow. */
typedef void (*wn_compiling_fn)(void *user, int done, int of);

/* Zero is the default everywhere. */
#define WN_OPTIONS(...) WN_STRUCT(wn_options, __VA_ARGS__)
typedef struct wn_options {
  size_t size WN_SIZED(wn_options); /* sizeof(wn_options) */
  /* A name (wn_plan_names) or a schedule (docs/architecture.md); NULL: auto, which is what wn_tune stored for the
   * graph, else by predicted cost, and direct where constant weights cancel (wn_math). Where plan and wino are both
   * NULL, $WINO decides: 0 direct, 1 Winograd whether it pays or not, 2 3 4 6 its tile. */
  const char *plan;
  /* "4" or "4x4": tile m from 1 to 8, one or as many as a convolution has axes; "0": off, as with $WINO; NULL: by cost,
   * within the promise. */
  const char *wino;
  wn_math math; /* what is promised of errors */
  /* "cpu" (LLVM in process; cpu:cc where it was built without), "cpu:cc" (the system's C compiler), "interp" (the
   * reference, in float64), "opencl" or "opencl:PLATFORM:DEVICE" (numbers or parts of names, which `winnow devices`
   * lists; without: a GPU, else the first device), "metal"; NULL: cpu. */
  const char *backend;
  /* sse2, avx2, avx512, neon, generic; on a device simt (work items in groups: its default unless it is a CPU) or simd
   * (one work item a group, with vectors); NULL: $WINNOW_ISA, else the best. */
  const char *isa;
  /* 0: $WINNOW_THREADS, else all cores. A device has its own: there these interpret the kernels that fall back. */
  int threads;
  int variable_weights; /* treat constants as inputs: everything runs in every call */
  /* Bytes of workspace_bytes and prepared_bytes together; 0: the machine's memory, or the device's. A named plan (or
   * none) takes smaller blocks where it has any; auto changes the plans that lose least time for each byte, down to
   * those that read weights as they are; what still needs more is WN_ERR_REFUSED and says how much. */
  size_t max_memory;
  int max_lines; /* a kernel with more source lines runs in the interpreter; 0: 2000 */
  int no_merge;  /* every use of a reduction gets its own loop */
  int no_cache;  /* neither use nor fill the cache on disk */
  int untuned;   /* auto goes by predicted cost, whatever wn_tune has stored */
  int strict;    /* a fallback is WN_ERR_STRICT */
  /* Subnormal numbers (f32 and bf16 below 1.2e-38, f64 below 2.2e-308; none of f16) are taken for zeros, and results
   * become zeros: on many CPUs they cost a hundred times as much as others. On cpu and cpu:cc where the processor can
   * (x86, AArch64); interp flushes what it reads and writes, and computes in float64 in between; OpenCL gets
   * -cl-denorms-are-zero, which allows it to; on Metal the GPU decides, with and without. */
  int flush_subnormals;
  int cold; /* make code anew and do not keep it: compile_s is then what compiling costs */
  /* Stop before machine code: the program says what it would be (a refusal, its identity, its kernels' source), but
   * running it is WN_ERR_USAGE. Data may be NULL; too little memory in the machine is a refusal as well. */
  int plan_only;
  wn_compiling_fn compiling; /* is told how compiling goes on; NULL: nobody is */
  void *compiling_user;      /* of compiling */
} wn_options;

/* Compile the graph that computes outs[0..count) into data[0..count) (borrowed, row-major, of the tensor's dtype; NULL,
 * as data itself may be: to be bound before the first run). Other arrays can be bound at any time (wn_bind).
 * WN_ERR_USAGE: an array that is not aligned as its dtype; an output that overlaps an input, a constant or another
 * output; a constant that overlaps an input, unless variable_weights is set (inputs may be the same memory). options
 * may be NULL. *program is NULL on error. The program has its own copy of the graph and its own threads; more tensors
 * may be made in the context, and more programs compiled. */
WN_API wn_status wn_compile(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                            const wn_options *options, wn_program **program);
/* Compiles like wn_compile, runs nothing (data, and that of inputs, may be NULL), and writes, as text for a person,
 * the IR after each pass that changed it and what the recogniser saw, each kernel with its loops and source, what
 * every other placement is predicted to cost, and a summary. A text is one such section; its first line begins with
 * "--- ", and it is valid during the call only. user is handed on. */
WN_API wn_status wn_explain(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                            const wn_options *options, void (*write)(void *user, const char *text),
                            void *user);
/* Named plans, NULL-terminated, in the order in which `compare` shows them. Constants. Threads: any. */
WN_API const char *const *wn_plan_names(void);

/* --- running ---------------------------------------------------------------------------------- */

/* Threads: different programs may run at once from different threads; one program may be run by several, which then
 * take turns. No function here but wn_program_destroy needs its context, or that it is left alone. Ownership: data is
 * that of wn_compile, still the caller's. Errors: WN_ERR_USAGE of a NULL program, and of one that was compiled with
 * plan_only; WN_ERR_DEVICE, which only devices give: wn_program_message says what failed; the program may be run
 * again, and must still be destroyed. */

/* What constants alone decide, once; the first run does it where this was not called. On a device it launches every
 * kernel once as well, since drivers compile and allocate at a first launch. */
WN_API wn_status wn_prepare(wn_program *program);
/* Reads the inputs and writes the outputs. Allocates nothing, nor does wn_prepare. Results do not depend on the number
 * of threads: auto too chooses what decides their bits without looking at it, and runs fewer threads where max_memory
 * has no room for the scratch of all. */
WN_API wn_status wn_run(wn_program *program);
/* wn_run in parts, for data that stays on a device: upload inputs, launch any number of times, download results. On a
 * backend of the CPU, which works in the caller's memory, wn_launch is wn_run and the others do nothing. wn_upload
 * returns when the data is there. */
WN_API wn_status wn_upload(wn_program *program);
/* May return before the run is done (a kernel that falls back waits). */
WN_API wn_status wn_launch(wn_program *program);
/* Returns when all runs that were launched are done. */
WN_API wn_status wn_wait(wn_program *program);
/* Returns when the results are in the caller's memory. */
WN_API wn_status wn_download(wn_program *program);
/* Records what the program's device does from here on into a new file, in the format of its maker's tools (Metal:
 * .gputrace, in a process started with METAL_CAPTURE_ENABLED=1); path NULL ends it. WN_ERR_DEVICE where the backend or
 * the system cannot, WN_ERR_USAGE on a backend of the CPU. */
WN_API wn_status wn_capture(wn_program *program, const char *path);
/* Run once with a clock around each kernel of the run part, a device's own clock where there is one: microseconds into
 * us[0..wn_program_info.kernels). */
WN_API wn_status wn_run_timed(wn_program *program, double *us);
/* What the last call that failed says, one line, "" if none did. It lives as long as the program, until the next such
 * call. Threads: not while another calls a function of this program that may fail. */
WN_API const char *wn_program_message(const wn_program *program);
/* NULL is allowed. Threads: no other may be in a function of this program. */
WN_API void wn_program_destroy(wn_program *program);

/* --- slots and binding ------------------------------------------------------------------------ */

/* A program's slots are the arrays that it gets from its caller: first its inputs in the order in which they were made,
 * then its constants, then its outputs as they were given to wn_compile. Only those that an output depends on are
 * there. The order does not depend on options.
 * Threads: none of these while another thread binds the program; a bind not while it is run. Ownership: arrays are
 * borrowed until another is bound or the program is destroyed. Errors: WN_ERR_USAGE, a line in wn_program_message(). */

typedef enum wn_slot_kind {
  WN_SLOT_INPUT,
  WN_SLOT_FIXED, /* of wn_fixed_input: counted with the inputs, and has nothing bound to it */
  WN_SLOT_CONSTANT,
  WN_SLOT_OUTPUT
} wn_slot_kind;

#define WN_SLOT_INFO(...) WN_STRUCT(wn_slot_info, __VA_ARGS__)
typedef struct wn_slot_info {
  size_t size WN_SIZED(wn_slot_info); /* sizeof(wn_slot_info) */
  /* wn_name's, else "input0", "constant0", "output0", ... by its number among its kind */
  const char *name;
  wn_slot_kind kind;    /* what the program does with it */
  wn_dtype dtype;       /* of its elements */
  int ndim;             /* extents in shape */
  const int64_t *shape; /* of the array */
  size_t bytes;         /* of the array */
  const void *data;     /* the array that is bound, NULL: none is, or it was released */
} wn_slot_info;

/* Slot in [0, inputs + constants + outputs) of wn_program_info; what the struct points to belongs to the program. */
WN_API wn_status wn_program_get_slot(wn_program *program, int slot, wn_slot_info *info);
/* The number of the slot with this name. WN_ERR_USAGE and *slot -1 where no slot has it, or more than one. */
WN_API wn_status wn_program_find(wn_program *program, const char *name, int *slot);

/* From the next run on the program reads or, of an output, writes this array (borrowed, row-major, of the slot's
 * dtype and shape). WN_ERR_USAGE, and everything stays as it was, where there is no such slot, where the array is
 * NULL or not aligned as its dtype, where it overlaps what it must not overlap at wn_compile (all but of a slot of 0
 * bytes), and for a fixed input, which takes another compile. A constant that is bound, be it to the array that it
 * had, is prepared again by the next wn_prepare or run; the plan stays the one that was chosen at compiling. Costs
 * less than a microsecond and allocates nothing but where a constant is bound in a program that shares prepared
 * weights (wn_program_share), which then gets memory for its own: WN_ERR_NOMEM leaves everything as it was. A
 * program that is bound while another thread runs or binds it is WN_ERR_USAGE where it is noticed (by either call),
 * and which arrays a run uses is not defined where it is not. */
WN_API wn_status wn_bind(wn_program *program, int slot, const void *data);
/* Binds several at once, so that two arrays can change places; all or none. A slot that is named twice gets the latter.
 * */
WN_API wn_status wn_bind_many(wn_program *program, int count, const int *slots,
                              const void *const *data);

#define WN_ARENA_ALIGNMENT 64
/* From the next run on what is between the program's kernels is in this block (borrowed) of at least
 * wn_program_info.arena_bytes, whose address is a multiple of WN_ARENA_ALIGNMENT, in the place of memory of its own. A
 * run neither finds nor leaves anything there, so programs that are not run at once may have the same block; programs
 * of equally many threads, two or more, are never run at once. arena NULL: again one of its own, which costs no memory
 * before it is run. WN_ERR_USAGE, and everything stays as it was, where the block is too small, not aligned, or
 * overlaps an array that is bound, where the program is of a device, and as wn_bind while it is run; WN_ERR_NOMEM. */
WN_API wn_status wn_bind_arena(wn_program *program, void *arena, size_t size);

/* A program with the same code, whose copy is not made, and the same prepared weights, which are prepared once, and
 * with bindings and workspace of its own. Its inputs and constants are bound as those of `program` are at this moment,
 * its outputs to nothing. Either may be destroyed first. Programs of one thread, each run by a thread of its caller's,
 * run at the same time; those of more threads, and those of a device, take turns, a run each. A constant that is bound
 * again in one of them is so in that one alone, which then prepares weights of its own. On error *other is NULL.
 * Threads: others may run `program`, but not bind it. */
WN_API wn_status wn_program_share(wn_program *program, wn_program **other);

/* --- what a program is ------------------------------------------------------------------------ */

/* Threads: any, also while the program runs, unless it says otherwise. Ownership: the struct is the caller's; what its
 * pointers point to belongs to the program. Errors: WN_ERR_USAGE, a line in wn_program_message(), and zeros. */

#define WN_PROGRAM_INFO(...) WN_STRUCT(wn_program_info, __VA_ARGS__)
typedef struct wn_program_info {
  size_t size WN_SIZED(wn_program_info); /* sizeof(wn_program_info) */
  const char *plan;                      /* as asked for, "auto" if nothing was */
  const char *placement; /* the schedule used, canonical spelling; may be given as options.plan */
  const char *wino;      /* tile of the first convolution that was rewritten, "4x4"; "" for none */
  const char *backend;   /* as options.backend has it, without a device */
  const char *isa;       /* as options.isa has it */
  const char *device;    /* model of the processor or device */
  const char *fallback;  /* NULL, or the first kernel's reason */
  int threads;           /* of a device: its compute units */
  int kernels;           /* launches of a run */
  int prepare_kernels;   /* launches of preparing */
  int inputs;            /* slots of inputs, fixed ones included: see wn_program_get_slot */
  int constants;         /* slots of constants */
  int outputs;           /* slots of outputs */
  int buffers;           /* arrays written by either, results included */
  int sites;             /* that a plan names */
  int source_lines;      /* of all kernels; -1: there is no code */
  int promise_missed;    /* nonzero: predicted to break what `math` promises */
  int cached;            /* nonzero: the code came from an earlier compile */
  /* nonzero: auto took the schedule that wn_tune had stored for this graph; 2: some of it as wn_site_info.tuned is 2 */
  int tuned;
  size_t
      workspace_bytes; /* besides inputs, weights, prepared weights and results; scratch of all threads included */
  size_t prepared_bytes; /* of prepared weights */
  double schedule_s;     /* seconds from tensor graph to kernels */
  double compile_s;      /* seconds from kernels to machine code */
  double error_bound;    /* relative L2, predicted; 0 when there was no rewrite */
  double predicted_s;    /* what the cost model expects of a run's convolutions; 0: nothing */
  /* 32 hexadecimal digits: programs with the same data, backend and identity are the same code over the same arrays,
   * whatever their schedules are called. */
  const char *identity;
  size_t arena_bytes; /* of workspace_bytes what a caller may hand in: wn_bind_arena */
  /* the most that is alive at one moment of what is in the arena: no placing needs less */
  size_t arena_least;
} wn_program_info;
WN_API wn_status wn_program_get_info(wn_program *program, wn_program_info *info);

#define WN_KERNEL_INFO(...) WN_STRUCT(wn_kernel_info, __VA_ARGS__)
typedef struct wn_kernel_info {
  size_t size WN_SIZED(wn_kernel_info); /* sizeof(wn_kernel_info) */
  const char *name;     /* extents of its loops, r_6_6_4_2_16_4_2_16; r_ sums, E_ does not */
  const char *stage;    /* what it computes: "x", "g", "m", "result0", several as "x+m+result0" */
  const char *loops;    /* with kinds: "m: grid f 6, grid k0 4, reduce loop c 16, vector t1 16" */
  const char *source;   /* OpenCL C on backend opencl, else as the C renderer prints it */
  const char *fallback; /* NULL, or why it runs in the interpreter */
  const char *note;     /* what a device's compiler says of it, for people, or NULL */
  const char *nest; /* its loops as an indented tree, a line each: "grid t0 3\n  loop f 6\n..." */
  int source_lines; /* of source */
  int registers;    /* vector registers used, of a device those of a work item; -1: unknown */
  int spills;       /* values that were spilled; -1: unknown */
  int prepare;      /* nonzero: part of preparing, not of a run */
  int site;         /* that it belongs to: see wn_site_info */
  double flops;     /* executed per run, a fused multiply-add is two */
  double bytes;     /* of the global arrays that it reads, and again of those that it writes */
} wn_kernel_info;
/* Kernels in order of running, those of preparing first; index in [0, kernels + prepare_kernels). Threads: one at a
 * time, since the source is printed when it is first asked for. Errors: WN_ERR_NOMEM as well. */
WN_API wn_status wn_program_get_kernel(wn_program *program, int index, wn_kernel_info *info);

/* What a plan says something about: a convolution, or a stored value without one. Sites are numbered in the order of
 * computing, before there is any plan, so a number does not move when a plan changes. */
#define WN_SITE_INFO(...) WN_STRUCT(wn_site_info, __VA_ARGS__)
typedef struct wn_site_info {
  size_t size WN_SIZED(wn_site_info); /* sizeof(wn_site_info) */
  const char *kind;                   /* "conv", "product", "sum" or "map" */
  const char *label;                  /* kind and number, as plans have it: "conv3" */
  /* wn_name's of the value that it stores, else of the convolution in it, else of the nearest value that is computed
   * in it alone; of several convolutions in one stored value each has its own, if it was named. NULL: none of them
   * was. */
  const char *name;
  const char *plan;     /* what stands in its braces in a plan: a schedule, "global" or "inline" */
  int ndim;             /* of shape */
  const int64_t *shape; /* of the stored value */
  /* Kernels that store its stages or its value, as wn_program_get_kernel numbers them, ascending, those of preparing
   * first. Each kernel is one site's: one that stores the sum of several convolutions belongs to the first of them.
   * None where the site is inlined, or is one of those others. */
  const int *kernel;
  int kernels; /* how many */
  int alike; /* number of the first site that is the same computation; its own, where it is the first */
  /* nonzero: auto took what wn_tune had stored for it; 2: it was measured with the weights in the caches and they are
   * not here, or the other way round, and nothing better is known */
  int tuned;
  int result; /* number of the output that it stores, -1: none */
  /* Seconds of a run; 0: the cost model knows nothing of it, as of what is no convolution. */
  double predicted_s;
  size_t bytes; /* of the arrays that its kernels write, results and prepared weights included */
  /* Order in memory of the stored value: "given" as the graph has it or "last", channels last, as plans say it. NULL:
   * there is one only. */
  const char *layout;
  const char *
      layout_why; /* "chosen", "said" by the plan; or why there is one only: "output", "few channels", ... */
  double
      layout_s; /* seconds that a run would take more in the other, all else as it is; 0: there is none */
  /* Label of the site whose value it is stored over, which its kernel is the last to read; where that is no site's value,
   * what kernels call the array. NULL: its memory is its own, or the caller's. */
  const char *in_place_of;
  /* Why it has its plan: "predicted" to take least time of what there is, "tuned", "said" by the plan, "to fit" the
   * limit of memory, ...; or why there is no other, as "a sum of one operand: ..." */
  const char *plan_why;
  double
      direct_s; /* predicted seconds of direct, of a convolution that was chosen for; 0: not known */
  const char *
      other; /* the best schedule of another tile or placement, direct left out; NULL: there is none */
  double other_s; /* predicted seconds of that; 0: there is none */
} wn_site_info;
/* index in [0, wn_program_info.sites). */
WN_API wn_status wn_program_get_site(wn_program *program, int index, wn_site_info *info);

/* --- tuning ----------------------------------------------------------------------------------- */

/* Threads: as the context, one at a time; the cores should have nothing else to do. Ownership: the struct of the
 * result is the caller's, its texts belong to the context. Errors: a status, and a line in wn_message(). */

/* What is going on. It is valid during the call only, and written by the library. */
typedef struct wn_tune_state {
  size_t size WN_SIZED(wn_tune_state); /* that of the library which calls */
  const char *trying; /* the schedule that is being compiled; NULL: programs are being timed */
  const char *best;   /* so far; NULL: nothing was measured yet */
  double best_us;     /* least time of a run of it */
  int measured;       /* schedules that were run */
  double seconds;     /* since the beginning */
} wn_tune_state;
/* Nonzero: stop now. Called by the thread that tunes. */
typedef int (*wn_tune_fn)(void *user, const wn_tune_state *state);

/* Zero is the default everywhere. */
#define WN_TUNE_OPTIONS(...) WN_STRUCT(wn_tune_options, __VA_ARGS__)
typedef struct wn_tune_options {
  size_t size WN_SIZED(wn_tune_options); /* sizeof(wn_tune_options) */
  double seconds;      /* about the longest that it may take, not negative; 0: 10 */
  int candidates;      /* how many of those with the least predicted cost are measured; 0: 8 */
  wn_tune_fn progress; /* is called several times a second; may be NULL */
  void *user;          /* of progress */
} wn_tune_options;

#define WN_TUNE_RESULT(...) WN_STRUCT(wn_tune_result, __VA_ARGS__)
typedef struct wn_tune_result {
  size_t size WN_SIZED(wn_tune_result); /* sizeof(wn_tune_result) */
  const char *plan;       /* the fastest schedule; NULL: stopped before there was one */
  const char *untuned;    /* what auto picks by itself; NULL: it was not measured */
  double plan_us;         /* least time of a run of plan */
  double untuned_us;      /* the same of untuned */
  double error;           /* of plan, relative L2 against float64 */
  double sum_error;       /* relative to what was summed, which wn_math's promise is about */
  int64_t places;         /* at which both errors were taken */
  const char *backend;    /* that it holds for */
  const char *isa;        /* that it holds for */
  int threads;            /* that it was measured with */
  int measured;           /* schedules that were run */
  double seconds;         /* that it took */
  int stopped;            /* nonzero: progress said so */
  int stored;             /* nonzero: wn_compile with plan auto takes it from now on */
  const char *not_stored; /* NULL, or why not */
} wn_tune_result;

/* Measures the schedules with the least predicted cost for the graph, and their neighbours, on the caller's data, and
 * stores the fastest for later compiles of the same graph, by any process of this user, with the same dtype, math,
 * weights, ISA, CPU and version, and any number of threads, since results must not depend on it: tune with as many as
 * will run. Writes to data as wn_run does; every array has to be there, and what inputs hold should be like real data,
 * on which a pick's error is checked. options->plan and wino must be NULL (or "auto"). Being stopped is no error: what
 * was found until then is kept. A few tensors stay in the context. options, tune: may be NULL; *result is zeros where
 * tuning fails. */
WN_API wn_status wn_tune(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                         const wn_options *options, const wn_tune_options *tune,
                         wn_tune_result *result);

/* --- models ----------------------------------------------------------------------------------- */

/* Networks from ONNX files (docs/networks.md says which operators, and what is refused and why). A model is read once;
 * from it come graphs of tensors for shapes of its inputs (wn_model_build), or, with less to write, results:
 *
 *     wn_model *m;  wn_model_load(ctx, "net.onnx", NULL, &m);
 *     wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 4, .shape = {1, 3, 224, 224}, .data = x);
 *     wn_value out = WN_VALUE(.data = y, .bytes = sizeof y);
 *     if (wn_model_run(m, &in, 1, &out, 1) != WN_OK) puts(wn_model_message(m));
 *
 * Threads: wn_model_run, wn_model_program and wn_model_outputs from any, also at once; the others one at a time for a
 * model. Ownership: the caller destroys a model, before the context that it was loaded with and after all that was
 * built from it. Errors: a status, and a line in wn_message() of the context that was given, else in
 * wn_model_message(). */

typedef struct wn_model wn_model;

/* Programs of a model that are kept when nothing else is said: those used last. */
#define WN_MODEL_PROGRAMS 8

/* Zero is the default everywhere. */
#define WN_MODEL_OPTIONS(...) WN_STRUCT(wn_model_options, __VA_ARGS__)
typedef struct wn_model_options {
  size_t size WN_SIZED(wn_model_options); /* sizeof(wn_model_options) */
  const wn_options
      *compile;    /* for wn_model_run; copied, its texts too; NULL: the defaults of wn_compile */
  int programs;    /* how many are kept, for shapes and values that decide what is compiled; 0:
                              * WN_MODEL_PROGRAMS */
  int free_shapes; /* nonzero: inputs may have other extents than the file says; ranks stay */
  /* Nonzero: wn_model_run prepares weights, and gives the memory of those in the file back that no run reads; a
   * program for other shapes reads the file again: see wn_model_release_weights. Not of a model that wn_model_build
   * was called for, nor of one in memory. */
  int release_weights;
  /* Nonzero: each program has an arena (wn_bind_arena) of its own; 0: those that are not run at once have one. */
  int own_arenas;
} wn_model_options;

/* An input or output: what a model says of it, or an array of the caller's. */
#define WN_VALUE(...) WN_STRUCT(wn_value, __VA_ARGS__)
typedef struct wn_value {
  size_t size WN_SIZED(wn_value); /* sizeof(wn_value) */
  const char *name;               /* of the model's value; NULL: the one at this place */
  wn_dtype dtype;                 /* of its elements; WN_DTYPE_COUNT: the model does not say */
  int ndim;                       /* axes; -1: the model does not say */
  int64_t shape[WN_MAX_DIMS];     /* extents; -1: the model does not say, or data decides */
  void *data;                     /* row-major; NULL: none */
  size_t bytes;                   /* of an output's data: there is room for so many; 0: enough */
  const char *dim[WN_MAX_DIMS];   /* written: names of dimensions that are open, NULL: none */
} wn_value;

/* Reads the model at `path` into memory, where it is until the model is destroyed; the file may change afterwards,
 * unless weights are released. Data that the model keeps in files of its own is looked for in its folder. Checks every
 * operator: all that is not supported is in the line. WN_ERR_IO, WN_ERR_USAGE, WN_ERR_NOMEM; *model is NULL on
 * error. */
WN_API wn_status wn_model_load(wn_context *ctx, const char *path, const wn_model_options *options,
                               wn_model **model);
/* The same of bytes in memory, which are borrowed until the model is destroyed. */
WN_API wn_status wn_model_load_bytes(wn_context *ctx, const void *bytes, size_t size,
                                     const wn_model_options *options, wn_model **model);
/* NULL is allowed. */
WN_API void wn_model_destroy(wn_model *model);
/* The last error of a function that was given the model and no context, one line, "" if none. It holds until the next
 * such call of this thread or another. */
WN_API const char *wn_model_message(const wn_model *model);

#define WN_MODEL_INFO(...) WN_STRUCT(wn_model_info, __VA_ARGS__)
typedef struct wn_model_info {
  size_t size WN_SIZED(wn_model_info); /* sizeof(wn_model_info) */
  const char *name;                    /* of its graph */
  const char *producer;                /* name and version of what wrote it */
  int64_t ir_version;                  /* of the file */
  int64_t opset;                       /* of ONNX's own operators */
  int inputs;                          /* those that initializers stand in for left out */
  int outputs;                         /* those that were added included */
  int nodes;                           /* operators, those of functions that it calls included */
  int programs;                        /* that are kept now */
  int compiles;                        /* so far */
  int host;                            /* operators that are computed on the host */
  size_t weight_bytes;                 /* of its initializers */
  size_t released_bytes;               /* of its file that are not in memory now */
} wn_model_info;
WN_API wn_status wn_model_get_info(wn_model *model, wn_model_info *info);
/* Makes a value inside the model one more output, after those that there are: for looking at it. name: its own, or that
 * of the node which gives it (first), as tables have it. Before the first build or run. */
WN_API wn_status wn_model_add_output(wn_model *model, const char *name);
/* What the file says of an input or output; dimensions that it leaves open are -1, and dtypes that no program has are
 * those of the arrays that take their place: integers of 8 and 16 bits are WN_I32, of 32 bits without a sign WN_I64.
 * Texts belong to the model. */
WN_API wn_status wn_model_get_input(wn_model *model, int index, wn_value *value);
WN_API wn_status wn_model_get_output(wn_model *model, int index, wn_value *value);

/* Builds the model's graph in a context, for inputs of these shapes: outs[i] is its output i, named as it is. inputs
 * are by name or by place; those that are not there have the model's shape, where it says all of it, and no data. Data
 * is borrowed, as that of wn_input; where a shape, an axis or another value that decides what is compiled depends on
 * an input, its data must be there and is read now, and the input is a wn_fixed_input. The model must outlive the
 * context's use of its weights, which are wn_constants. Outputs that are computed on the host (docs/operators.md: as
 * the last stage) are no tensors: the line names the first, and wn_model_run computes them. */
WN_API wn_status wn_model_build(wn_model *model, wn_context *ctx, const wn_value *inputs, int count,
                                wn_tensor **outs);

/* Prepares a program that was compiled from the model, wn_model_build's graph or wn_model_program's, and gives the
 * memory of weights back that it, and what the model keeps, do not read any more, as soon as each was read for the last
 * time. Its constants cannot be bound any more, and wn_program_get_slot has no data of them. What else was compiled or
 * will be from graphs that were built before must not be run or compiled; a later wn_model_build, and programs for
 * other shapes, read the model's file again: WN_ERR_IO where it is not what it was, as of every later one. Errors as of
 * wn_prepare, in wn_model_message. */
WN_API wn_status wn_model_release_weights(wn_model *model, wn_program *program);

/* The program for inputs of these shapes and fixed values, which is compiled where it is not there yet, and kept. It
 * belongs to the model, and is there until wn_model_release. For those who want to bind or to look at it; to run the
 * model takes wn_model_run alone. Of a model whose last stage is on the host it computes what comes before: the outputs
 * that are not computed there, in order, and then what that stage reads. */
WN_API wn_status wn_model_program(wn_model *model, const wn_value *inputs, int count,
                                  wn_program **program);
WN_API void wn_model_release(wn_model *model, wn_program *program);
/* Shapes and dtypes of all outputs for inputs of these shapes: outputs[0..wn_model_info.outputs), and the bytes of
 * their arrays. An extent that data decides (how many boxes are selected) is -1, and the bytes are the most there can
 * be. Compiles where there is no program yet. */
WN_API wn_status wn_model_outputs(wn_model *model, const wn_value *inputs, int count,
                                  wn_value *outputs);
/* Computes outputs[0..outputs_count) from the inputs, by name or by place. Each output's data has room for its array,
 * the largest where data decides its shape (or is NULL: nobody wants it), and its dtype, ndim and shape are written. */
WN_API wn_status wn_model_run(wn_model *model, const wn_value *inputs, int inputs_count,
                              wn_value *outputs, int outputs_count);

#ifdef __cplusplus
}
#endif
#endif
