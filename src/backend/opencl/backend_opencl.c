/* The backend `opencl`: memory and launches on a device behind an ICD.
 *
 * In: kernels that opencl_build.c compiled, blocks of the device's memory. Out: launches in the order in which they
 * were queued. A kernel's arguments are, by slot, the memory of its arrays and then the element at which each begins,
 * and last the number of the first group: an argument is set only where it is not what it was at the launch before.
 * Always holds: an ordinary launch allocates nothing and makes no event; those that are timed go to a queue of their
 * own, since a queue that keeps times may be slower, and the two are never both in use. A failed call is one line. */
#ifndef WN_HAVE_OPENCL
#include "backend/backend.h"
#include "render/render.h"

static const char absent[] = "built without OpenCL headers (Debian: opencl-c-headers)";

static int list_none(diag *d, arena *a, const device_info **out, const char **why) {
  (void)d, (void)a, (void)out;
  *why = absent;
  return 0;
}

static void *open_none(diag *d, host *h, const char *spec, const char *isa, machine *target) {
  (void)h, (void)spec, (void)isa, (void)target;
  diag_fail(d, WN_ERR_DEVICE, "%s", absent);
}

#define OPENCL .list = list_none, .open = open_none
#else
#include "base/mem.h"
#include "render/render.h"
#include "backend/opencl/opencl.h"

/* --- memory ----------------------------------------------------------------------------------- */

