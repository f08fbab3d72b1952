/* Kernels through an OpenCL device's own compiler.
 *
 * In: linear kernels. Out: kernel objects, or the compiler's complaint with the line that it speaks of. All kernels of
 * a program are one source, built once; where that fails each is built by itself, so that one bad kernel does not take
 * the others with it. Binaries are kept in the store under the source, the device, its driver and the options; the
 * build log is kept with them, since NVIDIA's has registers and spills (as ptxas prints them).
 * Always holds: nothing inexact is switched on; a kernel that the device cannot launch (its work groups or local arrays
 * are too large) is an error here, not at its first launch. */
#include "backend/opencl/opencl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "render/render.h"
#include "store/store.h"

typedef struct opencl_code {
  opencl_device *device;
  pthread_mutex_t lock; /* of its kernels */
  int programs, kernels;
  cl_program *program; /* one, or one for each kernel */
  cl_kernel *kernel;
} opencl_code;

typedef struct build {
  opencl_device *device;
  arena *scratch;
  store *cache;
  bool flush;
  char options[128];
  const char *text; /* of what is being built */
  size_t len;
  const char *log; /* of the last build, "" for none */
  const char *reason;
  bool compiled; /* not all was in the store */
} build;

/* --- what the compiler says ------------------------------------------------------------------- */

static const char *read_log(build *b, cl_program program) {
  const opencl_api *api = &b->device->api;
  size_t size = 0;
  cl_device_id id = b->device->facts.id;
  if (api->clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS)
    return "";
  char *log = arena_alloc(b->scratch, size + 1);
  if (api->clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, size, log, NULL) != CL_SUCCESS)
    return "";
  log[size] = 0;
  return log;
}

/* The line with this number, from 1, without what stands around it; *n 0 where there is none. */
static const char *line_of(const char *text, long number, size_t *n) {
  const char *at = text;
  for (long i = 1; at != NULL && i < number; ++i) {
    at = strchr(at, '\n');
    if (at != NULL) ++at;
  }
  *n = 0;
  if (at == NULL || number < 1) return "";
  while (*at == ' ' || *at == '\t') ++at;
  *n = strcspn(at, "\n");
  return at;
}

/* The number of the source line in "FILE:12:5" or "12:5", which end where `end` points; 0 where there is none. */
static long line_number(const char *start, const char *end) {
  long last = 0;
  const char *at = end;
  for (int fields = 0; fields < 2 && at > start; ++fields) {
    const char *digits = at;
    while (digits > start && isdigit((unsigned char)digits[-1])) --digits;
    if (digits == at) break;
    last = strtol(digits, NULL, 10);
    if (digits == start || digits[-1] != ':') break;
    at = digits - 1;
  }
  return last;
}

/* The first error of the log, else its first line, and the line of the source that it names. */
static const char *complaint(build *b, const char *log, cl_int status) {
  char number[32];
  const char *error = strstr(log, "error:");
  if (error == NULL) {
    while (text_is_space(*log)) ++log;
    return *log ? arena_printf(b->scratch, "the device's compiler: %.*s",
                               (int)(strcspn(log, "\n") < 250 ? strcspn(log, "\n") : 250), log)
                : arena_printf(b->scratch, "the device's compiler failed: %s",
                               opencl_error_name(status, number));
  }
  const char *start = error, *end = error;
  while (start > log && start[-1] != '\n') --start;
  while (end > start && (end[-1] == ' ' || end[-1] == ':')) --end;
  const char *what = error + strlen("error:");
  while (*what == ' ') ++what;
  size_t size = strcspn(what, "\n"), source_size;
  long line = line_number(start, end);
  const char *source = line_of(b->text, line, &source_size);
  if (source_size == 0)
    return arena_printf(b->scratch, "the device's compiler: %.*s", (int)(size < 250 ? size : 250),
                        what);
  return arena_printf(b->scratch, "the device's compiler, line %ld: %.*s: \"%.*s\"", line,
                      (int)(size < 200 ? size : 200), what,
                      (int)(source_size < 160 ? source_size : 160), source);
}

