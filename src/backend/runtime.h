/* Compile and launch kernels on a backend; the interpreter stands behind each of them.
 *
 * In: linear kernels. Out: a module whose kernels can be launched. A kernel that is over max_lines, does not compile or
 * does not load runs in the interpreter: its `fallback` says why and a warning was given through diag.
 * Always holds: launch allocates nothing and takes no lock but those of the thread pool. */
#ifndef WN_BACKEND_RUNTIME_H
#define WN_BACKEND_RUNTIME_H

#include "kernel/linear.h"
#include "machine/machine.h"

/* --- runtime -------------------------------------------------------------------------------------------------------- */
typedef struct runtime runtime;
/* backend: NULL or "cpu" (LLVM; cpu:cc where LLVM was not built in, with a note if "cpu" was asked for), "cpu:cc",
 * "interp", which takes kernels for any instruction set, "opencl" or "opencl:PLATFORM:DEVICE" (numbers or parts of names).
 * isa NULL: $WINNOW_ISA or the best; for a device "simt" or "simd". threads 0: $WINNOW_THREADS or
 * all cores; more than there are cores in the process's affinity mask is a warning and runs as many as there are. On error
 * diag_fail. Runtimes of equally many threads, two or more, share them. Beside a device threads are what interprets the
 * kernels that fall back. */
runtime *runtime_create(diag *d, const char *backend, const char *isa, int threads);
/* The same for kernels that are looked at, not run: where there is no such device a typical one of the backend's stands
 * for it, and kernels are not compiled. */
runtime *runtime_create_foreign(diag *d, const char *backend, const char *isa, int threads);
void runtime_destroy(runtime *rt);
bool runtime_is_here(
    const runtime *rt); /* false: its kernels are interpreted, or looked at alone */
/* True in a child process of fork() where the runtime is one of a device: no driver survives that, so of all functions only
 * those that destroy may be called, and they leave the device alone. */
bool runtime_is_orphan(const runtime *rt);
/* To be called before anything is compiled: kernels may take subnormal numbers for zeros, and give zeros for them. */
void runtime_flush_subnormals(runtime *rt);
bool runtime_flushes(const runtime *rt);
const char *runtime_backend(const runtime *rt);    /* "cpu", "cpu:cc", "interp", "opencl" */
const machine *runtime_machine(const runtime *rt); /* its limits are not looked up */
int runtime_threads(const runtime *rt); /* that run kernels: of a device, its compute units */
int runtime_scratch_blocks(
    const runtime *rt); /* of local arrays that the host holds: 0 for a device */
/* Around launches: runtimes that share threads take turns, in the order in which they came, and the scratch is for whose
 * turn it is. In between the thread is in the default floating-point environment, or in one that flushes; runtime_end gives
 * it its own again. False: see pool_begin. */
bool runtime_begin(runtime *rt);
void runtime_end(runtime *rt);

/* --- memory of a device -------------------------------------------------------------------------------------------- */
typedef struct device_info {                    /* for people, and for messages */
  const char *spec;                             /* that opens it: "0:1" */
  const char *name, *platform, *version, *kind; /* kind: "gpu", "cpu", "accelerator", ... */
  int units;
  size_t memory, local_bytes;
  int group;
} device_info;
/* The devices of a backend, by its name without a spec; 0 with the reason in *why where there are none. */
int runtime_devices(diag *d, arena *a, const char *backend, const device_info **out,
                    const char **why);

typedef struct
    device_arg { /* an array: of a block of the device's memory, from `offset` bytes on */
  void *block;
  int64_t offset; /* may be negative: what a later round of a host loop addresses lies further on */
} device_arg;

/* False: arrays are in the host's memory, and nothing below may be called. Else it is called by whose turn it is. What
 * returns text returns NULL where all went well, else one line that lives as long as the runtime. */
bool runtime_has_device(const runtime *rt);
void *runtime_alloc(runtime *rt, size_t bytes); /* of zeros; NULL: there is not that much */
void runtime_free(runtime *rt, void *block);    /* NULL is allowed */
const char *runtime_write(runtime *rt, void *block, size_t offset, const void *from, size_t bytes);
const char *runtime_read(runtime *rt, void *block, size_t offset, void *to, size_t bytes);
const char *runtime_finish(runtime *rt); /* waits for all that was queued */
/* Records what the device does into a new file, in the format of its maker's tools (Metal: .gputrace); path NULL ends it. */
const char *runtime_capture(runtime *rt, const char *path);
/* Seconds that a launch with this stamp took by the device's clock, after runtime_finish. */
const char *runtime_stamp(runtime *rt, int stamp, double *seconds);

struct store;
typedef struct compile_options {
  int max_lines;       /* 0: 2000 */
  struct store *store; /* has or gets the code, during the call only; NULL: compile anew */
} compile_options;

/* NULL, or why this kernel, which has so many source lines, is one for the interpreter: what module_compile finds before any
 * compiler sees it. */
const char *runtime_line_limit(const runtime *rt, arena *a, arena *scratch, const lin_kernel *k,
                               int max_lines, int *lines);

typedef struct module module;
/* Compiles all kernels together. The kernels must outlive the module. */
module *module_compile(runtime *rt, diag *d, int count, const lin_kernel *const *kernels,
                       const compile_options *options);
void module_destroy(module *m);

typedef struct kernel_state {
  const char *fallback; /* NULL: compiled */
  const char *note;     /* what the device's compiler says of it, or NULL */
  int source_lines;
} kernel_state;
kernel_state module_kernel(const module *m, int index);
/* The compiled kernel as text, an instruction a line, disassembled when first asked for; NULL for kernels that are
 * interpreted and where the backend cannot tell (cpu:cc). Belongs to the module. */
const char *module_assembly(module *m, int index);
/* Vector registers that the assembly names and its stores of registers to the stack; -1 where there is no assembly. */
void module_registers(module *m, int index, int *registers, int *spills);
bool module_cached(const module *m);
/* The kernel as the backend's compiler reads it; as C where that reads no text. */
void runtime_source(const runtime *rt, const lin_kernel *k, str *out);

/* Between runtime_begin and runtime_end: run kernel `index` for the blocks [begin, end) of its grid, over the pool's
 * threads; returns when all are done. args: one pointer per global array, by slot. Scratch is the runtime's, one block per worker, sized at compile time. */
void module_launch(module *m, int index, void *const *args, int64_t begin, int64_t end);

/* The same on a device, of a kernel that did not fall back: queued behind everything before. args: by slot. stamp: -1, or
 * a number for runtime_stamp, from 0 in each run that is timed. NULL, or one line that says what failed. */
const char *module_queue(module *m, int index, const device_arg *args, int64_t begin, int64_t end,
                         int stamp);

/* The reference interpreter: one thread a call, arithmetic of floats in float64, every op of the linear IR; memory keeps
 * its dtype. An offset outside of an array is a broken invariant. interp_prepare decodes a verified kernel once, into
 * the arena; interp_run allocates nothing and may run in several threads, each with a scratch of its own of
 * interp_scratch bytes, 64-byte aligned (the kernel's local arrays first, then registers). */
typedef struct interp_code interp_code;
const interp_code *interp_prepare(arena *a, const lin_kernel *k);
size_t interp_scratch(const interp_code *code);
void interp_run(const interp_code *code, void *const *args, void *scratch, int64_t begin,
                int64_t end);

#endif