static void *allocate(void *handle, size_t bytes) {
  opencl_device *dev = handle;
  cl_int error = CL_SUCCESS;
  const cl_uchar zero = 0;
  if (bytes == 0) bytes = 1;
  if (bytes > dev->facts.largest_block) return NULL;
  cl_mem block = dev->api.clCreateBuffer(dev->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
  if (!block) return NULL;
  /* many drivers find out only now whether the memory is there */
  error =
      dev->api.clEnqueueFillBuffer(dev->queue, block, &zero, sizeof zero, 0, bytes, 0, NULL, NULL);
  if (error == CL_SUCCESS) error = dev->api.clFinish(dev->queue);
  if (error == CL_SUCCESS) return block;
  dev->api.clReleaseMemObject(block);
  return NULL;
}

static void release_block(void *handle, void *block) {
  opencl_device *dev = handle;
  if (block != NULL) dev->api.clReleaseMemObject(block);
}

static const char *finish(void *handle) {
  opencl_device *dev = handle;
  cl_int error = dev->api.clFinish(dev->was_profiled ? dev->profiled : dev->queue);
  return error == CL_SUCCESS ? NULL : opencl_failed(dev, error, "waiting for what was launched");
}

/* Before the ordinary queue is used: what the other one has comes first. */
static const char *use_ordinary(opencl_device *dev) {
  if (!dev->was_profiled) return NULL;
  const char *why = finish(dev);
  dev->was_profiled = false;
  return why;
}

static const char *write_block(void *handle, void *block, size_t offset, const void *from,
                               size_t bytes) {
  opencl_device *dev = handle;
  const char *why = use_ordinary(dev);
  if (why != NULL) return why;
  cl_int error =
      dev->api.clEnqueueWriteBuffer(dev->queue, block, CL_TRUE, offset, bytes, from, 0, NULL, NULL);
  return error == CL_SUCCESS ? NULL : opencl_failed(dev, error, "writing %zu bytes to it", bytes);
}

static const char *read_block(void *handle, void *block, size_t offset, void *to, size_t bytes) {
  opencl_device *dev = handle;
  const char *why = use_ordinary(dev);
  if (why != NULL) return why;
  cl_int error =
      dev->api.clEnqueueReadBuffer(dev->queue, block, CL_TRUE, offset, bytes, to, 0, NULL, NULL);
  return error == CL_SUCCESS ? NULL : opencl_failed(dev, error, "reading %zu bytes from it", bytes);
}

/* --- launching -------------------------------------------------------------------------------- */

static cl_int set_array(opencl_device *dev, opencl_kernel *k, int slot, device_arg arg) {
  device_arg *old = &k->arg[slot];
  cl_int error = CL_SUCCESS;
  bool fresh = !k->is_set[slot];
  if (!fresh && old->block == arg.block && old->offset == arg.offset) return CL_SUCCESS;
  if (fresh || old->block != arg.block) {
    cl_mem block = arg.block;
    error = dev->api.clSetKernelArg(k->kernel, (cl_uint)slot, sizeof(cl_mem), &block);
  }
  if (error == CL_SUCCESS && (fresh || old->offset != arg.offset)) {
    cl_long first = arg.offset / k->element[slot];
    error = dev->api.clSetKernelArg(k->kernel, (cl_uint)(k->nargs + slot), sizeof first, &first);
  }
  k->is_set[slot] = error == CL_SUCCESS; /* after a failure both are set again */
  *old = arg;
  return error;
}

static cl_int set_args(opencl_device *dev, opencl_kernel *k, const device_arg *args,
                       int64_t begin) {
  cl_int error = CL_SUCCESS;
  for (int i = 0; i < k->nargs && error == CL_SUCCESS; ++i) error = set_array(dev, k, i, args[i]);
  if (error != CL_SUCCESS || (k->first_set && k->first == begin)) return error;
  cl_long first = begin;
  error = dev->api.clSetKernelArg(k->kernel, (cl_uint)(2 * k->nargs), sizeof first, &first);
  k->first = begin;
  k->first_set = error == CL_SUCCESS;
  return error;
}

/* Room for the event of this stamp; that of an earlier run is given back. */
static const char *reserve_event(opencl_device *dev, int stamp) {
  if (stamp >= dev->event_room) {
    int room = stamp < 32 ? 64 : 2 * stamp;
    cl_event *grown = mem_realloc(dev->event, (size_t)room * sizeof *grown);
    if (grown == NULL)
      return opencl_failed(dev, CL_OUT_OF_HOST_MEMORY, "timing %d launches", stamp + 1);
    dev->event = grown;
    dev->event_room = room;
  }
  while (dev->events <= stamp) dev->event[dev->events++] = NULL;
  if (dev->event[stamp]) dev->api.clReleaseEvent(dev->event[stamp]);
  dev->event[stamp] = NULL;
  return NULL;
}

static const char *use_profiled(opencl_device *dev) {
  cl_int error = CL_SUCCESS;
  if (!dev->profiled)
    dev->profiled = dev->api.clCreateCommandQueue(dev->context, dev->facts.id,
                                                  CL_QUEUE_PROFILING_ENABLE, &error);
  if (!dev->profiled) return opencl_failed(dev, error, "making a command queue that keeps times");
  if (dev->was_profiled) return NULL;
  const char *why = finish(dev);
  dev->was_profiled = true;
  return why;
}

static const char *launch_kernel(opencl_device *dev, opencl_kernel *k, const device_arg *args,
                                 int64_t begin, int64_t end, int stamp) {
  const char *why = stamp >= 0 ? use_profiled(dev) : use_ordinary(dev);
  if (why == NULL && stamp >= 0) why = reserve_event(dev, stamp);
  if (why != NULL) return why;
  cl_int error = set_args(dev, k, args, begin);
  if (error != CL_SUCCESS) return opencl_failed(dev, error, "setting arguments of %s", k->name);
  size_t group = k->group, items = (size_t)(end - begin) * group;
  error = dev->api.clEnqueueNDRangeKernel(stamp >= 0 ? dev->profiled : dev->queue, k->kernel, 1,
                                          NULL, &items, &group, 0, NULL,
                                          stamp >= 0 ? &dev->event[stamp] : NULL);
  return error == CL_SUCCESS ? NULL : opencl_failed(dev, error, "launching %s", k->name);
}

/* Arguments are the kernel's until it is queued, and several runtimes may launch it. */
static const char *launch(void *handle, const backend_kernel *kernel, const device_arg *args,
                          int64_t begin, int64_t end, int stamp) {
  opencl_kernel *k = kernel->code;
  pthread_mutex_lock(k->lock);
  const char *why = launch_kernel(handle, k, args, begin, end, stamp);
  pthread_mutex_unlock(k->lock);
  return why;
}

static const char *stamps(void *handle, int stamp, double *start, double *end) {
  opencl_device *dev = handle;
  cl_ulong from = 0, to = 0;
  WN_CHECK(stamp >= 0 && stamp < dev->events && dev->event[stamp], "no launch has stamp %d", stamp);
  cl_int error = dev->api.clGetEventProfilingInfo(dev->event[stamp], CL_PROFILING_COMMAND_START,
                                                  sizeof from, &from, NULL);
  if (error == CL_SUCCESS)
    error = dev->api.clGetEventProfilingInfo(dev->event[stamp], CL_PROFILING_COMMAND_END, sizeof to,
                                             &to, NULL);
  if (error != CL_SUCCESS) return opencl_failed(dev, error, "asking when a kernel ran");
  *start = 1e-9 * (double)from;
  *end = 1e-9 * (double)to;
  return NULL;
}

#define OPENCL                                                                        \
  .list = opencl_list, .open = opencl_open, .close = opencl_close, .alloc = allocate, \
  .free = release_block, .write = write_block, .read = read_block, .launch = launch,  \
  .compile = opencl_compile, .release = opencl_release, .finish = finish, .stamps = stamps
#endif

static const char *const isas[] = {"simt", "simd", NULL};

const backend backend_opencl = {
    OPENCL,       .name = "opencl",        .spec = "P:D", .compiler = "the driver's",
    .isas = isas, .render = render_opencl,
};