/* "Used 40 registers" and "8 bytes spill stores" after the entry function's name, as ptxas has them. */
static void read_registers(const char *log, const char *name, backend_kernel *out) {
  out->registers = out->spills = -1;
  size_t n = strlen(name);
  for (const char *at = strstr(log, "Compiling entry function '"); at != NULL;
       at = strstr(at + 1, "Compiling entry function '")) {
    const char *entry = at + strlen("Compiling entry function '");
    if (strncmp(entry, name, n) != 0 || entry[n] != '\'') continue;
    const char *end = strstr(entry, "Compiling entry function '");
    const char *used = strstr(entry, "Used "), *spill = strstr(entry, " bytes spill stores");
    if (used != NULL && (end == NULL || used < end)) out->registers = atoi(used + strlen("Used "));
    if (spill != NULL && (end == NULL || spill < end)) {
      while (spill > entry && isdigit((unsigned char)spill[-1])) --spill;
      out->spills = atoi(spill) / 4;
    }
    return;
  }
}

/* --- programs, from the store or the compiler ------------------------------------------------- */

static void set_options(build *b) {
  const opencl_device_facts *f = &b->device->facts;
  snprintf(b->options, sizeof b->options, "-cl-std=CL1.2%s%s%s",
           f->single_config & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT
               ? " -cl-fp32-correctly-rounded-divide-sqrt"
               : "",
           strstr(f->platform_name, "NVIDIA") != NULL ? " -cl-nv-verbose" : "",
           b->flush ? " -cl-denorms-are-zero" : "");
}

static void make_key(build *b, str *key) {
  const opencl_device_facts *f = &b->device->facts;
  str_printf(key, "opencl\n%s\n%s\n%s\n%s\n%s\n", f->platform_name, f->name, f->version, f->driver,
             b->options);
  str_addn(key, b->text, b->len);
}

static cl_int build_program(build *b, cl_program program) {
  return b->device->api.clBuildProgram(program, 1, &b->device->facts.id, b->options, NULL, NULL);
}

/* What was kept: the length of the log, the log, the binary. A binary that the driver does not take is compiled anew.
 * */
static cl_program load_program(build *b, const str *key) {
  size_t size;
  const unsigned char *kept =
      store_get(b->cache, b->scratch, STORE_KERNELS, key->data, key->len, &size);
  uint64_t log = 0;
  if (kept == NULL || size < sizeof log) return NULL;
  memcpy(&log, kept, sizeof log);
  if (log > size - sizeof log) return NULL;
  const unsigned char *binary = kept + sizeof log + log;
  size_t length = size - sizeof log - (size_t)log;
  cl_int error = CL_SUCCESS, status = CL_SUCCESS;
  cl_program program = b->device->api.clCreateProgramWithBinary(
      b->device->context, 1, &b->device->facts.id, &length, &binary, &status, &error);
  if (!program) return NULL;
  if (build_program(b, program) != CL_SUCCESS) {
    b->device->api.clReleaseProgram(program);
    return NULL;
  }
  char *text = arena_alloc(b->scratch, (size_t)log + 1);
  memcpy(text, kept + sizeof log, (size_t)log);
  b->log = text;
  return program;
}

/* What fails here is nobody's loss. */
static void keep_program(build *b, const str *key, cl_program program) {
  size_t size = 0;
  uint64_t log = strlen(b->log);
  const opencl_api *api = &b->device->api;
  if (b->cache == NULL || api->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size,
                                                &size, NULL) != CL_SUCCESS)
    return;
  if (size == 0) return;
  unsigned char *bytes = arena_alloc(b->scratch, sizeof log + (size_t)log + size);
  unsigned char *binary = bytes + sizeof log + log;
  memcpy(bytes, &log, sizeof log);
  memcpy(bytes + sizeof log, b->log, (size_t)log);
  if (api->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) ==
      CL_SUCCESS)
    store_put(b->cache, STORE_KERNELS, key->data, key->len, bytes, sizeof log + (size_t)log + size);
}

