/* The OpenCL backend's own parts, between its files.
 *
 * In: the ICD loader's library, found at run time. Out: devices, programs, launches.
 * opencl_api.c loads the library and names errors, opencl_device.c finds and opens devices, opencl_build.c compiles
 * kernels, opencl.c moves data and launches.
 * Always holds: nothing of OpenCL is linked; without the library, a platform or a device there is one line that says
 * so. */
#ifndef WN_BACKEND_OPENCL_OPENCL_H
#define WN_BACKEND_OPENCL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#ifdef __APPLE__
#include <OpenCL/cl.h>
#else
#include <CL/cl.h>
#endif

#include <pthread.h>

#include "backend/backend.h"

#define OPENCL_FUNCTIONS(X)    \
  X(clGetPlatformIDs)          \
  X(clGetPlatformInfo)         \
  X(clGetDeviceIDs)            \
  X(clGetDeviceInfo)           \
  X(clCreateContext)           \
  X(clReleaseContext)          \
  X(clCreateCommandQueue)      \
  X(clReleaseCommandQueue)     \
  X(clCreateBuffer)            \
  X(clReleaseMemObject)        \
  X(clEnqueueFillBuffer)       \
  X(clEnqueueWriteBuffer)      \
  X(clEnqueueReadBuffer)       \
  X(clCreateProgramWithSource) \
  X(clCreateProgramWithBinary) \
  X(clBuildProgram)            \
  X(clGetProgramInfo)          \
  X(clGetProgramBuildInfo)     \
  X(clReleaseProgram)          \
  X(clCreateKernel)            \
  X(clReleaseKernel)           \
  X(clGetKernelWorkGroupInfo)  \
  X(clSetKernelArg)            \
  X(clEnqueueNDRangeKernel)    \
  X(clGetEventProfilingInfo)   \
  X(clReleaseEvent)            \
  X(clFlush)                   \
  X(clFinish)

typedef struct opencl_api {
#define OPENCL_POINTER(name) __typeof__(&name) name;
  OPENCL_FUNCTIONS(OPENCL_POINTER)
#undef OPENCL_POINTER
} opencl_api;

enum { OPENCL_REASON = 400 };
/* Of local arrays where a group is one work item, which has them on its stack: a quarter of what threads mostly have.
 * */
enum { OPENCL_PRIVATE_BYTES = 2 << 20 };

/* Loads the library: $WINNOW_OPENCL, a path, else where systems have it. It stays loaded: drivers leave threads behind
 * that must find their code. False with the reason. */
bool opencl_load(opencl_api *api, char reason[OPENCL_REASON]);
/* "CL_OUT_OF_RESOURCES", or "error -1234" of a number that has no name. */
const char *opencl_error_name(cl_int error, char buffer[32]);

/* --- devices (opencl_device.c) ---------------------------------------------------------------- */

enum { OPENCL_NAME = 128 };

typedef struct opencl_device_facts {
  cl_platform_id platform;
  cl_device_id id;
  int platform_number, number;
  cl_device_type type;
  char name[OPENCL_NAME], platform_name[OPENCL_NAME], vendor[OPENCL_NAME];
  char version[OPENCL_NAME], driver[OPENCL_NAME], extensions[4096];
  cl_uint units, vector_floats;
  size_t group;
  cl_ulong memory, largest_block, local_bytes, cache_bytes;
  cl_device_fp_config single_config;
  cl_bool available, compiler;
} opencl_device_facts;

/* A context of a device, shared by all runtimes that have it open. */
typedef struct opencl_context opencl_context;

typedef struct opencl_device {
  opencl_api api;
  opencl_context *shared;
  cl_context context;
  opencl_device_facts facts;
  cl_command_queue queue;    /* of ordinary runs */
  cl_command_queue profiled; /* of timed ones, made when first needed */
  bool was_profiled;         /* which of them was used last: the other one is empty */
  cl_event *event;           /* by stamp */
  int events, event_room;
  char failure[OPENCL_REASON];
} opencl_device;

int opencl_list(diag *d, arena *a, const device_info **out, const char **why);
void *opencl_open(diag *d, host *h, const char *spec, const char *isa, machine *target);
void opencl_close(void *device);
/* Writes "OpenCL device NAME: WHAT failed: CL_..." where the device keeps its text. */
const char *opencl_failed(opencl_device *device, cl_int error, const char *format, ...)
    WN_PRINTF(3, 4);

/* --- kernels (opencl_build.c) ----------------------------------------------------------------- */

typedef struct opencl_kernel {
  cl_kernel kernel;
  pthread_mutex_t *lock; /* held while arguments are set and the kernel is queued */
  const char *name;
  size_t group; /* work items of a group, 1 for kernels without */
  int nargs;    /* global arrays */
  /* as they were set last */
  device_arg *arg;
  bool *is_set;
  int64_t first;
  bool first_set;
  int *element; /* bytes of an array's elements */
} opencl_kernel;

void *opencl_compile(void *device, backend_job *job);
void opencl_release(void *handle);

#endif
