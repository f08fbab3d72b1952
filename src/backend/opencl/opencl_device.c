/* Finding and opening OpenCL devices.
 *
 * In: what stood behind "opencl:", numbers or parts of names. Out: an open device and its target, or one line.
 * A context costs hundreds of megabytes and milliseconds on some drivers, and a comparison holds a program for every
 * plan: so a process has one for each device, which the last holder releases. The list of them is behind a lock, empty
 * while nobody has a device open, and no run looks at it. Command queues belong to one holder each.
 * Always holds: a device that cannot compile, or says that it is not available, is listed but never opened. */
#include "backend/opencl/opencl.h"

#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

struct opencl_context {
  opencl_context *next;
  cl_device_id id;
  cl_context context;
  int holders;
};

static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static opencl_context *contexts;

/* --- what there is ---------------------------------------------------------------------------- */

typedef struct platform_list {
  opencl_api api;
  opencl_device_facts *facts;
  int count;
} platform_list;

static void tidy(char *text) {
  char *start = text, *to = text;
  while (text_is_space(*start)) ++start;
  for (; *start; ++start) /* one line, one blank between words */
    if (!text_is_space(*start) || (start[1] && !text_is_space(start[1])))
      *to++ = text_is_space(*start) ? ' ' : *start;
  *to = 0;
}

/* What the device does not tell stays empty, or zero. */
static void ask_text(const opencl_api *api, cl_device_id id, cl_device_info what, char *to,
                     size_t size) {
  size_t needed = 0;
  to[0] = 0;
  if (api->clGetDeviceInfo(id, what, 0, NULL, &needed) != CL_SUCCESS || needed == 0) return;
  if (needed > size || api->clGetDeviceInfo(id, what, size, to, NULL) != CL_SUCCESS) to[0] = 0;
  to[size - 1] = 0;
  tidy(to);
}

static void ask_platform(const opencl_api *api, cl_platform_id id, char to[OPENCL_NAME]) {
  to[0] = 0;
  if (api->clGetPlatformInfo(id, CL_PLATFORM_NAME, OPENCL_NAME, to, NULL) != CL_SUCCESS) to[0] = 0;
  to[OPENCL_NAME - 1] = 0;
  tidy(to);
}

static void ask(const opencl_api *api, cl_device_id id, cl_device_info what, void *to,
                size_t size) {
  if (api->clGetDeviceInfo(id, what, size, to, NULL) != CL_SUCCESS) memset(to, 0, size);
}

static void ask_all(const opencl_api *api, opencl_device_facts *f) {
  ask_platform(api, f->platform, f->platform_name);
  ask_text(api, f->id, CL_DEVICE_NAME, f->name, sizeof f->name);
  ask_text(api, f->id, CL_DEVICE_VENDOR, f->vendor, sizeof f->vendor);
  ask_text(api, f->id, CL_DEVICE_VERSION, f->version, sizeof f->version);
  ask_text(api, f->id, CL_DRIVER_VERSION, f->driver, sizeof f->driver);
  ask_text(api, f->id, CL_DEVICE_EXTENSIONS, f->extensions, sizeof f->extensions);
  ask(api, f->id, CL_DEVICE_TYPE, &f->type, sizeof f->type);
  ask(api, f->id, CL_DEVICE_MAX_COMPUTE_UNITS, &f->units, sizeof f->units);
  ask(api, f->id, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, &f->vector_floats,
      sizeof f->vector_floats);
  ask(api, f->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, &f->group, sizeof f->group);
  ask(api, f->id, CL_DEVICE_GLOBAL_MEM_SIZE, &f->memory, sizeof f->memory);
  ask(api, f->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, &f->largest_block, sizeof f->largest_block);
  ask(api, f->id, CL_DEVICE_LOCAL_MEM_SIZE, &f->local_bytes, sizeof f->local_bytes);
  ask(api, f->id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, &f->cache_bytes, sizeof f->cache_bytes);
  ask(api, f->id, CL_DEVICE_SINGLE_FP_CONFIG, &f->single_config, sizeof f->single_config);
  ask(api, f->id, CL_DEVICE_AVAILABLE, &f->available, sizeof f->available);
  ask(api, f->id, CL_DEVICE_COMPILER_AVAILABLE, &f->compiler, sizeof f->compiler);
}