static cl_program compile_program(build *b, const str *key) {
  const opencl_api *api = &b->device->api;
  cl_int error = CL_SUCCESS;
  b->compiled = true;
  cl_program program =
      api->clCreateProgramWithSource(b->device->context, 1, &b->text, &b->len, &error);
  if (!program) {
    b->reason = arena_strdup(b->scratch, opencl_failed(b->device, error, "taking a source"));
    return NULL;
  }
  error = build_program(b, program);
  b->log = read_log(b, program);
  if (error == CL_SUCCESS) {
    keep_program(b, key, program);
    return program;
  }
  b->reason = complaint(b, b->log, error);
  api->clReleaseProgram(program);
  return NULL;
}

/* --- kernels ---------------------------------------------------------------------------------- */

static size_t kernel_figure(const opencl_device *dev, cl_kernel kernel,
                            cl_kernel_work_group_info what) {
  cl_ulong bytes = 0;
  size_t count = 0;
  bool is_count = what == CL_KERNEL_WORK_GROUP_SIZE;
  cl_int error = dev->api.clGetKernelWorkGroupInfo(
      kernel, dev->facts.id, what, is_count ? sizeof count : sizeof bytes,
      is_count ? (void *)&count : (void *)&bytes, NULL);
  if (error != CL_SUCCESS)
    return is_count ? SIZE_MAX : 0; /* what it does not tell is no obstacle */
  return is_count ? count : (size_t)bytes;
}

/* NULL, or why the device cannot launch the kernel. */
static const char *cannot_launch(const opencl_device *dev, arena *a, cl_kernel kernel,
                                 const lin_kernel *k) {
  size_t group = k->group > 0 ? (size_t)k->group : 1;
  size_t most = kernel_figure(dev, kernel, CL_KERNEL_WORK_GROUP_SIZE);
  size_t local = kernel_figure(dev, kernel, CL_KERNEL_LOCAL_MEM_SIZE);
  if (group > most)
    return arena_printf(
        a, "groups of %zu work items, and the device runs at most %zu of this kernel", group, most);
  if (k->group == 0 && k->scratch_bytes > OPENCL_PRIVATE_BYTES)
    return arena_printf(a, "%zu bytes of local arrays are more than a thread's stack should hold",
                        k->scratch_bytes);
  if (local > dev->facts.local_bytes)
    return arena_printf(a, "%zu bytes of local arrays, and the device has %zu for a group", local,
                        (size_t)dev->facts.local_bytes);
  return NULL;
}

static const char *note_of(const opencl_device *dev, arena *a, cl_kernel kernel) {
  size_t most = kernel_figure(dev, kernel, CL_KERNEL_WORK_GROUP_SIZE);
  size_t local = kernel_figure(dev, kernel, CL_KERNEL_LOCAL_MEM_SIZE);
  size_t own = kernel_figure(dev, kernel, CL_KERNEL_PRIVATE_MEM_SIZE);
  return arena_printf(a, "%zu bytes of local and %zu of private memory, groups of at most %zu",
                      local, own, most);
}

static opencl_kernel *describe(arena *a, opencl_code *code, cl_kernel kernel, const lin_kernel *k) {
  opencl_kernel *made = arena_new(a, opencl_kernel);
  *made = (opencl_kernel){.kernel = kernel,
                          .lock = &code->lock,
                          .name = arena_strdup(a, k->name),
                          .group = k->group > 0 ? (size_t)k->group : 1};
  for (size_t i = 0; i < k->arrays.len; ++i)
    if (k->arrays.data[i].space == SPACE_GLOBAL && k->arrays.data[i].slot >= made->nargs)
      made->nargs = k->arrays.data[i].slot + 1;
  made->arg = arena_array(a, device_arg, made->nargs + 1);
  made->is_set = arena_array(a, bool, made->nargs + 1);
  made->element = arena_array(a, int, made->nargs + 1);
  for (int i = 0; i < made->nargs; ++i) made->element[i] = 1;
  for (size_t i = 0; i < k->arrays.len; ++i) {
    const lin_array *array = &k->arrays.data[i];
    if (array->space == SPACE_GLOBAL) made->element[array->slot] = (int)wn_dtype_size(array->dtype);
  }
  return made;
}

