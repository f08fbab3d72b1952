/* Compile and launch kernels on a backend; the interpreter stands behind each of them.
 *
 * In: linear kernels. Out: a module whose kernels can be launched, and memory that they work on. A kernel that is over
 * max_lines, does not compile or does not load runs in the interpreter: its `fallback` says why and a warning was given
 * through diag; of a device, what it touches goes through the host's memory.
 * Always holds: launch allocates nothing, a first launch with a stamp or of a kernel that fell back on a device apart,
 * and takes no lock but those of the thread pool and of drivers. What returns text returns NULL where all went well,
 * else one line that lives as long as the runtime. */
#ifndef WN_BACKEND_RUNTIME_H
#define WN_BACKEND_RUNTIME_H

#include "kernel/linear.h"
#include "machine/machine.h"

/* --- runtime ---------------------------------------------------------------------------------- */
typedef struct runtime runtime;
/* backend: a name of registry.c, with a colon and a device behind it where it has some ("opencl:0:1"); NULL: the first
 * there. isa NULL: $WINNOW_ISA where the backend has it, else the best; threads 0: $WINNOW_THREADS or all cores; more
 * than there are cores in the process's affinity mask is a warning and runs as many as there are. On error diag_fail.
 * Runtimes of equally many threads, two or more, share them. Beside a device threads are what interprets the kernels
 * that fall back. */
runtime *runtime_create(diag *d, const char *backend, const char *isa, int threads);
/* The same for kernels that are looked at, not run: where there is no such device a typical one of the backend's stands
 * for it, and kernels are not compiled. */
runtime *runtime_create_foreign(diag *d, const char *backend, const char *isa, int threads);
/* Another runtime of the same backend, device, instruction set, threads and flushing: what one has compiled the other
 * may launch (runtime_reserve), and blocks of one's memory are the other's as well. */
runtime *runtime_create_like(diag *d, const runtime *rt);
void runtime_destroy(runtime *rt); /* after all modules that it compiled */
/* False: its kernels are interpreted, or looked at alone. */
bool runtime_is_here(const runtime *rt);
bool runtime_is_reference(const runtime *rt); /* it is the interpreter that was asked for */
/* True in a child process of fork() where the runtime is one of a device: no driver survives that, so of all functions
 * only those that destroy may be called, and they leave the device alone. */
bool runtime_is_orphan(const runtime *rt);
/* To be called before anything is compiled: kernels may take subnormal numbers for zeros, and give zeros for them. */
void runtime_flush_subnormals(runtime *rt);
bool runtime_flushes(const runtime *rt);
const char *runtime_backend(const runtime *rt);    /* its name */
const machine *runtime_machine(const runtime *rt); /* its limits are not looked up */
int runtime_threads(const runtime *rt); /* that run kernels: of a device, its compute units */
/* Of local arrays that the host holds: 0 for a device. */
int runtime_scratch_blocks(const runtime *rt);
/* Around launches: runtimes that share threads take turns, in the order in which they came, and the scratch is for
 * whose turn it is. In between the thread is in the default floating-point environment, or in one that flushes;
 * runtime_end gives it its own again. False: see pool_begin. */
bool runtime_begin(runtime *rt);
void runtime_end(runtime *rt);

/* --- memory ----------------------------------------------------------------------------------- */
typedef struct device_info {                    /* for people, and for messages */
  const char *spec;                             /* that opens it: "0:1" */
  const char *name, *platform, *version, *kind; /* kind: "gpu", "cpu", "accelerator", ... */
  int units;
  size_t memory, local_bytes;
  int group;
} device_info;
/* The devices of a backend that has some, by its name without a spec; 0 with the reason in *why where there are none.
 * */
int runtime_devices(diag *d, arena *a, const char *backend, const device_info **out,
                    const char **why);

typedef struct
    device_arg {  /* an array: of a block of the runtime's memory, from `offset` bytes on */
  void *block;    /* of runtime_alloc; where arrays are in place any memory of the host */
  int64_t offset; /* may be negative: what a later round of a host loop addresses lies further on */
} device_arg;