enum { MOST_PLATFORMS = 32, MOST_DEVICES = 64 };

static void survey_platform(platform_list *s, arena *a, cl_platform_id platform, int number) {
  cl_device_id ids[MOST_DEVICES];
  cl_uint n = 0;
  if (s->api.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, MOST_DEVICES, ids, &n) != CL_SUCCESS)
    return; /* a platform without devices says so by an error */
  if (n > MOST_DEVICES) n = MOST_DEVICES;
  opencl_device_facts *all = arena_array(a, opencl_device_facts, s->count + (int)n + 1);
  if (s->count) memcpy(all, s->facts, (size_t)s->count * sizeof *all);
  s->facts = all;
  for (cl_uint i = 0; i < n; ++i) {
    opencl_device_facts *f = &all[s->count++];
    *f = (opencl_device_facts){
        .platform = platform, .id = ids[i], .platform_number = number, .number = (int)i};
    ask_all(&s->api, f);
  }
}

/* False: there is no device, for the reason. */
static bool survey_all(platform_list *s, arena *a, char reason[OPENCL_REASON]) {
  cl_platform_id platforms[MOST_PLATFORMS];
  cl_uint n = 0;
  char number[32];
  *s = (platform_list){0};
  if (!opencl_load(&s->api, reason)) return false;
  cl_int error = s->api.clGetPlatformIDs(MOST_PLATFORMS, platforms, &n);
  if (error != CL_SUCCESS && error != -1001) {
    snprintf(reason, OPENCL_REASON, "OpenCL's platforms cannot be listed: clGetPlatformIDs: %s",
             opencl_error_name(error, number));
    return false;
  }
  if (error == -1001) n = 0;
  if (n > MOST_PLATFORMS) n = MOST_PLATFORMS;
  for (cl_uint i = 0; i < n; ++i) survey_platform(s, a, platforms[i], (int)i);
  if (s->count == 0)
    snprintf(reason, OPENCL_REASON, "%s",
             n == 0
                 ? "OpenCL has no platform: no driver is installed (/etc/OpenCL/vendors; Debian: "
                   "pocl-opencl-icd runs on any CPU)"
                 : "OpenCL's platforms have no device");
  return s->count > 0;
}

static const char *kind_of(cl_device_type type) {
  return type & CL_DEVICE_TYPE_GPU           ? "gpu"
         : type & CL_DEVICE_TYPE_CPU         ? "cpu"
         : type & CL_DEVICE_TYPE_ACCELERATOR ? "accelerator"
                                             : "custom";
}

int opencl_list(diag *d, arena *a, const device_info **out, const char **why) {
  platform_list s;
  char reason[OPENCL_REASON];
  (void)d;
  if (!survey_all(&s, a, reason)) {
    *why = arena_strdup(a, reason);
    return 0;
  }
  device_info *list = arena_array(a, device_info, s.count);
  for (int i = 0; i < s.count; ++i) {
    const opencl_device_facts *f = &s.facts[i];
    list[i] = (device_info){.spec = arena_printf(a, "%d:%d", f->platform_number, f->number),
                            .name = f->name,
                            .platform = f->platform_name,
                            .version = f->version,
                            .kind = kind_of(f->type),
                            .units = (int)f->units,
                            .memory = (size_t)f->memory,
                            .local_bytes = (size_t)f->local_bytes,
                            .group = (int)f->group};
  }
  *out = list;
  return s.count;
}

/* --- choosing --------------------------------------------------------------------------------- */

/* Is the word, of n characters, this number or, without regard to case, a part of the name? */
static bool names(const char *word, size_t n, int number, const char *name) {
  char *end;
  if (n == 0) return true;
  long value = strtol(word, &end, 10);
  if (isdigit((unsigned char)*word) && end == word + n) return value == number;
  for (; *name; ++name) {
    size_t i = 0;
    while (i < n && name[i] && text_lower(name[i]) == text_lower(word[i])) ++i;
    if (i == n) return true;
  }
  return false;
}