static void take_kernel(build *b, arena *a, opencl_code *code, cl_program program,
                        const lin_kernel *k, backend_kernel *out) {
  cl_int error = CL_SUCCESS;
  cl_kernel kernel = b->device->api.clCreateKernel(program, k->name, &error);
  if (!kernel) {
    out->error = arena_strdup(a, opencl_failed(b->device, error, "taking kernel %s", k->name));
    return;
  }
  code->kernel[code->kernels++] = kernel;
  out->error = cannot_launch(b->device, a, kernel, k);
  if (out->error != NULL) return;
  read_registers(b->log, k->name, out);
  out->note = note_of(b->device, a, kernel);
  out->code = describe(a, code, kernel, k);
}

/* Builds kernels[first..last) as one source; a reason in b otherwise. */
static bool build_part(build *b, opencl_code *code, const backend_job *job, int first, int last) {
  const lin_kernel *const *kernels = job->kernels;
  str text, key;
  str_init(&text, b->scratch);
  render_opencl_prelude(&text, last - first, kernels + first);
  for (int i = first; i < last; ++i) render_opencl(&text, kernels[i]);
  b->text = str_text(&text);
  b->len = text.len;
  b->log = "";
  str_init(&key, b->scratch);
  make_key(b, &key);
  cl_program program = load_program(b, &key);
  if (!program) program = compile_program(b, &key);
  if (!program) return false;
  code->program[code->programs++] = program;
  for (int i = first; i < last; ++i)
    take_kernel(b, job->a, code, program, kernels[i], &job->out[i]);
  return true;
}

static void build_all(build *b, opencl_code *code, const backend_job *job) {
  set_options(b);
  if (build_part(b, code, job, 0, job->count)) return;
  for (int i = 0; i < job->count; ++i)
    if (job->count == 1 || !build_part(b, code, job, i, i + 1))
      job->out[i].error = arena_strdup(job->a, b->reason);
}

void opencl_release(void *handle) {
  opencl_code *code = handle;
  if (code == NULL) return;
  for (int i = 0; i < code->kernels; ++i) code->device->api.clReleaseKernel(code->kernel[i]);
  for (int i = 0; i < code->programs; ++i) code->device->api.clReleaseProgram(code->program[i]);
  pthread_mutex_destroy(&code->lock);
  mem_free(code);
}

static opencl_code *new_code(opencl_device *device, int count) {
  size_t n = (size_t)count;
  opencl_code *code =
      mem_alloc(sizeof *code + n * sizeof *code->program + n * sizeof *code->kernel);
  if (code == NULL) return NULL;
  *code = (opencl_code){.device = device};
  if (pthread_mutex_init(&code->lock, NULL) != 0) {
    mem_free(code);
    return NULL;
  }
  code->program = (cl_program *)(code + 1);
  code->kernel = (cl_kernel *)(code->program + n);
  return code;
}

void *opencl_compile(void *device, backend_job *job) {
  diag *d = job->d;
  opencl_code *code = new_code(device, job->count);
  if (code == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while compiling kernels");
  arena scratch;
  arena_init(&scratch, d);
  build b = {.device = device,
             .scratch = &scratch,
             .cache = job->cache,
             .flush = job->flush,
             .reason = "unknown"};
  wn_status st;
  DIAG_TRY(d, st) { build_all(&b, code, job); }
  DIAG_END(d, st)
  arena_release(&scratch);
  job->cached = !b.compiled && code->programs > 0;
  if (st == WN_OK) return code;
  opencl_release(code);
  diag_fail(d, st, "out of memory while compiling kernels");
}
