/* An OpenCL library that computes nothing and fails on demand: what a driver does that a working one cannot be made to
 * do.
 *
 * Two platforms: "Fake NVIDIA" with the GPUs "Alpha 100" and "Alpha 200", which is not available; "Fake CPUs" with
 * "Beta pthread". Buffers hold what is written to them, kernels run without an effect, builds succeed unless the source
 * has what the state refuses. Its build logs look like ptxas's, and its errors like clang's.
 * Always holds: every object that a call makes is counted until it is released, and a call that fails makes none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "fake/opencl.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT fake_opencl fake_opencl_state;
#define STATE fake_opencl_state

typedef struct object { /* what every handle points to */
  int holders;
  size_t size;
  char *bytes; /* of a buffer; of a program: its source */
  char log[512];
} object;

static object platforms[2], devices[3];
static const char binary[] = "fake binary of ";

static int fails(void) {
  STATE.calls++;
  if (STATE.fail_at == 0) return 0;
  return STATE.calls == STATE.fail_at || (STATE.fail_ever_after && STATE.calls > STATE.fail_at);
}

static void *make(size_t size, const void *bytes, cl_int *error) {
  object *o = fails() ? NULL : calloc(1, sizeof *o);
  if (error) *error = o ? CL_SUCCESS : STATE.error;
  if (!o) return NULL;
  o->holders = 1;
  o->size = size;
  o->bytes = calloc(1, size + 1);
  if (bytes) memcpy(o->bytes, bytes, size);
  STATE.live++;
  return o;
}

static cl_int drop(void *handle) {
  object *o = handle;
  if (--o->holders > 0) return CL_SUCCESS;
  free(o->bytes);
  free(o);
  STATE.live--;
  return CL_SUCCESS;
}

static cl_int simply(void) { return fails() ? STATE.error : CL_SUCCESS; }

static cl_int give(const void *value, size_t have, size_t size, void *to, size_t *needed) {
  if (fails()) return STATE.error;
  if (needed) *needed = have;
  if (to && size < have) return CL_INVALID_VALUE;
  if (to) memcpy(to, value, have);
  return CL_SUCCESS;
}

static cl_int give_text(const char *text, size_t size, void *to, size_t *needed) {
  return give(text, strlen(text) + 1, size, to, needed);
}

static cl_int give_number(cl_ulong value, size_t bytes, size_t size, void *to, size_t *needed) {
  cl_uint small = (cl_uint)value;
  return bytes == 4 ? give(&small, 4, size, to, needed) : give(&value, 8, size, to, needed);
}

/* --- platforms and devices -------------------------------------------------------------------- */

EXPORT cl_int clGetPlatformIDs(cl_uint room, cl_platform_id *ids, cl_uint *count) {
  if (fails()) return STATE.error;
  for (cl_uint i = 0; i < 2 && i < room; i++) ids[i] = (cl_platform_id)(void *)&platforms[i];
  *count = 2;
  return CL_SUCCESS;
}

EXPORT cl_int clGetPlatformInfo(cl_platform_id id, cl_platform_info what, size_t size, void *to,
                                size_t *needed) {
  (void)what;
  return give_text((void *)id == &platforms[0] ? "Fake NVIDIA" : "Fake  CPUs ", size, to, needed);
}

EXPORT cl_int clGetDeviceIDs(cl_platform_id id, cl_device_type type, cl_uint room,
                             cl_device_id *ids, cl_uint *count) {
  (void)type;
  if (fails()) return STATE.error;
  int first = (void *)id == &platforms[0] ? 0 : 2, n = first == 0 ? 2 : 1;
  for (int i = 0; i < n && i < (int)room; i++) ids[i] = (cl_device_id)(void *)&devices[first + i];
  *count = (cl_uint)n;
  return CL_SUCCESS;
}