static _Noreturn void refuse_spec(diag *d, arena *a, const platform_list *s, const char *spec) {
  str list;
  str_init(&list, a);
  for (int i = 0; i < s->count; ++i)
    str_printf(&list, "%s%d:%d %s (%s)", i ? ", " : "", s->facts[i].platform_number,
               s->facts[i].number, s->facts[i].name, s->facts[i].platform_name);
  diag_fail(
      d, WN_ERR_USAGE,
      "no OpenCL device is '%.80s' (PLATFORM:DEVICE, numbers or parts of names): there are %s",
      spec, str_text(&list));
}

/* PLATFORM, or PLATFORM:DEVICE. A GPU before others where several fit. */
static const opencl_device_facts *choose(diag *d, arena *a, const platform_list *s,
                                         const char *spec) {
  const char *platform = spec != NULL ? spec : "", *colon = strchr(platform, ':');
  size_t n = colon != NULL ? (size_t)(colon - platform) : strlen(platform);
  const char *device = colon != NULL ? colon + 1 : "";
  const opencl_device_facts *found = NULL;
  for (int i = 0; i < s->count; ++i) {
    const opencl_device_facts *f = &s->facts[i];
    if (!names(platform, n, f->platform_number, f->platform_name) ||
        !names(device, strlen(device), f->number, f->name))
      continue;
    bool better =
        (f->type & CL_DEVICE_TYPE_GPU) && found != NULL && !(found->type & CL_DEVICE_TYPE_GPU);
    if (found == NULL || better) found = f;
  }
  if (found == NULL) refuse_spec(d, a, s, spec);
  if (!found->available || !found->compiler)
    diag_fail(d, WN_ERR_DEVICE, "OpenCL device %s %s", found->name,
              found->available ? "has no compiler" : "is not available now");
  return found;
}

/* --- the target ------------------------------------------------------------------------------- */

enum { GPU_REGISTERS = 32, MOST_GROUP = 1024 };

/* Work items that keep a compute unit busy: what its registers hold at some 32 of them each. */
static int items_of_unit(const opencl_device_facts *f) {
  if (strstr(f->vendor, "NVIDIA") != NULL) return 2048;
  return f->type & CL_DEVICE_TYPE_GPU ? 1024 : 64;
}

static void fill_target(machine *t, diag *d, const opencl_device_facts *f, const char *isa) {
  bool simt = !(f->type & CL_DEVICE_TYPE_CPU);
  if (isa != NULL && strcmp(isa, "simt") != 0 && strcmp(isa, "simd") != 0)
    diag_fail(d, WN_ERR_USAGE,
              "OpenCL has no instruction set '%.80s': there are simt (work items in groups) and "
              "simd (one work item a group, with vectors)",
              isa);
  if (isa != NULL) simt = strcmp(isa, "simt") == 0;
  int floats = f->vector_floats < 4 ? 4 : f->vector_floats > 16 ? 16 : (int)f->vector_floats;
  *t = (machine){.isa = ISA_GENERIC,
                 .name = simt ? "simt" : "simd",
                 .fma = (f->single_config & CL_FP_FMA) != 0,
                 .driver = f->driver,
                 .version = f->version,
                 .units = f->units > 0 ? (int)f->units : 1,
                 .l1 = 32 << 10,
                 .l2 = 512 << 10,
                 .l3 = f->cache_bytes ? (size_t)f->cache_bytes : 8 << 20,
                 .memory = (size_t)f->memory};
  snprintf(t->model, sizeof t->model, "%.63s", f->name);
  t->vector_bytes = simt ? 16 : 4 * floats;
  t->registers = simt || floats == 16 ? GPU_REGISTERS : 16;
  t->local_bytes = simt ? (size_t)f->local_bytes : OPENCL_PRIVATE_BYTES;
  if (!simt) return;
  t->group = f->group < MOST_GROUP ? (int)f->group : MOST_GROUP;
  t->items = (int64_t)t->units * items_of_unit(f);
}

/* --- opening ---------------------------------------------------------------------------------- */

