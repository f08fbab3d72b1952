/* The library behind OpenCL, found when somebody asks for a device.
 *
 * In: $WINNOW_OPENCL or the usual names. Out: its functions, each found by name, or what is missing.
 * Always holds: a library that lacks one of the functions is not used; none is ever unloaded; a child process of fork()
 * does not use what its parent has used, since drivers have threads. */
#include "backend/opencl/opencl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fork.h"

/* What systems call the ICD loader; the first that loads. */
static const char *const libraries[] = {
#ifdef __APPLE__
    "/System/Library/Frameworks/OpenCL.framework/OpenCL",
#endif
    "libOpenCL.so.1",
    "libOpenCL.so",
};
enum { LIBRARIES = sizeof libraries / sizeof libraries[0] };

static bool find(void *library, const char *name, void *function, size_t size,
                 char reason[OPENCL_REASON]) {
  void *symbol = dlsym(library, name);
  memcpy(function, &symbol, size); /* POSIX: a data pointer may hold a function's address */
  if (symbol == NULL)
    snprintf(reason, OPENCL_REASON, "the OpenCL library has no %s: it is older than OpenCL 1.2",
             name);
  return symbol != NULL;
}

static bool find_all(void *library, opencl_api *api, char reason[OPENCL_REASON]) {
#define OPENCL_FIND(name) \
  if (!find(library, #name, &api->name, sizeof api->name, reason)) return false;
  OPENCL_FUNCTIONS(OPENCL_FIND)
#undef OPENCL_FIND
  return true;
}

bool opencl_load(opencl_api *api, char reason[OPENCL_REASON]) {
  static _Atomic unsigned owner;
  const char *path = getenv("WINNOW_OPENCL");
  bool asked = path != NULL && *path;
  void *library = NULL;
  if (!fork_enter()) {
    snprintf(reason, OPENCL_REASON, "%s", fork_why);
    return false;
  }
  for (int i = 0; library == NULL && i < (asked ? 1 : LIBRARIES); ++i)
    library = dlopen(asked ? path : libraries[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  bool found = library != NULL && find_all(library, api, reason);
  fork_leave();
  if (found && !fork_claim(&owner)) {
    snprintf(reason, OPENCL_REASON,
             "OpenCL was in use before fork(), and its drivers do not work in a child process");
    return false;
  }
  if (library != NULL) return found;
  const char *why = asked ? dlerror() : NULL;
  if (asked)
    snprintf(reason, OPENCL_REASON, "WINNOW_OPENCL: %.300s", why != NULL ? why : "does not load");
  else
    snprintf(reason, OPENCL_REASON,
             "no OpenCL library (libOpenCL.so.1; Debian: ocl-icd-libopencl1)");
  return false;
}

static const struct {
  cl_int error;
  const char *name;
} error_names[] = {
#define NAMED(name) {name, #name}
    NAMED(CL_DEVICE_NOT_FOUND),
    NAMED(CL_DEVICE_NOT_AVAILABLE),
    NAMED(CL_COMPILER_NOT_AVAILABLE),
    NAMED(CL_MEM_OBJECT_ALLOCATION_FAILURE),
    NAMED(CL_OUT_OF_RESOURCES),
    NAMED(CL_OUT_OF_HOST_MEMORY),
    NAMED(CL_PROFILING_INFO_NOT_AVAILABLE),
    NAMED(CL_MEM_COPY_OVERLAP),
    NAMED(CL_BUILD_PROGRAM_FAILURE),
    NAMED(CL_MISALIGNED_SUB_BUFFER_OFFSET),
    NAMED(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
    NAMED(CL_COMPILE_PROGRAM_FAILURE),
    NAMED(CL_LINKER_NOT_AVAILABLE),
    NAMED(CL_LINK_PROGRAM_FAILURE),
    NAMED(CL_INVALID_VALUE),
    NAMED(CL_INVALID_DEVICE_TYPE),
    NAMED(CL_INVALID_PLATFORM),
    NAMED(CL_INVALID_DEVICE),
    NAMED(CL_INVALID_CONTEXT),
    NAMED(CL_INVALID_QUEUE_PROPERTIES),
    NAMED(CL_INVALID_COMMAND_QUEUE),
    NAMED(CL_INVALID_HOST_PTR),
    NAMED(CL_INVALID_MEM_OBJECT),
    NAMED(CL_INVALID_BINARY),
    NAMED(CL_INVALID_BUILD_OPTIONS),
    NAMED(CL_INVALID_PROGRAM),
    NAMED(CL_INVALID_PROGRAM_EXECUTABLE),
    NAMED(CL_INVALID_KERNEL_NAME),
    NAMED(CL_INVALID_KERNEL_DEFINITION),
    NAMED(CL_INVALID_KERNEL),
    NAMED(CL_INVALID_ARG_INDEX),
    NAMED(CL_INVALID_ARG_VALUE),
    NAMED(CL_INVALID_ARG_SIZE),
    NAMED(CL_INVALID_KERNEL_ARGS),
    NAMED(CL_INVALID_WORK_DIMENSION),
    NAMED(CL_INVALID_WORK_GROUP_SIZE),
    NAMED(CL_INVALID_WORK_ITEM_SIZE),
    NAMED(CL_INVALID_GLOBAL_OFFSET),
    NAMED(CL_INVALID_EVENT_WAIT_LIST),
    NAMED(CL_INVALID_EVENT),
    NAMED(CL_INVALID_OPERATION),
    NAMED(CL_INVALID_BUFFER_SIZE),
    NAMED(CL_INVALID_GLOBAL_WORK_SIZE),
    NAMED(CL_INVALID_PROPERTY),
#undef NAMED
    {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    {-9999, "NVIDIA: illegal read or write to a buffer"},
};

const char *opencl_error_name(cl_int error, char buffer[32]) {
  for (size_t i = 0; i < sizeof error_names / sizeof error_names[0]; ++i)
    if (error_names[i].error == error) return error_names[i].name;
  snprintf(buffer, 32, "error %d", (int)error);
  return buffer;
}