EXPORT cl_int clGetDeviceInfo(cl_device_id id, cl_device_info what, size_t size, void *to,
                              size_t *needed) {
  static const char *const names[] = {"Alpha 100", "Alpha 200", "Beta pthread"};
  long number = (object *)(void *)id - devices;
  switch (what) {
    case CL_DEVICE_NAME:
      return give_text(names[number], size, to, needed);
    case CL_DEVICE_VENDOR:
      return give_text(number < 2 ? "NVIDIA Corporation" : "fake", size, to, needed);
    case CL_DEVICE_VERSION:
      return give_text("OpenCL 1.2 fake", size, to, needed);
    case CL_DRIVER_VERSION:
      return give_text("1.0", size, to, needed);
    case CL_DEVICE_EXTENSIONS:
      return give_text("cl_khr_fp64", size, to, needed);
    case CL_DEVICE_TYPE:
      return give_number(number < 2 ? CL_DEVICE_TYPE_GPU : CL_DEVICE_TYPE_CPU, 8, size, to, needed);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
      return give_number(4, 4, size, to, needed);
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT:
      return give_number(number < 2 ? 1 : 8, 4, size, to, needed);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
      return give_number(4096, sizeof(size_t), size, to, needed);
    case CL_DEVICE_AVAILABLE:
      return give_number(number != 1, 4, size, to, needed);
    case CL_DEVICE_COMPILER_AVAILABLE:
      return give_number(1, 4, size, to, needed);
    case CL_DEVICE_SINGLE_FP_CONFIG:
      return give_number(CL_FP_FMA, 8, size, to, needed);
    case CL_DEVICE_LOCAL_MEM_SIZE:
      return give_number(32768, 8, size, to, needed);
    default:
      return give_number(1 << 28, 8, size, to, needed);
  }
}

EXPORT cl_context clCreateContext(const cl_context_properties *properties, cl_uint count,
                                  const cl_device_id *ids,
                                  void(CL_CALLBACK *notify)(const char *, const void *, size_t,
                                                            void *),
                                  void *user, cl_int *error) {
  (void)properties, (void)count, (void)ids, (void)notify, (void)user;
  return make(0, NULL, error);
}

EXPORT cl_int clReleaseContext(cl_context c) { return drop(c); }

EXPORT cl_command_queue clCreateCommandQueue(cl_context c, cl_device_id id,
                                             cl_command_queue_properties p, cl_int *error) {
  (void)c, (void)id, (void)p;
  return make(0, NULL, error);
}

EXPORT cl_int clReleaseCommandQueue(cl_command_queue q) { return drop(q); }
EXPORT cl_int clFlush(cl_command_queue q) { return (void)q, simply(); }
EXPORT cl_int clFinish(cl_command_queue q) { return (void)q, simply(); }

/* --- buffers ---------------------------------------------------------------------------------- */

EXPORT cl_mem clCreateBuffer(cl_context c, cl_mem_flags flags, size_t size, void *host,
                             cl_int *error) {
  (void)c, (void)flags, (void)host;
  return make(size, NULL, error);
}

EXPORT cl_int clReleaseMemObject(cl_mem m) { return drop(m); }

static void give_event(cl_event *event) {
  if (!event) return;
  object *o = calloc(1, sizeof *o);
  o->holders = 1;
  STATE.live++;
  *event = (cl_event)(void *)o;
}

EXPORT cl_int clEnqueueFillBuffer(cl_command_queue q, cl_mem m, const void *pattern, size_t n,
                                  size_t offset, size_t size, cl_uint waits, const cl_event *wait,
                                  cl_event *event) {
  (void)q, (void)pattern, (void)n, (void)waits, (void)wait, (void)event;
  object *o = (object *)(void *)m;
  if (offset + size > o->size) return CL_INVALID_VALUE;
  return simply();
}

EXPORT cl_int clEnqueueWriteBuffer(cl_command_queue q, cl_mem m, cl_bool blocking, size_t offset,
                                   size_t size, const void *from, cl_uint waits,
                                   const cl_event *wait, cl_event *event) {
  (void)q, (void)blocking, (void)waits, (void)wait, (void)event;
  object *o = (object *)(void *)m;
  if (offset + size > o->size) return CL_INVALID_VALUE;
  if (fails()) return STATE.error;
  memcpy(o->bytes + offset, from, size);
  return CL_SUCCESS;
}

EXPORT cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool blocking, size_t offset,
                                  size_t size, void *to, cl_uint waits, const cl_event *wait,
                                  cl_event *event) {
  (void)q, (void)blocking, (void)waits, (void)wait, (void)event;
  object *o = (object *)(void *)m;
  if (offset + size > o->size) return CL_INVALID_VALUE;
  if (fails()) return STATE.error;
  memcpy(to, o->bytes + offset, size);
  return CL_SUCCESS;
}

/* --- programs and kernels --------------------------------------------------------------------- */

EXPORT cl_program clCreateProgramWithSource(cl_context c, cl_uint count, const char **texts,
                                            const size_t *lengths, cl_int *error) {
  (void)c, (void)count;
  return make(lengths[0], texts[0], error);
}