/* True: the host's arrays can be used where they are. False: kernels see what runtime_alloc gave alone. */
bool runtime_in_place(const runtime *rt);
/* It is open, and not in place. */
bool runtime_has_device(const runtime *rt);
/* For every runtime that is open, by whose turn it is or before anything runs. */
void *runtime_alloc(runtime *rt, size_t bytes); /* of zeros; NULL: there is not that much */
void runtime_free(runtime *rt, void *block);    /* NULL is allowed */
const char *runtime_write(runtime *rt, void *block, size_t offset, const void *from, size_t bytes);
const char *runtime_read(runtime *rt, void *block, size_t offset, void *to, size_t bytes);
const char *runtime_finish(runtime *rt); /* waits for all that was queued */
/* Records what the device does into a new file, in the format of its maker's tools (Metal: .gputrace); path NULL ends
 * it. */
const char *runtime_capture(runtime *rt, const char *path);
/* Seconds that a launch with this stamp took by the device's clock, or the host's where it ran there, after
 * runtime_finish. */
const char *runtime_stamp(runtime *rt, int stamp, double *seconds);

/* --- modules ---------------------------------------------------------------------------------- */
struct store;
/* Who is told how many kernels are compiled; tell NULL: nobody. */
typedef struct compile_progress {
  wn_compiling_fn tell;
  void *user;
} compile_progress;

typedef struct compile_options {
  int max_lines;       /* 0: 2000 */
  struct store *store; /* has or gets the code, during the call only; NULL: compile anew */
  compile_progress progress;
  int side,
      side_args; /* launches side by side at most, and arrays that several of them have together at most */
} compile_options;

/* NULL, or why this kernel, which has so many source lines, is one for the interpreter: what module_compile finds
 * before any compiler sees it. */
const char *runtime_line_limit(const runtime *rt, arena *a, arena *scratch, const lin_kernel *k,
                               int max_lines, int *lines);

typedef struct module module;
/* The kernels must outlive the module. */
module *module_compile(runtime *rt, diag *d, int count, const lin_kernel *const *kernels,
                       const compile_options *options);
void module_destroy(module *m);
/* Before the module is launched through another runtime than the one that compiled it: scratch and what else launches
 * need belong to the runtime. diag_fail if there is no memory. */
void runtime_reserve(runtime *rt, diag *d, const module *m);

typedef struct kernel_state {
  const char *fallback; /* NULL: compiled */
  const char *note;     /* what the device's compiler says of it, or NULL */
  int source_lines;
} kernel_state;
kernel_state module_kernel(const module *m, int index);
/* The compiled kernel as text, an instruction a line, disassembled when first asked for; NULL for kernels that are
 * interpreted and where the backend cannot tell. Belongs to the module. */
const char *module_assembly(module *m, int index);
/* Vector registers that the assembly names and its stores of registers to the stack; -1 where there is no assembly. */
void module_registers(module *m, int index, int *registers, int *spills);
bool module_cached(const module *m);
/* The kernel as the backend's compiler reads it; as C where that reads no text. */
void runtime_source(const runtime *rt, const lin_kernel *k, str *out);

/* Between runtime_begin and runtime_end: runs kernel `index` for the blocks [begin, end) of its grid, over the pool's
 * threads, or queues them on a device behind everything before, compiled or interpreted. rt: the runtime that compiled
 * it, or another of the same backend, instruction set and device. args: its global arrays by slot. stamp: -1, or a
 * number for runtime_stamp, from 0 in each run that is timed. NULL, or one line that says what failed. */
const char *module_launch(runtime *rt, module *m, int index, const device_arg *args, int64_t begin,
                          int64_t end, int stamp);

/* One of several launches that do not depend on each other. */
typedef struct module_call {
  int index;
  const device_arg *args;
  int64_t begin, end;
} module_call;
/* Runs all of them: on threads of the host as one job of the pool, so that a thread that finds nothing left of one goes
 * on with the next; on a device, whose queue is in order, in turn. No more than compile_options.side said. */
const char *module_launch_together(runtime *rt, module *m, const module_call *calls, int count);

#endif