const char *opencl_failed(opencl_device *device, cl_int error, const char *format, ...) {
  char what[200], number[32];
  va_list args;
  va_start(args, format);
  text_vformat(what, sizeof what, format, args);
  va_end(args);
  snprintf(device->failure, sizeof device->failure, "OpenCL device %.100s: %s failed: %s",
           device->facts.name, what, opencl_error_name(error, number));
  return device->failure;
}

static opencl_context *acquire_context(opencl_device *device, cl_int *error) {
  pthread_mutex_lock(&contexts_lock);
  opencl_context *c = contexts;
  while (c != NULL && c->id != device->facts.id) c = c->next;
  if (c != NULL) {
    ++c->holders;
  } else if ((c = mem_alloc(sizeof *c))) {
    *c = (opencl_context){.id = device->facts.id, .holders = 1, .next = contexts};
    c->context = device->api.clCreateContext(NULL, 1, &c->id, NULL, NULL, error);
    if (c->context) {
      contexts = c;
    } else {
      mem_free(c);
      c = NULL;
    }
  } else {
    *error = CL_OUT_OF_HOST_MEMORY;
  }
  pthread_mutex_unlock(&contexts_lock);
  return c;
}

static void release_context(opencl_device *device) {
  opencl_context *c = device->shared;
  if (c == NULL) return;
  pthread_mutex_lock(&contexts_lock);
  bool last = --c->holders == 0;
  for (opencl_context **at = &contexts; last && *at != NULL; at = &(*at)->next) {
    if (*at != c) continue;
    *at = c->next;
    break;
  }
  pthread_mutex_unlock(&contexts_lock);
  if (!last) return;
  device->api.clReleaseContext(c->context);
  mem_free(c);
}

static const char *connect(opencl_device *device) {
  cl_int error = CL_SUCCESS;
  device->shared = acquire_context(device, &error);
  if (device->shared == NULL) return opencl_failed(device, error, "opening it");
  device->context = device->shared->context;
  device->queue = device->api.clCreateCommandQueue(device->context, device->facts.id, 0, &error);
  return device->queue ? NULL : opencl_failed(device, error, "making a command queue");
}

static void *open_in(diag *d, arena *a, const char *spec, const char *isa, machine *target) {
  platform_list s;
  char reason[OPENCL_REASON];
  if (!survey_all(&s, a, reason)) diag_fail(d, WN_ERR_DEVICE, "%s", reason);
  const opencl_device_facts *facts = choose(d, a, &s, spec);
  machine checked;
  fill_target(&checked, d, facts, isa);
  opencl_device *device = mem_alloc(sizeof *device);
  if (device == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while opening an OpenCL device");
  *device = (opencl_device){.api = s.api, .facts = *facts};
  const char *why = connect(device);
  if (why != NULL) {
    snprintf(reason, sizeof reason, "%s", why);
    opencl_close(device);
    diag_fail(d, WN_ERR_DEVICE, "%s", reason);
  }
  fill_target(target, d, &device->facts, isa);
  return device;
}

void *opencl_open(diag *d, host *h, const char *spec, const char *isa, machine *target) {
  (void)h;
  arena a;
  arena_init(&a, d);
  void *volatile device = NULL;
  wn_status st;
  DIAG_TRY(d, st) { device = open_in(d, &a, spec, isa, target); }
  DIAG_END(d, st)
  arena_release(&a);
  if (st == WN_OK) return device;
  char why[sizeof d->message];
  memcpy(why, d->message, sizeof why);
  diag_fail(d, st, "%s", why);
}

void opencl_close(void *handle) {
  opencl_device *device = handle;
  if (device == NULL) return;
  for (int i = 0; i < device->events; ++i)
    if (device->event[i]) device->api.clReleaseEvent(device->event[i]);
  mem_free(device->event);
  if (device->queue) {
    device->api.clFinish(device->queue);
    device->api.clReleaseCommandQueue(device->queue);
  }
  if (device->profiled) {
    device->api.clFinish(device->profiled);
    device->api.clReleaseCommandQueue(device->profiled);
  }
  release_context(device);
  mem_free(device);
}