EXPORT cl_program clCreateProgramWithBinary(cl_context c, cl_uint count, const cl_device_id *ids,
                                            const size_t *lengths, const unsigned char **bytes,
                                            cl_int *status, cl_int *error) {
  (void)c, (void)count, (void)ids, (void)status;
  return make(lengths[0], bytes[0], error);
}

/* As clang has it: the line on which the refused text stands. */
static void write_errors(object *program, const char *at) {
  int line = 1;
  for (const char *p = program->bytes; p < at; p++) line += *p == '\n';
  snprintf(program->log, sizeof program->log,
           "<kernel>:1:1: warning: nothing of note\n<kernel>:%d:7: error: what is '%s'?\n  ^\n"
           "1 error generated.\n",
           line, STATE.refuse);
}

EXPORT cl_int clBuildProgram(cl_program p, cl_uint count, const cl_device_id *ids,
                             const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
                             void *user) {
  (void)count, (void)ids, (void)notify, (void)user;
  object *program = (object *)(void *)p;
  if (fails()) return STATE.error;
  if (strncmp(program->bytes, binary, strlen(binary)) == 0) {
    STATE.binaries++;
    return CL_SUCCESS;
  }
  const char *bad = STATE.refuse ? strstr(program->bytes, STATE.refuse) : NULL;
  if (bad) {
    write_errors(program, bad);
    return CL_BUILD_PROGRAM_FAILURE;
  }
  STATE.builds++;
  const char *kernel = strstr(program->bytes, "__kernel ");
  const char *name = kernel ? strstr(kernel, "void ") : NULL;
  if (name && strstr(options, "-cl-nv-verbose"))
    snprintf(program->log, sizeof program->log,
             "ptxas info    : Compiling entry function '%.*s' for 'sm_90'\n"
             "ptxas info    : Function properties for it\n"
             "    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads\n"
             "ptxas info    : Used 40 registers, 400 bytes cmem[0]\n",
             (int)strcspn(name + 5, "("), name + 5);
  return CL_SUCCESS;
}

EXPORT cl_int clGetProgramBuildInfo(cl_program p, cl_device_id id, cl_program_build_info what,
                                    size_t size, void *to, size_t *needed) {
  (void)id, (void)what;
  return give_text(((object *)(void *)p)->log, size, to, needed);
}

EXPORT cl_int clGetProgramInfo(cl_program p, cl_program_info what, size_t size, void *to,
                               size_t *needed) {
  (void)p;
  size_t length = sizeof binary;
  if (what == CL_PROGRAM_BINARY_SIZES) return give(&length, sizeof length, size, to, needed);
  if (fails()) return STATE.error;
  memcpy(*(unsigned char **)to, binary, sizeof binary);
  return CL_SUCCESS;
}

EXPORT cl_int clReleaseProgram(cl_program p) { return drop(p); }

EXPORT cl_kernel clCreateKernel(cl_program p, const char *name, cl_int *error) {
  (void)p, (void)name;
  return make(0, NULL, error);
}

EXPORT cl_int clReleaseKernel(cl_kernel k) { return drop(k); }

EXPORT cl_int clGetKernelWorkGroupInfo(cl_kernel k, cl_device_id id, cl_kernel_work_group_info what,
                                       size_t size, void *to, size_t *needed) {
  (void)k, (void)id;
  return give_number(what == CL_KERNEL_WORK_GROUP_SIZE ? 1024 : 64, 8, size, to, needed);
}

EXPORT cl_int clSetKernelArg(cl_kernel k, cl_uint index, size_t size, const void *value) {
  (void)k, (void)index, (void)size, (void)value;
  return simply();
}

EXPORT cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dims,
                                     const size_t *offset, const size_t *global,
                                     const size_t *local, cl_uint waits, const cl_event *wait,
                                     cl_event *event) {
  (void)q, (void)k, (void)dims, (void)offset, (void)waits, (void)wait;
  if (global[0] == 0 || global[0] % local[0]) return CL_INVALID_GLOBAL_WORK_SIZE;
  if (fails()) return STATE.error;
  STATE.launches++;
  give_event(event);
  return CL_SUCCESS;
}

EXPORT cl_int clGetEventProfilingInfo(cl_event e, cl_profiling_info what, size_t size, void *to,
                                      size_t *needed) {
  (void)e;
  return give_number(what == CL_PROFILING_COMMAND_START ? 1000 : 3000, 8, size, to, needed);
}

EXPORT cl_int clReleaseEvent(cl_event e) { return drop(e); }
